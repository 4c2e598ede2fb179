/* SPDX-License-Identifier: MIT */
/* HVCALL_TRANSLATE_VIRTUAL_ADDRESS: where an access of the guest's would go, and what would stop it. */
#include "abi/mshv/hvcall.h"
#include "abi/mshv/memory.h"
#include "abi/mshv/regpage.h"
#include "abi/mshv/register.h"

/* For whom, and under which rules. */
struct access_rules {
	u64 flags;
	bool user, wp, smep, smap, nxe;
};

static struct access_rules access_of(struct mshv_vp *v, u64 flags)
{
	struct vcpu_state s;
	bool user, ac;

	sregs_load(v, &s);
	vcpu_get(v->cpu, ST_REGS, &s);
	user = SEG_DPL(s.seg[SEG_SS].attr) == 3 && (s.cr0 & CR0_PE);
	if (flags & (HV_TRANSLATE_SUPERVISOR | HV_TRANSLATE_USER))
		user = flags & HV_TRANSLATE_USER;
	ac = (s.rflags & FL_AC) && !(flags & HV_TRANSLATE_ENFORCE_SMAP);
	return (struct access_rules){.flags = flags,
		.user = user,
		.wp = s.cr0 & CR0_WP,
		.smep = s.cr4 & CR4_SMEP,
		.smap = (s.cr4 & CR4_SMAP) && !ac && !(flags & HV_TRANSLATE_OVERRIDE_SMAP),
		.nxe = s.efer & EFER_NX};
}

/* SDM 3:4.6 */
static bool allowed(const struct access_rules *a, const struct translation *to)
{
	bool data = a->flags & (HV_TRANSLATE_READ | HV_TRANSLATE_WRITE);

	if (a->flags & HV_TRANSLATE_EXEMPT)
		return true;
	if (a->user && !to->user)
		return false;
	if ((a->flags & HV_TRANSLATE_WRITE) && !to->writable && (a->user || a->wp))
		return false;
	if ((a->flags & HV_TRANSLATE_EXECUTE) &&
		((a->nxe && to->nx) || (a->smep && !a->user && to->user)))
		return false;
	return !(data && a->smap && !a->user && to->user);
}

/* What the guest-physical address says to it. */
static u32 by_memory(struct mshv_partition *p, u64 flags, u64 gpa)
{
	u8 rights;

	if (!partition_memory_flags(p, gpa, &rights))
		return HV_TRANSLATE_UNMAPPED;
	if ((flags & HV_TRANSLATE_WRITE) && !(rights & 1 << MSHV_SET_MEM_BIT_WRITABLE))
		return HV_TRANSLATE_NO_WRITE;
	return HV_TRANSLATE_OK;
}

/* What a walk that has failed says. */
static u32 by_walk(int r)
{
	switch (r) {
	case -EBADMSG: return HV_TRANSLATE_BAD_FLAGS;
	case -ENOENT: return HV_TRANSLATE_UNMAPPED;
	default: return HV_TRANSLATE_NOT_PRESENT;
	}
}

/* As the access itself would: only one that goes well leaves bits in the tables. */
static u32 mark_used(struct mshv_vp *v, u64 flags, u64 gva)
{
	int r = 0;

	if (flags & HV_TRANSLATE_SET_BITS)
		r = vcpu_mark_used(v->cpu, gva, flags & HV_TRANSLATE_WRITE);
	return r ? by_walk(r) : HV_TRANSLATE_OK;
}

static void translate(struct mshv_vp *v, const struct hv_translate *in, struct hv_translated *out)
{
	struct access_rules a = access_of(v, in->flags);
	u64 gva = in->gva_page * HV_PAGE_SIZE;
	struct translation to;
	int r = vcpu_translate(v->cpu, gva, &to);

	if (r) {
		out->result = by_walk(r);
		return;
	}
	if (!allowed(&a, &to)) {
		out->result = HV_TRANSLATE_PRIVILEGE;
		return;
	}
	out->result = by_memory(v->partition, in->flags, to.gpa);
	if (out->result == HV_TRANSLATE_OK)
		out->result = mark_used(v, in->flags, gva);
	out->flags = out->result == HV_TRANSLATE_UNMAPPED ? HV_CACHE_UC : HV_CACHE_WB;
	out->gpa_page = to.gpa / HV_PAGE_SIZE;
}

u16 call_translate(struct hvcall *h)
{
	const struct hv_translate *in = h->in;
	u16 status = hvcall_level(h, (u8)(in->flags >> HV_TRANSLATE_VTL_SHIFT));
	struct mshv_vp *v;

	if (status)
		return status;
	v = hvcall_take(h, in->vp_index);
	if (!v)
		return HVS_INVALID_VP_INDEX;
	regpage_take(v);
	translate(v, in, h->out);
	hvcall_give(h, v);
	return HVS_SUCCESS;
}
