/* SPDX-License-Identifier: MIT */
/*
 * fxsave, fxrstor, the xsave family and xgetbv, as transformations of the standard-format image in
 * cpu->xsave_area (fpu.h). The image of the engine's registers holds all components, in their initial
 * configuration where xstate_bv says so.
 *
 * No component above SSE is aligned in the compacted format (SDM 1:13.4.3). IA32_XSS is always 0: xsaves and xrstors are
 * the compacted forms for CPL 0.
 */
#include "engine/cpu/fpu.h"
#include "engine/cpuid/cpuid.h"
#include "engine/insn/operand.h"
#include "engine/insn/ops.h"
#include "engine/mem/mem.h"

#define LEGACY_BYTES 416 /* fxsave: up to the last xmm register */
#define XCOMP_FORMAT BIT64(63)

/* Registers 8-15 do not exist outside 64-bit mode: neither stored nor loaded. */
static unsigned vector_bytes(const struct insn *in)
{
	return in->mode == 8 ? 256 : 128;
}

/* The same of a component above SSE: how much of it. */
static unsigned component_bytes(const struct insn *in, unsigned component)
{
	unsigned bytes = xstate_size(component);

	if (in->mode == 8 || component == XS_OPMASK)
		return bytes;
	return component == XS_HI16 ? 0 : bytes / 2;
}

/* Where a component lies in an image; layout: the components that a compacted one has, 0: it is not compacted. */
static unsigned component_offset(const struct cpu *cpu, u64 layout, unsigned component)
{
	return layout ? xsave_compact_offset(layout, component) : cpu->xstate.offset[component];
}

static unsigned image_size(const struct cpu *cpu, u64 layout, u64 components)
{
	return layout ? xsave_compact_offset(layout, XS_COUNT)
		      : xsave_size(&cpu->xstate, components);
}

static void copy(void *dst, const void *src, u64 n)
{
	__asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(n)::"memory");
}

static void zero(void *dst, u64 n)
{
	__asm__ volatile("rep stosb" : "+D"(dst), "+c"(n) : "a"(0) : "memory");
}

/* Where alignment is checked, what is not even aligned to 4 bytes is #AC instead of #GP (Intel's processors). */
static int state_linear(struct cpu *cpu, const struct insn *in, unsigned len, unsigned align,
	unsigned acc, u64 *ret)
{
	int r = operand_aligned(cpu, in, len, 4, acc, ret);

	if (!r && (*ret & (align - 1)))
		r = cpu_gp0(cpu);
	return r;
}

/* ---- fxsave, fxrstor ---- */

/* Without REX.W half of each pointer's place belongs to FCS and FDS, which are zero (ZERO_FCS_FDS; SDM 1:10.5.1). */
static bool wide_pointers(const struct insn *in)
{
	return in->rex & 8;
}

static void cut_pointers(struct fpu_image *f)
{
	f->fip = (u32)f->fip;
	f->fdp = (u32)f->fdp;
}

/* The image as the instruction shows it, until restore_pointers(). */
static struct x87_pointers show_pointers(const struct insn *in, struct fpu_image *f)
{
	struct x87_pointers whole = {.fip = f->fip, .fdp = f->fdp};

	if (!wide_pointers(in))
		cut_pointers(f);
	return whole;
}

static void restore_pointers(struct fpu_image *f, const struct x87_pointers *whole)
{
	f->fip = whole->fip;
	f->fdp = whole->fdp;
}

int op_fxsave(struct cpu *cpu, const struct insn *in)
{
	unsigned len = LEGACY_BYTES - 256 + vector_bytes(in);
	u64 lin;
	int r = state_linear(cpu, in, 512, 16, ACC_WRITE, &lin);

	if (!r)
		r = mem_probe_write(cpu, lin, 512, ACC_WRITE);
	if (r)
		return r;
	struct fpu_image *f = fpu_live_to_area(cpu);
	const struct x87_pointers whole = show_pointers(in, f);
	r = mem_write(cpu, lin, f, len, ACC_WRITE);
	restore_pointers(f, &whole);
	return r;
}

static void load_x87(struct fpu_image *f, const struct insn *in, const struct fpu_image *from)
{
	copy(f, from, offsetof(struct fpu_image, mxcsr));
	copy(f->st, from->st, sizeof(f->st));
	f->fcw = fcw_loaded(f->fcw);
	if (!wide_pointers(in))
		cut_pointers(f);
	f->xstate_bv |= XSTATE_X87;
}

