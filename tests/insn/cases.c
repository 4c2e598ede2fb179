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

/* Cases with segments: those of data begin where data does, that of code where code does, unless said otherwise. */
#define LOW_SP  0x1800
#define LOW_TOP (LOW_DATA + LOW_SP)
#define LOW_RIP 0x100
#define REAL    .kind = KIND_REAL
#define V86     .kind = KIND_V86
#define PROT    .kind = KIND_PROT
#define AC      .flags = FL_AC
#define UNREAL  .kind = KIND_REAL, .limit = 0xffffffff
#define CS_END                                                                                     \
	.cs_base = LOW_CODE + 2 * PAGE_SIZE -                                                      \
		   0x10000 /* its last byte is the last of the code pages */

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
	u8 kind;
	u32 limit, cs_base, cs_limit; /* 0: 64 KiB, LOW_CODE, 64 KiB */
	u32 rsp;                      /* 0: LOW_SP */
	u32 flags;                    /* more of them */
	bool own; /* what the host has here is another value */
	bool anew; /* changes its own code: depends on when it is fetched anew */
} cases[] = {
	{"tables, selectors and machine status to memory", 8, 0, BYTES(0x41, 0x0f, 0x01, 0x01, 0x41, 0x0f, 0x01, 0x49, 0x10,
		0x41, 0x0f, 0x00, 0x41, 0x20, 0x41, 0x0f, 0x00, 0x49, 0x22, 0x41, 0x0f, 0x01, 0x61, 0x24), .own = true},
	{"the same, no flag live", 8, 0, BYTES(0x41, 0x0f, 0x01, 0x01, 0x41, 0x0f, 0x01, 0x49, 0x10,
		0x41, 0x0f, 0x00, 0x41, 0x20, 0x41, 0x0f, 0x00, 0x49, 0x22, 0x41, 0x0f, 0x01, 0x61, 0x24, 0x31, 0xc0),
		.own = true},
	{"the same in registers of all sizes", 8, 0, BYTES(0x0f, 0x00, 0xc0, 0x66, 0x0f, 0x00, 0xcb, 0x48, 0x0f, 0x00, 0xc9,
		0x0f, 0x01, 0xe5, 0x66, 0x41, 0x0f, 0x01, 0xe1, 0x49, 0x0f, 0x01, 0xe2, 0x66, 0x41, 0x0f, 0x00, 0xcb,
		0x44, 0x89, 0xe0, 0x49, 0x0f, 0x00, 0xc3), .rax = BAD, .rcx = BAD, .rbx = BAD, .rbp = BAD, .own = true},
	{"sidt at level 3 with UMIP", 8, 3, BYTES(0x41, 0x0f, 0x01, 0x09), .own = true},
	{"str at level 3 with UMIP", 8, 3, BYTES(0x0f, 0x00, 0xc8), .own = true},
	{"smsw at level 3 with UMIP", 8, 3, BYTES(0x0f, 0x01, 0xe0), .own = true},
	{"sgdt across pages", 8, 0, BYTES(0x0f, 0x01, 0x00), .rax = L_DATA + 0xff8, .own = true},
	{"sidt to read-only memory", 8, 0, BYTES(0x0f, 0x01, 0x08), .rax = READONLY, .own = true},
	{"sgdt, sidt, sldt, str, smsw at level 3 of 16-bit code", 2, 3, BYTES(0x0f, 0x01, 0x07, 0x0f, 0x01, 0x4f, 0x08,
		0x0f, 0x00, 0x47, 0x10, 0x0f, 0x00, 0x4f, 0x12, 0x0f, 0x01, 0x67, 0x14, 0x0f, 0x00, 0xc8, 0x66, 0x0f, 0x01,
		0xe1), PROT, .rbx = 0x400, .rax = BAD, .rcx = BAD, .own = true},
	{"the same of 32-bit code", 4, 3, BYTES(0x0f, 0x01, 0x03, 0x66, 0x0f, 0x01, 0x4b, 0x08, 0x0f, 0x00, 0x43, 0x10,
		0x0f, 0x00, 0x4b, 0x12, 0x0f, 0x01, 0x63, 0x14, 0x0f, 0x00, 0xc8, 0x66, 0x0f, 0x01, 0xe1), PROT,
		.rbx = 0x400, .rax = 0x12345678, .rcx = 0x12345678, .own = true},
	{"sidt beyond the limit", 4, 3, BYTES(0x0f, 0x01, 0x0b), PROT, .rbx = 0xfffb, .own = true},
	{"sidt in real mode", 2, 0, BYTES(0x0f, 0x01, 0x0f, 0x0f, 0x01, 0xe0), REAL, .rbx = 0x400, .own = true},
	{"sldt in real mode", 2, 0, BYTES(0x0f, 0x00, 0xc0), REAL},
	{"sidt, smsw in virtual-8086 mode", 2, 3, BYTES(0x0f, 0x01, 0x0f, 0x0f, 0x01, 0xe0), V86, .rbx = 0x400, .own = true},
	{"mov from control registers", 8, 0, BYTES(0x0f, 0x20, 0xc0, 0x41, 0x0f, 0x20, 0xd2, 0x0f, 0x20, 0xdb, 0x0f, 0x20,
		0xe1, 0x44, 0x0f, 0x20, 0xc5), .rax = BAD, .rcx = BAD, .rbx = BAD, .own = true},
	{"mov from cr1", 8, 0, BYTES(0x0f, 0x20, 0xc8)},
	{"mov from control registers in real mode", 2, 0, BYTES(0x0f, 0x20, 0xc0, 0x0f, 0x20, 0xe1), REAL, .rax = BAD,
		.own = true},
	{"rdfsbase, rdgsbase", 8, 3, BYTES(0xf3, 0x48, 0x0f, 0xae, 0xc0, 0xf3, 0x49, 0x0f, 0xae, 0xca, 0xf3, 0x0f, 0xae,
		0xc9), .rcx = BAD},
	{"wrfsbase, wrgsbase", 8, 3, BYTES(0xf3, 0x48, 0x0f, 0xae, 0xd0, 0xf3, 0x0f, 0xae, 0xd9, 0xf3, 0x49, 0x0f, 0xae,
		0xd9), .rax = 0x00007fffffffffff, .rcx = BAD},
	{"wrgsbase of the highest half", 8, 3, BYTES(0xf3, 0x48, 0x0f, 0xae, 0xd8), .rax = 0xffff800000000000},
	{"wrgsbase, not canonical", 8, 3, BYTES(0xf3, 0x48, 0x0f, 0xae, 0xd8), .rax = 0x0000800000000000},
	{"wrfsbase, not canonical below the highest half", 8, 3, BYTES(0xf3, 0x48, 0x0f, 0xae, 0xd0),
		.rax = 0xffff7fffffffffff},
	{"wrfsbase, not canonical by bit 63", 8, 3, BYTES(0xf3, 0x48, 0x0f, 0xae, 0xd0), .rax = 0x8000000000000000},
	{"rep stosb to the end of a page", 8, 3, BYTES(0x48, 0x89, 0xc7, 0xf3, 0xaa),
		.rax = L_DATA + 0xf80, .rcx = 0x80},
	{"rep stosb to the end of a page, no flag live", 8, 3, BYTES(0x48, 0x89, 0xc7, 0xf3, 0xaa, 0x31, 0xc0),
		.rax = L_DATA + 0xf80, .rcx = 0x80},
	{"rep stosb past the end of a page", 8, 3, BYTES(0x48, 0x89, 0xc7, 0xf3, 0xaa),
		.rax = L_DATA + 0xf80, .rcx = 0x81},
	{"rep stosb past the end of a page, no flag live", 8, 3, BYTES(0x48, 0x89, 0xc7, 0xf3, 0xaa, 0x31, 0xc0),
		.rax = L_DATA + 0xf80, .rcx = 0x81},
	{"rep stosq of a page", 8, 3, BYTES(0x48, 0x89, 0xc7, 0xf3, 0x48, 0xab),
		.rax = L_DATA, .rcx = 512},
	{"rep stosq of a page, no flag live", 8, 3, BYTES(0x48, 0x89, 0xc7, 0xf3, 0x48, 0xab, 0x31, 0xc0),
		.rax = L_DATA, .rcx = 512},
	{"rep stosq of more", 8, 3, BYTES(0x48, 0x89, 0xc7, 0xf3, 0x48, 0xab),
		.rax = L_DATA, .rcx = 513},
	{"rep stosq of more, no flag live", 8, 3, BYTES(0x48, 0x89, 0xc7, 0xf3, 0x48, 0xab, 0x31, 0xc0),
		.rax = L_DATA, .rcx = 513},
	{"rep stosb of nothing", 8, 3, BYTES(0x48, 0x89, 0xc7, 0xf3, 0xaa),
		.rax = BAD},
	{"rep stosb of nothing, no flag live", 8, 3, BYTES(0x48, 0x89, 0xc7, 0xf3, 0xaa, 0x31, 0xc0),
		.rax = BAD},
	{"rep movsb over itself", 8, 3, BYTES(0x48, 0x89, 0xc7, 0x48, 0x89, 0xde, 0xf3, 0xa4),
		.rax = DATA + 1, .rbx = DATA, .rcx = 100},
	{"rep movsb over itself, no flag live", 8, 3, BYTES(0x48, 0x89, 0xc7, 0x48, 0x89, 0xde, 0xf3, 0xa4, 0x31, 0xc0),
		.rax = DATA + 1, .rbx = DATA, .rcx = 100},
	{"rep movsq between pages", 8, 3, BYTES(0x48, 0x89, 0xc7, 0x48, 0x89, 0xde, 0xf3, 0x48, 0xa5),
		.rax = L_DATA + 0x1ff8, .rbx = L_DATA + 8, .rcx = 1},
	{"rep movsq between pages, no flag live", 8, 3, BYTES(0x48, 0x89, 0xc7, 0x48, 0x89, 0xde, 0xf3, 0x48, 0xa5, 0x31, 0xc0),
		.rax = L_DATA + 0x1ff8, .rbx = L_DATA + 8, .rcx = 1},
	{"rep movsq out of a page", 8, 3, BYTES(0x48, 0x89, 0xc7, 0x48, 0x89, 0xde, 0xf3, 0x48, 0xa5),
		.rax = L_DATA + 0x1100, .rbx = L_DATA + 0xff0, .rcx = 3},
	{"rep movsq out of a page, no flag live", 8, 3, BYTES(0x48, 0x89, 0xc7, 0x48, 0x89, 0xde, 0xf3, 0x48, 0xa5, 0x31, 0xc0),
		.rax = L_DATA + 0x1100, .rbx = L_DATA + 0xff0, .rcx = 3},
	{"rep movsb downwards", 8, 3, BYTES(0x48, 0x89, 0xc7, 0x48, 0x89, 0xde, 0xf3, 0xa4),
		.rax = DATA + 20, .rbx = DATA + 30, .rcx = 19, .flags = FL_DF},
	{"rep movsb downwards, no flag live", 8, 3, BYTES(0x48, 0x89, 0xc7, 0x48, 0x89, 0xde, 0xf3, 0xa4, 0x31, 0xc0),
		.rax = DATA + 20, .rbx = DATA + 30, .rcx = 19, .flags = FL_DF},
	{"rep stosd downwards out of a page", 8, 3, BYTES(0x48, 0x89, 0xc7, 0xf3, 0xab),
		.rax = L_DATA + 0x1004, .rcx = 4, .flags = FL_DF},
	{"rep stosd downwards out of a page, no flag live", 8, 3, BYTES(0x48, 0x89, 0xc7, 0xf3, 0xab, 0x31, 0xc0),
		.rax = L_DATA + 0x1004, .rcx = 4, .flags = FL_DF},
	{"rep movsb to read-only memory", 8, 3, BYTES(0x48, 0x89, 0xc7, 0x48, 0x89, 0xde, 0xf3, 0xa4),
		.rax = READONLY, .rbx = DATA, .rcx = 4},
	{"rep movsb to read-only memory, no flag live", 8, 3, BYTES(0x48, 0x89, 0xc7, 0x48, 0x89, 0xde, 0xf3, 0xa4, 0x31, 0xc0),
		.rax = READONLY, .rbx = DATA, .rcx = 4},
	{"rep movsb from a hole", 8, 3, BYTES(0x48, 0x89, 0xc7, 0x48, 0x89, 0xde, 0xf3, 0xa4),
		.rax = DATA, .rbx = HOLE, .rcx = 4},
	{"rep movsb from a hole, no flag live", 8, 3, BYTES(0x48, 0x89, 0xc7, 0x48, 0x89, 0xde, 0xf3, 0xa4, 0x31, 0xc0),
		.rax = DATA, .rbx = HOLE, .rcx = 4},
	{"rep stosb with a count beyond 4 GiB", 8, 3, BYTES(0x48, 0x89, 0xc7, 0xf3, 0xaa),
		.rax = READONLY - 4, .rcx = 1ull << 63},
	{"rep stosb with a count beyond 4 GiB, no flag live", 8, 3, BYTES(0x48, 0x89, 0xc7, 0xf3, 0xaa, 0x31, 0xc0),
		.rax = READONLY - 4, .rcx = 1ull << 63},
	{"movsq, stosd at the ends of pages", 8, 3, BYTES(0x48, 0x89, 0xc7, 0x48, 0x89, 0xde, 0x48, 0xa5, 0xab),
		.rax = L_DATA + 0xff4, .rbx = L_DATA + 0x1ff8},
	{"movsq, stosd at the ends of pages, no flag live", 8, 3, BYTES(0x48, 0x89, 0xc7, 0x48, 0x89, 0xde, 0x48, 0xa5, 0xab, 0x31, 0xc0),
		.rax = L_DATA + 0xff4, .rbx = L_DATA + 0x1ff8},
	{"movsw, stosb downwards", 8, 3, BYTES(0x48, 0x89, 0xc7, 0x48, 0x89, 0xde, 0x66, 0xa5, 0xaa),
		.rax = L_DATA + 0x1000, .rbx = L_DATA + 0x1ffe, .flags = FL_DF},
	{"movsw, stosb downwards, no flag live", 8, 3, BYTES(0x48, 0x89, 0xc7, 0x48, 0x89, 0xde, 0x66, 0xa5, 0xaa, 0x31, 0xc0),
		.rax = L_DATA + 0x1000, .rbx = L_DATA + 0x1ffe, .flags = FL_DF},
	{"stosq across pages", 8, 3, BYTES(0x48, 0x89, 0xc7, 0x48, 0xab),
		.rax = L_DATA + 0xffc},
	{"stosq across pages, no flag live", 8, 3, BYTES(0x48, 0x89, 0xc7, 0x48, 0xab, 0x31, 0xc0),
		.rax = L_DATA + 0xffc},
	{"bts of a bit beyond the operand", 8, 3, BYTES(0x48, 0x0f, 0xab, 0x03),
		.rax = 1000, .rbx = DATA},
	{"bts of a bit beyond the operand, no flag live", 8, 3, BYTES(0x48, 0x0f, 0xab, 0x03, 0x31, 0xc0),
		.rax = 1000, .rbx = DATA},
	{"btr of a bit before the operand", 8, 3, BYTES(0x48, 0x0f, 0xb3, 0x03),
		.rax = -1000ull, .rbx = DATA},
	{"btr of a bit before the operand, no flag live", 8, 3, BYTES(0x48, 0x0f, 0xb3, 0x03, 0x31, 0xc0),
		.rax = -1000ull, .rbx = DATA},
	{"lock btc of a 32-bit offset", 8, 3, BYTES(0xf0, 0x0f, 0xbb, 0x0b),
		.rcx = 0x1234fffff001, .rbx = DATA},
	{"lock btc of a 32-bit offset, no flag live", 8, 3, BYTES(0xf0, 0x0f, 0xbb, 0x0b, 0x31, 0xc0),
		.rcx = 0x1234fffff001, .rbx = DATA},
	{"bt in another page", 8, 3, BYTES(0x48, 0x0f, 0xa3, 0x0b),
		.rcx = 0x9000, .rbx = DATA},
	{"bt in another page, no flag live", 8, 3, BYTES(0x48, 0x0f, 0xa3, 0x0b, 0x31, 0xc0),
		.rcx = 0x9000, .rbx = DATA},
	{"bt in a hole", 8, 3, BYTES(0x48, 0x0f, 0xa3, 0x0b),
		.rcx = -0x1b00ull * 8, .rbx = DATA},
	{"bt in a hole, no flag live", 8, 3, BYTES(0x48, 0x0f, 0xa3, 0x0b, 0x31, 0xc0),
		.rcx = -0x1b00ull * 8, .rbx = DATA},
	{"bts to read-only memory", 8, 3, BYTES(0x48, 0x0f, 0xab, 0x0b),
		.rcx = 0, .rbx = READONLY},
	{"bts to read-only memory, no flag live", 8, 3, BYTES(0x48, 0x0f, 0xab, 0x0b, 0x31, 0xc0),
		.rcx = 0, .rbx = READONLY},
	{"bts across pages", 8, 3, BYTES(0x48, 0x0f, 0xab, 0x0b),
		.rcx = 70, .rbx = L_DATA + 0xff4},
	{"bts across pages, no flag live", 8, 3, BYTES(0x48, 0x0f, 0xab, 0x0b, 0x31, 0xc0),
		.rcx = 70, .rbx = L_DATA + 0xff4},
	{"bts with r10, r11 and r9", 8, 3, BYTES(0x49, 0x89, 0xca, 0x49, 0x89, 0xdb, 0x4d, 0x0f, 0xab, 0x13, 0x4f, 0x0f, 0xbb, 0x5c, 0x11, 0x08),
		.rcx = 77, .rbx = DATA},
	{"bts with r10, r11 and r9, no flag live", 8, 3, BYTES(0x49, 0x89, 0xca, 0x49, 0x89, 0xdb, 0x4d, 0x0f, 0xab, 0x13, 0x4f, 0x0f, 0xbb, 0x5c, 0x11, 0x08, 0x31, 0xc0),
		.rcx = 77, .rbx = DATA},
	{"mov of ah to bh to memory", 8, 3, BYTES(0x88, 0x23, 0x88, 0x6b, 0x01, 0x88, 0x73, 0x02, 0x88, 0x7b, 0x03),
		.rax = BAD, .rcx = 0x1234567890abcd00, .rbx = DATA},
	{"mov of ah to bh to memory, no flag live", 8, 3, BYTES(0x88, 0x23, 0x88, 0x6b, 0x01, 0x88, 0x73, 0x02, 0x88, 0x7b, 0x03, 0x31, 0xf6),
		.rax = BAD, .rcx = 0x1234567890abcd00, .rbx = DATA},
	{"mov of memory to ah to bh", 8, 3, BYTES(0x8a, 0x23, 0x8a, 0x6b, 0x01, 0x8a, 0x73, 0x02, 0x8a, 0x7b, 0x03),
		.rax = BAD, .rcx = 0x1234567890abcd00, .rbx = DATA},
	{"mov of memory to ah to bh, no flag live", 8, 3, BYTES(0x8a, 0x23, 0x8a, 0x6b, 0x01, 0x8a, 0x73, 0x02, 0x8a, 0x7b, 0x03, 0x31, 0xf6),
		.rax = BAD, .rcx = 0x1234567890abcd00, .rbx = DATA},
	{"mov of ah to read-only memory", 8, 3, BYTES(0x88, 0x23),
		.rax = BAD, .rbx = READONLY},
	{"mov of ah to read-only memory, no flag live", 8, 3, BYTES(0x88, 0x23, 0x31, 0xf6),
		.rax = BAD, .rbx = READONLY},
	{"mov of memory to ah from a hole", 8, 3, BYTES(0x8a, 0x23),
		.rax = BAD, .rbx = HOLE},
	{"mov of memory to ah from a hole, no flag live", 8, 3, BYTES(0x8a, 0x23, 0x31, 0xf6),
		.rax = BAD, .rbx = HOLE},
	{"mov of dh in 16-bit code", 2, 3, BYTES(0x88, 0x37, 0x8a, 0x67, 0x01),
		PROT, .rax = 0x12345678, .rbx = 0x400},
	{"mov of dh in 16-bit code, no flag live", 2, 3, BYTES(0x88, 0x37, 0x8a, 0x67, 0x01, 0x31, 0xf6),
		PROT, .rax = 0x12345678, .rbx = 0x400},
	{"ret to an address that is not canonical", 8, 3, BYTES(0xc3), .at = STACK, .value = BAD},
	{"ret n to an address that is not canonical", 8, 3, BYTES(0xc2, 0x10, 0x00), .at = STACK, .value = BAD},
	{"jmp to an address that is not canonical", 8, 3, BYTES(0x48, 0xff, 0xe0), .rax = BAD},
	{"call to an address that is not canonical", 8, 3, BYTES(0x48, 0xff, 0xd0), .rax = BAD},
	{"call to an address that is not canonical, level 0", 8, 0, BYTES(0x48, 0xff, 0xd0), .rax = BAD},
	{"jmp into the page of system calls", 8, 3, BYTES(0x48, 0xff, 0xe0), .rax = L_VSYSCALL + 0x2a3},
	{"lea of the farthest address", 8, 3, BYTES(0x48, 0x8d, 0x05, 0xff, 0xff, 0xff, 0x7f)},
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
	{"x87 pointers: fnstenv after fldz", 8, 3, BYTES(0xd9, 0xee, 0x90, 0xd9, 0x30), .rax = DATA},
	{"x87 pointers: 16-bit fnstenv after fld", 8, 3, BYTES(0xd9, 0x00, 0x66, 0xd9, 0x30), .rax = DATA},
	{"x87 pointers: fnstenv in 32-bit code", 4, 3, BYTES(0xd9, 0xee, 0xd9, 0x30), .rax = DATA},
	{"fxsave64 has the address of a load across pages", 8, 3, BYTES(0xdb, 0x28, 0x48, 0x0f, 0xae, 0x03),
		.rax = L_DATA + 0xffa, .rbx = DATA},
	{"x87 exception pending, pointers in fnsave", 8, 3, BYTES(0xd9, 0xe8, 0xd8, 0x30, 0xdd, 0x33),
		.rax = DATA, .rbx = DATA + 0x100, .fcw = 0x340},
	{"control instructions leave the x87 pointers", 8, 3, BYTES(0xd9, 0xee, 0xdb, 0xe2, 0xd9, 0x38, 0xd9, 0x33),
		.rax = DATA, .rbx = DATA + 0x100},
	{"fninit clears the x87 pointers", 8, 3, BYTES(0xd9, 0xee, 0xdb, 0xe3, 0xd9, 0x33), .rbx = DATA + 0x100},
	{"fldenv loads the x87 pointers", 8, 3, BYTES(0xd9, 0x20, 0xd9, 0x33), .rax = DATA, .rbx = DATA + 0x100},
	{"fnsave moves the top to 0", 8, 3, BYTES(0xdd, 0x30), .rax = DATA, .fcw = 0x37f, .fsw = 0x2800},
	{"misaligned and not canonical, stack segment", 8, 3, BYTES(0x66, 0x0f, 0x38, 0x39, 0x55, 0x01),
		.rbp = BAD & ~15ull},
	{"sha256msg2 with a misaligned operand", 8, 3, BYTES(0x0f, 0x38, 0xcd, 0x00), .rax = DATA + 1},
	{"sha256msg2 across pages", 8, 3, BYTES(0x0f, 0x38, 0xcd, 0x00), .rax = L_DATA + 0xff8},
	{"sha256msg2, misaligned and absent", 8, 3, BYTES(0x0f, 0x38, 0xcd, 0x00), .rax = HOLE + 1},
	{"sha256msg2, misaligned and beyond the stack's limit", 4, 3, BYTES(0x0f, 0x38, 0xcd, 0x45, 0), PROT,
		.rbp = 0x10001},
	{"push gs in 32-bit code", 4, 3, BYTES(0x0f, 0xa8)},
	{"push gs in 32-bit code, across into a read-only page", 4, 3, BYTES(0x89, 0xc4, 0x0f, 0xa8), .rax = READONLY + 1},
	{"push gs of 32 bits in 16-bit code", 2, 3, BYTES(0x66, 0x0f, 0xa8), PROT},
	{"repne scasd that faults keeps the flags", 8, 3, BYTES(0x48, 0x89, 0xc7, 0xf2, 0xaf), .rax = READONLY + 0xff0,
		.rcx = 9},
	{"repe cmpsb that faults keeps the flags", 8, 3, BYTES(0x48, 0x89, 0xc7, 0x48, 0x89, 0xc6, 0xf3, 0xa6),
		.rax = READONLY + 0xff0, .rcx = 99},
	{"addr32 rep movsb of nothing", 8, 3, BYTES(0x48, 0x89, 0xc7, 0x48, 0x89, 0xc6, 0x67, 0xf3, 0xa4), .rax = BAD,
		.rcx = 1ull << 32},
	{"addr32 rep stosd of nothing", 8, 3, BYTES(0x48, 0x89, 0xc7, 0x48, 0x89, 0xc6, 0x67, 0xf3, 0xab), .rax = BAD,
		.rcx = 1ull << 32},
	{"addr32 repe cmpsb of nothing", 8, 3, BYTES(0x48, 0x89, 0xc7, 0x48, 0x89, 0xc6, 0x67, 0xf3, 0xa6), .rax = BAD,
		.rcx = 1ull << 32},
	{"addr32 rep movsb that faults", 8, 3, BYTES(0x48, 0x89, 0xc7, 0x4c, 0x89, 0xce, 0x67, 0xf3, 0xa4),
		.rax = HOLE | 1ull << 40, .rcx = 3 | 1ull << 32},
	{"addr32 rep lodsb that faults", 8, 3, BYTES(0x48, 0x89, 0xc6, 0x67, 0xf3, 0xac), .rax = HOLE | 1ull << 40,
		.rcx = 3 | 1ull << 32},
	{"rep stosb over itself", 8, 3, BYTES(0x48, 0x8d, 0x3d, 0xf9, 0xff, 0xff, 0xff, 0xf3, 0xaa), .rip = RIP_RW,
		.rax = 0x90, .rcx = 9, .anew = true},
	{"x87 store that does not happen, in a hole", 8, 3, BYTES(0xdd, 0xc0, 0xd9, 0x10), .rax = HOLE, .fcw = 0x340},
	{"x87 store of 80 bits across into a read-only page", 8, 3, BYTES(0xd9, 0xe8, 0xdb, 0x38), .rax = READONLY - 8},
	{"MMX store that faults, top not 0", 8, 3, BYTES(0x0f, 0x7f, 0x00), .rax = HOLE, .fsw = 0x2800},
	{"vcvtps2ph that faults", 8, 3, BYTES(0xc4, 0xe3, 0x79, 0x1d, 0x00, 0x00), .rax = HOLE},
	{"dword at the end of 4 GiB", 4, 3, BYTES(0x8b, 0x03), .rbx = 0xffffffff},
	{"call beyond a limit, with a stack that is full", 2, 3, BYTES(0x90, 0xe8, 0x10, 0), PROT,
		.cs_limit = LOW_RIP + 8, .rsp = 1},
	{"enter with overlapping frames", 8, 3, BYTES(0xc8, 0x10, 0x00, 0x05), .rbp = STACK - 8},
	{"enter of 32 bits on a 16-bit stack", 2, 3, BYTES(0x66, 0xbc, 0x00, 0x10, 0x34, 0x12, 0x66, 0xc8, 0x08, 0x00, 0x01),
		PROT, .rbp = 0x55660f00},
	{"leave of 32 bits on a 16-bit stack", 2, 3, BYTES(0x66, 0xbc, 0x00, 0x10, 0x34, 0x12, 0x66, 0xc9), PROT,
		.rbp = 0x55661000},
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
	{"movsxd of 16 bits at the end of a page", 8, 3, BYTES(0x66, 0x63, 0x08), .rax = READONLY + 0xffe},
	{"movsxd of 16 bits", 8, 3, BYTES(0x66, 0x63, 0x08, 0x66, 0x63, 0xd0), .rax = DATA},
	{"write across into a read-only page", 8, 3, BYTES(0x48, 0x89, 0x08), .rax = READONLY - 4},
	{"locked add across pages", 8, 3, BYTES(0xf0, 0x01, 0x08), .rax = L_DATA + 0xffe, .rcx = 7},
	{"cmpxchg16b", 8, 3, BYTES(0xf0, 0x48, 0x0f, 0xc7, 0x08), .rax = DATA, .rcx = 1, .rbx = 2},
	{"cmpxchg16b misaligned", 8, 3, BYTES(0x49, 0x0f, 0xc7, 0x49, 0x08)},
	{"popf with the trap flag", 8, 3, BYTES(0x9d, 0x01, 0xc9, 0x01, 0xc0), .at = STACK, .value = 0x302},
	{"std; rep movsb backwards", 8, 3,
		BYTES(0x4c, 0x89, 0xce, 0x48, 0x8d, 0x7e, 0x03, 0xfd, 0xf3, 0xa4), .rcx = 40},

	{"the handler of a fault has the next instruction's rip", 2, 0,
		BYTES(0xc4, 0xe3, 0xc1, 0x20, 0xba, 0x09, 0xfd, 0xa6, 0x90), REAL, .rip = 0x3fe},
	{"a word at the end of 64 KiB", 2, 0, BYTES(0x8b, 0x07), REAL, .rbx = 0xffff},
	{"a word at the end of 64 KiB, flags live", 2, 0, BYTES(0x01, 0xc8, 0x8b, 0x07), REAL, .rbx = 0xffff},
	{"a word at the end of 64 KiB, unreal", 2, 0, BYTES(0x8b, 0x07), UNREAL, .rbx = 0xffff},
	{"a word beyond a limit of protected mode", 2, 3, BYTES(0x8b, 0x07), PROT, .rbx = 0x7ff, .limit = 0x7ff},
	{"a word at a limit of protected mode", 2, 3, BYTES(0x8b, 0x07), PROT, .rbx = 0x7fe, .limit = 0x7ff},
	{"32-bit offset beyond 64 KiB, real", 2, 0, BYTES(0x67, 0x8b, 0x03), REAL, .rbx = 0x10000},
	{"32-bit offset beyond 64 KiB, unreal", 2, 0, BYTES(0x67, 0x8b, 0x03), UNREAL, .rbx = 0x10000},
	{"32-bit offset that wraps, unreal", 2, 0, BYTES(0x67, 0x66, 0x8b, 0x03), UNREAL, .rbx = -2u},
	{"vmaskmovps across the end of 64 KiB", 2, 3, BYTES(0xc5, 0xfd, 0x76, 0xc0, 0xc4, 0xe2, 0x7d, 0x2c, 0x37), PROT,
		.rbx = 0xfffc, .limit = 0x1fff}, /* ymm0: all ones */
	{"vpmaskmovd of the upper half across the end of 64 KiB", 2, 3,
		BYTES(0xc5, 0xf5, 0x76, 0xc9, 0xc5, 0xfd, 0xef, 0xc0, 0xc4, 0xe3, 0x7d, 0x18, 0xc1, 0x01,
			0xc4, 0xe2, 0x7d, 0x8c, 0x37), PROT, .rbx = 0xfff0, .limit = 0x1fff},
	{"16-bit offset that wraps", 2, 0, BYTES(0x8b, 0x40, 0x20), REAL, .rbx = 0x12340fff0},
	{"push at the bottom of the stack", 2, 0, BYTES(0x50), REAL, .rsp = 0x10001},
	{"push that wraps the stack pointer", 2, 3, BYTES(0x66, 0x50), PROT, .rsp = 2},
	{"push keeps the upper half of esp", 2, 0, BYTES(0x50, 0x66, 0x50, 0x54), REAL, .rsp = 0x123417fe},
	{"pop sp after a carry", 4, 3, BYTES(0x66, 0x5c), PROT, .rsp = 0x17fe},
	{"pop sp", 2, 0, BYTES(0x5c), REAL, .at = LOW_TOP, .value = 0x1234},
	{"pop esp", 2, 0, BYTES(0x66, 0x5c), REAL, .at = LOW_TOP, .value = 0x12345678},
	{"leave with a 16-bit stack pointer", 2, 0, BYTES(0xc9), REAL, .rbp = 0x99990800},
	{"pusha, popa", 2, 0, BYTES(0x60, 0x01, 0xc0, 0x66, 0x60, 0x66, 0x61, 0x61), REAL, .rax = 0x12345678},
	{"pusha where the words straddle 64 KiB", 2, 3, BYTES(0x60), PROT, .rsp = 6},
	{"enter", 2, 0, BYTES(0xc8, 0x10, 0x00, 0x02), REAL, .rbp = 0x1700},
	{"ret to beyond 64 KiB", 2, 0, BYTES(0x66, 0xc3), REAL, .at = LOW_TOP, .value = 0x10100},
	{"ret n to beyond 64 KiB", 2, 0, BYTES(0x66, 0xc2, 4, 0), REAL, .at = LOW_TOP, .value = 0x10100},
	{"call to beyond 64 KiB", 2, 0, BYTES(0x66, 0xff, 0xd0), REAL, .rax = 0x10100},
	{"jmp to beyond 64 KiB", 2, 0, BYTES(0x66, 0xff, 0xe0), REAL, .rax = 0x10100},
	{"direct jmp to beyond 64 KiB", 2, 0, BYTES(0x66, 0xe9, 0, 0, 1, 0), REAL},
	{"direct jmp that wraps at 64 KiB", 2, 0, BYTES(0xe9, 0x00, 0xf0), REAL},
	{"jcc to beyond 64 KiB, taken and not", 2, 0,
		BYTES(0x66, 0x0f, 0x85, 0, 0, 1, 0, 0x66, 0x0f, 0x84, 0, 0, 1, 0), REAL},
	{"jcc at the end of the segment, not taken", 2, 0, BYTES(0x75, 0x80), REAL, CS_END, .rip = 0xfffd},
	{"an instruction across the end of the segment", 2, 0, BYTES(0xb8, 0x00, 0x00), REAL, CS_END, .rip = 0xfffd},
	{"an instruction beyond a limit", 2, 3, BYTES(0x90, 0xb8, 0x34, 0x12), PROT, .cs_limit = LOW_RIP + 2},
	{"a jump beyond a limit", 2, 3, BYTES(0x90, 0xeb, 0x10), PROT, .cs_limit = LOW_RIP + 8},
	{"a jcc beyond a limit", 2, 3, BYTES(0x90, 0x74, 0x10), PROT, .cs_limit = LOW_RIP + 8},
	{"a call beyond a limit", 2, 3, BYTES(0x90, 0xe8, 0x10, 0), PROT, .cs_limit = LOW_RIP + 8},
	{"a ret beyond a limit", 2, 3, BYTES(0x90, 0xc3), PROT, .cs_limit = LOW_RIP + 8, .at = LOW_TOP,
		.value = LOW_RIP + 9},
	{"loop", 2, 0, BYTES(0x40, 0xe2, 0xfd), REAL, .rcx = 0x50005},
	{"loopne", 2, 0, BYTES(0x4b, 0xe0, 0xfd), REAL, .rcx = 5, .rbx = 3},
	{"loope with ecx", 2, 0, BYTES(0x39, 0xdb, 0x67, 0xe1, 0xfc), REAL, .rcx = 0x10001},
	{"jcxz with something above", 2, 0, BYTES(0xe3, 0x01, 0x40, 0x67, 0xe3, 0x01, 0x40), REAL, .rcx = 0x10000},
	{"lodsb, stosw, scasb at the end of 64 KiB", 2, 0, BYTES(0xac, 0xab, 0xae, 0xa6, 0xa5), REAL},
	{"mov ss and what follows", 2, 0, BYTES(0x8e, 0xd0, 0xbc, 0x00, 0x10, 0x50), REAL, .rax = 0x3080},
	{"lds, les, lss", 2, 0, BYTES(0xc5, 0x07, 0xc4, 0x07, 0x0f, 0xb2, 0x27), REAL, .rbx = 0x400,
		.at = LOW_DATA + 0x400, .value = 0x3000000000800400},
	{"pop ds, push of it", 2, 0, BYTES(0x1f, 0x1e, 0x8c, 0xd8, 0x8c, 0x1f), REAL, .at = LOW_TOP, .value = 0x3010},
	{"mov ds in virtual-8086 mode", 2, 3, BYTES(0x8e, 0xd8, 0x8a, 0x07), V86, .rax = 0x3010},
	{"cli in virtual-8086 mode", 2, 3, BYTES(0xfa), V86},
	{"pushf in virtual-8086 mode", 2, 3, BYTES(0x9c), V86},
	{"int in virtual-8086 mode", 2, 3, BYTES(0xcd, 0x21), V86},
	{"int", 2, 0, BYTES(0x90, 0xcd, 0x21), REAL},
	{"iret", 2, 0, BYTES(0xcf), REAL, .at = LOW_TOP, .value = 0x0ad750000101},
	{"iret with the trap flag", 2, 0, BYTES(0xcf, 0x90, 0x90), REAL, .at = LOW_TOP, .value = 0x0bd750000101},
	{"iret with another IOPL", 2, 0, BYTES(0xcf), REAL, .at = LOW_TOP, .value = 0x3ad750000101},
	{"popf", 2, 0, BYTES(0x9d, 0x9c, 0xfb, 0x9c), REAL, .at = LOW_TOP, .value = 0x0ad7},
	{"popf with NT", 2, 0, BYTES(0x9d, 0x90), REAL, .at = LOW_TOP, .value = 0x4ad7},
	{"popfd with AC", 2, 0, BYTES(0x66, 0x9d, 0x90), REAL, .at = LOW_TOP, .value = 0x40ad7},
	{"far call and return", 2, 0, BYTES(0x9a, 0x06, 0x00, 0x10, 0x50, 0x90, 0xcb), REAL},
	{"far jump to the same place in another segment", 2, 0, BYTES(0xea, 0x05, 0x00, 0x10, 0x50), REAL},
	{"store through cs", 2, 0, BYTES(0x2e, 0xc6, 0x06, 0x08, 0x01, 0x42, 0x90, 0x90, 0x40), REAL},
	{"store through cs in protected mode", 2, 3, BYTES(0x2e, 0xc6, 0x06, 0x08, 0x01, 0x42), PROT},
	{"fs in 32-bit code", 4, 3, BYTES(0x64, 0x8b, 0x03, 0x64, 0x89, 0x43, 0x04), PROT, .rbx = 0x400},
	{"fs in 32-bit code, beyond", 4, 3, BYTES(0x64, 0x8b, 0x03), PROT, .rbx = 0xfffd},
	{"fences in 16-bit code", 2, 3, BYTES(0x0f, 0xae, 0xe8, 0x0f, 0xae, 0xf0, 0x0f, 0xae, 0xf8), PROT},
	{"adcx, adox in 16-bit code", 2, 3, BYTES(0x66, 0x0f, 0x38, 0xf6, 0xc1, 0xf3, 0x0f, 0x38, 0xf6, 0xc1), PROT,
		.rax = 0xffff8000, .rcx = 0x12345678},
	{"sse in real mode", 2, 0, BYTES(0x0f, 0x28, 0x07, 0x66, 0x0f, 0xef, 0xc0), REAL, .rbx = 0x400},
	{"repne scasd, stopped by TF: the flags of before", 8, 3, BYTES(0x9d, 0xf2, 0xaf, 0x90), .rcx = 3, .at = STACK, .value = 0xb03},
	{"repe cmpsb, stopped by TF: the flags of before", 8, 3, BYTES(0x4c, 0x89, 0xce, 0x4c, 0x89, 0xcf, 0x9d, 0xf3, 0xa6, 0x90),
		.rcx = 3, .at = STACK, .value = 0xb03},
	/* alignment checked: what is aligned, what is not, and what does not care */
	{"AC, aligned", 8, 3, BYTES(0x50, 0x5b, 0x41, 0x8b, 0x41, 0x04, 0x41, 0xdb, 0x69, 0x08), AC},
	{"AC, mov at 1", 8, 3, BYTES(0x41, 0x8b, 0x41, 0x01), AC},
	{"AC, push", 8, 3, BYTES(0x48, 0xff, 0xcc, 0x50), AC},
	{"AC, push of a word", 8, 3, BYTES(0x48, 0x83, 0xec, 0x02, 0x66, 0x50, 0x50), AC},
	{"AC, pop", 8, 3, BYTES(0x48, 0xff, 0xcc, 0x58), AC},
	{"AC, push m", 8, 3, BYTES(0x41, 0xff, 0x71, 0x01), AC},
	{"AC, pop m", 8, 3, BYTES(0x50, 0x41, 0x8f, 0x41, 0x04), AC},
	{"AC, push fs", 8, 3, BYTES(0x48, 0x83, 0xec, 0x02, 0x0f, 0xa0), AC},
	{"AC, call", 8, 3, BYTES(0x48, 0xff, 0xcc, 0xe8, 0, 0, 0, 0), AC},
	{"AC, ret", 8, 3, BYTES(0x48, 0xff, 0xcc, 0xc3), AC},
	{"AC, enter", 8, 3, BYTES(0x48, 0xff, 0xcc, 0xc8, 0x10, 0, 0x01), AC},
	{"AC, leave", 8, 3, BYTES(0xc9), .rbp = STACK + 1, AC},
	{"AC, pushf", 8, 3, BYTES(0x48, 0xff, 0xcc, 0x9c), AC},
	{"AC, popf", 8, 3, BYTES(0x48, 0xff, 0xcc, 0x9d), AC},
	{"AC, pusha", 4, 3, BYTES(0xff, 0xcc, 0x60), AC},
	{"AC, popa", 4, 3, BYTES(0xff, 0xcc, 0x61), AC},
	{"AC, iret", 8, 3, BYTES(0x48, 0xff, 0xcc, 0x48, 0xcf), AC},
	{"AC, far ret", 8, 3, BYTES(0x48, 0xff, 0xcc, 0x48, 0xcb), AC},
	{"AC, far jmp", 8, 3, BYTES(0x41, 0xff, 0x69, 0x02), AC},
	{"AC, lgs", 8, 3, BYTES(0x41, 0x0f, 0xb5, 0x41, 0x02), AC},
	{"AC, movs", 8, 3, BYTES(0x4c, 0x89, 0xcf, 0x49, 0x8d, 0x71, 0x81, 0xa5), AC},
	{"AC, rep movs", 8, 3, BYTES(0x4c, 0x89, 0xcf, 0x49, 0x8d, 0x71, 0x82, 0xf3, 0xa5), .rcx = 3, AC},
	{"AC, rep stos", 8, 3, BYTES(0x49, 0x8d, 0x79, 0x84, 0xf3, 0x48, 0xab), .rcx = 3, AC},
	{"AC, rep stos, aligned", 8, 3, BYTES(0x49, 0x8d, 0x79, 0x88, 0xf3, 0x48, 0xab), .rcx = 3, AC},
	{"AC, lods", 8, 3, BYTES(0x49, 0x8d, 0x71, 0x81, 0xad), AC},
	{"AC, scas", 8, 3, BYTES(0x49, 0x8d, 0x79, 0x81, 0x66, 0xaf), AC},
	{"AC, cmps", 8, 3, BYTES(0x49, 0x8d, 0x79, 0x81, 0x4c, 0x89, 0xce, 0xa7), AC},
	{"AC, moffs", 8, 3, BYTES(0xa1, 0x01, 0x04, 0x00, 0x28, 0, 0, 0, 0), AC},
	{"AC, moffs, store", 8, 3, BYTES(0x48, 0xa3, 0x04, 0x04, 0x00, 0x28, 0, 0, 0, 0), AC},
	{"AC, moffs, byte", 8, 3, BYTES(0xa0, 0x01, 0x04, 0x00, 0x28, 0, 0, 0, 0), AC},
	{"AC, moffs at the end of the canonical addresses", 8, 3, BYTES(0xa1, 0xfe, 0xff, 0xff, 0xff, 0xff, 0x7f, 0, 0), AC},
	{"AC, bt", 8, 3, BYTES(0x41, 0x0f, 0xa3, 0x41, 0x02), AC},
	{"AC, lock bts", 8, 3, BYTES(0xf0, 0x41, 0x0f, 0xab, 0x41, 0x02), AC},
	{"AC, bound", 4, 3, BYTES(0x62, 0x03), .rbx = DATA + 2, AC},
	{"AC, mov to memory from ds", 8, 3, BYTES(0x41, 0x8c, 0x59, 0x01), AC},
	{"AC, mov to gs", 8, 3, BYTES(0x41, 0x8e, 0x69, 0x01), AC},
	{"AC, number of ten bytes at 4", 8, 3, BYTES(0x41, 0xdb, 0x69, 0x04), AC},
	{"AC, packed number at 8", 8, 3, BYTES(0x41, 0xdf, 0x61, 0x08), AC},
	{"AC, fnstenv at 2", 8, 3, BYTES(0x41, 0xd9, 0x71, 0x02), AC},
	{"AC, fldenv at 1", 8, 3, BYTES(0x66, 0x41, 0xd9, 0x61, 0x01), AC},
	{"AC, fnsave at 2", 8, 3, BYTES(0x41, 0xdd, 0x71, 0x02), AC},
	{"AC, frstor at 2", 8, 3, BYTES(0x41, 0xdd, 0x61, 0x02), AC},
	{"AC, fxsave at 2", 8, 3, BYTES(0x41, 0x0f, 0xae, 0x41, 0x02), AC},
	{"AC, fxsave at 4", 8, 3, BYTES(0x41, 0x0f, 0xae, 0x41, 0x04), AC},
	{"AC, fxrstor at 8", 8, 3, BYTES(0x41, 0x0f, 0xae, 0x49, 0x08), AC},
	{"AC, xsave at 1", 8, 3, BYTES(0x41, 0x0f, 0xae, 0x61, 0x01), AC},
	{"AC, xrstor at 16", 8, 3, BYTES(0x41, 0x0f, 0xae, 0x69, 0x10), AC},
	{"AC, movaps and movups at 1", 8, 3, BYTES(0x41, 0x0f, 0x10, 0x41, 0x01, 0x41, 0x0f, 0x28, 0x41, 0x01), AC},
	{"AC, vmaskmovps and vpgatherdd at 1", 8, 3, BYTES(0xc4, 0xc2, 0x71, 0x2c, 0x41, 0x01, 0xc5, 0xe9, 0xef, 0xd2,
		0xc4, 0xc2, 0x61, 0x90, 0x44, 0x11, 0x01), AC},
	{"AC, maskmovdqu at 4", 8, 3, BYTES(0x49, 0x8d, 0x79, 0x04, 0x66, 0x0f, 0xf7, 0xc1), AC},
	{"AC, vcvtph2ps and vcvtps2ph at 1", 8, 3, BYTES(0xc4, 0xc2, 0x79, 0x13, 0x41, 0x01, 0xc4, 0xc3, 0x79, 0x1d, 0x41, 0x01, 0), AC},
	{"AC, stack of words", 2, 3, BYTES(0x50, 0x4c, 0x50), PROT, AC},
	{"AC, push ds of four bytes at 2", 2, 3, BYTES(0x50, 0x66, 0x1e), PROT, AC},
	{"AC, beyond the limit at 1", 2, 3, BYTES(0x66, 0xa1, 0xff, 0xff), PROT, AC},
};
/* clang-format on */

