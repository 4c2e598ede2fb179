/* SPDX-License-Identifier: MIT */
/* Replies to events. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "uvmi/session.h"

_Static_assert(UVMI_CTX_SIZE == KVMI_CTX_DATA_SIZE, "the protocol's");
_Static_assert(UVMI_CONTINUE == KVMI_EVENT_ACTION_CONTINUE &&
		       UVMI_RETRY == KVMI_EVENT_ACTION_RETRY &&
		       UVMI_CRASH == KVMI_EVENT_ACTION_CRASH,
	"the protocol's");

/* The protocol lets no other event be retried: its instruction would be lost or be given #GP. */
static bool may_retry(enum uvmi_dialect dialect, unsigned event)
{
	return event == UVMI_EVENT_BREAKPOINT || event == UVMI_EVENT_PF ||
	       (event == UVMI_EVENT_DESCRIPTOR && dialect == UVMI_V6);
}

static int answer_check(
	const struct uvmi *s, const struct uvmi_event *event, const struct uvmi_answer *answer)
{
	if (answer->action > UVMI_CRASH || answer->ctx_size > UVMI_CTX_SIZE)
		return -EINVAL;
	return answer->action == UVMI_RETRY && !may_retry(s->dialect, event->event) ? -EINVAL : 0;
}

/* What is the event's own, behind the common part: 0 or 1 part. */
static int pf_part_v5(const struct uvmi_answer *a, struct kvmi_event_pf_reply *pf)
{
	*pf = (struct kvmi_event_pf_reply){.singlestep = a->singlestep,
		.rep_complete = a->rep_complete,
		.ctx_size = a->ctx_size};
	memcpy(pf->ctx_data, a->ctx_data, a->ctx_size);
	return 1;
}

static int pf_part_v6(const struct uvmi_answer *a, struct kvmi_v6_event_pf_reply *pf)
{
	*pf = (struct kvmi_v6_event_pf_reply){.singlestep = a->singlestep,
		.rep_complete = a->rep_complete,
		.ctx_addr = a->ctx_addr,
		.ctx_size = a->ctx_size};
	memcpy(pf->ctx_data, a->ctx_data, a->ctx_size);
	return 1;
}

int reply_send(struct uvmi *s, const struct uvmi_event *event, const struct uvmi_answer *answer)
{
	const struct kvmi_event_reply v5 = {.action = answer->action, .event = event->event};
	const struct kvmi_v6_event_reply v6 = {
		.hdr.vcpu = event->vcpu, .action = answer->action, .event = event->event};
	const u16 id = s->dialect == UVMI_V5 ? KVMI_EVENT_REPLY : KVMI_V6_EVENT_REPLY;
	const struct kvmi_event_cr_reply value = {.new_val = answer->new_val};
	struct kvmi_v6_event_pf_reply pf6;
	struct kvmi_event_pf_reply pf5;
	struct iovec parts[2] = {EITHER(s, v5, v6)};
	int n = 1;

	if (event->event == UVMI_EVENT_CR || event->event == UVMI_EVENT_MSR)
		parts[n++] = PART(value);
	else if (event->event == UVMI_EVENT_PF) {
		parts[n] = EITHER(s, pf5, pf6);
		n += s->dialect == UVMI_V5 ? pf_part_v5(answer, &pf5) : pf_part_v6(answer, &pf6);
	}
	return peer_message(s, id, event->seq, parts, n);
}

/* The event that waits counts, not what the caller has made of it. */
static int reply_locked(
	struct uvmi *s, const struct uvmi_event *event, const struct uvmi_answer *answer)
{
	struct event_node *node;
	int r = s->failed;

	if (!r)
		r = answer_check(s, event, answer);
	if (r)
		return r;
	node = event_list_take(&s->waiting, event->seq, event->vcpu);
	if (!node)
		return -ENOENT;
	r = reply_send(s, &node->event, answer);
	free(node);
	return r;
}

int uvmi_reply(struct uvmi *s, const struct uvmi_event *event, const struct uvmi_answer *answer)
{
	int r;

	if (!event_wants_reply(event->event))
		return 0;
	peer_lock(s);
	r = reply_locked(s, event, answer);
	peer_unlock(s);
	return r;
}

static u64 new_value_of(const struct uvmi_event *event)
{
	if (event->event == UVMI_EVENT_CR)
		return event->u.cr.new_value;
	return event->event == UVMI_EVENT_MSR ? event->u.msr.new_value : 0;
}

int uvmi_reply_continue(struct uvmi *s, const struct uvmi_event *event)
{
	return uvmi_reply_value(s, event, new_value_of(event));
}

int uvmi_reply_value(struct uvmi *s, const struct uvmi_event *event, uint64_t new_val)
{
	const struct uvmi_answer answer = {.action = UVMI_CONTINUE, .new_val = new_val};

	return uvmi_reply(s, event, &answer);
}

int uvmi_reply_retry(struct uvmi *s, const struct uvmi_event *event)
{
	const struct uvmi_answer answer = {.action = UVMI_RETRY};

	return uvmi_reply(s, event, &answer);
}

int uvmi_reply_crash(struct uvmi *s, const struct uvmi_event *event)
{
	const struct uvmi_answer answer = {.action = UVMI_CRASH, .new_val = new_value_of(event)};

	return uvmi_reply(s, event, &answer);
}
