/* SPDX-License-Identifier: MIT */
/*
 * System calls from one known place.
 *
 * The engine lives in other people's processes. There the C library's functions may be replaced
 * (by our own hooks, among others), some of them are cancellation points, which KVM_RUN is not, and
 * the process may forbid itself system calls that the engine needs (seccomp). So the engine and
 * the interfaces make theirs here: every one comes from the one instruction before sys_return, with a
 * secret in an argument that the kernel does not look at, and a filter can let exactly those through.
 *
 * Each function is what the C library's of the same name is: -1 and errno. Sanitizers must see what is
 * done to memory and signals, so in their builds some are the C library's (sys_seen.c).
 */
#ifndef BASE_SYS_H
#define BASE_SYS_H

#include <linux/kcmp.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>

#include "base/types.h"

/* As syscall(). */
long sys_call(long nr, long a, long b, long c, long d, long e, long f);
/* The kernel's answer, -errno included; what sys_call() is made of. */
long sys_raw(long nr, long a, long b, long c, long d, long e, long f);
/* Where the kernel sees all of them come from: seccomp_data.instruction_pointer. */
extern const char sys_return[];
/* And the end of the engine's signal handlers: what they return to, and the call that it makes. */
void sys_restorer(void);
extern const char sys_restorer_return[];

/*
 * The secret: 0 until sys_key_make(), and then for good. It is the sixth argument of calls that have none, and the fifth of those
 * that have a sixth but no use for the fifth: mmap() without a file, preadv2() on 64 bits. An address can be found out
 * and used by whatever is executed under the same filter; this cannot.
 */
extern u64 sys_key __attribute__((visibility("hidden")));
/* From the random bytes that the kernel gives each program: no system call. False: there are none. */
bool sys_key_make(void);
/*
 * Another one, where the processor has random numbers (no system call here either: a filter that is older than us may
 * forbid it). For a child whose filters know none yet: its parent shall not have in its memory what opens them.
 */
void sys_key_renew(void);

#define SYS_FACCESSAT2 439 /* headers before 5.8 do not name it */

#define SYS_CALL0(nr)             SYS_CALL5(nr, 0, 0, 0, 0, 0)
#define SYS_CALL1(nr, a)          SYS_CALL5(nr, a, 0, 0, 0, 0)
#define SYS_CALL2(nr, a, b)       SYS_CALL5(nr, a, b, 0, 0, 0)
#define SYS_CALL3(nr, a, b, c)    SYS_CALL5(nr, a, b, c, 0, 0)
#define SYS_CALL4(nr, a, b, c, d) SYS_CALL5(nr, a, b, c, d, 0)
#define SYS_CALL5(nr, a, b, c, d, e)                                                               \
	sys_call(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)sys_key)
#define SYS_CALL6(nr, a, b, c, d, e, f)                                                            \
	sys_call(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* ---- descriptors ---- */

static inline int sys_open(const char *path, int flags)
{
	return (int)SYS_CALL2(SYS_open, path, flags);
}

static inline int sys_openat(int dirfd, const char *path, int flags)
{
	return (int)SYS_CALL3(SYS_openat, dirfd, path, flags);
}

static inline int sys_open_mode(const char *path, int flags, unsigned mode)
{
	return (int)SYS_CALL3(SYS_open, path, flags, mode);
}

#if UV_SANITIZED
int sys_close(int fd);
ssize_t sys_read(int fd, void *buffer, size_t n);
ssize_t sys_write(int fd, const void *buffer, size_t n);
void *sys_mmap(void *addr, size_t n, int prot, int flags, int fd, off_t offset);
int sys_munmap(void *addr, size_t n);
int sys_sigprocmask(int how, const u64 *set, u64 *old);
#else
static inline int sys_close(int fd)
{
	return (int)SYS_CALL1(SYS_close, fd);
}

static inline ssize_t sys_read(int fd, void *buffer, size_t n)
{
	return SYS_CALL3(SYS_read, fd, buffer, n);
}

static inline ssize_t sys_write(int fd, const void *buffer, size_t n)
{
	return SYS_CALL3(SYS_write, fd, buffer, n);
}

static inline void *sys_mmap(void *addr, size_t n, int prot, int flags, int fd, off_t offset)
{
	const long file = fd < 0 && sys_key ? (long)sys_key : fd;

	return (void *)SYS_CALL6(SYS_mmap, addr, n, prot, flags, file, offset);
}

static inline int sys_munmap(void *addr, size_t n)
{
	return (int)SYS_CALL2(SYS_munmap, addr, n);
}

/* A signal set is the kernel's: bit n-1 is signal n. */
static inline int sys_sigprocmask(int how, const u64 *set, u64 *old)
{
	return (int)SYS_CALL4(SYS_rt_sigprocmask, how, set, old, sizeof(*set));
}
#endif

static inline ssize_t sys_pread(int fd, void *buffer, size_t n, off_t offset)
{
	return SYS_CALL4(SYS_pread64, fd, buffer, n, offset);
}

static inline ssize_t sys_preadv2(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
	return SYS_CALL6(SYS_preadv2, fd, iov, n, offset, sys_key, flags);
}

static inline int sys_fstat(int fd, struct stat *st)
{
	return (int)SYS_CALL2(SYS_fstat, fd, st);
}

static inline int sys_fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
	return (int)SYS_CALL4(SYS_newfstatat, dirfd, path, st, flags);
}

