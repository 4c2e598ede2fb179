/* SPDX-License-Identifier: MIT */
/*
 * The child's side of its birth. It has a copy of its parent's memory, may be the child of any thread of it, and its locks
 * may be held: so raw system calls only, no libc, and no sanitizer (meson.build).
 *
 * The leader makes the three threads and ends: it alone has what the C library has registered for its thread with the kernel
 * (rseq(2), the robust list), and its end is what the parent waits for (CLONE_VFORK). Threads are made before any filter:
 * a thread can have one listener, and would inherit the other's.
 *
 * The descriptors are the parent's own table until each thread has made its listener; then it takes leave of the table.
 */
#include <asm/prctl.h>
#include <errno.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/mman.h>

#include "cage/cage_priv.h"

#ifndef SECCOMP_FILTER_FLAG_NEW_LISTENER
#define SECCOMP_FILTER_FLAG_NEW_LISTENER 8
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#define SHSTK_DISABLE 0x5002 /* ARCH_SHSTK_DISABLE, Linux 6.6 */
#define SHSTK_SHSTK   1
#define RESTORER      0x04000000ul /* SA_RESTORER, which the kernel wants */
#define SIGNALS       64
#define DISPATCH      59 /* PR_SET_SYSCALL_USER_DISPATCH, Linux 5.11 */
#define DISPATCH_ON   1

#define BIT_OF(signo) (1ull << ((signo)-1))
/* What stops guest code. All else is blocked for ever. */
#define STOPS                                                                                      \
	(BIT_OF(SIGSEGV) | BIT_OF(SIGBUS) | BIT_OF(SIGFPE) | BIT_OF(SIGILL) | BIT_OF(SIGTRAP) |    \
		BIT_OF(SIGSYS) | BIT_OF(CAGE_SIGNAL))

#define CALL(nr, a, b, c, d, e)                                                                    \
	sys_raw(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)sys_key)

static struct birth_report *report_of(void)
{
	return (struct birth_report *)(CAGE_AREA + CAGE_FRAME);
}

_Noreturn static void end(void)
{
	for (;;)
		CALL(SYS_exit_group, 1, 0, 0, 0, 0);
}

_Noreturn static void fail(_Atomic int *report, long error)
{
	atomic_store(report, (int)error);
	end();
}

_Noreturn static void enter(const char *label, long arg)
{
	__asm__ volatile("jmp *%0" : : "r"(stub_at(label)), "D"(arg) : "memory");
	__builtin_unreachable();
}

static long install(const struct bpf_filter *f, unsigned flags)
{
	return CALL(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &f->prog, 0, 0);
}

/* The listener's number is the parent's; the thread itself has no descriptor any more. */
static long listen_and_close(const struct bpf_filter *f, int *listener)
{
	long fd = install(f, SECCOMP_FILTER_FLAG_NEW_LISTENER);

	if (fd < 0)
		return fd;
	*listener = (int)fd + 1;
	return CALL(SYS_close_range, 0, ~0u, CLOSE_RANGE_UNSHARE, 0, 0);
}

/* ---- the threads. A struct thread_start is at the top of each one's stack: clone() returns to its first word. ---- */

struct thread_start {
	void (*entry)(unsigned long flags, struct thread_start *s);
	struct cage_birth *birth;
};

/*
 * From when on the parent says so, what comes from outside our code page is a signal before filters are asked. The kernel lets
 * uretprobe() and uprobe() pass every filter (Linux 6.14), but not this. Kernels that do not have it have none of the two.
 */
static long dispatch_all(void)
{
	long r = CALL(SYS_prctl, DISPATCH, DISPATCH_ON, CAGE_AREA + CAGE_CODE, PAGE_SIZE,
		CAGE_AREA + CAGE_CONTROL + offsetof(struct cage_control, dispatch));

	return r == -EINVAL ? 0 : r;
}

static void runner(unsigned long flags, struct thread_start *s)
{
	const struct filters *f = &s->birth->filters;
	const stack_t stack = {(void *)(CAGE_AREA + CAGE_FRAME), 0, CAGE_FRAME_SIZE};
	const u64 mask = ~(u64)STOPS;
	struct birth_report *report = report_of();
	long r;

	r = CALL(SYS_sigaltstack, &stack, 0, 0, 0, 0);
	if (!r)
		r = CALL(SYS_rt_sigprocmask, SIG_SETMASK, &mask, 0, sizeof(mask), 0);
	if (!r)
		r = dispatch_all();
	if (!r)
		r = listen_and_close(&f->runner_listener, &report->runner_listener);
	if (!r)
		r = install(&f->runner, 0);
	if (r)
		fail(&report->runner, r);
	atomic_store(&report->runner, 1);
	enter(cage_stub_runner, 0);
}

