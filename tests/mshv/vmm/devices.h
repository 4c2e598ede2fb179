/* SPDX-License-Identifier: MIT */
/*
 * What the machine has beside its processors and the IOAPIC: boot's clock, PCI configuration, keyboard controller and
 * reset port, and of its own the port that switches off, the PM timer, the diagnostics port 80h and a serial port.
 *
 * What the guest sends goes to standard output at once.
 */
#ifndef TESTS_MSHV_VMM_DEVICES_H
#define TESTS_MSHV_VMM_DEVICES_H

#include <pthread.h>

#include "boot/dev/bus.h"
#include "boot/dev/pci.h"
#include "boot/dev/rtc.h"
#include "chips/uart16550.h"

#define TYPED_MAX 4096

struct devices {
	struct bus *bus;
	struct rtc_device rtc;
	struct pci_config pci;
	pthread_mutex_t lock; /* of everything below */
	u64 timer_base;       /* host ns at which the PM timer was 0 */
	u64 timer_stopped;    /* host ns at which it was stopped, or 0 */
	u8 diagnostics;       /* what was last written to port 80h */
	struct uart16550 uart;
	u8 typed[TYPED_MAX]; /* and not yet taken by the chip */
	unsigned typed_count;
};

int devices_init(struct devices *d, struct bus *bus, struct failure *f);
/* What finds no room is lost. */
void devices_type(struct devices *d, const u8 *from, size_t n);
/* The PM timer stands still while the machine does. */
void devices_stop_clock(struct devices *d);
void devices_start_clock(struct devices *d);

/* All of it that has a state. The clock is stopped. */
struct devices_state {
	u64 timer; /* ns */
	struct rtc rtc;
	struct pci_host pci;
	struct uart16550 uart;
	u8 diagnostics;
};
void devices_get_state(struct devices *d, struct devices_state *ret);
void devices_set_state(struct devices *d, const struct devices_state *s);

#endif
