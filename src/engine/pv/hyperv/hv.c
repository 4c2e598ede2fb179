/* SPDX-License-Identifier: MIT */
/* The Hyper-V part of a machine and of a vcpu: made and unmade, and what CPUID may announce. */
#include "engine/pv/hyperv/hv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "engine/request/post.h"

int hv_create(struct machine *m)
{
	m->hv = calloc(1, sizeof(*m->hv));
	if (!m->hv)
		return -ENOMEM;
	pthread_mutex_init(&m->hv->lock, NULL);
	m->sint_ops = &hv_sint_ops;
	return 0;
}

void hv_destroy(struct machine *m)
{
	while (m->hv->connections)
		hv_event_deassign(m, m->hv->connections->id);
	pthread_mutex_destroy(&m->hv->lock);
	free(m->hv);
	m->hv = NULL;
}

int hv_vp_create(struct vcpu *v)
{
	v->hv = calloc(1, sizeof(*v->hv));
	if (!v->hv)
		return -ENOMEM;
	hv_synic_init(v);
	hv_timers_init(v);
	return 0;
}

void hv_vp_destroy(struct vcpu *v)
{
	if (!v->hv)
		return;
	hv_timers_stop(v);
	hv_message_free(v->hv);
	free(atomic_load(&v->hv->start));
	free(v->hv);
	v->hv = NULL;
}

void hv_exit_later(struct vcpu *v, const struct exit *x)
{
	v->hv->exit = *x;
	v->hv_exit_waits = true;
	vcpu_post_event(v);
}

void hv_exit_answered(struct vcpu *v, const struct exit *x)
{
	if (x->hyperv.kind == HYPERV_SYNDBG && x->hyperv.msr == HV_SYNDBG_CONTROL)
		v->hv->syndbg[1] = x->hyperv.result;
}

void vcpu_enforce_hv_cpuid(struct vcpu *v, bool on)
{
	v->cpu.hv.enforce = on;
}

u64 machine_hv_guest_os_id(struct machine *m)
{
	return atomic_load(&m->hv->guest_os_id);
}

/* ---- CPUID ---- */

#define MAX_LOGICAL 64 /* as Windows Server 2016 says */
#define SPIN_TRIES  0xfff

#define FEATURES_EAX                                                                               \
	(HVF_VP_RUNTIME | HVF_REF_COUNT | HVF_SYNIC | HVF_STIMER | HVF_APIC | HVF_HYPERCALL |      \
		HVF_VP_INDEX | HVF_RESET | HVF_REF_TSC | HVF_FREQUENCY | HVF_REENLIGHTEN |         \
		HVF_INVARIANT_TSC)
#define FEATURES_EBX (HVF_POST_MESSAGES | HVF_SIGNAL_EVENTS | HVF_DEBUGGING | HVF_EXTENDED_CALLS)
#define FEATURES_EDX                                                                               \
	(HVF_GUEST_DEBUG | HVF_XMM_INPUT | HVF_FREQUENCY_MSRS | HVF_CRASH | HVF_DEBUG_MSRS |       \
		HVF_EXT_GVA_FLUSH)
#define HINTS                                                                                      \
	(HVH_REMOTE_FLUSH | HVH_APIC_ACCESS | HVH_RELAXED_TIMING | HVH_NO_AUTO_EOI | HVH_EX_MASKS)
#define NESTED_MSR_BITMAP BIT(19)

/* Does another guest's processor never share a core with this one's? Only where there is no SMT at all. */
static bool smt_impossible(void)
{
	char text[16] = {0};
	int fd = sys_open("/sys/devices/system/cpu/smt/control", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = sys_read(fd, text, sizeof(text) - 1);
	sys_close(fd);
	return n > 0 && (!strncmp(text, "forceoff", 8) || !strncmp(text, "notsupported", 12));
}

static void signature(struct cpuid_entry *e, const char vendor[12])
{
	memcpy(&e->ebx, vendor, 4);
	memcpy(&e->ecx, vendor + 4, 4);
	memcpy(&e->edx, vendor + 8, 4);
}

unsigned engine_hv_cpuid(
	const struct vcpu *v, const char vendor[12], struct cpuid_entry *ret, unsigned n)
{
	bool apic = !v || v->lapic;
	struct cpuid_entry e[] = {
		{.function = 0x40000000, .eax = 0x40000082},
		{.function = 0x40000001, .eax = HV_SIGNATURE},
		{.function = 0x40000002, .eax = 14393, .ebx = 10 << 16}, /* 2016 */
		{.function = 0x40000003,
			.eax = FEATURES_EAX,
			.ebx = FEATURES_EBX,
			.edx = FEATURES_EDX | (apic ? HVF_DIRECT_TIMERS : 0)},
		{.function = 0x40000004,
			.eax = HINTS | (apic ? HVH_CLUSTER_IPI : 0) |
			       (smt_impossible() ? HVH_NO_CORESHARING : 0),
			.ebx = SPIN_TRIES},
		{.function = 0x40000005, .eax = MACHINE_MAX_VCPUS, .ebx = MAX_LOGICAL},
		/* What a nested hypervisor may use, if it could be one. */
		{.function = 0x4000000a, .eax = NESTED_MSR_BITMAP},
		{.function = 0x40000080},
		{.function = 0x40000081, .eax = 0x31235356}, /* VS#1 */
		{.function = 0x40000082, .eax = HVD_ALLOW_DEBUGGING},
	};

	signature(&e[0], vendor);
	signature(&e[7], vendor);
	for (unsigned i = 0; i < MIN(n, (unsigned)ARRAY_SIZE(e)); i++)
		ret[i] = e[i];
	return ARRAY_SIZE(e);
}
