/* SPDX-License-Identifier: MIT */
/*
 * A static program and its kernel: signals, masks, threads, processes. Run natively and by
 * `uservisor exec`; both must pass. Without an argument it lists its scenarios.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "../inside.h"
#include "static.h"

extern char **environ;

static volatile sig_atomic_t count;
static volatile int last_signal;

static void counter(int sig)
{
	count++;
	last_signal = sig;
}

static void on(int sig, void (*handler)(int), int flags)
{
	struct sigaction sa = {.sa_handler = handler, .sa_flags = flags};

	CHECK(!sigaction(sig, &sa, NULL));
}

/* A child that sends SIGALRM when we sleep, and when we sleep again writes to fd, unless that is -1. */
static void later(int fd)
{
	pid_t us = getpid();

	if (fork())
		return;
	inside_wait_process(us, 20);
	kill(us, SIGALRM);
	if (fd >= 0) {
		inside_wait_process(us, 20);
		_exit(write(fd, "x", 1) != 1);
	}
	_exit(0);
}

/* ---- masks ---- */

static void masks(void)
{
	sigset_t set, old;
	int sig;

	sigfillset(&set);
	CHECK(!sigprocmask(SIG_SETMASK, &set, NULL));
	CHECK(!sigprocmask(SIG_BLOCK, NULL, &old));
	for (sig = 1; sig < 32; sig++)
		CHECK(sigismember(&old, sig) == (sig != SIGKILL && sig != SIGSTOP));
	on(SIGUSR1, counter, 0);
	kill(getpid(), SIGUSR1);
	CHECK(!count);
	CHECK(!sigpending(&set) && sigismember(&set, SIGUSR1));
	sigdelset(&old, SIGUSR1);
	CHECK(sigsuspend(&old) == -1 && errno == EINTR && count == 1);
	sigemptyset(&set);
	sigaddset(&set, SIGSYS);
	sigaddset(&set, SIGSEGV);
	CHECK(!sigprocmask(SIG_SETMASK, &set, NULL));
	CHECK(!sigprocmask(SIG_UNBLOCK, &set, &old));
	CHECK(sigismember(&old, SIGSYS) && sigismember(&old, SIGSEGV));
	CHECK(!sigismember(&old, SIGUSR1));
	errno = 0;
	CHECK(syscall(SYS_rt_sigprocmask, 77, &set, NULL, 8) == -1 && errno == EINVAL);
	CHECK(syscall(SYS_rt_sigprocmask, SIG_BLOCK, 8, NULL, 8) == -1 && errno == EFAULT);
	CHECK(syscall(SYS_rt_sigaction, SIGKILL, NULL, NULL, 8) == 0);
	CHECK(syscall(SYS_rt_sigaction, SIGUSR1, 8, NULL, 8) == -1 && errno == EFAULT);
	CHECK(syscall(SYS_open, 8, 0) == -1 && errno == EFAULT);
}

static volatile int mask_in_handler;

static void note_mask(int sig)
{
	sigset_t now;

	count++;
	sigprocmask(SIG_BLOCK, NULL, &now);
	mask_in_handler = sigismember(&now, SIGUSR1) | sigismember(&now, SIGUSR2) << 1 |
			  sigismember(&now, SIGALRM) << 2 | sigismember(&now, SIGHUP) << 3;
}

/* The mask that ppoll() sets counts while it waits, and its handlers start from it. */
static void temporary_masks(void)
{
	struct sigaction sa = {.sa_handler = note_mask};
	struct timespec second = {60, 0};
	sigset_t set, old;

	sigaddset(&sa.sa_mask, SIGUSR2);
	CHECK(!sigaction(SIGALRM, &sa, NULL));
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	CHECK(!sigprocmask(SIG_SETMASK, &set, NULL));
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGSEGV);
	later(-1);
	CHECK(ppoll(NULL, 0, &second, &set) == -1 && errno == EINTR);
	CHECK(count == 1 && mask_in_handler == (2 | 4 | 8));
	CHECK(!sigprocmask(SIG_BLOCK, NULL, &old));
	CHECK(sigismember(&old, SIGALRM) && !sigismember(&old, SIGHUP));
	CHECK(!sigismember(&old, SIGSEGV));
	sigdelset(&old, SIGALRM);
	sigprocmask(SIG_SETMASK, &old, NULL);
	kill(getpid(), SIGALRM); /* and afterwards no more */
	CHECK(count == 2 && mask_in_handler == (2 | 4));
	later(-1);
	CHECK(pselect(0, NULL, NULL, NULL, &second, &set) == -1 && errno == EINTR);
	CHECK(count == 3 && mask_in_handler == (2 | 4 | 8));
}

