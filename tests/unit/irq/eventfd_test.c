/* SPDX-License-Identifier: MIT */
/* irqfd and ioeventfd. */
#include "tests/unit/world/devices.h"
#include "engine/irq/irq.h"
#include "engine/irq/lapic.h"
#include "engine/irqchip.h"
#include "engine/time/timer.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

static int efd, efd2;

static int setup(void **state)
{
	struct irq_route r[] = {
		{.gsi = 10, .is_msi = true, .msi = {APIC_PAGE, 0x55}},
		{.gsi = 17, .chip = {2, 17}},
		{.gsi = 9, .chip = {1, 1}},
	};

	world_create(IRQCHIP_FULL, 1);
	apic_enable(cpu0);
	assert_int_equal(irq_set_routing(world, r, 3), 0);
	efd = eventfd(0, 0); /* blocking: we must not wait in it */
	efd2 = eventfd(0, EFD_NONBLOCK);
	return 0;
}

static int teardown(void **state)
{
	world_destroy();
	close(efd);
	close(efd2);
	return 0;
}

static void signal_fd(int fd)
{
	u64 one = 1;

	assert_int_equal(write(fd, &one, 8), 8);
}

static u64 take(int fd)
{
	u64 n = 0;

	return read(fd, &n, 8) == 8 ? n : 0;
}

static bool wait_take(int fd)
{
	u64 end = host_ns() + 60000000000ull;

	while (!take(fd)) {
		if (host_ns() > end)
			return false;
		nap_us(100);
	}
	return true;
}

static void end_of_irq(int vector)
{
	assert_int_equal(irq_accept(cpu0), vector);
	apic_write(cpu0, R_EOI, 0);
}

static void test_irqfd(void **state)
{
	assert_int_equal(irqfd_assign(world, efd, 10, -1), 0);
	for (unsigned i = 0; i < 20; i++) {
		signal_fd(efd);
		assert_true(wait_pending(cpu0));
		end_of_irq(0x55);
	}
	assert_int_equal(irqfd_deassign(world, efd, 10), 0);
	signal_fd(efd);
	nap_us(2000);
	assert_int_equal(irq_pending(cpu0), -1);
	assert_int_equal(irqfd_deassign(world, efd, 10), 0);   /* unknown */
	assert_int_equal(irqfd_assign(world, efd, 10, -1), 0); /* signalled already: counts */
	assert_true(wait_pending(cpu0));
}

static void test_irqfd_errors(void **state)
{
	int tfd = timerfd_create(CLOCK_MONOTONIC, 0), copy = dup(efd), fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(irqfd_assign(world, 4000, 10, -1), -EBADF);
	assert_int_equal(irqfd_assign(world, tfd, 10, -1), -EINVAL);
	assert_int_equal(irqfd_assign(world, fds[1], 10, -1), -EINVAL);
	assert_int_equal(irqfd_assign(world, efd, 10, fds[0]), -EINVAL);
	assert_int_equal(irqfd_assign(world, efd, 10, -1), 0);
	assert_int_equal(irqfd_assign(world, efd, 17, -1), -EBUSY);
	assert_int_equal(irqfd_assign(world, copy, 17, -1), -EBUSY);
	assert_int_equal(irqfd_deassign(world, efd, 17), 0); /* not this pair: stays */
	assert_int_equal(irqfd_assign(world, efd, 17, -1), -EBUSY);
	assert_int_equal(irqfd_deassign(world, copy, 10), 0);
	assert_int_equal(irqfd_assign(world, efd, 10, -1), 0);
	assert_int_equal(irqfd_deassign(world, 4000, 10), -EBADF);
	close(tfd);
	close(copy);
	close(fds[0]);
	close(fds[1]);
}

static void test_closed_by_owner(void **state)
{
	int copy = dup(efd);

	assert_int_equal(irqfd_assign(world, efd, 10, -1), 0);
	close(efd);
	efd = eventfd(0, 0); /* most likely the same number, another object */
	assert_int_equal(irqfd_assign(world, efd, 17, -1), 0);
	signal_fd(copy);
	assert_true(wait_pending(cpu0));
	end_of_irq(0x55);
	close(copy);
}

static void test_resample(void **state)
{
	io_write(0x10 + 2 * 17, 0x8061);
	assert_int_equal(irqfd_assign(world, efd, 17, efd2), 0);
	signal_fd(efd);
	assert_true(wait_pending(cpu0));
	assert_int_equal(irq_accept(cpu0), 0x61);
	assert_int_equal(take(efd2), 0);
	apic_write(cpu0, R_EOI, 0);
	assert_int_equal(take(efd2), 1);
	assert_int_equal(irq_pending(cpu0), -1); /* lowered before it could come again */
	signal_fd(efd);                          /* the device still wants something */
	assert_true(wait_pending(cpu0));
	end_of_irq(0x61);
	assert_int_equal(take(efd2), 1);
	signal_fd(efd);
	assert_true(wait_pending(cpu0));
	assert_int_equal(irqfd_deassign(world, efd, 17), 0); /* lowers the line */
	end_of_irq(0x61);
	assert_int_equal(take(efd2), 0);
	assert_int_equal(irq_pending(cpu0), -1);
}

