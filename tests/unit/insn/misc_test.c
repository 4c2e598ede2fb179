/* SPDX-License-Identifier: MIT */
/* Bit strings, decimal adjustment and other unprivileged instructions that the host cannot execute. */
#include "tests/unit/world/insns.h"
#include "engine/core/cpu.h"
#include "engine/insn/ops.h"
#include "x86/insn.h"
#include "x86/regs.h"

static void bit_strings(void **state)
{
	static const struct {
		u8 opcode;
		s64 bit;
		u64 address; /* of the byte that holds it */
		u8 before, after;
	} cases[] = {
		{0xa3, 3, DATA, 0x08, 0x08},
		{0xab, 3, DATA, 0x00, 0x08},
		{0xab, 67, DATA + 8, 0x80, 0x88},
		{0xb3, -1, DATA - 1, 0x80, 0x00},
		{0xbb, -64, DATA - 8, 0x01, 0x00},
		{0xbb, 1000, DATA + 125, 0xfe, 0xff},
		{0xb3, 64 * 100 + 9, DATA + 801, 0x02, 0x00},
	};

	for (unsigned i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
		bool locked = i >= ARRAY_SIZE(cases);
		unsigned k = i % ARRAY_SIZE(cases);
		if (locked && cases[k].opcode == 0xa3)
			continue;
		start_long(0);
		w.cpu->rflags |= FL_ZF;
		w.cpu->gpr[RBX] = DATA;
		w.cpu->gpr[RAX] = (u64)cases[k].bit;
		w.mem[cases[k].address] = cases[k].before;
		int r = locked ? EXEC(0xf0, 0x48, 0x0f, cases[k].opcode, 0x03)
			       : EXEC(0x48, 0x0f, cases[k].opcode, 0x03);
		assert_int_equal(r, CPU_OK);
		assert_int_equal(w.mem[cases[k].address], cases[k].after);
		bool was = cases[k].before >> (cases[k].bit & 7) & 1;
		assert_int_equal(w.cpu->rflags & FL_STATUS, FL_ZF | (was ? FL_CF : 0));
	}
}

static void bit_strings_of_other_sizes(void **state)
{
	start_long(0);
	w.cpu->gpr[RBX] = DATA;
	w.cpu->gpr[RAX] = 0xffffffff00000000 | (u32)-32; /* 32-bit offset, sign extended */
	assert_int_equal(EXEC(0x0f, 0xab, 0x03), CPU_OK);
	assert_int_equal(peek(DATA - 4, 4), 1);
	w.cpu->gpr[RAX] = 0x12348000; /* 16-bit offset: -32768 bits */
	assert_int_equal(EXEC(0xf0, 0x66, 0x0f, 0xab, 0x03), CPU_OK);
	assert_int_equal(peek(DATA - 4096, 2), 1);
	w.cpu->gpr[RAX] = 33;
	w.cpu->gpr[RBX] = RO;
	assert_fault(EXEC(0x0f, 0xab, 0x03), X86_PF, PF_W | PF_P);
	assert_int_equal(EXEC(0x0f, 0xa3, 0x03), CPU_OK);
	w.cpu->gpr[RBX] = NOHOST; /* locked, without a host address */
	assert_int_equal(EXEC(0xf0, 0x0f, 0xab, 0x03), CPU_OK);
	assert_int_equal(peek(NOHOST + 4, 4), 2);
}

/* Values from the SDM's examples and from processors. */
static void decimal_adjustment(void **state)
{
	static const struct {
		u8 opcode, imm;
		u16 ax;
		u64 flags;
		u16 result;
		u64 cf_af;
	} cases[] = {
		{0x27, 0, 0x00ae, 0, 0x0014, FL_CF | FL_AF}, /* daa: 79h + 35h = 114 */
		{0x27, 0, 0x0012, 0, 0x0012, 0}, {0x27, 0, 0x009a, 0, 0x0000, FL_CF | FL_AF},
		{0x27, 0, 0x0010, FL_CF, 0x0070, FL_CF},
		{0x2f, 0, 0x00ee, FL_CF | FL_AF, 0x0088, FL_CF | FL_AF}, /* das: 35h - 47h */
		{0x2f, 0, 0x0002, FL_AF, 0x00fc, FL_CF | FL_AF},
		{0x37, 0, 0x000f, 0, 0x0105, FL_CF | FL_AF}, /* aaa */
		{0x37, 0, 0x01f9, 0, 0x0109, 0},
		{0x37, 0, 0x00fa, 0, 0x0200, FL_CF | FL_AF}, /* the carry of al reaches ah */
		{0x3f, 0, 0x020b, 0, 0x0105, FL_CF | FL_AF}, /* aas */
		{0x3f, 0, 0x0009, 0, 0x0009, 0}, {0xd4, 10, 0x003f, 0, 0x0603, 0},  /* aam */
		{0xd4, 16, 0x00ab, 0, 0x0a0b, 0}, {0xd5, 10, 0x0603, 0, 0x003f, 0}, /* aad */
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		start_protected(0);
		w.cpu->gpr[RAX] = 0xabcd0000 | cases[i].ax;
		w.cpu->rflags |= cases[i].flags;
		int r = cases[i].opcode < 0x40 ? EXEC(cases[i].opcode)
					       : EXEC(cases[i].opcode, cases[i].imm);
		assert_int_equal(r, CPU_OK);
		assert_int_equal(w.cpu->gpr[RAX], 0xabcd0000 | cases[i].result);
		assert_int_equal(w.cpu->rflags & (FL_CF | FL_AF), cases[i].cf_af);
		assert_int_equal(!!(w.cpu->rflags & FL_ZF), (cases[i].result & 0xff) == 0);
	}
	assert_fault(EXEC(0xd4, 0), X86_DE, NO_ERROR);
}

