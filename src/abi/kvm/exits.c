/* SPDX-License-Identifier: MIT */
/*
 * The engine's exits as kvm_run shows them, and the caller's answers in it. What an answer belongs to is taken from
 * the engine's exit, because the caller may scribble on kvm_run at any time.
 */
#include <errno.h>
#include <string.h>

#include "abi/kvm/run.h"

/* ---- the answer to the previous exit ---- */

static u8 *pio_page(struct kvm_vcpu *v)
{
	return (u8 *)v->run + PIO_OFFSET;
}

static size_t io_bytes(const struct exit *e)
{
	return MIN((size_t)e->io.count * e->io.size, (size_t)EXIT_IO_DATA_MAX);
}

void exit_take_answer(struct kvm_vcpu *v)
{
	struct exit *e = vcpu_exit(v->cpu);
	const struct kvm_run *run = v->run;

	switch (e->reason) {
	case EXIT_IO_IN: memcpy(e->io.data, pio_page(v), io_bytes(e)); break;
	case EXIT_MMIO_READ: memcpy(e->mmio.data, run->mmio.data, sizeof(e->mmio.data)); break;
	case EXIT_RDMSR: e->msr.data = run->msr.data; /* fall through */
	case EXIT_WRMSR: e->msr.error = run->msr.error; break;
	case EXIT_HYPERCALL: e->hypercall.ret = run->hypercall.ret; break;
	case EXIT_HYPERV:
		e->hyperv.result = e->hyperv.kind == HYPERV_CALL ? run->hyperv.u.hcall.result
								 : run->hyperv.u.syndbg.status;
		break;
	case EXIT_XEN: e->xen.result = run->xen.u.hcall.result; break;
	default: break;
	}
}

/* ---- an exit becomes kvm_run ---- */

/*
 * For all but the quickest exits, which write all their fields: what another exit has left is nobody's answer. (The
 * caller could read it before; what it is must not be taken for part of this one.)
 */
static struct kvm_run *show_begin(struct kvm_vcpu *v, u32 reason)
{
	memset(v->run->padding, 0, sizeof(v->run->padding));
	v->run->exit_reason = reason;
	return v->run;
}

static int show_io(struct kvm_vcpu *v, const struct exit *e)
{
	struct kvm_run *run = v->run;

	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = e->reason == EXIT_IO_OUT ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN;
	run->io.size = e->io.size;
	run->io.port = e->io.port;
	run->io.count = e->io.count;
	run->io.data_offset = PIO_OFFSET;
	if (e->reason == EXIT_IO_OUT)
		memcpy(pio_page(v), e->io.data, io_bytes(e));
	else /* who knows no such port may leave it so: what was there is no answer */
		memset(pio_page(v), 0, io_bytes(e));
	return 0;
}

static int show_mmio(struct kvm_vcpu *v, const struct exit *e)
{
	struct kvm_run *run = v->run;

	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = e->mmio.gpa;
	run->mmio.len = e->mmio.len;
	run->mmio.is_write = e->reason == EXIT_MMIO_WRITE;
	/* Of a read it is 0: who does not know the address may leave it so. */
	memcpy(run->mmio.data, e->mmio.data, sizeof(run->mmio.data));
	return 0;
}

static int show_hlt(struct kvm_vcpu *v, const struct exit *e)
{
	v->run->exit_reason = KVM_EXIT_HLT;
	return 0;
}

static int show_shutdown(struct kvm_vcpu *v, const struct exit *e)
{
	v->run->exit_reason = KVM_EXIT_SHUTDOWN;
	return 0;
}

static int show_intr(struct kvm_vcpu *v, const struct exit *e)
{
	v->run->exit_reason = KVM_EXIT_INTR;
	return -EINTR;
}

static int show_irq_window(struct kvm_vcpu *v, const struct exit *e)
{
	v->run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
	return 0;
}

static int show_msr(struct kvm_vcpu *v, const struct exit *e)
{
	struct kvm_run *run =
		show_begin(v, e->reason == EXIT_RDMSR ? KVM_EXIT_X86_RDMSR : KVM_EXIT_X86_WRMSR);

	run->msr.reason = e->msr.why;
	run->msr.index = e->msr.index;
	run->msr.data = e->msr.data;
	return 0;
}

