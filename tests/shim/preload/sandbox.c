/* SPDX-License-Identifier: MIT */
/* A program that takes away from itself all system calls that it does not need, as Solo5's hvt does. */
#include "tests/shim/preload/client.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>

#define ALLOW(nr)                                                                                  \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

enum way { BY_PRCTL, BY_SECCOMP, BY_TSYNC };

/* What a program needs that opens /dev/kvm in its sandbox, and here one thread of the engine's. */
#define EARLY                                                                                      \
	ALLOW(SYS_openat), ALLOW(SYS_fcntl), ALLOW(SYS_close), ALLOW(SYS_mmap), ALLOW(SYS_munmap), \
		ALLOW(SYS_brk), ALLOW(SYS_getrandom), ALLOW(SYS_mprotect), ALLOW(SYS_madvise),     \
		ALLOW(SYS_clone3), ALLOW(SYS_clone), ALLOW(SYS_rt_sigprocmask),                    \
		ALLOW(SYS_set_robust_list), ALLOW(334 /* rseq */), ALLOW(SYS_exit),                \
		ALLOW(SYS_eventfd2), ALLOW(SYS_setitimer), ALLOW(SYS_rt_sigaction)

static void install(struct sock_filter *code, size_t bytes, enum way way)
{
	struct sock_fprog prog = {(unsigned short)(bytes / sizeof(*code)), code};

	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	if (way == BY_PRCTL)
		CHECK(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0));
	else
		CHECK(!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			way == BY_TSYNC ? SECCOMP_FILTER_FLAG_TSYNC : 0, &prog));
}

/* Both registers must be 0 at the start: the first instructions count on it. */
#define BEGIN                                                                                      \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 2), BPF_STMT(BPF_MISC | BPF_TXA, 0),             \
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),                                      \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),                               \
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),             \
		ALLOW(SYS_ioctl), ALLOW(SYS_futex), ALLOW(SYS_write), ALLOW(SYS_rt_sigreturn),     \
		ALLOW(SYS_exit_group)

static void forbid(unsigned verdict, enum way way)
{
	struct sock_filter code[] = {BEGIN, BPF_STMT(BPF_RET | BPF_K, verdict)};

	install(code, sizeof(code), way);
}

static void forbid_early(unsigned verdict, enum way way)
{
	struct sock_filter code[] = {BEGIN, EARLY, BPF_STMT(BPF_RET | BPF_K, verdict)};

	install(code, sizeof(code), way);
}

static volatile sig_atomic_t kicks, traps;

static void on_kick(int signo)
{
	kicks++;
}

static void on_trap(int signo, siginfo_t *info, void *context)
{
	traps++;
}

/* Port exits, a kick out of a running and out of a halted guest, interrupts through an eventfd. */
static void work(struct guest *g, int irq)
{
	unsigned long one = 1;
	struct kvm_regs r;

	for (int i = 0; i < 1000; i++) {
		while (ioctl(g->vcpu, KVM_RUN, 0))
			CHECK(errno == EINTR);
		CHECK(g->run->exit_reason == KVM_EXIT_IO && g->run->io.port == 0x42);
	}
	CHECK(!ioctl(g->vcpu, KVM_GET_REGS, &r));
	r.rip = 0x100; /* jmp . */
	CHECK(!ioctl(g->vcpu, KVM_SET_REGS, &r));
	while (!kicks)
		CHECK_ERRNO(ioctl(g->vcpu, KVM_RUN, 0), EINTR);
	r.rip = 0x200; /* sti; hlt */
	CHECK(!ioctl(g->vcpu, KVM_SET_REGS, &r));
	while (kicks < 2)
		CHECK_ERRNO(ioctl(g->vcpu, KVM_RUN, 0), EINTR);
	/* Line 4 of a PIC in its reset state is vector 4, whose entry in the table says 0:0. */
	CHECK(write(irq, &one, sizeof(one)) == sizeof(one));
	while (ioctl(g->vcpu, KVM_RUN, 0))
		CHECK(errno == EINTR && kicks < 100);
	CHECK(g->run->exit_reason == KVM_EXIT_IO);
}

