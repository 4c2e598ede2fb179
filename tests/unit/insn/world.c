/* SPDX-License-Identifier: MIT */
/* The small world of world.h: fake memory, start states, and dispatch. */
#include "world.h"
#include "engine/core/cpu.h"
#include "engine/core/xsave.h"
#include "engine/exit.h"
#include "engine/insn/ops.h"
#include "engine/mem/mem.h"
#include "x86/insn.h"
#include "x86/regs.h"
#include "engine/msr/msr.h"

struct world w;

/* ---- memory, in place of engine/mem ---- */

static int page_fault(struct cpu *cpu, u64 lin, unsigned acc)
{
	cpu->exc = (struct exception){.vector = X86_PF, .has_error = true, .cr2 = lin};
	cpu->exc.error = acc & ACC_WRITE ? PF_W : 0;
	return CPU_FAULT;
}

static bool in_page(u64 lin, u64 page)
{
	return (lin & PAGE_MASK) == page;
}

static int check_access(struct cpu *cpu, u64 lin, unsigned len, unsigned acc)
{
	for (unsigned i = 0; i < len; i++) {
		u64 at = lin + i;
		if (at >= WORLD_SIZE || in_page(at, BAD) || (in_page(at, RO) && (acc & ACC_WRITE)))
			return page_fault(cpu, at, acc);
	}
	return CPU_OK;
}

static int mmio_read(struct cpu *cpu, u64 lin, void *buf, unsigned len)
{
	struct answers *rp = &cpu->answers;

	if (rp->next < rp->filled && rp->answer[rp->next].addr == lin) {
		memcpy(buf, &rp->answer[rp->next++].value, len);
		return CPU_OK;
	}
	cpu->exit = (struct exit){.reason = EXIT_MMIO_READ, .mmio = {.gpa = lin, .len = len}};
	return CPU_EXIT;
}

int mem_phys_read(struct cpu *cpu, u64 gpa, void *buf, unsigned len)
{
	memcpy(buf, w.mem + gpa, len);
	return CPU_OK;
}

int mem_phys_write(struct cpu *cpu, u64 gpa, const void *buf, unsigned len)
{
	memcpy(w.mem + gpa, buf, len);
	return CPU_OK;
}

int mem_read(struct cpu *cpu, u64 lin, void *buf, unsigned len, unsigned acc)
{
	int r = check_access(cpu, lin, len, acc & ~ACC_WRITE);

	if (r)
		return r;
	if (in_page(lin, MMIO))
		return mmio_read(cpu, lin, buf, len);
	memcpy(buf, w.mem + lin, len);
	return CPU_OK;
}

int mem_write(struct cpu *cpu, u64 lin, const void *buf, unsigned len, unsigned acc)
{
	int r = check_access(cpu, lin, len, acc | ACC_WRITE);

	if (r)
		return r;
	if (in_page(lin, MMIO)) {
		struct posted_write *p = &cpu->posted[cpu->posted_count++];
		*p = (struct posted_write){.gpa = lin, .len = len};
		memcpy(p->data, buf, len);
		return CPU_OK;
	}
	memcpy(w.mem + lin, buf, len);
	return CPU_OK;
}

int mem_probe_write(struct cpu *cpu, u64 lin, unsigned len, unsigned acc)
{
	return check_access(cpu, lin, len, acc | ACC_WRITE);
}

int mem_probe_read(struct cpu *cpu, u64 lin, unsigned len, unsigned acc)
{
	return check_access(cpu, lin, len, acc);
}

int mem_host(struct cpu *cpu, u64 lin, unsigned len, unsigned acc, void **ret)
{
	int r = check_access(cpu, lin, 1, acc);

	if (r)
		return r;
	*ret = NULL;
	if ((lin & ~PAGE_MASK) + len <= PAGE_SIZE && !in_page(lin, MMIO) && !in_page(lin, NOHOST))
		*ret = w.mem + lin;
	return CPU_OK;
}

int mem_host_store(struct cpu *cpu, u64 lin, unsigned len, void **ret, u64 *ret_watched)
{
	*ret_watched = MEM_UNWATCHED;
	return mem_host(cpu, lin, len, ACC_WRITE, ret);
}

