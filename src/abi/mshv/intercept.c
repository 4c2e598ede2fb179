/* SPDX-License-Identifier: MIT */
/*
 * Which intercepts there are, and how the engine is made to exit for them: CPUID, exceptions and single MSRs by a subscriber
 * of engine/tap.h, all MSRs by a filter, hypercalls by an option. messages: intercept_message.c.
 */
#include "abi/mshv/intercept.h"

#include <stdlib.h>

#include "abi/mshv/hvcall.h"
#include "abi/mshv/intercept_list.h"
#include "engine/tap.h"

/* ---- what a processor is asked ---- */

static bool cpuid_wanted(struct intercepts *i, u32 leaf)
{
	bool wanted = false;

	pthread_mutex_lock(&i->lock);
	for (unsigned n = 0; n < i->leaf_count; n++)
		wanted |= i->leaf[n] == leaf;
	pthread_mutex_unlock(&i->lock);
	return wanted;
}

/* The vector of INT3, INTO and INT1, which are exceptions too; INT n is none. */
static int software_vector(const struct tap_event *e)
{
	return e->soft_int.insn == TAP_INT_N ? -1 : e->soft_int.vector;
}

static bool exception_wanted(const struct intercepts *i, const struct tap_event *e)
{
	int vector = e->kind == TAP_SOFT_INT ? software_vector(e) : e->exception.vector;

	/* What the VMM has injected is its own. */
	if (e->kind == TAP_EXCEPTION && e->exception.injected)
		return false;
	return vector >= 0 && vector < 32 &&
	       ((atomic_load(&i->exceptions) | atomic_load(&i->traps)) >> vector & 1);
}

static enum tap_verdict event(void *intercepts, struct vcpu *v, struct tap_event *e)
{
	struct intercepts *i = intercepts;
	bool stop;

	switch (e->kind) {
	case TAP_CPUID: stop = cpuid_wanted(i, e->cpuid.leaf); break;
	case TAP_EXCEPTION:
	case TAP_SOFT_INT: stop = exception_wanted(i, e); break;
	case TAP_MSR_READ:
	case TAP_MSR_WRITE: stop = true; break; /* only those are asked about */
	default: stop = false; break;
	}
	return stop ? TAP_STOP : TAP_GO_ON;
}

static const struct tap subscriber = {.event = event};

/* ---- the engine is told ---- */

static u32 events_of(const struct intercepts *i)
{
	u32 events = 0;

	if (i->leaf_count)
		events |= BIT(TAP_CPUID);
	if (atomic_load(&i->exceptions) | atomic_load(&i->traps))
		events |= BIT(TAP_EXCEPTION) | BIT(TAP_SOFT_INT);
	if (i->msr_count)
		events |= BIT(TAP_MSR_READ) | BIT(TAP_MSR_WRITE);
	return events;
}

static int tell_vp(const struct intercepts *i, struct mshv_vp *v)
{
	int r = vcpu_tap_events(v->cpu, events_of(i));

	/* What cannot be selected is none of the engine's, and leaves as unknown: msr_intercepted(). */
	for (unsigned n = 0; !r && n < i->msr_count; n++) {
		vcpu_tap_msr(v->cpu, i->msr[n].index, false, i->msr[n].access & HV_ACCESS_READ);
		vcpu_tap_msr(v->cpu, i->msr[n].index, true, i->msr[n].access & HV_ACCESS_WRITE);
	}
	return r;
}

int intercepts_vp_init(struct mshv_vp *v)
{
	const struct intercepts *i = v->partition->intercepts;

	return i->tapped ? tell_vp(i, v) : 0;
}

/* p->telling is held. */
static u16 tell_all(struct mshv_partition *p)
{
	struct intercepts *i = p->intercepts;
	int r = i->tapped ? 0 : machine_set_tap(p->machine, &subscriber, i);

	if (r)
		return hvcall_status(r, HVS_OBJECT_IN_USE);
	i->tapped = true;
	for (u32 n = 0; n < MSHV_VPS_MAX && !r; n++)
		r = partition_vp(p, n) ? tell_vp(i, partition_vp(p, n)) : 0;
	return hvcall_status(r, HVS_NO_RESOURCES);
}

