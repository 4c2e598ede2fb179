/* SPDX-License-Identifier: MIT */
/* See listing.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/dev.h"
#include "base/sys.h"
#include "shim/listing.h"
#include "shim/shim.h"

/* Far from what /dev has on any machine. */
#define FIRST_INODE 0x75760000u
#define LISTING_MAX 65536 /* bytes at a time */

static bool is_dev(const struct stat *folder)
{
	struct stat dev;

	return !sys_fstatat(AT_FDCWD, "/dev", &dev, 0) && folder->st_dev == dev.st_dev &&
	       folder->st_ino == dev.st_ino;
}

bool listing_differs(int dirfd)
{
	struct stat folder;

	return !sys_fstat(dirfd, &folder) && S_ISDIR(folder.st_mode) && is_dev(&folder);
}

bool listing_differs_at(int dirfd, const char *path)
{
	struct stat folder;

	return !sys_fstatat(dirfd, path, &folder, 0) && is_dev(&folder);
}

bool listing_hides(const char *name)
{
	bool shown;

	return node_called(name, &shown) && !shown;
}

static bool is_there(int dirfd, const char *name)
{
	struct stat st;

	return !sys_fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW);
}

const char *listing_adds(int dirfd, unsigned *at)
{
	struct device_nodes nodes = {0};
	const struct device_node *node;
	bool shown;

	for (unsigned n = 0; (node = node_next(&nodes, &shown)); n++) {
		if (n < *at)
			continue;
		*at = n + 1;
		if (shown && !is_there(dirfd, node_name(node)))
			return node_name(node);
	}
	return NULL;
}

u64 listing_inode(const char *name)
{
	bool shown;

	return FIRST_INODE + node_called(name, &shown)->minor;
}

/* ---- entries as the kernel writes them ---- */

/* What lseek() takes to the beginning; the kernel goes on behind it. */
static size_t add_entry(char *to, const char *name)
{
	struct dirent64 *e = (void *)to;
	const size_t n = ALIGN_UP(offsetof(struct dirent64, d_name) + strlen(name) + 1, 8);

	memset(e, 0, n);
	e->d_ino = listing_inode(name);
	e->d_reclen = (u16)n;
	e->d_type = DT_CHR;
	strcpy(e->d_name, name);
	return n;
}

static size_t add_entries(int dirfd, char *to)
{
	const char *name;
	unsigned at = 0;
	size_t n = 0;

	while ((name = listing_adds(dirfd, &at)))
		n += add_entry(to + n, name);
	return n;
}

/* Without what is hidden. */
static size_t keep_entries(char *entries, size_t size)
{
	size_t from = 0, to = 0, n;

	for (; from < size; from += n) {
		const struct dirent64 *e = (const void *)(entries + from);

		n = e->d_reclen;
		if (listing_hides(e->d_name))
			continue;
		memmove(entries + to, e, n);
		to += n;
	}
	return to;
}

/*
 * Nodes are added at the beginning of the folder, so nothing has to be remembered: once the kernel has given the first entries,
 * the folder's offset is another one.
 */
static long read_entries(int dirfd, char *buffer, size_t size, const struct listing_ways *by)
{
	const bool begins = size >= LISTING_ROOM && !sys_lseek(dirfd, 0, SEEK_CUR);
	const size_t added = begins ? add_entries(dirfd, buffer) : 0;
	char *rest = buffer + added;
	long n;

	do {
		n = by->get(dirfd, rest, size - added);
		if (n <= 0)
			return n;
		n = (long)keep_entries(rest, (size_t)n);
	} while (!n && !added);
	return (long)added + n;
}

/* In memory of our own, since the program may change its own meanwhile. */
long listing_read(int dirfd, u64 to, size_t size, const struct listing_ways *by)
{
	char *entries = sys_mmap(
		NULL, LISTING_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long n;

	if (entries == MAP_FAILED)
		return -ENOMEM;
	n = read_entries(dirfd, entries, MIN(size, (size_t)LISTING_MAX), by);
	if (n > 0 && by->put(to, entries, (size_t)n))
		n = -EFAULT;
	sys_munmap(entries, LISTING_MAX);
	return n;
}
