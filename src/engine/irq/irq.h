/* SPDX-License-Identifier: MIT */
/*
 * The interrupt fabric as the rest of the engine sees it. fabric.h is what the files of irq/ share.
 *
 * What takes a vcpu is called on the vcpu's own thread, in outer code.
 */
#ifndef ENGINE_IRQ_IRQ_H
#define ENGINE_IRQ_IRQ_H

#include "engine/core/machine.h"
#include "engine/core/vcpu.h"

/* Synthetic interrupt sources (SINTs) of Hyper-V's SynIC: their owner. machine.sint_ops is set before the first vcpu. */
struct sint_ops {
	/* Raise one. 1: it was not pending, 0: it was; < 0: it is masked, or there is none. Any thread. */
	int (*raise)(struct machine *m, u32 vp_index, u32 sint);
	/* The guest has ended the interrupt of a vector of vcpu.sints. */
	void (*ended)(struct vcpu *v, u8 vector);
};

int irq_create(struct machine *m);
void irq_destroy(struct machine *m);
/*
 * Highest vector that may be delivered now (ignoring IF), or -1. IRQ_EXTINT: the PIC has one, whose
 * vector only irq_accept() finds out.
 */
#define IRQ_EXTINT 256
int irq_pending(struct vcpu *v);
/* Take it: IRR to ISR, or the PIC's INTA cycle. Returns the vector, or -1 if it went away. */
int irq_accept(struct vcpu *v);
/* The guest has taken the message or interrupt of a SINT: tell the irqfds of GSIs that are routed to it. */
void irq_ack_sint(struct machine *m, u32 vp_index, u32 sint);
/* IOAPIC page; PIC, ELCR, PIT, port 61h; ioeventfds. True if consumed. */
bool irq_mmio(struct machine *m, u64 gpa, unsigned len, void *data, bool write);
bool irq_pio(struct machine *m, u16 port, unsigned size, void *data, bool write);
bool ioevent_write(struct machine *m, bool pio, u64 addr, unsigned len, const void *data);
/* Vector of a level-triggered EOI to tell user space about (split irqchip), or -1. */
int irq_take_eoi_exit(struct vcpu *v);

#endif
