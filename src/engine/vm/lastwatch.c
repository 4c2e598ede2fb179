/* SPDX-License-Identifier: MIT */
/* The timer by which a process's last thread is looked for: see lastthread.c. One machine of the process looks often. */
#include <errno.h>
#include <stdlib.h>

#include "base/sys.h"
#include "engine/core/machine.h"
#include "engine/time/timer.h"
#include "engine/vm/last.h"

#define OFTEN_NS  100000000ull
#define SELDOM_NS 1000000000ull

/* The process whose machine looks, 0: none does. After a fork it is another one's. */
static _Atomic int watched;

struct last {
	struct timer timer;
	struct machine *machine;
	bool looks;
};

static bool take_over(void)
{
	const int pid = sys_getpid();
	int is = atomic_load(&watched);

	return is != pid && atomic_compare_exchange_strong(&watched, &is, pid);
}

static void last_fire(struct timer *t)
{
	struct last *l = container_of(t, struct last, timer);

	l->looks = l->looks || take_over();
	if (l->looks && last_first_is_gone())
		last_check();
	timer_arm(l->machine, t, host_ns() + (l->looks ? OFTEN_NS : SELDOM_NS));
}

int last_create(struct machine *m)
{
	struct last *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->machine = m;
	l->timer.fire = last_fire;
	m->last = l;
	timer_arm(m, &l->timer, host_ns() + OFTEN_NS);
	return 0;
}

void last_destroy(struct machine *m)
{
	timer_cancel(m, &m->last->timer);
	if (m->last->looks)
		atomic_store(&watched, 0);
	free(m->last);
	m->last = NULL;
}