int op_fxrstor(struct cpu *cpu, const struct insn *in)
{
	struct fpu_image image;
	u64 lin;
	int r = state_linear(cpu, in, 512, 16, ACC_READ, &lin);

	if (!r)
		r = mem_read(cpu, lin, &image, 512, ACC_READ);
	if (r)
		return r;
	struct fpu_image *f = fpu_live_to_area(cpu);
	if (image.mxcsr & ~fpu_mxcsr_mask(f))
		return cpu_gp0(cpu);
	load_x87(f, in, &image);
	copy(f->xmm, image.xmm, vector_bytes(in));
	f->mxcsr = image.mxcsr;
	f->xstate_bv |= XSTATE_SSE;
	fpu_area_to_live(cpu);
	return CPU_OK;
}

/* ---- xsave, xsaveopt, xsavec, xsaves ---- */

enum xsave_form { XSAVE_PLAIN, XSAVE_OPT, XSAVE_COMPACT };

/* Common to all: the instruction exists, EDX:EAX cut down to what is enabled. */
static int xsave_begin(struct cpu *cpu, u64 *rfbm)
{
	if (!(cpu->cr4 & CR4_OSXSAVE))
		return cpu_raise(cpu, X86_UD);
	if (cpu->cr0 & CR0_TS)
		return cpu_raise(cpu, X86_NM);
	*rfbm = ((u32)cpu->gpr[RAX] | cpu->gpr[RDX] << 32) & cpu->xcr0;
	return CPU_OK;
}

/* XINUSE; MXCSR counts as SSE state where the form says so (SDM 1:13.6). */
static u64 in_use(const struct fpu_image *f, enum xsave_form form)
{
	u64 use = f->xstate_bv & XSTATE_OFFERED;

	if (form == XSAVE_COMPACT && f->mxcsr != MXCSR_RESET)
		use |= XSTATE_SSE;
	return use;
}

static int write_part(struct cpu *cpu, u64 lin, const void *base, unsigned off, unsigned len)
{
	return mem_write(cpu, lin + off, (const u8 *)base + off, len, ACC_WRITE);
}

/* Those above SSE. */
static int write_vectors(
	struct cpu *cpu, const struct insn *in, u64 lin, u64 components, u64 layout)
{
	int r = CPU_OK;

	for (unsigned i = XS_AVX; !r && i < XS_COUNT; i++) {
		unsigned bytes = component_bytes(in, i);

		if (components & BIT64(i) && bytes)
			r = mem_write(cpu, lin + component_offset(cpu, layout, i),
				fpu_component(cpu, i), bytes, ACC_WRITE);
	}
	return r;
}

/* The parts of components saved, in place; the rest of the area keeps its bytes. */
static int write_legacy(struct cpu *cpu, const struct insn *in, u64 lin, const struct fpu_image *f,
	u64 components, bool mxcsr)
{
	int r = CPU_OK;

	if (components & XSTATE_X87)
		r = write_part(cpu, lin, f, 0, offsetof(struct fpu_image, mxcsr));
	if (!r && mxcsr)
		r = write_part(cpu, lin, f, offsetof(struct fpu_image, mxcsr), 8);
	if (!r && (components & XSTATE_X87))
		r = write_part(cpu, lin, f, offsetof(struct fpu_image, st), sizeof(f->st));
	if (!r && (components & XSTATE_SSE))
		r = write_part(cpu, lin, f, offsetof(struct fpu_image, xmm), vector_bytes(in));
	return r;
}

static int write_header(
	struct cpu *cpu, u64 lin, u64 old_bv, u64 rfbm, u64 use, enum xsave_form form)
{
	u64 header[2];

	if (form == XSAVE_COMPACT) {
		header[0] = use & rfbm;
		header[1] = XCOMP_FORMAT | rfbm;
		return mem_write(cpu, lin + XSAVE_HEADER, header, 16, ACC_WRITE);
	}
	header[0] = (old_bv & ~rfbm) | (use & rfbm);
	return mem_write(cpu, lin + XSAVE_HEADER, header, 8, ACC_WRITE);
}

