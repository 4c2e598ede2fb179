/* SPDX-License-Identifier: MIT */
/*
 * Inside engine/mem: slots, the state word of each guest page, and how cpus find both.
 *
 * A slot's fields change only while every cpu is paused and memory.lock is held for writing, so
 * inner code reads them without a lock and outer code with the lock held for reading. The pause
 * is always taken before the lock. State words and dirty bits change at any time, atomically.
 */
#ifndef ENGINE_MEM_PRIV_H
#define ENGINE_MEM_PRIV_H

#include <pthread.h>

#include "engine/core/machine.h"
#include "engine/mem/pool.h"
#include "engine/mem/views.h"
#include "engine/request/pause.h"
#include "engine/tap/ask.h"
#include "base/check.h"
#include "engine/core/vcpu.h"
#include "engine/core/vcpus.h"

struct slot {
	u32 id, flags; /* SLOT_* */
	u64 gpa, size; /* gpa with its address space, see GPA_SMM */
	u8 *hva;
	u64 *state;        /* one word a page of the backing: PAGE_* and the writers */
	u64 *dirty;        /* one bit a page; NULL unless SLOT_LOG_DIRTY or memory.tracks */
	u64 *accessed;     /* the same; NULL unless memory.tracks */
	u64 watched_parts; /* bit n: a page in the n-th 64th of the slot has been watched */
	struct backing *backing;
	struct slot *next_user, **user_link; /* of the same backing, and what points here */
	/* SLOT_PRIVATE: the same addresses as the guest sees them where they are private; never in ranges */
	struct slot *private;
};

/*
 * A stretch of the caller's memory that slots refer to. Slots that share host memory (system management mode, a RAM
 * that is mapped twice) share the state words, so what is watched in one is watched in all.
 */
struct backing {
	u8 *hva;
	u64 size;
	u64 *state;
	struct slot *users;
};

/* Sorted by gpa, not overlapping. Address and size are repeated here so that a search stays in this array. */
struct range {
	u64 gpa, size; /* the slot's */
	struct slot *slot;
};

/* Beyond it no program has memory. */
#define HOST_END BIT64(47)

/* A page of host memory that others may write to at any time. */
struct shared_page {
	u64 hva;
	u64 count;
};

struct memory {
	pthread_rwlock_t lock;
	u32 count; /* ranges: the sequence range_seq, as look-ups want it */
	struct range *ranges;
	struct slot **by_id; /* MACHINE_SPACES * MACHINE_MAX_SLOTS pointers */
	struct seq range_seq;
	struct seq backings; /* pointers, sorted by hva, not overlapping */
	struct pool pool;
	/* what is private: sorted, not overlapping, not touching */
	u32 private_count, private_room;
	struct private_range *private;
	/* overlay.c, both as look-ups want them, by address */
	u32 overlay_count, shared_count;
	struct range *overlays; /* of one page each; never in ranges */
	struct shared_page *shared;
	struct seq overlay_seq, shared_seq;
	struct mem_view first;             /* view 0 */
	struct mem_view *views[VIEWS_MAX]; /* by number; NULL: there is none */
	struct written *written;           /* NULL: nobody knows who writes */
	u32 log_flags;                     /* DIRTY_LOG_* */
	bool tracks;                       /* machine_track_access() */
	bool ring;                         /* vcpus have dirty rings */
};

struct private_range {
	u64 gpa, end;
};

struct dirty_ring {
	struct dirty_gfn *entry; /* shared with the user; NULL: there is no ring */
	u32 size;                /* a power of two */
	u32 next, reset;         /* counted without end: what will be written, what will be reset */
	u32 locked;              /* a spin lock: pushes also come from threads of the engine */
};

/*
 * The state word. Two bits a cpu say that it may hold a write entry for the page, made from a local or
 * from a global translation; so a CR3 write can take back the first without knowing about the second.
 * Bits may be stale, never missing. All cpus from id 30 on share a pair that nobody takes back.
 *
 * PAGE_MAPPED stays once the page has been written to or executed. See note_fetch().
 */
#define PAGE_WATCHED  BIT64(63)
#define PAGE_MAPPED   BIT64(31)
#define WRITER_SHARED 30

