/* SPDX-License-Identifier: MIT */
/*
 * General, segment and control registers: kvm_regs, kvm_sregs, kvm_sregs2.
 * KVM's register order is its own (rax rbx rcx rdx), the engine's is the encoding's.
 */
#include <errno.h>
#include <string.h>

#include "abi/kvm/state.h"

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

void regs_get(struct kvm_vcpu *v, struct kvm_regs *ret)
{
	struct vcpu_state s;
	__u64 *out = &ret->rax;
	unsigned i;

	vcpu_get(v->cpu, ST_REGS, &s);
	for (i = 0; i < GPR_COUNT; i++)
		out[i] = s.gpr[regs_order[i]];
	ret->rip = s.rip;
	ret->rflags = s.rflags;
}

long regs_set(struct call *c, const struct kvm_regs *r)
{
	struct vcpu_state s;
	const __u64 *in = &r->rax;
	unsigned i;

	for (i = 0; i < GPR_COUNT; i++)
		s.gpr[regs_order[i]] = in[i];
	s.rip = r->rip;
	s.rflags = r->rflags | FL_FIXED;
	return vcpu_answered(c, vcpu_set(vcpu_of(c)->cpu, ST_REGS, &s));
}

long vcpu_get_regs(struct call *c)
{
	regs_get(vcpu_of(c), c->data);
	return 0;
}

long vcpu_set_regs(struct call *c)
{
	return regs_set(c, c->data);
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

/* The fields that sregs and sregs2 share have the same names, order and place. */
_Static_assert(offsetof(struct kvm_sregs, interrupt_bitmap) == offsetof(struct kvm_sregs2, flags),
	"common part");

static void common_out(struct kvm_sregs *r, const struct vcpu_state *s)
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

static void common_in(struct vcpu_state *s, const struct kvm_sregs *r)
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

/* Without a local APIC in the engine kvm_run.cr8 will override this cr8 at the next KVM_RUN. */
static long common_set(struct call *c, struct vcpu_state *s, u32 groups)
{
	long r = vcpu_answered(c, vcpu_set(vcpu_of(c)->cpu, groups, s));

	if (!r && s->cr8 <= 15)
		vcpu_of(c)->cr8 = s->cr8;
	return r;
}

/* ---- sregs ---- */

void sregs_get(struct kvm_vcpu *v, struct kvm_sregs *ret)
{
	struct vcpu_state s;

	memset(ret, 0, sizeof(*ret));
	vcpu_get(v->cpu, ST_SREGS | ST_EVENT, &s);
	common_out(ret, &s);
	if (s.events.interrupt.injected && !s.events.interrupt.soft)
		ret->interrupt_bitmap[s.events.interrupt.vector / 64] |=
			BIT64(s.events.interrupt.vector % 64);
}

/* The lowest vector in the bitmap, or -1. */
static int bitmap_vector(const struct kvm_sregs *r)
{
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(r->interrupt_bitmap); i++)
		if (r->interrupt_bitmap[i])
			return i * 64 + __builtin_ctzll(r->interrupt_bitmap[i]);
	return -1;
}

long sregs_set(struct call *c, const struct kvm_sregs *r)
{
	struct vcpu_state s;
	int vector = bitmap_vector(r);
	u32 groups = ST_SREGS;

	vcpu_get(vcpu_of(c)->cpu, ST_EVENT, &s);
	common_in(&s, r);
	if (vector >= 0) {
		s.events.interrupt.injected = true;
		s.events.interrupt.soft = false;
		s.events.interrupt.vector = vector;
		groups |= ST_EVENT;
	}
	return common_set(c, &s, groups);
}

long vcpu_get_sregs(struct call *c)
{
	sregs_get(vcpu_of(c), c->data);
	return 0;
}

long vcpu_set_sregs(struct call *c)
{
	return sregs_set(c, c->data);
}

/* ---- sregs2 ---- */

static bool pae_paging(const struct kvm_sregs2 *r)
{
	return (r->cr0 & CR0_PG) && (r->cr4 & CR4_PAE) && !(r->efer & EFER_LMA);
}

/* The engine reads PDPTEs from memory when CR3 is loaded; what is there now is what it would load. */
static void pdptrs_out(struct kvm_vcpu *v, struct kvm_sregs2 *r)
{
	const u64 base = r->cr3 & 0xffffffe0;

	if (pae_paging(r) && !machine_read(v->vm->machine, base, r->pdptrs, sizeof(r->pdptrs)))
		r->flags |= KVM_SREGS2_FLAGS_PDPTRS_VALID;
}

long vcpu_get_sregs2(struct call *c)
{
	struct kvm_sregs2 *r = c->data;
	struct vcpu_state s;

	vcpu_get(vcpu_of(c)->cpu, ST_SREGS, &s);
	common_out((struct kvm_sregs *)r, &s);
	pdptrs_out(vcpu_of(c), r);
	return 0;
}

long vcpu_set_sregs2(struct call *c)
{
	const struct kvm_sregs2 *r = c->data;
	struct vcpu_state s;

	if (check_flags(c, r->flags, KVM_SREGS2_FLAGS_PDPTRS_VALID))
		return -EINVAL;
	if (r->flags && !pae_paging(r))
		return refuse(c->why, -EINVAL,
			"flags: PDPTRS_VALID needs PG in cr0 and PAE in cr4, and no LMA in efer");
	common_in(&s, (const struct kvm_sregs *)r);
	return common_set(c, &s, ST_SREGS);
}
