/* SPDX-License-Identifier: MIT */
/*
 * A vcpu's outer loop: what happens between two stretches of guest code, in order, and what is returned to user
 * space. Events are injected by inject.c, exits that engine devices answer go to answer.c, and
 * vcpus that have nothing to do sleep in sleep.c.
 */
#include <errno.h>

#include "engine/direct/direct.h"
#include "engine/host/altstack.h"
#include "engine/code/cache.h"
#include "engine/vcpu/cross.h"
#include "engine/host/recover.h"
#include "engine/jit/run.h"
#include "engine/pv/hyperv/hv.h"
#include "engine/core/stat.h"
#include "engine/vcpu/loop.h"
#include "engine/vcpu/vapic.h"
#include "base/sys.h"
#include "engine/irq/lapic.h"
#include "engine/mem/memory.h"
#include "engine/mem/recheck.h"
#include "engine/pv/kvm/eoi.h"
#include "engine/pv/kvm/steal.h"
#include "engine/vcpu/tick.h"

static int leave(struct vcpu *v, u32 reason)
{
	cpu_exit_begin(&v->cpu, reason);
	return 0;
}

/* Requests that are for outer code. Leave with EXIT_INTR or EXIT_TAP, unless EXIT_NONE. */
static u32 serve_outer(struct vcpu *v)
{
	u32 req = __atomic_fetch_and(&v->cpu.exit_request, ~REQ_OUTER, __ATOMIC_SEQ_CST);

	if (req & REQ_EVENT)
		stat_inc(&v->cpu, STAT_REQ_EVENT);
	direct_on_request(v);

	vcpu_take_init_sipi(v);
	lapic_timer_serve(v);
	if (unlikely(atomic_load(&v->hv->timers_due)))
		hv_timers_serve(v);
	/* A birth may have waited for what was just taken. */
	if (unlikely((req & REQ_TAP) || atomic_load(&v->tap.born)) && vcpu_tap_serve(v)) {
		cpu_request(&v->cpu, req & (REQ_KICK | REQ_POLL)); /* not lost */
		return EXIT_TAP;
	}
	if (req & REQ_KICK)
		return EXIT_INTR;
	if (!(req & REQ_POLL))
		return EXIT_NONE;
	if (v->cpu.msr.kvm_steal_time & STEAL_ENABLED)
		steal_tick(v);
	recheck_on_tick(v);
	return v->poll && v->poll(v->poll_opaque) ? EXIT_INTR : EXIT_NONE;
}

static enum run_result run_inside(struct vcpu *v)
{
	enum run_result r;

	stat_inc(&v->cpu, STAT_EXITS);
	if (unlikely(v->tpr.page))
		vapic_to_guest(v);
	if (v->cpu.msr.kvm_eoi & PV_EOI_ON)
		pv_eoi_to_guest(v);
	vcpu_go_in(v);
	if (v->poll) /* only now: a tick that fires before finds nobody inside and is the last */
		tick_need(v->machine);
	recover_enter(&v->cpu);
	do
		r = cpu_run_inner(&v->cpu);
	while (r == RUN_DIRECT && direct_run(v));
	recover_leave(&v->cpu);
	if (r == RUN_EXIT && unlikely(v->cpu.exit.reason == EXIT_MEMORY_FAULT) &&
		v->cpu.away.left) {
		v->cpu.exit.reason = EXIT_NONE;
		r = RUN_REQUEST;
	}
	vcpu_go_out(v);
	if (v->cpu.msr.kvm_eoi & PV_EOI_ON)
		pv_eoi_from_guest(v);
	if (unlikely(v->tpr.page))
		vapic_from_guest(v);
	return r;
}

static bool window_open(struct vcpu *v)
{
	return v->want_irq_window && cpu_interruptible(&v->cpu) && waiting_vector(v) < 0;
}

/* The end of one that is handled is a request (cpu_unmask_nmi()); a shadow is over after one instruction. */
static bool nmi_window_open(const struct vcpu *v)
{
	return v->want_nmi_window && !v->cpu.nmi_masked && !v->cpu.shadow && !nmi_deliverable(v);
}

