/* SPDX-License-Identifier: MIT */
/*
 * Interrupt flag, MSRs, CPUID, time stamp, segment bases: the system instructions that
 * do not touch control registers or tables.
 */
#include "engine/cpu/iopl.h"
#include "engine/cpu/segment.h"
#include "engine/cpuid/cpuid.h"
#include "engine/core/machine.h"
#include "engine/cpu/smm.h"
#include "engine/cpu/mode.h"
#include "engine/insn/operand.h"
#include "engine/insn/ops.h"
#include "engine/msr/msr.h"
#include "engine/mem/mem.h"
#include "engine/tap/ask.h"

/* ---- cli, sti (SDM 2: table of CLI; 3:20.3.3 for VIF) ---- */

enum if_kind { IF_REAL, IF_VIRTUAL, IF_DENIED };

static enum if_kind if_kind(const struct cpu *cpu)
{
	if (iopl_allows(cpu))
		return IF_REAL;
	if (cpu_v86(cpu))
		return cpu->cr4 & CR4_VME ? IF_VIRTUAL : IF_DENIED;
	return cpu->cpl == 3 && (cpu->cr4 & CR4_PVI) ? IF_VIRTUAL : IF_DENIED;
}

int op_cli(struct cpu *cpu, const struct insn *in)
{
	enum if_kind kind = if_kind(cpu);

	if (kind == IF_DENIED)
		return cpu_gp0(cpu);
	cpu->rflags &= kind == IF_REAL ? ~FL_IF : ~FL_VIF;
	return CPU_OK;
}

int op_sti(struct cpu *cpu, const struct insn *in)
{
	enum if_kind kind = if_kind(cpu);

	if (kind == IF_DENIED || (kind == IF_VIRTUAL && (cpu->rflags & FL_VIP)))
		return cpu_gp0(cpu);
	if (kind == IF_VIRTUAL) {
		cpu->rflags |= FL_VIF;
		return CPU_OK;
	}
	if (!(cpu->rflags & FL_IF))
		cpu->shadow = op_shadow(OP_STI, 0);
	cpu->rflags |= FL_IF;
	return CPU_OK;
}

static int set_ac(struct cpu *cpu, u64 ac)
{
	if (cpu->cpl != 0 || !(cpu->cr4_allowed & CR4_SMAP)) /* no CPUID.SMAP: no instruction */
		return cpu_raise(cpu, X86_UD);
	cpu->rflags = (cpu->rflags & ~FL_AC) | ac;
	cpu_update_mode(cpu);
	return CPU_OK;
}

int op_clac(struct cpu *cpu, const struct insn *in)
{
	return set_ac(cpu, 0);
}

int op_stac(struct cpu *cpu, const struct insn *in)
{
	return set_ac(cpu, FL_AC);
}

int op_hlt(struct cpu *cpu, const struct insn *in)
{
	cpu->exit.reason = EXIT_HLT;
	return CPU_OK;
}

/* ---- identification and MSRs ---- */

#define MISC_FEATURES_CPUID_FAULT BIT64(0)

int op_cpuid(struct cpu *cpu, const struct insn *in)
{
	u32 out[4];
	int r;

	if (cpu->cpl > 0 && (cpu->msr.misc_features & MISC_FEATURES_CPUID_FAULT))
		return cpu_gp0(cpu);
	if (tap_cpuid(cpu, &r))
		return r;
	cpuid_read(cpu, cpu->gpr[RAX], cpu->gpr[RCX], out);
	cpu->gpr[RAX] = out[0];
	cpu->gpr[RBX] = out[1];
	cpu->gpr[RCX] = out[2];
	cpu->gpr[RDX] = out[3];
	return CPU_OK;
}

static void set_edx_eax(struct cpu *cpu, u64 value)
{
	cpu->gpr[RAX] = (u32)value;
	cpu->gpr[RDX] = value >> 32;
}

int op_rdmsr(struct cpu *cpu, const struct insn *in)
{
	u64 value;
	int r = msr_read(cpu, cpu->gpr[RCX], &value);

	if (r || tap_msr(cpu, TAP_MSR_READ, (u32)cpu->gpr[RCX], &value, &r))
		return r;
	set_edx_eax(cpu, value);
	return CPU_OK;
}

int op_wrmsr(struct cpu *cpu, const struct insn *in)
{
	u64 value = (u32)cpu->gpr[RAX] | cpu->gpr[RDX] << 32;
	int r;

	if (tap_msr(cpu, TAP_MSR_WRITE, (u32)cpu->gpr[RCX], &value, &r))
		return r;
	return msr_write(cpu, cpu->gpr[RCX], value);
}

