/* SPDX-License-Identifier: MIT */
/* See fd.h. A number beyond the table is kept as well, only unprotected. */
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "base/fd.h"
#include "base/sys.h"

#define TABLE_MAX  65536u
#define FIRST_KEPT 512 /* or half of what the process may have, if that is as little */

static _Atomic u64 kept[TABLE_MAX / 64], kept_in_children[TABLE_MAX / 64];

/* Usual limits are higher than FIRST_KEPT, so that is tried without asking. */
static int move_up(int fd)
{
	int high = sys_fcntl(fd, F_DUPFD_CLOEXEC, FIRST_KEPT);
	struct rlimit limit;

	if (high >= 0 || sys_getrlimit(RLIMIT_NOFILE, &limit))
		return high;
	return sys_fcntl(fd, F_DUPFD_CLOEXEC, (long)MIN(limit.rlim_cur / 2, (rlim_t)FIRST_KEPT));
}

int fd_keep(int fd)
{
	int high = fd < 0 ? -1 : move_up(fd);

	if (high >= 0) {
		sys_close(fd);
		fd = high;
	}
	if (fd >= 0 && (unsigned)fd < TABLE_MAX)
		atomic_fetch_or(&kept[fd / 64], BIT64(fd % 64));
	return fd;
}

static void forget(int fd)
{
	atomic_fetch_and(&kept[fd / 64], ~BIT64(fd % 64));
	atomic_fetch_and(&kept_in_children[fd / 64], ~BIT64(fd % 64));
}

void fd_drop(int fd)
{
	if (fd >= 0 && (unsigned)fd < TABLE_MAX)
		forget(fd);
	sys_close(fd);
}

void fd_keep_in_children(int fd)
{
	if (fd_is_kept(fd))
		atomic_fetch_or(&kept_in_children[fd / 64], BIT64(fd % 64));
}

void fd_after_fork(void)
{
	long fd;

	for (unsigned at = 0; (fd = fd_next_kept(at, TABLE_MAX - 1)) >= 0; at = (unsigned)fd + 1)
		if (!(atomic_load(&kept_in_children[fd / 64]) & BIT64(fd % 64)))
			fd_drop((int)fd);
}

bool fd_is_kept(int fd)
{
	return fd >= 0 && (unsigned)fd < TABLE_MAX &&
	       (atomic_load_explicit(&kept[fd / 64], memory_order_relaxed) & BIT64(fd % 64));
}

long fd_next_kept(unsigned first, unsigned last)
{
	unsigned fd = first;

	while (fd <= last && fd < TABLE_MAX) {
		u64 word = atomic_load(&kept[fd / 64]) >> (fd % 64);

		if (word) {
			fd += (unsigned)__builtin_ctzll(word);
			return fd <= last ? (long)fd : -1;
		}
		fd = (fd | 63) + 1;
	}
	return -1;
}
