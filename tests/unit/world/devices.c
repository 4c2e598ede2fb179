/* SPDX-License-Identifier: MIT */
#include "devices.h"

#include "engine/irq/irq.h"

#include <time.h>

static struct world all;
struct machine *world;
struct vcpu *cpu0;
u8 *world_ram;

void world_create(enum irqchip_mode mode, unsigned vcpus)
{
	world_open(&all, mode);
	while (vcpus-- > 1)
		world_add_vcpu(&all);
	world = all.m;
	cpu0 = all.v;
	world_ram = all.ram;
}

void world_destroy(void)
{
	world_close(&all);
	world = NULL;
}

struct vcpu *world_vcpu(unsigned i)
{
	return i ? all.more[i - 1] : all.v;
}

/* ---- what a guest does ---- */

void apic_write(struct vcpu *v, enum lapic_reg r, u32 value)
{
	assert_true(lapic_mmio(v, APIC_PAGE + r * 16, 4, &value, true));
}

u32 apic_read(struct vcpu *v, enum lapic_reg r)
{
	u32 value = 0;

	assert_true(lapic_mmio(v, APIC_PAGE + r * 16, 4, &value, false));
	return value;
}

void apic_enable(struct vcpu *v)
{
	apic_write(v, R_SVR, 0x1ff);
}

void x2apic_enable(struct vcpu *v)
{
	assert_int_equal(lapic_write_msr(v, 0x1b, cpu_apic_base(&v->cpu) | APIC_BASE_X2APIC), 0);
	x2_write(v, R_SVR, 0x1ff);
}

void x2_write(struct vcpu *v, enum lapic_reg r, u64 value)
{
	assert_int_equal(lapic_write_msr(v, 0x800 + r, value), 0);
}

u64 x2_read(struct vcpu *v, enum lapic_reg r)
{
	u64 value = 0;

	assert_int_equal(lapic_read_msr(v, 0x800 + r, &value), 0);
	return value;
}

int msi_send(u8 dest, bool logical, u8 vector, unsigned delivery, bool level)
{
	struct msi msi = {
		.address = APIC_PAGE | (u64)dest << 12 | (logical ? 4 : 0),
		.data = vector | delivery << 8 | (level ? BIT(15) | BIT(14) : 0),
	};

	return irq_msi(world, &msi);
}

void io_write(u32 reg, u32 value)
{
	assert_true(irq_mmio(world, IOAPIC_BASE, 4, &reg, true));
	assert_true(irq_mmio(world, IOAPIC_BASE + 0x10, 4, &value, true));
}

u32 io_read(u32 reg)
{
	u32 value = 0;

	assert_true(irq_mmio(world, IOAPIC_BASE, 4, &reg, true));
	assert_true(irq_mmio(world, IOAPIC_BASE + 0x10, 4, &value, false));
	return value;
}

void port_write(u16 port, u8 value)
{
	assert_true(irq_pio(world, port, 1, &value, true));
}

u8 port_read(u16 port)
{
	u8 value = 0;

	assert_true(irq_pio(world, port, 1, &value, false));
	return value;
}

void pic_program(void)
{
	for (u16 port = 0x20; port <= 0xa0; port += 0x80) {
		port_write(port, 0x11);
		port_write(port + 1, port == 0x20 ? 0x20 : 0x28);
		port_write(port + 1, port == 0x20 ? 4 : 2);
		port_write(port + 1, 1);
		port_write(port + 1, 0);
	}
}

void nap_us(unsigned us)
{
	struct timespec ts = {.tv_nsec = us * 1000l};

	nanosleep(&ts, NULL);
}

int served_pending(struct vcpu *v)
{
	lapic_timer_serve(v);
	return irq_pending(v);
}

bool wait_pending(struct vcpu *v)
{
	u64 end = host_ns() + 60000000000ull;

	while (served_pending(v) < 0) {
		if (host_ns() > end)
			return false;
		nap_us(100);
	}
	return true;
}
