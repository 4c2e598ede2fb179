/* SPDX-License-Identifier: MIT */
/*
 * Signals and KVM_RUN: which of them end it, running or asleep, whose handler runs when, and what others may ask of
 * a vcpu meanwhile.
 */
#include "abi/dev.h"
#include "base/hold.h"
#include "base/sys.h"
#include "tests/abi/port.h"
#include "tests/inside.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

static volatile sig_atomic_t handled;

static void on_signal(int sig)
{
	handled++;
}

static void catch (int sig, int flags)
{
	struct sigaction a = {.sa_handler = on_signal, .sa_flags = flags};

	handled = 0;
	sigaction(sig, &a, NULL);
}

struct later {
	pthread_t self, target;
	int sig, tid;
	unsigned ms;
};

static void *signal_later(void *arg)
{
	struct later *l = arg;

	inside_wait_thread(l->tid, l->ms);
	pthread_kill(l->target, l->sig);
	return NULL;
}

/* Once we have been inside for so long. */
static void later_ms(struct later *l, int sig, unsigned ms)
{
	*l = (struct later){.target = pthread_self(), .sig = sig, .tid = gettid(), .ms = ms};
	assert_int_equal(pthread_create(&l->self, NULL, signal_later, l), 0);
}

static void later(struct later *l, int sig)
{
	later_ms(l, sig, 20);
}

/* KVM_RUN returns EINTR after the handler ran, SA_RESTART or not. */
static void test_signal(void **state)
{
	struct guest g;
	struct later l;

	guest_open(&g);
	GUEST_CODE(&g, 0xeb, 0xfe); /* jmp . */
	catch (SIGUSR1, SA_RESTART);
	later(&l, SIGUSR1);
	assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), -EINTR);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_INTR);
	assert_int_equal(handled, 1);
	assert_int_equal(regs_of(&g).rip, 0x1000);
	pthread_join(l.self, NULL);
	guest_close(&g);
}

/* A halted vcpu with a local APIC sleeps; a signal wakes it all the same. */
static void test_signal_wakes(void **state)
{
	struct guest g;
	struct later l;

	guest_open_irqchip(&g);
	GUEST_CODE(&g, 0xf4);
	catch (SIGUSR1, 0);
	later(&l, SIGUSR1);
	assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), -EINTR);
	assert_int_equal(handled, 1);
	pthread_join(l.self, NULL);
	guest_close(&g);
}

/* With a mask of its own, KVM_RUN is left but the signal stays pending and no handler runs. */
static void test_signal_mask(void **state)
{
	struct guest g;
	struct {
		struct kvm_signal_mask head;
		u8 set[8];
	} mask = {.head = {.len = 8}};
	sigset_t usr1, old, pending;

	guest_open(&g);
	GUEST_CODE(&g, 0xeb, 0xfe);
	catch (SIGUSR1, 0);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &usr1, &old);
	assert_int_equal(kvm_p(g.vcpu, KVM_SET_SIGNAL_MASK, &mask), 0);
	pthread_kill(pthread_self(), SIGUSR1);
	assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), -EINTR);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_INTR);
	assert_int_equal(handled, 0);
	sigpending(&pending);
	assert_true(sigismember(&pending, SIGUSR1));
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	assert_int_equal(handled, 1);
	guest_close(&g);
}

/* The same while halted: the sleep ends at once and leaves the signal where it is. */
static void test_signal_mask_halted(void **state)
{
	struct guest g;
	struct later l;
	struct {
		struct kvm_signal_mask head;
		u8 set[8];
	} mask = {.head = {.len = 8}};
	sigset_t usr1, old, pending;

	guest_open_irqchip(&g);
	GUEST_CODE(&g, 0xf4);
	catch (SIGUSR1, 0);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &usr1, &old);
	assert_int_equal(kvm_p(g.vcpu, KVM_SET_SIGNAL_MASK, &mask), 0);
	later(&l, SIGUSR1);
	assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), -EINTR);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_INTR);
	assert_int_equal(handled, 0);
	sigpending(&pending);
	assert_true(sigismember(&pending, SIGUSR1));
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	assert_int_equal(handled, 1);
	pthread_join(l.self, NULL);
	guest_close(&g);
}

