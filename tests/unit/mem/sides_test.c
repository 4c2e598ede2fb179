/* SPDX-License-Identifier: MIT */
/*
 * Slots that refer to the same host memory, private sides of slots, and the dirty rings, below the interface: who
 * shares which state words, and what is told to the translator when that changes.
 */
#include "tests/unit/world/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "engine/mem/mem_priv.h"
#include "engine/mem/mem.h"

#define BYTES (16 * PAGE_SIZE)

static u8 *map(u64 size)
{
	u8 *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

static unsigned aliases(struct fixture *f, u64 gpa, u64 *ret_last)
{
	struct page_aliases a;
	unsigned n = 0;

	page_aliases(f->m, gpa, &a);
	while (page_alias(&a, ret_last))
		n++;
	return n;
}

static void test_alias(void **state)
{
	struct fixture f;
	u8 *mem = map(BYTES);
	u64 other = 0;

	fixture_open(&f, 1, 0);
	assert_int_equal(fixture_slot(&f, 1, 0, 0x100000, BYTES, mem), 0);
	assert_int_equal(aliases(&f, 0x101000, &other), 0);
	page_watch(f.cpu, 0x101000);
	/* Inside: joins. What is watched stays so, and is watched in both. */
	assert_int_equal(fixture_slot(&f, 2, 0, 0x200000, 4 * PAGE_SIZE, mem + PAGE_SIZE), 0);
	assert_int_equal(told.written_external, 0);
	assert_true(page_watched(f.m, 0x101000) && page_watched(f.m, 0x200000));
	assert_false(page_watched(f.m, 0x201000));
	assert_int_equal(aliases(&f, 0x101234, &other), 1);
	assert_int_equal(other, 0x200000);
	assert_int_equal(aliases(&f, 0x203000, &other), 1);
	assert_int_equal(other, 0x104000);
	assert_int_equal(aliases(&f, 0x100000, &other), 0);
	page_unwatch(f.m, 0x200000);
	assert_false(page_watched(f.m, 0x101000));
	/* One that goes leaves the other alone. */
	page_watch(f.cpu, 0x102000);
	assert_int_equal(fixture_slot(&f, 1, 0, 0, 0, NULL), 0);
	assert_int_equal(aliases(&f, 0x201000, &other), 0);
	page_watch(f.cpu, 0x201000);
	assert_true(page_watched(f.m, 0x201000));
	fixture_close(&f);
	munmap(mem, BYTES);
}

/* A slot that bridges two memories makes one of them; what was translated from them is void. */
static void test_bridge(void **state)
{
	struct fixture f;
	u8 *mem = map(BYTES);
	u64 other;

	fixture_open(&f, 1, 0);
	assert_int_equal(fixture_slot(&f, 1, 0, 0x100000, 4 * PAGE_SIZE, mem), 0);
	assert_int_equal(fixture_slot(&f, 2, 0, 0x200000, 4 * PAGE_SIZE, mem + 8 * PAGE_SIZE), 0);
	page_watch(f.cpu, 0x103000);
	page_watch(f.cpu, 0x200000);
	assert_int_equal(fixture_slot(&f, 3, 0, 0x300000, 8 * PAGE_SIZE, mem + 2 * PAGE_SIZE), 0);
	assert_int_equal(told.written_external, 2);
	assert_false(page_watched(f.m, 0x103000) || page_watched(f.m, 0x200000));
	assert_int_equal(aliases(&f, 0x303000, &other), 0);
	assert_int_equal(aliases(&f, 0x301000, &other), 1);
	assert_int_equal(other, 0x103000);
	assert_int_equal(aliases(&f, 0x307000, &other), 1);
	assert_int_equal(other, 0x201000);
	page_watch(f.cpu, 0x201000);
	assert_true(page_watched(f.m, 0x307000));
	for (u32 id = 1; id <= 3; id++)
		assert_int_equal(fixture_slot(&f, id, 0, 0, 0, NULL), 0);
	assert_int_equal(f.m->mem->backings.count, 0);
	fixture_close(&f);
	munmap(mem, BYTES);
}

/* A write entry made through one address is gone when the page is watched at another. */
static void test_watch_drops_alias_entries(void **state)
{
	struct fixture f;
	u8 *mem = map(BYTES);
	void *hva;
	u64 gpa;

	fixture_open(&f, 1, 0);
	assert_int_equal(fixture_slot(&f, 1, 0, 0x100000, BYTES, mem), 0);
	assert_int_equal(fixture_slot(&f, 2, 0, 0x200000, BYTES, mem), 0);
	fixture_serve(f.cpu);
	assert_int_equal(tlb_fill(f.cpu, 0x203000, ACC_WRITE, &hva, &gpa), 0);
	assert_non_null(tlb_lookup(f.cpu, TLB_KERNEL, TLB_WRITE, 0x203000, 8));
	page_watch(f.cpu, 0x103000);
	assert_null(tlb_lookup(f.cpu, TLB_KERNEL, TLB_WRITE, 0x203000, 8));
	fixture_close(&f);
	munmap(mem, BYTES);
}

static void test_private_view(void **state)
{
	struct fixture f;
	u8 *mem = map(BYTES), *hidden = map(BYTES);
	struct memslot_config c = {
		.id = 1,
		.flags = SLOT_PRIVATE,
		.gpa = 0x100000,
		.size = BYTES,
		.hva = (uintptr_t)mem,
		.private_hva = (uintptr_t)hidden,
	};
	void *hva;
	u64 gpa;

	fixture_open(&f, 1, 0);
	assert_int_equal(machine_set_memslot(f.m, &c), 0);
	page_watch(f.cpu, 0x101000);
	assert_int_equal(machine_set_private(f.m, 0x101000, PAGE_SIZE, true), 0);
	assert_int_equal(told.written_external, 1);
	fixture_serve(f.cpu);
	assert_int_equal(tlb_fill(f.cpu, 0x101008, ACC_WRITE, &hva, &gpa), 0);
	assert_ptr_equal(hva, hidden + PAGE_SIZE + 8);
	assert_int_equal(tlb_fill(f.cpu, 0x102008, ACC_WRITE, &hva, &gpa), 0);
	assert_ptr_equal(hva, mem + 2 * PAGE_SIZE + 8);
	assert_int_equal(machine_write(f.m, 0x100ffc, "abcdefgh", 8), 0);
	assert_memory_equal(hidden + PAGE_SIZE, "efgh", 4);
	assert_memory_equal(mem + PAGE_SIZE, "\0\0\0\0", 4);
	machine_unbind_private(f.m, (uintptr_t)hidden, BYTES);
	fixture_serve(f.cpu);
	assert_int_equal(tlb_fill(f.cpu, 0x101008, ACC_READ, &hva, &gpa), CPU_EXIT);
	assert_int_equal(f.cpu->exit.reason, EXIT_MEMORY_FAULT);
	assert_true(f.cpu->exit.fault.private);
	assert_int_equal(f.cpu->exit.fault.gpa, 0x101000);
	fixture_close(&f);
	munmap(mem, BYTES);
	munmap(hidden, BYTES);
}

/* One entry a page until it is reset; the engine's own writes find a ring, too. */
static void test_ring(void **state)
{
	static struct dirty_gfn ring[256];
	struct fixture f;
	u8 *mem = map(BYTES);
	void *hva;
	u64 gpa;

	fixture_open(&f, 1, 0);
	assert_int_equal(vcpu_set_dirty_ring(f.cpu->vcpu, ring, 256), 0);
	assert_int_equal(fixture_slot(&f, 5, SLOT_LOG_DIRTY, 0x100000, BYTES, mem), 0);
	fixture_serve(f.cpu);
	assert_int_equal(tlb_fill(f.cpu, 0x103000, ACC_WRITE, &hva, &gpa), 0);
	assert_int_equal(tlb_fill(f.cpu, 0x103000, ACC_WRITE, &hva, &gpa), 0);
	assert_int_equal(machine_write(f.m, 0x104000, "x", 1), 0);
	assert_int_equal(ring[0].flags, DIRTY_GFN_DIRTY);
	assert_int_equal(ring[0].slot, 5);
	assert_int_equal(ring[0].offset, 3);
	assert_int_equal(ring[1].offset, 4);
	assert_int_equal(ring[2].flags, 0);
	assert_int_equal(machine_reset_dirty_rings(f.m), 0);
	ring[1].flags = DIRTY_GFN_RESET; /* in order only */
	assert_int_equal(machine_reset_dirty_rings(f.m), 0);
	ring[0].flags = DIRTY_GFN_RESET;
	assert_int_equal(machine_reset_dirty_rings(f.m), 2);
	assert_int_equal(ring[0].flags | ring[1].flags, 0);
	fixture_serve(f.cpu);
	assert_null(tlb_lookup(f.cpu, TLB_KERNEL, TLB_WRITE, 0x103000, 8));
	assert_int_equal(tlb_fill(f.cpu, 0x103000, ACC_WRITE, &hva, &gpa), 0);
	assert_int_equal(ring[2].offset, 3);
	fixture_close(&f);
	munmap(mem, BYTES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alias),
		cmocka_unit_test(test_bridge),
		cmocka_unit_test(test_watch_drops_alias_entries),
		cmocka_unit_test(test_private_view),
		cmocka_unit_test(test_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
