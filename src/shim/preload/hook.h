/* SPDX-License-Identifier: MIT */
/*
 * What all hooks share. A hook is a C library function by name: the program's call comes here
 * first; NEXT(name) is the one that it would have called without us.
 *
 * No hook has a constructor to rely on: programs call open() before constructors have run.
 */
#ifndef SHIM_PRELOAD_HOOK_H
#define SHIM_PRELOAD_HOOK_H

#include <errno.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "base/types.h"

#define HOOK __attribute__((visibility("default")))

/* Filled at the first use of each; two threads that do it at once write the same. */
#define NEXT(name)                                                                                 \
	({                                                                                         \
		static _Atomic(void *) next_;                                                      \
		void *p_ = atomic_load_explicit(&next_, memory_order_relaxed);                     \
		if (unlikely(!p_)) {                                                               \
			p_ = hook_next(#name);                                                     \
			atomic_store_explicit(&next_, p_, memory_order_relaxed);                   \
		}                                                                                  \
		(__typeof__(&name))p_;                                                             \
	})

void *hook_next(const char *name);

/*
 * A parameter as the program gave it. The C library's headers declare many "nonnull", from which the compiler concludes
 * that a check for NULL is not needed.
 */
static inline const char *as_given(const char *p)
{
	__asm__("" : "+r"(p));
	return p;
}

/* Hooks that syscall() comes to as well: results are the kernel's, -errno included. */
long hook_openat(int dirfd, const char *path, int flags, mode_t mode);
long hook_ioctl(int fd, unsigned long request, unsigned long arg);
/* result, n: the kernel's. */
ssize_t hook_readlink(int dirfd, const char *path, char *buffer, size_t size, ssize_t n);
long hook_access(int dirfd, const char *path, int mode, long result);
long hook_close(int fd);
long hook_getdents64(int fd, void *buffer, size_t size);
long hook_fallocate(int fd, int mode, off_t offset, off_t len);
long hook_seccomp(unsigned operation, unsigned flags, void *arg);
int hook_prctl(int option, const unsigned long arg[4]); /* with errno */

/* Has the program given itself a filter? (sandbox.c) */
bool hook_sandboxed(void);
/* Around each fork() that is told of, in the parent and in the child. */
void hook_before_fork(void);
void hook_forked(void);

/* A result of the kernel's kind as the C library returns it. */
static inline long hook_return(long r)
{
	if (likely(r >= 0 || r < -4095))
		return r;
	errno = (int)-r;
	return -1;
}

/* And the other way round. */
static inline long hook_result(long r)
{
	return r < 0 ? -errno : r;
}

#endif