/*
 * With a mask of its own, and all handlers reached through a hold: a signal that came when the request had begun, but not
 * blocked anything yet, counts if that mask lets it through. Its handler runs afterwards in any case.
 */
static void run_with_held(struct guest *g, long want)
{
	struct hold hold = {0};
	const struct dev_signals how = {.hold = &hold};
	siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_TKILL};
	u64 mask = 0;

	GUEST_CODE(g, 0xf4);
	catch (SIGUSR1, 0);
	hold_begin(&hold);
	assert_true(hold_signal(&hold, SIGUSR1, &info, &mask));
	assert_int_equal(dev_ioctl_with(port.dev, g->vcpu, KVM_RUN, 0, &how), want);
	assert_int_equal(handled, 0);
	hold_end(&hold);
	assert_int_equal(handled, 1);
}

static void test_held_signal_and_mask(void **state)
{
	struct guest g;
	struct {
		struct kvm_signal_mask head;
		u8 set[8];
	} mask = {.head = {.len = 8}};

	if (port.real) {
		print_message("the kernel has no hold\n");
		skip();
	}
	guest_open(&g);
	assert_int_equal(kvm_p(g.vcpu, KVM_SET_SIGNAL_MASK, &mask), 0);
	run_with_held(&g, -EINTR);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_INTR);
	mask.set[(SIGUSR1 - 1) / 8] |= 1 << (SIGUSR1 - 1) % 8;
	assert_int_equal(kvm_p(g.vcpu, KVM_SET_SIGNAL_MASK, &mask), 0);
	run_with_held(&g, 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_HLT);
	guest_close(&g);
}

/* An ignored signal neither ends the sleep nor keeps it from being one. */
static void test_ignored_signal_halted(void **state)
{
	struct guest g;
	struct later ignored, real;
	struct timespec before, after;
	u64 ns;

	guest_open_irqchip(&g);
	GUEST_CODE(&g, 0xf4);
	catch (SIGUSR1, 0);
	signal(SIGCHLD, SIG_DFL);
	later(&ignored, SIGCHLD);
	later_ms(&real, SIGUSR1, 200);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
	assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), -EINTR);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
	assert_int_equal(handled, 1);
	ns = (after.tv_sec - before.tv_sec) * 1000000000ull + after.tv_nsec - before.tv_nsec;
	assert_true(ns < 50000000);
	pthread_join(ignored.self, NULL);
	pthread_join(real.self, NULL);
	guest_close(&g);
}

/* A signal that the process ignores interrupts nothing; one that the mask blocks waits. */
static void test_signals_that_do_not_count(void **state)
{
	struct guest g;
	struct later ignored, blocked, real;
	sigset_t usr2, old;

	guest_open(&g);
	GUEST_CODE(&g, 0xeb, 0xfe);
	catch (SIGUSR1, 0);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&usr2);
	sigaddset(&usr2, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &usr2, &old);
	signal(SIGUSR2, on_signal);
	later(&ignored, SIGCHLD);
	later(&blocked, SIGUSR2);
	pthread_join(ignored.self, NULL);
	pthread_join(blocked.self, NULL);
	later(&real, SIGUSR1);
	assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), -EINTR);
	assert_int_equal(handled, 1);
	pthread_join(real.self, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	assert_int_equal(handled, 2);
	guest_close(&g);
}

static void *get_regs_thread(void *arg)
{
	struct kvm_regs r;

	return (void *)kvm_p(*(int *)arg, KVM_GET_REGS, &r);
}

/* A request on a running vcpu waits until it has come out. */
static void test_request_waits(void **state)
{
	struct guest g;
	struct later l;
	pthread_t other;
	void *ret = NULL;

	guest_open(&g);
	GUEST_CODE(&g, 0xeb, 0xfe);
	catch (SIGUSR1, 0);
	later(&l, SIGUSR1);
	pthread_create(&other, NULL, get_regs_thread, &g.vcpu);
	assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), -EINTR);
	pthread_join(other, &ret);
	pthread_join(l.self, NULL);
	assert_null(ret);
	guest_close(&g);
}

