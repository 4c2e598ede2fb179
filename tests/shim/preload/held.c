/* SPDX-License-Identifier: MIT */
/*
 * Signals that arrive during a request: the program's handler runs after it, once for each, as the kernel would have
 * run it then, with its flags, stack, mask and information.
 */
#include "tests/inside.h"
#include "tests/shim/preload/client.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

static struct guest g;

static void start(bool irqchip, const void *code, size_t n)
{
	alarm(60); /* what hangs is ended */
	guest_open(&g, irqchip);
	guest_code(&g, code, n);
}

#define START(irqchip, ...)                                                                        \
	start(irqchip, (unsigned char[]){__VA_ARGS__}, sizeof((unsigned char[]){__VA_ARGS__}))

/* ---- what the handler saw ---- */

#define SEEN_MAX 4096
static struct {
	volatile int count;
	int value[SEEN_MAX];
	int code, pid;
	sigset_t mask;
	char *volatile at; /* in its frame */
} seen;

static void on_signal(int signo, siginfo_t *info, void *context)
{
	char here;

	if (seen.count < SEEN_MAX)
		seen.value[seen.count] = info->si_value.sival_int;
	seen.count++;
	seen.code = info->si_code;
	seen.pid = info->si_pid;
	seen.at = &here;
	pthread_sigmask(SIG_SETMASK, NULL, &seen.mask);
}

static void catch (int signo, int flags, int also)
{
	struct sigaction a = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | flags};

	sigemptyset(&a.sa_mask);
	if (also)
		sigaddset(&a.sa_mask, also);
	CHECK(!sigaction(signo, &a, NULL));
	seen.count = 0;
}

/* ---- who sends ---- */

struct sender {
	pthread_t self, target;
	int tid, signo, first, count;
};

static void *send_all(void *arg)
{
	const struct sender *s = arg;
	union sigval value;
	int i, r;

	inside_wait_thread(s->tid, 20);
	for (i = 0; i < s->count; i++) {
		value.sival_int = s->first + i;
		while ((r = pthread_sigqueue(s->target, s->signo, value)) == EAGAIN)
			usleep(100); /* the queue is full */
		CHECK(!r);
	}
	return NULL;
}

/* To us, once we are in KVM_RUN. */
static void send_soon(struct sender *s, int signo, int first, int count)
{
	*s = (struct sender){.target = pthread_self(),
		.tid = gettid(),
		.signo = signo,
		.first = first,
		.count = count};
	CHECK(!pthread_create(&s->self, NULL, send_all, s));
}

static void run_interrupted(void)
{
	sigset_t before, after;

	pthread_sigmask(SIG_SETMASK, NULL, &before);
	CHECK_ERRNO(ioctl(g.vcpu, KVM_RUN, 0), EINTR);
	CHECK(g.run->exit_reason == KVM_EXIT_INTR);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	CHECK(!memcmp(&before, &after, 8));
}

static void interrupt_once(int signo, int value)
{
	struct sender s;

	send_soon(&s, signo, value, 1);
	run_interrupted();
	CHECK(seen.count == 1 && seen.value[0] == value);
	CHECK(seen.code == SI_QUEUE && seen.pid == getpid());
	CHECK(!pthread_join(s.self, NULL));
}

/* ---- flags, masks, stacks ---- */

static char alternate[65536];

static bool on_alternate(void)
{
	return seen.at >= alternate && seen.at < alternate + sizeof(alternate);
}

