/* SPDX-License-Identifier: MIT */
/* Port I/O: permission, one exit's worth of data, restart. */
#include "tests/unit/world/insns.h"
#include "engine/core/cpu.h"
#include "engine/exit.h"
#include "engine/cpu/mode.h"
#include "x86/regs.h"

static void out_tells_after_the_instruction(void **state)
{
	start_long(0);
	w.cpu->gpr[RDX] = 0xfffff03f8;
	w.cpu->gpr[RAX] = 0x11223344aabbccdd;
	assert_int_equal(EXEC(0xef), CPU_OK);
	assert_int_equal(w.cpu->rip, 0x1001);
	assert_int_equal(w.cpu->exit.reason, EXIT_IO_OUT);
	assert_int_equal(w.cpu->exit.io.port, 0x03f8);
	assert_int_equal(w.cpu->exit.io.size, 4);
	assert_int_equal(w.cpu->exit.io.count, 1);
	assert_memory_equal(w.cpu->exit.io.data, "\xdd\xcc\xbb\xaa", 4);
	assert_int_equal(EXEC(0xe6, 0x80), CPU_OK);
	assert_int_equal(w.cpu->exit.io.port, 0x80);
	assert_int_equal(w.cpu->exit.io.size, 1);
}

static void in_asks_first(void **state)
{
	start_long(0);
	w.cpu->gpr[RAX] = ~0ull;
	assert_int_equal(EXEC(0x66, 0xe5, 0x60), CPU_EXIT);
	assert_int_equal(w.cpu->rip, 0x1000);
	assert_int_equal(w.cpu->exit.reason, EXIT_IO_IN);
	assert_int_equal(w.cpu->exit.io.size, 2);
	assert_int_equal(w.cpu->gpr[RAX], ~0ull);
	answer(EXIT_IO_IN, 0x60, 2, 0x1234);
	assert_int_equal(EXEC(0x66, 0xe5, 0x60), CPU_OK);
	assert_int_equal(w.cpu->gpr[RAX], 0xffffffffffff1234);
	answer(EXIT_IO_IN, 0x61, 4, 1); /* an answer to another question */
	assert_int_equal(EXEC(0xe5, 0x60), CPU_EXIT);
	w.cpu->answers.filled = 0;
	answer(EXIT_IO_IN, 0x60, 4, 0x80000000);
	assert_int_equal(EXEC(0xe5, 0x60), CPU_OK);
	assert_int_equal(w.cpu->gpr[RAX], 0x80000000); /* 4 bytes clear the upper half */
}

static void set_iopl(unsigned iopl)
{
	w.cpu->rflags = (w.cpu->rflags & ~FL_IOPL) | (u64)iopl << 12;
}

static void permission_map(void **state)
{
	static const struct {
		u16 port;
		u8 size;
		bool ok;
	} cases[] = {
		{0x70, 1, true},
		{0x71, 1, false},
		{0x70, 2, false},
		{0x72, 4, true},
		{0x6e, 4, false},
		{0x67, 2, true},
		{0x77, 1, true},
		{0x80, 1, false},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		start_long(3);
		w.cpu->seg[SEG_TR].limit = 0x68 + 0x10; /* ports up to 7f */
		poke(TSS + 0x66, 0x68, 2);
		poke(TSS + 0x68 + 0x71 / 8, BIT(0x71 & 7), 1);
		w.cpu->gpr[RDX] = cases[i].port;
		int r = cases[i].size == 1   ? EXEC(0xee)
			: cases[i].size == 2 ? EXEC(0x66, 0xef)
					     : EXEC(0xef);
		if (cases[i].ok)
			assert_int_equal(r, CPU_OK);
		else
			assert_gp(r);
	}
}

static void who_needs_the_map(void **state)
{
	start_long(3);
	poke(TSS + 0x66, 0x68, 2); /* beyond the limit: no map */
	assert_gp(EXEC(0xec));
	set_iopl(3);
	assert_int_equal(EXEC(0xec), CPU_EXIT);
	start_protected(3);
	w.cpu->seg[SEG_TR].attr = 0x83; /* a 16-bit TSS has none */
	w.cpu->seg[SEG_TR].limit = 0xffff;
	assert_gp(EXEC(0xec));
	start_protected(0);
	w.cpu->rflags |= FL_VM;
	set_iopl(3);
	cpu_update_mode(w.cpu); /* virtual-8086 mode: IOPL does not help */
	poke(TSS + 0x66, 0x68, 2);
	assert_gp(EXEC(0x66, 0xed));
	start_real();
	assert_int_equal(EXEC(0xec), CPU_EXIT);
}

