/* SPDX-License-Identifier: MIT */
/*
 * One table of the registers, in the order in which they are set: MSRs, what is pending, general and system registers,
 * x87 and SSE, debug registers. The states that are pages come after them, the local APIC first.
 */
#include <stdio.h>
#include <string.h>

#include "tests/mshv/vmm/state.h"

#define BANK0_RDTSCP   BIT64(38)
#define BANK1_DEADLINE BIT64(17)
#define BANK1_ADJUST   BIT64(18)
#define XSAVE_XSAVES   BIT64(12)
#define SYN(f)         BIT64(HV_SYN_##f)

/* A run of names, and what the partition must have for them: of a feature bank, or of the synthetic features. */
static const struct {
	u32 first, last;
	u64 bank0, bank1, xsave, synthetic;
} names[] = {
	{HV_X64_REGISTER_TSC, HV_X64_REGISTER_SFMASK},
	{HV_X64_REGISTER_MTRR_DEF_TYPE, HV_X64_REGISTER_MTRR_DEF_TYPE},
	{HV_X64_REGISTER_MTRR_PHYS_BASE0, HV_X64_REGISTER_MTRR_PHYS_BASE0 + 7},
	{HV_X64_REGISTER_MTRR_PHYS_MASK0, HV_X64_REGISTER_MTRR_PHYS_MASK0 + 7},
	{HV_X64_REGISTER_MTRR_FIX64K_00000, HV_X64_REGISTER_MTRR_FIX4K_F8000},
	{HV_X64_REGISTER_TSC_AUX, HV_X64_REGISTER_TSC_AUX, .bank0 = BANK0_RDTSCP},
	{HV_X64_REGISTER_DEBUG_CTL, HV_X64_REGISTER_DEBUG_CTL},
	{HV_X64_REGISTER_XSS, HV_X64_REGISTER_XSS, .xsave = XSAVE_XSAVES},
	{HV_X64_REGISTER_TSC_ADJUST, HV_X64_REGISTER_TSC_ADJUST, .bank1 = BANK1_ADJUST},
	{HV_X64_REGISTER_MISC_ENABLE, HV_X64_REGISTER_MISC_ENABLE},
	{HV_REGISTER_GUEST_OS_ID, HV_REGISTER_GUEST_OS_ID, .synthetic = SYN(HYPERCALL)},
	{HV_REGISTER_VP_ASSIST_PAGE, HV_REGISTER_VP_ASSIST_PAGE, .synthetic = SYN(INTR_CTRL)},
	{HV_REGISTER_REFERENCE_TSC, HV_REGISTER_REFERENCE_TSC, .synthetic = SYN(REFERENCE_TSC)},
	{HV_REGISTER_SINT0, HV_REGISTER_SCONTROL, .synthetic = SYN(SYNIC)},
	{HV_REGISTER_SIEFP, HV_REGISTER_SIMP, .synthetic = SYN(SYNIC)},
	{HV_REGISTER_INTERNAL_ACTIVITY_STATE, HV_REGISTER_INTERNAL_ACTIVITY_STATE},
	{HV_REGISTER_PENDING_INTERRUPTION, HV_REGISTER_PENDING_EVENT1},
	{HV_X64_REGISTER_RAX, HV_X64_REGISTER_RFLAGS},
	{HV_X64_REGISTER_ES, HV_X64_REGISTER_TR},
	{HV_X64_REGISTER_IDTR, HV_X64_REGISTER_GDTR},
	{HV_X64_REGISTER_INTERMEDIATE_CR0, HV_X64_REGISTER_INTERMEDIATE_CR0},
	{HV_X64_REGISTER_CR2, HV_X64_REGISTER_CR2},
	{HV_X64_REGISTER_INTERMEDIATE_CR3, HV_X64_REGISTER_INTERMEDIATE_CR4},
	{HV_X64_REGISTER_CR8, HV_X64_REGISTER_CR8},
	{HV_X64_REGISTER_XMM0, HV_X64_REGISTER_XMM_CONTROL_STATUS},
	{HV_X64_REGISTER_XFEM, HV_X64_REGISTER_XFEM},
	{HV_X64_REGISTER_DR0, HV_X64_REGISTER_DR7},
};

/* After all else: it belongs to the local APIC's timer. */
static const struct {
	u32 name;
	u64 bank1;
} late_names[] = {
	{HV_X64_REGISTER_TSC_DEADLINE, BANK1_DEADLINE},
};

struct offered {
	u64 bank0, bank1, xsave, synthetic;
};

static long offered_by(struct vmm *vmm, struct offered *o)
{
	long r = root_property_get(vmm->partition, HV_PROPERTY_PROCESSOR_FEATURES0, &o->bank0);

	if (r >= 0)
		r = root_property_get(vmm->partition, HV_PROPERTY_PROCESSOR_FEATURES1, &o->bank1);
	if (r >= 0)
		r = root_property_get(
			vmm->partition, HV_PROPERTY_PROCESSOR_XSAVE_FEATURES, &o->xsave);
	if (r >= 0)
		r = root_property_get(
			vmm->partition, HV_PROPERTY_SYNTHETIC_PROC_FEATURES, &o->synthetic);
	return r;
}

static bool has(u64 wanted, u64 offered)
{
	return !(wanted & ~offered);
}

static void add_name(struct vp_state *s, u32 name)
{
	s->reg[s->count++] = (struct hv_register){.name = name};
}

