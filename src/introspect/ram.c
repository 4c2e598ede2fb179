/* SPDX-License-Identifier: MIT */
/* See ram.h. What is behind an address is what /proc/self/maps says; whose descriptor it is, the file's number says. */
#include "introspect/ram.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/fd.h"
#include "base/sys.h"

struct file_mapping {
	u64 begin, end, offset, dev, ino;
	bool shared;
};

/* ---- files ---- */

struct linux_dirent {
	u64 ino;
	s64 offset;
	u16 size;
	u8 type;
	char name[];
};

static bool is_file(int fd, u64 dev, u64 ino)
{
	struct stat st;

	return !sys_fstat(fd, &st) && st.st_dev == dev && st.st_ino == ino;
}

/* A descriptor of this process that is this file, or -1. */
static int find_descriptor(u64 dev, u64 ino)
{
	u8 buffer[2048] __attribute__((aligned(8)));
	int dir = sys_open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC), found = -1;
	long n;

	while (dir >= 0 && found < 0 && (n = sys_getdents64(dir, buffer, sizeof(buffer))) > 0)
		for (long at = 0; at < n && found < 0;) {
			const struct linux_dirent *e = (const void *)(buffer + at);
			const int fd = e->name[0] == '.' ? -1 : atoi(e->name);

			if (fd >= 0 && fd != dir && is_file(fd, dev, ino))
				found = fd;
			at += e->size;
		}
	if (dir >= 0)
		sys_close(dir);
	return found;
}

/* For reading alone: what a tool writes would be noticed by nobody. */
static int open_again(int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return fd_keep(sys_open(path, O_RDONLY | O_CLOEXEC));
}

/* The file's place among those that are given, KVMI_V6_RAM_NO_FILE: it cannot be. */
static u32 file_of(struct ram_files *f, const struct file_mapping *m)
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
	struct ram_files *f, const struct ram_region *slot, const struct file_mapping *m)
{
	const u64 hva = (u64)slot->hva, begin = MAX(hva, m->begin);
	const u64 end = MIN(hva + slot->size, m->end);
	struct kvmi_v6_ram_region r = {.gpa = slot->gpa + (begin - hva), .size = end - begin};

	if (begin >= end)
		return 0;
	r.file = file_of(f, m);
	r.offset = r.file == KVMI_V6_RAM_NO_FILE ? 0 : m->offset + (begin - m->begin);
	return add(f, &r);
}

static bool parse(const char *line, struct file_mapping *ret)
{
	unsigned long begin, end, offset, ino;
	unsigned major, minor;
	char rights[5];

	if (sscanf(line, "%lx-%lx %4s %lx %x:%x %lu", &begin, &end, rights, &offset, &major, &minor,
		    &ino) != 7)
		return false;
	*ret = (struct file_mapping){.begin = begin,
		.end = end,
		.offset = offset,
		.dev = makedev(major, minor),
		.ino = ino,
		.shared = rights[3] == 's'};
	return true;
}

/* Whole lines at the front of text are used; how many bytes that were. */
static size_t use_lines(struct ram_files *f, const struct ram_region *slot, char *text, int *ret)
{
	char *line = text, *end;

	for (; !*ret && (end = strchr(line, '\n')); line = end + 1) {
		struct file_mapping m;

		*end = 0;
		if (parse(line, &m))
			*ret = add_part(f, slot, &m);
	}
	return (size_t)(line - text);
}

static int add_slot(struct ram_files *f, const struct ram_region *slot)
{
	char text[8192];
	size_t held = 0;
	int fd = sys_open("/proc/self/maps", O_RDONLY | O_CLOEXEC), r = fd < 0 ? -EIO : 0;
	ssize_t n;

	while (!r && (n = sys_read(fd, text + held, sizeof(text) - 1 - held)) > 0) {
		size_t used;

		held += (size_t)n;
		text[held] = 0;
		used = use_lines(f, slot, text, &r);
		held -= used;
		memmove(text, text + used, held);
	}
	if (fd >= 0)
		sys_close(fd);
	return r;
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
