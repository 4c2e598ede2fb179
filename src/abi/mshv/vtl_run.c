/* SPDX-License-Identifier: MIT */
/*
 * MSHV_RETURN_TO_LOWER_VTL: the calling thread executes the lower guest's VP of the processor on which it runs, until that
 * has something for the program.
 *
 * It is -EINTR where a signal is pending or the run page says so (cancel), before guest code or after some of it. What the
 * program wrote to that page itself is seen at the next heartbeat; and a processor that sleeps looks every millisecond.
 */
#include <string.h>

#include "abi/mshv/regpage.h"
#include "abi/mshv/run.h"
#include "abi/mshv/vtl.h"
#include "base/sys.h"

/* ---- what ends it ---- */

bool vtl_is_cancelled(const struct mshv_vp *v)
{
	return __atomic_load_n(&vtl_run_page(v)->cancel, __ATOMIC_ACQUIRE);
}

bool vtl_poll(void *run_signals)
{
	struct run_signals *s = run_signals;
	const struct mshv_vp *v = container_of(s, struct mshv_vp, signals);

	return vtl_is_cancelled(v) || run_signals_poll(s);
}

static bool is_ended(const struct call *c, const struct mshv_vp *v)
{
	return run_signals_waiting(c) || vtl_is_cancelled(v);
}

/*
 * Two threads on one processor take turns: one whose VP is executed by another waits until that comes out. Programs pin the
 * threads that do this, so nobody waits where nothing is wrong.
 */
static int enter(const struct call *c, struct mshv_vp *v)
{
	const struct timespec nap = {.tv_nsec = 1000000};

	for (;;) {
		if (is_ended(c, v))
			return -EINTR;
		if (!pthread_mutex_trylock(&vtl_of(c)->cpu[v->index].returning))
			return 0;
		sys_nanosleep(&nap);
	}
}

/* ---- what is done on the way ---- */

static void do_action(struct mshv_partition *p, const struct mshv_vtl_return_action *a)
{
	struct mshv_vp *v = partition_vp(p, a->vp_index);
	bool newly;

	if (v && !a->vtl)
		vcpu_synic_signal(
			v->cpu, a->sint, a->flag, &newly); /* there is nobody to be told */
}

/* Up to one that there is not. */
static void do_actions(struct mshv_vp *v)
{
	volatile struct mshv_vtl_run *run = vtl_run_page(v);
	u32 bytes = run->vtl_ret_action_size;

	if (likely(!bytes))
		return;
	run->vtl_ret_action_size = 0;
	bytes = MIN(bytes, (u32)sizeof(run->vtl_ret_actions));
	for (unsigned i = 0; i < bytes / sizeof(run->vtl_ret_actions[0]); i++) {
		const struct mshv_vtl_return_action a = run->vtl_ret_actions[i];

		if (a.type != MSHV_VTL_RETURN_ACTION_SIGNAL_EVENT)
			break;
		do_action(v->partition, &a);
	}
}

/* The register page has RSP and all that is VTL0's own; the rest of the general registers are the run page's. */
static int execute(struct mshv_vp *v)
{
	struct hv_message message = {0};
	int r;

	do_actions(v);
	regpage_take(v);
	vtl_context_load(v);
	v->awaits_rip = false;
	r = vp_execute(v, &message);
	vtl_context_save(v);
	if (!r)
		memcpy((void *)vtl_run_page(v)->exit_message, &message, sizeof(message));
	return r;
}

long vtl_return(struct call *c)
{
	struct mshv_vp *v = vtl_vp_here(c);
	long r;

	if (!v)
		return -EIO;
	r = enter(c, v);
	if (r)
		return r;
	pthread_mutex_lock(&v->lock);
	run_signals_begin(&v->signals, c);
	vcpu_set_wait_fd(v->cpu, WAIT_BY_POLLING);
	r = execute(v);
	run_signals_end(&v->signals);
	pthread_mutex_unlock(&v->lock);
	pthread_mutex_unlock(&vtl_of(c)->cpu[v->index].returning);
	return r;
}
