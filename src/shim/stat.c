/* SPDX-License-Identifier: MIT */
/*
 * What programs learn about a device without opening it: that it is there, a character device
 * (the kernel's admin-guide/devices.txt), and that they may use it; or that it is not there.
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

#define NODE_MODE (S_IFCHR | 0666)

/* What we stand in for. */
struct seen {
	u32 mode; /* 0: the path is none of ours */
	s64 size;
	const struct device_node *node; /* or NULL */
};

static struct seen look_at(int dirfd, const char *path)
{
	const char *text;
	const struct device_node *node;

	if (!path)
		return (struct seen){0};
	text = params_text(path);
	if (text)
		return (struct seen){S_IFREG | 0444, (s64)PAGE_SIZE, NULL};
	if (params_is_folder(path))
		return (struct seen){S_IFDIR | 0755, 0, NULL};
	node = path_node(dirfd, path);
	return (struct seen){node ? NODE_MODE : 0, 0, node};
}

long shim_access(int dirfd, const char *path, int mode)
{
	const u32 is = look_at(dirfd, path).mode;

	if (!is)
		return path_is_hidden(dirfd, path) ? -ENOENT : NOT_OURS;
	if (S_ISCHR(is))
		return mode & X_OK ? -EACCES : 0;
	return (mode & W_OK) || ((mode & X_OK) && !S_ISDIR(is)) ? -EACCES : 0;
}

static u64 number_of(const struct device_node *node)
{
	return node ? makedev(DEVICE_MAJOR, node->minor) : 0;
}

static void fill(struct stat *st, u32 mode, s64 size, const struct device_node *node)
{
	*st = (struct stat){.st_mode = mode,
		.st_nlink = 1,
		.st_size = size,
		.st_blksize = (s64)PAGE_SIZE,
		.st_rdev = number_of(node)};
}

/* Is it the machine's own node of that path? */
static bool is_node(u64 rdev, const struct device_node *node)
{
	bool shown;

	return node && node_numbered(rdev, &shown) == node;
}

/* Where the machine has a node of its own, everything but the permission bits is as it says. */
long shim_stat(int dirfd, const char *path, struct stat *st, long result)
{
	struct seen seen;

	if (!result && !S_ISCHR(st->st_mode))
		return 0;
	if (!result && path_is_hidden(dirfd, path))
		return -ENOENT;
	seen = look_at(dirfd, path);
	if (!seen.mode)
		return result;
	if (!result && is_node(st->st_rdev, seen.node))
		st->st_mode = seen.mode;
	else
		fill(st, seen.mode, seen.size, seen.node);
	return 0;
}

/* What comes from a device, as a vm and a vcpu, is an anonymous inode, which has no type. */
long shim_fstat(int fd, struct stat *st, long result)
{
	struct dev *d = shim_dev();
	const struct fd_ops *on = !result && d ? dev_ops(d, fd) : NULL;
	const struct device_node *node = on ? dev_node_of(on) : NULL;

	if (node)
		fill(st, NODE_MODE, 0, node);
	else if (on && dev_kind(d, fd) != DEV_OTHER)
		fill(st, 0600, 0, NULL);
	return result;
}

static void fill_statx(struct statx *st, const struct seen *seen)
{
	memset(st, 0, sizeof(*st));
	st->stx_mask = STATX_TYPE | STATX_MODE | STATX_NLINK | STATX_SIZE;
	st->stx_mode = (u16)seen->mode;
	st->stx_nlink = 1;
	st->stx_size = (u64)seen->size;
	st->stx_blksize = (u32)PAGE_SIZE;
	st->stx_rdev_major = major(number_of(seen->node));
	st->stx_rdev_minor = minor(number_of(seen->node));
}

long shim_fstatx(int fd, struct statx *st, long result)
{
	struct stat own = {.st_mode = S_IFREG};
	struct dev *d = shim_dev();

	if (result || !d || shim_fstat(fd, &own, 0) || S_ISREG(own.st_mode))
		return result;
	fill_statx(st, &(const struct seen){own.st_mode, 0, dev_node_of(dev_ops(d, fd))});
	return 0;
}

long shim_statx(int dirfd, const char *path, struct statx *st, long result)
{
	struct seen seen;

	if (!result && !S_ISCHR(st->stx_mode))
		return 0;
	if (!result && path_is_hidden(dirfd, path))
		return -ENOENT;
	seen = look_at(dirfd, path);
	if (!seen.mode)
		return result;
	if (result || !is_node(makedev(st->stx_rdev_major, st->stx_rdev_minor), seen.node))
		fill_statx(st, &seen);
	st->stx_mode = (u16)seen.mode;
	return 0;
}
