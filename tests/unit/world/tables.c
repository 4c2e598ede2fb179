/* SPDX-License-Identifier: MIT */
#include "tables.h"
#include "engine/cpu/mode.h"

/* ---- tables ---- */

u64 make_desc(u32 base, u32 limit, u8 access, u8 flags)
{
	return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)access << 40 |
	       (u64)(limit >> 16 & 15) << 48 | (u64)flags << 52 | (u64)(base >> 24) << 56;
}

void set_gdt(unsigned selector, u64 lo)
{
	poke(GDT + (selector & ~7u), lo, 8);
}

static u64 gate_low(u16 selector, u64 offset, u8 access, u8 byte4)
{
	return (offset & 0xffff) | (u64)selector << 16 | (u64)byte4 << 32 | (u64)access << 40 |
	       (offset >> 16 & 0xffff) << 48;
}

void set_gate(unsigned vector, u16 selector, u64 offset, u8 access, u8 ist)
{
	bool lm = cpu_long_mode(w.cpu);
	u64 at = IDT + vector * (lm ? 16 : 8);

	poke(at, gate_low(selector, offset, access, ist), 8);
	if (lm)
		poke(at + 8, offset >> 32, 8);
}

void set_call_gate(u16 selector, u64 offset, u8 access, u8 count)
{
	set_gdt(SELGATE, gate_low(selector, offset, access, count));
	if (cpu_long_mode(w.cpu))
		set_gdt(SELGATE + 8, offset >> 32);
}

static void fill_gdt(bool lm)
{
	const u8 g32 = 0xc, l = 0xa;

	/* The null descriptor looks loadable, so that only the check for null can refuse it. */
	set_gdt(0, make_desc(0, 0xfffff, 0x9b, lm ? l : g32));
	set_gdt(KCODE, make_desc(0, 0xfffff, 0x9b, g32));
	set_gdt(KDATA, make_desc(0, 0xfffff, 0x93, g32));
	set_gdt(KCODE64, make_desc(0, 0xfffff, 0x9b, l));
	set_gdt(UCODE, make_desc(0, 0xfffff, 0xfb, g32));
	set_gdt(UDATA, make_desc(0, 0xfffff, 0xf3, g32));
	set_gdt(UCODE64, make_desc(0, 0xfffff, 0xfb, l));
	set_gdt(CCODE, make_desc(0, 0xfffff, 0x9f, lm ? l : g32));
	set_gdt(NPCODE, make_desc(0, 0xfffff, 0x1b, lm ? l : g32));
	set_gdt(NPDATA, make_desc(0, 0xfffff, 0x13, g32));
	set_gdt(RODATA, make_desc(0, 0xfffff, 0x91, g32));
	set_gdt(SELTSS, make_desc(TSS, lm ? 0x67 : 0x2067, 0x80 | SYS_TSS32_BUSY, 0));
	set_gdt(SELNEW, make_desc(TSS_NEW, 0x67, 0x80 | SYS_TSS32, 0));
	set_gdt(SELLDT, make_desc(LDT, 0x7f, 0x80 | SYS_LDT, 0));
	set_gdt(XCODE, make_desc(0, 0xfffff, 0x99, g32));
	set_gdt(KDATA16, make_desc(0, 0xffff, 0x93, 0));
	set_gdt(DATA2, make_desc(0, 0xfffff, 0xd3, g32));
	set_gdt(LDCODE, make_desc(0, 0xfffff, 0x9b, 0xe));
	set_gdt(CODE1, make_desc(0, 0xfffff, 0xbb, lm ? l : g32));
	set_gdt(DATA1, make_desc(0, 0xfffff, 0xb3, g32));
	set_gdt(TINY, make_desc(0, 0xff, 0x9b, 4));
	set_gdt(DOWN, make_desc(0, 0xfff, 0x97, 4));
	set_gdt(CODE16, make_desc(0, 0xffff, 0x9b, 0));
}

static void load_seg(unsigned seg, u16 selector)
{
	u64 desc[2] = {peek(GDT + (selector & ~7), 8), 0};

	segment_from_descriptor(&w.cpu->seg[seg], selector, desc);
}

void load_ldt_like_gdt(void)
{
	memcpy(w.mem + LDT, w.mem + GDT, GDT_LIMIT + 1);
	w.cpu->seg[SEG_LDTR] =
		(struct segment){.base = LDT, .limit = GDT_LIMIT, .attr = 0x82, .selector = SELLDT};
}

static void start(void)
{
	processor_new();
	w.cpu->gdt = (struct dtable){.base = GDT, .limit = GDT_LIMIT};
	w.cpu->idt = (struct dtable){.base = IDT, .limit = 0xfff};
	w.cpu->rip = 0x100;
	w.cpu->next_rip = 0x102;
	w.cpu->rflags = FL_FIXED | FL_IF;
	for (unsigned i = 0; i < GPR_COUNT; i++)
		w.cpu->gpr[i] = 0x1111111100000000ull * (i & 1) + i;
}

