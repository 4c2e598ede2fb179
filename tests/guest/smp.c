/* SPDX-License-Identifier: MIT */
/* Several processors: atomics, memory order, interrupts between them, INIT and SIPI, a code cache that runs full. */
#include "tests/guest/guest.h"
#include "tests/small_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "engine/core/machine.h"

#define PAGE  __attribute__((aligned(4096)))
#define ALIGN __attribute__((aligned(64)))

static u32 cpus;
static volatile u32 at_barrier ALIGN;

static void barrier(u32 *phase)
{
	*phase += cpus;
	__atomic_add_fetch(&at_barrier, 1, __ATOMIC_SEQ_CST);
	while (at_barrier < *phase)
		relax();
}

static void run_together(unsigned n, void (*fn)(unsigned cpu))
{
	struct world w;

	at_barrier = 0;
	cpus = n;
	world_open(&w, n);
	world_run(&w, fn, NULL);
	world_close(&w);
}

/* ---- counters ---- */

#define COUNTS 30000
static volatile u64 by_inc ALIGN, by_cmpxchg ALIGN, by_lock ALIGN;
static volatile u32 lock_word ALIGN;
static volatile u64 pair[2] ALIGN;

static void add_pair(void)
{
	u64 lo = pair[0], hi = pair[1];
	bool done;

	do {
		__asm__ volatile("lock cmpxchg16b %1"
				 : "=@ccz"(done), "+m"(pair), "+a"(lo), "+d"(hi)
				 : "b"(lo + 1), "c"(hi + 3)
				 : "memory");
	} while (!done);
}

