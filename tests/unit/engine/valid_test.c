/* SPDX-License-Identifier: MIT */
/*
 * One rule, whoever writes: a value is refused for the guest's instruction, for the VMM's request and for RSM alike. Where
 * KVM wants it otherwise the table says so, and engine/cpu/valid.c why.
 */
#include <errno.h>
#include <sys/mman.h>

#include "tests/unit/world/world.h"
#include "engine/engine.h"
#include "engine/exit.h"
#include "engine/irqchip.h"
#include "x86/regs.h"

#define SMBASE  0x30000u
#define HANDLER (SMBASE + 0x8000)
#define SAVE    (SMBASE + 0xfe00)
#define PML4    0x5000u

struct both {
	struct world w;
	u8 *smram;
};

/* The same, but without these bits of a leaf's EDX. */
static void give_cpuid_without(struct vcpu *v, u32 leaf, u32 edx)
{
	struct cpuid_entry e[256];
	unsigned n = engine_supported_cpuid(e, 256);

	for (unsigned i = 0; i < n; i++)
		if (e[i].function == leaf)
			e[i].edx &= ~edx;
	assert_int_equal(vcpu_set_cpuid(v, e, n), 0);
}

static void both_open(struct both *b)
{
	struct memslot_config c = {.id = SLOT_ID(1, 0), .size = RAM_BYTES};

	world_open(&b->w, IRQCHIP_NONE);
	b->smram =
		mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(b->smram != MAP_FAILED);
	c.hva = (u64)b->smram;
	assert_int_equal(machine_set_memslot(b->w.m, &c), 0);
	world_give_cpuid(b->w.v);
}

static void both_close(struct both *b)
{
	world_close(&b->w);
	munmap(b->smram, RAM_BYTES);
}

/* ---- where it starts ---- */

enum base { REAL, LONG };

static void set_flat(struct vcpu_state *s, u32 code_attr)
{
	for (unsigned i = 0; i <= SEG_GS; i++)
		s->seg[i] = (struct segment){.limit = 0xffffffff,
			.attr = i == SEG_CS ? code_attr : 0xc093,
			.selector = 8};
}

/* No IDT: whatever faults is a shutdown. */
static struct vcpu_state start_state(struct both *b, enum base base)
{
	const u64 pml4 = 0x2003, pdpt = 0x3003, pd = 0x83;
	struct vcpu_state s;

	world_put(&b->w, PML4, &pml4, 8);
	world_put(&b->w, 0x2000, &pdpt, 8);
	world_put(&b->w, 0x3000, &pd, 8);
	world_start(b->w.v, CODE);
	vcpu_get(b->w.v, ST_REGS | ST_SREGS | ST_DEBUG, &s);
	s.idt = (struct dtable){0};
	memset(s.dr, 0, sizeof(s.dr));
	s.dr[6] = DR6_FIXED;
	s.dr[7] = DR7_FIXED;
	s.cr3 = PML4;
	if (base == LONG) {
		set_flat(&s, 0xa09b);
		s.cr0 = CR0_PE | CR0_PG | CR0_ET;
		s.cr4 = CR4_PAE;
		s.efer = EFER_LME | EFER_LMA;
	} else {
		s.cr0 = CR0_ET;
		s.cr4 = s.efer = 0;
	}
	assert_int_equal(vcpu_set(b->w.v, ST_REGS | ST_SREGS | ST_DEBUG, &s), 0);
	return s;
}

/* ---- one value three ways ---- */

enum which { W_CR0, W_CR3, W_CR4, W_EFER, W_DR6, W_DR7, W_XCR0 };

/* Refused, accepted. */
enum outcome { R, A };

static const struct way {
	u8 code[3];
	u32 at; /* in the save area, APM 2 table 10-1; 0: not there */
	u32 group;
} ways[] = {
	[W_CR0] = {{0x0f, 0x22, 0xc0}, 0x158, ST_SREGS},
	[W_CR3] = {{0x0f, 0x22, 0xd8}, 0x150, ST_SREGS},
	[W_CR4] = {{0x0f, 0x22, 0xe0}, 0x148, ST_SREGS},
	[W_EFER] = {{0x0f, 0x30}, 0xd0, ST_SREGS},
	[W_DR6] = {{0x0f, 0x23, 0xf0}, 0x168, ST_DEBUG},
	[W_DR7] = {{0x0f, 0x23, 0xf8}, 0x160, ST_DEBUG},
	[W_XCR0] = {{0x0f, 0x01, 0xd1}, 0, ST_XCR},
};

