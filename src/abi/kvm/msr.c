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
		return -E2BIG;
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

typedef int (*msr_access)(struct kvm_vcpu *v, struct kvm_msr_entry *e);

static int feature_get(struct kvm_vcpu *v, struct kvm_msr_entry *e)
{
	u64 value;
	int r = engine_feature_msr(e->index, &value);

	e->data = r ? e->data : value;
	return r;
}

static int one_get(struct kvm_vcpu *v, struct kvm_msr_entry *e)
{
	u64 value;
	int r = vcpu_get_msr(v->cpu, e->index, &value, true);

	e->data = r ? e->data : value;
	return r;
}

static int one_set(struct kvm_vcpu *v, struct kvm_msr_entry *e)
{
	return vcpu_set_msr(v->cpu, e->index, e->data, true);
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
		return -E2BIG;
	ret = copy_in_array(c->dev, (void **)&e, array, head.nmsrs, sizeof(*e));
	if (ret)
		return ret;
	for (i = 0; i < head.nmsrs && !access(c->vcpu, &e[i]); i++)
		;
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

static bool range_valid(const struct kvm_msr_filter_range *r)
{
	const u32 access = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE;

	return !(r->flags & ~access) && r->flags && r->nmsrs <= KVM_MSR_FILTER_MAX_BITMAP_SIZE * 8;
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
	if (!range_valid(from))
		return -EINVAL;
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

	if (f->flags & ~KVM_MSR_FILTER_DEFAULT_DENY)
		return -EINVAL;
	for (i = 0; i < KVM_MSR_FILTER_MAX_RANGES && !ret; i++)
		ret = range_in(c, &f->ranges[i], ranges, &n);
	/* Denying everything by default with no range at all is refused. */
	if (!ret && deny && !n)
		ret = -EINVAL;
	if (!ret)
		ret = machine_set_msr_filter(c->vm->machine, deny, ranges, n);
	for (i = 0; i < n; i++)
		free((void *)ranges[i].bitmap);
	return ret;
}
