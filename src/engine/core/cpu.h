/* SPDX-License-Identifier: MIT */
/*
 * struct cpu: one virtual processor as the executors see it. Private to engine/.
 *
 * While guest code runs, the host's stack pointer points here, so translated code reaches every field
 * with a constant displacement; below is the stack of whatever interrupts it (layout.h). Guest general registers live in host registers while translated
 * code runs and here otherwise; guest x87/SSE/AVX state lives in the host's registers for the
 * whole time between the two in vcpu/cross.c.
 *
 * All code that runs in between ("inner code": x86, and what the folders of engine/ list as such in meson.build) is compiled with
 * -mgeneral-regs-only and calls no libc function, so that it cannot disturb that state. Locks,
 * devices, timers, descriptors and sleeping belong to outer code, such as engine/vcpu/loop.c,
 * engine/irq and engine/time. tools/check-inner checks what inner code calls.
 *
 * How an instruction ends. Handlers return one of enum cpu_result and obey one rule: an
 * instruction completes or leaves no trace. So all memory is read, and all destinations probed
 * (mem_probe_write), before the first register or memory byte changes.
 */
#ifndef ENGINE_CORE_CPU_H
#define ENGINE_CORE_CPU_H

#include "base/check.h"
#include "base/types.h"
#include "engine/core/layout.h"
#include "engine/engine.h"
#include "engine/exit.h"
#include "engine/tap.h"
#include "x86/insn.h"
#include "x86/regs.h"

enum cpu_result {
	CPU_OK = 0,
	CPU_FAULT = -1, /* cpu->exc holds an exception to deliver; nothing else changed */
	/* cpu->exit is set; the instruction will be restarted after it is answered */
	CPU_EXIT = -2,
};

/* Access descriptor: kind, and who asks. */
#define ACC_READ  0
#define ACC_WRITE BIT(0)
#define ACC_FETCH BIT(1)
#define ACC_SYSTEM                                                                                 \
	BIT(2) /* implicit supervisor access: descriptor tables, TSS, interrupt stack (SDM 3:4.6) */
#define ACC_ALSO_READ                                                                              \
	BIT(3) /* a write that reads first, by the same address: for the rights of the page */
#define ACC_ALSO_WRITE BIT(4) /* a read that comes before such a write: for who sees it leave */

/*
 * A read by code that goes on to write there, if nothing comes in between. A page that is dirty already may have an entry for
 * the write at once: the guest sees nothing of it.
 */
#define ACC_WRITE_NEXT BIT(5)

/* ---- software TLB ---- */

#define TLB_BITS 16
#define TLB_SIZE (1u << TLB_BITS)
#define TLB_LOG  4096 /* fills remembered for a quick flush */

/*
 * Which pages a view may see: USER is CPL 3. KERNEL is CPL 0-2 with SMAP protection in force (or
 * SMAP off). KERNEL_AC is CPL 0-2 with EFLAGS.AC set while SMAP is on.
 */
enum tlb_view { TLB_USER, TLB_KERNEL, TLB_KERNEL_AC, TLB_VIEWS };
enum tlb_kind { TLB_READ, TLB_WRITE, TLB_KINDS };

/*
 * Direct-mapped, indexed by bits 12-27 of the linear address. An access of s bytes at A hits iff
 * A + neg_tag <= 4096 - s, unsigned: that is, same page and not crossing its end. hva is the host
 * address of the page. What tlb_empty() says means empty: 0 for most, so a new cpu needs
 * one tlb_flush_all(). MMIO pages never have an entry; watched (code), read-only and clean-but-logged
 * pages have no write entry. What is known of a page for both kinds of access is side by side, in one line of the cache.
 */
struct tlb_entry {
	u64 neg_tag, hva;
};
struct tlb_page {
	struct tlb_entry of[TLB_KINDS];
};
#define TLB_PAGE_SHIFT 5
_Static_assert(sizeof(struct tlb_page) == 1u << TLB_PAGE_SHIFT, "indexed by generated code");
struct tlb {
	struct tlb_page page[TLB_SIZE];
};

/*
 * The tag of an empty entry moves no address of that entry to where the check of generated code could succeed:
 * below 4096, or so close to 2^64 that the access wraps around. In the first and last entry 0 would.
 */
