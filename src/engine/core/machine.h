/* SPDX-License-Identifier: MIT */
/*
 * Inside the engine: what a machine and a vcpu are made of, and how the parts call each other.
 * Each part keeps its own state behind a pointer; nothing outside engine/ sees this header.
 */
#ifndef ENGINE_CORE_MACHINE_H
#define ENGINE_CORE_MACHINE_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/core/cpu.h"

struct memory; /* mem/slot.c: slots, dirty bitmaps, watched pages */
struct irq;    /* irq/: PIC, IOAPIC, PIT, routing, irqfd, ioeventfd */
struct lapic;  /* irq/lapic.c */
struct timers; /* time/timer.c: the machine's one helper thread, timer wheel, descriptor watching */
struct msr_policy; /* feat/msr_policy.h */
struct dirty_ring; /* mem/ring.c */
struct code_cache; /* cpu/cache.c: translations */

#define STAT_WORDS_MAX 96

struct machine {
	struct memory *mem;
	struct irq *irq;
	struct timers *timers;
	struct code_cache *code;
	struct hv_partition *hv;       /* hv/hv.h */
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
	/* ns added to the host's monotonic clock */
	s64 clock_offset;
	_Atomic u32 slot_generation; /* grows with each change of the memory map */
	pthread_mutex_t pause_lock;
	pthread_cond_t resumed;
	_Atomic bool pausing;      /* one machine_pause() at a time */
	unsigned held;             /* vcpus that wait to go in; under pause_lock */
	struct tick *tick;         /* tick.c */
	struct last *last;         /* lastwatch.c */
	_Atomic u32 device_events; /* recheck.c */
};

/* time/steal.c */
struct steal {
	u64 asked, last; /* when the host was asked, and what it said; ns */
	u32 version;     /* as last written */
	int fd, tid;     /* of the thread's file, plus 1; 0: none */
	bool have_last;
};

enum vcpu_where { VCPU_OUT, VCPU_IN, VCPU_ASLEEP };

struct vcpu {
	struct cpu cpu; /* page aligned; large; its stack lies below (cpu/layout.h) */
	struct machine *machine;
	struct lapic *lapic; /* NULL without an in-engine local APIC */
	struct hv_vp *hv;    /* hv/hv.h */
	u32 id;
	_Atomic u32 where;    /* enum vcpu_where: IN while inner code may run */
	_Atomic u32 mp_state; /* enum mp_state */
	_Atomic bool pending_init, pending_sipi, pending_smi;
	_Atomic bool
		unhalted; /* KVM_HC_KICK_CPU: the next HLT, or the one under way, is over at once */
	_Atomic u8 sipi_vector;
	_Atomic u32 pending_nmi; /* count, at most 2 */
	int user_irq;            /* vector from vcpu_interrupt(), or -1 */
	bool want_irq_window;
	bool hv_exit_waits;         /* user space has not seen hv->exit yet */
	bool smi_in_halt;           /* woken from HLT by the SMI that comes next */
	struct {                    /* vapic.c */
		bool report, waits; /* an access that user space has not seen yet */
		bool write;
		u8 shown;      /* TPR as last written to the page */
		u64 rip, page; /* page: gpa, 0 none */
	} tpr;
	u32 tsc_khz;  /* as the VMM has set it; 0: the host's */
	int eoi_exit; /* vector of an EOI that user space has not seen yet, or -1 */
	bool (*poll)(void *opaque);
	bool (*asked_for)(void *opaque, int thread);
	void *poll_opaque;
	_Atomic bool calling; /* this and the following: tick.c */
	unsigned late;
	int wake_fd; /* eventfd, written to while the vcpu is ASLEEP; -1: has not slept yet */
	int wait_fd; /* the caller's, or -1 */
	u64 own_stats[STAT_WORDS_MAX];
	struct steal steal;
	struct dirty_ring *ring; /* mem/ring.c; NULL: none */
	_Atomic u32 entries;     /* this and the following: recheck.c */
	u32 events_seen, activity_seen, ticks;
};

/* ---- vcpu_life.c: called by irq/ and time/ from any thread ---- */

/* Something that an interrupt check would notice may have changed: come out or wake up. */
void vcpu_post_event(struct vcpu *v);
void vcpu_post_nmi(struct vcpu *v);
void vcpu_post_smi(struct vcpu *v);
void vcpu_post_init(struct vcpu *v);
void vcpu_post_sipi(struct vcpu *v, u8 vector);
void vcpu_post_unhalt(struct vcpu *v);
/* Set REQ_* bits and make the vcpu see them; wait, with m->lock held: until it has acted on them or is out of inner code. */
void vcpu_request(struct vcpu *v, u32 req, bool wait);
/*
 * A vcpu that has not answered for so long may be held back by the host.
 *
 * The thread sanitizer takes a SIGILL that was sent for a fault, and has it interrupt its own run time, which does not bear that.
 * So there it is only for who surely sleeps.
 */
