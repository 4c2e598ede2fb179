/* SPDX-License-Identifier: MIT */
/* What there is to count, and where the counters are. See stat.h. */
#include "engine/core/stat.h"
#include "engine/core/vcpu.h"

#include <string.h>

#define NONE STAT_UNIT_NONE
#define NS   STAT_UNIT_NS
#define BOOL STAT_UNIT_BOOL
#define ROW(name, kind, unit, words)                                                               \
	{                                                                                          \
		name, STAT_##kind, unit, words                                                     \
	}

#define VCPU(id, name, kind, unit, words) ROW(name, kind, unit, words),
#define MACHINE(id, name, kind, unit, words)
static const struct stat_desc vcpu_table[] = {
#include "engine/core/stat.def"
};
#undef VCPU
#undef MACHINE

#define VCPU(id, name, kind, unit, words)
#define MACHINE(id, name, kind, unit, words) ROW(name, kind, unit, words),
static const struct stat_desc machine_table[] = {
#include "engine/core/stat.def"
};
#undef VCPU
#undef MACHINE

_Static_assert(STAT_MISSED_OPCODES_LAST < VCPU_STAT_WORDS_MAX, "room for the last");

const struct stat_desc *engine_vcpu_stats(unsigned *ret_count)
{
	*ret_count = ARRAY_SIZE(vcpu_table);
	return vcpu_table;
}

const struct stat_desc *engine_machine_stats(unsigned *ret_count)
{
	*ret_count = ARRAY_SIZE(machine_table);
	return machine_table;
}

static unsigned count_words(const struct stat_desc *table, unsigned n)
{
	unsigned words = 0;

	for (unsigned i = 0; i < n; i++)
		words += table[i].words;
	return words;
}

void vcpu_set_stats(struct vcpu *v, u64 *words)
{
	memcpy(words, v->cpu.stats, count_words(vcpu_table, ARRAY_SIZE(vcpu_table)) * sizeof(u64));
	v->cpu.stats = words;
}

/* What is counted by other threads in between is added where it was before, and lost: at most a few. */
void machine_set_stats(struct machine *m, u64 *words)
{
	_Atomic u64 *to = (_Atomic u64 *)words, *from = atomic_load(&m->stats);

	for (unsigned i = 0; i < count_words(machine_table, ARRAY_SIZE(machine_table)); i++)
		atomic_store(&to[i], atomic_load(&from[i]));
	atomic_store(&m->stats, to);
}
