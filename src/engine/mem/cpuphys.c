/* SPDX-License-Identifier: MIT */
/*
 * Physical access by a processor itself, in its present address space: system management mode's state save.
 * RAM only; a part in ROM or outside of RAM ends in EXIT_INTERNAL_ERROR. Inner code.
 */
#include "engine/host/raw.h"
#include "engine/mem/mem_priv.h"
#include "engine/mem/mem.h"

struct piece {
	struct slot *slot;
	u64 gpa; /* as it is reached */
	u8 *hva;
	unsigned len;
};

/* The part of the range that lies in the first page. */
static int piece_at(struct cpu *cpu, u64 gpa, unsigned len, bool write, struct piece *ret)
{
	check_inside(cpu);
	ret->len = MIN(len, (unsigned)(PAGE_SIZE - (gpa & ~PAGE_MASK)));
	ret->gpa = gpa = view_reached(cpu->remaps, gpa);
	ret->slot = slot_find_by(cpu, gpa);
	if (!ret->slot || (write && (ret->slot->flags & SLOT_READONLY)))
		return mem_internal_error(cpu);
	ret->hva = ret->slot->hva + (gpa - ret->slot->gpa);
	slot_note_access(ret->slot, gpa);
	return CPU_OK;
}

int mem_phys_read(struct cpu *cpu, u64 gpa, void *buf, unsigned len)
{
	struct piece p;
	u8 *to = buf;

	for (gpa = cpu_gpa(cpu, gpa); len; gpa += p.len, to += p.len, len -= p.len) {
		if (piece_at(cpu, gpa, len, false, &p))
			return CPU_EXIT;
		if (guest_copy(to, p.hva, p.len))
			return mem_host_fault(cpu, p.gpa, p.len);
	}
	return CPU_OK;
}

int mem_phys_write(struct cpu *cpu, u64 gpa, const void *buf, unsigned len)
{
	const u8 *from = buf;
	struct piece p;

	for (gpa = cpu_gpa(cpu, gpa); len; gpa += p.len, from += p.len, len -= p.len) {
		if (piece_at(cpu, gpa, len, true, &p))
			return CPU_EXIT;
		if (guest_copy(p.hva, from, p.len))
			return mem_host_fault(cpu, p.gpa, p.len);
		slot_log_dirty(cpu->machine, cpu, p.slot, p.gpa);
		if (slot_watched(p.slot, p.gpa))
			code_written(cpu, p.gpa, p.len);
	}
	return CPU_OK;
}
