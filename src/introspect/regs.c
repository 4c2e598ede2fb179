/* SPDX-License-Identifier: MIT */
/* See regs.h. */
#include "introspect/regs.h"

#include <string.h>

#include "introspect/kvmregs.h"
#include "x86/msr.h"

/* ---- reading ---- */

static u8 mode_of(const struct vcpu_state *s)
{
	const u32 cs = s->seg[SEG_CS].attr;

	if ((s->efer & EFER_LMA) && (cs & SEG_L))
		return 8;
	return cs & SEG_DB ? 4 : 2;
}

u8 regs_read(struct vcpu *v, struct kvm_regs *regs, struct kvm_sregs *sregs)
{
	struct vcpu_state s;

	vcpu_get(v, ST_REGS | ST_SREGS | ST_EVENT, &s);
	kvmregs_get(&s, regs);
	memset(sregs, 0, sizeof(*sregs));
	kvmregs_get_system(&s, sregs);
	if (s.events.interrupt.injected && !s.events.interrupt.soft)
		sregs->interrupt_bitmap[s.events.interrupt.vector / 64] |=
			BIT64(s.events.interrupt.vector % 64);
	return mode_of(&s);
}

void regs_read_msrs(struct vcpu *v, struct kvmi_event_msrs *ret)
{
	static const u32 index[] = {0x174, 0x175, 0x176, 0xc0000080, 0xc0000081, 0xc0000082,
		0xc0000083, 0x277, 0xc0000102};
	u64 values[ARRAY_SIZE(index)] = {0};

	_Static_assert(sizeof(values) == sizeof(*ret), "in the order of the structure");
	for (unsigned n = 0; n < ARRAY_SIZE(index); n++)
		vcpu_get_msr(v, index[n], &values[n], true);
	memcpy(ret, values, sizeof(values));
}

u64 regs_rip(struct vcpu *v)
{
	struct vcpu_view view;

	vcpu_look(v, &view);
	return view.rip;
}

u64 regs_translate(struct vcpu *v, u64 gva)
{
	struct translation t;

	return vcpu_translate(v, gva, &t) ? ~0ull : t.gpa;
}

u64 regs_code_gpa(struct vcpu *v)
{
	struct vcpu_view view;

	vcpu_look(v, &view);
	return regs_translate(v, view.seg[SEG_CS].base + view.rip);
}

/* ---- changing ---- */

void regs_apply(struct watched *w)
{
	struct vcpu_state s;

	if (!w->regs_wait)
		return;
	w->regs_wait = false;
	kvmregs_set(&s, &w->regs);
	vcpu_set(w->v, ST_REGS, &s);
}

/* KVM_HC_XEN_HVM_OP with its one operation (Xen: HVMOP_guest_request_vm_event). */
bool regs_ask_for_event(struct vcpu *v)
{
	struct vcpu_view view;
	bool wide;

	vcpu_look(v, &view);
	wide = (view.efer & EFER_LMA) && (view.seg[SEG_CS].attr & SEG_L);
	if (!wide)
		return (u32)view.gpr[RAX] == KVM_HC_XEN_HVM_OP &&
		       (u32)view.gpr[RBX] == KVMI_HVM_OP_GUEST_REQUEST_VM_EVENT &&
		       !(u32)view.gpr[RCX];
	return view.gpr[RAX] == KVM_HC_XEN_HVM_OP &&
	       view.gpr[RDI] == KVMI_HVM_OP_GUEST_REQUEST_VM_EVENT && !view.gpr[RSI];
}

void regs_end_hypercall(struct vcpu *v, u64 rip_before, u8 insn_len)
{
	struct vcpu_state s;

	vcpu_get(v, ST_REGS, &s);
	s.gpr[RAX] = 0;
	if (s.rip != rip_before)
		s.rip += insn_len;
	vcpu_set(v, ST_REGS, &s);
}

/* ---- MTRRs (SDM 3:13.11) ---- */

#define MTRR_UC 0
#define MTRR_WT 4

#define MTRR_CAP             0xfe
#define MTRR_DEF_TYPE        0x2ff
#define MTRR_DEF_ENABLE      BIT64(11)
#define MTRR_DEF_FIXED       BIT64(10)
#define MTRR_PHYS_BASE(n)    (0x200 + 2 * (n))
#define MTRR_PHYS_MASK_VALID BIT64(11)

static u64 msr(struct vcpu *v, u32 index)
{
	u64 value = 0;

	vcpu_get_msr(v, index, &value, true);
	return value;
}

/* One of 88 ranges below 1 MiB: 8 of 64 KiB, 16 of 16 KiB, 64 of 4 KiB; eight types a register. */
static u8 fixed_type(struct vcpu *v, u32 gpa)
{
	u32 index, range;

	if (gpa < 0x80000) {
		index = 0x250;
		range = gpa >> 16;
	} else if (gpa < 0xc0000) {
		index = 0x258 + ((gpa - 0x80000) >> 17);
		range = (gpa - 0x80000) >> 14;
	} else {
		index = 0x268 + ((gpa - 0xc0000) >> 15);
		range = (gpa - 0xc0000) >> 12;
	}
	return (u8)(msr(v, index) >> (range % 8 * 8));
}

/* Of overlapping ranges uncached wins, then write-through (SDM 3:13.11.4.1). */
static u8 combined(int a, u8 b)
{
	if (a < 0 || a == b)
		return b;
	if (a == MTRR_UC || b == MTRR_UC)
		return MTRR_UC;
	return MIN((u8)a, b) == MTRR_WT ? MTRR_WT : MTRR_UC;
}

static int variable_type(struct vcpu *v, u64 gpa)
{
	int type = -1;

	for (u32 n = 0; n < (msr(v, MTRR_CAP) & 0xff); n++) {
		const u64 base = msr(v, MTRR_PHYS_BASE(n)), mask = msr(v, MTRR_PHYS_BASE(n) + 1);
		const u64 bits = mask & ~0xfffull;

		if ((mask & MTRR_PHYS_MASK_VALID) && (gpa & bits) == (base & bits))
			type = combined(type, (u8)base);
	}
	return type;
}

u8 regs_mtrr_type(struct vcpu *v, u64 gpa)
{
	const u64 def = msr(v, MTRR_DEF_TYPE);
	int type;

	if (!(def & MTRR_DEF_ENABLE))
		return MTRR_UC;
	if (gpa < 0x100000 && (def & MTRR_DEF_FIXED))
		return fixed_type(v, (u32)gpa);
	type = variable_type(v, gpa);
	return type < 0 ? (u8)def : (u8)type;
}
