/* SPDX-License-Identifier: MIT */
/*
 * Private to abi/kvm: what stands behind a descriptor, and how a request reaches its handler.
 *
 * ioctls.def lists every request once. dispatch.c finds the row by descriptor kind and whole
 * request number, and takes the vcpu's mutex; the rest is request_serve()'s. Handlers see only private copies of the
 * caller's structures; the one exception is kvm_run, which the caller can change at any time: read each field once.
 *
 * Machine state lives in the engine. Here is only what the interface itself remembers.
 *
 * What files of it share is in headers by theme: kinds.h, caps.h, memory.h, state.h, run.h, stats.h.
 */
#ifndef ABI_KVM_KVM_H
#define ABI_KVM_KVM_H

#include <errno.h>
#include <pthread.h>

#include "abi/kvm/kinds.h"
#include "abi/kvm/stats.h"
#include "abi/runsignals.h"
#include "abi/user.h"
#include "engine/engine.h"
#include "uapi/kvm_more.h"
#include "uapi/kvmi.h"

/* ---- what is behind descriptors ---- */

#define COALESCED_ZONES_MAX 1000 /* as many devices as a Linux VM has room for */
struct coalesced_zone {
	u64 addr;
	u32 size;
	bool pio;
};

struct kvm_vm {
	struct dev *dev;
	struct object *object;
	struct machine *machine;
	/* Changes of everything below; what is atomic is read without it. */
	pthread_mutex_t lock;
	unsigned created_vcpus;
	struct kvm_vcpu *vcpus;
	u32 boot_id;
	u32 max_ids; /* KVM_CAP_MAX_VCPU_ID: ids are below it; 0: nobody has asked for less */
	bool pit;
	bool private_memory;               /* KVM_X86_SW_PROTECTED_VM */
	_Atomic u32 ring_bytes;            /* dirty ring of each vcpu, 0: none */
	_Atomic u64 quirks_off, exits_off; /* KVM_CAP_DISABLE_QUIRKS2, KVM_CAP_X86_DISABLE_EXITS */
	_Atomic bool exception_payload;    /* KVM_CAP_EXCEPTION_PAYLOAD enabled */
	_Atomic bool triple_fault_event;   /* KVM_CAP_X86_TRIPLE_FAULT_EVENT enabled */
	_Atomic bool x2apic_ids;           /* KVM_CAP_X2APIC_API: MSI addresses carry 32-bit ids */
	_Atomic bool no_broadcast_quirk;   /* KVM_CAP_X2APIC_API, its other flag */
	_Atomic bool vfio;                 /* has its VFIO device */
	struct introspection *introspection; /* NULL: nobody has asked for it */
	struct stats_page stats;
	/* The ring is on page 2 of the first vcpu's file, so only that vcpu coalesces. */
	struct kvm_vcpu *ring_vcpu;
	_Atomic unsigned zone_count;
	struct coalesced_zone zones[COALESCED_ZONES_MAX];
};

#define RUN_PAGES     3
#define PIO_OFFSET    (KVM_PIO_PAGE_OFFSET * PAGE_SIZE)
#define RING_OFFSET   (KVM_COALESCED_MMIO_PAGE_OFFSET * PAGE_SIZE)
#define CPUID_MAX     256
#define MSR_BATCH_MAX 256

struct kvm_vcpu {
	struct kvm_vm *vm;
	struct kvm_vcpu *next; /* of the vm's */
	struct vcpu *cpu;
	struct kvm_run *run;  /* RUN_PAGES shared with the caller */
	pthread_mutex_t lock; /* held during every request on this vcpu */
	struct run_signals signals;
	bool has_run;
	u64 cr8; /* the engine's, as last seen: kvm_run.cr8 is only set if it differs */
	struct stats_page stats;
	struct cpuid_entry *cpuid; /* as set by the caller */
	unsigned cpuid_count;
};

/* ---- requests ---- */

#define SYS(name, kind, size, handler)    long handler(struct call *c);
#define VM(name, kind, size, handler)     long handler(struct call *c);
#define VCPU(name, kind, size, handler)   long handler(struct call *c);
#define DEVICE(name, kind, size, handler) long handler(struct call *c);
#include "abi/kvm/ioctls.def"

/* ---- what a request is about ---- */

/* Of requests on a vm and on what belongs to one; NULL on /dev/kvm. */
static inline struct kvm_vm *vm_of(const struct call *c)
{
	return c->vm;
}

/* Of requests on a vcpu; NULL on /dev/kvm. */
static inline struct kvm_vcpu *vcpu_of(const struct call *c)
{
	return c->behind;
}

/* ---- why (base/refusal.h) ---- */

/* What the engine has answered about the vcpu, and its reason with it. */
static inline long vcpu_answered(struct call *c, long r)
{
	if (unlikely(r < 0) && c->why)
		*c->why = *vcpu_refusal(vcpu_of(c)->cpu);
	return r;
}

#define AFTER_VCPUS "there are vCPUs already: make this request before the first KVM_CREATE_VCPU"
#define NO_IRQCHIP                                                                                 \
	"there is no irqchip: create one with KVM_CREATE_IRQCHIP or KVM_CAP_SPLIT_IRQCHIP"
#define NO_FULL_IRQCHIP                                                                            \
	"there is no PIC and no IOAPIC: create them with KVM_CREATE_IRQCHIP, not with "            \
	"KVM_CAP_SPLIT_IRQCHIP"

/* Bits that must be 0: -EINVAL if there are any. */
static inline long check_flags(struct call *c, u64 flags, u64 known)
{
	if (likely(!(flags & ~known)))
		return 0;
	return refuse(
		c->why, -EINVAL, "flags 0x%lx: the bits 0x%lx are unknown", flags, flags & ~known);
}

static inline bool vm_has_irqchip(const struct kvm_vm *vm)
{
	return machine_irqchip(vm->machine) != IRQCHIP_NONE;
}

#endif
