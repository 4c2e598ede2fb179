/* SPDX-License-Identifier: MIT */
/*
 * Handlers of the instructions that the host must not execute as they stand, one per enum insn_op,
 * and the services they share. See "How an instruction ends" in cpu.h.
 *
 * On entry cpu->rip is the instruction's address and cpu->next_rip the following one (truncated to
 * the code size). The privilege, mode, and FPU/SSE/AVX availability checks that insn_desc.attr
 * describes have been made by step(). A handler that transfers control sets cpu->next_rip, a cs load
 * included; step() copies it to rip after CPU_OK and clears the interrupt shadow that was in force
 * before the instruction.
 */
#ifndef ENGINE_INSN_OPS_H
#define ENGINE_INSN_OPS_H

#include "engine/core/block_key.h"
#include "engine/core/cpu.h"
#include "engine/mem/mem.h"

#define OP(name) int op_##name(struct cpu *cpu, const struct insn *in)

/* ops_stack.c */
/* clang-format off */
OP(push_reg); OP(push_imm); OP(push_rm); OP(push_seg); OP(pop_reg); OP(pop_rm); OP(pop_seg);
OP(pusha); OP(popa); OP(pushf); OP(popf); OP(enter); OP(leave);
/* ops_branch.c: near transfers */
OP(jcc); OP(jmp_rel); OP(jmp_rm); OP(call_rel); OP(call_rm); OP(ret); OP(loop); OP(jcxz);
/* far.c: far transfers, gates, returns; task.c: task switches */
OP(jmp_far_imm); OP(jmp_far_m); OP(call_far_imm); OP(call_far_m); OP(ret_far); OP(iret);
OP(syscall); OP(sysret); OP(sysenter); OP(sysexit);
/* exception.c */
OP(int3); OP(int_imm); OP(into); OP(int1);
/* ops_string.c, ops_io.c */
OP(movs); OP(cmps); OP(stos); OP(lods); OP(scas); OP(ins); OP(outs);
OP(in_imm); OP(in_dx); OP(out_imm); OP(out_dx);
/* ops_system.c, ops_dtable.c, smm.c */
OP(cli); OP(sti); OP(clac); OP(stac); OP(hlt); OP(cpuid); OP(rdmsr); OP(wrmsr); OP(rdtsc);
OP(rdtscp); OP(rdpmc); OP(rdpid); OP(mov_from_cr); OP(mov_to_cr); OP(mov_from_dr);
OP(mov_to_dr); OP(clts); OP(lmsw); OP(smsw); OP(lgdt); OP(lidt); OP(sgdt); OP(sidt);
OP(invlpg); OP(invpcid); OP(invd); OP(wbinvd); OP(swapgs); OP(rdfsbase); OP(rdgsbase);
OP(wrfsbase); OP(wrgsbase); OP(xgetbv); OP(xsetbv); OP(monitor); OP(mwait); OP(vmcall);
OP(vmmcall); OP(rsm);
/* ops_segment.c */
OP(lldt); OP(sldt); OP(ltr); OP(str); OP(lar); OP(lsl); OP(verr); OP(verw); OP(arpl);
OP(mov_from_seg); OP(mov_to_seg); OP(load_far);
/* ops_misc.c */
OP(mov_moffs); OP(xlat); OP(bt_mem); OP(bcd); OP(bound); OP(salc); OP(inc_dec_short); OP(clflush);
/* ops_fpustate.c, ops_vecmem.c */
OP(fnstenv); OP(fldenv); OP(fnsave); OP(frstor); OP(fxsave); OP(fxrstor); OP(xsave); OP(xsaveopt);
OP(xsavec); OP(xsaves); OP(xrstor); OP(xrstors); OP(maskmov); OP(maskmovdqu); OP(gather); OP(vzero);
/* clang-format on */
#undef OP

/* ---- operands (operand.c) ---- */

/* Value of a general register operand: size 1, 2, 4, 8. rex says whether byte registers 4-7 are spl.. or ah... */
u64 reg_read(const struct cpu *cpu, unsigned reg, unsigned size, bool rex);
/* A 4-byte write clears the upper half, 1- and 2-byte writes keep the rest (SDM 1:3.4.1.1). */
void reg_write(struct cpu *cpu, unsigned reg, unsigned size, bool rex, u64 value);
/* Offset of the memory operand within its segment, truncated to the address size. */
u64 operand_offset(const struct cpu *cpu, const struct insn *in);
/* Its linear address after all segment checks for len bytes. */
int operand_linear(struct cpu *cpu, const struct insn *in, unsigned len, unsigned acc, u64 *ret);
/* The same, of an operand that is to be aligned. */
int operand_aligned(struct cpu *cpu, const struct insn *in, unsigned len, unsigned align,
	unsigned acc, u64 *ret);
/* r/m operand, register or memory, zero-extended. */
int rm_read(struct cpu *cpu, const struct insn *in, unsigned size, u64 *ret);
int rm_write(struct cpu *cpu, const struct insn *in, unsigned size, u64 value);
bool condition_holds(u64 rflags, unsigned cc); /* cc: low four bits of the opcode */

