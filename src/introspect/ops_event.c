/* SPDX-License-Identifier: MIT */
/* Commands that say what the tool is asked about: see ops.h. */
#include "introspect/ops.h"

#include "introspect/event.h"

int op_control_cr(struct tool_call *c, u32 cr, bool on)
{
	if (cr != 0 && cr != 3 && cr != 4)
		return -KVM_EINVAL;
	vcpu_tap_cr(c->w->v, cr, on);
	return 0;
}

#define MSR_RANGE 0x2000 /* of each half of VMX's bitmap (SDM 3:24.6.9) */

int op_control_msr(struct tool_call *c, u32 msr, bool on)
{
	if (msr >= MSR_RANGE && msr - 0xc0000000u >= MSR_RANGE)
		return -KVM_EINVAL;
	return vcpu_tap_msr(c->w->v, msr, true, on) ? -KVM_EINVAL : 0;
}

int op_set_events(struct tool_call *c, u32 events)
{
	c->w->events = events;
	event_update_taps(c->w);
	return 0;
}

int op_single_step(struct tool_call *c, bool on)
{
	c->w->single_step = on;
	event_update_taps(c->w);
	return 0;
}
