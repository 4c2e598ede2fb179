/* SPDX-License-Identifier: MIT */
/* Real, virtual-8086 and 16/32-bit protected mode: delivery and iret. */
#include "tests/unit/world/fault_case.h"
#include "engine/core/block_key.h"
#include "engine/core/cpu.h"
#include "engine/cpu/exception.h"
#include "engine/cpu/segment.h"
#include "engine/cpu/mode.h"
#include "engine/exit.h"
#include "engine/insn/ops.h"
#include "x86/insn.h"
#include "x86/regs.h"

static int raise_and_deliver(u8 vector, bool has_error, u32 error)
{
	w.cpu->exc = (struct exception){.vector = vector, .has_error = has_error, .error = error};
	return event_deliver_exception(w.cpu);
}

static int run_int(void)
{
	struct insn in = make_insn(0xcd, 4);

	in.imm = 0x40;
	return op_int_imm(w.cpu, &in);
}

static int run_iret(void)
{
	struct insn in = make_insn(0xcf, 4);

	return op_iret(w.cpu, &in);
}

static int run_iret16(void)
{
	struct insn in = make_insn(0xcf, 2);

	return op_iret(w.cpu, &in);
}

/* n words of size bytes upwards from at. */
static void assert_words(u64 at, unsigned size, unsigned n, const u64 *want)
{
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(peek(at + i * size, size), want[i]);
}

static void put_words(u64 at, unsigned size, unsigned n, const u64 *v)
{
	for (unsigned i = 0; i < n; i++)
		poke(at + i * size, v[i], size);
}

/* ---- real mode ---- */

static void real_mode_exception_and_iret(void **state)
{
	start_real();
	w.cpu->rflags |= FL_TF | FL_AC | FL_CF;
	w.cpu->gpr[RSP] = 0xabc00000 | KSTACK;
	assert_int_equal(raise_and_deliver(X86_GP, true, 0), CPU_OK);
	assert_int_equal(w.cpu->rip, 0x500);
	assert_int_equal(w.cpu->seg[SEG_CS].base, 0x200);
	assert_int_equal(
		w.cpu->gpr[RSP], 0xabc00000 | (KSTACK - 6)); /* 16-bit stack, no error code */
	assert_words(KSTACK - 6, 2, 3, (const u64[]){0x100, 0, FL_FIXED | FL_IF | FL_TF | FL_CF});
	assert_int_equal(w.cpu->rflags, FL_FIXED | FL_CF);

	assert_int_equal(run_iret16(), CPU_OK);
	assert_int_equal(w.cpu->next_rip, 0x100);
	assert_int_equal(w.cpu->seg[SEG_CS].base, 0);
	assert_int_equal(w.cpu->gpr[RSP], 0xabc00000 | KSTACK);
	assert_int_equal(w.cpu->rflags, FL_FIXED | FL_IF | FL_TF | FL_CF);
}

static void real_mode_int_wraps_the_stack(void **state)
{
	start_real();
	w.cpu->gpr[RSP] = 2;
	assert_int_equal(run_int(), CPU_OK);
	assert_int_equal(w.cpu->gpr[RSP], 0xfffc);
	assert_int_equal(peek(0, 2), FL_FIXED | FL_IF);
	assert_int_equal(peek(0xfffc, 2), 0x102);
}

static void real_mode_limits(void **state)
{
	start_real();
	w.cpu->idt.limit = 0x40 * 4 + 2;
	assert_fault(run_int(), X86_GP, 0x202);
	start_real(); /* a word at offset 0xffff */
	w.cpu->gpr[RSP] = 1;
	assert_fault(run_int(), X86_SS, 0);
	start_real();
	put_words(KSTACK, 4, 3, (const u64[]){0x10000, 0, FL_FIXED});
	assert_fault(run_iret(), X86_GP, 0);
	start_real(); /* no table at all */
	w.cpu->idt.limit = 0;
	assert_int_equal(raise_and_deliver(X86_UD, false, 0), CPU_EXIT);
	assert_int_equal(w.cpu->exit.reason, EXIT_SHUTDOWN);
}

/* ---- 32-bit gates ---- */

static void same_level_with_error(void **state)
{
	start_protected(0);
	set_gate(X86_GP, KCODE, 0x12345678, 0x8f, 0);
	assert_int_equal(raise_and_deliver(X86_GP, true, 0x48), CPU_OK);
	assert_int_equal(w.cpu->rip, 0x12345678);
	assert_int_equal(w.cpu->gpr[RSP], KSTACK - 16);
	assert_words(
		KSTACK - 16, 4, 4, (const u64[]){0x48, 0x100, KCODE, FL_FIXED | FL_IF | FL_RF});
	assert_int_equal(w.cpu->rflags, FL_FIXED | FL_IF);
	assert_int_equal(w.cpu->seg[SEG_SS].selector, KDATA);
}

