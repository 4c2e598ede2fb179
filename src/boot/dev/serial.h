/* SPDX-License-Identifier: MIT */
/*
 * The first serial port: its chip on the bus, and what has been typed for it and does not fit into the chip yet. Who is
 * at the other end of the line has made it, and says what to do with what the guest sends.
 */
#ifndef BOOT_DEV_SERIAL_H
#define BOOT_DEV_SERIAL_H

#include "boot/dev/bus.h"

struct serial;

/* From whichever thread has the reason. The first two are called with the port's lock: they may wait, and may not come
 * back here. */
struct serial_ops {
	void (*transmit)(void *opaque, u8 byte);
	void (*taken)(void *opaque); /* the chip got some of what was typed */
	void (*room)(void *opaque);  /* more can be typed, after there was no room */
};

/*
 * With `hold` what is typed is kept until a driver listens, and kept for it when it clears the chip's FIFO: it was there
 * before the guest was. A person's typing is not.
 */
int serial_create(struct serial **ret, struct bus *bus, const struct serial_ops *ops, void *opaque,
	bool hold, struct failure *f);
/* Nobody uses the bus any more. */
void serial_destroy(struct serial *s);

/* What finds no room is lost. */
void serial_type(struct serial *s, const u8 *from, size_t n);
size_t serial_room(struct serial *s);
/* The guest has read all that was typed, and would take more. */
bool serial_idle(struct serial *s);

#endif
