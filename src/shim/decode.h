/* SPDX-License-Identifier: MIT */
/* What the decoders share: structures as tables of their members. Private to decode*.c; others take trace.h. */
#ifndef SHIM_DECODE_H
#define SHIM_DECODE_H

#include "shim/trace.h"
#include "uapi/kvm_more.h"

struct member {
	const char *name;
	u16 offset;
	u8 size;
	u8 format; /* enum line_format */
};

#define M(type, member, format)                                                                    \
	{                                                                                          \
#member, offsetof(struct type, member), sizeof(((struct type *)NULL)->member),     \
			format                                                                     \
	}
#define D(type, member) M(type, member, LINE_DEC)
#define S(type, member) M(type, member, LINE_SIGNED)
#define H(type, member) M(type, member, LINE_HEX)
#define MEMBERS(name)   static const struct member name[]

void add_members(struct line *l, const void *data, const struct member *m, unsigned n);
/* The program's memory: the kernel reads it, so that a bad pointer stays the program's mistake. */
bool read_program(unsigned long from, void *to, size_t n);

#endif