static void user_to_kernel_and_back(void **state)
{
	struct trace before;

	start_protected(3);
	before = take_trace();
	assert_int_equal(event_deliver_interrupt(w.cpu, 0x30), CPU_OK);
	assert_int_equal(w.cpu->cpl, 0);
	assert_int_equal(w.cpu->seg[SEG_SS].selector, KDATA);
	assert_int_equal(w.cpu->gpr[RSP], TSTACK - 20);
	assert_words(
		TSTACK - 20, 4, 5, (const u64[]){0x100, UCODE, FL_FIXED | FL_IF, USTACK, UDATA});
	assert_int_equal(w.cpu->rflags, FL_FIXED);
	assert_int_equal(w.cpu->seg[SEG_DS].selector, UDATA);
	assert_true(w.cpu->flat);

	assert_int_equal(run_iret(), CPU_OK);
	w.cpu->rip = w.cpu->next_rip;
	struct trace after = take_trace();
	assert_same_trace(&before, &after);
}

static void gate_of_16_bits(void **state)
{
	start_protected(3);
	set_gate(0x40, KCODE, 0xdead1234, 0xe6, 0);
	assert_int_equal(run_int(), CPU_OK);
	assert_int_equal(w.cpu->next_rip, 0x1234);
	assert_int_equal(w.cpu->gpr[RSP], TSTACK - 10);
	assert_words(
		TSTACK - 10, 2, 5, (const u64[]){0x102, UCODE, FL_FIXED | FL_IF, USTACK, UDATA});
}

static void tss_of_16_bits(void **state)
{
	start_protected(3);
	w.cpu->seg[SEG_TR].attr = 0x80 | SYS_TSS16_BUSY;
	poke(TSS + 2, TSTACK - 0x100, 2);
	poke(TSS + 4, KDATA, 2);
	assert_int_equal(run_int(), CPU_OK);
	assert_int_equal(w.cpu->gpr[RSP], TSTACK - 0x100 - 20);
}

static void stack_of_16_bits(void **state)
{
	start_protected(3);
	poke(TSS + 4, 0x55559800, 4);
	poke(TSS + 8, KDATA16, 2);
	assert_int_equal(run_int(), CPU_OK);
	assert_int_equal(w.cpu->stack_size, 2);
	assert_int_equal((u16)w.cpu->gpr[RSP], TSTACK - 20);
	assert_int_equal(peek(TSTACK - 20, 4), 0x102);
	assert_int_equal(peek(TSTACK - 8, 4), USTACK);
}

static void iret_drops_inner_data_segments(void **state)
{
	start_protected(0);
	w.cpu->seg[SEG_ES].selector = UDATA;
	w.cpu->seg[SEG_ES].attr = 0xc0f3;
	w.cpu->seg[SEG_FS].selector = CCODE; /* conforming code stays whatever its DPL */
	w.cpu->seg[SEG_FS].attr = 0xc09f;
	w.cpu->gpr[RSP] = KSTACK - 20;
	put_words(KSTACK - 20, 4, 5, (const u64[]){0x600, UCODE, FL_FIXED | FL_IF, USTACK, UDATA});
	assert_int_equal(run_iret(), CPU_OK);
	assert_int_equal(w.cpu->cpl, 3);
	assert_int_equal(w.cpu->seg[SEG_DS].selector, 0);
	assert_true(w.cpu->seg[SEG_DS].attr & SEG_UNUSABLE);
	assert_true(w.cpu->seg[SEG_GS].attr & SEG_UNUSABLE);
	assert_int_equal(w.cpu->seg[SEG_ES].selector, UDATA);
	assert_int_equal(w.cpu->seg[SEG_FS].selector, CCODE);
	assert_false(w.cpu->flat);
}

static void iret_to_16_bit_stack_keeps_upper_rsp(void **state)
{
	start_protected(0);
	set_gdt(UDATA, make_desc(0, 0xffff, 0xf3, 0));
	w.cpu->gpr[RSP] = KSTACK - 20;
	put_words(KSTACK - 20, 4, 5, (const u64[]){0x600, UCODE, FL_FIXED, 0x12345678, UDATA});
	assert_int_equal(run_iret(), CPU_OK);
	assert_int_equal(w.cpu->gpr[RSP], 0x5678);
}

/* ---- faults of protected-mode delivery ---- */

