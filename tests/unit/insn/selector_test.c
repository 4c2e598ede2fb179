/* SPDX-License-Identifier: MIT */
/* Instructions on selectors and their descriptors: LLDT, LTR and their stores, LAR to VERW, ARPL. */
#include "tests/unit/world/fault_case.h"
#include "engine/core/cpu.h"
#include "engine/cpu/segment.h"
#include "engine/insn/ops.h"
#include "x86/insn.h"
#include "x86/regs.h"

static int with_rdx(op_handler op, u16 selector, unsigned size)
{
	struct insn in = make_insn(0, size);

	in.rm = RDX;
	in.reg = RCX;
	w.cpu->gpr[RDX] = selector;
	return op(w.cpu, &in);
}

static void ldt_and_task_register(void **state)
{
	start_protected(0);
	assert_int_equal(with_rdx(op_lldt, SELLDT, 2), CPU_OK);
	assert_int_equal(w.cpu->seg[SEG_LDTR].base, LDT);
	assert_int_equal(with_rdx(op_sldt, 0, 4), CPU_OK);
	assert_int_equal(w.cpu->gpr[RDX], SELLDT);
	assert_int_equal(with_rdx(op_lldt, 0, 2), CPU_OK);
	assert_true(w.cpu->seg[SEG_LDTR].attr & SEG_UNUSABLE);
	assert_int_equal(with_rdx(op_ltr, SELNEW, 2), CPU_OK);
	assert_int_equal(w.cpu->seg[SEG_TR].base, TSS_NEW);
	assert_int_equal(w.cpu->seg[SEG_TR].attr & 0xff, 0x8b);
	assert_int_equal(peek(GDT + SELNEW + 5, 1), 0x8b);
	assert_int_equal(with_rdx(op_str, 0, 4), CPU_OK);
	assert_int_equal(w.cpu->gpr[RDX], SELNEW);

	start_long(0);
	set_gdt(SELTSS, make_desc(TSS, 0x67, 0x89, 0));
	poke(GDT + SELTSS + 8, 0xffff8880, 4);
	assert_int_equal(with_rdx(op_ltr, SELTSS, 2), CPU_OK);
	assert_int_equal(w.cpu->seg[SEG_TR].base, 0xffff888000000000 | TSS);
}

static u16 system_selector;
static int run_lldt(void)
{
	return with_rdx(op_lldt, system_selector, 2);
}
static int run_ltr(void)
{
	return with_rdx(op_ltr, system_selector, 2);
}
static int run_str(void)
{
	return with_rdx(op_str, system_selector, 2);
}
static int run_sldt(void)
{
	return with_rdx(op_sldt, system_selector, 2);
}
#define SYSTEM_CASE(name, start, value)                                                            \
	static void name(void)                                                                     \
	{                                                                                          \
		start;                                                                             \
		system_selector = value;                                                           \
		w.cpu->gpr[RDX] = value;                                                           \
	}
SYSTEM_CASE(s_null, start_protected(0), 0)
SYSTEM_CASE(s_in_ldt, start_protected(0); load_ldt_like_gdt(), SELLDT | 4)
SYSTEM_CASE(s_tss_in_ldt, start_protected(0); load_ldt_like_gdt(), SELNEW | 4)
SYSTEM_CASE(s_outside, start_protected(0), OUTSIDE)
SYSTEM_CASE(s_data, start_protected(0), KDATA)
SYSTEM_CASE(s_busy, start_protected(0), SELTSS)
SYSTEM_CASE(s_long_cut_off, start_long(0), SELTSS)
static void s_ldt_absent(void)
{
	s_null();
	set_gdt(SELLDT, make_desc(LDT, 0x7f, SYS_LDT, 0));
	w.cpu->gpr[RDX] = system_selector = SELLDT;
}
static void s_tss_absent(void)
{
	s_null();
	set_gdt(SELNEW, make_desc(TSS_NEW, 0x67, SYS_TSS32, 0));
	w.cpu->gpr[RDX] = system_selector = SELNEW;
}
static void s_long_16bit(void)
{
	s_long_cut_off();
	set_gdt(SELTSS, make_desc(TSS, 0x67, 0x81, 0));
}
static void s_long_base(void)
{
	s_long_cut_off();
	set_gdt(SELTSS, make_desc(TSS, 0x67, 0x89, 0));
	poke(GDT + SELTSS + 8, 0x8000, 4);
}
static void s_null_tss(void)
{
	s_null();
	set_gdt(0, make_desc(TSS_NEW, 0x67, 0x80 | SYS_TSS32, 0));
}
static void s_ldt_base(void)
{
	s_long_cut_off();
	poke(GDT + SELLDT + 8, 0x8000, 4);
	w.cpu->gpr[RDX] = system_selector = SELLDT;
}
static void s_cut_off(void)
{
	s_long_cut_off();
	w.cpu->gdt.limit = SELTSS + 14;
}
static void s_umip(void)
{
	start_protected(3);
	w.cpu->cr4 |= CR4_UMIP;
	w.cpu->gpr[RDX] = system_selector = 0;
}

