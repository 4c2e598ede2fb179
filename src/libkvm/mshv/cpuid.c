/* SPDX-License-Identifier: MIT */
/*
 * CPUID. The hypervisor has results of its own for each processor, which are what a guest can have; what a program sets
 * is laid over them, and leaves that it does not name are laid over with zeros.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libkvm/mshv/mshv.h"

#define ENTRIES_MAX 256
#define SUBLEAVES   64 /* as far as is looked */

/* ---- what the hypervisor has ---- */

/* xfem: the components that leaf 0xD is about. */
static long query(struct vp *v, u32 leaf, u32 subleaf, u64 xfem, u32 ret[4], struct refusal *why)
{
	const struct {
		struct hv_cpuid_values head;
		struct hv_cpuid_leaf leaf;
	} in = {.head.vp_index = v->index, .leaf = {.eax = leaf, .ecx = subleaf, .xfem = xfem}};
	struct mshv_root_hvcall call = {.code = HVCALL_GET_VP_CPUID_VALUES,
		.reps = 1,
		.in_sz = sizeof(in),
		.out_sz = 4 * sizeof(u32),
		.in_ptr = (u64)(uintptr_t)&in,
		.out_ptr = (u64)(uintptr_t)ret};

	return hvcall(v->p->mshv, v->fd, &call, why);
}

/* How the subleaves of a leaf end. */
enum sub {
	SUB_NONE,
	SUB_TYPE /* EAX[4:0] is 0 */,
	SUB_LEVEL /* ECX[15:8] is 0 */,
	SUB_COUNT /* EAX of 0 */,
	SUB_ALL
};

static enum sub subleaves_of(u32 leaf)
{
	switch (leaf) {
	case 0x4:
	case 0x8000001d: return SUB_TYPE;
	case 0xb:
	case 0x1f: return SUB_LEVEL;
	case 0x7:
	case 0x14: return SUB_COUNT;
	case 0xd: return SUB_ALL;
	default: return SUB_NONE;
	}
}

static bool is_last(enum sub sub, const u32 r[4], u32 index, u32 count)
{
	switch (sub) {
	case SUB_TYPE: return !(r[0] & 31);
	case SUB_LEVEL: return !(r[2] >> 8 & 0xff);
	case SUB_COUNT: return index >= count;
	case SUB_ALL: return index + 1 >= SUBLEAVES;
	default: return true;
	}
}

struct collect {
	struct vp *v;
	u64 xfem;
	struct kvm_cpuid2 *list; /* nent grows */
	struct refusal *why;
};

static long add(struct collect *c, u32 leaf, u32 index, const u32 r[4])
{
	if (c->list->nent == ENTRIES_MAX)
		return refuse(c->why, -E2BIG, "the hypervisor has more than %lu leaves of CPUID",
			(u64)ENTRIES_MAX);
	c->list->entries[c->list->nent++] = (struct kvm_cpuid_entry2){
		.function = leaf,
		.index = index,
		.flags = subleaves_of(leaf) ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
		.eax = r[0],
		.ebx = r[1],
		.ecx = r[2],
		.edx = r[3],
	};
	return 0;
}

static long collect_leaf(struct collect *c, u32 leaf)
{
	const enum sub sub = subleaves_of(leaf);
	u32 r[4], count = 0;
	long ret = 0;

	for (u32 index = 0; ret >= 0; index++) {
		ret = query(c->v, leaf, index, c->xfem, r, c->why);
		if (ret >= 0 && index == 0)
			count = r[0];
		/* What is all zeros need not be named. */
		if (ret >= 0 && (r[0] || r[1] || r[2] || r[3]))
			ret = add(c, leaf, index, r);
		if (ret >= 0 && is_last(sub, r, index, count))
			break;
	}
	return ret;
}

