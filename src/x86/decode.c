/* SPDX-License-Identifier: MIT */
/*
 * Instruction decoder: prefixes, opcode map, table row, ModRM, SIB, displacement, immediate.
 *
 * The input is first copied, zero-padded, to insn.bytes. Parsing then needs no check per byte:
 * bytes that were not given read as zero, and whether they were needed is found out when the
 * position is compared with n at the two points where it is last known to lie inside bytes[].
 * Source: Intel SDM volume 2, chapter 2 and appendix A.
 */
#include "x86/insn_table.h"

#define REX_W 8
#define REX_R 4
#define REX_X 2
#define REX_B 1

/* Parsing state that is of no interest later. */
struct parse {
	struct insn *in;
	unsigned pos;    /* next byte */
	unsigned n;      /* bytes given */
	u8 seg_override; /* or REG_NONE */
	u8 mandatory;    /* 0 none, 1 66, 2 F3, 3 F2: index for SEL_PFX */
	u8 vvvv;         /* as encoded: 15 when unused */
};

static enum insn_result run_out(const struct parse *p)
{
	return p->n < INSN_MAX ? INSN_SHORT : INSN_TOO_LONG;
}

static enum insn_result invalid(struct parse *p)
{
	if (p->pos > p->n)
		return run_out(p);
	p->in->len = p->pos;
	return INSN_INVALID;
}

static inline u64 load64(const u8 *p)
{
	u64 v;

	__builtin_memcpy(&v, p, 8);
	return v;
}

static inline u32 load32(const u8 *p)
{
	u32 v;

	__builtin_memcpy(&v, p, 4);
	return v;
}

static inline u16 load16(const u8 *p)
{
	u16 v;

	__builtin_memcpy(&v, p, 2);
	return v;
}

static inline void copy_bytes(struct insn *out, const u8 *code, unsigned n)
{
	u64 lo = 0, hi = 0;

	if (likely(n == INSN_MAX)) {
		lo = load64(code);
		hi = load64(code + 7) >> 8;
	} else {
		for (unsigned i = 0; i < n; i++) {
			u64 *half = i < 8 ? &lo : &hi;

			*half |= (u64)code[i] << (i % 8 * 8);
		}
	}
	__builtin_memcpy(out->bytes, &lo, 8);
	__builtin_memcpy(out->bytes + 8, &hi, 8);
}

/* ---- prefixes ---- */

enum prefix {
	P_NONE,
	P_SEG_NULL /* cs ds es ss: no effect in 64-bit mode */,
	P_SEG,
	P_66,
	P_67,
	P_LOCK,
	P_REPNE,
	P_REP,
	P_REX
};

/* REX bytes are inc and dec outside 64-bit mode. */
static const u8 prefix_kind[256] = {
	[0x26] = P_SEG_NULL,
	[0x2e] = P_SEG_NULL,
	[0x36] = P_SEG_NULL,
	[0x3e] = P_SEG_NULL,
	[0x64] = P_SEG,
	[0x65] = P_SEG,
	[0x66] = P_66,
	[0x67] = P_67,
	[0xf0] = P_LOCK,
	[0xf2] = P_REPNE,
	[0xf3] = P_REP,
	[0x40 ... 0x4f] = P_REX,
};

/* Outside 64-bit mode every segment prefix counts and the last one wins; in it only fs and gs do. */
static void segment_prefix(struct parse *p, u8 byte)
{
	p->in->pfx |= PFX_SEG;
	if (byte >= 0x64)
		p->seg_override = SEG_FS + (byte - 0x64);
	else if (p->in->mode != 8)
		p->seg_override = (byte >> 3) & 3;
}

/* A prefix other than REX; a REX before it loses its effect (SDM 2:2.2.1). */
static void legacy_prefix(struct parse *p, enum prefix kind, u8 byte)
{
	struct insn *in = p->in;

	in->rex = 0;
	in->pfx &= ~PFX_REX;
	switch (kind) {
	case P_SEG_NULL:
	case P_SEG: segment_prefix(p, byte); break;
	case P_66: in->pfx |= PFX_66; break;
	case P_67: in->pfx |= PFX_67; break;
	case P_LOCK: in->pfx |= PFX_LOCK; break;
	case P_REPNE: in->pfx = (in->pfx & ~PFX_REP) | PFX_REPNE; break;
	default: in->pfx = (in->pfx & ~PFX_REPNE) | PFX_REP; break;
	}
}

