/* SPDX-License-Identifier: MIT */
/* Push, pop, flags, frames; what a fault must leave alone. */
#include "tests/unit/world/insns.h"
#include "engine/core/cpu.h"
#include "engine/engine.h"
#include "engine/cpu/mode.h"
#include "x86/regs.h"

static void push_and_pop_rsp(void **state)
{
	start_long(0);
	assert_int_equal(EXEC(0x54), CPU_OK); /* push rsp: the old value */
	assert_int_equal(w.cpu->gpr[RSP], STACK - 8);
	assert_int_equal(peek(STACK - 8, 8), STACK);
	poke(STACK - 8, 0x1234, 8);
	assert_int_equal(EXEC(0x5c), CPU_OK); /* pop rsp: the popped value */
	assert_int_equal(w.cpu->gpr[RSP], 0x1234);
}

static void rsp_relative_operands(void **state)
{
	start_long(0);
	poke(STACK, 0xaaaa, 8);
	poke(STACK + 8, 0xbbbb, 8);
	assert_int_equal(EXEC(0xff, 0x34, 0x24), CPU_OK); /* push [rsp]: with the old rsp */
	assert_int_equal(peek(STACK - 8, 8), 0xaaaa);
	assert_int_equal(EXEC(0x8f, 0x44, 0x24, 0x08), CPU_OK); /* pop [rsp+8]: with the new one */
	assert_int_equal(w.cpu->gpr[RSP], STACK);
	assert_int_equal(peek(STACK + 8, 8), 0xaaaa);
}

static void pop_to_bad_memory_keeps_rsp(void **state)
{
	start_long(0);
	w.cpu->gpr[RAX] = BAD;
	assert_fault(EXEC(0x8f, 0x00), X86_PF, PF_W);
	assert_int_equal(w.cpu->gpr[RSP], STACK);
	w.cpu->gpr[RSP] = BAD + 8;
	assert_fault(EXEC(0x50), X86_PF, PF_W);
	assert_int_equal(w.cpu->gpr[RSP], BAD + 8);
}

static void operand_sizes(void **state)
{
	start_long(0);
	w.cpu->gpr[RAX] = 0x1122334455667788;
	w.cpu->gpr[RBX] = ~0ull;
	assert_int_equal(EXEC(0x66, 0x50), CPU_OK);
	assert_int_equal(w.cpu->gpr[RSP], STACK - 2);
	assert_int_equal(EXEC(0x66, 0x5b), CPU_OK);
	assert_int_equal(w.cpu->gpr[RBX], 0xffffffffffff7788);
	assert_int_equal(EXEC(0x6a, 0xff), CPU_OK);
	assert_int_equal(peek(STACK - 8, 8), ~0ull);
	assert_int_equal(EXEC(0x41, 0x5f), CPU_OK);
	assert_int_equal(w.cpu->gpr[R15], ~0ull);
	start_protected(0);
	assert_int_equal(EXEC(0x68, 0x78, 0x56, 0x34, 0x12), CPU_OK);
	assert_int_equal(w.cpu->gpr[RSP], STACK - 4);
	assert_int_equal(peek(STACK - 4, 4), 0x12345678);
}

/* SDM 2, PUSH: only the lower half is written. AMD's processors write zeroes above. */
static void push_of_a_selector_by_vendor(void **state)
{
	for (unsigned amd = 0; amd < 2; amd++) {
		start_paged(0);
		w.cpu->host_amd = amd;
		w.cpu->seg[SEG_GS].selector = 0x1234;
		poke(STACK - 4, 0xaaaaaaaa, 4);
		assert_int_equal(EXEC(0x0f, 0xa8), CPU_OK);
		assert_int_equal(w.cpu->gpr[RSP], STACK - 4);
		assert_int_equal(peek(STACK - 4, 4), amd ? 0x1234 : 0xaaaa1234);
		w.cpu->gpr[RSP] = BAD + 1; /* whose upper half would fault */
		if (amd)
			assert_fault(EXEC(0x0f, 0xa8), X86_PF, PF_W);
		else
			assert_int_equal(EXEC(0x0f, 0xa8), CPU_OK);
		start_long(0);
		w.cpu->seg[SEG_GS].selector = 0x1234;
		poke(STACK - 8, ~0ull, 8);
		assert_int_equal(EXEC(0x0f, 0xa8), CPU_OK); /* 64 bits: both are zero-extended */
		assert_int_equal(peek(STACK - 8, 8), 0x1234);
	}
}

