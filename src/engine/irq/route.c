/* SPDX-License-Identifier: MIT */
/*
 * GSI routing: what a line or a pulse on a GSI does. irq->lock is held throughout, except in the
 * doors at the end.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "x86/hyperv.h"
#include "engine/irq/fabric.h"
#include "base/locked.h"
#include "engine/mem/recheck.h"
#include "engine/irq/irq.h"

#define PIC_PINS 8

struct routing {
	bool has_sints;
	s16 gsi_of[CHIP_COUNT][IOAPIC_PINS]; /* -1: none */
	u32 first[IRQ_GSI_MAX + 1];          /* routes of gsi: first[gsi] .. first[gsi + 1] */
	struct irq_route routes[];
};

static bool on_chip(const struct irq_route *r)
{
	return !r->is_msi && !r->is_hv_sint;
}

static const struct irq_route *routes_of(const struct irq *irq, u32 gsi, unsigned *ret_n)
{
	const struct routing *rt = irq->routing;

	*ret_n = 0;
	if (!rt || gsi >= IRQ_GSI_MAX)
		return NULL;
	*ret_n = rt->first[gsi + 1] - rt->first[gsi];
	return &rt->routes[rt->first[gsi]];
}

int routing_gsi_of(const struct irq *irq, enum chip chip, unsigned pin)
{
	return irq->routing ? irq->routing->gsi_of[chip][pin] : -1;
}

int routing_ioapic_pin(const struct irq *irq, u32 gsi)
{
	unsigned n;
	const struct irq_route *r = routes_of(irq, gsi, &n);

	for (unsigned i = 0; i < n; i++)
		if (on_chip(&r[i]) && r[i].chip.chip == CHIP_IOAPIC)
			return r[i].chip.pin;
	return -1;
}

bool routing_sends(const struct irq *irq, u32 gsi, u8 vector)
{
	struct apic_msg msg;
	unsigned n;
	const struct irq_route *r = routes_of(irq, gsi, &n);

	for (unsigned i = 0; i < n; i++)
		if (r[i].is_msi && !msi_decode(irq, &r[i].msi, &msg) && msg.vector == vector)
			return true;
	return false;
}

static int drive_msi(struct irq *irq, const struct msi *msi, bool level)
{
	struct apic_msg msg;
	bool fresh;
	int n;

	if (!level || msi_decode(irq, msi, &msg))
		return LINE_MASKED;
	n = apic_deliver(irq, &msg, &fresh);
	return n > 0 ? n : LINE_MASKED;
}

static int drive_sint(struct irq *irq, const struct irq_route *r, bool level)
{
	int n;

	if (!level)
		return LINE_MASKED;
	n = irq->machine->sint_ops->raise(irq->machine, r->hv_sint.vp_index, r->hv_sint.sint);
	return n < 0 ? LINE_MASKED : n;
}

static int drive(struct irq *irq, const struct irq_route *r, bool level)
{
	if (r->is_msi)
		return drive_msi(irq, &r->msi, level);
	if (r->is_hv_sint)
		return drive_sint(irq, r, level);
	if (r->chip.chip == CHIP_IOAPIC)
		return ioapic_set_irq(&irq->ioapic, r->chip.pin, level);
	return pic_set_irq(&irq->pic, r->chip.chip * PIC_PINS + r->chip.pin, level);
}

int line_set(struct irq *irq, u32 gsi, u8 source, bool level)
{
	int ret = LINE_UNROUTED;
	unsigned n;
	const struct irq_route *r = routes_of(irq, gsi, &n);
	bool msi = n && !on_chip(r);

	uv_assert_locked(&irq->lock);
	if (gsi < IRQ_GSI_MAX) {
		irq->lines[gsi] = level ? irq->lines[gsi] | source : irq->lines[gsi] & ~source;
		/* A message has no wire that several could hold up. */
		level = msi ? level : irq->lines[gsi] != 0;
	}
	for (unsigned i = 0; i < n; i++) {
		int one = drive(irq, &r[i], level);

		ret = one >= 0 && ret > 0 ? ret + one : MAX(ret, one);
	}
	return ret;
}

int line_pulse(struct irq *irq, u32 gsi, u8 source)
{
	int ret = line_set(irq, gsi, source, true);

	line_set(irq, gsi, source, false);
	return ret;
}

/* ---- tables ---- */

static bool valid(const struct irq *irq, const struct irq_route *r)
{
	if (r->gsi >= IRQ_GSI_MAX)
		return false;
	if (r->is_msi) /* the low byte of the upper half is reserved where it means something */
		return !irq->ids32 || !(r->msi.address >> 32 & 0xff);
	if (r->is_hv_sint)
		return r->hv_sint.sint < HV_SINTS;
	if (irq->mode != IRQCHIP_FULL || r->chip.chip >= CHIP_COUNT)
		return false;
	return r->chip.pin < (r->chip.chip == CHIP_IOAPIC ? IOAPIC_PINS : PIC_PINS);
}

static int by_gsi(const void *a, const void *b)
{
	const struct irq_route *x = a, *y = b;

	return (x->gsi > y->gsi) - (x->gsi < y->gsi);
}

