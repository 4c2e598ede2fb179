/* SPDX-License-Identifier: MIT */
/*
 * Several threads post to one vcpu while it takes and ends interrupts and changes its ids: nothing
 * may be lost. Also a test for the thread sanitizer.
 */
#include "tests/unit/world/devices.h"
#include "engine/irq/irq.h"
#include "engine/irq/lapic.h"
#include "engine/irqchip.h"
#include "engine/time/timer.h"

#include <sys/eventfd.h>
#include <unistd.h>

#define POSTERS 3
#define ROUNDS  3000

struct poster {
	pthread_t thread;
	u8 vector;              /* its own */
	_Atomic unsigned acked; /* times that the vector was taken */
};

static struct poster posters[POSTERS];

/* Post, wait until it was taken, post again: each must arrive, once. */
static void *post(void *opaque)
{
	struct poster *p = opaque;

	for (unsigned i = 0; i < ROUNDS; i++) {
		assert_int_equal(msi_send(0, false, p->vector, 0, i & 1), 1);
		while (atomic_load(&p->acked) <= i)
			sched_yield();
	}
	return NULL;
}

static void take(int vector)
{
	for (unsigned i = 0; i < POSTERS; i++)
		if (posters[i].vector == vector)
			atomic_fetch_add(&posters[i].acked, 1);
}

static void test_no_loss(void **state)
{
	u64 end = host_ns() + 60000000000ull;
	unsigned taken = 0;

	world_create(IRQCHIP_FULL, 2);
	apic_enable(cpu0);
	apic_enable(world_vcpu(1));
	for (unsigned i = 0; i < POSTERS; i++) {
		posters[i].vector = 0x40 + 0x21 * i;
		assert_int_equal(pthread_create(&posters[i].thread, NULL, post, &posters[i]), 0);
	}
	while (taken < POSTERS * ROUNDS) {
		int vector = irq_pending(cpu0) >= 0 ? irq_accept(cpu0) : -1;

		if (vector < 0) {
			assert_true(host_ns() < end);
			sched_yield();
			continue;
		}
		taken++;
		apic_write(cpu0, R_EOI, 0);
		if (taken % 64 == 0)
			apic_write(cpu0, R_LDR, taken << 20);
		take(vector);
	}
	for (unsigned i = 0; i < POSTERS; i++) {
		pthread_join(posters[i].thread, NULL);
		assert_int_equal(atomic_load(&posters[i].acked), ROUNDS);
	}
	assert_int_equal(irq_pending(cpu0), -1);
	world_destroy();
}

static _Atomic bool stop;

static void *wiggle_lines(void *opaque)
{
	for (unsigned i = 0; !atomic_load(&stop); i++) {
		irq_line(world, 4 + i % 16, i & 16);
		if (i % 32 == 0)
			sched_yield();
	}
	return NULL;
}

static void *wiggle_modes(void *opaque)
{
	struct vcpu *v = world_vcpu(1);

	while (!atomic_load(&stop)) {
		lapic_set_base(v, 0xfee00d00);
		lapic_set_base(v, 0xfee00800);
		lapic_set_base(v, 0xfee00000);
		sched_yield();
	}
	return NULL;
}

/* Chips, routing, mode changes and deliveries at the same time: no dead lock, no crash. */
static void test_churn(void **state)
{
	pthread_t a, b;
	u64 end;

	world_create(IRQCHIP_FULL, 2);
	apic_enable(cpu0);
	machine_create_pit(world, true);
	pic_program();
	port_write(0x43, 0x34);
	port_write(0x40, 0xff);
	port_write(0x40, 0x01);
	atomic_store(&stop, false);
	for (u32 pin = 0; pin < 24; pin++) {
		io_write(0x11 + 2 * pin, (pin % 3 == 2 ? 0xffu : pin % 3) << 24);
		io_write(0x10 + 2 * pin, (0x30 + 8 * pin) | (pin & 1 ? 0x8000 : 0));
	}
	pthread_create(&a, NULL, wiggle_lines, NULL);
	pthread_create(&b, NULL, wiggle_modes, NULL);
	end = host_ns() + 300000000;
	while (host_ns() < end) {
		int vector = irq_accept(cpu0);

		if (vector >= 0x20 && vector < 0x30) {
			port_write(0xa0, 0x20);
			port_write(0x20, 0x20);
		} else if (vector >= 0) {
			apic_write(cpu0, R_EOI, 0);
		}
		msi_send(1, false, 0x70, 0, false);
		irq_pending(cpu0);
	}
	atomic_store(&stop, true);
	pthread_join(a, NULL);
	pthread_join(b, NULL);
	world_destroy();
}

static void *look(void *opaque)
{
	while (!atomic_load(&stop))
		fd_watch_look(world);
	return NULL;
}

static void signal_fd(int fd)
{
	assert_int_equal(write(fd, &(u64){1}, 8), 8);
}

/* Two threads serve it: what is written while it is assigned interrupts once or never, afterwards never. */
static void test_deassign(void **state)
{
	struct irq_route route = {.gsi = 10, .is_msi = true, .msi = {APIC_PAGE, 0x55}};
	int fd = eventfd(0, EFD_NONBLOCK);
	unsigned taken = 0;
	pthread_t looker;

	world_create(IRQCHIP_FULL, 1);
	apic_enable(cpu0);
	assert_int_equal(irq_set_routing(world, &route, 1), 0);
	atomic_store(&stop, false);
	pthread_create(&looker, NULL, look, NULL);
	for (unsigned i = 0; i < 3000; i++) {
		assert_int_equal(irqfd_assign(world, fd, 10, -1), 0);
		signal_fd(fd);
		if (i % 3 == 0)
			assert_true(wait_pending(cpu0));
		assert_int_equal(irqfd_deassign(world, fd, 10), 0);
		if (irq_pending(cpu0) >= 0) {
			assert_int_equal(irq_accept(cpu0), 0x55);
			apic_write(cpu0, R_EOI, 0);
			taken++;
		}
		signal_fd(fd);
		sched_yield();
		assert_int_equal(irq_pending(cpu0), -1);
		assert_int_equal(read(fd, &(u64){0}, 8), 8);
	}
	assert_true(taken >= 1000);
	atomic_store(&stop, true);
	pthread_join(looker, NULL);
	world_destroy();
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_loss),
		cmocka_unit_test(test_churn),
		cmocka_unit_test(test_deassign),
	};

	return cmocka_run_group_tests_name("race", tests, NULL, NULL);
}
