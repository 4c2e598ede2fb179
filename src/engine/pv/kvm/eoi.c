/* SPDX-License-Identifier: MIT */
/*
 * The end of an interrupt without an exit (Linux: Documentation/virt/kvm/x86/msr.rst, MSR_KVM_EOI_EN).
 *
 * While guest code runs, bit 0 of a word in its memory says that the interrupt in service may be ended by clearing
 * that bit. It is set only if nobody else need know at once: no other interrupt is in service or waits, and neither
 * the IOAPIC nor anyone behind it is to hear of the end. What comes meanwhile makes the vcpu leave guest code, and
 * then the bit is looked at first and taken back. So outside guest code the local APIC is always as it should be,
 * the bit is 0, and whoever saves or changes state finds nothing half done.
 */
#include "engine/irq/lapic.h"
#include "engine/mem/memory.h"
#include "engine/pv/kvm/eoi.h"

#include <errno.h>

static u64 flag_gpa(const struct vcpu *v)
{
	return v->cpu.msr.kvm_eoi & ~PV_EOI_ON;
}

static int put_flag(struct vcpu *v, u8 flag)
{
	return machine_write(v->machine, flag_gpa(v), &flag, sizeof(flag));
}

/* The vector in service if there is exactly one, else -1. */
static int only_in_service(const struct lapic *l)
{
	int vector = -1;

	for (unsigned i = 0; i < 8; i++) {
		u32 bits = reg_get(l, R_ISR + i);

		if (!bits)
			continue;
		if (vector >= 0 || bits & (bits - 1))
			return -1;
		vector = (int)(i * 32) + __builtin_ctz(bits);
	}
	return vector;
}

void pv_eoi_to_guest(struct vcpu *v)
{
	struct lapic *l = v->lapic;
	int vector = l ? only_in_service(l) : -1;

	if (vector < 0 || lapic_highest(l, R_IRR) >= 0 || lapic_end_matters(l, (u8)vector))
		return;
	l->pv_eoi = !put_flag(v, PV_EOI_MAY_CLEAR);
}

/* As in Linux, a flag that is not there any more counts as cleared: interrupts go on. */
void pv_eoi_from_guest(struct vcpu *v)
{
	struct lapic *l = v->lapic;
	u8 flag;

	if (!l || !l->pv_eoi)
		return;
	l->pv_eoi = false;
	if (machine_read(v->machine, flag_gpa(v), &flag, sizeof(flag)) ||
		!(flag & PV_EOI_MAY_CLEAR) || put_flag(v, 0))
		lapic_eoi(l);
}

/* The word is aligned, and there when it is switched on. */
int pv_eoi_set(struct vcpu *v, u64 value)
{
	u64 gpa = value & ~PV_EOI_ON;

	if (gpa & 3)
		return -EINVAL;
	if ((value & PV_EOI_ON) && !machine_has_ram(v->machine, gpa, 1))
		return -EINVAL;
	v->cpu.msr.kvm_eoi = value;
	return 0;
}
