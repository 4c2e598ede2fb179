/* SPDX-License-Identifier: MIT */
/*
 * Call sites: the same `syscall` instructions again and again, natively and by `uservisor exec`, where they are
 * rewritten meanwhile. Nobody may find out. Without an argument it lists its scenarios.
 */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "static.h"

enum { ROUNDS = 60 };

/* ---- registers ---- */

struct state {
	uint64_t number;
	uint64_t gpr[12]; /* rbx rbp rdi rsi rdx r8 r9 r10 r12 r13 r14 r15 */
	uint64_t flags;
	uint64_t red[16];
	uint8_t ymm[16][32];
};

/* Loads all from in, makes the system call, stores all to out. */
uint64_t call_before(const struct state *in, struct state *out);
uint64_t call_after(const struct state *in, struct state *out);

/* clang-format off */
__asm__(
	".text\n"
	".macro CALLER name\n"
	".globl \\name\n"
	"\\name:\n"
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"	push %rsi\n"
	"	mov %rdi, %rax\n"
	"	.set i, 0\n"
	"	.rept 16\n"
	"	mov 112+8*i(%rax), %rcx\n"
	"	mov %rcx, -8*(i+1)(%rsp)\n"
	"	.set i, i+1\n"
	"	.endr\n"
	"	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
	"	vmovdqu 240+32*\\n(%rax), %ymm\\n\n"
	"	.endr\n"
	"	mov 8(%rax), %rbx;  mov 16(%rax), %rbp; mov 24(%rax), %rdi; mov 32(%rax), %rsi\n"
	"	mov 40(%rax), %rdx; mov 48(%rax), %r8;  mov 56(%rax), %r9;  mov 64(%rax), %r10\n"
	"	mov 72(%rax), %r12; mov 80(%rax), %r13; mov 88(%rax), %r14; mov 96(%rax), %r15\n"
	"	lea -136(%rsp), %rsp\n"
	"	push 104(%rax)\n"
	"	popfq\n"
	"	lea 136(%rsp), %rsp\n"
	".endm\n"
	".macro RESULTS\n"
	"	lea -136(%rsp), %rsp\n"
	"	pushfq\n"
	"	cld\n"
	"	lea 8(%rsp), %rsp\n"
	"	mov 136(%rsp), %rcx\n"
	"	mov -8(%rsp), %r11\n"
	"	mov %r11, 104(%rcx)\n"
	"	lea 136(%rsp), %rsp\n"
	"	mov %rbx, 8(%rcx);  mov %rbp, 16(%rcx); mov %rdi, 24(%rcx); mov %rsi, 32(%rcx)\n"
	"	mov %rdx, 40(%rcx); mov %r8, 48(%rcx);  mov %r9, 56(%rcx);  mov %r10, 64(%rcx)\n"
	"	mov %r12, 72(%rcx); mov %r13, 80(%rcx); mov %r14, 88(%rcx); mov %r15, 96(%rcx)\n"
	"	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
	"	vmovdqu %ymm\\n, 240+32*\\n(%rcx)\n"
	"	.endr\n"
	"	.set i, 0\n"
	"	.rept 16\n"
	"	mov -8*(i+1)(%rsp), %r11\n"
	"	mov %r11, 112+8*i(%rcx)\n"
	"	.set i, i+1\n"
	"	.endr\n"
	"	vzeroupper\n"
	"	pop %rsi\n"
	"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	ret\n"
	".endm\n"
	"CALLER call_after\n"
	"	mov (%rax), %eax\n"
	"	syscall\n"
	"	mov %rax, %r11\n"
	"	mov %r11, %rax\n"
	"RESULTS\n"
	"CALLER call_before\n"
	"	mov $110, %eax\n"
	"	syscall\n"
	"	mov %rax, %rax\n"
	"RESULTS\n");
/* clang-format on */

static void fill(struct state *s, unsigned seed)
{
	uint8_t *p = (uint8_t *)s;
	size_t i;

	for (i = 0; i < sizeof(*s); i++)
		p[i] = (uint8_t)(seed * 7 + i * 13 + (i >> 8));
	s->flags =
		seed % 2 ? 0xad7 : 0x646; /* status flags, the direction flag, the interrupt flag */
}

/* number: with gpr[2..] as its arguments, which must not hurt. */
static void compare(uint64_t (*call)(const struct state *, struct state *), struct state *in,
	uint64_t number, long want)
{
	struct state out = {.number = number};
	long r;

	in->number = number;
	r = (long)call(in, &out);
	CHECK(r == want);
	CHECK(!memcmp(&in->gpr, &out.gpr, sizeof(in->gpr)));
	CHECK(in->flags == out.flags);
	CHECK(!memcmp(&in->red, &out.red, sizeof(in->red)));
	CHECK(!memcmp(&in->ymm, &out.ymm, sizeof(in->ymm)));
}

