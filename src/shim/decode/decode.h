/* SPDX-License-Identifier: MIT */
/*
 * What the arguments of requests consist of. An interface has one struct decoder: tables of the members of its structures,
 * read before the call and, where the request writes, after it; and functions for what is beside that. The list of
 * all decoders is in decode.c.
 */
#ifndef SHIM_DECODE_DECODE_H
#define SHIM_DECODE_DECODE_H

#include "shim/decode/line.h"

/* ---- tables ---- */

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

/* Adds what is at arg, the request's argument, to the open group of members: lists that follow a structure, unions. */
typedef void (*list_shower)(struct line *l, unsigned long arg);

enum answered { ANSWERED_NOTHING, ANSWERED_MEMBERS, ANSWERED_ALL };

/* Before the call, or after it; what is not there is NULL. */
struct part {
	const struct member *members;
	u8 count;
	list_shower list;
};

struct layout {
	u32 request;
	struct part in, out;
	/* Which parts of out there are, though the request has failed. NULL: none. */
	enum answered (*answered)(unsigned long arg, long error);
	const char *
		on; /* the label of the kind of descriptor, where another one has this number, too; or NULL */
};

#define PART(members)                                                                              \
	{                                                                                          \
		members, ARRAY_SIZE(members), NULL                                                 \
	}
#define PART_LIST(members, list)                                                                   \
	{                                                                                          \
		members, ARRAY_SIZE(members), list                                                 \
	}
#define NO_PART                                                                                    \
	{                                                                                          \
		NULL, 0, NULL                                                                      \
	}

/* ---- decoders ---- */

struct decoder {
	const char *interface; /* its name, as dev_interface() has it */
	const struct layout *layouts;
	unsigned count;
	/* Beside the tables, or NULL: before the call, */
	void (*before)(struct line *l, int fd, u32 request, unsigned long arg);
	/* after the result, */
	void (*after)(struct line *l, int fd, u32 request, unsigned long arg, long result);
	/* and when a descriptor is closed, which may be anybody's. */
	void (*closed)(int fd);
};

/* That of the interface with this name, or NULL. */
const struct decoder *decoder_of(const char *interface);
void decoders_closed(int fd);

/* How a request on a descriptor with this label is decoded, or NULL. d may be NULL: nothing is decoded then. */
const struct layout *layout_of(const struct decoder *d, const char *label, u32 request);
/* y may be NULL. What the argument points to, as a group of members: what it brings, before the call; */
void decode_in(const struct layout *y, struct line *l, unsigned long arg);
/* what has been written there, after it. result is the request's. */
void decode_out(const struct layout *y, struct line *l, unsigned long arg, long result);
const char *decode_errno(long error); /* of a negative result; or NULL */

/* ---- for decoders ---- */

/* The name of value in a list that ends with one of NULL, or NULL. */
struct named_value {
	u32 value;
	const char *name;
};
const char *name_in(const struct named_value *list, u32 value);
/* The name, or the number where there is none. */
void add_named(struct line *l, const char *member, const struct named_value *list, u32 value);
void add_members(struct line *l, const void *data, const struct member *m, unsigned n);
/* The program's memory: the kernel reads it, so that a bad pointer stays the program's mistake. */
bool read_program(unsigned long from, void *to, size_t n);

#endif
