/* SPDX-License-Identifier: MIT */
/* See harness.h. The first thread hands out tests; what one of them says is printed when it is over. */
#include <dirent.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/mshv/harness.h"
#include "tests/mshv/mshv.h"

#define NO_DEVICE 77

enum outcome { PASSED, FAILED, SKIPPED };

struct running {
	const struct test *test;
	const char *group;
	enum outcome outcome;
	char text[1024];
	pthread_t thread;
};

static _Thread_local struct running *current;

static void say(struct running *r, const char *format, va_list args)
{
	const size_t used = strlen(r->text);

	vsnprintf(r->text + used, sizeof(r->text) - used, format, args);
}

void test_note(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(current, format, args);
	va_end(args);
}

void test_failed(const char *file, int line, const char *format, ...)
{
	va_list args;

	test_note("%s:%d: ", file, line);
	va_start(args, format);
	say(current, format, args);
	va_end(args);
	current->outcome = FAILED;
	pthread_exit(NULL);
}

void test_skip(const char *why)
{
	test_note("%s", why);
	current->outcome = SKIPPED;
	pthread_exit(NULL);
}

bool check_ok_(const char *what, long result)
{
	if (result < 0)
		test_note("%s: %s, status 0x%x: ", what, strerror((int)-result), root_last.status);
	return result >= 0;
}

/* ---- one test ---- */

static unsigned count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

static void *thread_main(void *opaque)
{
	current = opaque;
	current->test->run();
	return NULL;
}

static void report(const struct running *r)
{
	static const char *const words[] = {"ok", "FAILED", "skipped"};

	printf("%-8s %s/%s%s%s\n", words[r->outcome], r->group, r->test->name,
		r->text[0] ? ": " : "", r->text);
	fflush(stdout);
}

/* ---- all of them ---- */

struct plan {
	char **wanted;
	int wanted_count;
	unsigned parallel;
	pthread_mutex_t lock; /* of all below */
	const struct test_group *group;
	const struct test *next;
	unsigned counts[3];
};

static bool is_wanted(const struct plan *p, const char *group, const char *name)
{
	char whole[256];

	snprintf(whole, sizeof(whole), "%s/%s", group, name);
	for (int i = 0; i < p->wanted_count; i++)
		if (strstr(whole, p->wanted[i]))
			return true;
	return !p->wanted_count;
}

static bool take_next(struct plan *p, struct running *r)
{
	bool found = false;

	pthread_mutex_lock(&p->lock);
	while (!found && p->group->name) {
		if (!p->next->name) {
			p->group++;
			p->next = p->group->tests;
			continue;
		}
		*r = (struct running){.test = p->next, .group = p->group->name};
		found = is_wanted(p, r->group, r->test->name);
		p->next++;
	}
	pthread_mutex_unlock(&p->lock);
	return found;
}

static void run_one(struct plan *p, struct running *r)
{
	const unsigned before = count_descriptors();
	unsigned after;

	if (pthread_create(&r->thread, NULL, thread_main, r))
		abort();
	pthread_join(r->thread, NULL);
	after = count_descriptors();
	if (p->parallel == 1 && r->outcome == PASSED && after != before) {
		r->outcome = FAILED;
		snprintf(r->text, sizeof(r->text), "%u descriptors before, %u after it", before,
			after);
	}
	pthread_mutex_lock(&p->lock);
	p->counts[r->outcome]++;
	report(r);
	pthread_mutex_unlock(&p->lock);
}

static void *worker(void *opaque)
{
	struct plan *p = opaque;
	struct running r;

	while (take_next(p, &r))
		run_one(p, &r);
	return NULL;
}

static int run_all(struct plan *p)
{
	enum { MAX_WORKERS = 64 };
	pthread_t threads[MAX_WORKERS];

	p->parallel = MIN(p->parallel, (unsigned)MAX_WORKERS);
	for (unsigned i = 0; i < p->parallel; i++)
		if (pthread_create(&threads[i], NULL, worker, p))
			abort();
	for (unsigned i = 0; i < p->parallel; i++)
		pthread_join(threads[i], NULL);
	printf("%u passed, %u failed, %u skipped\n", p->counts[PASSED], p->counts[FAILED],
		p->counts[SKIPPED]);
	return p->counts[FAILED] || !p->counts[PASSED];
}

static bool take_option(struct plan *p, const char *name, int words)
{
	if (p->wanted_count < words || strcmp(p->wanted[0], name))
		return false;
	p->wanted += words;
	p->wanted_count -= words;
	return true;
}

/* What the first machine of a process makes stays for the others: it is no leak of the test that is the first. */
static void warm_up(int device)
{
	const struct mshv_create_partition_v2 how = {.pt_flags = PT_FLAG(LAPIC)};
	int vp = -1, partition = root_partition_create(device, &how);

	if (partition >= 0 && root_partition_initialize(partition) >= 0)
		vp = root_vp_create(partition, 0);
	if (vp >= 0)
		port_close(vp);
	if (partition >= 0)
		port_close(partition);
}

int harness_main(int argc, char **argv, const struct test_group *groups)
{
	struct plan p = {.parallel = 1, .wanted = argv + 1, .wanted_count = argc - 1};
	const bool must = take_option(&p, "--must", 1);
	int fd = port_open();

	pthread_mutex_init(&p.lock, NULL);
	if (fd < 0) {
		printf("/dev/mshv cannot be opened: %s\n", strerror(-fd));
		return must ? 1 : NO_DEVICE;
	}
	warm_up(fd);
	port_close(fd);
	if (take_option(&p, "--parallel", 2))
		p.parallel = MAX(1u, (unsigned)strtoul(p.wanted[-1], NULL, 0));
	p.group = groups;
	p.next = groups->tests;
	return run_all(&p);
}