/* After a change of msr_class. 0 or -errno. */
static int msr_exits_update(struct mshv_partition *p)
{
	bool class = atomic_load(&p->intercepts->msr_class);

	/* What becomes of unknown ones can be said at any time, so they leave always. */
	return machine_set_msr_exits(p->machine, MSR_WHY_UNKNOWN | (class ? MSR_WHY_FILTER : 0));
}

/* ---- by type ---- */

static u16 install_leaf(struct mshv_partition *p, const struct hv_install_intercept *in)
{
	struct intercepts *i = p->intercepts;
	u16 status = HVS_SUCCESS;
	unsigned n = 0;

	if (in->access & ~HV_ACCESS_EXECUTE || in->parameter > UINT32_MAX)
		return HVS_INVALID_PARAMETER;
	pthread_mutex_lock(&i->lock);
	while (n < i->leaf_count && i->leaf[n] != in->parameter)
		n++;
	if (!in->access && n < i->leaf_count)
		i->leaf[n] = i->leaf[--i->leaf_count];
	else if (in->access && n == INTERCEPT_LEAVES)
		status = HVS_NO_RESOURCES;
	else if (in->access && n == i->leaf_count)
		i->leaf[i->leaf_count++] = (u32)in->parameter;
	pthread_mutex_unlock(&i->lock);
	return status ? status : tell_all(p);
}

static u16 install_exception(struct mshv_partition *p, const struct hv_install_intercept *in)
{
	struct intercepts *i = p->intercepts;
	_Atomic u32 *mask = in->type == HV_INTERCEPT_EXCEPTION ? &i->exceptions : &i->traps;

	if (in->access & ~HV_ACCESS_EXECUTE || in->parameter >= 32)
		return HVS_INVALID_PARAMETER;
	if (in->access)
		atomic_fetch_or(mask, BIT(in->parameter));
	else
		atomic_fetch_and(mask, ~BIT(in->parameter));
	return tell_all(p);
}

static unsigned msr_find(const struct intercepts *i, u32 index)
{
	unsigned n = 0;

	while (n < i->msr_count && i->msr[n].index != index)
		n++;
	return n;
}

bool msr_intercepted(struct intercepts *i, u32 index, u32 access)
{
	bool wanted;
	unsigned n;

	pthread_mutex_lock(&i->lock);
	n = msr_find(i, index);
	wanted = n < i->msr_count && (i->msr[n].access & access);
	pthread_mutex_unlock(&i->lock);
	return wanted;
}

/* The lock is held. */
static void msr_set(struct intercepts *i, unsigned n, const struct hv_install_intercept *in)
{
	i->msr_count = MAX(i->msr_count, n + 1);
	i->msr[n].index = (u32)in->parameter;
	i->msr[n].access = in->access; /* 0 stays until all processors have been told */
}

static void msr_forget(struct intercepts *i, unsigned n)
{
	pthread_mutex_lock(&i->lock);
	i->msr[n] = i->msr[--i->msr_count];
	pthread_mutex_unlock(&i->lock);
}

static u16 install_msr(struct mshv_partition *p, const struct hv_install_intercept *in)
{
	struct intercepts *i = p->intercepts;
	bool known, fits;
	unsigned n;
	u16 status;

	if (in->access & ~(HV_ACCESS_READ | HV_ACCESS_WRITE) || in->parameter > UINT32_MAX)
		return HVS_INVALID_PARAMETER;
	pthread_mutex_lock(&i->lock);
	n = msr_find(i, (u32)in->parameter);
	known = n < i->msr_count;
	fits = n < INTERCEPT_MSRS;
	if (fits && (known || in->access))
		msr_set(i, n, in);
	pthread_mutex_unlock(&i->lock);
	if (!known && !in->access)
		return HVS_SUCCESS;
	status = fits ? tell_all(p) : HVS_NO_RESOURCES;
	if (!status && !in->access)
		msr_forget(i, n);
	return status;
}