/* ---- handlers ---- */

static void dispositions(void)
{
	struct sigaction sa;

	on(SIGUSR1, counter, SA_RESETHAND);
	raise(SIGUSR1);
	CHECK(count == 1 && !sigaction(SIGUSR1, NULL, &sa) && sa.sa_handler == SIG_DFL);
	on(SIGSEGV, counter, SA_RESETHAND);
	CHECK(!kill(getpid(), SIGSEGV) && count == 2 && last_signal == SIGSEGV);
	CHECK(!sigaction(SIGSEGV, NULL, &sa) && sa.sa_handler == SIG_DFL);
	on(SIGSYS, counter, 0);
	raise(SIGSYS);
	CHECK(count == 3 && last_signal == SIGSYS);
	CHECK(!sigaction(SIGSYS, NULL, &sa) && sa.sa_handler == counter);
	on(SIGSEGV, SIG_IGN, 0);
	kill(getpid(), SIGSEGV);
	CHECK(count == 3);
}

static void restart(void)
{
	char c;
	int fd[2];

	CHECK(!pipe(fd));
	on(SIGALRM, counter, 0);
	later(-1);
	CHECK(read(fd[0], &c, 1) == -1 && errno == EINTR && count == 1);
	CHECK(wait(NULL) > 0);
	on(SIGALRM, counter, SA_RESTART);
	later(fd[1]);
	CHECK(read(fd[0], &c, 1) == 1 && c == 'x' && count == 2);
	/* nanosleep() is restarted as restart_syscall() where no handler runs. */
	CHECK(wait(NULL) > 0);
}

static char alternate[65536];
static stack_t seen_inside;
static uintptr_t handler_sp;

static void look_at_stack(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	handler_sp = (uintptr_t)&sig;
	sigaltstack(NULL, &seen_inside);
	CHECK(info->si_signo == sig);
	CHECK(uc->uc_stack.ss_sp == alternate);
	count++;
}

