/* SPDX-License-Identifier: MIT */
/*
 * Near transfers, one at a time (translated code has its own). A target is truncated to the
 * operand size and checked before anything changes (SDM 2: JMP, CALL, RET, Jcc, LOOP).
 */

#include "engine/core/cpu.h"
#include "engine/cpu/segment.h"
#include "engine/cpu/stack.h"
#include "engine/insn/operand.h"
#include "engine/insn/ops.h"
#include "x86/regs.h"

static u64 truncate(u64 v, unsigned size)
{
	return size == 8 ? v : size == 4 ? (u32)v : (u16)v;
}

static int branch_to(struct cpu *cpu, const struct insn *in, u64 target)
{
	return cpu_set_rip_checked(cpu, truncate(target, in->op_size));
}

static int branch_relative(struct cpu *cpu, const struct insn *in)
{
	return branch_to(cpu, in, cpu->next_rip + in->imm);
}

int op_jcc(struct cpu *cpu, const struct insn *in)
{
	if (!condition_holds(cpu->rflags, in->opcode & 15))
		return CPU_OK;
	return branch_relative(cpu, in);
}

int op_jmp_rel(struct cpu *cpu, const struct insn *in)
{
	return branch_relative(cpu, in);
}

int op_jmp_rm(struct cpu *cpu, const struct insn *in)
{
	u64 target;
	int r = rm_read(cpu, in, in->op_size, &target);

	return r ? r : branch_to(cpu, in, target);
}

/*
 * The return address is pushed only when the target is known to be good. Where the stack is bad, too, processors of both
 * vendors report that, outside of 64-bit code (measured; SDM 2:CALL looks at the target first).
 */
static int call_to(struct cpu *cpu, const struct insn *in, u64 target)
{
	u64 back = cpu->next_rip;
	struct stack s;
	int r = in->op_size == 8 ? CPU_OK : stack_probe_push(cpu, in->op_size);

	if (!r)
		r = branch_to(cpu, in, target);
	if (r)
		return r;
	stack_begin(cpu, &s);
	r = stack_push(cpu, &s, back, in->op_size);
	if (r) {
		cpu->next_rip = back;
		return r;
	}
	stack_commit(cpu, &s);
	return CPU_OK;
}

int op_call_rel(struct cpu *cpu, const struct insn *in)
{
	return call_to(cpu, in, cpu->next_rip + in->imm);
}

int op_call_rm(struct cpu *cpu, const struct insn *in)
{
	u64 target;
	int r = rm_read(cpu, in, in->op_size, &target);

	return r ? r : call_to(cpu, in, target);
}

int op_ret(struct cpu *cpu, const struct insn *in)
{
	u64 target, extra = in->imm_len ? (u16)in->imm : 0;
	struct stack s;
	int r;

	stack_begin(cpu, &s);
	r = stack_pop(cpu, &s, &target, in->op_size);
	if (!r)
		r = branch_to(cpu, in, target);
	if (r)
		return r;
	s.sp = truncate(s.sp + extra, s.width);
	stack_commit(cpu, &s);
	return CPU_OK;
}

/* E0 LOOPNE, E1 LOOPE, E2 LOOP. The count is as wide as addresses are. */
int op_loop(struct cpu *cpu, const struct insn *in)
{
	u64 count = truncate(cpu->gpr[RCX] - 1, in->addr_size);
	bool zf = cpu->rflags & FL_ZF;
	bool taken = count != 0 && (in->opcode == 0xe2 || zf == (in->opcode == 0xe1));

	if (taken) {
		int r = branch_relative(cpu, in);
		if (r)
			return r;
	}
	reg_write(cpu, RCX, in->addr_size, true, count);
	return CPU_OK;
}

int op_jcxz(struct cpu *cpu, const struct insn *in)
{
	if (truncate(cpu->gpr[RCX], in->addr_size))
		return CPU_OK;
	return branch_relative(cpu, in);
}