static int xsave_common(struct cpu *cpu, const struct insn *in, enum xsave_form form)
{
	u64 rfbm, lin, layout, old_bv = 0;
	int r = xsave_begin(cpu, &rfbm);
	unsigned size;

	if (r)
		return r;
	layout = form == XSAVE_COMPACT ? XCOMP_FORMAT | rfbm : 0;
	size = image_size(cpu, layout, rfbm);
	r = state_linear(cpu, in, size, 64, ACC_WRITE, &lin);
	if (!r)
		r = mem_probe_write(cpu, lin, size, ACC_WRITE);
	if (!r && form != XSAVE_COMPACT)
		r = mem_read_u64(cpu, lin + XSAVE_HEADER, &old_bv, 8, ACC_READ);
	if (r)
		return r;
	struct fpu_image *f = fpu_live_to_area(cpu);
	const struct x87_pointers whole = show_pointers(in, f);
	u64 use = in_use(f, form), saved = form == XSAVE_PLAIN ? rfbm : rfbm & use;
	bool mxcsr = form == XSAVE_COMPACT ? saved & XSTATE_SSE : rfbm & (XSTATE_SSE | XSTATE_AVX);
	cpu->answers.muted = true; /* a subscriber has been asked for all of it by the probe */
	r = write_legacy(cpu, in, lin, f, saved, mxcsr);
	restore_pointers(f, &whole);
	if (!r)
		r = write_vectors(cpu, in, lin, saved, layout);
	if (!r)
		r = write_header(cpu, lin, old_bv, rfbm, use, form);
	cpu->answers.muted = false;
	return r;
}

int op_xsave(struct cpu *cpu, const struct insn *in)
{
	return xsave_common(cpu, in, XSAVE_PLAIN);
}

int op_xsaveopt(struct cpu *cpu, const struct insn *in)
{
	if (cpu->lacks & LACKS_XSAVEOPT)
		return cpu_raise(cpu, X86_UD);
	return xsave_common(cpu, in, XSAVE_OPT);
}

int op_xsavec(struct cpu *cpu, const struct insn *in)
{
	if (cpu->lacks & LACKS_XSAVEC)
		return cpu_raise(cpu, X86_UD);
	return xsave_common(cpu, in, XSAVE_COMPACT);
}

int op_xsaves(struct cpu *cpu, const struct insn *in)
{
	if (cpu->lacks & LACKS_XSAVES)
		return cpu_raise(cpu, X86_UD);
	return cpu->cpl ? cpu_gp0(cpu) : xsave_common(cpu, in, XSAVE_COMPACT);
}

/* ---- xrstor, xrstors ---- */

/* SDM 1:13.8.1, 13.8.2: what the header of the two formats may say. */
static bool header_valid(const struct cpu *cpu, const struct fpu_image *image, bool compact_only)
{
	bool compact = image->xcomp_bv & XCOMP_FORMAT;
	u64 tail = 0;

	for (unsigned i = 0; i < (compact ? 6 : 1); i++)
		tail |= image->header[i];
	if (tail || (compact_only && !compact))
		return false;
	if (!compact)
		return image->xcomp_bv == 0 && !(image->xstate_bv & ~cpu->xcr0);
	u64 format = image->xcomp_bv & ~XCOMP_FORMAT;
	return !(format & ~cpu->xcr0) && !(image->xstate_bv & ~format);
}

/* Is MXCSR taken from the image? The standard form looks at RFBM only, the compacted at XSTATE_BV. */
static bool loads_mxcsr(const struct fpu_image *image, u64 rfbm)
{
	if (image->xcomp_bv & XCOMP_FORMAT)
		return rfbm & image->xstate_bv & XSTATE_SSE;
	return rfbm & (XSTATE_SSE | XSTATE_AVX);
}

static void init_x87(struct fpu_image *f)
{
	zero(f, offsetof(struct fpu_image, mxcsr));
	zero(f->st, sizeof(f->st));
	f->fcw = FCW_RESET;
	f->xstate_bv &= ~XSTATE_X87;
}

/* Outside 64-bit mode a part of a component may still be in use when the rest is initialised. */
static void load_component(struct fpu_image *f, void *to, const void *from, u64 component,
	const struct fpu_image *image, unsigned bytes, bool all)
{
	if (image->xstate_bv & component) {
		copy(to, from, bytes);
		f->xstate_bv |= component;
	} else {
		zero(to, bytes);
		if (all)
			f->xstate_bv &= ~component;
	}
}

/* An image as it was read, its components above SSE where the engine has them. */
struct loaded {
	u8 bytes[XSAVE_BYTES];
};

static void load_components(
	struct cpu *cpu, const struct insn *in, const struct loaded *l, u64 rfbm)
{
	const struct fpu_image *image = (const void *)l->bytes;
	struct fpu_image *f = fpu_image(cpu);