/* The exit that says what user space may inject now, if it wants to know; EXIT_NONE. */
static u32 open_window(struct vcpu *v)
{
	if (unlikely(nmi_window_open(v)))
		return EXIT_NMI_WINDOW;
	return window_open(v) ? EXIT_IRQ_WINDOW : EXIT_NONE;
}

/* After cpu_run(): true if user space must see cpu->exit. */
static bool after_run(struct vcpu *v, enum run_result r)
{
	switch (r) {
	case RUN_EXIT:
		if (vcpu_answer_inside(v))
			return false;
		if (v->cpu.exit.reason == EXIT_IO_OUT && !machine_intercepts(v->machine))
			vcpu_show_out(v);
		return true;
	case RUN_CACHE_FULL:
		v->cpu.cache_full = false;
		machine_make_room(v->machine, v->cpu.cache_rounds);
		return false;
	default: return false;
	}
}

/* As in Linux, the caller hears that INIT has come, once. */
static bool uninitialized(const struct vcpu *v)
{
	return atomic_load(&v->mp_state) == MP_UNINITIALIZED;
}

static bool runnable(const struct vcpu *v)
{
	return atomic_load(&v->mp_state) == MP_RUNNABLE && likely(!v->idles);
}

/* Split irqchip: an EOI that user space must see waits until the instruction that made it has completed. */
static bool eoi_waits(struct vcpu *v)
{
	if (v->eoi_exit < 0)
		v->eoi_exit = irq_take_eoi_exit(v);
	return v->eoi_exit >= 0;
}

static void leave_for_eoi(struct vcpu *v)
{
	v->cpu.exit = (struct exit){.reason = EXIT_IOAPIC_EOI, .vector = (u8)v->eoi_exit};
	v->eoi_exit = -1;
}

static void leave_for_hv(struct vcpu *v)
{
	v->hv_exit_waits = false;
	v->cpu.exit = v->hv->exit;
}

static void leave_for_tpr(struct vcpu *v)
{
	v->tpr.waits = false;
	v->cpu.exit = (struct exit){
		.reason = EXIT_TPR_ACCESS, .tpr = {.rip = v->tpr.rip, .is_write = v->tpr.write}};
}

/* False: somebody has been quicker with another message. */
static bool leave_for_sints(struct vcpu *v)
{
	u16 sints = hv_message_ready(v, true);

	if (sints)
		v->cpu.exit = (struct exit){.reason = EXIT_SINT_READY, .sints = sints};
	return sints;
}

/* Something that an instruction did and that user space must see once it has completed, or that another thread found. */
static bool exit_waits(struct vcpu *v)
{
	return eoi_waits(v) || v->hv_exit_waits || v->tpr.waits || hv_message_waits(v);
}

/* False: it is over already. */
static bool leave_for_waiting(struct vcpu *v)
{
	if (v->eoi_exit >= 0)
		leave_for_eoi(v);
	else if (v->tpr.waits)
		leave_for_tpr(v);
	else if (v->hv_exit_waits)
		leave_for_hv(v);
	else
		return leave_for_sints(v);
	return true;
}

static int leave_for_shutdown(struct vcpu *v)
{
	v->cpu.events.triple_fault = false;
	return leave(v, EXIT_SHUTDOWN);
}

/* A step of a vcpu that runs: an event, then guest code. True if user space must see cpu->exit. */
static bool run_once(struct vcpu *v, bool complete, bool one)
{
	struct cpu *cpu = &v->cpu;
	u32 window;

	if (vcpu_inject(v) == CPU_EXIT)
		return after_run(v, RUN_EXIT);
	/* The delivery may have written to a device, or was all that had to be completed. */
	if (cpu->posted_count || (complete && !cpu->answers.filled))
		return false;
	if (unlikely(vcpu_called_out(v) || vcpu_tap_due(v)))
		return false;
	window = open_window(v);
	if (window != EXIT_NONE) {
		leave(v, window);
		return true;
	}
	/* Held by the shadow or by an instruction that is half done, which IF does not tell. */
	cpu->run_one = one || nmi_deliverable(v) || smi_deliverable(v) || vcpu_tap_waits(v) ||
		       (v->want_nmi_window && !cpu->nmi_masked);
	return after_run(v, run_inside(v));
}

