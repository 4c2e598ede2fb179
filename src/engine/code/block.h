/* SPDX-License-Identifier: MIT */
/*
 * Translated basic blocks: the table in which they are found, and what becomes of them when their code
 * changes.
 *
 * A block is known by the guest-physical address of its first byte and the mode bits of cpu->block_key. It
 * lies within one page, except for single instructions that cross. Records are only appended, so look-ups need no lock; a block whose guest code
 * has changed is marked dead and its entry patched to leave, so whoever jumps there comes out.
 *
 * Blocks are fixed or movable. In a fixed one instruction pointers (rip-relative operands, return addresses) are
 * constants, so it is known by its rip, too. Flat code that is met at a second linear address, as that of shared
 * libraries is, becomes movable, a page at a time: its blocks compute instruction pointers from FRAME_PAGE, which
 * their far entry sets, and serve all places where the page is mapped. Pages with x87 code stay fixed, because
 * the host's FIP tells the block, and not where it ran (x87ptr.c).
 */
#ifndef ENGINE_CODE_BLOCK_H
#define ENGINE_CODE_BLOCK_H

#include "engine/core/cpu.h"
#include "engine/core/layout.h"
#include "engine/code/page.h"

struct code_cache;

#define BLOCK_NONE      0u
#define BLOCK_INSNS_MAX 64
#define BLOCK_BYTES_MAX 1024

/*
 * Blocks are made chunk by chunk (cache.h), and each chunk has records of its own: block number n is record n %
 * CHUNK_BLOCKS of chunk n / CHUNK_BLOCKS. Record 0 is left out, so that no block has the number BLOCK_NONE.
 */
#define CHUNKS_MAX   256
#define CHUNK_BLOCKS (1u << 14)
#define CHUNK_DETAIL (2u << 20)

/* In block.key beside the mode bits: the variant without groups (group.c). */
#define BLOCK_PLAIN BIT(30)

struct block {
	u64 gpa, rip; /* rip 0 in movable ones: block_rip() */
	u32 key;
	u16 bytes; /* of guest code */
	u8 insns;
	bool poll; /* looks at exit_request when entered */
	bool movable;
	u8 far;    /* so many bytes before code is the entry from other pages */
	bool gone; /* with all others of its page: nothing that lives leads here */
	_Atomic bool dead;
	u32 code, code_end; /* cache offsets */
	u32 dead_exit;      /* cache offset of the way out that the entry is patched to */
	u32 detail; /* offset in its chunk's detail: insn map, then a copy of the guest code */
	u32 number;
	u32 next_hash, next_in_page;
	/*
	 * A block whose only instruction reaches into the next page: that page, else 0. It is entered through
	 * the jump tables alone, and has a companion record, without code, among the blocks of that page.
	 */
	u64 gpa2;
	u32 companion_of; /* companion records: number of the block */
};

/* Where the instructions of a block begin, for faults: offsets from block.code and block.rip. */
struct insn_place {
	u16 code, guest;
};

struct block_chunk {
	struct block *block; /* [CHUNK_BLOCKS]; NULL: not yet, or no longer, in use */
	u8 *detail;          /* [CHUNK_DETAIL] */
	_Atomic u32 count; /* of complete records: block_at_code() reads it beside a translation */
	u32 detail_used;
	u32 live; /* blocks, without companions */
};

struct blocks {
	struct block_chunk chunk[CHUNKS_MAX];
	u32 current; /* chunk */
	u32 published; /* grows with each block that is complete; who comes by way of generated code reads it first */
	u32 *bucket;
	unsigned bucket_bits;
	struct page_table page;
};

static inline struct block *block_at(const struct blocks *b, u32 number)
{
	return &b->chunk[number / CHUNK_BLOCKS].block[number % CHUNK_BLOCKS];
}
/* A live block, or NULL. */
struct block *block_find(struct blocks *b, u64 gpa, u64 rip, u32 key);
/* With the cache lock held: has the chunk room for one more block with so many bytes of detail? */
bool blocks_have_room(const struct blocks *b, u32 detail_bytes);
/* The number that the next block gets. */
u32 block_next_number(const struct blocks *b);
/* With the cache lock held. Copies the block, its map and its guest bytes. Returns the record. */
struct block *block_add(
	struct blocks *b, const struct block *t, const struct insn_place *map, const u8 *guest);
/* The rip of the block that runs or has just run. */
static inline u64 block_rip(const struct cpu *cpu, const struct block *t)
{
	return t->movable ? cpu->frame[FRAME_PAGE / 8] + (t->gpa & ~PAGE_MASK) : t->rip;
}
/* Can generated code of one lead straight to the other? Only if that is in the same page, wherever that is mapped. */
static inline bool block_linkable(const struct block *from, const struct block *to)
{
	u64 apart = to->gpa - from->gpa;

	if ((from->gpa ^ to->gpa) & PAGE_MASK || from->movable != to->movable)
		return false;
	return from->movable || to->rip - from->rip == apart;
}
const struct insn_place *block_map(const struct blocks *b, const struct block *t);
/* With the cache lock held: make it unreachable. */
void block_kill(struct code_cache *c, struct block *t);
/* A dead block's entry leads to its successor from now on. */
void block_forward(struct code_cache *c, const struct block *dead, const struct block *to);
const u8 *block_guest_bytes(const struct blocks *b, const struct block *t);
/* The block whose generated code contains this cache offset, or NULL. */
struct block *block_at_code(const struct code_cache *c, u32 code);
/* With the cache lock held: put a live block where block_find() looks. */
void block_enter(struct blocks *b, struct block *t);
/* How many of the block's bytes are in the page of its address. */
static inline unsigned block_bytes_in_page(const struct block *t)
{
	return MIN((unsigned)t->bytes, (unsigned)(PAGE_SIZE - (t->gpa & ~PAGE_MASK)));
}

#endif
