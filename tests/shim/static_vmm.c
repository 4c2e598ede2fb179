/* SPDX-License-Identifier: MIT */
/*
 * What monitors of Firecracker's kind do: a vcpu on a thread of any origin, which shuts itself in with a filter
 * before its first KVM_RUN, and is kicked by signals. By `uservisor exec`. Without an argument it lists its scenarios.
 */
#define _GNU_SOURCE
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "static_vm.h"

/* mov ax, 0; l: inc ax; out 0x10, ax; cmp ax, 1000; jne l; hlt */
static const uint8_t counts[] = {0xb8, 0, 0, 0x40, 0xe7, 0x10, 0x3d, 0xe8, 0x03, 0x75, 0xf8, 0xf4};
/* l: inc ax; jmp l */
static const uint8_t spins[] = {0x40, 0xeb, 0xfd};

/* ---- the filter of a vcpu's thread ---- */

#define LOAD(offset) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)(offset))
#define ALLOW(value)                                                                               \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(value), 0, 1),                              \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static struct sock_filter vcpu_filter[] = {LOAD(offsetof(struct seccomp_data, arch)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	LOAD(offsetof(struct seccomp_data, nr)), ALLOW(SYS_exit), ALLOW(SYS_futex),
	ALLOW(SYS_write), ALLOW(SYS_rt_sigreturn),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 1, 0),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP), LOAD(offsetof(struct seccomp_data, args[1])),
	ALLOW(KVM_RUN), ALLOW(KVM_GET_REGS), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP)};

static volatile int trapped;

static void trap(int sig, siginfo_t *info, void *context)
{
	trapped++;
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = -4242;
}

/* Only what the filter allows, and nothing that differs between C libraries. */
static long call(long nr, long a, long b, long c)
{
	long r;

	__asm__ volatile("syscall\n	mov %%rax, %%rcx"
			 : "=a"(r)
			 : "0"(nr), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return r;
}

static struct vcpu vcpu;
static volatile int result;

static void shut_in_and_run(void *opaque)
{
	struct sock_fprog p = {sizeof(vcpu_filter) / sizeof(vcpu_filter[0]), vcpu_filter};
	struct kvm_regs regs;
	int n;

	if (call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, (long)&p))
		return;
	for (n = 1; n <= 1000; n++)
		if (call(SYS_ioctl, vcpu.fd, KVM_RUN, 0) || vcpu.run->exit_reason != KVM_EXIT_IO)
			return;
	if (call(SYS_ioctl, vcpu.fd, KVM_RUN, 0) || vcpu.run->exit_reason != KVM_EXIT_HLT)
		return;
	if (call(SYS_ioctl, vcpu.fd, (int)KVM_GET_REGS, (long)&regs) || (uint16_t)regs.rax != 1000)
		return;
	/* The filter is in force: for the system, for arguments, and for what we ask of it ourselves. */
	for (n = 1; n <= 50; n++)
		if (call(SYS_getppid, 0, 0, 0) != -4242 || trapped != 3 * n - 2 ||
			call(SYS_ioctl, vcpu.fd, (int)KVM_SET_REGS, (long)&regs) != -4242 ||
			call(SYS_arch_prctl, 0x1002, 0, 0) != -4242)
			return;
	result = 1;
}

/* ---- threads of any origin ---- */

static uint8_t stack[65536] __attribute__((aligned(16)));
static int alive;

/* The child calls run and ends; its thread-local storage is its parent's, who waits. */
static long start(long nr, long a, long b, long ctid, void (*run)(void *))
{
	register long r10 __asm__("r10") = ctid;
	register long r8 __asm__("r8") = 0;
	register long r12 __asm__("r12") = (long)run;
	long r;

	__asm__ volatile("	syscall\n"
			 "	test %%rax, %%rax\n"
			 "	jnz 1f\n"
			 "	xor %%ebp, %%ebp\n"
			 "	and $-16, %%rsp\n"
			 "	call *%%r12\n"
			 "	mov $60, %%eax\n"
			 "	xor %%edi, %%edi\n"
			 "	syscall\n"
			 "1:\n"
			 : "=a"(r)
			 : "0"(nr), "D"(a), "S"(b), "d"(0), "r"(r10), "r"(r8), "r"(r12)
			 : "rcx", "r11", "memory");
	return r;
}

#define THREAD_FLAGS                                                                               \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |        \
		CLONE_CHILD_CLEARTID)

