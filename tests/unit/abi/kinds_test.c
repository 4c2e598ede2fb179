/* SPDX-License-Identifier: MIT */
/*
 * What a new interface gets for its tables alone: opening, requests, names, duplicates, closing in any order. There is no KVM in
 * this program.
 */
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi/table.h"

#define BAD_POINTER 0xdead000000000000ul

/* ---- what happens while the kernel is asked what a descriptor is ---- */

static struct {
	struct fixture *f;
	int fd;         /* this one; -1: none */
	bool replace;   /* it becomes another box, after the kernel has answered */
	bool blocked;   /* SIGUSR1 was, meanwhile */
	bool lock_free; /* when a box was released */
} look = {.fd = -1};

static bool is_blocked(int sig)
{
	sigset_t now;

	sigprocmask(SIG_BLOCK, NULL, &now);
	return sigismember(&now, sig);
}

long __real_sys_call(long nr, long a, long b, long c, long d, long e, long f);
long __wrap_sys_call(long nr, long a, long b, long c, long d, long e, long f);

long __wrap_sys_call(long nr, long a, long b, long c, long d, long e, long f)
{
	long r = __real_sys_call(nr, a, b, c, d, e, f);

	if ((nr != SYS_fstat && nr != SYS_newfstatat) || (int)a != look.fd)
		return r;
	look.blocked = is_blocked(SIGUSR1);
	if (look.replace) {
		look.replace = false;
		close(look.fd);
		assert_int_equal(make_box(look.f, 2), look.fd);
	}
	return r;
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

/* What is known of an interface's nodes without having opened one. */
static void test_nodes(void **state)
{
	static const struct {
		const char *path, *interface;
		u32 minor;
	} expected[] = {{"/dev/fake", "fake", 1}, {"/dev/fake-other", "fake", 2},
		{"/dev/fake-memory", "fake", 4}, {"/dev/fake-too", "too", 3}};
	struct device_nodes at = {0};
	const struct device_node *node;

	for (unsigned i = 0; i < ARRAY_SIZE(expected); i++) {
		node = dev_node_next(&at);
		assert_non_null(node);
		assert_string_equal(node->path, expected[i].path);
		assert_string_equal(at.name, expected[i].interface);
		assert_int_equal(node->minor, expected[i].minor);
	}
	assert_null(dev_node_next(&at));
	assert_string_equal(dev_interface(1), "too");
	assert_null(dev_interface(2));
	assert_true(dev_may_request(FAKE_SUM));
	assert_true(dev_may_request(FAKE_TOO_NOTHING));
	assert_false(dev_may_request(_IO('H', 0)));
	assert_true(dev_makes_machine(FAKE_MAKE_BOX));
	assert_false(dev_makes_machine(FAKE_MAKE_PART));
}

static void test_other_node(void **state)
{
	struct fixture *f = *state;
	int other = dev_open(f->dev, "/dev/fake-other", O_RDWR | O_CLOEXEC);

	assert_int_equal(dev_kind(f->dev, other), DEV_OTHER);
	expect_refused(f->dev, other, FAKE_VERSION, -ENXIO);
	dev_close(f->dev, other);
}

/* What /proc shows of ours and of the kernel's own. */
static void test_links(void **state)
{
	struct fixture *f = *state;
	int box = make_box(f, 1);
	char link[64], shown[64];

	link_of(box, link, sizeof(link));
	assert_true(dev_link_as_kernel(link, shown, sizeof(shown)));
	assert_string_equal(shown, "anon_inode:fake-box:1");
	link_of(f->sys, link, sizeof(link));
	assert_true(dev_link_as_kernel(link, shown, sizeof(shown)));
	assert_string_equal(shown, "/dev/fake");
	assert_false(dev_link_as_kernel("/memfd:else (deleted)", shown, sizeof(shown)));
	assert_false(dev_link_as_kernel("/dev/fake", shown, sizeof(shown)));
	assert_true(dev_recognises(box));
	assert_false(dev_recognises(0));
	assert_ptr_equal(dev_ops_of_link("/dev/fake"), &fake_system_ops);
	assert_ptr_equal(dev_ops_of_link("anon_inode:fake-box:7"), &fake_box_ops);
	assert_null(dev_ops_of_link("/dev/fake1"));
	assert_ptr_equal(dev_ops(f->dev, box), &fake_box_ops);
	assert_string_equal(dev_label(&fake_box_ops), "box");
	assert_string_equal(dev_interface_of(&fake_too_ops), "too");
	assert_string_equal(dev_node_of(&fake_too_ops)->path, "/dev/fake-too");
	assert_null(dev_node_of(&fake_box_ops));
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

	assert_string_equal(dev_request_name(&fake_box_ops, FAKE_SUM), "FAKE_SUM");
	assert_null(dev_request_name(&fake_part_ops, FAKE_SUM));
	assert_null(dev_request_name(&fake_too_ops, FAKE_SUM));
	assert_string_equal(dev_request_name(&fake_system_ops, FAKE_VERSION), "FAKE_VERSION");
	assert_string_equal(dev_request_name(&fake_too_ops, FAKE_TOO_NOTHING), "FAKE_TOO_NOTHING");
	assert_null(dev_request_name(NULL, other));
	assert_string_equal(dev_request_like(&fake_box_ops, other, &right), "FAKE_SUM");
	assert_int_equal(right, FAKE_SUM);
	assert_null(dev_request_like(&fake_system_ops, other, &right));
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

/* Signals are kept off wherever a descriptor is held. */
static void test_signals(void **state)
{
	struct fixture *f = *state;
	int box = make_box(f, 1), part = make_part(f, box, 2);

	assert_int_equal(dev_ioctl(f->dev, box, FAKE_BLOCKED, 0), 1);
	assert_int_equal(dev_ioctl(f->dev, f->sys, FAKE_BLOCKED, 0), 0);
	dev_mmap_check(f->dev, box, PROT_READ, MAP_SHARED, 1, 0);
	assert_true(fake_blocked);
	fake_blocked = false;
	dev_fallocate(f->dev, part, 0, 0, 1);
	assert_true(fake_blocked);
	look.fd = box;
	look.blocked = false;
	assert_true(dev_owns(f->dev, box));
	assert_true(look.blocked);
	look.fd = -1;
	dev_close(f->dev, part);
	dev_close(f->dev, box);
	assert_false(is_blocked(SIGUSR1));
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

static void look_at_lock(void)
{
	pthread_mutex_t *lock = &look.f->dev->lock;

	look.lock_free = !pthread_mutex_trylock(lock);
	if (look.lock_free)
		pthread_mutex_unlock(lock);
}

/* A box is let go by who has just taken its place in the table: not under the table's lock, which its release may want. */
static void test_replaced(void **state)
{
	struct fixture *f = *state;
	int box = make_box(f, 1), copy = dup(box);

	look.f = f;
	look.fd = copy;
	look.replace = true;
	fake_on_release = look_at_lock;
	dev_ioctl(f->dev, copy, FAKE_BLOCKED, 0);
	fake_on_release = NULL;
	look.fd = -1;
	assert_false(look.replace);
	assert_int_equal(fake_log->count, 1);
	assert_true(was_released(2));
	assert_true(look.lock_free);
	dev_close(f->dev, box);
	dev_close(f->dev, copy);
	assert_int_equal(fake_log->count, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(test_open),
		WORLD_TEST(test_nodes),
		WORLD_TEST(test_other_node),
		WORLD_TEST(test_links),
		WORLD_TEST(test_requests),
		WORLD_TEST(test_refused),
		WORLD_TEST(test_names),
		WORLD_TEST(test_other_calls),
		WORLD_TEST(test_signals),
		WORLD_TEST(test_duplicates),
		WORLD_TEST(test_any_order),
		WORLD_TEST(test_left_over),
		WORLD_TEST(test_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
