/* SPDX-License-Identifier: MIT */
/* See kvmregs.h. KVM's register order is its own (rax rbx rcx rdx), the engine's is the encoding's. */
#include "introspect/kvmregs.h"

/* ---- general registers ---- */

static const u8 regs_order[GPR_COUNT] = {
	RAX,
	RBX,
	RCX,
	RDX,
	RSI,
	RDI,
	RSP,
	RBP,
	R8,
	R9,
	R10,
	R11,
	R12,
	R13,
	R14,
	R15,
};

void kvmregs_get(const struct vcpu_state *s, struct kvm_regs *ret)
{
	__u64 *out = &ret->rax;

	for (unsigned i = 0; i < GPR_COUNT; i++)
		out[i] = s->gpr[regs_order[i]];
	ret->rip = s->rip;
	ret->rflags = s->rflags;
}

void kvmregs_set(struct vcpu_state *s, const struct kvm_regs *r)
{
	const __u64 *in = &r->rax;

	for (unsigned i = 0; i < GPR_COUNT; i++)
		s->gpr[regs_order[i]] = in[i];
	s->rip = r->rip;
	s->rflags = r->rflags | FL_FIXED;
}

/* ---- segments ---- */

static void segment_out(struct kvm_segment *to, const struct segment *s)
{
	*to = (struct kvm_segment){
		.base = s->base,
		.limit = s->limit,
		.selector = s->selector,
		.type = SEG_TYPE(s->attr),
		.present = !!(s->attr & SEG_P),
		.dpl = SEG_DPL(s->attr),
		.db = !!(s->attr & SEG_DB),
		.s = !!(s->attr & SEG_S),
		.l = !!(s->attr & SEG_L),
		.g = !!(s->attr & SEG_G),
		.avl = !!(s->attr & SEG_AVL),
		.unusable = !!(s->attr & SEG_UNUSABLE),
	};
}

/* A segment that is not present cannot be used either, whatever the caller says: as VMX does. */
static struct segment segment_in(const struct kvm_segment *k)
{
	u32 attr = SEG_TYPE(k->type) | (k->dpl & 3u) << 5;

	attr |= (k->s & 1 ? SEG_S : 0) | (k->present & 1 ? SEG_P : 0) | (k->avl & 1 ? SEG_AVL : 0);
	attr |= (k->l & 1 ? SEG_L : 0) | (k->db & 1 ? SEG_DB : 0) | (k->g & 1 ? SEG_G : 0);
	attr |= k->unusable || !k->present ? SEG_UNUSABLE : 0;
	return (struct segment){
		.base = k->base,
		.limit = k->limit,
		.attr = attr,
		.selector = k->selector,
	};
}

/* ---- segment and control registers ---- */

void kvmregs_get_system(const struct vcpu_state *s, struct kvm_sregs *r)
{
	segment_out(&r->cs, &s->seg[SEG_CS]);
	segment_out(&r->ds, &s->seg[SEG_DS]);
	segment_out(&r->es, &s->seg[SEG_ES]);
	segment_out(&r->fs, &s->seg[SEG_FS]);
	segment_out(&r->gs, &s->seg[SEG_GS]);
	segment_out(&r->ss, &s->seg[SEG_SS]);
	segment_out(&r->tr, &s->seg[SEG_TR]);
	segment_out(&r->ldt, &s->seg[SEG_LDTR]);
	r->gdt = (struct kvm_dtable){.base = s->gdt.base, .limit = s->gdt.limit};
	r->idt = (struct kvm_dtable){.base = s->idt.base, .limit = s->idt.limit};
	r->cr0 = s->cr0;
	r->cr2 = s->cr2;
	r->cr3 = s->cr3;
	r->cr4 = s->cr4;
	r->cr8 = s->cr8;
	r->efer = s->efer;
	r->apic_base = s->apic_base;
}

void kvmregs_set_system(struct vcpu_state *s, const struct kvm_sregs *r)
{
	s->seg[SEG_CS] = segment_in(&r->cs);
	s->seg[SEG_DS] = segment_in(&r->ds);
	s->seg[SEG_ES] = segment_in(&r->es);
	s->seg[SEG_FS] = segment_in(&r->fs);
	s->seg[SEG_GS] = segment_in(&r->gs);
	s->seg[SEG_SS] = segment_in(&r->ss);
	s->seg[SEG_TR] = segment_in(&r->tr);
	s->seg[SEG_LDTR] = segment_in(&r->ldt);
	s->gdt = (struct dtable){.base = r->gdt.base, .limit = r->gdt.limit};
	s->idt = (struct dtable){.base = r->idt.base, .limit = r->idt.limit};
	s->cr0 = r->cr0;
	s->cr2 = r->cr2;
	s->cr3 = r->cr3;
	s->cr4 = r->cr4;
	s->cr8 = r->cr8;
	s->efer = r->efer;
	s->apic_base = r->apic_base;
}
