/* SPDX-License-Identifier: MIT */
/*
 * The PIT: its ports, a thread that raises GSI 0 at the edges of channel 0, and its state. Edges for which the thread was
 * too late are one interrupt.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "libkvm/mshv/mshv.h"

static s64 now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* ---- edges ---- */

static void pulse(struct partition *p)
{
	chips_line(p, 0, true);
	chips_line(p, 0, false);
}

static void wait_until(struct chips *c, s64 time)
{
	const struct timespec until = {time / 1000000000, time % 1000000000};

	if (time < 0)
		pthread_cond_wait(&c->changed, &c->lock);
	else
		pthread_cond_timedwait(&c->changed, &c->lock, &until);
}

static void *tick(void *opaque)
{
	struct partition *p = opaque;
	struct chips *c = &p->chips;

	pthread_mutex_lock(&c->lock);
	while (!c->ends) {
		const u64 ticks = pit_irq0_edges(&c->pit, now());

		if (ticks > c->ticks)
			pulse(p);
		c->ticks = ticks;
		wait_until(c, pit_irq0_next(&c->pit, now()));
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* Its times are others from now on. */
static void restarted(struct chips *c)
{
	c->ticks = 0;
	pthread_cond_signal(&c->changed);
}

/* No signal of the program's is for this thread. */
int ticker_start(struct partition *p)
{
	struct chips *c = &p->chips;
	sigset_t all, before;
	int r;

	pit_reset(&c->pit, now());
	c->ticks = 0;
	c->ends = false;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&c->ticker, NULL, tick, p);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	c->has_pit = r == 0;
	return -r;
}

void ticker_stop(struct partition *p)
{
	pthread_mutex_lock(&p->chips.lock);
	p->chips.ends = true;
	pthread_cond_signal(&p->chips.changed);
	pthread_mutex_unlock(&p->chips.lock);
	pthread_join(p->chips.ticker, NULL);
	p->chips.has_pit = false;
}

/* ---- ports ---- */

static void read_port(struct chips *c, u16 port, u8 *value)
{
	*value = port == 0x61 ? pit_read_61(&c->pit, now()) : pit_read(&c->pit, port, now());
}

static void write_port(struct chips *c, u16 port, u8 value)
{
	if (port == 0x61)
		pit_write_61(&c->pit, value, now());
	else if (pit_write(&c->pit, port, value, now()))
		restarted(c);
}

bool pit_port(struct chips *c, u16 port, bool out, u8 *value)
{
	const bool speaker = port == 0x61 && c->pit.s.flags & PIT_FLAG_SPEAKER;

	if (!speaker && (port < 0x40 || port > 0x43))
		return false;
	if (out)
		write_port(c, port, *value);
	else
		read_port(c, port, value);
	return true;
}

/* ---- requests ---- */

static long create(struct ask *c, bool speaker)
{
	struct chips *chips = &c->p->chips;
	long r;

	if (!chips->present)
		return refuse(c->why, -ENOENT, "there is no irqchip");
	if (chips->has_pit)
		return refuse(c->why, -EEXIST, "the VM already has a PIT");
	r = ticker_start(c->p);
	if (r < 0)
		return r;
	pthread_mutex_lock(&chips->lock);
	chips->pit.s.flags = speaker ? PIT_FLAG_SPEAKER : 0;
	pthread_mutex_unlock(&chips->lock);
	return 0;
}

long serve_create_pit(struct ask *c)
{
	return create(c, false);
}

long serve_create_pit2(struct ask *c)
{
	const struct kvm_pit_config *config = c->arg;

	return create(c, config->flags & KVM_PIT_SPEAKER_DUMMY);
}

_Static_assert(sizeof(((struct pit_state *)0)->channels) == sizeof(struct kvm_pit_state),
	"the PIT's state passes through");

static long pit_check(struct ask *c)
{
	return c->p->chips.has_pit ? 0 : refuse(c->why, -ENXIO, "there is no PIT");
}

long serve_get_pit(struct ask *c)
{
	struct chips *chips = &c->p->chips;
	long r = pit_check(c);

	if (r < 0)
		return r;
	pthread_mutex_lock(&chips->lock);
	memcpy(c->arg, chips->pit.s.channels, sizeof(struct kvm_pit_state));
	pthread_mutex_unlock(&chips->lock);
	return 0;
}

long serve_set_pit(struct ask *c)
{
	struct chips *chips = &c->p->chips;
	struct pit_state s;
	long r = pit_check(c);

	if (r < 0)
		return r;
	pthread_mutex_lock(&chips->lock);
	s = chips->pit.s;
	memcpy(s.channels, c->arg, sizeof(s.channels));
	pit_set_state(&chips->pit, &s, now());
	restarted(chips);
	pthread_mutex_unlock(&chips->lock);
	return 0;
}
