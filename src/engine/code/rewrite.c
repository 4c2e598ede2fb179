/* SPDX-License-Identifier: MIT */
/*
 * Re-encoding one instruction. See rewrite.h.
 *
 * Guest rsp is host r11. Guest r9-r11 live in struct cpu: an instruction that names one works on a
 * temporary, loaded before and stored after. Temporaries are r10 and r9 as far as the memory operand
 * leaves them free, then a borrowed low register whose value waits in SLOT_BORROW. Byte registers
 * ah-bh forbid a REX prefix; then every other operand must be in a low register, so it is borrowed.
 */
#include "engine/code/rewrite.h"

#include "engine/core/layout.h"
#include "x86/regs.h"

struct plan {
	const struct insn *in;
	u8 host[GPR_COUNT]; /* host register of each guest register */
	u8 temp_guest[3], temp_host[3];
	unsigned temps;
	u16 free_hosts; /* temporaries still free */
	u16 used;       /* guest registers named or implied */
	u8 borrowed;
	u8 base, index; /* of the memory operand */
	s32 disp;
	bool no_rex;
};

static bool is_gpr(u8 kind)
{
	return kind == RK_GPR || kind == RK_GPR8;
}

/* Is this byte-register number one of ah, ch, dh, bh? */
static bool is_high_byte(const struct insn *in, u8 kind, unsigned reg)
{
	return kind == RK_GPR8 && in->enc == ENC_LEGACY && !(in->pfx & PFX_REX) && reg >= 4 &&
	       reg < 8;
}

static bool reg_named(const struct insn *in)
{
	return is_gpr(in->desc->reg);
}
static bool rm_named(const struct insn *in)
{
	return in->has_modrm && !in->is_mem && is_gpr(in->desc->rm);
}
static bool vvvv_named(const struct insn *in)
{
	return is_gpr(in->desc->vvvv);
}

static u8 rm_kind_size8(const struct insn *in, u8 kind, unsigned reg)
{
	return is_high_byte(in, kind, reg) ? reg - 4 : reg;
}

static void note_used(struct plan *p)
{
	const struct insn *in = p->in;

	p->used = in->desc->impl_regs;
	if (reg_named(in))
		p->used |= BIT(rm_kind_size8(in, in->desc->reg, in->reg));
	if (rm_named(in))
		p->used |= BIT(rm_kind_size8(in, in->desc->rm, in->rm));
	if (vvvv_named(in))
		p->used |= BIT(in->vvvv);
}

/* A low register that the instruction does not use; at most one is ever needed at a time. */
static int borrow(struct plan *p, struct emit *e)
{
	static const u8 order[] = {RBX, RSI, RDI, RBP, RDX, RAX, RCX};

	if (p->borrowed != REG_NONE)
		return -1;
	for (unsigned i = 0; i < sizeof(order); i++) {
		if (p->used & BIT(order[i]))
			continue;
		p->borrowed = order[i];
		emit_store(e, order[i], CPU_SCRATCH(SLOT_BORROW));
		return order[i];
	}
	return -1;
}

static int take_temp(struct plan *p, struct emit *e)
{
	if (!p->no_rex && p->free_hosts) {
		int r = p->free_hosts & BIT(H_R10) ? H_R10 : H_R9;

		p->free_hosts &= ~BIT(r);
		return r;
	}
	return borrow(p, e);
}

/* Give guest register g a host register for this instruction. */
static bool place(struct plan *p, struct emit *e, unsigned g)
{
	int t;

	if (g == RSP && !p->no_rex) {
		p->host[g] = H_R11;
		return true;
	}
	if (!reg_displaced(g) && g != RSP)
		return true;
	for (unsigned i = 0; i < p->temps; i++)
		if (p->temp_guest[i] == g)
			return true;
	t = take_temp(p, e);
	if (t < 0)
		return false;
	p->host[g] = t;
	p->temp_guest[p->temps] = g;
	p->temp_host[p->temps++] = t;
	if (g == RSP)
		emit_mov_rr(e, t, H_R11);
	else
		emit_load(e, t, FRAME_GPR(g));
	return true;
}

static unsigned displaced_count(const struct plan *p)
{
	return __builtin_popcount(p->used & (BIT(R9) | BIT(R10) | BIT(R11)));
}

