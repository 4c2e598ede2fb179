/* SPDX-License-Identifier: MIT */
/*
 * The door: what dev.h promises beside ioctl(), which is ioctl.c's. The descriptors and what stands behind each
 * are in table.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "abi/interface.h"
#include "abi/table.h"
#include "base/hostcpu.h"
#include "base/sys.h"
#include "engine/engine.h"
#include "introspect/introspect.h"
#include "introspect/maps.h"

/* ---- nodes ---- */

const char *dev_interface(unsigned n)
{
	for (const struct interface *const *i = interfaces; *i; i++)
		if (!n--)
			return (*i)->name;
	return NULL;
}

const struct device_node *dev_node_next(struct device_nodes *at)
{
	const struct interface *i;

	while ((i = interfaces[at->interface])) {
		at->name = i->name;
		if (i->nodes[at->n].path)
			return &i->nodes[at->n++];
		*at = (struct device_nodes){.interface = at->interface + 1};
	}
	return NULL;
}

static const struct device_node *node_at(const char *path)
{
	struct device_nodes at = {0};
	const struct device_node *node;

	while ((node = dev_node_next(&at)) && strcmp(node->path, path))
		;
	return node;
}

/* ---- what a descriptor is ---- */

enum dev_kind dev_kind(struct dev *d, int fd)
{
	const struct object *o;

	check_fork(d);
	o = object_peek(d, fd);
	return o ? o->ops->kind : DEV_NONE;
}

const struct fd_ops *dev_ops(struct dev *d, int fd)
{
	const struct object *o;

	check_fork(d);
	o = object_peek(d, fd);
	return o ? o->ops : NULL;
}

const char *dev_label(const struct fd_ops *on)
{
	return on->label;
}

static bool has_kind(const struct interface *i, const struct fd_ops *on)
{
	const struct fd_ops *const *k = i->kinds;

	while (*k && *k != on)
		k++;
	return *k;
}

const char *dev_interface_of(const struct fd_ops *on)
{
	const struct interface *const *i = interfaces;

	while (*i && !has_kind(*i, on))
		i++;
	return *i ? (*i)->name : NULL;
}

const struct device_node *dev_node_of(const struct fd_ops *on)
{
	struct device_nodes at = {0};
	const struct device_node *node;

	while ((node = dev_node_next(&at)) && node->ops != on)
		;
	return node;
}

int dev_no_request(struct dev *d, int fd)
{
	const struct object *o = object_peek(d, fd);

	return o ? o->ops->unknown : -ENOTTY;
}

/* ---- closing ---- */

void dev_forget(struct dev *d, int fd)
{
	struct object *o;
	u64 mask;

	if (!dev_knows(d, fd))
		return;
	signals_block(&mask);
	o = atomic_load(table_entry(d, fd));
	if (o && object_hold(o)) {
		object_forget(d, fd, o);
		object_put(d, o);
	}
	signals_restore(mask);
}

void dev_forget_range(struct dev *d, unsigned first, unsigned last)
{
	unsigned fd = first;

	for (; fd <= last && fd < CHUNKS * CHUNK_SIZE; fd++) {
		if (table_entry(d, (int)fd))
			dev_forget(d, (int)fd);
		else
			fd |= CHUNK_SIZE - 1; /* nothing in this chunk */
	}
}

int dev_close(struct dev *d, int fd)
{
	struct object *o;
	u64 mask;
	int ret;

	/* Not ours, or a duplicate beside one that the table knows: programs close files all day. */
	if (!dev_knows(d, fd))
		return sys_close(fd) ? -errno : 0;
	/* As in dev_ioctl(): what is freed here takes locks. */
	signals_block(&mask);
	o = object_get(d, fd);
	/* As close(2): whatever it returns, the descriptor is gone. */
	ret = sys_close(fd) ? -errno : 0;
	if (o) {
		object_forget(d, fd, o);
		object_put(d, o);
	}
	signals_restore(mask);
	return ret;
}

/* ---- system calls that our descriptors answer in a way of their own ---- */

int dev_mmap_check(struct dev *d, int fd, int prot, int flags, size_t len, u64 offset)
{
	const struct fd_ops *ops;
	struct object *o;
	u64 mask;
	int r = 0;

	signals_block(&mask);
	o = object_get(d, fd);
	if (o) {
		ops = o->ops;
		r = ops->mmap_check ? ops->mmap_check(prot, flags, len, offset) : -ENODEV;
		object_put(d, o);
	}
	signals_restore(mask);
	return r;
}

static bool find_hole(
	const struct object *o, u64 offset, size_t len, u64 *ret_offset, size_t *ret_len)
{
	const u64 end = offset + len;
	u64 bytes;

	for (; offset < end; offset += bytes) {
		if (o->ops->is_there(o, offset, &bytes))
			continue;
		*ret_offset = offset;
		*ret_len = MIN(bytes, end - offset);
		return true;
	}
	return false;
}

bool dev_mmap_hole(struct dev *d, int fd, u64 offset, size_t len, u64 *ret_offset, size_t *ret_len)
{
	bool found = false;
	struct object *o;
	u64 mask;

	signals_block(&mask);
	o = object_get(d, fd);
	if (o) {
		found = o->ops->is_there && !o->foreign && o->mm == d->mm &&
			find_hole(o, offset, len, ret_offset, ret_len);
		object_put(d, o);
	}
	signals_restore(mask);
	return found;
}

bool dev_checks_reads(struct dev *d)
{
	return atomic_load_explicit(&d->reads, memory_order_relaxed);
}