static int prepare(struct guest *g)
{
	static const unsigned char out[] = {OUT_AL_42, 0xeb, 0xfc}, self[] = {JMP_SELF},
				   halt[] = {STI_HLT_LOOP};
	struct kvm_irqfd irqfd = {.fd = (unsigned)eventfd(0, EFD_CLOEXEC), .gsi = 4};
	struct itimerval t = {.it_value.tv_usec = 50000, .it_interval.tv_usec = 50000};
	struct sigaction kick = {.sa_handler = on_kick, .sa_flags = SA_RESTART};
	struct sigaction trap = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};

	guest_open(g, true);
	guest_code(g, out, sizeof(out));
	memcpy(g->ram + 0x100, self, sizeof(self));
	memcpy(g->ram + 0x200, halt, sizeof(halt));
	CHECK(!ioctl(g->vm, KVM_IRQFD, &irqfd));
	sigaction(SIGALRM, &kick, NULL);
	sigaction(SIGSYS, &trap, NULL);
	setitimer(ITIMER_REAL, &t, NULL);
	return (int)irqfd.fd;
}

/* The status of a child that works under the filter and then does what is forbidden. */
static int sandboxed(unsigned verdict, enum way way, bool early)
{
	volatile bool *done =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid = fork();
	struct guest g;
	int status, irq;

	if (!pid) {
		if (early)
			forbid_early(verdict, way);
		irq = prepare(&g);
		if (!early)
			forbid(verdict, way);
		work(&g, irq);
		CHECK(!traps);
		*done = true;
		/* 7: refused as the filter says. */
		status = syscall(SYS_getppid) == -1 && errno == EPERM ? 7 : traps ? 8 : 9;
		_exit(status);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(*done);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void sandbox_kill(void)
{
	CHECK(sandboxed(SECCOMP_RET_KILL_PROCESS, BY_PRCTL, false) == -SIGSYS);
	CHECK(sandboxed(SECCOMP_RET_KILL_PROCESS, BY_SECCOMP, false) == -SIGSYS);
	CHECK(sandboxed(SECCOMP_RET_KILL_PROCESS, BY_TSYNC, false) == -SIGSYS);
}

static void sandbox_trap(void)
{
	CHECK(sandboxed(SECCOMP_RET_TRAP, BY_PRCTL, false) == 8);
	CHECK(sandboxed(SECCOMP_RET_TRAP, BY_TSYNC, false) == 8);
}

static void sandbox_errno(void)
{
	CHECK(sandboxed(SECCOMP_RET_ERRNO | EPERM, BY_SECCOMP, false) == 7);
	CHECK(sandboxed(SECCOMP_RET_ERRNO | EPERM, BY_TSYNC, false) == 7);
}

/* The sandbox comes before everything else: the first open of /dev/kvm is in it. */
static void sandbox_early(void)
{
	CHECK(sandboxed(SECCOMP_RET_KILL_PROCESS, BY_PRCTL, true) == -SIGSYS);
	CHECK(sandboxed(SECCOMP_RET_KILL_PROCESS, BY_TSYNC, true) == -SIGSYS);
	CHECK(sandboxed(SECCOMP_RET_TRAP, BY_SECCOMP, true) == 8);
}

/* What the kernel refuses it refuses still, by the same error. */
static void sandbox_refused(void)
{
	struct sock_filter bad = BPF_STMT(0xff, 0);
	struct sock_fprog none = {0, &bad}, nowhere = {1, (void *)8}, wrong = {1, &bad};

	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK_ERRNO(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL, 0, 0), EFAULT);
	CHECK_ERRNO(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, 8, 0, 0), EFAULT);
	CHECK_ERRNO(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &nowhere, 0, 0), EFAULT);
	CHECK_ERRNO(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &none, 0, 0), EINVAL);
	CHECK_ERRNO(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &wrong, 0, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &nowhere), EFAULT);
	CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0x4000, &wrong), EINVAL);
	CHECK(prctl(PR_GET_SECCOMP) == 0);
}

/* ---- what is executed under the filter ---- */

/* Code of ours (base/sys_raw.S), in whatever file of ours is mapped. */
static unsigned char *find_code(const unsigned char *code, size_t n)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned char *found = NULL;
	unsigned long from, to;
	char line[512], mode[8];

	CHECK(f);
	while (!found && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) == 3 && mode[2] == 'x' &&
			strstr(line, "uservisor"))
			found = memmem((void *)from, to - from, code, n);
	fclose(f);
	CHECK(found);
	return found;
}

/* The engine's instruction and the `ret` behind it. */
static unsigned char *engines_instruction(void)
{
	static const unsigned char code[] = {0x4c, 0x8b, 0x4c, 0x24, 8, 0x0f, 0x05, 0xc3};

	return find_code(code, sizeof(code)) + 5;
}

