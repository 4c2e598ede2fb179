/* SPDX-License-Identifier: MIT */
/*
 * Pushes and pops on a running copy of the stack pointer.
 *
 * rsp changes in stack_commit() only, so an instruction that faults half-way leaves the registers
 * alone. Bytes already pushed below rsp stay in memory; they are not architectural state.
 */
#include "engine/cpu/segment.h"
#include "engine/cpu/stack.h"
#include "engine/mem/mem.h"

static u64 sp_mask(unsigned width)
{
	return width == 8 ? ~0ull : width == 4 ? 0xffffffffull : 0xffffull;
}

void stack_begin(struct cpu *cpu, struct stack *s)
{
	s->width = cpu->stack_size;
	s->sp = cpu->gpr[RSP] & sp_mask(s->width);
	s->ss = &cpu->seg[SEG_SS];
	s->acc = 0;
	s->own = true;
	s->error = 0;
}

/* As seg_linear() for SS, but against the stack's own segment. */
static int stack_linear(
	struct cpu *cpu, const struct stack *s, unsigned size, unsigned acc, u64 *ret)
{
	bool ok;

	if (s->own && unlikely(alignment_checked(cpu)))
		return seg_aligned(cpu, SEG_SS, s->sp, size, size, acc, ret);
	if (s->width == 8) {
		ok = cpu_canonical(cpu, s->sp) && cpu_canonical(cpu, s->sp + size - 1);
		*ret = s->sp;
	} else {
		ok = segment_allows(cpu, s->ss, s->sp, size, acc);
		*ret = (u32)(s->ss->base + s->sp);
	}
	return ok ? CPU_OK : cpu_raise_err(cpu, X86_SS, s->error);
}

int stack_push_part(struct cpu *cpu, struct stack *s, u64 value, unsigned size, unsigned written)
{
	struct stack next = *s;
	u64 lin;
	int r;

	next.sp = (s->sp - size) & sp_mask(s->width);
	r = stack_linear(cpu, &next, written, ACC_WRITE, &lin);
	if (!r)
		r = mem_write(cpu, lin, &value, written, ACC_WRITE | s->acc);
	if (!r)
		s->sp = next.sp;
	return r;
}

int stack_push(struct cpu *cpu, struct stack *s, u64 value, unsigned size)
{
	return stack_push_part(cpu, s, value, size, size);
}

int stack_probe_push(struct cpu *cpu, unsigned size)
{
	struct stack s;
	u64 lin;
	int r;

	stack_begin(cpu, &s);
	s.sp = (s.sp - size) & sp_mask(s.width);
	r = stack_linear(cpu, &s, size, ACC_WRITE, &lin);
	return r ? r : mem_probe_write(cpu, lin, size, ACC_WRITE);
}

int stack_pop(struct cpu *cpu, struct stack *s, u64 *value, unsigned size)
{
	u64 lin;
	int r = stack_linear(cpu, s, size, ACC_READ, &lin);

	if (!r)
		r = mem_read_u64(cpu, lin, value, size, ACC_READ | s->acc);
	if (!r)
		s->sp = (s->sp + size) & sp_mask(s->width);
	return r;
}

void stack_commit(struct cpu *cpu, const struct stack *s)
{
	u64 mask = s->width == 2 ? 0xffff : ~0ull;

	cpu->gpr[RSP] = (cpu->gpr[RSP] & ~mask) | (s->sp & mask);
}
