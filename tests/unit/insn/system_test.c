/* SPDX-License-Identifier: MIT */
/* Control and debug registers, interrupt flag, tables, invalidation, time: a table for each family. */
#include "tests/unit/world/insns.h"
#include "engine/core/cpu.h"
#include "engine/cpu/cr.h"
#include "engine/cpu/mode.h"
#include "engine/engine.h"
#include "engine/exit.h"
#include "x86/regs.h"

/* ---- CR0 ---- */

static void cr0_rules(void **state)
{
	static const struct {
		u64 value;
		bool ok;
	} cases[] = {
		{CR0_PE | CR0_PG, true}, {CR0_PG, false}, /* paging without protection */
		{CR0_PE | CR0_PG | CR0_NW, false},        /* NW without CD */
		{CR0_PE | CR0_PG | CR0_NW | CR0_CD, true}, {CR0_PE | CR0_PG | BIT64(32), false},
		{CR0_PE | CR0_PG | BIT64(6), true}, /* reserved, ignored */
		{CR0_PE, false},                    /* cannot leave paging from 64-bit code */
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		start_long(0);
		u64 old = w.cpu->cr0;
		w.cpu->gpr[RAX] = cases[i].value;
		int r = EXEC(0x0f, 0x22, 0xc0);
		if (!cases[i].ok) {
			assert_gp(r);
			assert_int_equal(w.cpu->cr0, old);
			continue;
		}
		assert_int_equal(r, CPU_OK);
		assert_int_equal(w.cpu->cr0, (cases[i].value | CR0_ET) & ~BIT64(6));
	}
}

static void entering_and_leaving_long_mode(void **state)
{
	start_protected(0);
	w.cpu->efer = EFER_LME;
	w.cpu->gpr[RAX] = CR0_PE | CR0_PG;
	assert_gp(EXEC(0x0f, 0x22, 0xc0)); /* LME needs PAE */
	assert_int_equal(w.cpu->efer, EFER_LME);
	w.cpu->cr4 = CR4_PAE;
	assert_int_equal(EXEC(0x0f, 0x22, 0xc0), CPU_OK);
	assert_int_equal(w.cpu->efer, EFER_LME | EFER_LMA);
	assert_int_equal(w.cpu->code_size, 4); /* compatibility mode */
	assert_true(seen.flush_all > 0);
	w.cpu->gpr[RAX] = CR0_PE;
	w.cpu->cr4 |= CR4_PCIDE;
	assert_gp(EXEC(0x0f, 0x22, 0xc0));
	w.cpu->cr4 &= ~CR4_PCIDE;
	assert_int_equal(EXEC(0x0f, 0x22, 0xc0), CPU_OK);
	assert_int_equal(w.cpu->efer, EFER_LME);
}

static void wp_flushes_ts_does_not(void **state)
{
	start_long(0);
	assert_int_equal(cr_write(w.cpu, 0, w.cpu->cr0 | CR0_TS), CPU_OK);
	assert_int_equal(seen.flush_all, 0);
	assert_int_equal(EXEC(0x0f, 0x06), CPU_OK); /* clts */
	assert_false(w.cpu->cr0 & CR0_TS);
	assert_int_equal(cr_write(w.cpu, 0, w.cpu->cr0 & ~(u64)CR0_WP), CPU_OK);
	assert_int_equal(seen.flush_all, 1);
	assert_int_equal(cr_write(w.cpu, 0, w.cpu->cr0 | CR0_WP), CPU_OK);
	assert_int_equal(seen.flush_all, 2);
}

static void pdptes_are_checked(void **state)
{
	start_protected(0);
	w.cpu->cr4 = CR4_PAE;
	w.cpu->cr3 = DATA + 0x20;
	poke(DATA + 0x20, 0x5001, 8);
	poke(DATA + 0x28, BIT64(1) | 1, 8); /* reserved bit in a present entry */
	w.cpu->gpr[RAX] = CR0_PE | CR0_PG;
	assert_gp(EXEC(0x0f, 0x22, 0xc0));
	poke(DATA + 0x28, BIT64(1), 8); /* not present: anything goes */
	assert_int_equal(EXEC(0x0f, 0x22, 0xc0), CPU_OK);
	poke(DATA + 0x38, BIT64(45) | 1, 8); /* above the physical width */
	w.cpu->gpr[RAX] = DATA + 0x20;
	assert_gp(EXEC(0x0f, 0x22, 0xd8));
	w.cpu->gpr[RAX] = WORLD_SIZE; /* no memory there */
	assert_gp(EXEC(0x0f, 0x22, 0xd8));
}

