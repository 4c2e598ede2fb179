/* SPDX-License-Identifier: MIT */
/* Parts of fuzz-libkvm: the state of the one fuzzer of a process, chance, and what is called. */
#ifndef FUZZ_LIBKVM_FUZZ_H
#define FUZZ_LIBKVM_FUZZ_H

#include <libkvm.h>
#include <pthread.h>
#include <stdatomic.h>

#include "fuzz/random.h"

#define CONTEXTS     3
#define SCRATCH      (2u << 20)  /* the bitmap of the largest region, and any structure */
#define ARENA        (1u << 20)  /* memory for kvm_register_phys_mem ... */
#define ARENA_BEHIND (16u << 20) /* ... and addresses behind it without memory */
#define MOST_MEMORY  (8ul << 30)
#define BUDGET       300 /* callbacks in one kvm_run */

struct context {
	kvm_context_t kvm;
	struct kvm_callbacks callbacks;
	u8 *mem;  /* of kvm_create, with code in its second page */
	int left; /* of BUDGET */
};

struct fuzz {
	struct random random;
	struct context contexts[CONTEXTS];
	struct context *c;
	u8 *scratch, *arena;
	unsigned long count; /* calls in a round, unless seconds are given */
	unsigned seconds;
	_Atomic unsigned long done;
	_Atomic bool stop;
	pthread_t thread;
	const char *call;
	bool trace;
	const char *engine;
};

extern struct fuzz fz;

/* ---- libkvm_guest.c ---- */

u64 next(void);
u64 below(u64 n);
bool chance(unsigned percent);
/* Numbers that tend to sit on the edge of something. */
u64 edge(void);
void finding(const char *what, long value) __attribute__((noreturn));
/* 0 or -errno. */
void check(long r);
/* Any subset of callbacks that answer anything. */
void some_callbacks(struct kvm_callbacks *cb);
/* Code of any kind where a guest begins. */
void write_code(u8 *mem);
void hear(void *opaque, enum uv_kvm_log_kind kind, const char *line);

/* ---- libkvm_calls.c ---- */

void make_context(void);
void one_call(void);

#endif
