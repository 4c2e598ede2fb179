/* SPDX-License-Identifier: MIT */
/*
 * The engine's only door: a PC's processors, memory map and interrupt fabric in software.
 *
 * It knows no ioctl number, no socket and no device file. Calls return 0 or -errno unless they say
 * otherwise; outputs are untouched on failure.
 *
 * Threads. A vcpu is run by the thread that calls vcpu_run(); other vcpu calls may come from any
 * thread but not while that vcpu runs (the caller serialises; abi/kvm holds a mutex per vcpu),
 * except those marked "any time". Machine calls may come from any thread at any time.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "base/refusal.h"
#include "base/types.h"
#include "engine/exit.h"
#include "engine/irqchip.h"
#include "x86/regs.h"

struct machine;
struct vcpu;

#define MACHINE_MAX_VCPUS 1024  /* vcpus that can exist in one machine */
#define MACHINE_MAX_SLOTS 32764 /* in each address space */
#define MACHINE_SPACES    2 /* what processors see, and what they see in system management mode */

/* ---- machine ---- */

int machine_create(struct machine **ret);
/* All its vcpus must have been destroyed. NULL is allowed. */
void machine_destroy(struct machine *m);

/* ---- signals of the host process (engine/host/recover.c) ---- */

struct sys_sigaction; /* base/sys.h */
/*
 * The process's sigaction(), for those who can replace it. With a machine, the engine handles SIGSEGV, SIGBUS,
 * SIGFPE and SIGILL: set is then what happens with those that are not the engine's, and the engine's handler
 * stays. get receives what the process has set. 0 or -errno.
 */
int host_sigaction(int signo, const struct sys_sigaction *set, struct sys_sigaction *get);
/*
 * In a signal handler that wants vcpu_run() to end, with its context: if it has interrupted an access to guest RAM that has
 * not happened yet, the vcpu leaves in front of it. The host may have put the thread to sleep there (userfaultfd), and to
 * go back would be to sleep on.
 */
void host_interrupted(void *context);
/*
 * For who is called by the kernel in the place of the engine's handlers, and calls them for faults: SIGILL is then also how
 * the engine calls a vcpu away from such a sleep. host_take_call() is for one that no instruction has raised, with its
 * context, in a thread whose fs is the C library's: true if it was that, and all is done.
 */
void host_handlers_behind(const void *entry);
bool host_take_call(void *context);
/* As the first machine does: from now on the engine handles them, and answers CPUID where it traps (base/cpuidtrap.h). */
int host_handle_faults(void);
/*
 * A copy of which one side may not be there, or be protected: -EFAULT then, after a part has been copied. On any thread
 * on which SIGSEGV and SIGBUS are not blocked, any time. -ENOSYS: there has been no machine, so no handler.
 */
int host_copy(void *to, const void *from, size_t n);

/* ---- what the VMM may switch; running vcpus see it at once, more or less ---- */

enum machine_option {
	OPT_QUIRKS_OFF,       /* QUIRK_*: these no longer hold */
	OPT_EXITS_OFF,        /* NO_EXIT_* */
	OPT_NO_PLATFORM_INFO, /* the guest may not read MSR_PLATFORM_INFO */
	OPT_HYPERCALL_EXITS,  /* bit n: hypercall n leaves as EXIT_HYPERCALL */
	OPT_X87_MMIO_FAILS,   /* x87 loads and stores on device memory are EXIT_INTERNAL_ERROR */
	OPT_COUNT
};

/* Ways in which KVM differs from real machines by default, with KVM's numbers. Others mean nothing here. */
#define QUIRK_LINT0_REENABLED       BIT(0) /* LVT LINT0 is ExtINT after reset */
#define QUIRK_LAPIC_MMIO_HOLE       BIT(2) /* a LAPIC page that is switched off still swallows accesses */
#define QUIRK_OUT_7E_INC_RIP        BIT(3) /* an OUT to port 7Eh is over when it leaves */
#define QUIRK_MISC_ENABLE_NO_MWAIT  BIT(4) /* MISC_ENABLE.MWAIT does not change CPUID */
#define QUIRK_FIX_HYPERCALL_INSN    BIT(5) /* the other vendor's VMCALL is patched, not #UD */
#define QUIRK_MWAIT_NEVER_UD_FAULTS BIT(6) /* MONITOR and MWAIT do nothing, whatever CPUID says */
#define QUIRK_STUFF_FEATURE_MSRS    BIT(8) /* feature MSRs of a new vcpu have the host's values */

