/* SPDX-License-Identifier: MIT */
/* IRET in 64-bit mode: to every level and mode, and the frames that it refuses. */
#include "tests/unit/world/fault_case.h"
#include "engine/core/block_key.h"
#include "engine/core/cpu.h"
#include "engine/insn/ops.h"
#include "x86/insn.h"
#include "x86/regs.h"

static int run_iret(void)
{
	struct insn in = make_insn(0xcf, 8);

	return op_iret(w.cpu, &in);
}

static void put_frame(u64 rip, u64 cs, u64 flags, u64 rsp, u64 ss)
{
	const u64 v[5] = {rip, cs, flags, rsp, ss};

	w.cpu->gpr[RSP] = KSTACK - 40;
	for (unsigned i = 0; i < 5; i++)
		poke(KSTACK - 40 + 8 * i, v[i], 8);
}

static void iret_to_user(void **state)
{
	start_long(0);
	w.cpu->rflags = FL_FIXED;
	w.cpu->nmi_masked = true;
	w.cpu->seg[SEG_FS].base = 0x123456789000; /* null, but with a base of its own */
	w.cpu->seg[SEG_FS].selector = 0;
	w.cpu->seg[SEG_FS].attr = SEG_UNUSABLE;
	w.cpu->seg[SEG_GS].selector = UDATA;
	w.cpu->seg[SEG_GS].attr = 0xc0f3;
	put_frame(0x7fff00001234, UCODE64, FL_FIXED | FL_IF | FL_RF | FL_AC | FL_CF, 0x7ffe0008,
		UDATA);
	assert_int_equal(run_iret(), CPU_OK);
	assert_int_equal(w.cpu->next_rip, 0x7fff00001234);
	assert_int_equal(w.cpu->cpl, 3);
	assert_int_equal(w.cpu->view, TLB_USER);
	assert_int_equal(w.cpu->gpr[RSP], 0x7ffe0008);
	assert_int_equal(w.cpu->rflags, FL_FIXED | FL_IF | FL_RF | FL_AC | FL_CF);
	assert_false(w.cpu->nmi_masked);
	assert_int_equal(w.cpu->seg[SEG_DS].selector, 0); /* was KDATA, DPL 0 */
	assert_true(w.cpu->seg[SEG_DS].attr & SEG_UNUSABLE);
	assert_int_equal(w.cpu->seg[SEG_FS].base, 0x123456789000);
	assert_int_equal(w.cpu->seg[SEG_GS].selector, UDATA);
	assert_int_equal(w.cpu->block_key >> BK_CPL_SHIFT & 3, 3);
	assert_true(w.cpu->block_key & BK_CODE64);
}

/* What the outer level may not have loses selector and rights; its base stays, and 64-bit code uses it. */
static void iret_nulls_a_segment_but_not_its_base(void **state)
{
	start_long(0);
	w.cpu->seg[SEG_FS].base = 0x123456789000;
	w.cpu->seg[SEG_GS].base = 0xffff888000001000;
	w.cpu->seg[SEG_FS].selector = KDATA;
	w.cpu->seg[SEG_GS].selector = 1; /* null, with an RPL */
	w.cpu->seg[SEG_GS].attr = SEG_UNUSABLE;
	put_frame(0x600, UCODE64, FL_FIXED, USTACK, UDATA);
	assert_int_equal(run_iret(), CPU_OK);
	for (unsigned seg = SEG_FS; seg <= SEG_GS; seg++) {
		assert_int_equal(w.cpu->seg[seg].selector, 0);
		assert_true(w.cpu->seg[seg].attr & SEG_UNUSABLE);
	}
	assert_int_equal(w.cpu->seg[SEG_FS].base, 0x123456789000);
	assert_int_equal(w.cpu->seg[SEG_GS].base, 0xffff888000001000);
}

/* One that faults unmasks NMIs, too; one that waits for device memory has not ended. */
static void iret_unmasks_nmis(void **state)
{
	start_long(0);
	w.cpu->nmi_masked = true;
	put_frame(0x600, OUTSIDE, FL_FIXED, USTACK, UDATA);
	assert_fault(run_iret(), X86_GP, OUTSIDE);
	assert_false(w.cpu->nmi_masked);

	start_long(0);
	w.cpu->nmi_masked = true;
	w.cpu->gpr[RSP] = MMIO;
	assert_int_equal(run_iret(), CPU_EXIT);
	assert_true(w.cpu->nmi_masked);
}

static void iret_to_compatibility_mode(void **state)
{
	start_long(0);
	put_frame(0x80001234, UCODE, FL_FIXED | FL_IF, 0x1fffff000, UDATA);
	assert_int_equal(run_iret(), CPU_OK);
	assert_int_equal(w.cpu->code_size, 4);
	assert_int_equal(w.cpu->next_rip, 0x80001234);
	assert_int_equal(w.cpu->gpr[RSP], 0xfffff000);
}

