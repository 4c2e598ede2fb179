/* SPDX-License-Identifier: MIT */
/* Registers of the processor itself: general, vector, control, debug, segment registers. */
#include <string.h>

#include "abi/mshv/register.h"
#include "x86/fxsave.h"

/* ---- one field of the state each: its group, its place, and whether it can have the value in ---- */

#define STATE(name, group, place, possible)                                                        \
	u16 get_##name(                                                                            \
		struct mshv_vp *v, const struct register_row *r, u32 n, struct hv_value128 *ret)   \
	{                                                                                          \
		struct vcpu_state s;                                                               \
                                                                                                   \
		vcpu_get(v->cpu, group, &s);                                                       \
		ret->low = place;                                                                  \
		return HVS_SUCCESS;                                                                \
	}                                                                                          \
                                                                                                   \
	u16 set_##name(struct mshv_vp *v, const struct register_row *r, u32 n,                     \
		const struct hv_value128 *value)                                                   \
	{                                                                                          \
		const u64 in = value->low;                                                         \
		struct vcpu_state s;                                                               \
                                                                                                   \
		if (!(possible))                                                                   \
			return HVS_INVALID_REGISTER_VALUE;                                         \
		vcpu_get(v->cpu, group, &s);                                                       \
		place = in;                                                                        \
		return vcpu_set(v->cpu, group, &s) ? HVS_INVALID_REGISTER_VALUE : HVS_SUCCESS;     \
	}

STATE(gpr, ST_REGS, s.gpr[n], true)
STATE(rflags, ST_REGS, s.rflags, !(in & ~(FL_DEFINED | FL_FIXED)))
STATE(xfem, ST_XCR, s.xcr0, true)
STATE(dr, ST_DEBUG, s.dr[n], true)
STATE(dr67, ST_DEBUG, s.dr[n + 6], true)

u16 get_rip(struct mshv_vp *v, const struct register_row *r, u32 n, struct hv_value128 *ret)
{
	struct vcpu_view look;

	vcpu_look(v->cpu, &look);
	ret->low = look.rip;
	return HVS_SUCCESS;
}

u16 set_rip(struct mshv_vp *v, const struct register_row *r, u32 n, const struct hv_value128 *value)
{
	vp_go_to(v, value->low);
	return HVS_SUCCESS;
}

/* ---- x87 and SSE: the legacy part of the XSAVE image, SDM 1:10.5.1 ---- */

static struct fxsave *fpu_get(struct mshv_vp *v, struct vcpu_state *s)
{
	vcpu_get(v->cpu, ST_XSAVE, s);
	return (struct fxsave *)s->xsave;
}

static u16 fpu_set(struct mshv_vp *v, struct vcpu_state *s)
{
	u64 present;

	memcpy(&present, s->xsave + XSTATE_BV_OFFSET, sizeof(present));
	present |= XSTATE_X87_SSE;
	memcpy(s->xsave + XSTATE_BV_OFFSET, &present, sizeof(present));
	return vcpu_set(v->cpu, ST_XSAVE, s) ? HVS_INVALID_REGISTER_VALUE : HVS_SUCCESS;
}

void vp_fxsave_get(struct mshv_vp *v, struct fxsave *ret)
{
	struct vcpu_state s;

	*ret = *fpu_get(v, &s);
}

void vp_fxsave_set(struct mshv_vp *v, const struct fxsave *f)
{
	struct vcpu_state s;
	struct fxsave *own = fpu_get(v, &s);
	u32 mask = own->mxcsr_mask;

	*own = *f;
	own->mxcsr &= mask;
	own->mxcsr_mask = mask;
	fpu_set(v, &s);
}

u16 get_xmm(struct mshv_vp *v, const struct register_row *r, u32 n, struct hv_value128 *ret)
{
	struct vcpu_state s;

	memcpy(ret, fpu_get(v, &s)->xmm[n], sizeof(*ret));
	return HVS_SUCCESS;
}

u16 set_xmm(struct mshv_vp *v, const struct register_row *r, u32 n, const struct hv_value128 *value)
{
	struct vcpu_state s;

	memcpy(fpu_get(v, &s)->xmm[n], value, sizeof(*value));
	return fpu_set(v, &s);
}

#define ST_BYTES 10

u16 get_st(struct mshv_vp *v, const struct register_row *r, u32 n, struct hv_value128 *ret)
{
	struct vcpu_state s;

	memcpy(ret, fpu_get(v, &s)->st[n], ST_BYTES);
	return HVS_SUCCESS;
}

u16 set_st(struct mshv_vp *v, const struct register_row *r, u32 n, const struct hv_value128 *value)
{
	struct vcpu_state s;

	memcpy(fpu_get(v, &s)->st[n], value, ST_BYTES);
	return fpu_set(v, &s);
}

u16 get_fp_control(struct mshv_vp *v, const struct register_row *r, u32 n, struct hv_value128 *ret)
{
	struct vcpu_state s;
	const struct fxsave *f = fpu_get(v, &s);
	struct hv_fp_control c = {
		.fcw = f->fcw, .fsw = f->fsw, .ftw = f->ftw, .fop = f->opcode, .fip = f->ip};

	memcpy(ret, &c, sizeof(c));
	return HVS_SUCCESS;
}

u16 set_fp_control(
	struct mshv_vp *v, const struct register_row *r, u32 n, const struct hv_value128 *value)
{
	struct vcpu_state s;
	struct fxsave *f = fpu_get(v, &s);
	struct hv_fp_control c;

	memcpy(&c, value, sizeof(c));
	f->fcw = c.fcw;
	f->fsw = c.fsw;
	f->ftw = c.ftw;
	f->opcode = c.fop;
	f->ip = c.fip;
	return fpu_set(v, &s);
}

