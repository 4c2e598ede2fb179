/* SPDX-License-Identifier: MIT */
/* Far jumps, calls and returns, directly and by call gates. */
#include "tests/unit/world/fault_case.h"
#include "engine/core/block_key.h"
#include "engine/core/cpu.h"
#include "engine/insn/ops.h"
#include "x86/insn.h"
#include "x86/regs.h"

static struct {
	u16 selector;
	u64 offset;
	unsigned size;
} target;

static void aim(u16 selector, u64 offset, unsigned size)
{
	target.selector = selector;
	target.offset = offset;
	target.size = size;
}

/* Through memory when the offset is 8 bytes or the mode has no immediate form. */
static int run_far(u8 opcode, op_handler imm, op_handler mem)
{
	struct insn in = make_insn(opcode, target.size);

	in.imm = target.offset;
	in.imm2 = target.selector;
	if (w.cpu->code_size != 8)
		return imm(w.cpu, &in);
	poke(0x7000, target.offset, target.size);
	poke(0x7000 + target.size, target.selector, 2);
	in.is_mem = true;
	in.disp = 0x7000;
	return mem(w.cpu, &in);
}

static int run_jmp(void)
{
	return run_far(0xea, op_jmp_far_imm, op_jmp_far_m);
}

static int run_call(void)
{
	return run_far(0x9a, op_call_far_imm, op_call_far_m);
}

static int run_retf_n(unsigned size, u16 n)
{
	struct insn in = make_insn(n ? 0xca : 0xcb, size);

	in.imm = n;
	in.imm_len = n ? 2 : 0;
	return op_ret_far(w.cpu, &in);
}

static int run_retf(void)
{
	return run_retf_n(w.cpu->code_size, 0);
}

/* ---- real mode ---- */

static void real_mode(void **state)
{
	start_real();
	aim(0x1000, 0x1234, 2);
	assert_int_equal(run_call(), CPU_OK);
	assert_int_equal(w.cpu->seg[SEG_CS].base, 0x10000);
	assert_int_equal(w.cpu->next_rip, 0x1234);
	assert_int_equal(w.cpu->gpr[RSP], KSTACK - 4);
	assert_int_equal(peek(KSTACK - 4, 4), 0x00000102);
	assert_int_equal(run_retf_n(2, 6), CPU_OK);
	assert_int_equal(w.cpu->next_rip, 0x102);
	assert_int_equal(w.cpu->seg[SEG_CS].base, 0);
	assert_int_equal(w.cpu->gpr[RSP], KSTACK + 6);
	poke(w.cpu->gpr[RSP], 0x10000, 8);
	assert_fault(run_retf_n(4, 0), X86_GP, 0);
	aim(0x1000, 0x10000, 4);
	assert_fault(run_jmp(), X86_GP, 0);
	assert_fault(run_call(), X86_GP, 0);
}

/* ---- direct ---- */

static void direct_in_protected_mode(void **state)
{
	start_protected(0);
	set_gdt(KCODE, make_desc(0, 0xfffff, 0x9a, 0xc));
	aim(KCODE | 0, 0x12345678, 4);
	assert_int_equal(run_call(), CPU_OK);
	assert_int_equal(w.cpu->next_rip, 0x12345678);
	assert_int_equal(peek(KSTACK - 8, 8), 0x102 | (u64)KCODE << 32);
	assert_int_equal(peek(GDT + KCODE + 5, 1), 0x9b);
	assert_int_equal(w.cpu->seg[SEG_CS].attr & 0xff, 0x9b);
	assert_int_equal(run_retf_n(4, 4), CPU_OK);
	assert_int_equal(w.cpu->gpr[RSP], KSTACK + 4);
	assert_int_equal(w.cpu->next_rip, 0x102);

	start_protected(3); /* to conforming code: CPL stays and is the selector's RPL */
	aim(CCODE, 0x600, 4);
	assert_int_equal(run_jmp(), CPU_OK);
	assert_int_equal(w.cpu->seg[SEG_CS].selector, CCODE | 3);
	assert_int_equal(w.cpu->cpl, 3);

	start_protected(0);
	aim(CODE16, 0x600, 4);
	assert_int_equal(run_jmp(), CPU_OK);
	assert_int_equal(w.cpu->code_size, 2);
	assert_false(w.cpu->block_key & BK_CODE32);
}

