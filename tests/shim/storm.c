/* SPDX-License-Identifier: MIT */
/*
 * A rude program that uses /dev/kvm: forks, cancelled threads, machines made and unmade by many threads at once, signals by
 * the thousand. One case a run, named on its command line; "forever" does a bit of everything until it is killed.
 * It knows nothing of us and is run by `uservisor exec`, dynamic and static.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "static.h"

#define RAM_BYTES 0x10000
#define RUN_BYTES 12288
#define VCPUS     2

struct machine {
	int system, vm, vcpu[VCPUS];
	struct kvm_run *run[VCPUS];
	uint8_t *ram;
};

/* l: in al, 10h; inc bx; jmp l, and a busy loop without exits. */
static const uint8_t exits[] = {0xe4, 0x10, 0x43, 0xeb, 0xfb}, busy[] = {0x43, 0xeb, 0xfd};

static void vcpu_open(struct machine *m, int i)
{
	struct kvm_regs r = {.rflags = 2, .rsp = 0x8000};
	struct kvm_sregs s;

	m->vcpu[i] = ioctl(m->vm, KVM_CREATE_VCPU, i);
	CHECK(m->vcpu[i] >= 0);
	m->run[i] = mmap(NULL, RUN_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu[i], 0);
	CHECK(m->run[i] != MAP_FAILED && !ioctl(m->vcpu[i], KVM_GET_SREGS, &s));
	s.cs.base = s.cs.selector = 0;
	CHECK(!ioctl(m->vcpu[i], KVM_SET_SREGS, &s) && !ioctl(m->vcpu[i], KVM_SET_REGS, &r));
}

static void machine_open(struct machine *m, const uint8_t *code, size_t n)
{
	struct kvm_userspace_memory_region r = {.memory_size = RAM_BYTES};

	m->system = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	CHECK(m->system >= 0);
	m->vm = ioctl(m->system, KVM_CREATE_VM, 0);
	CHECK(m->vm >= 0);
	m->ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(m->ram != MAP_FAILED);
	memcpy(m->ram, code, n);
	r.userspace_addr = (uintptr_t)m->ram;
	CHECK(!ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &r));
	for (int i = 0; i < VCPUS; i++)
		vcpu_open(m, i);
}

static void machine_close(struct machine *m)
{
	for (int i = 0; i < VCPUS; i++)
		CHECK(!munmap(m->run[i], RUN_BYTES) && !close(m->vcpu[i]));
	CHECK(!close(m->vm) && !close(m->system) && !munmap(m->ram, RAM_BYTES));
}

