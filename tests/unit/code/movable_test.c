/* SPDX-License-Identifier: MIT */
/*
 * Code that is mapped at several places: it computes the same everywhere, its translations are shared, and x87
 * code still tells where it ran.
 */
#include "tests/host_fpu.h"
#include "tests/unit/world/world.h"

#include "engine/core/stat.h"
#include "engine/core/vcpu.h"
#include "engine/exit.h"

#define TABLES  0x10000u
#define PROGRAM 0x20000u /* two pages */
#define PLACES  4

static const u64 place_of[PLACES] = {0x400000, 0x7f0012345000, 0x555555554000, 0x7fffffff0000};

/* Position-independent, two pages. rax, rbx: an address and what is there; rcx, rdx: return addresses; rsi: where the second page is. */
extern const u8 program[], program_x87[], program_end[];
__asm__(".pushsection .rodata\n"
	".balign 4096\n"
	"program:\n"
	"	lea 5f(%rip), %rax\n"
	"	mov 5f(%rip), %rbx\n"
	"	mov $3, %edi\n"
	"1:	call 2f\n"
	"	call 3f\n"
	"	dec %edi\n"
	"	jnz 1b\n"
	"	push 5f(%rip)\n"
	"	pop %r8\n"
	"	lea 6f(%rip), %r9\n"
	"	jmp *%r9\n"
	"2:	mov (%rsp), %rcx\n"
	"	ret\n"
	"5:	.quad 0x1122334455667788\n"
	"program_x87:\n"
	"	fldz\n"
	"	fnstenv -64(%rsp)\n"
	"	fstp %st\n"
	"	hlt\n"
	"	.balign 4096\n"
	"3:	mov (%rsp), %rdx\n"
	"	lea 3b(%rip), %rsi\n"
	"	jmp 4f\n"
	"4:	ret\n"
	"6:	hlt\n"
	"program_end:\n"
	"	.popsection\n");

#define AFTER_CALL_2 24u /* offsets of the return addresses */
#define AFTER_CALL_3 29u

static void put64(struct world *w, u32 at, u64 v)
{
	world_put(w, at, &v, 8);
}

/* A page for each level of each place, behind each other; the tables of level 4 are shared. */
static void map(struct world *w, u64 lin, u64 gpa)
{
	static u32 next;
	u32 table = TABLES;

	if (!lin) {
		next = TABLES + 0x1000;
		memset(w->ram + TABLES, 0, PAGE_SIZE);
		return;
	}
	for (int shift = 39; shift > 12; shift -= 9) {
		u32 entry = table + (u32)(lin >> shift & 511) * 8;
		u64 e;

		memcpy(&e, w->ram + entry, 8);
		if (!e) {
			e = next | 7;
			memset(w->ram + next, 0, PAGE_SIZE);
			put64(w, entry, e);
			next += 0x1000;
		}
		table = (u32)e & ~0xfffu;
	}
	put64(w, table + (u32)(lin >> 12 & 511) * 8, gpa | 7);
}

static void start(struct world *w, u64 rip)
{
	struct vcpu_state s;

	vcpu_get(w->v, ST_REGS | ST_SREGS, &s);
	memset(s.gpr, 0, sizeof(s.gpr));
	s.gpr[RSP] = STACK;
	s.rip = rip;
	s.rflags = FL_FIXED;
	s.cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_NE;
	s.cr3 = TABLES;
	s.cr4 = CR4_PAE | CR4_OSFXSR;
	s.efer = EFER_LME | EFER_LMA;
	s.seg[SEG_CS] = (struct segment){.selector = 8, .limit = ~0u, .attr = 0xa09b};
	s.seg[SEG_SS] = (struct segment){.selector = 16, .limit = ~0u, .attr = 0xc093};
	s.seg[SEG_DS] = s.seg[SEG_ES] = s.seg[SEG_SS];
	assert_int_equal(vcpu_set(w->v, ST_REGS | ST_SREGS, &s), 0);
}

static void open_places(struct world *w)
{
	world_open(w, IRQCHIP_NONE);
	world_give_cpuid(w->v);
	map(w, 0, 0);
	map(w, STACK - 1, STACK - 0x1000);
	for (unsigned i = 0; i < PLACES; i++) {
		map(w, place_of[i], PROGRAM);
		map(w, place_of[i] + PAGE_SIZE, PROGRAM + PAGE_SIZE);
	}
	world_put(w, PROGRAM, program, (size_t)(program_end - program));
}