u8 *slot_page(struct machine *m, u64 gpa, u32 *ret_flags)
{
	*ret_flags = 0;
	return gpa < WORLD_SIZE ? w.mem + gpa : NULL;
}

void tlb_flush_all(struct cpu *cpu)
{
	w.flush_all++;
}

void tlb_flush_nonglobal(struct cpu *cpu)
{
	w.flush_nonglobal++;
}

void tlb_flush_page(struct cpu *cpu, u64 lin)
{
	w.flush_page++;
	w.flushed = lin;
}

_Noreturn void check_failed(const char *expr, const char *file, int line)
{
	fail_msg("%s at %s:%d", expr, file, line);
	abort();
}

u64 peek(u64 addr, unsigned size)
{
	u64 v = 0;

	memcpy(&v, w.mem + addr, size);
	return v;
}

void poke(u64 addr, u64 value, unsigned size)
{
	memcpy(w.mem + addr, &value, size);
}

void answer(u8 reason, u64 addr, unsigned len, u64 value)
{
	struct answers *rp = &w.cpu.answers;

	rp->answer[rp->filled].reason = reason;
	rp->answer[rp->filled].addr = addr;
	rp->answer[rp->filled].len = (u8)len;
	rp->answer[rp->filled].value = value;
	rp->answer[rp->filled].error = false;
	rp->filled++;
}

/* ---- start states ---- */

static void start(void)
{
	memset(&w, 0, offsetof(struct cpu, tlb));
	memset(w.mem, 0, sizeof(w.mem));
	for (unsigned i = 0; i < TLB_VIEWS; i++)
		for (unsigned k = 0; k < TLB_KINDS; k++)
			w.cpu.tlb[i][k].neg_tag[0] = tlb_empty(0);
	cpu_reset(&w.cpu, false);
	msr_reset(&w.cpu);
	w.flush_all = w.flush_nonglobal = w.flush_page = 0;
	w.cpu.rip = 0x1000;
	w.cpu.gpr[RDX] = 0;
	w.cpu.gpr[RSP] = STACK;
	w.cpu.phys_bits = 40;
	w.cpu.cr4_allowed = ~0ull >> 32 & ~(u64)CR4_LA57;
	w.cpu.xcr0_allowed = XSTATE_OFFERED;
	w.cpu.pv_allowed = ~0u;
}

static void flat_segments(unsigned cpl, u32 code, u32 data)
{
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		w.cpu.seg[i] = (struct segment){
			.limit = ~0u, .attr = data | cpl << 5, .selector = (u16)(0x10 | cpl)};
	w.cpu.seg[SEG_CS].attr = code | cpl << 5;
	w.cpu.seg[SEG_TR] = (struct segment){.base = TSS, .limit = 0x67, .attr = 0x8b};
	cpu_update_mode(&w.cpu);
	assert_int_equal(w.cpu.cpl, cpl);
}

void start_long(unsigned cpl)
{
	start();
	w.cpu.cr0 = CR0_PE | CR0_PG | CR0_ET;
	w.cpu.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXSAVE;
	w.cpu.xcr0 = XSTATE_OFFERED;
	w.cpu.efer = EFER_LME | EFER_LMA;
	flat_segments(cpl, 0x9b | SEG_L | SEG_G, 0x93 | SEG_DB | SEG_G);
	assert_int_equal(w.cpu.code_size, 8);
}

void start_protected(unsigned cpl)
{
	start();
	w.cpu.cr0 = CR0_PE | CR0_ET;
	flat_segments(cpl, 0x9b | SEG_DB | SEG_G, 0x93 | SEG_DB | SEG_G);
	assert_int_equal(w.cpu.code_size, 4);
}

void start_real(void)
{
	start();
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		w.cpu.seg[i] = (struct segment){.limit = 0xffff, .attr = 0x93};
	w.cpu.gpr[RSP] = 0x8000;
	cpu_update_mode(&w.cpu);
}

/* ---- dispatch ---- */

