/* SPDX-License-Identifier: MIT */
/*
 * The devices that this PC has besides the engine's interrupt controllers and timer. Each is a file of its own, with
 * its own lock and state; this is the list of them.
 */
#ifndef BOOT_DEV_DEVICES_H
#define BOOT_DEV_DEVICES_H

#include "boot/dev/bus.h"
#include "boot/dev/pci.h"
#include "boot/dev/pm.h"
#include "boot/dev/rtc.h"

struct devices {
	struct rtc_device rtc;
	struct pm_device pm;
	struct pci_config pci;
};

/* Puts them all on the bus. */
int devices_attach(struct devices *d, struct bus *bus, struct failure *f);

#endif
