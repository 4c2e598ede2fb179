/* SPDX-License-Identifier: MIT */
/* Which path means /dev/kvm. */
#include <string.h>

#include "shim/shim.h"

bool path_is_kvm(int dirfd, const char *path)
{
	return path && !strcmp(path, "/dev/kvm");
}