static void check_flags(void)
{
	stack_t ss = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
	struct sigaction a;

	CHECK(!sigaltstack(&ss, NULL));
	catch (SIGUSR1, SA_RESTART, SIGUSR2);
	interrupt_once(SIGUSR1, 17);
	CHECK(sigismember(&seen.mask, SIGUSR1) && sigismember(&seen.mask, SIGUSR2) &&
		!sigismember(&seen.mask, SIGHUP) && !on_alternate());
	catch (SIGUSR1, SA_NODEFER | SA_ONSTACK, 0);
	interrupt_once(SIGUSR1, 18);
	CHECK(!sigismember(&seen.mask, SIGUSR1) && on_alternate());
	catch (SIGUSR1, (int)SA_RESETHAND, 0);
	interrupt_once(SIGUSR1, 19);
	CHECK(!sigaction(SIGUSR1, NULL, &a) && a.sa_handler == SIG_DFL);
	catch (SIGRTMIN + 3, 0, SIGRTMIN + 4);
	interrupt_once(SIGRTMIN + 3, 20);
	CHECK(sigismember(&seen.mask, SIGRTMIN + 3) && sigismember(&seen.mask, SIGRTMIN + 4));
}

static void held_flags(void)
{
	START(false, JMP_SELF);
	check_flags();
	guest_close(&g);
	START(true, STI_HLT_LOOP);
	check_flags();
	guest_close(&g);
}

/* The second one finds the default action. */
static void held_once(void)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		struct sender s;

		START(false, JMP_SELF);
		catch (SIGUSR1, (int)SA_RESETHAND, 0);
		send_soon(&s, SIGUSR1, 0, 1);
		run_interrupted();
		CHECK(!pthread_join(s.self, NULL));
		send_soon(&s, SIGUSR1, 0, 1);
		ioctl(g.vcpu, KVM_RUN, 0);
		_exit(1);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
}

/* ---- many ---- */

/* Queued signals come one by one, in their order, and none is lost, while the vcpu leaves all the time. */
static void held_queue(void)
{
	struct sender s;
	int i;

	START(false, 0xe6, 0x42, 0xeb, 0xfc); /* out %al, $0x42; jmp back */
	catch (SIGRTMIN + 1, 0, 0);
	send_soon(&s, SIGRTMIN + 1, 0, SEEN_MAX);
	while (seen.count < SEEN_MAX)
		CHECK(!ioctl(g.vcpu, KVM_RUN, 0) || errno == EINTR);
	for (i = 0; i < SEEN_MAX; i++)
		CHECK(seen.value[i] == i);
	CHECK(!pthread_join(s.self, NULL));
	guest_close(&g);
}

/* The same where the kernel has hardly room for them: then information may be lost, but no signal. */
static void held_queue_short(void)
{
	const struct rlimit few = {.rlim_cur = 8, .rlim_max = 8};

	CHECK(!setrlimit(RLIMIT_SIGPENDING, &few));
	held_queue();
}

/* A timer of a thousand a second and one vcpu that never leaves by itself. */
static void held_timer(void)
{
	struct itimerval t = {.it_value.tv_usec = 1000, .it_interval.tv_usec = 1000};
	int i;

	START(false, JMP_SELF);
	alarm(0);
	catch (SIGALRM, SA_RESTART, 0);
	CHECK(!setitimer(ITIMER_REAL, &t, NULL));
	for (i = 0; i < 500; i++)
		run_interrupted();
	CHECK(seen.count >= 500);
	memset(&t, 0, sizeof(t));
	CHECK(!setitimer(ITIMER_REAL, &t, NULL));
	guest_close(&g);
}

/* ---- signals that no handler takes ---- */

static void held_blocked(void)
{
	struct sender s;
	struct signalfd_siginfo info;
	sigset_t set;
	int fd, got;

	START(false, JMP_SELF);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGHUP);
	CHECK(!pthread_sigmask(SIG_BLOCK, &set, NULL));
	fd = signalfd(-1, &set, SFD_NONBLOCK);
	CHECK(fd >= 0 && !raise(SIGUSR2) && !raise(SIGHUP));
	catch (SIGUSR1, 0, 0);
	send_soon(&s, SIGUSR1, 5, 1);
	run_interrupted(); /* by SIGUSR1 alone */
	CHECK(seen.count == 1);
	CHECK(!pthread_join(s.self, NULL));
	CHECK(read(fd, &info, sizeof(info)) == sizeof(info));
	CHECK(!sigwait(&set, &got));
	CHECK(info.ssi_signo + (unsigned)got == SIGUSR2 + SIGHUP);
	guest_close(&g);
}

