/* SPDX-License-Identifier: MIT */
/* Guest code that does what programs do: registers and state in and out, and every way to stop. */
#include <cpuid.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/hostcpu.h"
#include "box.h"
#include "cage/layout.h"

static void sum(void **state)
{
	struct box *b = *state;

	BOX_LOAD(b, sum);
	b->regs.gpr[1] = 1000000;
	assert_int_equal(box_run(b), CAGE_TRAP);
	assert_int_equal(b->event.vector, CAGE_SYSCALL);
	assert_int_equal(b->regs.gpr[0], 500000500000);
	assert_memory_equal(b->ram + (b->regs.rip - CODE), "\x0f\x05", 2);
}

/* In and out, the flags too, twice: what a stop leaves must not show. */
static void registers(void **state)
{
	struct box *b = *state;
	const u64 flags[] = {0x202, 0x202 | 0xcd5, 0x202 | 0x204000, 0x202 | 0x40000 | 0x800};

	for (unsigned n = 0; n < ARRAY_SIZE(flags); n++) {
		BOX_LOAD(b, registers);
		for (unsigned i = 0; i < 16; i++)
			b->regs.gpr[i] = 0x8123456789abcd00 * (i + 1) + n;
		b->regs.rflags = flags[n];
		assert_int_equal(box_run(b), CAGE_TRAP);
		assert_int_equal(b->event.vector, 6);
		assert_memory_equal(b->ram + (b->regs.rip - CODE), "\x0f\x0b", 2);
		for (unsigned i = 0; i < 16; i++)
			assert_int_equal(b->regs.gpr[i], 0x8123456789abcd00 * (i + 1) + n + i + 1);
		assert_int_equal(b->regs.rflags, flags[n]);
	}
}

/* ID and NT are not in what the kernel takes from a frame. */
static void flags(void **state)
{
	struct box *b = *state;

	for (u64 f = 0x202; f < 0x300000; f += 0x204000) {
		BOX_LOAD(b, flags);
		b->regs.rflags = f;
		assert_int_equal(box_run(b), CAGE_TRAP);
		assert_int_equal(b->regs.gpr[0], f);
		assert_int_equal(b->regs.rflags, f ^ 0x204000);
	}
}

/* What user code cannot change is as it was: IOPL, VIP, VIF. */
static void other_flags_stay(void **state)
{
	struct box *b = *state;

	BOX_LOAD(b, sum);
	b->regs.gpr[1] = 1;
	b->regs.rflags = 0x183202;
	assert_int_equal(box_run(b), CAGE_TRAP);
	assert_int_equal(b->regs.rflags & ~0x8d5ull, 0x183202);
}

static void bases(void **state)
{
	struct box *b = *state;

	BOX_LOAD(b, bases);
	memcpy(b->ram + PAGE_SIZE + 0x100, &(u64){77}, 8);
	memcpy(b->ram + PAGE_SIZE + 0x208, &(u64){88}, 8);
	b->regs.fs_base = b->regs.gpr[1] = DATA + 0x100;
	b->regs.gs_base = b->regs.gpr[2] = DATA + 0x200;
	assert_int_equal(box_run(b), CAGE_TRAP);
	assert_int_equal(b->regs.gpr[0], 77);
	assert_int_equal(b->regs.gpr[3], 88);
	assert_int_equal(b->regs.fs_base, DATA + 0x110);
	assert_int_equal(b->regs.gs_base, DATA + 0x210);
	b->regs.fs_base = 1ull << 60;
	assert_trap(b, 13, b->regs.rip);
}

static void selectors(void **state)
{
	struct box *b = *state;

	for (int i = 0; i < 2; i++) { /* the second time, after others were loaded */
		BOX_LOAD(b, selectors);
		assert_int_equal(box_run(b), CAGE_TRAP);
		for (int g = 0; g < 4; g++)
			assert_int_equal(b->regs.gpr[g], 0);
	}
}

/* ---- vector state ---- */

#define XMM(n) (160 + 16 * (n))

static u64 *image(struct box *b, u64 offset)
{
	u64 size;
	u8 *p = cage_xstate(b->cage, &size);

	assert_true(size >= 576 && offset < size);
	return (u64 *)(p + offset);
}

