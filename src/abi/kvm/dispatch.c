/* SPDX-License-Identifier: MIT */
/*
 * From a request number to its handler, with the argument copied as the row of ioctls.def says.
 *
 * The whole number counts, never its low byte alone: 0xa3 is KVM_GET_TSC_KHZ and KVM_ENABLE_CAP.
 * An unknown request is -EINVAL on /dev/kvm and on a vcpu, -ENOTTY on everything else, as Linux does it.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "abi/kvm/object.h"
#include "base/sys.h"

#define SYS(name, kind, size, handler)    ROW_SYS_##name,
#define VM(name, kind, size, handler)     ROW_VM_##name,
#define VCPU(name, kind, size, handler)   ROW_VCPU_##name,
#define DEVICE(name, kind, size, handler) ROW_DEVICE_##name,
enum {
#include "abi/kvm/ioctls.def"
	ROW_COUNT
};

#define SYS(name, kind, size, handler)    {#name, &kvm_system_ops, handler, name, size, kind},
#define VM(name, kind, size, handler)     {#name, &kvm_vm_ops, handler, name, size, kind},
#define VCPU(name, kind, size, handler)   {#name, &kvm_vcpu_ops, handler, name, size, kind},
#define DEVICE(name, kind, size, handler) {#name, &kvm_vfio_ops, handler, name, size, kind},
static const struct request rows[ROW_COUNT] = {
#include "abi/kvm/ioctls.def"
};

static const struct fd_ops *const kinds[] = {
	&kvm_system_ops, &kvm_vm_ops, &kvm_vcpu_ops, &kvm_guest_memfd_ops, &kvm_vfio_ops, NULL};

const struct interface kvm_interface = {
	.path = "/dev/kvm",
	.kinds = kinds,
	.requests = rows,
	.request_count = ROW_COUNT,
};

#define SYS(name, kind, size, handler)                                                             \
	case (u32)(name): return ROW_SYS_##name;
static int find_system(u32 number)
{
	switch (number) {
#include "abi/kvm/ioctls.def"
	}
	return -1;
}

#define VM(name, kind, size, handler)                                                              \
	case (u32)(name): return ROW_VM_##name;
static int find_vm(u32 number)
{
	switch (number) {
#include "abi/kvm/ioctls.def"
	}
	return -1;
}

#define VCPU(name, kind, size, handler)                                                            \
	case (u32)(name): return ROW_VCPU_##name;
static int find_vcpu(u32 number)
{
	switch (number) {
#include "abi/kvm/ioctls.def"
	}
	return -1;
}

#define DEVICE(name, kind, size, handler)                                                          \
	case (u32)(name): return ROW_DEVICE_##name;
static int find_device(u32 number)
{
	switch (number) {
#include "abi/kvm/ioctls.def"
	}
	return -1;
}

/* ---- by kind ---- */

/* takes_no_lock: */
bool system_takes_no_lock(u32 number)
{
	return number == KVM_CHECK_EXTENSION || number == KVM_GET_API_VERSION ||
	       number == KVM_GET_VCPU_MMAP_SIZE;
}

bool vm_takes_no_lock(u32 number)
{
	return number == KVM_CHECK_EXTENSION;
}

static long serve(struct call *c, const struct fd_ops *on, u32 number, int row)
{
	return row < 0 ? request_unknown(c, on, number) : request_serve(&rows[row], c);
}

long dispatch_system(struct call *c, u32 number)
{
	return serve(c, &kvm_system_ops, number, find_system(number));
}

long dispatch_vm(struct call *c, u32 number)
{
	return serve(c, &kvm_vm_ops, number, find_vm(number));
}

long dispatch_vfio(struct call *c, u32 number)
{
	return serve(c, &kvm_vfio_ops, number, find_device(number));
}

/* A request for a vcpu that runs on another thread waits until it has come out. */
long dispatch_vcpu(struct call *c, u32 number)
{
	struct kvm_vcpu *v = vcpu_of(c);
	int row = find_vcpu(number);
	long ret;

	if (row < 0)
		return request_unknown(c, &kvm_vcpu_ops, number);
	pthread_mutex_lock(&v->lock);
	ret = request_serve(&rows[row], c);
	pthread_mutex_unlock(&v->lock);
	return ret;
}

/* ---- the argument ---- */

#define STRUCT_MAX sizeof(struct kvm_xsave)

static long call_with_struct(const struct request *r, struct call *c)
{
	u64 buffer[STRUCT_MAX / sizeof(u64)];
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
	return refuse(c->why, on->unknown, "this descriptor has no request 0x%lx", (u64)number);
}

/* ---- every request ---- */

/* Requests that the kernel answers for any file before its driver sees them. */
static bool is_generic(u32 number)
{
	return number == FIOCLEX || number == FIONCLEX || number == FIONBIO || number == FIOASYNC;
}

static bool wrong_process(const struct object *o, u32 mm)
{
	return !o->ops->anywhere && (o->foreign || o->mm != mm);
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
	else if (wrong_process(o, dev_mm(c->dev)))
		ret = refuse(c->why, -EIO,
			"the descriptor belongs to the process that created it, and does not work "
			"in its children");
	else
		ret = dispatch(o, number, c);
	object_put(c->dev, o);
	return ret;
}

static bool takes_no_lock(struct dev *d, int fd, u32 number)
{
	const struct object *o = object_peek(d, fd);
	const struct fd_ops *ops = o ? o->ops : NULL;

	return ops && ops->takes_no_lock && ops->takes_no_lock(number);
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

const char *dev_request_name(enum dev_kind kind, unsigned long request)
{
	const struct request *r;
	struct row at = {0};

	while ((r = next_row(&at)))
		if (r->on->kind == kind && r->number == (u32)request)
			return r->name;
	return NULL;
}

static bool is_like(const struct request *r, enum dev_kind kind, u32 number)
{
	return r->on->kind == kind && _IOC_TYPE(r->number) == _IOC_TYPE(number) &&
	       _IOC_NR(r->number) == _IOC_NR(number) && r->number != number;
}

const char *dev_request_like(enum dev_kind kind, unsigned long request, unsigned long *ret_request)
{
	const struct request *best = NULL, *r;
	struct row at = {0};

	while ((r = next_row(&at)))
		if (is_like(r, kind, (u32)request) &&
			(!best || _IOC_DIR(r->number) == _IOC_DIR(request)))
			best = r;
	if (!best)
		return NULL;
	*ret_request = best->number;
	return best->name;
}