/* ---- CR3, CR4, CR8 ---- */

static void cr3_rules(void **state)
{
	start_long(0);
	w.cpu->gpr[RAX] = BIT64(40); /* phys_bits is 40 */
	assert_gp(EXEC(0x0f, 0x22, 0xd8));
	w.cpu->gpr[RAX] = CR3_NOFLUSH | 0x5000;
	assert_gp(EXEC(0x0f, 0x22, 0xd8));
	w.cpu->cr4 |= CR4_PCIDE;
	assert_int_equal(EXEC(0x0f, 0x22, 0xd8), CPU_OK);
	assert_int_equal(w.cpu->cr3, 0x5000);
	assert_int_equal(seen.flush_nonglobal, 1);
	assert_int_equal(EXEC(0x0f, 0x20, 0xdb), CPU_OK); /* mov rbx, cr3 */
	assert_int_equal(w.cpu->gpr[RBX], 0x5000);
}

static void cr4_rules(void **state)
{
	static const struct {
		u64 set, clear, cr3;
		bool ok, flush;
	} cases[] = {
		{CR4_PGE, 0, 0, true, true},
		{CR4_TSD, 0, 0, true, false},
		{0, CR4_PAE, 0, false, false},  /* needed in IA-32e mode */
		{CR4_LA57, 0, 0, false, false}, /* not offered */
		{BIT64(40), 0, 0, false, false},
		{CR4_PCIDE, 0, 0, true, true},
		{CR4_PCIDE, 0, 1, false, false}, /* CR3 must name PCID 0 then */
		{CR4_SMAP | CR4_SMEP, 0, 0, true, true},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		start_long(0);
		u64 old = w.cpu->cr4, value = (old | cases[i].set) & ~cases[i].clear;
		w.cpu->cr3 = cases[i].cr3;
		w.cpu->gpr[RAX] = value;
		int r = EXEC(0x0f, 0x22, 0xe0);
		if (cases[i].ok)
			assert_int_equal(r, CPU_OK);
		else
			assert_gp(r);
		assert_int_equal(w.cpu->cr4, cases[i].ok ? value : old);
		assert_int_equal(seen.flush_all > 0, cases[i].flush);
	}
	start_protected(0); /* PCIDE only in IA-32e mode */
	assert_gp(cr_write(w.cpu, 4, CR4_PCIDE));
	w.cpu->cr4_allowed = CR4_PAE; /* CPUID decides */
	assert_gp(cr_write(w.cpu, 4, CR4_SMEP));
}

static void cr8_rules(void **state)
{
	start_long(0);
	w.cpu->gpr[RAX] = 16;
	assert_gp(EXEC(0x44, 0x0f, 0x22, 0xc0));
	w.cpu->gpr[RAX] = 9;
	assert_int_equal(EXEC(0x44, 0x0f, 0x22, 0xc0), CPU_OK);
	assert_int_equal(w.cpu->apic_own.cr8, 9);
	assert_int_equal(w.cpu->exit.reason, EXIT_NONE);
	assert_int_equal(EXEC(0x44, 0x0f, 0x20, 0xc3), CPU_OK);
	assert_int_equal(w.cpu->gpr[RBX], 9);
	w.cpu->gpr[RAX] = 8; /* who has the local APIC is told */
	assert_int_equal(EXEC(0x44, 0x0f, 0x22, 0xc0), CPU_OK);
	assert_int_equal(w.cpu->apic_own.cr8, 8);
	assert_int_equal(w.cpu->exit.reason, EXIT_SET_TPR);
}

