/* SPDX-License-Identifier: MIT */
/* MSRs: the hypervisor has a name of its own for each that it lets its user read and write. */
#include <errno.h>

#include "libkvm/mshv/mshv.h"

/* In the hidden parts of segment registers, whose values begin with them. */
#define MSR_FS_BASE 0xc0000100
#define MSR_GS_BASE 0xc0000101

/* Runs of MSRs whose names go up together: n of them, `step` apart in numbers of MSRs. */
static const struct msr_run {
	u32 msr, name;
	u8 n, step;
} runs[] = {
	{0x10, HV_X64_REGISTER_TSC, 1, 1},
	{0x1b, HV_X64_REGISTER_APIC_BASE, 1, 1},
	{0x3b, HV_X64_REGISTER_TSC_ADJUST, 1, 1},
	{0x48, HV_X64_REGISTER_SPEC_CTRL, 1, 1},
	{0xfe, HV_X64_REGISTER_MTRR_CAP, 1, 1},
	{0x174, HV_X64_REGISTER_SYSENTER_CS, 1, 1},
	{0x175, HV_X64_REGISTER_SYSENTER_ESP, 1, 1},
	{0x176, HV_X64_REGISTER_SYSENTER_EIP, 1, 1},
	{0x1a0, HV_X64_REGISTER_MISC_ENABLE, 1, 1},
	{0x1d9, HV_X64_REGISTER_DEBUG_CTL, 1, 1},
	{0x200, HV_X64_REGISTER_MTRR_PHYS_BASE0, 8, 2},
	{0x201, HV_X64_REGISTER_MTRR_PHYS_MASK0, 8, 2},
	{0x250, HV_X64_REGISTER_MTRR_FIX64K_00000, 1, 1},
	{0x258, HV_X64_REGISTER_MTRR_FIX16K_80000, 2, 1},
	{0x268, HV_X64_REGISTER_MTRR_FIX4K_C0000, 8, 1},
	{0x277, HV_X64_REGISTER_PAT, 1, 1},
	{0x2ff, HV_X64_REGISTER_MTRR_DEF_TYPE, 1, 1},
	{0x6e0, HV_X64_REGISTER_TSC_DEADLINE, 1, 1},
	{0xda0, HV_X64_REGISTER_XSS, 1, 1},
	{HV_GUEST_OS_ID, HV_REGISTER_GUEST_OS_ID, 1, 1},
	{HV_HYPERCALL, HV_REGISTER_HYPERCALL, 1, 1},
	{HV_REFERENCE_TSC, HV_REGISTER_REFERENCE_TSC, 1, 1},
	{HV_VP_ASSIST_PAGE, HV_REGISTER_VP_ASSIST_PAGE, 1, 1},
	{HV_SCONTROL, HV_REGISTER_SCONTROL, 1, 1},
	{HV_SIEFP, HV_REGISTER_SIEFP, 2, 1},
	{HV_SINT0, HV_REGISTER_SINT0, 16, 1},
	{HV_STIMER0_CONFIG, HV_REGISTER_STIMER0_CONFIG, 8, 1},
	{0xc0000080, HV_X64_REGISTER_EFER, 1, 1},
	{0xc0000081, HV_X64_REGISTER_STAR, 3, 1},
	{0xc0000084, HV_X64_REGISTER_SFMASK, 1, 1},
	{MSR_FS_BASE, HV_X64_REGISTER_FS, 2, 1},
	{0xc0000102, HV_X64_REGISTER_KERNEL_GS_BASE, 1, 1},
	{0xc0000103, HV_X64_REGISTER_TSC_AUX, 1, 1},
};

static bool name_of(u32 msr, u32 *ret)
{
	for (const struct msr_run *r = runs; r < runs + ARRAY_SIZE(runs); r++) {
		const u32 distance = msr - r->msr;

		if (msr < r->msr || distance % r->step || distance / r->step >= r->n)
			continue;
		*ret = r->name + distance / r->step;
		return true;
	}
	return false;
}

static long unnamed(u32 msr, struct refusal *why)
{
	return refuse(why, -EINVAL, "the hypervisor has no name for the MSR 0x%lx", (u64)msr);
}

static long msr_get(struct vp *v, struct kvm_msr_entry *e, struct refusal *why)
{
	u64 value;
	u32 name;
	long r = name_of(e->index, &name) ? vp_read_one(v, name, &value, why)
					  : unnamed(e->index, why);

	if (r >= 0)
		e->data = value;
	return r;
}

static long base_set(struct vp *v, u32 name, u64 value, struct refusal *why)
{
	struct hv_register r = {.name = name};
	long ret = vp_read(v, &r.name, &r.value, 1, why);

	r.value.low = value;
	return ret < 0 ? ret : vp_write(v, &r, 1, why);
}

static long msr_set(struct vp *v, struct kvm_msr_entry *e, struct refusal *why)
{
	u32 name;

	if (!name_of(e->index, &name))
		return unnamed(e->index, why);
	if (e->index == MSR_FS_BASE || e->index == MSR_GS_BASE)
		return base_set(v, name, e->data, why);
	return vp_write_one(v, name, e->data, why);
}

#define MSRS_MAX 256 /* as many as KVM takes */

/* One that is refused is no error: the number says how far it went. */
static long each(struct ask *c, long (*one)(struct vp *v, struct kvm_msr_entry *, struct refusal *))
{
	struct kvm_msrs *list = c->arg;
	u32 n = 0;

	if (list->nmsrs > MSRS_MAX)
		return refuse(
			c->why, -E2BIG, "nmsrs %lu: at most %lu", (u64)list->nmsrs, (u64)MSRS_MAX);
	while (n < list->nmsrs && one(c->v, &list->entries[n], c->why) >= 0)
		n++;
	return n;
}

long serve_get_msrs(struct ask *c)
{
	return each(c, msr_get);
}

long serve_set_msrs(struct ask *c)
{
	return each(c, msr_set);
}

/* Those that can be read and written on a processor like those of the VM. */
long msr_list_fill(struct vp *v, struct kvm_msr_list *list)
{
	const u32 room = list->nmsrs;
	struct kvm_msr_entry e;
	struct refusal unsaid;

	list->nmsrs = 0;
	for (const struct msr_run *r = runs; r < runs + ARRAY_SIZE(runs); r++)
		for (u32 i = 0; i < r->n; i++) {
			e.index = r->msr + i * r->step;
			if (msr_get(v, &e, &unsaid) < 0 || msr_set(v, &e, &unsaid) < 0)
				continue;
			if (list->nmsrs < room)
				list->indices[list->nmsrs] = e.index;
			list->nmsrs++;
		}
	return list->nmsrs > room ? -E2BIG : 0;
}