static long collect_range(struct collect *c, u32 base)
{
	u32 r[4];
	long ret = query(c->v, base, 0, c->xfem, r, c->why);
	const u32 last = r[0];

	if (ret < 0 || last < base || last - base > 0xff)
		return ret;
	for (u32 leaf = base; ret >= 0 && leaf <= last; leaf++)
		ret = collect_leaf(c, leaf);
	return ret;
}

static struct kvm_cpuid2 *list_new(void)
{
	return calloc(1, sizeof(struct kvm_cpuid2) + ENTRIES_MAX * sizeof(struct kvm_cpuid_entry2));
}

/* NULL with *ret. The results of a processor as it is before a program sets any. */
static struct kvm_cpuid2 *cpuid_of(struct vp *v, long *ret, struct refusal *why)
{
	static const u32 bases[] = {0, 0x40000000, 0x80000000};
	struct collect c = {.v = v, .list = list_new(), .why = why};

	*ret = c.list ? property_get(v->p->mshv, v->p->fd, HV_PROPERTY_XSAVE_STATES, &c.xfem, why)
		      : -ENOMEM;
	for (unsigned i = 0; *ret >= 0 && i < ARRAY_SIZE(bases); i++)
		*ret = collect_range(&c, bases[i]);
	if (*ret >= 0)
		return c.list;
	free(c.list);
	return NULL;
}

/* ---- for all VMs ---- */

/* With a partition for that alone: only processors have CPUID, and those of the VM may not be there yet. */
static long with_processor(
	struct mshv *m, long (*fn)(struct vp *v, void *arg), void *arg, struct refusal *why)
{
	struct partition p = {.mshv = m};
	struct vp v = {.p = &p};
	long r = partition_open(m, true, why);

	if (r < 0)
		return r;
	p.fd = (int)r;
	r = vp_open(m, p.fd, &v, why);
	if (r >= 0) {
		r = fn(&v, arg);
		vp_close(m, &v);
	}
	partition_drop(&p);
	return r;
}

static long learn(struct vp *v, void *arg)
{
	struct refusal *why = arg;
	long r;

	v->p->mshv->supported = cpuid_of(v, &r, why);
	return r;
}

/* Once learned they stay. */
static long known(struct mshv *m, struct refusal *why)
{
	long r = 0;

	pthread_mutex_lock(&m->lock);
	if (!m->supported)
		r = with_processor(m, learn, why, why);
	pthread_mutex_unlock(&m->lock);
	return r;
}

long serve_supported_cpuid(struct ask *c)
{
	struct kvm_cpuid2 *list = c->arg;
	const u32 room = list->nent;
	long r = known(c->m, c->why);

	if (r < 0)
		return r;
	if (room < c->m->supported->nent)
		return -E2BIG;
	list->nent = c->m->supported->nent;
	memcpy(list->entries, c->m->supported->entries, list->nent * sizeof(list->entries[0]));
	return 0;
}

static long list_msrs(struct vp *v, void *arg)
{
	return msr_list_fill(v, arg);
}

long serve_msr_list(struct ask *c)
{
	return with_processor(c->m, list_msrs, c->arg, c->why);
}

/* ---- for one processor ---- */

/*
 * Bits that follow the processor's state and are left to the hypervisor: APIC and OSXSAVE in leaf 1, OSPKE in 7, the
 * size of the enabled components in 0xD (SDM 2: CPUID).
 */
static u32 dynamic(u32 leaf, u32 index, unsigned reg)
{
	if (leaf == 1)
		return reg == 3 ? BIT(9) : reg == 2 ? BIT(27) : 0;
	if (leaf == 7 && !index)
		return reg == 2 ? BIT(4) : 0;
	if (leaf == 0xd && index < 2)
		return reg == 1 ? ~0u : 0;
	return 0;
}

