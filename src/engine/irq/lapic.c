/* SPDX-License-Identifier: MIT */
/*
 * Local APIC: how requests come in, which one is next, and how they end (SDM 3:10.8).
 *
 * Posting is lock-free: TMR bit, IRR bit, hint, then wake the vcpu. The vcpu's thread looks at the
 * hint first, so that asking for interrupts costs two loads when there are none. It clears the hint
 * before it finds IRR empty and sets it again if it was wrong, so that no request is missed.
 */
#include "engine/irq/lapic.h"
#include "engine/irq/irq.h"
#include "engine/request/post.h"

#include <stdlib.h>
#include <errno.h>

/* ---- 256-bit vector sets in eight registers ---- */

static bool set_bit(struct lapic *l, unsigned first, u8 vector)
{
	return atomic_fetch_or(&l->reg[first + (vector >> 5)], BIT(vector & 31)) & BIT(vector & 31);
}

static bool clear_bit(struct lapic *l, unsigned first, u8 vector)
{
	return atomic_fetch_and(&l->reg[first + (vector >> 5)], ~BIT(vector & 31)) &
	       BIT(vector & 31);
}

/* ---- incoming ---- */

/* It ends the sleep in front of HV_GUEST_IDLE all the same. */
static void refuse_request(struct lapic *l)
{
	if (!machine_intercepts(l->vcpu->machine))
		return;
	atomic_store(&l->missed, true);
	vcpu_post_event(l->vcpu);
}

static enum accept_result accept_vector(struct lapic *l, u8 vector, bool level)
{
	bool pending;

	if (!(reg_get(l, R_SVR) & SVR_ENABLE)) {
		refuse_request(l);
		return ACCEPT_REFUSED;
	}
	if (vector < 16) {
		lapic_error(l, ESR_RECEIVE_VECTOR);
		return ACCEPT_REFUSED;
	}
	if (level != vector_set(&l->reg[R_TMR], vector))
		(level ? set_bit : clear_bit)(l, R_TMR, vector);
	pending = set_bit(l, R_IRR, vector);
	atomic_store(&l->maybe_pending, true);
	vcpu_post_event(l->vcpu);
	return pending ? ACCEPT_PENDING : ACCEPT_FRESH;
}

enum accept_result lapic_accept(struct lapic *l, const struct apic_msg *msg)
{
	switch (msg->delivery) {
	case DELIVER_FIXED:
	case DELIVER_LOWEST: return accept_vector(l, msg->vector, msg->level_triggered);
	case DELIVER_SMI: vcpu_post_smi(l->vcpu); return ACCEPT_FRESH;
	case DELIVER_NMI: vcpu_post_nmi(l->vcpu); return ACCEPT_FRESH;
	case DELIVER_INIT: vcpu_post_init(l->vcpu); return ACCEPT_FRESH;
	case DELIVER_SIPI: vcpu_post_sipi(l->vcpu, msg->vector); return ACCEPT_FRESH;
	case DELIVER_EXTINT:
		atomic_store(&l->extint, true);
		vcpu_post_event(l->vcpu);
		return ACCEPT_FRESH;
	/* Never worked on real ones; KVM gave it a meaning. */
	case DELIVER_REMOTE_READ: vcpu_post_unhalt(l->vcpu); return ACCEPT_FRESH;
	default: return ACCEPT_REFUSED;
	}
}

void lapic_local(struct lapic *l, enum lapic_reg lvt)
{
	u32 entry = reg_get(l, lvt);
	unsigned delivery = entry >> 8 & 7;

	if (entry & LVT_MASKED || !lapic_enabled(l))
		return;
	if (delivery == DELIVER_NMI)
		vcpu_post_nmi(l->vcpu);
	else if (delivery == DELIVER_FIXED)
		accept_vector(l, (u8)entry, false);
}

/* SDM 3:10.5.3. Without an error vector of its own that is wrong, else this would never end. */
void lapic_error(struct lapic *l, u32 esr_bit)
{
	u32 old = atomic_fetch_or(&l->esr_pending, esr_bit);

	if (!(old & esr_bit) && (u8)reg_get(l, R_LVT_ERROR) >= 16)
		lapic_local(l, R_LVT_ERROR);
}

/* ---- what is next ---- */

