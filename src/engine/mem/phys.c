/* SPDX-License-Identifier: MIT */
/*
 * Guest-physical access and translation for outer code, under memory.lock. A read-only slot can
 * be read but not written here: these calls act on the guest's behalf (pvclock, loaders); the owner
 * of a ROM writes it through its own pointer.
 */
#include <errno.h>

#include "engine/host/hostmem.h"
#include "engine/host/raw.h"
#include "engine/mem/mem_priv.h"
#include "engine/mem/memory.h"
#include "engine/mem/mem.h"

struct ram_span {
	struct slot *slot;
	u8 *hva;
	u64 len;
};

/* The part of [gpa, gpa + len) that lies in one slot. */
static bool span_at(const struct memory *mem, u64 gpa, u64 len, struct ram_span *ret)
{
	u32 hint = 0;

	ret->slot = slot_find(mem, gpa, &hint);
	if (!ret->slot)
		return false;
	ret->hva = ret->slot->hva + (gpa - ret->slot->gpa);
	ret->len = MIN(len, ret->slot->gpa + ret->slot->size - gpa);
	if (memory_mixed(mem)) /* the next page may be elsewhere */
		ret->len = MIN(ret->len, PAGE_SIZE - (gpa & (PAGE_SIZE - 1)));
	return true;
}

static bool backed(const struct memory *mem, u64 gpa, u64 len, bool write)
{
	struct ram_span s;

	if (!gpa_outside(gpa, len))
		return false;
	for (; len; gpa += s.len, len -= s.len) {
		if (!span_at(mem, gpa, len, &s) || (write && (s.slot->flags & SLOT_READONLY)))
			return false;
	}
	return true;
}

static int copy_out(const struct memory *mem, u64 gpa, u8 *buf, u64 len)
{
	struct ram_span s;

	for (; len; gpa += s.len, buf += s.len, len -= s.len) {
		if (!span_at(mem, gpa, len, &s) || guest_copy(buf, s.hva, s.len))
			return -EFAULT;
	}
	return 0;
}

static void log_span(struct machine *m, const struct slot *s, u64 gpa, u64 len)
{
	for (u64 a = ALIGN_DOWN(gpa, PAGE_SIZE); a < gpa + len; a += PAGE_SIZE)
		slot_log_dirty(m, NULL, s, a);
}

static int copy_in(struct machine *m, u64 gpa, const u8 *buf, u64 len)
{
	struct ram_span s;

	for (; len; gpa += s.len, buf += s.len, len -= s.len) {
		if (!span_at(m->mem, gpa, len, &s) || guest_copy(s.hva, buf, s.len))
			return -EFAULT;
		if (s.slot->dirty)
			log_span(m, s.slot, gpa, s.len);
	}
	return 0;
}

/* Under the lock, for the slots; page by page, so that no one waits long for it. */
static void tell_translator(struct machine *m, u64 gpa, u64 len)
{
	while (len) {
		u64 n = MIN(len, PAGE_SIZE - (gpa & (PAGE_SIZE - 1)));

		pthread_rwlock_rdlock(&m->mem->lock);
		if (page_watched(m, gpa))
			m->watcher->changed(m, gpa, n);
		pthread_rwlock_unlock(&m->mem->lock);
		gpa += n;
		len -= n;
	}
}

void memory_wait_readers(struct machine *m)
{
	pthread_rwlock_wrlock(&m->mem->lock);
	pthread_rwlock_unlock(&m->mem->lock);
}

bool machine_has_ram(struct machine *m, u64 gpa, u64 len)
{
	bool has;

	pthread_rwlock_rdlock(&m->mem->lock);
	has = backed(m->mem, gpa, len, true);
	pthread_rwlock_unlock(&m->mem->lock);
	return has;
}

int machine_read(struct machine *m, u64 gpa, void *buf, size_t len)
{
	int r = -EFAULT;

	pthread_rwlock_rdlock(&m->mem->lock);
	if (backed(m->mem, gpa, len, false))
		r = copy_out(m->mem, gpa, buf, len);
	pthread_rwlock_unlock(&m->mem->lock);
	return r;
}

int machine_write(struct machine *m, u64 gpa, const void *buf, size_t len)
{
	int r = -EFAULT;

	pthread_rwlock_rdlock(&m->mem->lock);
	if (backed(m->mem, gpa, len, true))
		r = copy_in(m, gpa, buf, len);
	pthread_rwlock_unlock(&m->mem->lock);
	if (!r)
		tell_translator(m, gpa, len);
	return r;
}

static int lock_or(struct machine *m, u64 gpa, u8 mask, bool *ret_was)
{
	struct ram_span s;
	int old;

	if (!backed(m->mem, gpa, 1, true) || !span_at(m->mem, gpa, 1, &s))
		return -EFAULT;
	old = host_lock_or(s.hva, mask);
	if (old < 0)
		return -EFAULT;
	*ret_was = old & mask;
	if (s.slot->dirty)
		log_span(m, s.slot, gpa, 1);
	return 0;
}

int machine_set_bit(struct machine *m, u64 gpa, unsigned bit, bool *ret_was)
{
	int r;

	pthread_rwlock_rdlock(&m->mem->lock);
	r = lock_or(m, gpa, (u8)BIT(bit), ret_was);
	pthread_rwlock_unlock(&m->mem->lock);
	if (!r)
		tell_translator(m, gpa, 1);
	return r;
}

int vcpu_translate(struct vcpu *v, u64 gva, struct translation *ret)
{
	struct walk w;
	int r;

	/* Without paging: whatever the width of addresses is; ~0 is none, as in KVM. */
	if (!(v->cpu.cr0 & CR0_PG)) {
		if (gva == ~0ull)
			return -EFAULT;
		*ret = (struct translation){.gpa = gva, .writable = true, .user = true};
		return 0;
	}
	pthread_rwlock_rdlock(&v->machine->mem->lock);
	r = mmu_peek(&v->cpu, gva, &w);
	pthread_rwlock_unlock(&v->machine->mem->lock);
	if (r)
		return r;
	*ret = (struct translation){
		.gpa = w.gpa & GPA_BITS, .writable = w.writable, .user = w.user, .nx = w.nx};
	return 0;
}

static int mark_used(struct vcpu *v, u64 gva, unsigned acc)
{
	struct walk_stores stores;
	struct walk w;
	int r;

	pthread_rwlock_rdlock(&v->machine->mem->lock);
	r = mmu_peek_used(&v->cpu, gva, acc, &w, &stores);
	pthread_rwlock_unlock(&v->machine->mem->lock);
	for (unsigned i = 0; i < stores.n; i++)
		tell_translator(v->machine, stores.gpa[i], sizeof(u64));
	return r;
}

int vcpu_mark_used(struct vcpu *v, u64 gva, bool write)
{
	int r;

	if (!(v->cpu.cr0 & CR0_PG))
		return 0;
	do
		r = mark_used(v, gva, write ? ACC_WRITE : 0);
	while (r == -EAGAIN);
	return r;
}
