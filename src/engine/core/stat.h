/* SPDX-License-Identifier: MIT */
/*
 * Counting. A vcpu's counters are written by its own thread only, with plain stores; a machine's by anybody,
 * atomically. They may lie in memory that is shared with readers (vcpu_set_stats()), who see each word whole and
 * as it is now.
 */
#ifndef ENGINE_CORE_STAT_H
#define ENGINE_CORE_STAT_H

#include "engine/core/machine.h"
#include "engine/core/cpu.h"

#define VCPU(id, name, kind, unit, words) STAT_##id, STAT_##id##_LAST = STAT_##id + (words)-1,
#define MACHINE(id, name, kind, unit, words)
enum vcpu_stat {
#include "engine/core/stat.def"
	/* the first of as many as there are kinds of instructions, in their order */
	STAT_UNTRANSLATED = STAT_UNTRANSLATED_UD,
	STAT_MISSED = STAT_MISSED_UD,
};
#undef VCPU
#undef MACHINE

#define VCPU(id, name, kind, unit, words)
#define MACHINE(id, name, kind, unit, words)                                                       \
	MACHINE_STAT_##id, MACHINE_STAT_##id##_LAST = MACHINE_STAT_##id + (words)-1,
enum machine_stat {
#include "engine/core/stat.def"
};
#undef VCPU
#undef MACHINE

static inline void stat_add(struct cpu *cpu, enum vcpu_stat s, u64 n)
{
	__atomic_store_n(&cpu->stats[s], cpu->stats[s] + n, __ATOMIC_RELAXED);
}

static inline void stat_inc(struct cpu *cpu, enum vcpu_stat s)
{
	stat_add(cpu, s, 1);
}

static inline void stat_set(struct cpu *cpu, enum vcpu_stat s, u64 value)
{
	__atomic_store_n(&cpu->stats[s], value, __ATOMIC_RELAXED);
}

/* table: which statistic an exit is, plus one; 0 none. */
static inline void stat_inc_exit(struct cpu *cpu, const u8 table[EXIT_COUNT], u32 reason)
{
	if (table[reason])
		stat_inc(cpu, table[reason] - 1);
}

static inline void machine_stat_add(struct machine *m, enum machine_stat s, u64 n)
{
	/* Acquired: the words may have been moved to a new mapping. */
	_Atomic u64 *stats = atomic_load_explicit(&m->stats, memory_order_acquire);

	atomic_fetch_add_explicit(&stats[s], n, memory_order_relaxed);
}

static inline void machine_stat_inc(struct machine *m, enum machine_stat s)
{
	machine_stat_add(m, s, 1);
}

#endif