/* ---- asleep in guest memory ---- */

static int hold_page_back(void *page)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register reg = {
		.range = {(unsigned long)page, 4096}, .mode = UFFDIO_REGISTER_MODE_MISSING};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	if (fd < 0 && errno == EINVAL)
		fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api)) {
		printf("this host has no userfaultfd for us: %s\n", strerror(errno));
		_exit(77);
	}
	CHECK(!madvise(page, 4096, MADV_DONTNEED) && !ioctl(fd, UFFDIO_REGISTER, &reg));
	return fd;
}

/* The vcpu waits for a page that nobody brings; a signal ends that as often as it comes, and then the page is there. */
static void held_asleep(void)
{
	struct uffdio_zeropage zero = {.range.len = 4096};
	struct sender s;
	int fd, i;

	START(false, 0xa0, 0x00, 0x50, 0xe6, 0x42); /* mov al, [0x5000]; out %al, $0x42 */
	catch (SIGUSR1, SA_RESTART, 0);
	fd = hold_page_back(g.ram + 0x5000);
	for (i = 0; i < 20; i++) {
		send_soon(&s, SIGUSR1, i, 1);
		run_interrupted();
		CHECK(seen.count == i + 1 && seen.value[i] == i);
		CHECK(!pthread_join(s.self, NULL));
	}
	zero.range.start = (unsigned long)g.ram + 0x5000;
	CHECK(!ioctl(fd, UFFDIO_ZEROPAGE, &zero));
	CHECK(!ioctl(g.vcpu, KVM_RUN, 0) && g.run->exit_reason == KVM_EXIT_IO);
	CHECK(!close(fd));
	guest_close(&g);
}

/* ---- handlers that no hook has seen ---- */

struct kernel_sigaction {
	void *handler;
	unsigned long flags;
	void *restorer;
	unsigned long mask;
};

static long bare_sigaction(
	int signo, const struct kernel_sigaction *set, struct kernel_sigaction *get)
{
	long r = SYS_rt_sigaction;
	register long size __asm__("r10") = 8;

	__asm__ volatile("syscall"
			 : "+a"(r)
			 : "D"((long)signo), "S"(set), "d"(get), "r"(size)
			 : "rcx", "r11", "memory");
	return r;
}

/* With the C library's way back, which ours must have as well. */
static void bare_catch(int signo)
{
	struct kernel_sigaction a;

	catch (SIGHUP, 0, 0);
	CHECK(!bare_sigaction(SIGHUP, NULL, &a));
	a.handler = (void *)on_signal;
	CHECK(!bare_sigaction(signo, &a, NULL));
}

static void *run_in_thread(void *arg)
{
	interrupt_once(SIGUSR2, 8);
	return arg;
}

/* By bare system calls, before the first open and before a thread's first request. */
static void held_bare(void)
{
	pthread_t thread;
	struct sigaction a;

	bare_catch(SIGUSR1);
	START(false, JMP_SELF);
	CHECK(!sigaction(SIGUSR1, NULL, &a) && a.sa_sigaction == on_signal);
	interrupt_once(SIGUSR1, 7);
	bare_catch(SIGUSR2);
	CHECK(!pthread_create(&thread, NULL, run_in_thread, NULL));
	CHECK(!pthread_join(thread, NULL));
	CHECK(!sigaction(SIGUSR2, NULL, &a) && a.sa_sigaction == on_signal);
	guest_close(&g);
}

/* ---- a filter that this program has inherited ---- */

static void forbid_queueing(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_tgsigqueueinfo, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	struct sock_fprog prog = {sizeof(code) / sizeof(*code), code};

	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
		!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog));
}

static void *kill_soon(void *arg)
{
	const struct sender *s = arg;

	inside_wait_thread(s->tid, 20);
	CHECK(!pthread_kill(s->target, s->signo));
	return NULL;
}

