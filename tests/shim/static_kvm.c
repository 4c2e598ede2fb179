/* SPDX-License-Identifier: MIT */
/*
 * A static program that uses KVM as small monitors do: vcpus on threads, kicks by signals, a
 * seccomp filter that traps, handlers of faults. It runs by `uservisor exec`, and natively
 * where there is a /dev/kvm. Without an argument it lists its scenarios.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "../inside.h"
#include "static.h"
#include "static_vm.h"

/* mov ax, 0; l: inc ax; out 0x10, ax; cmp ax, 1000; jne l; hlt */
static const uint8_t counts[] = {0xb8, 0, 0, 0x40, 0xe7, 0x10, 0x3d, 0xe8, 0x03, 0x75, 0xf8, 0xf4};
static const uint8_t forever[] = {0xeb, 0xfe};

static void *run_counts(void *opaque)
{
	struct vcpu *c = opaque;
	int n;

	for (n = 1; n <= 1000; n++) {
		CHECK(!ioctl(c->fd, KVM_RUN, 0) && c->run->exit_reason == KVM_EXIT_IO);
		CHECK(c->run->io.port == 0x10 && c->run->io.size == 2);
		CHECK(*(uint16_t *)((uint8_t *)c->run + c->run->io.data_offset) == n);
	}
	CHECK(!ioctl(c->fd, KVM_RUN, 0) && c->run->exit_reason == KVM_EXIT_HLT);
	return NULL;
}

static void count_on_two(struct vm *v)
{
	struct vcpu c[2];
	pthread_t t[2];
	int i;

	memcpy(v->memory + 0x1000, counts, sizeof(counts));
	for (i = 0; i < 2; i++) {
		c[i] = vcpu_open(v, i, 0x1000);
		CHECK(!pthread_create(&t[i], NULL, run_counts, &c[i]));
	}
	for (i = 0; i < 2; i++)
		CHECK(!pthread_join(t[i], NULL) && !close(c[i].fd));
}

static void exits(void)
{
	struct vm v = vm_open();
	int copy;

	count_on_two(&v);
	copy = dup(v.vm);
	CHECK(!close(v.vm) && ioctl(copy, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY) == 1);
	CHECK(dup2(copy, v.vm) == v.vm && !close(copy));
	CHECK(ioctl(v.vm, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY) == 1);
	CHECK(dup2(0, v.vm) == v.vm && ioctl(v.vm, KVM_CREATE_VCPU, 7) == -1);
	CHECK(errno == ENOTTY || errno == EINVAL);
	CHECK(!close(v.vm) && ioctl(v.vm, KVM_CREATE_VCPU, 7) == -1 && errno == EBADF);
	errno = 0;
	CHECK(ioctl(v.system, KVM_CREATE_VM, 99) == -1 && errno == EINVAL);
	/* Who closes everything does not close what the engine has open for another machine. */
	v = vm_open();
	CHECK(!syscall(SYS_close_range, v.vm + 1, ~0u, 0));
	for (copy = v.vm + 1; copy < 1024; copy++)
		close(copy);
	count_on_two(&v);
	CHECK(fcntl(v.vm, F_DUPFD_CLOEXEC, 100) == 100 && !close(v.vm));
	CHECK(ioctl(100, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY) == 1);
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, 100, 0) == MAP_FAILED);
}

/* What programs ask before they open it. */
static void looks(void)
{
	struct stat st;
	char *name = "/dev/../dev/kvm", link[32];
	int fd;

	snprintf(link, sizeof(link), "kvm-link-%d",
		getpid()); /* others do the same in this folder */
	CHECK(!stat("/dev/kvm", &st) && S_ISCHR(st.st_mode) && st.st_rdev == makedev(10, 232));
	CHECK(!access("/dev/kvm", R_OK | W_OK) && access("/dev/kvm", X_OK) == -1);
	CHECK(!symlink(name, link) && (fd = open(link, O_RDWR)) >= 0);
	CHECK(!unlink(link) && ioctl(fd, KVM_GET_API_VERSION, 0) == 12);
	CHECK(!fstat(fd, &st) && S_ISCHR(st.st_mode));
	CHECK((fd = open(name, O_RDWR)) >= 0 && ioctl(fd, KVM_GET_API_VERSION, 0) == 12);
	CHECK((fd = openat(AT_FDCWD, "/dev/kvm", O_RDONLY | O_CLOEXEC)) >= 0);
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHECK(open("/dev/kvm", O_RDWR | O_DIRECTORY) == -1 && errno == ENOTDIR);
}

