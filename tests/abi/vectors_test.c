/* SPDX-License-Identifier: MIT */
/*
 * Vector state between an image of the VMM's and the guest: components that an image does not mark are in their initial
 * configuration, whatever its bytes say there, and nothing of the host's registers is seen by the guest, or the reverse.
 */
#include "tests/abi/port.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define X87 1u
#define SSE 2u
#define AVX 4u
#define ALL (X87 | SSE | AVX)

/* SDM 1:13.4: the standard format. */
#define FTW_AT   4
#define FOP_AT   6 /* also FIP and FDP, up to MXCSR */
#define MXCSR_AT 24
#define ST_AT    32
#define XMM_AT   160
#define XMM_END  416
#define BV_AT    512
#define YMM_AT   576
#define YMM_END  832

#define FCW_INIT   0x37f
#define MXCSR_INIT 0x1f80u
#define FCW_SET    0x27f   /* 53 bits */
#define MXCSR_SET  0x9fc0u /* FTZ and DAZ */
#define HOST_FCW   0xf7f
#define HOST_MXCSR 0x7fa0u

struct image {
	u8 b[4096];
};

static u32 get32(const struct image *i, unsigned at)
{
	u32 value;

	memcpy(&value, i->b + at, sizeof(value));
	return value;
}

static void put32(struct image *i, unsigned at, u32 value)
{
	memcpy(i->b + at, &value, sizeof(value));
}

/* Bytes that are a state of their own in every component: registers have no rounding, tags no order. */
static struct image marked(u32 bv)
{
	struct image i = {{0}};

	put32(&i, 0, FCW_SET);
	i.b[FTW_AT] = 0xff;
	put32(&i, MXCSR_AT, MXCSR_SET);
	for (unsigned n = 0; n < 8; n++)
		memset(i.b + ST_AT + 16 * n, 0x40 + (int)n, 10);
	for (unsigned n = XMM_AT; n < XMM_END; n++)
		i.b[n] = (u8)(n | 1);
	for (unsigned n = YMM_AT; n < YMM_END; n++)
		i.b[n] = (u8)(n ^ 0x7f) | 2;
	put32(&i, BV_AT, bv);
	return i;
}

/* What the guest has then. */
static struct image expected(u32 bv)
{
	struct image i = marked(bv);

	if (!(bv & X87)) {
		put32(&i, 0, FCW_INIT);
		put32(&i, FTW_AT, 0);
		memset(i.b + ST_AT, 0, XMM_AT - ST_AT);
	}
	if (!(bv & SSE))
		memset(i.b + XMM_AT, 0, XMM_END - XMM_AT);
	if (!(bv & AVX))
		memset(i.b + YMM_AT, 0, YMM_END - YMM_AT);
	if (!(bv & (SSE | AVX)))
		put32(&i, MXCSR_AT, MXCSR_INIT);
	return i;
}

static void assert_part(
	const struct image *is, const struct image *shall, u32 bv, unsigned from, unsigned to)
{
	for (unsigned n = from; n < to; n++)
		if (is->b[n] != shall->b[n])
			fail_msg("XSTATE_BV %u: byte %u is 0x%x, not 0x%x", bv, n, is->b[n],
				shall->b[n]);
}

static void assert_guest_has(const struct guest *g, u32 bv)
{
	const struct image shall = expected(bv);
	struct image is;
	u32 shown;

	assert_int_equal(kvm_p(g->vcpu, KVM_GET_XSAVE, &is), 0);
	shown = get32(&is, BV_AT);
	assert_int_equal(shown & ~ALL, 0); /* AVX-512's are not in use */
	if (!port.real)                    /* which shows less */
		assert_int_equal(shown & (bv | X87 | SSE), bv | X87 | SSE);
	assert_part(&is, &shall, bv, 0, FOP_AT);
	if (!port.real) /* addresses of the host, or nobody's */
		assert_part(&is, &(struct image){{0}}, bv, FOP_AT, MXCSR_AT);
	assert_part(&is, &shall, bv, ST_AT, XMM_END);
	assert_part(&is, &shall, bv, YMM_AT, YMM_END);
	/* With AVX and without SSE the processor's two formats differ: SDM 1:13.8.1, 1:13.8.2. */
	if (!port.real || (bv & (SSE | AVX)) != AVX)
		assert_int_equal(get32(&is, MXCSR_AT), get32(&shall, MXCSR_AT));
}

