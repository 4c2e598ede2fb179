/* SPDX-License-Identifier: MIT */
/*
 * Hypercalls of KVM's paravirtual interface (Linux: Documentation/virt/kvm/x86/hypercalls.rst). The instruction has
 * checked the privilege level; it is restarted with the answer. Results are negative error numbers of
 * the interface's own, in the guest's RAX.
 */
#include "engine/irq/fabric.h"
#include "engine/core/stat.h"
#include "base/sys.h"
#include "engine/pv/kvm/hypercall.h"
#include "x86/kvm_guest.h"

typedef s64 (*hypercall_handler)(struct vcpu *v, const struct exit *x);

/* An interrupt that may have become deliverable is looked for before the guest goes on anyway. */
static s64 vapic_poll_irq(struct vcpu *v, const struct exit *x)
{
	return 0;
}

/* ---- processors ---- */

static void send_to(struct vcpu *v, u32 apic_id, u8 delivery, u8 vector, s64 *count)
{
	struct apic_msg msg = {
		.dest = apic_id, .vector = vector, .delivery = delivery, .source = v->lapic};
	bool fresh;
	int n = apic_deliver(v->machine->irq, &msg, &fresh);

	*count += n > 0 ? n : 0;
}

static s64 kick_cpu(struct vcpu *v, const struct exit *x)
{
	s64 count = 0;

	if (v->lapic)
		send_to(v, (u32)x->hypercall.args[1], DELIVER_REMOTE_READ, 0, &count);
	return 0;
}

/* args: two words of a bitmap of APIC ids, the id of bit 0, the ICR. How many got it. */
static s64 send_ipi(struct vcpu *v, const struct exit *x)
{
	unsigned bits = x->hypercall.long_mode ? 64 : 32;
	u32 first = (u32)x->hypercall.args[2], icr = (u32)x->hypercall.args[3];
	s64 count = 0;

	if (!v->lapic || icr & (BIT(11) | 3u << 18)) /* logical, shorthand */
		return -KVM_HC_EINVAL;
	for (unsigned word = 0; word < 2; word++) {
		u64 map = x->hypercall.args[word];

		for (; map; map &= map - 1)
			send_to(v, first + word * bits + __builtin_ctzll(map), icr >> 8 & 7,
				(u8)icr, &count);
	}
	return count;
}

/* The guest spins because another of its processors has been taken off; let that one have ours. */
static s64 yield_to(struct vcpu *v, const struct exit *x)
{
	stat_inc(&v->cpu, STAT_DIRECTED_YIELD_ATTEMPTED);
	sys_sched_yield();
	return 0;
}

/* ---- time ---- */

/* Time of day and this vcpu's TSC at one moment. */
static s64 clock_pairing(struct vcpu *v, const struct exit *x)
{
	struct kvm_clock_pairing_page p = {0};
	u64 tsc, realtime;

	if (x->hypercall.args[1]) /* only KVM_CLOCK_PAIRING_WALLCLOCK */
		return -KVM_HC_EOPNOTSUPP;
	machine_get_clock_at(v->machine, &tsc, &realtime);
	p.sec = (s64)(realtime / 1000000000ull);
	p.nsec = (s64)(realtime % 1000000000ull);
	p.tsc = cpu_tsc_at(&v->cpu, tsc);
	return machine_write(v->machine, x->hypercall.args[0], &p, sizeof(p)) ? -KVM_HC_EFAULT : 0;
}

/* ---- all of them ---- */

static const struct {
	u32 pv; /* the feature that announces it */
	hypercall_handler handler;
} hypercalls[] = {
	[KVM_HC_VAPIC_POLL_IRQ] = {0, vapic_poll_irq},
	[KVM_HC_KICK_CPU] = {PV_UNHALT, kick_cpu},
	[KVM_HC_CLOCK_PAIRING] = {0, clock_pairing},
	[KVM_HC_SEND_IPI] = {PV_SEND_IPI, send_ipi},
	[KVM_HC_SCHED_YIELD] = {PV_SCHED_YIELD, yield_to},
};

static bool leaves(const struct vcpu *v, u64 nr)
{
	return nr < 64 && machine_option(v->machine, OPT_HYPERCALL_EXITS) >> nr & 1;
}

/* Page-aligned, not empty, not around the end: else user space does not see it. */
static bool range_valid(const struct exit *x)
{
	u64 gpa = x->hypercall.args[0], pages = x->hypercall.args[1];

	return !(gpa & ~PAGE_MASK) && pages && gpa / PAGE_SIZE + pages > gpa / PAGE_SIZE;
}

bool hypercall_inside(struct vcpu *v, struct exit *x)
{
	u64 nr = x->hypercall.nr;
	bool known = nr < ARRAY_SIZE(hypercalls) && hypercalls[nr].handler;

	if (leaves(v, nr)) {
		if (nr != KVM_HC_MAP_GPA_RANGE || range_valid(x))
			return false;
		x->hypercall.ret = (u64)-KVM_HC_EINVAL;
		return true;
	}
	if (!known || (hypercalls[nr].pv & ~v->cpu.pv_allowed))
		x->hypercall.ret = (u64)-KVM_HC_ENOSYS;
	else
		x->hypercall.ret = (u64)hypercalls[nr].handler(v, x);
	return true;
}
