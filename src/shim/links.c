/* SPDX-License-Identifier: MIT */
/* What /proc says of a descriptor of ours: what it would say if the kernel's own driver had made it. */
#include <string.h>

#include "abi/dev.h"
#include "base/sys.h"
#include "shim/shim.h"

static const char memfd[] = "/memfd:";

bool link_may_be_ours(const char *link, size_t n)
{
	return n >= sizeof(memfd) - 1 && !memcmp(link, memfd, sizeof(memfd) - 1);
}

size_t shim_readlink(int dirfd, const char *path, char *ret, size_t size)
{
	char link[128];
	ssize_t n = sys_readlinkat(dirfd, path, link, sizeof(link) - 1);

	if (n < 0 || !link_may_be_ours(link, (size_t)n))
		return 0;
	link[n] = 0;
	return dev_link_as_kernel(link, ret, size) ? strlen(ret) : 0;
}
