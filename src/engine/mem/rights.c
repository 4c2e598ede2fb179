/* SPDX-License-Identifier: MIT */
/* See rights.h and engine/tap.h. Outer code. */
#include "engine/mem/rights.h"

#include <errno.h>
#include <stdlib.h>

#include "engine/mem/mem_priv.h"
#include "engine/mem/memory.h"
#include "engine/request/pause.h"

void rights_free(struct rights *r)
{
	for (u32 i = 0; i < r->room; i++)
		free(r->table[i]);
	free(r->table);
	*r = (struct rights){0};
}

static void enter(struct rights *r, struct rights_leaf *leaf)
{
	u32 i = rights_hash(r, leaf->key);

	while (r->table[i])
		i = (i + 1) & (r->room - 1);
	r->table[i] = leaf;
	r->count++;
}

static int grow(struct rights *r)
{
	struct rights larger = {.room = r->room ? r->room * 2 : 64};

	larger.table = calloc(larger.room, sizeof(*larger.table));
	if (!larger.table)
		return -ENOMEM;
	for (u32 i = 0; i < r->room; i++)
		if (r->table[i])
			enter(&larger, r->table[i]);
	free(r->table);
	*r = larger;
	return 0;
}

/* A leaf that denies nothing changes nothing. */
static int reserve(struct rights *r, u64 key)
{
	struct rights_leaf *leaf;

	if (r->room && rights_leaf(r, key))
		return 0;
	if (r->count * 2 >= r->room && grow(r))
		return -ENOMEM;
	leaf = calloc(1, sizeof(*leaf));
	if (!leaf)
		return -ENOMEM;
	leaf->key = key;
	enter(r, leaf);
	return 0;
}

static int reserve_all(struct rights *r, const struct page_rights *p, unsigned n)
{
	int err = 0;

	for (unsigned i = 0; !err && i < n; i++)
		if (p[i].rights != RIGHTS_ALL)
			err = reserve(r, p[i].gpa >> RIGHTS_LEAF_SHIFT);
	return err;
}

/* True if something is denied that was not. */
static bool put(struct rights *r, const struct page_rights *p)
{
	u8 denied = (u8)(RIGHTS_ALL & ~p->rights), old;
	struct rights_leaf *leaf = r->room ? rights_leaf(r, p->gpa >> RIGHTS_LEAF_SHIFT) : NULL;
	u8 *at;

	if (!leaf)
		return false;
	at = &leaf->denied[p->gpa >> PAGE_SHIFT & (RIGHTS_LEAF_PAGES - 1)];
	old = *at;
	*at = denied;
	return denied & ~old;
}

static bool valid(const struct page_rights *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!gpa_outside(p[i].gpa, 1) || (p[i].rights & ~RIGHTS_ALL))
			return false;
	return true;
}

/* Nobody holds an entry of a kind that is denied now: all are outside, and drop what they have on the way in. */
int machine_set_page_rights(struct machine *m, const struct page_rights *p, unsigned n)
{
	struct memory *mem = m->mem;
	bool flush = false;
	int r;

	if (!valid(p, n))
		return -EINVAL;
	machine_pause(m);
	pthread_rwlock_wrlock(&mem->lock);
	r = reserve_all(&mem->rights, p, n);
	for (unsigned i = 0; !r && i < n; i++)
		flush |= put(&mem->rights, &p[i]);
	if (flush)
		memory_request_all(m, REQ_FLUSH);
	pthread_rwlock_unlock(&mem->lock);
	machine_resume(m);
	return r;
}

void machine_drop_page_rights(struct machine *m)
{
	machine_pause(m);
	pthread_rwlock_wrlock(&m->mem->lock);
	rights_free(&m->mem->rights);
	pthread_rwlock_unlock(&m->mem->lock);
	machine_resume(m);
}

u32 machine_page_rights(struct machine *m, u64 gpa)
{
	const struct rights *r = &m->mem->rights;
	u32 denied = 0;

	pthread_rwlock_rdlock(&m->mem->lock);
	if (r->room && gpa_outside(gpa, 1))
		denied = rights_denied(r, gpa);
	pthread_rwlock_unlock(&m->mem->lock);
	return RIGHTS_ALL & ~denied;
}
