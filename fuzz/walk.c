/* SPDX-License-Identifier: MIT */
/*
 * The page walk against its model over random tables, modes and accesses.
 * walk [--seconds N] [--seed S]: without options about a second. A finding is replayed by its seed.
 */
#include <stdio.h>
#include <time.h>

#include "tests/unit/mem/walk_model.h"

#define ROUND 20000

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static u64 option(int argc, char **argv, const char *name, u64 otherwise)
{
	for (int i = 1; i + 1 < argc; i++) {
		if (!strcmp(argv[i], name))
			return strtoull(argv[i + 1], NULL, 0);
	}
	return otherwise;
}

int main(int argc, char **argv)
{
	double end = now() + option(argc, argv, "--seconds", 1);
	u64 seed = option(argc, argv, "--seed", 1), walks = 0;
	struct fixture f;

	fixture_open(&f, 1, MODEL_BYTES);
	for (; now() < end; seed++, walks += ROUND) {
		/* One seed a round, so that a finding needs at most one round to come back. */
		struct random r = {seed * 0x9e3779b97f4a7c15ull | 1};

		if (!model_compare(&f, &r, ROUND)) {
			fprintf(stderr, "walk: replay with --seed %lu\n", seed);
			return 1;
		}
	}
	fixture_close(&f);
	printf("walk: %lu walks agree, seeds up to %lu\n", walks, seed - 1);
	return 0;
}
