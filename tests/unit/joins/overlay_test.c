/* SPDX-License-Identifier: MIT */
/*
 * Two machines with a page in common: one of them sees it in the place of a page of its own (engine/mem/overlay.c). What
 * each of them stores the other one reads, and executes, at once: without an exit, after which code is compared anyway.
 */
#include "tests/unit/world/world.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "engine/exit.h"
#include "engine/tap.h"

#define PLACE  0x5000u /* in the machine that sees it */
#define PAGE   0x6000u /* of the one that owns it */
#define RESULT 0x7000u
#define COUNT  0x7002u

static struct world owner, guest;
static _Atomic bool stop;

/* mov $value, %ax; ret */
static void put_function(struct world *w, u32 at, u16 value)
{
	const u8 code[] = {0xb8, (u8)value, (u8)(value >> 8), 0xc3};

	memcpy(w->ram + at, code, sizeof(code));
}

static void open_both(void)
{
	world_open(&owner, IRQCHIP_NONE);
	world_open(&guest, IRQCHIP_NONE);
	put_function(&owner, PAGE, 0x1111);
	put_function(&guest, PLACE, 0x2222);
}

static void close_both(void)
{
	world_close(&guest);
	world_close(&owner);
}

static void show(void)
{
	assert_int_equal(machine_share_memory(owner.m, owner.ram + PAGE, true), 0);
	assert_int_equal(machine_overlay_page(guest.m, PLACE, owner.ram + PAGE), 0);
}

static void hide(void)
{
	assert_int_equal(machine_remove_overlay(guest.m, PLACE), 0);
	assert_int_equal(machine_share_memory(owner.m, owner.ram + PAGE, false), 0);
}

/* ---- data ---- */

static void run_code(struct world *w, const u8 *code, size_t len)
{
	world_code(w, code, len);
	run_to(w->v, EXIT_HLT);
}

static u16 load(struct world *w, u16 at)
{
	const u8 code[] = {0xa1, (u8)at, (u8)(at >> 8), 0xf4};

	run_code(w, code, sizeof(code));
	return (u16)gpr_of(w->v, RAX);
}

static void store(struct world *w, u16 at, u8 value)
{
	const u8 code[] = {0xc6, 0x06, (u8)at, (u8)(at >> 8), value, 0xf4};

	run_code(w, code, sizeof(code));
}

static void test_data(void **state)
{
	static u8 all[3 * 4096];

	open_both();
	for (unsigned i = 0; i < 3; i++) {
		put_function(&owner, PAGE, 0x1111);
		assert_int_equal(load(&guest, PLACE + 1), 0x2222);
		store(&guest, PLACE + 0x80, 0x20);
		show();
		assert_int_equal(load(&guest, PLACE + 1), 0x1111);
		store(&guest, PLACE + 2, 0x33);
		assert_int_equal(load(&owner, PAGE + 1), 0x3311);
		store(&owner, PAGE + 1, 0x44);
		assert_int_equal(load(&guest, PLACE + 1), 0x3344);
		/* To the page's end and not beyond it; and so for the engine. */
		guest.ram[PLACE - 1] = 0x77;
		guest.ram[PLACE + 4096] = 0x88;
		assert_int_equal(load(&guest, PLACE - 1), 0xb877);
		assert_int_equal(machine_read(guest.m, PLACE - 4096, all, sizeof(all)), 0);
		assert_int_equal(all[4095], 0x77);
		assert_memory_equal(all + 4096, owner.ram + PAGE, 4096);
		assert_int_equal(all[8192], 0x88);
		assert_int_equal(machine_write(guest.m, PLACE + 4, "x", 1), 0);
		assert_int_equal(owner.ram[PAGE + 4], 'x');
		hide();
		assert_int_equal(load(&guest, PLACE + 1), 0x2222);
		store(&guest, PLACE + 0x80, 0x21);
		assert_int_equal(guest.ram[PLACE + 0x80], 0x21);
		assert_int_equal(owner.ram[PAGE + 0x80], 0);
	}
	close_both();
}

/* ---- code, in a machine that does not come out ---- */

static u16 word_at(const struct world *w, u32 at)
{
	return __atomic_load_n((u16 *)(w->ram + at), __ATOMIC_SEQ_CST);
}

static void *run(void *opaque)
{
	struct world *w = opaque;

	while (!atomic_load(&stop))
		(void)!vcpu_run(w->v, 0);
	return NULL;
}

