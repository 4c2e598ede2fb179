/* SPDX-License-Identifier: MIT */
/* Objects: their table, their references, and the descriptors that they are made with. See object.h, table.h. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "abi/stream.h"
#include "abi/table.h"

/* ---- table ---- */

struct object *_Atomic *table_entry_make(struct dev *d, int fd)
{
	struct object *_Atomic *e = table_entry(d, fd);
	struct chunk *c;

	if (e || (u32)fd >= CHUNKS * CHUNK_SIZE)
		return e;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	atomic_store_explicit(&d->chunks[(u32)fd >> CHUNK_BITS], c, memory_order_release);
	return table_entry(d, fd);
}

struct object *table_entry_set(struct object *_Atomic *e, struct object *o)
{
	struct object *old;

	if (o) {
		atomic_fetch_add(&o->refs, 1);
		o->fds++;
	}
	old = atomic_exchange(e, o);
	if (old)
		old->fds--;
	return old;
}

/* ---- references ---- */

static void drop_stream(struct object *o, bool here)
{
	if (o->stream)
		stream_destroy(o->stream, here);
	o->stream = NULL;
}

/* In a child the engine's threads do not exist: nothing can be stopped in order. */
static bool is_ours(const struct dev *d, const struct object *o)
{
	return !o->foreign && o->mm == d->mm;
}

static void object_dead(struct dev *d, struct object *o)
{
	const bool ours = is_ours(d, o);
	const struct fd_ops *ops = o->ops;

	if (ours && ops->release)
		ops->release(o->behind);
	drop_stream(o, ours);
	if (ours && o->owner)
		object_put(d, o->owner);
}

void object_put(struct dev *d, struct object *o)
{
	u32 refs = atomic_load_explicit(&o->refs, memory_order_relaxed);

	while (!atomic_compare_exchange_weak(&o->refs, &refs, refs == 1 ? REFS_DYING : refs - 1))
		;
	if (refs != 1)
		return;
	object_dead(d, o);
	atomic_store(&o->refs, 0);
}

void table_entry_put(struct dev *d, struct object *old, bool last)
{
	const struct fd_ops *ops = old->ops;

	if (last && ops->closed && is_ours(d, old))
		ops->closed(old->behind);
	object_put(d, old);
}

struct object *object_new(struct dev *d)
{
	struct object *o;

	for (o = d->objects; o; o = o->next) {
		u32 freed = 0;

		if (atomic_compare_exchange_strong(&o->refs, &freed, REFS_DYING))
			break;
	}
	if (!o) {
		o = calloc(1, sizeof(*o));
		if (!o)
			return NULL;
		o->next = d->objects;
		d->objects = o;
	}
	o->fds = 0;
	o->foreign = false;
	o->mm = d->mm;
	o->behind = NULL;
	o->owner = NULL;
	o->stream = NULL;
	atomic_store(&o->refs, 1);
	return o;
}

struct object *object_get(struct dev *d, int fd)
{
	struct object *_Atomic *e;
	struct object *o;

	check_fork(d);
	e = table_entry(d, fd);
	for (;;) {
		o = e ? atomic_load_explicit(e, memory_order_acquire) : NULL;
		if (!o)
			return object_adopt(d, fd);
		if (!object_hold(o))
			continue; /* on its way out: the entry is about to change */
		if (likely(atomic_load(e) == o))
			return o;
		object_put(d, o);
	}
}

/* ---- descriptors ---- */

/* With a place for fd in the table, so that nothing can fail once there is something behind it. 0 or -errno. */
static int object_for(struct dev *d, int fd, struct object **ret)
{
	int r = 0;

	pthread_mutex_lock(&d->lock);
	if (!table_entry_make(d, fd))
		r = (u32)fd < CHUNKS * CHUNK_SIZE ? -ENOMEM : -EMFILE;
	*ret = r ? NULL : object_new(d);
	if (!r && !*ret)
		r = -ENOMEM;
	pthread_mutex_unlock(&d->lock);
	return r;
}

int fd_create(struct dev *d, const struct fd_spec *q, struct object **ret)
{
	struct stream *stream = NULL;
	struct object *o = NULL;
	struct stat st;
	int fd = backing_open(d, q, &stream), r;

	if (fd < 0)
		return fd;
	r = sys_fstat(fd, &st) ? -errno : object_for(d, fd, &o);
	if (r) {
		sys_close(fd);
		if (stream)
			stream_destroy(stream, true);
		return r;
	}
	if (q->owner)
		atomic_fetch_add(&q->owner->refs, 1);
	o->owner = q->owner;
	o->ops = q->ops;
	o->stream = stream;
	o->st_dev = st.st_dev;
	o->st_ino = st.st_ino;
	*ret = o;
	return fd;
}

int fd_publish(struct dev *d, int fd, struct object *o)
{
	struct object *old;
	bool last;

	if (o->ops->read_check)
		atomic_store_explicit(&d->reads, true, memory_order_relaxed);
	pthread_mutex_lock(&d->lock);
	old = table_entry_set(table_entry(d, fd), o);
	last = old && !old->fds;
	pthread_mutex_unlock(&d->lock);
	if (old)
		table_entry_put(d, old, last);
	object_put(d, o); /* the creator's reference */
	return fd;
}

void fd_abandon(struct dev *d, int fd, struct object *o)
{
	sys_close(fd);
	drop_stream(o, true);
	if (o->owner)
		object_put(d, o->owner);
	atomic_store(&o->refs, 0);
}
