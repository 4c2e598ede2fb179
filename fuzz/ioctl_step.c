/* SPDX-License-Identifier: MIT */
/* One step: a request on some descriptor, or what a program does beside: open, close, write to kvm_run. */
#include <sys/mman.h>

#include "fuzz/ioctl_fuzz.h"

/* ---- the pool ---- */

/* Some slots are for the device, some for vms, most for vcpus. */
static const struct fd_ops *slot_kind(unsigned i)
{
	return i < 1   ? &kvm_system_ops
	       : i < 4 ? &kvm_vm_ops
	       : i < 5 ? &kvm_guest_memfd_ops
	       : i < 6 ? &kvm_vfio_ops
		       : &kvm_vcpu_ops;
}

int any_of(struct worker *w, const struct fd_ops *kind)
{
	unsigned i, at = below(w, POOL);

	for (i = 0; i < POOL; i++)
		if (slot_kind((at + i) % POOL) == kind && pg.pool[(at + i) % POOL].fd >= 0)
			return pg.pool[(at + i) % POOL].fd;
	return -1;
}

void pool_close(struct slot *s)
{
	int fd = atomic_exchange(&s->fd, -1);

	if (fd < 0)
		return;
	if (s->run)
		munmap(s->run, 12288);
	s->run = NULL;
	dev_close(pg.dev, fd);
}

static long open_device(struct worker *w)
{
	struct kvm_create_device d = {.type = KVM_DEV_TYPE_VFIO};
	long r = dev_ioctl(pg.dev, any_of(w, &kvm_vm_ops), KVM_CREATE_DEVICE, (unsigned long)&d);

	return r ? r : (long)d.fd;
}

static void pool_open(struct worker *w, struct slot *s, const struct fd_ops *kind)
{
	const int prot = PROT_READ | PROT_WRITE;
	struct kvm_userspace_memory_region r = {
		.memory_size = RAM_BYTES, .userspace_addr = (u64)pg.ram};
	struct kvm_create_guest_memfd memfd = {.size = RAM_BYTES};
	long fd;

	if (kind == &kvm_system_ops)
		fd = dev_open(pg.dev, "/dev/kvm", 0);
	else if (kind == &kvm_vm_ops)
		fd = dev_ioctl(pg.dev, any_of(w, &kvm_system_ops), KVM_CREATE_VM,
			chance(w, 30) ? KVM_X86_SW_PROTECTED_VM : KVM_X86_DEFAULT_VM);
	else if (kind == &kvm_guest_memfd_ops)
		fd = dev_ioctl(pg.dev, any_of(w, &kvm_vm_ops), KVM_CREATE_GUEST_MEMFD,
			(unsigned long)&memfd);
	else if (kind == &kvm_vfio_ops)
		fd = open_device(w);
	else
		fd = dev_ioctl(pg.dev, any_of(w, &kvm_vm_ops), KVM_CREATE_VCPU, below(w, 4));
	if (fd < 0)
		return;
	if (kind == &kvm_vm_ops && chance(w, 70))
		dev_ioctl(pg.dev, fd, KVM_SET_USER_MEMORY_REGION, (unsigned long)&r);
	if (kind == &kvm_vm_ops && chance(w, 50))
		dev_ioctl(pg.dev, fd, KVM_CREATE_IRQCHIP, 0);
	s->kind = kind;
	s->run = kind == &kvm_vcpu_ops ? mmap(NULL, 12288, prot, MAP_SHARED, fd, 0) : NULL;
	s->fd = fd;
}

static void refill(struct worker *w)
{
	unsigned i = below(w, POOL);
	struct slot *s = &pg.pool[i];

	pthread_mutex_lock(&pg.lock);
	if (s->fd < 0)
		pool_open(w, s, slot_kind(i));
	else if (chance(w, 10))
		pool_close(s);
	pthread_mutex_unlock(&pg.lock);
}

/* ---- one step ---- */

/* The caller may write anything to kvm_run at any time. */
static void scribble(struct worker *w, struct slot *s)
{
	pthread_mutex_lock(&pg.lock);
	if (s->fd >= 0 && s->run) {
		u8 *p = s->run;

		p[chance(w, 80) ? below(w, sizeof(struct kvm_run)) : below(w, 12288)] = next(w);
		((struct kvm_run *)p)->immediate_exit = chance(w, 10);
		if (chance(w, 50))
			((struct kvm_run *)p)->kvm_valid_regs =
				((struct kvm_run *)p)->kvm_dirty_regs = 0;
	}
	pthread_mutex_unlock(&pg.lock);
}

static bool makes_descriptor(const struct request *r)
{
	return r->number == KVM_CREATE_VM || r->number == KVM_CREATE_VCPU ||
	       r->number == KVM_CREATE_DEVICE;
}

/* What is in some slot now; another thread may close it before it is used, and that is wanted. */
static struct slot pick(struct worker *w)
{
	unsigned i = below(w, POOL);
	struct slot s;

	pthread_mutex_lock(&pg.lock);
	s = pg.pool[i];
	pthread_mutex_unlock(&pg.lock);
	return s;
}

static void request(struct worker *w, const struct request *r, int fd)
{
	long result = dev_ioctl(pg.dev, fd, r->number, make_argument(w, r, fd));

	if (result >= 0 && (r->number == KVM_GET_STATS_FD || r->number == KVM_CREATE_GUEST_MEMFD))
		dev_close(pg.dev, (int)result);
}

static const struct request *find_request(const struct fd_ops *kind, u32 number)
{
	const struct request *r = kvm_interface.requests;

	while (r->on != kind || r->number != number)
		r++;
	return r;
}

static void one_request(struct worker *w)
{
	const struct slot s = pick(w);
	const struct request *r;
	int fd = s.fd;

	do
		r = &kvm_interface.requests[below(w, kvm_interface.request_count)];
	while (makes_descriptor(r) || (r->on != s.kind && chance(w, 90)));
	if (s.kind == &kvm_vcpu_ops && chance(w, 25))
		r = find_request(&kvm_vcpu_ops, KVM_RUN);
	if (chance(w, 2))
		dev_ioctl(pg.dev, fd, _IO(KVMIO, 0xff) - below(w, 16), interesting(w));
	else
		request(w, r, fd);
}

void one_step(struct worker *w)
{
	unsigned what = below(w, 100);

	if (what < 4)
		refill(w);
	else if (what < 6)
		dev_fallocate(pg.dev, any_of(w, &kvm_guest_memfd_ops), (int)below(w, 4),
			(s64)(chance(w, 80) ? below(w, 64) * 0x1000 : interesting(w)),
			(s64)(chance(w, 80) ? below(w, 64) * 0x1000 : interesting(w)));
	else if (what < 20)
		scribble(w, &pg.pool[below(w, POOL)]);
	else
		one_request(w);
}