static void prepare(void)
{
	static struct vm v;
	struct sigaction sa = {.sa_sigaction = trap, .sa_flags = SA_SIGINFO};

	CHECK(!sigaction(SIGSYS, &sa, NULL) && !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	v = vm_open();
	memcpy(v.memory + 0x1000, counts, sizeof(counts));
	vcpu = vcpu_open(&v, 0, 0x1000);
	alive = 1;
}

static void await_end(void)
{
	while (__atomic_load_n(&alive, __ATOMIC_SEQ_CST))
		syscall(SYS_futex, &alive, FUTEX_WAIT, 1, NULL, NULL, 0);
	CHECK(result == 1);
	CHECK(syscall(SYS_getppid) == getppid()); /* it is the thread's own */
}

static void by_clone(void)
{
	prepare();
	CHECK(start(SYS_clone, THREAD_FLAGS, (long)(stack + sizeof(stack)), (long)&alive,
		      shut_in_and_run) > 0);
	await_end();
}

static void by_clone3(void)
{
	struct clone_args a = {.flags = THREAD_FLAGS,
		.stack = (uintptr_t)stack,
		.stack_size = sizeof(stack),
		.child_tid = (uintptr_t)&alive};

	prepare();
	CHECK(start(SYS_clone3, (long)&a, sizeof(a), 0, shut_in_and_run) > 0);
	await_end();
}

static void *run_it(void *opaque)
{
	shut_in_and_run(NULL);
	alive = 0;
	return NULL;
}

static void by_pthread(void)
{
	pthread_t t;

	prepare();
	CHECK(!pthread_create(&t, NULL, run_it, NULL) && !pthread_join(t, NULL));
	await_end();
}

/* ---- kicks ---- */

static volatile int kicks, handled, stop;

static void kicked(int sig)
{
	handled++;
}

static void *kicker(void *opaque)
{
	int tid = *(int *)opaque;

	/* One at a time: two that wait would be one. */
	for (kicks = 0; kicks < 300; kicks++) {
		CHECK(!syscall(SYS_tgkill, getpid(), tid, SIGUSR1));
		while (handled <= kicks)
			sched_yield();
	}
	stop = 1;
	CHECK(!syscall(SYS_tgkill, getpid(), tid, SIGUSR1));
	return NULL;
}

/* Each signal runs its handler once and ends a KVM_RUN that it finds; nothing of the guest is lost. */
static void kick(void)
{
	struct sigaction sa = {.sa_handler = kicked};
	struct vm v = vm_open();
	struct vcpu c = vcpu_open(&v, 0, 0x1000);
	int tid = (int)syscall(SYS_gettid), ended = 0, round;
	struct kvm_regs r;
	sigset_t mask;
	pthread_t t;

	CHECK(!sigaction(SIGUSR1, &sa, NULL));
	memcpy(v.memory + 0x1000, spins, sizeof(spins));
	CHECK(!pthread_create(&t, NULL, kicker, &tid));
	while (!stop) {
		int before = handled;

		/* A guest that never leaves by itself: only a signal ends this. */
		CHECK(ioctl(c.fd, KVM_RUN, 0) == -1 && errno == EINTR);
		CHECK(handled > before || stop);
		ended++;
	}
	CHECK(!pthread_join(t, NULL) && handled >= 300 && ended > 0);
	CHECK(!sigprocmask(SIG_BLOCK, NULL, &mask) && !sigismember(&mask, SIGUSR1) &&
		!sigismember(&mask, SIGTERM));
	/* And the vcpu is as good as new. */
	memcpy(v.memory + 0x2000, counts, sizeof(counts));
	CHECK(!ioctl(c.fd, KVM_GET_REGS, &r));
	r.rip = 0x2000;
	CHECK(!ioctl(c.fd, KVM_SET_REGS, &r));
	for (round = 1; round <= 1000; round++)
		CHECK(!ioctl(c.fd, KVM_RUN, 0) && c.run->exit_reason == KVM_EXIT_IO);
}

/* ---- a jail ---- */

static char jail[] = "/tmp/uservisor-jail-XXXXXX";

static void copy_self(const char *to)
{
	int in = open("/proc/self/exe", O_RDONLY),
	    out = open(to, O_WRONLY | O_CREAT | O_EXCL, 0755);
	char buffer[65536];
	ssize_t n;

	CHECK(in >= 0 && out >= 0);
	while ((n = read(in, buffer, sizeof(buffer))) > 0)
		CHECK(write(out, buffer, (size_t)n) == n);
	CHECK(!n && !close(in) && !close(out));
}

/* A mount namespace of our own, and the right to chroot. */
static int can_jail(void)
{
	if (!geteuid())
		return !unshare(CLONE_NEWNS);
	return !unshare(CLONE_NEWUSER | CLONE_NEWNS);
}

static int in_jail(int with_proc)
{
	char *argv[] = {"jailed", with_proc ? "jailed-proc" : "jailed", NULL}, *envp[] = {NULL};
	char path[64];

	if (!can_jail()) {
		printf("skipped: no namespace for a jail: %s\n", strerror(errno));
		fflush(stdout);
		return 0;
	}
	CHECK(!mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	snprintf(path, sizeof(path), "%s/proc", jail);
	if (with_proc)
		CHECK(!mount("/proc", path, NULL, MS_BIND | MS_REC, NULL));
	CHECK(!chroot(jail) && !chdir("/"));
	/* As jailers do, before anything of KVM was opened. */
	CHECK(!syscall(SYS_close_range, 3, ~0u, 0));
	execve("/program", argv, envp);
	return 1;
}

static void try_jail(int with_proc)
{
	char path[64];
	int status;
	pid_t pid;

	CHECK(mkdtemp(jail));
	snprintf(path, sizeof(path), "%s/proc", jail);
	CHECK(!mkdir(path, 0755));
	snprintf(path, sizeof(path), "%s/program", jail);
	copy_self(path);
	pid = fork();
	if (!pid)
		_exit(in_jail(with_proc));
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(!unlink(path));
	snprintf(path, sizeof(path), "%s/proc", jail);
	CHECK(!rmdir(path) && !rmdir(jail));
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* A chroot in which there is nothing but the program. */
static void jailed(void)
{
	try_jail(0);
}

/* The same with /proc, by which the program executes itself. */
static void jailed_proc(void)
{
	try_jail(1);
}

/* In the jail: once more, then a guest. */
static int inside_jail(char **argv)
{
	char *again[] = {"jailed", "jailed-again", NULL}, *envp[] = {NULL};

	if (!strcmp(argv[1], "jailed-proc"))
		execve("/proc/self/exe", again, envp);
	else if (!strcmp(argv[1], "jailed"))
		execve("program", again, envp);
	CHECK(!strcmp(argv[1], "jailed-again"));
	prepare();
	shut_in_and_run(NULL);
	_exit(result == 1 ? 0 : 1);
}

/* ---- the vector state ---- */

uint64_t read_xcr0(void);
__asm__(".text\n"
	".p2align 5, 0x90\n"
	".skip 64, 0x90\n"
	"read_xcr0:\n"
	"	xor %ecx, %ecx\n"
	"	xgetbv\n"
	"	shl $32, %rdx\n"
	"	or %rdx, %rax\n"
	"	ret\n");

/* Who gives his guest what he finds himself gives it what there is. */
static void vector_state(void)
{
	static struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[256];
	} cpuid = {.head.nent = 256};
	struct vm v = vm_open();
	uint64_t offered = 0;
	unsigned i;

	CHECK(!ioctl(v.system, KVM_GET_SUPPORTED_CPUID, &cpuid));
	for (i = 0; i < cpuid.head.nent; i++)
		if (cpuid.entries[i].function == 0xd && !cpuid.entries[i].index)
			offered = cpuid.entries[i].eax | (uint64_t)cpuid.entries[i].edx << 32;
	if (getenv("USERVISOR_REWRITE") && !strcmp(getenv("USERVISOR_REWRITE"), "never"))
		printf("skipped: XGETBV is left as it is\n");
	else
		CHECK(read_xcr0() && !(read_xcr0() & ~offered));
}

static const struct scenario scenarios[] = {
	{"by_clone", by_clone},
	{"by_clone3", by_clone3},
	{"by_pthread", by_pthread},
	{"kick", kick},
	{"vector_state", vector_state},
	{"jailed", jailed},
	{"jailed_proc", jailed_proc},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	alarm(60);
	if (argc == 2 && !strncmp(argv[1], "jailed-", 7))
		return inside_jail(argv);
	if (argc == 2 && !strcmp(argv[0], "jailed"))
		return inside_jail(argv);
	return run_scenario(scenarios, argc, argv);
}
