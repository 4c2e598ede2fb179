/* SPDX-License-Identifier: MIT */
/*
 * Descriptors: which of them are ours and what stands behind each.
 *
 * A two-level array maps a descriptor to its object without a lock. An object counts its table
 * entries, the calls in progress and a vm's vcpus; the last one frees what is behind it.
 * Object memory is never given back before dev_destroy(), so a look-up that races with a close
 * reads a dead or reused object at worst, and finds out: it takes a reference only from a
 * non-zero count and then checks that the table still says the same.
 *
 * A descriptor that the table does not know is compared by inode with the objects, and by its
 * memfd name with descriptors of other processes.
 *
 * dev->mm_page is wiped by the kernel in a forked child, which tells us, without a system
 * call, that the address space is not the one in which vms were made (vfork shares it, rightly).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/kvm/kvm.h"
#include "base/check.h"
#include "base/hostcpu.h"
#include "base/sys.h"

#define CHUNK_BITS 9
#define CHUNK_SIZE (1u << CHUNK_BITS)
#define CHUNKS     2048u /* 1048576 descriptors: the largest default of RLIMIT_NOFILE */

struct chunk {
	struct object *_Atomic entry[CHUNK_SIZE];
};

struct dev {
	pthread_mutex_t lock; /* the object list, table changes, object->fds */
	struct object *objects;
	bool cpu_suits; /* has what generated code uses */
	int pid;
	u32 mm;
	_Atomic u32 *mm_page; /* MM_SAME; reads 0 after a fork */
	struct chunk *_Atomic chunks[CHUNKS];
};

enum { MM_FORKED, MM_SAME, MM_BUSY };

/* Longest first: the system's name is a prefix of the others. */
static const char *const memfd_name[FD_KINDS] = {
	[FD_SYSTEM] = "uservisor-kvm",
	[FD_VM] = "uservisor-kvm-vm",
	[FD_VCPU] = "uservisor-kvm-vcpu",
	[FD_GUEST_MEMFD] = "uservisor-kvm-vmem",
};

/* ---- address space ---- */

static int mm_page_create(struct dev *d)
{
	void *p = sys_mmap(
		NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	/* Without it (Linux before 4.14) a forked child is simply not noticed. */
	sys_madvise(p, PAGE_SIZE, MADV_WIPEONFORK);
	d->mm_page = p;
	atomic_store(d->mm_page, MM_SAME);
	return 0;
}

/* First call in a forked child: no other thread exists, and nobody will release the locks. */
static void after_fork(struct dev *d)
{
	u32 forked = MM_FORKED;

	if (!atomic_compare_exchange_strong(d->mm_page, &forked, MM_BUSY)) {
		while (atomic_load(d->mm_page) == MM_BUSY)
			;
		return;
	}
	pthread_mutex_init(&d->lock, NULL);
	d->pid = sys_getpid();
	d->mm++;
	atomic_store(d->mm_page, MM_SAME);
}

static void check_fork(struct dev *d)
{
	if (unlikely(atomic_load_explicit(d->mm_page, memory_order_acquire) != MM_SAME))
		after_fork(d);
}

int dev_pid(const struct dev *d)
{
	return d->pid;
}

u32 dev_mm(const struct dev *d)
{
	return d->mm;
}

/* No signal handler may run under the lock: it could open or close descriptors itself. */
static void dev_lock(struct dev *d, u64 *mask)
{
	signals_block(mask);
	pthread_mutex_lock(&d->lock);
}

static void dev_unlock(struct dev *d, u64 mask)
{
	pthread_mutex_unlock(&d->lock);
	signals_restore(mask);
}

/* ---- table ---- */

static struct object *_Atomic *table_entry(struct dev *d, int fd)
{
	struct chunk *c;

	if (fd < 0 || (u32)fd >= CHUNKS * CHUNK_SIZE)
		return NULL;
	c = atomic_load_explicit(&d->chunks[(u32)fd >> CHUNK_BITS], memory_order_acquire);
	return c ? &c->entry[(u32)fd & (CHUNK_SIZE - 1)] : NULL;
}

static struct object *_Atomic *table_entry_make(struct dev *d, int fd)
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

static void object_dead(struct dev *d, struct object *o)
{
	/* In a child the engine's threads do not exist: nothing can be stopped in order. */
	bool ours = !o->foreign && o->mm == d->mm;

	if (ours && o->kind == FD_VM)
		vm_free(o->vm);
	if (ours && o->kind == FD_VCPU)
		vcpu_release(o->vcpu);
	if (ours && o->kind == FD_GUEST_MEMFD)
		guest_memfd_free(o->memory);
}

/* refs of an object whose last reference went: not to be taken up again, not yet to be reused. */
#define REFS_DYING 0x80000000u

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

/* Take a reference only if there is one already. */
static bool object_hold(struct object *o)
{
	u32 refs = atomic_load_explicit(&o->refs, memory_order_relaxed);

	while (refs && !(refs & REFS_DYING))
		if (atomic_compare_exchange_weak(&o->refs, &refs, refs + 1))
			return true;
	return false;
}

/* Under d->lock. A free object, or a new one; refs is 1, for the caller. */
static struct object *object_new(struct dev *d)
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
	o->vm = NULL;
	atomic_store(&o->refs, 1);
	return o;
}

