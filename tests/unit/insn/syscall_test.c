/* SPDX-License-Identifier: MIT */
/* The fast system calls: SYSCALL, SYSENTER and their returns, as Intel and AMD have them. */
#include "tests/unit/world/fault_case.h"
#include "engine/core/cpu.h"
#include "engine/engine.h"
#include "engine/insn/ops.h"
#include "x86/insn.h"
#include "x86/regs.h"

static int run_syscall(void)
{
	struct insn in = make_insn(0x05, 4);
	return op_syscall(w.cpu, &in);
}
static int run_sysret32(void)
{
	struct insn in = make_insn(0x07, 4);
	return op_sysret(w.cpu, &in);
}
static int run_sysret64(void)
{
	struct insn in = make_insn(0x07, 8);
	return op_sysret(w.cpu, &in);
}
static int run_sysenter(void)
{
	struct insn in = make_insn(0x34, 4);
	return op_sysenter(w.cpu, &in);
}
static int run_sysexit32(void)
{
	struct insn in = make_insn(0x35, 4);
	return op_sysexit(w.cpu, &in);
}
static int run_sysexit64(void)
{
	struct insn in = make_insn(0x35, 8);
	return op_sysexit(w.cpu, &in);
}

static void vendor(bool amd)
{
	w.cpu->cpuid_count = 1;
	w.cpu->cpuid[0] = (struct cpuid_entry){.ebx = amd ? 0x68747541 : 0x756e6547};
}

static void set_fast_msrs(void)
{
	w.cpu->msr.star = 0x00230010ull << 32 | 0x1234;
	w.cpu->msr.lstar = 0xffffffff81000000;
	w.cpu->msr.cstar = 0xffffffff82000000;
	w.cpu->msr.sfmask = FL_IF | FL_TF | FL_DF | FL_AC;
	w.cpu->msr.sysenter_cs = 0x10;
	w.cpu->msr.sysenter_esp = 0xffff888000000010;
	w.cpu->msr.sysenter_eip = 0xffffffff83000000;
}

static void syscall_and_sysret(void **state)
{
	start_long(3);
	set_fast_msrs();
	w.cpu->rflags |= FL_CF | FL_RF | FL_DF;
	assert_int_equal(run_syscall(), CPU_OK);
	assert_int_equal(w.cpu->next_rip, 0xffffffff81000000);
	assert_int_equal(w.cpu->gpr[RCX], 0x102);
	assert_int_equal(w.cpu->gpr[R11], FL_FIXED | FL_IF | FL_CF | FL_DF);
	assert_int_equal(w.cpu->rflags, FL_FIXED | FL_CF);
	assert_int_equal(w.cpu->seg[SEG_CS].selector, 0x10);
	assert_int_equal(w.cpu->seg[SEG_CS].attr, 0xa09b);
	assert_int_equal(w.cpu->seg[SEG_SS].selector, 0x18);
	assert_int_equal(w.cpu->seg[SEG_SS].attr, 0xc093);
	assert_int_equal(w.cpu->cpl, 0);
	assert_int_equal(w.cpu->gpr[RSP], USTACK);
	assert_int_equal(seen.reads + seen.writes, 0);

	w.cpu->gpr[R11] |= FL_VM | FL_RF | FL_ID | BIT64(40);
	assert_int_equal(run_sysret64(), CPU_OK);
	assert_int_equal(w.cpu->next_rip, 0x102);
	assert_int_equal(w.cpu->cpl, 3);
	assert_int_equal(w.cpu->seg[SEG_CS].selector, 0x33);
	assert_int_equal(w.cpu->seg[SEG_CS].attr, 0xa0fb);
	assert_int_equal(w.cpu->seg[SEG_SS].selector, 0x2b);
	assert_int_equal(w.cpu->rflags, FL_FIXED | FL_IF | FL_CF | FL_DF | FL_ID);

	start_long(0);
	set_fast_msrs();
	w.cpu->gpr[RCX] = 0x1180000000;
	assert_int_equal(run_sysret32(), CPU_OK);
	assert_int_equal(w.cpu->next_rip, 0x80000000);
	assert_int_equal(w.cpu->seg[SEG_CS].selector, 0x23);
	assert_int_equal(w.cpu->code_size, 4);
}

static void syscall_from_compatibility_mode(void **state)
{
	struct insn jmp;

	start_long(0);
	jmp = make_insn(0xea, 4);
	jmp.is_mem = true;
	jmp.disp = 0x7000;
	poke(0x7000, 0x600, 4);
	poke(0x7004, KCODE, 2);
	assert_int_equal(op_jmp_far_m(w.cpu, &jmp), CPU_OK);
	set_fast_msrs();
	assert_fault(run_syscall(), X86_UD, NO_ERROR);
	vendor(true);
	assert_int_equal(run_syscall(), CPU_OK);
	assert_int_equal(w.cpu->next_rip, 0xffffffff82000000);
	assert_int_equal(w.cpu->code_size, 8);

	start_protected(3);
	set_fast_msrs();
	vendor(true);
	w.cpu->efer = EFER_SCE;
	assert_int_equal(run_syscall(), CPU_OK);
	assert_int_equal(w.cpu->next_rip, 0x1234);
	assert_int_equal(w.cpu->code_size, 4);
	assert_int_equal(w.cpu->rflags, FL_FIXED);
	assert_int_equal(run_sysret32(), CPU_OK);
	assert_int_equal(w.cpu->cpl, 3);
	assert_int_equal(w.cpu->rflags, FL_FIXED | FL_IF);
}

