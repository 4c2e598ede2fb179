/* SPDX-License-Identifier: MIT */
/* Code that changes: by itself, by other processors, through other addresses, behind the engine's back. */
#include "tests/guest/guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define PAGE __attribute__((aligned(4096)))
static volatile u8 arena[8][4096] PAGE;

typedef u64 (*code0)(void);
typedef u64 (*code2)(u64 a, void *b);

static void put(volatile u8 *at, const u8 *code, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		at[i] = code[i];
}
#define PUT(at, ...) put(at, (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))

static u64 run0(volatile u8 *at)
{
	return ((code0)(u64)at)();
}

/* mov $n, %eax; ret */
static void put_return(volatile u8 *at, u8 n)
{
	PUT(at, 0xb8, n, 0, 0, 0, 0xc3);
}

/* ---- one processor ---- */

static void same_block(unsigned cpu)
{
	volatile u8 *c = arena[0];

	/* movb %dil, 1+imm(%rip); mov $0, %eax; ret: each call patches the next instruction */
	PUT(c, 0x40, 0x88, 0x3d, 1, 0, 0, 0, 0xb8, 0, 0, 0, 0, 0xc3);
	for (u64 i = 0; i < 2000; i++)
		guest_check(((code2)(u64)c)(i & 0xff, NULL) == (i & 0xff));
}

static void same_and_other_page(unsigned cpu)
{
	for (unsigned i = 0; i < 3000; i++) {
		volatile u8 *c = arena[i & 1] + (i % 7) * 64;

		put_return(c, (u8)i);
		guest_check(run0(c) == (u8)i);
		c[1] = (u8)(i + 1);
		guest_check(run0(c) == (u8)(i + 1));
	}
}

/* A block that leaves the flags dead for its successor, which then begins to read them. */
static void flags_of_successor(unsigned cpu)
{
	static volatile u64 word;
	volatile u8 *c = arena[0];
	volatile u8 *succ = c + 6 + 2 * 62; /* blocks end after 64 instructions */

	/* add %rdi, %rdi (carry = bit 63); mov %rdi, (%rsi); then mov %ecx, %ecx */
	PUT(c, 0x48, 0x01, 0xff, 0x48, 0x89, 0x3e);
	for (volatile u8 *at = c + 6; at < succ; at += 2)
		PUT(at, 0x89, 0xc9);
	for (unsigned round = 0; round < 50; round++) {
		PUT(succ, 0x31, 0xc0, 0x39, 0xc0, 0x90, 0x90,
			0xc3); /* xor %eax, %eax; cmp %eax, %eax; ret */
		for (unsigned i = 0; i < 5; i++)
			guest_check(((code2)(u64)c)(~0ull, (void *)&word) == 0);
		PUT(succ, 0x0f, 0x92, 0xc0, 0x0f, 0xb6, 0xc0, 0xc3); /* setc %al; movzx; ret */
		for (unsigned i = 0; i < 5; i++) {
			guest_check(((code2)(u64)c)(~0ull, (void *)&word) == 1);
			guest_check(((code2)(u64)c)(1, (void *)&word) == 0);
		}
	}
}

static void through_alias(unsigned cpu)
{
	u64 alias = 0x700000000000ull;
	volatile u8 *data = (volatile u8 *)alias;

	map_page(alias, gpa_of(arena[2]), PTE_P | PTE_W);
	for (unsigned i = 0; i < 2000; i++) {
		put_return(data + 0x100, (u8)i);
		guest_check(run0(arena[2] + 0x100) == (u8)i);
		put_return(arena[2] + 0x100, (u8)~i);
		guest_check(run0(data + 0x100) == (u8)~i);
	}
}

/* Code and hot data in one page, as a careless JIT makes it. */
static void mixed_page(unsigned cpu)
{
	volatile u64 *counter = (volatile u64 *)(arena[3] + 2048);
	volatile u8 *c = arena[3];

	/* incq (%rsi); lock xadd %rdi, 8(%rsi); push %rdi; pop %rax; ret */
	PUT(c, 0x48, 0xff, 0x06, 0xf0, 0x48, 0x0f, 0xc1, 0x7e, 0x08, 0x57, 0x58, 0xc3);
	counter[0] = counter[1] = 0;
	for (u64 i = 0; i < 5000; i++)
		guest_check(((code2)(u64)c)(3, (void *)counter) == i * 3);
	guest_check(counter[0] == 5000 && counter[1] == 15000);
}

