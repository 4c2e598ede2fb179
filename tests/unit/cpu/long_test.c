/* SPDX-License-Identifier: MIT */
/* IA-32e mode: delivery through 64-bit gates, IST, double and triple faults, debug exceptions. */
#include "tests/unit/world/fault_case.h"
#include "engine/core/block_key.h"
#include "engine/core/cpu.h"
#include "engine/cpu/exception.h"
#include "engine/engine.h"
#include "engine/exit.h"
#include "engine/insn/ops.h"
#include "x86/insn.h"
#include "x86/regs.h"

#define FRAME(i) peek(w.cpu->gpr[RSP] + 8 * (i), 8)

static void assert_frame(u64 at, u64 rip, u64 cs, u64 flags, u64 rsp, u64 ss)
{
	const u64 want[5] = {rip, cs, flags, rsp, ss};

	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(peek(at + 8 * i, 8), want[i]);
}

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
	struct insn in = make_insn(0xcf, 8);

	return op_iret(w.cpu, &in);
}

/* ---- delivery ---- */

static void page_fault_at_same_level(void **state)
{
	start_long(0);
	w.cpu->gpr[RSP] = KSTACK - 4; /* the frame is aligned */
	set_gate(X86_PF, KCODE64, 0xffff800012345678, 0x8e, 0);
	w.cpu->exc = (struct exception){
		.vector = X86_PF, .has_error = true, .error = 6, .cr2 = 0xdead000};
	w.cpu->shadow = SHADOW_STI;
	assert_int_equal(event_deliver_exception(w.cpu), CPU_OK);
	assert_int_equal(w.cpu->cr2, 0xdead000);
	assert_int_equal(w.cpu->rip, 0xffff800012345678);
	assert_int_equal(w.cpu->gpr[RSP], KSTACK - 0x10 - 48);
	assert_int_equal(FRAME(0), 6);
	assert_frame(
		w.cpu->gpr[RSP] + 8, 0x100, KCODE64, FL_FIXED | FL_IF | FL_RF, KSTACK - 4, KDATA);
	assert_int_equal(w.cpu->rflags, FL_FIXED);
	assert_int_equal(w.cpu->seg[SEG_SS].selector, KDATA); /* kept without a level change */
	assert_int_equal(w.cpu->shadow, 0);
	assert_int_equal(seen.writes, 1);
}

static void interrupt_from_user(void **state)
{
	start_long(3);
	w.cpu->rflags |= FL_TF | FL_AC;
	assert_int_equal(event_deliver_interrupt(w.cpu, 0x30), CPU_OK);
	assert_int_equal(w.cpu->rip, 0x500);
	assert_int_equal(w.cpu->cpl, 0);
	assert_int_equal(w.cpu->view, TLB_KERNEL);
	assert_int_equal(w.cpu->seg[SEG_SS].selector, 0);
	assert_int_equal(w.cpu->seg[SEG_CS].selector, KCODE64);
	assert_int_equal(w.cpu->gpr[RSP], TSTACK - 40);
	assert_frame(TSTACK - 40, 0x100, UCODE64, FL_FIXED | FL_IF | FL_TF | FL_AC, USTACK, UDATA);
	assert_int_equal(w.cpu->rflags, FL_FIXED | FL_AC);
	assert_true(seen.last_write_acc & ACC_SYSTEM);
	assert_false(w.cpu->block_key & BK_STEPPING);
}

static void inner_handler_of_level_1(void **state)
{
	start_long(3);
	set_gate(0x30, CODE1 & ~3, 0x500, 0x8e, 0);
	assert_int_equal(event_deliver_interrupt(w.cpu, 0x30), CPU_OK);
	assert_int_equal(w.cpu->cpl, 1);
	assert_int_equal(w.cpu->seg[SEG_CS].selector, CODE1);
	assert_int_equal(w.cpu->seg[SEG_SS].selector, 1);
	assert_int_equal(w.cpu->gpr[RSP], 0xc800 - 40);
}

