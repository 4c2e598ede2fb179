/* SPDX-License-Identifier: MIT */
/*
 * Messages and event flags for the guest (TLFS 11.8 to 11.10), from any thread. synic.lock makes posting one thing, but the
 * other side of a slot is the guest, which has no lock: it takes a message, sets the slot's type to 0, and then looks at the
 * flag "message pending", which says that it must tell us (EOM). So who finds a slot full sets the flag and then looks at the
 * type again. One of the two sees the other.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/pv/hyperv/hv.h"
#include "engine/request/post.h"

#define FLAG_BYTES (SYNIC_FLAGS / 8)
_Static_assert(FLAG_BYTES *HV_SINTS == PAGE_SIZE, "TLFS 11.8.3");

/* ---- slots; the lock is held ---- */

static bool has_slots(const struct vcpu *v)
{
	const struct hv_vp *hv = v->hv;

	/* KVM does not look at SCONTROL. */
	return (hv->synic.simp & HV_PAGE_ENABLE) &&
	       (!hv_is_partition(v) || (hv->synic.control & HV_SCONTROL_ENABLE));
}

static u64 slot_gpa(const struct vcpu *v, unsigned sint)
{
	return (v->hv->synic.simp & PAGE_MASK) + sint * sizeof(struct hv_message);
}

/* 0: it is free, -EAGAIN: it is not, -ENOENT. */
static int slot_look(struct vcpu *v, unsigned sint)
{
	u32 type;

	if (!has_slots(v) || machine_read(v->machine, slot_gpa(v, sint), &type, sizeof(type)))
		return -ENOENT;
	return type ? -EAGAIN : 0;
}

/* The same, and if it is not free the guest tells when it is. */
static int slot_await(struct vcpu *v, unsigned sint)
{
	u64 at = slot_gpa(v, sint) + offsetof(struct hv_message, flags);
	int r = slot_look(v, sint);
	u8 flags;

	if (r != -EAGAIN)
		return r;
	if (machine_read(v->machine, at, &flags, 1))
		return -ENOENT;
	flags |= HV_MESSAGE_PENDING;
	if (machine_write(v->machine, at, &flags, 1))
		return -ENOENT;
	atomic_thread_fence(memory_order_seq_cst);
	return slot_look(v, sint);
}

/* So many bytes of the message; the type last: with it the message is there. */
static int slot_fill(struct vcpu *v, unsigned sint, const struct hv_message *msg, size_t bytes)
{
	u64 gpa = slot_gpa(v, sint);

	if (machine_write(
		    v->machine, gpa + sizeof(msg->type), &msg->len, bytes - sizeof(msg->type)) ||
		machine_write(v->machine, gpa, &msg->type, sizeof(msg->type)))
		return -ENOENT;
	return 0;
}

/* ---- queues; the lock is held ---- */

static int enqueue(struct message_queue *q, const struct hv_message *msg)
{
	if (!q->ring)
		q->ring = calloc(SYNIC_QUEUE_MAX, sizeof(*q->ring));
	if (!q->ring)
		return -ENOMEM;
	if (q->count == SYNIC_QUEUE_MAX)
		return -EAGAIN;
	q->ring[(q->first + q->count++) % SYNIC_QUEUE_MAX] = *msg;
	return 0;
}

/* To the slot, with what its flag must say. */
static int deliver(struct vcpu *v, unsigned sint, struct hv_message *msg, bool more)
{
	int r;

	msg->flags = (u8)(msg->flags & ~HV_MESSAGE_PENDING) | (more ? HV_MESSAGE_PENDING : 0);
	r = slot_fill(v, sint, msg, sizeof(*msg));
	if (!r)
		hv_synic_raise(v, sint);
	return r;
}

/* What waits comes first. 0: nothing waits any more; -EAGAIN, -ENOENT: something does. */
static int drain(struct vcpu *v, unsigned sint)
{
	struct message_queue *q = &v->hv->synic.queue[sint];

	while (q->count) {
		int r = slot_await(v, sint);

		if (!r)
			r = deliver(v, sint, &q->ring[q->first], q->count > 1);
		if (r)
			return r;
		q->first = (q->first + 1) % SYNIC_QUEUE_MAX;
		q->count--;
	}
	return 0;
}

static int post(struct vcpu *v, unsigned sint, struct hv_message *msg)
{
	int r = drain(v, sint);

	if (!r)
		r = slot_await(v, sint);
	if (!r)
		return deliver(v, sint, msg, false);
	return r == -EAGAIN ? enqueue(&v->hv->synic.queue[sint], msg) : r;
}

/* ---- messages ---- */

/* A partition's wait for the guest to set its controller up (synic.c: stored()). */
static int post_early(struct vcpu *v, unsigned sint, const struct hv_message *msg)
{
	struct hv_vp *hv = v->hv;

	return hv_is_partition(v) && atomic_load(&hv->synic.active)
		       ? enqueue(&hv->synic.queue[sint], msg)
		       : -ENOENT;
}

