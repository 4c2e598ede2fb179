/* SPDX-License-Identifier: MIT */
/*
 * What all interfaces share: descriptors, their kinds, and the objects that stand behind them.
 *
 * Each descriptor of ours is one of a file of the kernel's, mostly a memfd's; all descriptors of one file, however they were
 * made, are one object. Of what kind it is says a table of functions, struct fd_ops. Each interface brings one for each of
 * its kinds (interface.h). So mapping, reading and waiting are done by the kernel, and need no help.
 *
 * The rule of their life: WHO USES AN OBJECT HOLDS IT.
 *
 * - It is held by each descriptor in the table, by each call in progress, and by each object whose owner it is. Who makes
 *   one holds it until fd_publish() or fd_abandon(). There is one count of all that, refs.
 * - Who holds it may look at ops, behind and owner. They are written before fd_publish() shows it to others, and stay. What
 *   behind points to has locks of its own.
 * - While a thread holds one, no handler of a signal runs on it that could leave by longjmp(), or end the thread, and so hold
 *   it for ever: who comes by dev.h has signals kept off first, and has let go when handlers run.
 * - When its last descriptor is closed, ops->closed() is called, once.
 * - When the last hold ends, on whatever thread and without the table's lock, ops->release() is called, once; then
 *   the owner is let go, which can be the last hold of that. So it is torn down after all that it owns, in whatever order
 *   descriptors are closed.
 * - What came from another process, or from the parent of a forked child, is let go without release(): the threads that
 *   would have to be stopped are not in this process, and what is shared belongs to the other one.
 * - The memory of an object is used again, but stays an object until dev_destroy(). So a look-up without a lock that races
 *   with the last close finds a dead or another object at worst, and notices: it takes a hold from a count that is not
 *   zero alone, and then checks that the table says the same as before.
 */
#ifndef ABI_OBJECT_H
#define ABI_OBJECT_H

#include <signal.h>
#include <stdatomic.h>

#include "abi/dev.h"
#include "base/hold.h"
#include "base/sys.h"
#include "base/types.h"

/* ---- kinds ---- */

struct call;
struct object;

/* The file behind the descriptors of a kind. */
enum fd_backing {
	FD_MEMORY, /* a memfd: it can be mapped, and lies at offset 0 in one piece */
	FD_SHARED, /* a memfd that several objects have, as fd_ops.shared_file() says */
	FD_PACKETS, /* an end of a pair of sockets: a read gives a packet, poll() waits for one (stream.h) */
};

/* One kind of descriptor. What is NULL is not for it. */
struct fd_ops {
	enum fd_backing backing;
	/* Of its memfds, by which other processes recognise them. It may begin with the name of another kind. */
	const char *name;
	const char *label; /* what users call it */
	const char *
		link; /* what /proc shows of the kernel's own, without a suffix; NULL: a node's path */
	enum dev_kind kind; /* what it is to those who look on */
	/* Nothing stands behind it, so it works everywhere. Others do in the address space that made them, else -EIO. */
	bool anywhere;
	/* Of a node: what is behind a descriptor that was just opened. 0 or -errno; NULL: nothing is. */
	int (*open)(struct dev *d, struct object *o);
	int (*shared_file)(struct dev *d); /* a descriptor, which stays open, or -errno */
	int unknown;                       /* -errno for a request that it does not have */
	/* Requests that neither lock nor allocate: handlers run meanwhile, and may leave. Only where nothing is behind. */
	bool (*takes_no_lock)(u32 number);
	long (*ioctl)(struct call *c, u32 number);
	/* May it be mapped so? 0 or -errno. NULL: not at all. */
	int (*mmap_check)(int prot, int flags, size_t len, u64 offset);
	/*
	 * Is there something at offset? *ret_bytes: so far it is the same. What is not there raises SIGBUS, also where the file
	 * has pages. NULL: all of the file is there.
	 */
	bool (*is_there)(const struct object *o, u64 offset, u64 *ret_bytes);
	/* Before a read of n bytes: 0, or -errno. NULL: the kernel alone answers. */
	int (*read_check)(const struct object *o, size_t n);
	int (*fallocate)(const struct object *o, int fd, int mode, s64 offset, s64 len);
	/* The program is about to change what it has mapped at [start, start + size). NULL: that does not matter. */
	void (*remapped)(void *behind, u64 start, u64 size);
	/*
	 * This process has closed the last descriptor. What it owns may keep the object, so release() may be long in coming; calls in
	 * progress may go on meanwhile.
	 */
	void (*closed)(void *behind);
	void (*release)(void *behind);
};

