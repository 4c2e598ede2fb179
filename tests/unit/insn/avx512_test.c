/* SPDX-License-Identifier: MIT */
/*
 * What an opmask keeps from memory, elements that have places of their own, and the state of AVX-512 in images. What the
 * instructions compute is compared with the host by tests/insn.
 */
#include <stdio.h>

#include "tests/unit/world/insns.h"
#include "engine/core/xsave.h"
#include "engine/cpu/mode.h"
#include "engine/exit.h"
#include "engine/insn/vector.h"
#include "x86/regs.h"

#define AREA DATA
#define ALL  (w.cpu->xstate.features)

static bool start(void)
{
	start_long(0);
	if (!(ALL & XSTATE_AVX512)) {
		print_message("left out: this host has no AVX-512\n");
		return false;
	}
	w.cpu->gpr[RBX] = AREA;
	fpu_image(w.cpu)->xstate_bv = ALL;
	fpu_image(w.cpu)->mxcsr = MXCSR_RESET;
	fpu_image(w.cpu)->fcw = FCW_RESET;
	for (unsigned n = 0; n < 32; n++) {
		union vector v;

		memset(v.bytes, 0x20 + (int)n, sizeof(v.bytes));
		vector_write(w.cpu, n, &v);
	}
	return true;
}

#define START()                                                                                    \
	if (!start())                                                                              \
	skip()

static u64 *opmask(unsigned n)
{
	return (u64 *)fpu_component(w.cpu, XS_OPMASK) + n;
}

static u64 quad(unsigned reg, unsigned i)
{
	return vector_read(w.cpu, reg).q[i];
}

static void set_quad(unsigned reg, unsigned i, u64 value)
{
	union vector v = vector_read(w.cpu, reg);

	v.q[i] = value;
	vector_write(w.cpu, reg, &v);
}

#define OF(n) ((n)*0x0101010101010101ull)

/* vmovdqu8 zmm1 {k1} {z}, [rbx]; [rbx] {k1}, zmm3 */
#define LOAD  EXEC(0x62, 0xf1, 0x7f, 0xc9, 0x6f, 0x0b)
#define STORE EXEC(0x62, 0xf1, 0x7f, 0x49, 0x7f, 0x1b)

/* At the end of a page, with nothing behind it. */
static void masked_out_does_not_fault(void **state)
{
	START();
	w.cpu->gpr[RBX] = BAD - 8;
	poke(BAD - 8, 0x1122334455667788, 8);
	*opmask(1) = 0x81;
	assert_int_equal(LOAD, CPU_OK);
	assert_int_equal(quad(1, 0), 0x1100000000000088);
	for (unsigned i = 1; i < 8; i++)
		assert_int_equal(quad(1, i), 0);
	*opmask(1) = 0x181;
	assert_fault(LOAD, X86_PF, 0);
	assert_int_equal(w.cpu->exc.cr2, BAD);
	*opmask(1) = 0;
	w.cpu->gpr[RBX] = BAD;
	assert_int_equal(LOAD, CPU_OK);
	assert_int_equal(quad(1, 0), 0);
}

static void masked_out_is_not_written(void **state)
{
	START();
	w.cpu->gpr[RBX] = BAD - 8;
	poke(BAD - 8, 0x1122334455667788, 8);
	*opmask(1) = 0x81;
	assert_int_equal(STORE, CPU_OK);
	assert_int_equal(peek(BAD - 8, 8), 0x2322334455667723);
	*opmask(1) = BIT64(63) | 1;
	assert_fault(STORE, X86_PF, PF_W);
	assert_int_equal(peek(BAD - 8, 8), 0x2322334455667723);
	w.cpu->gpr[RBX] = RO;
	*opmask(1) = 0;
	assert_int_equal(STORE, CPU_OK);
}

