/* SPDX-License-Identifier: MIT */
/* Segment addressing and loads, LLDT to ARPL, near branches, derived state and reset. */
#include "fault_case.h"

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
		w.cpu.seg[SEG_ES] = w.cpu.seg[SEG_SS] = (struct segment){
			.base = rows[i].base, .limit = rows[i].limit, .attr = rows[i].attr};
		int r = seg_linear(&w.cpu, SEG_ES, rows[i].off, rows[i].len, rows[i].acc, &lin);
		if ((r == CPU_OK) != rows[i].ok)
			fail_msg("%s: %d", rows[i].name, r);
		if (rows[i].ok) {
			assert_int_equal(lin, rows[i].base + rows[i].off);
			continue;
		}
		assert_fault(r, X86_GP, 0);
		r = seg_linear(&w.cpu, SEG_SS, rows[i].off, rows[i].len, rows[i].acc, &lin);
		assert_fault(r, X86_SS, 0);
	}
	start_protected(0); /* linear addresses are 32 bits wide */
	w.cpu.seg[SEG_DS].base = 0xfffff000;
	assert_int_equal(seg_linear(&w.cpu, SEG_DS, 0x2000, 4, ACC_READ, &lin), CPU_OK);
	assert_int_equal(lin, 0x1000);
}

static void addresses_in_64_bit_mode(void **state)
{
	u64 lin;

	start_long(0);
	w.cpu.seg[SEG_DS].base = 0x5000;
	w.cpu.seg[SEG_DS].limit = 0;
	w.cpu.seg[SEG_GS].base = 0xffff888000000000;
	assert_int_equal(seg_linear(&w.cpu, SEG_DS, 0x7fffffffffff, 1, ACC_WRITE, &lin), CPU_OK);
	assert_int_equal(lin, 0x7fffffffffff);
	assert_int_equal(seg_linear(&w.cpu, SEG_GS, 0x10, 8, ACC_WRITE, &lin), CPU_OK);
	assert_int_equal(lin, 0xffff888000000010);
	assert_fault(seg_linear(&w.cpu, SEG_DS, 0x7fffffffffff, 2, 0, &lin), X86_GP, 0);
	assert_fault(seg_linear(&w.cpu, SEG_SS, 0x800000000000, 1, 0, &lin), X86_SS, 0);
	w.cpu.cr4 |= CR4_LA57;
	assert_int_equal(seg_linear(&w.cpu, SEG_SS, 0x800000000000, 1, 0, &lin), CPU_OK);
	assert_fault(seg_linear(&w.cpu, SEG_SS, 0x100000000000000, 1, 0, &lin), X86_SS, 0);
}

static void addresses_in_real_mode(void **state)
{
	u64 lin;

	start_real();
	w.cpu.seg[SEG_CS].attr = 0x9b; /* no type check */
	assert_int_equal(seg_linear(&w.cpu, SEG_CS, 0xfffc, 4, ACC_WRITE, &lin), CPU_OK);
	assert_fault(seg_linear(&w.cpu, SEG_DS, 0xfffd, 4, ACC_READ, &lin), X86_GP, 0);
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
	w.cpu.gpr[RDX] = load.selector;
	return op_mov_to_seg(&w.cpu, &in);
}

static void loads_that_work(void **state)
{
	start_protected(0);
	load.seg = SEG_ES;
	load.selector = UDATA & ~3;
	set_gdt(UDATA, make_desc(0x12345678, 0x4321, 0xf2, 0x4));
	assert_int_equal(run_load(), CPU_OK);
	assert_int_equal(w.cpu.seg[SEG_ES].base, 0x12345678);
	assert_int_equal(w.cpu.seg[SEG_ES].limit, 0x4321);
	assert_int_equal(w.cpu.seg[SEG_ES].attr, 0x40f3);
	assert_int_equal(peek(GDT + UDATA - 3 + 5, 1), 0xf3); /* accessed */
	assert_int_equal(w.writes, 1);
	assert_false(w.cpu.flat);
	assert_int_equal(w.cpu.shadow, 0);
	assert_int_equal(run_load(), CPU_OK);
	assert_int_equal(w.writes, 1);

	load.selector = 3; /* null */
	assert_int_equal(run_load(), CPU_OK);
	assert_int_equal(w.cpu.seg[SEG_ES].selector, 3);
	assert_true(w.cpu.seg[SEG_ES].attr & SEG_UNUSABLE);

	load.seg = SEG_SS;
	load.selector = KDATA16;
	assert_int_equal(run_load(), CPU_OK);
	assert_int_equal(w.cpu.shadow, SHADOW_MOVSS);
	assert_int_equal(w.cpu.stack_size, 2);
	assert_false(w.cpu.block_key & BK_STACK32);

	start_protected(3); /* conforming code is readable from any level */
	load.seg = SEG_DS;
	load.selector = CCODE | 3;
	assert_int_equal(run_load(), CPU_OK);
	w.cpu.seg[SEG_LDTR] = (struct segment){.base = LDT, .limit = 0x7f, .attr = 0x82};
	poke(LDT + 8, make_desc(0x7000, 0xff, 0xf3, 4), 8);
	load.selector = 0x0f;
	assert_int_equal(run_load(), CPU_OK);
	assert_int_equal(w.cpu.seg[SEG_DS].base, 0x7000);

	start_real(); /* base only: a large limit survives */
	w.cpu.seg[SEG_DS].limit = 0xffffffff;
	load.selector = 0x1234;
	assert_int_equal(run_load(), CPU_OK);
	assert_int_equal(w.cpu.seg[SEG_DS].base, 0x12340);
	assert_int_equal(w.cpu.seg[SEG_DS].limit, 0xffffffff);
}