static void registers(void)
{
	struct state in;
	unsigned i;

	for (i = 0; i < ROUNDS; i++) {
		fill(&in, i);
		compare(call_before, &in, SYS_getppid, getppid());
		compare(call_after, &in, SYS_getppid, getppid());
		/* Ours: a request for /dev/kvm by a descriptor that is not there, or is. */
		in.gpr[2] = (uint64_t)-1;
		in.gpr[3] = 0xae00;
		compare(call_after, &in, SYS_ioctl, -EBADF);
		compare(call_after, &in, SYS_close, -EBADF);
		/* A number that no kernel has, with more bits than it looks at. */
		compare(call_after, &in, 0x1ff0001ff, -ENOSYS);
	}
}

/* ---- gs ---- */

static unsigned long gs_base(void)
{
	unsigned long base = 1;

	CHECK(!syscall(SYS_arch_prctl, ARCH_GET_GS, &base));
	return base;
}

/* A program may have its own. */
static void own_gs(void)
{
	static unsigned long area[1024];
	unsigned long value;
	int i;

	CHECK(gs_base() == 0);
	for (i = 0; i < ROUNDS; i++)
		CHECK(getppid() == syscall(SYS_getppid));
	area[3] = 4711;
	CHECK(!syscall(SYS_arch_prctl, ARCH_SET_GS, area) && gs_base() == (unsigned long)area);
	for (i = 0; i < ROUNDS; i++) {
		CHECK(getppid() == syscall(SYS_getppid) && ioctl(-1, 0xae00, 0) == -1);
		__asm__ volatile("mov %%gs:24, %0" : "=r"(value));
		CHECK(value == 4711);
	}
	CHECK(!syscall(SYS_arch_prctl, ARCH_SET_GS, 0) && gs_base() == 0);
	for (i = 0; i < ROUNDS; i++)
		CHECK(getppid() == syscall(SYS_getppid));
}

/* ---- signals ---- */

extern const char __executable_start[], etext[];
static volatile int ticks, strange;

/* Wherever it comes, it finds an address of the program, and what is there is the program's. */
static void tick(int sig, siginfo_t *info, void *context)
{
	const greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
	const unsigned char *pc = (const unsigned char *)g[REG_RIP];
	int error = errno;

	ticks++;
	if (((const char *)pc < __executable_start || (const char *)pc >= etext) &&
		(unsigned long)pc < 0x7f0000000000)
		strange++;
	/* The handler uses the same sites as those that it interrupts. */
	if (syscall(SYS_getppid) != getppid() || ioctl(-1, 0xae00, 0) != -1)
		strange++;
	errno = error;
}

static void interrupted(void)
{
	struct sigaction sa = {.sa_sigaction = tick, .sa_flags = SA_SIGINFO | SA_RESTART};
	struct itimerval t = {.it_value.tv_usec = 100, .it_interval.tv_usec = 100};
	struct state in;
	sigset_t mask;
	unsigned i;

	CHECK(!sigaction(SIGALRM, &sa, NULL) && !setitimer(ITIMER_REAL, &t, NULL));
	for (i = 0; ticks < 1500 && i < 4000000; i++) {
		fill(&in, i);
		compare(call_before, &in, SYS_getppid, getppid());
		in.gpr[2] = (uint64_t)-1;
		in.gpr[3] = 0xae00;
		compare(call_after, &in, SYS_ioctl, -EBADF);
		CHECK(!strange);
	}
	t = (struct itimerval){0};
	CHECK(!setitimer(ITIMER_REAL, &t, NULL) && ticks >= 100);
	CHECK(!sigprocmask(SIG_BLOCK, NULL, &mask) && !sigismember(&mask, SIGALRM) &&
		!sigismember(&mask, SIGUSR2));
}

static volatile int queued[3], queued_count;

static void collect(int sig, siginfo_t *info, void *context)
{
	if (queued_count < 3)
		queued[queued_count++] = info->si_value.sival_int;
}

static void *sends(void *opaque)
{
	union sigval v;
	sigset_t all;
	int i;

	sigfillset(&all);
	CHECK(!pthread_sigmask(SIG_BLOCK, &all, NULL));
	for (i = 0; i < 3; i++) {
		v.sival_int = 10 + i;
		CHECK(!sigqueue(getpid(), SIGRTMIN + i, v));
		usleep(5000);
	}
	return NULL;
}

/* What is sent with a signal arrives with it. */
static void values(void)
{
	struct sigaction sa = {.sa_sigaction = collect, .sa_flags = SA_SIGINFO};
	pthread_t t;
	int i;

	sigfillset(&sa.sa_mask); /* or the last one's handler would begin first when several wait */
	for (i = 0; i < 3; i++)
		CHECK(!sigaction(SIGRTMIN + i, &sa, NULL));
	CHECK(!pthread_create(&t, NULL, sends, NULL));
	while (queued_count < 3)
		CHECK(ioctl(-1, 0xae00, 0) == -1);
	CHECK(!pthread_join(t, NULL));
	CHECK(queued[0] == 10 && queued[1] == 11 && queued[2] == 12);
}

