/* SPDX-License-Identifier: MIT */
/*
 * The dirty log: which pages of a slot were written since the last call. Outer code.
 *
 * A write entry for a page of a logged slot exists only while the page's bit is set. Clearing a bit
 * therefore takes the entries away, from all cpus, which happens while they are paused.
 */
#include <errno.h>

#include "engine/mem/mem_priv.h"

/* Returns whether any bit was set. */
static bool take_bits(const struct slot *s, u64 *ret)
{
	u64 words = ALIGN_UP(s->size >> PAGE_SHIFT, 64) / 64, any = 0;

	for (u64 i = 0; i < words; i++) {
		/* Reading first keeps the untouched parts of the array uncommitted. */
		ret[i] = __atomic_load_n(&s->dirty[i], __ATOMIC_SEQ_CST)
				 ? __atomic_exchange_n(&s->dirty[i], 0, __ATOMIC_SEQ_CST)
				 : 0;
		any |= ret[i];
	}
	return any;
}

int machine_get_dirty_log(struct machine *m, u32 id, void *bitmap)
{
	const struct slot *s;
	int r = -ENOENT;

	machine_pause(m);
	pthread_rwlock_rdlock(&m->mem->lock);
	s = slot_by_id(m->mem, id);
	if (s && s->dirty) {
		if (take_bits(s, bitmap))
			memory_request_all(m, REQ_FLUSH_W);
		r = 0;
	}
	pthread_rwlock_unlock(&m->mem->lock);
	machine_resume(m);
	return r;
}
