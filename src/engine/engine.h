/* SPDX-License-Identifier: MIT */
/*
 * The interface of the engine: a PC's processors, memory map and interrupt fabric in software. Other parts of
 * uservisor reach the engine only through this file and the two files that it includes.
 *
 * The engine knows no ioctl number, no socket and no device file. Calls return 0 or -errno unless their comments say
 * otherwise. Outputs are untouched on failure.
 *
 * Threads: a vcpu is run by the thread that calls vcpu_run(). Other vcpu calls may come from any thread, but not while
 * that vcpu runs, unless they are marked "any time". The caller serialises them; abi/kvm holds a mutex for each vcpu.
 * Machine calls may come from any thread at any time.
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
#define MACHINE_SPACES    2 /* address spaces: the ordinary one, and that of system management mode */

/* ---- machine ---- */

/* Make a machine without memory and vcpus. It is the caller's until machine_destroy(). 0 or -errno. Any thread. */
int machine_create(struct machine **ret);
/* All vcpus of the machine must have been destroyed. NULL is allowed. */
void machine_destroy(struct machine *m);

/* ---- signals of the host process (engine/host/recover.c) ---- */

struct sys_sigaction; /* base/sys.h */
/*
 * sigaction() of the process, for code that replaces the C library's. With a machine, the engine handles SIGSEGV,
 * SIGBUS, SIGFPE and SIGILL, and its handlers stay installed: set becomes the action for signals that are not the
 * engine's. get receives the action that the process has set. Returns 0 or -errno.
 */
int host_sigaction(int signo, const struct sys_sigaction *set, struct sys_sigaction *get);
/*
 * Call this in a signal handler that wants vcpu_run() to end, with the handler's context. If the signal has interrupted
 * an access to guest RAM that has not happened yet, the vcpu leaves in front of the access. The host may have put the
 * thread to sleep there (userfaultfd), and a return to the access would continue the sleep.
 */
void host_interrupted(void *context);
/*
 * host_handlers_behind() is for code whose handler the kernel calls in place of the engine's, and which calls the
 * engine's for faults. The engine also uses SIGILL to call a vcpu away from the sleep above. Such code calls
 * host_take_call() for a SIGILL that no instruction has raised, with its context, in a thread whose fs is the C
 * library's. True means that the SIGILL was such a call and has been handled.
 */
void host_handlers_behind(const void *entry);
bool host_take_call(void *context);
/* Install the engine's handlers, as the first machine does. They also answer CPUID if it traps (base/cpuidtrap.h). */
int host_handle_faults(void);
/*
 * Copy memory of which one side may be unmapped or protected: -EFAULT then, after a part has been copied. Any time, on
 * any thread on which SIGSEGV and SIGBUS are not blocked. -ENOSYS: there has been no machine, so there is no handler.
 */
int host_copy(void *to, const void *from, size_t n);

/*
 * May the engine have userfaultfd trace writes to guest RAM (host/track.c)? A mapping can be registered with one
 * userfaultfd, so only a caller who sees each call by which the program makes one may allow it, before the first machine.
 * He takes that back before the call is made, once and for all. It is not allowed by default.
 */
void host_track_writes(bool allowed);

/* ---- options that the VMM may switch; running vcpus see a change soon ---- */

enum machine_option {
	OPT_QUIRKS_OFF,       /* QUIRK_*: the quirks that are disabled */
	OPT_EXITS_OFF,        /* NO_EXIT_* */
	OPT_NO_PLATFORM_INFO, /* the guest may not read MSR_PLATFORM_INFO */
	OPT_HYPERCALL_EXITS,  /* bit n: hypercall n exits as EXIT_HYPERCALL */
	OPT_INTERCEPTS, /* the machine is a Hyper-V partition: exits leave in front, see exit.h */
	OPT_HYPERCALL_INTERCEPT, /* OPT_INTERCEPTS: hypercalls that the engine does not have leave as EXIT_HYPERV */
	OPT_X87_MMIO_FAILS, /* x87 loads and stores on device memory exit as EXIT_INTERNAL_ERROR */
	OPT_DIRECT, /* enum direct_where (base/direct.h): user code may run as it is, in a process of its own */
	OPT_COUNT
};

