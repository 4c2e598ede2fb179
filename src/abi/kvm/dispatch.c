/* SPDX-License-Identifier: MIT */
/*
 * From a request number to the row of ioctls.def.
 *
 * The whole number counts, never its low byte alone: 0xa3 is KVM_GET_TSC_KHZ and KVM_ENABLE_CAP.
 * An unknown request is -EINVAL on /dev/kvm and on a vcpu, -ENOTTY on everything else, as Linux does it.
 */
#include "abi/kvm/kvm.h"

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
static const struct request rows[] = {
#include "abi/kvm/ioctls.def"
};

/* The number is the one of the kernel's admin-guide/devices.txt. */
static const struct device_node nodes[] = {
	{"/dev/kvm", &kvm_system_ops, 232, .assigned = true},
	{NULL},
};

static const u32 makes[] = {KVM_CREATE_VM, KVM_CREATE_VCPU, 0};

const struct interface kvm_interface = {
	.name = "kvm",
	.request_type = KVMIO,
	.nodes = nodes,
	.kinds = kvm_kinds,
	.requests = rows,
	.request_count = ROW_COUNT,
	.makes = makes,
};

#define FITS(size)                        _Static_assert((size) <= REQUEST_SIZE_MAX, "use ARG_PTR");
#define SYS(name, kind, size, handler)    FITS(size)
#define VM(name, kind, size, handler)     FITS(size)
#define VCPU(name, kind, size, handler)   FITS(size)
#define DEVICE(name, kind, size, handler) FITS(size)
#include "abi/kvm/ioctls.def"

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

bool system_takes_no_lock(u32 number)
{
	return number == KVM_CHECK_EXTENSION || number == KVM_GET_API_VERSION ||
	       number == KVM_GET_VCPU_MMAP_SIZE;
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