#define NO_EXIT_HLT BIT(1) /* HLT sleeps in vcpu_run() even if user space has the local APIC */

void machine_set_option(struct machine *m, enum machine_option o, u64 value);

/* ---- memory (engine/mem/slot.c, dirty.c) ---- */

#define SLOT_LOG_DIRTY BIT(0)
#define SLOT_READONLY  BIT(1) /* guest writes become EXIT_MMIO_WRITE */
#define SLOT_PRIVATE   BIT(2) /* has private_hva; cannot be changed, only deleted */

/* Names a slot: which address space, and which of its MACHINE_MAX_SLOTS. */
#define SLOT_ID(space, n) ((u32)(space) << 16 | (n))

struct memslot_config {
	u32 id; /* SLOT_ID() */
	u32 flags;
	u64 gpa, size;       /* bytes, multiples of 4096; size 0 deletes the slot */
	u64 hva;             /* address in this process; the memory stays the caller's */
	u64 private_hva;     /* where the slot's private pages are, if SLOT_PRIVATE */
	struct refusal *why; /* is told why it cannot be; may be NULL */
};

/*
 * Create, move, change the flags of, or delete a slot; running vcpus see the change before this
 * returns. -EINVAL (alignment, wrap, resize, other hva, unknown delete), -EEXIST (overlap).
 */
int machine_set_memslot(struct machine *m, const struct memslot_config *c);
/* Number of pages of a slot, 0 if there is none. */
u64 machine_slot_pages(struct machine *m, u32 id);
bool machine_slot_logged(struct machine *m, u32 id);
/* Guest-physical access by the caller; -EFAULT if any byte is not RAM. Writes mark pages dirty. */
int machine_read(struct machine *m, u64 gpa, void *buf, size_t len);
int machine_write(struct machine *m, u64 gpa, const void *buf, size_t len);

/*
 * Private pages (engine/mem/private.c): the guest reaches them in private_hva of their slot instead of hva. Without
 * such a slot an access leaves as EXIT_MEMORY_FAULT. All pages are shared at first; slots need not exist.
 */
int machine_set_private(struct machine *m, u64 gpa, u64 size, bool private);
/* Slots whose private memory lies in the range lose it. */
void machine_unbind_private(struct machine *m, u64 private_hva, u64 size);

/* ---- dirty log (engine/mem/dirty.c, ring.c) ---- */

/*
 * Copy the slot's dirty bitmap (bit n is page n) to bitmap, clear it, and start the next round.
 * bitmap has room for the slot's pages rounded up to 64, in bits. -ENOENT: no such slot or not logging.
 */
int machine_get_dirty_log(struct machine *m, u32 id, void *bitmap);
/* Clear those of pages [first, first + pages) whose bits are set; bit 0 of bitmap is page first, a multiple of 64. */
int machine_clear_dirty_log(struct machine *m, u32 id, u64 first, u64 pages, const void *bitmap);
#define DIRTY_LOG_MANUAL        BIT(0) /* machine_get_dirty_log() clears nothing */
#define DIRTY_LOG_INITIALLY_SET BIT(1) /* logs that are begun from now on say that all is dirty */
void machine_set_dirty_log(struct machine *m, u32 flags);

/*
 * Rings of pages that became dirty, one a vcpu, in memory shared with the user of the interface, who marks what he
 * has seen with DIRTY_GFN_RESET. A page has one entry until that is reset; a vcpu whose ring is nearly full
 * leaves with EXIT_DIRTY_RING_FULL.
 */
struct dirty_gfn {
	u32 flags;
	u32 slot;
	u64 offset; /* page in the slot */
};
#define DIRTY_GFN_DIRTY BIT(0)
#define DIRTY_GFN_RESET BIT(1)
/* entries is a power of two. Before the vcpu runs. -ENOMEM. */
int vcpu_set_dirty_ring(struct vcpu *v, struct dirty_gfn *ring, u32 entries);
/* Returns how many entries were reset. */
u32 machine_reset_dirty_rings(struct machine *m);

