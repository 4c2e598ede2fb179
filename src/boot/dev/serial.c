/* SPDX-License-Identifier: MIT */
/* COM1: a ring of typed bytes in front of a 16550. One lock guards both. */
#include <pthread.h>
#include <stdlib.h>

#include "boot/dev/serial.h"
#include "boot/core/layout.h"
#include "chips/uart16550.h"

#define TYPED_SIZE (1u << 20) /* more than anyone pastes; pages that are not touched cost nothing */
#define TYPED_MAX  (TYPED_SIZE - UART_FIFO_SIZE) /* what the chip holds may come back */

struct serial {
	const struct serial_ops *ops;
	void *opaque;
	struct bus *bus;
	bool hold;
	pthread_mutex_t lock; /* of everything below */
	struct uart16550 uart;
	u8 typed[TYPED_SIZE]; /* not yet taken by the chip */
	unsigned typed_first, typed_count;
	unsigned in_chip; /* typed before these, and not read from the chip yet */
};

/* A driver would clear the chip's FIFO first. */
static bool held_back(const struct serial *s)
{
	return s->hold && !uart16550_listens(&s->uart);
}

/* As much as the chip has room for. */
static void feed_chip(struct serial *s)
{
	unsigned room = uart16550_room(&s->uart);

	if (!room || !s->typed_count || held_back(s))
		return;
	for (; room && s->typed_count; room--, s->typed_count--, s->in_chip++) {
		uart16550_receive(&s->uart, s->typed[s->typed_first]);
		s->typed_first = (s->typed_first + 1) % TYPED_SIZE;
	}
	s->ops->taken(s->opaque);
}

/* After each access: drivers clear the FIFO once more after they have begun to listen. */
static void take_back(struct serial *s, bool written)
{
	const unsigned held = s->uart.rx_count;
	unsigned lost;

	if (likely(held >= s->in_chip))
		return;
	lost = s->in_chip - held;
	s->in_chip = held;
	if (!s->hold || !written)
		return;
	s->typed_first = (s->typed_first + TYPED_SIZE - lost) % TYPED_SIZE;
	s->typed_count += lost;
}

/* ---- The line --------------------------------------------------------------------------------------- */

static void type(struct serial *s, u8 byte)
{
	if (s->typed_count < TYPED_MAX)
		s->typed[(s->typed_first + s->typed_count++) % TYPED_SIZE] = byte;
}

void serial_type(struct serial *s, const u8 *from, size_t n)
{
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < n; i++)
		type(s, from[i]);
	feed_chip(s);
	pthread_mutex_unlock(&s->lock);
}

size_t serial_room(struct serial *s)
{
	size_t room;

	pthread_mutex_lock(&s->lock);
	room = s->typed_count < TYPED_MAX ? TYPED_MAX - s->typed_count : 0;
	pthread_mutex_unlock(&s->lock);
	return room;
}

bool serial_idle(struct serial *s)
{
	bool idle;

	pthread_mutex_lock(&s->lock);
	idle = !s->typed_count && !held_back(s) && !s->uart.rx_count;
	pthread_mutex_unlock(&s->lock);
	return idle;
}

/* ---- The chip --------------------------------------------------------------------------------------- */

static void uart_irq(void *opaque, bool level)
{
	struct serial *s = opaque;

	bus_irq(s->bus, IRQ_COM1, level);
}

static void uart_transmit(void *opaque, u8 byte)
{
	struct serial *s = opaque;

	s->ops->transmit(s->opaque, byte);
}

static const struct uart16550_ops uart_ops = {.set_irq = uart_irq, .transmit = uart_transmit};

static u64 on_read(void *opaque, u64 offset, unsigned size)
{
	struct serial *s = opaque;
	bool full;
	u8 value;

	pthread_mutex_lock(&s->lock);
	full = s->typed_count >= TYPED_MAX;
	value = uart16550_read(&s->uart, (unsigned)offset);
	take_back(s, false);
	feed_chip(s);
	full = full && s->typed_count < TYPED_MAX;
	pthread_mutex_unlock(&s->lock);
	if (full)
		s->ops->room(s->opaque);
	return value;
}

static enum bus_event on_write(void *opaque, u64 offset, unsigned size, u64 value)
{
	struct serial *s = opaque;

	pthread_mutex_lock(&s->lock);
	uart16550_write(&s->uart, (unsigned)offset, (u8)value);
	take_back(s, true);
	feed_chip(s);
	pthread_mutex_unlock(&s->lock);
	return BUS_NOTHING;
}

static const struct bus_ops bus_ops = {.read = on_read, .write = on_write};

int serial_create(struct serial **ret, struct bus *bus, const struct serial_ops *ops, void *opaque,
	bool hold, struct failure *f)
{
	struct serial *s = calloc(1, sizeof(*s));
	const struct bus_range range = {"serial", PORT_COM1, PORT_COM1 + 7, &bus_ops, s};

	if (!s)
		return failure_set(
			f, "there is no memory left on this machine: end other programs");
	s->ops = ops;
	s->opaque = opaque;
	s->bus = bus;
	s->hold = hold;
	pthread_mutex_init(&s->lock, NULL);
	uart16550_init(&s->uart, &uart_ops, s);
	if (bus_attach(bus, BUS_PORTS, &range, f) < 0) {
		free(s);
		return -1;
	}
	*ret = s;
	return 0;
}

void serial_destroy(struct serial *s)
{
	free(s);
}