/* ---- what the host's registers are like ---- */

/* As compilers leave them: the tags are empty, the registers are not. */
static void dirty_plainly(void)
{
	__asm__ volatile("fldpi\n\tfldl2e\n\tfldln2\n\tfstp %%st(0)\n\tfstp %%st(0)\n\tfstp %%st(0)"
			 :
			 :
			 :);
}

static void dirty_then_init(void)
{
	dirty_plainly();
	__asm__ volatile("fninit");
}

static void dirty_nothing(void)
{
	__asm__ volatile("fninit\n\tvzeroall"
			 :
			 :
			 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
			 "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

static void dirty_vectors(void)
{
	__asm__ volatile("vpcmpeqd %%xmm0, %%xmm0, %%xmm0\n\t"
			 "vinsertf128 $1, %%xmm0, %%ymm0, %%ymm0\n\t"
			 "vmovaps %%ymm0, %%ymm1\n\tvmovaps %%ymm0, %%ymm2\n\t"
			 "vmovaps %%ymm0, %%ymm7\n\tvmovaps %%ymm0, %%ymm8\n\t"
			 "vmovaps %%ymm0, %%ymm9\n\tvmovaps %%ymm0, %%ymm15"
			 :
			 :
			 : "xmm0", "xmm1", "xmm2", "xmm7", "xmm8", "xmm9", "xmm15");
}

static void dirty_both(void)
{
	dirty_plainly();
	dirty_vectors();
}

static void dirty_controls(void)
{
	const u16 fcw = HOST_FCW;
	const u32 mxcsr = HOST_MXCSR;

	__asm__ volatile("fldcw %0\n\tldmxcsr %1" : : "m"(fcw), "m"(mxcsr));
}

static void assert_controls(u16 shall_fcw, u32 shall_mxcsr)
{
	u32 mxcsr;
	u16 fcw;

	__asm__ volatile("fnstcw %0\n\tstmxcsr %1" : "=m"(fcw), "=m"(mxcsr));
	assert_int_equal(fcw, shall_fcw);
	assert_int_equal(mxcsr & ~0x3fu, shall_mxcsr & ~0x3fu);
}

static void controls_back(void)
{
	const u16 fcw = FCW_INIT;
	const u32 mxcsr = MXCSR_INIT;

	__asm__ volatile("fldcw %0\n\tldmxcsr %1" : : "m"(fcw), "m"(mxcsr));
}

static void (*const dirty[])(void) = {
	dirty_nothing, dirty_plainly, dirty_then_init, dirty_vectors, dirty_both};

/* ---- tests ---- */

/* The kernel keeps AVX for those only who are told of it. */
static void tell_of_avx(struct guest *g)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]));

	assert_non_null(cpuid);
	cpuid->nent = 256;
	assert_int_equal(kvm_p(g->sys, KVM_GET_SUPPORTED_CPUID, cpuid), 0);
	assert_int_equal(kvm_p(g->vcpu, KVM_SET_CPUID2, cpuid), 0);
	free(cpuid);
}

/* HLT: nothing of it uses a vector register. */
static void guest_that_halts(struct guest *g)
{
	guest_open(g);
	tell_of_avx(g);
	GUEST_CODE(g, 0xf4, 0xf4, 0xf4, 0xf4);
}

/* With the registers of the host as they are now, and with others, twice each. */
static void run_and_look(struct guest *g, u32 bv, void (*make_dirty)(void))
{
	struct image set = marked(bv);

	assert_int_equal(kvm_p(g->vcpu, KVM_SET_XSAVE, &set), 0);
	assert_guest_has(g, bv);
	for (unsigned i = 0; i < 2; i++) {
		long r;

		make_dirty();
		r = kvm(g->vcpu, KVM_RUN, 0);
		assert_int_equal(r, 0);
		assert_int_equal(g->run->exit_reason, KVM_EXIT_HLT);
		assert_guest_has(g, bv);
	}
}

static void test_every_image(void **state)
{
	for (unsigned d = 0; d < sizeof(dirty) / sizeof(*dirty); d++)
		for (u32 bv = 0; bv <= ALL; bv++) {
			struct guest g;

			guest_that_halts(&g);
			run_and_look(&g, bv, dirty[d]);
			guest_close(&g);
		}
}

