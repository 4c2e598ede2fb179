/* SPDX-License-Identifier: MIT */
/*
 * The only device that KVM_CREATE_DEVICE makes on x86: a list of the VFIO groups and devices that the vm uses.
 *
 * The kernel's KVM wants to know them because what they do concerns it: it holds them open, lets them know the vm, and
 * learns whether DMA bypasses the caches. Here only the holding is left. A device's DMA goes to the memory that the VMM
 * has mapped for it by VFIO itself, which is its own, and guest RAM is nothing else; its interrupts come as
 * eventfds, to KVM_IRQFD; the guest's caches are the host's. So each file is held by a descriptor of our own.
 *
 * It belongs to one vm and holds it; when its last descriptor is closed, the vm may have another. What is accepted and what is
 * refused is as in Linux, Documentation/virt/kvm/devices/vfio.rst.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "abi/kvm/kvm.h"
#include "base/fd.h"

struct kvm_vfio {
	struct kvm_vm *vm;
	pthread_mutex_t lock;
	unsigned count, room;
	int *files; /* kept: base/fd.h */
};

/* On a device's descriptor. */
static struct kvm_vfio *vfio_of(const struct call *c)
{
	return c->behind;
}

/* ---- the device ---- */

static int vfio_make(struct kvm_vm *vm, struct object *o)
{
	struct kvm_vfio *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	if (atomic_exchange(&vm->vfio, true)) {
		free(f);
		return -EBUSY;
	}
	f->vm = vm;
	pthread_mutex_init(&f->lock, NULL);
	o->behind = f;
	return 0;
}

void vfio_release(void *kvm_vfio)
{
	struct kvm_vfio *f = kvm_vfio;
	struct kvm_vm *vm;

	if (!f)
		return;
	vm = f->vm;
	while (f->count)
		fd_drop(f->files[--f->count]);
	free(f->files);
	pthread_mutex_destroy(&f->lock);
	free(f);
	atomic_store(&vm->vfio, false);
}

static int vfio_create(struct call *c)
{
	const struct fd_spec q = {.ops = &kvm_vfio_ops, .owner = vm_of(c)->object};
	struct object *o;
	int fd = fd_create(c->dev, &q, &o);
	int r;

	if (fd < 0)
		return fd;
	r = vfio_make(vm_of(c), o);
	if (!r)
		return fd_publish(c->dev, fd, o);
	fd_abandon(c->dev, fd, o);
	return refuse_if(c->why, r, -EBUSY, "the VM already has its VFIO device");
}

/* Flags beside KVM_CREATE_DEVICE_TEST are not looked at; nor are they by Linux. */
long vm_create_device(struct call *c)
{
	struct kvm_create_device *k = c->data;
	int fd;

	if (k->type != KVM_DEV_TYPE_VFIO)
		return refuse(c->why, -ENODEV,
			"type %lu: the only device on x86 is KVM_DEV_TYPE_VFIO, 4", (u64)k->type);
	if (k->flags & KVM_CREATE_DEVICE_TEST)
		return 0;
	fd = vfio_create(c);
	if (fd < 0)
		return fd;
	k->fd = (u32)fd;
	return 0;
}

/* ---- which files are VFIO's ---- */

/* The link under /sys/dev/char/ ends in .../vfio/<group> or .../vfio-dev/vfio<n>; the container's in .../misc/vfio. */
static bool vfio_by_number(const struct stat *st)
{
	char path[48], link[256];
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/dev/char/%u:%u", major(st->st_rdev), minor(st->st_rdev));
	n = sys_readlink(path, link, sizeof(link) - 1);
	link[n > 0 ? n : 0] = 0;
	return strstr(link, "/vfio/") || strstr(link, "/vfio-dev/");
}

/* Where there is no /sys, as in a jail. A program that gives another device this name deceives nobody but itself. */
static bool vfio_by_name(const char *name)
{
	static const char dir[] = "/dev/vfio/";

	return !strncmp(name, dir, strlen(dir)) && strcmp(name, "/dev/vfio/vfio");
}

