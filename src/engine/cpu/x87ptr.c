/* SPDX-License-Identifier: MIT */
/* See x87ptr.h. Inner code. */
#include "engine/cpu/x87ptr.h"

#include "engine/code/block.h"
#include "engine/core/block_key.h"
#include "engine/code/cache.h"
#include "engine/core/xsave.h"
#include "engine/core/machine.h"

/* Stand for what the guest has loaded: generated code and guest memory have other addresses, and DF FF is no instruction. */
#define FIP_LOADED 1
#define FDP_LOADED 1
#define FOP_LOADED 0x7ff

/* An x87 instruction in generated code, as the guest has it. */
struct place {
	const struct block *block;
	u64 rip;
	struct insn insn;
};

static unsigned code_size(u32 key)
{
	return key & BK_CODE64 ? 8 : key & BK_CODE32 ? 4 : 2;
}

/* False: not in a block, so in a stub of step(). */
static bool find_place(const struct cpu *cpu, u64 fip, struct place *ret)
{
	const struct code_cache *c = cpu->machine->code;
	u32 offset = (u32)(fip - (u64)c->exec_view);
	const struct block *t = cache_contains(c, fip) ? block_at_code(c, offset) : NULL;
	u8 code[INSN_MAX] = {0};
	const struct insn_place *map;
	unsigned i = 0;

	if (!t || !t->insns)
		return false;
	map = block_map(c->blocks, t);
	while (i + 1u < t->insns && map[i + 1].code <= offset - t->code)
		i++;
	__builtin_memcpy(code, block_guest_bytes(c->blocks, t) + map[i].guest,
		MIN(t->bytes - map[i].guest, INSN_MAX));
	ret->block = t;
	ret->rip = t->rip + map[i].guest;
	return insn_decode(&ret->insn, code, INSN_MAX, code_size(t->key)) == INSN_OK;
}

/* SDM 1:8.1.9: the low bits of the first opcode byte, and ModRM. */
u16 x87_opcode_of(const struct insn *in)
{
	return (u16)((in->opcode & 7) << 8 | in->modrm);
}

/* As an offset in its segment, of which 64-bit code knows the bases of fs and gs only. */
static u64 linear_to_offset(const struct cpu *cpu, const struct place *p, u64 lin)
{
	bool wide = p->block->key & BK_CODE64;

	if (!wide || p->insn.seg >= SEG_FS)
		lin -= cpu->seg[p->insn.seg].base;
	return wide ? lin : (u32)lin;
}

/*
 * Where the guest has the memory at a host address that one of its instructions has just accessed: the TLB knows, unless
 * the entry has gone since. It is noted only with unmasked exceptions (FDP_EXCPTN_ONLY), so this may take its time.
 */
static u64 operand_of(const struct cpu *cpu, const struct place *p, u64 host)
{
	for (unsigned i = 0; i < TLB_VIEWS * TLB_KINDS; i++) {
		const struct tlb *tlb = &cpu->tlb[i / TLB_KINDS];

		for (unsigned n = 0; n < TLB_SIZE; n++) {
			const struct tlb_entry *t = &tlb->page[n].of[i % TLB_KINDS];

			if (host - t->hva < PAGE_SIZE && t->neg_tag != tlb_empty(n))
				return linear_to_offset(cpu, p, host - t->hva - t->neg_tag);
		}
	}
	return 0;
}

/*
 * Opcode and operand are those of unmasked exceptions (FDP_EXCPTN_ONLY). Some processors note every one; and once ES is
 * clear again, the last instruction is no longer the one that they belong to.
 */
static bool exception_noted(const struct fpu_image *f)
{
	return f->fsw & FSW_ES;
}

static bool operand_counts(const struct fpu_image *f)
{
	return f->fdp && f->fdp != FDP_LOADED && exception_noted(f);
}

static struct x87_pointers noted(const struct cpu *cpu, const struct fpu_image *f)
{
	struct x87_pointers now = cpu->x87_stepped;
	struct place p;

	if (find_place(cpu, f->fip, &p)) {
		now.fip = p.rip;
		now.fop = x87_opcode_of(&p.insn);
		now.fdp = operand_counts(f) ? operand_of(cpu, &p, f->fdp) : 0;
	}
	if (f->fop == FOP_LOADED || !f->fop || !exception_noted(f))
		now.fop = f->fop ? cpu->x87_loaded.fop : 0;
	if (!operand_counts(f))
		now.fdp = f->fdp ? cpu->x87_loaded.fdp : 0;
	return now;
}

void x87_pointers_show(struct cpu *cpu)
{
	struct fpu_image *f = fpu_image(cpu);
	struct x87_pointers now = {0};

	if (likely(!f->fip)) /* and so the others */
		now.fip = 0;
	else if (f->fip == FIP_LOADED)
		now = cpu->x87_loaded;
	else
		now = noted(cpu, f);
	f->fip = now.fip;
	f->fdp = now.fdp;
	f->fop = now.fop;
}

/* What a Xeon keeps of an instruction pointer, a canonical address of 57 bits; an operand's stays whole: measured. */
static u64 kept(u64 fip)
{
	return (u64)((s64)(fip << 7) >> 7);
}

void x87_pointers_hide(struct cpu *cpu)
{
	struct fpu_image *f = fpu_image(cpu);

	cpu->x87_loaded = (struct x87_pointers){
		.fip = kept(f->fip), .fdp = f->fdp, .fop = f->fop & FOP_LOADED};
	if (likely(!(f->fip | f->fdp | f->fop))) /* or the state would be in use for it */
		return;
	f->fip = FIP_LOADED;
	f->fdp = FDP_LOADED;
	f->fop = FOP_LOADED;
}