/* Quirks: ways in which KVM differs from real machines by default, with KVM's numbers. Others have no effect. */
#define QUIRK_LINT0_REENABLED       BIT(0) /* LVT LINT0 is ExtINT after reset */
#define QUIRK_LAPIC_MMIO_HOLE       BIT(2) /* the page of a disabled LAPIC still swallows accesses */
#define QUIRK_OUT_7E_INC_RIP        BIT(3) /* an OUT to port 7Eh exits with rip past it */
#define QUIRK_MISC_ENABLE_NO_MWAIT  BIT(4) /* MISC_ENABLE.MWAIT does not change CPUID */
#define QUIRK_FIX_HYPERCALL_INSN    BIT(5) /* the other vendor's VMCALL is patched, not #UD */
#define QUIRK_MWAIT_NEVER_UD_FAULTS BIT(6) /* MONITOR and MWAIT do nothing, whatever CPUID says */
#define QUIRK_STUFF_FEATURE_MSRS    BIT(8) /* the feature MSRs of a new vcpu have the host's values */

#define NO_EXIT_HLT BIT(1) /* HLT sleeps in vcpu_run() even if user space has the local APIC */

/* Takes hold at once; for vcpus that are made later where the option says so. Any thread. */
void machine_set_option(struct machine *m, enum machine_option o, u64 value);

/*
 * The caller is about to change what is mapped at [hva, hva + size), or its protection: user code that runs as it is would not see
 * that. If the guest has any of this memory, it runs so no more. Waits until no vcpu is inside. Outside of vcpu_run().
 */
void machine_memory_remapped(struct machine *m, const void *hva, u64 size);
/* Can user code run as it is on this host? Tried. 0 or -errno. */
int host_try_direct(void);

/*
 * Call ready(opaque, events) on the machine's helper thread whenever fd is readable, until machine_unwatch(), which waits for
 * a call in progress. Before the machine is destroyed. 0 or -errno. Any thread; not in ready() itself.
 */
int machine_watch(struct machine *m, int fd, void (*ready)(void *opaque, u32 events), void *opaque);
void machine_unwatch(struct machine *m, int fd, void *opaque);

/* ---- memory (engine/mem/slot.c, dirty.c) ---- */

#define SLOT_LOG_DIRTY BIT(0)
#define SLOT_READONLY  BIT(1) /* guest writes become EXIT_MMIO_WRITE */
#define SLOT_PRIVATE   BIT(2) /* has private_hva; cannot be changed, only deleted */
#define SLOT_NOEXEC    BIT(3) /* a fetch becomes EXIT_MMIO_FETCH; for OPT_INTERCEPTS */

/* The id of a slot: its address space, and its number below MACHINE_MAX_SLOTS. */
#define SLOT_ID(space, n) ((u32)(space) << 16 | (n))

struct memslot_config {
	u32 id; /* SLOT_ID() */
	u32 flags;
	u64 gpa, size;       /* bytes, multiples of 4096; size 0 deletes the slot */
	u64 hva;             /* address in this process; the memory stays the caller's */
	u64 private_hva;     /* address of the slot's private pages, if SLOT_PRIVATE */
	struct refusal *why; /* receives the reason of a failure; may be NULL */
};

/*
 * Create, move or delete a slot, or change its flags. Running vcpus see the change before this returns.
 * -EINVAL (alignment, wrap, resize, other hva, deletion of a slot that does not exist), -EEXIST (overlap).
 */
int machine_set_memslot(struct machine *m, const struct memslot_config *c);
/* Number of pages of a slot, 0 if there is none. */
u64 machine_slot_pages(struct machine *m, u32 id);
bool machine_slot_logged(struct machine *m, u32 id);
struct ram_region {
	u64 gpa, size; /* of the slot */
	void *hva;
	bool readonly;
	bool mixed; /* pages that are private to the guest are elsewhere */
};
/*
 * The slot of the ordinary address space in which gpa lies, or the next one above it. Slots are told as they were made: two may
 * be neighbours, and pages that are private or overlaid are elsewhere. -ENOENT: there is none.
 */
