/* SPDX-License-Identifier: MIT */
/*
 * What programs learn about /dev/kvm without opening it: that it is there, a character device
 * 10:232 (the kernel's admin-guide/devices.txt), and that they may use it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "abi/dev.h"
#include "base/sys.h"
#include "shim/shim.h"

#define KVM_MAJOR 10
#define KVM_MINOR 232

/* The mode of what we stand in for, 0 if the path is none of ours. */
static u32 mode_of(int dirfd, const char *path, s64 *size)
{
	const char *text;

	*size = 0;
	if (!path)
		return 0;
	text = params_text(path);
	if (text) {
		*size = (s64)PAGE_SIZE;
		return S_IFREG | 0444;
	}
	if (params_is_folder(path))
		return S_IFDIR | 0755;
	return path_is_kvm(dirfd, path) ? S_IFCHR | 0666 : 0;
}

long shim_access(int dirfd, const char *path, int mode)
{
	s64 size;
	u32 is = mode_of(dirfd, path, &size);

	if (!is)
		return NOT_OURS;
	if (S_ISCHR(is))
		return mode & X_OK ? -EACCES : 0;
	return (mode & W_OK) || ((mode & X_OK) && !S_ISDIR(is)) ? -EACCES : 0;
}

static void fill(struct stat *st, u32 mode, s64 size)
{
	*st = (struct stat){.st_mode = mode,
		.st_nlink = 1,
		.st_size = size,
		.st_blksize = (s64)PAGE_SIZE,
		.st_rdev = S_ISCHR(mode) ? makedev(KVM_MAJOR, KVM_MINOR) : 0};
}

/* Where the machine has a /dev/kvm of its own, everything but the permission bits is as it says. */
long shim_stat(int dirfd, const char *path, struct stat *st, long result)
{
	s64 size;
	u32 mode;

	if (!result && !S_ISCHR(st->st_mode))
		return 0;
	mode = mode_of(dirfd, path, &size);
	if (!mode)
		return result;
	if (!result && st->st_rdev == makedev(KVM_MAJOR, KVM_MINOR))
		st->st_mode = mode;
	else
		fill(st, mode, size);
	return 0;
}

/* A vm and a vcpu are anonymous inodes, which have no type. */
long shim_fstat(int fd, struct stat *st, long result)
{
	struct dev *d = shim_dev();

	if (result || !d)
		return result;
	switch (dev_kind(d, fd)) {
	case DEV_NONE:
	case DEV_OTHER: break;
	case DEV_SYSTEM: fill(st, S_IFCHR | 0666, 0); break;
	case DEV_VM:
	case DEV_VCPU:
	case DEV_DEVICE: fill(st, 0600, 0); break;
	}
	return result;
}

static void fill_statx(struct statx *st, u32 mode, s64 size)
{
	memset(st, 0, sizeof(*st));
	st->stx_mask = STATX_TYPE | STATX_MODE | STATX_NLINK | STATX_SIZE;
	st->stx_mode = (u16)mode;
	st->stx_nlink = 1;
	st->stx_size = (u64)size;
	st->stx_blksize = (u32)PAGE_SIZE;
	st->stx_rdev_major = S_ISCHR(mode) ? KVM_MAJOR : 0;
	st->stx_rdev_minor = S_ISCHR(mode) ? KVM_MINOR : 0;
}

long shim_fstatx(int fd, struct statx *st, long result)
{
	struct stat own = {.st_mode = S_IFREG};

	if (result || !shim_dev() || shim_fstat(fd, &own, 0) || S_ISREG(own.st_mode))
		return result;
	fill_statx(st, own.st_mode, 0);
	return 0;
}

long shim_statx(int dirfd, const char *path, struct statx *st, long result)
{
	s64 size;
	u32 mode;

	if (!result && !S_ISCHR(st->stx_mode))
		return 0;
	mode = mode_of(dirfd, path, &size);
	if (!mode)
		return result;
	if (result)
		fill_statx(st, mode, size);
	st->stx_mode = (u16)mode;
	return 0;
}
