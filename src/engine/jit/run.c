/* SPDX-License-Identifier: MIT */
/*
 * The inner loop: finds or makes the block at rip, enters it, and deals with the way it came back. Everything that
 * needs devices, locks, sleeping or user space returns to outer code (vcpu/loop.c).
 */
#include "engine/jit/run.h"

#include <string.h>

#include "engine/code/block.h"
#include "engine/code/cache.h"
#include "engine/cpu/fpu.h"
#include "engine/jit/check.h"
#include "engine/jit/jump.h"
#include "engine/jit/miss.h"
#include "engine/jit/pagelink.h"
#include "engine/core/layout.h"
#include "engine/cpu/segment.h"
#include "engine/jit/translate.h"
#include "engine/host/raw.h"
#include "engine/core/stat.h"
#include "engine/cpu/exception.h"
#include "engine/insn/operand.h"
#include "engine/insn/step.h"
#include "engine/mem/mem.h"

/* ---- finding blocks ---- */

/* Must the next instruction be watched more closely than generated code does? */
static bool one_by_one(const struct cpu *cpu)
{
	return cpu->run_one || cpu->step_only || cpu->shadow || cpu->answers.filled ||
	       (cpu->rflags & FL_RF);
}

/*
 * One page of code, compared with what was translated from it. *hva NULL: not RAM, or nothing to translate from. What is to be forgotten
 * is forgotten before the first: what is learnt of a page that was noted before (check.c) would stay. See jump_stale() in cpu_run().
 */
static int code_page(struct cpu *cpu, u64 lin, bool first, u64 *gpa, const u8 **hva)
{
	u8 *host;
	int r = mmu_code_page(cpu, lin, gpa, &host);

	*hva = host;
	if (r || !host)
		return r;
	if (first)
		jump_refresh(cpu);
	if (!check_page(cpu, lin, *gpa, host))
		*hva = NULL;
	return CPU_OK;
}

/* Bytes from rip to the end of its segment. */
static u64 code_room(const struct cpu *cpu)
{
	u32 limit = cpu->seg[SEG_CS].limit;

	if (likely(cpu->code_size == 8))
		return ~0ull;
	return cpu->rip > limit ? 0 : (u64)limit - cpu->rip + 1;
}

static bool crosses_page(const struct cpu *cpu, const u8 *hva, u64 lin)
{
	unsigned offset = lin & ~PAGE_MASK;
	u8 code[INSN_MAX];
	struct insn in;

	return offset > PAGE_SIZE - INSN_MAX && code_room(cpu) > PAGE_SIZE - offset &&
	       !guest_copy(code, hva + offset, PAGE_SIZE - offset) &&
	       insn_decode(&in, code, PAGE_SIZE - offset, cpu->code_size) == INSN_SHORT;
}

/* Where the code at lin is; at->hva NULL: not where it can be translated from. */
static int locate(struct cpu *cpu, u64 lin, struct code_place *at)
{
	u64 next = ALIGN_UP(lin, PAGE_SIZE);
	int r;

	*at = (struct code_place){.room = code_room(cpu)};
	if (!at->room)
		return CPU_OK;
	r = code_page(cpu, lin, true, &at->gpa, &at->hva);
	at->gpa |= lin & ~PAGE_MASK;
	if (r || !at->hva || !crosses_page(cpu, at->hva, lin))
		return r;
	r = code_page(cpu, cpu->code_size == 8 ? next : (u32)next, false, &at->gpa2, &at->hva2);
	if (!at->hva2)
		at->hva = NULL;
	return r;
}

static void kill_block(struct cpu *cpu, struct block *t)
{
	cache_lock(cpu);
	block_kill(cpu->machine->code, t);
	machine_stat_inc(cpu->machine, MACHINE_STAT_BLOCKS_INVALIDATED);
	cache_unlock(cpu);
}

/* The block there; *ret NULL: step() must do its first instruction. CPU_EXIT: there is no room for it. */
static int find_block(
	struct cpu *cpu, const struct code_place *at, u32 key, bool poll, struct block **ret)
{
	struct block *t;
	bool full = false;

