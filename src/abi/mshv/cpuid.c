/* SPDX-License-Identifier: MIT */
/*
 * A VP's CPUID is made in three layers: what the partition's processors have (features.c), what the VP's place in the
 * partition and its local APIC say, and the results that the VMM has registered, those for all VPs before its own.
 */
#include "abi/mshv/cpuid.h"

#include <stdlib.h>
#include <string.h>

#include "abi/mshv/features.h"
#include "abi/mshv/hvcall.h"
#include "abi/mshv/property.h"

#define RESULTS_MAX 4096 /* of a partition, for all its VPs */

#define ONE_ECX_X2APIC     BIT(21)
#define ONE_ECX_DEADLINE   BIT(24)
#define ONE_ECX_HYPERVISOR BIT(31)
#define ONE_EDX_APIC       BIT(9)

static void place_leaf_1(struct mshv_vp *v, struct cpuid_entry *e)
{
	const struct mshv_partition *p = v->partition;
	u64 has = property_value(v->partition, HV_PROPERTY_SYNTHETIC_PROC_FEATURES);

	e->ebx = (e->ebx & 0xffff) | vcpu_apic_id(v->cpu) << 24;
	if (!partition_has_lapic(p)) {
		e->edx &= ~ONE_EDX_APIC;
		e->ecx &= ~ONE_ECX_DEADLINE;
	}
	if (!partition_has_lapic(p) || !(p->flags & 1 << MSHV_PT_BIT_X2APIC))
		e->ecx &= ~ONE_ECX_X2APIC;
	if (!(has >> HV_SYN_HYPERVISOR_PRESENT & 1))
		e->ecx &= ~ONE_ECX_HYPERVISOR;
}

/* VMMs write levels of the topology into bits that are 0. */
static void place(struct mshv_vp *v, struct leaves *l)
{
	for (unsigned i = 0; i < l->n; i++) {
		struct cpuid_entry *e = &l->e[i];

		if (e->function == 1)
			place_leaf_1(v, e);
		if (e->function != 0xb && e->function != 0x1f)
			continue;
		e->eax = e->ebx = 0;
		e->ecx = e->index;
		e->edx = vcpu_apic_id(v->cpu);
	}
}

static void base_leaves(struct mshv_vp *v, struct leaves *l)
{
	*l = v->partition->processor;
	place(v, l);
	l->n += features_hv_leaves(v->partition, l->e + l->n);
}

/* ---- registered results ---- */

static u32 merged(u32 value, const u32 with[2])
{
	return (value & ~with[1]) | (with[0] & with[1]);
}

static void merge(struct cpuid_entry *e, const struct hv_intercept_result *r)
{
	u32 *reg[4] = {&e->eax, &e->ebx, &e->ecx, &e->edx};

	for (unsigned i = 0; i < 4; i++)
		*reg[i] = merged(
			*reg[i], (const u32[2]){r->cpuid.reg[i].value, r->cpuid.reg[i].mask});
}

/* A leaf that is not there is all zero, and comes into being if the result says so or lies below the last one. */
static void add(struct leaves *l, const struct hv_intercept_result *r)
{
	const struct cpuid_entry *max = leaf_find(l, r->cpuid.eax & 0xf0000000, 0);

	if (l->n == LEAVES_MAX || (!r->cpuid.always_override && (!max || r->cpuid.eax > max->eax)))
		return;
	l->e[l->n] = (struct cpuid_entry){.function = r->cpuid.eax,
		.index = r->cpuid.subleaf_specific ? r->cpuid.ecx : 0,
		.flags = r->cpuid.subleaf_specific ? CPUID_INDEXED : 0};
	merge(&l->e[l->n++], r);
}

