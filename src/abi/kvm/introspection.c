/* SPDX-License-Identifier: MIT */
/* A tool that looks into a vm: KVM_INTROSPECTION_HOOK and _UNHOOK, of patches that no kernel has taken (uapi/kvmi.h). */
#include <errno.h>

#include "abi/kvm/kvm.h"
#include "introspect/introspect.h"

static int introspection_of(struct kvm_vm *vm, struct introspection **ret)
{
	int r = 0;

	pthread_mutex_lock(&vm->lock);
	if (!vm->introspection)
		r = introspection_create(vm->machine, dev_maps(vm->dev), &vm->introspection);
	*ret = vm->introspection;
	pthread_mutex_unlock(&vm->lock);
	return r;
}

static bool signal_waits(void *call)
{
	return run_signals_waiting(call);
}

static int hook_refused(struct refusal *why, int error)
{
	switch (error) {
	case -EINVAL: return refuse(why, error, "fd: it is not a socket");
	case -EBUSY:
		return refuse(why, error, "this vm looks for its tool by itself (--introspect)");
	default: return error;
	}
}

long vm_introspection_hook(struct call *c)
{
	const struct kvm_introspection *q = c->data;
	const struct introspect_rights rights = {.commands = q->commands, .events = q->events};
	struct introspection *i;
	int r;

	if (q->padding)
		return refuse(c->why, -EINVAL, "padding: must be 0");
	r = introspection_of(vm_of(c), &i);
	if (!r)
		r = introspection_hook(i, q->fd, &rights, signal_waits, c);
	return r ? hook_refused(c->why, r) : 0;
}

long vm_introspection_unhook(struct call *c)
{
	struct introspection *i;
	int r = introspection_of(vm_of(c), &i);

	if (!r)
		r = introspection_unhook(i);
	if (r == -ENOENT)
		return refuse(c->why, r, "no tool looks into this vm");
	if (r == -EPERM)
		return refuse(c->why, r, "the tool has not asked for the event: shut its socket");
	return r;
}
