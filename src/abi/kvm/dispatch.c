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

#include "abi/kvm/kvm.h"
#include "base/sys.h"

#define SYS(name, kind, size, handler)    ROW_SYS_##name,
#define VM(name, kind, size, handler)     ROW_VM_##name,
#define VCPU(name, kind, size, handler)   ROW_VCPU_##name,
#define DEVICE(name, kind, size, handler) ROW_DEVICE_##name,
enum {
#include "abi/kvm/ioctls.def"
	ROW_COUNT
};

#define SYS(name, kind, size, handler)    {#name, name, FD_SYSTEM, kind, size, handler},
#define VM(name, kind, size, handler)     {#name, name, FD_VM, kind, size, handler},
#define VCPU(name, kind, size, handler)   {#name, name, FD_VCPU, kind, size, handler},
#define DEVICE(name, kind, size, handler) {#name, name, FD_DEVICE, kind, size, handler},
static const struct request rows[ROW_COUNT] = {
#include "abi/kvm/ioctls.def"
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

const struct request *request_find(enum fd_kind kind, u32 number)
{
	int row = -1;

	switch (kind) {
	case FD_SYSTEM: row = find_system(number); break;
	case FD_VM: row = find_vm(number); break;
	case FD_VCPU: row = find_vcpu(number); break;
	case FD_DEVICE: row = find_device(number); break;
	case FD_GUEST_MEMFD:
	case FD_KINDS: break;
	}
	return row < 0 ? NULL : &rows[row];
}

const struct request *request_table(unsigned *ret_count)
{
	*ret_count = ROW_COUNT;
	return rows;
}

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

static long call_handler(const struct request *r, struct call *c)
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

/* Requests that the kernel answers for any file before its driver sees them. */
static bool is_generic(u32 number)
{
	return number == FIOCLEX || number == FIONCLEX || number == FIONBIO || number == FIOASYNC;
}

static long dispatch(struct object *o, u32 number, struct call *c)
{
	const struct request *r = request_find(o->kind, number);
	long ret;

	if (!r)
		return refuse(c->why,
			o->kind == FD_SYSTEM || o->kind == FD_VCPU ? -EINVAL : -ENOTTY,
			"this kind of descriptor does not have the request 0x%lx", (u64)number);
	if (o->kind == FD_VM)
		c->vm = o->vm;
	if (o->kind == FD_DEVICE)
		c->vfio = o->vfio;
	if (o->kind != FD_VCPU)
		return call_handler(r, c);
	c->vcpu = o->vcpu;
	c->vm = o->vcpu->vm;
	/* A request for a vcpu that runs on another thread waits until it has come out. */
	pthread_mutex_lock(&o->vcpu->lock);
	ret = call_handler(r, c);
	pthread_mutex_unlock(&o->vcpu->lock);
	return ret;
}

static bool wrong_process(const struct object *o, u32 mm)
{
	return o->kind != FD_SYSTEM && (o->foreign || o->mm != mm);
}

static long serve(int fd, u32 number, struct call *c)
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

static bool takes_no_lock(u32 number)
{
	return number == KVM_CHECK_EXTENSION || number == KVM_GET_API_VERSION ||
	       number == KVM_GET_VCPU_MMAP_SIZE;
}

/*
 * A signal handler may make requests of its own, leave by longjmp() or end the thread
 * (pthread_cancel), so none may run while a lock or a reference is held. In the kernel, too, it
 * runs when the call is over.
 */
static long serve_blocked(int fd, u32 number, struct call *c)
{
	long ret;

	if (takes_no_lock(number))
		return serve(fd, number, c);
	signals_block(&c->caller_mask);
	ret = serve(fd, number, c);
	signals_restore(c->caller_mask);
	return ret;
}

static long serve_with(int fd, u32 number, struct call *c, const struct dev_signals *how)
{
	long ret;

	c->hold = how->hold;
	c->caller_mask = how->caller_mask;
	if (!how->hold)
		return serve(fd, number, c);
	hold_begin(how->hold);
	ret = serve(fd, number, c);
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
