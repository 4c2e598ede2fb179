/* SPDX-License-Identifier: MIT */
/* MSRs: lists, reading and writing in batches, the filter for guest accesses. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/kvm/kvm.h"

/* ---- lists ---- */

/* The needed count is written back even if the caller's array is too small. */
static long msr_list_out(struct call *c, unsigned (*list)(u32 *ret, unsigned n))
{
	unsigned n = list(NULL, 0);
	u32 *numbers, room;
	long ret;

	if (copy_in(c->dev, &room, c->arg, sizeof(room)) || copy_out(c->dev, c->arg, &n, sizeof(n)))
		return -EFAULT;
	if (room < n)
		return refuse(c->why, -E2BIG,
			"nmsrs %lu: the result has %lu entries; make room for them", (u64)room,
			(u64)n);
	numbers = calloc(n + 1, sizeof(*numbers));
	if (!numbers)
		return -ENOMEM;
	list(numbers, n);
	ret = copy_out(c->dev, c->arg + offsetof(struct kvm_msr_list, indices), numbers,
		n * sizeof(*numbers));
	free(numbers);
	return ret;
}

long system_msr_list(struct call *c)
{
	return msr_list_out(c, engine_msr_list);
}

long system_feature_msr_list(struct call *c)
{
	return msr_list_out(c, engine_feature_msr_list);
}

/* ---- batches: they stop at the first that fails and return how many were done ---- */

typedef long (*msr_access)(struct call *c, struct kvm_msr_entry *e);

static long feature_get(struct call *c, struct kvm_msr_entry *e)
{
	u64 value;
	int r = engine_feature_msr(e->index, &value);

	e->data = r ? e->data : value;
	return r ? refuse(c->why, r, "this MSR is not in KVM_GET_MSR_FEATURE_INDEX_LIST") : 0;
}

static long one_get(struct call *c, struct kvm_msr_entry *e)
{
	u64 value;
	int r = vcpu_get_msr(vcpu_of(c)->cpu, e->index, &value, true);

	e->data = r ? e->data : value;
	return vcpu_answered(c, r);
}

static long one_set(struct call *c, struct kvm_msr_entry *e)
{
	return vcpu_answered(c, vcpu_set_msr(vcpu_of(c)->cpu, e->index, e->data, true));
}

static long batch(struct call *c, msr_access access, bool write_back)
{
	unsigned long array = c->arg + offsetof(struct kvm_msrs, entries);
	struct kvm_msrs head;
	struct kvm_msr_entry *e;
	unsigned i;
	long ret;

	if (copy_in(c->dev, &head, c->arg, sizeof(head)))
		return -EFAULT;
	if (head.nmsrs >= MSR_BATCH_MAX)
		return refuse(c->why, -E2BIG, "nmsrs %lu: at most %lu MSRs are allowed",
			(u64)head.nmsrs, (u64)MSR_BATCH_MAX - 1);
	ret = copy_in_array(c->dev, (void **)&e, array, head.nmsrs, sizeof(*e));
	if (ret)
		return ret;
	for (i = 0; i < head.nmsrs && !access(c, &e[i]); i++)
		;
	if (i < head.nmsrs)
		refused_at(c->why, "entries[%lu], MSR 0x%lx", (u64)i, (u64)e[i].index);
	ret = i;
	if (write_back && copy_out(c->dev, array, e, head.nmsrs * sizeof(*e)))
		ret = -EFAULT;
	free(e);
	return ret;
}

long system_get_msrs(struct call *c)
{
	return batch(c, feature_get, true);
}

long vcpu_get_msrs(struct call *c)
{
	return batch(c, one_get, true);
}

long vcpu_set_msrs(struct call *c)
{
	return batch(c, one_set, false);
}

/* ---- filter ---- */

static long check_range(struct call *c, const struct kvm_msr_filter_range *r)
{
	const u32 access = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE;
	const u32 most = KVM_MSR_FILTER_MAX_BITMAP_SIZE * 8;

	if (!r->flags)
		return refuse(c->why, -EINVAL, "flags: a range must filter reads, writes or both");
	if (check_flags(c, r->flags, access))
		return -EINVAL;
	if (r->nmsrs > most)
		return refuse(c->why, -EINVAL, "nmsrs %lu: at most %lu MSRs are allowed",
			(u64)r->nmsrs, (u64)most);
	return 0;
}

_Static_assert(KVM_MSR_FILTER_READ == MSR_FILTER_READ && KVM_MSR_FILTER_WRITE == MSR_FILTER_WRITE &&
		       KVM_MSR_FILTER_MAX_RANGES == MSR_FILTER_RANGES_MAX,
	"filter flags pass through");

/* One range with its bitmap copied; nmsrs 0 means that the slot is unused. */
static long range_in(struct call *c, const struct kvm_msr_filter_range *from,
	struct msr_filter_range *to, unsigned *n)
{
	void *bitmap;
	long ret;

	if (!from->nmsrs)
		return 0;
	if (check_range(c, from)) {
		refused_at(c->why, "ranges[%lu]",
			(u64)(from - ((const struct kvm_msr_filter *)c->data)->ranges));
		return -EINVAL;
	}
	ret = copy_in_array(
		c->dev, &bitmap, (unsigned long)from->bitmap, ALIGN_UP(from->nmsrs, 64) / 8, 1);
	if (ret)
		return ret;
	to[(*n)++] = (struct msr_filter_range){from->flags, from->base, from->nmsrs, bitmap};
	return 0;
}

long vm_set_msr_filter(struct call *c)
{
	const struct kvm_msr_filter *f = c->data;
	struct msr_filter_range ranges[KVM_MSR_FILTER_MAX_RANGES];
	bool deny = f->flags & KVM_MSR_FILTER_DEFAULT_DENY;
	unsigned i, n = 0;
	long ret = 0;

	if (check_flags(c, f->flags, KVM_MSR_FILTER_DEFAULT_DENY))
		return -EINVAL;
	for (i = 0; i < KVM_MSR_FILTER_MAX_RANGES && !ret; i++)
		ret = range_in(c, &f->ranges[i], ranges, &n);
	/* Denying everything by default with no range at all is refused. */
	if (!ret && deny && !n)
		ret = refuse(c->why, -EINVAL, "flags: DEFAULT_DENY needs at least one range");
	if (!ret)
		ret = machine_set_msr_filter(vm_of(c)->machine, deny, ranges, n);
	for (i = 0; i < n; i++)
		free((void *)ranges[i].bitmap);
	return ret;
}