static void direct_between_64_and_32_bit_code(void **state)
{
	start_long(0);
	aim(KCODE, 0x80000000, 4);
	assert_int_equal(run_jmp(), CPU_OK);
	assert_int_equal(w.cpu->code_size, 4);
	assert_int_equal(w.cpu->next_rip, 0x80000000);
	aim(KCODE64, 0x600, 4);
	assert_int_equal(run_jmp(), CPU_OK);
	assert_int_equal(w.cpu->code_size, 8);
	aim(KCODE64, 0xffffffff80000000, 8);
	assert_int_equal(run_call(), CPU_OK);
	assert_int_equal(w.cpu->next_rip, 0xffffffff80000000);
	assert_int_equal(peek(KSTACK - 16, 8), 0x600);
	assert_int_equal(peek(KSTACK - 8, 8), KCODE64);
}

/* ---- call gates ---- */

static void gate_with_parameters(void **state)
{
	start_protected(3);
	set_call_gate(KCODE, 0x12345678, 0xec, 3);
	poke(USTACK, 0x0000000200000001, 8);
	poke(USTACK + 8, 3, 4);
	aim(SELGATE | 3, 0xbad, 4);
	assert_int_equal(run_call(), CPU_OK);
	assert_int_equal(w.cpu->cpl, 0);
	assert_int_equal(w.cpu->next_rip, 0x12345678);
	assert_int_equal(w.cpu->seg[SEG_SS].selector, KDATA);
	assert_int_equal(w.cpu->gpr[RSP], TSTACK - 28);
	const u32 want[7] = {0x102, UCODE, 1, 2, 3, USTACK, UDATA};
	for (unsigned i = 0; i < 7; i++)
		assert_int_equal(peek(TSTACK - 28 + 4 * i, 4), want[i]);

	/* retf 12 releases the parameters on both stacks and drops inner data segments. */
	w.cpu->seg[SEG_ES].attr = 0xc093;
	w.cpu->seg[SEG_ES].selector = KDATA;
	assert_int_equal(run_retf_n(4, 12), CPU_OK);
	assert_int_equal(w.cpu->cpl, 3);
	assert_int_equal(w.cpu->gpr[RSP], USTACK + 12);
	assert_int_equal(w.cpu->seg[SEG_SS].selector, UDATA);
	assert_int_equal(w.cpu->seg[SEG_DS].selector, UDATA);
	assert_int_equal(w.cpu->seg[SEG_ES].selector, 0);
}

static void gate_of_16_bits(void **state)
{
	start_protected(3);
	set_call_gate(KCODE, 0xdead1234, 0xe4, 1);
	poke(USTACK, 0x7777, 2);
	aim(SELGATE | 3, 0, 4);
	assert_int_equal(run_call(), CPU_OK);
	assert_int_equal(w.cpu->next_rip, 0x1234);
	const u16 want[5] = {0x102, UCODE, 0x7777, (u16)USTACK, UDATA};
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(peek(TSTACK - 10 + 2 * i, 2), want[i]);
}

static void gate_to_same_level(void **state)
{
	start_protected(0);
	set_call_gate(KCODE, 0x600, 0x8c, 5); /* no copy without a level change */
	aim(SELGATE, 0, 4);
	assert_int_equal(run_jmp(), CPU_OK);
	assert_int_equal(w.cpu->next_rip, 0x600);
	assert_int_equal(run_call(), CPU_OK);
	assert_int_equal(w.cpu->gpr[RSP], KSTACK - 8);
	start_protected(3);
	set_call_gate(CCODE, 0x600, 0xec, 0);
	aim(SELGATE | 3, 0, 4);
	assert_int_equal(run_jmp(), CPU_OK);
	assert_int_equal(w.cpu->cpl, 3);
}

static void gate_in_long_mode(void **state)
{
	start_long(3);
	set_call_gate(KCODE64, 0xffff800000000600, 0xec, 7); /* the count is ignored */
	aim(SELGATE | 3, 0, 4);
	assert_int_equal(run_call(), CPU_OK);
	assert_int_equal(w.cpu->next_rip, 0xffff800000000600);
	assert_int_equal(w.cpu->seg[SEG_SS].selector, 0);
	assert_int_equal(w.cpu->gpr[RSP], TSTACK - 32);
	const u64 want[4] = {0x102, UCODE64, USTACK, UDATA};
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(peek(TSTACK - 32 + 8 * i, 8), want[i]);
	assert_int_equal(run_retf(), CPU_OK);
	assert_int_equal(w.cpu->cpl, 3);
	assert_int_equal(w.cpu->gpr[RSP], USTACK);
}

/* ---- faults ---- */

#define AIM_CASE(name, start, sel, off, size)                                                      \
	static void name(void)                                                                     \
	{                                                                                          \
		start;                                                                             \
		aim(sel, off, size);                                                               \
	}
