/* SPDX-License-Identifier: MIT */
/*
 * A program that looks for VT-x or AMD-V before it opens /dev/kvm, as some virtual machine monitors do.
 *
 *   processor all     under `uservisor exec`: it finds them, in every way
 *   processor host    with --host-cpuid: it finds what the machine has; prints that
 *
 * Nothing here depends on the machine's own VT-x or AMD-V.
 */
#include <cpuid.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			printf("%s:%d: %s\n", __func__, __LINE__, #condition);                     \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

struct regs {
	uint64_t a, b, c, d;
};

/* All 64 bits of each register, which begin as ones. */
static struct regs cpuid(uint32_t leaf)
{
	struct regs r = {~0ull << 32 | leaf, ~0ull, ~0ull << 32, ~0ull};

	__asm__ volatile("cpuid" : "+a"(r.a), "+b"(r.b), "+c"(r.c), "+d"(r.d));
	return r;
}

/* The same with a prefix that means nothing. */
static struct regs cpuid_rex(uint32_t leaf)
{
	struct regs r = {leaf, 0, 0, 0};

	__asm__ volatile(".byte 0x48\n\tcpuid" : "+a"(r.a), "+b"(r.b), "+c"(r.c), "+d"(r.d));
	return r;
}

static int is_amd(void)
{
	struct regs r = cpuid(0);

	return r.b == 0x68747541 || r.b == 0x6f677948;
}

static int virtualizes(void)
{
	return is_amd() ? cpuid(0x80000001).c >> 2 & 1 : cpuid(1).c >> 5 & 1;
}

/* ---- the instruction ---- */

static void test_registers(void)
{
	struct regs r = cpuid(0), rex = cpuid_rex(0);

	CHECK(virtualizes());
	CHECK(!((r.a | r.b | r.c | r.d) >> 32));
	CHECK(r.a >= 7 && r.a < 0x1000);
	CHECK(!memcmp(&r, &rex, sizeof(r)));
	CHECK(cpuid(1).d & 1 << 25); /* SSE: every x86-64 processor */
}

/* The two bytes as a part of others, which nobody may change. */
static __attribute__((noinline)) uint32_t constant(void)
{
	uint32_t value;

	__asm__ volatile("movl $0xa20f, %0\n\tjmp 1f\n\t.byte 0x0f, 0xa2\n1:" : "=r"(value));
	return value;
}

static void test_constant(void)
{
	const uint8_t *code = (const uint8_t *)constant;
	unsigned i, n = 0;

	CHECK(constant() == 0xa20f);
	for (i = 0; i < 24; i++)
		n += code[i] == 0x0f && code[i + 1] == 0xa2;
	CHECK(n >= 1);
}

static void *in_thread(void *arg)
{
	*(int *)arg = virtualizes();
	return NULL;
}

static void test_thread(void)
{
	pthread_t t;
	int seen = 0;

	CHECK(!pthread_create(&t, NULL, in_thread, &seen));
	CHECK(!pthread_join(t, NULL));
	CHECK(seen);
}

