/* SPDX-License-Identifier: MIT */
/* The chips of IRQCHIP_FULL behind their ports and addresses, and their life. */
#include "engine/irq/lapic.h"
#include "base/locked.h"
#include "engine/irq/irq.h"
#include "engine/request/post.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- what the chips tell us; irq->lock is held ---- */

/* INTR goes to whoever has LINT0 open for it; usually that is the first processor alone. */
static void pic_output(void *opaque, bool level)
{
	struct irq *irq = opaque;

	atomic_store(&irq->pic_output, level);
	if (!level)
		return;
	pthread_rwlock_rdlock(&irq->map_lock);
	for (unsigned i = 0; i < irq->lapic_count; i++)
		if (lapic_takes_extint(irq->lapics[i]))
			vcpu_post_event(irq->lapics[i]->vcpu);
	pthread_rwlock_unlock(&irq->map_lock);
}

static void acked(struct irq *irq, enum chip chip, unsigned pin)
{
	int gsi = routing_gsi_of(irq, chip, pin);

	if (gsi < 0)
		return;
	if (gsi == 0 && irq->pit.present)
		pit_acked(irq);
	irqfd_ack(irq, (u32)gsi);
}

static void pic_acked(void *opaque, unsigned input)
{
	acked(opaque, input < 8 ? CHIP_PIC_MASTER : CHIP_PIC_SLAVE, input & 7);
}

static void ioapic_acked(void *opaque, unsigned pin)
{
	acked(opaque, CHIP_IOAPIC, pin);
}

void irq_update_eoi_watch(struct irq *irq)
{
	u32 vectors[8] = {0};

	uv_assert_locked(&irq->lock);
	for (unsigned pin = 0; pin < IOAPIC_PINS && irq->mode == IRQCHIP_FULL; pin++) {
		int gsi = routing_gsi_of(irq, CHIP_IOAPIC, pin);
		u8 vector = RTE_VECTOR(irq->ioapic.s.redirtbl[pin]);

		if (gsi >= 0 && ((gsi == 0 && irq->pit.present) || irqfd_wants_ack(irq, gsi)))
			vectors[vector >> 5] |= BIT(vector & 31);
	}
	for (unsigned i = 0; i < 8; i++)
		atomic_store_explicit(&irq->eoi_watch[i], vectors[i], memory_order_relaxed);
}

void irq_eoi(struct irq *irq, u8 vector)
{
	pthread_mutex_lock(&irq->lock);
	ioapic_eoi(&irq->ioapic, vector);
	pthread_mutex_unlock(&irq->lock);
}

/* ---- guest accesses ---- */

/* Registers are 32 bits at multiples of 16 bytes; other offsets read as 0 (82093AA 3.0). */
bool irq_mmio(struct machine *m, u64 gpa, unsigned len, void *data, bool write)
{
	struct irq *irq = m->irq;
	u32 offset, value = 0;

	if (irq->mode != IRQCHIP_FULL || gpa - irq->ioapic.s.base_address >= IOAPIC_WINDOW)
		return false;
	offset = (u32)(gpa - irq->ioapic.s.base_address);
	pthread_mutex_lock(&irq->lock);
	if (write) {
		memcpy(&value, data, MIN(len, 4u));
		ioapic_write(&irq->ioapic, offset, value);
		if (offset)
			irq_update_eoi_watch(irq);
	} else {
		value = ioapic_read(&irq->ioapic, offset);
		memset(data, 0, len);
		memcpy(data, &value, MIN(len, 4u));
	}
	pthread_mutex_unlock(&irq->lock);
	return true;
}

static bool is_pic_port(u16 port)
{
	return (port & ~0x81) == 0x20 || port == 0x4d0 || port == 0x4d1;
}

static bool is_pit_port(const struct irq *irq, u16 port)
{
	if (!irq->pit.present)
		return false;
	return (port & ~3) == 0x40 || (port == 0x61 && irq->pit.speaker);
}

static bool pic_pio(struct irq *irq, u16 port, u8 *value, bool write)
{
	return write ? pic_write(&irq->pic, port, *value) : pic_read(&irq->pic, port, value);
}

/* These are 8-bit devices: of wider accesses they see the low byte, the rest of the bus floats. */
bool irq_pio(struct machine *m, u16 port, unsigned size, void *data, bool write)
{
	struct irq *irq = m->irq;
	u8 value;

	if (irq->mode != IRQCHIP_FULL || !(is_pic_port(port) || is_pit_port(irq, port)))
		return false;
	memcpy(&value, data, 1);
	pthread_mutex_lock(&irq->lock);
	if (!pic_pio(irq, port, &value, write))
		pit_pio(irq, port, &value, write);
	pthread_mutex_unlock(&irq->lock);
	if (!write) {
		memset(data, 0xff, size);
		memcpy(data, &value, 1);
	}
	return true;
}

/* ---- state ---- */

static int pic_get(struct irq *irq, unsigned which, struct pic_state *ret)
{
	if (irq->mode != IRQCHIP_FULL)
		return -ENXIO;
	if (which > 1)
		return -EINVAL;
	*ret = irq->pic.chip[which];
	return 0;
}

int machine_get_pic(struct machine *m, unsigned which, struct pic_state *ret)
{
	int err;

	pthread_mutex_lock(&m->irq->lock);
	err = pic_get(m->irq, which, ret);
	pthread_mutex_unlock(&m->irq->lock);
	return err;
}

