/* SPDX-License-Identifier: MIT */
/* The life of descriptors. */
#include "tests/shim/preload/client.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>

static bool is_vcpu(int fd)
{
	struct kvm_regs r;

	return !ioctl(fd, KVM_GET_REGS, &r) && r.rip == 0xfff0;
}

static void duplicates(void)
{
	struct guest g;
	int copy[7];

	guest_open(&g, false);
	copy[0] = dup(g.vcpu);
	copy[1] = dup2(copy[0], 100);
	copy[2] = dup3(copy[1], 101, O_CLOEXEC);
	copy[3] = fcntl(copy[2], F_DUPFD, 200);
	copy[4] = fcntl(copy[3], F_DUPFD_CLOEXEC, 300);
	copy[5] = (int)syscall(SYS_dup, copy[4]);
	copy[6] = (int)syscall(SYS_fcntl, copy[5], F_DUPFD, 400);
	CHECK(copy[1] == 100 && copy[2] == 101 && copy[6] >= 400);
	CHECK(!close(g.vcpu));
	for (unsigned i = 0; i < 6; i++) {
		CHECK(is_vcpu(copy[i]));
		CHECK(!close(copy[i]));
		CHECK(ioctl(copy[i], KVM_GET_REGS, 0) == -1 && errno == EBADF);
	}
	/* One number less and the vcpu would be gone. */
	CHECK(is_vcpu(copy[6]));
	g.vcpu = copy[6];
	GUEST_CODE(&g, OUT_AL_42);
	CHECK(!ioctl(g.vcpu, KVM_RUN, 0) && g.run->exit_reason == KVM_EXIT_IO);
	guest_close(&g);
}

/* A number that meant something of ours, given to another file in every way. */
static void numbers_again(void)
{
	struct guest g;
	int fd, null = open("/dev/null", O_RDWR);

	guest_open(&g, false);
	CHECK(dup2(null, g.vcpu) == g.vcpu);
	CHECK(ioctl(g.vcpu, KVM_RUN, 0) == -1 && errno == ENOTTY);
	CHECK(!close(g.vm));
	fd = open("/dev/null", O_RDWR);
	CHECK(fd == g.vm);
	CHECK(ioctl(fd, KVM_CHECK_EXTENSION, 0) == -1 && errno == ENOTTY);
	CHECK(!close(fd));
	fd = ioctl(g.sys, KVM_CREATE_VM, 0);
	CHECK(fd == g.vm && ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY) == 1);
}

static void close_ranges(void)
{
	struct guest g;
	int low = dup(0);

	guest_open(&g, false);
	CHECK(!close_range((unsigned)g.vcpu, (unsigned)g.vcpu, 0));
	CHECK(ioctl(g.vcpu, KVM_RUN, 0) == -1 && errno == EBADF);
	CHECK(ioctl(g.vm, KVM_CREATE_VCPU, 1) >= 0);
	closefrom(low);
	CHECK(ioctl(g.vm, KVM_CHECK_EXTENSION, 0) == -1 && errno == EBADF);
	CHECK(ioctl(g.sys, KVM_GET_API_VERSION, 0) == -1 && errno == EBADF);
	/* The engine's own descriptors are among those that went; a new machine works all the same. */
	guest_open(&g, true);
	GUEST_CODE(&g, OUT_AL_42);
	CHECK(!ioctl(g.vcpu, KVM_RUN, 0) && g.run->exit_reason == KVM_EXIT_IO);
	guest_close(&g);
}

static void on_alarm(int signo)
{
}

/* Is it one that the program has not opened? Those have high numbers. */
static bool is_engines(int fd)
{
	return fd >= 500 && fcntl(fd, F_GETFD) >= 0;
}

/* Nothing that the program does to the engine's own descriptors, by any call, reaches them. */
static void engine_descriptors(void)
{
	struct guest g;
	unsigned char halt[] = {STI_HLT_LOOP};
	int null = open("/dev/null", O_RDWR), found = 0;

	guest_open(&g, true);
	guest_code(&g, halt, sizeof(halt));
	for (int fd = 0; fd < 1000; fd++) {
		if (!is_engines(fd))
			continue;
		found++;
		CHECK_ERRNO(close(fd), EBADF);
		CHECK_ERRNO(dup2(null, fd), EBUSY);
		CHECK_ERRNO(dup3(null, fd, O_CLOEXEC), EBUSY);
		CHECK_ERRNO(syscall(SYS_dup2, null, fd), EBUSY);
		CHECK_ERRNO(dup2(999, fd), EBADF);
		CHECK_ERRNO(dup2(fd, fd), EBADF);
		CHECK(!close_range((unsigned)fd, (unsigned)fd, 0));
		CHECK(!syscall(SYS_close_range, fd, fd, 0));
		CHECK(is_engines(fd));
	}
	CHECK(found);
	CHECK(!close_range(500, ~0u, 0));
	/* Timers and the wake-up of a halted processor live on them. */
	CHECK(dup2(null, 499) == 499);
	alarm(1);
	signal(SIGALRM, on_alarm);
	CHECK_ERRNO(ioctl(g.vcpu, KVM_RUN, 0), EINTR);
	guest_close(&g);
}

/* The vcpu keeps the machine. */
static void close_order(void)
{
	struct guest g;

	guest_open(&g, false);
	GUEST_CODE(&g, OUT_AL_42);
	CHECK(!close(g.sys) && !close(g.vm));
	CHECK(!ioctl(g.vcpu, KVM_RUN, 0) && g.run->exit_reason == KVM_EXIT_IO);
	CHECK(!close(g.vcpu));
	CHECK(g.run->exit_reason == KVM_EXIT_IO); /* the mapping stays */
}

static void request_errors(void)
{
	struct kvm_irqfd irqfd = {.fd = 999, .gsi = 1};
	struct guest g;
	struct termios t;
	struct stat st;

	guest_open(&g, true);
	CHECK_ERRNO(ioctl(g.sys, TCGETS, &t), EINVAL);
	CHECK_ERRNO(ioctl(g.vm, TCGETS, &t), ENOTTY);
	CHECK_ERRNO(ioctl(g.vcpu, TCGETS, &t), EINVAL);
	CHECK_ERRNO(ioctl(g.sys, _IO(KVMIO, 0xf3), 0), EINVAL);
	CHECK_ERRNO(ioctl(g.vm, _IO(KVMIO, 0xf3), 0), ENOTTY);
	CHECK_ERRNO(ioctl(g.vm, KVM_IRQFD, &irqfd), EBADF);
	CHECK_ERRNO(ioctl(g.vcpu, KVM_GET_REGS, 8), EFAULT);
	CHECK_ERRNO(syscall(SYS_ioctl, g.vcpu, KVM_GET_REGS, 8), EFAULT);
	CHECK(syscall(SYS_ioctl, g.sys, KVM_GET_API_VERSION, 0) == 12);
	CHECK(!ioctl(g.vm, FIOCLEX) && fcntl(g.vm, F_GETFD) == FD_CLOEXEC);
	CHECK(!fstat(g.vm, &st) && (st.st_mode & S_IFMT) == 0);
	CHECK_ERRNO(ioctl(999, KVM_GET_API_VERSION, 0), EBADF);
	guest_close(&g);
}

const struct client_case fd_cases[] = {
	{"duplicates", duplicates},
	{"numbers-again", numbers_again},
	{"close-ranges", close_ranges},
	{"engine-descriptors", engine_descriptors},
	{"close-order", close_order},
	{"request-errors", request_errors},
	{NULL, NULL},
};
