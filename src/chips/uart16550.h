/* SPDX-License-Identifier: MIT */
/*
 * National PC16550D UART as software sees it. A pure model: no clock, so a byte leaves the moment it is written and
 * the receive time-out interrupt comes with the byte; no threads, the owner serialises calls.
 */
#ifndef CHIPS_UART16550_H
#define CHIPS_UART16550_H

#include "base/types.h"

#define UART_FIFO_SIZE 16

struct uart16550_ops {
	void (*set_irq)(void *opaque, bool level); /* called on changes only */
	void (*transmit)(void *opaque, u8 byte);
};

struct uart16550 {
	const struct uart16550_ops *ops;
	void *opaque;
	u8 ier, lcr, mcr, msr_delta, scratch, fcr;
	u16 divisor;
	u8 rx[UART_FIFO_SIZE];
	u8 rx_first, rx_count;
	bool overrun;
	bool tx_empty_event; /* "transmitter empty" not yet seen through IIR */
	bool irq;
	u8 polls; /* reads of the line status in a row */
};

void uart16550_init(struct uart16550 *u, const struct uart16550_ops *ops, void *opaque);
/* `reg` is the offset from the base port, 0 to 7. */
u8 uart16550_read(struct uart16550 *u, unsigned reg);
void uart16550_write(struct uart16550 *u, unsigned reg, u8 value);
/* How many bytes can be received now, and receiving one (an overrun when there is no room). */
unsigned uart16550_room(const struct uart16550 *u);
void uart16550_receive(struct uart16550 *u, u8 byte);
/* Does software look for what comes in: by interrupt, or by reading the line status over and over? */
bool uart16550_listens(const struct uart16550 *u);

#endif
