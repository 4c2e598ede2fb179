/* SPDX-License-Identifier: MIT */
/* See regpage.h. The VMM can scribble on the page at any time: each field is read once. */
#include "abi/mshv/regpage.h"

#include <string.h>

#include "abi/mshv/register.h"

#define XMM_OFFSET 160 /* in an XSAVE image, SDM 1:10.5.1 */

static void show_control(struct hv_register_page *page, const struct vcpu_view *look)
{
	for (unsigned i = 0; i < ARRAY_SIZE(page->segment); i++)
		page->segment[i] = segment_out(&look->seg[i]);
	page->cr0 = look->cr0;
	page->cr3 = look->cr3;
	page->cr4 = look->cr4;
	page->cr8 = look->cr8;
	page->efer = look->efer;
	page->dr7 = look->dr7;
	page->xfem = look->xcr0;
}

u64 regpage_pending(const struct mshv_vp *v, const struct vcpu_view *look)
{
	struct vcpu_state s;

	if (likely(!look->event))
		return 0;
	vcpu_get(v->cpu, ST_EVENT, &s);
	return pending_interruption(&s.events);
}

void regpage_show_view(struct mshv_vp *v, const struct vcpu_view *look, u64 pending_interruption)
{
	struct hv_register_page *page = v->regs;

	page->version = 1;
	memcpy(page->gpr, look->gpr, sizeof(page->gpr));
	page->rip = look->rip;
	page->rflags = look->rflags;
	vcpu_get_xmm(v->cpu, page->xmm, ARRAY_SIZE(page->xmm));
	show_control(page, look);
	page->pending_interruption = pending_interruption;
	page->interrupt_state = interrupt_state(look->shadow, look->nmi_masked);
	page->dirty = 0;
	page->is_valid = 1;
}

/* Staged registers in the place of the engine's. */
static void look_at_staged(const struct vcpu_state *staging, struct vcpu_view *look)
{
	look->seg = staging->seg;
	look->cr0 = staging->cr0;
	look->cr3 = staging->cr3;
	look->cr4 = staging->cr4;
	look->cr8 = staging->cr8;
	look->efer = staging->efer;
}

void regpage_show(struct mshv_vp *v)
{
	struct vcpu_view look;

	vcpu_look(v->cpu, &look);
	if (unlikely(v->staged))
		look_at_staged(&v->staging, &look);
	regpage_show_view(v, &look, regpage_pending(v, &look));
}

/* ---- what the VMM has changed ---- */

static void take_regs(struct mshv_vp *v, const struct hv_register_page *page, u32 dirty)
{
	struct vcpu_state s;

	vcpu_get(v->cpu, ST_REGS, &s);
	if (dirty & HV_PAGE_DIRTY_GPR)
		memcpy(s.gpr, page->gpr, sizeof(s.gpr));
	if (dirty & HV_PAGE_DIRTY_RFLAGS)
		s.rflags = (page->rflags & FL_DEFINED) | FL_FIXED;
	vcpu_set(v->cpu, ST_REGS, &s);
	if (dirty & HV_PAGE_DIRTY_RIP)
		vp_go_to(v, page->rip);
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

static void take(struct mshv_vp *v, const struct hv_register_page *page, u32 dirty)
{
	if (dirty == HV_PAGE_DIRTY_RIP) /* behind most intercepts */
		vp_go_to(v, page->rip);
	else if (dirty & DIRTY_REGS)
		take_regs(v, page, dirty);
	if (dirty & HV_PAGE_DIRTY_XMM)
		take_xmm(v, page);
	if (dirty & HV_PAGE_DIRTY_SEGMENTS)
		take_segments(v, page);
}

void regpage_take(struct mshv_vp *v)
{
	u32 dirty = __atomic_exchange_n(&v->regs->dirty, 0, __ATOMIC_ACQ_REL);

	if (dirty)
		take(v, v->regs, dirty);
}

void regpage_take_own(struct mshv_vp *v)
{
	u32 dirty = __atomic_load_n(&v->regs->dirty, __ATOMIC_ACQUIRE);

	__atomic_store_n(&v->regs->dirty, 0, __ATOMIC_RELAXED);
	if (dirty)
		take(v, v->regs, dirty);
}