	if ((rfbm & XSTATE_X87) && (image->xstate_bv & XSTATE_X87))
		load_x87(f, in, image);
	else if (rfbm & XSTATE_X87)
		init_x87(f);
	if (rfbm & XSTATE_SSE)
		load_component(
			f, f->xmm, image->xmm, XSTATE_SSE, image, vector_bytes(in), in->mode == 8);
	for (unsigned i = XS_AVX; i < XS_COUNT; i++) {
		unsigned bytes = component_bytes(in, i);

		if (rfbm & BIT64(i) && bytes)
			load_component(f, fpu_component(cpu, i), l->bytes + cpu->xstate.offset[i],
				BIT64(i), image, bytes, bytes == xstate_size(i));
	}
}

static int read_components(
	struct cpu *cpu, const struct insn *in, u64 lin, u64 components, struct loaded *l)
{
	u64 xcomp_bv = ((const struct fpu_image *)l->bytes)->xcomp_bv;
	u64 layout = xcomp_bv & XCOMP_FORMAT ? xcomp_bv : 0;
	int r = CPU_OK;

	for (unsigned i = XS_AVX; !r && i < XS_COUNT; i++) {
		unsigned bytes = component_bytes(in, i);

		if (components & BIT64(i) && bytes)
			r = mem_read(cpu, lin + component_offset(cpu, layout, i),
				l->bytes + cpu->xstate.offset[i], bytes, ACC_READ);
	}
	return r;
}

/* First the header, which says how the rest lies; nothing is loaded before all is read. */
static int xrstor_read(
	struct cpu *cpu, const struct insn *in, u64 rfbm, bool compact_only, struct loaded *l)
{
	const struct fpu_image *image = (const void *)l->bytes;
	u64 lin;
	int r = state_linear(cpu, in, XSAVE_AVX, 64, ACC_READ, &lin);

	if (!r)
		r = mem_read(cpu, lin, l->bytes, XSAVE_AVX, ACC_READ);
	if (r)
		return r;
	if (!header_valid(cpu, image, compact_only))
		return cpu_gp0(cpu);
	r = state_linear(cpu, in,
		image_size(cpu, image->xcomp_bv & XCOMP_FORMAT ? image->xcomp_bv : 0, rfbm), 64,
		ACC_READ, &lin);
	return r ? r : read_components(cpu, in, lin, rfbm & image->xstate_bv, l);
}

static int xrstor_common(struct cpu *cpu, const struct insn *in, bool compact_only)
{
	struct loaded l;
	const struct fpu_image *image = (const void *)l.bytes;
	u64 rfbm;
	int r = xsave_begin(cpu, &rfbm);

	if (!r)
		r = xrstor_read(cpu, in, rfbm, compact_only, &l);
	if (r)
		return r;
	struct fpu_image *f = fpu_live_to_area(cpu);
	bool mxcsr = loads_mxcsr(image, rfbm);
	if (mxcsr && (image->mxcsr & ~fpu_mxcsr_mask(f)))
		return cpu_gp0(cpu);
	load_components(cpu, in, &l, rfbm);
	if (mxcsr)
		f->mxcsr = image->mxcsr;
	else if ((image->xcomp_bv & XCOMP_FORMAT) && (rfbm & XSTATE_SSE))
		f->mxcsr = MXCSR_RESET;
	fpu_area_to_live(cpu);
	return CPU_OK;
}

int op_xrstor(struct cpu *cpu, const struct insn *in)
{
	return xrstor_common(cpu, in, false);
}

int op_xrstors(struct cpu *cpu, const struct insn *in)
{
	if (cpu->lacks & LACKS_XSAVES)
		return cpu_raise(cpu, X86_UD);
	return cpu->cpl ? cpu_gp0(cpu) : xrstor_common(cpu, in, true);
}

/* ---- xgetbv ---- */

int op_xgetbv(struct cpu *cpu, const struct insn *in)
{
	u64 value;

	if (!(cpu->cr4 & CR4_OSXSAVE))
		return cpu_raise(cpu, X86_UD);
	switch ((u32)cpu->gpr[RCX]) {
	case 0: value = cpu->xcr0; break;
	case 1:
		if (cpu->lacks & LACKS_XGETBV1)
			return cpu_gp0(cpu);
		value = in_use(fpu_live_to_area(cpu), XSAVE_COMPACT) & cpu->xcr0;
		break;
	default: return cpu_gp0(cpu);
	}
	cpu->gpr[RAX] = (u32)value;
	cpu->gpr[RDX] = value >> 32;
	return CPU_OK;
}
