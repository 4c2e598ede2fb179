/* SPDX-License-Identifier: MIT */
/*
 * Private to abi/mshv: what stands behind a descriptor, and how a request reaches its handler.
 *
 * ioctls.def lists every request once, hvcalls.def every hypercall of MSHV_ROOT_HVCALL, properties.def every partition
 * property, registers.def every name of a register. Handlers see private copies of the caller's structures; the two
 * pages of a virtual processor (VP) are shared with the caller, who can change them at any time: read each field once.
 *
 * Machine state lives in the engine. Here is only what the interface itself remembers.
 *
 * Locks, in the order in which they are taken: partition.requests; vp.lock; partition.telling; partition.lock.
 */
#ifndef ABI_MSHV_MSHV_H
#define ABI_MSHV_MSHV_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "abi/mshv/kinds.h"
#include "abi/runsignals.h"
#include "abi/user.h"
#include "base/cond.h"
#include "engine/engine.h"
#include "uapi/mshv_check.h"
#include "x86/hyperv_root.h"

#define MSHV_VPS_MAX 256

/* ---- a partition ---- */

/* What CPUID shows. */
#define LEAVES_MAX 256
struct leaves {
	unsigned n;
	struct cpuid_entry e[LEAVES_MAX];
};

struct mem_region {
	u64 pfn, pages, hva;
	u32 slot; /* the engine's */
	u8 flags; /* 1 << MSHV_SET_MEM_BIT_* */
};

struct vtl; /* vtl.h */

struct mshv_partition {
	struct dev *dev;
	struct object *object; /* NULL: it is a lower guest, */
	struct vtl *vtl;       /* of this one; or NULL */
	struct machine *machine;
	struct introspection
		*introspection;   /* NULL: machines look for no tool, or there is no VP yet */
	pthread_mutex_t requests; /* on its descriptor: one at a time */
	u64 flags;                /* 1 << MSHV_PT_BIT_* */
	struct leaves processor;  /* what its processors can do, never changed: features.h */
	_Atomic bool initialized;
	struct mshv_vp *_Atomic vp[MSHV_VPS_MAX]; /* each set once */
	struct mem_region *regions;               /* by requests alone, sorted by pfn */
	unsigned region_count, region_room;
	u32 next_slot;
	_Atomic bool frozen;    /* HV_PROPERTY_TIME_FREEZE */
	_Atomic bool suspended; /* HV_PROPERTY_SUSPEND */
	/* A VP is made, or what all of them are told of changes: so the one does not miss the other. */
	pthread_mutex_t telling;
	/* Of all below. */
	pthread_mutex_t lock;
	u64 property[64]; /* by row of properties.def: what was set, or the default */
	struct hv_intercept_result *results; /* of CPUID and MSRs, with their vp_index */
	unsigned result_count;
	struct intercepts *intercepts;
};

static inline bool partition_has_lapic(const struct mshv_partition *p)
{
	return p->flags & 1 << MSHV_PT_BIT_LAPIC;
}

/* ---- a virtual processor ---- */

struct vp_pages {
	union {
		struct hv_register_page regs;
		u8 page0[HV_PAGE_SIZE];
	};
	union {
		struct hv_message message;
		u8 page1[HV_PAGE_SIZE];
	};
};
#define VP_BYTES sizeof(struct vp_pages)

/*
 * vp.lock is held by each request on its descriptor, and by who else executes the processor or looks at it. Who wants it while
 * the processor runs says so in wanted, and kicks it (vp_take()).
 */
struct mshv_vp {
	struct mshv_partition *partition;
	struct vcpu *cpu;
	struct hv_register_page *regs; /* shared with the caller */
	struct vp_pages *pages;        /* which have regs, too; NULL: the page is somebody else's */
	u32 index;
	pthread_mutex_t lock;
	struct cond calm; /* wanted is 0, or nobody runs it any more */
	_Atomic u32 wanted;
	bool runs; /* somebody is in MSHV_RUN_VP, and may have let others in (vp_yield()) */
	unsigned run_waits; /* so many wait for that to end */
	struct run_signals signals;
	bool explicit_suspend, intercept_suspend;
	bool awaits_rip; /* it waits for SIPI, unless it is given an instruction pointer first: vp_go_to() */
	unsigned shown; /* bytes of the payload of the message that is shown */
	u32 staged; /* ST_SREGS: registers that no processor can have together, not yet: register.c */
	struct vcpu_state staging;
	struct hv_value128 event1;
	u64 notify; /* HV_NOTIFY_*: what it is to be told of, without a local APIC */
	u8 simp[HV_PAGE_SIZE], siefp[HV_PAGE_SIZE]; /* while the guest has no such page */
};

/* vp.c */
int vp_make(
	struct mshv_partition *p, u32 index, struct hv_register_page *regs, struct mshv_vp **ret);
/* With pages of its own, which fd shows. */
int vp_make_pages(struct mshv_partition *p, u32 index, int fd, struct mshv_vp **ret);
void vp_free(struct mshv_vp *v);
/* The processor does not execute until vp_give(). Not for who holds the lock. */
void vp_take(struct mshv_vp *v);
void vp_give(struct mshv_vp *v);
/* The VMM says where it is to execute. */
void vp_go_to(struct mshv_vp *v, u64 rip);
/* For the thread that runs it: let those in who want it. */
void vp_yield(struct mshv_vp *v);
/* NULL: there is none. */
static inline struct mshv_vp *partition_vp(const struct mshv_partition *p, u32 index)
{
	return index < MSHV_VPS_MAX ? atomic_load(&p->vp[index]) : NULL;
}
/* Have all processors look again at what decides whether they may run. */
void partition_kick_all(struct mshv_partition *p);

/* ---- requests ---- */

#define SYS(name, kind, size, handler)       long handler(struct call *c);
#define PARTITION(name, kind, size, handler) long handler(struct call *c);
#define VP(name, kind, size, handler)        long handler(struct call *c);
#define VTL(name, kind, size, handler)       long handler(struct call *c);
#define HVCALL(name, kind, size, handler)    long handler(struct call *c);
#define SINT(name, kind, size, handler)      long handler(struct call *c);
#include "abi/mshv/ioctls.def"

static inline struct mshv_partition *partition_of(const struct call *c)
{
	return c->vm;
}

static inline struct mshv_vp *vp_of(const struct call *c)
{
	return c->behind;
}

/* Bits that must be 0: -EINVAL if there are any. */
static inline long check_flags(struct call *c, u64 flags, u64 known)
{
	if (likely(!(flags & ~known)))
		return 0;
	return refuse(
		c->why, -EINVAL, "flags 0x%lx: the bits 0x%lx are unknown", flags, flags & ~known);
}

#define NOT_ZERO "rsvd: these bytes must be 0"
static inline bool all_zero(const void *bytes, size_t n)
{
	const u8 *b = bytes;
	u8 any = 0;

	for (size_t i = 0; i < n; i++)
		any |= b[i];
	return !any;
}

#endif