static int pending_vector(struct lapic *l)
{
	int vector;

	if (!atomic_load_explicit(&l->maybe_pending, memory_order_relaxed))
		return -1;
	vector = lapic_highest(l, R_IRR);
	if (vector < 0) {
		/* A full barrier on x86: the second look cannot come before it. */
		atomic_store(&l->maybe_pending, false);
		__asm__ volatile("" ::: "memory");
		vector = lapic_highest(l, R_IRR);
		if (vector < 0)
			return -1;
		atomic_store(&l->maybe_pending, true);
	}
	if (!lapic_enabled(l))
		return -1;
	return lapic_lets_through(l, vector) ? vector : -1;
}

/* LINT0 is wired to the PIC; a disabled APIC passes its INTR through (SDM 3:10.4.3). */
bool lapic_takes_extint(const struct lapic *l)
{
	u32 lint0 = reg_get(l, R_LVT_LINT0);

	if (!lapic_enabled(l) || atomic_load_explicit(&l->extint, memory_order_relaxed))
		return true;
	return !(lint0 & LVT_MASKED) && (lint0 >> 8 & 7) == DELIVER_EXTINT;
}

static bool extint_pending(const struct lapic *l)
{
	return atomic_load_explicit(&l->irq->pic_output, memory_order_relaxed) &&
	       lapic_takes_extint(l);
}

int irq_pending(struct vcpu *v)
{
	struct lapic *l = v->lapic;

	if (!l)
		return -1;
	return extint_pending(l) ? IRQ_EXTINT : pending_vector(l);
}

static int accept_extint(struct lapic *l)
{
	struct irq *irq = l->irq;
	int vector = -1;

	pthread_mutex_lock(&irq->lock);
	if (irq->pic.output) {
		atomic_store(&l->extint, false);
		vector = pic_intack(&irq->pic);
	}
	pthread_mutex_unlock(&irq->lock);
	return vector;
}

/* Hyper-V's SINTs */
static bool is_sint_vector(const struct lapic *l, u8 vector)
{
	return vector_set(l->vcpu->sints.all, vector);
}

static bool ends_by_itself(const struct lapic *l, u8 vector)
{
	return vector_set(l->vcpu->sints.auto_eoi, vector);
}

int irq_accept(struct vcpu *v)
{
	struct lapic *l = v->lapic;
	int vector = -1;

	if (!l)
		return -1;
	if (extint_pending(l))
		vector = accept_extint(l);
	if (vector >= 0)
		return vector;
	vector = pending_vector(l);
	if (vector < 0)
		return -1;
	clear_bit(l, R_IRR, vector);
	if (!ends_by_itself(l, vector))
		set_bit(l, R_ISR, vector);
	lapic_update_ppr(l);
	return vector;
}

/* ---- what the guest does to priorities ---- */

void lapic_recheck(struct lapic *l)
{
	if (irq_pending(l->vcpu) >= 0)
		vcpu_post_event(l->vcpu);
}

void lapic_set_tpr(struct lapic *l, u8 tpr)
{
	lapic_put_tpr(l, tpr);
	lapic_recheck(l);
}

/* Those of the IOAPIC: level-triggered, and what a device wants to know of (SDM 3:10.8.5). */
static bool ioapic_waits_for(const struct lapic *l, u8 vector)
{
	bool level = vector_set(&l->reg[R_TMR], vector);

	if (l->irq->mode == IRQCHIP_FULL)
		return level || vector_set(l->irq->eoi_watch, vector);
	/* A partition's VMM has all IOAPICs, and no table tells what they send. */
	return level &&
	       (machine_intercepts(l->vcpu->machine) || vector_set(l->irq->eoi_exits, vector));
}

bool lapic_end_matters(const struct lapic *l, u8 vector)
{
	return ioapic_waits_for(l, vector) || is_sint_vector(l, vector);
}

static void tell_ioapic(struct lapic *l, u8 vector)
{
	if (l->irq->mode == IRQCHIP_FULL) {
		irq_eoi(l->irq, vector);
		return;
	}
	if (machine_intercepts(l->vcpu->machine) && irqfd_ack_vector(l->irq, vector))
		return;
	l->eoi_exit = vector;
	vcpu_post_event(l->vcpu);
}