static void user(void)
{
	start_protected(3);
}
static void idt_short(void)
{
	user();
	w.cpu->idt.limit = 0x206;
}
static void gate_type(void)
{
	user();
	set_gate(0x40, KCODE, 0x500, 0xec, 0);
}
static void gate_dpl(void)
{
	user();
	set_gate(0x40, KCODE, 0x500, 0x8e, 0);
}
static void gate_absent(void)
{
	user();
	set_gate(0x40, KCODE, 0x500, 0x6e, 0);
}
static void code_null(void)
{
	user();
	set_gate(0x40, 0, 0x500, 0xee, 0);
}
static void code_data(void)
{
	user();
	set_gate(0x40, KDATA, 0x500, 0xee, 0);
}
static void code_absent(void)
{
	user();
	set_gate(0x40, NPCODE, 0x500, 0xee, 0);
}
static void code_outer(void)
{
	start_protected(0);
	set_gate(0x40, UCODE, 0x500, 0xee, 0);
}
static void code_limit(void)
{
	user();
	set_gate(0x40, TINY, 0x100, 0xee, 0);
}
static void tss_short(void)
{
	user();
	w.cpu->seg[SEG_TR].limit = 8;
}
#define SS0_CASE(name, value)                                                                      \
	static void name(void)                                                                     \
	{                                                                                          \
		user();                                                                            \
		poke(TSS + 8, value, 2);                                                           \
	}
SS0_CASE(ss0_outside, OUTSIDE)
SS0_CASE(ss0_rpl, KDATA | 3)
SS0_CASE(ss0_dpl, UDATA & ~3)
SS0_CASE(ss0_read_only, RODATA)
SS0_CASE(ss0_code, KCODE)
SS0_CASE(ss0_absent, NPDATA)
static void ss0_null(void)
{
	user();
	set_gdt(0, make_desc(0, 0xfffff, 0x93, 0xc));
	poke(TSS + 8, 0, 2);
}
static void ss0_limit(void)
{
	user();
	poke(TSS + 4, 0x1008, 4);
	poke(TSS + 8, DOWN, 2); /* room above 0xfff only */
}
static void own_stack_limit(void)
{
	start_protected(0);
	w.cpu->gpr[RSP] = 0x1008;
	w.cpu->seg[SEG_SS].attr |= SEG_TYPE_EXPAND_DOWN;
	w.cpu->seg[SEG_SS].limit = 0xfff;
	cpu_update_mode(w.cpu);
}
static void stack_unmapped(void)
{
	user();
	poke(TSS + 4, BAD + 8, 4);
}

static void delivery_faults(void **state)
{
	static const struct fault_case rows[] = {
		{"idt limit", idt_short, run_int, X86_GP, 0x202},
		{"gate type", gate_type, run_int, X86_GP, 0x202},
		{"gate dpl", gate_dpl, run_int, X86_GP, 0x202},
		{"gate absent", gate_absent, run_int, X86_NP, 0x202},
		{"code null", code_null, run_int, X86_GP, 0},
		{"data as code", code_data, run_int, X86_GP, KDATA},
		{"code absent", code_absent, run_int, X86_NP, NPCODE},
		{"outer code", code_outer, run_int, X86_GP, UCODE & ~3},
		{"eip limit", code_limit, run_int, X86_GP, 0},
		{"tss limit", tss_short, run_int, X86_TS, SELTSS},
		{"ss0 null", ss0_null, run_int, X86_TS, 0},
		{"ss0 outside", ss0_outside, run_int, X86_TS, OUTSIDE},
		{"ss0 rpl", ss0_rpl, run_int, X86_TS, KDATA},
		{"ss0 dpl", ss0_dpl, run_int, X86_TS, UDATA & ~3},
		{"ss0 read-only", ss0_read_only, run_int, X86_TS, RODATA},
		{"ss0 code", ss0_code, run_int, X86_TS, KCODE},
		{"ss0 absent", ss0_absent, run_int, X86_SS, NPDATA},
		{"ss0 limit", ss0_limit, run_int, X86_SS, DOWN},
		{"own stack limit", own_stack_limit, run_int, X86_SS, 0},
		{"stack unmapped", stack_unmapped, run_int, X86_PF, PF_W},
	};

	check_fault_cases(rows, ARRAY_SIZE(rows));
}

static void good_frame(void)
{
	start_protected(0);
	w.cpu->gpr[RSP] = KSTACK - 20;
	put_words(KSTACK - 20, 4, 5, (const u64[]){0x600, UCODE, FL_FIXED, USTACK, UDATA});
}
#define FRAME_CASE(name, at, value)                                                                \
	static void name(void)                                                                     \
	{                                                                                          \
		good_frame();                                                                      \
		poke(KSTACK - 20 + 4 * (at), value, 4);                                            \
	}