static void iret_to_kernel_with_null_ss(void **state)
{
	start_long(0);
	put_frame(0x600, KCODE64, FL_FIXED, 0x8000, 0);
	assert_int_equal(run_iret(), CPU_OK);
	assert_int_equal(w.cpu->cpl, 0);
	assert_int_equal(w.cpu->seg[SEG_SS].selector, 0);
	assert_int_equal(w.cpu->gpr[RSP], 0x8000);
	assert_int_equal(w.cpu->seg[SEG_DS].selector, KDATA);
}

static void iret_at_level_3_keeps_privileged_flags(void **state)
{
	start_long(3);
	put_frame(0x600, UCODE64, FL_FIXED | FL_IOPL | FL_VIP | FL_VIF | FL_ZF, USTACK, UDATA);
	w.cpu->gpr[RSP] = KSTACK - 40;
	assert_int_equal(run_iret(), CPU_OK);
	assert_int_equal(w.cpu->rflags, FL_FIXED | FL_IF | FL_ZF);
}

static void good_frame(void)
{
	start_long(0);
	put_frame(0x600, UCODE64, FL_FIXED, USTACK, UDATA);
}
static void iret_nt(void)
{
	good_frame();
	w.cpu->rflags |= FL_NT;
}
#define FRAME_CASE(name, at, value)                                                                \
	static void name(void)                                                                     \
	{                                                                                          \
		good_frame();                                                                      \
		poke(KSTACK - 40 + 8 * (at), value, 8);                                            \
	}
FRAME_CASE(iret_rip, 0, 0xffff000000000000)
FRAME_CASE(iret_cs_null, 1, 3)
FRAME_CASE(iret_cs_outside, 1, OUTSIDE)
FRAME_CASE(iret_cs_data, 1, UDATA)
FRAME_CASE(iret_cs_dpl, 1, KCODE64 | 3)
FRAME_CASE(iret_cs_absent, 1, NPCODE)
FRAME_CASE(iret_cs_l_and_d, 1, LDCODE)
FRAME_CASE(iret_ss_null, 4, 0)
FRAME_CASE(iret_ss_rpl, 4, KDATA)
FRAME_CASE(iret_ss_dpl, 4, KDATA | 3)
FRAME_CASE(iret_ss_read_only, 4, RODATA | 3)
FRAME_CASE(iret_ss_outside, 4, OUTSIDE | 3)
static void iret_ss_absent(void)
{
	good_frame();
	poke(KSTACK - 32, KCODE64, 8);
	poke(KSTACK - 8, NPDATA, 8);
}
static void iret_inward(void)
{
	good_frame();
	start_long(3);
	put_frame(0x600, KCODE64, FL_FIXED, USTACK, UDATA);
}
static void iret_rsp(void)
{
	good_frame();
	w.cpu->gpr[RSP] = 0x7ffffffffff0;
}
static void iret_stack(void)
{
	good_frame();
	w.cpu->gpr[RSP] = BAD - 16;
}
static void iret_compat_limit(void)
{
	good_frame();
	poke(KSTACK - 32, TINY, 8);
	poke(KSTACK - 8, KDATA, 8);
}

static void iret_faults(void **state)
{
	static const struct fault_case rows[] = {
		{"nt", iret_nt, run_iret, X86_GP, 0},
		{"rip", iret_rip, run_iret, X86_GP, 0},
		{"cs null", iret_cs_null, run_iret, X86_GP, 0},
		{"cs outside", iret_cs_outside, run_iret, X86_GP, OUTSIDE},
		{"cs data", iret_cs_data, run_iret, X86_GP, UDATA & ~3},
		{"cs dpl", iret_cs_dpl, run_iret, X86_GP, KCODE64},
		{"cs absent", iret_cs_absent, run_iret, X86_NP, NPCODE},
		{"cs L and D", iret_cs_l_and_d, run_iret, X86_GP, LDCODE},
		{"inward", iret_inward, run_iret, X86_GP, KCODE64},
		{"ss null", iret_ss_null, run_iret, X86_GP, 0},
		{"ss rpl", iret_ss_rpl, run_iret, X86_GP, KDATA},
		{"ss dpl", iret_ss_dpl, run_iret, X86_GP, KDATA},
		{"ss read-only", iret_ss_read_only, run_iret, X86_GP, RODATA},
		{"ss outside", iret_ss_outside, run_iret, X86_GP, OUTSIDE},
		{"ss absent", iret_ss_absent, run_iret, X86_SS, NPDATA},
		{"rsp", iret_rsp, run_iret, X86_SS, 0},
		{"stack", iret_stack, run_iret, X86_PF, 0},
		{"limit", iret_compat_limit, run_iret, X86_GP, 0},
	};

	check_fault_cases(rows, ARRAY_SIZE(rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(iret_to_user),
		cmocka_unit_test(iret_nulls_a_segment_but_not_its_base),
		cmocka_unit_test(iret_unmasks_nmis),
		cmocka_unit_test(iret_to_compatibility_mode),
		cmocka_unit_test(iret_to_kernel_with_null_ss),
		cmocka_unit_test(iret_at_level_3_keeps_privileged_flags),
		cmocka_unit_test(iret_faults),
	};

	return cmocka_run_group_tests(tests, NULL, processor_close);
}
