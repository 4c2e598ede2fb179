/* SPDX-License-Identifier: MIT */
/*
 * fuzz-ioctl [--seconds N] [--requests N] [--seed S] [--threads T]: random sequences of KVM requests with
 * arguments that are half right, over our own KVM in this process.
 *
 * Nothing that a caller passes may crash it, hang it, leak, or change memory that was not named. The
 * seed is printed; with one thread the same seed makes the same requests again. Exit code 0, 1 for a leak,
 * or an abort. A ticker thread sends signals, so that no KVM_RUN lasts; if requests stop coming for
 * HANG_SECONDS, that is a hang. The work is done in ROUNDS, each with a device of its own: what the process
 * holds after the last must be what it held after the first.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "fuzz/holdings.h"
#include "fuzz/ioctl_fuzz.h"

#define THREADS_MAX  8
#define HANG_SECONDS 100
#define ROUNDS       3

struct playground pg = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct {
	unsigned long count; /* requests in a round, unless seconds are given */
	unsigned seconds;    /* in a round */
	time_t end;
	pthread_barrier_t finished;
	_Atomic unsigned long done;
	_Atomic bool stop;
	unsigned threads;
	pthread_t thread[THREADS_MAX];
} fz = {.count = 2000, .threads = 1};

/* ---- threads ---- */

static u8 *guarded(size_t size)
{
	u8 *p = mmap(NULL, size + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	mprotect(p + size, 4096, PROT_NONE);
	return p;
}

static void *work(void *arg)
{
	struct worker w = {.random = {(u64)arg}, .scratch = guarded(SCRATCH)};

	while (atomic_fetch_add(&fz.done, 1) < fz.count || time(NULL) < fz.end)
		one_step(&w);
	pthread_barrier_wait(&fz.finished);
	munmap(w.scratch, SCRATCH + 4096);
	return NULL;
}

static void *tick(void *arg)
{
	struct timespec t = {.tv_nsec = 1000000};
	unsigned long last = 0;
	time_t since = time(NULL);
	unsigned i;

	while (!fz.stop) {
		nanosleep(&t, NULL);
		for (i = 0; i < fz.threads; i++)
			pthread_kill(fz.thread[i], SIGUSR1);
		if (fz.done != last || fz.stop) {
			last = fz.done;
			since = time(NULL);
		} else if (time(NULL) - since > HANG_SECONDS) {
			fprintf(stderr, "no request has returned for %d seconds\n", HANG_SECONDS);
			abort();
		}
	}
	return NULL;
}

static void nothing(int sig)
{
}

/* ---- rounds ---- */

static u64 parse(int argc, char **argv)
{
	static const struct option options[] = {
		{"seconds", required_argument, NULL, 'n'},
		{"requests", required_argument, NULL, 'r'},
		{"seed", required_argument, NULL, 's'},
		{"threads", required_argument, NULL, 't'},
		{0},
	};
	u64 seed = time(NULL) * 1000003ull ^ getpid();
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (c) {
		case 's': seed = strtoull(optarg, NULL, 0); break;
		case 'n': fz.seconds = strtoul(optarg, NULL, 0) / ROUNDS; break;
		case 'r': fz.count = strtoul(optarg, NULL, 0) / ROUNDS; break;
		case 't': fz.threads = strtoul(optarg, NULL, 0); break;
		default: exit(2);
		}
	if (fz.threads < 1 || fz.threads > THREADS_MAX)
		exit(2);
	return seed;
}

static void setup(u64 seed)
{
	unsigned i;

	signal(SIGUSR1, nothing);
	pg.ram = guarded(RAM_BYTES);
	for (i = 0; i < RAM_BYTES; i++) /* some code for the guests */
		pg.ram[i] = (seed >> (i % 57)) * 2654435761u >> (i % 13);
	for (i = 0; i < POOL; i++)
		pg.pool[i].fd = -1;
	pg.event = eventfd(0, EFD_NONBLOCK);
	pthread_barrier_init(&fz.finished, NULL, fz.threads + 1);
}

static void run_threads(u64 seed)
{
	pthread_t ticker;
	unsigned i;

	for (i = 0; i < fz.threads; i++)
		pthread_create(
			&fz.thread[i], NULL, work, (void *)((seed ^ i * 0x9e3779b97f4a7c15) | 1));
	pthread_create(&ticker, NULL, tick, NULL);
	pthread_barrier_wait(&fz.finished);
	fz.stop = true;
	pthread_join(ticker, NULL);
	for (i = 0; i < fz.threads; i++)
		pthread_join(fz.thread[i], NULL);
}

static struct holdings run_round(u64 seed)
{
	fz.done = 0;
	fz.stop = false;
	fz.end = time(NULL) + fz.seconds;
	if (dev_create(&pg.dev))
		exit(1);
	run_threads(seed);
	for (unsigned i = 0; i < POOL; i++)
		pool_close(&pg.pool[i]);
	dev_destroy(pg.dev);
	return look();
}

int main(int argc, char **argv)
{
	u64 seed = parse(argc, argv);
	struct holdings first, last;
	unsigned long requests;

	printf("fuzz-ioctl --seed %#llx --threads %u\n", (unsigned long long)seed, fz.threads);
	fflush(stdout);
	holdings_begin();
	setup(seed);
	first = run_round(seed);
	requests = fz.done;
	for (unsigned i = 1; i < ROUNDS; i++) {
		last = run_round(seed + i);
		requests += fz.done;
	}
	if (any_leak(&first, &last))
		return 1;
	printf("%lu requests\n", requests);
	return 0;
}
