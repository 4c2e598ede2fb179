/* SPDX-License-Identifier: MIT */
/*
 * IRET in all modes (SDM 2: IRET). The 64-bit form, on the way back from every interrupt and page
 * fault, reads its five words at once.
 */
#include "engine/cpu/iopl.h"
#include "engine/cpu/transfer.h"
#include "engine/insn/ops.h"
#include "engine/cpu/stack.h"
#include "engine/cpu/task.h"
#include "engine/cpu/mode.h"
#include "engine/mem/mem.h"

/* Flags that an iret of this operand size may change at this privilege level. */
static u64 iret_flags_mask(const struct cpu *cpu, unsigned size)
{
	u64 mask = FL_STATUS | FL_TF | FL_DF | FL_NT;

	if (size != 2)
		mask |= FL_RF | FL_AC | FL_ID;
	if (iopl_allows(cpu))
		mask |= FL_IF;
	if (cpu->cpl == 0) {
		mask |= FL_IOPL;
		if (size != 2)
			mask |= FL_VIF | FL_VIP;
	}
	return mask;
}

static void set_flags(struct cpu *cpu, u64 flags, u64 mask)
{
	cpu->rflags = (cpu->rflags & ~mask) | (flags & mask) | FL_FIXED;
}

static int iret_done(struct cpu *cpu)
{
	cpu_update_mode(cpu);
	return CPU_OK;
}

struct frame {
	u64 rip, cs, flags, rsp, ss;
};

static int pop_frame(struct cpu *cpu, struct stack *s, struct frame *f, unsigned n, unsigned size)
{
	u64 *words = &f->rip;

	for (unsigned i = 0; i < n; i++) {
		int r = stack_pop(cpu, s, &words[i], size);
		if (r)
			return r;
	}
	return CPU_OK;
}

/* ---- IA-32e mode ---- */

static int iret_commit_long(
	struct cpu *cpu, const struct frame *f, const struct segment *cs, unsigned size)
{
	struct segment ss;
	u64 mask = iret_flags_mask(cpu, size);
	bool outer = SEL_RPL(f->cs) != cpu->cpl;
	int r;

	r = return_stack_prepare(cpu, cs, (u16)f->ss, &ss);
	if (r)
		return r;
	cpu->seg[SEG_CS] = *cs;
	cpu->next_rip = f->rip;
	set_flags(cpu, f->flags, mask);
	cpu->seg[SEG_SS] = ss;
	cpu_update_mode(cpu);
	set_outer_rsp(cpu, f->rsp);
	if (outer)
		segments_drop_inner(cpu);
	if (cpu->code_size != 8) /* flatness may have changed with a dropped segment */
		cpu_update_mode(cpu);
	return CPU_OK;
}

static int iret_from_64bit(struct cpu *cpu, unsigned size)
{
	struct segment cs;
	struct frame f;
	int r;

	if (likely(size == 8)) {
		u64 sp = cpu->gpr[RSP];
		r = seg_aligned(cpu, SEG_SS, sp, sizeof(f), 8, ACC_READ, &sp);
		if (!r)
			r = mem_read(cpu, sp, &f, sizeof(f), ACC_READ);
	} else {
		struct stack s;
		stack_begin(cpu, &s);
		r = pop_frame(cpu, &s, &f, 5, size);
	}
	if (!r)
		r = return_code_prepare(cpu, (u16)f.cs, f.rip, &cs);
	return r ? r : iret_commit_long(cpu, &f, &cs, size);
}

/* ---- protected and compatibility mode ---- */

/* SDM 3:20.2.5: from level 0, with VM in the image, into a virtual-8086 task. */
static int iret_to_v86(struct cpu *cpu, struct stack *s, const struct frame *f)
{
	static const u8 order[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};
	u64 v[6];
	const u64 mask = FL_DEFINED;

	for (unsigned i = 0; i < ARRAY_SIZE(v); i++) {
		int r = stack_pop(cpu, s, &v[i], 4);
		if (r)
			return r;
	}
	if (f->rip > 0xffff)
		return cpu_gp0(cpu);
	segment_set_v86(&cpu->seg[SEG_CS], (u16)f->cs);
	segment_set_v86(&cpu->seg[SEG_SS], (u16)v[1]);
	for (unsigned i = 0; i < ARRAY_SIZE(order); i++)
		segment_set_v86(&cpu->seg[order[i]], (u16)v[2 + i]);
	cpu->gpr[RSP] = (u32)v[0];
	cpu->next_rip = f->rip;
	set_flags(cpu, f->flags, mask);
	return iret_done(cpu);
}