static inline u64 tlb_empty(unsigned index)
{
	return index == 0 ? PAGE_SIZE : index == TLB_SIZE - 1 ? -(u64)PAGE_SIZE : 0;
}

/*
 * What was filled since the last flush, so that a flush costs as much as what it drops. One log for each
 * of {local, global} x kind. Fills that find the log full are remembered by chunk only (1024 entries a bit).
 */
struct tlb_log {
	u32 count;
	bool overflow;
	u64 chunks[TLB_VIEWS];
	u64 fill[TLB_LOG]; /* packed by tlb.c: index, view, large, page of the gpa */
};

/* Instruction pages: what mmu_fetch_page() found last; flushed together with the TLB. */
#define FETCH_CACHE 1024
struct fetch_entry {
	u64 tag; /* page of the linear address, bit 0 valid, bit 1 user, bit 2 global */
	u64 gpa; /* page */
	u8 *hva; /* NULL: not RAM */
	u64 flushes; /* what cpu.fetch_flushes[global] was: if it is another, the entry counts no longer */
};

#define CODE_FILTER 16384 /* bits */

/* Which large pages were filled from, as a hash filter: INVLPG looks for their granules only then. */
#define LARGE_FILTER 128 /* words */

/* ---- pending things ---- */

struct exception {
	u8 vector;
	bool has_error;
	u32 error;
	u64 cr2;       /* #PF */
	u64 dr6;       /* #DB: bits to set */
	bool resume;   /* #DB: RF in the saved flags, as all other faults have it */
	bool injected; /* from outside */
};

/* Which components of vector state the host has that guests may have, and where they lie (engine/core/xsave.h). */
struct xstate_place {
	u64 features;  /* XSTATE_* */
	u16 offset[8]; /* by component, in the standard format */
};

/* Answers to questions that left the engine, in the order in which they were asked: see answer.h. */
/* A gather of sixteen elements across pages, whose tables may not be read nor written: 16 * 2 * (8 + 1), and its code. */
#define ANSWERS_MAX 384
struct answer {
	u64 addr; /* gpa, port or MSR */
	u64 value;
	u8 reason; /* enum exit_reason */
	u8 len;    /* EXIT_TAP: what was asked */
	bool error;
	u8 verdict; /* EXIT_TAP: enum tap_verdict */
};
struct answers {
	u16 filled;   /* answers present */
	u16 next;     /* next one to hand out; reset at each restart */
	bool tapped;  /* there may be one to EXIT_TAP */
	bool muted;   /* half done and cannot be started again: no EXIT_TAP */
	u32 io_count; /* string input: items available in io_data */
	struct answer answer[ANSWERS_MAX];
};

/*
 * MMIO and port writes of a completed instruction that user space has not seen yet: 64 bytes have at most 32 stretches that
 * an opmask lets through, and 16 elements that lie across pages each have two parts.
 */
#define POSTED_MAX 32
struct posted_write {
	u64 gpa;
	u64 rip; /* of the instruction */
	u8 len;
	u8 data[8];
};

/*
 * Where indirect branches go: rip + code_tag to generated code, one table for each set of mode bits in use
 * (block_key.h). Indexed by the low bits, which are those of the linear address, but for the lowest two: targets are seldom so
 * close, and entries for neighbours share cache lines. Entry 0 is never used for a branch, and is where every look-up ends while
 * jump_mask is 0.
 */
#define JUMP_BITS  17
#define JUMP_SIZE  (1u << JUMP_BITS)
#define JUMP_SHIFT 2
#define JUMP_MASK  ((u64)(JUMP_SIZE - 1) << JUMP_SHIFT)
static inline u32 jump_index(u64 tag)
{
	return (u32)(tag >> JUMP_SHIFT) & (JUMP_SIZE - 1);
}
#define JUMP_TABLES 32 /* more than the sets of mode bits that guests go through on their way up */
#define JUMP_LOG    65536 /* fills remembered for a quick flush */

struct jump_table {
	u64 neg_rip[JUMP_SIZE]; /* 0: empty */
	u64 host[JUMP_SIZE];
};