/* ---- vcpu ---- */

/* id is the APIC id. -EEXIST, -EINVAL. The vcpu starts in its reset state (SDM 3:9.1). */
int vcpu_create(struct machine *m, u32 id, struct vcpu **ret);
void vcpu_destroy(struct vcpu *v);
u32 vcpu_id(const struct vcpu *v);
struct machine *vcpu_machine(const struct vcpu *v);

#define RUN_COMPLETE_ONLY BIT(0) /* finish the pending I/O, then EXIT_INTR */

/*
 * Run guest code on the calling thread until something must leave; the reason and its details are
 * in *vcpu_exit(v), which is also where the answer to the previous exit is read from. -EAGAIN if
 * the vcpu was uninitialized and INIT has come. Blocks while the vcpu is halted or waits for INIT and SIPI,
 * when the engine has the local APIC.
 */
int vcpu_run(struct vcpu *v, u32 flags);
struct exit *vcpu_exit(struct vcpu *v);

/* Any time: make vcpu_run() return EXIT_INTR soon; remembered if it is not running. */
void vcpu_kick(struct vcpu *v);
/* Any time, in a signal handler too: make it call the function of vcpu_set_poll() soon, asleep or not. */
void vcpu_poll_soon(struct vcpu *v);

/*
 * A function that vcpu_run() calls now and then while guest code runs (at most a millisecond apart);
 * non-zero makes it return EXIT_INTR. abi/kvm looks for pending signals and immediate_exit with it.
 * May use any host facility.
 */
void vcpu_set_poll(struct vcpu *v, bool (*poll)(void *opaque), void *opaque);
/*
 * The same question about a vcpu that cannot ask because it has been asleep in guest RAM for a while (userfaultfd):
 * asked by another thread, with the id of the one that sleeps; same opaque. True: it is woken, and asks itself.
 */
void vcpu_set_asked_for(struct vcpu *v, bool (*asked_for)(void *opaque, int thread));
/*
 * While the vcpu sleeps nothing is polled: it calls the function when this descriptor is readable. abi/kvm's is a
 * signalfd. -1 (as after creation): none. Stays the caller's. WAIT_BY_POLLING: there was none to be had, so it is
 * called once a millisecond.
 */
#define WAIT_BY_POLLING (-2)
void vcpu_set_wait_fd(struct vcpu *v, int fd);

/* User-space interrupt controller: raise when IF and the shadow allow. Any time. */
void vcpu_request_irq_window(struct vcpu *v, bool on);
/* Vector to inject as an external interrupt as soon as the guest can take it. Replaces a waiting one. */
void vcpu_interrupt(struct vcpu *v, u8 vector);
void vcpu_nmi(struct vcpu *v);                       /* any time */
void vcpu_smi(struct vcpu *v);                       /* any time */
bool vcpu_ready_for_interrupt(const struct vcpu *v); /* IF set, no shadow, nothing queued */

/* What user space sees beside every exit; a few loads, so that an I/O round trip stays short. */
struct vcpu_brief {
	u64 cr8, apic_base;
	bool if_flag, ready_for_interrupt;
	bool smm;
};
void vcpu_get_brief(const struct vcpu *v, struct vcpu_brief *ret);
/* The TPR where user space has the interrupt controller. -EINVAL: more than 15. */
int vcpu_set_cr8(struct vcpu *v, u64 cr8);

enum mp_state { MP_RUNNABLE, MP_UNINITIALIZED, MP_INIT_RECEIVED, MP_HALTED, MP_SIPI_RECEIVED };

/* Groups for vcpu_get and vcpu_set. */
#define ST_REGS  BIT(0) /* gpr rip rflags */
#define ST_SREGS BIT(1) /* seg gdt idt cr efer apic_base */
#define ST_XSAVE BIT(2) /* xsave image in the standard, non-compacted format */
#define ST_XCR   BIT(3)
#define ST_DEBUG BIT(4) /* dr */
#define ST_EVENT BIT(5) /* pending and injected events, shadows, NMI masking */
#define ST_MP    BIT(6)
#define ST_SMI   BIT(7) /* events.smi */

