/* SPDX-License-Identifier: MIT */
/* See given.h. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "shim/preload/given.h"
#include "shim/preload/hook.h"

/* ---- paths ---- */

bool given_path(const char *path)
{
	const int error = errno;
	bool ok;

	path = as_given(path);
	ok = path && (!sys_access(path, F_OK) || (errno != EFAULT && errno != ENAMETOOLONG));
	errno = error;
	return ok;
}

bool given_path_after(const char *path, long result)
{
	path = as_given(path);
	switch (result) {
	case -EFAULT: return false;
	case -ENOENT:
	case -ENOTDIR:
	case -EACCES:
	case -ELOOP:
	case -ENXIO:
	case -ENODEV: /* unless a filter says it, who reads nothing */
		return path && (!hook_sandboxed() || given_path(path));
	default: return path && (result >= 0 || given_path(path));
	}
}

/* ---- strings and lists: page by page, since a page can be read or not ---- */

#define NO_PAGE 1

static bool there(const void *at, u64 *page)
{
	const u64 its = (u64)at & PAGE_MASK;
	u8 byte;

	if (its == *page)
		return true;
	if (sys_copy(&byte, at, 1))
		return false;
	*page = its;
	return true;
}

static bool string_there(const char *text, u64 *page)
{
	for (;;) {
		const size_t n = PAGE_SIZE - ((u64)text & (PAGE_SIZE - 1));

		if (!there(text, page))
			return false;
		if (memchr(text, 0, n))
			return true;
		text += n;
	}
}

bool given_string(const char *text)
{
	u64 page = NO_PAGE;

	return string_there(text, &page);
}

bool given_list(char *const *list)
{
	u64 page = NO_PAGE;

	for (; list; list++) {
		if (!there(list, &page) || !there((const char *)(list + 1) - 1, &page))
			return false;
		if (!*list)
			return true;
	}
	return true;
}

bool given_strings(char *const *list)
{
	u64 page = NO_PAGE;

	if (!given_list(list))
		return false;
	for (; list && *list; list++)
		if (!string_there(*list, &page))
			return false;
	return true;
}