/* One element stands for all: it is read unless all are masked out. Others are read whole, whatever the opmask. */
static void broadcast_and_whole_operands(void **state)
{
	START();
	w.cpu->gpr[RBX] = BAD;
	*opmask(1) = ~0ull << 16; /* of elements that there are not */
	/* vpaddd zmm1 {k1}, zmm2, [rbx] {1to16} */
	assert_int_equal(EXEC(0x62, 0xf1, 0x6d, 0x59, 0xfe, 0x0b), CPU_OK);
	*opmask(1) = 0x8000;
	assert_fault(EXEC(0x62, 0xf1, 0x6d, 0x59, 0xfe, 0x0b), X86_PF, 0);
	w.cpu->gpr[RBX] = AREA;
	poke(AREA, 1, 4);
	assert_int_equal(EXEC(0x62, 0xf1, 0x6d, 0x59, 0xfe, 0x0b), CPU_OK);
	assert_int_equal(quad(1, 0), OF(0x21ull));
	assert_int_equal(quad(1, 7), 0x2222222321212121);
	w.cpu->gpr[RBX] = BAD;
	*opmask(1) = 0;
	/* vpshufb zmm1 {k1}, zmm2, [rbx] */
	assert_fault(EXEC(0x62, 0xf2, 0x6d, 0x49, 0x00, 0x0b), X86_PF, 0);
}

static void across_pages(void **state)
{
	START();
	w.cpu->gpr[RBX] = AREA + PAGE_SIZE - 24;
	for (unsigned i = 0; i < 8; i++)
		poke(w.cpu->gpr[RBX] + 8 * i, OF(0xa0 + i), 8);
	/* vmovups zmm1, [rbx]; [rbx], zmm3 */
	assert_int_equal(EXEC(0x62, 0xf1, 0x7c, 0x48, 0x10, 0x0b), CPU_OK);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(quad(1, i), OF(0xa0 + i));
	assert_int_equal(EXEC(0x62, 0xf1, 0x7c, 0x48, 0x11, 0x1b), CPU_OK);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(peek(w.cpu->gpr[RBX] + 8 * i, 8), OF(0x23ull));
	w.cpu->gpr[RBX] = AREA + 32;
	assert_gp(EXEC(0x62, 0xf1, 0x7c, 0x48, 0x28, 0x0b)); /* vmovaps zmm1, [rbx] */
	assert_gp(EXEC(0x62, 0xf1, 0x7d, 0x48, 0xe7, 0x0b)); /* vmovntdq [rbx], zmm1 */
	assert_int_equal(EXEC(0x62, 0xf1, 0x7c, 0x28, 0x28, 0x0b), CPU_OK);
}

/* vpgatherqq zmm1 {k1}, [rbx + zmm3]; vpscatterqq [rbx + zmm3] {k1}, zmm1 */
#define GATHER  EXEC(0x62, 0xf2, 0xfd, 0x49, 0x91, 0x0c, 0x1b)
#define SCATTER EXEC(0x62, 0xf2, 0xfd, 0x49, 0xa1, 0x0c, 0x1b)

static void four_places(void)
{
	static const u64 at[] = {DATA + 0x10, DATA + 0x20, BAD, DATA + 0x30};

	w.cpu->gpr[RBX] = 0;
	for (unsigned i = 0; i < 4; i++) {
		set_quad(3, i, at[i]);
		if (at[i] != BAD)
			poke(at[i], 0xaaaa0000 + i, 8);
	}
	*opmask(1) = 0xf;
}

static void gather_goes_on_where_it_faulted(void **state)
{
	START();
	four_places();
	assert_fault(GATHER, X86_PF, 0);
	assert_int_equal(w.cpu->exc.cr2, BAD);
	assert_int_equal(*opmask(1), 0xc);
	assert_int_equal(quad(1, 0), 0xaaaa0000);
	assert_int_equal(quad(1, 1), 0xaaaa0001);
	assert_int_equal(quad(1, 2), OF(0x21ull));
	set_quad(3, 2, DATA + 0x40);
	poke(DATA + 0x40, 0x77, 8);
	poke(DATA + 0x10, 0, 8); /* is not read again */
	assert_int_equal(GATHER, CPU_OK);
	assert_int_equal(*opmask(1), 0);
	assert_int_equal(quad(1, 0), 0xaaaa0000);
	assert_int_equal(quad(1, 2), 0x77);
	assert_int_equal(quad(1, 3), 0xaaaa0003);
	assert_int_equal(quad(1, 4), OF(0x21ull));
}

