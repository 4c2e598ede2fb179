/* SPDX-License-Identifier: MIT */
/*
 * Processors as firmware leaves them. What identifies a processor is a CPUID result with equal value and mask, so the
 * guest sees the hypervisor's own bits with ours added.
 */
#include <cpuid.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/mshv/vmm/vmm.h"
#include "x86/regs.h"

/* ---- CPUID ---- */

struct topology {
	u32 bits; /* of the APIC id that count processors */
	u32 cpus, id;
};

static struct topology topology_of(const struct vmm_vp *vp)
{
	struct topology t = {.cpus = vp->vmm->options.cpus, .id = vp->index};

	while ((1u << t.bits) < t.cpus)
		t.bits++;
	return t;
}

static long add_result(struct vmm_vp *vp, u32 leaf, int subleaf, const u32 values[4])
{
	struct root_cpuid o = {.leaf = leaf,
		.subleaf = subleaf < 0 ? 0 : (u32)subleaf,
		.subleaf_specific = subleaf >= 0,
		.always = true};

	memcpy(o.value, values, sizeof(o.value));
	memcpy(o.mask, values, sizeof(o.mask));
	return root_cpuid_override(vp->fd, vp->index, &o);
}

/* EBX: APIC id and how many a package has. ECX: a hypervisor. EDX: MTRRs, and that the number counts. */
static long add_features(struct vmm_vp *vp, const struct topology *t)
{
	const u32 values[4] = {0, t->id << 24 | (1u << t->bits) << 16, BIT(31), BIT(12) | BIT(28)};

	return add_result(vp, 1, -1, values);
}

/* SDM 2, CPUID, leaf Bh: one thread a core, all cores in one package, no more levels. */
static long add_levels(struct vmm_vp *vp, u32 leaf, const struct topology *t)
{
	const u32 levels[3][4] = {
		{0, 1, 1 << 8, t->id}, {t->bits, t->cpus, 2 << 8 | 1, t->id}, {0, 0, 2, t->id}};
	long r = 0;

	for (int i = 0; r >= 0 && i < 3; i++)
		r = add_result(vp, leaf, i, levels[i]);
	return r;
}

/* APM 3, leaf 8000_001Eh: the core's number, one thread, one node. */
static long add_amd_core(struct vmm_vp *vp, const struct topology *t)
{
	const u32 values[4] = {t->id, t->id & 0xff, 0, 0};

	return add_result(vp, 0x8000001e, -1, values);
}

/* The name is the host's. */
static long add_brand(struct vmm_vp *vp)
{
	long r = 0;

	for (u32 leaf = 0x80000002; r >= 0 && leaf <= 0x80000004; leaf++) {
		u32 v[4];

		__cpuid(leaf, v[0], v[1], v[2], v[3]);
		r = add_result(vp, leaf, -1, v);
	}
	return r;
}

static long add_cpuid(struct vmm_vp *vp)
{
	const struct topology t = topology_of(vp);
	long r = add_features(vp, &t);

	if (r >= 0)
		r = add_levels(vp, 0xb, &t);
	if (r >= 0)
		r = add_levels(vp, 0x1f, &t);
	if (r >= 0 && vp->vmm->vendor == HV_VENDOR_AMD)
		r = add_amd_core(vp, &t);
	return r < 0 ? r : add_brand(vp);
}

/* ---- MSRs and the local APIC ---- */

#define MTRR_ENABLED    BIT64(11)
#define MTRR_WRITE_BACK 6

