/* SPDX-License-Identifier: MIT */
/*
 * Each exit of the engine's is one message (TLFS, section on intercepts). With OPT_INTERCEPTS the exit has left in front of
 * the instruction, as a message says it.
 */
#include "abi/mshv/message.h"

#include <string.h>

#include "abi/mshv/intercept.h"
#include "abi/mshv/register.h"

/* ---- the common part ---- */

#define FLAG_IF(condition, bit) ((condition) ? (bit) : 0)

static u16 execution_state(const struct intercept *f)
{
	const struct vcpu_view *s = f->look;
	u32 cpl = s->cr0 & CR0_PE ? SEG_DPL(s->seg[SEG_SS].attr) : 0;

	if ((s->cr0 & CR0_PE) && (s->rflags & FL_VM))
		cpl = 3;
	return (u16)(cpl | FLAG_IF(s->cr0 & CR0_PE, HV_EXEC_CR0_PE) |
		     FLAG_IF(s->cr0 & CR0_AM, HV_EXEC_CR0_AM) |
		     FLAG_IF(s->efer & EFER_LMA, HV_EXEC_EFER_LMA) |
		     FLAG_IF(s->dr7 & 0xff, HV_EXEC_DEBUG) |
		     FLAG_IF(f->pending_interruption, HV_EXEC_INTERRUPTION) |
		     FLAG_IF(s->shadow, HV_EXEC_SHADOW));
}

void message_header(const struct intercept *f, struct hv_intercept_header *h, u8 access)
{
	const struct vcpu_view *s = f->look;

	h->vp_index = f->vp->index;
	h->length_cr8 = (u8)((f->insn->len & 15) | s->cr8 << 4);
	h->access = access;
	h->execution_state = execution_state(f);
	h->cs = segment_out(&s->seg[SEG_CS]);
	h->rip = s->rip;
	h->rflags = s->rflags;
}

/* The count. */
u8 message_bytes(const struct intercept *f, u8 *bytes)
{
	memcpy(bytes, f->insn->bytes, HV_INSTRUCTION_BYTES);
	return f->insn->count;
}

void *message_begin(struct hv_message *m, u32 type, size_t bytes)
{
	m->type = type;
	m->len = (u8)bytes;
	return m->payload;
}

/* ---- port I/O ---- */

static void io_message(const struct intercept *f, struct hv_message *m)
{
	struct hv_io_port_message *p =
		MESSAGE(m, HVMSG_X64_IO_PORT_INTERCEPT, struct hv_io_port_message);
	bool out = f->exit->reason == EXIT_IO_OUT;

	message_header(f, &p->header, out ? HV_INTERCEPT_WRITE : HV_INTERCEPT_READ);
	p->port = f->exit->io.port;
	p->access_info = (u8)(f->exit->io.size | FLAG_IF(f->exit->io.string, HV_IO_STRING) |
			      FLAG_IF(f->exit->io.rep, HV_IO_REP));
	p->byte_count = message_bytes(f, p->bytes);
	p->rax = f->look->gpr[RAX];
	p->ds = segment_out(&f->look->seg[SEG_DS]);
	p->es = segment_out(&f->look->seg[SEG_ES]);
	p->rcx = f->look->gpr[RCX];
	p->rsi = f->look->gpr[RSI];
	p->rdi = f->look->gpr[RDI];
}

/* ---- memory ---- */

static u8 memory_access(const struct exit *x)
{
	if (x->reason == EXIT_MMIO_FETCH)
		return HV_INTERCEPT_EXECUTE;
	return x->reason == EXIT_MMIO_WRITE || x->mmio.rmw ? HV_INTERCEPT_WRITE : HV_INTERCEPT_READ;
}

static u8 gva_info(const struct exit *x)
{
	if (!x->mmio.gva_valid)
		return 0;
	return HV_MEMORY_GVA_VALID | FLAG_IF(!x->mmio.walk, HV_MEMORY_GVA_GPA_VALID);
}

static void memory_message(const struct intercept *f, struct hv_message *m)
{
	bool is_memory = f->exit->mmio.denied; /* which is another message than none at all */
	struct hv_memory_message *p = MESSAGE(
		m, is_memory ? HVMSG_GPA_INTERCEPT : HVMSG_UNMAPPED_GPA, struct hv_memory_message);

	message_header(f, &p->header, memory_access(f->exit));
	p->cache_type = is_memory ? HV_CACHE_WB : HV_CACHE_UC;
	p->byte_count = message_bytes(f, p->bytes);
	p->access_info = gva_info(f->exit);
	p->tpr_priority = (u8)f->look->cr8;
	p->gva = f->exit->mmio.gva;
	p->gpa = f->exit->mmio.gpa;
}

