/* SPDX-License-Identifier: MIT */
/* Accessed and dirty bits of pages: who sets which, that clearing them makes the next access count, and that no write is lost. */
#include "tests/unit/world/partition.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "engine/core/vcpu.h"

#define PAGES (RAM_BYTES / PAGE_SIZE)
#define BOTH  (PAGE_ACCESSED | PAGE_DIRTY)

static void track(void)
{
	assert_int_equal(machine_track_access(w.m, true), 0);
}

static u8 state_of(u64 gpa)
{
	u8 state;

	assert_int_equal(machine_access_states(w.m, gpa >> PAGE_SHIFT, 1, 0, &state), 0);
	return state;
}

static void change_all(u32 ops)
{
	u8 states[PAGES];

	assert_int_equal(machine_access_states(w.m, 0, PAGES, ops, states), 0);
}

/* All pages of RAM are clean but for these, of which each has a state behind it. */
struct page_state {
	u64 gpa;
	u8 state;
};

static void only(const struct page_state *expected, unsigned n)
{
	u8 states[PAGES];

	assert_int_equal(machine_access_states(w.m, 0, PAGES, 0, states), 0);
	for (unsigned i = 0; i < n; i++) {
		u8 *s = &states[expected[i].gpa >> PAGE_SHIFT];

		if (*s != expected[i].state)
			fail_msg("page 0x%llx: %u", (unsigned long long)expected[i].gpa, *s);
		*s = 0;
	}
	for (unsigned i = 0; i < PAGES; i++)
		if (states[i])
			fail_msg("page 0x%x: %u, but nobody was there", i << PAGE_SHIFT, states[i]);
}
#define ONLY(...)                                                                                  \
	only((const struct page_state[]){__VA_ARGS__},                                             \
		sizeof((const struct page_state[]){__VA_ARGS__}) / sizeof(struct page_state))

/* mov rax, [DATA]; mov [DATA + 1000h], rax */
#define READ_AND_WRITE                                                                             \
	0x48, 0x8b, 0x04, 0x25, 0x00, 0x00, 0x02, 0x00, 0x48, 0x89, 0x04, 0x25, 0x00, 0x10, 0x02,  \
		0x00

static void guest_sets_them(void **state)
{
	track();
	ONLY({0, 0});
	GUEST(READ_AND_WRITE, SAY);
	says();
	/* The walk marks the entries of the tables, which are in pages as well. */
	ONLY({CODE, PAGE_ACCESSED}, {PML4, BOTH}, {PDPT, BOTH}, {DATA, PAGE_ACCESSED},
		{DATA + 0x1000, BOTH});
	for (unsigned i = 0; i < 2; i++) {
		change_all(ACCESS_CLEAR_ACCESSED);
		ONLY({0, 0});
		set_rip(CODE);
		says();
		ONLY({CODE, PAGE_ACCESSED}, {PML4, PAGE_ACCESSED}, {PDPT, PAGE_ACCESSED},
			{DATA, PAGE_ACCESSED}, {DATA + 0x1000, BOTH});
	}
	/* A page that was only read, and is still in the TLB. */
	GUEST(0x48, 0x89, 0x04, 0x25, 0x00, 0x00, 0x02, 0x00, SAY);
	says();
	assert_int_equal(state_of(DATA), BOTH);
}

/* In a loop that never leaves its code: each clearing is followed by the next access. */
static void clearing_is_seen_at_once(void **state)
{
	static const u8 clean[3] = {0};

	track();
	GUEST(0x48, 0xff, 0x04, 0x25, 0x00, 0x00, 0x02, 0x00, 0xe6, 0x98, 0xeb,
		0xf4); /* inc [DATA]; out; jmp */
	for (unsigned i = 0; i < 5; i++) {
		u8 states[3];

		assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x98);
		set_rip(rip_of(w.v) + 2);
		assert_int_equal(state_of(DATA), BOTH);
		assert_int_equal(state_of(CODE), PAGE_ACCESSED);
		assert_int_equal(
			machine_access_states(w.m, DATA >> PAGE_SHIFT, 3,
				i % 2 ? ACCESS_CLEAR_DIRTY : ACCESS_CLEAR_ACCESSED, states),
			0);
		assert_int_equal(states[0], BOTH);
		assert_memory_equal(states + 1, clean, 2);
		assert_int_equal(state_of(DATA), i % 2 ? PAGE_ACCESSED : 0);
		change_all(ACCESS_CLEAR_ACCESSED);
		assert_int_equal(state_of(CODE), 0);
	}
}

