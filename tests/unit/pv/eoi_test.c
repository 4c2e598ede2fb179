/* SPDX-License-Identifier: MIT */
/* The paravirtual EOI: when the guest is offered to end its interrupt by a flag, and what becomes of the offer. */
#include "tests/unit/world/devices.h"
#include "tests/unit/world/posts.h"
#include "engine/irq/irq.h"
#include "engine/irq/lapic.h"
#include "engine/irqchip.h"
#include "engine/pv/kvm/eoi.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define FLAG 0x100

static int setup(void **state)
{
	world_create(IRQCHIP_FULL, 1);
	apic_enable(cpu0);
	assert_int_equal(pv_eoi_set(cpu0, FLAG | PV_EOI_ON), 0);
	return 0;
}

static int teardown(void **state)
{
	world_destroy();
	return 0;
}

static bool in_service(u8 vector)
{
	return apic_read(cpu0, R_ISR + vector / 32) & BIT(vector % 32);
}

static void take(u8 vector)
{
	assert_int_equal(irq_accept(cpu0), vector);
	assert_true(in_service(vector));
}

/* Guest code runs for a moment; does it find the flag set? */
static bool guest_runs(bool clears)
{
	bool found;

	assert_int_equal(world_ram[FLAG], 0);
	pv_eoi_to_guest(cpu0);
	found = world_ram[FLAG] & 1;
	if (clears)
		world_ram[FLAG] &= ~1;
	pv_eoi_from_guest(cpu0);
	assert_int_equal(world_ram[FLAG], 0);
	return found;
}

static void test_cleared(void **state)
{
	assert_false(guest_runs(false));
	msi_send(0, false, 0x51, 0, false);
	take(0x51);
	assert_true(guest_runs(true));
	assert_false(in_service(0x51));
	assert_int_equal(apic_read(cpu0, R_PPR), 0);
	assert_false(guest_runs(true));
}

/* Each entry offers anew; the register works as ever. */
static void test_not_cleared(void **state)
{
	msi_send(0, false, 0x51, 0, false);
	take(0x51);
	assert_true(guest_runs(false));
	assert_true(in_service(0x51));
	assert_true(guest_runs(false));
	apic_write(cpu0, R_EOI, 0);
	assert_false(in_service(0x51));
	assert_false(guest_runs(false));
}

/* A flag that is cleared, and the register written nevertheless: nobody else's interrupt ends by that. */
static void test_both(void **state)
{
	msi_send(0, false, 0x51, 0, false);
	take(0x51);
	assert_true(guest_runs(true));
	apic_write(cpu0, R_EOI, 0);
	msi_send(0, false, 0x52, 0, false);
	take(0x52);
	assert_true(in_service(0x52));
}

/* What waits would come too late if nobody heard of the end. */
static void test_others_wait(void **state)
{
	msi_send(0, false, 0x51, 0, false);
	take(0x51);
	msi_send(0, false, 0x41, 0, false);
	assert_false(guest_runs(false));
	msi_send(0, false, 0x61, 0, false);
	take(0x61);
	assert_false(guest_runs(false));
	apic_write(cpu0, R_EOI, 0);
	assert_false(guest_runs(false));
	apic_write(cpu0, R_EOI, 0);
	take(0x41);
	assert_true(guest_runs(true));
	assert_false(in_service(0x41));
}

static void test_two_in_service(void **state)
{
	msi_send(0, false, 0x51, 0, false);
	take(0x51);
	msi_send(0, false, 0x61, 0, false);
	take(0x61);
	assert_false(guest_runs(false));
	apic_write(cpu0, R_EOI, 0);
	assert_true(guest_runs(true));
	assert_false(in_service(0x51));
}

/* One comes while guest code runs: the end of the one before is seen first. */
static void test_comes_meanwhile(void **state)
{
	msi_send(0, false, 0x51, 0, false);
	take(0x51);
	pv_eoi_to_guest(cpu0);
	world_ram[FLAG] = 0;
	msi_send(0, false, 0x41, 0, false);
	assert_int_equal(irq_pending(cpu0), -1);
	world_posts(cpu0);
	pv_eoi_from_guest(cpu0);
	assert_int_equal(world_posts(cpu0), 1);
	take(0x41);
}

static void test_level(void **state)
{
	io_write(0x10 + 2 * 17, 0x8051); /* pin 17, level */
	irq_line(world, 17, true);
	take(0x51);
	assert_false(guest_runs(false));
	irq_line(world, 17, false);
	apic_write(cpu0, R_EOI, 0);
	assert_false(in_service(0x51));
	assert_int_equal(io_read(0x10 + 2 * 17) & BIT(14), 0);
}

/* Of an edge-triggered one a device may want to hear, too. */
static void test_resample(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK), again = eventfd(0, EFD_NONBLOCK);
	u64 n;

	io_write(0x10 + 2 * 17, 0x51);
	irq_line(world, 17, true);
	take(0x51);
	assert_true(guest_runs(false));
	assert_int_equal(irqfd_assign(world, fd, 17, again), 0);
	assert_false(guest_runs(false));
	apic_write(cpu0, R_EOI, 0);
	assert_int_equal(read(again, &n, sizeof(n)), sizeof(n));
	close(fd);
	close(again);
}

static void test_memory_gone(void **state)
{
	msi_send(0, false, 0x51, 0, false);
	take(0x51);
	cpu0->cpu.msr.kvm_eoi = (RAM_BYTES + FLAG) | PV_EOI_ON;
	pv_eoi_to_guest(cpu0);
	pv_eoi_from_guest(cpu0);
	assert_true(in_service(0x51)); /* was not offered */
	cpu0->cpu.msr.kvm_eoi = FLAG | PV_EOI_ON;
	pv_eoi_to_guest(cpu0);
	cpu0->cpu.msr.kvm_eoi = (RAM_BYTES + FLAG) | PV_EOI_ON;
	pv_eoi_from_guest(cpu0);
	assert_false(in_service(0x51));
}

static void test_values(void **state)
{
	assert_int_equal(pv_eoi_set(cpu0, FLAG | 2), -EINVAL);
	assert_int_equal(pv_eoi_set(cpu0, FLAG | 3), -EINVAL);
	assert_int_equal(pv_eoi_set(cpu0, RAM_BYTES | PV_EOI_ON), -EINVAL);
	assert_int_equal(cpu0->cpu.msr.kvm_eoi, FLAG | PV_EOI_ON);
	assert_int_equal(pv_eoi_set(cpu0, RAM_BYTES), 0);
}

static void test_reset(void **state)
{
	msi_send(0, false, 0x51, 0, false);
	take(0x51);
	pv_eoi_to_guest(cpu0);
	world_ram[FLAG] = 0;
	lapic_reset(cpu0, true);
	apic_enable(cpu0);
	msi_send(0, false, 0x52, 0, false);
	take(0x52);
	pv_eoi_from_guest(cpu0); /* of an offer that is gone */
	assert_true(in_service(0x52));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_cleared, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_cleared, setup, teardown),
		cmocka_unit_test_setup_teardown(test_both, setup, teardown),
		cmocka_unit_test_setup_teardown(test_others_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_in_service, setup, teardown),
		cmocka_unit_test_setup_teardown(test_comes_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_level, setup, teardown),
		cmocka_unit_test_setup_teardown(test_resample, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_values, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
