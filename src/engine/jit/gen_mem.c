/* SPDX-License-Identifier: MIT */
/* Memory operands: address, software TLB check, and the cold exits. See gen.h and cpu.h (struct tlb). */
#include "engine/jit/gen.h"

#include "engine/core/layout.h"
#include "engine/code/rewrite.h"

unsigned gen_source(struct gen *g, unsigned reg, unsigned temp)
{
	if (reg == RSP)
		return H_R11;
	if (!reg_displaced(reg))
		return reg;
	emit_load(&g->e, temp, FRAME_GPR(reg));
	return temp;
}

static u64 rip_relative(const struct gen *g, const struct insn *in)
{
	u64 a = gen_next_rip(g) + in->disp;

	return in->addr_size == 8 ? a : (u32)a;
}

void gen_rip(struct gen *g, unsigned reg, u64 rip, bool wide)
{
	s64 distance = (s64)(rip - gen_page_rip(g));

	if (!g->t.movable) {
		emit_mov_ri(&g->e, reg, rip);
		return;
	}
	emit_load(&g->e, reg, FRAME_PAGE);
	if (wide &&
		distance !=
			(s32)distance) { /* 2 GiB from the instruction, a bit more from the page */
		emit_lea(&g->e, wide, reg, reg, REG_NONE, 1, (s32)(distance / 2));
		distance -= distance / 2;
	}
	emit_lea(&g->e, wide, reg, reg, REG_NONE, 1, (s32)distance);
}

void gen_cut16(struct gen *g, unsigned reg)
{
	emit_movzx16(&g->e, reg, reg);
}

static u64 cut_offset(const struct insn *in, u64 v)
{
	return in->addr_size == 8 ? v : in->addr_size == 4 ? (u32)v : (u16)v;
}

/* Offset part into dst. */
static void gen_offset(struct gen *g, const struct insn *in, unsigned dst)
{
	bool wide = in->addr_size == 8;
	unsigned base = REG_NONE, index = REG_NONE;

	if (in->base == BASE_RIP) {
		gen_rip(g, dst, rip_relative(g, in), wide);
		return;
	}
	if (in->base != REG_NONE)
		base = gen_source(g, in->base, H_R10);
	if (in->index != REG_NONE)
		index = gen_source(g, in->index, H_R9);
	if (base == REG_NONE && index == REG_NONE) {
		emit_mov_ri(&g->e, dst, cut_offset(in, (u64)in->disp));
		return;
	}
	emit_lea(&g->e, wide, dst, base, index, in->scale, (s32)in->disp);
	if (in->addr_size == 2)
		gen_cut16(g, dst);
}

bool gen_address(struct gen *g, const struct insn *in, unsigned kind, unsigned size)
{
	struct gen_offset at = {.seg = in->seg,
		.width = in->addr_size,
		.known = in->base == REG_NONE && in->index == REG_NONE,
		.value = cut_offset(in, (u64)in->disp)};

	gen_offset(g, in, H_R10);
	return gen_linear(g, &at, kind, size);
}

void gen_cold(struct gen *g, u8 *jump_disp, enum record_kind kind, bool restore_rcx)
{
	struct cold_exit *c = &g->cold[g->cold_count++];

	uv_assert(g->cold_count <= GEN_COLD_MAX);
	*c = (struct cold_exit){.from = jump_disp,
		.kind = kind,
		.detail = kind == REC_STEP && gen_shadowed(g, g->now) ? RECORD_SHADOWED : 0,
		.restore_rcx = restore_rcx,
		.guest = g->place[g->now].guest,
		.target = g->place[g->now].guest + g->insn[g->now].len};
}

void gen_step(struct gen *g)
{
	gen_cold(g, emit_jmp32(&g->e), REC_STEP, false);
	g->cold[g->cold_count - 1].detail |= RECORD_NO_FORM;
}

/* An access that is to be checked. */
struct check {
	u8 address; /* the register that has it: r10, or a guest's */
	u8 kind;
	u16 size;
	enum record_kind miss;
};

static u32 tag_of(const struct gen *g, const struct check *c)
{
	return offsetof(struct cpu, tlb[g->view].page[0].of[c->kind].neg_tag);
}

/* r9 = distance of the page in the TLB, r10 = address + its tag */
static void gen_check_dead_flags(struct gen *g, const struct check *c)
{
	const struct emit_mem tag = at_sum(H_RSP, H_R9, (s32)tag_of(g, c));
	struct emit *e = &g->e;

	emit_rorx(e, true, H_R9, c->address, PAGE_SHIFT - TLB_PAGE_SHIFT);
	emit_alu_ri(e, false, ALU_AND, H_R9, (TLB_SIZE - 1) << TLB_PAGE_SHIFT);
	if (c->address == H_R10) {
		emit_alu_rm(e, true, ALU_ADD, H_R10, tag);
	} else {
		emit_mov_rm(e, 8, H_R10, tag);
		emit_alu_rr(e, true, ALU_ADD, H_R10, c->address);
	}
	emit_alu_ri(e, true, ALU_CMP, H_R10, PAGE_SIZE - c->size);
	gen_cold(g, emit_jcc32(e, CC_A), c->miss, false);
}

