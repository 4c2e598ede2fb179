/* SPDX-License-Identifier: MIT */
/*
 * Delivery of exceptions, interrupts and INT instructions (SDM 3:6).
 *
 * deliver() is one attempt: it reads the gate, checks, pushes the frame, and then commits cs, ss,
 * rsp, rflags and next_rip together, or returns a fault with nothing changed. The return address
 * that it pushes is cpu->next_rip. 64-bit mode has its own straight path (deliver_long) because
 * guests pass it for every interrupt and page fault.
 */
#include "engine/cpu/transfer.h"

struct event {
	u8 vector;
	bool soft; /* INT n, INT3, INTO: the gate's DPL is checked, and error codes have no EXT */
	bool has_error;
	u32 error;
	u64 flags; /* the image to push */
};

/* Error code that names an IDT entry, SDM 3:6.13. */
static u32 idt_error(u8 vector)
{
	return vector * 8u + 2;
}

/* The checks on a gate after its type; its DPL and P bit are where descriptors have them. */
static int gate_check(struct cpu *cpu, const struct event *ev, u64 gate)
{
	if (ev->soft && DESC_DPL(gate) < cpu->cpl)
		return cpu_raise_err(cpu, X86_GP, idt_error(ev->vector));
	if (!(gate & DESC_P))
		return cpu_raise_err(cpu, X86_NP, idt_error(ev->vector));
	return CPU_OK;
}

/* Bits 0-31 of the offset; the same in all gates but the 16-bit ones, whose upper half is unused. */
static u32 gate_offset(u64 gate)
{
	return (u32)(gate & 0xffff) | (u32)(gate >> 32 & 0xffff0000);
}

static void enter_handler_flags(struct cpu *cpu, bool interrupt_gate)
{
	cpu->rflags &= ~(FL_TF | FL_NT | FL_RF | FL_VM | (interrupt_gate ? FL_IF : 0));
}

/* ---- 64-bit gates, SDM 3:6.14 ---- */

static int read_long_gate(struct cpu *cpu, const struct event *ev, u64 gate[2])
{
	unsigned off = ev->vector * 16u;
	int r;

	if (off + 15 > cpu->idt.limit)
		return cpu_raise_err(cpu, X86_GP, idt_error(ev->vector));
	r = mem_read(cpu, cpu->idt.base + off, gate, 16, ACC_SYSTEM);
	if (r)
		return r;
	/* Interrupt gate 14 or trap gate 15, S clear. */
	if ((gate[0] & (DESC_S | 0xeull << 40)) != 0xeull << 40)
		return cpu_raise_err(cpu, X86_GP, idt_error(ev->vector));
	return gate_check(cpu, ev, gate[0]);
}

/* Where the frame goes: an IST entry, the inner level's stack, or the present one. */
static int long_stack(struct cpu *cpu, unsigned ist, unsigned cpl, u64 *rsp)
{
	*rsp = cpu->gpr[RSP];
	if (ist)
		return tss_stack_long(cpu, TSS64_IST(ist), rsp);
	if (cpl != cpu->cpl)
		return tss_stack_long(cpu, TSS64_RSP(cpl), rsp);
	return CPU_OK;
}

/* The frame is written at once: all of it or nothing. */
static int push_long_frame(struct cpu *cpu, const struct event *ev, unsigned cpl, u64 *rsp)
{
	u64 frame[6] = {ev->error, cpu->next_rip, cpu->seg[SEG_CS].selector, ev->flags,
		cpu->gpr[RSP], cpu->seg[SEG_SS].selector};
	unsigned skip = ev->has_error ? 0 : 1;
	unsigned len = 48 - 8 * skip;
	u64 top = *rsp & ~15ull;
	unsigned acc = ACC_WRITE | (cpl != cpu->cpl ? ACC_SYSTEM : 0);

	if (!cpu_canonical(cpu, top - len) || !cpu_canonical(cpu, top - 1))
		return cpu_raise_err(cpu, X86_SS, 0);
	*rsp = top - len;
	return mem_write(cpu, *rsp, frame + skip, len, acc);
}

