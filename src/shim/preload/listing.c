/* SPDX-License-Identifier: MIT */
/*
 * Listing /dev by the C library's streams of entries. Those that list /dev are remembered; for all others a call costs a load
 * and a compare. Only scandir() makes a stream that no hook sees, so it is done here.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "shim/listing.h"
#include "shim/preload/given.h"
#include "shim/preload/hook.h"
#include "shim/shim.h"

#define FOLDERS_MAX 32 /* open at a time; more list what the machine has */

struct folder {
	DIR *_Atomic dir; /* NULL: free */
	unsigned at;      /* of the nodes to be added */
	struct dirent entry;
};

static struct folder folders[FOLDERS_MAX];
static _Atomic unsigned folders_open;

static struct folder *find(DIR *dir)
{
	if (likely(!atomic_load_explicit(&folders_open, memory_order_relaxed)))
		return NULL;
	for (unsigned i = 0; i < FOLDERS_MAX; i++)
		if (atomic_load_explicit(&folders[i].dir, memory_order_acquire) == dir)
			return &folders[i];
	return NULL;
}

static DIR *watch(DIR *dir)
{
	const int error = errno;

	if (!dir || !listing_differs(dirfd(dir)))
		goto out;
	for (unsigned i = 0; i < FOLDERS_MAX; i++) {
		DIR *none = NULL;

		if (!atomic_compare_exchange_strong(&folders[i].dir, &none, dir))
			continue;
		folders[i].at = 0;
		atomic_fetch_add(&folders_open, 1);
		break;
	}
out:
	errno = error;
	return dir;
}

static void forget(struct folder *s)
{
	if (!s)
		return;
	atomic_store(&s->dir, NULL);
	atomic_fetch_sub(&folders_open, 1);
}

/* The next node that is added, or NULL. */
static struct dirent *added(struct folder *s)
{
	const int error = errno;
	const char *name = listing_adds(dirfd(s->dir), &s->at);

	errno = error;
	if (!name)
		return NULL;
	s->entry = (struct dirent){
		.d_ino = listing_inode(name), .d_reclen = sizeof(s->entry), .d_type = DT_CHR};
	strcpy(s->entry.d_name, name);
	return &s->entry;
}

HOOK DIR *opendir(const char *path)
{
	return watch(NEXT(opendir)(path));
}

HOOK DIR *fdopendir(int fd)
{
	return watch(NEXT(fdopendir)(fd));
}

HOOK int closedir(DIR *dir)
{
	forget(find(dir));
	return NEXT(closedir)(dir);
}

HOOK void rewinddir(DIR *dir)
{
	struct folder *s = find(dir);

	if (s)
		s->at = 0;
	NEXT(rewinddir)(dir);
}

HOOK struct dirent *readdir(DIR *dir)
{
	struct folder *s = find(dir);
	struct dirent *e = s ? added(s) : NULL;

	if (e)
		return e;
	do
		e = NEXT(readdir)(dir);
	while (s && e && listing_hides(e->d_name));
	return e;
}

/* Deprecated, and used. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

HOOK int readdir_r(DIR *dir, struct dirent *entry, struct dirent **ret)
{
	struct folder *s = find(dir);
	const struct dirent *e = s ? added(s) : NULL;
	int r;

	if (e) {
		memcpy(entry, e, offsetof(struct dirent, d_name) + strlen(e->d_name) + 1);
		*ret = entry;
		return 0;
	}
	do
		r = NEXT(readdir_r)(dir, entry, ret);
	while (s && !r && *ret && listing_hides((*ret)->d_name));
	return r;
}

#pragma GCC diagnostic pop

HOOK ssize_t getdents64(int fd, void *buffer, size_t size)
{
	return hook_return(hook_getdents64(fd, buffer, size));
}

static int put(u64 to, const void *from, size_t n)
{
	return sys_copy((void *)to, from, n);
}

static long get(int fd, void *buffer, size_t size)
{
	return hook_result(NEXT(getdents64)(fd, buffer, size));
}

long hook_getdents64(int fd, void *buffer, size_t size)
{
	static const struct listing_ways ways = {get, put};

	return listing_differs(fd) ? listing_read(fd, (u64)buffer, size, &ways)
				   : get(fd, buffer, size);
}

/* ---- scandir() ---- */

struct scan {
	struct dirent **list;
	size_t count, room;
};

static bool add(struct scan *s, const struct dirent *e)
{
	const size_t n = offsetof(struct dirent, d_name) + strlen(e->d_name) + 1;
	struct dirent **list = s->list;

	if (s->count == s->room) {
		s->room = s->room ? 2 * s->room : 64;
		list = reallocarray(s->list, s->room, sizeof(*list));
		if (!list)
			return false;
		s->list = list;
	}
	list[s->count] = malloc(n);
	return list[s->count] && memcpy(list[s->count++], e, n);
}

static bool add_all(struct scan *s, DIR *dir, int (*filter)(const struct dirent *))
{
	const struct dirent *e;

	while ((e = readdir(dir)))
		if ((!filter || filter(e)) && !add(s, e))
			return false;
	return true;
}

static int scan(int fd, struct dirent ***ret, int (*filter)(const struct dirent *),
	int (*compare)(const struct dirent **, const struct dirent **))
{
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct scan s = {0};
	bool ok;

	if (!dir)
		return -1;
	ok = add_all(&s, dir, filter);
	closedir(dir);
	if (!ok) {
		while (s.count)
			free(s.list[--s.count]);
		free(s.list);
		errno = ENOMEM;
		return -1;
	}
	if (compare && s.count)
		qsort(s.list, s.count, sizeof(*s.list), (void *)compare);
	*ret = s.list;
	return (int)s.count;
}

HOOK int scandirat(int dirfd, const char *path, struct dirent ***ret,
	int (*filter)(const struct dirent *),
	int (*compare)(const struct dirent **, const struct dirent **))
{
	if (!given_path(path) || !listing_differs_at(dirfd, path))
		return NEXT(scandirat)(dirfd, path, ret, filter, compare);
	return scan(
		sys_openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret, filter, compare);
}

HOOK int scandir(const char *path, struct dirent ***ret, int (*filter)(const struct dirent *),
	int (*compare)(const struct dirent **, const struct dirent **))
{
	return scandirat(AT_FDCWD, path, ret, filter, compare);
}

/* struct dirent64 is struct dirent on x86-64. */
#define ALIAS(new, old) HOOK __typeof__(new) new __attribute__((alias(#old)))
ALIAS(readdir64, readdir);
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
ALIAS(readdir64_r, readdir_r);
ALIAS(scandir64, scandir);
ALIAS(scandirat64, scandirat);