static void scatter_goes_on_where_it_faulted(void **state)
{
	START();
	four_places();
	assert_fault(SCATTER, X86_PF, PF_W);
	assert_int_equal(w.cpu->exc.cr2, BAD);
	assert_int_equal(*opmask(1), 0xc);
	assert_int_equal(peek(DATA + 0x10, 8), OF(0x21ull));
	assert_int_equal(peek(DATA + 0x20, 8), OF(0x21ull));
	assert_int_equal(peek(DATA + 0x30, 8), 0xaaaa0003);
	poke(DATA + 0x10, 0, 8); /* is not written again */
	set_quad(3, 2, DATA + 0x30);
	set_quad(1, 3, 3);
	assert_int_equal(SCATTER, CPU_OK);
	assert_int_equal(*opmask(1), 0);
	assert_int_equal(peek(DATA + 0x10, 8), 0);
	assert_int_equal(peek(DATA + 0x30, 8), 3); /* the higher of two elements in one place */
}

/* A question in the middle starts it again: nothing has been done, and nothing waits to be written twice. */
static void scatter_to_devices(void **state)
{
	START();
	four_places();
	set_quad(3, 0, MMIO);
	assert_fault(SCATTER, X86_PF, PF_W);
	assert_int_equal(w.cpu->posted_count, 1);
	assert_int_equal(w.cpu->posted[0].gpa, MMIO);
	assert_int_equal(*opmask(1), 0xc);
}

static void gather_from_devices(void **state)
{
	START();
	four_places();
	set_quad(3, 0, MMIO);
	set_quad(3, 2, MMIO + 8);
	assert_int_equal(GATHER, CPU_EXIT);
	answer(EXIT_MMIO_READ, MMIO, 8, 1);
	assert_int_equal(GATHER, CPU_EXIT);
	assert_int_equal(w.cpu->exit.mmio.gpa, MMIO + 8);
	assert_int_equal(*opmask(1), 0xf);
	answer(EXIT_MMIO_READ, MMIO + 8, 8, 2);
	assert_int_equal(GATHER, CPU_OK);
	assert_int_equal(quad(1, 0), 1);
	assert_int_equal(quad(1, 2), 2);
}

/* Only what the opmask lets through is in memory, whatever the vector's length. */
static void compressed_and_expanded(void **state)
{
	START();
	w.cpu->gpr[RBX] = BAD - 16;
	*opmask(1) = 0x81;
	set_quad(1, 7, 7);
	assert_int_equal(EXEC(0x62, 0xf2, 0xfd, 0x49, 0x8b, 0x0b), CPU_OK); /* vpcompressq */
	assert_int_equal(peek(BAD - 16, 8), OF(0x21ull));
	assert_int_equal(peek(BAD - 8, 8), 7);
	*opmask(1) = 0x82;
	assert_int_equal(EXEC(0x62, 0xf2, 0xfd, 0xc9, 0x89, 0x13), CPU_OK); /* vpexpandq zmm2 */
	assert_int_equal(quad(2, 0), 0);
	assert_int_equal(quad(2, 1), OF(0x21ull));
	assert_int_equal(quad(2, 7), 7);
	*opmask(1) = 0x83;
	assert_fault(EXEC(0x62, 0xf2, 0xfd, 0x49, 0x8b, 0x0b), X86_PF, PF_W);
	assert_fault(EXEC(0x62, 0xf2, 0xfd, 0xc9, 0x89, 0x13), X86_PF, 0);
}

/* ---- what enables it ---- */

