/* SPDX-License-Identifier: MIT */
/*
 * Requests: what ioctl() asks of a descriptor, as a row of its interface's table has it.
 *
 * The kind's own code (fd_ops.ioctl) finds the row by the whole number and takes whatever lock the kind has; then
 * request_serve() copies the argument as the row says and calls the handler. So handlers see private copies of the caller's
 * structures alone.
 */
#ifndef ABI_REQUEST_H
#define ABI_REQUEST_H

#include "abi/object.h"
#include "base/refusal.h"

enum arg_kind {
	ARG_NONE, /* ignored: clients leave garbage in the register */
	ARG_ZERO, /* must be 0, else -EINVAL */
	ARG_VALUE,
	ARG_IN,    /* pointer to a structure that the request reads, */
	ARG_OUT,   /* writes on success, */
	ARG_INOUT, /* or both */
	ARG_PTR,   /* pointer that the handler copies itself: variable size, or checks come first */
};

struct call {
	struct dev *dev;
	void *behind;      /* the descriptor; of what type, its kind knows */
	void *vm;          /* behind its owner, or, where it has none, behind itself */
	struct hold *hold; /* by which signals are kept off; NULL: they are blocked, */
	u64 caller_mask;   /* and the calling thread has blocked these */
	unsigned long arg;
	void *data;          /* private copy for ARG_IN, ARG_OUT, ARG_INOUT */
	struct refusal *why; /* for refuse(); NULL: nobody asks */
};

typedef long (*request_handler)(struct call *c);

struct request {
	const char *name;
	const struct fd_ops *on; /* the kind of descriptor that has it */
	request_handler handler;
	u32 number;
	u16 size;    /* of the structure, 0 for the other kinds of arguments */
	u8 arg_kind; /* enum arg_kind */
};

/* Structures are copied to the stack: ARG_PTR is for larger ones. */
#define REQUEST_SIZE_MAX 4096

/* Copies the argument as the row says, and calls the handler. */
long request_serve(const struct request *r, struct call *c);
/* The answer where there is no row. */
long request_unknown(struct call *c, const struct fd_ops *on, u32 number);

#endif
