/* SPDX-License-Identifier: MIT */
/* See miss.h. */
#include "engine/jit/miss.h"

#include "engine/core/block_key.h"
#include "engine/insn/operand.h"
#include "engine/mem/mem.h"

struct miss {
	u64 lin;
	unsigned size;
	enum tlb_kind kind;
};

/* True: it is there now, and was not before. Whatever went wrong goes wrong again for who does the access. */
static bool filled(struct cpu *cpu, const struct miss *m, unsigned acc)
{
	u64 gpa;
	void *hva;

	if ((m->lin & ~PAGE_MASK) + m->size > PAGE_SIZE)
		return false;
	if (tlb_lookup(cpu, cpu->view, m->kind, m->lin, m->size))
		return false; /* nothing was missing: do not loop */
	if (tlb_fill(cpu, m->lin, acc, &hva, &gpa)) {
		cpu->exit.reason = EXIT_NONE; /* what was asked will be asked again */
		return false;
	}
	return tlb_lookup(cpu, cpu->view, m->kind, m->lin, m->size);
}

/* A tap that refuses pages is asked once, by step(). */
static bool plain_access(const struct cpu *cpu, const struct insn *in)
{
	return !cpu->denies && in->desc->op == OP_NATIVE && in->is_mem && in->mem_size &&
	       in->desc->mem != MEM_ADDR && in->desc->mem != MEM_NONE;
}

static const u8 *code_of(const struct cpu *cpu, const struct block *t, unsigned guest)
{
	const struct code_cache *c = cpu->machine->code;
	const struct insn_place *map = block_map(c->blocks, t);
	unsigned i = 0;

	while (i < t->insns && map[i].guest != guest)
		i++;
	uv_assert(i < t->insns);
	return c->exec_view + t->code + map[i].code;
}

const u8 *miss_retry(struct cpu *cpu, const struct exit_record *rec, const struct block *t,
	const struct insn *in)
{
	struct miss m = {
		.size = in->mem_size, .kind = in->desc->mem == MEM_READ ? TLB_READ : TLB_WRITE};
	unsigned acc = m.kind == TLB_READ ? ACC_READ : ACC_WRITE;

	/* The entry of a block may refuse its first instruction (BK_LIMIT_ODD), and would not be asked again. */
	if ((rec->base & (RECORD_NO_FORM | RECORD_SHADOWED)) || (t->key & BK_LIMIT_ODD) ||
		!plain_access(cpu, in) || operand_linear(cpu, in, m.size, acc, &m.lin) ||
		!filled(cpu, &m, acc))
		return NULL;
	return code_of(cpu, t, rec->guest);
}

static bool first_writes(const struct insn *in)
{
	if (in->desc->op == OP_NATIVE)
		return in->desc->mem != MEM_READ;
	return insn_class(in) & OC_PUSHES;
}

static unsigned group_access(const struct miss *m, const struct insn *first)
{
	if (first_writes(first))
		return ACC_WRITE;
	return m->kind == TLB_WRITE ? ACC_READ | ACC_WRITE_NEXT : ACC_READ;
}

bool miss_retry_group(struct cpu *cpu, const struct exit_record *rec, const struct insn *in)
{
	u64 lin = cpu->gpr[rec->base & 15] + (u64)(s64)(rec->target >> 16);
	struct miss m = {.lin = cpu->code_size == 8 ? lin : (u32)lin,
		.size = rec->target & 0xffff,
		.kind = rec->base & RECORD_WRITES ? TLB_WRITE : TLB_READ};

	return filled(cpu, &m, group_access(&m, in));
}
