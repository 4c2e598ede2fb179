/* SPDX-License-Identifier: MIT */
/*
 * Generating host code for the instructions of one block. See translate.c for how a block is made.
 *
 * Each guest instruction's code computes in the scratch registers r9 and r10 until nothing can fail any
 * more, and only then changes guest state. Whatever the fast path does not cover jumps to a cold exit that
 * hands the whole instruction to step(), a software TLB miss included.
 */
#ifndef ENGINE_JIT_GEN_H
#define ENGINE_JIT_GEN_H

#include "engine/code/block.h"
#include "engine/core/block_key.h"
#include "engine/code/cache.h"
#include "engine/code/emit.h"
#include "engine/insn/operand.h"

/*
 * A group: accesses through the same base register that follow each other closely, checked once by the first
 * for all of them (group.c). r9 and r10 then stay as they are until the last.
 */
struct group {
	u8 first, members;
	u8 base;      /* guest register */
	u8 kind;      /* enum tlb_kind that covers all */
	s32 min, max; /* range of offsets from base as it was before the first */
};

struct cold_exit {
	u8 *from; /* displacement of the jump that leads here (writable view) */
	u8 kind;  /* enum record_kind */
	bool restore_rcx;
	u16 guest;
	s32 target; /* see struct exit_record */
	u8 detail;  /* exit_record.base */
	u8 *retry;  /* REC_GROUP: where the check starts. REC_PAGELINK: the token */
	u8 *next;   /* REC_STEP: where the code of the next instruction starts */
};

#define GEN_COLD_MAX    (BLOCK_INSNS_MAX * 4 + 8)
/* More than any one instruction takes; where less is left the block ends before it (translate.c). */
#define GEN_INSN_COLD   32
#define GEN_INSN_BYTES  (4u << 10)
/* A cold exit: rcx restored, rip stored, lea, jmp, padding, record. */
#define COLD_EXIT_MAX   64
#define COLD_EXIT_SMALL 48 /* all but those of page links */
/* Upper bound of the code of a block, exits included, asserted after generation. */
#define GEN_BYTES_MAX   (48u << 10)

struct gen {
	struct emit e;
	struct cpu *cpu;
	struct code_cache *cache;
	struct block t; /* being made */
	u32 index;      /* of the block to be */
	int jump_table; /* number, or -1: none for this key */
	unsigned view;  /* enum tlb_view */
	bool long_mode; /* 64-bit code */
	bool flat;      /* cs ds es ss need no base or check, as in 64-bit code */
	u8 width;       /* of code: 2, 4, 8 */
	u8 stack_width; /* of the stack pointer: 2, 4, 8 */

	struct insn insn[BLOCK_INSNS_MAX];
	bool flags_live[BLOCK_INSNS_MAX]; /* before the instruction */
	struct insn_place place[BLOCK_INSNS_MAX];
	unsigned count, now; /* instructions; the one being generated */

	bool crossing_next; /* what follows the last instruction leaves the page in its middle */
	bool plain;         /* no groups */
	bool disturbed;     /* an instruction went to step() although there are groups */
	s8 group_of[BLOCK_INSNS_MAX]; /* index into group, or -1 */
	s32 offset[BLOCK_INSNS_MAX];  /* members: from base as it was before the group's first */
	struct group group[BLOCK_INSNS_MAX / 2];
	unsigned group_count;

	struct cold_exit cold[GEN_COLD_MAX];
	unsigned cold_count;
};

/* rip after the instruction being generated. */
static inline u64 gen_next_rip(const struct gen *g)
{
	u64 rip = g->t.rip + g->place[g->now].guest + g->insn[g->now].len;

	return g->long_mode ? rip : (u32)rip;
}

/* Offsets in struct cpu: of a field, and of a segment register's parts. */
#define FIELD(f)       ((u32)offsetof(struct cpu, f))
#define SELECTOR(seg_) (FIELD(seg[0].selector) + (u32)sizeof(struct segment) * (seg_))
#define BASE(seg_)     (FIELD(seg[0].base) + (u32)sizeof(struct segment) * (seg_))

/* rip of the first byte of the page, in flat code. */
static inline u64 gen_page_rip(const struct gen *g)
{
	return g->t.rip - (g->t.gpa & ~PAGE_MASK);
}

static inline unsigned gen_cpl(const struct gen *g)
{
	return (g->t.key & BK_CPL_MASK) >> BK_CPL_SHIFT;
}

/* Real or virtual-8086 mode. */
static inline bool gen_real(const struct gen *g)
{
	return g->t.key & (BK_REAL | BK_V86);
}

/* May segment registers be loaded by writing their selectors and bases? See BK_WIDE. */
static inline bool gen_real_segments(const struct gen *g)
{
	return gen_real(g) && (g->t.key & BK_WIDE);
}

/*
 * ---- generators: code for one instruction; false: not possible here, and what was emitted counts for nothing ----
 *
 * gen_stack.c; gen_branch.c: near branches; gen_real.c: segment registers and far transfers of real mode; gen_string.c;
 * gen_system.c; gen_sysreg.c; gen_syscall.c; gen_bits.c; gen_legacy.c: what 64-bit mode dropped, or is rare there; translate.c: what the host does.
 */
#define INSN_OP(op, handler, generator, needs, class, intercept)                                   \
	bool gen_##generator(struct gen *g, const struct insn *in);
#include "x86/insn_ops.def"
#undef INSN_OP

/* ---- gen_seg.c: addresses outside 64-bit mode ---- */

/* An offset in a segment: in r10, or known. */
struct gen_offset {
	u8 seg;
	u8 width; /* 2, 4, 8: how far it can reach */
	bool known;
	u64 value;
};

