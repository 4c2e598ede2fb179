/* SPDX-License-Identifier: MIT */
/*
 * The code cache: executable memory for generated code, and how generated code comes back.
 *
 * One per machine, shared by its cpus. A memfd mapped twice: written through one view, executed
 * through the other, so no page is ever writable and executable at once.
 *
 * It is filled chunk by chunk: code grows from the start of a chunk, ways out of it from the end. When a chunk is full the
 * next one is taken, while all cpus are outside; and when there may be no more of them, that is the oldest one (room.c). Its
 * blocks are evicted then, and epoch grows, so that nobody holds on to them.
 */
#ifndef ENGINE_CODE_CACHE_H
#define ENGINE_CODE_CACHE_H

#include <stdatomic.h>

#include "base/spin.h"
#include "engine/core/cpu.h"
#include "engine/code/emit.h"

#define CACHE_CHUNK     (4u << 20)
#define CACHE_START     (2u << 20) /* of the first chunk; before it lies what belongs to no block */
#define CACHE_BYTES_MAX (1u << 30)
#define CACHE_BYTES_MIN (16u << 20)
#define CACHE_IDLE_NS   10000000000ull

/* Why generated code came back. */
enum record_kind {
	REC_DONE,     /* a native stub has finished */
	REC_FAULT,    /* the host raised a signal: cpu->host_fault */
	REC_LINK,     /* direct branch to a block of the same page, not linked yet */
	REC_INDIRECT, /* target is in cpu->rip; block 0 if it is not told from where */
	REC_STEP,     /* instruction to be done by step(), a software TLB miss included */
	REC_GROUP,    /* the check of a group of accesses failed */
	REC_PAGELINK, /* direct branch to another page: not linked yet, or the code there is not known to be what it was */
	REC_POLL,     /* exit_request was seen; cpu->rip from the record */
	REC_DEAD,     /* the block's code has changed */
};

struct exit_record {
	u8 kind;
	u8 base; /* REC_GROUP: register that the group is relative to, and RECORD_WRITES. REC_STEP: RECORD_* */
	u16 guest; /* offset of the instruction from the block's start */
	u32 block; /* index of the block it belongs to */
	/* REC_STEP: cache offset of the code after the instruction, 0: none. REC_LINK: of the displacement to patch. REC_GROUP: of the check. REC_PAGELINK: of the displacement with the token. */
	u32 next;
	/* REC_LINK: offset of the target from the block's start. REC_STEP: of the following instruction. REC_GROUP: first offset from base << 16 | bytes. */
	s32 target;
};

#define RECORD_WRITES  BIT(7)
/* REC_STEP: */
#define RECORD_NO_FORM BIT(0) /* nothing was generated for the instruction */
#define RECORD_SHADOWED                                                                            \
	BIT(1) /* the one before it holds interrupts off: nobody may leave in front of it */

struct code_cache {
	u32 keys[JUMP_TABLES]; /* block_key | KEY_USED that owns each jump table number */
	u8 *write_view;        /* where C code writes */
	u8 *exec_view;         /* where generated code runs */
	u32 bytes;             /* of each view */
	u32 chunk_bytes;       /* CACHE_CHUNK but in tests */
	u32 chunks_max; /* in tests: there may be no more; 0: as many as guest memory is worth */
	_Atomic u32 chunks; /* in use; vcpu/idle.c looks at any time */
	_Atomic u32 used;   /* hot code grows from the start */
	_Atomic u32
		cold; /* exits grow from the end, so that they do not dilute the instruction cache */
	u32 trimmed;  /* code_cache_trim()'s */
	u64 idle_ns; /* a guest that sleeps for so long gives all of it back: CACHE_IDLE_NS but in tests */
	_Atomic u64 idle_looked; /* vcpu/idle.c: when it was last looked whether it does */
	bool all_movable;        /* in tests: flat code need not be met twice */
	_Atomic u32 locked;
	_Atomic u32 epoch;             /* grows when blocks are evicted */
	_Atomic u32 rounds;            /* grows when there is room again */
	const u8 *leave;               /* jmp code_leave */
	const u8 *indirect;            /* leave for the address in r9 */
	const u8 *lookup[JUMP_TABLES]; /* go to the address in r9 by that table, or leave */
	const struct exit_record *done, *fault; /* executable view */
	struct blocks *blocks;                  /* block.c */
};

int code_cache_create(struct machine *m);
void code_cache_destroy(struct machine *m);
/* Let go of the write view's page table entries, so that code does not count as resident twice. Any thread, now and then. */
void code_cache_trim(struct code_cache *c);

/* room.c, outer code. The chunk is full: take the next one, unless another vcpu has done so since rounds was read. */
void machine_make_room(struct machine *m, u32 rounds);
/* Drop everything, and give its memory back. */
void machine_drop_code(struct machine *m);
/* Drop everything. All cpus must be paused. */
void cache_reset(struct code_cache *c);

/* Spin lock for emitters. Serves requests of other cpus while it waits, so holders may wait for those. */
void cache_lock(struct cpu *cpu);
void cache_unlock(struct cpu *cpu);
/* The same for threads that are no vcpu's, or have paused all of them. */
static inline void cache_lock_outside(struct code_cache *c)
{
	unsigned turns = 0;

	while (atomic_exchange_explicit(&c->locked, 1, memory_order_acquire))
		spin_turn(&turns);
}
static inline void cache_unlock_outside(struct code_cache *c)
{
	atomic_store_explicit(&c->locked, 0, memory_order_release);
}

/* With the lock held: an emitter at the next free byte if at least n are left between hot and cold code, else e->p is NULL: the chunk is full. */
struct emit cache_emitter(struct code_cache *c, u32 n);
void cache_commit(struct code_cache *c, const struct emit *e);
/* With the lock held: n bytes of the cold end, which must be there (see cache_emitter). Nothing to commit. */
struct emit cache_cold_emitter(struct code_cache *c, u32 n);
/* There is no room: leave inner code. The instruction will be restarted when there is. */
int cpu_leave_for_room(struct cpu *cpu);

static inline u32 cache_chunk_at(const struct code_cache *c, u32 offset)
{
	return (offset - CACHE_START) / c->chunk_bytes; /* before the first: not a chunk's number */
}

static inline u32 cache_offset(const struct code_cache *c, const u8 *write_ptr)
{
	return (u32)(write_ptr - c->write_view);
}
static inline bool cache_contains(const struct code_cache *c, u64 pc)
{
	return pc - (u64)c->exec_view < c->bytes;
}

/*
 * Go to the tagged address in r9 by the jump table, no flag changes; returns the displacement of the jump that is taken when it is
 * not there, with rcx in FRAME_RCX. r10 is lost.
 */
u8 *emit_jump_lookup(struct emit *e, unsigned table);
/* lea r10, [record]; jmp leave; the record itself follows, 8-aligned. */
struct exit_record *emit_exit(struct emit *e, const struct code_cache *c, enum record_kind kind);
#define EMIT_EXIT_MAX 64

#endif