static void ist_is_aligned_and_used_at_level_0(void **state)
{
	start_long(0);
	set_gate(2, KCODE64, 0x500, 0x8e, 1);
	assert_int_equal(event_deliver_nmi(w.cpu), CPU_OK);
	assert_int_equal(w.cpu->gpr[RSP], (ISTACK & ~15) - 40);
	assert_int_equal(w.cpu->seg[SEG_SS].selector, KDATA);
	assert_true(w.cpu->nmi_masked);
	assert_int_equal(run_iret(), CPU_OK);
	assert_false(w.cpu->nmi_masked);
	assert_int_equal(w.cpu->next_rip, 0x100);
	assert_int_equal(w.cpu->gpr[RSP], KSTACK);
	assert_int_equal(w.cpu->rflags, FL_FIXED | FL_IF);
}

static void trap_gate_keeps_if(void **state)
{
	start_long(0);
	w.cpu->rflags |= FL_NT | FL_RF;
	set_gate(0x40, KCODE64, 0x500, 0x8f, 0);
	assert_int_equal(run_int(), CPU_OK);
	assert_int_equal(w.cpu->rflags, FL_FIXED | FL_IF);
	assert_int_equal(w.cpu->next_rip, 0x500);
	assert_int_equal(FRAME(0), 0x102); /* a trap: past the instruction */
	assert_int_equal(FRAME(2), FL_FIXED | FL_IF | FL_NT | FL_RF);
}

static void conforming_handler_keeps_level(void **state)
{
	start_long(3);
	set_gate(0x40, CCODE, 0x500, 0xee, 0);
	assert_int_equal(run_int(), CPU_OK);
	assert_int_equal(w.cpu->cpl, 3);
	assert_int_equal(w.cpu->seg[SEG_CS].selector, CCODE | 3);
	assert_int_equal(w.cpu->gpr[RSP], USTACK - 40);
	assert_false(seen.last_write_acc & ACC_SYSTEM);
}

static void accessed_bit_is_written_once(void **state)
{
	start_long(0);
	set_gdt(KCODE64, make_desc(0, 0xfffff, 0x9a, 0xa));
	assert_int_equal(run_int(), CPU_OK);
	assert_int_equal(peek(GDT + KCODE64 + 5, 1), 0x9b);
	assert_int_equal(w.cpu->seg[SEG_CS].attr & 0xff, 0x9b);
	assert_int_equal(seen.writes, 2);
}

static void mmio_in_the_way_requeues(void **state)
{
	start_long(0);
	w.cpu->idt.base = MMIO;
	w.cpu->exc = (struct exception){
		.vector = X86_PF, .has_error = true, .error = 2, .cr2 = 0x1234000};
	assert_int_equal(event_deliver_exception(w.cpu), CPU_EXIT);
	assert_int_equal(w.cpu->exit.reason, EXIT_MMIO_READ);
	assert_true(w.cpu->events.exception.injected);
	assert_int_equal(w.cpu->events.exception.vector, X86_PF);
	assert_int_equal(w.cpu->events.exception.payload, 0x1234000);
	assert_int_equal(w.cpu->rip, 0x100);

	start_long(0);
	w.cpu->idt.base = MMIO;
	assert_int_equal(event_deliver_interrupt(w.cpu, 0x31), CPU_EXIT);
	assert_true(w.cpu->events.interrupt.injected);
	assert_int_equal(w.cpu->events.interrupt.vector, 0x31);
	assert_int_equal(event_deliver_nmi(w.cpu), CPU_EXIT);
	assert_true(w.cpu->events.nmi.injected);
	assert_false(w.cpu->nmi_masked);
	w.cpu->idt.base = IDT; /* answered: once more */
	w.cpu->answers.filled = w.cpu->answers.next = 1;
	assert_int_equal(event_deliver_nmi(w.cpu), CPU_OK);
	assert_true(w.cpu->nmi_masked);
	assert_int_equal(w.cpu->answers.filled, 0);
}

