/* SPDX-License-Identifier: MIT */
/* One LAPIC: registers, modes, priorities, EOI, errors, state. */
#include "tests/unit/world/devices.h"
#include "tests/unit/world/posts.h"
#include "engine/engine.h"
#include "engine/irq/irq.h"
#include "engine/irq/lapic.h"
#include "engine/irqchip.h"

#include <errno.h>

static int setup(void **state)
{
	world_create(IRQCHIP_FULL, 1);
	return 0;
}

static int teardown(void **state)
{
	world_destroy();
	return 0;
}

static void self_ipi(u8 vector)
{
	apic_write(cpu0, R_ICR, 0x40000 | vector);
}

static void test_reset_values(void **state)
{
	assert_int_equal(apic_read(cpu0, R_ID), 0);
	assert_int_equal(apic_read(cpu0, R_VERSION), 0x50014);
	assert_int_equal(apic_read(cpu0, R_DFR), 0xffffffff);
	assert_int_equal(apic_read(cpu0, R_SVR), 0xff);
	assert_int_equal(apic_read(cpu0, R_LVT_TIMER), 0x10000);
	assert_int_equal(apic_read(cpu0, R_LVT_LINT0), 0x700);
	assert_int_equal(apic_read(cpu0, R_LVT_LINT1), 0x10000);
	assert_int_equal(cpu_apic_base(&cpu0->cpu), 0xfee00900);
	assert_int_equal(irq_pending(cpu0), -1);
}

static void test_software_disabled(void **state)
{
	self_ipi(0x40);
	assert_int_equal(irq_pending(cpu0), -1);
	apic_write(cpu0, R_LVT_ERROR, 0x33);
	assert_int_equal(apic_read(cpu0, R_LVT_ERROR), 0x10033);
	apic_enable(cpu0);
	apic_write(cpu0, R_LVT_ERROR, 0x33);
	assert_int_equal(apic_read(cpu0, R_LVT_ERROR), 0x33);
	apic_write(cpu0, R_SVR, 0xff);
	assert_int_equal(apic_read(cpu0, R_LVT_ERROR), 0x10033);
}

static void test_priority_and_eoi(void **state)
{
	apic_enable(cpu0);
	self_ipi(0x41);
	self_ipi(0x52);
	self_ipi(0x5f);
	assert_int_equal(irq_pending(cpu0), 0x5f);
	assert_int_equal(irq_accept(cpu0), 0x5f);
	assert_int_equal(apic_read(cpu0, R_PPR), 0x50);
	assert_int_equal(irq_pending(cpu0), -1); /* 52 is of the same class */
	self_ipi(0x61);
	assert_int_equal(irq_accept(cpu0), 0x61);
	assert_int_equal(apic_read(cpu0, R_ISR + 2), 0x80000000);
	assert_int_equal(apic_read(cpu0, R_ISR + 3), 2);
	world_posts(cpu0);
	apic_write(cpu0, R_EOI, 0);
	assert_int_equal(irq_pending(cpu0), -1);
	assert_int_equal(world_posts(cpu0), 0);
	apic_write(cpu0, R_EOI, 0);
	assert_int_equal(world_posts(cpu0), 1);
	assert_int_equal(irq_accept(cpu0), 0x52);
	apic_write(cpu0, R_EOI, 0);
	assert_int_equal(irq_accept(cpu0), 0x41);
	apic_write(cpu0, R_EOI, 0);
	assert_int_equal(irq_accept(cpu0), -1);
	apic_write(cpu0, R_EOI, 0); /* nothing in service: no effect */
}