	stat_inc(cpu, STAT_BLOCKS_LOOKED_UP);
	t = block_find(cpu->machine->code->blocks, at->gpa, cpu->rip, key);
	if (t && ((poll && !t->poll) || t->gpa2 != at->gpa2)) {
		kill_block(cpu, t);
		t = NULL;
	}
	if (!t && page_takes_step(cpu, at->gpa)) {
		*ret = NULL;
		return CPU_OK;
	}
	*ret = t ? t : translate(cpu, at, poll, key & BLOCK_PLAIN, &full);
	return full ? cpu_leave_for_room(cpu) : CPU_OK;
}

/* ---- the ways back from generated code ---- */

/* Something that outer code must look at before the next instruction? */
static bool wants_out(const struct cpu *cpu)
{
	return cpu->posted_count || cpu->exit.reason != EXIT_NONE || cpu->debug_pending ||
	       (cpu->irq_waiting && cpu_interruptible(cpu));
}

static enum run_result why_out(const struct cpu *cpu)
{
	if (cpu->posted_count)
		return RUN_POSTED;
	return cpu->exit.reason != EXIT_NONE ? RUN_EXIT : RUN_REQUEST;
}

/* The result of an instruction, its exception delivered. CPU_OK, or CPU_EXIT. */
static int deliver_result(struct cpu *cpu, int r)
{
	return r == CPU_FAULT ? event_deliver_fault(cpu) : r;
}

static int step_deliver(struct cpu *cpu)
{
	return deliver_result(cpu, step(cpu));
}

/* An instruction of a live block: decoded from the block's copy of the code, and remembered. */
static const struct insn *cached_insn(struct cpu *cpu, u32 block, u32 guest)
{
	struct blocks *b = cpu->machine->code->blocks;
	const struct block *t = block_at(b, block);
	u64 tag = (u64)block << 16 | guest;
	struct cached_insn *e = &cpu->insns->entry[(block * 31 + guest) % INSN_CACHE];
	u8 code[INSN_MAX] = {0};

	if (e->tag == tag)
		return &e->insn;
	memcpy(code, block_guest_bytes(b, t) + guest, MIN(t->bytes - guest, (u32)INSN_MAX));
	e->tag = 0;
	if (cpu_decode(cpu, &e->insn, code, INSN_MAX) != INSN_OK)
		return NULL;
	e->tag = tag;
	return &e->insn;
}

/* What step() does for a block, by the reason why: the block has no code for it, or code that does not cover the case. */
static void count_stepped(struct cpu *cpu, const struct exit_record *rec, const struct insn *in)
{
	unsigned op = in->desc->op;
	bool missed = !(rec->base & RECORD_NO_FORM);

	stat_inc(cpu, (missed ? STAT_MISSED : STAT_UNTRANSLATED) + op);
	if (op == OP_NATIVE)
		stat_inc(cpu, (missed ? STAT_MISSED_OPCODES : STAT_UNTRANSLATED_OPCODES) +
				      (in->map & 3) * 256u + in->opcode);
}

static int step_cached(struct cpu *cpu, const struct exit_record *rec, const struct insn *in)
{
	cpu->answers.next = 0;
	if (!in)
		return step(cpu);
	count_stepped(cpu, rec, in);
	return step_insn(cpu, in);
}

/*
 * A link holds under every address space that maps the page it stands in, so it may not leave that page of guest
 * RAM: the translation of the linear address may be another one by now.
 */
static void patch_link(struct cpu *cpu, const struct exit_record *rec, const struct block *to)
{
	struct code_cache *c = cpu->machine->code;
	const struct block *from = block_at(c->blocks, rec->block);

	if (!block_linkable(from, to))
		return;
	__atomic_store_n((s32 *)(c->write_view + rec->next), (s32)(to->code - (rec->next + 4)),
		__ATOMIC_RELEASE);
}

static void forward(struct cpu *cpu, const struct block *dead, const struct block *to)
{
	cache_lock(cpu);
	if (dead->gpa == to->gpa && dead->gpa2 == to->gpa2 && dead->key == to->key &&
		block_linkable(dead, to))
		block_forward(cpu->machine->code, dead, to);
	cache_unlock(cpu);
}

/*
 * After an instruction that step() did in the middle of a block: where its generated code goes on, or NULL if
 * something changed that the code depends on.
 */
