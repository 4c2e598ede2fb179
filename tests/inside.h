/* SPDX-License-Identifier: MIT */
/*
 * Waiting for a thread to be inside a call that it does not come back from by itself, KVM_RUN above all. Who sends his
 * signal after some milliseconds instead sends it too early on a busy machine, and then nothing ends the call.
 *
 * A thread is inside when it has slept, or has used the processor, for some time: what tests do on the way there does
 * neither.
 */
#ifndef TESTS_INSIDE_H
#define TESTS_INSIDE_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Is it asleep? stat is that of a thread or a process in /proc. */
static inline bool inside_asleep(const char *stat)
{
	char text[512] = "", *state;
	FILE *f = fopen(stat, "r");

	if (!f)
		return false;
	if (!fgets(text, sizeof(text), f))
		text[0] = 0;
	fclose(f);
	state = strrchr(text, ')'); /* before it is a name of any kind */
	return state && state[1] == ' ' && state[2] == 'S';
}

/* The clock of the processor time of a thread of ours; 0 is none: clock_gettime(2), "CLOCK_THREAD_CPUTIME_ID". */
static inline long long inside_used_ns(int tid)
{
	struct timespec t = {0};

	if (tid)
		clock_gettime((clockid_t)(~(unsigned)tid << 3 | 6), &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static inline void inside_wait(const char *stat, int tid, unsigned ms)
{
	long long start = inside_used_ns(tid);
	unsigned asleep = 0;

	while (asleep < ms && inside_used_ns(tid) - start < ms * 1000000ll) {
		asleep = inside_asleep(stat) ? asleep + 1 : 0;
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
}

/* A thread of this process. */
static inline void inside_wait_thread(int tid, unsigned ms)
{
	char stat[64];

	snprintf(stat, sizeof(stat), "/proc/self/task/%d/stat", tid);
	inside_wait(stat, tid, ms);
}

/* The only thread of another process, which sleeps there. */
static inline void inside_wait_process(int pid, unsigned ms)
{
	char stat[64];

	snprintf(stat, sizeof(stat), "/proc/%d/stat", pid);
	inside_wait(stat, 0, ms);
}

#endif
