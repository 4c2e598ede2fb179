/* SPDX-License-Identifier: MIT */
/* A selection of MSRs: machine.h's struct msr_selection. Any thread. */
#ifndef ENGINE_CORE_SELECT_H
#define ENGINE_CORE_SELECT_H

#include "engine/core/machine.h"

/* The MSR's bit in it, or -1. */
static inline int msr_selection_bit(u32 index)
{
	static const u32 first[] = {0, 0x40000000, 0x4b564000, 0xc0000000, 0xc0010000};

	for (unsigned i = 0; i < ARRAY_SIZE(first); i++)
		if (index - first[i] < 0x2000)
			return (int)(i * 0x2000 + index - first[i]);
	return -1;
}

static inline bool msr_selected(const struct msr_selection *s, u32 index, bool write)
{
	int bit = msr_selection_bit(index);

	return bit >= 0 && (atomic_load_explicit(&s->word[write][bit / 64], memory_order_relaxed) &
				   BIT64(bit % 64));
}

/* False: it cannot be selected. */
static inline bool msr_select(struct msr_selection *s, u32 index, bool write, bool on)
{
	int bit = msr_selection_bit(index);

	if (bit < 0)
		return false;
	if (on)
		atomic_fetch_or(&s->word[write][bit / 64], BIT64(bit % 64));
	else
		atomic_fetch_and(&s->word[write][bit / 64], ~BIT64(bit % 64));
	return true;
}

static inline bool msr_selects_any(const struct msr_selection *s, bool write)
{
	for (unsigned i = 0; i < MSR_SELECTION_WORDS; i++)
		if (atomic_load(&s->word[write][i]))
			return true;
	return false;
}

static inline void msr_select_none(struct msr_selection *s)
{
	for (unsigned i = 0; i < MSR_SELECTION_WORDS; i++) {
		atomic_store(&s->word[0][i], 0);
		atomic_store(&s->word[1][i], 0);
	}
}

#endif
