/* SPDX-License-Identifier: MIT */
/* Registers that are MSRs of the guest's, and what the hypervisor says of itself. */
#include <string.h>

#include "abi/mshv/cpuid.h"
#include "abi/mshv/register.h"

u16 get_msr(struct mshv_vp *v, const struct register_row *r, u32 n, struct hv_value128 *ret)
{
	return vcpu_get_msr(v->cpu, r->msr + n * r->stride, &ret->low, true) ? HVS_INVALID_PARAMETER
									     : HVS_SUCCESS;
}

u16 set_msr(struct mshv_vp *v, const struct register_row *r, u32 n, const struct hv_value128 *value)
{
	switch (vcpu_set_msr(v->cpu, r->msr + n * r->stride, value->low, true)) {
	case 0: return HVS_SUCCESS;
	case -ENOENT: return HVS_INVALID_PARAMETER;
	default: return HVS_INVALID_REGISTER_VALUE;
	}
}

/* One that nobody can change. Who saves and restores all MSRs writes back what was read. */
u16 set_same(
	struct mshv_vp *v, const struct register_row *r, u32 n, const struct hv_value128 *value)
{
	struct hv_value128 now = {0};
	u16 status = get_msr(v, r, n, &now);

	return status || now.low == value->low ? status : HVS_INVALID_PARAMETER;
}

/* All four registers of a CPUID leaf. */
u16 get_leaf(struct mshv_vp *v, const struct register_row *r, u32 n, struct hv_value128 *ret)
{
	u32 out[4];

	vcpu_read_cpuid(v->cpu, r->msr + n * r->stride, 0, out);
	memcpy(ret, out, sizeof(out));
	return HVS_SUCCESS;
}

/* ---- the APIC's id, at first the VP's number; CPUID shows it ---- */

#define APIC_ID_MAX 0xffff /* tables of the engine have a place for each; topologies need no more */

u16 get_apic_id(struct mshv_vp *v, const struct register_row *r, u32 n, struct hv_value128 *ret)
{
	ret->low = vcpu_apic_id(v->cpu);
	return HVS_SUCCESS;
}

u16 set_apic_id(
	struct mshv_vp *v, const struct register_row *r, u32 n, const struct hv_value128 *value)
{
	bool is_x2 = v->partition->flags & 1 << MSHV_PT_BIT_X2APIC;

	if (value->low > (is_x2 ? APIC_ID_MAX : 0xfe))
		return HVS_INVALID_REGISTER_VALUE;
	if (value->low == vcpu_apic_id(v->cpu))
		return HVS_SUCCESS;
	vcpu_set_apic_id(v->cpu, (u32)value->low);
	return vp_cpuid_init(v) ? HVS_NO_RESOURCES : HVS_SUCCESS;
}

u16 get_tsc_offset(struct mshv_vp *v, const struct register_row *r, u32 n, struct hv_value128 *ret)
{
	ret->low = (u64)vcpu_tsc_offset(v->cpu);
	return HVS_SUCCESS;
}

u16 set_tsc_offset(
	struct mshv_vp *v, const struct register_row *r, u32 n, const struct hv_value128 *value)
{
	vcpu_set_tsc_offset(v->cpu, (s64)value->low);
	return HVS_SUCCESS;
}

/* ---- the local APIC's registers, numbered as x2APIC's MSRs are ---- */

#define LAPIC_BYTES   1024
#define LAPIC_ID      2
#define LAPIC_VERSION 3

u16 get_apic(struct mshv_vp *v, const struct register_row *r, u32 n, struct hv_value128 *ret)
{
	u8 page[LAPIC_BYTES];
	u32 value;

	if (vcpu_get_lapic(v->cpu, page))
		return HVS_INVALID_PARAMETER;
	memcpy(&value, page + n * 16, sizeof(value));
	ret->low = n == LAPIC_ID ? vcpu_apic_id(v->cpu) : value;
	return HVS_SUCCESS;
}

u16 set_apic(
	struct mshv_vp *v, const struct register_row *r, u32 n, const struct hv_value128 *value)
{
	u8 page[LAPIC_BYTES];
	u32 low = (u32)value->low;

	if (n == LAPIC_ID)
		return set_apic_id(v, r, n, value);
	if (n == LAPIC_VERSION || vcpu_get_lapic(v->cpu, page))
		return HVS_INVALID_PARAMETER;
	memcpy(page + n * 16, &low, sizeof(low));
	return vcpu_set_lapic(v->cpu, page) ? HVS_INVALID_REGISTER_VALUE : HVS_SUCCESS;
}