/*
 * RUN_ASLEEP. What others want of the vcpu is done; what user space has answered waits for the next run. The poll function is
 * asked first: what it looks for may have come before anybody slept.
 */
static int run_asleep(struct vcpu *v)
{
	u32 why;

	vcpu_take_user_answer(&v->cpu);
	cpu_request(&v->cpu, REQ_POLL);
	while ((why = serve_outer(v)) == EXIT_NONE)
		vcpu_nap(v);
	return leave(v, why);
}

static int run_guest(struct vcpu *v, u32 flags)
{
	struct cpu *cpu = &v->cpu;
	bool complete = flags & RUN_COMPLETE_ONLY, waits;
	u32 why;
	const bool was_uninitialized = uninitialized(v) && !machine_intercepts(v->machine);

	v->idles = false;
	vcpu_take_user_answer(cpu);
	recheck_on_entry(v);
	if (unlikely(cpu->msr.kvm_steal_time & STEAL_ENABLED))
		steal_enter(v);
	for (;;) {
		if (vcpu_post_writes(v))
			return 0;
		vcpu_tap_late(v);
		waits = exit_waits(v);
		if (waits && !cpu->answers.filled && leave_for_waiting(v))
			return 0;
		if (complete && !cpu->answers.filled)
			return leave(v, EXIT_INTR);
		/* What user space has answered is done first, whoever wants out. */
		if (__atomic_load_n(&cpu->exit_request, __ATOMIC_RELAXED) &&
			(why = serve_outer(v)) != EXIT_NONE) {
			if (!cpu->answers.filled || why == EXIT_TAP)
				return leave(v, why);
			complete = true;
		}
		if (unlikely(!waits &&
			     hv_message_waits(v))) /* what the requests served may be this */
			continue;
		if (unlikely(was_uninitialized) && !uninitialized(v))
			return -EAGAIN;
		if (unlikely(v->ring) && vcpu_ring_full(v) && !cpu->answers.filled)
			return leave(v, EXIT_DIRTY_RING_FULL);
		if (unlikely(cpu->events.triple_fault))
			return leave_for_shutdown(v);
		if (!runnable(v)) {
			/* What user space has answered is done when it runs again; who wants out does not wait. */
			if (complete)
				return leave(v, EXIT_INTR);
			/* Between HLT and sleep, too, user space may inject. */
			if (atomic_load(&v->mp_state) == MP_HALTED && open_window(v) != EXIT_NONE)
				return leave(v, open_window(v));
			vcpu_sleep(v);
			vcpu_look_idle(v);
			continue;
		}
		if (run_once(v, complete, complete || waits))
			return 0;
	}
}

static const u8 user_stat[EXIT_COUNT] = {
	[EXIT_MMIO_READ] = STAT_MMIO_EXITS + 1,
	[EXIT_MMIO_WRITE] = STAT_MMIO_EXITS + 1,
	[EXIT_INTR] = STAT_SIGNAL_EXITS + 1,
	[EXIT_IRQ_WINDOW] = STAT_REQUEST_IRQ_EXITS + 1,
	[EXIT_INTERNAL_ERROR] = STAT_INSN_EMULATION_FAIL + 1,
};

int vcpu_run(struct vcpu *v, u32 flags)
{
	struct cpu *before = recover_thread(&v->cpu);
	struct altstack_cut alternate;
	int r;

	altstack_cut(&v->cpu, (u64)__builtin_frame_address(0), &alternate);
	r = unlikely(flags & RUN_ASLEEP) ? run_asleep(v) : run_guest(v, flags);
	altstack_restore(&v->cpu, &alternate);
	while (unlikely(atomic_load(&v->calling))) /* the signal is to be ours, not the program's */
		sys_sched_yield();
	recover_thread_end(before);
	stat_inc(&v->cpu, STAT_USER_EXITS);
	if (likely(!r))
		stat_inc_exit(&v->cpu, user_stat, v->cpu.exit.reason);
	return r;
}
