/* SPDX-License-Identifier: MIT */
/* What a vcpu is made of: its processor, and what surrounds it. Private to engine/. */
#ifndef ENGINE_CORE_VCPU_H
#define ENGINE_CORE_VCPU_H

#include <stdatomic.h>
#include "engine/core/cpu.h"
#include "engine/core/machine.h"

struct machine;
struct lapic;         /* irq/lapic.h */
struct hv_vp;         /* pv/hyperv/hv.h */
struct dirty_ring;    /* mem/ring.c */
struct direct_spaces; /* direct/direct_priv.h */

/* pv/kvm/steal.c */
struct steal {
	u64 asked, last; /* when the host was asked, and what it said; ns */
	u32 version;     /* as last written */
	int fd, tid;     /* of the thread's file, plus 1; 0: none */
	bool have_last;
};

/* vcpu/tap.c: what the subscriber has asked for. Written by any thread. */
struct vcpu_tap {
	_Atomic u32 events; /* enum tap_kind */
	_Atomic u32 crs;
	_Atomic u32 view;       /* mem/views.c; the vcpu is there when it has gone in next */
	_Atomic u32 pauses;     /* not told yet */
	_Atomic bool born;      /* not told yet */
	_Atomic bool step_anew; /* TAP_STEP was switched on: what is next follows no instruction */
	struct msr_selection msrs;
};

/* The guest's TSC, on any thread. */
static inline u64 cpu_tsc_now(const struct cpu *cpu)
{
	const struct machine *m = cpu->machine;
	u32 moves;
	u64 tsc;

	do {
		moves = machine_time_begin(m);
		tsc = cpu_tsc_at(cpu, machine_host_tsc(m));
	} while (unlikely(machine_time_moved(m, moves)));
	return tsc;
}

enum vcpu_where { VCPU_OUT, VCPU_IN, VCPU_ASLEEP };

struct vcpu {
	struct cpu cpu; /* page aligned; large; its stack lies below (core/layout.h) */
	struct machine *machine;
	struct lapic *lapic; /* NULL without an in-engine local APIC */
	struct hv_vp *hv;    /* pv/hyperv/hv.h */
	u32 id;
	_Atomic u32 apic_id;  /* id, unless vcpu_set_apic_id() was called */
	_Atomic u32 where;    /* enum vcpu_where: IN while inner code may run */
	_Atomic u32 mp_state; /* enum mp_state */
	_Atomic bool pending_init, pending_sipi, pending_smi;
	_Atomic bool
		unhalted; /* KVM_HC_KICK_CPU: the next HLT, or the one under way, is over at once */
	_Atomic u8 sipi_vector;
	_Atomic u32 pending_nmi; /* count, at most 2 */
	int user_irq;            /* vector from vcpu_interrupt(), or -1 */
	bool want_irq_window, want_nmi_window;
	_Atomic u64 slept_seen; /* idle.c */
	bool hv_exit_waits;     /* user space has not seen hv->exit yet */
	bool idles; /* asleep in front of a read of HV_GUEST_IDLE until there is an interrupt */
	bool smi_in_halt;           /* woken from HLT by the SMI that comes next */
	struct {                    /* vapic.c */
		bool report, waits; /* an access that user space has not seen yet */
		bool write;
		u8 shown;      /* TPR as last written to the page */
		u64 rip, page; /* page: gpa, 0 none */
	} tpr;
	u32 tsc_khz; /* as the VMM has set it; 0: the host's */
	struct sint_vectors { /* Hyper-V's SINTs: vectors of all, and of those whose EOI is automatic. Any thread reads. */
		_Atomic u32 all[8], auto_eoi[8];
	} sints;
	int eoi_exit; /* vector of an EOI that user space has not seen yet, or -1 */
	bool (*poll)(void *opaque);
	bool (*asked_for)(void *opaque, int thread);
	void *poll_opaque;
	_Atomic bool calling; /* this and the following: tick.c */
	unsigned late;
	int wake_fd; /* eventfd, written to while the vcpu is ASLEEP; -1: has not slept yet */
	int wait_fd; /* the caller's, or -1 */
	u64 spin_ns; /* for how long it looks before it sleeps: sleep.c */
	u64 own_stats[VCPU_STAT_WORDS_MAX];
	struct steal steal;
	struct vcpu_tap tap;
	struct dirty_ring *ring;      /* mem/ring.c; NULL: none */
	struct direct_spaces *direct; /* NULL: not used yet */
	_Atomic u32 entries;          /* this and the following: recheck.c */
	u32 events_seen, activity_seen, ticks;
};

#endif
