/* SPDX-License-Identifier: MIT */
/*
 * A case from a seed and a number: registers first, then one instruction after the other from the forms, with operands
 * that mostly lead to the data pages, then what refers to places that were not known before.
 *
 * Registers that point to data are avoided as destinations, and not used as bases once they may have changed,
 * so that sequences get somewhere before they fault.
 */
#include <string.h>

#include "insn/forms.h"

#define LOW_EVERY 3 /* of so many cases one has segments */

struct target {
	u8 insn; /* whose last bytes are a displacement; or the patch below */
	u8 len;  /* of the displacement; 0: patch */
	u8 patch;
	u8 to;    /* instruction */
	bool far; /* the last bytes are a far pointer */
};

struct making {
	struct random r;
	struct insn_case *c;
	const struct forms *forms;
	bool pointer[GPR_COUNT]; /* to data, as far as known */
	bool known[GPR_COUNT];   /* still as at the start */
	bool stack_used;
	bool low;    /* with segments */
	bool addr16; /* of the instruction being made */
	struct target target[SEQ_MAX * 2];
	unsigned targets;
};

/* ---- addresses ---- */

static u64 near(struct making *m, u64 at, unsigned spread)
{
	return at - spread + below(&m->r, 2 * spread);
}

static u64 pick_address(struct making *m)
{
	const u64 data = case_data(m->c), end_rw = data + L_DATA_RW * PAGE_SIZE,
		  end = data + L_DATA_PAGES * PAGE_SIZE;
	unsigned p = below(&m->r, 1000);

	if (p < 480)
		return data + below(&m->r, DATA_BYTES / 32) * 32;
	if (p < 820)
		return data + below(&m->r, DATA_BYTES - 64);
	if (p < 880)
		return near(m, data + PAGE_SIZE, 40);
	if (p < 920)
		return near(m, end_rw, 40);
	if (p < 940)
		return end_rw + below(&m->r, PAGE_SIZE);
	if (p < 955)
		return near(m, end, 40);
	if (p < 970)
		return near(m, data, 40);
	if (p < 980)
		return rnd(&m->r) | 1ull << 63 >> below(&m->r, 15);
	if (p < 990)
		return near(m, m->c->seg[SEG_CS].base + m->c->start.rip + 8, 32);
	return interesting(&m->r);
}

/* The same relative to a segment. */
static u64 pick_offset(struct making *m, unsigned seg)
{
	return pick_address(m) - m->c->seg[seg].base;
}

/* ---- the start ---- */

static void start_register(struct making *m, unsigned i)
{
	u64 *g = &m->c->start.gpr[i];
	unsigned p = below(&m->r, 100);

	m->known[i] = true;
	if (i == RSP) {
		*g = percent(&m->r, 85) ? L_DATA + 512 + below(&m->r, (DATA_BYTES - 1024) / 8) * 8
					: pick_address(m);
		m->pointer[i] = true;
	} else if (i == RCX && p < 50) {
		*g = below(&m->r, 40);
	} else if (p < 50 || ((i == RSI || i == RDI) && p < 75)) {
		*g = pick_address(m);
		m->pointer[i] = true;
	} else if (p < 80) {
		*g = percent(&m->r, 40) ? below(&m->r, 64) : interesting(&m->r);
	} else {
		*g = rnd(&m->r);
	}
	if (m->c->mode == 4)
		*g = i < 8 ? (u32)*g : 0;
}

static u64 start_rip(struct making *m)
{
	unsigned page, offset;

	page = percent(&m->r, 88) ? below(&m->r, L_CODE_RW - 1) : L_CODE_RW;
	if (page % 16 == 15)
		page--;
	offset = percent(&m->r, 75) ? below(&m->r, PAGE_SIZE - CODE_MAX)
				    : PAGE_SIZE - 1 - below(&m->r, 80);
	return L_CODE + page * PAGE_SIZE + offset;
}