static void xmm(void **state)
{
	struct box *b = *state;

	BOX_LOAD(b, xmm);
	assert_int_equal(*(u32 *)image(b, 24), 0x1f80);
	*image(b, 512) = 3;
	*image(b, XMM(0)) = 5;
	*image(b, XMM(1)) = 6;
	*image(b, XMM(1) + 8) = 7;
	assert_int_equal(box_run(b), CAGE_TRAP);
	assert_int_equal(*image(b, XMM(1)), 11);
	assert_int_equal(*image(b, XMM(1) + 8), 7);
	assert_int_equal(*image(b, XMM(0)), 5);
	assert_true(*image(b, 512) & 2);
	/* Initial, whatever is there. */
	*image(b, 512) = 0;
	b->regs.rip = CODE;
	assert_int_equal(box_run(b), CAGE_TRAP);
	assert_true(!(*image(b, 512) & 2) || !*image(b, XMM(1)));
}

/* A header and an MXCSR that the processor would refuse. */
static void image_is_checked(void **state)
{
	struct box *b = *state;

	BOX_LOAD(b, xmm);
	memset(image(b, 464), 0xff, 112);
	*image(b, 512) = ~0ull;
	*(u32 *)image(b, 24) = ~0u;
	*image(b, XMM(0)) = 5;
	*image(b, XMM(1)) = 6;
	assert_int_equal(box_run(b), CAGE_TRAP);
	assert_int_equal(b->event.vector, 6);
	assert_int_equal(*image(b, XMM(1)), 11);
}

static void ymm(void **state)
{
	struct box *b = *state;
	struct host_cpu cpu;
	u32 size, offset, c, d;

	host_cpu_look(&cpu);
	__cpuid(1, size, offset, c, d);
	if (!cpu.avx || !__get_cpuid_count(7, 0, &size, &offset, &c, &d) || !(offset & BIT(5))) {
		print_message("the processor has no AVX2: not tested\n");
		return;
	}
	__cpuid_count(13, 2, size, offset, c, d);
	BOX_LOAD(b, ymm);
	*image(b, 512) = 7;
	*image(b, offset) = 5;          /* ymm0, upper half */
	*image(b, offset + 16 + 8) = 6; /* ymm1 */
	*image(b, XMM(1)) = 9;
	assert_int_equal(box_run(b), CAGE_TRAP);
	assert_int_equal(b->event.vector, 6);
	assert_int_equal(*image(b, offset + 32), 5);
	assert_int_equal(*image(b, offset + 32 + 8), 6);
	assert_int_equal(*image(b, XMM(2)), 9);
	/* After a clear nothing is left of it. */
	assert_int_equal(cage_clear(b->cage), 0);
	assert_int_equal(*image(b, 512), 0);
	assert_int_equal(*image(b, offset + 32), 0);
	assert_int_equal(*image(b, XMM(2)), 0);
}

/* ---- exceptions ---- */

static void traps(void **state)
{
	static const struct {
		const char *code;
		u8 bytes, at;
		u16 vector;
		u32 error;
	} cases[] = {
		{"\x0f\x05", 2, 0, CAGE_SYSCALL, 0}, {"\xcd\x80", 2, 0, 0x80, 0},
		{"\xcc", 1, 0, 3, 0}, {"\xcd\x03", 2, 0, 3, 0},
		{"\x90\xcd\xcc", 3, 1, 13, 0xcc * 8 + 2}, {"\x90\xcc", 2, 1, 3, 0},
		{"\xcd\x01", 2, 0, 13, 10},                            /* INT 1 */
		{"\xcd\x04", 2, 0, 4, 0},                              /* INT 4 */
		{"\x90\x0f\x0b", 3, 1, 6, 0},                          /* UD2 */
		{"\x90\xf4", 2, 1, 13, 0},                             /* HLT */
		{"\x90\xfa", 2, 1, 13, 0},                             /* CLI */
		{"\x90\xec", 2, 1, 13, 0},                             /* IN */
		{"\x0f\x20\xd8", 3, 0, 13, 0},                         /* MOV RAX, CR3 */
		{"\x0f\x32", 2, 0, 13, 0},                             /* RDMSR */
		{"\x90\xf7\xf1", 3, 1, 0, 0},                          /* DIV ECX */
		{"\x0f\x01\xf8", 3, 0, 13, 0},                         /* SWAPGS */
		{"\x48\x0f\x07", 3, 0, 13, 0},                         /* SYSRET */
		{"\x0f\x06", 2, 0, 13, 0},                             /* CLTS */
		{"\x06", 1, 0, 6, 0},                                  /* PUSH ES */
		{"\x48\xb8\1\0\0\0\0\0\1\0\x48\x8b\0", 13, 10, 13, 0}, /* not canonical */
	};
	struct box *b = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		box_code(b, cases[i].code, cases[i].bytes);
		assert_trap(b, cases[i].vector, CODE + cases[i].at);
		assert_int_equal(b->event.error, cases[i].error);
		assert_int_equal(b->regs.rflags & 0x10000, 0);
	}
}