/* Decide where the memory operand's address lives, leaving r10 free if a temporary is needed. */
static bool place_mem(struct plan *p, struct emit *e, enum rewrite_mem mem)
{
	bool low = p->no_rex;

	p->base = p->index = REG_NONE;
	p->free_hosts = BIT(H_R9) | BIT(H_R10);
	if (mem == RW_NO_MEM)
		return true;
	p->free_hosts = mem == RW_MEM_R9 ? BIT(H_R10) : 0;
	p->base = H_R9;
	p->index = mem == RW_MEM_R9 ? REG_NONE : H_R10;
	if (!low && (mem == RW_MEM_R9 || !displaced_count(p)))
		return true;
	if (!low) {
		emit_lea(e, true, H_R9, H_R9, H_R10, 1, 0);
		p->index = REG_NONE;
		p->free_hosts = BIT(H_R10);
		return true;
	}
	int t = borrow(p, e);
	if (t < 0)
		return false;
	emit_lea(e, true, t, H_R9, p->index, 1, 0);
	p->base = t;
	p->index = REG_NONE;
	return true;
}

static u8 host_field(const struct plan *p, u8 kind, unsigned reg)
{
	if (!is_gpr(kind) || is_high_byte(p->in, kind, reg))
		return reg;
	return p->host[reg];
}

static struct emit_mem operand_of(const struct plan *p)
{
	return (struct emit_mem){
		p->base, p->index, 1, p->disp, .whole_disp = p->in->enc == ENC_EVEX};
}

static u8 rxb_of(const struct plan *p, unsigned reg, unsigned rm)
{
	if (!p->in->has_modrm)
		return 0;
	return p->in->is_mem ? emit_rxb(reg, p->index, p->base) : emit_rxb(reg, REG_NONE, rm);
}

static void emit_operands(struct emit *e, const struct plan *p, unsigned reg, unsigned rm)
{
	const struct insn *in = p->in;

	if (!in->has_modrm)
		return;
	if (in->is_mem)
		emit_modrm_mem(e, reg, operand_of(p));
	else
		emit_modrm_reg(e, reg, rm);
}

/* vblendvps, vblendvpd, vpblendvb: a register in bits 7:4, of which bit 7 counts in 64-bit mode only (SDM 2). */
static bool imm_names_register(const struct insn *in)
{
	return in->enc == ENC_VEX && in->map == 3 && in->opcode >= 0x4a && in->opcode <= 0x4c;
}

static void emit_imm(struct emit *e, const struct insn *in)
{
	u8 mask = in->mode != 8 && imm_names_register(in) ? 0x7f : 0xff;

	emit_bytes(e, in->bytes + in->imm_off, in->imm_len, mask);
}

/* 66 selects the operand size of integer instructions, and the opcode of vector ones. */
static bool wants_66(const struct insn *in)
{
	if (in->mode == 2 && !(in->desc->attr & (IA_SSE | IA_MMX | IA_X87 | IA_BYTE | IA_OP48)))
		return in->op_size == 2;
	return in->pfx & PFX_66;
}

/* 82 is the only opcode that the host lacks in 64-bit mode and that has a twin there. */
static u8 host_opcode(const struct insn *in)
{
	return in->map == 0 && in->opcode == 0x82 ? 0x80 : in->opcode;
}

static u32 legacy_prefixes(const struct insn *in)
{
	return EO_MAP(in->map) | (in->rex & 8 ? EO_W : 0) | (wants_66(in) ? EO_66 : 0) |
	       (in->pfx & PFX_LOCK ? EO_LOCK : 0) | (in->pfx & PFX_REPNE ? EO_REPNE : 0) |
	       (in->pfx & PFX_REP ? EO_REP : 0) | (in->pfx & PFX_REX ? EO_REX : 0);
}

static void emit_legacy(
	struct emit *e, const struct plan *p, unsigned reg, unsigned rm, bool reg_in_opcode)
{
	u32 prefixes = legacy_prefixes(p->in);

	if (reg_in_opcode)
		emit_opcode(e, prefixes | (p->in->opcode & ~7u) | (reg & 7),
			emit_rxb(0, REG_NONE, reg));
	else
		emit_opcode(e, prefixes | host_opcode(p->in), rxb_of(p, reg, rm));
	emit_operands(e, p, reg, rm);
	emit_imm(e, p->in);
}