static void start(struct making *m)
{
	struct insn_case *c = m->c;
	unsigned p = below(&m->r, 100);

	if (m->low) {
		start_low(&m->r, c);
		for (unsigned i = 0; i < 8; i++)
			m->known[i] = m->pointer[i] = true;
		return;
	}
	c->mode = p < 12 ? 4 : 8;
	c->cpl = p < 90 ? 3 : 0;
	c->with_host = true;
	c->cold = percent(&m->r, 30);
	c->start.rip = start_rip(m);
	for (unsigned i = 0; i < GPR_COUNT; i++)
		start_register(m, i);
	c->start.rflags = FL_FIXED | FL_IF | (rnd(&m->r) & FL_STATUS);
	if (percent(&m->r, 15))
		c->start.rflags |= FL_DF;
	if (percent(&m->r, 3))
		c->start.rflags |= rnd(&m->r) & (FL_ID | FL_NT);
	if (c->mode == 8) {
		c->start.fs_base = percent(&m->r, 70) ? below(&m->r, 64) : pick_address(m);
		c->start.gs_base = percent(&m->r, 70) ? below(&m->r, 64) : pick_address(m);
		if ((s64)(c->start.fs_base << 16) >> 16 != (s64)c->start.fs_base)
			c->start.fs_base = 0;
		if ((s64)(c->start.gs_base << 16) >> 16 != (s64)c->start.gs_base)
			c->start.gs_base = 0;
	}
	random_vectors(&m->r, c->start.xsave);
}

/* ---- operands ---- */

static unsigned pick_register(struct making *m, bool general)
{
	unsigned n = m->c->mode == 8 ? 16 : 8, reg = below(&m->r, n);

	for (unsigned i = 0; i < 3 && general && m->pointer[reg]; i++)
		reg = below(&m->r, n);
	if (reg == RSP && general && percent(&m->r, 70))
		reg = RAX;
	return reg;
}

static unsigned pick_base(struct making *m)
{
	unsigned n = m->c->mode == 8 ? 16 : 8;

	for (unsigned i = 0; i < 12; i++) {
		unsigned reg = below(&m->r, n);

		if (m->pointer[reg] && m->known[reg])
			return reg;
	}
	return below(&m->r, n);
}

static unsigned put_disp(u8 *out, unsigned len, u64 v)
{
	memcpy(out, &v, len);
	return len;
}

struct operand {
	u8 bytes[6]; /* ModRM, SIB, displacement */
	u8 len;
	u8 rxb;        /* X and B */
	bool relative; /* to rip: the displacement is the target, to be adjusted */
};

static void memory_absolute(struct making *m, u8 reg, struct operand *o)
{
	bool sib = m->c->mode == 8 && percent(&m->r, 50);

	o->bytes[o->len++] = reg << 3 | (sib ? 4 : 5);
	if (sib)
		o->bytes[o->len++] = 0x25;
	o->relative = !sib && m->c->mode == 8;
	o->len += put_disp(o->bytes + o->len, 4, pick_offset(m, SEG_DS));
}

/* 16-bit addressing: bx or bp and si or di, or one of them, or neither */
static void memory_16(struct making *m, u8 reg, struct operand *o)
{
	static const u8 base[] = {RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX};
	static const u8 index[] = {RSI, RDI, RSI, RDI};
	unsigned rm = below(&m->r, 8), mod;
	bool plain = rm == 6 && percent(&m->r, 60);
	u16 disp = pick_offset(m, !plain && base[rm] == RBP ? SEG_SS : SEG_DS);

	if (!plain)
		disp -= m->c->start.gpr[base[rm]];
	if (rm < 4)
		disp -= m->c->start.gpr[index[rm]];
	if (percent(&m->r, 15))
		disp = (s8)disp;
	mod = plain || (disp == 0 && rm != 6) ? 0 : (s16)disp == (s8)disp ? 1 : 2;
	o->bytes[o->len++] = mod << 6 | reg << 3 | rm;
	if (mod || plain)
		o->len += put_disp(o->bytes + o->len, mod == 1 ? 1 : 2, disp);
}

