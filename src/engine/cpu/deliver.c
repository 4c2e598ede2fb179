/* SPDX-License-Identifier: MIT */
/*
 * One attempt to deliver an event through the IDT or the IVT (SDM 3:6).
 *
 * deliver() reads the gate, checks, pushes the frame, and then commits cs, ss, rsp, rflags and
 * next_rip together, or returns a fault with nothing changed. The return address that it pushes is
 * cpu->next_rip. 64-bit mode has its own straight path (deliver_long) because guests pass it for
 * every interrupt and page fault.
 */
#include "engine/cpu/deliver.h"
#include "engine/cpu/transfer.h"
#include "engine/cpu/stack.h"
#include "engine/cpu/task.h"
#include "engine/cpu/mode.h"
#include "engine/mem/mem.h"

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
		s->own = false; /* #AC while #AC is delivered would have no end */
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

int deliver_ivt(struct cpu *cpu, u8 vector, u64 table, u32 limit, u64 flags, u64 clear)
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
	s.own = false;
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

int deliver(struct cpu *cpu, const struct event *ev)
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
