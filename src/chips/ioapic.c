/* SPDX-License-Identifier: MIT */
/*
 * I/O APIC, after the 82093AA data sheet. Where it leaves room we do what a Linux KVM does,
 * because guests are tested with that: polarity is ignored (a line is up or down), irr follows
 * the line for both trigger modes, and an edge that came while masked is not sent later.
 */
#include "chips/ioapic.h"

#define REG_SELECT 0x00
#define REG_WINDOW 0x10

static int service(struct ioapic *io, unsigned pin)
{
	u64 entry = io->s.redirtbl[pin];
	int ret;

	if (entry & RTE_MASKED || (entry & RTE_LEVEL && entry & RTE_REMOTE_IRR))
		return -1;
	ret = io->deliver(io->opaque, entry);
	if (entry & RTE_LEVEL) {
		if (ret >= 0)
			io->s.redirtbl[pin] |= RTE_REMOTE_IRR;
	} else {
		io->delivered |= BIT(pin);
	}
	return ret;
}

int ioapic_set_irq(struct ioapic *io, unsigned pin, bool level)
{
	bool was_up = io->s.irr & BIT(pin);

	if (!level) {
		io->s.irr &= ~BIT(pin);
		io->delivered &= ~BIT(pin);
		return 1;
	}
	io->s.irr |= BIT(pin);
	if (!(io->s.redirtbl[pin] & RTE_LEVEL)) {
		if (was_up)
			return 0;
		io->delivered &= ~BIT(pin);
	}
	return service(io, pin);
}

u32 ioapic_read(struct ioapic *io, u32 offset)
{
	u32 reg = io->s.ioregsel & 0xff, pin = (reg - 0x10) >> 1;

	if (offset == REG_SELECT)
		return io->s.ioregsel;
	if (offset != REG_WINDOW)
		return 0;
	switch (reg) {
	case 0:                                /* id */
	case 2: return (io->s.id & 0xf) << 24; /* arbitration id */
	case 1: return IOAPIC_VERSION;
	default: break;
	}
	if (reg < 0x10 || pin >= IOAPIC_PINS)
		return 0;
	return io->s.redirtbl[pin] >> (reg & 1 ? 32 : 0);
}

static void write_entry(struct ioapic *io, unsigned pin, bool high, u32 value)
{
	u64 ro = RTE_REMOTE_IRR | RTE_STATUS, old = io->s.redirtbl[pin], entry;

	if (high)
		entry = (old & 0xffffffff) | (u64)value << 32;
	else
		entry = (old & ~0xffffffffull) | (value & ~(u32)ro & 0x1ffff) | (old & ro);
	/* Changing to edge drops a remote IRR that would otherwise stay for ever (3.2.4, bit 14). */
	if (!(entry & RTE_LEVEL))
		entry &= ~RTE_REMOTE_IRR;
	io->s.redirtbl[pin] = entry;
	if (entry & RTE_LEVEL && io->s.irr & BIT(pin))
		service(io, pin);
}

void ioapic_write(struct ioapic *io, u32 offset, u32 value)
{
	u32 reg = io->s.ioregsel & 0xff, pin = (reg - 0x10) >> 1;

	if (offset == REG_SELECT)
		io->s.ioregsel = value & 0xff;
	if (offset != REG_WINDOW)
		return;
	if (reg == 0)
		io->s.id = value >> 24 & 0xf;
	else if (reg >= 0x10 && pin < IOAPIC_PINS)
		write_entry(io, pin, reg & 1, value);
}

static bool pin_matches(const struct ioapic *io, unsigned pin, u8 vector)
{
	return RTE_VECTOR(io->s.redirtbl[pin]) == vector;
}

void ioapic_eoi(struct ioapic *io, u8 vector)
{
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		u64 *entry = &io->s.redirtbl[pin];

		if (!pin_matches(io, pin, vector))
			continue;
		if (io->ack)
			io->ack(io->opaque, pin);
		if (!(*entry & RTE_LEVEL))
			continue;
		*entry &= ~RTE_REMOTE_IRR;
		if (io->s.irr & BIT(pin))
			service(io, pin);
	}
}

void ioapic_reset(struct ioapic *io)
{
	io->s = (struct ioapic_state){.base_address = IOAPIC_BASE};
	io->delivered = 0;
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
		io->s.redirtbl[pin] = RTE_MASKED;
}

/* Edges that have been sent are not reported, so that a restored machine does not send them twice. */
void ioapic_get_state(const struct ioapic *io, struct ioapic_state *ret)
{
	*ret = io->s;
	ret->irr &= ~io->delivered;
}

void ioapic_set_state(struct ioapic *io, const struct ioapic_state *s)
{
	io->s = *s;
	io->s.irr = 0;
	io->delivered = 0;
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
		if (s->irr & BIT(pin))
			ioapic_set_irq(io, pin, true);
}