static int deliver_long(struct cpu *cpu, const struct event *ev)
{
	u64 gate[2], code[2], rsp, rip;
	unsigned cpl;
	u16 selector;
	int r;

	r = read_long_gate(cpu, ev, gate);
	if (r)
		return r;
	selector = (u16)(gate[0] >> 16);
	r = gate_code_read(cpu, selector, code);
	if (r)
		return r;
	cpl = gate_new_cpl(cpu, code[0]);
	r = long_stack(cpu, gate[0] >> 32 & 7, cpl, &rsp);
	if (r)
		return r;
	rip = gate_offset(gate[0]) | gate[1] << 32;
	if (!cpu_canonical(cpu, rip))
		return cpu_gp0(cpu);
	r = descriptor_set(cpu, selector, &code[0], 1);
	if (!r)
		r = push_long_frame(cpu, ev, cpl, &rsp);
	if (r)
		return r;

	segment_from_descriptor(&cpu->seg[SEG_CS], (u16)((selector & ~3) | cpl), code);
	if (cpl != cpu->cpl)
		segment_set_null(&cpu->seg[SEG_SS], (u16)cpl, cpl);
	cpu->gpr[RSP] = rsp;
	cpu->next_rip = rip;
	enter_handler_flags(cpu, !(gate[0] & BIT64(40)));
	cpu_update_mode(cpu);
	return CPU_OK;
}

/* ---- 16- and 32-bit gates, SDM 3:6.12 ---- */

static int read_legacy_gate(struct cpu *cpu, const struct event *ev, u64 *gate)
{
	const unsigned known = BIT(SYS_TASK_GATE) | BIT(SYS_INT16) | BIT(SYS_TRAP16) |
			       BIT(SYS_INT32) | BIT(SYS_TRAP32);
	unsigned off = ev->vector * 8u;
	int r;

	if (off + 7 > cpu->idt.limit)
		return cpu_raise_err(cpu, X86_GP, idt_error(ev->vector));
	r = mem_read(cpu, (u32)(cpu->idt.base + off), gate, 8, ACC_SYSTEM);
	if (r)
		return r;
	if ((*gate & DESC_S) || !(BIT(DESC_TYPE(*gate)) & known))
		return cpu_raise_err(cpu, X86_GP, idt_error(ev->vector));
	return gate_check(cpu, ev, *gate);
}

/* What is pushed, first to last, on a stack of another level (SDM 3:6.12.1, 3:20.3.1). */
static unsigned inner_frame(const struct cpu *cpu, const struct event *ev, u64 v[10])
{
	static const u8 v86_data[] = {SEG_GS, SEG_FS, SEG_DS, SEG_ES};
	unsigned n = 0;

	if (cpu_v86(cpu))
		for (unsigned i = 0; i < ARRAY_SIZE(v86_data); i++)
			v[n++] = cpu->seg[v86_data[i]].selector;
	v[n++] = cpu->seg[SEG_SS].selector;
	v[n++] = cpu->gpr[RSP];
	v[n++] = ev->flags;
	v[n++] = cpu->seg[SEG_CS].selector;
	v[n++] = cpu->next_rip;
	if (ev->has_error)
		v[n++] = ev->error;
	return n;
}

static unsigned same_frame(const struct cpu *cpu, const struct event *ev, u64 v[4])
{
	v[0] = ev->flags;
	v[1] = cpu->seg[SEG_CS].selector;
	v[2] = cpu->next_rip;
	v[3] = ev->error;
	return ev->has_error ? 4 : 3;
}

/* Choose the stack and push the frame. ss is the new SS if cpl differs from the present level. */
static int push_legacy_frame(struct cpu *cpu, const struct event *ev, unsigned cpl, unsigned size,
	struct segment *ss, struct stack *s)
{
	u64 v[10];
	int r;

	if (cpl == cpu->cpl) {
		stack_begin(cpu, s);
		return stack_push_all(cpu, s, v, same_frame(cpu, ev, v), size);
	}
	r = tss_stack_legacy(cpu, cpl, ss, s);
	if (r)
		return r;
	return stack_push_all(cpu, s, v, inner_frame(cpu, ev, v), size);
}

static void leave_v86(struct cpu *cpu)
{
	static const u8 data[] = {SEG_GS, SEG_FS, SEG_DS, SEG_ES};

	for (unsigned i = 0; i < ARRAY_SIZE(data); i++)
		segment_set_null(&cpu->seg[data[i]], 0, 0);
}