static void string_store_over_code(unsigned cpu)
{
	for (unsigned i = 0; i < 500; i++) {
		volatile u8 *c = arena[4] + 0x200;
		void *d = (void *)(arena[4] + 0x100);
		u64 n = 0x200;

		put_return(c, 7);
		guest_check(run0(c) == 7);
		/* nop all of it, then a return */
		__asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(0x90) : "memory");
		PUT((volatile u8 *)arena[4] + 0x300, 0xb8, (u8)i, 0, 0, 0, 0xc3);
		guest_check(run0(c) == (u8)i);
	}
}

/* Each possible place of a page boundary in mov $imm64, %rax; and both halves are patched. */
static void across_pages(unsigned cpu)
{
	for (unsigned round = 0; round < 40; round++) {
		for (unsigned before = 1; before < 10; before++) {
			volatile u8 *c = arena[5] + 4096 - before;
			u64 want = 0x1122334455667788ull * (round + 1);

			PUT(c, 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xc3);
			for (unsigned i = 0; i < 8; i++)
				c[2 + i] = (u8)(want >> (8 * i));
			guest_check(run0(c) == want);
			c[2] = 0xaa;
			guest_check(run0(c) == ((want & ~0xffull) | 0xaa));
			c[9] = 0x55;
			guest_check(run0(c) >> 56 == 0x55);
		}
	}
}

static void run_alone(void (*fn)(unsigned cpu))
{
	struct world w;

	world_open(&w, 1);
	world_run(&w, fn, NULL);
	world_close(&w);
}
#define ALONE(name)                                                                                \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		run_alone(name);                                                                   \
	}
ALONE(same_block)
ALONE(same_and_other_page)
ALONE(flags_of_successor)
ALONE(through_alias)
ALONE(mixed_page)
ALONE(string_store_over_code)
ALONE(across_pages)

/* ---- by the caller ---- */

static u64 host_value;

static void host_patches(struct world *w, unsigned cpu, u32 n)
{
	put_return(arena[6], (u8)n);
}

static void patched_then_cr3(unsigned cpu)
{
	put_return(arena[6], 1);
	for (unsigned i = 0; i < 300; i++) {
		host_call(i & 0xff);
		write_cr3(read_cr3());
		guest_check(run0(arena[6]) == (i & 0xff));
		guest_check(run0(arena[6]) == (i & 0xff));
	}
}

static void test_host_patch_cr3(void **state)
{
	struct world w;

	world_open(&w, 1);
	w.call = host_patches;
	world_run(&w, patched_then_cr3, NULL);
	world_close(&w);
}

static void call_page6(unsigned cpu)
{
	host_value = run0(arena[6]);
}

/* A program that loads new code and sets the registers anew, as small VMMs do. */
static void test_host_patch_set_regs(void **state)
{
	struct world w;

	struct vcpu_state s;

	world_open(&w, 1);
	for (unsigned i = 0; i < 50; i++) {
		put_return(arena[6], (u8)i);
		if (i == 0) {
			world_aim(&w, 0, call_page6);
			vcpu_get(w.vcpu[0], ST_REGS, &s);
		}
		vcpu_set(w.vcpu[0], ST_REGS, &s);
		world_run_one(&w, 0);
		assert_int_equal(host_value, i);
	}
	world_close(&w);
}

static void test_host_patch_machine_write(void **state)
{
	struct world w;

	world_open(&w, 1);
	put_return(arena[6], 0);
	world_aim(&w, 0, call_page6);
	for (unsigned i = 0; i < 50; i++) {
		u8 n = (u8)i;

		world_aim(&w, 0, call_page6);
		assert_int_equal(machine_write(w.m, gpa_of(arena[6] + 1), &n, 1), 0);
		world_run_one(&w, 0);
		assert_int_equal(host_value, i);
	}
	world_close(&w);
}

