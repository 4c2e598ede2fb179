/* SPDX-License-Identifier: MIT */
/* The one state of this process, and the life of descriptors. See shim.h. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#include "abi/dev.h"
#include "base/fd.h"
#include "base/sys.h"
#include "shim/processor.h"
#include "shim/shim.h"
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

static long open_kvm(int flags)
{
	int r = shim_start();

	if (r)
		return r;
	if (shim_mode() == SHIM_KERNEL)
		return NOT_OURS;
	r = dev_open(shim.dev, "/dev/kvm", flags);
	if (shim_mode() == SHIM_TRACE)
		trace_open("/dev/kvm", r);
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
	const size_t n = strlen(path);

	return (n >= 3 && !memcmp(path + n - 3, "kvm", 3)) || params_text(path) || cpuinfo_is(path);
}

long shim_open(int dirfd, const char *path, int flags)
{
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
	if (!path_is_kvm(dirfd, path))
		return NOT_OURS;
	if (flags & O_DIRECTORY)
		return -ENOTDIR;
	if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return -EEXIST;
	return open_kvm(flags);
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
	return (flags & O_ACCMODE) == O_RDWR || result < 0 || strstr(path, "kvm") ||
	       !strncmp(path, "/dev/", 5) || !strncmp(path, "/proc/", 6);
}

static bool is_kvm_device(int fd)
{
	struct stat st;

	return !sys_fstat(fd, &st) && S_ISCHR(st.st_mode) && st.st_rdev == makedev(10, 232);
}

static long replace(int fd, int flags)
{
	long r;

	if (shim_start())
		return fd;
	if (shim_mode() == SHIM_KERNEL) {
		trace_open("/dev/kvm", fd);
		return fd;
	}
	sys_close(fd);
	r = open_kvm(flags);
	return r;
}

long shim_opened(int dirfd, const char *path, int flags, long result)
{
	/* A number that the kernel gives out anew cannot be a descriptor that we know. */
	if (result >= 0 && shim.dev && !dev_in_vfork_child(shim.dev))
		dev_forget(shim.dev, (int)result);
	/* Where there is no device to hold by its path, ours is held open. */
	if (result == -ENOENT && (flags & O_PATH) && path_is_kvm(dirfd, path))
		return open_kvm(O_RDWR | (flags & O_CLOEXEC));
	if (!path || !may_be_device(path, flags, result))
		return result;
	if (result >= 0)
		return is_kvm_device((int)result) ? replace((int)result, flags) : result;
	if (path_leads_to_kvm(dirfd, path)) {
		long r = open_kvm(flags);

		return r == NOT_OURS ? result : r;
	}
	return result;
}

/* ---- requests ---- */

/* A /dev/kvm that this process was sent or started with, and has not opened itself. */
static bool comes_from_outside(int fd)
{
	static const char name[] = "/memfd:uservisor-kvm";
	char path[32], link[sizeof(name)];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = sys_readlink(path, link, sizeof(link));
	return n >= (ssize_t)sizeof(name) - 1 && !memcmp(link, name, sizeof(name) - 1);
}

/*
 * The machine's own /dev/kvm, by a way that no hook has seen: opened under an innocent name, inherited
 * or sent. Ours takes its place under the same number. True: fd is ours now.
 */
static bool take_place(int fd)
{
	int cloexec, own;

	if (!is_kvm_device(fd) || shim_start() || shim_mode() == SHIM_KERNEL)
		return false;
	cloexec = sys_fcntl(fd, F_GETFD, 0) & FD_CLOEXEC ? O_CLOEXEC : 0;
	own = dev_open(shim.dev, "/dev/kvm", (sys_fcntl(fd, F_GETFL, 0) & O_ACCMODE) | O_CLOEXEC);
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

	if (_IOC_TYPE(request) != SHIM_IOCTL_TYPE)
		return NOT_OURS;
	if (unlikely(shim_mode() == SHIM_IDLE) && !take_place(fd) &&
		(!comes_from_outside(fd) || shim_start()))
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
