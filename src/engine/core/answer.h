/* SPDX-License-Identifier: MIT */
/*
 * Asking the outside: an instruction that reads a device, or an MSR of the outer code, leaves with an exit before it has
 * any effect, and is started again when the answer is there. It may ask several times; then all answers so far are found
 * again, in the order of the questions. An answer that does not fit (the guest's registers, code or tables were changed
 * meanwhile) belongs to another course of events: it and all that follow are dropped.
 *
 * Answers of the subscriber (engine/tap.h) stand among them but are found by what was asked, wherever they are: they hold
 * until the instruction is over. Inner code.
 */
#ifndef ENGINE_CORE_ANSWER_H
#define ENGINE_CORE_ANSWER_H

#include "base/check.h"
#include "engine/core/cpu.h"
#include "engine/core/machine.h"

/* The answer to this question, if it is there. addr: gpa, port, MSR or number of the hypercall. */
static inline const struct answer *answer_to(struct cpu *cpu, u8 reason, u64 addr, u8 len)
{
	struct answers *r = &cpu->answers;
	const struct answer *a;

	while (unlikely(r->tapped) && r->next < r->filled && r->answer[r->next].reason == EXIT_TAP)
		r->next++;
	a = &r->answer[r->next];
	if (r->next >= r->filled || a->reason != reason || a->addr != addr || a->len != len)
		return NULL;
	r->next++;
	return a;
}

/* The subscriber's. */
static inline const struct answer *tap_answer_to(const struct cpu *cpu, u8 kind, u64 key)
{
	const struct answers *r = &cpu->answers;

	for (unsigned i = 0; r->tapped && i < r->filled; i++) {
		const struct answer *a = &r->answer[i];

		if (a->reason == EXIT_TAP && a->len == kind && a->addr == key)
			return a;
	}
	return NULL;
}

/* Whatever was asked, it is another instruction or event that begins now. */
static inline void answers_drop(struct cpu *cpu)
{
	cpu->answers.filled = cpu->answers.next = 0;
	cpu->answers.tapped = false;
}

static inline bool answers_full(const struct cpu *cpu)
{
	return cpu->answers.next == ANSWERS_MAX;
}

/*
 * Ask: the caller has written cpu->exit, beginning with its reason. No instruction needs more answers than there is room for,
 * unless another processor changes its tables while the subscriber is asked: then it begins anew.
 */
static inline int ask_outside(struct cpu *cpu)
{
	if (unlikely(answers_full(cpu)))
		answers_drop(cpu);
	cpu->answers.filled = cpu->answers.next;
	return CPU_EXIT;
}

/*
 * OPT_INTERCEPTS: has user space been shown an instruction that is its own to do? It moves rip then, or wants the
 * instruction to be executed again.
 */
static inline bool cpu_left_in_front(const struct cpu *cpu)
{
	const u32 reasons = BIT(EXIT_IO_IN) | BIT(EXIT_IO_OUT) | BIT(EXIT_MMIO_READ) |
			    BIT(EXIT_MMIO_WRITE) | BIT(EXIT_MMIO_FETCH) | BIT(EXIT_RDMSR) |
			    BIT(EXIT_WRMSR) | BIT(EXIT_TAP) | BIT(EXIT_INTERCEPT);

	_Static_assert(EXIT_COUNT <= 32, "reasons");
	if (likely(!machine_intercepts(cpu->machine)))
		return false;
	if (cpu->exit.reason == EXIT_HYPERV)
		return cpu->exit.hyperv.kind == HYPERV_CALL;
	return reasons & BIT(cpu->exit.reason);
}

#endif
