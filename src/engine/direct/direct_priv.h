/* SPDX-License-Identifier: MIT */
/* Inside engine/direct. */
#ifndef ENGINE_DIRECT_PRIV_H
#define ENGINE_DIRECT_PRIV_H

#include "cage/cage.h"
#include "engine/core/vcpu.h"
#include "engine/direct/scan.h"

#define DIRECT_PAGES       32768u /* that the process has at most: half of vm.max_map_count */
#define DIRECT_BUCKET_BITS 15
#define DIRECT_BUCKETS     (1u << DIRECT_BUCKET_BITS)

struct direct_page {
	u64 gva;
	const u8 *hva;
	u32 access; /* enum cage_access; 0: it has gone */
	u32 next;   /* of the same bucket, as there */
};

/* breaks.c */
struct break_wish {
	u64 page;
	u32 stops;
};
struct breaks {
	u64 at[CAGE_BREAKS]; /* 0: free */
	bool refused;        /* by the host */
	struct break_wish wish[16];
};

/* One address space. */
struct direct {
	u64 ran_at; /* direct_spaces.runs; 0: never */
	struct cage *cage;
	bool broken;          /* this host, or the machine's memory, cannot have one */
	bool failed;          /* it is of no more use */
	u32 slots;            /* machine.slot_generation when it was made */
	struct cage_ram *ram; /* what it has of guest memory */
	unsigned rams;
	/* pages.c */
	u64 root;      /* of the page tables whose pages these are */
	bool fresh;    /* there are some, and they are this address space's */
	u64 flushes;   /* cpu.direct.flushes up to which they have been looked at */
	u64 unwatched; /* the same of machine.unwatched, by processors */
	u64 rechecks;  /* and of cpu.direct.rechecks, by others */
	bool hidden;   /* the process's own memory stands where the guest has pages */
	u32 count;
	u32 bucket[DIRECT_BUCKETS]; /* 0, or the number of the first page and 1 */
	struct direct_page page[DIRECT_PAGES];
	struct breaks breaks;
	struct verdicts *verdicts; /* of all spaces */
	/* A fault that was the guest's: its address, 0 for none, whose it was, and error code. */
	u64 missed, missed_root;
	u32 missed_error;
	/* judge.c: runs and pages since it was last judged, the process's time before them, and how long they took */
	u64 runs, mapped, used_ns, whole_ns;
};

/* How long an address space is left to the engine: judge.c. */
struct patience {
	u64 root, seen; /* seen: the number of the request that found it last; 0: never */
	u64 program;    /* whose tables these are: judge.c */
	u32 found;      /* by so many requests */
	u64 invested_ns;
	u32 wait, left; /* requests that are let pass before the next trial: at first, and still */
	u32 lost;       /* trials, one after the other */
	bool tried;
};

#define SPACES    4u
#define PATIENCES 16u
/* Memory that is there when it is used: most programs have few pages. */
struct direct_spaces {
	struct direct of[SPACES];
	struct patience patience[PATIENCES];
	u64 requests;
	u32 first; /* requests that are let pass before the first trial of an address space */
	u64 runs;
	u64 stop_ns; /* judge.c: what a stop takes of a process's time */
	struct verdicts verdicts;
};

/* Linux changes the PCID of an address space now and then: the tables tell which it is. */
static inline u64 direct_root(const struct cpu *cpu)
{
	return cpu->cr3 & PAGE_MASK;
}

/* spaces.c: makes those of a vcpu, before it is armed. False: there is no memory for them. */
bool direct_spaces_make(struct vcpu *v);
/* That of its address space, with the rest of what it was. */
struct direct *direct_space(struct vcpu *v);

/* fits.c: is the processor in a state in which user code computes the same natively? */
bool direct_fits(const struct cpu *cpu);

/* judge.c: was it worth it? */
void direct_judge(struct vcpu *v, struct direct *d, u64 runs, u64 whole_ns);
/* It cannot be now: not again until some requests have passed, each time more. */
void direct_rest(struct vcpu *v);

/* regs.c: in and out. */
void direct_regs_to(struct cpu *cpu, struct cage *c, struct cage_regs *r);
void direct_regs_from(struct cpu *cpu, struct cage *c, const struct cage_regs *r);

/* memory.c: a process for the machine's memory. 0, or -errno. */
int direct_cage_create(struct machine *m, struct direct *d);
void direct_cage_destroy(struct direct *d);

/* breaks.c. The process has stopped at a page that it may not execute. */
void direct_breaks_want(struct direct *d, u64 page);
/* May it be executed? If so, the process stops in front of all that was found in it. Those of what was there before go. */
bool direct_breaks_cover(struct direct *d, u64 page, const struct verdict *v);
/* It has gone; all have. */
void direct_breaks_release(struct direct *d, u64 page);
void direct_breaks_release_all(struct direct *d);
/* There is a new process, or an empty one. */
void direct_breaks_forget(struct direct *d);

/* pages.c; inside. Those that return bool return false where the process cannot be used any more. */
/* There is a new process. */
void direct_pages_forget(struct direct *d);
/* Before each run: nothing is mapped but what may be accessed now. */
bool direct_pages_sync(struct cpu *cpu, struct direct *d);
/* After a page fault. *ret_done: the page is there now. */
bool direct_pages_fault(struct cpu *cpu, struct direct *d, u64 gva, u32 error, bool *ret_done);

#endif
