/* SPDX-License-Identifier: MIT */
/*
 * A vcpu's outer loop: what happens between two stretches of guest code. Events are injected here, engine
 * devices answer here, halted vcpus sleep here, and what user space must see is returned from here.
 */
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/cpu/cache.h"
#include "engine/cpu/guest.h"
#include "engine/cpu/native.h"
#include "engine/cpu/ops.h"
#include "engine/cpu/recover.h"
#include "engine/cpu/run.h"
#include "engine/cpu/smm.h"
#include "engine/feat/msr_policy.h"
#include "engine/hv/hv.h"
#include "engine/machine.h"
#include "engine/mem/mem.h"
#include "engine/stat.h"
#include "engine/vcpu_priv.h"
#include "base/fd.h"
#include "base/sys.h"

/* ---- answers to reads ---- */

static void push_answer(struct cpu *cpu, u8 reason, u64 addr, unsigned len, u64 value, bool error)
{
	struct replay *r = &cpu->replay;

	uv_assert(r->filled < REPLAY_MAX);
	r->answer[r->filled].reason = reason;
	r->answer[r->filled].addr = addr;
	r->answer[r->filled].len = len;
	r->answer[r->filled].value = value;
	r->answer[r->filled].error = error;
	r->filled++;
}

static u64 low_bytes(const void *p, unsigned n)
{
	u64 v = 0;

	__builtin_memcpy(&v, p, MIN(n, 8u));
	return v;
}

/* Turn the exit that was just answered, by the caller or by a device, into something the restarted instruction finds. */
static void take_answer(struct cpu *cpu)
{
	const struct exit *x = &cpu->exit;

	switch (x->reason) {
	case EXIT_IO_IN:
		cpu->replay.io_count = x->io.count;
		push_answer(cpu, EXIT_IO_IN, x->io.port, x->io.size,
			low_bytes(cpu->io_data, x->io.size), false);
		break;
	case EXIT_MMIO_READ:
		push_answer(cpu, EXIT_MMIO_READ, x->mmio.gpa, x->mmio.len,
			low_bytes(x->mmio.data, x->mmio.len), false);
		break;
	case EXIT_RDMSR:
	case EXIT_WRMSR:
		push_answer(cpu, x->reason, x->msr.index, 8, x->msr.data, x->msr.error);
		break;
	case EXIT_HYPERCALL:
		push_answer(cpu, EXIT_HYPERCALL, x->hypercall.nr, 8, x->hypercall.ret, false);
		break;
	case EXIT_HYPERV:
		if (x->hyperv.kind == HYPERV_CALL)
			push_answer(cpu, EXIT_HYPERV, x->hyperv.arg[0], 8, x->hyperv.result,
				x->hyperv.undefined);
		else
			hv_exit_answered(cpu->vcpu, x);
		break;
	case EXIT_XEN: push_answer(cpu, EXIT_XEN, x->xen.nr, 8, x->xen.result, false); break;
	default: break;
	}
	cpu->exit.reason = EXIT_NONE;
}

/* ---- engine devices ---- */

#define APIC_BASE_XAPIC_ON BIT64(11)
#define APIC_BASE_X2APIC   BIT64(10)

static bool is_tpr(const struct vcpu *v, u64 gpa)
{
	u64 base = v->cpu.apic_base;

	return (base & (APIC_BASE_XAPIC_ON | APIC_BASE_X2APIC)) == APIC_BASE_XAPIC_ON &&
	       gpa == (base & PAGE_MASK) + 0x80;
}

/* rip: of the instruction. */
static bool device_mmio(struct vcpu *v, u64 gpa, unsigned len, void *data, bool write, u64 rip)
{
	if (write && ioevent_write(v->machine, false, gpa, len, data))
		return true;
	if (!v->lapic || !lapic_mmio(v, gpa, len, data, write))
		return irq_mmio(v->machine, gpa, len, data, write);
	if (unlikely(v->tpr.report) && is_tpr(v, gpa))
		tpr_accessed(v, rip, write);
	return true;
}