static void pusha_popa(void **state)
{
	start_paged(0);
	for (unsigned i = RAX; i <= RDI; i++)
		if (i != RSP)
			w.cpu->gpr[i] = 0x100 + i;
	assert_int_equal(EXEC(0x60), CPU_OK);
	assert_int_equal(peek(STACK - 4, 4), 0x100 + RAX);
	assert_int_equal(peek(STACK - 20, 4), STACK);
	assert_int_equal(peek(STACK - 32, 4), 0x100 + RDI);
	memset(w.cpu->gpr, 0xff, sizeof(w.cpu->gpr));
	w.cpu->gpr[RSP] = STACK - 32;
	poke(STACK - 20, 0xdead, 4); /* the slot of esp is skipped */
	assert_int_equal(EXEC(0x61), CPU_OK);
	assert_int_equal(w.cpu->gpr[RSP], STACK);
	assert_int_equal(w.cpu->gpr[RAX], 0x100 + RAX);
	assert_int_equal(w.cpu->gpr[RDI], 0x100 + RDI);

	w.cpu->gpr[RSP] = BAD + 0x1000 + 12; /* the fourth word faults: nothing is written */
	poke(BAD + 0x1000, 0, 8);
	poke(BAD + 0x1008, 0, 4);
	assert_fault(EXEC(0x60), X86_PF, PF_W);
	assert_int_equal(peek(BAD + 0x1000, 8), 0);
	assert_int_equal(w.cpu->gpr[RSP], BAD + 0x1000 + 12);
}

#define ALL 0x3f7fd5ull /* every flag there is */

/* CPL, IOPL, operand size: what popf of all ones and of all zeroes may change. */
static void popf_by_privilege(void **state)
{
	static const struct {
		u8 cpl, iopl, size;
		u64 changeable;
	} cases[] = {
		{0, 0, 8, FL_STATUS | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_AC | FL_ID},
		{0, 0, 2, FL_STATUS | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT},
		{3, 3, 8, FL_STATUS | FL_TF | FL_IF | FL_DF | FL_NT | FL_AC | FL_ID},
		{3, 0, 8, FL_STATUS | FL_TF | FL_DF | FL_NT | FL_AC | FL_ID},
		{3, 2, 2, FL_STATUS | FL_TF | FL_DF | FL_NT},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		for (unsigned ones = 0; ones < 2; ones++) {
			start_long(cases[i].cpl);
			u64 iopl = (u64)cases[i].iopl << 12;
			u64 old = FL_FIXED | iopl | (ones ? 0 : FL_STATUS | FL_IF | FL_AC | FL_DF);
			w.cpu->rflags = old | FL_RF;
			poke(STACK, ones ? ALL : 0, 8);
			int r = cases[i].size == 2 ? EXEC(0x66, 0x9d) : EXEC(0x9d);
			assert_int_equal(r, CPU_OK);
			u64 c = cases[i].changeable;
			assert_int_equal(w.cpu->rflags, (old & ~c) | (ones ? c : 0) | FL_FIXED);
		}
	}
}

static void popf_changes_the_view(void **state)
{
	start_long(0);
	w.cpu->cr4 |= CR4_SMAP;
	cpu_update_mode(w.cpu);
	assert_int_equal(w.cpu->view, TLB_KERNEL);
	w.cpu->gpr[RSP] = SUPERVISOR;
	poke(SUPERVISOR, FL_AC, 8);
	assert_int_equal(EXEC(0x9d), CPU_OK);
	assert_int_equal(w.cpu->view, TLB_KERNEL_AC);
}

static void start_v86(unsigned iopl)
{
	start_protected(0);
	w.cpu->rflags |= FL_VM | (u64)iopl << 12;
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		w.cpu->seg[i] = (struct segment){.limit = 0xffff, .attr = 0xf3};
	w.cpu->gpr[RSP] = 0x8000;
	cpu_update_mode(w.cpu);
	assert_int_equal(w.cpu->code_size, 2);
}

static void flags_in_v86_mode(void **state)
{
	start_v86(0);
	assert_gp(EXEC(0x9c));
	assert_gp(EXEC(0x9d));
	w.cpu->cr4 |= CR4_VME;
	assert_gp(EXEC(0x66, 0x9c)); /* 32-bit forms still */
	w.cpu->rflags |= FL_VIF;
	w.cpu->rflags &= ~FL_IF;
	assert_int_equal(EXEC(0x9c), CPU_OK);
	assert_int_equal(peek(0x7ffe, 2) & (FL_IF | FL_IOPL), FL_IF | FL_IOPL);
	poke(0x7ffe, FL_CF, 2);
	assert_int_equal(EXEC(0x9d), CPU_OK);
	assert_int_equal(w.cpu->rflags & (FL_VIF | FL_CF | FL_VM), FL_CF | FL_VM);
	w.cpu->gpr[RSP] = 0x7ffe;
	poke(0x7ffe, FL_TF, 2);
	assert_gp(EXEC(0x9d));
	poke(0x7ffe, FL_IF, 2);
	w.cpu->rflags |= FL_VIP;
	assert_gp(EXEC(0x9d));
	assert_int_equal(w.cpu->gpr[RSP], 0x7ffe);
	start_v86(3);
	assert_int_equal(EXEC(0x9c), CPU_OK);
	assert_int_equal(EXEC(0x9d), CPU_OK);
}

