/* SPDX-License-Identifier: MIT */
/*
 * KVM_GET_NESTED_STATE and KVM_SET_NESTED_STATE. There are no nested guests here, but the requests exist in every KVM
 * on x86, whether it offers nested virtualization or not, and VMMs that save and restore all there is make them: what
 * is said, and accepted, is the header of a vcpu that runs none, in the format of the host's vendor.
 */
#include <errno.h>
#include <string.h>

#include "abi/kvm/caps.h"
#include "base/hostcpu.h"

#define NO_ADDRESS (~0ull)

static struct kvm_nested_state none_runs(bool amd)
{
	struct kvm_nested_state s = {.size = sizeof(s)};

	if (amd) {
		s.format = KVM_STATE_NESTED_FORMAT_SVM;
		s.flags = KVM_STATE_NESTED_GIF_SET;
		return s;
	}
	s.format = KVM_STATE_NESTED_FORMAT_VMX;
	s.hdr.vmx.vmxon_pa = s.hdr.vmx.vmcs12_pa = NO_ADDRESS;
	return s;
}

/* The most that a VMM must have room for: with one VMCB, or a VMCS and its shadow. */
long nested_state_bytes(void)
{
	return (long)sizeof(struct kvm_nested_state) +
	       (host_cpu_is_amd() ? KVM_STATE_NESTED_SVM_VMCB_SIZE
				  : 2 * KVM_STATE_NESTED_VMX_VMCS_SIZE);
}

/* The size that it takes is written back if the caller's is too small. */
long vcpu_get_nested_state(struct call *c)
{
	const unsigned long size_at = c->arg + offsetof(struct kvm_nested_state, size);
	const struct kvm_nested_state s = none_runs(host_cpu_is_amd());
	u32 room;

	if (copy_in(c->dev, &room, size_at, sizeof(room)))
		return -EFAULT;
	if (room < s.size)
		return copy_out(c->dev, size_at, &s.size, sizeof(s.size))
			       ? -EFAULT
			       : refuse(c->why, -E2BIG,
					 "size %lu: the state has %lu bytes; make room for them",
					 (u64)room, (u64)s.size);
	return copy_out(c->dev, c->arg, &s, sizeof(s)) ? -EFAULT : 0;
}

static long check_vmx(struct call *c, const struct kvm_nested_state *s)
{
	const struct kvm_vmx_nested_state_hdr *h = &s->hdr.vmx;

	if (h->vmxon_pa != NO_ADDRESS || h->vmcs12_pa != NO_ADDRESS)
		return refuse(c->why, -EINVAL,
			"hdr.vmx: vmxon_pa and vmcs12_pa must be ~0, because CPUID offers no VMX");
	if (h->smm.flags || s->flags)
		return refuse(c->why, -EINVAL,
			"flags 0x%lx, hdr.vmx.smm.flags 0x%lx: both must be 0 without VMX",
			(u64)s->flags, (u64)h->smm.flags);
	return 0;
}

static long check_svm(struct call *c, const struct kvm_nested_state *s)
{
	if (s->flags == KVM_STATE_NESTED_GIF_SET)
		return 0;
	return refuse(c->why, -EINVAL, "flags 0x%lx: must be 0x%lx, GIF_SET, without SVM",
		(u64)s->flags, (u64)KVM_STATE_NESTED_GIF_SET);
}

long vcpu_set_nested_state(struct call *c)
{
	const bool amd = host_cpu_is_amd();
	const struct kvm_nested_state want = none_runs(amd);
	struct kvm_nested_state s;

	if (copy_in(c->dev, &s, c->arg, sizeof(s)))
		return -EFAULT;
	if (s.size < sizeof(s))
		return refuse(c->why, -EINVAL,
			"size %lu: must be at least %lu, the size of the header", (u64)s.size,
			(u64)sizeof(s));
	if (s.format != want.format)
		return refuse(c->why, -EINVAL, "format %lu: this processor has format %lu",
			(u64)s.format, (u64)want.format);
	return amd ? check_svm(c, &s) : check_vmx(c, &s);
}
