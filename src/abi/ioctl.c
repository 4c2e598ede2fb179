/* SPDX-License-Identifier: MIT */
/* The door's ioctl(): from a descriptor to the code of its kind, with signals kept off. */
#include <errno.h>
#include <sys/ioctl.h>

#include "abi/request.h"
#include "abi/table.h"

/* Requests that the kernel answers for any file before its driver sees them. */
static bool is_generic(u32 number)
{
	return number == FIOCLEX || number == FIONCLEX || number == FIONBIO || number == FIOASYNC;
}

static bool wrong_process(const struct dev *d, const struct object *o)
{
	return !o->ops->anywhere && (o->foreign || o->mm != d->mm);
}

static long dispatch(struct object *o, u32 number, struct call *c)
{
	const struct fd_ops *ops = o->ops;

	c->behind = o->behind;
	c->vm = o->owner ? o->owner->behind : o->behind;
	return ops->ioctl ? ops->ioctl(c, number) : request_unknown(c, ops, number);
}

static long serve_fd(int fd, u32 number, struct call *c)
{
	struct object *o = object_get(c->dev, fd);
	long ret;

	if (!o)
		return -EBADF;
	if (is_generic(number))
		ret = sys_ioctl(fd, number, c->arg) < 0 ? -errno : 0;
	else if (wrong_process(c->dev, o))
		ret = refuse(c->why, -EIO,
			"the descriptor belongs to the process that created it, and does not work "
			"in its children");
	else
		ret = dispatch(o, number, c);
	object_put(c->dev, o);
	return ret;
}

/* Nothing is lost if what has nothing behind it is held for ever. */
static bool takes_no_lock(struct dev *d, int fd, u32 number)
{
	const struct object *o = object_peek(d, fd);
	const struct fd_ops *ops = o ? o->ops : NULL;

	return ops && ops->anywhere && ops->takes_no_lock && ops->takes_no_lock(number);
}

/*
 * A signal handler may make requests of its own, leave by longjmp() or end the thread
 * (pthread_cancel), so none may run while a lock or a reference is held. In the kernel, too, it
 * runs when the call is over.
 */
static long serve_blocked(int fd, u32 number, struct call *c)
{
	long ret;

	if (takes_no_lock(c->dev, fd, number))
		return serve_fd(fd, number, c);
	signals_block(&c->caller_mask);
	ret = serve_fd(fd, number, c);
	signals_restore(c->caller_mask);
	return ret;
}

static long serve_with(int fd, u32 number, struct call *c, const struct dev_signals *how)
{
	long ret;

	c->hold = how->hold;
	c->caller_mask = how->caller_mask;
	if (!how->hold)
		return serve_fd(fd, number, c);
	hold_begin(how->hold);
	ret = serve_fd(fd, number, c);
	hold_end(how->hold);
	return ret;
}

/* musl passes requests as int: only the low half is the number. */
long dev_ioctl(struct dev *d, int fd, unsigned long request, unsigned long arg)
{
	struct call c = {.dev = d, .arg = arg};

	return serve_blocked(fd, (u32)request, &c);
}

long dev_ioctl_with(struct dev *d, int fd, unsigned long request, unsigned long arg,
	const struct dev_signals *how)
{
	struct call c = {.dev = d, .arg = arg};

	return serve_with(fd, (u32)request, &c, how);
}

long dev_ioctl_why(struct dev *d, int fd, unsigned long request, unsigned long arg,
	const struct dev_signals *how, struct refusal *ret_why)
{
	struct call c = {.dev = d, .arg = arg, .why = ret_why};

	ret_why->why = NULL;
	return how ? serve_with(fd, (u32)request, &c, how) : serve_blocked(fd, (u32)request, &c);
}
