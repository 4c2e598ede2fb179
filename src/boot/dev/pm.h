/* SPDX-License-Identifier: MIT */
/* ACPI's fixed hardware (ACPI 6.3, 4.8.3): the PM1 event and control registers, by which the guest powers off. */
#ifndef BOOT_DEV_PM_H
#define BOOT_DEV_PM_H

#include <pthread.h>

#include "boot/dev/bus.h"

struct pm_device {
	pthread_mutex_t lock;
	u16 enable, control;
};

int pm_attach(struct pm_device *d, struct bus *bus, struct failure *f);

#endif
