/* SPDX-License-Identifier: MIT */
/*
 * fuzz-libkvm [--seconds N] [--calls N] [--seed S] [--trace] [--engine soft|mshv]: random calls of libkvm, in any order and with
 * arguments that are half right, over the engine in this process.
 *
 * None may crash it, hang it, or leak; a call that fails gives -errno and leaves errno so; guests run what memory
 * holds, and callbacks answer anything. Pointers are good or NULL. The seed is printed and makes the same calls again,
 * but for the moments at which the ticker's signals arrive. The work is done in ROUNDS: what the process holds after
 * the last must be what it held after the first. Exit code 0, 1 for a finding, or an abort.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "fuzz/holdings.h"
#include "fuzz/libkvm_fuzz.h"

#define ROUNDS       3
#define HANG_SECONDS 100

struct fuzz fz = {.count = 4000, .engine = "soft"};

/* Signals, so that no kvm_run lasts. */
static void *tick(void *arg)
{
	const struct timespec t = {.tv_nsec = 1000000};
	unsigned long last = 0;
	time_t since = time(NULL);

	while (!fz.stop) {
		nanosleep(&t, NULL);
		pthread_kill(fz.thread, SIGUSR1);
		if (fz.done != last) {
			last = fz.done;
			since = time(NULL);
		} else if (time(NULL) - since > HANG_SECONDS) {
			fprintf(stderr, "%s has not returned for %d seconds\n", fz.call,
				HANG_SECONDS);
			abort();
		}
	}
	return NULL;
}

static void nothing(int number)
{
}

static struct holdings run_round(u64 seed)
{
	const time_t end = time(NULL) + fz.seconds;
	pthread_t ticker;

	fz.random.state = seed | 1;
	fz.done = 0;
	fz.stop = false;
	pthread_create(&ticker, NULL, tick, NULL);
	for (int i = 0; i < CONTEXTS; i++) {
		fz.c = &fz.contexts[i];
		make_context();
	}
	do
		one_call();
	while (++fz.done < fz.count || time(NULL) < end);
	for (int i = 0; i < CONTEXTS; i++)
		kvm_finalize(fz.contexts[i].kvm);
	fz.stop = true;
	pthread_join(ticker, NULL);
	return look();
}

static u64 parse(int argc, char **argv)
{
	static const struct option options[] = {
		{"seconds", required_argument, NULL, 'n'},
		{"engine", required_argument, NULL, 'e'},
		{"calls", required_argument, NULL, 'c'},
		{"seed", required_argument, NULL, 's'},
		{"trace", no_argument, NULL, 't'},
		{0},
	};
	u64 seed = (u64)time(NULL) * 1000003ull ^ (u64)getpid();
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (c) {
		case 's': seed = strtoull(optarg, NULL, 0); break;
		case 'e': fz.engine = optarg; break;
		case 'n': fz.seconds = (unsigned)strtoul(optarg, NULL, 0) / ROUNDS; break;
		case 'c': fz.count = strtoul(optarg, NULL, 0) / ROUNDS; break;
		case 't': fz.trace = true; break;
		default: exit(2);
		}
	return seed;
}

static void setup(void)
{
	fz.thread = pthread_self();
	signal(SIGUSR1, nothing);
	fz.scratch =
		mmap(NULL, SCRATCH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	fz.arena = mmap(NULL, ARENA + ARENA_BEHIND, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (fz.scratch == MAP_FAILED || fz.arena == MAP_FAILED ||
		mprotect(fz.arena, ARENA, PROT_READ | PROT_WRITE))
		exit(1);
	write_code(fz.arena);
}

int main(int argc, char **argv)
{
	const u64 seed = parse(argc, argv);
	struct holdings first, last;

	printf("fuzz-libkvm --seed %#llx\n", (unsigned long long)seed);
	fflush(stdout);
	holdings_begin();
	setup();
	first = run_round(seed);
	for (unsigned i = 1; i < ROUNDS; i++)
		last = run_round(seed + i * 0x9e3779b97f4a7c15);
	if (any_leak(&first, &last))
		return 1;
	printf("%lu calls in the last round\n", fz.done);
	return 0;
}
