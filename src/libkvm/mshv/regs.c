/* SPDX-License-Identifier: MIT */
/*
 * Registers: KVM's structures from and to the hypervisor's names. The general registers also lie in the register page,
 * where that is mapped: what an exit needs is taken from there.
 */
#include <errno.h>
#include <string.h>

#include "libkvm/mshv/mshv.h"

/* ---- the page, or the same by name ---- */

static void names_of_regs(u32 names[GPR_COUNT + 2])
{
	for (u32 i = 0; i < GPR_COUNT; i++)
		names[i] = HV_X64_REGISTER_RAX + i;
	names[GPR_COUNT] = HV_X64_REGISTER_RIP;
	names[GPR_COUNT + 1] = HV_X64_REGISTER_RFLAGS;
}

static long regs_by_name(struct vp *v, struct emu_regs *ret, struct refusal *why)
{
	struct hv_value128 values[GPR_COUNT + 2];
	u32 names[GPR_COUNT + 2];
	long r;

	names_of_regs(names);
	r = vp_read(v, names, values, ARRAY_SIZE(names), why);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < GPR_COUNT; i++)
		ret->gpr[i] = values[i].low;
	ret->rip = values[GPR_COUNT].low;
	ret->rflags = values[GPR_COUNT + 1].low;
	return 0;
}

static long set_regs_by_name(struct vp *v, const struct emu_regs *regs, struct refusal *why)
{
	struct hv_register registers[GPR_COUNT + 2] = {{.name = 0}};
	u32 names[GPR_COUNT + 2];

	names_of_regs(names);
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		registers[i].name = names[i];
	for (unsigned i = 0; i < GPR_COUNT; i++)
		registers[i].value.low = regs->gpr[i];
	registers[GPR_COUNT].value.low = regs->rip;
	registers[GPR_COUNT + 1].value.low = regs->rflags;
	return vp_write(v, registers, ARRAY_SIZE(registers), why);
}

long vp_load(struct vp *v, struct emu_regs *ret, struct refusal *why)
{
	const struct hv_register_page *page = v->page;

	if (!page || !page->is_valid)
		return regs_by_name(v, ret, why);
	memcpy(ret->gpr, page->gpr, sizeof(ret->gpr));
	ret->rip = page->rip;
	ret->rflags = page->rflags;
	return 0;
}

long vp_store(struct vp *v, const struct emu_regs *regs, struct refusal *why)
{
	struct hv_register_page *page = v->page;

	if (!page || !page->is_valid)
		return set_regs_by_name(v, regs, why);
	memcpy(page->gpr, regs->gpr, sizeof(page->gpr));
	page->rip = regs->rip;
	page->rflags = regs->rflags;
	page->dirty |= HV_PAGE_DIRTY_GPR | HV_PAGE_DIRTY_RIP | HV_PAGE_DIRTY_RFLAGS;
	return 0;
}

long vp_segments(struct vp *v, struct hv_segment ret[6], struct refusal *why)
{
	struct hv_value128 values[6];
	u32 names[6];
	long r;

	if (v->page && v->page->is_valid) {
		memcpy(ret, v->page->segment, sizeof(v->page->segment));
		return 0;
	}
	for (u32 i = 0; i < ARRAY_SIZE(names); i++)
		names[i] = HV_X64_REGISTER_ES + i;
	r = vp_read(v, names, values, ARRAY_SIZE(names), why);
	if (r >= 0)
		memcpy(ret, values, sizeof(values));
	return r;
}

/* ---- general registers ---- */

/* Offset in struct kvm_regs, by the number of the register. */
static const u16 kvm_gpr[GPR_COUNT] = {
	offsetof(struct kvm_regs, rax),
	offsetof(struct kvm_regs, rcx),
	offsetof(struct kvm_regs, rdx),
	offsetof(struct kvm_regs, rbx),
	offsetof(struct kvm_regs, rsp),
	offsetof(struct kvm_regs, rbp),
	offsetof(struct kvm_regs, rsi),
	offsetof(struct kvm_regs, rdi),
	offsetof(struct kvm_regs, r8),
	offsetof(struct kvm_regs, r9),
	offsetof(struct kvm_regs, r10),
	offsetof(struct kvm_regs, r11),
	offsetof(struct kvm_regs, r12),
	offsetof(struct kvm_regs, r13),
	offsetof(struct kvm_regs, r14),
	offsetof(struct kvm_regs, r15),
};

