/* SPDX-License-Identifier: MIT */
/*
 * Hardware task switches with 16- and 32-bit TSSs (SDM 3:7.3). They do not exist in IA-32e mode.
 *
 * Up to the commit a fault belongs to the old task and leaves no trace; so everything is read and
 * every write is probed first. After it the new task runs: a fault while its segments are loaded
 * is delivered there, with rip already at its first instruction (SDM 3:7.3 table 7-1).
 */

#include "engine/core/cpu.h"
#include "engine/cpu/cr.h"
#include "engine/cpu/segment.h"
#include "engine/cpu/stack.h"
#include "engine/cpu/task.h"
#include "engine/cpu/mode.h"
#include "engine/cpu/valid.h"
#include "engine/mem/mem.h"
#include "engine/tap/ask.h"
#include "x86/regs.h"

struct tss {
	bool wide; /* 32-bit */
	u16 link;
	u64 cr3;
	u32 eip, eflags;
	u32 gpr[8];
	u16 sel[6]; /* es cs ss ds fs gs */
	u16 ldt;
	bool trap;
};

/* Sizes and places of what a switch reads and saves. */
#define TSS32_SIZE 104
#define TSS16_SIZE 44
#define TSS32_SAVE 0x20 /* eip eflags, eight registers, six selectors, four bytes each */
#define TSS16_SAVE 0x0e /* ip flags, eight registers, four selectors, two bytes each */

static u32 load32(const u8 *p)
{
	u32 v;

	__builtin_memcpy(&v, p, 4);
	return v;
}

static u16 load16(const u8 *p)
{
	u16 v;

	__builtin_memcpy(&v, p, 2);
	return v;
}

static void parse_tss32(const u8 *b, struct tss *t)
{
	t->cr3 = load32(b + 0x1c);
	t->eip = load32(b + 0x20);
	t->eflags = load32(b + 0x24);
	for (unsigned i = 0; i < 8; i++)
		t->gpr[i] = load32(b + 0x28 + 4 * i);
	for (unsigned i = 0; i < 6; i++)
		t->sel[i] = load16(b + 0x48 + 4 * i);
	t->ldt = load16(b + 0x60);
	t->trap = b[0x64] & 1;
}

static void parse_tss16(const u8 *b, struct tss *t)
{
	t->eip = load16(b + 0x0e);
	t->eflags = load16(b + 0x10);
	for (unsigned i = 0; i < 8; i++)
		t->gpr[i] = load16(b + 0x12 + 2 * i) | 0xffff0000;
	for (unsigned i = 0; i < 4; i++)
		t->sel[i] = load16(b + 0x22 + 2 * i);
	t->ldt = load16(b + 0x2a);
}

static int read_tss(struct cpu *cpu, const struct segment *tr, struct tss *t)
{
	u8 image[TSS32_SIZE];
	bool wide = SEG_TYPE(tr->attr) & 8;
	int r = mem_read(cpu, (u32)tr->base, image, wide ? TSS32_SIZE : TSS16_SIZE, ACC_SYSTEM);

	if (r)
		return r;
	*t = (struct tss){.wide = wide, .link = load16(image)};
	if (wide)
		parse_tss32(image, t);
	else
		parse_tss16(image, t);
	return CPU_OK;
}

/* The new TSS's descriptor: busy for a return, available otherwise. */
static int check_tss(struct cpu *cpu, u16 selector, enum task_source source, struct segment *tr)
{
	u8 vector = source == TASK_IRET ? X86_TS : X86_GP;
	unsigned want = source == TASK_IRET ? BIT(SYS_TSS16_BUSY) | BIT(SYS_TSS32_BUSY)
					    : BIT(SYS_TSS16) | BIT(SYS_TSS32);
	u32 err = SEL_ERR(selector);
	u64 desc[2];
	int r;

	if (SEL_NULL(selector) || (selector & SEL_TI))
		return cpu_raise_err(cpu, vector, err);
	r = descriptor_read(cpu, selector, vector, desc);
	if (r)
		return r;
	if ((desc[0] & DESC_S) || !(BIT(DESC_TYPE(desc[0])) & want))
		return cpu_raise_err(cpu, vector, err);
	if (!(desc[0] & DESC_P))
		return cpu_raise_err(cpu, X86_NP, err);
	segment_from_descriptor(tr, selector, desc);
	if (tr->limit < (SEG_TYPE(tr->attr) & 8 ? TSS32_SIZE - 1 : TSS16_SIZE - 1))
		return cpu_raise_err(cpu, X86_TS, err);
	return CPU_OK;
}

/* ---- saving the old task ---- */

