/* SPDX-License-Identifier: MIT */
/*
 * What CPUID promises: nothing that the decoder does not know, nothing that is excluded, sizes that fit
 * together, and the bits that follow processor state.
 */
#include <cpuid.h>

#include "tests/unit/world/insns.h"
#include "engine/core/cpu.h"
#include "engine/cpu/cr.h"
#include "engine/cpuid/cpuid.h"
#include "engine/engine.h"
#include "engine/msr/msr.h"
#include "x86/insn.h"
#include "x86/regs.h"

static struct cpuid_entry table[256];
static unsigned count;

static void start_supported(void)
{
	start_long(0);
	count = engine_supported_cpuid(table, ARRAY_SIZE(table));
	assert_in_range(count, 10, 100); /* some VMMs have room for 100 */
	memcpy(w.cpu->cpuid, table, sizeof(table));
	w.cpu->cpuid_count = count;
	cpuid_changed(w.cpu);
}

enum { A, B, C, D };
static u32 reg(u32 leaf, u32 subleaf, unsigned r)
{
	u32 out[4];

	cpuid_read(w.cpu, leaf, subleaf, out);
	return out[r];
}

static bool host(u32 leaf, unsigned r, unsigned bit)
{
	u32 out[4];

	__cpuid_count(leaf, 0, out[A], out[B], out[C], out[D]);
	return out[r] >> bit & 1;
}

/* clang-format off */
static const struct {
	const char *name;
	u32 leaf;
	u8 reg, bit, len;
	u8 bytes[8];
} examples[] = {
	{"sse3", 1, C, 0, 4, {0x66, 0x0f, 0x7c, 0xc1}},
	{"pclmulqdq", 1, C, 1, 6, {0x66, 0x0f, 0x3a, 0x44, 0xc1, 0}},
	{"ssse3", 1, C, 9, 5, {0x66, 0x0f, 0x38, 0x00, 0xc1}},
	{"fma", 1, C, 12, 5, {0xc4, 0xe2, 0x75, 0x98, 0xc1}},
	{"cx16", 1, C, 13, 4, {0x48, 0x0f, 0xc7, 0x08}},
	{"sse4.1", 1, C, 19, 5, {0x66, 0x0f, 0x38, 0x17, 0xc1}},
	{"sse4.2", 1, C, 20, 6, {0x66, 0x0f, 0x3a, 0x63, 0xc1, 0}},
	{"movbe", 1, C, 22, 4, {0x0f, 0x38, 0xf0, 0x00}},
	{"popcnt", 1, C, 23, 4, {0xf3, 0x0f, 0xb8, 0xc1}},
	{"aes", 1, C, 25, 5, {0x66, 0x0f, 0x38, 0xdc, 0xc1}},
	{"xsave", 1, C, 26, 3, {0x0f, 0xae, 0x20}},
	{"avx", 1, C, 28, 4, {0xc5, 0xf4, 0x58, 0xc1}},
	{"f16c", 1, C, 29, 5, {0xc4, 0xe2, 0x7d, 0x13, 0xc1}},
	{"rdrand", 1, C, 30, 3, {0x0f, 0xc7, 0xf0}},
	{"bmi1", 7, B, 3, 5, {0xc4, 0xe2, 0x70, 0xf2, 0xc1}},
	{"avx2", 7, B, 5, 4, {0xc5, 0xf5, 0xfe, 0xc1}},
	{"bmi2", 7, B, 8, 5, {0xc4, 0xe2, 0x73, 0xf5, 0xc1}},
	{"invpcid", 7, B, 10, 5, {0x66, 0x0f, 0x38, 0x82, 0x00}},
	{"rdseed", 7, B, 18, 3, {0x0f, 0xc7, 0xf8}},
	{"adx", 7, B, 19, 5, {0x66, 0x0f, 0x38, 0xf6, 0xc1}},
	{"clac", 7, B, 20, 3, {0x0f, 0x01, 0xca}},
	{"clflushopt", 7, B, 23, 4, {0x66, 0x0f, 0xae, 0x38}},
	{"clwb", 7, B, 24, 4, {0x66, 0x0f, 0xae, 0x30}},
	{"sha", 7, B, 29, 4, {0x0f, 0x38, 0xc8, 0xc1}},
	{"gfni", 7, C, 8, 5, {0x66, 0x0f, 0x38, 0xcf, 0xc1}},
	{"gfni ymm", 7, C, 8, 5, {0xc4, 0xe2, 0x75, 0xcf, 0xc1}},
	{"vaes", 7, C, 9, 5, {0xc4, 0xe2, 0x75, 0xdc, 0xc1}},
	{"vpclmulqdq", 7, C, 10, 6, {0xc4, 0xe3, 0x75, 0x44, 0xc1, 0}},
	{"avx512f", 7, B, 16, 6, {0x62, 0xf1, 0x74, 0x48, 0x58, 0xc1}},
	{"avx512dq", 7, B, 17, 6, {0x62, 0xf1, 0x74, 0x48, 0x54, 0xc1}},
	{"avx512ifma", 7, B, 21, 6, {0x62, 0xf2, 0xf5, 0x48, 0xb4, 0xc1}},
	{"avx512cd", 7, B, 28, 6, {0x62, 0xf2, 0x7d, 0x48, 0x44, 0xc1}},
	{"avx512bw", 7, B, 30, 6, {0x62, 0xf1, 0x75, 0x48, 0xfc, 0xc1}},
	{"avx512vl", 7, B, 31, 6, {0x62, 0xf1, 0x74, 0x08, 0x58, 0xc1}},
	{"avx512vbmi", 7, C, 1, 6, {0x62, 0xf2, 0x75, 0x48, 0x8d, 0xc1}},
	{"avx512vbmi2", 7, C, 6, 6, {0x62, 0xf2, 0x7d, 0x48, 0x63, 0xc1}},
	{"gfni zmm", 7, C, 8, 6, {0x62, 0xf2, 0x75, 0x48, 0xcf, 0xc1}},
	{"vaes zmm", 7, C, 9, 6, {0x62, 0xf2, 0x75, 0x48, 0xdc, 0xc1}},
	{"vpclmulqdq zmm", 7, C, 10, 7, {0x62, 0xf3, 0x75, 0x48, 0x44, 0xc1, 0}},
	{"avx512vnni", 7, C, 11, 6, {0x62, 0xf2, 0x75, 0x48, 0x50, 0xc1}},
	{"avx512bitalg", 7, C, 12, 6, {0x62, 0xf2, 0x7d, 0x48, 0x54, 0xc1}},
	{"avx512vpopcntdq", 7, C, 14, 6, {0x62, 0xf2, 0x7d, 0x48, 0x55, 0xc1}},
	{"rdpid", 7, C, 22, 4, {0xf3, 0x0f, 0xc7, 0xf8}},
	{"lahf64", 0x80000001, C, 0, 1, {0x9f}},
	{"lzcnt", 0x80000001, C, 5, 4, {0xf3, 0x0f, 0xbd, 0xc1}},
	{"prefetchw", 0x80000001, C, 8, 3, {0x0f, 0x0d, 0x08}},
	{"mmxext", 0x80000001, D, 22, 3, {0x0f, 0xe7, 0x00}},
	{"rdtscp", 0x80000001, D, 27, 3, {0x0f, 0x01, 0xf9}},
	{"xsavec", 1, C, 26, 3, {0x0f, 0xc7, 0x20}},
};