/* The one that its signal handlers return by. */
static unsigned char *engines_restorer(void)
{
	static const unsigned char code[] = {0x48, 0xc7, 0xc0, SYS_rt_sigreturn, 0, 0, 0, 0x0f, 5};

	return find_code(code, sizeof(code)) + 7;
}

static long getppid_by(unsigned char *insn, long fifth, long sixth)
{
	register long r8 __asm__("r8") = fifth, r9 __asm__("r9") = sixth;
	long r;

	__asm__ volatile("call *%1"
			 : "=a"(r)
			 : "r"(insn), "0"(SYS_getppid), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return r;
}

enum { OCCUPIED = 6, SHUT_IN };

static void no_32_bit_calls(int signo)
{
	_exit(SHUT_IN);
}

/* chmod(NULL, 0): where it is not forbidden the path is wrong. */
static long chmod_by(unsigned char *insn)
{
	long r;

	__asm__ volatile("call *%1"
			 : "=a"(r)
			 : "r"(insn), "0"(15L), "b"(0L), "c"(0L)
			 : "r8", "r9", "r10", "r11", "memory");
	return (int)r;
}

/* The number of rt_sigreturn() is another call's for 32-bit programs. */
static void attack_restorer(unsigned char *insn)
{
	const unsigned char int80[] = {0xcd, 0x80, 0xc3};

	memcpy(insn, int80, sizeof(int80));
	signal(SIGSEGV, no_32_bit_calls);
	CHECK(chmod_by(insn) == -EPERM);
}

/* The other program. */
static void sandbox_attack(void)
{
	unsigned char *insn = (unsigned char *)strtoul(getenv("SANDBOX_AT"), NULL, 16);
	unsigned char *restorer = (unsigned char *)strtoul(getenv("SANDBOX_RESTORER"), NULL, 16);
	unsigned char *page = (unsigned char *)((unsigned long)insn & ~4095ul);
	const unsigned char own[] = {0x0f, 0x05, 0xc3};

	if (mmap(page, 8192, PROT_READ | PROT_WRITE | PROT_EXEC,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != page)
		_exit(OCCUPIED);
	memcpy(insn, own, sizeof(own));
	CHECK_ERRNO(syscall(SYS_getppid), EPERM);
	CHECK(getppid_by(insn, 0, 0) == -EPERM);
	CHECK(getppid_by(insn, -1, -1) == -EPERM);
	attack_restorer(restorer);
	_exit(SHUT_IN);
}

static void execute(const char *how)
{
	char *argv[] = {(char *)client_path, "sandbox-executed", NULL};
	pid_t pid;
	int status;

	if (!strcmp(how, "execve"))
		execve(client_path, argv, environ);
	if (!strcmp(how, "bare")) {
		register char **envp __asm__("rdx") = environ;
		long r;

		__asm__ volatile("syscall"
				 : "=a"(r)
				 : "0"(SYS_execve), "D"(client_path), "S"(argv), "r"(envp)
				 : "rcx", "r11", "memory");
	}
	if (!strcmp(how, "spawn")) {
		CHECK(!posix_spawn(&pid, client_path, NULL, NULL, argv, environ));
		CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
		_exit(WEXITSTATUS(status));
	}
	if (!strcmp(how, "vfork")) {
		pid = vfork();
		if (!pid) {
			execv(client_path, argv);
			_exit(1);
		}
		CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
		_exit(WEXITSTATUS(status));
	}
	_exit(system("exec \"$SANDBOX_CLIENT\" sandbox-executed") >> 8);
}

/*
 * A filter stays over execve(), with its exception for the engine. A program that maps an instruction of its own where the
 * engine's was must not profit from that. How it was started does not matter.
 */
static void sandbox_executed(void)
{
	static const char *const ways[] = {"execve", "bare", "spawn", "vfork", "system"};
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 2),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	char at[32];
	int status;

	if (getenv("SANDBOX_AT"))
		sandbox_attack();
	snprintf(at, sizeof(at), "%lx", (unsigned long)engines_instruction());
	setenv("SANDBOX_AT", at, 1);
	snprintf(at, sizeof(at), "%lx", (unsigned long)engines_restorer());
	setenv("SANDBOX_RESTORER", at, 1);
	setenv("SANDBOX_CLIENT", client_path, 1);
	for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		pid_t pid = fork();

		if (!pid) {
			install(code, sizeof(code), BY_PRCTL);
			execute(ways[i]);
		}
		CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
		if (WEXITSTATUS(status) == OCCUPIED) {
			i--; /* it will lie elsewhere */
			continue;
		}
		if (WEXITSTATUS(status) != SHUT_IN)
			printf("executed by %s: status %d\n", ways[i], WEXITSTATUS(status));
		CHECK(WEXITSTATUS(status) == SHUT_IN);
	}
}

