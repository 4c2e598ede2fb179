/* SPDX-License-Identifier: MIT */
/*
 * The dirty log: which pages of a slot were written since the last call. Outer code.
 *
 * A write entry for a page of a logged slot exists only while the page's bit is set. Clearing a bit
 * therefore takes the entries away, from all cpus, which happens while they are paused.
 */
#include <errno.h>
#include <stdlib.h>

#include "engine/mem/mem_priv.h"
#include "engine/request/pause.h"
#include "engine/core/vcpus.h"

static u64 bitmap_words(const struct slot *s)
{
	return ALIGN_UP(s->size >> PAGE_SHIFT, 64) / 64;
}

static void copy_bits(const struct slot *s, u64 *ret)
{
	for (u64 i = 0; i < bitmap_words(s); i++)
		ret[i] = __atomic_load_n(&s->dirty[i], __ATOMIC_SEQ_CST);
}

/* Returns whether any bit was set. */
static bool take_bits(const struct slot *s, u64 *ret)
{
	u64 any = 0;

	for (u64 i = 0; i < bitmap_words(s); i++) {
		/* Reading first keeps the untouched parts of the array uncommitted. */
		ret[i] = __atomic_load_n(&s->dirty[i], __ATOMIC_SEQ_CST)
				 ? __atomic_exchange_n(&s->dirty[i], 0, __ATOMIC_SEQ_CST)
				 : 0;
		any |= ret[i];
	}
	return any;
}

/* The same for bits that the caller names. */
static bool clear_bits(const struct slot *s, u64 first, u64 pages, const u64 *mask)
{
	u64 any = 0;

	for (u64 i = 0; i < ALIGN_UP(pages, 64) / 64; i++) {
		u64 *word = &s->dirty[first / 64 + i];

		if (__atomic_load_n(word, __ATOMIC_SEQ_CST) & mask[i])
			any |= __atomic_fetch_and(word, ~mask[i], __ATOMIC_SEQ_CST) & mask[i];
	}
	return any;
}

/* Others have the bits for machine_access_states(). */
static bool logged(const struct slot *s)
{
	return s->flags & SLOT_LOG_DIRTY;
}

/* With the machine paused and the lock held for reading: a logged slot, or NULL. */
static const struct slot *begin(struct machine *m, u32 id)
{
	const struct slot *s;

	machine_pause(m);
	pthread_rwlock_rdlock(&m->mem->lock);
	s = slot_by_id(m->mem, id);
	return s && logged(s) ? s : NULL;
}

static void end(struct machine *m, bool cleared)
{
	if (cleared)
		memory_request_all(m, REQ_FLUSH_W);
	pthread_rwlock_unlock(&m->mem->lock);
	machine_resume(m);
}

int machine_get_dirty_log(struct machine *m, u32 id, void *bitmap)
{
	const struct slot *s = begin(m, id);
	bool manual = m->mem->log_flags & DIRTY_LOG_MANUAL;

	if (s && manual)
		copy_bits(s, bitmap);
	end(m, s && !manual && take_bits(s, bitmap));
	return s ? 0 : -ENOENT;
}

int machine_clear_dirty_log(struct machine *m, u32 id, u64 first, u64 pages, const void *bitmap)
{
	const struct slot *s = begin(m, id);
	u64 all = s ? s->size >> PAGE_SHIFT : 0;
	bool fits = !(first & 63) && first <= all && pages <= all - first;

	end(m, s && fits && clear_bits(s, first, pages, bitmap));
	return !s ? -ENOENT : fits ? 0 : -EINVAL;
}

bool machine_slot_logged(struct machine *m, u32 id)
{
	const struct slot *s;
	bool r;

	pthread_rwlock_rdlock(&m->mem->lock);
	s = slot_by_id(m->mem, id);
	r = s && logged(s);
	pthread_rwlock_unlock(&m->mem->lock);
	return r;
}

void machine_set_dirty_log(struct machine *m, u32 flags)
{
	pthread_rwlock_wrlock(&m->mem->lock);
	m->mem->log_flags = flags;
	pthread_rwlock_unlock(&m->mem->lock);
}

/* ---- rings ---- */

int vcpu_set_dirty_ring(struct vcpu *v, struct dirty_gfn *ring, u32 entries)
{
	struct dirty_ring *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	*r = (struct dirty_ring){.entry = ring, .size = entries};
	machine_pause(v->machine);
	v->ring = r;
	v->machine->mem->ring = true;
	machine_resume(v->machine);
	return 0;
}

u32 machine_reset_dirty_rings(struct machine *m)
{
	struct vcpu *v;
	u32 n = 0;

	machine_pause(m);
	pthread_rwlock_rdlock(&m->mem->lock);
	for_each_vcpu(vcpus_paused(m), v)
	{
		if (v->ring)
			n += ring_reset(m->mem, v->ring);
	}
	end(m, n);
	return n;
}