/*
 * Where links to other pages look whether the code there is still the code that they lead to: for each page of linear
 * addresses its token (page_blocks.token) less its address, 0 if nothing is known. Tables for user and other code, indexed
 * by the low bits of the page number; entry 0 is never used, and is where look-ups end while page_mask is 0. pagelink.c.
 */
#define PAGELINK_BITS 16
#define PAGELINK_SIZE (1u << PAGELINK_BITS)
#define PAGELINK_MASK ((u64)(PAGELINK_SIZE - 1) << PAGE_SHIFT)
#define PAGELINK_LOG  2048
struct pagelinks {
	u64 entry[2][PAGELINK_SIZE];   /* [CPL 3] */
	u32 count[2];                  /* [global]: entries filled since the last flush */
	u32 log[2][PAGELINK_LOG];      /* which: user << PAGELINK_BITS | index */
	u32 opens, open[PAGELINK_LOG]; /* those of pages that are not kept, as jump_open */
};

/*
 * What the jump tables have forgotten, because entries share places or because the translation of addresses may have
 * changed: a way holds as long as rip is at the same gpa. See jump.c.
 */
#define WAY_BITS 15
#define WAYS     (1u << WAY_BITS)
struct way {
	u64 tag; /* rip + code_tag */
	u64 gpa;
	u64 host;
	u32 key;   /* with BLOCK_PLAIN */
	u32 epoch; /* of the code cache */
};

/* The pages that were compared since all ways to code were last dropped; some are missing if count is greater than CHECKS_MAX. jit/check.c */
#define CHECKS_MAX 512u
struct checks {
	u64 due, done; /* times that all of them are to be compared again, and have been */
	u64 drops;     /* of all ways */
	u32 count;
	u32 again; /* how often they have been compared again since then */
	u32 slots; /* machine.slot_generation when the ways were dropped */
	bool on;   /* kept.on then */
	struct compared_page {
		u64 page;
		const u8 *hva;
		bool kept;
	} page[CHECKS_MAX];
};

/*
 * Pages of code that are known to be as they were when their blocks were compared with them, because nobody has written
 * to them: see mem/written.c.
 */
#define KEPT_MAX   1024
#define CANDIDATES 64
struct kept {
	bool on;     /* writes leave traces; else all that follows is of no use */
	u64 era;     /* pages of other eras are not kept any more */
	u32 slots;   /* machine.slot_generation at the last recheck that could ask */
	u32 reached; /* pages compared since the last recheck */
	u32 asks;   /* rechecks that will ask the kernel before the next that compares everything */
	u64 cost;   /* of asking; of the host's clock */
	u32 turn;   /* rechecks; pages are proposed as candidates after every sixteenth */
	u64 served; /* when candidates were last looked at */
	u32 count, candidates;
	u64 word[KEPT_MAX]; /* as it was when the page was kept */
	u64 page[KEPT_MAX]; /* sorted, of the first .sorted words */
	u32 sorted;
	struct {
		u64 page, word; /* as it was before the page was compared */
	} candidate[CANDIDATES];
};

/* Direct execution: engine/direct. */
#define DIRECT_FLUSHED 32
struct direct_wish {
	bool armed;  /* user code is to run as it is */
	u8 steps;    /* but first the engine executes an instruction, and so many more */
	u64 avoid;   /* as long as they are in this page */
	u64 process; /* whose thread runs it now (cage_runner()), or 0; any thread */
	u64 flushes; /* of the TLB, of many pages: all that is mapped there is to be looked at again */
	u64 rechecks; /* times that somebody else than processors may have written to memory: mem/recheck.c */
	u32 pages; /* flushed one by one since the last look */
	u64 page[DIRECT_FLUSHED];
	u32 calls; /* times that user code was left for the kernel since then, */
	u64 since; /* a host_ns(): judge.c */
};

