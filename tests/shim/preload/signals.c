/* SPDX-License-Identifier: MIT */
/* A program's signals beside the engine's, and threads that leave KVM_RUN in every way. */
#include "tests/inside.h"
#include "tests/shim/preload/client.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#define RESTORER 0x04000000 /* which the C library sets, and shows */

static volatile sig_atomic_t handled;
static sigjmp_buf back;
static void *bad_page;
static sigset_t mask_inside;

static void on_fault(int signo, siginfo_t *info, void *context)
{
	CHECK(signo == SIGSEGV && info->si_addr == bad_page);
	pthread_sigmask(SIG_SETMASK, NULL, &mask_inside);
	handled++;
	siglongjmp(back, 1);
}

static void plain_handler(int signo)
{
	handled++;
	siglongjmp(back, 1);
}

static void touch(void)
{
	if (!sigsetjmp(back, 1))
		*(volatile char *)bad_page = 1;
}

static void check_handler(void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction a;

	CHECK(!sigaction(SIGSEGV, NULL, &a));
	CHECK(a.sa_sigaction == handler && (a.sa_flags & ~RESTORER) == flags);
}

static void set_handler(int flags)
{
	struct sigaction a = {.sa_sigaction = on_fault, .sa_flags = flags};

	sigaddset(&a.sa_mask, SIGUSR2);
	CHECK(!sigaction(SIGSEGV, &a, NULL));
	check_handler(on_fault, flags);
}

static void check_fault(int expected)
{
	handled = 0;
	touch();
	CHECK(handled == expected);
}

/* Set before the engine starts, kept after it, changed later. */
static void fault_handlers(void)
{
	struct guest g;
	sigset_t now;

	bad_page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	set_handler(SA_SIGINFO);
	check_fault(1);
	guest_open(&g, true);
	GUEST_CODE(&g, OUT_AL_42);
	check_handler(on_fault, SA_SIGINFO);
	check_fault(1);
	CHECK(sigismember(&mask_inside, SIGSEGV) && sigismember(&mask_inside, SIGUSR2));
	CHECK(!pthread_sigmask(SIG_SETMASK, NULL, &now) && !sigismember(&now, SIGUSR2));
	set_handler(SA_SIGINFO | SA_NODEFER | (int)SA_RESETHAND);
	check_fault(1);
	CHECK(!sigismember(&mask_inside, SIGSEGV) && sigismember(&mask_inside, SIGUSR2));
	check_handler(NULL,
		SA_SIGINFO | SA_NODEFER | (int)SA_RESETHAND); /* flags stay, in the kernel too */
	CHECK(signal(SIGSEGV, plain_handler) == SIG_DFL);
	check_fault(1);
	CHECK(signal(SIGSEGV, SIG_DFL) == plain_handler);
	/* The engine's handlers stand as before. */
	CHECK(!ioctl(g.vcpu, KVM_RUN, 0) && g.run->exit_reason == KVM_EXIT_IO);
	guest_close(&g);
}

static int death(bool by_kill, __sighandler_t action)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		signal(SIGSEGV, action);
		if (by_kill)
			raise(SIGSEGV);
		else
			*(volatile char *)bad_page = 1;
		_exit(7);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	return status & ~0x80; /* whether a core was written */
}

static void fault_defaults(void)
{
	struct guest g;

	bad_page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	guest_open(&g, false);
	CHECK(death(false, SIG_DFL) == SIGSEGV);
	CHECK(death(true, SIG_DFL) == SIGSEGV);
	CHECK(death(false, SIG_IGN) == SIGSEGV);
	CHECK(death(true, SIG_IGN) == 7 << 8);
	guest_close(&g);
}

/* By number, with the kernel's structure. */
static void raw_sigaction(void)
{
	struct {
		void *handler;
		unsigned long flags;
		void *restorer;
		unsigned long mask;
	} set = {.handler = SIG_IGN}, get;
	struct guest g;
	struct sigaction a;

	guest_open(&g, false);
	CHECK(!syscall(SYS_rt_sigaction, SIGFPE, &set, NULL, 8));
	CHECK(!syscall(SYS_rt_sigaction, SIGFPE, NULL, &get, 8) && get.handler == SIG_IGN);
	CHECK(!sigaction(SIGFPE, NULL, &a) && a.sa_handler == SIG_IGN);
	CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGFPE, &set, NULL, 4), EINVAL);
	CHECK(!sigaction(SIGUSR1, NULL, &a) && a.sa_handler == SIG_DFL);
	guest_close(&g);
}

