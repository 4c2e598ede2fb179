/* SPDX-License-Identifier: MIT */
/* See memfd.h. */
#include "base/memfd.h"

#include <errno.h>
#include <sys/resource.h>

#include "base/sys.h"

int memfd_open(const char *name, unsigned flag)
{
	int fd = sys_memfd_create(name, MFD_CLOEXEC | flag);

	return fd < 0 && errno == EINVAL ? sys_memfd_create(name, MFD_CLOEXEC) : fd;
}

bool memfd_may_have(u64 size)
{
	struct rlimit limit;

	return !sys_getrlimit(RLIMIT_FSIZE, &limit) && size <= limit.rlim_cur;
}
