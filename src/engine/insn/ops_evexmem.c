/* SPDX-License-Identifier: MIT */
/*
 * AVX-512's instructions whose elements are not where they would be in a vector in memory: gathers and scatters,
 * compressing stores and expanding loads. An opmask says which elements take part.
 *
 * Gathers and scatters go from the lowest element up. One that faults has done all below it and cleared their bits, and
 * goes on with the others when it is restarted (SDM 2: VPGATHERDD, VPSCATTERDD).
 */
#include "engine/cpu/fpu.h"
#include "engine/cpu/segment.h"
#include "engine/cpuid/cpuid.h"
#include "engine/insn/operand.h"
#include "engine/insn/ops.h"
#include "engine/insn/vector.h"
#include "engine/mem/mem.h"

#define ELEMENTS_MAX 16
#define P2_ZEROING   0x80

/* ---- registers ---- */

/* Registers 0 to 15 lie in three pieces, the others in one. */
union vector vector_read(struct cpu *cpu, unsigned n)
{
	union vector v = {.q = {0}};

	if (n >= 16) {
		__builtin_memcpy(v.bytes, fpu_component(cpu, XS_HI16) + (n - 16) * 64, 64);
		return v;
	}
	__builtin_memcpy(v.bytes, fpu_image(cpu)->xmm[n], 16);
	__builtin_memcpy(v.bytes + 16, fpu_image(cpu)->ymm_high[n], 16);
	if (cpu->xstate.features & XSTATE_ZMM_HI)
		__builtin_memcpy(v.bytes + 32, fpu_component(cpu, XS_ZMM_HI) + n * 32, 32);
	return v;
}

/* What is zero in a component that is not in use stays so. */
static void write_top(struct cpu *cpu, unsigned n, const union vector *v)
{
	struct fpu_image *f = fpu_image(cpu);
	u64 any = v->q[4] | v->q[5] | v->q[6] | v->q[7];

	if (!(cpu->xstate.features & XSTATE_ZMM_HI) || (!any && !(f->xstate_bv & XSTATE_ZMM_HI)))
		return;
	__builtin_memcpy(fpu_component(cpu, XS_ZMM_HI) + n * 32, v->bytes + 32, 32);
	f->xstate_bv |= XSTATE_ZMM_HI;
}

void vector_write(struct cpu *cpu, unsigned n, const union vector *v)
{
	struct fpu_image *f = fpu_image(cpu);

	if (n >= 16) {
		__builtin_memcpy(fpu_component(cpu, XS_HI16) + (n - 16) * 64, v->bytes, 64);
		f->xstate_bv |= XSTATE_HI16;
		return;
	}
	__builtin_memcpy(f->xmm[n], v->bytes, 16);
	__builtin_memcpy(f->ymm_high[n], v->bytes + 16, 16);
	f->xstate_bv |= XSTATE_SSE | XSTATE_AVX;
	write_top(cpu, n, v);
}

static u64 *opmask(struct cpu *cpu, unsigned n)
{
	return (u64 *)fpu_component(cpu, XS_OPMASK) + n;
}

/* ---- gathers 0F38 90-93, scatters A0-A3 ---- */

struct elements {
	unsigned size, index_size, count;
	u64 base, mask;
	union vector data, index;
};

static void elements_begin(struct elements *e, struct cpu *cpu, const struct insn *in)
{
	fpu_live_to_area(cpu);
	e->size = in->desc->element;
	e->index_size = in->opcode & 1 ? 8 : 4;
	e->count = in->vl / MAX(e->size, e->index_size);
	e->base = (u64)in->disp + (in->base == REG_NONE ? 0 : cpu->gpr[in->base]);
	e->mask = *opmask(cpu, in->opmask);
	e->data = vector_read(cpu, in->reg);
	e->index = vector_read(cpu, in->index);
}

static bool takes_part(const struct elements *e, unsigned i)
{
	return e->mask >> i & 1;
}

static int element_linear(struct cpu *cpu, const struct insn *in, const struct elements *e,
	unsigned i, unsigned acc, u64 *ret)
{
	s64 index = e->index_size == 8 ? (s64)e->index.q[i] : (s32)e->index.d[i];
	u64 off = operand_cut(in, e->base + (u64)index * in->scale);

	return seg_aligned(cpu, in->seg, off, e->size, e->size, acc, ret);
}

static void write_opmask(struct cpu *cpu, const struct insn *in, u64 mask)
{
	*opmask(cpu, in->opmask) = mask;
	fpu_image(cpu)->xstate_bv |= XSTATE_OPMASK;
}

static int gather_all(struct cpu *cpu, const struct insn *in, struct elements *e)
{
	for (unsigned i = 0; i < e->count; i++) {
		u64 lin, value;
		int r;

		if (!takes_part(e, i))
			continue;
		r = element_linear(cpu, in, e, i, ACC_READ, &lin);
		if (!r)
			r = mem_read_u64(cpu, lin, &value, e->size, ACC_READ);
		if (r)
			return r;
		set_element(&e->data, i, e->size, value);
		e->mask &= ~BIT64(i);
	}
	return CPU_OK;
}

