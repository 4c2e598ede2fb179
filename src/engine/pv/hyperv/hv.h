/* SPDX-License-Identifier: MIT */
/*
 * The Hyper-V interface that guests see (Hypervisor Top Level Functional Specification, "TLFS"): synthetic MSRs,
 * SynIC, synthetic timers, hypercalls. Outer code, but for the CPUID bits in cpu->hv.
 *
 * A partition is a machine, a virtual processor (VP) a vcpu. What belongs to a VP is its own thread's, but for
 * what is marked; what belongs to the partition is under its lock. The lock is not held while an APIC or a timer is
 * called.
 *
 * KVM leaves much of it to the VMM: VMBus and its messages, what follows from a crash. A machine with OPT_INTERCEPTS is
 * itself what the VMM calls a partition, and the engine does all of it: hv_is_partition().
 */
#ifndef ENGINE_PV_HYPERV_HV_H
#define ENGINE_PV_HYPERV_HV_H

#include "engine/core/machine.h"
#include "x86/hyperv.h"
#include "engine/time/timer.h"
#include "engine/core/vcpu.h"

/* ---- state ---- */

#define HV_TIMERS 4

struct hv_timer {
	struct timer timer;
	struct vcpu *vcpu;
	u8 index;
	u64 config, count;
	u64 expires;      /* reference time; 0: not running */
	bool msg_pending; /* the slot was full: again when it is free */
};

struct hv_vp {
	u32 vp_index;
	u64 runtime_base; /* 100 ns, added to the thread's own time */
	u64 assist_page;
	struct {
		_Atomic bool active; /* the VMM has switched it on */
		bool keep_pages;     /* the VMM clears them itself */
		/* Any thread posts; so its own thread, too, writes these three, the slots and what follows with the lock. */
		pthread_mutex_t lock;
		u64 control, siefp, simp;
		struct message_queue {
			struct hv_message *ring; /* SYNIC_QUEUE_MAX; NULL: not needed yet */
			unsigned first, count;
		} queue[HV_SINTS];
		u8 *latch;         /* event flags while there is no page for them; NULL: none */
		u16 notify;        /* vcpu_synic_notify() */
		_Atomic bool look; /* one of them may be ready */
		/* not under the lock */
		u64 version;
		_Atomic u64 sint[HV_SINTS]; /* read by whoever raises one */
	} synic;
	struct hv_timer timers[HV_TIMERS];
	_Atomic u32 timers_due; /* bits set by any thread */
	/* With what HvStartVirtualProcessor of another VP starts this one, which takes it; NULL: nothing. */
	struct hv_start *_Atomic start;
	u64 syndbg[6]; /* control, status, send, receive, pending, options */
	/* What user space must see once the instruction has completed: vcpu.hv_exit_waits. */
	struct exit exit;
};

struct hv_connection {
	struct hv_connection *next;
	u32 id;
	int fd;
};

struct hv_partition {
	pthread_mutex_t lock;
	_Atomic u64 guest_os_id; /* 0: hypercalls are not Hyper-V's */
	u64 hypercall, reference_tsc;
	u64 tsc_scale; /* of the reference TSC page in force; 0: none */
	s64 tsc_offset;
	u32 tsc_sequence;
	u64 crash[5], crash_ctl;
	u64 reenlightenment, tsc_emulation, tsc_emulation_status;
	struct hv_connection *connections;
};

int hv_create(struct machine *m);
void hv_destroy(struct machine *m);
int hv_vp_create(struct vcpu *v); /* vp_index is set by who enlists it */
void hv_vp_destroy(struct vcpu *v);

static inline bool hv_is_partition(const struct vcpu *v)
{
	return machine_intercepts(v->machine);
}

static inline bool hv_enabled(const struct vcpu *v)
{
	return v->cpu.hv.enabled;
}

/* May the guest use what this CPUID bit announces? */
static inline bool hv_allowed(const struct vcpu *v, unsigned word, u32 bits)
{
	return !v->cpu.hv.enforce || (v->cpu.hv.word[word] & bits);
}