void start_real(void)
{
	start();
	for (unsigned i = 0; i <= SEG_GS; i++)
		w.cpu->seg[i] = (struct segment){.limit = 0xffff, .attr = 0x93};
	w.cpu->idt = (struct dtable){.limit = 0x3ff};
	w.cpu->gpr[RSP] = KSTACK;
	for (unsigned i = 0; i < 256; i++)
		poke(i * 4, 0x00200500, 4); /* 0020:0500 */
	cpu_update_mode(w.cpu);
}

static void start_flat(unsigned cpl)
{
	static const u8 data[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS, SEG_SS};
	bool lm = cpu_long_mode(w.cpu);

	fill_gdt(lm);
	for (unsigned i = 0; i < ARRAY_SIZE(data); i++)
		load_seg(data[i], cpl == 3 ? UDATA : KDATA);
	load_seg(SEG_CS, cpl == 3 ? (lm ? UCODE64 : UCODE) : (lm ? KCODE64 : KCODE));
	load_seg(SEG_TR, SELTSS);
	segment_set_null(&w.cpu->seg[SEG_LDTR], 0, 0);
	w.cpu->gpr[RSP] = cpl == 3 ? USTACK : KSTACK;
	for (unsigned i = 0; i < 256; i++)
		set_gate(i, lm ? KCODE64 : KCODE, 0x500, 0xee, 0);
	cpu_update_mode(w.cpu);
	assert_int_equal(w.cpu->cpl, cpl);
	memset(&seen, 0, sizeof(seen));
}

void start_protected(unsigned cpl)
{
	start();
	w.cpu->cr0 = CR0_PE | CR0_ET;
	processor_paging();
	poke(TSS + 4, TSTACK, 4);
	poke(TSS + 8, KDATA, 2);
	poke(TSS + 0x0c, 0xc800, 4); /* level 1 */
	poke(TSS + 0x10, DATA1, 2);
	start_flat(cpl);
}

void start_long(unsigned cpl)
{
	start();
	w.cpu->cr0 = CR0_PE | CR0_ET;
	w.cpu->efer = EFER_LME | EFER_SCE;
	processor_paging();
	poke(TSS + 4, TSTACK, 8);
	poke(TSS + 12, 0xc800, 8);
	poke(TSS + 36, ISTACK, 8);
	start_flat(cpl);
}

void start_v86(unsigned iopl)
{
	start_protected(0);
	w.cpu->rflags |= FL_VM | (u64)iopl << 12;
	for (unsigned i = 0; i <= SEG_GS; i++)
		segment_set_v86(&w.cpu->seg[i], (u16)(0x10 + i));
	segment_set_v86(&w.cpu->seg[SEG_SS], 0x0a00);
	w.cpu->gpr[RSP] = 0x800;
	poke(TSS + 102, 0x88, 2); /* I/O bitmap; the redirection bitmap is at 0x68 */
	cpu_update_mode(w.cpu);
}

struct insn make_insn(u8 opcode, unsigned op_size)
{
	return (struct insn){.opcode = opcode,
		.op_size = (u8)op_size,
		.addr_size = 8,
		.len = 2,
		.mode = w.cpu->code_size,
		.seg = SEG_DS,
		.base = REG_NONE,
		.index = REG_NONE,
		.scale = 1};
}

/* ---- assertions ---- */

struct trace take_trace(void)
{
	const struct cpu *c = w.cpu;
	struct trace t;

	memset(&t, 0, sizeof(t));
	memcpy(t.gpr, c->gpr, sizeof(t.gpr));
	for (unsigned i = 0; i < SEG_COUNT; i++) { /* field by field: padding is no state */
		t.seg[i].base = c->seg[i].base;
		t.seg[i].limit = c->seg[i].limit;
		t.seg[i].attr = c->seg[i].attr;
		t.seg[i].selector = c->seg[i].selector;
	}
	t.rip = c->rip;
	t.rflags = c->rflags;
	t.cr0 = c->cr0;
	t.cr2 = c->cr2;
	t.cr3 = c->cr3;
	t.cr4 = c->cr4;
	t.dr6 = c->dr[6];
	t.dr7 = c->dr[7];
	t.cpl = c->cpl;
	t.code_size = c->code_size;
	t.stack_size = c->stack_size;
	t.shadow = c->shadow;
	t.nmi_masked = c->nmi_masked;
	t.block_key = c->block_key;
	return t;
}

void assert_same_trace(const struct trace *a, const struct trace *b)
{
	assert_memory_equal(a->gpr, b->gpr, sizeof(a->gpr));
	for (unsigned i = 0; i < SEG_COUNT; i++) {
		assert_int_equal(a->seg[i].selector, b->seg[i].selector);
		assert_int_equal(a->seg[i].attr, b->seg[i].attr);
		assert_int_equal(a->seg[i].base, b->seg[i].base);
		assert_int_equal(a->seg[i].limit, b->seg[i].limit);
	}
	assert_int_equal(a->rip, b->rip);
	assert_int_equal(a->rflags, b->rflags);
	assert_memory_equal(a, b, sizeof(*a));
}