u16 get_xmm_control(struct mshv_vp *v, const struct register_row *r, u32 n, struct hv_value128 *ret)
{
	struct vcpu_state s;
	const struct fxsave *f = fpu_get(v, &s);
	struct hv_xmm_control c = {.fdp = f->dp, .mxcsr = f->mxcsr, .mxcsr_mask = f->mxcsr_mask};

	memcpy(ret, &c, sizeof(c));
	return HVS_SUCCESS;
}

/* The mask is the processor's. */
u16 set_xmm_control(
	struct mshv_vp *v, const struct register_row *r, u32 n, const struct hv_value128 *value)
{
	struct vcpu_state s;
	struct fxsave *f = fpu_get(v, &s);
	struct hv_xmm_control c;

	memcpy(&c, value, sizeof(c));
	f->dp = c.fdp;
	f->mxcsr = c.mxcsr;
	return fpu_set(v, &s);
}

/* ---- control registers, segments, tables: staged while they do not fit ---- */

void sregs_load(struct mshv_vp *v, struct vcpu_state *ret)
{
	if (v->staged)
		*ret = v->staging;
	else
		vcpu_get(v->cpu, ST_SREGS, ret);
}

void sregs_store(struct mshv_vp *v, const struct vcpu_state *s)
{
	v->staged = vcpu_set(v->cpu, ST_SREGS, s) ? ST_SREGS : 0;
	if (v->staged)
		v->staging = *s;
}

bool sregs_settle(struct mshv_vp *v)
{
	if (likely(!v->staged))
		return true;
	sregs_store(v, &v->staging);
	return !v->staged;
}

/* The name of each, and the bits that it can have: others are refused at once. */
#define CR4_POSSIBLE  0x1ffffffull
#define EFER_POSSIBLE 0x3ffd01ull
#define ANY           (~0ull)

#define SREG(name, field, possible)                                                                \
	u16 get_##name(                                                                            \
		struct mshv_vp *v, const struct register_row *r, u32 n, struct hv_value128 *ret)   \
	{                                                                                          \
		struct vcpu_state s;                                                               \
                                                                                                   \
		sregs_load(v, &s);                                                                 \
		ret->low = s.field;                                                                \
		return HVS_SUCCESS;                                                                \
	}                                                                                          \
                                                                                                   \
	u16 set_##name(struct mshv_vp *v, const struct register_row *r, u32 n,                     \
		const struct hv_value128 *value)                                                   \
	{                                                                                          \
		struct vcpu_state s;                                                               \
                                                                                                   \
		if (value->low & ~(possible))                                                      \
			return HVS_INVALID_REGISTER_VALUE;                                         \
		sregs_load(v, &s);                                                                 \
		s.field = value->low;                                                              \
		sregs_store(v, &s);                                                                \
		return HVS_SUCCESS;                                                                \
	}

SREG(cr0, cr0, 0xffffffffull)
SREG(cr2, cr2, ANY)
SREG(cr3, cr3, ANY)
SREG(cr4, cr4, CR4_POSSIBLE)
SREG(cr8, cr8, 15ull)
SREG(efer, efer, EFER_POSSIBLE)
SREG(apic_base, apic_base, ANY)

/* Names go on with LDTR, TR; the engine has them the other way round. */
static unsigned segment_of(u32 n)
{
	return n == 6 ? SEG_LDTR : n == 7 ? SEG_TR : n;
}

u16 get_segment(struct mshv_vp *v, const struct register_row *r, u32 n, struct hv_value128 *ret)
{
	struct hv_segment h;
	struct vcpu_state s;

	sregs_load(v, &s);
	h = segment_out(&s.seg[segment_of(n)]);
	memcpy(ret, &h, sizeof(h));
	return HVS_SUCCESS;
}

u16 set_segment(
	struct mshv_vp *v, const struct register_row *r, u32 n, const struct hv_value128 *value)
{
	struct hv_segment h;
	struct vcpu_state s;

	memcpy(&h, value, sizeof(h));
	sregs_load(v, &s);
	s.seg[segment_of(n)] = segment_in(&h);
	sregs_store(v, &s);
	return HVS_SUCCESS;
}

static void table_out(const struct dtable *t, struct hv_value128 *ret)
{
	struct hv_table h = {.limit = t->limit, .base = t->base};

	memcpy(ret, &h, sizeof(h));
}

static struct dtable table_in(const struct hv_value128 *value)
{
	struct hv_table h;

	memcpy(&h, value, sizeof(h));
	return (struct dtable){.base = h.base, .limit = h.limit};
}

#define TABLE(name, field)                                                                         \
	u16 get_##name(                                                                            \
		struct mshv_vp *v, const struct register_row *r, u32 n, struct hv_value128 *ret)   \
	{                                                                                          \
		struct vcpu_state s;                                                               \
                                                                                                   \
		sregs_load(v, &s);                                                                 \
		table_out(&s.field, ret);                                                          \
		return HVS_SUCCESS;                                                                \
	}                                                                                          \
                                                                                                   \
	u16 set_##name(struct mshv_vp *v, const struct register_row *r, u32 n,                     \
		const struct hv_value128 *value)                                                   \
	{                                                                                          \
		struct vcpu_state s;                                                               \
                                                                                                   \
		sregs_load(v, &s);                                                                 \
		s.field = table_in(value);                                                         \
		sregs_store(v, &s);                                                                \
		return HVS_SUCCESS;                                                                \
	}

TABLE(idtr, idt)
TABLE(gdtr, gdt)
