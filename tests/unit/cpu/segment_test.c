/* SPDX-License-Identifier: MIT */
/* Segments: addresses in them, loads and stores of their registers. */
#include "tests/unit/world/fault_case.h"
#include "engine/core/block_key.h"
#include "engine/core/cpu.h"
#include "engine/cpu/segment.h"
#include "engine/engine.h"
#include "engine/insn/ops.h"
#include "x86/insn.h"
#include "x86/regs.h"

/* ---- seg_linear ---- */

static void addresses(void **state)
{
	static const struct {
		const char *name;
		u32 base, limit, attr;
		u64 off;
		unsigned len, acc;
		bool ok;
	} rows[] = {
		{"last byte", 0x1000, 0xfff, 0x93, 0xfff, 1, ACC_READ, true},
		{"past the end", 0x1000, 0xfff, 0x93, 0x1000, 1, ACC_READ, false},
		{"across the end", 0x1000, 0xfff, 0x93, 0xffd, 4, ACC_WRITE, false},
		{"up to the end", 0x1000, 0xfff, 0x93, 0xffc, 4, ACC_WRITE, true},
		{"read-only read", 0, 0xfff, 0x91, 0, 4, ACC_READ, true},
		{"read-only write", 0, 0xfff, 0x91, 0, 4, ACC_WRITE, false},
		{"code read", 0, 0xfff, 0x9b, 0, 4, ACC_READ, true},
		{"code write", 0, 0xfff, 0x9b, 0, 4, ACC_WRITE, false},
		{"execute-only read", 0, 0xfff, 0x99, 0, 4, ACC_READ, false},
		{"down, below", 0, 0xfff, 0x97, 0xfff, 1, ACC_READ, false},
		{"down, first", 0, 0xfff, 0x97, 0x1000, 4, ACC_READ, true},
		{"down, 64K", 0, 0xfff, 0x97, 0xfffd, 4, ACC_READ, false},
		{"down, 4G", 0, 0xfff, 0x4097, 0xfffffffc, 4, ACC_READ, true},
		{"down, wrap", 0, 0xfff, 0x4097, 0xfffffffd, 4, ACC_READ, false},
		{"null", 0, 0xffffffff, SEG_UNUSABLE | 0x93, 0, 1, ACC_READ, false},
		{"wrap", 0x10, 0xffffffff, 0xc093, 0xfffffffe, 4, ACC_READ, false},
	};
	u64 lin;

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		start_protected(0);
		w.cpu->seg[SEG_ES] = w.cpu->seg[SEG_SS] = (struct segment){
			.base = rows[i].base, .limit = rows[i].limit, .attr = rows[i].attr};
		int r = seg_linear(w.cpu, SEG_ES, rows[i].off, rows[i].len, rows[i].acc, &lin);
		if ((r == CPU_OK) != rows[i].ok)
			fail_msg("%s: %d", rows[i].name, r);
		if (rows[i].ok) {
			assert_int_equal(lin, rows[i].base + rows[i].off);
			continue;
		}
		assert_fault(r, X86_GP, 0);
		r = seg_linear(w.cpu, SEG_SS, rows[i].off, rows[i].len, rows[i].acc, &lin);
		assert_fault(r, X86_SS, 0);
	}
	start_protected(0); /* linear addresses are 32 bits wide */
	w.cpu->seg[SEG_DS].base = 0xfffff000;
	assert_int_equal(seg_linear(w.cpu, SEG_DS, 0x2000, 4, ACC_READ, &lin), CPU_OK);
	assert_int_equal(lin, 0x1000);
}