FRAME_CASE(iret_cs_null, 1, 0)
FRAME_CASE(iret_cs_data, 1, UDATA)
FRAME_CASE(iret_cs_dpl, 1, KCODE | 3)
FRAME_CASE(iret_ss_null, 4, 3)
FRAME_CASE(iret_ss_kernel, 4, KDATA)
static void iret_limit(void)
{
	good_frame();
	poke(KSTACK - 16, TINY, 4);
}
static void iret_conforming_dpl(void)
{
	good_frame();
	set_gdt(CCODE, make_desc(0, 0xfffff, 0xff, 0xc)); /* DPL 3 from RPL 0 */
	poke(KSTACK - 16, CCODE, 4);
}

static void iret_faults(void **state)
{
	static const struct fault_case rows[] = {
		{"cs null", iret_cs_null, run_iret, X86_GP, 0},
		{"cs data", iret_cs_data, run_iret, X86_GP, UDATA & ~3},
		{"cs dpl", iret_cs_dpl, run_iret, X86_GP, KCODE},
		{"ss null", iret_ss_null, run_iret, X86_GP, 0},
		{"ss kernel", iret_ss_kernel, run_iret, X86_GP, KDATA},
		{"eip limit", iret_limit, run_iret, X86_GP, 0},
		{"conforming above", iret_conforming_dpl, run_iret, X86_GP, CCODE},
	};

	check_fault_cases(rows, ARRAY_SIZE(rows));
}

/* ---- virtual-8086 mode ---- */

static void v86_to_kernel_and_back(void **state)
{
	struct trace before, after;
	const u64 flags = FL_FIXED | FL_IF | FL_VM | FL_IOPL;

	start_v86(3);
	before = take_trace();
	assert_int_equal(w.cpu->cpl, 3);
	assert_true(w.cpu->block_key & BK_V86);
	assert_int_equal(event_deliver_interrupt(w.cpu, 0x30), CPU_OK);
	assert_int_equal(w.cpu->cpl, 0);
	assert_int_equal(w.cpu->rflags, FL_FIXED | FL_IOPL);
	assert_int_equal(w.cpu->gpr[RSP], TSTACK - 36);
	assert_words(TSTACK - 36, 4, 9,
		(const u64[]){0x100, 0x11, flags, 0x800, 0xa00, 0x10, 0x13, 0x14, 0x15});
	for (unsigned i = 0; i <= SEG_GS; i++)
		if (i != SEG_CS && i != SEG_SS)
			assert_true(w.cpu->seg[i].attr & SEG_UNUSABLE);

	assert_int_equal(run_iret(), CPU_OK);
	w.cpu->rip = w.cpu->next_rip;
	after = take_trace();
	assert_same_trace(&before, &after);
}

static void v86_int_without_iopl(void)
{
	start_v86(2);
}
static void v86_vme_not_redirected(void)
{
	start_v86(0);
	w.cpu->cr4 |= CR4_VME;
	poke(TSS + 0x68 + 8, 1, 1); /* bit of vector 0x40 set: through the IDT */
	cpu_update_mode(w.cpu);
}
static void v86_bitmap_outside(void)
{
	start_v86(0);
	w.cpu->cr4 |= CR4_VME;
	w.cpu->seg[SEG_TR].limit = 0x6f; /* the byte of vector 0x40 is at 0x70 */
	cpu_update_mode(w.cpu);
}
static void v86_bitmap_wraps(void)
{
	start_v86(0);
	w.cpu->cr4 |= CR4_VME;
	poke(TSS + 102, 0x1f, 2);
	cpu_update_mode(w.cpu);
}
static void v86_gate_to_level_3(void)
{
	start_v86(3);
	set_gate(0x40, UCODE, 0x500, 0xee, 0);
}
static void v86_gate_conforming(void)
{
	start_v86(3);
	set_gate(0x40, CCODE, 0x500, 0xee, 0);
}
static void v86_gate_dpl(void)
{
	start_v86(3);
	set_gate(0x40, KCODE, 0x500, 0x8e, 0);
}
static void v86_virtual_iret_tf(void)
{
	start_v86(0);
	w.cpu->cr4 |= CR4_VME;
	put_words(0xa800, 2, 3, (const u64[]){0x600, 0x30, FL_FIXED | FL_TF});
}
static void v86_virtual_iret_vip(void)
{
	start_v86(0);
	w.cpu->cr4 |= CR4_VME;
	w.cpu->rflags |= FL_VIP;
	put_words(0xa800, 2, 3, (const u64[]){0x600, 0x30, FL_FIXED | FL_IF});
}
static void v86_virtual_iret_32(void)
{
	start_v86(0);
	w.cpu->cr4 |= CR4_VME;
}
static void to_v86_eip(void)
{
	start_protected(0);
	w.cpu->gpr[RSP] = 0x7000;
	put_words(0x7000, 4, 3, (const u64[]){0x10000, 0x30, FL_FIXED | FL_VM});
}

