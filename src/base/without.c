/* SPDX-License-Identifier: MIT */
/* See without.h. A list of names with commas between them; an empty name means nothing. */
#include <stdlib.h>
#include <string.h>

#include "base/types.h"
#include "base/without.h"

static const char *const names[] = {
	[WITHOUT_FSGSBASE] = "fsgsbase",
	[WITHOUT_USERFAULTFD] = "userfaultfd",
	[WITHOUT_DISPATCH] = "dispatch",
	[WITHOUT_EXECMEM] = "execmem",
	[WITHOUT_CPUID_FAULTING] = "cpuid-faulting",
	[WITHOUT_BREAKPOINTS] = "breakpoints",
};

/* The next name of a list, of *ret_len bytes, which moves *at behind it; NULL after the last. */
static const char *next_name(const char **at, size_t *ret_len)
{
	const char *start = *at;

	if (!start || !*start)
		return NULL;
	*ret_len = strcspn(start, ",");
	*at = start + *ret_len + (start[*ret_len] == ',');
	return start;
}

static bool is_name(const char *name, const char *at, size_t len)
{
	return strlen(name) == len && !memcmp(name, at, len);
}

bool without(enum without feature)
{
	const char *list = getenv(WITHOUT_ENV), *name;
	size_t len;

	while ((name = next_name(&list, &len)))
		if (is_name(names[feature], name, len))
			return true;
	return false;
}

static bool is_known(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (is_name(names[i], name, len))
			return true;
	return false;
}

size_t without_unknown(const char **ret_name)
{
	const char *list = getenv(WITHOUT_ENV), *name;
	size_t len;

	while ((name = next_name(&list, &len)))
		if (len && !is_known(name, len)) {
			*ret_name = name;
			return len;
		}
	return 0;
}

const char *without_names(void)
{
	return "fsgsbase, userfaultfd, dispatch, execmem, cpuid-faulting, breakpoints";
}
