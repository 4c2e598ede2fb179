/* SPDX-License-Identifier: MIT */
/*
 * Instruction decoder: prefixes, opcode map, table row, ModRM, SIB, displacement, immediate.
 *
 * The input is first copied, zero-padded, to insn.bytes. Parsing then needs no check per byte:
 * bytes that were not given read as zero, and whether they were needed is found out when the
 * position is compared with n at the few points where it is last known to lie inside bytes[].
 *
 * What costs time here is branches that depend on the code decoded, so the common path (no prefix
 * but REX, no VEX) selects with conditional moves and table look-ups, keeps its position in a register, and
 * leaves everything rare to functions of their own. They stand here, as the compiler then knows which registers they
 * leave alone: in a file of their own they made decoding 2 % slower.
 * Source: Intel SDM volume 2, chapter 2 and appendix A.
 */
#include "x86/insn_table.h"

#define REX_W 8
#define REX_R 4
#define REX_X 2
#define REX_B 1

/* so that the copy of decode() for 64-bit mode is specialised throughout */
#define INLINE inline __attribute__((always_inline))

#define SEG_NONE 0xff /* insn.seg: no override seen */

/* The last position from which eight bytes of code can be read at once. */
#define WIDE_MAX (INSN_MAX - 8)

/* Where the opcode bytes led. row is NULL if nowhere. */
struct opcode {
	const struct insn_desc *row;
	u32 pos; /* after the opcode */
	u32 key; /* enum insn_key: what VEX says */
};

static enum insn_result run_out(unsigned n)
{
	return n < INSN_MAX ? INSN_SHORT : INSN_TOO_LONG;
}

static enum insn_result invalid(struct insn *in, unsigned pos, unsigned n)
{
	if (pos > n)
		return run_out(n);
	in->len = pos;
	return INSN_INVALID;
}

static INLINE u64 load64(const u8 *p)
{
	u64 v;

	__builtin_memcpy(&v, p, 8);
	return v;
}

static INLINE void copy_bytes(struct insn *in, const u8 *code, unsigned n)
{
	u64 lo = 0, hi = 0;

	if (likely(n == INSN_MAX)) {
		lo = load64(code);
		hi = load64(code + 7) >> 8;
	} else {
		for (unsigned i = 0; i < n; i++)
			*(i < 8 ? &lo : &hi) |= (u64)code[i] << (i % 8 * 8);
	}
	__builtin_memcpy(in->bytes, &lo, 8);
	__builtin_memcpy(in->bytes + 8, &hi, 8);
}

static __attribute__((noinline)) u64 gather_bytes(const struct insn *in, unsigned pos)
{
	u64 v = 0;

	for (unsigned i = pos; i < pos + 8 && i <= INSN_MAX; i++)
		v |= (u64)in->bytes[i] << ((i - pos) * 8);
	return v;
}

/*
 * Eight bytes from pos on, those after n undefined or zero. From code, as bytes[] has just been stored in
 * two halves, and a load across both would wait for them to reach the cache.
 */
