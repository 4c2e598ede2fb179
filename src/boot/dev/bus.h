/* SPDX-License-Identifier: MIT */
/*
 * Which device answers at which I/O port and at which guest-physical address, and the interrupt lines.
 *
 * All devices are put on the bus before the first vCPU runs. It does not change from then on, so vCPUs look up without
 * a lock; each device guards its own state. What guests move about, as they do with the BARs of PCI functions, is one
 * window here that belongs to the device that knows where in it each of them is.
 */
#ifndef BOOT_DEV_BUS_H
#define BOOT_DEV_BUS_H

#include "base/types.h"
#include "boot/core/failure.h"

#define BUS_RANGES 64 /* of each space: more devices than interrupt lines */

enum bus_space { BUS_PORTS, BUS_MMIO, BUS_SPACES };

/* What a write makes of the machine. */
enum bus_event { BUS_NOTHING, BUS_POWER_OFF, BUS_RESET };

/* What is read where no device is. A device that refuses an access answers the same. */
#define BUS_ONES (~0ull)

/*
 * An access is that of the device which has its first byte, also when it goes on behind the device's end. Which sizes,
 * of 1 to 8 bytes, a register takes is the device's business. Called by all vCPUs at once. NULL: ones, nothing.
 */
struct bus_ops {
	u64 (*read)(void *opaque, u64 offset, unsigned size);
	enum bus_event (*write)(void *opaque, u64 offset, unsigned size, u64 value);
};

struct bus_range {
	const char *device; /* its name, for people */
	u64 first, last;
	const struct bus_ops *ops;
	void *opaque;
};

struct bus {
	struct bus_map {
		unsigned count;
		struct bus_range ranges[BUS_RANGES]; /* ascending */
	} maps[BUS_SPACES];
	void (*set_irq)(void *opaque, unsigned irq, bool level);
	void *opaque;
};

void bus_init(struct bus *b, void (*set_irq)(void *opaque, unsigned irq, bool level), void *opaque);
/* Refused where it would share an address with another one, and then the bus is as before. */
int bus_attach(
	struct bus *b, enum bus_space space, const struct bus_range *range, struct failure *f);

/* `size` is 1 to 8 bytes; the result has no more. */
u64 bus_read(const struct bus *b, enum bus_space space, u64 address, unsigned size);
enum bus_event bus_write(
	const struct bus *b, enum bus_space space, u64 address, unsigned size, u64 value);

/* A line of the interrupt controllers, from any thread. */
void bus_irq(const struct bus *b, unsigned irq, bool level);

#endif