static void run_at(struct world *w, u64 base)
{
	start(w, base);
	run_to(w->v, EXIT_HLT);
	assert_int_equal(gpr_of(w->v, RBX), 0x1122334455667788);
	assert_int_equal(gpr_of(w->v, R8), 0x1122334455667788);
	assert_int_equal(gpr_of(w->v, RAX) - base, program_x87 - program - 8);
	assert_int_equal(gpr_of(w->v, RCX), base + AFTER_CALL_2);
	assert_int_equal(gpr_of(w->v, RDX), base + AFTER_CALL_3);
	assert_int_equal(gpr_of(w->v, RSI), base + PAGE_SIZE);
	assert_int_equal(gpr_of(w->v, RSP), STACK);
	assert_int_equal(rip_of(w->v) >> 12, (base >> 12) + 1);
}

static u64 translated(const struct world *w)
{
	return w->v->cpu.stats[STAT_BLOCKS_TRANSLATED];
}

static void test_shared(void **state)
{
	struct world w;
	u64 after;

	open_places(&w);
	run_at(&w, place_of[0]);
	run_at(&w, place_of[1]); /* once more, movable */
	after = translated(&w);
	for (unsigned i = 0; i < 3 * PLACES; i++)
		run_at(&w, place_of[i % PLACES]);
	assert_int_equal(translated(&w), after);
	world_close(&w);
}

/* The code changes: what moves must go, and what comes is fixed until it is met elsewhere. */
static void test_changed(void **state)
{
	struct world w;

	open_places(&w);
	for (unsigned i = 0; i < 8; i++) {
		static const u8 hlt = 0xf4;

		run_at(&w, place_of[i % PLACES]);
		assert_int_equal(machine_write(w.m, PROGRAM, &hlt, 1), 0);
		start(&w, place_of[i % 3]);
		run_to(w.v, EXIT_HLT);
		assert_int_equal(gpr_of(w.v, RAX), 0);
		world_put(&w, PROGRAM, program, 1); /* unannounced */
	}
	world_close(&w);
}

/* Beside the same page lies another one in one place: links between pages must notice. */
#define OTHER 0x22000u

static void test_neighbours(void **state)
{
	/* mov (%rsp), %rdx; mov $0x77, %esi; ret */
	static const u8 other[] = {0x48, 0x8b, 0x14, 0x24, 0xbe, 0x77, 0, 0, 0, 0xc3};
	static const u8 hlt = 0xf4;
	struct world w;

	open_places(&w);
	map(&w, place_of[2] + PAGE_SIZE, OTHER);
	world_put(&w, OTHER, other, sizeof(other));
	world_put(&w, OTHER + (u32)(program_end - program - 1 - PAGE_SIZE), &hlt, 1);
	for (unsigned i = 0; i < 200; i++) {
		unsigned n = i * 7 % PLACES;

		if (n != 2) {
			run_at(&w, place_of[n]);
			continue;
		}
		start(&w, place_of[n]);
		run_to(w.v, EXIT_HLT);
		assert_int_equal(gpr_of(w.v, RSI), 0x77);
		assert_int_equal(gpr_of(w.v, RDX), place_of[n] + AFTER_CALL_3);
	}
	world_close(&w);
}

static u64 fip_at(struct world *w, u64 base)
{
	u32 env[7];
	u64 rip = base + (u64)(program_x87 - program);

	start(w, rip);
	run_to(w->v, EXIT_HLT);
	memcpy(env, w->ram + STACK - 64, sizeof(env));
	assert_int_equal(env[3], host_keeps_x87_pointers() ? (u32)rip : 0);
	return rip;
}

static void test_x87(void **state)
{
	struct world w;

	open_places(&w);
	for (unsigned i = 0; i < 100; i++) {
		fip_at(&w, place_of[i % PLACES]);
		run_at(&w, place_of[i * 7 % PLACES]);
	}
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_changed),
		cmocka_unit_test(test_neighbours),
		cmocka_unit_test(test_x87),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
