/* SPDX-License-Identifier: MIT */
/*
 * Synthetic interrupt controller (TLFS 11): sixteen sources (SINTs) with a vector each, a page with a message
 * slot for each and one with event flags (message.c). Where the VMM is KVM's, messages come from the timers only; those of
 * VMBus are the VMM's, which writes into the page itself and raises the SINT through a GSI route.
 */
#include <errno.h>
#include <stdlib.h>

#include "engine/pv/hyperv/hv.h"
#include "engine/irq/lapic.h"
#include "engine/irq/irq.h"
#include "engine/core/vcpus.h"

void hv_synic_init(struct vcpu *v)
{
	struct hv_vp *hv = v->hv;

	pthread_mutex_init(&hv->synic.lock, NULL);
	atomic_store(&hv->synic.active, hv_is_partition(v));
	hv->synic.version = 1;
	for (unsigned i = 0; i < HV_SINTS; i++)
		atomic_store(&hv->synic.sint[i], HV_SINT_MASKED);
}

/* ---- SINTs ---- */

/* One that polls has no interrupt. KVM does not offer that (TLFS 2.4: a bit of CPUID), and ignores the bit. */
static bool has_interrupt(const struct vcpu *v, u64 s)
{
	return !(s & HV_SINT_MASKED) && !((s & HV_SINT_POLLING) && hv_is_partition(v));
}

/* Several SINTs may share a vector. */
static void update_vectors(struct vcpu *v)
{
	const struct hv_vp *hv = v->hv;
	u32 used[8] = {0}, automatic[8] = {0};

	for (unsigned i = 0; i < HV_SINTS; i++) {
		u64 s = atomic_load(&hv->synic.sint[i]);

		if (!has_interrupt(v, s))
			continue;
		used[HV_SINT_VECTOR(s) >> 5] |= BIT(HV_SINT_VECTOR(s) & 31);
		if (s & HV_SINT_AUTO_EOI)
			automatic[HV_SINT_VECTOR(s) >> 5] |= BIT(HV_SINT_VECTOR(s) & 31);
	}
	for (unsigned i = 0; i < 8; i++) {
		atomic_store(&v->sints.all[i], used[i]);
		atomic_store(&v->sints.auto_eoi[i], automatic[i]);
	}
}

static int set_sint(struct vcpu *v, unsigned sint, u64 value, bool host)
{
	if (HV_SINT_VECTOR(value) < HV_SINT_FIRST_VECTOR && !host && !(value & HV_SINT_MASKED))
		return -EINVAL;
	atomic_store(&v->hv->synic.sint[sint], value);
	update_vectors(v);
	return 0;
}

int hv_synic_raise(struct vcpu *v, unsigned sint)
{
	struct apic_msg msg = {.delivery = DELIVER_FIXED};
	u64 s;

	if (!atomic_load(&v->hv->synic.active) || !v->lapic || sint >= HV_SINTS)
		return -EINVAL;
	s = atomic_load(&v->hv->synic.sint[sint]);
	if (!has_interrupt(v, s))
		return -ENOENT;
	msg.vector = HV_SINT_VECTOR(s);
	switch (lapic_accept(v->lapic, &msg)) {
	case ACCEPT_FRESH: return 1;
	case ACCEPT_PENDING: return 0;
	default: return -ENOENT;
	}
}

static int sint_raise(struct machine *m, u32 vp_index, u32 sint)
{
	struct vcpus all = vcpus_lock(m);
	struct vcpu *v;
	int n = -1;

	for_each_vcpu(all, v)
	{
		if (v->hv->vp_index == vp_index)
			n = hv_synic_raise(v, sint);
	}
	vcpus_unlock(all);
	return n;
}

/* ---- ends ---- */

static void slot_free(struct vcpu *v, unsigned sint)
{
	hv_message_next(v, sint);
	hv_timers_slot_free(v, sint);
}

static void acked(struct vcpu *v, unsigned sint)
{
	slot_free(v, sint);
	irq_ack_sint(v->machine, v->hv->vp_index, sint);
}

static void sint_ended(struct vcpu *v, u8 vector)
{
	for (unsigned i = 0; i < HV_SINTS; i++) {
		u64 s = atomic_load(&v->hv->synic.sint[i]);

		if (has_interrupt(v, s) && HV_SINT_VECTOR(s) == vector)
			acked(v, i);
	}
}

static int end_of_message(struct vcpu *v)
{
	for (unsigned i = 0; i < HV_SINTS; i++)
		acked(v, i);
	return 0;
}

/* ---- registers ---- */