static const u8 *resume_at(struct cpu *cpu, const struct exit_record *rec, const struct block *t)
{
	u64 expected = block_rip(cpu, t) + (u64)rec->target;

	if (!rec->next || cpu->rip != expected || t->dead ||
		cpu->block_key != (t->key & ~BLOCK_PLAIN) || cpu->shadow ||
		cpu->jump_epoch != cpu->fetch_epoch)
		return NULL;
	return cpu->machine->code->exec_view + rec->next;
}

/* Inline string instructions run on host addresses; see gen_string.c. */
static void undo_string(struct cpu *cpu, u32 block, u32 guest)
{
	const struct insn *in = cached_insn(cpu, block, guest);

	if (in && in->mode != 8 && (insn_class(in) & OC_STRING)) {
		cpu->gpr[RDI] = cpu->scratch[SLOT_STRING_DST];
		cpu->gpr[RSI] = cpu->scratch[SLOT_STRING_SRC];
		return;
	}
	if (!in || (in->desc->op != OP_MOVS && in->desc->op != OP_STOS))
		return;
	cpu->gpr[RDI] += cpu->scratch[SLOT_STRING_DST];
	if (in->desc->op == OP_MOVS)
		cpu->gpr[RSI] += cpu->scratch[SLOT_STRING_SRC];
}

/* A signal in generated code: do that instruction by step(), which finds out what it means. */
static void locate_fault(struct cpu *cpu)
{
	struct code_cache *c = cpu->machine->code;
	u32 offset = cpu->host_fault.pc - (u64)c->exec_view;
	struct block *t = block_at_code(c, offset);
	const struct insn_place *map;
	unsigned i = 0;

	uv_assert(t);
	map = block_map(c->blocks, t);
	while (i + 1 < t->insns && map[i + 1].code <= offset - t->code)
		i++;
	cpu->rip = block_rip(cpu, t) + map[i].guest;
	undo_string(cpu, t->number, map[i].guest);
}

/* What holds interrupts off before the instruction at guest, which generated code has reached. */
static u8 shadow_before(struct cpu *cpu, const struct block *t, u32 guest)
{
	struct blocks *b = cpu->machine->code->blocks;
	const struct insn_place *map = block_map(b, t);
	const struct insn *in = NULL;

	for (unsigned i = 1; i < t->insns && !t->dead; i++)
		if (map[i].guest == guest)
			in = cached_insn(cpu, t->number, map[i - 1].guest);
	return in ? insn_shadow(in) : 0;
}

/* Who leaves in front of an instruction, or is shown so (OUT), leaves with the shadow; nothing within a block needs it. */
static void leave_shadow(struct cpu *cpu, const struct block *t, u32 guest)
{
	bool out = cpu->exit.reason == EXIT_IO_OUT && !machine_intercepts(cpu->machine);

	if (out || cpu->rip == block_rip(cpu, t) + guest)
		*(out ? &cpu->out.shadow : &cpu->shadow) = shadow_before(cpu, t, guest);
}

/* Canonical, or within the segment? */
static bool rip_valid(const struct cpu *cpu)
{
	if (likely(cpu->code_size == 8))
		return cpu_canonical(cpu, cpu->rip);
	return cpu->rip <= cpu->seg[SEG_CS].limit;
}

static void move_sp(struct cpu *cpu, u64 by)
{
	reg_write(cpu, RSP, cpu->stack_size, true, cpu->gpr[RSP] + by);
}

/* Outside 64-bit mode only a target that was not known to the translator is checked here. */
static bool branch_checks(const struct cpu *cpu, const struct insn *in)
{
	return insn_class(in) & (cpu->code_size == 8 ? OC_NEAR : OC_INDIRECT);
}

/*
 * A near branch to an address that is not valid faults itself (SDM 2: JMP, CALL, RET). Generated code has done
 * the rest of it already: the stack pointer goes back. (What CALL has stored below it stays.)
 */
static int branch_fault(struct cpu *cpu, const struct exit_record *rec, const struct block *t)
{
	const struct insn *in = cached_insn(cpu, rec->block, rec->guest);

	if (!in || !branch_checks(cpu, in))
		return CPU_OK; /* got there by itself */
	if (in->desc->op == OP_RET)
		move_sp(cpu, -(u64)(in->op_size + (in->imm_len ? (u16)in->imm : 0)));
	else if (in->desc->op == OP_CALL_REL || in->desc->op == OP_CALL_RM)
		move_sp(cpu, in->op_size);
	cpu->rip = block_rip(cpu, t) + rec->guest;
	return deliver_result(cpu, cpu_gp0(cpu));
}