/* Requests by other threads to a running cpu; exit_request != 0 makes translated code come out. */
#define REQ_EVENT   BIT(0) /* interrupts, NMI, INIT, SIPI may have changed */
#define REQ_KICK    BIT(1) /* vcpu_kick() */
#define REQ_FLUSH   BIT(2) /* drop all TLB entries */
#define REQ_FLUSH_W BIT(3) /* drop write entries: a page became watched */
#define REQ_POLL    BIT(4) /* time to call the poll function */
#define REQ_PAUSE   BIT(5) /* machine_pause() waits for us */
#define REQ_RING    BIT(6) /* the dirty ring is nearly full */
#define REQ_TAP     BIT(7) /* vcpu.tap has changed */
#define REQ_VIEW                                                                                   \
	BIT(8) /* it is in another view of memory, or that has changed; drops all TLB entries */

struct block;  /* a translated basic block, engine/code/block.h */
struct rights; /* mem/rights.h */
struct remaps; /* mem/views.h */

struct msr_state {
	u64 star, lstar, cstar, sfmask, kernel_gs_base, tsc_aux, pat, sysenter_cs, sysenter_esp,
		sysenter_eip, misc_enable, mtrr_def_type, mtrr_fixed[11], mtrr_var[16], mcg_status,
		mcg_cap, mcg_ctl, mc_banks[32 * 4], kvm_wall_clock, kvm_system_time, kvm_async_pf,
		kvm_async_pf_int, kvm_steal_time, kvm_eoi, kvm_poll_control, spec_ctrl, debugctl,
		bios_sign, hwcr, tsc_adjust, xss, feature_control, arch_capabilities, platform_info,
		misc_features, power_ctl, mc_ctl2[32], smbase, smi_count;
};

/*
 * Inside the engine a guest-physical address says which address space it belongs to: bits 51-0 as the guest has
 * them, and this bit for the one that processors see in system management mode. So whatever is found by address
 * (slots, translations, watches) tells the two apart by itself. Outside, and to devices, it is never shown.
 *
 * It is set by cpu_gpa() below and for slots, and by nothing else: what a guest or a VMM writes as an address says nothing
 * about the address space. machine_read() and its like take addresses from outside, and find no memory beyond GPA_BITS.
 * tools/check-deps looks after who uses these names.
 */
#define GPA_SMM  BIT64(52)
#define GPA_BITS (GPA_SMM - 1)

/* The last x87 instruction and its operand (SDM 1:8.1.8): offsets, and the opcode without its first five bits. */
struct x87_pointers {
	u64 fip, fdp;
	u16 fop;
};

/*
 * The local APIC's, and its alone: engine/irq/lapic*.[ch] write it, others ask cpu_apic_base() and cpu_cr8() (lapic.h).
 * tools/check-deps looks after that.
 */
struct apic_own {
	u64 base; /* IA32_APIC_BASE; other vcpus read it */
	u8 cr8;   /* where the local APIC is the caller's; else the TPR is the register */
};

/*
 * Tables of the lowest level that page walks have passed through, as processors' paging-structure caches have them (SDM
 * 3:4.10.3): by the region of 2 MiB that a table maps, and with the rights of the entries above it. They hold until the
 * next flush of whatever kind.
 */
#define TABLE_BITS    21 /* of a region */
#define PASSED_TABLES 512
struct passed_table {
	u64 region, epoch; /* lin >> TABLE_BITS; passed_epoch then */
	u64 table;
	bool user, writable, nx;
};

struct cpu {
	/* Touched by translated code and assembly: keep the order, the offsets are those of layout.h. */
	u64 frame[FRAME_SIZE / 8]; /* FRAME_*: spill slots that translated code uses most */
	u32 exit_request;          /* REQ_*; written by any thread with atomic or, read by polls */
	u32 iflag;                 /* RFLAGS.IF while translated code runs: 0 or FL_IF */
	u64 high_mask;             /* ~0xfff, for the flag-free TLB check */
	u64 jump_mask; /* index mask of the indirect-branch table; 0 makes every look-up miss */
	u64 page_mask; /* the same of pagelinks */
	struct tlb tlb
		[TLB_VIEWS]; /* TLB_USER's first entry is near enough for a displacement of one byte */
	u64 gpr[GPR_COUNT];
	u64 rip;    /* of the instruction being executed */
	u64 rflags; /* complete while C code runs; stale status bits while translated code runs */
	u64 scratch[8]; /* more spill slots */
	u64 host_rsp;   /* of who entered generated code */
	u64 bounce_ptr; /* where a native stub finds its memory operand */
	s64 tsc_offset;
	struct segment seg[SEG_COUNT];
	/*
	 * For code outside 64-bit mode, by cpu_update_mode(): the last offset of each segment that may be accessed, -1 for
	 * none or what step() has to judge. Only of fs and gs if cpu->flat.
	 */
	s64 seg_last[TLB_KINDS][SEG_GS + 1];
	/* What makes an instruction pointer unique: the jump tables know rip + code_tag. 0 in flat code. */
	u64 code_tag;

