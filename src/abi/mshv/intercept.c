/* SPDX-License-Identifier: MIT */
/*
 * Which intercepts there are, and how the engine is made to exit for them: CPUID, exceptions and single MSRs by
 * engine/intercept.h, all MSRs by a filter, hypercalls by an option. Messages: intercept_message.c.
 */
#include "abi/mshv/intercept.h"

#include <stdlib.h>

#include "abi/mshv/hvcall.h"
#include "abi/mshv/intercept_list.h"
#include "engine/intercept.h"

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
	int r;

	if (in->access & ~HV_ACCESS_EXECUTE || in->parameter > UINT32_MAX)
		return HVS_INVALID_PARAMETER;
	r = machine_intercept_cpuid(p->machine, (u32)in->parameter, in->access);
	return hvcall_status(r, HVS_NO_RESOURCES);
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
	machine_intercept_exceptions(
		p->machine, atomic_load(&i->exceptions) | atomic_load(&i->traps));
	return HVS_SUCCESS;
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

/* False: there is no room. */
static bool msr_list(struct intercepts *i, u32 index, u32 access)
{
	unsigned n;

	pthread_mutex_lock(&i->lock);
	n = msr_find(i, index);
	if (n < INTERCEPT_MSRS && (access || n < i->msr_count)) {
		i->msr_count = MAX(i->msr_count, n + 1);
		i->msr[n].index = index;
		i->msr[n].access = access;
	}
	if (n < i->msr_count && !access)
		i->msr[n] = i->msr[--i->msr_count];
	pthread_mutex_unlock(&i->lock);
	return n < INTERCEPT_MSRS || !access;
}

/* What a processor does not have leaves as unknown: msr_intercepted(). */
static u16 install_msr(struct mshv_partition *p, const struct hv_install_intercept *in)
{
	const u32 index = (u32)in->parameter;

	if (in->access & ~(HV_ACCESS_READ | HV_ACCESS_WRITE) || in->parameter > UINT32_MAX)
		return HVS_INVALID_PARAMETER;
	if (!msr_list(p->intercepts, index, in->access))
		return HVS_NO_RESOURCES;
	machine_intercept_msr(p->machine, index, false, in->access & HV_ACCESS_READ);
	machine_intercept_msr(p->machine, index, true, in->access & HV_ACCESS_WRITE);
	return HVS_SUCCESS;
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
	pthread_mutex_destroy(&i->lock);
	free(i);
	p->intercepts = NULL;
}