/* Returns the first byte after the prefixes. */
static inline u8 parse_prefixes(struct parse *p)
{
	struct insn *in = p->in;

	while (p->pos < INSN_MAX) {
		u8 byte = in->bytes[p->pos];
		u8 kind = prefix_kind[byte];

		if (likely(kind == P_NONE))
			return byte;
		if (likely(kind == P_REX)) {
			if (in->mode != 8)
				return byte;
			in->rex = byte & 15;
			in->pfx |= PFX_REX;
		} else {
			legacy_prefix(p, kind, byte);
		}
		p->pos++;
	}
	return 0;
}

/* ---- opcode ---- */

static inline u8 mandatory_prefix(unsigned pfx)
{
	if (likely(!(pfx & (PFX_66 | PFX_REP | PFX_REPNE))))
		return 0;
	return pfx & PFX_REP ? 2 : pfx & PFX_REPNE ? 3 : 1;
}

/* Take the last opcode byte and return its row. */
static inline const struct insn_desc *take_opcode(
	struct parse *p, unsigned map, const struct insn_desc *table)
{
	struct insn *in = p->in;

	in->map = map;
	in->opcode_off = p->pos;
	in->opcode = in->bytes[p->pos++];
	return &table[in->opcode];
}

/*
 * VEX, two or three bytes (SDM 2:2.3.5). Outside 64-bit mode only registers 0-7 exist: R and X are
 * ones or it would be les/lds, B and the top bit of a used vvvv have no effect.
 */
static const struct insn_desc *parse_vex(struct parse *p)
{
	static const struct insn_desc *const tables[4] = {
		NULL, insn_vex_0f, insn_vex_0f38, insn_vex_0f3a};
	struct insn *in = p->in;
	const u8 *b = in->bytes + p->pos;
	unsigned map = 1;
	u8 last = b[1];

	if (p->pos + 3 > INSN_MAX) {
		p->pos = INSN_MAX + 1;
		return NULL;
	}
	if (in->pfx & (PFX_66 | PFX_REP | PFX_REPNE | PFX_LOCK | PFX_REX))
		return NULL;
	in->enc = ENC_VEX;
	in->rex = (b[1] & 0x80 ? 0 : REX_R);
	p->pos += 2;
	if (b[0] == 0xc4) {
		map = b[1] & 31;
		last = b[2];
		in->rex |= (b[1] & 0x40 ? 0 : REX_X) | (b[1] & 0x20 ? 0 : REX_B) |
			   (last & 0x80 ? REX_W : 0);
		p->pos++;
	}
	in->vl = last & 4 ? 32 : 16;
	p->vvvv = (~last >> 3) & 15;
	if (in->mode != 8)
		in->rex &= REX_W;
	p->mandatory = (const u8[]){0, 1, 2, 3}[last & 3];
	if (map < 1 || map > 3)
		return NULL;
	return take_opcode(p, map, tables[map]);
}

static const struct insn_desc *parse_0f(struct parse *p)
{
	u8 byte = p->in->bytes[++p->pos];

	p->mandatory = mandatory_prefix(p->in->pfx);
	if (byte != 0x38 && byte != 0x3a)
		return take_opcode(p, 1, insn_legacy_0f);
	if (++p->pos > INSN_MAX)
		return NULL;
	if (byte == 0x38)
		return take_opcode(p, 2, insn_legacy_0f38);
	return take_opcode(p, 3, insn_legacy_0f3a);
}

/* The table entry for the opcode; NULL if there is none, or not within INSN_MAX bytes. */
static inline const struct insn_desc *parse_opcode(struct parse *p, u8 byte)
{
	struct insn *in = p->in;

	if (unlikely(p->pos >= INSN_MAX))
		return ++p->pos, NULL;
	if (byte == 0x0f)
		return parse_0f(p);
	if (unlikely((byte & 0xfe) == 0xc4) && (in->mode == 8 || in->bytes[p->pos + 1] >= 0xc0))
		return parse_vex(p);
	p->mandatory = mandatory_prefix(in->pfx);
	return take_opcode(p, 0, insn_legacy);
}

/* One step from an inner node towards the row. */
static const struct insn_desc *select_row(
	const struct parse *p, const struct insn_desc *node, u8 modrm)
{
	unsigned reg = (modrm >> 3) & 7;
	bool is_reg = modrm >= 0xc0;

	switch (node->op) {
	case SEL_REG: return &node->sub[reg];
	case SEL_MODREG: return &node->sub[reg + 8 * is_reg];
	case SEL_RM: return &node->sub[modrm & 7];
	case SEL_MOD: return &node->sub[is_reg];
	case SEL_PFX: return &node->sub[p->mandatory];
	case SEL_W: return &node->sub[!!(p->in->rex & REX_W)];
	case SEL_L: return &node->sub[p->in->vl == 32];
	case SEL_B: return &node->sub[p->in->rex & REX_B];
	case SEL_64: return &node->sub[p->in->mode == 8];
	case SEL_REG_PAIR: return &node->sub[2 * reg];
	default: return &node->sub[0];
	}
}

