/* SPDX-License-Identifier: MIT */
/*
 * Code that knows how a cage is made, and tries everything. It may end its own process; nothing it does is seen outside,
 * and the user after it (cage_clear) runs as if it had never been.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "box.h"
#include "cage/cage_priv.h"

static void jump_to(struct box *b, u64 at)
{
	BOX_LOAD(b, jump);
	b->regs.gpr[3] = at;
}

/* Lost, with the registers of the entry; the next calls say so, too. */
static void assert_lost(struct box *b)
{
	const struct cage_regs before = b->regs;
	const struct cage_page page = {0x600000, b->ram, CAGE_READ};

	assert_int_equal(box_run(b), CAGE_LOST);
	assert_memory_equal(&b->regs, &before, sizeof(before));
	assert_int_equal(box_run(b), CAGE_LOST);
	assert_true(cage_map(b->cage, &page, 1) < 0);
	assert_true(cage_clear(b->cage) < 0);
	cage_kick(b->cage);
}

/* Another user, whose registers and vector state must come in and out. */
static void assert_next_user_is_safe(struct box *b)
{
	u64 size, *image;

	assert_int_equal(cage_clear(b->cage), 0);
	assert_int_equal(box_map(b, CODE, 0, CAGE_READ | CAGE_EXEC), 0);
	image = (u64 *)((u8 *)cage_xstate(b->cage, &size) + 160);
	BOX_LOAD(b, registers);
	for (unsigned i = 0; i < 16; i++)
		b->regs.gpr[i] = 0x1000 * i;
	image[0] = 42;
	image[(512 - 160) / 8] = 3;
	assert_int_equal(box_run(b), CAGE_TRAP);
	assert_int_equal(b->event.vector, 6);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(b->regs.gpr[i], 0x1000 * i + i + 1);
	assert_int_equal(b->regs.fs_base, 0);
	assert_int_equal(image[0], 42);
}

/* ---- memory ---- */

/* All of the page of the frames, whatever is in there. */
static void scribbles_over_the_frame(void **state)
{
	struct box *b = *state;

	for (int byte = 0; byte < 256; byte += 51) {
		BOX_LOAD(b, scribble);
		b->regs.gpr[0] = (u64)byte;
		b->regs.gpr[7] = CAGE_AREA + CAGE_FRAME;
		b->regs.gpr[1] = CAGE_FRAME_SIZE;
		b->regs.fs_base = 0x1234000;
		assert_fault(b, 0, 4);
		assert_int_equal(b->regs.gpr[1], 0);
		assert_int_equal(b->regs.fs_base, 0x1234000);
	}
	assert_next_user_is_safe(b);
}

/* Its code, what it goes on with, the commands, and the memory behind. */
static void cannot_write_the_region(void **state)
{
	const u64 at[] = {CAGE_AREA + CAGE_CODE, CAGE_AREA + CAGE_CONTROL,
		CAGE_AREA + CAGE_COMMANDS, CAGE_AREA + CAGE_FRAME - 8, CAGE_AREA + CAGE_REGION_SIZE,
		CAGE_AREA + CAGE_RAM, CAGE_AREA + CAGE_RAM + BOX_BYTES - 8};
	struct box *b = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
		BOX_LOAD(b, scribble);
		b->regs.gpr[7] = at[i];
		b->regs.gpr[1] = 1;
		assert_fault(b, at[i], 6);
		if (i < 4)
			continue;
		BOX_LOAD(b, accesses);
		b->regs.gpr[6] = at[i];
		assert_fault(b, at[i], 4);
	}
	assert_next_user_is_safe(b);
}

/* Ours: variables, the stack, a function, the region, the C library, and what is nobody's. */
static void does_not_see_its_parent(void **state)
{
	static int variable;
	struct box *b = *state;
	int local;
	const u64 at[] = {(u64)&variable, (u64)&local, (u64)&does_not_see_its_parent, (u64)b,
		(u64)b->cage, (u64)b->cage->region, (u64)b->ram, (u64)&memcpy, (u64)environ,
		0x7ffff7fc0000, 0xffffffffff600000, 0xffff888000000000, 0};

	for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
		BOX_LOAD(b, accesses);
		b->regs.gpr[6] = at[i];
		assert_int_equal(box_run(b), CAGE_FAULT);
		assert_int_equal(b->event.address, at[i]);
		assert_int_equal(b->regs.gpr[0], 0);
	}
}

