/* SPDX-License-Identifier: MIT */
#include "world.h"

#include "engine/pv/hyperv/hv.h"
#include "engine/irq/irq.h"
#include "engine/irq/lapic.h"
#include "engine/mem/memory.h"
#include "engine/mem/recheck.h"
#include "engine/request/post.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

struct machine *world;
struct vcpu *cpu0;
u8 world_ram[8192];
static _Atomic unsigned posts[MACHINE_MAX_VCPUS];

/* ---- what the engine's other parts would do ---- */

void vcpu_post_event(struct vcpu *v)
{
	atomic_fetch_add(&posts[v->id % MACHINE_MAX_VCPUS], 1);
}

void vcpu_post_nmi(struct vcpu *v)
{
	atomic_fetch_add(&v->pending_nmi, 1);
}

static void sint_ended(struct vcpu *v, u8 vector)
{
}

static int sint_raise(struct machine *m, u32 vp_index, u32 sint)
{
	return -1;
}

static const struct sint_ops no_sints = {sint_raise, sint_ended};

void hv_clock_changed(struct machine *m)
{
}

void vcpu_post_smi(struct vcpu *v)
{
	atomic_store(&v->pending_smi, true);
}

void vcpu_post_unhalt(struct vcpu *v)
{
}

void recheck_device_event(struct machine *m)
{
}

void vcpu_post_init(struct vcpu *v)
{
	atomic_store(&v->pending_init, true);
}

void vcpu_post_sipi(struct vcpu *v, u8 vector)
{
	atomic_store(&v->sipi_vector, vector);
	atomic_store(&v->pending_sipi, true);
}

bool machine_has_ram(struct machine *m, u64 gpa, u64 len)
{
	return gpa + len <= sizeof(world_ram);
}

int machine_read(struct machine *m, u64 gpa, void *buf, size_t len)
{
	if (gpa + len > sizeof(world_ram))
		return -EFAULT;
	memcpy(buf, world_ram + gpa, len);
	return 0;
}

int machine_write(struct machine *m, u64 gpa, const void *buf, size_t len)
{
	if (gpa + len > sizeof(world_ram))
		return -EFAULT;
	memcpy(world_ram + gpa, buf, len);
	return 0;
}

/* ---- life ---- */

static void add_vcpu(unsigned i)
{
	struct vcpu *v = calloc(1, sizeof(*v));

	assert_non_null(v);
	v->machine = world;
	v->id = i;
	v->cpu.vcpu = v;
	atomic_store(&world->vcpus[i], v);
	atomic_store(&world->vcpu_high, i + 1);
	world->vcpu_count++;
	assert_int_equal(lapic_create(v), 0);
}

void world_create(enum irqchip_mode mode, unsigned vcpus)
{
	world = calloc(1, sizeof(*world));
	assert_non_null(world);
	world->sint_ops = &no_sints;
	pthread_mutex_init(&world->lock, NULL);
	memset(posts, 0, sizeof(posts));
	memset(world_ram, 0, sizeof(world_ram));
	assert_int_equal(timers_create(world), 0);
	assert_int_equal(irq_create(world), 0);
	if (mode != IRQCHIP_NONE)
		assert_int_equal(machine_create_irqchip(world, mode), 0);
	for (unsigned i = 0; i < vcpus; i++)
		add_vcpu(i);
	cpu0 = vcpus ? world_vcpu(0) : NULL;
}

void world_destroy(void)
{
	for (unsigned i = 0; i < world->vcpu_count; i++) {
		struct vcpu *v = world_vcpu(i);

		lapic_destroy(v);
		atomic_store(&world->vcpus[i], NULL);
		free(v);
	}
	irq_destroy(world);
	timers_destroy(world);
	free(world);
	world = NULL;
}

struct vcpu *world_vcpu(unsigned i)
{
	return atomic_load(&world->vcpus[i]);
}

unsigned world_posts(struct vcpu *v)
{
	return atomic_exchange(&posts[v->id], 0);
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
