/* SPDX-License-Identifier: MIT */
/*
 * The register page in and out, in the layout of KVM_GET_LAPIC: a register each 16 bytes. In x2APIC
 * mode the id is 32 bits wide only for those who asked for that, and the ICR's high half is at 310h.
 */
#include "engine/irq/lapic.h"
#include "engine/request/post.h"

#include <errno.h>
#include <string.h>

static u32 page_id(const struct lapic *l)
{
	u32 id = reg_get(l, R_ID);

	return lapic_x2(l) && !l->irq->ids32 ? id << 24 : id;
}

int vcpu_get_lapic(struct vcpu *v, u8 ret[1024])
{
	struct lapic *l = v->lapic;

	if (!l)
		return refuse(&v->cpu.refusal, -EINVAL, NO_LAPIC);
	/* A deadline stays in its MSR, which has been read already or will be next. */
	if (!lapic_deadline_mode(l))
		lapic_timer_settle(l);
	memset(ret, 0, 1024);
	for (unsigned r = 0; r < LAPIC_REGS; r++) {
		u32 value = r == R_ID              ? page_id(l)
			    : r == R_TIMER_CURRENT ? lapic_timer_current(l)
						   : reg_get(l, r);

		memcpy(ret + r * 16, &value, sizeof(value));
	}
	return 0;
}

static u32 page_get(const u8 regs[1024], unsigned r)
{
	u32 value;

	memcpy(&value, regs + r * 16, sizeof(value));
	return value;
}

/*
 * Bits that would mean something that cannot be: a TPR of more than 8 bits, an ICR that is busy for ever (guests wait
 * for it). The rest is kept as it came.
 */
static u32 possible(unsigned r, u32 value)
{
	return r == R_TPR ? value & 0xff : r == R_ICR ? value & ~ICR_BUSY : value;
}

static void set_id(struct lapic *l, u32 id)
{
	if (lapic_x2(l)) {
		reg_set(l, R_ID, l->vcpu->apic_id);
		reg_set(l, R_LDR, lapic_x2_ldr(l->vcpu->apic_id));
	} else {
		reg_set(l, R_ID, id & 0xff000000);
	}
}

u32 vcpu_apic_id(const struct vcpu *v)
{
	return v->apic_id;
}

void vcpu_set_apic_id(struct vcpu *v, u32 id)
{
	struct lapic *l = v->lapic;

	v->apic_id = id;
	if (!l)
		return;
	set_id(l, id << 24);
	apic_map_stale(l->irq);
}

int vcpu_set_lapic(struct vcpu *v, const u8 regs[1024])
{
	struct lapic *l = v->lapic;
	u64 deadline;

	if (!l)
		return refuse(&v->cpu.refusal, -EINVAL, NO_LAPIC);
	if (lapic_x2(l) && l->irq->ids32 && page_get(regs, R_ID) != v->apic_id)
		return refuse(&v->cpu.refusal, -EINVAL,
			"regs[0x20], the APIC id, is 0x%lx, but must be 0x%lx in x2APIC mode",
			(u64)page_get(regs, R_ID), (u64)v->apic_id);
	deadline = lapic_get_deadline(l); /* no part of the page: stays */
	lapic_timer_stop(l);
	for (unsigned r = 0; r < LAPIC_REGS; r++)
		reg_set(l, r, possible(r, page_get(regs, r)));
	reg_set(l, R_VERSION, lapic_version(l));
	set_id(l, page_get(regs, R_ID));
	lapic_update_ppr(l);
	lapic_timer_restore(l, page_get(regs, R_TIMER_CURRENT));
	if (deadline)
		lapic_set_deadline(l, deadline);
	atomic_store(&l->maybe_pending, true);
	apic_map_stale(l->irq);
	vcpu_post_event(v);
	return 0;
}