/* ---- several processors ---- */

static volatile u32 ready, version;
static volatile u32 seen[CPUS_MAX];
static u32 cpus;

static void on_ipi(struct frame *f)
{
	apic_eoi(); /* iret serialises */
}

/* Cpu 0 writes new code, interrupts the others, and they must execute it. */
static void patch_others(unsigned cpu)
{
	apic_on();
	irq_on();
	if (cpu) {
		__atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
		for (u32 v = 1; v <= 300; v++) {
			while (version < v)
				relax();
			serialise();
			guest_check(run0(arena[7]) == (u8)v);
			seen[cpu] = v;
		}
		return;
	}
	while (ready < cpus - 1)
		relax();
	for (u32 v = 1; v <= 300; v++) {
		put_return(arena[7], (u8)v);
		guest_check(run0(arena[7]) == (u8)v);
		version = v;
		for (u32 i = 1; i < cpus; i++) {
			apic_ipi(i, 0x40);
			while (seen[i] < v)
				relax();
		}
	}
}

/* The others execute while cpu 0 writes an aligned immediate: they see only values that were there. */
static void patch_while_running(unsigned cpu)
{
	volatile u32 *imm = (volatile u32 *)(arena[7] + 4);

	if (cpu == 0) {
		PUT(arena[7] + 3, 0xb8, 0, 0, 0, 0, 0xc3);
		version = 1;
		for (u32 v = 0; v < 5000; v++)
			*imm = (v & 0xff) * 0x01010101;
		version = 2;
		return;
	}
	while (version == 0)
		relax();
	while (version == 1) {
		u32 v = (u32)run0(arena[7] + 3);

		guest_check(v == (v & 0xff) * 0x01010101);
	}
}

/* Locked arithmetic on a page that holds code is still atomic. */
static void locked_on_code_page(unsigned cpu)
{
	volatile u64 *counter = (volatile u64 *)(arena[7] + 1024);

	if (cpu == 0) {
		put_return(arena[7], 1);
		guest_check(run0(arena[7]) == 1);
		version = 1;
	}
	while (version == 0)
		relax();
	for (unsigned i = 0; i < 20000; i++) {
		__asm__ volatile("lock incq %0" : "+m"(counter[0]));
		__atomic_fetch_add(&counter[1], 1, __ATOMIC_SEQ_CST);
		if ((i & 255) == 0)
			guest_check(run0(arena[7]) == 1);
	}
}

static void run_together(unsigned n, void (*fn)(unsigned cpu))
{
	struct world w;

	ready = version = 0;
	for (unsigned i = 0; i < CPUS_MAX; i++)
		seen[i] = 0;
	for (unsigned i = 0; i < 4096; i++)
		arena[7][i] = 0;
	cpus = n;
	world_open(&w, n);
	handlers[0x40] = on_ipi;
	world_run(&w, fn, NULL);
	world_close(&w);
}

static void test_patch_others(void **state)
{
	run_together(2, patch_others);
	run_together(4, patch_others);
}

static void test_patch_while_running(void **state)
{
	run_together(2, patch_while_running);
	run_together(4, patch_while_running);
}

static void test_locked_on_code_page(void **state)
{
	for (unsigned n = 2; n <= 4; n += 2) {
		run_together(n, locked_on_code_page);
		assert_int_equal(((volatile u64 *)(arena[7] + 1024))[0], n * 20000);
		assert_int_equal(((volatile u64 *)(arena[7] + 1024))[1], n * 20000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_block),
		cmocka_unit_test(test_same_and_other_page),
		cmocka_unit_test(test_flags_of_successor),
		cmocka_unit_test(test_through_alias),
		cmocka_unit_test(test_mixed_page),
		cmocka_unit_test(test_string_store_over_code),
		cmocka_unit_test(test_across_pages),
		cmocka_unit_test(test_host_patch_cr3),
		cmocka_unit_test(test_host_patch_set_regs),
		cmocka_unit_test(test_host_patch_machine_write),
		cmocka_unit_test(test_patch_others),
		cmocka_unit_test(test_patch_while_running),
		cmocka_unit_test(test_locked_on_code_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
