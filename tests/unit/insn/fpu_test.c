/* SPDX-License-Identifier: MIT */
/* State images, masked moves and gathers, on the image in cpu->xsave_area. */
#include "tests/host_fpu.h"
#include "tests/unit/world/insns.h"
#include "engine/core/cpu.h"
#include "engine/core/xsave.h"
#include "engine/exit.h"
#include "x86/regs.h"

#define AREA DATA /* 64-byte aligned */
#define ALL  (w.cpu->xstate.features)

static struct fpu_image *f;
static struct fpu_image *at(u64 addr)
{
	return (struct fpu_image *)(w.mem + addr);
}

/* What is left of the pointers when the host has loaded and saved them. */
static void through_host(struct fpu_image *image)
{
	if (!host_keeps_x87_pointers())
		image->fip = image->fdp = image->fop = 0;
}

/* Every component in use with a pattern of its own. */
static void start_state(void)
{
	f = fpu_image(w.cpu);
	f->fcw = 0x27f;
	f->fsw = 0x1800; /* TOP 3 */
	f->ftw = 0x18;
	f->mxcsr = 0x1fa0;
	f->mxcsr_mask = host_mxcsr_mask();
	f->fip = f->fdp = 0x7fff12345678;
	f->fop = 0x123;
	for (unsigned i = 0; i < 16; i++) {
		memset(f->st[i / 2], 0x10 + i / 2, 10);
		memset(f->xmm[i], 0x20 + i, 16);
		memset(f->ymm_high[i], 0x40 + i, 16);
	}
	for (unsigned i = XS_OPMASK; i < XS_COUNT; i++)
		if (ALL & BIT64(i))
			memset(fpu_component(w.cpu, i), 0x60 + (int)i, xstate_size(i));
	f->xstate_bv = ALL;
	w.cpu->gpr[RBX] = AREA;
	w.cpu->gpr[RAX] = ALL;
	memset(w.mem + AREA, 0xee, XSAVE_BYTES);
}

static void zero_header(void)
{
	memset(w.mem + AREA + XSAVE_HEADER, 0, 64);
}

#define FXSAVE   EXEC(0x48, 0x0f, 0xae, 0x03)
#define FXRSTOR  EXEC(0x48, 0x0f, 0xae, 0x0b)
#define XSAVE    EXEC(0x48, 0x0f, 0xae, 0x23)
#define XSAVEOPT EXEC(0x48, 0x0f, 0xae, 0x33)
#define XRSTOR   EXEC(0x48, 0x0f, 0xae, 0x2b)
#define XSAVEC   EXEC(0x48, 0x0f, 0xc7, 0x23)
#define XSAVES   EXEC(0x48, 0x0f, 0xc7, 0x2b)
#define XRSTORS  EXEC(0x48, 0x0f, 0xc7, 0x1b)

static void fxsave_and_back(void **state)
{
	struct fpu_image old;

	start_long(0);
	start_state();
	assert_int_equal(FXSAVE, CPU_OK);
	old = *f;
	assert_int_equal(at(AREA)->fip, 0x7fff12345678);
	assert_int_equal(at(AREA)->fdp, 0x7fff12345678);
	assert_int_equal(at(AREA)->fop, 0x123);
	assert_memory_equal(at(AREA)->xmm, f->xmm, sizeof(f->xmm));
	assert_int_equal(w.mem[AREA + 416], 0xee); /* available to software */
	memset(f->xmm, 0, sizeof(f->xmm));
	memset(f->st, 0, sizeof(f->st));
	f->fcw = 0x37f;
	assert_int_equal(FXRSTOR, CPU_OK);
	through_host(&old);
	assert_memory_equal(f, &old, 416);
	assert_memory_equal(f->ymm_high, old.ymm_high, sizeof(old.ymm_high));
	at(AREA)->mxcsr = BIT(16);
	assert_gp(FXRSTOR);
	assert_int_equal(f->mxcsr, old.mxcsr);
	w.cpu->gpr[RBX] = AREA + 8;
	assert_gp(FXSAVE);
	w.cpu->gpr[RBX] = BAD - 0x100;
	assert_fault(FXSAVE, X86_PF, PF_W);
	assert_int_equal(w.mem[BAD - 0x100], 0);
}

