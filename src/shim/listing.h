/* SPDX-License-Identifier: MIT */
/*
 * What a program finds when it lists /dev: the nodes of ours that the machine does not have are there, first of all, and
 * what the program may not see is not. Other folders are as they are.
 */
#ifndef SHIM_LISTING_H
#define SHIM_LISTING_H

#include "base/types.h"

/* Is dirfd, an open folder, /dev? False also if /dev is shown as the machine has it. */
bool listing_differs(int dirfd);
/* The same of a folder by its path. */
bool listing_differs_at(int dirfd, const char *path);
/* In /dev: is an entry of this name not to be shown? */
bool listing_hides(const char *name);
/* In /dev, which dirfd is: the name of the next node to be added, or NULL; *at begins as 0. */
const char *listing_adds(int dirfd, unsigned *at);
/* The inode of the node of this name that was added. */
u64 listing_inode(const char *name);

/* By whom a listing is read, and how the program gets it: where it has a filter, that decides about the call. */
struct listing_ways {
	long (*get)(int dirfd, void *buffer, size_t n); /* as getdents64(2), or -errno */
	int (*put)(u64 to, const void *from, size_t n); /* 0 or -EFAULT */
};
/* As getdents64(2) on such a folder; at least LISTING_ROOM bytes are necessary for nodes to be added. */
#define LISTING_ROOM 1024
long listing_read(int dirfd, u64 to, size_t size, const struct listing_ways *by);

#endif
