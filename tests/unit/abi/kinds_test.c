/* SPDX-License-Identifier: MIT */
/*
 * What a new interface gets for its tables alone: opening, requests, duplicates, descriptors of other processes, closing in
 * any order, names. There is no KVM in this program.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "abi/table.h"
#include "base/refusal.h"
#include "fake.h"

#define BAD_POINTER 0xdead000000000000ul

struct fixture {
	struct dev *dev;
	int sys;
};

static struct dev *dev_new(void)
{
	struct dev *d;

	assert_int_equal(dev_create(&d), 0);
	return d;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	fake_log = mmap(
		NULL, sizeof(*fake_log), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	f->dev = dev_new();
	f->sys = dev_open(f->dev, "/dev/fake", O_RDWR | O_CLOEXEC);
	assert_true(f->sys >= 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	dev_close(f->dev, f->sys);
	dev_destroy(f->dev);
	munmap(fake_log, sizeof(*fake_log));
	free(f);
	return 0;
}

static int make(struct dev *d, int fd, unsigned long request, unsigned long number)
{
	int r = (int)dev_ioctl(d, fd, request, number);

	assert_true(r >= 0);
	return r;
}

static int make_box(struct fixture *f, unsigned long number)
{
	return make(f->dev, f->sys, FAKE_MAKE_BOX, number);
}

static int make_part(struct fixture *f, int box, unsigned long number)
{
	return make(f->dev, box, FAKE_MAKE_PART, number);
}

static bool was_released(int number)
{
	for (unsigned i = 0; i < fake_log->count; i++)
		if (fake_log->number[i] == number)
			return true;
	return false;
}

/* ---- opening, requests, names ---- */

static void link_of(int fd, char *link, size_t size)
{
	char path[32];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, link, size - 1);
	link[n > 0 ? n : 0] = 0;
}