static void set_segments(unsigned i, struct insn_case *c)
{
	u32 limit = cases[i].limit ? cases[i].limit : 0xffff;
	u32 cs_limit = cases[i].cs_limit ? cases[i].cs_limit : 0xffff;
	u32 cs_base = cases[i].cs_base ? cases[i].cs_base : LOW_CODE;
	bool prot = c->kind == KIND_PROT;
	u32 big = c->mode == 4 ? SEG_DB : 0, granular = limit > 0xfffff ? SEG_G : 0;
	u32 attr = c->kind == KIND_REAL ? 0x93 : 0xf3;

	for (unsigned s = 0; s < 6; s++)
		c->seg[s] = (struct seg_state){.selector = prot ? LOW_SELECTOR(s) : LOW_DATA >> 4,
			.base = LOW_DATA,
			.limit = limit,
			.attr = attr | granular | (prot ? big : 0)};
	if (prot) /* exceptions need no stack of the case there: this one may be of any size */
		c->seg[SEG_SS].limit = 0xffff, c->seg[SEG_SS].attr &= ~SEG_G;
	c->seg[SEG_CS] =
		(struct seg_state){.selector = prot ? LOW_SELECTOR(SEG_CS) : (u16)(cs_base >> 4),
			.base = cs_base,
			.limit = cs_limit,
			.attr = prot                   ? 0xfb | big
				: c->kind == KIND_REAL ? 0x9b
						       : 0xf3};
	c->start.gpr[RSP] = cases[i].rsp ? cases[i].rsp : LOW_SP;
	c->start.gpr[R9] = 0;
	c->start.rip = cases[i].rip ? cases[i].rip : LOW_RIP;
	if (c->kind == KIND_V86)
		c->start.rflags |= FL_VM;
}

