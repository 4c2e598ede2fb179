/* SPDX-License-Identifier: MIT */
/*
 * The address is four bytes at its first port and nothing else: the other three are free for other devices, and one
 * has the second (reset.h).
 */
#include "boot/dev/pci.h"
#include "boot/core/layout.h"

static u64 address_read(void *opaque, u64 offset, unsigned size)
{
	struct pci_config *d = opaque;
	u64 value;

	pthread_mutex_lock(&d->lock);
	value = size == 4 ? pci_host_address(&d->chip) : BUS_ONES;
	pthread_mutex_unlock(&d->lock);
	return value;
}

static enum bus_event address_write(void *opaque, u64 offset, unsigned size, u64 value)
{
	struct pci_config *d = opaque;

	pthread_mutex_lock(&d->lock);
	if (size == 4)
		pci_host_set_address(&d->chip, (u32)value);
	pthread_mutex_unlock(&d->lock);
	return BUS_NOTHING;
}

static u64 data_read(void *opaque, u64 offset, unsigned size)
{
	struct pci_config *d = opaque;
	u32 value;

	pthread_mutex_lock(&d->lock);
	value = pci_host_data(&d->chip, (unsigned)offset);
	pthread_mutex_unlock(&d->lock);
	return value;
}

static const struct bus_ops address_ops = {.read = address_read, .write = address_write};
static const struct bus_ops data_ops = {.read = data_read}; /* the host bridge has nothing to set */

int pci_attach(struct pci_config *d, struct bus *bus, struct failure *f)
{
	const struct bus_range address = {"pci", PORT_PCI_ADDR, PORT_PCI_ADDR, &address_ops, d};
	const struct bus_range data = {"pci", PORT_PCI_DATA, PORT_PCI_DATA + 3, &data_ops, d};

	*d = (struct pci_config){0};
	pthread_mutex_init(&d->lock, NULL);
	if (bus_attach(bus, BUS_PORTS, &address, f) < 0)
		return -1;
	return bus_attach(bus, BUS_PORTS, &data, f);
}