int gather_evex(struct cpu *cpu, const struct insn *in)
{
	struct elements e;
	int r;

	elements_begin(&e, cpu, in);
	r = gather_all(cpu, in, &e);
	if (r == CPU_EXIT) /* nothing is committed, the answers so far are replayed */
		return r;
	for (unsigned at = e.count * e.size; !r && at < VECTOR_MAX; at++)
		e.data.bytes[at] = 0;
	vector_write(cpu, in->reg, &e.data);
	write_opmask(cpu, in, r ? e.mask : 0);
	fpu_area_to_live(cpu);
	return r;
}

/* How many elements can be stored, and why not the next one. Their addresses are in lin. */
static unsigned scatter_probe(struct cpu *cpu, const struct insn *in, const struct elements *e,
	u64 lin[ELEMENTS_MAX], int *ret)
{
	*ret = CPU_OK;
	for (unsigned i = 0; i < e->count; i++) {
		if (!takes_part(e, i))
			continue;
		*ret = element_linear(cpu, in, e, i, ACC_WRITE, &lin[i]);
		if (!*ret)
			*ret = mem_probe_write(cpu, lin[i], e->size, ACC_WRITE);
		if (*ret)
			return i;
	}
	return e->count;
}

static int scatter_some(
	struct cpu *cpu, struct elements *e, unsigned count, const u64 lin[ELEMENTS_MAX])
{
	for (unsigned i = 0; i < count; i++) {
		u64 value = element(&e->data, i, e->size);
		int r;

		if (!takes_part(e, i))
			continue;
		r = mem_write(cpu, lin[i], &value, e->size, ACC_WRITE);
		if (r)
			return r;
		e->mask &= ~BIT64(i);
	}
	return CPU_OK;
}

/*
 * Nothing is stored before all questions of a subscriber are answered, as they start the instruction again. Where a device must
 * be asked in the middle, what is stored is done: its bits go, and the rest goes on when the instruction is started again.
 */
int op_scatter(struct cpu *cpu, const struct insn *in)
{
	unsigned count;
	u64 lin[ELEMENTS_MAX];
	struct exception why;
	struct elements e;
	int fault, r;

	elements_begin(&e, cpu, in);
	count = scatter_probe(cpu, in, &e, lin, &fault);
	if (fault == CPU_EXIT)
		return fault;
	why = cpu->exc;
	r = scatter_some(cpu, &e, count, lin);
	if (!r && fault)
		cpu->exc = why;
	write_opmask(cpu, in, r || fault ? e.mask : 0);
	fpu_area_to_live(cpu);
	return r ? r : fault;
}

/* ---- compressing stores 0F38 63 8A 8B, expanding loads 62 88 89 ---- */

/* Elements of bytes and words are VBMI2's, the others AVX-512 F's. */
static bool packed_exists(const struct cpu *cpu, const struct insn *in)
{
	return in->desc->element >= 4 || !(cpu->lacks & LACKS_VBMI2);
}

static unsigned packed_count(const struct insn *in)
{
	return in->vl / in->desc->element;
}

/* Bits of the elements that take part; all if there is no opmask. */
static u64 packed_mask(struct cpu *cpu, const struct insn *in)
{
	u64 all = ~0ull >> (64 - packed_count(in));

	return in->opmask ? *opmask(cpu, in->opmask) & all : all;
}

static unsigned bits_in(u64 v)
{
	unsigned n = 0;

	for (; v; v &= v - 1)
		n++;
	return n;
}

int op_compress(struct cpu *cpu, const struct insn *in)
{
	unsigned size = in->desc->element, n = 0;
	union vector v, packed = {.q = {0}};
	u64 lin, mask;
	int r;

	if (!packed_exists(cpu, in))
		return cpu_raise(cpu, X86_UD);
	fpu_live_to_area(cpu);
	v = vector_read(cpu, in->reg);
	for (mask = packed_mask(cpu, in); mask; mask &= mask - 1)
		set_element(&packed, n++, size, element(&v, (unsigned)__builtin_ctzll(mask), size));
	if (!n)
		return CPU_OK;
	r = operand_linear(cpu, in, n * size, ACC_WRITE, &lin);
	return r ? r : mem_write(cpu, lin, &packed, n * size, ACC_WRITE);
}

static void expand(struct cpu *cpu, const struct insn *in, u64 mask, const union vector *packed)
{
	bool zeroing = in->bytes[in->opcode_off - 1] & P2_ZEROING;
	union vector v = vector_read(cpu, in->reg);
	unsigned size = in->desc->element, count = packed_count(in), n = 0;

	for (unsigned i = 0; i < count; i++) {
		if (mask >> i & 1)
			set_element(&v, i, size, element(packed, n++, size));
		else if (zeroing)
			set_element(&v, i, size, 0);
	}
	for (unsigned at = in->vl; at < VECTOR_MAX; at++)
		v.bytes[at] = 0;
	vector_write(cpu, in->reg, &v);
}

int op_expand(struct cpu *cpu, const struct insn *in)
{
	union vector packed;
	u64 lin, mask;
	unsigned bytes;
	int r = CPU_OK;

	if (!packed_exists(cpu, in))
		return cpu_raise(cpu, X86_UD);
	fpu_live_to_area(cpu);
	mask = packed_mask(cpu, in);
	bytes = bits_in(mask) * in->desc->element;
	if (bytes)
		r = operand_linear(cpu, in, bytes, ACC_READ, &lin);
	if (!r && bytes)
		r = mem_read(cpu, lin, &packed, bytes, ACC_READ);
	if (r)
		return r;
	expand(cpu, in, mask, &packed);
	fpu_area_to_live(cpu);
	return CPU_OK;
}