static int deliver_legacy_gate(struct cpu *cpu, const struct event *ev, u64 gate)
{
	unsigned size = DESC_TYPE(gate) & 8 ? 4 : 2;
	u16 selector = (u16)(gate >> 16);
	u32 eip = size == 4 ? gate_offset(gate) : (u16)gate;
	struct segment cs, ss;
	struct stack s;
	u64 code[2];
	unsigned cpl;
	int r;

	r = gate_code_read(cpu, selector, code);
	if (r)
		return r;
	cpl = gate_new_cpl(cpu, code[0]);
	/* A handler of a virtual-8086 task runs at level 0 or not at all. */
	if (cpu_v86(cpu) && cpl != 0)
		return cpu_raise_err(cpu, X86_GP, SEL_ERR(selector));
	segment_from_descriptor(&cs, (u16)((selector & ~3) | cpl), code);
	if (eip > cs.limit)
		return cpu_gp0(cpu);
	r = descriptor_set(cpu, selector, &code[0], 1);
	if (!r)
		r = push_legacy_frame(cpu, ev, cpl, size, &ss, &s);
	if (r)
		return r;

	cs.attr |= DESC_ACCESSED >> 40;
	cpu->seg[SEG_CS] = cs;
	if (cpl != cpu->cpl)
		cpu->seg[SEG_SS] = ss;
	if (cpu_v86(cpu))
		leave_v86(cpu);
	stack_commit(cpu, &s);
	cpu->next_rip = eip;
	enter_handler_flags(cpu, !(gate & BIT64(40)));
	cpu_update_mode(cpu);
	return CPU_OK;
}

static int deliver_protected(struct cpu *cpu, const struct event *ev)
{
	u64 gate, flags;
	int r = read_legacy_gate(cpu, ev, &gate);

	if (r)
		return r;
	if (DESC_TYPE(gate) != SYS_TASK_GATE)
		return deliver_legacy_gate(cpu, ev, gate);

	/* The task switch saves EFLAGS in the old TSS: with the RF of this event. */
	flags = cpu->rflags;
	cpu->rflags = ev->flags;
	r = task_switch(cpu, (u16)(gate >> 16), TASK_GATE, ev->has_error, ev->error);
	if (r && cpu->rflags == ev->flags)
		cpu->rflags = flags;
	return r;
}

/* ---- interrupt vector table: real mode, and redirection in virtual-8086 mode ---- */

static int deliver_ivt(struct cpu *cpu, u8 vector, u64 table, u32 limit, u64 flags, u64 clear)
{
	unsigned off = vector * 4u;
	struct stack s;
	u64 entry;
	u64 v[3] = {flags, cpu->seg[SEG_CS].selector, cpu->next_rip};
	int r;

	if (off + 3 > limit)
		return cpu_raise_err(cpu, X86_GP, idt_error(vector));
	r = mem_read_u64(cpu, (u32)(table + off), &entry, 4, ACC_SYSTEM);
	if (r)
		return r;
	stack_begin(cpu, &s);
	r = stack_push_all(cpu, &s, v, 3, 2);
	if (r)
		return r;
	stack_commit(cpu, &s);
	segment_set_real(&cpu->seg[SEG_CS], (u16)(entry >> 16));
	cpu->next_rip = (u16)entry;
	cpu->rflags &= ~(clear | FL_TF | FL_RF);
	cpu_update_mode(cpu);
	return CPU_OK;
}

static int deliver_real(struct cpu *cpu, const struct event *ev)
{
	return deliver_ivt(
		cpu, ev->vector, cpu->idt.base, cpu->idt.limit, ev->flags, FL_IF | FL_AC);
}

static int deliver(struct cpu *cpu, const struct event *ev)
{
	int r;

	if (likely(cpu_long_mode(cpu)))
		r = deliver_long(cpu, ev);
	else if (cpu_protected(cpu))
		r = deliver_protected(cpu, ev);
	else
		r = deliver_real(cpu, ev);
	/* EXT: the fault was met while delivering an event that the program did not ask for. */
	if (r == CPU_FAULT && !ev->soft && cpu->exc.has_error && cpu->exc.vector != X86_PF)
		cpu->exc.error |= 1;
	return r;
}

/* ---- exceptions, SDM 3:6.15 ---- */

/* Those whose saved rip is the instruction, and that set RF in the image (SDM 3:17.3.1.1). */
static bool is_fault_class(u8 vector)
{
	const u32 others =
		BIT(X86_DB) | BIT(X86_NMI) | BIT(X86_BP) | BIT(X86_OF) | BIT(X86_DF) | BIT(X86_MC);

	return vector < 32 && !(others & BIT(vector));
}

