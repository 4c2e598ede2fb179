/* SPDX-License-Identifier: MIT */
/* Which pages of code have instructions that are not to run as they are. */
#include <stdlib.h>
#include <string.h>

#include "engine/direct/scan.h"
#include "tests/unit/world/world.h"

#define NOP 0x90

static struct verdicts verdicts;
static _Alignas(PAGE_SIZE) u8 pages[3 * PAGE_SIZE];
#define BEFORE pages
#define PAGE   (pages + PAGE_SIZE)
#define NEXT   (pages + 2 * PAGE_SIZE)

static void put(u8 *at, const char *bytes, unsigned n)
{
	memcpy(at, bytes, n);
}
#define PUT(at, bytes) put(at, bytes, sizeof(bytes) - 1)

static int start(void **state)
{
	(void)state;
	memset(pages, NOP, sizeof(pages));
	memset(&verdicts, 0, sizeof(verdicts));
	return 0;
}

static unsigned strange(const u8 *before, const u8 *next)
{
	const struct verdict *v = scan_page(&verdicts, before, PAGE, next);

	assert_non_null(v);
	return v->count;
}

static void told(void **state)
{
	const struct verdict *v;

	(void)state;
	PUT(PAGE + 0x123, "\x0f\xa2");
	PUT(PAGE + 0x800, "\x0f\x31");
	v = scan_page(&verdicts, BEFORE, PAGE, NEXT);
	assert_non_null(v);
	assert_int_equal(v->count, 2);
	assert_int_equal(v->at[0], 0x123);
	assert_int_equal(v->at[1], 0x800);
}

static void too_many(void **state)
{
	(void)state;
	for (unsigned i = 0; i < STRANGE_MAX; i++)
		PUT(PAGE + 0x100 * i, "\x0f\xa2");
	assert_int_equal(strange(BEFORE, NEXT), STRANGE_MAX);
	PUT(PAGE + 0xf00, "\x0f\xa2");
	assert_int_equal(strange(BEFORE, NEXT), STRANGE_MANY);
}

/* MOVABS with bytes of CALL far behind a UD2; TEST, CMOVE with one of INT1 in it. */
static void behind_ud2(void **state)
{
	(void)state;
	PUT(PAGE + 0x100, "\x0f\x0b\x48\xb8\xff\xff\xff\xff\xff\xff\xff\x1f\x48\x21\xc2");
	PUT(PAGE + 0x200, "\x0f\x0b\x0f\x1f\x00\x48\x85\xf6\x48\x0f\x44\xf1");
	assert_int_equal(strange(BEFORE, NEXT), 0);
}

/* Its last byte may be the first of SLDT, of TEST, or of much else. */
static void unknown_end(void **state)
{
	(void)state;
	PUT(PAGE + 0xffd, "\x84\xc0\x0f");
	assert_int_equal(strange(BEFORE, NULL), 0);
	PUT(NEXT, "\xb6\xc0");
	assert_int_equal(strange(BEFORE, NEXT), 0);
	PUT(NEXT, "\x00\xc0");
	assert_int_equal(strange(BEFORE, NEXT), 1);
	assert_int_equal(strange(BEFORE, NULL), 1); /* as was seen */
	PUT(NEXT, "\xb6\xc0");
	assert_int_equal(strange(BEFORE, NEXT), 0);
}

/* The end of a call, which is IN and INT1 to who begins there: that is not known. And the beginning of a function. */
static void unknown_beginning(void **state)
{
	(void)state;
	PUT(BEFORE + 0xfff, "\xe8\xec\xf1\xfb\xfe");
	assert_int_equal(strange(NULL, NEXT), 1);
	assert_int_equal(strange(BEFORE, NEXT), 0);
	assert_int_equal(strange(NULL, NEXT), 0); /* as was seen */
	PUT(PAGE, "\x31\xc0\x53\x0f\xa2");
	assert_int_equal(strange(NULL, NEXT), 1);
	PUT(PAGE, "\x0f\xa2\x53\x90\x90");
	assert_int_equal(strange(NULL, NEXT), 1);
}

/* PXOR with bytes of IN and OUT, which are no worse a beginning than others. */
static void behind_pxor(void **state)
{
	(void)state;
	PUT(PAGE + 0x100, "\x66\x0f\xef\xed\x66\x0f\xef\xe4");
	PUT(PAGE + 0x101 + 45, "\x0f\xa2");
	assert_int_equal(strange(BEFORE, NEXT), 1);
}

/* What crosses into the page is strange in it, and cannot be told by an offset. */
static void from_before(void **state)
{
	(void)state;
	PUT(BEFORE + 0xfff, "\x0f\xa2");
	assert_int_equal(strange(NULL, NEXT), 0);
	assert_int_equal(strange(BEFORE, NEXT), STRANGE_MANY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(told, start),
		cmocka_unit_test_setup(too_many, start),
		cmocka_unit_test_setup(behind_ud2, start),
		cmocka_unit_test_setup(unknown_end, start),
		cmocka_unit_test_setup(unknown_beginning, start),
		cmocka_unit_test_setup(behind_pxor, start),
		cmocka_unit_test_setup(from_before, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
