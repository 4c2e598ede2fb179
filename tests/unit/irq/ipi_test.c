/* SPDX-License-Identifier: MIT */
/* Messages between LAPICs and from devices: who gets them. */
#include "tests/unit/world/devices.h"
#include "engine/irq/fabric.h"
#include "engine/irq/irq.h"
#include "engine/irq/lapic.h"
#include "engine/irqchip.h"

#include <errno.h>

#define CPUS 6

static int setup(void **state)
{
	world_create(IRQCHIP_FULL, CPUS);
	for (unsigned i = 0; i < CPUS; i++)
		apic_enable(world_vcpu(i));
	return 0;
}

static int teardown(void **state)
{
	world_destroy();
	return 0;
}

/* Bit i: vcpu i got vector; they are all taken and ended. */
static unsigned receivers(u8 vector)
{
	unsigned mask = 0;

	for (unsigned i = 0; i < CPUS; i++) {
		struct vcpu *v = world_vcpu(i);

		if (irq_pending(v) != vector)
			continue;
		assert_int_equal(irq_accept(v), vector);
		if (lapic_x2(v->lapic))
			x2_write(v, R_EOI, 0);
		else
			apic_write(v, R_EOI, 0);
		mask |= BIT(i);
	}
	return mask;
}

static void ipi(u32 dest, u32 low)
{
	apic_write(cpu0, R_ICR2, dest << 24);
	apic_write(cpu0, R_ICR, low);
}

static void test_physical(void **state)
{
	ipi(3, 0x40);
	assert_int_equal(receivers(0x40), 8);
	ipi(0xff, 0x40);
	assert_int_equal(receivers(0x40), 0x3f);
	ipi(9, 0x40);
	assert_int_equal(receivers(0x40), 0);
	assert_int_equal(apic_read(cpu0, R_ICR) & ICR_BUSY, 0);
	apic_write(world_vcpu(3), R_ID, 9u << 24);
	ipi(9, 0x40);
	assert_int_equal(receivers(0x40), 8);
	ipi(3, 0x40);
	assert_int_equal(receivers(0x40), 0);
	apic_write(world_vcpu(4), R_ID, 9u << 24); /* twice the same */
	ipi(9, 0x40);
	assert_int_equal(receivers(0x40), 0x18);
}

static void test_shorthands(void **state)
{
	ipi(3, 0x40040);
	assert_int_equal(receivers(0x40), 1);
	ipi(3, 0x80041);
	assert_int_equal(receivers(0x41), 0x3f);
	ipi(3, 0xc0042);
	assert_int_equal(receivers(0x42), 0x3e);
}

static void test_logical_flat(void **state)
{
	for (unsigned i = 0; i < CPUS; i++)
		apic_write(world_vcpu(i), R_LDR, BIT(24 + i));
	ipi(0x15, 0x840);
	assert_int_equal(receivers(0x40), 0x15);
	ipi(0xff, 0x840);
	assert_int_equal(receivers(0x40), 0x3f);
	ipi(0x40, 0x840);
	assert_int_equal(receivers(0x40), 0);
	apic_write(world_vcpu(5), R_LDR, BIT(24)); /* shares a bit with 0 */
	ipi(1, 0x840);
	assert_int_equal(receivers(0x40), 0x21);
}

static void test_logical_cluster(void **state)
{
	for (unsigned i = 0; i < CPUS; i++) {
		apic_write(world_vcpu(i), R_DFR, 0);
		apic_write(world_vcpu(i), R_LDR, (i / 4) << 28 | BIT(24 + i % 4));
	}
	ipi(0x0a, 0x840);
	assert_int_equal(receivers(0x40), 0x0a);
	ipi(0x13, 0x840);
	assert_int_equal(receivers(0x40), 0x30);
	ipi(0x2f, 0x840);
	assert_int_equal(receivers(0x40), 0);
	apic_write(world_vcpu(0), R_DFR, 0xffffffff); /* mixed models */
	ipi(0x0b, 0x840);
	assert_int_equal(receivers(0x40), 0x0b);
}

static void test_x2apic(void **state)
{
	for (unsigned i = 0; i < CPUS; i++)
		x2apic_enable(world_vcpu(i));
	x2_write(cpu0, R_ICR, 3ull << 32 | 0x40);
	assert_int_equal(receivers(0x40), 8);
	x2_write(cpu0, R_ICR, 0xffffffffull << 32 | 0x40);
	assert_int_equal(receivers(0x40), 0x3f);
	x2_write(cpu0, R_ICR, 0xffull << 32 | 0x40); /* one APIC that does not exist */
	assert_int_equal(receivers(0x40), 0);
	x2_write(cpu0, R_ICR, 0x25ull << 32 | 0x840);
	assert_int_equal(receivers(0x40), 0x25);
	x2_write(cpu0, R_ICR, 0x10025ull << 32 | 0x840);
	assert_int_equal(receivers(0x40), 0);
	x2_write(cpu0, R_SELF_IPI, 0x40);
	assert_int_equal(receivers(0x40), 1);
	assert_int_equal(msi_send(0xff, false, 0x41, 0, false), CPUS); /* devices: all */
	assert_int_equal(receivers(0x41), 0x3f);
	machine_set_x2apic_api(world, false, true);
	assert_int_equal(msi_send(0xff, false, 0x41, 0, false), -1);
}