static void system_faults(void **state)
{
	static const struct fault_case rows[] = {
		{"lldt in ldt", s_in_ldt, run_lldt, X86_GP, SELLDT | 4},
		{"lldt outside", s_outside, run_lldt, X86_GP, OUTSIDE},
		{"lldt data", s_data, run_lldt, X86_GP, KDATA},
		{"lldt tss", s_busy, run_lldt, X86_GP, SELTSS},
		{"lldt absent", s_ldt_absent, run_lldt, X86_NP, SELLDT},
		{"lldt base", s_ldt_base, run_lldt, X86_GP, SELLDT},
		{"ltr null", s_null_tss, run_ltr, X86_GP, 0},
		{"ltr in ldt", s_tss_in_ldt, run_ltr, X86_GP, SELNEW | 4},
		{"ltr data", s_data, run_ltr, X86_GP, KDATA},
		{"ltr busy", s_busy, run_ltr, X86_GP, SELTSS},
		{"ltr absent", s_tss_absent, run_ltr, X86_NP, SELNEW},
		{"ltr 16-bit in long mode", s_long_16bit, run_ltr, X86_GP, SELTSS},
		{"ltr base", s_long_base, run_ltr, X86_GP, SELTSS},
		{"ltr cut off", s_cut_off, run_ltr, X86_GP, SELTSS},
		{"str umip", s_umip, run_str, X86_GP, 0},
		{"sldt umip", s_umip, run_sldt, X86_GP, 0},
	};

	check_fault_cases(rows, ARRAY_SIZE(rows));
	s_long_base(); /* the busy bit is not set by a load that fails */
	run_ltr();
	assert_int_equal(peek(GDT + SELTSS + 5, 1), 0x89);
}

static void queries(void **state)
{
	static const struct {
		const char *name;
		unsigned cpl;
		u16 selector;
		bool lar, lsl, verr, verw;
	} rows[] = {
		{"null", 0, 0, false, false, false, false},
		{"outside", 0, OUTSIDE, false, false, false, false},
		{"data", 0, KDATA, true, true, true, true},
		{"rpl", 0, KDATA | 3, false, false, false, false},
		{"inner", 3, KDATA, false, false, false, false},
		{"read-only", 0, RODATA, true, true, true, false},
		{"code", 0, KCODE, true, true, true, false},
		{"execute-only", 0, XCODE, true, true, false, false},
		{"conforming", 3, CCODE | 3, true, true, true, false},
		{"absent", 0, NPDATA, true, true, true, true},
		{"ldt", 0, SELLDT, true, true, false, false},
		{"call gate", 0, SELGATE, true, false, false, false},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		const op_handler op[4] = {op_lar, op_lsl, op_verr, op_verw};
		const bool want[4] = {rows[i].lar, rows[i].lsl, rows[i].verr, rows[i].verw};

		start_protected(rows[i].cpl);
		set_call_gate(KCODE, 0x500, 0x8c, 0);
		for (unsigned k = 0; k < 4; k++) {
			w.cpu->gpr[RCX] = 0xaaaa;
			assert_int_equal(with_rdx(op[k], rows[i].selector, 4), CPU_OK);
			if (!!(w.cpu->rflags & FL_ZF) != want[k])
				fail_msg("%s, %u", rows[i].name, k);
			assert_int_equal(w.cpu->gpr[RCX] == 0xaaaa, !(want[k] && k < 2));
		}
	}
	start_protected(0);
	assert_int_equal(with_rdx(op_lar, KDATA, 4), CPU_OK);
	assert_int_equal(w.cpu->gpr[RCX], 0xcf9300 & 0xf0ff00);
	assert_int_equal(with_rdx(op_lsl, KDATA, 4), CPU_OK);
	assert_int_equal(w.cpu->gpr[RCX], 0xffffffff);
	start_long(0); /* 16-bit system types do not exist */
	set_gdt(SELNEW, make_desc(0, 0x2b, 0x81, 0));
	assert_int_equal(with_rdx(op_lar, SELNEW, 4), CPU_OK);
	assert_false(w.cpu->rflags & FL_ZF);
}

static void arpl(void **state)
{
	start_protected(0);
	w.cpu->gpr[RCX] = 3;
	assert_int_equal(with_rdx(op_arpl, 0x20, 2), CPU_OK);
	assert_int_equal(w.cpu->gpr[RDX], 0x23);
	assert_true(w.cpu->rflags & FL_ZF);
	w.cpu->gpr[RCX] = 1;
	assert_int_equal(with_rdx(op_arpl, 0x22, 2), CPU_OK);
	assert_int_equal(w.cpu->gpr[RDX], 0x22);
	assert_false(w.cpu->rflags & FL_ZF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ldt_and_task_register),
		cmocka_unit_test(system_faults),
		cmocka_unit_test(queries),
		cmocka_unit_test(arpl),
	};

	return cmocka_run_group_tests(tests, NULL, processor_close);
}