void lapic_eoi(struct lapic *l)
{
	int vector = lapic_highest(l, R_ISR);

	if (vector < 0)
		return;
	clear_bit(l, R_ISR, vector);
	lapic_update_ppr(l);
	if (is_sint_vector(l, vector))
		l->vcpu->machine->sint_ops->ended(l->vcpu, (u8)vector);
	if (ioapic_waits_for(l, (u8)vector))
		tell_ioapic(l, (u8)vector);
	lapic_recheck(l);
}

int irq_take_eoi_exit(struct vcpu *v)
{
	int vector;

	if (!v->lapic)
		return -1;
	vector = v->lapic->eoi_exit;
	v->lapic->eoi_exit = -1;
	return vector;
}

void lapic_set_cr8(struct vcpu *v, u64 cr8)
{
	cpu_put_cr8(&v->cpu, cr8);
	if (v->lapic)
		lapic_recheck(v->lapic);
}

/* ---- life ---- */

static bool is_bsp(const struct vcpu *v)
{
	return v->id == v->machine->boot_cpu;
}

static void reset_registers(struct lapic *l)
{
	u32 keep_id = reg_get(l, R_ID), keep_ldr = lapic_x2(l) ? reg_get(l, R_LDR) : 0;

	for (unsigned r = 0; r < LAPIC_REGS; r++)
		reg_set(l, r, 0);
	reg_set(l, R_ID, keep_id);
	reg_set(l, R_LDR, keep_ldr);
	reg_set(l, R_VERSION, lapic_version(l));
	reg_set(l, R_DFR, 0xffffffff);
	reg_set(l, R_SVR, 0xff);
	for (unsigned r = R_LVT_TIMER; r <= R_LVT_ERROR; r++)
		reg_set(l, r, LVT_MASKED);
	if (l->cmci)
		reg_set(l, R_CMCI, LVT_MASKED);
	/* Firmware does this on real machines; guests that are started without one rely on it. */
	if (is_bsp(l->vcpu) && machine_quirk(l->vcpu->machine, QUIRK_LINT0_REENABLED))
		reg_set(l, R_LVT_LINT0, DELIVER_EXTINT << 8);
}

void lapic_set_cmci(struct lapic *l, bool exists)
{
	if (l->cmci == exists)
		return;
	l->cmci = exists;
	reg_set(l, R_CMCI, exists ? LVT_MASKED : 0);
	reg_set(l, R_VERSION, lapic_version(l));
}

/* SDM 3:10.4.7.1 power-up, 10.4.7.3 INIT: the id and the mode survive the latter. */
void lapic_reset(struct vcpu *v, bool init)
{
	struct lapic *l = v->lapic;

	if (!init)
		v->cpu.apic_own.base =
			APIC_BASE_RESET | APIC_BASE_ENABLE | (is_bsp(v) ? APIC_BASE_BSP : 0);
	v->cpu.apic_own.cr8 = 0;
	if (!l)
		return;
	lapic_timer_stop(l);
	if (!init)
		reg_set(l, R_ID, v->apic_id << 24);
	reset_registers(l);
	atomic_store(&l->extint, false);
	atomic_store(&l->missed, false);
	atomic_store(&l->esr_pending, 0);
	l->eoi_exit = -1;
	l->pv_eoi = false;
	apic_map_stale(l->irq);
}

int lapic_create(struct vcpu *v)
{
	struct irq *irq = v->machine->irq;
	struct lapic *l;

	lapic_reset(v, false);
	if (irq->mode == IRQCHIP_NONE)
		return 0;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->vcpu = v;
	l->irq = irq;
	lapic_timer_init(l);
	v->lapic = l;
	lapic_reset(v, false);
	pthread_rwlock_wrlock(&irq->map_lock);
	uv_assert(irq->lapic_count < MACHINE_MAX_VCPUS);
	irq->lapics[irq->lapic_count++] = l;
	pthread_rwlock_unlock(&irq->map_lock);
	apic_map_stale(irq);
	return 0;
}

void lapic_destroy(struct vcpu *v)
{
	struct lapic *l = v->lapic;
	struct irq *irq = v->machine->irq;

	if (!l)
		return;
	pthread_rwlock_wrlock(&irq->map_lock);
	for (unsigned i = 0; i < irq->lapic_count; i++)
		if (irq->lapics[i] == l)
			irq->lapics[i--] = irq->lapics[--irq->lapic_count];
	apic_map_free(irq);
	pthread_rwlock_unlock(&irq->map_lock);
	timer_cancel(v->machine, &l->timer);
	v->lapic = NULL;
	free(l);
}
