/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that the table does not know: duplicates, made by means that we were not told of, are recognised by
 * the inode that they share with an object; those of other processes, inherited over exec or received, by the name of
 * their memfd. When the last descriptor known is closed, such a duplicate takes its place.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/interface.h"
#include "abi/table.h"
#include "base/check.h"
#include "base/fd.h"
#include "base/proc.h"

static bool same_file(const struct object *o, const struct stat *st)
{
	return o->st_dev == st->st_dev && o->st_ino == st->st_ino;
}

/* Under d->lock, where an object with table entries cannot die. */
static struct object *object_by_inode(struct dev *d, const struct stat *st)
{
	struct object *o;

	for (o = d->objects; o; o = o->next)
		if (o->fds && same_file(o, st))
			return o;
	return NULL;
}

/* Of the kinds by whose names it begins, the one that says most. */
static const struct fd_ops *longest_name(const char *name)
{
	const struct fd_ops *found = NULL;
	size_t most = 0;

	for (const struct interface *const *i = interfaces; *i; i++)
		for (const struct fd_ops *const *k = (*i)->kinds; *k; k++) {
			size_t n = strlen((*k)->name);

			if (n > most && !strncmp(name, (*k)->name, n)) {
				found = *k;
				most = n;
			}
		}
	return found;
}

#define MEMFD     "/memfd:"
#define MEMFD_LEN (sizeof(MEMFD) - 1)

static const struct fd_ops *kind_of_link(const char *link)
{
	return strncmp(link, MEMFD, MEMFD_LEN) ? NULL : longest_name(link + MEMFD_LEN);
}

/* Is this a memfd that another process named? Its kind, or NULL. */
static const struct fd_ops *kind_by_name(int fd)
{
	char path[32], link[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = sys_readlink(path, link, sizeof(link) - 1);
	link[n > 0 ? n : 0] = 0;
	return kind_of_link(link);
}

bool dev_recognises(int fd)
{
	return kind_by_name(fd);
}

static const char *kernels_link(const struct fd_ops *on)
{
	const struct device_node *node = on->link ? NULL : dev_node_of(on);

	return node ? node->path : on->link;
}

/* "/memfd:NAME:SUFFIX (deleted)" is LINK:SUFFIX. */
bool dev_link_as_kernel(const char *link, char *ret, size_t size)
{
	const struct fd_ops *on = kind_of_link(link);
	const char *own = on ? kernels_link(on) : NULL, *suffix, *end;

	if (!own)
		return false;
	suffix = link + MEMFD_LEN + strlen(on->name);
	end = strstr(suffix, " (deleted)");
	snprintf(ret, size, "%s%.*s", own, end ? (int)(end - suffix) : (int)strlen(suffix), suffix);
	return true;
}

static bool is_link_of(const char *link, const struct fd_ops *on)
{
	const char *own = kernels_link(on);

	return own && (on->link ? !strncmp(link, own, strlen(own)) : !strcmp(link, own));
}

const struct fd_ops *dev_ops_of_link(const char *link)
{
	for (const struct interface *const *i = interfaces; *i; i++)
		for (const struct fd_ops *const *k = (*i)->kinds; *k; k++)
			if (is_link_of(link, *k))
				return *k;
	return NULL;
}

/* Under d->lock. An object for a descriptor that was inherited over exec or received. */
static struct object *object_foreign(struct dev *d, int fd, const struct stat *st)
{
	const struct fd_ops *ops;
	struct object *o;

	if (!S_ISREG(st->st_mode) || st->st_nlink)
		return NULL;
	ops = kind_by_name(fd);
	o = ops ? object_new(d) : NULL;
	if (!o)
		return NULL;
	o->ops = ops;
	o->foreign = true;
	o->st_dev = st->st_dev;
	o->st_ino = st->st_ino;
	return o;
}

struct object *object_adopt(struct dev *d, int fd)
{
	struct object *_Atomic *e;
	struct object *o = NULL, *old = NULL, *created;
	bool last = false;
	struct stat st;
	u64 mask;

	if (fd < 0 || sys_fstat(fd, &st))
		return NULL;
	signals_block(&mask);
	pthread_mutex_lock(&d->lock);
	o = object_by_inode(d, &st);
	created = o ? NULL : object_foreign(d, fd, &st);
	o = o ? o : created;
	e = o ? table_entry_make(d, fd) : NULL;
	if (e) {
		old = table_entry_set(e, o);
		last = old && !old->fds;
		object_hold(o);
	}
	pthread_mutex_unlock(&d->lock);
	if (old)
		table_entry_put(d, old, last);
	if (created)
		object_put(d, created);
	signals_restore(mask);
	return e ? o : NULL;
}

/* Does the kernel still agree that fd is this object's file? */
static bool still_same(int fd, const struct object *o)
{
	struct stat st;

	return !sys_fstat(fd, &st) && same_file(o, &st);
}

/* Signals are kept off. */
static bool owns(struct dev *d, int fd)
{
	struct object *o;
	bool same;

	while ((o = object_get(d, fd))) {
		same = still_same(fd, o);
		object_put(d, o);
		if (same)
			return true;
		dev_forget(d, fd); /* closed and used again behind our back: look once more */
	}
	return false;
}

bool dev_owns(struct dev *d, int fd)
{
	bool ours;
	u64 mask;

	signals_block(&mask);
	ours = owns(d, fd);
	signals_restore(mask);
	return ours;
}

/* ---- duplicates of what is closed ---- */

struct duplicate {
	struct dev *dev;
	const struct object *of;
	int fd; /* -1: none was found */
};

/* Is this descriptor of the object's file, though not by the table? */
static int is_duplicate(int fd, void *arg)
{
	struct duplicate *d = arg;

	if (fd_is_kept(fd) || dev_knows(d->dev, fd) || !still_same(fd, d->of))
		return 0;
	d->fd = fd;
	return 1;
}

/* Under d->lock: some other descriptor of this process for o's file, or -1. */
static int find_duplicate(struct dev *d, const struct object *o)
{
	struct duplicate found = {.dev = d, .of = o, .fd = -1};

	proc_numbers("/proc/self/fd", is_duplicate, &found);
	return found.fd;
}

void object_forget(struct dev *d, int fd, struct object *o)
{
	struct object *_Atomic *e = table_entry(d, fd);
	struct object *old = NULL;
	bool last = false;
	int other;

	pthread_mutex_lock(&d->lock);
	if (e && atomic_load(e) == o) {
		/* fd itself is still in the table, so it is not what is found. */
		other = o->fds > 1 ? -1 : find_duplicate(d, o);
		old = table_entry_set(e, NULL);
		e = other < 0 ? NULL : table_entry_make(d, other);
		if (e)
			uv_assert(!table_entry_set(e, o));
		last = !o->fds;
	}
	pthread_mutex_unlock(&d->lock);
	if (old)
		table_entry_put(d, old, last);
}
