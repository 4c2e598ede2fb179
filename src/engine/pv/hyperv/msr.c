/* SPDX-License-Identifier: MIT */
/*
 * Synthetic MSRs: what they do, and which CPUID bit lets the guest have them (msrs.def).
 * Refusals are -EINVAL; the guest gets #GP.
 */
#include <errno.h>
#include <time.h>

#include "engine/pv/hyperv/hv.h"
#include "engine/irq/lapic.h"

typedef int (*getter)(struct vcpu *v, u32 index, u64 *ret, bool host);
typedef int (*setter)(struct vcpu *v, u32 index, u64 value, bool host);

/* ---- the hypercall page, TLFS 3.13 ---- */

#define XEN_MARK 5 /* bytes: or eax, 80000000h, where Xen's hypercalls are served as well */

static unsigned hypercall_code(const struct machine *m, u8 *code)
{
	static const u8 mark[XEN_MARK] = {0x0d, 0x00, 0x00, 0x00, 0x80};
	unsigned n = 0;

	if (m->xen_msr)
		for (; n < XEN_MARK; n++)
			code[n] = mark[n];
	machine_hypercall_insn(m, code + n);
	n += 3;
	code[n++] = 0xc3; /* ret */
	return n;
}

static int set_os_id(struct vcpu *v, u32 index, u64 value, bool host)
{
	struct hv_partition *p = v->machine->hv;

	pthread_mutex_lock(&p->lock);
	atomic_store(&p->guest_os_id, value);
	if (!value)
		p->hypercall &= ~HV_PAGE_ENABLE;
	pthread_mutex_unlock(&p->lock);
	return 0;
}

/* Without an identity the page cannot be had; a partition's VMM restores the two in any order. */
static int set_hypercall(struct vcpu *v, u32 index, u64 value, bool host)
{
	struct hv_partition *p = v->machine->hv;
	u8 code[16];
	unsigned n = hypercall_code(v->machine, code);
	int r = 0;

	if (!atomic_load(&p->guest_os_id) && !(host && hv_is_partition(v)))
		return 0;
	if (value & HV_PAGE_ENABLE)
		r = machine_write(v->machine, value & PAGE_MASK, code, n) ? -EINVAL : 0;
	pthread_mutex_lock(&p->lock);
	if (!r)
		p->hypercall = value;
	pthread_mutex_unlock(&p->lock);
	return r;
}

/* ---- the partition's other registers ---- */

static u64 *partition_register(struct hv_partition *p, u32 index)
{
	switch (index) {
	case HV_HYPERCALL: return &p->hypercall;
	case HV_REFERENCE_TSC: return &p->reference_tsc;
	case HV_CRASH_P0 ... HV_CRASH_P4: return &p->crash[index - HV_CRASH_P0];
	case HV_CRASH_CTL: return &p->crash_ctl;
	case HV_REENLIGHTENMENT_CONTROL: return &p->reenlightenment;
	case HV_TSC_EMULATION_CONTROL: return &p->tsc_emulation;
	default: return &p->tsc_emulation_status;
	}
}

static int get_partition(struct vcpu *v, u32 index, u64 *ret, bool host)
{
	struct hv_partition *p = v->machine->hv;

	pthread_mutex_lock(&p->lock);
	*ret = *partition_register(p, index);
	pthread_mutex_unlock(&p->lock);
	return 0;
}

static int set_partition(struct vcpu *v, u32 index, u64 value, bool host)
{
	struct hv_partition *p = v->machine->hv;

	if (index == HV_TSC_EMULATION_STATUS && value && !host)
		return -EINVAL;
	pthread_mutex_lock(&p->lock);
	*partition_register(p, index) = value;
	pthread_mutex_unlock(&p->lock);
	return 0;
}

static int get_os_id(struct vcpu *v, u32 index, u64 *ret, bool host)
{
	*ret = atomic_load(&v->machine->hv->guest_os_id);
	return 0;
}

