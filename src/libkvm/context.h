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

#include "base/types.h"
#include "libkvm.h"
#include "libkvm/memory.h"
#include "libkvm/port.h"

struct vcpu {
	int fd;
	struct kvm_run *run;
};

struct log {
	uv_kvm_log_fn fn; /* NULL: stderr */
	void *opaque;
};

struct kvm_context {
	struct kvm_callbacks *callbacks;
	void *opaque;
	const struct port_ops *port;
	void *port_state;
	int fd;
	int vm_fd;
	bool no_irqchip, no_pit;
	bool irqchip, pit;
	size_t run_size;

	pthread_mutex_t lock;
	_Atomic(struct vcpu *) *vcpus;
	int max_vcpus;
	bool vcpu0_asked; /* vCPU 0 was asked for by name, not only made on first use */

	struct memory memory;
	unsigned shadow_pages;

	pthread_mutex_t ring_lock;
	int ring_page; /* of the coalesced ring in a vCPU's area; 0: none */

	struct log log;
};

/* Passes on a result, and sets errno when it is an error. */
static inline int result(long r)
{
	if (r < 0)
		errno = (int)-r;
	return (int)r;
}

static inline long sys_ioctl(kvm_context_t kvm, unsigned long request, const void *arg)
{
	return kvm->port->ioctl(kvm->port_state, kvm->fd, request, (unsigned long)arg);
}

static inline long vm_ioctl(kvm_context_t kvm, unsigned long request, const void *arg)
{
	if (kvm->vm_fd < 0)
		return -EBADF;
	return kvm->port->ioctl(kvm->port_state, kvm->vm_fd, request, (unsigned long)arg);
}

/* The capability's own number; < 0 only on failure. */
long cap_value(kvm_context_t kvm, int cap);

/* NULL with *error set when there is no such vCPU; makes vCPU 0 on first use. */
struct vcpu *context_vcpu(kvm_context_t kvm, int slot, int *error);
long vcpu_ioctl(kvm_context_t kvm, int slot, unsigned long request, const void *arg);
void vcpus_free(kvm_context_t kvm);

void log_to(const struct log *log, enum uv_kvm_log_kind kind, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* A sentence for the caller, then errno and the result: -errno. */
int fail(kvm_context_t kvm, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void log_line(kvm_context_t kvm, enum uv_kvm_log_kind kind, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