static void choose_names(struct vp_state *s, const struct offered *o)
{
	s->count = 0;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (has(names[i].bank0, o->bank0) && has(names[i].bank1, o->bank1) &&
			has(names[i].xsave, o->xsave) && has(names[i].synthetic, o->synthetic))
			for (u32 n = names[i].first; n <= names[i].last; n++)
				add_name(s, n);
	for (size_t i = 0; i < ARRAY_SIZE(late_names); i++)
		if (has(late_names[i].bank1, o->bank1))
			add_name(s, late_names[i].name);
}

static u32 late_count(const struct vp_state *s)
{
	return s->count && s->reg[s->count - 1].name == HV_X64_REGISTER_TSC_DEADLINE;
}

/* ---- in pieces that fit into a hypercall ---- */

#define AT_ONCE 64u

static int move_registers(struct vmm_vp *vp, struct hv_register *r, u32 count, bool set)
{
	for (u32 i = 0; i < count;) {
		const u16 n = (u16)MIN(count - i, AT_ONCE);
		long status = set ? root_regs_set(vp->fd, vp->index, r + i, n)
				  : root_regs_get(vp->fd, vp->index, r + i, n);

		if (status < 0) {
			fprintf(stderr, "mshv-vmm: register 0x%x\n", r[i + root_last.done].name);
			return (int)vmm_failed(
				set ? "setting registers" : "reading registers", status);
		}
		i += n;
	}
	return 0;
}

static long save_blobs(struct vmm_vp *vp, struct vp_state *s)
{
	long r = 0;

	for (u8 type = 0; r >= 0 && type < STATE_BLOBS; type++) {
		s->blob_size[type] = HV_PAGE_SIZE;
		r = root_vp_state_get(vp->fd, type, s->blob[type], &s->blob_size[type]);
	}
	return r;
}

static long restore_blobs(struct vmm_vp *vp, const struct vp_state *s)
{
	long r = 0;

	for (u8 type = 0; r >= 0 && type < STATE_BLOBS; type++)
		r = root_vp_state_set(vp->fd, type, s->blob[type], HV_PAGE_SIZE);
	return r;
}

int vmm_save_vp(struct vmm_vp *vp, struct vp_state *s)
{
	struct offered offered;
	long r = offered_by(vp->vmm, &offered);

	if (r < 0)
		return (int)vmm_failed("reading properties", r);
	memset(s, 0, sizeof(*s));
	choose_names(s, &offered);
	s->interrupt_vectors = vp->page->interrupt_vectors;
	if (move_registers(vp, s->reg, s->count, false) < 0)
		return -1;
	r = save_blobs(vp, s);
	return r < 0 ? (int)vmm_failed("reading a state", r) : 0;
}

int vmm_restore_vp(struct vmm_vp *vp, const struct vp_state *s)
{
	struct hv_register reg[STATE_REGISTERS];
	const u32 early = s->count - late_count(s);
	long r;

	memcpy(reg, s->reg, sizeof(reg));
	if (move_registers(vp, reg, early, true) < 0)
		return -1;
	vp->page->interrupt_vectors = s->interrupt_vectors;
	r = restore_blobs(vp, s);
	if (r < 0)
		return (int)vmm_failed("setting a state", r);
	return move_registers(vp, reg + early, s->count - early, true);
}

/* ---- is it the same? ---- */

static int differs(const struct vmm_vp *vp, const char *what, u32 name)
{
	fprintf(stderr, "mshv-vmm: processor %u: %s 0x%x is not what was set\n", vp->index, what,
		name);
	return -1;
}

int vmm_compare_vp(struct vmm_vp *vp, const struct vp_state *want, struct vp_state *got)
{
	if (vmm_save_vp(vp, got) < 0)
		return -1;
	for (u32 i = 0; i < want->count; i++)
		if (memcmp(&want->reg[i], &got->reg[i], sizeof(want->reg[i])))
			return differs(vp, "register", want->reg[i].name);
	for (u32 type = 0; type < STATE_BLOBS; type++)
		if (memcmp(want->blob[type], got->blob[type], want->blob_size[type]))
			return differs(vp, "state", type);
	return want->interrupt_vectors == got->interrupt_vectors ? 0 : differs(vp, "vectors", 0);
}

/* ---- the partition ---- */

int vmm_save_partition(struct vmm *vmm, struct partition_state *s)
{
	long r = root_property_get(vmm->partition, HV_PROPERTY_REFERENCE_TIME, &s->reference_time);

	s->hypercall = (struct hv_register){.name = HV_REGISTER_HYPERCALL};
	if (r >= 0 && vmm->synthetic & SYN(HYPERCALL))
		r = root_regs_get(vmm->partition, 0, &s->hypercall, 1);
	return r < 0 ? (int)vmm_failed("reading the partition's state", r) : 0;
}

int vmm_restore_time(struct vmm *vmm, const struct partition_state *s)
{
	long r = root_property_set(vmm->partition, HV_PROPERTY_REFERENCE_TIME, s->reference_time);

	return r < 0 ? (int)vmm_failed("setting the reference time", r) : 0;
}

int vmm_restore_partition(struct vmm *vmm, const struct partition_state *s)
{
	long r = 0;

	if (vmm->synthetic & SYN(HYPERCALL))
		r = root_regs_set(vmm->partition, 0, &s->hypercall, 1);
	return r < 0 ? (int)vmm_failed("setting the hypercall page", r) : 0;
}
