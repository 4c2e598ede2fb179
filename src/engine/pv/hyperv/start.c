/* SPDX-License-Identifier: MIT */
/*
 * Hypercalls by which one processor starts others (TLFS 7.8.15, 7.8.16). The state with which one starts is the other
 * VP's to take (vcpu/start.c): here it is left for it, at most one.
 */
#include <stdlib.h>

#include "engine/core/vcpus.h"
#include "engine/irq/lapic.h"
#include "engine/pv/hyperv/hv.h"
#include "engine/request/post.h"

static bool waits_for_start(const struct vcpu *v)
{
	u32 state = atomic_load(&v->mp_state);

	return state == MP_UNINITIALIZED || state == MP_INIT_RECEIVED;
}

/* s is the vcpu's then. */
static u64 leave_start(struct vcpu *v, struct hv_start *s)
{
	struct hv_start *none = NULL;

	if (!waits_for_start(v) || !atomic_compare_exchange_strong(&v->hv->start, &none, s))
		return HVS_INVALID_VP_STATE;
	vcpu_post_event(v);
	return HVS_SUCCESS;
}

static u64 start_vp(struct machine *m, struct hv_start *s)
{
	struct vcpus all;
	struct vcpu *v;
	u64 status = HVS_INVALID_VP_INDEX;

	if (s->partition != HV_PARTITION_ID_SELF)
		return HVS_INVALID_PARTITION_ID;
	if (s->vtl)
		return HVS_INVALID_PARAMETER;
	all = vcpus_lock(m);
	for_each_vcpu(all, v)
	{
		if (v->hv->vp_index == s->vp_index)
			status = leave_start(v, s);
	}
	vcpus_unlock(all);
	return status;
}

u64 hv_call_start_vp(const struct hv_call *c)
{
	struct hv_start *s = malloc(sizeof(*s));
	u64 status;

	if (!s)
		return HVS_INSUFFICIENT_MEMORY;
	status = c->fast || !hv_call_words(c, 0, (u64 *)s, sizeof(*s) / 8)
			 ? HVS_INVALID_INPUT
			 : start_vp(c->vcpu->machine, s);
	if (status)
		free(s);
	return status;
}

/* ---- from APIC id to VP index ---- */

#define HEAD_BYTES 16 /* partition, VTL; then the ids, 4 bytes each */

static bool vp_index_of(struct machine *m, u32 apic_id, u32 *ret)
{
	struct vcpus all = vcpus_lock(m);
	struct vcpu *v;
	bool found = false;

	for_each_vcpu(all, v)
	{
		if ((v->lapic ? lapic_id(v->lapic) : v->id) != apic_id)
			continue;
		*ret = v->hv->vp_index;
		found = true;
	}
	vcpus_unlock(all);
	return found;
}

u64 hv_call_get_vp_index(const struct hv_call *c)
{
	struct machine *m = c->vcpu->machine;
	u64 head[2];
	u32 id, index;

	if (c->fast || !hv_call_words(c, 0, head, 2))
		return HVS_INVALID_INPUT;
	if (head[0] != HV_PARTITION_ID_SELF)
		return HVS_INVALID_PARTITION_ID;
	if ((u8)head[1])
		return HVS_INVALID_PARAMETER;
	if (c->output & 7 || (c->output & ~PAGE_MASK) + c->rep_count * 4u > PAGE_SIZE)
		return HVS_INVALID_ALIGNMENT;
	for (unsigned i = c->rep_start; i < c->rep_count; i++) {
		if (machine_read(m, c->input + HEAD_BYTES + i * 4ull, &id, sizeof(id)))
			return hv_call_done(HVS_INVALID_INPUT, i);
		if (!vp_index_of(m, id, &index))
			return hv_call_done(HVS_INVALID_PARAMETER, i);
		if (machine_write(m, c->output + i * 4ull, &index, sizeof(index)))
			return hv_call_done(HVS_INVALID_INPUT, i);
	}
	return hv_call_done(HVS_SUCCESS, c->rep_count);
}