static void short_inc_dec(void **state)
{
	start_protected(0);
	w.cpu->rflags |= FL_CF;
	w.cpu->gpr[RAX] = 0x7fffffff;
	assert_int_equal(EXEC(0x40), CPU_OK);
	assert_int_equal(w.cpu->gpr[RAX], 0x80000000);
	assert_int_equal(w.cpu->rflags & FL_STATUS, FL_CF | FL_OF | FL_SF | FL_AF | FL_PF);
	w.cpu->gpr[RBX] = 0x12340001;
	assert_int_equal(EXEC(0x66, 0x4b), CPU_OK);
	assert_int_equal(w.cpu->gpr[RBX], 0x12340000);
	assert_int_equal(w.cpu->rflags & FL_STATUS, FL_CF | FL_ZF | FL_PF);
}

static void bound_check(void **state)
{
	start_protected(0);
	poke(DATA, 0x00000010fffffff0, 8); /* -16 .. 16 */
	w.cpu->gpr[RBX] = DATA;
	w.cpu->gpr[RAX] = (u32)-16;
	assert_int_equal(EXEC(0x62, 0x03), CPU_OK);
	w.cpu->gpr[RAX] = 17;
	assert_fault(EXEC(0x62, 0x03), X86_BR, NO_ERROR);
	w.cpu->gpr[RAX] = (u32)-17;
	assert_fault(EXEC(0x62, 0x03), X86_BR, NO_ERROR);
}

static void small_ones(void **state)
{
	start_long(0);
	w.cpu->gpr[RBX] = DATA;
	w.cpu->gpr[RAX] = 0x1105;
	w.mem[DATA + 5] = 0x99;
	assert_int_equal(EXEC(0xd7), CPU_OK); /* xlat */
	assert_int_equal(w.cpu->gpr[RAX], 0x1199);
	poke(DATA, 0x8877665544332211, 8);
	assert_int_equal(EXEC(0x48, 0xa1, 0, 0, 2, 0, 0, 0, 0, 0), CPU_OK);
	assert_int_equal(w.cpu->gpr[RAX], 0x8877665544332211);
	assert_int_equal(EXEC(0xa2, 0x20, 0, 2, 0, 0, 0, 0, 0), CPU_OK);
	assert_int_equal(peek(DATA + 0x20, 8), 0x11);
	w.cpu->gpr[RBX] = BAD;
	assert_fault(EXEC(0x0f, 0xae, 0x3b), X86_PF, 0); /* clflush */
	start_protected(0);
	w.cpu->rflags |= FL_CF;
	assert_int_equal(EXEC(0xd6), CPU_OK);
	assert_int_equal(w.cpu->gpr[RAX], 0xff);
}

/* Pointers m16:64 are what AMD's processors do not have. */
static void rex_w_by_vendor(void **state)
{
	static const u8 code[][5] = {
		{0x48, 0xff, 0x2b},       /* jmp far [rbx] */
		{0x48, 0xff, 0x1b},       /* call far [rbx] */
		{0x48, 0x0f, 0xb4, 0x03}, /* lfs rax, [rbx] */
		{0x48, 0xcb},             /* retf: 64 bits everywhere */
	};
	struct insn in;

	start_long(0);
	for (unsigned amd = 0; amd < 2; amd++) {
		w.cpu->host_amd = amd;
		for (unsigned i = 0; i < ARRAY_SIZE(code); i++) {
			assert_int_equal(cpu_decode(w.cpu, &in, code[i], sizeof(code[i])), INSN_OK);
			assert_int_equal(in.op_size, amd && i < 3 ? 4 : 8);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rex_w_by_vendor),
		cmocka_unit_test(bit_strings),
		cmocka_unit_test(bit_strings_of_other_sizes),
		cmocka_unit_test(decimal_adjustment),
		cmocka_unit_test(short_inc_dec),
		cmocka_unit_test(bound_check),
		cmocka_unit_test(small_ones),
	};

	return cmocka_run_group_tests(tests, NULL, processor_close);
}
