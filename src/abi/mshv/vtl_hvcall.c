/* SPDX-License-Identifier: MIT */
/*
 * /dev/mshv_hvcall: hypercalls of VTL2 about VTL0, as they are made in machine code: a control word, a page of input and one
 * of output. Each descriptor has a list of those that may be made by it, which is given once. The hypercalls are those of
 * the root (hvcalls.def); the partition is the caller's own.
 */
#include <stdlib.h>
#include <string.h>

#include "abi/mshv/hostcpus.h"
#include "abi/mshv/hvcall.h"
#include "abi/mshv/vtl.h"

#define ALLOWED_BYTES 8192 /* a bit for each code */

struct vtl_calls {
	struct vtl *vtl;
	pthread_mutex_t lock; /* of the list */
	bool is_set_up;
	u8 allowed[ALLOWED_BYTES];
};

int vtl_calls_open(struct dev *d, struct object *o)
{
	struct vtl_calls *h = calloc(1, sizeof(*h));
	int r = h ? vtl_get(d, true, &h->vtl) : -ENOMEM;

	if (r) {
		free(h);
		return r;
	}
	pthread_mutex_init(&h->lock, NULL);
	o->behind = h;
	return 0;
}

void vtl_calls_release(void *vtl_calls)
{
	struct vtl_calls *h = vtl_calls;

	vtl_put(h->vtl);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

/* ---- the list ---- */

static long set_up(struct call *c, struct vtl_calls *h)
{
	struct mshv_vtl_hvcall_setup a;
	void *list;
	long r;

	if (h->is_set_up)
		return refuse(c->why, -EINVAL,
			"the hypercalls that are allowed have been set: they can be set only once");
	if (copy_in(c->dev, &a, c->arg, sizeof(a)))
		return -EFAULT;
	if (a.bitmap_array_size > ALLOWED_BYTES)
		return refuse(c->why, -EINVAL, "bitmap_array_size %lu: must be at most %lu",
			(u64)a.bitmap_array_size, (u64)ALLOWED_BYTES);
	r = copy_in_array(c->dev, &list, a.allow_bitmap_ptr, a.bitmap_array_size, 1);
	if (r)
		return r;
	if (list)
		memcpy(h->allowed, list, a.bitmap_array_size);
	free(list);
	h->is_set_up = true;
	return 0;
}

long hvcall_setup(struct call *c)
{
	struct vtl_calls *h = c->behind;
	long r;

	pthread_mutex_lock(&h->lock);
	r = set_up(c, h);
	pthread_mutex_unlock(&h->lock);
	return r;
}

static bool is_allowed(struct vtl_calls *h, u16 code)
{
	bool allowed;

	pthread_mutex_lock(&h->lock);
	allowed = h->allowed[code / 8] & BIT(code % 8);
	pthread_mutex_unlock(&h->lock);
	return allowed;
}

/* ---- a hypercall ---- */

/* There are no registers that a fast one could be in, and none of ours has a header of variable size. */
#define CONTROL_KNOWN (0xffffull | HV_CONTROL_REPS_FIELD | HV_CONTROL_START_FIELD)

/* All that the root has as well begin with a partition. */
static bool is_own_partition(const struct hvcall_row *row, const struct hvcall *h)
{
	return !(row->on & ON_PARTITION) || *(const u64 *)h->in == HV_PARTITION_ID_SELF;
}

static u16 serve(u64 control, struct hvcall *h)
{
	const struct hvcall_row *row = hvcall_find((u16)control, ON_PARTITION | ON_VTL);

	if (!row)
		return HVS_INVALID_CODE;
	h->reps = HV_CONTROL_REPS(control);
	h->done = HV_CONTROL_START(control);
	if (control & ~CONTROL_KNOWN || (h->done && h->done >= h->reps))
		return HVS_INVALID_INPUT;
	return is_own_partition(row, h) ? hvcall_serve(row, h, HV_PAGE_SIZE)
					: HVS_INVALID_PARTITION_ID;
}

/* The result as the instruction gives it: a status, and how many repetitions are done. */
static u64 make(struct vtl *t, u64 control, struct hvcall *h)
{
	u16 status;

	h->partition = t->partition;
	h->self = vtl_vp(t, hostcpu_here());
	pthread_mutex_lock(&t->partition->requests);
	status = serve(control, h);
	pthread_mutex_unlock(&t->partition->requests);
	return status | (u64)h->done << 32;
}

static long check(struct call *c, const struct mshv_vtl_hvcall *a)
{
	if (a->input_size > HV_PAGE_SIZE || a->output_size > HV_PAGE_SIZE)
		return refuse(c->why, -EINVAL, "input_size %lu, output_size %lu: at most 4096",
			(u64)a->input_size, (u64)a->output_size);
	if (!is_allowed(c->behind, (u16)a->control))
		return refuse(c->why, -EPERM,
			"hypercall 0x%lx: MSHV_HVCALL_SETUP has not allowed it",
			(u64)(u16)a->control);
	return 0;
}

long hvcall_call(struct call *c)
{
	u64 in[HV_PAGE_SIZE / sizeof(u64)] = {0}, out[HV_PAGE_SIZE / sizeof(u64)] = {0};
	struct hvcall h = {.in = in, .out = out};
	struct vtl_calls *calls = c->behind;
	struct mshv_vtl_hvcall a;
	long r;

	if (copy_in(c->dev, &a, c->arg, sizeof(a)))
		return -EFAULT;
	r = check(c, &a);
	if (r)
		return r;
	if (copy_in(c->dev, in, a.input_ptr, a.input_size))
		return -EFAULT;
	h.in_size = (u16)a.input_size;
	a.status = make(calls->vtl, a.control, &h);
	if (copy_out(c->dev, a.output_ptr, out, a.output_size))
		return -EFAULT;
	return copy_out(c->dev, c->arg + offsetof(struct mshv_vtl_hvcall, status), &a.status,
		       sizeof(a.status))
		       ? -EFAULT
		       : 0;
}