static void eight_registers_outside_64bit_mode(void **state)
{
	start_protected(0);
	w.cpu->cr4 |= CR4_OSFXSR;
	start_state();
	assert_int_equal(EXEC(0x0f, 0xae, 0x03), CPU_OK);
	assert_int_equal(at(AREA)->xmm[7][0], 0x27);
	assert_int_equal(at(AREA)->xmm[8][0], 0xee);
	memset(at(AREA)->xmm, 1, sizeof(f->xmm));
	assert_int_equal(EXEC(0x0f, 0xae, 0x0b), CPU_OK);
	assert_int_equal(f->xmm[7][0], 1);
	assert_int_equal(f->xmm[8][0], 0x28);
}

static void xsave_writes_what_is_asked(void **state)
{
	start_long(0);
	start_state();
	zero_header();
	at(AREA)->xstate_bv = XSTATE_X87 | XSTATE_SSE;
	w.cpu->gpr[RAX] = XSTATE_AVX | BIT(9); /* PKRU is not enabled */
	assert_int_equal(XSAVE, CPU_OK);
	assert_int_equal(at(AREA)->xstate_bv, XSTATE_X87 | XSTATE_SSE | XSTATE_AVX);
	assert_int_equal(at(AREA)->xcomp_bv, 0);
	assert_int_equal(at(AREA)->fcw, 0xeeee);
	assert_int_equal(at(AREA)->xmm[0][0], 0xee);
	assert_int_equal(at(AREA)->mxcsr, 0x1fa0); /* belongs to SSE and AVX */
	assert_memory_equal(at(AREA)->ymm_high, f->ymm_high, 256);
	f->xstate_bv = XSTATE_X87;
	w.cpu->gpr[RAX] = ALL;
	assert_int_equal(XSAVE, CPU_OK);
	assert_int_equal(at(AREA)->xstate_bv, XSTATE_X87);
}

static void optimised_forms_skip_initial_state(void **state)
{
	start_long(0);
	start_state();
	zero_header();
	f->xstate_bv = XSTATE_X87;
	f->mxcsr = MXCSR_RESET;
	assert_int_equal(XSAVEOPT, CPU_OK);
	assert_int_equal(at(AREA)->xstate_bv, XSTATE_X87);
	assert_int_equal(at(AREA)->xmm[0][0], 0xee);
	memset(w.mem + AREA, 0xee, XSAVE_BYTES);
	assert_int_equal(XSAVEC, CPU_OK);
	assert_int_equal(at(AREA)->xstate_bv, XSTATE_X87);
	assert_int_equal(at(AREA)->xcomp_bv, BIT64(63) | ALL);
	assert_int_equal(w.mem[AREA + 576], 0xee);
	f->mxcsr = 0x1f00; /* makes SSE state not initial */
	assert_int_equal(XSAVES, CPU_OK);
	assert_int_equal(at(AREA)->xstate_bv, XSTATE_X87 | XSTATE_SSE);
	assert_int_equal(at(AREA)->mxcsr, 0x1f00);
}

static void xrstor_loads_and_initialises(void **state)
{
	struct fpu_image old;

	start_long(0);
	start_state();
	zero_header();
	assert_int_equal(XSAVE, CPU_OK);
	old = *f;
	at(AREA)->xstate_bv = XSTATE_AVX;
	memset(at(AREA)->ymm_high, 9, 256);
	w.cpu->gpr[RAX] = XSTATE_SSE | XSTATE_AVX;
	assert_int_equal(XRSTOR, CPU_OK);
	assert_int_equal(f->ymm_high[15][15], 9);
	assert_int_equal(f->xmm[3][0], 0);           /* absent: initial */
	assert_int_equal(f->mxcsr, old.mxcsr);       /* but MXCSR is always loaded */
	assert_int_equal(f->st[0][0], old.st[0][0]); /* not asked for */
	/* The state goes through the host's registers, where a context switch may call zeroes "in use" (SDM 1:13.6). */
	assert_int_equal(f->xstate_bv | XSTATE_SSE, ALL);
	w.cpu->gpr[RAX] = XSTATE_X87;
	assert_int_equal(XRSTOR, CPU_OK);
	assert_int_equal(f->fcw, FCW_RESET);
	assert_int_equal(f->ftw, 0);
}

