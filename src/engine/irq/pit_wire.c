/* SPDX-License-Identifier: MIT */
/*
 * OUT of the PIT's channel 0 to GSI 0. irq->lock is held except in the doors.
 *
 * Each edge becomes a pulse at about its time. A pulse that finds the one before still waiting is
 * counted as missed, and so are edges that the helper thread was too late for. Missed ones are sent
 * after the guest's next EOI, a quarter of a period apart: the guest catches up without a storm.
 * If the interrupt is masked there is nobody to catch up, and the count is dropped.
 */
#include <errno.h>

#include "engine/irq/fabric.h"
#include "base/locked.h"

#define MISSED_MAX    1000
#define MIN_PERIOD_NS 100000

static void pulse(struct pit_wire *w)
{
	int r = line_pulse(w->irq, 0, LINE_PIT);

	if (r == 0)
		w->missed = MIN(w->missed + 1, MISSED_MAX);
	else if (r < 0)
		w->missed = 0;
}

static u64 now_ns(const struct pit_wire *w)
{
	return machine_ns(w->irq->machine);
}

static void arm(struct pit_wire *w)
{
	u64 now = now_ns(w);
	s64 next = pit_irq0_next(&w->chip, (s64)now);
	u64 at = next < 0 ? 0 : MAX((u64)next, now + MIN_PERIOD_NS);

	if (w->catch_up_at && (!at || w->catch_up_at < at))
		at = w->catch_up_at;
	/* Nothing to wait for: a timer still armed finds that out. Cancelling it here could deadlock. */
	if (at)
		timer_arm(w->irq->machine, &w->timer, at);
}

static void take_edges(struct pit_wire *w, u64 now)
{
	u64 edges = pit_irq0_edges(&w->chip, (s64)now);

	if (edges <= w->edges)
		return;
	if (w->reinject)
		w->missed = (u32)MIN(w->missed + (edges - w->edges - 1), (u64)MISSED_MAX);
	w->edges = edges;
	pulse(w);
	if (!w->reinject)
		w->missed = 0;
}

static void catch_up(struct pit_wire *w, u64 now)
{
	if (!w->catch_up_at || now < w->catch_up_at)
		return;
	w->catch_up_at = 0;
	if (!w->missed)
		return;
	w->missed--;
	pulse(w);
}

static void fire(struct timer *t)
{
	struct pit_wire *w = container_of(t, struct pit_wire, timer);
	u64 now = now_ns(w);

	pthread_mutex_lock(&w->irq->lock);
	take_edges(w, now);
	catch_up(w, now);
	arm(w);
	pthread_mutex_unlock(&w->irq->lock);
}

void pit_acked(struct irq *irq)
{
	struct pit_wire *w = &irq->pit;

	uv_assert_locked(&irq->lock);
	if (!w->missed || w->catch_up_at)
		return;
	w->catch_up_at = now_ns(w) + MAX((u64)pit_irq0_period(&w->chip) / 4, 50000ull);
	arm(w);
}

static void restart(struct pit_wire *w)
{
	w->edges = pit_irq0_edges(&w->chip, (s64)now_ns(w));
	w->missed = 0;
	w->catch_up_at = 0;
	arm(w);
}

bool pit_pio(struct irq *irq, u16 port, u8 *value, bool write)
{
	struct pit_wire *w = &irq->pit;
	s64 now = (s64)now_ns(w);

	uv_assert_locked(&irq->lock);
	if (port == 0x61 && write)
		pit_write_61(&w->chip, *value, now);
	else if (port == 0x61)
		*value = pit_read_61(&w->chip, now);
	else if (!write)
		*value = pit_read(&w->chip, port, now);
	else if (pit_write(&w->chip, port, *value, now))
		restart(w);
	return true;
}

void pit_wire_create(struct irq *irq, bool speaker)
{
	struct pit_wire *w = &irq->pit;

	*w = (struct pit_wire){.speaker = speaker,
		.reinject = true,
		.irq = irq,
		.timer = {.guest = true, .fire = fire}};
	pit_reset(&w->chip, (s64)now_ns(w));
	w->present = true;
}

int machine_get_pit(struct machine *m, struct pit_state *ret)
{
	struct irq *irq = m->irq;
	int err = -ENXIO;

	pthread_mutex_lock(&irq->lock);
	if (irq->pit.present) {
		*ret = irq->pit.chip.s;
		err = 0;
	}
	pthread_mutex_unlock(&irq->lock);
	return err;
}

int machine_set_pit(struct machine *m, const struct pit_state *s)
{
	struct irq *irq = m->irq;
	int err = -ENXIO;

	pthread_mutex_lock(&irq->lock);
	if (irq->pit.present) {
		pit_set_state(&irq->pit.chip, s, (s64)now_ns(&irq->pit));
		restart(&irq->pit);
		err = 0;
	}
	pthread_mutex_unlock(&irq->lock);
	return err;
}

int machine_set_pit_reinject(struct machine *m, bool on)
{
	struct irq *irq = m->irq;
	int err = -ENXIO;

	pthread_mutex_lock(&irq->lock);
	if (irq->pit.present) {
		irq->pit.reinject = on;
		irq->pit.missed = 0;
		err = 0;
	}
	pthread_mutex_unlock(&irq->lock);
	return err;
}
