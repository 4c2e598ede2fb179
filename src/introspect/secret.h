/* SPDX-License-Identifier: MIT */
/* Secrets that a peer must know. */
#ifndef INTROSPECT_SECRET_H
#define INTROSPECT_SECRET_H

#include "base/types.h"

/* Are they the same? In a time that says nothing of where they differ. */
static inline bool secret_same(const void *a, const void *b, size_t n)
{
	const u8 *x = a, *y = b;
	u8 differ = 0;

	for (size_t k = 0; k < n; k++)
		differ |= x[k] ^ y[k];
	return !differ;
}

#endif
