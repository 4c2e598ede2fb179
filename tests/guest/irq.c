/* SPDX-License-Identifier: MIT */
/* Interrupts at every kind of instruction: a timer storm over string moves, tight loops, halts, deep recursion. */
#include "tests/guest/guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define PAGE   __attribute__((aligned(4096)))
#define TIMER  0x50
#define PERIOD 100000 /* ns */

static volatile u32 ticks;
static volatile u64 sink;

static void on_tick(struct frame *f)
{
	ticks++;
	apic_eoi();
}

static void start(void)
{
	apic_on();
	ticks = 0;
	apic_timer(TIMER, PERIOD, true);
	irq_on();
}

static void stop(void)
{
	irq_off();
	apic_timer(TIMER, 0, false);
}

/* ---- string instructions ---- */

#define BULK (1u << 20)
static u8 source[BULK] PAGE, target[BULK] PAGE;

static void move_strings(unsigned cpu)
{
	for (u32 i = 0; i < BULK; i += 8)
		*(u64 *)(source + i) = i * 0x9e3779b97f4a7c15ull;
	start();
	for (unsigned round = 0; ticks < 300; round++) {
		void *d = target + (round & 7), *s = source;
		u64 n = BULK - 8;

		if (round & 1) {
			n /= 8;
			__asm__ volatile("rep movsq" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
		} else {
			__asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
		}
		guest_check(n == 0 && s == source + BULK - 8);
		for (u32 i = 0; i < BULK - 8; i += 4096 + 8)
			guest_check(target[(round & 7) + i] == source[i]);
	}
	stop();
}

/* ---- loops of one block, of several, by indirect jumps; flags and registers must survive ---- */

static void loops(unsigned cpu)
{
	start();
	while (ticks < 600) {
		u64 n = 20000, sum = 0, carries = 0;

		__asm__ volatile("1: add %0, %1\n\tadc $0, %2\n\tdec %0\n\tjnz 1b"
				 : "+r"(n), "+r"(sum), "+r"(carries)
				 :
				 : "cc");
		guest_check(sum == 20000ull * 20001 / 2 && carries == 0);
		n = 5000;
		sum = 0;
		__asm__ volatile("1: lea 2f(%%rip), %%rax\n\tstc\n\tjmp *%%rax\n"
				 "2: adc $0, %1\n\tpushf\n\tpopf\n\tloop 1b"
				 : "+c"(n), "+r"(sum)
				 :
				 : "rax", "cc", "memory");
		guest_check(sum == 5000);
	}
	stop();
}

/* ---- sti; hlt over a page boundary: the interrupt comes after hlt has begun ---- */

static u8 straddle[2][4096] PAGE;
static volatile u64 wrong_rip, halted_at;

static void on_halt_tick(struct frame *f)
{
	if (f->rip != halted_at)
		wrong_rip = f->rip;
	ticks++;
	apic_eoi();
}

static void halts(unsigned cpu)
{
	/* mov $-1, %rax; xor %edx, %edx; div %rcx: a stretch without a place to look for interrupts */
	static const u8 slow[] = {
		0x48, 0xc7, 0xc0, 0xff, 0xff, 0xff, 0xff, 0x31, 0xd2, 0x48, 0xf7, 0xf1};
	static const u8 last[] = {0xfb, 0xf4, 0xfa, 0xc3}; /* sti; hlt; cli; ret */
	volatile u8 *c = straddle[1] - 1 - 15 * sizeof(slow);

	for (unsigned i = 0; i < 15 * sizeof(slow); i++)
		c[i] = slow[i % sizeof(slow)];
	for (unsigned i = 0; i < sizeof(last); i++)
		c[15 * sizeof(slow) + i] = last[i];
	halted_at = (u64)straddle[1] + 1;
	apic_on();
	ticks = 0;
	handlers[TIMER] = on_halt_tick;
	apic_timer(TIMER, 3000, true);
	while (ticks < 10000) {
		__asm__ volatile("call *%0" : : "r"(c), "c"(3ull) : "rax", "rdx", "cc", "memory");
		guest_check(wrong_rip == 0);
	}
	stop();
}

/* ---- the same vector again before its EOI: it comes after the return ---- */

static volatile u32 again;

static void on_again(struct frame *f)
{
	if (++again < 1000)
		apic_ipi(0, TIMER);
	apic_eoi();
}

static void repeated(unsigned cpu)
{
	again = 0;
	handlers[TIMER] = on_again;
	apic_on();
	irq_on();
	apic_ipi(0, TIMER);
	while (again < 1000)
		relax();
	irq_off();
}

/* ---- recursion ---- */

static u64 __attribute__((noinline)) recurse(u64 n)
{
	u64 r;

	if (n == 0)
		return 1;
	r = recurse(n - 1);
	__asm__ volatile("" : "+r"(r));
	return r + n;
}

static void recursion(unsigned cpu)
{
	start();
	while (ticks < 300)
		guest_check(recurse(1500) == 1 + 1500 * 1501 / 2);
	stop();
}

/* ---- vector registers live through interrupts and exits ---- */

static void vectors(unsigned cpu)
{
	static u8 in[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, out[16];

	start();
	__asm__ volatile("movdqu %0, %%xmm7" : : "m"(in) : "xmm7");
	while (ticks < 300) {
		host_call(0);
		sink++;
		__asm__ volatile("movdqu %%xmm7, %0" : "=m"(out));
		for (unsigned i = 0; i < 16; i++)
			guest_check(out[i] == i + 1);
	}
	stop();
}

static void run(unsigned n, void (*fn)(unsigned cpu))
{
	struct world w;

	wrong_rip = 0;
	world_open(&w, n);
	handlers[TIMER] = on_tick;
	world_run(&w, fn, NULL);
	world_close(&w);
}
#define TEST(name)                                                                                 \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		run(1, name);                                                                      \
	}
TEST(move_strings)
TEST(loops)
TEST(halts)
TEST(repeated)
TEST(recursion)
TEST(vectors)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_move_strings),
		cmocka_unit_test(test_loops),
		cmocka_unit_test(test_halts),
		cmocka_unit_test(test_repeated),
		cmocka_unit_test(test_recursion),
		cmocka_unit_test(test_vectors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
