/* SPDX-License-Identifier: MIT */
/*
 * Synthetic interrupt controller (TLFS 11): sixteen sources (SINTs) with a vector each, a page with a message
 * slot for each and one with event flags. Messages here come from the timers; those of VMBus are the VMM's, which
 * writes into the page itself and raises the SINT through a GSI route.
 */
#include <errno.h>

#include "engine/pv/hyperv/hv.h"
#include "engine/irq/lapic.h"
#include "engine/irq/irq.h"
#include "engine/core/vcpus.h"

void hv_synic_init(struct hv_vp *hv)
{
	hv->synic.version = 1;
	for (unsigned i = 0; i < HV_SINTS; i++)
		atomic_store(&hv->synic.sint[i], HV_SINT_MASKED);
}

/* ---- SINTs ---- */

/* Several SINTs may share a vector. */
static void update_vectors(struct vcpu *v)
{
	const struct hv_vp *hv = v->hv;
	u32 used[8] = {0}, automatic[8] = {0};

	for (unsigned i = 0; i < HV_SINTS; i++) {
		u64 s = atomic_load(&hv->synic.sint[i]);

		if (s & HV_SINT_MASKED)
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

static int raise_sint(struct vcpu *v, unsigned sint)
{
	struct apic_msg msg = {.delivery = DELIVER_FIXED};
	u64 s;

	if (!atomic_load(&v->hv->synic.active) || !v->lapic || sint >= HV_SINTS)
		return -EINVAL;
	s = atomic_load(&v->hv->synic.sint[sint]);
	if (s & HV_SINT_MASKED)
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
			n = raise_sint(v, sint);
	}
	vcpus_unlock(all);
	return n;
}

/* ---- messages ---- */

int hv_synic_post(struct vcpu *v, unsigned sint, u32 type, const void *payload, u8 len, bool lossy)
{
	struct hv_vp *hv = v->hv;
	struct hv_message msg = {.type = type, .len = len}, slot;
	u64 gpa = (hv->synic.simp & PAGE_MASK) + sint * sizeof(msg);

	if (!(hv->synic.simp & HV_PAGE_ENABLE))
		return -ENOENT;
	if (machine_read(v->machine, gpa, &slot, offsetof(struct hv_message, payload)))
		return -ENOENT;
	if (slot.type) {
		u8 flags = slot.flags | HV_MESSAGE_PENDING;

		if (lossy)
			return 0;
		machine_write(v->machine, gpa + offsetof(struct hv_message, flags), &flags, 1);
		return -EAGAIN;
	}
	__builtin_memcpy(msg.payload, payload, len);
	/* The type last: with it the message is there. */
	if (machine_write(v->machine, gpa + sizeof(msg.type), &msg.len,
		    offsetof(struct hv_message, payload) - sizeof(msg.type) + len) ||
		machine_write(v->machine, gpa, &msg.type, sizeof(msg.type)))
		return -ENOENT;
	return raise_sint(v, sint) < 0 ? -ENOENT : 0;
}

static void acked(struct vcpu *v, unsigned sint)
{
	hv_timers_slot_free(v, sint);
	irq_ack_sint(v->machine, v->hv->vp_index, sint);
}

static void sint_ended(struct vcpu *v, u8 vector)
{
	for (unsigned i = 0; i < HV_SINTS; i++) {
		u64 s = atomic_load(&v->hv->synic.sint[i]);

		if (!(s & HV_SINT_MASKED) && HV_SINT_VECTOR(s) == vector)
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

static int set_page(struct vcpu *v, u64 *reg, u32 index, u64 value, bool host)
{
	static const u8 zero[PAGE_SIZE];

	if ((value & HV_PAGE_ENABLE) && !host && !v->hv->synic.keep_pages &&
		machine_write(v->machine, value & PAGE_MASK, zero, sizeof(zero)))
		return -EINVAL;
	*reg = value;
	if (!host)
		tell_vmm(v, index);
	return 0;
}

static int set_control(struct vcpu *v, u64 value, bool host)
{
	v->hv->synic.control = value;
	if (!host)
		tell_vmm(v, HV_SCONTROL);
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
	case HV_SIEFP: return set_page(v, &hv->synic.siefp, index, value, host);
	case HV_SIMP: return set_page(v, &hv->synic.simp, index, value, host);
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
	v->hv->synic.control = 1;
	atomic_store(&v->hv->synic.active, true);
	return 0;
}

const struct sint_ops hv_sint_ops = {sint_raise, sint_ended};
