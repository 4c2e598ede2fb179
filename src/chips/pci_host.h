/* SPDX-License-Identifier: MIT */
/*
 * PCI configuration mechanism #1 with nothing on bus 0 but the host bridge. Kernels that find no mechanism at all call
 * it a fatal error; with an empty bus they are content. A pure model.
 */
#ifndef CHIPS_PCI_HOST_H
#define CHIPS_PCI_HOST_H

#include "base/types.h"

struct pci_host {
	u32 address; /* what was last written to 0xcf8 */
};

/* Port 0xcf8, four bytes only: other sizes are other devices'. */
u32 pci_host_address(const struct pci_host *p);
void pci_host_set_address(struct pci_host *p, u32 value);
/* Ports 0xcfc to 0xcff: `offset` 0 to 3. Writes have no effect and need no function. */
u32 pci_host_data(const struct pci_host *p, unsigned offset);

#endif
