/* SPDX-License-Identifier: MIT */
/*
 * Guest memory: the slot table and who owns what. A slot's number is its index; regions never overlap. The memory
 * that kvm_create promises is provisional: old programs ignore it and register their own over it, so it is trimmed
 * around what they register instead of refusing them.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "libkvm/context.h"

#define LOW_END   0xa0000ull    /* where video memory begins */
#define HIGH      0xc0000ull    /* where memory goes on */
#define HOLE      0xe0000000ull /* devices up to 4 GiB */
#define ABOVE_4G  0x100000000ull
#define NO_BACKUP (MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE)

static int slot_index(kvm_context_t kvm, const struct slot *slot)
{
	return (int)(slot - kvm->slots);
}

static bool slot_logs(kvm_context_t kvm, const struct slot *slot)
{
	return slot->log_base || slot->log_count || kvm->log_all;
}

int slot_commit(kvm_context_t kvm, struct slot *slot)
{
	struct kvm_userspace_memory_region region = {
		.slot = (u32)slot_index(kvm, slot),
		.flags = (slot_logs(kvm, slot) ? KVM_MEM_LOG_DIRTY_PAGES : 0) |
			 (slot->read_only ? KVM_MEM_READONLY : 0),
		.guest_phys_addr = slot->gpa,
		.memory_size = slot->len,
		.userspace_addr = (u64)(uintptr_t)slot->hva,
	};

	return (int)vm_ioctl(kvm, KVM_SET_USER_MEMORY_REGION, &region);
}

struct slot *slot_containing(kvm_context_t kvm, u64 gpa, u64 len)
{
	for (int i = 0; i < kvm->nr_slots; i++) {
		struct slot *s = &kvm->slots[i];

		if (gpa >= s->gpa && len <= s->len && gpa - s->gpa <= s->len - len)
			return s;
	}
	return NULL;
}

static struct slot *slot_overlapping(kvm_context_t kvm, u64 gpa, u64 len, bool provisional)
{
	for (int i = 0; i < kvm->nr_slots; i++) {
		struct slot *s = &kvm->slots[i];

		if (s->len && s->provisional == provisional && gpa < s->gpa + s->len &&
			s->gpa < gpa + len)
			return s;
	}
	return NULL;
}

/* Pointers into the table do not survive this. */
static struct slot *slot_alloc(kvm_context_t kvm)
{
	struct slot *grown;

	for (int i = 0; i < kvm->nr_slots; i++)
		if (!kvm->slots[i].len)
			return &kvm->slots[i];
	if (kvm->nr_slots == kvm->max_slots)
		return NULL;
	grown = realloc(kvm->slots, (size_t)(kvm->nr_slots + 1) * sizeof(*grown));
	if (!grown)
		return NULL;
	kvm->slots = grown;
	memset(&grown[kvm->nr_slots], 0, sizeof(*grown));
	return &grown[kvm->nr_slots++];
}

static int slot_add(kvm_context_t kvm, const struct slot *new)
{
	struct slot *slot = slot_alloc(kvm);
	int r;

	if (!slot)
		return -ENOSPC;
	*slot = *new;
	r = slot_commit(kvm, slot);
	if (r < 0)
		slot->len = 0;
	return r;
}

static int slot_remove(kvm_context_t kvm, struct slot *slot)
{
	struct slot old = *slot;
	int r;

	slot->len = 0;
	r = slot_commit(kvm, slot);
	if (r < 0) {
		*slot = old;
		return r;
	}
	if (old.owned)
		munmap(old.hva, old.len);
	memset(slot, 0, sizeof(*slot));
	return 0;
}

static int provisional_keep(kvm_context_t kvm, const struct slot *old, u64 from, u64 to)
{
	struct slot piece = *old;

	if (from >= to)
		return 0;
	piece.gpa = from;
	piece.len = to - from;
	piece.hva = old->hva + (from - old->gpa);
	return slot_add(kvm, &piece);
}

