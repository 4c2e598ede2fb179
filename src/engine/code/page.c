/* SPDX-License-Identifier: MIT */
/* See page.h. Inner code. */
#include "engine/code/page.h"

#include "engine/code/block.h"
#include "engine/code/cache.h"
#include "engine/core/machine.h"
#include "engine/core/stat.h"
#include "engine/mem/mem.h"
#include "x86/insn.h"

static u32 new_token(struct page_table *t)
{
	return t->token = (t->token + 2) | 1;
}

struct page_blocks *page_entry(struct page_table *t, u64 gpa, bool make)
{
	u64 tag = (gpa & PAGE_MASK) | 1;
	u32 i = (u32)((tag >> 12) * 0x9e3779b97f4a7c15ull >> (64 - t->bits));

	for (;; i = (i + 1) & ((1u << t->bits) - 1)) {
		struct page_blocks *p = &t->entry[i];

		if (p->gpa == tag)
			return p;
		if (p->gpa)
			continue;
		if (!make)
			return NULL;
		p->gpa = tag;
		p->token = new_token(t);
		t->used++;
		return p;
	}
}

u32 page_token(struct page_table *t, u64 gpa)
{
	const struct page_blocks *page = page_entry(t, gpa, false);

	return page ? page->token : 0;
}

void page_list(struct blocks *b, struct block *t)
{
	struct page_blocks *page = page_entry(&b->page, t->gpa, true);

	t->next_in_page = page->first;
	page->first = t->number;
}

static struct block *numbered(const struct blocks *b, u32 number)
{
	return number == BLOCK_NONE ? NULL : block_at(b, number);
}

static struct block *first_of(const struct blocks *b, const struct page_blocks *page)
{
	return numbered(b, page->first);
}

static struct block *next_of(const struct blocks *b, const struct block *t)
{
	return numbered(b, t->next_in_page);
}

static bool overlaps(const struct blocks *b, const struct page_blocks *page, u64 from, u64 to)
{
	for (const struct block *t = first_of(b, page); t; t = next_of(b, t))
		if (!t->dead && t->gpa < to && t->gpa + t->bytes > from)
			return true;
	return false;
}

/* Returns how many there were. */
static u32 kill_list(struct machine *m, struct page_blocks *page)
{
	struct blocks *b = m->code->blocks;
	u32 n = 0;

	if (page->first != BLOCK_NONE)
		page->token = new_token(&b->page);

	for (struct block *t = first_of(b, page); t; t = next_of(b, t)) {
		n += !t->dead;
		block_kill(m->code, t);
		t->gone = true;
	}
	page->first = page->copy_first = BLOCK_NONE;
	page->copy_blocks = 0;
	return n;
}

/* Programs that are placed anew each time must not pile up blocks in pages that stay fixed. */
#define PLACES_MAX 16

static void note_place(struct machine *m, struct page_blocks *page, u64 base)
{
	if (page->base == base)
		return;
	page->base = base;
	if (page->places++ < PLACES_MAX)
		return;
	kill_list(m, page);
	page->places = 0;
}

void page_drop(struct machine *m, u64 gpa)
{
	struct page_blocks *page = page_entry(&m->code->blocks->page, gpa, false);

	if (page)
		kill_list(m, page);
}

bool page_movable(struct machine *m, u64 gpa, u64 base, bool x87)
{
	struct page_blocks *page = page_entry(&m->code->blocks->page, gpa, true);

	base |= 1;
	if (x87 && page->movable)
		kill_list(m, page);
	page->has_x87 |= x87;
	page->movable &= !page->has_x87;
	if (page->has_x87) {
		note_place(m, page, base);
	} else if (!page->movable && ((page->base && page->base != base) || m->code->all_movable)) {
		kill_list(m, page);
		page->movable = true;
	}
	page->base = base;
	return page->movable;
}

/* Its code is another now. */
static void forget_list(struct machine *m, struct page_blocks *page)
{
	machine_stat_add(m, MACHINE_STAT_BLOCKS_INVALIDATED, kill_list(m, page));
	page->base = page->places = 0;
	page->movable = page->has_x87 = false;
}

/*
 * All blocks of a page go together: liveness of flags was looked up beyond a block's own bytes, but never beyond the
 * page. Without blocks the page need not be watched, so a guest that writes code is disturbed once a round. The watch
 * is on the host's memory, so blocks made at other addresses of it go, too.
 */