int machine_ram_at(struct machine *m, u64 gpa, struct ram_region *ret);
/* The page of this process that the guest reaches at gpa, in the same address space. -ENOENT: there is none. */
struct ram_page {
	void *hva;
	bool own; /* the slot's: neither private nor overlaid */
	bool readonly;
};
int machine_page_at(struct machine *m, u64 gpa, struct ram_page *ret);
/* Access guest-physical memory. -EFAULT if any byte is not RAM. Writes mark pages dirty. */
int machine_read(struct machine *m, u64 gpa, void *buf, size_t len);
int machine_write(struct machine *m, u64 gpa, const void *buf, size_t len);
/* Set a bit (0 to 7) of the byte at gpa, in one access. *ret_was: it was set. */
int machine_set_bit(struct machine *m, u64 gpa, unsigned bit, bool *ret_was);

/*
 * Show the guest a page of this process in the place of the page at gpa, in the ordinary address space (engine/mem/overlay.c):
 * to its processors and to machine_read() and machine_write(). It has no dirty bits; in a slot that is read-only it cannot be written. It
 * stays until it is taken away, or its slot is moved or deleted. Its memory stays the caller's until then.
 * -EINVAL: not aligned. -ENOENT: there is no slot, or, to take away, no such page. -EEXIST: there is one already. -ENOMEM.
 */
int machine_overlay_page(struct machine *m, u64 gpa, void *hva);
int machine_remove_overlay(struct machine *m, u64 gpa);
/*
 * Expect others to write to this page of memory at any time: code in it is executed one instruction at a time, and so nobody
 * has to tell when it changes. Pages that are shown as above are expected to without being told. Two calls need two calls to undo.
 * Whether there is a slot does not matter. -EINVAL: not aligned. -ENOENT: to undo, it was not shared. -ENOMEM.
 */
int machine_share_memory(struct machine *m, void *hva, bool shared);

/*
 * Make pages private or shared (engine/mem/private.c). The guest reaches a private page in private_hva of its slot, and
 * a shared page in hva. If no slot has private memory for a private page, an access exits as EXIT_MEMORY_FAULT. All
 * pages are shared at first. The range need not have slots.
 */
int machine_set_private(struct machine *m, u64 gpa, u64 size, bool private);
/* Slots whose private memory lies in the range lose that memory. */
void machine_unbind_private(struct machine *m, u64 private_hva, u64 size);

/* ---- dirty log (engine/mem/dirty.c, ring.c) ---- */

/*
 * Copy the slot's dirty bitmap (bit n is page n) to bitmap, clear it, and start the next round. bitmap must have room
 * for the slot's pages rounded up to 64, in bits. -ENOENT: there is no such slot, or it is not logged.
 */
int machine_get_dirty_log(struct machine *m, u32 id, void *bitmap);
/*
 * Clear the dirty bits of those pages in [first, first + pages) whose bits are set in bitmap. Bit 0 of bitmap is page
 * first, which is a multiple of 64.
 */
int machine_clear_dirty_log(struct machine *m, u32 id, u64 first, u64 pages, const void *bitmap);
#define DIRTY_LOG_MANUAL        BIT(0) /* machine_get_dirty_log() clears nothing */
#define DIRTY_LOG_INITIALLY_SET BIT(1) /* a log that is started from now on has all pages dirty */
void machine_set_dirty_log(struct machine *m, u32 flags);

/*
 * A ring of pages that became dirty. Each vcpu has one, in memory shared with the user of the interface, who marks
 * entries that he has seen with DIRTY_GFN_RESET. A page has one entry until that entry is reset. A vcpu whose ring is
 * nearly full exits as EXIT_DIRTY_RING_FULL.
 */
