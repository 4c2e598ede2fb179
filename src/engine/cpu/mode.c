/* SPDX-License-Identifier: MIT */
/*
 * Derived processor state, and reset.
 *
 * cpu_update_mode() is on the path of every privilege change, so it is straight-line code. The
 * privilege level is SS.DPL, as in the VMX and SVM guest state areas (SDM 3:24.4.1): conforming code
 * does not change it and a null SS carries it too.
 */
#include "engine/core/answer.h"
#include "engine/core/block_key.h"
#include "engine/core/debug.h"
#include "engine/core/xsave.h"
#include "engine/cpu/segment.h"
#include "engine/cpu/smm.h"
#include "engine/cpu/mode.h"
#include "engine/cpuid/cpuid.h"
#include "engine/mem/mem.h"

/* Present, writable (readable for cs), expand-up, base 0, 4 GiB: nothing that an access could violate. */
static bool segment_is_flat(const struct segment *s, unsigned type)
{
	const u32 mask = SEG_UNUSABLE | SEG_P | SEG_S | SEG_TYPE_CODE | SEG_TYPE_WRITABLE;
	const u32 down = type & SEG_TYPE_CODE ? 0 : SEG_TYPE_EXPAND_DOWN;

	return s->base == 0 && s->limit == 0xffffffff &&
	       (s->attr & (mask | down)) == (SEG_P | SEG_S | SEG_TYPE_WRITABLE | type);
}

static bool cpu_is_flat(const struct cpu *cpu)
{
	return segment_is_flat(&cpu->seg[SEG_CS], SEG_TYPE_CODE) &&
	       segment_is_flat(&cpu->seg[SEG_DS], 0) && segment_is_flat(&cpu->seg[SEG_ES], 0) &&
	       segment_is_flat(&cpu->seg[SEG_SS], 0);
}

static u8 current_cpl(const struct cpu *cpu)
{
	if (!cpu_protected(cpu))
		return 0;
	return cpu_v86(cpu) ? 3 : SEG_DPL(cpu->seg[SEG_SS].attr);
}

static u8 current_view(const struct cpu *cpu)
{
	if (cpu->cpl == 3)
		return TLB_USER;
	return (cpu->cr4 & CR4_SMAP) && (cpu->rflags & FL_AC) ? TLB_KERNEL_AC : TLB_KERNEL;
}

static u32 control_key(const struct cpu *cpu)
{
	u64 cr0 = cpu->cr0, cr4 = cpu->cr4;

	return (cr0 & CR0_PE ? 0 : BK_REAL) | (cr0 & CR0_PG ? BK_PAGING : 0) |
	       (cr0 & (CR0_TS | CR0_EM) ? BK_NO_FPU : 0) | (cr4 & CR4_OSFXSR ? BK_OSFXSR : 0) |
	       ((cr4 & CR4_OSXSAVE) && (cpu->xcr0 & 6) == 6 ? BK_AVX : 0) |
	       ((cr4 & CR4_OSXSAVE) && (cpu->xcr0 & (XSTATE_AVX | XSTATE_SSE | XSTATE_AVX512)) ==
					       (XSTATE_AVX | XSTATE_SSE | XSTATE_AVX512)
			       ? BK_AVX512
			       : 0) |
	       (cr4 & CR4_TSD ? BK_TSD : 0) | (cr4 & CR4_FSGSBASE ? BK_FSGSBASE : 0) |
	       (cr4 & CR4_UMIP ? BK_UMIP : 0) | (cr4 & CR4_SMAP ? BK_SMAP : 0) |
	       (cpu->lacks & LACKS_RDTSCP ? BK_NO_RDTSCP : 0) |
	       (cpu->tsc_ratio ? BK_TSC_SCALED : 0) | (cpu->efer & EFER_SCE ? BK_SYSCALL : 0) |
	       (cpu->tap_events & BIT(TAP_SOFT_INT) ? BK_TAP_INT : 0) |
	       (cpu->tap_events & BIT(TAP_TABLE) ? BK_TAP_TABLE : 0);
}