/* ---- signals ---- */

static volatile int kicked;
static struct kvm_run *kicked_run;

static void kick(int sig)
{
	kicked++;
	if (kicked_run)
		kicked_run->immediate_exit = 1;
}

static void *kicks(void *opaque)
{
	inside_wait_thread(*(int *)opaque, 20);
	syscall(SYS_tgkill, getpid(), *(int *)opaque, SIGUSR1);
	return NULL;
}

static void signals(void)
{
	struct {
		struct kvm_signal_mask m;
		uint8_t set[8];
	} mask = {.m.len = 8};
	struct sigaction sa = {.sa_handler = kick, .sa_flags = SA_RESTART};
	struct vm v = vm_open();
	struct vcpu c = vcpu_open(&v, 0, 0x1000);
	int tid = (int)syscall(SYS_gettid);
	sigset_t usr1;
	pthread_t t;

	memcpy(v.memory + 0x1000, forever, sizeof(forever));
	CHECK(!sigaction(SIGUSR1, &sa, NULL));
	/* A handler runs, and the call does not start again although SA_RESTART was asked for. */
	CHECK(!pthread_create(&t, NULL, kicks, &tid));
	CHECK(ioctl(c.fd, KVM_RUN, 0) == -1 && errno == EINTR && kicked == 1);
	CHECK(!pthread_join(t, NULL));
	/* immediate_exit from a handler. */
	kicked_run = c.run;
	raise(SIGUSR1);
	CHECK(ioctl(c.fd, KVM_RUN, 0) == -1 && errno == EINTR && kicked == 2);
	c.run->immediate_exit = 0;
	/* Blocked by us, let through by the vcpu's mask: it ends KVM_RUN and stays pending. */
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	CHECK(!sigprocmask(SIG_BLOCK, &usr1, NULL) && !ioctl(c.fd, KVM_SET_SIGNAL_MASK, &mask));
	CHECK(!pthread_create(&t, NULL, kicks, &tid));
	CHECK(ioctl(c.fd, KVM_RUN, 0) == -1 && errno == EINTR && kicked == 2);
	CHECK(!pthread_join(t, NULL));
	CHECK(!sigpending(&usr1) && sigismember(&usr1, SIGUSR1));
	CHECK(!sigprocmask(SIG_UNBLOCK, &usr1, NULL) && kicked == 3);
}

/* ---- a sandbox that traps ---- */

static volatile int trapped, trapped_nr, trapped_code, trapped_arch;

static void trap(int sig, siginfo_t *info, void *context)
{
	trapped++;
	trapped_nr = info->si_syscall;
	trapped_code = info->si_code;
	trapped_arch = (int)info->si_arch;
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = 4242;
}

#define LOAD(field)                                                                                \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offsetof(struct seccomp_data, field))
#define ALLOW(nr)                                                                                  \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define INSTALL(insns) install(insns, (unsigned short)(sizeof(insns) / sizeof((insns)[0])))

static struct sock_filter only_a_few[] = {LOAD(nr), ALLOW(SYS_ioctl), ALLOW(SYS_read),
	ALLOW(SYS_write), ALLOW(SYS_futex), ALLOW(SYS_mmap), ALLOW(SYS_munmap), ALLOW(SYS_mprotect),
	ALLOW(SYS_madvise), ALLOW(SYS_rt_sigreturn), ALLOW(SYS_rt_sigprocmask), ALLOW(SYS_exit),
	ALLOW(SYS_exit_group), ALLOW(SYS_clone), ALLOW(SYS_clone3), ALLOW(SYS_set_robust_list),
	ALLOW(SYS_close), ALLOW(SYS_rseq), ALLOW(SYS_brk), ALLOW(SYS_prctl), ALLOW(SYS_seccomp),
	ALLOW(SYS_fork), ALLOW(SYS_wait4), ALLOW(SYS_set_tid_address), ALLOW(SYS_execve),
	ALLOW(SYS_rt_sigaction), ALLOW(SYS_gettid), ALLOW(SYS_getrandom),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP)};
