/* SPDX-License-Identifier: MIT */
/* Breakpoints and single-stepping, the guest's (SDM 3:17.2, 3:17.3) and the debugger's. */
#include "tests/unit/world/world.h"
#include "engine/engine.h"
#include "engine/exit.h"
#include "engine/irqchip.h"
#include "x86/regs.h"

#include <errno.h>

#define DB_HANDLER 0x3000u
#define DATA       0x2000u

/* Fields of DR7: enabled, with R/W and LEN. */
#define DR7_BP(i, rw, len) (1ull << 2 * (i) | (u64)((rw) | (len) << 2) << (16 + 4 * (i)))
enum { RW_EXEC, RW_WRITE, RW_IO, RW_ACCESS };
enum { LEN_1, LEN_2, LEN_8, LEN_4 };

static void open_debug(struct world *w)
{
	world_open(w, IRQCHIP_FULL);
	world_give_cpuid(w->v);
	world_vector(w, X86_DB, DB_HANDLER);
	WORLD_PUT(w, DB_HANDLER, 0xe6, 0x01, 0xcf); /* out; iret */
}

static void set_dr(struct vcpu *v, unsigned i, u64 addr, u64 dr7)
{
	struct vcpu_state s;

	vcpu_get(v, ST_DEBUG, &s);
	s.dr[i] = addr;
	s.dr[6] = DR6_FIXED;
	s.dr[7] = DR7_FIXED | dr7;
	assert_int_equal(vcpu_set(v, ST_DEBUG, &s), 0);
}

static struct vcpu_state debug_of(struct vcpu *v)
{
	struct vcpu_state s;

	vcpu_get(v, ST_DEBUG | ST_REGS, &s);
	return s;
}

/* The guest's handler runs: for these DR6 bits, and what it would return to. */
static void expect_trap(struct world *w, u64 dr6, u16 ip)
{
	u16 saved;

	assert_int_equal(run_to(w->v, EXIT_IO_OUT)->io.port, 1);
	assert_int_equal(debug_of(w->v).dr[6], DR6_FIXED | dr6);
	memcpy(&saved, w->ram + gpr_of(w->v, RSP), 2);
	assert_int_equal(saved, ip);
}

static void expect_end(struct world *w)
{
	assert_int_equal(run_to(w->v, EXIT_IO_OUT)->io.port, 0x10);
}

/* ---- the guest's ---- */

static void test_instruction(void **state)
{
	struct world w;
	struct vcpu_state s;

	open_debug(&w);
	WORLD_CODE(&w, 0x43, 0x43, 0x43, 0xe6, 0x10); /* inc %bx, three times */
	set_dr(w.v, 2, CODE + 1, DR7_BP(2, RW_EXEC, LEN_1));
	expect_trap(&w, BIT(2), CODE + 1);
	assert_int_equal(gpr_of(w.v, RBX), 1); /* a fault: before it */
	/* RF lets it pass once. */
	world_start(w.v, CODE + 1);
	set_rflags(w.v, FL_RF);
	expect_end(&w);
	assert_int_equal(gpr_of(w.v, RBX), 2);
	s = debug_of(w.v);
	assert_int_equal(s.rflags & FL_RF, 0);
	/* Neither with a length nor disabled. */
	world_start(w.v, CODE);
	set_dr(w.v, 2, CODE + 1, DR7_BP(2, RW_EXEC, LEN_4));
	expect_end(&w);
	world_start(w.v, CODE);
	set_dr(w.v, 2, CODE + 1, DR7_BP(1, RW_EXEC, LEN_1));
	expect_end(&w);
	world_close(&w);
}

/* An instruction that jumps to itself meets its breakpoint again; a repeated one does not. */
static void test_resume_flag(void **state)
{
	struct world w;

	open_debug(&w);
	WORLD_CODE(&w, 0xeb, 0xfe);
	set_dr(w.v, 0, CODE, DR7_BP(0, RW_EXEC, LEN_1));
	set_rflags(w.v, FL_RF);
	expect_trap(&w, BIT(0), CODE);

	WORLD_CODE(&w, 0xb9, 3, 0, 0xbf, 0x00, 0x20, 0xf3, 0xaa, 0xe6, 0x10); /* rep stosb */
	set_dr(w.v, 0, CODE + 6, DR7_BP(0, RW_EXEC, LEN_1) | DR7_BP(1, RW_WRITE, LEN_1));
	set_dr(w.v, 1, 0x9000, DR7_BP(0, RW_EXEC, LEN_1) | DR7_BP(1, RW_WRITE, LEN_1));
	expect_trap(&w, BIT(0), CODE + 6);
	world_start(w.v, CODE + 6);
	struct vcpu_state s = debug_of(w.v);
	s.gpr[RCX] = 3;
	s.gpr[RDI] = DATA;
	s.rflags |= FL_RF;
	vcpu_set(w.v, ST_REGS, &s);
	expect_end(&w);
	assert_int_equal(gpr_of(w.v, RCX), 0);
	world_close(&w);
}