/* ---- ModRM ---- */

static void set_address(struct insn *in, u8 base, u8 index, u8 scale)
{
	in->base = base;
	in->index = index;
	in->scale = scale;
}

/* SDM 2: table 2-1. Returns the length of the displacement. */
static unsigned parse_mem16(struct insn *in)
{
	static const u8 base[8] = {RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX};
	static const u8 index[8] = {RSI, RDI, RSI, RDI, REG_NONE, REG_NONE, REG_NONE, REG_NONE};
	unsigned mod = in->modrm >> 6, rm = in->modrm & 7;

	if (mod == 0 && rm == 6) {
		set_address(in, REG_NONE, REG_NONE, 1);
		return 2;
	}
	set_address(in, base[rm], index[rm], 1);
	return mod;
}

static inline void parse_sib(struct parse *p, bool vector_index)
{
	struct insn *in = p->in;
	u8 sib = in->bytes[p->pos++];
	u8 index = ((sib >> 3) & 7) | (in->rex & REX_X) << 2;

	set_address(in, (sib & 7) | (in->rex & REX_B) << 3,
		index == RSP && !vector_index ? REG_NONE : index, 1 << (sib >> 6));
	if ((sib & 7) == RBP && in->modrm < 0x40)
		in->base = REG_NONE;
}

/* SDM 2: tables 2-2 and 2-3. Returns the length of the displacement. */
static inline unsigned parse_mem(struct parse *p, bool vector_index)
{
	struct insn *in = p->in;
	unsigned mod = in->modrm >> 6, rm = in->modrm & 7;

	if (unlikely(in->addr_size == 2))
		return parse_mem16(in);
	if (rm == RSP) {
		parse_sib(p, vector_index);
		if (in->base == REG_NONE)
			return 4;
	} else {
		set_address(in, rm | (in->rex & REX_B) << 3, REG_NONE, 1);
		if (mod == 0 && rm == RBP) {
			in->base = in->mode == 8 ? BASE_RIP : REG_NONE;
			return 4;
		}
	}
	return mod == 2 ? 4 : mod;
}

static inline void parse_modrm(struct parse *p, const struct insn_desc *d)
{
	struct insn *in = p->in;

	in->modrm_off = p->pos;
	in->modrm = in->bytes[p->pos++];
	in->has_modrm = true;
	in->reg = ((in->modrm >> 3) & 7) | (in->rex & REX_R) << 1;
	/* Moves to and from control and debug registers ignore mod (SDM 2: MOV). */
	if (in->modrm >= 0xc0 || unlikely(d->reg >= RK_CR)) {
		in->rm = (in->modrm & 7) | (in->rex & REX_B) << 3;
		return;
	}
	in->is_mem = true;
	in->disp_len = parse_mem(p, d->op == OP_GATHER);
	if (p->seg_override == REG_NONE)
		in->seg = in->base == RSP || in->base == RBP ? SEG_SS : SEG_DS;
}

/* Registers named by the opcode itself. */
static void opcode_register(struct insn *in, const struct insn_desc *d)
{
	if (d->reg == RK_SEG)
		in->reg = (in->opcode >> 3) & 7;
	else
		in->reg = (in->opcode & 7) | (in->rex & REX_B) << 3;
}

/* ---- sizes ---- */

static inline u8 operand_size(const struct insn *in, u32 attr)
{
	bool o16 = in->pfx & PFX_66;

	if (attr & IA_BYTE)
		return 1;
	if (unlikely(in->mode != 8))
		return attr & IA_OP48 ? 4 : o16 == (in->mode == 2) ? 4 : 2;
	if (attr & IA_FORCE64)
		return 8;
	if (in->rex & REX_W)
		return attr & (IA_MAX32 | IA_VEXW_NOGPR) ? 4 : 8;
	if (o16 && !(attr & IA_OP48))
		return 2;
	return attr & IA_DEF64 ? 8 : 4;
}

