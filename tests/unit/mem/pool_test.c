/* SPDX-License-Identifier: MIT */
/* Arrays that are zero whoever had them before, and sequences against a plain array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/mem/pool.h"

static bool all_zero(const u8 *p, u64 n)
{
	while (n)
		if (p[--n])
			return false;
	return true;
}

static void test_zeroed(void **state)
{
	static const u64 sizes[] = {1, 64, 65, 1000, 4096, 5000, 65536, 131072, 131073, 1 << 20};
	struct pool p = {0};
	void *first[ARRAY_SIZE(sizes)];

	for (int round = 0; round < 3; round++) {
		for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
			first[i] = pool_take(&p, sizes[i]);
			assert_non_null(first[i]);
			assert_true(all_zero(first[i], sizes[i]));
			memset(first[i], 0xaa, sizes[i]);
		}
		for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++)
			pool_give(&p, first[i], sizes[i]);
	}
	pool_give(&p, NULL, 64);
	pool_destroy(&p);
}

/* More than a chunk, of sizes that do not fit together; none overlaps another. */
static void test_apart(void **state)
{
	enum { N = 3000 };
	static u8 *a[N];
	static u64 size[N];
	struct pool p = {0};

	srand(1);
	for (unsigned i = 0; i < N; i++) {
		size[i] = 1 + (u64)rand() % (i % 50 ? 3000 : 130000);
		a[i] = pool_take(&p, size[i]);
		assert_true(all_zero(a[i], size[i]));
		memset(a[i], (int)(i % 251 + 1), size[i]);
	}
	for (unsigned i = 0; i < N; i++)
		for (u64 k = 0; k < size[i]; k += 61)
			assert_int_equal(a[i][k], i % 251 + 1);
	pool_destroy(&p);
}

static void insert(struct seq *s, u32 *model, u32 at, u32 value)
{
	assert_int_equal(seq_reserve(s), 0);
	memmove(model + at + 1, model + at, (s->count - at) * sizeof(u32));
	model[at] = value;
	*(u32 *)seq_open(s, at) = value;
}

static void check(const struct seq *s, const u32 *model)
{
	assert_memory_equal(seq_begin(s), model, s->count * sizeof(u32));
}

static void test_sequence(void **state)
{
	static u32 model[20000];
	struct seq s = {.item = sizeof(u32)};

	srand(2);
	for (u32 i = 0; i < 3000; i++)
		insert(&s, model, s.count, i);
	for (u32 i = 0; i < 3000; i++)
		insert(&s, model, 0, i);
	check(&s, model);
	for (u32 i = 0; i < 10000; i++) {
		u32 at = (u32)rand() % s.count;

		if (rand() & 1) {
			insert(&s, model, at, i);
		} else {
			memmove(model + at, model + at + 1, (s.count - at - 1) * sizeof(u32));
			seq_close(&s, at);
		}
		if (i % 500 == 0)
			check(&s, model);
	}
	while (s.count)
		seq_close(&s, s.count / 2);
	insert(&s, model, 0, 7);
	check(&s, model);
	free(s.storage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zeroed),
		cmocka_unit_test(test_apart),
		cmocka_unit_test(test_sequence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
