/* SPDX-License-Identifier: MIT */
/*
 * Control and debug registers: mov, clts, lmsw, smsw, xsetbv (SDM 3:2.5, 3:17.2).
 */

#include "engine/core/cpu.h"
#include "engine/cpu/cr.h"
#include "engine/cpu/mode.h"
#include "engine/cpu/valid.h"
#include "engine/engine.h"
#include "engine/insn/operand.h"
#include "engine/insn/ops.h"
#include "engine/tap/ask.h"
#include "x86/regs.h"

/* ---- mov to and from control registers: 8 bytes in 64-bit mode, else 4 ---- */

static unsigned system_reg_size(const struct insn *in)
{
	return in->mode == 8 ? 8 : 4;
}

int op_mov_from_cr(struct cpu *cpu, const struct insn *in)
{
	u64 v;
	int r = cr_read(cpu, in->reg, &v);

	if (!r)
		reg_write(cpu, in->rm, system_reg_size(in), true, v);
	return r;
}

int op_mov_to_cr(struct cpu *cpu, const struct insn *in)
{
	return cr_write(cpu, in->reg, reg_read(cpu, in->rm, system_reg_size(in), true));
}

int op_clts(struct cpu *cpu, const struct insn *in)
{
	return cr_write(cpu, 0, cpu->cr0 & ~CR0_TS);
}

int op_lmsw(struct cpu *cpu, const struct insn *in)
{
	u64 msw;
	int r = rm_read(cpu, in, 2, &msw);

	/* PE MP EM TS; PE can be set but not cleared (SDM 2: LMSW) */
	return r ? r : cr_write(cpu, 0, (cpu->cr0 & ~0xeull) | (msw & 0xf));
}

int op_smsw(struct cpu *cpu, const struct insn *in)
{
	if ((cpu->cr4 & CR4_UMIP) && cpu->cpl > 0)
		return cpu_gp0(cpu);
	return rm_write(cpu, in, in->is_mem ? 2 : in->op_size, cpu->cr0);
}

int op_xsetbv(struct cpu *cpu, const struct insn *in)
{
	u64 v = (u32)cpu->gpr[RAX] | cpu->gpr[RDX] << 32;
	int r;

	if (!(cpu->cr4 & CR4_OSXSAVE))
		return cpu_raise(cpu, X86_UD);
	if (cpu->cpl != 0 || (u32)cpu->gpr[RCX] != 0 || valid_xcr0(cpu, NULL, v, BY_GUEST))
		return cpu_gp0(cpu);
	if (tap_xcr0(cpu, &v, &r))
		return r;
	if (valid_xcr0(cpu, NULL, v, BY_GUEST))
		return cpu_gp0(cpu);
	cpu->xcr0 = v;
	cpu_update_mode(cpu);
	return CPU_OK;
}

/* ---- debug registers ---- */

/* The debugger's own DR7 is the processor's while it has one. */
static u64 dr7_in_force(const struct cpu *cpu)
{
	return cpu->debug_flags & DBG_HW_BP ? cpu->debug_dr[7] : cpu->dr[7];
}

/* DR4 and DR5 are the old names of DR6 and DR7 unless CR4.DE says they do not exist. */
static int debug_register(struct cpu *cpu, unsigned n, unsigned *ret)
{
	if (n >= 8 || ((n & ~1u) == 4 && (cpu->cr4 & CR4_DE)))
		return cpu_raise(cpu, X86_UD);
	if (dr7_in_force(cpu) & DR7_GD) {
		cpu->exc = (struct exception){.vector = X86_DB, .dr6 = DR6_BD, .resume = true};
		return CPU_FAULT;
	}
	*ret = (n & ~1u) == 4 ? n + 2 : n;
	return CPU_OK;
}

int op_mov_from_dr(struct cpu *cpu, const struct insn *in)
{
	unsigned n;
	int r = debug_register(cpu, in->reg, &n);

	if (r)
		return r;
	reg_write(cpu, in->rm, system_reg_size(in), true, cpu->dr[n]);
	return CPU_OK;
}

int op_mov_to_dr(struct cpu *cpu, const struct insn *in)
{
	u64 v = reg_read(cpu, in->rm, system_reg_size(in), true);
	unsigned n;
	int r = debug_register(cpu, in->reg, &n);

	if (r)
		return r;
	if (n >= 6 && !valid_dr67(v))
		return cpu_gp0(cpu);
	if (n == 6)
		v = dr6_written(v);
	else if (n == 7)
		v = dr7_written(v);
	cpu->dr[n] = v;
	if (n != 6) /* breakpoints may have come or gone */
		cpu_update_mode(cpu);
	return CPU_OK;
}
