/* SPDX-License-Identifier: MIT */
/*
 * An IOAPIC in user space: each pin is a gsi with a message as its route and an irqfd that raises it. Pins that are
 * masked have no route.
 */
#ifndef TESTS_MSHV_VMM_INTR_H
#define TESTS_MSHV_VMM_INTR_H

#include <pthread.h>

#include "boot/dev/bus.h"
#include "chips/ioapic.h"

struct intr {
	pthread_mutex_t lock;
	struct ioapic chip;
	int partition;
	int fd[IOAPIC_PINS];
	u64 routed[IOAPIC_PINS]; /* the entries that the routes were made from */
	unsigned eois;           /* of level-triggered interrupts, so far */
};

/* Makes the eventfds. */
int intr_init(struct intr *i, int partition);
/* Attaches them; 0 or -errno. */
long intr_connect(struct intr *i);
int intr_attach(struct intr *i, struct bus *bus, struct failure *f);
void intr_set_line(struct intr *i, unsigned pin, bool level);
/* A processor ended a level-triggered interrupt. */
void intr_eoi(struct intr *i, u8 vector);
void intr_get_state(struct intr *i, struct ioapic_state *ret);
void intr_set_state(struct intr *i, const struct ioapic_state *s);

#endif