static void test_resample_pic(void **state)
{
	pic_program();
	port_write(0x4d1, 2);
	assert_int_equal(irqfd_assign(world, efd, 9, efd2), 0);
	signal_fd(efd);
	assert_true(wait_pending(cpu0));
	assert_int_equal(irq_accept(cpu0), 0x29);
	port_write(0xa0, 0x20);
	port_write(0x20, 0x20);
	assert_true(wait_take(efd2));
	assert_int_equal(irq_pending(cpu0), -1);
}

/* ---- ioeventfd ---- */

static void test_ioeventfd(void **state)
{
	struct ioeventfd_config c = {.addr = 0x1000, .len = 4, .fd = efd2};
	u64 v = 7;

	assert_false(ioevent_write(world, false, 0x1000, 4, &v));
	assert_int_equal(ioeventfd_assign(world, &c), 0);
	assert_int_equal(ioeventfd_assign(world, &c), -EEXIST);
	assert_true(ioevent_write(world, false, 0x1000, 4, &v));
	assert_int_equal(take(efd2), 1);
	assert_false(ioevent_write(world, false, 0x1000, 2, &v));
	assert_false(ioevent_write(world, false, 0x1004, 4, &v));
	assert_false(ioevent_write(world, true, 0x1000, 4, &v));
	c.pio = true;
	assert_int_equal(ioeventfd_assign(world, &c), 0);
	assert_true(ioevent_write(world, true, 0x1000, 4, &v));
	assert_int_equal(ioeventfd_deassign(world, &c), 0);
	assert_int_equal(ioeventfd_deassign(world, &c), -ENOENT);
	assert_false(ioevent_write(world, true, 0x1000, 4, &v));
	assert_true(ioevent_write(world, false, 0x1000, 4, &v));
}

static void test_datamatch(void **state)
{
	struct ioeventfd_config a = {
		.addr = 0x2000, .len = 2, .fd = efd, .has_match = true, .match = 1};
	struct ioeventfd_config b = a;
	u16 v = 1;

	b.match = 2;
	b.fd = efd2;
	assert_int_equal(ioeventfd_assign(world, &a), 0);
	assert_int_equal(ioeventfd_assign(world, &b), 0);
	assert_true(ioevent_write(world, false, 0x2000, 2, &v));
	assert_int_equal(take(efd), 1);
	v = 2;
	assert_true(ioevent_write(world, false, 0x2000, 2, &v));
	assert_int_equal(take(efd2), 1);
	v = 3;
	assert_false(ioevent_write(world, false, 0x2000, 2, &v));
	b.fd = efd;
	assert_int_equal(ioeventfd_deassign(world, &b), -ENOENT); /* other descriptor */
	b.has_match = false;
	assert_int_equal(ioeventfd_assign(world, &b), -EEXIST); /* would hide the others */
	b.len = 0;
	assert_int_equal(ioeventfd_assign(world, &b), -EEXIST);
	b.addr = 0x3000;
	assert_int_equal(ioeventfd_assign(world, &b), 0); /* any length */
	assert_true(ioevent_write(world, false, 0x3000, 1, &v));
	assert_true(ioevent_write(world, false, 0x3000, 8, &(u64){0}));
}

static void test_ioeventfd_errors(void **state)
{
	struct ioeventfd_config c = {.addr = 0, .len = 3, .fd = efd};

	assert_int_equal(ioeventfd_assign(world, &c), -EINVAL);
	c.len = 16;
	assert_int_equal(ioeventfd_assign(world, &c), -EINVAL);
	c.len = 4;
	c.addr = ~0ull - 1;
	assert_int_equal(ioeventfd_assign(world, &c), -EINVAL);
	c.addr = 0;
	c.len = 0;
	c.has_match = true;
	assert_int_equal(ioeventfd_assign(world, &c), -EINVAL);
	c.has_match = false;
	c.fd = 4000;
	assert_int_equal(ioeventfd_assign(world, &c), -EBADF);
	c.fd = 0;
	assert_int_equal(ioeventfd_assign(world, &c), -EINVAL);
}

static void test_many_ioeventfds(void **state)
{
	struct ioeventfd_config c = {.len = 4, .fd = efd2};
	u32 v = 0;

	for (unsigned i = 0; i < 100; i++) {
		c.addr = 0x10000 + (i * 37 % 100) * 16;
		assert_int_equal(ioeventfd_assign(world, &c), 0);
	}
	for (unsigned i = 0; i < 100; i++)
		assert_true(ioevent_write(world, false, 0x10000 + i * 16, 4, &v));
	assert_int_equal(take(efd2), 100);
	for (unsigned i = 0; i < 100; i += 2) {
		c.addr = 0x10000 + i * 16;
		assert_int_equal(ioeventfd_deassign(world, &c), 0);
	}
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(ioevent_write(world, false, 0x10000 + i * 16, 4, &v), i % 2);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_irqfd),
		T(test_irqfd_errors),
		T(test_closed_by_owner),
		T(test_resample),
		T(test_resample_pic),
		T(test_ioeventfd),
		T(test_datamatch),
		T(test_ioeventfd_errors),
		T(test_many_ioeventfds),
	};

	return cmocka_run_group_tests_name("eventfd", tests, NULL, NULL);
}
