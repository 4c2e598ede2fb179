/* SPDX-License-Identifier: MIT */
/*
 * guest_memfd: memory that only the guest can reach, and KVM_SET_MEMORY_ATTRIBUTES, which says where it does.
 *
 * The descriptor is a memfd that was opened again for appending only. So the kernel itself refuses to
 * read it or to map it (it is not readable) and to write it (its size is sealed), while fallocate() works on
 * it, and fstat(), dup() and passing it on do as well. What we map of it was mapped before. A hole that
 * is punched takes the pages out of our mapping, too, and they are zero at the next access.
 *
 * It belongs to one vm and holds it: the vm lives on while the descriptor is open. The other way round
 * it is not held: when it is closed its slots lose their private memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "abi/kvm/memory.h"
#include "base/sys.h"

struct kvm_guest_memfd {
	struct kvm_vm *vm;
	u8 *memory; /* all of it, mapped here alone */
	u64 size;
};

void guest_memfd_release(void *kvm_guest_memfd)
{
	struct kvm_guest_memfd *g = kvm_guest_memfd;

	if (!g)
		return;
	machine_unbind_private(g->vm->machine, (u64)g->memory, g->size);
	sys_munmap(g->memory, g->size);
	free(g);
}

/* The same file at the same number, without the right to read. Where there is no /proc it stays as it is. */
static void reopen_unreadable(int fd)
{
	char path[32];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = sys_open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (again < 0)
		return;
	sys_dup3(again, fd, O_CLOEXEC);
	sys_close(again);
}

static int guest_memfd_make(struct kvm_vm *vm, int fd, u64 size, struct object *o)
{
	struct kvm_guest_memfd *g = calloc(1, sizeof(*g));
	void *p;

	if (!g)
		return -ENOMEM;
	p = sys_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (p == MAP_FAILED) {
		free(g);
		return -errno;
	}
	*g = (struct kvm_guest_memfd){.vm = vm, .memory = p, .size = size};
	o->behind = g;
	return 0;
}

long vm_create_guest_memfd(struct call *c)
{
	const struct kvm_create_guest_memfd *k = c->data;
	const struct fd_spec q = {
		.ops = &kvm_guest_memfd_ops, .owner = vm_of(c)->object, .size = k->size};
	struct object *o;
	int fd, r;

	if (check_flags(c, k->flags, 0))
		return -EINVAL;
	if (!k->size || k->size > INT64_MAX || (k->size & ~PAGE_MASK))
		return refuse(c->why, -EINVAL,
			"size 0x%lx: must be a whole number of pages, at least one", (u64)k->size);
	fd = fd_create(c->dev, &q, &o);
	if (fd < 0)
		return fd;
	r = guest_memfd_make(vm_of(c), fd, k->size, o);
	if (r) {
		fd_abandon(c->dev, fd, o);
		return r;
	}
	reopen_unreadable(fd);
	return fd_publish(c->dev, fd, o);
}

/* ---- as memory of a slot ---- */

#define NO_MEMORY "guest_memfd %lu: this descriptor is not a guest_memfd of this VM"

static int memory_of(struct call *c, const struct object *o, int fd, u64 offset, u64 size, u64 *ret)
{
	const struct kvm_guest_memfd *g = o->behind;

	if (o->ops != &kvm_guest_memfd_ops || o->foreign || g->vm != vm_of(c))
		return refuse(c->why, -EINVAL, NO_MEMORY, (u64)(u32)fd);
	if ((offset & ~PAGE_MASK) || offset > g->size || size > g->size - offset)
		return refuse(c->why, -EINVAL,
			"guest_memfd_offset 0x%lx: must be page aligned, and the slot must end "
			"within the 0x%lx bytes of memory",
			offset, g->size);
	*ret = (u64)g->memory + offset;
	return 0;
}

int guest_memfd_hold(
	struct call *c, int fd, u64 offset, u64 size, u64 *ret_address, struct object **ret)
{
	struct object *o = object_get(c->dev, fd);
	int r;

	if (!o && sys_fcntl(fd, F_GETFD, 0) < 0)
		return refuse(c->why, -EBADF, "guest_memfd %lu: this descriptor is not open",
			(u64)(u32)fd);
	if (!o)
		return refuse(c->why, -EINVAL, NO_MEMORY, (u64)(u32)fd);
	r = memory_of(c, o, fd, offset, size, ret_address);
	if (r)
		object_put(c->dev, o);
	else
		*ret = o;
	return r;
}

/* ---- attributes ---- */

#define PAGES(address)                                                                             \
	address " 0x%lx, size 0x%lx: must be whole pages, at least one, and must not wrap around"

u64 vm_memory_attributes(const struct kvm_vm *vm)
{
	return !vm || vm->private_memory ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0;
}

long vm_set_attributes(struct call *c)
{
	const struct kvm_memory_attributes *a = c->data;

	if (check_flags(c, a->flags, 0))
		return -EINVAL;
	if (a->attributes & ~vm_memory_attributes(vm_of(c)))
		return refuse(c->why, -EINVAL,
			"attributes 0x%lx: this VM supports only the attributes 0x%lx",
			(u64)a->attributes, vm_memory_attributes(vm_of(c)));
	if (!a->size || a->address + a->size < a->address || ((a->address | a->size) & ~PAGE_MASK))
		return refuse(c->why, -EINVAL, PAGES("address"), (u64)a->address, (u64)a->size);
	return machine_set_private(vm_of(c)->machine, a->address, a->size,
		a->attributes & KVM_MEMORY_ATTRIBUTE_PRIVATE);
}

/* ---- KVM_PRE_FAULT_MEMORY: what is left is told even when it fails ---- */

long vcpu_pre_fault(struct call *c)
{
	struct kvm_pre_fault_memory p;
	u64 done;
	long r;

	if (copy_in(c->dev, &p, c->arg, sizeof(p)))
		return -EFAULT;
	if (check_flags(c, p.flags, 0))
		return -EINVAL;
	if (((p.gpa | p.size) & ~PAGE_MASK) || p.gpa + p.size <= p.gpa)
		return refuse(c->why, -EINVAL, PAGES("gpa"), (u64)p.gpa, (u64)p.size);
	r = vcpu_populate(vcpu_of(c)->cpu, p.gpa, p.size, &done);
	p.gpa += done;
	p.size -= done;
	if (copy_out(c->dev, c->arg, &p, sizeof(p)))
		return -EFAULT;
	return done ? 0
		    : refuse_if(c->why, r, -ENOENT, "gpa 0x%lx: no slot has memory at this address",
			      (u64)p.gpa);
}

/* ---- system calls on the descriptor ---- */

static int fallocate_check(int mode, s64 offset, s64 len, u64 size)
{
	if (!(mode & FALLOC_FL_KEEP_SIZE) || (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE)))
		return -EOPNOTSUPP;
	if (offset < 0 || len <= 0 || ((offset | len) & ~PAGE_MASK))
		return -EINVAL;
	/* Its size never changes. A hole may lie beyond the end. */
	if (!(mode & FALLOC_FL_PUNCH_HOLE) && (u64)offset + (u64)len > size)
		return -EINVAL;
	return 0;
}

/* One that came from another process we know nothing of: the kernel alone looks at it. */
int guest_memfd_fallocate(const struct object *o, int fd, int mode, s64 offset, s64 len)
{
	const struct kvm_guest_memfd *g = o->behind;
	int r = o->foreign ? 0 : fallocate_check(mode, offset, len, g->size);

	if (r)
		return r;
	return sys_fallocate(fd, mode, offset, len) ? -errno : 0;
}
