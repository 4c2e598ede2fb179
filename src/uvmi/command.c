/* SPDX-License-Identifier: MIT */
/* A command and its answer. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "uvmi/session.h"

static void unlink_pending(struct uvmi *s, struct pending *call)
{
	struct pending **at = &s->pending;

	while (*at && *at != call)
		at = &(*at)->next;
	if (*at)
		*at = call->next;
}

/* Its answer may still come, and must not be taken for garbage. */
static int give_up(struct uvmi *s, const struct pending *call)
{
	struct orphan *o = malloc(sizeof(*o));

	if (!o)
		return peer_fail(s, -ENOMEM);
	*o = (struct orphan){.seq = call->seq, .id = call->id, .next = s->orphans};
	s->orphans = o;
	return -ETIMEDOUT;
}

static bool call_done(struct uvmi *s, void *call)
{
	return ((struct pending *)call)->done;
}

static int collect(struct uvmi *s, struct pending *call, enum uvmi_command command,
	const struct iovec *in, int n)
{
	int r;

	call->done = true;
	if (!command_in_batch(command))
		return -EBUSY;
	r = peer_message(s, call->id, call->seq, in, n);
	return r ? r : batch_add_call(s, call->seq, call->id);
}

int command_start(struct uvmi *s, struct pending *call, enum uvmi_command command,
	const struct iovec *in, int n)
{
	const int id = command_id(s->dialect, command);
	int r;

	call->done = true; /* until it is sent */
	if (id < 0)
		return call->result = -ENOSYS;
	if (s->failed)
		return call->result = s->failed;
	call->seq = ++s->seq;
	call->id = (u16)id;
	call->result = call->got = 0;
	if (batch_is_mine(s))
		return call->result = collect(s, call, command, in, n);
	call->done = false;
	call->next = s->pending;
	s->pending = call;
	r = peer_message(s, call->id, call->seq, in, n);
	if (r) {
		unlink_pending(s, call);
		call->done = true;
		call->result = r;
	}
	return r;
}

int command_finish(struct uvmi *s, struct pending *call)
{
	const int r = peer_wait(s, call_done, call, deadline_in(s->timeout_ms));

	if (!r)
		return call->result;
	unlink_pending(s, call);
	return r == -ETIMEDOUT ? give_up(s, call) : r;
}

int command_open(struct uvmi *s, enum uvmi_command command, const struct iovec *in, int n,
	struct pending *spec)
{
	int r;

	peer_lock(s);
	r = command_start(s, spec, command, in, n);
	if (!r)
		r = command_finish(s, spec);
	peer_unlock(s);
	return r;
}

int command_fixed(
	struct uvmi *s, enum uvmi_command command, struct iovec in, void *out, size_t size)
{
	struct pending spec = {.out = out, .min = size, .max = size};

	return command_open(s, command, &in, 1, &spec);
}

int command_plain(struct uvmi *s, enum uvmi_command command, struct iovec in)
{
	return command_fixed(s, command, in, NULL, 0);
}

int vcpu_check(unsigned vcpu)
{
	return vcpu > UINT16_MAX ? -EINVAL : 0;
}