static bool device_pio(struct vcpu *v, struct exit *x, bool write)
{
	for (u32 i = 0; i < x->io.count; i++) {
		u8 *item = v->cpu.io_data + (size_t)i * x->io.size;

		if (write && ioevent_write(v->machine, true, x->io.port, x->io.size, item))
			continue;
		if (!irq_pio(v->machine, x->io.port, x->io.size, item, write))
			return false;
	}
	return true;
}

/* MSRs whose owner is outside of the cpu. Sets the answer; false: the VMM wants to see what is refused. */
static bool device_msr(struct vcpu *v, struct exit *x)
{
	int r = x->reason == EXIT_RDMSR ? outer_msr_read(v, x->msr.index, &x->msr.data)
					: outer_msr_write(v, x->msr.index, x->msr.data);

	x->msr.error = r != 0;
	if (!r || !msr_exit_wanted(&v->cpu, MSR_WHY_INVALID))
		return true;
	x->msr.why = MSR_WHY_INVALID;
	x->msr.error = false;
	return false;
}

/* ---- counting: which statistic an exit is, plus one; 0 none ---- */

static const u8 inside_stat[EXIT_COUNT] = {
	[EXIT_IO_IN] = STAT_IO_EXITS + 1,
	[EXIT_IO_OUT] = STAT_IO_EXITS + 1,
	[EXIT_HLT] = STAT_HALT_EXITS + 1,
	[EXIT_HYPERCALL] = STAT_HYPERCALLS + 1,
};
static const u8 user_stat[EXIT_COUNT] = {
	[EXIT_MMIO_READ] = STAT_MMIO_EXITS + 1,
	[EXIT_MMIO_WRITE] = STAT_MMIO_EXITS + 1,
	[EXIT_INTR] = STAT_SIGNAL_EXITS + 1,
	[EXIT_IRQ_WINDOW] = STAT_REQUEST_IRQ_EXITS + 1,
	[EXIT_INTERNAL_ERROR] = STAT_INSN_EMULATION_FAIL + 1,
};

static void count(struct vcpu *v, const u8 table[EXIT_COUNT], u32 reason)
{
	if (table[reason])
		stat_inc(&v->cpu, table[reason] - 1);
}

/* True if the exit has been dealt with inside the engine. */
static bool handle_inside(struct vcpu *v)
{
	struct exit *x = &v->cpu.exit;

	count(v, inside_stat, x->reason);
	switch (x->reason) {
	case EXIT_MMIO_READ:
		return device_mmio(v, x->mmio.gpa, x->mmio.len, x->mmio.data, false, v->cpu.rip);
	case EXIT_IO_IN: return device_pio(v, x, false);
	case EXIT_IO_OUT: return device_pio(v, x, true);
	case EXIT_RDMSR:
	case EXIT_WRMSR: return x->msr.why == 0 && device_msr(v, x);
	case EXIT_HYPERCALL: return hypercall_inside(v, x);
	case EXIT_HYPERV: return hv_hypercall(v, x);
	case EXIT_HLT:
		if (!v->lapic && !(machine_option(v->machine, OPT_EXITS_OFF) & NO_EXIT_HLT))
			return false;
		atomic_store(&v->mp_state, MP_HALTED);
		return true;
	default: return false;
	}
}

/* Perform completed MMIO writes; true if the next one is for user space (cpu->exit is set). */
static bool post_writes(struct vcpu *v)
{
	struct cpu *cpu = &v->cpu;

	while (cpu->posted_next < cpu->posted_count) {
		struct posted_write *w = &cpu->posted[cpu->posted_next++];

		if (device_mmio(v, w->gpa, w->len, w->data, true, w->rip))
			continue;
		cpu->exit.reason = EXIT_MMIO_WRITE;
		cpu->exit.mmio.gpa = w->gpa;
		cpu->exit.mmio.len = w->len;
		__builtin_memcpy(cpu->exit.mmio.data, w->data, 8);
		return true;
	}
	cpu->posted_count = cpu->posted_next = 0;
	return false;
}

