/* SPDX-License-Identifier: MIT */
/* Decoding is x86/insn.h's. What each instruction does with its operands is a row of `rows`; SDM 2. */
#include <errno.h>
#include <string.h>

#include "tests/mshv/vmm/emulate.h"
#include "x86/insn.h"
#include "x86/regs.h"

#define FLAG_CF 0x001u
#define FLAG_PF 0x004u
#define FLAG_AF 0x010u
#define FLAG_ZF 0x040u
#define FLAG_SF 0x080u
#define FLAG_DF 0x400u
#define FLAG_OF 0x800u
#define FLAGS   (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

struct emulator {
	struct hv_register_page *page;
	const struct hv_memory_message *m;
	const struct emulate_ops *ops;
	void *opaque;
	struct insn in;
	u8 code[INSN_MAX];
	unsigned code_size;
};

static u64 cut(u64 value, unsigned size)
{
	return size < 8 ? value & ((1ull << size * 8) - 1) : value;
}

/* ---- registers ---- */

/* AH, CH, DH and BH are what 4 to 7 mean for bytes without REX. */
static bool is_high_byte(const struct emulator *e, unsigned reg, unsigned size)
{
	return size == 1 && reg >= 4 && reg < 8 && !(e->in.pfx & PFX_REX);
}

static u64 reg_value(const struct emulator *e, unsigned reg, unsigned size)
{
	if (is_high_byte(e, reg, size))
		return e->page->gpr[reg - 4] >> 8 & 0xff;
	return cut(e->page->gpr[reg], size);
}

static void reg_write(struct emulator *e, unsigned reg, unsigned size, u64 value)
{
	u64 *at = &e->page->gpr[is_high_byte(e, reg, size) ? reg - 4 : reg];

	if (is_high_byte(e, reg, size))
		*at = (*at & ~0xff00ull) | (value & 0xff) << 8;
	else if (size >= 4)
		*at = cut(value, size); /* 32-bit results are zero-extended */
	else
		*at = (*at & ~cut(~0ull, size)) | cut(value, size);
	e->page->dirty |= HV_PAGE_DIRTY_GPR;
}

/* ---- memory ---- */

static int gpa_of(const struct emulator *e, u64 gva, bool write, u64 *ret)
{
	const struct hv_memory_message *m = e->m;

	if (m->access_info & HV_MEMORY_GVA_GPA_VALID && !((m->gva ^ gva) & PAGE_MASK)) {
		*ret = (m->gpa & PAGE_MASK) | (gva & ~PAGE_MASK);
		return 0;
	}
	return e->ops->translate(e->opaque, gva, write, ret);
}

/* By pieces that do not cross a page. */
static int access(const struct emulator *e, u64 gva, void *data, unsigned size, bool write)
{
	u8 *at = data;

	while (size) {
		const unsigned left = (unsigned)(PAGE_SIZE - (gva & ~PAGE_MASK));
		const unsigned n = MIN(size, left);
		u64 gpa;
		int r = gpa_of(e, gva, write, &gpa);

		if (r < 0)
			return r;
		if (write)
			e->ops->write(e->opaque, gpa, at, n);
		else
			e->ops->read(e->opaque, gpa, at, n);
		gva += n;
		at += n;
		size -= n;
	}
	return 0;
}

static int load(const struct emulator *e, u64 gva, unsigned size, u64 *ret)
{
	*ret = 0;
	return access(e, gva, ret, size, false);
}

static int store(const struct emulator *e, u64 gva, unsigned size, u64 value)
{
	return access(e, gva, &value, size, true);
}

/* In 64-bit mode only FS and GS have a base (SDM 1:3.3.4). */
static u64 segment_base(const struct emulator *e, unsigned seg)
{
	return seg == SEG_FS || seg == SEG_GS ? e->page->segment[seg].base : 0;
}

static u64 operand_gva(const struct emulator *e)
{
	const struct insn *in = &e->in;
	u64 at = (u64)in->disp;

	if (in->base == BASE_RIP)
		at += e->page->rip + in->len;
	else if (in->base != REG_NONE)
		at += e->page->gpr[in->base];
	if (in->index != REG_NONE)
		at += e->page->gpr[in->index] * in->scale;
	return segment_base(e, in->seg) + cut(at, in->addr_size);
}

static int rm_value(const struct emulator *e, unsigned size, u64 *ret)
{
	if (e->in.is_mem)
		return load(e, operand_gva(e), size, ret);
	*ret = reg_value(e, e->in.rm, size);
	return 0;
}

