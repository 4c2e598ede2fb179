/* SPDX-License-Identifier: MIT */
/* MSHV_GET_VP_REGISTERS, MSHV_SET_VP_REGISTERS: a register of the lower guest, on the processor where the caller runs. */
#include "abi/mshv/hvcall.h"
#include "abi/mshv/register.h"
#include "abi/mshv/regpage.h"
#include "abi/mshv/vtl.h"

static u16 get_or_set(struct mshv_vp *v, struct hv_register *r, bool set)
{
	u16 status;

	vp_take(v);
	regpage_take(v);
	status = set ? register_set(v, r->name, &r->value) : register_get(v, r->name, &r->value);
	if (set)
		regpage_show(v);
	vp_give(v);
	return status;
}

static long serve(struct call *c, bool set)
{
	const struct mshv_vp_registers *a = c->data;
	struct hv_register r;
	struct mshv_vp *v;
	u16 status;

	if (a->count != 1)
		return refuse(c->why, -EINVAL, "count %lu: must be 1", (u64)a->count);
	if (copy_in(c->dev, &r, a->regs_ptr, sizeof(r)))
		return -EFAULT;
	v = vtl_vp_here(c);
	if (!v)
		return -EIO;
	status = get_or_set(v, &r, set);
	if (status)
		return refuse(c->why, hvcall_errno(status), "register 0x%lx: status 0x%lx",
			(u64)r.name, (u64)status);
	return !set && copy_out(c->dev, a->regs_ptr, &r, sizeof(r)) ? -EFAULT : 0;
}

long vtl_get_register(struct call *c)
{
	return serve(c, false);
}

long vtl_set_register(struct call *c)
{
	return serve(c, true);
}

/* ---- what VTL0 is in: registers.def ---- */

#define LEVELS    5ull /* a bit for each one that is enabled: VTL0 and VTL2 */
#define ACTIVE    2ull /* VTL2 is who asks */
#define MAX_LEVEL 2ull

static u16 vsm_value(const struct mshv_vp *v, u64 value, struct hv_value128 *ret)
{
	if (!v->partition->vtl)
		return HVS_INVALID_PARAMETER;
	ret->low = value;
	return HVS_SUCCESS;
}

u16 get_vsm_vp_status(
	struct mshv_vp *v, const struct register_row *r, u32 n, struct hv_value128 *ret)
{
	return vsm_value(v, ACTIVE | LEVELS << 16, ret);
}

u16 get_vsm_partition_status(
	struct mshv_vp *v, const struct register_row *r, u32 n, struct hv_value128 *ret)
{
	return vsm_value(v, LEVELS | MAX_LEVEL << 16, ret);
}

u16 get_vsm_capabilities(
	struct mshv_vp *v, const struct register_row *r, u32 n, struct hv_value128 *ret)
{
	return vsm_value(v, VSM_CAPABILITIES, ret);
}

u16 get_vsm_config(struct mshv_vp *v, const struct register_row *r, u32 n, struct hv_value128 *ret)
{
	return v->partition->vtl ? vsm_value(v, atomic_load(&v->partition->vtl->config), ret)
				 : HVS_INVALID_PARAMETER;
}

#define CONFIG_KNOWN                                                                               \
	(HV_VSM_CONFIG_PROTECTION | HV_VSM_CONFIG_MASK | HV_VSM_CONFIG_ZERO_MEMORY |               \
		HV_VSM_CONFIG_DENY_STARTUP | HV_VSM_CONFIG_INTERCEPTS | HV_VSM_CONFIG_PAGE)

/* It is kept. Nothing follows: no page has rights of a level, and what is intercepted is what nobody else has. */
u16 set_vsm_config(
	struct mshv_vp *v, const struct register_row *r, u32 n, const struct hv_value128 *value)
{
	if (!v->partition->vtl)
		return HVS_INVALID_PARAMETER;
	if ((value->low & ~CONFIG_KNOWN) || value->high)
		return HVS_INVALID_REGISTER_VALUE;
	atomic_store(&v->partition->vtl->config, value->low);
	return HVS_SUCCESS;
}
