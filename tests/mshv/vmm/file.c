/* SPDX-License-Identifier: MIT */
/*
 * The file: a head, the states, then pages of memory, each behind its address. A page that is there twice counts as it
 * is there last: a live save writes all pages while the guest runs, and again those that it changed meanwhile.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/mshv/vmm/state.h"

#define MAGIC    0x314d4d56564853ull
#define PAGE_END (~0ull)
#define ROUNDS   3 /* that a live save makes before it stops the guest */

struct head {
	u64 magic, memory;
	u32 cpus, level;
};

/* What is written after the memory. */
struct tail {
	struct partition_state partition;
	struct devices_state devices;
	struct ioapic_state intr;
};

/* ---- small things ---- */

static int put(FILE *f, const void *from, size_t n)
{
	return fwrite(from, n, 1, f) == 1 ? 0 : (int)vmm_failed("writing the file", -EIO);
}

static int take(FILE *f, void *to, size_t n)
{
	return fread(to, n, 1, f) == 1 ? 0 : (int)vmm_failed("reading the file", -EIO);
}

static FILE *open_file(const char *path, const char *mode)
{
	FILE *f = fopen(path, mode);

	if (!f)
		vmm_failed(path, -errno);
	return f;
}

/* ---- memory ---- */

static bool test_bit(const u8 *bitmap, u64 n)
{
	return bitmap[n / 8] >> n % 8 & 1;
}

static bool is_zero(const u8 *page)
{
	return !page[0] && !memcmp(page, page + 1, PAGE_SIZE - 1);
}

/* Of the pages in the bitmap, or of all with something in them. */
static int put_pages(FILE *f, const struct vmm *vmm, const u8 *bitmap, u64 *ret_count)
{
	int r = 0;

	*ret_count = 0;
	for (u64 gpa = 0; r == 0 && gpa < vmm->ram.size; gpa += PAGE_SIZE) {
		u8 page[PAGE_SIZE];

		if (bitmap && !test_bit(bitmap, gpa / PAGE_SIZE))
			continue;
		memcpy(page, vmm->ram.base + gpa, PAGE_SIZE);
		if (!bitmap && is_zero(page))
			continue;
		++*ret_count;
		r = put(f, &gpa, sizeof(gpa));
		if (r == 0)
			r = put(f, page, PAGE_SIZE);
	}
	return r;
}

static int take_pages(FILE *f, struct vmm *vmm)
{
	u64 gpa;
	int r = take(f, &gpa, sizeof(gpa));

	while (r == 0 && gpa != PAGE_END) {
		if (gpa >= vmm->ram.size || gpa % PAGE_SIZE)
			return (int)vmm_failed("an address in the file", -EINVAL);
		r = take(f, vmm->ram.base + gpa, PAGE_SIZE);
		if (r == 0)
			r = take(f, &gpa, sizeof(gpa));
	}
	return r;
}

/* ---- memory of a guest that runs ---- */

static int track(struct vmm *vmm, bool on)
{
	long r = root_property_set(
		vmm->partition, HV_PROPERTY_GPA_PAGE_ACCESS_TRACKING, on ? HV_TRACKING_ON : 0);

	return r < 0 ? (int)vmm_failed("switching the tracking of pages", r) : 0;
}

static int dirty_pages(struct vmm *vmm, unsigned op, u8 *bitmap)
{
	long r = root_access_bitmap(vmm->partition, MSHV_GPAP_ACCESS_TYPE_DIRTY, op, 0,
		vmm->ram.size / PAGE_SIZE, bitmap);

	return r < 0 ? (int)vmm_failed("reading the dirty pages", r) : 0;
}

static int put_dirty(FILE *f, struct vmm *vmm, u8 *bitmap)
{
	u64 count = 0;
	int r = dirty_pages(vmm, MSHV_GPAP_ACCESS_OP_CLEAR, bitmap);

	if (r == 0)
		r = put_pages(f, vmm, bitmap, &count);
	fprintf(stderr, "mshv-vmm: %llu dirty pages\n", (unsigned long long)count);
	return r;
}

/* What writes to memory beside the guest: the emulator, for the guest. It is small enough to be saved whole. */
static int put_live(FILE *f, struct vmm *vmm, u8 *bitmap)
{
	u64 count;
	int r = track(vmm, true);

	if (r == 0)
		r = dirty_pages(vmm, MSHV_GPAP_ACCESS_OP_CLEAR, bitmap);
	if (r == 0)
		r = put_pages(f, vmm, NULL, &count);
	for (int i = 0; r == 0 && i < ROUNDS; i++)
		r = put_dirty(f, vmm, bitmap);
	return r;
}

static int put_rest(FILE *f, struct vmm *vmm, u8 *bitmap)
{
	int r = put_dirty(f, vmm, bitmap);

	/* Before tracking ends, all pages are to be dirty: some hypervisors want it. */
	if (r == 0)
		r = dirty_pages(vmm, MSHV_GPAP_ACCESS_OP_SET, bitmap);
	return r == 0 ? track(vmm, false) : r;
}

