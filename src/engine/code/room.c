/* SPDX-License-Identifier: MIT */
/*
 * Room for translations: chunks of the code cache, and the tables in which blocks are found. All of it changes only while
 * every vcpu is outside. Outer code.
 *
 * Chunks are taken in order and, when there may be no more of them, over again, so the oldest translations go first.
 * Links lead from block to block within a page, so a page's blocks are evicted together, younger ones too. Its token goes
 * with them, and so do links from other pages. What still leads to them, jump tables and the like, each vcpu empties when it
 * sees another epoch.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/reserve.h"
#include "engine/code/block.h"
#include "engine/code/cache.h"
#include "engine/code/room.h"
#include "engine/core/stat.h"
#include "engine/mem/memory.h"
#include "engine/request/pause.h"

#define CHUNK_MEMORY    (CHUNK_BLOCKS * sizeof(struct block) + CHUNK_DETAIL)
#define BUCKET_BITS_MIN 14
#define PAGE_BITS_MIN   12

/* What translations may grow to: what guest memory is worth, and enough for a few large programs in any case. */
#define ROOM_MIN   (256ull << 20)
#define ROOM_SHARE 8

#define FEW_CHUNKS  8  /* are enough for a kernel and a shell */
#define MOSTLY_DEAD 16 /* one block in so many still lives, or none */

/* ---- memory: reserved at once, committed as it is used ---- */

/* What every machine has, in one piece: machines are made in great numbers. */
struct first_tables {
	struct blocks blocks;
	u32 bucket[1u << BUCKET_BITS_MIN];
	struct page_blocks page[1u << PAGE_BITS_MIN];
	struct page_copy copy[COPIES_MAX];
	struct block block[CHUNK_BLOCKS];
	u8 detail[CHUNK_DETAIL];
};

static void release(struct blocks *b, void *p, size_t bytes)
{
	bool first = (u64)p - (u64)b < sizeof(struct first_tables);

	if (p && !first)
		sys_munmap(p, bytes);
}

static bool have_chunk(struct block_chunk *c)
{
	u8 *p = c->block ? (u8 *)c->block : reserve(CHUNK_MEMORY);

	if (!p)
		return false;
	c->block = (struct block *)p;
	c->detail = p + CHUNK_BLOCKS * sizeof(struct block);
	return true;
}

static void drop_chunk(struct blocks *b, u32 n)
{
	release(b, b->chunk[n].block, CHUNK_MEMORY);
	b->chunk[n] = (struct block_chunk){0};
}

/* ---- the tables ---- */

static size_t bucket_bytes(unsigned bits)
{
	return sizeof(u32) << bits;
}

static size_t page_bytes(unsigned bits)
{
	return sizeof(struct page_blocks) << bits;
}

static u32 blocks_in_use(const struct blocks *b)
{
	u32 n = 0;

	for (u32 i = 0; i < CHUNKS_MAX; i++)
		n += b->chunk[i].count;
	return n;
}

static void enter_all(struct blocks *b)
{
	for (u32 i = 0; i < CHUNKS_MAX; i++)
		for (u32 n = 1; n <= b->chunk[i].count; n++) {
			struct block *t = &b->chunk[i].block[n];

			if (!t->dead && !t->companion_of)
				block_enter(b, t);
		}
}

/* Chains of one block or two. Without memory they get longer. */
static void fit_buckets(struct blocks *b)
{
	unsigned bits = b->bucket_bits;
	u32 *bucket, used = blocks_in_use(b);

	while (used > 1u << bits)
		bits++;
	bucket = bits == b->bucket_bits ? NULL : reserve(bucket_bytes(bits));
	if (!bucket)
		return;
	release(b, b->bucket, bucket_bytes(b->bucket_bits));
	b->bucket = bucket;
	b->bucket_bits = bits;
	enter_all(b);
}

static u32 pages_in_use(const struct page_table *t)
{
	u32 n = 0;

	for (u32 i = 0; i < 1u << t->bits; i++)
		n += t->entry[i].first != BLOCK_NONE;
	return n;
}