/* #AC, SDM 3:6.15: only at CPL 3 with CR0.AM and RFLAGS.AC. Code that runs so is done by step(), see blockkey.h. */
static inline bool alignment_checked(const struct cpu *cpu)
{
	return unlikely(cpu->block_key & BK_STEPPING) && cpu->cpl == 3 && (cpu->cr0 & CR0_AM) &&
	       (cpu->rflags & FL_AC);
}
/* What an operand must be aligned to is SDM 3:6.15, table 6-7, and where that says nothing what processors do. */
static inline int check_alignment(struct cpu *cpu, u64 lin, unsigned align)
{
	if (likely(!alignment_checked(cpu)) || !(lin & (align - 1)))
		return CPU_OK;
	return cpu_raise_err(cpu, X86_AC, 0);
}
/*
 * seg_linear() of an access by the program itself. A limit comes before alignment; where addresses end by themselves, not
 * canonical or past 4 GiB, only the first byte's does (Intel's processors).
 */
static inline int seg_aligned(struct cpu *cpu, unsigned seg, u64 off, unsigned len, unsigned align,
	unsigned acc, u64 *ret)
{
	if (unlikely(alignment_checked(cpu))) {
		bool limited = cpu->code_size != 8 && cpu->seg[seg].limit != 0xffffffff;
		int r = seg_linear(cpu, seg, off, limited ? len : 1, acc, ret);

		if (!r)
			r = check_alignment(cpu, *ret, align);
		if (r)
			return r;
	}
	return seg_linear(cpu, seg, off, len, acc, ret);
}

/* ---- stack (stack.c): pushes and pops that commit rsp last; sp is a running copy ---- */

struct stack {
	u64 sp;
	const struct segment *ss; /* the segment to check against; unused when width is 8 */
	unsigned width;           /* 2, 4, 8: of the stack pointer */
	unsigned acc;             /* 0, or ACC_SYSTEM for deliveries to an inner level */
	bool own;                 /* used by the program itself: alignment counts */
	u32 error; /* of #SS: 0, or the selector of a stack that is being switched to */
};
void stack_begin(struct cpu *cpu, struct stack *s);
int stack_push(struct cpu *cpu, struct stack *s, u64 value, unsigned size);
/* Makes room for size bytes, and writes the lower ones of them only. */
int stack_push_part(struct cpu *cpu, struct stack *s, u64 value, unsigned size, unsigned written);
int stack_pop(struct cpu *cpu, struct stack *s, u64 *value, unsigned size);
void stack_commit(struct cpu *cpu, const struct stack *s);

/* ---- segments (segment.c) ---- */

/* Load a data segment register (not cs) with all checks and side effects (SDM 2: MOV). */
int seg_load(struct cpu *cpu, unsigned seg, u16 selector);
/* Read a descriptor; ext: also the second half of a 16-byte system descriptor. #GP/#TS(selector) via vector. */
int descriptor_read(struct cpu *cpu, u16 selector, u8 vector, u64 desc[2]);
void segment_from_descriptor(struct segment *s, u16 selector, const u64 desc[2]);
void segment_set_real(
	struct segment *s, u16 selector); /* real mode load: base only, limit and type kept */
int cpu_set_rip_checked(struct cpu *cpu, u64 rip); /* canonical / limit check, then next_rip */

/* ---- exceptions and interrupts (exception.c) ---- */

/*
 * Deliver cpu->exc through the IDT (or IVT). Nested faults become #DF, then a triple fault: CPU_EXIT with
 * EXIT_SHUTDOWN. CPU_EXIT also when a debugger asked for the vector, or a stack or table lies in MMIO.
 */
int event_deliver_exception(struct cpu *cpu);
int event_deliver_interrupt(struct cpu *cpu, u8 vector);
int event_deliver_nmi(struct cpu *cpu);
/* TSS: task switch to selector, source one of these (SDM 3:7.3). */
enum task_source { TASK_JMP, TASK_CALL, TASK_IRET, TASK_GATE };
int task_switch(struct cpu *cpu, u16 selector, enum task_source source, bool has_error, u32 error);

/* ---- features (engine/feat) ---- */

/* CPU_OK, CPU_FAULT (#GP), or CPU_EXIT (EXIT_RDMSR/EXIT_WRMSR with why 0: outer code answers). */
int msr_read(struct cpu *cpu, u32 index, u64 *ret);
int msr_write(struct cpu *cpu, u32 index, u64 value);
void cpuid_read(const struct cpu *cpu, u32 leaf, u32 subleaf, u32 out[4]);
void cpuid_changed(
	struct cpu *cpu); /* after cpu->cpuid changed: cr4_allowed, xcr0_allowed, phys_bits... */
/* Checked writes with all side effects (TLB flush, mode switch); CPU_FAULT on #GP. */
int cr_write(struct cpu *cpu, unsigned cr, u64 value);

/* ---- native execution (native.c) ---- */

/*
 * Execute one OP_NATIVE-like instruction on the host with the guest's registers, flags and vector state. If
 * it has a memory operand, the host accesses mem (or nothing, when mem is NULL, for register forms).
 * CPU_FAULT with #DE, #XM, #MF, #GP or #UD if it faulted.
 */
int native_exec(struct cpu *cpu, const struct insn *in, void *mem);

/* ---- step.c ---- */

/* Fetch, decode, check and execute one instruction; deliver nothing. */
int step(struct cpu *cpu);
/* The same for an instruction at rip that is decoded already. */
int step_insn(struct cpu *cpu, const struct insn *in);

#endif
