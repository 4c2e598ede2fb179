/* SPDX-License-Identifier: MIT */
/* A tool's session from its socket to its end: the receiver's thread, and who may begin and end one. See session.h. */
#include "introspect/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/hostcpu.h"
#include "base/sys.h"
#include "introspect/command.h"
#include "introspect/event.h"
#include "introspect/receiver.h"
#include "introspect/vcpu.h"
#include "introspect/wire.h"

/* ---- a machine's ---- */

int introspection_create(struct machine *m, struct maps *maps, struct introspection **ret)
{
	struct introspection *i = calloc(1, sizeof(*i));

	if (!i)
		return -ENOMEM;
	i->machine = m;
	i->amd = host_cpu_is_amd();
	i->maps = maps;
	tokens_init(&i->tokens);
	pthread_mutex_init(&i->lock, NULL);
	*ret = i;
	return 0;
}

static void end_receiver(struct introspection *i)
{
	pthread_mutex_lock(&i->lock);
	i->ending = true;
	if (i->session)
		wire_shut(i->session->fd);
	cond_changed(&i->idle);
	pthread_mutex_unlock(&i->lock);
	if (i->has_thread)
		thread_join(&i->thread);
}

void introspection_destroy(struct introspection *i)
{
	if (!i)
		return;
	end_receiver(i);
	if (i->tapped)
		machine_set_tap(i->machine, NULL, NULL);
	watched_free_all(i);
	tokens_free(&i->tokens);
	pthread_mutex_destroy(&i->lock);
	free(i);
}

/* ---- a session begins ---- */

#define SEND_S 30

/* A tool that does not read any more is cut off, or it could hold vcpus for ever. */
static void limit_sending(int fd)
{
	const struct timeval limit = {.tv_sec = SEND_S};

	sys_setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

static struct session *session_make(int fd, const struct introspect_rights *rights)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->fd = fd;
	s->rights = *rights;
	limit_sending(fd);
	pthread_mutex_init(&s->send_lock, NULL);
	return s;
}

static void session_free(struct session *s)
{
	pthread_mutex_destroy(&s->send_lock);
	fd_drop(s->fd);
	free(s);
}

int receiver_begin(struct introspection *i, int fd, const struct introspect_rights *rights)
{
	struct session *s = session_make(fd, rights);
	int r = 0;

	if (!s)
		return -ENOMEM;
	pthread_mutex_lock(&i->lock);
	if (i->session || i->ending)
		r = -EBUSY;
	else
		i->session = s;
	pthread_mutex_unlock(&i->lock);
	if (r) {
		s->fd = -1;
		session_free(s);
	}
	return r;
}

/* Events and vcpus are told from here on. Who was left crashed by an earlier tool stays so. */
int receiver_watch(struct introspection *i)
{
	int r = i->tapped ? 0 : machine_set_tap(i->machine, &introspect_tap, i);

	i->tapped = !r;
	if (!r)
		maps_lend(i->maps, i);
	return r;
}

/* ---- and ends ---- */

static bool is_crashed(struct introspection *i)
{
	struct watched *w;

	for_each_watched(i, w)
	{
		if (w->crashed)
			return true;
	}
	return false;
}

static void wake_all(struct introspection *i)
{
	struct watched *w;

	for_each_watched(i, w) cond_changed(&w->wake);
}

static void stop_asking(struct introspection *i, struct session *s)
{
	wire_shut(s->fd);
	pthread_mutex_lock(&i->lock);
	s->over = true;
	wake_all(i);
	while (s->users)
		cond_wait(&i->idle, &i->lock);
	pthread_mutex_unlock(&i->lock);
}

/* Nobody is asked when machine_set_tap() has returned, so the vcpus' wishes are nobody's. */
void receiver_end(struct introspection *i)
{
	struct session *s = i->session;
	bool crashed;

	stop_asking(i, s);
	maps_take_back(i->maps, i);
	if (i->tapped)
		machine_set_tap(i->machine, NULL, NULL);
	pthread_mutex_lock(&i->lock);
	watched_reset(i);
	crashed = is_crashed(i);
	i->session = NULL;
	i->closing = true;
	pthread_mutex_unlock(&i->lock);
	i->tapped = crashed && !machine_set_tap(i->machine, &introspect_tap, i);
	pthread_mutex_lock(&i->lock);
	i->closing = false;
	cond_changed(&i->idle);
	pthread_mutex_unlock(&i->lock);
	session_free(s);
}

/* ---- meanwhile ---- */

/* The answer is found by the number, so the question is put with it. */
static u32 next_event(
	struct introspection *i, struct session *s, const struct tool_event *r, struct watched *w)
{
	u32 seq;

	pthread_mutex_lock(&i->lock);
	seq = ++s->event_seq;
	if (r->event == KVMI_EVENT_UNHOOK)
		s->unhook_seq = seq;
	if (w) {
		w->question.seq = seq;
		w->question.waits = true;
	}
	pthread_mutex_unlock(&i->lock);
	return seq;
}

/* Numbers are as they come out of the socket, whoever sends. */
void session_send_event(
	struct introspection *i, struct session *s, const struct tool_event *r, struct watched *w)
{
	struct {
		struct kvmi_msg_hdr header;
		u8 payload[EVENT_BYTES_MAX];
	} m = {.header = {.id = s->dialect->event_id}};
	size_t n = s->dialect->write_event(r, w, m.payload);

	m.header.size = (u16)n;
	pthread_mutex_lock(&s->send_lock);
	m.header.seq = next_event(i, s, r, w);
	if (wire_write(s->fd, &m, sizeof(m.header) + n))
		wire_shut(s->fd);
	pthread_mutex_unlock(&s->send_lock);
}

void session_set_vm_events(struct introspection *i, u32 events)
{
	pthread_mutex_lock(&i->lock);
	i->session->vm_events = events;
	pthread_mutex_unlock(&i->lock);
}

/* The tool speaks first, so nothing is to be told before. */
void receiver_serve(struct introspection *i)
{
	struct session *s = i->session;
	struct inbox *in = calloc(1, sizeof(*in));
	struct kvmi_msg_hdr h;
	const u8 *payload;

	while (in && !wire_receive(s->fd, in, &h, &payload))
		if (command_received(i, s, &h, payload))
			break;
	free(in);
}

/* ---- being asked to go ---- */

/* The session stays while it is used. */
static int use_for_unhook(struct introspection *i, struct session **ret)
{
	struct session *s = i->session;

	if (!s || s->over)
		return -ENOENT;
	if (!s->dialect || !(s->vm_events & BIT(KVMI_EVENT_UNHOOK)))
		return -EPERM;
	s->users++;
	*ret = s;
	return 0;
}

int introspection_unhook(struct introspection *i)
{
	struct session *s;
	int r;

	pthread_mutex_lock(&i->lock);
	r = use_for_unhook(i, &s);
	pthread_mutex_unlock(&i->lock);
	if (r)
		return r;
	event_unhook(i, s);
	pthread_mutex_lock(&i->lock);
	if (!--s->users)
		cond_changed(&i->idle);
	pthread_mutex_unlock(&i->lock);
	return 0;
}
