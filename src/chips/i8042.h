/* SPDX-License-Identifier: MIT */
/*
 * The keyboard controller's one duty without a keyboard: its output line 0 resets the processor. Nothing is ever
 * pending, so software that waits for its buffers goes on at once.
 */
#ifndef CHIPS_I8042_H
#define CHIPS_I8042_H

#include "base/types.h"

#define I8042_DATA    0x60
#define I8042_COMMAND 0x64

u8 i8042_read(u16 port);
/* True: this write resets the machine. */
bool i8042_write(u16 port, u8 value);

#endif
