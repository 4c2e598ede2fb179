/* SPDX-License-Identifier: MIT */
/* PIC, IOAPIC, PIT, routing and LAPIC working together. */
#include "tests/unit/world/devices.h"
#include "tests/unit/world/posts.h"
#include "engine/irq/irq.h"
#include "engine/irq/lapic.h"
#include "engine/irqchip.h"
#include "engine/time/timer.h"

#include <errno.h>

static int setup(void **state)
{
	world_create(IRQCHIP_FULL, 2);
	apic_enable(cpu0);
	apic_enable(world_vcpu(1));
	return 0;
}

static int teardown(void **state)
{
	world_destroy();
	return 0;
}

static void test_create_errors(void **state)
{
	struct pic_state ps;
	struct pit_state ts;
	struct ioapic_state is;

	assert_int_equal(machine_create_irqchip(world, IRQCHIP_SPLIT), -EEXIST);
	assert_int_equal(machine_create_irqchip(world, IRQCHIP_FULL), -EEXIST);
	assert_int_equal(machine_get_pit(world, &ts), -ENXIO);
	assert_int_equal(machine_set_pit_reinject(world, false), -ENXIO);
	assert_int_equal(machine_create_pit(world, true), 0);
	assert_int_equal(machine_create_pit(world, true), -EEXIST);
	assert_int_equal(machine_get_pic(world, 2, &ps), -EINVAL);
	assert_int_equal(machine_set_boot_cpu(world, 1), -EBUSY);
	teardown(state);

	world_create(IRQCHIP_NONE, 1);
	assert_int_equal(machine_create_irqchip(world, IRQCHIP_FULL), -EINVAL);
	assert_int_equal(machine_create_pit(world, true), -ENOENT);
	assert_int_equal(machine_get_pic(world, 0, &ps), -ENXIO);
	assert_int_equal(machine_get_ioapic(world, &is), -ENXIO);
	assert_int_equal(irq_line(world, 1, true), -ENXIO);
	assert_int_equal(irq_set_routing(world, NULL, 0), -EINVAL);
	assert_int_equal(irqfd_assign(world, 0, 1, -1), -EINVAL);
}

static void test_extint(void **state)
{
	pic_program();
	world_posts(cpu0);
	assert_int_equal(irq_line(world, 4, true), 1);
	assert_true(world_posts(cpu0) > 0);
	assert_int_equal(world_posts(world_vcpu(1)), 0); /* LINT0 is masked there */
	assert_int_equal(irq_pending(cpu0), IRQ_EXTINT);
	assert_int_equal(irq_pending(world_vcpu(1)), -1);
	assert_int_equal(irq_accept(cpu0), 0x24);
	assert_int_equal(irq_pending(cpu0), -1);
	irq_line(world, 4, false);
	port_write(0x20, 0x20);
	apic_write(cpu0, R_LVT_LINT0, 0x10700);
	irq_line(world, 4, true);
	assert_int_equal(irq_pending(cpu0), -1);
	apic_write(cpu0, R_LVT_LINT0, 0x700);
	assert_int_equal(irq_pending(cpu0), IRQ_EXTINT);
	port_write(0x21, 0xff); /* goes away */
	assert_int_equal(irq_pending(cpu0), -1);
	assert_int_equal(irq_accept(cpu0), -1);
	port_write(0x21, 0);
	assert_int_equal(
		lapic_write_msr(cpu0, 0x1b, 0xfee00100), 0); /* APIC off: INTR goes through */
	assert_int_equal(irq_accept(cpu0), 0x24);
}

static void test_line_status(void **state)
{
	port_write(0x21, 0xff);
	assert_int_equal(irq_line(world, 4, true), 0); /* masked everywhere */
	assert_int_equal(irq_line(world, 30, true), -1);
	assert_int_equal(irq_line(world, 0xffffffff, true), -1);
	irq_line(world, 4, false);
	io_write(0x10 + 8, 0x44);
	assert_int_equal(irq_line(world, 4, true), 1);
	irq_line(world, 4, false);
	assert_int_equal(irq_line(world, 4, true), 0); /* still in IRR */
	assert_int_equal(irq_pending(cpu0), 0x44);
}

