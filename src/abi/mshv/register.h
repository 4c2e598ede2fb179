/* SPDX-License-Identifier: MIT */
/*
 * A VP's registers by their names (registers.def). The VP is the caller's: vp_take(), or it does not run.
 */
#ifndef ABI_MSHV_REGISTER_H
#define ABI_MSHV_REGISTER_H

#include "abi/mshv/mshv.h"

/* Statuses (HVS_*). */
u16 register_get(struct mshv_vp *v, u32 name, struct hv_value128 *ret);
u16 register_set(struct mshv_vp *v, u32 name, const struct hv_value128 *value);
/* For people; NULL: there is no such register. Several in a row have the name of the first. */
const char *register_name(u32 name);

/*
 * Control and segment registers, which callers change one by one: together they may be, for a while, what no processor can
 * hold. Then they are staged, and the engine's stay as they are until the last one fits, or the VP runs.
 */
void sregs_load(struct mshv_vp *v, struct vcpu_state *ret);
void sregs_store(struct mshv_vp *v, const struct vcpu_state *s);
/* Before it runs: false if what is staged is still impossible. */
bool sregs_settle(struct mshv_vp *v);

static inline struct hv_segment segment_out(const struct segment *s)
{
	u16 attr = (u16)(s->attr & 0xf0ff);

	return (struct hv_segment){.base = s->base,
		.limit = s->limit,
		.selector = s->selector,
		.attr = s->attr & SEG_UNUSABLE ? attr & (u16)~SEG_P : attr};
}

static inline struct segment segment_in(const struct hv_segment *h)
{
	return (struct segment){.base = h->base,
		.limit = h->limit,
		.selector = h->selector,
		.attr = (h->attr & 0xf0ffu) | (h->attr & SEG_P ? 0 : SEG_UNUSABLE)};
}

/* The legacy part of the vector state. Bits of MXCSR that do not exist are not taken. */
struct fxsave;
void vp_fxsave_get(struct mshv_vp *v, struct fxsave *ret);
void vp_fxsave_set(struct mshv_vp *v, const struct fxsave *f);

/* What the register page and messages show as well. */
u64 pending_interruption(const struct vcpu_events *e);
static inline u64 interrupt_state(u8 shadow, bool nmi_masked)
{
	return (shadow ? HV_INTERRUPT_SHADOW : 0) | (nmi_masked ? HV_NMI_MASKED : 0);
}
/* What the VP is to be told of (HV_NOTIFY_*, but for SINTs), from now on. */
void notify_set(struct mshv_vp *v, u64 notify);

/* ---- getters and setters that registers.def names ---- */

struct register_row;
typedef u16 (*register_getter)(
	struct mshv_vp *v, const struct register_row *r, u32 n, struct hv_value128 *ret);
typedef u16 (*register_setter)(
	struct mshv_vp *v, const struct register_row *r, u32 n, const struct hv_value128 *value);

struct register_row {
	const char *name;
	u32 first, last;
	u32 msr;   /* of the first, where it is an MSR */
	u8 stride; /* from one to the next */
	register_getter get;
	register_setter set;
};

#define REGISTER(first, last, msr, stride, get, set)                                               \
	u16 get(struct mshv_vp *v, const struct register_row *r, u32 n, struct hv_value128 *ret);  \
	u16 set(struct mshv_vp *v, const struct register_row *r, u32 n,                            \
		const struct hv_value128 *value);
#include "abi/mshv/registers.def"

#endif
