/* SPDX-License-Identifier: MIT */
/*
 * The interrupt fabric of a machine: what the files of irq/ share.
 *
 * Locks, in the order in which they may be taken: config_lock (irqfd and ioeventfd changes), lock
 * (chips, lines, routing), map_lock (list of LAPICs and destination map; readers deliver). A LAPIC
 * itself needs none: other threads touch only its request bits, which are atomic; the rest belongs
 * to the vcpu's thread.
 */
#ifndef ENGINE_IRQ_FABRIC_H
#define ENGINE_IRQ_FABRIC_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/core/machine.h"
#include "engine/irqchip.h"
#include "engine/time/timer.h"
#include "engine/core/vcpu.h"

struct apic_map;
struct irqfd;
struct ioevents;
struct routing;

/* Who drives a line; it is up while anybody does. */
#define LINE_USER     BIT(0)
#define LINE_PIT      BIT(1)
#define LINE_RESAMPLE BIT(2)

enum chip { CHIP_PIC_MASTER, CHIP_PIC_SLAVE, CHIP_IOAPIC, CHIP_COUNT };

struct pit_wire {
	bool present, speaker, reinject;
	struct pit chip;
	struct timer timer;
	struct irq *irq;
	u64 edges;       /* of OUT0, already turned into requests */
	u32 missed;      /* requests that the guest was too slow for */
	u64 catch_up_at; /* when the next missed one may be sent, 0 not before the next EOI */
};

struct irq {
	struct machine *machine;
	_Atomic enum irqchip_mode mode; /* set once, when everything that it stands for is there */
	pthread_mutex_t lock;
	struct pic pic;
	struct ioapic ioapic;
	struct pit_wire pit;
	struct routing *routing;
	u8 lines[IRQ_GSI_MAX]; /* LINE_*, by GSI */
	_Atomic bool pic_output;
	_Atomic u32 eoi_watch[8]; /* vectors whose EOI matters even if they are edge-triggered */
	_Atomic u32 eoi_exits[8]; /* split: vectors of level-triggered routes */

	pthread_rwlock_t map_lock;
	struct lapic *lapics[MACHINE_MAX_VCPUS];
	unsigned lapic_count;
	struct apic_map *map;
	_Atomic bool map_stale;
	_Atomic u32 arbitration;
	bool ids32, no_broadcast_quirk;
	u32 apic_bus_ns;

	pthread_mutex_t config_lock;
	struct irqfd *irqfds; /* changed under config_lock and lock */
	pthread_rwlock_t ioevent_lock;
	struct ioevents *ioevents;
	_Atomic u64 ioevent_filter; /* bit hash(addr) is set if there may be an entry */
};

static inline bool vector_set(const _Atomic u32 *set, u8 vector)
{
	return atomic_load_explicit(&set[vector >> 5], memory_order_relaxed) & BIT(vector & 31);
}

/* ---- irq.c ---- */

/* A LAPIC got an EOI for a vector that the IOAPIC may have sent. */
void irq_eoi(struct irq *irq, u8 vector);
/* Recompute eoi_watch; lock held. */
void irq_update_eoi_watch(struct irq *irq);

/* ---- route.c; lock held ---- */

#define LINE_MASKED   (-1)
#define LINE_UNROUTED (-2)
/* Change what one source drives. > 0 delivered, 0 coalesced, LINE_*. */
int line_set(struct irq *irq, u32 gsi, u8 source, bool level);
int line_pulse(struct irq *irq, u32 gsi, u8 source);
struct routing *routing_default(void); /* of IRQCHIP_FULL; NULL without memory */
/* GSI that is routed to a pin, or -1. */
int routing_gsi_of(const struct irq *irq, enum chip chip, unsigned pin);
/* IOAPIC pin that a GSI is routed to, or -1. */
int routing_ioapic_pin(const struct irq *irq, u32 gsi);
/* Is this the vector of the message that gsi leads to? */
bool routing_sends(const struct irq *irq, u32 gsi, u8 vector);

/* ---- msi.c: messages to LAPICs ---- */

enum apic_delivery {
	DELIVER_FIXED,
	DELIVER_LOWEST,
	DELIVER_SMI,
	DELIVER_REMOTE_READ,
	DELIVER_NMI,
	DELIVER_INIT,
	DELIVER_SIPI,
	DELIVER_EXTINT,
};
enum apic_shorthand { TO_DEST, TO_SELF, TO_ALL, TO_OTHERS };

struct apic_msg {
	u32 dest;
	u8 vector, delivery, shorthand;
	bool logical, level_triggered, redirect;
	struct lapic *source; /* NULL: a device */
};
/* How many took it; -1 if it reached no APIC. *fresh: at least one did not have it pending already. */
int apic_deliver(struct irq *irq, const struct apic_msg *msg, bool *fresh);
int msi_decode(const struct irq *irq, const struct msi *msi, struct apic_msg *ret);
int ioapic_entry_deliver(void *opaque, u64 entry);
void apic_map_stale(struct irq *irq);
void apic_map_free(struct irq *irq);

/* ---- pit_wire.c; lock held ---- */

void pit_acked(struct irq *irq);
bool pit_pio(struct irq *irq, u16 port, u8 *value, bool write);
void pit_wire_create(struct irq *irq, bool speaker);

/* ---- irqfd.c, ioevent.c ---- */

void irqfd_ack(struct irq *irq, u32 gsi);             /* lock held */
bool irqfd_wants_ack(const struct irq *irq, u32 gsi); /* lock held */
/* Of a partition: the guest has ended what such a message began. Does somebody resample it? */
bool irqfd_ack_vector(struct irq *irq, u8 vector);

/* ---- eventfd.c ---- */

/* Two descriptors of one eventfd give the same number. */
u64 eventfd_identity(int fd);
bool eventfd_consume(int fd); /* false: there was nothing */

#endif