static uint64_t bx_of(struct machine *m, int i)
{
	struct kvm_regs r;

	CHECK(!ioctl(m->vcpu[i], KVM_GET_REGS, &r));
	return r.rbx & 0xffff;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void nap_us(long us)
{
	nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

static int open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* ---- vcpus on threads ---- */

static _Atomic int stop;
static _Atomic long exits_seen;

struct runner {
	struct machine *m;
	int i;
	pthread_t thread;
};

static void *run_vcpu(void *arg)
{
	struct runner *r = arg;

	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	while (!stop) {
		int ret = ioctl(r->m->vcpu[r->i], KVM_RUN, 0);

		CHECK(!ret || errno == EINTR);
		exits_seen++;
	}
	return NULL;
}

static void run_start(struct runner *r, struct machine *m)
{
	for (int i = 0; i < VCPUS; i++) {
		r[i] = (struct runner){.m = m, .i = i};
		CHECK(!pthread_create(&r[i].thread, NULL, run_vcpu, &r[i]));
	}
}

static void run_join(struct runner *r)
{
	for (int i = 0; i < VCPUS; i++)
		CHECK(!pthread_join(r[i].thread, NULL));
}

/* ---- cases ---- */

static void fork_child(struct machine *m)
{
	struct machine own;

	CHECK(ioctl(m->vm, KVM_CHECK_EXTENSION, 0) == -1 && errno == EIO);
	CHECK(ioctl(m->vcpu[0], KVM_RUN, 0) == -1 && errno == EIO);
	CHECK(ioctl(m->system, KVM_GET_API_VERSION, 0) == 12);
	machine_open(&own, exits, sizeof(exits));
	CHECK(!ioctl(own.vcpu[0], KVM_RUN, 0) && own.run[0]->exit_reason == KVM_EXIT_IO);
	machine_close(&own);
	_exit(0);
}

/* While vcpus run and the table of descriptors changes. */
static void forks(void)
{
	struct runner r[VCPUS];
	struct machine m;
	long before;

	machine_open(&m, exits, sizeof(exits));
	run_start(r, &m);
	for (int i = 0; i < 60; i++) {
		pid_t pid = fork();
		int status;

		CHECK(pid >= 0);
		if (!pid)
			fork_child(&m);
		CHECK(waitpid(pid, &status, 0) == pid && !status);
	}
	before = exits_seen;
	while (exits_seen < before + 10)
		nap_us(1000);
	stop = 1;
	run_join(r);
	machine_close(&m);
}

static void *make_machines(void *arg)
{
	for (int i = 0; i < 25; i++) {
		struct machine m;

		machine_open(&m, exits, sizeof(exits));
		for (int n = 0; n < 3; n++)
			CHECK(!ioctl(m.vcpu[n % VCPUS], KVM_RUN, 0));
		machine_close(&m);
	}
	return NULL;
}

static void churn(void)
{
	pthread_t t[8];
	int before;

	make_machines(NULL);
	before = open_fds();
	for (int i = 0; i < 8; i++)
		CHECK(!pthread_create(&t[i], NULL, make_machines, NULL));
	for (int i = 0; i < 8; i++)
		CHECK(!pthread_join(t[i], NULL));
	CHECK(open_fds() == before);
}

static void cancelled(void)
{
	unsigned seed = (unsigned)time(NULL);

	for (int round = 0; round < 60; round++) {
		struct runner r[VCPUS];
		struct machine m;
		void *result;

		machine_open(
			&m, round & 1 ? exits : busy, round & 1 ? sizeof(exits) : sizeof(busy));
		run_start(r, &m);
		nap_us(rand_r(&seed) % 3000);
		for (int i = 0; i < VCPUS; i++)
			CHECK(!pthread_cancel(r[i].thread));
		for (int i = 0; i < VCPUS; i++)
			CHECK(!pthread_join(r[i].thread, &result) && result == PTHREAD_CANCELED);
		/* Nothing is held by who is gone. */
		bx_of(&m, 0);
		machine_close(&m);
	}
}

static _Atomic long alarms, queued, children;

static void on_signal(int sig)
{
	if (sig == SIGALRM)
		alarms++;
	else if (sig == SIGCHLD)
		children++;
	else
		queued++;
}

static void handle_signals(void)
{
	struct sigaction a = {.sa_handler = on_signal};

	sigaction(SIGALRM, &a, NULL);
	sigaction(SIGCHLD, &a, NULL);
	sigaction(SIGRTMIN, &a, NULL);
	setitimer(ITIMER_REAL, &(struct itimerval){{0, 1000}, {0, 1000}}, NULL);
}

/* From another thread, so that the timer's signals come to both. */
static void *send_queued(void *arg)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	for (int i = 0; i < 2000; i++) {
		while (sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i}))
			nap_us(1000);
		if (!(i % 100) && !fork())
			_exit(0);
		nap_us(500);
	}
	return NULL;
}

/* Each is delivered, the guest goes on nevertheless, and only KVM_RUN is interrupted. */
static void signals(void)
{
	struct machine m;
	pthread_t sender;
	long interrupted = 0, progress = 0;
	uint64_t last = 0;
	double end = now() + 120;

	machine_open(&m, busy, sizeof(busy));
	handle_signals();
	CHECK(!pthread_create(&sender, NULL, send_queued, NULL));
	while (queued < 2000) {
		uint64_t bx;

		CHECK(ioctl(m.vcpu[0], KVM_RUN, 0) == -1 && errno == EINTR);
		CHECK(m.run[0]->exit_reason == KVM_EXIT_INTR);
		interrupted++;
		bx = bx_of(&m, 0);
		progress += bx != last;
		last = bx;
		CHECK(now() < end);
	}
	CHECK(!pthread_join(sender, NULL));
	setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
	CHECK(queued == 2000 && alarms > 10 && children >= 1);
	CHECK(interrupted <= alarms + queued + children + 1);
	CHECK(progress > interrupted / 10); /* a busy machine brings some together */
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	machine_close(&m);
}

static void *forever_machines(void *arg)
{
	for (;;)
		make_machines(NULL);
	return NULL;
}

static void forever(void)
{
	struct runner r[VCPUS];
	struct machine m;
	pthread_t t;

	alarm(0);
	machine_open(&m, busy, sizeof(busy));
	run_start(r, &m);
	CHECK(!pthread_create(&t, NULL, forever_machines, NULL));
	run_join(r);
}

static const struct scenario scenarios[] = {
	{"forks", forks},
	{"churn", churn},
	{"cancelled", cancelled},
	{"signals", signals},
	{"forever", forever},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	alarm(240);
	return run_scenario(scenarios, argc, argv);
}
