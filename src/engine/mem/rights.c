/* SPDX-License-Identifier: MIT */
/* See rights.h. Outer code. */
#include "engine/mem/rights.h"

#include <errno.h>
#include <stdlib.h>

#include "engine/core/machine.h"

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

int rights_set(struct rights *r, const struct page_rights *p, unsigned n, bool *ret_denies)
{
	int err = reserve_all(r, p, n);

	for (unsigned i = 0; !err && i < n; i++)
		*ret_denies |= put(r, &p[i]);
	return err;
}
