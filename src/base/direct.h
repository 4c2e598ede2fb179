/* SPDX-License-Identifier: MIT */
/* What the environment says about direct execution: docs/design.md. */
#ifndef BASE_DIRECT_H
#define BASE_DIRECT_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/*
 * User code of guests may run as it is, in processes of its own, unless it is "0". The program promises to leave the mappings of guest
 * memory as they are.
 */
#define DIRECT_ENV "USERVISOR_DIRECT"

static inline bool direct_is_allowed(void)
{
	const char *value = getenv(DIRECT_ENV);

	return value && strcmp(value, "0") != 0;
}

/* By a program that can keep the promise; the user's word goes before. Before there are threads. */
static inline void direct_allow(void)
{
	setenv(DIRECT_ENV, "1", 0); /* without memory for it guests are only slower */
}

#endif