static u64 *field(struct vcpu_state *s, enum which which)
{
	switch (which) {
	case W_CR0: return &s->cr0;
	case W_CR3: return &s->cr3;
	case W_CR4: return &s->cr4;
	case W_EFER: return &s->efer;
	case W_DR6: return &s->dr[6];
	case W_DR7: return &s->dr[7];
	default: return &s->xcr0;
	}
}

static u64 now(struct vcpu *v, enum which which)
{
	struct vcpu_state s;

	vcpu_get(v, ways[which].group, &s);
	return *field(&s, which);
}

/* One instruction, which ends in the debugger or, since there is no IDT, in shutdown. */
static enum outcome step(struct vcpu *v)
{
	u32 reason;

	assert_int_equal(vcpu_set_debug(v, DBG_SINGLESTEP, NULL), 0);
	assert_int_equal(vcpu_run(v, 0), 0);
	reason = vcpu_exit(v)->reason;
	assert_true(reason == EXIT_DEBUG || reason == EXIT_SHUTDOWN);
	assert_int_equal(vcpu_set_debug(v, 0, NULL), 0);
	return reason == EXIT_DEBUG ? A : R;
}

/* XSETBV needs OSXSAVE; ecx is 0 for it, and the MSR's number for WRMSR. */
static enum outcome by_guest(struct both *b, enum base base, enum which which, u64 value)
{
	struct vcpu_state s = start_state(b, base);

	world_put(&b->w, CODE, ways[which].code, sizeof(ways[which].code));
	s.gpr[RAX] = value;
	if (which == W_EFER || which == W_XCR0) {
		s.gpr[RDX] = value >> 32;
		s.gpr[RCX] = which == W_EFER ? 0xc0000080 : 0;
	}
	if (which == W_XCR0)
		s.cr4 |= CR4_OSXSAVE;
	assert_int_equal(vcpu_set(b->w.v, ST_REGS | ST_SREGS, &s), 0);
	return step(b->w.v);
}

static enum outcome by_vmm(struct both *b, enum base base, enum which which, u64 value)
{
	struct vcpu_state s = start_state(b, base);
	u64 before = now(b->w.v, which);
	int r;

	*field(&s, which) = value;
	r = vcpu_set(b->w.v, ways[which].group, &s);
	if (!r)
		return A;
	assert_int_equal(r, -EINVAL);
	assert_non_null(vcpu_refusal(b->w.v)->why);
	assert_int_equal(now(b->w.v, which), before);
	return R;
}

static enum outcome by_rsm(struct both *b, enum base base, enum which which, u64 value)
{
	static const u8 handler[] = {0xe6, 0x30, 0x0f, 0xaa}; /* out; rsm */

	start_state(b, base);
	WORLD_PUT(&b->w, CODE, 0x90, 0x90);
	memcpy(b->smram + HANDLER, handler, sizeof(handler));
	vcpu_smi(b->w.v);
	run_to(b->w.v, EXIT_IO_OUT);
	memcpy(b->smram + SAVE + ways[which].at, &value, sizeof(value));
	assert_int_equal(step(b->w.v), A); /* past the OUT */
	return step(b->w.v);
}

