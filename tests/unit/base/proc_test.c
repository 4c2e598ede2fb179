/* SPDX-License-Identifier: MIT */
/* What /proc says of this process: all numbers of a folder, the parts of a mapping, and where each ends early. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/proc.h"

#define MANY 200 /* descriptors: more than one buffer of names */
#define SIZE ((size_t)4 * PAGE_SIZE)

struct seen {
	int last, count;
	bool number[1024];
};

static int see(int number, void *arg)
{
	struct seen *s = arg;

	s->count++;
	s->last = number;
	if (number < (int)ARRAY_SIZE(s->number))
		s->number[number] = true;
	return 0;
}

static void test_numbers(void **state)
{
	struct seen s = {.count = 0};
	int fd[MANY];

	for (int i = 0; i < MANY; i++)
		assert_true((fd[i] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0);
	assert_int_equal(proc_numbers("/proc/self/fd", see, &s), 0);
	for (int i = 0; i < MANY; i++) {
		assert_true(s.number[fd[i]]);
		close(fd[i]);
	}
}

static int stop(int number, void *arg)
{
	see(number, arg);
	return 7;
}

static void test_numbers_end(void **state)
{
	struct seen s = {.count = 0};
	int mine = open("/dev/null", O_RDONLY | O_CLOEXEC), again;

	assert_int_equal(proc_numbers("/proc/self/fd", stop, &s), 7);
	assert_int_equal(s.count, 1);
	assert_int_equal(proc_numbers("/proc/self/no-such-folder", see, &s), -ENOENT);
	assert_int_equal(proc_numbers("/proc/self/maps", see, &s), -ENOTDIR);
	again = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(again, mine + 1); /* nothing has stayed open */
	close(mine);
	close(again);
}

/* "." and "..", and what only begins with a digit. */
static void test_numbers_only(void **state)
{
	char folder[] = "/tmp/uservisor-proc-XXXXXX", path[64];
	static const char *const names[] = {"12", "3x", "99999999999", "0"};
	struct seen s = {.count = 0};

	assert_non_null(mkdtemp(folder));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		assert_return_code(mkdir(path, 0700), errno);
	}
	assert_int_equal(proc_numbers(folder, see, &s), 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		rmdir(path);
	}
	rmdir(folder);
	assert_int_equal(s.count, 2);
	assert_true(s.number[12] && s.number[0]);
}

struct wanted {
	u64 at;
	struct proc_mapping found;
};

static int find(const struct proc_mapping *m, void *arg)
{
	struct wanted *w = arg;

	if (w->at < m->start || w->at >= m->end)
		return 0;
	w->found = *m;
	return 1;
}

static struct proc_mapping mapping_of(const void *at)
{
	struct wanted w = {.at = (u64)at};

	assert_int_equal(proc_mappings(find, &w), 1);
	return w.found;
}

static void test_file(void **state)
{
	const int fd = memfd_create(" a name with spaces", MFD_CLOEXEC);
	struct proc_mapping m;
	struct stat st;
	u8 *at;

	assert_return_code(ftruncate(fd, 2 * SIZE), errno);
	assert_return_code(fstat(fd, &st), errno);
	at = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, SIZE);
	assert_true(at != MAP_FAILED);
	m = mapping_of(at + SIZE - 1);
	assert_true(m.start == (u64)at && m.end == (u64)at + SIZE && m.offset == SIZE);
	assert_true(m.dev == st.st_dev && m.ino == st.st_ino);
	assert_true(m.shared && !m.anonymous);
	munmap(at, SIZE);
	close(fd);
}

static void test_anonymous(void **state)
{
	u8 *private = mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	u8 *shared = mmap(NULL, SIZE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct proc_mapping m = mapping_of(private);
	int on_stack;

	assert_true(m.anonymous && !m.shared);
	m = mapping_of(&on_stack);
	assert_true(m.anonymous && !m.shared);
	m = mapping_of(shared); /* a file of the kernel's own */
	assert_true(!m.anonymous && m.shared);
	m = mapping_of((const void *)test_anonymous);
	assert_true(!m.anonymous && !m.shared && m.ino);
	munmap(private, SIZE);
	munmap(shared, SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_numbers_end),
		cmocka_unit_test(test_numbers_only),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_anonymous),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