static long lay_over(struct vp *v, const struct kvm_cpuid_entry2 *e, struct refusal *why)
{
	const u32 values[4] = {e->eax, e->ebx, e->ecx, e->edx};
	struct hv_intercept_result result = {
		.vp_index = v->index,
		.type = HV_INTERCEPT_CPUID,
		.cpuid = {.eax = e->function, .ecx = e->index, .always_override = 1},
	};

	result.cpuid.subleaf_specific = !!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX);
	for (unsigned i = 0; i < 4; i++) {
		result.cpuid.reg[i].value = values[i];
		result.cpuid.reg[i].mask = ~dynamic(e->function, e->index, i);
	}
	return hvcall_in(v->p->mshv, v->fd, HVCALL_REGISTER_INTERCEPT_RESULT, &result,
		HV_INTERCEPT_RESULT_HEAD + sizeof(result.cpuid), why);
}

/* Whether the list says what the leaf, or this subleaf of it, is. */
static bool names(const struct kvm_cpuid2 *list, const struct kvm_cpuid_entry2 *e)
{
	for (u32 i = 0; i < list->nent; i++) {
		const struct kvm_cpuid_entry2 *other = &list->entries[i];
		const bool all = !(other->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX);

		if (other->function == e->function && (all || other->index == e->index))
			return true;
	}
	return false;
}

/* Zeros for what `was` has, and the list has not. */
static long blank(struct vp *v, const struct kvm_cpuid2 *was, const struct kvm_cpuid2 *list,
	struct refusal *why)
{
	long r = 0;

	for (u32 i = 0; r >= 0 && was && i < was->nent; i++) {
		const struct kvm_cpuid_entry2 zero = {.function = was->entries[i].function,
			.index = was->entries[i].index,
			.flags = was->entries[i].flags};

		if (!names(list, &zero))
			r = lay_over(v, &zero, why);
	}
	return r;
}

/* Those that differ from processor to processor: their number is in them. */
static bool is_personal(u32 leaf)
{
	return leaf == 1 || leaf == 0xb || leaf == 0x1f || leaf == 0x8000001e || leaf == 0x80000026;
}

static bool has(const struct kvm_cpuid2 *list, const struct kvm_cpuid_entry2 *e)
{
	for (u32 i = 0; i < list->nent; i++) {
		const struct kvm_cpuid_entry2 *own = &list->entries[i];

		if (own->function == e->function && own->index == e->index &&
			own->flags == e->flags)
			return own->eax == e->eax && own->ebx == e->ebx && own->ecx == e->ecx &&
			       own->edx == e->edx;
	}
	return false;
}

/* What the hypervisor has is not told to it, unless something else was before. */
static bool is_so(const struct ask *c, bool first, const struct kvm_cpuid_entry2 *e)
{
	return first && !is_personal(e->function) && has(c->m->supported, e);
}

static struct kvm_cpuid2 *copy(const struct kvm_cpuid2 *list)
{
	struct kvm_cpuid2 *new = list_new();

	if (new)
		memcpy(new, list, sizeof(*list) + list->nent * sizeof(list->entries[0]));
	return new;
}

long serve_set_cpuid(struct ask *c)
{
	const struct kvm_cpuid2 *list = c->arg;
	struct kvm_cpuid2 *new;
	bool first;
	long r = known(c->m, c->why);

	if (r < 0)
		return r;
	if (list->nent > ENTRIES_MAX)
		return refuse(
			c->why, -E2BIG, "nent %lu: at most %lu", (u64)list->nent, (u64)ENTRIES_MAX);
	first = !c->v->has_results;
	c->v->has_results = true;
	new = copy(list);
	r = new ? blank(c->v, c->m->supported, list, c->why) : -ENOMEM;
	if (r >= 0)
		r = blank(c->v, c->v->cpuid, list, c->why);
	for (u32 i = 0; r >= 0 && i < list->nent; i++)
		if (!is_so(c, first, &list->entries[i]))
			r = lay_over(c->v, &list->entries[i], c->why);
	if (r < 0) {
		free(new);
		return r;
	}
	free(c->v->cpuid);
	c->v->cpuid = new;
	return 0;
}
