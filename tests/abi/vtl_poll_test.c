/* SPDX-License-Identifier: MIT */
/* MSHV_SET_POLL_FILE: when something happens to the file, the lower guest comes out on that processor. */
#include "tests/abi/vtl_port.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "abi/dev.h"

static long set_file(const struct lower *l, unsigned cpu, int fd)
{
	const struct mshv_vtl_set_poll_file a = {cpu, (u32)fd};

	return mshv_p(l->fd, MSHV_SET_POLL_FILE, &a);
}

static void add(int fd)
{
	const u64 one = 1;

	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

/* It is told on another thread. */
static void await_cancel(const struct lower *l)
{
	while (!l->run->cancel)
		usleep(1000);
}

static void not_cancelled(const struct lower *l)
{
	usleep(20000);
	assert_int_equal(l->run->cancel, 0);
}

static void comes_out(const u8 *code, size_t size)
{
	struct lower_runner r;
	struct lower l;
	int fd = eventfd(0, EFD_CLOEXEC);

	lower_open(&l);
	lower_code(&l, code, size);
	assert_int_equal(set_file(&l, l.cpu, fd), 0);
	lower_start(&r, &l, l.cpu);
	lower_inside(&r);
	assert_false(atomic_load(&r.out));
	add(fd);
	assert_int_equal(lower_wait(&r), -EINTR);
	assert_int_equal(l.run->cancel, 1);
	close(fd);
	lower_close(&l);
}

static void test_while_it_runs(void **state)
{
	comes_out(BYTES(0xeb, 0xfe));
}

static void test_while_it_sleeps(void **state)
{
	comes_out(BYTES(0xfa, 0xf4, 0xeb, 0xfc));
}

/* Each time, though nobody reads it; and it is not told while it is as it was. */
static void test_again(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	struct lower l;

	lower_open(&l);
	add(fd);
	assert_int_equal(set_file(&l, l.cpu, fd), 0);
	not_cancelled(&l); /* it was readable before */
	for (unsigned i = 0; i < 3; i++) {
		add(fd);
		await_cancel(&l);
		l.run->cancel = 0;
		not_cancelled(&l);
	}
	close(fd);
	lower_close(&l);
}

/* A new one is in the place of the old one. A refused one is not. */
static void test_replaced(void **state)
{
	int first = eventfd(0, EFD_CLOEXEC), second = eventfd(0, EFD_CLOEXEC);
	struct lower l;

	lower_open(&l);
	assert_int_equal(set_file(&l, l.cpu, first), 0);
	assert_int_equal(set_file(&l, l.cpu, second), 0);
	add(first);
	not_cancelled(&l);
	assert_int_equal(set_file(&l, l.cpu, -1), -EBADFD);
	add(second);
	await_cancel(&l);
	close(first);
	close(second);
	lower_close(&l);
}

/* The program closes its descriptor; who else has the file is still heard. The same for its end. */
static void test_closed(void **state)
{
	int pair[2], other;
	struct lower l;

	lower_open(&l);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(set_file(&l, l.cpu, pair[0]), 0);
	other = dup(pair[0]);
	close(pair[0]);
	assert_int_equal(write(pair[1], "x", 1), 1);
	await_cancel(&l);
	l.run->cancel = 0;
	close(other);
	close(pair[1]);
	await_cancel(&l);
	lower_close(&l);
}

/* An epoll of the program's own, as event loops have it. */
static void test_epoll(void **state)
{
	struct epoll_event e = {.events = EPOLLIN};
	int fd = eventfd(0, EFD_CLOEXEC), epoll = epoll_create1(EPOLL_CLOEXEC);
	struct lower l;

	lower_open(&l);
	assert_int_equal(set_file(&l, l.cpu, epoll), 0);
	assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e), 0);
	not_cancelled(&l);
	add(fd);
	await_cancel(&l);
	close(fd);
	close(epoll);
	lower_close(&l);
}

/* A file that is never waited for is taken, and nothing happens to it. */
static void test_plain_file(void **state)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), event = eventfd(0, EFD_CLOEXEC);
	struct lower l;

	lower_open(&l);
	assert_int_equal(set_file(&l, l.cpu, fd), 0);
	not_cancelled(&l);
	assert_int_equal(set_file(&l, l.cpu, event), 0);
	add(event);
	await_cancel(&l);
	close(fd);
	close(event);
	lower_close(&l);
}

static void test_other_processor(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	struct lower l, other;

	if (!has_cpu(1)) {
		print_message("one processor alone: not tested\n");
		close(fd);
		return;
	}
	lower_open(&l);
	lower_on(&other, &l, cpu_allowed(1));
	assert_int_equal(set_file(&l, other.cpu, fd), 0);
	add(fd);
	await_cancel(&other);
	assert_int_equal(l.run->cancel, 0);
	close(fd);
	lower_off(&other);
	lower_close(&l);
}

static const struct CMUnitTest tests[] = {
	VTL_TEST(test_while_it_runs),
	VTL_TEST(test_while_it_sleeps),
	VTL_TEST(test_again),
	VTL_TEST(test_replaced),
	VTL_TEST(test_closed),
	VTL_TEST(test_epoll),
	VTL_TEST(test_plain_file),
	VTL_TEST(test_other_processor),
};

MSHV_MAIN(tests)
