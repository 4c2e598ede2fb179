/* SPDX-License-Identifier: MIT */
/*
 * Batches: messages that are sent together. In v6 the VM is told to answer none of them but the last, a message that
 * turns answers on again; in v5 the answers are read at the end.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "uvmi/session.h"

bool batch_is_mine(const struct uvmi *s)
{
	return s->batch.open && pthread_equal(s->batch.owner, pthread_self());
}

/* Room for size bytes more. */
static int grow(struct batch *b, size_t size)
{
	const size_t room = MAX(b->room * 2, b->size + size);
	u8 *bytes;

	if (b->size + size <= b->room)
		return 0;
	bytes = realloc(b->bytes, room);
	if (!bytes) {
		b->failed = true;
		return -ENOMEM;
	}
	b->bytes = bytes;
	b->room = room;
	return 0;
}

int batch_add_message(struct uvmi *s, const struct iovec *parts, int n)
{
	struct batch *b = &s->batch;
	size_t size = 0;

	for (int i = 0; i < n; i++)
		size += parts[i].iov_len;
	if (grow(b, size))
		return -ENOMEM;
	for (int i = 0; i < n; i++) {
		memcpy(b->bytes + b->size, parts[i].iov_base, parts[i].iov_len);
		b->size += parts[i].iov_len;
	}
	return 0;
}

int batch_add_call(struct uvmi *s, u32 seq, u16 id)
{
	struct batch *b = &s->batch;
	const unsigned room = b->calls_room ? 2 * b->calls_room : 16;
	struct pending *calls;

	if (s->dialect == UVMI_V6)
		return 0;
	if (b->n == b->calls_room) {
		calls = realloc(b->calls, room * sizeof(*calls));
		if (!calls) {
			b->failed = true;
			return -ENOMEM;
		}
		b->calls = calls;
		b->calls_room = room;
	}
	b->calls[b->n++] = (struct pending){.seq = seq, .id = id};
	return 0;
}

void batch_free(struct batch *b)
{
	free(b->bytes);
	free(b->calls);
	*b = (struct batch){.open = false};
}

/* Turns answers on or off, from this message on. */
static int control_response(struct uvmi *s, u32 seq, bool enable)
{
	const struct kvmi_v6_control_cmd_response r = {.enable = enable, .now = 1};
	const struct iovec part = PART(r);

	return peer_message(s, KVMI_V6_CONTROL_CMD_RESPONSE, seq, &part, 1);
}

int uvmi_batch_begin(struct uvmi *s)
{
	int r;

	peer_lock(s);
	r = batch_is_mine(s) ? -EBUSY : 0;
	while (!r && !s->failed && (s->batch.open || s->sending))
		pthread_cond_wait(&s->changed, &s->lock);
	if (!r)
		r = s->failed;
	if (!r) {
		s->batch = (struct batch){.open = true, .owner = pthread_self()};
		if (s->dialect == UVMI_V6)
			r = control_response(s, ++s->seq, false);
		if (r)
			batch_free(&s->batch);
	}
	peer_unlock(s);
	return r;
}

static int send_bytes(struct uvmi *s, struct batch *b)
{
	struct iovec part = {b->bytes, b->size};

	return peer_send(s, &part, 1);
}

/* All answers are read; the first error counts. */
static int finish_v5(struct uvmi *s, struct batch *b)
{
	int r, first;

	for (unsigned i = 0; i < b->n; i++) {
		b->calls[i].next = s->pending;
		s->pending = &b->calls[i];
	}
	first = send_bytes(s, b);
	for (unsigned i = 0; i < b->n; i++) {
		r = command_finish(s, &b->calls[i]);
		if (!first)
			first = r;
	}
	return first;
}

static int finish_v6(struct uvmi *s, struct batch *b)
{
	struct pending last = {
		.seq = ++s->seq, .id = KVMI_V6_CONTROL_CMD_RESPONSE, .next = s->pending};
	int sent;

	s->pending = &last;
	sent = send_bytes(s, b);
	/* If it could not be sent, the session has failed, and there is nothing to wait for. */
	return sent ? (command_finish(s, &last), sent) : command_finish(s, &last);
}

/* The message that ends a batch has the number that finish_v6() will wait for. */
static int close_batch(struct uvmi *s, struct batch *b)
{
	int r = 0;

	if (s->dialect == UVMI_V6)
		r = control_response(s, s->seq + 1, true);
	*b = s->batch;
	s->batch = (struct batch){.open = false};
	pthread_cond_broadcast(&s->changed);
	return r || b->failed ? -ENOMEM : 0;
}

/* In v6 a batch without a command has only the message that turns answers off. */
static bool is_empty(const struct uvmi *s, const struct batch *b)
{
	const size_t first =
		sizeof(struct kvmi_msg_hdr) + sizeof(struct kvmi_v6_control_cmd_response);

	return b->size == (s->dialect == UVMI_V6 ? first : 0);
}

static int end_locked(struct uvmi *s)
{
	struct batch b;
	bool empty;
	int r;

	if (!batch_is_mine(s))
		return -EINVAL;
	empty = is_empty(s, &s->batch);
	r = close_batch(s, &b);
	if (!r && s->failed)
		r = s->failed;
	if (!r && !empty)
		r = s->dialect == UVMI_V5 ? finish_v5(s, &b) : finish_v6(s, &b);
	batch_free(&b);
	return r;
}

int uvmi_batch_end(struct uvmi *s)
{
	int r;

	peer_lock(s);
	r = end_locked(s);
	peer_unlock(s);
	return r;
}
