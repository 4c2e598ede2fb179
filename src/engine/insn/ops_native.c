/* SPDX-License-Identifier: MIT */
/*
 * Instructions that the host executes for step(), with the memory operand at its host address or in a bounce buffer.
 *
 * An opmask keeps elements of the operand from being accessed, so from faulting (SDM 2:2.7.2). The bounce buffer
 * then has what is accessed of the operand, and zeroes.
 */
#include <string.h>

#include "engine/core/machine.h"
#include "engine/cpu/fpu.h"
#include "engine/cpu/segment.h"
#include "engine/insn/native.h"
#include "engine/insn/operand.h"
#include "engine/insn/ops.h"
#include "engine/insn/step.h"
#include "engine/mem/mem.h"

/* VCVTPH2PS 0F38 13, VCVTPS2PH 0F3A 1D. */
static bool is_half_conversion(const struct insn *in)
{
	return in->enc != ENC_LEGACY &&
	       ((in->map == 2 && in->opcode == 0x13) || (in->map == 3 && in->opcode == 0x1d));
}

/*
 * Larger operands need no alignment, or IA_ALIGN says what they need. Numbers of ten bytes are aligned to eight, and
 * Intel's processors do not care about those that become half as long.
 */
static unsigned natural_alignment(const struct cpu *cpu, const struct insn *in)
{
	unsigned size = in->mem_size;

	if (!cpu->host_amd && is_half_conversion(in))
		return 1;
	return size == 10 ? 8 : size <= 8 ? size : 1;
}

static u64 segment_base(const struct cpu *cpu, unsigned seg)
{
	return cpu->code_size != 8 || seg >= SEG_FS ? cpu->seg[seg].base : 0;
}

/* MOVAPS, MOVAPD, MOVDQA, MOVNTPS, MOVNTPD, MOVNTDQ, MOVNTDQA, CMPXCHG16B */
static bool aligned_always(const struct insn *in)
{
	static const u8 moves[] = {0x28, 0x29, 0x2b, 0x6f, 0x7f, 0xc7, 0xe7};

	for (unsigned i = 0; i < ARRAY_SIZE(moves) && in->map == 1; i++)
		if (in->opcode == moves[i])
			return true;
	return in->enc != ENC_LEGACY || (in->map == 2 && in->opcode == 0x2a);
}

/* MXCSR.MM of AMD's processors (APM 1:4.3.2). */
static bool misalignment_masked(struct cpu *cpu, const struct insn *in)
{
	return cpu->host_amd && !aligned_always(in) && (fpu_live_to_area(cpu)->mxcsr & MXCSR_MM);
}

/* As far as alignment goes, so before the segment is looked at. */
static bool misaligned(struct cpu *cpu, const struct insn *in)
{
	u32 asks = cpu->host_amd ? IA_ALIGN : IA_ALIGN | IA_ALIGN_INTEL;

	if (!(in->desc->attr & asks))
		return false;
	u64 lin = operand_offset(cpu, in) + segment_base(cpu, in->seg);

	return (lin & (in->mem_size - 1)) && !misalignment_masked(cpu, in);
}

/* Does a store need the right to read, too? */
static unsigned rmw_access(const struct insn *in)
{
	return in->desc->mem == MEM_WRITE ? ACC_WRITE : ACC_WRITE | ACC_ALSO_READ;
}

/* What of the processor native_exec() may change. */
struct unchanged {
	u64 gpr[GPR_COUNT], rflags;
	u8 xsave[XSAVE_BYTES];
};

static void note_unchanged(struct cpu *cpu, bool fpu, struct unchanged *u)
{
	memcpy(u->gpr, cpu->gpr, sizeof(u->gpr));
	u->rflags = cpu->rflags;
	if (!fpu)
		return;
	fpu_live_to_area(cpu);
	memcpy(u->xsave, cpu->xsave_area, sizeof(u->xsave));
}

static void undo(struct cpu *cpu, bool fpu, const struct unchanged *u)
{
	memcpy(cpu->gpr, u->gpr, sizeof(u->gpr));
	cpu->rflags = u->rflags;
	if (!fpu)
		return;
	memcpy(cpu->xsave_area, u->xsave, sizeof(u->xsave));
	fpu_area_to_live(cpu);
}