struct bit {
	u32 leaf;
	u8 reg, bit;
};
static const struct bit never[] = {
	{1, C, 3 /* MONITOR */}, {1, C, 5 /* VMX */}, {1, C, 6 /* SMX */}, {1, C, 15 /* PDCM */},
	{7, B, 2 /* SGX */}, {7, B, 4 /* HLE */}, {7, B, 11 /* RTM */}, {7, B, 14 /* MPX */},
	{7, B, 26 /* AVX512PF */}, {7, B, 27 /* AVX512ER */}, {7, C, 3 /* PKU */},
	{7, C, 5 /* WAITPKG */}, {7, C, 7 /* CET_SS */}, {7, C, 16 /* LA57 */},
	{7, D, 2 /* 4VNNIW */}, {7, D, 3 /* 4FMAPS */}, {7, D, 8 /* VP2INTERSECT */}, {7, D, 23 /* FP16 */}, {7, D, 20 /* CET_IBT */}, {7, D, 22 /* AMX */}, {7, D, 24}, {7, D, 25},
	{0x80000001, C, 2 /* SVM */}, {0x80000001, C, 11 /* XOP */}, {0x80000001, C, 16 /* FMA4 */},
	{0x80000001, D, 25 /* FFXSR */}, {0x80000001, D, 31 /* 3DNow */},
};
static const struct bit always[] = {
	{1, C, 17 /* PCID */}, {1, C, 21 /* x2APIC */}, {1, C, 24 /* TSC_DEADLINE */},
	{1, C, 31 /* hypervisor */}, {1, D, 6 /* PAE */}, {1, D, 9 /* APIC */}, {1, D, 12 /* MTRR */},
	{7, B, 0 /* FSGSBASE */}, {7, B, 1 /* TSC_ADJUST */}, {7, B, 7 /* SMEP */},
	{7, B, 20 /* SMAP */}, {7, C, 2 /* UMIP */}, {0x80000001, D, 20 /* NX */},
	{0x80000001, D, 26 /* 1 GiB */}, {0x80000001, D, 29 /* LM */},
};
/* clang-format on */

