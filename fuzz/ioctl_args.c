/* SPDX-License-Identifier: MIT */
/*
 * Arguments: filled with numbers on the edge of something, and for requests that would refuse nearly all of those
 * made so that they go deeper.
 */
#include <signal.h>
#include <string.h>

#include "fuzz/ioctl_fuzz.h"

#define RING_BYTES 0x4000 /* of dirty page numbers, where a vm has that */

u64 interesting(struct worker *w)
{
	static const u64 edges[] = {0, 1, 2, 3, 4, 8, 15, 16, 23, 24, 31, 32, 63, 64, 255, 256,
		4095, 4096, 4097, 0x8000, 0xffff, 0x10000, 0x40000, 0xa0000, 0x7fffffff, 0x80000000,
		0xfee00000, 0xfec00000, 0xffffffff, 0x100000000, 0x7fffffffffff, 0x800000000000,
		-4096ull, -1ull};

	switch (below(w, 4)) {
	case 0: return edges[below(w, ARRAY_SIZE(edges))];
	case 1: return below(w, 40);
	case 2: return 1ull << below(w, 64);
	default: return next(w);
	}
}

static void fill(struct worker *w, void *p, size_t n)
{
	u8 *b = p;
	size_t i;

	memset(b, 0, n);
	if (chance(w, 10))
		for (i = 0; i < n; i++)
			b[i] = next(w);
	for (i = below(w, 6); i; i--) {
		u64 v = interesting(w);
		size_t size = 1u << below(w, 4), at = below(w, n + 1) & ~(size - 1);

		if (at + size <= n)
			memcpy(b + at, &v, size);
	}
}

/* ---- arguments that go deeper if they are right ---- */

static void make_region(struct worker *w, void *p)
{
	struct kvm_userspace_memory_region *r = p;
	u64 at = below(w, 8) * 0x8000;

	*r = (struct kvm_userspace_memory_region){
		.slot = below(w, 4),
		.flags = below(w, 4),
		.guest_phys_addr = chance(w, 90) ? below(w, 8) * 0x8000 : interesting(w),
		.memory_size = chance(w, 70)   ? RAM_BYTES - at
			       : chance(w, 70) ? 0
					       : interesting(w),
		/* Only memory that guests may write: ours, or none at all. */
		.userspace_addr = chance(w, 90) ? (u64)pg.ram + at : 0x10000,
	};
	if (r->userspace_addr == (u64)pg.ram + at && r->memory_size > RAM_BYTES - at)
		r->memory_size = RAM_BYTES - at;
	if (r->userspace_addr == 0x10000 && r->memory_size > 0x100000)
		r->memory_size = 0x100000; /* nothing is mapped that low */
}

/* Begins as the older structure does. */
static void make_region2(struct worker *w, void *p)
{
	struct kvm_userspace_memory_region2 *r = p;

	make_region(w, p);
	r->flags |= chance(w, 20) ? KVM_MEM_GUEST_MEMFD : 0;
	r->guest_memfd = chance(w, 90) ? any_of(w, &kvm_guest_memfd_ops) : (int)interesting(w);
	r->guest_memfd_offset = chance(w, 90) ? below(w, 8) * 0x8000 : interesting(w);
}

static void make_sregs(struct worker *w, void *p, int fd)
{
	struct kvm_sregs *s = p;

	dev_ioctl(pg.dev, fd, KVM_GET_SREGS, (unsigned long)s);
	if (chance(w, 60))
		s->cs.base = s->cs.selector = 0;
	if (chance(w, 20))
		((u8 *)s)[below(w, sizeof(*s))] = next(w);
}

static void make_regs(struct worker *w, void *p)
{
	struct kvm_regs *r = p;
	unsigned i;

	for (i = 0; i < 16; i++)
		(&r->rax)[i] = interesting(w);
	r->rip = chance(w, 90) ? below(w, 0x10000) : interesting(w);
	r->rflags = 2 | (chance(w, 30) ? next(w) & 0x3f7fd5 : 0);
}

static void make_cpuid(struct worker *w, void *p, int fd)
{
	struct kvm_cpuid2 *c = p;

	(void)fd;
	c->nent = 256;
	dev_ioctl(pg.dev, any_of(w, &kvm_system_ops), KVM_GET_SUPPORTED_CPUID, (unsigned long)c);
	if (chance(w, 20))
		c->nent = interesting(w);
}

static void make_cap(struct worker *w, void *p)
{
	static const u16 caps[] = {KVM_CAP_SPLIT_IRQCHIP, KVM_CAP_X2APIC_API,
		KVM_CAP_EXCEPTION_PAYLOAD, KVM_CAP_X86_USER_SPACE_MSR, KVM_CAP_DISABLE_QUIRKS,
		KVM_CAP_X86_APIC_BUS_CYCLES_NS, KVM_CAP_MAX_VCPU_ID,
		KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_CAP_DIRTY_LOG_RING,
		KVM_CAP_DIRTY_LOG_RING_ACQ_REL, KVM_CAP_X86_TRIPLE_FAULT_EVENT,
		KVM_CAP_DISABLE_QUIRKS2, KVM_CAP_X86_DISABLE_EXITS, KVM_CAP_MSR_PLATFORM_INFO,
		KVM_CAP_EXIT_HYPERCALL, KVM_CAP_EXIT_ON_EMULATION_FAILURE, KVM_CAP_HYPERV_SYNIC,
		KVM_CAP_HYPERV_SYNIC2, KVM_CAP_HYPERV_ENFORCE_CPUID};
	struct kvm_enable_cap *e = p;

	e->cap = caps[below(w, ARRAY_SIZE(caps))];
	e->flags = 0;
	if (e->cap == KVM_CAP_DIRTY_LOG_RING && chance(w, 50))
		e->args[0] = RING_BYTES;
}

