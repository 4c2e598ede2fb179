/* SPDX-License-Identifier: MIT */
/*
 * movs, cmps, stos, lods, scas, alone and repeated.
 *
 * A repeated form works in chunks: as many elements as lie within one page on both sides, within
 * the segments and below the address wrap. Both pages are translated once and the host's own
 * string instruction does the chunk on the host addresses, so flags and overlap behave as they do
 * on the host: two linear addresses of one guest page have the same host address too. Where a page
 * has no host address (MMIO, watched for writes) or an element straddles two pages, one element is
 * done through mem_read() and mem_write().
 *
 * Registers are updated after each chunk or element, as the architecture does after each iteration
 * (SDM 2: REP), so a fault leaves them at the faulting element, and between chunks the instruction
 * can stop with rip still at it, for an interrupt or for MMIO data to leave.
 */
#include "engine/core/debug.h"
#include "engine/host/hostmem.h"
#include "engine/cpu/segment.h"
#include "engine/insn/operand.h"
#include "engine/insn/ops.h"
#include "engine/mem/mem.h"
#include "engine/tap/ask.h"

struct string {
	const struct insn *in;
	u64 mask;             /* of the address size */
	u64 remaining;        /* elements, this one included */
	unsigned size, shift; /* of an element, and its log2 */
	bool rep, down;
	bool single; /* each iteration traps: no chunks */
	u64 flags;   /* at the start */
};

/* One side of a chunk. */
struct side {
	u64 lin;  /* of the first element */
	u8 *host; /* of the first element; NULL: element by element */
	u64 room; /* elements that can be done at once, in the direction of DF */
};

static bool single_stepped(const struct cpu *cpu)
{
	return (cpu->rflags & FL_TF) || cpu->debug_step || cpu->watch_data ||
	       tap_wants(cpu, TAP_STEP);
}

/*
 * In 64-bit code with 32-bit addresses Intel's processors clear the upper half of rcx, and of the pointers with which
 * they move and fill blocks, before they look whether there is anything to do: measured, and KVM's emulator does it.
 */
static void cut_registers(struct cpu *cpu, const struct insn *in)
{
	if (cpu->host_amd || cpu->code_size != 8 || in->addr_size == 8)
		return;
	cpu->gpr[RCX] = (u32)cpu->gpr[RCX];
	if (in->desc->op == OP_MOVS)
		cpu->gpr[RSI] = (u32)cpu->gpr[RSI];
	if (in->desc->op == OP_MOVS || in->desc->op == OP_STOS)
		cpu->gpr[RDI] = (u32)cpu->gpr[RDI];
}

static void string_begin(struct string *s, struct cpu *cpu, const struct insn *in)
{
	s->in = in;
	s->mask = in->addr_size == 8 ? ~0ull : in->addr_size == 4 ? 0xffffffffull : 0xffffull;
	s->size = in->op_size;
	s->shift = __builtin_ctz(in->op_size);
	s->down = cpu->rflags & FL_DF;
	s->rep = in->pfx & (PFX_REP | PFX_REPNE);
	if (s->rep)
		cut_registers(cpu, in);
	s->remaining = s->rep ? cpu->gpr[RCX] & s->mask : 1;
	s->single = single_stepped(cpu);
	s->flags = cpu->rflags;
}

static void add_to_register(struct cpu *cpu, const struct string *s, unsigned reg, u64 delta)
{
	if (likely(s->in->addr_size == 8))
		cpu->gpr[reg] += delta;
	else
		reg_write(cpu, reg, s->in->addr_size, true, cpu->gpr[reg] + delta);
}

/* done elements have been processed: move the pointers in regs (a bitmap) and count down. */
static void string_advance(struct cpu *cpu, struct string *s, u64 done, unsigned regs)
{
	u64 bytes = done << s->shift, delta = s->down ? -bytes : bytes;

	if (regs & BIT(RSI))
		add_to_register(cpu, s, RSI, delta);
	if (regs & BIT(RDI))
		add_to_register(cpu, s, RDI, delta);
	if (s->rep)
		add_to_register(cpu, s, RCX, -done);
	s->remaining -= done;
	cpu->away.has_stored = false; /* what is done is done */
}

/*
 * Come out before the next iteration? For an interrupt or another request, for the trap that each
 * iteration takes when single-stepped (SDM 3:17.3.1.4), and to hand over MMIO data, because the
 * replay and posting slots are meant for one element.
 */
static bool string_pause(const struct cpu *cpu, const struct string *s)
{
	return __atomic_load_n(&cpu->exit_request, __ATOMIC_RELAXED) || s->single ||
	       cpu->posted_count || cpu->answers.filled;
}

/* True if the instruction is to go on with another chunk now. */
static bool string_continue(struct cpu *cpu, const struct string *s)
{
	if (s->remaining == 0)
		return false;
	if (likely(!string_pause(cpu, s)))
		return true;
	cpu->next_rip = cpu->rip;
	return false;
}

