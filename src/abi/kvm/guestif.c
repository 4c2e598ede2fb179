/* SPDX-License-Identifier: MIT */
/* Other hypervisors' guest interfaces: Hyper-V's enlightenments, Xen's hypercalls. */
#include <errno.h>

#include "abi/kvm/caps.h"
#include "abi/kvm/state.h"

/* On the system's descriptor and on a vcpu's. */
long supported_hv_cpuid(struct call *c)
{
	struct cpuid_entry e[16];
	unsigned n = engine_hv_cpuid(
		vcpu_of(c) ? vcpu_of(c)->cpu : NULL, "Linux KVM Hv", e, ARRAY_SIZE(e));

	return entries_out(c, e, n);
}

long vm_hyperv_eventfd(struct call *c)
{
	const struct kvm_hyperv_eventfd *e = c->data;
	u64 id = e->conn_id;
	long r;

	if (check_flags(c, e->flags, KVM_HYPERV_EVENTFD_DEASSIGN))
		return -EINVAL;
	if (id & ~KVM_HYPERV_CONN_ID_MASK)
		return refuse(
			c->why, -EINVAL, "conn_id 0x%lx: a connection id has only 24 bits", id);
	if (e->flags)
		return refuse_if(c->why, hv_event_deassign(vm_of(c)->machine, e->conn_id), -ENOENT,
			"conn_id 0x%lx: this connection has no eventfd", id);
	r = hv_event_assign(vm_of(c)->machine, e->conn_id, e->fd);
	r = refuse_if(
		c->why, r, -EEXIST, "conn_id 0x%lx: this connection already has an eventfd", id);
	r = refuse_if(c->why, r, -EBADF, "fd %lu is not open", (u64)(u32)e->fd);
	return refuse_if(c->why, r, -EINVAL, "fd %lu is not an eventfd", (u64)(u32)e->fd);
}

long vcpu_enable_hyperv(struct call *c, const struct kvm_enable_cap *e)
{
	struct vcpu *cpu = vcpu_of(c)->cpu;

	switch (e->cap) {
	case KVM_CAP_HYPERV_SYNIC2:
		if (e->args[0])
			return refuse(c->why, -EINVAL, "args[0] 0x%lx: must be 0", (u64)e->args[0]);
		return vcpu_answered(c, vcpu_enable_synic(cpu, true));
	case KVM_CAP_HYPERV_SYNIC: return vcpu_answered(c, vcpu_enable_synic(cpu, false));
	case KVM_CAP_HYPERV_ENFORCE_CPUID: vcpu_enforce_hv_cpuid(cpu, e->args[0]); return 0;
	default:
		return refuse(c->why, -EINVAL,
			"cap %lu: this capability cannot be enabled for a vCPU", (u64)e->cap);
	}
}

/* Only hypercalls that leave: then the page's content is ours, and the caller may not bring one. */
long vm_xen_config(struct call *c)
{
	const struct kvm_xen_hvm_config *x = c->data;
	bool intercept = x->flags & KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL;

	if (check_flags(c, x->flags, KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL))
		return -EINVAL;
	if (x->msr && !intercept)
		return refuse(c->why, -EINVAL,
			"flags: INTERCEPT_HCALL must be set if there is an msr; no other way is "
			"offered");
	if (intercept && (x->blob_size_32 || x->blob_size_64 || x->blob_addr_32 || x->blob_addr_64))
		return refuse(
			c->why, -EINVAL, "blob_*: these fields must be 0 with INTERCEPT_HCALL");
	machine_set_xen(vm_of(c)->machine, intercept ? x->msr : 0);
	return 0;
}
