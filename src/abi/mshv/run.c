/* SPDX-License-Identifier: MIT */
/*
 * MSHV_RUN_VP: take what the VMM has written into the register page, run until there is a message, and show both pages.
 *
 * A signal ends it with -EINTR (abi/runsignals.h). Others who want the VP (vp_take()) and a partition whose time stands
 * still stop it for a while without its ending.
 */
#include "abi/mshv/intercept.h"
#include "abi/mshv/message.h"
#include "abi/mshv/regpage.h"
#include "abi/mshv/register.h"

/* ---- running ---- */

static u32 run_flags(const struct mshv_partition *p)
{
	bool still = atomic_load(&p->frozen) || atomic_load(&p->suspended);

	return unlikely(still) ? RUN_ASLEEP : 0;
}

/* 0 with a message, or -EINTR. */
static int run_until_message(struct mshv_vp *v, struct hv_message *ret)
{
	for (;;) {
		int r;

		vp_yield(v);
		if (unlikely(run_signals_wait(&v->signals)))
			return -EINTR;
		r = vcpu_run(v->cpu, run_flags(v->partition));
		if (unlikely(r == -EINVAL)) {
			message_invalid_registers(v, ret);
			return 0;
		}
		if (unlikely(r == -EAGAIN)) /* INIT has come: what it waits for next is SIPI */
			continue;
		if (r)
			return r;
		if (vcpu_exit(v->cpu)->reason == EXIT_INTR || intercept_unwanted(v))
			continue;
		if (message_make(v, ret))
			return 0;
	}
}

static int run(struct mshv_vp *v, struct hv_message *ret)
{
	int r;

	regpage_take(v);
	v->explicit_suspend = v->intercept_suspend = false;
	if (unlikely(!sregs_settle(v))) {
		message_invalid_registers(v, ret);
		r = 0;
	} else {
		r = run_until_message(v, ret);
	}
	v->intercept_suspend = !r;
	v->explicit_suspend = r;
	regpage_show(v);
	if (!r)
		v->pages->message = *ret;
	return r;
}

long vp_run(struct call *c)
{
	struct mshv_vp *v = vp_of(c);
	int r;

	pthread_mutex_lock(&v->state);
	run_signals_begin(&v->signals, c);
	r = run(v, c->data);
	run_signals_end(&v->signals);
	pthread_mutex_unlock(&v->state);
	return r;
}
