/* SPDX-License-Identifier: MIT */
/*
 * The guest's first serial port on standard input and output.
 *
 * Two threads: one reads the input (so that Ctrl-A works however busy or dead the guest is), one writes what the guest
 * sent, as much at a time as has come together; a guest that is faster than the terminal waits. The port has its lock
 * (dev/serial.h), the output buffer another.
 */
#ifndef BOOT_CONSOLE_H
#define BOOT_CONSOLE_H

#include "base/types.h"
#include "boot/dev/bus.h"

struct console;

struct console_ops {
	void (*quit)(void *opaque);            /* Ctrl-A x */
	void (*lost)(void *opaque, int error); /* the output cannot be written: errno value */
};

/* Makes the port and puts it on the bus. */
int console_start(struct console **ret, struct bus *bus, const struct console_ops *ops,
	void *opaque, struct failure *f);
/* A kernel said that it panicked. */
bool console_panicked(struct console *c);
/* From now on the guest does not wait for the terminal: what does not fit into the buffer is dropped. */
void console_abandon(struct console *c);
/* Ends both threads. With `drain` everything the guest sent is written first, however long that takes; without, what
 * can be written at once. The vCPUs must have stopped. True: the terminal was asked something by the guest just now,
 * and its answer may come later. */
bool console_stop(struct console *c, bool drain);

#endif
