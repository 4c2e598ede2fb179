/* SPDX-License-Identifier: MIT */
/* A session's beginning and end, and what can be asked without the VM. */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "uvmi/session.h"

#define TIMEOUT_MS 15000

static int init_locks(struct uvmi *s)
{
	pthread_condattr_t attr;
	int r;

	if (pthread_condattr_init(&attr))
		return -ENOMEM;
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	r = pthread_cond_init(&s->changed, &attr);
	pthread_condattr_destroy(&attr);
	if (r)
		return -r;
	r = pthread_mutex_init(&s->lock, NULL);
	if (r)
		pthread_cond_destroy(&s->changed);
	return -r;
}

static int make(int fd, const struct uvmi_options *o, struct uvmi **ret)
{
	struct uvmi *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->fd = fd;
	s->dialect = o->dialect;
	s->timeout_ms = o->timeout_ms ? o->timeout_ms : TIMEOUT_MS;
	event_list_init(&s->queue);
	event_list_init(&s->waiting);
	event_list_init(&s->late);
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake_fd < 0) {
		r = -errno;
		free(s);
		return r;
	}
	r = init_locks(s);
	if (r) {
		close(s->wake_fd);
		free(s);
		return r;
	}
	*ret = s;
	return 0;
}

static void unmake(struct uvmi *s)
{
	struct orphan *o;

	while ((o = s->orphans)) {
		s->orphans = o->next;
		free(o);
	}
	for (unsigned i = 0; i < s->n_vcpus; i++)
		free(s->vcpus[i].held);
	free(s->vcpus);
	event_list_free(&s->queue);
	event_list_free(&s->waiting);
	event_list_free(&s->late);
	batch_free(&s->batch);
	for (unsigned i = 0; i < s->n_files; i++)
		close(s->files[i]);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	close(s->wake_fd);
	free(s);
}

int uvmi_adopt(int fd, const struct uvmi_options *options, struct uvmi **ret)
{
	static const struct uvmi_options usual;
	const struct uvmi_options *o = options ? options : &usual;
	struct uvmi *s = NULL;
	int r;

	if (o->dialect != UVMI_V5 && o->dialect != UVMI_V6)
		return -EINVAL;
	r = make(fd, o, &s);
	if (r)
		return r;
	r = greet(fd, o->cookie, o->cookie_size, deadline_in(s->timeout_ms), &s->vm);
	if (!r) {
		r = version_learn(s);
		if (r == -ENOTCONN && !s->have)
			r = -EACCES; /* that is its answer to the cookie */
	}
	if (r)
		unmake(s);
	else
		*ret = s;
	return r;
}

void uvmi_close(struct uvmi *s)
{
	if (!s)
		return;
	close(s->fd);
	unmake(s);
}

const struct uvmi_vm_info *uvmi_vm(const struct uvmi *s)
{
	return &s->vm;
}

enum uvmi_dialect uvmi_get_dialect(const struct uvmi *s)
{
	return s->dialect;
}

void uvmi_set_timeout(struct uvmi *s, int timeout_ms)
{
	s->timeout_ms = timeout_ms ? timeout_ms : TIMEOUT_MS;
}

int uvmi_fd(const struct uvmi *s)
{
	return s->fd;
}

/* The flag for who comes later, the eventfd for who waits in poll(). */
void uvmi_wake(struct uvmi *s)
{
	const u64 one = 1;
	const int saved = errno;

	atomic_store(&s->woken, 1);
	if (write(s->wake_fd, &one, sizeof(one)) < 0) {
		/* It is full of what was written before, which wakes as well. */
	}
	errno = saved;
}
