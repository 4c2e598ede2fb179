/* SPDX-License-Identifier: MIT */
/* Interrupts that the VMM asserts, and messages and events that it sends to a VP's synthetic interrupt controller. */
#include <string.h>

#include "abi/mshv/hvcall.h"
#include "abi/mshv/sint.h"

/* ---- HVCALL_ASSERT_VIRTUAL_INTERRUPT: a message of the bus, SDM 3:10.11 ---- */

#define MSI_ADDRESS  0xfee00000ull
#define MSI_LOGICAL  BIT64(2)
#define MSI_DEST(id) ((u64)((id)&0xff) << 12)
#define MSI_HIGH(id)                                                                               \
	(                                                                                          \
		(u64)((id) & ~0xffull)                                                             \
		<< 32) /* as KVM has it for ids beyond 8 bits: machine_set_x2apic_api() */
#define MSI_TYPE(t) ((u32)(t) << 8)
#define MSI_ASSERT  BIT(14)
#define MSI_LEVEL   BIT(15)

static u16 check_assert(const struct hv_assert_interrupt *in)
{
	u32 known = HV_INTERRUPT_LEVEL | HV_INTERRUPT_LOGICAL | HV_INTERRUPT_LONG;

	if (in->control & ~known || in->vector > 255)
		return HVS_INVALID_PARAMETER;
	if (in->type > HV_INTERRUPT_LINT1 || in->type == HV_INTERRUPT_REMOTE_READ)
		return HVS_INVALID_PARAMETER;
	if (in->type <= HV_INTERRUPT_LOWEST && in->vector < 16)
		return HVS_INVALID_PARAMETER;
	return HVS_SUCCESS;
}

/* Ids of local APICs are the VPs' numbers. */
static struct mshv_vp *vp_with_id(const struct hvcall *h, u64 id)
{
	return id < MSHV_VPS_MAX ? partition_vp(h->partition, (u32)id) : NULL;
}

/* The programmable interrupt controller's: its vector goes to the boot processor as it is. */
static u16 assert_extint(struct hvcall *h, const struct hv_assert_interrupt *in)
{
	struct mshv_vp *v = vp_with_id(h, in->dest);

	if (!v || !in->vector) /* 0: the line is taken back */
		return HVS_SUCCESS;
	v = hvcall_take(h, v->index);
	vcpu_interrupt(v->cpu, (u8)in->vector);
	hvcall_give(h, v);
	return HVS_SUCCESS;
}

static u16 assert_message(struct hvcall *h, const struct hv_assert_interrupt *in)
{
	struct msi msi = {
		.address = MSI_ADDRESS | MSI_DEST(in->dest) | MSI_HIGH(in->dest) |
			   (in->control & HV_INTERRUPT_LOGICAL ? MSI_LOGICAL : 0),
		.data = in->vector | MSI_TYPE(in->type) | MSI_ASSERT |
			(in->control & HV_INTERRUPT_LEVEL ? MSI_LEVEL : 0),
	};

	if (in->dest <= UINT32_MAX)
		irq_msi(h->partition->machine, &msi); /* what nobody takes is lost */
	return HVS_SUCCESS;
}

/* An entry of the local vector table, SDM 3:10.5.1 */
#define LAPIC_PAGE     1024
#define LVT_LINT0      0x350
#define LVT_LINT1      0x360
#define LVT_VECTOR(e)  ((e)&0xff)
#define LVT_TYPE(e)    ((e) >> 8 & 7)
#define LVT_TRIGGER(e) ((e) >> 15 & 1)
#define LVT_MASKED     BIT(16)

/* What the entry of this pin says of an interrupt there; false: nothing. */
static bool pin_means(
	struct hvcall *h, const struct hv_assert_interrupt *in, struct hv_assert_interrupt *ret)
{
	unsigned at = in->type == HV_INTERRUPT_LINT0 ? LVT_LINT0 : LVT_LINT1;
	struct mshv_vp *v = hvcall_take(h, (u32)in->dest);
	u8 page[LAPIC_PAGE];
	u32 entry = LVT_MASKED;

	if (!vcpu_get_lapic(v->cpu, page))
		memcpy(&entry, page + at, sizeof(entry));
	hvcall_give(h, v);
	*ret = (struct hv_assert_interrupt){.dest = in->dest,
		.type = LVT_TYPE(entry),
		.vector = LVT_TYPE(entry) == HV_INTERRUPT_EXTINT ? in->vector : LVT_VECTOR(entry),
		.control = LVT_TRIGGER(entry) ? HV_INTERRUPT_LEVEL : 0};
	return !(entry & LVT_MASKED);
}