static void test_ioapic_level(void **state)
{
	struct vcpu *v = world_vcpu(1);

	io_write(0x11 + 2 * 17, 1u << 24);
	io_write(0x10 + 2 * 17, 0x8061);
	assert_int_equal(irq_line(world, 17, true), 1);
	assert_int_equal(irq_accept(v), 0x61);
	assert_int_equal(io_read(0x10 + 2 * 17) & RTE_REMOTE_IRR, RTE_REMOTE_IRR);
	assert_int_equal(irq_line(world, 17, true), 0);
	apic_write(v, R_EOI, 0);
	assert_int_equal(irq_accept(v), 0x61); /* the line is still up */
	irq_line(world, 17, false);
	apic_write(v, R_EOI, 0);
	assert_int_equal(irq_pending(v), -1);
	assert_int_equal(io_read(0x10 + 2 * 17) & RTE_REMOTE_IRR, 0);
}

static void test_ioapic_extint(void **state)
{
	pic_program();
	apic_write(cpu0, R_LVT_LINT0, 0x10700);
	io_write(0x10 + 2 * 20, 0x700);
	irq_line(world, 3, true);
	assert_int_equal(irq_pending(cpu0), -1);
	irq_line(world, 20, true);
	assert_int_equal(irq_pending(cpu0), IRQ_EXTINT);
	assert_int_equal(irq_accept(cpu0), 0x23);
	assert_int_equal(irq_pending(cpu0), -1);
}

static void test_routing(void **state)
{
	struct irq_route r[] = {
		{.gsi = 40, .is_msi = true, .msi = {APIC_PAGE | 1 << 12, 0x71}},
		{.gsi = 0, .chip = {2, 2}},
		{.gsi = 41, .chip = {1, 0}},
	};
	struct irq_route bad;

	assert_int_equal(irq_set_routing(world, r, 3), 0);
	assert_int_equal(irq_line(world, 40, true), 1);
	assert_int_equal(irq_line(world, 40, false), 0);
	assert_int_equal(irq_accept(world_vcpu(1)), 0x71);
	io_write(0x10 + 4, 0x62);
	assert_int_equal(irq_line(world, 0, true), 1);
	assert_int_equal(irq_accept(cpu0), 0x62);
	assert_int_equal(irq_line(world, 4, true), -1);

	bad = r[0];
	bad.gsi = IRQ_GSI_MAX;
	assert_int_equal(irq_set_routing(world, &bad, 1), -EINVAL);
	bad = (struct irq_route){.gsi = 1, .chip = {2, 24}};
	assert_int_equal(irq_set_routing(world, &bad, 1), -EINVAL);
	bad.chip.chip = 1;
	bad.chip.pin = 8;
	assert_int_equal(irq_set_routing(world, &bad, 1), -EINVAL);
	bad.chip.chip = 3;
	bad.chip.pin = 0;
	assert_int_equal(irq_set_routing(world, &bad, 1), -EINVAL);
	r[1] = r[2];
	assert_int_equal(irq_set_routing(world, r, 3), -EINVAL); /* twice the same */
	assert_int_equal(irq_line(world, 0, false), 1);          /* the old table is still there */
	assert_int_equal(irq_set_routing(world, NULL, 0), 0);
	assert_int_equal(irq_line(world, 0, true), -1);
}

static void test_split_eoi(void **state)
{
	struct irq_route r = {.gsi = 5, .is_msi = true, .msi = {APIC_PAGE, 0xc071}};
	u64 v;

	teardown(state);
	world_create(IRQCHIP_SPLIT, 1);
	apic_enable(cpu0);
	assert_int_equal(apic_read(cpu0, R_LVT_LINT0), 0x700);
	assert_int_equal(irq_set_routing(world, &r, 1), 0);
	assert_int_equal(irq_line(world, 5, true), 1);
	assert_int_equal(irq_accept(cpu0), 0x71);
	assert_int_equal(irq_take_eoi_exit(cpu0), -1);
	world_posts(cpu0);
	apic_write(cpu0, R_EOI, 0);
	assert_int_equal(world_posts(cpu0), 1);
	assert_int_equal(irq_take_eoi_exit(cpu0), 0x71);
	assert_int_equal(irq_take_eoi_exit(cpu0), -1);
	msi_send(0, false, 0x72, 0, false);
	assert_int_equal(irq_accept(cpu0), 0x72);
	apic_write(cpu0, R_EOI, 0);
	assert_int_equal(irq_take_eoi_exit(cpu0), -1);
	assert_false(irq_mmio(world, IOAPIC_BASE, 4, &v, false));
	assert_false(irq_pio(world, 0x20, 1, &v, false));
	r = (struct irq_route){.gsi = 5, .chip = {2, 5}};
	assert_int_equal(irq_set_routing(world, &r, 1), -EINVAL);
}