static void machine_status_word(void **state)
{
	start_protected(0);
	w.cpu->gpr[RAX] = 0xfff0 | 8; /* TS; PE cannot be cleared */
	assert_int_equal(EXEC(0x0f, 0x01, 0xf0), CPU_OK);
	assert_int_equal(w.cpu->cr0, CR0_PE | CR0_TS | CR0_ET);
	w.cpu->gpr[RBX] = ~0ull;
	assert_int_equal(EXEC(0x66, 0x0f, 0x01, 0xe3), CPU_OK);
	assert_int_equal(w.cpu->gpr[RBX], 0xffffffffffff0000 | (w.cpu->cr0 & 0xffff));
	start_long(3);
	assert_int_equal(EXEC(0x0f, 0x01, 0xe3), CPU_OK);
	w.cpu->cr4 |= CR4_UMIP;
	assert_gp(EXEC(0x0f, 0x01, 0xe3));
	w.cpu->gpr[RAX] = DATA;
	assert_gp(EXEC(0x0f, 0x01, 0x00)); /* sgdt */
	assert_gp(EXEC(0x0f, 0x01, 0x08)); /* sidt */
}

static void xsetbv_rules(void **state)
{
	static const struct {
		u32 ecx;
		u64 value;
		bool ok;
	} cases[] = {{0, 7, true}, {0, 3, true}, {0, 1, true}, {0, 0, false}, {0, 5, false},
		{0, 0xf, false}, {1, 7, false}};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		start_long(0);
		w.cpu->gpr[RCX] = cases[i].ecx;
		w.cpu->gpr[RAX] = cases[i].value;
		int r = EXEC(0x0f, 0x01, 0xd1);
		if (cases[i].ok)
			assert_int_equal(w.cpu->xcr0, cases[i].value);
		else
			assert_gp(r);
	}
	start_long(3);
	w.cpu->gpr[RAX] = 7;
	assert_gp(EXEC(0x0f, 0x01, 0xd1));
	w.cpu->cr4 &= ~CR4_OSXSAVE;
	assert_ud(EXEC(0x0f, 0x01, 0xd0)); /* xgetbv */
}

/* ---- debug registers ---- */

static void debug_registers(void **state)
{
	start_long(0);
	w.cpu->gpr[RAX] = 0xffffffff;
	assert_int_equal(EXEC(0x0f, 0x23, 0xf0), CPU_OK);
	assert_int_equal(w.cpu->dr[6], 0xffffeff0 | 0xf);
	w.cpu->gpr[RAX] = 0;
	assert_int_equal(EXEC(0x0f, 0x23, 0xe0), CPU_OK); /* dr4 is dr6 */
	assert_int_equal(w.cpu->dr[6], DR6_FIXED);
	assert_int_equal(EXEC(0x0f, 0x23, 0xf8), CPU_OK);
	assert_int_equal(w.cpu->dr[7], DR7_FIXED);
	w.cpu->gpr[RAX] = BIT64(32);
	assert_gp(EXEC(0x0f, 0x23, 0xf8));
	assert_int_equal(EXEC(0x0f, 0x23, 0xd0), CPU_OK); /* dr2: any address */
	assert_int_equal(w.cpu->dr[2], BIT64(32));
	w.cpu->cr4 |= CR4_DE;
	assert_ud(EXEC(0x0f, 0x21, 0xe8)); /* dr5 */
	w.cpu->dr[7] |= DR7_GD;
	assert_fault(EXEC(0x0f, 0x21, 0xc0), X86_DB, NO_ERROR);
	assert_int_equal(w.cpu->exc.dr6, DR6_BD);
}

/* ---- cli, sti ---- */

