/* SPDX-License-Identifier: MIT */
/*
 * Finding groups: accesses that follow each other through one base register with constant offsets, such as the
 * pushes of a prologue, the fields of a structure, the slots of a stack frame. One check of the whole range
 * serves all of them.
 *
 * Between the first and the last nothing may disturb r9 and r10, which hold the checked address, and the base
 * register may only move by known constants (push, pop, add and sub of the stack pointer). If the range
 * leaves the page, or one part of it may not be accessed, the block is run without groups (run.c), so a
 * group never raises a fault that its accesses would not raise, or too early.
 */
#include <string.h>

#include "engine/jit/gen.h"
#include "engine/code/rewrite.h"

#define SPAN_MAX   512
#define OFFSET_MAX 4096

struct finder {
	struct gen *g;
	struct group open;
	bool is_open;
	bool branched;              /* since the first member */
	u8 member[BLOCK_INSNS_MAX]; /* of the open group */
	s32 moved;                  /* of the base register since the first member */
};

/* One access as a group sees it. */
struct access {
	u8 base;
	u8 kind;
	u8 size;
	s32 disp;
};

static unsigned width(const struct gen *g)
{
	return g->long_mode ? 8 : 4;
}

static bool names_displaced(const struct insn *in)
{
	const struct insn_desc *d = in->desc;

	if ((d->reg == RK_GPR || d->reg == RK_GPR8) && reg_displaced(in->reg))
		return true;
	if (in->has_modrm && !in->is_mem && (d->rm == RK_GPR || d->rm == RK_GPR8) &&
		reg_displaced(in->rm))
		return true;
	return (d->vvvv == RK_GPR || d->vvvv == RK_GPR8) && reg_displaced(in->vvvv);
}

/* Byte registers ah-bh with a memory operand need a borrowed register, which goes through step(). */
static bool needs_borrow(const struct insn *in)
{
	return in->desc->reg == RK_GPR8 && !(in->pfx & PFX_REX) && in->enc == ENC_LEGACY &&
	       in->reg >= 4 && in->reg < 8;
}

static bool native_access(const struct gen *g, const struct insn *in, struct access *a)
{
	if (!in->is_mem || in->desc->mem == MEM_ADDR || in->desc->mem == MEM_NONE || !in->mem_size)
		return false;
	if (in->base == REG_NONE || in->base == BASE_RIP || in->index != REG_NONE ||
		in->addr_size != width(g))
		return false;
	if (in->seg == SEG_FS || in->seg == SEG_GS || in->seg == SEG_CS || in->mem_size > 64 ||
		needs_borrow(in))
		return false;
	*a = (struct access){.base = in->base,
		.kind = in->desc->mem == MEM_READ ? TLB_READ : TLB_WRITE,
		.size = in->mem_size,
		.disp = (s32)in->disp};
	return true;
}

static bool stack_access(const struct gen *g, const struct insn *in, struct access *a)
{
	bool push = insn_class(in) & OC_PUSHES;

	if (!(insn_class(in) & (OC_PUSHES | OC_POPS)))
		return false;
	if (in->op_size != width(g) || !(g->long_mode || (g->t.key & BK_STACK32)))
		return false;
	*a = (struct access){.base = RSP,
		.kind = push ? TLB_WRITE : TLB_READ,
		.size = (u8)width(g),
		.disp = push ? -(s32)width(g) : 0};
	return true;
}

static bool access_of(const struct gen *g, const struct insn *in, struct access *a)
{
	if (in->desc->op == OP_NATIVE)
		return native_access(g, in, a);
	return stack_access(g, in, a);
}

