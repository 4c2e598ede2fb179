/* SPDX-License-Identifier: MIT */
/*
 * Memory as the executors see it: linear addresses, page walk, software TLB, slots.
 *
 * Every guest access goes through here or through the inline form of tlb_lookup() in translated
 * code; there is no other path between guest and host memory. Inner code (see cpu.h).
 *
 * Who may use it: a processor that is inside (vcpu_go_in()). All functions here that take a cpu insist on that, but
 * mmu_peek(), which is for a holder of memory.lock, and tlb_flush_all(), which outside is a request. Everybody else
 * has machine_read() and machine_write(), which take the lock.
 */
#ifndef ENGINE_MEM_MEM_H
#define ENGINE_MEM_MEM_H

#include "engine/core/cpu.h"
#include "engine/core/machine.h"

/* ---- linear access (access.c). 0, CPU_FAULT (#PF raised) or CPU_EXIT (MMIO read to be answered). ---- */

/* Any length up to 4096, any alignment, may cross pages. MMIO parts go through cpu->answers. */
int mem_read(struct cpu *cpu, u64 lin, void *buf, unsigned len, unsigned acc);
/*
 * All-or-nothing: both pages are translated before the first byte is written. MMIO parts are posted
 * (cpu->posted) and leave after the instruction.
 */
int mem_write(struct cpu *cpu, u64 lin, const void *buf, unsigned len, unsigned acc);
/* Raise what a write would raise, write nothing. */
int mem_probe_write(struct cpu *cpu, u64 lin, unsigned len, unsigned acc);
int mem_probe_read(struct cpu *cpu, u64 lin, unsigned len, unsigned acc);
/*
 * Host pointer for lin if len bytes lie in one page of RAM that may be accessed so, else *ret = NULL and 0
 * (MMIO, page crossing, read-only slot, watched for write, restricted). For native execution on guest memory.
 */
int mem_host(struct cpu *cpu, u64 lin, unsigned len, unsigned acc, void **ret);
/*
 * The same for a store by the current view to a page that may be watched: then *ret_watched is the store's
 * gpa, to be given to code_written() right after it, else MEM_UNWATCHED. So that even there a locked
 * instruction is one access. acc: ACC_WRITE, and ACC_ALSO_READ where it reads first.
 */
#define MEM_UNWATCHED (~0ull)
int mem_host_store(
	struct cpu *cpu, u64 lin, unsigned len, unsigned acc, void **ret, u64 *ret_watched);
/* Up to n (<= 15) instruction bytes at lin; *got says how many before an unmapped second page. Faults only if the first byte faults. */
int mem_fetch(struct cpu *cpu, u64 lin, u8 *buf, unsigned n, unsigned *got);

static inline int mem_read_u64(struct cpu *cpu, u64 lin, u64 *v, unsigned len, unsigned acc)
{
	*v = 0;
	return mem_read(cpu, lin, v, len, acc);
}

/* ---- physical access (cpuphys.c), in the cpu's address space; RAM only. CPU_OK or CPU_EXIT. ---- */

int mem_phys_read(struct cpu *cpu, u64 gpa, void *buf, unsigned len);
int mem_phys_write(struct cpu *cpu, u64 gpa, const void *buf, unsigned len);

/* ---- page walk (walk.c) ---- */

struct walk {
	u64 gpa;       /* of the byte, with its address space (GPA_SMM) */
	u64 page_size; /* 4096, 2 MiB, 4 MiB, 1 GiB */
	bool user, writable, nx, global, dirty;
	bool accessed; /* the entry of the page, before this access; those above it were if it was */
};
/*
 * Translate lin for acc with the current paging state; sets A and D bits; raises #PF with the exact error
 * code. user: the access is a user-mode one (CPL 3 and not ACC_SYSTEM).
 */
int mmu_walk(struct cpu *cpu, u64 lin, unsigned acc, struct walk *ret);
/* The same if it sets no A bit and meets nothing that anybody is to hear of. No rights are checked. */
bool mmu_walk_again(struct cpu *cpu, u64 lin, struct walk *ret);
/*
 * The same without side effects and permission checks, for debuggers and VMMs that ask: 0, -EFAULT, -EBADMSG for reserved
 * bits, -ENOENT for a table outside of all slots.
 */
int mmu_peek(struct cpu *cpu, u64 lin, struct walk *ret);
/*
 * The same, where there is paging, and A and D bits are set as for this access, whose rights nobody checks. -EAGAIN: an
 * entry has changed meanwhile. In any case the caller tells who watches code where entries have been stored to.
 */
#define WALK_STORES_MAX 4 /* levels */
struct walk_stores {
	unsigned n;
	u64 gpa[WALK_STORES_MAX];
};
int mmu_peek_used(
	struct cpu *cpu, u64 lin, unsigned acc, struct walk *ret, struct walk_stores *stores);

/* ---- TLB (tlb.c) ---- */

/*
 * Walk and fill for the view of acc (cpu->view, or TLB_KERNEL for ACC_SYSTEM). *ret_hva: host address of the byte
 * at lin, or NULL if no entry can be made (MMIO, watched page, read-only slot); *ret_gpa is valid in both cases.
 */
int tlb_fill(struct cpu *cpu, u64 lin, unsigned acc, void **ret_hva, u64 *ret_gpa);
void tlb_flush_all(struct cpu *cpu);       /* CR0.PG, CR4 toggles, INVPCID all, REQ_FLUSH, INIT */
void tlb_flush_nonglobal(struct cpu *cpu); /* CR3 write */
void tlb_flush_page(struct cpu *cpu, u64 lin); /* INVLPG */
/* Drop write entries for one guest page, or all of them (gpa == ~0). */
void tlb_flush_write(struct cpu *cpu, u64 gpa);

