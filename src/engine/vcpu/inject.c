/* SPDX-License-Identifier: MIT */
/*
 * Events between two instructions: exceptions that are under way, SMI, NMI and interrupts go into the guest here,
 * in the order of their priority. INIT and SIPI, which put the vcpu into another state, are taken here too.
 *
 * Delivery may leave for user space as an instruction may; what was under way is then in cpu->events and goes first
 * when the vcpu runs again.
 */
#include "engine/jit/run.h"
#include "engine/cpu/segment.h"
#include "engine/cpu/smm.h"
#include "engine/core/stat.h"
#include "engine/vcpu/loop.h"
#include "engine/cpu/exception.h"
#include "engine/cpu/mode.h"
#include "engine/irq/lapic.h"
#include "engine/mem/recheck.h"
#include "engine/msr/msr.h"
#include "engine/pv/hyperv/hv.h"

/* ---- INIT and SIPI ---- */

static void take_init(struct vcpu *v)
{
	v->idles = false;
	cpu_reset(&v->cpu, true);
	msr_reset_pv(&v->cpu);
	atomic_store(&v->pending_smi, false);
	lapic_reset(v, true);
	atomic_store(&v->mp_state, v->id == v->machine->boot_cpu ? MP_RUNNABLE : MP_INIT_RECEIVED);
}

static void take_sipi(struct vcpu *v)
{
	u8 vector = atomic_load(&v->sipi_vector);

	if (atomic_load(&v->mp_state) != MP_INIT_RECEIVED)
		return;
	segment_set_real(&v->cpu.seg[SEG_CS], vector << 8);
	v->cpu.rip = 0;
	cpu_update_mode(&v->cpu);
	atomic_store(&v->mp_state, MP_RUNNABLE);
}

void vcpu_take_init_sipi(struct vcpu *v)
{
	if (unlikely(atomic_load_explicit(&v->hv->start, memory_order_relaxed)))
		vcpu_take_start(v);
	if (init_deliverable(v) && atomic_exchange(&v->pending_init, false))
		take_init(v);
	if (atomic_exchange(&v->pending_sipi, false))
		take_sipi(v);
}

/* ---- one event ---- */

/*
 * False: vcpu_tap_pause() has been called, perhaps when we were outside and had looked for requests already. Then it has
 * returned, and the event waits.
 */
static bool go_in_to_deliver(struct vcpu *v)
{
	vcpu_go_in(v);
	if (likely(!atomic_load(&v->tap.pauses)))
		return true;
	vcpu_go_out(v);
	cpu_request(&v->cpu, REQ_TAP);
	return false;
}

static int deliver_queued_exception(struct vcpu *v)
{
	struct cpu *cpu = &v->cpu;
	struct vcpu_events *e = &cpu->events;
	int r;

	if (!e->exception.injected && !e->exception.pending)
		return CPU_OK;
	if (!go_in_to_deliver(v))
		return CPU_OK;
	cpu->exc = (struct exception){.vector = e->exception.vector,
		.has_error = e->exception.has_error,
		.error = e->exception.error,
		.cr2 = e->exception.has_payload && e->exception.vector == X86_PF
			       ? e->exception.payload
			       : cpu->cr2,
		.dr6 = e->exception.vector == X86_DB ? e->exception.payload : 0,
		.resume = cpu->events_resume,
		.injected = !cpu->events_own};
	cpu->events_own = cpu->events_resume = false;
	e->exception.injected = e->exception.pending = false;
	r = event_deliver_exception(cpu);
	vcpu_go_out(v);
	return r;
}

static int deliver_interrupt(struct vcpu *v)
{
	struct cpu *cpu = &v->cpu;
	int vector, r;

	if (cpu->events.interrupt.injected) {
		vector = cpu->events.interrupt.vector;
		cpu->events.interrupt.injected = false;
	} else if (v->user_irq >= 0) {
		vector = v->user_irq;
		v->user_irq = -1;
	} else {
		vector = irq_accept(v);
	}
	if (vector < 0)
		return CPU_OK;
	recheck_on_interrupt(v);
	if (!go_in_to_deliver(v)) {
		cpu->events.interrupt.injected = true;
		cpu->events.interrupt.vector = (u8)vector;
		return CPU_OK;
	}
	stat_inc(cpu, STAT_IRQ_INJECTIONS);
	r = event_deliver_interrupt(cpu, vector);
	vcpu_go_out(v);
	return r;
}