static bool is_contributory(u8 vector)
{
	const u32 set = BIT(X86_DE) | BIT(X86_TS) | BIT(X86_NP) | BIT(X86_SS) | BIT(X86_GP);

	return vector < 32 && (set & BIT(vector));
}

/* SDM 3:6.15 table 6-5. */
static bool makes_double_fault(u8 first, u8 second)
{
	if (first == X86_PF)
		return second == X86_PF || is_contributory(second);
	return is_contributory(first) && is_contributory(second);
}

/* Effects on control and debug registers that come before delivery (SDM 3:17.2.3, 3:17.2.4). */
static void apply_payload(struct cpu *cpu, const struct exception *exc)
{
	if (exc->vector == X86_PF)
		cpu->cr2 = exc->cr2;
	if (exc->vector == X86_DB) {
		cpu->dr[6] = (cpu->dr[6] & ~15ull) | exc->dr6;
		cpu->dr[7] &= ~DR7_GD;
	}
}

static int debug_exit(struct cpu *cpu, u8 vector, u64 dr6)
{
	bool own = cpu->debug_flags & DBG_HW_BP;

	cpu->exit = (struct exit){.reason = EXIT_DEBUG};
	cpu->exit.debug.vector = vector;
	cpu->exit.debug.rip = cpu->rip;
	cpu->exit.debug.dr6 = dr6 | DR6_FIXED;
	cpu->exit.debug.dr7 = own ? cpu->debug_dr[7] : cpu->dr[7];
	return CPU_EXIT;
}

/*
 * A #DB belongs to a debugger that steps or has breakpoints. One without a cause in dr6 was
 * injected by the debugger itself and goes to the guest.
 */
static bool debugger_wants(const struct cpu *cpu)
{
	return cpu->exc.vector == X86_DB && cpu->exc.dr6 &&
	       (cpu->debug_flags & (DBG_SINGLESTEP | DBG_HW_BP));
}

static int shutdown_exit(struct cpu *cpu)
{
	cpu->exit = (struct exit){.reason = EXIT_SHUTDOWN};
	return CPU_EXIT;
}

/* The delivery needs an answer from outside: it is started again, payload included, at the next run. */
static void requeue_exception(struct cpu *cpu, const struct exception *exc)
{
	bool payload = exc->vector == X86_PF || exc->vector == X86_DB;

	cpu->events.exception.injected = true;
	cpu->events.exception.pending = false;
	cpu->events.exception.vector = exc->vector;
	cpu->events.exception.has_error = exc->has_error;
	cpu->events.exception.error = exc->error;
	cpu->events.exception.has_payload = payload;
	cpu->events.exception.payload = exc->vector == X86_PF ? exc->cr2 : exc->dr6;
}

/* One event at an instruction boundary; what it pushes is rip. */
static int deliver_at_rip(struct cpu *cpu, const struct event *ev)
{
	int r;

	cpu->next_rip = cpu->rip;
	cpu->replay.next = 0;
	r = deliver(cpu, ev);
	if (r == CPU_OK) {
		cpu->rip = cpu->next_rip;
		cpu->shadow = 0;
		/* The interrupted instruction starts anew when it comes back: its answers are stale. */
		cpu->replay.filled = cpu->replay.next = 0;
	}
	return r;
}

int event_deliver_exception(struct cpu *cpu)
{
	if (debugger_wants(cpu))
		return debug_exit(cpu, X86_DB, cpu->exc.dr6);
	for (;;) {
		struct exception exc = cpu->exc;
		struct event ev = {.vector = exc.vector,
			.has_error = exc.has_error,
			.error = exc.error,
			.flags = cpu->rflags};
		int r;

		if (is_fault_class(exc.vector))
			ev.flags |= FL_RF;
		apply_payload(cpu, &exc);
		r = deliver_at_rip(cpu, &ev);
		if (r == CPU_OK)
			return CPU_OK;
		if (r == CPU_EXIT) {
			requeue_exception(cpu, &exc);
			return CPU_EXIT;
		}
		if (exc.vector == X86_DF)
			return shutdown_exit(cpu);
		if (makes_double_fault(exc.vector, cpu->exc.vector)) {
			apply_payload(cpu, &cpu->exc); /* CR2 is the second fault's */
			cpu_raise_err(cpu, X86_DF, 0);
		}
	}
}

