/* SPDX-License-Identifier: MIT */
/*
 * Guest RAM in files that the VM hands over (SCM_RIGHTS): mapped, it is read without a command. What the VM says of its
 * files is compared with them before they are mapped.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "uvmi/session.h"

/* What the answer to GET_RAM brings. */
struct ram_answer {
	u8 bytes[UINT16_MAX];
	size_t size;
	int files[FILES_MAX];
	unsigned n_files;
};

/* What uvmi_map_ram() gives: the part that is seen, and where each region is. */
struct lent_ram {
	struct uvmi_ram seen; /* first: uvmi_unmap_ram() gets its address */
	struct lent_place {
		u32 file;
		u64 offset;
	} * places;
	int files[FILES_MAX];
	unsigned n_files;
};

/* One call at a time, because files do not say which answer they belong to. */
static int get_ram(struct uvmi *s, struct ram_answer *a)
{
	struct pending call = {.out = a->bytes,
		.min = sizeof(struct kvmi_v6_get_ram_reply),
		.max = sizeof(a->bytes)};
	int r;

	peer_lock(s);
	r = s->wants_files || batch_is_mine(s) ? -EBUSY : 0;
	if (!r) {
		s->wants_files = true;
		r = command_start(s, &call, UVMI_GET_RAM, NULL, 0);
		if (!r)
			r = command_finish(s, &call);
		s->wants_files = false;
		memcpy(a->files, s->files, sizeof(a->files));
		a->n_files = s->n_files;
		s->n_files = 0;
		a->size = call.got;
	}
	peer_unlock(s);
	return r;
}

/* The bytes are in the file, or touching them would be SIGBUS. */
static bool is_in_file(const struct ram_answer *a, const struct kvmi_v6_ram_region *r)
{
	struct stat st;
	u64 end;

	if (r->file >= a->n_files || fstat(a->files[r->file], &st) || !S_ISREG(st.st_mode))
		return false;
	if ((r->offset | r->size) & ~PAGE_MASK || __builtin_add_overflow(r->offset, r->size, &end))
		return false;
	return end <= (u64)st.st_size;
}

static int map_region(
	const struct ram_answer *a, const struct kvmi_v6_ram_region *r, struct uvmi_ram_region *ret)
{
	void *at = NULL;

	if (!r->size || r->gpa + r->size < r->gpa)
		return -EPROTO;
	if (r->file != KVMI_V6_RAM_NO_FILE) {
		if (!is_in_file(a, r))
			return -EPROTO;
		at = mmap(
			NULL, r->size, PROT_READ, MAP_SHARED, a->files[r->file], (off_t)r->offset);
		if (at == MAP_FAILED)
			return -errno;
	}
	*ret = (struct uvmi_ram_region){.gpa = r->gpa, .size = r->size, .at = at};
	return 0;
}

static int map_regions(const struct ram_answer *a, u32 n, struct lent_ram *lent)
{
	struct kvmi_v6_ram_region region;
	int r = 0;

	for (u32 i = 0; i < n && !r; i++) {
		memcpy(&region,
			a->bytes + sizeof(struct kvmi_v6_get_ram_reply) + i * sizeof(region),
			sizeof(region));
		r = map_region(a, &region, &lent->seen.regions[i]);
		lent->places[i] = (struct lent_place){region.file, region.offset};
		lent->seen.n += r == 0;
	}
	return r;
}

static int map_all(const struct ram_answer *a, struct lent_ram *lent)
{
	struct kvmi_v6_get_ram_reply head;

	memcpy(&head, a->bytes, sizeof(head));
	if (head.files != a->n_files ||
		head.regions > (a->size - sizeof(head)) / sizeof(struct kvmi_v6_ram_region))
		return -EPROTO;
	lent->seen.regions = calloc(head.regions + 1u, sizeof(*lent->seen.regions));
	lent->places = calloc(head.regions + 1u, sizeof(*lent->places));
	if (!lent->seen.regions || !lent->places)
		return -ENOMEM;
	return map_regions(a, head.regions, lent);
}

int uvmi_map_ram(struct uvmi *s, struct uvmi_ram **ret)
{
	struct ram_answer *a = calloc(1, sizeof(*a));
	struct lent_ram *lent = calloc(1, sizeof(*lent));
	int r = a && lent ? get_ram(s, a) : -ENOMEM;

	if (a && lent) {
		memcpy(lent->files, a->files, sizeof(lent->files));
		lent->n_files = a->n_files;
	}
	if (!r)
		r = map_all(a, lent);
	free(a);
	if (r == -EPROTO)
		r = peer_refuse(s);
	if (r && lent)
		uvmi_unmap_ram(&lent->seen);
	if (!r)
		*ret = &lent->seen;
	return r;
}

void uvmi_unmap_ram(struct uvmi_ram *ram)
{
	struct lent_ram *lent = (struct lent_ram *)ram;

	if (!ram)
		return;
	for (unsigned i = 0; i < ram->n; i++)
		if (ram->regions[i].at)
			munmap((void *)ram->regions[i].at, ram->regions[i].size);
	for (unsigned i = 0; i < lent->n_files; i++)
		close(lent->files[i]);
	free(ram->regions);
	free(lent->places);
	free(lent);
}

/* ---- reading the files ---- */

/* The region with this address that is in a file, or -1. */
static long region_at(const struct lent_ram *lent, u64 gpa)
{
	for (unsigned i = 0; i < lent->seen.n; i++) {
		const struct uvmi_ram_region *r = &lent->seen.regions[i];

		if (r->at && gpa >= r->gpa && gpa - r->gpa < r->size)
			return i;
	}
	return -1;
}

/* The file may have been cut short since it was looked at. */
static int read_file(int fd, u64 offset, u8 *data, size_t size)
{
	while (size) {
		const ssize_t n = pread(fd, data, size, (off_t)offset);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -EIO;
		if (n > 0) {
			data += n;
			offset += (u64)n;
			size -= (size_t)n;
		}
	}
	return 0;
}

int uvmi_read_ram(const struct uvmi_ram *ram, uint64_t gpa, void *data, size_t size)
{
	const struct lent_ram *lent = (const struct lent_ram *)ram;
	u8 *at = data;
	int r = 0;

	while (size && !r) {
		const long i = region_at(lent, gpa);
		size_t part;
		u64 ahead;

		if (i < 0)
			return -ENOENT;
		ahead = gpa - ram->regions[i].gpa;
		part = MIN(size, ram->regions[i].size - ahead);
		r = read_file(lent->files[lent->places[i].file], lent->places[i].offset + ahead, at,
			part);
		gpa += part;
		at += part;
		size -= part;
	}
	return r;
}