struct entry {
	const u8 *host;                     /* where to enter generated code; NULL: find a block */
	const struct exit_record *link;     /* patch this when the block is found */
	const struct exit_record *pagelink; /* or this */
	struct block *dead; /* came from here: lead it to the block that takes its place */
	bool plain;         /* the variant without groups is wanted */
};

/* Deal with one exit. CPU_OK, or CPU_EXIT. */
static int handle_record(struct cpu *cpu, const struct exit_record *rec, struct entry *next)
{
	struct blocks *b = cpu->machine->code->blocks;
	struct block *t = block_at(b, rec->block);
	const struct insn *in;
	int r;

	(void)__atomic_load_n(&b->published, __ATOMIC_ACQUIRE); /* t is complete, whoever made it */
	*next = (struct entry){0};
	switch (rec->kind) {
	case REC_LINK:
		cpu->rip = block_rip(cpu, t) + (s64)rec->target;
		next->link = rec;
		return CPU_OK;
	case REC_PAGELINK:
		/* rip is the target. FRAME_PAGE may be its page's already. */
		next->pagelink = rec;
		return likely(rip_valid(cpu)) ? CPU_OK : branch_fault(cpu, rec, t);
	case REC_STEP:
		cpu->rip = block_rip(cpu, t) + rec->guest;
		in = t->dead ? NULL : cached_insn(cpu, rec->block, rec->guest);
		cpu->answers.next = 0;
		next->host = in ? miss_retry(cpu, rec, t, in) : NULL;
		if (next->host)
			return CPU_OK;
		r = step_cached(cpu, rec, in);
		if (unlikely(r == CPU_EXIT || cpu->exit.reason != EXIT_NONE))
			leave_shadow(cpu, t, rec->guest);
		if (r) /* not on in the block: the handler may have the same rip in another segment */
			return deliver_result(cpu, r);
		next->host = resume_at(cpu, rec, t);
		return CPU_OK;
	case REC_GROUP:
		cpu->rip = block_rip(cpu, t) + rec->guest;
		in = t->dead ? NULL : cached_insn(cpu, rec->block, rec->guest);
		cpu->answers.next = 0;
		next->plain = !in || !miss_retry_group(cpu, rec, in);
		if (!next->plain)
			next->host = cpu->machine->code->exec_view + rec->next;
		return CPU_OK;
	case REC_POLL: cpu->rip = block_rip(cpu, t); return CPU_OK;
	case REC_DEAD:
		cpu->rip = block_rip(cpu, t);
		next->dead = t;
		next->plain = t->key & BLOCK_PLAIN;
		return CPU_OK;
	case REC_FAULT:
		locate_fault(cpu);
		return cpu->host_fault.signo ? step_deliver(cpu) : CPU_OK; /* called away */
	case REC_INDIRECT:
		cpu->rip -= cpu->code_tag;
		if (rec->block && unlikely(!rip_valid(cpu)))
			return branch_fault(cpu, rec, t);
		return CPU_OK;
	default: return CPU_OK;
	}
}

/* Come out of the loop? Also puts the jump tables back to work after a request. */
static bool requested(struct cpu *cpu)
{
	if (unlikely(__atomic_load_n(&cpu->exit_request, __ATOMIC_RELAXED))) {
		cpu_serve_requests(cpu);
		if (__atomic_load_n(&cpu->exit_request, __ATOMIC_ACQUIRE))
			return true;
	}
	if (unlikely(!__atomic_load_n(&cpu->jump_mask, __ATOMIC_RELAXED) ||
		     !__atomic_load_n(&cpu->page_mask, __ATOMIC_RELAXED))) {
		__atomic_store_n(&cpu->jump_mask, JUMP_MASK, __ATOMIC_SEQ_CST);
		__atomic_store_n(&cpu->page_mask, PAGELINK_MASK, __ATOMIC_SEQ_CST);
	}
	return __atomic_load_n(&cpu->exit_request, __ATOMIC_ACQUIRE);
}

