/* SPDX-License-Identifier: MIT */
/* Mapping, reading and punching what our descriptors stand for: see dev_mmap_check(), dev_read_check(), dev_fallocate(). */
#include <errno.h>
#include <stdatomic.h>

#include "abi/dev.h"
#include "shim/shim.h"

long shim_mmap_check(int fd, int prot, int flags, size_t len, u64 offset)
{
	struct dev *d = fd < 0 ? NULL : shim_dev();

	return likely(!d) || !dev_knows(d, fd) ? 0
					       : dev_mmap_check(d, fd, prot, flags, len, offset);
}

/* Of the process: the program has, or has had, a userfaultfd of its own. */
static _Atomic bool userfaultfd_taken;

void shim_before_userfaultfd(void)
{
	atomic_store(&userfaultfd_taken, true);
	dev_track_writes(false);
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
