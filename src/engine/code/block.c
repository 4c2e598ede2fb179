/* SPDX-License-Identifier: MIT */
/* See block.h. Inner code; blocks_create.c holds what allocates. */
#include "engine/code/block.h"

#include <string.h>

#include "engine/code/cache.h"
#include "engine/core/block_key.h"
#include "engine/core/machine.h"
#include "engine/core/stat.h"
#include "engine/mem/mem.h"

static u32 hash_block(u64 gpa, u64 rip, u32 key)
{
	u64 h = (gpa ^ (rip >> 12) * 0x9e3779b97f4a7c15ull ^ (u64)key << 40) *
		0xbf58476d1ce4e5b9ull;

	return h >> 48;
}

static struct block *find(struct blocks *b, u64 gpa, u64 rip, u32 key, bool movable)
{
	u32 i = __atomic_load_n(&b->bucket[hash_block(gpa, rip, key)], __ATOMIC_ACQUIRE);

	while (i != BLOCK_NONE) {
		struct block *t = &b->block[i];

		if (t->gpa == gpa && t->rip == rip && t->key == key && t->movable == movable &&
			!t->dead)
			return t;
		i = __atomic_load_n(&t->next_hash, __ATOMIC_ACQUIRE); /* block_kill() unchains */
	}
	return NULL;
}

struct block *block_find(struct blocks *b, u64 gpa, u64 rip, u32 key)
{
	struct block *t = find(b, gpa, rip, key, false);

	return t || !(key & BK_FLAT) ? t : find(b, gpa, 0, key, true);
}

/* The page's entry, made if it is not there; NULL when the table is full (the caller resets the cache). */
static struct page_blocks *page_entry(struct blocks *b, u64 gpa, bool make)
{
	u64 tag = (gpa & PAGE_MASK) | 1;
	u32 i = ((u32)(tag >> 12) * 0x9e3779b1u) >> 17;

	for (;; i = (i + 1) & (BLOCK_PAGES - 1)) {
		struct page_blocks *p = &b->page[i];

		if (p->gpa == tag)
			return p;
		if (p->gpa)
			continue;
		if (!make)
			return NULL;
		p->gpa = tag;
		b->pages_used++;
		return p;
	}
}

bool blocks_have_room(const struct blocks *b, u32 detail_bytes)
{
	return b->count + 2 < BLOCKS_MAX && b->detail_used + detail_bytes <= b->detail_size &&
	       b->pages_used < BLOCK_PAGES / 2;
}

static u32 list_in_page(struct blocks *b, const struct block *t)
{
	struct page_blocks *page = page_entry(b, t->gpa, true);
	u32 i = ++b->count;

	b->block[i] = *t;
	b->block[i].next_in_page = page->first;
	page->first = i;
	return i;
}

static void store_detail(
	struct blocks *b, struct block *t, const struct insn_place *map, const u8 *guest)
{
	t->detail = b->detail_used;
	if (t->insns)
		memcpy(b->detail + t->detail, map, t->insns * sizeof(*map));
	memcpy(b->detail + t->detail + t->insns * sizeof(*map), guest, t->bytes);
	b->detail_used += ALIGN_UP(t->insns * sizeof(*map) + t->bytes, 4u);
}

/* The bytes in the second page, so that a change there is noticed. */
static void add_companion(struct blocks *b, const struct block *t, const u8 *guest)
{
	unsigned first = PAGE_SIZE - (t->gpa & ~PAGE_MASK);
	struct block c = {.gpa = t->gpa2,
		.bytes = (u16)(t->bytes - first),
		.code = t->code_end,
		.code_end = t->code_end,
		.companion_of = block_index(b, t)};

	store_detail(b, &c, NULL, guest + first);
	list_in_page(b, &c);
}

struct block *block_add(
	struct blocks *b, const struct block *t, const struct insn_place *map, const u8 *guest)
{
	u32 *bucket = &b->bucket[hash_block(t->gpa, t->rip, t->key)];
	u32 i = list_in_page(b, t);
	struct block *n = &b->block[i];

	store_detail(b, n, map, guest);
	if (n->gpa2)
		add_companion(b, n, guest);
	n->next_hash = *bucket;
	__atomic_store_n(bucket, i, __ATOMIC_RELEASE);
	__atomic_store_n(&b->published, b->count, __ATOMIC_RELEASE);
	return n;
}

u32 block_index(const struct blocks *b, const struct block *t)
{
	return t - b->block;
}

const struct insn_place *block_map(const struct blocks *b, const struct block *t)
{
	return (const struct insn_place *)(b->detail + t->detail);
}

const u8 *block_guest_bytes(const struct blocks *b, const struct block *t)
{
	return b->detail + t->detail + t->insns * sizeof(struct insn_place);
}

/*
 * The entry starts with a five-byte nop in an aligned quadword, so that one store turns it into a jump whatever
 * other cpus are executing (see translate.c).
 */
