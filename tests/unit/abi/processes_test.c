/* SPDX-License-Identifier: MIT */
/* Descriptors of a new interface in other processes: in a forked child, and where they were sent. */
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(test_fork),
		WORLD_TEST(test_received),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
