/* SPDX-License-Identifier: MIT */
/* Bit 2 resets when it goes from 0 to 1; that it was 0 is taken for granted, so there is no state and no reading. */
#include "boot/dev/reset.h"
#include "boot/core/layout.h"

static enum bus_event on_write(void *opaque, u64 offset, unsigned size, u64 value)
{
	return size == 1 && (value & BIT(2)) ? BUS_RESET : BUS_NOTHING;
}

static const struct bus_ops ops = {.write = on_write};

int reset_attach(struct bus *bus, struct failure *f)
{
	const struct bus_range range = {"reset", PORT_RESET, PORT_RESET, &ops, NULL};

	return bus_attach(bus, BUS_PORTS, &range, f);
}
