/* SPDX-License-Identifier: MIT */
/*
 * HVCALL_GET_VP_REGISTERS and HVCALL_SET_VP_REGISTERS: from a register's name to its row. A change that the VMM made in the
 * register page comes first, and the page shows afterwards what is then true.
 */
#include "abi/mshv/register.h"

#include "abi/mshv/hvcall.h"
#include "abi/mshv/regpage.h"

#define REGISTER(first, last, msr, stride, get, set) {#first, first, last, msr, stride, get, set},
static const struct register_row rows[] = {
#include "abi/mshv/registers.def"
};

static const struct register_row *find(u32 name)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		if (name >= rows[i].first && name <= rows[i].last)
			return &rows[i];
	return NULL;
}

const char *register_name(u32 name)
{
	const struct register_row *r = find(name);

	return r ? r->name : NULL;
}

u16 register_get(struct mshv_vp *v, u32 name, struct hv_value128 *ret)
{
	const struct register_row *r = find(name);

	*ret = (struct hv_value128){0};
	return r ? r->get(v, r, name - r->first, ret) : HVS_INVALID_PARAMETER;
}

u16 register_set(struct mshv_vp *v, u32 name, const struct hv_value128 *value)
{
	const struct register_row *r = find(name);

	return r ? r->set(v, r, name - r->first, value) : HVS_INVALID_PARAMETER;
}

/* ---- the hypercalls ---- */

/* The VP with what its register page says; NULL with a status. */
static struct mshv_vp *take(struct hvcall *h, u16 *ret_status)
{
	const struct hv_vp_registers *in = h->in;
	struct mshv_vp *v;

	*ret_status = hvcall_level(h, in->vtl);
	if (*ret_status)
		return NULL;
	v = hvcall_take(h, in->vp_index);
	if (v)
		regpage_take(v);
	else
		*ret_status = HVS_INVALID_VP_INDEX;
	return v;
}

static void refused_register(struct hvcall *h, u32 name, u16 status)
{
	if (status)
		refuse(h->why, 0, "register 0x%lx: status 0x%lx", (u64)name, (u64)status);
}

u16 call_get_registers(struct hvcall *h)
{
	const u32 *name = (const void *)((const struct hv_vp_registers *)h->in + 1);
	struct hv_value128 *out = h->out;
	u16 status;
	struct mshv_vp *v = take(h, &status);

	if (!v)
		return status;
	for (; !status && h->done < h->reps; h->done += !status) {
		status = register_get(v, name[h->done], &out[h->done]);
		refused_register(h, name[h->done], status);
	}
	hvcall_give(h, v);
	return status;
}

u16 call_set_registers(struct hvcall *h)
{
	const struct hv_register *in = (const void *)((const struct hv_vp_registers *)h->in + 1);
	u16 status;
	struct mshv_vp *v = take(h, &status);

	if (!v)
		return status;
	for (; !status && h->done < h->reps; h->done += !status) {
		status = register_set(v, in[h->done].name, &in[h->done].value);
		refused_register(h, in[h->done].name, status);
	}
	regpage_show(v);
	hvcall_give(h, v);
	return status;
}

/* ---- rows without anything behind them ---- */

u16 get_zero(struct mshv_vp *v, const struct register_row *r, u32 n, struct hv_value128 *ret)
{
	return HVS_SUCCESS;
}

u16 set_zero(
	struct mshv_vp *v, const struct register_row *r, u32 n, const struct hv_value128 *value)
{
	return value->low | value->high ? HVS_INVALID_REGISTER_VALUE : HVS_SUCCESS;
}

u16 set_denied(
	struct mshv_vp *v, const struct register_row *r, u32 n, const struct hv_value128 *value)
{
	return HVS_INVALID_PARAMETER;
}
