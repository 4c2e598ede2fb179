/* SPDX-License-Identifier: MIT */
/* The probe guest comes through under our own engine; whatever the kernel offers, the probe comes back soon. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <time.h>

#include "boot/choice.h"
#include "boot/probe.h"

static void soft_runs_it(void **state)
{
	struct probe_result result;

	probe_soft(&result);
	print_message("%s\n", result.text);
	assert_in_range(result.verdict, PROBE_SLOW, PROBE_WORKS);
	assert_true(result.exit_us > 0 && result.ms > 0);
}

static void kernel_is_judged(void **state)
{
	struct probe_result result;
	time_t before = time(NULL);

	probe_kernel_kvm(&result);
	print_message("%s\n", result.text);
	assert_true(result.text[0]);
	assert_in_range(time(NULL) - before, 0, 5);
}

static void choice(void **state)
{
	struct engine_choice choice;
	struct failure f;

	assert_int_equal(engine_choose("kvm", &choice, &f), 0);
	assert_string_equal(choice.engine, "kernel");
	assert_int_equal(engine_choose("soft", &choice, &f), 0);
	assert_string_equal(choice.engine, "soft");
	assert_int_equal(engine_choose("auto", &choice, &f), 0);
	assert_true(choice.why[0]);
	assert_int_equal(engine_choose("steam", &choice, &f), -1);
	assert_non_null(strstr(f.text, "steam"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(soft_runs_it),
		cmocka_unit_test(kernel_is_judged),
		cmocka_unit_test(choice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