/* Entries move, those of pages without blocks go, and copies are made anew. */
static bool remake_pages(struct blocks *b, unsigned bits)
{
	struct page_table *t = &b->page;
	struct page_table new = {.entry = reserve(page_bytes(bits)),
		.bits = bits,
		.token = t->token,
		.copy = t->copy};

	if (!new.entry)
		return false;
	for (u32 i = 0; i < 1u << t->bits; i++) {
		const struct page_blocks *from = &t->entry[i];
		struct page_blocks *to;

		if (from->first == BLOCK_NONE)
			continue;
		to = page_entry(&new, from->gpa, true);
		*to = *from;
		to->copy = to->copy_first = to->copy_blocks = 0;
	}
	release(b, t->entry, page_bytes(t->bits));
	*t = new;
	return true;
}

/* As many pages more as there are, or half a chunk of blocks may need. False: no memory, and no room. */
static bool fit_pages(struct blocks *b)
{
	struct page_table *t = &b->page;
	unsigned bits = PAGE_BITS_MIN;
	u32 live;

	if (t->token >= TOKENS_MAX / 2)
		return false;
	if (t->used < 1u << (t->bits - 2))
		return true;
	live = pages_in_use(t);
	while (live > 1u << (bits - 3))
		bits++;
	return remake_pages(b, bits) || page_table_has_room(t);
}

static void forget_pages(struct page_table *t)
{
	memset(t->entry, 0, page_bytes(t->bits));
	sys_madvise(t->copy, COPIES_MAX * sizeof(*t->copy), MADV_DONTNEED);
	t->used = t->copies_used = t->token = 0;
}

