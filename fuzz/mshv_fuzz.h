/* SPDX-License-Identifier: MIT */
/*
 * fuzz-mshv: mshv.c makes a case, of several threads on the descriptors of one device, and steps: mshv_step.c. Arguments of
 * requests are made in mshv_args.c, hypercalls and their buffers in mshv_hvcall.c, guests in mshv_guest.c; the side of a higher VTL
 * is in mshv_vtl.c.
 *
 * Memory that requests are told of is mapped twice: the fuzzer writes by a view that stays, and tells of one that comes and
 * goes.
 */
#ifndef FUZZ_MSHV_FUZZ_H
#define FUZZ_MSHV_FUZZ_H

#include <pthread.h>
#include <stdatomic.h>

#include "abi/dev.h"
#include "abi/request.h"
#include "fuzz/cases.h"
#include "uapi/mshv.h"
#include "x86/hyperv_root.h"

/* What --without leaves out. */
enum { THREADS, GARBAGE, VANISHING, CLOSING, RUNS, HYPERCALLS, FREEZING, MAPS, EVENTS };

#define SLOTS       22
#define EVENT_FDS   3
#define ARG_BYTES   0x10000u
#define RAM_BYTES   0x80000u
#define LOOSE_BYTES 0x10000u
#define CODE_AT     0x1000u
#define CODE_BYTES  0x6000u
#define TABLES_AT   0x10000u /* five pages */
#define GUEST_HOLE  0xd0000000u

/* A place for a descriptor of one kind. */
struct slot {
	_Atomic int fd;       /* -1: none */
	void *page[2];        /* of a VP or a VTL, mapped; or NULL */
	_Atomic u32 vp_index; /* of a VP */
};

struct playground {
	struct dev *dev;
	struct slot slot[SLOTS];
	pthread_mutex_t lock;   /* opening and closing */
	pthread_rwlock_t pages; /* mappings of VPs' pages: read by who uses one */
	int event[EVENT_FDS], file;
	u8 *arg, *arg_stays; /* the same memory */
	u8 *ram, *ram_stays;
	u8 *loose; /* of a file that shrinks */
	int loose_fd;
	u64 features;
	bool garbage;
};
extern struct playground pg;

struct worker {
	struct random r;
	pthread_t thread;
	_Atomic bool ended;
	unsigned steps;
	u32 vp_index; /* of the VP that it has made last */
};

static inline u64 below(struct worker *w, u64 n)
{
	return rnd_below(&w->r, n);
}

static inline bool chance(struct worker *w, unsigned percent)
{
	return rnd_chance(&w->r, percent);
}

/* ---- mshv_step.c ---- */

void one_step(struct worker *w);
/* Some open descriptor of this kind, or -1. */
int any_of(struct worker *w, const struct fd_ops *kind);
void slots_open(struct worker *w);
void slots_close(void);
/* The request, with what must hold of its result. */
long request(int fd, u32 number, unsigned long arg);

/* ---- mshv_args.c ---- */

/*
 * A place for n bytes that a request is told of, and where to write them: mostly memory that is there. NULL in *ret_write:
 * there is none.
 */
unsigned long place(struct worker *w, size_t n, u8 **ret_write);
void spoil(struct worker *w, void *p, size_t n);
/* To memory that others use at the same time. */
void put(u8 *to, const void *from, size_t n);
/* For a request on fd. */
unsigned long make_argument(struct worker *w, const struct request *r);
/* Something becomes of the memory that requests are told of. */
void memory_step(struct worker *w);

/* ---- mshv_hvcall.c ---- */

void hypercall_step(struct worker *w, int fd);
long set_property(int fd, u32 code, u64 value);

/* ---- mshv_vtl.c ---- */

long vtl_open_one(struct worker *w);
long vtl_open_sint(struct worker *w);
long vtl_open_low(struct worker *w);
long vtl_open_hvcall(struct worker *w);
/* Of a request that nobody else makes: right, mostly. p is all 0. */
void vtl_argument(struct worker *w, u32 number, void *p);
void vtl_scribble(struct worker *w, struct slot *s);
void vtl_read(int fd);

/* ---- mshv_guest.c ---- */

void guest_code(struct worker *w);
/* The VP is where it can run again. */
void guest_revive(struct worker *w, int vp, u32 index);
void guest_scribble(struct worker *w, struct slot *s);
void guest_run(struct worker *w, struct slot *s);

#endif