	/* the rest of the architectural state */
	u64 flag_mask; /* HOST_FLAGS (layout.h), as an operand */
	u64 next_rip;  /* where the instruction being executed will continue */
	struct dtable gdt, idt;
	u64 cr0, cr2, cr3, cr4, efer, xcr0;
	u64 dr[8];
	struct apic_own apic_own;
	u64 space; /* GPA_SMM in system management mode, else 0; see cpu_gpa() */
	struct msr_state msr;

	/* derived from the state above by cpu_update_mode(); never set by hand */
	u8 cpl;
	u8 code_size;  /* 2, 4, 8 */
	u8 stack_size; /* 2, 4, 8: width of the stack pointer */
	u8 view;       /* enum tlb_view of explicit data accesses */
	bool inside;   /* not derived: see vcpu_go_in() */
	bool flat;     /* cs ds es ss: base 0, limit 4 GiB, usable (always true in 64-bit mode) */
	u32 block_key; /* mode bits that change what code means; see block_key.h */

	/* events */
	struct exception exc; /* set by cpu_raise*(), consumed by event_deliver() */
	/* queued by the outside or left over from an interrupted delivery */
	struct vcpu_events events;
	u8 shadow; /* SHADOW_*: interrupts are held for one instruction */
	bool nmi_masked;
	bool smm_inside_nmi; /* NMIs were masked when SMM was entered */
	bool irq_waiting;    /* an interrupt waits for IF: sti, popf and iret must come out */
	bool debug_step;     /* DBG_SINGLESTEP by the debugger */
	bool watch_data;     /* derived: a breakpoint in force is on data */
	/* An OUT that user space sees: rip is on it until the next run goes past it, if it is still there. */
	struct {
		u64 rip, linear, next; /* of the instruction, and of the one after it */
		u8 shadow;             /* in force before it */
		bool string;           /* has completed when it leaves */
		bool waits;
	} out;
	u8 debug_hits; /* breakpoints that the instruction being executed has touched, DR6 bits */
	u32 debug_pending; /* DR6 bits of a trap that must wait until what the instruction did has left */
	u32 debug_flags; /* DBG_* */
	u64 debug_dr[8];

	/* the subscriber of tap.h, and intercepts */
	u32 tap_events; /* derived: for what an instruction looks whom to ask, bits of enum tap_kind */
	u32 subscribed; /* derived: those of them that the subscriber has asked for */
	bool tap_late;  /* what it is asked has changed, and is taken over after this instruction */
	bool view_late; /* the same of the view of memory */
	bool tap_stepped; /* an instruction is over since TAP_STEP was switched on */
	bool tap_first;   /* it has just been switched on: interrupts wait for one instruction, */
	bool tap_held;    /* and have: the next time they go first */
	bool tap_unfinished; /* it was an iteration, and not the last one */
	bool events_own; /* events.exception is the processor's own: it waits for an answer or its turn */
	bool events_resume; /* and this is its exception.resume */

	struct exit exit;
	struct exit_insn exit_insn; /* OPT_INTERCEPTS */
	struct answers answers;
	struct posted_write posted[POSTED_MAX];
	u8 posted_count, posted_next;
	u8 io_data[EXIT_IO_DATA_MAX];

