/* SPDX-License-Identifier: MIT */
/* How long something took, many times: the lines that bench/run reads. */
#ifndef BENCH_TIMES_H
#define BENCH_TIMES_H

#include <stdio.h>
#include <stdlib.h>

static inline int times_by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Of n microseconds, which are sorted: "= NAMEmedian US" and "= NAMEp99 US". */
static inline void print_times(const char *name, double *us, unsigned n)
{
	qsort(us, n, sizeof(*us), times_by_size);
	printf("= %smedian %.1f\n= %sp99 %.1f\n", name, us[n / 2], name, us[n * 99 / 100]);
}

#endif
