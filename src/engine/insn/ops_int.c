/* SPDX-License-Identifier: MIT */
/* INT n, INT3, INTO, ICEBP (SDM 2: INT): traps, so the saved rip is next_rip. */

#include "engine/cpu/iopl.h"
#include "engine/core/cpu.h"
#include "engine/insn/ops.h"
#include "engine/cpu/deliver.h"
#include "engine/cpu/exception.h"
#include "engine/engine.h"
#include "engine/mem/mem.h"
#include "engine/tap/ask.h"
#include "x86/regs.h"

static int soft_interrupt(struct cpu *cpu, u8 vector)
{
	struct event ev = {.vector = vector, .soft = true, .flags = cpu->rflags};

	return deliver(cpu, &ev);
}

int op_int3(struct cpu *cpu, const struct insn *in)
{
	u8 vector = X86_BP;
	int r;

	if (tap_soft_int(cpu, TAP_INT3, &vector, &r))
		return r;
	if (cpu->debug_flags & DBG_SW_BP)
		return debug_exit(cpu, X86_BP, 0);
	return soft_interrupt(cpu, vector);
}

int op_into(struct cpu *cpu, const struct insn *in)
{
	u8 vector = X86_OF;
	int r;

	if (!(cpu->rflags & FL_OF))
		return CPU_OK;
	return tap_soft_int(cpu, TAP_INTO, &vector, &r) ? r : soft_interrupt(cpu, vector);
}

/*
 * No DPL check, and EXT is set: the hardware's own event (SDM 2: INT). A trap for a debugger, too. What MOV SS has held
 * back is part of it: two #DB in a row would overwrite each other's frame on an IST stack.
 */
int op_int1(struct cpu *cpu, const struct insn *in)
{
	struct event ev = {.vector = X86_DB, .flags = cpu->rflags};
	int r;

	if (tap_soft_int(cpu, TAP_ICEBP, &ev.vector, &r))
		return r;
	if (cpu->debug_flags & (DBG_SINGLESTEP | DBG_HW_BP)) {
		cpu->rip = cpu->next_rip;
		r = debug_exit(cpu, X86_DB, cpu->debug_hits);
		cpu->debug_hits = 0;
		return r;
	}
	r = deliver(cpu, &ev);
	if (r)
		return r;
	cpu->dr[7] &= ~DR7_GD;
	if (unlikely(cpu->debug_hits))
		cpu->dr[6] = (cpu->dr[6] & ~15ull) | cpu->debug_hits;
	cpu->debug_hits = 0;
	return CPU_OK;
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

/* SDM 3:20.3.3 table 20-2. */
static int v86_redirect(struct cpu *cpu, u8 vector)
{
	u64 flags = cpu->rflags;

	if (iopl_allows(cpu))
		return deliver_ivt(cpu, vector, 0, 0xffff, flags, FL_IF);
	return deliver_ivt(cpu, vector, 0, 0xffff, vme_image(flags), FL_VIF);
}

int op_int_imm(struct cpu *cpu, const struct insn *in)
{
	u8 vector = (u8)in->imm;
	bool redirect;
	int r;

	if (tap_soft_int(cpu, TAP_INT_N, &vector, &r))
		return r;
	if (!cpu_v86(cpu) || !cpu_protected(cpu))
		return soft_interrupt(cpu, vector);
	r = redirected(cpu, vector, &redirect);
	if (r)
		return r;
	if (redirect)
		return v86_redirect(cpu, vector);
	if (iopl_traps_v86(cpu))
		return cpu_gp0(cpu);
	return soft_interrupt(cpu, vector);
}
