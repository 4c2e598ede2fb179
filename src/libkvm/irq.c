/* SPDX-License-Identifier: MIT */
/* Interrupt lines, injection, and the state of the chips in the kernel. */
#include <string.h>

#include "libkvm/context.h"

int kvm_set_irq_level(kvm_context_t kvm, int irq, int level)
{
	struct kvm_irq_level line = {.irq = (u32)irq, .level = (u32)level};
	long r;

	if (!kvm->irqchip)
		return 0;
	r = vm_ioctl(kvm, KVM_IRQ_LINE, &line);
	if (r < 0)
		log_line(kvm, UV_KVM_LOG_ERROR, "setting line %d failed: %s", irq,
			strerror((int)-r));
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

/* struct kvm_pit_state is the beginning of struct kvm_pit_state2. */
int kvm_get_pit(kvm_context_t kvm, struct kvm_pit_state *s)
{
	struct kvm_pit_state2 state;
	long r;

	if (!kvm->pit)
		return 0;
	if (!kvm_check_extension(kvm, KVM_CAP_PIT_STATE2))
		return result(vm_ioctl(kvm, KVM_GET_PIT, s));
	r = vm_ioctl(kvm, KVM_GET_PIT2, &state);
	if (r >= 0)
		memcpy(s->channels, state.channels, sizeof(s->channels));
	return result(r);
}

int kvm_set_pit(kvm_context_t kvm, struct kvm_pit_state *s)
{
	struct kvm_pit_state2 state = {.flags = 0};

	if (!kvm->pit)
		return 0;
	if (!kvm_check_extension(kvm, KVM_CAP_PIT_STATE2))
		return result(vm_ioctl(kvm, KVM_SET_PIT, s));
	memcpy(state.channels, s->channels, sizeof(s->channels));
	return result(vm_ioctl(kvm, KVM_SET_PIT2, &state));
}

static int tpr_reporting(kvm_context_t kvm, int vcpu, u32 enabled)
{
	struct kvm_tpr_access_ctl control = {.enabled = enabled};

	if (!kvm_check_extension(kvm, KVM_CAP_VAPIC))
		return result(-ENOSYS);
	return result(vcpu_ioctl(kvm, vcpu, KVM_TPR_ACCESS_REPORTING, &control));
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

	return result(vcpu_ioctl(kvm, vcpu, KVM_SET_VAPIC_ADDR, &address));
}
