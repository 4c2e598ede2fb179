/* SPDX-License-Identifier: MIT */
/* The interfaces that there are: each is one device of the kernel's, with the descriptors that come from it. */
#ifndef ABI_INTERFACE_H
#define ABI_INTERFACE_H

#include "abi/request.h"

struct interface {
	const char *path;                  /* of the device */
	const struct fd_ops *const *kinds; /* up to NULL; the first is what opening it gives */
	const struct request *requests;    /* on all of them */
	unsigned request_count;
};

/* All of them, up to NULL: interfaces.c. */
extern const struct interface *const interfaces[];

#endif
