/* SPDX-License-Identifier: MIT */
/*
 * What has guests run, as the rest of libkvm sees it: a driver serves KVM's requests. libkvm's own interface is made of
 * KVM's structures and of what its requests mean, so any vocabulary between it and the drivers would be KVM's under
 * other names.
 *
 * A driver knows a protocol, and a port (port.h) takes it there. KVM's driver passes each request on as it is, so
 * nothing stands between kvm_run and the system call. The driver for another protocol serves the requests from a table
 * of its own; one that it does not have is -ENOTTY, as with a KVM that does not have it.
 */
#ifndef LIBKVM_DRIVER_H
#define LIBKVM_DRIVER_H

#include "libkvm.h"
#include "libkvm/port.h"

/* >= 0 or -errno, and why if the driver knows. */
typedef long (*request_fn)(
	void *state, int fd, unsigned long request, unsigned long arg, struct refusal *ret_why);

struct driver {
	const char *name;        /* what uv_kvm_engine says */
	const char *cannot_open; /* first half of a sentence; the second is the error */
	/* KVM_GET_FPU and KVM_SET_FPU know which components the guest has used; see fpu.c. */
	bool fpu_complete;
	const struct port_ops *port;
	/* Sets the context's `request` and `state`. The number that stands for the system, or -errno; descriptors of VMs
	 * and vCPUs are what the requests that make them give. */
	int (*open)(kvm_context_t kvm);
	/* The struct kvm_run of a vCPU, and what follows it, to where room for it was reserved: 0 or -errno. */
	int (*map_area)(kvm_context_t kvm, int fd, void *at);
	void (*close_fd)(kvm_context_t kvm, int fd);
	/* Brings what is seldom asked for in a vCPU's struct kvm_run up to date. NULL: each KVM_RUN does it all. */
	void (*refresh_area)(kvm_context_t kvm, int fd);
	/* After all was closed. */
	void (*destroy)(kvm_context_t kvm);
	/* What a request's failure most likely means, or NULL: where nobody gives a reason. */
	const char *(*advice)(unsigned long request, int error);
};

extern const struct driver kvm_kernel, kvm_soft;
extern const struct driver mshv_kernel, mshv_soft;

#endif
