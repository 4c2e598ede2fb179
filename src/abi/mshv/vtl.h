/* SPDX-License-Identifier: MIT */
/*
 * The side of a higher virtual trust level (VTL). To the kernel's driver the machine itself is the virtual one: its processors
 * execute VTL2, whose user space is the program, and VTL0, the lower guest, by turns. Here the lower guest is a partition of
 * ours. It has a virtual processor for each processor of the host, which a thread executes that asks for it there
 * (MSHV_RETURN_TO_LOWER_VTL).
 *
 * So there is one lower guest in an address space, whichever descriptors are opened. It begins with the first of them and
 * ends with the last. What the program maps stays what it is until then and after it: the files are kept.
 *
 * Locks: vtl.life is held while a lower guest begins or ends, and outside of all others. vtl.cpu[].returning is held by the
 * thread that executes the lower guest there. The others are inside of all of mshv.h, in the order in which they are here:
 * ends_lock, watch_lock, sint_end.lock; and lock, by itself.
 */
#ifndef ABI_MSHV_VTL_H
#define ABI_MSHV_VTL_H

#include "abi/mshv/mshv.h"
#include "uapi/mshv_vtl.h"

/* What the levels have: an intercept's message in the run page, and actions on the way back. */
#define VSM_CAPABILITIES (HV_VSM_INTERCEPT_PAGE | HV_VSM_RETURN_ACTION)

struct vtl_watch {
	int fd;
	void (*happened)(struct vtl_watch *w); /* on the helper thread, under vtl.watch_lock */
};

struct vtl_cpu {
	pthread_mutex_t returning;
	/* MSHV_SET_POLL_FILE; under vtl.watch_lock */
	struct vtl_watch poll; /* fd is -1: none */
	struct mshv_vp *vp;    /* which comes out then */
};

struct vtl {
	struct dev *dev;
	unsigned cpus; /* that the host can have */
	struct vtl_cpu *cpu;
	int pages_fd;   /* run pages and register pages: MSHV_VTL_MMAP_* */
	u8 *run, *regs; /* them, mapped: a page for each processor */
	int memory_fd;  /* at guest-physical addresses */
	pthread_mutex_t life;
	unsigned holds; /* of descriptors */
	bool has_processors;
	struct mshv_partition *partition; /* while there are any */
	_Atomic u64 config;               /* HV_REGISTER_VSM_PARTITION_CONFIG */
	pthread_mutex_t lock;             /* of the VPs that are made */
	int watches_fd;                   /* vtl_watch.c */
	pthread_mutex_t watch_lock;
	struct sint_end *ends; /* sint.h */
	pthread_mutex_t ends_lock;
};

/* ---- the address space's (vtl.c) ---- */

/* The lower guest of the calling process, or -errno: held until vtl_put(). processors: all that the host has are there. */
int vtl_get(struct dev *d, bool processors, struct vtl **ret);
void vtl_put(struct vtl *t);

static inline struct vtl *vtl_of(const struct call *c)
{
	return c->behind;
}

/* The VP of a processor, who must be held; NULL: there is none, or no memory. */
struct mshv_vp *vtl_vp(struct vtl *t, unsigned cpu);
/* That of the processor on which the caller runs. */
struct mshv_vp *vtl_vp_here(struct call *c);

/* May be written by the program at any time: read each field once. */
static inline volatile struct mshv_vtl_run *vtl_run_page(const struct mshv_vp *v)
{
	return (void *)(v->partition->vtl->run + (size_t)v->index * HV_PAGE_SIZE);
}

/* ---- files that are watched (vtl_watch.c) ---- */

int vtl_watches_begin(struct vtl *t);
/* None is watched any more. */
void vtl_watches_end(struct vtl *t);
/* Under vtl.watch_lock. 0 or -errno. only_new: what the file has to say already is not told. */
int vtl_watch_add(struct vtl *t, struct vtl_watch *w, bool only_new);
void vtl_watch_remove(struct vtl *t, const struct vtl_watch *w);

/* vtl_poll.c */
void vtl_polls_end(struct vtl *t);

/* ---- executing it (vtl_run.c, vtl_context.c) ---- */

/* v is the lower guest's. Does the program want it to come out? */
bool vtl_is_cancelled(const struct mshv_vp *v);
bool vtl_poll(void *run_signals);
/* Has it left for a call of VTL2? It has been done. */
bool vtl_take_call(struct mshv_vp *v);

/* The registers that the levels share, from and to the run page. */
void vtl_context_load(struct mshv_vp *v);
void vtl_context_save(struct mshv_vp *v);

#endif