static void test_tpr(void **state)
{
	apic_enable(cpu0);
	apic_write(cpu0, R_TPR, 0x4f);
	assert_int_equal(cpu_cr8(&cpu0->cpu), 4);
	assert_int_equal(apic_read(cpu0, R_PPR), 0x4f);
	self_ipi(0x4e);
	assert_int_equal(irq_pending(cpu0), -1);
	world_posts(cpu0);
	lapic_set_cr8(cpu0, 3);
	assert_int_equal(apic_read(cpu0, R_TPR), 0x30);
	assert_int_equal(world_posts(cpu0), 1);
	assert_int_equal(irq_pending(cpu0), 0x4e);
	assert_int_equal(cpu_cr8(&cpu0->cpu), 3);
}

static void test_tmr(void **state)
{
	apic_enable(cpu0);
	assert_int_equal(msi_send(0, false, 0x45, 0, true), 1);
	assert_int_equal(apic_read(cpu0, R_TMR + 2), 0x20);
	assert_int_equal(msi_send(0, false, 0x45, 0, false), 1);
	assert_int_equal(apic_read(cpu0, R_TMR + 2), 0);
	assert_int_equal(apic_read(cpu0, R_IRR + 2), 0x20);
}

static void test_errors(void **state)
{
	apic_enable(cpu0);
	apic_write(cpu0, R_LVT_ERROR, 0x99);
	self_ipi(5);
	assert_int_equal(apic_read(cpu0, R_ESR), 0);
	assert_int_equal(irq_accept(cpu0), 0x99);
	apic_write(cpu0, R_ESR, 0);
	assert_int_equal(apic_read(cpu0, R_ESR), ESR_SEND_VECTOR);
	apic_write(cpu0, R_ESR, 0);
	assert_int_equal(apic_read(cpu0, R_ESR), 0);
	msi_send(0, false, 5, 0, false);
	apic_read(cpu0, 0x3d); /* reserved */
	apic_write(cpu0, R_ESR, 0);
	assert_int_equal(apic_read(cpu0, R_ESR), ESR_RECEIVE_VECTOR | ESR_REGISTER);
	/* An error vector that is itself illegal must not recurse. */
	apic_write(cpu0, R_LVT_ERROR, 0x03);
	self_ipi(5);
}

static void test_mmio_shapes(void **state)
{
	u8 byte = 0;
	u64 wide = ~0ull;
	u32 value = 0x20;

	assert_true(lapic_mmio(cpu0, APIC_PAGE + 0x32, 1, &byte, false));
	assert_int_equal(byte, 5);
	assert_true(lapic_mmio(cpu0, APIC_PAGE + 0x30, 8, &wide, false));
	assert_int_equal(wide, 0);
	assert_true(lapic_mmio(cpu0, APIC_PAGE + 0x80, 1, &value, true)); /* ignored */
	assert_true(lapic_mmio(cpu0, APIC_PAGE + 0x84, 4, &value, true));
	assert_int_equal(apic_read(cpu0, R_TPR), 0);
	assert_false(lapic_mmio(cpu0, APIC_PAGE + 0x1000, 4, &value, false));
	assert_false(lapic_mmio(cpu0, APIC_PAGE - 4, 4, &value, false));
	for (u32 off = 0; off < 4096; off += 4) {
		value = 0xffffffff;
		lapic_mmio(cpu0, APIC_PAGE + off, 4, &value, false);
		value = off;
		if (off >> 4 != R_ICR)
			lapic_mmio(cpu0, APIC_PAGE + off, 4, &value, true);
	}
}

static const struct {
	u64 value;
	int ret;
} base_steps[] = {
	{0xfee00d00, 0},                                               /* xAPIC to x2APIC */
	{0xfee00900, -EINVAL},                                         /* not back */
	{0xfee00500, -EINVAL},                                         /* EXTD without EN */
	{0xfee00100, 0},                                               /* off */
	{0xfee00d00, -EINVAL},                                         /* not straight to x2APIC */
	{0xfee00900, 0}, {0xfee00901, -EINVAL}, {0xfee00b00, -EINVAL}, /* bit 9 */
	{0xfec80900, 0},                                               /* somewhere else */
};

