/* SPDX-License-Identifier: MIT */
/* Making and unmaking a code cache: outer code, see cache.h for what it is. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/cpu/block.h"
#include "engine/cpu/cache.h"
#include "base/sys.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

/* MFD_EXEC where the kernel knows it (6.3), because vm.memfd_noexec may forbid the default. */
static int code_memfd(void)
{
	int fd = sys_memfd_create("uservisor-code", MFD_CLOEXEC | MFD_EXEC);

	if (fd < 0 && errno == EINVAL)
		fd = sys_memfd_create("uservisor-code", MFD_CLOEXEC);
	return fd;
}

static int map_views(struct code_cache *c, int fd)
{
	c->write_view = sys_mmap(
		NULL, CACHE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (c->write_view == MAP_FAILED)
		return -errno;
	c->exec_view = sys_mmap(
		NULL, CACHE_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (c->exec_view == MAP_FAILED) {
		int err = -errno;

		sys_munmap(c->write_view, CACHE_BYTES);
		return err;
	}
	return 0;
}

int code_cache_create(struct code_cache **ret)
{
	struct code_cache *c = calloc(1, sizeof(*c));
	int fd = code_memfd();
	int r = fd < 0 ? -errno : -ENOMEM;

	if (!c || fd < 0)
		goto fail;
	r = sys_ftruncate(fd, CACHE_BYTES) ? -errno : map_views(c, fd);
	if (r)
		goto fail;
	r = blocks_create(&c->blocks);
	if (r) {
		sys_munmap(c->write_view, CACHE_BYTES);
		sys_munmap(c->exec_view, CACHE_BYTES);
		goto fail;
	}
	sys_close(fd);
	c->limit = CACHE_BYTES;
	cache_reset(c);
	*ret = c;
	return 0;
fail:
	if (fd >= 0)
		sys_close(fd);
	free(c);
	return r;
}

void code_cache_destroy(struct code_cache *c)
{
	if (!c)
		return;
	blocks_destroy(c->blocks);
	sys_munmap(c->write_view, CACHE_BYTES);
	sys_munmap(c->exec_view, CACHE_BYTES);
	free(c);
}

void code_cache_trim(struct code_cache *c)
{
	u32 used = ALIGN_DOWN((u32)atomic_load(&c->used), 1u << 20);

	if (used == c->trimmed)
		return;
	/* Shared memory: the contents stay. What lies between hot and cold code was never touched. */
	if (used)
		sys_madvise(c->write_view, CACHE_BYTES, MADV_DONTNEED);
	c->trimmed = used;
}