/* Under d->lock. The entry's reference is added; what was there is returned, to be put unlocked. */
static struct object *entry_set(struct object *_Atomic *e, struct object *o)
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

/* ---- descriptors that the table does not know ---- */

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

/* Is this a memfd that another process named? Its kind, or FD_KINDS. */
static enum fd_kind kind_by_name(int fd)
{
	char path[32], name[64];
	ssize_t n;
	int kind;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = sys_readlink(path, name, sizeof(name) - 1);
	if (n <= 0)
		return FD_KINDS;
	name[n] = 0;
	if (strncmp(name, "/memfd:", 7))
		return FD_KINDS;
	for (kind = FD_KINDS - 1; kind >= 0; kind--)
		if (!strncmp(name + 7, memfd_name[kind], strlen(memfd_name[kind])))
			return kind;
	return FD_KINDS;
}

/* Under d->lock. An object for a descriptor that was inherited over exec or received. */
static struct object *object_foreign(struct dev *d, int fd, const struct stat *st)
{
	enum fd_kind kind;
	struct object *o;

	if (!S_ISREG(st->st_mode) || st->st_nlink)
		return NULL;
	kind = kind_by_name(fd);
	o = kind == FD_KINDS ? NULL : object_new(d);
	if (!o)
		return NULL;
	o->kind = kind;
	o->foreign = true;
	o->st_dev = st->st_dev;
	o->st_ino = st->st_ino;
	return o;
}

/* Enter fd into the table if it is a duplicate of one of ours or came from elsewhere. */
static struct object *adopt(struct dev *d, int fd)
{
	struct object *_Atomic *e;
	struct object *o = NULL, *old, *created;
	struct stat st;
	u64 mask;

	if (fd < 0 || sys_fstat(fd, &st))
		return NULL;
	dev_lock(d, &mask);
	o = object_by_inode(d, &st);
	created = o ? NULL : object_foreign(d, fd, &st);
	o = o ? o : created;
	e = o ? table_entry_make(d, fd) : NULL;
	if (e) {
		old = entry_set(e, o);
		if (old)
			object_put(d, old);
		object_hold(o);
	}
	if (created)
		object_put(d, created);
	dev_unlock(d, mask);
	return e ? o : NULL;
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
			return adopt(d, fd);
		if (!object_hold(o))
			continue; /* on its way out: the entry is about to change */
		if (likely(atomic_load(e) == o))
			return o;
		object_put(d, o);
	}
}

/* Does the kernel still agree that fd is this object's file? */
static bool still_same(int fd, const struct object *o)
{
	struct stat st;

	return !sys_fstat(fd, &st) && same_file(o, &st);
}

bool dev_owns(struct dev *d, int fd)
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

