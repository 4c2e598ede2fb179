/* SPDX-License-Identifier: MIT */
/*
 * What a machine with a vCPU costs to make and to close, and what it costs while its guest computes, in work rather
 * than time: test suites make thousands of them. Page faults and system calls each take a microsecond, on some hosts
 * several.
 */
#include "abi/dev.h"
#include "base/hold.h"
#include "tests/abi/port.h"

#include <errno.h>
#include <linux/kvm_para.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#define ROUNDS       16
#define FAULTS_LIMIT 100
#define CALLS_LIMIT  70

static _Atomic long calls;
static _Thread_local long own_calls; /* this thread's */

long __real_sys_call(long nr, long a, long b, long c, long d, long e, long f);
long __wrap_sys_call(long nr, long a, long b, long c, long d, long e, long f);

long __wrap_sys_call(long nr, long a, long b, long c, long d, long e, long f)
{
	if (nr != SYS_sched_yield) /* how often is the scheduler's choice */
		atomic_fetch_add(&calls, 1);
	own_calls++;
	return __real_sys_call(nr, a, b, c, d, e, f);
}

static long faults(void)
{
	struct rusage r;

	assert_int_equal(getrusage(RUSAGE_SELF, &r), 0);
	return r.ru_minflt;
}

static unsigned mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned n = 0;
	int c;

	assert_non_null(f);
	while ((c = getc(f)) != EOF)
		n += c == '\n';
	fclose(f);
	return n;
}

static void make_and_close(int sys)
{
	int vm = (int)kvm(sys, KVM_CREATE_VM, 0), vcpu;

	assert_true(vm >= 0);
	vcpu = (int)kvm(vm, KVM_CREATE_VCPU, 0);
	assert_true(vcpu >= 0);
	kvm_close(vcpu);
	kvm_close(vm);
}

static void test_work(void **state)
{
	int sys = kvm_open();
	long calls_before, faults_before;
	unsigned mapped;

	for (int i = 0; i < ROUNDS; i++)
		make_and_close(sys); /* what the process needs once, heap included */
	mapped = mappings();
	calls_before = calls;
	faults_before = faults();
	for (int i = 0; i < ROUNDS; i++)
		make_and_close(sys);
	calls_before = (calls - calls_before) / ROUNDS;
	faults_before = (faults() - faults_before) / ROUNDS;
	print_message("%ld system calls, %ld page faults\n", calls_before, faults_before);
	if (UV_SANITIZED) {
		print_message("sanitizers have faults and mappings of their own: not compared\n");
	} else {
		assert_in_range(faults_before, 0, FAULTS_LIMIT);
		assert_in_range(mappings(), mapped - 1, mapped + 1); /* the heap's */
	}
	assert_in_range(calls_before, 1, CALLS_LIMIT);
	kvm_close(sys);
}

/* ---- while the guest computes ---- */

#define RUN_MS       200
#define CALLS_PER_MS 3 /* the helper's sleep, the look for signals; now and then steal time */

static void on_signal(int signo)
{
}

static void *interrupt_later(void *vcpu_thread)
{
	struct timespec t = {.tv_nsec = RUN_MS * 1000000};

	nanosleep(&t, NULL);
	pthread_kill(*(pthread_t *)vcpu_thread, SIGUSR1);
	return NULL;
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void ask_for_steal_time(const struct guest *g)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e;
	} m = {{.nmsrs = 1},
		{.index = MSR_KVM_STEAL_TIME, .data = (RAM_GPA + 0x4000) | KVM_MSR_ENABLED}};

	assert_int_equal(kvm_p(g->vcpu, KVM_SET_MSRS, &m), 1);
}

static void test_computing(void **state)
{
	struct sigaction a = {.sa_handler = on_signal};
	pthread_t self = pthread_self(), other;
	struct guest g;
	double start;
	long before;

	assert_int_equal(sigaction(SIGUSR1, &a, NULL), 0);
	guest_open(&g);
	ask_for_steal_time(&g);
	GUEST_CODE(&g, 0xeb, 0xfe);
	assert_int_equal(pthread_create(&other, NULL, interrupt_later, &self), 0);
	before = calls;
	start = now_ms();
	assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), -EINTR);
	before = calls - before;
	start = now_ms() - start;
	pthread_join(other, NULL);
	print_message("%ld system calls in %.0f ms\n", before, start);
	assert_true((double)before <= CALLS_PER_MS * start + 20);
	guest_close(&g);
}

static void request(int fd, unsigned long number, const void *arg, const struct dev_signals *how)
{
	assert_int_equal(dev_ioctl_with(port.dev, fd, number, (unsigned long)arg, how), 0);
}

/* Where signals are held an exit makes no system call, nor does a request; to arm the heartbeat takes one now and then. */
static void test_exits(void **state)
{
	static struct hold hold;
	const struct dev_signals how = {.hold = &hold};
	struct kvm_regs r;
	struct guest g;
	double begin;

	guest_open(&g);
	GUEST_CODE(&g, 0xe6, 0x42, 0xeb, 0xfc); /* out %al, $0x42; jmp back */
	request(g.vcpu, KVM_RUN, NULL, &how);
	begin = now_ms();
	own_calls = 0;
	for (unsigned i = 0; i < 10000; i++) {
		request(g.vcpu, KVM_RUN, NULL, &how);
		assert_int_equal(g.run->exit_reason, KVM_EXIT_IO);
		request(g.vcpu, KVM_GET_REGS, &r, &how);
	}
	assert_in_range(own_calls, 0, 20 + 4 * (long)(now_ms() - begin));
	guest_close(&g);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_work),
		cmocka_unit_test(test_computing),
		cmocka_unit_test(test_exits),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
