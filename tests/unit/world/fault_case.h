/* SPDX-License-Identifier: MIT */
/* Rows that say: from this state, with these changes, this instruction faults so and changes nothing. */
#ifndef TESTS_UNIT_WORLD_FAULT_CASE_H
#define TESTS_UNIT_WORLD_FAULT_CASE_H

#include <stdio.h>

#include "tables.h"
#include "engine/core/cpu.h"

struct fault_case {
	const char *name;
	void (*prepare)(void);
	int (*run)(void);
	u8 vector;
	u32 error;
};

static inline void check_fault_cases(const struct fault_case *rows, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct trace before, after;
		int r;

		rows[i].prepare();
		before = take_trace();
		r = rows[i].run();
		if (r != CPU_FAULT || w.cpu->exc.vector != rows[i].vector ||
			(rows[i].error != NO_ERROR && w.cpu->exc.error != rows[i].error))
			fail_msg("%s: result %d vector %u error %#x", rows[i].name, r,
				w.cpu->exc.vector, w.cpu->exc.error);
		assert_fault(r, rows[i].vector, rows[i].error);
		after = take_trace();
		if (memcmp(&before, &after, sizeof(before)))
			print_message("%s left a trace\n", rows[i].name);
		assert_same_trace(&before, &after);
	}
}

#endif
