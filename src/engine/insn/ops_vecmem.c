/* SPDX-License-Identifier: MIT */
/*
 * Vector instructions that access only some elements of memory: masked moves and gathers of AVX. Inactive
 * elements cannot fault. A store probes all its active elements before the first is written; a
 * gather that faults keeps the elements it has loaded, with their mask bits cleared (SDM 2:
 * VPGATHERDD), and goes on with the others when it is restarted.
 *
 * The registers are accessed in the XSAVE image (fpu.h). Those of AVX-512: ops_evexmem.c.
 */
#include "engine/cpu/fpu.h"
#include "engine/cpu/segment.h"
#include "engine/insn/operand.h"
#include "engine/insn/ops.h"
#include "engine/insn/vector.h"
#include "engine/mem/mem.h"

#define ELEMENTS_MAX 8

static bool is_active(const union vector *mask, unsigned i, unsigned size)
{
	return element(mask, i, size) >> (size * 8 - 1);
}

static bool rex_w(const struct insn *in)
{
	return in->rex & 8;
}

/* ---- vmaskmovps 2C 2E, vmaskmovpd 2D 2F, vpmaskmovd/q 8C 8E ---- */

struct masked {
	unsigned size, count;
	u64 lin[ELEMENTS_MAX]; /* of active elements */
	union vector mask;
};

static bool maskmov_is_store(const struct insn *in)
{
	return in->opcode & 2;
}

static unsigned maskmov_size(const struct insn *in)
{
	if (in->opcode & 0x80)
		return rex_w(in) ? 8 : 4;
	return in->opcode & 1 ? 8 : 4;
}

/*
 * The elements lie behind each other like the bytes of any operand: the address of the first alone wraps. On AMD's
 * processors that of each does (measured on Zen 4).
 */
static u64 maskmov_offset(
	const struct cpu *cpu, const struct insn *in, unsigned element, unsigned size)
{
	u64 off = operand_offset(cpu, in) + element * size;

	return cpu->host_amd ? operand_cut(in, off) : off;
}

static int maskmov_addresses(struct cpu *cpu, const struct insn *in, unsigned acc, struct masked *m)
{
	for (unsigned i = 0; i < m->count; i++) {
		if (!is_active(&m->mask, i, m->size))
			continue;
		u64 off = maskmov_offset(cpu, in, i, m->size);
		int r = seg_linear(cpu, in->seg, off, m->size, acc, &m->lin[i]);
		if (!r && acc == ACC_WRITE)
			r = mem_probe_write(cpu, m->lin[i], m->size, acc);
		if (r)
			return r;
	}
	return CPU_OK;
}

static int maskmov_load(struct cpu *cpu, const struct insn *in, const struct masked *m)
{
	union vector v = {.q = {0}};

	for (unsigned i = 0; i < m->count; i++) {
		u64 value;
		if (!is_active(&m->mask, i, m->size))
			continue;
		int r = mem_read_u64(cpu, m->lin[i], &value, m->size, ACC_READ);
		if (r)
			return r;
		set_element(&v, i, m->size, value);
	}
	vector_write(cpu, in->reg, &v);
	fpu_area_to_live(cpu);
	return CPU_OK;
}

static int maskmov_store(struct cpu *cpu, const struct insn *in, const struct masked *m)
{
	union vector v = vector_read(cpu, in->reg);

	for (unsigned i = 0; i < m->count; i++) {
		u64 value = element(&v, i, m->size);
		if (!is_active(&m->mask, i, m->size))
			continue;
		int r = mem_write(cpu, m->lin[i], &value, m->size, ACC_WRITE);
		if (r)
			return r;
	}
	return CPU_OK;
}

int op_maskmov(struct cpu *cpu, const struct insn *in)
{
	bool store = maskmov_is_store(in);
	struct masked m = {.size = maskmov_size(in)};

	fpu_live_to_area(cpu);
	m.count = in->vl / m.size;
	m.mask = vector_read(cpu, in->vvvv);
	int r = maskmov_addresses(cpu, in, store ? ACC_WRITE : ACC_READ, &m);
	if (r)
		return r;
	return store ? maskmov_store(cpu, in, &m) : maskmov_load(cpu, in, &m);
}

/* ---- maskmovdqu, maskmovq: bytes to [rdi] ---- */

/* MMX registers are the physical x87 registers, the image counts from the top of the stack. */
static void mmx_read(const struct fpu_image *f, unsigned n, u8 v[16])
{
	__builtin_memcpy(v, f->st[(n - FSW_TOP(f->fsw)) & 7], 8);
}

/* An MMX instruction makes all registers valid and TOP 0 (SDM 3:12.2): rotate the image. */
static void mmx_enter(struct fpu_image *f)
{
	u8 st[8][16];
	unsigned top = FSW_TOP(f->fsw);

	for (unsigned phys = 0; phys < 8; phys++)
		__builtin_memcpy(st[phys], f->st[(phys - top) & 7], 16);
	__builtin_memcpy(f->st, st, sizeof(st));
	f->fsw &= ~0x3800;
	f->ftw = 0xff;
	f->xstate_bv |= XSTATE_X87;
}

