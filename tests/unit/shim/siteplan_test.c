/* SPDX-License-Identifier: MIT */
/* Which call sites may be rewritten: those of C libraries and Go, and those that only look so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "shim/inject/site.h"

#define SYSCALL_INSN 0x0f, 0x05
#define NOPS16                                                                                     \
	0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,  \
		0x90
#define INT3S16                                                                                    \
	0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc,  \
		0xcc

static struct site_plan plan;

/* Is there a plan for the call at this offset? */
static bool planned(const u8 *bytes, unsigned n, unsigned call)
{
	const struct site_code code = {bytes, n, call};

	memset(&plan, 0, sizeof(plan));
	return site_plan(&code, &plan);
}

static void test_libc_wrapper(void **state)
{
	static const u8 getppid[] = {INT3S16, INT3S16, 0xb8, 0x6e, 0, 0, 0, SYSCALL_INSN, 0xc3};

	assert_true(planned(getppid, sizeof(getppid), 37));
	assert_int_equal(plan.at, 32);
	assert_int_equal(plan.before, 5);
	assert_int_equal(plan.after, 0);
}

/* Go's Syscall6: short instructions before it, a compare after it. */
static void test_go(void **state)
{
	static const u8 syscall6[] = {INT3S16, INT3S16, 0x49, 0x89, 0xf2, 0x48, 0x89, 0xfa, 0x48,
		0x89, 0xce, 0x48, 0x89, 0xdf, SYSCALL_INSN, 0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff,
		0x76, 0x15};

	assert_true(planned(syscall6, sizeof(syscall6), 44));
	assert_int_equal(plan.at, 44);
	assert_int_equal(plan.before, 0);
	assert_int_equal(plan.after, 6);
}

/* mov edi, [rax + 0x6e]: its end is as mov eax, 0x6e would be. */
static void test_look_alike(void **state)
{
	static const u8 code[] = {NOPS16, NOPS16, 0x8b, 0xb8, 0x6e, 0, 0, 0, SYSCALL_INSN, 0xc3};

	/* A proof would start where the instruction does: it moves as a whole. */
	if (planned(code, sizeof(code), 38)) {
		assert_int_equal(plan.at, 32);
		assert_int_equal(plan.before, 6);
	}
}

/* Not proved: what comes before can be read in two ways. */
static void test_ambiguous(void **state)
{
	u8 code[64];

	/* mov rax, imm64 upon mov rax, imm64: each start reads something else. */
	memset(code, 0xb8, sizeof(code));
	memcpy(code + 48, (const u8[]){SYSCALL_INSN, 0xc3}, 3);
	assert_false(planned(code, sizeof(code), 48));
}

/* Too short on both sides, or what would not do the same elsewhere. */
static void test_refused(void **state)
{
	static const u8 loop[] = {NOPS16, NOPS16, 0x89, 0xd0, SYSCALL_INSN, 0xeb, 0xf8};
	static const u8 relative[] = {
		NOPS16, NOPS16, 0x89, 0xd0, SYSCALL_INSN, 0x8b, 0x05, 1, 2, 3, 4};
	static const u8 calls[] = {NOPS16, NOPS16, 0x89, 0xd0, SYSCALL_INSN, 0xe8, 1, 2, 3, 4};
	static const u8 ends[] = {NOPS16, NOPS16, 0x89, 0xd0, SYSCALL_INSN};
	static const u8 lea[] = {NOPS16, NOPS16, 0x48, 0x8d, 0x35, 1, 2, 3, 4, SYSCALL_INSN, 0xc3};
	static const u8 none[] = {NOPS16, NOPS16, 0xb8, 0x6e, 0, 0, 0, 0x0f, 0x06, 0xc3};

	assert_false(planned(loop, sizeof(loop), 34));
	assert_false(planned(relative, sizeof(relative), 34));
	assert_false(planned(calls, sizeof(calls), 34));
	assert_false(planned(ends, sizeof(ends), 34));
	assert_false(planned(lea, sizeof(lea), 39));
	assert_false(planned(none, sizeof(none), 37));
}

/* Go's xgetbv(), and the same three bytes in an immediate. */
static void test_begins(void **state)
{
	static const u8 go[] = {INT3S16, INT3S16, 0x8b, 0x4c, 0x24, 0x08, 0x0f, 0x01, 0xd0};
	static const u8 immediate[] = {NOPS16, NOPS16, 0x48, 0xb8, 1, 2, 3, 0x0f, 0x01, 0xd0, 0, 0};
	const struct site_code at_go = {go, sizeof(go), 36};
	const struct site_code in_immediate = {immediate, sizeof(immediate), 37};

	assert_true(site_begins(&at_go));
	assert_false(site_begins(&in_immediate));
}

/* What cannot be an instruction in 64-bit mode has no say, and is what jumps are made of. */
static void test_traps(void **state)
{
	unsigned n = 0;

	for (unsigned byte = 0; byte < 256; byte++)
		n += site_is_trap((u8)byte);
	assert_int_equal(n, 19);
	assert_true(site_is_trap(SITE_TRAP));
	/* jmp, int3, hlt, REX2 of newer processors, prefixes, EVEX */
	for (const char *s = "\xe9\xcc\xf4\xd5\x66\xf0\x62\x48"; *s; s++)
		assert_false(site_is_trap((u8)*s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_libc_wrapper),
		cmocka_unit_test(test_go),
		cmocka_unit_test(test_look_alike),
		cmocka_unit_test(test_ambiguous),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_begins),
		cmocka_unit_test(test_traps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