/* A group, a device, or a device that was had from its group, which is no node of /dev. */
static bool is_vfio(int fd)
{
	char path[32], name[256];
	struct stat st;
	ssize_t n;

	if (sys_fstat(fd, &st))
		return false;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = sys_readlink(path, name, sizeof(name) - 1);
	name[n > 0 ? n : 0] = 0;
	if (S_ISCHR(st.st_mode))
		return vfio_by_name(name) || vfio_by_number(&st);
	return !strcmp(name, "anon_inode:[vfio-device]");
}

/* One open file. Where kcmp() is not to be had: one inode, which tells all apart but devices had from groups. */
static bool same_file(int fd, int other)
{
	struct stat a, b;
	int r = sys_same_file(fd, other);

	if (r >= 0)
		return !r;
	return !sys_fstat(fd, &a) && !sys_fstat(other, &b) && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

/* ---- the list; under f->lock ---- */

/* Its place, or count. */
static unsigned find(const struct kvm_vfio *f, int fd)
{
	unsigned i = 0;

	while (i < f->count && !same_file(f->files[i], fd))
		i++;
	return i;
}

static int reserve(struct kvm_vfio *f)
{
	unsigned more = f->room ? f->room * 2 : 8;
	int *larger;

	if (f->count < f->room)
		return 0;
	larger = realloc(f->files, more * sizeof(*larger));
	if (!larger)
		return -ENOMEM;
	f->files = larger;
	f->room = more;
	return 0;
}

#define NOT_OPEN "fd %lu is not open"

static long add_held(struct call *c, int fd, int held)
{
	struct kvm_vfio *f = vfio_of(c);

	if (!is_vfio(held))
		return refuse(c->why, -EINVAL, "fd %lu is neither a VFIO group nor a VFIO device",
			(u64)(u32)fd);
	if (find(f, held) < f->count)
		return refuse(
			c->why, -EEXIST, "fd %lu: the device already has this file", (u64)(u32)fd);
	if (reserve(f))
		return -ENOMEM;
	f->files[f->count++] = held;
	return 0;
}

/* Held first, then looked at: the program can open something else there at any moment. */
static long file_add(struct call *c, int fd)
{
	int held = sys_fcntl(fd, F_DUPFD_CLOEXEC, 0);
	long r;

	if (held < 0)
		return refuse_if(c->why, -errno, -EBADF, NOT_OPEN, (u64)(u32)fd);
	held = fd_keep(held);
	r = add_held(c, fd, held);
	if (r)
		fd_drop(held);
	return r;
}

static long file_del(struct call *c, int fd)
{
	struct kvm_vfio *f = vfio_of(c);
	unsigned i;

	if (sys_fcntl(fd, F_GETFD, 0) < 0)
		return refuse(c->why, -EBADF, NOT_OPEN, (u64)(u32)fd);
	i = find(f, fd);
	if (i == f->count)
		return refuse(c->why, -ENOENT, "fd %lu: the device does not have this file",
			(u64)(u32)fd);
	fd_drop(f->files[i]);
	f->files[i] = f->files[--f->count];
	return 0;
}

/* ---- attributes ---- */

/* KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE is for POWER's IOMMU. */
static long check_attr(struct call *c)
{
	const struct kvm_device_attr *a = c->data;

	if (a->group == KVM_DEV_VFIO_FILE &&
		(a->attr == KVM_DEV_VFIO_FILE_ADD || a->attr == KVM_DEV_VFIO_FILE_DEL))
		return 0;
	return refuse(c->why, -ENXIO,
		"attr %lu of group %lu: the only attributes are KVM_DEV_VFIO_FILE_ADD and _DEL of "
		"group 1",
		(u64)a->attr, (u64)a->group);
}

long vfio_has_attr(struct call *c)
{
	return check_attr(c);
}

long vfio_get_attr(struct call *c)
{
	return refuse(c->why, -EPERM, "a VFIO device has no attribute that can be read");
}

long vfio_set_attr(struct call *c)
{
	const struct kvm_device_attr *a = c->data;
	struct kvm_vfio *f = vfio_of(c);
	long r;
	s32 fd;

	if (check_attr(c))
		return -ENXIO;
	if (copy_in(c->dev, &fd, a->addr, sizeof(fd)))
		return -EFAULT;
	pthread_mutex_lock(&f->lock);
	r = a->attr == KVM_DEV_VFIO_FILE_ADD ? file_add(c, fd) : file_del(c, fd);
	pthread_mutex_unlock(&f->lock);
	return r;
}
