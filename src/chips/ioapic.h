/* SPDX-License-Identifier: MIT */
/*
 * 82093AA I/O APIC with 24 inputs. A pure model: the owner serialises calls. Messages leave
 * through deliver, which must not call back; ack may lower lines, nothing else.
 */
#ifndef CHIPS_IOAPIC_H
#define CHIPS_IOAPIC_H

#include "base/types.h"

#define IOAPIC_PINS    24
#define IOAPIC_BASE    0xfec00000ull
#define IOAPIC_WINDOW  0x100
#define IOAPIC_VERSION (0x11 | (IOAPIC_PINS - 1) << 16)

/* Redirection table entry, 82093AA 3.2.4 */
#define RTE_VECTOR(e)   ((u8)(e))
#define RTE_DELIVERY(e) ((unsigned)((e) >> 8) & 7)
#define RTE_LOGICAL     BIT64(11)
#define RTE_STATUS      BIT64(12)
#define RTE_POLARITY    BIT64(13)
#define RTE_REMOTE_IRR  BIT64(14)
#define RTE_LEVEL       BIT64(15)
#define RTE_MASKED      BIT64(16)
#define RTE_DEST(e)     ((u8)((e) >> 56))

struct ioapic_state {
	u64 base_address;
	u32 ioregsel, id, irr;
	u64 redirtbl[IOAPIC_PINS];
};

struct ioapic {
	struct ioapic_state s; /* s.irr: state of the input lines */
	u32 delivered;         /* edges in irr that have been sent */
	/* Send what the entry says: > 0 accepted, 0 accepted but already pending, -1 nobody took it. */
	int (*deliver)(void *opaque, u64 entry);
	void (*ack)(
		void *opaque, unsigned pin); /* the vector of this pin got its EOI; may be NULL */
	void *opaque;
};

void ioapic_reset(struct ioapic *io);
/* > 0 delivered (or the line went down), 0 coalesced, -1 masked or waiting for EOI. */
int ioapic_set_irq(struct ioapic *io, unsigned pin, bool level);
u32 ioapic_read(struct ioapic *io, u32 offset);
void ioapic_write(struct ioapic *io, u32 offset, u32 value);
/* EOI broadcast: ack for each pin with this vector; level lines that are still up after that are sent again. */
void ioapic_eoi(struct ioapic *io, u8 vector);
void ioapic_get_state(const struct ioapic *io, struct ioapic_state *ret);
void ioapic_set_state(struct ioapic *io, const struct ioapic_state *s);

#endif
