/* SPDX-License-Identifier: MIT */
/* Interrupt lines, injection, and the state of the chips in the kernel. */
#include "libkvm/context.h"

/* What becomes of the line is known to the hypervisor alone: a failure is told, and the answer is still 1. */
int kvm_set_irq_level(kvm_context_t kvm, int irq, int level)
{
	struct kvm_irq_level line = {.irq = (u32)irq, .level = (u32)level};

	if (!kvm->irqchip)
		return 0;
	result(vm_ioctl(kvm, KVM_IRQ_LINE, &line));
	return 1;
}

int kvm_inject_irq(kvm_context_t kvm, int vcpu, unsigned irq)
{
	struct kvm_interrupt interrupt = {.irq = irq};

	return result(vcpu_ioctl(kvm, vcpu, KVM_INTERRUPT, &interrupt));
}

int kvm_inject_nmi(kvm_context_t kvm, int vcpu)
{
	return result(vcpu_ioctl(kvm, vcpu, KVM_NMI, NULL));
}

int kvm_get_irqchip(kvm_context_t kvm, struct kvm_irqchip *chip)
{
	return kvm->irqchip ? result(vm_ioctl(kvm, KVM_GET_IRQCHIP, chip)) : 0;
}

int kvm_set_irqchip(kvm_context_t kvm, struct kvm_irqchip *chip)
{
	return kvm->irqchip ? result(vm_ioctl(kvm, KVM_SET_IRQCHIP, chip)) : 0;
}

int kvm_get_lapic(kvm_context_t kvm, int vcpu, struct kvm_lapic_state *s)
{
	return kvm->irqchip ? result(vcpu_ioctl(kvm, vcpu, KVM_GET_LAPIC, s)) : 0;
}

int kvm_set_lapic(kvm_context_t kvm, int vcpu, struct kvm_lapic_state *s)
{
	return kvm->irqchip ? result(vcpu_ioctl(kvm, vcpu, KVM_SET_LAPIC, s)) : 0;
}

int kvm_get_pit(kvm_context_t kvm, struct kvm_pit_state *s)
{
	return kvm->pit ? result(vm_ioctl(kvm, KVM_GET_PIT, s)) : 0;
}

/* Not KVM_SET_PIT2: that would also change flags, of which this structure says nothing. */
int kvm_set_pit(kvm_context_t kvm, struct kvm_pit_state *s)
{
	return kvm->pit ? result(vm_ioctl(kvm, KVM_SET_PIT, s)) : 0;
}

static int tpr_reporting(kvm_context_t kvm, int vcpu, u32 enabled)
{
	struct kvm_tpr_access_ctl control = {.enabled = enabled};

	return vcpu_optional(kvm, vcpu, KVM_TPR_ACCESS_REPORTING, &control, KVM_CAP_VAPIC,
		"reports of TPR accesses");
}

int kvm_enable_tpr_access_reporting(kvm_context_t kvm, int vcpu)
{
	return tpr_reporting(kvm, vcpu, 1);
}

int kvm_disable_tpr_access_reporting(kvm_context_t kvm, int vcpu)
{
	return tpr_reporting(kvm, vcpu, 0);
}

int kvm_enable_vapic(kvm_context_t kvm, int vcpu, uint64_t vapic)
{
	struct kvm_vapic_addr address = {.vapic_addr = vapic};

	return vcpu_optional(kvm, vcpu, KVM_SET_VAPIC_ADDR, &address, KVM_CAP_VAPIC,
		"TPR that guests share in memory");
}
