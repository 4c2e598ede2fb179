/* SPDX-License-Identifier: MIT */
/*
 * The CPUID that a guest may be given: what the host CPU executes and the decoder knows, plus what
 * the engine does by itself whatever the host can do. One mask a register, a bit a line of names.
 *
 * Not offered, although a host may have it: FP16 and VP2INTERSECT of AVX-512, AMX, MPX, PKU, CET, TSX, SGX, VMX, SVM, LA57,
 * MONITOR, performance counters. Outer code: executes the cpuid instruction.
 */
#include <cpuid.h>

#include "base/hostcpu.h"
#include "engine/cpuid/cpuid.h"
#include "engine/engine.h"
#include "engine/core/xsave.h"
#include "x86/kvm_guest.h"

struct cpuid_regs {
	u32 eax, ebx, ecx, edx;
};

static struct cpuid_regs host_cpuid(u32 leaf, u32 subleaf)
{
	struct cpuid_regs r;

	__cpuid_count(leaf, subleaf, r.eax, r.ebx, r.ecx, r.edx);
	return r;
}

/* ---- masks: passed on if the host has it; forced: the engine's own ---- */

#define LEAF1_ECX_HOST                                                                             \
	(BIT(0) /* SSE3 */ | BIT(1) /* PCLMULQDQ */ | BIT(9) /* SSSE3 */ | BIT(12) /* FMA */ |     \
		BIT(13) /* CX16 */ | BIT(19) /* SSE4.1 */ | BIT(20) /* SSE4.2 */ |                 \
		BIT(22) /* MOVBE */ | BIT(23) /* POPCNT */ | BIT(25) /* AES */ |                   \
		BIT(26) /* XSAVE */ | BIT(28) /* AVX */ | BIT(29) /* F16C */ |                     \
		BIT(30) /* RDRAND */)
#define LEAF1_ECX_FORCED                                                                           \
	(BIT(17) /* PCID */ | BIT(21) /* x2APIC */ | BIT(24) /* TSC_DEADLINE */ |                  \
		BIT(31) /* hypervisor */)
#define LEAF1_EDX_HOST                                                                             \
	(BIT(0) /* FPU */ | BIT(8) /* CX8 */ | BIT(15) /* CMOV */ | BIT(19) /* CLFSH */ |          \
		BIT(23) /* MMX */ | BIT(24) /* FXSR */ | BIT(25) /* SSE */ | BIT(26) /* SSE2 */)
#define LEAF1_EDX_FORCED                                                                           \
	(BIT(1) /* VME */ | BIT(2) /* DE */ | BIT(3) /* PSE */ | BIT(4) /* TSC */ |                \
		BIT(5) /* MSR */ | BIT(6) /* PAE */ | BIT(7) /* MCE */ | BIT(9) /* APIC */ |       \
		BIT(11) /* SEP */ | BIT(12) /* MTRR */ | BIT(13) /* PGE */ | BIT(14) /* MCA */ |   \
		BIT(16) /* PAT */ | BIT(17) /* PSE36 */)

#define LEAF7_EBX_HOST                                                                             \
	(BIT(3) /* BMI1 */ | BIT(5) /* AVX2 */ | BIT(8) /* BMI2 */ | BIT(9) /* ERMS */ |           \
		BIT(16) /* AVX512F */ | BIT(17) /* AVX512DQ */ | BIT(18) /* RDSEED */ |            \
		BIT(19) /* ADX */ | BIT(21) /* AVX512_IFMA */ | BIT(23) /* CLFLUSHOPT */ |         \
		BIT(24) /* CLWB */ | BIT(28) /* AVX512CD */ | BIT(29) /* SHA */ |                  \
		BIT(30) /* AVX512BW */ | BIT(31) /* AVX512VL */)
/* FDP_EXCPTN_ONLY, ZERO_FCS_FDS: so on every host (x87ptr.c). */
#define LEAF7_EBX_FORCED                                                                           \
	(BIT(0) /* FSGSBASE */ | BIT(1) /* TSC_ADJUST */ | BIT(6) /* FDP_EXCPTN_ONLY */ |          \
		BIT(7) /* SMEP */ | BIT(10) /* INVPCID */ | BIT(13) /* ZERO_FCS_FDS */ |           \
		BIT(20) /* SMAP */)
