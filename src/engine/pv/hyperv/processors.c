/* SPDX-License-Identifier: MIT */
/*
 * Hypercalls about sets of processors: TLB flushes and IPIs (TLFS 9.4, 10.5). A flush is always of the whole
 * TLB, which is what the specification lets a hypervisor do, and has happened when the call returns.
 */
#include "engine/core/cpu.h"
#include "engine/core/vcpus.h"
#include "engine/pv/hyperv/hv.h"
#include "engine/irq/lapic.h"
#include "engine/request/post.h"

/* ---- sets of virtual processors, TLFS 7.8.7.3 ---- */

struct vp_set {
	bool all;
	u64 valid;              /* which banks are there */
	u64 bank[HV_SET_BANKS]; /* by number */
};

static bool set_has(const struct vp_set *s, u32 vp)
{
	u32 bank = vp / 64;

	return s->all ||
	       (bank < HV_SET_BANKS && (s->valid >> bank & 1) && (s->bank[bank] >> vp % 64 & 1));
}

/* Banks come packed: only the valid ones. */
static bool set_read(const struct hv_call *c, unsigned at, struct vp_set *s)
{
	u64 packed[HV_SET_BANKS];
	unsigned n = 0;

	if (c->var_count != (unsigned)__builtin_popcountll(s->valid))
		return false;
	if (s->all)
		return true;
	if (c->var_count > HV_SET_BANKS || !hv_call_words(c, at, packed, c->var_count))
		return false;
	for (u64 v = s->valid; v; v &= v - 1)
		s->bank[__builtin_ctzll(v)] = packed[n++];
	return true;
}

/* ---- flush ---- */

static bool flush_targets(const struct hv_call *c, struct vp_set *s)
{
	u64 head[4]; /* address space, flags; processor mask, or format and valid banks */

	*s = (struct vp_set){0};
	if (!hv_call_words(c, 0, head, c->code & HV_CALL_EX ? 4 : 3))
		return false;
	if (c->code & HV_CALL_EX) {
		s->all = head[2] != HV_SET_SPARSE;
		s->valid = head[3];
		return set_read(c, 4, s);
	}
	/* Windows Server 2012 sends an empty mask and means all. */
	s->all = (head[1] & HV_FLUSH_ALL_PROCESSORS) || !head[2];
	s->valid = 1;
	s->bank[0] = head[2];
	return true;
}

u64 hv_call_flush(const struct hv_call *c)
{
	struct vp_set set;
	struct vcpus all;
	struct vcpu *v;

	if (!flush_targets(c, &set))
		return HVS_INVALID_INPUT;
	all = vcpus_lock(c->vcpu->machine);
	for_each_vcpu(all, v)
	{
		if (set_has(&set, v->hv->vp_index))
			cpu_request(&v->cpu, REQ_FLUSH);
	}
	for_each_vcpu(all, v)
	{
		if (v != c->vcpu && set_has(&set, v->hv->vp_index))
			vcpu_request(v, REQ_FLUSH, true);
	}
	vcpus_unlock(all);
	return hv_call_done(HVS_SUCCESS, c->rep_count);
}

/* ---- IPI ---- */

static bool ipi_targets(const struct hv_call *c, struct vp_set *s, u64 *ret_vector)
{
	u64 head[3]; /* vector; mask, or format and valid banks */

	*s = (struct vp_set){0};
	if (!hv_call_words(c, 0, head, c->code & HV_CALL_EX ? 3 : 2))
		return false;
	*ret_vector = head[0];
	if (c->code & HV_CALL_EX) {
		*ret_vector = (u32)head[0];
		s->all = head[1] == HV_SET_ALL;
		s->valid = head[2];
		return set_read(c, 3, s);
	}
	if (!c->fast)
		*ret_vector = (u32)head[0];
	s->valid = 1;
	s->bank[0] = head[1];
	return true;
}

u64 hv_call_send_ipi(const struct hv_call *c)
{
	struct apic_msg msg = {.delivery = DELIVER_FIXED};
	struct vp_set set;
	struct vcpus all;
	struct vcpu *v;
	u64 vector;

	if (!c->vcpu->lapic || !ipi_targets(c, &set, &vector))
		return HVS_INVALID_INPUT;
	if ((c->code & HV_CALL_EX) && !set.all && !c->var_count)
		return HVS_SUCCESS;
	if (vector < 16 || vector > 255)
		return HVS_INVALID_INPUT;
	msg.vector = (u8)vector;
	all = vcpus_lock(c->vcpu->machine);
	for_each_vcpu(all, v)
	{
		if (v->lapic && set_has(&set, v->hv->vp_index))
			lapic_accept(v->lapic, &msg);
	}
	vcpus_unlock(all);
	return HVS_SUCCESS;
}
