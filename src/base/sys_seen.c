/* SPDX-License-Identifier: MIT */
/* For builds under a sanitizer: see sys.h. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/sys.h"

int sys_close(int fd)
{
	return close(fd);
}

ssize_t sys_read(int fd, void *buffer, size_t n)
{
	return read(fd, buffer, n);
}

ssize_t sys_write(int fd, const void *buffer, size_t n)
{
	return write(fd, buffer, n);
}

void *sys_mmap(void *addr, size_t n, int prot, int flags, int fd, off_t offset)
{
	return mmap(addr, n, prot, flags, fd, offset);
}

int sys_munmap(void *addr, size_t n)
{
	return munmap(addr, n);
}

/* The thread sanitizer delivers a signal that it has held back when its own version of this returns. */
int sys_sigprocmask(int how, const u64 *set, u64 *old)
{
	sigset_t new_set, old_set;
	int r;

	sigemptyset(&new_set);
	if (set)
		memcpy(&new_set, set, sizeof(*set));
	r = pthread_sigmask(how, set ? &new_set : NULL, &old_set);
	if (!r && old)
		memcpy(old, &old_set, sizeof(*old));
	return r ? -1 : 0;
}
