/* SPDX-License-Identifier: MIT */
/* The driver's door: requests found in the table and served. */
#include <errno.h>
#include <stdlib.h>

#include "libkvm/mshv/mshv.h"

enum of { SYSTEM, VM, VCPU };
enum argument { VALUE, POINTER };

static const struct served_request {
	unsigned long number;
	u8 of, argument;
	long (*serve)(struct ask *c);
} rows[] = {
#define REQUEST(of, name, argument, handler) {name, of, argument, handler},
#include "libkvm/mshv/requests.def"
#undef REQUEST
};

static const struct served_request *find(enum of of, unsigned long request)
{
	for (const struct served_request *row = rows; row < rows + ARRAY_SIZE(rows); row++)
		if (row->of == of && row->number == request)
			return row;
	return NULL;
}

/* Caller and driver are one program: what is no pointer at all is told, any other is its own affair. */
static bool no_pointer(const void *p)
{
	return (uintptr_t)p < PAGE_SIZE;
}

static struct vp *vcpu_of(const struct mshv *m, int number)
{
	const int index = number - VCPU_NUMBER;

	return m->vm && index >= 0 && index < MAX_VPS ? m->vm->vps[index] : NULL;
}

static long serve(enum of of, struct ask *c, unsigned long request)
{
	const struct served_request *row = find(of, request);

	if (!row)
		return -ENOTTY;
	if (row->argument == POINTER && no_pointer(c->arg))
		return -EFAULT;
	return row->serve(c);
}

static long request(
	void *state, int number, unsigned long request, unsigned long arg, struct refusal *ret_why)
{
	struct mshv *m = state;
	struct ask c = {.m = m,
		.p = m->vm,
		.v = vcpu_of(m, number),
		.arg = (void *)arg, /* NOLINT: an address by interface */
		.why = ret_why};

	ret_why->why = NULL;
	if (c.v)
		return request == KVM_RUN ? vp_serve_run(c.v, ret_why) : serve(VCPU, &c, request);
	if (number == VM_NUMBER && c.p)
		return serve(VM, &c, request);
	return number == m->fd ? serve(SYSTEM, &c, request) : -EBADF;
}

static int open_mshv(kvm_context_t kvm)
{
	const struct port_ops *port = kvm->driver->port;
	struct mshv *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	pthread_mutex_init(&m->lock, NULL);
	m->port = port;
	m->fd = port->open("/dev/mshv", &m->port_state);
	if (m->fd < 0) {
		const int error = m->fd;

		pthread_mutex_destroy(&m->lock);
		free(m);
		return error;
	}
	kvm->request = request;
	kvm->state = m;
	return m->fd;
}

static int map_area(kvm_context_t kvm, int number, void *at)
{
	struct vp *v = vcpu_of(kvm->state, number);

	return v ? vp_map_area(v, at) : -ENODEV;
}

static void refresh_area(kvm_context_t kvm, int number)
{
	struct vp *v = vcpu_of(kvm->state, number);
	struct refusal unsaid;
	u64 base;

	if (v && vp_read_one(v, HV_X64_REGISTER_APIC_BASE, &base, &unsaid) >= 0)
		v->run->apic_base = base;
}

static void close_number(kvm_context_t kvm, int number)
{
	struct mshv *m = kvm->state;
	struct vp *v = vcpu_of(m, number);

	if (v)
		vp_destroy(v);
	else if (number == VM_NUMBER)
		partition_close(m);
	else
		m->port->close_fd(m->port_state, number);
}

static void destroy(kvm_context_t kvm)
{
	struct mshv *m = kvm->state;

	m->port->destroy(m->port_state);
	pthread_mutex_destroy(&m->lock);
	free(m->supported);
	free(m);
}

static const char *advice_on(unsigned long request, int error)
{
	return error == EIO ? "the hypervisor refused it, or the VM belongs to another process"
			    : NULL;
}

const struct driver mshv_soft = {
	.name = "mshv",
	.cannot_open = "the soft engine's /dev/mshv cannot be used (run `uservisor doctor`)",
	.fpu_complete = true,
	.port = &port_soft,
	.open = open_mshv,
	.map_area = map_area,
	.refresh_area = refresh_area,
	.close_fd = close_number,
	.destroy = destroy,
	.advice = advice_on,
};

const struct driver mshv_kernel = {
	.name = "mshv-kernel",
	.cannot_open = "the system's Microsoft hypervisor cannot be used: /dev/mshv",
	.fpu_complete = true,
	.port = &port_kernel,
	.open = open_mshv,
	.map_area = map_area,
	.refresh_area = refresh_area,
	.close_fd = close_number,
	.destroy = destroy,
	.advice = advice_on,
};
