/* SPDX-License-Identifier: MIT */
/* The files behind descriptors that are no memfds of their own: streams of packets, and memory that several share. */
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

static int open_other(struct fixture *f, int flags)
{
	int fd = dev_open(f->dev, "/dev/fake-other", O_RDWR | O_CLOEXEC | flags);

	assert_true(fd >= 0);
	return fd;
}

/* As a program's read(), which comes to us first: its result, or -errno; of a packet, 1000 and what it is full of. */
static long read_from(struct dev *d, int fd, size_t n)
{
	u8 buffer[1024];
	long r = dev_read_check(d, fd, n);

	if (r)
		return r;
	r = read(fd, buffer, n);
	if (r != FAKE_PACKET)
		return r < 0 ? -errno : r;
	for (unsigned i = 1; i < FAKE_PACKET; i++)
		assert_int_equal(buffer[i], buffer[0]);
	return 1000 + buffer[0];
}

static void put(struct fixture *f, int fd, u8 byte)
{
	assert_int_equal(dev_ioctl(f->dev, fd, FAKE_PUT, byte), 0);
}

static void pause_it(struct fixture *f, int fd, bool pause)
{
	assert_int_equal(dev_ioctl(f->dev, fd, FAKE_PAUSE, pause), 0);
}

static short polled(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1 ? p.revents : 0;
}

static void test_packets(void **state)
{
	struct fixture *f = *state;
	int fd = open_other(f, O_NONBLOCK);

	assert_true(dev_checks_reads(f->dev));
	pause_it(f, fd, false);
	assert_int_equal(polled(fd), 0);
	assert_int_equal(read_from(f->dev, fd, 1024), -EAGAIN);
	put(f, fd, 1);
	put(f, fd, 2);
	assert_int_equal(polled(fd), POLLIN);
	/* Too little room for one, which then is still there; one at a time, however much there is. */
	assert_int_equal(read_from(f->dev, fd, FAKE_PACKET - 1), -EINVAL);
	assert_int_equal(read_from(f->dev, fd, FAKE_PACKET), 1001);
	assert_int_equal(read_from(f->dev, fd, 1024), 1002);
	assert_int_equal(read_from(f->dev, fd, 1024), -EAGAIN);
	assert_int_equal(dev_mmap_check(f->dev, fd, PROT_READ, MAP_SHARED, 1, 0), -ENODEV);
	assert_int_equal(dev_close(f->dev, fd), 0);
	assert_true(was_released(99));
}

/* It begins so, and has an end as often as somebody reads. */
static void test_paused(void **state)
{
	struct fixture *f = *state;
	int fd = open_other(f, O_NONBLOCK);

	assert_int_equal(dev_ioctl(f->dev, fd, FAKE_PUT, 1), -EAGAIN);
	for (unsigned i = 0; i < 2000; i++)
		assert_int_equal(read_from(f->dev, fd, 256), 0);
	assert_int_equal(polled(fd), POLLIN);
	pause_it(f, fd, true);
	assert_int_equal(read_from(f->dev, fd, 256), 0);
	/* What was there before comes first. */
	pause_it(f, fd, false);
	for (u8 i = 0; i < 20; i++)
		put(f, fd, i);
	pause_it(f, fd, true);
	for (u8 i = 0; i < 5; i++)
		assert_int_equal(read_from(f->dev, fd, 256), 1000 + i);
	/* And nothing of it is lost when the stream goes on; of the end nothing is left. */
	pause_it(f, fd, false);
	put(f, fd, 20);
	for (u8 i = 5; i <= 20; i++)
		assert_int_equal(read_from(f->dev, fd, 256), 1000 + i);
	assert_int_equal(read_from(f->dev, fd, 256), -EAGAIN);
	assert_int_equal(polled(fd), 0);
	dev_close(f->dev, fd);
}

/* Nobody reads: there is room for some, and then for none. */
static void test_full(void **state)
{
	struct fixture *f = *state;
	int fd = open_other(f, O_NONBLOCK);
	long n = 0;

	pause_it(f, fd, false);
	while (!dev_ioctl(f->dev, fd, FAKE_PUT, 7))
		n++;
	assert_true(n > 16);
	/* An end for which there is no room yet is put when somebody reads. */
	pause_it(f, fd, true);
	while (n--)
		assert_int_equal(read_from(f->dev, fd, 256), 1007);
	assert_int_equal(read_from(f->dev, fd, 256), 0);
	dev_close(f->dev, fd);
}

struct reader {
	struct fixture *f;
	int fd;
	long result[2];
};

