/* SPDX-License-Identifier: MIT */
/* A vm: making it, making its vcpus, addresses that only VMX cares about, the clock. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "abi/kvm/caps.h"
#include "abi/kvm/run.h"
#include "base/direct.h"
#include "base/sys.h"
#include "introspect/introspect.h"
#include "introspect/maps.h"

static int vm_make(struct dev *d, struct object *o, unsigned long type)
{
	struct kvm_vm *vm = calloc(1, sizeof(*vm));
	int r;

	if (!vm)
		return -ENOMEM;
	r = machine_create(&vm->machine);
	if (r) {
		free(vm);
		return r;
	}
	machine_set_option(vm->machine, OPT_DIRECT, direct_where());
	machine_set_option(vm->machine, OPT_HYPERCALL_EXITS, MAPS_HYPERCALLS);
	vm->dev = d;
	vm->object = o;
	vm->private_memory = type == KVM_X86_SW_PROTECTED_VM;
	pthread_mutex_init(&vm->lock, NULL);
	o->behind = vm;
	return 0;
}

long system_create_vm(struct call *c)
{
	const struct fd_spec q = {.ops = &kvm_vm_ops};
	struct object *o;
	int fd, r;

	if (c->arg != KVM_X86_DEFAULT_VM && c->arg != KVM_X86_SW_PROTECTED_VM)
		return refuse(c->why, -EINVAL,
			"type %lu: must be 0 (default) or 1 (software-protected)", c->arg);
	fd = fd_create(c->dev, &q, &o);
	if (fd < 0)
		return fd;
	r = vm_make(c->dev, o, c->arg);
	if (r) {
		fd_abandon(c->dev, fd, o);
		return r;
	}
	return fd_publish(c->dev, fd, o);
}

/* ---- vcpus ---- */

/* The dirty ring lies on page 64 of the file; what is between is never used. */
static size_t vcpu_file_bytes(const struct kvm_vm *vm)
{
	return vm->ring_bytes ? KVM_DIRTY_LOG_PAGE_OFFSET * PAGE_SIZE + vm->ring_bytes
			      : RUN_PAGES * PAGE_SIZE;
}

static int give_ring(struct kvm_vm *vm, struct kvm_vcpu *v)
{
	void *ring = (u8 *)v->run + KVM_DIRTY_LOG_PAGE_OFFSET * PAGE_SIZE;

	if (!vm->ring_bytes)
		return 0;
	return vcpu_set_dirty_ring(v->cpu, ring, vm->ring_bytes / sizeof(struct dirty_gfn));
}

static int vcpu_make(struct kvm_vm *vm, u32 id, int fd, struct kvm_vcpu *v)
{
	size_t bytes = vcpu_file_bytes(vm);
	void *run = sys_mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	int r;

	if (run == MAP_FAILED)
		return -errno;
	v->run = run;
	r = vcpu_create(vm->machine, id, &v->cpu);
	if (r) {
		sys_munmap(run, bytes);
		return r;
	}
	r = give_ring(vm, v);
	if (r) {
		vcpu_destroy(v->cpu);
		sys_munmap(run, bytes);
		return r;
	}
	run_init(v);
	v->vm = vm;
	pthread_mutex_init(&v->lock, NULL);
	return 0;
}

/* When its last descriptor is gone it stays, as in the kernel, with its id, as long as the vm does. */
static void vcpu_free(struct kvm_vcpu *v)
{
	vcpu_destroy(v->cpu);
	stats_free(&v->stats);
	run_signals_free(&v->signals);
	sys_munmap(v->run, vcpu_file_bytes(v->vm));
	pthread_mutex_destroy(&v->lock);
	free(v->cpuid);
	free(v);
}

/* Its vCPUs may live on, and run. In Linux the ioeventfds go with the machine, the irqfds with its descriptor. */
void vm_closed(void *kvm_vm)
{
	const struct kvm_vm *vm = kvm_vm;

	irqfd_deassign_all(vm->machine);
}

void vm_remapped(void *kvm_vm, u64 start, u64 size)
{
	const struct kvm_vm *vm = kvm_vm;

	machine_memory_remapped(vm->machine, (const void *)start, size);
}

/* Its machine may have no other descriptor. */
void vcpu_remapped(void *kvm_vcpu, u64 start, u64 size)
{
	const struct kvm_vcpu *v = kvm_vcpu;

	vm_remapped(v->vm, start, size);
}

void vm_release(void *kvm_vm)
{
	struct kvm_vm *vm = kvm_vm;
	struct kvm_vcpu *v, *next;

	if (!vm)
		return;
	introspection_destroy(vm->introspection); /* first: it may just be learning of the vcpus */
	for (v = vm->vcpus; v; v = next) {
		next = v->next;
		vcpu_free(v);
	}
	maps_machine_ends(dev_maps(vm->dev), vm->machine);
	machine_destroy(vm->machine);
	stats_free(&vm->stats);
	pthread_mutex_destroy(&vm->lock);
	free(vm);
}

/* Under vm->lock. A descriptor that is not yet published, or -errno. */
static int create_vcpu_fd(struct kvm_vm *vm, u32 id, struct object **ret)
{
	char suffix[16];
	const struct fd_spec q = {.ops = &kvm_vcpu_ops,
		.owner = vm->object,
		.suffix = suffix,
		.size = vcpu_file_bytes(vm)};
	struct kvm_vcpu *v;
	struct object *o;
	int fd, r;

	snprintf(suffix, sizeof(suffix), ":%u", id);
	fd = fd_create(vm->dev, &q, &o);
	if (fd < 0)
		return fd;
	v = calloc(1, sizeof(*v));
	r = v ? vcpu_make(vm, id, fd, v) : -ENOMEM;
	if (r) {
		free(v);
		fd_abandon(vm->dev, fd, o);
		return r;
	}
	o->behind = v;
	v->next = vm->vcpus;
	vm->vcpus = v;
	if (!vm->created_vcpus++) {
		vm->ring_vcpu = v;
		dev_introspect(vm->dev, vm->machine, &vm->introspection);
	}
	*ret = o;
	return fd;
}

