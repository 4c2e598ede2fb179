/* SPDX-License-Identifier: MIT */
/* Mapping and punching what our descriptors stand for: see dev_mmap_check(), dev_fallocate(). */
#include <errno.h>

#include "abi/dev.h"
#include "shim/shim.h"

long shim_mmap_check(int fd, int prot, int flags, size_t len, u64 offset)
{
	struct dev *d = fd < 0 ? NULL : shim_dev();

	return likely(!d) || !dev_knows(d, fd) ? 0
					       : dev_mmap_check(d, fd, prot, flags, len, offset);
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