/* The byte before an INT3 need not be there. */
static void breakpoint_begins_a_page(void **state)
{
	struct box *b = *state;

	box_code(b, "\xcc\xcd\x03", 3);
	assert_trap(b, 3, CODE);
	b->regs.rip = CODE + 1;
	assert_trap(b, 3, CODE + 1);
}

/* Hypervisors differ in where rip is. */
static void icebp(void **state)
{
	struct box *b = *state;

	box_code(b, "\xf1", 1);
	assert_int_equal(box_run(b), CAGE_TRAP);
	assert_int_equal(b->event.vector, 1);
	assert_in_range(b->regs.rip, CODE, CODE + 1);
}

/* A trap of TF comes after the instruction. */
static void single_step(void **state)
{
	struct box *b = *state;

	box_code(b, "\x90\x90\xff\xe3", 4); /* NOP; NOP; JMP RBX, to nowhere */
	b->regs.rflags |= 0x100;
	assert_trap(b, 1, CODE + 1);
	assert_int_equal(b->regs.rflags, 0x302);
	assert_trap(b, 1, CODE + 2);
	b->regs.gpr[3] = 0x600000;
	assert_trap(b, 1, 0x600000);
}

/* The kernel would execute it; the guest may have something else there. */
static void vsyscall_page_faults(void **state)
{
	struct box *b = *state;

	for (u64 at = 0xffffffffff600000; at < 0xffffffffff600c00; at += 0x400) {
		BOX_LOAD(b, accesses); /* whose reads are elsewhere: from the CALL on */
		b->regs.rip = CODE + 6;
		b->regs.gpr[2] = at;
		b->regs.gpr[7] = DATA;
		assert_int_equal(box_run(b), CAGE_FAULT);
		assert_int_equal(b->event.address, at);
		assert_int_equal(b->regs.rip, at);
		assert_int_equal(b->event.error & 0x14, 0x14);
		assert_int_equal(b->regs.gpr[4], STACK + 0xf00 - 8);
		assert_int_equal(b->regs.gpr[7], DATA);
	}
}

/* ---- page faults ---- */

static void faults(void **state)
{
	struct box *b = *state;
	u64 *words = (u64 *)(b->ram + 5 * PAGE_SIZE);

	BOX_LOAD(b, accesses);
	words[1] = 4711;
	b->regs.gpr[3] = 1234;
	b->regs.gpr[6] = 0x600008;
	b->regs.gpr[7] = 0x601010;
	b->regs.gpr[2] = 0x602000;
	assert_fault(b, 0x600008, 4);
	assert_int_equal(b->regs.rip, CODE);
	assert_fault(b, 0x600008, 4);
	assert_int_equal(box_map(b, 0x600000, 5, CAGE_READ), 0);
	assert_fault(b, 0x601010, 6);
	assert_int_equal(b->regs.gpr[0], 4711);
	assert_int_equal(box_map(b, 0x601000, 6, CAGE_READ), 0);
	assert_fault(b, 0x601010, 7);
	assert_int_equal(box_map(b, 0x601000, 6, CAGE_READ | CAGE_WRITE), 0);
	assert_fault(b, 0x602000, 0x14);
	assert_int_equal(((u64 *)(b->ram + 6 * PAGE_SIZE))[2], 1234);
	assert_int_equal(b->regs.rip, 0x602000);
	b->ram[7 * PAGE_SIZE] = 0xc3; /* RET */
	assert_int_equal(box_map(b, 0x602000, 7, CAGE_READ | CAGE_WRITE), 0);
	assert_fault(b, 0x602000, 0x15);
	assert_int_equal(box_map(b, 0x602000, 7, CAGE_READ | CAGE_EXEC), 0);
	assert_int_equal(box_run(b), CAGE_TRAP);
	assert_int_equal(b->event.vector, CAGE_SYSCALL);
}

/* Where its own region is, guest code is not run, and no page of it is mapped. */
static void own_region(void **state)
{
	struct box *b = *state;

	BOX_LOAD(b, sum);
	b->regs.rip = CAGE_AREA;
	assert_fault(b, CAGE_AREA, 0x14);
	b->regs.rip = CODE;
	b->regs.gpr[4] = CAGE_AREA + CAGE_FRAME + 0x1000;
	assert_int_equal(box_run(b), CAGE_FAULT);
	b->regs.gpr[4] = STACK;
	b->regs.gpr[1] = 3;
	assert_int_equal(box_run(b), CAGE_TRAP);
	assert_int_equal(b->regs.gpr[0], 6);
}

/* ---- kicks ---- */

