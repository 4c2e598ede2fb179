/* SPDX-License-Identifier: MIT */
/* Registers on their way into the process and back. */
#include <string.h>

#include "engine/core/xsave.h"
#include "engine/cpu/mode.h"
#include "engine/direct/direct_priv.h"

/* Of the XSAVE image; what lies between is the kernel's in the frame of a signal. */
#define LEGACY_BYTES 416

#define FL_USER (FL_STATUS | FL_DF | FL_TF | FL_NT | FL_AC | FL_ID)

static u64 image_bytes(const struct cpu *cpu, u64 size)
{
	return MIN(size, (u64)sizeof(cpu->xsave_area));
}

static void vector_to(const struct cpu *cpu, struct cage *c)
{
	u64 size;
	u8 *to = cage_xstate(c, &size);

	memcpy(to, cpu->xsave_area, LEGACY_BYTES);
	memcpy(to + XSAVE_HEADER, cpu->xsave_area + XSAVE_HEADER,
		image_bytes(cpu, size) - XSAVE_HEADER);
}

/* What is not in use shows its initial state, as vcpu/cross.c has it. */
static void vector_from(struct cpu *cpu, struct cage *c)
{
	struct fpu_image *f = fpu_image(cpu);
	const u32 mask = f->mxcsr_mask;
	u64 size;
	const u8 *from = cage_xstate(c, &size);

	memcpy(cpu->xsave_area, from, LEGACY_BYTES);
	memcpy(cpu->xsave_area + XSAVE_HEADER, from + XSAVE_HEADER,
		image_bytes(cpu, size) - XSAVE_HEADER);
	f->mxcsr_mask = mask;
	f->mxcsr &= fpu_mxcsr_mask(f);
	f->xstate_bv &= cpu->xcr0 & XSTATE_OFFERED;
	f->xcomp_bv = 0;
	memset(f->header, 0, sizeof(f->header));
	fpu_clear_absent(cpu);
	f->xstate_bv |= XSTATE_SSE;
}

void direct_regs_to(struct cpu *cpu, struct cage *c, struct cage_regs *r)
{
	_Static_assert(sizeof(r->gpr) == sizeof(cpu->gpr), "in the same order");
	memcpy(r->gpr, cpu->gpr, sizeof(r->gpr));
	r->rip = cpu->rip;
	r->rflags = cpu->rflags;
	r->fs_base = cpu->seg[SEG_FS].base;
	r->gs_base = cpu->seg[SEG_GS].base;
	vector_to(cpu, c);
}

void direct_regs_from(struct cpu *cpu, struct cage *c, const struct cage_regs *r)
{
	memcpy(cpu->gpr, r->gpr, sizeof(cpu->gpr));
	cpu->rip = r->rip;
	cpu->rflags = (cpu->rflags & ~FL_USER) | (r->rflags & FL_USER);
	cpu->seg[SEG_FS].base = r->fs_base;
	cpu->seg[SEG_GS].base = r->gs_base;
	vector_from(cpu, c);
	cpu_update_mode(cpu);
}
