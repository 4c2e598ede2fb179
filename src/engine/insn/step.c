/* SPDX-License-Identifier: MIT */
/*
 * step(): exactly one instruction, restartable. The reference that translated code must agree with.
 *
 * Fetch, decode, check what insn_desc.attr says about mode, privilege and units, then let a handler do it, or
 * the host (ops_native.c).
 */
#include <string.h>

#include "engine/core/block_key.h"
#include "engine/core/debug.h"
#include "engine/core/xsave.h"
#include "engine/cpu/fpu.h"
#include "engine/core/machine.h"
#include "engine/core/stat.h"
#include "engine/insn/native.h"
#include "engine/insn/operand.h"
#include "engine/insn/ops.h"
#include "engine/insn/step.h"
#include "engine/mem/mem.h"
#include "engine/tap/ask.h"

static const op_handler handlers[OP_COUNT] = {
#define INSN_OP(op, handler, generator, needs, class, intercept) [OP_##op] = op_##handler,
#include "x86/insn_ops.def"
#undef INSN_OP
};

int cpu_internal_error(struct cpu *cpu, const struct insn *in)
{
	cpu->exit = (struct exit){.reason = EXIT_INTERNAL_ERROR, .insn = {.len = in->len}};
	memcpy(cpu->exit.insn.bytes, in->bytes, MIN(in->len, sizeof(cpu->exit.insn.bytes)));
	return CPU_EXIT;
}

/* Bytes up to the code segment's limit (outside 64-bit mode) and to the end of mapped memory. */
static int fetch(struct cpu *cpu, u8 *buf, unsigned *got)
{
	u64 lin = cpu->rip;
	unsigned n = INSN_MAX;

	if (cpu->code_size != 8) {
		const struct segment *cs = &cpu->seg[SEG_CS];

		if (cpu->rip > cs->limit)
			return cpu_gp0(cpu);
		n = MIN((u64)n, cs->limit - cpu->rip + 1);
		lin = (u32)(cs->base + cpu->rip);
	}
	return mem_fetch(cpu, lin, buf, n, got);
}

/* Who is to do the instruction wants to know it. */
static void show_insn(struct cpu *cpu, const u8 *bytes, unsigned count, unsigned len)
{
	struct exit_insn *x = &cpu->exit_insn;

	x->len = (u8)len;
	x->count = (u8)count;
	memcpy(x->bytes, bytes, count);
	memset(x->bytes + count, 0, sizeof(x->bytes) - count);
}

/* The instruction goes on where nothing could be fetched: raise what fetching there raises. */
static int fetch_fault(struct cpu *cpu, unsigned got)
{
	u64 lin = cpu->rip + got;
	unsigned more;
	u8 byte;
	int r;

	if (cpu->code_size != 8) {
		if (lin > cpu->seg[SEG_CS].limit)
			return cpu_gp0(cpu);
		lin = (u32)(cpu->seg[SEG_CS].base + lin);
	}
	r = mem_fetch(cpu, lin, &byte, 1, &more);
	return r ? r : cpu_gp0(cpu);
}

static int step_decode(struct cpu *cpu, struct insn *in)
{
	u8 buf[INSN_MAX + 1];
	unsigned got = 0;
	int r = fetch(cpu, buf, &got);

	if (r)
		return r;
	switch (cpu_decode(cpu, in, buf, got)) {
	case INSN_OK: return CPU_OK;
	case INSN_SHORT:
		r = got < INSN_MAX ? fetch_fault(cpu, got) : cpu_gp0(cpu);
		if (r == CPU_EXIT && machine_intercepts(cpu->machine))
			show_insn(cpu, buf, got, 0);
		return r;
	case INSN_TOO_LONG: return cpu_gp0(cpu);
	default: return cpu_raise(cpu, X86_UD);
	}
}

static int check_units(struct cpu *cpu, u32 attr)
{
	bool em = cpu->cr0 & CR0_EM, ts = cpu->cr0 & CR0_TS;

	if ((attr & IA_SSE) && (em || !(cpu->cr4 & CR4_OSFXSR)))
		return cpu_raise(cpu, X86_UD);
	if ((attr & IA_MMX) && em)
		return cpu_raise(cpu, X86_UD);
	if ((attr & IA_AVX) && (!(cpu->cr4 & CR4_OSXSAVE) || (cpu->xcr0 & 6) != 6))
		return cpu_raise(cpu, X86_UD);
	if ((attr & IA_AVX512) && (cpu->xcr0 & XSTATE_AVX512) != XSTATE_AVX512)
		return cpu_raise(cpu, X86_UD);
	if ((attr & IA_X87) && (em || ts))
		return cpu_raise(cpu, X86_NM);
	if ((attr & (IA_SSE | IA_MMX | IA_AVX)) && ts)
		return cpu_raise(cpu, X86_NM);
	if ((attr & IA_WAIT) && ts && (cpu->cr0 & CR0_MP))
		return cpu_raise(cpu, X86_NM);
	return CPU_OK;
}

/*
 * A pending x87 exception comes before any fault of the instruction's own. CVTPI2PS and CVTPI2PD from memory (0F 2A)
 * do not look at the x87 state.
 */
static int check_pending(struct cpu *cpu, const struct insn *in)
{
	u32 attr = in->desc->attr;

	if (!(attr & IA_FAULTS) || !(attr & (IA_X87 | IA_MMX | IA_WAIT)))
		return CPU_OK;
	if ((attr & IA_SSE) && in->is_mem && in->opcode == 0x2a)
		return CPU_OK;
	if (likely(!fpu_pending(cpu)))
		return CPU_OK;
	/* What the operand pointer is follows from segments that the handler may not have. */
	fpu_live_to_area(cpu);
	fpu_area_to_live(cpu);
	return cpu_raise(cpu, X86_MF);
}