static void test_data(void **state)
{
	static const struct {
		u16 addr; /* of the breakpoint */
		u8 rw, len;
		bool on_read, on_write;
	} cases[] = {
		/* the access is of two bytes at DATA + 3 */
		{DATA + 2, RW_WRITE, LEN_1, false, false},
		{DATA + 3, RW_WRITE, LEN_1, false, true},
		{DATA + 4, RW_WRITE, LEN_1, false, true},
		{DATA + 5, RW_ACCESS, LEN_1, false, false},
		{DATA + 4, RW_ACCESS, LEN_1, true, true},
		{DATA + 1, RW_ACCESS, LEN_4, true, true}, /* DATA to DATA + 3 */
		{DATA + 5, RW_ACCESS, LEN_2, true, true}, /* DATA + 4 */
		{DATA + 15, RW_ACCESS, LEN_8, false, false},
		{DATA + 7, RW_WRITE, LEN_8, false, true},
		{DATA + 3, RW_EXEC, LEN_1, false, false},
		{DATA + 3, RW_IO, LEN_1, false, false},
	};
	struct world w;

	open_debug(&w);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		u64 dr7 = DR7_BP(3, cases[i].rw, cases[i].len);

		WORLD_CODE(&w, 0xa1, 0x03, 0x20, 0xe6, 0x10); /* mov 0x2003, %ax */
		set_dr(w.v, 3, cases[i].addr, dr7);
		if (cases[i].on_read)
			expect_trap(&w, BIT(3), CODE + 3);
		expect_end(&w);
		WORLD_CODE(&w, 0xa3, 0x03, 0x20, 0xe6, 0x10); /* mov %ax, 0x2003 */
		set_dr(w.v, 3, cases[i].addr, dr7);
		if (cases[i].on_write)
			expect_trap(&w, BIT(3), CODE + 3);
		expect_end(&w);
	}
	world_close(&w);
}

/* Host instructions on guest memory, the stack, and strings are watched as well. */
static void test_kinds_of_access(void **state)
{
	struct world w;
	const u64 both = DR7_BP(0, RW_WRITE, LEN_2) | DR7_BP(1, RW_ACCESS, LEN_1);

	open_debug(&w);
	WORLD_CODE(&w, 0x66, 0xf0, 0x0f, 0xc1, 0x0e, 0xfe, 0x1f, /* lock xadd %ecx, 0x1ffe */
		0x50,                                            /* push %ax */
		0xb9, 4, 0, 0xbf, 0xfe, 0x1f,                    /* cx = 4, di = 0x1ffe */
		0xf3, 0xaa,                                      /* rep stosb */
		0xbe, 0x00, 0x20, 0xac,                          /* si = 0x2000; lodsb */
		0xe6, 0x10);
	set_dr(w.v, 0, STACK - 2, both);
	set_dr(w.v, 1, DATA, both);
	expect_trap(&w, BIT(1), CODE + 7);
	set_dr(w.v, 0, STACK - 2, both);
	expect_trap(&w, BIT(0), CODE + 8);
	set_dr(w.v, 0, 0, DR7_BP(1, RW_ACCESS, LEN_1));
	expect_trap(&w, BIT(1), CODE + 14); /* between two iterations */
	assert_int_equal(gpr_of(w.v, RCX), 1);
	assert_int_equal(gpr_of(w.v, RDI), DATA + 1);
	expect_trap(&w, BIT(1), CODE + 20);
	expect_end(&w);
	world_close(&w);
}

