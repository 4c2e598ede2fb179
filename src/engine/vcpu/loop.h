/* SPDX-License-Identifier: MIT */
/*
 * The parts of a vcpu's outer loop: loop.c calls the others, on the vcpu's own thread and outside of inner code.
 */
#ifndef ENGINE_VCPU_LOOP_H
#define ENGINE_VCPU_LOOP_H

#include "engine/cpu/smm.h"
#include "engine/core/vcpu.h"
#include "engine/irq/irq.h"
#include "engine/irq/lapic.h"
#include "engine/request/pause.h"
#include "engine/mem/mem.h"

/* ---- answer.c ---- */

/* Turn the exit that was just answered, by the caller or by a device, into something the restarted instruction finds. */
void vcpu_take_answer(struct cpu *cpu);
/* The same for what the caller has seen last; with OPT_INTERCEPTS it is no question. */
void vcpu_take_user_answer(struct cpu *cpu);
/* cpu->exit is an OUT that goes to user space: with rip on it. */
void vcpu_show_out(struct vcpu *v);
/* True if cpu->exit was one that the engine answers itself, and its answer has been taken. */
bool vcpu_answer_inside(struct vcpu *v);
/* The read of HV_GUEST_IDLE in front of which the vcpu has slept is over. */
void vcpu_answer_idle(struct vcpu *v);
/* Perform completed MMIO writes; true if the next one is for user space (cpu->exit is set). */
bool vcpu_post_writes(struct vcpu *v);

/* ---- tap.c: the subscriber of engine/tap.h ---- */

/* cpu->exit is EXIT_TAP: ask. False: it goes to user space. */
bool vcpu_tap_answer(struct vcpu *v);
/* REQ_TAP: take over what has been asked for, tell what is to be told. True: leave with EXIT_TAP. */
bool vcpu_tap_serve(struct vcpu *v);
/* Take over what other threads have changed of what is asked. Also right after going in. */
void vcpu_tap_refresh(struct vcpu *v);

/* Is something to be taken over when the instruction is over that has been begun? */
static inline bool vcpu_tap_waits(const struct vcpu *v)
{
	return unlikely(v->cpu.tap_late || v->cpu.view_late);
}
/* It is over. */
static inline bool vcpu_tap_due(const struct vcpu *v)
{
	return vcpu_tap_waits(v) && !v->cpu.answers.filled;
}
void vcpu_tap_over(struct vcpu *v);

static inline void vcpu_tap_late(struct vcpu *v)
{
	if (vcpu_tap_due(v))
		vcpu_tap_over(v);
}
/* It is told that the vcpu exists, when that runs; that it ends. */
void vcpu_tap_created(struct vcpu *v, unsigned index);
void vcpu_tap_end(struct vcpu *v);

/* ---- inject.c ---- */

/* Deliver what can be delivered before the next instruction. CPU_EXIT: cpu->exit is set. */
int vcpu_inject(struct vcpu *v);
/* INIT, SIPI and HvStartVirtualProcessor, which change the vcpu and interrupt nothing. */
void vcpu_take_init_sipi(struct vcpu *v);

/* ---- start.c: the latter. v->hv->start is not NULL. ---- */

void vcpu_take_start(struct vcpu *v);

/* ---- inject.c ---- */

/* It waits for the end of system management mode (APM 2:10.3.3). */
static inline bool init_deliverable(const struct vcpu *v)
{
	return atomic_load(&v->pending_init) && !cpu_in_smm(&v->cpu);
}

/* Highest vector that waits, whoever the controller is, or -1. */
static inline int waiting_vector(struct vcpu *v)
{
	if (v->cpu.events.interrupt.injected)
		return v->cpu.events.interrupt.vector;
	if (v->user_irq >= 0)
		return v->user_irq;
	return v->lapic ? irq_pending(v) : -1;
}

/*
 * A read of HV_GUEST_IDLE waits for an interrupt "regardless of whether it is enabled" (TLFS, virtual processor idle sleep state):
 * whoever waits so for a lock may be in a handler of higher priority, or have its local APIC still disabled.
 */
static inline bool idle_is_over(struct vcpu *v)
{
	return waiting_vector(v) >= 0 || (v->lapic && lapic_has_request(v->lapic));
}

static inline bool nmi_deliverable(const struct vcpu *v)
{
	return v->cpu.events.nmi.injected || (atomic_load(&v->pending_nmi) && !v->cpu.nmi_masked);
}

static inline bool smi_deliverable(const struct vcpu *v)
{
	return atomic_load(&v->pending_smi) && !cpu_in_smm(&v->cpu);
}

/* ---- sleep.c ---- */

/* Requests that the loop serves. The others wait until the vcpu goes in. */
#define REQ_OUTER (REQ_EVENT | REQ_KICK | REQ_POLL | REQ_PAUSE | REQ_RING | REQ_TAP)

/* A guest can make events follow each other without an end: nothing goes on before this has been looked at. */
static inline bool vcpu_called_out(const struct vcpu *v)
{
	return __atomic_load_n(&v->cpu.exit_request, __ATOMIC_RELAXED) & REQ_OUTER;
}

/* Until a request comes. It may be any. */
void vcpu_nap(struct vcpu *v);
/* For one that is not runnable: end its halt if something has come, else sleep until a request does. */
void vcpu_sleep(struct vcpu *v);

/* ---- in and out ---- */

/*
 * The one way to guest memory through the processor, whether guest code runs or an event is delivered: from here to
 * vcpu_go_out() slots stay what they are, and what others asked to be forgotten has been forgotten. All of mem/
 * that uses TLB or slots without a lock insists on cpu.inside.
 */
static inline void vcpu_go_in(struct vcpu *v)
{
	u32 req;

	atomic_store(&v->where, VCPU_IN);
	if (unlikely(atomic_load(&v->machine->pausing))) {
		atomic_store(&v->where, VCPU_OUT);
		machine_wait_resumed(v);
	}
	v->cpu.inside = true;
	req = __atomic_load_n(&v->cpu.exit_request, __ATOMIC_SEQ_CST);
	if (likely(!req))
		return;
	if (req & REQ_TAP)
		vcpu_tap_refresh(v);
	if (req & REQ_VIEW)
		cpu_take_view(&v->cpu);
	cpu_serve_requests(&v->cpu);
}

static inline void vcpu_go_out(struct vcpu *v)
{
	v->cpu.inside = false;
	atomic_store(&v->where, VCPU_OUT);
}

/* idle.c: on the vcpu's own thread, outside, after it has slept. */
void vcpu_look_idle(struct vcpu *v);

#endif