/* ---- leaving KVM_RUN ---- */

static struct guest shared;

static void *kick(void *opaque)
{
	inside_wait_thread(getpid(), 20);
	syscall(SYS_tgkill, getpid(), getpid(), SIGALRM);
	return NULL;
}

/* The main thread, once it is in KVM_RUN. */
static void kick_soon(void)
{
	pthread_t kicker;

	CHECK(!pthread_create(&kicker, NULL, kick, NULL) && !pthread_detach(kicker));
}

static void ask_handler(int signo)
{
	struct kvm_regs r;

	CHECK(!ioctl(shared.vcpu, KVM_GET_REGS, &r) && r.rip < 0x10);
	handled++;
}

static void jump_handler(int signo)
{
	handled++;
	siglongjmp(back, 1);
}

static void start(bool irqchip, const void *code, size_t n)
{
	alarm(60); /* what hangs is ended */
	guest_open(&shared, irqchip);
	guest_code(&shared, code, n);
}

#define START(irqchip, ...)                                                                        \
	start(irqchip, (unsigned char[]){__VA_ARGS__}, sizeof((unsigned char[]){__VA_ARGS__}))

static void handler_asks(void)
{
	START(false, JMP_SELF);
	signal(SIGALRM, ask_handler);
	kick_soon();
	CHECK_ERRNO(ioctl(shared.vcpu, KVM_RUN, 0), EINTR);
	CHECK(handled == 1 && shared.run->exit_reason == KVM_EXIT_INTR);
	guest_close(&shared);
}

static void check_jumps_out(void)
{
	handled = 0;
	signal(SIGALRM, jump_handler);
	if (!sigsetjmp(back, 1)) {
		kick_soon();
		ioctl(shared.vcpu, KVM_RUN, 0);
		CHECK(!"reached");
	}
	CHECK(handled == 1);
	signal(SIGALRM, ask_handler);
	kick_soon();
	CHECK_ERRNO(ioctl(shared.vcpu, KVM_RUN, 0), EINTR);
	CHECK(handled == 2);
	guest_close(&shared);
}

static void handler_jumps(void)
{
	START(false, JMP_SELF);
	check_jumps_out();
	START(true, STI_HLT_LOOP);
	check_jumps_out();
}

static void *run_for_ever(void *running)
{
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	*(volatile bool *)running = true;
	for (;;)
		ioctl(shared.vcpu, KVM_RUN, 0);
	return NULL;
}

static void check_cancel(void)
{
	volatile bool running = false;
	struct kvm_regs r;
	pthread_t thread;
	void *result;

	CHECK(!pthread_create(&thread, NULL, run_for_ever, (void *)&running));
	while (!running)
		usleep(1000);
	usleep(30000); /* mostly in KVM_RUN by now, but it must end from anywhere */
	CHECK(!pthread_cancel(thread));
	CHECK(!pthread_join(thread, &result) && result == PTHREAD_CANCELED);
	CHECK(!ioctl(shared.vcpu, KVM_GET_REGS, &r));
}

static void cancelled(void)
{
	START(false, JMP_SELF);
	check_cancel();
	check_cancel();
	guest_close(&shared);
	START(true, STI_HLT_LOOP);
	check_cancel();
	guest_close(&shared);
}

/* KVM_SET_SIGNAL_MASK: KVM_RUN ends, the signal has no handler and waits for sigwait(). */
static void signal_mask(void)
{
	struct {
		struct kvm_signal_mask head;
		unsigned char set[8];
	} m = {.head.len = 8};
	sigset_t blocked;
	int got;

	START(false, JMP_SELF);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	CHECK(!pthread_sigmask(SIG_BLOCK, &blocked, NULL));
	CHECK(!ioctl(shared.vcpu, KVM_SET_SIGNAL_MASK, &m));
	CHECK(!raise(SIGUSR1));
	CHECK_ERRNO(ioctl(shared.vcpu, KVM_RUN, 0), EINTR);
	CHECK(!sigwait(&blocked, &got) && got == SIGUSR1);
	guest_close(&shared);
}

const struct client_case signal_cases[] = {
	{"fault-handlers", fault_handlers},
	{"fault-defaults", fault_defaults},
	{"raw-sigaction", raw_sigaction},
	{"handler-asks", handler_asks},
	{"handler-jumps", handler_jumps},
	{"cancelled", cancelled},
	{"signal-mask", signal_mask},
	{NULL, NULL},
};