/* The caller has taken the memory of a region away, or protected it. */
static void fault_message(const struct intercept *f, struct hv_message *m)
{
	struct hv_memory_message *p = MESSAGE(m, HVMSG_GPA_INTERCEPT, struct hv_memory_message);

	message_header(f, &p->header, HV_INTERCEPT_READ);
	p->cache_type = HV_CACHE_WB;
	p->byte_count = message_bytes(f, p->bytes);
	p->gpa = f->exit->fault.gpa;
}

/* ---- the rest ---- */

/* RIP is behind the instruction that ended the interrupt. */
static void eoi_message(const struct intercept *f, struct hv_message *m)
{
	struct hv_apic_eoi_message *p = MESSAGE(m, HVMSG_X64_APIC_EOI, struct hv_apic_eoi_message);

	p->vp_index = f->vp->index;
	p->vector = f->exit->vector;
}

static void header_message(const struct intercept *f, u32 type, u8 access, struct hv_message *m)
{
	message_header(f, MESSAGE(m, type, struct hv_intercept_header), access);
}

static void halt_message(const struct intercept *f, struct hv_message *m)
{
	header_message(f, HVMSG_X64_HALT, HV_INTERCEPT_EXECUTE, m);
}

/* A triple fault, or an instruction that cannot be executed. */
static void unrecoverable_message(const struct intercept *f, struct hv_message *m)
{
	header_message(f, HVMSG_UNRECOVERABLE_EXCEPTION, HV_INTERCEPT_EXECUTE, m);
}

/* What was asked for is told once. */
static void deliverable_message(const struct intercept *f, struct hv_message *m)
{
	bool nmi = f->exit->reason == EXIT_NMI_WINDOW;
	struct hv_deliverable_message *p =
		MESSAGE(m, HVMSG_X64_INTERRUPTION_DELIVERABLE, struct hv_deliverable_message);

	message_header(f, &p->header, HV_INTERCEPT_EXECUTE);
	p->type = nmi ? HV_PENDING_NMI : HV_PENDING_EXTINT;
	notify_set(f->vp, f->vp->notify & (nmi ? ~HV_NOTIFY_NMI : HV_NOTIFY_NMI));
}

static void sint_message(const struct intercept *f, struct hv_message *m)
{
	struct hv_sint_deliverable_message *p =
		MESSAGE(m, HVMSG_SYNIC_SINT_DELIVERABLE, struct hv_sint_deliverable_message);

	message_header(f, &p->header, HV_INTERCEPT_EXECUTE);
	p->sints = f->exit->sints;
}

static void (*const makers[EXIT_COUNT])(const struct intercept *f, struct hv_message *m) = {
	[EXIT_IO_IN] = io_message,
	[EXIT_IO_OUT] = io_message,
	[EXIT_MMIO_READ] = memory_message,
	[EXIT_MMIO_WRITE] = memory_message,
	[EXIT_MMIO_FETCH] = memory_message,
	[EXIT_MEMORY_FAULT] = fault_message,
	[EXIT_HLT] = halt_message,
	[EXIT_SHUTDOWN] = unrecoverable_message,
	[EXIT_TAP] = unrecoverable_message, /* a tool has ended it */
	[EXIT_INTERNAL_ERROR] = unrecoverable_message,
	[EXIT_IRQ_WINDOW] = deliverable_message,
	[EXIT_NMI_WINDOW] = deliverable_message,
	[EXIT_IOAPIC_EOI] = eoi_message,
	[EXIT_SINT_READY] = sint_message,
	[EXIT_RDMSR] = msr_message,
	[EXIT_WRMSR] = msr_message,
	[EXIT_HYPERV] = hypercall_message,
	[EXIT_INTERCEPT] = processor_message,
};

bool message_make(const struct intercept *f, struct hv_message *ret)
{
	u32 reason = f->exit->reason;

	if (reason >= EXIT_COUNT || !makers[reason])
		return false;
	makers[reason](f, ret);
	return ret->type;
}

void message_invalid_registers(const struct mshv_vp *v, struct hv_message *ret)
{
	MESSAGE(ret, HVMSG_INVALID_VP_REGISTER_VALUE, struct hv_invalid_register_message)
		->vp_index = v->index;
}