/* base and perhaps index, with the displacement that leads to the address wanted. */
static void memory_based(struct making *m, u8 reg, bool vector_index, struct operand *o)
{
	unsigned base = pick_base(m), index = RSP, scale = below(&m->r, 4), mod;
	u64 disp = pick_offset(m, base == RSP || base == RBP ? SEG_SS : SEG_DS) -
		   m->c->start.gpr[base];
	bool sib = vector_index || (base & 7) == RSP;

	if (vector_index || percent(&m->r, 30)) {
		index = below(&m->r, m->c->mode == 8 ? 16 : 8);
		sib = true;
		if (!vector_index && index != RSP)
			disp -= m->c->start.gpr[index] << scale;
	}
	if (percent(&m->r, 25))
		disp = (s8)disp;
	mod = disp == 0 && (base & 7) != RBP ? 0 : (s64)disp == (s8)disp ? 1 : 2;
	o->rxb = base >> 3 | (index >> 3) << 1;
	o->bytes[o->len++] = mod << 6 | reg << 3 | (sib ? 4 : base & 7);
	if (sib)
		o->bytes[o->len++] = scale << 6 | (index & 7) << 3 | (base & 7);
	if (mod)
		o->len += put_disp(o->bytes + o->len, mod == 1 ? 1 : 4, disp);
}

static void memory_any(struct making *m, u8 reg, struct operand *o)
{
	u64 v = rnd(&m->r);

	memcpy(o->bytes, &v, 6);
	o->bytes[0] = below(&m->r, 3) << 6 | reg << 3 | (v & 7);
	o->rxb = rnd(&m->r) & 3;
	o->len = 6;
}

static struct operand memory_operand(struct making *m, u8 reg, bool vector_index)
{
	struct operand o = {.len = 0};
	unsigned p = below(&m->r, 100);

	if (m->addr16 && !vector_index && p < 96)
		memory_16(m, reg & 7, &o);
	else if (vector_index || p < 85)
		memory_based(m, reg & 7, vector_index, &o);
	else if (p < 96)
		memory_absolute(m, reg & 7, &o);
	else
		memory_any(m, reg & 7, &o);
	if (m->c->mode != 8)
		o.rxb = 0;
	o.rxb |= reg >> 3 << 2;
	return o;
}

static bool general(u8 kind)
{
	return kind == RK_GPR || kind == RK_GPR8;
}

static struct operand operand(struct making *m, const struct form *f)
{
	const struct insn_desc *d = f->desc;
	u8 reg = f->modrm >> 3 & 7, rm = f->modrm & 7;
	struct operand o;

	if (d->reg != RK_NONE)
		reg = pick_register(m, general(d->reg));
	if (f->modrm < 0xc0)
		return memory_operand(m, reg, d->op == OP_GATHER);
	if (d->rm != RK_NONE)
		rm = pick_register(m, general(d->rm));
	o = (struct operand){.len = 1, .rxb = (reg >> 3) << 2 | rm >> 3};
	o.bytes[0] = 0xc0 | (reg & 7) << 3 | (rm & 7);
	return o;
}

/* ---- one instruction ---- */

static unsigned extra_prefixes(struct making *m, const struct form *f, u8 *out)
{
	unsigned n = 0;

	if (m->low ? m->addr16 != (m->c->mode == 2) : percent(&m->r, 3))
		out[n++] = 0x67;
	if (percent(&m->r, f->modrm < 0xc0 ? 6 : 1))
		out[n++] = percent(&m->r, 80) ? 0x64 + below(&m->r, 2) : 0x26 + below(&m->r, 4) * 8;
	if (f->enc == ENC_LEGACY &&
		percent(&m->r, f->desc->attr & IA_LOCK && f->modrm < 0xc0 ? 15 : 0))
		out[n++] = 0xf0;
	if (f->enc == ENC_LEGACY && f->map == 0 && percent(&m->r, 1))
		out[n++] = 0x66;
	return n;
}

static const struct form *pick_form(struct making *m)
{
	static const u8 weight[FORM_CLASSES] = {42, 17, 2, 11, 13, 15};
	const struct form_list *l = NULL;
	unsigned p = below(&m->r, 100), class = 0;

	while (class + 1 < FORM_CLASSES && p >= weight[class])
		p -= weight[class ++];
	l = &m->forms->list[form_mode(m->c->mode)][class];
	return &l->form[below(&m->r, l->count)];
}

