/* SPDX-License-Identifier: MIT */
/* PCI Local Bus Specification 3.0, 3.2.2.3.2 (mechanism) and 6.1 (configuration header). */
#include "chips/pci_host.h"

#define ENABLE       BIT(31)
#define DEVICE_MASK  0x00ffff00u /* bus, device and function */
#define ID_440FX     0x12378086u
#define CLASS_BRIDGE 0x06000000u

u32 pci_host_address(const struct pci_host *p)
{
	return p->address;
}

/* Reserved bits and the two low ones read as zero. */
void pci_host_set_address(struct pci_host *p, u32 value)
{
	p->address = value & (ENABLE | DEVICE_MASK | 0xfc);
}

u32 pci_host_data(const struct pci_host *p, unsigned offset)
{
	u32 value = 0;

	if (!(p->address & ENABLE) || (p->address & DEVICE_MASK))
		return 0xffffffff;
	switch (p->address & 0xfc) {
	case 0x00: value = ID_440FX; break;
	case 0x08: value = CLASS_BRIDGE; break;
	default: break;
	}
	return value >> offset * 8;
}
