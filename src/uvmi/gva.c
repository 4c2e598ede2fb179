/* SPDX-License-Identifier: MIT */
/*
 * Linear addresses. The VM translates them (TRANSLATE_GVA); where it does not, the page tables are read here. The walk
 * asks only whether a page is mapped, not for what.
 */
#include <errno.h>

#include "uvmi/session.h"

/* SDM 3:2.5 and 3:2.2.1 */
#define CR0_PG   (1ull << 31)
#define CR4_PSE  (1ull << 4)
#define CR4_PAE  (1ull << 5)
#define CR4_LA57 (1ull << 12)
#define EFER_LMA (1ull << 10)

/* SDM 3:4.2 to 4.5 */
#define PRESENT   1ull
#define LARGE     (1ull << 7)
#define ADDRESS   0x000ffffffffff000ull
#define CR3_PAE   0xffffffe0ull
#define PSE36_LOW 0xffc00000ull

/* One of the ways of 3:4.1.1: how many levels, bits of an index, bytes of an entry. */
struct page_tables {
	int levels, bits, entry;
	u64 root;
};

static struct page_tables paging_of(const struct kvm_sregs *sregs)
{
	if (sregs->efer & EFER_LMA)
		return (struct page_tables){
			sregs->cr4 & CR4_LA57 ? 5 : 4, 9, 8, sregs->cr3 & ADDRESS};
	if (sregs->cr4 & CR4_PAE)
		return (struct page_tables){3, 9, 8, sregs->cr3 & CR3_PAE};
	return (struct page_tables){2, 10, 4, sregs->cr3 & 0xfffff000};
}

/* A large page ends the walk: at levels 2 and 3 (counted from 1), never at the PDPT of PAE. */
static bool is_large(
	const struct page_tables *p, const struct kvm_sregs *sregs, int level, u64 entry)
{
	if (!(entry & LARGE) || level == 1 || level > 3)
		return false;
	if (p->levels == 2)
		return sregs->cr4 & CR4_PSE;
	return level == 2 || p->levels >= 4;
}

static u64 large_base(const struct page_tables *p, u64 entry, u64 offset_mask)
{
	if (p->levels == 2) /* bits 39:32 of a 4 MiB page are in bits 20:13 */
		return (entry & PSE36_LOW) | (entry >> 13 & 0xff) << 32;
	return entry & ADDRESS & ~offset_mask;
}

static int walk(
	struct uvmi *s, const struct kvm_sregs *sregs, struct page_tables p, u64 gva, u64 *ret_gpa)
{
	u64 table = p.root, entry, offset_mask;

	for (int level = p.levels;; level--) {
		const int shift = PAGE_SHIFT + (level - 1) * p.bits;
		/* The PDPT of PAE has four entries. */
		const u64 index =
			gva >> shift & ((p.levels == 3 && level == 3) ? 3 : BIT64(p.bits) - 1);
		int r;

		entry = 0;
		r = uvmi_read(s, table + index * (unsigned)p.entry, &entry, (size_t)p.entry);
		if (r)
			return r == -ENOENT || r == -EINVAL ? -EFAULT : r;
		if (!(entry & PRESENT))
			return -EFAULT;
		offset_mask = BIT64(shift) - 1;
		if (level == 1 || is_large(&p, sregs, level, entry))
			break;
		table = entry & ADDRESS;
	}
	*ret_gpa = large_base(&p, entry, offset_mask);
	if (offset_mask == PAGE_SIZE - 1)
		*ret_gpa = entry & ADDRESS;
	*ret_gpa |= gva & offset_mask;
	return 0;
}

static bool is_canonical(u64 gva, int levels)
{
	const int unused = levels == 5 ? 7 : 16;

	return (u64)((s64)(gva << unused) >> unused) == gva;
}

int uvmi_walk(struct uvmi *s, const struct kvm_sregs *sregs, uint64_t gva, uint64_t *ret_gpa)
{
	const struct page_tables p = paging_of(sregs);

	if (!(sregs->cr0 & CR0_PG)) {
		*ret_gpa = gva & UINT32_MAX;
		return 0;
	}
	if (p.levels >= 4 ? !is_canonical(gva, p.levels) : gva > UINT32_MAX)
		return -EFAULT;
	return walk(s, sregs, p, gva, ret_gpa);
}

static int walk_vcpu(struct uvmi *s, unsigned vcpu, u64 gva, u64 *ret_gpa)
{
	struct uvmi_registers registers;
	const int r = uvmi_get_registers(s, vcpu, &registers, NULL, 0);

	return r ? r : uvmi_walk(s, &registers.sregs, gva, ret_gpa);
}

int uvmi_translate_gva(struct uvmi *s, unsigned vcpu, uint64_t gva, uint64_t *ret_gpa)
{
	const struct kvmi_v6_translate_gva c = {.hdr.vcpu = (u16)vcpu, .gva = gva};
	struct kvmi_v6_translate_gva_reply reply;
	int r = vcpu_check(vcpu);

	if (r)
		return r;
	r = command_fixed(s, UVMI_TRANSLATE_GVA, PART(c), &reply, sizeof(reply));
	if (r == -ENOSYS || r == -EOPNOTSUPP)
		return walk_vcpu(s, vcpu, gva, ret_gpa);
	if (!r && reply.gpa == UINT64_MAX)
		r = -EFAULT;
	if (!r)
		*ret_gpa = reply.gpa;
	return r;
}

static int transfer_gva(struct uvmi *s, unsigned vcpu, u64 gva, u8 *data, size_t size, bool write)
{
	u64 gpa;
	int r = 0;

	while (size && !r) {
		const size_t part = MIN(size, PAGE_SIZE - (gva & ~PAGE_MASK));

		r = uvmi_translate_gva(s, vcpu, gva, &gpa);
		if (!r)
			r = write ? uvmi_write(s, gpa, data, part) : uvmi_read(s, gpa, data, part);
		gva += part;
		data += part;
		size -= part;
	}
	return r;
}

int uvmi_read_gva(struct uvmi *s, unsigned vcpu, uint64_t gva, void *data, size_t size)
{
	return transfer_gva(s, vcpu, gva, data, size, false);
}

int uvmi_write_gva(struct uvmi *s, unsigned vcpu, uint64_t gva, const void *data, size_t size)
{
	return transfer_gva(s, vcpu, gva, (u8 *)data, size, true);
}
