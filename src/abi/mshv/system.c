/* SPDX-License-Identifier: MIT */
/* Requests on /dev/mshv itself: a partition is made, and the host is asked what it could offer (hvcall.c). */
#include "abi/mshv/partition.h"

static long check_common(struct call *c, u64 flags, u64 isolation)
{
	if (flags & ~PT_FLAGS_KNOWN)
		return refuse(c->why, -EINVAL, "pt_flags 0x%lx: the bits 0x%lx are unknown", flags,
			flags & ~PT_FLAGS_KNOWN);
	if (isolation >= MSHV_PT_ISOLATION_COUNT)
		return refuse(c->why, -EINVAL, "pt_isolation %lu: must be 0 (none)", isolation);
	return 0;
}

static long check_v2(struct call *c, const struct mshv_create_partition_v2 *a)
{
	if (check_common(c, a->pt_flags, a->pt_isolation))
		return -EINVAL;
	if (a->pt_num_cpu_fbanks != MSHV_NUM_CPU_FEATURES_BANKS)
		return refuse(c->why, -EINVAL, "pt_num_cpu_fbanks %lu: must be 2",
			(u64)a->pt_num_cpu_fbanks);
	if (!all_zero(a->pt_rsvd, sizeof(a->pt_rsvd)) || a->pt_rsvd1[0] || a->pt_rsvd1[1])
		return refuse(c->why, -EINVAL, "pt_rsvd or pt_rsvd1: these bytes must be 0");
	return 0;
}

/* The first 16 bytes say whether there are more. */
static long read_create(struct call *c, struct mshv_create_partition_v2 *ret)
{
	struct mshv_create_partition first;

	if (copy_in(c->dev, &first, c->arg, sizeof(first)))
		return -EFAULT;
	if (check_common(c, first.pt_flags, first.pt_isolation))
		return -EINVAL;
	*ret = (struct mshv_create_partition_v2){.pt_flags = first.pt_flags};
	if (!(first.pt_flags & 1 << MSHV_PT_BIT_CPU_AND_XSAVE_FEATURES))
		return 0;
	return copy_in(c->dev, ret, c->arg, sizeof(*ret)) ? -EFAULT : check_v2(c, ret);
}

long system_create_partition(struct call *c)
{
	const struct fd_spec q = {.ops = &mshv_partition_ops};
	struct mshv_create_partition_v2 a;
	struct mshv_partition *p;
	struct object *o;
	long r = read_create(c, &a);
	int fd;

	if (r)
		return r;
	fd = fd_create(c->dev, &q, &o);
	if (fd < 0)
		return fd;
	r = partition_make(c->dev, &a, &p);
	if (r) {
		fd_abandon(c->dev, fd, o);
		return r;
	}
	p->object = o;
	o->behind = p;
	return fd_publish(c->dev, fd, o);
}
