/* SPDX-License-Identifier: MIT */
/*
 * System management mode: entry and RSM.
 *
 * The state goes to the 512 bytes at SMBASE + FE00h: in AMD's 64-bit layout (APM 2:10.2.3 table 10-1) if
 * CPUID says that there is long mode, else in the layout of the P6. Software knows which by the revision
 * at FEFCh. Where both leave room, Linux's KVM keeps the interrupt shadow, and so do we: state images move
 * between the two.
 *
 * What RSM finds is the handler's word for everything, so it is checked as a whole before the first register
 * changes; a state that no processor can be in ends in shutdown (APM 2:10.3.6).
 */
#include "engine/cpu/smm.h"
#include "engine/cpu/mode.h"

#include <string.h>

#include "engine/cpu/valid.h"
#include "engine/mem/mem.h"

#define SAVE_OFFSET 0xfe00
#define SAVE_BYTES  512
#define REVISION_64 0x20064 /* SMBASE can be changed */
#define REVISION_32 0x20000

struct seg64 {
	u16 selector, attr;
	u32 limit;
	u64 base;
};

struct save64 {
	struct seg64 es, cs, ss, ds, fs, gs, gdt, ldt, idt, tr;
	u64 io_restart[4];
	u32 io_trap, local_status;
	u8 io_restart_flag, auto_halt, nmi_mask, shadow;
	u32 reserved1;
	u64 efer;
	u64 svm[3];
	u32 reserved2[3];
	u32 revision, smbase;
	u32 reserved3[5];
	u64 host[6];
	u64 cr4, cr3, cr0, dr7, dr6, rflags, rip;
	u64 gpr[GPR_COUNT]; /* R15 first */
};
_Static_assert(offsetof(struct save64, efer) == 0xd0, "APM 2 table 10-1");
_Static_assert(offsetof(struct save64, revision) == 0xfc, "APM 2 table 10-1");
_Static_assert(offsetof(struct save64, cr4) == 0x148, "APM 2 table 10-1");
_Static_assert(sizeof(struct save64) == SAVE_BYTES, "APM 2 table 10-1");

struct seg32 {
	u32 attr, limit, base;
};

struct save32 {
	u32 reserved1[62];
	u32 smbase, revision;
	u16 io_restart_flag, auto_halt;
	u32 io_restart[4];
	u32 cr4;
	u16 reserved2;
	u8 shadow, reserved3[17];
	struct seg32 ds, fs, gs, idt, tr;
	u32 reserved4;
	struct seg32 gdt, ldt, es, cs, ss;
	u32 es_sel, cs_sel, ss_sel, ds_sel, fs_sel, gs_sel, ldt_sel, tr_sel;
	u32 dr7, dr6;
	u32 gpr[8];
	u32 eip, eflags, cr3, cr0;
};
_Static_assert(offsetof(struct save32, revision) == 0xfc, "P6 layout");
_Static_assert(offsetof(struct save32, gpr) == 0x1d0, "P6 layout");
_Static_assert(sizeof(struct save32) == SAVE_BYTES, "P6 layout");

union save {
	struct save64 s64;
	struct save32 s32;
	u8 bytes[SAVE_BYTES];
};