struct dirty_gfn {
	u32 flags;
	u32 slot;
	u64 offset; /* page in the slot */
};
#define DIRTY_GFN_DIRTY BIT(0)
#define DIRTY_GFN_RESET BIT(1)
/* entries must be a power of two. Call this before the vcpu runs. -ENOMEM. */
int vcpu_set_dirty_ring(struct vcpu *v, struct dirty_gfn *ring, u32 entries);
/* Returns the number of entries that were reset. */
u32 machine_reset_dirty_rings(struct machine *m);

/* ---- accessed and dirty bits (engine/mem/accessed.c) ---- */

/* Keep an accessed and a dirty bit for the pages of all slots. All are clear when it begins. -ENOMEM. */
int machine_track_access(struct machine *m, bool on);

/* The bits of a page */
#define PAGE_ACCESSED BIT(0) /* by a processor, or written by the engine */
#define PAGE_DIRTY    BIT(1) /* written by them; the VMM's own stores are none of these */

/* What becomes of them; in this order */
#define ACCESS_CLEAR_ACCESSED BIT(0) /* and the dirty bit */
#define ACCESS_SET_ACCESSED   BIT(1)
#define ACCESS_CLEAR_DIRTY    BIT(2)
#define ACCESS_SET_DIRTY      BIT(3) /* and the accessed bit */
/*
 * Write one byte for each page to ret, PAGE_*; 0 where there is no slot. Then do ops with the bits of these pages. The dirty
 * bits are those of the dirty log if a slot has one. -ENOENT: they are not kept. -EINVAL: unknown ops.
 */
int machine_access_states(struct machine *m, u64 first_page, u64 pages, u32 ops, u8 *ret);

/* ---- vcpu ---- */

/* id is the APIC id. The vcpu starts in its reset state (SDM 3:9.1). -EEXIST, -EINVAL. */
int vcpu_create(struct machine *m, u32 id, struct vcpu **ret);
void vcpu_destroy(struct vcpu *v);
u32 vcpu_id(const struct vcpu *v);
struct machine *vcpu_machine(const struct vcpu *v);

#define RUN_COMPLETE_ONLY BIT(0) /* complete the pending I/O, then EXIT_INTR */
#define RUN_ASLEEP                                                                                 \
	BIT(1) /* execute nothing: sleep until a kick or the poll function ends it, then EXIT_INTR */

/*
 * Run guest code on the calling thread until an exit. The reason and its details are in *vcpu_exit(v), where the answer
 * to the previous exit is also read from. -EAGAIN if the vcpu was uninitialized and INIT has arrived. If the engine has
 * the local APIC, this blocks while the vcpu is halted or waits for INIT and SIPI.
 */
int vcpu_run(struct vcpu *v, u32 flags);
struct exit *vcpu_exit(struct vcpu *v);
/* With OPT_INTERCEPTS: the instruction of this exit. All of it is 0 if the exit has none (HLT, a kick, an event's delivery). */
const struct exit_insn *vcpu_exit_insn(const struct vcpu *v);

/* Any time: make vcpu_run() return EXIT_INTR soon. If the vcpu is not running, its next run does so. */
void vcpu_kick(struct vcpu *v);
/* Any time, also in a signal handler: make the vcpu call the function of vcpu_set_poll() soon, even if it sleeps. */
void vcpu_poll_soon(struct vcpu *v);

/*
 * Set a function that vcpu_run() calls at least once a millisecond while guest code runs. If the function returns
 * non-zero, vcpu_run() returns EXIT_INTR. It may use any host facility. abi/kvm uses it to look for pending signals and
 * immediate_exit.
 */
void vcpu_set_poll(struct vcpu *v, bool (*poll)(void *opaque), void *opaque);
/*
 * Set a function that answers the same question for a vcpu that has slept in guest RAM for a while (userfaultfd) and
 * therefore cannot ask itself. Another thread calls it with the same opaque, and with the id of the sleeping thread. If
 * it returns true, the engine wakes the vcpu, which then calls its own function.
 */