static void test_base_transitions(void **state)
{
	u64 v;

	for (unsigned i = 0; i < ARRAY_SIZE(base_steps); i++)
		assert_int_equal(
			lapic_write_msr(cpu0, 0x1b, base_steps[i].value), base_steps[i].ret);
	assert_int_equal(lapic_read_msr(cpu0, 0x1b, &v), 0);
	assert_int_equal(v, 0xfec80900);
	assert_false(lapic_mmio(cpu0, APIC_PAGE + 0x30, 4, &v, false));
	assert_true(lapic_mmio(cpu0, 0xfec80030, 4, &v, false));
	assert_int_equal((u32)v, 0x50014);
	cpu0->cpu.phys_bits = 36;
	assert_int_equal(lapic_set_base(cpu0, BIT64(36) | 0xfee00900), -EINVAL);
	assert_int_equal(lapic_set_base(cpu0, 0xfee00d00), 0);
	assert_int_equal(lapic_set_base(cpu0, 0xfee00900), 0); /* the VMM may */
}

static void test_no_x2apic_in_cpuid(void **state)
{
	cpu0->cpu.cpuid[0] = (struct cpuid_entry){.function = 1, .ecx = 0};
	cpu0->cpu.cpuid_count = 1;
	assert_int_equal(lapic_write_msr(cpu0, 0x1b, 0xfee00d00), -EINVAL);
	cpu0->cpu.cpuid[0].ecx = BIT(21);
	assert_int_equal(lapic_write_msr(cpu0, 0x1b, 0xfee00d00), 0);
}

static const struct {
	u32 msr;
	u64 value;
	int write, read;
} x2_table[] = {
	{0x802, 0, -EINVAL, 0},
	{0x803, 0, -EINVAL, 0},
	{0x808, 0x20, 0, 0},
	{0x808, 0x100, -EINVAL, 0},
	{0x808, BIT64(32), -EINVAL, 0},
	{0x809, 0, -EINVAL, -EINVAL},
	{0x80a, 0, -EINVAL, 0},
	{0x80b, 0, 0, -EINVAL},
	{0x80b, 1, -EINVAL, -EINVAL},
	{0x80d, 0, -EINVAL, 0},
	{0x80e, 0, -EINVAL, -EINVAL},
	{0x80f, 0x1ff, 0, 0},
	{0x810, 0, -EINVAL, 0},
	{0x827, 0, -EINVAL, 0},
	{0x828, 0, 0, 0},
	{0x828, 1, -EINVAL, 0},
	{0x82f, 0, -EINVAL, -EINVAL},
	{0x830, 0x40031, 0, 0},
	{0x830, BIT64(13), -EINVAL, 0},
	{0x830, BIT64(20), -EINVAL, 0},
	{0x831, 0, -EINVAL, -EINVAL},
	{0x832, 0x10000, 0, 0},
	{0x838, 0, 0, 0},
	{0x839, 0, -EINVAL, 0},
	{0x83e, 0xb, 0, 0},
	{0x83f, 0x40, 0, -EINVAL},
	{0x840, 0, -EINVAL, -EINVAL},
	{0x8ff, 0, -EINVAL, -EINVAL},
	{0x900, 0, -ENOENT, -ENOENT},
	{0x7ff, 0, -ENOENT, -ENOENT},
};

static void test_x2apic_msrs(void **state)
{
	u64 v;

	assert_int_equal(lapic_read_msr(cpu0, 0x802, &v), -EINVAL); /* not in xAPIC mode */
	x2apic_enable(cpu0);
	for (unsigned i = 0; i < ARRAY_SIZE(x2_table); i++) {
		assert_int_equal(lapic_write_msr(cpu0, x2_table[i].msr, x2_table[i].value),
			x2_table[i].write);
		assert_int_equal(lapic_read_msr(cpu0, x2_table[i].msr, &v), x2_table[i].read);
	}
	assert_int_equal(irq_pending(cpu0), 0x40); /* by 83f; 31 by 830 waits below it */
	v = 0;
	assert_true(lapic_mmio(cpu0, APIC_PAGE + 0x30, 4, &v, false));
	assert_int_equal((u32)v, 0xffffffff);
}