static void ins_batches_up_to_the_page_end(void **state)
{
	start_long(0);
	w.cpu->gpr[RDX] = 0x1f0;
	w.cpu->gpr[RDI] = DATA + 0xff8;
	w.cpu->gpr[RCX] = 10;
	assert_int_equal(EXEC(0xf3, 0x66, 0x6d), CPU_EXIT);
	assert_int_equal(w.cpu->exit.io.count, 4);
	assert_int_equal(w.cpu->gpr[RCX], 10);
	for (unsigned i = 0; i < 8; i++)
		w.cpu->io_data[i] = (u8)(i + 1);
	answer(EXIT_IO_IN, 0x1f0, 2, 0x0201);
	w.cpu->answers.io_count = 4;
	assert_int_equal(EXEC(0xf3, 0x66, 0x6d), CPU_OK);
	assert_int_equal(w.cpu->rip, 0x1000); /* six to go */
	assert_int_equal(w.cpu->gpr[RCX], 6);
	assert_int_equal(w.cpu->gpr[RDI], DATA + 0x1000);
	assert_int_equal(peek(DATA + 0xff8, 8), 0x0807060504030201);
	assert_int_equal(EXEC(0xf3, 0x66, 0x6d), CPU_EXIT);
	assert_int_equal(w.cpu->exit.io.count, 6);
}

static void ins_one_at_a_time(void **state)
{
	start_long(0);
	w.cpu->gpr[RDI] = DATA + 0x10;
	w.cpu->gpr[RCX] = 3;
	w.cpu->rflags |= FL_DF;
	assert_int_equal(EXEC(0xf3, 0x6c), CPU_EXIT);
	assert_int_equal(w.cpu->exit.io.count, 1);
	answer(EXIT_IO_IN, 0, 1, 0xee);
	w.cpu->answers.io_count = 1;
	assert_int_equal(EXEC(0xf3, 0x6c), CPU_OK);
	assert_int_equal(w.cpu->gpr[RDI], DATA + 0xf);
	assert_int_equal(w.mem[DATA + 0x10], 0xee);
	w.cpu->rflags &= ~FL_DF;
	w.cpu->gpr[RDI] = MMIO;
	assert_int_equal(EXEC(0xf3, 0x6c), CPU_EXIT);
	assert_int_equal(w.cpu->exit.io.count, 1);
}

static void ins_faults_before_it_asks(void **state)
{
	start_long(0);
	w.cpu->gpr[RDI] = RO;
	assert_fault(EXEC(0x6c), X86_PF, PF_W | PF_P);
	assert_int_equal(w.cpu->exit.reason, EXIT_NONE);
}

static void outs_one_exit_an_item(void **state)
{
	start_long(0);
	w.cpu->gpr[RDX] = 0xe9;
	w.cpu->gpr[RSI] = DATA;
	w.cpu->gpr[RCX] = 2;
	poke(DATA, 0x4241, 2);
	assert_int_equal(EXEC(0xf3, 0x6e), CPU_OK);
	assert_int_equal(w.cpu->exit.reason, EXIT_IO_OUT);
	assert_int_equal(w.cpu->exit.io.data[0], 0x41);
	assert_int_equal(w.cpu->rip, 0x1000);
	assert_int_equal(EXEC(0xf3, 0x6e), CPU_OK);
	assert_int_equal(w.cpu->exit.io.data[0], 0x42);
	assert_int_equal(w.cpu->rip, 0x1002);
	assert_int_equal(w.cpu->gpr[RSI], DATA + 2);
	w.cpu->exit.reason = EXIT_NONE;
	w.cpu->gpr[RSI] = BAD;
	assert_fault(EXEC(0x6e), X86_PF, 0);
	assert_int_equal(w.cpu->exit.reason, EXIT_NONE);
}

/* OPT_INTERCEPTS: what the instruction itself does not allow is not the caller's to see. */
static void faults_before_it_leaves(void **state)
{
	start_long(3);
	poke(TSS + 0x66, 0x68, 2); /* beyond the limit: no map */
	machine_set_option(w.m, OPT_INTERCEPTS, 1);
	assert_gp(EXEC(0xec));
	assert_gp(EXEC(0xee));
	assert_gp(EXEC(0x6c));
	set_iopl(3);
	w.cpu->gpr[RDI] = RO;
	assert_fault(EXEC(0x6c), X86_PF, PF_W | PF_P | PF_U);
	w.cpu->gpr[RSI] = BAD;
	assert_fault(EXEC(0x6e), X86_PF, PF_U);
	assert_int_equal(w.cpu->exit.reason, EXIT_NONE);
	assert_int_equal(EXEC(0xec), CPU_EXIT);
	assert_int_equal(w.cpu->exit.reason, EXIT_IO_IN);
	w.cpu->gpr[RSI] = DATA;
	assert_int_equal(EXEC(0x6e), CPU_EXIT);
	assert_int_equal(w.cpu->exit.reason, EXIT_IO_OUT);
	machine_set_option(w.m, OPT_INTERCEPTS, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(out_tells_after_the_instruction),
		cmocka_unit_test(in_asks_first),
		cmocka_unit_test(permission_map),
		cmocka_unit_test(who_needs_the_map),
		cmocka_unit_test(ins_batches_up_to_the_page_end),
		cmocka_unit_test(ins_one_at_a_time),
		cmocka_unit_test(ins_faults_before_it_asks),
		cmocka_unit_test(outs_one_exit_an_item),
		cmocka_unit_test(faults_before_it_leaves),
	};

	return cmocka_run_group_tests(tests, NULL, processor_close);
}
