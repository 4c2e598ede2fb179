/* SPDX-License-Identifier: MIT */
/*
 * /dev/mshv_sint: messages and events from one end to the others, in a process; and between two sets of descriptors with one session's
 * name, which is all that two processes have in common.
 */
#include "tests/abi/vtl_port.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "abi/dev.h"

#define CONNECTION 1

static int open_end(struct dev *d)
{
	int fd;

	port_keep_handlers(false);
	fd = dev_open(d, "/dev/mshv_sint", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	port_keep_handlers(true);
	assert_true(fd >= 0);
	return fd;
}

static long ask(struct dev *d, int fd, unsigned long request, const void *arg)
{
	return dev_ioctl(d, fd, request, (unsigned long)arg);
}

static void pause_end(struct dev *d, int fd, bool pause)
{
	const struct mshv_sint_mask a = {.mask = pause};

	assert_int_equal(ask(d, fd, MSHV_SINT_PAUSE_MESSAGE_STREAM, &a), 0);
}

static long post_to(struct dev *d, int fd, u32 connection, u8 byte)
{
	u8 payload[3] = {byte, byte, byte};
	const struct mshv_vtl_sint_post_msg a = {
		1, connection, sizeof(payload), (unsigned long)payload};

	return ask(d, fd, MSHV_SINT_POST_MESSAGE, &a);
}

static long post(int fd, u8 byte)
{
	return post_to(port.dev, fd, CONNECTION, byte);
}

static short polled(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1 ? p.revents : 0;
}

static void assert_message(int fd, u8 byte)
{
	struct hv_message m;

	memset(&m, 0xff, sizeof(m));
	assert_int_equal(polled(fd), POLLIN);
	assert_int_equal(read(fd, &m, sizeof(m)), sizeof(m));
	assert_int_equal(m.type, 1);
	assert_int_equal(m.len, 3);
	assert_int_equal(m.sender, CONNECTION);
	assert_int_equal(m.payload[0], byte);
	assert_int_equal(m.payload[2], byte);
	for (unsigned i = 3; i < sizeof(m.payload); i++)
		assert_int_equal(m.payload[i], 0);
}

static void assert_empty(int fd)
{
	struct hv_message m;

	assert_int_equal(polled(fd), 0);
	assert_int_equal(read(fd, &m, sizeof(m)), -1);
	assert_int_equal(errno, EAGAIN);
}

/* ---- messages ---- */

static void test_messages(void **state)
{
	int a = open_end(port.dev), b = open_end(port.dev), c = open_end(port.dev);

	pause_end(port.dev, a, false);
	pause_end(port.dev, b, false);
	pause_end(port.dev, c, false);
	assert_empty(b);
	assert_int_equal(post(a, 1), 0);
	assert_int_equal(post(a, 2), 0);
	assert_message(b, 1);
	assert_message(b, 2);
	assert_empty(b);
	assert_message(c, 1);
	assert_message(c, 2);
	assert_empty(a); /* nobody hears himself */
	assert_int_equal(post(b, 3), 0);
	assert_message(a, 3);
	dev_close(port.dev, c);
	assert_int_equal(post(b, 4), 0);
	dev_close(port.dev, a);
	assert_int_equal(post(b, 5), -EINVAL); /* nobody is left */
	dev_close(port.dev, b);
}

/* It begins paused, which is the end of the file; what comes meanwhile waits, as much as there is room for. */
static void test_paused(void **state)
{
	int a = open_end(port.dev), b = open_end(port.dev);
	struct hv_message m;

	assert_int_equal(polled(b), POLLIN);
	assert_int_equal(read(b, &m, sizeof(m)), 0);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(post(a, (u8)i), 0);
	assert_int_equal(post(a, 99), -EIO); /* HVS_INSUFFICIENT_BUFFERS */
	assert_int_equal(read(b, &m, sizeof(m)), 0);
	pause_end(port.dev, b, false);
	for (unsigned i = 0; i < 16; i++)
		assert_message(b, (u8)i);
	assert_empty(b);
	assert_int_equal(post(a, 77), 0);
	pause_end(port.dev, b, true);
	pause_end(port.dev, b, true); /* it is */
	assert_message(b, 77);        /* was there before */
	assert_int_equal(read(b, &m, sizeof(m)), 0);
	pause_end(port.dev, b, false);
	assert_empty(b);
	dev_close(port.dev, a);
	dev_close(port.dev, b);
}

/* As many as the kernel keeps for it, and then the poster is told. None is lost, and the order stays. */
static void test_full(void **state)
{
	int a = open_end(port.dev), b = open_end(port.dev);
	unsigned sent = 0, got = 0;
	struct hv_message m;
	long r;

	pause_end(port.dev, b, false);
	while (!(r = post(a, (u8)sent)) && sent < 100000)
		sent++;
	assert_int_equal(r, -EIO);
	assert_true(sent > 100);
	while (got < sent) {
		assert_int_equal(dev_read_check(port.dev, b, sizeof(m)), 0);
		assert_int_equal(read(b, &m, sizeof(m)), sizeof(m));
		assert_int_equal(m.payload[0], (u8)got++);
	}
	assert_empty(b);
	assert_int_equal(post(a, 5), 0);
	assert_message(b, 5);
	dev_close(port.dev, a);
	dev_close(port.dev, b);
}

static void test_short_read(void **state)
{
	int a = open_end(port.dev);

	assert_true(dev_checks_reads(port.dev));
	assert_int_equal(dev_read_check(port.dev, a, 255), -EINVAL);
	assert_int_equal(dev_read_check(port.dev, a, 256), 0);
	dev_close(port.dev, a);
}

/* ---- events ---- */

static long set_eventfd(struct dev *d, int fd, u32 flag, int eventfd_)
{
	return ask(
		d, fd, MSHV_SINT_SET_EVENTFD, &(const struct mshv_vtl_set_eventfd){eventfd_, flag});
}

static long signal_flag(struct dev *d, int fd, u32 flag)
{
	return ask(d, fd, MSHV_SINT_SIGNAL_EVENT, &(const struct mshv_vtl_signal_event){2, flag});
}

static u64 count_of(int fd)
{
	u64 n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void test_events(void **state)
{
	int a = open_end(port.dev), b = open_end(port.dev);
	int first = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
	    second = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_int_equal(signal_flag(port.dev, a, 5), 0); /* nobody has an eventfd: it is lost */
	assert_int_equal(set_eventfd(port.dev, b, 5, first), 0);
	assert_int_equal(count_of(first), 0);
	assert_int_equal(signal_flag(port.dev, a, 5), 0);
	assert_int_equal(signal_flag(port.dev, a, 5), 0);
	assert_int_equal(signal_flag(port.dev, a, 6), 0);
	assert_int_equal(count_of(first), 2);
	assert_int_equal(signal_flag(port.dev, b, 5), 0); /* its own */
	assert_int_equal(count_of(first), 0);
	assert_int_equal(set_eventfd(port.dev, b, 5, second), 0);
	assert_int_equal(signal_flag(port.dev, a, 5), 0);
	assert_int_equal(count_of(first), 0);
	assert_int_equal(count_of(second), 1);
	assert_int_equal(set_eventfd(port.dev, b, 5, -1), 0);
	assert_int_equal(set_eventfd(port.dev, b, 6, -7), 0); /* there was none */
	assert_int_equal(signal_flag(port.dev, a, 5), 0);
	assert_int_equal(count_of(second), 0);
	/* The program's own may go. */
	assert_int_equal(set_eventfd(port.dev, b, 2047, second), 0);
	close(second);
	assert_int_equal(signal_flag(port.dev, a, 2047), 0);
	close(first);
	dev_close(port.dev, a);
	dev_close(port.dev, b);
}

/* ---- hypercalls of VTL2 ---- */

struct post_input {
	struct hv_post_message head;
	u8 payload[240];
};

static void test_hypercalls(void **state)
{
	struct post_input in = {{.connection = CONNECTION, .type = 1, .bytes = 3}, {8, 8, 8}};
	struct hv_signal_event event = {.connection = 2, .flag = 7};
	struct hv_post_message_direct direct = {.partition = HV_PARTITION_ID_SELF,
		.vp_index = HV_VP_INDEX_SELF,
		.vtl = 2,
		.sint = 7};
	struct hv_signal_event_direct own = {.partition = HV_PARTITION_ID_SELF,
		.vp_index = HV_VP_INDEX_SELF,
		.vtl = 2,
		.sint = 7,
		.flag = 7};
	const struct hv_message m = {
		.type = 1, .len = 3, .sender = CONNECTION, .payload = {9, 9, 9}};
	int e = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), fd, a;
	u64 newly;

	stay_on(cpu_allowed(0));
	fd = hvcall_open_all();
	assert_int_equal(hvcall_make(fd, HVCALL_POST_MESSAGE, &in, sizeof(in), NULL, 0).status,
		HVS_INVALID_CONNECTION);
	assert_int_equal(
		hvcall_make(fd, HVCALL_SIGNAL_EVENT, &event, sizeof(event), NULL, 0).status,
		HVS_INVALID_CONNECTION);
	a = open_end(port.dev);
	pause_end(port.dev, a, false);
	assert_int_equal(set_eventfd(port.dev, a, 7, e), 0);
	assert_int_equal(
		hvcall_make(fd, HVCALL_POST_MESSAGE, &in, sizeof(in), NULL, 0).status, HVS_SUCCESS);
	assert_message(a, 8);
	assert_int_equal(
		hvcall_make(fd, HVCALL_SIGNAL_EVENT, &event, sizeof(event), NULL, 0).status,
		HVS_SUCCESS);
	assert_int_equal(count_of(e), 1);
	in.head.bytes = 241;
	assert_int_equal(hvcall_make(fd, HVCALL_POST_MESSAGE, &in, sizeof(in), NULL, 0).status,
		HVS_INVALID_PARAMETER);
	in.head.bytes = 3;
	assert_int_equal(hvcall_make(fd, HVCALL_POST_MESSAGE, &in, 18, NULL, 0).status,
		HVS_INVALID_PARAMETER);
	/* To its own controller. */
	memcpy(direct.message, &m, sizeof(m));
	assert_int_equal(
		hvcall_make(fd, HVCALL_POST_MESSAGE_DIRECT, &direct, sizeof(direct), NULL, 0)
			.status,
		HVS_SUCCESS);
	assert_message(a, 9);
	assert_int_equal(
		hvcall_make(fd, HVCALL_SIGNAL_EVENT_DIRECT, &own, sizeof(own), &newly, 8).status,
		HVS_SUCCESS);
	assert_int_equal(count_of(e), 1);
	direct.sint = 6;
	assert_int_equal(
		hvcall_make(fd, HVCALL_POST_MESSAGE_DIRECT, &direct, sizeof(direct), NULL, 0)
			.status,
		HVS_INVALID_VTL_STATE);
	close(e);
	dev_close(port.dev, a);
	dev_close(port.dev, fd);
}

/* ---- two processes ---- */

/* Waits for what another thread brings. */
static void await_message(int fd, u8 byte)
{
	while (!polled(fd))
		usleep(1000);
	assert_message(fd, byte);
}

static struct dev *session(const char *name)
{
	struct dev *d;

	assert_int_equal(dev_create(&d), 0);
	dev_set_session(d, name);
	return d;
}

static void session_name(char *ret, size_t n, const char *which)
{
	snprintf(ret, n, "test-%d-%s", getpid(), which);
}

static void test_session(void **state)
{
	char here[48], elsewhere[48];
	struct dev *one, *two, *other;
	int a, b, c, e = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	session_name(here, sizeof(here), "a");
	session_name(elsewhere, sizeof(elsewhere), "b");
	one = session(here);
	two = session(here);
	other = session(elsewhere);
	a = open_end(one);
	c = open_end(other);
	pause_end(other, c, false);
	assert_int_equal(post_to(one, a, CONNECTION, 1), -EINVAL);
	b = open_end(two);
	pause_end(one, a, false);
	pause_end(two, b, false);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(post_to(one, a, CONNECTION, (u8)i), 0);
		await_message(b, (u8)i);
	}
	assert_int_equal(post_to(two, b, CONNECTION, 9), 0);
	await_message(a, 9);
	assert_int_equal(set_eventfd(two, b, 3, e), 0);
	assert_int_equal(signal_flag(one, a, 3), 0);
	while (!polled(e))
		usleep(1000);
	assert_empty(c); /* another session hears nothing */
	dev_close(two, b);
	assert_int_equal(post_to(one, a, CONNECTION, 1), -EINVAL);
	close(e);
	dev_destroy(one);
	dev_destroy(two);
	dev_destroy(other);
}

