/* SPDX-License-Identifier: MIT */
/* See block.h. Inner code; room.c holds what allocates. */
#include "engine/code/block.h"

#include <string.h>

#include "engine/code/cache.h"
#include "engine/core/block_key.h"

static u32 *bucket_of(struct blocks *b, u64 gpa, u64 rip, u32 key)
{
	u64 h = (gpa ^ (rip >> 12) * 0x9e3779b97f4a7c15ull ^ (u64)key << 40) *
		0xbf58476d1ce4e5b9ull;

	return &b->bucket[h >> (64 - b->bucket_bits)];
}

static struct block *find(struct blocks *b, u64 gpa, u64 rip, u32 key, bool movable)
{
	u32 i = __atomic_load_n(bucket_of(b, gpa, rip, key), __ATOMIC_ACQUIRE);

	while (i != BLOCK_NONE) {
		struct block *t = block_at(b, i);

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

bool blocks_have_room(const struct blocks *b, u32 detail_bytes)
{
	const struct block_chunk *c = &b->chunk[b->current];

	return c->count + 2 < CHUNK_BLOCKS && c->detail_used + detail_bytes <= CHUNK_DETAIL &&
	       page_table_has_room(&b->page);
}

u32 block_next_number(const struct blocks *b)
{
	return b->current * CHUNK_BLOCKS + b->chunk[b->current].count + 1;
}

/* A record of the current chunk, with the map and the guest's bytes, in the list of its page. */
static struct block *add_record(
	struct blocks *b, const struct block *from, const struct insn_place *map, const u8 *guest)
{
	struct block_chunk *c = &b->chunk[b->current];
	u32 number = block_next_number(b), map_bytes = from->insns * (u32)sizeof(*map);
	struct block *t = block_at(b, number);

	*t = *from;
	t->number = number;
	t->detail = c->detail_used;
	if (map_bytes)
		memcpy(c->detail + t->detail, map, map_bytes);
	memcpy(c->detail + t->detail + map_bytes, guest, t->bytes);
	c->detail_used += ALIGN_UP(map_bytes + t->bytes, 4u);
	c->count++;
	page_list(b, t);
	return t;
}

/* The bytes in the second page, so that a change there is noticed. */
static void add_companion(struct blocks *b, const struct block *t, const u8 *guest)
{
	unsigned first = PAGE_SIZE - (t->gpa & ~PAGE_MASK);
	struct block c = {.gpa = t->gpa2,
		.bytes = (u16)(t->bytes - first),
		.code = t->code_end,
		.code_end = t->code_end,
		.companion_of = t->number};

	add_record(b, &c, NULL, guest + first);
}

void block_enter(struct blocks *b, struct block *t)
{
	u32 *bucket = bucket_of(b, t->gpa, t->rip, t->key);

	t->next_hash = *bucket;
	__atomic_store_n(bucket, t->number, __ATOMIC_RELEASE);
}

struct block *block_add(
	struct blocks *b, const struct block *t, const struct insn_place *map, const u8 *guest)
{
	struct block *n = add_record(b, t, map, guest);

	if (n->gpa2)
		add_companion(b, n, guest);
	block_enter(b, n);
	b->chunk[b->current].live++;
	__atomic_store_n(&b->published, b->published + 1, __ATOMIC_RELEASE);
	return n;
}

static const u8 *detail_of(const struct blocks *b, const struct block *t)
{
	return b->chunk[t->number / CHUNK_BLOCKS].detail + t->detail;
}

const struct insn_place *block_map(const struct blocks *b, const struct block *t)
{
	return (const struct insn_place *)detail_of(b, t);
}

const u8 *block_guest_bytes(const struct blocks *b, const struct block *t)
{
	return detail_of(b, t) + t->insns * sizeof(struct insn_place);
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
	u32 *link = bucket_of(b, t->gpa, t->rip, t->key);

	while (*link != t->number && *link != BLOCK_NONE)
		link = &block_at(b, *link)->next_hash;
	if (*link == t->number)
		__atomic_store_n(link, t->next_hash, __ATOMIC_RELEASE);
}

void block_kill(struct code_cache *c, struct block *t)
{
	if (t->companion_of) {
		t->dead = true;
		t = block_at(c->blocks, t->companion_of);
	}
	if (t->dead)
		return;
	t->dead = true;
	c->blocks->chunk[t->number / CHUNK_BLOCKS].live--;
	unchain(c->blocks, t);
	patch_entry(c, t, t->dead_exit);
}

void block_forward(struct code_cache *c, const struct block *dead, const struct block *to)
{
	patch_entry(c, dead, to->code);
}

struct block *block_at_code(const struct code_cache *c, u32 code)
{
	const struct blocks *b = c->blocks;
	u32 n = cache_chunk_at(c, code), lo = 1, hi;

	hi = n < CHUNKS_MAX ? b->chunk[n].count : 0;
	if (!hi)
		return NULL;
	while (lo < hi) {
		u32 mid = (lo + hi + 1) / 2;

		if (b->chunk[n].block[mid].code <= code)
			lo = mid;
		else
			hi = mid - 1;
	}
	if (code < b->chunk[n].block[lo].code || code >= b->chunk[n].block[lo].code_end)
		return NULL;
	return &b->chunk[n].block[lo];
}
