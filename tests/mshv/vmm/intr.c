/* SPDX-License-Identifier: MIT */
/* The chip is chips/ioapic.h's; here are its messages. */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/mshv/mshv.h"
#include "tests/mshv/vmm/intr.h"

/* SDM 3:11.11: an interrupt message from a redirection entry. */
static struct mshv_user_irq_entry message_of(unsigned pin, u64 entry)
{
	struct mshv_user_irq_entry m = {
		.gsi = pin,
		.address_lo = 0xfee00000u | (u32)RTE_DEST(entry) << 12,
		.data = RTE_VECTOR(entry) | RTE_DELIVERY(entry) << 8,
	};

	if (entry & RTE_LOGICAL)
		m.address_lo |= BIT(2);
	if (entry & RTE_LEVEL)
		m.data |= BIT(15);
	return m;
}

/* What of an entry its message depends on. */
static u64 relevant(u64 entry)
{
	return entry & ~(RTE_REMOTE_IRR | RTE_STATUS | RTE_POLARITY);
}

static bool routes_are_old(const struct intr *i)
{
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
		if (i->routed[pin] != relevant(i->chip.s.redirtbl[pin]))
			return true;
	return false;
}

static void update_routes(struct intr *i)
{
	struct mshv_user_irq_entry table[IOAPIC_PINS];
	u32 n = 0;

	if (!routes_are_old(i))
		return;
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		const u64 entry = i->chip.s.redirtbl[pin];

		i->routed[pin] = relevant(entry);
		if (!(entry & RTE_MASKED))
			table[n++] = message_of(pin, entry);
	}
	root_routing_set(i->partition, table, n);
}

static void signal_pin(const struct intr *i, unsigned pin)
{
	const u64 one = 1;

	while (write(i->fd[pin], &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* The chip does not say which pin it is. Any pin with the same entry sends the same message. */
static int deliver(void *opaque, u64 entry)
{
	struct intr *i = opaque;
	unsigned pin = 0;

	update_routes(i);
	while (pin < IOAPIC_PINS && i->chip.s.redirtbl[pin] != entry)
		pin++;
	if (pin == IOAPIC_PINS)
		return -1;
	signal_pin(i, pin);
	return 1;
}

int intr_init(struct intr *i, int partition)
{
	*i = (struct intr){.partition = partition};
	pthread_mutex_init(&i->lock, NULL);
	ioapic_reset(&i->chip);
	i->chip.deliver = deliver;
	i->chip.opaque = i;
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		i->routed[pin] = RTE_MASKED;
		i->fd[pin] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (i->fd[pin] < 0)
			return -errno;
	}
	return 0;
}

long intr_connect(struct intr *i)
{
	long r = 0;

	for (unsigned pin = 0; pin < IOAPIC_PINS && r >= 0; pin++)
		r = root_irqfd_set(i->partition, i->fd[pin], pin, 0);
	return r;
}

void intr_set_line(struct intr *i, unsigned pin, bool level)
{
	pthread_mutex_lock(&i->lock);
	ioapic_set_irq(&i->chip, pin, level);
	pthread_mutex_unlock(&i->lock);
}

void intr_eoi(struct intr *i, u8 vector)
{
	pthread_mutex_lock(&i->lock);
	i->eois++;
	ioapic_eoi(&i->chip, vector);
	pthread_mutex_unlock(&i->lock);
}

void intr_get_state(struct intr *i, struct ioapic_state *ret)
{
	pthread_mutex_lock(&i->lock);
	ioapic_get_state(&i->chip, ret);
	pthread_mutex_unlock(&i->lock);
}

void intr_set_state(struct intr *i, const struct ioapic_state *s)
{
	pthread_mutex_lock(&i->lock);
	ioapic_set_state(&i->chip, s);
	update_routes(i);
	pthread_mutex_unlock(&i->lock);
}

/* ---- its registers ---- */

static u64 on_read(void *opaque, u64 offset, unsigned size)
{
	struct intr *i = opaque;
	u32 value;

	pthread_mutex_lock(&i->lock);
	value = ioapic_read(&i->chip, (u32)offset);
	pthread_mutex_unlock(&i->lock);
	return value;
}

static enum bus_event on_write(void *opaque, u64 offset, unsigned size, u64 value)
{
	struct intr *i = opaque;

	pthread_mutex_lock(&i->lock);
	ioapic_write(&i->chip, (u32)offset, (u32)value);
	update_routes(i);
	pthread_mutex_unlock(&i->lock);
	return BUS_NOTHING;
}

static const struct bus_ops ops = {.read = on_read, .write = on_write};

int intr_attach(struct intr *i, struct bus *bus, struct failure *f)
{
	const struct bus_range range = {
		"ioapic", IOAPIC_BASE, IOAPIC_BASE + IOAPIC_WINDOW - 1, &ops, i};

	return bus_attach(bus, BUS_MMIO, &range, f);
}
