/* SPDX-License-Identifier: MIT */
/*
 * SYSCALL and SYSRET in translated code leave the state that step() leaves: a program at level 3 and a kernel that counts
 * its calls, in 64-bit mode.
 */
#include "engine/core/stat.h"
#include "engine/core/vcpu.h"
#include "tests/unit/world/world.h"

#define TABLES 0x10000u
#define KERNEL 0x2000u
#define CALLS  200u

static struct world w;

static void put64(u32 at, u64 v)
{
	world_put(&w, at, &v, 8);
}

struct start {
	u64 flags, mask, lstar, rcx, efer;
	u64 cr4;
};

static const struct start plain = {.flags = FL_CF | FL_ZF | FL_IF,
	.mask = FL_TF | FL_IF | FL_DF | FL_AC | FL_NT | FL_ID | FL_CF,
	.lstar = KERNEL,
	.efer = EFER_SCE};

/* One page table for the first 2 MiB, for all levels. */
static void begin(const struct start *s, unsigned cpl)
{
	const u32 dpl = cpl << 5;
	struct vcpu_state v;

	put64(TABLES, (TABLES + 0x1000) | 7);
	put64(TABLES + 0x1000, (TABLES + 0x2000) | 7);
	put64(TABLES + 0x2000, 0x87);
	vcpu_get(w.v, ST_REGS | ST_SREGS, &v);
	memset(v.gpr, 0, sizeof(v.gpr));
	v.gpr[RSP] = STACK;
	v.gpr[RCX] = s->rcx;
	v.rip = CODE;
	v.rflags = FL_FIXED | s->flags;
	v.cr0 = CR0_PE | CR0_MP | CR0_PG | CR0_ET | CR0_NE | CR0_WP | CR0_AM;
	v.cr3 = TABLES;
	v.cr4 = CR4_PAE | s->cr4;
	v.efer = EFER_LME | EFER_LMA | s->efer;
	v.seg[SEG_CS] = (struct segment){.selector = 8 | cpl, .limit = ~0u, .attr = 0xa09b | dpl};
	v.seg[SEG_SS] = (struct segment){.selector = 16 | cpl, .limit = ~0u, .attr = 0xc093 | dpl};
	v.seg[SEG_DS] = v.seg[SEG_ES] = v.seg[SEG_SS];
	v.idt.limit = 0;
	assert_int_equal(vcpu_set(w.v, ST_REGS | ST_SREGS, &v), 0);
	w.v->cpu.msr.star = 0x0023001bull << 32 | 0x12345678;
	w.v->cpu.msr.lstar = s->lstar;
	w.v->cpu.msr.sfmask = s->mask;
}

struct end {
	u32 reason;
	u64 gpr[GPR_COUNT], rip, rflags;
	struct {
		u64 base;
		u32 limit, attr;
		u16 selector;
	} cs, ss;
	u8 cpl, view;
	u32 key;
	u64 stepped;
};

static void take_segment(const struct segment *s, void *to)
{
	struct end e = {0};

	e.cs.base = s->base;
	e.cs.limit = s->limit;
	e.cs.attr = s->attr;
	e.cs.selector = s->selector;
	memcpy(to, &e.cs, sizeof(e.cs));
}

static void run(const struct start *s, unsigned cpl, bool step, struct end *ret)
{
	const struct cpu *cpu = &w.v->cpu;

	w.v->cpu.step_only = step;
	begin(s, cpl);
	memset(ret, 0, sizeof(*ret));
	ret->stepped = w.v->own_stats[STAT_INSNS_STEPPED];
	assert_int_equal(vcpu_run(w.v, 0), 0);
	ret->stepped = w.v->own_stats[STAT_INSNS_STEPPED] - ret->stepped;
	ret->reason = vcpu_exit(w.v)->reason;
	memcpy(ret->gpr, cpu->gpr, sizeof(ret->gpr));
	ret->rip = cpu->rip;
	ret->rflags = cpu->rflags;
	take_segment(&cpu->seg[SEG_CS], &ret->cs);
	take_segment(&cpu->seg[SEG_SS], &ret->ss);
	ret->cpl = cpu->cpl;
	ret->view = cpu->view;
	ret->key = cpu->block_key;
}

/* Both ways; the number of instructions that the translated one has stepped. */
static u64 compare(const struct start *s, unsigned cpl, struct end *ret)
{
	struct end a, b;
	u64 stepped;

	run(s, cpl, true, &a);
	run(s, cpl, false, &b);
	stepped = b.stepped;
	a.stepped = b.stepped = 0;
	assert_memory_equal(&a, &b, sizeof(a));
	*ret = b;
	return stepped;
}

/* inc %r8d; pushf; pop %r9; cmp $CALLS, %r8d; je to hlt; sysretq; hlt */
static void put_kernel(void)
{
	WORLD_PUT(&w, KERNEL, 0x41, 0xff, 0xc0, 0x9c, 0x41, 0x59, 0x41, 0x81, 0xf8, CALLS, 0, 0, 0,
		0x74, 0x03, 0x48, 0x0f, 0x07, 0xf4);
}

