/* SPDX-License-Identifier: MIT */
/*
 * A processor (processor.h) with descriptor tables at fixed places, for control transfers, and a way to say "this must
 * fault so, and leave no trace".
 */
#ifndef TESTS_UNIT_WORLD_TABLES_H
#define TESTS_UNIT_WORLD_TABLES_H

#include "processor.h"
#include "seen.h"
#include "engine/core/block_key.h"
#include "engine/cpu/segment.h"
#include "engine/cpu/transfer.h"
#include "engine/insn/ops.h"

/* Where things are. */
#define GDT     0x1000
#define IDT     0x2000
#define TSS     0x4000
#define TSS_NEW 0x5000
#define LDT     0x6000
#define KSTACK  0x8800 /* top of the stack in use at CPL 0 */
#define TSTACK  0x9800 /* top of the stack that the TSS names for level 0 */
#define USTACK  0xa800
#define ISTACK  0xb808 /* IST 1, deliberately not 16-byte aligned */

/* Selectors of the standard GDT. */
enum {
	KCODE = 0x08,
	KDATA = 0x10,
	KCODE64 = 0x18,
	UCODE = 0x20 | 3,
	UDATA = 0x28 | 3,
	UCODE64 = 0x30 | 3,
	CCODE = 0x38,  /* conforming, DPL 0 */
	NPCODE = 0x40, /* not present */
	NPDATA = 0x48,
	RODATA = 0x50,
	SELTSS = 0x58,  /* 16 bytes in long mode */
	SELNEW = 0x68,  /* another task */
	SELLDT = 0x70,  /* 16 bytes in long mode */
	SELGATE = 0x80, /* for gates that a test makes; 16 bytes in long mode */
	XCODE = 0x90,   /* execute-only, DPL 0 */
	KDATA16 = 0x98,
	DATA2 = 0xa0,     /* data, DPL 2 */
	LDCODE = 0xa8,    /* L and D set */
	CODE1 = 0xb0 | 1, /* DPL 1 */
	DATA1 = 0xb8 | 1,
	TINY = 0xc0, /* code with limit 0xff */
	DOWN = 0xc8, /* expand-down data, offsets above 0xfff */
	CODE16 = 0xd0,
	OUTSIDE = 0x208, /* beyond the GDT's limit */
};
#define GDT_LIMIT 0x1ff

u64 make_desc(u32 base, u32 limit20, u8 access, u8 flags);
void set_gdt(unsigned selector, u64 lo);
/* type: SYS_*, low byte of access: P and DPL. */
void set_gate(unsigned vector, u16 selector, u64 offset, u8 access, u8 ist);
void set_call_gate(u16 selector, u64 offset, u8 access, u8 count);

/* An LDT with the GDT's descriptors: what only the GDT may hold must be refused all the same. */
void load_ldt_like_gdt(void);

/* Start states; all flat, interrupts on, rip 0x100, next_rip 0x102, every vector has a gate to KCODE*:0x500. */
void start_real(void);
void start_protected(unsigned cpl);
void start_long(unsigned cpl);
void start_v86(unsigned iopl);

struct insn make_insn(u8 opcode, unsigned op_size);

/* What a fault must leave alone. */
struct trace {
	u64 gpr[GPR_COUNT], rip, rflags, cr0, cr2, cr3, cr4, dr6, dr7;
	struct segment seg[SEG_COUNT];
	u8 cpl, code_size, stack_size, shadow;
	bool nmi_masked;
	u32 block_key;
};
struct trace take_trace(void);
void assert_same_trace(const struct trace *a, const struct trace *b);

#endif