/* Constant by which the instruction moves the stack pointer and does nothing else to it; false: not so simple. */
static bool moves_stack(const struct gen *g, const struct insn *in, s32 *by)
{
	if (insn_class(in) & (OC_PUSHES | OC_POPS)) {
		*by = insn_class(in) & OC_PUSHES ? -(s32)width(g) : (s32)width(g);
		return in->desc->op != OP_POP_REG || in->reg != RSP;
	}
	if (in->map || (in->opcode != 0x83 && in->opcode != 0x81) || in->is_mem || in->rm != RSP ||
		in->op_size != width(g))
		return false;
	if ((in->modrm >> 3 & 7) == 0)
		*by = (s32)in->imm;
	else if ((in->modrm >> 3 & 7) == 5)
		*by = -(s32)in->imm;
	else
		return false;
	return true;
}

/* Does generated code for it leave r9 and r10 alone? Members are judged elsewhere. */
static bool keeps_scratch(const struct insn *in)
{
	if (in->desc->op == OP_NOP || in->desc->op == OP_JCC)
		return true;
	if (in->desc->op != OP_NATIVE)
		return false;
	if (in->is_mem && in->desc->mem == MEM_ADDR)
		return in->op_size != 2 && in->addr_size != 2 && !reg_displaced(in->reg) &&
		       !(in->base < GPR_COUNT && reg_displaced(in->base)) &&
		       !(in->index < GPR_COUNT && reg_displaced(in->index));
	return !in->is_mem && !names_displaced(in);
}

static void close_group(struct finder *f)
{
	struct gen *g = f->g;

	if (f->is_open && f->open.members > 1) {
		for (unsigned i = 0; i < f->open.members; i++)
			g->group_of[f->member[i]] = (s8)g->group_count;
		g->group[g->group_count++] = f->open;
	}
	f->is_open = false;
}

static bool joins(const struct finder *f, const struct access *a, s32 off)
{
	s32 min = MIN(f->open.min, off), max = MAX(f->open.max, off + (s32)a->size);

	/* What may not be reached shall not ask for more. */
	if (f->branched && (a->kind & ~f->open.kind))
		return false;
	return f->is_open && f->open.base == a->base && max - min <= SPAN_MAX &&
	       min > -OFFSET_MAX && max < OFFSET_MAX;
}

static void add_member(struct finder *f, unsigned i, const struct access *a)
{
	s32 off = f->moved + a->disp;

	if (!joins(f, a, off)) {
		close_group(f);
		f->moved = 0;
		off = a->disp;
		/* From a check that fails the vcpu may leave in front of the first. */
		if (off <= -OFFSET_MAX || off >= OFFSET_MAX || gen_shadowed(f->g, i))
			return;
		f->open = (struct group){.first = (u8)i,
			.base = a->base,
			.kind = a->kind,
			.min = off,
			.max = off + a->size};
		f->is_open = true;
		f->branched = false;
	}
	f->open.min = MIN(f->open.min, off);
	f->open.max = MAX(f->open.max, off + (s32)a->size);
	f->open.kind |= a->kind; /* TLB_WRITE covers reads as well */
	f->member[f->open.members++] = (u8)i;
	f->g->offset[i] = off;
}

static void visit(struct finder *f, unsigned i)
{
	const struct insn *in = &f->g->insn[i];
	struct access a;
	s32 by;

	if (access_of(f->g, in, &a)) {
		add_member(f, i, &a);
		if (names_displaced(in))
			close_group(f);
	} else if (!keeps_scratch(in)) {
		close_group(f);
	}
	if (!f->is_open)
		return;
	f->branched |= in->desc->op == OP_JCC;
	if (f->open.base == RSP && moves_stack(f->g, in, &by))
		f->moved += by;
	else if (insn_may_write(in, f->open.base) || f->open.members == BLOCK_INSNS_MAX)
		close_group(f);
}

void find_groups(struct gen *g)
{
	struct finder f = {.g = g};

	g->group_count = 0;
	memset(g->group_of, -1, sizeof(g->group_of));
	if (g->plain || !g->flat || g->width == 2)
		return;
	for (unsigned i = 0; i < g->count; i++)
		visit(&f, i);
	close_group(&f);
}