static void interrupt_flag(void **state)
{
	enum { REAL, VIRTUAL, DENIED };
	static const struct {
		u8 cpl, iopl;
		bool v86;
		u64 cr4;
		u8 effect;
	} cases[] = {
		{0, 0, false, 0, REAL},
		{3, 3, false, 0, REAL},
		{3, 2, false, 0, DENIED},
		{3, 0, false, CR4_PVI, VIRTUAL},
		{3, 0, false, CR4_VME, DENIED},
		{3, 3, true, CR4_VME, REAL},
		{3, 0, true, CR4_VME, VIRTUAL},
		{3, 0, true, CR4_PVI, DENIED},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		start_protected(cases[i].cpl);
		w.cpu->rflags |= (u64)cases[i].iopl << 12 | (cases[i].v86 ? FL_VM : 0);
		w.cpu->cr4 |= cases[i].cr4;
		cpu_update_mode(w.cpu);
		u64 bit = cases[i].effect == REAL ? FL_IF : FL_VIF;
		int r = EXEC(0xfb);
		if (cases[i].effect == DENIED) {
			assert_gp(r);
			assert_gp(EXEC(0xfa));
			continue;
		}
		assert_int_equal(r, CPU_OK);
		assert_int_equal(w.cpu->rflags & (FL_IF | FL_VIF), bit);
		assert_int_equal(w.cpu->shadow, bit == FL_IF ? SHADOW_STI : 0);
		assert_int_equal(EXEC(0xfb), CPU_OK);
		assert_int_equal(w.cpu->shadow, 0); /* IF was set already */
		assert_int_equal(EXEC(0xfa), CPU_OK);
		assert_int_equal(w.cpu->rflags & (FL_IF | FL_VIF), 0);
		w.cpu->rflags |= FL_VIP;
		r = EXEC(0xfb);
		if (cases[i].effect == VIRTUAL)
			assert_gp(r);
		else
			assert_int_equal(r, CPU_OK);
	}
}

static void smap_instructions(void **state)
{
	start_long(0);
	assert_int_equal(EXEC(0x0f, 0x01, 0xcb), CPU_OK);
	assert_true(w.cpu->rflags & FL_AC);
	assert_int_equal(EXEC(0x0f, 0x01, 0xca), CPU_OK);
	assert_false(w.cpu->rflags & FL_AC);
	w.cpu->cr4_allowed &= ~CR4_SMAP;
	assert_ud(EXEC(0x0f, 0x01, 0xcb));
	start_long(3);
	assert_ud(EXEC(0x0f, 0x01, 0xcb));
}

/* ---- tables and invalidation ---- */

static void descriptor_tables(void **state)
{
	start_long(0);
	w.cpu->gpr[RAX] = DATA;
	poke(DATA, 0x1ff, 2);
	poke(DATA + 2, 0xffff800012345678, 8);
	assert_int_equal(EXEC(0x0f, 0x01, 0x10), CPU_OK);
	assert_int_equal(w.cpu->gdt.base, 0xffff800012345678);
	assert_int_equal(w.cpu->gdt.limit, 0x1ff);
	w.cpu->idt = w.cpu->gdt;
	w.cpu->gpr[RAX] = DATA + 0x40;
	assert_int_equal(EXEC(0x0f, 0x01, 0x08), CPU_OK);
	assert_memory_equal(w.mem + DATA, w.mem + DATA + 0x40, 10);
	poke(DATA + 0x42, 0x8000000000000000, 8);
	assert_gp(EXEC(0x0f, 0x01, 0x18)); /* lidt, not canonical */
	start_protected(0);
	w.cpu->gpr[RAX] = DATA;
	poke(DATA + 2, 0x89abcdef, 4);
	assert_int_equal(EXEC(0x66, 0x0f, 0x01, 0x10), CPU_OK); /* 24-bit base */
	assert_int_equal(w.cpu->gdt.base, 0xabcdef);
	assert_int_equal(EXEC(0x0f, 0x01, 0x10), CPU_OK);
	assert_int_equal(w.cpu->gdt.base, 0x89abcdef);
}