static void *reads_twice(void *opaque)
{
	struct reader *r = opaque;

	r->result[0] = read_from(r->f->dev, r->fd, 256);
	r->result[1] = read_from(r->f->dev, r->fd, 256);
	return NULL;
}

/* Who waits is woken by a packet and by a pause. */
static void test_blocking(void **state)
{
	struct reader r = {.f = *state, .fd = open_other(*state, 0)};
	pthread_t t;

	pause_it(r.f, r.fd, false);
	assert_int_equal(pthread_create(&t, NULL, reads_twice, &r), 0);
	usleep(20000);
	put(r.f, r.fd, 5);
	usleep(20000);
	pause_it(r.f, r.fd, true);
	assert_int_equal(pthread_join(t, NULL), 0);
	assert_int_equal(r.result[0], 1005);
	assert_int_equal(r.result[1], 0);
	dev_close(r.f->dev, r.fd);
}

static unsigned count_kept(void)
{
	unsigned n = 0;
	long fd;

	for (unsigned at = 0; (fd = fd_next_kept(at, 65535)) >= 0; at = (unsigned)fd + 1)
		n++;
	return n;
}

/* Duplicates and epoll are the kernel's; the stream goes with the last descriptor. */
static void test_duplicates(void **state)
{
	struct fixture *f = *state;
	const unsigned kept = count_kept();
	int fd = open_other(f, O_NONBLOCK), copy = dup(fd), epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event e = {.events = EPOLLIN};

	assert_int_equal(count_kept(), kept + 2);
	assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, copy, &e), 0);
	pause_it(f, copy, false);
	assert_int_equal(epoll_wait(epoll, &e, 1, 0), 0);
	dev_close(f->dev, fd);
	assert_int_equal(fake_log->count, 0);
	put(f, copy, 3);
	assert_int_equal(epoll_wait(epoll, &e, 1, 0), 1);
	assert_int_equal(read_from(f->dev, copy, 256), 1003);
	dev_close(f->dev, copy);
	assert_int_equal(fake_log->count, 1);
	assert_int_equal(count_kept(), kept);
	close(epoll);
}

static void test_open_fails(void **state)
{
	struct fixture *f = *state;
	const unsigned kept = count_kept();

	fake_open_error = -EBUSY;
	assert_int_equal(dev_open(f->dev, "/dev/fake-other", O_RDWR), -EBUSY);
	fake_open_error = 0;
	assert_int_equal(count_kept(), kept);
	assert_int_equal(fake_log->count, 0);
}

static u8 *map(int fd)
{
	u8 *p = mmap(NULL, FAKE_MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

/* Each open shows the same memory, and it can grow. In a child it is another one. */
static void test_shared(void **state)
{
	struct fixture *f = *state;
	int first = dev_open(f->dev, "/dev/fake-memory", O_RDWR | O_CLOEXEC);
	int second = dev_open(f->dev, "/dev/fake-memory", O_RDWR), status;
	u8 *one = map(first), *two = map(second);

	assert_int_equal(fake_commons, 1);
	assert_int_equal(fcntl(first, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(second, F_GETFD), 0);
	one[7] = 9;
	assert_int_equal(two[7], 9);
	assert_int_equal(ftruncate(second, 2 * FAKE_MEMORY), 0);
	assert_int_equal(ftruncate(second, FAKE_MEMORY), -1);
	dev_close(f->dev, first);
	assert_int_equal(dev_ioctl(f->dev, second, FAKE_VERSION, 0), -ENXIO);
	if (!fork()) {
		int own = dev_open(f->dev, "/dev/fake-memory", O_RDWR);

		_exit(own < 0 || fake_commons != 2 || map(own)[7] != 0);
	}
	assert_true(wait(&status) > 0);
	assert_int_equal(status, 0);
	dev_close(f->dev, second);
	munmap(one, FAKE_MEMORY);
	munmap(two, FAKE_MEMORY);
}

/* What is common ends with the dev. */
static void test_common_ends(void **state)
{
	struct dev *d = dev_new();

	assert_int_equal(fake_commons, 0);
	assert_true(dev_open(d, "/dev/fake-memory", O_RDWR) >= 0);
	assert_int_equal(fake_commons, 1);
	dev_destroy(d);
	assert_int_equal(fake_commons, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(test_packets),
		WORLD_TEST(test_paused),
		WORLD_TEST(test_full),
		WORLD_TEST(test_blocking),
		WORLD_TEST(test_duplicates),
		WORLD_TEST(test_open_fails),
		WORLD_TEST(test_shared),
		WORLD_TEST(test_common_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