static void pushf_hides_vm_and_rf(void **state)
{
	start_long(0);
	w.cpu->rflags |= FL_RF | FL_CF;
	assert_int_equal(EXEC(0x9c), CPU_OK);
	assert_int_equal(peek(STACK - 8, 8), FL_FIXED | FL_CF);
}

static void enter_and_leave(void **state)
{
	start_long(0);
	w.cpu->gpr[RBP] = 0x81000;
	assert_int_equal(EXEC(0xc8, 0x20, 0x00, 0x00), CPU_OK);
	assert_int_equal(w.cpu->gpr[RBP], STACK - 8);
	assert_int_equal(w.cpu->gpr[RSP], STACK - 8 - 0x20);
	assert_int_equal(peek(STACK - 8, 8), 0x81000);
	assert_int_equal(EXEC(0xc9), CPU_OK);
	assert_int_equal(w.cpu->gpr[RBP], 0x81000);
	assert_int_equal(w.cpu->gpr[RSP], STACK);
}

static void enter_nested(void **state)
{
	start_long(0);
	w.cpu->gpr[RBP] = 0x81000;
	poke(0x81000 - 8, 0x1111, 8);
	poke(0x81000 - 16, 0x2222, 8);
	assert_int_equal(EXEC(0xc8, 0x10, 0x00, 0x03), CPU_OK);
	assert_int_equal(peek(STACK - 8, 8), 0x81000);
	assert_int_equal(peek(STACK - 16, 8), 0x1111);
	assert_int_equal(peek(STACK - 24, 8), 0x2222);
	assert_int_equal(peek(STACK - 32, 8), STACK - 8);
	assert_int_equal(w.cpu->gpr[RBP], STACK - 8);
	assert_int_equal(w.cpu->gpr[RSP], STACK - 32 - 0x10);
}

/* SDM 2, ENTER: FrameTemp is all of ESP, also where the stack is of 16 bits. */
static void enter_of_32_bits_on_a_16_bit_stack(void **state)
{
	start_protected(0);
	w.cpu->seg[SEG_SS].attr &= ~SEG_DB;
	cpu_update_mode(w.cpu);
	w.cpu->gpr[RSP] = 0xabcd2000;
	w.cpu->gpr[RBP] = 0x5555;
	assert_int_equal(EXEC(0xc8, 0x10, 0x00, 0x00), CPU_OK);
	assert_int_equal(peek(0x1ffc, 4), 0x5555);
	assert_int_equal(w.cpu->gpr[RBP], 0xabcd1ffc);
	assert_int_equal(w.cpu->gpr[RSP], 0xabcd1fec);
}

static void enter_faults_if_the_frame_would(void **state)
{
	start_long(0);
	w.cpu->gpr[RSP] = BAD + 0x1000 + 0x40;
	w.cpu->gpr[RBP] = 0x5555;
	assert_fault(EXEC(0xc8, 0x80, 0x00, 0x00), X86_PF, PF_W);
	assert_int_equal(w.cpu->gpr[RSP], BAD + 0x1000 + 0x40);
	assert_int_equal(w.cpu->gpr[RBP], 0x5555);
	assert_int_equal(peek(BAD + 0x1000 + 0x38, 8), 0);
}

static void pop_ss_holds_interrupts(void **state)
{
	start_real();
	w.cpu->gpr[RSP] = 0x100;
	poke(0x100, 0x2000, 2);
	assert_int_equal(EXEC(0x17), CPU_OK);
	assert_int_equal(w.cpu->seg[SEG_SS].base, 0x20000);
	assert_int_equal(w.cpu->shadow, SHADOW_MOVSS);
	assert_int_equal(w.cpu->gpr[RSP], 0x102);
	w.cpu->seg[SEG_DS].selector = 0x1234;
	assert_int_equal(EXEC(0x1e), CPU_OK); /* push ds */
	assert_int_equal(peek(0x20100, 2), 0x1234);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(push_and_pop_rsp),
		cmocka_unit_test(rsp_relative_operands),
		cmocka_unit_test(pop_to_bad_memory_keeps_rsp),
		cmocka_unit_test(operand_sizes),
		cmocka_unit_test(push_of_a_selector_by_vendor),
		cmocka_unit_test(pusha_popa),
		cmocka_unit_test(popf_by_privilege),
		cmocka_unit_test(popf_changes_the_view),
		cmocka_unit_test(flags_in_v86_mode),
		cmocka_unit_test(pushf_hides_vm_and_rf),
		cmocka_unit_test(enter_and_leave),
		cmocka_unit_test(enter_nested),
		cmocka_unit_test(enter_of_32_bits_on_a_16_bit_stack),
		cmocka_unit_test(enter_faults_if_the_frame_would),
		cmocka_unit_test(pop_ss_holds_interrupts),
	};

	return cmocka_run_group_tests(tests, NULL, processor_close);
}
