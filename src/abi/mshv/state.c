/* SPDX-License-Identifier: MIT */
/* MSHV_GET_VP_STATE, MSHV_SET_VP_STATE: what of a VP is more than registers. */
#include "abi/mshv/mshv.h"

#include <string.h>

#include "abi/mshv/features.h"
#include "abi/mshv/hvcall.h"
#include "x86/fxsave.h"

/* ---- the local APIC: its registers lie 16 bytes apart in the engine's page, SDM 3:10.4.1 ---- */

#define LAPIC_PAGE  1024
#define PENDING_NMI BIT(2) /* in the first word of the request register */

/* Every field of the state but the sets of vectors, and its place in the page. */
static const struct {
	u16 state, page;
} lapic_fields[] = {
#define FIELD(name, page)                                                                          \
	{                                                                                          \
		offsetof(struct hv_lapic_state, name), page                                        \
	}
	FIELD(id, 0x20),
	FIELD(version, 0x30),
	FIELD(ldr, 0xd0),
	FIELD(dfr, 0xe0),
	FIELD(spurious, 0xf0),
	FIELD(esr, 0x280),
	FIELD(icr_high, 0x310),
	FIELD(icr_low, 0x300),
	FIELD(lvt_timer, 0x320),
	FIELD(lvt_thermal, 0x330),
	FIELD(lvt_perfmon, 0x340),
	FIELD(lvt_lint0, 0x350),
	FIELD(lvt_lint1, 0x360),
	FIELD(lvt_error, 0x370),
	FIELD(initial_count, 0x380),
	FIELD(counter_value, 0x390),
	FIELD(divide_configuration, 0x3e0),
#undef FIELD
};

static const struct {
	u16 state, page;
} lapic_vectors[] = {
	{offsetof(struct hv_lapic_state, isr), 0x100},
	{offsetof(struct hv_lapic_state, tmr), 0x180},
	{offsetof(struct hv_lapic_state, irr), 0x200},
};

static void lapic_copy(struct hv_lapic_state *state, u8 *page, bool to_page)
{
	u8 *s = (u8 *)state;

	for (unsigned i = 0; i < ARRAY_SIZE(lapic_fields); i++) {
		u8 *a = s + lapic_fields[i].state, *b = page + lapic_fields[i].page;

		memcpy(to_page ? b : a, to_page ? a : b, 4);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(lapic_vectors); i++)
		for (unsigned word = 0; word < 8; word++) {
			u8 *a = s + lapic_vectors[i].state + 4 * word;
			u8 *b = page + lapic_vectors[i].page + 16 * word;

			memcpy(to_page ? b : a, to_page ? a : b, 4);
		}
}

static u16 lapic_get(struct mshv_vp *v, void *data)
{
	struct hv_lapic_state *state = data;
	struct vcpu_state s;
	u8 page[LAPIC_PAGE];

	if (vcpu_get_lapic(v->cpu, page))
		return HVS_INVALID_VP_STATE;
	lapic_copy(state, page, false);
	vcpu_get(v->cpu, ST_EVENT, &s);
	state->irr[0] |= s.events.nmi.pending ? PENDING_NMI : 0;
	return HVS_SUCCESS;
}

/* What the state does not have (the task priority) stays. */
static u16 lapic_set(struct mshv_vp *v, const void *data)
{
	struct hv_lapic_state state;
	struct vcpu_state s;
	u8 page[LAPIC_PAGE];

	memcpy(&state, data, sizeof(state));
	vcpu_get(v->cpu, ST_EVENT, &s);
	s.events.nmi.pending = state.irr[0] & PENDING_NMI ? 1 : 0;
	state.irr[0] &= ~PENDING_NMI;
	if (vcpu_get_lapic(v->cpu, page))
		return HVS_INVALID_VP_STATE;
	lapic_copy(&state, page, true);
	if (vcpu_set_lapic(v->cpu, page))
		return HVS_INVALID_PARAMETER;
	vcpu_set(v->cpu, ST_EVENT, &s);
	return HVS_SUCCESS;
}

/* ---- XSAVE, compacted: behind the header the components of the layout, one after the other, SDM 1:13.4.3 ---- */

#define XCOMP_COMPACTED BIT64(63)

#define LEGACY_BYTES 576

