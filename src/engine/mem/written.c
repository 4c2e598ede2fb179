/* SPDX-License-Identifier: MIT */
/*
 * Pages of code that nobody has written to need not be compared with memory again. Where the kernel traces writes
 * (host/track.c), a page that runs goes through three states:
 *
 * - OPEN: at first, and again when it was found written to. It is compared, as all pages are where nothing is traced. If it
 *   has been so for two seconds, and runs, it is protected.
 * - ON_TRIAL: protected, still compared. A trial ends well after another two seconds without a write, if the process has had
 *   no memory pinned for long (device assignment, fixed buffers of io_uring) after the first of them: who had the page
 *   pinned when it was protected writes without a trace. A pin for one request, as O_DIRECT's, is over by then.
 * - TRUSTED: all its blocks have been compared after it was protected, so they are good until it is found written to. Who
 *   pins it now takes the protection away by that.
 *
 * A vcpu keeps the trusted pages that it has compared itself once. At a recheck it asks the kernel whether all of them are
 * as they were, and if so, their blocks and the ways to them stay. Asking takes as long as comparing a few pages. So it
 * is done after rechecks that had many pages compared, and now and then all pages are compared again, to count them.
 *
 * A word is changed before its page is protected, and read after the kernel was asked. So whoever finds it unchanged and
 * the page protected knows that it has been all the time.
 */
#include "engine/mem/written.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "engine/host/track.h"
#include "engine/mem/mem.h"
#include "engine/mem/mem_priv.h"

#define ASKS       64   /* rechecks that ask, for one that counts */
#define FEW        8    /* pages are compared faster than asked for */
#define COMPARISON 1000 /* of a page, of the host's clock */

void written_create(struct machine *m)
{
	struct written *w = track_start() ? calloc(1, sizeof(*w)) : NULL;

	if (w)
		w->patience = WRITTEN_PATIENCE;
	m->mem->written = w;
}

void written_destroy(struct machine *m)
{
	free(m->mem->written);
}

/* ---- what becomes of pages ---- */

/* False: somebody else was faster. */
static bool change(struct written *w, u64 word, u64 page, enum written_state state)
{
	return atomic_compare_exchange_strong(
		word_of(w, page), &word, written_word(page, state, written_now()));
}

static void set_open(struct written *w, u64 page)
{
	atomic_store(word_of(w, page), written_word(page, PAGE_OPEN, written_now()));
}

/* All memory that slots refer to, at most once in a while: the caller may have new memory there. */
static void register_slots(struct machine *m, struct written *w)
{
	if (w->ranges_at && written_since(w->ranges_at) < w->patience)
		return;
	w->ranges_at = written_now();
	pthread_rwlock_rdlock(&m->mem->lock);
	for (u32 i = 0; i < m->mem->count; i++)
		track_range((u64)m->mem->ranges[i].slot->hva, m->mem->ranges[i].slot->size);
	pthread_rwlock_unlock(&m->mem->lock);
}

static bool protect_or_register(struct machine *m, struct written *w, u64 page)
{
	if (!track_protect(page))
		return true;
	register_slots(m, w);
	return !track_protect(page);
}

static void protect(struct machine *m, struct written *w, u64 page, u64 word)
{
	u64 protecting = written_word(page, PAGE_PROTECTING, written_now());

	if (!atomic_compare_exchange_strong(word_of(w, page), &word, protecting))
		return;
	if (protect_or_register(m, w, page))
		change(w, protecting, page, PAGE_ON_TRIAL);
	else
		set_open(w, page);
}

/* The page was compared after it was protected: its word has been the same since then. */
static void try_to_trust(struct written *w, u64 page, u64 word)
{
	u64 unpinned = atomic_load(&w->unpinned),
	    when = (unpinned - word_time(word)) & WRITTEN_TIME_MASK;

	if (!track_unwritten(&page, 1))
		set_open(w, page);
	else if (unpinned && when >= w->patience / 2 && when <= written_since(word_time(word)))
		change(w, word, page, PAGE_TRUSTED);
}

