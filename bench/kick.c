/* SPDX-License-Identifier: MIT */
/*
 * How long a signal takes to end KVM_RUN: from pthread_kill() in one thread to the return in the other, of a guest that
 * never leaves by itself. Run it under `uservisor exec`, or where there is a kernel's KVM. Lines: "= median US", "= p99 US",
 * and the same of a thread that only counts, until its handler runs: what the host takes for a signal.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "times.h"

#define ROUNDS 2001
#define MEMORY 0x10000

static _Atomic int round_begun, round_ended;
static double sent[ROUNDS], came[ROUNDS], took[ROUNDS];
static int vcpu;

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void check(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static void on_signal(int signo)
{
	(void)signo;
}

static void note_time(int signo)
{
	int i = atomic_load(&round_begun) - 1;

	(void)signo;
	came[i] = now_us();
	atomic_store(&round_ended, i + 1);
}

/* As run(), without a guest. */
static void *count(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		atomic_store(&round_begun, i + 1);
		while (atomic_load(&round_ended) <= i)
			;
	}
	return arg;
}

static void *run(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		atomic_store(&round_begun, i + 1);
		check(ioctl(vcpu, KVM_RUN, 0) < 0 && errno == EINTR, "kick: KVM_RUN");
		came[i] = now_us();
		atomic_store(&round_ended, i + 1);
	}
	return arg;
}

/* jmp . */
static void make_guest(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm;
	struct kvm_userspace_memory_region r = {.memory_size = MEMORY};
	struct kvm_regs regs = {.rflags = 2};
	struct kvm_sregs sregs;
	char *ram = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	check(kvm >= 0 && ram != MAP_FAILED, "kick: /dev/kvm");
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	memcpy(ram, "\xeb\xfe", 2);
	r.userspace_addr = (unsigned long)ram;
	check(!ioctl(vm, KVM_SET_USER_MEMORY_REGION, &r), "kick: memory");
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	check(!ioctl(vcpu, KVM_GET_SREGS, &sregs), "kick: vCPU");
	sregs.cs.base = sregs.cs.selector = 0;
	check(!ioctl(vcpu, KVM_SET_SREGS, &sregs) && !ioctl(vcpu, KVM_SET_REGS, &regs),
		"kick: vCPU");
}

/* Within a fifth of a second. */
static int ended(int i)
{
	while (now_us() - sent[i] < 200000)
		if (atomic_load(&round_ended) > i)
			return 1;
	return 0;
}

static void measure(const char *name, void *(*thread)(void *), void (*handler)(int))
{
	struct sigaction a = {.sa_handler = handler};
	pthread_t id;

	atomic_store(&round_begun, 0);
	atomic_store(&round_ended, 0);
	sigaction(SIGUSR1, &a, NULL);
	check(!pthread_create(&id, NULL, thread, NULL), "kick: thread");
	for (int i = 0; i < ROUNDS; i++) {
		while (atomic_load(&round_begun) <= i)
			;
		usleep(300); /* it is inside by then */
		do {         /* a thread that was not inside yet does not count */
			sent[i] = now_us();
			pthread_kill(id, SIGUSR1);
		} while (!ended(i));
		took[i] = came[i] - sent[i];
	}
	pthread_join(id, NULL);
	print_times(name, took, ROUNDS);
}

int main(void)
{
	make_guest();
	measure("", run, on_signal);
	measure("signal-", count, note_time);
	return 0;
}
