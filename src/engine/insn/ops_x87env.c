/* SPDX-License-Identifier: MIT */
/*
 * fnstenv, fldenv, fnsave, frstor: the x87 environment in its 16- and 32-bit formats (SDM 1:8.1.10).
 * Those of real and virtual-8086 mode have the opcode and all bits of the pointers, but no selectors. FCS and FDS are
 * zero everywhere (ZERO_FCS_FDS).
 */
#include "engine/cpu/fpu.h"
#include "engine/insn/operand.h"
#include "engine/insn/ops.h"
#include "engine/insn/step.h"
#include "engine/mem/mem.h"

#define REG_BYTES 10

static bool is_16bit(const struct insn *in)
{
	return in->op_size == 2;
}

static unsigned env_bytes(const struct insn *in)
{
	return is_16bit(in) ? 14 : 28;
}

enum { TAG_VALID, TAG_ZERO, TAG_SPECIAL, TAG_EMPTY };

static unsigned tag_of(const u8 st[16])
{
	u64 mantissa;
	u16 exponent;

	__builtin_memcpy(&mantissa, st, 8);
	__builtin_memcpy(&exponent, st + 8, 2);
	exponent &= 0x7fff;
	if (exponent == 0)
		return mantissa ? TAG_SPECIAL : TAG_ZERO;
	if (exponent == 0x7fff || !(mantissa >> 63))
		return TAG_SPECIAL;
	return TAG_VALID;
}

/* Tags are by physical register, the image's registers from the top of the stack. */
static u16 full_tag_word(const struct fpu_image *f)
{
	u16 tags = 0;

	for (unsigned phys = 0; phys < 8; phys++) {
		unsigned st = (phys - FSW_TOP(f->fsw)) & 7;
		unsigned tag = f->ftw & BIT(phys) ? tag_of(f->st[st]) : TAG_EMPTY;
		tags |= tag << 2 * phys;
	}
	return tags;
}

static u8 abridged_tag_word(u16 tags)
{
	u8 ftw = 0;

	for (unsigned phys = 0; phys < 8; phys++)
		if ((tags >> 2 * phys & 3) != TAG_EMPTY)
			ftw |= BIT(phys);
	return ftw;
}

static void put16(u8 *env, unsigned at, unsigned value)
{
	env[at] = (u8)value;
	env[at + 1] = (u8)(value >> 8);
}

static u32 get16(const u8 *env, unsigned at)
{
	return env[at] | (u32)env[at + 1] << 8;
}

/* SDM 1:8.1.10, figures 8-9 and 8-10. Reserved halves are ones, as processors write them. */
static void env_build32(const struct fpu_image *f, bool real, u8 *env)
{
	const u32 fip = (u32)f->fip, fdp = (u32)f->fdp, ones = 0xffff0000;
	const u32 words[7] = {ones | f->fcw, ones | f->fsw, ones | full_tag_word(f),
		real ? ones | (u16)fip : fip, real ? (fip >> 16) << 12 | f->fop : (u32)f->fop << 16,
		real ? ones | (u16)fdp : fdp, real ? (fdp >> 16) << 12 : ones};

	for (unsigned i = 0; i < 7; i++) {
		put16(env, 4 * i, words[i]);
		put16(env, 4 * i + 2, words[i] >> 16);
	}
}

/* Figures 8-11 and 8-12. */
static void env_build16(const struct fpu_image *f, bool real, u8 *env)
{
	const u32 fip = (u32)f->fip, fdp = (u32)f->fdp;
	const u32 words[7] = {f->fcw, f->fsw, full_tag_word(f), fip,
		real ? (fip >> 16) << 12 | f->fop : 0, fdp, real ? (fdp >> 16) << 12 : 0};

	for (unsigned i = 0; i < 7; i++)
		put16(env, 2 * i, words[i]);
}

static void env_build(
	const struct cpu *cpu, const struct fpu_image *f, const struct insn *in, u8 *env)
{
	if (is_16bit(in))
		env_build16(f, cpu_real_or_v86(cpu), env);
	else
		env_build32(f, cpu_real_or_v86(cpu), env);
}

static u32 get32(const u8 *env, unsigned at)
{
	return get16(env, at) | get16(env, at + 2) << 16;
}

static void load_pointers32(struct fpu_image *f, bool real, const u8 *env)
{
	if (real) {
		f->fip = get16(env, 12) | (get32(env, 16) >> 12 & 0xffff) << 16;
		f->fdp = get16(env, 20) | (get32(env, 24) >> 12 & 0xffff) << 16;
		f->fop = get16(env, 16) & 0x7ff;
	} else {
		f->fip = get32(env, 12);
		f->fdp = get32(env, 20);
		f->fop = get16(env, 18) & 0x7ff;
	}
}

