/* SPDX-License-Identifier: MIT */
/*
 * KVM_RUN called by a signal handler that runs on the thread's alternate stack: what interrupts the guest must not be
 * put over the frames of that handler, and the alternate stack is afterwards what it was.
 */
#include "tests/abi/port.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

static struct guest g;

/* mov byte [0x5000], 1; hlt, and nobody may write to that page: a fault of generated code. */
static void guest_that_faults(void)
{
	guest_open(&g);
	GUEST_CODE(&g, 0xc6, 0x06, 0x00, 0x50, 0x01, 0xf4);
	assert_int_equal(mprotect(g.ram + 0x5000 - RAM_GPA, PAGE_SIZE, PROT_READ), 0);
}

static volatile bool ran, unhurt;
static long result;

/* The frame of the handler goes up to the top of the stack, where the next one would begin. */
static void run_in_handler(int sig, siginfo_t *info, void *context)
{
	stack_t before, after;

	sigaltstack(NULL, &before);
	result = kvm(g.vcpu, KVM_RUN, 0);
	sigaltstack(NULL, &after);
	ran = true;
	unhurt = sig == SIGUSR2 && info->si_signo == SIGUSR2 && (before.ss_flags & SS_ONSTACK) &&
		 !memcmp(&before, &after, sizeof(before));
}

/* A KVM that emulates the instruction may call it an access to no memory, or find the page by another road. */
static void assert_faulted(void)
{
	assert_true(result == -EFAULT || (port.real && !result));
}

static void run_on(size_t bytes)
{
	struct sigaction a = {.sa_sigaction = run_in_handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	void *stack = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stack_t set = {.ss_sp = stack, .ss_size = bytes}, old;

	assert_ptr_not_equal(stack, MAP_FAILED);
	assert_int_equal(sigaltstack(&set, &old), 0);
	assert_int_equal(sigaction(SIGUSR2, &a, NULL), 0);
	ran = unhurt = false;
	raise(SIGUSR2);
	assert_true(ran);
	assert_true(unhurt);
	assert_int_equal(sigaltstack(&old, NULL), 0);
	munmap(stack, bytes);
}

static void test_fault(void **state)
{
	guest_that_faults();
	for (unsigned i = 0; i < 3; i++) {
		run_on(1 << 20);
		assert_faulted();
	}
	guest_close(&g);
}

/* Too little is left of it to be of use. */
static void test_small_stack(void **state)
{
	guest_that_faults();
	run_on(96 << 10);
	assert_faulted();
	run_on(64 << 10);
	assert_faulted();
	guest_close(&g);
}

/* In turns with KVM_RUN on the ordinary stack. */
static void test_in_turns(void **state)
{
	guest_that_faults();
	for (unsigned i = 0; i < 3; i++) {
		result = kvm(g.vcpu, KVM_RUN, 0);
		assert_faulted();
		run_on(1 << 20);
		assert_faulted();
	}
	guest_close(&g);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fault),
		cmocka_unit_test(test_small_stack),
		cmocka_unit_test(test_in_turns),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
