/* SPDX-License-Identifier: MIT */
/* Near branches: jumps, calls, returns, loops. */
#include "tests/unit/world/fault_case.h"
#include "engine/core/cpu.h"
#include "engine/insn/ops.h"
#include "x86/insn.h"
#include "x86/regs.h"

static struct insn branch(u8 opcode, unsigned size, s64 displacement)
{
	struct insn in = make_insn(opcode, size);

	in.imm = (u64)displacement;
	return in;
}

static void near_branches(void **state)
{
	struct insn in;

	start_long(0);
	in = branch(0x74, 8, -0x200);
	assert_int_equal(op_jcc(w.cpu, &in), CPU_OK);
	assert_int_equal(w.cpu->next_rip, 0x102);
	w.cpu->rflags |= FL_ZF;
	assert_int_equal(op_jcc(w.cpu, &in), CPU_OK);
	assert_int_equal(w.cpu->next_rip, 0xffffffffffffff02);

	start_protected(0); /* operand size truncates */
	in = branch(0xe9, 2, -0x103);
	assert_int_equal(op_jmp_rel(w.cpu, &in), CPU_OK);
	assert_int_equal(w.cpu->next_rip, 0xffff);
	start_protected(0);
	in = branch(0xe9, 4, -0x103);
	assert_int_equal(op_jmp_rel(w.cpu, &in), CPU_OK);
	assert_int_equal(w.cpu->next_rip, 0xffffffff);

	start_long(0);
	in = branch(0xe8, 8, 0x10);
	assert_int_equal(op_call_rel(w.cpu, &in), CPU_OK);
	assert_int_equal(peek(KSTACK - 8, 8), 0x102);
	assert_int_equal(w.cpu->next_rip, 0x112);
	in = branch(0xc2, 8, 0x20);
	in.imm_len = 2;
	assert_int_equal(op_ret(w.cpu, &in), CPU_OK);
	assert_int_equal(w.cpu->next_rip, 0x102);
	assert_int_equal(w.cpu->gpr[RSP], KSTACK + 0x20);

	start_long(0); /* call [rsp]: the operand is read before the push */
	in = branch(0xff, 8, 0);
	in.is_mem = true;
	in.base = RSP;
	poke(KSTACK, 0x7777, 8);
	assert_int_equal(op_call_rm(w.cpu, &in), CPU_OK);
	assert_int_equal(w.cpu->next_rip, 0x7777);
	in.is_mem = false;
	in.rm = RDX;
	assert_int_equal(op_jmp_rm(w.cpu, &in), CPU_OK);
	assert_int_equal(w.cpu->next_rip, 2);
}

static void loops(void **state)
{
	static const struct {
		u8 opcode, addr_size;
		u64 rcx, flags;
		bool taken;
		u64 after;
	} rows[] = {
		{0xe2, 8, 2, 0, true, 1},
		{0xe2, 8, 1, 0, false, 0},
		{0xe2, 8, 0, 0, true, ~0ull},
		{0xe2, 4, 0x100000001, 0, false, 0},
		{0xe2, 2, 0x10000, 0, true, 0x1ffff},
		{0xe1, 8, 2, FL_ZF, true, 1},
		{0xe1, 8, 2, 0, false, 1},
		{0xe0, 8, 2, 0, true, 1},
		{0xe0, 8, 2, FL_ZF, false, 1},
		{0xe3, 8, 0, 0, true, 0},
		{0xe3, 8, 0x100000000, 0, false, 0x100000000},
		{0xe3, 4, 0x100000000, 0, true, 0x100000000},
		{0xe3, 2, 0x10000, 0, true, 0x10000},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct insn in;

		start_long(0);
		in = branch(rows[i].opcode, 8, 0x10);
		in.addr_size = rows[i].addr_size;
		w.cpu->gpr[RCX] = rows[i].rcx;
		w.cpu->rflags |= rows[i].flags;
		assert_int_equal((rows[i].opcode == 0xe3 ? op_jcxz : op_loop)(w.cpu, &in), CPU_OK);
		assert_int_equal(w.cpu->next_rip, rows[i].taken ? 0x112 : 0x102);
		assert_int_equal(w.cpu->gpr[RCX], rows[i].after);
	}
}

static struct insn branch_insn;
static op_handler branch_op;
static int run_branch(void)
{
	return branch_op(w.cpu, &branch_insn);
}
static void far_away(void)
{
	start_long(0);
	w.cpu->rip = w.cpu->next_rip = 0x7ffffffffff0;
	w.cpu->gpr[RCX] = 2;
	branch_insn = branch(0xe2, 8, 0x10);
}
static void b_jmp(void)
{
	far_away();
	branch_op = op_jmp_rel;
}
static void b_call(void)
{
	far_away();
	branch_op = op_call_rel;
}
static void b_loop(void)
{
	far_away();
	branch_op = op_loop;
}
static void b_ret(void)
{
	far_away();
	branch_op = op_ret;
	poke(KSTACK, 0x8000000000000000, 8);
}
static void b_call_stack(void)
{
	start_long(0);
	branch_insn = branch(0xe8, 8, 0x10);
	branch_op = op_call_rel;
	w.cpu->gpr[RSP] = BAD + 8;
}
static void b_ret_stack(void)
{
	b_call_stack();
	branch_op = op_ret;
}
static void b_limit(void)
{
	start_protected(0);
	w.cpu->seg[SEG_CS].limit = 0x111;
	branch_insn = branch(0xe9, 4, 0x10);
	branch_op = op_jmp_rel;
}

static void branch_faults(void **state)
{
	static const struct fault_case rows[] = {
		{"jmp", b_jmp, run_branch, X86_GP, 0},
		{"call", b_call, run_branch, X86_GP, 0},
		{"loop", b_loop, run_branch, X86_GP, 0},
		{"ret", b_ret, run_branch, X86_GP, 0},
		{"call, stack", b_call_stack, run_branch, X86_PF, PF_W},
		{"ret, stack", b_ret_stack, run_branch, X86_PF, 0},
		{"limit", b_limit, run_branch, X86_GP, 0},
	};

	check_fault_cases(rows, ARRAY_SIZE(rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(near_branches),
		cmocka_unit_test(loops),
		cmocka_unit_test(branch_faults),
	};

	return cmocka_run_group_tests(tests, NULL, processor_close);
}