long serve_get_regs(struct ask *c)
{
	struct kvm_regs *k = c->arg;
	struct emu_regs regs;
	long r = regs_by_name(c->v, &regs, c->why);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < GPR_COUNT; i++)
		memcpy((u8 *)k + kvm_gpr[i], &regs.gpr[i], sizeof(u64));
	k->rip = regs.rip;
	k->rflags = regs.rflags;
	return 0;
}

long serve_set_regs(struct ask *c)
{
	const struct kvm_regs *k = c->arg;
	struct emu_regs regs = {.rip = k->rip, .rflags = (k->rflags & FL_DEFINED) | FL_FIXED};

	for (unsigned i = 0; i < GPR_COUNT; i++)
		memcpy(&regs.gpr[i], (const u8 *)k + kvm_gpr[i], sizeof(u64));
	return set_regs_by_name(c->v, &regs, c->why);
}

/* ---- segments and control registers ---- */

static struct kvm_segment to_kvm(const struct hv_value128 *value)
{
	struct hv_segment s;

	memcpy(&s, value, sizeof(s));
	return (struct kvm_segment){
		.base = s.base,
		.limit = s.limit,
		.selector = s.selector,
		.type = SEG_TYPE(s.attr),
		.s = !!(s.attr & SEG_S),
		.dpl = SEG_DPL(s.attr),
		.present = !!(s.attr & SEG_P),
		.avl = !!(s.attr & SEG_AVL),
		.l = !!(s.attr & SEG_L),
		.db = !!(s.attr & SEG_DB),
		.g = !!(s.attr & SEG_G),
		.unusable = !(s.attr & SEG_P),
	};
}

static struct hv_value128 from_kvm(const struct kvm_segment *k)
{
	const struct hv_segment s = {
		.base = k->base,
		.limit = k->limit,
		.selector = k->selector,
		.attr = (u16)(SEG_TYPE(k->type) | (k->s ? SEG_S : 0) | (u32)(k->dpl & 3) << 5 |
			      (k->present && !k->unusable ? SEG_P : 0) | (k->avl ? SEG_AVL : 0) |
			      (k->l ? SEG_L : 0) | (k->db ? SEG_DB : 0) | (k->g ? SEG_G : 0)),
	};
	struct hv_value128 value;

	memcpy(&value, &s, sizeof(value));
	return value;
}

static struct kvm_dtable table_to_kvm(const struct hv_value128 *value)
{
	struct hv_table t;

	memcpy(&t, value, sizeof(t));
	return (struct kvm_dtable){.base = t.base, .limit = t.limit};
}

static struct hv_value128 table_from_kvm(const struct kvm_dtable *k)
{
	const struct hv_table t = {.base = k->base, .limit = k->limit};
	struct hv_value128 value;

	memcpy(&value, &t, sizeof(value));
	return value;
}