static void test_port_shapes(void **state)
{
	u32 v = 0;

	assert_false(irq_pio(world, 0x40, 1, &v, false)); /* no PIT */
	machine_create_pit(world, false);
	assert_true(irq_pio(world, 0x40, 1, &v, false));
	assert_false(irq_pio(world, 0x61, 1, &v, false)); /* no speaker */
	assert_true(irq_pio(world, 0x21, 2, &v, false));
	assert_int_equal(v & 0xffff, 0xff00);
	assert_false(irq_pio(world, 0x3f8, 1, &v, true));
	assert_false(irq_mmio(world, IOAPIC_BASE + 0x100, 4, &v, false));
}

/* Ticks arrive, and the missed ones are made up for; no upper bound on time, so lateness is no failure. */
static void test_pit_ticks(void **state)
{
	u64 start, passed;
	unsigned ticks = 0;

	pic_program();
	machine_create_pit(world, true);
	port_write(0x43, 0x34);
	start = host_ns();
	port_write(0x40, 0xa9); /* 1193: 1 ms */
	port_write(0x40, 0x04);
	nap_us(20000); /* nobody answers for a while */
	while (ticks < 40) {
		assert_true(wait_pending(cpu0));
		if (irq_accept(cpu0) == 0x20) {
			ticks++;
			port_write(0x20, 0x20);
		}
	}
	passed = host_ns() - start;
	assert_true(passed > 39000000); /* never more ticks than time */
	port_write(0x43, 0x30);         /* stop */
	nap_us(3000);
	while (irq_accept(cpu0) >= 0)
		port_write(0x20, 0x20);
	nap_us(3000);
	assert_int_equal(irq_pending(cpu0), -1);
}

static void test_pit_through_ioapic(void **state)
{
	machine_create_pit(world, true);
	port_write(0x21, 0xff);
	io_write(0x10, 0x30);
	port_write(0x43, 0x34);
	port_write(0x40, 0xa9);
	port_write(0x40, 0x04);
	for (unsigned i = 0; i < 5; i++) {
		assert_true(wait_pending(cpu0));
		assert_int_equal(irq_accept(cpu0), 0x30);
		apic_write(cpu0, R_EOI, 0);
	}
}

static void test_chip_state(void **state)
{
	struct pic_state ps = {0};
	struct ioapic_state is;
	struct pit_state ts;

	pic_program();
	irq_line(world, 3, true);
	assert_int_equal(machine_get_pic(world, 0, &ps), 0);
	assert_int_equal(ps.irq_base, 0x20);
	assert_int_equal(ps.irr, 8);
	irq_line(world, 3, false);
	assert_int_equal(irq_accept(cpu0), 0x23);
	assert_int_equal(machine_set_pic(world, 0, &ps), 0);
	assert_int_equal(irq_accept(cpu0), 0x23);

	assert_int_equal(machine_get_ioapic(world, &is), 0);
	is.redirtbl[9] = 0x55;
	is.irr = BIT(9);
	assert_int_equal(machine_set_ioapic(world, &is), 0);
	assert_int_equal(irq_pending(cpu0), 0x55);

	machine_create_pit(world, true);
	assert_int_equal(machine_get_pit(world, &ts), 0);
	ts.channels[2].mode = 2;
	ts.channels[2].count = 5000;
	assert_int_equal(machine_set_pit(world, &ts), 0);
	assert_int_equal(machine_get_pit(world, &ts), 0);
	assert_int_equal(ts.channels[2].count, 5000);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_create_errors),
		T(test_extint),
		T(test_line_status),
		T(test_ioapic_level),
		T(test_ioapic_extint),
		T(test_routing),
		T(test_split_eoi),
		T(test_port_shapes),
		T(test_pit_ticks),
		T(test_pit_through_ioapic),
		T(test_chip_state),
	};

	return cmocka_run_group_tests_name("fabric", tests, NULL, NULL);
}