/* One vcpu after the other in one thread: nothing of what the first had is left for the second. */
static void test_one_after_the_other(void **state)
{
	struct guest full, other;
	u32 bv;

	guest_that_halts(&full);
	run_and_look(&full, ALL, dirty_nothing);
	for (bv = 0; bv <= ALL; bv++) {
		struct kvm_regs r = regs_of(&full);

		r.rip = RAM_GPA;
		assert_int_equal(kvm_p(full.vcpu, KVM_SET_REGS, &r), 0);
		guest_that_halts(&other);
		run_to(&full, KVM_EXIT_HLT);
		run_and_look(&other, bv, dirty_nothing);
		guest_close(&other);
		assert_guest_has(&full, ALL);
	}
	guest_close(&full);
}

/* KVM_RUN leaves rounding and masks of the caller's as they were, for every way that the guest's state may take. */
static void test_controls_of_the_host(void **state)
{
	for (u32 bv = 0; bv <= ALL; bv++) {
		struct image set = marked(bv);
		struct guest g;
		long r;

		guest_that_halts(&g);
		assert_int_equal(kvm_p(g.vcpu, KVM_SET_XSAVE, &set), 0);
		dirty_controls();
		r = kvm(g.vcpu, KVM_RUN, 0);
		assert_controls(HOST_FCW, HOST_MXCSR);
		controls_back();
		assert_int_equal(r, 0);
		assert_guest_has(&g, bv);
		guest_close(&g);
	}
}

static void no_emulators(void)
{
	if (port.real) {
		print_message("some kernels emulate guests without paging, or all of them, without "
			      "such instructions\n");
		skip();
	}
}

/* The guest's own use of the x87 is seen, and FNINIT leaves the registers what they were: SDM 2, FINIT. */
static void test_guest_uses_x87(void **state)
{
	struct image set = marked(SSE), is;
	u16 fcw, fsw;
	struct guest g;

	no_emulators();
	guest_open(&g);
	GUEST_CODE(&g, 0xd9, 0xe8, 0xf4, /* fld1; hlt */
		0xdb, 0xe3, 0xf4,        /* fninit; hlt */
		0xd9, 0xee, 0xdd, 0xd8, 0xf4 /* fldz; fstp %st; hlt */);
	assert_int_equal(kvm_p(g.vcpu, KVM_SET_XSAVE, &set), 0);
	for (unsigned i = 0; i < 3; i++) {
		dirty_vectors();
		run_to(&g, KVM_EXIT_HLT);
		assert_int_equal(kvm_p(g.vcpu, KVM_GET_XSAVE, &is), 0);
		memcpy(&fcw, is.b, sizeof(fcw));
		memcpy(&fsw, is.b + 2, sizeof(fsw));
		assert_int_equal(fcw, FCW_INIT);
		assert_int_equal(fsw, i ? 0 : 0x3800);
		assert_int_equal(is.b[FTW_AT], i ? 0 : 0x80);
		assert_part(&is, &set, i, XMM_AT, XMM_END);
		assert_part(&is, &(struct image){{0}}, i, YMM_AT, YMM_END);
	}
	guest_close(&g);
}

#define TABLES_AT   0x4000
#define CR4_VECTORS 0x40620 /* OSXSAVE, OSXMMEXCPT, OSFXSR, PAE */

static void put_entry(struct guest *g, u64 at, u64 entry)
{
	memcpy(g->ram + at - RAM_GPA, &entry, sizeof(entry));
}

/* Where VZEROUPPER and VZEROALL reach all registers: the first 2 MiB as they are. */
static void long_mode(struct guest *g)
{
	struct kvm_segment code = {.limit = 0xffffffff,
		.selector = 8,
		.type = 11,
		.present = 1,
		.l = 1,
		.s = 1,
		.g = 1};
	struct kvm_sregs s;

	put_entry(g, TABLES_AT, (TABLES_AT + 0x1000) | 3);
	put_entry(g, TABLES_AT + 0x1000, (TABLES_AT + 0x2000) | 3);
	put_entry(g, TABLES_AT + 0x2000, 0x83);
	assert_int_equal(kvm_p(g->vcpu, KVM_GET_SREGS, &s), 0);
	s.cs = code;
	s.cr3 = TABLES_AT;
	s.cr4 |= CR4_VECTORS;
	s.efer |= 0x500;
	s.cr0 |= 0x80000001;
	assert_int_equal(kvm_p(g->vcpu, KVM_SET_SREGS, &s), 0);
}

