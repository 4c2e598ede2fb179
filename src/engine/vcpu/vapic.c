/* SPDX-License-Identifier: MIT */
/*
 * Help for guests that touch the TPR all the time (32-bit Windows): the VMM is told of each access by memory and
 * patches the instruction, which from then on uses a word of ordinary RAM. That word shows TPR, the class being
 * served and the highest request, and what the guest writes into its lowest byte becomes the TPR at the next exit,
 * which a guest that lowers it makes with a hypercall (Linux: Documentation/virt/kvm/api.rst, KVM_SET_VAPIC_ADDR).
 */
#include <errno.h>

#include "engine/irq/lapic.h"
#include "engine/vcpu/vapic.h"

void vcpu_report_tpr(struct vcpu *v, bool on)
{
	v->tpr.report = on;
}

void tpr_accessed(struct vcpu *v, u64 rip, bool write)
{
	v->tpr.waits = true;
	v->tpr.rip = rip;
	v->tpr.write = write;
}

int vcpu_set_vapic(struct vcpu *v, u64 gpa)
{
	u32 word;

	if (!v->lapic)
		return refuse(&v->cpu.refusal, -EINVAL, NO_LAPIC);
	if (gpa && machine_read(v->machine, gpa, &word, sizeof(word)))
		return refuse(&v->cpu.refusal, -EINVAL,
			"vapic_addr 0x%lx: there is no memory at this address", gpa);
	v->tpr.page = gpa;
	return 0;
}

void vapic_to_guest(struct vcpu *v)
{
	const struct lapic *l = v->lapic;
	int isr = lapic_highest(l, R_ISR), irr = lapic_highest(l, R_IRR);
	u32 word = lapic_tpr(l);

	word |= isr < 0 ? 0 : (u32)(isr & 0xf0) << 8;
	word |= irr < 0 ? 0 : (u32)irr << 24;
	v->tpr.shown = (u8)word;
	machine_write(v->machine, v->tpr.page, &word, sizeof(word));
}

void vapic_from_guest(struct vcpu *v)
{
	u32 word;

	if (machine_read(v->machine, v->tpr.page, &word, sizeof(word)))
		return;
	if ((u8)word != v->tpr.shown) /* else the TPR may be newer, by MOV CR8 */
		lapic_set_tpr(v->lapic, (u8)word);
}
