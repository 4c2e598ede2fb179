/* SPDX-License-Identifier: MIT */
/* Hardware task switches: 32- and 16-bit TSSs, links and busy bits, faults before and after the commit. */
#include "tests/unit/world/fault_case.h"
#include "engine/core/block_key.h"
#include "engine/core/cpu.h"
#include "engine/cpu/exception.h"
#include "engine/cpu/segment.h"
#include "engine/insn/ops.h"
#include "x86/insn.h"
#include "x86/regs.h"

#define BUSY_BYTE(sel) peek(GDT + (sel) + 5, 1)

static void new_tss32(u32 eflags)
{
	const u16 sel[6] = {KDATA, KCODE, KDATA, KDATA, 0, RODATA};

	poke(TSS_NEW + 0x1c, OTHER_CR3, 4);
	poke(TSS_NEW + 0x20, 0x900, 4);
	poke(TSS_NEW + 0x24, eflags, 4);
	for (unsigned i = 0; i < 8; i++)
		poke(TSS_NEW + 0x28 + 4 * i, 0xa0 + i, 4);
	poke(TSS_NEW + 0x28 + 4 * RSP, 0xc000, 4);
	for (unsigned i = 0; i < 6; i++)
		poke(TSS_NEW + 0x48 + 4 * i, sel[i], 2);
	poke(TSS_NEW + 0x60, SELLDT, 2);
}

static u64 own_cr3;

static void start_task(void)
{
	start_protected(0);
	own_cr3 = w.cpu->cr3;
	poke(TSS + 0x1c, own_cr3, 4);
	w.cpu->dr[7] |= 0x3; /* L0 and G0 */
	new_tss32(FL_FIXED | FL_ZF);
}

static int run_jmp(void)
{
	struct insn in = make_insn(0xea, 4);

	in.imm2 = SELNEW;
	return op_jmp_far_imm(w.cpu, &in);
}

static int run_call(void)
{
	struct insn in = make_insn(0x9a, 4);

	in.imm2 = SELNEW;
	return op_call_far_imm(w.cpu, &in);
}

static int run_iret(void)
{
	struct insn in = make_insn(0xcf, 4);

	return op_iret(w.cpu, &in);
}

static int run_int(void)
{
	struct insn in = make_insn(0xcd, 4);

	in.imm = 0x40;
	return op_int_imm(w.cpu, &in);
}

static void assert_new_task(u64 rflags)
{
	assert_int_equal(w.cpu->next_rip, 0x900);
	assert_int_equal(w.cpu->rflags, rflags);
	assert_int_equal(w.cpu->gpr[RBX], 0xa3);
	assert_int_equal(w.cpu->gpr[RDI], 0xa7);
	assert_int_equal(w.cpu->gpr[RSP], 0xc000);
	assert_int_equal(w.cpu->cr3, OTHER_CR3);
	assert_true(w.cpu->cr0 & CR0_TS);
	assert_true(w.cpu->block_key & BK_NO_FPU);
	assert_int_equal(w.cpu->dr[7] & 0xff, 2); /* local breakpoints are off */
	assert_int_equal(w.cpu->seg[SEG_TR].selector, SELNEW);
	assert_int_equal(w.cpu->seg[SEG_TR].base, TSS_NEW);
	assert_int_equal(w.cpu->seg[SEG_TR].attr & 0xff, 0x8b);
	assert_int_equal(w.cpu->seg[SEG_LDTR].base, LDT);
	assert_int_equal(w.cpu->seg[SEG_GS].selector, RODATA);
	assert_true(w.cpu->seg[SEG_FS].attr & SEG_UNUSABLE);
	assert_int_equal(BUSY_BYTE(SELNEW), 0x8b);
}

static void jump(void **state)
{
	start_task();
	assert_int_equal(run_jmp(), CPU_OK);
	assert_new_task(FL_FIXED | FL_ZF);
	assert_int_equal(BUSY_BYTE(SELTSS), 0x89);
	assert_int_equal(peek(TSS + 0x20, 4), 0x102);
	assert_int_equal(peek(TSS + 0x24, 4), FL_FIXED | FL_IF);
	assert_int_equal(peek(TSS + 0x28 + 4 * RSP, 4), KSTACK);
	assert_int_equal(peek(TSS + 0x28 + 4 * RDI, 4), 7);
	assert_int_equal(peek(TSS + 0x48 + 4 * SEG_CS, 2), KCODE);
	assert_int_equal(peek(TSS + 0x48 + 4 * SEG_GS, 2), KDATA);
	assert_int_equal(peek(TSS_NEW, 2), 0);
}