#define LEAF7_ECX_HOST                                                                             \
	(BIT(1) /* AVX512_VBMI */ | BIT(6) /* AVX512_VBMI2 */ | BIT(8) /* GFNI */ |                \
		BIT(9) /* VAES */ | BIT(10) /* VPCLMULQDQ */ | BIT(11) /* AVX512_VNNI */ |         \
		BIT(12) /* AVX512_BITALG */ | BIT(14) /* AVX512_VPOPCNTDQ */)
#define LEAF7_ECX_FORCED  (BIT(2) /* UMIP */ | BIT(22) /* RDPID */)
#define LEAF7_EDX_HOST    (BIT(4) /* FSRM */)
#define LEAF7_EDX_FORCED  (BIT(26) /* SPEC_CTRL */ | BIT(29) /* ARCH_CAPABILITIES */)
/* The guest's kernel switches this on, which costs nothing here, instead of clearing the history by itself. */
#define LEAF7_2_EDX_INTEL BIT(4) /* BHI_CTRL */
#define LEAF7_1_EAX_HOST                                                                           \
	(BIT(5) /* AVX512_BF16 */ | BIT(10) /* FZRM */ | BIT(11) /* FSRS */ | BIT(12) /* FSRC */)
/* Those of AVX-512 in these: not where the host's kernel has not enabled its state. */
#define AVX512_7_EBX   (BIT(16) | BIT(17) | BIT(21) | BIT(28) | BIT(30) | BIT(31))
#define AVX512_7_ECX   (BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14))
#define AVX512_7_1_EAX BIT(5)

/* The engine does all forms by itself (ops_fpustate.c). */
#define LEAFD_1_EAX                                                                                \
	(BIT(0) /* XSAVEOPT */ | BIT(1) /* XSAVEC */ | BIT(2) /* XGETBV1 */ | BIT(3) /* XSAVES */)

#define KVM_FEATURES                                                                               \
	(PV_CLOCK | PV_NOP_IO_DELAY | PV_CLOCK2 | PV_ASYNC_PF | PV_STEAL_TIME | PV_EOI |           \
		PV_UNHALT | PV_SEND_IPI | PV_POLL_CONTROL | PV_SCHED_YIELD | PV_ASYNC_PF_INT |     \
		PV_CLOCK_STABLE)

#define EXT1_ECX_HOST    (BIT(0) /* LAHF64 */ | BIT(5) /* LZCNT */ | BIT(8) /* PREFETCHW */)
#define EXT1_ECX_TOPOEXT BIT(22)
#define EXT1_EDX_FORCED                                                                            \
	(BIT(11) /* SYSCALL */ | BIT(20) /* NX */ | BIT(26) /* 1 GiB pages */ |                    \
		BIT(27) /* RDTSCP */ | BIT(29) /* LM */)
#define EXT1_EDX_AMD_COPY 0x183f3ffu /* AMD repeats these bits of leaf 1 */
#define EXT7_EDX_HOST     (BIT(8) /* invariant TSC */)
#define EXT8_EBX_HOST     (BIT(2) /* XSAVEERPTR */ | BIT(26) /* SSB_NO */ | BIT(29) /* BTC_NO */)
#define EXT21_EAX_HOST    (BIT(2) /* LFENCE serialises */ | BIT(6) /* null selectors clear the base */)
/* As ARCH_CAPABILITIES in msr.c: tell the guest to spare its work-arounds. */
#define EXT21_EAX_FORCED  (BIT(8) /* automatic IBRS */ | BIT(29) /* SRSO_NO */)
#define EXT21_ECX_FORCED  (BIT(1) /* TSA_SQ_NO */ | BIT(2) /* TSA_L1_NO */)

#define MAX_BASIC     0x16u /* 15h, 16h: TSC frequency; the guest's TSC is the host's */
#define MAX_EXT_INTEL 0x80000008u
#define MAX_EXT_AMD   0x80000021u

/* ---- the table under construction ---- */

struct list {
	struct cpuid_entry *e;
	unsigned n, room;
	bool amd;
};

static void add(struct list *l, u32 leaf, u32 subleaf, u32 flags, struct cpuid_regs r)
{
	if (l->n < l->room)
		l->e[l->n] = (struct cpuid_entry){.function = leaf,
			.index = subleaf,
			.flags = flags,
			.eax = r.eax,
			.ebx = r.ebx,
			.ecx = r.ecx,
			.edx = r.edx};
	l->n++;
}