/* ---- delivery that faults; INT 0x40 so that no EXT bit and no loop is in the way ---- */

static void user(void)
{
	start_long(3);
}
static void idt_too_short(void)
{
	user();
	w.cpu->idt.limit = 0x40e;
}
static void gate_is_call(void)
{
	user();
	set_gate(0x40, KCODE64, 0x500, 0xec, 0);
}
static void gate_is_task(void)
{
	user();
	set_gate(0x40, KCODE64, 0x500, 0xe5, 0);
}
static void gate_dpl0(void)
{
	user();
	set_gate(0x40, KCODE64, 0x500, 0x8e, 0);
}
static void gate_dpl0_absent(void)
{
	user();
	set_gate(0x40, KCODE64, 0x500, 0x0e, 0);
}
static void gate_absent(void)
{
	user();
	set_gate(0x40, KCODE64, 0x500, 0x6e, 0);
}
static void code_null(void)
{
	user();
	set_gate(0x40, 3, 0x500, 0xee, 0);
}
static void code_outside(void)
{
	user();
	set_gate(0x40, OUTSIDE, 0x500, 0xee, 0);
}
static void code_in_null_ldt(void)
{
	user();
	set_gate(0x40, 0x0c, 0x500, 0xee, 0);
}
static void code_is_data(void)
{
	user();
	set_gate(0x40, KDATA, 0x500, 0xee, 0);
}
static void code_is_32bit(void)
{
	user();
	set_gate(0x40, KCODE, 0x500, 0xee, 0);
}
static void code_is_l_and_d(void)
{
	user();
	set_gate(0x40, LDCODE, 0x500, 0xee, 0);
}
static void code_is_outer(void)
{
	start_long(0);
	set_gate(0x40, UCODE64, 0x500, 0xee, 0);
}
static void code_absent(void)
{
	user();
	set_gate(0x40, NPCODE, 0x500, 0xee, 0);
}
static void rip_not_canonical(void)
{
	user();
	set_gate(0x40, KCODE64, 0x800000000000, 0xee, 0);
}
static void tss_too_short(void)
{
	user();
	w.cpu->seg[SEG_TR].limit = 10;
}
static void tss_too_short_for_ist(void)
{
	user();
	set_gate(0x40, KCODE64, 0x500, 0xee, 7);
	w.cpu->seg[SEG_TR].limit = 84 + 6;
}
static void rsp0_not_canonical(void)
{
	user();
	poke(TSS + 4, 0x800000000000, 8); /* itself not canonical, what lies below it is */
}
static void stack_not_mapped(void)
{
	user();
	poke(TSS + 4, BAD + 0x800, 8);
}
static void stack_read_only(void)
{
	user();
	poke(TSS + 4, RO + 0x800, 8);
}
static void own_stack_not_canonical(void)
{
	start_long(0);
	w.cpu->gpr[RSP] = 0x800000000800;
}

