/* SPDX-License-Identifier: MIT */
/*
 * From guest code to a block: decode up to a branch or the page's end, find out where flags are live, generate,
 * append the cold exits, enter it in the table.
 *
 * A block begins with a five-byte nop that block_kill() turns into a jump out. If it is the target of a
 * backward branch it then looks at exit_request, so no loop runs unnoticed.
 */
#include "engine/jit/translate.h"

#include <string.h>

#include "engine/core/block_key.h"
#include "engine/jit/gen.h"
#include "engine/core/layout.h"
#include "engine/code/rewrite.h"
#include "engine/core/machine.h"
#include "engine/core/stat.h"
#include "engine/host/raw.h"
#include "engine/mem/mem.h"

#define KEY_USED  BIT(31)
#define ALL_FLAGS (u16)(FL_STATUS)

#define WATCH_ATTEMPTS 8

bool translatable(u32 key)
{
	return !(key & BK_STEPPING);
}

int jump_table_for(struct code_cache *c, u32 key)
{
	for (int i = 0; i < JUMP_TABLES; i++) {
		if (!c->keys[i])
			__atomic_store_n(&c->keys[i], key | KEY_USED, __ATOMIC_RELAXED);
		if (c->keys[i] == (key | KEY_USED))
			return i;
	}
	return -1;
}

/* ---- decoding ---- */

/*
 * Some do not, although they may change what the key says: step() does them then, and run.c leaves the block if its key
 * is no longer true, or if a shadow matters.
 */
static bool ends_block(const struct gen *g, const struct insn *in)
{
	return insn_class(in) & (g->long_mode ? OC_ENDS | OC_ENDS64 : OC_ENDS);
}

static bool is_conditional(const struct insn *in)
{
	return in->desc->op == OP_JCC;
}

/*
 * Does the block go on behind a conditional branch, at that distance from its beginning? Then the branch that is not taken costs
 * nothing, and groups reach over it. But code that is there already is not made twice.
 */
#define BRANCHES_MAX 4
static bool goes_on(const struct gen *g, const struct insn *in, unsigned branches, unsigned at)
{
	return is_conditional(in) && g->flat && g->width != 2 && branches < BRANCHES_MAX &&
	       !block_find(g->cache->blocks, g->t.gpa + at, g->t.rip + at, g->t.key);
}

/* Decode from a private copy, so that what is checked later is what was translated. */
static void decode_block(struct gen *g, const u8 *code, unsigned avail)
{
	unsigned at = 0, branches = 0;
	enum insn_result r;

	g->crossing_next = false;
	while (g->count < BLOCK_INSNS_MAX && at < avail && at < BLOCK_BYTES_MAX - INSN_MAX) {
		struct insn *in = &g->insn[g->count];

		r = cpu_decode(g->cpu, in, code + at, MIN(avail - at, (unsigned)INSN_MAX));
		if (r != INSN_OK) {
			g->crossing_next = r == INSN_SHORT && avail - at < INSN_MAX;
			break;
		}
		g->place[g->count].guest = at;
		at += in->len;
		g->count++;
		if (g->t.gpa2 || (ends_block(g, in) && !goes_on(g, in, branches++, at)))
			break;
	}
	g->t.bytes = at;
	g->t.insns = g->count;
}

/* ---- flags ---- */

enum needs { NEEDS_ROW, NEEDS_NONE, NEEDS_REP, NEEDS_ALL };

static const u8 needs_of[OP_COUNT] = {
#define INSN_OP(op, handler, generator, needs, class, intercept) [OP_##op] = NEEDS_##needs,
#include "x86/insn_ops.def"
#undef INSN_OP
};

static u16 flags_read(const struct insn *in)
{
	switch ((enum needs)needs_of[in->desc->op]) {
	case NEEDS_ROW: return in->desc->flags_read;
	case NEEDS_NONE: return 0;
	case NEEDS_REP: return in->pfx & (PFX_REP | PFX_REPNE) ? ALL_FLAGS : 0;
	default: return ALL_FLAGS;
	}
}

/*
 * Where the block is or may be left all flags count as live: code that is not in it may change without the block being
 * translated again.
 */
static void find_live_flags(struct gen *g)
{
	u16 live = ALL_FLAGS;

	for (unsigned i = g->count; i-- > 0;) {
		const struct insn *in = &g->insn[i];

		live = is_conditional(in) ? ALL_FLAGS
					  : flags_read(in) | (live & ~in->desc->flags_always);
		g->flags_live[i] = live != 0;
	}
}

/* ---- generating ---- */