static void test_io(void **state)
{
	struct world w;
	struct vcpu_state s;
	const u64 dr7 = DR7_BP(0, RW_IO, LEN_2);

	open_debug(&w);
	WORLD_CODE(&w, 0xe6, 0x81, 0xe4, 0x81, 0xe6, 0x82, 0xe6, 0x10); /* out, in, out */
	set_dr(w.v, 0, 0x80, dr7);
	run_to(w.v, EXIT_IO_OUT); /* without CR4.DE it is none */
	run_to(w.v, EXIT_IO_IN);
	run_to(w.v, EXIT_IO_OUT);
	expect_end(&w);
	vcpu_get(w.v, ST_SREGS, &s);
	s.cr4 |= CR4_DE;
	assert_int_equal(vcpu_set(w.v, ST_SREGS, &s), 0);
	world_start(w.v, CODE);
	assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x81);
	assert_int_equal(rip_of(w.v), CODE);
	expect_trap(&w, BIT(0), CODE + 2);
	assert_int_equal(run_to(w.v, EXIT_IO_IN)->io.port, 0x81);
	expect_trap(&w, BIT(0), CODE + 4);
	assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x82);
	expect_end(&w);
	world_close(&w);
}

/* MOV SS: its trap comes after the next instruction, whose own breakpoint is not seen. */
static void test_mov_ss(void **state)
{
	struct world w;
	const u64 dr7 = DR7_BP(0, RW_ACCESS, LEN_2) | DR7_BP(1, RW_EXEC, LEN_1);

	open_debug(&w);
	WORLD_CODE(&w, 0x8e, 0x16, 0x00, 0x20, 0x43, 0xe6, 0x10); /* mov 0x2000, %ss; inc %bx */
	set_dr(w.v, 0, DATA, dr7);
	set_dr(w.v, 1, CODE + 4, dr7);
	expect_trap(&w, BIT(0), CODE + 5);
	assert_int_equal(gpr_of(w.v, RBX), 1);
	expect_end(&w);
	world_close(&w);
}

/* ICEBP takes into its own #DB what MOV SS has held back: one, with all of DR6. */
static void test_mov_ss_icebp(void **state)
{
	struct world w;

	open_debug(&w);
	WORLD_CODE(&w, 0x8e, 0x16, 0x00, 0x20, 0xf1, 0xe6, 0x10); /* mov 0x2000, %ss; icebp */
	set_dr(w.v, 0, DATA, DR7_BP(0, RW_ACCESS, LEN_2));
	expect_trap(&w, BIT(0), CODE + 5);
	assert_int_equal(gpr_of(w.v, RSP), STACK - 6); /* no second one inside */
	expect_end(&w);
	world_close(&w);
}

/* 64-bit mode at CPL 0 with the first 2 MiB as they are, for CPL 3 as well. */
static void start_long(struct world *w)
{
	const u64 pml4 = 0x6007, pdpt = 0x7007, pd = 0x87;
	struct vcpu_state s;

	world_put(w, 0x5000, &pml4, 8);
	world_put(w, 0x6000, &pdpt, 8);
	world_put(w, 0x7000, &pd, 8);
	vcpu_get(w->v, ST_REGS | ST_SREGS, &s);
	s.cr3 = 0x5000;
	s.cr4 = CR4_PAE | CR4_OSFXSR;
	s.cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_NE;
	s.efer = EFER_LME | EFER_LMA | EFER_NX | EFER_SCE;
	s.seg[SEG_CS] = (struct segment){.selector = 8, .limit = ~0u, .attr = 0xa09b};
	assert_int_equal(vcpu_set(w->v, ST_REGS | ST_SREGS, &s), 0);
}

/* SYSRET that sets TF traps before the first instruction of its target (SDM 2: SYSRET). */
static void test_sysret_trap(void **state)
{
	static const u64 no_dr[8] = {[7] = DR7_FIXED};
	struct world w;
	struct vcpu_state s;
	struct exit *x;

	open_debug(&w);
	WORLD_CODE(&w, 0x48, 0x0f, 0x07);              /* sysretq */
	WORLD_PUT(&w, 0x1100, 0xff, 0xc3, 0x0f, 0x0b); /* inc %ebx; ud2 */
	start_long(&w);
	assert_int_equal(vcpu_set_msr(w.v, 0xc0000081, 0x00230010ull << 32, true), 0);
	assert_int_equal(vcpu_set_debug(w.v, DBG_HW_BP, no_dr), 0);
	vcpu_get(w.v, ST_REGS, &s);
	s.gpr[RCX] = 0x1100;
	s.gpr[R11] = FL_FIXED | FL_TF;
	assert_int_equal(vcpu_set(w.v, ST_REGS, &s), 0);
	x = run_to(w.v, EXIT_DEBUG);
	assert_int_equal(x->debug.rip, 0x1100);
	assert_int_equal(x->debug.dr6 & DR6_BS, DR6_BS);
	assert_int_equal(gpr_of(w.v, RBX), 0);
	world_close(&w);
}

