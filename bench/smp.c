/* SPDX-License-Identifier: MIT */
/*
 * smp PROGRAM WORKERS...: what several processors give. So many processes share a fixed amount of work: of counting
 * alone, under one mutex, under one spinlock, or of making processes; the time is that of the last one. Runs in guests
 * and natively. Lines: "= PROGRAM-WORKERS NANOSECONDS", the best of several samples.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

#define SAMPLES     3
#define MAX_WORKERS 64
#define HELD        40 /* rounds of count() with the lock, and as many without */

/* What the workers share. */
struct shared {
	pthread_mutex_t mutex;
	_Alignas(64) atomic_flag spinlock;
	_Alignas(64) uint64_t done; /* under either lock */
};

static void check(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "smp: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void count(uint64_t n)
{
	for (uint64_t x = 1; n; n--) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		__asm__ volatile("" : "+r"(x));
	}
}

static void spin(struct shared *s, uint64_t n)
{
	(void)s;
	count(n);
}

static void lock(struct shared *s, uint64_t n)
{
	while (n--) {
		pthread_mutex_lock(&s->mutex);
		s->done++;
		count(HELD);
		pthread_mutex_unlock(&s->mutex);
		count(HELD);
	}
}

static void spinlock(struct shared *s, uint64_t n)
{
	while (n--) {
		while (atomic_flag_test_and_set_explicit(&s->spinlock, memory_order_acquire))
			__builtin_ia32_pause();
		s->done++;
		count(HELD);
		atomic_flag_clear_explicit(&s->spinlock, memory_order_release);
		count(HELD);
	}
}

static void make_processes(struct shared *s, uint64_t n)
{
	(void)s;
	while (n--) {
		pid_t child = fork();

		check(child >= 0, "fork");
		if (!child)
			_exit(0);
		check(waitpid(child, NULL, 0) == child, "waitpid");
	}
}

static const struct program {
	const char *name;
	void (*work)(struct shared *s, uint64_t n);
	uint64_t total; /* divided among the workers, if shared */
	int shared, counts;
} programs[] = {
	{"spin", spin, 100000000, 0, 0},
	{"lock", lock, 2000000, 1, 1},
	{"fork", make_processes, 1200, 1, 0},
	{"spinlock", spinlock, 2000000, 1, 1},
};
#define PROGRAMS (sizeof(programs) / sizeof(programs[0]))

static struct shared *make_shared(void)
{
	struct shared *s =
		mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_t a;

	check(s != MAP_FAILED, "mmap");
	pthread_mutexattr_init(&a);
	pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&s->mutex, &a);
	return s;
}

static void begin(const struct program *p, struct shared *s, uint64_t n)
{
	pid_t child = fork();

	check(child >= 0, "fork");
	if (child)
		return;
	p->work(s, n);
	_exit(0);
}

static double once(const struct program *p, struct shared *s, unsigned workers)
{
	uint64_t each = p->shared ? p->total / workers : p->total;
	double start = now_ns();
	int status;

	s->done = 0;
	for (unsigned i = 0; i < workers; i++)
		begin(p, s, each);
	for (unsigned i = 0; i < workers; i++)
		check(wait(&status) > 0 && status == 0, p->name);
	if (p->counts && s->done != each * workers) {
		fprintf(stderr, "smp: %s: the lock does not hold\n", p->name);
		exit(1);
	}
	return now_ns() - start;
}

static void measure(const struct program *p, struct shared *s, unsigned workers)
{
	double best = 1e18;

	for (int i = 0; i < SAMPLES; i++) {
		double took = once(p, s, workers);

		if (took < best)
			best = took;
	}
	printf("= %s-%u %.0f\n", p->name, workers, best);
	fflush(stdout);
}

static const struct program *find(const char *name)
{
	for (unsigned i = 0; i < PROGRAMS; i++)
		if (!strcmp(programs[i].name, name))
			return &programs[i];
	return NULL;
}

int main(int argc, char **argv)
{
	struct shared *s = make_shared();

	for (int i = 1; i + 1 < argc; i += 2) {
		const struct program *p = find(argv[i]);
		unsigned workers = (unsigned)strtoul(argv[i + 1], NULL, 10);

		if (!p || !workers || workers > MAX_WORKERS) {
			fprintf(stderr, "usage: smp {spin|lock|fork|spinlock WORKERS}...\n");
			return 2;
		}
		measure(p, s, workers);
	}
	return 0;
}
