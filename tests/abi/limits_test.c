/* SPDX-License-Identifier: MIT */
/*
 * A process that runs out of descriptors, of memory, of threads: each request fails with the kernel's error for it
 * or works, nothing else comes of it, and nothing stays behind. Only over our KVM: what the kernel
 * allocates for its own does not count for these limits.
 */
#include "tests/abi/port.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/dev.h"
#include "tests/abi/fault_points.h"

#define RUN_BYTES 12288

/* ---- a life of a machine, as far as it comes ---- */

struct life {
	int fd[16];
	unsigned fds;
	long failed;    /* the first error */
	unsigned stage; /* whose it was: which request */
	u8 *ram;
	int event; /* made beforehand */
};

static long keep(struct life *l, long r)
{
	if (!l->failed)
		l->stage++;
	if (r < 0 && !l->failed)
		l->failed = r;
	return r;
}

static int keep_fd(struct life *l, long fd)
{
	keep(l, fd);
	if (fd >= 0)
		l->fd[l->fds++] = (int)fd;
	return (int)fd;
}

static void with_event(struct life *l, int vm)
{
	struct kvm_irqfd irqfd = {.fd = (u32)l->event, .gsi = 5};
	struct kvm_ioeventfd ioeventfd = {
		.addr = 0x50, .len = 1, .fd = l->event, .flags = KVM_IOEVENTFD_FLAG_PIO};

	keep(l, kvm_p(vm, KVM_IRQFD, &irqfd));
	keep(l, kvm_p(vm, KVM_IOEVENTFD, &ioeventfd));
}

static void with_memory(struct life *l, int vm)
{
	struct kvm_userspace_memory_region r = {.guest_phys_addr = RAM_GPA,
		.memory_size = RAM_BYTES,
		.userspace_addr = (unsigned long)l->ram,
		.flags = KVM_MEM_LOG_DIRTY_PAGES};
	struct kvm_create_guest_memfd g = {.size = RAM_BYTES};
	static u64 bitmap[2];
	struct kvm_dirty_log log = {.dirty_bitmap = bitmap};

	keep(l, kvm_p(vm, KVM_SET_USER_MEMORY_REGION, &r));
	keep(l, kvm_p(vm, KVM_GET_DIRTY_LOG, &log));
	keep_fd(l, kvm_p(vm, KVM_CREATE_GUEST_MEMFD, &g));
}

static void with_cpuid(struct life *l, int sys, int vcpu)
{
	static union {
		struct kvm_cpuid2 c;
		u8 room[sizeof(struct kvm_cpuid2) + 256 * sizeof(struct kvm_cpuid_entry2)];
	} u;
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e;
	} msrs = {.head.nmsrs = 1, .e.index = 0x10};

	u.c.nent = 256;
	if (!keep(l, kvm_p(sys, KVM_GET_SUPPORTED_CPUID, &u.c)))
		keep(l, kvm_p(vcpu, KVM_SET_CPUID2, &u.c));
	keep(l, kvm_p(vcpu, KVM_GET_MSRS, &msrs));
	keep_fd(l, kvm(vcpu, KVM_GET_STATS_FD, 0));
}

/* mov al, 1; out 10h, al: one exit. Then sti; hlt, until the timer's interrupt: out 20h. */
static void with_run(struct life *l, int vcpu)
{
	static const u8 code[] = {0xb0, 1, 0xe6, 0x10, 0xf4};
	struct kvm_regs regs = {.rip = RAM_GPA, .rflags = 2};
	struct kvm_sregs sregs;

	memcpy(l->ram, code, sizeof(code));
	keep(l, kvm_p(vcpu, KVM_GET_SREGS, &sregs));
	sregs.cs.base = sregs.cs.selector = 0;
	keep(l, kvm_p(vcpu, KVM_SET_SREGS, &sregs));
	keep(l, kvm_p(vcpu, KVM_SET_REGS, &regs));
	keep(l, kvm(vcpu, KVM_RUN, 0));
}

static void with_vcpus(struct life *l, int sys, int vm)
{
	for (unsigned i = 0; i < 2; i++) {
		int vcpu = keep_fd(l, kvm(vm, KVM_CREATE_VCPU, i));

		if (vcpu < 0)
			continue;
		with_cpuid(l, sys, vcpu);
		if (!i)
			with_run(l, vcpu);
	}
}