/* The bytes of an operand that are accessed, a bit each. */
typedef u64 byte_set;
#define ALL_BYTES(n) (~0ull >> (64 - (n)))

/* Takes the first bytes that lie behind each other out of the set: *at, and how many. */
static unsigned take_run(byte_set *set, unsigned *at)
{
	u64 rest;

	*at = (unsigned)__builtin_ctzll(*set);
	rest = ~(*set >> *at);
	unsigned n = rest ? (unsigned)__builtin_ctzll(rest) : 64;
	*set &= ~(ALL_BYTES(n) << *at);
	return n;
}

/* Where the store goes. */
struct bounce {
	u8 *bytes;
	u64 lin;
	byte_set set;
};

static int bounce_write(struct cpu *cpu, const struct insn *in, const struct bounce *b)
{
	byte_set rest = b->set;
	unsigned at, posted = cpu->posted_count;
	int r = CPU_OK;

	while (!r && rest) {
		unsigned n = take_run(&rest, &at);

		r = mem_write(cpu, b->lin + at, b->bytes + at, n, rmw_access(in));
	}
	if (r)
		cpu->posted_count = posted;
	return r;
}

static int bounce_exec(struct cpu *cpu, const struct insn *in, const struct bounce *b)
{
	int r = native_exec(cpu, in, b->bytes);

	return r ? r : bounce_write(cpu, in, b);
}

/* The same where the store may leave in front of the instruction: then it has popped no register, and set no flag. */
static int bounce_exec_undone(struct cpu *cpu, const struct insn *in, const struct bounce *b)
{
	bool fpu = in->desc->attr & (IA_X87 | IA_MMX | IA_SSE | IA_AVX);
	struct unchanged u;
	int r;

	note_unchanged(cpu, fpu, &u);
	r = bounce_exec(cpu, in, b);
	if (r == CPU_EXIT)
		undo(cpu, fpu, &u);
	return r;
}

static int bounce_store(struct cpu *cpu, const struct insn *in, const struct bounce *b)
{
	return machine_intercepts(cpu->machine) ? bounce_exec_undone(cpu, in, b)
						: bounce_exec(cpu, in, b);
}

/* The bounce buffer is as aligned as the operand, for instructions whose need for it only the host knows. */
static int step_bounce(struct cpu *cpu, const struct insn *in, u64 lin, unsigned acc)
{
	unsigned size = in->mem_size;
	/* An x87 store does not happen if it raises an unmasked exception, which is reported only later. */
	bool reads = in->desc->mem != MEM_WRITE || (in->desc->attr & IA_X87);
	bool writes = acc & ACC_WRITE;
	u8 *bounce = cpu->bounce + (lin & 15);
	int r;

	uv_assert(size <= sizeof(cpu->bounce) - 15);
	r = writes ? mem_probe_write(cpu, lin, size, 0) : CPU_OK;
	if (!r && reads)
		r = mem_read(cpu, lin, bounce, size, writes ? ACC_ALSO_WRITE : ACC_READ);
	if (r)
		return r;
	if (!writes)
		return native_exec(cpu, in, bounce);
	return bounce_store(
		cpu, in, &(struct bounce){.bytes = bounce, .lin = lin, .set = ALL_BYTES(size)});
}

/*
 * KVM cannot emulate x87 loads and stores on device memory (but FNSTCW, FNSTSW). A VMM that asks for failures wants
 * to do such instructions by itself, and counts on getting them. They read first, also to write.
 */
static bool x87_mmio_fails(const struct cpu *cpu, const struct insn *in, int r)
{
	bool control = (in->opcode == 0xd9 || in->opcode == 0xdd) && in->reg == 7;

	return r == CPU_EXIT && cpu->exit.reason == EXIT_MMIO_READ && (in->desc->attr & IA_X87) &&
	       !control && machine_option(cpu->machine, OPT_X87_MMIO_FAILS);
}

