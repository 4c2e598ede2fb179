/* SPDX-License-Identifier: MIT */
/*
 * MSHV_RUN_VP: take what the VMM has written into the register page, run until there is a message, and show both pages.
 *
 * A signal ends it with -EINTR (abi/runsignals.h). Others who want the VP (vp_take()) and a partition whose time stands
 * still stop it for a while without its ending.
 */
#include "abi/mshv/run.h"

#include <string.h>

#include "abi/mshv/intercept.h"
#include "abi/mshv/message.h"
#include "abi/mshv/regpage.h"
#include "abi/mshv/register.h"
#include "abi/mshv/vtl.h"

/* ---- running ---- */

static u32 run_flags(const struct mshv_partition *p)
{
	bool still = atomic_load(&p->frozen) || atomic_load(&p->suspended);

	return unlikely(still) ? RUN_ASLEEP : 0;
}

/* The exit is shown: as a message and, with it, in the register page. False: it is nobody's business. */
static bool show(struct mshv_vp *v, struct hv_message *ret)
{
	struct vcpu_view look;
	u64 pending;

	vcpu_look(v->cpu, &look);
	pending = regpage_pending(v, &look);
	if (!message_make(&(const struct intercept){v, vcpu_exit(v->cpu), &look, pending}, ret))
		return false;
	regpage_show_view(v, &look, pending);
	return true;
}

static int show_invalid(struct mshv_vp *v, struct hv_message *ret)
{
	message_invalid_registers(v, ret);
	regpage_show(v);
	return 0;
}

static int show_interrupted(struct mshv_vp *v)
{
	regpage_show(v);
	return -EINTR;
}

/* Is it to come out without a message? */
static bool is_stopped(const struct mshv_vp *v)
{
	return run_signals_wait(&v->signals) || (v->partition->vtl && vtl_is_cancelled(v));
}

/* A call of the lower guest's for the program is no intercept: its message is empty. */
static bool is_vtl_call(struct mshv_vp *v)
{
	if (likely(!v->partition->vtl) || !vtl_take_call(v))
		return false;
	regpage_show(v);
	return true;
}

/* 0 with a message, or -EINTR. */
static int run_until_message(struct mshv_vp *v, struct hv_message *ret)
{
	for (;;) {
		int r;

		vp_yield(v);
		if (unlikely(!sregs_settle(v)))
			return show_invalid(v, ret);
		if (unlikely(is_stopped(v)))
			return show_interrupted(v);
		r = vcpu_run(v->cpu, run_flags(v->partition));
		if (unlikely(r == -EINVAL))
			return show_invalid(v, ret);
		if (unlikely(r == -EAGAIN)) /* INIT has come: what it waits for next is SIPI */
			continue;
		if (r)
			return r;
		if (vcpu_exit(v->cpu)->reason == EXIT_INTR)
			continue;
		if (unlikely(is_vtl_call(v)))
			return 0;
		if (intercept_unwanted(v))
			continue;
		if (likely(show(v, ret)))
			return 0;
	}
}

/* In the page, too: all of it, of which only as much is written as this or the last one has. */
static void show_message(struct mshv_vp *v, const struct hv_message *m)
{
	memcpy(&v->pages->message, m, offsetof(struct hv_message, payload) + MAX(m->len, v->shown));
	v->shown = m->len;
}

int vp_execute(struct mshv_vp *v, struct hv_message *ret)
{
	int r;

	regpage_take(v);
	v->explicit_suspend = v->intercept_suspend = false;
	r = run_until_message(v, ret);
	v->intercept_suspend = !r;
	v->explicit_suspend = r;
	return r;
}

/* Who runs it lets in those who want to look at it, but nobody who wants to run it, too. */
static void begin_run(struct mshv_vp *v)
{
	while (unlikely(v->runs)) {
		v->run_waits++;
		pthread_cond_wait(&v->calm, &v->lock);
		v->run_waits--;
	}
	v->runs = true;
}

static void end_run(struct mshv_vp *v)
{
	v->runs = false;
	if (unlikely(v->run_waits))
		pthread_cond_broadcast(&v->calm);
}

long vp_run(struct call *c)
{
	struct mshv_vp *v = vp_of(c);
	int r;

	begin_run(v);
	run_signals_begin(&v->signals, c);
	r = vp_execute(v, c->data);
	if (!r)
		show_message(v, c->data);
	run_signals_end(&v->signals);
	end_run(v);
	return r;
}