/* As the kernel writes them. */
struct dir_entry {
	u64 ino;
	s64 offset;
	u16 length;
	u8 type;
	char name[];
};

/* The descriptor in n bytes of directory entries that is o's file, though not by the table, or -1. */
static int find_in_entries(struct dev *d, const char *entries, long n, const struct object *o)
{
	const struct dir_entry *e;
	long at;

	for (at = 0; at < n; at += e->length) {
		int fd;

		e = (const void *)(entries + at);
		fd = atoi(e->name);
		if (e->name[0] != '.' && !dev_knows(d, fd) && still_same(fd, o))
			return fd;
	}
	return -1;
}

/* Under d->lock: some other descriptor of this process for o's file, or -1. */
static int find_duplicate(struct dev *d, const struct object *o)
{
	int dir = sys_open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC), found = -1;
	char entries[1024] __attribute__((aligned(8)));
	long n;

	while (dir >= 0 && found < 0 && (n = sys_getdents64(dir, entries, sizeof(entries))) > 0)
		found = find_in_entries(d, entries, n, o);
	if (dir >= 0)
		sys_close(dir);
	return found;
}

/* fd is closed. If it was the last one that we knew, look for a duplicate that we did not. */
static void forget(struct dev *d, int fd, struct object *o)
{
	struct object *_Atomic *e = table_entry(d, fd);
	struct object *old = NULL;
	u64 mask;
	int other;

	dev_lock(d, &mask);
	if (e && atomic_load(e) == o) {
		/* fd itself is still in the table, so it is not what is found. */
		other = o->fds > 1 ? -1 : find_duplicate(d, o);
		old = entry_set(e, NULL);
		e = other < 0 ? NULL : table_entry_make(d, other);
		if (e)
			uv_assert(!entry_set(e, o));
	}
	dev_unlock(d, mask);
	if (old)
		object_put(d, old);
}

enum dev_kind dev_kind(struct dev *d, int fd)
{
	struct object *_Atomic *e;
	struct object *o;

	check_fork(d);
	e = table_entry(d, fd);
	o = e ? atomic_load_explicit(e, memory_order_acquire) : NULL;
	if (!o)
		return DEV_NONE;
	switch (o->kind) {
	case FD_SYSTEM: return DEV_SYSTEM;
	case FD_VM: return DEV_VM;
	case FD_VCPU: return DEV_VCPU;
	default: return DEV_OTHER;
	}
}

const char *dev_request_name(enum dev_kind kind, unsigned long request)
{
	static const enum fd_kind kinds[] = {
		[DEV_SYSTEM] = FD_SYSTEM, [DEV_VM] = FD_VM, [DEV_VCPU] = FD_VCPU};
	const struct request *r = NULL;

	if (kind >= DEV_SYSTEM && kind <= DEV_VCPU)
		r = request_find(kinds[kind], (u32)request);
	return r ? r->name : NULL;
}

bool dev_in_vfork_child(struct dev *d)
{
	check_fork(d);
	return sys_getpid() != d->pid;
}

void dev_forget(struct dev *d, int fd)
{
	struct object *o;
	u64 mask;

	if (!dev_knows(d, fd))
		return;
	signals_block(&mask);
	o = atomic_load(table_entry(d, fd));
	if (o && object_hold(o)) {
		forget(d, fd, o);
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
		forget(d, fd, o);
		object_put(d, o);
	}
	signals_restore(mask);
	return ret;
}

int dev_sigaction(int signo, const struct sys_sigaction *set, struct sys_sigaction *get)
{
	return host_sigaction(signo, set, get);
}

/* ---- system calls that KVM's descriptors answer in a way of their own ---- */

/* KVM's descriptors lie where nothing may be executed; the ring is written by the kernel, so it is never copied. */
static int vcpu_mmap_check(int prot, int flags, size_t len, u64 offset)
{
	u64 ring = KVM_DIRTY_LOG_PAGE_OFFSET * PAGE_SIZE;

	if (prot & PROT_EXEC)
		return -EPERM;
	return offset + len > ring && !(flags & MAP_SHARED) ? -EINVAL : 0;
}

