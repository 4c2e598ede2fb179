/* SPDX-License-Identifier: MIT */
/*
 * KVM_RUN: what the last exit wanted is done, the processor runs, and its messages become exits in kvm_run, until one is
 * for the program. Functions here give 1 if there is an exit, 0 if the guest goes on.
 */
#include <errno.h>
#include <string.h>

#include "libkvm/mshv/mshv.h"

static const struct hv_intercept_header *header_of(const struct vp *v)
{
	return (const struct hv_intercept_header *)v->message.payload;
}

/* ---- exits ---- */

/* As KVM tells of it: in `data`, the flags, then the number of bytes and the bytes. */
static long exit_unknown_instruction(struct vp *v)
{
	__typeof__(v->run->emulation_failure) *e = &v->run->emulation_failure;

	v->run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	memset(e, 0, sizeof(*e));
	e->suberror = KVM_INTERNAL_ERROR_EMULATION;
	e->ndata = 3;
	e->flags = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
	e->insn_size = v->emu.n_bytes;
	memcpy(e->insn_bytes, v->emu.bytes, e->insn_size);
	return 1;
}

long exit_failed_instruction(struct vp *v, enum emu_result result, struct refusal *why)
{
	switch (result) {
	case EMU_FAULT: return vp_inject(v, &v->emu.fault, why);
	case EMU_LOST:
		return refuse(why, -EFAULT, "memory of the guest's is not mapped in this program");
	default: return exit_unknown_instruction(v);
	}
}

static long exit_unknown_message(struct vp *v)
{
	v->run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	v->run->internal.suberror = KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON;
	v->run->internal.ndata = 1;
	v->run->internal.data[0] = v->message.type;
	return 1;
}

static long exit_plain(struct vp *v, u32 reason)
{
	v->run->exit_reason = reason;
	return 1;
}

/* The number with which VT-x refuses a state of the guest (SDM 3: appendix C). */
#define INVALID_GUEST_STATE 0x80000021

static long exit_refused(struct vp *v)
{
	v->run->fail_entry.hardware_entry_failure_reason = INVALID_GUEST_STATE;
	v->run->fail_entry.cpu = v->index;
	return exit_plain(v, KVM_EXIT_FAIL_ENTRY);
}

/* HLT is over when its exit is shown. */
static long exit_halt(struct vp *v, struct refusal *why)
{
	long r = vp_load(v, &v->emu.regs, why);

	if (r < 0)
		return r;
	v->emu.regs.rip = header_of(v)->rip + (header_of(v)->length_cr8 & 15);
	r = access_end(v, true, why);
	return r < 0 ? r : exit_plain(v, KVM_EXIT_HLT);
}

static long serve(struct vp *v, struct refusal *why)
{
	switch (v->message.type) {
	case HVMSG_X64_IO_PORT_INTERCEPT: return io_intercept(v, why);
	case HVMSG_UNMAPPED_GPA:
	case HVMSG_GPA_INTERCEPT: return mmio_intercept(v, why);
	case HVMSG_X64_APIC_EOI:
		chips_eoi(v->p, ((struct hv_apic_eoi_message *)v->message.payload)->vector);
		return 0;
	case HVMSG_X64_INTERRUPTION_DELIVERABLE: events_deliverable(v); return 0;
	case HVMSG_X64_EXCEPTION_INTERCEPT: return debug_intercept(v, why);
	case HVMSG_X64_HALT: return exit_halt(v, why);
	case HVMSG_UNRECOVERABLE_EXCEPTION: return exit_plain(v, KVM_EXIT_SHUTDOWN);
	case HVMSG_INVALID_VP_REGISTER_VALUE: return exit_refused(v);
	default: return exit_unknown_message(v);
	}
}

/* ---- the last exit ---- */

/* If the program has moved the guest elsewhere, nothing is owed to the instruction that was there. */
static bool moved(struct vp *v)
{
	struct emu_regs regs;
	struct refusal unsaid;

	return vp_load(v, &regs, &unsaid) >= 0 && regs.rip != header_of(v)->rip;
}

static long take_answer(struct vp *v, struct refusal *why)
{
	const enum awaits awaits = v->awaits;

	v->awaits = AWAITS_NONE;
	switch (awaits) {
	case AWAITS_IO: return moved(v) ? 0 : io_complete(v, why);
	case AWAITS_MMIO_READ: return moved(v) ? 0 : mmio_take_read(v, why);
	case AWAITS_MMIO_WRITE: return mmio_take_write(v);
	default: return 0;
	}
}

/* ---- between them ---- */

/* A signal may end it when the message is there already. */
static long enter(struct vp *v, struct refusal *why)
{
	struct mshv *m = v->p->mshv;
	long r;

	if (!v->has_mask)
		return mshv_ioctl(m, v->fd, MSHV_RUN_VP, &v->message, why);
	v->message.type = 0;
	r = m->port->run(
		m->port_state, v->fd, MSHV_RUN_VP, (unsigned long)&v->message, v->mask, why);
	return r == -EINTR && v->message.type ? 0 : r;
}

/* The boot processor is who gets the PIC's interrupts. */
static long enter_with_pic(struct vp *v, struct refusal *why)
{
	long r;

	if (v->index || !v->p->chips.present)
		return enter(v, why);
	chips_run_begins(v->p);
	r = enter(v, why);
	chips_run_ends(v->p);
	return r;
}

static long turn(struct vp *v, struct refusal *why)
{
	long r = debug_before_run(v, why);

	if (!r)
		r = events_before_run(v, why);
	if (r)
		return r;
	r = enter_with_pic(v, why);
	if (unlikely(v->debug.control))
		debug_after_run(v);
	return r < 0 ? r : serve(v, why);
}

long vp_serve_run(struct vp *v, struct refusal *why)
{
	long r = take_answer(v, why);

	if (!r)
		r = events_take_cr8(v, why);
	while (!r)
		r = turn(v, why);
	events_show(v);
	return MIN(r, 0);
}

long serve_set_signal_mask(struct ask *c)
{
	struct kvm_signal_mask mask;

	c->v->has_mask = c->arg != NULL;
	if (!c->arg)
		return 0;
	memcpy(&mask, c->arg, sizeof(mask));
	if (mask.len != sizeof(c->v->mask))
		return refuse(c->why, -EINVAL,
			"len %lu: must be 8, the size of the kernel's signal sets", (u64)mask.len);
	memcpy(&c->v->mask, (u8 *)c->arg + sizeof(mask), sizeof(c->v->mask));
	return 0;
}