/* Paused, it takes some and refuses more; none of those that it took is lost. */
static void test_session_paused(void **state)
{
	unsigned sent = 0;
	struct dev *one, *two;
	char name[48];
	int a, b;
	long r;

	session_name(name, sizeof(name), "p");
	one = session(name);
	two = session(name);
	a = open_end(one);
	b = open_end(two);
	/* The helper thread over there takes them out of the socket until its own room is full. */
	for (unsigned idle = 0; idle < 50 && sent < 100000;) {
		r = post_to(one, a, CONNECTION, (u8)sent);
		assert_true(!r || r == -EIO);
		sent += !r;
		idle = r ? idle + 1 : 0;
		if (r)
			usleep(1000);
	}
	assert_true(sent > 16 && sent < 100000);
	pause_end(two, b, false);
	for (unsigned i = 0; i < sent; i++)
		await_message(b, (u8)i);
	assert_empty(b);
	dev_destroy(one);
	dev_destroy(two);
}

/* Anybody can send to the name of a socket: nonsense is dropped. */
static void test_session_nonsense(void **state)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	char name[48], junk[400] = {0};
	struct dev *one;
	socklen_t n;
	int a, s;

	session_name(name, sizeof(name), "n");
	one = session(name);
	a = open_end(one);
	pause_end(one, a, false);
	s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			(size_t)sprintf(to.sun_path + 1, "uservisor-mshv-sint/%s/0", name));
	for (size_t size = 0; size <= sizeof(junk); size += 4) {
		memset(junk, 0xff, sizeof(junk));
		assert_int_equal(
			sendto(s, junk, size, 0, (const struct sockaddr *)&to, n), (ssize_t)size);
		memset(junk, 0, sizeof(junk));
		assert_int_equal(
			sendto(s, junk, size, 0, (const struct sockaddr *)&to, n), (ssize_t)size);
	}
	usleep(20000);
	assert_empty(a);
	close(s);
	dev_destroy(one);
}

static const struct CMUnitTest tests[] = {
	VTL_TEST(test_messages),
	VTL_TEST(test_paused),
	VTL_TEST(test_full),
	VTL_TEST(test_short_read),
	VTL_TEST(test_events),
	VTL_TEST(test_hypercalls),
	VTL_TEST(test_session),
	VTL_TEST(test_session_paused),
	VTL_TEST(test_session_nonsense),
};

MSHV_MAIN(tests)
