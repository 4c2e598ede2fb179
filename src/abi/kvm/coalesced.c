/* SPDX-License-Identifier: MIT */
/*
 * Coalesced MMIO and port writes: writes to a registered zone wait in a ring on page 2 of the vcpu's
 * file instead of exiting; user space drains it at the next exit.
 *
 * KVM maps one ring at page 2 of every vcpu. Two memfds cannot share a page, so the ring is the
 * first vcpu's, and writes of the others exit as if there were no zone. That is always allowed:
 * so does a full ring.
 */
#include <errno.h>
#include <string.h>

#include "abi/kvm/run.h"

static const u32 ring_size =
	(PAGE_SIZE - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio);

static bool in_zone(const struct coalesced_zone *z, bool pio, u64 addr, u32 len)
{
	return z->pio == pio && addr >= z->addr && addr + len >= addr &&
	       addr + len <= z->addr + z->size;
}

static bool in_any_zone(struct kvm_vm *vm, bool pio, u64 addr, u32 len)
{
	unsigned i;

	for (i = 0; i < vm->zone_count; i++)
		if (in_zone(&vm->zones[i], pio, addr, len))
			return true;
	return false;
}

/* first and last are the caller's to write: never trust them as an index. */
static bool ring_put(struct kvm_vcpu *v, bool pio, u64 addr, u32 len, const void *data)
{
	struct kvm_coalesced_mmio_ring *ring = (void *)((u8 *)v->run + RING_OFFSET);
	u32 last = __atomic_load_n(&ring->last, __ATOMIC_RELAXED);
	u32 first = __atomic_load_n(&ring->first, __ATOMIC_ACQUIRE);
	struct kvm_coalesced_mmio *entry;

	if (last >= ring_size || (last + 1) % ring_size == first)
		return false;
	entry = &ring->coalesced_mmio[last];
	entry->phys_addr = addr;
	entry->len = len;
	entry->pio = pio;
	memcpy(entry->data, data, len);
	__atomic_store_n(&ring->last, (last + 1) % ring_size, __ATOMIC_RELEASE);
	return true;
}

bool coalesced_write(struct kvm_vcpu *v, bool pio, u64 addr, u32 len, const void *data)
{
	struct kvm_vm *vm = v->vm;
	bool done = false;

	if (likely(!atomic_load_explicit(&vm->zone_count, memory_order_relaxed)) || len > 8)
		return false;
	pthread_mutex_lock(&vm->lock);
	if (vm->ring_vcpu == v && in_any_zone(vm, pio, addr, len))
		done = ring_put(v, pio, addr, len, data);
	pthread_mutex_unlock(&vm->lock);
	return done;
}

long vm_add_coalesced(struct call *c)
{
	const struct kvm_coalesced_mmio_zone *z = c->data;
	struct kvm_vm *vm = vm_of(c);
	long ret = -ENOSPC;

	if (z->pio > 1)
		return refuse(
			c->why, -EINVAL, "pio %lu: must be 0 (MMIO) or 1 (port I/O)", (u64)z->pio);
	pthread_mutex_lock(&vm->lock);
	if (vm->zone_count < COALESCED_ZONES_MAX) {
		vm->zones[vm->zone_count] = (struct coalesced_zone){z->addr, z->size, z->pio};
		atomic_fetch_add(&vm->zone_count, 1);
		ret = 0;
	}
	pthread_mutex_unlock(&vm->lock);
	return refuse_if(c->why, ret, -ENOSPC, "there are already %lu zones, which is the limit",
		(u64)COALESCED_ZONES_MAX);
}

/* Removes every zone that covers the given one; none is no error. */
long vm_del_coalesced(struct call *c)
{
	const struct kvm_coalesced_mmio_zone *z = c->data;
	struct kvm_vm *vm = vm_of(c);
	unsigned i = 0;

	if (z->pio > 1)
		return refuse(
			c->why, -EINVAL, "pio %lu: must be 0 (MMIO) or 1 (port I/O)", (u64)z->pio);
	pthread_mutex_lock(&vm->lock);
	while (i < vm->zone_count)
		if (in_zone(&vm->zones[i], z->pio, z->addr, z->size))
			vm->zones[i] = vm->zones[atomic_fetch_sub(&vm->zone_count, 1) - 1];
		else
			i++;
	pthread_mutex_unlock(&vm->lock);
	return 0;
}
