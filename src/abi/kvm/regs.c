/* SPDX-License-Identifier: MIT */
/*
 * General, segment and control registers: kvm_regs, kvm_sregs, kvm_sregs2.
 */
#include <errno.h>
#include <string.h>

#include "abi/kvm/state.h"
#include "introspect/kvmregs.h"

void regs_get(struct kvm_vcpu *v, struct kvm_regs *ret)
{
	struct vcpu_state s;

	vcpu_get(v->cpu, ST_REGS, &s);
	kvmregs_get(&s, ret);
}

long regs_set(struct call *c, const struct kvm_regs *r)
{
	struct vcpu_state s;

	kvmregs_set(&s, r);
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

/* The fields that sregs and sregs2 share have the same names, order and place. */
_Static_assert(offsetof(struct kvm_sregs, interrupt_bitmap) == offsetof(struct kvm_sregs2, flags),
	"common part");

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
	kvmregs_get_system(&s, ret);
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
	kvmregs_set_system(&s, r);
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
	kvmregs_get_system(&s, (struct kvm_sregs *)r);
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
	kvmregs_set_system(&s, (const struct kvm_sregs *)r);
	return common_set(c, &s, ST_SREGS);
}