static void serve_candidate(struct machine *m, struct written *w, u64 page, u64 word)
{
	if (atomic_load(word_of(w, page)) != word)
		return;
	if (word_page(word) != page)
		set_open(w, page);
	else if (word_state(word) == PAGE_OPEN)
		protect(m, w, page, word);
	else if (word_state(word) == PAGE_ON_TRIAL)
		try_to_trust(w, page, word);
}

static void serve_candidates(struct machine *m, struct written *w, struct kept *k)
{
	u64 now = __builtin_ia32_rdtsc();

	if (!track_works())
		k->candidates = 0;
	if (!k->candidates || (now - k->served < BIT64(WRITTEN_CLOCK_SHIFT) && !w->eager))
		return;
	k->served = now;
	atomic_store(&w->unpinned, track_pinned() ? 0 : MAX(written_now(), 1ul));
	for (u32 i = 0; i < k->candidates; i++)
		serve_candidate(m, w, k->candidate[i].page, k->candidate[i].word);
	k->candidates = 0;
}

/* ---- asking ---- */

/* The new ones are sorted into the others. */
static void sort(struct kept *k)
{
	for (; k->sorted < k->count; k->sorted++) {
		u64 page = word_page(k->word[k->sorted]);
		u32 at = k->sorted;

		for (; at && k->page[at - 1] > page; at--)
			k->page[at] = k->page[at - 1];
		k->page[at] = page;
	}
}

static bool words_unchanged(struct written *w, const struct kept *k)
{
	for (u32 i = 0; i < k->count; i++)
		if (atomic_load(word_of(w, word_page(k->word[i]))) != k->word[i])
			return false;
	return true;
}

/* Some of them were: which? */
static void open_written(struct written *w, const struct kept *k)
{
	for (u32 i = 0; i < k->count; i++) {
		u64 page = k->page[i];

		if (word_page(atomic_load(word_of(w, page))) == page && !track_unwritten(&page, 1))
			set_open(w, page);
	}
}

static bool ask(struct written *w, struct kept *k)
{
	u64 before = __builtin_ia32_rdtsc();
	bool unwritten;

	sort(k);
	unwritten = track_unwritten(k->page, k->count);
	k->cost = __builtin_ia32_rdtsc() - before;
	if (!unwritten)
		open_written(w, k);
	return unwritten && words_unchanged(w, k);
}

/* Does it pay? After a recheck that compared it is known how many pages there were. */
static bool pays(const struct written *w, struct kept *k, u32 reached)
{
	if (w->eager)
		return true;
	if (k->asks)
		return --k->asks;
	k->cost -= k->cost / 16; /* it may have been measured at a bad moment */
	if (reached * (u64)COMPARISON > k->cost)
		k->asks = ASKS;
	return k->asks;
}

/* What is kept is known by its gpa: is the same memory there still? */
static bool same_slots(struct machine *m, struct kept *k)
{
	u32 now = atomic_load(&m->slot_generation);
	bool same = k->slots == now;

	k->slots = now;
	return same;
}

/* From the recheck on that this is first asked at, what depends on it is noted (jump.c); so that one is none to ask at. */
static bool is_on(struct kept *k)
{
	bool was = k->on;

	k->on = track_works();
	return was && k->on;
}

bool written_nothing(struct vcpu *v)
{
	struct written *w = v->machine->mem->written;
	struct kept *k = &v->cpu.kept;
	u32 reached = k->reached;

	if (!w)
		return false;
	k->reached = 0;
	if (unlikely(w->eager || k->turn % WRITTEN_TURNS == 0))
		serve_candidates(v->machine, w, k);
	k->turn++;
	if (reached < FEW && !k->asks && !w->eager)
		return false;
	return is_on(k) && same_slots(v->machine, k) && k->count && pays(w, k, reached) &&
	       ask(w, k);
}