/* ---- threads ---- */

/* Many sites of both forms, each rewritten while others execute it. */
#define SITE_PAIR                                                                                  \
	"	mov $110, %%eax\n	syscall\n	cmp %%eax, %%edx\n	jne 9f\n"                                 \
	"	mov %%edi, %%eax\n	syscall\n	mov %%eax, %%r8d\n	cmp %%r8d, "                             \
	"%%edx\n	jne 9f\n"

static void *calls_all(void *opaque)
{
	int i, ok;

	for (i = 0; i < 200; i++) {
		__asm__ volatile("	.rept 64\n" SITE_PAIR "	.endr\n"
				 "	mov $1, %%eax\n"
				 "	jmp 8f\n"
				 "9:	xor %%eax, %%eax\n"
				 "8:\n"
				 : "=a"(ok)
				 : "d"((int)getppid()), "D"(110)
				 : "rcx", "r11", "r8", "memory", "cc");
		CHECK(ok);
	}
	return NULL;
}

static void threads(void)
{
	pthread_t t[6];
	unsigned i;

	for (i = 0; i < 6; i++)
		CHECK(!pthread_create(&t[i], NULL, calls_all, NULL));
	for (i = 0; i < 6; i++)
		CHECK(!pthread_join(t[i], NULL));
}

/* A child begins in the middle of that, and goes on. */
static void forks(void)
{
	pthread_t t;
	int status, i;

	CHECK(!pthread_create(&t, NULL, calls_all, NULL));
	for (i = 0; i < 20; i++) {
		pid_t pid = fork();

		if (!pid) {
			struct state in;

			fill(&in, (unsigned)i);
			compare(call_before, &in, SYS_getppid, getppid());
			calls_all(NULL);
			_exit(7);
		}
		CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7);
		pid = vfork();
		if (!pid)
			_exit(syscall(SYS_getppid) == getppid() ? 8 : 1);
		CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 8);
	}
	CHECK(!pthread_join(t, NULL));
}

/* ---- a filter ---- */

#define NR offsetof(struct seccomp_data, nr)
#define IP offsetof(struct seccomp_data, instruction_pointer)

/* getppid() is allowed from the program's own addresses only, which are below 4 GiB; getpgrp() never. */
static void filtered(void)
{
	struct sock_filter insns[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NR),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgrp, 6, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, IP),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)(uintptr_t)etext, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)(uintptr_t)__executable_start, 0, 2),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 77)};
	struct sock_fprog prog = {sizeof(insns) / sizeof(insns[0]), insns};
	int i;

	insns[2].jf = 3; /* to the first ALLOW */
	CHECK((uintptr_t)etext < 0xffffffff);
	for (i = 0; i < ROUNDS; i++)
		CHECK(syscall(SYS_getppid) == getppid() && syscall(SYS_getpgrp) == getpgrp());
	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
		!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog));
	for (i = 0; i < ROUNDS; i++) {
		CHECK(syscall(SYS_getppid) == getppid());
		CHECK(syscall(SYS_getpgrp) == -1 && errno == 77);
		CHECK(ioctl(-1, 0xae00, 0) == -1 && errno == EBADF);
	}
}

/* ---- a program's own code is its own ---- */

#define PAGE 4096
extern uint8_t page_before[], page_called[], own_code[];
long page_call(void);
int own_value(void);

__asm__(".text\n"
	".p2align 12\n"
	"page_before:	.fill 4096, 1, 0x90\n"
	"page_called:\n"
	"page_call:	mov $110, %eax\n	syscall\n	ret\n"
	"own_value:\n"
	"own_code:	mov $1, %eax\n	ret\n"
	".p2align 12\n");

static void call_often(void)
{
	for (int i = 0; i < ROUNDS; i++)
		CHECK(page_call() == getppid());
}

/* Its code stays writable, and what comes before it need not be there. */
static void own_text(void)
{
	CHECK(!mprotect(page_called, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC));
	call_often();
	own_code[1] = 7;
	CHECK(own_value() == 7);
	CHECK(!mprotect(page_called, PAGE, PROT_READ | PROT_EXEC));
	CHECK(!mprotect(page_before, PAGE, PROT_NONE));
	call_often();
}

static void unmapped_text(void)
{
	CHECK(!munmap(page_before, PAGE));
	call_often();
}

static const struct scenario scenarios[] = {
	{"registers", registers},
	{"own_gs", own_gs},
	{"interrupted", interrupted},
	{"values", values},
	{"threads", threads},
	{"forks", forks},
	{"filtered", filtered},
	{"own_text", own_text},
	{"unmapped_text", unmapped_text},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	alarm(60);
	return run_scenario(scenarios, argc, argv);
}
