/* SPDX-License-Identifier: MIT */
/*
 * Executing one unprivileged instruction on the host CPU for step().
 *
 * The instruction is rewritten once into a stub of the code cache, found again by its form, and entered with
 * the guest's registers loaded. A signal that it raises becomes the guest's exception. See rewrite.h.
 */
#include <signal.h>
#include <string.h>

#include "engine/insn/native.h"

#include "engine/code/cache.h"
#include "engine/cpu/fpu.h"
#include "engine/core/layout.h"
#include "engine/code/rewrite.h"
#include "engine/insn/operand.h"
#include "engine/insn/step.h"
#include "engine/core/machine.h"

/* In the last byte of VEX, and the last but one of EVEX. */
static u8 pp_of(const struct insn *in)
{
	return in->bytes[in->opcode_off - (in->enc == ENC_EVEX ? 2 : 1)] & 3;
}

static struct native_key form_of(const struct insn *in)
{
	struct native_key k = {.imm = 0};
	u8 modrm = in->is_mem ? (in->modrm & 0x38) : in->modrm;
	u64 mode = in->mode == 2 ? 1 : 0;

	k.form = (u64)in->opcode | (u64)modrm << 8 | (u64)in->pfx << 16 | (u64)in->reg << 24 |
		 (u64)in->rm << 32 | (u64)(in->rex & 8) << 40 | (u64)in->map << 44 |
		 (u64)in->enc << 46 | (u64)in->vvvv << 48 | (u64)(in->vl == 32) << 53 |
		 (u64)in->is_mem << 54 | mode << 55 | (u64)in->op_size << 56 |
		 (u64)(in->mode == 8) << 62 | BIT64(63);
	if (in->enc != ENC_LEGACY) /* the pp field, which pfx does not show */
		k.form |= (u64)pp_of(in) << 60;
	if (in->enc == ENC_EVEX) /* opmask, broadcast, length...; no prefix in pfx matters */
		k.form = (k.form & ~0xff0000ull) | (u64)in->bytes[in->opcode_off - 1] << 16;
	for (unsigned i = 0; i < in->imm_len && i < 8; i++)
		k.imm |= (u64)in->bytes[in->imm_off + i] << (8 * i);
	return k;
}

static struct native_stub *slot_for(struct cpu *cpu, struct native_key k)
{
	u64 h = (k.form ^ k.imm * 0x9e3779b97f4a7c15ull) * 0xbf58476d1ce4e5b9ull;

	return &cpu->native->stub[h >> 53];
}

/* Emits the stub; false when the cache is full or the form cannot be rewritten. */
static bool build_stub(
	struct cpu *cpu, struct native_stub *s, const struct insn *in, bool *ret_full)
{
	struct code_cache *c = cpu->machine->code;
	struct rewrite_result r = {.done = false};
	struct emit e;

	cache_lock(cpu);
	e = cache_emitter(c, REWRITE_MAX + EMIT_EXIT_MAX);
	*ret_full = !e.p;
	if (e.p) {
		const u8 *start = e.p + e.exec_delta;

		if (in->is_mem)
			emit_load(&e, H_R9, CPU_BOUNCE_PTR);
		r = rewrite_insn(&e, in, in->is_mem ? RW_MEM_R9 : RW_NO_MEM, 0);
		if (r.done) {
			emit_patch32(emit_lea_rip(&e, H_R10), (const u8 *)c->done - e.exec_delta);
			emit_jmp_exec(&e, c->leave);
			cache_commit(c, &e);
			s->code = start;
			s->borrowed = r.borrowed;
		}
	}
	cache_unlock(cpu);
	return r.done;
}

/* The exception that a signal in generated code stands for; SIGSEGV without an address is #GP (SDM 3:6.15). */
static int fault_vector(const struct host_fault *f)
{
	switch (f->signo) {
	case SIGFPE: return f->code == FPE_INTDIV || f->code == FPE_INTOVF ? X86_DE : X86_XM;
	case SIGILL: return X86_UD;
	case SIGSEGV: return f->code == SI_KERNEL ? X86_GP : -1;
	default: return -1;
	}
}

static int native_fault(struct cpu *cpu, const struct insn *in, const struct native_stub *s)
{
	int vector = fault_vector(&cpu->host_fault);

	if (s->borrowed != REG_NONE)
		cpu->gpr[s->borrowed] = cpu->scratch[SLOT_BORROW];
	/* What converts between MMX and SSE raises #XM; step() has seen a pending x87 exception before. */
	if (vector == X86_XM && !(in->desc->attr & IA_SSE) &&
		(in->desc->attr & (IA_X87 | IA_MMX | IA_WAIT)))
		vector = X86_MF;
	if (vector == X86_XM && !(cpu->cr4 & CR4_OSXMMEXCPT))
		vector = X86_UD;
	if (vector == X86_GP)
		return cpu_gp0(cpu);
	if (vector >= 0)
		return cpu_raise(cpu, vector);
	return cpu_memory_fault(cpu, 0, 0, false);
}

/* SDM 1:8.3.11: these leave the pointers alone. All are in D9, DB, DD and DF. */
static bool is_control(const struct insn *in)
{
	switch (in->opcode) {
	case 0xd9: return in->is_mem && in->reg >= 4;
	case 0xdb: return !in->is_mem && (in->modrm & 0x38) == 0x20;
	case 0xdd: return in->is_mem && (in->reg == 4 || in->reg >= 6);
	case 0xdf: return in->modrm == 0xe0;
	default: return false;
	}
}

/* A stub is about to execute this instruction. */
static void x87_stepped(struct cpu *cpu, const struct insn *in)
{
	if (likely(!(in->desc->attr & IA_X87)) || is_control(in))
		return;
	cpu->x87_stepped = (struct x87_pointers){.fip = cpu->rip,
		.fdp = in->is_mem ? operand_offset(cpu, in) : cpu->x87_stepped.fdp,
		.fop = x87_opcode_of(in)};
}

int native_exec(struct cpu *cpu, const struct insn *in, void *mem)
{
	struct native_key k = form_of(in);
	struct native_stub *s = slot_for(cpu, k);
	u32 epoch = atomic_load_explicit(&cpu->machine->code->epoch, memory_order_relaxed);
	struct x87_pointers before;
	bool full = false;

	if (cpu->native_epoch != epoch) {
		memset(cpu->native, 0, sizeof(*cpu->native));
		cpu->native_epoch = epoch;
	}
	if (s->key.form != k.form || s->key.imm != k.imm || !s->code) {
		s->code = NULL;
		s->key = k;
		if (!build_stub(cpu, s, in, &full))
			return full ? cpu_leave_for_room(cpu) : cpu_internal_error(cpu, in);
	}
	cpu->bounce_ptr = (u64)mem;
	before = cpu->x87_stepped;
	x87_stepped(cpu, in);
	if (fpu_run_code(cpu, s->code)->kind == REC_FAULT) {
		cpu->x87_stepped = before;
		return native_fault(cpu, in, s);
	}
	return CPU_OK;
}
