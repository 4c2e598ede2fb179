/* SPDX-License-Identifier: MIT */
/* Programs that live in the kernel: calls, signals, faults, processes, pipes. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "ubench.h"

static u64 run_getppid(u64 n)
{
	u64 bad = 0;

	for (u64 i = 0; i < n * 100; i++)
		bad += syscall(SYS_getppid) < 0;
	return bad;
}

static u64 run_sched_yield(u64 n)
{
	u64 bad = 0;

	while (n--)
		bad += sched_yield() != 0;
	return bad;
}

static u64 run_readzero(u64 n)
{
	static char buf[4096];
	int fd = open("/dev/zero", O_RDONLY);
	u64 sum = 0;

	must(fd >= 0, "/dev/zero");
	while (n--)
		sum += (u64)read(fd, buf, sizeof(buf));
	close(fd);
	return sum;
}

static volatile sig_atomic_t signals;

static void count_signal(int sig)
{
	(void)sig;
	signals++;
}

static u64 run_sigself(u64 n)
{
	struct sigaction sa = {.sa_handler = count_signal};

	signals = 0;
	sigaction(SIGUSR1, &sa, NULL);
	for (u64 i = 0; i < n; i++)
		kill(getpid(), SIGUSR1);
	return (u64)signals;
}

/* The faulting instruction is two bytes: mov (%rax),%al. */
static void skip_fault(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)info;
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
	signals++;
}

static u64 run_segv(u64 n)
{
	struct sigaction sa = {.sa_sigaction = skip_fault, .sa_flags = SA_SIGINFO};

	signals = 0;
	sigaction(SIGSEGV, &sa, NULL);
	while (n--) {
		u64 address = 16;
		__asm__ volatile("movb (%%rax), %%al" : "+a"(address)::"memory");
	}
	return (u64)signals;
}

static u64 run_pagefault(u64 n)
{
	u64 sum = 0;

	while (n--) {
		volatile u8 *p = mmap(NULL, 64 * 4096, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		must(p != MAP_FAILED, "mmap");
		for (unsigned i = 0; i < 64; i++) {
			p[i * 4096] = 1;
			sum += p[i * 4096];
		}
		munmap((void *)p, 64 * 4096);
	}
	return sum;
}

static u64 run_mprotect(u64 n)
{
	volatile u8 *p = must_map(4096, PROT_READ | PROT_WRITE);
	u64 sum = 0;

	while (n--) {
		mprotect((void *)p, 4096, PROT_READ);
		sum += p[1];
		mprotect((void *)p, 4096, PROT_READ | PROT_WRITE);
		p[1]++;
	}
	munmap((void *)p, 4096);
	return sum;
}

static u64 run_forkwait(u64 n)
{
	u64 bad = 0;

	while (n--) {
		int status;
		pid_t pid = fork();
		must(pid >= 0, "fork");
		if (pid == 0)
			_exit(5);
		waitpid(pid, &status, 0);
		bad += status != 5 << 8;
	}
	return bad;
}

/* posix_spawn is vfork and exec without vfork's traps for the compiler. */
static u64 run_forkexec(u64 n)
{
	char *const argv[] = {(char *)"ubench", (char *)"--exit", NULL};
	char *const env[] = {NULL};
	u64 bad = 0;

	while (n--) {
		int status;
		pid_t pid;
		must(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, env) == 0,
			"posix_spawn");
		waitpid(pid, &status, 0);
		bad += status != 0;
	}
	return bad;
}

static u64 run_pipe(u64 n)
{
	int ping[2], pong[2];
	u64 sum = 0;
	u8 byte = 0;
	pid_t pid;

	must(pipe(ping) == 0 && pipe(pong) == 0, "pipe");
	pid = fork();
	must(pid >= 0, "fork");
	if (pid == 0) {
		close(ping[1]);
		while (read(ping[0], &byte, 1) == 1) {
			byte++;
			must(write(pong[1], &byte, 1) == 1, "write");
		}
		_exit(0);
	}
	close(ping[0]);
	while (n--) {
		must(write(ping[1], &byte, 1) == 1, "write");
		must(read(pong[0], &byte, 1) == 1, "read");
		sum += byte;
	}
	close(ping[1]);
	close(pong[0]);
	close(pong[1]);
	waitpid(pid, NULL, 0);
	return sum;
}

const struct workload os_workloads[] = {
	{"getppid", "os", "100 system calls", run_getppid},
	{"sched_yield", "os", "1 call", run_sched_yield},
	{"readzero", "os", "read 4 KiB of /dev/zero", run_readzero},
	{"sigself", "os", "kill self, handler", run_sigself},
	{"segv", "os", "SIGSEGV, handler skips", run_segv},
	{"pagefault", "os", "mmap, touch 64 pages, munmap", run_pagefault},
	{"mprotect", "os", "2 mprotect, 2 touches", run_mprotect},
	{"forkwait", "os", "fork, exit, wait", run_forkwait},
	{"forkexec", "os", "vfork, exec, wait", run_forkexec},
	{"pipe", "os", "1-byte ping-pong of 2 processes", run_pipe},
	{0},
};