static int rm_write(struct emulator *e, unsigned size, u64 value)
{
	if (e->in.is_mem)
		return store(e, operand_gva(e), size, value);
	reg_write(e, e->in.rm, size, value);
	return 0;
}

/* ---- flags ---- */

static u64 sign(u64 value, unsigned size)
{
	return value >> (size * 8 - 1) & 1;
}

static u64 flags_of(u64 result, unsigned size)
{
	u64 flags = 0;

	if (!(__builtin_popcount(result & 0xff) & 1))
		flags |= FLAG_PF;
	if (!result)
		flags |= FLAG_ZF;
	if (sign(result, size))
		flags |= FLAG_SF;
	return flags;
}

static void set_flags(struct emulator *e, u64 flags)
{
	e->page->rflags = (e->page->rflags & ~(u64)FLAGS) | flags;
	e->page->dirty |= HV_PAGE_DIRTY_RFLAGS;
}

static void compare(struct emulator *e, u64 a, u64 b, unsigned size)
{
	const u64 result = cut(a - b, size);
	u64 flags = flags_of(result, size);

	if (a < b)
		flags |= FLAG_CF;
	if ((a ^ b ^ result) & 0x10)
		flags |= FLAG_AF;
	if (sign((a ^ b) & (a ^ result), size))
		flags |= FLAG_OF;
	set_flags(e, flags);
}

/* ---- instructions ---- */

static int mov_to_rm(struct emulator *e)
{
	return rm_write(e, e->in.op_size, reg_value(e, e->in.reg, e->in.op_size));
}

static int mov_to_reg(struct emulator *e)
{
	u64 value;
	int r = rm_value(e, e->in.op_size, &value);

	if (r == 0)
		reg_write(e, e->in.reg, e->in.op_size, value);
	return r;
}

static int mov_immediate(struct emulator *e)
{
	return rm_write(e, e->in.op_size, e->in.imm);
}

/* MOV with the address in the instruction. */
static u64 moffs_gva(const struct emulator *e)
{
	return segment_base(e, e->in.seg) + cut(e->in.imm, e->in.addr_size);
}

static int mov_from_moffs(struct emulator *e)
{
	u64 value;
	int r = load(e, moffs_gva(e), e->in.op_size, &value);

	if (r == 0)
		reg_write(e, RAX, e->in.op_size, value);
	return r;
}

static int mov_to_moffs(struct emulator *e)
{
	return store(e, moffs_gva(e), e->in.op_size, reg_value(e, RAX, e->in.op_size));
}

static int movzx(struct emulator *e)
{
	u64 value;
	int r = rm_value(e, e->in.opcode == 0xb6 ? 1 : 2, &value);

	if (r == 0)
		reg_write(e, e->in.reg, e->in.op_size, value);
	return r;
}

static int cmp_rm_reg(struct emulator *e)
{
	u64 value;
	int r = rm_value(e, e->in.op_size, &value);

	if (r == 0)
		compare(e, value, reg_value(e, e->in.reg, e->in.op_size), e->in.op_size);
	return r;
}

static int cmp_reg_rm(struct emulator *e)
{
	u64 value;
	int r = rm_value(e, e->in.op_size, &value);

	if (r == 0)
		compare(e, reg_value(e, e->in.reg, e->in.op_size), value, e->in.op_size);
	return r;
}

/* Group 1 with a byte, of which only CMP is ours. */
static int cmp_immediate(struct emulator *e)
{
	u64 value;
	int r = (e->in.modrm >> 3 & 7) == 7 ? rm_value(e, e->in.op_size, &value) : -ENOSYS;

	if (r == 0)
		compare(e, value, cut(e->in.imm, e->in.op_size), e->in.op_size);
	return r;
}

static int or_rm_reg(struct emulator *e)
{
	u64 value;
	int r = rm_value(e, e->in.op_size, &value);

	if (r < 0)
		return r;
	value |= reg_value(e, e->in.reg, e->in.op_size);
	r = rm_write(e, e->in.op_size, value);
	if (r == 0)
		set_flags(e, flags_of(value, e->in.op_size));
	return r;
}

/* ---- strings: all repetitions at once ---- */

static bool repeated(const struct emulator *e)
{
	return e->in.pfx & (PFX_REP | PFX_REPNE);
}