/* A pin of one local APIC. */
static u16 assert_pin(struct hvcall *h, const struct hv_assert_interrupt *in)
{
	struct hv_assert_interrupt meant;

	if (!vp_with_id(h, in->dest) || !pin_means(h, in, &meant))
		return HVS_SUCCESS;
	return meant.type == HV_INTERRUPT_EXTINT ? assert_extint(h, &meant)
						 : assert_message(h, &meant);
}

u16 call_assert_interrupt(struct hvcall *h)
{
	const struct hv_assert_interrupt *in = h->in;
	u16 status = check_assert(in);

	if (status) {
		refuse(h->why, 0, "type %lu, vector %lu: there is no such interrupt", (u64)in->type,
			(u64)in->vector);
		return status;
	}
	status = hvcall_level(h, in->vtl);
	if (status)
		return status;
	switch (in->type) {
	case HV_INTERRUPT_EXTINT: return assert_extint(h, in);
	case HV_INTERRUPT_LINT0:
	case HV_INTERRUPT_LINT1: return assert_pin(h, in);
	default: return assert_message(h, in);
	}
}

/* Of all VPs: what HV_INTERRUPT_EXTINT has put there and nobody has taken. */
u16 call_clear_interrupt(struct hvcall *h)
{
	for (u32 i = 0; i < MSHV_VPS_MAX; i++) {
		struct mshv_vp *v = partition_vp(h->partition, i) ? hvcall_take(h, i) : NULL;

		if (!v)
			continue;
		vcpu_interrupt_clear(v->cpu);
		hvcall_give(h, v);
	}
	return HVS_SUCCESS;
}

/* ---- events and messages for the synthetic interrupt controller ---- */

#define EVENT_FLAGS 2048 /* of each source */

/* Where there are levels, the target is one of two, and VTL2's controller is what its driver makes of one source (sint.h). */
enum level { LEVEL_GUEST, LEVEL_OWN, LEVEL_NONE };

static enum level level_of(const struct hvcall *h, u8 vtl, u32 sint)
{
	if (!h->partition->vtl || !vtl)
		return LEVEL_GUEST;
	return vtl == 2 && sint == SINT_OF_VTL2 ? LEVEL_OWN : LEVEL_NONE;
}

static u16 signal_guest(struct mshv_vp *v, const struct hv_signal_event_direct *in, bool *newly)
{
	return hvcall_status(
		vcpu_synic_signal(v->cpu, in->sint, in->flag, newly), HVS_INVALID_SYNIC_STATE);
}

u16 call_signal_event(struct hvcall *h)
{
	const struct hv_signal_event_direct *in = h->in;
	struct mshv_vp *v = hvcall_vp(h, in->vp_index);
	bool newly = false;
	u16 status;

	if (!v)
		return HVS_INVALID_VP_INDEX;
	if (in->sint >= HV_SINTS || in->flag >= EVENT_FLAGS)
		return HVS_INVALID_PARAMETER;
	switch (level_of(h, in->vtl, in->sint)) {
	case LEVEL_GUEST: status = signal_guest(v, in, &newly); break;
	case LEVEL_OWN: status = sint_signal_own(h->partition->vtl, in->flag); break;
	default: status = HVS_INVALID_VTL_STATE;
	}
	*(u8 *)h->out = newly;
	return status;
}

static u16 post_guest(struct mshv_vp *v, u32 sint, const struct hv_message *m)
{
	int r = vcpu_synic_post(v->cpu, sint, m);

	switch (r) {
	case -EAGAIN: return HVS_INSUFFICIENT_BUFFERS;
	case -EINVAL: return HVS_INVALID_PARAMETER;
	default: return hvcall_status(r, HVS_INVALID_SYNIC_STATE);
	}
}

u16 call_post_message(struct hvcall *h)
{
	const struct hv_post_message_direct *in = h->in;
	struct mshv_vp *v = hvcall_vp(h, in->vp_index);
	struct hv_message message;

	if (!v)
		return HVS_INVALID_VP_INDEX;
	memcpy(&message, in->message, sizeof(message));
	if (in->sint >= HV_SINTS || message.len > sizeof(message.payload))
		return HVS_INVALID_PARAMETER;
	switch (level_of(h, in->vtl, in->sint)) {
	case LEVEL_GUEST: return post_guest(v, in->sint, &message);
	case LEVEL_OWN: return sint_post_own(h->partition->vtl, &message);
	default: return HVS_INVALID_VTL_STATE;
	}
}