int event_deliver_interrupt(struct cpu *cpu, u8 vector)
{
	struct event ev = {.vector = vector, .flags = cpu->rflags};
	int r = deliver_at_rip(cpu, &ev);

	if (r == CPU_EXIT) {
		cpu->events.interrupt.injected = true;
		cpu->events.interrupt.vector = vector;
		cpu->events.interrupt.soft = false;
	}
	return r == CPU_FAULT ? event_deliver_exception(cpu) : r;
}

int event_deliver_nmi(struct cpu *cpu)
{
	struct event ev = {.vector = X86_NMI, .flags = cpu->rflags};
	int r;

	cpu->nmi_masked = true; /* until iret, SDM 3:6.7.1 */
	r = deliver_at_rip(cpu, &ev);
	if (r == CPU_EXIT) {
		cpu->events.nmi.injected = true;
		cpu->nmi_masked = false; /* not delivered yet */
	}
	return r == CPU_FAULT ? event_deliver_exception(cpu) : r;
}

/* ---- INT instructions: traps, so the saved rip is next_rip ---- */

static int soft_interrupt(struct cpu *cpu, u8 vector)
{
	struct event ev = {.vector = vector, .soft = true, .flags = cpu->rflags};

	return deliver(cpu, &ev);
}

int op_int3(struct cpu *cpu, const struct insn *in)
{
	if (cpu->debug_flags & DBG_SW_BP)
		return debug_exit(cpu, X86_BP, 0);
	return soft_interrupt(cpu, X86_BP);
}

int op_into(struct cpu *cpu, const struct insn *in)
{
	return cpu->rflags & FL_OF ? soft_interrupt(cpu, X86_OF) : CPU_OK;
}

/* No DPL check, and EXT is set: the hardware's own event (SDM 2: INT). */
int op_int1(struct cpu *cpu, const struct insn *in)
{
	struct event ev = {.vector = X86_DB, .flags = cpu->rflags};
	int r = deliver(cpu, &ev);

	if (r == CPU_OK)
		cpu->dr[7] &= ~DR7_GD;
	return r;
}

/*
 * Interrupt redirection bitmap: 32 bytes below the I/O bitmap (SDM 3:20.3.3.4). A clear bit lets the
 * 8086 program's own handler run. A bitmap outside the TSS redirects nothing.
 */
static int redirected(struct cpu *cpu, u8 vector, bool *ret)
{
	const struct segment *tr = &cpu->seg[SEG_TR];
	u64 iomap, byte;
	u32 off;
	int r;

	*ret = false;
	if (!(cpu->cr4 & CR4_VME) || tr->limit < 103)
		return CPU_OK;
	r = mem_read_u64(cpu, (u32)(tr->base + 102), &iomap, 2, ACC_SYSTEM);
	if (r)
		return r;
	off = (u32)iomap - 32 + vector / 8;
	if (iomap < 32 || off > tr->limit)
		return CPU_OK;
	r = mem_read_u64(cpu, (u32)(tr->base + off), &byte, 1, ACC_SYSTEM);
	*ret = !r && !(byte & BIT(vector % 8));
	return r;
}

/* SDM 3:20.3.3 table 20-2: with IOPL < 3, VIF stands in for IF and IOPL reads as 3. */
static int v86_redirect(struct cpu *cpu, u8 vector)
{
	u64 flags = cpu->rflags;

	if ((flags & FL_IOPL) == FL_IOPL)
		return deliver_ivt(cpu, vector, 0, 0xffff, flags, FL_IF);
	flags = (flags & ~FL_IF) | FL_IOPL | (flags & FL_VIF ? FL_IF : 0);
	return deliver_ivt(cpu, vector, 0, 0xffff, flags, FL_VIF);
}

int op_int_imm(struct cpu *cpu, const struct insn *in)
{
	u8 vector = (u8)in->imm;
	bool redirect;
	int r;

	if (!cpu_v86(cpu) || !cpu_protected(cpu))
		return soft_interrupt(cpu, vector);
	r = redirected(cpu, vector, &redirect);
	if (r)
		return r;
	if (redirect)
		return v86_redirect(cpu, vector);
	if ((cpu->rflags & FL_IOPL) != FL_IOPL)
		return cpu_gp0(cpu);
	return soft_interrupt(cpu, vector);
}