	bool host_xsave;  /* the host's processor has XSAVE, so we can offer it */
	bool host_xinuse; /* and tells what of it is in use */
	/* Where vendors differ in what has no CPUID bit, guests see the host's ways: it executes the rest. */
	bool host_amd;
	struct cpuid_entry cpuid[256];
	unsigned cpuid_count;
	u64 cr4_allowed; /* bits that CPUID permits */
	u32 lacks;       /* LACKS_*: instructions and MSRs that CPUID does not offer */
	u32 pv_allowed;  /* KVM_FEATURE_* whose MSRs and hypercalls work */
	bool pv_enforce; /* CPUID decides that */
	u64 xcr0_allowed;
	struct {
		bool enabled; /* CPUID says "Hv#1" */
		bool enforce; /* only what CPUID announces */
		u32 word[7];  /* what it announces: HV_EAX ... in pv/hyperv/hv.h */
	} hv;
	u64 tsc_ratio; /* of the guest's TSC to the host's, see cpu_tsc_at(); 0: they run at the same rate */
	u8 phys_bits;
	bool has_long_mode;
	struct xstate_place xstate;
	bool host_xinuse_by_value; /* registers of AVX-512 that are zero are not in use */
	u8 xsave_area[XSAVE_BYTES] __attribute__((aligned(64))); /* while outside */

	struct x87_pointers x87_loaded, x87_stepped; /* x87ptr.c */

	/* memory operand that has no single host address */
	u8 bounce[128] __attribute__((aligned(64)));

	struct machine *machine;
	struct vcpu *vcpu;
	u64 *stats; /* engine/core/stat.h */
	u32 id;
	struct refusal
		refusal; /* why the last request on its state was refused; see vcpu_refusal() */
	bool run_one;    /* leave after one instruction */
	bool step_only;  /* no translated code: for tests that compare the executors */
	bool cache_full; /* left because the code cache has no room, which it gets once code_cache.rounds is another */
	u32 cache_rounds;

	/* generated code */
	struct native_cache *native; /* stubs of step, native.c */
	/* cache epochs that the stubs and the jump tables belong to */
	u32 native_epoch, code_epoch;
	struct gen *gen;         /* the translator's workspace */
	struct host_fault {      /* set by the signal handler when generated code faulted */
		int signo, code; /* signo 0: it was called away, see recover.h */
		u64 addr, pc;
	} host_fault;
	struct calling_away {    /* recover.c */
		int thread;      /* that runs the cpu */
		bool *called;    /* that thread's */
		bool inner;      /* the guest's code runs, or inner code for it */
		bool left;       /* the host's "fault" was none */
		bool has_stored; /* the instruction that C executes has changed memory: it must end */
	} away;
	u64 plain_sp; /* a stack pointer of KVM_RUN's caller that was on no alternate stack; altstack.c */

	struct direct_wish direct;

	/* EXIT_TAP, EXIT_INTERCEPT */
	u8 question_kind; /* by which its answer is found, see tap/ask.c */
	u64 question_key;
	struct tap_event question;
	/* While answers.tapped: what the instruction reads in the place of memory. */
	u8 given_count;
	struct given {
		u64 gpa;
		u16 len;
		u8 data[TAP_DATA_MAX];
	} given[TAP_DATA_PLACES];

	/* translation caches */
	u64 jump_epoch, jump_global_epoch; /* epochs at which the jump tables were last emptied */
	u32 jump_count[2];                 /* [global]: entries filled since */
	u32 jump_log[2][JUMP_LOG];         /* which: table << JUMP_BITS | index */
	struct {         /* numbers of the jump tables of keys met lately; see jump.c */
		u32 key; /* block_key + 1; 0: empty */
		int number;
	} jump_table_of[16];
	/* code pages that were compared with memory, and when; see jit/check.c */
	struct checked_page {
		u64 page; /* | CHECKED_GLOBAL */
		u64 epoch, recheck;
		u64 kept;  /* era + 1; 0: not kept */
		u64 noted; /* checks.drops; 0: not noted */
		u32 place; /* in checks.page, if there was room */
	} page_checked[2048];
	struct checks checks;
	u64 rechecks;      /* that have found kept pages as they were: others must be compared */
	u64 jump_rechecks; /* up to which entries for those were dropped */
	u32 jump_opens;    /* such entries */
	u32 jump_open[JUMP_LOG];
	struct kept kept;
	u64 check_epoch[2]; /* [global]: checks of other epochs no longer count */
	/* decoded instructions that step() does for translated code, run.c */
	struct insn_cache *insns;
	/* grows whenever a linear-to-physical translation of code may have changed */
	u64 fetch_epoch;
	u64 fetch_global_epoch; /* the same for translations that are global */
	u64 code_filter[2][CODE_FILTER /
			   64]; /* [global]: which pages code was fetched from, see fetch.c */
	u32 slot_hint[1024];    /* by low bits of the page number: where the last look-up ended */
	/* the view of memory, what it denies and where it leads elsewhere (NULL: nowhere). Valid inside: see mem/views.h */
	u32 mem_view;
	const struct rights *denies;
	const struct remaps *remaps;
	u64 passed_epoch;
	struct passed_table passed[PASSED_TABLES];
	/* the last translation that led to no RAM, see tlb.c: its page and kind of access (0: none) */
	u64 mmio_tag, mmio_gpa;
	/* completed flushes of all write entries; read by page_watch() of others */
	u32 write_flushes;
	u64 fetch_flushes[2]; /* [global] */
	struct fetch_entry fetch[FETCH_CACHE];
	u64 large_filter[LARGE_FILTER];
	struct tlb_log tlb_log[2][TLB_KINDS]; /* [global] */
	struct jump_table jump[JUMP_TABLES];
	struct way way[WAYS];
	struct pagelinks pagelinks;
};