/* Files to be held are another matter: there are no VFIO groups here. */
static void with_device(struct life *l, int vm)
{
	struct kvm_create_device d = {.type = KVM_DEV_TYPE_VFIO};
	long r = kvm_p(vm, KVM_CREATE_DEVICE, &d);

	keep_fd(l, r ? r : (long)d.fd);
}

/* Everything is tried even when something before it failed. */
static void live(struct life *l)
{
	struct kvm_enable_cap msrs = {
		.cap = KVM_CAP_X86_USER_SPACE_MSR, .args = {KVM_MSR_EXIT_REASON_UNKNOWN}};
	int sys = keep_fd(l, dev_open(port.dev, "/dev/kvm", 0)), vm;

	if (sys < 0)
		return;
	vm = keep_fd(l, kvm(sys, KVM_CREATE_VM, 0));
	if (vm < 0)
		return;
	keep(l, kvm(vm, KVM_CREATE_IRQCHIP, 0));
	keep(l, kvm_p(vm, KVM_ENABLE_CAP, &msrs));
	with_memory(l, vm);
	with_event(l, vm);
	with_device(l, vm);
	with_vcpus(l, sys, vm);
}

static void die(struct life *l)
{
	while (l->fds)
		kvm_close(l->fd[--l->fds]);
}

static struct life *born(void)
{
	static struct life l;

	l = (struct life){.event = eventfd(0, EFD_NONBLOCK),
		.ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0)};
	assert_true(l.event >= 0 && l.ram != MAP_FAILED);
	return &l;
}

static void buried(struct life *l)
{
	close(l->event);
	munmap(l->ram, RAM_BYTES);
}

/* ---- what the process holds ---- */

