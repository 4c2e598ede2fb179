/* SPDX-License-Identifier: MIT */
/*
 * KVM_RUN: hand the answer to the last exit to the engine, run, and show the next exit in kvm_run (exits.c).
 *
 * kvm_run is shared with the caller, who may scribble on it at any time: nothing in it is
 * believed twice, and what the answer belongs to is taken from the engine's exit.
 */
#include <errno.h>
#include <string.h>

#include "abi/kvm/run.h"
#include "abi/kvm/state.h"
#include "introspect/maps.h"

/* ---- signals ---- */

static bool run_poll(void *run_signals)
{
	struct kvm_vcpu *v = container_of(run_signals, struct kvm_vcpu, signals);

	return __atomic_load_n(&v->run->immediate_exit, __ATOMIC_RELAXED) ||
	       run_signals_wait(&v->signals);
}

void run_init(struct kvm_vcpu *v)
{
	run_signals_init(&v->signals, v->cpu, run_poll);
}

long vcpu_set_signal_mask(struct call *c)
{
	struct kvm_vcpu *v = vcpu_of(c);
	struct kvm_signal_mask m;
	u64 set;

	if (!c->arg) {
		run_signals_mask(&v->signals, NULL);
		return 0;
	}
	if (copy_in(c->dev, &m, c->arg, sizeof(m)))
		return -EFAULT;
	if (m.len != sizeof(set))
		return refuse(c->why, -EINVAL,
			"len %lu: must be 8, the size of the kernel's signal sets", (u64)m.len);
	if (copy_in(c->dev, &set, c->arg + sizeof(m), sizeof(set)))
		return -EFAULT;
	run_signals_mask(&v->signals, &set);
	return 0;
}

/* ---- registers in kvm_run: KVM_CAP_SYNC_REGS ---- */

static long sync_in(struct call *c)
{
	struct kvm_run *run = vcpu_of(c)->run;
	u64 dirty = __atomic_load_n(&run->kvm_dirty_regs, __ATOMIC_RELAXED);
	u64 unknown = (dirty | run->kvm_valid_regs) & ~(u64)KVM_SYNC_X86_VALID_FIELDS;
	struct kvm_sync_regs regs;

	if (unlikely(unknown))
		return refuse(c->why, -EINVAL,
			"kvm_valid_regs or kvm_dirty_regs: the bits 0x%lx are unknown", unknown);
	if (likely(!dirty))
		return 0;
	memcpy(&regs, &run->s.regs, sizeof(regs));
	if ((dirty & KVM_SYNC_X86_REGS) && regs_set(c, &regs.regs))
		return -EINVAL;
	if ((dirty & KVM_SYNC_X86_SREGS) && sregs_set(c, &regs.sregs))
		return -EINVAL;
	if ((dirty & KVM_SYNC_X86_EVENTS) && events_set(c, &regs.events))
		return -EINVAL;
	run->kvm_dirty_regs = 0;
	return 0;
}

static void sync_out(struct kvm_vcpu *v)
{
	struct kvm_run *run = v->run;
	u64 valid = __atomic_load_n(&run->kvm_valid_regs, __ATOMIC_RELAXED);

	if (likely(!valid))
		return;
	if (valid & KVM_SYNC_X86_REGS)
		regs_get(v, &run->s.regs.regs);
	if (valid & KVM_SYNC_X86_SREGS)
		sregs_get(v, &run->s.regs.sregs);
	if (valid & KVM_SYNC_X86_EVENTS)
		events_get(v, &run->s.regs.events);
}

/* ---- before and after ---- */

/* The TPR is the caller's where the local APIC is; most of the time nobody has touched it. */
static int cr8_in(struct kvm_vcpu *v)
{
	u64 cr8 = __atomic_load_n(&v->run->cr8, __ATOMIC_RELAXED);

	if (likely(cr8 == v->cr8) || vm_has_irqchip(v->vm))
		return 0;
	return vcpu_set_cr8(v->cpu, cr8);
}

static void show_brief(struct kvm_vcpu *v)
{
	struct kvm_run *run = v->run;
	struct vcpu_brief b;

	vcpu_get_brief(v->cpu, &b);
	run->cr8 = b.cr8;
	v->cr8 = b.cr8;
	run->apic_base = b.apic_base;
	run->if_flag = b.if_flag;
	run->flags = b.smm ? KVM_RUN_X86_SMM : 0;
	/* With the PIC in the engine nobody injects through KVM_INTERRUPT. */
	run->ready_for_interrupt_injection =
		machine_irqchip(v->vm->machine) == IRQCHIP_FULL || b.ready_for_interrupt;
	sync_out(v);
}

static long before_run(struct call *c)
{
	struct kvm_vcpu *v = vcpu_of(c);
	bool window = __atomic_load_n(&v->run->request_interrupt_window, __ATOMIC_RELAXED);
	long r = sync_in(c);

	r = r ? r : vcpu_answered(c, cr8_in(v));
	if (r)
		return r;
	exit_take_answer(v);
	vcpu_request_irq_window(v->cpu, window && machine_irqchip(v->vm->machine) != IRQCHIP_FULL);
	v->has_run = true;
	return 0;
}

/* True if the exit was a write that waits in the ring and the guest may go on. */
static bool coalesced(struct kvm_vcpu *v)
{
	const struct exit *e = vcpu_exit(v->cpu);

	if (e->reason == EXIT_MMIO_WRITE)
		return coalesced_write(v, false, e->mmio.gpa, e->mmio.len, e->mmio.data);
	if (e->reason == EXIT_IO_OUT && e->io.count == 1)
		return coalesced_write(v, true, e->io.port, e->io.size, e->io.data);
	return false;
}

/* The exit is not for the caller, and the guest may go on. */
static bool served_here(struct kvm_vcpu *v)
{
	if (unlikely(vcpu_exit(v->cpu)->reason == EXIT_HYPERCALL))
		return maps_hypercall(dev_maps(v->vm->dev), v->cpu);
	return coalesced(v);
}

static int run_for_user(struct kvm_vcpu *v, u32 flags)
{
	int r;

	do
		r = vcpu_run(v->cpu, flags);
	while (!r && served_here(v));
	return r;
}

static int run(struct kvm_vcpu *v)
{
	bool immediate = __atomic_load_n(&v->run->immediate_exit, __ATOMIC_RELAXED);
	/* Signals that were held just now; one that was blocked can wait here only if KVM_RUN has a mask of its own. */
	bool stop = immediate ||
		    ((v->signals.hold || v->signals.has_mask) && run_signals_wait(&v->signals));
	int r = run_for_user(v, stop ? RUN_COMPLETE_ONLY : 0);

	/* Pending I/O is done; exit_reason stays what it was. */
	if (immediate && !r && vcpu_exit(v->cpu)->reason == EXIT_INTR)
		return -EINTR;
	return exit_show(v, r);
}

long vcpu_run_request(struct call *c)
{
	struct kvm_vcpu *v = vcpu_of(c);
	long ret = before_run(c);

	if (ret)
		return ret;
	run_signals_begin(&v->signals, c);
	ret = run(v);
	run_signals_end(&v->signals);
	show_brief(v);
	return ret;
}