/* ---- questions, and exceptions ---- */

/* An instruction is over: the next one follows it, and interrupts may come in between. */
static inline void tap_insn_over(struct cpu *cpu)
{
	cpu->tap_stepped = true;
	cpu->tap_first = false;
}

static inline bool cpu_long_mode(const struct cpu *cpu)
{
	return cpu->efer & EFER_LMA;
}
/*
 * The guest's TSC is the host's times tsc_ratio, plus tsc_offset (time/tsc.c). Both are written by the vcpu's owner, under
 * the clock's lock; other threads read them under it.
 */
#define TSC_RATIO_BITS 48
static inline u64 tsc_scaled(u64 ratio, u64 host)
{
	return likely(!ratio) ? host : (u64)((unsigned __int128)host * ratio >> TSC_RATIO_BITS);
}
static inline u64 cpu_tsc_at(const struct cpu *cpu, u64 host)
{
	return tsc_scaled(__atomic_load_n(&cpu->tsc_ratio, __ATOMIC_RELAXED), host) +
	       (u64)__atomic_load_n(&cpu->tsc_offset, __ATOMIC_RELAXED);
}
/* A physical address as the guest has it (CR3, a table, unpaged code) in the address space that the processor is in. */
static inline u64 cpu_gpa(const struct cpu *cpu, u64 gpa)
{
	return (gpa & GPA_BITS) | cpu->space;
}
/* IA32_APIC_BASE. From any thread. */
static inline u64 cpu_apic_base(const struct cpu *cpu)
{
	return __atomic_load_n(&cpu->apic_own.base, __ATOMIC_RELAXED);
}
/* How many bits physical addresses have; so many before CPUID (80000008h) says, as with KVM. */
#define PHYS_BITS_DEFAULT 36
static inline unsigned cpu_phys_bits(const struct cpu *cpu)
{
	return likely(cpu->phys_bits) ? cpu->phys_bits : PHYS_BITS_DEFAULT;
}
/* The bits that a physical address cannot have. */
static inline u64 cpu_phys_reserved(const struct cpu *cpu)
{
	return ~(BIT64(cpu_phys_bits(cpu)) - 1);
}
/* Canonical form, SDM 1:3.3.7.1 and 3:4.5. */
static inline bool cpu_canonical(const struct cpu *cpu, u64 addr)
{
	unsigned shift = cpu->cr4 & CR4_LA57 ? 7 : 16;
	return (u64)((s64)(addr << shift) >> shift) == addr;
}
static inline bool cpu_protected(const struct cpu *cpu)
{
	return cpu->cr0 & CR0_PE;
}
/* Linear address of code at rip. */
static inline u64 cpu_code_linear(const struct cpu *cpu, u64 rip)
{
	return likely(cpu->code_size == 8) ? rip : (u32)(cpu->seg[SEG_CS].base + rip);
}
static inline bool cpu_v86(const struct cpu *cpu)
{
	return cpu->rflags & FL_VM;
}
static inline bool cpu_real_or_v86(const struct cpu *cpu)
{
	return !cpu_protected(cpu) || cpu_v86(cpu);
}