static void loads_in_64_bit_mode(void **state)
{
	start_long(0);
	load.seg = SEG_SS;
	load.selector = 0;
	assert_int_equal(run_load(), CPU_OK);
	assert_int_equal(w.cpu.cpl, 0);
	load.seg = SEG_GS;
	w.cpu.seg[SEG_GS].base = 0xffff888000000000;
	load.selector = KDATA;
	assert_int_equal(run_load(), CPU_OK);
	assert_int_equal(w.cpu.seg[SEG_GS].base, 0);
	w.cpu.seg[SEG_GS].base = 0xffff888000000000;
	load.selector = 0; /* a null selector clears the base */
	assert_int_equal(run_load(), CPU_OK);
	assert_int_equal(w.cpu.seg[SEG_GS].base, 0);
	assert_true(w.cpu.flat);
}

#define LOAD_CASE(name, start, register, value)                                                    \
	static void name(void)                                                                     \
	{                                                                                          \
		start;                                                                             \
		load.seg = register;                                                               \
		load.selector = value;                                                             \
		w.cpu.gpr[RDX] = value;                                                            \
	}
LOAD_CASE(l_cs, start_protected(0), SEG_CS, KCODE)
LOAD_CASE(l_bad_register, start_protected(0), 6, KDATA)
LOAD_CASE(l_outside, start_protected(0), SEG_ES, OUTSIDE)
LOAD_CASE(l_no_ldt, start_protected(0), SEG_ES, 0x14)
static void l_unusable_ldt(void)
{
	l_no_ldt();
	load_ldt_like_gdt();
	w.cpu.seg[SEG_LDTR].attr |= SEG_UNUSABLE;
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
	w.cpu.gdt.base = RO;
	poke(RO + KDATA, make_desc(0, 0xfffff, 0x92, 0xc), 8);
	load.seg = SEG_ES;
	load.selector = KDATA;
	w.cpu.gpr[RDX] = KDATA;
}
static void l_gdt_unmapped(void)
{
	l_accessed_read_only();
	w.cpu.gdt.base = BAD;
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
		{"accessed", l_accessed_read_only, run_load, X86_PF, PF_W},
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
	return op_load_far(&w.cpu, &in);
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
		assert_int_equal(op_load_far(&w.cpu, &in), CPU_OK);
		assert_int_equal(w.cpu.seg[rows[i].seg].selector, KDATA16);
		assert_int_equal(w.cpu.gpr[RDI], 0xcafe1234);
		assert_int_equal(w.cpu.shadow, 0);
	}
	start_protected(0); /* a bad selector leaves the register */
	poke(0x7004, OUTSIDE, 2);
	before = take_trace();
	assert_fault(run_les(), X86_GP, OUTSIDE);
	after = take_trace();
	assert_same_trace(&before, &after);
}

/* ---- system registers ---- */

static int with_rdx(op_handler op, u16 selector, unsigned size)
{
	struct insn in = make_insn(0, size);

	in.rm = RDX;
	in.reg = RCX;
	w.cpu.gpr[RDX] = selector;
	return op(&w.cpu, &in);
}