/* A GSI has one pin of each chip, or one message. */
static bool conflict(const struct irq_route *a, const struct irq_route *b)
{
	return a->gsi == b->gsi && (!on_chip(a) || !on_chip(b) || a->chip.chip == b->chip.chip);
}

static void index_routes(struct routing *rt, unsigned n)
{
	unsigned i = 0;

	memset(rt->gsi_of, 0xff, sizeof(rt->gsi_of));
	rt->has_sints = false;
	for (unsigned r = 0; r < n; r++)
		rt->has_sints |= rt->routes[r].is_hv_sint;
	for (u32 gsi = 0; gsi <= IRQ_GSI_MAX; gsi++) {
		rt->first[gsi] = i;
		for (; i < n && rt->routes[i].gsi == gsi; i++)
			if (on_chip(&rt->routes[i]))
				rt->gsi_of[rt->routes[i].chip.chip][rt->routes[i].chip.pin] =
					(s16)gsi;
	}
}

static bool acceptable(const struct irq *irq, const struct irq_route *routes, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!valid(irq, &routes[i]))
			return false;
	return true;
}

/* Of sorted routes. At most three entries may share a GSI, so looking three ahead finds every conflict. */
static bool ambiguous(const struct irq_route *routes, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		for (unsigned j = i + 1; j < n && j <= i + 3; j++)
			if (conflict(&routes[i], &routes[j]))
				return true;
	return false;
}

static struct routing *build(const struct irq_route *routes, unsigned n)
{
	struct routing *rt = malloc(sizeof(*rt) + n * sizeof(rt->routes[0]));

	if (!rt)
		return NULL;
	if (n)
		memcpy(rt->routes, routes, n * sizeof(rt->routes[0]));
	qsort(rt->routes, n, sizeof(rt->routes[0]), by_gsi);
	index_routes(rt, n);
	return rt;
}

/* Which vectors user space's own IOAPIC must hear of (split irqchip). */
static void update_eoi_exits(struct irq *irq, const struct irq_route *routes, unsigned n)
{
	u32 vectors[8] = {0};

	for (unsigned i = 0; i < n && irq->mode == IRQCHIP_SPLIT; i++) {
		struct apic_msg msg;

		if (routes[i].is_msi && !msi_decode(irq, &routes[i].msi, &msg) &&
			msg.level_triggered)
			vectors[msg.vector >> 5] |= BIT(msg.vector & 31);
	}
	for (unsigned i = 0; i < 8; i++)
		atomic_store(&irq->eoi_exits[i], vectors[i]);
}

int irq_set_routing(struct machine *m, const struct irq_route *routes, unsigned n)
{
	struct irq *irq = m->irq;
	struct routing *rt, *old;

	if (irq->mode == IRQCHIP_NONE && !machine_intercepts(m))
		return -EINVAL;
	if (n > IRQ_ROUTES_MAX || !acceptable(irq, routes, n))
		return -EINVAL;
	rt = build(routes, n);
	if (!rt)
		return -ENOMEM;
	if (ambiguous(rt->routes, n)) {
		free(rt);
		return -EINVAL;
	}
	pthread_mutex_lock(&irq->lock);
	old = irq->routing;
	irq->routing = rt;
	update_eoi_exits(irq, routes, n);
	irq_update_eoi_watch(irq);
	pthread_mutex_unlock(&irq->lock);
	free(old);
	return 0;
}

/* GSI 0-15: PIC input and IOAPIC pin of this number; 16-23: the IOAPIC alone. */
struct routing *routing_default(void)
{
	struct irq_route routes[16 + IOAPIC_PINS];
	unsigned n = 0;

	for (u32 gsi = 0; gsi < IOAPIC_PINS; gsi++) {
		if (gsi < 16)
			routes[n++] = (struct irq_route){
				.gsi = gsi,
				.chip = {gsi / PIC_PINS, gsi % PIC_PINS},
			};
		routes[n++] = (struct irq_route){.gsi = gsi, .chip = {CHIP_IOAPIC, (u8)gsi}};
	}
	return build(routes, n);
}

/* ---- doors ---- */

void irq_ack_sint(struct machine *m, u32 vp_index, u32 sint)
{
	struct irq *irq = m->irq;
	const struct routing *rt;

	pthread_mutex_lock(&irq->lock);
	rt = irq->routing;
	for (unsigned i = 0; rt && rt->has_sints && i < rt->first[IRQ_GSI_MAX]; i++) {
		const struct irq_route *r = &rt->routes[i];

		if (r->is_hv_sint && r->hv_sint.vp_index == vp_index && r->hv_sint.sint == sint)
			irqfd_ack(irq, r->gsi);
	}
	pthread_mutex_unlock(&irq->lock);
}

int irq_line(struct machine *m, u32 gsi, bool level)
{
	struct irq *irq = m->irq;
	int ret;

	if (irq->mode == IRQCHIP_NONE)
		return -ENXIO;
	recheck_device_event(m);
	pthread_mutex_lock(&irq->lock);
	ret = line_set(irq, gsi, LINE_USER, level);
	pthread_mutex_unlock(&irq->lock);
	return ret == LINE_UNROUTED ? -1 : MAX(ret, 0);
}
