/* SPDX-License-Identifier: MIT */
/* The interpreter of seccomp filters: what is let in, and what it computes. */
#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shim/inject/bpf.h"

#define CHECK(...)                                                                                 \
	({                                                                                         \
		const struct sock_filter insns_[] = {__VA_ARGS__};                                 \
		bpf_check(insns_, ARRAY_SIZE(insns_));                                             \
	})
#define RETURN(k) BPF_STMT(BPF_RET | BPF_K, k)

static const struct seccomp_data data = {.nr = 42,
	.arch = 0xc000003e,
	.instruction_pointer = 0x1122334455667788,
	.args = {1, 0xffffffff00000002, 3, 4, 5, 0x99aabbccddeeff00}};

/* Runs a program that must pass the check. */
#define RUN(...)                                                                                   \
	({                                                                                         \
		const struct sock_filter insns_[] = {__VA_ARGS__};                                 \
		assert_int_equal(bpf_check(insns_, ARRAY_SIZE(insns_)), 0);                        \
		bpf_run(insns_, &data);                                                            \
	})

static void test_length(void **state)
{
	struct sock_filter *many = calloc(BPF_INSNS_MAX + 1, sizeof(*many));

	assert_non_null(many);
	for (unsigned i = 0; i <= BPF_INSNS_MAX; i++)
		many[i] = (struct sock_filter)RETURN(0);
	assert_int_equal(bpf_check(many, 0), -EINVAL);
	assert_int_equal(bpf_check(many, 1), 0);
	assert_int_equal(bpf_check(many, BPF_INSNS_MAX), 0);
	assert_int_equal(bpf_check(many, BPF_INSNS_MAX + 1), -EINVAL);
	free(many);
}

static void test_end(void **state)
{
	assert_int_equal(CHECK(BPF_STMT(BPF_MISC | BPF_TAX, 0)), -EINVAL);
	assert_int_equal(CHECK(RETURN(1), BPF_STMT(BPF_LD | BPF_IMM, 0)), -EINVAL);
	assert_int_equal(CHECK(BPF_STMT(BPF_RET | BPF_A, 0)), 0);
	assert_int_equal(CHECK(BPF_STMT(BPF_RET | BPF_X, 0)), -EINVAL);
}

static void test_loads(void **state)
{
	assert_int_equal(CHECK(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 60), RETURN(0)), 0);
	assert_int_equal(CHECK(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64), RETURN(0)), -EINVAL);
	assert_int_equal(CHECK(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2), RETURN(0)), -EINVAL);
	assert_int_equal(CHECK(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, -4096), RETURN(0)), -EINVAL);
	assert_int_equal(CHECK(BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 0), RETURN(0)), -EINVAL);
	assert_int_equal(CHECK(BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0), RETURN(0)), -EINVAL);
	assert_int_equal(CHECK(BPF_STMT(BPF_LD | BPF_W | BPF_IND, 0), RETURN(0)), -EINVAL);
	assert_int_equal(CHECK(BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0), RETURN(0)), -EINVAL);
}

static void test_jumps_stay_inside(void **state)
{
	assert_int_equal(CHECK(BPF_STMT(BPF_JMP | BPF_JA, 0), RETURN(0)), 0);
	assert_int_equal(CHECK(BPF_STMT(BPF_JMP | BPF_JA, 1), RETURN(0)), -EINVAL);
	assert_int_equal(CHECK(BPF_STMT(BPF_JMP | BPF_JA, -1), RETURN(0)), -EINVAL);
	assert_int_equal(
		CHECK(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 1), RETURN(0), RETURN(1)), 0);
	assert_int_equal(
		CHECK(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 2, 0), RETURN(0), RETURN(1)), -EINVAL);
	assert_int_equal(
		CHECK(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 2), RETURN(0), RETURN(1)), -EINVAL);
	assert_int_equal(CHECK(BPF_JUMP(BPF_JMP | 0x50 | BPF_K, 1, 0, 0), RETURN(0)),
		-EINVAL); /* eBPF's JNE */
}