/* Would the instruction run into #UD or #NM for the units that this key has switched off? */
static bool units_on(const struct gen *g, const struct insn *in)
{
	u32 attr = in->desc->attr, key = g->t.key;

	if ((attr & (IA_X87 | IA_MMX | IA_SSE | IA_AVX | IA_WAIT)) && (key & BK_NO_FPU))
		return false;
	if ((attr & IA_SSE) && !(key & BK_OSFXSR))
		return false;
	if ((attr & IA_AVX512) && !(key & BK_AVX512))
		return false;
	return !(attr & IA_AVX) || (key & BK_AVX);
}

static bool gen_native_mem(struct gen *g, const struct insn *in)
{
	unsigned kind = in->desc->mem == MEM_READ ? TLB_READ : TLB_WRITE;
	struct rewrite_result r;
	s32 disp;

	if (in->desc->mem == MEM_NONE)
		return true;
	if (gen_is_high_mov(in))
		return gen_high_mov(g, in);
	if (!in->mem_size || !gen_operand(g, in, kind, in->mem_size, &disp))
		return false;
	r = rewrite_insn(&g->e, in, RW_MEM_R9_R10, disp);
	return r.done && r.borrowed == REG_NONE;
}

bool gen_native(struct gen *g, const struct insn *in)
{
	struct rewrite_result r;

	if (!units_on(g, in) || ((in->desc->attr & IA_REALUD) && gen_real(g)))
		return false;
	if (in->is_mem)
		return in->desc->mem == MEM_ADDR ? gen_lea(g, in) : gen_native_mem(g, in);
	r = rewrite_insn(&g->e, in, RW_NO_MEM, 0);
	return r.done && r.borrowed == REG_NONE;
}

bool gen_nop(struct gen *g, const struct insn *in)
{
	return true;
}

bool gen_none(struct gen *g, const struct insn *in)
{
	return false;
}

static bool (*const generators[OP_COUNT])(struct gen *g, const struct insn *in) = {
#define INSN_OP(op, handler, generator, needs, class, intercept) [OP_##op] = gen_##generator,
#include "x86/insn_ops.def"
#undef INSN_OP
};

/* Either the fast form, or nothing of it and a call of step(). */
static void gen_insn(struct gen *g, unsigned i)
{
	struct emit before = g->e;
	unsigned cold = g->cold_count;

	g->now = i;
	g->place[i].code = (u16)(cache_offset(g->cache, g->e.p) - g->t.code);
	if (!generators[g->insn[i].desc->op](g, &g->insn[i])) {
		g->e = before;
		g->cold_count = cold;
		gen_step(g);
		g->disturbed |= g->group_count > 0;
	}
	for (unsigned c = cold; c < g->cold_count; c++)
		g->cold[c].next = g->e.p;
}

/* Loop heads: leave when something is requested. */
static void gen_poll(struct gen *g)
{
	struct emit *e = &g->e;

	g->now = 0;
	if (!g->flags_live[0]) {
		emit_alu_mi8(e, 4, ALU_CMP, at_field(CPU_EXIT_REQUEST), 0);
		gen_cold(g, emit_jcc32(e, CC_NE), REC_POLL, false);
		return;
	}
	emit_store(e, H_RCX, FRAME_RCX);
	emit_load32(e, H_RCX, CPU_EXIT_REQUEST);
	gen_cold(g, emit_jmp32_unless_rcxz(e), REC_POLL, true);
	emit_load(e, H_RCX, FRAME_RCX);
}

/*
 * Where a movable block is entered from another page, with its rip in r9. It ends where code must be aligned.
 */
#define FAR_ENTRY 16
static void gen_far_entry(struct gen *g)
{
	u8 *start = g->e.p;

	emit_lea(&g->e, true, H_R9, H_R9, REG_NONE, 1, -(s32)(g->t.gpa & ~PAGE_MASK));
	emit_store(&g->e, H_R9, FRAME_PAGE);
	g->t.far = (u8)(g->e.p - start);
	uv_assert(g->t.far <= FAR_ENTRY);
	memmove(start + FAR_ENTRY - g->t.far, start, g->t.far);
	memset(start, 0xcc, FAR_ENTRY - g->t.far);
	g->e.p = start + FAR_ENTRY;
}

static void gen_entry(struct gen *g)
{
	if (g->t.movable)
		gen_far_entry(g);
	g->t.code = cache_offset(g->cache, g->e.p);
	emit_nop(&g->e, 5);
	if (g->t.poll)
		gen_poll(g);
	g->now = 0;
	if (g->t.key & BK_LIMIT_ODD) { /* else all of it lies within the segment, whichever it is */
		emit_mov_ri(&g->e, H_R9, (u32)(g->t.rip + g->t.bytes - 1));
		gen_code_limit(g);
	}
}