static void compacted_round_trip(void **state)
{
	struct fpu_image old;

	start_long(0);
	start_state();
	zero_header();
	assert_int_equal(XSAVES, CPU_OK);
	old = *f;
	memset(f->xmm, 0, sizeof(f->xmm));
	memset(f->ymm_high, 0, sizeof(f->ymm_high));
	memset(f->st, 0, sizeof(f->st));
	f->mxcsr = 0;
	f->fcw = 0;
	assert_int_equal(XRSTORS, CPU_OK);
	through_host(&old);
	assert_memory_equal(f, &old, sizeof(old));
	at(AREA)->xcomp_bv = 0; /* standard format: only xrstor takes it */
	assert_int_equal(XRSTOR, CPU_OK);
	assert_gp(XRSTORS);
}

static void bad_headers(void **state)
{
	static const struct {
		unsigned offset;
		u64 value;
		bool compact;
	} cases[] = {{512, 8, false}, {520, 1, false}, {528, 1, false}, {512, 8, true},
		{520, BIT64(63) | 8, true}, {536, 1, true}, {568, BIT64(40), true}};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		start_long(0);
		start_state();
		zero_header();
		at(AREA)->mxcsr = MXCSR_RESET;
		at(AREA)->xcomp_bv = cases[i].compact ? BIT64(63) | 7 : 0;
		assert_int_equal(XRSTOR, CPU_OK);
		start_state();
		zero_header();
		at(AREA)->mxcsr = MXCSR_RESET;
		at(AREA)->xcomp_bv = cases[i].compact ? BIT64(63) | 7 : 0;
		poke(AREA + cases[i].offset, cases[i].value, 8);
		assert_gp(XRSTOR);
		assert_int_equal(f->xmm[0][0], 0x20);
	}
	start_long(0);
	start_state();
	zero_header();
	w.cpu->gpr[RBX] = AREA + 32;
	assert_gp(XSAVE);
	w.cpu->gpr[RBX] = AREA;
	w.cpu->xcr0 = 3; /* AVX not enabled: the header may not name it */
	at(AREA)->xstate_bv = XSTATE_AVX;
	assert_gp(XRSTOR);
	w.cpu->cr4 &= ~CR4_OSXSAVE;
	assert_ud(XSAVE);
}

static void xgetbv_1_shows_what_is_in_use(void **state)
{
	start_long(3);
	start_state();
	f->xstate_bv = XSTATE_AVX;
	f->mxcsr = MXCSR_RESET;
	w.cpu->gpr[RCX] = 1;
	assert_int_equal(EXEC(0x0f, 0x01, 0xd0), CPU_OK);
	assert_int_equal(w.cpu->gpr[RAX], XSTATE_AVX);
	w.cpu->gpr[RCX] = 0;
	assert_int_equal(EXEC(0x0f, 0x01, 0xd0), CPU_OK);
	assert_int_equal(w.cpu->gpr[RAX], ALL);
	w.cpu->gpr[RCX] = 2;
	assert_gp(EXEC(0x0f, 0x01, 0xd0));
}

/* ---- the x87 environment ---- */

static void set_st(unsigned st, u16 exponent, u64 mantissa)
{
	memcpy(f->st[st], &mantissa, 8);
	memcpy(f->st[st] + 8, &exponent, 2);
}