static inline unsigned writer_index(u32 cpu_id)
{
	return MIN(cpu_id, (u32)WRITER_SHARED);
}

static inline u64 writer_bit(const struct cpu *cpu, bool global)
{
	return BIT64(writer_index(cpu->id) + (global ? 32 : 0));
}

static inline u64 writer_bits(u32 cpu_id)
{
	return 0x100000001ull << writer_index(cpu_id);
}

static inline u64 slot_index(const struct slot *s, u64 gpa)
{
	return (gpa - s->gpa) >> PAGE_SHIFT;
}

static inline u64 *slot_state(const struct slot *s, u64 gpa)
{
	return &s->state[slot_index(s, gpa)];
}

static inline u64 slot_part_pages(const struct slot *s)
{
	return ((s->size >> PAGE_SHIFT) + 63) / 64;
}

static inline u64 slot_bits_bytes(const struct slot *s)
{
	return ALIGN_UP(s->size >> PAGE_SHIFT, 64) / 8;
}

/* The cpu has no write entries for the page any more that these of its bits stand for. */
static inline void slot_retract_writer(const struct slot *s, u64 gpa, u32 cpu_id, u64 bits)
{
	if (writer_index(cpu_id) != WRITER_SHARED)
		__atomic_fetch_and(slot_state(s, gpa), ~bits, __ATOMIC_SEQ_CST);
}

static inline bool slot_watched(const struct slot *s, u64 gpa)
{
	return __atomic_load_n(slot_state(s, gpa), __ATOMIC_SEQ_CST) & PAGE_WATCHED;
}

/* Where the pointer to a slot is kept; NULL if there can be no such id. */
static inline struct slot **slot_entry(const struct memory *mem, u32 id)
{
	u32 space = id >> 16, n = id & 0xffff;

	if (space >= MACHINE_SPACES || n >= MACHINE_MAX_SLOTS)
		return NULL;
	return &mem->by_id[space * MACHINE_MAX_SLOTS + n];
}

static inline struct slot *slot_by_id(const struct memory *mem, u32 id)
{
	struct slot **entry = slot_entry(mem, id);

	return entry ? *entry : NULL;
}

/* lookup.c: index of the range that holds gpa, or of the next one above; may be mem->count. */
u32 ranges_search(const struct memory *mem, u64 gpa);

/* private.c */
/* The first private range that ends above gpa. */
u32 private_above(const struct memory *mem, u64 gpa);
bool page_private(const struct memory *mem, u64 gpa);

/* lookup.c: the index of the page's overlay, or of the next one above; the same of memory that is shared. */
u32 overlay_search(const struct memory *mem, u64 gpa);
u32 shared_search(const struct memory *mem, u64 hva);
/* May others write to it, so that nothing is to be translated from it? */
bool page_shared(const struct memory *mem, const u8 *hva);

/* Are there pages that are not where their slot is? */
static inline bool memory_mixed(const struct memory *mem)
{
	return unlikely(mem->private_count | mem->overlay_count);
}
/* The slot as its page at gpa is to be seen; s may be NULL. NULL: private, and there is no such memory. */
struct slot *slot_side(const struct memory *mem, struct slot *s, u64 gpa);

/* The slot that holds gpa, or NULL. hint: where the caller's last look-up ended; any value is safe. */
static inline struct slot *slot_find_any(const struct memory *mem, u64 gpa, u32 *hint)
{
	u32 i = *hint;

	if (unlikely(i >= mem->count || gpa - mem->ranges[i].gpa >= mem->ranges[i].size)) {
		i = ranges_search(mem, gpa);
		if (i >= mem->count || gpa < mem->ranges[i].gpa)
			return NULL;
		*hint = i;
	}
	return mem->ranges[i].slot;
}

/* The same for the memory that the guest reaches at gpa: private pages have another, and so have overlays. */
static inline struct slot *slot_find(const struct memory *mem, u64 gpa, u32 *hint)
{
	struct slot *s = slot_find_any(mem, gpa, hint);

	return memory_mixed(mem) ? slot_side(mem, s, gpa) : s;
}

/* The same where a cpu looks. Pages have hints of their own, so it does not matter how many slots there are. */
static inline struct slot *slot_find_by(struct cpu *cpu, u64 gpa)
{
	return slot_find(cpu->machine->mem, gpa,
		&cpu->slot_hint[(gpa >> PAGE_SHIFT) % ARRAY_SIZE(cpu->slot_hint)]);
}