static void altstack(void)
{
	stack_t ss = {.ss_sp = alternate, .ss_size = sizeof(alternate)}, old;
	struct sigaction sa = {.sa_sigaction = look_at_stack, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	CHECK(!sigaltstack(NULL, &old) && old.ss_flags == SS_DISABLE);
	CHECK(!sigaltstack(&ss, NULL) && !sigaction(SIGUSR1, &sa, NULL));
	raise(SIGUSR1);
	CHECK(count == 1 && seen_inside.ss_flags == SS_ONSTACK);
	CHECK(handler_sp - (uintptr_t)alternate < sizeof(alternate));
	CHECK(!sigaltstack(NULL, &old) && old.ss_sp == alternate && !old.ss_flags);
	ss.ss_size = 100;
	CHECK(sigaltstack(&ss, NULL) == -1 && errno == ENOMEM);
}

static sigjmp_buf back;
static void *fault_address;

static void jump_back(int sig, siginfo_t *info, void *context)
{
	fault_address = info->si_addr;
	siglongjmp(back, sig);
}

static void skip_it(int sig, siginfo_t *info, void *context)
{
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
	count++;
}

static void faults(void)
{
	struct sigaction sa = {.sa_sigaction = jump_back, .sa_flags = SA_SIGINFO | SA_NODEFER};
	char *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int i;

	CHECK(!sigaction(SIGSEGV, &sa, NULL));
	for (i = 0; i < 3; i++) {
		if (!sigsetjmp(back, 1)) {
			*(volatile char *)(page + i) = 1;
			CHECK(!"not reached");
		}
		CHECK(fault_address == page + i);
	}
	sa.sa_sigaction = skip_it;
	CHECK(!sigaction(SIGILL, &sa, NULL));
	__asm__ volatile("ud2");
	CHECK(count == 1);
}

/* x87, SSE and AVX state across system calls and across a handler that uses them. */
static void vectors_in_handler(int sig)
{
	__asm__ volatile("pxor %%xmm7, %%xmm7\n\tfldpi" : : : "xmm7");
	counter(sig);
}

static void vectors(void)
{
	uint64_t in[2] = {0x1122334455667788, 42}, out[2];
	uint32_t mxcsr = 0x9fc0, after;
	int pid = getpid(), r, i;

	on(SIGUSR1, vectors_in_handler, 0);
	for (i = 0; i < 20; i++) {
		__asm__ volatile(
			"ldmxcsr %5\n\tmovdqu %3, %%xmm7\n\tsyscall\n\tmovdqu %%xmm7, %1\n\t"
			"stmxcsr %2"
			: "=a"(r), "=m"(out), "=m"(after)
			: "m"(in), "0"(SYS_kill), "m"(mxcsr), "D"(pid), "S"(SIGUSR1)
			: "rcx", "r11", "memory", "xmm7");
		CHECK(!r && !memcmp(in, out, sizeof(in)) && after == mxcsr);
	}
	CHECK(count == 20);
}

/* All registers but rax, rcx and r11 survive a system call. */
static void registers(void)
{
	uint64_t rdi = 1, rsi = 2, rdx = 3, r8, r9, r10;

	__asm__ volatile("mov $4, %%r10\n\tmov $5, %%r8\n\tmov $6, %%r9\n\tmov $59, %%eax\n\t"
			 "syscall\n\tmov %%r8, %3\n\tmov %%r9, %4\n\tmov %%r10, %5"
			 : "+D"(rdi), "+S"(rsi), "+d"(rdx), "=m"(r8), "=m"(r9), "=m"(r10)
			 :
			 : "rax", "rcx", "r8", "r9", "r10", "r11", "memory");
	CHECK(rdi == 1 && rsi == 2 && rdx == 3 && r10 == 4 && r8 == 5 && r9 == 6);
	/* The same for one that fails late: the file is no program. */
	CHECK(execve("/dev/null", (char *[]){"x", NULL}, environ) == -1 && errno == EACCES);
	CHECK(execve("/nowhere", (char *[]){"x", NULL}, environ) == -1 && errno == ENOENT);
}

/* ---- threads ---- */

static __thread int own;

static void *thread(void *arg)
{
	own = (int)(intptr_t)arg;
	sched_yield();
	CHECK(own == (int)(intptr_t)arg);
	return arg;
}

static int detached_left;

static void *detached(void *arg)
{
	__atomic_fetch_sub(&detached_left, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void threads(void)
{
	pthread_t t[8];
	pthread_attr_t attr;
	void *result;
	int round, i;

	for (round = 0; round < 25; round++) {
		for (i = 0; i < 8; i++)
			CHECK(!pthread_create(&t[i], NULL, thread, (void *)(intptr_t)(i + 1)));
		for (i = 0; i < 8; i++)
			CHECK(!pthread_join(t[i], &result) && result == (void *)(intptr_t)(i + 1));
	}
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	detached_left = 50;
	for (i = 0; i < 50; i++)
		CHECK(!pthread_create(&t[0], &attr, detached, NULL));
	while (__atomic_load_n(&detached_left, __ATOMIC_SEQ_CST))
		sched_yield();
}

static int never[2];

static void *reader(void *arg)
{
	char c;

	CHECK(read(never[0], &c, 1) == 0);
	return NULL;
}

/* The C library finds out by the program counter whether a cancelled thread is in a system call. */
static void cancel(void)
{
	pthread_t t;
	void *result;

	CHECK(!pipe(never) && !pthread_create(&t, NULL, reader, NULL));
	usleep(30000);
	CHECK(!pthread_cancel(t) && !pthread_join(t, &result) && result == PTHREAD_CANCELED);
}

static pthread_mutex_t robust;

static void *dies_with_lock(void *arg)
{
	CHECK(!pthread_mutex_lock(&robust));
	return NULL;
}

static void robust_mutex(void)
{
	pthread_mutexattr_t attr;
	pthread_t t;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	CHECK(!pthread_mutex_init(&robust, &attr));
	CHECK(!pthread_create(&t, NULL, dies_with_lock, NULL) && !pthread_join(t, NULL));
	CHECK(pthread_mutex_lock(&robust) == EOWNERDEAD);
}

static void *spins(void *arg)
{
	for (;;)
		if (arg)
			sched_yield();
	return NULL;
}

/* The last words of a process with busy threads. */
static void exit_group(void)
{
	pthread_t t;
	int status;
	pid_t pid = fork();

	if (!pid) {
		CHECK(!pthread_create(&t, NULL, spins, NULL));
		CHECK(!pthread_create(&t, NULL, spins, "yields"));
		usleep(1000);
		_exit(7);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

/* ---- processes ---- */

static void processes(void)
{
	int *volatile nowhere = (int *)8;
	int status, i;
	pid_t pid;

	for (i = 0; i < 20; i++) {
		pid = fork();
		if (!pid)
			_exit(getppid() == 1 ? 99 : i);
		CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == i);
	}
	pid = fork();
	if (!pid) {
		raise(SIGSEGV);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
		WTERMSIG(status) == SIGSEGV);
	pid = fork();
	if (!pid) {
		*(volatile int *)nowhere = 1;
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
		WTERMSIG(status) == SIGSEGV);
}

/* Started by spawn(): what it inherits and what it calls itself. */
static void child(void)
{
	char path[4096];
	sigset_t mask;
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	CHECK(n > 0);
	path[n] = 0;
	CHECK(strstr(path, "static-system"));
	CHECK(!strcmp(getenv("FROM_PARENT"), "yes"));
	CHECK(!sigprocmask(SIG_BLOCK, NULL, &mask) && sigismember(&mask, SIGUSR2));
	CHECK(fcntl(33, F_GETFD) == -1 && fcntl(34, F_GETFD) == 0);
	_exit(44);
}

static void spawn(void)
{
	char *argv[] = {"a name", "child", NULL}, *script[] = {"/nowhere/at/all", NULL};
	sigset_t mask;
	int status;
	pid_t pid;

	setenv("FROM_PARENT", "yes", 1);
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	CHECK(fcntl(1, F_DUPFD_CLOEXEC, 33) == 33 && fcntl(1, F_DUPFD, 34) == 34);
	CHECK(!posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ));
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 44);
	CHECK(posix_spawn(&pid, script[0], NULL, NULL, script, environ) == ENOENT);
	pid = vfork();
	if (!pid) {
		execve("/proc/self/exe", argv, environ);
		_exit(1);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 44);
	CHECK(system("exit 5") == 5 << 8);
}

static void memory(void)
{
	char *start = (char *)syscall(SYS_brk, 0), *end = start + 100000, *p;

	CHECK((char *)syscall(SYS_brk, end) == end && (char *)syscall(SYS_brk, 8) == end);
	memset(start, 1, 100000);
	CHECK((char *)syscall(SYS_brk, start) == start && (char *)syscall(SYS_brk, end) == end);
	CHECK(start[50000] == 0);
	p = malloc(40 << 20);
	CHECK(p);
	memset(p, 1, 40 << 20);
	free(p);
}

/* Many signals from another thread while this one makes system calls. */
static volatile int storm_over;

static void *sender(void *arg)
{
	int i;

	for (i = 0; i < 3000; i++)
		syscall(SYS_tgkill, getpid(), (int)(intptr_t)arg, i & 1 ? SIGUSR1 : SIGUSR2);
	storm_over = 1;
	return NULL;
}

static void storm(void)
{
	stack_t ss = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
	pthread_t t;
	int fd[2];
	char c = 'a';

	CHECK(!pipe(fd) && !sigaltstack(&ss, NULL));
	on(SIGUSR1, counter, SA_RESTART);
	on(SIGUSR2, counter, SA_RESTART | SA_ONSTACK);
	CHECK(!pthread_create(&t, NULL, sender, (void *)syscall(SYS_gettid)));
	while (!storm_over) {
		c++;
		CHECK(write(fd[1], &c, 1) == 1);
		char d = 0;
		CHECK(read(fd[0], &d, 1) == 1 && c == d);
		CHECK(getppid() > 0);
	}
	CHECK(!pthread_join(t, NULL) && count > 0);
}

static const struct scenario scenarios[] = {
	{"masks", masks},
	{"temporary_masks", temporary_masks},
	{"dispositions", dispositions},
	{"restart", restart},
	{"altstack", altstack},
	{"faults", faults},
	{"vectors", vectors},
	{"registers", registers},
	{"threads", threads},
	{"cancel", cancel},
	{"robust_mutex", robust_mutex},
	{"exit_group", exit_group},
	{"processes", processes},
	{"spawn", spawn},
	{"memory", memory},
	{"storm", storm},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	alarm(120);
	if (argc == 2 && !strcmp(argv[1], "child")) {
		CHECK(!strcmp(argv[0], "a name"));
		child();
	}
	return run_scenario(scenarios, argc, argv);
}
