/* SPDX-License-Identifier: MIT */
/* A cage's process: what it holds, whom it obeys, and when it ends. */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "box.h"
#include "cage/cage_priv.h"

#ifndef __WALL
#define __WALL 0x40000000
#endif

static void compute(struct box *b, u64 n)
{
	BOX_LOAD(b, sum);
	b->regs.gpr[1] = n;
	assert_int_equal(box_run(b), CAGE_TRAP);
	assert_int_equal(b->regs.gpr[0], n * (n + 1) / 2);
}

static unsigned lines_of(const char *path)
{
	FILE *f = fopen(path, "r");
	unsigned n = 0;

	if (!f)
		return 0;
	for (int c; (c = fgetc(f)) != EOF;)
		n += c == '\n';
	fclose(f);
	return n;
}

static unsigned entries_of(const char *path)
{
	DIR *d = opendir(path);
	unsigned n = 0;

	if (!d)
		return 0;
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* ---- what is left behind ---- */

static void nothing_is_left(void **state)
{
	unsigned fds = 0, maps = 0;
	siginfo_t info;

	for (int i = 0; i < 50; i++) {
		struct box b;

		box_open(&b);
		compute(&b, 10);
		box_close(&b);
		if (i == 3) { /* the C library has what it wants by now */
			fds = entries_of("/proc/self/fd");
			maps = lines_of("/proc/self/maps");
		}
	}
	assert_int_equal(entries_of("/proc/self/fd"), fds);
	assert_in_range(lines_of("/proc/self/maps"), maps - 1, maps + 1);
	assert_int_equal(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | __WALL), -1);
	assert_int_equal(errno, ECHILD);
}

/* A program that waits for its children does not see it. */
static void is_no_child_of_the_program(void **state)
{
	struct box *b = *state;
	pid_t child = fork();
	int status;

	if (!child)
		_exit(7);
	assert_int_equal(waitpid(-1, &status, 0), child);
	assert_int_equal(waitpid(-1, &status, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	compute(b, 5);
}

static void holds_nothing_of_ours(void **state)
{
	struct box *b = *state;
	char path[64], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/maps", b->cage->pid, b->cage->runner_tid);
	f = fopen(path, "r");
	if (!f || !fgets(line, sizeof(line), f)) {
		print_message("%s cannot be read: only root may\n", path);
		if (f)
			fclose(f);
		return;
	}
	do {
		u64 at = strtoull(line, NULL, 16);

		assert_true(at == CODE || at == DATA || at == STACK || at >> 63 ||
			    (at >= CAGE_AREA && at < b->cage->end));
	} while (fgets(line, sizeof(line), f));
	fclose(f);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/fd", b->cage->pid, b->cage->runner_tid);
	assert_int_equal(entries_of(path), 2);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/fd", b->cage->pid, b->cage->mapper_tid);
	assert_int_equal(entries_of(path), 2);
}

/* ---- threads ---- */

static void *works_alone(void *arg)
{
	struct box b;

	box_open(&b);
	for (u64 i = 1; i < 300; i++) {
		compute(&b, i * 10);
		assert_int_equal(box_map(&b, 0x600000, 3 + i % 2, CAGE_READ | CAGE_WRITE), 0);
		BOX_LOAD(&b, accesses);
		b.regs.gpr[6] = b.regs.gpr[7] = 0x600000;
		b.regs.gpr[3] = i;
		assert_fault(&b, 0, 0x14);
		assert_int_equal(*(u64 *)(b.ram + (3 + i % 2) * PAGE_SIZE), i);
	}
	box_close(&b);
	return NULL;
}

static void two_at_a_time(void **state)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, works_alone, NULL), 0);
	works_alone(NULL);
	pthread_join(thread, NULL);
}

static void *opens(void *arg)
{
	box_open(arg);
	return NULL;
}

/* The end of the thread that made it is not the end of the cage. */
static void outlives_its_thread(void **state)
{
	struct box b;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, opens, &b), 0);
	pthread_join(thread, NULL);
	for (int i = 0; i < 20; i++) {
		compute(&b, 1000);
		usleep(1000);
	}
	box_close(&b);
}

/* Before Linux 6.6 it goes where its caller is. */
static void moves_to_its_caller(void **state)
{
	struct box *b = *state;

	b->cage->same_cpu = false;
	for (unsigned i = 1; i < 200; i++) {
		compute(b, i);
		assert_int_equal(box_map(b, 0x600000 + i * PAGE_SIZE, i, CAGE_READ), 0);
	}
	assert_true(b->cage->cpu != ~0u);
	b->cage->cpu = ~0u;
	compute(b, 7);
}

/* ---- interruptions ---- */

/* All threads of it leave the wait, and come back to it. */
static void is_stopped_and_continued(void **state)
{
	struct box *b = *state;

	for (unsigned i = 1; i < 20; i++) {
		siginfo_t info;

		assert_int_equal(kill(b->cage->pid, SIGSTOP), 0);
		assert_int_equal(waitid(P_PID, (id_t)b->cage->pid, &info, WSTOPPED | __WALL), 0);
		assert_int_equal(kill(b->cage->pid, SIGCONT), 0);
		if (i % 2)
			assert_int_equal(box_map(b, 0x600000, i, CAGE_READ), 0);
		compute(b, i);
	}
}

