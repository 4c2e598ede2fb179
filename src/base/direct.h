/* SPDX-License-Identifier: MIT */
/* What the environment says about direct execution: docs/design.md. */
#ifndef BASE_DIRECT_H
#define BASE_DIRECT_H

#include <stdlib.h>
#include <string.h>

/* Set, and not "0": DIRECT_SHARED. The program promises to leave the mappings of guest memory as they are. */
#define DIRECT_ENV "USERVISOR_DIRECT"

/* In which guest memory user code may run as it is, in processes of its own. */
enum direct_where {
	DIRECT_NOWHERE,
	DIRECT_LONE, /* what the program alone has, and of which all changes are told: proc_mapping.lone */
	DIRECT_SHARED /* whatever is MAP_SHARED */
};

static inline enum direct_where direct_where(void)
{
	const char *value = getenv(DIRECT_ENV);

	if (!value)
		return DIRECT_LONE;
	return strcmp(value, "0") ? DIRECT_SHARED : DIRECT_NOWHERE;
}

/* By a program that can keep the promise; the user's word goes before. Before there are threads. */
static inline void direct_allow(void)
{
	setenv(DIRECT_ENV, "1", 0); /* without memory for it guests are only slower */
}

#endif
