/* SPDX-License-Identifier: MIT */
/* PCI's configuration mechanism #1 (PCI 3.0, 3.2.2.3.2): the address at port 0xcf8, the data at 0xcfc. */
#ifndef BOOT_DEV_PCI_H
#define BOOT_DEV_PCI_H

#include <pthread.h>

#include "boot/dev/bus.h"
#include "chips/pci_host.h"

struct pci_config {
	pthread_mutex_t lock;
	struct pci_host chip;
};

int pci_attach(struct pci_config *d, struct bus *bus, struct failure *f);

#endif