static int set_reference_tsc(struct vcpu *v, u32 index, u64 value, bool host)
{
	return hv_set_reference_tsc(v->machine, value);
}

static int get_zero(struct vcpu *v, u32 index, u64 *ret, bool host)
{
	*ret = 0;
	return 0;
}

static void system_event(struct vcpu *v, u32 type)
{
	struct exit x = {.reason = EXIT_SYSTEM_EVENT, .event = {.type = type}};

	hv_exit_later(v, &x);
}

static int set_reset(struct vcpu *v, u32 index, u64 value, bool host)
{
	if (value == 1)
		system_event(v, EVENT_RESET);
	return 0;
}

/* In a partition the guest reads what it may say, and the VMM what it has said. */
static int get_crash_ctl(struct vcpu *v, u32 index, u64 *ret, bool host)
{
	if (host || !hv_is_partition(v))
		return get_partition(v, index, ret, host);
	*ret = HV_CRASH_NOTIFY | HV_CRASH_MESSAGE;
	return 0;
}

/* The guest's write says that it has crashed; the VMM's, that guests may say so. */
static int set_crash_ctl(struct vcpu *v, u32 index, u64 value, bool host)
{
	if (hv_is_partition(v))
		return set_partition(v, index, value, host);
	if (host)
		return set_partition(v, index, value & HV_CRASH_NOTIFY, host);
	if (value & HV_CRASH_NOTIFY)
		system_event(v, EVENT_CRASH);
	return 0;
}

static int get_invariant_tsc(struct vcpu *v, u32 index, u64 *ret, bool host)
{
	*ret = atomic_load(&v->machine->hv_invariant_tsc);
	return 0;
}

/* A guest cannot take it back. */
static int set_invariant_tsc(struct vcpu *v, u32 index, u64 value, bool host)
{
	if (value & ~1ull || (!host && !value && atomic_load(&v->machine->hv_invariant_tsc)))
		return -EINVAL;
	atomic_store(&v->machine->hv_invariant_tsc, value);
	return 0;
}

/* ---- time ---- */

static int get_ref_count(struct vcpu *v, u32 index, u64 *ret, bool host)
{
	*ret = hv_reference_time(v->machine);
	return 0;
}

/* For registers that the guest can only read; a VMM restores them with the rest, which changes nothing. */
static int set_read_only(struct vcpu *v, u32 index, u64 value, bool host)
{
	return host ? 0 : -EINVAL;
}

static int get_frequency(struct vcpu *v, u32 index, u64 *ret, bool host)
{
	*ret = index == HV_TSC_FREQUENCY ? (u64)vcpu_tsc_khz(v) * 1000
					 : 1000000000ull / v->machine->irq->apic_bus_ns;
	return 0;
}

static u64 thread_time(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return ((u64)t.tv_sec * 1000000000ull + (u64)t.tv_nsec) / 100;
}

static int get_runtime(struct vcpu *v, u32 index, u64 *ret, bool host)
{
	*ret = thread_time() + v->hv->runtime_base;
	return 0;
}

static int set_runtime(struct vcpu *v, u32 index, u64 value, bool host)
{
	if (!host)
		return -EINVAL;
	v->hv->runtime_base = value - thread_time();
	return 0;
}

/* ---- the processor's ---- */

static int get_vp_index(struct vcpu *v, u32 index, u64 *ret, bool host)
{
	*ret = v->hv->vp_index;
	return 0;
}

static int set_vp_index(struct vcpu *v, u32 index, u64 value, bool host)
{
	if (!host || (u32)value >= MACHINE_MAX_VCPUS)
		return -EINVAL;
	v->hv->vp_index = (u32)value;
	return 0;
}

static int get_apic(struct vcpu *v, u32 index, u64 *ret, bool host)
{
	return lapic_direct_read(v, index - HV_EOI, ret);
}