static void step_index(struct emulator *e, unsigned reg)
{
	const u64 step = e->page->rflags & FLAG_DF ? -(u64)e->in.op_size : e->in.op_size;

	reg_write(e, reg, e->in.addr_size, cut(e->page->gpr[reg], e->in.addr_size) + step);
}

static int each_element(struct emulator *e, int (*one)(struct emulator *))
{
	int r = 0;

	if (!repeated(e))
		return one(e);
	while (r == 0 && reg_value(e, RCX, e->in.addr_size)) {
		r = one(e);
		if (r == 0)
			reg_write(e, RCX, e->in.addr_size, reg_value(e, RCX, e->in.addr_size) - 1);
	}
	return r;
}

static int one_movs(struct emulator *e)
{
	const u64 from = segment_base(e, e->in.seg) + reg_value(e, RSI, e->in.addr_size);
	u64 value;
	int r = load(e, from, e->in.op_size, &value);

	if (r == 0)
		r = store(e, reg_value(e, RDI, e->in.addr_size), e->in.op_size, value);
	if (r == 0) {
		step_index(e, RSI);
		step_index(e, RDI);
	}
	return r;
}

static int one_stos(struct emulator *e)
{
	int r = store(e, reg_value(e, RDI, e->in.addr_size), e->in.op_size,
		reg_value(e, RAX, e->in.op_size));

	if (r == 0)
		step_index(e, RDI);
	return r;
}

static int movs(struct emulator *e)
{
	return each_element(e, one_movs);
}

static int stos(struct emulator *e)
{
	return each_element(e, one_stos);
}

/* ---- which instruction it is ---- */

/* By map and opcode, both of them of the legacy encoding. */
static const struct {
	u8 map, opcode;
	int (*run)(struct emulator *e);
} rows[] = {
	{0, 0x08, or_rm_reg},
	{0, 0x38, cmp_rm_reg},
	{0, 0x39, cmp_rm_reg},
	{0, 0x3a, cmp_reg_rm},
	{0, 0x3b, cmp_reg_rm},
	{0, 0x83, cmp_immediate},
	{0, 0x88, mov_to_rm},
	{0, 0x89, mov_to_rm},
	{0, 0x8a, mov_to_reg},
	{0, 0x8b, mov_to_reg},
	{0, 0xa0, mov_from_moffs},
	{0, 0xa1, mov_from_moffs},
	{0, 0xa2, mov_to_moffs},
	{0, 0xa3, mov_to_moffs},
	{0, 0xa4, movs},
	{0, 0xa5, movs},
	{0, 0xaa, stos},
	{0, 0xab, stos},
	{0, 0xc6, mov_immediate},
	{0, 0xc7, mov_immediate},
	{1, 0xb6, movzx},
	{1, 0xb7, movzx},
};

static int run(struct emulator *e)
{
	if (e->in.enc != ENC_LEGACY)
		return -ENOSYS;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].map == e->in.map && rows[i].opcode == e->in.opcode)
			return rows[i].run(e);
	return -ENOSYS;
}

/* The message has up to 16 bytes, fewer where a page ended; the rest is fetched. */
static int fetch_one(struct emulator *e)
{
	u64 gpa;
	int r = e->ops->translate(e->opaque, e->page->rip + e->code_size, false, &gpa);

	if (r == 0)
		e->ops->read(e->opaque, gpa, e->code + e->code_size++, 1);
	return r;
}

static int decode(struct emulator *e)
{
	enum insn_result got;
	int r = e->code_size ? 0 : fetch_one(e);

	while (r == 0) {
		got = insn_decode(&e->in, e->code, e->code_size, 8);
		if (got != INSN_SHORT)
			return got == INSN_OK ? 0 : -ENOSYS;
		r = e->code_size < INSN_MAX ? fetch_one(e) : -ENOSYS;
	}
	return r;
}

int emulate(struct hv_register_page *page, const struct hv_memory_message *m,
	const struct emulate_ops *ops, void *opaque)
{
	struct emulator e = {.page = page, .m = m, .ops = ops, .opaque = opaque};
	int r;

	e.code_size = MIN(m->byte_count, (u8)INSN_MAX);
	memcpy(e.code, m->bytes, e.code_size);
	r = decode(&e);
	if (r == 0)
		r = run(&e);
	if (r == 0) {
		page->rip += e.in.len;
		page->dirty |= HV_PAGE_DIRTY_RIP;
	}
	return r;
}
