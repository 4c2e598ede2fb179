/* SPDX-License-Identifier: MIT */
/*
 * The road from libkvm to a hypervisor: how to open its device and how a request travels. A port knows no request; the
 * drivers that use it do not know which road it is. Descriptors are real on every road, so mmap needs no entry here.
 */
#ifndef LIBKVM_PORT_H
#define LIBKVM_PORT_H

#include "base/refusal.h"
#include "base/types.h"

struct port_ops {
	/* Opens the device of that path: the descriptor or -errno; *state is the port's own. */
	int (*open)(const char *path, void **state);
	/* >= 0 or -errno; why, if the road can tell. */
	long (*ioctl)(void *state, int fd, unsigned long request, unsigned long arg,
		struct refusal *ret_why);
	/*
	 * The same for a request that runs a vCPU, with these signals blocked while it does (the kernel's: bit n-1 is
	 * signal n). One that only this mask lets through ends the request with -EINTR, and stays pending; whether the
	 * request had a result is to be seen from what it writes.
	 */
	long (*run)(void *state, int fd, unsigned long request, unsigned long arg, u64 mask,
		struct refusal *ret_why);
	void (*close_fd)(void *state, int fd);
	/* After every descriptor was closed. */
	void (*destroy)(void *state);
	/* Whether tools look into the guests that are made from now on, who would map their memory. NULL: never. */
	bool (*has_tool)(void);
};

/* The kernel's `run`: port_kernel_run.c. */
long port_kernel_run(void *state, int fd, unsigned long request, unsigned long arg, u64 mask,
	struct refusal *ret_why);

/* A request's name for people, on either road. */
const char *request_name(unsigned long request);

extern const struct port_ops port_kernel;
extern const struct port_ops port_soft;

#endif