void vcpu_set_asked_for(struct vcpu *v, bool (*asked_for)(void *opaque, int thread));
/*
 * Set the descriptor for which the vcpu waits while it sleeps. No function is polled then; the vcpu calls the function
 * of vcpu_set_poll() when the descriptor is readable. abi/kvm uses a signalfd. -1, the initial value, means none. The
 * descriptor stays the caller's. WAIT_BY_POLLING: the caller could get no descriptor, and the function is called once a
 * millisecond.
 */
#define WAIT_BY_POLLING (-2)
void vcpu_set_wait_fd(struct vcpu *v, int fd);

/* Any time. For a user-space interrupt controller: exit when IF and the interrupt shadow allow an interrupt. */
void vcpu_request_irq_window(struct vcpu *v, bool on);
/* The same of NMIs: exit when none is handled, and no instruction holds them. */
void vcpu_request_nmi_window(struct vcpu *v, bool on);
/* Inject this vector as an external interrupt as soon as the guest can take it. It replaces a vector that waits. */
void vcpu_interrupt(struct vcpu *v, u8 vector);
void vcpu_interrupt_clear(struct vcpu *v);           /* none waits any more */
void vcpu_nmi(struct vcpu *v);                       /* any time */
void vcpu_smi(struct vcpu *v);                       /* any time */
bool vcpu_ready_for_interrupt(const struct vcpu *v); /* IF set, no shadow, nothing queued */

/* The state that user space sees with every exit. It costs a few loads, so that an I/O round trip stays short. */
struct vcpu_brief {
	u64 cr8, apic_base;
	bool if_flag, ready_for_interrupt;
	bool smm;
};
void vcpu_get_brief(const struct vcpu *v, struct vcpu_brief *ret);
/* Set the TPR, if user space has the interrupt controller. -EINVAL: more than 15. */
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
		bool injected; /* is being delivered; the next run delivers it first */
		bool pending;  /* has been raised, but not delivered */
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
		bool inside_nmi;   /* NMIs were masked when system management mode was entered */
		bool pending;      /* an SMI is pending */
		bool latched_init; /* an INIT is pending */
	} smi;
};

#define SHADOW_MOVSS BIT(0)
#define SHADOW_STI   BIT(1)

#define XSAVE_BYTES 4096 /* size of the image in vcpu_state; the engine offers x87, SSE, AVX */

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
 * The reason why the last vcpu_set(), vcpu_set_msr(), vcpu_set_cpuid() or other request on this vcpu failed. It is
 * valid only after a request that failed, until the next request.
 */
const struct refusal *vcpu_refusal(const struct vcpu *v);

/* Read the state of these groups (STATE_*). The vcpu must not run. */
void vcpu_get(struct vcpu *v, u32 groups, struct vcpu_state *ret);
/* The first n of XMM0 to XMM15, at 16 bytes each. The vcpu must not run. */
void vcpu_get_xmm(const struct vcpu *v, void *ret, unsigned n);
/*
 * What is shown of a vcpu at each exit, without copying what is large. The vcpu must not run; what is pointed to stays its own,
 * and as it is until it runs or is set.
 */
struct vcpu_view {
	const u64 *gpr;
	const struct segment *seg;
	u64 rip, rflags, cr0, cr3, cr4, cr8, efer, xcr0, dr7;
	u8 shadow;
	bool nmi_masked;
	bool event; /* one is being delivered, or waits to be: see ST_EVENT */
};
void vcpu_look(const struct vcpu *v, struct vcpu_view *ret);
/* -EINVAL if the values cannot be a processor state (CR0/CR4/EFER combinations, reserved bits): nothing changes. */
int vcpu_set(struct vcpu *v, u32 groups, const struct vcpu_state *s);
/* vcpu_set() of the instruction pointer alone. */
void vcpu_set_rip(struct vcpu *v, u64 rip);

/*
 * Read or write an MSR. host: for the VMM, which may also write read-only MSRs. -ENOENT: unknown MSR; -EINVAL: bad
 * value.
 */