static void kill_page(struct machine *m, u64 gpa)
{
	struct page_blocks *page = page_entry(&m->code->blocks->page, gpa, false);
	struct page_aliases others;
	u64 alias;

	if (page)
		forget_list(m, page);
	page_aliases(m, gpa, &others);
	while (page_alias(&others, &alias)) {
		page = page_entry(&m->code->blocks->page, alias, false);
		if (page)
			forget_list(m, page);
	}
	page_unwatch(m, gpa & PAGE_MASK);
}

void page_validate(struct cpu *cpu, u64 gpa, const u8 *hva)
{
	struct code_cache *c = cpu->machine->code;
	struct page_blocks *page;

	cache_lock(cpu);
	page = page_entry(&c->blocks->page, gpa, false);
	if (page && page_differs(c->blocks, page, hva))
		kill_page(cpu->machine, gpa);
	cache_unlock(cpu);
}

/* What a store meets in a page, at one of its addresses. */
enum met { MET_NO_BLOCKS, MET_OTHER_BYTES, MET_CODE };

static enum met met_at(struct machine *m, u64 gpa, unsigned len)
{
	struct page_blocks *page = page_entry(&m->code->blocks->page, gpa, false);

	if (!page || page->first == BLOCK_NONE)
		return MET_NO_BLOCKS; /* or the cache has been emptied since */
	return overlaps(m->code->blocks, page, gpa, gpa + len) ? MET_CODE : MET_OTHER_BYTES;
}

/*
 * A store beside all blocks costs as much as one that hits. Memory that held code once would stay slow for ever, and so
 * would data beside code that is over. So after some such stores the blocks go, and the watch with them. If the code runs
 * again it is translated again; each time it takes twice as many stores, so that this costs little where both are in use.
 */
static bool watched_in_vain(struct machine *m, u64 gpa)
{
	struct page_blocks *page = page_entry(&m->code->blocks->page, gpa, false);

	if (!page || ++page->stores_beside < STORES_BESIDE << page->in_vain)
		return false;
	page->stores_beside = 0;
	page->in_vain = MIN(page->in_vain + 1u, IN_VAIN_MAX);
	return true;
}

/*
 * A program may write a few instructions again and again and run them once each time. To translate them takes some ten times as long
 * as to step() through them. So a page that was rewritten often is translated only after so many steps: without blocks it is not
 * watched, and the code may have been written many times meanwhile. Where it turns out that more instructions follow each other
 * they are better translated.
 */
#define REWRITTEN_OFTEN 16u
#define STEPS           64u
#define STEPS_IN_A_ROW  16u

static void note_rewritten(struct machine *m, u64 gpa)
{
	struct page_blocks *page = page_entry(&m->code->blocks->page, gpa, false);

	if (!page)
		return;
	page->rewritten = MIN(page->rewritten + 1u, REWRITTEN_OFTEN);
	if (page->rewritten == REWRITTEN_OFTEN)
		page->steps = STEPS;
}

static bool takes_step(struct page_blocks *page, u16 offset)
{
	if (!page->steps)
		return false;
	page->in_a_row = (u16)(offset - page->stepped) <= INSN_MAX ? page->in_a_row + 1 : 0;
	page->stepped = offset;
	page->steps--;
	if (page->in_a_row < STEPS_IN_A_ROW)
		return true;
	page->steps = page->in_a_row = page->rewritten = 0;
	return false;
}

bool page_takes_step(struct cpu *cpu, u64 gpa)
{
	struct page_blocks *page;
	bool ret;

	cache_lock(cpu);
	page = page_entry(&cpu->machine->code->blocks->page, gpa, false);
	ret = page && takes_step(page, (u16)(gpa & ~PAGE_MASK));
	cache_unlock(cpu);
	return ret;
}

static void written(struct machine *m, u64 gpa, unsigned len)
{
	enum met met = met_at(m, gpa, len);
	struct page_aliases others;
	u64 alias;

	page_aliases(m, gpa, &others);
	while (met != MET_CODE && page_alias(&others, &alias))
		met = MAX(met, met_at(m, alias + (gpa & ~PAGE_MASK), len));
	if (met == MET_CODE)
		note_rewritten(m, gpa);
	if (met != MET_OTHER_BYTES || watched_in_vain(m, gpa))
		kill_page(m, gpa);
}

static void stored(struct cpu *cpu, u64 gpa, unsigned len)
{
	cache_lock(cpu);
	written(cpu->machine, gpa, len);
	cache_unlock(cpu);
}

static void changed(struct machine *m, u64 gpa, unsigned len)
{
	cache_lock_outside(m->code);
	written(m, gpa, len);
	cache_unlock_outside(m->code);
}

const struct code_watcher code_watcher = {stored, changed};
