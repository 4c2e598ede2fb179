/* SPDX-License-Identifier: MIT */
/* What follows from the registers: the key of translated code, and the states after RESET and INIT. */
#include "tests/unit/world/fault_case.h"
#include "engine/core/block_key.h"
#include "engine/core/cpu.h"
#include "engine/engine.h"
#include "engine/cpu/mode.h"
#include "x86/regs.h"

static void keys(void **state)
{
	u32 base;

	start_long(0);
	base = w.cpu->block_key;
	assert_int_equal(base, BK_CODE64 | BK_FLAT | BK_PAGING | BK_SYSCALL);
	w.cpu->efer &= ~EFER_SCE;
	cpu_update_mode(w.cpu);
	assert_int_equal(w.cpu->block_key, base & ~(u32)BK_SYSCALL);
	start_long(0);
	w.cpu->cr4 |= CR4_SMAP;
	w.cpu->rflags |= FL_AC;
	cpu_update_mode(w.cpu);
	assert_int_equal(w.cpu->view, TLB_KERNEL_AC);
	assert_int_equal(w.cpu->block_key, base | BK_VIEW_AC | BK_SMAP);
	w.cpu->cr4 &= ~CR4_SMAP;
	cpu_update_mode(w.cpu);
	assert_int_equal(w.cpu->view, TLB_KERNEL);

	static const struct {
		u64 cr0, cr4, flags;
		u32 key;
	} rows[] = {
		{CR0_TS, 0, 0, BK_NO_FPU},
		{CR0_EM, 0, 0, BK_NO_FPU},
		{0, CR4_OSFXSR, 0, BK_OSFXSR},
		{0, CR4_OSXSAVE, 0, BK_AVX},
		{0, CR4_TSD, 0, BK_TSD},
		{0, CR4_FSGSBASE, 0, BK_FSGSBASE},
		{0, CR4_UMIP, 0, BK_UMIP},
		{0, CR4_SMAP, 0, BK_SMAP},
		{0, 0, FL_TF, BK_STEPPING},
	};
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		start_long(0);
		w.cpu->xcr0 = 7;
		w.cpu->cr0 |= rows[i].cr0;
		w.cpu->cr4 |= rows[i].cr4;
		w.cpu->rflags |= rows[i].flags;
		cpu_update_mode(w.cpu);
		assert_int_equal(w.cpu->block_key, base | rows[i].key);
	}
	w.cpu->rflags = FL_FIXED;
	w.cpu->xcr0 = 3; /* AVX not enabled */
	w.cpu->cr4 |= CR4_OSXSAVE;
	w.cpu->debug_flags = DBG_HW_BP;
	cpu_update_mode(w.cpu);
	assert_int_equal(w.cpu->block_key, base | BK_STEPPING);
}

static void keys_of_other_modes(void **state)
{
	start_protected(3);
	assert_int_equal(
		w.cpu->block_key, BK_CODE32 | BK_STACK32 | BK_FLAT | BK_PAGING | BK_CPL_MASK);
	w.cpu->cr0 |= CR0_AM;
	w.cpu->rflags |= FL_AC;
	cpu_update_mode(w.cpu);
	assert_int_equal(w.cpu->block_key,
		BK_CODE32 | BK_STACK32 | BK_FLAT | BK_PAGING | BK_CPL_MASK | BK_STEPPING);
	start_real();
	assert_int_equal(w.cpu->block_key, BK_REAL | BK_LIMIT64K | BK_WIDE);
	w.cpu->seg[SEG_GS].limit = 0xfffe;
	cpu_update_mode(w.cpu);
	assert_int_equal(w.cpu->block_key, BK_REAL | BK_LIMIT64K);
	w.cpu->seg[SEG_GS].limit = 0xffffffff; /* unreal */
	w.cpu->seg[SEG_CS].limit = 0x1ffff;
	cpu_update_mode(w.cpu);
	assert_int_equal(w.cpu->block_key, BK_REAL | BK_LIMIT_ODD | BK_WIDE);
	w.cpu->seg[SEG_CS].base = 0x1ffff;
	cpu_update_mode(w.cpu);
	assert_int_equal(w.cpu->block_key, BK_REAL | BK_LIMIT_ODD | BK_WIDE | BK_STEPPING);
}

static void reset_and_init(void **state)
{
	start_long(3);
	w.cpu->cpuid_count = 1;
	w.cpu->cpuid[0] = (struct cpuid_entry){.function = 1, .eax = 0xa20f10};
	w.cpu->msr.lstar = 0x1234;
	w.cpu->xcr0 = 7;
	w.cpu->xsave_area[100] = 5;
	w.cpu->cr0 |= CR0_NW;
	w.cpu->nmi_masked = true;
	cpu_reset(w.cpu, true);
	assert_int_equal(w.cpu->rip, 0xfff0);
	assert_int_equal(w.cpu->seg[SEG_CS].base, 0xffff0000);
	assert_int_equal(w.cpu->seg[SEG_CS].selector, 0xf000);
	assert_int_equal(w.cpu->cr0, CR0_ET | CR0_NW);
	assert_int_equal(w.cpu->gpr[RDX], 0xa20f10);
	assert_int_equal(w.cpu->rflags, FL_FIXED);
	assert_int_equal(w.cpu->efer, 0);
	assert_int_equal(w.cpu->code_size, 2);
	assert_int_equal(w.cpu->msr.lstar, 0x1234);
	assert_int_equal(w.cpu->xcr0, 7);
	assert_int_equal(w.cpu->xsave_area[100], 5);
	assert_false(w.cpu->nmi_masked);
	cpu_reset(w.cpu, false);
	assert_int_equal(w.cpu->cr0, 0x60000010);
	assert_int_equal(w.cpu->xcr0, 1);
	assert_int_equal(w.cpu->xsave_area[100], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys),
		cmocka_unit_test(keys_of_other_modes),
		cmocka_unit_test(reset_and_init),
	};

	return cmocka_run_group_tests(tests, NULL, processor_close);
}
