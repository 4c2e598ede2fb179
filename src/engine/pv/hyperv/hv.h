/* SPDX-License-Identifier: MIT */
/*
 * The Hyper-V interface that guests see (Hypervisor Top Level Functional Specification, "TLFS"): synthetic MSRs,
 * SynIC, synthetic timers, hypercalls. Outer code, but for the CPUID bits in cpu->hv.
 *
 * A partition is a machine, a virtual processor (VP) a vcpu. What belongs to a VP is its own thread's, but for
 * what is marked; what belongs to the partition is under its lock. The lock is not held while an APIC or a timer is
 * called.
 */
#ifndef ENGINE_PV_HYPERV_HV_H
#define ENGINE_PV_HYPERV_HV_H

#include "engine/core/machine.h"

/* ---- synthetic MSRs, TLFS appendix ---- */

enum hv_msr {
	HV_GUEST_OS_ID = 0x40000000,
	HV_HYPERCALL,
	HV_VP_INDEX,
	HV_RESET,
	HV_VP_RUNTIME = 0x40000010,
	HV_TIME_REF_COUNT = 0x40000020,
	HV_REFERENCE_TSC,
	HV_TSC_FREQUENCY,
	HV_APIC_FREQUENCY,
	HV_EOI = 0x40000070,
	HV_ICR,
	HV_TPR,
	HV_VP_ASSIST_PAGE,
	HV_SCONTROL = 0x40000080,
	HV_SVERSION,
	HV_SIEFP,
	HV_SIMP,
	HV_EOM,
	HV_SINT0 = 0x40000090,
	HV_SINT15 = 0x4000009f,
	HV_STIMER0_CONFIG = 0x400000b0,
	HV_STIMER3_COUNT = 0x400000b7,
	HV_SYNDBG_CONTROL = 0x400000f1,
	HV_SYNDBG_STATUS,
	HV_SYNDBG_SEND_BUFFER,
	HV_SYNDBG_RECV_BUFFER,
	HV_SYNDBG_PENDING_BUFFER,
	HV_SYNDBG_OPTIONS = 0x400000ff,
	HV_CRASH_P0 = 0x40000100,
	HV_CRASH_P4 = 0x40000104,
	HV_CRASH_CTL,
	HV_REENLIGHTENMENT_CONTROL,
	HV_TSC_EMULATION_CONTROL,
	HV_TSC_EMULATION_STATUS,
	HV_TSC_INVARIANT_CONTROL = 0x40000118,
	HV_MSR_FIRST = HV_GUEST_OS_ID,
	HV_MSR_LAST = 0x400001ff,
};

#define HV_PAGE_ENABLE BIT64(0) /* in MSRs that place a page */

static inline bool hv_is_msr(u32 index)
{
	return index >= HV_MSR_FIRST && index <= HV_MSR_LAST;
}

#define HV_SIGNATURE 0x31237648u /* leaf 40000001: "Hv#1" */

/* ---- CPUID: leaf 40000003 (features), 40000004 (recommendations), 40000082 ---- */

enum { HV_EAX, HV_EBX, HV_EDX, HV_HINTS, HV_SPIN, HV_SYNDBG, HV_WORDS }; /* cpu->hv.word[] */

/* HV_EAX */
#define HVF_VP_RUNTIME      BIT(0)
#define HVF_REF_COUNT       BIT(1)
#define HVF_SYNIC           BIT(2)
#define HVF_STIMER          BIT(3)
#define HVF_APIC            BIT(4)
#define HVF_HYPERCALL       BIT(5)
#define HVF_VP_INDEX        BIT(6)
#define HVF_RESET           BIT(7)
#define HVF_REF_TSC         BIT(9)
#define HVF_FREQUENCY       BIT(11)
#define HVF_REENLIGHTEN     BIT(13)
#define HVF_INVARIANT_TSC   BIT(15)
/* HV_EBX */
#define HVF_POST_MESSAGES   BIT(4)
#define HVF_SIGNAL_EVENTS   BIT(5)
#define HVF_DEBUGGING       BIT(11)
#define HVF_EXTENDED_CALLS  BIT(20)
/* HV_EDX */
#define HVF_GUEST_DEBUG     BIT(1)
#define HVF_XMM_INPUT       BIT(4)
#define HVF_FREQUENCY_MSRS  BIT(8)
#define HVF_CRASH           BIT(10)
#define HVF_DEBUG_MSRS      BIT(11)
#define HVF_EXT_GVA_FLUSH   BIT(14)
#define HVF_DIRECT_TIMERS   BIT(19)
/* HV_HINTS */
#define HVH_REMOTE_FLUSH    BIT(2)
#define HVH_APIC_ACCESS     BIT(3)
#define HVH_RELAXED_TIMING  BIT(5)
#define HVH_NO_AUTO_EOI     BIT(9)
#define HVH_CLUSTER_IPI     BIT(10)
#define HVH_EX_MASKS        BIT(11)
#define HVH_NO_CORESHARING  BIT(18)
/* HV_SYNDBG */
#define HVD_ALLOW_DEBUGGING BIT(1)

