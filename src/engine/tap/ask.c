/* SPDX-License-Identifier: MIT */
/*
 * See ask.h. First the subscriber is asked; what happens after that may be intercepted. A question leaves in cpu->question with EXIT_TAP; its answer is found again by what was asked and not by its
 * place among the answers: on the way there the instruction may have filled the TLB, and then asks less the next time.
 */
#include "engine/tap/ask.h"

#include "engine/core/answer.h"
#include "engine/core/select.h"
#include "engine/core/vcpu.h"
#include "engine/tap/intercept.h"

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

static bool selected(const struct cpu *cpu, const struct tap_event *e)
{
	const struct vcpu_tap *t = &cpu->vcpu->tap;

	if (!(cpu->subscribed & BIT(e->kind)))
		return false;
	switch (e->kind) {
	case TAP_CR: return atomic_load(&t->crs) & BIT(e->cr.cr);
	case TAP_MSR_READ:
	case TAP_MSR_WRITE: return msr_selected(&t->msrs, e->msr.index, e->kind == TAP_MSR_WRITE);
	default: return true;
	}
}

static bool ask_subscriber(
	struct cpu *cpu, const struct tap_event *e, u64 key, u64 *value, int *ret)
{
	const struct answer *a;

	if (!selected(cpu, e))
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

/* The VMM of a partition sees what the subscriber has left of it. */
static bool intercept(struct cpu *cpu, struct tap_event *e, u64 value, int *ret)
{
	if (e->kind == TAP_MSR_READ || e->kind == TAP_MSR_WRITE)
		e->msr.value = value;
	else if (e->kind == TAP_SOFT_INT)
		e->soft_int.vector = (u8)value;
	if (likely(!tap_intercepted(cpu, e)))
		return false;
	*ret = CPU_EXIT;
	cpu->question = *e;
	cpu_exit_in_front(cpu, EXIT_INTERCEPT);
	return true;
}

/* The one way by which questions leave. *value: what the event says and an answer may change; any other's is 0. */
static bool ask(struct cpu *cpu, struct tap_event *e, u64 key, u64 *value, int *ret)
{
	if (cpu->answers.muted)
		return false;
	return ask_subscriber(cpu, e, key, value, ret) || intercept(cpu, e, *value, ret);
}

/* ---- registers ---- */

bool tap_ask_value(struct cpu *cpu, enum tap_kind kind, u32 index, u64 old, u64 *value, int *ret)
{
	struct tap_event e = {.kind = kind, .insn_len = (u8)(cpu->next_rip - cpu->rip)};

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

static struct tap_operand operand_of(const struct cpu *cpu, const struct insn *in)
{
	struct tap_operand o = {.is_mem = in->is_mem, .reg = in->rm, .op_size = in->op_size};

	if (!in->is_mem)
		return o;
	o.seg = in->seg;
	o.addr_size = in->addr_size;
	o.base = in->base == BASE_RIP ? TAP_NO_REG : in->base;
	o.index = in->index;
	o.scale = in->scale;
	o.disp = (u64)in->disp + (in->base == BASE_RIP ? cpu->next_rip : 0);
	return o;
}

bool tap_ask_table(struct cpu *cpu, const struct insn *in, enum tap_table t, bool store, int *ret)
{
	struct tap_event e = {.kind = TAP_TABLE,
		.insn_len = (u8)(cpu->next_rip - cpu->rip),
		.table = {.table = t, .store = store, .operand = operand_of(cpu, in)}};
	u64 unused = 0;

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
	u64 unused = 0;

	if (kind == TAP_STEP)
		e.step.unfinished = cpu->tap_unfinished;
	else
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
	u64 unused = 0;
	int r;

	return ask(cpu, &e, exc->vector, &unused, &r);
}

/* ---- pages ---- */

bool tap_ask_page(struct cpu *cpu, u64 gpa, u64 gva, enum tap_access access, int *ret)
{
	struct tap_event e = {
		.kind = TAP_PAGE, .page = {.gpa = gpa & GPA_BITS, .gva = gva, .access = access}};
	u64 unused = 0;

	return ask(cpu, &e, gpa & GPA_BITS, &unused, ret);
}