/* Elements up to the page's end (downwards: its start), before the offset wraps; 0: straddles. */
static u64 page_room(const struct string *s, u64 lin, u64 off)
{
	u64 at = lin & (PAGE_SIZE - 1), last = s->size - 1;

	if (at + last >= PAGE_SIZE || s->mask - off < last)
		return 0;
	if (s->down)
		return (MIN(at, off) >> s->shift) + 1;
	return (MIN(PAGE_SIZE - 1 - at - last, s->mask - off - last) >> s->shift) + 1;
}

/* Are n elements from off within the segment? In 64-bit mode a page is canonical as a whole. */
static bool chunk_in_segment(
	struct cpu *cpu, const struct string *s, unsigned seg, u64 off, u64 n, unsigned acc)
{
	u64 unused, before = (n - 1) << s->shift;

	if (cpu->code_size == 8)
		return true;
	if (s->down)
		off -= before;
	return !seg_linear(cpu, seg, off, before + s->size, acc, &unused);
}

/* seg_aligned() with its common case, a canonical address in 64-bit mode, inline. */
static inline int string_linear(
	struct cpu *cpu, unsigned seg, u64 off, unsigned size, unsigned acc, u64 *ret)
{
	u64 lin = off + (seg == SEG_FS || seg == SEG_GS ? cpu->seg[seg].base : 0);

	if (unlikely(cpu->code_size != 8) || !cpu_canonical(cpu, lin) ||
		!cpu_canonical(cpu, lin + size - 1) || alignment_checked(cpu))
		return seg_aligned(cpu, seg, off, size, size, acc, ret);
	*ret = lin;
	return CPU_OK;
}

/*
 * Translate the element that reg points to and find out how many more can go with it. Any fault
 * raised here is that element's.
 */
static int side_begin(struct cpu *cpu, const struct string *s, struct side *side, unsigned seg,
	unsigned reg, unsigned acc)
{
	u64 off = cpu->gpr[reg] & s->mask;
	void *host;
	int r = string_linear(cpu, seg, off, s->size, acc, &side->lin);

	if (r)
		return r;
	debug_access(cpu, side->lin, s->size, acc);
	host = tlb_lookup(
		cpu, cpu->view, acc == ACC_WRITE ? TLB_WRITE : TLB_READ, side->lin, s->size);
	if (unlikely(!host) && (r = mem_host(cpu, side->lin, s->size, acc, &host)))
		return r;
	side->host = host;
	side->room = 1;
	if (s->remaining == 1 || s->single || !host)
		return CPU_OK;
	u64 room = MIN(page_room(s, side->lin, off), s->remaining);
	if (room > 1 && chunk_in_segment(cpu, s, seg, off, room, acc))
		side->room = room;
	return CPU_OK;
}

static int source_begin(struct cpu *cpu, const struct string *s, struct side *side)
{
	return side_begin(cpu, s, side, s->in->seg, RSI, ACC_READ);
}

static int dest_begin(struct cpu *cpu, const struct string *s, struct side *side, unsigned acc)
{
	return side_begin(cpu, s, side, SEG_ES, RDI, acc);
}

/* ---- the host's string instructions, n >= 1 ---- */

/*
 * Run code on a chunk of n elements. *ret: how many were done. CPU_EXIT if the host refused the access;
 * then the elements before the refused one are done.
 */
static int host_chunk(struct cpu *cpu, const struct string *s, host_string_fn code,
	struct host_string *h, u64 n, u64 *ret)
{
	h->count = n;
	h->down = s->down;
	int r = code(h);
	*ret = n - h->count;
	return likely(r == 0) ? CPU_OK : host_refused(cpu);
}

/* ---- movs, stos, lods ---- */

static int movs_slow(struct cpu *cpu, const struct string *s, u64 src, u64 dst)
{
	u64 value;
	int r = mem_read(cpu, src, &value, s->size, ACC_READ);

	return r ? r : mem_write(cpu, dst, &value, s->size, ACC_WRITE);
}

int op_movs(struct cpu *cpu, const struct insn *in)
{
	struct string s;
	struct side src, dst;

	string_begin(&s, cpu, in);
	if (s.remaining == 0)
		return CPU_OK;
	do {
		u64 n = 1;
		int r = source_begin(cpu, &s, &src);
		if (!r)
			r = dest_begin(cpu, &s, &dst, ACC_WRITE);
		if (r)
			return r;
		if (likely(src.host && dst.host)) {
			struct host_string h = {.dst = dst.host, .src = src.host};
			r = host_chunk(
				cpu, &s, host_movs[s.shift], &h, MIN(src.room, dst.room), &n);
		} else if ((r = movs_slow(cpu, &s, src.lin, dst.lin))) {
			return r;
		}
		string_advance(cpu, &s, n, BIT(RSI) | BIT(RDI));
		if (r)
			return r;
	} while (string_continue(cpu, &s));
	return CPU_OK;
}

