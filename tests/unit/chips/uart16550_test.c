/* SPDX-License-Identifier: MIT */
/* The UART as drivers probe and use it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "chips/uart16550.h"

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR, FCR = IIR };

struct wire {
	struct uart16550 uart;
	u8 sent[64];
	unsigned nr_sent;
	bool irq;
	unsigned irq_changes;
};

static void on_irq(void *opaque, bool level)
{
	struct wire *w = opaque;

	assert_int_not_equal(w->irq, level); /* told of changes only */
	w->irq = level;
	w->irq_changes++;
}

static void on_transmit(void *opaque, u8 byte)
{
	struct wire *w = opaque;

	w->sent[w->nr_sent++] = byte;
}

static const struct uart16550_ops ops = {.set_irq = on_irq, .transmit = on_transmit};

static struct wire *fresh(struct wire *w)
{
	*w = (struct wire){.nr_sent = 0};
	uart16550_init(&w->uart, &ops, w);
	return w;
}

static u8 in(struct wire *w, unsigned reg)
{
	return uart16550_read(&w->uart, reg);
}

static void out(struct wire *w, unsigned reg, u8 value)
{
	uart16550_write(&w->uart, reg, value);
}

static void transmits_at_once(void **state)
{
	struct wire w;

	fresh(&w);
	assert_int_equal(in(&w, LSR), 0x60);
	out(&w, DATA, 'A');
	assert_int_equal(w.nr_sent, 1);
	assert_int_equal(w.sent[0], 'A');
	assert_int_equal(in(&w, LSR), 0x60);
	assert_false(w.irq);
}

/* The divisor latch hides data and IER, and a write to it sends nothing. */
static void divisor_latch(void **state)
{
	struct wire w;

	fresh(&w);
	out(&w, LCR, 0x83);
	out(&w, DATA, 0x01);
	out(&w, IER, 0x02);
	assert_int_equal(in(&w, DATA), 0x01);
	assert_int_equal(in(&w, IER), 0x02);
	out(&w, LCR, 0x03);
	assert_int_equal(w.nr_sent, 0);
	assert_int_equal(in(&w, IER), 0);
	assert_int_equal(in(&w, LCR), 0x03);
}

static void fifo_is_found(void **state)
{
	struct wire w;

	fresh(&w);
	assert_int_equal(in(&w, IIR), 0x01);
	out(&w, FCR, 0x01);
	assert_int_equal(in(&w, IIR), 0xc1);
	out(&w, FCR, 0x00);
	assert_int_equal(in(&w, IIR), 0x01);
	out(&w, SCR, 0x5a);
	assert_int_equal(in(&w, SCR), 0x5a);
	out(&w, IER, 0xff);
	assert_int_equal(in(&w, IER), 0x0f);
}

/* Enabling raises it, reading IIR takes it back, the next byte raises it again. */
static void transmitter_interrupt(void **state)
{
	struct wire w;

	fresh(&w);
	out(&w, IER, 0x02);
	assert_true(w.irq);
	assert_int_equal(in(&w, IIR), 0x02);
	assert_false(w.irq);
	assert_int_equal(in(&w, IIR), 0x01);
	out(&w, DATA, 'x');
	assert_true(w.irq);
	out(&w, IER, 0);
	assert_false(w.irq);
	out(&w, IER, 0x02);
	assert_true(w.irq);
	out(&w, MCR, 0); /* OUT2 gates the pin */
	assert_false(w.irq);
}

static void receives_in_order(void **state)
{
	struct wire w;

	fresh(&w);
	out(&w, FCR, 0x81); /* trigger at 8 */
	out(&w, IER, 0x01);
	assert_int_equal(uart16550_room(&w.uart), 16);
	for (u8 i = 0; i < 8; i++) {
		uart16550_receive(&w.uart, i);
		assert_true(w.irq);
		assert_int_equal(in(&w, IIR), i < 7 ? 0xcc : 0xc4);
	}
	for (u8 i = 0; i < 8; i++) {
		assert_int_equal(in(&w, LSR) & 1, 1);
		assert_int_equal(in(&w, DATA), i);
	}
	assert_false(w.irq);
	assert_int_equal(in(&w, LSR), 0x60);
	assert_int_equal(w.irq_changes, 2);
}