/* Of an access that is not to RAM: is there a slot that does not allow it? */
static inline bool slot_denies(struct cpu *cpu, u64 gpa)
{
	return slot_find_by(cpu, cpu_gpa(cpu, gpa & GPA_BITS));
}

/* ring.c: inner code. cpu: the one that wrote, or NULL. */
void ring_push(struct machine *m, struct cpu *cpu, const struct slot *s, u64 gpa);
u32 ring_reset(const struct memory *mem, struct dirty_ring *r); /* cpus are paused */

/* The page is looked up for the guest, or written by the engine. */
static inline void slot_note_access(const struct slot *s, u64 gpa)
{
	if (likely(!s->accessed))
		return;
	u64 page = slot_index(s, gpa);
	u64 *word = &s->accessed[page / 64], bit = BIT64(page % 64);
	if (!(__atomic_load_n(word, __ATOMIC_SEQ_CST) & bit))
		__atomic_fetch_or(word, bit, __ATOMIC_SEQ_CST);
}

/* Set the page's bit if the slot is logged, and tell the ring if there is one. */
static inline void slot_log_dirty(struct machine *m, struct cpu *cpu, const struct slot *s, u64 gpa)
{
	if (!s->dirty)
		return;
	slot_note_access(s, gpa);
	u64 page = slot_index(s, gpa);
	u64 *word = &s->dirty[page / 64], bit = BIT64(page % 64);
	if (__atomic_load_n(word, __ATOMIC_SEQ_CST) & bit)
		return;
	if (!(__atomic_fetch_or(word, bit, __ATOMIC_SEQ_CST) & bit) && m->mem->ring)
		ring_push(m, cpu, s, gpa);
}

/* ---- backing.c; all cpus are paused and the lock is held ---- */

/*
 * Gives s->state for s->hva and s->size. Slots that get another state word thereby lose their watches, and all cpus
 * their entries, whatever becomes of s. -ENOMEM: nothing has changed.
 */
int backing_attach(struct machine *m, struct slot *s);
void backing_detach(struct memory *mem, struct slot *s);

/* Does another slot, or the same one elsewhere, refer to the page's memory? */
static inline bool slot_aliased(const struct slot *s)
{
	return unlikely(s->backing->users->next_user);
}

/* slot.c: kill what was translated from [gpa, gpa + size) of the slot, and the watches with it. */
void slot_end_watches(struct machine *m, struct slot *s, u64 gpa, u64 size);

/* accessed.c; all cpus are paused and the lock is held. -ENOMEM: nothing has changed. */
int slot_track(struct memory *mem, struct slot *s);
void slot_untrack(struct memory *mem, struct slot *s);

/* private.c; all cpus are paused and the lock is held. A page of private memory has one place: is it there already? */
bool private_taken(const struct memory *mem, u64 private_hva, u64 size);
/* -ENOMEM. */
int slot_add_private(struct machine *m, struct slot *s, u64 hva);
void slot_drop_private(struct memory *mem, struct slot *s);

/* overlay.c; all cpus are paused and the lock is held: the slot leaves its place. */
void slot_drop_overlays(struct machine *m, const struct slot *s);
void overlays_destroy(struct memory *mem);

/* written.c; where it cannot be had there is none, and that is no error */
void written_create(struct machine *m);
void written_destroy(struct machine *m);
/* Outside, on the vcpu's thread: has nobody written to the pages that are kept? False also if it does not pay to ask. */
bool written_nothing(struct vcpu *v);

/* slot.c: set REQ_* bits in all cpus, which are paused and will serve them on entry. */
void memory_request_all(struct machine *m, u32 req);
/* The same when there is, or may be, other memory at some address. */
void memory_changed(struct machine *m, u32 req);

/* Can [gpa, gpa + len), as guest or VMM name it, be in the ordinary address space? It must not reach into the other. */
static inline bool gpa_outside(u64 gpa, u64 len)
{
	return gpa < GPA_SMM && len <= GPA_SMM - gpa;
}

