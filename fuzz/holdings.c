/* SPDX-License-Identifier: MIT */
/* Descriptors, heap, address space, threads. */
#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "fuzz/holdings.h"

#define HEAP_SLACK   (256 << 10) /* the C library's own, of threads that come and go */
#define MAPPED_SLACK (8 << 20)
#define STACK_BYTES  (512 << 10) /* that of a thread which is gone is kept for the next one */

static long open_fds(void)
{
	long n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Address space in bytes. */
static long mapped_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long pages = 0;

	if (!f || fscanf(f, "%ld", &pages) != 1)
		abort();
	fclose(f);
	return pages * 4096;
}

static long threads(void)
{
	DIR *d = opendir("/proc/self/task");
	long n = 0;

	if (!d)
		abort();
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Threads that allocate at the same time get a heap of 64 MiB of address space each, for good. */
void holdings_begin(void)
{
	pthread_attr_t attr;

	mallopt(M_ARENA_MAX, 1);
	if (UV_SANITIZED || pthread_attr_init(&attr)) /* sanitizers need more of a stack */
		return;
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	pthread_setattr_default_np(&attr);
	pthread_attr_destroy(&attr);
}

struct holdings look(void)
{
	return (struct holdings){open_fds(), (long)mallinfo2().uordblks, mapped_bytes(), threads()};
}

static bool leaked(const char *what, long before, long after, long slack)
{
	if (after <= before + slack)
		return false;
	fprintf(stderr, "%s leaked: %ld after the first round, %ld after the last\n", what, before,
		after);
	return true;
}

/* Who has joined a thread may still see it for a moment, which on a busy machine is long: it is given two seconds. */
static long threads_in_the_end(const struct holdings *a, const struct holdings *b)
{
	const struct timespec nap = {.tv_nsec = 10000000};
	long n = b->threads;

	for (unsigned i = 0; n > a->threads && i < 200; i++) {
		nanosleep(&nap, NULL);
		n = threads();
	}
	return n;
}

bool any_leak(const struct holdings *a, const struct holdings *b)
{
	bool fds = leaked("descriptors", a->fds, b->fds, 0);
	bool heap = leaked("heap", a->heap, b->heap, HEAP_SLACK);
	/* The sanitizers keep what was unmapped. */
	bool mapped = !UV_SANITIZED && leaked("mapped memory", a->mapped, b->mapped, MAPPED_SLACK);

	bool more = leaked("threads", a->threads, threads_in_the_end(a, b), 0);

	return fds || heap || mapped || more;
}
