/* SPDX-License-Identifier: MIT */
/* Rows of requests: their arguments are copied, their handlers called, their names looked up. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "abi/interface.h"
#include "abi/user.h"

/* ---- the argument ---- */

static long call_with_struct(const struct request *r, struct call *c)
{
	u64 buffer[REQUEST_SIZE_MAX / sizeof(u64)];
	long ret;

	c->data = buffer;
	if (r->arg_kind == ARG_OUT)
		memset(buffer, 0, r->size);
	else if (copy_in(c->dev, buffer, c->arg, r->size))
		return -EFAULT;
	ret = r->handler(c);
	if (ret >= 0 && r->arg_kind != ARG_IN && copy_out(c->dev, c->arg, buffer, r->size))
		return -EFAULT;
	return ret;
}

long request_serve(const struct request *r, struct call *c)
{
	switch ((enum arg_kind)r->arg_kind) {
	case ARG_ZERO:
		if (c->arg)
			return refuse(
				c->why, -EINVAL, "the argument is 0x%lx, but must be 0", c->arg);
		/* fall through */
	case ARG_NONE:
	case ARG_VALUE:
	case ARG_PTR: return r->handler(c);
	case ARG_IN:
	case ARG_OUT:
	case ARG_INOUT: return call_with_struct(r, c);
	}
	return -EINVAL;
}

long request_unknown(struct call *c, const struct fd_ops *on, u32 number)
{
	return refuse(c->why, on->unknown,
		"this kind of descriptor does not have the request 0x%lx", (u64)number);
}

bool dev_may_request(unsigned long request)
{
	const struct interface *const *i = interfaces;

	while (*i && (*i)->request_type != _IOC_TYPE(request))
		i++;
	return *i;
}

bool dev_makes_machine(unsigned long request)
{
	for (const struct interface *const *i = interfaces; *i; i++)
		for (unsigned n = 0; (*i)->makes[n]; n++)
			if ((*i)->makes[n] == (u32)request)
				return true;
	return false;
}

/* ---- names ---- */

/* The next row after *at, over all interfaces; at begins as {0}. NULL: that was the last. */
struct row {
	unsigned interface, n;
};

static const struct request *next_row(struct row *at)
{
	const struct interface *i;

	while ((i = interfaces[at->interface])) {
		if (at->n < i->request_count)
			return &i->requests[at->n++];
		*at = (struct row){.interface = at->interface + 1};
	}
	return NULL;
}

const char *dev_request_name(const struct fd_ops *on, unsigned long request)
{
	const struct request *r;
	struct row at = {0};

	while ((r = next_row(&at)))
		if ((!on || r->on == on) && r->number == (u32)request)
			return r->name;
	return NULL;
}

static bool is_like(const struct request *r, const struct fd_ops *on, u32 number)
{
	return r->on == on && _IOC_TYPE(r->number) == _IOC_TYPE(number) &&
	       _IOC_NR(r->number) == _IOC_NR(number) && r->number != number;
}

const char *dev_request_like(
	const struct fd_ops *on, unsigned long request, unsigned long *ret_request)
{
	const struct request *best = NULL, *r;
	struct row at = {0};

	while ((r = next_row(&at)))
		if (is_like(r, on, (u32)request) &&
			(!best || _IOC_DIR(r->number) == _IOC_DIR(request)))
			best = r;
	if (!best)
		return NULL;
	*ret_request = best->number;
	return best->name;
}