/* ---- in and out ---- */

static void go_in(struct vcpu *v)
{
	atomic_store(&v->where, VCPU_IN);
	if (likely(!atomic_load(&v->machine->pausing)))
		return;
	atomic_store(&v->where, VCPU_OUT);
	machine_wait_resumed(v);
}

/*
 * Delivery reads and writes guest memory: memory slots must stay what they are meanwhile, and what other threads
 * asked to be forgotten must be forgotten first.
 */
static void begin_delivery(struct vcpu *v)
{
	go_in(v);
	cpu_serve_requests(&v->cpu);
}

static void end_delivery(struct vcpu *v)
{
	atomic_store(&v->where, VCPU_OUT);
}

/* ---- events ---- */

/* It waits for the end of system management mode (APM 2:10.3.3). */
static bool init_deliverable(const struct vcpu *v)
{
	return atomic_load(&v->pending_init) && !cpu_in_smm(&v->cpu);
}

static void take_init(struct vcpu *v)
{
	cpu_reset(&v->cpu, true);
	atomic_store(&v->pending_smi, false);
	if (v->lapic)
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

static int deliver_queued_exception(struct vcpu *v)
{
	struct cpu *cpu = &v->cpu;
	struct vcpu_events *e = &cpu->events;
	int r;

	if (!e->exception.injected && !e->exception.pending)
		return CPU_OK;
	cpu->exc = (struct exception){.vector = e->exception.vector,
		.has_error = e->exception.has_error,
		.error = e->exception.error,
		.cr2 = e->exception.has_payload && e->exception.vector == X86_PF
			       ? e->exception.payload
			       : cpu->cr2,
		.dr6 = e->exception.vector == X86_DB ? e->exception.payload : 0};
	e->exception.injected = e->exception.pending = false;
	begin_delivery(v);
	r = event_deliver_exception(cpu);
	end_delivery(v);
	return r;
}

/* Highest vector that waits, whoever the controller is, or -1. */
static int waiting_vector(struct vcpu *v)
{
	if (v->cpu.events.interrupt.injected)
		return v->cpu.events.interrupt.vector;
	if (v->user_irq >= 0)
		return v->user_irq;
	return v->lapic ? irq_pending(v) : -1;
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
	stat_inc(cpu, STAT_IRQ_INJECTIONS);
	recheck_on_interrupt(v);
	begin_delivery(v);
	r = event_deliver_interrupt(cpu, vector);
	end_delivery(v);
	return r;
}

static bool nmi_deliverable(const struct vcpu *v)
{
	return v->cpu.events.nmi.injected || (atomic_load(&v->pending_nmi) && !v->cpu.nmi_masked);
}

static int deliver_nmi(struct vcpu *v)
{
	int r;

	if (v->cpu.events.nmi.injected)
		v->cpu.events.nmi.injected = false;
	else
		atomic_fetch_sub(&v->pending_nmi, 1);
	stat_inc(&v->cpu, STAT_NMI_INJECTIONS);
	begin_delivery(v);
	r = event_deliver_nmi(&v->cpu);
	end_delivery(v);
	return r;
}

static bool smi_deliverable(const struct vcpu *v)
{
	return atomic_load(&v->pending_smi) && !cpu_in_smm(&v->cpu);
}

static int deliver_smi(struct vcpu *v)
{
	bool halted = v->smi_in_halt;
	int r;

	v->smi_in_halt = false;
	atomic_store(&v->pending_smi, false);
	begin_delivery(v);
	r = smm_enter(&v->cpu, halted);
	end_delivery(v);
	return r;
}

/* Did a delivery that is under way ask for the answers in cpu->replay? */
static bool delivering(const struct cpu *cpu)
{
	const struct vcpu_events *e = &cpu->events;

	return e->exception.injected || e->nmi.injected ||
	       (e->interrupt.injected && cpu_interruptible(cpu));
}

/* The #DB of an instruction that had to leave first. */
static int deliver_trap(struct cpu *cpu)
{
	cpu->exc = (struct exception){.vector = X86_DB, .dr6 = cpu->debug_pending};
	cpu->debug_pending = 0;
	return event_deliver_exception(cpu);
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
		return deliver_trap(cpu);
	if (e->exception.pending)
		return deliver_queued_exception(v);
	if (cpu->debug_flags & DBG_BLOCK_IRQ)
		return NO_EVENT;
	if (smi_deliverable(v))
		return deliver_smi(v);
	if (nmi_deliverable(v) && !cpu->shadow)
		return deliver_nmi(v);
	if (cpu_interruptible(cpu) && waiting_vector(v) >= 0)
		return deliver_interrupt(v);
	return NO_EVENT;
}

/* Deliver what can be delivered before the next instruction. CPU_EXIT: cpu->exit is set. */
static int inject_events(struct vcpu *v)
{
	struct cpu *cpu = &v->cpu;
	int r = CPU_OK;

	/* An instruction that is half done is finished first; irq_waiting then says that something comes after it. */
	bool finish = cpu->replay.filled && !delivering(cpu);

	while (!r && !finish && !cpu->posted_count)
		r = deliver_one(v);
	if (r == CPU_EXIT)
		return r;
	cpu->irq_waiting =
		v->want_irq_window || (!(cpu->debug_flags & DBG_BLOCK_IRQ) &&
					      (waiting_vector(v) >= 0 || nmi_deliverable(v)));
	return CPU_OK;
}

/* ---- sleeping ---- */

static bool has_wakeup(struct vcpu *v)
{
	if (init_deliverable(v) || atomic_load(&v->pending_sipi))
		return true;
	if (atomic_load(&v->mp_state) != MP_HALTED)
		return false;
	return atomic_load(&v->unhalted) || smi_deliverable(v) || nmi_deliverable(v) ||
	       v->cpu.debug_pending || v->cpu.events.exception.pending ||
	       v->cpu.events.exception.injected ||
	       ((v->cpu.rflags & FL_IF) && waiting_vector(v) >= 0);
}

static void wake_up(struct vcpu *v)
{
	const struct vcpu_events *e = &v->cpu.events;

	v->smi_in_halt = smi_deliverable(v) && !v->cpu.debug_pending && !e->exception.pending &&
			 !e->exception.injected;
	stat_inc(&v->cpu, STAT_HALT_WAKEUP);
	atomic_store(&v->unhalted, false);
	atomic_store(&v->mp_state, MP_RUNNABLE);
}

/* Requests that serve_outer() serves. The others wait until the vcpu goes in. */
#define REQ_OUTER (REQ_EVENT | REQ_KICK | REQ_POLL | REQ_PAUSE | REQ_RING)

/*
 * Announce, look, sleep; those who wake set the request, then look who sleeps: one sees the other. The caller's
 * descriptor says that poll() has something to find. A vcpu that never sleeps has no descriptor of its own: a
 * process may have few, and a machine many vcpus. Where there is none left, it wakes up by itself.
 */
static void sleep_until_request(struct vcpu *v)
{
	struct timespec nap = {.tv_nsec = 1000000};
	bool polls = v->wait_fd == WAIT_BY_POLLING;
	u64 count;

	if (v->wake_fd < 0)
		v->wake_fd = fd_keep(sys_eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	struct pollfd fds[] = {
		{.fd = v->wake_fd, .events = POLLIN}, {.fd = v->wait_fd, .events = POLLIN}};

	atomic_store(&v->where, VCPU_ASLEEP);
	if (!(__atomic_load_n(&v->cpu.exit_request, __ATOMIC_SEQ_CST) & REQ_OUTER))
		sys_ppoll(fds, ARRAY_SIZE(fds), v->wake_fd < 0 || polls ? &nap : NULL);
	atomic_store(&v->where, VCPU_OUT);
	if (fds[0].revents && sys_read(v->wake_fd, &count, sizeof(count)) < 0)
		return; /* somebody was late: it is empty already */
	if (fds[1].revents || polls)
		cpu_request(&v->cpu, REQ_POLL);
}

static void count_sleep(struct cpu *cpu, u64 ns)
{
	unsigned bucket = ns ? 64 - (unsigned)__builtin_clzll(ns) : 0;

	stat_add(cpu, STAT_HALT_WAIT_NS, ns);
	stat_inc(cpu, STAT_HALT_WAIT_HIST + MIN(bucket, 31u));
}

static void sleep_counted(struct vcpu *v)
{
	u64 start = host_ns();

	steal_set_asleep(v, true);
	stat_set(&v->cpu, STAT_BLOCKING, 1);
	sleep_until_request(v);
	stat_set(&v->cpu, STAT_BLOCKING, 0);
	steal_set_asleep(v, false);
	count_sleep(&v->cpu, host_ns() - start);
}

/* ---- the loop ---- */

static int leave(struct vcpu *v, u32 reason)
{
	v->cpu.exit.reason = reason;
	return 0;
}

/* Requests that are for outer code. True: leave with EXIT_INTR. */
static bool serve_outer(struct vcpu *v)
{
	u32 req = __atomic_fetch_and(&v->cpu.exit_request, ~REQ_OUTER, __ATOMIC_SEQ_CST);

	if (req & REQ_EVENT)
		stat_inc(&v->cpu, STAT_REQ_EVENT);

	if (init_deliverable(v) && atomic_exchange(&v->pending_init, false))
		take_init(v);
	if (atomic_exchange(&v->pending_sipi, false))
		take_sipi(v);
	if (unlikely(atomic_load(&v->hv->timers_due)))
		hv_timers_serve(v);
	if (req & REQ_KICK)
		return true;
	if (!(req & REQ_POLL))
		return false;
	if (v->cpu.msr.kvm_steal_time & STEAL_ENABLED)
		steal_update(v);
	recheck_on_tick(v);
	return v->poll && v->poll(v->poll_opaque);
}

static enum run_result run_inside(struct vcpu *v)
{
	enum run_result r;

	stat_inc(&v->cpu, STAT_EXITS);
	if (unlikely(v->tpr.page))
		vapic_to_guest(v);
	go_in(v);
	if (v->poll) /* only now: a tick that fires before finds nobody inside and is the last */
		tick_need(v->machine);
	recover_enter(&v->cpu);
	r = cpu_run_guest(&v->cpu);
	recover_enter(NULL);
	if (r == RUN_EXIT && unlikely(v->cpu.exit.reason == EXIT_MEMORY_FAULT) &&
		v->cpu.away.left) {
		v->cpu.exit.reason = EXIT_NONE;
		r = RUN_REQUEST;
	}
	atomic_store(&v->where, VCPU_OUT);
	if (unlikely(v->tpr.page))
		vapic_from_guest(v);
	return r;
}

static bool window_open(struct vcpu *v)
{
	return v->want_irq_window && cpu_interruptible(&v->cpu) && waiting_vector(v) < 0;
}

/* After cpu_run(): true if user space must see cpu->exit. */
static bool after_run(struct vcpu *v, enum run_result r)
{
	switch (r) {
	case RUN_EXIT:
		if (!handle_inside(v))
			return true;
		take_answer(&v->cpu);
		return false;
	case RUN_CACHE_FULL:
		v->cpu.cache_full = false;
		machine_reset_code(v->machine, v->cpu.code_epoch);
		return false;
	default: return false;
	}
}

static bool runnable(const struct vcpu *v)
{
	return atomic_load(&v->mp_state) == MP_RUNNABLE;
}

/* Split irqchip: an EOI that user space must see waits until the instruction that made it has completed. */
static bool eoi_waits(struct vcpu *v)
{
	if (v->eoi_exit < 0)
		v->eoi_exit = irq_take_eoi_exit(v);
	return v->eoi_exit >= 0;
}

static int leave_for_eoi(struct vcpu *v)
{
	v->cpu.exit.vector = (u8)v->eoi_exit;
	v->eoi_exit = -1;
	return leave(v, EXIT_IOAPIC_EOI);
}

static int leave_for_hv(struct vcpu *v)
{
	v->hv_exit_waits = false;
	v->cpu.exit = v->hv->exit;
	return 0;
}

static int leave_for_tpr(struct vcpu *v)
{
	v->tpr.waits = false;
	v->cpu.exit.tpr.rip = v->tpr.rip;
	v->cpu.exit.tpr.is_write = v->tpr.write;
	return leave(v, EXIT_TPR_ACCESS);
}

/* Something that an instruction did and that user space must see once it has completed. */
static bool exit_waits(struct vcpu *v)
{
	return eoi_waits(v) || v->hv_exit_waits || v->tpr.waits;
}

static int leave_for_waiting(struct vcpu *v)
{
	if (v->eoi_exit >= 0)
		return leave_for_eoi(v);
	return v->tpr.waits ? leave_for_tpr(v) : leave_for_hv(v);
}

static int leave_for_shutdown(struct vcpu *v)
{
	v->cpu.events.triple_fault = false;
	return leave(v, EXIT_SHUTDOWN);
}

/* A step of a vcpu that runs: an event, then guest code. True if user space must see cpu->exit. */
static bool advance(struct vcpu *v, bool complete, bool one)
{
	struct cpu *cpu = &v->cpu;

	if (inject_events(v) == CPU_EXIT)
		return after_run(v, RUN_EXIT);
	/* The delivery may have written to a device, or was all that had to be completed. */
	if (cpu->posted_count || (complete && !cpu->replay.filled))
		return false;
	if (window_open(v)) {
		leave(v, EXIT_IRQ_WINDOW);
		return true;
	}
	/* Held by the shadow or by an instruction that is half done, which IF does not tell. */
	cpu->run_one = one || nmi_deliverable(v) || smi_deliverable(v);
	return after_run(v, run_inside(v));
}

static int run_until_exit(struct vcpu *v, u32 flags)
{
	struct cpu *cpu = &v->cpu;
	bool complete = flags & RUN_COMPLETE_ONLY, waits;

	take_answer(cpu);
	recheck_on_entry(v);
	if (unlikely(cpu->msr.kvm_steal_time & STEAL_ENABLED))
		steal_enter(v);
	for (;;) {
		if (post_writes(v))
			return 0;
		waits = exit_waits(v);
		if (waits && !cpu->replay.filled)
			return leave_for_waiting(v);
		if (complete && !cpu->replay.filled)
			return leave(v, EXIT_INTR);
		/* What user space has answered is done first, whoever wants out. */
		if (__atomic_load_n(&cpu->exit_request, __ATOMIC_RELAXED) && serve_outer(v)) {
			if (!cpu->replay.filled)
				return leave(v, EXIT_INTR);
			complete = true;
		}
		if (unlikely(v->ring) && vcpu_ring_full(v) && !cpu->replay.filled)
			return leave(v, EXIT_DIRTY_RING_FULL);
		if (unlikely(cpu->events.triple_fault))
			return leave_for_shutdown(v);
		if (!runnable(v)) {
			/* What user space has answered is done when it runs again; who wants out does not wait. */
			if (complete)
				return leave(v, EXIT_INTR);
			/* Between HLT and sleep, too, user space may inject. */
			if (window_open(v) && atomic_load(&v->mp_state) == MP_HALTED)
				return leave(v, EXIT_IRQ_WINDOW);
			if (has_wakeup(v) && atomic_load(&v->mp_state) == MP_HALTED)
				wake_up(v);
			else
				sleep_counted(v);
			continue;
		}
		if (advance(v, complete, complete || waits))
			return 0;
	}
}

int vcpu_run(struct vcpu *v, u32 flags)
{
	int r;

	recover_thread(&v->cpu);
	r = run_until_exit(v, flags);
	while (unlikely(atomic_load(&v->calling))) /* the signal is to be ours, not the program's */
		sys_sched_yield();
	stat_inc(&v->cpu, STAT_USER_EXITS);
	count(v, user_stat, v->cpu.exit.reason);
	return r;
}
