/* SPDX-License-Identifier: MIT */
/* Executable memory and the exits of generated code. See cache.h. Creation is outer code. */
#include "engine/code/cache.h"

#include "engine/core/layout.h"
#include "engine/mem/mem.h"

#define SAME(offset, field) _Static_assert((offset) == offsetof(struct cpu, field), #field)
SAME(FRAME_GPR(9), frame);
SAME(CPU_TLB, tlb);
SAME(CPU_GPR(0), gpr);
SAME(CPU_RIP, rip);
SAME(CPU_RFLAGS, rflags);
SAME(CPU_IFLAG, iflag);
SAME(CPU_EXIT_REQUEST, exit_request);
SAME(CPU_SCRATCH(0), scratch);
SAME(CPU_HOST_RSP, host_rsp);
SAME(CPU_HIGH_MASK, high_mask);
SAME(CPU_JUMP_MASK, jump_mask);
SAME(CPU_PAGE_MASK, page_mask);
SAME(CPU_BOUNCE_PTR, bounce_ptr);
SAME(CPU_TSC_OFFSET, tsc_offset);

void cache_lock(struct cpu *cpu)
{
	struct code_cache *c = cpu->machine->code;
	unsigned turns = 0;

	while (atomic_exchange_explicit(&c->locked, 1, memory_order_acquire)) {
		cpu_serve_requests(cpu);
		spin_turn(&turns);
	}
}

void cache_unlock(struct cpu *cpu)
{
	cache_unlock_outside(cpu->machine->code);
}

struct emit cache_emitter(struct code_cache *c, u32 n)
{
	if (c->used + n > c->cold)
		return (struct emit){0};
	return (struct emit){
		.p = c->write_view + c->used, .exec_delta = c->exec_view - c->write_view};
}

void cache_commit(struct code_cache *c, const struct emit *e)
{
	c->used = ALIGN_UP(cache_offset(c, e->p), 16);
}

u8 *emit_jump_lookup(struct emit *e, unsigned table)
{
	u32 at = table * (u32)sizeof(struct jump_table);
	u8 *miss;

	emit_pext_rm(e, H_R10, H_R9, at_field(CPU_JUMP_MASK));
	emit_store(e, H_RCX, FRAME_RCX);
	emit_mov_rm(e, 8, H_RCX, at_entry(offsetof(struct cpu, jump[0].neg_rip) + at, H_R10));
	emit_lea(e, true, H_RCX, H_RCX, H_R9, 1, 0);
	miss = emit_jmp32_unless_rcxz(e);
	emit_load(e, H_RCX, FRAME_RCX);
	emit_jmp_m(e, at_entry(offsetof(struct cpu, jump[0].host) + at, H_R10));
	return miss;
}

struct exit_record *emit_exit(struct emit *e, const struct code_cache *c, enum record_kind kind)
{
	u8 *disp = emit_lea_rip(e, H_R10);
	struct exit_record *rec;

	emit_jmp_exec(e, c->leave);
	emit_pad(e, 8);
	emit_patch32(disp, e->p);
	rec = (struct exit_record *)e->p;
	*rec = (struct exit_record){.kind = kind};
	e->p += sizeof(*rec);
	return rec;
}

struct emit cache_cold_emitter(struct code_cache *c, u32 n)
{
	c->cold = ALIGN_DOWN(c->cold - n, 8u);
	uv_assert(c->cold >= c->used);
	return (struct emit){
		.p = c->write_view + c->cold, .exec_delta = c->exec_view - c->write_view};
}

int cpu_leave_for_room(struct cpu *cpu)
{
	cpu->exit.reason = EXIT_NONE;
	cpu->cache_full = true;
	cpu->cache_rounds = atomic_load(&cpu->machine->code->rounds);
	return CPU_EXIT;
}