static void test_general_detect(void **state)
{
	struct world w;

	open_debug(&w);
	WORLD_CODE(&w, 0x0f, 0x21, 0xf8, 0xe6, 0x10); /* mov %dr7, %eax */
	set_dr(w.v, 0, 0, DR7_GD);
	expect_trap(&w, DR6_BD, CODE);
	assert_int_equal(debug_of(w.v).dr[7], DR7_FIXED); /* the handler may use them */
	expect_end(&w);
	world_close(&w);
}

/* TF and a breakpoint make one trap; a HLT does not sleep over it. */
static void test_single_step(void **state)
{
	struct world w;

	open_debug(&w);
	WORLD_CODE(&w, 0xa1, 0x00, 0x20, 0xf4, 0xe6, 0x10);
	WORLD_PUT(&w, DB_HANDLER, 0xe6, 0x01, 0xf4);
	set_dr(w.v, 0, DATA, DR7_BP(0, RW_ACCESS, LEN_1));
	set_rflags(w.v, FL_TF);
	expect_trap(&w, DR6_BS | BIT(0), CODE + 3);
	world_start(w.v, CODE + 3);
	set_dr(w.v, 0, 0, 0);
	set_rflags(w.v, FL_TF);
	expect_trap(&w, DR6_BS, CODE + 4);
	world_close(&w);
}

/* RF of the new task is in force at its first instruction. */
static void test_task_switch_keeps_rf(void **state)
{
	static const u64 gdt[] = {
		0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0x00008b0060000067, 0x0000890050000067};
	struct world w;
	struct vcpu_state s;
	u32 tss[26] = {[8] = 0x1100, [9] = FL_FIXED | FL_RF, [14] = STACK};

	open_debug(&w);
	WORLD_CODE(&w, 0xea, 0, 0, 0, 0, 0x20, 0); /* ljmp $0x20, $0 */
	WORLD_PUT(&w, 0x1100, 0xe6, 0x10);
	tss[18] = tss[20] = tss[21] = 0x10; /* es ss ds */
	tss[19] = 8;
	world_put(&w, 0x4000, gdt, sizeof(gdt));
	world_put(&w, 0x5000, tss, sizeof(tss));
	vcpu_get(w.v, ST_SREGS, &s);
	s.gdt = (struct dtable){.base = 0x4000, .limit = sizeof(gdt) - 1};
	s.idt.limit = 0;
	s.cr0 |= CR0_PE;
	s.seg[SEG_CS] = (struct segment){.selector = 8, .limit = ~0u, .attr = 0xc09b};
	s.seg[SEG_SS] = (struct segment){.selector = 16, .limit = ~0u, .attr = 0xc093};
	s.seg[SEG_DS] = s.seg[SEG_ES] = s.seg[SEG_SS];
	s.seg[SEG_TR] =
		(struct segment){.selector = 24, .base = 0x6000, .limit = 103, .attr = 0x8b};
	assert_int_equal(vcpu_set(w.v, ST_SREGS, &s), 0);
	set_dr(w.v, 0, 0x1100, DR7_BP(0, RW_EXEC, LEN_1) << 1); /* global: local ones end here */
	set_rflags(w.v, FL_RF);
	expect_end(&w);
	assert_int_equal(debug_of(w.v).rflags & FL_RF, 0);
	world_close(&w);
}

/* ---- the debugger's ---- */

static void set_debug(struct vcpu *v, u32 flags, unsigned i, u64 addr, u64 dr7)
{
	u64 dr[8] = {[7] = dr7 | DR7_FIXED};

	dr[i] = addr;
	assert_int_equal(vcpu_set_debug(v, flags, dr), 0);
}

static void expect_debug(struct world *w, u64 dr6, u64 pc)
{
	struct exit *x = run_to(w->v, EXIT_DEBUG);

	assert_int_equal(x->debug.vector, X86_DB);
	assert_int_equal(x->debug.dr6, DR6_FIXED | dr6);
	assert_int_equal(x->debug.rip, pc);
	assert_int_equal(debug_of(w->v).dr[6], DR6_FIXED); /* the guest's is its own */
}