static void test_mixed_modes(void **state)
{
	x2apic_enable(world_vcpu(2));
	apic_write(cpu0, R_LDR, BIT(24));
	ipi(2, 0x40);
	assert_int_equal(receivers(0x40), 4);
	ipi(0xff, 0x40);
	assert_int_equal(receivers(0x40), 0x3b);
	msi_send(0xff, false, 0x40, 0, false);
	assert_int_equal(receivers(0x40), 0x3f);
	assert_int_equal(msi_send(5, true, 0x40, 0, false), 2);
	assert_int_equal(receivers(0x40), 5);
}

static void test_lowest_priority(void **state)
{
	unsigned seen = 0;

	for (unsigned i = 0; i < CPUS; i++)
		apic_write(world_vcpu(i), R_LDR, BIT(24 + i));
	for (unsigned i = 0; i < 4 * CPUS; i++) {
		unsigned one;

		assert_int_equal(msi_send(0x3f, true, 0x50, DELIVER_LOWEST, false), 1);
		one = receivers(0x50);
		assert_int_equal(__builtin_popcount(one), 1);
		seen |= one;
	}
	assert_true(__builtin_popcount(seen) > 1); /* it goes round */
	for (unsigned i = 0; i < CPUS; i++)
		apic_write(world_vcpu(i), R_TPR, i == 4 ? 0x10 : 0x20);
	for (unsigned i = 0; i < CPUS; i++) {
		msi_send(0x3f, true, 0x50, DELIVER_LOWEST, false);
		assert_int_equal(receivers(0x50), 0x10);
	}
	apic_write(world_vcpu(4), R_SVR, 0xff); /* software-disabled: not a candidate */
	msi_send(0x3f, true, 0x50, DELIVER_LOWEST, false);
	assert_int_equal(receivers(0x50) & 0x10, 0);
}

static void test_special_deliveries(void **state)
{
	struct vcpu *v = world_vcpu(1);

	apic_write(v, R_SVR, 0xff); /* these come through even so */
	ipi(1, 0x400);
	assert_int_equal(atomic_load(&v->pending_nmi), 1);
	ipi(1, 0xc500); /* INIT, level, assert */
	assert_true(atomic_exchange(&v->pending_init, false));
	ipi(1, 0x8500); /* INIT level de-assert */
	assert_false(atomic_load(&v->pending_init));
	ipi(1, 0x4611);
	assert_true(atomic_load(&v->pending_sipi));
	assert_int_equal(atomic_load(&v->sipi_vector), 0x11);
	ipi(2, 0x200); /* SMI */
	ipi(2, 0x700); /* ExtINT is no IPI */
	assert_int_equal(irq_pending(world_vcpu(2)), -1);
	ipi(0, 0xc0500); /* INIT to all others */
	assert_false(atomic_load(&cpu0->pending_init));
	assert_true(atomic_load(&world_vcpu(5)->pending_init));
}

static void test_icr_keeps_bits(void **state)
{
	apic_write(cpu0, R_ICR2, 0x12345678);
	assert_int_equal(apic_read(cpu0, R_ICR2), 0x12000000);
	apic_write(cpu0, R_ICR, 0xfff33820);
	assert_int_equal(apic_read(cpu0, R_ICR), 0xfff32820);
}

static void test_msi_decode(void **state)
{
	struct msi offset = {.address = 0x3000, .data = 0x40}; /* as QEMU passes it */
	struct msi reserved = {.address = 0x1fee03000, .data = 0x40};
	struct msi high = {.address = 0x100fee03000, .data = 0x40};
	struct msi hint = {.address = 0xfee3f008 | 4, .data = 0x40};

	assert_int_equal(irq_msi(world, &offset), 1);
	assert_int_equal(receivers(0x40), 8);
	assert_int_equal(irq_msi(world, &high), 1); /* the upper half means nothing yet */
	assert_int_equal(receivers(0x40), 8);
	machine_set_x2apic_api(world, true, false);
	assert_int_equal(irq_msi(world, &high), -1); /* APIC 0x103 */
	assert_int_equal(irq_msi(world, &reserved), -EINVAL);
	assert_int_equal(msi_send(2, false, 0x40, 0, false), 1);
	assert_int_equal(receivers(0x40), 4);
	for (unsigned i = 0; i < CPUS; i++)
		apic_write(world_vcpu(i), R_LDR, BIT(24 + i));
	assert_int_equal(irq_msi(world, &hint), 1); /* redirection hint: one of them */
	assert_int_equal(__builtin_popcount(receivers(0x40)), 1);
	apic_write(world_vcpu(2), R_SVR, 0xff);
	assert_int_equal(msi_send(2, false, 0x40, 0, false), 0);
	assert_int_equal(msi_send(77, false, 0x40, 0, false), -1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_physical),
		T(test_shorthands),
		T(test_logical_flat),
		T(test_logical_cluster),
		T(test_x2apic),
		T(test_mixed_modes),
		T(test_lowest_priority),
		T(test_special_deliveries),
		T(test_icr_keeps_bits),
		T(test_msi_decode),
	};

	return cmocka_run_group_tests_name("ipi", tests, NULL, NULL);
}