/* ---- the secret ---- */

static volatile unsigned long key_seen;

static void on_key(int signo, siginfo_t *info, void *context)
{
	ucontext_t *u = context;

	key_seen = (unsigned long)u->uc_mcontext.gregs[REG_R9];
	u->uc_mcontext.gregs[REG_RAX] = -EPERM;
}

/*
 * Of this process, which is spoiled by that: what comes with the engine's pipe2() when a filter is read. The filter that
 * tells is installed behind the library's back.
 */
static unsigned long own_key(void)
{
	struct sock_filter ask[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pipe2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	struct sock_fprog prog = {4, ask};
	struct sigaction a = {.sa_sigaction = on_key, .sa_flags = SA_SIGINFO};
	long r;

	CHECK(!sigaction(SIGSYS, &a, NULL) && !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	__asm__ volatile("syscall"
			 : "=a"(r)
			 : "0"(SYS_seccomp), "D"(SECCOMP_SET_MODE_FILTER), "S"(0), "d"(&prog)
			 : "rcx", "r11", "memory");
	CHECK(!r);
	install(ask + 3, sizeof(ask[3]), BY_PRCTL);
	CHECK(key_seen);
	return key_seen;
}

static unsigned long key_of_child(pid_t (*make)(void))
{
	unsigned long key = 0;
	int ends[2];
	pid_t pid;

	CHECK(!pipe(ends));
	pid = make();
	if (!pid) {
		key = own_key();
		CHECK(write(ends[1], &key, sizeof(key)) == sizeof(key));
		_exit(0);
	}
	CHECK(read(ends[0], &key, sizeof(key)) == sizeof(key) && waitpid(pid, NULL, 0) == pid);
	close(ends[0]);
	close(ends[1]);
	return key;
}

pid_t _Fork(void) __attribute__((weak)); /* glibc 2.34 */

static void vfork_and_shut_in(void)
{
	struct sock_filter all[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	pid_t pid = vfork();

	if (!pid) {
		install(all, sizeof(all), BY_PRCTL);
		_exit(0);
	}
	CHECK(waitpid(pid, NULL, 0) == pid);
}

/* Not by CPUID: a program that has one is treated in another way (shim/processor.c). */
static bool has_rdrand(void)
{
	FILE *f = fopen("/proc/cpuinfo", "r");
	char line[8192];
	bool has = false;

	while (f && !has && fgets(line, sizeof(line), f))
		has = strstr(line, " rdrand");
	if (f)
		fclose(f);
	return has;
}

/* A parent does not know what opens its children's filters, also when others in its memory had filters. */
static void sandbox_key(void)
{
	unsigned long keys[3] = {key_of_child(fork)};
	unsigned own;

	if (!has_rdrand()) {
		puts("no RDRAND, so no other secrets");
		_exit(77);
	}
	vfork_and_shut_in();
	keys[1] = key_of_child(fork);
	keys[2] = _Fork ? key_of_child(_Fork) : 0;
	own = (unsigned)own_key();
	for (unsigned i = 0; i < 3; i++)
		CHECK((unsigned)keys[i] != own);
}

/* Who has a filter with the old secret keeps that, and so do his children. */
static void sandbox_key_kept(void)
{
	struct sock_filter all[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	unsigned long child;

	install(all, sizeof(all), BY_SECCOMP);
	child = key_of_child(fork);
	CHECK(child == own_key());
}

const struct client_case sandbox_cases[] = {
	{"sandbox-key", sandbox_key},
	{"sandbox-key-kept", sandbox_key_kept},
	{"sandbox-kill", sandbox_kill},
	{"sandbox-trap", sandbox_trap},
	{"sandbox-errno", sandbox_errno},
	{"sandbox-early", sandbox_early},
	{"sandbox-refused", sandbox_refused},
	{"sandbox-executed", sandbox_executed},
	{NULL, NULL},
};
