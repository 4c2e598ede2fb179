/* SPDX-License-Identifier: MIT */
/*
 * The blocks of each page of guest code: in lists, so that they can be killed together when their code changes, and
 * compared with memory.
 *
 * All functions want the cache lock, or all cpus paused, unless they say something else.
 */
#ifndef ENGINE_CODE_PAGE_H
#define ENGINE_CODE_PAGE_H

#include "base/types.h"

struct block;
struct blocks;
struct code_watcher; /* mem/mem.h */
struct cpu;
struct machine;

#define COPIES_MAX    (1u << 12)
/* So many stores beside the blocks of a page before they are dropped, and twice as many each time, up to a limit. */
#define STORES_BESIDE 64u
#define IN_VAIN_MAX   14u

struct page_blocks {
	u64 gpa;   /* page address | 1; 0: a free entry */
	u64 base;  /* rip of its first byte in fixed blocks of flat code | 1; 0: there are none */
	u32 first; /* list by next_in_page, the newest first */
	u32 stores_beside; /* to the page, since its blocks were last dropped for them */
	u32 in_vain;       /* how often they were */
	u32 token;         /* see TOKENS_MAX */
	u32 copy;          /* page_copy.c; 0 none */
	u32 copy_first; /* what first was when the copy was made: it has that block and all after it */
	u32 copy_blocks;
	bool movable, has_x87;
	/* Code that is rewritten: */
	u8 rewritten; /* how often the guest has stored to it */
	u8 steps;     /* instructions to be done by step() before there are blocks again */
	u8 in_a_row;  /* of them, up to the last one, which is at this offset */
	u16 stepped;
	u8 places; /* where a page with x87 code has been met, roughly */
};

/* The guest bytes of a page that blocks were made from, each at its place, as sorted runs. */
#define COPY_RUNS 126
struct page_copy {
	u32 runs;
	struct {
		u16 from, to;
	} run[COPY_RUNS];
	u8 byte[4096];
};

/*
 * A token stands for the blocks that a page has now: it gets another one when all of them are dropped. Odd, so that
 * no page address is one, and few enough for pagelink.c.
 */
#define TOKENS_MAX ((1u << 28) - 2)

/* Open addressing; never more than half full. */
struct page_table {
	struct page_blocks *entry;
	unsigned bits;
	u32 used;
	u32 token;              /* the last one given */
	struct page_copy *copy; /* [COPIES_MAX], lazily committed, 0 unused */
	u32 copies_used;
};

/* Room for two pages more? */
static inline bool page_table_has_room(const struct page_table *t)
{
	return t->used + 2 <= 1u << (t->bits - 1) && t->token < TOKENS_MAX - 16;
}
/* The page's entry; if it is not there it is made, or NULL. */
struct page_blocks *page_entry(struct page_table *t, u64 gpa, bool make);
/* 0: there were never blocks. */
u32 page_token(struct page_table *t, u64 gpa);
/* To the list of its page, as number. */
void page_list(struct blocks *b, struct block *t);
/*
 * Is the next instruction there rather left to step()? Code that is written again and again may run but once each time. Takes the lock.
 */
bool page_takes_step(struct cpu *cpu, u64 gpa);
/* No block of the page is found any more, and no link leads there. */
void page_drop(struct machine *m, u64 gpa);
/* Shall a block of flat code in the page of gpa be movable? x87: it has such code. base: rip of the page's first byte. */
bool page_movable(struct machine *m, u64 gpa, u64 base, bool x87);
/* Has the guest's memory changed under a block of the page, or has the caller taken it away? page_copy.c */
bool page_differs(struct blocks *b, struct page_blocks *page, const u8 *hva);
/* Takes the lock. Compare all blocks of a page with the guest's memory and kill those that differ (writes that nobody announced). */
void page_validate(struct cpu *cpu, u64 gpa, const u8 *hva);

/* Hears of stores to pages that blocks were made from. */
extern const struct code_watcher code_watcher;

#endif