static int check(struct cpu *cpu, const struct insn *in)
{
	u32 attr = in->desc->attr;

	if ((attr & IA_REALUD) && cpu_real_or_v86(cpu))
		return cpu_raise(cpu, X86_UD);
	if ((attr & IA_CPL0) && cpu->cpl != 0)
		return cpu_gp0(cpu);
	if (attr & (IA_SSE | IA_MMX | IA_AVX | IA_X87 | IA_WAIT)) {
		int r = check_units(cpu, attr);

		return r ? r : check_pending(cpu, in);
	}
	return CPU_OK;
}

int op_nop(struct cpu *cpu, const struct insn *in)
{
	return CPU_OK;
}

int op_ud(struct cpu *cpu, const struct insn *in)
{
	return cpu_raise(cpu, X86_UD);
}

static int execute(struct cpu *cpu, const struct insn *in)
{
	int r = check(cpu, in);

	return r ? r : handlers[in->desc->op](cpu, in);
}

static u64 following_rip(const struct cpu *cpu, unsigned len)
{
	u64 next = cpu->rip + len;

	return cpu->code_size == 8   ? next
	       : cpu->code_size == 4 ? (u32)next
				     : (cpu->rip + len) & 0xffffffff;
}

/*
 * INT n and its kin clear TF and drop a trap that was due. SYSCALL has masked TF before it counts, and SYSRET has loaded
 * it: the trap is at the first instruction of the target (SDM 3:17.3.1.4, SDM 2: SYSCALL, SYSRET).
 */
static bool trap_due(const struct cpu *cpu, const struct insn *in, u64 flags_before)
{
	unsigned class = insn_class(in);

	if (class & OC_SOFT_INT)
		return false;
	return (class & OC_LOADS_TF ? cpu->rflags : flags_before) & FL_TF;
}

/* A string instruction that stopped between two iterations. */
static bool unfinished(const struct cpu *cpu, const struct insn *in)
{
	return cpu->next_rip == cpu->rip && (insn_class(in) & OC_STRING);
}

/*
 * Traps: single-step, with TF as it was before the instruction (SDM 3:17.3.1.4) or the debugger's, and
 * breakpoints on what it accessed. MOV SS holds them off; the one that delivers them has an instruction
 * boundary of its own. resume: RF is saved set after any iteration but the last (SDM 3:17.3.1.1).
 */
static int after_trap(struct cpu *cpu, const struct insn *in, u64 flags_before, bool resume)
{
	u64 dr6 = cpu->debug_hits;

	if (likely(!((flags_before | cpu->rflags) & FL_TF) && !cpu->debug_step && !dr6))
		return CPU_OK;
	if (cpu->shadow & SHADOW_MOVSS)
		return CPU_OK;
	if (cpu->debug_step || trap_due(cpu, in, flags_before))
		dr6 |= DR6_BS;
	cpu->debug_hits = 0;
	if (!dr6)
		return CPU_OK;
	if (cpu->exit.reason != EXIT_NONE || cpu->posted_count) {
		cpu->debug_pending |= dr6;
		return CPU_OK;
	}
	cpu->exc = (struct exception){.vector = X86_DB, .dr6 = dr6, .resume = resume};
	return CPU_FAULT;
}

/* RF is for one instruction, and lost when it begins: what it saves or loads is its own (SDM 3:17.3.1.1). */
int step_insn(struct cpu *cpu, const struct insn *in)
{
	u8 shadow = cpu->shadow;
	u64 flags = cpu->rflags, rip = cpu->rip;
	bool resume;
	int r;

	stat_inc(cpu, STAT_INSNS_STEPPED);
	cpu->next_rip = following_rip(cpu, in->len);
	cpu->out.shadow = shadow;
	cpu->shadow = 0;
	cpu->away.has_stored = false;
	cpu->rflags &= ~FL_RF;
	r = execute(cpu, in);
	if (r) {
		if (r == CPU_EXIT && machine_intercepts(cpu->machine))
			show_insn(cpu, in->bytes, in->len, in->len);
		cpu->shadow = shadow;
		if (cpu->rip == rip) /* else it is another task's */
			cpu->rflags |= flags & FL_RF;
		return r;
	}
	cpu->tap_unfinished = resume = unfinished(cpu, in);
	if (resume)
		cpu->rflags |= flags & FL_RF;
	cpu->rip = cpu->next_rip;
	cpu->answers.filled = 0;
	cpu->answers.tapped = false;
	cpu->away.has_stored = false;
	return after_trap(cpu, in, flags, resume);
}

static int step_next(struct cpu *cpu)
{
	struct insn in;
	int r = step_decode(cpu, &in);

	return r ? r : step_insn(cpu, &in);
}

/* With BK_STEPPING: somebody looks at each instruction. */
static int step_watched(struct cpu *cpu)
{
	int r;

	if (tap_step(cpu, &r))
		return r;
	r = debug_before(cpu);
	if (!r)
		r = step_next(cpu);
	if (r != CPU_EXIT)
		tap_insn_over(cpu);
	return r;
}

int step(struct cpu *cpu)
{
	cpu->answers.next = 0;
	return unlikely(cpu->block_key & BK_STEPPING) ? step_watched(cpu) : step_next(cpu);
}