/* ---- time ---- */

static u64 guest_tsc(const struct cpu *cpu)
{
	return cpu_tsc_at(cpu, __builtin_ia32_rdtsc());
}

static bool tsc_denied(const struct cpu *cpu)
{
	return cpu->cpl > 0 && (cpu->cr4 & CR4_TSD);
}

int op_rdtsc(struct cpu *cpu, const struct insn *in)
{
	if (tsc_denied(cpu))
		return cpu_gp0(cpu);
	set_edx_eax(cpu, guest_tsc(cpu));
	return CPU_OK;
}

int op_rdtscp(struct cpu *cpu, const struct insn *in)
{
	if (cpu->lacks & LACKS_RDTSCP)
		return cpu_raise(cpu, X86_UD);
	if (tsc_denied(cpu))
		return cpu_gp0(cpu);
	set_edx_eax(cpu, guest_tsc(cpu));
	cpu->gpr[RCX] = (u32)cpu->msr.tsc_aux;
	return CPU_OK;
}

int op_rdpid(struct cpu *cpu, const struct insn *in)
{
	if (cpu->lacks & LACKS_RDPID)
		return cpu_raise(cpu, X86_UD);
	cpu->gpr[in->rm] = (u32)cpu->msr.tsc_aux;
	return CPU_OK;
}

/* CPUID shows no performance counters, so every index is out of range. */
int op_rdpmc(struct cpu *cpu, const struct insn *in)
{
	return cpu_gp0(cpu);
}

/* ---- segment bases ---- */

int op_swapgs(struct cpu *cpu, const struct insn *in)
{
	u64 base = cpu->seg[SEG_GS].base;

	cpu->seg[SEG_GS].base = cpu->msr.kernel_gs_base;
	cpu->msr.kernel_gs_base = base;
	return CPU_OK;
}

static int read_base(struct cpu *cpu, const struct insn *in, unsigned seg)
{
	if (!(cpu->cr4 & CR4_FSGSBASE))
		return cpu_raise(cpu, X86_UD);
	reg_write(cpu, in->rm, in->op_size, true, cpu->seg[seg].base);
	return CPU_OK;
}

static int write_base(struct cpu *cpu, const struct insn *in, unsigned seg)
{
	u64 base = reg_read(cpu, in->rm, in->op_size, true);

	if (!(cpu->cr4 & CR4_FSGSBASE))
		return cpu_raise(cpu, X86_UD);
	if (!cpu_canonical(cpu, base))
		return cpu_gp0(cpu);
	cpu->seg[seg].base = base;
	return CPU_OK;
}

int op_rdfsbase(struct cpu *cpu, const struct insn *in)
{
	return read_base(cpu, in, SEG_FS);
}

int op_rdgsbase(struct cpu *cpu, const struct insn *in)
{
	return read_base(cpu, in, SEG_GS);
}

int op_wrfsbase(struct cpu *cpu, const struct insn *in)
{
	return write_base(cpu, in, SEG_FS);
}

int op_wrgsbase(struct cpu *cpu, const struct insn *in)
{
	return write_base(cpu, in, SEG_GS);
}

/* ---- MONITOR and MWAIT do nothing, which the manuals allow: MWAIT may return at any time ---- */

static bool mwait_denied(const struct cpu *cpu)
{
	if (cpu->cpl > 0)
		return true;
	if (!cpu->machine || machine_quirk(cpu->machine, QUIRK_MWAIT_NEVER_UD_FAULTS))
		return false;
	return !cpuid_has_mwait(cpu);
}

/* No extension in ECX is known. The address is checked like a byte to be read (SDM 2: MONITOR). */
int op_monitor(struct cpu *cpu, const struct insn *in)
{
	u64 lin;
	int r;

	if (mwait_denied(cpu))
		return cpu_raise(cpu, X86_UD);
	if ((u32)cpu->gpr[RCX])
		return cpu_gp0(cpu);
	r = seg_linear(cpu, in->seg, reg_read(cpu, RAX, in->addr_size, true), 1, ACC_READ, &lin);
	return r ? r : mem_probe_read(cpu, lin, 1, ACC_READ);
}

int op_mwait(struct cpu *cpu, const struct insn *in)
{
	if (mwait_denied(cpu))
		return cpu_raise(cpu, X86_UD);
	return (u32)cpu->gpr[RCX] > 1 ? cpu_gp0(cpu) : CPU_OK;
}

/* Any privilege level of the handler's, APM 3: RSM. */
int op_rsm(struct cpu *cpu, const struct insn *in)
{
	return cpu_in_smm(cpu) ? smm_leave(cpu) : cpu_raise(cpu, X86_UD);
}