/* r10 = linear address of size bytes at the offset in r10, checked against the segment. False: not possible here. */
bool gen_linear(struct gen *g, const struct gen_offset *at, unsigned kind, unsigned size);
/* r9 is a target: the instruction goes to step() if it lies beyond the limit of cs. Changes no flags. */
void gen_code_limit(struct gen *g);
/* jecxz or jrcxz (wide) over a jump to step(), which gets rcx back from FRAME_RCX. */
void gen_unless_zero(struct gen *g, bool wide);
/* rcx = rcx - reg - more, a difference of 32-bit numbers; to step() if it is negative. reg is lost, no flag changes. */
void gen_unless_below(struct gen *g, unsigned reg, s32 more);

/* ---- gen_mem.c ---- */

/* r10 = linear address of the memory operand, an access of that kind and size. False: not possible here. */
bool gen_address(struct gen *g, const struct insn *in, unsigned kind, unsigned size);
/* r10 = r10 and its lowest 16 bits alone */
void gen_cut16(struct gen *g, unsigned reg);
/*
 * Check the memory operand for size bytes: from here on it is at [r9 + r10 + *disp]. False: not possible here.
 */
bool gen_operand(struct gen *g, const struct insn *in, unsigned kind, unsigned size, s32 *disp);
/* The same for [stack pointer + offset]; r10 may be used for other things only after a fold. */
void gen_stack_operand(struct gen *g, s32 offset, unsigned kind, unsigned size, s32 *disp);
/* r10 holds a linear address: from here on [r9 + r10] is its host address for size bytes. */
void gen_check(struct gen *g, unsigned kind, unsigned size);

/* ---- group.c ---- */

void find_groups(struct gen *g);

/* Jump to a cold exit of the current instruction; jump_disp is the displacement of a jump already emitted. */
void gen_cold(struct gen *g, u8 *jump_disp, enum record_kind kind, bool restore_rcx);
/* The whole instruction by step(). */
void gen_step(struct gen *g);
/* reg = an instruction pointer, or an address that is relative to one; not wide: its lowest 32 bits */
void gen_rip(struct gen *g, unsigned reg, u64 rip, bool wide);
/* lea: destination register = address. */
bool gen_lea(struct gen *g, const struct insn *in);

/* ---- gen_stack.c ---- */

/* Push a constant: stores and moves the stack pointer. */
void gen_push_const(struct gen *g, u64 value, unsigned size);
/* r10 = selector */
void gen_load_selector(struct gen *g, unsigned seg);
/* The rip after the instruction being generated. */
void gen_push_next_rip(struct gen *g, unsigned size);
/* Push size bytes of r9. */
void gen_push_r9(struct gen *g, unsigned size);
/* Add to the stack pointer. */
void gen_move_sp(struct gen *g, s32 by);
/* Can the stack be used with this operand size? */
bool gen_stack_fits(const struct gen *g, unsigned size);
/* Host register reg from and to size bytes at [r9 + r10 + disp]. */
void gen_load(struct gen *g, unsigned reg, s32 disp, unsigned size);
void gen_store(struct gen *g, unsigned reg, s32 disp, unsigned size);
/* r9 = r9 + r10 + disp */
void gen_fold(struct gen *g, s32 disp);
/* [r9 + disp] = r10 */
void gen_store_r10(struct gen *g, s32 disp, unsigned size);

/* ---- gen_system.c ---- */

/* mov dword [field], imm32 */
void gen_set32(struct gen *g, u32 field, u32 value);
/* r9 = RFLAGS as PUSHF stores them; r10 is lost */
void gen_flags_image(struct gen *g);
/*
 * What POPF and IRET of that size do at CPL 0 with the flags in r9: to step() unless those in memory stay as they are,
 * or if an interrupt waits for the new IF. Then, when nothing can fail any more: IF and the host's flags. r10 is lost.
 */
void gen_new_flags(struct gen *g, unsigned size);
void gen_put_flags(struct gen *g);
/* To step() if the byte [field] is not 0; flags are lost. */
void gen_unless_byte(struct gen *g, u32 field);

/* ---- gen_legacy.c ---- */

/* mov between memory and ah, ch, dh or bh */
bool gen_is_high_mov(const struct insn *in);
bool gen_high_mov(struct gen *g, const struct insn *in);

/* ---- gen_sysreg.c ---- */

/*
 * To step() unless bits 63 to 47 of r9 are the same (SDM 1:3.3.7.1). With CR4.LA57 more would do, which step() knows. No
 * flag changes.
 */
void gen_canonical(struct gen *g);

/* ---- gen_branch.c ---- */

/* Continue at a constant address: a link within the page, else a table look-up. */
void gen_goto(struct gen *g, u64 target);
/* The same by the table in any case. */
void gen_goto_far(struct gen *g, u64 target);
/* r9 holds the target, an instruction pointer without anything above it. */
void gen_indirect(struct gen *g);
/* r9 holds the target with the tag of its code segment. */
void gen_indirect_tagged(struct gen *g);

/* Host register that holds guest register reg: itself, r11 for rsp, or temp loaded from memory. */
unsigned gen_source(struct gen *g, unsigned reg, unsigned temp);

/* Does the instruction before this one hold interrupts off? None does at the beginning of a block. */
static inline bool gen_shadowed(const struct gen *g, unsigned i)
{
	return i && insn_shadow(&g->insn[i - 1]);
}

/* A shadow covers the next instruction: none at the end of a block, where interrupts are looked for. */
static inline bool gen_shadow_fits(const struct gen *g, const struct insn *in)
{
	return !insn_shadow(in) || g->now + 1 < g->count;
}

#endif