static void addresses_in_64_bit_mode(void **state)
{
	u64 lin;

	start_long(0);
	w.cpu->seg[SEG_DS].base = 0x5000;
	w.cpu->seg[SEG_DS].limit = 0;
	w.cpu->seg[SEG_GS].base = 0xffff888000000000;
	assert_int_equal(seg_linear(w.cpu, SEG_DS, 0x7fffffffffff, 1, ACC_WRITE, &lin), CPU_OK);
	assert_int_equal(lin, 0x7fffffffffff);
	assert_int_equal(seg_linear(w.cpu, SEG_GS, 0x10, 8, ACC_WRITE, &lin), CPU_OK);
	assert_int_equal(lin, 0xffff888000000010);
	assert_fault(seg_linear(w.cpu, SEG_DS, 0x7fffffffffff, 2, 0, &lin), X86_GP, 0);
	assert_fault(seg_linear(w.cpu, SEG_SS, 0x800000000000, 1, 0, &lin), X86_SS, 0);
	w.cpu->cr4 |= CR4_LA57;
	assert_int_equal(seg_linear(w.cpu, SEG_SS, 0x800000000000, 1, 0, &lin), CPU_OK);
	assert_fault(seg_linear(w.cpu, SEG_SS, 0x100000000000000, 1, 0, &lin), X86_SS, 0);
}

static void addresses_in_real_mode(void **state)
{
	u64 lin;

	start_real();
	w.cpu->seg[SEG_CS].attr = 0x9b; /* no type check */
	assert_int_equal(seg_linear(w.cpu, SEG_CS, 0xfffc, 4, ACC_WRITE, &lin), CPU_OK);
	assert_fault(seg_linear(w.cpu, SEG_DS, 0xfffd, 4, ACC_READ, &lin), X86_GP, 0);
}

/* ---- loads ---- */

static struct {
	unsigned seg;
	u16 selector;
} load;

static int run_load(void)
{
	struct insn in = make_insn(0x8e, 2);

	in.reg = (u8)load.seg;
	in.rm = RDX;
	w.cpu->gpr[RDX] = load.selector;
	return op_mov_to_seg(w.cpu, &in);
}

static void loads_that_work(void **state)
{
	start_protected(0);
	load.seg = SEG_ES;
	load.selector = UDATA & ~3;
	set_gdt(UDATA, make_desc(0x12345678, 0x4321, 0xf2, 0x4));
	assert_int_equal(run_load(), CPU_OK);
	assert_int_equal(w.cpu->seg[SEG_ES].base, 0x12345678);
	assert_int_equal(w.cpu->seg[SEG_ES].limit, 0x4321);
	assert_int_equal(w.cpu->seg[SEG_ES].attr, 0x40f3);
	assert_int_equal(peek(GDT + UDATA - 3 + 5, 1), 0xf3); /* accessed */
	assert_int_equal(seen.writes, 1);
	assert_false(w.cpu->flat);
	assert_int_equal(w.cpu->shadow, 0);
	assert_int_equal(run_load(), CPU_OK);
	assert_int_equal(seen.writes, 1);

	load.selector = 3; /* null */
	assert_int_equal(run_load(), CPU_OK);
	assert_int_equal(w.cpu->seg[SEG_ES].selector, 3);
	assert_true(w.cpu->seg[SEG_ES].attr & SEG_UNUSABLE);

	load.seg = SEG_SS;
	load.selector = KDATA16;
	assert_int_equal(run_load(), CPU_OK);
	assert_int_equal(w.cpu->shadow, SHADOW_MOVSS);
	assert_int_equal(w.cpu->stack_size, 2);
	assert_false(w.cpu->block_key & BK_STACK32);

	start_protected(3); /* conforming code is readable from any level */
	load.seg = SEG_DS;
	load.selector = CCODE | 3;
	assert_int_equal(run_load(), CPU_OK);
	w.cpu->seg[SEG_LDTR] = (struct segment){.base = LDT, .limit = 0x7f, .attr = 0x82};
	poke(LDT + 8, make_desc(0x7000, 0xff, 0xf3, 4), 8);
	load.selector = 0x0f;
	assert_int_equal(run_load(), CPU_OK);
	assert_int_equal(w.cpu->seg[SEG_DS].base, 0x7000);

	start_real(); /* base only: a large limit survives */
	w.cpu->seg[SEG_DS].limit = 0xffffffff;
	load.selector = 0x1234;
	assert_int_equal(run_load(), CPU_OK);
	assert_int_equal(w.cpu->seg[SEG_DS].base, 0x12340);
	assert_int_equal(w.cpu->seg[SEG_DS].limit, 0xffffffff);
}