int op_stos(struct cpu *cpu, const struct insn *in)
{
	struct string s;
	struct side dst;

	string_begin(&s, cpu, in);
	if (s.remaining == 0)
		return CPU_OK;
	do {
		u64 n = 1;
		int r = dest_begin(cpu, &s, &dst, ACC_WRITE);
		if (r)
			return r;
		if (likely(dst.host)) {
			struct host_string h = {.dst = dst.host, .value = cpu->gpr[RAX]};
			r = host_chunk(cpu, &s, host_stos[s.shift], &h, dst.room, &n);
		} else if ((r = mem_write(cpu, dst.lin, &cpu->gpr[RAX], s.size, ACC_WRITE))) {
			return r;
		}
		string_advance(cpu, &s, n, BIT(RDI));
		if (r)
			return r;
	} while (string_continue(cpu, &s));
	return CPU_OK;
}

/* Repeated lods leaves the last element: only that one is loaded, from each page. */
int op_lods(struct cpu *cpu, const struct insn *in)
{
	struct string s;
	struct side src;

	string_begin(&s, cpu, in);
	if (s.remaining == 0)
		return CPU_OK;
	do {
		int r = source_begin(cpu, &s, &src);
		if (r)
			return r;
		u64 n = src.room, value, before = (n - 1) << s.shift;
		r = mem_read(cpu, src.lin + (s.down ? -before : before), &value, s.size, ACC_READ);
		if (r)
			return r;
		reg_write(cpu, RAX, s.size, true, value);
		string_advance(cpu, &s, n, BIT(RSI));
	} while (string_continue(cpu, &s));
	return CPU_OK;
}

/* ---- cmps, scas ---- */

/* Flags of the comparison that ended a chunk, as `lahf; seto al`: do they end the repetition? */
static bool compare_ends(struct cpu *cpu, u32 ax, bool ne)
{
	u64 flags = ((ax >> 8) & (FL_STATUS & 0xff)) | (ax & 1 ? FL_OF : 0);

	cpu->rflags = (cpu->rflags & ~FL_STATUS) | flags;
	return ne == (bool)(flags & FL_ZF);
}

/*
 * Out of the repetition because the next element cannot be had, or for a trap or an interrupt between two. Intel's
 * processors then show the flags as they were before the instruction, which does not read them (SDM 2: REP); AMD's,
 * those of the last comparison.
 */
static int compare_stops(struct cpu *cpu, const struct string *s, int r)
{
	if (!cpu->host_amd)
		cpu->rflags = (cpu->rflags & ~FL_STATUS) | (s->flags & FL_STATUS);
	return r;
}

int op_cmps(struct cpu *cpu, const struct insn *in)
{
	bool ne = in->pfx & PFX_REPNE, ends;
	struct string s;
	struct side src, dst;

	string_begin(&s, cpu, in);
	if (s.remaining == 0)
		return CPU_OK;
	do {
		u64 a, b, n = 1;
		int r = source_begin(cpu, &s, &src);
		if (!r)
			r = dest_begin(cpu, &s, &dst, ACC_READ);
		if (r)
			return compare_stops(cpu, &s, r);
		if (likely(src.host && dst.host)) {
			n = MIN(src.room, dst.room);
		} else {
			r = mem_read(cpu, src.lin, &a, s.size, ACC_READ);
			if (!r)
				r = mem_read(cpu, dst.lin, &b, s.size, ACC_READ);
			if (r)
				return compare_stops(cpu, &s, r);
			src.host = (u8 *)&a;
			dst.host = (u8 *)&b;
		}
		struct host_string h = {.dst = dst.host, .src = src.host};
		r = host_chunk(cpu, &s, host_cmps[ne][s.shift], &h, n, &n);
		string_advance(cpu, &s, n, BIT(RSI) | BIT(RDI));
		if (r)
			return compare_stops(cpu, &s, r);
		ends = compare_ends(cpu, h.flags, ne);
	} while (!ends && string_continue(cpu, &s));
	return ends || !s.remaining ? CPU_OK : compare_stops(cpu, &s, CPU_OK);
}

int op_scas(struct cpu *cpu, const struct insn *in)
{
	bool ne = in->pfx & PFX_REPNE, ends;
	struct string s;
	struct side dst;

	string_begin(&s, cpu, in);
	if (s.remaining == 0)
		return CPU_OK;
	do {
		u64 b, n;
		int r = dest_begin(cpu, &s, &dst, ACC_READ);
		if (r)
			return compare_stops(cpu, &s, r);
		if (unlikely(!dst.host)) {
			r = mem_read(cpu, dst.lin, &b, s.size, ACC_READ);
			if (r)
				return compare_stops(cpu, &s, r);
			dst.host = (u8 *)&b;
		}
		struct host_string h = {.dst = dst.host, .value = cpu->gpr[RAX]};
		r = host_chunk(cpu, &s, host_scas[ne][s.shift], &h, dst.room, &n);
		string_advance(cpu, &s, n, BIT(RDI));
		if (r)
			return compare_stops(cpu, &s, r);
		ends = compare_ends(cpu, h.flags, ne);
	} while (!ends && string_continue(cpu, &s));
	return ends || !s.remaining ? CPU_OK : compare_stops(cpu, &s, CPU_OK);
}