static void start(unsigned i, struct insn_case *c)
{
	struct random r = {i + 1};
	u64 *g = c->start.gpr;

	memset(c, 0, sizeof(*c));
	c->mode = cases[i].mode;
	c->cpl = cases[i].cpl;
	/* What AMD's processors check has not been measured. */
	c->with_host = !cases[i].own && (!(cases[i].flags & FL_AC) || !host_is_amd());
	g[RAX] = cases[i].rax;
	g[RCX] = cases[i].rcx;
	g[RBX] = cases[i].rbx;
	g[RBP] = cases[i].rbp;
	g[RSP] = STACK;
	g[R9] = c->mode == 8 ? DATA : 0;
	c->start.rip = cases[i].rip ? cases[i].rip : RIP;
	c->start.rflags = FL_FIXED | FL_IF | FL_CF | FL_ZF | cases[i].flags;
	c->kind = cases[i].kind;
	if (c->kind != KIND_FLAT)
		set_segments(i, c);
	random_vectors(&r, c->start.xsave);
	memcpy(c->start.xsave, (const u16[]){cases[i].fcw ? cases[i].fcw : 0x37f, cases[i].fsw}, 4);
	memcpy(c->start.xsave + 24, (const u32[]){0x1f80}, 4);
	c->image = strstr(cases[i].name, "fnsave") ||
		   (host_is_amd() && strstr(cases[i].name, "x87 pointers"));
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
	if (c->kind != KIND_FLAT) {
		c->code[c->bytes++] = 0xcc;
		return;
	}
	rel = (s32)(land - (c->start.rip + c->bytes + 5));
	c->code[c->bytes] = 0xe9;
	memcpy(c->code + c->bytes + 1, &rel, 4);
	c->bytes += 5;
}

static bool run(struct diff *d, unsigned i)
{
	struct tally t = {0};
	struct insn_case c;

	if (cases[i].anew && diff_tap_pages()) {
		printf("insn: %s: left out, the instruction is fetched anew after each question\n",
			cases[i].name);
		return true;
	}
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
	host_say(stdout);
	printf("insn: %zu cases, %u failed\n", ARRAY_SIZE(cases), failed);
	return failed != 0;
}
