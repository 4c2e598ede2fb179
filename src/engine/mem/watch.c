/* SPDX-License-Identifier: MIT */
/*
 * Watched pages: no cpu holds a write entry for them. Inner code.
 *
 * One atomic word a page decides the race between a watch and a fill. A fill sets its writer bit
 * before it looks at PAGE_WATCHED; a watch sets PAGE_WATCHED before it looks at the writer bits. So
 * either the fill sees the watch and makes no entry, or the watch sees the writer and waits for it.
 */
#include "base/spin.h"
#include "engine/mem/mem_priv.h"
#include "engine/core/vcpu.h"
#include "engine/core/vcpus.h"
#include "engine/request/post.h"
#include "engine/mem/mem.h"

static struct slot *find(struct machine *m, u64 gpa)
{
	u32 hint = 0;

	return slot_find(m->mem, gpa, &hint);
}

bool page_watched(struct machine *m, u64 gpa)
{
	const struct slot *s = find(m, gpa);

	return s && slot_watched(s, gpa);
}

void page_unwatch(struct machine *m, u64 gpa)
{
	const struct slot *s = find(m, gpa);

	if (s)
		__atomic_fetch_and(slot_state(s, gpa), ~PAGE_WATCHED, __ATOMIC_SEQ_CST);
	atomic_fetch_add(&m->unwatched, 1);
}

/* ---- the other addresses of the same memory ---- */

void page_aliases(struct machine *m, u64 gpa, struct page_aliases *ret)
{
	const struct slot *s = find(m, gpa);

	*ret = (struct page_aliases){0};
	if (!s || !slot_aliased(s))
		return;
	ret->next = s->backing->users;
	ret->self = s;
	ret->hva = s->hva + (ALIGN_DOWN(gpa, PAGE_SIZE) - s->gpa);
}

bool page_alias(struct page_aliases *a, u64 *ret_gpa)
{
	while (a->next) {
		const struct slot *s = a->next;

		a->next = s->next_user;
		if (s == a->self || (u64)(a->hva - s->hva) >= s->size)
			continue;
		*ret_gpa = s->gpa + (u64)(a->hva - s->hva);
		return true;
	}
	return false;
}

/* ---- waiting for writers ---- */

/*
 * Two cpus may wait for each other here, so a waiting cpu does itself what others ask of it. The request bit
 * stays set: it will be acted upon again on the way out, which costs little and happens rarely.
 */
static void serve_flush(struct cpu *cpu)
{
	if (__atomic_load_n(&cpu->exit_request, __ATOMIC_SEQ_CST) & REQ_FLUSH_W)
		tlb_flush_write(cpu, ~0ull);
}

/*
 * Any flush that ends after PAGE_WATCHED was set has removed the entry, and no new one can be made. The
 * counter is what tells: the request bit may already have been set, or be cleared together with an older one,
 * in which case it is set again here.
 */
static void flush_and_wait(struct cpu *cpu, struct vcpu *other)
{
	u32 before = __atomic_load_n(&other->cpu.write_flushes, __ATOMIC_SEQ_CST);
	unsigned turns = 0;

	do {
		if (!(__atomic_load_n(&other->cpu.exit_request, __ATOMIC_SEQ_CST) & REQ_FLUSH_W))
			vcpu_request(other, REQ_FLUSH_W, false);
		serve_flush(cpu);
		spin_turn(&turns);
	} while (atomic_load(&other->where) == VCPU_IN &&
		 __atomic_load_n(&other->cpu.write_flushes, __ATOMIC_SEQ_CST) == before);
}

static void flush_writers(struct cpu *cpu, u64 writers)
{
	struct vcpu *v;

	for_each_vcpu(vcpus_inside(cpu), v)
	{
		if (&v->cpu != cpu && (writers & writer_bits(v->cpu.id)))
			flush_and_wait(cpu, v);
	}
}

/* Afterwards we are no writer: the next block of this page finds nothing to flush. */
static void flush_own(struct cpu *cpu, const struct slot *s, u64 gpa)
{
	struct page_aliases others;
	u64 alias;

	tlb_flush_write(cpu, gpa);
	page_aliases(cpu->machine, gpa, &others);
	while (page_alias(&others, &alias))
		tlb_flush_write(cpu, alias);
	slot_retract_writer(s, gpa, cpu->id, writer_bits(cpu->id));
}

/* For whoever must find the watched pages of a large slot again. */
static void note_part(struct slot *s, u64 gpa)
{
	u64 bit = BIT64(slot_index(s, gpa) / slot_part_pages(s));

	if (!(__atomic_load_n(&s->watched_parts, __ATOMIC_SEQ_CST) & bit))
		__atomic_fetch_or(&s->watched_parts, bit, __ATOMIC_SEQ_CST);
}

void page_watch(struct cpu *cpu, u64 gpa)
{
	struct slot *s = find(cpu->machine, gpa);
	u64 writers, own = writer_bits(cpu->id);

	check_inside(cpu);
	if (!s)
		return;
	note_part(s, gpa);
	/* An earlier watcher may still be waiting: a page that is watched already is not yet quiet. */
	writers = __atomic_fetch_or(slot_state(s, gpa), PAGE_WATCHED, __ATOMIC_SEQ_CST) &
		  ~(PAGE_WATCHED | PAGE_MAPPED);
	if (writers & own)
		flush_own(cpu, s, ALIGN_DOWN(gpa, PAGE_SIZE));
	if (writers & ~(writer_index(cpu->id) == WRITER_SHARED ? 0 : own))
		flush_writers(cpu, writers);
}
