/* SPDX-License-Identifier: MIT */
/* The keyboard controller without a keyboard: by it, too, software resets the machine. */
#ifndef BOOT_DEV_KBD_H
#define BOOT_DEV_KBD_H

#include "boot/dev/bus.h"

int kbd_attach(struct bus *bus, struct failure *f);

#endif