int dev_mmap_check(struct dev *d, int fd, int prot, int flags, size_t len, u64 offset)
{
	struct object *o = object_get(d, fd);
	int r;

	if (!o)
		return 0;
	r = o->kind == FD_VCPU ? vcpu_mmap_check(prot, flags, len, offset) : -ENODEV;
	object_put(d, o);
	return r;
}

int dev_fallocate(struct dev *d, int fd, int mode, s64 offset, s64 len)
{
	struct object *o = object_get(d, fd);
	int r = -ENODEV;

	if (!o)
		return -EBADF;
	if (o->kind == FD_GUEST_MEMFD)
		r = o->foreign ? sys_fallocate(fd, mode, offset, len) ? -errno : 0
			       : guest_memfd_fallocate(o->memory, fd, mode, offset, len);
	object_put(d, o);
	return r;
}

/* ---- making them ---- */

static int memfd_make(const char *name, size_t size, bool cloexec)
{
	int fd = sys_memfd_create(name, MFD_ALLOW_SEALING | (cloexec ? MFD_CLOEXEC : 0));
	int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

	if (fd < 0)
		return -errno;
	/* Nobody may take away the pages that we have mapped. */
	if ((size && sys_ftruncate(fd, size)) || sys_fcntl(fd, F_ADD_SEALS, seals)) {
		int err = -errno;

		sys_close(fd);
		return err;
	}
	return fd;
}

int fd_create(struct dev *d, enum fd_kind kind, const char *suffix, size_t size, bool cloexec,
	struct object **ret)
{
	struct object *o;
	struct stat st;
	char name[64];
	u64 mask;
	int fd;

	snprintf(name, sizeof(name), "%s%s", memfd_name[kind], suffix);
	fd = memfd_make(name, size, cloexec);
	if (fd < 0)
		return fd;
	dev_lock(d, &mask);
	o = sys_fstat(fd, &st) ? NULL : object_new(d);
	dev_unlock(d, mask);
	if (!o) {
		sys_close(fd);
		return -ENOMEM;
	}
	o->kind = kind;
	o->st_dev = st.st_dev;
	o->st_ino = st.st_ino;
	*ret = o;
	return fd;
}

int fd_publish(struct dev *d, int fd, struct object *o)
{
	struct object *_Atomic *e;
	struct object *old = NULL;
	u64 mask;

	dev_lock(d, &mask);
	e = table_entry_make(d, fd);
	if (e)
		old = entry_set(e, o);
	dev_unlock(d, mask);
	if (old)
		object_put(d, old);
	if (!e)
		sys_close(fd);
	object_put(d, o); /* the creator's reference: without an entry, this frees it */
	return e ? fd : -EMFILE;
}

void fd_abandon(struct dev *d, int fd, struct object *o)
{
	sys_close(fd);
	atomic_store(&o->refs, 0);
}

int dev_open_kvm(struct dev *d, int flags)
{
	struct object *o;
	int fd;

	if (!d->cpu_suits)
		return -ENODEV;
	check_fork(d);
	fd = fd_create(d, FD_SYSTEM, "", 0, flags & O_CLOEXEC, &o);
	return fd < 0 ? fd : fd_publish(d, fd, o);
}

int dev_create(struct dev **ret)
{
	struct dev *d = calloc(1, sizeof(*d));
	struct host_cpu cpu;
	int r;

	if (!d)
		return -ENOMEM;
	r = mm_page_create(d);
	if (r) {
		free(d);
		return r;
	}
	pthread_mutex_init(&d->lock, NULL);
	host_cpu_look(&cpu);
	d->cpu_suits = !host_cpu_missing(&cpu);
	d->pid = sys_getpid();
	*ret = d;
	return 0;
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
	for (o = d->objects; o; o = next) {
		next = o->next;
		free(o);
	}
	for (i = 0; i < CHUNKS; i++)
		free(d->chunks[i]);
	sys_munmap((void *)d->mm_page, PAGE_SIZE);
	pthread_mutex_destroy(&d->lock);
	free(d);
}
