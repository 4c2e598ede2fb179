/* SPDX-License-Identifier: MIT */
/* See regpage.h. The VMM can scribble on the page at any time: each field is read once. */
#include "abi/mshv/regpage.h"

#include <string.h>

#include "abi/mshv/register.h"

#define XMM_OFFSET 160 /* in an XSAVE image, SDM 1:10.5.1 */

static void show_control(struct hv_register_page *page, const struct vcpu_state *s)
{
	for (unsigned i = 0; i < ARRAY_SIZE(page->segment); i++)
		page->segment[i] = segment_out(&s->seg[i]);
	page->cr0 = s->cr0;
	page->cr3 = s->cr3;
	page->cr4 = s->cr4;
	page->cr8 = s->cr8;
	page->efer = s->efer;
	page->dr7 = s->dr[7];
	page->xfem = s->xcr0;
}

void regpage_show_state(struct mshv_vp *v, const struct vcpu_state *s)
{
	struct hv_register_page *page = v->regs;

	page->version = 1;
	memcpy(page->gpr, s->gpr, sizeof(page->gpr));
	page->rip = s->rip;
	page->rflags = s->rflags;
	vcpu_get_xmm(v->cpu, page->xmm, ARRAY_SIZE(page->xmm));
	show_control(page, s);
	page->pending_interruption = pending_interruption(&s->events);
	page->interrupt_state = interrupt_state(&s->events);
	page->dirty = 0;
	page->is_valid = 1;
}

void regpage_show(struct mshv_vp *v)
{
	struct vcpu_state s;

	if (unlikely(v->staged))
		sregs_load(v, &s);
	vcpu_get(v->cpu, REGPAGE_STATE & ~v->staged, &s);
	regpage_show_state(v, &s);
}

/* ---- what the VMM has changed ---- */

static void take_regs(struct mshv_vp *v, const struct hv_register_page *page, u32 dirty)
{
	struct vcpu_state s;

	vcpu_get(v->cpu, ST_REGS, &s);
	if (dirty & HV_PAGE_DIRTY_GPR)
		memcpy(s.gpr, page->gpr, sizeof(s.gpr));
	if (dirty & HV_PAGE_DIRTY_RIP)
		s.rip = page->rip;
	if (dirty & HV_PAGE_DIRTY_RFLAGS)
		s.rflags = (page->rflags & FL_DEFINED) | FL_FIXED;
	vcpu_set(v->cpu, ST_REGS, &s);
	if (dirty & HV_PAGE_DIRTY_RIP)
		vp_given_rip(v);
}

static void take_xmm(struct mshv_vp *v, const struct hv_register_page *page)
{
	for (unsigned i = 0; i < ARRAY_SIZE(page->xmm); i++) {
		struct hv_value128 value = page->xmm[i];

		register_set(v, HV_X64_REGISTER_XMM0 + i, &value);
	}
}

static void take_segments(struct mshv_vp *v, const struct hv_register_page *page)
{
	struct vcpu_state s;

	sregs_load(v, &s);
	for (unsigned i = 0; i < ARRAY_SIZE(page->segment); i++) {
		struct hv_segment h = page->segment[i];

		s.seg[i] = segment_in(&h);
	}
	sregs_store(v, &s);
}

#define DIRTY_REGS (HV_PAGE_DIRTY_GPR | HV_PAGE_DIRTY_RIP | HV_PAGE_DIRTY_RFLAGS)

void regpage_take(struct mshv_vp *v)
{
	struct hv_register_page *page = v->regs;
	u32 dirty = __atomic_exchange_n(&page->dirty, 0, __ATOMIC_ACQ_REL);

	if (!dirty)
		return;
	if (dirty == HV_PAGE_DIRTY_RIP) /* behind most intercepts */
		vcpu_set_rip(v->cpu, page->rip);
	else if (dirty & DIRTY_REGS)
		take_regs(v, page, dirty);
	if (dirty & HV_PAGE_DIRTY_XMM)
		take_xmm(v, page);
	if (dirty & HV_PAGE_DIRTY_SEGMENTS)
		take_segments(v, page);
}