int vcpu_synic_post(struct vcpu *v, unsigned sint, const struct hv_message *msg)
{
	struct hv_message copy = *msg;
	int r;

	if (sint >= HV_SINTS || !copy.type || copy.len > sizeof(copy.payload))
		return -EINVAL;
	pthread_mutex_lock(&v->hv->synic.lock);
	r = has_slots(v) ? post(v, sint, &copy) : post_early(v, sint, &copy);
	pthread_mutex_unlock(&v->hv->synic.lock);
	return r;
}

int hv_message_post(
	struct vcpu *v, unsigned sint, u32 type, const void *payload, u8 len, bool lossy)
{
	struct hv_message msg = {.type = type, .len = len};
	int r;

	memcpy(msg.payload, payload, len);
	pthread_mutex_lock(&v->hv->synic.lock);
	r = drain(v, sint);
	if (!r)
		r = lossy ? slot_look(v, sint) : slot_await(v, sint);
	if (!r)
		r = slot_fill(v, sint, &msg, offsetof(struct hv_message, payload) + len);
	pthread_mutex_unlock(&v->hv->synic.lock);
	if (r)
		return r == -EAGAIN && lossy ? 0 : r;
	r = hv_synic_raise(v, sint);
	/* To KVM a message without an interrupt is none. */
	return r < 0 && !hv_is_partition(v) ? -ENOENT : 0;
}

void hv_message_next(struct vcpu *v, unsigned sint)
{
	struct hv_vp *hv = v->hv;

	pthread_mutex_lock(&hv->synic.lock);
	drain(v, sint);
	if (hv->synic.notify)
		atomic_store(&hv->synic.look, true);
	pthread_mutex_unlock(&hv->synic.lock);
}

void hv_message_free(struct hv_vp *hv)
{
	for (unsigned i = 0; i < HV_SINTS; i++)
		free(hv->synic.queue[i].ring);
	free(hv->synic.latch);
	pthread_mutex_destroy(&hv->synic.lock);
}

/* ---- readiness ---- */

u16 hv_message_ready(struct vcpu *v, bool take)
{
	struct hv_vp *hv = v->hv;
	u16 ready = 0;

	pthread_mutex_lock(&hv->synic.lock);
	for (u32 left = hv->synic.notify; left; left &= left - 1) {
		unsigned sint = (unsigned)__builtin_ctz(left);

		if (has_slots(v) && !drain(v, sint) && !slot_await(v, sint))
			ready |= (u16)BIT(sint);
	}
	if (take)
		hv->synic.notify &= (u16)~ready;
	atomic_store(&hv->synic.look, ready && !take);
	pthread_mutex_unlock(&hv->synic.lock);
	return ready;
}

void vcpu_synic_notify(struct vcpu *v, u16 sints)
{
	pthread_mutex_lock(&v->hv->synic.lock);
	v->hv->synic.notify = sints;
	atomic_store(&v->hv->synic.look, sints != 0);
	pthread_mutex_unlock(&v->hv->synic.lock);
	vcpu_post_event(v);
}

u16 vcpu_synic_notified(struct vcpu *v)
{
	u16 sints;

	pthread_mutex_lock(&v->hv->synic.lock);
	sints = v->hv->synic.notify;
	pthread_mutex_unlock(&v->hv->synic.lock);
	return sints;
}

/* ---- event flags ---- */

/* Without a page they are in one of ours. The lock is held. */
static int set_flag(struct vcpu *v, u32 at, unsigned bit, bool *ret_was)
{
	struct hv_vp *hv = v->hv;

	if (hv->synic.siefp & HV_PAGE_ENABLE)
		return machine_set_bit(
			v->machine, (hv->synic.siefp & PAGE_MASK) + at, bit, ret_was);
	if (!hv->synic.latch)
		hv->synic.latch = calloc(1, PAGE_SIZE);
	if (!hv->synic.latch)
		return -ENOMEM;
	*ret_was = hv->synic.latch[at] & BIT(bit);
	hv->synic.latch[at] |= (u8)BIT(bit);
	return 0;
}

int vcpu_synic_signal(struct vcpu *v, unsigned sint, u16 flag, bool *ret_new)
{
	struct hv_vp *hv = v->hv;
	bool was, listens;
	int r;

	if (sint >= HV_SINTS || flag >= SYNIC_FLAGS)
		return -EINVAL;
	pthread_mutex_lock(&hv->synic.lock);
	r = set_flag(v, sint * FLAG_BYTES + flag / 8, flag % 8, &was);
	listens = (hv->synic.siefp & HV_PAGE_ENABLE) && (hv->synic.control & HV_SCONTROL_ENABLE);
	pthread_mutex_unlock(&hv->synic.lock);
	if (r)
		return r;
	if (!was && listens)
		hv_synic_raise(v, sint);
	*ret_new = !was;
	return 0;
}