static bool same_row(const struct insn_desc *a, const struct insn_desc *b)
{
	return a == b || (a->name && b->name && !strcmp(a->name, b->name));
}

/* Bytes of a whole instruction of this form; false: try again. */
static bool make_insn(struct making *m, const struct form *f, u8 *out, struct insn *in)
{
	bool modrm = f->desc->attr & IA_MODRM;
	struct operand o;
	u8 vvvv = f->desc->vvvv != RK_NONE ? pick_register(m, general(f->desc->vvvv)) : 0;
	unsigned n = extra_prefixes(m, f, out);
	u64 imm = percent(&m->r, 50) ? interesting(&m->r) : rnd(&m->r);

	o = operand(m, f);
	if (!modrm)
		o = (struct operand){
			.rxb = m->c->mode == 8 && f->enc == ENC_LEGACY ? below(&m->r, 2) : 0};
	n += form_encode(f, m->c->mode, o.rxb, percent(&m->r, 10), vvvv, out + n);
	memcpy(out + n, o.bytes, o.len);
	n += o.len;
	memcpy(out + n, &imm, 8);
	if (insn_decode(in, out, INSN_MAX, m->c->mode) != INSN_OK || !same_row(in->desc, f->desc))
		return false;
	if (o.relative && in->base == BASE_RIP) {
		s64 disp = in->disp - (s64)(m->c->start.rip + m->c->bytes + in->len);

		memcpy(out + in->disp_off, &disp, 4);
		in->disp = (s32)disp;
	}
	return true;
}

/* ---- what instructions need ---- */

static void aim(struct making *m, u8 len, u8 patch)
{
	m->target[m->targets++] = (struct target){.insn = m->c->count,
		.len = len,
		.patch = patch,
		.to = m->c->count + 1 + below(&m->r, 3)};
}

static int add_patch(struct making *m, u64 addr, u64 value)
{
	struct insn_case *c = m->c;

	if (c->patches == PATCHES_MAX || addr - case_data(c) > DATA_BYTES - 8)
		return -1;
	c->patch[c->patches].addr = addr;
	c->patch[c->patches].value = value;
	return c->patches++;
}

/* Linear address of the top of the stack, at the start. */
static u64 stack_address(const struct making *m)
{
	const struct insn_case *c = m->c;
	u64 sp = c->start.gpr[RSP];

	if (c->kind == KIND_FLAT)
		return sp;
	return c->seg[SEG_SS].base + (c->seg[SEG_SS].attr & SEG_DB ? sp : (u16)sp);
}

/* The flags that popf finds: nothing that changes how the rest is executed but for an occasional trap flag. */
static bool need_flags(struct making *m)
{
	u64 v = FL_FIXED | (rnd(&m->r) & (FL_STATUS | FL_DF | FL_IF | FL_IOPL | FL_ID));

	if (percent(&m->r, 10))
		v |= FL_TF;
	return !m->stack_used && m->known[RSP] && add_patch(m, stack_address(m), v) >= 0;
}

/* A selector that the case has. */
static u16 good_selector(struct making *m)
{
	return m->c->seg[percent(&m->r, 85) ? (unsigned)SEG_DS : below(&m->r, 6)].selector;
}

/* Where a memory operand with known registers lies, else 0. */
static u64 operand_address(struct making *m, const struct insn *in)
{
	const u64 *g = m->c->start.gpr;
	u64 off = (u64)in->disp;

	if (!in->is_mem || (in->base <= R15 && !m->known[in->base]) ||
		(in->index <= R15 && !m->known[in->index]))
		return 0;
	if (in->base <= R15)
		off += g[in->base];
	if (in->index <= R15)
		off += g[in->index] * in->scale;
	off = in->addr_size == 2 ? (u16)off : (u32)off;
	return (u32)(m->c->seg[in->seg].base + off);
}