int blocks_create(struct blocks **ret)
{
	struct first_tables *f = reserve(sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->blocks.bucket_bits = BUCKET_BITS_MIN;
	f->blocks.bucket = f->bucket;
	f->blocks.page =
		(struct page_table){.bits = PAGE_BITS_MIN, .entry = f->page, .copy = f->copy};
	f->blocks.chunk[0] = (struct block_chunk){.block = f->block, .detail = f->detail};
	*ret = &f->blocks;
	return 0;
}

void blocks_destroy(struct blocks *b)
{
	for (u32 i = 1; i < CHUNKS_MAX; i++)
		drop_chunk(b, i);
	release(b, b->bucket, bucket_bytes(b->bucket_bits));
	release(b, b->page.entry, page_bytes(b->page.bits));
	sys_munmap(b, sizeof(struct first_tables));
}

/* ---- chunks ---- */

static u32 chunks_allowed(struct machine *m)
{
	const struct code_cache *c = m->code;
	u32 fit = MIN((c->bytes - CACHE_START) / c->chunk_bytes, (u32)CHUNKS_MAX);
	u64 room = MAX(ROOM_MIN, machine_memory_bytes(m) / ROOM_SHARE);

	if (c->chunks_max)
		return MIN(c->chunks_max, fit);
	return (u32)MIN((u64)fit, room / c->chunk_bytes);
}

static void begin_chunk(struct code_cache *c, u32 n)
{
	struct block_chunk *chunk = &c->blocks->chunk[n];

	chunk->count = 0;
	chunk->detail_used = chunk->live = 0;
	c->blocks->current = n;
	c->chunks = MAX(c->chunks, n + 1);
	c->used = CACHE_START + n * c->chunk_bytes;
	c->cold = c->used + c->chunk_bytes;
}

/*
 * Blocks that are gone already need nothing: no list has them, and their page's token was given up with them. A chunk may
 * have no block at all, but stubs of step(), which vcpus remember as well.
 */
static void evict(struct machine *m, u32 n)
{
	const struct block_chunk *chunk = &m->code->blocks->chunk[n];

	if (n >= m->code->chunks)
		return;
	for (u32 i = 1; i <= chunk->count; i++)
		if (!chunk->block[i].gone)
			page_drop(m, chunk->block[i].gpa);
	machine_stat_add(m, MACHINE_STAT_BLOCKS_EVICTED, chunk->count);
	machine_stat_inc(m, MACHINE_STAT_CODE_CACHE_FLUSHES);
	atomic_fetch_add(&m->code->epoch, 1);
}

/* What was never used stays untouched: to clear it would commit it. */
static void drop_all(struct code_cache *c)
{
	struct blocks *b = c->blocks;

	for (u32 i = 1; i < CHUNKS_MAX; i++)
		drop_chunk(b, i);
	sys_madvise(c->write_view + CACHE_START, (size_t)c->chunks * c->chunk_bytes, MADV_REMOVE);
	memset(b->bucket, 0, bucket_bytes(b->bucket_bits));
	forget_pages(&b->page);
	c->chunks = 0;
}

void cache_reset(struct code_cache *c)
{
	if (c->chunks)
		drop_all(c);
	begin_chunk(c, 0);
	atomic_fetch_add(&c->epoch, 1);
	atomic_fetch_add(&c->rounds, 1);
}

/* A guest that writes code all the time would fill chunk after chunk with blocks that are dead soon. */
static u32 used_up_chunk(const struct code_cache *c)
{
	const struct blocks *b = c->blocks;

	for (u32 i = 0; i < c->chunks; i++)
		if (i != b->current && b->chunk[i].live <= b->chunk[i].count / MOSTLY_DEAD)
			return i;
	return CHUNKS_MAX;
}

static void next_chunk(struct machine *m)
{
	struct code_cache *c = m->code;
	struct blocks *b = c->blocks;
	u32 allowed = chunks_allowed(m), next;

	if (c->chunks > allowed || !fit_pages(b)) {
		cache_reset(c);
		return;
	}
	next = used_up_chunk(c);
	if (next == CHUNKS_MAX)
		next = b->current + 1;
	if (next >= allowed || !have_chunk(&b->chunk[next]))
		next = 0;
	evict(m, next);
	begin_chunk(c, next);
	fit_buckets(b);
	atomic_fetch_add(&c->rounds, 1);
}

/*
 * Code that is spread over 4 KiB pages has the processor look for translations of its own all the time: gcc in a guest takes
 * a tenth less time with large pages. A full chunk can have them at little cost in memory, but a small guest has none to spare. Where the kernel has none to give,
 * or cannot (Linux before 6.1), everything stays as it is.
 */
static void use_large_pages(const struct code_cache *c, u32 full)
{
	u32 first = c->chunks == FEW_CHUNKS + 1 ? 0 : full;

	if (c->chunks <= FEW_CHUNKS)
		return;
	sys_madvise(c->exec_view + CACHE_START + (size_t)first * c->chunk_bytes,
		(size_t)(full + 1 - first) * c->chunk_bytes, MADV_COLLAPSE);
}

/* The lock as well: threads that are no vcpu's report stores by code_watcher. */
static void pause_and_lock(struct machine *m)
{
	machine_pause(m);
	cache_lock_outside(m->code);
}

static void unlock_and_resume(struct machine *m)
{
	cache_unlock_outside(m->code);
	machine_resume(m);
}

void machine_make_room(struct machine *m, u32 rounds)
{
	struct code_cache *c = m->code;
	const struct block_chunk *chunk;
	bool lasting = false;
	u32 full;

	pause_and_lock(m);
	full = c->blocks->current;
	if (atomic_load(&c->rounds) == rounds) {
		chunk = &c->blocks->chunk[full];
		lasting = chunk->live > chunk->count / 2;
		next_chunk(m);
	}
	unlock_and_resume(m);
	if (lasting)
		use_large_pages(c, full);
}

void machine_drop_code(struct machine *m)
{
	pause_and_lock(m);
	cache_reset(m->code);
	machine_stat_inc(m, MACHINE_STAT_CODE_CACHE_FLUSHES);
	unlock_and_resume(m);
}