#define H(OP, op) [OP_##OP] = op_##op
static const op_handler handlers[OP_COUNT] = {
	H(PUSH_REG, push_reg),
	H(PUSH_IMM, push_imm),
	H(PUSH_RM, push_rm),
	H(PUSH_SEG, push_seg),
	H(POP_REG, pop_reg),
	H(POP_RM, pop_rm),
	H(POP_SEG, pop_seg),
	H(PUSHA, pusha),
	H(POPA, popa),
	H(PUSHF, pushf),
	H(POPF, popf),
	H(ENTER, enter),
	H(LEAVE, leave),
	H(MOVS, movs),
	H(CMPS, cmps),
	H(STOS, stos),
	H(LODS, lods),
	H(SCAS, scas),
	H(INS, ins),
	H(OUTS, outs),
	H(IN_IMM, in_imm),
	H(IN_DX, in_dx),
	H(OUT_IMM, out_imm),
	H(OUT_DX, out_dx),
	H(CLI, cli),
	H(STI, sti),
	H(CLAC, clac),
	H(STAC, stac),
	H(HLT, hlt),
	H(CPUID, cpuid),
	H(RDMSR, rdmsr),
	H(WRMSR, wrmsr),
	H(RDTSC, rdtsc),
	H(RDTSCP, rdtscp),
	H(RDPMC, rdpmc),
	H(RDPID, rdpid),
	H(MOV_FROM_CR, mov_from_cr),
	H(MOV_TO_CR, mov_to_cr),
	H(MOV_FROM_DR, mov_from_dr),
	H(MOV_TO_DR, mov_to_dr),
	H(CLTS, clts),
	H(LMSW, lmsw),
	H(SMSW, smsw),
	H(LGDT, lgdt),
	H(LIDT, lidt),
	H(SGDT, sgdt),
	H(SIDT, sidt),
	H(INVLPG, invlpg),
	H(INVPCID, invpcid),
	H(INVD, invd),
	H(WBINVD, wbinvd),
	H(SWAPGS, swapgs),
	H(RDFSBASE, rdfsbase),
	H(RDGSBASE, rdgsbase),
	H(WRFSBASE, wrfsbase),
	H(WRGSBASE, wrgsbase),
	H(XGETBV, xgetbv),
	H(XSETBV, xsetbv),
	H(MONITOR, monitor),
	H(MWAIT, mwait),
	H(VMCALL, vmcall),
	H(VMMCALL, vmmcall),
	H(RSM, rsm),
	H(MOV_MOFFS, mov_moffs),
	H(XLAT, xlat),
	H(BT_MEM, bt_mem),
	H(BCD, bcd),
	H(BOUND, bound),
	H(SALC, salc),
	H(INC_DEC_SHORT, inc_dec_short),
	H(CLFLUSH, clflush),
	H(FNSTENV, fnstenv),
	H(FLDENV, fldenv),
	H(FNSAVE, fnsave),
	H(FRSTOR, frstor),
	H(FXSAVE, fxsave),
	H(FXRSTOR, fxrstor),
	H(XSAVE, xsave),
	H(XSAVEOPT, xsaveopt),
	H(XSAVEC, xsavec),
	H(XSAVES, xsaves),
	H(XRSTOR, xrstor),
	H(XRSTORS, xrstors),
	H(MASKMOV, maskmov),
	H(MASKMOVDQU, maskmovdqu),
	H(GATHER, gather),
};

int exec_bytes(const u8 *bytes, unsigned n)
{
	struct cpu *cpu = &w.cpu;
	struct insn in;

	assert_int_equal(insn_decode(&in, bytes, n, cpu->code_size), INSN_OK);
	assert_int_equal(in.len, n);
	assert_non_null(handlers[in.desc->op]);
	cpu->next_rip = cpu->rip + n;
	cpu->shadow = 0;
	cpu->answers.next = 0;
	int r = handlers[in.desc->op](cpu, &in);
	if (!r) {
		cpu->rip = cpu->next_rip;
		cpu->answers.filled = 0;
	}
	return r;
}

void assert_fault(int r, u8 vector, u32 error)
{
	assert_int_equal(r, CPU_FAULT);
	assert_int_equal(w.cpu.exc.vector, vector);
	assert_int_equal(w.cpu.exc.has_error, error != NO_ERROR);
	if (error != NO_ERROR)
		assert_int_equal(w.cpu.exc.error, error);
}