/* What the processor pushes by itself, and what the engine writes for the guest. */
static void others_set_them(void **state)
{
	u64 word = 1;

	track();
	GUEST(0x0f, 0x0b);
	gate(X86_UD, HANDLER);
	WORLD_PUT(&w, HANDLER, SAY);
	says();
	assert_int_equal(state_of(STACK - 1), BOTH);
	assert_int_equal(state_of(IDT_AT), PAGE_ACCESSED);
	assert_int_equal(state_of(HANDLER), PAGE_ACCESSED);
	change_all(ACCESS_CLEAR_ACCESSED);
	assert_int_equal(machine_write(w.m, DATA + 0xffc, &word, 8), 0);
	ONLY({DATA, BOTH}, {DATA + 0x1000, BOTH});
	world_put(&w, DATA + 0x2000, &word, 8); /* the VMM's own */
	ONLY({DATA, BOTH}, {DATA + 0x1000, BOTH});
	GUEST(READ_AND_WRITE, SAY);
	says();
}

static void operations(void **state)
{
	static const struct {
		u32 ops;
		u8 after[4]; /* of pages that were 0, accessed, dirty, both */
	} cases[] = {
		{0, {0, 1, 3, 3}},
		{ACCESS_CLEAR_ACCESSED, {0, 0, 0, 0}},
		{ACCESS_SET_ACCESSED, {1, 1, 3, 3}},
		{ACCESS_CLEAR_DIRTY, {0, 1, 1, 1}},
		{ACCESS_SET_DIRTY, {3, 3, 3, 3}},
		{ACCESS_CLEAR_ACCESSED | ACCESS_SET_DIRTY, {3, 3, 3, 3}},
	};
	u8 states[4];

	GUEST(READ_AND_WRITE, SAY);
	says();
	assert_int_equal(machine_access_states(w.m, 0, 4, 0, states), -ENOENT);
	track();
	assert_int_equal(machine_access_states(w.m, 0, 4, BIT(4), states), -EINVAL);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		change_all(ACCESS_CLEAR_ACCESSED);
		machine_access_states(w.m, 1, 1, ACCESS_SET_ACCESSED, states);
		machine_access_states(w.m, 2, 2, ACCESS_SET_DIRTY, states);
		assert_int_equal(machine_access_states(w.m, 0, 4, cases[i].ops, states), 0);
		assert_memory_equal(states, "\0\1\3\3", 4);
		assert_int_equal(machine_access_states(w.m, 0, 4, 0, states), 0);
		assert_memory_equal(states, cases[i].after, 4);
	}
	assert_int_equal(machine_track_access(w.m, true), 0); /* it is: nothing changes */
	assert_int_equal(state_of(0), BOTH);
	assert_int_equal(machine_track_access(w.m, false), 0);
	assert_int_equal(machine_access_states(w.m, 0, 4, 0, states), -ENOENT);
	track();
	ONLY({0, 0});
}