static int iret_outer_level(
	struct cpu *cpu, struct stack *s, struct frame *f, const struct segment *cs, unsigned size)
{
	u64 mask = iret_flags_mask(cpu, size);
	struct segment ss;
	int r = stack_pop(cpu, s, &f->rsp, size);

	if (!r)
		r = stack_pop(cpu, s, &f->ss, size);
	if (!r)
		r = return_stack_prepare(cpu, cs, (u16)f->ss, &ss);
	if (r)
		return r;
	cpu->seg[SEG_CS] = *cs;
	cpu->next_rip = f->rip;
	set_flags(cpu, f->flags, mask);
	return_outer_commit(cpu, &ss, f->rsp);
	return iret_done(cpu);
}

static int iret_protected(struct cpu *cpu, unsigned size)
{
	struct segment cs;
	struct stack s;
	struct frame f;
	int r;

	stack_begin(cpu, &s);
	r = pop_frame(cpu, &s, &f, 3, size);
	if (r)
		return r;
	if (size == 4 && (f.flags & FL_VM) && cpu->cpl == 0 && !cpu_long_mode(cpu))
		return iret_to_v86(cpu, &s, &f);
	r = return_code_prepare(cpu, (u16)f.cs, f.rip, &cs);
	if (r)
		return r;
	if (SEL_RPL(f.cs) != cpu->cpl)
		return iret_outer_level(cpu, &s, &f, &cs, size);

	set_flags(cpu, f.flags, iret_flags_mask(cpu, size));
	cpu->seg[SEG_CS] = cs;
	cpu->next_rip = f.rip;
	stack_commit(cpu, &s);
	return iret_done(cpu);
}

/* Return from a nested task: the back link is the first word of the TSS. */
static int iret_task(struct cpu *cpu)
{
	u64 link;
	int r = mem_read_u64(cpu, (u32)cpu->seg[SEG_TR].base, &link, 2, ACC_SYSTEM);

	return r ? r : task_switch(cpu, (u16)link, TASK_IRET, false, 0);
}

/* ---- real and virtual-8086 mode ---- */

static int iret_real(struct cpu *cpu, unsigned size)
{
	u64 mask = iret_flags_mask(cpu, size);
	struct stack s;
	struct frame f;
	int r;

	stack_begin(cpu, &s);
	r = pop_frame(cpu, &s, &f, 3, size);
	if (r)
		return r;
	if (f.rip > cpu->seg[SEG_CS].limit)
		return cpu_gp0(cpu);
	if (!cpu_v86(cpu)) /* real mode: everything but VM, VIF and VIP */
		mask &= ~(FL_VIF | FL_VIP);
	set_flags(cpu, f.flags, mask);
	stack_commit(cpu, &s);
	segment_set_real(&cpu->seg[SEG_CS], (u16)f.cs);
	cpu->next_rip = f.rip;
	return iret_done(cpu);
}

/* IOPL < 3 with VME, 16-bit form only: VIF takes IF's place (SDM 2: IRET). */
static int iret_v86_virtual_if(struct cpu *cpu)
{
	u64 mask = iret_flags_mask(cpu, 2) & ~FL_IF;
	struct stack s;
	struct frame f;
	int r;

	stack_begin(cpu, &s);
	r = pop_frame(cpu, &s, &f, 3, 2);
	if (r)
		return r;
	if (vme_refuses(cpu, f.flags))
		return cpu_gp0(cpu);
	set_flags(cpu, vme_loaded(f.flags), mask | FL_VIF);
	stack_commit(cpu, &s);
	segment_set_real(&cpu->seg[SEG_CS], (u16)f.cs);
	cpu->next_rip = f.rip;
	return iret_done(cpu);
}

static int iret_v86(struct cpu *cpu, unsigned size)
{
	if (iopl_allows(cpu))
		return iret_real(cpu, size);
	if (vme_does(cpu, size))
		return iret_v86_virtual_if(cpu);
	return cpu_gp0(cpu);
}

static int iret(struct cpu *cpu, unsigned size)
{
	if (!cpu_protected(cpu))
		return iret_real(cpu, size);
	if (cpu_v86(cpu))
		return iret_v86(cpu, size);
	if (unlikely(cpu->rflags & FL_NT))
		return cpu_long_mode(cpu) ? cpu_gp0(cpu) : iret_task(cpu);
	return cpu->code_size == 8 ? iret_from_64bit(cpu, size) : iret_protected(cpu, size);
}

/* Any IRET ends the blocking of NMIs, one that faults too (SDM 3:6.7.1, 3:27.3); one that must be restarted does not yet. */
int op_iret(struct cpu *cpu, const struct insn *in)
{
	int r = iret(cpu, in->op_size);

	if (r != CPU_EXIT)
		cpu_unmask_nmi(cpu);
	return r;
}