int vcpu_get_msr(struct vcpu *v, u32 index, u64 *ret, bool host);
int vcpu_set_msr(struct vcpu *v, u32 index, u64 value, bool host);
/* The numbers of the MSRs that a VMM should save and restore. Returns how many there are, writes at most n. */
unsigned engine_msr_list(u32 *ret, unsigned n);
unsigned engine_feature_msr_list(u32 *ret, unsigned n);
int engine_feature_msr(u32 index, u64 *ret);

/*
 * machine_set_msr_exits() sets the guest MSR accesses that exit as EXIT_RDMSR and EXIT_WRMSR instead of raising #GP: why
 * is a set of enum msr_exit_why. machine_set_msr_filter() sets a filter. It refuses an access with MSR_WHY_FILTER if a
 * range contains the MSR and the MSR's bit is 0. If no range contains the MSR, default_deny decides. x2APIC MSRs are
 * never filtered. The arguments are copied. Running vcpus see the change before the call returns.
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
/* Does CPUID of this leaf and subleaf give this entry? */
bool cpuid_entry_is(const struct cpuid_entry *e, u32 leaf, u32 subleaf);

/* The CPUID that the host CPU and this engine can honestly execute. Returns how many entries, writes at most n. */
unsigned engine_supported_cpuid(struct cpuid_entry *ret, unsigned n);
/* Copies n entries. -EINVAL, -E2BIG (more than 256). */
int vcpu_set_cpuid(struct vcpu *v, const struct cpuid_entry *e, unsigned n);
/* CPUID as the guest would read it now: OSXSAVE and sizes follow the state. */
unsigned vcpu_get_cpuid(struct vcpu *v, struct cpuid_entry *ret, unsigned n);
/* What the guest's CPUID instruction gives now: EAX, EBX, ECX, EDX. */
void vcpu_read_cpuid(struct vcpu *v, u32 leaf, u32 index, u32 ret[4]);

/* Refuse MSRs and hypercalls of KVM's paravirtual interface that CPUID does not announce. */
void vcpu_enforce_pv_cpuid(struct vcpu *v, bool on);

struct translation {
	u64 gpa;
	bool writable, user, nx; /* what all tables on the way allow */
};
/*
 * Translate linear to physical with the vcpu's current paging state, without side effects. -EFAULT: not mapped; -EBADMSG: by
 * an entry with reserved bits; -ENOENT: a table is in no slot.
 */
int vcpu_translate(struct vcpu *v, u64 gva, struct translation *ret);
/* Set the accessed bits on the way to what has been translated, and the dirty bit for a write. Errors as above. */
int vcpu_mark_used(struct vcpu *v, u64 gva, bool write);

/*
 * Populate the memory of whole pages. *ret_done is the number of bytes that have memory now. -ENOENT: the next page is
 * in no slot. -EFAULT: it has no memory.
 */
int vcpu_populate(struct vcpu *v, u64 gpa, u64 size, u64 *ret_done);

/* ---- statistics ---- */

enum stat_kind { STAT_CUMULATIVE, STAT_INSTANT, STAT_LINEAR_HIST, STAT_LOG_HIST };
enum stat_unit { STAT_UNIT_NONE, STAT_UNIT_NS, STAT_UNIT_BOOL };

struct stat_desc {
	const char *name;
	u8 kind, unit;
	/*
	 * number of u64s. STAT_LOG_HIST: word 0 counts 0, word n counts 2^(n-1) to 2^n - 1, the last word all above.
	 * STAT_LINEAR_HIST: word n counts n.
	 */
	u16 words;
};
/* The statistics that exist. They are the same for all vcpus, and for all machines. */
const struct stat_desc *engine_vcpu_stats(unsigned *ret_count);
const struct stat_desc *engine_machine_stats(unsigned *ret_count);
/* Count in the caller's memory from now on, starting with the present counts. It is written to until the end. */
void vcpu_set_stats(struct vcpu *v, u64 *words); /* not while it runs */
void machine_set_stats(struct machine *m, u64 *words);

/* ---- the Hyper-V interface (engine/hv), for guests whose CPUID says "Hv#1" at 40000001 ---- */