/* REQ_VIEW: take over what vcpu_set_view() and others have changed, with an empty TLB. Right after going in. views.c */
void cpu_take_view(struct cpu *cpu);

/* Act on those requests of other threads that inner code can serve: TLB flushes. */
void cpu_serve_requests(struct cpu *cpu);

/* Host address for an access of len bytes at lin, or NULL on a miss or when it leaves the page. The hit rule of cpu.h. */
static inline u8 *tlb_lookup(
	const struct cpu *cpu, unsigned view, unsigned kind, u64 lin, unsigned len)
{
	unsigned i = lin >> PAGE_SHIFT & (TLB_SIZE - 1);
	const struct tlb_entry *t = &cpu->tlb[view].page[i].of[kind];
	u64 offset = lin + t->neg_tag;

	return likely(offset <= PAGE_SIZE - len) ? (u8 *)(t->hva + offset) : NULL;
}

/*
 * Of a page that user code had, for these kinds of access, before a flush: may it have it still, at the same place in the host's memory? True
 * only if a fill would change nothing that the guest or the VMM could see. Then everything that takes entries away goes
 * by this page as well, though it has none.
 */
enum tlb_keep { KEEP_READ = 0, KEEP_WRITE = 1, KEEP_EXEC = 2 };
bool tlb_keep(struct cpu *cpu, u64 lin, const u8 *hva, unsigned keep);

/* ---- instruction pages (fetch.c) ---- */

/*
 * Translate one page for execution, through a small cache. 0 with *ret_gpa the page's address and *ret_hva its host
 * address (NULL: not RAM), CPU_FAULT or CPU_EXIT. Stays true until cpu->fetch_epoch changes.
 */
int mmu_fetch_page(struct cpu *cpu, u64 lin, u64 *ret_gpa, u8 **ret_hva);
/* The same for who translates: *ret_hva is NULL also where others may write to the code at any time. */
int mmu_code_page(struct cpu *cpu, u64 lin, u64 *ret_gpa, u8 **ret_hva);
/* After it: may that translation be remembered? */
bool mmu_fetch_kept(struct cpu *cpu, u64 lin);
/* After it: does that translation survive a CR3 write (until cpu->fetch_global_epoch changes)? */
bool mmu_fetch_global(struct cpu *cpu, u64 lin);

/* No page is kept any more. */
static inline void kept_begin_era(struct kept *k)
{
	k->era++;
	k->count = k->sorted = 0;
}

/* The caller may have written to code pages: have translations compared with memory before they are used again. */
static inline void mmu_recheck_code(struct cpu *cpu)
{
	cpu->fetch_epoch++;
	cpu->fetch_global_epoch++;
	kept_begin_era(&cpu->kept);
}

/* The same before the next block is entered, by comparing all pages at once if that can be done (jump_refresh()). */
static inline void mmu_recheck_used(struct cpu *cpu)
{
	cpu->checks.due++;
}

/*
 * Before a page of code at this host address is compared with what its blocks were made from, and when it was found the
 * same: true if it need not be compared again while cpu->kept.era stays as it is. written.c
 */
u64 written_look(const struct cpu *cpu, const u8 *hva);
bool written_keep(struct cpu *cpu, const u8 *hva, u64 look);

/* ---- stores to watched pages ---- */

/* Who hears of them: the owner of translated code (code/block.c). */
struct code_watcher {
	/* cpu has stored len bytes at gpa, within one watched page. Inner code. */
	void (*stored)(struct cpu *cpu, u64 gpa, unsigned len);
	/*
	 * The same by machine_write(), from any thread, while cpus run; also for each watched page of a slot that is
	 * deleted or moved, while they are paused. Outer code. Must not pause the machine.
	 */
	void (*changed)(struct machine *m, u64 gpa, unsigned len);
};

static inline void code_written(struct cpu *cpu, u64 gpa, unsigned len)
{
	cpu->machine->watcher->stored(cpu, gpa, len);
}

/* ---- slots and pages (lookup.c, watch.c) ---- */

/*
 * Host address of a guest-physical page (page-aligned gpa), or NULL if no slot backs it. *ret_flags: PG_*.
 * Lock-free for running cpus: slots change only while all cpus of the machine are paused. Outer code uses
 * machine_read() and machine_write() instead.
 */
u64 mem_reached(const struct cpu *cpu,
	u64 gpa); /* the address that is meant by what the guest names, in the cpu's view */
#define PG_READONLY BIT(0)
#define PG_LOGGING  BIT(1)
u8 *slot_page(struct machine *m, u64 gpa, u32 *ret_flags);
void slot_mark_dirty(struct machine *m, u64 gpa);

/*
 * Watched pages: those with translated code. The first watch of a page makes every cpu drop its write entries
 * for it before page_watch() returns; stores to it then reach code_written(). Call it without holding a lock that
 * another cpu's inner code may wait for, unless the waiter serves its own requests. A slot that is deleted or
 * moved takes its watches with it, after code_watcher.changed() for each.
 */
void page_watch(struct cpu *cpu, u64 gpa);
/*
 * A watch is on the host's memory: where that is seen at several guest-physical addresses, one watch is for all
 * of them, and so must be what is done about a store. page_alias() returns them one by one, gpa itself excepted.
 */
struct slot;
struct page_aliases {
	const struct slot *self, *next;
	const u8 *hva;
};
void page_aliases(struct machine *m, u64 gpa, struct page_aliases *ret);
bool page_alias(struct page_aliases *a, u64 *ret_gpa);
void page_unwatch(struct machine *m, u64 gpa);
bool page_watched(struct machine *m, u64 gpa);

#endif