static int deliver_nmi(struct vcpu *v)
{
	int r;

	if (!go_in_to_deliver(v))
		return CPU_OK;
	if (v->cpu.events.nmi.injected)
		v->cpu.events.nmi.injected = false;
	else
		atomic_fetch_sub(&v->pending_nmi, 1);
	stat_inc(&v->cpu, STAT_NMI_INJECTIONS);
	r = event_deliver_nmi(&v->cpu);
	vcpu_go_out(v);
	return r;
}

static int deliver_smi(struct vcpu *v)
{
	bool halted = v->smi_in_halt;
	int r;

	if (!go_in_to_deliver(v))
		return CPU_OK;
	v->smi_in_halt = false;
	atomic_store(&v->pending_smi, false);
	r = smm_enter(&v->cpu, halted);
	vcpu_go_out(v);
	return r;
}

/* Did a delivery that is under way ask for the answers in cpu->answers? */
static bool delivering(const struct cpu *cpu)
{
	const struct vcpu_events *e = &cpu->events;

	return e->exception.injected || e->nmi.injected ||
	       (e->interrupt.injected && cpu_interruptible(cpu));
}

/* The #DB of an instruction that had to leave first. */
static int deliver_trap(struct vcpu *v)
{
	struct cpu *cpu = &v->cpu;
	int r;

	if (!go_in_to_deliver(v))
		return CPU_OK;
	cpu->exc = (struct exception){.vector = X86_DB, .dr6 = cpu->debug_pending};
	cpu->debug_pending = 0;
	r = event_deliver_exception(cpu);
	vcpu_go_out(v);
	return r;
}

/*
 * Who switches steps on means the instruction that the vcpu stands at, as a tool does that steps across its breakpoint: an interrupt
 * would lead elsewhere, and the instruction would be told of twice. Those that user space injects itself are not held. None is
 * held twice in a row: where each instruction has a breakpoint, it would wait for ever.
 */
static bool steps_first(const struct vcpu *v)
{
	return (v->cpu.tap_events & BIT(TAP_STEP)) && v->cpu.tap_first && v->user_irq < 0;
}

static bool holds_interrupts(const struct vcpu *v)
{
	return (v->cpu.debug_flags & DBG_BLOCK_IRQ) || unlikely(steps_first(v));
}

#define NO_EVENT 1

/* What was under way goes first, then by priority (SDM 3:6.9). */
static int deliver_one(struct vcpu *v)
{
	struct cpu *cpu = &v->cpu;
	const struct vcpu_events *e = &cpu->events;

	if (e->exception.injected)
		return deliver_queued_exception(v);
	if (e->nmi.injected)
		return deliver_nmi(v);
	if (e->interrupt.injected && cpu_interruptible(cpu))
		return deliver_interrupt(v);
	if (cpu->debug_pending)
		return deliver_trap(v);
	if (e->exception.pending)
		return deliver_queued_exception(v);
	cpu->tap_held = steps_first(v);
	if (holds_interrupts(v))
		return NO_EVENT;
	if (smi_deliverable(v))
		return deliver_smi(v);
	if (nmi_deliverable(v) && !cpu->shadow) /* STI's shadow, too, as in KVM */
		return deliver_nmi(v);
	if (cpu_interruptible(cpu) && waiting_vector(v) >= 0)
		return deliver_interrupt(v);
	return NO_EVENT;
}

/* While one is handled, one waits; two only where none is (SDM 3:6.7.1, and what KVM keeps of them). */
static void limit_nmis(struct vcpu *v)
{
	u32 two = 2;

	if (v->cpu.nmi_masked)
		atomic_compare_exchange_strong(&v->pending_nmi, &two, 1);
}

/* No guest makes so many follow each other, with no instruction in between, but one that means to. */
#define EVENTS_IN_A_ROW 32

int vcpu_inject(struct vcpu *v)
{
	struct cpu *cpu = &v->cpu;
	unsigned events = 0;
	int r = CPU_OK;

	if (unlikely(atomic_load(&v->pending_nmi)))
		limit_nmis(v);

	/* An instruction that is half done is finished first; irq_waiting then says that something comes after it. */
	bool finish = cpu->answers.filled && !delivering(cpu);

	while (!r && !finish && !cpu->posted_count && !vcpu_called_out(v) && !vcpu_tap_due(v)) {
		r = deliver_one(v);
		/* The heartbeat is for those who run guest code (tick.c): here it may never find us inside. */
		if (unlikely(++events == EVENTS_IN_A_ROW))
			cpu_request(cpu, REQ_POLL);
	}
	if (r == CPU_EXIT)
		return r;
	cpu->irq_waiting = v->want_irq_window ||
			   (!holds_interrupts(v) && (waiting_vector(v) >= 0 || nmi_deliverable(v)));
	return CPU_OK;
}