static int set_apic(struct vcpu *v, u32 index, u64 value, bool host)
{
	return lapic_direct_write(v, index - HV_EOI, value);
}

static int get_assist(struct vcpu *v, u32 index, u64 *ret, bool host)
{
	*ret = v->hv->assist_page;
	return 0;
}

/* Its first word would say that no EOI is required: never. The rest is the guest's. */
static int set_assist(struct vcpu *v, u32 index, u64 value, bool host)
{
	u32 word = 0;

	if ((value & HV_PAGE_ENABLE) &&
		machine_write(v->machine, value & PAGE_MASK, &word, sizeof(word)))
		return -EINVAL;
	v->hv->assist_page = value;
	return 0;
}

/* ---- synthetic debugger: a mailbox between guest and VMM ---- */

static u64 *syndbg_register(struct vcpu *v, u32 index)
{
	return &v->hv->syndbg[index == HV_SYNDBG_OPTIONS ? 5 : index - HV_SYNDBG_CONTROL];
}

static bool syndbg_denied(const struct vcpu *v, bool host)
{
	return !host && !(v->cpu.hv.word[HV_SYNDBG] & HVD_ALLOW_DEBUGGING);
}

static int get_syndbg(struct vcpu *v, u32 index, u64 *ret, bool host)
{
	if (syndbg_denied(v, host))
		return -EINVAL;
	*ret = *syndbg_register(v, index);
	return 0;
}

static int set_syndbg(struct vcpu *v, u32 index, u64 value, bool host)
{
	const u64 *s = v->hv->syndbg;

	if (syndbg_denied(v, host))
		return -EINVAL;
	*syndbg_register(v, index) = value;
	if (!host && (index == HV_SYNDBG_CONTROL || index == HV_SYNDBG_PENDING_BUFFER)) {
		struct exit x = {.reason = EXIT_HYPERV,
			.hyperv = {.kind = HYPERV_SYNDBG,
				.msr = index,
				.arg = {s[0], s[1], s[2], s[3], s[4]}}};

		hv_exit_later(v, &x);
	}
	return 0;
}

/* ---- the table ---- */

static const struct synthetic_msr {
	u32 first, last;
	u8 word; /* HV_EAX, HV_EDX */
	u32 feature;
	getter get;
	setter set;
} registers[] = {
#define HV(first, last, name, lists, word, feature, get, set)                                      \
	{first, last, word, feature, get, set},
#include "engine/pv/hyperv/msrs.def"
#undef HV
};

/* NULL: not there, or not for the guest. */
static const struct synthetic_msr *find(const struct vcpu *v, u32 index, bool host)
{
	for (unsigned i = 0; i < ARRAY_SIZE(registers); i++) {
		const struct synthetic_msr *r = &registers[i];

		if (index < r->first || index > r->last)
			continue;
		if (!host && (!hv_enabled(v) || !hv_allowed(v, r->word, r->feature)))
			return NULL;
		return r;
	}
	return NULL;
}

/* KVM does not have it. */
static bool is_partitions(u32 index)
{
	return index == HV_GUEST_IDLE;
}

bool hv_msr_idles(const struct vcpu *v, u32 index)
{
	return index == HV_GUEST_IDLE && hv_is_partition(v) && find(v, index, false);
}

int hv_msr_get(struct vcpu *v, u32 index, u64 *ret, bool host)
{
	const struct synthetic_msr *r = find(v, index, host);

	if (is_partitions(index) && !hv_is_partition(v))
		return -ENOENT;
	return r && r->get ? r->get(v, index, ret, host) : -EINVAL;
}

int hv_msr_set(struct vcpu *v, u32 index, u64 value, bool host)
{
	const struct synthetic_msr *r = find(v, index, host);

	if (is_partitions(index) && !hv_is_partition(v))
		return -ENOENT;
	return r && r->set ? r->set(v, index, value, host) : -EINVAL;
}
