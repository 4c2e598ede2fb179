/* SPDX-License-Identifier: MIT */
/*
 * Guest RAM behind userfaultfd: a thread that gives pages when somebody waits for them, after a while or when it is
 * told to.
 */
#ifndef TESTS_ABI_USERFAULT_H
#define TESTS_ABI_USERFAULT_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/types.h"

enum uf_mode {
	UF_MISSING, /* pages are not there: filled with .fill */
	UF_PROTECT, /* pages must not be written: copied to .saved first */
	UF_MINOR,   /* shared memory that has the page; only the mapping is missing */
};

struct userfault {
	enum uf_mode mode;
	u8 *base; /* .pages of them */
	unsigned pages;
	u64 page_size;     /* 0: the usual one */
	u8 *source;        /* UF_MISSING: what they contain */
	u8 *saved;         /* UF_PROTECT: what they were before the first write */
	unsigned delay_us; /* before a page is given */
	_Atomic bool hold; /* no page is given */
	void (*instead)(struct userfault *u); /* called by the thread before it gives a page */
	void *opaque;
	_Atomic unsigned waiting; /* messages read */
	_Atomic unsigned given;   /* pages */
	_Atomic bool stop;
	int fd;
	pthread_t thread;
};

/* All fields but the last ones are set by the caller. False: there is no userfaultfd, or not of this kind. */
bool userfault_start(struct userfault *u);
void userfault_stop(struct userfault *u);
/* Returns when that many messages have come in all. */
void userfault_await(struct userfault *u, unsigned messages);

#endif
