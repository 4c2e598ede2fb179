/* SPDX-License-Identifier: MIT */
/* Commands on a vcpu's state: see ops.h. */
#include "introspect/ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "introspect/regs.h"

/* ---- registers ---- */

static int read_msrs(struct vcpu *v, const __u32 *index, u16 count, struct kvm_msr_entry *ret)
{
	for (u16 n = 0; n < count; n++) {
		u64 value;

		if (vcpu_get_msr(v, index[n], &value, true))
			return -KVM_EINVAL;
		ret[n] = (struct kvm_msr_entry){.index = index[n], .data = value};
	}
	return 0;
}

int op_get_registers(struct tool_call *c, const __u32 *msrs, u16 count)
{
	struct kvmi_get_registers_reply *a =
		call_answer(c, sizeof(*a) + count * sizeof(struct kvm_msr_entry));

	if (!a)
		return -KVM_ENOMEM;
	a->mode = regs_read(c->w->v, &a->regs, &a->sregs);
	a->msrs.nmsrs = count;
	return read_msrs(c->w->v, msrs, count, a->msrs.entries);
}

int op_set_registers(struct tool_call *c, const struct kvm_regs *regs, int missed)
{
	if (!c->w->question.waits)
		return missed;
	c->w->regs = *regs;
	c->w->regs_wait = true;
	return 0;
}

u64 op_tsc_hz(struct tool_call *c)
{
	return vcpu_tsc_khz(c->w->v) * 1000ull;
}

/* ---- CPUID ---- */

#define CPUID_MAX 256

int op_get_cpuid(struct tool_call *c, u32 function, u32 index)
{
	struct cpuid_entry *e = calloc(CPUID_MAX, sizeof(*e));
	struct kvmi_get_cpuid_reply *a = call_answer(c, sizeof(*a));
	unsigned n = e ? MIN(vcpu_get_cpuid(c->w->v, e, CPUID_MAX), (unsigned)CPUID_MAX) : 0;
	int r = -KVM_ENOENT;

	for (unsigned k = 0; a && k < n && r; k++)
		if (cpuid_entry_is(&e[k], function, index)) {
			*a = (struct kvmi_get_cpuid_reply){e[k].eax, e[k].ebx, e[k].ecx, e[k].edx};
			r = 0;
		}
	free(e);
	return e && a ? r : -KVM_ENOMEM;
}

/* ---- XSAVE ---- */

int op_get_xsave(struct tool_call *c)
{
	void *area = call_answer(c, XSAVE_BYTES);
	struct vcpu_state *s = aligned_alloc(64, (sizeof(*s) + 63) & ~63ul);

	if (area && s) {
		vcpu_get(c->w->v, ST_XSAVE, s);
		memcpy(area, s->xsave, XSAVE_BYTES);
	}
	free(s);
	return area && s ? 0 : -KVM_ENOMEM;
}

int op_set_xsave(struct tool_call *c, const void *area, size_t size)
{
	struct vcpu_state *s;
	int r;

	if (size > XSAVE_BYTES)
		return -KVM_EINVAL;
	s = aligned_alloc(64, (sizeof(*s) + 63) & ~63ul);
	if (!s)
		return -KVM_ENOMEM;
	memset(s->xsave, 0, sizeof(s->xsave));
	memcpy(s->xsave, area, size);
	r = vcpu_set(c->w->v, ST_XSAVE, s);
	free(s);
	return r ? -KVM_EINVAL : 0;
}