static void test_disabled_apic(void **state)
{
	apic_enable(cpu0);
	self_ipi(0x55);
	assert_int_equal(lapic_write_msr(cpu0, 0x1b, 0xfee00100), 0);
	assert_int_equal(irq_pending(cpu0), -1);
	assert_int_equal(msi_send(0, false, 0x44, 0, false), -1);
	assert_int_equal(lapic_write_msr(cpu0, 0x1b, 0xfee00900), 0);
	assert_int_equal(irq_pending(cpu0), 0x55);
}

/* All stays but the id (KVM; SDM 3:10.4.3 leaves it open). CR8 and TPR are one register throughout. */
static void test_off_and_on(void **state)
{
	apic_enable(cpu0);
	apic_write(cpu0, R_ID, 0x05000000);
	apic_write(cpu0, R_LDR, 0x02000000);
	apic_write(cpu0, R_TPR, 0x70);
	assert_int_equal(lapic_write_msr(cpu0, 0x1b, 0xfee00100), 0);
	assert_int_equal(cpu_cr8(&cpu0->cpu), 7);
	lapic_set_cr8(cpu0, 8);
	assert_int_equal(lapic_write_msr(cpu0, 0x1b, 0xfee00900), 0);
	assert_int_equal(apic_read(cpu0, R_ID), 0);
	assert_int_equal(apic_read(cpu0, R_TPR), 0x80);
	assert_int_equal(apic_read(cpu0, R_LDR), 0x02000000);
	assert_int_equal(apic_read(cpu0, R_SVR), 0x1ff);
	x2apic_enable(cpu0);
	assert_int_equal(lapic_write_msr(cpu0, 0x1b, 0xfee00100), 0);
	assert_int_equal(lapic_write_msr(cpu0, 0x1b, 0xfee00900), 0);
	assert_int_equal(apic_read(cpu0, R_LDR), 0);
}

static void test_init(void **state)
{
	apic_enable(cpu0);
	self_ipi(0x55);
	apic_write(cpu0, R_TPR, 0x10);
	lapic_reset(cpu0, true);
	assert_int_equal(irq_pending(cpu0), -1);
	assert_int_equal(apic_read(cpu0, R_SVR), 0xff);
	assert_int_equal(apic_read(cpu0, R_TPR), 0);
	x2apic_enable(cpu0);
	lapic_reset(cpu0, true);
	assert_int_equal(cpu_apic_base(&cpu0->cpu), 0xfee00d00);
	assert_int_equal(x2_read(cpu0, R_LDR), 1);
}

static void test_state_round_trip(void **state)
{
	u8 page[1024], again[1024];
	u32 v;

	apic_enable(cpu0);
	apic_write(cpu0, R_LVT_LINT1, 0x400);
	apic_write(cpu0, R_LDR, 0x02000000);
	self_ipi(0x71);
	self_ipi(0x33);
	assert_int_equal(irq_accept(cpu0), 0x71);
	assert_int_equal(vcpu_get_lapic(cpu0, page), 0);
	lapic_reset(cpu0, false);
	assert_int_equal(irq_pending(cpu0), -1);
	assert_int_equal(vcpu_set_lapic(cpu0, page), 0);
	assert_int_equal(vcpu_get_lapic(cpu0, again), 0);
	assert_memory_equal(page, again, sizeof(page));
	apic_write(cpu0, R_EOI, 0);
	assert_int_equal(irq_accept(cpu0), 0x33);

	x2apic_enable(cpu0);
	x2_write(cpu0, R_ICR, 0x1234567800000700 | 0x31);
	vcpu_get_lapic(cpu0, page);
	memcpy(&v, page + 0x300, 4);
	assert_int_equal(v, 0x731);
	memcpy(&v, page + 0x310, 4);
	assert_int_equal(v, 0x12345678);
}

