/* SPDX-License-Identifier: MIT */
/* See sint.h. */
#include "abi/mshv/sint.h"

#include <stdlib.h>
#include <string.h>

#include "abi/eventfd.h"
#include "abi/mshv/hvcall.h"
#include "abi/stream.h"
#include "base/fd.h"

/* ---- life ---- */

static struct sint_end *end_alloc(void)
{
	struct sint_end *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	pthread_mutex_init(&e->lock, NULL);
	e->paused = true;
	e->place = e->bus.fd = -1;
	for (unsigned i = 0; i < SINT_FLAGS; i++)
		e->eventfd[i] = -1;
	return e;
}

static void end_free(struct sint_end *e)
{
	for (unsigned i = 0; i < SINT_FLAGS; i++)
		if (e->eventfd[i] >= 0)
			fd_drop(e->eventfd[i]);
	pthread_mutex_destroy(&e->lock);
	free(e);
}

int sint_open(struct dev *d, struct object *o)
{
	struct sint_end *e = end_alloc();
	int r = e ? vtl_get(d, false, &e->vtl) : -ENOMEM;

	if (r) {
		if (e)
			end_free(e);
		return r;
	}
	e->stream = o->stream;
	pthread_mutex_lock(&e->vtl->ends_lock);
	sint_bus_join(e);
	e->next = e->vtl->ends;
	e->vtl->ends = e;
	pthread_mutex_unlock(&e->vtl->ends_lock);
	o->behind = e;
	return 0;
}

static void unlink_end(struct sint_end *e)
{
	struct sint_end **at = &e->vtl->ends;

	pthread_mutex_lock(&e->vtl->ends_lock);
	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	pthread_mutex_unlock(&e->vtl->ends_lock);
}

void sint_release(void *sint_end)
{
	struct sint_end *e = sint_end;
	struct vtl *t = e->vtl;

	unlink_end(e);
	sint_bus_leave(e);
	end_free(e);
	vtl_put(t);
}

/* ---- what arrives; the lock is held ---- */

/* What waits goes on, unless the stream pauses; from the first message on for which there is no room it waits. */
static void flush_queue(struct sint_end *e)
{
	unsigned n = 0;

	while (n < e->count && !stream_put(e->stream, &e->queue[n], sizeof(e->queue[n])))
		n++;
	e->count -= n;
	memmove(e->queue, e->queue + n, e->count * sizeof(e->queue[0]));
}

bool sint_end_is_full(struct sint_end *e)
{
	flush_queue(e);
	return e->count == SINT_QUEUE_MAX;
}

void sint_end_message(struct sint_end *e, const struct hv_message *m)
{
	e->queue[e->count++] = *m;
	flush_queue(e);
}

void sint_end_event(struct sint_end *e, u32 flag)
{
	if (e->eventfd[flag] >= 0)
		eventfd_signal(e->eventfd[flag]);
}

/* Reading makes room. */
int sint_read_check(const struct object *o, size_t n)
{
	struct sint_end *e = o->behind;

	pthread_mutex_lock(&e->lock);
	flush_queue(e);
	sint_bus_go_on(e);
	pthread_mutex_unlock(&e->lock);
	return stream_read_check(o->stream, n, sizeof(struct hv_message));
}

/* ---- what is sent ---- */

struct arrivals {
	unsigned ends;
	bool full;
};

/* m is NULL: the event. False: there is no room. */
static bool arrive(struct sint_end *e, const struct hv_message *m, u32 flag)
{
	bool fits = true;

	pthread_mutex_lock(&e->lock);
	if (!m) {
		sint_end_event(e, flag);
	} else {
		fits = !sint_end_is_full(e);
		if (fits)
			sint_end_message(e, m);
	}
	pthread_mutex_unlock(&e->lock);
	return fits;
}

/* At all ends of the process but one. */
static struct arrivals arrive_own(
	struct vtl *t, const struct sint_end *but, const struct hv_message *m, u32 flag)
{
	struct arrivals a = {0};

	pthread_mutex_lock(&t->ends_lock);
	for (struct sint_end *e = t->ends; e; e = e->next) {
		if (e == but)
			continue;
		a.ends++;
		a.full |= !arrive(e, m, flag);
	}
	pthread_mutex_unlock(&t->ends_lock);
	return a;
}

/* One that has no room gets it when it is sent again. Of more than two ends, others have it twice then. */
static u16 status_of(const struct arrivals *a)
{
	if (!a->ends)
		return HVS_INVALID_CONNECTION;
	return a->full ? HVS_INSUFFICIENT_BUFFERS : HVS_SUCCESS;
}

static u16 send_all(
	struct vtl *t, const struct sint_end *from, const struct hv_message *m, u32 flag)
{
	struct arrivals a = arrive_own(t, from, m, flag);

	a.ends += sint_bus_send(t, m, flag, &a.full);
	return status_of(&a);
}

/* The upper half of the types is the hypervisor's own. */
#define TYPE_OF_HYPERVISOR BIT(31)