static void delivery_faults(void **state)
{
	static const struct fault_case rows[] = {
		{"idt limit", idt_too_short, run_int, X86_GP, 0x202},
		{"call gate", gate_is_call, run_int, X86_GP, 0x202},
		{"task gate", gate_is_task, run_int, X86_GP, 0x202},
		{"gate dpl", gate_dpl0, run_int, X86_GP, 0x202},
		{"dpl before p", gate_dpl0_absent, run_int, X86_GP, 0x202},
		{"gate absent", gate_absent, run_int, X86_NP, 0x202},
		{"null code", code_null, run_int, X86_GP, 0},
		{"code outside", code_outside, run_int, X86_GP, OUTSIDE},
		{"code in null ldt", code_in_null_ldt, run_int, X86_GP, 0x0c},
		{"data as code", code_is_data, run_int, X86_GP, KDATA},
		{"32-bit code", code_is_32bit, run_int, X86_GP, KCODE},
		{"L and D", code_is_l_and_d, run_int, X86_GP, LDCODE},
		{"outer code", code_is_outer, run_int, X86_GP, UCODE64 & ~3},
		{"code absent", code_absent, run_int, X86_NP, NPCODE},
		{"rip", rip_not_canonical, run_int, X86_GP, 0},
		{"tss limit", tss_too_short, run_int, X86_TS, SELTSS},
		{"tss limit, ist", tss_too_short_for_ist, run_int, X86_TS, SELTSS},
		{"rsp0", rsp0_not_canonical, run_int, X86_SS, 0},
		{"stack unmapped", stack_not_mapped, run_int, X86_PF, PF_W},
		{"stack read-only", stack_read_only, run_int, X86_PF, PF_W | PF_P},
		{"rsp", own_stack_not_canonical, run_int, X86_SS, 0},
	};

	check_fault_cases(rows, ARRAY_SIZE(rows));
}

/* ---- SDM 3:6.15 table 6-5 ---- */

/* The first exception's delivery meets #NP (its gate is absent) or #PF (its stack is). */
static void double_fault_table(void **state)
{
	static const struct {
		u8 first;
		bool df_with_np, df_with_pf;
	} rows[] = {
		{X86_DE, true, false},
		{X86_DB, false, false},
		{X86_BP, false, false},
		{X86_OF, false, false},
		{X86_BR, false, false},
		{X86_UD, false, false},
		{X86_NM, false, false},
		{X86_TS, true, false},
		{X86_NP, true, false},
		{X86_SS, true, false},
		{X86_GP, true, false},
		{X86_PF, true, true},
		{X86_MF, false, false},
		{X86_AC, false, false},
		{X86_MC, false, false},
		{X86_XM, false, false},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		u8 v = rows[i].first;

		start_long(3);
		/* Every gate but the first's has its own offset and a good stack. */
		for (unsigned g = 0; g < 32; g++)
			set_gate(g, KCODE64, 0x1000 + g, 0x8e, 1);
		set_gate(v, KCODE64, 0, 0x0e, 1);
		if (v == X86_NP) /* its absent gate would be met again */
			set_gate(v, OUTSIDE, 0, 0x8e, 1);
		assert_int_equal(raise_and_deliver(v, false, 0), CPU_OK);
		assert_int_equal(w.cpu->rip, 0x1000 + (rows[i].df_with_np ? X86_DF : X86_NP));
		assert_int_equal(FRAME(0), rows[i].df_with_np ? 0u : v * 8u + 3);

		start_long(3);
		for (unsigned g = 0; g < 32; g++)
			set_gate(g, KCODE64, 0x1000 + g, 0x8e, 1);
		set_gate(v, KCODE64, 0x1000 + v, 0x8e, 0);
		poke(TSS + 4, BAD + 0x800, 8);
		assert_int_equal(raise_and_deliver(v, false, 0), CPU_OK);
		assert_int_equal(w.cpu->rip, 0x1000 + (rows[i].df_with_pf ? X86_DF : X86_PF));
		assert_int_equal(w.cpu->cr2, BAD + 0x800 - 40);
	}
}

static void triple_fault(void **state)
{
	struct trace before, after;

	start_long(3);
	set_gate(X86_GP, KCODE64, 0, 0x0e, 0);
	set_gate(X86_DF, KCODE64, 0, 0x0e, 0);
	before = take_trace();
	assert_int_equal(raise_and_deliver(X86_GP, true, 0), CPU_EXIT);
	assert_int_equal(w.cpu->exit.reason, EXIT_SHUTDOWN);
	after = take_trace();
	assert_same_trace(&before, &after);

	/* Without any IDT; the interrupt is benign, so it takes three steps more. */
	start_long(0);
	w.cpu->idt.limit = 0;
	assert_int_equal(event_deliver_interrupt(w.cpu, 0x30), CPU_EXIT);
	assert_int_equal(w.cpu->exit.reason, EXIT_SHUTDOWN);
}