static void call_and_return(void **state)
{
	start_task();
	assert_int_equal(run_call(), CPU_OK);
	assert_new_task(FL_FIXED | FL_ZF | FL_NT);
	assert_int_equal(BUSY_BYTE(SELTSS), 0x8b); /* stays busy: it is nested */
	assert_int_equal(peek(TSS_NEW, 2), SELTSS);

	w.cpu->next_rip = 0x904;
	w.cpu->nmi_masked = true;
	assert_int_equal(run_iret(), CPU_OK);
	assert_int_equal(w.cpu->next_rip, 0x102);
	assert_int_equal(w.cpu->gpr[RSP], KSTACK);
	assert_int_equal(w.cpu->cr3, own_cr3);
	assert_int_equal(w.cpu->rflags, FL_FIXED | FL_IF);
	assert_int_equal(BUSY_BYTE(SELNEW), 0x89);
	assert_int_equal(BUSY_BYTE(SELTSS), 0x8b);
	assert_int_equal(peek(TSS_NEW + 0x20, 4), 0x904);
	assert_int_equal(peek(TSS_NEW + 0x24, 4), FL_FIXED | FL_ZF); /* NT clear in the image */
	assert_false(w.cpu->nmi_masked);
}

static void exception_through_a_task_gate(void **state)
{
	start_task();
	set_gate(X86_DF, SELNEW, 0, 0x85, 0);
	w.cpu->exc = (struct exception){.vector = X86_DF, .has_error = true};
	assert_int_equal(event_deliver_exception(w.cpu), CPU_OK);
	assert_int_equal(w.cpu->rip, 0x900);
	assert_int_equal(w.cpu->gpr[RSP], 0xbffc);
	assert_int_equal(peek(0xbffc, 4), 0);
	assert_int_equal(peek(TSS + 0x20, 4), 0x100);
	assert_true(w.cpu->rflags & FL_NT);

	start_task(); /* a fault saves RF in the old task's image */
	set_gate(X86_GP, SELNEW, 0, 0x85, 0);
	w.cpu->exc = (struct exception){.vector = X86_GP, .has_error = true, .error = 0x1234};
	assert_int_equal(event_deliver_exception(w.cpu), CPU_OK);
	assert_int_equal(peek(TSS + 0x24, 4), FL_FIXED | FL_IF | FL_RF);
	assert_int_equal(peek(0xbffc, 4), 0x1234);
}

static void tss_of_16_bits(void **state)
{
	start_task();
	set_gdt(SELNEW, make_desc(TSS_NEW, 0x2b, 0x80 | SYS_TSS16, 0));
	memset(w.mem + TSS_NEW, 0, 0x80);
	poke(TSS_NEW + 0x0e, 0x900, 2);
	poke(TSS_NEW + 0x10, FL_FIXED | FL_CF, 2);
	for (unsigned i = 0; i < 8; i++)
		poke(TSS_NEW + 0x12 + 2 * i, 0xb0 + i, 2);
	const u16 sel[4] = {KDATA, CODE16, KDATA16, RODATA};
	for (unsigned i = 0; i < 4; i++)
		poke(TSS_NEW + 0x22 + 2 * i, sel[i], 2);
	assert_int_equal(run_call(), CPU_OK);
	assert_int_equal(w.cpu->next_rip, 0x900);
	assert_int_equal(w.cpu->code_size, 2);
	assert_int_equal((u16)w.cpu->gpr[RDX], 0xb2);
	assert_int_equal(w.cpu->rflags, FL_FIXED | FL_CF | FL_NT);
	assert_int_equal(w.cpu->cr3, own_cr3); /* a 16-bit TSS has none */
	assert_int_equal(w.cpu->seg[SEG_DS].selector, RODATA);
	assert_true(w.cpu->seg[SEG_FS].attr & SEG_UNUSABLE);
	assert_int_equal(BUSY_BYTE(SELNEW), 0x83);

	w.cpu->gpr[RDX] = 0x12345678;
	w.cpu->next_rip = 0x902;
	assert_int_equal(run_iret(), CPU_OK);
	assert_int_equal(peek(TSS_NEW + 0x0e, 2), 0x902);
	assert_int_equal(peek(TSS_NEW + 0x16, 2), 0x5678);
	assert_int_equal(peek(TSS_NEW + 0x24, 2), CODE16);
	assert_int_equal(peek(TSS_NEW + 0x2a, 2), 0); /* beyond what is saved */
	assert_int_equal(w.cpu->next_rip, 0x102);
}

