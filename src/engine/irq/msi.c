/* SPDX-License-Identifier: MIT */
/*
 * From messages to LAPICs: decoding MSIs and I/O APIC entries, and finding the destinations.
 *
 * The map from ids to LAPICs is rebuilt by the first delivery after something that it depends on
 * has changed. If ids are ambiguous or logical modes differ between APICs, that part of the map is
 * not used and every APIC is asked whether it is meant (SDM 3:10.6.2).
 */
#include "engine/irq/lapic.h"
#include "engine/mem/recheck.h"

#include <errno.h>
#include <stdlib.h>

#define BROADCAST     0xffu
#define BROADCAST_X2  0xffffffffu
#define DFR_FLAT(dfr) ((dfr) >> 28 == 0xf)

enum logical_mode { LOGICAL_NONE, LOGICAL_FLAT, LOGICAL_CLUSTER, LOGICAL_X2, LOGICAL_MIXED };

struct apic_map {
	enum logical_mode logical_mode;
	bool ids_unique;
	struct lapic *logical[16 * 8]; /* xAPIC: cluster * 8 + bit; flat uses cluster 0 */
	u32 size;
	struct lapic *by_id[];
};

/* ---- map ---- */

void apic_map_stale(struct irq *irq)
{
	atomic_store(&irq->map_stale, true);
}

void apic_map_free(struct irq *irq)
{
	free(irq->map);
	irq->map = NULL;
	apic_map_stale(irq);
}

static enum logical_mode logical_mode_of(const struct lapic *l)
{
	if (lapic_x2(l))
		return LOGICAL_X2;
	return DFR_FLAT(reg_get(l, R_DFR)) ? LOGICAL_FLAT : LOGICAL_CLUSTER;
}

static void add_logical(struct apic_map *map, struct lapic *l)
{
	enum logical_mode mode = logical_mode_of(l);
	u32 ldr = reg_get(l, R_LDR) >> 24;
	unsigned cluster = 0;

	if (map->logical_mode == LOGICAL_NONE)
		map->logical_mode = mode;
	else if (map->logical_mode != mode)
		map->logical_mode = LOGICAL_MIXED;
	if (mode == LOGICAL_X2)
		return;
	if (mode == LOGICAL_CLUSTER) {
		cluster = ldr >> 4;
		ldr &= 0xf;
	}
	for (; ldr; ldr &= ldr - 1) {
		struct lapic **slot = &map->logical[cluster * 8 + __builtin_ctz(ldr)];

		if (*slot)
			map->logical_mode = LOGICAL_MIXED;
		*slot = l;
	}
}

static u32 largest_id(const struct irq *irq)
{
	u32 max = 0;

	for (unsigned i = 0; i < irq->lapic_count; i++)
		max = MAX(max, lapic_id(irq->lapics[i]));
	return max;
}

/* map_lock held for writing. Without memory everybody is asked; so it is no error. */
static void rebuild(struct irq *irq)
{
	u32 size = largest_id(irq) + 1;
	struct apic_map *map;

	free(irq->map);
	atomic_store(&irq->map_stale, false);
	irq->map = map = calloc(1, sizeof(*map) + size * sizeof(map->by_id[0]));
	if (!map)
		return;
	map->size = size;
	map->ids_unique = true;
	for (unsigned i = 0; i < irq->lapic_count; i++) {
		struct lapic *l = irq->lapics[i];
		u32 id = lapic_id(l);

		if (!lapic_enabled(l))
			continue;
		/* Modes can change while we look; such a change sets map_stale again. */
		if (id >= size || map->by_id[id])
			map->ids_unique = false;
		else
			map->by_id[id] = l;
		/* An id beyond 8 bits answers to two numbers in xAPIC mode. */
		if (!lapic_x2(l) && l->vcpu->apic_id > 0xff)
			map->ids_unique = false;
		add_logical(map, l);
	}
}

/* ---- who is meant ---- */

static bool is_broadcast(const struct irq *irq, const struct lapic *l, const struct apic_msg *msg)
{
	if (msg->dest == BROADCAST_X2)
		return true;
	if (msg->dest != BROADCAST)
		return false;
	/* Devices have 8 bits; 0xff means all to them, unless the VMM knows better. */
	return !lapic_x2(l) || (!msg->source && !irq->no_broadcast_quirk);
}

static bool logical_match(const struct lapic *l, u32 dest)
{
	u32 ldr = reg_get(l, R_LDR);

	switch (logical_mode_of(l)) {
	case LOGICAL_X2: return ldr >> 16 == dest >> 16 && ldr & dest & 0xffff;
	case LOGICAL_FLAT: return ldr >> 24 & dest & 0xff;
	default: return ldr >> 28 == (dest >> 4 & 0xf) && ldr >> 24 & dest & 0xf;
	}
}

static bool is_meant(const struct irq *irq, const struct lapic *l, const struct apic_msg *msg)
{
	switch (msg->shorthand) {
	case TO_SELF: return l == msg->source;
	case TO_ALL: return lapic_enabled(l);
	case TO_OTHERS: return lapic_enabled(l) && l != msg->source;
	default: break;
	}
	if (!lapic_enabled(l))
		return false;
	if (is_broadcast(irq, l, msg))
		return true;
	if (msg->logical)
		return logical_match(l, msg->dest);
	return lapic_id(l) == msg->dest ||
	       (!lapic_x2(l) && l->vcpu->apic_id > 0xff && l->vcpu->apic_id == msg->dest);
}

/* ---- delivery ---- */

struct delivery {
	const struct apic_msg *msg;
	struct lapic *best; /* lowest priority: the candidate so far */
	bool lowest, reached, fresh;
	int accepted;
};