#ifdef __SANITIZE_THREAD__
#define VCPU_LATE_NS 250000000ull
#else
#define VCPU_LATE_NS 8000000ull
#endif
/* tick.c, with m->lock held: from an access to guest RAM that the host does not let it finish (cpu/recover.h). */
void vcpu_call_away(struct vcpu *v);
/* Stop all vcpus outside inner code until machine_resume(); may be called by a vcpu thread that is itself out. */
void machine_pause(struct machine *m);
void machine_resume(struct machine *m);
/* For a vcpu that would go IN: returns when it is. */
void machine_wait_resumed(struct vcpu *v);
/* The code cache is full: drop it, unless another vcpu has done so since epoch. Outer code. */
void machine_reset_code(struct machine *m, u32 epoch);

static inline u64 machine_option(const struct machine *m, enum machine_option o)
{
	return atomic_load_explicit(&m->option[o], memory_order_relaxed);
}

static inline bool machine_quirk(const struct machine *m, u64 quirk)
{
	return !(machine_option(m, OPT_QUIRKS_OFF) & quirk);
}

/* ---- hypercall.c ---- */

/* Answer x, an EXIT_HYPERCALL; false: it is for user space. */
bool hypercall_inside(struct vcpu *v, struct exit *x);

/* ---- tick.c: a millisecond's heartbeat for running vcpus that have a poll function ---- */

int tick_create(struct machine *m);
void tick_destroy(struct machine *m);
void tick_need(struct machine *m);

/* ---- lastwatch.c, lastthread.c: a process ends with the last thread that is not ours ---- */

int last_create(struct machine *m);
void last_destroy(struct machine *m);

/* ---- recheck.c: writes to code that nobody announces. The first three on the vcpu's own thread, outside. ---- */

void recheck_on_entry(struct vcpu *v);
void recheck_on_interrupt(struct vcpu *v);
void recheck_on_tick(struct vcpu *v);
/* The VMM was called by, or spoke to, the guest without an exit. Any thread. */
void recheck_device_event(struct machine *m);