static void xsave_pack(const struct mshv_vp *v, const u8 *standard, u8 *compact)
{
	struct xsave_component c;

	memcpy(compact, standard, LEGACY_BYTES);
	compact += LEGACY_BYTES;
	for (unsigned i = XSAVE_FIRST; i < XSAVE_COMPONENTS; i++) {
		if (!features_xsave_component(v->partition, i, &c))
			continue;
		memcpy(compact, standard + c.offset, c.size);
		compact += c.size;
	}
}

/* layout: which components there are. */
static void xsave_unpack(const struct mshv_vp *v, const u8 *compact, u64 layout, u8 *standard)
{
	struct xsave_component c;

	memcpy(standard, compact, LEGACY_BYTES);
	compact += LEGACY_BYTES;
	for (unsigned i = XSAVE_FIRST; i < XSAVE_COMPONENTS; i++) {
		if (!(layout >> i & 1) || !features_xsave_component(v->partition, i, &c))
			continue;
		memcpy(standard + c.offset, compact, c.size);
		compact += c.size;
	}
}

static u16 xsave_get(struct mshv_vp *v, void *data)
{
	u64 layout = XCOMP_COMPACTED | XSTATE_X87_SSE | features_xsave_states(v->partition);
	struct vcpu_state s;

	vcpu_get(v->cpu, ST_XSAVE, &s);
	memcpy(s.xsave + XCOMP_BV_OFFSET, &layout, sizeof(layout));
	xsave_pack(v, s.xsave, data);
	return HVS_SUCCESS;
}

static u16 xsave_set(struct mshv_vp *v, const void *data)
{
	u64 states = XSTATE_X87_SSE | features_xsave_states(v->partition), layout;
	struct vcpu_state s = {0};

	memcpy(&layout, (const u8 *)data + XCOMP_BV_OFFSET, sizeof(layout));
	if (!(layout & XCOMP_COMPACTED) || layout & ~(XCOMP_COMPACTED | states))
		return HVS_INVALID_PARAMETER;
	xsave_unpack(v, data, layout, s.xsave);
	memset(s.xsave + XCOMP_BV_OFFSET, 0, sizeof(layout));
	return vcpu_set(v->cpu, ST_XSAVE, &s) ? HVS_INVALID_PARAMETER : HVS_SUCCESS;
}

/* ---- the pages of the synthetic interrupt controller ---- */

/* Where the guest has its page; false: it has none, and the bytes are kept here. */
static bool guest_page(struct mshv_vp *v, u32 msr, u64 *ret_gpa)
{
	u64 value = 0;

	if (vcpu_get_msr(v->cpu, msr, &value, true) || !(value & HV_PAGE_ENABLE))
		return false;
	*ret_gpa = value & ~(HV_PAGE_SIZE - 1ull);
	return true;
}

static u16 page_get(struct mshv_vp *v, u32 msr, const u8 *own, void *data)
{
	u64 gpa;

	if (!guest_page(v, msr, &gpa) ||
		machine_read(v->partition->machine, gpa, data, HV_PAGE_SIZE))
		memcpy(data, own, HV_PAGE_SIZE);
	return HVS_SUCCESS;
}

static u16 page_set(struct mshv_vp *v, u32 msr, u8 *own, const void *data)
{
	u64 gpa;

	if (!guest_page(v, msr, &gpa) ||
		machine_write(v->partition->machine, gpa, data, HV_PAGE_SIZE))
		memcpy(own, data, HV_PAGE_SIZE);
	return HVS_SUCCESS;
}

static u16 simp_get(struct mshv_vp *v, void *data)
{
	return page_get(v, HV_SIMP, v->simp, data);
}

static u16 simp_set(struct mshv_vp *v, const void *data)
{
	return page_set(v, HV_SIMP, v->simp, data);
}

static u16 siefp_get(struct mshv_vp *v, void *data)
{
	return page_get(v, HV_SIEFP, v->siefp, data);
}

static u16 siefp_set(struct mshv_vp *v, const void *data)
{
	return page_set(v, HV_SIEFP, v->siefp, data);
}

/* ---- synthetic timers ---- */

static u16 timers_get(struct mshv_vp *v, void *data)
{
	struct hv_stimers_state *state = data;

	for (u32 i = 0; i < ARRAY_SIZE(state->timer); i++) {
		vcpu_get_msr(v->cpu, HV_STIMER0_CONFIG + 2 * i, &state->timer[i].config, true);
		vcpu_get_msr(v->cpu, HV_STIMER0_CONFIG + 2 * i + 1, &state->timer[i].count, true);
	}
	return HVS_SUCCESS;
}