static void offered_features_decode(void **state)
{
	unsigned offered = 0;

	start_supported();
	for (unsigned i = 0; i < ARRAY_SIZE(examples); i++) {
		struct insn in;
		if (!(reg(examples[i].leaf, 0, examples[i].reg) >> examples[i].bit & 1))
			continue;
		offered++;
		if (insn_decode(&in, examples[i].bytes, examples[i].len, 8) != INSN_OK ||
			in.desc->op == OP_UD)
			fail_msg("%s is offered but does not decode", examples[i].name);
		assert_int_equal(in.len, examples[i].len);
	}
	assert_true(offered > 20); /* any x86-64-v3 host */
}

static void excluded_features(void **state)
{
	start_supported();
	for (unsigned i = 0; i < ARRAY_SIZE(never); i++)
		if (reg(never[i].leaf, 0, never[i].reg) >> never[i].bit & 1)
			fail_msg("%x.%u bit %u", never[i].leaf, never[i].reg, never[i].bit);
	assert_int_equal(reg(0xa, 0, A), 0);
}

static void the_engines_own(void **state)
{
	start_supported();
	for (unsigned i = 0; i < ARRAY_SIZE(always); i++)
		assert_true(reg(always[i].leaf, 0, always[i].reg) >> always[i].bit & 1);
	assert_int_equal(reg(0x40000000, 0, B), 0x4b4d564b);
	assert_true(reg(0x40000001, 0, A) & BIT(3));
	assert_int_equal(reg(0x80000007, 0, D) >> 8 & 1, host(0x80000007, D, 8));
}

static bool has_leaf(u32 leaf)
{
	for (unsigned k = 0; k < count; k++)
		if (table[k].function == leaf)
			return true;
	return false;
}

static void vendor_and_leaves_that_clients_need(void **state)
{
	static const u32 needed[] = {0, 1, 6, 7, 0xa, 0xb, 0xd, 0x80000000, 0x80000001, 0x80000005,
		0x80000006, 0x80000008};
	u32 h[4];

	start_supported();
	__cpuid(0, h[A], h[B], h[C], h[D]);
	assert_int_equal(reg(0, 0, B), h[B]);
	assert_int_equal(reg(0, 0, C), h[C]);
	for (unsigned i = 0; i < ARRAY_SIZE(needed); i++)
		assert_true(has_leaf(needed[i]));
	if (h[C] == 0x444d4163) /* cAMD */
		assert_true(has_leaf(0x8000001d) && has_leaf(0x8000001e));
	assert_int_equal(table[1].function, 1); /* a client takes the second entry for leaf 1 */
}

/* Intel's: else Linux clears the branch history at each entry to its kernel, BHI_NO or not. */
static void history_is_kept_apart_by_a_bit(void **state)
{
	u32 h[4];

	start_supported();
	__cpuid(0, h[A], h[B], h[C], h[D]);
	if (h[C] == 0x6c65746e) { /* ntel */
		assert_int_equal(reg(7, 0, A), 2);
		assert_true(reg(7, 2, D) & BIT(4));
	} else {
		assert_in_range(reg(7, 0, A), 0, 1);
		assert_int_equal(reg(7, 2, D), 0);
	}
}

static void count_is_reported_whatever_the_room(void **state)
{
	struct cpuid_entry two[3] = {{0}, {0}, {.function = 0x5555}};

	start_supported();
	assert_int_equal(engine_supported_cpuid(two, 2), count);
	assert_int_equal(two[2].function, 0x5555);
	assert_memory_equal(two, table, 2 * sizeof(two[0]));
}