/* Under vm->lock. */
static long check_id(struct call *c, unsigned long id)
{
	u64 limit = vm_of(c)->max_ids ? vm_of(c)->max_ids : MACHINE_MAX_VCPUS;

	if (id < limit)
		return 0;
	return refuse(c->why, -EINVAL, "vCPU id %lu: must be below %lu", id, limit);
}

long vm_create_vcpu(struct call *c)
{
	struct object *o = NULL;
	long fd;

	pthread_mutex_lock(&vm_of(c)->lock);
	fd = check_id(c, c->arg);
	fd = fd ? fd : create_vcpu_fd(vm_of(c), c->arg, &o);
	pthread_mutex_unlock(&vm_of(c)->lock);
	if (fd >= 0)
		return fd_publish(c->dev, (int)fd, o);
	return refuse_if(c->why, fd, -EEXIST, "vCPU id %lu: this vCPU already exists", c->arg);
}

long vm_set_boot_cpu(struct call *c)
{
	struct kvm_vm *vm = vm_of(c);
	long ret;

	pthread_mutex_lock(&vm->lock);
	ret = check_id(c, c->arg);
	ret = ret ? ret : machine_set_boot_cpu(vm->machine, c->arg);
	if (!ret)
		vm->boot_id = c->arg;
	pthread_mutex_unlock(&vm->lock);
	return refuse_if(c->why, ret, -EBUSY, AFTER_VCPUS);
}

/* Can be said once, before there is a vcpu; saying the same again does no harm. */
long vm_limit_ids(struct call *c, u64 max_ids)
{
	struct kvm_vm *vm = vm_of(c);

	if (max_ids > MACHINE_MAX_VCPUS)
		return refuse(c->why, -EINVAL, "args[0] %lu: at most %lu is allowed", max_ids,
			(u64)MACHINE_MAX_VCPUS);
	if (vm->boot_id > max_ids)
		return refuse(c->why, -EINVAL,
			"args[0] %lu: must not be below the id of the boot processor, %lu", max_ids,
			(u64)vm->boot_id);
	if (max_ids == vm->max_ids)
		return 0;
	if (vm->max_ids)
		return refuse(c->why, -EINVAL, "args[0] %lu: the limit is already set to %lu",
			max_ids, (u64)vm->max_ids);
	if (vm->created_vcpus)
		return refuse(c->why, -EINVAL, AFTER_VCPUS);
	vm->max_ids = max_ids;
	return 0;
}

/* ---- VMX's scratch pages: a software engine needs none, but the addresses are checked ---- */

long vm_set_tss_addr(struct call *c)
{
	if (c->arg <= (u32)(-3 * (long)PAGE_SIZE))
		return 0;
	return refuse(c->why, -EINVAL, "address 0x%lx: three pages must fit below 4 GiB", c->arg);
}

static bool vm_has_vcpus(struct kvm_vm *vm)
{
	bool has;

	pthread_mutex_lock(&vm->lock);
	has = vm->created_vcpus;
	pthread_mutex_unlock(&vm->lock);
	return has;
}

long vm_set_identity_map(struct call *c)
{
	u64 addr;

	if (vm_has_vcpus(vm_of(c)))
		return refuse(c->why, -EINVAL, AFTER_VCPUS);
	return copy_in(c->dev, &addr, c->arg, sizeof(addr));
}

long vm_set_mmu_pages(struct call *c)
{
	const u32 minimum = 64;

	if ((u32)c->arg >= minimum)
		return 0;
	return refuse(c->why, -EINVAL, "%lu pages: at least 64 are necessary", (u64)(u32)c->arg);
}

/* ---- clock ---- */

static u64 realtime_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

long vm_get_tsc_khz(struct call *c)
{
	return machine_tsc_khz(vm_of(c)->machine);
}

/* Of vCPUs to come. */
long vm_set_tsc_khz(struct call *c)
{
	u32 khz = (u32)c->arg;

	return refuse_if(c->why, machine_set_tsc_khz(vm_of(c)->machine, khz), -EINVAL,
		"%lu kHz: at most %lu kHz are possible", (u64)khz, (u64)TSC_KHZ_MAX - 1);
}

long vm_get_clock(struct call *c)
{
	struct kvm_clock_data *k = c->data;
	u64 host_tsc, realtime;

	k->clock = machine_get_clock_at(vm_of(c)->machine, &host_tsc, &realtime);
	k->realtime = realtime;
	k->host_tsc = host_tsc;
	k->flags = KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC;
	return 0;
}

long vm_set_clock(struct call *c)
{
	const struct kvm_clock_data *k = c->data;
	u64 clock = k->clock, now = realtime_ns();

	if (check_flags(
		    c, k->flags, KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC))
		return -EINVAL;
	/* The guest's clock went on while it was stopped or on its way here. */
	if ((k->flags & KVM_CLOCK_REALTIME) && now > k->realtime)
		clock += now - k->realtime;
	machine_set_clock(vm_of(c)->machine, clock);
	return 0;
}
