/* SPDX-License-Identifier: MIT */
/*
 * Registers of a partition's processors for its own guest: HvCallGetVpRegisters and HvCallSetVpRegisters (TLFS, privilege
 * AccessVpRegisters). They are the root's calls of the same number (hvcalls.def), on the guest's memory. The engine has looked at
 * the privilege, the shape of the call, and where input and output lie.
 */
#include "abi/mshv/guest_call.h"

#include <string.h>

#include "abi/mshv/hvcall.h"
#include "abi/mshv/register.h"

/* ---- what the call is made of ---- */

struct guest_call {
	u64 control, input, output;
	const struct hvcall_row *row;
};

static unsigned input_bytes(const struct guest_call *c)
{
	return c->row->in + (unsigned)HV_CONTROL_REPS(c->control) * c->row->in_each;
}

static bool read_input(struct mshv_vp *v, const struct guest_call *c, void *ret)
{
	return input_bytes(c) <= HV_PAGE_SIZE &&
	       !machine_read(v->partition->machine, c->input, ret, input_bytes(c));
}

/* Those that are done, from the first of this call on; the ones before it are there already. */
static bool write_output(struct mshv_vp *v, const struct guest_call *c, const struct hvcall *h)
{
	u64 from = HV_CONTROL_START(c->control) * c->row->out_each;
	u64 bytes = h->done * (u64)c->row->out_each - from;

	return !bytes || !machine_write(v->partition->machine, c->output + from,
				 (const u8 *)h->out + from, bytes);
}

/* ---- what it does ---- */

/* By these the VMM, or VTL2, holds its processors and is told of them. */
static bool is_vmms(u32 name)
{
	return name == HV_REGISTER_EXPLICIT_SUSPEND || name == HV_REGISTER_INTERCEPT_SUSPEND ||
	       name == HV_REGISTER_DELIVERABILITY_NOTIFICATIONS ||
	       name == HV_REGISTER_VSM_PARTITION_CONFIG;
}

static bool may_set(const struct hvcall *h)
{
	const struct hv_register *r = (const void *)((const struct hv_vp_registers *)h->in + 1);

	for (unsigned i = h->done; i < h->reps; i++)
		if (is_vmms(r[i].name))
			return false;
	return true;
}

static u16 call(struct mshv_vp *v, const struct guest_call *c, struct hvcall *h)
{
	u16 status;

	if (((const struct hv_vp_registers *)h->in)->partition != HV_PARTITION_ID_SELF)
		return HVS_INVALID_PARTITION_ID;
	if (c->row->code == HVCALL_SET_VP_REGISTERS && !may_set(h))
		return HVS_ACCESS_DENIED;
	status = hvcall_serve(c->row, h, HV_PAGE_SIZE);
	return write_output(v, c, h) ? status : HVS_INVALID_INPUT;
}

/* With the number of repetitions that are done. */
static u64 serve(struct mshv_vp *v, const struct guest_call *c)
{
	u64 in[HV_PAGE_SIZE / sizeof(u64)], out[HV_PAGE_SIZE / sizeof(u64)];
	struct hvcall h = {.partition = v->partition,
		.in = in,
		.out = out,
		.in_size = (u16)input_bytes(c),
		.reps = HV_CONTROL_REPS(c->control),
		.done = HV_CONTROL_START(c->control),
		.own = v,
		.self = v};
	u16 status;

	if (!read_input(v, c, in))
		return HVS_INVALID_INPUT;
	status = call(v, c, &h);
	return status | (u64)h.done << 32;
}

void guest_call_result(struct vcpu_state *s, u64 result)
{
	bool is_64 = (s->efer & EFER_LMA) && (s->seg[SEG_CS].attr & SEG_L);

	s->gpr[RAX] = is_64 ? result : (u32)result;
	if (!is_64)
		s->gpr[RDX] = result >> 32;
}

/* In this order: the guest may read and set its own RIP. Others may take the VP meanwhile, as they may while it runs. */
static void complete(struct mshv_vp *v, const struct guest_call *c)
{
	u8 length = vcpu_exit_insn(v->cpu)->len;
	struct vcpu_state s;
	u64 result;

	vcpu_get(v->cpu, ST_REGS, &s);
	s.rip += length;
	vcpu_set(v->cpu, ST_REGS, &s);
	result = serve(v, c);
	vcpu_get(v->cpu, ST_REGS | ST_SREGS, &s);
	guest_call_result(&s, result);
	vcpu_set(v->cpu, ST_REGS, &s);
}

bool guest_call_serve(struct mshv_vp *v, const struct exit *x)
{
	struct guest_call c = {
		.control = x->hyperv.arg[0], .input = x->hyperv.arg[1], .output = x->hyperv.arg[2]};
	u16 code = (u16)c.control;

	if (code != HV_CALL_GET_VP_REGISTERS && code != HV_CALL_SET_VP_REGISTERS)
		return false;
	c.row = hvcall_find(code, ON_VP);
	complete(v, &c);
	return true;
}
