/* SPDX-License-Identifier: MIT */
/*
 * Memory that libkvm makes for guests. It is shared anonymous memory, which is a file without a descriptor. Where a tool looks
 * into the guest, it is in one file with a descriptor, which the engine hands to the tool (KVMI's GET_RAM), and which the
 * kernel treats in the same way otherwise. Without memfds it is anonymous as well.
 */
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/memfd.h"
#include "libkvm/context.h"

#define NO_BACKUP (MAP_SHARED | MAP_NORESERVE)

static int open_file(void)
{
	int fd = memfd_open("guest-ram", MFD_NOEXEC_SEAL);

	/* A tool gets a descriptor for reading. Another user's must not open it again for writing (/proc/self/fd). */
	if (fd >= 0 && fchmod(fd, 0400)) {
		close(fd);
		return -1;
	}
	return fd_keep(fd);
}

static bool owns_file(const struct guest_memory *m)
{
	return m->file >= 0 && m->file_owner == getpid();
}

/* Makes the file longer; where the new part begins, or -1. */
static off_t append(struct guest_memory *m, u64 len)
{
	const u64 begin = m->file_size, end = begin + ALIGN_UP(len, PAGE_SIZE);

	if (m->file < 0) {
		m->file = open_file();
		m->file_owner = getpid();
	}
	if (!owns_file(m) || end < begin || !memfd_may_have(end) || ftruncate(m->file, (off_t)end))
		return -1;
	m->file_size = end;
	return (off_t)begin;
}

static void *map_in_file(kvm_context_t kvm, u64 len)
{
	off_t at;

	pthread_mutex_lock(&kvm->lock);
	at = append(&kvm->memory, len);
	pthread_mutex_unlock(&kvm->lock);
	if (at < 0)
		return MAP_FAILED;
	return mmap(NULL, len, PROT_READ | PROT_WRITE, NO_BACKUP, kvm->memory.file, at);
}

void *ram_map(kvm_context_t kvm, u64 len)
{
	const struct port_ops *port = kvm->driver->port;
	void *at = MAP_FAILED;

	if (port->has_tool && port->has_tool())
		at = map_in_file(kvm, len);
	if (at == MAP_FAILED)
		at = mmap(NULL, len, PROT_READ | PROT_WRITE, NO_BACKUP | MAP_ANONYMOUS, -1, 0);
	return at;
}

/* The pages go with the last mapping; those of the file would stay as long as it does. */
void ram_unmap(const struct guest_memory *m, void *at, u64 len)
{
	if (owns_file(m))
		madvise(at, len, MADV_REMOVE);
	munmap(at, len);
}

void ram_close(struct guest_memory *m)
{
	if (m->file >= 0)
		fd_drop(m->file);
	m->file = -1;
}