struct vcpu_events {
	struct {
		bool injected; /* being delivered: will be delivered first at the next run */
		bool pending;  /* raised, not yet delivered */
		u8 vector;
		bool has_error;
		u32 error;
		bool has_payload;
		u64 payload;
	} exception;
	struct {
		bool injected;
		u8 vector;
		bool soft;
	} interrupt;
	u8 shadow; /* SHADOW_* */
	struct {
		bool injected;
		u32 pending;
		bool masked;
	} nmi;
	u32 sipi_vector;
	bool triple_fault;
	struct {
		bool active;       /* in system management mode */
		bool inside_nmi;   /* NMIs were masked when it was entered */
		bool pending;      /* an SMI waits */
		bool latched_init; /* an INIT waits */
	} smi;
};

#define SHADOW_MOVSS BIT(0)
#define SHADOW_STI   BIT(1)

#define XSAVE_BYTES 4096 /* room in vcpu_state for the image; the engine offers x87, SSE, AVX */

struct vcpu_state {
	u64 gpr[GPR_COUNT], rip, rflags;
	struct segment seg[SEG_COUNT];
	struct dtable gdt, idt;
	u64 cr0, cr2, cr3, cr4, cr8, efer, apic_base;
	u8 xsave[XSAVE_BYTES] __attribute__((aligned(64)));
	u64 xcr0;
	u64 dr[8]; /* dr[4], dr[5] unused */
	struct vcpu_events events;
	u32 mp_state;
};

/*
 * Why the last vcpu_set(), vcpu_set_msr(), vcpu_set_cpuid() or other request on this vcpu failed. Only after one
 * that did, before the next.
 */
const struct refusal *vcpu_refusal(const struct vcpu *v);

void vcpu_get(struct vcpu *v, u32 groups, struct vcpu_state *ret);
/* -EINVAL if the values cannot be a processor state (CR0/CR4/EFER combinations, reserved bits). Nothing is changed then. */
int vcpu_set(struct vcpu *v, u32 groups, const struct vcpu_state *s);

/* MSRs by number. host: written by the VMM (read-only ones may be set). -ENOENT unknown, -EINVAL bad value. */
int vcpu_get_msr(struct vcpu *v, u32 index, u64 *ret, bool host);
int vcpu_set_msr(struct vcpu *v, u32 index, u64 value, bool host);
/* MSR numbers that a VMM should save and restore; returns how many there are, writes at most n. */
unsigned engine_msr_list(u32 *ret, unsigned n);
unsigned engine_feature_msr_list(u32 *ret, unsigned n);
int engine_feature_msr(u32 index, u64 *ret);

/*
 * Guest MSR accesses that leave as EXIT_RDMSR and EXIT_WRMSR instead of raising #GP: a set of
 * enum msr_exit_why. And a filter: an access whose bit is 0 in a range that speaks about it is
 * refused with MSR_WHY_FILTER; where no range speaks, default_deny decides. x2APIC MSRs are never
 * filtered. Everything is copied. Running vcpus see the change before this returns.
 */
#define MSR_FILTER_READ       BIT(0)
#define MSR_FILTER_WRITE      BIT(1)
#define MSR_FILTER_RANGES_MAX 16
struct msr_filter_range {
	u32 access; /* MSR_FILTER_* */
	u32 base, count;
	const u8 *bitmap;
};
/* -ENOMEM. */
int machine_set_msr_exits(struct machine *m, u32 why);
int machine_set_msr_filter(
	struct machine *m, bool default_deny, const struct msr_filter_range *ranges, unsigned n);

/* CPUID */
#define CPUID_INDEXED BIT(0) /* the subleaf is significant */

struct cpuid_entry {
	u32 function, index, flags, eax, ebx, ecx, edx;
};

/* What the host CPU and this engine can honestly execute; returns how many, writes at most n. */
unsigned engine_supported_cpuid(struct cpuid_entry *ret, unsigned n);
/* Copies n entries. -EINVAL, -E2BIG (more than 256). */
int vcpu_set_cpuid(struct vcpu *v, const struct cpuid_entry *e, unsigned n);
/* As the guest would read it now: OSXSAVE and sizes follow the state. */
unsigned vcpu_get_cpuid(struct vcpu *v, struct cpuid_entry *ret, unsigned n);

/* Refuse MSRs and hypercalls of KVM's paravirtual interface that CPUID does not announce. */
void vcpu_enforce_pv_cpuid(struct vcpu *v, bool on);

