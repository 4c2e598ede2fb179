/* SPDX-License-Identifier: MIT */
/* How long the parts of a cage take on this machine. No test: it prints, and fails for nothing. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "box.h"
#include "cage/cage_priv.h"

#define ROUNDS 20000

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void tell(const char *what, double begin, unsigned n)
{
	printf("%-28s %8.2f us\n", what, (now_us() - begin) / n);
}

static void time_stops(struct box *b)
{
	double begin;

	BOX_LOAD(b, accesses);
	begin = now_us();
	for (unsigned i = 0; i < ROUNDS; i++)
		box_run(b);
	tell("fault and back", begin, ROUNDS);
	BOX_LOAD(b, calls);
	begin = now_us();
	for (unsigned i = 0; i < ROUNDS; i++) {
		b->regs.rip = CODE;
		box_run(b);
	}
	tell("system call and back", begin, ROUNDS);
}

static void time_kicks(struct box *b)
{
	double begin = now_us();

	BOX_LOAD(b, sum);
	for (unsigned i = 0; i < ROUNDS; i++) {
		cage_kick(b->cage);
		box_run(b);
	}
	tell("kick, run and back", begin, ROUNDS);
}

static void time_maps(struct box *b, unsigned n, unsigned step, const char *what)
{
	struct cage_page page[500];
	unsigned rounds = ROUNDS / n;
	double begin;

	for (unsigned i = 0; i < n; i++)
		page[i] = (struct cage_page){0x20000000 + i * step * PAGE_SIZE,
			b->ram + (8 + i) * PAGE_SIZE, CAGE_READ | CAGE_WRITE};
	begin = now_us();
	for (unsigned i = 0; i < rounds; i++)
		cage_map(b->cage, page, n);
	tell(what, begin, rounds);
	cage_clear(b->cage);
}

static void time_life(void)
{
	double begin = now_us();

	for (unsigned i = 0; i < 100; i++) {
		struct box b;

		box_open(&b);
		box_close(&b);
	}
	tell("birth and end", begin, 100);
}

int main(void)
{
	struct box b;
	double begin;

	box_open(&b);
	printf("wake-up on the same processor: %s\n",
		b.cage->same_cpu ? "by the kernel" : "by moving");
	time_stops(&b);
	time_kicks(&b);
	time_maps(&b, 1, 1, "map 1 page, replacing it");
	time_maps(&b, 500, 1, "map 500 pages in one run");
	time_maps(&b, 500, 2, "map 500 pages, each alone");
	begin = now_us();
	for (unsigned i = 0; i < 1000; i++)
		cage_clear(b.cage);
	tell("clear of nothing", begin, 1000);
	box_close(&b);
	time_life();
	return 0;
}