/* What struct kvm_sregs consists of, in the order in which it is set. */
enum sreg_kind { SREG_SEGMENT, SREG_TABLE, SREG_WORD };
static const struct sreg {
	u32 name, name_to_set;
	u8 kind;
	u16 offset;
} sregs_table[] = {
#define SREG(kind, name, field)                                                                    \
	{                                                                                          \
		name, name, kind, offsetof(struct kvm_sregs, field)                                \
	}
	SREG(SREG_SEGMENT, HV_X64_REGISTER_ES, es),
	SREG(SREG_SEGMENT, HV_X64_REGISTER_CS, cs),
	SREG(SREG_SEGMENT, HV_X64_REGISTER_SS, ss),
	SREG(SREG_SEGMENT, HV_X64_REGISTER_DS, ds),
	SREG(SREG_SEGMENT, HV_X64_REGISTER_FS, fs),
	SREG(SREG_SEGMENT, HV_X64_REGISTER_GS, gs),
	SREG(SREG_SEGMENT, HV_X64_REGISTER_TR, tr),
	SREG(SREG_SEGMENT, HV_X64_REGISTER_LDTR, ldt),
	SREG(SREG_TABLE, HV_X64_REGISTER_GDTR, gdt),
	SREG(SREG_TABLE, HV_X64_REGISTER_IDTR, idt),
	/* These names accept what does not fit together yet. */
	{HV_X64_REGISTER_CR0, HV_X64_REGISTER_INTERMEDIATE_CR0, SREG_WORD,
		offsetof(struct kvm_sregs, cr0)},
	SREG(SREG_WORD, HV_X64_REGISTER_CR2, cr2),
	{HV_X64_REGISTER_CR3, HV_X64_REGISTER_INTERMEDIATE_CR3, SREG_WORD,
		offsetof(struct kvm_sregs, cr3)},
	{HV_X64_REGISTER_CR4, HV_X64_REGISTER_INTERMEDIATE_CR4, SREG_WORD,
		offsetof(struct kvm_sregs, cr4)},
	SREG(SREG_WORD, HV_X64_REGISTER_EFER, efer),
	SREG(SREG_WORD, HV_X64_REGISTER_APIC_BASE, apic_base),
	SREG(SREG_WORD, HV_X64_REGISTER_CR8, cr8),
#undef SREG
};
#define SREGS ARRAY_SIZE(sregs_table)

static void sreg_to_kvm(const struct sreg *s, void *field, const struct hv_value128 *value)
{
	switch (s->kind) {
	case SREG_SEGMENT: *(struct kvm_segment *)field = to_kvm(value); break;
	case SREG_TABLE: *(struct kvm_dtable *)field = table_to_kvm(value); break;
	default: *(u64 *)field = value->low;
	}
}

static struct hv_value128 sreg_from_kvm(const struct sreg *s, const void *field)
{
	switch (s->kind) {
	case SREG_SEGMENT: return from_kvm(field);
	case SREG_TABLE: return table_from_kvm(field);
	default: return (struct hv_value128){.low = *(const u64 *)field};
	}
}

long serve_get_sregs(struct ask *c)
{
	struct kvm_sregs *k = c->arg;
	struct hv_value128 values[SREGS];
	u32 names[SREGS];
	long r;

	for (unsigned i = 0; i < SREGS; i++)
		names[i] = sregs_table[i].name;
	r = vp_read(c->v, names, values, SREGS, c->why);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < SREGS; i++)
		sreg_to_kvm(&sregs_table[i], (u8 *)k + sregs_table[i].offset, &values[i]);
	memset(k->interrupt_bitmap, 0, sizeof(k->interrupt_bitmap));
	if (c->v->vector >= 0)
		k->interrupt_bitmap[c->v->vector / 64] |= BIT64(c->v->vector % 64);
	return 0;
}

/* Combinations that no processor can be in (SDM 3:2.5, 3:4.1.1, 3:9.8.5). */
static bool sregs_possible(const struct kvm_sregs *k)
{
	const bool paging = k->cr0 & CR0_PG, lma = k->efer & EFER_LMA;

	if (k->cr0 >> 32 || (paging && !(k->cr0 & CR0_PE)))
		return false;
	if (k->cr0 & CR0_NW && !(k->cr0 & CR0_CD))
		return false;
	if (lma != (paging && k->efer & EFER_LME))
		return false;
	return !lma || k->cr4 & CR4_PAE;
}

static int vector_in(const struct kvm_sregs *k)
{
	for (int i = (int)ARRAY_SIZE(k->interrupt_bitmap) - 1; i >= 0; i--)
		if (k->interrupt_bitmap[i])
			return 64 * i + 63 - __builtin_clzll(k->interrupt_bitmap[i]);
	return -1;
}

long serve_set_sregs(struct ask *c)
{
	const struct kvm_sregs *k = c->arg;
	struct hv_register registers[SREGS] = {{.name = 0}};
	long r;

	if (!sregs_possible(k))
		return refuse(c->why, -EINVAL,
			"CR0 0x%lx, CR4 0x%lx, EFER 0x%lx: no processor can be in this state",
			(u64)k->cr0, (u64)k->cr4, (u64)k->efer);
	for (unsigned i = 0; i < SREGS; i++) {
		registers[i].name = sregs_table[i].name_to_set;
		registers[i].value =
			sreg_from_kvm(&sregs_table[i], (const u8 *)k + sregs_table[i].offset);
	}
	r = vp_write(c->v, registers, SREGS, c->why);
	if (r >= 0) {
		c->v->vector = vector_in(k);
		c->v->run->cr8 = c->v->shown_cr8 = k->cr8;
	}
	return r;
}