static void ldt_and_task_register(void **state)
{
	start_protected(0);
	assert_int_equal(with_rdx(op_lldt, SELLDT, 2), CPU_OK);
	assert_int_equal(w.cpu.seg[SEG_LDTR].base, LDT);
	assert_int_equal(with_rdx(op_sldt, 0, 4), CPU_OK);
	assert_int_equal(w.cpu.gpr[RDX], SELLDT);
	assert_int_equal(with_rdx(op_lldt, 0, 2), CPU_OK);
	assert_true(w.cpu.seg[SEG_LDTR].attr & SEG_UNUSABLE);
	assert_int_equal(with_rdx(op_ltr, SELNEW, 2), CPU_OK);
	assert_int_equal(w.cpu.seg[SEG_TR].base, TSS_NEW);
	assert_int_equal(w.cpu.seg[SEG_TR].attr & 0xff, 0x8b);
	assert_int_equal(peek(GDT + SELNEW + 5, 1), 0x8b);
	assert_int_equal(with_rdx(op_str, 0, 4), CPU_OK);
	assert_int_equal(w.cpu.gpr[RDX], SELNEW);

	start_long(0);
	set_gdt(SELTSS, make_desc(TSS, 0x67, 0x89, 0));
	poke(GDT + SELTSS + 8, 0xffff8880, 4);
	assert_int_equal(with_rdx(op_ltr, SELTSS, 2), CPU_OK);
	assert_int_equal(w.cpu.seg[SEG_TR].base, 0xffff888000000000 | TSS);
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
		w.cpu.gpr[RDX] = value;                                                            \
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
	w.cpu.gpr[RDX] = system_selector = SELLDT;
}
static void s_tss_absent(void)
{
	s_null();
	set_gdt(SELNEW, make_desc(TSS_NEW, 0x67, SYS_TSS32, 0));
	w.cpu.gpr[RDX] = system_selector = SELNEW;
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
	w.cpu.gpr[RDX] = system_selector = SELLDT;
}
static void s_cut_off(void)
{
	s_long_cut_off();
	w.cpu.gdt.limit = SELTSS + 14;
}
static void s_umip(void)
{
	start_protected(3);
	w.cpu.cr4 |= CR4_UMIP;
	w.cpu.gpr[RDX] = system_selector = 0;
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
			w.cpu.gpr[RCX] = 0xaaaa;
			assert_int_equal(with_rdx(op[k], rows[i].selector, 4), CPU_OK);
			if (!!(w.cpu.rflags & FL_ZF) != want[k])
				fail_msg("%s, %u", rows[i].name, k);
			assert_int_equal(w.cpu.gpr[RCX] == 0xaaaa, !(want[k] && k < 2));
		}
	}
	start_protected(0);
	assert_int_equal(with_rdx(op_lar, KDATA, 4), CPU_OK);
	assert_int_equal(w.cpu.gpr[RCX], 0xcf9300 & 0xf0ff00);
	assert_int_equal(with_rdx(op_lsl, KDATA, 4), CPU_OK);
	assert_int_equal(w.cpu.gpr[RCX], 0xffffffff);
	start_long(0); /* 16-bit system types do not exist */
	set_gdt(SELNEW, make_desc(0, 0x2b, 0x81, 0));
	assert_int_equal(with_rdx(op_lar, SELNEW, 4), CPU_OK);
	assert_false(w.cpu.rflags & FL_ZF);
}

static void arpl(void **state)
{
	start_protected(0);
	w.cpu.gpr[RCX] = 3;
	assert_int_equal(with_rdx(op_arpl, 0x20, 2), CPU_OK);
	assert_int_equal(w.cpu.gpr[RDX], 0x23);
	assert_true(w.cpu.rflags & FL_ZF);
	w.cpu.gpr[RCX] = 1;
	assert_int_equal(with_rdx(op_arpl, 0x22, 2), CPU_OK);
	assert_int_equal(w.cpu.gpr[RDX], 0x22);
	assert_false(w.cpu.rflags & FL_ZF);
}

static void store_segment(void **state)
{
	struct insn in;

	start_long(0);
	in = make_insn(0x8c, 4);
	in.reg = SEG_CS;
	in.rm = RDI;
	assert_int_equal(op_mov_from_seg(&w.cpu, &in), CPU_OK);
	assert_int_equal(w.cpu.gpr[RDI], KCODE64);
	in.reg = 7;
	assert_fault(op_mov_from_seg(&w.cpu, &in), X86_UD, NO_ERROR);
	in.reg = SEG_SS;
	in.is_mem = true;
	in.disp = 0x7000;
	poke(0x7000, 0xffffffff, 4);
	assert_int_equal(op_mov_from_seg(&w.cpu, &in), CPU_OK);
	assert_int_equal(peek(0x7000, 4), 0xffff0000 | KDATA);
}