static u32 debug_key(const struct cpu *cpu)
{
	const u32 active = DBG_SINGLESTEP | DBG_HW_BP;
	u64 enabled = cpu->dr[7] & 0xff; /* L0 G0 .. L3 G3 */

	return (cpu->rflags & FL_TF) || enabled || (cpu->debug_flags & active) || cpu->debug_step ||
			       (cpu->tap_events & BIT(TAP_STEP))
		       ? BK_STEPPING
		       : 0;
}

/* Alignment is checked by step() alone: #AC wants CPL 3, CR0.AM and RFLAGS.AC at once (SDM 3:6.15). */
static u32 alignment_key(const struct cpu *cpu)
{
	return cpu->cpl == 3 && (cpu->cr0 & CR0_AM) && (cpu->rflags & FL_AC) ? BK_STEPPING : 0;
}

/* ---- what generated code outside 64-bit mode goes by ---- */

/* Expand-down segments are left to step(): there the limit is not allowed. */
static s64 last_offset(const struct cpu *cpu, unsigned seg, unsigned acc)
{
	const struct segment *s = &cpu->seg[seg];

	return segment_allows(cpu, s, s->limit, 1, acc) ? (s64)s->limit : -1;
}

static void update_limits(struct cpu *cpu)
{
	for (unsigned i = cpu->flat ? SEG_FS : 0; i <= SEG_GS; i++) {
		cpu->seg_last[TLB_READ][i] = last_offset(cpu, i, ACC_READ);
		cpu->seg_last[TLB_WRITE][i] = last_offset(cpu, i, ACC_WRITE);
	}
}

static bool is_wide(const struct cpu *cpu)
{
	bool real = cpu_real_or_v86(cpu);

	for (unsigned i = 0; i <= (real ? SEG_GS : SEG_DS); i++) {
		bool write = real || i != SEG_CS;

		if (!seg_usable(&cpu->seg[i]) || cpu->seg_last[TLB_READ][i] < 0xffff ||
			(write && cpu->seg_last[TLB_WRITE][i] < 0xffff))
			return false;
	}
	return true;
}

/*
 * The tag lets the low bits of rip + tag be those of the linear address, and no sum is that of another rip and base: a
 * carry out of the lower half would give one below the base. Not so if those 16 bits are all ones.
 */
static u32 update_segmentation(struct cpu *cpu)
{
	const struct segment *cs = &cpu->seg[SEG_CS];
	u32 key = 0;

	cpu->code_tag = cs->base << 32 | (cs->base & 0xffff);
	if ((cs->base & 0xffff) == 0xffff)
		key |= BK_STEPPING;
	update_limits(cpu);
	if (cpu->flat)
		return key | BK_FLAT;
	if (cs->limit != 0xffffffff)
		key |= cs->limit == 0xffff ? BK_LIMIT64K : BK_LIMIT_ODD;
	return key | (is_wide(cpu) ? BK_WIDE : 0);
}

void cpu_update_mode(struct cpu *cpu)
{
	const struct segment *cs = &cpu->seg[SEG_CS], *ss = &cpu->seg[SEG_SS];
	bool code64 = cpu_long_mode(cpu) && (cs->attr & SEG_L);
	const bool was_user = cpu->cpl == 3;
	u32 segmentation = BK_FLAT;

	cpu->cpl = current_cpl(cpu);
	cpu->direct.calls += was_user && cpu->cpl != 3;
	cpu->code_size = code64 ? 8 : cs->attr & SEG_DB ? 4 : 2;
	cpu->stack_size = code64 ? 8 : ss->attr & SEG_DB ? 4 : 2;
	cpu->view = current_view(cpu);
	cpu->flat = code64 || (!cpu_real_or_v86(cpu) && cpu_is_flat(cpu));
	cpu->code_tag = 0;
	if (!code64)
		segmentation = update_segmentation(cpu);
	cpu->block_key = control_key(cpu) | debug_key(cpu) | alignment_key(cpu) |
			 (u32)cpu->cpl << BK_CPL_SHIFT |
			 (cpu->code_size == 8          ? BK_CODE64
				 : cpu->code_size == 4 ? BK_CODE32
						       : 0) |
			 (cpu->stack_size == 4 ? BK_STACK32 : 0) |
			 (cpu->view == TLB_KERNEL_AC ? BK_VIEW_AC : 0) | segmentation |
			 (cpu_v86(cpu) ? BK_V86 : 0);
	cpu->watch_data = unlikely(cpu->block_key & BK_STEPPING) && debug_watches_data(cpu);
}