static void overrun_is_told_once(void **state)
{
	struct wire w;

	fresh(&w);
	out(&w, IER, 0x05);
	uart16550_receive(&w.uart, 'a');
	assert_int_equal(uart16550_room(&w.uart), 0);
	uart16550_receive(&w.uart, 'b');
	assert_int_equal(in(&w, IIR), 0x06);
	assert_int_equal(in(&w, LSR), 0x63);
	assert_int_equal(in(&w, LSR), 0x61);
	assert_int_equal(in(&w, IIR), 0x04);
	assert_int_equal(in(&w, DATA), 'a');
	assert_int_equal(in(&w, IIR), 0x01);
}

/* The ring wraps, and resetting the FIFO empties it. */
static void fifo_wraps_and_resets(void **state)
{
	struct wire w;

	fresh(&w);
	out(&w, FCR, 0x01);
	for (unsigned i = 0; i < 100; i++) {
		for (unsigned j = 0; j < 11; j++)
			uart16550_receive(&w.uart, (u8)(i + j));
		for (unsigned j = 0; j < 11; j++)
			assert_int_equal(in(&w, DATA), (u8)(i + j));
	}
	uart16550_receive(&w.uart, 1);
	out(&w, FCR, 0x03);
	assert_int_equal(in(&w, LSR), 0x60);
	assert_int_equal(in(&w, IIR), 0xc1); /* the reset bit is not kept, the enable bit is */
}

static void loopback(void **state)
{
	struct wire w;

	fresh(&w);
	assert_int_equal(in(&w, MSR) & 0xf0, 0xb0);
	out(&w, MCR, 0x1a); /* loop, OUT2, RTS */
	assert_int_equal(in(&w, MSR) & 0xf0, 0x90);
	out(&w, DATA, 0x42);
	assert_int_equal(w.nr_sent, 0);
	assert_int_equal(in(&w, DATA), 0x42);
	out(&w, MCR, 0x10);
	assert_int_equal(in(&w, MSR) & 0x0f, 0x09); /* CTS and DCD changed */
	assert_int_equal(in(&w, MSR) & 0x0f, 0);
}

/* With the interrupt on and through, or by polling; not while a driver probes the chip or sends. */
static void knows_who_listens(void **state)
{
	struct wire w;

	fresh(&w);
	assert_false(uart16550_listens(&w.uart));
	out(&w, IER, 0x0f); /* how Linux finds out whether there is a chip */
	assert_false(uart16550_listens(&w.uart));
	out(&w, IER, 0x01); /* firmware's OUT2 is enough */
	assert_true(uart16550_listens(&w.uart));
	out(&w, IER, 0x0d);
	out(&w, MCR, 0x0b);
	assert_true(uart16550_listens(&w.uart));
	out(&w, MCR, 0x03);
	assert_false(uart16550_listens(&w.uart));
	out(&w, MCR, 0x1b);
	assert_false(uart16550_listens(&w.uart));
	out(&w, MCR, 0x0b);
	out(&w, IER, 0x02);
	assert_false(uart16550_listens(&w.uart));
	for (unsigned i = 0; i < 1000; i++) {
		in(&w, LSR);
		out(&w, SCR, 'x');
		assert_false(uart16550_listens(&w.uart));
	}
	for (unsigned i = 0; i < 1000; i++)
		in(&w, LSR);
	assert_true(uart16550_listens(&w.uart));
	in(&w, DATA);
	assert_false(uart16550_listens(&w.uart));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(transmits_at_once),
		cmocka_unit_test(divisor_latch),
		cmocka_unit_test(fifo_is_found),
		cmocka_unit_test(transmitter_interrupt),
		cmocka_unit_test(receives_in_order),
		cmocka_unit_test(overrun_is_told_once),
		cmocka_unit_test(fifo_wraps_and_resets),
		cmocka_unit_test(loopback),
		cmocka_unit_test(knows_who_listens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