/*
 * Guest memory without a lock is for a processor that is inside (vcpu_go_in()): slots cannot change then, and its TLB
 * knows of all changes. No guest can make this fail, whatever it does; a new path that forgot to go in does at once.
 */
static inline void check_inside(const struct cpu *cpu)
{
	uv_assert(likely(cpu->inside));
}

/* What the page's rights deny, bits of enum tap_access: 0 unless somebody wants to be asked. gpa: as the guest names it. */
static inline u8 page_denied(const struct cpu *cpu, u64 gpa)
{
	if (likely(!cpu->denies) || !tap_wants(cpu, TAP_PAGE))
		return 0;
	return rights_denied(cpu->denies, gpa & GPA_BITS);
}

/* The address that is reached by the one that the guest names. */
static inline u64 view_reached(const struct remaps *r, u64 gpa)
{
	return likely(!r) ? gpa : remap_find(r, gpa);
}

/* Of the view that the vcpu is to be in. memory.lock is held. */
static inline const struct remaps *remaps_wanted(const struct cpu *cpu)
{
	return &cpu->machine->mem->views[atomic_load(&cpu->vcpu->tap.view)]->remaps;
}

/* tlb.c: outcome of translating one access that stays in its page. */
struct access_target {
	u64 gpa;      /* of the byte, as it is reached */
	u64 named;    /* and as the guest names it; where once is set */
	u8 *hva;      /* of the byte; NULL: not RAM for this kind of access */
	bool watched; /* RAM, but a store must be told to the translator */
	bool once;    /* this access alone: the next one in the page is asked for again */
};
/* Walk, look up, fill the TLB if allowed. CPU_OK, CPU_FAULT or CPU_EXIT. */
int tlb_translate(struct cpu *cpu, u64 lin, unsigned acc, struct access_target *ret);

/* Remember that a translation of a large page is cached, for INVLPG. */
void tlb_note_large(struct cpu *cpu, u64 lin, u64 page_size);

/* fetch.c */
void fetch_flush(struct cpu *cpu, bool keep_global);
void fetch_flush_page(struct cpu *cpu, u64 lin, bool large);

static inline unsigned access_view(const struct cpu *cpu, unsigned acc)
{
	return acc & ACC_SYSTEM ? TLB_KERNEL : cpu->view;
}

/*
 * The linear address that the processor would use, and whether there is one: bits above 31 do not exist
 * outside long mode; in long mode it must be canonical (SDM 1:3.3.7.1).
 */
static inline u64 linear_wrap(const struct cpu *cpu, u64 lin)
{
	return cpu_long_mode(cpu) ? lin : (u32)lin;
}

static inline bool linear_canonical(const struct cpu *cpu, u64 lin)
{
	return !cpu_long_mode(cpu) || cpu_canonical(cpu, lin);
}

/* The engine gives up on the instruction; the caller of vcpu_run() sees why. */
static inline int mem_internal_error(struct cpu *cpu)
{
	cpu->exit = (struct exit){.reason = EXIT_INTERNAL_ERROR};
	return CPU_EXIT;
}

static inline int mem_host_fault(struct cpu *cpu, u64 gpa, u64 size)
{
	return cpu_memory_fault(cpu, gpa, size, false);
}

/* No slot at gpa: is it a device's register, or memory that should be private? */
static inline bool mem_private_missing(const struct cpu *cpu, u64 gpa)
{
	const struct memory *mem = cpu->machine->mem;

	return unlikely(mem->private_count) && page_private(mem, gpa);
}

static inline int mem_private_fault(struct cpu *cpu, u64 gpa)
{
	return cpu_memory_fault(cpu, gpa & PAGE_MASK, PAGE_SIZE, true);
}

/*
 * Between these all vcpus are outside, and nobody else looks at the memory: what they look at without a lock may be changed.
 * vcpus_paused() has them.
 */
static inline void memory_begin_change(struct machine *m)
{
	machine_pause(m);
	pthread_rwlock_wrlock(&m->mem->lock);
}

static inline void memory_end_change(struct machine *m)
{
	pthread_rwlock_unlock(&m->mem->lock);
	machine_resume(m);
}

/* See core/vcpus.h: the caller has memory.lock, or runs a vcpu that is inside. */
static inline struct vcpus vcpus_of_memory(struct machine *m)
{
	return (struct vcpus){m};
}

#endif
