/* SPDX-License-Identifier: MIT */
/* See session.h. */
#include "shim/session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/types.h"

#define SESSION_ENV "USERVISOR_SESSION"

int session_begin(void)
{
	char name[2 * sizeof(u64) * 2 + 1];
	u64 random[2];

	if (session_name())
		return 0;
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return -errno;
	snprintf(name, sizeof(name), "%016lx%016lx", random[0], random[1]);
	return setenv(SESSION_ENV, name, 1) ? -errno : 0;
}

const char *session_name(void)
{
	const char *name = getenv(SESSION_ENV);

	return name && *name ? name : NULL;
}