/* For each existing vcpu of m. */
#define for_each_vcpu(m, v)                                                                        \
	for (unsigned v##_i = 0; v##_i < atomic_load(&(m)->vcpu_high); v##_i++)                    \
		if (((v) = atomic_load(&(m)->vcpus[v##_i])))

/* ---- irq/: called by vcpu_inject.c and others on the vcpu's own thread, outer code ---- */

int irq_create(struct machine *m);
void irq_destroy(struct machine *m);
int lapic_create(struct vcpu *v); /* when machine_irqchip() != NONE */
void lapic_destroy(struct vcpu *v);
void lapic_reset(struct vcpu *v, bool init);
/*
 * Highest vector that may be delivered now (ignoring IF), or -1. IRQ_EXTINT: the PIC has one, whose
 * vector only irq_accept() finds out.
 */
#define IRQ_EXTINT 256
int irq_pending(struct vcpu *v);
/* Take it: IRR to ISR, or the PIC's INTA cycle. Returns the vector, or -1 if it went away. */
int irq_accept(struct vcpu *v);
/* Register access to the LAPIC page at apic_base; true if it was the LAPIC's. */
bool lapic_mmio(struct vcpu *v, u64 gpa, unsigned len, void *data, bool write);
/*
 * IA32_APIC_BASE by the VMM (SREGS, SET_MSRS): any legal value, without the transition rules that
 * hold for the guest. -EINVAL. cpu->apic_base must be changed by nothing else. Works without LAPIC, too.
 */
int lapic_set_base(struct vcpu *v, u64 value);
/* IA32_APIC_BASE, IA32_TSC_DEADLINE, x2APIC 0x800-0x8ff. 0, or -EINVAL for #GP, -ENOENT not one of these. */
int lapic_read_msr(struct vcpu *v, u32 index, u64 *ret);
int lapic_write_msr(struct vcpu *v, u32 index, u64 value);
/* The timer has expired: make the request. On the vcpu's own thread. */
void lapic_timer_serve(struct vcpu *v);
/* The guest's RDMSR or WRMSR of one of these finds the timer as it should be. */
void lapic_timer_before_msr(struct vcpu *v, u32 index);
u64 lapic_get_cr8(struct vcpu *v);
void lapic_set_cr8(struct vcpu *v, u64 cr8);
/* TLFS: EOI, ICR and TPR (0, 1, 2) as MSRs whatever the APIC's mode. 0 or -EINVAL. */
int lapic_direct_read(struct vcpu *v, unsigned which, u64 *ret);
int lapic_direct_write(struct vcpu *v, unsigned which, u64 value);
/* The guest has taken the message or interrupt of a SINT: tell the irqfds of GSIs that are routed to it. */
void irq_ack_sint(struct machine *m, u32 vp_index, u32 sint);
/* IOAPIC page; PIC, ELCR, PIT, port 61h; ioeventfds. True if consumed. */
bool irq_mmio(struct machine *m, u64 gpa, unsigned len, void *data, bool write);
bool irq_pio(struct machine *m, u16 port, unsigned size, void *data, bool write);
bool ioevent_write(struct machine *m, bool pio, u64 addr, unsigned len, const void *data);
/* irq/pv_eoi.c: before and after guest code if MSR_KVM_PV_EOI_EN has this bit, and writing it: 0 or -EINVAL. */
#define PV_EOI_ON BIT64(0)
void pv_eoi_to_guest(struct vcpu *v);
void pv_eoi_from_guest(struct vcpu *v);
int pv_eoi_set(struct vcpu *v, u64 value);
/* Vector of a level-triggered EOI to tell user space about (split irqchip), or -1. */
int irq_take_eoi_exit(struct vcpu *v);

/* ---- time/ ---- */

int timers_create(struct machine *m); /* starts the helper thread, all signals blocked in it */
void timers_wait_running(
	struct machine *m); /* before the program can forbid what a new thread does */
void timers_destroy(struct machine *m);

struct timer {
	struct timer *child, *next, *prev; /* pairing heap, private to timer.c */
	u64 deadline;                      /* host CLOCK_MONOTONIC ns; 0 when not armed */
	void (*fire)(struct timer *t);     /* on the helper thread, no engine lock held */
};
void timer_arm(struct machine *m, struct timer *t, u64 deadline_ns); /* re-arms if armed */
void timer_cancel(
	struct machine *m, struct timer *t); /* waits for a running fire(), unless called by it */
u64 host_ns(void);                           /* CLOCK_MONOTONIC */
u64 host_tsc(void);
u64 host_tsc_hz(void);                 /* measures: may take 20 ms */
u64 machine_tsc_hz(struct machine *m); /* the same, measured once per machine */
/* Call ready(opaque) on the helper thread whenever fd is readable, until unwatched. */
int fd_watch(struct machine *m, int fd, void (*ready)(void *opaque, u32 events), void *opaque);
void fd_unwatch(struct machine *m, int fd, void *opaque);
/* What fd_watch() needs is made here, before sandboxes forbid it. 0 or -errno. */
int fd_watch_prepare(struct machine *m);

/* For a new vcpu: the guest's TSC begins at 0 when the machine is created. */
void tsc_init(struct vcpu *v);
/* What the guest's TSCs, those that are in step, show at a value of the host's; and their frequency. */
u64 machine_guest_tsc(struct machine *m, u64 host);
u64 machine_guest_tsc_hz(struct machine *m);
u64 vcpu_tsc_hz(struct vcpu *v);
/* vcpu_set_tsc_khz() without what depends on it. */
int tsc_set_khz(struct vcpu *v, u32 khz);
/* IA32_TSC by the VMM: keeps the TSCs of all vcpus in step; rewrites the kvmclock page. */
void vcpu_set_tsc(struct vcpu *v, u64 value);

/* kvmclock: (re)write the guest's pvclock page for v, if it has one. time/pvclock.c, outer code. */
void pvclock_update(struct vcpu *v);
void pvclock_write_wall_clock(struct machine *m, u64 gpa);

/* Steal time, if the guest has asked: time/steal.c, on the vcpu's thread, outer code. */
#define STEAL_ENABLED BIT64(0)    /* in the MSR */
void steal_enter(struct vcpu *v); /* KVM_RUN begins */
void steal_tick(struct vcpu *v);  /* each tick */
void steal_set_asleep(struct vcpu *v, bool asleep);
void steal_close(struct steal *s);

/* ---- mem/ ---- */

bool vcpu_ring_full(const struct vcpu *v); /* mem/ring.c */

/* mem/phys.c: is [gpa, gpa + len) memory that machine_write() can write? What lies behind it is not touched. */
bool machine_has_ram(struct machine *m, u64 gpa, u64 len);
/*
 * Who writes guest memory for no vcpu looks for a dirty ring among all of them, under memory.lock alone. When this returns, who
 * began before has ended: nobody holds on to what was taken off the list. No lock may be held.
 */
void memory_wait_readers(struct machine *m);

int memory_create(struct machine *m);
void memory_destroy(struct machine *m);

#endif
