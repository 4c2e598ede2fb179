/* SPDX-License-Identifier: MIT */
/* See userfault.h. */
#include "tests/abi/userfault.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/abi/port.h"

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

/* An ordinary user may wait for faults of user mode alone; the kernel's KVM makes others. */
static int open_fd(void)
{
	long fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 && !port.real)
		fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	return (int)fd;
}

static const struct {
	u64 feature, mode;
} modes[] = {
	[UF_MISSING] = {0, UFFDIO_REGISTER_MODE_MISSING},
	[UF_PROTECT] = {UFFD_FEATURE_PAGEFAULT_FLAG_WP, UFFDIO_REGISTER_MODE_WP},
	[UF_MINOR] = {UFFD_FEATURE_MINOR_SHMEM, UFFDIO_REGISTER_MODE_MINOR},
};

static int protect(const struct userfault *u, const u8 *page, u64 bytes, u64 mode)
{
	struct uffdio_writeprotect p = {{(u64)page, bytes}, mode};

	return ioctl(u->fd, UFFDIO_WRITEPROTECT, &p);
}

static int begin(struct userfault *u)
{
	struct uffdio_api api = {.api = UFFD_API, .features = modes[u->mode].feature};
	struct uffdio_register r = {
		.range = {(u64)u->base, u->pages * u->page_size}, .mode = modes[u->mode].mode};

	if (ioctl(u->fd, UFFDIO_API, &api) || ioctl(u->fd, UFFDIO_REGISTER, &r))
		return -1;
	if (u->mode == UF_PROTECT)
		return protect(u, u->base, u->pages * u->page_size, UFFDIO_WRITEPROTECT_MODE_WP);
	return 0;
}

/* Whoever waits may ask twice: a page that is there already is no mistake. */
static void give(struct userfault *u, u8 *page)
{
	struct uffdio_copy copy = {.dst = (u64)page, .len = u->page_size};
	struct uffdio_continue on = {.range = {(u64)page, u->page_size}};
	int r = 0;

	atomic_fetch_add(&u->given, 1); /* before whoever waits can look */
	switch (u->mode) {
	case UF_MISSING:
		copy.src = (u64)(u->source + (page - u->base));
		r = ioctl(u->fd, UFFDIO_COPY, &copy);
		break;
	case UF_PROTECT:
		if (u->saved)
			memcpy(u->saved + (page - u->base), page, u->page_size);
		r = protect(u, page, u->page_size, 0);
		break;
	case UF_MINOR: r = ioctl(u->fd, UFFDIO_CONTINUE, &on); break;
	}
	if (r && errno != EEXIST)
		printf("# giving a page: %s\n", strerror(errno));
	atomic_fetch_sub(&u->given, r != 0);
}

static void *serve(void *opaque)
{
	struct userfault *u = opaque;
	struct pollfd p = {.fd = u->fd, .events = POLLIN};
	struct uffd_msg m;

	while (!atomic_load(&u->stop)) {
		if (poll(&p, 1, 10) <= 0 || read(u->fd, &m, sizeof(m)) != sizeof(m))
			continue;
		atomic_fetch_add(&u->waiting, 1);
		if (u->delay_us)
			usleep(u->delay_us);
		if (u->instead)
			u->instead(u);
		while (atomic_load(&u->hold) && !atomic_load(&u->stop))
			usleep(1000);
		give(u, (u8 *)ALIGN_DOWN(m.arg.pagefault.address, u->page_size));
	}
	return NULL;
}

bool userfault_start(struct userfault *u)
{
	u->page_size = u->page_size ? u->page_size : PAGE_SIZE;
	u->fd = open_fd();
	if (u->fd < 0) {
		printf("# no userfaultfd: %s\n", strerror(errno));
		return false;
	}
	if (begin(u)) {
		printf("# userfaultfd of kind %d: %s\n", u->mode, strerror(errno));
		close(u->fd);
		return false;
	}
	u->stop = false;
	u->waiting = u->given = 0;
	assert_int_equal(pthread_create(&u->thread, NULL, serve, u), 0);
	return true;
}

void userfault_stop(struct userfault *u)
{
	atomic_store(&u->stop, true);
	pthread_join(u->thread, NULL);
	close(u->fd);
}

void userfault_await(struct userfault *u, unsigned messages)
{
	while (atomic_load(&u->waiting) < messages)
		usleep(500);
}