static void kick_before(void **state)
{
	struct box *b = *state;

	BOX_LOAD(b, sum);
	b->regs.gpr[1] = 2;
	cage_kick(b->cage);
	cage_kick(b->cage);
	assert_int_equal(box_run(b), CAGE_KICKED);
	assert_int_equal(b->regs.rip, CODE);
	assert_int_equal(box_run(b), CAGE_TRAP);
	assert_int_equal(b->regs.gpr[0], 3);
}

/* The guest counts, so that it is known to run. */
static void wait_until_it_counts(const struct box *b)
{
	const volatile u64 *count = (const volatile u64 *)(b->ram + PAGE_SIZE);
	u64 before = *count;

	while (*count == before)
		usleep(100);
}

static void *kick(void *arg)
{
	const struct box *b = arg;

	wait_until_it_counts(b);
	cage_kick(b->cage);
	return NULL;
}

static void kick_meanwhile(void **state)
{
	struct box *b = *state;

	BOX_LOAD(b, endless);
	b->regs.gpr[7] = DATA;
	for (int i = 0; i < 20; i++) {
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, kick, b), 0);
		assert_int_equal(box_run(b), CAGE_KICKED);
		pthread_join(thread, NULL);
		assert_in_range(b->regs.rip, CODE, CODE + 8);
	}
}

struct storm {
	const struct box *b;
	_Atomic bool over;
};

static void *kick_always(void *arg)
{
	struct storm *s = arg;

	while (!atomic_load(&s->over))
		cage_kick(s->b->cage);
	return NULL;
}

/* Whenever they come, what is computed is right. */
static void kicks_at_any_time(void **state)
{
	struct box *b = *state;
	struct storm s = {.b = b};
	pthread_t thread;
	unsigned kicks = 0;

	assert_int_equal(pthread_create(&thread, NULL, kick_always, &s), 0);
	for (int i = 0; i < 300 || kicks < 10; i++) {
		enum cage_stop stop;

		BOX_LOAD(b, sum);
		b->regs.gpr[1] = 20000;
		while ((stop = box_run(b)) == CAGE_KICKED)
			kicks++;
		assert_int_equal(stop, CAGE_TRAP);
		assert_int_equal(b->regs.gpr[0], 200010000);
	}
	atomic_store(&s.over, true);
	pthread_join(thread, NULL);
}

struct caller {
	const struct box *b;
	pthread_t thread;
	bool again;
	_Atomic bool sent, over;
};

static void *signal_caller(void *arg)
{
	struct caller *c = arg;

	wait_until_it_counts(c->b);
	do {
		atomic_store(&c->sent, true);
		pthread_kill(c->thread, SIGUSR2);
	} while (c->again && !atomic_load(&c->over) && !usleep(1000));
	return NULL;
}

/* SA_RESTART, as by signal(): that must not keep it waiting. */
static void run_with_signals(struct box *b, void (*handler)(int), bool again)
{
	struct caller c = {b, pthread_self(), again, false, false};
	struct sigaction act = {.sa_handler = handler, .sa_flags = SA_RESTART}, old;
	pthread_t thread;

	BOX_LOAD(b, endless);
	b->regs.gpr[7] = DATA;
	sigaction(SIGUSR2, &act, &old);
	assert_int_equal(pthread_create(&thread, NULL, signal_caller, &c), 0);
	do /* a kick of the last time may be left */
		assert_int_equal(box_run(b), CAGE_KICKED);
	while (!atomic_load(&c.sent));
	atomic_store(&c.over, true);
	pthread_join(thread, NULL);
	sigaction(SIGUSR2, &old, NULL);
}

static void nothing(int signo)
{
}

/* One that comes before the wait is not noticed, so there are more. */
static void signals_to_the_caller(void **state)
{
	run_with_signals(*state, nothing, true);
}

static struct cage *kicked;

static void kick_from_handler(int signo)
{
	cage_kick(kicked);
}

/* Whenever it comes, one is enough. */
static void signal_that_kicks(void **state)
{
	struct box *b = *state;

	kicked = b->cage;
	for (int i = 0; i < 50; i++)
		run_with_signals(b, kick_from_handler, false);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, box_setup, box_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(sum), TEST(registers), TEST(flags),
		TEST(other_flags_stay), TEST(bases), TEST(selectors), TEST(xmm),
		TEST(image_is_checked), TEST(ymm), TEST(traps), TEST(breakpoint_begins_a_page),
		TEST(icebp), TEST(single_step), TEST(vsyscall_page_faults), TEST(faults),
		TEST(own_region), TEST(kick_before), TEST(kick_meanwhile), TEST(kicks_at_any_time),
		TEST(signals_to_the_caller), TEST(signal_that_kicks)};

	return box_main(tests, ARRAY_SIZE(tests));
}
