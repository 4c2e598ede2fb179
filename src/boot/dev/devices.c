/* SPDX-License-Identifier: MIT */
/* One line for each device. */
#include "boot/dev/devices.h"
#include "boot/dev/kbd.h"
#include "boot/dev/reset.h"

int devices_attach(struct devices *d, struct bus *bus, struct failure *f)
{
	int r = rtc_attach(&d->rtc, bus, f);

	if (r == 0)
		r = kbd_attach(bus, f);
	if (r == 0)
		r = pm_attach(&d->pm, bus, f);
	if (r == 0)
		r = reset_attach(bus, f);
	if (r == 0)
		r = pci_attach(&d->pci, bus, f);
	return r;
}
