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

/*
 * A message is made where it is shown, all 0 but for what the last one has written. Its place may be the caller's, too, who can scribble
 * on it: so the length is looked at once.
 */
static void clear_message(const struct mshv_vp *v, struct hv_message *m)
{
	memset(m, 0, offsetof(struct hv_message, payload) + v->shown);
}

static void keep_length(struct mshv_vp *v, const struct hv_message *m)
{
	v->shown = MIN(*(const volatile u8 *)&m->len, (unsigned)sizeof(m->payload));
}

/* The exit is shown: as a message and, with it, in the register page. False: it is nobody's business. */
static bool show(struct mshv_vp *v, struct hv_message *ret)
{
	struct vcpu_view look;
	u64 pending;

	vcpu_look(v->cpu, &look);
	pending = regpage_pending(v, &look);
	clear_message(v, ret);
	if (!message_make(&(const struct intercept){v, vcpu_exit(v->cpu), vcpu_exit_insn(v->cpu),
				  &look, pending},
		    ret))
		return false;
	keep_length(v, ret);
	regpage_show_view(v, &look, pending);
	return true;
}

static int show_invalid(struct mshv_vp *v, struct hv_message *ret)
{
	clear_message(v, ret);
	message_invalid_registers(v, ret);
	keep_length(v, ret);
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

		if (unlikely(atomic_load(&v->wanted)))
			vp_yield(v);
		if (unlikely(v->staged) && !sregs_settle(v))
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

int vp_execute(struct mshv_vp *v, struct hv_message *ret)
{
	int r;

	regpage_take_own(v);
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
		cond_wait(&v->calm, &v->lock);
		v->run_waits--;
	}
	v->runs = true;
}

static void end_run(struct mshv_vp *v)
{
	v->runs = false;
	if (unlikely(v->run_waits))
		cond_changed(&v->calm);
}

long vp_run(struct call *c)
{
	struct mshv_vp *v = vp_of(c);
	int r;

	begin_run(v);
	run_signals_begin(&v->signals, c);
	r = vp_execute(v, &v->pages->message);
	run_signals_end(&v->signals);
	end_run(v);
	if (unlikely(r))
		return r;
	return copy_out(c->dev, c->arg, &v->pages->message, sizeof(v->pages->message)) ? -EFAULT
										       : 0;
}
