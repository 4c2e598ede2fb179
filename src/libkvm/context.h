/* SPDX-License-Identifier: MIT */
/*
 * What a kvm_context holds. Nothing of it is shared between contexts.
 *
 * `lock` guards the memory tables and the making of vCPUs; the entries of `vcpus` are set once under it and then read
 * without. `ring_lock` serialises the readers of the one coalesced-MMIO ring of the VM.
 */
#ifndef LIBKVM_CONTEXT_H
#define LIBKVM_CONTEXT_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/refusal.h"
#include "base/types.h"
#include "libkvm.h"
#include "libkvm/driver.h"
#include "libkvm/memory.h"

struct vcpu_handle {
	int fd;
	struct kvm_run *run;
	bool entered; /* kvm_run was called */
};

struct log {
	uv_kvm_log_fn fn; /* NULL: stderr */
	void *opaque;
};

/* What every call looks at comes first: behind an exit of the guest nothing of it is in the processor's caches. */
struct kvm_context {
	struct kvm_callbacks *callbacks;
	void *opaque;
	request_fn request;
	void *state; /* the driver's */
	_Atomic(struct vcpu_handle *) *vcpus;
	int max_vcpus;
	int vm_fd;
	int ring_page; /* of the coalesced ring in a vCPU's area; 0: none */
	bool irqchip, pit;
	atomic_bool coalesces; /* a zone was registered, so the ring is worth a look */

	bool no_irqchip, no_pit;
	bool vcpu0_asked; /* vCPU 0 was asked for by name, not only made on first use */
	const struct driver *driver;
	int fd;
	size_t run_size;
	size_t xsave_size; /* 0: the plain requests for the FPU do */
	pthread_mutex_t lock;

	struct guest_memory memory;
	_Atomic unsigned shadow_pages; /* last set */

	pthread_mutex_t ring_lock;

	struct log log;
};

/* Passes on a result, and sets errno when it is an error. */
static inline int result(long r)
{
	if (r < 0)
		errno = (int)-r;
	return (int)r;
}

/*
 * Every failure is told once, in a sentence, where it is found; errno is set after that, since a hook may change it.
 * The result of both is `error`.
 */
int fail(kvm_context_t kvm, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The same for a request to the hypervisor; vcpu < 0: not of a vCPU. */
#define NO_VCPU (-1)
int request_failed(
	kvm_context_t kvm, int vcpu, unsigned long request, long error, const struct refusal *why);

/* Of a failure of the tables in ranges.h, which do not tell. */
static inline int table_grown(kvm_context_t kvm, int r)
{
	return r < 0 ? fail(kvm, r, "no memory for the table of the guest's memory") : r;
}

/* On one of the context's descriptors. Silent. */
static inline long fd_ioctl(
	kvm_context_t kvm, int fd, unsigned long request, const void *arg, struct refusal *ret_why)
{
	return kvm->request(kvm->state, fd, request, (unsigned long)arg, ret_why);
}

/* Silent: most of what is asked here may fail. */
static inline long sys_ioctl(
	kvm_context_t kvm, unsigned long request, const void *arg, struct refusal *ret_why)
{
	return fd_ioctl(kvm, kvm->fd, request, arg, ret_why);
}

/* The capability's own number; < 0 only on failure. */
static inline long cap_value(kvm_context_t kvm, int cap)
{
	struct refusal unsaid;

	return sys_ioctl(kvm, KVM_CHECK_EXTENSION, (void *)(long)cap, &unsaid);
}

/* These tell of a failure. */
long vm_ioctl(kvm_context_t kvm, unsigned long request, const void *arg);
long vcpu_ioctl(kvm_context_t kvm, int slot, unsigned long request, const void *arg);
/* The same where a failure is none of the program's business. */
long vcpu_try(kvm_context_t kvm, int slot, unsigned long request, void *arg);
/* -ENOSYS when the request fails and the hypervisor lacks `cap`, called `name`. */
int vcpu_optional(kvm_context_t kvm, int slot, unsigned long request, const void *arg, int cap,
	const char *name);

/* -EBADF and a sentence when there is no VM yet. */
int vm_check(kvm_context_t kvm);
/* NULL with *error set, and told, when there is no such vCPU; makes vCPU 0 on first use. */
struct vcpu_handle *context_vcpu(kvm_context_t kvm, int slot, int *error);
void vcpus_free(kvm_context_t kvm);

/* Before the first entry: a vCPU still as reset left it begins where there is memory. */
void reset_vector_find(kvm_context_t kvm, int vcpu);
/* An exit after which the vCPU cannot go on: told, with its state; the -errno that kvm_run gives. */
int exit_failed(kvm_context_t kvm, int vcpu, const struct kvm_run *run);
/* Registers and the code at rip, as far as they can be read. */
int show_state(kvm_context_t kvm, int vcpu);

void log_to(const struct log *log, enum uv_kvm_log_kind kind, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