static void without_its_state(void **state)
{
	static const u64 without[] = {7, 0x27, 0xa7, 0xc7, 3};

	START();
	for (unsigned i = 0; i < ARRAY_SIZE(without); i++) {
		w.cpu->xcr0 = without[i];
		assert_ud(EXEC(0x62, 0xf1, 0x74, 0x48, 0x58, 0xc1)); /* vaddps zmm0, zmm1, zmm1 */
		assert_ud(EXEC(0xc5, 0xf8, 0x90, 0xc1));             /* kmovw k0, k1 */
		assert_ud(GATHER);
	}
	w.cpu->xcr0 = ALL;
	w.cpu->cr4 &= ~CR4_OSXSAVE;
	assert_ud(EXEC(0xc5, 0xf8, 0x90, 0xc1));
	w.cpu->cr4 |= CR4_OSXSAVE;
	w.cpu->cr0 |= CR0_TS;
	assert_fault(EXEC(0xc5, 0xf8, 0x90, 0xc1), X86_NM, NO_ERROR);
}

/* ---- images ---- */

#define XSAVE  EXEC(0x48, 0x0f, 0xae, 0x23)
#define XSAVEC EXEC(0x48, 0x0f, 0xc7, 0x23)
#define XRSTOR EXEC(0x48, 0x0f, 0xae, 0x2b)

static void ask(u64 components)
{
	w.cpu->gpr[RAX] = components;
	w.cpu->gpr[RDX] = 0;
	memset(w.mem + AREA, 0xee, XSAVE_BYTES);
	memset(w.mem + AREA + XSAVE_HEADER, 0, 64);
}

/* All components with a byte of their own. */
static void fill_components(int byte)
{
	for (unsigned i = XS_OPMASK; i < XS_COUNT; i++)
		memset(fpu_component(w.cpu, i), byte + (int)i, xstate_size(i));
	fpu_image(w.cpu)->xstate_bv = ALL;
}

static void assert_components(int byte)
{
	for (unsigned i = XS_OPMASK; i < XS_COUNT; i++)
		for (unsigned at = 0; at < xstate_size(i); at++)
			assert_int_equal(fpu_component(w.cpu, i)[at], byte + (int)i);
}

static void standard_format(void **state)
{
	START();
	fill_components(0x70);
	ask(ALL);
	assert_int_equal(XSAVE, CPU_OK);
	for (unsigned i = XS_OPMASK; i < XS_COUNT; i++) {
		u32 offset = w.cpu->xstate.offset[i];

		assert_int_equal(w.mem[AREA + offset], 0x70 + i);
		assert_int_equal(w.mem[AREA + offset + xstate_size(i) - 1], 0x70 + i);
	}
	assert_int_equal(w.mem[AREA + xsave_size(&w.cpu->xstate, ALL)], 0xee);
	fill_components(0x10);
	assert_int_equal(XRSTOR, CPU_OK);
	assert_components(0x70);
	poke(AREA + XSAVE_HEADER, ALL & ~(u64)XSTATE_ZMM_HI, 8);
	assert_int_equal(XRSTOR, CPU_OK);
	assert_int_equal(quad(1, 4), 0);
	assert_int_equal(quad(17, 4), OF(0x77ull));
}

/* Behind the header come those that are asked for, and no others. */
static void compacted_format(void **state)
{
	const u64 some = XSTATE_SSE | XSTATE_OPMASK | XSTATE_HI16;

	START();
	fill_components(0x70);
	ask(some);
	assert_int_equal(XSAVEC, CPU_OK);
	assert_int_equal(peek(AREA + XSAVE_HEADER + 8, 8), BIT64(63) | some);
	assert_int_equal(w.mem[AREA + XSAVE_AVX], 0x75);
	assert_int_equal(w.mem[AREA + XSAVE_AVX + 64], 0x77);
	assert_int_equal(w.mem[AREA + XSAVE_AVX + 64 + 1023], 0x77);
	assert_int_equal(w.mem[AREA + XSAVE_AVX + 64 + 1024], 0xee);
	fill_components(0x10);
	w.cpu->gpr[RAX] = ALL; /* AVX and the tops are not in the layout: initial */
	assert_int_equal(XRSTOR, CPU_OK);
	assert_int_equal(*opmask(3), OF(0x75ull));
	assert_int_equal(quad(17, 4), OF(0x77ull));
	assert_int_equal(quad(1, 2), 0);
	assert_int_equal(quad(1, 4), 0);
}

