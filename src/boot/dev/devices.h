/* SPDX-License-Identifier: MIT */
/*
 * What answers at which port. One table says it all; ports that are not in it read as all ones and ignore writes.
 * Interrupt controllers and timer are the engine's.
 */
#ifndef BOOT_DEV_DEVICES_H
#define BOOT_DEV_DEVICES_H

#include <pthread.h>

#include "base/types.h"
#include "boot/console.h"
#include "chips/pci_host.h"
#include "chips/rtc.h"

struct devices {
	struct console *console;
	pthread_mutex_t lock; /* of everything below */
	struct rtc rtc;
	struct pci_host pci;
	u16 pm_enable, pm_control;
};

/* What a write makes of the machine. */
enum device_event { DEVICE_NONE, DEVICE_POWER_OFF, DEVICE_RESET };

void devices_init(struct devices *d, struct console *console);
/* `size` is 1, 2 or 4 bytes. */
u32 devices_in(struct devices *d, u16 port, unsigned size);
enum device_event devices_out(struct devices *d, u16 port, unsigned size, u32 value);

#endif