AIM_CASE(f_null, start_protected(0), 0, 0x600, 4)
AIM_CASE(f_outside, start_protected(0), OUTSIDE, 0x600, 4)
AIM_CASE(f_data, start_protected(0), KDATA, 0x600, 4)
AIM_CASE(f_rpl, start_protected(0), KCODE | 1, 0x600, 4)
AIM_CASE(f_dpl_outer, start_protected(0), UCODE & ~3, 0x600, 4)
AIM_CASE(f_dpl_inner, start_protected(3), KCODE, 0x600, 4)
AIM_CASE(f_absent, start_protected(0), NPCODE, 0x600, 4)
AIM_CASE(f_limit, start_protected(0), TINY, 0x100, 4)
AIM_CASE(f_canonical, start_long(0), KCODE64, 0x800000000000, 8)
AIM_CASE(f_l_and_d, start_long(0), LDCODE, 0x600, 4)
AIM_CASE(f_long_tss, start_long(0), SELTSS, 0x600, 4)
AIM_CASE(f_ldt, start_protected(0), SELLDT, 0x600, 4)
AIM_CASE(f_busy, start_protected(0), SELTSS, 0, 4)

static void f_conforming_above(void)
{
	start_protected(0);
	set_gdt(CCODE, make_desc(0, 0xfffff, 0xff, 0xc));
	aim(CCODE, 0x600, 4);
}
static void f_stack(void)
{
	start_protected(0);
	w.cpu->gpr[RSP] = BAD + 4;
	aim(KCODE, 0x600, 4);
}

static void gate(unsigned cpl, u16 code, u8 access)
{
	start_protected(cpl);
	set_call_gate(code, 0x600, access, 0);
	aim(SELGATE | cpl, 0, 4);
}
static void g_dpl(void)
{
	gate(3, KCODE, 0x8c);
}
static void g_rpl(void)
{
	gate(0, KCODE, 0x8c);
	aim(SELGATE | 1, 0, 4);
}
static void g_absent(void)
{
	gate(3, KCODE, 0x6c);
}
static void g_code_null(void)
{
	gate(3, 3, 0xec);
}
static void g_code_data(void)
{
	gate(3, KDATA, 0xec);
}
static void g_code_outer(void)
{
	gate(0, UCODE, 0x8c);
}
static void g_code_absent(void)
{
	gate(3, NPCODE, 0xec);
}
static void g_jump_inward(void)
{
	gate(3, KCODE, 0xec);
}
static void g_tss(void)
{
	gate(3, KCODE, 0xec);
	w.cpu->seg[SEG_TR].limit = 8;
}
static void g_ss0(void)
{
	gate(3, KCODE, 0xec);
	poke(TSS + 8, UDATA, 2);
}
static void g_stack(void)
{
	gate(3, KCODE, 0xec);
	poke(TSS + 4, BAD + 8, 4);
}
static void g_parameters(void)
{
	gate(3, KCODE, 0xec);
	set_call_gate(KCODE, 0x600, 0xec, 4);
	w.cpu->gpr[RSP] = BAD - 8;
}
static void g_limit(void)
{
	gate(3, TINY, 0xec);
	set_call_gate(TINY, 0x100, 0xec, 0);
}
static void g_long_32bit_code(void)
{
	start_long(3);
	set_call_gate(KCODE, 0x600, 0xec, 0);
	aim(SELGATE | 3, 0, 4);
}
static void g_long_16bit_gate(void)
{
	start_long(3);
	set_call_gate(KCODE64, 0x600, 0xe4, 0);
	aim(SELGATE | 3, 0, 4);
}
static void g_long_upper_type(void)
{
	start_long(3);
	set_call_gate(KCODE64, 0x600, 0xec, 0);
	poke(GDT + SELGATE + 13, 1, 1);
	aim(SELGATE | 3, 0, 4);
}
static void g_long_cut_off(void)
{
	start_long(3);
	set_call_gate(KCODE64, 0x600, 0xec, 0);
	w.cpu->gdt.limit = SELGATE + 14;
	aim(SELGATE | 3, 0, 4);
}

