/* SPDX-License-Identifier: MIT */
/* SHA-1 (FIPS 180-4, 6.1), by which the greeting of KVMI proves that both sides know the cookie. Not for anything else. */
#ifndef BASE_SHA1_H
#define BASE_SHA1_H

#include "base/types.h"

#define SHA1_SIZE 20

void sha1(const void *data, size_t size, u8 ret_hash[SHA1_SIZE]);

#endif
