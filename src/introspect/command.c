/* SPDX-License-Identifier: MIT */
/* See command.h. */
#include "introspect/command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "introspect/event.h"
#include "introspect/vcpu.h"
#include "introspect/wire.h"

/* ---- answers ---- */

struct answer_head {
	struct kvmi_msg_hdr header;
	struct kvmi_error_code error;
};

void *call_answer(struct tool_call *c, size_t size)
{
	if (size > UINT16_MAX - sizeof(struct kvmi_error_code))
		return NULL;
	c->message = calloc(1, sizeof(struct answer_head) + size);
	c->answer_size = size;
	return c->message ? c->message + sizeof(struct answer_head) : NULL;
}

static void answer(struct session *s, const struct job *job, int err, struct tool_call *c)
{
	struct answer_head bare, *head = err || !c->message ? &bare : (void *)c->message;
	size_t size = head == &bare ? 0 : c->answer_size;

	*head = (struct answer_head){
		.header = {.id = job->id,
			.size = (u16)(sizeof(head->error) + size),
			.seq = job->seq},
		.error = {.err = err},
	};
	wire_send(s, head, sizeof(*head) + size, c->ram.fd, size ? c->ram.files : 0);
}

static void report_error(struct introspection *i, struct session *s, const struct job *job, int err)
{
	if (err && job->reported)
		event_command_error(i, s, job->id, job->seq, err);
}

void command_run(struct introspection *i, struct session *s, struct watched *w, struct job *job)
{
	struct tool_call c = {.i = i,
		.s = s,
		.w = w,
		.payload = job->payload,
		.size = job->size,
		.answered = job->answered};
	int r = job->command->run(&c);

	if (r == CALL_CLOSE)
		wire_shut(s->fd);
	else if (c.answered)
		answer(s, job, r, &c);
	else
		report_error(i, s, job, r);
	ram_files_free(&c.ram);
	free(c.message);
	free(job);
}

/* ---- what is checked ---- */

const struct tool_command *command_find(const struct dialect *d, u16 id)
{
	return id < d->command_count && d->commands[id].run ? &d->commands[id] : NULL;
}

bool command_allowed(const struct session *s, const struct tool_command *c)
{
	if (c->flags & COMMAND_ALWAYS)
		return true;
	if (s->rights.read_only && (c->flags & COMMAND_WRITES))
		return false;
	return s->rights.commands & BIT(c->like);
}

/* How long the whole payload is to be; SIZE_MAX: more than can be. */
static size_t full_size(const struct tool_command *c, const u8 *payload)
{
	u64 count = 0;

	if (!c->item)
		return c->size;
	memcpy(&count, payload + c->count_at, c->item == 1 ? sizeof(u64) : sizeof(u16));
	return count > UINT16_MAX ? SIZE_MAX : c->size + count * c->item;
}

/* An id that is no command's counts as a command without a payload. */
static bool exact_size(const struct tool_command *c, size_t size, const u8 *payload)
{
	if (!c)
		return !size;
	return size >= c->size && size == full_size(c, payload);
}

static bool padding_is_zero(const struct tool_command *c, const u8 *payload)
{
	for (unsigned at = 0; at < c->size && at < 128; at++)
		if (payload[at] && (c->padding[at / 64] & BIT64(at % 64)))
			return false;
	return true;
}

static struct job *make_job(
	const struct tool_command *c, const struct kvmi_msg_hdr *h, const u8 *payload)
{
	size_t size = MAX(h->size, c->size);
	struct job *job = calloc(1, sizeof(*job) + size);

	if (!job)
		return NULL;
	*job = (struct job){.command = c, .id = h->id, .seq = h->seq, .size = size};
	memcpy(job->payload, payload, h->size);
	return job;
}

static u16 vcpu_of(const struct job *job)
{
	u16 index;

	memcpy(&index, job->payload, sizeof(index));
	return index;
}

/* What is wrong with it before anybody does it; *ret_w is its vcpu. */
static int refused(struct introspection *i, const struct job *job, struct watched **ret_w)
{
	const struct tool_command *c = job->command;

	if (c->where == ON_VCPU) {
		*ret_w = vcpu_of(job) < watched_count(i) ? watched_at(i, vcpu_of(job)) : NULL;
		if (!*ret_w)
			return -KVM_EINVAL;
		if (!watched_started(*ret_w))
			return -KVM_EAGAIN;
	}
	if (!padding_is_zero(c, job->payload) || full_size(c, job->payload) > job->size)
		return -KVM_EINVAL;
	return 0;
}

/* While commands have no answer, nobody can be told of some things. */
static int unanswerable(const struct session *s, const struct tool_command *c)
{
	return s->silent && (!c || !command_allowed(s, c) || (c->flags & COMMAND_ANSWERS));
}

static int answer_at_once(
	struct introspection *i, struct session *s, const struct job *job, int err)
{
	struct tool_call none = {0};

	if (job->answered)
		answer(s, job, err, &none);
	else
		report_error(i, s, job, err);
	return 0;
}

static void dispatch(struct introspection *i, struct session *s, struct job *job)
{
	struct watched *w = NULL;
	int r = refused(i, job, &w);

	if (!r && !w) {
		command_run(i, s, NULL, job);
		return;
	}
	if (!r)
		r = watched_queue(w, job);
	if (r) {
		answer_at_once(i, s, job, r);
		free(job);
	}
}

static int refuse_message(struct session *s, const struct kvmi_msg_hdr *h, int err)
{
	const struct job unknown = {.id = h->id, .seq = h->seq};
	struct tool_call none = {0};

	answer(s, &unknown, err, &none);
	return 0;
}

static int do_command(
	struct introspection *i, struct session *s, const struct kvmi_msg_hdr *h, const u8 *payload)
{
	const struct tool_command *c = command_find(s->dialect, h->id);
	struct job *job;

	if (s->dialect->exact && !exact_size(c, h->size, payload))
		return CALL_CLOSE;
	if (unanswerable(s, c))
		return CALL_CLOSE;
	if (!c)
		return refuse_message(s, h, -KVM_ENOSYS);
	if (!command_allowed(s, c))
		return refuse_message(s, h, s->dialect->forbidden);
	job = make_job(c, h, payload);
	if (!job)
		return refuse_message(s, h, -KVM_ENOMEM);
	job->answered = !s->silent;
	job->reported = s->errors_as_events;
	dispatch(i, s, job);
	return 0;
}

/* GET_VERSION has no payload, and another number in each dialect. */
static const struct dialect *dialect_of(const struct kvmi_msg_hdr *h)
{
	return h->id == KVMI_V6_GET_VERSION ? &kvmi_v6 : &kvmi_v5;
}

int command_received(
	struct introspection *i, struct session *s, const struct kvmi_msg_hdr *h, const u8 *payload)
{
	if (!s->dialect) {
		pthread_mutex_lock(&i->lock);
		s->dialect = dialect_of(h);
		pthread_mutex_unlock(&i->lock);
	}
	if (h->size > s->dialect->max_size)
		return CALL_CLOSE;
	if (h->id == s->dialect->reply_id)
		return s->dialect->read_reply(i, h->seq, payload, h->size);
	if (s->dialect->exact && h->id >= s->dialect->command_count)
		return CALL_CLOSE;
	return do_command(i, s, h, payload);
}