static void mapper(unsigned long flags, struct thread_start *s)
{
	const struct filters *f = &s->birth->filters;
	struct birth_report *report = report_of();
	long r = listen_and_close(&f->mapper_listener, &report->mapper_listener);

	if (!r)
		r = install(&f->mapper, 0);
	if (r)
		fail(&report->mapper, r);
	atomic_store(&report->mapper, 1);
	enter(cage_stub_mapper, 0);
}

/* Of all descriptors it keeps the parent's process. Returns an epoll that waits for its end. */
static long open_watch(long parent)
{
	struct epoll_event event = {.events = EPOLLIN};
	long r = CALL(SYS_close_range, parent + 1, ~0u, CLOSE_RANGE_UNSHARE, 0, 0), epoll;

	if (!r && parent)
		r = CALL(SYS_close_range, 0, parent - 1, 0, 0, 0);
	if (r)
		return r;
	epoll = CALL(SYS_epoll_create1, 0, 0, 0, 0, 0);
	if (epoll >= 0)
		r = CALL(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, parent, &event, 0);
	return r ? r : epoll;
}

/* Its report is made where it waits. */
static void watcher(unsigned long flags, struct thread_start *s)
{
	struct birth_report *report = report_of();
	long epoll = open_watch(s->birth->parent),
	     r = epoll < 0 ? epoll : install(&s->birth->filters.watcher, 0);

	if (r)
		fail(&report->watcher, r);
	enter(cage_stub_watcher, epoll);
}

/* What clone() does not touch are the arguments in rdi and rsi, which entry() has as its own: see sys_raw.S. */
static long spawn(
	struct cage_birth *b, unsigned n, void (*entry)(unsigned long, struct thread_start *))
{
	const unsigned long flags =
		CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
	struct thread_start *s = (struct thread_start *)(b->stacks[n + 1]) - 1;

	*s = (struct thread_start){entry, b};
	return CALL(SYS_clone, flags, s, 0, 0, 0);
}

/* ---- the leader ---- */

/* Others than the stops are blocked, and ignored besides, so that none is pending. */
static long handle_signals(void)
{
	const struct sys_sigaction ignore = {SIG_IGN, RESTORER, NULL, 0},
				   stop = {(void *)stub_at(cage_stub_handler),
					   SA_SIGINFO | SA_ONSTACK | RESTORER, NULL, ~0ull};
	long r = 0;

	for (int n = 1; n <= SIGNALS && !r; n++)
		if (n != SIGKILL && n != SIGSTOP)
			r = CALL(SYS_rt_sigaction, n, BIT_OF(n) & STOPS ? &stop : &ignore, 0,
				sizeof(u64), 0);
	return r;
}

/* A second mapping of the region, which is shared memory; the first goes with all that was inherited. */
static long map_region(const struct cage_birth *b)
{
	long r = CALL(SYS_mremap, b->region, 0, CAGE_REGION_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
		CAGE_AREA);

	if (r != CAGE_AREA)
		return r;
	r = CALL(SYS_mprotect, CAGE_AREA + CAGE_CODE, PAGE_SIZE, PROT_READ | PROT_EXEC, 0, 0);
	if (!r)
		r = CALL(SYS_mprotect, CAGE_AREA + CAGE_CONTROL, CAGE_FRAME - CAGE_CONTROL,
			PROT_READ, 0, 0);
	return r;
}

/*
 * Nothing is to be had of the process by others, and no program that it could execute gives it rights. Shadow stacks would
 * be pages that guest code has not mapped; where they cannot be switched off, the first call kills us.
 */
static long give_up_rights(void)
{
	long r;

	CALL(SYS_arch_prctl, SHSTK_DISABLE, SHSTK_SHSTK, 0, 0, 0);
	r = CALL(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
	return r ? r : CALL(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static bool all_report(struct birth_report *report)
{
	return atomic_load(&report->runner) && atomic_load(&report->mapper) &&
	       atomic_load(&report->watcher);
}

/* A thread that fails ends the process; one that is killed by somebody's filter alone is missed here. */
static void wait_for_threads(struct birth_report *report)
{
	const struct timespec pause = {0, 20000};

	for (int i = 0; i < 100000 && !all_report(report); i++)
		if (i < 20)
			CALL(SYS_sched_yield, 0, 0, 0, 0, 0);
		else
			CALL(SYS_nanosleep, &pause, 0, 0, 0, 0);
	if (!all_report(report))
		fail(&report->runner, -ETIMEDOUT);
}

_Noreturn void birth_child(struct cage_birth *b)
{
	long r = map_region(b);
	struct birth_report *report = report_of();

	if (r)
		end();
	r = give_up_rights();
	if (!r)
		r = handle_signals();
	if (r)
		fail(&report->runner, r);
	r = spawn(b, 0, runner);
	report->runner_tid = (int)r;
	if (r > 0)
		report->mapper_tid = (int)(r = spawn(b, 1, mapper));
	if (r > 0)
		r = spawn(b, 2, watcher);
	if (r < 0)
		fail(&report->mapper, r);
	wait_for_threads(report);
	for (;;)
		CALL(SYS_exit, 0, 0, 0, 0, 0);
}
