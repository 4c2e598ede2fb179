/* SPDX-License-Identifier: MIT */
/*
 * The pair of 8259A interrupt controllers of a PC, with the ELCR of later chip sets.
 *
 * A pure model: no locks, no clock. The owner serialises calls and gets told through two
 * callbacks: set_output when the INT line of the master changes, ack when an in-service bit is
 * cleared. The only call back into the model that ack may make is to lower a line.
 */
#ifndef CHIPS_PIC_H
#define CHIPS_PIC_H

#include "base/types.h"

/* One chip. priority_add is the input that has the highest priority at the moment. */
struct pic_state {
	u8 last_irr, irr, imr, isr, priority_add, irq_base, read_reg_select, poll, special_mask,
		init_state, auto_eoi, rotate_on_auto_eoi, special_fully_nested_mode, init4, elcr,
		elcr_mask;
};

struct pic {
	struct pic_state chip[2]; /* master, slave */
	bool output;
	void (*set_output)(void *opaque, bool level);
	void (*ack)(void *opaque, unsigned irq); /* 0-15 */
	void *opaque;
};

/* Callbacks are set by the caller before; may be NULL. */
void pic_reset(struct pic *p);
/* > 0 the request was latched (or the line went down), 0 it was latched already, -1 it is masked. */
int pic_set_irq(struct pic *p, unsigned irq, bool level);
/* The processor's INTA cycle; a spurious vector if the request went away. */
u8 pic_intack(struct pic *p);
/* 20h, 21h, a0h, a1h, 4d0h, 4d1h; false: not this chip's. */
bool pic_read(struct pic *p, u16 port, u8 *ret);
bool pic_write(struct pic *p, u16 port, u8 value);
void pic_set_state(struct pic *p, unsigned which, const struct pic_state *s);

#endif