static int status_of(pid_t pid)
{
	int status;

	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void test_fork(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(virtualizes() ? 0 : 1);
	CHECK(!status_of(pid));
	pid = vfork();
	if (!pid)
		_exit(virtualizes() ? 0 : 1);
	CHECK(!status_of(pid));
}

static void test_exec(const char *self)
{
	pid_t pid = fork();

	if (!pid) {
		execl(self, self, "seen", (char *)NULL);
		_exit(127);
	}
	CHECK(!status_of(pid));
}

/* ---- the program's own signal handlers ---- */

static sigjmp_buf back;
static volatile int last_signal;

static void handler(int signo)
{
	last_signal = signo;
	siglongjmp(back, 1);
}

static int *volatile nowhere;

static void fault(int signo)
{
	if (sigsetjmp(back, 1))
		return;
	if (signo == SIGSEGV)
		*nowhere = 1;
	else
		__asm__ volatile("ud2");
}

/* A program's own SIGSEGV and SIGILL, general protection included, are still its own. */
static void test_handlers(int seen)
{
	const int signals[] = {SIGSEGV, SIGILL};
	struct sigaction sa = {.sa_handler = handler}, old;

	for (unsigned i = 0; i < 2; i++) {
		CHECK(!sigaction(signals[i], &sa, &old) && old.sa_handler == SIG_DFL);
		CHECK(!sigaction(signals[i], NULL, &old) && old.sa_handler == handler);
		last_signal = 0;
		fault(signals[i]);
		CHECK(last_signal == signals[i]);
		CHECK(virtualizes() >= seen);
	}
	last_signal = 0;
	if (!sigsetjmp(back, 1))
		__asm__ volatile("hlt");
	CHECK(last_signal == SIGSEGV);
	CHECK(virtualizes() >= seen);
	signal(SIGSEGV, SIG_DFL);
	signal(SIGILL, SIG_DFL);
}

/* A program that has blocked all that can be. */
static void test_blocked(void)
{
	sigset_t all, old;

	sigfillset(&all);
	CHECK(!pthread_sigmask(SIG_BLOCK, &all, &old));
	CHECK(virtualizes());
	CHECK(!pthread_sigmask(SIG_SETMASK, &old, NULL));
	CHECK(!sigprocmask(SIG_SETMASK, &all, NULL));
	CHECK(virtualizes());
	CHECK(!sigprocmask(SIG_SETMASK, &old, NULL));
}

static void test_default(void)
{
	pid_t pid = fork();

	if (!pid) {
		virtualizes();
		__asm__ volatile("hlt");
	}
	CHECK(status_of(pid) == 128 + SIGSEGV);
}

/* ---- /proc/cpuinfo ---- */

static int count_flags(FILE *f, const char *flag, int *ret_lines)
{
	static char line[8192];
	char *at;
	int n = 0;

	*ret_lines = 0;
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "flags\t", 6))
			continue;
		++*ret_lines;
		for (at = strtok(line + 6, " \t:\n"); at; at = strtok(NULL, " \t:\n"))
			n += !strcmp(at, flag);
	}
	return n;
}

static int cpuinfo(FILE *f)
{
	int n, lines;

	CHECK(f);
	n = count_flags(f, is_amd() ? "svm" : "vmx", &lines);
	fclose(f);
	CHECK(lines > 0 && (n == 0 || n == lines));
	return n > 0;
}

static void test_cpuinfo(void)
{
	int fd = open("/proc/cpuinfo", O_RDONLY | O_CLOEXEC);

	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHECK(cpuinfo(fdopen(fd, "r")));
	fd = openat(AT_FDCWD, "/proc/cpuinfo", O_RDONLY);
	CHECK(fcntl(fd, F_GETFD) == 0);
	CHECK(cpuinfo(fdopen(fd, "r")));
	CHECK(cpuinfo(fopen("/proc/cpuinfo", "r")));
}

/* ---- a program that has CPUID fault by itself ---- */

#define ARCH_GET_CPUID 0x1011
#define ARCH_SET_CPUID 0x1012

static void test_own_faulting(void)
{
	const char *without = getenv("USERVISOR_WITHOUT"); /* we do as if it had none */
	struct sigaction sa = {.sa_handler = handler};
	pid_t pid;

	if (without && *without)
		return;
	pid = fork();
	if (pid) {
		CHECK(!status_of(pid));
		return;
	}
	if (syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1))
		_exit(0); /* the processor or the kernel cannot */
	CHECK(syscall(SYS_arch_prctl, ARCH_GET_CPUID, 0) == 1);
	CHECK(!sigaction(SIGSEGV, &sa, NULL));
	CHECK(!syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0));
	CHECK(syscall(SYS_arch_prctl, ARCH_GET_CPUID, 0) == 0);
	if (!sigsetjmp(back, 1))
		cpuid(0);
	CHECK(last_signal == SIGSEGV);
	_exit(0);
}

/* ---- with a machine ---- */

static void test_machine(void)
{
	int kvm = open("/dev/kvm", O_RDWR), vm;

	CHECK(kvm >= 0);
	CHECK(virtualizes());
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	CHECK(vm >= 0);
	CHECK(ioctl(vm, KVM_CREATE_VCPU, 0) >= 0);
	test_handlers(0); /* who has a machine may see the processor as it is */
}

int main(int argc, char **argv)
{
	const char *test = argc > 1 ? argv[1] : "";

	setvbuf(stdout, NULL, _IONBF, 0);
	if (!strcmp(test, "host"))
		return printf("%d %d\n", virtualizes(), cpuinfo(fopen("/proc/cpuinfo", "r"))) < 0;
	if (!strcmp(test, "seen"))
		return !virtualizes() || !cpuinfo(fopen("/proc/cpuinfo", "r"));
	test_registers();
	test_constant();
	test_thread();
	test_fork();
	test_exec(argv[0]);
	test_default();
	test_cpuinfo();
	test_handlers(1);
	test_own_faulting();
	test_blocked();
	test_machine();
	puts("ok");
	return 0;
}
