/* SPDX-License-Identifier: MIT */
/* See views.h. */
#include <errno.h>
#include <sys/mman.h>

#include "base/memfd.h"
#include "base/sys.h"
#include "base/views.h"
#include "base/without.h"

#define SHARED (MAP_SHARED | MAP_NORESERVE)

static int map_write(struct views *v, size_t bytes, int flags, int fd)
{
	v->write = sys_mmap(NULL, bytes, PROT_READ | PROT_WRITE, SHARED | flags, fd, 0);
	return v->write == MAP_FAILED ? -errno : 0;
}

/* Where the kernel can use large pages, if it is asked to. */
static u8 *map_exec(size_t bytes, int fd)
{
	u8 *at = sys_mmap(NULL, bytes + VIEWS_LARGE, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	u8 *start = (u8 *)ALIGN_UP((u64)at, VIEWS_LARGE);

	if (at == MAP_FAILED)
		return at;
	if (start > at)
		sys_munmap(at, (size_t)(start - at));
	sys_munmap(start + bytes, (size_t)(at + VIEWS_LARGE - start));
	at = sys_mmap(start, bytes, PROT_READ | PROT_EXEC, SHARED | MAP_FIXED, fd, 0);
	if (at == MAP_FAILED)
		sys_munmap(start, bytes);
	return at;
}

static int map_memfd(struct views *v, size_t bytes, int fd)
{
	int r = sys_ftruncate(fd, (off_t)bytes) ? -errno : map_write(v, bytes, 0, fd);

	if (r)
		return r;
	v->exec = map_exec(bytes, fd);
	if (v->exec != MAP_FAILED)
		return 0;
	r = -errno;
	sys_munmap(v->write, bytes);
	return r;
}

static int by_memfd(struct views *v, size_t bytes)
{
	int fd, r;

	if (without(WITHOUT_EXECMEM))
		return -EPERM;
	fd = memfd_open("uservisor-code", MFD_EXEC);
	if (fd < 0)
		return -errno;
	r = map_memfd(v, bytes, fd);
	sys_close(fd);
	return r;
}

static int by_anonymous(struct views *v, size_t bytes)
{
	int r = map_write(v, bytes, MAP_ANONYMOUS, -1);

	if (r)
		return r;
	v->exec = sys_mremap(v->write, 0, bytes, MREMAP_MAYMOVE);
	if (v->exec != MAP_FAILED && !sys_mprotect(v->exec, bytes, PROT_READ | PROT_EXEC))
		return 0;
	r = -errno;
	if (v->exec != MAP_FAILED)
		sys_munmap(v->exec, bytes);
	sys_munmap(v->write, bytes);
	return r;
}

/*
 * A forked child gets neither view. Both are shared memory: by the writable one it would write what its parent executes, and
 * the other one could be made writable again by mprotect(2).
 */
static int keep_from_children(const struct views *v, size_t bytes)
{
	if (!sys_madvise(v->write, bytes, MADV_DONTFORK) &&
		!sys_madvise(v->exec, bytes, MADV_DONTFORK))
		return 0;
	return -errno;
}

int views_map(struct views *ret, size_t bytes)
{
	struct views v;
	int r = by_memfd(&v, bytes);

	v.memfd = !r;
	/* Memory or descriptors that are short would be short again, but cost nothing to ask for. */
	if (r)
		r = by_anonymous(&v, bytes);
	if (r)
		return r;
	r = keep_from_children(&v, bytes);
	if (r)
		views_unmap(&v, bytes);
	else
		*ret = v;
	return r;
}

void views_unmap(const struct views *v, size_t bytes)
{
	sys_munmap(v->write, bytes);
	sys_munmap(v->exec, bytes);
}