/* An application processor waits for INIT and SIPI; a signal gets the caller out. */
static void test_waiting_for_sipi(void **state)
{
	struct guest g;
	struct later l;
	struct kvm_mp_state mp = {9};
	int ap;

	guest_open_irqchip(&g);
	ap = kvm(g.vm, KVM_CREATE_VCPU, 1);
	assert_true(ap >= 0);
	assert_int_equal(kvm_p(ap, KVM_GET_MP_STATE, &mp), 0);
	assert_int_equal(mp.mp_state, KVM_MP_STATE_UNINITIALIZED);
	assert_int_equal(kvm_p(g.vcpu, KVM_GET_MP_STATE, &mp), 0);
	assert_int_equal(mp.mp_state, KVM_MP_STATE_RUNNABLE);
	catch (SIGUSR1, 0);
	later(&l, SIGUSR1);
	assert_int_equal(kvm(ap, KVM_RUN, 0), -EINTR);
	assert_int_equal(handled, 1);
	pthread_join(l.self, NULL);
	kvm_close(ap);
	guest_close(&g);
}

/* A signal of the kind that faults are, but sent: nothing of the guest's has raised it, wherever it is found. */
static void test_sent_fault(void **state)
{
	static const int kinds[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
	struct guest g;
	struct later l;

	guest_open(&g);
	GUEST_CODE(&g, 0x40, 0x75, 0xfd, 0xeb, 0xfb); /* inc ax; jnz -3; jmp -5 */
	for (unsigned i = 0; i < 4 * 5; i++) {
		struct sys_sigaction a = {.handler = (void *)on_signal}, old;

		handled = 0;
		assert_int_equal(dev_sigaction(kinds[i % 4], &a, &old), 0);
		later(&l, kinds[i % 4]);
		assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), -EINTR);
		assert_int_equal(handled, 1);
		pthread_join(l.self, NULL);
		assert_int_equal(dev_sigaction(kinds[i % 4], &old, NULL), 0);
	}
	guest_close(&g);
}

static struct guest within;

static void run_another(int sig)
{
	handled++;
	run_to(&within, KVM_EXIT_HLT);
}

/*
 * Its handler runs another vcpu. The one that it has interrupted goes on, and the faults of its code (SIGFPE, or the kernel might
 * take the two signals for one) are still the guest's.
 */
static void test_sent_fault_nested(void **state)
{
	struct sys_sigaction a = {.handler = (void *)run_another}, old;
	struct kvm_sregs s;
	struct guest g;
	struct later l;

	guest_open(&within);
	GUEST_CODE(&within, 0xf4, 0xeb, 0xfd); /* hlt; jmp -3 */
	guest_open(&g);
	GUEST_CODE(&g, 0x31, 0xc9, 0xf7, 0xf1, 0xeb, 0xfc); /* xor cx, cx; 1: div cx; jmp 1b */
	g.ram[0x2000] = 0xcf; /* #DE goes to 3000h, an iret to the division */
	memcpy(g.ram + 0x3000, (const u16[]){0x3000, 0}, 4);
	assert_int_equal(kvm_p(g.vcpu, KVM_GET_SREGS, &s), 0);
	s.idt.base = 0x4000;
	s.idt.limit = 3;
	assert_int_equal(kvm_p(g.vcpu, KVM_SET_SREGS, &s), 0);
	handled = 0;
	assert_int_equal(dev_sigaction(SIGBUS, &a, &old), 0);
	for (int i = 1; i <= 5; i++) {
		later(&l, SIGBUS);
		assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), -EINTR);
		assert_int_equal(handled, i);
		pthread_join(l.self, NULL);
	}
	assert_int_equal(dev_sigaction(SIGBUS, &old, NULL), 0);
	guest_close(&g);
	guest_close(&within);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signal),
		cmocka_unit_test(test_signal_wakes),
		cmocka_unit_test(test_signal_mask),
		cmocka_unit_test(test_signal_mask_halted),
		cmocka_unit_test(test_held_signal_and_mask),
		cmocka_unit_test(test_ignored_signal_halted),
		cmocka_unit_test(test_signals_that_do_not_count),
		cmocka_unit_test(test_request_waits),
		cmocka_unit_test(test_waiting_for_sipi),
		cmocka_unit_test(test_sent_fault),
		cmocka_unit_test(test_sent_fault_nested),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
