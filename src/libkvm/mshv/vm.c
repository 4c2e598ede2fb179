/* SPDX-License-Identifier: MIT */
/* The VM and its vCPUs: made and gone, and what is asked of the system before there is any. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "libkvm/mshv/mshv.h"

#define AREA_SIZE (2 * PAGE_SIZE) /* struct kvm_run, and the data of ports */

/* ---- the system ---- */

long serve_api_version(struct ask *c)
{
	return KVM_API_VERSION;
}

long serve_area_size(struct ask *c)
{
	return AREA_SIZE;
}

/* What is not here is not there: reports of accesses to the TPR, collected writes, addresses for real mode. */
long serve_capability(struct ask *c)
{
	static const struct {
		u32 cap, value;
	} capabilities[] = {
		{KVM_CAP_IRQCHIP, 1},
		{KVM_CAP_HLT, 1},
		{KVM_CAP_MMU_SHADOW_CACHE_CONTROL, 1},
		{KVM_CAP_USER_MEMORY, 1},
		{KVM_CAP_EXT_CPUID, 1},
		{KVM_CAP_NR_VCPUS, MAX_VPS},
		{KVM_CAP_MAX_VCPUS, MAX_VPS},
		{KVM_CAP_MAX_VCPU_ID, MAX_VPS},
		{KVM_CAP_NR_MEMSLOTS, MAX_SLOTS},
		{KVM_CAP_PIT, 1},
		{KVM_CAP_PIT2, 1},
		{KVM_CAP_NOP_IO_DELAY, 1},
		{KVM_CAP_MP_STATE, 1},
		{KVM_CAP_SYNC_MMU, 1},
		{KVM_CAP_DESTROY_MEMORY_REGION_WORKS, 1},
		{KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, 1},
		{KVM_CAP_USER_NMI, 1},
		{KVM_CAP_SET_GUEST_DEBUG, 1},
		{KVM_CAP_VCPU_EVENTS, 1},
		{KVM_CAP_DEBUGREGS, 1},
		{KVM_CAP_XCRS, 1},
		{KVM_CAP_READONLY_MEM, 1},
		{KVM_CAP_INTERNAL_ERROR_DATA, 1},
		{KVM_CAP_CHECK_EXTENSION_VM, 1},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(capabilities); i++)
		if (capabilities[i].cap == (unsigned long)c->arg)
			return capabilities[i].value;
	return 0;
}

/* ---- the VM ---- */

long serve_create_vm(struct ask *c)
{
	struct partition *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->mshv = c->m;
	p->fd = -1;
	pthread_mutex_init(&p->lock, NULL);
	memory_begin(p);
	chips_init(p);
	c->m->vm = p;
	return VM_NUMBER;
}

void partition_close(struct mshv *m)
{
	struct partition *p = m->vm;

	chips_destroy(p);
	partition_drop(p);
	memory_end(p);
	pthread_mutex_destroy(&p->lock);
	free(p);
	m->vm = NULL;
}

static bool has_vcpus(const struct partition *p)
{
	for (unsigned i = 0; i < MAX_VPS; i++)
		if (p->vps[i])
			return true;
	return false;
}

/* Whether there are local APICs is said when a partition is made: one that was made without is replaced. */
long serve_create_irqchip(struct ask *c)
{
	struct partition *p = c->p;
	const bool made = p->fd >= 0;
	long r;

	if (p->lapics)
		return refuse(c->why, -EEXIST, "the VM already has an irqchip");
	if (has_vcpus(p))
		return refuse(c->why, -EINVAL, "the irqchip must be created before the first vCPU");
	partition_drop(p);
	p->lapics = true;
	p->tracks = false;
	r = partition_ensure(p, c->why);
	if (r >= 0 && made)
		r = memory_map_all(p, c->why);
	if (r < 0) {
		p->lapics = false;
		return r;
	}
	chips_create(p);
	return 0;
}

#define MMU_PAGES_MIN 64 /* KVM's */

/* The nearest that this hypervisor has is the size of its virtual TLB. */
long serve_set_mmu_pages(struct ask *c)
{
	const u64 pages = (u64)(uintptr_t)c->arg;
	long r;

	if (pages < MMU_PAGES_MIN)
		return refuse(
			c->why, -EINVAL, "the limit must be at least %lu", (u64)MMU_PAGES_MIN);
	r = partition_ensure(c->p, c->why);
	return r < 0 ? r
		     : property_set(
			       c->m, c->p->fd, HV_PROPERTY_VIRTUAL_TLB_PAGE_COUNT, pages, c->why);
}

/* ---- vCPUs ---- */

long serve_create_vcpu(struct ask *c)
{
	const u64 index = (u64)(uintptr_t)c->arg;
	struct partition *p = c->p;
	struct vp *v;
	long r = partition_ensure(p, c->why);

	if (r < 0)
		return r;
	if (index >= MAX_VPS)
		return refuse(c->why, -EINVAL, "vCPU %lu: there can be %lu", index, (u64)MAX_VPS);
	v = calloc(1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	v->p = p;
	v->index = (u32)index;
	v->vector = -1;
	r = vp_open(c->m, p->fd, v, c->why);
	if (r < 0) {
		free(v);
		return r;
	}
	p->vps[index] = v;
	return VCPU_NUMBER + (long)index;
}

/* The same memory for the program as for this driver: in place of what was reserved. */
int vp_map_area(struct vp *v, void *at)
{
	void *run = mmap(at, AREA_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	if (run == MAP_FAILED)
		return -errno;
	v->run = run;
	return 0;
}

void vp_destroy(struct vp *v)
{
	v->p->vps[v->index] = NULL;
	vp_close(v->p->mshv, v);
	free(v->cpuid);
	free(v);
}
