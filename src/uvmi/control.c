/* SPDX-License-Identifier: MIT */
/* Which events a vCPU, or the VM, sends. v5 sets all at once, so the library remembers what is on. */
#include <errno.h>

#include "uvmi/session.h"

static int event_check(const struct uvmi *s, unsigned event)
{
	if (!event_exists(s->dialect, event))
		return event < UVMI_EVENTS ? -ENOSYS : -EINVAL;
	return 0;
}

static u32 with(u32 mask, unsigned bit, bool on)
{
	return on ? mask | BIT(bit) : mask & ~BIT(bit);
}

/* Two threads that change events of one vCPU must not undo each other, so this is done under one lock. */
static int send_mask(struct uvmi *s, enum uvmi_command command, struct iovec in)
{
	struct pending call = {.min = 0};
	const int r = command_start(s, &call, command, &in, 1);

	return r ? r : command_finish(s, &call);
}

static int control_events_v5(struct uvmi *s, unsigned vcpu, unsigned event, bool enable)
{
	struct kvmi_control_events c = {.vcpu = (u16)vcpu};
	struct known_vcpu *v;
	int r = -ENOMEM;

	peer_lock(s);
	v = known_vcpu(s, vcpu);
	if (v) {
		c.events = v->events = with(v->events, event, enable);
		r = send_mask(s, UVMI_CONTROL_EVENTS, PART(c));
		if (r && enable)
			s->vcpus[vcpu].events = with(s->vcpus[vcpu].events, event, false);
	}
	peer_unlock(s);
	return r;
}

int uvmi_control_events(struct uvmi *s, unsigned vcpu, enum uvmi_event_id event, int enable)
{
	const struct kvmi_v6_control_events c = {
		.hdr.vcpu = (u16)vcpu, .event = (u16)event, .enable = enable != 0};
	int r = event_check(s, event);

	if (r || vcpu_check(vcpu))
		return r ? r : -EINVAL;
	if (s->dialect == UVMI_V5)
		return control_events_v5(s, vcpu, event, enable != 0);
	return command_plain(s, UVMI_CONTROL_EVENTS, PART(c));
}

static int control_vm_events_v5(struct uvmi *s, unsigned event, bool enable)
{
	struct kvmi_control_vm_events c = {.padding = 0};
	int r;

	peer_lock(s);
	c.events = s->vm_events = with(s->vm_events, event, enable);
	r = send_mask(s, UVMI_CONTROL_VM_EVENTS, PART(c));
	if (r && enable)
		s->vm_events = with(s->vm_events, event, false);
	peer_unlock(s);
	return r;
}

int uvmi_control_vm_events(struct uvmi *s, enum uvmi_event_id event, int enable)
{
	const struct kvmi_v6_control_vm_events c = {.event = (u16)event, .enable = enable != 0};
	const int r = event_check(s, event);

	if (r)
		return r;
	if (s->dialect == UVMI_V5)
		return control_vm_events_v5(s, event, enable != 0);
	return command_plain(s, UVMI_CONTROL_VM_EVENTS, PART(c));
}

int uvmi_control_cr(struct uvmi *s, unsigned vcpu, unsigned cr, int enable)
{
	const struct kvmi_control_cr v5 = {.vcpu = (u16)vcpu, .enable = enable != 0, .cr = cr};
	const struct kvmi_v6_control_register v6 = {
		.hdr.vcpu = (u16)vcpu, .enable = enable != 0, .index = cr};

	return vcpu_check(vcpu) ? -EINVAL : command_plain(s, UVMI_CONTROL_CR, EITHER(s, v5, v6));
}

int uvmi_control_msr(struct uvmi *s, unsigned vcpu, uint32_t msr, int enable)
{
	const struct kvmi_control_msr v5 = {.vcpu = (u16)vcpu, .enable = enable != 0, .msr = msr};
	const struct kvmi_v6_control_register v6 = {
		.hdr.vcpu = (u16)vcpu, .enable = enable != 0, .index = msr};

	return vcpu_check(vcpu) ? -EINVAL : command_plain(s, UVMI_CONTROL_MSR, EITHER(s, v5, v6));
}

int uvmi_control_singlestep(struct uvmi *s, unsigned vcpu, int enable)
{
	const struct kvmi_v6_control_singlestep c = {.hdr.vcpu = (u16)vcpu, .enable = enable != 0};

	return vcpu_check(vcpu) ? -EINVAL : command_plain(s, UVMI_CONTROL_SINGLESTEP, PART(c));
}
