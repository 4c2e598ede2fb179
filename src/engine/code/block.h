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

struct code_cache;
struct code_watcher; /* mem/mem.h */

#define BLOCK_NONE      0u
#define BLOCKS_MAX      (1u << 19)
#define BLOCK_BUCKETS   (1u << 16)
#define BLOCK_PAGES     (1u << 15)
#define COPIES_MAX      (1u << 12)
#define BLOCK_INSNS_MAX 64
#define BLOCK_BYTES_MAX 1024

/* In block.key beside the mode bits: the variant without groups (group.c). */
#define BLOCK_PLAIN BIT(30)

struct block {
	u64 gpa, rip; /* rip 0 in movable ones: block_rip() */
	u32 key;
	u16 bytes; /* of guest code */
	u8 insns;
	bool poll; /* looks at exit_request when entered */
	bool movable;
	u8 far; /* so many bytes before code is the entry from other pages */
	_Atomic bool dead;
	u32 code, code_end; /* cache offsets */
	u32 dead_exit;      /* cache offset of the way out that the entry is patched to */
	u32 detail;         /* offset in blocks.detail: insn map, then a copy of the guest code */
	u32 next_hash, next_in_page;
	/*
	 * A block whose only instruction reaches into the next page: that page, else 0. It is entered through
	 * the jump tables alone, and has a companion record, without code, among the blocks of that page.
	 */
	u64 gpa2;
	u32 companion_of; /* companion records: index of the block */
};

/* Where the instructions of a block begin, for faults: offsets from block.code and block.rip. */
struct insn_place {
	u16 code, guest;
};

struct page_blocks {
	u64 gpa;   /* page address | 1: in use */
	u64 base;  /* rip of its first byte in fixed blocks of flat code | 1; 0: there are none */
	u32 first; /* list by next_in_page, the newest first */
	u32 invalidations;
	u32 copy;       /* page_copy.c; 0 none */
	u32 copy_first; /* what first was when the copy was made: it has that block and all after it */
	u32 copy_blocks;
	bool movable, has_x87;
	u8 places; /* where a page with x87 code has been met, roughly */
};

/* The guest bytes of a page that blocks were made from, each at its place, as sorted runs. */
#define COPY_RUNS 126
struct page_copy {
	u32 runs;
	struct {
		u16 from, to;
	} run[COPY_RUNS];
	u8 byte[PAGE_SIZE];
};

struct blocks {
	struct block *block; /* [BLOCKS_MAX], lazily committed, 0 unused */
	u32 count;           /* with the cache lock held */
	u32 published;       /* complete ones; who comes by way of generated code reads it first */
	u8 *detail;
	u32 detail_used, detail_size;
	u32 bucket[BLOCK_BUCKETS];
	struct page_blocks page[BLOCK_PAGES];
	u32 pages_used;
	struct page_copy *copy; /* [COPIES_MAX], lazily committed, 0 unused */
	u32 copies_used;
};

/* Outer code. */
int blocks_create(struct blocks **ret);
void blocks_destroy(struct blocks *b);

void blocks_reset(struct blocks *b);
/*
 * With the cache lock held: shall a block of flat code in the page of gpa be movable? x87: it has such code. base: rip
 * of the page's first byte.
 */
bool block_movable(struct machine *m, u64 gpa, u64 base, bool x87);
/* A live block, or NULL. */
struct block *block_find(struct blocks *b, u64 gpa, u64 rip, u32 key);
/* With the cache lock held: room for one more block with so many bytes of detail? */
bool blocks_have_room(const struct blocks *b, u32 detail_bytes);
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
u32 block_index(const struct blocks *b, const struct block *t);
const struct insn_place *block_map(const struct blocks *b, const struct block *t);
/* With the cache lock held: make it unreachable. */
void block_kill(struct code_cache *c, struct block *t);
/* A dead block's entry leads to its successor from now on. */
void block_forward(struct code_cache *c, const struct block *dead, const struct block *to);
const u8 *block_guest_bytes(const struct blocks *b, const struct block *t);
/* The block whose generated code contains this cache offset, or NULL. */
struct block *block_at_code(const struct blocks *b, u32 code);
/* How many of the block's bytes are in the page of its address. */
static inline unsigned block_bytes_in_page(const struct block *t)
{
	return MIN((unsigned)t->bytes, (unsigned)(PAGE_SIZE - (t->gpa & ~PAGE_MASK)));
}
/* With the cache lock held: has the guest's memory changed under a block of the page, or has the caller taken it away? */
bool blocks_differ(struct blocks *b, struct page_blocks *page, const u8 *hva);
/* Compare all blocks of a page with the guest's memory and kill those that differ (writes that nobody announced). */
void blocks_validate_page(struct cpu *cpu, u64 gpa, const u8 *hva);

/* Hears of stores to pages that blocks were made from. */
extern const struct code_watcher code_watcher;

#endif
