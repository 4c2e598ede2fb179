/* SPDX-License-Identifier: MIT */
/*
 * What threads may do to each other: A and D bits set by two walkers while a third thread edits the same
 * entries, and a page that becomes watched while others write to it.
 */
#include <pthread.h>
#include <sched.h>

#include "tests/unit/world/memory.h"
#include "engine/core/cpu.h"
#include "engine/core/vcpu.h"
#include "engine/mem/mem.h"
#include "x86/regs.h"

#define ROUNDS  200000
#define ENTRIES 2 /* few, so that the threads meet */
#define WATCHES 200

/* Threads begin together, else the first is done before the second exists. */
static pthread_barrier_t start;

/* ---- A and D bits ---- */

static void *walk_thread(void *opaque)
{
	struct vcpu *v = opaque;
	struct walk w;

	pthread_barrier_wait(&start);
	for (unsigned i = 0; i < ROUNDS; i++) {
		u64 lin = 0x400000 + i % ENTRIES * PAGE_SIZE;

		if (mmu_walk(&v->cpu, lin, i & ENTRIES ? ACC_WRITE : ACC_READ, &w))
			return (void *)1;
	}
	return NULL;
}

/* A guest kernel that counts in ignored bits of the entries with locked instructions: no count may get lost. */
static void *edit_thread(void *opaque)
{
	struct fixture *f = opaque;

	pthread_barrier_wait(&start);
	for (unsigned i = 0; i < ROUNDS; i++) {
		u64 *e = (u64 *)(f->ram + 0x4000) + i % ENTRIES;

		__atomic_fetch_and(e, ~(PTE_A | PTE_D), __ATOMIC_SEQ_CST);
		__atomic_fetch_add(e, BIT64(52), __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static void test_accessed_bits(void **state)
{
	pthread_t t[3];
	struct fixture f;
	void *failed[3];

	fixture_open(&f, 2, 0x80000);
	put64(&f, 0x1000, 0x2007);
	put64(&f, 0x2000, 0x3007);
	put64(&f, 0x3000 + 2 * 8, 0x4007);
	for (u64 i = 0; i < ENTRIES; i++)
		put64(&f, 0x4000 + i * 8, 0x8000 + i * PAGE_SIZE + 7);
	pthread_barrier_init(&start, NULL, 3);
	for (unsigned i = 0; i < 2; i++) {
		fixture_long_mode(&f.m->vcpus[i]->cpu, 0x1000, 0);
		pthread_create(&t[i], NULL, walk_thread, f.m->vcpus[i]);
	}
	pthread_create(&t[2], NULL, edit_thread, &f);
	for (unsigned i = 0; i < 3; i++) {
		pthread_join(t[i], &failed[i]);
		assert_null(failed[i]);
	}
	for (u64 i = 0; i < ENTRIES; i++) {
		u64 count = ROUNDS / ENTRIES; /* of which bits 52 to 63 keep the end */

		assert_int_equal(get64(&f, 0x4000 + i * 8) & ~0x60ull,
			(0x8000 + i * PAGE_SIZE + 7) | count << 52);
	}
	fixture_close(&f);
}

/* ---- watch against writers ---- */

struct writer {
	struct vcpu *v;
	_Atomic bool *stop;
	_Atomic u64 *quiet; /* while set, nobody may store without telling */
	unsigned broken;
	_Atomic unsigned stores;
};

#define WATCHED_PAGE 0x5000

/* A cpu in inner code: stores through its TLB when it hits, and serves requests between instructions. */
static void *writer_thread(void *opaque)
{
	struct writer *w = opaque;
	struct cpu *cpu = &w->v->cpu;

	atomic_store(&w->v->where, VCPU_IN);
	pthread_barrier_wait(&start);
	while (!atomic_load(w->stop)) {
		u64 before;
		u8 *hva;

		if (__atomic_load_n(&cpu->exit_request, __ATOMIC_SEQ_CST))
			fixture_serve(cpu);
		before = atomic_load(w->quiet);
		hva = tlb_lookup(cpu, cpu->view, TLB_WRITE, WATCHED_PAGE, 1);
		if (hva) {
			/* The same quiet period before and after: the hit was inside it. */
			if (before && atomic_load(w->quiet) == before)
				w->broken++;
			__atomic_fetch_add(hva, 1, __ATOMIC_SEQ_CST);
			w->stores++;
		} else {
			mem_probe_write(cpu, WATCHED_PAGE, 1, 0);
		}
	}
	atomic_store(&w->v->where, VCPU_OUT);
	return NULL;
}

static bool all_stored(struct writer w[2])
{
	return atomic_load(&w[0].stores) && atomic_load(&w[1].stores);
}

/* And on, on a machine that is busy with something else, until both have been there. */
static void watch_rounds(struct cpu *cpu, _Atomic u64 *quiet, struct writer w[2])
{
	for (u64 i = 1; i <= WATCHES || !all_stored(w); i++) {
		page_watch(cpu, WATCHED_PAGE);
		atomic_store(quiet, i);
		for (unsigned spin = 0; spin < 2000; spin++)
			__builtin_ia32_pause();
		atomic_store(quiet, 0);
		page_unwatch(cpu->machine, WATCHED_PAGE);
		for (unsigned spin = 0; spin < 2000; spin++)
			__builtin_ia32_pause();
		if (i >= WATCHES)
			sched_yield();
	}
}

static void test_watch(void **state)
{
	_Atomic bool stop = false;
	_Atomic u64 quiet = 0;
	struct writer w[2];
	pthread_t t[2];
	struct fixture f;

	fixture_open(&f, 3, 0x10000);
	atomic_store(&f.m->vcpus[0]->where, VCPU_IN);
	pthread_barrier_init(&start, NULL, 3);
	for (unsigned i = 0; i < 2; i++) {
		w[i] = (struct writer){f.m->vcpus[i + 1], &stop, &quiet, 0, 0};
		pthread_create(&t[i], NULL, writer_thread, &w[i]);
	}
	pthread_barrier_wait(&start);
	watch_rounds(f.cpu, &quiet, w);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(w[i].broken, 0);
	}
	fixture_close(&f);
}

/* Two cpus that watch pages which the other one writes: neither may wait for ever. */
struct pair {
	struct vcpu *v;
	u64 own, others;
};

static void *pair_thread(void *opaque)
{
	struct pair *p = opaque;
	struct cpu *cpu = &p->v->cpu;

	atomic_store(&p->v->where, VCPU_IN);
	pthread_barrier_wait(&start);
	for (unsigned i = 0; i < 2000; i++) {
		mem_write(cpu, p->own, "x", 1, 0);
		page_watch(cpu, p->others);
		page_unwatch(cpu->machine, p->others);
		if (__atomic_load_n(&cpu->exit_request, __ATOMIC_SEQ_CST))
			fixture_serve(cpu);
	}
	atomic_store(&p->v->where, VCPU_OUT);
	return NULL;
}

static void test_mutual_watch(void **state)
{
	struct fixture f;
	pthread_t t[2];
	struct pair p[2];

	fixture_open(&f, 2, 0x10000);
	pthread_barrier_init(&start, NULL, 2);
	for (unsigned i = 0; i < 2; i++) {
		p[i] = (struct pair){f.m->vcpus[i], 0x5000 + i * PAGE_SIZE, 0x6000 - i * PAGE_SIZE};
		pthread_create(&t[i], NULL, pair_thread, &p[i]);
	}
	for (unsigned i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accessed_bits),
		cmocka_unit_test(test_watch),
		cmocka_unit_test(test_mutual_watch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