/* Outside 64-bit mode there are eight registers: the others are neither stored nor loaded. */
static void eight_registers(void **state)
{
	START();
	fill_components(0x70);
	w.cpu->seg[SEG_CS].attr &= ~SEG_L;
	w.cpu->seg[SEG_CS].attr |= SEG_DB;
	cpu_update_mode(w.cpu);
	ask(ALL);
	assert_int_equal(EXEC(0x0f, 0xae, 0x23), CPU_OK);
	assert_int_equal(w.mem[AREA + w.cpu->xstate.offset[XS_OPMASK] + 63], 0x75);
	assert_int_equal(w.mem[AREA + w.cpu->xstate.offset[XS_ZMM_HI] + 255], 0x76);
	assert_int_equal(w.mem[AREA + w.cpu->xstate.offset[XS_ZMM_HI] + 256], 0xee);
	assert_int_equal(w.mem[AREA + w.cpu->xstate.offset[XS_HI16]], 0xee);
	fill_components(0x10);
	assert_int_equal(EXEC(0x0f, 0xae, 0x2b), CPU_OK);
	assert_int_equal(quad(7, 4), OF(0x76ull));
	assert_int_equal(quad(8, 4), OF(0x16ull));
	assert_int_equal(quad(16, 0), OF(0x17ull));
	/* vzeroupper reaches these eight, too: all above 128 bits */
	assert_int_equal(EXEC(0xc5, 0xf8, 0x77), CPU_OK);
	assert_int_equal(quad(7, 4), 0);
	assert_int_equal(quad(8, 4), OF(0x16ull));
	assert_int_equal(quad(16, 0), OF(0x17ull));
}

/* VEX clears what it does not write, up to the last bit (SDM 2:2.3.10.1). */
static void avx_clears_the_tops(void **state)
{
	START();
	memset(fpu_image(w.cpu)->xmm[2], 0xff, 16);
	/* vmaskmovps xmm1, xmm2, [rbx]; vpgatherdd xmm4, [rbx + xmm5], xmm6 */
	assert_int_equal(EXEC(0xc4, 0xe2, 0x69, 0x2c, 0x0b), CPU_OK);
	assert_int_equal(quad(1, 2) | quad(1, 4) | quad(1, 7), 0);
	for (unsigned i = 0; i < 8; i++)
		set_quad(5, i, 0), set_quad(6, i, ~0ull);
	assert_int_equal(EXEC(0xc4, 0xe2, 0x49, 0x90, 0x24, 0x2b), CPU_OK);
	assert_int_equal(quad(4, 2) | quad(4, 4) | quad(4, 7), 0);
	assert_int_equal(quad(6, 2) | quad(6, 4) | quad(6, 7), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(masked_out_does_not_fault),
		cmocka_unit_test(masked_out_is_not_written),
		cmocka_unit_test(broadcast_and_whole_operands),
		cmocka_unit_test(across_pages),
		cmocka_unit_test(gather_goes_on_where_it_faulted),
		cmocka_unit_test(scatter_goes_on_where_it_faulted),
		cmocka_unit_test(scatter_to_devices),
		cmocka_unit_test(gather_from_devices),
		cmocka_unit_test(compressed_and_expanded),
		cmocka_unit_test(without_its_state),
		cmocka_unit_test(standard_format),
		cmocka_unit_test(compacted_format),
		cmocka_unit_test(eight_registers),
		cmocka_unit_test(avx_clears_the_tops),
	};

	return cmocka_run_group_tests(tests, NULL, processor_close);
}
