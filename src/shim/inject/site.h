/* SPDX-License-Identifier: MIT */
/*
 * Call sites: `syscall` instructions of the program that are worth a way to us without a signal.
 *
 * A site is rewritten by one jump of five bytes to a page of its own, its slot, which goes on to
 * inject_site (site.S). Two forms, chosen by what the code there looks like (siteplan.c):
 *
 *   FORM_BEFORE  the jump replaces the instruction before `syscall`, which stays where it is;
 *   FORM_AFTER   it replaces `syscall` and what follows, of which the slot has a copy.
 *
 * In both, the bytes that may be the beginning of an instruction are no instruction while they belong to the
 * jump: whoever comes to them raises SIGILL, and site_trap() takes him to the copy in the slot.
 */
#ifndef SHIM_INJECT_SITE_H
#define SHIM_INJECT_SITE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/types.h"

#define SITE_JUMP       5    /* bytes of jmp rel32 */
#define SITE_JMP        0xe9 /* the first of them, */
#define SITE_TRAP       0x06 /* and what is there while they are written: site_is_trap() */
#define SITE_COPY_MAX   15   /* of the program's instructions in a slot */
#define SLOT_BYTES      128  /* the code in one; its struct slot_data follows */
#define SITES_MAX       512  /* that are rewritten */
#define SITE_HITS       1024 /* that are counted, a power of two */
#define SITE_XGETBV_MAX 16
#define SITE_TEXTS_MAX  8
#define SITE_HOT        16 /* calls from where a site is rewritten */

/* A piece of the program's code around a call. */
struct site_code {
	const u8 *bytes;
	unsigned n, call; /* where `syscall` is */
};

struct site_plan {
	unsigned at;     /* where in the piece the jump shall stand */
	unsigned before; /* bytes of the instruction before `syscall`, FORM_BEFORE; or 0 */
	unsigned after;  /* bytes after `syscall` that move to the slot, FORM_AFTER; or 0 */
};

struct site {
	struct site_plan plan;
	u64 at, slot;
	u64 shown;  /* the address after the program's `syscall` */
	u64 resume; /* where it goes on: the same, or its copy in the slot */
	u8 old[SITE_JUMP];
};

struct site_text {
	u64 start, end;
};

struct site_hits {
	_Atomic u64 shown;
	_Atomic unsigned count;
};

struct sites {
	pthread_mutex_t lock; /* who rewrites */
	bool on;
	bool has_xsavec;
	unsigned hot; /* SITE_HOT, or 1 */
	u32 xmask;    /* what our code may change of the vector state */
	s32 magic;    /* tells that gs is ours */
	unsigned
		texts; /* of the program and its interpreter, which are files that are not written */
	struct site_text text[SITE_TEXTS_MAX];
	unsigned xgetbvs; /* that are answered by xstate.c */
	u64 xgetbv[SITE_XGETBV_MAX];
	_Atomic unsigned count;
	struct site of[SITES_MAX];
	struct site_hits hits[SITE_HITS];
};

/* Behind the code of a slot. */
struct slot_data {
	u64 resume, shown; /* as in struct site */
	u64 site;          /* inject_site */
	u64 back;          /* behind what was copied */
};

struct image;
struct thread;
struct context;

/* NULL: no memory. It is off where the host cannot do it or the user does not want it. */
struct sites *sites_create(void);
void sites_add_text(struct sites *s, const struct image *image);
/* On each new thread: gs finds it. 0 or -errno. */
int site_thread_arm(struct thread *t);

/* siteplan.c: may a call be rewritten, and how? Pure. */
bool site_plan(const struct site_code *code, struct site_plan *ret);
/* Does an instruction begin where the call is said to be? Certainly, or false. */
bool site_begins(const struct site_code *code);
/* A byte that begins no instruction in 64-bit mode, whatever follows. */
bool site_is_trap(u8 byte);

/* sitewrite.c: rewrites the call that ends at shown if it can. `alone`: no other thread runs code of the program. */
void site_rewrite(struct sites *s, u64 shown, bool alone);

/* Code at an address becomes readable, executable, and prot. */
bool site_text_protect(u64 at, int prot);

/* xstate.c: before the program starts; and a trap that comes of it: true, and c goes on. */
void xstate_hide(struct sites *s, const struct image *program);
bool xstate_answer(const struct sites *s, struct context *c);

/* bare.c: the site whose slot or jump has this address, or NULL. */
const struct site *site_of(const struct sites *s, u64 rip);
/* bare.c: counts a call; true when it has become worth rewriting. */
bool site_hot(struct sites *s, u64 shown);

/* If c is in a slot or in inject_site: as if the program's own instruction had been there. */
void site_normalise(struct thread *t, struct context *c);
/* The program's address after the call that goes on at ret. */
u64 site_shown(const struct thread *t, u64 ret);
/* After a system call of inject_site or a slot that came to us: true if c is complete, else it is to be served. */
bool site_called(struct thread *t, struct context *c);
/* A fault that only tells us where somebody is: true, and c goes on. */
bool site_trap(struct thread *t, struct context *c);

#endif