static inline int sys_access(const char *path, int mode)
{
	return (int)SYS_CALL2(SYS_access, path, mode);
}

static inline int sys_faccessat2(int dirfd, const char *path, int mode, int flags)
{
	return (int)SYS_CALL4(SYS_FACCESSAT2, dirfd, path, mode, flags);
}

static inline off_t sys_lseek(int fd, off_t offset, int whence)
{
	return SYS_CALL3(SYS_lseek, fd, offset, whence);
}

static inline int sys_fcntl(int fd, int command, long arg)
{
	return (int)SYS_CALL3(SYS_fcntl, fd, command, arg);
}

static inline int sys_dup3(int fd, int to, int flags)
{
	return (int)SYS_CALL3(SYS_dup3, fd, to, flags);
}

static inline int sys_ioctl(int fd, unsigned long request, unsigned long arg)
{
	return (int)SYS_CALL3(SYS_ioctl, fd, request, arg);
}

static inline ssize_t sys_readlink(const char *path, char *buffer, size_t n)
{
	return SYS_CALL3(SYS_readlink, path, buffer, n);
}

static inline ssize_t sys_readlinkat(int dirfd, const char *path, char *buffer, size_t n)
{
	return SYS_CALL4(SYS_readlinkat, dirfd, path, buffer, n);
}

static inline long sys_getdents64(int fd, void *buffer, size_t n)
{
	return SYS_CALL3(SYS_getdents64, fd, buffer, n);
}

static inline int sys_socketpair(int domain, int type, int protocol, int pair[2])
{
	return (int)SYS_CALL4(SYS_socketpair, domain, type, protocol, pair);
}

static inline int sys_socket(int domain, int type, int protocol)
{
	return (int)SYS_CALL3(SYS_socket, domain, type, protocol);
}

static inline int sys_bind(int fd, const void *name, socklen_t n)
{
	return (int)SYS_CALL3(SYS_bind, fd, name, n);
}

static inline int sys_connect(int fd, const void *name, socklen_t n)
{
	return (int)SYS_CALL3(SYS_connect, fd, name, n);
}

static inline int sys_getsockname(int fd, void *name, socklen_t *n)
{
	return (int)SYS_CALL3(SYS_getsockname, fd, name, n);
}

static inline int sys_shutdown(int fd, int how)
{
	return (int)SYS_CALL2(SYS_shutdown, fd, how);
}

static inline int sys_setsockopt(int fd, int level, int option, const void *value, socklen_t n)
{
	return (int)SYS_CALL5(SYS_setsockopt, fd, level, option, value, n);
}

static inline ssize_t sys_sendmsg(int fd, const struct msghdr *m, int flags)
{
	return SYS_CALL3(SYS_sendmsg, fd, m, flags);
}

static inline ssize_t sys_recvmsg(int fd, struct msghdr *m, int flags)
{
	return SYS_CALL3(SYS_recvmsg, fd, m, flags);
}

static inline int sys_memfd_create(const char *name, unsigned flags)
{
	return (int)SYS_CALL2(SYS_memfd_create, name, flags);
}

static inline int sys_ftruncate(int fd, off_t size)
{
	return (int)SYS_CALL2(SYS_ftruncate, fd, size);
}

static inline int sys_fallocate(int fd, int mode, off_t offset, off_t len)
{
	return (int)SYS_CALL4(SYS_fallocate, fd, mode, offset, len);
}

static inline int sys_eventfd(unsigned count, int flags)
{
	return (int)SYS_CALL2(SYS_eventfd2, count, flags);
}

static inline int sys_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
	return (int)SYS_CALL3(SYS_poll, fds, n, timeout_ms);
}

/* The signal mask stays as it is. timeout may come back changed. */
static inline int sys_ppoll(struct pollfd *fds, nfds_t n, struct timespec *timeout)
{
	return (int)SYS_CALL5(SYS_ppoll, fds, n, timeout, 0, 8);
}

static inline int sys_epoll_create1(int flags)
{
	return (int)SYS_CALL1(SYS_epoll_create1, flags);
}

static inline int sys_epoll_ctl(int epoll, int op, int fd, struct epoll_event *ev)
{
	return (int)SYS_CALL4(SYS_epoll_ctl, epoll, op, fd, ev);
}