static INLINE u64 peek(const struct insn *in, const u8 *code, unsigned n, unsigned pos)
{
	if (likely(n == INSN_MAX && pos <= WIDE_MAX))
		return load64(code + pos);
	return gather_bytes(in, pos);
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
static void segment_prefix(struct insn *in, u8 byte)
{
	in->pfx |= PFX_SEG;
	if (byte >= 0x64)
		in->seg = SEG_FS + (byte - 0x64);
	else if (in->mode != 8)
		in->seg = (byte >> 3) & 3;
}

/* A prefix other than REX; a REX before it loses its effect (SDM 2:2.2.1). */
static void legacy_prefix(struct insn *in, enum prefix kind, u8 byte)
{
	in->rex = 0;
	in->pfx &= ~PFX_REX;
	switch (kind) {
	case P_SEG_NULL:
	case P_SEG: segment_prefix(in, byte); break;
	case P_66: in->pfx |= PFX_66; break;
	case P_67: in->pfx |= PFX_67; break;
	case P_LOCK: in->pfx |= PFX_LOCK; break;
	case P_REPNE: in->pfx = (in->pfx & ~PFX_REP) | PFX_REPNE; break;
	default: in->pfx = (in->pfx & ~PFX_REPNE) | PFX_REP; break;
	}
}

/* Returns the position of the first byte after the prefixes. */
static __attribute__((noinline)) unsigned parse_prefixes(struct insn *in)
{
	unsigned pos;

	in->rex = in->pfx = 0;
	for (pos = 0; pos < INSN_MAX; pos++) {
		u8 byte = in->bytes[pos];
		enum prefix kind = prefix_kind[byte];

		if (kind == P_NONE || (kind == P_REX && in->mode != 8))
			break;
		if (kind == P_REX) {
			in->rex = byte & 15;
			in->pfx |= PFX_REX;
		} else {
			legacy_prefix(in, kind, byte);
		}
	}
	return pos;
}

/* ---- opcode ---- */

/* by PFX_66, PFX_REP, PFX_REPNE: index for PFX() */
#define BOTH_LOCK(bits, n)                                                                         \
	[bits] = n, [(bits) | PFX_LOCK] = n, [(bits) | PFX_67] = n, [(bits) | PFX_67 | PFX_LOCK] = n
static const u8 mandatory_prefix[32] = {
	BOTH_LOCK(PFX_66, 1),
	BOTH_LOCK(PFX_REP, 2),
	BOTH_LOCK(PFX_REP | PFX_66, 2),
	BOTH_LOCK(PFX_REPNE, 3),
	BOTH_LOCK(PFX_REPNE | PFX_66, 3),
};
#undef BOTH_LOCK

/*
 * VEX, two or three bytes (SDM 2:2.3.5). Outside 64-bit mode only registers 0-7 exist: R and X are
 * ones or it would be les/lds, B and the top bit of a used vvvv have no effect.
 */
static __attribute__((noinline)) struct opcode parse_vex(struct insn *in, unsigned pos)
{
	static const struct insn_desc *const tables[4] = {
		NULL, insn_vex_0f, insn_vex_0f38, insn_vex_0f3a};
	static const u8 prefix[4] = {0, 1, 2, 3};
	const u8 *b = in->bytes + pos;
	unsigned map = 1, last = 1;

	if (pos + 3 > INSN_MAX)
		return (struct opcode){.pos = INSN_MAX + 1};
	if (in->pfx & (PFX_66 | PFX_REP | PFX_REPNE | PFX_LOCK | PFX_REX))
		return (struct opcode){.pos = pos};
	in->enc = ENC_VEX;
	in->rex = b[1] & 0x80 ? 0 : REX_R;
	if (b[0] == 0xc4) {
		map = b[1] & 31;
		last = 2;
		in->rex |= (b[1] & 0x40 ? 0 : REX_X) | (b[1] & 0x20 ? 0 : REX_B) |
			   (b[2] & 0x80 ? REX_W : 0);
	}
	in->vl = b[last] & 4 ? 32 : 16;
	in->vvvv = (~b[last] >> 3) & 15;
	if (in->mode != 8)
		in->rex &= REX_W;
	pos += last + 1;
	if (map < 1 || map > 3)
		return (struct opcode){.pos = pos};
	in->map = map;
	in->opcode_off = pos;
	in->opcode = in->bytes[pos];
	return (struct opcode){.row = &tables[map][in->opcode],
		.pos = pos + 1,
		.key = (u32)prefix[b[last] & 3] << KEY_PFX | (u32)(in->vl == 32) << KEY_L};
}

/*
 * EVEX, four bytes (SDM 2:2.7). What extends register numbers beyond 15 is looked at when it is known what they name:
 * evex_ok(). Outside 64-bit mode R and X are ones, or it would be BOUND.
 */
static __attribute__((noinline)) struct opcode parse_evex(struct insn *in, unsigned pos)
{
	static const struct insn_desc *const tables[4] = {
		NULL, insn_evex_0f, insn_evex_0f38, insn_evex_0f3a};
	const u8 *b = in->bytes + pos;
	unsigned map = b[1] & 15;

	if (pos + 4 > INSN_MAX)
		return (struct opcode){.pos = INSN_MAX + 1};
	pos += 4;
	if (in->pfx & (PFX_66 | PFX_REP | PFX_REPNE | PFX_LOCK | PFX_REX))
		return (struct opcode){.pos = pos - 3};
	if (map < 1 || map > 3 || !(b[2] & 4))
		return (struct opcode){.pos = pos};
	in->enc = ENC_EVEX;
	in->rex = (~b[1] >> 5 & (REX_R | REX_X | REX_B)) | (b[2] & 0x80 ? REX_W : 0);
	if (in->mode != 8)
		in->rex &= REX_W;
	in->vl = 16 << (b[3] >> 5 & 3);
	in->vvvv = (~b[2] >> 3) & 15;
	in->opmask = b[3] & 7;
	in->map = map;
	in->opcode_off = pos;
	in->opcode = in->bytes[pos];
	return (struct opcode){.row = &tables[map][in->opcode],
		.pos = pos + 1,
		.key = (u32)(b[2] & 3) << KEY_PFX | (u32)(in->vl > 16) << KEY_L};
}

/* 0F38 and 0F3A; pos is that of the second byte. */
static __attribute__((noinline)) struct opcode parse_three_byte(struct insn *in, unsigned pos)
{
	const struct insn_desc *table =
		in->bytes[pos] == 0x38 ? insn_legacy_0f38 : insn_legacy_0f3a;

	in->map = in->bytes[pos] == 0x38 ? 2 : 3;
	if (++pos > INSN_MAX)
		return (struct opcode){.pos = pos};
	in->opcode_off = pos;
	in->opcode = in->bytes[pos];
	return (struct opcode){.row = &table[in->opcode], .pos = pos + 1};
}

/* The table entry for the opcode that starts at pos. */
static INLINE struct opcode parse_opcode(struct insn *in, unsigned pos, unsigned mode)
{
	u8 byte = in->bytes[pos], opcode;
	bool two = byte == 0x0f;

	if (unlikely((byte & 0xfe) == 0xc4 || byte == 0x62) &&
		(mode == 8 || in->bytes[pos + 1] >= 0xc0))
		return byte == 0x62 ? parse_evex(in, pos) : parse_vex(in, pos);
	pos += two;
	opcode = in->bytes[pos];
	if (unlikely(two && (opcode & 0xfd) == 0x38))
		return parse_three_byte(in, pos);
	in->map = two;
	in->opcode_off = pos;
	in->opcode = opcode;
	return (struct opcode){
		.row = (two ? insn_legacy_0f : insn_legacy) + opcode, .pos = pos + 1};
}

/*
 * From a node to the row. ModRM is looked at before it is known to be there; *used tells which bits of the
 * key counted.
 */
static INLINE const struct insn_desc *find_row(
	const struct insn *in, struct opcode o, u8 modrm, u32 *used, unsigned mode)
{
	const struct insn_desc *d = o.row;
	u32 key = o.key | (modrm & 0x3f) | (u32)(modrm >= 0xc0) << KEY_MOD |
		  (u32)mandatory_prefix[in->pfx & 31] << KEY_PFX | (u32)(in->rex >> 3) << KEY_W |
		  (u32)(in->rex & REX_B) << KEY_B | (u32)(mode == 8) << KEY_64;

	do {
		*used |= (u32)d->node_mask << d->node_shift;
		d = &d->sub[(key >> d->node_shift) & d->node_mask];
	} while (d->op == OP_NODE);
	return d;
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

/* SDM 2: tables 2-2 and 2-3. Returns the position after SIB; sets disp_len. */
static INLINE unsigned parse_mem(
	struct insn *in, unsigned pos, u64 tail, bool vector_index, unsigned mode)
{
	u8 modrm = tail, sib = tail >> 8;
	unsigned mod = modrm >> 6, rm = modrm & 7, rex = in->rex;
	bool has_sib = rm == RSP;
	u8 base = has_sib ? sib & 7 : rm;
	u8 index = ((sib >> 3) & 7) | (rex & REX_X) << 2;
	bool no_base = mod == 0 && base == RBP;
	u8 no_base_is = has_sib || mode != 8 ? REG_NONE : BASE_RIP;

	if (unlikely(in->addr_size == 2)) {
		in->disp_len = parse_mem16(in);
		return pos;
	}
	in->base = no_base ? no_base_is : base | (rex & REX_B) << 3;
	in->index = has_sib && (index != RSP || vector_index) ? index : REG_NONE;
	in->scale = has_sib ? 1 << (sib >> 6) : 1;
	in->disp_len = no_base || mod == 2 ? 4 : mod;
	return pos + has_sib;
}

static INLINE bool has_vector_index(const struct insn_desc *d)
{
	return d->op == OP_GATHER || d->op == OP_SCATTER;
}

/* Returns the position after ModRM and SIB. */
static INLINE unsigned parse_modrm(
	struct insn *in, const struct insn_desc *d, unsigned pos, u64 tail, unsigned mode)
{
	u8 modrm = tail;

	in->modrm_off = pos++;
	in->modrm = modrm;
	in->has_modrm = true;
	in->reg = ((modrm >> 3) & 7) | (in->rex & REX_R) << 1;
	/* Moves to and from control and debug registers ignore mod (SDM 2: MOV). */
	if (modrm >= 0xc0 || unlikely(d->reg >= RK_CR)) {
		in->rm = (modrm & 7) | (in->rex & REX_B) << 3;
		return pos;
	}
	in->is_mem = true;
	pos = parse_mem(in, pos, tail, has_vector_index(d), mode);
	if (likely(in->seg == SEG_NONE))
		in->seg = in->base == RSP || in->base == RBP ? SEG_SS : SEG_DS;
	return pos;
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

/* From weak to strong: each rule overrides those before it. */
static __attribute__((noinline)) u8 operand_size_rules(const struct insn *in, u32 attr)
{
	bool o16 = in->pfx & PFX_66;

	if (attr & IA_BYTE)
		return 1;
	if (in->mode != 8)
		return attr & IA_OP48 ? 4 : o16 == (in->mode == 2) ? 4 : 2;
	if (attr & IA_FORCE64)
		return 8;
	if (in->rex & REX_W)
		return attr & (IA_MAX32 | IA_VEXW_NOGPR) ? 4 : 8;
	if (o16 && !(attr & IA_OP48))
		return 2;
	return attr & IA_DEF64 ? 8 : 4;
}

/* The common case without branches that depend on the instruction. */
static INLINE u8 operand_size(const struct insn *in, u32 attr, unsigned mode)
{
	u8 size = in->rex & REX_W || attr & (IA_DEF64 | IA_FORCE64) ? 8 : 4;

	if (unlikely(mode != 8 || in->pfx & PFX_66 || attr & (IA_MAX32 | IA_VEXW_NOGPR)))
		return operand_size_rules(in, attr);
	return attr & IA_BYTE ? 1 : size;
}

static u8 vector_or_table_size(const struct insn *in, u8 msize)
{
	switch (msize) {
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

static INLINE u8 memory_size(const struct insn *in, u8 msize)
{
	static const u8 fixed[MS_OP + 1] = {[MS_1] = 1,
		[MS_2] = 2,
		[MS_4] = 4,
		[MS_8] = 8,
		[MS_10] = 10,
		[MS_16] = 16,
		[MS_32] = 32,
		[MS_64] = 64};

	if (unlikely(msize > MS_OP))
		return vector_or_table_size(in, msize);
	return msize == MS_OP ? in->op_size : fixed[msize];
}

static INLINE unsigned immediate_length(const struct insn *in, u8 kind)
{
	/* by operand size 1 or 2, 4, 8 (size / 4); one that is 1 byte has no IMM_Z or IMM_V */
	static const u8 length[][3] = {
		[IMM_NONE] = {0, 0, 0},
		[IMM_8] = {1, 1, 1},
		[IMM_8S] = {1, 1, 1},
		[IMM_REL8] = {1, 1, 1},
		[IMM_16] = {2, 2, 2},
		[IMM_Z] = {2, 4, 4},
		[IMM_RELZ] = {2, 4, 4},
		[IMM_V] = {2, 4, 8},
		[IMM_FAR] = {4, 6, 6},
		[IMM_ENTER] = {3, 3, 3},
	};

	if (unlikely(kind == IMM_MOFFS))
		return in->addr_size;
	return length[kind][in->op_size / 4];
}

/* ---- displacement and immediate ---- */

static INLINE u64 cut(u64 v, unsigned size)
{
	static const u64 mask[9] = {0, 0xff, 0xffff, 0, 0xffffffff, 0, 0, 0, ~0ull};

	return v & mask[size];
}

/* The lowest len (0, 1, 2, 4, 8) bytes of v as a signed number. Lengths are hard to predict: no branches. */
static INLINE s64 take_signed(u64 v, unsigned len)
{
	static const u64 sign[9] = {0, 0x80, 0x8000, 0, 0x80000000, 0, 0, 0, 0};

	return (cut(v, len) ^ sign[len]) - sign[len];
}

/* Immediates that are not one number. */
static __attribute__((noinline)) void set_compound_immediate(struct insn *in, u64 v)
{
	unsigned len = in->imm_len - 2;

	switch (in->desc->imm) {
	case IMM_FAR:
		in->imm = cut(v, len);
		in->imm2 = v >> (len * 8);
		break;
	case IMM_ENTER:
		in->imm = (u16)v;
		in->imm2 = (u8)(v >> 16);
		break;
	default: /* IMM_MOFFS */
		in->imm = cut(v, in->imm_len);
		in->disp = in->imm;
		in->is_mem = true;
		break;
	}
}

/* v: the immediate and what follows it */
static INLINE void set_immediate(struct insn *in, u64 v, u8 kind)
{
	/* bytes that count; 0 means as many as the operand has */
	static const u8 width[] = {
		[IMM_8] = 1, [IMM_16] = 2, [IMM_REL8] = 8, [IMM_RELZ] = 8, [IMM_8S] = 0};

	if (unlikely(kind >= IMM_FAR && kind <= IMM_MOFFS))
		set_compound_immediate(in, v);
	else
		in->imm = cut(take_signed(v, in->imm_len), width[kind] ?: in->op_size);
}

/* Everything after ModRM and SIB. */
static INLINE bool parse_tail(struct insn *in, const u8 *code, unsigned pos, unsigned n)
{
	u8 kind = in->desc->imm;
	unsigned disp_len = in->disp_len, imm_len = immediate_length(in, kind);
	unsigned imm_pos = pos + disp_len;

	if (unlikely(imm_pos + imm_len > n))
		return false;
	in->len = imm_pos + imm_len;
	in->disp_off = disp_len ? pos : 0;
	in->disp = take_signed(peek(in, code, n, pos), disp_len);
	if (imm_len) {
		in->imm_len = imm_len;
		in->imm_off = imm_pos;
		set_immediate(in, peek(in, code, n, imm_pos), kind);
	}
	return true;
}

/* ---- rules ---- */

/* Gathers need three different registers, and a SIB byte (SDM 2: VGATHERDPS). */
static bool gather_ok(const struct insn *in)
{
	return in->addr_size != 2 && (in->modrm & 7) == RSP && in->reg != in->vvvv &&
	       in->reg != in->index && in->vvvv != in->index;
}

/* There are eight opmask registers. */
static bool masks_ok(const struct insn *in, const struct insn_desc *d)
{
	return (d->reg != RK_MASK || in->reg < 8) && (d->vvvv != RK_MASK || in->vvvv < 8);
}

static bool vex_ok(struct insn *in, const struct insn_desc *d)
{
	if (d->vvvv == RK_NONE && in->vvvv != 0)
		return false;
	if (in->mode != 8)
		in->vvvv &= 7;
	if ((d->check & CK_L0 && in->vl != 16) || (d->check & CK_L1 && in->vl != 32))
		return false;
	if ((d->check & CK_W0 && in->rex & REX_W) || (d->check & CK_W1 && !(in->rex & REX_W)))
		return false;
	return masks_ok(in, d) && (d->op != OP_GATHER || gather_ok(in));
}

/* ---- EVEX: SDM 2:2.7 ---- */

#define P0_R2 0x10 /* inverted, as all that extend register numbers */
#define P2_V2 0x08
#define P2_B  0x10
#define P2_Z  0x80

static bool extend(u8 *number, u8 kind, bool by)
{
	if (kind == RK_VEC)
		*number |= by << 4;
	return !by || kind == RK_VEC;
}

/*
 * The fifth bits of register numbers: R' of reg, X of rm, V' of vvvv or of a vector that is an index. Outside 64-bit mode
 * they have no effect.
 */
static bool evex_registers(struct insn *in, const struct insn_desc *d, u8 p0, u8 p2)
{
	bool wide = in->mode == 8, r2 = wide && !(p0 & P0_R2), v2 = wide && !(p2 & P2_V2);

	if (d->vvvv == RK_NONE && in->vvvv)
		return false;
	if (!wide)
		in->vvvv &= 7;
	if (d->reg != RK_NONE && !extend(&in->reg, d->reg, r2))
		return false;
	if (!in->is_mem && in->rex & REX_X)
		(void)extend(&in->rm, d->rm, true);
	if (has_vector_index(d))
		return in->addr_size != 2 && (in->modrm & 7) == RSP &&
		       extend(&in->index, RK_VEC, v2);
	return d->vvvv == RK_NONE ? !v2 : extend(&in->vvvv, d->vvvv, v2);
}

/* b: broadcast of a memory operand, or rounding and suppressed exceptions, which are for 64 bytes only. */
static bool evex_b(struct insn *in, const struct insn_desc *d)
{
	if (in->is_mem) {
		in->broadcast = true;
		return d->evex & EV_BROADCAST;
	}
	if (!(d->evex & (EV_ROUND | EV_SAE)))
		return false;
	in->vl = 64;
	return true;
}

static bool evex_mask(const struct insn *in, const struct insn_desc *d, bool zeroing)
{
	if (zeroing && (!in->opmask || !(d->evex & EV_ZERO) || (in->is_mem && d->mem == MEM_WRITE)))
		return false;
	return in->opmask ? d->evex & EV_MASK : !(d->evex & EV_NEEDS);
}

static bool evex_length(const struct insn *in, const struct insn_desc *d)
{
	if (in->vl > 64)
		return false;
	return !(d->check & CK_L0 && in->vl != 16) && !(d->check & CK_L1 && in->vl == 16) &&
	       !(d->check & CK_L2 && in->vl != 64);
}

static bool evex_ok(struct insn *in, const struct insn_desc *d)
{
	u8 p0 = in->bytes[in->opcode_off - 3], p2 = in->bytes[in->opcode_off - 1];

	if ((p2 & P2_B && !evex_b(in, d)) || !evex_length(in, d) || !evex_mask(in, d, p2 & P2_Z))
		return false;
	if (!evex_registers(in, d, p0, p2) || !masks_ok(in, d))
		return false;
	return d->op != OP_GATHER || in->reg != in->index;
}

/* A displacement of one byte counts elements or operands, not bytes (SDM 2:2.7.5). */
static __attribute__((noinline)) void evex_memory(struct insn *in, const struct insn_desc *d)
{
	bool packed = d->op == OP_COMPRESS || d->op == OP_EXPAND;

	if (in->broadcast)
		in->mem_size = d->element;
	if (in->disp_len == 1)
		in->disp *= packed ? d->element : in->mem_size;
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

#define CLEAR_FROM (offsetof(struct insn, len) / 8)
_Static_assert(
	offsetof(struct insn, len) % 8 == 0 && sizeof(struct insn) % 8 == 0, "cleared by words");

static INLINE void init(struct insn *in, unsigned mode)
{
	in->desc = NULL;
	/* Plain stores: what gcc makes of memset here is several times slower. */
#pragma GCC unroll 8
	for (unsigned i = CLEAR_FROM; i < sizeof(*in) / 8; i++)
		((u64 *)in)[i] = 0;
	in->mode = mode;
	in->base = in->index = REG_NONE;
	in->seg = SEG_NONE;
}

/* Prefixes; one REX is the common case. */
static INLINE unsigned skip_prefixes(struct insn *in, u8 first, unsigned mode)
{
	bool rex = mode == 8 && (first & 0xf0) == 0x40;

	in->rex = rex ? first & 15 : 0;
	in->pfx = rex ? PFX_REX : 0;
	if (unlikely(prefix_kind[in->bytes[rex]] != P_NONE))
		return parse_prefixes(in);
	return rex;
}

static INLINE u8 address_size(const struct insn *in, unsigned mode)
{
	if (unlikely(in->pfx & PFX_67))
		return mode == 4 ? 2 : 4;
	return mode;
}

/* Most rows have no rule, and most instructions no prefix that breaks one. */
static INLINE bool needs_check(const struct insn *in, const struct insn_desc *d)
{
	const u32 restricting = IA_RM_REG | IA_RM_MEM | IA_NO64 | IA_ONLY64;

	_Static_assert(RK_MMX == 4, "kinds from 4 on have rules");
	return (d->attr & restricting) || (in->pfx & PFX_LOCK) || in->enc ||
	       (d->reg | d->rm) >= RK_MMX;
}

/* Apply the rules to a parsed ModRM. */
static __attribute__((noinline)) bool rules_ok(struct insn *in, const struct insn_desc *d)
{
	if (in->enc && !(in->enc == ENC_VEX ? vex_ok(in, d) : evex_ok(in, d)))
		return false;
	if (d->reg >= RK_MMX && !registers_ok(in, d))
		return false;
	if (d->rm >= RK_MMX)
		in->rm &= 7;
	return form_ok(in, d->attr);
}

/* W has no effect on general registers outside 64-bit mode, where only VEX can set it. */
static INLINE void ignore_vex_w(struct insn *in, const struct insn_desc *d)
{
	bool gpr = d->reg == RK_GPR || d->rm == RK_GPR || d->vvvv == RK_GPR || d->impl_regs;

	if (in->mode != 8 && gpr)
		in->rex = 0;
}

static INLINE enum insn_result decode(struct insn *in, const u8 *code, unsigned n, unsigned mode)
{
	const struct insn_desc *d;
	struct opcode o;
	unsigned pos;
	u32 used = 0;
	u64 tail; /* ModRM and what follows */

	copy_bytes(in, code, n);
	init(in, mode);
	pos = skip_prefixes(in, in->bytes[0], mode);
	if (unlikely(pos >= INSN_MAX))
		return run_out(n);
	o = parse_opcode(in, pos, mode);
	pos = o.pos;
	if (unlikely(!o.row || pos > n))
		return invalid(in, pos, n);
	in->addr_size = address_size(in, mode);
	tail = peek(in, code, n, pos);
	d = o.row;
	if (d->op == OP_NODE)
		d = find_row(in, o, tail, &used, mode);
	in->desc = d;
	if (unlikely(pos >= n && (used & KEY_MODRM || d->attr & IA_MODRM)))
		return run_out(n);
	if (unlikely(d->op == OP_UD && !d->attr))
		return invalid(in, pos, n);
	if (likely(d->attr & IA_MODRM))
		pos = parse_modrm(in, d, pos, tail, mode);
	else if (d->reg)
		opcode_register(in, d);
	if (in->seg == SEG_NONE)
		in->seg = SEG_DS;
	if (unlikely(mode != 8 && in->rex))
		ignore_vex_w(in, d);
	if (unlikely(needs_check(in, d)) && !rules_ok(in, d))
		return invalid(in, pos, n);
	if (d->attr & IA_SSE)
		in->vl = 16;
	in->op_size = operand_size(in, d->attr, mode);
	if (unlikely(!parse_tail(in, code, pos, n)))
		return run_out(n);
	if (in->is_mem)
		in->mem_size = memory_size(in, d->msize);
	if (unlikely(in->enc == ENC_EVEX) && in->is_mem)
		evex_memory(in, d);
	if (unlikely(d->check & CK_COUNT) && in->imm & (in->op_size == 8 ? 63 : 31))
		in->desc = d + 1;
	return unlikely(d->op == OP_UD) ? INSN_INVALID : INSN_OK;
}

static __attribute__((noinline)) enum insn_result decode_any(
	struct insn *in, const u8 *code, unsigned n, unsigned mode)
{
	return decode(in, code, n, mode);
}

/* Nearly all code is 64-bit code that does not end soon: a copy of decode() for just that. */
enum insn_result insn_decode(struct insn *in, const u8 *code, unsigned n, unsigned mode)
{
	if (likely(n == INSN_MAX && mode == 8))
		return decode(in, code, INSN_MAX, 8);
	return decode_any(in, code, n, mode);
}

const char *insn_name(const struct insn *in)
{
	return in->desc && in->desc->name ? in->desc->name : "(bad)";
}