static void give(struct delivery *d, struct lapic *l)
{
	enum accept_result r = lapic_accept(l, d->msg);

	d->reached = true;
	d->accepted += r != ACCEPT_REFUSED;
	d->fresh |= r == ACCEPT_FRESH;
}

static void visit(struct delivery *d, struct lapic *l)
{
	if (!d->lowest) {
		give(d, l);
		return;
	}
	d->reached = true;
	if (!(reg_get(l, R_SVR) & SVR_ENABLE))
		return;
	if (!d->best || reg_get(l, R_PPR) >> 4 < reg_get(d->best, R_PPR) >> 4)
		d->best = l;
}

static void visit_matching(struct irq *irq, struct delivery *d)
{
	/* Begin somewhere else each time: among equals each gets its turn. */
	unsigned n = irq->lapic_count, first = 0;

	if (d->lowest && n)
		first = atomic_fetch_add(&irq->arbitration, 1) % n;
	for (unsigned i = 0; i < n; i++) {
		struct lapic *l = irq->lapics[(first + i) % n];

		if (is_meant(irq, l, d->msg))
			visit(d, l);
	}
}

static void visit_id(struct apic_map *map, struct delivery *d, u32 id)
{
	if (id < map->size && map->by_id[id])
		visit(d, map->by_id[id]);
}

static void visit_logical(
	struct irq *irq, struct delivery *d, u32 cluster, u32 bits, unsigned width)
{
	struct apic_map *map = irq->map;
	unsigned rotate = d->lowest ? atomic_fetch_add(&irq->arbitration, 1) % width : 0;

	for (unsigned i = 0; i < width; i++) {
		unsigned bit = (i + rotate) % width;

		if (!(bits & BIT(bit)))
			continue;
		if (map->logical_mode == LOGICAL_X2)
			visit_id(map, d, cluster * 16 + bit);
		else if (map->logical[cluster * 8 + bit])
			visit(d, map->logical[cluster * 8 + bit]);
	}
}

/* True if the map knew the destinations. */
static bool visit_mapped(struct irq *irq, struct delivery *d)
{
	const struct apic_msg *msg = d->msg;
	struct apic_map *map = irq->map;

	if (!map || msg->shorthand || msg->dest == BROADCAST || msg->dest == BROADCAST_X2)
		return false;
	if (!msg->logical) {
		if (map->ids_unique)
			visit_id(map, d, msg->dest);
		return map->ids_unique;
	}
	switch (map->logical_mode) {
	case LOGICAL_FLAT: visit_logical(irq, d, 0, msg->dest & 0xff, 8); return true;
	case LOGICAL_CLUSTER:
		visit_logical(irq, d, msg->dest >> 4 & 0xf, msg->dest & 0xf, 4);
		return true;
	case LOGICAL_X2:
		if (map->ids_unique)
			visit_logical(irq, d, msg->dest >> 16, msg->dest & 0xffff, 16);
		return map->ids_unique;
	default: return false;
	}
}

static void lock_current_map(struct irq *irq)
{
	if (atomic_load(&irq->map_stale)) {
		pthread_rwlock_wrlock(&irq->map_lock);
		if (atomic_load(&irq->map_stale))
			rebuild(irq);
		pthread_rwlock_unlock(&irq->map_lock);
	}
	pthread_rwlock_rdlock(&irq->map_lock);
}

int apic_deliver(struct irq *irq, const struct apic_msg *msg, bool *fresh)
{
	struct delivery d = {
		.msg = msg,
		.lowest = msg->delivery == DELIVER_LOWEST || msg->redirect,
	};

	lock_current_map(irq);
	if (msg->shorthand == TO_SELF)
		visit(&d, msg->source);
	else if (!visit_mapped(irq, &d))
		visit_matching(irq, &d);
	if (d.best)
		give(&d, d.best);
	pthread_rwlock_unlock(&irq->map_lock);
	*fresh = d.fresh;
	return d.reached ? d.accepted : -1;
}

/* ---- sources ---- */

int ioapic_entry_deliver(void *opaque, u64 entry)
{
	struct apic_msg msg = {
		.dest = RTE_DEST(entry),
		.vector = RTE_VECTOR(entry),
		.delivery = RTE_DELIVERY(entry),
		.logical = entry & RTE_LOGICAL,
		.level_triggered = entry & RTE_LEVEL,
	};
	bool fresh;
	int n = apic_deliver(opaque, &msg, &fresh);

	return n <= 0 ? -1 : fresh;
}

/*
 * SDM 3:10.11. That the address lies in the interrupt range is for the caller to know: some pass the offset
 * in it. Bits 63-32 are the rest of the destination, where that has been agreed upon, and nothing otherwise.
 */
int msi_decode(const struct irq *irq, const struct msi *msi, struct apic_msg *ret)
{
	u32 low = (u32)msi->address, high = irq->ids32 ? msi->address >> 32 : 0;

	if (high & 0xff)
		return -EINVAL;
	*ret = (struct apic_msg){
		.dest = (low >> 12 & 0xff) | high,
		.redirect = low & BIT(3),
		.logical = low & BIT(2),
		.vector = (u8)msi->data,
		.delivery = msi->data >> 8 & 7,
		.level_triggered = msi->data & BIT(15),
	};
	return 0;
}

int irq_msi(struct machine *m, const struct msi *msi)
{
	struct irq *irq = m->irq;
	struct apic_msg msg;
	bool fresh;
	int err;

	if (irq->mode == IRQCHIP_NONE)
		return -EINVAL;
	recheck_device_event(m);
	err = msi_decode(irq, msi, &msg);
	return err ? err : apic_deliver(irq, &msg, &fresh);
}