/* Far pointers in memory: to a place in the case, or to data. */
static bool need_far(struct making *m, u8 *code, const struct insn *in)
{
	u64 cs = m->c->seg[SEG_CS].selector, flags = m->c->start.rflags & 0xffff;
	unsigned shift = in->op_size * 8;
	int patch;

	switch (in->desc->op) {
	case OP_JMP_FAR_IMM:
	case OP_CALL_FAR_IMM:
		memcpy(code + in->imm_off + in->op_size, &cs, 2);
		m->target[m->targets] = (struct target){.insn = m->c->count,
			.len = in->op_size + 2,
			.far = true,
			.to = m->c->count + 1 + below(&m->r, 3)};
		m->targets++;
		return true;
	case OP_LOAD_FAR:
		add_patch(m, operand_address(m, in),
			(u64)good_selector(m) << shift | (u16)pick_offset(m, SEG_DS));
		return true;
	case OP_JMP_FAR_M:
	case OP_CALL_FAR_M: patch = add_patch(m, operand_address(m, in), cs << shift); break;
	case OP_POP_SEG:
		if (!m->stack_used && m->known[RSP])
			add_patch(m, stack_address(m), good_selector(m));
		return true;
	default: /* RET_FAR, IRET */
		if (m->stack_used || !m->known[RSP])
			return percent(&m->r, 20);
		if (in->desc->op == OP_IRET && in->op_size == 4)
			add_patch(m, stack_address(m) + 8, flags);
		patch = add_patch(
			m, stack_address(m), cs << shift | (in->op_size == 2 ? flags << 32 : 0));
		break;
	}
	if (patch >= 0)
		aim(m, 0, patch);
	return true;
}

static void need_target(struct making *m, const struct insn *in)
{
	u64 addr = stack_address(m);
	int patch;

	if (percent(&m->r, 30))
		return;
	if (in->desc->op != OP_RET) {
		if (!in->is_mem || in->base > R15 || !m->known[in->base] || in->index != REG_NONE)
			return;
		addr = m->low ? operand_address(m, in) : m->c->start.gpr[in->base] + in->disp;
	} else if (m->stack_used || !m->known[RSP]) {
		return;
	}
	patch = add_patch(m, addr, 0);
	if (patch >= 0)
		aim(m, 0, patch);
}

/*
 * 66 before a near branch cuts the target to 16 bits on AMD's processors and has no effect on Intel's; F2 and F3
 * change the condition of LOOPE and LOOPNE on some. With a count of zero some ask for permission to do no I/O. VEX.W
 * outside 64-bit mode, where there are no 64-bit registers to insert, is ignored or #UD. ENTER of 32 bits on a 16-bit
 * stack makes a frame pointer of SP or of ESP.
 */
static bool differs_by_vendor(const struct making *m, const struct form *f, const struct insn *in)
{
	if (in->desc->op == OP_LOOP && (in->pfx & (PFX_REP | PFX_REPNE)))
		return true;
	if ((in->desc->op == OP_INS || in->desc->op == OP_OUTS) &&
		(in->pfx & (PFX_REP | PFX_REPNE)))
		return true;
	if (m->low && in->desc->op == OP_ENTER && in->op_size == 4 &&
		!(m->c->seg[SEG_SS].attr & SEG_DB))
		return true;
	if (m->c->mode != 8 && f->enc == ENC_VEX && in->desc->msize == MS_OP48 && f->w)
		return true;
	return m->c->mode == 8 && (in->desc->attr & IA_FORCE64) && (in->pfx & PFX_66) &&
	       !(in->rex & 8);
}

static bool prepare(struct making *m, u8 *code, const struct insn *in)
{
	switch (in->desc->op) {
	case OP_JCC:
	case OP_JMP_REL:
	case OP_CALL_REL:
	case OP_LOOP:
	case OP_JCXZ: aim(m, in->imm_len, 0); return true;
	case OP_RET:
	case OP_JMP_RM:
	case OP_CALL_RM: need_target(m, in); return true;
	case OP_POPF: return need_flags(m);
	case OP_JMP_FAR_IMM:
	case OP_CALL_FAR_IMM:
	case OP_JMP_FAR_M:
	case OP_CALL_FAR_M:
	case OP_LOAD_FAR:
	case OP_POP_SEG:
	case OP_RET_FAR:
	case OP_IRET: return need_far(m, code, in);
	case OP_ENTER:
		if (percent(&m->r, 80))
			code[in->imm_off + 2] = below(&m->r, 4);
		if (percent(&m->r, 80))
			code[in->imm_off + 1] = 0;
		return true;
	case OP_FNSTENV:
	case OP_FNSAVE:
	case OP_FXSAVE: m->c->image = true; return true;
	default: return true;
	}
}