/* Linear to physical with the vcpu's current paging state, no side effects. -EFAULT if not mapped. */
int vcpu_translate(struct vcpu *v, u64 gva, u64 *ret_gpa, bool *ret_writable, bool *ret_user);

/*
 * Have the memory of whole pages ready. *ret_done: bytes that are. -ENOENT: the next page is not in a slot. -EFAULT: it
 * has no memory.
 */
int vcpu_populate(struct vcpu *v, u64 gpa, u64 size, u64 *ret_done);

/* ---- statistics ---- */

enum stat_kind { STAT_CUMULATIVE, STAT_INSTANT, STAT_LOG_HIST };
enum stat_unit { STAT_UNIT_NONE, STAT_UNIT_NS, STAT_UNIT_BOOL };

struct stat_desc {
	const char *name;
	u8 kind, unit;
	/* u64s; the values lie one after the other. Histogram: 0 is for 0, n for 2^(n-1) to 2^n - 1, the last for the rest. */
	u16 words;
};
/* What is counted, the same for all. */
const struct stat_desc *engine_vcpu_stats(unsigned *ret_count);
const struct stat_desc *engine_machine_stats(unsigned *ret_count);
/* Count in the caller's memory from now on, beginning with what has been counted. It is written to until the end. */
void vcpu_set_stats(struct vcpu *v, u64 *words); /* not while it runs */
void machine_set_stats(struct machine *m, u64 *words);
/* ---- the Hyper-V interface (engine/hv): there for guests whose CPUID says "Hv#1" at 40000001 ---- */

/* What CPUID may announce, to a vcpu or (NULL) to one with a local APIC; how many, writes at most n. */
unsigned engine_hv_cpuid(
	const struct vcpu *v, const char vendor[12], struct cpuid_entry *ret, unsigned n);
/* Refuse MSRs and hypercalls that CPUID does not announce. */
void vcpu_enforce_hv_cpuid(struct vcpu *v, bool on);
/* Switch the synthetic interrupt controller on. keep_pages: the guest's pages are not cleared. -EINVAL: no local APIC. */
int vcpu_enable_synic(struct vcpu *v, bool keep_pages);
/* HvSignalEvent on this connection signals an eventfd. -EBADF, -EINVAL, -EEXIST; -ENOENT. */
int hv_event_assign(struct machine *m, u32 connection, int fd);
int hv_event_deassign(struct machine *m, u32 connection);

/*
 * Xen: hypercalls leave as EXIT_XEN, and a write to this MSR fills a page with calls of them. 0: not (the default).
 */
void machine_set_xen(struct machine *m, u32 hypercall_msr);

/* ---- machine checks ---- */

#define MCE_BANKS_MAX     32
#define MCE_CAP_CTL       BIT64(8)  /* MCG_CTL exists */
#define MCE_CAP_CMCI      BIT64(10) /* corrected errors can interrupt */
#define MCE_CAP_SER       BIT64(24) /* errors from which software recovers */
#define MCE_CAP_SUPPORTED (MCE_CAP_CTL | MCE_CAP_CMCI | MCE_CAP_SER)

struct machine_check {
	u64 status, addr, misc, mcg_status;
	unsigned bank;
};
/* IA32_MCG_CAP and what follows from it. -EINVAL: no or too many banks, other bits. */
int vcpu_setup_mce(struct vcpu *v, u64 cap);
/* An error has happened. -EINVAL: no such bank, or the status is not valid. */
int vcpu_machine_check(struct vcpu *v, const struct machine_check *mc);

/* ---- debugging ---- */

#define DBG_SINGLESTEP BIT(0)
#define DBG_SW_BP      BIT(1) /* int3 exits instead of raising #BP */
#define DBG_HW_BP      BIT(2) /* dr[0..3], dr[7] are the debugger's */
#define DBG_BLOCK_IRQ  BIT(3) /* no interrupt, NMI or SMI is delivered */

int vcpu_set_debug(struct vcpu *v, u32 flags, const u64 dr[8]);
/* Queue #DB or #BP for the guest. -EBUSY if an exception waits. */
int vcpu_inject_exception(struct vcpu *v, u8 vector);

#endif