static unsigned save_image(const struct cpu *cpu, u32 eflags, u8 *image, unsigned width)
{
	u32 v[16] = {(u32)cpu->next_rip, eflags};
	unsigned n = width == 4 ? 16 : 14;

	for (unsigned i = 0; i < 8; i++)
		v[2 + i] = (u32)cpu->gpr[i];
	for (unsigned i = 0; i < 6; i++)
		v[10 + i] = cpu->seg[i].selector;
	for (unsigned i = 0; i < n; i++)
		__builtin_memcpy(image + i * width, &v[i], width);
	return n * width;
}

static int probe_busy(struct cpu *cpu, u16 selector)
{
	u64 lin;

	if (!descriptor_address(cpu, selector, 8, &lin))
		return CPU_OK;
	return mem_probe_write(cpu, lin + 5, 1, ACC_WRITE | ACC_SYSTEM);
}

/* Everything that leave_task() is going to write can be written. */
static int probe_switch(struct cpu *cpu, const struct segment *tr, u64 save, unsigned len)
{
	int r = mem_probe_write(cpu, save, len, ACC_WRITE | ACC_SYSTEM);

	if (!r)
		r = mem_probe_write(cpu, (u32)tr->base, 2, ACC_WRITE | ACC_SYSTEM);
	if (!r)
		r = probe_busy(cpu, cpu->seg[SEG_TR].selector);
	return r ? r : probe_busy(cpu, tr->selector);
}

static int write_busy_new(struct cpu *cpu, struct segment *tr)
{
	u64 desc[2];
	int r = descriptor_read(cpu, tr->selector, X86_GP, desc);

	tr->attr |= SYS_BUSY;
	return r ? r : descriptor_set(cpu, tr->selector, &desc[0], SYS_BUSY);
}

/* Save the old task's state and update links and busy bits (SDM 3:7.3 steps 5 to 10). */
static int leave_task(struct cpu *cpu, struct segment *tr, enum task_source source)
{
	const struct segment *old = &cpu->seg[SEG_TR];
	bool wide = SEG_TYPE(old->attr) & 8;
	bool nested = source == TASK_CALL || source == TASK_GATE;
	u32 eflags = (u32)cpu->rflags & ~(source == TASK_IRET ? (u32)FL_NT : 0);
	u64 save = (u32)(old->base + (wide ? TSS32_SAVE : TSS16_SAVE));
	u8 image[64];
	unsigned len = save_image(cpu, eflags, image, wide ? 4 : 2);
	int r;

	r = probe_switch(cpu, tr, save, len);
	if (!r)
		r = mem_write(cpu, save, image, len, ACC_WRITE | ACC_SYSTEM);
	if (!r && nested)
		r = mem_write(cpu, (u32)tr->base, &old->selector, 2, ACC_WRITE | ACC_SYSTEM);
	if (!r && !nested)
		r = descriptor_clear_busy(cpu, old->selector);
	if (!r && source != TASK_IRET)
		r = write_busy_new(cpu, tr);
	return r;
}

/* ---- loading the new task ---- */

/* Registers; the segment registers hold their selectors but are not usable yet. */
static void load_registers(struct cpu *cpu, const struct tss *t, enum task_source source)
{
	cpu->rip = cpu->next_rip = t->eip;
	cpu->rflags = rflags_written(t->eflags);
	if (source == TASK_CALL || source == TASK_GATE)
		cpu->rflags |= FL_NT;
	for (unsigned i = 0; i < 8; i++)
		cpu->gpr[i] = t->gpr[i];
	for (unsigned i = 0; i < 6; i++)
		segment_set_null(&cpu->seg[i], t->sel[i], 0);
	/* The new level is in force for the checks, and for a fault, even one of LDTR, CS or SS itself. */
	segment_set_null(&cpu->seg[SEG_SS], t->sel[SEG_SS], SEL_RPL(t->sel[SEG_CS]));
	segment_set_null(&cpu->seg[SEG_LDTR], t->ldt, 0);
	cpu->cr0 |= CR0_TS;
	cpu->dr[7] &= ~0x155ull; /* L0-L3 and LE are local to the task, SDM 3:17.2.4 */
}

/* LDTR is not usable yet, so a selector that points into the LDT finds nothing there. */
static int load_ldt(struct cpu *cpu, u16 selector)
{
	u32 err = SEL_ERR(selector);
	u64 desc[2];
	int r;

	if (SEL_NULL(selector))
		return CPU_OK;
	r = descriptor_read(cpu, selector, X86_TS, desc);
	if (r)
		return r;
	if ((desc[0] & (DESC_S | DESC_P)) != DESC_P || DESC_TYPE(desc[0]) != SYS_LDT)
		return cpu_raise_err(cpu, X86_TS, err);
	segment_from_descriptor(&cpu->seg[SEG_LDTR], selector, desc);
	return CPU_OK;
}