static void make_attributes(struct worker *w, void *p)
{
	*(struct kvm_memory_attributes *)p = (struct kvm_memory_attributes){
		.address = below(w, 16) * 0x4000,
		.size = chance(w, 90) ? below(w, 16) * 0x4000 : interesting(w),
		.attributes =
			chance(w, 90) ? below(w, 2) * KVM_MEMORY_ATTRIBUTE_PRIVATE : interesting(w),
		.flags = chance(w, 95) ? 0 : interesting(w),
	};
}

static void make_clear_log(struct worker *w, void *p)
{
	struct kvm_clear_dirty_log *c = p;

	c->slot = below(w, 4);
	c->first_page = chance(w, 80) ? 0 : below(w, 3) * 64;
	c->num_pages = chance(w, 80) ? RAM_BYTES / 4096 : interesting(w);
}

/* The eventfd that is for this, or no eventfd at all: others in this process are the engine's own. */
static int some_fd(struct worker *w)
{
	return chance(w, 80) ? pg.event : chance(w, 50) ? 0 : 5000 + (int)below(w, 5000);
}

static void make_eventfd(struct worker *w, u32 number, void *p)
{
	if (number == KVM_IRQFD) {
		((struct kvm_irqfd *)p)->fd = some_fd(w);
		((struct kvm_irqfd *)p)->resamplefd = some_fd(w);
	} else if (number == KVM_HYPERV_EVENTFD) {
		((struct kvm_hyperv_eventfd *)p)->fd = some_fd(w);
	} else {
		((struct kvm_ioeventfd *)p)->fd = some_fd(w);
	}
}

/* A mask that lets the ticker's signal through. */
static void make_signal_mask(struct worker *w, void *p)
{
	struct kvm_signal_mask *m = p;
	u64 set = next(w) & ~(1ull << (SIGUSR1 - 1));

	m->len = chance(w, 90) ? 8 : interesting(w);
	memcpy(m->sigset, &set, sizeof(set));
}

/* No pointer inside a structure may hit memory by chance that is not for it. */
static void make_inner_pointer(struct worker *w, u32 number, void *p)
{
	u64 inner = chance(w, 70) ? (u64)w->scratch + below(w, SCRATCH) : 0xdead000000000000;
	unsigned i;

	if (number == KVM_GET_DIRTY_LOG)
		((struct kvm_dirty_log *)p)->padding2 = inner;
	if (number == KVM_CLEAR_DIRTY_LOG)
		((struct kvm_clear_dirty_log *)p)->padding2 = inner;
	if (number == KVM_GET_DEVICE_ATTR || number == KVM_SET_DEVICE_ATTR ||
		number == KVM_HAS_DEVICE_ATTR)
		((struct kvm_device_attr *)p)->addr = inner;
	if (number == KVM_X86_SET_MSR_FILTER)
		for (i = 0; i < KVM_MSR_FILTER_MAX_RANGES; i++)
			((struct kvm_msr_filter *)p)->ranges[i].bitmap = (void *)inner;
}

unsigned long make_argument(struct worker *w, const struct request *r, int fd)
{
	size_t size = r->arg_kind == ARG_PTR ? 512 : r->size;
	u8 *p = w->scratch;

	if (r->arg_kind <= ARG_VALUE)
		return r->arg_kind == ARG_ZERO && chance(w, 95) ? 0 : interesting(w);
	if (chance(w, 3))
		return chance(w, 50) ? 0 : 0xdead000000000000;
	if (chance(w, 5)) /* the end is missing */
		p = w->scratch + SCRATCH - below(w, size + 1);
	else
		p += below(w, 64) * 8;
	fill(w, p, MIN(size, (size_t)(w->scratch + SCRATCH - p)));
	/* Only what is there completely gets details; sizes of ARG_PTR are the request's own business. */
	if (p + 16 * 1024 > w->scratch + SCRATCH)
		return (unsigned long)p;
	switch (r->number) {
	case (u32)KVM_SET_USER_MEMORY_REGION: make_region(w, p); break;
	case (u32)KVM_SET_USER_MEMORY_REGION2: make_region2(w, p); break;
	case (u32)KVM_SET_SREGS: make_sregs(w, p, fd); break;
	case (u32)KVM_SET_REGS: make_regs(w, p); break;
	case (u32)KVM_SET_CPUID2: make_cpuid(w, p, fd); break;
	case (u32)KVM_SET_MEMORY_ATTRIBUTES: make_attributes(w, p); break;
	case (u32)KVM_CLEAR_DIRTY_LOG: make_clear_log(w, p); break;
	case (u32)KVM_HYPERV_EVENTFD:
	case (u32)KVM_IRQFD:
	case (u32)KVM_IOEVENTFD: make_eventfd(w, r->number, p); break;
	case (u32)KVM_ENABLE_CAP: make_cap(w, p); break;
	case (u32)KVM_SET_SIGNAL_MASK: make_signal_mask(w, p); break;
	}
	make_inner_pointer(w, r->number, p);
	return (unsigned long)p;
}