static void into_v86_and_user_tasks(void **state)
{
	start_task();
	new_tss32(FL_FIXED | FL_VM | FL_IF);
	assert_int_equal(run_jmp(), CPU_OK);
	assert_int_equal(w.cpu->cpl, 3);
	assert_int_equal(w.cpu->seg[SEG_CS].base, KCODE << 4);
	assert_int_equal(w.cpu->seg[SEG_GS].base, RODATA << 4);

	start_task();
	poke(TSS_NEW + 0x48 + 4 * SEG_CS, UCODE, 2);
	poke(TSS_NEW + 0x48 + 4 * SEG_SS, UDATA, 2);
	poke(TSS_NEW + 0x48 + 4 * SEG_DS, UDATA, 2);
	poke(TSS_NEW + 0x48 + 4 * SEG_ES, 0, 2);
	poke(TSS_NEW + 0x48 + 4 * SEG_GS, 0, 2);
	assert_int_equal(run_jmp(), CPU_OK);
	assert_int_equal(w.cpu->cpl, 3);
}

static void debug_trap_bit(void **state)
{
	start_task();
	poke(TSS_NEW + 0x64, 1, 1);
	assert_int_equal(run_jmp(), CPU_OK);
	assert_int_equal(w.cpu->debug_pending, DR6_BT); /* a trap, for outer code to deliver */
	assert_int_equal(w.cpu->rip, 0x900);
}

/* ---- before the commit: the old task's fault ---- */

static void available_for_iret(void)
{
	start_task();
	w.cpu->rflags |= FL_NT;
	poke(TSS, SELNEW, 2);
}
static void null_link(void)
{
	start_task();
	set_gdt(0, make_desc(TSS_NEW, 0x67, 0x80 | SYS_TSS32_BUSY, 0));
	w.cpu->rflags |= FL_NT;
}
static void ldt_link(void)
{
	start_task();
	w.cpu->rflags |= FL_NT;
	load_ldt_like_gdt();
	poke(LDT + SELNEW + 5, 0x80 | SYS_TSS32_BUSY, 1);
	poke(TSS, SELNEW | 4, 2);
}
static void absent(void)
{
	start_task();
	poke(GDT + SELNEW + 5, SYS_TSS32, 1);
}
static void short32(void)
{
	start_task();
	poke(GDT + SELNEW, 0x66, 2);
}
static void short16(void)
{
	start_task();
	set_gdt(SELNEW, make_desc(TSS_NEW, 0x2a, 0x80 | SYS_TSS16, 0));
}
static void dpl(void)
{
	start_protected(3);
}
static void unreadable(void)
{
	start_task();
	set_gdt(SELNEW, make_desc(BAD, 0x67, 0x80 | SYS_TSS32, 0));
}
static void unsavable(void)
{
	start_task();
	w.cpu->seg[SEG_TR].base = RO;
}
static void unlinkable(void)
{
	start_task();
	set_gdt(SELNEW, make_desc(RO, 0x67, 0x80 | SYS_TSS32, 0));
}
static void gate_to_busy(void)
{
	start_task();
	set_gate(0x40, SELTSS, 0, 0xe5, 0);
}
static void gate_to_absent(void)
{
	absent();
	set_gate(0x40, SELNEW, 0, 0xe5, 0);
}
static void gate_to_data(void)
{
	start_task();
	set_gate(0x40, KDATA, 0, 0xe5, 0);
}

