/* SPDX-License-Identifier: MIT */
/* Status (never anything), enable, control; the guest is always in ACPI mode. Registers are 16 bits wide, accessed by
 * bytes or words. */
#include "boot/dev/pm.h"
#include "boot/core/layout.h"

#define PM1_SCI_EN BIT(0)
#define PM1_SLP_EN BIT(13)

static u64 on_read(void *opaque, u64 offset, unsigned size)
{
	struct pm_device *d = opaque;
	u32 value;

	pthread_mutex_lock(&d->lock);
	value = offset < 4 ? (u32)d->enable << 16 : (u32)d->control | PM1_SCI_EN;
	pthread_mutex_unlock(&d->lock);
	return value >> (offset % 4 * 8);
}

static enum bus_event set_control(struct pm_device *d, u16 value)
{
	const bool sleep = value & PM1_SLP_EN;

	d->control = value & (u16)~PM1_SLP_EN;
	return sleep && (value >> 10 & 7) == SLEEP_TYPE_OFF ? BUS_POWER_OFF : BUS_NOTHING;
}

static enum bus_event on_write(void *opaque, u64 offset, unsigned size, u64 value)
{
	struct pm_device *d = opaque;
	enum bus_event event = BUS_NOTHING;

	pthread_mutex_lock(&d->lock);
	switch (offset) {
	case 0:
		if (size == 4)
			d->enable = (u16)(value >> 16);
		break;
	case 2: d->enable = (u16)value; break;
	case PORT_PM_CTRL - PORT_PM_EVENT: event = set_control(d, (u16)value); break;
	case PORT_PM_CTRL - PORT_PM_EVENT + 1:
		event = set_control(d, (u16)((d->control & 0xff) | (value & 0xff) << 8));
		break;
	default: break;
	}
	pthread_mutex_unlock(&d->lock);
	return event;
}

static const struct bus_ops ops = {.read = on_read, .write = on_write};

int pm_attach(struct pm_device *d, struct bus *bus, struct failure *f)
{
	const struct bus_range range = {"pm", PORT_PM_EVENT, PORT_PM_CTRL + 1, &ops, d};

	*d = (struct pm_device){0};
	pthread_mutex_init(&d->lock, NULL);
	return bus_attach(bus, BUS_PORTS, &range, f);
}
