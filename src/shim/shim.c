/* SPDX-License-Identifier: MIT */
/* The one state of this process, and the life of descriptors. See shim.h. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "abi/dev.h"
#include "base/fd.h"
#include "base/sys.h"
#include "shim/processor.h"
#include "shim/session.h"
#include "shim/shim.h"
#include "shim/tool.h"
#include "shim/trace.h"

_Atomic enum shim_mode shim_mode_;

static struct {
	pthread_once_t once;
	struct dev *dev;
	int error; /* why there is no dev */
} shim = {.once = PTHREAD_ONCE_INIT};

struct dev *shim_dev(void)
{
	return shim_mode() == SHIM_IDLE ? NULL : shim.dev;
}

bool shim_was_asked(void)
{
	return shim_mode() != SHIM_IDLE || shim.error;
}

static void start(void)
{
	enum shim_mode mode = trace_start();

	if (mode != SHIM_KERNEL) {
		shim_lend_userfaultfd();
		shim.error = dev_create(&shim.dev);
		if (!shim.error && session_name())
			dev_set_session(shim.dev, session_name());
		if (!shim.error)
			tool_tell(shim.dev);
	}
	if (shim.error)
		return;
	atomic_store_explicit(&shim_mode_, mode, memory_order_release);
	if (mode != SHIM_KERNEL)
		shim_started();
}

/* 0 or -errno. */
static int shim_start(void)
{
	pthread_once(&shim.once, start);
	return shim.error;
}

/* ---- opening ---- */

static long open_node(const struct device_node *node, int flags)
{
	int r = shim_start();

	if (r)
		return r;
	if (shim_mode() == SHIM_KERNEL)
		return NOT_OURS;
	r = dev_open(shim.dev, node->path, flags);
	if (shim_mode() == SHIM_TRACE)
		trace_open(node->path, r);
	return r;
}