static void environment(void **state)
{
	start_long(0);
	start_state();
	f->fsw = 0x3000;                            /* TOP 6 */
	f->ftw = 0xc1;                              /* registers 6, 7, 0: ST0, ST1, ST2 */
	set_st(0, 0x3fff, BIT64(63));               /* 1.0: valid */
	set_st(1, 0, 0);                            /* zero */
	set_st(2, 0x7fff, BIT64(63));               /* infinity: special */
	assert_int_equal(EXEC(0xd9, 0x33), CPU_OK); /* fnstenv [rbx] */
	assert_int_equal(peek(AREA, 4), 0xffff027f);
	assert_int_equal(peek(AREA + 4, 4), 0xffff3000);
	assert_int_equal(peek(AREA + 8, 4), 0xffff4ffe);
	assert_int_equal(peek(AREA + 12, 8), 0x0123000012345678);
	assert_int_equal(peek(AREA + 20, 8), 0xffff000012345678);
	assert_int_equal(w.mem[AREA + 28], 0xee);
	assert_int_equal(f->fcw, 0x27f); /* all masked already */
	poke(AREA, 0x37e, 2);            /* invalid operation unmasked, */
	poke(AREA + 4, 0x0001, 2);       /* and it has happened */
	poke(AREA + 8, 0xfffc, 2);
	assert_int_equal(EXEC(0xd9, 0x23), CPU_OK); /* fldenv */
	assert_int_equal(f->fsw, 0x8081);           /* ES and B */
	assert_int_equal(f->ftw, 1);
	assert_int_equal(f->st[0][9], 0x7f);              /* register 0 did not move: ST0 now */
	assert_int_equal(EXEC(0x66, 0xd9, 0x33), CPU_OK); /* 16-bit form */
	assert_int_equal(peek(AREA, 6), 0xfffe8081037e);
	assert_int_equal(f->fcw, 0x37f);
}

static void save_and_restore(void **state)
{
	struct fpu_image old;

	start_long(0);
	start_state();
	old = *f;
	assert_int_equal(EXEC(0xdd, 0x33), CPU_OK); /* fnsave */
	assert_int_equal(f->fcw, FCW_RESET);
	assert_int_equal(f->ftw, 0);
	assert_memory_equal(w.mem + AREA + 28, old.st[0], 10);
	assert_memory_equal(w.mem + AREA + 28 + 70, old.st[7], 10);
	memset(f->st, 0, sizeof(f->st));
	assert_int_equal(EXEC(0xdd, 0x23), CPU_OK); /* frstor */
	assert_int_equal(f->fcw, old.fcw);
	assert_int_equal(f->fsw, old.fsw);
	assert_int_equal(f->ftw, old.ftw);
	assert_memory_equal(f->st[7], old.st[7], 10);
	w.cpu->gpr[RBX] = BAD - 50;
	old = *f;
	assert_fault(EXEC(0xdd, 0x33), X86_PF, PF_W);
	assert_memory_equal(f, &old, sizeof(old));
}

/* ---- masked moves ---- */

static void set_d(unsigned reg, unsigned i, u32 value)
{
	memcpy(i < 4 ? f->xmm[reg] + 4 * i : f->ymm_high[reg] + 4 * (i - 4), &value, 4);
}

static u32 get_d(unsigned reg, unsigned i)
{
	u32 v;

	memcpy(&v, i < 4 ? f->xmm[reg] + 4 * i : f->ymm_high[reg] + 4 * (i - 4), 4);
	return v;
}