/* ---- state ---- */

#define HV_SINTS  16
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
		u64 control, version, siefp, simp;
		_Atomic u64 sint[HV_SINTS]; /* read by whoever raises one */
		/* vectors of SINTs, and those whose EOI is automatic; read by the APIC */
		_Atomic u32 vectors[8], auto_eoi[8];
	} synic;
	struct hv_timer timers[HV_TIMERS];
	_Atomic u32 timers_due; /* bits set by any thread */
	u64 syndbg[6];          /* control, status, send, receive, pending, options */
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
	_Atomic u64 invariant_tsc;
	struct hv_connection *connections;
};

int hv_create(struct machine *m);
void hv_destroy(struct machine *m);
int hv_vp_create(struct vcpu *v); /* vp_index is set by who enlists it */
void hv_vp_destroy(struct vcpu *v);

static inline bool hv_enabled(const struct vcpu *v)
{
	return v->cpu.hv.enabled;
}

/* May the guest use what this CPUID bit announces? */
static inline bool hv_allowed(const struct vcpu *v, unsigned word, u32 bits)
{
	return !v->cpu.hv.enforce || (v->cpu.hv.word[word] & bits);
}

/* ---- msr.c: 0, -EINVAL ---- */

int hv_msr_get(struct vcpu *v, u32 index, u64 *ret, bool host);
int hv_msr_set(struct vcpu *v, u32 index, u64 value, bool host);

/* ---- time.c ---- */

u64 hv_reference_time(struct machine *m); /* 100 ns */
/* The clock was set: write the page anew. */
void hv_clock_changed(struct machine *m);
int hv_set_reference_tsc(struct machine *m, u64 value);

/* ---- synic.c ---- */

void hv_synic_init(struct hv_vp *hv);
int hv_synic_get(struct vcpu *v, u32 index, u64 *ret, bool host);
int hv_synic_set(struct vcpu *v, u32 index, u64 value, bool host);
/* Raise a SINT's interrupt. Any thread. > 0 delivered, 0 pending already, < 0 masked or not there. */
int hv_synic_raise(struct vcpu *v, unsigned sint);
/* Message to a SINT's slot. -EAGAIN: it is full, and the guest will tell when not (unless lossy), -ENOENT. */
int hv_synic_post(struct vcpu *v, unsigned sint, u32 type, const void *payload, u8 len, bool lossy);
/* The APIC got an EOI for this vector. */
void hv_synic_eoi(struct vcpu *v, u8 vector);

/* ---- stimer.c ---- */

void hv_timers_init(struct vcpu *v);
void hv_timers_stop(struct vcpu *v);
int hv_timer_get(struct vcpu *v, u32 index, u64 *ret, bool host);
int hv_timer_set(struct vcpu *v, u32 index, u64 value, bool host);
/* Act on timers_due. On the vcpu's thread. */
void hv_timers_serve(struct vcpu *v);
/* A slot of this SINT may have become free. */
void hv_timers_slot_free(struct vcpu *v, unsigned sint);

/* ---- hypercall.c, processors.c ---- */

enum hv_status {
	HVS_SUCCESS = 0,
	HVS_INVALID_CODE = 2,
	HVS_INVALID_INPUT = 3,
	HVS_INVALID_ALIGNMENT = 4,
	HVS_INVALID_PARAMETER = 5,
	HVS_ACCESS_DENIED = 6,
	HVS_OPERATION_DENIED = 8,
	HVS_INVALID_PORT = 17,
};

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

/* An exit that must wait for the end of the instruction: remember it. */
void hv_exit_later(struct vcpu *v, const struct exit *x);
/* The VMM has seen it. */
void hv_exit_answered(struct vcpu *v, const struct exit *x);

#endif