/* ---- system calls ---- */

static void call_all(struct box *b, u64 from, u64 to, u32 vector)
{
	u8 *before = malloc(PAGE_SIZE);

	memcpy(before, b->ram + PAGE_SIZE, PAGE_SIZE);
	for (u64 nr = from; nr < to; nr++) {
		b->regs.rip = CODE;
		b->regs.gpr[12] = nr;
		/* As good as any: data, a length, rights, MAP_FIXED. */
		b->regs.gpr[7] = DATA;
		b->regs.gpr[6] = PAGE_SIZE;
		b->regs.gpr[2] = PROT_READ | PROT_WRITE | PROT_EXEC;
		b->regs.gpr[10] = 0x32;
		b->regs.gpr[8] = b->regs.gpr[9] = ~0ull;
		assert_trap(b, vector, CODE + 3);
		assert_int_equal(b->regs.gpr[0], nr);
		assert_int_equal(b->regs.gpr[7], DATA);
	}
	assert_memory_equal(before, b->ram + PAGE_SIZE, PAGE_SIZE);
	free(before);
}

static void no_system_call(void **state)
{
	struct box *b = *state;

	BOX_LOAD(b, calls);
	call_all(b, 0, 601, CAGE_SYSCALL);
	call_all(b, 0x40000000, 0x40000000 + 601, CAGE_SYSCALL); /* x32 */
	call_all(b, 0xfffffffffffffff0, 0xffffffffffffffff, CAGE_SYSCALL);
	BOX_LOAD(b, old_calls);
	call_all(b, 0, 601, 0x80);
	assert_next_user_is_safe(b);
}

/* ---- jumps into the code of the cage ---- */

/* It looks like a stop, and is one. What it tells is the guest's; the next user does not notice. */
static void makes_a_stop_up(void **state)
{
	struct box *b = *state;

	for (int i = 0; i < 3; i++) {
		jump_to(b, stub_at(cage_stub_parked) - 2);
		b->regs.gpr[0] = NR_PARK;
		b->regs.gpr[7] = SIGSEGV;
		b->regs.gpr[6] = b->cage->info_at;
		b->regs.gpr[2] = b->cage->frame_at;
		b->regs.gpr[10] = b->regs.gpr[8] = 0x7777;
		b->regs.gpr[4] = STACK + 0x500; /* forged, if it were used */
		assert_int_not_equal(box_run(b), CAGE_LOST);
		assert_next_user_is_safe(b);
		assert_int_equal(box_map(b, STACK, 2, CAGE_READ | CAGE_WRITE), 0);
	}
}

/* And a kick that comes while such a runner waits, with no signal blocked: the kernel writes a frame. */
static void makes_a_stop_up_and_is_kicked(void **state)
{
	struct box *b = *state;
	struct cage_regs before;

	jump_to(b, stub_at(cage_stub_parked) - 2);
	b->regs.gpr[0] = NR_PARK;
	b->regs.gpr[7] = SIGSEGV;
	b->regs.gpr[6] = b->cage->info_at;
	b->regs.gpr[2] = b->cage->frame_at;
	assert_int_not_equal(box_run(b), CAGE_LOST);
	assert_int_equal(cage_clear(b->cage), 0);
	assert_int_equal(box_map(b, CODE, 0, CAGE_READ | CAGE_EXEC), 0);
	cage_kick(b->cage);
	BOX_LOAD(b, registers);
	before = b->regs;
	assert_int_equal(box_run(b), CAGE_LOST);
	assert_memory_equal(&b->regs, &before, sizeof(before));
}