static int show_debug(struct kvm_vcpu *v, const struct exit *e)
{
	show_begin(v, KVM_EXIT_DEBUG)->debug.arch = (struct kvm_debug_exit_arch){
		.exception = e->debug.vector,
		.pc = e->debug.rip,
		.dr6 = e->debug.dr6,
		.dr7 = e->debug.dr7,
	};
	return 0;
}

/* ndata counts 64-bit words: the flags, and 16 bytes of length and instruction. */
static int show_internal_error(struct kvm_vcpu *v, const struct exit *e)
{
	struct kvm_run *run = show_begin(v, KVM_EXIT_INTERNAL_ERROR);

	run->emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
	run->emulation_failure.ndata = e->insn.len ? 3 : 1;
	if (!e->insn.len)
		return 0;
	run->emulation_failure.flags = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
	run->emulation_failure.insn_size = e->insn.len;
	memcpy(run->emulation_failure.insn_bytes, e->insn.bytes, sizeof(e->insn.bytes));
	return 0;
}

static int show_memory_fault(struct kvm_vcpu *v, const struct exit *e)
{
	struct kvm_run_memory_fault *f = (void *)&show_begin(v, KVM_EXIT_MEMORY_FAULT)->hw;

	*f = (struct kvm_run_memory_fault){
		.flags = e->fault.private ? KVM_MEMORY_EXIT_FLAG_PRIVATE : 0,
		.gpa = e->fault.gpa,
		.size = e->fault.size,
	};
	return -EFAULT;
}

static int show_ring_full(struct kvm_vcpu *v, const struct exit *e)
{
	v->run->exit_reason = KVM_EXIT_DIRTY_RING_FULL;
	return 0;
}

static int show_hypercall(struct kvm_vcpu *v, const struct exit *e)
{
	struct kvm_run *run = show_begin(v, KVM_EXIT_HYPERCALL);

	run->hypercall.nr = e->hypercall.nr;
	memcpy(run->hypercall.args, e->hypercall.args, sizeof(run->hypercall.args));
	run->hypercall.longmode = e->hypercall.long_mode;
	return 0;
}

static int show_eoi(struct kvm_vcpu *v, const struct exit *e)
{
	show_begin(v, KVM_EXIT_IOAPIC_EOI)->eoi.vector = e->vector;
	return 0;
}

static int show_system_event(struct kvm_vcpu *v, const struct exit *e)
{
	struct kvm_run *run = show_begin(v, KVM_EXIT_SYSTEM_EVENT);
	u32 i, n = MIN(e->event.ndata, (u32)ARRAY_SIZE(e->event.data));

	run->system_event.type = e->event.type;
	run->system_event.ndata = n;
	for (i = 0; i < n; i++)
		run->system_event.data[i] = e->event.data[i];
	return 0;
}

static int show_tpr_access(struct kvm_vcpu *v, const struct exit *e)
{
	show_begin(v, KVM_EXIT_TPR_ACCESS)->tpr_access.rip = e->tpr.rip;
	v->run->tpr_access.is_write = e->tpr.is_write;
	return 0;
}

static int show_set_tpr(struct kvm_vcpu *v, const struct exit *e)
{
	v->run->exit_reason = KVM_EXIT_SET_TPR;
	return 0;
}

static void show_hyperv_fields(struct kvm_hyperv_exit *h, const struct exit *e)
{
	const u64 *arg = e->hyperv.arg;

	switch (e->hyperv.kind) {
	case HYPERV_CALL:
		h->u.hcall.input = arg[0];
		h->u.hcall.params[0] = arg[1];
		h->u.hcall.params[1] = arg[2];
		break;
	case HYPERV_SYNIC:
		h->u.synic.msr = e->hyperv.msr;
		h->u.synic.control = arg[0];
		h->u.synic.evt_page = arg[1];
		h->u.synic.msg_page = arg[2];
		break;
	default:
		h->u.syndbg.msr = e->hyperv.msr;
		h->u.syndbg.control = arg[0];
		h->u.syndbg.status = arg[1];
		h->u.syndbg.send_page = arg[2];
		h->u.syndbg.recv_page = arg[3];
		h->u.syndbg.pending_page = arg[4];
	}
}