/* The format of protected mode has no opcode. */
static void load_pointers16(struct fpu_image *f, bool real, const u8 *env)
{
	f->fip = get16(env, 6);
	f->fdp = get16(env, 10);
	f->fop = 0;
	if (real) {
		f->fip |= get16(env, 8) >> 12 << 16;
		f->fdp |= get16(env, 12) >> 12 << 16;
		f->fop = get16(env, 8) & 0x7ff;
	}
}

static void env_apply(
	const struct cpu *cpu, struct fpu_image *f, const struct insn *in, const u8 *env)
{
	unsigned step = is_16bit(in) ? 2 : 4;

	f->fcw = fcw_loaded(env[0] | env[1] << 8);
	f->fsw = env[step] | env[step + 1] << 8;
	f->ftw = abridged_tag_word(env[2 * step] | env[2 * step + 1] << 8);
	if (is_16bit(in))
		load_pointers16(f, cpu_real_or_v86(cpu), env);
	else
		load_pointers32(f, cpu_real_or_v86(cpu), env);
	/* ES and B say whether an unmasked exception is pending, whatever was loaded. */
	f->fsw &= ~(FSW_ES | FSW_B);
	if (f->fsw & ~f->fcw & FPU_MASKS)
		f->fsw |= FSW_ES | FSW_B;
	f->xstate_bv |= XSTATE_X87;
}

static int state_store(struct cpu *cpu, const struct insn *in, const u8 *image, unsigned len)
{
	u64 lin;
	int r = operand_aligned(cpu, in, len, is_16bit(in) ? 2 : 4, ACC_WRITE, &lin);

	return r ? r : mem_write(cpu, lin, image, len, ACC_WRITE);
}

static int state_load(struct cpu *cpu, const struct insn *in, u8 *image, unsigned len)
{
	u64 lin;
	int r = operand_aligned(cpu, in, len, is_16bit(in) ? 2 : 4, ACC_READ, &lin);

	return r ? r : mem_read(cpu, lin, image, len, ACC_READ);
}

/* The registers stay where they are; the image lists them from the top of the stack, which moves. */
static void move_top(struct fpu_image *f, unsigned from, unsigned to)
{
	unsigned moved = to - from;
	u8 st[8][16];

	for (unsigned i = 0; i < 8; i++)
		__builtin_memcpy(st[i], f->st[(i + moved) & 7], 16);
	__builtin_memcpy(f->st, st, sizeof(st));
}

int op_fnstenv(struct cpu *cpu, const struct insn *in)
{
	struct fpu_image *f = fpu_live_to_area(cpu);
	u8 env[28];

	env_build(cpu, f, in, env);
	int r = state_store(cpu, in, env, env_bytes(in));
	if (r)
		return r;
	f->fcw |= FPU_MASKS;
	f->fsw &= ~(FSW_ES | FSW_B);
	f->xstate_bv |= XSTATE_X87;
	fpu_area_to_live(cpu);
	return CPU_OK;
}

int op_fldenv(struct cpu *cpu, const struct insn *in)
{
	u8 env[28];
	int r = state_load(cpu, in, env, env_bytes(in));

	if (r)
		return r;
	struct fpu_image *f = fpu_live_to_area(cpu);
	unsigned old_top = FSW_TOP(f->fsw);
	env_apply(cpu, f, in, env);
	move_top(f, old_top, FSW_TOP(f->fsw));
	fpu_area_to_live(cpu);
	return CPU_OK;
}

int op_fnsave(struct cpu *cpu, const struct insn *in)
{
	struct fpu_image *f = fpu_live_to_area(cpu);
	unsigned env = env_bytes(in);
	u8 image[28 + 8 * REG_BYTES];

	env_build(cpu, f, in, image);
	for (unsigned i = 0; i < 8; i++)
		__builtin_memcpy(image + env + i * REG_BYTES, f->st[i], REG_BYTES);
	int r = state_store(cpu, in, image, env + 8 * REG_BYTES);
	if (r)
		return r;
	move_top(f, FSW_TOP(f->fsw), 0);
	f->fcw = FCW_RESET; /* and then fninit */
	f->fsw = 0;
	f->ftw = 0;
	f->fip = f->fdp = f->fop = 0;
	f->xstate_bv |= XSTATE_X87;
	fpu_area_to_live(cpu);
	return CPU_OK;
}

int op_frstor(struct cpu *cpu, const struct insn *in)
{
	unsigned env = env_bytes(in);
	u8 image[28 + 8 * REG_BYTES];
	int r = state_load(cpu, in, image, env + 8 * REG_BYTES);

	if (r)
		return r;
	struct fpu_image *f = fpu_live_to_area(cpu);
	env_apply(cpu, f, in, image);
	for (unsigned i = 0; i < 8; i++)
		__builtin_memcpy(f->st[i], image + env + i * REG_BYTES, REG_BYTES);
	fpu_area_to_live(cpu);
	return CPU_OK;
}
