/* SPDX-License-Identifier: MIT */
/* See pagelink.h. Inner code. */
#include "engine/jit/pagelink.h"

#include <string.h>

#include "engine/jit/check.h"
#include "engine/jit/jump.h"
#include "engine/jit/translate.h"
#include "engine/mem/mem.h"

_Static_assert((PAGELINK_MASK + PAGE_SIZE) > TOKENS_MAX,
	"tokens differ by less than addresses of an entry");

static u32 entry_index(u64 lin)
{
	return (u32)(lin >> PAGE_SHIFT) & (PAGELINK_SIZE - 1);
}

static void forget_all(struct pagelinks *p)
{
	memset(p->entry, 0, sizeof(p->entry));
	p->count[0] = p->count[1] = p->opens = 0;
}

static void forget(struct pagelinks *p, const u32 *log, u32 *count)
{
	for (u32 i = 0; i < *count; i++)
		p->entry[log[i] >> PAGELINK_BITS][log[i] & (PAGELINK_SIZE - 1)] = 0;
	*count = 0;
}

void pagelink_flush(struct cpu *cpu, bool global)
{
	struct pagelinks *p = &cpu->pagelinks;

	forget(p, p->log[global], &p->count[global]);
	if (!p->count[0] && !p->count[1])
		p->opens = 0;
}

void pagelink_forget_open(struct cpu *cpu)
{
	forget(&cpu->pagelinks, cpu->pagelinks.open, &cpu->pagelinks.opens);
}

/* The code at rip, a page that has just been located, is that of the token. */
static void learn(struct cpu *cpu, u64 gpa, u32 token)
{
	struct pagelinks *p = &cpu->pagelinks;
	u64 lin = cpu_code_linear(cpu, cpu->rip);
	bool global = mmu_fetch_global(cpu, lin), user = cpu->cpl == 3;
	u32 i = entry_index(lin);

	if (!i || !mmu_fetch_kept(cpu, lin))
		return;
	if (p->count[global] == PAGELINK_LOG || p->opens == PAGELINK_LOG)
		forget_all(p);
	p->entry[user][i] = token ? token - (lin & PAGE_MASK) : 0;
	p->log[global][p->count[global]++] = (u32)user << PAGELINK_BITS | i;
	if (cpu->kept.on && !check_page_kept(cpu, gpa))
		p->open[p->opens++] = (u32)user << PAGELINK_BITS | i;
}

static s32 *field(const struct code_cache *c, u32 offset)
{
	return (s32 *)(c->write_view + offset);
}

/* PAGELINK_NONE: it has not been made. */
static u32 linked_token(const struct code_cache *c, const struct exit_record *rec)
{
	return (u32)-__atomic_load_n(field(c, rec->next), __ATOMIC_ACQUIRE);
}

/* With the lock held. The way out now goes by the jump table. */
static void give_up(struct code_cache *c, const struct exit_record *rec, u32 key)
{
	u32 last = (u32)((const u8 *)rec - c->exec_view) - rec->base;
	int table = jump_table_for(c, key & ~BLOCK_PLAIN);

	if (table >= 0)
		__atomic_store_n(field(c, last),
			(s32)(c->lookup[table] - c->exec_view - (last + 4)), __ATOMIC_RELEASE);
}

/* Fixed code leads to fixed code at the address that it knows; movable code, wherever it runs. */
static bool possible(const struct block *from, const struct block *to)
{
	return !to->gpa2 && (!from->movable || to->movable);
}

/* First the jump, then the token by which it is reached. */
static void link_to(struct code_cache *c, const struct exit_record *rec, const struct block *to)
{
	u32 jump = rec->next + PAGELINK_JUMP;

	__atomic_store_n(field(c, jump), (s32)(to->code - (jump + 4)), __ATOMIC_RELEASE);
	__atomic_store_n(
		field(c, rec->next), -(s32)page_token(&c->blocks->page, to->gpa), __ATOMIC_RELEASE);
}

/*
 * The block that a link leads to. If it has gone, and the page has new ones, the link may be led to those: whoever still believes
 * in the old token comes to the code that is there now. To another page it may not, for others still mean the old one.
 */
static bool leads_to_page(const struct code_cache *c, const struct exit_record *rec, u64 gpa)
{
	u32 jump = rec->next + PAGELINK_JUMP;
	const struct block *old = block_at_code(c, (u32)(*field(c, jump) + (s32)(jump + 4)));

	return old && (old->gpa & PAGE_MASK) == (gpa & PAGE_MASK);
}

void pagelink_make(struct cpu *cpu, const struct exit_record *rec, const struct block *to)
{
	struct code_cache *c = cpu->machine->code;
	const struct block *from = block_at(c->blocks, rec->block);

	cache_lock(cpu);
	if (from->dead || to->dead)
		; /* what has come in between will be asked for again */
	else if (entry_index(cpu->rip) && possible(from, to) &&
		 (linked_token(c, rec) == PAGELINK_NONE || leads_to_page(c, rec, to->gpa)))
		link_to(c, rec, to);
	else
		give_up(c, rec, cpu->block_key);
	cache_unlock(cpu);
}

bool pagelink_follow(struct cpu *cpu, const struct exit_record *rec, u64 gpa)
{
	struct code_cache *c = cpu->machine->code;
	u32 token;

	cache_lock(cpu);
	token = page_token(&c->blocks->page, gpa);
	cache_unlock(cpu);
	learn(cpu, gpa, token);
	return linked_token(c, rec) == token;
}
