/* SPDX-License-Identifier: MIT */
/*
 * HvStartVirtualProcessor, the second half: a vcpu that waits for its first SIPI begins with the state that another one has
 * left for it (pv/hyperv/start.c). State that no processor can have is a mistake of the guest: the vcpu shuts down.
 */
#include <stdlib.h>

#include "engine/pv/hyperv/hv.h"
#include "engine/vcpu/loop.h"
#include "x86/msr.h"

static struct segment segment_of(const struct hv_segment *h)
{
	return (struct segment){.base = h->base,
		.limit = h->limit,
		.selector = h->selector,
		.attr = (h->attr & 0xf0ffu) | (h->attr & SEG_P ? 0 : SEG_UNUSABLE)};
}

static int begin(struct vcpu *v, const struct hv_start *h)
{
	struct vcpu_state s;

	vcpu_get(v, ST_REGS | ST_SREGS, &s);
	__builtin_memset(s.gpr, 0, sizeof(s.gpr));
	s.gpr[RSP] = h->rsp;
	s.rip = h->rip;
	s.rflags = h->rflags;
	s.seg[SEG_CS] = segment_of(&h->cs);
	s.seg[SEG_DS] = segment_of(&h->ds);
	s.seg[SEG_ES] = segment_of(&h->es);
	s.seg[SEG_FS] = segment_of(&h->fs);
	s.seg[SEG_GS] = segment_of(&h->gs);
	s.seg[SEG_SS] = segment_of(&h->ss);
	s.seg[SEG_TR] = segment_of(&h->tr);
	s.seg[SEG_LDTR] = segment_of(&h->ldtr);
	s.idt = (struct dtable){.base = h->idtr.base, .limit = h->idtr.limit};
	s.gdt = (struct dtable){.base = h->gdtr.base, .limit = h->gdtr.limit};
	s.efer = h->efer;
	s.cr0 = h->cr0;
	s.cr3 = h->cr3;
	s.cr4 = h->cr4;
	if (vcpu_set(v, ST_REGS | ST_SREGS, &s))
		return -1;
	return vcpu_set_msr(v, MSR_PAT, h->pat, true);
}

void vcpu_take_start(struct vcpu *v)
{
	struct hv_start *h = atomic_exchange(&v->hv->start, NULL);
	u32 state = atomic_load(&v->mp_state);

	if (state == MP_UNINITIALIZED || state == MP_INIT_RECEIVED) {
		v->cpu.events.triple_fault = begin(v, h) != 0;
		atomic_store(&v->mp_state, MP_RUNNABLE);
	}
	free(h);
}
