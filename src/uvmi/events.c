/* SPDX-License-Identifier: MIT */
/* Events from their arrival until the tool takes them; and the lists that hold them. */
#include <errno.h>
#include <stdlib.h>

#include "uvmi/session.h"

/* A vCPU has one event at a time, so this is garbage or a flood. */
#define QUEUE_MAX 16384

void event_list_init(struct event_list *list)
{
	*list = (struct event_list){.first = NULL, .end = &list->first};
}

void event_list_add(struct event_list *list, struct event_node *node)
{
	node->next = NULL;
	*list->end = node;
	list->end = &node->next;
	list->n++;
}

static struct event_node *take_at(struct event_list *list, struct event_node **at)
{
	struct event_node *node = *at;

	*at = node->next;
	if (list->end == &node->next)
		list->end = at;
	list->n--;
	return node;
}

struct event_node *event_list_first(struct event_list *list)
{
	return list->first ? take_at(list, &list->first) : NULL;
}

struct event_node *event_list_take(struct event_list *list, u32 seq, u16 vcpu)
{
	for (struct event_node **at = &list->first; *at; at = &(*at)->next)
		if ((*at)->event.seq == seq && (*at)->event.vcpu == vcpu)
			return take_at(list, at);
	return NULL;
}

bool event_list_has_vcpu(const struct event_list *list, unsigned vcpu)
{
	for (const struct event_node *node = list->first; node; node = node->next)
		if (node->event.vcpu == vcpu && event_wants_reply(node->event.event))
			return true;
	return false;
}

void event_list_free(struct event_list *list)
{
	struct event_node *node;

	while ((node = event_list_first(list)))
		free(node);
}

bool event_wants_reply(unsigned event)
{
	return event != UVMI_EVENT_UNHOOK && event != UVMI_EVENT_CMD_ERROR;
}

int event_arrived(struct uvmi *s, u32 seq, const u8 *payload, size_t size)
{
	struct event_node *node = malloc(sizeof(*node));
	int r;

	if (!node)
		return -ENOMEM;
	r = event_decode(s->dialect, payload, size, &node->event);
	node->event.seq = seq;
	if (!r && s->queue.n >= QUEUE_MAX)
		r = -EPROTO;
	if (!r)
		r = pause_takes(s, node);
	if (r < 0) {
		free(node);
		return r;
	}
	if (r == 0)
		event_list_add(&s->queue, node);
	return 0;
}

static bool event_or_wake(struct uvmi *s, void *arg)
{
	return atomic_load(&s->woken) || s->queue.first;
}

/* Lock held; there is one. */
static void hand_over(struct uvmi *s, struct uvmi_event *ret)
{
	struct event_node *node = event_list_first(&s->queue);

	*ret = node->event;
	if (event_wants_reply(node->event.event))
		event_list_add(&s->waiting, node);
	else
		free(node);
}

int uvmi_next_event(struct uvmi *s, struct uvmi_event *ret, int timeout_ms)
{
	const u64 deadline = deadline_in(timeout_ms);
	int r;

	peer_lock(s);
	r = batch_is_mine(s) ? -EBUSY : peer_wait(s, event_or_wake, NULL, deadline);
	if (!r && atomic_exchange(&s->woken, 0))
		r = -EINTR;
	else if (!r && s->queue.first)
		hand_over(s, ret);
	peer_unlock(s);
	return r;
}

int uvmi_run(struct uvmi *s, uvmi_event_fn function, void *opaque)
{
	struct uvmi_event event;
	int r;

	do {
		r = uvmi_next_event(s, &event, UVMI_FOREVER);
		if (!r)
			r = function(s, &event, opaque);
	} while (!r);
	return r;
}