/* The count first: the timer starts with its configuration. */
static u16 timers_set(struct mshv_vp *v, const void *data)
{
	const struct hv_stimers_state *state = data;

	for (u32 i = 0; i < ARRAY_SIZE(state->timer); i++) {
		u64 config = state->timer[i].config, count = state->timer[i].count;

		if (vcpu_set_msr(v->cpu, HV_STIMER0_CONFIG + 2 * i, 0, true) ||
			vcpu_set_msr(v->cpu, HV_STIMER0_CONFIG + 2 * i + 1, count, true) ||
			vcpu_set_msr(v->cpu, HV_STIMER0_CONFIG + 2 * i, config, true))
			return HVS_INVALID_PARAMETER;
	}
	return HVS_SUCCESS;
}

/* ---- the requests ---- */

static u64 page_bytes(const struct mshv_partition *p)
{
	return HV_PAGE_SIZE;
}

static u64 timer_bytes(const struct mshv_partition *p)
{
	return sizeof(struct hv_stimers_state);
}

static const struct {
	u64 (*bytes)(const struct mshv_partition *p);
	u16 (*get)(struct mshv_vp *v, void *data); /* all of data is 0 */
	u16 (*set)(struct mshv_vp *v, const void *data);
} states[MSHV_VP_STATE_COUNT] = {
	[MSHV_VP_STATE_LAPIC] = {page_bytes, lapic_get, lapic_set},
	[MSHV_VP_STATE_XSAVE] = {features_xsave_size, xsave_get, xsave_set},
	[MSHV_VP_STATE_SIMP] = {page_bytes, simp_get, simp_set},
	[MSHV_VP_STATE_SIEFP] = {page_bytes, siefp_get, siefp_set},
	[MSHV_VP_STATE_SYNTHETIC_TIMERS] = {timer_bytes, timers_get, timers_set},
};

static long check(struct call *c, const struct mshv_get_set_vp_state *a)
{
	if (a->type >= MSHV_VP_STATE_COUNT)
		return refuse(c->why, -EINVAL, "type %lu: must be below %lu", (u64)a->type,
			(u64)MSHV_VP_STATE_COUNT);
	if (!all_zero(a->rsvd, sizeof(a->rsvd)))
		return refuse(c->why, -EINVAL, NOT_ZERO);
	if (!a->buf_sz || (a->buf_sz | a->buf_ptr) & (HV_PAGE_SIZE - 1))
		return refuse(c->why, -EINVAL,
			"buf_sz %lu, buf_ptr 0x%lx: must be multiples of 4096, and buf_sz not 0",
			(u64)a->buf_sz, (u64)a->buf_ptr);
	return 0;
}

static long transfer(struct call *c, const struct mshv_get_set_vp_state *a, u64 bytes, bool set)
{
	u64 data[HV_PAGE_SIZE / sizeof(u64)] = {0};
	struct mshv_vp *v = vp_of(c);
	u16 status;

	if (set && copy_in(c->dev, data, a->buf_ptr, bytes))
		return -EFAULT;
	status = set ? states[a->type].set(v, data) : states[a->type].get(v, data);
	if (status)
		return refuse(c->why, hvcall_errno(status), "state %lu: ends with status 0x%lx",
			(u64)a->type, (u64)status);
	return !set && copy_out(c->dev, a->buf_ptr, data, bytes) ? -EFAULT : 0;
}

static long get_or_set(struct call *c, bool set)
{
	struct mshv_get_set_vp_state a;
	u64 bytes;
	u32 given;

	if (copy_in(c->dev, &a, c->arg, sizeof(a)))
		return -EFAULT;
	if (check(c, &a))
		return -EINVAL;
	bytes = states[a.type].bytes(vp_of(c)->partition);
	given = a.buf_sz;
	a.buf_sz = (u32)bytes;
	if (copy_out(c->dev, c->arg, &a, sizeof(a)))
		return -EFAULT;
	if (bytes > given)
		return refuse(
			c->why, -EINVAL, "buf_sz %lu: %lu bytes are necessary", (u64)given, bytes);
	return transfer(c, &a, bytes, set);
}

long vp_get_state(struct call *c)
{
	return get_or_set(c, false);
}

long vp_set_state(struct call *c)
{
	return get_or_set(c, true);
}