/* Where each segment register is kept. */
static const struct {
	u16 in64, in32, selector32;
} places[SEG_COUNT] = {
#define PLACE(seg, f)                                                                              \
	[seg] = {offsetof(struct save64, f), offsetof(struct save32, f),                           \
		offsetof(struct save32, f##_sel)}
	PLACE(SEG_ES, es),
	PLACE(SEG_CS, cs),
	PLACE(SEG_SS, ss),
	PLACE(SEG_DS, ds),
	PLACE(SEG_FS, fs),
	PLACE(SEG_GS, gs),
	PLACE(SEG_TR, tr),
	PLACE(SEG_LDTR, ldt),
#undef PLACE
};

/* Linux's KVM keeps SHADOW_* as they are. */
#define SHADOW_BITS (SHADOW_STI | SHADOW_MOVSS)

/* ---- what both layouts say, widened ---- */

struct image {
	u64 gpr[GPR_COUNT];
	u64 rip, rflags, cr0, cr3, cr4, efer, dr6, dr7;
	struct segment seg[SEG_COUNT];
	struct dtable gdt, idt;
	u32 smbase;
	u8 shadow;
	bool auto_halt;
};

#define ATTR_BITS 0xf0ffu /* as in a descriptor: no bit for "unusable" */

static u32 loaded_attr(u32 attr)
{
	attr &= ATTR_BITS;
	return attr & SEG_P ? attr : attr | SEG_UNUSABLE;
}

static void save_64(const struct cpu *cpu, struct save64 *s)
{
	for (unsigned i = 0; i < SEG_COUNT; i++) {
		const struct segment *seg = &cpu->seg[i];

		*(struct seg64 *)((u8 *)s + places[i].in64) = (struct seg64){
			seg->selector, (u16)(seg->attr & ATTR_BITS), seg->limit, seg->base};
	}
	for (unsigned i = 0; i < GPR_COUNT; i++)
		s->gpr[GPR_COUNT - 1 - i] = cpu->gpr[i];
	s->gdt = (struct seg64){.limit = cpu->gdt.limit, .base = cpu->gdt.base};
	s->idt = (struct seg64){.limit = cpu->idt.limit, .base = cpu->idt.base};
	s->efer = cpu->efer;
	s->revision = REVISION_64;
	s->smbase = (u32)cpu->msr.smbase;
	s->shadow = cpu->shadow;
	s->cr4 = cpu->cr4;
	s->cr3 = cpu->cr3;
	s->cr0 = cpu->cr0;
	s->dr7 = cpu->dr[7];
	s->dr6 = cpu->dr[6];
	s->rflags = cpu->rflags;
	s->rip = cpu->rip;
}

static void load_64(const struct save64 *s, struct image *m)
{
	for (unsigned i = 0; i < SEG_COUNT; i++) {
		const struct seg64 *seg = (const void *)((const u8 *)s + places[i].in64);

		m->seg[i] = (struct segment){.base = seg->base,
			.limit = seg->limit,
			.attr = loaded_attr(seg->attr),
			.selector = seg->selector};
	}
	for (unsigned i = 0; i < GPR_COUNT; i++)
		m->gpr[i] = s->gpr[GPR_COUNT - 1 - i];
	m->gdt = (struct dtable){s->gdt.base, (u16)s->gdt.limit};
	m->idt = (struct dtable){s->idt.base, (u16)s->idt.limit};
	m->efer = s->efer;
	m->smbase = s->smbase;
	m->shadow = s->shadow;
	m->cr4 = s->cr4;
	m->cr3 = s->cr3;
	m->cr0 = s->cr0;
	m->dr7 = s->dr7;
	m->dr6 = s->dr6;
	m->rflags = s->rflags;
	m->rip = s->rip;
	m->auto_halt = s->auto_halt;
}

static void save_32(const struct cpu *cpu, struct save32 *s)
{
	for (unsigned i = 0; i < SEG_COUNT; i++) {
		const struct segment *seg = &cpu->seg[i];

		*(struct seg32 *)((u8 *)s + places[i].in32) =
			(struct seg32){(seg->attr & ATTR_BITS) << 8, seg->limit, (u32)seg->base};
		*(u32 *)((u8 *)s + places[i].selector32) = seg->selector;
	}
	for (unsigned i = 0; i < 8; i++)
		s->gpr[i] = (u32)cpu->gpr[i];
	s->gdt = (struct seg32){0, cpu->gdt.limit, (u32)cpu->gdt.base};
	s->idt = (struct seg32){0, cpu->idt.limit, (u32)cpu->idt.base};
	s->revision = REVISION_32;
	s->smbase = (u32)cpu->msr.smbase;
	s->shadow = cpu->shadow;
	s->cr4 = (u32)cpu->cr4;
	s->cr3 = (u32)cpu->cr3;
	s->cr0 = (u32)cpu->cr0;
	s->dr7 = (u32)cpu->dr[7];
	s->dr6 = (u32)cpu->dr[6];
	s->eflags = (u32)cpu->rflags;
	s->eip = (u32)cpu->rip;
}

/* The upper halves of registers and the upper eight are not there in this layout. */
static void load_32(const struct save32 *s, struct image *m)
{
	memset(m->gpr, 0, sizeof(m->gpr));
	for (unsigned i = 0; i < SEG_COUNT; i++) {
		const struct seg32 *seg = (const void *)((const u8 *)s + places[i].in32);

		m->seg[i] = (struct segment){.base = seg->base,
			.limit = seg->limit,
			.attr = loaded_attr(seg->attr >> 8),
			.selector = (u16) * (const u32 *)((const u8 *)s + places[i].selector32)};
	}
	for (unsigned i = 0; i < 8; i++)
		m->gpr[i] = s->gpr[i];
	m->gdt = (struct dtable){s->gdt.base, (u16)s->gdt.limit};
	m->idt = (struct dtable){s->idt.base, (u16)s->idt.limit};
	m->efer = 0;
	m->smbase = s->smbase;
	m->shadow = s->shadow;
	m->cr4 = s->cr4;
	m->cr3 = s->cr3;
	m->cr0 = s->cr0;
	m->dr7 = s->dr7;
	m->dr6 = s->dr6;
	m->rflags = s->eflags;
	m->rip = s->eip;
	m->auto_halt = s->auto_halt;
}

static u64 save_gpa(const struct cpu *cpu)
{
	return (u32)cpu->msr.smbase + (u64)SAVE_OFFSET;
}

/* ---- in ---- */

static void save(const struct cpu *cpu, bool halted, union save *s)
{
	memset(s, 0, sizeof(*s));
	if (cpu->has_long_mode) {
		save_64(cpu, &s->s64);
		s->s64.auto_halt = halted;
	} else {
		save_32(cpu, &s->s32);
		s->s32.auto_halt = halted;
	}
}

/* APM 2:10.3.2 table 10-2: real mode with 4 GiB segments. The IDT limit is 0 as on Intel's processors. */
static void enter_registers(struct cpu *cpu)
{
	const struct segment flat = {
		.limit = 0xffffffff, .attr = SEG_P | SEG_S | SEG_G | 3 /* data, accessed */};
	u32 smbase = (u32)cpu->msr.smbase;

	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		cpu->seg[i] = flat;
	cpu->seg[SEG_CS].selector = (u16)(smbase >> 4);
	cpu->seg[SEG_CS].base = smbase;
	cpu->idt = (struct dtable){0};
	cpu->rip = cpu->next_rip = 0x8000;
	cpu->rflags = FL_FIXED;
	cpu->cr0 &= ~(CR0_PE | CR0_EM | CR0_TS | CR0_PG);
	cpu->cr4 = 0;
	cpu->efer = 0;
	cpu->dr[7] = DR7_FIXED;
	cpu->shadow = 0;
}

int smm_enter(struct cpu *cpu, bool halted)
{
	union save s;
	int r;

	save(cpu, halted, &s);
	cpu_set_smm(cpu, true);
	r = mem_phys_write(cpu, save_gpa(cpu), &s, sizeof(s));
	if (r) {
		cpu_set_smm(cpu, false);
		return r;
	}
	/* NMIs wait until the handler permits them by an IRET, or until RSM (APM 2:10.3.3). */
	cpu->smm_inside_nmi = cpu->nmi_masked;
	cpu->nmi_masked = true;
	cpu->msr.smi_count++;
	enter_registers(cpu);
	tlb_flush_all(cpu);
	cpu_update_mode(cpu);
	return CPU_OK;
}

/* ---- out ---- */

/* LMA is not the image's to say. */
static bool is_possible(const struct cpu *cpu, const struct image *m)
{
	const struct control c = {.cr0 = m->cr0,
		.cr3 = m->cr3 & ~CR3_NOFLUSH,
		.cr4 = m->cr4,
		.efer = efer_with_lma(m->efer, m->cr0),
		.cs_l = m->seg[SEG_CS].attr & SEG_L};

	return !valid_control(cpu, NULL, &c, BY_RSM);
}

static void leave(struct cpu *cpu, const struct image *m)
{
	memcpy(cpu->gpr, m->gpr, sizeof(cpu->gpr));
	memcpy(cpu->seg, m->seg, sizeof(cpu->seg));
	cpu->next_rip = m->rip;
	cpu->rflags = rflags_written(m->rflags);
	cpu->cr0 = (m->cr0 & CR0_DEFINED) | CR0_ET;
	cpu->cr3 = m->cr3 & ~CR3_NOFLUSH;
	cpu->cr4 = m->cr4;
	cpu->efer = efer_with_lma(m->efer, m->cr0);
	cpu->dr[6] = dr6_written(m->dr6);
	cpu->dr[7] = dr7_written(m->dr7);
	cpu->gdt = m->gdt;
	cpu->idt = m->idt;
	cpu->shadow = m->shadow & SHADOW_BITS;
	cpu->msr.smbase = m->smbase;
	cpu_set_smm(cpu, false);
	if (!cpu->smm_inside_nmi)
		cpu_unmask_nmi(cpu);
	cpu->smm_inside_nmi = false;
	tlb_flush_all(cpu);
	cpu_update_mode(cpu);
}

int smm_leave(struct cpu *cpu)
{
	union save s;
	struct image m;
	int r;

	r = mem_phys_read(cpu, save_gpa(cpu), &s, sizeof(s));
	if (r)
		return r;
	if (cpu->has_long_mode)
		load_64(&s.s64, &m);
	else
		load_32(&s.s32, &m);
	if (!is_possible(cpu, &m)) {
		cpu->exit = (struct exit){.reason = EXIT_SHUTDOWN};
		return CPU_EXIT;
	}
	leave(cpu, &m);
	if (m.auto_halt)
		cpu->exit.reason = EXIT_HLT;
	/* What SMM held off: another SMI, INIT. */
	cpu_request(cpu, REQ_EVENT);
	return CPU_OK;
}