/* The way to the block there is not known, or not how it was come to. */
static int enter_block(struct cpu *cpu, const struct code_place *at, u32 key, struct entry *next)
{
	bool backward = next->link ? next->link->target <= (s32)next->link->guest
				   : next->dead && next->dead->poll;
	struct block *t;
	int r = find_block(cpu, at, key, backward, &t);

	if (r)
		return deliver_result(cpu, r);
	if (!t)
		return step_deliver(cpu);
	if (next->link && !t->gpa2)
		patch_link(cpu, next->link, t);
	else
		jump_learn(cpu, t);
	if (next->pagelink)
		pagelink_make(cpu, next->pagelink, t);
	if (next->dead)
		forward(cpu, next->dead, t);
	next->host = cpu->machine->code->exec_view + t->code - t->far;
	return CPU_OK;
}

/* Next entry into generated code, or one step(). CPU_OK with next->host NULL: a step was done. */
static int next_entry(struct cpu *cpu, struct entry *next)
{
	u32 key = cpu->block_key | (next->plain ? BLOCK_PLAIN : 0);
	bool from_nowhere = !next->link && !next->dead && !next->pagelink;
	struct code_place at;
	int r;

	jump_refresh(cpu);
	if (!translatable(cpu->block_key) || one_by_one(cpu))
		return step_deliver(cpu);
	if (from_nowhere && !next->plain)
		next->host = jump_lookup(cpu);
	if (next->host)
		return CPU_OK;
	cpu->answers.next = 0;
	r = locate(cpu, cpu_code_linear(cpu, cpu->rip), &at);
	if (r)
		return deliver_result(cpu, r);
	if (!at.hva)
		return step_deliver(cpu);
	if (next->pagelink)
		from_nowhere = pagelink_follow(cpu, next->pagelink, at.gpa);
	if (from_nowhere && !at.hva2)
		next->host = jump_way(cpu, at.gpa, key);
	return next->host ? CPU_OK : enter_block(cpu, &at, key, next);
}

static enum run_result left(struct cpu *cpu)
{
	return cpu->cache_full ? RUN_CACHE_FULL : RUN_EXIT;
}

/* The code cache was emptied since we were here last, or we are here for the first time. */
static void begin_epoch(struct cpu *cpu)
{
	memset(cpu->insns, 0, sizeof(*cpu->insns));
	jump_init(cpu);
}

/* Is user code to run as it is from here? */
static bool wants_direct(const struct cpu *cpu)
{
	return cpu->direct.armed && cpu->cpl == 3 && cpu->code_size == 8 && !one_by_one(cpu);
}

/* An instruction that could not run as it is. Who stays long where code cannot is translated. CPU_OK, or CPU_EXIT. */
static int step_for_direct(struct cpu *cpu)
{
	bool there = (cpu->rip & PAGE_MASK) == cpu->direct.avoid;

	cpu->direct.steps = there ? cpu->direct.steps - 1 : 0;
	if (there && !cpu->direct.steps)
		cpu->direct.armed = false;
	cpu->answers.next = 0;
	return step_deliver(cpu);
}

enum run_result cpu_run(struct cpu *cpu)
{
	const struct exit_record *rec;
	struct entry next = {0};

	if (cpu->code_epoch != atomic_load(&cpu->machine->code->epoch))
		begin_epoch(cpu);
	for (;;) {
		if (unlikely(requested(cpu)))
			return RUN_REQUEST;
		if (unlikely(cpu->direct.armed) && wants_direct(cpu)) {
			if (!cpu->direct.steps)
				return RUN_DIRECT;
			if (step_for_direct(cpu) != CPU_OK)
				return left(cpu);
			if (unlikely(wants_out(cpu)))
				return why_out(cpu);
			next = (struct entry){0};
			continue;
		}
		if (!next.host && next_entry(cpu, &next) != CPU_OK)
			return left(cpu);
		if (unlikely(wants_out(cpu)))
			return why_out(cpu);
		if (next.host && unlikely(jump_stale(cpu))) {
			next = (struct entry){0}; /* a flush was served meanwhile */
			continue;
		}
		if (next.host) {
			rec = fpu_run_code(cpu, next.host);
			if (handle_record(cpu, rec, &next) != CPU_OK)
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