static int store_bytes(struct cpu *cpu, const struct insn *in, const u8 *data, const u8 *mask,
	unsigned len, bool probe)
{
	for (unsigned i = 0; i < len; i++) {
		u64 lin, off = operand_cut(in, cpu->gpr[RDI] + i);
		if (!(mask[i] & 0x80))
			continue;
		int r = seg_linear(cpu, in->seg, off, 1, ACC_WRITE, &lin);
		if (!r)
			r = probe ? mem_probe_write(cpu, lin, 1, ACC_WRITE)
				  : mem_write(cpu, lin, &data[i], 1, ACC_WRITE);
		if (r)
			return r;
	}
	return CPU_OK;
}

/* The only one of these for which alignment counts, whatever the mask. */
static int maskmovdqu_alignment(struct cpu *cpu, const struct insn *in)
{
	u64 lin, off = operand_cut(in, cpu->gpr[RDI]);

	if (likely(!alignment_checked(cpu)) || seg_linear(cpu, in->seg, off, 1, ACC_WRITE, &lin))
		return CPU_OK; /* store_bytes() says what is wrong with a byte that is stored */
	return check_alignment(cpu, lin, 8);
}

int op_maskmovdqu(struct cpu *cpu, const struct insn *in)
{
	struct fpu_image *f = fpu_live_to_area(cpu);
	bool mmx = in->enc == ENC_LEGACY && !(in->pfx & PFX_66);
	unsigned len = mmx ? 8 : 16;
	u8 data[16], mask[16];

	if (mmx) {
		mmx_read(f, in->reg & 7, data);
		mmx_read(f, in->rm & 7, mask);
	} else {
		__builtin_memcpy(data, f->xmm[in->reg], 16);
		__builtin_memcpy(mask, f->xmm[in->rm], 16);
	}
	int r = maskmovdqu_alignment(cpu, in);
	if (!r)
		r = store_bytes(cpu, in, data, mask, len, true);
	if (!r)
		r = store_bytes(cpu, in, data, mask, len, false);
	if (!r && mmx) {
		mmx_enter(f);
		fpu_area_to_live(cpu);
	}
	return r;
}

/* ---- gathers: 0F38 90-93 ---- */

struct gather {
	unsigned size, index_size, count;
	u64 base;
	union vector dst, mask, index;
};

static void gather_begin(struct gather *g, struct cpu *cpu, const struct insn *in)
{
	g->size = rex_w(in) ? 8 : 4;
	g->index_size = in->opcode & 1 ? 8 : 4;
	g->count = in->vl / MAX(g->size, g->index_size);
	g->base = in->disp + (in->base == REG_NONE ? 0 : cpu->gpr[in->base]);
	g->dst = vector_read(cpu, in->reg);
	g->mask = vector_read(cpu, in->vvvv);
	g->index = vector_read(cpu, in->index);
}

static u64 gather_offset(const struct gather *g, const struct insn *in, unsigned i)
{
	s64 index = g->index_size == 8 ? (s64)g->index.q[i] : (s32)g->index.d[i];

	return operand_cut(in, g->base + (u64)index * in->scale);
}

static int gather_element(struct cpu *cpu, const struct insn *in, struct gather *g, unsigned i)
{
	u64 lin, value;
	int r = seg_linear(cpu, in->seg, gather_offset(g, in, i), g->size, ACC_READ, &lin);

	if (!r)
		r = mem_read_u64(cpu, lin, &value, g->size, ACC_READ);
	if (r)
		return r;
	set_element(&g->dst, i, g->size, value);
	set_element(&g->mask, i, g->size, 0);
	return CPU_OK;
}

/* Elements past the count do not take part: zero in the destination. */
static void gather_finish(struct gather *g)
{
	for (unsigned at = g->count * g->size; at < VECTOR_MAX; at++)
		g->dst.bytes[at] = 0;
	g->mask = (union vector){.q = {0}};
}

static void gather_commit(struct cpu *cpu, const struct insn *in, const struct gather *g)
{
	vector_write(cpu, in->reg, &g->dst);
	vector_write(cpu, in->vvvv, &g->mask);
	fpu_area_to_live(cpu);
}

static int gather_vex(struct cpu *cpu, const struct insn *in)
{
	struct gather g;

	fpu_live_to_area(cpu);
	gather_begin(&g, cpu, in);
	for (unsigned i = 0; i < g.count; i++) {
		if (!is_active(&g.mask, i, g.size))
			continue;
		int r = gather_element(cpu, in, &g, i);
		if (r == CPU_FAULT)
			gather_commit(cpu, in, &g);
		if (r) /* CPU_EXIT: nothing is committed, the answers so far are replayed */
			return r;
	}
	gather_finish(&g);
	gather_commit(cpu, in, &g);
	return CPU_OK;
}

int op_gather(struct cpu *cpu, const struct insn *in)
{
	return in->enc == ENC_EVEX ? gather_evex(cpu, in) : gather_vex(cpu, in);
}

/* vzeroupper and vzeroall outside 64-bit mode: the first eight registers only. */
int op_vzero(struct cpu *cpu, const struct insn *in)
{
	fpu_live_to_area(cpu);
	for (unsigned i = 0; i < 8; i++) {
		union vector v = {.q = {0}};

		if (in->vl != 32)
			v.q[0] = vector_read(cpu, i).q[0], v.q[1] = vector_read(cpu, i).q[1];
		vector_write(cpu, i, &v);
	}
	fpu_area_to_live(cpu);
	return CPU_OK;
}
