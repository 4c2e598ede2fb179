/* SPDX-License-Identifier: MIT */
/* See fault_points.h. The linker sends what is wrapped through here (--wrap, tests/abi/meson.build). */
#include "tests/abi/fault_points.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

#include "base/types.h"

static _Atomic long countdown = -1;
static _Atomic long hits;
static const char *_Atomic last;

void fail_from(unsigned nth)
{
	atomic_store(&hits, 0);
	atomic_store(&last, "nothing");
	atomic_store(&countdown, nth);
}

bool fail_stop(void)
{
	atomic_store(&countdown, -1);
	return atomic_load(&hits);
}

const char *fail_name(void)
{
	return atomic_load(&last);
}

static bool fails(const char *what)
{
	if (atomic_load(&countdown) < 0 || atomic_fetch_sub(&countdown, 1) != 0)
		return false;
	atomic_fetch_add(&hits, 1);
	atomic_store(&last, what);
	return true;
}

/* What may fail for want of something, and with what. */
static long shortage(long nr, long command)
{
	switch (nr) {
	case SYS_memfd_create: return fails("memfd_create") ? EMFILE : 0;
	case SYS_eventfd2: return fails("eventfd") ? EMFILE : 0;
	case SYS_epoll_create1: return fails("epoll_create") ? EMFILE : 0;
	case SYS_signalfd4: return fails("signalfd") ? EMFILE : 0;
	case SYS_socket:
	case SYS_socketpair: return fails("socket") ? EMFILE : 0;
	case SYS_bind: return fails("bind") ? ENOMEM : 0;
	case SYS_open: return fails("open") ? EMFILE : 0;
	case SYS_fcntl: return command == F_DUPFD_CLOEXEC && fails("dup") ? EMFILE : 0;
	case SYS_epoll_ctl: return command == EPOLL_CTL_ADD && fails("epoll_ctl") ? ENOMEM : 0;
	case SYS_mmap: return fails("mmap") ? ENOMEM : 0;
	case SYS_ftruncate: return fails("ftruncate") ? ENOMEM : 0;
	case SYS_fallocate: return fails("fallocate") ? ENOMEM : 0;
	default: return 0;
	}
}

long __real_sys_call(long nr, long a, long b, long c, long d, long e, long f);
long __wrap_sys_call(long nr, long a, long b, long c, long d, long e, long f);
void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);
int __real_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*run)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*run)(void *), void *arg);

long __wrap_sys_call(long nr, long a, long b, long c, long d, long e, long f)
{
	long error = shortage(nr, b);

	if (!error)
		return __real_sys_call(nr, a, b, c, d, e, f);
	errno = (int)error;
	return -1;
}

void *__wrap_malloc(size_t n)
{
	return fails("malloc") ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails("calloc") ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	return fails("realloc") ? NULL : __real_realloc(p, n);
}

int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*run)(void *), void *arg)
{
	return fails("pthread_create") ? EAGAIN : __real_pthread_create(t, a, run, arg);
}
