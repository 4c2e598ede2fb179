/* SPDX-License-Identifier: MIT */
/*
 * fnstenv, fldenv, fnsave, frstor: the x87 environment in its 16- and 32-bit formats (SDM 1:8.1.10).
 * The formats of real and protected mode differ only in the instruction and operand pointers, which
 * are zero here (see fpu_scrub()).
 */
#include "engine/cpu/fpu.h"
#include "engine/cpu/ops.h"

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

/* Reserved halves of the 32-bit format are ones, as processors write them. */
static void env_build(const struct fpu_image *f, const struct insn *in, u8 *env)
{
	const u16 words[3] = {f->fcw, f->fsw, full_tag_word(f)};

	for (unsigned i = 0; i < env_bytes(in); i++)
		env[i] = 0;
	for (unsigned i = 0; i < 3; i++) {
		unsigned at = is_16bit(in) ? 2 * i : 4 * i;
		env[at] = words[i];
		env[at + 1] = words[i] >> 8;
		if (!is_16bit(in))
			env[at + 2] = env[at + 3] = 0xff;
	}
	if (!is_16bit(in))
		env[26] = env[27] = 0xff;
}

static void env_apply(struct fpu_image *f, const struct insn *in, const u8 *env)
{
	unsigned step = is_16bit(in) ? 2 : 4;

	f->fcw = fcw_loaded(env[0] | env[1] << 8);
	f->fsw = env[step] | env[step + 1] << 8;
	f->ftw = abridged_tag_word(env[2 * step] | env[2 * step + 1] << 8);
	/* ES and B say whether an unmasked exception is pending, whatever was loaded. */
	f->fsw &= ~(FSW_ES | FSW_B);
	if (f->fsw & ~f->fcw & FPU_MASKS)
		f->fsw |= FSW_ES | FSW_B;
	f->xstate_bv |= XSTATE_X87;
}

static int state_store(struct cpu *cpu, const struct insn *in, const u8 *image, unsigned len)
{
	u64 lin;
	int r = operand_linear(cpu, in, len, ACC_WRITE, &lin);

	return r ? r : mem_write(cpu, lin, image, len, ACC_WRITE);
}

static int state_load(struct cpu *cpu, const struct insn *in, u8 *image, unsigned len)
{
	u64 lin;
	int r = operand_linear(cpu, in, len, ACC_READ, &lin);

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

	env_build(f, in, env);
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
	env_apply(f, in, env);
	move_top(f, old_top, FSW_TOP(f->fsw));
	fpu_area_to_live(cpu);
	return CPU_OK;
}

int op_fnsave(struct cpu *cpu, const struct insn *in)
{
	struct fpu_image *f = fpu_live_to_area(cpu);
	unsigned env = env_bytes(in);
	u8 image[28 + 8 * REG_BYTES];

	env_build(f, in, image);
	for (unsigned i = 0; i < 8; i++)
		__builtin_memcpy(image + env + i * REG_BYTES, f->st[i], REG_BYTES);
	int r = state_store(cpu, in, image, env + 8 * REG_BYTES);
	if (r)
		return r;
	move_top(f, FSW_TOP(f->fsw), 0);
	f->fcw = FCW_RESET; /* and then fninit */
	f->fsw = 0;
	f->ftw = 0;
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
	env_apply(f, in, image);
	for (unsigned i = 0; i < 8; i++)
		__builtin_memcpy(f->st[i], image + env + i * REG_BYTES, REG_BYTES);
	fpu_area_to_live(cpu);
	return CPU_OK;
}
