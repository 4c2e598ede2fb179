/* SPDX-License-Identifier: MIT */
/* Inner code of written.c: which pages the vcpu runs. */
#include <stdatomic.h>

#include "engine/mem/mem.h"
#include "engine/mem/mem_priv.h"
#include "engine/mem/written.h"

static u64 page_at(const u8 *hva)
{
	return ALIGN_DOWN((u64)hva, PAGE_SIZE);
}

u64 written_look(const struct cpu *cpu, const u8 *hva)
{
	struct written *w = cpu->machine->mem->written;

	return w ? atomic_load_explicit(word_of(w, page_at(hva)), memory_order_seq_cst) : 0;
}

/* It may be time for the next state. */
static void propose(struct kept *k, const struct written *w, u64 page, u64 word)
{
	if (word_page(word) == page && written_since(word_time(word)) < w->patience)
		return;
	if (k->candidates == CANDIDATES)
		return;
	k->candidate[k->candidates].page = page;
	k->candidate[k->candidates++].word = word;
}

bool written_keep(struct cpu *cpu, const u8 *hva, u64 look)
{
	struct written *w = cpu->machine->mem->written;
	struct kept *k = &cpu->kept;

	if (!w)
		return false;
	k->reached++;
	if (word_page(look) != page_at(hva) || word_state(look) != PAGE_TRUSTED) {
		if (w->eager || k->turn % WRITTEN_TURNS == 0)
			propose(k, w, page_at(hva), look);
		return false;
	}
	if (k->count == KEPT_MAX)
		return false;
	k->word[k->count++] = look;
	return true;
}
