/* SPDX-License-Identifier: MIT */
/*
 * Exceptions, interrupts and NMIs: what is delivered, and what becomes of a
 * fault during delivery (SDM 3:6). deliver.c does one attempt.
 */
#include "engine/cpu/deliver.h"
#include "engine/core/answer.h"
#include "engine/core/stat.h"
#include "engine/cpu/exception.h"
#include "engine/tap/ask.h"

/* ---- exceptions, SDM 3:6.15 ---- */

/* Those whose saved rip is the instruction, and that set RF in the image (SDM 3:17.3.1.1). */
static bool is_fault_class(u8 vector)
{
	const u32 others =
		BIT(X86_DB) | BIT(X86_NMI) | BIT(X86_BP) | BIT(X86_OF) | BIT(X86_DF) | BIT(X86_MC);

	return vector < 32 && !(others & BIT(vector));
}

static bool is_contributory(u8 vector)
{
	const u32 set = BIT(X86_DE) | BIT(X86_TS) | BIT(X86_NP) | BIT(X86_SS) | BIT(X86_GP);

	return vector < 32 && (set & BIT(vector));
}

/* SDM 3:6.15 table 6-5. */
static bool makes_double_fault(u8 first, u8 second)
{
	if (first == X86_PF)
		return second == X86_PF || is_contributory(second);
	return is_contributory(first) && is_contributory(second);
}

/* Effects on control and debug registers that come before delivery (SDM 3:17.2.3, 3:17.2.4). */
static void apply_payload(struct cpu *cpu, const struct exception *exc)
{
	if (exc->vector == X86_PF)
		cpu->cr2 = exc->cr2;
	if (exc->vector == X86_DB) {
		cpu->dr[6] = (cpu->dr[6] & ~15ull) | exc->dr6;
		cpu->dr[7] &= ~DR7_GD;
	}
}

int debug_exit(struct cpu *cpu, u8 vector, u64 dr6)
{
	bool own = cpu->debug_flags & DBG_HW_BP;

	answers_drop(cpu); /* nothing is half done after it */
	cpu->exit = (struct exit){.reason = EXIT_DEBUG};
	cpu->exit.debug.vector = vector;
	cpu->exit.debug.rip =
		cpu->code_size == 8 ? cpu->rip : (u32)(cpu->seg[SEG_CS].base + cpu->rip);
	cpu->exit.debug.dr6 = dr6 | DR6_FIXED;
	cpu->exit.debug.dr7 = (own ? cpu->debug_dr[7] : cpu->dr[7]) | DR7_FIXED;
	return CPU_EXIT;
}

/*
 * A #DB belongs to a debugger that steps or has breakpoints. One without a cause in dr6 was
 * injected by the debugger itself and goes to the guest.
 */
static bool debugger_wants(const struct cpu *cpu)
{
	return cpu->exc.vector == X86_DB && cpu->exc.dr6 &&
	       (cpu->debug_flags & (DBG_SINGLESTEP | DBG_HW_BP));
}

/* What the deliveries before were answered is stale. */
static int shutdown_exit(struct cpu *cpu)
{
	answers_drop(cpu);
	cpu->exit = (struct exit){.reason = EXIT_SHUTDOWN};
	return CPU_EXIT;
}

void event_queue_exception(struct cpu *cpu, const struct exception *exc)
{
	bool payload = exc->vector == X86_PF || exc->vector == X86_DB;

	cpu->events.exception.injected = true;
	cpu->events.exception.pending = false;
	cpu->events.exception.vector = exc->vector;
	cpu->events.exception.has_error = exc->has_error;
	cpu->events.exception.error = exc->error;
	cpu->events.exception.has_payload = payload;
	cpu->events.exception.payload = exc->vector == X86_PF ? exc->cr2 : exc->dr6;
	cpu->events_own = !exc->injected;
	cpu->events_resume = exc->resume;
}

/* One event at an instruction boundary; what it pushes is rip. */
static int deliver_at_rip(struct cpu *cpu, const struct event *ev)
{
	int r;

	cpu->next_rip = cpu->rip;
	cpu->away.has_stored = false;
	r = deliver(cpu, ev);
	cpu->away.has_stored = false;
	if (r == CPU_OK) {
		cpu->rip = cpu->next_rip;
		cpu->shadow = 0;
		/* The interrupted instruction starts anew when it comes back: its answers are stale. */
		answers_drop(cpu);
	}
	return r;
}

int event_deliver_exception(struct cpu *cpu)
{
	if (debugger_wants(cpu))
		return debug_exit(cpu, X86_DB, cpu->exc.dr6);
	for (bool first = true;; first = false) {
		struct exception exc = cpu->exc;
		struct event ev = {.vector = exc.vector,
			.has_error = exc.has_error,
			.error = exc.error,
			.flags = cpu->rflags};
		int r;

		cpu->answers.next = 0;
		if (tap_exception(cpu)) {
			event_queue_exception(cpu, &exc);
			return CPU_EXIT;
		}
		if (first && exc.vector == X86_PF)
			stat_inc(cpu, STAT_PF_GUEST);
		if (is_fault_class(exc.vector) || exc.resume)
			ev.flags |= FL_RF;
		apply_payload(cpu, &exc);
		r = deliver_at_rip(cpu, &ev);
		if (r == CPU_OK)
			return CPU_OK;
		if (r == CPU_EXIT) {
			event_queue_exception(cpu, &exc);
			return CPU_EXIT;
		}
		if (exc.vector == X86_DF)
			return shutdown_exit(cpu);
		if (makes_double_fault(exc.vector, cpu->exc.vector)) {
			apply_payload(cpu, &cpu->exc); /* CR2 is the second fault's */
			cpu_raise_err(cpu, X86_DF, 0);
		}
		answers_drop(cpu); /* they were the first one's */
	}
}

int event_deliver_fault(struct cpu *cpu)
{
	answers_drop(cpu);
	return event_deliver_exception(cpu);
}

int event_deliver_interrupt(struct cpu *cpu, u8 vector)
{
	struct event ev = {.vector = vector, .flags = cpu->rflags};
	int r;

	cpu->answers.next = 0;
	r = deliver_at_rip(cpu, &ev);
	if (r == CPU_EXIT) {
		cpu->events.interrupt.injected = true;
		cpu->events.interrupt.vector = vector;
		cpu->events.interrupt.soft = false;
	}
	return r == CPU_FAULT ? event_deliver_fault(cpu) : r;
}

int event_deliver_nmi(struct cpu *cpu)
{
	struct event ev = {.vector = X86_NMI, .flags = cpu->rflags};
	int r;

	cpu->nmi_masked = true; /* until iret, SDM 3:6.7.1 */
	cpu->answers.next = 0;
	r = deliver_at_rip(cpu, &ev);
	if (r == CPU_EXIT) {
		cpu->events.nmi.injected = true;
		cpu->nmi_masked = false; /* not delivered yet */
	}
	return r == CPU_FAULT ? event_deliver_fault(cpu) : r;
}
