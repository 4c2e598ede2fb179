/* SPDX-License-Identifier: MIT */
/*
 * Instruction sequences written by hand, three ways (diff.h): one for each difference that was found and fixed,
 * and for each corner that a random case meets too seldom. Each is run with a cold and with a warm TLB.
 */
#include <stdlib.h>
#include <string.h>

#include "insn/diff.h"

#define RIP      (L_CODE + 0x100)
#define RIP_RW   (L_CODE + (u64)L_CODE_RW * PAGE_SIZE + 0x100) /* in writable pages */
#define DATA     (L_DATA + 0x400ull)
#define STACK    (L_DATA + 0x1800ull)
#define READONLY (L_DATA + L_DATA_RW * PAGE_SIZE)
#define HOLE     (L_DATA - 0x100ull)
#define BAD      0x1234567890abcdefull /* not canonical */

#define BYTES(...)                                                                                 \
	sizeof((const u8[]){__VA_ARGS__}),                                                         \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}

/* clang-format off */
static const struct {
	const char *name;
	u8 mode, cpl;
	unsigned n;
	u8 code[48];
	u64 rax, rcx, rbx, rbp; /* rsp is STACK, r9 DATA, the others 0 */
	u64 rip, at, value; /* [at] = value, if at is not 0 */
	u16 fcw, fsw;
} cases[] = {
	{"ret to an address that is not canonical", 8, 3, BYTES(0xc3), .at = STACK, .value = BAD},
	{"ret n to an address that is not canonical", 8, 3, BYTES(0xc2, 0x10, 0x00), .at = STACK, .value = BAD},
	{"jmp to an address that is not canonical", 8, 3, BYTES(0x48, 0xff, 0xe0), .rax = BAD},
	{"call to an address that is not canonical", 8, 3, BYTES(0x48, 0xff, 0xd0), .rax = BAD},
	{"call to an address that is not canonical, level 0", 8, 0, BYTES(0x48, 0xff, 0xd0), .rax = BAD},
	{"jmp to a page without code", 8, 3, BYTES(0x48, 0xff, 0xe0), .rax = DATA},
	{"last bytes of the address space, empty TLB entry, flags live", 8, 3,
		BYTES(0x48, 0x8b, 0x08), .rax = -2ull},
	{"last bytes of page 0, empty TLB entry, flags live", 8, 3, BYTES(0x48, 0x8b, 0x08), .rax = 0xffe},
	{"leave at the end of the address space", 8, 3, BYTES(0xc9), .rbp = -2ull},
	{"x87 exception pending, memory operand faults", 8, 3, BYTES(0xd8, 0x00), .rax = HOLE,
		.fcw = 0x340, .fsw = 0x8081},
	{"x87 exception pending, MMX operand faults", 8, 3, BYTES(0x0f, 0xfc, 0x00), .rax = HOLE,
		.fcw = 0x340, .fsw = 0x8081},
	{"x87 exception pending, cvtps2pi", 8, 3, BYTES(0x0f, 0x2d, 0xc0), .fcw = 0x340, .fsw = 0x8081},
	{"x87 exception pending, frstor across pages", 8, 3, BYTES(0xdd, 0xa0, 0xf0, 0, 0, 0),
		.rax = DATA + 0xb00, .fcw = 0x340, .fsw = 0x8081},
	{"x87 store that does not happen, across pages", 8, 3,
		BYTES(0xd9, 0xe8, 0xd9, 0xfa, 0xd9, 0x10), .rax = L_DATA + 0xffe, .fcw = 0x340},
	{"fnsave moves the top to 0", 8, 3, BYTES(0xdd, 0x30), .rax = DATA, .fcw = 0x37f, .fsw = 0x2800},
	{"misaligned and not canonical, stack segment", 8, 3, BYTES(0x66, 0x0f, 0x38, 0x39, 0x55, 0x01),
		.rbp = BAD & ~15ull},
	{"sha256msg2 with a misaligned operand", 8, 3, BYTES(0x0f, 0x38, 0xcd, 0x00), .rax = DATA + 1},
	{"sha256msg2 across pages", 8, 3, BYTES(0x0f, 0x38, 0xcd, 0x00), .rax = L_DATA + 0xff8},
	{"enter with overlapping frames", 8, 3, BYTES(0xc8, 0x10, 0x00, 0x05), .rbp = STACK - 8},
	{"enter onto a read-only page", 8, 3, BYTES(0xc8, 0x00, 0x80, 0x00), .rbp = STACK},
	{"vzeroupper in 32-bit code", 4, 3, BYTES(0xc5, 0xf8, 0x77)},
	{"vzeroall in 32-bit code", 4, 3, BYTES(0xc5, 0xfc, 0x77)},
	{"vpblendvb in 32-bit code names ymm8", 4, 3, BYTES(0xc4, 0xe3, 0x45, 0x4c, 0xf1, 0x85)},
	{"vpblendvb in 64-bit code names ymm8", 8, 3, BYTES(0xc4, 0xe3, 0x45, 0x4c, 0xf1, 0x85)},
	{"vpcmpestri with W in 32-bit code", 4, 3, BYTES(0xc4, 0xe3, 0xf9, 0x61, 0xc8, 0x0c), .rax = 5},
	{"store through cs in 32-bit code", 4, 3, BYTES(0x2e, 0x89, 0x08), .rax = DATA, .rcx = 1},
	{"load through cs in 32-bit code", 4, 3, BYTES(0x2e, 0x8b, 0x08), .rax = DATA, .rcx = 1},
	{"jcc with a 16-bit target keeps the flags", 4, 3,
		BYTES(0x01, 0xc9, 0x66, 0x73, 0x02, 0x01, 0xc9), .rcx = 0x80000001},
	{"a store changes the next instruction", 8, 3,
		BYTES(0xc6, 0x05, 0x01, 0, 0, 0, 0x41, 0xb0, 0x17), .rip = RIP_RW},
	{"a store changes the next instruction's prefix", 8, 3,
		BYTES(0xc6, 0x05, 0x00, 0, 0, 0, 0x49, 0x90, 0x01, 0xc9), .rip = RIP_RW, .rcx = 3},
	{"push on a read-only page", 8, 3, BYTES(0x48, 0x89, 0xc4, 0x50), .rax = READONLY + 64},
	{"pop rsp", 8, 3, BYTES(0x5c), .at = STACK, .value = DATA},
	{"push rsp", 8, 3, BYTES(0x54)},
	{"pop [rsp]", 8, 3, BYTES(0x8f, 0x04, 0x24), .at = STACK, .value = DATA},
	{"call rsp", 8, 3, BYTES(0xff, 0xd4)},
	{"call [rsp]", 8, 3, BYTES(0xff, 0x14, 0x24), .at = STACK, .value = L_LAND},
	{"xchg of displaced registers", 8, 3, BYTES(0x4d, 0x87, 0xca, 0x4d, 0x0f, 0xc1, 0xda, 0x49, 0x87, 0xe1)},
	{"ah with a displaced base", 8, 3, BYTES(0x41, 0x8a, 0x21, 0x41, 0x00, 0x39), .rax = 0x1234},
	{"div faults", 8, 3, BYTES(0xf7, 0xf1), .rax = 1},
	{"idiv of the most negative", 8, 3, BYTES(0x48, 0x99, 0x48, 0xf7, 0xf9), .rax = 1ull << 63, .rcx = -1ull},
	{"read across into a hole", 8, 3, BYTES(0x48, 0x8b, 0x08), .rax = READONLY + 0xffc},
	{"write across into a read-only page", 8, 3, BYTES(0x48, 0x89, 0x08), .rax = READONLY - 4},
	{"locked add across pages", 8, 3, BYTES(0xf0, 0x01, 0x08), .rax = L_DATA + 0xffe, .rcx = 7},
	{"cmpxchg16b", 8, 3, BYTES(0xf0, 0x48, 0x0f, 0xc7, 0x08), .rax = DATA, .rcx = 1, .rbx = 2},
	{"cmpxchg16b misaligned", 8, 3, BYTES(0x49, 0x0f, 0xc7, 0x49, 0x08)},
	{"popf with the trap flag", 8, 3, BYTES(0x9d, 0x01, 0xc9, 0x01, 0xc0), .at = STACK, .value = 0x302},
	{"std; rep movsb backwards", 8, 3,
		BYTES(0x4c, 0x89, 0xce, 0x48, 0x8d, 0x7e, 0x03, 0xfd, 0xf3, 0xa4), .rcx = 40},
};
/* clang-format on */

