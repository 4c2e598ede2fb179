/* SPDX-License-Identifier: MIT */
/* What a machine is made of. Each part keeps its own state behind a pointer. Private to engine/. */
#ifndef ENGINE_CORE_MACHINE_H
#define ENGINE_CORE_MACHINE_H

#include <pthread.h>
#include <stdatomic.h>
#include "base/cond.h"
#include "base/types.h"
#include "engine/engine.h"
#include "engine/intercept.h"
#include "engine/tap.h"

struct memory; /* mem/: slots, dirty bitmaps, watched pages */
struct irq;    /* irq/: PIC, IOAPIC, PIT, routing, irqfd, ioeventfd */
struct timers; /* time/timer.c: the machine's one helper thread, timer wheel, descriptor watching */
struct msr_policy; /* msr/policy.h */
struct code_cache; /* code/cache.h: translations */
struct hv_partition;
struct tick;
struct last;

/* stat.h */
#define STAT_WORDS_MAX      96
#define VCPU_STAT_WORDS_MAX 3072

struct exit_record;  /* code/cache.h */
struct code_watcher; /* mem/mem.h */
struct sint_ops;     /* irq/irq.h */

/* Where generated code may run, and the record by which it leaves when the host faults there. */
struct code_area {
	u64 start, bytes;
	const struct exit_record *fault;
};

/* MSRs for whose accesses somebody is to be asked: 8192 of each of the architecture, Hyper-V, KVM, and two of AMD's. */
#define MSR_SELECTION_WORDS (5 * 0x2000 / 64)
struct msr_selection {
	_Atomic u64 word[2][MSR_SELECTION_WORDS]; /* [write] */
};

/* tap/intercept.h: what the VMM of a partition wants to see. Changed with all vcpus outside. */
struct machine_intercepts {
	_Atomic u32 kinds;      /* derived: there is something of these, BIT(enum tap_kind) */
	_Atomic u32 exceptions; /* a bit for each vector */
	_Atomic u64 leaf[INTERCEPT_LEAVES]; /* INTERCEPT_LEAF | leaf; 0: this place is free */
	struct msr_selection msrs;
};
#define INTERCEPT_LEAF BIT64(32)

/* vcpu/tap.c: the subscriber */
struct machine_tap {
	pthread_mutex_t lock;
	struct cond idle;
	const struct tap *ops;
	void *opaque;
	unsigned busy;    /* threads in its functions */
	unsigned leaving; /* it has gone, and what it has asked for is being undone */
};

struct machine {
	struct memory *mem;
	struct irq *irq;
	struct timers *timers;
	struct code_cache *code;
	struct code_area code_area;
	const struct code_watcher *watcher;
	const struct sint_ops *sint_ops;
	struct hv_partition *hv;       /* pv/hyperv/hv.h */
	_Atomic u64 hv_invariant_tsc;  /* a guest of Hyper-V's interface has asked for it */
	u32 xen_msr;                   /* machine_set_xen() */
	struct msr_policy *msr_policy; /* NULL: nothing refused, nothing leaves */
	_Atomic u64 option[OPT_COUNT];
	_Atomic u64 *_Atomic stats; /* stat.h */
	_Atomic u64 own_stats[STAT_WORDS_MAX];
	bool vmmcall;         /* the host's vendor has VMMCALL, not VMCALL */
	pthread_mutex_t lock; /* vcpu list, configuration */
	u32 boot_cpu;
	unsigned vcpu_count;
	_Atomic unsigned vcpu_high;                    /* entries of vcpus[] ever used */
	struct vcpu *_Atomic vcpus[MACHINE_MAX_VCPUS]; /* by creation order; NULL: destroyed */
	_Atomic u64
		frozen_tsc; /* the host's TSC when time was frozen (time/freeze.c); 0: it runs */
	_Atomic u32 time_moves; /* odd while it is being frozen or thawed */
	_Atomic u64 unwatched;  /* times that a page of code was written to; for direct execution */
	_Atomic u32 slot_generation; /* grows with each change of the memory map */
	pthread_mutex_t pause_lock;
	struct cond resumed;
	_Atomic bool pausing; /* one machine_pause() at a time */
	unsigned held;        /* vcpus that wait to go in; under pause_lock */
	struct machine_tap tap;
	struct machine_intercepts intercepts;
	struct tick *tick;         /* tick.c */
	struct last *last;         /* lastwatch.c */
	_Atomic u32 device_events; /* recheck.c */
	unsigned host_cpus;        /* this and the following: vcpu/sleep.c */
	_Atomic unsigned asleep;   /* vcpus */
};

static inline u64 machine_option(const struct machine *m, enum machine_option o)
{
	return atomic_load_explicit(&m->option[o], memory_order_relaxed);
}

/* OPT_INTERCEPTS */
static inline bool machine_intercepts(const struct machine *m)
{
	return unlikely(machine_option(m, OPT_INTERCEPTS));
}

static inline bool machine_quirk(const struct machine *m, u64 quirk)
{
	return !(machine_option(m, OPT_QUIRKS_OFF) & quirk);
}

/* The host's TSC as it counts for this machine: while time is frozen, what it was then. */
static inline u64 machine_host_tsc(const struct machine *m)
{
	u64 frozen = atomic_load_explicit(&m->frozen_tsc, memory_order_relaxed);

	return likely(!frozen) ? __builtin_ia32_rdtsc() : frozen;
}

/* Who reads time without the clock's lock does it between these two, and again if it has moved. */
static inline u32 machine_time_begin(const struct machine *m)
{
	return atomic_load(&m->time_moves);
}

static inline bool machine_time_moved(const struct machine *m, u32 begun)
{
	atomic_thread_fence(memory_order_acquire);
	return begun & 1 || begun != atomic_load(&m->time_moves);
}

/* The hypercall of the machine's vendor: VMCALL or VMMCALL. */
static inline void machine_hypercall_insn(const struct machine *m, u8 ret[3])
{
	ret[0] = 0x0f;
	ret[1] = 0x01;
	ret[2] = m->vmmcall ? 0xd9 : 0xc1;
}

#endif
