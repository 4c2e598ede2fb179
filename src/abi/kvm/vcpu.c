/* SPDX-License-Identifier: MIT */
/* Small requests on a vcpu: interrupts by hand, local APIC page, TSC, translation, guest debugging; mapping it. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "abi/kvm/kvm.h"

/* ---- interrupts ---- */

long vcpu_queue_interrupt(struct call *c)
{
	const struct kvm_interrupt *k = c->data;

	if (k->irq >= KVM_NR_INTERRUPTS)
		return refuse(c->why, -EINVAL, "irq %lu: a vector must be 0 to 255", (u64)k->irq);
	if (machine_irqchip(vm_of(c)->machine) == IRQCHIP_FULL)
		return refuse(c->why, -ENXIO,
			"the irqchip delivers interrupts: raise them with KVM_IRQ_LINE");
	vcpu_interrupt(vcpu_of(c)->cpu, k->irq);
	return 0;
}

long vcpu_queue_nmi(struct call *c)
{
	vcpu_nmi(vcpu_of(c)->cpu);
	return 0;
}

long vcpu_queue_smi(struct call *c)
{
	vcpu_smi(vcpu_of(c)->cpu);
	return 0;
}

_Static_assert(sizeof(struct kvm_lapic_state) == 1024, "LAPIC page");

long vcpu_get_lapic_page(struct call *c)
{
	if (!vm_has_irqchip(vm_of(c)))
		return refuse(c->why, -EINVAL, NO_IRQCHIP);
	return vcpu_answered(c, vcpu_get_lapic(vcpu_of(c)->cpu, c->data));
}

long vcpu_set_lapic_page(struct call *c)
{
	u8 regs[1024];

	if (!vm_has_irqchip(vm_of(c)))
		return refuse(c->why, -EINVAL, NO_IRQCHIP);
	if (copy_in(c->dev, regs, c->arg, sizeof(regs)))
		return -EFAULT;
	return vcpu_answered(c, vcpu_set_lapic(vcpu_of(c)->cpu, regs));
}

long vcpu_tpr_reporting(struct call *c)
{
	const struct kvm_tpr_access_ctl *t = c->data;

	if (check_flags(c, t->flags, 0))
		return -EINVAL;
	vcpu_report_tpr(vcpu_of(c)->cpu, t->enabled);
	return 0;
}

long vcpu_set_vapic_addr(struct call *c)
{
	struct kvm_vapic_addr a;

	if (!vm_has_irqchip(vm_of(c)))
		return refuse(c->why, -EINVAL, NO_IRQCHIP);
	if (copy_in(c->dev, &a, c->arg, sizeof(a)))
		return -EFAULT;
	return vcpu_answered(c, vcpu_set_vapic(vcpu_of(c)->cpu, a.vapic_addr));
}

/* ---- time ---- */

long vcpu_get_tsc_khz(struct call *c)
{
	return vcpu_tsc_khz(vcpu_of(c)->cpu);
}

long vcpu_set_tsc_khz_request(struct call *c)
{
	return vcpu_answered(c, vcpu_set_tsc_khz(vcpu_of(c)->cpu, c->arg));
}

long vcpu_kvmclock_ctrl(struct call *c)
{
	return refuse_if(c->why, vcpu_clock_stopped(vcpu_of(c)->cpu), -EINVAL,
		"the guest has no kvmclock page: MSR 0x4b564d01 is not set, or there is no memory "
		"at its address");
}

/* The only attribute of a vcpu. */
static long check_attr(struct call *c)
{
	const struct kvm_device_attr *a = c->data;

	if (a->group == KVM_VCPU_TSC_CTRL && a->attr == KVM_VCPU_TSC_OFFSET)
		return 0;
	return refuse(c->why, -ENXIO,
		"attr %lu of group %lu: the only attribute of a vCPU is KVM_VCPU_TSC_OFFSET",
		(u64)a->attr, (u64)a->group);
}

long vcpu_has_attr(struct call *c)
{
	return check_attr(c);
}

long vcpu_get_attr(struct call *c)
{
	const struct kvm_device_attr *a = c->data;
	s64 offset = vcpu_tsc_offset(vcpu_of(c)->cpu);

	if (check_attr(c))
		return -ENXIO;
	return copy_out(c->dev, a->addr, &offset, sizeof(offset));
}

long vcpu_set_attr(struct call *c)
{
	const struct kvm_device_attr *a = c->data;
	s64 offset;

	if (check_attr(c))
		return -ENXIO;
	if (copy_in(c->dev, &offset, a->addr, sizeof(offset)))
		return -EFAULT;
	vcpu_set_tsc_offset(vcpu_of(c)->cpu, offset);
	return 0;
}

/* ---- machine checks ---- */

long vcpu_setup_mce_request(struct call *c)
{
	return vcpu_answered(c, vcpu_setup_mce(vcpu_of(c)->cpu, *(u64 *)c->data));
}

long vcpu_set_mce(struct call *c)
{
	const struct kvm_x86_mce *k = c->data;
	struct machine_check mc = {
		.status = k->status,
		.addr = k->addr,
		.misc = k->misc,
		.mcg_status = k->mcg_status,
		.bank = k->bank,
	};

	return vcpu_answered(c, vcpu_machine_check(vcpu_of(c)->cpu, &mc));
}

/* ---- looking in ---- */

long vcpu_translate_gva(struct call *c)
{
	struct kvm_translation *t = c->data;
	struct translation to;

	t->valid = !vcpu_translate(vcpu_of(c)->cpu, t->linear_address, &to);
	t->physical_address = t->valid ? to.gpa : ~0ull;
	/* Linux has never filled these in with anything else. */
	t->writeable = 1;
	t->usermode = 0;
	return 0;
}

static u32 debug_flags(u32 control)
{
	u32 flags = 0;

	if (!(control & KVM_GUESTDBG_ENABLE))
		return 0;
	flags |= control & KVM_GUESTDBG_SINGLESTEP ? DBG_SINGLESTEP : 0;
	flags |= control & KVM_GUESTDBG_USE_SW_BP ? DBG_SW_BP : 0;
	flags |= control & KVM_GUESTDBG_USE_HW_BP ? DBG_HW_BP : 0;
	flags |= control & KVM_GUESTDBG_BLOCKIRQ ? DBG_BLOCK_IRQ : 0;
	return flags;
}

static int inject(struct vcpu *cpu, u32 control)
{
	if (control & KVM_GUESTDBG_INJECT_DB)
		return vcpu_inject_exception(cpu, X86_DB);
	if (control & KVM_GUESTDBG_INJECT_BP)
		return vcpu_inject_exception(cpu, X86_BP);
	return 0;
}

long vcpu_set_guest_debug(struct call *c)
{
	const struct kvm_guest_debug *g = c->data;
	u64 dr[8];
	long r = vcpu_answered(c, inject(vcpu_of(c)->cpu, g->control));

	if (r)
		return r;
	memcpy(dr, g->arch.debugreg, sizeof(dr));
	return vcpu_set_debug(vcpu_of(c)->cpu, debug_flags(g->control), dr);
}

/* ---- mapping the descriptor ---- */

/* KVM's descriptors lie where nothing may be executed; the ring is written by the kernel, so it is never copied. */
int vcpu_mmap_check(int prot, int flags, size_t len, u64 offset)
{
	u64 ring = KVM_DIRTY_LOG_PAGE_OFFSET * PAGE_SIZE;

	if (prot & PROT_EXEC)
		return -EPERM;
	return offset + len > ring && !(flags & MAP_SHARED) ? -EINVAL : 0;
}