static void count(unsigned cpu)
{
	for (unsigned i = 0; i < COUNTS; i++) {
		u64 old = by_cmpxchg;

		__asm__ volatile("lock incq %0" : "+m"(by_inc));
		while (!__atomic_compare_exchange_n(
			&by_cmpxchg, &old, old + 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			;
		while (__atomic_exchange_n(&lock_word, 1, __ATOMIC_ACQUIRE))
			relax();
		by_lock = by_lock + 1;
		__atomic_store_n(&lock_word, 0, __ATOMIC_RELEASE);
		add_pair();
	}
}

static void test_counters(void **state)
{
	for (unsigned n = 2; n <= 4; n += 2) {
		by_inc = by_cmpxchg = by_lock = pair[0] = pair[1] = 0;
		run_together(n, count);
		assert_int_equal(by_inc, n * COUNTS);
		assert_int_equal(by_cmpxchg, n * COUNTS);
		assert_int_equal(by_lock, n * COUNTS);
		assert_int_equal(pair[0], n * COUNTS);
		assert_int_equal(pair[1], n * COUNTS * 3);
	}
}

/* ---- message passing: what is published after the data is never seen before them ---- */

static volatile u64 message[16] ALIGN;
static volatile u64 sequence ALIGN, taken ALIGN;

static void pass_messages(unsigned cpu)
{
	for (u64 i = 1; i <= 20000; i++) {
		if (cpu == 0) {
			for (unsigned k = 0; k < 16; k++)
				message[k] = i * 16 + k;
			sequence = i;
			while (taken != i)
				relax();
		} else {
			while (sequence != i)
				relax();
			for (unsigned k = 0; k < 16; k++)
				guest_check(message[15 - k] == i * 16 + 15 - k);
			taken = i;
		}
	}
}

static void test_message_passing(void **state)
{
	sequence = taken = 0;
	run_together(2, pass_messages);
}

/* Store buffering: r0 = r1 = 0 is allowed without a fence and forbidden with one. */
static volatile u32 x ALIGN, y ALIGN, result[2] ALIGN;

static void store_buffering(unsigned cpu)
{
	u32 phase = 0;

	for (unsigned i = 0; i < 1500; i++) {
		if (cpu == 0)
			x = y = 0;
		barrier(&phase);
		*(cpu ? &y : &x) = 1;
		__asm__ volatile("mfence" : : : "memory");
		result[cpu] = *(cpu ? &x : &y);
		barrier(&phase);
		guest_check(result[0] || result[1]);
		barrier(&phase);
	}
}

static void test_store_buffering(void **state)
{
	run_together(2, store_buffering);
}

/* ---- interrupts between processors ---- */

#define ROUNDS 3000
static volatile u32 balls ALIGN;
static volatile u32 caught[CPUS_MAX] ALIGN;

static void on_ball(struct frame *f)
{
	u32 next = __atomic_add_fetch(&balls, 1, __ATOMIC_SEQ_CST);

	caught[next % cpus]++;
	apic_eoi();
	if (next < ROUNDS)
		apic_ipi(next % cpus, 0x41);
}

static void halt_until_done(unsigned cpu)
{
	u32 phase = 0;

	apic_on();
	irq_on();
	barrier(&phase);
	if (cpu == 0)
		apic_ipi(0, 0x41);
	for (;;) {
		irq_off();
		if (balls >= ROUNDS)
			break;
		__asm__ volatile("sti; hlt" : : : "memory");
	}
	/* Wake those who went to sleep before the last ball. */
	apic_icr(0xc4000 | 0x42);
}

static void on_wake(struct frame *f)
{
	apic_eoi();
}

static void test_ipi_ping_pong(void **state)
{
	for (unsigned n = 2; n <= 4; n += 2) {
		struct world w;

		balls = at_barrier = 0;
		cpus = n;
		world_open(&w, n);
		handlers[0x41] = on_ball;
		handlers[0x42] = on_wake;
		world_run(&w, halt_until_done, NULL);
		world_close(&w);
	}
}

/* ---- TLB shootdown ---- */

#define SHARED_LIN 0x600000000000ull
static volatile u64 frames[2][512] PAGE;
static volatile u32 acknowledged ALIGN, writers_stop ALIGN;

static void on_shootdown(struct frame *f)
{
	invlpg(SHARED_LIN);
	__atomic_add_fetch(&acknowledged, 1, __ATOMIC_SEQ_CST);
	apic_eoi();
}

/* The others write through the shared mapping; after each shootdown nothing may arrive in the old page. */
static void shoot(unsigned cpu)
{
	volatile u64 *shared = (volatile u64 *)SHARED_LIN;
	u32 phase = 0;

	apic_on();
	irq_on();
	barrier(&phase);
	while (cpu && !writers_stop) {
		shared[cpu] = shared[cpu] + 1;
		shared[64 + cpu]++;
	}
	if (cpu)
		return;
	for (unsigned i = 0; i < 400; i++) {
		u64 before[CPUS_MAX];

		map_page(SHARED_LIN, gpa_of(frames[(i + 1) & 1]), PTE_P | PTE_W);
		invlpg(SHARED_LIN);
		acknowledged = 0;
		apic_icr(0xc4000 | 0x43);
		while (acknowledged < cpus - 1)
			relax();
		for (unsigned k = 1; k < cpus; k++)
			before[k] = frames[i & 1][k];
		for (unsigned spin = 0; spin < 200; spin++)
			relax();
		for (unsigned k = 1; k < cpus; k++)
			guest_check(frames[i & 1][k] == before[k]);
	}
	writers_stop = 1;
}

static void test_shootdown(void **state)
{
	for (unsigned n = 2; n <= 4; n += 2) {
		struct world w;

		writers_stop = at_barrier = 0;
		cpus = n;
		world_open(&w, n);
		map_page(SHARED_LIN, gpa_of(frames[0]), PTE_P | PTE_W);
		handlers[0x43] = on_shootdown;
		world_run(&w, shoot, NULL);
		world_close(&w);
	}
}

/* ---- INIT and SIPI ---- */

static volatile u32 started ALIGN;

/* Real mode at 0x8000: lock incw 0x9000; 1: pause; jmp 1b */
static const u8 trampoline[] = {0xf0, 0xff, 0x06, 0x00, 0x90, 0xf3, 0x90, 0xeb, 0xfc};

static void start_others(unsigned cpu)
{
	volatile u16 *count_up = (volatile u16 *)0x9000;
	volatile u8 *low = (volatile u8 *)0x8000;

	if (cpu) {
		started = 1;
		for (;;)
			relax();
	}
	while (!started)
		relax();
	for (unsigned i = 0; i < sizeof(trampoline); i++)
		low[i] = trampoline[i];
	apic_on();
	for (u16 i = 1; i <= 50; i++) {
		apic_icr(1ull << 32 | 0x4500); /* INIT */
		apic_icr(1ull << 32 | 0x4608); /* SIPI, 0x8000 */
		while (*count_up < i)
			relax();
	}
	host_call(0);
}

static void stop_cpu1(struct world *w, unsigned cpu, u32 n)
{
	w->abandon = true;
	vcpu_kick(w->vcpu[1]);
}

static void test_init_sipi(void **state)
{
	struct world w;

	started = 0;
	cpus = 2;
	world_open(&w, 2);
	w.call = stop_cpu1;
	world_run(&w, start_others, NULL);
	world_close(&w);
}

/* ---- a code cache that is full all the time ---- */

static volatile u8 code[CPUS_MAX][64][4096] PAGE;

static void fill_cache(unsigned cpu)
{
	for (u32 round = 0; round < 6; round++) {
		for (u32 i = 0; i < 64; i++) {
			volatile u8 *c = code[cpu][i];

			for (u32 k = 0; k < 40; k++) { /* add $1, %eax; jmp +0 */
				static const u8 part[] = {0x83, 0xc0, 0x01, 0xeb, 0x00};

				for (u32 b = 0; b < 5; b++)
					c[k * 5 + b] = part[b];
			}
			/* jmp to the ret of the next page, which is written now, or of this one */
			u32 to = (i < 63 ? 4096u : 0) + 2048;
			c[to] = 0xc3;
			c[200] = 0xe9;
			*(volatile u32 *)(c + 201) = to - 205;
			u32 sum = round;
			__asm__ volatile("call *%1" : "+a"(sum) : "r"(c) : "memory", "cc");
			guest_check(sum == round + 40);
			__atomic_add_fetch(&by_inc, 1, __ATOMIC_SEQ_CST);
		}
	}
}

static void test_small_cache(void **state)
{
	for (unsigned n = 1; n <= 4; n *= 2) {
		struct world w;
		u32 epoch_before;

		by_inc = at_barrier = 0;
		cpus = n;
		world_open(&w, n);
		epoch_before = atomic_load(&w.m->code->epoch);
		small_cache(w.m->code, n);
		world_run(&w, fill_cache, NULL);
		assert_int_equal(by_inc, n * 6 * 64);
		assert_true(atomic_load(&w.m->code->epoch) > epoch_before + 3);
		world_close(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counters),
		cmocka_unit_test(test_message_passing),
		cmocka_unit_test(test_store_buffering),
		cmocka_unit_test(test_ipi_ping_pong),
		cmocka_unit_test(test_shootdown),
		cmocka_unit_test(test_init_sipi),
		cmocka_unit_test(test_small_cache),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
