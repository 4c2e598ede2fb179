/* SPDX-License-Identifier: MIT */
/*
 * Instructions of real mode that touch [bx], [di] or [si] in different ways: copied ones, those that C does, strings,
 * locked ones, vectors.
 */
#ifndef TESTS_ABI_TOUCHES_H
#define TESTS_ABI_TOUCHES_H

#include "base/types.h"

static const struct {
	const char *name;
	bool writes;
	u8 length;
	u8 code[10];
} touches[] = {
	{"mov to", true, 2, {0x88, 0x07}},
	{"mov from", false, 2, {0x8a, 0x07}},
	{"add to", true, 2, {0x00, 0x07}},
	{"lock inc", true, 3, {0xf0, 0xfe, 0x07}},
	{"xchg", true, 2, {0x86, 0x07}},
	{"lock cmpxchg8b", true, 4, {0xf0, 0x0f, 0xc7, 0x0f}},
	{"push (bx)", false, 2, {0xff, 0x37}},
	{"pop (bx)", true, 2, {0x8f, 0x07}},
	{"sgdt", true, 3, {0x0f, 0x01, 0x07}},
	{"lgdt", false, 3, {0x0f, 0x01, 0x17}},
	{"fnsave", true, 2, {0xdd, 0x37}},
	{"fxsave", true, 3, {0x0f, 0xae, 0x07}},
	{"fld", false, 2, {0xd9, 0x07}},
	{"bts", true, 3, {0x0f, 0xab, 0x07}},
	{"les", false, 2, {0xc4, 0x07}},
	{"rep stosb", true, 2, {0xf3, 0xaa}},
	{"stosb", true, 1, {0xaa}},
	{"rep movsb", true, 2, {0xf3, 0xa4}},
	{"rep lodsb", false, 2, {0xf3, 0xac}},
	{"repe cmpsb", false, 2, {0xf3, 0xa6}},
	{"repe scasb", false, 2, {0xf3, 0xae}},
};

#endif