/* ---- near branches ---- */

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
	assert_int_equal(op_jcc(&w.cpu, &in), CPU_OK);
	assert_int_equal(w.cpu.next_rip, 0x102);
	w.cpu.rflags |= FL_ZF;
	assert_int_equal(op_jcc(&w.cpu, &in), CPU_OK);
	assert_int_equal(w.cpu.next_rip, 0xffffffffffffff02);

	start_protected(0); /* operand size truncates */
	in = branch(0xe9, 2, -0x103);
	assert_int_equal(op_jmp_rel(&w.cpu, &in), CPU_OK);
	assert_int_equal(w.cpu.next_rip, 0xffff);
	start_protected(0);
	in = branch(0xe9, 4, -0x103);
	assert_int_equal(op_jmp_rel(&w.cpu, &in), CPU_OK);
	assert_int_equal(w.cpu.next_rip, 0xffffffff);

	start_long(0);
	in = branch(0xe8, 8, 0x10);
	assert_int_equal(op_call_rel(&w.cpu, &in), CPU_OK);
	assert_int_equal(peek(KSTACK - 8, 8), 0x102);
	assert_int_equal(w.cpu.next_rip, 0x112);
	in = branch(0xc2, 8, 0x20);
	in.imm_len = 2;
	assert_int_equal(op_ret(&w.cpu, &in), CPU_OK);
	assert_int_equal(w.cpu.next_rip, 0x102);
	assert_int_equal(w.cpu.gpr[RSP], KSTACK + 0x20);

	start_long(0); /* call [rsp]: the operand is read before the push */
	in = branch(0xff, 8, 0);
	in.is_mem = true;
	in.base = RSP;
	poke(KSTACK, 0x7777, 8);
	assert_int_equal(op_call_rm(&w.cpu, &in), CPU_OK);
	assert_int_equal(w.cpu.next_rip, 0x7777);
	in.is_mem = false;
	in.rm = RDX;
	assert_int_equal(op_jmp_rm(&w.cpu, &in), CPU_OK);
	assert_int_equal(w.cpu.next_rip, 2);
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
		w.cpu.gpr[RCX] = rows[i].rcx;
		w.cpu.rflags |= rows[i].flags;
		assert_int_equal((rows[i].opcode == 0xe3 ? op_jcxz : op_loop)(&w.cpu, &in), CPU_OK);
		assert_int_equal(w.cpu.next_rip, rows[i].taken ? 0x112 : 0x102);
		assert_int_equal(w.cpu.gpr[RCX], rows[i].after);
	}
}