static void loads_in_64_bit_mode(void **state)
{
	start_long(0);
	load.seg = SEG_SS;
	load.selector = 0;
	assert_int_equal(run_load(), CPU_OK);
	assert_int_equal(w.cpu->cpl, 0);
	load.seg = SEG_GS;
	w.cpu->seg[SEG_GS].base = 0xffff888000000000;
	load.selector = KDATA;
	assert_int_equal(run_load(), CPU_OK);
	assert_int_equal(w.cpu->seg[SEG_GS].base, 0);
	w.cpu->seg[SEG_GS].base = 0xffff888000000000;
	load.selector = 0; /* a null selector clears the base */
	assert_int_equal(run_load(), CPU_OK);
	assert_int_equal(w.cpu->seg[SEG_GS].base, 0);
	assert_true(w.cpu->flat);
}

#define LOAD_CASE(name, start, register, value)                                                    \
	static void name(void)                                                                     \
	{                                                                                          \
		start;                                                                             \
		load.seg = register;                                                               \
		load.selector = value;                                                             \
		w.cpu->gpr[RDX] = value;                                                           \
	}
LOAD_CASE(l_cs, start_protected(0), SEG_CS, KCODE)
LOAD_CASE(l_bad_register, start_protected(0), 6, KDATA)
LOAD_CASE(l_outside, start_protected(0), SEG_ES, OUTSIDE)
LOAD_CASE(l_no_ldt, start_protected(0), SEG_ES, 0x14)
static void l_unusable_ldt(void)
{
	l_no_ldt();
	load_ldt_like_gdt();
	w.cpu->seg[SEG_LDTR].attr |= SEG_UNUSABLE;
}
LOAD_CASE(l_execute_only, start_protected(0), SEG_ES, XCODE)
LOAD_CASE(l_system, start_protected(0), SEG_ES, SELTSS)
LOAD_CASE(l_rpl, start_protected(0), SEG_ES, KDATA | 1)
LOAD_CASE(l_cpl, start_protected(3), SEG_ES, KDATA)
LOAD_CASE(l_cpl2, start_protected(3), SEG_ES, DATA2)
LOAD_CASE(l_code_cpl, start_protected(3), SEG_ES, KCODE)
LOAD_CASE(l_absent, start_protected(0), SEG_ES, NPDATA)
LOAD_CASE(l_ss_null, start_protected(0), SEG_SS, 0)
LOAD_CASE(l_ss_null64_user, start_long(3), SEG_SS, 3)
LOAD_CASE(l_ss_null64_rpl, start_long(0), SEG_SS, 1)
LOAD_CASE(l_ss_rpl, start_protected(0), SEG_SS, KDATA | 3)
LOAD_CASE(l_ss_dpl, start_protected(0), SEG_SS, UDATA & ~3)
LOAD_CASE(l_ss_read_only, start_protected(0), SEG_SS, RODATA)
LOAD_CASE(l_ss_code, start_protected(0), SEG_SS, KCODE)
LOAD_CASE(l_ss_absent, start_protected(0), SEG_SS, NPDATA)
static void l_accessed_read_only(void)
{
	start_protected(0);
	w.cpu->gdt.base = RO;
	poke(RO + KDATA, make_desc(0, 0xfffff, 0x92, 0xc), 8);
	load.seg = SEG_ES;
	load.selector = KDATA;
	w.cpu->gpr[RDX] = KDATA;
}
static void l_gdt_unmapped(void)
{
	l_accessed_read_only();
	w.cpu->gdt.base = BAD;
}