/* Pages without a slot, a slot that comes and goes, and one whose log is somebody else's, too. */
static void slots(void **state)
{
	const u64 first = (RAM_BYTES >> PAGE_SHIFT) - 1, device = DEVICE >> PAGE_SHIFT;
	u8 states[0x20], log[8];

	track();
	put_slot(0, 0x2000);
	memset(states, 0xff, sizeof(states));
	assert_int_equal(machine_access_states(w.m, first, 0x20, ACCESS_SET_DIRTY, states), 0);
	for (unsigned i = 0; i < 0x20; i++)
		assert_int_equal(states[i], 0);
	assert_int_equal(machine_access_states(w.m, first, 0x20, 0, states), 0);
	for (unsigned i = 0; i < 0x20; i++)
		assert_int_equal(
			states[i], first + i == first || first + i - device < 2 ? BOTH : 0);
	assert_int_equal(machine_get_dirty_log(w.m, 1, log), -ENOENT);
	put_slot(0, 0);
	assert_int_equal(state_of(DEVICE), 0);
	put_slot(SLOT_LOG_DIRTY, 0x2000);
	GUEST(0x88, 0x03, SAY); /* mov [rbx], al */
	says();
	assert_int_equal(state_of(DEVICE), BOTH);
	assert_int_equal(machine_get_dirty_log(w.m, 1, log), 0);
	assert_int_equal(log[0], 1);
	assert_int_equal(state_of(DEVICE), PAGE_ACCESSED);
	put_slot(0, 0x2000);
	set_rip(CODE);
	says();
	assert_int_equal(state_of(DEVICE), BOTH);
	assert_int_equal(machine_track_access(w.m, false), 0);
	/* Beyond the end of physical addresses. */
	track();
	assert_int_equal(machine_access_states(w.m, (1ull << 40) - 2, 4, 0, states), 0);
	assert_int_equal(machine_access_states(w.m, ~0ull, 2, 0, states), 0);
	assert_memory_equal(states, "\0\0", 2);
}

/* ---- a copy that is made while the guest writes ---- */

static _Atomic bool ends;

static bool asks_for_end(void *unused)
{
	return atomic_load(&ends);
}

static void *run_guest(void *unused)
{
	return (void *)(intptr_t)vcpu_run(w.v, 0);
}

/* Copy what has been written since the last time. */
static void copy_dirty(u8 *copy)
{
	u8 states[PAGES];

	assert_int_equal(machine_access_states(w.m, 0, PAGES, ACCESS_CLEAR_DIRTY, states), 0);
	for (u32 i = 0; i < PAGES; i++)
		if (states[i] & PAGE_DIRTY)
			memcpy(copy + i * PAGE_SIZE, w.ram + i * PAGE_SIZE, PAGE_SIZE);
}

static void no_write_is_lost(void **state)
{
	u8 *copy = calloc(PAGES, PAGE_SIZE);
	pthread_t t;
	void *r;

	track();
	vcpu_set_poll(w.v, asks_for_end, NULL);
	/* imul ecx, ecx, 69069; inc ecx; mov eax, ecx; and eax, 1fff8h; mov [DATA + rax], rcx; jmp */
	GUEST(0x69, 0xc9, 0xcd, 0x0d, 0x01, 0x00, 0xff, 0xc1, 0x89, 0xc8, 0x25, 0xf8, 0xff, 0x01,
		0x00, 0x48, 0x89, 0x88, 0x00, 0x00, 0x02, 0x00, 0xeb, 0xe8);
	memcpy(copy, w.ram, RAM_BYTES);
	atomic_store(&ends, false);
	assert_int_equal(pthread_create(&t, NULL, run_guest, NULL), 0);
	while (!memcmp(copy, w.ram, RAM_BYTES)) /* on a busy host it begins late */
		sched_yield();
	for (unsigned i = 0; i < 300; i++)
		copy_dirty(copy);
	atomic_store(&ends, true);
	pthread_join(t, &r);
	assert_null(r);
	assert_int_equal(vcpu_exit(w.v)->reason, EXIT_INTR);
	copy_dirty(copy);
	assert_memory_equal(copy, w.ram, RAM_BYTES);
	free(copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH_WAYS(guest_sets_them),
		BOTH_WAYS(clearing_is_seen_at_once),
		BOTH_WAYS(others_set_them),
		BOTH_WAYS(operations),
		BOTH_WAYS(slots),
		BOTH_WAYS(no_write_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