/* r9 = the target, and a jump that pagelink.c can turn away from the record that follows. Returns its displacement. */
static u8 *gen_pagelink_exit(const struct gen *g, struct emit *e, const struct cold_exit *c)
{
	u8 *disp;

	emit_lea(e, true, H_R9, H_R9, REG_NONE, 1,
		(s32)((g->t.rip + (u64)(s64)c->target) & ~PAGE_MASK));
	emit_nop(e, -((u64)e->p + 1) & 3);
	disp = emit_jmp32(e);
	emit_patch32(disp, e->p);
	emit_store(e, H_R9, CPU_RIP);
	return disp;
}

static void gen_cold_exit(struct gen *g, struct emit *e, const struct cold_exit *c)
{
	struct exit_record *rec;
	u8 *last = NULL;

	emit_patch32(c->from, e->p);
	if (c->restore_rcx)
		emit_load(e, H_RCX, FRAME_RCX);
	if (c->kind == REC_INDIRECT)
		emit_store(e, H_R9, CPU_RIP);
	if (c->kind == REC_PAGELINK)
		last = gen_pagelink_exit(g, e, c);
	rec = emit_exit(e, g->cache, c->kind);
	rec->block = g->index;
	rec->guest = c->guest;
	rec->target = c->target;
	rec->base = c->detail;
	if (c->kind == REC_STEP && c->next && c->guest + 0u != g->place[g->count - 1].guest)
		rec->next = cache_offset(g->cache, c->next);
	if (c->kind == REC_LINK)
		rec->next = cache_offset(g->cache, c->from);
	if (c->kind == REC_PAGELINK)
		rec->base = (u8)((u8 *)rec - last);
	if (c->kind == REC_GROUP || c->kind == REC_PAGELINK)
		rec->next = cache_offset(g->cache, c->retry);
}

static void gen_dead_exit(struct gen *g, struct emit *e)
{
	struct exit_record *rec;

	g->t.dead_exit = cache_offset(g->cache, e->p);
	rec = emit_exit(e, g->cache, REC_DEAD);
	rec->block = g->index;
}

/* Is there room for one instruction more, whichever it is? */
static bool has_room(const struct gen *g)
{
	u32 used = cache_offset(g->cache, g->e.p) - g->t.code;
	u32 cold = g->cold_count + GEN_INSN_COLD; /* and the dead exit */

	return cold <= GEN_COLD_MAX &&
	       used + GEN_INSN_BYTES + (cold + 1) * COLD_EXIT_MAX <= GEN_BYTES_MAX;
}

/* False: it does not fit, g->now is the first instruction that has no room. */
static bool gen_instructions(struct gen *g)
{
	g->cold_count = 0;
	g->disturbed = false;
	find_groups(g);
	gen_entry(g);
	for (unsigned i = 0; i < g->count; i++) {
		if (!has_room(g)) {
			g->now = i;
			return false;
		}
		gen_insn(g, i);
	}
	return true;
}

static void cut_block(struct gen *g, unsigned count)
{
	g->t.bytes = g->place[count].guest;
	g->t.insns = g->count = count;
	g->crossing_next = false;
	find_live_flags(g); /* what comes after it is not known any more */
}

static void gen_body(struct gen *g)
{
	struct emit start = g->e;

	while (!gen_instructions(g)) {
		cut_block(g, g->now);
		g->e = start;
	}
}

static u32 exits_size(const struct gen *g)
{
	u32 n = COLD_EXIT_SMALL; /* the dead exit */

	for (unsigned i = 0; i < g->cold_count; i++)
		n += g->cold[i].kind == REC_PAGELINK ? COLD_EXIT_MAX : COLD_EXIT_SMALL;
	return n;
}

/* All ways out of the block, away from its code. */
static void gen_exits(struct gen *g)
{
	struct emit e = cache_cold_emitter(g->cache, exits_size(g));

	for (unsigned i = 0; i < g->cold_count; i++)
		gen_cold_exit(g, &e, &g->cold[i]);
	gen_dead_exit(g, &e);
}

static void generate(struct gen *g)
{
	struct emit start = g->e;

	gen_body(g);
	if (g->disturbed) { /* an instruction inside a group went to step() after all */
		g->e = start;
		g->plain = true;
		gen_body(g);
	}
	if (!ends_block(g, &g->insn[g->count - 1]) || is_conditional(&g->insn[g->count - 1])) {
		if (g->crossing_next)
			gen_goto_far(g, gen_next_rip(g));
		else
			gen_goto(g, gen_next_rip(g));
	}
	gen_exits(g);
	g->t.code_end = cache_offset(g->cache, g->e.p);
	uv_assert(g->t.code_end - g->t.code <= GEN_BYTES_MAX);
}