/* Takes [gpa, gpa + len) out of what kvm_create made. */
static int provisional_trim(kvm_context_t kvm, u64 gpa, u64 len)
{
	struct slot *slot;

	while ((slot = slot_overlapping(kvm, gpa, len, true))) {
		struct slot old = *slot;
		int r = slot_remove(kvm, slot);

		if (r >= 0)
			r = provisional_keep(kvm, &old, old.gpa, gpa);
		if (r >= 0)
			r = provisional_keep(kvm, &old, gpa + len, old.gpa + old.len);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool range_valid(u64 gpa, u64 len)
{
	return len && !(gpa & ~PAGE_MASK) && !(len & ~PAGE_MASK) && gpa + len > gpa;
}

static int region_register(kvm_context_t kvm, const struct slot *new)
{
	int r;

	if (!range_valid(new->gpa, new->len) || ((uintptr_t) new->hva & ~PAGE_MASK))
		return -EINVAL;
	pthread_mutex_lock(&kvm->lock);
	r = slot_overlapping(kvm, new->gpa, new->len, false) ? -EEXIST : 0;
	if (r >= 0)
		r = provisional_trim(kvm, new->gpa, new->len);
	if (r >= 0)
		r = slot_add(kvm, new);
	pthread_mutex_unlock(&kvm->lock);
	return r;
}

static int initial_slot(kvm_context_t kvm, u64 gpa, u64 end)
{
	struct slot slot = {
		.gpa = gpa, .len = end - gpa, .hva = kvm->ram + gpa, .provisional = true};

	return gpa < end ? slot_add(kvm, &slot) : 0;
}

int mem_create_initial(kvm_context_t kvm, u64 bytes, void **phys_mem)
{
	u64 mem = ALIGN_UP(bytes, PAGE_SIZE);
	u64 span = mem > HOLE ? mem + (ABOVE_4G - HOLE) : mem;
	void *ram;
	int r;

	if (mem < bytes || span < mem)
		return -ENOMEM;
	ram = mmap(NULL, span, PROT_READ | PROT_WRITE, NO_BACKUP, -1, 0);
	if (ram == MAP_FAILED)
		return -errno;
	kvm->ram = ram;
	kvm->ram_size = span;
	pthread_mutex_lock(&kvm->lock);
	r = initial_slot(kvm, 0, MIN(mem, LOW_END));
	if (r >= 0)
		r = initial_slot(kvm, HIGH, MIN(mem, HOLE));
	if (r >= 0 && mem > HOLE)
		r = initial_slot(kvm, ABOVE_4G, span);
	pthread_mutex_unlock(&kvm->lock);
	if (r >= 0)
		*phys_mem = ram;
	return r;
}

/* The descriptors are closed already, so the hypervisor is not told. */
void mem_free(kvm_context_t kvm)
{
	for (int i = 0; i < kvm->nr_slots; i++)
		if (kvm->slots[i].len && kvm->slots[i].owned)
			munmap(kvm->slots[i].hva, kvm->slots[i].len);
	if (kvm->ram)
		munmap(kvm->ram, kvm->ram_size);
}

int kvm_register_phys_mem(kvm_context_t kvm, unsigned long phys_start, void *userspace_addr,
	unsigned long len, int log)
{
	struct slot slot = {
		.gpa = phys_start, .len = len, .hva = userspace_addr, .log_base = log != 0};

	return result(region_register(kvm, &slot));
}

void *kvm_create_phys_mem(
	kvm_context_t kvm, unsigned long phys_start, unsigned long len, int log, int writable)
{
	struct slot slot = {.gpa = phys_start,
		.len = len,
		.log_base = log != 0,
		.read_only = !writable,
		.owned = true};
	void *mem;
	int r;

	if (!range_valid(phys_start, len)) {
		errno = EINVAL;
		return NULL;
	}
	mem = mmap(NULL, len, PROT_READ | PROT_WRITE, NO_BACKUP, -1, 0);
	if (mem == MAP_FAILED)
		return NULL;
	slot.hva = mem;
	r = region_register(kvm, &slot);
	if (r < 0) {
		munmap(mem, len);
		result(r);
		return NULL;
	}
	return mem;
}

static void region_remove(kvm_context_t kvm, u64 gpa, u64 len)
{
	struct slot *slot;
	int r = -ENOENT;

	pthread_mutex_lock(&kvm->lock);
	slot = slot_containing(kvm, gpa, len);
	if (slot)
		r = slot_remove(kvm, slot);
	pthread_mutex_unlock(&kvm->lock);
	result(r);
}

void kvm_destroy_phys_mem(kvm_context_t kvm, unsigned long phys_start, unsigned long len)
{
	region_remove(kvm, phys_start, 1);
}

void kvm_unregister_memory_area(kvm_context_t kvm, uint64_t phys_start, unsigned long len)
{
	region_remove(kvm, phys_start, MAX(len, 1ul));
}

int kvm_is_containing_region(kvm_context_t kvm, unsigned long phys_start, unsigned long size)
{
	int found;

	pthread_mutex_lock(&kvm->lock);
	found = slot_containing(kvm, phys_start, MAX(size, 1ul)) != NULL;
	pthread_mutex_unlock(&kvm->lock);
	return found;
}