static void far_faults(void **state)
{
	static const struct fault_case rows[] = {
		{"null", f_null, run_jmp, X86_GP, 0},
		{"outside", f_outside, run_jmp, X86_GP, OUTSIDE},
		{"data", f_data, run_jmp, X86_GP, KDATA},
		{"rpl", f_rpl, run_jmp, X86_GP, KCODE},
		{"outer", f_dpl_outer, run_jmp, X86_GP, UCODE & ~3},
		{"inner", f_dpl_inner, run_call, X86_GP, KCODE},
		{"absent", f_absent, run_call, X86_NP, NPCODE},
		{"limit", f_limit, run_call, X86_GP, 0},
		{"canonical", f_canonical, run_jmp, X86_GP, 0},
		{"L and D", f_l_and_d, run_jmp, X86_GP, LDCODE},
		{"tss in long mode", f_long_tss, run_jmp, X86_GP, SELTSS},
		{"ldt", f_ldt, run_jmp, X86_GP, SELLDT},
		{"busy tss", f_busy, run_jmp, X86_GP, SELTSS},
		{"conforming above", f_conforming_above, run_jmp, X86_GP, CCODE},
		{"stack", f_stack, run_call, X86_PF, PF_W},
		{"gate dpl", g_dpl, run_call, X86_GP, SELGATE},
		{"gate rpl", g_rpl, run_call, X86_GP, SELGATE},
		{"gate absent", g_absent, run_call, X86_NP, SELGATE},
		{"gate code null", g_code_null, run_call, X86_GP, 0},
		{"gate code data", g_code_data, run_call, X86_GP, KDATA},
		{"gate code outer", g_code_outer, run_call, X86_GP, UCODE & ~3},
		{"gate code absent", g_code_absent, run_call, X86_NP, NPCODE},
		{"gate jump inward", g_jump_inward, run_jmp, X86_GP, KCODE},
		{"gate tss", g_tss, run_call, X86_TS, SELTSS},
		{"gate ss0", g_ss0, run_call, X86_TS, UDATA & ~3},
		{"gate stack", g_stack, run_call, X86_PF, PF_W},
		{"gate parameters", g_parameters, run_call, X86_PF, PF_U},
		{"gate limit", g_limit, run_call, X86_GP, 0},
		{"long, 32-bit code", g_long_32bit_code, run_call, X86_GP, KCODE},
		{"long, 16-bit gate", g_long_16bit_gate, run_call, X86_GP, SELGATE},
		{"long, upper type", g_long_upper_type, run_call, X86_GP, SELGATE},
		{"long, cut off", g_long_cut_off, run_call, X86_GP, SELGATE},
	};

	check_fault_cases(rows, ARRAY_SIZE(rows));
}

static void ret_frame(unsigned cpl, u32 cs, u32 ss)
{
	const u32 v[4] = {0x600, cs, USTACK, ss};

	start_protected(cpl);
	w.cpu->gpr[RSP] = KSTACK - 16;
	for (unsigned i = 0; i < 4; i++)
		poke(KSTACK - 16 + 4 * i, v[i], 4);
}
static void r_null(void)
{
	ret_frame(0, 0, UDATA);
}
static void r_inward(void)
{
	ret_frame(3, KCODE, UDATA);
}
static void r_dpl(void)
{
	ret_frame(0, KCODE | 3, UDATA);
}
static void r_ss(void)
{
	ret_frame(0, UCODE, KDATA);
}
static void r_ss_null(void)
{
	ret_frame(0, UCODE, 0);
}
static void r_stack(void)
{
	ret_frame(0, UCODE, UDATA);
	w.cpu->gpr[RSP] = BAD - 4;
}

static void ret_nulls_a_segment_but_not_its_base(void **state)
{
	ret_frame(0, UCODE, UDATA);
	w.cpu->seg[SEG_FS].base = 0x12345000;
	w.cpu->seg[SEG_FS].selector = KDATA;
	assert_int_equal(run_retf(), CPU_OK);
	assert_int_equal(w.cpu->cpl, 3);
	assert_int_equal(w.cpu->seg[SEG_FS].selector, 0);
	assert_true(w.cpu->seg[SEG_FS].attr & SEG_UNUSABLE);
	assert_int_equal(w.cpu->seg[SEG_FS].base, 0x12345000);
}

static void ret_faults(void **state)
{
	static const struct fault_case rows[] = {
		{"null", r_null, run_retf, X86_GP, 0},
		{"inward", r_inward, run_retf, X86_GP, KCODE},
		{"dpl", r_dpl, run_retf, X86_GP, KCODE},
		{"ss", r_ss, run_retf, X86_GP, KDATA},
		{"ss null", r_ss_null, run_retf, X86_GP, 0},
		{"stack", r_stack, run_retf, X86_PF, 0},
	};

	check_fault_cases(rows, ARRAY_SIZE(rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_mode),
		cmocka_unit_test(direct_in_protected_mode),
		cmocka_unit_test(direct_between_64_and_32_bit_code),
		cmocka_unit_test(gate_with_parameters),
		cmocka_unit_test(gate_of_16_bits),
		cmocka_unit_test(gate_to_same_level),
		cmocka_unit_test(gate_in_long_mode),
		cmocka_unit_test(far_faults),
		cmocka_unit_test(ret_nulls_a_segment_but_not_its_base),
		cmocka_unit_test(ret_faults),
	};

	return cmocka_run_group_tests(tests, NULL, processor_close);
}
