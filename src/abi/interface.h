/* SPDX-License-Identifier: MIT */
/*
 * The interfaces that there are: each has one or more device nodes, and the descriptors that come from them. Whoever wants to
 * know a node's path or number, or which requests may be an interface's, asks for these rows (dev.h): nobody else has a list.
 */
#ifndef ABI_INTERFACE_H
#define ABI_INTERFACE_H

#include "abi/request.h"

struct interface {
	const char *name;                /* as users call it */
	u8 request_type;                 /* the byte that the numbers of all its requests share */
	const struct device_node *nodes; /* up to one without a path */
	/* What the nodes give, and what comes from that; up to NULL. */
	const struct fd_ops *const *kinds;
	const struct request *requests; /* on all of them */
	unsigned request_count;
	/* What all descriptors have in common in an address space, made when it is first asked for (dev_common()); or NULL. */
	int (*common_make)(struct dev *d, void **ret);
	void (*common_free)(void *common);
	const u32 *makes; /* the numbers of those that make a machine or a processor, up to 0 */
};

/* All of them, up to NULL: interfaces.c. */
extern const struct interface *const interfaces[];

#endif
