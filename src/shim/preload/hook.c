/* SPDX-License-Identifier: MIT */
/* See hook.h. */
#include <dlfcn.h>

#include "base/check.h"
#include "shim/preload/hook.h"

void *hook_next(const char *name)
{
	int saved = errno;
	void *p = dlsym(RTLD_NEXT, name);

	uv_assert(p);
	errno = saved;
	return p;
}