static void apply(struct leaves *l, const struct hv_intercept_result *r)
{
	bool found = false;

	for (unsigned i = 0; i < l->n; i++) {
		struct cpuid_entry *e = &l->e[i];

		if (e->function != r->cpuid.eax)
			continue;
		if (r->cpuid.subleaf_specific && (e->flags & CPUID_INDEXED) &&
			e->index != r->cpuid.ecx)
			continue;
		merge(e, r);
		found = true;
	}
	if (!found)
		add(l, r);
}

static void apply_all(struct mshv_vp *v, u32 of, struct leaves *l)
{
	struct mshv_partition *p = v->partition;

	pthread_mutex_lock(&p->lock);
	for (unsigned i = 0; i < p->result_count; i++)
		if (p->results[i].type == HV_INTERCEPT_CPUID && p->results[i].vp_index == of)
			apply(l, &p->results[i]);
	pthread_mutex_unlock(&p->lock);
}

int vp_cpuid_init(struct mshv_vp *v)
{
	struct leaves l;

	base_leaves(v, &l);
	apply_all(v, HV_ANY_VP, &l);
	apply_all(v, v->index, &l);
	vcpu_enforce_hv_cpuid(v->cpu, true);
	return vcpu_set_cpuid(v->cpu, l.e, l.n);
}

void cpuid_results_free(struct mshv_partition *p)
{
	free(p->results);
}

static bool same_key(const struct hv_intercept_result *a, const struct hv_intercept_result *b)
{
	if (a->type != b->type || a->vp_index != b->vp_index)
		return false;
	if (a->type == HV_INTERCEPT_MSR)
		return a->msr.msr == b->msr.msr;
	return a->cpuid.eax == b->cpuid.eax &&
	       a->cpuid.subleaf_specific == b->cpuid.subleaf_specific &&
	       (!a->cpuid.subleaf_specific || a->cpuid.ecx == b->cpuid.ecx);
}

/* p->lock is held. The place of a new result, or of the one that it replaces. A status. */
static u16 result_place(struct mshv_partition *p, const struct hv_intercept_result *in,
	struct hv_intercept_result **ret)
{
	struct hv_intercept_result *r;

	for (unsigned i = 0; i < p->result_count; i++)
		if (same_key(&p->results[i], in)) {
			*ret = &p->results[i];
			return HVS_SUCCESS;
		}
	if (p->result_count == RESULTS_MAX)
		return HVS_NO_RESOURCES;
	r = realloc(p->results, (p->result_count + 1) * sizeof(*r));
	if (!r)
		return HVS_INSUFFICIENT_MEMORY;
	p->results = r;
	*ret = &r[p->result_count++];
	return HVS_SUCCESS;
}

static u16 remember(struct mshv_partition *p, const struct hv_intercept_result *in)
{
	struct hv_intercept_result *at;
	u16 status;

	pthread_mutex_lock(&p->telling);
	pthread_mutex_lock(&p->lock);
	status = result_place(p, in, &at);
	if (!status)
		*at = *in;
	pthread_mutex_unlock(&p->lock);
	pthread_mutex_unlock(&p->telling);
	return status;
}

static u16 show(struct hvcall *h, u32 vp_index)
{
	struct mshv_vp *v = hvcall_take(h, vp_index);
	int r;

	if (!v)
		return HVS_INVALID_VP_INDEX;
	r = vp_cpuid_init(v);
	hvcall_give(h, v);
	return hvcall_status(r, HVS_NO_RESOURCES);
}

static u16 show_all(struct hvcall *h)
{
	u16 status = HVS_SUCCESS;

	for (u32 i = 0; !status && i < MSHV_VPS_MAX; i++)
		if (partition_vp(h->partition, i))
			status = show(h, i);
	return status;
}

static unsigned result_bytes(u32 type)
{
	const struct hv_intercept_result *r = NULL;

	return HV_INTERCEPT_RESULT_HEAD +
	       (type == HV_INTERCEPT_CPUID ? sizeof(r->cpuid) : sizeof(r->msr));
}

