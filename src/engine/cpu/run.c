/* SPDX-License-Identifier: MIT */
/*
 * The inner loop: finds or makes the block at rip, enters it, and deals with the way it came back. Everything that
 * needs devices, locks, sleeping or user space returns to outer code (vcpu.c).
 */
#include "engine/cpu/run.h"

#include <string.h>

#include "engine/cpu/block.h"
#include "engine/cpu/cache.h"
#include "engine/cpu/ops.h"
#include "engine/cpu/translate.h"
#include "engine/machine.h"

#define SERVED (REQ_FLUSH | REQ_FLUSH_W)

void cpu_serve_requests(struct cpu *cpu)
{
	u32 req = __atomic_load_n(&cpu->exit_request, __ATOMIC_ACQUIRE);

	if (req & REQ_FLUSH)
		tlb_flush_all(cpu);
	if (req & REQ_FLUSH_W)
		tlb_flush_write(cpu, ~0ull);
	if (req & SERVED)
		__atomic_fetch_and(&cpu->exit_request, ~(req & SERVED), __ATOMIC_RELEASE);
}

int cpu_leave_for_reset(struct cpu *cpu)
{
	cpu->exit.reason = EXIT_NONE;
	cpu->cache_full = true;
	return CPU_EXIT;
}

/* ---- the jump tables ---- */

static void jump_flush(struct cpu *cpu)
{
	unsigned n = MIN(cpu->jump_count, (u32)TLB_LOG);

	if (cpu->jump_count > TLB_LOG) {
		for (unsigned t = 0; t < JUMP_TABLES; t++)
			memset(&cpu->jump[t].neg_rip[1], 0, (JUMP_SIZE - 1) * sizeof(u64));
		n = 0;
	}
	for (unsigned i = 0; i < n; i++)
		cpu->jump[cpu->jump_log[i] >> 16].neg_rip[cpu->jump_log[i] & 0xffff] = 0;
	cpu->jump_count = 0;
	memset(cpu->page_checked, 0, sizeof(cpu->page_checked));
	cpu->jump_epoch = cpu->fetch_epoch;
}

/* Entry 0 is where look-ups end while an exit is requested; its tag matches no canonical address. */
static void jump_init(struct cpu *cpu)
{
	for (unsigned t = 0; t < JUMP_TABLES; t++) {
		cpu->jump[t].neg_rip[0] = 1ull << 62;
		cpu->jump[t].host[0] = (u64)cpu->machine->code->indirect;
	}
	cpu->jump_count = TLB_LOG + 1;
	jump_flush(cpu);
	cpu->code_epoch = atomic_load(&cpu->machine->code->epoch);
}

static void jump_learn(struct cpu *cpu, const struct block *t)
{
	struct code_cache *c = cpu->machine->code;
	u32 index = t->rip & JUMP_MASK;
	int table = jump_table_for(c, t->key);

	if (!index || table < 0)
		return;
	cpu->jump[table].neg_rip[index] = -t->rip;
	cpu->jump[table].host[index] = (u64)(c->exec_view + t->code);
	if (cpu->jump_count < TLB_LOG)
		cpu->jump_log[cpu->jump_count] = (u32)table << 16 | index;
	cpu->jump_count += cpu->jump_count <= TLB_LOG;
}

/* ---- finding blocks ---- */

/*
 * Writes by the caller to guest RAM (DMA, loading) are not announced. Whenever a page's translation may be
 * new to this cpu, its blocks are compared with what memory holds now.
 */
static void check_page(struct cpu *cpu, u64 gpa, const u8 *hva)
{
	u64 page = gpa & PAGE_MASK;
	u64 *seen = &cpu->page_checked[(page >> PAGE_SHIFT) % ARRAY_SIZE(cpu->page_checked)];

	if (*seen == (page | 1))
		return;
	blocks_validate_page(cpu, page, hva);
	*seen = page | 1;
}

/* Must the next instruction be watched more closely than generated code does? */
static bool one_by_one(const struct cpu *cpu)
{
	return cpu->run_one || cpu->shadow || cpu->replay.filled || (cpu->rflags & FL_RF);
}

/* The block at rip. CPU_OK with *ret NULL: step() must do the next instruction. */
static int find_block(struct cpu *cpu, bool poll, struct block **ret)
{
	u64 lin = cpu->code_size == 8 ? cpu->rip : (u32)cpu->rip;
	bool full = false;
	u64 page;
	u8 *hva;
	int r;

	*ret = NULL;
	if (!translatable(cpu->block_key) || one_by_one(cpu))
		return CPU_OK;
	r = mmu_fetch_page(cpu, lin, &page, &hva);
	if (r || !hva)
		return r;
	if (cpu->jump_epoch != cpu->fetch_epoch)
		jump_flush(cpu);
	check_page(cpu, page, hva);
	page = (page & PAGE_MASK) | (lin & ~PAGE_MASK);
	*ret = block_find(cpu->machine->code->blocks, page, lin, cpu->block_key);
	if (*ret && poll && !(*ret)->poll) {
		cache_lock(cpu);
		block_kill(cpu->machine->code, *ret);
		cache_unlock(cpu);
		*ret = NULL;
	}
	if (!*ret)
		*ret = translate(cpu, page, (u8 *)((u64)hva & PAGE_MASK), poll, &full);
	return full ? cpu_leave_for_reset(cpu) : CPU_OK;
}

/* ---- the ways back from generated code ---- */