static void v86_faults(void **state)
{
	static const struct fault_case rows[] = {
		{"iopl", v86_int_without_iopl, run_int, X86_GP, 0},
		{"vme, idt", v86_vme_not_redirected, run_int, X86_GP, 0},
		{"vme, bitmap outside", v86_bitmap_outside, run_int, X86_GP, 0},
		{"vme, bitmap wraps", v86_bitmap_wraps, run_int, X86_GP, 0},
		{"level 3", v86_gate_to_level_3, run_int, X86_GP, UCODE & ~3},
		{"conforming", v86_gate_conforming, run_int, X86_GP, CCODE},
		{"gate dpl", v86_gate_dpl, run_int, X86_GP, 0x202},
		{"iret, iopl", v86_int_without_iopl, run_iret16, X86_GP, 0},
		{"iret, tf", v86_virtual_iret_tf, run_iret16, X86_GP, 0},
		{"iret, vip", v86_virtual_iret_vip, run_iret16, X86_GP, 0},
		{"iret, 32", v86_virtual_iret_32, run_iret, X86_GP, 0},
		{"to v86, eip", to_v86_eip, run_iret, X86_GP, 0},
	};

	check_fault_cases(rows, ARRAY_SIZE(rows));
}

static void v86_int3_ignores_iopl(void **state)
{
	struct insn in;

	start_v86(0);
	in = make_insn(0xcc, 2);
	assert_int_equal(op_int3(w.cpu, &in), CPU_OK);
	assert_int_equal(w.cpu->cpl, 0);
	start_v86(0);
	w.cpu->rflags |= FL_OF;
	assert_int_equal(op_into(w.cpu, &in), CPU_OK);
	assert_int_equal(w.cpu->cpl, 0);
	start_v86(0);
	assert_int_equal(op_into(w.cpu, &in), CPU_OK);
	assert_int_equal(w.cpu->cpl, 3);
}

static void v86_redirection_with_virtual_if(void **state)
{
	start_v86(0);
	w.cpu->cr4 |= CR4_VME;
	w.cpu->rflags |= FL_VIF;
	poke(0x40 * 4, 0x00300600, 4);
	assert_int_equal(run_int(), CPU_OK);
	assert_true(w.cpu->rflags & FL_VM);
	assert_int_equal(w.cpu->next_rip, 0x600);
	assert_int_equal(w.cpu->seg[SEG_CS].base, 0x300);
	assert_int_equal(w.cpu->gpr[RSP], 0x800 - 6);
	assert_words(
		0xa000 + 0x800 - 6, 2, 3, (const u64[]){0x102, 0x11, FL_FIXED | FL_IF | FL_IOPL});
	assert_int_equal(w.cpu->rflags, FL_FIXED | FL_IF | FL_VM);

	assert_int_equal(run_iret16(), CPU_OK);
	assert_int_equal(w.cpu->next_rip, 0x102);
	assert_int_equal(w.cpu->rflags, FL_FIXED | FL_IF | FL_VM | FL_VIF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_mode_exception_and_iret),
		cmocka_unit_test(real_mode_int_wraps_the_stack),
		cmocka_unit_test(real_mode_limits),
		cmocka_unit_test(same_level_with_error),
		cmocka_unit_test(user_to_kernel_and_back),
		cmocka_unit_test(gate_of_16_bits),
		cmocka_unit_test(tss_of_16_bits),
		cmocka_unit_test(stack_of_16_bits),
		cmocka_unit_test(iret_drops_inner_data_segments),
		cmocka_unit_test(iret_to_16_bit_stack_keeps_upper_rsp),
		cmocka_unit_test(delivery_faults),
		cmocka_unit_test(iret_faults),
		cmocka_unit_test(v86_to_kernel_and_back),
		cmocka_unit_test(v86_faults),
		cmocka_unit_test(v86_int3_ignores_iopl),
		cmocka_unit_test(v86_redirection_with_virtual_if),
	};

	return cmocka_run_group_tests(tests, NULL, processor_close);
}