static void guest_with_avx(struct guest *g, u32 bv)
{
	struct image set = marked(bv);
	struct kvm_xcrs x = {.nr_xcrs = 1, .xcrs = {{.value = ALL}}};

	guest_open(g);
	tell_of_avx(g);
	GUEST_CODE(g, 0xf4, 0xc5, 0xf8, 0x77, 0xf4, /* hlt; vzeroupper; hlt */
		0x66, 0x0f, 0x76, 0xc0, 0xf4, 0xf4, /* pcmpeqd %xmm0, %xmm0; hlt; hlt */
		0xc5, 0xfc, 0x77, 0xf4, 0xf4);      /* vzeroall; hlt; hlt */
	long_mode(g);
	assert_int_equal(kvm_p(g->vcpu, KVM_SET_XCRS, &x), 0);
	assert_int_equal(kvm_p(g->vcpu, KVM_SET_XSAVE, &set), 0);
}

/* What such a guest has changed before each of its exits. */
static void guest_goes_on(struct image *i, unsigned exit)
{
	if (exit == 1)
		memset(i->b + YMM_AT, 0, YMM_END - YMM_AT);
	if (exit == 2)
		memset(i->b + XMM_AT, 0xff, 16);
	if (exit == 4)
		memset(i->b + XMM_AT, 0, XMM_END - XMM_AT);
}

/* What the guest has cleared is clear in the image, and what it has set is there at the next exits, too. */
static void test_guest_uses_vectors(void **state)
{
	struct image is, shall;
	struct guest g;

	no_emulators();
	for (u32 bv = 0; bv <= ALL; bv++) {
		guest_with_avx(&g, bv);
		shall = expected(bv);
		for (unsigned exit = 0; exit < 6; exit++) {
			dirty_vectors();
			run_to(&g, KVM_EXIT_HLT);
			guest_goes_on(&shall, exit);
			assert_int_equal(kvm_p(g.vcpu, KVM_GET_XSAVE, &is), 0);
			assert_part(&is, &shall, bv, ST_AT, XMM_END);
			assert_part(&is, &shall, bv, YMM_AT, YMM_END);
		}
		guest_close(&g);
	}
}

/* ---- AVX-512: only on hosts that have it, and only if the port offers it ---- */

#define AVX512     0xe0u
#define COMPONENTS 8

/* SDM 1:13.4.3: where CPUID says. */
struct layout {
	u32 size[COMPONENTS], offset[COMPONENTS];
};

static bool find_layout(const struct guest *g, struct layout *l)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]));
	u32 states = 0;

	assert_non_null(cpuid);
	cpuid->nent = 256;
	assert_int_equal(kvm_p(g->sys, KVM_GET_SUPPORTED_CPUID, cpuid), 0);
	for (unsigned i = 0; i < cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		if (e->function == 0xd && e->index == 0)
			states = e->eax;
		if (e->function == 0xd && e->index > 1 && e->index < COMPONENTS) {
			l->size[e->index] = e->eax;
			l->offset[e->index] = e->ebx;
		}
	}
	free(cpuid);
	return (states & AVX512) == AVX512;
}

static bool have_avx512(struct layout *l)
{
	struct guest g;
	bool have;

	guest_open(&g);
	have = find_layout(&g, l);
	guest_close(&g);
	if (!have)
		print_message("left out: AVX-512 is not offered here\n");
	return have;
}

/* The registers that only AVX-512 has, as a C library leaves them. */
static void dirty_avx512(void)
{
	__asm__ volatile("vpternlogd $0xff, %%zmm16, %%zmm16, %%zmm16\n\t"
			 "vpternlogd $0xff, %%zmm31, %%zmm31, %%zmm31\n\t"
			 "vpternlogd $0xff, %%zmm1, %%zmm1, %%zmm1\n\t"
			 "kxnorw %%k1, %%k1, %%k1\n\tkxnorw %%k7, %%k7, %%k7"
			 :
			 :
			 : "xmm1");
}

static void clean_avx512(void)
{
	__asm__ volatile("vpxord %%zmm16, %%zmm16, %%zmm16\n\tvpxord %%zmm31, %%zmm31, %%zmm31\n\t"
			 "kxorw %%k1, %%k1, %%k1\n\tkxorw %%k7, %%k7, %%k7\n\tvzeroupper"
			 :
			 :
			 :);
}

