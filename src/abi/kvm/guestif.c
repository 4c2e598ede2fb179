/* SPDX-License-Identifier: MIT */
/* Other hypervisors' guest interfaces: Hyper-V's enlightenments, Xen's hypercalls. */
#include <errno.h>

#include "abi/kvm/kvm.h"

/* On the system's descriptor and on a vcpu's. */
long supported_hv_cpuid(struct call *c)
{
	struct cpuid_entry e[16];
	unsigned n =
		engine_hv_cpuid(c->vcpu ? c->vcpu->cpu : NULL, "Linux KVM Hv", e, ARRAY_SIZE(e));

	return entries_out(c, e, n);
}

long vm_hyperv_eventfd(struct call *c)
{
	const struct kvm_hyperv_eventfd *e = c->data;
	bool deassign = e->flags == KVM_HYPERV_EVENTFD_DEASSIGN;

	if ((e->flags && !deassign) || e->conn_id & ~KVM_HYPERV_CONN_ID_MASK)
		return -EINVAL;
	return deassign ? hv_event_deassign(c->vm->machine, e->conn_id)
			: hv_event_assign(c->vm->machine, e->conn_id, e->fd);
}

long vcpu_enable_hyperv(struct kvm_vcpu *v, const struct kvm_enable_cap *e)
{
	switch (e->cap) {
	case KVM_CAP_HYPERV_SYNIC2:
		if (e->args[0])
			return -EINVAL;
		return vcpu_enable_synic(v->cpu, true);
	case KVM_CAP_HYPERV_SYNIC: return vcpu_enable_synic(v->cpu, false);
	case KVM_CAP_HYPERV_ENFORCE_CPUID: vcpu_enforce_hv_cpuid(v->cpu, e->args[0]); return 0;
	default: return -EINVAL;
	}
}

/* Only hypercalls that leave: then the page's content is ours, and the caller may not bring one. */
long vm_xen_config(struct call *c)
{
	const struct kvm_xen_hvm_config *x = c->data;
	bool intercept = x->flags & KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL;

	if (x->flags & ~KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL || (x->msr && !intercept))
		return -EINVAL;
	if (intercept && (x->blob_size_32 || x->blob_size_64 || x->blob_addr_32 || x->blob_addr_64))
		return -EINVAL;
	machine_set_xen(c->vm->machine, intercept ? x->msr : 0);
	return 0;
}