/* ---- msr.c: 0, -EINVAL, -ENOENT ---- */

int hv_msr_get(struct vcpu *v, u32 index, u64 *ret, bool host);
int hv_msr_set(struct vcpu *v, u32 index, u64 value, bool host);
/* The guest's read of this MSR waits until there is an interrupt. */
bool hv_msr_idles(const struct vcpu *v, u32 index);

/* ---- time.c ---- */

u64 hv_reference_time(struct machine *m); /* 100 ns */
/* The clock or a TSC was set: write the page anew. */
void hv_clock_changed(struct machine *m);
int hv_set_reference_tsc(struct machine *m, u64 value);

/* ---- synic.c ---- */

void hv_synic_init(struct vcpu *v);
int hv_synic_get(struct vcpu *v, u32 index, u64 *ret, bool host);
int hv_synic_set(struct vcpu *v, u32 index, u64 value, bool host);
/* 1: it was not pending, 0: it was; < 0: it is masked, or there is none. Any thread. */
int hv_synic_raise(struct vcpu *v, unsigned sint);
/* For the interrupt fabric: raising a SINT, and the end of its interrupt. */
extern const struct sint_ops hv_sint_ops;

/* ---- message.c ---- */

/* A timer's message to a SINT's slot. -EAGAIN: it is full, and the guest will tell when not (unless lossy), -ENOENT. */
int hv_message_post(
	struct vcpu *v, unsigned sint, u32 type, const void *payload, u8 len, bool lossy);
/* The slot may have become free. */
void hv_message_next(struct vcpu *v, unsigned sint);
/* Which of the SINTs that are asked for can take a message; take: they are asked for no more. */
u16 hv_message_ready(struct vcpu *v, bool take);
void hv_message_free(struct hv_vp *hv);

/* For the vcpu's loop: quick where nothing has happened. */
static inline bool hv_message_waits(struct vcpu *v)
{
	return unlikely(atomic_load_explicit(&v->hv->synic.look, memory_order_relaxed)) &&
	       hv_message_ready(v, false);
}

/* ---- stimer.c ---- */

void hv_timers_init(struct vcpu *v);
void hv_timers_stop(struct vcpu *v);
int hv_timer_get(struct vcpu *v, u32 index, u64 *ret, bool host);
int hv_timer_set(struct vcpu *v, u32 index, u64 value, bool host);
/* Reference time was set. Any thread. */
void hv_timers_clock_set(struct vcpu *v);
/* Act on timers_due. On the vcpu's thread. */
void hv_timers_serve(struct vcpu *v);
/* A slot of this SINT may have become free. */
void hv_timers_slot_free(struct vcpu *v, unsigned sint);

/* ---- hypercall.c, processors.c, start.c ---- */

struct hv_call {
	struct vcpu *vcpu;
	u16 code, var_count, rep_count, rep_start;
	bool fast;
	u64 control, input, output;
	u64 words[14]; /* fast: input, output, XMM0-XMM5 */
};

/* Fetch n words of input from the at-th on. False: there is no such input. */
bool hv_call_words(const struct hv_call *c, unsigned at, u64 *ret, unsigned n);
/* Answer EXIT_HYPERV. True: answered; false: user space has to. */
bool hv_hypercall(struct vcpu *v, struct exit *x);
u64 hv_call_flush(const struct hv_call *c);
u64 hv_call_send_ipi(const struct hv_call *c);
u64 hv_call_start_vp(const struct hv_call *c);
u64 hv_call_get_vp_index(const struct hv_call *c);
/* Of a call of repetitions: how many of them are done. */
static inline u64 hv_call_done(u64 status, unsigned reps)
{
	return status | (u64)reps << 32;
}

/* An exit that must wait for the end of the instruction: remember it. */
void hv_exit_later(struct vcpu *v, const struct exit *x);
/* The VMM has seen it. */
void hv_exit_answered(struct vcpu *v, const struct exit *x);

#endif
