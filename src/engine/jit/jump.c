/* SPDX-License-Identifier: MIT */
/*
 * The jump tables (cpu.h): what generated code knows about the way from a linear address to a block. Kept
 * honest by emptying them when translations of code addresses change: all entries, or after a CR3 write only
 * those that do not belong to global pages. When code may have changed, the entries of pages that are kept stay, for
 * nobody has written to these (mem/written.c).
 */
#include "engine/jit/jump.h"

#include <string.h>

#include "engine/code/cache.h"
#include "engine/jit/check.h"
#include "engine/jit/pagelink.h"
#include "engine/jit/translate.h"
#include "engine/mem/mem.h"

static void forget_all_tables(struct cpu *cpu)
{
	const u32 *keys = cpu->machine->code->keys;

	for (unsigned t = 0; t < JUMP_TABLES && __atomic_load_n(&keys[t], __ATOMIC_RELAXED); t++)
		memset(&cpu->jump[t].neg_rip[1], 0, (JUMP_SIZE - 1) * sizeof(u64));
	cpu->jump_count[0] = cpu->jump_count[1] = cpu->jump_opens = 0;
}

static void forget_entries(struct cpu *cpu, const u32 *log, u32 count)
{
	for (u32 i = 0; i < count; i++)
		cpu->jump[log[i] >> JUMP_BITS].neg_rip[log[i] & (JUMP_SIZE - 1)] = 0;
}

static void forget_logged(struct cpu *cpu, bool global)
{
	forget_entries(cpu, cpu->jump_log[global], cpu->jump_count[global]);
	cpu->jump_count[global] = 0;
}

/* All entries, or those that are not global. */
static void forget_entries_of(struct cpu *cpu, bool keep_global)
{
	if (cpu->jump_count[0] >= JUMP_LOG || (!keep_global && cpu->jump_count[1] >= JUMP_LOG)) {
		forget_all_tables(cpu);
		return;
	}
	forget_logged(cpu, false);
	if (keep_global)
		return;
	forget_logged(cpu, true);
	cpu->jump_opens = 0;
}

static void forget(struct cpu *cpu, bool keep_global)
{
	forget_entries_of(cpu, keep_global);
	pagelink_flush(cpu, false);
	if (!keep_global)
		pagelink_flush(cpu, true);
	checks_forget(cpu, keep_global);
	cpu->jump_epoch = cpu->fetch_epoch;
	cpu->jump_global_epoch = cpu->fetch_global_epoch;
}

void jump_flush(struct cpu *cpu)
{
	forget(cpu, cpu->jump_global_epoch == cpu->fetch_global_epoch);
}

void jump_recheck(struct cpu *cpu)
{
	if (check_again(cpu))
		return;
	mmu_recheck_code(cpu);
	jump_flush(cpu);
}

void jump_forget_open(struct cpu *cpu)
{
	forget_entries(cpu, cpu->jump_open, cpu->jump_opens);
	cpu->jump_opens = 0;
	pagelink_forget_open(cpu);
	cpu->jump_rechecks = cpu->rechecks;
}

void jump_init(struct cpu *cpu)
{
	for (unsigned t = 0; t < JUMP_TABLES; t++) {
		/* Where look-ups end while an exit is requested; the tag matches no address of entry 0. */
		cpu->jump[t].neg_rip[0] = (1ull << 62) + 1;
		cpu->jump[t].host[0] = (u64)cpu->machine->code->indirect;
	}
	forget(cpu, false);
	memset(cpu->jump_table_of, 0, sizeof(cpu->jump_table_of));
	cpu->code_epoch = atomic_load(&cpu->machine->code->epoch);
}

/*
 * The table of the current mode bits, or -1. Asked at each change between user and kernel code, so the answers
 * are kept where no lock is needed; numbers never change within an epoch of the cache.
 */
static int current_table(struct cpu *cpu)
{
	u32 key = cpu->block_key;
	unsigned i = (key ^ key >> 4 ^ key >> 8) % ARRAY_SIZE(cpu->jump_table_of);

	if (unlikely(cpu->jump_table_of[i].key != key + 1)) {
		cache_lock(cpu);
		cpu->jump_table_of[i].number = jump_table_for(cpu->machine->code, key);
		cache_unlock(cpu);
		cpu->jump_table_of[i].key = key + 1;
	}
	return cpu->jump_table_of[i].number;
}

const u8 *jump_lookup(struct cpu *cpu)
{
	u64 tag = cpu->rip + cpu->code_tag;
	u32 index = jump_index(tag);
	int table = current_table(cpu);

	if (!index || table < 0 || cpu->jump[table].neg_rip[index] != -tag)
		return NULL;
	return (const u8 *)cpu->jump[table].host[index];
}

static void learn_jump(struct cpu *cpu, u64 host, bool kept)
{
	u64 tag = cpu->rip + cpu->code_tag;
	u32 index = jump_index(tag);
	int table = current_table(cpu);
	bool global = mmu_fetch_global(cpu, cpu_code_linear(cpu, cpu->rip));
	u32 *count = &cpu->jump_count[global];

	if (!index || table < 0)
		return;
	if (*count >= JUMP_LOG || cpu->jump_opens >= JUMP_LOG)
		forget_all_tables(cpu);
	/* An entry may be logged on both sides after its slot changed hands: harmless, it is dropped early. */
	cpu->jump[table].neg_rip[index] = -tag;
	cpu->jump[table].host[index] = host;
	cpu->jump_log[global][(*count)++] = (u32)table << JUMP_BITS | index;
	if (cpu->kept.on && !kept)
		cpu->jump_open[cpu->jump_opens++] = (u32)table << JUMP_BITS | index;
}

static struct way *way_slot(struct cpu *cpu, u64 tag, u32 key)
{
	return &cpu->way[((tag ^ (u64)key << 32) * 0x9e3779b97f4a7c15ull) >> (64 - WAY_BITS)];
}

/* Not of code that reaches into a second page, which would have to be looked at, too. */
void jump_learn(struct cpu *cpu, const struct block *t)
{
	u64 host = (u64)(cpu->machine->code->exec_view + t->code - t->far);
	u64 tag = cpu->rip + cpu->code_tag;

	if (!t->gpa2)
		*way_slot(cpu, tag, t->key) =
			(struct way){tag, t->gpa, host, t->key, cpu->code_epoch};
	if (!(t->key & BLOCK_PLAIN))
		learn_jump(cpu, host, !t->gpa2 && check_page_kept(cpu, t->gpa));
}

const u8 *jump_way(struct cpu *cpu, u64 gpa, u32 key)
{
	u64 tag = cpu->rip + cpu->code_tag;
	const struct way *w = way_slot(cpu, tag, key);

	if (w->tag != tag || w->gpa != gpa || w->key != key || w->epoch != cpu->code_epoch)
		return NULL;
	if (!(key & BLOCK_PLAIN))
		learn_jump(cpu, w->host, check_page_kept(cpu, gpa));
	return (const u8 *)w->host;
}
