/* SPDX-License-Identifier: MIT */
/* See refusal.h. */
#include "base/refusal.h"

#include <stdio.h>

/* refuse() has seen to it that they fit. */
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"

char *refusal_text(const struct refusal *r, char *text, size_t n)
{
	size_t used = 0;

	if (r->where)
		used = (size_t)snprintf(text, n, r->where, r->at[0], r->at[1]);
	if (used && used + 2 < n)
		used += (size_t)snprintf(text + used, n - used, ": ");
	if (used < n)
		snprintf(text + used, n - used, r->why, r->number[0], r->number[1], r->number[2]);
	return text;
}