static void start(unsigned i, struct insn_case *c)
{
	struct random r = {i + 1};
	u64 *g = c->start.gpr;

	memset(c, 0, sizeof(*c));
	c->mode = cases[i].mode;
	c->cpl = cases[i].cpl;
	c->with_host = true;
	g[RAX] = cases[i].rax;
	g[RCX] = cases[i].rcx;
	g[RBX] = cases[i].rbx;
	g[RBP] = cases[i].rbp;
	g[RSP] = STACK;
	g[R9] = c->mode == 8 ? DATA : 0;
	c->start.rip = cases[i].rip ? cases[i].rip : RIP;
	c->start.rflags = FL_FIXED | FL_IF | FL_CF | FL_ZF;
	random_vectors(&r, c->start.xsave);
	memcpy(c->start.xsave, (const u16[]){cases[i].fcw ? cases[i].fcw : 0x37f, cases[i].fsw}, 4);
	memcpy(c->start.xsave + 24, (const u32[]){0x1f80}, 4);
	c->image = strstr(cases[i].name, "fnsave");
	if (cases[i].at) {
		c->patch[0].addr = cases[i].at;
		c->patch[0].value = cases[i].value;
		c->patches = 1;
	}
}

static void add_code(unsigned i, struct insn_case *c)
{
	u64 land = c->mode == 4 ? L_LAND32 : L_LAND;
	struct insn in;
	s32 rel;

	memcpy(c->code, cases[i].code, cases[i].n);
	while (c->bytes < cases[i].n &&
		insn_decode(&in, c->code + c->bytes, INSN_MAX, c->mode) == INSN_OK) {
		c->at[c->count++] = c->bytes;
		c->bytes += in.len;
	}
	c->at[c->count] = c->bytes = cases[i].n;
	rel = (s32)(land - (c->start.rip + c->bytes + 5));
	c->code[c->bytes] = 0xe9;
	memcpy(c->code + c->bytes + 1, &rel, 4);
	c->bytes += 5;
}

static bool run(struct diff *d, unsigned i)
{
	struct tally t = {0};
	struct insn_case c;

	start(i, &c);
	add_code(i, &c);
	for (unsigned cold = 0; cold < 2; cold++) {
		c.cold = cold;
		if (check_case(d, &c, &t, NULL) != DIFF_FOUND)
			continue;
		printf("insn: %s\n", cases[i].name);
		print_case(&c, stdout);
		check_case(d, &c, &t, stdout);
		return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	struct diff *d = diff_open();
	unsigned failed = 0;

	if (!d)
		return 77;
	diff_fill(d, 1);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		if (argc < 2 || strstr(cases[i].name, argv[1]))
			failed += !run(d, i);
	diff_close(d);
	printf("insn: %zu cases, %u failed\n", ARRAY_SIZE(cases), failed);
	return failed != 0;
}
