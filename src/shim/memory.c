/* SPDX-License-Identifier: MIT */
/* Mapping, reading and punching what our descriptors stand for: see dev_mmap_check(), dev_read_check(), dev_fallocate(). */
#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "abi/dev.h"
#include "base/sys.h"
#include "shim/shim.h"

/* Where the descriptor has nothing although its file has, lies what is behind the end of that. */
static long map_with_holes(struct dev *d, const struct mapping *m)
{
	const u64 end = m->offset + m->len;
	u64 offset = m->offset, hole;
	u8 *at = sys_mmap(m->addr, m->len, m->prot, m->flags, m->fd, (off_t)m->offset);
	size_t n;

	if (at == MAP_FAILED)
		return -errno;
	for (; dev_mmap_hole(d, m->fd, offset, end - offset, &hole, &n); offset = hole + n)
		if (sys_mmap(at + (hole - m->offset), n, m->prot, (m->flags & MAP_TYPE) | MAP_FIXED,
			    m->fd, DEV_NOWHERE) == MAP_FAILED)
			return -errno;
	return (long)at;
}

static long map(struct dev *d, const struct mapping *m)
{
	long r = dev_mmap_check(d, m->fd, m->prot, m->flags, m->len, m->offset);
	u64 offset;
	size_t n;

	if (r)
		return r;
	return dev_mmap_hole(d, m->fd, m->offset, m->len, &offset, &n) ? map_with_holes(d, m)
								       : NOT_OURS;
}

long shim_mmap(const struct mapping *m)
{
	struct dev *d = m->fd < 0 || m->flags & MAP_ANONYMOUS ? NULL : shim_dev();

	return likely(!d) || !dev_knows(d, m->fd) ? NOT_OURS : map(d, m);
}

/* Of the process: the program has, or has had, a userfaultfd of its own. */
static _Atomic bool userfaultfd_taken;

/* Whoever is about to hold pages back must not miss those that are reached by other mappings. */
void shim_before_userfaultfd(void)
{
	struct dev *d = shim_dev();

	atomic_store(&userfaultfd_taken, true);
	dev_track_writes(false);
	if (d)
		dev_memory_remapped(d, 0, 1ull << 63);
}

void shim_lend_userfaultfd(void)
{
	dev_track_writes(true);
	if (atomic_load(&userfaultfd_taken))
		dev_track_writes(false);
}

bool shim_checks_reads(void)
{
	struct dev *d = shim_dev();

	return unlikely(d) && dev_checks_reads(d);
}

long shim_read_check(int fd, size_t n)
{
	return likely(!shim_checks_reads()) ? 0 : dev_read_check(shim_dev(), fd, n);
}

long shim_fallocate(int fd, int mode, s64 offset, s64 len)
{
	struct dev *d = shim_dev();
	long r;

	if (!d || !dev_knows(d, fd))
		return NOT_OURS;
	r = dev_fallocate(d, fd, mode, offset, len);
	return r == -EBADF ? NOT_OURS : r;
}