static void forget(struct making *m, unsigned reg)
{
	m->known[reg & 15] = m->pointer[reg & 15] = false;
}

static void note_effects(struct making *m, const struct insn *in)
{
	if (general(in->desc->reg))
		forget(m, in->reg);
	if (in->has_modrm && !in->is_mem && general(in->desc->rm))
		forget(m, in->rm);
	if (general(in->desc->vvvv))
		forget(m, in->vvvv);
	for (unsigned i = 0; i < GPR_COUNT; i++)
		if (in->desc->impl_regs & BIT(i))
			m->known[i] = false;
	if (in->desc->attr & IA_RSP)
		m->stack_used = true;
	if (in->desc->op == OP_LEAVE || in->desc->op == OP_ENTER || in->desc->op == OP_POPA)
		m->known[RSP] = false;
}

static bool form_fits(const struct insn_case *c, u8 ok)
{
	if (c->kind == KIND_FLAT)
		return ok & (c->cpl == 0 ? OK_KERNEL : OK_HOST);
	return ok & (c->kind == KIND_REAL ? OK_REAL | OK_KERNEL : OK_LOW | OK_HOST);
}

static bool add_insn(struct making *m)
{
	struct insn_case *c = m->c;
	const struct form *f = pick_form(m);
	u8 code[INSN_MAX + 16] = {0}, ok = form_allowed(f->desc);
	struct insn in;

	m->addr16 = m->low && percent(&m->r, c->mode == 2 ? 75 : 12);
	if (!make_insn(m, f, code, &in) || !form_fits(c, ok))
		return false;
	if (differs_by_vendor(m, f, &in) || !prepare(m, code, &in))
		return false;
	c->with_host = c->with_host && (ok & OK_HOST);
	memcpy(c->code + c->bytes, code, in.len);
	c->at[c->count++] = c->bytes;
	c->bytes += in.len;
	note_effects(m, &in);
	return true;
}

/* ---- the end ---- */

static void resolve(struct making *m)
{
	struct insn_case *c = m->c;

	for (unsigned i = 0; i < m->targets; i++) {
		const struct target *t = &m->target[i];
		unsigned to = c->at[MIN((unsigned)t->to, c->count)], next = c->at[t->insn + 1];
		s64 rel = (s64)to - next;

		if (t->far)
			memcpy(c->code + next - t->len, (const u64[]){c->start.rip + to},
				t->len - 2);
		else if (t->len)
			memcpy(c->code + next - t->len, &rel, t->len);
		else
			c->patch[t->patch].value += c->start.rip + to;
	}
}

static void finish(struct making *m)
{
	struct insn_case *c = m->c;
	u64 land = c->mode == 4 ? L_LAND32 : L_LAND;
	s32 rel = (s32)(land - (c->start.rip + c->bytes + 5));

	c->at[c->count] = c->bytes;
	if (m->low) {
		c->code[c->bytes++] = 0xcc;
		resolve(m);
		return;
	}
	c->code[c->bytes] = 0xe9;
	memcpy(c->code + c->bytes + 1, &rel, 4);
	c->bytes += 5;
	resolve(m);
}

void generate(const struct forms *f, u64 seed, u64 number, struct insn_case *ret)
{
	struct making m = {.c = ret, .forms = f, .low = number % LOW_EVERY == LOW_EVERY - 1};
	unsigned want, tries = 0;

	memset(ret, 0, sizeof(*ret));
	ret->seed = seed;
	ret->number = number;
	m.r.state = seed;
	m.r.state = rnd(&m.r) ^ number;
	m.r.state = rnd(&m.r); /* else the streams of neighbours would overlap */
	start(&m);
	want = percent(&m.r, 35) ? 1 : 1 + below(&m.r, SEQ_MAX);
	while (ret->count < want && !ret->image && tries++ < 200)
		add_insn(&m);
	finish(&m);
}
