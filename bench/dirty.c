/* SPDX-License-Identifier: MIT */
/*
 * dirty MIB: fills so many MiB with numbers, and says "@@filled"; then writes to each page in turn, over and over. Lines:
 * "= pass NANOSECONDS NUMBER" of each pass. A page that has lost its number is told of by "@@lost", and ends it. Runs in
 * guests that are saved, restored and whose writes are logged (moves.py).
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "clock.h"

#define PAGE 4096ull

/* All words of a page differ from those of all others, so it cannot be saved as if it were one byte repeated. */
static void fill(uint64_t *word, uint64_t pages)
{
	uint64_t x = 1;

	for (uint64_t i = 0; i < pages * PAGE / sizeof(*word); i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		word[i] = x;
	}
	for (uint64_t i = 0; i < pages; i++)
		word[i * PAGE / sizeof(*word)] = i;
}

/* The first word of page i is i plus the number of passes. */
static int pass(uint64_t *word, uint64_t pages, uint64_t passes)
{
	for (uint64_t i = 0; i < pages; i++)
		if (word[i * PAGE / sizeof(*word)]++ != i + passes)
			return 0;
	return 1;
}

int main(int argc, char **argv)
{
	uint64_t pages = argc == 2 ? strtoull(argv[1], NULL, 10) * (1 << 20) / PAGE : 0, passes = 0;
	uint64_t *word = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (!pages || word == MAP_FAILED) {
		fprintf(stderr, "usage: dirty MIB\n");
		return 2;
	}
	fill(word, pages);
	printf("@@filled\n");
	fflush(stdout);
	for (;;) {
		double start = now_ns();

		if (!pass(word, pages, passes++)) {
			printf("@@lost\n");
			return 1;
		}
		printf("= pass %.0f %llu\n", now_ns() - start, (unsigned long long)passes);
		fflush(stdout);
	}
}