static void patch_entry(struct code_cache *c, const struct block *t, u32 target)
{
	u64 *entry = (u64 *)(c->write_view + t->code);
	u64 jump = emit_jmp_word((s32)(target - (t->code + EMIT_JMP_BYTES)));

	__atomic_store_n(entry, (*entry & ~0xffffffffffull) | jump, __ATOMIC_RELEASE);
}

/* Readers of the chain hold no lock: they may still be on t, whose own link stays. */
static void unchain(struct blocks *b, const struct block *t)
{
	u32 index = block_index(b, t);
	u32 *link = &b->bucket[hash_block(t->gpa, t->rip, t->key)];

	while (*link != index && *link != BLOCK_NONE)
		link = &b->block[*link].next_hash;
	if (*link == index)
		__atomic_store_n(link, t->next_hash, __ATOMIC_RELEASE);
}

void block_kill(struct code_cache *c, struct block *t)
{
	if (t->companion_of) {
		t->dead = true;
		t = &c->blocks->block[t->companion_of];
	}
	if (t->dead)
		return;
	t->dead = true;
	unchain(c->blocks, t);
	patch_entry(c, t, t->dead_exit);
}

void block_forward(struct code_cache *c, const struct block *dead, const struct block *to)
{
	patch_entry(c, dead, to->code);
}

struct block *block_at_code(const struct blocks *b, u32 code)
{
	u32 lo = 1, hi = __atomic_load_n(&b->published, __ATOMIC_ACQUIRE);

	while (lo < hi) {
		u32 mid = (lo + hi + 1) / 2;

		if (b->block[mid].code <= code)
			lo = mid;
		else
			hi = mid - 1;
	}
	if (!hi || code < b->block[lo].code || code >= b->block[lo].code_end)
		return NULL;
	return &b->block[lo];
}

/* Tables that were never written to stay as they are: to clear them would commit them. */
void blocks_reset(struct blocks *b)
{
	if (b->count)
		memset(b->bucket, 0, sizeof(b->bucket));
	if (b->pages_used)
		memset(b->page, 0, sizeof(b->page));
	b->count = b->published = 0;
	b->detail_used = 0;
	b->pages_used = 0;
	b->copies_used = 0;
}

static bool page_overlaps(const struct blocks *b, const struct page_blocks *page, u64 from, u64 to)
{
	for (u32 i = page->first; i != BLOCK_NONE; i = b->block[i].next_in_page)
		if (!b->block[i].dead && b->block[i].gpa < to &&
			b->block[i].gpa + b->block[i].bytes > from)
			return true;
	return false;
}

static void kill_list(struct machine *m, struct page_blocks *page)
{
	struct blocks *b = m->code->blocks;

	for (u32 i = page->first; i != BLOCK_NONE; i = b->block[i].next_in_page)
		if (!b->block[i].dead) {
			block_kill(m->code, &b->block[i]);
			machine_stat_inc(m, MACHINE_STAT_BLOCKS_INVALIDATED);
		}
	page->first = page->copy_first = BLOCK_NONE;
	page->copy_blocks = 0;
	page->invalidations++;
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

bool block_movable(struct machine *m, u64 gpa, u64 base, bool x87)
{
	struct page_blocks *page = page_entry(m->code->blocks, gpa, true);

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
	kill_list(m, page);
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
	struct page_blocks *page = page_entry(m->code->blocks, gpa, false);
	struct page_aliases others;
	u64 alias;

	if (page)
		forget_list(m, page);
	page_aliases(m, gpa, &others);
	while (page_alias(&others, &alias)) {
		page = page_entry(m->code->blocks, alias, false);
		if (page)
			forget_list(m, page);
	}
	page_unwatch(m, gpa & PAGE_MASK);
}

void blocks_validate_page(struct cpu *cpu, u64 gpa, const u8 *hva)
{
	struct code_cache *c = cpu->machine->code;
	struct page_blocks *page;

	cache_lock(cpu);
	page = page_entry(c->blocks, gpa, false);
	if (page && blocks_differ(c->blocks, page, hva))
		kill_page(cpu->machine, gpa);
	cache_unlock(cpu);
}

static bool overlaps_at(struct machine *m, u64 gpa, unsigned len)
{
	struct page_blocks *page = page_entry(m->code->blocks, gpa, false);

	return page && page_overlaps(m->code->blocks, page, gpa, gpa + len);
}

static void written(struct machine *m, u64 gpa, unsigned len)
{
	bool hit = overlaps_at(m, gpa, len);
	struct page_aliases others;
	u64 alias;

	page_aliases(m, gpa, &others);
	while (!hit && page_alias(&others, &alias))
		hit = overlaps_at(m, alias + (gpa & ~PAGE_MASK), len);
	if (hit)
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
	while (atomic_exchange_explicit(&m->code->locked, 1, memory_order_acquire))
		__builtin_ia32_pause();
	written(m, gpa, len);
	atomic_store_explicit(&m->code->locked, 0, memory_order_release);
}

const struct code_watcher code_watcher = {stored, changed};