static enum tlb_view view_of(u32 key)
{
	if ((key & BK_CPL_MASK) == BK_CPL_MASK)
		return TLB_USER;
	return key & BK_VIEW_AC ? TLB_KERNEL_AC : TLB_KERNEL;
}

static bool has_x87(const struct gen *g)
{
	for (unsigned i = 0; i < g->count; i++)
		if ((g->insn[i].desc->attr & IA_X87) && g->insn[i].desc->op == OP_NATIVE)
			return true;
	return false;
}

static struct block *translate_locked(struct gen *g, const struct code_place *at, bool *ret_full)
{
	u8 copy[BLOCK_BYTES_MAX];
	unsigned offset = g->t.gpa & ~PAGE_MASK;
	unsigned avail = MIN((unsigned)PAGE_SIZE - offset, (unsigned)BLOCK_BYTES_MAX);
	u64 room = at->room;
	struct blocks *b = g->cache->blocks;

	g->e = cache_emitter(g->cache, GEN_BYTES_MAX);
	*ret_full = !g->e.p || !blocks_have_room(b, sizeof(g->place) + BLOCK_BYTES_MAX);
	if (*ret_full)
		return NULL;
	if (guest_copy(copy, at->hva + offset, avail))
		return NULL; /* step() finds out the same and says so */
	if (at->hva2) {
		if (guest_copy(copy + avail, at->hva2, INSN_MAX))
			return NULL;
		avail += INSN_MAX;
	}
	decode_block(g, copy, (unsigned)MIN((u64)avail, room));
	if (!g->count)
		return NULL;
	/* The code has changed since at was found: what counts is what has been decoded. */
	if (offset + g->t.bytes <= PAGE_SIZE)
		g->t.gpa2 = 0;
	find_live_flags(g);
	g->t.movable = g->flat && g->width != 2 &&
		       page_movable(g->cpu->machine, g->t.gpa, gen_page_rip(g), has_x87(g));
	g->index = block_next_number(b);
	g->jump_table = jump_table_for(g->cache, g->t.key & ~BLOCK_PLAIN);
	generate(g);
	cache_commit(g->cache, &g->e);
	if (g->t.movable)
		g->t.rip = 0;
	return block_add(b, &g->t, g->place, copy);
}

/*
 * Watch all pages of the code and take the lock, at a moment when both hold. Pages that userfaultfd holds back are waited
 * for without the lock: the other cpus want it, and deaf to all but flushes. False: they cannot be had, or another vcpu writes to
 * them each time that they are watched.
 */
static bool watch_and_lock(struct cpu *cpu, const struct code_place *at)
{
	struct machine *m = cpu->machine;

	/* A watch may end before we hold the lock. */
	for (unsigned i = 0; i < WATCH_ATTEMPTS; i++) {
		page_watch(cpu, at->gpa);
		if (at->hva2)
			page_watch(cpu, at->gpa2);
		if (guest_touch(at->hva) || (at->hva2 && guest_touch(at->hva2)))
			return false;
		cache_lock(cpu);
		if (likely(page_watched(m, at->gpa) && (!at->hva2 || page_watched(m, at->gpa2))))
			return true;
		cache_unlock(cpu);
	}
	return false;
}

struct block *translate(
	struct cpu *cpu, const struct code_place *at, bool poll, bool plain, bool *ret_full)
{
	struct gen *g = cpu->gen;
	struct block *t;

	if (!watch_and_lock(cpu, at))
		return NULL; /* step() does it, or finds out the same and says so */
	stat_inc(cpu, STAT_BLOCKS_TRANSLATED);
	memset(g, 0, offsetof(struct gen, insn));
	g->cpu = cpu;
	g->cache = cpu->machine->code;
	g->t = (struct block){.gpa = at->gpa,
		.gpa2 = at->gpa2,
		.rip = cpu->rip,
		.key = cpu->block_key | (plain ? BLOCK_PLAIN : 0),
		.poll = poll};
	g->width = cpu->code_size;
	g->stack_width = cpu->stack_size;
	g->long_mode = g->width == 8;
	g->flat = cpu->block_key & BK_FLAT;
	g->view = view_of(cpu->block_key);
	g->count = g->now = g->cold_count = 0;
	g->plain = plain;
	t = translate_locked(g, at, ret_full);
	cache_unlock(cpu);
	return t;
}