#define STORED_AT 0x5000

/*
 * zmm1, zmm16 and zmm31, k1 and k7 to memory, and a stop; then they are filled with ones, and a stop. Then anew.
 */
static void guest_with_avx512(struct guest *g)
{
	struct kvm_xcrs x = {.nr_xcrs = 1, .xcrs = {{.value = ALL | AVX512}}};
	struct kvm_regs r;

	guest_open(g);
	tell_of_avx(g);
	GUEST_CODE(g, 0x62, 0xf1, 0x7c, 0x48, 0x11, 0x0b,    /* vmovups %zmm1, (%rbx) */
		0x62, 0xe1, 0x7c, 0x48, 0x11, 0x43, 0x01,    /* vmovups %zmm16, 64(%rbx) */
		0x62, 0x61, 0x7c, 0x48, 0x11, 0x7b, 0x02,    /* vmovups %zmm31, 128(%rbx) */
		0xc4, 0xe1, 0xf8, 0x91, 0x8b, 0xc0, 0, 0, 0, /* kmovq %k1, 192(%rbx) */
		0xc4, 0xe1, 0xf8, 0x91, 0xbb, 0xc8, 0, 0, 0, /* kmovq %k7, 200(%rbx) */
		0xf4,                                        /* hlt */
		0x62, 0xf3, 0x75, 0x48, 0x25, 0xc9, 0xff, /* vpternlogd $-1, %zmm1, %zmm1, %zmm1 */
		0x62, 0xa3, 0x7d, 0x40, 0x25, 0xc0, 0xff, /* of zmm16 */
		0x62, 0x03, 0x05, 0x40, 0x25, 0xff, 0xff, /* of zmm31 */
		0xc4, 0xe1, 0xf4, 0x46, 0xc9,             /* kxnorq %k1, %k1, %k1 */
		0xc4, 0xe1, 0xc4, 0x46, 0xff,             /* of k7 */
		0xf4, 0xeb, 0xb7);                        /* hlt; jmp back */
	long_mode(g);
	assert_int_equal(kvm_p(g->vcpu, KVM_SET_XCRS, &x), 0);
	r = regs_of(g);
	r.rbx = STORED_AT;
	assert_int_equal(kvm_p(g->vcpu, KVM_SET_REGS, &r), 0);
}

static bool stored_all(const struct guest *g, u8 value)
{
	const u8 *at = g->ram + STORED_AT - RAM_GPA;

	for (unsigned i = 0; i < 208; i++)
		if (at[i] != value)
			return false;
	return true;
}

/* KVM_GET_XSAVE: are the components of AVX-512 there, and do they say so? */
static u32 shown_states(const struct guest *g, struct image *i)
{
	assert_int_equal(kvm_p(g->vcpu, KVM_GET_XSAVE, i), 0);
	return get32(i, BV_AT);
}

/* What the program has in its registers is not the guest's, nor what another guest has left there. */
static void test_avx512_is_the_guests(void **state)
{
	struct guest one, two;
	struct image is;
	struct layout l = {{0}};

	no_emulators();
	if (!have_avx512(&l))
		skip();
	guest_with_avx512(&one);
	guest_with_avx512(&two);
	dirty_avx512();
	run_to(&one, KVM_EXIT_HLT);
	assert_true(stored_all(&one, 0));
	assert_int_equal(shown_states(&one, &is) & AVX512, 0);
	run_to(&one, KVM_EXIT_HLT); /* ones from now on */
	for (unsigned i = 0; i < 3; i++) {
		clean_avx512();
		run_to(&two, KVM_EXIT_HLT);
		assert_true(stored_all(&two, i ? 0xff : 0));
		dirty_avx512();
		run_to(&one, KVM_EXIT_HLT);
		assert_true(stored_all(&one, 0xff));
		run_to(&one, KVM_EXIT_HLT);
		run_to(&two, KVM_EXIT_HLT);
	}
	guest_close(&one);
	guest_close(&two);
}