static void test_alu_codes(void **state)
{
	assert_int_equal(CHECK(BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), RETURN(0)), -EINVAL);
	assert_int_equal(CHECK(BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0), RETURN(0)), 0);
	assert_int_equal(CHECK(BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 2), RETURN(0)), -EINVAL);
	assert_int_equal(CHECK(BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32), RETURN(0)), -EINVAL);
	assert_int_equal(CHECK(BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 31), RETURN(0)), 0);
	assert_int_equal(CHECK(BPF_STMT(BPF_ALU | BPF_NEG, 0), RETURN(0)), 0);
	assert_int_equal(CHECK(BPF_STMT(BPF_ALU | BPF_NEG | BPF_X, 0), RETURN(0)), -EINVAL);
	assert_int_equal(CHECK(BPF_STMT(0x100 | BPF_ALU | BPF_ADD, 0), RETURN(0)), -EINVAL);
	assert_int_equal(CHECK(BPF_STMT(0xff, 0), RETURN(0)), -EINVAL);
	assert_int_equal(CHECK(BPF_STMT(BPF_MISC | 0x20, 0), RETURN(0)), -EINVAL);
}

static void test_memory(void **state)
{
	assert_int_equal(CHECK(BPF_STMT(BPF_ST, 16), RETURN(0)), -EINVAL);
	assert_int_equal(CHECK(BPF_STMT(BPF_STX, 15), RETURN(0)), 0);
	/* Read before it is written, on the only way or on one of two. */
	assert_int_equal(CHECK(BPF_STMT(BPF_LD | BPF_MEM, 3), RETURN(0)), -EINVAL);
	assert_int_equal(CHECK(BPF_STMT(BPF_ST, 3), BPF_STMT(BPF_LD | BPF_MEM, 3), RETURN(0)), 0);
	assert_int_equal(CHECK(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 1), BPF_STMT(BPF_ST, 3),
				 BPF_STMT(BPF_LDX | BPF_MEM, 3), RETURN(0)),
		-EINVAL);
	assert_int_equal(CHECK(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 2), BPF_STMT(BPF_ST, 3),
				 BPF_STMT(BPF_JMP | BPF_JA, 1), BPF_STMT(BPF_STX, 3),
				 BPF_STMT(BPF_LD | BPF_MEM, 3), RETURN(0)),
		0);
}

static void test_data(void **state)
{
	const struct sock_filter ret = BPF_STMT(BPF_RET | BPF_A, 0);

	assert_int_equal(RUN(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), ret), 42);
	assert_int_equal(RUN(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 4), ret), 0xc000003e);
	assert_int_equal(RUN(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 8), ret), 0x55667788);
	assert_int_equal(RUN(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 12), ret), 0x11223344);
	assert_int_equal(RUN(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 24), ret), 2);
	assert_int_equal(RUN(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 28), ret), 0xffffffff);
	assert_int_equal(RUN(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 60), ret), 0x99aabbcc);
	assert_int_equal(RUN(BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0), ret), 64);
	assert_int_equal(
		RUN(BPF_STMT(BPF_LDX | BPF_W | BPF_LEN, 0), BPF_STMT(BPF_MISC | BPF_TXA, 0), ret),
		64);
	assert_int_equal(RUN(ret), 0); /* A starts as 0 */
}

#define BINARY(op, a, b)                                                                           \
	({                                                                                         \
		u32 k_ = RUN(BPF_STMT(BPF_LD | BPF_IMM, a), BPF_STMT(BPF_ALU | (op) | BPF_K, b),   \
			BPF_STMT(BPF_RET | BPF_A, 0));                                             \
		u32 x_ = RUN(BPF_STMT(BPF_LD | BPF_IMM, a), BPF_STMT(BPF_LDX | BPF_IMM, b),        \
			BPF_STMT(BPF_ALU | (op) | BPF_X, 0), BPF_STMT(BPF_RET | BPF_A, 0));        \
		assert_int_equal(k_, x_);                                                          \
		k_;                                                                                \
	})