static void interrupt_by_kill(int signo)
{
	struct sender s = {.target = pthread_self(), .tid = gettid(), .signo = signo};

	catch (signo, 0, 0);
	for (int i = 1; i <= 3; i++) {
		CHECK(!pthread_create(&s.self, NULL, kill_soon, &s));
		run_interrupted();
		CHECK(seen.count == i && seen.code == SI_TKILL && seen.pid == getpid());
		CHECK(!pthread_join(s.self, NULL));
	}
}

static void held_inherited(void)
{
	if (!getenv("HELD_INHERITED")) {
		CHECK(!setenv("HELD_INHERITED", "1", 1));
		forbid_queueing();
		execl("/proc/self/exe", "client", "held-inherited", NULL);
		CHECK(false);
	}
	START(false, JMP_SELF);
	interrupt_by_kill(SIGUSR1);
	interrupt_by_kill(SIGRTMIN);
	guest_close(&g);
}

/* ---- the old functions ---- */

static void plain(int signo)
{
	seen.count++;
}

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static void held_old_functions(void)
{
	struct sigaction a;
	sigset_t now;

	START(false, JMP_SELF);
	CHECK(sigset(SIGUSR1, plain) == SIG_DFL);
	CHECK(sigset(SIGUSR1, SIG_HOLD) == plain);
	CHECK(!pthread_sigmask(SIG_SETMASK, NULL, &now) && sigismember(&now, SIGUSR1));
	CHECK(sigset(SIGUSR1, plain) == SIG_HOLD);
	CHECK(!pthread_sigmask(SIG_SETMASK, NULL, &now) && !sigismember(&now, SIGUSR1));
	CHECK(!sigignore(SIGUSR2) && !sigaction(SIGUSR2, NULL, &a) && a.sa_handler == SIG_IGN);
	CHECK(signal(SIGUSR2, plain) == SIG_IGN);
	CHECK(!siginterrupt(SIGUSR2, 1));
	CHECK(!sigaction(SIGUSR2, NULL, &a) && a.sa_handler == plain && !(a.sa_flags & SA_RESTART));
	CHECK(!siginterrupt(SIGUSR2, 0));
	CHECK(!sigaction(SIGUSR2, NULL, &a) && (a.sa_flags & SA_RESTART));
	CHECK_ERRNO(sigaction(SIGKILL, &a, NULL), EINVAL);
	CHECK_ERRNO(sigaction(65, NULL, &a), EINVAL);
	CHECK_ERRNO(sigaction(32, NULL, &a), EINVAL);
	seen.count = 0;
	raise(SIGUSR1);
	raise(SIGUSR2);
	CHECK(seen.count == 2);
	guest_close(&g);
}

/* ---- children ---- */

static int wait_for(pid_t pid)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid);
	return status;
}

/* A vfork() child's actions are its own, though the memory is not. */
static void held_vforked(void)
{
	struct sigaction a;
	pid_t pid;

	START(false, JMP_SELF);
	catch (SIGUSR1, 0, 0);
	pid = vfork();
	if (!pid) {
		if (signal(SIGUSR1, SIG_IGN) == SIG_ERR || raise(SIGUSR1))
			_exit(1);
		_exit(0);
	}
	CHECK(!wait_for(pid) && !seen.count);
	CHECK(!sigaction(SIGUSR1, NULL, &a) && a.sa_sigaction == on_signal);
	interrupt_once(SIGUSR1, 9);
	guest_close(&g);
}

static void on_fault(int signo)
{
	_exit(signo);
}