/* What would fault in whoever loads it: bases that are no addresses, and bits of MXCSR that are none. */
static void makes_up_what_cannot_be(void **state)
{
	for (unsigned reg = 8; reg <= 10; reg += 2) {
		struct box b;

		box_open(&b);
		jump_to(&b, stub_at(cage_stub_parked) - 2);
		b.regs.gpr[0] = NR_PARK;
		b.regs.gpr[7] = SIGSEGV;
		b.regs.gpr[6] = b.cage->info_at;
		b.regs.gpr[2] = b.cage->frame_at;
		b.regs.gpr[reg] = BIT64(63);
		b.regs.gpr[18 - reg] = 0;
		assert_lost(&b);
		box_close(&b);
	}
}

static void makes_mxcsr_up(void **state)
{
	struct box *b = *state;
	u64 size;
	u32 mxcsr;

	BOX_LOAD(b, mxcsr);
	b->regs.gpr[0] = NR_PARK;
	b->regs.gpr[1] = b->cage->first.fpstate + 24;
	b->regs.gpr[7] = SIGSEGV;
	b->regs.gpr[6] = b->cage->info_at;
	b->regs.gpr[2] = b->cage->frame_at;
	b->regs.gpr[8] = b->regs.gpr[10] = 0;
	b->regs.gpr[3] = stub_at(cage_stub_parked) - 2;
	assert_int_not_equal(box_run(b), CAGE_LOST);
	memcpy(&mxcsr, (const u8 *)cage_xstate(b->cage, &size) + 24, sizeof(mxcsr));
	assert_int_equal(mxcsr & ~b->cage->mxcsr_mask, 0);
	assert_true(mxcsr != 0x1f80);
}

static void waits_elsewhere(void **state)
{
	struct box *b = *state;

	jump_to(b, stub_at(cage_stub_parked) - 2);
	b->regs.gpr[0] = NR_PARK;
	b->regs.gpr[7] = SIGSEGV;
	b->regs.gpr[6] = b->cage->info_at;
	b->regs.gpr[2] = b->cage->frame_at - 64;
	assert_lost(b);
}

static void calls_the_handler(void **state)
{
	struct box *b = *state;

	jump_to(b, stub_at(cage_stub_handler));
	b->regs.gpr[6] = STACK;
	b->regs.gpr[2] = STACK;
	assert_lost(b);
}

/* A frame with all signals blocked, another stack for the handlers, and an endless loop. */
static void forge(struct box *b, struct kernel_frame *f)
{
	*f = b->cage->first;
	f->rip = CODE + 0x800;
	f->rsp = STACK;
	f->stack = DATA;
	f->stack_size = PAGE_SIZE;
	f->sigmask = ~0ull;
	f->fpstate = 0;
	memcpy(b->ram + 0x800, "\xeb\xfe", 2);
}

static void returns_from_a_signal(struct box *b, u64 key)
{
	struct kernel_frame *f = (struct kernel_frame *)(b->ram + 2 * PAGE_SIZE + 0x100);

	jump_to(b, stub_at(cage_stub_returned) - 2);
	forge(b, f);
	b->regs.gpr[0] = SYS_rt_sigreturn;
	b->regs.gpr[4] = STACK + 0x100;
	b->regs.gpr[7] = key;
	assert_lost(b);
}

static void returns_without_the_key(void **state)
{
	struct box *b = *state;

	returns_from_a_signal(b, b->cage->key ^ 1);
}

static void returns_with_a_key_of_0(void **state)
{
	returns_from_a_signal(*state, 0);
}

static void returns_with_half_of_the_key(void **state)
{
	struct box *b = *state;

	returns_from_a_signal(b, (u32)b->cage->key);
}

/* Through the code before it: that takes the parent's frame, not one of the guest's. */
static void goes_on_without_an_answer(void **state)
{
	struct box *b = *state;

	jump_to(b, stub_at(cage_stub_parked));
	b->regs.gpr[0] = 5;
	assert_lost(b);
}

/* The key is nowhere where the guest can read, and in none of its registers. */
static void does_not_find_the_key(void **state)
{
	struct box *b = *state;

	BOX_LOAD(b, registers);
	assert_int_equal(box_run(b), CAGE_TRAP);
	for (u64 at = 0; at < CAGE_REGION_SIZE - 8; at++)
		assert_false(!memcmp(b->cage->region + at, &b->cage->key, 8));
	for (unsigned i = 0; i < 16; i++)
		assert_int_not_equal(b->regs.gpr[i], b->cage->key);
}