/*
 * The CPUID that may be announced to vcpu v, or if v is NULL to a vcpu with a local APIC. Returns how many entries,
 * writes at most n.
 */
unsigned engine_hv_cpuid(
	const struct vcpu *v, const char vendor[12], struct cpuid_entry *ret, unsigned n);
/* Refuse MSRs and hypercalls that CPUID does not announce. */
void vcpu_enforce_hv_cpuid(struct vcpu *v, bool on);
/* HV_X64_MSR_GUEST_OS_ID: what the guest says that it is. Any time. */
u64 machine_hv_guest_os_id(struct machine *m);
/*
 * Enable the synthetic interrupt controller. keep_pages: the guest's pages are not cleared. -EINVAL: the vcpu has no
 * local APIC.
 */
int vcpu_enable_synic(struct vcpu *v, bool keep_pages);
/*
 * In a partition (OPT_INTERCEPTS, set before the first vcpu) the engine has all of the controller: CPUID alone decides
 * whether the guest has it, no call enables it, and the pages are as new when the guest places them.
 *
 * Post a message to a SINT: into its slot, with an interrupt unless the SINT is masked or polls; or if the slot is full, to a
 * queue, from which the message follows when the guest has freed the slot. Any time. -EINVAL: there is no such SINT, or the
 * message has no type or too many bytes; -ENOENT: the guest has not enabled the controller or its message page, and is no
 * partition's, whose messages wait for that; -EAGAIN: the queue is full; -ENOMEM.
 */
struct hv_message;         /* x86/hyperv.h */
#define SYNIC_QUEUE_MAX 16 /* messages of a SINT */
int vcpu_synic_post(struct vcpu *v, unsigned sint, const struct hv_message *msg);
/*
 * Set an event flag of a SINT, with an interrupt if it was not set. Without an event page the flags are kept here until the
 * guest places one. Any time. -EINVAL: there is no such SINT or flag; -EFAULT: the page is no RAM; -ENOMEM.
 */
#define SYNIC_FLAGS 2048 /* of a SINT */
int vcpu_synic_signal(struct vcpu *v, unsigned sint, u16 flag, bool *ret_new);
/*
 * Exit with EXIT_SINT_READY as soon as one of these SINTs can take a message. Replaces what was asked for before, 0 is
 * nothing. vcpu_synic_notified() says what is asked for and has not been told. Any time.
 */
void vcpu_synic_notify(struct vcpu *v, u16 sints);
u16 vcpu_synic_notified(struct vcpu *v);
/* Let HvSignalEvent on this connection signal an eventfd. -EBADF, -EINVAL, -EEXIST; deassign: -ENOENT. */
int hv_event_assign(struct machine *m, u32 connection, int fd);
int hv_event_deassign(struct machine *m, u32 connection);

/*
 * Enable Xen's interface: hypercalls exit as EXIT_XEN, and a write to this MSR fills a page with code that makes
 * hypercalls. 0, the default, disables it.
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
/* Set IA32_MCG_CAP and the state that depends on it. -EINVAL: no banks, too many banks, or unknown bits. */
int vcpu_setup_mce(struct vcpu *v, u64 cap);
/* Report an error to the guest. -EINVAL: there is no such bank, or the status is not valid. */
int vcpu_machine_check(struct vcpu *v, const struct machine_check *mc);

/* ---- debugging ---- */

#define DBG_SINGLESTEP BIT(0)
#define DBG_SW_BP      BIT(1) /* int3 exits instead of raising #BP */
#define DBG_HW_BP      BIT(2) /* dr[0..3], dr[7] are the debugger's */
#define DBG_BLOCK_IRQ  BIT(3) /* no interrupt, NMI or SMI is delivered */

/* What the debugger wants of the vcpu from its next run on (DBG_*); dr: its DR0-DR3 and DR7. 0 or -EINVAL. */
int vcpu_set_debug(struct vcpu *v, u32 flags, const u64 dr[8]);
/* Queue #DB or #BP for the guest. -EBUSY if an exception is pending. */
int vcpu_inject_exception(struct vcpu *v, u8 vector);

#endif