/* Access 3 is reads and writes; what the engine itself has is not hidden by it. */
static bool msr_valid(const struct hv_intercept_result *in)
{
	return in->msr.action <= HV_MSR_RESULT_IGNORE && !(in->msr.access & ~3u);
}

static u16 check_result(struct hvcall *h, const struct hv_intercept_result *in)
{
	if (in->type != HV_INTERCEPT_CPUID && in->type != HV_INTERCEPT_MSR) {
		refuse(h->why, 0, "type %lu: must be 1 (an MSR) or 2 (CPUID)", (u64)in->type);
		return HVS_INVALID_PARAMETER;
	}
	if (h->in_size < result_bytes(in->type))
		return HVS_INVALID_INPUT;
	if (in->vp_index != HV_ANY_VP && !hvcall_vp(h, in->vp_index)) {
		refuse(h->why, 0, "vp_index %lu: there is no such VP", (u64)in->vp_index);
		return HVS_INVALID_VP_INDEX;
	}
	if (in->type == HV_INTERCEPT_MSR && !msr_valid(in))
		return HVS_INVALID_PARAMETER;
	return HVS_SUCCESS;
}

u16 call_register_result(struct hvcall *h)
{
	struct hv_intercept_result in = {0};
	u16 status;

	memcpy(&in, h->in, MIN(h->in_size, (u16)sizeof(in)));
	status = check_result(h, &in);
	if (in.vp_index == HV_VP_INDEX_SELF && !status)
		in.vp_index = h->self->index;
	if (!status)
		status = remember(h->partition, &in);
	if (status || in.type == HV_INTERCEPT_MSR)
		return status;
	return in.vp_index == HV_ANY_VP ? show_all(h) : show(h, in.vp_index);
}

bool msr_result(struct mshv_vp *v, u32 msr, u32 *ret_action)
{
	struct mshv_partition *p = v->partition;
	bool own = false, found = false;

	pthread_mutex_lock(&p->lock);
	for (unsigned i = 0; i < p->result_count; i++) {
		const struct hv_intercept_result *r = &p->results[i];
		bool mine = r->vp_index == v->index;

		if (r->type != HV_INTERCEPT_MSR || r->msr.msr != msr || own)
			continue;
		if (!mine && r->vp_index != HV_ANY_VP)
			continue;
		*ret_action = r->msr.action;
		found = true;
		own = mine;
	}
	pthread_mutex_unlock(&p->lock);
	return found;
}

/* ---- HVCALL_GET_VP_CPUID_VALUES ---- */

static void base_values(struct mshv_vp *v, u32 leaf, u32 subleaf, u32 ret[4])
{
	struct leaves l;
	const struct cpuid_entry *e;

	base_leaves(v, &l);
	e = leaf_find(&l, leaf, subleaf);
	if (e)
		memcpy(ret, (const u32[4]){e->eax, e->ebx, e->ecx, e->edx}, 4 * sizeof(u32));
}

u16 call_cpuid_values(struct hvcall *h)
{
	const struct hv_cpuid_values *in = h->in;
	const struct hv_cpuid_leaf *leaf = (const void *)(in + 1);
	struct mshv_vp *v;
	u32(*out)[4] = h->out;

	if (in->flags & ~(HV_CPUID_BY_XCR0 | HV_CPUID_REGISTERED))
		return HVS_INVALID_PARAMETER;
	v = hvcall_take(h, in->vp_index);
	if (!v)
		return HVS_INVALID_VP_INDEX;
	for (; h->done < h->reps; h->done++) {
		const struct hv_cpuid_leaf *at = &leaf[h->done];

		if (in->flags & HV_CPUID_REGISTERED)
			vcpu_read_cpuid(v->cpu, at->eax, at->ecx, out[h->done]);
		else
			base_values(v, at->eax, at->ecx, out[h->done]);
	}
	hvcall_give(h, v);
	return HVS_SUCCESS;
}
