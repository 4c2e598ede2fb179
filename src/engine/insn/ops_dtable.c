/* SPDX-License-Identifier: MIT */
/*
 * Descriptor table registers and the instructions that invalidate translations.
 */
#include "engine/cpu/segment.h"
#include "engine/cpuid/cpuid.h"
#include "engine/insn/operand.h"
#include "engine/insn/ops.h"
#include "engine/mem/mem.h"
#include "engine/tap/ask.h"

/* ---- lgdt, lidt, sgdt, sidt ---- */

static unsigned dtable_bytes(const struct insn *in)
{
	return in->mode == 8 ? 10 : 6;
}

static int dtable_load(
	struct cpu *cpu, const struct insn *in, enum tap_table which, struct dtable *t)
{
	struct __attribute__((packed)) {
		u16 limit;
		u64 base;
	} image = {0};
	u64 lin;
	int r;

	if (tap_table(cpu, in, which, false, &r))
		return r;
	r = operand_linear(cpu, in, dtable_bytes(in), ACC_READ, &lin);
	if (!r)
		r = mem_read(cpu, lin, &image, dtable_bytes(in), ACC_READ);
	if (r)
		return r;
	if (in->mode == 8 ? !cpu_canonical(cpu, image.base) : false)
		return cpu_gp0(cpu);
	if (in->mode != 8 && in->op_size == 2)
		image.base &= 0xffffff; /* the 286's width */
	t->base = image.base;
	t->limit = image.limit;
	return CPU_OK;
}

static int dtable_store(
	struct cpu *cpu, const struct insn *in, enum tap_table which, const struct dtable *t)
{
	struct __attribute__((packed)) {
		u16 limit;
		u64 base;
	} image = {.limit = t->limit, .base = t->base};
	u64 lin;
	int r;

	if ((cpu->cr4 & CR4_UMIP) && cpu->cpl > 0)
		return cpu_gp0(cpu);
	if (tap_table(cpu, in, which, true, &r))
		return r;
	r = operand_linear(cpu, in, dtable_bytes(in), ACC_WRITE, &lin);
	if (!r) /* a word and behind it a doubleword or more, SDM 3:3.5.1 */
		r = check_alignment(cpu, lin + 2, 4);
	return r ? r : mem_write(cpu, lin, &image, dtable_bytes(in), ACC_WRITE);
}

int op_lgdt(struct cpu *cpu, const struct insn *in)
{
	return dtable_load(cpu, in, TAP_GDTR, &cpu->gdt);
}

int op_lidt(struct cpu *cpu, const struct insn *in)
{
	return dtable_load(cpu, in, TAP_IDTR, &cpu->idt);
}

int op_sgdt(struct cpu *cpu, const struct insn *in)
{
	return dtable_store(cpu, in, TAP_GDTR, &cpu->gdt);
}

int op_sidt(struct cpu *cpu, const struct insn *in)
{
	return dtable_store(cpu, in, TAP_IDTR, &cpu->idt);
}

/* ---- invlpg, invpcid, caches ---- */

/* invlpg takes any address and checks nothing (SDM 2: INVLPG). */
int op_invlpg(struct cpu *cpu, const struct insn *in)
{
	u64 lin = operand_offset(cpu, in);

	if (cpu->code_size != 8)
		lin = (u32)(lin + cpu->seg[in->seg].base);
	else if (in->seg == SEG_FS || in->seg == SEG_GS)
		lin += cpu->seg[in->seg].base;
	tlb_flush_page(cpu, lin);
	return CPU_OK;
}

enum { INVPCID_ADDRESS, INVPCID_CONTEXT, INVPCID_ALL, INVPCID_ALL_NONGLOBAL };

static bool invpcid_valid(const struct cpu *cpu, u64 type, const u64 desc[2])
{
	if (type > INVPCID_ALL_NONGLOBAL || (desc[0] & ~CR3_PCID_MASK))
		return false;
	if (type <= INVPCID_CONTEXT && desc[0] && !(cpu->cr4 & CR4_PCIDE))
		return false;
	return type != INVPCID_ADDRESS || cpu_canonical(cpu, desc[1]);
}

int op_invpcid(struct cpu *cpu, const struct insn *in)
{
	u64 type = reg_read(cpu, in->reg, in->mode == 8 ? 8 : 4, true), desc[2], lin;

	if (cpu->lacks & LACKS_INVPCID)
		return cpu_raise(cpu, X86_UD);
	if (cpu->cpl != 0)
		return cpu_gp0(cpu);
	int r = operand_linear(cpu, in, 16, ACC_READ, &lin);
	if (!r)
		r = mem_read(cpu, lin, desc, 16, ACC_READ);
	if (r)
		return r;
	if (!invpcid_valid(cpu, type, desc))
		return cpu_gp0(cpu);
	switch (type) {
	case INVPCID_ADDRESS: tlb_flush_page(cpu, desc[1]); break;
	case INVPCID_ALL: tlb_flush_all(cpu); break;
	default: tlb_flush_nonglobal(cpu); break; /* one address space is cached at a time */
	}
	return CPU_OK;
}

/* The host's caches are coherent with the guest's memory. */
int op_invd(struct cpu *cpu, const struct insn *in)
{
	return CPU_OK;
}

int op_wbinvd(struct cpu *cpu, const struct insn *in)
{
	return CPU_OK;
}
