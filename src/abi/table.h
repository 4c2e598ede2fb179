/* SPDX-License-Identifier: MIT */
/*
 * What a struct dev is made of: the table of descriptors, and the list of the objects behind them. For dev.c, ioctl.c, object.c,
 * adopt.c and fork.c alone; interfaces hold objects by object.h, where the rules are.
 *
 * A two-level array maps a descriptor to its object without a lock.
 */
#ifndef ABI_TABLE_H
#define ABI_TABLE_H

#include <pthread.h>

#include "abi/object.h"

#define CHUNK_BITS 9
#define CHUNK_SIZE (1u << CHUNK_BITS)
#define CHUNKS     2048u /* 1048576 descriptors: the largest default of RLIMIT_NOFILE */

struct chunk {
	struct object *_Atomic entry[CHUNK_SIZE];
};

#define COMMON_MAX  4  /* interfaces */
#define SESSION_MAX 48 /* characters of a name */

struct dev {
	/*
	 * The object list, table changes, object->fds. Signals are kept off meanwhile: a handler could open or close descriptors
	 * itself. Nothing is let go under it.
	 */
	pthread_mutex_t lock;
	struct object *objects;
	bool cpu_suits; /* has what generated code uses */
	int pid;
	u32 mm;
	_Atomic u32 *mm_page;           /* MM_SAME; reads 0 after a fork */
	char session[SESSION_MAX];      /* empty: none */
	struct introspect_target *tool; /* NULL: machines look for none */
	struct maps *maps;              /* between machines */
	_Atomic bool reads;             /* there is, or was, a descriptor whose reads are checked */
	pthread_mutex_t common_lock;
	struct common {
		void *what; /* NULL: not made yet */
		u32 mm;
	} common[COMMON_MAX]; /* in the order of interfaces[] */
	struct chunk *_Atomic chunks[CHUNKS];
};

/* ---- fork.c ---- */

enum { MM_FORKED, MM_SAME, MM_BUSY };

/* 0 or -errno. */
int mm_page_create(struct dev *d);
/* The first call in a forked child. */
void dev_after_fork(struct dev *d);

static inline void check_fork(struct dev *d)
{
	if (unlikely(atomic_load_explicit(d->mm_page, memory_order_acquire) != MM_SAME))
		dev_after_fork(d);
}

/* ---- object.c ---- */

static inline struct object *_Atomic *table_entry(struct dev *d, int fd)
{
	struct chunk *c;

	if (fd < 0 || (u32)fd >= CHUNKS * CHUNK_SIZE)
		return NULL;
	c = atomic_load_explicit(&d->chunks[(u32)fd >> CHUNK_BITS], memory_order_acquire);
	return c ? &c->entry[(u32)fd & (CHUNK_SIZE - 1)] : NULL;
}

/* Not held: of what it says only ops may be believed, and that as something which has been true. */
static inline const struct object *object_peek(struct dev *d, int fd)
{
	struct object *_Atomic *e = table_entry(d, fd);

	return e ? atomic_load_explicit(e, memory_order_acquire) : NULL;
}

/* Makes room for it; NULL if there is none. */
struct object *_Atomic *table_entry_make(struct dev *d, int fd);

/* refs of an object whose last reference went: not to be taken up again, not yet to be reused. */
#define REFS_DYING 0x80000000u

/* Take a reference only if there is one already. */
static inline bool object_hold(struct object *o)
{
	u32 refs = atomic_load_explicit(&o->refs, memory_order_relaxed);

	while (refs && !(refs & REFS_DYING))
		if (atomic_compare_exchange_weak(&o->refs, &refs, refs + 1))
			return true;
	return false;
}

/* Under d->lock. A free object, or a new one; refs is 1, for the caller. */
struct object *object_new(struct dev *d);
/* Under d->lock. The entry's reference is added; what was there is returned, to be put unlocked. */
struct object *table_entry_set(struct object *_Atomic *e, struct object *o);
/* Not under it. last: no other descriptor of it was left. */
void table_entry_put(struct dev *d, struct object *old, bool last);

/* ---- backing.c, common.c ---- */

/* The file that backs what is asked for: a descriptor or -errno; *ret_stream where it is a stream. */
int backing_open(struct dev *d, const struct fd_spec *q, struct stream **ret_stream);
void common_free(struct dev *d);

/* ---- adopt.c ---- */

/* Enter fd into the table if it is a duplicate of one of ours or came from elsewhere. */
struct object *object_adopt(struct dev *d, int fd);
/* fd is closed. If it was the last one that we knew, look for a duplicate that we did not. */
void object_forget(struct dev *d, int fd, struct object *o);

#endif