static int read_check(struct dev *d, const struct object *o, size_t n)
{
	const bool ours = !o->foreign && o->mm == d->mm;

	return ours && o->ops->read_check ? o->ops->read_check(o, n) : 0;
}

int dev_read_check(struct dev *d, int fd, size_t n)
{
	struct object *o;
	u64 mask;
	int r = 0;

	if (!dev_knows(d, fd))
		return 0;
	signals_block(&mask);
	o = object_get(d, fd);
	if (o) {
		r = read_check(d, o, n);
		object_put(d, o);
	}
	signals_restore(mask);
	return r;
}

int dev_fallocate(struct dev *d, int fd, int mode, s64 offset, s64 len)
{
	const struct fd_ops *ops;
	struct object *o;
	int r = -EBADF;
	u64 mask;

	signals_block(&mask);
	o = object_get(d, fd);
	if (o) {
		ops = o->ops;
		r = ops->fallocate ? ops->fallocate(o, fd, mode, offset, len) : -ENODEV;
		object_put(d, o);
	}
	signals_restore(mask);
	return r;
}

void dev_interrupted(void *context)
{
	host_interrupted(context);
}

void dev_handlers_behind(const void *entry)
{
	host_handlers_behind(entry);
}

bool dev_take_call(void *context)
{
	return host_take_call(context);
}

int dev_sigaction(int signo, const struct sys_sigaction *set, struct sys_sigaction *get)
{
	return host_sigaction(signo, set, get);
}

int dev_handle_faults(void)
{
	return host_handle_faults();
}

void dev_track_writes(bool allowed)
{
	host_track_writes(allowed);
}

/*
 * The first one behind `after`, held, that has a descriptor: all of it is there. NULL: there is none. `after` need not be held, as
 * objects are used again, but not freed.
 */
static struct object *next_object(struct dev *d, const struct object *after)
{
	struct object *o;

	pthread_mutex_lock(&d->lock);
	o = after ? after->next : d->objects;
	while (o && !(o->fds && object_hold(o)))
		o = o->next;
	pthread_mutex_unlock(&d->lock);
	return o;
}

static void tell_remapped(struct dev *d, const struct object *o, u64 start, u64 size)
{
	if (!o->foreign && o->mm == d->mm && o->ops->remapped)
		o->ops->remapped(o->behind, start, size);
}

void dev_memory_remapped(struct dev *d, u64 start, u64 size)
{
	struct object *o = NULL;
	u64 mask;

	check_fork(d);
	signals_block(&mask);
	while ((o = next_object(d, o))) {
		tell_remapped(d, o, start, size);
		object_put(d, o);
	}
	signals_restore(mask);
}

int dev_try_direct(void)
{
	return host_try_direct();
}

/* ---- open, and the dev itself ---- */

static int open_node(struct dev *d, const struct device_node *node, int flags)
{
	const struct fd_spec s = {.ops = node->ops, .not_cloexec = !(flags & O_CLOEXEC)};
	struct object *o;
	int fd = fd_create(d, &s, &o), r;

	if (fd < 0)
		return fd;
	if ((flags & O_NONBLOCK) && s.ops->backing == FD_PACKETS)
		sys_fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK);
	r = s.ops->open ? s.ops->open(d, o) : 0;
	if (!r)
		return fd_publish(d, fd, o);
	fd_abandon(d, fd, o);
	return r;
}

int dev_open(struct dev *d, const char *path, int flags)
{
	const struct device_node *node = node_at(path);
	u64 mask;
	int fd;

	if (!node)
		return -ENOENT;
	if (!d->cpu_suits)
		return -ENODEV;
	check_fork(d);
	signals_block(&mask);
	fd = open_node(d, node, flags);
	signals_restore(mask);
	return fd;
}

int dev_create(struct dev **ret)
{
	struct dev *d = calloc(1, sizeof(*d));
	struct host_cpu cpu;
	int r;

	if (!d)
		return -ENOMEM;
	d->maps = maps_create();
	r = d->maps ? mm_page_create(d) : -ENOMEM;
	if (r) {
		maps_destroy(d->maps);
		free(d);
		return r;
	}
	pthread_mutex_init(&d->lock, NULL);
	pthread_mutex_init(&d->common_lock, NULL);
	host_cpu_look(&cpu);
	d->cpu_suits = !host_cpu_missing(&cpu);
	d->pid = sys_getpid();
	*ret = d;
	return 0;
}

void dev_set_session(struct dev *d, const char *name)
{
	snprintf(d->session, sizeof(d->session), "%s", name);
}

const char *dev_session(const struct dev *d)
{
	return *d->session ? d->session : NULL;
}

static void close_all(struct dev *d)
{
	u32 i, j;

	for (i = 0; i < CHUNKS; i++)
		for (j = 0; d->chunks[i] && j < CHUNK_SIZE; j++)
			if (d->chunks[i]->entry[j])
				dev_close(d, (int)(i * CHUNK_SIZE + j));
}

void dev_destroy(struct dev *d)
{
	struct object *o, *next;
	u32 i;

	if (!d)
		return;
	close_all(d);
	common_free(d);
	for (o = d->objects; o; o = next) {
		next = o->next;
		free(o);
	}
	for (i = 0; i < CHUNKS; i++)
		free(d->chunks[i]);
	sys_munmap((void *)d->mm_page, PAGE_SIZE);
	introspect_forget(d->tool);
	maps_destroy(d->maps);
	pthread_mutex_destroy(&d->common_lock);
	pthread_mutex_destroy(&d->lock);
	free(d);
}
