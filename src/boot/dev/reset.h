/* SPDX-License-Identifier: MIT */
/* The PIIX's reset control register at port 0xcf9, in the middle of PCI's address register. */
#ifndef BOOT_DEV_RESET_H
#define BOOT_DEV_RESET_H

#include "boot/dev/bus.h"

int reset_attach(struct bus *bus, struct failure *f);

#endif
