/* SPDX-License-Identifier: MIT */
/*
 * See page.h. An access that the tool lets pass is done once by one vcpu, and the page stays closed for all others, so nobody
 * need be stopped meanwhile. "Single step" in an answer opens the page for all that the instruction does there; the tool
 * is not asked about that again before the next instruction.
 */
#include "introspect/page.h"

#include <string.h>

#include "introspect/event.h"
#include "introspect/regs.h"
#include "introspect/vcpu.h"

static const u8 access_bits[] = {
	[TAP_READ] = KVMI_PAGE_ACCESS_R,
	[TAP_WRITE] = KVMI_PAGE_ACCESS_W,
	[TAP_FETCH] = KVMI_PAGE_ACCESS_X,
};

#define WALKS (BIT(TAP_WALK_READ) | BIT(TAP_WALK_WRITE))

u32 page_rights_of(u8 access)
{
	u32 rights = WALKS;

	for (unsigned n = 0; n < ARRAY_SIZE(access_bits); n++)
		rights |= access & access_bits[n] ? BIT(n) : 0;
	return rights;
}

u8 page_access_of(u32 rights)
{
	u8 access = 0;

	for (unsigned n = 0; n < ARRAY_SIZE(access_bits); n++)
		access |= rights & BIT(n) ? access_bits[n] : 0;
	return access;
}

/* ---- what is open for the rest of an instruction ---- */

static u64 page_of(const struct tap_event *e)
{
	return e->page.gpa & ~(u64)(PAGE_SIZE - 1);
}

static bool is_open(const struct watched *w, const struct tap_event *e)
{
	for (unsigned n = 0; n < w->opened_count; n++)
		if (w->opened[n].page == page_of(e) && (w->opened[n].access & BIT(e->page.access)))
			return true;
	return false;
}

/* More pages than there is room for: each access to the others is asked about. */
static void open_page(struct watched *w, const struct tap_event *e)
{
	if (w->opened_count < OPENED_MAX)
		w->opened[w->opened_count++] =
			(struct opened){.page = page_of(e), .access = (u8)BIT(e->page.access)};
}

/* ---- a repeated instruction that is not asked about any more ---- */

bool page_watches_steps(const struct watched *w)
{
	return w->opened_count || w->repeat.state == REPEAT_BEGINS ||
	       w->repeat.state == REPEAT_HOLDS;
}

static void complete_repeat(struct watched *w)
{
	struct vcpu_view now;

	vcpu_look(w->v, &now);
	w->repeat = (struct repeat){
		.state = REPEAT_BEGINS, .rip = now.rip, .rsp = now.gpr[RSP], .cr3 = now.cr3};
}

/* An event has been delivered in the middle of it, which has changed none of these registers. */
static void interrupt_repeat(struct watched *w, const struct vcpu_view *now)
{
	w->repeat.state = REPEAT_INTERRUPTED;
	w->repeat.rcx = now->gpr[RCX];
	w->repeat.rsi = now->gpr[RSI];
	w->repeat.rdi = now->gpr[RDI];
}

/*
 * Nobody steps through what comes in between, which may be long, and may never end. So the instruction is known by all that
 * it had when it was left.
 */
static bool comes_back(const struct repeat *r, const struct vcpu_view *now)
{
	return r->state == REPEAT_INTERRUPTED && r->rsp == now->gpr[RSP] && r->cr3 == now->cr3 &&
	       r->rcx == now->gpr[RCX] && r->rsi == now->gpr[RSI] && r->rdi == now->gpr[RDI];
}

static bool is_completed(struct watched *w)
{
	struct repeat *r = &w->repeat;
	struct vcpu_view now;

	if (r->state == REPEAT_NONE || r->state == REPEAT_BEGINS)
		return false;
	vcpu_look(w->v, &now);
	if (r->rip == now.rip && comes_back(r, &now))
		r->state = REPEAT_HOLDS;
	return r->rip == now.rip && r->state == REPEAT_HOLDS;
}

static void repeat_stepped(struct watched *w, bool unfinished)
{
	struct repeat *r = &w->repeat;
	struct vcpu_view now;

	if (r->state == REPEAT_NONE || r->state == REPEAT_INTERRUPTED)
		return;
	vcpu_look(w->v, &now);
	if (!unfinished)
		r->state = REPEAT_NONE;
	else if (now.rip == r->rip)
		r->state = REPEAT_HOLDS;
	else
		interrupt_repeat(w, &now);
}

void page_instruction_over(struct watched *w, bool unfinished)
{
	w->opened_count = 0;
	repeat_stepped(w, unfinished);
}

/* ---- what the guest reads instead ---- */

/* The bytes at gpa are those of linear address ctx_addr; what lies between is what is there. */
static u32 place_data(struct watched *w, const struct tap_event *e, const struct reply *a, u8 *ret)
{
	const u32 size = MIN(a->ctx_size, (u32)KVMI_CTX_DATA_SIZE);
	const u64 ahead = a->has_ctx_addr ? a->ctx_addr - e->page.gva : 0;

	if (ahead < TAP_DATA_MAX - size) {
		if (ahead && machine_read(w->owner->machine, e->page.gpa, ret, ahead))
			return 0;
		memcpy(ret + ahead, a->ctx_data, size);
		return (u32)ahead + size;
	}
	if (-ahead < size) { /* it begins before */
		memcpy(ret, a->ctx_data - ahead, size + ahead);
		return size + (u32)ahead;
	}
	return 0;
}

static void give_data(struct watched *w, struct tap_event *e, const struct reply *a)
{
	if (e->page.access != TAP_READ || !a->ctx_size)
		return;
	e->page.data_len = (u16)place_data(w, e, a, w->data);
	e->page.data = w->data;
}

/* ---- the event ---- */

static enum tap_verdict answered(struct watched *w, struct tap_event *e, const struct reply *a)
{
	if (a->action == KVMI_EVENT_ACTION_CONTINUE) {
		give_data(w, e, a);
		if (a->rep_complete)
			complete_repeat(w);
		return TAP_GO_ON;
	}
	if (a->action != KVMI_EVENT_ACTION_RETRY || !a->singlestep)
		return TAP_RETRY;
	open_page(w, e);
	return TAP_GO_ON;
}

enum tap_verdict page_event(struct watched *w, struct tap_event *e)
{
	struct tool_event r = {.event = KVMI_V6_EVENT_PF};
	struct reply a;

	if (!(w->events & BIT(KVMI_V6_EVENT_PF)) || e->page.access > TAP_FETCH || is_open(w, e) ||
		is_completed(w))
		return TAP_GO_ON;
	r.pf.gva = e->page.gva;
	r.pf.gpa = e->page.gpa;
	r.pf.view = (u16)vcpu_view(w->v);
	r.pf.access = access_bits[e->page.access];
	event_ask(w, &r, 0, &a);
	return answered(w, e, &a);
}