static struct insn branch_insn;
static op_handler branch_op;
static int run_branch(void)
{
	return branch_op(&w.cpu, &branch_insn);
}
static void far_away(void)
{
	start_long(0);
	w.cpu.rip = w.cpu.next_rip = 0x7ffffffffff0;
	w.cpu.gpr[RCX] = 2;
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
	w.cpu.gpr[RSP] = BAD + 8;
}
static void b_ret_stack(void)
{
	b_call_stack();
	branch_op = op_ret;
}
static void b_limit(void)
{
	start_protected(0);
	w.cpu.seg[SEG_CS].limit = 0x111;
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

/* ---- derived state ---- */

static void keys(void **state)
{
	u32 base;

	start_long(0);
	base = w.cpu.block_key;
	assert_int_equal(base, BK_CODE64 | BK_FLAT | BK_PAGING);
	w.cpu.cr4 |= CR4_SMAP;
	w.cpu.rflags |= FL_AC;
	cpu_update_mode(&w.cpu);
	assert_int_equal(w.cpu.view, TLB_KERNEL_AC);
	assert_int_equal(w.cpu.block_key, base | BK_VIEW_AC | BK_SMAP);
	w.cpu.cr4 &= ~CR4_SMAP;
	cpu_update_mode(&w.cpu);
	assert_int_equal(w.cpu.view, TLB_KERNEL);

	static const struct {
		u64 cr0, cr4, flags;
		u32 key;
	} rows[] = {
		{CR0_TS, 0, 0, BK_NO_FPU},
		{CR0_EM, 0, 0, BK_NO_FPU},
		{0, CR4_OSFXSR, 0, BK_OSFXSR},
		{0, CR4_OSXSAVE, 0, BK_AVX},
		{0, CR4_TSD, 0, BK_TSD},
		{0, CR4_FSGSBASE, 0, BK_FSGSBASE},
		{0, CR4_UMIP, 0, BK_UMIP},
		{0, CR4_SMAP, 0, BK_SMAP},
		{0, 0, FL_TF, BK_STEPPING},
	};
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		start_long(0);
		w.cpu.xcr0 = 7;
		w.cpu.cr0 |= rows[i].cr0;
		w.cpu.cr4 |= rows[i].cr4;
		w.cpu.rflags |= rows[i].flags;
		cpu_update_mode(&w.cpu);
		assert_int_equal(w.cpu.block_key, base | rows[i].key);
	}
	w.cpu.rflags = FL_FIXED;
	w.cpu.xcr0 = 3; /* AVX not enabled */
	w.cpu.cr4 |= CR4_OSXSAVE;
	w.cpu.debug_flags = DBG_HW_BP;
	cpu_update_mode(&w.cpu);
	assert_int_equal(w.cpu.block_key, base | BK_STEPPING);
	start_protected(3);
	assert_int_equal(w.cpu.block_key, BK_CODE32 | BK_STACK32 | BK_FLAT | BK_CPL_MASK);
	w.cpu.cr0 |= CR0_AM;
	w.cpu.rflags |= FL_AC;
	cpu_update_mode(&w.cpu);
	assert_int_equal(
		w.cpu.block_key, BK_CODE32 | BK_STACK32 | BK_FLAT | BK_CPL_MASK | BK_STEPPING);
	start_real();
	assert_int_equal(w.cpu.block_key, BK_REAL | BK_LIMIT64K | BK_WIDE);
	w.cpu.seg[SEG_GS].limit = 0xfffe;
	cpu_update_mode(&w.cpu);
	assert_int_equal(w.cpu.block_key, BK_REAL | BK_LIMIT64K);
	w.cpu.seg[SEG_GS].limit = 0xffffffff; /* unreal */
	w.cpu.seg[SEG_CS].limit = 0x1ffff;
	cpu_update_mode(&w.cpu);
	assert_int_equal(w.cpu.block_key, BK_REAL | BK_LIMIT_ODD | BK_WIDE);
	w.cpu.seg[SEG_CS].base = 0x1ffff;
	cpu_update_mode(&w.cpu);
	assert_int_equal(w.cpu.block_key, BK_REAL | BK_LIMIT_ODD | BK_WIDE | BK_STEPPING);
}

static void reset_and_init(void **state)
{
	start_long(3);
	w.cpu.cpuid_count = 1;
	w.cpu.cpuid[0] = (struct cpuid_entry){.function = 1, .eax = 0xa20f10};
	w.cpu.msr.lstar = 0x1234;
	w.cpu.xcr0 = 7;
	w.cpu.xsave_area[100] = 5;
	w.cpu.cr0 |= CR0_NW;
	w.cpu.nmi_masked = true;
	cpu_reset(&w.cpu, true);
	assert_int_equal(w.cpu.rip, 0xfff0);
	assert_int_equal(w.cpu.seg[SEG_CS].base, 0xffff0000);
	assert_int_equal(w.cpu.seg[SEG_CS].selector, 0xf000);
	assert_int_equal(w.cpu.cr0, CR0_ET | CR0_NW);
	assert_int_equal(w.cpu.gpr[RDX], 0xa20f10);
	assert_int_equal(w.cpu.rflags, FL_FIXED);
	assert_int_equal(w.cpu.efer, 0);
	assert_int_equal(w.cpu.code_size, 2);
	assert_int_equal(w.cpu.msr.lstar, 0x1234);
	assert_int_equal(w.cpu.xcr0, 7);
	assert_int_equal(w.cpu.xsave_area[100], 5);
	assert_false(w.cpu.nmi_masked);
	cpu_reset(&w.cpu, false);
	assert_int_equal(w.cpu.cr0, 0x60000010);
	assert_int_equal(w.cpu.xcr0, 1);
	assert_int_equal(w.cpu.xsave_area[100], 0);
	assert_int_equal(w.cpu.apic_base, 0xfee00900);
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
		cmocka_unit_test(ldt_and_task_register),
		cmocka_unit_test(system_faults),
		cmocka_unit_test(queries),
		cmocka_unit_test(arpl),
		cmocka_unit_test(store_segment),
		cmocka_unit_test(near_branches),
		cmocka_unit_test(loops),
		cmocka_unit_test(branch_faults),
		cmocka_unit_test(keys),
		cmocka_unit_test(reset_and_init),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
