/* SPDX-License-Identifier: MIT */
/* One function for each register, and one row for each range of ports. */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "boot/core/layout.h"
#include "boot/dev/kbd.h"
#include "boot/dev/reset.h"
#include "tests/mshv/vmm/acpi.h"
#include "tests/mshv/vmm/devices.h"

#define PORT_DIAGNOSTICS 0x80

static u64 host_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
}

/* ---- power (acpi.h) ---- */

static u64 sleep_read(void *opaque, u64 offset, unsigned size)
{
	return 0;
}

static enum bus_event sleep_write(void *opaque, u64 offset, unsigned size, u64 value)
{
	switch (value & 0xff) {
	case SLEEP_RESET: return BUS_RESET;
	case SLEEP_OFF: return BUS_POWER_OFF;
	default: return BUS_NOTHING;
	}
}

static const struct bus_ops sleep_ops = {.read = sleep_read, .write = sleep_write};

/* ---- the PM timer ---- */

static u64 timer_ns(const struct devices *d)
{
	return (d->timer_stopped ? d->timer_stopped : host_ns()) - d->timer_base;
}

static u64 timer_read(void *opaque, u64 offset, unsigned size)
{
	struct devices *d = opaque;
	u64 ns;

	pthread_mutex_lock(&d->lock);
	ns = timer_ns(d);
	pthread_mutex_unlock(&d->lock);
	return (u32)(ns / 1000 * PM_TIMER_HZ / 1000000) >> offset * 8;
}

static const struct bus_ops timer_ops = {.read = timer_read};

void devices_stop_clock(struct devices *d)
{
	pthread_mutex_lock(&d->lock);
	if (!d->timer_stopped)
		d->timer_stopped = host_ns();
	pthread_mutex_unlock(&d->lock);
}

void devices_start_clock(struct devices *d)
{
	pthread_mutex_lock(&d->lock);
	if (d->timer_stopped)
		d->timer_base += host_ns() - d->timer_stopped;
	d->timer_stopped = 0;
	pthread_mutex_unlock(&d->lock);
}

/* ---- port 80h ---- */

static u64 diagnostics_read(void *opaque, u64 offset, unsigned size)
{
	struct devices *d = opaque;
	u8 value;

	pthread_mutex_lock(&d->lock);
	value = d->diagnostics;
	pthread_mutex_unlock(&d->lock);
	return value;
}

static enum bus_event diagnostics_write(void *opaque, u64 offset, unsigned size, u64 value)
{
	struct devices *d = opaque;

	pthread_mutex_lock(&d->lock);
	d->diagnostics = (u8)value;
	pthread_mutex_unlock(&d->lock);
	return BUS_NOTHING;
}

static const struct bus_ops diagnostics_ops = {
	.read = diagnostics_read, .write = diagnostics_write};

/* ---- the serial port ---- */

static void uart_irq(void *opaque, bool level)
{
	struct devices *d = opaque;

	bus_irq(d->bus, IRQ_COM1, level);
}

static void uart_transmit(void *opaque, u8 byte)
{
	ssize_t n = write(STDOUT_FILENO, &byte, 1);

	(void)n; /* who does not listen misses it */
}

static const struct uart16550_ops uart_ops = {.set_irq = uart_irq, .transmit = uart_transmit};

/* A driver clears the chip's FIFO before it listens. */
static void feed(struct devices *d)
{
	unsigned n = MIN(uart16550_room(&d->uart), d->typed_count);

	if (!uart16550_listens(&d->uart))
		return;
	for (unsigned i = 0; i < n; i++)
		uart16550_receive(&d->uart, d->typed[i]);
	d->typed_count -= n;
	memmove(d->typed, d->typed + n, d->typed_count);
}

void devices_type(struct devices *d, const u8 *from, size_t n)
{
	pthread_mutex_lock(&d->lock);
	n = MIN(n, TYPED_MAX - d->typed_count);
	memcpy(d->typed + d->typed_count, from, n);
	d->typed_count += (unsigned)n;
	feed(d);
	pthread_mutex_unlock(&d->lock);
}

static u64 uart_read(void *opaque, u64 offset, unsigned size)
{
	struct devices *d = opaque;
	u8 value;

	pthread_mutex_lock(&d->lock);
	value = uart16550_read(&d->uart, (unsigned)offset);
	feed(d);
	pthread_mutex_unlock(&d->lock);
	return value;
}

static enum bus_event uart_write(void *opaque, u64 offset, unsigned size, u64 value)
{
	struct devices *d = opaque;

	pthread_mutex_lock(&d->lock);
	uart16550_write(&d->uart, (unsigned)offset, (u8)value);
	feed(d);
	pthread_mutex_unlock(&d->lock);
	return BUS_NOTHING;
}

static const struct bus_ops uart_bus_ops = {.read = uart_read, .write = uart_write};

/* ---- all of them ---- */

static int attach_own(struct devices *d, struct bus *bus, struct failure *f)
{
	const struct bus_range ranges[] = {
		{"sleep", PORT_SLEEP, PORT_SLEEP, &sleep_ops, d},
		{"timer", PORT_PM_TIMER, PORT_PM_TIMER + 3, &timer_ops, d},
		{"diagnostics", PORT_DIAGNOSTICS, PORT_DIAGNOSTICS, &diagnostics_ops, d},
		{"serial", PORT_COM1, PORT_COM1 + 7, &uart_bus_ops, d},
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(ranges); i++)
		r = bus_attach(bus, BUS_PORTS, &ranges[i], f);
	return r;
}

int devices_init(struct devices *d, struct bus *bus, struct failure *f)
{
	*d = (struct devices){.bus = bus, .timer_base = host_ns()};
	d->timer_stopped = d->timer_base;
	pthread_mutex_init(&d->lock, NULL);
	uart16550_init(&d->uart, &uart_ops, d);
	if (rtc_attach(&d->rtc, bus, f) < 0 || pci_attach(&d->pci, bus, f) < 0)
		return -1;
	if (kbd_attach(bus, f) < 0 || reset_attach(bus, f) < 0)
		return -1;
	return attach_own(d, bus, f);
}

void devices_get_state(struct devices *d, struct devices_state *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->timer = timer_ns(d);
	ret->rtc = d->rtc.chip;
	ret->pci = d->pci.chip;
	ret->uart = d->uart;
	ret->diagnostics = d->diagnostics;
}

void devices_set_state(struct devices *d, const struct devices_state *s)
{
	d->timer_base = d->timer_stopped - s->timer;
	d->rtc.chip = s->rtc;
	d->pci.chip = s->pci;
	d->uart = s->uart;
	d->uart.ops = &uart_ops;
	d->uart.opaque = d;
	d->diagnostics = s->diagnostics;
}