static void program(const u8 *code, size_t n)
{
	world_open(&w, IRQCHIP_NONE);
	world_give_cpuid(w.v);
	put_kernel();
	world_put(&w, CODE, code, n);
}
#define PROGRAM(...)                                                                               \
	do {                                                                                       \
		static const u8 code_[] = {__VA_ARGS__};                                           \
		program(code_, sizeof(code_));                                                     \
	} while (0)

/* inc %r10d; syscall; jmp back */
#define CALL_FOR_EVER 0x41, 0xff, 0xc2, 0x0f, 0x05, 0xeb, 0xf9

static void test_there_and_back(void **state)
{
	struct end e;

	PROGRAM(CALL_FOR_EVER);
	assert_in_range(compare(&plain, 3, &e), 0, 20); /* TLB misses, and hlt */
	assert_int_equal(e.reason, EXIT_HLT);
	assert_int_equal(e.cpl, 0);
	assert_int_equal(e.gpr[R8], CALLS);
	assert_int_equal(e.gpr[R10], CALLS);
	assert_int_equal(e.gpr[RCX], CODE + 5);
	assert_int_equal(e.gpr[R11] & (FL_IF | FL_CF), FL_IF | FL_CF);
	assert_int_equal(e.gpr[R9] & (FL_IF | FL_CF), 0);
	world_close(&w);
}

/* How level 3 is left and what it has again: the program stops itself by a hlt that faults (no IDT: triple fault). */
static void test_back_at_level_3(void **state)
{
	struct end e;

	PROGRAM(0x0f, 0x05, 0xf4);
	compare(&plain, 3, &e);
	assert_int_equal(e.reason, EXIT_SHUTDOWN);
	assert_int_equal(e.cpl, 3);
	assert_int_equal(e.cs.selector, 0x33);
	assert_int_equal(e.ss.selector, 0x2b);
	world_close(&w);
}

static const struct start varied[] = {
	{.flags = 0, .mask = 0, .lstar = KERNEL, .efer = EFER_SCE},
	{.flags = FL_STATUS | FL_DF, .mask = ~0ull, .lstar = KERNEL, .efer = EFER_SCE},
	{.flags = FL_AC, .mask = FL_AC, .lstar = KERNEL, .efer = EFER_SCE, .cr4 = CR4_SMAP},
	{.flags = FL_AC, .mask = 0, .lstar = KERNEL, .efer = EFER_SCE},
	{.flags = FL_ID | FL_IOPL | FL_NT, .mask = FL_NT, .lstar = KERNEL, .efer = EFER_SCE},
	{.flags = FL_IF, .mask = FL_IF, .lstar = 0x200000, .efer = EFER_SCE},
	{.flags = FL_IF, .mask = 0, .lstar = KERNEL, .efer = 0},
	{.flags = FL_TF, .mask = FL_TF, .lstar = KERNEL, .efer = EFER_SCE},
};

static void test_flags_and_refusals(void **state)
{
	struct end e;

	PROGRAM(CALL_FOR_EVER);
	for (unsigned i = 0; i < ARRAY_SIZE(varied); i++)
		compare(&varied[i], 3, &e);
	world_close(&w);
}

/* SYSRET as the first instruction, with rcx and r11 = 0 and others, at levels 0 and 3. */
static void test_sysret_alone(void **state)
{
	static const u64 targets[] = {CODE + 3, 1ull << 47, 1ull << 63, (1ull << 47) - 1, 0x200000};
	struct start s = plain;
	struct end e;

	PROGRAM(0x48, 0x0f, 0x07, 0xf4);
	for (unsigned i = 0; i < ARRAY_SIZE(targets); i++) {
		s.rcx = targets[i];
		compare(&s, 0, &e);
		compare(&s, 3, &e);
	}
	world_close(&w);
}

/* mov $flags, %r11d; mov $CODE + 12, %ecx; sysretq; nop; hlt: the second hlt faults at level 3. */
static void test_sysret_flags(void **state)
{
	static const u32 flags[] = {0, FL_STATUS, FL_DF | FL_IF, FL_TF, FL_AC, FL_IOPL, FL_NT,
		FL_RF | FL_VM, FL_ID, ~0u};
	struct end e;

	for (unsigned i = 0; i < ARRAY_SIZE(flags); i++) {
		u32 f = flags[i];
		const u8 code[] = {0x41, 0xbb, (u8)f, (u8)(f >> 8), (u8)(f >> 16), (u8)(f >> 24),
			0xb9, (CODE + 14) & 0xff, CODE >> 8, 0, 0, 0x48, 0x0f, 0x07, 0x90, 0xf4};

		program(code, sizeof(code));
		compare(&plain, 0, &e);
		world_close(&w);
	}
}

/* SYSCALL at level 0, and to 32-bit code back from there. */
static void test_others(void **state)
{
	struct end e;

	PROGRAM(0x0f, 0x05);
	compare(&plain, 0, &e);
	world_close(&w);
	PROGRAM(0xb9, 0x07, 0x10, 0, 0, 0x0f, 0x07, 0xf4); /* mov $CODE + 7, %ecx; sysretl; hlt */
	compare(&plain, 0, &e);
	assert_int_equal(e.cs.attr & SEG_L, 0);
	world_close(&w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_back_at_level_3),
		cmocka_unit_test(test_flags_and_refusals),
		cmocka_unit_test(test_sysret_alone),
		cmocka_unit_test(test_sysret_flags),
		cmocka_unit_test(test_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
