/* SPDX-License-Identifier: MIT */
/*
 * fuzz-ioctl: ioctl.c runs threads that take one step after the other (ioctl_step.c), most of them a request with an
 * argument (ioctl_args.c), and sees that nothing leaks.
 */
#ifndef FUZZ_IOCTL_FUZZ_H
#define FUZZ_IOCTL_FUZZ_H

#include <pthread.h>
#include <stdatomic.h>

#include "abi/dev.h"
#include "abi/kvm/kvm.h"
#include "fuzz/random.h"

#define POOL      14
#define RAM_BYTES 0x40000
#define SCRATCH   0x8000

struct slot {
	_Atomic int fd;
	const struct fd_ops *kind;
	void *run; /* a vcpu's pages */
};

/* What the threads have in common. */
struct playground {
	struct dev *dev;
	u8 *ram;
	int event;
	struct slot pool[POOL];
	pthread_mutex_t lock; /* closing and creating */
};
extern struct playground pg;

struct worker {
	struct random random;
	u8 *scratch; /* SCRATCH bytes, then a page that is not there */
};

static inline u64 next(struct worker *w)
{
	return rnd(&w->random);
}

static inline u64 below(struct worker *w, u64 n)
{
	return rnd_below(&w->random, n);
}

static inline bool chance(struct worker *w, unsigned percent)
{
	return rnd_chance(&w->random, percent);
}

/* ---- ioctl_step.c ---- */

void one_step(struct worker *w);
void pool_close(struct slot *s);
/* Some open descriptor of a kind, or -1. */
int any_of(struct worker *w, const struct fd_ops *kind);

/* ---- ioctl_args.c ---- */

/* Numbers that tend to sit on the edge of something. */
u64 interesting(struct worker *w);
/* For a request on fd: half right, often at the end of w->scratch. */
unsigned long make_argument(struct worker *w, const struct request *r, int fd);

#endif