static void is_killed(void **state)
{
	struct box *b = *state;
	struct cage_regs before;

	compute(b, 3);
	assert_int_equal(kill(b->cage->pid, SIGKILL), 0);
	BOX_LOAD(b, endless);
	b->regs.gpr[7] = DATA;
	before = b->regs;
	assert_int_equal(box_run(b), CAGE_LOST);
	assert_memory_equal(&b->regs, &before, sizeof(before));
	assert_true(box_map(b, 0x600000, 3, CAGE_READ) < 0);
	assert_int_equal(box_run(b), CAGE_LOST);
}

static void *kill_it(void *arg)
{
	struct box *b = arg;
	const volatile u64 *count = (const volatile u64 *)(b->ram + PAGE_SIZE);

	while (!*count)
		usleep(100);
	kill(b->cage->pid, SIGKILL);
	return NULL;
}

/* While it runs, and the parent waits. */
static void is_killed_meanwhile(void **state)
{
	struct box *b = *state;
	pthread_t thread;

	BOX_LOAD(b, endless);
	b->regs.gpr[7] = DATA;
	assert_int_equal(pthread_create(&thread, NULL, kill_it, b), 0);
	assert_int_equal(box_run(b), CAGE_LOST);
	pthread_join(thread, NULL);
	assert_int_equal(b->regs.rip, CODE);
}

static void map_after_the_end(void **state)
{
	struct box *b = *state;

	assert_int_equal(kill(b->cage->pid, SIGKILL), 0);
	assert_true(box_map(b, 0x600000, 3, CAGE_READ) < 0);
	assert_true(cage_unmap(b->cage, 0x600000, PAGE_SIZE) < 0);
	assert_true(cage_clear(b->cage) < 0);
	assert_int_equal(box_run(b), CAGE_LOST);
}

/* ---- processes ---- */

/* In a forked child the cage is lost, and what the child does changes nothing for the parent. */
static void forked_child(void **state)
{
	struct box *b = *state;
	pid_t child;
	int status;

	compute(b, 9);
	child = fork();
	if (!child) {
		bool lost = box_run(b) == CAGE_LOST && cage_clear(b->cage) < 0 &&
			    box_map(b, 0x600000, 3, CAGE_READ) < 0;

		cage_kick(b->cage);
		cage_destroy(b->cage);
		_exit(lost ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	for (u64 i = 1; i < 20; i++)
		compute(b, i);
}

/* A program of its own in a child: makes a cage that never stops, and tells who it is. */
static _Noreturn void run_for_ever(int tell)
{
	struct box b;

	box_open(&b);
	BOX_LOAD(&b, endless);
	b.regs.gpr[7] = DATA;
	if (fork() == 0) /* has the descriptors, and lives longer */
		for (;;)
			pause();
	if (write(tell, &b.cage->pid, sizeof(int)) == sizeof(int))
		while (box_run(&b) != CAGE_LOST)
			;
	_exit(1);
}

static void end_and_reap(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, __WALL) < 0 && errno == EINTR)
		;
}

/* We are its parent when its own has gone: it ends by itself, or this waits for ever. */
static void ends_with_its_parent(void **state)
{
	int pipes[2], cage;
	pid_t parent, left;
	char line[64] = "";
	FILE *f;

	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	assert_int_equal(pipe(pipes), 0);
	parent = fork();
	if (!parent)
		run_for_ever(pipes[1]);
	assert_int_equal(read(pipes[0], &cage, sizeof(cage)), sizeof(cage));
	usleep(10000);
	kill(parent, SIGKILL);
	end_and_reap(parent);
	end_and_reap(cage);
	assert_int_equal(kill(cage, 0), -1);
	assert_int_equal(errno, ESRCH);
	/* The last child is the one that has the descriptors. */
	f = fopen("/proc/thread-self/children", "r");
	if (f && fgets(line, sizeof(line), f) && (left = atoi(line)) > 0) {
		kill(left, SIGKILL);
		end_and_reap(left);
	}
	if (f)
		fclose(f);
	prctl(PR_SET_CHILD_SUBREAPER, 0);
	close(pipes[0]);
	close(pipes[1]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, box_setup, box_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_is_left),
		TEST(is_no_child_of_the_program), TEST(holds_nothing_of_ours),
		cmocka_unit_test(two_at_a_time), cmocka_unit_test(outlives_its_thread),
		TEST(moves_to_its_caller), TEST(is_stopped_and_continued), TEST(is_killed),
		TEST(is_killed_meanwhile), TEST(map_after_the_end), TEST(forked_child),
		cmocka_unit_test(ends_with_its_parent)};

	return box_main(tests, ARRAY_SIZE(tests));
}