static void test_arithmetic(void **state)
{
	assert_int_equal(BINARY(BPF_ADD, 0xffffffff, 2), 1);
	assert_int_equal(BINARY(BPF_SUB, 1, 2), 0xffffffff);
	assert_int_equal(BINARY(BPF_MUL, 0x10001, 0x10001), 0x20001);
	assert_int_equal(BINARY(BPF_DIV, 0xfffffffe, 2), 0x7fffffff);
	assert_int_equal(BINARY(BPF_AND, 0xf0f0, 0xff00), 0xf000);
	assert_int_equal(BINARY(BPF_OR, 0xf0f0, 0x0f00), 0xfff0);
	assert_int_equal(BINARY(BPF_XOR, 0xffff, 0x0ff0), 0xf00f);
	assert_int_equal(BINARY(BPF_LSH, 1, 31), 0x80000000);
	assert_int_equal(BINARY(BPF_RSH, 0x80000000, 31), 1);
	assert_int_equal(RUN(BPF_STMT(BPF_LD | BPF_IMM, 5), BPF_STMT(BPF_ALU | BPF_NEG, 0),
				 BPF_STMT(BPF_RET | BPF_A, 0)),
		0xfffffffb);
	/* Divided by an X of 0: the answer is 0, whatever comes. */
	assert_int_equal(RUN(BPF_STMT(BPF_LD | BPF_IMM, 5), BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0),
				 RETURN(7)),
		0);
}

static u32 jump(u16 code, u32 a, u32 b)
{
	u32 k = RUN(BPF_STMT(BPF_LD | BPF_IMM, a), BPF_JUMP(BPF_JMP | code | BPF_K, b, 1, 0),
		RETURN(0), RETURN(1));
	u32 x = RUN(BPF_STMT(BPF_LD | BPF_IMM, a), BPF_STMT(BPF_LDX | BPF_IMM, b),
		BPF_JUMP(BPF_JMP | code | BPF_X, 0, 1, 0), RETURN(0), RETURN(1));

	assert_int_equal(k, x);
	return k;
}

static void test_jumps(void **state)
{
	assert_int_equal(jump(BPF_JEQ, 5, 5), 1);
	assert_int_equal(jump(BPF_JEQ, 5, 6), 0);
	assert_int_equal(jump(BPF_JGT, 0x80000000, 1), 1); /* unsigned */
	assert_int_equal(jump(BPF_JGT, 5, 5), 0);
	assert_int_equal(jump(BPF_JGE, 5, 5), 1);
	assert_int_equal(jump(BPF_JGE, 4, 5), 0);
	assert_int_equal(jump(BPF_JSET, 6, 3), 1);
	assert_int_equal(jump(BPF_JSET, 4, 3), 0);
	assert_int_equal(RUN(BPF_STMT(BPF_JMP | BPF_JA, 1), RETURN(1), RETURN(2)), 2);
}

static void test_scratch(void **state)
{
	assert_int_equal(
		RUN(BPF_STMT(BPF_LD | BPF_IMM, 9), BPF_STMT(BPF_ST, 15),
			BPF_STMT(BPF_LDX | BPF_IMM, 8), BPF_STMT(BPF_STX, 0),
			BPF_STMT(BPF_LD | BPF_MEM, 0), BPF_STMT(BPF_LDX | BPF_MEM, 15),
			BPF_STMT(BPF_ALU | BPF_SUB | BPF_X, 0), BPF_STMT(BPF_RET | BPF_A, 0)),
		0xffffffff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_loads),
		cmocka_unit_test(test_jumps_stay_inside),
		cmocka_unit_test(test_alu_codes),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_data),
		cmocka_unit_test(test_arithmetic),
		cmocka_unit_test(test_jumps),
		cmocka_unit_test(test_scratch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
