/* SPDX-License-Identifier: MIT */
/*
 * The interface of an unmodified program: what its system calls mean when /dev/kvm is ours.
 *
 * A library that is put into somebody else's process has one state per process by nature, so this
 * part has one struct, in shim.c. It starts at the first open of /dev/kvm; until then every
 * function here costs a load and a compare, and nothing of the engine has run.
 *
 * Functions return like the kernel: a result, or -errno. NOT_OURS means that the call is none of
 * our business and belongs to the kernel. Who calls is the business of preload/ or inject/.
 */
#ifndef SHIM_SHIM_H
#define SHIM_SHIM_H

#include <sys/types.h>

#include "base/types.h"

#define NOT_OURS (-4096l) /* beyond every errno */

struct dev;

/* The started engine, or NULL: nothing was opened yet. */
struct dev *shim_dev(void);

/* ---- descriptors (shim.c) ---- */

/* Before the kernel is asked: is this path /dev/kvm by name? A descriptor, -errno or NOT_OURS. */
long shim_open(int dirfd, const char *path, int flags);
/* After it was: the kernel's answer (descriptor or -errno) may be a device of ours, too. */
long shim_opened(int dirfd, const char *path, int flags, long result);
long shim_ioctl(int fd, unsigned long request, unsigned long arg);
/* With all asynchronous signals blocked: the program has blocked those in mask (dev_ioctl_masked()). */
long shim_ioctl_masked(int fd, unsigned long request, unsigned long arg, u64 mask);
long shim_close(int fd);
/* fd was replaced by, or has become, a duplicate of from. */
void shim_duplicated(int from, int fd);
/* first..last are about to be closed by the kernel. */
void shim_closing_range(unsigned first, unsigned last);

/* ---- paths (paths.c) ---- */

/* Does this name lead to /dev/kvm, whether or not that exists? */
bool path_is_kvm(int dirfd, const char *path);

/* ---- module parameters (params.c) ---- */

/* A file of /sys/module/kvm*: a descriptor, -errno or NOT_OURS. */
long params_open(const char *path, int flags);

#endif