static long set_msrs(struct vmm_vp *vp)
{
	const struct hv_register msrs[] = {
		{.name = HV_X64_REGISTER_SYSENTER_CS},
		{.name = HV_X64_REGISTER_SYSENTER_ESP},
		{.name = HV_X64_REGISTER_SYSENTER_EIP},
		{.name = HV_X64_REGISTER_STAR},
		{.name = HV_X64_REGISTER_CSTAR},
		{.name = HV_X64_REGISTER_LSTAR},
		{.name = HV_X64_REGISTER_KERNEL_GS_BASE},
		{.name = HV_X64_REGISTER_SFMASK},
		{.name = HV_X64_REGISTER_MTRR_DEF_TYPE, .value = {MTRR_ENABLED | MTRR_WRITE_BACK}},
	};

	return root_regs_set(vp->fd, vp->index, msrs, ARRAY_SIZE(msrs));
}

/* Of an entry of the local vector table, how it is delivered: SDM 3:11.5.1. */
static u32 with_delivery(u32 lvt, u32 mode)
{
	return (lvt & ~0x700u) | mode << 8;
}

static long set_lapic(struct vmm_vp *vp)
{
	_Alignas(HV_PAGE_SIZE) union {
		struct hv_lapic_state lapic;
		u8 page[HV_PAGE_SIZE];
	} s;
	u32 size = sizeof(s);
	long r = root_vp_state_get(vp->fd, MSHV_VP_STATE_LAPIC, &s, &size);

	if (r < 0)
		return r;
	s.lapic.lvt_lint0 = with_delivery(s.lapic.lvt_lint0, HV_INTERRUPT_EXTINT);
	s.lapic.lvt_lint1 = with_delivery(s.lapic.lvt_lint1, HV_INTERRUPT_NMI);
	return root_vp_state_set(vp->fd, MSHV_VP_STATE_LAPIC, &s, sizeof(s));
}

static int create_vp(struct vmm *vmm, u32 index)
{
	struct vmm_vp *vp = &vmm->vp[index];
	long r;

	vp->vmm = vmm;
	vp->index = index;
	vp->fd = root_vp_create(vmm->partition, index);
	if (vp->fd < 0)
		return (int)vmm_failed("creating a processor", vp->fd);
	vp->page = root_vp_page(vp->fd, MSHV_VP_MMAP_OFFSET_REGISTERS);
	if (!vp->page)
		return (int)vmm_failed("mapping a register page", -errno);
	r = add_cpuid(vp);
	if (r < 0)
		return (int)vmm_failed("setting CPUID results", r);
	r = set_msrs(vp);
	if (r < 0)
		return (int)vmm_failed("setting MSRs", r);
	r = set_lapic(vp);
	return r < 0 ? (int)vmm_failed("setting the local APIC", r) : 0;
}

int vmm_create_vps(struct vmm *vmm)
{
	int r = 0;

	for (u32 i = 0; r == 0 && i < vmm->options.cpus; i++)
		r = create_vp(vmm, i);
	return r;
}

/* ---- the first processor ---- */

#define SELECTOR_CODE 0x08
#define SELECTOR_DATA 0x10
#define SELECTOR_TSS  0x18
#define ATTR_CODE     0xc09b
#define ATTR_DATA     0xc093
#define ATTR_TSS      0x8b
#define TSS_LIMIT     0x67
#define STACK         0x8ff0

/* Flat 32-bit segments; the table stays ours only until the kernel has its own. */
static void write_gdt(const struct ram *ram)
{
	const u64 gdt[] = {0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00008b0000000067};

	memcpy(ram->base + GPA_GDT, gdt, sizeof(gdt));
}

static void set_general(struct vmm_vp *vp, const struct start_state *start)
{
	struct hv_register_page *page = vp->page;

	memset(page->gpr, 0, sizeof(page->gpr));
	page->rip = start->entry;
	page->rflags = 2;
	if (start->mode == START_PVH) {
		page->gpr[RBX] = start->info;
	} else {
		page->gpr[RSP] = STACK;
		page->gpr[RSI] = start->info;
	}
	page->dirty |= HV_PAGE_DIRTY_GPR | HV_PAGE_DIRTY_RIP | HV_PAGE_DIRTY_RFLAGS;
}

