/* SPDX-License-Identifier: MIT */
/*
 * ubench --list                        name, group and operation of every workload
 * ubench --calibrate MS [NAME...]      how many operations take about MS milliseconds: NAME:N
 * ubench [--samples K] NAME:N...       run each: K samples of N operations
 *
 * A result is a line "= NAME NS CHECKSUM": nanoseconds per operation of the best sample. Each
 * workload runs in a child, so one that dies costs only its own line ("= NAME failed WHY").
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ubench.h"

static const struct workload *const tables[] = {
	int_workloads, mem_workloads, fp_workloads, os_workloads, code_workloads, job_workloads};
#define TABLES (sizeof(tables) / sizeof(tables[0]))

void must(bool ok, const char *what)
{
	if (!ok) {
		perror(what);
		_exit(3);
	}
}

void *must_map(size_t size, int prot)
{
	void *p = mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	must(p != MAP_FAILED, "mmap");
	return p;
}

static u64 now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
}

static const struct workload *find(const char *name, size_t len)
{
	for (unsigned i = 0; i < TABLES; i++)
		for (const struct workload *w = tables[i]; w->name; w++)
			if (strlen(w->name) == len && memcmp(w->name, name, len) == 0)
				return w;
	return NULL;
}

static bool runs_here(const struct workload *w)
{
	return w->needs == NULL || __builtin_cpu_supports("avx2");
}

static void measure(const struct workload *w, u64 n, unsigned samples)
{
	u64 best = ~0ull, checksum = 0;

	if (!runs_here(w)) {
		printf("= %s failed no-%s\n", w->name, w->needs);
		return;
	}
	if (w->prepare)
		w->prepare();
	for (unsigned i = 0; i < samples; i++) {
		u64 start = now_ns();
		checksum = mix(checksum, w->run(n));
		u64 took = now_ns() - start;
		if (took < best)
			best = took;
	}
	printf("= %s %.3f %016llx\n", w->name, (double)best / (double)n,
		(unsigned long long)checksum);
}

static void calibrate(const struct workload *w, u64 target_ns)
{
	u64 n = 1, took;

	if (!runs_here(w))
		return;
	if (w->prepare)
		w->prepare();
	for (;;) {
		u64 start = now_ns();
		w->run(n);
		took = now_ns() - start;
		if (took >= target_ns / 2 || n > 1ull << 40)
			break;
		n = took < target_ns / 16 ? n * 8 : n * 2;
	}
	n = (u64)((double)n * (double)target_ns / (double)(took ? took : 1));
	n /= w->divide ? w->divide : 1;
	printf("%s:%llu\n", w->name, (unsigned long long)(n ? n : 1));
}

/* Runs f in a child and says how it ended when it did not end well. */
static void in_child(const struct workload *w, u64 n, unsigned samples, bool calibrating)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	must(pid >= 0, "fork");
	if (pid == 0) {
		if (calibrating)
			calibrate(w, n);
		else
			measure(w, n, samples);
		fflush(stdout);
		_exit(0);
	}
	must(waitpid(pid, &status, 0) == pid, "waitpid");
	if (WIFSIGNALED(status))
		printf("= %s failed signal-%d\n", w->name, WTERMSIG(status));
	else if (WEXITSTATUS(status))
		printf("= %s failed status-%d\n", w->name, WEXITSTATUS(status));
	fflush(stdout);
}

static void list(void)
{
	for (unsigned i = 0; i < TABLES; i++)
		for (const struct workload *w = tables[i]; w->name; w++)
			printf("%s %s %s\n", w->name, w->group, w->operation);
}

static int calibrate_all(u64 ms, char **names)
{
	for (unsigned i = 0; i < TABLES; i++)
		for (const struct workload *w = tables[i]; w->name; w++) {
			bool wanted = *names == NULL;
			for (char **name = names; *name; name++)
				wanted |= strcmp(*name, w->name) == 0;
			if (wanted)
				in_child(w, ms * 1000000, 0, true);
		}
	return 0;
}

/* Two processes that hand over to each other must share a CPU here as they do in a guest of one. */
static void pin(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((unsigned)sched_getcpu(), &set);
	sched_setaffinity(0, sizeof(set), &set);
}

int main(int argc, char **argv)
{
	unsigned samples = 3;
	int i = 1;

	if (argc == 2 && strcmp(argv[1], "--exit") == 0) /* what the exec workload runs */
		return 0;
	pin();
	if (argc == 2 && strcmp(argv[1], "--list") == 0) {
		list();
		return 0;
	}
	if (argc >= 3 && strcmp(argv[1], "--calibrate") == 0)
		return calibrate_all(strtoull(argv[2], NULL, 0), argv + 3);
	if (argc >= 3 && strcmp(argv[1], "--samples") == 0) {
		samples = (unsigned)atoi(argv[2]);
		i = 3;
	}
	for (; i < argc; i++) {
		const char *colon = strchr(argv[i], ':');
		const struct workload *w = colon ? find(argv[i], (size_t)(colon - argv[i])) : NULL;
		if (!w) {
			fprintf(stderr, "ubench: no workload %s; see ubench --list\n", argv[i]);
			return 2;
		}
		printf("+ %s\n", w->name);
		in_child(w, strtoull(colon + 1, NULL, 0), samples, false);
	}
	printf("done\n");
	return 0;
}