static void masked_load_and_store(void **state)
{
	start_long(0);
	start_state();
	w.cpu->gpr[RBX] = BAD - 8; /* two elements, then nothing */
	poke(BAD - 8, 0x2222222211111111, 8);
	memset(f->xmm[2], 0, 16);
	memset(f->ymm_high[2], 0, 16);
	set_d(2, 0, 0x80000000);
	set_d(2, 1, ~0u);
	assert_int_equal(
		EXEC(0xc4, 0xe2, 0x6d, 0x2c, 0x0b), CPU_OK); /* vmaskmovps ymm1, ymm2, [rbx] */
	assert_int_equal(get_d(1, 0), 0x11111111);
	assert_int_equal(get_d(1, 1), 0x22222222);
	for (unsigned i = 2; i < 8; i++)
		assert_int_equal(get_d(1, i), 0);
	set_d(2, 0, 0x7fffffff);
	assert_int_equal(EXEC(0xc4, 0xe2, 0x6d, 0x2e, 0x1b), CPU_OK); /* store ymm3 */
	assert_int_equal(peek(BAD - 8, 8), 0x2323232311111111);
	set_d(2, 2, ~0u);
	assert_fault(EXEC(0xc4, 0xe2, 0x6d, 0x2e, 0x23), X86_PF, PF_W);
	assert_int_equal(peek(BAD - 8, 8), 0x2323232311111111); /* nothing of ymm4 */
	assert_fault(EXEC(0xc4, 0xe2, 0x6d, 0x2c, 0x0b), X86_PF, 0);
	assert_int_equal(get_d(1, 0), 0x11111111);
	/* vpmaskmovq xmm1, xmm2, [rbx]: only element 0; upper half cleared */
	memset(f->xmm[2], 0, 16);
	set_d(2, 1, BIT(31));
	assert_int_equal(EXEC(0xc4, 0xe2, 0xe9, 0x8c, 0x0b), CPU_OK);
	assert_int_equal(get_d(1, 1), 0x23232323);
	assert_int_equal(get_d(1, 2), 0);
	assert_int_equal(get_d(1, 4), 0);
}

static void masked_bytes(void **state)
{
	start_long(0);
	start_state();
	w.cpu->gpr[RDI] = DATA + 0x1800;
	memset(f->xmm[2], 0, 16);
	f->xmm[2][0] = 0x80;
	f->xmm[2][15] = 0xff;
	f->xmm[2][3] = 0x7f;
	assert_int_equal(EXEC(0x66, 0x0f, 0xf7, 0xca), CPU_OK); /* maskmovdqu xmm1, xmm2 */
	assert_int_equal(peek(DATA + 0x1800, 8), 0x21);
	assert_int_equal(w.mem[DATA + 0x180f], 0x21);
	/* maskmovq mm1, mm2, TOP 3: mm1 is ST6, mm2 is ST7 */
	memset(f->st[7], 0x80, 8);
	w.cpu->gpr[RDI] = DATA + 0x1900;
	assert_int_equal(EXEC(0x0f, 0xf7, 0xca), CPU_OK);
	assert_int_equal(peek(DATA + 0x1900, 8), 0x1616161616161616);
	assert_int_equal(w.mem[DATA + 0x1908], 0);
	assert_int_equal(f->fsw & 0x3800, 0);
	assert_int_equal(f->ftw, 0xff);
	assert_int_equal(f->st[1][0], 0x16); /* mm1, where TOP is 0 */
}

/* ---- gathers ---- */

static void gather_dwords(void **state)
{
	start_long(0);
	start_state();
	for (unsigned i = 0; i < 8; i++) {
		set_d(3, i, 7 - i);           /* index */
		set_d(2, i, i & 1 ? ~0u : 0); /* mask */
		poke(AREA + 4 * i, 0x1000 + i, 4);
	}
	/* vpgatherdd ymm1, [rbx+ymm3*4], ymm2 */
	assert_int_equal(EXEC(0xc4, 0xe2, 0x6d, 0x90, 0x0c, 0x9b), CPU_OK);
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(get_d(1, i), i & 1 ? 0x1007 - i : i < 4 ? 0x21212121 : 0x41414141);
		assert_int_equal(get_d(2, i), 0);
	}
}

