/* SPDX-License-Identifier: MIT */
/*
 * A case from a seed and a number: registers first, then one instruction after the other from the forms, with operands
 * that mostly lead to the data pages, then what refers to places that were not known before.
 */
#include <string.h>

#include "insn/generate.h"

#define LOW_EVERY 3  /* of so many cases one has segments */
#define AC_EVERY  16 /* one in so many has alignment checked */

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
	static const u8 weight[FORM_CLASSES] = {36, 15, 2, 10, 10, 12, 15};
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

/* Opmask, zeroing, broadcast, rounding: often, where the form has them. */
static u8 pick_p2(struct making *m, const struct form *f)
{
	u8 evex = f->desc->evex, p2 = 0;
	bool memory = f->modrm < 0xc0;

	if (evex & EV_NEEDS || (evex & EV_MASK && percent(&m->r, 65)))
		p2 = 1 + below(&m->r, 7);
	if (p2 && evex & EV_ZERO && !(memory && f->desc->mem == MEM_WRITE) && percent(&m->r, 40))
		p2 |= P2_Z;
	if (evex & (memory ? EV_BROADCAST : EV_ROUND | EV_SAE) && percent(&m->r, 30))
		p2 |= P2_B | below(&m->r, 4) << 5;
	return p2;
}

/* Bytes of a whole instruction of this form; false: try again. */
static bool make_insn(struct making *m, const struct form *f, u8 *out, struct insn *in)
{
	bool modrm = f->desc->attr & IA_MODRM;
	struct operand o;
	struct form_prefix p = {
		.vvvv = f->desc->vvvv != RK_NONE ? pick_register(m, f, f->desc->vvvv) : 0};
	unsigned n = extra_prefixes(m, f, out);
	u64 imm = percent(&m->r, 50) ? interesting(&m->r) : rnd(&m->r);

	o = operand(m, f);
	if (!modrm)
		o = (struct operand){
			.rxb = m->c->mode == 8 && f->enc == ENC_LEGACY ? below(&m->r, 2) : 0};
	p.rxb = o.rxb;
	p.vvvv |= o.v2 << 4;
	p.force_rex = percent(&m->r, 10);
	p.p2 = f->enc == ENC_EVEX ? pick_p2(m, f) : 0;
	n += form_encode(f, m->c->mode, p, out + n);
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
	if (m->c->mode != 8 && f->enc != ENC_LEGACY && in->desc->msize == MS_OP48 && f->w)
		return true;
	return m->c->mode == 8 && (in->desc->attr & IA_FORCE64) && (in->pfx & PFX_66) &&
	       !(in->rex & 8);
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
	c->with_host = c->with_host && (ok & OK_HOST) && (c->cpl != 0 || !(ok & OK_OWN));
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
	if (ret->cpl == 3 && number % AC_EVERY == 0) {
		ret->start.rflags |= FL_AC;
		ret->with_host = ret->with_host && !host_is_amd(); /* not measured */
	}
	want = percent(&m.r, 35) ? 1 : 1 + below(&m.r, SEQ_MAX);
	while (ret->count < want && !ret->image && tries++ < 200)
		add_insn(&m);
	finish(&m);
}
