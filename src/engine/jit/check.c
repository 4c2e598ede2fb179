/* SPDX-License-Identifier: MIT */
/*
 * See check.h. What generated code can lead to stands in pages that were compared since all ways to them were last dropped. So when
 * the caller may have written to code they can be compared again, all of them at once, and no way is dropped; a page that has
 * changed loses its blocks, as by a store of the guest. To drop all ways instead, and to compare pages as they are used again, takes
 * a multiple of that, if most of them are. So it is done now and then, to learn which are.
 */
#include "engine/jit/check.h"

#include "engine/code/page.h"
#include "engine/core/machine.h"
#include "engine/core/stat.h"
#include "engine/host/raw.h"
#include "engine/mem/mem.h"

#define CHECKED_GLOBAL 1ull

#define AGAIN_MAX 16 /* times, before it is learnt anew which pages are used */

static struct checked_page *checked(struct cpu *cpu, u64 gpa)
{
	return &cpu->page_checked[(gpa >> PAGE_SHIFT) % ARRAY_SIZE(cpu->page_checked)];
}

static bool is_of(const struct checked_page *seen, u64 page)
{
	return (seen->page & PAGE_MASK) == page;
}

static bool is_kept(const struct cpu *cpu, const struct checked_page *seen)
{
	return seen->kept == cpu->kept.era + 1;
}

bool check_page_kept(struct cpu *cpu, u64 gpa)
{
	const struct checked_page *seen = checked(cpu, gpa);

	return is_of(seen, gpa & PAGE_MASK) && is_kept(cpu, seen);
}

/* Have its blocks been compared since it may have changed, or since its translation may have? */
static bool is_checked(const struct cpu *cpu, const struct checked_page *seen, u64 page)
{
	if (!is_of(seen, page))
		return false;
	return is_kept(cpu, seen) ||
	       (seen->epoch == cpu->check_epoch[seen->page & CHECKED_GLOBAL] &&
		       seen->recheck == cpu->rechecks);
}

void checks_forget(struct cpu *cpu, bool keep_global)
{
	struct checks *c = &cpu->checks;

	cpu->check_epoch[0]++;
	if (keep_global)
		return;
	cpu->check_epoch[1]++;
	if (c->done != c->due) /* they are to be compared, when they are used */
		kept_begin_era(&cpu->kept);
	c->drops++;
	c->count = c->again = 0;
	c->done = c->due;
	c->on = cpu->kept.on;
	c->slots = atomic_load(&cpu->machine->slot_generation);
}

/*
 * Each page that a way leads to is noted, or count tells that there was no room for all. A page that was noted when it was kept counts as
 * kept: see compare_again().
 */
static void note(struct cpu *cpu, struct checked_page *seen, const u8 *hva)
{
	struct checks *c = &cpu->checks;
	bool kept = is_kept(cpu, seen);

	if (seen->noted == c->drops) {
		if (seen->place < CHECKS_MAX)
			c->page[seen->place].kept |= kept;
		return;
	}
	seen->noted = c->drops;
	seen->place = c->count;
	if (c->count < CHECKS_MAX)
		c->page[c->count] = (struct compared_page){seen->page & PAGE_MASK, hva, kept};
	c->count = MIN(c->count + 1, CHECKS_MAX + 1);
}

/* False: it holds nothing that could be had. True: *kept tells whether it need not be compared until kept.era changes. */
static bool compare(struct cpu *cpu, u64 page, const u8 *hva, bool *kept)
{
	u64 look;

	if (guest_touch(hva)) /* not under the lock, see watch_and_lock() */
		return false;
	stat_inc(cpu, STAT_PAGES_COMPARED);
	look = written_look(cpu, hva);
	page_validate(cpu, page, hva);
	*kept = written_keep(cpu, hva, look);
	return true;
}

bool check_page(struct cpu *cpu, u64 lin, u64 page, const u8 *hva)
{
	struct checked_page *seen = checked(cpu, page);
	bool global, kept;

	if (is_checked(cpu, seen, page)) {
		note(cpu, seen, hva); /* if it is kept, all ways to it may have been dropped */
		return true;
	}
	if (!compare(cpu, page, hva, &kept))
		return false;
	global = mmu_fetch_global(cpu, lin);
	if (!is_of(seen, page))
		seen->noted = 0;
	seen->page = page | (global ? CHECKED_GLOBAL : 0);
	seen->epoch = cpu->check_epoch[global];
	seen->recheck = cpu->rechecks;
	seen->kept = kept ? cpu->kept.era + 1 : 0;
	note(cpu, seen, hva);
	return true;
}

/*
 * In a new era of what is kept. A page that was kept in the one before and is not now would have to lose its ways: they were not noted
 * as those of an open page (jump.c).
 */
static bool compare_again(struct cpu *cpu, struct compared_page *c)
{
	struct checked_page *seen = checked(cpu, c->page);
	bool was_kept = c->kept;

	if (!compare(cpu, c->page, c->hva, &c->kept))
		return false;
	if (is_of(seen, c->page))
		seen->kept = c->kept ? cpu->kept.era + 1 : 0;
	return c->kept || !was_kept;
}

/* Are all of them known, and all ways to those that are open? */
static bool can_compare(struct cpu *cpu)
{
	const struct checks *c = &cpu->checks;

	return c->count <= CHECKS_MAX && c->again < AGAIN_MAX && c->on == cpu->kept.on &&
	       c->slots == atomic_load(&cpu->machine->slot_generation);
}

bool check_again(struct cpu *cpu)
{
	struct checks *c = &cpu->checks;

	c->done = c->due;
	if (!can_compare(cpu))
		return false;
	c->again++;
	kept_begin_era(&cpu->kept);
	for (u32 i = 0; i < c->count; i++) {
		if (!compare_again(cpu, &c->page[i]))
			return false;
		if (unlikely(__atomic_load_n(&cpu->exit_request, __ATOMIC_RELAXED)))
			cpu_serve_requests(cpu); /* others wait */
	}
	return true;
}