/*
 * An instruction of the code that the cpu is in. 66 before MOVSXD leaves 2 bytes of its source (SDM 2: MOVSXD) but on
 * AMD's processors, which read 4. Those do not know pointers m16:64: REX.W does nothing there (APM 3: JMP, CALL, LFS).
 */
static inline enum insn_result cpu_decode(
	const struct cpu *cpu, struct insn *in, const u8 *code, unsigned avail)
{
	enum insn_result r = insn_decode(in, code, avail, cpu->code_size);

	if (r == INSN_OK && unlikely(in->opcode == 0x63) && in->op_size == 2 && in->mem_size == 4 &&
		!cpu->host_amd)
		in->mem_size = 2;
	if (r == INSN_OK && unlikely(cpu->host_amd && (insn_class(in) & OC_FAR_POINTER)) &&
		in->op_size == 8)
		in->op_size = 4;
	return r;
}

/* Intel's processors write no more than the selector where 4 bytes are pushed (SDM 2: PUSH); AMD's, all 4. */
static inline unsigned pushed_of_selector(const struct cpu *cpu, unsigned size)
{
	return size == 4 && !cpu->host_amd ? 2 : size;
}

/* Record an exception; always return CPU_FAULT, so that handlers can `return cpu_raise(...)`. */
static inline int cpu_raise(struct cpu *cpu, u8 vector)
{
	cpu->exc = (struct exception){.vector = vector};
	return CPU_FAULT;
}
static inline int cpu_raise_err(struct cpu *cpu, u8 vector, u32 error)
{
	cpu->exc = (struct exception){.vector = vector, .has_error = true, .error = error};
	return CPU_FAULT;
}
/*
 * An exit begins: its fields follow, all of them, because what is not written shows what the last one left. Those that
 * are too rare to save the time are written whole instead, cpu->exit = (struct exit){...}. Sanitized builds begin with a
 * pattern, so that what was forgotten is seen.
 */
#define EXIT_POISON 0xa5
static inline void cpu_exit_begin(struct cpu *cpu, u32 reason)
{
	if (UV_SANITIZED)
		__builtin_memset(&cpu->exit, EXIT_POISON, sizeof(cpu->exit));
	cpu->exit.reason = reason;
}
/* One that leaves in front of the instruction, which step.c adds if it is one. */
static inline void cpu_exit_in_front(struct cpu *cpu, u32 reason)
{
	cpu_exit_begin(cpu, reason);
	cpu->exit_insn.len = cpu->exit_insn.count = 0;
}
/* No access to guest RAM; gpa 0, size 0: which is not known. */
static inline int cpu_memory_fault(struct cpu *cpu, u64 gpa, u64 size, bool private)
{
	cpu->exit = (struct exit){
		.reason = EXIT_MEMORY_FAULT, .fault = {gpa & GPA_BITS, size, private}};
	return CPU_EXIT;
}
static inline int cpu_gp0(struct cpu *cpu)
{
	return cpu_raise_err(cpu, X86_GP, 0);
}

/* Stops guest code that runs as it is. request.c */
void cpu_call_process(u64 process);

/* Ask cpu to come out of guest code. From any thread. */
static inline void cpu_request(struct cpu *cpu, u32 req)
{
	u64 process;

	__atomic_fetch_or(&cpu->exit_request, req, __ATOMIC_SEQ_CST);
	process = __atomic_load_n(&cpu->direct.process, __ATOMIC_SEQ_CST);
	if (unlikely(process))
		cpu_call_process(process);
	__atomic_store_n(&cpu->jump_mask, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&cpu->page_mask, 0, __ATOMIC_RELEASE);
}

/* Outer code delivers one that was held. */
static inline void cpu_unmask_nmi(struct cpu *cpu)
{
	if (likely(!cpu->nmi_masked))
		return;
	cpu->nmi_masked = false;
	cpu_request(cpu, REQ_EVENT);
}

/* ---- handlers: one per enum insn_op, see x86/insn_ops.def ---- */

typedef int (*op_handler)(struct cpu *cpu, const struct insn *in);

#endif