static void faults_before(void **state)
{
	static const struct fault_case rows[] = {
		{"iret to available", available_for_iret, run_iret, X86_TS, SELNEW},
		{"null link", null_link, run_iret, X86_TS, 0},
		{"link in ldt", ldt_link, run_iret, X86_TS, SELNEW | 4},
		{"absent", absent, run_jmp, X86_NP, SELNEW},
		{"limit 32", short32, run_jmp, X86_TS, SELNEW},
		{"limit 16", short16, run_jmp, X86_TS, SELNEW},
		{"dpl", dpl, run_jmp, X86_GP, SELNEW},
		{"unreadable", unreadable, run_jmp, X86_PF, 0},
		{"unsavable", unsavable, run_jmp, X86_PF, PF_W | PF_P},
		{"unlinkable", unlinkable, run_call, X86_PF, PF_W | PF_P},
		{"gate to busy", gate_to_busy, run_int, X86_GP, SELTSS},
		{"gate to absent", gate_to_absent, run_int, X86_NP, SELNEW},
		{"gate to data", gate_to_data, run_int, X86_GP, KDATA},
	};

	check_fault_cases(rows, ARRAY_SIZE(rows));
	unlinkable(); /* nothing was written to the old TSS either */
	assert_int_equal(run_call(), CPU_FAULT);
	assert_int_equal(peek(TSS + 0x20, 4), 0);
	assert_int_equal(BUSY_BYTE(SELTSS), 0x8b);
	assert_int_equal(BUSY_BYTE(SELNEW), 0x89);
}

/* ---- after the commit: the new task's fault ---- */

static void faults_after(void **state)
{
	static const struct {
		const char *name;
		unsigned offset;
		u16 selector;
		u8 vector;
		u32 error;
	} rows[] = {
		{"ldt in ldt", 0x60, SELLDT | 4, X86_TS, SELLDT | 4},
		{"ldt type", 0x60, KDATA, X86_TS, KDATA},
		{"ldt outside", 0x60, OUTSIDE, X86_TS, OUTSIDE},
		{"cs null", 0x4c, 0, X86_TS, 0},
		{"cs data", 0x4c, KDATA, X86_TS, KDATA},
		{"cs rpl", 0x4c, KCODE | 3, X86_TS, KCODE},
		{"cs absent", 0x4c, NPCODE, X86_NP, NPCODE},
		{"ss null", 0x50, 0, X86_TS, 0},
		{"ss rpl", 0x50, KDATA | 3, X86_TS, KDATA},
		{"ss dpl", 0x50, UDATA, X86_TS, UDATA & ~3},
		{"ss absent", 0x50, NPDATA, X86_SS, NPDATA},
		{"ds system", 0x54, SELLDT, X86_TS, SELLDT},
		{"ds execute-only", 0x54, XCODE, X86_TS, XCODE},
		{"es absent", 0x48, NPDATA, X86_NP, NPDATA},
		{"gs outside", 0x5c, OUTSIDE, X86_TS, OUTSIDE},
		{"eip limit", 0x4c, TINY, X86_GP, 0},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		int r;

		start_task();
		if (rows[i].offset == 0x50) /* a null SS must be refused for being null */
			set_gdt(0, make_desc(0, 0xfffff, 0x93, 0xc));
		poke(TSS_NEW + rows[i].offset, rows[i].selector, 2);
		r = run_jmp();
		if (r != CPU_FAULT || w.cpu->exc.vector != rows[i].vector)
			print_message("%s\n", rows[i].name);
		assert_fault(r, rows[i].vector, rows[i].error);
		assert_int_equal(w.cpu->rip, 0x900);
		assert_int_equal(w.cpu->seg[SEG_TR].selector, SELNEW);
		assert_int_equal(w.cpu->gpr[RSP], 0xc000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jump),
		cmocka_unit_test(call_and_return),
		cmocka_unit_test(exception_through_a_task_gate),
		cmocka_unit_test(tss_of_16_bits),
		cmocka_unit_test(into_v86_and_user_tasks),
		cmocka_unit_test(debug_trap_bit),
		cmocka_unit_test(faults_before),
		cmocka_unit_test(faults_after),
	};

	return cmocka_run_group_tests(tests, NULL, processor_close);
}
