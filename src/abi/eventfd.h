/* SPDX-License-Identifier: MIT */
/* Of event descriptors that the engine was given: why it did not take them. */
#ifndef ABI_EVENTFD_H
#define ABI_EVENTFD_H

#include <errno.h>

#include "abi/request.h"

static inline long eventfd_taken(struct call *c, long r, u64 fd)
{
	r = refuse_if(c->why, r, -EBADF, "fd %lu is not open", fd);
	return refuse_if(c->why, r, -EINVAL, "fd %lu is not an eventfd", fd);
}

/* Of two. */
static inline long eventfds_taken(struct call *c, long r, u64 fd, u64 resample)
{
	r = refuse_if(c->why, r, -EBADF, "fd %lu or resamplefd %lu is not open", fd, resample);
	return refuse_if(
		c->why, r, -EINVAL, "fd %lu or resamplefd %lu is not an eventfd", fd, resample);
}

#endif