static void loads_that_fault(void **state)
{
	static const struct fault_case rows[] = {
		{"cs", l_cs, run_load, X86_UD, NO_ERROR},
		{"no such register", l_bad_register, run_load, X86_UD, NO_ERROR},
		{"outside", l_outside, run_load, X86_GP, OUTSIDE},
		{"no ldt", l_no_ldt, run_load, X86_GP, 0x14},
		{"unusable ldt", l_unusable_ldt, run_load, X86_GP, 0x14},
		{"execute-only", l_execute_only, run_load, X86_GP, XCODE},
		{"system", l_system, run_load, X86_GP, SELTSS},
		{"rpl", l_rpl, run_load, X86_GP, KDATA},
		{"cpl", l_cpl, run_load, X86_GP, KDATA},
		{"cpl 3, dpl 2", l_cpl2, run_load, X86_GP, DATA2},
		{"code, cpl", l_code_cpl, run_load, X86_GP, KCODE},
		{"absent", l_absent, run_load, X86_NP, NPDATA},
		{"ss null", l_ss_null, run_load, X86_GP, 0},
		{"ss null, level 3", l_ss_null64_user, run_load, X86_GP, 0},
		{"ss null, rpl", l_ss_null64_rpl, run_load, X86_GP, 0},
		{"ss rpl", l_ss_rpl, run_load, X86_GP, KDATA},
		{"ss dpl", l_ss_dpl, run_load, X86_GP, UDATA & ~3},
		{"ss read-only", l_ss_read_only, run_load, X86_GP, RODATA},
		{"ss code", l_ss_code, run_load, X86_GP, KCODE},
		{"ss absent", l_ss_absent, run_load, X86_SS, NPDATA},
		{"accessed", l_accessed_read_only, run_load, X86_PF, PF_W | PF_P},
		{"gdt unmapped", l_gdt_unmapped, run_load, X86_PF, 0},
	};

	check_fault_cases(rows, ARRAY_SIZE(rows));
}

static int run_les(void)
{
	struct insn in = make_insn(0xc4, 4);

	in.is_mem = true;
	in.addr_size = 4;
	in.disp = 0x7000;
	in.reg = RDI;
	return op_load_far(w.cpu, &in);
}

static void far_pointers(void **state)
{
	static const struct {
		u8 opcode, seg;
	} rows[] = {{0xc4, SEG_ES}, {0xc5, SEG_DS}, {0xb2, SEG_SS}, {0xb4, SEG_FS}, {0xb5, SEG_GS}};
	struct trace before, after;

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		start_protected(0);
		struct insn in = make_insn(rows[i].opcode, 4);
		in.is_mem = true;
		in.addr_size = 4;
		in.disp = 0x7000;
		in.reg = RDI;
		poke(0x7000, 0xcafe1234, 4);
		poke(0x7004, KDATA16, 2);
		assert_int_equal(op_load_far(w.cpu, &in), CPU_OK);
		assert_int_equal(w.cpu->seg[rows[i].seg].selector, KDATA16);
		assert_int_equal(w.cpu->gpr[RDI], 0xcafe1234);
		assert_int_equal(w.cpu->shadow, 0);
	}
	start_protected(0); /* a bad selector leaves the register */
	poke(0x7004, OUTSIDE, 2);
	before = take_trace();
	assert_fault(run_les(), X86_GP, OUTSIDE);
	after = take_trace();
	assert_same_trace(&before, &after);
}

static void store_segment(void **state)
{
	struct insn in;

	start_long(0);
	in = make_insn(0x8c, 4);
	in.reg = SEG_CS;
	in.rm = RDI;
	assert_int_equal(op_mov_from_seg(w.cpu, &in), CPU_OK);
	assert_int_equal(w.cpu->gpr[RDI], KCODE64);
	in.reg = 7;
	assert_fault(op_mov_from_seg(w.cpu, &in), X86_UD, NO_ERROR);
	in.reg = SEG_SS;
	in.is_mem = true;
	in.disp = 0x7000;
	poke(0x7000, 0xffffffff, 4);
	assert_int_equal(op_mov_from_seg(w.cpu, &in), CPU_OK);
	assert_int_equal(peek(0x7000, 4), 0xffff0000 | KDATA);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses),
		cmocka_unit_test(addresses_in_64_bit_mode),
		cmocka_unit_test(addresses_in_real_mode),
		cmocka_unit_test(loads_that_work),
		cmocka_unit_test(loads_in_64_bit_mode),
		cmocka_unit_test(loads_that_fault),
		cmocka_unit_test(far_pointers),
		cmocka_unit_test(store_segment),
	};

	return cmocka_run_group_tests(tests, NULL, processor_close);
}
