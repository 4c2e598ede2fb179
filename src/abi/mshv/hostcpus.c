/* SPDX-License-Identifier: MIT */
/* See hostcpus.h. The kernel tells by lists in /sys; where that is not mounted there are those that the thread may use. */
#include "abi/mshv/hostcpus.h"

#include <fcntl.h>
#include <stdlib.h>

#include "base/sys.h"

#define CPUS_MAX 8192 /* that the kernel can be built for */

/* "0-3,8\n"; false: there is none. */
static bool read_list(const char *path, char *text, size_t size)
{
	int fd = sys_open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : sys_read(fd, text, size - 1);

	if (fd >= 0)
		sys_close(fd);
	text[MAX(n, 0)] = 0;
	return n > 0;
}

/* The next range of it; false: that was the last. */
static bool next_range(char **list, unsigned *first, unsigned *last)
{
	char *end;

	*first = *last = (unsigned)strtoul(*list, &end, 10);
	if (end == *list)
		return false;
	if (*end == '-')
		*last = (unsigned)strtoul(end + 1, &end, 10);
	*list = *end == ',' ? end + 1 : end;
	return true;
}

struct allowed {
	u64 word[CPUS_MAX / 64];
};

static void read_allowed(struct allowed *a)
{
	*a = (struct allowed){0};
	sys_sched_getaffinity(sizeof(a->word), a->word);
}

static unsigned highest_allowed(void)
{
	struct allowed a;

	read_allowed(&a);
	for (unsigned i = ARRAY_SIZE(a.word); i--;)
		if (a.word[i])
			return i * 64 + 63 - (unsigned)__builtin_clzll(a.word[i]);
	return 0;
}

unsigned hostcpus_possible(void)
{
	char text[4096], *list = text;
	unsigned first, last, highest = 0;

	if (!read_list("/sys/devices/system/cpu/possible", text, sizeof(text)))
		highest = highest_allowed();
	while (next_range(&list, &first, &last))
		highest = MAX(highest, last);
	return MIN(highest, CPUS_MAX - 1u) + 1;
}

bool hostcpu_is_online(unsigned cpu)
{
	char text[4096], *list = text;
	unsigned first, last;
	struct allowed a;

	if (cpu >= CPUS_MAX)
		return false;
	if (read_list("/sys/devices/system/cpu/online", text, sizeof(text))) {
		while (next_range(&list, &first, &last))
			if (cpu >= first && cpu <= last)
				return true;
		return false;
	}
	read_allowed(&a);
	return a.word[cpu / 64] >> cpu % 64 & 1;
}

unsigned hostcpu_here(void)
{
	unsigned cpu = 0;

	sys_getcpu(&cpu);
	return cpu;
}
