/* SPDX-License-Identifier: MIT */
/* The files behind descriptors: see enum fd_backing. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#include "abi/stream.h"
#include "abi/table.h"
#include "base/fd.h"

static int memfd_make(const char *name, size_t size, bool cloexec, bool grows)
{
	int fd = sys_memfd_create(name, MFD_ALLOW_SEALING | (cloexec ? MFD_CLOEXEC : 0));
	int seals = F_SEAL_SHRINK | (grows ? 0 : F_SEAL_GROW) | F_SEAL_SEAL;

	if (fd < 0)
		return -errno;
	/* Nobody may take away the pages that we have mapped. */
	if ((size && sys_ftruncate(fd, (off_t)size)) || sys_fcntl(fd, F_ADD_SEALS, seals)) {
		int err = -errno;

		sys_close(fd);
		return err;
	}
	return fd;
}

int backing_create(const struct fd_ops *ops, size_t size, bool grows)
{
	int fd = memfd_make(ops->name, size, true, grows);

	return fd < 0 ? fd : fd_keep(fd);
}

static int memory(const struct fd_spec *q)
{
	char name[64];

	snprintf(name, sizeof(name), "%s%s", q->ops->name, q->suffix ? q->suffix : "");
	return memfd_make(name, q->size, !q->not_cloexec, false);
}

static int shared(struct dev *d, const struct fd_spec *q)
{
	int fd = q->ops->shared_file(d);

	if (fd < 0)
		return fd;
	fd = sys_fcntl(fd, q->not_cloexec ? F_DUPFD : F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

int backing_open(struct dev *d, const struct fd_spec *q, struct stream **ret_stream)
{
	int fd = -1, r;

	switch (q->ops->backing) {
	case FD_MEMORY: return memory(q);
	case FD_SHARED: return shared(d, q);
	case FD_PACKETS: break;
	}
	r = stream_create(!q->not_cloexec, &fd, ret_stream);
	return r ? r : fd;
}
