/* SPDX-License-Identifier: MIT */
/*
 * The road from libkvm to a KVM: how to open it and how an ioctl travels. The driver code above speaks only the KVM
 * ABI and does not know which road it is on. Descriptors are real on every road, so mmap needs no entry here.
 */
#ifndef LIBKVM_PORT_H
#define LIBKVM_PORT_H

#include "base/refusal.h"
#include "base/types.h"

struct port_ops {
	const char *name;        /* what uv_kvm_engine says */
	const char *cannot_open; /* first half of a sentence; the second is the error */
	/* KVM_GET_FPU and KVM_SET_FPU know which components the guest has used; see fpu.c. */
	bool fpu_complete;
	/* Opens the system descriptor: the descriptor or -errno; *state is the port's own. */
	int (*open)(void **state);
	/* >= 0 or -errno; why, if the road can tell. */
	long (*ioctl)(void *state, int fd, unsigned long request, unsigned long arg,
		struct refusal *ret_why);
	void (*close_fd)(void *state, int fd);
	/* After every descriptor was closed. */
	void (*destroy)(void *state);
};

/* A request's name for people, on either road. */
const char *request_name(unsigned long request);

extern const struct port_ops port_kernel;
extern const struct port_ops port_soft;

#endif