static u8 memory_size(const struct insn *in, const struct insn_desc *d)
{
	static const u8 fixed[] = {[MS_1] = 1,
		[MS_2] = 2,
		[MS_4] = 4,
		[MS_8] = 8,
		[MS_10] = 10,
		[MS_16] = 16,
		[MS_32] = 32,
		[MS_64] = 64};

	if (d->msize <= MS_64)
		return fixed[d->msize];
	switch (d->msize) {
	case MS_OP: return in->op_size;
	case MS_OP48: return in->rex & REX_W ? 8 : 4;
	case MS_OP2X: return 2 * in->op_size;
	case MS_OPFAR: return 2 + in->op_size;
	case MS_VL: return in->vl;
	case MS_VL2: return in->vl / 2;
	case MS_VL4: return in->vl / 4;
	case MS_VL8: return in->vl / 8;
	case MS_DT: return in->mode == 8 ? 10 : 6;
	default: return 0;
	}
}

static inline unsigned immediate_length(const struct insn *in, u8 kind)
{
	unsigned z = in->op_size == 2 ? 2 : 4;

	switch (kind) {
	case IMM_NONE: return 0;
	case IMM_8:
	case IMM_8S:
	case IMM_REL8: return 1;
	case IMM_16: return 2;
	case IMM_Z:
	case IMM_RELZ: return z;
	case IMM_V: return in->op_size;
	case IMM_FAR: return z + 2;
	case IMM_ENTER: return 3;
	default: return in->addr_size;
	}
}

/* ---- displacement and immediate ---- */

/* bytes[off .. off + len) as a signed number; the caller has checked that they are there. */
static inline s64 load_signed(const u8 *bytes, unsigned off, unsigned len)
{
	switch (len) {
	case 0: return 0;
	case 1: return (s8)bytes[off];
	case 2: return (s16)load16(bytes + off);
	case 4: return (s32)load32(bytes + off);
	default: return load64(bytes + off);
	}
}

static inline u64 cut(u64 v, unsigned size)
{
	return size >= 8 ? v : v & ((1ull << (size * 8)) - 1);
}

static void set_immediate(struct insn *in, u8 kind)
{
	const u8 *b = in->bytes;
	unsigned off = in->imm_off;

	switch (kind) {
	case IMM_8: in->imm = b[off]; break;
	case IMM_16: in->imm = load16(b + off); break;
	case IMM_REL8:
	case IMM_RELZ: in->imm = load_signed(b, off, in->imm_len); break;
	case IMM_FAR:
		in->imm = cut(load_signed(b, off, in->imm_len - 2), in->imm_len - 2);
		in->imm2 = load16(b + off + in->imm_len - 2);
		break;
	case IMM_ENTER:
		in->imm = load16(b + off);
		in->imm2 = b[off + 2];
		break;
	case IMM_MOFFS:
		in->imm = cut(load_signed(b, off, in->imm_len), in->imm_len);
		in->disp = in->imm;
		in->is_mem = true;
		break;
	default: in->imm = cut(load_signed(b, off, in->imm_len), in->op_size); break;
	}
}

/* Everything after ModRM and SIB. */
static inline enum insn_result parse_tail(struct parse *p, const struct insn_desc *d)
{
	struct insn *in = p->in;
	unsigned end;

	in->imm_len = immediate_length(in, d->imm);
	end = p->pos + in->disp_len + in->imm_len;
	if (unlikely(end > p->n))
		return run_out(p);
	if (in->disp_len) {
		in->disp_off = p->pos;
		in->disp = load_signed(in->bytes, p->pos, in->disp_len);
		p->pos += in->disp_len;
	}
	if (in->imm_len) {
		in->imm_off = p->pos;
		set_immediate(in, d->imm);
	}
	p->pos = end;
	in->len = end;
	return INSN_OK;
}

/* ---- rules ---- */

/* Gathers need three different registers, and a SIB byte (SDM 2: VGATHERDPS). */
static bool gather_ok(const struct insn *in)
{
	return in->addr_size != 2 && (in->modrm & 7) == RSP && in->reg != in->vvvv &&
	       in->reg != in->index && in->vvvv != in->index;
}

static bool vex_ok(struct parse *p, const struct insn_desc *d)
{
	struct insn *in = p->in;

	if (d->vvvv == RK_NONE && p->vvvv != 0)
		return false;
	in->vvvv = in->mode == 8 ? p->vvvv : p->vvvv & 7;
	if ((d->check & CK_L0 && in->vl != 16) || (d->check & CK_L1 && in->vl != 32))
		return false;
	if ((d->check & CK_W0 && in->rex & REX_W) || (d->check & CK_W1 && !(in->rex & REX_W)))
		return false;
	return d->op != OP_GATHER || gather_ok(in);
}