_Static_assert(KVM_EXIT_HYPERV_SYNIC == HYPERV_SYNIC && KVM_EXIT_HYPERV_HCALL == HYPERV_CALL &&
		       KVM_EXIT_HYPERV_SYNDBG == HYPERV_SYNDBG &&
		       KVM_SYSTEM_EVENT_RESET == EVENT_RESET &&
		       KVM_SYSTEM_EVENT_CRASH == EVENT_CRASH,
	"these pass through");

static int show_hyperv(struct kvm_vcpu *v, const struct exit *e)
{
	struct kvm_run *run = show_begin(v, KVM_EXIT_HYPERV);

	run->hyperv.type = e->hyperv.kind;
	show_hyperv_fields(&run->hyperv, e);
	return 0;
}

static int show_xen(struct kvm_vcpu *v, const struct exit *e)
{
	struct kvm_run *run = show_begin(v, KVM_EXIT_XEN);

	run->xen.type = KVM_EXIT_XEN_HCALL;
	run->xen.u.hcall.longmode = e->xen.long_mode;
	run->xen.u.hcall.cpl = e->xen.cpl;
	run->xen.u.hcall.input = e->xen.nr;
	memcpy(run->xen.u.hcall.params, e->xen.args, sizeof(e->xen.args));
	return 0;
}

static int show_unknown(struct kvm_vcpu *v, const struct exit *e)
{
	show_begin(v, KVM_EXIT_UNKNOWN)->hw.hardware_exit_reason = e->reason;
	return 0;
}

/* The tool that looks into the vm has ended it: as if the guest itself had crashed, which VMMs know. */
static int show_crashed(struct kvm_vcpu *v, const struct exit *e)
{
	(void)e;
	show_begin(v, KVM_EXIT_SYSTEM_EVENT)->system_event.type = KVM_SYSTEM_EVENT_CRASH;
	return 0;
}

/* What KVM_RUN returns beside showing it. */
static int (*const show_exit[EXIT_COUNT])(struct kvm_vcpu *v, const struct exit *e) = {
	[EXIT_NONE] = show_unknown,
	[EXIT_TAP] = show_crashed,
	[EXIT_IO_IN] = show_io,
	[EXIT_IO_OUT] = show_io,
	[EXIT_MMIO_READ] = show_mmio,
	[EXIT_MMIO_WRITE] = show_mmio,
	[EXIT_HLT] = show_hlt,
	[EXIT_SHUTDOWN] = show_shutdown,
	[EXIT_INTR] = show_intr,
	[EXIT_IRQ_WINDOW] = show_irq_window,
	[EXIT_RDMSR] = show_msr,
	[EXIT_WRMSR] = show_msr,
	[EXIT_DEBUG] = show_debug,
	[EXIT_INTERNAL_ERROR] = show_internal_error,
	[EXIT_MEMORY_FAULT] = show_memory_fault,
	[EXIT_DIRTY_RING_FULL] = show_ring_full,
	[EXIT_HYPERCALL] = show_hypercall,
	[EXIT_IOAPIC_EOI] = show_eoi,
	[EXIT_SYSTEM_EVENT] = show_system_event,
	[EXIT_TPR_ACCESS] = show_tpr_access,
	[EXIT_SET_TPR] = show_set_tpr,
	[EXIT_HYPERV] = show_hyperv,
	[EXIT_XEN] = show_xen,
};

/* A state that no processor can be in: "invalid guest state" in VMX's words (SDM 3:26.8). */
static int show_fail_entry(struct kvm_vcpu *v)
{
	show_begin(v, KVM_EXIT_FAIL_ENTRY)->fail_entry.hardware_entry_failure_reason = 0x80000021;
	return 0;
}

int exit_show(struct kvm_vcpu *v, int r)
{
	const struct exit *e = vcpu_exit(v->cpu);

	if (r == -EINVAL)
		return show_fail_entry(v);
	if (r)
		return r;
	return e->reason < EXIT_COUNT ? show_exit[e->reason](v, e) : show_unknown(v, e);
}
