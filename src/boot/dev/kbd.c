/* SPDX-License-Identifier: MIT */
/* The chip has no state. Ports 0x61 to 0x63, between its two, read as ones: 0x61 is the engine's, with the timer. */
#include "boot/dev/kbd.h"
#include "chips/i8042.h"

static u64 on_read(void *opaque, u64 offset, unsigned size)
{
	return i8042_read((u16)(I8042_DATA + offset));
}

static enum bus_event on_write(void *opaque, u64 offset, unsigned size, u64 value)
{
	return i8042_write((u16)(I8042_DATA + offset), (u8)value) ? BUS_RESET : BUS_NOTHING;
}

static const struct bus_ops ops = {.read = on_read, .write = on_write};

int kbd_attach(struct bus *bus, struct failure *f)
{
	const struct bus_range range = {"keyboard", I8042_DATA, I8042_COMMAND, &ops, NULL};

	return bus_attach(bus, BUS_PORTS, &range, f);
}
