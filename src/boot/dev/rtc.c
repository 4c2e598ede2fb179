/* SPDX-License-Identifier: MIT */
/* Both registers are a byte wide; of wider accesses the low byte counts. */
#include <time.h>

#include "boot/dev/rtc.h"
#include "boot/core/layout.h"

static u64 on_read(void *opaque, u64 offset, unsigned size)
{
	struct rtc_device *d = opaque;
	u8 value;

	pthread_mutex_lock(&d->lock);
	value = rtc_read(&d->chip, (unsigned)offset, (s64)time(NULL));
	pthread_mutex_unlock(&d->lock);
	return value;
}

static enum bus_event on_write(void *opaque, u64 offset, unsigned size, u64 value)
{
	struct rtc_device *d = opaque;

	pthread_mutex_lock(&d->lock);
	rtc_write(&d->chip, (unsigned)offset, (u8)value, (s64)time(NULL));
	pthread_mutex_unlock(&d->lock);
	return BUS_NOTHING;
}

static const struct bus_ops ops = {.read = on_read, .write = on_write};

int rtc_attach(struct rtc_device *d, struct bus *bus, struct failure *f)
{
	const struct bus_range range = {"rtc", PORT_RTC, PORT_RTC + 1, &ops, d};

	*d = (struct rtc_device){0};
	pthread_mutex_init(&d->lock, NULL);
	rtc_init(&d->chip);
	return bus_attach(bus, BUS_PORTS, &range, f);
}
