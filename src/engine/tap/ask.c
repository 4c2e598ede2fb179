/* SPDX-License-Identifier: MIT */
/*
 * See ask.h. A question leaves in cpu->question with EXIT_TAP; its answer is found again by what was asked and not by its
 * place among the answers: on the way there the instruction may have filled the TLB, and then asks less the next time.
 */
#include "engine/tap/ask.h"

#include "engine/core/answer.h"
#include "engine/core/vcpu.h"

/* What an answer is found by: the address, index or vector, and the kind of event; of access, too. */
static u8 key_kind(const struct tap_event *e)
{
	return e->kind == TAP_PAGE ? TAP_KINDS + e->page.access : (u8)e->kind;
}

static bool end_with(struct cpu *cpu, enum tap_verdict verdict, int *ret)
{
	if (verdict == TAP_REFUSE)
		*ret = cpu_gp0(cpu);
	else if (verdict == TAP_SKIP)
		*ret = CPU_OK;
	else
		return false;
	return true;
}

/* The one way by which questions leave. */
static bool ask(struct cpu *cpu, const struct tap_event *e, u64 key, u64 *value, int *ret)
{
	const struct answer *a;

	if (cpu->answers.muted)
		return false;
	a = tap_answer_to(cpu, key_kind(e), key);
	if (a) {
		*value = a->value;
		return end_with(cpu, a->verdict, ret);
	}
	*ret = CPU_EXIT;
	if (cpu->answers.filled == ANSWERS_MAX) /* as in ask_outside() */
		answers_drop(cpu);
	cpu->question = *e;
	cpu->question_key = key;
	cpu->question_kind = key_kind(e);
	cpu_exit_in_front(cpu, EXIT_TAP);
	return true;
}

/* ---- registers ---- */

/* 4 KiB of selection a direction: where processors and hypervisors have MSRs (core/vcpu.h). */
static bool msr_selected(const struct cpu *cpu, u32 index, bool write)
{
	int bit = tap_msr_bit(index);

	return bit >= 0 &&
	       (atomic_load_explicit(&cpu->vcpu->tap.msrs[write][bit / 64], memory_order_relaxed) &
		       BIT64(bit % 64));
}

static bool selected(const struct cpu *cpu, enum tap_kind kind, u32 index)
{
	switch (kind) {
	case TAP_CR: return atomic_load(&cpu->vcpu->tap.crs) & BIT(index);
	case TAP_MSR_READ:
	case TAP_MSR_WRITE: return msr_selected(cpu, index, kind == TAP_MSR_WRITE);
	default: return true;
	}
}

bool tap_ask_value(struct cpu *cpu, enum tap_kind kind, u32 index, u64 old, u64 *value, int *ret)
{
	struct tap_event e = {.kind = kind, .insn_len = (u8)(cpu->next_rip - cpu->rip)};

	if (!selected(cpu, kind, index))
		return false;
	if (kind == TAP_CR || kind == TAP_XCR0) {
		e.cr.cr = (u8)index;
		e.cr.old = old;
		e.cr.value = *value;
	} else {
		e.msr.index = index;
		e.msr.value = *value;
	}
	return ask(cpu, &e, index, value, ret);
}

/* ---- instructions ---- */

bool tap_ask_table(struct cpu *cpu, enum tap_table t, bool store, int *ret)
{
	struct tap_event e = {.kind = TAP_TABLE,
		.insn_len = (u8)(cpu->next_rip - cpu->rip),
		.table = {.table = t, .store = store}};
	u64 unused;

	return ask(cpu, &e, 0, &unused, ret);
}

bool tap_ask_soft_int(struct cpu *cpu, enum tap_insn insn, u8 *vector, int *ret)
{
	struct tap_event e = {.kind = TAP_SOFT_INT,
		.insn_len = (u8)(cpu->next_rip - cpu->rip),
		.soft_int = {.vector = *vector, .insn = insn}};
	u64 value = *vector;

	if (ask(cpu, &e, 0, &value, ret))
		return true;
	*vector = (u8)value;
	return false;
}

bool tap_ask_plain(struct cpu *cpu, enum tap_kind kind, int *ret)
{
	struct tap_event e = {.kind = kind};
	u64 unused;

	if (kind != TAP_STEP)
		e.insn_len = (u8)(cpu->next_rip - cpu->rip);
	if (kind == TAP_CPUID) {
		e.cpuid.leaf = (u32)cpu->gpr[RAX];
		e.cpuid.index = (u32)cpu->gpr[RCX];
	}
	return ask(cpu, &e, 0, &unused, ret);
}

/* ---- exceptions ---- */

bool tap_ask_exception(struct cpu *cpu)
{
	const struct exception *exc = &cpu->exc;
	struct tap_event e = {.kind = TAP_EXCEPTION,
		.exception = {.vector = exc->vector,
			.has_error = exc->has_error,
			.injected = exc->injected,
			.error = exc->error,
			.payload = exc->vector == X86_PF ? exc->cr2 : exc->dr6}};
	u64 unused;
	int r;

	return ask(cpu, &e, exc->vector, &unused, &r);
}

/* ---- pages ---- */

bool tap_ask_page(struct cpu *cpu, u64 gpa, u64 gva, enum tap_access access, int *ret)
{
	struct tap_event e = {
		.kind = TAP_PAGE, .page = {.gpa = gpa & GPA_BITS, .gva = gva, .access = access}};
	u64 unused;

	return ask(cpu, &e, gpa & GPA_BITS, &unused, ret);
}
