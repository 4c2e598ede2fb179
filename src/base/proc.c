/* SPDX-License-Identifier: MIT */
/* See proc.h. Numbers are read here, because what the C library reads them with may depend on the program's locale. */
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/sys.h"

/* ---- folders ---- */

struct linux_dirent64 {
	u64 ino;
	s64 offset;
	u16 size;
	u8 type;
	char name[];
};

/* -1: it is no number */
static int number_of(const char *name)
{
	int number = 0;

	for (; *name; name++)
		if (*name < '0' || *name > '9' || __builtin_mul_overflow(number, 10, &number) ||
			__builtin_add_overflow(number, *name - '0', &number))
			return -1;
	return number;
}

static int each_name(const char *entries, long n, int (*each)(int number, void *arg), void *arg)
{
	int r = 0;

	for (long at = 0; at < n && !r;) {
		const struct linux_dirent64 *e = (const void *)(entries + at);
		const int number = number_of(e->name);

		if (number >= 0)
			r = each(number, arg);
		at += e->size;
	}
	return r;
}

int proc_numbers(const char *folder, int (*each)(int number, void *arg), void *arg)
{
	const int fd = sys_open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_Alignas(8) char entries[2048];
	long n;
	int r = 0;

	if (fd < 0)
		return -errno;
	while (!r && (n = sys_getdents64(fd, entries, sizeof(entries))))
		r = n < 0 ? -errno : each_name(entries, n, each, arg);
	sys_close(fd);
	return r;
}

/* ---- mappings ---- */

/* All that stands in front of a line's path, and the path's beginning. */
struct maps_line {
	char text[PROC_FLAGS_MAX];
	size_t n;
};

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

/* False: there is no number. */
static bool take(const char **at, unsigned base, u64 *ret)
{
	const char *first = *at;

	*ret = 0;
	for (; digit_of(**at) < (int)base; ++*at)
		*ret = *ret * base + (unsigned)digit_of(**at);
	return *at > first;
}

static bool pass(const char **at, char c)
{
	return *(*at)++ == c;
}

/* The four letters of a mapping's rights, of which the last counts. */
static bool take_rights(const char **at, bool *ret_shared)
{
	for (int i = 0; i < 3; i++)
		if (!*(*at)++)
			return false;
	*ret_shared = **at == 's';
	return *(*at)++;
}

static bool begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

/* proc(5): "start-end rwxp offset major:minor inode   path" */
static bool parse(const char *at, struct proc_mapping *ret)
{
	u64 major, minor;

	if (!take(&at, 16, &ret->start) || !pass(&at, '-') || !take(&at, 16, &ret->end) ||
		!pass(&at, ' ') || !take_rights(&at, &ret->shared) || !pass(&at, ' ') ||
		!take(&at, 16, &ret->offset) || !pass(&at, ' ') || !take(&at, 16, &major) ||
		!pass(&at, ':') || !take(&at, 16, &minor) || !pass(&at, ' ') ||
		!take(&at, 10, &ret->ino))
		return false;
	while (*at == ' ')
		at++;
	ret->dev = makedev((unsigned)major, (unsigned)minor);
	ret->anonymous = !ret->ino && (!*at || *at == '[');
	ret->lone = ret->shared && begins(at, "/memfd:" PROC_LONE " ");
	return true;
}

static int end_line(struct maps_line *line, int (*each)(const char *line, void *arg), void *arg)
{
	line->text[line->n] = 0;
	line->n = 0;
	return each(line->text, arg);
}

/* What is longer than the text of a line is left out. */
static int each_line(const char *path, int (*each)(const char *line, void *arg), void *arg)
{
	const int fd = sys_open(path, O_RDONLY | O_CLOEXEC);
	struct maps_line line = {.n = 0};
	char text[4096];
	ssize_t n;
	int r = 0;

	if (fd < 0)
		return -errno;
	while (!r && (n = sys_read(fd, text, sizeof(text)))) {
		r = n < 0 ? -errno : 0;
		for (ssize_t i = 0; i < n && !r; i++)
			if (text[i] == '\n')
				r = end_line(&line, each, arg);
			else if (line.n < sizeof(line.text) - 1)
				line.text[line.n++] = text[i];
	}
	sys_close(fd);
	return r;
}

struct mappings {
	int (*each)(const struct proc_mapping *mapping, void *arg);
	void *arg;
};

static int map_line(const char *line, void *arg)
{
	const struct mappings *m = arg;
	struct proc_mapping mapping;

	return parse(line, &mapping) ? m->each(&mapping, m->arg) : 0;
}

int proc_mappings(int (*each)(const struct proc_mapping *mapping, void *arg), void *arg)
{
	struct mappings m = {each, arg};

	return each_line("/proc/self/maps", map_line, &m);
}

/* ---- what a mapping has: a line like those of maps, and then lines that begin with a name ---- */

struct emptiness {
	u64 start, size;
	bool here;  /* in the mapping that has all of it */
	bool empty; /* so far */
	char *flags;
};

static bool is_number_0(const char *at)
{
	u64 n;

	while (*at == ' ')
		at++;
	return take(&at, 10, &n) && !n;
}

static int look_at_line(const char *line, void *arg)
{
	struct emptiness *l = arg;
	struct proc_mapping m;

	if (parse(line, &m)) {
		l->here = m.start <= l->start && l->start + l->size <= m.end && m.anonymous &&
			  !m.shared;
		return l->here || m.start <= l->start ? 0 : -ENOENT;
	}
	if (!l->here)
		return 0;
	if (begins(line, "Rss:") || begins(line, "Swap:"))
		l->empty &= is_number_0(strchr(line, ':') + 1);
	if (!begins(line, "VmFlags:"))
		return 0;
	strcpy(l->flags, line);
	return 1;
}

bool proc_untouched(u64 start, u64 size, char ret_flags[PROC_FLAGS_MAX])
{
	struct emptiness l = {.start = start, .size = size, .empty = true, .flags = ret_flags};

	return each_line("/proc/self/smaps", look_at_line, &l) == 1 && l.empty &&
	       strstr(ret_flags, " rd wr ");
}
