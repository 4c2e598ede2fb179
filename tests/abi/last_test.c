/* SPDX-License-Identifier: MIT */
/* A process ends with the last thread of the program, whatever threads we have (lastthread.c). As with the kernel. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/abi/port.h"

#define LIMIT_MS 10000

#ifdef __SANITIZE_THREAD__
#define THREAD_SANITIZED 1
#else
#define THREAD_SANITIZED 0
#endif

/* What only a first thread that is gone has pointed to is no leak. (The leak sanitizer asks.) */
__attribute__((visibility("default"))) int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
	return 1;
}

static void by_pthread_exit(void)
{
	pthread_exit(NULL);
}

static void by_system_call(void)
{
	syscall(SYS_exit, 7);
}

static void *stay(void *opaque)
{
	const struct timespec t = {0, 300000000};

	nanosleep(&t, NULL);
	return opaque;
}

static void with_another(void)
{
	pthread_t t;

	pthread_create(&t, NULL, stay, NULL);
	pthread_exit(NULL);
}

/* The machine that looks goes away, and another one has to. */
static void with_fewer_machines(void)
{
	struct guest g;

	guest_open(&g);
	guest_close(&g);
	pthread_exit(NULL);
}

/* As of wait(2), with the time that it took; -1: it never ended. */
static int end(void (*way)(void), unsigned *ret_ms)
{
	const struct timespec t = {0, 10000000};
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		int sys = kvm_open();

		for (unsigned i = 0; i < 3; i++)
			if (kvm(sys, KVM_CREATE_VM, 0) < 0)
				_exit(99);
		way();
	}
	for (*ret_ms = 0; *ret_ms < LIMIT_MS; *ret_ms += 10) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return status;
		nanosleep(&t, NULL);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return -1;
}

static void test_first_thread(void **state)
{
	unsigned ms;

	assert_int_equal(end(by_pthread_exit, &ms), 0);
	assert_int_equal(end(by_system_call, &ms), 7 << 8);
}

static void test_another_thread(void **state)
{
	unsigned ms;

	assert_int_equal(end(with_another, &ms), 0);
	assert_true(ms >= 250);
}

static void test_fewer_machines(void **state)
{
	unsigned ms;

	assert_int_equal(end(with_fewer_machines, &ms), 0);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_thread),
		cmocka_unit_test(test_another_thread),
		cmocka_unit_test(test_fewer_machines),
	};

	if (THREAD_SANITIZED) {
		printf("the thread sanitizer has a thread of its own, with which the process goes "
		       "on\n");
		return 77;
	}
	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
