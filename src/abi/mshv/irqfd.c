/* SPDX-License-Identifier: MIT */
/* MSHV_SET_MSI_ROUTING, MSHV_IRQFD, MSHV_IOEVENTFD: interrupts and doorbells by event descriptors. */
#include <limits.h>
#include <stdlib.h>

#include "abi/eventfd.h"
#include "abi/mshv/mshv.h"

/* ---- routing ---- */

static long route_in(struct call *c, const struct mshv_user_irq_entry *e, struct irq_route *r)
{
	if (e->gsi >= IRQ_GSI_MAX)
		return refuse(c->why, -EINVAL, "gsi %lu: must be below %lu", (u64)e->gsi,
			(u64)IRQ_GSI_MAX);
	if (e->address_hi)
		return refuse(c->why, -EINVAL, "gsi %lu: address_hi must be 0", (u64)e->gsi);
	*r = (struct irq_route){
		.gsi = e->gsi, .is_msi = true, .msi = {.address = e->address_lo, .data = e->data}};
	return 0;
}

/* The table that is made. */
struct route_list {
	struct irq_route *routes;
	u32 count;
	u16 *place; /* of a gsi's route, plus one */
};

/* A later entry of gsi 0 replaces an earlier one; every other gsi has one entry. */
static long add_route(struct call *c, struct route_list *t, const struct mshv_user_irq_entry *e)
{
	struct irq_route route;
	long r = route_in(c, e, &route);
	u16 *place;

	if (r)
		return r;
	place = &t->place[e->gsi];
	if (*place && e->gsi)
		return refuse(c->why, -EINVAL, "gsi %lu: an earlier entry routes it", (u64)e->gsi);
	if (!*place)
		*place = (u16)++t->count;
	t->routes[*place - 1] = route;
	return 0;
}

static long set_routes(struct call *c, const struct mshv_user_irq_entry *in, u32 n)
{
	struct route_list t = {.routes = calloc(n + 1, sizeof(*t.routes)),
		.place = calloc(IRQ_GSI_MAX, sizeof(*t.place))};
	long r = t.routes && t.place ? 0 : -ENOMEM;

	for (u32 i = 0; i < n && !r; i++) {
		r = add_route(c, &t, &in[i]);
		if (r)
			refused_at(c->why, "entries[%lu]", (u64)i);
	}
	r = r ? r : irq_set_routing(partition_of(c)->machine, t.routes, t.count);
	free(t.place);
	free(t.routes);
	return r;
}

long partition_set_routing(struct call *c)
{
	struct mshv_user_irq_entry *in = NULL;
	struct mshv_user_irq_table head;
	long r;

	if (copy_in(c->dev, &head, c->arg, sizeof(head)))
		return -EFAULT;
	if (head.nr > IRQ_ROUTES_MAX)
		return refuse(c->why, -EINVAL, "nr %lu: at most %lu routes are allowed",
			(u64)head.nr, (u64)IRQ_ROUTES_MAX);
	if (head.rsvd)
		return refuse(c->why, -EINVAL, NOT_ZERO);
	r = copy_in_array(c->dev, (void **)&in, c->arg + sizeof(head), head.nr, sizeof(in[0]));
	r = r ? r : set_routes(c, in, head.nr);
	free(in);
	return r;
}

/* ---- irqfd ---- */

/* No descriptor; -1 would say that there is none. */
#define NOT_OPEN INT_MAX

long partition_irqfd(struct call *c)
{
	const struct mshv_user_irqfd *a = c->data;
	struct machine *m = partition_of(c)->machine;
	bool resample = a->flags & 1u << MSHV_IRQFD_BIT_RESAMPLE;
	int second = !resample ? -1 : a->resamplefd < 0 ? NOT_OPEN : a->resamplefd;
	long r;

	if (check_flags(c, a->flags, MSHV_IRQFD_FLAGS_MASK))
		return -EINVAL;
	if (a->flags & 1u << MSHV_IRQFD_BIT_DEASSIGN)
		return eventfd_taken(c, irqfd_deassign(m, a->fd, a->gsi), (u32)a->fd);
	r = irqfd_assign(m, a->fd, a->gsi, second);
	r = refuse_if(c->why, r, -EBUSY, "fd %lu: an irqfd already uses this descriptor",
		(u64)(u32)a->fd);
	return resample ? eventfds_taken(c, r, (u32)a->fd, (u32)a->resamplefd)
			: eventfd_taken(c, r, (u32)a->fd);
}

/* ---- ioeventfd ---- */

static long check_ioeventfd(struct call *c, const struct mshv_user_ioeventfd *a)
{
	if (check_flags(c, a->flags, MSHV_IOEVENTFD_FLAGS_MASK))
		return -EINVAL;
	if (!all_zero(a->rsvd, sizeof(a->rsvd)))
		return refuse(c->why, -EINVAL, NOT_ZERO);
	if (a->flags & 1u << MSHV_IOEVENTFD_BIT_PIO)
		return refuse(c->why, -EOPNOTSUPP, "flags: port I/O has no doorbells");
	return 0;
}

static long check_doorbell(struct call *c, const struct mshv_user_ioeventfd *a)
{
	if (a->len > 8 || (a->len & (a->len - 1)))
		return refuse(c->why, -EINVAL, "len %lu: must be 0 (any length), 1, 2, 4 or 8",
			(u64)a->len);
	if (a->addr + a->len < a->addr)
		return refuse(c->why, -EINVAL, "addr 0x%lx: the range wraps around", (u64)a->addr);
	return 0;
}

long partition_ioeventfd(struct call *c)
{
	const struct mshv_user_ioeventfd *a = c->data;
	struct machine *m = partition_of(c)->machine;
	struct ioeventfd_config e = {
		.addr = a->addr,
		.len = a->len,
		.fd = a->fd,
		.has_match = a->len && a->flags & 1u << MSHV_IOEVENTFD_BIT_DATAMATCH,
		.match = a->datamatch,
	};
	long r = check_ioeventfd(c, a);

	if (r)
		return r;
	if (a->flags & 1u << MSHV_IOEVENTFD_BIT_DEASSIGN) {
		r = eventfd_taken(c, ioeventfd_deassign(m, &e), (u32)a->fd);
		return refuse_if(c->why, r, -ENOENT,
			"there is no ioeventfd with this addr, len, fd and datamatch");
	}
	if (check_doorbell(c, a))
		return -EINVAL;
	r = eventfd_taken(c, ioeventfd_assign(m, &e), (u32)a->fd);
	return refuse_if(c->why, r, -EEXIST,
		"addr 0x%lx: the same writes already signal another ioeventfd", (u64)a->addr);
}