static void test_debugger_breakpoints(void **state)
{
	struct world w;

	open_debug(&w);
	WORLD_CODE(&w, 0x43, 0xa3, 0x00, 0x20, 0x43, 0xe6, 0x10); /* inc; mov %ax, DATA; inc */
	set_dr(w.v, 0, CODE, DR7_BP(0, RW_EXEC, LEN_1));          /* the guest's are out of force */
	set_debug(w.v, DBG_HW_BP, 1, CODE + 1, DR7_BP(1, RW_EXEC, LEN_1));
	expect_debug(&w, BIT(1), CODE + 1);
	assert_int_equal(vcpu_exit(w.v)->debug.dr7, DR7_BP(1, RW_EXEC, LEN_1) | DR7_FIXED);
	assert_int_equal(gpr_of(w.v, RBX), 1);
	expect_debug(&w, BIT(1), CODE + 1); /* until it is taken away */
	set_debug(w.v, DBG_HW_BP, 3, DATA, DR7_BP(3, RW_WRITE, LEN_1));
	expect_debug(&w, BIT(3), CODE + 4);
	set_debug(w.v, 0, 0, 0, 0);
	set_dr(w.v, 0, 0, 0);
	expect_end(&w);
	world_close(&w);
}

/* What the instruction has done leaves first; the step is reported after it. */
static void test_debugger_steps(void **state)
{
	struct world w;
	struct vcpu_state s;

	open_debug(&w);
	WORLD_CODE(&w, 0x43, 0xe6, 0x10, 0xf4, 0xa3, 0x00, 0x20, 0xf1, 0x43, 0xcd, 0x21);
	WORLD_PUT(&w, 0x3100, 0x43);
	world_vector(&w, 0x21, 0x3100);
	set_debug(w.v, DBG_SINGLESTEP, 0, 0, 0);
	expect_debug(&w, DR6_BS, CODE + 1);
	assert_int_equal(vcpu_exit(w.v)->debug.dr7, DR7_FIXED);
	run_to(w.v, EXIT_IO_OUT);
	vcpu_get(w.v, ST_REGS, &s);
	assert_int_equal(vcpu_set(w.v, ST_REGS, &s), 0); /* as VMMs do */
	expect_debug(&w, DR6_BS, CODE + 3);
	expect_debug(&w, DR6_BS, CODE + 4); /* hlt */
	set_segment(w.v, SEG_DS, 0xa0000);
	run_to(w.v, EXIT_MMIO_WRITE);
	expect_debug(&w, DR6_BS, CODE + 7);
	expect_debug(&w, 0, CODE + 8); /* int1 */
	expect_debug(&w, DR6_BS, CODE + 9);
	expect_debug(&w, DR6_BS, 0x3100);
	/* The address is linear. */
	set_segment(w.v, SEG_CS, 0x10);
	world_start(w.v, CODE);
	set_segment(w.v, SEG_CS, 0x10);
	WORLD_PUT(&w, CODE + 0x10, 0x43);
	expect_debug(&w, DR6_BS, CODE + 0x11);
	assert_int_equal(rip_of(w.v), CODE + 1);
	world_close(&w);
}

static void test_debugger_int3(void **state)
{
	struct world w;
	struct exit *x;

	open_debug(&w);
	WORLD_CODE(&w, 0x43, 0xcc);
	set_debug(w.v, DBG_SW_BP, 0, 0, 0);
	x = run_to(w.v, EXIT_DEBUG);
	assert_int_equal(x->debug.vector, X86_BP);
	assert_int_equal(x->debug.rip, CODE + 1);
	/* Handed on, it goes to the guest. */
	assert_int_equal(vcpu_inject_exception(w.v, X86_BP), 0);
	assert_int_equal(vcpu_inject_exception(w.v, X86_BP), -EBUSY);
	world_vector(&w, X86_BP, 0x3100);
	WORLD_PUT(&w, 0x3100, 0xe6, 0x10);
	expect_end(&w);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_instruction),
		cmocka_unit_test(test_resume_flag),
		cmocka_unit_test(test_data),
		cmocka_unit_test(test_kinds_of_access),
		cmocka_unit_test(test_io),
		cmocka_unit_test(test_mov_ss),
		cmocka_unit_test(test_mov_ss_icebp),
		cmocka_unit_test(test_sysret_trap),
		cmocka_unit_test(test_general_detect),
		cmocka_unit_test(test_single_step),
		cmocka_unit_test(test_task_switch_keeps_rf),
		cmocka_unit_test(test_debugger_breakpoints),
		cmocka_unit_test(test_debugger_steps),
		cmocka_unit_test(test_debugger_int3),
	};

	return cmocka_run_group_tests_name("debug", tests, NULL, NULL);
}
