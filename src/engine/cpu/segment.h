/* SPDX-License-Identifier: MIT */
/*
 * Descriptors and segment registers, as far as control transfers and segment loads share them.
 *
 * The prepare functions make every check of a load and produce the new hidden part without
 * touching the register, so that a transfer that loads several registers can commit them together.
 * Error codes carry no EXT bit here; the delivery code adds it (SDM 3:6.13).
 */
#ifndef ENGINE_CPU_SEGMENT_H
#define ENGINE_CPU_SEGMENT_H

#include "engine/core/block_key.h"
#include "engine/core/cpu.h"
#include "x86/regs.h"

/* Bits of the low eight bytes of a descriptor (SDM 3:3.4.5, 3:6.11). */
#define DESC_ACCESSED   BIT64(40)
#define DESC_WRITABLE   BIT64(41) /* data; readable for code */
#define DESC_CONFORMING BIT64(42) /* code; expand-down for data */
#define DESC_CODE       BIT64(43)
#define DESC_S          BIT64(44)
#define DESC_P          BIT64(47)
#define DESC_L          BIT64(53)
#define DESC_D          BIT64(54)
#define DESC_TYPE(d)    ((unsigned)((d) >> 40) & 15)
#define DESC_DPL(d)     ((unsigned)((d) >> 45) & 3)

/* System descriptor types, SDM 3:3.5 table 3-2. The 64-bit ones share the 32-bit numbers. */
enum {
	SYS_TSS16 = 1,
	SYS_LDT = 2,
	SYS_TSS16_BUSY = 3,
	SYS_CALL16 = 4,
	SYS_TASK_GATE = 5,
	SYS_INT16 = 6,
	SYS_TRAP16 = 7,
	SYS_TSS32 = 9,
	SYS_TSS32_BUSY = 11,
	SYS_CALL32 = 12,
	SYS_INT32 = 14,
	SYS_TRAP32 = 15,
};
#define SYS_BUSY 2 /* the bit of the type */

/* Types in segment.attr. */
#define SEG_TYPE_WRITABLE    2 /* data; readable for code */
#define SEG_TYPE_EXPAND_DOWN 4 /* data; conforming for code */
#define SEG_TYPE_CODE        8

#define SEL_RPL(s)  ((s)&3)
#define SEL_TI      4
#define SEL_NULL(s) (((s) & ~3) == 0)
#define SEL_ERR(s)  ((s)&0xfffcu)

static inline bool desc_is_code(u64 d)
{
	return (d & (DESC_S | DESC_CODE)) == (DESC_S | DESC_CODE);
}
static inline bool desc_is_conforming(u64 d)
{
	return d & DESC_CONFORMING;
}
static inline bool desc_is_writable_data(u64 d)
{
	return (d & (DESC_S | DESC_CODE | DESC_WRITABLE)) == (DESC_S | DESC_WRITABLE);
}
static inline bool seg_usable(const struct segment *s)
{
	return !(s->attr & SEG_UNUSABLE);
}

/* Does [off, off+len) lie within the segment, and does its type allow acc? Not for 64-bit mode. */
bool segment_allows(
	const struct cpu *cpu, const struct segment *s, u64 off, unsigned len, unsigned acc);

/* Linear address of a descriptor of len bytes; false if it is outside its table. */
bool descriptor_address(const struct cpu *cpu, u16 selector, unsigned len, u64 *ret);
/* Set bits in byte 5 of the descriptor in memory (accessed, busy) unless they are set already. */
int descriptor_set(struct cpu *cpu, u16 selector, u64 *desc, u8 bits);
int descriptor_clear_busy(struct cpu *cpu, u16 selector);

/* The registers' hidden parts that need no descriptor. */
void segment_set_null(struct segment *s, u16 selector, unsigned dpl);
void segment_set_v86(struct segment *s, u16 selector);
/* cs and ss as syscall and its relatives set them: base 0, limit 4 GiB. */
void segment_set_flat_code(struct segment *s, u16 selector, unsigned dpl, bool l);
void segment_set_flat_data(struct segment *s, u16 selector, unsigned dpl);

/* DS, ES, FS, GS in protected mode; vector: #GP, or #TS in a task switch. Null is allowed. */
int segment_prepare_data(struct cpu *cpu, u16 selector, u8 vector, struct segment *ret);
/* SS for privilege level cpl; null is not allowed here. vector: #GP or #TS; #SS if not present. */
int segment_prepare_ss(struct cpu *cpu, u16 selector, unsigned cpl, u8 vector, struct segment *ret);

/*
 * Logical to linear with all checks (limit, type, canonical form: #GP(0) or #SS(0)). acc: ACC_READ or ACC_WRITE.
 */
int seg_linear(struct cpu *cpu, unsigned seg, u64 off, unsigned len, unsigned acc, u64 *ret_lin);

/* Load a data segment register (not cs) with all checks and side effects (SDM 2: MOV). */
int seg_load(struct cpu *cpu, unsigned seg, u16 selector);
/* Read a descriptor; ext: also the second half of a 16-byte system descriptor. #GP/#TS(selector) via vector. */
int descriptor_read(struct cpu *cpu, u16 selector, u8 vector, u64 desc[2]);
void segment_from_descriptor(struct segment *s, u16 selector, const u64 desc[2]);
void segment_set_real(
	struct segment *s, u16 selector); /* real mode load: base only, limit and type kept */
int cpu_set_rip_checked(struct cpu *cpu, u64 rip); /* canonical / limit check, then next_rip */

/* ---- alignment ---- */

/* #AC, SDM 3:6.15: only at CPL 3 with CR0.AM and RFLAGS.AC. Code that runs so is done by step(), see block_key.h. */
static inline bool alignment_checked(const struct cpu *cpu)
{
	return unlikely(cpu->block_key & BK_STEPPING) && cpu->cpl == 3 && (cpu->cr0 & CR0_AM) &&
	       (cpu->rflags & FL_AC);
}
/* What an operand must be aligned to is SDM 3:6.15, table 6-7, and where that says nothing what processors do. */
static inline int check_alignment(struct cpu *cpu, u64 lin, unsigned align)
{
	if (likely(!alignment_checked(cpu)) || !(lin & (align - 1)))
		return CPU_OK;
	return cpu_raise_err(cpu, X86_AC, 0);
}
/*
 * seg_linear() of an access by the program itself. A limit comes before alignment; where addresses end by themselves, not
 * canonical or past 4 GiB, only the first byte's does (Intel's processors).
 */
static inline int seg_aligned(struct cpu *cpu, unsigned seg, u64 off, unsigned len, unsigned align,
	unsigned acc, u64 *ret)
{
	if (unlikely(alignment_checked(cpu))) {
		bool limited = cpu->code_size != 8 && cpu->seg[seg].limit != 0xffffffff;
		int r = seg_linear(cpu, seg, off, limited ? len : 1, acc, ret);

		if (!r)
			r = check_alignment(cpu, *ret, align);
		if (r)
			return r;
	}
	return seg_linear(cpu, seg, off, len, acc, ret);
}

#endif