static void invalidation(void **state)
{
	start_long(0);
	w.cpu->seg[SEG_GS].base = 0x1000;
	w.cpu->gpr[RAX] = 0x7000;
	assert_int_equal(EXEC(0x65, 0x0f, 0x01, 0x38), CPU_OK); /* invlpg gs:[rax] */
	assert_int_equal(seen.flushed, 0x8000);

	static const struct {
		u64 type, pcid, address, cr4;
		bool ok;
		unsigned page, nonglobal, all;
	} cases[] = {
		{0, 0, 0x5000, 0, true, 1, 0, 0},
		{0, 0, BIT64(63), 0, false, 0, 0, 0},
		{1, 0, BIT64(63), 0, true, 0, 1, 0},
		{1, 5, 0, 0, false, 0, 0, 0},
		{1, 5, 0, CR4_PCIDE, true, 0, 1, 0},
		{2, 0, 0, 0, true, 0, 0, 1},
		{3, 0, 0, 0, true, 0, 1, 0},
		{4, 0, 0, 0, false, 0, 0, 0},
		{2, 0x1000, 0, CR4_PCIDE, false, 0, 0, 0},
	};
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		start_long(0);
		w.cpu->cr4 |= cases[i].cr4;
		w.cpu->gpr[RAX] = cases[i].type;
		w.cpu->gpr[RCX] = DATA;
		poke(DATA, cases[i].pcid, 8);
		poke(DATA + 8, cases[i].address, 8);
		int r = EXEC(0x66, 0x0f, 0x38, 0x82, 0x01);
		if (cases[i].ok)
			assert_int_equal(r, CPU_OK);
		else
			assert_gp(r);
		assert_int_equal(seen.flush_page, cases[i].page);
		assert_int_equal(seen.flush_nonglobal, cases[i].nonglobal);
		assert_int_equal(seen.flush_all, cases[i].all);
	}
}

/* ---- the rest ---- */

static void time_stamps(void **state)
{
	start_long(3);
	w.cpu->msr.tsc_aux = 0x105;
	w.cpu->tsc_offset = -(s64)__builtin_ia32_rdtsc();
	assert_int_equal(EXEC(0x0f, 0x01, 0xf9), CPU_OK);
	assert_int_equal(w.cpu->gpr[RDX] >> 4, 0); /* just started */
	assert_int_equal(w.cpu->gpr[RCX], 0x105);
	assert_int_equal(EXEC(0xf3, 0x0f, 0xc7, 0xfb), CPU_OK); /* rdpid rbx */
	assert_int_equal(w.cpu->gpr[RBX], 0x105);
	w.cpu->cr4 |= CR4_TSD;
	assert_gp(EXEC(0x0f, 0x31));
	assert_gp(EXEC(0x0f, 0x01, 0xf9));
	assert_gp(EXEC(0x0f, 0x33));
	start_long(0);
	w.cpu->cr4 |= CR4_TSD;
	assert_int_equal(EXEC(0x0f, 0x31), CPU_OK);
}

static void segment_bases(void **state)
{
	start_long(0);
	w.cpu->seg[SEG_GS].base = 1;
	w.cpu->msr.kernel_gs_base = 2;
	assert_int_equal(EXEC(0x0f, 0x01, 0xf8), CPU_OK);
	assert_int_equal(w.cpu->seg[SEG_GS].base, 2);
	assert_int_equal(w.cpu->msr.kernel_gs_base, 1);
	assert_ud(EXEC(0xf3, 0x48, 0x0f, 0xae, 0xd0)); /* CR4.FSGSBASE */
	w.cpu->cr4 |= CR4_FSGSBASE;
	w.cpu->gpr[RAX] = 0x123456789abc;
	assert_int_equal(EXEC(0xf3, 0x48, 0x0f, 0xae, 0xd0), CPU_OK);
	assert_int_equal(EXEC(0xf3, 0x0f, 0xae, 0xc3), CPU_OK); /* rdfsbase ebx */
	assert_int_equal(w.cpu->gpr[RBX], 0x56789abc);
	w.cpu->gpr[RAX] = BIT64(47);
	assert_gp(EXEC(0xf3, 0x48, 0x0f, 0xae, 0xd8));
	assert_int_equal(w.cpu->seg[SEG_GS].base, 2);
}

