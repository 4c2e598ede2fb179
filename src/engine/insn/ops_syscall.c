/* SPDX-License-Identifier: MIT */
/*
 * SYSCALL, SYSRET, SYSENTER, SYSEXIT: transfers whose segments are fixed, so that no descriptor is
 * read (SDM 2 and APM 3 under those names; SDM 3:5.8.7, 3:5.8.8).
 *
 * Intel and AMD differ: Intel has SYSCALL in 64-bit mode only and checks rcx before SYSRET leaves
 * level 0; AMD has SYSCALL in compatibility and legacy mode too but SYSENTER not in long mode. The
 * guest's CPUID vendor decides, as it is what the guest's kernel goes by.
 */
#include "engine/cpu/transfer.h"
#include "engine/cpu/mode.h"
#include "engine/insn/ops.h"

static void set_flat(struct cpu *cpu, u16 cs, u16 ss, unsigned cpl, bool code64)
{
	segment_set_flat_code(&cpu->seg[SEG_CS], (u16)((cs & ~3) | cpl), cpl, code64);
	segment_set_flat_data(&cpu->seg[SEG_SS], (u16)((ss & ~3) | cpl), cpl);
}

/* ---- SYSCALL, SYSRET ---- */

static int syscall_long(struct cpu *cpu)
{
	u16 selector = (u16)(cpu->msr.star >> 32);
	u64 target = cpu->code_size == 8 ? cpu->msr.lstar : cpu->msr.cstar;

	cpu->gpr[RCX] = cpu->next_rip;
	cpu->gpr[R11] = cpu->rflags & ~FL_RF;
	cpu->rflags &= ~(cpu->msr.sfmask | FL_RF);
	cpu->rflags |= FL_FIXED;
	set_flat(cpu, selector, selector + 8, 0, true);
	cpu->next_rip = target;
	cpu_update_mode(cpu);
	return CPU_OK;
}

/* AMD, outside long mode: the target is in STAR[31:0] and no flag but IF, VM and RF changes. */
static int syscall_legacy(struct cpu *cpu)
{
	u16 selector = (u16)(cpu->msr.star >> 32);

	cpu->gpr[RCX] = (u32)cpu->next_rip;
	cpu->rflags &= ~(FL_IF | FL_VM | FL_RF);
	set_flat(cpu, selector, selector + 8, 0, false);
	cpu->next_rip = (u32)cpu->msr.star;
	cpu_update_mode(cpu);
	return CPU_OK;
}

int op_syscall(struct cpu *cpu, const struct insn *in)
{
	if (!(cpu->efer & EFER_SCE) || !cpu_protected(cpu))
		return cpu_raise(cpu, X86_UD);
	if (cpu->code_size != 8 && !cpu_vendor_is_amd(cpu))
		return cpu_raise(cpu, X86_UD);
	return cpu_long_mode(cpu) ? syscall_long(cpu) : syscall_legacy(cpu);
}

/* What SYSRET restores from r11: not RF and VM (SDM 2: SYSRET). */
#define SYSRET_FLAGS 0x3c7fd7ull

static int sysret_to_64bit(struct cpu *cpu)
{
	u16 selector = (u16)(cpu->msr.star >> 48);
	u64 rip = cpu->gpr[RCX];

	/* AMD loads any value and faults on the fetch at level 3; see fetch in step.c. */
	if (!cpu_canonical(cpu, rip) && !cpu_vendor_is_amd(cpu))
		return cpu_gp0(cpu);
	set_flat(cpu, selector + 16, selector + 8, 3, true);
	cpu->next_rip = rip;
	return CPU_OK;
}

static void sysret_to_32bit(struct cpu *cpu)
{
	u16 selector = (u16)(cpu->msr.star >> 48);

	set_flat(cpu, selector, selector + 8, 3, false);
	cpu->next_rip = (u32)cpu->gpr[RCX];
}

int op_sysret(struct cpu *cpu, const struct insn *in)
{
	bool from_64bit = cpu->code_size == 8;

	if (!(cpu->efer & EFER_SCE) || (!from_64bit && !cpu_vendor_is_amd(cpu)))
		return cpu_raise(cpu, X86_UD);
	if (!cpu_protected(cpu) || cpu->cpl != 0)
		return cpu_gp0(cpu);
	if (from_64bit && in->op_size == 8) {
		int r = sysret_to_64bit(cpu);
		if (r)
			return r;
	} else {
		sysret_to_32bit(cpu);
	}
	if (cpu_long_mode(cpu))
		cpu->rflags = (cpu->gpr[R11] & SYSRET_FLAGS) | FL_FIXED;
	else
		cpu->rflags |= FL_IF;
	cpu_update_mode(cpu);
	return CPU_OK;
}

/* ---- SYSENTER, SYSEXIT ---- */

/* #UD in AMD's long mode; #GP(0) in real mode or with a null SYSENTER_CS. */
static int sysenter_check(struct cpu *cpu)
{
	if (cpu_long_mode(cpu) && cpu_vendor_is_amd(cpu))
		return cpu_raise(cpu, X86_UD);
	if (!cpu_protected(cpu) || SEL_NULL((u16)cpu->msr.sysenter_cs))
		return cpu_gp0(cpu);
	return CPU_OK;
}

int op_sysenter(struct cpu *cpu, const struct insn *in)
{
	u16 selector = (u16)cpu->msr.sysenter_cs;
	bool lm = cpu_long_mode(cpu);
	int r = sysenter_check(cpu);

	if (r)
		return r;
	cpu->rflags &= ~(FL_VM | FL_IF | FL_RF);
	set_flat(cpu, selector, (selector & ~3) + 8, 0, lm);
	cpu->gpr[RSP] = lm ? cpu->msr.sysenter_esp : (u32)cpu->msr.sysenter_esp;
	cpu->next_rip = lm ? cpu->msr.sysenter_eip : (u32)cpu->msr.sysenter_eip;
	cpu_update_mode(cpu);
	return CPU_OK;
}

int op_sysexit(struct cpu *cpu, const struct insn *in)
{
	u16 base = (u16)cpu->msr.sysenter_cs & ~3;
	bool to64 = in->op_size == 8;
	u64 rsp = cpu->gpr[RCX], rip = cpu->gpr[RDX];
	int r = sysenter_check(cpu);

	if (r)
		return r;
	if (cpu->cpl != 0)
		return cpu_gp0(cpu);
	if (to64 && (!cpu_canonical(cpu, rsp) || !cpu_canonical(cpu, rip)))
		return cpu_gp0(cpu);
	set_flat(cpu, base + (to64 ? 32 : 16), base + (to64 ? 40 : 24), 3, to64);
	cpu->gpr[RSP] = to64 ? rsp : (u32)rsp;
	cpu->next_rip = to64 ? rip : (u32)rip;
	cpu_update_mode(cpu);
	return CPU_OK;
}