static void set_segments(struct vmm_vp *vp)
{
	const struct hv_segment code = {0, ~0u, SELECTOR_CODE, ATTR_CODE};
	const struct hv_segment data = {0, ~0u, SELECTOR_DATA, ATTR_DATA};

	for (unsigned i = 0; i < ARRAY_SIZE(vp->page->segment); i++)
		vp->page->segment[i] = i == SEG_CS ? code : data;
	vp->page->dirty |= HV_PAGE_DIRTY_SEGMENTS;
}

static struct hv_value128 segment_value(u64 base, u32 limit, u16 selector, u16 attr)
{
	const struct hv_segment s = {base, limit, selector, attr};
	struct hv_value128 v;

	memcpy(&v, &s, sizeof(v));
	return v;
}

static struct hv_value128 table_value(u64 base, u16 limit)
{
	const struct hv_table t = {.limit = limit, .base = base};
	struct hv_value128 v;

	memcpy(&v, &t, sizeof(v));
	return v;
}

/* Read, changed and written back, as all that has one structure for them does. CR0 is PE and nothing else. */
static long set_system(struct vmm_vp *vp)
{
	struct hv_register r[] = {
		{.name = HV_X64_REGISTER_TR},
		{.name = HV_X64_REGISTER_LDTR},
		{.name = HV_X64_REGISTER_GDTR},
		{.name = HV_X64_REGISTER_IDTR},
		{.name = HV_X64_REGISTER_INTERMEDIATE_CR0},
		{.name = HV_X64_REGISTER_CR2},
		{.name = HV_X64_REGISTER_INTERMEDIATE_CR3},
		{.name = HV_X64_REGISTER_INTERMEDIATE_CR4},
		{.name = HV_X64_REGISTER_CR8},
		{.name = HV_X64_REGISTER_EFER},
		{.name = HV_X64_REGISTER_APIC_BASE},
	};
	long status = root_regs_get(vp->fd, vp->index, r, ARRAY_SIZE(r));

	if (status < 0)
		return status;
	r[0].value = segment_value(0, TSS_LIMIT, SELECTOR_TSS, ATTR_TSS);
	r[2].value = table_value(GPA_GDT, 4 * 8 - 1);
	r[3].value = table_value(0, 0);
	r[4].value.low = 1;
	r[6].value.low = r[7].value.low = 0;
	return root_regs_set(vp->fd, vp->index, r, ARRAY_SIZE(r));
}

/* As after FNINIT: 26 registers. */
static long set_fpu(struct vmm_vp *vp)
{
	const struct hv_fp_control fp = {.fcw = 0x37f};
	const struct hv_xmm_control xmm = {.mxcsr = 0x1f80};
	struct hv_register r[26] = {0};

	for (u32 i = 0; i < 16; i++)
		r[i].name = HV_X64_REGISTER_XMM0 + i;
	for (u32 i = 0; i < 8; i++)
		r[16 + i].name = HV_X64_REGISTER_FP_MMX0 + i;
	r[24].name = HV_X64_REGISTER_FP_CONTROL_STATUS;
	memcpy(&r[24].value, &fp, sizeof(fp));
	r[25].name = HV_X64_REGISTER_XMM_CONTROL_STATUS;
	memcpy(&r[25].value, &xmm, sizeof(xmm));
	return root_regs_set(vp->fd, vp->index, r, ARRAY_SIZE(r));
}

int vmm_set_start(struct vmm_vp *vp, const struct start_state *start)
{
	u64 pending;
	long r;

	write_gdt(&vp->vmm->ram);
	set_general(vp, start);
	r = root_reg_get(vp->fd, vp->index, HV_REGISTER_PENDING_INTERRUPTION, &pending);
	if (r >= 0) {
		set_segments(vp);
		r = set_system(vp);
	}
	if (r >= 0)
		r = set_fpu(vp);
	return r < 0 ? (int)vmm_failed("setting the first registers", r) : 0;
}
