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

static void close_files(int *files, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		close(files[i]);
}

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

static int map_all(const struct ram_answer *a, struct uvmi_ram *ram)
{
	struct kvmi_v6_get_ram_reply head;
	struct kvmi_v6_ram_region region;
	int r = 0;

	memcpy(&head, a->bytes, sizeof(head));
	if (head.files != a->n_files || head.regions > (a->size - sizeof(head)) / sizeof(region))
		return -EPROTO;
	ram->regions = calloc(head.regions + 1u, sizeof(*ram->regions));
	if (!ram->regions)
		return -ENOMEM;
	for (u32 i = 0; i < head.regions && !r; i++) {
		memcpy(&region, a->bytes + sizeof(head) + i * sizeof(region), sizeof(region));
		r = map_region(a, &region, &ram->regions[i]);
		ram->n += r == 0;
	}
	return r;
}

int uvmi_map_ram(struct uvmi *s, struct uvmi_ram **ret)
{
	struct ram_answer *a = calloc(1, sizeof(*a));
	struct uvmi_ram *ram = calloc(1, sizeof(*ram));
	int r = a && ram ? get_ram(s, a) : -ENOMEM;

	if (!r)
		r = map_all(a, ram);
	if (a)
		close_files(a->files, a->n_files); /* mappings do not need them */
	free(a);
	if (r)
		uvmi_unmap_ram(ram);
	else
		*ret = ram;
	return r;
}

void uvmi_unmap_ram(struct uvmi_ram *ram)
{
	if (!ram)
		return;
	for (unsigned i = 0; i < ram->n; i++)
		if (ram->regions[i].at)
			munmap((void *)ram->regions[i].at, ram->regions[i].size);
	free(ram->regions);
	free(ram);
}
