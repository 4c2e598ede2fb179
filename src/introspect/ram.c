/* SPDX-License-Identifier: MIT */
/* See ram.h. What is behind an address is what /proc/self/maps says; whose descriptor it is, the file's number says. */
#include "introspect/ram.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/proc.h"
#include "base/sys.h"

/* ---- files ---- */

struct wanted_file {
	u64 dev, ino;
	int fd; /* -1: none was found */
};

static int is_file(int fd, void *arg)
{
	struct wanted_file *f = arg;
	struct stat st;

	if (sys_fstat(fd, &st) || st.st_dev != f->dev || st.st_ino != f->ino)
		return 0;
	f->fd = fd;
	return 1;
}

/* A descriptor of this process that is this file, or -1. */
static int find_descriptor(u64 dev, u64 ino)
{
	struct wanted_file f = {dev, ino, -1};

	proc_numbers("/proc/self/fd", is_file, &f);
	return f.fd;
}

/* For reading alone: what a tool writes would be noticed by nobody. */
static int open_again(int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return fd_keep(sys_open(path, O_RDONLY | O_CLOEXEC));
}

/* The file's place among those that are given, KVMI_V6_RAM_NO_FILE: it cannot be. */
static u32 file_of(struct ram_files *f, const struct proc_mapping *m)
{
	int fd;

	for (unsigned n = 0; n < f->files; n++)
		if (f->dev[n] == m->dev && f->ino[n] == m->ino)
			return n;
	if (!m->shared || !m->ino || f->files == RAM_FILES_MAX)
		return KVMI_V6_RAM_NO_FILE;
	fd = find_descriptor(m->dev, m->ino);
	fd = fd < 0 ? fd : open_again(fd);
	if (fd < 0)
		return KVMI_V6_RAM_NO_FILE;
	f->fd[f->files] = fd;
	f->dev[f->files] = m->dev;
	f->ino[f->files] = m->ino;
	return f->files++;
}

/* ---- regions ---- */

static int add(struct ram_files *f, const struct kvmi_v6_ram_region *r)
{
	if (f->count == f->room) {
		const unsigned room = f->room ? f->room * 2 : 16;
		void *more = realloc(f->region, room * sizeof(*f->region));

		if (!more)
			return -ENOMEM;
		f->region = more;
		f->room = room;
	}
	f->region[f->count++] = *r;
	return 0;
}

/* The part of a slot that lies in a mapping. */
static int add_part(
	struct ram_files *f, const struct ram_region *slot, const struct proc_mapping *m)
{
	const u64 hva = (u64)slot->hva, begin = MAX(hva, m->start);
	const u64 end = MIN(hva + slot->size, m->end);
	struct kvmi_v6_ram_region r = {.gpa = slot->gpa + (begin - hva), .size = end - begin};

	if (begin >= end)
		return 0;
	r.file = slot->mixed ? KVMI_V6_RAM_NO_FILE : file_of(f, m);
	r.offset = r.file == KVMI_V6_RAM_NO_FILE ? 0 : m->offset + (begin - m->start);
	return add(f, &r);
}

struct slot_search {
	struct ram_files *files;
	const struct ram_region *slot;
};

static int find_part(const struct proc_mapping *m, void *arg)
{
	const struct slot_search *s = arg;

	return add_part(s->files, s->slot, m);
}

static int add_slot(struct ram_files *f, const struct ram_region *slot)
{
	struct slot_search s = {f, slot};
	const int r = proc_mappings(find_part, &s);

	return r && r != -ENOMEM ? -EIO : r;
}

int ram_files_find(struct machine *m, struct ram_files *ret)
{
	struct ram_region slot;
	u64 at = 0;
	int r = 0;

	memset(ret, 0, sizeof(*ret));
	for (; !r && !machine_ram_at(m, at, &slot); at = slot.gpa + slot.size)
		r = add_slot(ret, &slot);
	return r;
}

void ram_files_free(struct ram_files *f)
{
	for (unsigned n = 0; n < f->files; n++)
		fd_drop(f->fd[n]);
	free(f->region);
}