/* The same without touching the flags: jrcxz is the only conditional jump that looks elsewhere. */
static void gen_check_live_flags(struct gen *g, const struct check *c)
{
	unsigned tag = c->address == H_R10 ? H_RCX : H_R10;
	struct emit *e = &g->e;

	emit_rorx(e, true, H_R9, c->address, PAGE_SHIFT);
	emit_movzx16(e, H_R9, H_R9);
	emit_rorx(e, true, H_R9, H_R9, 64 - TLB_PAGE_SHIFT);
	emit_store(e, H_RCX, FRAME_RCX);
	emit_mov_rm(e, 8, tag, at_sum(H_RSP, H_R9, (s32)tag_of(g, c)));
	emit_lea(e, true, H_R10, tag, c->address, 1, 0);
	emit_lea(e, true, H_RCX, H_R10, REG_NONE, 1, c->size - 1);
	/* zero if the last byte is in the page */
	emit_pext_rm(e, H_RCX, H_RCX, at_field(CPU_HIGH_MASK));
	gen_cold(g, emit_jmp32_unless_rcxz(e), c->miss, true);
	emit_load(e, H_RCX, FRAME_RCX);
}

static void gen_check_of(struct gen *g, const struct check *c)
{
	u32 hva = offsetof(struct cpu, tlb[g->view].page[0].of[c->kind].hva);

	if (g->flags_live[g->now])
		gen_check_live_flags(g, c);
	else
		gen_check_dead_flags(g, c);
	emit_mov_rm(&g->e, 8, H_R9, at_sum(H_RSP, H_R9, (s32)hva));
}

void gen_check(struct gen *g, unsigned kind, unsigned size)
{
	gen_check_of(g, &(struct check){H_R10, (u8)kind, (u16)size, REC_STEP});
}

/* The register that is the whole address, as it is in 64-bit code: it needs no copy. REG_NONE: there is none. */
static unsigned whole_address(const struct gen *g, const struct insn *in)
{
	if (!g->long_mode || in->addr_size != 8 || in->seg >= SEG_FS || in->disp ||
		in->index != REG_NONE || in->base >= GPR_COUNT || reg_displaced(in->base))
		return REG_NONE;
	return in->base == RSP ? H_R11 : in->base;
}

/* The first of a group checks the whole range. What fails is told to run.c, which fills the TLB or gives the group up. */
static void gen_group_check(struct gen *g, const struct group *gr)
{
	u8 *start = g->e.p;
	struct cold_exit *c;

	emit_lea(&g->e, g->long_mode, H_R10, gen_source(g, gr->base, H_R10), REG_NONE, 1, gr->min);
	gen_check_of(g, &(struct check){H_R10, gr->kind, (u16)(gr->max - gr->min), REC_GROUP});
	c = &g->cold[g->cold_count - 1];
	c->target = (s32)((u32)gr->min << 16 | (u32)(gr->max - gr->min));
	c->detail = gr->base | (gr->kind == TLB_WRITE ? RECORD_WRITES : 0);
	c->retry = start;
}

/* True if the current instruction belongs to a group; its operand is then ready. */
static bool gen_member(struct gen *g, s32 *disp)
{
	int n = g->group_of[g->now];

	if (n < 0)
		return false;
	if (g->group[n].first == g->now)
		gen_group_check(g, &g->group[n]);
	*disp = g->offset[g->now] - g->group[n].min;
	return true;
}

bool gen_operand(struct gen *g, const struct insn *in, unsigned kind, unsigned size, s32 *disp)
{
	unsigned whole = whole_address(g, in);

	if (gen_member(g, disp))
		return true;
	if (whole == REG_NONE && !gen_address(g, in, kind, size))
		return false;
	gen_check_of(g, &(struct check){whole == REG_NONE ? H_R10 : (u8)whole, (u8)kind, (u16)size,
				REC_STEP});
	*disp = 0;
	return true;
}

/* Never refused: code that has a stack can write it, or finds out at run time that it cannot. */
void gen_stack_operand(struct gen *g, s32 offset, unsigned kind, unsigned size, s32 *disp)
{
	struct gen_offset at = {.seg = SEG_SS, .width = g->stack_width};

	if (gen_member(g, disp))
		return;
	*disp = 0;
	if (!offset && g->long_mode) {
		gen_check_of(g, &(struct check){H_R11, (u8)kind, (u16)size, REC_STEP});
		return;
	}
	emit_lea(&g->e, g->long_mode, H_R10, H_R11, REG_NONE, 1, offset);
	if (at.width == 2)
		gen_cut16(g, H_R10);
	(void)gen_linear(g, &at, kind, size);
	gen_check(g, kind, size);
}

/* dst, guest register reg, gets size bytes of r10; the rest of it as that size has it */
static void gen_put_r10(struct gen *g, unsigned reg, unsigned size)
{
	unsigned dst = reg == RSP ? H_R11 : reg;

	if (size == 2)
		emit_mov_rr16(&g->e, dst, H_R10);
	else
		emit_mov_rr32(&g->e, dst, H_R10);
}

bool gen_lea(struct gen *g, const struct insn *in)
{
	unsigned dst = in->reg == RSP ? H_R11 : in->reg;
	bool displaced = reg_displaced(in->reg);

	if (in->op_size == 2 || in->addr_size == 2) {
		if (g->long_mode)
			return false;
		gen_offset(g, in, H_R10);
		gen_put_r10(g, in->reg, in->op_size);
		return true;
	}
	gen_offset(g, in, displaced ? H_R10 : dst);
	if (displaced)
		dst = H_R10;
	if (in->op_size == 4 && in->addr_size == 8)
		emit_mov_rr32(&g->e, dst, dst);
	if (displaced)
		emit_store(&g->e, dst, FRAME_GPR(in->reg));
	return true;
}