int machine_set_pic(struct machine *m, unsigned which, const struct pic_state *s)
{
	struct irq *irq = m->irq;

	if (irq->mode != IRQCHIP_FULL)
		return -ENXIO;
	if (which > 1)
		return -EINVAL;
	pthread_mutex_lock(&irq->lock);
	pic_set_state(&irq->pic, which, s);
	pthread_mutex_unlock(&irq->lock);
	return 0;
}

int machine_get_ioapic(struct machine *m, struct ioapic_state *ret)
{
	struct irq *irq = m->irq;

	if (irq->mode != IRQCHIP_FULL)
		return -ENXIO;
	pthread_mutex_lock(&irq->lock);
	ioapic_get_state(&irq->ioapic, ret);
	pthread_mutex_unlock(&irq->lock);
	return 0;
}

int machine_set_ioapic(struct machine *m, const struct ioapic_state *s)
{
	struct irq *irq = m->irq;

	if (irq->mode != IRQCHIP_FULL)
		return -ENXIO;
	pthread_mutex_lock(&irq->lock);
	ioapic_set_state(&irq->ioapic, s);
	irq_update_eoi_watch(irq);
	pthread_mutex_unlock(&irq->lock);
	return 0;
}

/* ---- life ---- */

int irq_create(struct machine *m)
{
	struct irq *irq = calloc(1, sizeof(*irq));

	if (!irq)
		return -ENOMEM;
	irq->machine = m;
	irq->mode = IRQCHIP_NONE;
	irq->apic_bus_ns = 1;
	pthread_mutex_init(&irq->lock, NULL);
	pthread_mutex_init(&irq->config_lock, NULL);
	pthread_rwlock_init(&irq->map_lock, NULL);
	pthread_rwlock_init(&irq->ioevent_lock, NULL);
	irq->map_stale = true;
	m->irq = irq;
	return 0;
}

void irq_destroy(struct machine *m)
{
	struct irq *irq = m->irq;

	irqfd_deassign_all(m);
	ioeventfd_deassign_all(m);
	if (irq->pit.present)
		timer_cancel(m, &irq->pit.timer);
	apic_map_free(irq);
	free(irq->routing);
	pthread_rwlock_destroy(&irq->ioevent_lock);
	pthread_rwlock_destroy(&irq->map_lock);
	pthread_mutex_destroy(&irq->config_lock);
	pthread_mutex_destroy(&irq->lock);
	free(irq);
	m->irq = NULL;
}

static void wire_chips(struct irq *irq)
{
	irq->pic.opaque = irq->ioapic.opaque = irq;
	irq->pic.set_output = pic_output;
	irq->pic.ack = pic_acked;
	irq->ioapic.deliver = ioapic_entry_deliver;
	irq->ioapic.ack = ioapic_acked;
	pic_reset(&irq->pic);
	ioapic_reset(&irq->ioapic);
}

static int create_irqchip(struct irq *irq, enum irqchip_mode mode)
{
	int err;

	if (irq->mode != IRQCHIP_NONE)
		return -EEXIST;
	if (irq->machine->vcpu_count)
		return -EINVAL;
	err = fd_watch_prepare(irq->machine); /* irqfds */
	if (err)
		return err;
	if (mode == IRQCHIP_FULL) {
		irq->routing = routing_default();
		if (!irq->routing)
			return -ENOMEM;
		wire_chips(irq);
	}
	irq->mode = mode;
	return 0;
}

int machine_create_irqchip(struct machine *m, enum irqchip_mode mode)
{
	int err;

	if (mode != IRQCHIP_FULL && mode != IRQCHIP_SPLIT)
		return -EINVAL;
	pthread_mutex_lock(&m->lock);
	err = create_irqchip(m->irq, mode);
	pthread_mutex_unlock(&m->lock);
	return err;
}

enum irqchip_mode machine_irqchip(const struct machine *m)
{
	return m->irq->mode;
}

static int create_pit(struct irq *irq, bool speaker)
{
	if (irq->mode != IRQCHIP_FULL)
		return -ENOENT;
	if (irq->pit.present)
		return -EEXIST;
	pit_wire_create(irq, speaker);
	irq_update_eoi_watch(irq);
	return 0;
}

int machine_create_pit(struct machine *m, bool speaker)
{
	int err;

	pthread_mutex_lock(&m->irq->lock);
	err = create_pit(m->irq, speaker);
	pthread_mutex_unlock(&m->irq->lock);
	return err;
}

int machine_set_boot_cpu(struct machine *m, u32 id)
{
	int err = 0;

	pthread_mutex_lock(&m->lock);
	if (m->vcpu_count)
		err = -EBUSY;
	else
		m->boot_cpu = id;
	pthread_mutex_unlock(&m->lock);
	return err;
}

void machine_set_x2apic_api(struct machine *m, bool ids32, bool no_quirk)
{
	pthread_mutex_lock(&m->irq->lock);
	m->irq->ids32 |= ids32;
	m->irq->no_broadcast_quirk |= no_quirk;
	pthread_mutex_unlock(&m->irq->lock);
}

int machine_set_apic_bus_ns(struct machine *m, u32 ns)
{
	int err = 0;

	pthread_mutex_lock(&m->lock);
	if (!ns || m->vcpu_count)
		err = -EINVAL;
	else
		m->irq->apic_bus_ns = ns;
	pthread_mutex_unlock(&m->lock);
	return err;
}
