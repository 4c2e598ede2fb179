/* SPDX-License-Identifier: MIT */
/*
 * The questions of engine/tap.h, as the instructions ask them: one function for each kind of event.
 *
 * Those that return bool say true if the instruction ends here, with *ret: CPU_EXIT to get the answer (it is started again
 * then, and finds it), CPU_OK if it was skipped, CPU_FAULT. False: go on, with the value that was answered. Who is not
 * asked for pays one test of cpu->tap_events. Inner code.
 */
#ifndef ENGINE_TAP_ASK_H
#define ENGINE_TAP_ASK_H

#include "engine/core/cpu.h"
#include "engine/tap.h"

static inline bool tap_wants(const struct cpu *cpu, enum tap_kind kind)
{
	return unlikely(cpu->tap_events & BIT(kind));
}

bool tap_ask_value(struct cpu *cpu, enum tap_kind kind, u32 index, u64 old, u64 *value, int *ret);
bool tap_ask_table(struct cpu *cpu, const struct insn *in, enum tap_table t, bool store, int *ret);
bool tap_ask_soft_int(struct cpu *cpu, enum tap_insn insn, u8 *vector, int *ret);
bool tap_ask_plain(struct cpu *cpu, enum tap_kind kind, int *ret);
bool tap_ask_page(struct cpu *cpu, u64 gpa, u64 gva, enum tap_access access, int *ret);
/* cpu->exc. True: it must wait for the answer. */
bool tap_ask_exception(struct cpu *cpu);

static inline bool tap_cr(struct cpu *cpu, unsigned cr, u64 old, u64 *value, int *ret)
{
	return tap_wants(cpu, TAP_CR) && tap_ask_value(cpu, TAP_CR, cr, old, value, ret);
}

static inline bool tap_xcr0(struct cpu *cpu, u64 *value, int *ret)
{
	return tap_wants(cpu, TAP_XCR0) && tap_ask_value(cpu, TAP_XCR0, 0, cpu->xcr0, value, ret);
}

static inline bool tap_msr(
	struct cpu *cpu, enum tap_kind read_or_write, u32 index, u64 *value, int *ret)
{
	return tap_wants(cpu, read_or_write) &&
	       tap_ask_value(cpu, read_or_write, index, 0, value, ret);
}

static inline bool tap_table(
	struct cpu *cpu, const struct insn *in, enum tap_table t, bool store, int *ret)
{
	return tap_wants(cpu, TAP_TABLE) && tap_ask_table(cpu, in, t, store, ret);
}

static inline bool tap_soft_int(struct cpu *cpu, enum tap_insn insn, u8 *vector, int *ret)
{
	return tap_wants(cpu, TAP_SOFT_INT) && tap_ask_soft_int(cpu, insn, vector, ret);
}

static inline bool tap_hypercall(struct cpu *cpu, int *ret)
{
	return tap_wants(cpu, TAP_HYPERCALL) && tap_ask_plain(cpu, TAP_HYPERCALL, ret);
}

static inline bool tap_cpuid(struct cpu *cpu, int *ret)
{
	return tap_wants(cpu, TAP_CPUID) && tap_ask_plain(cpu, TAP_CPUID, ret);
}

static inline bool tap_exception(struct cpu *cpu)
{
	return tap_wants(cpu, TAP_EXCEPTION) && tap_ask_exception(cpu);
}

/* An instruction begins while the subscriber steps: the one before it is over. */
static inline bool tap_step(struct cpu *cpu, int *ret)
{
	return tap_wants(cpu, TAP_STEP) && cpu->tap_stepped && tap_ask_plain(cpu, TAP_STEP, ret);
}

#endif
