/* SPDX-License-Identifier: MIT */
/*
 * ioeventfd: guest writes that signal a descriptor instead of leaving the engine.
 *
 * Asked at each write that would exit, so a one-word filter comes first, which says no nearly
 * always; then a binary search. The table is replaced as a whole.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/irq/fabric.h"
#include "base/fd.h"
#include "engine/irq/irq.h"
#include "engine/mem/recheck.h"

struct ioevent {
	struct ioeventfd_config c; /* c.fd is our own descriptor */
	u64 identity;
};

struct ioevents {
	unsigned n;
	struct ioevent e[]; /* by pio, address */
};

static u64 filter_bit(bool pio, u64 addr)
{
	return BIT64(((addr ^ addr >> 6 ^ addr >> 12) + pio) & 63);
}

static int compare(bool pio, u64 addr, const struct ioevent *e)
{
	if (pio != e->c.pio)
		return pio < e->c.pio ? -1 : 1;
	return addr < e->c.addr ? -1 : addr > e->c.addr;
}

/* Index of the first entry that is not below. */
static unsigned lower_bound(const struct ioevents *t, bool pio, u64 addr)
{
	unsigned low = 0, high = t ? t->n : 0;

	while (low < high) {
		unsigned mid = (low + high) / 2;

		if (compare(pio, addr, &t->e[mid]) > 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool at(const struct ioevents *t, unsigned i, bool pio, u64 addr)
{
	return t && i < t->n && !compare(pio, addr, &t->e[i]);
}

static bool matches(const struct ioeventfd_config *c, unsigned len, u64 value)
{
	if (!c->len)
		return true;
	return c->len == len && (!c->has_match || c->match == value);
}

static bool signal_match(const struct ioevents *t, bool pio, u64 addr, unsigned len, u64 value)
{
	for (unsigned i = lower_bound(t, pio, addr); at(t, i, pio, addr); i++) {
		if (!matches(&t->e[i].c, len, value))
			continue;
		eventfd_signal(t->e[i].c.fd);
		return true;
	}
	return false;
}

bool ioevent_write(struct machine *m, bool pio, u64 addr, unsigned len, const void *data)
{
	struct irq *irq = m->irq;
	u64 filter = atomic_load_explicit(&irq->ioevent_filter, memory_order_relaxed), value = 0;
	bool ret;

	if (likely(!(filter & filter_bit(pio, addr))) || len > sizeof(value))
		return false;
	memcpy(&value, data, len);
	pthread_rwlock_rdlock(&irq->ioevent_lock);
	ret = signal_match(irq->ioevents, pio, addr, len, value);
	pthread_rwlock_unlock(&irq->ioevent_lock);
	if (ret)
		recheck_device_event(m);
	return ret;
}

/* ---- changes ---- */

static bool valid(const struct ioeventfd_config *c)
{
	if (c->len > 8 || (c->len & (c->len - 1)))
		return false;
	if (c->addr + c->len < c->addr)
		return false;
	return c->len || !c->has_match;
}

/* To a partition, any length is a length like the others; the entry that came last is asked first. */
static bool collide(
	const struct irq *irq, const struct ioeventfd_config *a, const struct ioeventfd_config *b)
{
	if ((!a->len || !b->len) && !machine_intercepts(irq->machine))
		return true;
	return a->len == b->len && (!a->has_match || !b->has_match || a->match == b->match);
}

static bool same(const struct ioeventfd_config *a, const struct ioeventfd_config *b)
{
	return a->len == b->len && a->has_match == b->has_match &&
	       (!a->has_match || a->match == b->match);
}

static u64 filter_of(const struct ioevents *t)
{
	u64 filter = 0;

	for (unsigned i = 0; i < t->n; i++)
		filter |= filter_bit(t->e[i].c.pio, t->e[i].c.addr);
	return filter;
}

static void replace(struct irq *irq, struct ioevents *t)
{
	struct ioevents *old = irq->ioevents;

	pthread_rwlock_wrlock(&irq->ioevent_lock);
	irq->ioevents = t;
	atomic_store(&irq->ioevent_filter, filter_of(t));
	pthread_rwlock_unlock(&irq->ioevent_lock);
	free(old);
}

static struct ioevents *table_alloc(unsigned n)
{
	struct ioevents *t = malloc(sizeof(*t) + n * sizeof(t->e[0]));

	if (t)
		t->n = n;
	return t;
}

static int insert(struct irq *irq, const struct ioevent *e)
{
	const struct ioevents *old = irq->ioevents;
	unsigned n = old ? old->n : 0, i = lower_bound(old, e->c.pio, e->c.addr);
	struct ioevents *t;

	for (unsigned j = i; at(old, j, e->c.pio, e->c.addr); j++)
		if (collide(irq, &old->e[j].c, &e->c))
			return -EEXIST;
	t = table_alloc(n + 1);
	if (!t)
		return -ENOMEM;
	if (old) {
		memcpy(t->e, old->e, i * sizeof(t->e[0]));
		memcpy(t->e + i + 1, old->e + i, (n - i) * sizeof(t->e[0]));
	}
	t->e[i] = *e;
	replace(irq, t);
	return 0;
}

static int remove_at(struct irq *irq, unsigned i)
{
	const struct ioevents *old = irq->ioevents;
	struct ioevents *t = table_alloc(old->n - 1);
	int fd = old->e[i].c.fd;

	if (!t)
		return -ENOMEM;
	memcpy(t->e, old->e, i * sizeof(t->e[0]));
	memcpy(t->e + i, old->e + i + 1, (t->n - i) * sizeof(t->e[0]));
	replace(irq, t);
	fd_drop(fd);
	return 0;
}

int ioeventfd_assign(struct machine *m, const struct ioeventfd_config *c)
{
	struct irq *irq = m->irq;
	struct ioevent e = {.c = *c};
	int err;

	if (!valid(c))
		return -EINVAL;
	e.c.fd = eventfd_hold(c->fd);
	if (e.c.fd < 0)
		return e.c.fd;
	e.identity = eventfd_identity(c->fd);
	pthread_mutex_lock(&irq->config_lock);
	err = insert(irq, &e);
	pthread_mutex_unlock(&irq->config_lock);
	if (err)
		fd_drop(e.c.fd);
	return err;
}

static int find_and_remove(struct irq *irq, const struct ioeventfd_config *c, u64 identity)
{
	const struct ioevents *t = irq->ioevents;

	for (unsigned i = lower_bound(t, c->pio, c->addr); at(t, i, c->pio, c->addr); i++)
		if (t->e[i].identity == identity && same(&t->e[i].c, c))
			return remove_at(irq, i);
	return -ENOENT;
}

int ioeventfd_deassign(struct machine *m, const struct ioeventfd_config *c)
{
	struct irq *irq = m->irq;
	int own = eventfd_hold(c->fd), err;

	if (own < 0)
		return own;
	fd_drop(own);
	pthread_mutex_lock(&irq->config_lock);
	err = find_and_remove(irq, c, eventfd_identity(c->fd));
	pthread_mutex_unlock(&irq->config_lock);
	return err;
}

/* The descriptors go when nobody signals them any more. */
void ioeventfd_deassign_all(struct machine *m)
{
	struct irq *irq = m->irq;
	struct ioevents *t;

	pthread_mutex_lock(&irq->config_lock);
	pthread_rwlock_wrlock(&irq->ioevent_lock);
	t = irq->ioevents;
	irq->ioevents = NULL;
	atomic_store(&irq->ioevent_filter, 0);
	pthread_rwlock_unlock(&irq->ioevent_lock);
	pthread_mutex_unlock(&irq->config_lock);
	for (unsigned i = 0; t && i < t->n; i++)
		fd_drop(t->e[i].c.fd);
	free(t);
}