/* Those of faults, too, which the engine handles first. */
static void held_vforked_faults(void)
{
	struct sigaction a = {.sa_handler = on_fault};
	pid_t pid;

	START(false, JMP_SELF);
	CHECK(!sigaction(SIGSEGV, &a, NULL));
	pid = vfork();
	if (!pid) {
		if (signal(SIGSEGV, SIG_DFL) != on_fault || signal(SIGSEGV, SIG_IGN) != SIG_DFL)
			_exit(1);
		_exit(0);
	}
	CHECK(!wait_for(pid));
	CHECK(!sigaction(SIGSEGV, NULL, &a) && a.sa_handler == on_fault);
	pid = fork();
	if (!pid)
		raise(SIGSEGV);
	CHECK(WEXITSTATUS(wait_for(pid)) == SIGSEGV);
	guest_close(&g);
}

/* What its handler runs for once it runs for once in the child, and stays its parent's. */
static void held_vforked_once(void)
{
	struct sigaction a;
	pid_t pid;

	START(false, JMP_SELF);
	catch (SIGUSR1, (int)SA_RESETHAND, 0);
	pid = vfork();
	if (!pid) {
		raise(SIGUSR1);
		_exit(sigaction(SIGUSR1, NULL, &a) || a.sa_handler != SIG_DFL);
	}
	CHECK(!wait_for(pid) && seen.count == 1);
	CHECK(!sigaction(SIGUSR1, NULL, &a) && a.sa_sigaction == on_signal);
	seen.count = 0;
	interrupt_once(SIGUSR1, 11);
	CHECK(!sigaction(SIGUSR1, NULL, &a) && a.sa_handler == SIG_DFL);
	guest_close(&g);
}

static atomic_bool enough;

static void *changes_actions(void *signo)
{
	struct sigaction a = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};

	while (!enough)
		CHECK(!sigaction(*(int *)signo, &a, NULL));
	return NULL;
}

/* A child begins while another thread changes the action that it needs. */
static void forked_meanwhile(int signo)
{
	pthread_t thread;
	int i;

	START(false, JMP_SELF);
	catch (signo, 0, 0);
	enough = false;
	CHECK(!pthread_create(&thread, NULL, changes_actions, &signo));
	for (i = 0; i < 1500; i++) {
		pid_t pid = fork();

		if (!pid) {
			alarm(5);
			raise(signo);
			_exit(seen.count != 1 || signal(signo, SIG_DFL) == SIG_ERR);
		}
		CHECK(!wait_for(pid));
	}
	enough = true;
	CHECK(!pthread_join(thread, NULL));
	guest_close(&g);
}

static void held_forked_meanwhile(void)
{
	forked_meanwhile(SIGUSR1);
	forked_meanwhile(SIGSEGV); /* the engine's, too */
}

/* A forked child has its parent's actions, and changes its own; ignored ones reach what it executes. */
static void held_forked(void)
{
	struct sigaction a;
	pid_t pid;

	START(false, JMP_SELF);
	catch (SIGUSR1, 0, 0);
	pid = fork();
	if (!pid) {
		raise(SIGUSR1);
		CHECK(seen.count == 1);
		signal(SIGUSR1, SIG_IGN);
		execl("/bin/sh", "sh", "-c", "kill -USR1 $$; kill -USR2 $$; exit 5", NULL);
		_exit(1);
	}
	CHECK(wait_for(pid) == SIGUSR2);
	CHECK(!sigaction(SIGUSR1, NULL, &a) && a.sa_sigaction == on_signal);
	interrupt_once(SIGUSR1, 10);
	guest_close(&g);
}

const struct client_case held_cases[] = {
	{"held-flags", held_flags},
	{"held-once", held_once},
	{"held-queue", held_queue},
	{"held-queue-short", held_queue_short},
	{"held-timer", held_timer},
	{"held-blocked", held_blocked},
	{"held-asleep", held_asleep},
	{"held-bare", held_bare},
	{"held-inherited", held_inherited},
	{"held-old-functions", held_old_functions},
	{"held-vforked", held_vforked},
	{"held-vforked-faults", held_vforked_faults},
	{"held-vforked-once", held_vforked_once},
	{"held-forked", held_forked},
	{"held-forked-meanwhile", held_forked_meanwhile},
	{NULL, NULL},
};