/* Whoever emulates VMBus follows where the pages are. */
static void tell_vmm(struct vcpu *v, u32 index)
{
	const struct hv_vp *hv = v->hv;
	struct exit x = {.reason = EXIT_HYPERV,
		.hyperv = {.kind = HYPERV_SYNIC,
			.msr = index,
			.arg = {hv->synic.control, hv->synic.siefp, hv->synic.simp}}};

	hv_exit_later(v, &x);
}

static void store(struct vcpu *v, u64 *reg, u64 value)
{
	pthread_mutex_lock(&v->hv->synic.lock);
	*reg = value;
	pthread_mutex_unlock(&v->hv->synic.lock);
}

/* The guest's: what waits for the controller may go on. */
static void stored(struct vcpu *v, u32 index)
{
	if (!hv_is_partition(v))
		tell_vmm(v, index);
	for (unsigned i = 0; i < HV_SINTS && hv_is_partition(v); i++)
		slot_free(v, i);
}

/*
 * The pages lie over the guest's RAM (TLFS 11.8), but for simplicity's sake here they are the RAM: as new when the guest places
 * them. The VMM's call only says where they are.
 */
static bool placed_anew(const struct vcpu *v, u64 old, u64 value, bool host)
{
	if (!(value & HV_PAGE_ENABLE) || host || v->hv->synic.keep_pages)
		return false;
	return !hv_is_partition(v) || !(old & HV_PAGE_ENABLE) || (old ^ value) & PAGE_MASK;
}

static int set_simp(struct vcpu *v, u64 value, bool host)
{
	static const u8 zero[PAGE_SIZE];
	u64 *reg = &v->hv->synic.simp;

	if (placed_anew(v, *reg, value, host) &&
		machine_write(v->machine, value & PAGE_MASK, zero, sizeof(zero)))
		return -EINVAL;
	store(v, reg, value);
	if (!host)
		stored(v, HV_SIMP);
	return 0;
}

/* With the flags that were set while there was none. */
static int set_siefp(struct vcpu *v, u64 value, bool host)
{
	static const u8 zero[PAGE_SIZE];
	struct hv_vp *hv = v->hv;
	bool anew = placed_anew(v, hv->synic.siefp, value, host);
	int r = 0;

	pthread_mutex_lock(&hv->synic.lock);
	if (anew)
		r = machine_write(v->machine, value & PAGE_MASK,
			hv->synic.latch ? hv->synic.latch : zero, PAGE_SIZE);
	if (!r && (value & HV_PAGE_ENABLE)) {
		free(hv->synic.latch);
		hv->synic.latch = NULL;
	}
	if (!r)
		hv->synic.siefp = value;
	pthread_mutex_unlock(&hv->synic.lock);
	if (r)
		return -EINVAL;
	if (!host)
		stored(v, HV_SIEFP);
	return 0;
}

static int set_control(struct vcpu *v, u64 value, bool host)
{
	store(v, &v->hv->synic.control, value);
	if (!host)
		stored(v, HV_SCONTROL);
	return 0;
}

static int set_version(struct vcpu *v, u64 value, bool host)
{
	if (!host)
		return -EINVAL;
	v->hv->synic.version = value;
	return 0;
}

int hv_synic_set(struct vcpu *v, u32 index, u64 value, bool host)
{
	struct hv_vp *hv = v->hv;

	if (!atomic_load(&hv->synic.active) && (!host || value))
		return -EINVAL;
	switch (index) {
	case HV_SCONTROL: return set_control(v, value, host);
	case HV_SVERSION: return set_version(v, value, host);
	case HV_SIEFP: return set_siefp(v, value, host);
	case HV_SIMP: return set_simp(v, value, host);
	case HV_EOM: return end_of_message(v);
	default: return set_sint(v, index - HV_SINT0, value, host);
	}
}

int hv_synic_get(struct vcpu *v, u32 index, u64 *ret, bool host)
{
	struct hv_vp *hv = v->hv;

	if (!atomic_load(&hv->synic.active) && !host)
		return -EINVAL;
	switch (index) {
	case HV_SCONTROL: *ret = hv->synic.control; return 0;
	case HV_SVERSION: *ret = hv->synic.version; return 0;
	case HV_SIEFP: *ret = hv->synic.siefp; return 0;
	case HV_SIMP: *ret = hv->synic.simp; return 0;
	case HV_EOM: *ret = 0; return 0;
	default: *ret = atomic_load(&hv->synic.sint[index - HV_SINT0]); return 0;
	}
}

int vcpu_enable_synic(struct vcpu *v, bool keep_pages)
{
	if (!v->lapic)
		return refuse(&v->cpu.refusal, -EINVAL, NO_LAPIC);
	v->hv->synic.keep_pages = keep_pages;
	if (!hv_is_partition(v))
		v->hv->synic.control = 1;
	atomic_store(&v->hv->synic.active, true);
	return 0;
}

const struct sint_ops hv_sint_ops = {sint_raise, sint_ended};