static struct sock_filter no_pipes[] = {LOAD(nr),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgrp, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 77),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
static struct sock_filter kills[] = {LOAD(nr),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigaction, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
static struct sock_filter bad_load[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64), BPF_STMT(BPF_RET | BPF_A, 0)};

static int install(struct sock_filter *insns, unsigned short n)
{
	struct sock_fprog p = {.len = n, .filter = insns};

	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p);
}

static void *traps_too(void *opaque)
{
	CHECK(syscall(SYS_getppid) == 4242);
	return opaque;
}

static void trap_on(void)
{
	struct sigaction sa = {.sa_sigaction = trap, .sa_flags = SA_SIGINFO};

	CHECK(!sigaction(SIGSYS, &sa, NULL));
	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !INSTALL(only_a_few));
}

static void sandbox(void)
{
	struct vm v = vm_open();
	struct sock_fprog too_long = {.len = 5000, .filter = only_a_few};
	pthread_t t;
	int status;
	pid_t pid;

	CHECK(INSTALL(bad_load) == -1 && (errno == EINVAL || errno == EACCES));
	trap_on();
	CHECK(prctl(PR_GET_SECCOMP) == 2);
	CHECK(syscall(SYS_getppid) == 4242 && trapped == 1 && trapped_nr == SYS_getppid);
	CHECK(trapped_code == 1 && trapped_arch == (int)AUDIT_ARCH_X86_64);
	CHECK(!pthread_create(&t, NULL, traps_too, NULL) && !pthread_join(t, NULL) && trapped == 2);
	/* The engine's own calls (threads, descriptors, memory) are none of the filter's business. */
	count_on_two(&v);
	CHECK(trapped == 2);
	/* The stricter answer wins, the newest of equals. */
	CHECK(!INSTALL(no_pipes) && syscall(SYS_getpgrp) == 4242);
	CHECK(INSTALL(bad_load) == -1 && errno == EINVAL);
	CHECK(prctl(PR_SET_SECCOMP, 2, &too_long) == -1 && errno == EINVAL);
	CHECK(prctl(PR_SET_SECCOMP, 2, 8) == -1 && errno == EFAULT);
	CHECK(prctl(PR_SET_SECCOMP, 1) == -1 && errno == EINVAL);
	pid = fork();
	if (!pid) {
		CHECK(syscall(SYS_getppid) == 4242 && !INSTALL(kills));
		signal(SIGUSR2, SIG_IGN);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

static void sandboxed_child(void)
{
	CHECK(prctl(PR_GET_SECCOMP) == 2);
	signal(SIGUSR1, SIG_IGN);
	errno = 0;
	CHECK(syscall(SYS_getpgrp) == -1 && errno == 77);
	_exit(45);
}

/* Filters outlive an exec. */
static void sandbox_exec(void)
{
	int status;
	pid_t pid;

	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !INSTALL(no_pipes));
	pid = fork();
	if (!pid) {
		execl("/proc/self/exe", "again", "sandboxed-child", NULL);
		_exit(1);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 45);
}

static void strict(void)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		CHECK(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
		CHECK(write(2, "", 0) == 0);
		syscall(SYS_exit, 3);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 3);
	pid = fork();
	if (!pid) {
		CHECK(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
		syscall(SYS_getpid);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
		WTERMSIG(status) == SIGKILL);
}

/* TSYNC: the other thread is caught as well. */
static volatile int go;

static void *waits(void *opaque)
{
	while (!go)
		syscall(SYS_sched_yield);
	errno = 0;
	CHECK(syscall(SYS_getpgrp) == -1 && errno == 77);
	return NULL;
}

static void sync_filters(void)
{
	struct sock_fprog p = {.len = 4, .filter = no_pipes};
	pthread_t t;

	CHECK(!pthread_create(&t, NULL, waits, NULL) && !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK(!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &p));
	go = 1;
	CHECK(!pthread_join(t, NULL));
}

/* ---- faults ---- */

static sigjmp_buf back;
static volatile int fault_count;

static void jump_back(int sig, siginfo_t *info, void *context)
{
	fault_count++;
	siglongjmp(back, 1);
}

/* The engine lives on SIGSEGV, too: guest accesses to memory that the monitor has protected. */
static void faults(void)
{
	static const uint8_t touch[] = {0xa1, 0, 0x50, 0xf4}; /* mov ax, [0x5000]; hlt */
	static char alternate[65536];
	stack_t ss = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
	struct sigaction sa = {.sa_sigaction = jump_back, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	struct vm v;
	struct vcpu c;
	int i;

	CHECK(!sigaltstack(&ss, NULL) && !sigaction(SIGSEGV, &sa, NULL));
	v = vm_open();
	c = vcpu_open(&v, 0, 0x1000);
	memcpy(v.memory + 0x1000, touch, sizeof(touch));
	CHECK(!mprotect(v.memory + 0x5000, 4096, PROT_NONE));
	for (i = 0; i < 3; i++) {
		if (!sigsetjmp(back, 1)) {
			v.memory[0x5000] = 1;
			CHECK(!"not reached");
		}
		CHECK(fault_count == i + 1);
		CHECK(ioctl(c.fd, KVM_RUN, 0) == -1 && errno == EFAULT);
		CHECK(ioctl(c.fd, KVM_GET_REGS, 8) == -1 && errno == EFAULT);
		CHECK(fault_count == i + 1);
	}
	CHECK(!mprotect(v.memory + 0x5000, 4096, PROT_READ | PROT_WRITE));
	CHECK(!ioctl(c.fd, KVM_RUN, 0) && c.run->exit_reason == KVM_EXIT_HLT);
}

/* ---- processes ---- */

static void *runs_forever(void *opaque)
{
	ioctl(((struct vcpu *)opaque)->fd, KVM_RUN, 0);
	return NULL;
}

static void leave(void)
{
	struct vm v;
	struct vcpu c;
	pthread_t t;
	int status;
	pid_t pid = fork();

	if (!pid) {
		v = vm_open();
		c = vcpu_open(&v, 0, 0x1000);
		memcpy(v.memory + 0x1000, forever, sizeof(forever));
		CHECK(!pthread_create(&t, NULL, runs_forever, &c));
		usleep(30000);
		exit(9);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 9);
}

static void forked(void)
{
	struct vm v = vm_open();
	int status;
	pid_t pid = fork();

	if (!pid) {
		errno = 0;
		CHECK(ioctl(v.vm, KVM_CREATE_VCPU, 0) == -1 && errno == EIO);
		v = vm_open();
		count_on_two(&v);
		execl("/proc/self/exe", "again", "exits", NULL);
		_exit(1);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && !WEXITSTATUS(status));
	count_on_two(&v);
}

/* ---- speed: not a test; prints nanoseconds of processor time ---- */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static void speed(void)
{
	static const uint8_t outs[] = {0xe7, 0x10, 0xeb, 0xfc}; /* l: out 0x10, ax; jmp l */
	struct vm v = vm_open();
	struct vcpu c = vcpu_open(&v, 0, 0x1000);
	enum { N = 100000 };
	double t;
	int i;

	memcpy(v.memory + 0x1000, outs, sizeof(outs));
	for (t = now(), i = 0; i < N; i++)
		syscall(SYS_getppid);
	printf("getppid      %6.0f ns\n", (now() - t) / N);
	for (t = now(), i = 0; i < N; i++)
		ioctl(v.system, KVM_GET_API_VERSION, 0);
	printf("API_VERSION  %6.0f ns\n", (now() - t) / N);
	for (t = now(), i = 0; i < N; i++)
		CHECK(!ioctl(c.fd, KVM_RUN, 0));
	printf("KVM_RUN, OUT %6.0f ns\n", (now() - t) / N);
}

static const struct scenario scenarios[] = {
	{"exits", exits},
	{"looks", looks},
	{"signals", signals},
	{"sandbox", sandbox},
	{"sandbox_exec", sandbox_exec},
	{"strict", strict},
	{"sync_filters", sync_filters},
	{"faults", faults},
	{"leave", leave},
	{"forked", forked},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	alarm(120);
	if (argc == 2 && !strcmp(argv[1], "sandboxed-child"))
		sandboxed_child();
	if (argc == 2 && !strcmp(argv[1], "speed")) {
		speed();
		return 0;
	}
	return run_scenario(scenarios, argc, argv);
}