static int load_code(struct cpu *cpu, u16 selector)
{
	u32 err = SEL_ERR(selector);
	u64 desc[2];
	unsigned dpl;
	int r;

	if (SEL_NULL(selector))
		return cpu_raise_err(cpu, X86_TS, 0);
	r = descriptor_read(cpu, selector, X86_TS, desc);
	if (r)
		return r;
	dpl = DESC_DPL(desc[0]);
	if (!desc_is_code(desc[0]))
		return cpu_raise_err(cpu, X86_TS, err);
	if (desc_is_conforming(desc[0]) ? dpl > SEL_RPL(selector) : dpl != SEL_RPL(selector))
		return cpu_raise_err(cpu, X86_TS, err);
	if (!(desc[0] & DESC_P))
		return cpu_raise_err(cpu, X86_NP, err);
	r = descriptor_set(cpu, selector, &desc[0], 1);
	if (!r)
		segment_from_descriptor(&cpu->seg[SEG_CS], selector, desc);
	return r;
}

static int load_stack(struct cpu *cpu, u16 selector, unsigned cpl)
{
	struct segment ss;
	int r;

	if (SEL_NULL(selector))
		return cpu_raise_err(cpu, X86_TS, 0);
	r = segment_prepare_ss(cpu, selector, cpl, X86_TS, &ss);
	if (!r)
		cpu->seg[SEG_SS] = ss;
	return r;
}

static int load_segments(struct cpu *cpu, const struct tss *t)
{
	static const u8 data[] = {SEG_DS, SEG_ES, SEG_FS, SEG_GS};
	unsigned cpl = SEL_RPL(t->sel[SEG_CS]);
	int r = load_code(cpu, t->sel[SEG_CS]);

	cpu_update_mode(cpu);
	if (!r)
		r = load_stack(cpu, t->sel[SEG_SS], cpl);
	for (unsigned i = 0; !r && i < ARRAY_SIZE(data); i++) {
		struct segment s;
		r = segment_prepare_data(cpu, t->sel[data[i]], X86_TS, &s);
		if (!r)
			cpu->seg[data[i]] = s;
	}
	return r;
}

static void load_v86_segments(struct cpu *cpu, const struct tss *t)
{
	for (unsigned i = 0; i < 6; i++)
		segment_set_v86(&cpu->seg[i], t->sel[i]);
}

static int push_task_error(struct cpu *cpu, const struct tss *t, u32 error)
{
	struct stack s;
	int r;

	stack_begin(cpu, &s);
	s.own = false;
	r = stack_push(cpu, &s, error, t->wide ? 4 : 2);
	if (!r)
		stack_commit(cpu, &s);
	return r;
}

static int enter_task(struct cpu *cpu, const struct tss *t)
{
	int r = load_ldt(cpu, t->ldt);

	if (r)
		return r;
	if (cpu_v86(cpu)) {
		load_v86_segments(cpu, t);
		return CPU_OK;
	}
	return load_segments(cpu, t);
}

int task_switch(struct cpu *cpu, u16 selector, enum task_source source, bool has_error, u32 error)
{
	struct segment tr;
	struct tss t;
	int r;

	r = check_tss(cpu, selector, source, &tr);
	if (!r)
		r = read_tss(cpu, &tr, &t);
	if (!r && t.wide && (cpu->cr0 & CR0_PG) && tap_cr(cpu, 3, cpu->cr3, &t.cr3, &r)) {
		if (r)
			return r;
		t.cr3 = cpu->cr3;
	}
	if (!r)
		r = leave_task(cpu, &tr, source);
	if (r)
		return r;

	/* From here on it cannot be started again. */
	cpu->answers.muted = true;
	cpu->seg[SEG_TR] = tr;
	load_registers(cpu, &t, source);
	if (t.wide && (cpu->cr0 & CR0_PG))
		r = cr_write(cpu, 3, t.cr3);
	if (!r)
		r = enter_task(cpu, &t);
	cpu_update_mode(cpu);
	if (!r && has_error)
		r = push_task_error(cpu, &t, error);
	if (!r)
		r = cpu_set_rip_checked(cpu, t.eip);
	cpu->answers.muted = false;
	/*
	 * A trap after the switch, at an instruction boundary of the new task: outer code delivers it. Here it would be
	 * one more fault of the delivery that is under way, and tasks that trap can follow each other without an end.
	 */
	if (!r && t.trap)
		cpu->debug_pending |= DR6_BT;
	return r;
}