static const struct row {
	enum base base;
	enum which which;
	u64 value;
	enum outcome guest, vmm, rsm;
} rows[] = {
	{REAL, W_CR0, CR0_ET, A, A, A},
	{REAL, W_CR0, CR0_PG, R, R, R},
	{REAL, W_CR0, CR0_NW, R, R, R},
	{REAL, W_CR0, CR0_NW | CR0_CD, A, A, A},
	{LONG, W_CR0, CR0_PE | CR0_PG | BIT64(32), R, R, R},
	{LONG, W_CR0, CR0_PE | CR0_PG | CR0_NW, R, R, R},
	{LONG, W_CR0, CR0_PG, R, R, R},
	{LONG, W_CR0, CR0_PE | CR0_PG | CR0_TS, A, A, A},
	/* The VMM says LMA itself; RSM makes it what it must be; 64-bit code cannot leave its mode. */
	{LONG, W_CR0, CR0_PE, R, R, A},

	{LONG, W_CR3, BIT64(52) | PML4, R, R, R},
	{LONG, W_CR3, BIT64(51) | PML4, R, R, R},
	{LONG, W_CR3, PML4 | 0xfff, A, A, A},
	{LONG, W_CR3, CR3_NOFLUSH | PML4, R, A, A}, /* without PCIDE */
	{REAL, W_CR3, 0xfffffff0, A, A, A},

	{REAL, W_CR4, CR4_PAE, A, A, A},
	{REAL, W_CR4, BIT64(13), R, R, R},
	{REAL, W_CR4, BIT64(31), R, R, R},
	{REAL, W_CR4, CR4_LA57, R, R, R},
	{REAL, W_CR4, CR4_PCIDE, R, A, R}, /* KVM does not look */
	{LONG, W_CR4, 0, R, R, R},
	{LONG, W_CR4, CR4_PGE, R, R, R},
	{LONG, W_CR4, CR4_PAE | CR4_PCIDE | CR4_SMEP | CR4_UMIP, A, A, A},
	{LONG, W_CR4, CR4_PAE | CR4_LA57, R, R, R},
	{LONG, W_CR4, CR4_PAE | BIT64(22), R, R, R},
	{LONG, W_CR4, CR4_PAE | BIT64(32), R, R, R},

	{REAL, W_EFER, EFER_SCE | EFER_LME | EFER_NX, A, A, A},
	{REAL, W_EFER, BIT64(1), R, R, R},
	{REAL, W_EFER, EFER_FFXSR, R, R, R},
	{REAL, W_EFER, BIT64(12), R, R, R}, /* SVM */
	{REAL, W_EFER, BIT64(32), R, R, R},
	{REAL, W_EFER, EFER_LMA, A, R, A}, /* nobody's to write: ignored */
	{LONG, W_EFER, EFER_LME | EFER_LMA | EFER_NX, A, A, A},
	{LONG, W_EFER, EFER_LME, A, R, A},
	{LONG, W_EFER, EFER_NX, R, R, A}, /* not at once; CS.L without LMA; whole states may */

	{REAL, W_DR6, DR6_FIXED, A, A, A},
	{REAL, W_DR7, DR7_FIXED, A, A, A},
	{LONG, W_DR6, BIT64(32) | DR6_FIXED, R, R, A}, /* RSM drops it */
	{LONG, W_DR7, BIT64(32) | DR7_FIXED, R, R, A},
	{LONG, W_DR7, BIT64(63), R, R, A},
};

static void expect(const struct row *r, const char *who, enum outcome is, enum outcome want)
{
	if (is != want)
		fail_msg("row %d, register %d, 0x%lx, %s: %s", (int)(r - rows), r->which,
			(unsigned long)r->value, who, is == A ? "accepted" : "refused");
}

static void run_row(const struct row *r)
{
	struct both b;

	both_open(&b);
	expect(r, "guest", by_guest(&b, r->base, r->which, r->value), r->guest);
	expect(r, "VMM", by_vmm(&b, r->base, r->which, r->value), r->vmm);
	expect(r, "RSM", by_rsm(&b, r->base, r->which, r->value), r->rsm);
	both_close(&b);
}

static void test_three_ways(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		run_row(&rows[i]);
}

/* A VMM sets registers before CPUID; SMI and RSM keep what it has set. */
static void test_efer_before_cpuid(void **state)
{
	const u32 nx = BIT(20);
	struct both b;

	both_open(&b);
	give_cpuid_without(b.w.v, 0x80000001, nx);
	assert_int_equal(by_guest(&b, LONG, W_EFER, EFER_LME | EFER_NX), R);
	assert_int_equal(by_vmm(&b, LONG, W_EFER, EFER_LME | EFER_LMA | EFER_NX), A);
	assert_int_equal(by_rsm(&b, LONG, W_EFER, EFER_LME | EFER_LMA | EFER_NX), A);
	assert_int_equal(now(b.w.v, W_EFER), EFER_LME | EFER_LMA | EFER_NX);
	both_close(&b);
}