static void xsave_leaf(void **state)
{
	u32 states, end = 832;

	start_supported();
	states = reg(0xd, 0, A);
	assert_int_equal(states & ~0xe0u, 7);
	assert_true((states & 0xe0) == 0 || (states & 0xe0) == 0xe0);
	assert_int_equal(reg(0xd, 2, A) + reg(0xd, 2, B), 832);
	assert_int_equal(reg(0xd, 1, C), 0);
	assert_int_equal(reg(0xd, 3, A), 0);
	for (unsigned i = 5; i < 8; i++)
		end = MAX(end, reg(0xd, i, A) + reg(0xd, i, B));
	assert_int_equal(reg(0xd, 0, C), end);
	w.cpu->xcr0 = states;
	assert_int_equal(reg(0xd, 0, B), end);
	assert_int_equal(reg(0xd, 1, B), states == 7 ? 832 : 832 + 64 + 512 + 1024);
	w.cpu->xcr0 = 7;
	assert_int_equal(reg(0xd, 0, B), 832);
	assert_int_equal(reg(0xd, 1, B), 832);
	w.cpu->xcr0 = 3;
	assert_int_equal(reg(0xd, 0, B), 576);
	assert_int_equal(w.cpu->xcr0_allowed, states);
}

/* The parts of AVX-512 are there with its state, as the host has them; in the host's places. */
static void avx512_is_as_on_the_host(void **state)
{
	u32 h[4], low, high;

	start_supported();
	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	__cpuid_count(7, 0, h[A], h[B], h[C], h[D]);
	bool has = h[B] & BIT(16) && (low & 0xe6) == 0xe6;
	if (!has)
		print_message("this host has no AVX-512, so nobody has\n");
	assert_int_equal(reg(0xd, 0, A) & 0xe0, has ? 0xe0 : 0);
	assert_int_equal(reg(7, 0, B) & 0xd0230000, has ? h[B] & 0xd0230000 : 0);
	assert_int_equal(reg(7, 0, C) & 0x5842, has ? h[C] & 0x5842 : 0);
	for (unsigned i = 5; i < 8; i++) {
		__cpuid_count(0xd, i, h[A], h[B], h[C], h[D]);
		assert_int_equal(reg(0xd, i, A), has ? h[A] : 0);
		assert_int_equal(reg(0xd, i, B), has ? h[B] : 0);
		assert_int_equal(reg(0xd, i, C), 0);
	}
}

static void bits_that_follow_state(void **state)
{
	const struct cpuid_entry topology = {.function = 0xb,
		.index = 1,
		.flags = CPUID_INDEXED,
		.ebx = 1,
		.ecx = 0x201,
		.edx = 9};

	start_supported();
	w.cpu->id = 5; /* is the VMM's business */
	assert_int_equal(reg(1, 0, B) >> 24, 0);
	assert_int_equal(reg(0xb, 0, D), 0);
	assert_true(reg(1, 0, C) & BIT(27));
	w.cpu->cr4 &= ~CR4_OSXSAVE;
	assert_false(reg(1, 0, C) & BIT(27));
	assert_int_equal(reg(0xb, 7, C), 0);
	w.cpu->cpuid[w.cpu->cpuid_count++] = topology; /* the VMM's business as well */
	cpuid_changed(w.cpu);
	assert_int_equal(reg(0xb, 7, C), 7); /* an invalid level */
	assert_int_equal(reg(0xb, 7, D), 9);
	w.cpu->apic_own.base |= BIT(11);
	assert_true(reg(1, 0, D) & BIT(9));
	w.cpu->apic_own.base &= ~BIT64(11);
	assert_false(reg(1, 0, D) & BIT(9));
}

static void out_of_range_leaves(void **state)
{
	static const struct cpuid_entry small[] = {
		{.function = 0, .eax = 2, .ebx = 0x756e6547},
		{.function = 1, .eax = 0x111},
		{.function = 2, .eax = 0x222},
		{.function = 0x80000000, .eax = 0x80000001},
		{.function = 0x80000001, .eax = 0x333},
	};

	start_long(0);
	memcpy(w.cpu->cpuid, small, sizeof(small));
	w.cpu->cpuid_count = ARRAY_SIZE(small);
	assert_int_equal(reg(3, 0, A), 0x222);
	assert_int_equal(reg(0x80000002, 0, A), 0x222);
	assert_int_equal(reg(0x80000001, 0, A), 0x333);
	assert_int_equal(reg(0x40000000, 0, A), 0x222);
	w.cpu->cpuid[0].ebx = 0x68747541; /* AMD: zeroes */
	assert_int_equal(reg(3, 0, A), 0);
	w.cpu->cpuid_count = 0;
	assert_int_equal(reg(0, 0, A), 0);
}