/* Something that outer code must look at before the next instruction? */
static bool wants_out(const struct cpu *cpu)
{
	return cpu->posted_count || cpu->exit.reason != EXIT_NONE ||
	       (cpu->irq_waiting && cpu_interruptible(cpu));
}

static enum run_result why_out(const struct cpu *cpu)
{
	if (cpu->posted_count)
		return RUN_POSTED;
	return cpu->exit.reason != EXIT_NONE ? RUN_EXIT : RUN_REQUEST;
}

/* One instruction, its exception delivered. CPU_OK, or CPU_EXIT. */
static int step_deliver(struct cpu *cpu)
{
	int r = step(cpu);

	if (r == CPU_FAULT)
		r = event_deliver_exception(cpu);
	return r;
}

static void patch_link(struct cpu *cpu, const struct exit_record *rec, const struct block *to)
{
	struct code_cache *c = cpu->machine->code;
	s32 rel = (s32)(to->code - (rec->next + 4));

	__builtin_memcpy(c->write_view + rec->next, &rel, 4);
}

/*
 * After an instruction that step() did in the middle of a block: where its generated code goes on, or NULL if
 * something changed that the code depends on.
 */
static const u8 *resume_at(struct cpu *cpu, const struct exit_record *rec, const struct block *t)
{
	u64 expected = t->rip + (u64)rec->target;

	if (!rec->next || cpu->rip != expected || t->dead || cpu->block_key != t->key ||
		cpu->shadow || cpu->jump_epoch != cpu->fetch_epoch)
		return NULL;
	return cpu->machine->code->exec_view + rec->next;
}

/* A signal in generated code: do that instruction by step(), which finds out what it means. */
static void locate_fault(struct cpu *cpu)
{
	struct code_cache *c = cpu->machine->code;
	u32 offset = cpu->host_fault.pc - (u64)c->exec_view;
	struct block *t = block_at_code(c->blocks, offset);
	const struct insn_place *map;
	unsigned i = 0;

	uv_assert(t);
	map = block_map(c->blocks, t);
	while (i + 1 < t->insns && map[i + 1].code <= offset - t->code)
		i++;
	cpu->rip = t->rip + map[i].guest;
}

struct entry {
	const u8 *host;                 /* where to enter generated code; NULL: find a block */
	const struct exit_record *link; /* patch this when the block is found */
};

/* Deal with one exit. CPU_OK, or CPU_EXIT. */
static int handle_record(struct cpu *cpu, const struct exit_record *rec, struct entry *next)
{
	struct blocks *b = cpu->machine->code->blocks;
	struct block *t = &b->block[rec->block];
	int r;

	*next = (struct entry){0};
	switch (rec->kind) {
	case REC_LINK:
		cpu->rip = t->rip + (s64)rec->target;
		next->link = rec;
		return CPU_OK;
	case REC_STEP:
		cpu->rip = t->rip + rec->guest;
		r = step_deliver(cpu);
		if (r == CPU_OK)
			next->host = resume_at(cpu, rec, t);
		return r;
	case REC_POLL:
	case REC_DEAD: cpu->rip = t->rip; return CPU_OK;
	case REC_FAULT: locate_fault(cpu); return step_deliver(cpu);
	default: return CPU_OK; /* REC_INDIRECT: rip is set */
	}
}

/* Come out of the loop? Also puts the jump tables back to work after a request. */
static bool requested(struct cpu *cpu)
{
	if (unlikely(cpu->exit_request)) {
		cpu_serve_requests(cpu);
		if (__atomic_load_n(&cpu->exit_request, __ATOMIC_ACQUIRE))
			return true;
	}
	if (unlikely(!cpu->jump_mask))
		__atomic_store_n(&cpu->jump_mask, JUMP_MASK, __ATOMIC_SEQ_CST);
	return __atomic_load_n(&cpu->exit_request, __ATOMIC_ACQUIRE);
}

/* Next entry into generated code, or one step(). CPU_OK with next->host NULL: a step was done. */
static int advance(struct cpu *cpu, struct entry *next)
{
	bool backward = next->link && next->link->target <= (s32)next->link->guest;
	struct block *t;
	int r = find_block(cpu, backward, &t);

	if (r == CPU_FAULT)
		return event_deliver_exception(cpu);
	if (r)
		return r;
	if (!t)
		return step_deliver(cpu);
	if (next->link)
		patch_link(cpu, next->link, t);
	else
		jump_learn(cpu, t);
	next->host = cpu->machine->code->exec_view + t->code;
	return CPU_OK;
}

static enum run_result left(struct cpu *cpu)
{
	return cpu->cache_full ? RUN_CACHE_FULL : RUN_EXIT;
}

enum run_result cpu_run(struct cpu *cpu)
{
	struct entry next = {0};

	if (cpu->code_epoch != atomic_load(&cpu->machine->code->epoch))
		jump_init(cpu);
	for (;;) {
		if (unlikely(requested(cpu)))
			return RUN_REQUEST;
		if (!next.host && advance(cpu, &next) != CPU_OK)
			return left(cpu);
		if (unlikely(wants_out(cpu)))
			return why_out(cpu);
		if (next.host) {
			if (handle_record(cpu, code_enter(next.host, cpu_fpu_area(cpu)), &next) !=
				CPU_OK)
				return left(cpu);
			if (unlikely(wants_out(cpu)))
				return why_out(cpu);
		} else if (unlikely(cpu->run_one)) {
			return RUN_REQUEST;
		} else {
			next = (struct entry){0};
		}
	}
}