static void sysenter_and_sysexit(void **state)
{
	start_long(3);
	set_fast_msrs();
	assert_int_equal(run_sysenter(), CPU_OK);
	assert_int_equal(w.cpu->next_rip, 0xffffffff83000000);
	assert_int_equal(w.cpu->gpr[RSP], 0xffff888000000010);
	assert_int_equal(w.cpu->seg[SEG_CS].selector, 0x10);
	assert_int_equal(w.cpu->seg[SEG_SS].selector, 0x18);
	assert_int_equal(w.cpu->rflags, FL_FIXED);
	w.cpu->gpr[RCX] = USTACK;
	w.cpu->gpr[RDX] = 0x700000001000;
	assert_int_equal(run_sysexit64(), CPU_OK);
	assert_int_equal(w.cpu->seg[SEG_CS].selector, 0x33);
	assert_int_equal(w.cpu->seg[SEG_SS].selector, 0x3b);
	assert_int_equal(w.cpu->next_rip, 0x700000001000);
	assert_int_equal(w.cpu->cpl, 3);

	start_v86(0);
	set_fast_msrs();
	vendor(true); /* legacy mode has it on AMD too */
	assert_int_equal(run_sysenter(), CPU_OK);
	assert_int_equal(w.cpu->rflags & FL_VM, 0);
	assert_int_equal(w.cpu->next_rip, 0x83000000);
	assert_int_equal(w.cpu->code_size, 4);
	assert_int_equal(run_sysexit32(), CPU_OK);
	assert_int_equal(w.cpu->seg[SEG_CS].selector, 0x23);
	assert_int_equal(w.cpu->seg[SEG_SS].selector, 0x2b);
}

static void fast(unsigned cpl)
{
	start_long(cpl);
	set_fast_msrs();
	w.cpu->gpr[RCX] = w.cpu->gpr[RDX] = 0x1000;
}
static void fast_kernel(void)
{
	fast(0);
}
static void fast_user(void)
{
	fast(3);
}
static void no_sce(void)
{
	fast(0);
	w.cpu->efer &= ~EFER_SCE;
}
static void rcx_not_canonical(void)
{
	fast(0);
	w.cpu->gpr[RCX] = 0x800000000000;
}
static void rdx_not_canonical(void)
{
	fast(0);
	w.cpu->gpr[RDX] = 0x800000000000;
}
static void no_sysenter_cs(void)
{
	fast(0);
	w.cpu->msr.sysenter_cs = 3;
}
static void amd_user(void)
{
	fast(3);
	vendor(true);
}
static void real(void)
{
	start_real();
	set_fast_msrs();
	w.cpu->efer = EFER_SCE;
	vendor(true);
}
static void intel_legacy(void)
{
	start_protected(0);
	w.cpu->efer = EFER_SCE;
	set_fast_msrs();
}

static void fast_faults(void **state)
{
	static const struct fault_case rows[] = {
		{"syscall, sce", no_sce, run_syscall, X86_UD, NO_ERROR},
		{"syscall, real", real, run_syscall, X86_UD, NO_ERROR},
		{"syscall, Intel legacy", intel_legacy, run_syscall, X86_UD, NO_ERROR},
		{"sysret, sce", no_sce, run_sysret64, X86_UD, NO_ERROR},
		{"sysret, Intel legacy", intel_legacy, run_sysret32, X86_UD, NO_ERROR},
		{"sysret, cpl", fast_user, run_sysret64, X86_GP, 0},
		{"sysret, rcx", rcx_not_canonical, run_sysret64, X86_GP, 0},
		{"sysenter, cs", no_sysenter_cs, run_sysenter, X86_GP, 0},
		{"sysenter, AMD", amd_user, run_sysenter, X86_UD, NO_ERROR},
		{"sysenter, real", real, run_sysenter, X86_GP, 0},
		{"sysexit, cpl", fast_user, run_sysexit64, X86_GP, 0},
		{"sysexit, cs", no_sysenter_cs, run_sysexit64, X86_GP, 0},
		{"sysexit, rcx", rcx_not_canonical, run_sysexit64, X86_GP, 0},
		{"sysexit, rdx", rdx_not_canonical, run_sysexit64, X86_GP, 0},
		{"sysexit, AMD", amd_user, run_sysexit64, X86_UD, NO_ERROR},
	};

	check_fault_cases(rows, ARRAY_SIZE(rows));
	fast_kernel(); /* AMD lets a bad rcx through and faults at level 3 */
	vendor(true);
	w.cpu->gpr[RCX] = 0x800000000000;
	assert_int_equal(run_sysret64(), CPU_OK);
	assert_int_equal(w.cpu->cpl, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(syscall_and_sysret),
		cmocka_unit_test(syscall_from_compatibility_mode),
		cmocka_unit_test(sysenter_and_sysexit),
		cmocka_unit_test(fast_faults),
	};

	return cmocka_run_group_tests(tests, NULL, processor_close);
}