/* ---- reset ---- */

static u32 processor_signature(const struct cpu *cpu)
{
	for (unsigned i = 0; i < cpu->cpuid_count; i++)
		if (cpu->cpuid[i].function == 1)
			return cpu->cpuid[i].eax;
	return 0x600; /* SDM 3:9.1.2: family 6 */
}

static void reset_segments(struct cpu *cpu)
{
	for (unsigned i = 0; i <= SEG_GS; i++)
		cpu->seg[i] = (struct segment){.limit = 0xffff, .attr = 0x93};
	/* SDM 3:9.1.4: the first fetch is from 4 GiB - 16. */
	cpu->seg[SEG_CS] = (struct segment){
		.base = 0xffff0000, .limit = 0xffff, .attr = 0x9b, .selector = 0xf000};
	cpu->seg[SEG_LDTR] = (struct segment){.limit = 0xffff, .attr = 0x82};
	cpu->seg[SEG_TR] = (struct segment){.limit = 0xffff, .attr = 0x8b};
	cpu->gdt = cpu->idt = (struct dtable){.limit = 0xffff};
}

static void reset_registers(struct cpu *cpu, bool init)
{
	u64 kept = init ? cpu->cr0 & (CR0_CD | CR0_NW) : CR0_CD | CR0_NW;

	for (unsigned i = 0; i < GPR_COUNT; i++)
		cpu->gpr[i] = 0;
	cpu->gpr[RDX] = processor_signature(cpu);
	cpu->rip = cpu->next_rip = 0xfff0;
	cpu->rflags = FL_FIXED;
	cpu->cr0 = CR0_ET | kept;
	cpu->cr2 = cpu->cr3 = cpu->cr4 = cpu->efer = 0;
	for (unsigned i = 0; i < 6; i++)
		cpu->dr[i] = 0;
	cpu->dr[6] = DR6_FIXED;
	cpu->dr[7] = DR7_FIXED;
}

static void reset_events(struct cpu *cpu)
{
	cpu->exc = (struct exception){0};
	cpu->events = (struct vcpu_events){0};
	cpu->shadow = 0;
	cpu->nmi_masked = cpu->smm_inside_nmi = false;
	cpu->msr.smi_count = 0;
	cpu_set_smm(cpu, false);
	cpu->debug_hits = 0;
	cpu->debug_pending = 0;
	cpu->out.waits = false;
	answers_drop(cpu);
	cpu->answers.io_count = 0;
	cpu->events_own = cpu->events_resume = false;
	cpu->tap_stepped = cpu->tap_first = cpu->tap_held = false;
	cpu->posted_count = cpu->posted_next = 0;
}

/* What RESET clears and INIT keeps: x87 and vector state, XCR0. */
static void reset_power_on(struct cpu *cpu)
{
	cpu->xcr0 = XCR0_RESET;
	__builtin_memset(cpu->xsave_area, 0, sizeof(cpu->xsave_area));
	fpu_image(cpu)->fcw = FCW_RESET;
	fpu_image(cpu)->mxcsr = MXCSR_RESET;
}

void cpu_reset(struct cpu *cpu, bool init)
{
	reset_segments(cpu);
	reset_registers(cpu, init);
	reset_events(cpu);
	if (!init)
		reset_power_on(cpu);
	tlb_flush_all(cpu);
	cpu_update_mode(cpu);
}