/* By system calls alone: it is asked where nothing can be allocated. */
static unsigned open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static unsigned threads_now(void)
{
	unsigned n = 0;
	DIR *d = opendir("/proc/self/task");

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* One that has been joined is there for a moment longer. */
static bool threads_are_back(unsigned n)
{
	for (unsigned ms = 0; threads_now() > n; ms++) {
		if (ms > 20000)
			return false;
		usleep(1000);
	}
	return true;
}

static long mapped_pages(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long pages = 0;

	assert_true(f && fscanf(f, "%ld", &pages) == 1);
	fclose(f);
	return pages;
}

/* The first machine of a process sets up what stays. */
static void warm_up(void)
{
	struct life *l = born();

	live(l);
	die(l);
	buried(l);
	assert_int_equal(l->failed, 0);
}

/* ---- the tests ---- */

static void test_every_point(void **state)
{
	unsigned fds, nth, threads;
	struct life *l;
	bool failed = true;

	warm_up();
	fds = open_fds();
	threads = threads_now();
	for (nth = 0; failed && nth < 2000; nth++) {
		l = born();
		fail_from(nth);
		live(l);
		failed = fail_stop();
		if (l->failed && l->failed != -ENOMEM && l->failed != -EMFILE &&
			l->failed != -EAGAIN)
			fail_msg("%s, number %u: request %u is %ld", fail_name(), nth, l->stage,
				l->failed);
		die(l);
		buried(l);
		if (open_fds() != fds)
			fail_msg("%s, number %u: %d descriptors stay", fail_name(), nth,
				(int)(open_fds() - fds));
		assert_true(threads_are_back(threads));
	}
	printf("# %u points\n", nth - 1);
	assert_true(nth > 30);
	assert_int_equal(l->failed, 0);
}

static rlim_t limit(int what, rlim_t value)
{
	struct rlimit old, new;

	assert_int_equal(getrlimit(what, &old), 0);
	new = (struct rlimit){.rlim_cur = MIN(value, old.rlim_max), .rlim_max = old.rlim_max};
	assert_int_equal(setrlimit(what, &new), 0);
	return old.rlim_cur;
}

static void test_descriptors(void **state)
{
	unsigned fds, n, stage = 0, top = 0;
	bool complete = false;
	struct life *l;
	rlim_t old;

	warm_up();
	fds = open_fds();
	for (n = 1; n < 200 && !complete; n++) {
		l = born();
		old = limit(RLIMIT_NOFILE, n);
		live(l);
		complete = !l->failed;
		if (l->failed && l->failed != -EMFILE)
			fail_msg("limit %u: request %u is %ld", n, l->stage, l->failed);
		stage = l->stage;
		top = MAX(top, stage);
		die(l);
		limit(RLIMIT_NOFILE, old);
		buried(l);
		assert_int_equal(open_fds(), fds);
	}
	assert_true(complete && stage == top);
	printf("# complete with %u descriptors\n", n - 1);
}

/* With so many pages more than now. Was it enough for everything? */
static bool with_address_space(long pages)
{
	struct life *l = born();
	rlim_t old = limit(RLIMIT_AS, (rlim_t)(mapped_pages() + pages) * 4096);
	unsigned fds = open_fds();

	live(l);
	die(l);
	limit(RLIMIT_AS, old);
	assert_int_equal(open_fds(), fds);
	buried(l);
	if (l->failed && l->failed != -ENOMEM && l->failed != -EAGAIN)
		fail_msg("%ld pages: request %u is %ld", pages, l->stage, l->failed);
	return !l->failed;
}

/* Up to what is enough for everything. */
static long all_address_spaces(void)
{
	bool complete = false;
	long pages;

	for (pages = 1; pages < 1 << 20 && !complete; pages += 8 + pages / 16)
		complete = with_address_space(pages);
	assert_true(complete);
	return pages;
}

static void test_address_space(void **state)
{
	long before;

	if (UV_SANITIZED)
		skip();       /* its own memory counts */
	all_address_spaces(); /* after which the C library keeps what it keeps */
	before = mapped_pages();
	printf("# complete with %ld MiB\n", all_address_spaces() / 256);
	assert_in_range(mapped_pages(), 0, before + 64);
}

static void on_alarm(int sig)
{
}

/* KVM_RUN needs none that a program would have to think of, and still hears signals. */
static void test_sleep_without_descriptors(void **state)
{
	struct itimerval often = {{.tv_usec = 20000}, {.tv_usec = 20000}}, never = {0};
	struct guest g;
	rlim_t old;
	long r;

	guest_open_irqchip(&g);
	GUEST_CODE(&g, 0xf4);
	signal(SIGALRM, on_alarm);
	old = limit(RLIMIT_NOFILE, 3); /* all in use */
	setitimer(ITIMER_REAL, &often, NULL);
	r = kvm(g.vcpu, KVM_RUN, 0);
	setitimer(ITIMER_REAL, &never, NULL);
	limit(RLIMIT_NOFILE, old);
	assert_int_equal(r, -EINTR);
	guest_close(&g);
}

static void test_threads(void **state)
{
	int status;
	pid_t pid;

	warm_up();
	fflush(stdout);
	pid = fork();
	if (!pid) { /* another user, whom this limit binds */
		struct life *l = born();

		if (geteuid() == 0 && setuid(61234))
			_exit(2);
		limit(RLIMIT_NPROC, 0);
		live(l);
		if (l->failed != -EAGAIN || l->stage != 2)
			printf("request %u is %ld\n", l->stage, l->failed);
		fflush(stdout);
		_exit(l->failed != -EAGAIN || l->stage != 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void forbid(int nr, int error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (u32)nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (u32)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog p = {.len = ARRAY_SIZE(code), .filter = code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p))
		_exit(77);
}

/* Filters from before we came are in force for us. */
static void test_forbidden(void **state)
{
	static const struct {
		int nr, error;
	} cases[] = {{SYS_memfd_create, ENOSYS}, {SYS_memfd_create, EPERM},
		{SYS_epoll_create1, EPERM}, {SYS_eventfd2, EPERM}, {SYS_epoll_ctl, EPERM},
		{SYS_ftruncate, EPERM}, {SYS_signalfd4, 0}, {SYS_eventfd2, ENOSYS}};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct life *l = born();
		int status;
		pid_t pid;

		fflush(stdout);
		pid = fork();
		if (!pid) {
			forbid(cases[i].nr, cases[i].error);
			live(l);
			die(l);
			_exit(cases[i].error && l->failed && l->failed != -cases[i].error);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (status)
			fail_msg("system call %d, error %d: status %#x", cases[i].nr,
				cases[i].error, status);
		buried(l);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_point),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_address_space),
		cmocka_unit_test(test_sleep_without_descriptors),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_forbidden),
	};

	port_start(argc, argv);
	if (port.real) {
		printf("the limits of a process do not bind the kernel\n");
		return 77;
	}
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