static u16 install_msr_class(struct mshv_partition *p, const struct hv_install_intercept *in)
{
	int r;

	if (in->access & ~(HV_ACCESS_READ | HV_ACCESS_WRITE))
		return HVS_INVALID_PARAMETER;
	atomic_store(&p->intercepts->msr_class, in->access);
	r = msr_exits_update(p);
	r = r ? r : machine_set_msr_filter(p->machine, in->access != 0, NULL, 0);
	return hvcall_status(r, HVS_NO_RESOURCES);
}

static u16 install_hypercall(struct mshv_partition *p, const struct hv_install_intercept *in)
{
	struct intercepts *i = p->intercepts;

	if (in->access & ~HV_ACCESS_EXECUTE)
		return HVS_INVALID_PARAMETER;
	if (in->access)
		atomic_fetch_or(&i->hypercalls, BIT(in->type));
	else
		atomic_fetch_and(&i->hypercalls, ~BIT(in->type));
	machine_set_option(p->machine, OPT_HYPERCALL_INTERCEPT,
		p->vtl || atomic_load(&i->hypercalls)); /* one is for VTL2 */
	return HVS_SUCCESS;
}

/* Ports, device memory and the ends of level-triggered interrupts leave always: nobody in the engine has them. */
static u16 install_nothing(struct mshv_partition *p, const struct hv_install_intercept *in)
{
	return HVS_SUCCESS;
}

/*
 * SMI (7), INIT and SIPI (9), and writes of a local APIC's registers (11) are not among them: how their messages are laid
 * out is told nowhere, so nobody could read one.
 */
static u16 (*const installers[])(
	struct mshv_partition *p, const struct hv_install_intercept *in) = {
	[HV_INTERCEPT_IO_PORT] = install_nothing,
	[HV_INTERCEPT_IO_PORT_RANGE] = install_nothing,
	[HV_INTERCEPT_MMIO] = install_nothing,
	[HV_INTERCEPT_APIC_EOI] = install_nothing,
	[HV_INTERCEPT_MSR] = install_msr_class,
	[HV_INTERCEPT_MSR_INDEX] = install_msr,
	[HV_INTERCEPT_CPUID] = install_leaf,
	[HV_INTERCEPT_GLOBAL_CPUID] = install_leaf,
	[HV_INTERCEPT_EXCEPTION] = install_exception,
	[HV_INTERCEPT_EXCEPTION_TRAP] = install_exception,
	[HV_INTERCEPT_HYPERCALL] = install_hypercall,
	[HV_INTERCEPT_UNKNOWN_SYNIC_CONNECTION] = install_hypercall,
	[HV_INTERCEPT_RETARGET_INTERRUPT] = install_hypercall,
};

u16 call_install_intercept(struct hvcall *h)
{
	const struct hv_install_intercept *in = h->in;
	struct mshv_partition *p = h->partition;
	u16 status;

	if (in->type >= ARRAY_SIZE(installers) || !installers[in->type] ||
		in->access & ~(HV_ACCESS_READ | HV_ACCESS_WRITE | HV_ACCESS_EXECUTE)) {
		refuse(h->why, 0, "intercept type %lu, access %lu: there is no such intercept",
			(u64)in->type, (u64)in->access);
		return HVS_INVALID_PARAMETER;
	}
	pthread_mutex_lock(&p->telling);
	status = installers[in->type](p, in);
	pthread_mutex_unlock(&p->telling);
	return status;
}

/* ---- life ---- */

int intercepts_init(struct mshv_partition *p)
{
	struct intercepts *i = calloc(1, sizeof(*i));

	if (!i)
		return -ENOMEM;
	pthread_mutex_init(&i->lock, NULL);
	p->intercepts = i;
	return msr_exits_update(p);
}

/* Nobody runs any more. */
void intercepts_free(struct mshv_partition *p)
{
	struct intercepts *i = p->intercepts;

	if (!i)
		return;
	if (i->tapped)
		machine_set_tap(p->machine, NULL, NULL);
	pthread_mutex_destroy(&i->lock);
	free(i);
	p->intercepts = NULL;
}