u16 sint_post(struct vtl *t, const struct sint_end *from, u32 connection, u32 type,
	const void *payload, u32 bytes)
{
	struct hv_message m = {.type = type, .len = (u8)bytes, .sender = connection};

	if (connection & ~HV_CONNECTION_BITS)
		return HVS_INVALID_CONNECTION;
	if (!type || type & TYPE_OF_HYPERVISOR || bytes > sizeof(m.payload))
		return HVS_INVALID_PARAMETER;
	memcpy(m.payload, payload, bytes);
	return send_all(t, from, &m, 0);
}

u16 sint_signal(struct vtl *t, const struct sint_end *from, u32 connection, u32 flag)
{
	if (connection & ~HV_CONNECTION_BITS)
		return HVS_INVALID_CONNECTION;
	return flag < SINT_FLAGS ? send_all(t, from, NULL, flag) : HVS_INVALID_PARAMETER;
}

u16 sint_post_own(struct vtl *t, const struct hv_message *m)
{
	const struct arrivals a = m->type ? arrive_own(t, NULL, m, 0) : (struct arrivals){0};

	return a.ends ? status_of(&a) : HVS_INVALID_SYNIC_STATE;
}

u16 sint_signal_own(struct vtl *t, u16 flag)
{
	return arrive_own(t, NULL, NULL, flag).ends ? HVS_SUCCESS : HVS_INVALID_SYNIC_STATE;
}

/* ---- requests ---- */

static long told(struct call *c, u16 status, u32 connection)
{
	if (!status)
		return 0;
	if (status == HVS_INVALID_CONNECTION)
		return refuse(c->why, -EINVAL, "connection_id 0x%lx: nobody else is connected",
			(u64)connection);
	return refuse(c->why, hvcall_errno(status), "connection_id 0x%lx: status 0x%lx",
		(u64)connection, (u64)status);
}

long sint_signal_event(struct call *c)
{
	const struct mshv_vtl_signal_event *a = c->data;
	const struct sint_end *e = c->behind;

	return told(c, sint_signal(e->vtl, e, a->connection_id, a->flag), a->connection_id);
}

long sint_post_message(struct call *c)
{
	const struct mshv_vtl_sint_post_msg *a = c->data;
	u8 payload[sizeof(((struct hv_message *)0)->payload)];
	const struct sint_end *e = c->behind;

	if (a->payload_size > sizeof(payload))
		return refuse(c->why, -EINVAL, "payload_size %lu: must be at most %lu",
			(u64)a->payload_size, (u64)sizeof(payload));
	if (copy_in(c->dev, payload, a->payload_ptr, a->payload_size))
		return -EFAULT;
	if (a->message_type > UINT32_MAX)
		return refuse(c->why, -EINVAL, "message_type 0x%lx: must be below 0x80000000",
			(u64)a->message_type);
	return told(c,
		sint_post(e->vtl, e, a->connection_id, (u32)a->message_type, payload,
			a->payload_size),
		a->connection_id);
}

/* Returns what was there. */
static int replace(struct sint_end *e, u32 flag, int fd)
{
	int old;

	pthread_mutex_lock(&e->lock);
	old = e->eventfd[flag];
	e->eventfd[flag] = fd;
	pthread_mutex_unlock(&e->lock);
	return old;
}

long sint_set_eventfd(struct call *c)
{
	const struct mshv_vtl_set_eventfd *a = c->data;
	int fd = -1;

	if (a->flag >= SINT_FLAGS)
		return refuse(c->why, -EINVAL, "flag %lu: must be below %lu", (u64)a->flag,
			(u64)SINT_FLAGS);
	if (a->fd >= 0) {
		fd = eventfd_hold(a->fd);
		if (fd < 0)
			return eventfd_taken(c, fd, (u64)a->fd);
	}
	fd = replace(c->behind, a->flag, fd);
	if (fd >= 0)
		fd_drop(fd);
	return 0;
}

long sint_pause_stream(struct call *c)
{
	const struct mshv_sint_mask *a = c->data;
	struct sint_end *e = c->behind;

	if (!all_zero(a->reserved, sizeof(a->reserved)))
		return refuse(c->why, -EINVAL, "reserved: these bytes must be 0");
	pthread_mutex_lock(&e->lock);
	e->paused = a->mask;
	stream_pause(e->stream, e->paused);
	flush_queue(e);
	sint_bus_go_on(e);
	pthread_mutex_unlock(&e->lock);
	return 0;
}

/* ---- hypercalls of VTL2 ---- */

u16 call_post(struct hvcall *h)
{
	const struct hv_post_message *in = h->in;

	if (in->reserved || in->bytes > h->in_size - sizeof(*in))
		return HVS_INVALID_PARAMETER;
	return sint_post(h->partition->vtl, NULL, in->connection, in->type, in + 1, in->bytes);
}

u16 call_signal(struct hvcall *h)
{
	const struct hv_signal_event *in = h->in;

	if (in->reserved)
		return HVS_INVALID_PARAMETER;
	return sint_signal(h->partition->vtl, NULL, in->connection, in->flag);
}
