/* SPDX-License-Identifier: MIT */
/* What /proc says of a descriptor of ours: what it would say if the kernel's own driver had made it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/dev.h"
#include "base/sys.h"
#include "shim/shim.h"

static bool begins(const char *text, size_t n, const char *with)
{
	return n >= strlen(with) && !memcmp(text, with, strlen(with));
}

bool link_may_be_ours(const char *link, size_t n)
{
	return begins(link, n, "/memfd:") || (begins(link, n, "socket:") && shim_checks_reads());
}

/* A socket has no name by which others could know it; of this process's own the table does. */
static bool as_node(const char *path, char *ret, size_t size)
{
	static const char own[] = "/proc/self/fd/";
	struct dev *d = shim_dev();
	const struct fd_ops *on = d && begins(path, strlen(path), own)
					  ? dev_ops(d, atoi(path + sizeof(own) - 1))
					  : NULL;
	const struct device_node *node = on ? dev_node_of(on) : NULL;

	if (node)
		snprintf(ret, size, "%s", node->path);
	return node;
}

size_t shim_readlink(int dirfd, const char *path, char *ret, size_t size)
{
	char link[128];
	ssize_t n = sys_readlinkat(dirfd, path, link, sizeof(link) - 1);

	if (n < 0 || !link_may_be_ours(link, (size_t)n))
		return 0;
	link[n] = 0;
	return dev_link_as_kernel(link, ret, size) || as_node(path, ret, size) ? strlen(ret) : 0;
}