/* ---- objects ---- */

struct object {
	_Atomic u32 refs; /* all holds; 0: free */
	u32 fds;          /* those of table entries alone; under the table's lock */
	const struct fd_ops *_Atomic ops;
	bool foreign; /* came from another process: only recognised, never served */
	u32 mm;       /* the address space that made it */
	u64 st_dev, st_ino;
	void *behind;          /* what ops->release() frees */
	struct object *owner;  /* which it holds, as a vcpu its vm; or NULL */
	struct stream *stream; /* of FD_PACKETS, which goes with the object; or NULL */
	struct object *next;   /* all objects of the dev */
};

/* Look up and hold; NULL if fd is none of ours. Signals are kept off. */
struct object *object_get(struct dev *d, int fd);
void object_put(struct dev *d, struct object *o);

struct fd_spec {
	const struct fd_ops *ops;
	struct object *owner; /* held by the caller, and from now on by the object; or NULL */
	const char *suffix;   /* to the name; NULL: none */
	size_t size;          /* of the memfd, in bytes */
	bool not_cloexec;
};

/*
 * A new descriptor with an object behind it. The caller fills in what is behind that, and then calls fd_publish(), which makes it
 * reachable, or fd_abandon(), where all is freed but what is behind. A descriptor or -errno. Signals are kept off.
 */
int fd_create(struct dev *d, const struct fd_spec *s, struct object **ret);
/* It cannot fail. fd. */
int fd_publish(struct dev *d, int fd, struct object *o);
void fd_abandon(struct dev *d, int fd, struct object *o);

/* ---- what descriptors of an interface share (common.c) ---- */

struct interface;
/*
 * What interface->common_make() has made in this address space, once: a machine, say, behind several nodes. It stays until
 * dev_destroy(). 0 or -errno. Signals are kept off.
 */
int dev_common(struct dev *d, const struct interface *i, void **ret);
/* A memfd for FD_SHARED, under the name of this kind: a descriptor that is kept, or -errno. grows: ftruncate() may make it longer. */
int backing_create(const struct fd_ops *ops, size_t size, bool grows);

/* ---- the session, the process ---- */

/* The name that processes have in common which may find each other, or NULL. */
const char *dev_session(const struct dev *d);

int dev_pid(const struct dev *d);

/* ---- introspection ---- */

/*
 * A machine gets its first processor: it looks for the tool from now on, if one is said (dev_set_tool()). *i is made if it is NULL;
 * introspection_destroy() is the caller's, before the machine goes.
 */
struct machine;
struct introspection;
int dev_introspect(struct dev *d, struct machine *m, struct introspection **i);
/* What machines of these descriptors have lent each other. */
struct maps *dev_maps(const struct dev *d);

/* ---- signals that are kept off ---- */

static inline void signals_block(u64 *old)
{
	const u64 all = SIG_ASYNC;

	sys_sigprocmask(SIG_SETMASK, &all, old);
}

/* Handlers of signals that came meanwhile run now; they need not return. */
static inline void signals_restore(u64 old)
{
	/* A thread that has them all blocked itself, as those of many VMMs have, needs no more. */
	if ((old | SIG_BIT(SIGKILL) | SIG_BIT(SIGSTOP)) != SIG_ASYNC)
		sys_sigprocmask(SIG_SETMASK, &old, NULL);
}

#endif