/* XCR0: every set of the first ten components, and the last. */
static void test_xcr0(void **state)
{
	struct both b;
	unsigned accepted = 0;

	both_open(&b);
	for (u64 v = 0; v < BIT64(10); v++) {
		enum outcome guest = by_guest(&b, REAL, W_XCR0, v);

		if (guest != by_vmm(&b, REAL, W_XCR0, v))
			fail_msg("xcr0 0x%lx: guest and VMM differ", (unsigned long)v);
		if (guest == A && (!(v & 1) || (v & 6) == 4 || v & ~0xe7ull ||
					  (v & 0xe0 && (v & 0xe6) != 0xe6)))
			fail_msg("xcr0 0x%lx is accepted", (unsigned long)v);
		accepted += guest == A;
	}
	/* x87, SSE; AVX and AVX-512 if the host has them */
	assert_in_range(accepted, 2, 4);
	assert_int_equal(by_guest(&b, REAL, W_XCR0, BIT64(63) | 1), R);
	assert_int_equal(by_vmm(&b, REAL, W_XCR0, BIT64(63) | 1), R);

	/* Without CPUID only the VMM may write the value after RESET. */
	assert_int_equal(vcpu_set_cpuid(b.w.v, NULL, 0), 0);
	assert_int_equal(by_guest(&b, REAL, W_XCR0, 1), R);
	assert_int_equal(by_vmm(&b, REAL, W_XCR0, 1), A);
	assert_int_equal(by_vmm(&b, REAL, W_XCR0, 3), R);
	both_close(&b);
}

/* What is left of reserved bits: nothing, but where the VMM sets them. */
static void test_reserved_bits(void **state)
{
	struct both b;

	both_open(&b);
	assert_int_equal(by_guest(&b, LONG, W_DR7, 0xffffffff), A);
	assert_int_equal(now(b.w.v, W_DR7), 0xffff27ff);
	assert_int_equal(by_rsm(&b, LONG, W_DR7, 0xffffffff), A);
	assert_int_equal(now(b.w.v, W_DR7), 0xffff27ff);
	assert_int_equal(by_vmm(&b, LONG, W_DR7, 0xffffffff), A);
	assert_int_equal(now(b.w.v, W_DR7), 0xffffffff);

	assert_int_equal(by_guest(&b, LONG, W_DR6, 0xffffffff), A);
	assert_int_equal(now(b.w.v, W_DR6), 0xffffeffful);
	assert_int_equal(by_rsm(&b, LONG, W_DR6, 0), A);
	assert_int_equal(now(b.w.v, W_DR6), DR6_FIXED);

	assert_int_equal(by_guest(&b, LONG, W_CR0, CR0_PE | CR0_PG | BIT64(6)), A);
	assert_int_equal(now(b.w.v, W_CR0), CR0_PE | CR0_PG | CR0_ET);
	assert_int_equal(by_rsm(&b, LONG, W_CR0, CR0_PE | CR0_PG | BIT64(6)), A);
	assert_int_equal(now(b.w.v, W_CR0), CR0_PE | CR0_PG | CR0_ET);
	both_close(&b);
}

/* An exception that cannot be is no event. */
static void test_exceptions(void **state)
{
	static const struct {
		u8 vector;
		bool injected, pending;
		int r;
	} events[] = {
		{13, true, false, 0},
		{3, false, true, 0},
		{13, true, true, -EINVAL},
		{2, true, false, -EINVAL},
		{2, false, true, -EINVAL},
		{32, true, false, -EINVAL},
		{255, false, false, 0},
	};
	struct vcpu_state s;
	struct both b;

	both_open(&b);
	for (unsigned i = 0; i < ARRAY_SIZE(events); i++) {
		vcpu_get(b.w.v, ST_EVENT, &s);
		s.events.exception.vector = events[i].vector;
		s.events.exception.injected = events[i].injected;
		s.events.exception.pending = events[i].pending;
		assert_int_equal(vcpu_set(b.w.v, ST_EVENT, &s), events[i].r);
	}
	both_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_three_ways),
		cmocka_unit_test(test_efer_before_cpuid),
		cmocka_unit_test(test_xcr0),
		cmocka_unit_test(test_reserved_bits),
		cmocka_unit_test(test_exceptions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