/* Calls the function for ever. */
static void start(struct world *w, u32 function, pthread_t *thread)
{
	const u16 by = (u16)(function - (CODE + 3));
	const u8 code[] = {0xe8, (u8)by, (u8)(by >> 8),  /* call */
		0xa3, (u8)RESULT, (u8)(RESULT >> 8),     /* mov %ax, RESULT */
		0xff, 0x06, (u8)COUNT, (u8)(COUNT >> 8), /* incw COUNT */
		0xeb, 0xf4};                             /* jmp */

	atomic_store(&stop, false);
	world_code(w, code, sizeof(code));
	pthread_create(thread, NULL, run, w);
}

static void end(struct world *w, pthread_t thread)
{
	atomic_store(&stop, true);
	vcpu_kick(w->v);
	pthread_join(thread, NULL);
}

/* The function has been called twice since now, so once from beginning to end. */
static void wait_round(const struct world *w)
{
	for (unsigned i = 0; i < 2; i++) {
		u16 before = word_at(w, COUNT);

		while (word_at(w, COUNT) == before)
			sched_yield();
	}
}

static void gives(const struct world *w, u16 value)
{
	wait_round(w);
	assert_int_equal(word_at(w, RESULT), value);
}

static void test_owner_executes(void **state)
{
	pthread_t thread;

	open_both();
	start(&owner, PAGE, &thread);
	gives(&owner, 0x1111);
	for (u8 i = 0; i < 20; i++) {
		show();
		gives(&owner, 0x1100 + (i ? i : 0x11));
		store(&guest, PLACE + 1, 0x80);
		gives(&owner, 0x1180);
		store(&guest, PLACE + 1, i + 1);
		gives(&owner, 0x1101 + i);
		hide();
		gives(&owner, 0x1101 + i);
	}
	end(&owner, thread);
	close_both();
}

static void test_guest_executes(void **state)
{
	pthread_t thread;

	open_both();
	start(&guest, PLACE, &thread);
	gives(&guest, 0x2222);
	for (u8 i = 0; i < 20; i++) {
		show();
		gives(&guest, 0x1100 + (i ? i : 0x11));
		store(&owner, PAGE + 1, 0x80);
		gives(&guest, 0x1180);
		store(&owner, PAGE + 1, i + 1);
		gives(&guest, 0x1101 + i);
		hide();
		gives(&guest, 0x2222);
	}
	end(&guest, thread);
	close_both();
}

/* The guest writes there what it executes there. */
static void test_self_modifying(void **state)
{
	static const u8 code[] = {0xc6, 0x06, 0x01, 0x50, 0x55, /* movb $0x55, PLACE + 1 */
		0xe8, 0xf8, 0x3f, 0xf4};                        /* call PLACE; hlt */

	open_both();
	for (unsigned i = 0; i < 3; i++) {
		put_function(&owner, PAGE, 0x1111);
		put_function(&guest, PLACE, 0x2222);
		show();
		run_code(&guest, code, sizeof(code));
		assert_int_equal((u16)gpr_of(guest.v, RAX), 0x1155);
		hide();
		run_code(&guest, code, sizeof(code));
		assert_int_equal((u16)gpr_of(guest.v, RAX), 0x2255);
		assert_int_equal(owner.ram[PAGE + 1], 0x55);
	}
	close_both();
}

/* An instruction of which the second half is there. */
static void test_crossing(void **state)
{
	static const u8 code[] = {0xe9, 0xfb, 0x3f}; /* jmp PLACE - 2 */

	open_both();
	memcpy(guest.ram + PLACE - 2, "\xb8\x66", 2); /* mov $..66, %ax */
	memcpy(guest.ram + PLACE, "\x22\xf4", 2);
	memcpy(owner.ram + PAGE, "\x11\xf4", 2);
	for (unsigned i = 0; i < 3; i++) {
		run_code(&guest, code, sizeof(code));
		assert_int_equal((u16)gpr_of(guest.v, RAX), 0x2266);
		show();
		run_code(&guest, code, sizeof(code));
		assert_int_equal((u16)gpr_of(guest.v, RAX), 0x1166);
		hide();
	}
	close_both();
}

