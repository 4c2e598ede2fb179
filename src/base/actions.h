/* SPDX-License-Identifier: MIT */
/*
 * Records of signal actions that handlers read while others change them. A handler cannot wait for a lock, and a fork may
 * cut off who holds one: so readers try again while a record is being written, and whose process has written the
 * lock tells a forked child that nobody will give it back.
 */
#ifndef BASE_ACTIONS_H
#define BASE_ACTIONS_H

#include <stdatomic.h>

#include "base/sys.h"
#include "base/types.h"

/* The process that changes records, or 0. */
typedef _Atomic int actions_changer;

struct action_record {
	_Atomic u32 changes; /* odd while it is written */
	struct sys_sigaction action;
};

/* No handler of this thread that does the same may run until actions_end_change(). */
static inline void actions_begin_change(actions_changer *changer)
{
	const int pid = sys_getpid();
	int other = 0;

	while (!atomic_compare_exchange_strong(changer, &other, pid)) {
		if (other == pid)
			other = 0;
		sys_sched_yield();
	}
}

static inline void actions_end_change(actions_changer *changer)
{
	atomic_store(changer, 0);
}

static inline void action_record(struct action_record *r, const struct sys_sigaction *a)
{
	/* It is odd already where a fork has cut another one off. */
	const u32 odd = atomic_load(&r->changes) | 1;

	atomic_store(&r->changes, odd);
	atomic_thread_fence(memory_order_seq_cst);
	r->action = *a;
	atomic_store(&r->changes, odd + 1);
}

/* In a forked child: whoever wrote it is no more, and it stays half written. */
static inline bool action_left_behind(
	const struct action_record *r, const actions_changer *changer, u32 changes)
{
	return atomic_load(changer) != sys_getpid() && atomic_load(&r->changes) == changes;
}

/* At any time, in handlers too. */
static inline struct sys_sigaction action_recorded(
	const struct action_record *r, const actions_changer *changer)
{
	struct sys_sigaction a;
	u32 before;

	for (;;) {
		before = atomic_load(&r->changes);
		a = r->action;
		atomic_thread_fence(memory_order_acquire);
		if (unlikely(before & 1) ? action_left_behind(r, changer, before)
					 : likely(atomic_load(&r->changes) == before))
			return a;
	}
}

#endif