static void fault_of_an_interrupt_has_ext(void **state)
{
	start_long(0);
	set_gate(0x30, OUTSIDE, 0x500, 0x8e, 0);
	assert_int_equal(event_deliver_interrupt(w.cpu, 0x30), CPU_OK);
	assert_int_equal(w.cpu->rip, 0x500);
	assert_int_equal(FRAME(0), OUTSIDE | 1);
	assert_int_equal(FRAME(1), 0x100);

	start_long(0); /* INT1 is the hardware's own */
	w.cpu->idt.limit = 15;
	struct insn in = make_insn(0xf1, 4);
	assert_fault(op_int1(w.cpu, &in), X86_GP, 8 + 2 + 1);
}

/* ---- debugging ---- */

static void debug_payload_and_intercepts(void **state)
{
	struct insn in;

	start_long(0);
	w.cpu->dr[6] = DR6_FIXED | DR6_BS | 2;
	w.cpu->dr[7] |= DR7_GD;
	w.cpu->exc = (struct exception){.vector = X86_DB, .dr6 = 1};
	assert_int_equal(event_deliver_exception(w.cpu), CPU_OK);
	assert_int_equal(w.cpu->dr[6], DR6_FIXED | DR6_BS | 1);
	assert_int_equal(w.cpu->dr[7], DR7_FIXED);
	assert_int_equal(FRAME(2), FL_FIXED | FL_IF); /* no RF in the image of a trap */

	start_long(0);
	w.cpu->debug_flags = DBG_SINGLESTEP;
	w.cpu->exc = (struct exception){.vector = X86_DB, .dr6 = DR6_BS};
	assert_int_equal(event_deliver_exception(w.cpu), CPU_EXIT);
	assert_int_equal(w.cpu->exit.reason, EXIT_DEBUG);
	assert_int_equal(w.cpu->exit.debug.vector, X86_DB);
	assert_int_equal(w.cpu->exit.debug.rip, 0x100);
	assert_int_equal(w.cpu->exit.debug.dr6, DR6_FIXED | DR6_BS);
	assert_int_equal(w.cpu->exit.debug.dr7, DR7_FIXED);
	assert_int_equal(w.cpu->dr[6], DR6_FIXED);
	w.cpu->exc = (struct exception){.vector = X86_DB}; /* injected by the debugger */
	assert_int_equal(event_deliver_exception(w.cpu), CPU_OK);

	start_long(0);
	in = make_insn(0xcc, 4);
	w.cpu->debug_flags = DBG_SW_BP;
	assert_int_equal(op_int3(w.cpu, &in), CPU_EXIT);
	assert_int_equal(w.cpu->exit.debug.vector, X86_BP);
	assert_int_equal(w.cpu->exit.debug.rip, 0x100);
	w.cpu->debug_flags = 0;
	assert_int_equal(op_int3(w.cpu, &in), CPU_OK);
	assert_int_equal(FRAME(0), 0x102);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(page_fault_at_same_level),
		cmocka_unit_test(interrupt_from_user),
		cmocka_unit_test(inner_handler_of_level_1),
		cmocka_unit_test(ist_is_aligned_and_used_at_level_0),
		cmocka_unit_test(trap_gate_keeps_if),
		cmocka_unit_test(conforming_handler_keeps_level),
		cmocka_unit_test(accessed_bit_is_written_once),
		cmocka_unit_test(mmio_in_the_way_requeues),
		cmocka_unit_test(delivery_faults),
		cmocka_unit_test(double_fault_table),
		cmocka_unit_test(triple_fault),
		cmocka_unit_test(fault_of_an_interrupt_has_ext),
		cmocka_unit_test(debug_payload_and_intercepts),
	};

	return cmocka_run_group_tests(tests, NULL, processor_close);
}