static void gather_fault_keeps_done_elements(void **state)
{
	start_long(0);
	start_state();
	static const u64 addr[4] = {DATA + 0x10, DATA + 0x20, BAD, DATA + 0x30};
	for (unsigned i = 0; i < 4; i++) {
		set_d(3, 2 * i, (u32)addr[i]);
		set_d(3, 2 * i + 1, 0);
		set_d(2, 2 * i + 1, BIT(31));
		set_d(2, 2 * i, 0);
		if (addr[i] != BAD)
			poke(addr[i], 0xaaaa0000 + i, 8);
	}
	w.cpu->gpr[RBX] = 0;
	/* vpgatherqq ymm1, [rbx+ymm3*1], ymm2 */
	assert_fault(EXEC(0xc4, 0xe2, 0xed, 0x91, 0x0c, 0x1b), X86_PF, 0);
	assert_int_equal(w.cpu->exc.cr2, BAD);
	assert_int_equal(get_d(1, 0), 0xaaaa0000);
	assert_int_equal(get_d(1, 2), 0xaaaa0001);
	assert_int_equal(get_d(1, 4), 0x41414141);
	assert_int_equal(get_d(2, 1), 0);
	assert_int_equal(get_d(2, 3), 0);
	assert_int_equal(get_d(2, 5), BIT(31));
	set_d(3, 4, DATA + 0x40);
	poke(DATA + 0x40, 0x77, 8);
	assert_int_equal(EXEC(0xc4, 0xe2, 0xed, 0x91, 0x0c, 0x1b), CPU_OK);
	assert_int_equal(get_d(1, 4), 0x77);
	assert_int_equal(get_d(1, 6), 0xaaaa0003);
}

static void gather_of_halves_clears_the_rest(void **state)
{
	start_long(0);
	start_state();
	for (unsigned i = 0; i < 4; i++) {
		set_d(2, i, BIT(31));
		set_d(3, i, i & 1 ? 0 : 8 * i);
	}
	poke(AREA, 0x11, 4);
	poke(AREA + 16, 0x22, 4);
	/* vgatherqps xmm1, [rbx+xmm3*1], xmm2: two elements */
	assert_int_equal(EXEC(0xc4, 0xe2, 0x69, 0x93, 0x0c, 0x1b), CPU_OK);
	assert_int_equal(get_d(1, 0), 0x11);
	assert_int_equal(get_d(1, 1), 0x22);
	for (unsigned i = 2; i < 8; i++)
		assert_int_equal(get_d(1, i), 0);
}

static void gather_from_mmio_restarts_clean(void **state)
{
	start_long(0);
	start_state();
	for (unsigned i = 0; i < 4; i++) {
		set_d(2, i, i < 2 ? BIT(31) : 0);
		set_d(3, i, 4 * i);
	}
	w.cpu->gpr[RBX] = MMIO;
	assert_int_equal(EXEC(0xc4, 0xe2, 0x69, 0x90, 0x0c, 0x1b), CPU_EXIT);
	answer(EXIT_MMIO_READ, MMIO, 4, 1);
	assert_int_equal(EXEC(0xc4, 0xe2, 0x69, 0x90, 0x0c, 0x1b), CPU_EXIT);
	assert_int_equal(w.cpu->exit.mmio.gpa, MMIO + 4);
	assert_int_equal(get_d(2, 0), BIT(31));
	answer(EXIT_MMIO_READ, MMIO + 4, 4, 2);
	assert_int_equal(EXEC(0xc4, 0xe2, 0x69, 0x90, 0x0c, 0x1b), CPU_OK);
	assert_int_equal(get_d(1, 0), 1);
	assert_int_equal(get_d(1, 1), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fxsave_and_back),
		cmocka_unit_test(eight_registers_outside_64bit_mode),
		cmocka_unit_test(xsave_writes_what_is_asked),
		cmocka_unit_test(optimised_forms_skip_initial_state),
		cmocka_unit_test(xrstor_loads_and_initialises),
		cmocka_unit_test(compacted_round_trip),
		cmocka_unit_test(bad_headers),
		cmocka_unit_test(xgetbv_1_shows_what_is_in_use),
		cmocka_unit_test(environment),
		cmocka_unit_test(save_and_restore),
		cmocka_unit_test(masked_load_and_store),
		cmocka_unit_test(masked_bytes),
		cmocka_unit_test(gather_dwords),
		cmocka_unit_test(gather_fault_keeps_done_elements),
		cmocka_unit_test(gather_of_halves_clears_the_rest),
		cmocka_unit_test(gather_from_mmio_restarts_clean),
	};

	return cmocka_run_group_tests(tests, NULL, processor_close);
}