static void add_plain(struct list *l, u32 leaf, struct cpuid_regs r)
{
	add(l, leaf, 0, 0, r);
}

static void add_indexed(struct list *l, u32 leaf, u32 subleaf, struct cpuid_regs r)
{
	add(l, leaf, subleaf, CPUID_INDEXED, r);
}

/* Cache descriptors 4 and 8000001D: as the host's, up to the first empty one. One thread shares. */
static void add_caches(struct list *l, u32 leaf)
{
	for (u32 i = 0; i < 16; i++) {
		struct cpuid_regs r = host_cpuid(leaf, i);
		r.eax &= 0x3fff; /* type, level, attributes; without the sharing counts */
		add_indexed(l, leaf, i, r);
		if (!(r.eax & 31))
			break;
	}
}

static struct cpuid_regs leaf1(void)
{
	struct cpuid_regs h = host_cpuid(1, 0);

	return (struct cpuid_regs){
		.eax = h.eax,
		.ebx = (h.ebx & 0xff00) | 1 << 16, /* cache line size, one logical processor */
		.ecx = (h.ecx & LEAF1_ECX_HOST) | LEAF1_ECX_FORCED,
		.edx = (h.edx & LEAF1_EDX_HOST) | LEAF1_EDX_FORCED,
	};
}

struct xstate_place xstate_of_host(void)
{
	struct xstate_place p = {.features = host_xcr0() & XSTATE_OFFERED};

	if ((p.features & XSTATE_AVX512) != XSTATE_AVX512)
		p.features &= ~XSTATE_AVX512;
	for (unsigned i = XS_AVX; i < XS_COUNT; i++)
		if (p.features & BIT64(i))
			p.offset[i] = (u16)host_cpuid(0xd, i).ebx;
	uv_assert(xsave_size(&p, p.features) <= XSAVE_BYTES); /* no processor has it elsewhere */
	return p;
}

/* Leaf 7 and its subleaf 1 of the host. */
static void host_leaf7(struct cpuid_regs *h, struct cpuid_regs *h1)
{
	*h = host_cpuid(7, 0);
	*h1 = host_cpuid(7, 1);
	if (xstate_of_host().features & XSTATE_AVX512)
		return;
	h->ebx &= ~AVX512_7_EBX;
	h->ecx &= ~AVX512_7_ECX;
	h1->eax &= ~AVX512_7_1_EAX;
}

static void add_leaf7(struct list *l)
{
	struct cpuid_regs h, h1;

	host_leaf7(&h, &h1);
	add_indexed(l, 7, 0,
		(struct cpuid_regs){
			.eax = l->amd ? MIN(h.eax, 1u) : 2,
			.ebx = (h.ebx & LEAF7_EBX_HOST) | LEAF7_EBX_FORCED,
			.ecx = (h.ecx & LEAF7_ECX_HOST) | LEAF7_ECX_FORCED,
			.edx = (h.edx & LEAF7_EDX_HOST) | LEAF7_EDX_FORCED,
		});
	if (h.eax)
		add_indexed(l, 7, 1, (struct cpuid_regs){.eax = h1.eax & LEAF7_1_EAX_HOST});
	if (!l->amd)
		add_indexed(l, 7, 2, (struct cpuid_regs){.edx = LEAF7_2_EDX_INTEL});
}

/*
 * None: VMMs write the real one. Any that is handed on as it is would give every vcpu the same x2APIC id, and subleaf 1 says
 * that there is one (SDM 2, "CPUID", leaf 0Bh). Linux since 6.2 does the same.
 */
static void add_topology(struct list *l)
{
	add_indexed(l, 0xb, 0, (struct cpuid_regs){0});
}

static void add_xsave(struct list *l)
{
	struct xstate_place p = xstate_of_host();
	u32 features = (u32)p.features, size = xsave_size(&p, features);

	add_indexed(l, 0xd, 0, (struct cpuid_regs){.eax = features, .ebx = size, .ecx = size});
	add_indexed(l, 0xd, 1,
		(struct cpuid_regs){
			.eax = LEAFD_1_EAX, .ebx = xsave_compact_offset(features, XS_COUNT)});
	for (unsigned i = XS_AVX; i < XS_COUNT; i++)
		if (features & BIT64(i))
			add_indexed(l, 0xd, i,
				(struct cpuid_regs){.eax = xstate_size(i), .ebx = p.offset[i]});
}