static void cr4_follows_cpuid(void **state)
{
	start_supported();
	assert_true(w.cpu->cr4_allowed & CR4_SMAP);
	assert_false(w.cpu->cr4_allowed & CR4_LA57);
	for (unsigned i = 0; i < w.cpu->cpuid_count; i++)
		if (w.cpu->cpuid[i].function == 7)
			w.cpu->cpuid[i].ebx = 0;
	cpuid_changed(w.cpu);
	assert_false(w.cpu->cr4_allowed & (CR4_SMAP | CR4_SMEP | CR4_FSGSBASE));
	assert_true(w.cpu->cr4_allowed & CR4_UMIP);
	assert_in_range(w.cpu->phys_bits, 36, 52);
	w.cpu->cpuid_count = 0;
	w.cpu->host_xsave = false;
	cpuid_changed(w.cpu);
	assert_int_equal(w.cpu->phys_bits, 36);
	assert_int_equal(w.cpu->cr4_allowed & (CR4_SMAP | CR4_OSXSAVE), CR4_SMAP);
	w.cpu->host_xsave = true;
	cpuid_changed(w.cpu);
	assert_true(w.cpu->cr4_allowed & CR4_OSXSAVE);
}

/* Keys and shadow stacks that a VMM announces all the same: no instruction, control bit, state component or MSR has them. */
static void keys_and_shadow_stacks_are_absent(void **state)
{
	static const u8 code[][4] = {
		{0x0f, 0x01, 0xee, 0x90}, /* rdpkru */
		{0x0f, 0x01, 0xef, 0x90}, /* wrpkru */
		{0xf3, 0x0f, 0x01, 0xea}, /* saveprevssp */
	};
	static const u32 msrs[] = {0x6a0, 0x6a2, 0x6a4, 0x6a8, 0x6e1}; /* U_CET ... PKRS */
	struct insn in;
	u64 v;

	start_supported();
	for (unsigned i = 0; i < count; i++) {
		struct cpuid_entry *e = &w.cpu->cpuid[i];

		if (e->function == 7 && e->index == 0) {
			e->ecx |= BIT(3) | BIT(4) | BIT(7) | BIT(31); /* PKU OSPKE CET_SS PKS */
			e->edx |= BIT(20);                            /* CET_IBT */
		} else if (e->function == 0xd && e->index == 0) {
			e->eax |= BIT(9);
		}
	}
	cpuid_changed(w.cpu);
	for (unsigned bit = 22; bit <= 24; bit++) /* PKE CET PKS */
		assert_gp(cr_write(w.cpu, 4, w.cpu->cr4 | BIT(bit)));
	assert_int_equal(w.cpu->xcr0_allowed & ~0xe7ull, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(code); i++)
		assert_int_not_equal(insn_decode(&in, code[i], 4, 8), INSN_OK);
	for (unsigned i = 0; i < ARRAY_SIZE(msrs); i++)
		assert_gp(msr_read(w.cpu, msrs[i], &v));
}

static void instruction_reads_the_table(void **state)
{
	start_supported();
	for (unsigned i = 0; i < GPR_COUNT; i++)
		w.cpu->gpr[i] = ~0ull;
	w.cpu->gpr[RAX] = 0x40000000;
	assert_int_equal(EXEC(0x0f, 0xa2), CPU_OK);
	assert_int_equal(w.cpu->gpr[RBX], 0x4b4d564b);
	assert_int_equal(w.cpu->gpr[RAX], 0x40000001);
	w.cpu->msr.misc_features = 1;
	assert_int_equal(EXEC(0x0f, 0xa2), CPU_OK); /* faulting is for CPL 3 */
	start_long(3);
	w.cpu->msr.misc_features = 1;
	assert_gp(EXEC(0x0f, 0xa2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offered_features_decode),
		cmocka_unit_test(excluded_features),
		cmocka_unit_test(the_engines_own),
		cmocka_unit_test(vendor_and_leaves_that_clients_need),
		cmocka_unit_test(history_is_kept_apart_by_a_bit),
		cmocka_unit_test(count_is_reported_whatever_the_room),
		cmocka_unit_test(xsave_leaf),
		cmocka_unit_test(avx512_is_as_on_the_host),
		cmocka_unit_test(bits_that_follow_state),
		cmocka_unit_test(out_of_range_leaves),
		cmocka_unit_test(cr4_follows_cpuid),
		cmocka_unit_test(keys_and_shadow_stacks_are_absent),
		cmocka_unit_test(instruction_reads_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, processor_close);
}
