/* SPDX-License-Identifier: MIT */
/* MSHV_ROOT_HVCALL: what is asked is checked and copied, the row of hvcalls.def is found and served. */
#include "abi/mshv/hvcall.h"

#include <string.h>

#define SIMPLE false
#define REP    true
#define CALL(code, kind, on, in, in_each, out, out_each, handler)                                  \
	{#code, code, kind, on, in, in_each, out, out_each, handler},
const struct hvcall_row hvcall_rows[] = {
#include "abi/mshv/hvcalls.def"
	{.name = NULL},
};

const struct hvcall_row *hvcall_find(u16 code, u8 on)
{
	for (const struct hvcall_row *r = hvcall_rows; r->name; r++)
		if (r->code == code && (r->on & on))
			return r;
	return NULL;
}

int hvcall_errno(u16 status)
{
	switch (status) {
	case HVS_SUCCESS: return 0;
	case HVS_INVALID_CODE:
	case HVS_INVALID_INPUT:
	case HVS_INVALID_PARAMETER:
	case HVS_INVALID_PARTITION_ID:
	case HVS_INVALID_VP_INDEX:
	case HVS_INVALID_PORT:
	case HVS_INVALID_CONNECTION:
	case HVS_INVALID_LP_INDEX:
	case HVS_INVALID_REGISTER_VALUE: return -EINVAL;
	case HVS_INSUFFICIENT_MEMORY: return -ENOMEM;
	default: return -EIO;
	}
}

static bool shape_fits(const struct hvcall_row *row, const struct hvcall *h, u16 out_size)
{
	u32 reps = h->reps;

	if (row->repeats != (reps != 0))
		return false;
	return h->in_size >= row->in + reps * row->in_each &&
	       out_size >= row->out + reps * row->out_each;
}

u16 hvcall_serve(const struct hvcall_row *row, struct hvcall *h, u16 out_size)
{
	if (!shape_fits(row, h, out_size)) {
		refuse(h->why, 0,
			"code 0x%lx: in_sz, out_sz or reps do not fit: the input has %lu bytes, "
			"the output %lu, "
			"and more for each repetition",
			(u64)row->code, (u64)row->in, (u64)row->out);
		return HVS_INVALID_INPUT;
	}
	return row->handler(h);
}

/* ---- the request ---- */

static long check(struct call *c, const struct mshv_root_hvcall *a)
{
	if (a->status || !all_zero(a->rsvd, sizeof(a->rsvd)))
		return refuse(c->why, -EINVAL, "status or rsvd: these bytes must be 0");
	if (!a->in_ptr || a->in_sz < sizeof(u64) || a->in_sz > HV_PAGE_SIZE)
		return refuse(c->why, -EINVAL,
			"in_ptr 0x%lx, in_sz %lu: 8 to 4096 bytes are necessary", (u64)a->in_ptr,
			(u64)a->in_sz);
	if (a->out_ptr ? !a->out_sz || a->out_sz > HV_PAGE_SIZE : a->out_sz)
		return refuse(c->why, -EINVAL,
			"out_ptr 0x%lx, out_sz %lu: at most 4096 bytes, and 0 without a pointer",
			(u64)a->out_ptr, (u64)a->out_sz);
	return 0;
}

/* What is there when a call with repetitions fails is told as well. */
static long copy_result(
	struct call *c, const struct mshv_root_hvcall *a, const struct hvcall *h, long ret)
{
	if (copy_out(c->dev, c->arg, a, sizeof(*a)))
		return -EFAULT;
	if (a->out_ptr && (!ret || h->done) && copy_out(c->dev, a->out_ptr, h->out, a->out_sz))
		return -EFAULT;
	return ret;
}

static long told(struct call *c, u16 status, u16 code)
{
	int r = hvcall_errno(status);

	if (r && c->why && !c->why->why)
		return refuse(c->why, r, "hypercall 0x%lx ends with status 0x%lx", (u64)code,
			(u64)status);
	return r;
}

static long hvcall(struct call *c, u8 on, struct hvcall *h)
{
	u64 in[HV_PAGE_SIZE / sizeof(u64)], out[HV_PAGE_SIZE / sizeof(u64)];
	const struct hvcall_row *row;
	struct mshv_root_hvcall a;

	if (copy_in(c->dev, &a, c->arg, sizeof(a)))
		return -EFAULT;
	if (check(c, &a))
		return -EINVAL;
	row = hvcall_find(a.code, on);
	if (!row)
		return refuse(c->why, -EINVAL, "code 0x%lx: cannot be made on this descriptor",
			(u64)a.code);
	if (copy_in(c->dev, in, a.in_ptr, a.in_sz))
		return -EFAULT;
	memset(out, 0, sizeof(out));
	in[0] = 0; /* the partition is the descriptor's, whatever the caller says */
	h->in = in;
	h->out = out;
	h->in_size = a.in_sz;
	h->reps = a.reps;
	h->why = c->why;
	a.status = hvcall_serve(row, h, a.out_ptr ? a.out_sz : 0);
	a.reps = row->repeats ? h->done : 0;
	return copy_result(c, &a, h, told(c, a.status, a.code));
}

long system_hvcall(struct call *c)
{
	struct hvcall h = {.partition = NULL};

	return hvcall(c, ON_DEVICE, &h);
}

long partition_hvcall(struct call *c)
{
	struct hvcall h = {.partition = partition_of(c)};

	return hvcall(c, ON_PARTITION, &h);
}

long vp_hvcall(struct call *c)
{
	struct hvcall h = {.partition = vp_of(c)->partition, .own = vp_of(c)};

	return hvcall(c, ON_VP, &h);
}

/* ---- for handlers ---- */

struct mshv_vp *hvcall_vp(const struct hvcall *h, u32 vp_index)
{
	return vp_index == HV_VP_INDEX_SELF ? h->self : partition_vp(h->partition, vp_index);
}

u16 hvcall_level(const struct hvcall *h, u8 vtl)
{
	if (!h->partition->vtl || !(vtl & HV_INPUT_VTL_USE) || !HV_INPUT_VTL_TARGET(vtl))
		return HVS_SUCCESS;
	refuse(h->why, 0, "input_vtl 0x%lx: must be that of VTL0", (u64)vtl);
	return HVS_INVALID_VTL_STATE;
}

struct mshv_vp *hvcall_take(struct hvcall *h, u32 vp_index)
{
	struct mshv_vp *v = hvcall_vp(h, vp_index);

	if (!v) {
		refuse(h->why, 0, "vp_index %lu: there is no such VP", (u64)vp_index);
		return NULL;
	}
	if (v == h->own)
		return v;
	if (h->own) /* else two VPs could wait for each other */
		pthread_mutex_unlock(&h->own->lock);
	vp_take(v);
	return v;
}

void hvcall_give(struct hvcall *h, struct mshv_vp *v)
{
	if (v == h->own)
		return;
	vp_give(v);
	if (h->own)
		pthread_mutex_lock(&h->own->lock);
}
