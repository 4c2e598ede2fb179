/* SPDX-License-Identifier: MIT */
/* Which pages the guest has accessed or written: MSHV_GET_GPAP_ACCESS_BITMAP, and the hypercall below it. */
#include <stdlib.h>
#include <string.h>

#include "abi/mshv/hvcall.h"

#define BATCH 4096u /* pages whose states are looked at in one go: a multiple of 8 */

/* ---- the bitmap ---- */

/* Cleared accesses take what was written along, and written pages are accessed ones. */
static u32 ops_of(const struct mshv_gpap_access_bitmap *a)
{
	bool dirty = a->access_type == MSHV_GPAP_ACCESS_TYPE_DIRTY;

	switch (a->access_op) {
	case MSHV_GPAP_ACCESS_OP_CLEAR: return dirty ? ACCESS_CLEAR_DIRTY : ACCESS_CLEAR_ACCESSED;
	case MSHV_GPAP_ACCESS_OP_SET: return dirty ? ACCESS_SET_DIRTY : ACCESS_SET_ACCESSED;
	default: return 0;
	}
}

static void pack(const u8 *states, unsigned n, u8 bit, u8 *ret)
{
	memset(ret, 0, BATCH / 8);
	for (unsigned i = 0; i < n; i++)
		ret[i / 8] |= (u8)((states[i] & bit ? 1 : 0) << (i & 7));
}

static long check(struct call *c, const struct mshv_gpap_access_bitmap *a)
{
	if (a->access_type >= MSHV_GPAP_ACCESS_TYPE_COUNT ||
		a->access_op >= MSHV_GPAP_ACCESS_OP_COUNT)
		return refuse(c->why, -EINVAL, "access_type %lu, access_op %lu: unknown",
			(u64)a->access_type, (u64)a->access_op);
	if (!all_zero(a->rsvd, sizeof(a->rsvd)))
		return refuse(c->why, -EINVAL, NOT_ZERO);
	if (!a->page_count || !a->bitmap_ptr)
		return refuse(c->why, -EINVAL, "page_count %lu, bitmap_ptr 0x%lx: must not be 0",
			(u64)a->page_count, (u64)a->bitmap_ptr);
	if (a->page_count > UINT64_MAX / 8)
		return refuse(c->why, -E2BIG, "page_count %lu: is too large", (u64)a->page_count);
	return 0;
}

static long batch(struct call *c, const struct mshv_gpap_access_bitmap *a, u64 at)
{
	u8 bit = a->access_type == MSHV_GPAP_ACCESS_TYPE_DIRTY ? PAGE_DIRTY : PAGE_ACCESSED;
	u64 n = MIN(a->page_count - at, (u64)BATCH);
	u8 states[BATCH], bits[BATCH / 8];

	if (machine_access_states(
		    partition_of(c)->machine, a->gpap_base + at, n, ops_of(a), states))
		return refuse(c->why, -EIO,
			"accesses are not tracked: set property 0x50005 before this request");
	pack(states, (unsigned)n, bit, bits);
	return copy_out(c->dev, a->bitmap_ptr + at / 8, bits, (n + 7) / 8) ? -EFAULT : 0;
}

long partition_access_bitmap(struct call *c)
{
	const struct mshv_gpap_access_bitmap *a = c->data;
	long r = check(c, a);

	for (u64 at = 0; !r && at < a->page_count; at += BATCH)
		r = batch(c, a, at);
	return r;
}

/* ---- HVCALL_GET_GPA_PAGES_ACCESS_STATES ---- */

static const struct {
	u64 flag;
	u32 op;
} flags[] = {
	{HV_STATES_CLEAR_ACCESSED, ACCESS_CLEAR_ACCESSED},
	{HV_STATES_SET_ACCESSED, ACCESS_SET_ACCESSED},
	{HV_STATES_CLEAR_DIRTY, ACCESS_CLEAR_DIRTY},
	{HV_STATES_SET_DIRTY, ACCESS_SET_DIRTY},
};

u16 call_access_states(struct hvcall *h)
{
	const struct hv_access_states *in = h->in;
	u64 unknown = in->flags;
	u32 ops = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(flags); i++) {
		if (in->flags & flags[i].flag)
			ops |= flags[i].op;
		unknown &= ~flags[i].flag;
	}
	if (unknown)
		return HVS_INVALID_PARAMETER;
	if (machine_access_states(h->partition->machine, in->gpa_page, h->reps, ops, h->out))
		return HVS_INVALID_PARTITION_STATE;
	h->done = h->reps;
	return HVS_SUCCESS;
}