/* Special registers that do not exist, and register fields that REX does not extend. */
static bool registers_ok(struct insn *in, const struct insn_desc *d)
{
	const unsigned cr_exists = BIT(0) | BIT(2) | BIT(3) | BIT(4) | BIT(8);

	switch (d->reg) {
	case RK_CR: return cr_exists >> in->reg & 1;
	case RK_DR: return in->reg < 8;
	case RK_SEG:
		in->reg &= 7;
		return in->reg <= SEG_GS && !(d->check & CK_NOCS && in->reg == SEG_CS);
	case RK_MMX: in->reg &= 7; break;
	}
	return true;
}

static bool form_ok(const struct insn *in, u32 attr)
{
	if (attr & (in->is_mem ? IA_RM_REG : IA_RM_MEM))
		return false;
	if (in->pfx & PFX_LOCK && !(attr & IA_LOCK && in->is_mem))
		return false;
	return !(attr & (in->mode == 8 ? IA_NO64 : IA_ONLY64));
}

/* ---- entry points ---- */

static inline void init(struct parse *p, struct insn *in, const u8 *code, unsigned n, unsigned mode)
{
	copy_bytes(in, code, n);
	in->desc = NULL;
	__builtin_memset((u8 *)in + __builtin_offsetof(struct insn, len), 0,
		sizeof(*in) - __builtin_offsetof(struct insn, len));
	in->mode = mode;
	in->base = in->index = REG_NONE;
	*p = (struct parse){.in = in, .n = n, .seg_override = REG_NONE};
}

static inline u8 address_size(const struct insn *in)
{
	unsigned other = in->mode == 4 ? 2 : 4;

	return in->pfx & PFX_67 ? other : in->mode;
}

/* Apply the rules to a parsed ModRM and compute the sizes; the row may change (CK_COUNT) later. */
static inline bool rules_ok(struct parse *p, const struct insn_desc *d)
{
	struct insn *in = p->in;

	if (unlikely(in->enc == ENC_VEX) && !vex_ok(p, d))
		return false;
	if (unlikely(d->reg >= RK_MMX) && !registers_ok(in, d))
		return false;
	if (d->rm >= RK_MMX)
		in->rm &= 7;
	return form_ok(in, d->attr);
}

/* W has no effect on general registers outside 64-bit mode, where only VEX can set it. */
static inline void ignore_vex_w(struct insn *in, const struct insn_desc *d)
{
	bool gpr = d->reg == RK_GPR || d->rm == RK_GPR || d->vvvv == RK_GPR;

	if (in->mode != 8 && gpr)
		in->rex = 0;
}

enum insn_result insn_decode(struct insn *in, const u8 *code, unsigned n, unsigned mode)
{
	struct parse p;
	const struct insn_desc *d;
	enum insn_result r;

	init(&p, in, code, n, mode);
	d = parse_opcode(&p, parse_prefixes(&p));
	if (unlikely(!d))
		return invalid(&p);
	if (unlikely(p.pos > n))
		return run_out(&p);
	in->addr_size = address_size(in);
	in->seg = p.seg_override == REG_NONE ? SEG_DS : p.seg_override;
	/* bytes[15] exists and is zero, so looking at a ModRM beyond n is harmless; it is found out below. */
	while (d->op >= SEL_FIRST)
		d = select_row(&p, d, in->bytes[p.pos]);
	in->desc = d;
	if (unlikely(d->op == OP_UD && !d->attr))
		return invalid(&p);
	if (likely(d->attr & IA_MODRM)) {
		if (unlikely(p.pos >= n))
			return run_out(&p);
		parse_modrm(&p, d);
	} else if (d->reg) {
		opcode_register(in, d);
	}
	if (unlikely(in->rex & REX_W))
		ignore_vex_w(in, d);
	if (unlikely(!rules_ok(&p, d)))
		return invalid(&p);
	if (unlikely(d->attr & IA_SSE))
		in->vl = 16;
	in->op_size = operand_size(in, d->attr);
	r = parse_tail(&p, d);
	if (unlikely(r != INSN_OK))
		return r;
	if (in->is_mem)
		in->mem_size = memory_size(in, d);
	if (unlikely(d->check & CK_COUNT) && in->imm & (in->op_size == 8 ? 63 : 31))
		in->desc = d + 1;
	return unlikely(d->op == OP_UD) ? INSN_INVALID : INSN_OK;
}

const char *insn_name(const struct insn *in)
{
	return in->desc && in->desc->name ? in->desc->name : "(bad)";
}
