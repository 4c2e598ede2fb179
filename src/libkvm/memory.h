/* SPDX-License-Identifier: MIT */
/*
 * Guest memory, in three tables.
 *
 * The program says what there is: regions, and aliases that show what is elsewhere. What the hypervisor is told
 * follows from these two: slots (view.c). An alias covers a region, so a region may need several slots, and so may an
 * alias. Whoever changes regions or aliases calls view_update(); if that fails he takes his change back and calls it
 * again.
 *
 * All of this is guarded by the context's `lock`.
 */
#ifndef LIBKVM_MEMORY_H
#define LIBKVM_MEMORY_H

#include "libkvm.h"
#include "libkvm/ranges.h"

struct region {
	struct gpa_range range;
	u8 *hva;
	bool read_only;
	bool owned;       /* made by kvm_create_phys_mem: unmapped with the region */
	bool provisional; /* made by kvm_create: gives way to what is registered over it */
	bool log_base;    /* created with logging */
	unsigned log_count;
};

struct alias {
	struct gpa_range range;
	u64 target;
};

struct view_slot {
	struct gpa_range range;
	u8 *hva;
	u64 home; /* where the memory's region has it; the slot's own gpa unless it belongs to an alias */
	bool read_only, log;
	u32 id;
};

/* Pages known to be written whose slot is gone: bit n is page n of the range, which is aligned to its own size. */
#define DIRTY_CHUNK (64 * PAGE_SIZE)
struct dirty_chunk {
	struct gpa_range range;
	u64 pages;
};

struct guest_memory {
	struct ranges regions, aliases, slots, dirty;
	bool log_all;
	u32 *free_ids; /* of slots, below next_id */
	u32 n_free, next_id, max_slots;
	u8 *ram; /* the reservation of kvm_create */
	size_t ram_size;
	int file; /* where memory is that was made here, if a tool looks into the guest; -1: none */
	u64 file_size;
	pid_t file_owner; /* a forked child has the same file, and must leave it as it is */
};

void memory_init(struct guest_memory *m, u32 max_slots);
/* After the descriptors were closed: the hypervisor is not told. */
void memory_free(struct guest_memory *m);
/* ram.c: memory of a region. MAP_FAILED, with errno. */
void *ram_map(kvm_context_t kvm, u64 len);
void ram_unmap(const struct guest_memory *m, void *at, u64 len);
/* After everything was unmapped. */
void ram_close(struct guest_memory *m);
/* The memory that kvm_create promises. */
int memory_create_initial(kvm_context_t kvm, u64 bytes, void **phys_mem);
/* Where the guest's memory of the whole range is, or NULL. */
void *memory_host(kvm_context_t kvm, u64 gpa, u64 len);

/* One slot can begin and end there: whole pages, and the end does not wrap around. */
static inline bool range_valid(u64 gpa, u64 len)
{
	return len && !(gpa & ~PAGE_MASK) && !(len & ~PAGE_MASK) && gpa + len > gpa;
}

static inline bool region_logs(const struct guest_memory *m, const struct region *r)
{
	return r->log_base || r->log_count || m->log_all;
}

/* Tells the hypervisor what changed in the range and in the aliases that show it. */
int view_update(kvm_context_t kvm, const struct gpa_range *range);
/* Calls fn for each slot that shows memory of the region, perhaps twice, until it fails. */
int view_each(kvm_context_t kvm, const struct region *region,
	int (*fn)(kvm_context_t kvm, const struct view_slot *slot, void *arg), void *arg);

/* Moves what the hypervisor knows of written pages of a slot into m->dirty. */
int dirty_save(kvm_context_t kvm, const struct view_slot *slot);
/* The same for all memory of the range: before a change that the hypervisor may refuse. */
int dirty_save_range(kvm_context_t kvm, const struct gpa_range *range);
void dirty_forget(struct guest_memory *m, const struct gpa_range *range);

#endif