static void test_open(void **state)
{
	struct fixture *f = *state;
	int too = dev_open(f->dev, "/dev/fake-too", O_RDWR), box = make_box(f, 1);
	char link[64];

	assert_int_equal(dev_open(f->dev, "/dev/kvm", O_RDWR), -ENOENT);
	assert_int_equal(fcntl(f->sys, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(too, F_GETFD), 0);
	assert_int_equal(fcntl(box, F_GETFD), FD_CLOEXEC);
	assert_int_equal(dev_kind(f->dev, f->sys), DEV_SYSTEM);
	assert_int_equal(dev_kind(f->dev, box), DEV_VM);
	assert_int_equal(dev_kind(f->dev, 0), DEV_NONE);
	link_of(box, link, sizeof(link));
	assert_string_equal(link, "/memfd:uservisor-fake-box:1 (deleted)");
	dev_close(f->dev, too);
	dev_close(f->dev, box);
}

static void test_requests(void **state)
{
	struct fixture *f = *state;
	int box = make_box(f, 3), part = make_part(f, box, 4);
	struct fake_sum s = {.a = 2, .b = 40};
	u32 word = 77;

	assert_int_equal(dev_ioctl(f->dev, f->sys, FAKE_VERSION, 0), 7);
	assert_int_equal(dev_ioctl(f->dev, f->sys, FAKE_VERSION, 1), -EINVAL);
	assert_int_equal(dev_ioctl(f->dev, box, FAKE_SUM, (unsigned long)&s), 0);
	assert_int_equal(s.sum, 42);
	assert_int_equal(dev_ioctl(f->dev, box, FAKE_SUM, BAD_POINTER), -EFAULT);
	assert_int_equal(dev_ioctl(f->dev, part, FAKE_WHOSE, 0), 3004);
	assert_int_equal(dev_ioctl(f->dev, part, FAKE_FETCH, (unsigned long)&word), 77);
	assert_int_equal(dev_ioctl(f->dev, part, FAKE_FETCH, BAD_POINTER), -EFAULT);
	/* Files have some requests whatever they are. */
	assert_int_equal(dev_ioctl(f->dev, box, FIONCLEX, 0), 0);
	assert_int_equal(fcntl(box, F_GETFD), 0);
	assert_int_equal(dev_ioctl(f->dev, 0, FAKE_VERSION, 0), -EBADF);
	dev_close(f->dev, part);
	dev_close(f->dev, box);
}

static void expect_refused(struct dev *d, int fd, unsigned long request, long error)
{
	struct refusal why;

	assert_int_equal(dev_ioctl_why(d, fd, request, 0, NULL, &why), error);
	assert_non_null(why.why);
}

static void test_refused(void **state)
{
	struct fixture *f = *state;
	int too = dev_open(f->dev, "/dev/fake-too", O_RDWR);
	int box = make_box(f, 3), part = make_part(f, box, 4);
	struct fake_sum s = {0};
	struct refusal why;
	char text[64];

	/* What another kind has, or none; each kind answers in its own way. */
	expect_refused(f->dev, f->sys, FAKE_SUM, -ENOTTY);
	expect_refused(f->dev, box, FAKE_WHOSE, -EINVAL);
	expect_refused(f->dev, part, FAKE_MAKE_BOX, -ENOTTY);
	expect_refused(f->dev, too, FAKE_VERSION, -ENOSYS);
	assert_int_equal(dev_no_request(f->dev, box), -EINVAL);
	assert_int_equal(dev_no_request(f->dev, too), -ENOSYS);
	assert_int_equal(dev_no_request(f->dev, 0), -ENOTTY);
	assert_int_equal(
		dev_ioctl_why(f->dev, box, FAKE_SUM, (unsigned long)&s, NULL, &why), -EDOM);
	assert_string_equal(refusal_text(&why, text, sizeof(text)), "a 0: nothing to add");
	dev_close(f->dev, part);
	dev_close(f->dev, box);
	dev_close(f->dev, too);
}

static void test_names(void **state)
{
	const unsigned long other = _IOR('F', 2, u64);
	unsigned long right = 0;

	assert_string_equal(dev_request_name(DEV_VM, FAKE_SUM), "FAKE_SUM");
	assert_null(dev_request_name(DEV_VCPU, FAKE_SUM));
	assert_null(dev_request_name(DEV_NONE, FAKE_SUM));
	assert_string_equal(dev_request_name(DEV_SYSTEM, FAKE_VERSION), "FAKE_VERSION");
	assert_string_equal(dev_request_name(DEV_SYSTEM, FAKE_TOO_NOTHING), "FAKE_TOO_NOTHING");
	assert_null(dev_request_name(DEV_VM, other));
	assert_string_equal(dev_request_like(DEV_VM, other, &right), "FAKE_SUM");
	assert_int_equal(right, FAKE_SUM);
	assert_null(dev_request_like(DEV_SYSTEM, other, &right));
}

static void test_other_calls(void **state)
{
	struct fixture *f = *state;
	int box = make_box(f, 3), part = make_part(f, box, 4);

	assert_int_equal(dev_mmap_check(f->dev, box, PROT_READ, MAP_SHARED, PAGE_SIZE, 0), 0);
	assert_int_equal(dev_mmap_check(f->dev, box, PROT_EXEC, MAP_SHARED, 1, 0), -EPERM);
	assert_int_equal(dev_mmap_check(f->dev, part, PROT_READ, MAP_SHARED, 1, 0), -ENODEV);
	assert_int_equal(dev_mmap_check(f->dev, 0, PROT_EXEC, MAP_SHARED, 1, 0), 0);
	assert_int_equal(dev_fallocate(f->dev, part, 0, 0, 1), -4);
	assert_int_equal(dev_fallocate(f->dev, box, 0, 0, 1), -ENODEV);
	assert_int_equal(dev_fallocate(f->dev, 0, 0, 0, 1), -EBADF);
	dev_close(f->dev, part);
	dev_close(f->dev, box);
}

static void test_signals(void **state)
{
	struct fixture *f = *state;
	int box = make_box(f, 1);

	assert_int_equal(dev_ioctl(f->dev, box, FAKE_BLOCKED, 0), 1);
	assert_int_equal(dev_ioctl(f->dev, f->sys, FAKE_BLOCKED, 0), 0);
	dev_close(f->dev, box);
}

/* ---- duplicates, closing ---- */

static void test_duplicates(void **state)
{
	struct fixture *f = *state;
	int box = make_box(f, 5), copy = dup(box), third;
	struct fake_sum s = {.a = 1};

	/* Nobody has told of it. */
	assert_int_equal(dev_kind(f->dev, copy), DEV_NONE);
	assert_int_equal(dev_ioctl(f->dev, copy, FAKE_SUM, (unsigned long)&s), 0);
	assert_int_equal(dev_kind(f->dev, copy), DEV_VM);
	dev_close(f->dev, box);
	assert_int_equal(fake_log->count, 0);
	/* Of this one nobody knows when the last one known is closed. */
	third = dup(copy);
	dev_close(f->dev, copy);
	assert_int_equal(fake_log->count, 0);
	assert_int_equal(dev_ioctl(f->dev, third, FAKE_SUM, (unsigned long)&s), 0);
	/* Closed behind our back, and its number used for something else. */
	assert_int_equal(dup2(0, third), third);
	assert_false(dev_owns(f->dev, third));
	assert_int_equal(fake_log->count, 1);
	assert_true(was_released(5));
	close(third);
}

/* A box and two parts are closed in one of the orders that there are. */
static void close_in_order(struct fixture *f, const int order[3])
{
	int fd[3], number[3] = {100, 1, 2};

	fake_log->count = 0;
	fd[0] = make_box(f, 100);
	fd[1] = make_part(f, fd[0], 1);
	fd[2] = make_part(f, fd[0], 2);
	for (int i = 0; i < 3; i++) {
		for (int j = i; j < 3; j++)
			if (order[j])
				assert_int_equal(dev_ioctl(f->dev, fd[order[j]], FAKE_WHOSE, 0),
					100000 + number[order[j]]);
		assert_int_equal(dev_close(f->dev, fd[order[i]]), 0);
		assert_int_equal(was_released(number[order[i]]), order[i] || i == 2);
		assert_int_equal(was_released(100), i == 2);
	}
	assert_int_equal(fake_log->count, 3);
	assert_int_equal(fake_log->number[2], 100);
}

static void test_any_order(void **state)
{
	static const int orders[][3] = {
		{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

	for (unsigned i = 0; i < ARRAY_SIZE(orders); i++)
		close_in_order(*state, orders[i]);
}

/* What could not be made holds nobody; what nobody closes, dev_destroy() does. */
static void test_left_over(void **state)
{
	struct fixture *f = *state;
	int box = make_box(f, 1);
	struct dev *other = dev_new();
	int sys = dev_open(other, "/dev/fake", O_CLOEXEC);

	assert_int_equal(dev_ioctl(f->dev, box, FAKE_ABANDON_PART, 0), -ENOMEM);
	assert_int_equal(fake_log->count, 0);
	dev_close(f->dev, box);
	assert_int_equal(fake_log->count, 1);
	make(other, make(other, sys, FAKE_MAKE_BOX, 2), FAKE_MAKE_PART, 3);
	dev_destroy(other);
	assert_int_equal(fake_log->count, 3);
	assert_int_equal(fake_log->number[2], 2);
}

/* ---- the lock ---- */

static struct {
	struct fixture *f;
	int fd;
	bool is_free;
} meanwhile;

static bool in_fstat;

long __real_sys_call(long nr, long a, long b, long c, long d, long e, long f);
long __wrap_sys_call(long nr, long a, long b, long c, long d, long e, long f);

/* After the kernel has said what the descriptor is, it becomes another. */
long __wrap_sys_call(long nr, long a, long b, long c, long d, long e, long f)
{
	long r = __real_sys_call(nr, a, b, c, d, e, f);

	if (in_fstat && (int)a == meanwhile.fd && (nr == SYS_fstat || nr == SYS_newfstatat)) {
		in_fstat = false;
		close(meanwhile.fd);
		assert_int_equal(make_box(meanwhile.f, 2), meanwhile.fd);
	}
	return r;
}

static void look_at_lock(void)
{
	pthread_mutex_t *lock = &meanwhile.f->dev->lock;

	meanwhile.is_free = !pthread_mutex_trylock(lock);
	if (meanwhile.is_free)
		pthread_mutex_unlock(lock);
}

/* A box is let go by who has just taken its place in the table: not under the table's lock, which its release may want. */
static void test_replaced(void **state)
{
	struct fixture *f = *state;
	int box = make_box(f, 1), copy = dup(box);

	meanwhile.f = f;
	meanwhile.fd = copy;
	fake_on_release = look_at_lock;
	in_fstat = true;
	dev_ioctl(f->dev, copy, FAKE_BLOCKED, 0);
	fake_on_release = NULL;
	assert_false(in_fstat);
	assert_int_equal(fake_log->count, 1);
	assert_true(was_released(2));
	assert_true(meanwhile.is_free);
	dev_close(f->dev, box);
	dev_close(f->dev, copy);
	assert_int_equal(fake_log->count, 2);
}

/* ---- other processes ---- */

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			_exit(__LINE__ & 0xff);                                                    \
	} while (0)

static void expect_exit(pid_t child)
{
	int status;

	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0); /* or the line of MUST(), modulo 256 */
}

static void in_fork(struct fixture *f, int box, int part)
{
	int own;

	MUST(dev_ioctl(f->dev, part, FAKE_WHOSE, 0) == -EIO);
	MUST(dev_ioctl(f->dev, box, FAKE_BLOCKED, 0) == -EIO);
	MUST(dev_ioctl(f->dev, f->sys, FAKE_VERSION, 0) == 7);
	MUST(!dev_close(f->dev, part) && !dev_close(f->dev, box));
	MUST(!fake_log->count);
	own = (int)dev_ioctl(f->dev, f->sys, FAKE_MAKE_BOX, 9);
	MUST(dev_ioctl(f->dev, own, FAKE_BLOCKED, 0) == 1);
	MUST(!dev_close(f->dev, own));
	MUST(fake_log->count == 1 && was_released(9));
	_exit(0);
}

static void test_fork(void **state)
{
	struct fixture *f = *state;
	int box = make_box(f, 1), part = make_part(f, box, 2);
	pid_t child = fork();

	if (!child)
		in_fork(f, box, part);
	expect_exit(child);
	assert_int_equal(dev_ioctl(f->dev, part, FAKE_WHOSE, 0), 1002);
	dev_close(f->dev, part);
	dev_close(f->dev, box);
	assert_int_equal(fake_log->count, 3);
}

union rights {
	char bytes[CMSG_SPACE(3 * sizeof(int))];
	struct cmsghdr head;
};

static struct msghdr message(union rights *r, struct iovec *v)
{
	static char byte = 'x';

	*v = (struct iovec){&byte, 1};
	memset(r, 0, sizeof(*r));
	return (struct msghdr){
		.msg_iov = v, .msg_iovlen = 1, .msg_control = r, .msg_controllen = sizeof(*r)};
}

static bool send_fds(int to, const int fd[3])
{
	union rights r;
	struct iovec v;
	struct msghdr m = message(&r, &v);

	r.head = (struct cmsghdr){CMSG_LEN(3 * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(&r.head), fd, 3 * sizeof(int));
	return sendmsg(to, &m, 0) == 1;
}

static bool receive_fds(int from, int fd[3])
{
	union rights r;
	struct iovec v;
	struct msghdr m = message(&r, &v);
	bool received = recvmsg(from, &m, MSG_CMSG_CLOEXEC) == 1;

	memcpy(fd, CMSG_DATA(&r.head), 3 * sizeof(int));
	return received && r.head.cmsg_len == CMSG_LEN(3 * sizeof(int));
}

/* Has a machine of its own, shows it to the parent, and is there until the parent has seen it. */
static void in_sender(int socket)
{
	struct dev *d;
	int fd[3];
	char byte;

	MUST(!dev_create(&d));
	fd[0] = dev_open(d, "/dev/fake", O_RDWR);
	fd[1] = (int)dev_ioctl(d, fd[0], FAKE_MAKE_BOX, 1);
	fd[2] = (int)dev_ioctl(d, fd[1], FAKE_MAKE_PART, 2);
	MUST(fd[2] >= 0 && send_fds(socket, fd));
	MUST(read(socket, &byte, 1) == 1);
	MUST(dev_ioctl(d, fd[2], FAKE_WHOSE, 0) == 1002);
	_exit(0);
}

static void test_received(void **state)
{
	struct fixture *f = *state;
	int ends[2], fd[3];
	pid_t child;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	child = fork();
	if (!child)
		in_sender(ends[1]);
	close(ends[1]);
	assert_true(receive_fds(ends[0], fd));
	for (int i = 0; i < 3; i++)
		assert_true(dev_owns(f->dev, fd[i]));
	assert_int_equal(dev_kind(f->dev, fd[0]), DEV_SYSTEM);
	assert_int_equal(dev_kind(f->dev, fd[1]), DEV_VM);
	assert_int_equal(dev_kind(f->dev, fd[2]), DEV_VCPU);
	assert_int_equal(dev_ioctl(f->dev, fd[0], FAKE_VERSION, 0), 7);
	expect_refused(f->dev, fd[1], FAKE_SUM, -EIO);
	expect_refused(f->dev, fd[2], FAKE_WHOSE, -EIO);
	assert_int_equal(dev_mmap_check(f->dev, fd[1], PROT_EXEC, MAP_SHARED, 1, 0), -EPERM);
	assert_int_equal(dev_fallocate(f->dev, fd[2], 0, 0, 1), -ESTALE);
	for (int i = 0; i < 3; i++)
		assert_int_equal(dev_close(f->dev, fd[i]), 0);
	assert_int_equal(fake_log->count, 0);
	assert_int_equal(write(ends[0], "x", 1), 1);
	expect_exit(child);
	close(ends[0]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_open),
		TEST(test_requests),
		TEST(test_refused),
		TEST(test_names),
		TEST(test_other_calls),
		TEST(test_signals),
		TEST(test_duplicates),
		TEST(test_any_order),
		TEST(test_left_over),
		TEST(test_replaced),
		TEST(test_fork),
		TEST(test_received),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