static void add_basic(struct list *l)
{
	struct cpuid_regs zero = {0}, h0 = host_cpuid(0, 0);
	u32 max = MAX(MIN(h0.eax, MAX_BASIC), 0xdu);

	h0.eax = max;
	add_plain(l, 0, h0);
	add_plain(l, 1, leaf1());
	if (!l->amd) {
		add_plain(l, 2, host_cpuid(2, 0));
		add_caches(l, 4);
	}
	add_plain(l, 5, zero);
	add_plain(l, 6, (struct cpuid_regs){.eax = BIT(2)}); /* the APIC timer never stops */
	add_leaf7(l);
	add_plain(l, 0xa, zero);
	add_topology(l);
	add_xsave(l);
	for (u32 leaf = 0x15; leaf <= max; leaf++)
		add_plain(l, leaf, host_cpuid(leaf, 0));
}

static void add_kvm(struct list *l)
{
	add_plain(l, 0x40000000,
		(struct cpuid_regs){
			.eax = 0x40000001, .ebx = 0x4b4d564b, .ecx = 0x564b4d56, .edx = 0x4d});
	add_plain(l, 0x40000001, (struct cpuid_regs){.eax = KVM_FEATURES});
}

static struct cpuid_regs extended1(bool amd)
{
	struct cpuid_regs h = host_cpuid(0x80000001, 0);
	u32 copy = amd ? leaf1().edx & EXT1_EDX_AMD_COPY : 0;

	return (struct cpuid_regs){
		.eax = amd ? h.eax : 0,
		.ebx = amd ? h.ebx & 0xf0000000u : 0, /* package type */
		.ecx = (h.ecx & EXT1_ECX_HOST) | (amd ? EXT1_ECX_TOPOEXT : 0),
		.edx = EXT1_EDX_FORCED | copy | (amd ? h.edx & BIT(22) /* MMXEXT */ : 0),
	};
}

static struct cpuid_regs extended8(void)
{
	struct cpuid_regs h = host_cpuid(0x80000008, 0);

	return (struct cpuid_regs){.eax = (h.eax & 0xff) | 48 << 8, .ebx = h.ebx & EXT8_EBX_HOST};
}

static void add_extended_amd(struct list *l, u32 max)
{
	add_plain(l, 0x80000019, host_cpuid(0x80000019, 0)); /* TLB sizes, FP hints */
	add_plain(l, 0x8000001a, host_cpuid(0x8000001a, 0));
	add_caches(l, 0x8000001d);
	add_plain(l, 0x8000001e, (struct cpuid_regs){0});
	if (max >= 0x80000021)
		add_plain(l, 0x80000021,
			(struct cpuid_regs){
				.eax = (host_cpuid(max, 0).eax & EXT21_EAX_HOST) | EXT21_EAX_FORCED,
				.ecx = EXT21_ECX_FORCED,
			});
}

static void add_extended(struct list *l)
{
	struct cpuid_regs h = host_cpuid(0x80000000, 0);
	u32 max = MIN(h.eax, l->amd ? MAX_EXT_AMD : MAX_EXT_INTEL);

	h.eax = max;
	add_plain(l, 0x80000000, h);
	add_plain(l, 0x80000001, extended1(l->amd));
	for (u32 leaf = 0x80000002; leaf <= 0x80000006; leaf++) /* brand string, caches */
		add_plain(l, leaf, host_cpuid(leaf, 0));
	add_plain(l, 0x80000007,
		(struct cpuid_regs){.edx = host_cpuid(0x80000007, 0).edx & EXT7_EDX_HOST});
	add_plain(l, 0x80000008, extended8());
	if (max >= 0x8000001e)
		add_extended_amd(l, max);
}

unsigned engine_supported_cpuid(struct cpuid_entry *ret, unsigned n)
{
	u32 vendor = host_cpuid(0, 0).ebx;
	struct list l = {.e = ret, .room = n};

	l.amd = vendor == 0x68747541 || vendor == 0x6f677948;
	add_basic(&l);
	add_kvm(&l);
	add_extended(&l);
	return l.n;
}
