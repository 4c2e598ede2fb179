/* SPDX-License-Identifier: MIT */
/* See harness.h. The parent has no thread and no machine. */
#include <dirent.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/kvmi/harness.h"
#include "tests/kvmi/vm.h"

#define TEST_SECONDS (UV_SANITIZED ? 240 : 60)

unsigned wait_ms(void)
{
	const char *ms = getenv("TESTS_WAIT_MS");

	return ms ? (unsigned)atoi(ms) : UV_SANITIZED ? 60000 : 15000;
}

void test_failed(const char *file, int line, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "    %s:%d: %s\n", file, line, text);
	fflush(NULL);
	_exit(1);
}

/* ---- one test, in its process ---- */

static unsigned count_entries(const char *path)
{
	DIR *dir = opendir(path);
	unsigned n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

/* A thread that has been joined is in /proc for a moment longer. */
static void check_count(const char *path, unsigned before)
{
	for (unsigned ms = 0; ms < wait_ms() && count_entries(path) > before; ms++)
		usleep(1000);
	if (count_entries(path) > before)
		test_failed(__FILE__, __LINE__, "%s: %u before, %u after it", path, before,
			count_entries(path));
}

/* What the first machine of a process makes stays. */
static void warm_up(void)
{
	struct vm *vm = vm_open(1, 0);

	vm_close(vm);
}

static void run_here(const struct test *test, enum dialect d)
{
	unsigned fds, threads;

	warm_up();
	fds = count_entries("/proc/self/fd");
	threads = count_entries("/proc/self/task");
	test->run(d);
	check_count("/proc/self/task", threads);
	check_count("/proc/self/fd", fds);
}

static bool report(const char *name, int status)
{
	const bool good = WIFEXITED(status) && !WEXITSTATUS(status);

	printf("%-7s %s", good ? "ok" : "FAILED", name);
	if (WIFSIGNALED(status))
		printf(": %s", WTERMSIG(status) == SIGALRM ? "hangs" : strsignal(WTERMSIG(status)));
	else if (!good)
		printf(": exit status %d", WEXITSTATUS(status));
	putchar('\n');
	fflush(stdout);
	return good;
}

static bool run_one(const struct test *test, enum dialect d, const char *name, bool in_process)
{
	pid_t child = in_process ? 0 : fork();
	int status;

	if (!child) {
		dup2(STDOUT_FILENO, STDERR_FILENO); /* why a test failed stands above its verdict */
		alarm(in_process ? 0 : TEST_SECONDS);
		run_here(test, d);
		if (in_process)
			return report(name, 0);
		exit(0);
	}
	return waitpid(child, &status, 0) == child && report(name, status);
}

/* ---- all of them ---- */

static bool is_wanted(char **wanted, int n, const char *name)
{
	for (int i = 0; i < n; i++)
		if (strstr(name, wanted[i]))
			return true;
	return !n;
}

struct plan {
	char **wanted;
	int n;
	bool list, in_process;
	unsigned passed, failed;
};

static void run_test(struct plan *p, const char *group, const struct test *test, enum dialect d)
{
	char name[128];

	if (!(test->dialects & d))
		return;
	snprintf(name, sizeof(name), "%s/%s/%s", d == V5 ? "v5" : "v6", group, test->name);
	if (!is_wanted(p->wanted, p->n, name))
		return;
	if (p->list)
		puts(name);
	else if (run_one(test, d, name, p->in_process))
		p->passed++;
	else
		p->failed++;
}

int harness_main(int argc, char **argv, const struct test_group *groups)
{
	struct plan p = {.wanted = argv + 1, .n = argc - 1};

	for (; p.n && p.wanted[0][0] == '-'; p.wanted++, p.n--) {
		p.list = p.list || !strcmp(p.wanted[0], "--list");
		p.in_process = p.in_process || !strcmp(p.wanted[0], "--in-process");
	}
	signal(SIGPIPE, SIG_IGN);
	for (enum dialect d = V5; d <= V6; d++)
		for (const struct test_group *g = groups; g->name; g++)
			for (const struct test *t = g->tests; t->name; t++)
				run_test(&p, g->name, t, d);
	if (p.list)
		return 0;
	printf("%u passed, %u failed\n", p.passed, p.failed);
	return p.failed || !p.passed;
}