/* A page of its own at a second address. */
static void test_own_page(void **state)
{
	pthread_t thread;

	open_both();
	put_function(&guest, PAGE, 0x3333);
	assert_int_equal(machine_overlay_page(guest.m, PLACE, guest.ram + PAGE), 0);
	start(&guest, PAGE, &thread);
	gives(&guest, 0x3333);
	assert_int_equal(machine_write(guest.m, PLACE + 1, "\x44", 1), 0);
	gives(&guest, 0x3344);
	assert_int_equal(machine_remove_overlay(guest.m, PLACE), 0);
	gives(&guest, 0x3344);
	assert_int_equal(machine_write(guest.m, PAGE + 1, "\x45", 1), 0);
	gives(&guest, 0x3345);
	end(&guest, thread);
	close_both();
}

/* ---- a life ---- */

static int slot(u32 id, u32 flags, u64 gpa, u64 size, const u8 *hva)
{
	const struct memslot_config c = {
		.id = id, .flags = flags, .gpa = gpa, .size = size, .hva = (u64)hva};

	return machine_set_memslot(guest.m, &c);
}

static void test_life(void **state)
{
	const u64 high = 0x100000;
	u8 *memory = aligned_alloc(4096, 4 * 4096), *page, byte;

	open_both();
	page = owner.ram + PAGE;
	memset(memory, 0x5a, 4 * 4096);
	assert_int_equal(machine_overlay_page(guest.m, PLACE + 1, page), -EINVAL);
	assert_int_equal(machine_overlay_page(guest.m, PLACE, page + 1), -EINVAL);
	assert_int_equal(machine_overlay_page(guest.m, PLACE, (void *)BIT64(47)), -EINVAL);
	assert_int_equal(machine_overlay_page(guest.m, BIT64(52), page), -EINVAL);
	assert_int_equal(machine_overlay_page(guest.m, high, page), -ENOENT);
	assert_int_equal(machine_remove_overlay(guest.m, PLACE), -ENOENT);
	assert_int_equal(machine_remove_overlay(guest.m, ~0ull), -ENOENT);
	assert_int_equal(machine_share_memory(guest.m, page + 1, true), -EINVAL);
	assert_int_equal(machine_share_memory(guest.m, page, false), -ENOENT);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(machine_share_memory(guest.m, page, true), 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(machine_share_memory(guest.m, page, false), 0);
	assert_int_equal(machine_share_memory(guest.m, page, false), -ENOENT);

	/* It goes with its slot, and only then. */
	assert_int_equal(slot(1, 0, high, 4 * 4096, memory), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(machine_overlay_page(guest.m, high + i * 4096ull, page), 0);
	assert_int_equal(machine_overlay_page(guest.m, PLACE, page), 0);
	assert_int_equal(machine_overlay_page(guest.m, PLACE, page), -EEXIST);
	assert_int_equal(machine_remove_overlay(guest.m, PLACE + 1), -ENOENT);
	assert_int_equal(slot(1, SLOT_LOG_DIRTY, high, 4 * 4096, memory), 0);
	assert_int_equal(machine_read(guest.m, high + 4096, &byte, 1), 0);
	assert_int_equal(byte, 0xb8);
	assert_int_equal(slot(1, 0, 2 * high, 4 * 4096, memory), 0);
	assert_int_equal(machine_read(guest.m, 2 * high + 4096, &byte, 1), 0);
	assert_int_equal(byte, 0x5a);
	assert_int_equal(machine_remove_overlay(guest.m, high), -ENOENT);
	assert_int_equal(machine_overlay_page(guest.m, 2 * high, page), 0);
	assert_int_equal(slot(1, 0, 0, 0, NULL), 0);
	assert_int_equal(machine_remove_overlay(guest.m, 2 * high), -ENOENT);
	assert_int_equal(load(&guest, PLACE), 0x11b8);

	/* What the slot's pages may not, it may not. */
	assert_int_equal(slot(1, SLOT_READONLY, high, 4096, memory), 0);
	assert_int_equal(machine_overlay_page(guest.m, high, page), 0);
	assert_int_equal(machine_read(guest.m, high, &byte, 1), 0);
	assert_int_equal(byte, 0xb8);
	assert_int_equal(machine_write(guest.m, high, &byte, 1), -EFAULT);
	close_both(); /* with what there is */
	free(memory);
}

/* ---- what is where ---- */

static void is_at(u64 gpa, const void *hva, bool own, bool readonly)
{
	struct ram_page p;

	assert_int_equal(machine_page_at(guest.m, gpa, &p), 0);
	assert_ptr_equal(p.hva, hva);
	assert_int_equal(p.own, own);
	assert_int_equal(p.readonly, readonly);
}

static void test_page_at(void **state)
{
	const u64 high = 0x100000;
	u8 *memory = aligned_alloc(4096, 4 * 4096);
	struct memslot_config c = {.id = 2,
		.flags = SLOT_PRIVATE,
		.gpa = 2 * high,
		.size = 2 * 4096,
		.hva = (u64)memory,
		.private_hva = (u64)memory + 2 * 4096};
	struct ram_page p;

	open_both();
	is_at(PLACE + 5, guest.ram + PLACE, true, false);
	show();
	is_at(PLACE, owner.ram + PAGE, false, false);
	is_at(PLACE + 4096, guest.ram + PLACE + 4096, true, false);
	hide();
	is_at(PLACE, guest.ram + PLACE, true, false);
	assert_int_equal(slot(1, SLOT_READONLY, high, 4096, memory), 0);
	is_at(high, memory, true, true);
	assert_int_equal(machine_set_memslot(guest.m, &c), 0);
	assert_int_equal(machine_set_private(guest.m, c.gpa + 4096, 2 * 4096, true), 0);
	is_at(c.gpa, memory, true, false);
	is_at(c.gpa + 4096, memory + 3 * 4096, false, false);
	machine_unbind_private(guest.m, c.private_hva, 2 * 4096);
	assert_int_equal(machine_page_at(guest.m, c.gpa + 4096, &p), -ENOENT);
	assert_int_equal(machine_page_at(guest.m, high + 4096, &p), -ENOENT);
	assert_int_equal(machine_page_at(guest.m, BIT64(52), &p), -ENOENT);
	assert_int_equal(machine_page_at(guest.m, ~0ull, &p), -ENOENT);
	/* of the other address space */
	assert_int_equal(slot(SLOT_ID(1, 1), 0, 8 * high, 4096, memory), 0);
	assert_int_equal(machine_page_at(guest.m, 8 * high, &p), -ENOENT);
	close_both();
	free(memory);
}

/* ---- the memory is taken away from its owner ---- */

static unsigned told;

static enum tap_verdict go_on(void *opaque, struct vcpu *v, struct tap_event *e)
{
	return TAP_GO_ON;
}

static void take_back(void *opaque, void *hva, u64 size)
{
	assert_ptr_equal(opaque, &owner);
	assert_ptr_equal(hva, owner.ram);
	assert_int_equal(size, RAM_BYTES);
	told++;
	hide();
}

static void test_gone(void **state)
{
	static const struct tap ops = {.event = go_on, .memory_gone = take_back};
	struct memslot_config c = {.size = 0};
	pthread_t thread;

	open_both();
	show();
	start(&guest, PLACE, &thread);
	gives(&guest, 0x1111);
	assert_int_equal(machine_set_tap(owner.m, &ops, &owner), 0);
	assert_int_equal(machine_set_memslot(owner.m, &c), 0);
	assert_int_equal(told, 1);
	memset(owner.ram + PAGE, 0xf4, 4096); /* something else now */
	gives(&guest, 0x2222);
	/* What is no deletion is not told, nor one that failed. */
	assert_int_equal(machine_set_memslot(owner.m, &c), -EINVAL);
	c = (struct memslot_config){.size = RAM_BYTES, .hva = (u64)owner.ram};
	assert_int_equal(machine_set_memslot(owner.m, &c), 0);
	c.gpa = RAM_BYTES;
	assert_int_equal(machine_set_memslot(owner.m, &c), 0);
	assert_int_equal(told, 1);
	assert_int_equal(machine_set_tap(owner.m, NULL, NULL), 0);
	c = (struct memslot_config){.size = 0};
	assert_int_equal(machine_set_memslot(owner.m, &c), 0);
	assert_int_equal(told, 1);
	end(&guest, thread);
	close_both();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_data),
		cmocka_unit_test(test_owner_executes),
		cmocka_unit_test(test_guest_executes),
		cmocka_unit_test(test_self_modifying),
		cmocka_unit_test(test_crossing),
		cmocka_unit_test(test_own_page),
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_page_at),
		cmocka_unit_test(test_gone),
	};

	return cmocka_run_group_tests_name("overlays", tests, NULL, NULL);
}