/* Nor does the program find there what the guest has: zmm16 and above stay in use until somebody clears them. */
static void test_avx512_is_not_left(void **state)
{
	struct layout l = {{0}};
	u64 zmm31[8], k1;
	struct guest g;
	long r;

	no_emulators();
	if (UV_EAGER_FPU)
		print_message("skipped: under a sanitizer the C code in between uses vector "
			      "registers itself\n");
	if (UV_EAGER_FPU || !have_avx512(&l))
		skip();
	guest_with_avx512(&g);
	run_to(&g, KVM_EXIT_HLT);
	clean_avx512();
	r = kvm(g.vcpu, KVM_RUN, 0);
	__asm__ volatile("vmovups %%zmm31, %0\n\tkmovq %%k1, %1" : "=m"(zmm31), "=r"(k1));
	assert_int_equal(r, 0);
	assert_int_not_equal(zmm31[7], ~0ull);
	assert_int_not_equal(k1, ~0ull);
	guest_close(&g);
}

/* Through the image, to the guest and back, in the layout of CPUID leaf D. */
static void test_avx512_image(void **state)
{
	struct layout l = {{0}};
	struct image is, set;
	struct guest g;

	no_emulators();
	if (!have_avx512(&l))
		skip();
	guest_with_avx512(&g);
	run_to(&g, KVM_EXIT_HLT);
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal(shown_states(&g, &is) & AVX512, AVX512);
	assert_int_equal(is.b[l.offset[5] + 8], 0xff);            /* k1 */
	assert_int_equal(is.b[l.offset[5] + 16], 0);              /* k2 */
	assert_int_equal(is.b[l.offset[6] + 32 + 31], 0xff);      /* zmm1 */
	assert_int_equal(is.b[l.offset[7]], 0xff);                /* zmm16 */
	assert_int_equal(is.b[l.offset[7] + 64], 0);              /* zmm17 */
	assert_int_equal(is.b[l.offset[7] + 15 * 64 + 63], 0xff); /* zmm31 */
	for (u32 without = 0x20; without <= 0x80; without <<= 1) {
		set = is;
		put32(&set, BV_AT, get32(&is, BV_AT) & ~without);
		assert_int_equal(kvm_p(g.vcpu, KVM_SET_XSAVE, &set), 0);
		assert_int_equal(shown_states(&g, &set) & AVX512, AVX512 & ~without);
		for (unsigned i = 5; i < COMPONENTS; i++)
			for (unsigned at = 0; at < l.size[i]; at++)
				assert_int_equal(set.b[l.offset[i] + at],
					without >> i & 1 ? 0 : is.b[l.offset[i] + at]);
	}
	memset(is.b + l.offset[5], 0x77, 64);
	memset(is.b + XMM_AT + 16, 0x77, 16);
	memset(is.b + YMM_AT + 16, 0x77, 16);
	memset(is.b + l.offset[6], 0x77, l.size[6]);
	memset(is.b + l.offset[7], 0x77, l.size[7]);
	assert_int_equal(kvm_p(g.vcpu, KVM_SET_XSAVE, &is), 0);
	dirty_avx512();
	run_to(&g, KVM_EXIT_HLT);
	assert_true(stored_all(&g, 0x77));
	guest_close(&g);
}

/* All of AVX-512 or nothing, and not without AVX. */
static void test_avx512_is_enabled_whole(void **state)
{
	static const u32 bad[] = {0x27, 0x47, 0x87, 0x67, 0xa7, 0xc7, 0xe3};
	struct kvm_xcrs x = {.nr_xcrs = 1};
	struct layout l = {{0}};
	struct guest g;

	if (!have_avx512(&l))
		skip();
	guest_open(&g);
	tell_of_avx(&g);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		x.xcrs[0].value = bad[i];
		assert_int_equal(kvm_p(g.vcpu, KVM_SET_XCRS, &x), -EINVAL);
	}
	x.xcrs[0].value = ALL | AVX512;
	assert_int_equal(kvm_p(g.vcpu, KVM_SET_XCRS, &x), 0);
	memset(&x, 0, sizeof(x));
	assert_int_equal(kvm_p(g.vcpu, KVM_GET_XCRS, &x), 0);
	assert_int_equal(x.xcrs[0].value, ALL | AVX512);
	guest_close(&g);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_image),
		cmocka_unit_test(test_one_after_the_other),
		cmocka_unit_test(test_controls_of_the_host),
		cmocka_unit_test(test_guest_uses_x87),
		cmocka_unit_test(test_guest_uses_vectors),
		cmocka_unit_test(test_avx512_is_the_guests),
		cmocka_unit_test(test_avx512_is_not_left),
		cmocka_unit_test(test_avx512_image),
		cmocka_unit_test(test_avx512_is_enabled_whole),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