static int step_memory(struct cpu *cpu, const struct insn *in)
{
	unsigned acc = in->desc->mem == MEM_READ ? ACC_READ : ACC_WRITE;
	unsigned size = in->mem_size;
	u64 lin, watched = MEM_UNWATCHED;
	void *host;
	int r;

	if (misaligned(cpu, in))
		return cpu_gp0(cpu);
	r = operand_aligned(cpu, in, size, natural_alignment(cpu, in), acc, &lin);
	if (r)
		return r;
	if (acc & ACC_WRITE)
		r = mem_host_store(cpu, lin, size, rmw_access(in), &host, &watched);
	else
		r = mem_host(cpu, lin, size, acc, &host);
	if (r)
		return r;
	if (!host) {
		r = step_bounce(cpu, in, lin, acc);
		return x87_mmio_fails(cpu, in, r) ? cpu_internal_error(cpu, in) : r;
	}
	r = native_exec(cpu, in, host);
	if (!r && watched != MEM_UNWATCHED)
		code_written(cpu, watched, size);
	return r;
}

/* ---- with an opmask: SDM 2:2.7.2, 2.7.4 ---- */

/* Elements of the vectors, each of which has a bit of the opmask. */
static unsigned element_count(const struct insn *in)
{
	const struct insn_desc *d = in->desc;

	if (d->evex & EV_SCALAR)
		return 1;
	switch (d->msize) {
	case MS_VL: return in->vl / d->element;
	case MS_VL2: return in->vl / 2 / d->element;
	case MS_VL4: return in->vl / 4 / d->element;
	case MS_VL8: return in->vl / 8 / d->element;
	/* A few elements that are repeated, or that are stored. */
	default: return (d->mem == MEM_READ ? in->vl : in->mem_size) / d->element;
	}
}

/* The bytes of those elements that are not masked out; an element that stands for several, if not all of them are. */
static byte_set active_bytes(struct cpu *cpu, const struct insn *in)
{
	unsigned size = in->desc->element, count = element_count(in),
		 in_memory = in->mem_size / size;
	u64 mask = fpu_opmask(cpu, in->opmask) & ALL_BYTES(count);
	byte_set set = 0;

	for (; mask; mask &= mask - 1)
		set |= ALL_BYTES(size) << (unsigned)__builtin_ctzll(mask) % in_memory * size;
	return set;
}

static int masked_access(struct cpu *cpu, const struct insn *in, byte_set set, u8 *bounce)
{
	u64 lin, first = operand_offset(cpu, in); /* the address of the first alone wraps */
	bool store = in->desc->mem == MEM_WRITE;
	unsigned at;
	int r = CPU_OK;

	while (!r && set) {
		unsigned n = take_run(&set, &at);

		r = seg_aligned(cpu, in->seg, first + at, n, natural_alignment(cpu, in),
			store ? ACC_WRITE : ACC_READ, &lin);
		if (!r)
			r = store ? mem_probe_write(cpu, lin, n, 0)
				  : mem_read(cpu, lin, bounce + at, n, ACC_READ);
	}
	return r;
}

/* Where nothing is accessed, AMD's processors do not look at the alignment, either. */
static int step_masked(struct cpu *cpu, const struct insn *in)
{
	byte_set active = active_bytes(cpu, in);
	bool whole = in->desc->evex & EV_WHOLE;
	struct bounce b = {.bytes = cpu->bounce, .set = active};
	int r;

	if (misaligned(cpu, in) && (active || !cpu->host_amd))
		return cpu_gp0(cpu);
	memset(cpu->bounce, 0, in->mem_size);
	r = masked_access(cpu, in, whole ? ALL_BYTES(in->mem_size) : active, cpu->bounce);
	if (r)
		return r;
	if (in->desc->mem != MEM_WRITE)
		return native_exec(cpu, in, cpu->bounce);
	b.lin = operand_offset(cpu, in) + segment_base(cpu, in->seg);
	return bounce_store(cpu, in, &b);
}

/* Where all of the operand is read, the opmask is none of our business. */
static bool accesses_parts(const struct insn *in)
{
	return in->opmask && (in->desc->mem == MEM_WRITE || !(in->desc->evex & EV_WHOLE));
}

int op_native(struct cpu *cpu, const struct insn *in)
{
	if (!in->is_mem)
		return native_exec(cpu, in, NULL);
	if (in->desc->mem == MEM_ADDR) {
		reg_write(cpu, in->reg, in->op_size, true, operand_offset(cpu, in));
		return CPU_OK;
	}
	if (in->desc->mem == MEM_NONE)
		return CPU_OK;
	return accesses_parts(in) ? step_masked(cpu, in) : step_memory(cpu, in);
}