/* A page that nobody was given: what the guest reads of it is still what it could have written. */
static void test_state_impossible(void **state)
{
	u8 page[1024];

	apic_enable(cpu0);
	self_ipi(0x71);
	memset(page, 0xff, sizeof(page));
	assert_int_equal(vcpu_set_lapic(cpu0, page), 0);
	assert_int_equal(apic_read(cpu0, R_TPR), 0xff);
	assert_int_equal(apic_read(cpu0, R_PPR), 0xff);
	assert_int_equal(cpu_cr8(&cpu0->cpu), 15);
	assert_int_equal(apic_read(cpu0, R_ICR) & ICR_BUSY, 0);
	assert_int_equal(irq_pending(cpu0), -1);
	for (unsigned i = 0; i < 256;
		i++) /* all of them are in service, one after the other they end */
		apic_write(cpu0, R_EOI, 0);
	apic_write(cpu0, R_TPR, 0);
	for (int vector = 255; vector >= 16; vector--) {
		assert_int_equal(irq_accept(cpu0), vector);
		apic_write(cpu0, R_EOI, 0);
	}
	assert_int_equal(irq_accept(cpu0), -1); /* 0 to 15 are no vectors */
}

static void test_state_ids(void **state)
{
	struct vcpu *v = cpu0;
	u8 page[1024];
	u32 id;

	vcpu_set_apic_id(v, 7);
	lapic_reset(v, false);
	assert_int_equal(apic_read(v, R_ID), 7u << 24);
	x2apic_enable(v);
	assert_int_equal(x2_read(v, R_ID), 7);
	assert_int_equal(x2_read(v, R_LDR), 0x80);
	vcpu_get_lapic(v, page);
	memcpy(&id, page + 0x20, 4);
	assert_int_equal(id, 7u << 24);
	machine_set_x2apic_api(world, true, false);
	vcpu_get_lapic(v, page);
	memcpy(&id, page + 0x20, 4);
	assert_int_equal(id, 7);
	assert_int_equal(vcpu_set_lapic(v, page), 0);
	id = 8;
	memcpy(page + 0x20, &id, 4);
	assert_int_equal(vcpu_set_lapic(v, page), -EINVAL);
}

static void test_no_lapic(void **state)
{
	struct lapic *l = cpu0->lapic;
	u8 page[1024];
	u64 v;

	cpu0->lapic = NULL;
	assert_int_equal(irq_pending(cpu0), -1);
	assert_int_equal(irq_accept(cpu0), -1);
	assert_int_equal(irq_take_eoi_exit(cpu0), -1);
	assert_int_equal(vcpu_get_lapic(cpu0, page), -EINVAL);
	assert_int_equal(vcpu_set_lapic(cpu0, page), -EINVAL);
	lapic_set_cr8(cpu0, 5);
	assert_int_equal(cpu_cr8(&cpu0->cpu), 5);
	assert_int_equal(lapic_set_base(cpu0, 0xfee00900), 0);
	assert_int_equal(lapic_read_msr(cpu0, 0x802, &v), -EINVAL);
	assert_int_equal(lapic_read_msr(cpu0, 0x6e0, &v), 0);
	assert_false(lapic_mmio(cpu0, APIC_PAGE, 4, &v, false));
	cpu0->lapic = l;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_reset_values),
		T(test_software_disabled),
		T(test_priority_and_eoi),
		T(test_tpr),
		T(test_tmr),
		T(test_errors),
		T(test_mmio_shapes),
		T(test_base_transitions),
		T(test_no_x2apic_in_cpuid),
		T(test_x2apic_msrs),
		T(test_disabled_apic),
		T(test_off_and_on),
		T(test_init),
		T(test_state_round_trip),
		T(test_state_impossible),
		T(test_state_ids),
		T(test_no_lapic),
	};

	return cmocka_run_group_tests_name("lapic", tests, NULL, NULL);
}