static inline int sys_epoll_wait(int epoll, struct epoll_event *ev, int n, int timeout_ms)
{
	return (int)SYS_CALL4(SYS_epoll_wait, epoll, ev, n, timeout_ms);
}

static inline int sys_timerfd_create(int clock, int flags)
{
	return (int)SYS_CALL2(SYS_timerfd_create, clock, flags);
}

static inline int sys_timerfd_settime(
	int fd, int flags, const struct itimerspec *set, struct itimerspec *old)
{
	return (int)SYS_CALL4(SYS_timerfd_settime, fd, flags, set, old);
}

/* ---- memory ---- */

#ifndef MADV_COLLAPSE /* Linux 6.1 */
#define MADV_COLLAPSE 25
#endif
static inline int sys_madvise(void *addr, size_t n, int advice)
{
	return (int)SYS_CALL3(SYS_madvise, addr, n, advice);
}

static inline int sys_mincore(void *addr, size_t n, unsigned char *ret)
{
	return (int)SYS_CALL3(SYS_mincore, addr, n, ret);
}

static inline void *sys_mremap(void *addr, size_t old, size_t n, int flags)
{
	return (void *)SYS_CALL4(SYS_mremap, addr, old, n, flags);
}

static inline int sys_mprotect(void *addr, size_t n, int prot)
{
	return (int)SYS_CALL3(SYS_mprotect, addr, n, prot);
}

/* Within this process, where either side may not be there: 0, -EFAULT, or what else was wrong. errno stays. */
int sys_copy(void *to, const void *from, size_t n);

/* ---- processes and signals; a signal set is the kernel's: bit n-1 is signal n ---- */

static inline int sys_getpid(void)
{
	return (int)SYS_CALL0(SYS_getpid);
}

/* 0: two descriptors of the calling process for one open file. Else another number, or -1: it cannot be told. */
static inline int sys_same_file(int fd, int other)
{
	int pid = sys_getpid();

	return (int)SYS_CALL5(SYS_kcmp, pid, pid, KCMP_FILE, fd, other);
}

static inline u32 sys_geteuid(void)
{
	return (u32)SYS_CALL0(SYS_geteuid);
}

static inline int sys_gettid(void)
{
	return (int)SYS_CALL0(SYS_gettid);
}

/* How much later than asked for this thread's sleeps may end; 50000 ns unless told. */
static inline int sys_set_timer_slack(unsigned long ns)
{
	return (int)SYS_CALL2(SYS_prctl, PR_SET_TIMERSLACK, ns);
}

static inline int sys_tgkill(int pid, int tid, int signo)
{
	return (int)SYS_CALL3(SYS_tgkill, pid, tid, signo);
}

static inline int sys_tgsigqueueinfo(int pid, int tid, int signo, const siginfo_t *info)
{
	return (int)SYS_CALL4(SYS_rt_tgsigqueueinfo, pid, tid, signo, info);
}

struct rlimit;
static inline int sys_getrlimit(int resource, struct rlimit *ret)
{
	return (int)SYS_CALL2(SYS_getrlimit, resource, ret);
}

static inline int sys_sched_yield(void)
{
	return (int)SYS_CALL0(SYS_sched_yield);
}

static inline int sys_getcpu(unsigned *ret)
{
	return (int)SYS_CALL3(SYS_getcpu, ret, NULL, NULL);
}

/* Of the calling thread: bit n of all is processor n. */
static inline int sys_sched_getaffinity(size_t bytes, u64 *ret)
{
	return (int)SYS_CALL3(SYS_sched_getaffinity, 0, bytes, ret);
}

static inline int sys_nanosleep(const struct timespec *t)
{
	return (int)SYS_CALL2(SYS_nanosleep, t, NULL);
}

static inline int sys_sigaltstack(const stack_t *set, stack_t *get)
{
	return (int)SYS_CALL2(SYS_sigaltstack, set, get);
}

static inline int sys_sigpending(u64 *ret)
{
	return (int)SYS_CALL2(SYS_rt_sigpending, ret, sizeof(*ret));
}

static inline int sys_sigtimedwait(u64 set, siginfo_t *info, const struct timespec *timeout)
{
	return (int)SYS_CALL4(SYS_rt_sigtimedwait, &set, info, timeout, sizeof(set));
}

static inline int sys_signalfd(int fd, u64 set, int flags)
{
	return (int)SYS_CALL4(SYS_signalfd4, fd, &set, sizeof(set), flags);
}

/* The kernel's form of struct sigaction. */
struct sys_sigaction {
	void *handler;
	unsigned long flags;
	void *restorer; /* filled in by sys_sigaction() */
	u64 mask;
};

int sys_sigaction(int signo, const struct sys_sigaction *set, struct sys_sigaction *old);

#endif
