/* SPDX-License-Identifier: MIT */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void check_failed(const char *expr, const char *file, int line)
{
	fprintf(stderr, "uservisor: internal error: '%s' is false at %s:%d\n", expr, file, line);
	abort();
}