static long open_text(const char *text, int flags)
{
	int fd;

	if ((flags & O_ACCMODE) != O_RDONLY)
		return -EACCES;
	fd = sys_memfd_create("uservisor-parameter", flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
	if (fd < 0)
		return -errno;
	if (sys_write(fd, text, strlen(text)) < 0 || sys_lseek(fd, 0, SEEK_SET)) {
		sys_close(fd);
		return -EIO;
	}
	return fd;
}

bool shim_may_be_ours(const char *path)
{
	return path_may_be_node(path) || params_text(path) || cpuinfo_is(path);
}

long shim_open(int dirfd, const char *path, int flags)
{
	const struct device_node *node;
	const char *text;
	long r;

	if (!path || (flags & O_PATH))
		return NOT_OURS;
	text = params_text(path);
	if (text)
		return open_text(text, flags);
	r = cpuinfo_open(path, flags);
	if (r != NOT_OURS)
		return r;
	node = path_node(dirfd, path);
	if (!node)
		return path_may_be_node(path) && path_is_hidden(dirfd, path) ? -ENOENT : NOT_OURS;
	if (flags & O_DIRECTORY)
		return -ENOTDIR;
	if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return -EEXIST;
	return open_node(node, flags);
}

/*
 * A device under another name (a jail's own node, a symbolic link) is found by looking at what was opened. To ask
 * about every file would cost all programs a system call for each, so only likely ones are; take_place()
 * finds the others when they are asked for something. What cannot be opened, because it is not there or not for this
 * user, may be a link to it.
 */
static bool may_be_device(const char *path, int flags, long result)
{
	if (flags & (O_CREAT | O_PATH | O_DIRECTORY))
		return false;
	return (flags & O_ACCMODE) == O_RDWR || result < 0 || path_may_hide_node(path) ||
	       !strncmp(path, "/dev/", 5) || !strncmp(path, "/proc/", 6);
}

static const struct device_node *node_behind(int fd, bool *ret_shown)
{
	struct stat st;

	if (sys_fstat(fd, &st) || !S_ISCHR(st.st_mode))
		return NULL;
	return node_numbered(st.st_rdev, ret_shown);
}

static long replace(const struct device_node *node, int fd, int flags)
{
	if (shim_start())
		return fd;
	if (shim_mode() == SHIM_KERNEL) {
		trace_open(node->path, fd);
		return fd;
	}
	sys_close(fd);
	return open_node(node, flags);
}

/* The kernel has opened something. */
static long look_at(int fd, int flags)
{
	bool shown;
	const struct device_node *node = node_behind(fd, &shown);

	if (node && shown)
		return replace(node, fd, flags);
	if (!node)
		return fd;
	sys_close(fd);
	return -ENOENT;
}

/* With O_PATH, which opens nothing: where there is no node to hold by its path, ours is held open. */
static long hold_path(int dirfd, const char *path, int flags, long result)
{
	const struct device_node *node = result == -ENOENT ? path_node(dirfd, path) : NULL;

	if (node)
		return open_node(node, O_RDWR | (flags & O_CLOEXEC));
	if (result < 0 || !path_may_be_node(path) || !path_is_hidden(dirfd, path))
		return result;
	sys_close((int)result);
	return -ENOENT;
}

long shim_opened(int dirfd, const char *path, int flags, long result)
{
	const struct device_node *node;
	long r;

	/* A number that the kernel gives out anew cannot be a descriptor that we know. */
	if (result >= 0 && shim.dev && !dev_in_vfork_child(shim.dev))
		dev_forget(shim.dev, (int)result);
	if (path && (flags & O_PATH))
		return hold_path(dirfd, path, flags, result);
	if (!path || !may_be_device(path, flags, result))
		return result;
	if (result >= 0)
		return look_at((int)result, flags);
	node = path_link_node(dirfd, path);
	r = node ? open_node(node, flags) : NOT_OURS;
	return r == NOT_OURS ? result : r;
}

/* ---- requests ---- */

/*
 * The machine's own node, by a way that no hook has seen: opened under an innocent name, inherited
 * or sent. Ours takes its place under the same number. True: fd is ours now.
 */
static bool take_place(int fd)
{
	bool shown;
	const struct device_node *node = node_behind(fd, &shown);
	int cloexec, own;

	if (!node || !shown || shim_start() || shim_mode() == SHIM_KERNEL)
		return false;
	cloexec = sys_fcntl(fd, F_GETFD, 0) & FD_CLOEXEC ? O_CLOEXEC : 0;
	own = dev_open(shim.dev, node->path, (sys_fcntl(fd, F_GETFL, 0) & O_ACCMODE) | O_CLOEXEC);
	if (own < 0)
		return false;
	if (sys_dup3(own, fd, cloexec) >= 0)
		shim_duplicated(own, fd);
	dev_close(shim.dev, own);
	return true;
}

static long ask(int fd, unsigned long request, unsigned long arg, const struct dev_signals *how)
{
	long r;

	processor_has_machine(request);
	if (shim_mode() != SHIM_ENGINE)
		return trace_ioctl(shim.dev, fd, request, arg, how);
	r = how ? dev_ioctl_with(shim.dev, fd, request, arg, how)
		: dev_ioctl(shim.dev, fd, request, arg);
	/* An answer, if the descriptor is ours; else it has only this type byte in common with us. */
	return r == -EBADF && !dev_knows(shim.dev, fd) ? NOT_OURS : r;
}

long shim_ioctl_with(
	int fd, unsigned long request, unsigned long arg, const struct dev_signals *how)
{
	long r;

	if (!dev_may_request(request))
		return NOT_OURS;
	/* One of ours, but this process has not opened it: it was sent, or the process was started with it. */
	if (unlikely(shim_mode() == SHIM_IDLE) && !take_place(fd) &&
		(!dev_recognises(fd) || shim_start()))
		return NOT_OURS;
	r = ask(fd, request, arg, how);
	return r == NOT_OURS && take_place(fd) ? ask(fd, request, arg, how) : r;
}

long shim_ioctl(int fd, unsigned long request, unsigned long arg)
{
	const struct dev_signals how = {.hold = shim_hold()};

	return shim_ioctl_with(fd, request, arg, how.hold ? &how : NULL);
}

long shim_ioctl_error(int fd, long error)
{
	struct dev *d = shim_dev();

	if (error != -ENOTTY || !d)
		return error;
	return dev_no_request(d, fd);
}

/* ---- closing ---- */

long shim_close(int fd)
{
	struct dev *d = shim_dev();

	/* The program does not know of them, so as far as it is concerned there is nothing. */
	if (fd_is_kept(fd))
		return -EBADF;
	if (shim_mode() == SHIM_IDLE)
		return NOT_OURS;
	if (shim_mode() >= SHIM_TRACE)
		trace_closed(fd);
	if (!d || !dev_knows(d, fd) || dev_in_vfork_child(d))
		return NOT_OURS;
	return dev_close(d, fd);
}

long shim_replace_check(int from, int fd)
{
	if (likely(!fd_is_kept(fd)) || (shim_dev() && dev_in_vfork_child(shim.dev)))
		return 0;
	return fd_is_kept(from) || sys_fcntl(from, F_GETFD, 0) < 0 ? -EBADF : -EBUSY;
}

void shim_duplicated(int from, int fd)
{
	struct dev *d = shim_dev();

	if (!d || (!dev_knows(d, fd) && !dev_knows(d, from)) || dev_in_vfork_child(d))
		return;
	dev_forget(d, fd);
	dev_owns(d, fd);
}

bool shim_next_range(unsigned *first, unsigned last, unsigned *end)
{
	long kept;

	for (; *first <= last; *first = (unsigned)kept + 1) {
		kept = fd_next_kept(*first, last);
		*end = kept < 0 ? last : (unsigned)kept - 1;
		if (kept != (long)*first)
			return true;
	}
	return false;
}

void shim_closing_range(unsigned first, unsigned last)
{
	struct dev *d = shim_dev();

	if (d && !dev_in_vfork_child(d))
		dev_forget_range(d, first, last);
}