/* ---- floating point ---- */

#define FPU_REGISTERS 26

static void names_of_fpu(u32 names[FPU_REGISTERS])
{
	for (u32 i = 0; i < 16; i++)
		names[i] = HV_X64_REGISTER_XMM0 + i;
	for (u32 i = 0; i < 8; i++)
		names[16 + i] = HV_X64_REGISTER_FP_MMX0 + i;
	names[24] = HV_X64_REGISTER_FP_CONTROL_STATUS;
	names[25] = HV_X64_REGISTER_XMM_CONTROL_STATUS;
}

long serve_get_fpu(struct ask *c)
{
	struct kvm_fpu *k = c->arg;
	struct hv_value128 values[FPU_REGISTERS];
	struct hv_xmm_control xmm;
	struct hv_fp_control fp;
	u32 names[FPU_REGISTERS];
	long r;

	names_of_fpu(names);
	r = vp_read(c->v, names, values, FPU_REGISTERS, c->why);
	if (r < 0)
		return r;
	memset(k, 0, sizeof(*k));
	memcpy(k->xmm, values, sizeof(k->xmm));
	memcpy(k->fpr, values + 16, sizeof(k->fpr));
	memcpy(&fp, values + 24, sizeof(fp));
	memcpy(&xmm, values + 25, sizeof(xmm));
	k->fcw = fp.fcw;
	k->fsw = fp.fsw;
	k->ftwx = fp.ftw;
	k->last_opcode = fp.fop;
	k->last_ip = fp.fip;
	k->last_dp = xmm.fdp;
	k->mxcsr = xmm.mxcsr;
	return 0;
}

long serve_set_fpu(struct ask *c)
{
	const struct kvm_fpu *k = c->arg;
	const struct hv_fp_control fp = {
		.fcw = k->fcw,
		.fsw = k->fsw,
		.ftw = k->ftwx,
		.fop = k->last_opcode,
		.fip = k->last_ip,
	};
	const struct hv_xmm_control xmm = {.fdp = k->last_dp, .mxcsr = k->mxcsr};
	struct hv_register registers[FPU_REGISTERS] = {{.name = 0}};
	u32 names[FPU_REGISTERS];

	names_of_fpu(names);
	for (unsigned i = 0; i < FPU_REGISTERS; i++)
		registers[i].name = names[i];
	for (unsigned i = 0; i < 16; i++)
		memcpy(&registers[i].value, k->xmm[i], sizeof(registers[i].value));
	for (unsigned i = 0; i < 8; i++)
		memcpy(&registers[16 + i].value, k->fpr[i], 10);
	memcpy(&registers[24].value, &fp, sizeof(fp));
	memcpy(&registers[25].value, &xmm, sizeof(xmm));
	return vp_write(c->v, registers, FPU_REGISTERS, c->why);
}

/* ---- what is only shown ---- */

long serve_get_xcrs(struct ask *c)
{
	struct kvm_xcrs *k = c->arg;
	u64 value;
	long r = vp_read_one(c->v, HV_X64_REGISTER_XFEM, &value, c->why);

	if (r < 0)
		return r;
	memset(k, 0, sizeof(*k));
	k->nr_xcrs = 1;
	k->xcrs[0].value = value;
	return 0;
}

/* Walks for the hypervisor's own rights; what the guest may do there is not looked at. */
long serve_translate(struct ask *c)
{
	struct kvm_translation *k = c->arg;
	struct hv_translated found;
	long r = vp_translate(c->v, k->linear_address, HV_TRANSLATE_EXEMPT, &found, c->why);

	if (r < 0)
		return r;
	k->valid = found.result == HV_TRANSLATE_OK || found.result >= HV_TRANSLATE_UNMAPPED;
	k->physical_address = found.gpa_page * PAGE_SIZE + k->linear_address % PAGE_SIZE;
	k->writeable = 1;
	k->usermode = 0;
	return 0;
}
