/* SPDX-License-Identifier: MIT */
/* The serial port between a guest's driver and whoever types: what is kept, what is lost, who is told what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "boot/dev/serial.h"
#include "boot/core/layout.h"

#define DATA   PORT_COM1
#define IER    (PORT_COM1 + 1)
#define FCR    (PORT_COM1 + 2)
#define MCR    (PORT_COM1 + 4)
#define STATUS (PORT_COM1 + 5)

#define FIFO_ON    1
#define FIFO_CLEAR 7
#define RX_IRQ     1
#define OUT2       8 /* lets the interrupt through */

/* The other end of the line, and the interrupt controllers. */
struct peer {
	struct bus bus;
	struct serial *port;
	char sent[16];
	unsigned n_sent, taken, room;
	bool level;
};

static void on_transmit(void *opaque, u8 byte)
{
	struct peer *p = opaque;

	p->sent[p->n_sent++] = (char)byte;
}

static void on_taken(void *opaque)
{
	((struct peer *)opaque)->taken++;
}

static void on_room(void *opaque)
{
	((struct peer *)opaque)->room++;
}

static void on_irq(void *opaque, unsigned irq, bool level)
{
	assert_int_equal(irq, IRQ_COM1);
	((struct peer *)opaque)->level = level;
}

static const struct serial_ops peer_ops = {
	.transmit = on_transmit, .taken = on_taken, .room = on_room};

static void open_port(struct peer *p, bool hold)
{
	struct failure f;

	*p = (struct peer){.port = NULL};
	bus_init(&p->bus, on_irq, p);
	assert_int_equal(serial_create(&p->port, &p->bus, &peer_ops, p, hold, &f), 0);
}

static void type(struct peer *p, const char *text)
{
	serial_type(p->port, (const u8 *)text, strlen(text));
}

static void out(struct peer *p, u16 port, u8 value)
{
	assert_int_equal(bus_write(&p->bus, BUS_PORTS, port, 1, value), BUS_NOTHING);
}

static u8 in(struct peer *p, u16 port)
{
	return (u8)bus_read(&p->bus, BUS_PORTS, port, 1);
}

static bool has_data(struct peer *p)
{
	return in(p, STATUS) & 1;
}

/* What a driver does that takes interrupts. */
static void listen(struct peer *p)
{
	out(p, FCR, FIFO_ON);
	out(p, MCR, OUT2);
	out(p, IER, RX_IRQ);
}

static void transmits(void **state)
{
	struct peer p;

	open_port(&p, false);
	out(&p, DATA, 'a');
	bus_write(&p.bus, BUS_PORTS, DATA, 4, 0x11223362); /* of wider accesses the low byte */
	assert_int_equal(p.n_sent, 2);
	assert_memory_equal(p.sent, "ab", 2);
	assert_int_equal(bus_read(&p.bus, BUS_PORTS, STATUS, 2), 0x60);
	serial_destroy(p.port);
}

static void typing_interrupts(void **state)
{
	struct peer p;

	open_port(&p, false);
	listen(&p);
	assert_false(p.level);
	type(&p, "xy");
	assert_true(p.level);
	assert_int_equal(p.taken, 1);
	assert_false(serial_idle(p.port));
	assert_int_equal(in(&p, DATA), 'x');
	assert_int_equal(in(&p, DATA), 'y');
	assert_false(p.level);
	assert_true(serial_idle(p.port));
	serial_destroy(p.port);
}

/* More than the chip holds comes in order, without a loss. */
static void longer_than_the_fifo(void **state)
{
	static const char text[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	struct peer p;

	open_port(&p, false);
	listen(&p);
	type(&p, text);
	for (size_t i = 0; i + 1 < sizeof(text); i++) {
		assert_true(has_data(&p));
		assert_int_equal(in(&p, DATA), text[i]);
	}
	assert_false(has_data(&p));
	serial_destroy(p.port);
}

/* What was there before the guest waits for a driver, and outlives the driver's clearing of the FIFO. */
static void held_for_a_driver(void **state)
{
	struct peer p;

	open_port(&p, true);
	out(&p, FCR, FIFO_ON);
	type(&p, "ls");
	assert_false(has_data(&p));
	assert_false(serial_idle(p.port));
	assert_int_equal(p.taken, 0);
	listen(&p);
	assert_true(has_data(&p));
	out(&p, FCR, FIFO_CLEAR);
	assert_int_equal(in(&p, DATA), 'l');
	assert_int_equal(in(&p, DATA), 's');
	assert_false(has_data(&p));
	assert_true(serial_idle(p.port));
	serial_destroy(p.port);
}

/* A person's typing goes to the chip at once, and is lost when a driver clears it. */
static void not_held(void **state)
{
	struct peer p;

	open_port(&p, false);
	out(&p, FCR, FIFO_ON);
	type(&p, "ls");
	assert_int_equal(p.taken, 1);
	assert_true(has_data(&p));
	out(&p, FCR, FIFO_CLEAR);
	assert_false(has_data(&p));
	serial_destroy(p.port);
}

/* Full is full; whoever waits for room is told once, when there is some. */
static void room(void **state)
{
	const size_t chunk = 64 << 10;
	char *text = calloc(1, chunk);
	struct peer p;
	size_t before;

	open_port(&p, false);
	listen(&p);
	while ((before = serial_room(p.port)) > 0) {
		serial_type(p.port, (const u8 *)text, chunk);
		assert_true(serial_room(p.port) < before);
	}
	assert_int_equal(p.room, 0);
	for (int i = 0; i < 16; i++)
		in(&p, DATA);
	assert_int_equal(p.room, 1);
	assert_true(serial_room(p.port) > 0);
	free(text);
	serial_destroy(p.port);
}

static void taken_ports_are_refused(void **state)
{
	struct peer p;
	struct serial *second = NULL;
	struct failure f = {""};

	open_port(&p, false);
	assert_int_equal(serial_create(&second, &p.bus, &peer_ops, &p, false, &f), -1);
	assert_null(second);
	assert_non_null(strstr(f.text, "0x3f8 to 0x3ff"));
	serial_destroy(p.port);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(transmits),
		cmocka_unit_test(typing_interrupts),
		cmocka_unit_test(longer_than_the_fifo),
		cmocka_unit_test(held_for_a_driver),
		cmocka_unit_test(not_held),
		cmocka_unit_test(room),
		cmocka_unit_test(taken_ports_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