/* Outer code answers; the arguments are as wide as the mode. */
static void hypercalls(void **state)
{
	start_long(0);
	w.cpu->gpr[RAX] = 0x100000005;
	w.cpu->gpr[RBX] = 1;
	w.cpu->gpr[RSI] = ~0ull;
	assert_int_equal(EXEC(0x0f, 0x01, 0xd9),
		CPU_OK); /* the other vendor's: written over, to start again */
	assert_int_equal(w.cpu->rip, 0x1000);
	assert_int_equal(peek(0x1000, 3), 0xc1010f);
	w.cpu->rip = RO; /* and where it cannot be, done */
	assert_int_equal(EXEC(0x0f, 0x01, 0xd9), CPU_EXIT);
	assert_int_equal(w.cpu->rip, RO);
	w.cpu->rip = 0x1000;
	assert_int_equal(w.cpu->exit.reason, EXIT_HYPERCALL);
	assert_int_equal(w.cpu->exit.hypercall.nr, 0x100000005);
	assert_int_equal(w.cpu->exit.hypercall.args[0], 1);
	assert_int_equal(w.cpu->exit.hypercall.args[3], ~0ull);
	assert_true(w.cpu->exit.hypercall.long_mode);
	assert_int_equal(w.cpu->rip, 0x1000);
	answer(EXIT_HYPERCALL, 0x100000005, 8, (u64)-1000);
	assert_int_equal(EXEC(0x0f, 0x01, 0xc1), CPU_OK);
	assert_int_equal(w.cpu->gpr[RAX], (u64)-1000);
	start_protected(0);
	w.cpu->gpr[RAX] = 0x100000005;
	w.cpu->gpr[RSI] = ~0ull;
	assert_int_equal(EXEC(0x0f, 0x01, 0xc1), CPU_EXIT);
	assert_int_equal(w.cpu->exit.hypercall.nr, 5);
	assert_int_equal(w.cpu->exit.hypercall.args[3], 0xffffffff);
	answer(EXIT_HYPERCALL, 5, 8, (u64)-1000);
	assert_int_equal(EXEC(0x0f, 0x01, 0xc1), CPU_OK);
	assert_int_equal(w.cpu->gpr[RAX], (u32)-1000);
	start_long(3);
	w.cpu->gpr[RAX] = 1;
	assert_int_equal(EXEC(0x0f, 0x01, 0xc1), CPU_OK);
	assert_int_equal(w.cpu->gpr[RAX], (u64)-1);
}

static void monitor_and_mwait(void **state)
{
	start_long(0);
	w.cpu->gpr[RAX] = DATA;
	assert_int_equal(EXEC(0x0f, 0x01, 0xc8), CPU_OK);
	assert_int_equal(EXEC(0x0f, 0x01, 0xc9), CPU_OK);
	w.cpu->gpr[RAX] = BAD;
	assert_int_equal(EXEC(0x0f, 0x01, 0xc8), CPU_FAULT);
	assert_int_equal(w.cpu->exc.vector, X86_PF);
	w.cpu->gpr[RAX] = DATA;
	w.cpu->gpr[RCX] = 1;
	assert_gp(EXEC(0x0f, 0x01, 0xc8));
	assert_int_equal(EXEC(0x0f, 0x01, 0xc9), CPU_OK);
	w.cpu->gpr[RCX] = 2;
	assert_gp(EXEC(0x0f, 0x01, 0xc9));
	start_long(3);
	assert_ud(EXEC(0x0f, 0x01, 0xc8));
	assert_ud(EXEC(0x0f, 0x01, 0xc9));
}

static void hlt_and_undefined(void **state)
{
	start_long(0);
	assert_int_equal(EXEC(0xf4), CPU_OK);
	assert_int_equal(w.cpu->exit.reason, EXIT_HLT);
	assert_int_equal(w.cpu->rip, 0x1001);
	assert_ud(EXEC(0x0f, 0xaa));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cr0_rules),
		cmocka_unit_test(entering_and_leaving_long_mode),
		cmocka_unit_test(wp_flushes_ts_does_not),
		cmocka_unit_test(pdptes_are_checked),
		cmocka_unit_test(cr3_rules),
		cmocka_unit_test(cr4_rules),
		cmocka_unit_test(cr8_rules),
		cmocka_unit_test(machine_status_word),
		cmocka_unit_test(xsetbv_rules),
		cmocka_unit_test(debug_registers),
		cmocka_unit_test(interrupt_flag),
		cmocka_unit_test(smap_instructions),
		cmocka_unit_test(descriptor_tables),
		cmocka_unit_test(invalidation),
		cmocka_unit_test(time_stamps),
		cmocka_unit_test(segment_bases),
		cmocka_unit_test(hypercalls),
		cmocka_unit_test(monitor_and_mwait),
		cmocka_unit_test(hlt_and_undefined),
	};

	return cmocka_run_group_tests(tests, NULL, processor_close);
}