/* Comes back with the guest paused. */
static int put_memory(FILE *f, struct vmm *vmm)
{
	u8 *bitmap = calloc(1, vmm->ram.size / PAGE_SIZE / 8 + 1);
	const u64 end = PAGE_END;
	u64 count;
	int r = bitmap ? 0 : -ENOMEM;

	if (r == 0 && vmm->options.live)
		r = put_live(f, vmm, bitmap);
	if (r == 0)
		r = vmm_pause(vmm);
	if (r == 0)
		r = vmm->options.live ? put_rest(f, vmm, bitmap) : put_pages(f, vmm, NULL, &count);
	free(bitmap);
	return r < 0 ? r : put(f, &end, sizeof(end));
}

/* ---- states ---- */

static int put_vps(FILE *f, struct vmm *vmm)
{
	struct vp_state *s = aligned_alloc(HV_PAGE_SIZE, sizeof(*s));
	int r = s ? 0 : -ENOMEM;

	for (u32 i = 0; r == 0 && i < vmm->options.cpus; i++) {
		r = vmm_save_vp(&vmm->vp[i], s);
		if (r == 0)
			r = put(f, s, sizeof(*s));
	}
	free(s);
	return r;
}

/* All of them, and then a look whether one has changed another. */
static int set_vps(struct vmm *vmm, const struct vp_state *s, struct vp_state *scratch)
{
	int r = 0;

	for (u32 i = 0; r == 0 && i < vmm->options.cpus; i++)
		r = vmm_restore_vp(&vmm->vp[i], &s[i]);
	for (u32 i = 0; r == 0 && i < vmm->options.cpus; i++)
		r = vmm_compare_vp(&vmm->vp[i], &s[i], scratch);
	return r;
}

static int take_vps(FILE *f, struct vmm *vmm)
{
	const unsigned n = vmm->options.cpus;
	struct vp_state *s = aligned_alloc(HV_PAGE_SIZE, (n + 1) * sizeof(*s));
	int r = s ? 0 : -ENOMEM;

	for (u32 i = 0; r == 0 && i < n; i++)
		r = take(f, &s[i], sizeof(*s));
	if (r == 0)
		r = set_vps(vmm, s, &s[n]);
	free(s);
	return r;
}

static int put_tail(FILE *f, struct vmm *vmm)
{
	struct tail tail;

	memset(&tail, 0, sizeof(tail));
	if (vmm_save_partition(vmm, &tail.partition) < 0)
		return -1;
	devices_get_state(&vmm->devices, &tail.devices);
	intr_get_state(&vmm->intr, &tail.intr);
	return put(f, &tail, sizeof(tail));
}

static int save_all(FILE *f, struct vmm *vmm)
{
	const struct head head = {
		MAGIC, vmm->options.memory, vmm->options.cpus, vmm->options.level};
	int r = put(f, &head, sizeof(head));

	if (r == 0)
		r = put_memory(f, vmm);
	if (r == 0)
		r = put_tail(f, vmm);
	return r == 0 ? put_vps(f, vmm) : r;
}

int vmm_save(struct vmm *vmm, const char *path)
{
	FILE *f = open_file(path, "w");
	int r;

	if (!f)
		return -1;
	r = save_all(f, vmm);
	return fclose(f) ? (int)vmm_failed("writing the file", -EIO) : r;
}

/* ---- and back ---- */

static int restore_all(FILE *f, struct vmm *vmm)
{
	struct head head;
	struct tail tail;
	int r = take(f, &head, sizeof(head));

	if (r == 0)
		r = take_pages(f, vmm);
	if (r == 0)
		r = take(f, &tail, sizeof(tail));
	if (r == 0)
		r = vmm_restore_time(vmm, &tail.partition);
	if (r == 0)
		r = take_vps(f, vmm);
	if (r == 0)
		r = vmm_restore_partition(vmm, &tail.partition);
	if (r == 0) {
		devices_set_state(&vmm->devices, &tail.devices);
		intr_set_state(&vmm->intr, &tail.intr);
	}
	return r;
}

int vmm_restore(struct vmm *vmm, const char *path)
{
	FILE *f = open_file(path, "r");
	int r;

	if (!f)
		return -1;
	r = restore_all(f, vmm);
	fclose(f);
	return r;
}

int vmm_read_options(struct options *o, const char *path)
{
	FILE *f = open_file(path, "r");
	struct head head = {0};
	int r;

	if (!f)
		return -1;
	r = take(f, &head, sizeof(head));
	fclose(f);
	if (r == 0 && head.magic != MAGIC)
		r = (int)vmm_failed("the file is none of ours", -EINVAL);
	o->memory = head.memory;
	o->cpus = head.cpus;
	o->level = head.level;
	return r;
}
