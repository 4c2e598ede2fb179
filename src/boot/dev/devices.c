/* SPDX-License-Identifier: MIT */
/* The port table and the devices too small for a chip file: ACPI fixed hardware (ACPI 6.3, 4.8.3) and reset. */
#include <time.h>

#include "boot/dev/devices.h"
#include "boot/layout.h"
#include "chips/i8042.h"

struct port_range {
	u16 first, last;
	u32 (*in)(struct devices *d, u16 offset, unsigned size);
	enum device_event (*out)(struct devices *d, u16 offset, unsigned size, u32 value);
};

static u32 com_in(struct devices *d, u16 offset, unsigned size)
{
	return console_read(d->console, offset);
}

static enum device_event com_out(struct devices *d, u16 offset, unsigned size, u32 value)
{
	console_write(d->console, offset, (u8)value);
	return DEVICE_NONE;
}

static u32 rtc_in(struct devices *d, u16 offset, unsigned size)
{
	u32 value;

	pthread_mutex_lock(&d->lock);
	value = rtc_read(&d->rtc, offset, (s64)time(NULL));
	pthread_mutex_unlock(&d->lock);
	return value;
}

static enum device_event rtc_out(struct devices *d, u16 offset, unsigned size, u32 value)
{
	pthread_mutex_lock(&d->lock);
	rtc_write(&d->rtc, offset, (u8)value, (s64)time(NULL));
	pthread_mutex_unlock(&d->lock);
	return DEVICE_NONE;
}

static u32 kbc_in(struct devices *d, u16 offset, unsigned size)
{
	return i8042_read(I8042_DATA + offset);
}

static enum device_event kbc_out(struct devices *d, u16 offset, unsigned size, u32 value)
{
	return i8042_write(I8042_DATA + offset, (u8)value) ? DEVICE_RESET : DEVICE_NONE;
}

#define PM1_SCI_EN BIT(0)
#define PM1_SLP_EN BIT(13)

/* Status (never anything), enable; the guest is always in ACPI mode. Registers are 16 bits wide, accessed by bytes or
 * words. */
static u32 pm_in(struct devices *d, u16 offset, unsigned size)
{
	u32 value;

	pthread_mutex_lock(&d->lock);
	value = offset < 4 ? (u32)d->pm_enable << 16 : (u32)d->pm_control | PM1_SCI_EN;
	pthread_mutex_unlock(&d->lock);
	return value >> (offset % 4 * 8);
}

static enum device_event pm_control(struct devices *d, u16 value)
{
	const bool sleep = value & PM1_SLP_EN;

	d->pm_control = value & (u16)~PM1_SLP_EN;
	return sleep && (value >> 10 & 7) == SLEEP_TYPE_OFF ? DEVICE_POWER_OFF : DEVICE_NONE;
}

static enum device_event pm_out(struct devices *d, u16 offset, unsigned size, u32 value)
{
	enum device_event event = DEVICE_NONE;

	pthread_mutex_lock(&d->lock);
	switch (offset) {
	case 0:
		if (size == 4)
			d->pm_enable = (u16)(value >> 16);
		break;
	case 2: d->pm_enable = (u16)value; break;
	case PORT_PM_CTRL - PORT_PM_EVENT: event = pm_control(d, (u16)value); break;
	case PORT_PM_CTRL - PORT_PM_EVENT + 1:
		event = pm_control(d, (u16)((d->pm_control & 0xff) | (value & 0xff) << 8));
		break;
	default: break;
	}
	pthread_mutex_unlock(&d->lock);
	return event;
}

/* PIIX reset control: bit 2 resets when it goes from 0 to 1; that it was 0 is taken for granted. */
static enum device_event reset_out(struct devices *d, u16 offset, unsigned size, u32 value)
{
	return size == 1 && (value & BIT(2)) ? DEVICE_RESET : DEVICE_NONE;
}

static u32 pci_address_in(struct devices *d, u16 offset, unsigned size)
{
	u32 value;

	pthread_mutex_lock(&d->lock);
	value = size == 4 ? pci_host_address(&d->pci) : 0xffffffff;
	pthread_mutex_unlock(&d->lock);
	return value;
}

static enum device_event pci_address_out(struct devices *d, u16 offset, unsigned size, u32 value)
{
	pthread_mutex_lock(&d->lock);
	if (size == 4)
		pci_host_set_address(&d->pci, value);
	pthread_mutex_unlock(&d->lock);
	return DEVICE_NONE;
}

static u32 pci_data_in(struct devices *d, u16 offset, unsigned size)
{
	u32 value;

	pthread_mutex_lock(&d->lock);
	value = pci_host_data(&d->pci, offset);
	pthread_mutex_unlock(&d->lock);
	return value;
}

static enum device_event ignored_out(struct devices *d, u16 offset, unsigned size, u32 value)
{
	return DEVICE_NONE;
}

/* First match counts. */
static const struct port_range ranges[] = {
	{PORT_COM1, PORT_COM1 + 7, com_in, com_out},
	{PORT_RTC, PORT_RTC + 1, rtc_in, rtc_out},
	{I8042_DATA, I8042_COMMAND, kbc_in, kbc_out},
	{PORT_PM_EVENT, PORT_PM_CTRL + 1, pm_in, pm_out},
	{PORT_PCI_ADDR, PORT_PCI_ADDR, pci_address_in, pci_address_out},
	{PORT_RESET, PORT_RESET, NULL, reset_out},
	{PORT_PCI_DATA, PORT_PCI_DATA + 3, pci_data_in, ignored_out},
};

static const struct port_range *find(u16 port)
{
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		if (port >= ranges[i].first && port <= ranges[i].last)
			return &ranges[i];
	return NULL;
}

void devices_init(struct devices *d, struct console *console)
{
	*d = (struct devices){.console = console};
	pthread_mutex_init(&d->lock, NULL);
	rtc_init(&d->rtc);
}

u32 devices_in(struct devices *d, u16 port, unsigned size)
{
	const struct port_range *r = find(port);

	if (!r || !r->in)
		return 0xffffffff;
	return r->in(d, port - r->first, size);
}

enum device_event devices_out(struct devices *d, u16 port, unsigned size, u32 value)
{
	const struct port_range *r = find(port);

	return r ? r->out(d, port - r->first, size, value) : DEVICE_NONE;
}