static void emit_vex_insn(struct emit *e, const struct plan *p, unsigned reg, unsigned rm)
{
	const struct insn *in = p->in;
	unsigned vvvv = host_field(p, in->desc->vvvv, in->vvvv);
	u8 pp = in->bytes[in->opcode_off - 1] & 3; /* last byte of either VEX prefix */
	u32 op = in->opcode | EO_MAP(in->map) | EO_PP(pp) | (in->rex & 8 ? EO_W : 0) |
		 (in->vl == 32 ? EO_L : 0);

	if (in->desc->vvvv == RK_NONE)
		vvvv = 0;
	emit_vex(e, op, emit_rxb(reg, in->is_mem ? p->index : REG_NONE, in->is_mem ? p->base : rm),
		vvvv);
	emit_operands(e, p, reg, rm);
	emit_imm(e, in);
}

/* Opmask, zeroing, broadcast, rounding and vector length stay as they are. */
static void emit_evex_insn(struct emit *e, const struct plan *p, unsigned reg, unsigned rm)
{
	const struct insn *in = p->in;
	const u8 *prefix = in->bytes + in->opcode_off - 4;
	u32 op = in->opcode | EO_MAP(in->map) | EO_PP(prefix[2] & 3) | (in->rex & 8 ? EO_W : 0);
	unsigned base = in->is_mem ? p->base : rm;
	struct evex x = {.r = reg & 8,
		.r2 = reg & 16,
		.x = in->is_mem ? p->index != REG_NONE && (p->index & 8) : (rm & 16) != 0,
		.b = base & 8,
		.vvvv = in->desc->vvvv == RK_NONE ? 0 : in->vvvv,
		.p2 = prefix[3]};

	emit_evex(e, op, x);
	emit_operands(e, p, reg, rm);
	emit_imm(e, in);
}

static void emit_restore(struct emit *e, const struct plan *p)
{
	for (unsigned i = 0; i < p->temps; i++) {
		if (!insn_may_write(p->in, p->temp_guest[i]))
			continue;
		if (p->temp_guest[i] == RSP)
			emit_mov_rr(e, H_R11, p->temp_host[i]);
		else
			emit_store(e, p->temp_host[i], FRAME_GPR(p->temp_guest[i]));
	}
	if (p->borrowed != REG_NONE)
		emit_load(e, p->borrowed, CPU_SCRATCH(SLOT_BORROW));
}

static bool place_all(struct plan *p, struct emit *e, enum rewrite_mem mem)
{
	const struct insn *in = p->in;

	if (!place_mem(p, e, mem))
		return false;
	if (reg_named(in) && !is_high_byte(in, in->desc->reg, in->reg) && !place(p, e, in->reg))
		return false;
	if (rm_named(in) && !is_high_byte(in, in->desc->rm, in->rm) && !place(p, e, in->rm))
		return false;
	return !vvvv_named(in) || place(p, e, in->vvvv);
}

struct rewrite_result rewrite_insn(
	struct emit *e, const struct insn *in, enum rewrite_mem mem, s32 disp)
{
	struct emit start = *e;
	struct plan p = {.in = in, .borrowed = REG_NONE, .disp = disp};
	bool in_opcode = !in->has_modrm && in->desc->reg != RK_NONE;
	unsigned reg, rm;

	for (unsigned i = 0; i < GPR_COUNT; i++)
		p.host[i] = i;
	p.no_rex = is_high_byte(in, in->desc->reg, in->reg) ||
		   (in->has_modrm && !in->is_mem && is_high_byte(in, in->desc->rm, in->rm));
	note_used(&p);
	if (!place_all(&p, e, mem)) {
		*e = start;
		return (struct rewrite_result){.borrowed = REG_NONE, .done = false};
	}
	reg = in->has_modrm && in->desc->reg == RK_NONE ? (in->modrm >> 3) & 7
							: host_field(&p, in->desc->reg, in->reg);
	rm = in->has_modrm && !in->is_mem && !is_gpr(in->desc->rm) && in->desc->rm == RK_NONE
		     ? in->modrm & 7
		     : host_field(&p, in->desc->rm, in->rm);
	if (in->enc == ENC_EVEX)
		emit_evex_insn(e, &p, reg, rm);
	else if (in->enc == ENC_VEX)
		emit_vex_insn(e, &p, reg, rm);
	else
		emit_legacy(e, &p, reg, rm, in_opcode);
	emit_restore(e, &p);
	return (struct rewrite_result){.borrowed = p.borrowed, .done = true};
}