static void maps_memory(void **state)
{
	struct box *b = *state;

	jump_to(b, stub_at(cage_stub_mapped) - 2);
	b->regs.gpr[0] = SYS_mprotect;
	b->regs.gpr[7] = CAGE_AREA + CAGE_RAM;
	b->regs.gpr[6] = PAGE_SIZE;
	b->regs.gpr[2] = PROT_READ | PROT_WRITE;
	b->regs.gpr[13] = 1;
	assert_lost(b);
}

static void plays_the_mapper(void **state)
{
	struct box *b = *state;

	jump_to(b, stub_at(cage_stub_mapper));
	assert_lost(b);
}

static void plays_the_watcher(void **state)
{
	struct box *b = *state;

	jump_to(b, stub_at(cage_stub_watcher));
	assert_lost(b);
}

static void begins_again(void **state)
{
	struct box *b = *state;

	jump_to(b, stub_at(cage_stub_runner));
	assert_lost(b);
}

/* At each byte of it, with registers that would do something. */
static void jumps_anywhere(void **state)
{
	const u64 bytes = (u64)(cage_stub_end - cage_stub);

	for (u64 at = 0; at < bytes; at += 3) {
		struct box b;
		enum cage_stop stop;

		box_open(&b);
		jump_to(&b, CAGE_AREA + at);
		b.regs.gpr[0] = SYS_munmap;
		b.regs.gpr[7] = CAGE_AREA;
		b.regs.gpr[6] = CAGE_REGION_SIZE;
		b.regs.gpr[13] = 1;
		b.regs.gpr[14] = DATA;
		stop = box_run(&b);
		assert_true(stop <= CAGE_LOST);
		if (stop != CAGE_LOST)
			assert_next_user_is_safe(&b);
		box_close(&b);
	}
}

/* 32-bit code of the host's, by a far jump. */
static void changes_the_mode(void **state)
{
	struct box *b = *state;

	box_code(b, "\xff\x2b", 2); /* JMP FAR [RBX] */
	memcpy(b->ram + PAGE_SIZE, "\0\0\x60\0\x23\0", 6);
	b->regs.gpr[3] = DATA;
	assert_lost(b);
}

/* Without a stack, without a base, at the end of the addresses. */
static void registers_that_mean_nothing(void **state)
{
	struct box *b = *state;

	BOX_LOAD(b, sum);
	b->regs.gpr[1] = 4;
	b->regs.gpr[4] = 0xfffffffffffffff8;
	assert_int_equal(box_run(b), CAGE_TRAP);
	assert_int_equal(b->regs.gpr[0], 10);
	for (u64 at = 0x7ffffffff000; at; at <<= 1) {
		b->regs.rip = at;
		assert_int_not_equal(box_run(b), CAGE_LOST);
		assert_int_equal(b->regs.rip, at);
	}
	assert_next_user_is_safe(b);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, box_setup, box_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(scribbles_over_the_frame),
		TEST(cannot_write_the_region), TEST(does_not_see_its_parent), TEST(no_system_call),
		TEST(makes_a_stop_up), TEST(makes_a_stop_up_and_is_kicked),
		cmocka_unit_test(makes_up_what_cannot_be), TEST(makes_mxcsr_up),
		TEST(waits_elsewhere), TEST(calls_the_handler), TEST(returns_without_the_key),
		TEST(returns_with_a_key_of_0), TEST(returns_with_half_of_the_key),
		TEST(goes_on_without_an_answer), TEST(does_not_find_the_key), TEST(maps_memory),
		TEST(plays_the_mapper), TEST(plays_the_watcher), TEST(begins_again),
		cmocka_unit_test(jumps_anywhere), TEST(changes_the_mode),
		TEST(registers_that_mean_nothing)};

	return box_main(tests, ARRAY_SIZE(tests));
}
