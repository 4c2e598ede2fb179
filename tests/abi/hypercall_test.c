/* SPDX-License-Identifier: MIT */
/* Hypercalls of a guest, the quirks around them, HLT, and the switches that the VMM has. */
#include "tests/abi/port.h"

#include <errno.h>
#include <linux/kvm_para.h>
#include <string.h>
#include <sys/mman.h>

#include "base/hostcpu.h"

#define VMCALL  0x0f, 0x01, 0xc1
#define VMMCALL 0x0f, 0x01, 0xd9
#define LINT0   0x350

static long enable(int fd, u32 cap, u64 arg)
{
	struct kvm_enable_cap e = {.cap = cap, .args = {arg}};

	return kvm_p(fd, KVM_ENABLE_CAP, &e);
}

static void set_args(struct guest *g, u32 nr, u64 a, u64 b, u64 c, u64 d)
{
	struct kvm_regs r = regs_of(g);

	r.rip = RAM_GPA;
	r.rax = nr;
	r.rbx = a;
	r.rcx = b;
	r.rdx = c;
	r.rsi = d;
	assert_int_equal(kvm_p(g->vcpu, KVM_SET_REGS, &r), 0);
}

/* The host's own instruction, then hlt. */
static void call_code(struct guest *g)
{
	if (host_cpu_is_amd())
		GUEST_CODE(g, VMMCALL, 0xf4);
	else
		GUEST_CODE(g, VMCALL, 0xf4);
}

static s32 call(struct guest *g, u32 nr, u64 a, u64 b, u64 c, u64 d)
{
	call_code(g);
	set_args(g, nr, a, b, c, d);
	run_to(g, KVM_EXIT_HLT);
	return (s32)regs_of(g).rax;
}

static void test_results(void **state)
{
	struct guest g;

	if (port.real) /* cannot run this guest everywhere */
		return;
	guest_open(&g);
	assert_int_equal(call(&g, 0, 0, 0, 0, 0), -KVM_ENOSYS);
	assert_int_equal(call(&g, 77, 0, 0, 0, 0), -KVM_ENOSYS);
	assert_int_equal(call(&g, KVM_HC_VAPIC_POLL_IRQ, 0, 0, 0, 0), 0);
	assert_int_equal(call(&g, KVM_HC_SCHED_YIELD, 0, 0, 0, 0), 0);
	assert_int_equal(call(&g, KVM_HC_MMU_OP, 0, 0, 0, 0), -KVM_ENOSYS);
	assert_int_equal(call(&g, KVM_HC_MAP_GPA_RANGE, 0x1000, 1, 0, 0), -KVM_ENOSYS);
	assert_int_equal(call(&g, KVM_HC_SEND_IPI, 1, 0, 0, 1u << 18), -KVM_EINVAL);
	/* The upper half of RAX is not the number outside 64-bit mode, and becomes 0. */
	call_code(&g);
	set_args(&g, 0, 0, 0, 0, 0);
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal(regs_of(&g).rax, (u32)-KVM_ENOSYS);
	guest_close(&g);
}

static void test_clock_pairing(void **state)
{
	struct guest g;
	struct kvm_clock_pairing p;

	if (port.real)
		return;
	guest_open(&g);
	memset(g.ram + 0x800, 0xff, sizeof(p));
	assert_int_equal(call(&g, KVM_HC_CLOCK_PAIRING, RAM_GPA + 0x800, 0, 0, 0), 0);
	memcpy(&p, g.ram + 0x800, sizeof(p));
	assert_in_range(p.sec, 1700000000, 1ll << 40);
	assert_in_range(p.nsec, 0, 999999999);
	assert_true(p.tsc && !p.flags && !p.pad[8]);
	assert_int_equal(call(&g, KVM_HC_CLOCK_PAIRING, RAM_GPA + 0x800, 1, 0, 0), -KVM_EOPNOTSUPP);
	assert_int_equal(call(&g, KVM_HC_CLOCK_PAIRING, 0x40000000, 0, 0, 0), -KVM_EFAULT);
	guest_close(&g);
}

/* What KVM_CAP_EXIT_HYPERCALL hands over, and how the answer goes back. */
static void test_exit(void **state)
{
	struct guest g;
	long mask;

	guest_open(&g);
	mask = kvm(g.sys, KVM_CHECK_EXTENSION, KVM_CAP_EXIT_HYPERCALL);
	assert_int_equal(mask, 1 << KVM_HC_MAP_GPA_RANGE);
	assert_int_equal(enable(g.vm, KVM_CAP_EXIT_HYPERCALL, 1), -EINVAL);
	assert_int_equal(enable(g.vm, KVM_CAP_EXIT_HYPERCALL, mask), 0);
	if (!port.real) {
		call_code(&g);
		set_args(&g, KVM_HC_MAP_GPA_RANGE, 0x5000, 2, 0x10, 0);
		run_to(&g, KVM_EXIT_HYPERCALL);
		assert_int_equal(g.run->hypercall.nr, KVM_HC_MAP_GPA_RANGE);
		assert_int_equal(g.run->hypercall.args[0], 0x5000);
		assert_int_equal(g.run->hypercall.args[1], 2);
		assert_int_equal(g.run->hypercall.args[2], 0x10);
		assert_int_equal(g.run->hypercall.longmode, 0);
		assert_int_equal(regs_of(&g).rip, RAM_GPA);
		g.run->hypercall.ret = 7;
		run_to(&g, KVM_EXIT_HLT);
		assert_int_equal(regs_of(&g).rax, 7);
		assert_int_equal(call(&g, KVM_HC_MAP_GPA_RANGE, 0x5001, 1, 0, 0), -KVM_EINVAL);
		assert_int_equal(call(&g, KVM_HC_MAP_GPA_RANGE, 0x5000, 0, 0, 0), -KVM_EINVAL);
	}
	assert_int_equal(enable(g.vm, KVM_CAP_EXIT_HYPERCALL, 0), 0);
	guest_close(&g);
}

/* The other vendor's instruction is written over; without the quirk it does not exist. */
static void test_foreign(void **state)
{
	static const u8 own[2][3] = {{VMCALL}, {VMMCALL}};
	bool amd = host_cpu_is_amd();
	struct guest g;

	if (port.real)
		return;
	guest_open(&g);
	GUEST_CODE(&g, 0, 0, 0, 0xf4);
	memcpy(g.ram, own[!amd], 3);
	set_args(&g, 77, 0, 0, 0, 0);
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal((s32)regs_of(&g).rax, -KVM_ENOSYS);
	assert_memory_equal(g.ram, own[amd], 3);
	/* #UD, and nothing else changes: its vector leads to another hlt. */
	assert_int_equal(
		enable(g.vm, KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_FIX_HYPERCALL_INSN), 0);
	memcpy(g.ram, own[!amd], 3);
	guest_close(&g);
}

static void test_quirks(void **state)
{
	struct guest g;
	long mask;

	guest_open(&g);
	mask = kvm(g.sys, KVM_CHECK_EXTENSION, KVM_CAP_DISABLE_QUIRKS2);
	assert_int_equal(mask & 0x1ff, 0x1ff);
	assert_int_equal(kvm(g.vm, KVM_CHECK_EXTENSION, KVM_CAP_DISABLE_QUIRKS), 1);
	assert_int_equal(enable(g.vm, KVM_CAP_DISABLE_QUIRKS2, 1ull << 40), -EINVAL);
	assert_int_equal(enable(g.vm, KVM_CAP_DISABLE_QUIRKS, 1ull << 40), 0);
	assert_int_equal(enable(g.vm, KVM_CAP_DISABLE_QUIRKS2, mask), 0);
	assert_int_equal(enable(g.vcpu, KVM_CAP_DISABLE_QUIRKS2, 0), -EINVAL);
	guest_close(&g);
}

static u64 msr_of(int vcpu, u32 index)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e;
	} m = {{.nmsrs = 1}, {.index = index}};

	assert_int_equal(kvm_p(vcpu, KVM_GET_MSRS, &m), 1);
	return m.e.data;
}

static long msr_set(int vcpu, u32 index, u64 value)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e;
	} m = {{.nmsrs = 1}, {.index = index, .data = value}};

	return kvm_p(vcpu, KVM_SET_MSRS, &m);
}

/* Quirks that a new vcpu shows. */
static void test_quirks_at_reset(void **state)
{
	const u32 msr_platform_info = 0xce;
	int sys = kvm_open(), i;

	for (i = 0; i < 2; i++) {
		int vm = kvm(sys, KVM_CREATE_VM, 0), vcpu;

		assert_int_equal(kvm(vm, KVM_CREATE_IRQCHIP, 0), 0);
		if (i)
			assert_int_equal(enable(vm, KVM_CAP_DISABLE_QUIRKS2,
						 KVM_X86_QUIRK_LINT0_REENABLED |
							 KVM_X86_QUIRK_STUFF_FEATURE_MSRS),
				0);
		vcpu = kvm(vm, KVM_CREATE_VCPU, 0);
		assert_int_equal(lapic_of(vcpu, LINT0), i ? 0x10000 : 0x700);
		assert_int_equal(!msr_of(vcpu, msr_platform_info), i);
		kvm_close(vcpu);
		kvm_close(vm);
	}
	kvm_close(sys);
}

/* HLT does not leave, though the VMM has the interrupt controller: an interrupt ends it. */
static void test_no_hlt_exit(void **state)
{
	struct kvm_interrupt irq = {.irq = 0x20};
	struct guest g;

	guest_open(&g);
	assert_true(kvm(g.sys, KVM_CHECK_EXTENSION, KVM_CAP_X86_DISABLE_EXITS) &
		    KVM_X86_DISABLE_EXITS_PAUSE);
	assert_int_equal(enable(g.vm, KVM_CAP_X86_DISABLE_EXITS, 0x100), -EINVAL);
	if (!port.real) { /* newer kernels want this before the first vcpu */
		assert_int_equal(
			enable(g.vm, KVM_CAP_X86_DISABLE_EXITS, KVM_X86_DISABLE_EXITS_HLT), 0);
		u16 *vector;
		struct kvm_sregs s;

		GUEST_CODE(&g, 0x90, 0x90, 0x90, 0x90, 0xfb, 0xf4, 0xe6, 0x10, 0xf4);
		assert_int_equal(kvm_p(g.vcpu, KVM_GET_SREGS, &s), 0);
		s.idt.base = RAM_GPA + 0x400;
		assert_int_equal(kvm_p(g.vcpu, KVM_SET_SREGS, &s), 0);
		vector = (u16 *)(g.ram + 0x400 + 0x20 * 4);
		vector[0] = RAM_GPA + 6; /* the out after the hlt */
		vector[1] = 0;
		set_args(&g, 0, 0, 0, 0, 0);
		g.run->request_interrupt_window = 1;
		run_to(&g, KVM_EXIT_IRQ_WINDOW_OPEN);
		g.run->request_interrupt_window = 0;
		assert_int_equal(kvm_p(g.vcpu, KVM_INTERRUPT, &irq), 0);
		run_to(&g, KVM_EXIT_IO);
		assert_int_equal(g.run->io.port, 0x10);
	}
	guest_close(&g);
}

static void test_enforcement(void **state)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 e[2];
	} cpuid = {{.nent = 2},
		{{.function = 0x40000000,
			 .eax = 0x40000001,
			 .ebx = 0x4b4d564b,
			 .ecx = 0x564b4d56,
			 .edx = 0x4d},
			{.function = 0x40000001, .eax = 1 << KVM_FEATURE_CLOCKSOURCE}}};
	struct guest g;

	guest_open(&g);
	assert_int_equal(kvm(g.sys, KVM_CHECK_EXTENSION, KVM_CAP_ENFORCE_PV_FEATURE_CPUID), 1);
	assert_int_equal(kvm_p(g.vcpu, KVM_SET_CPUID2, &cpuid), 0);
	assert_int_equal(msr_set(g.vcpu, MSR_KVM_POLL_CONTROL, 1), 1);
	assert_int_equal(enable(g.vm, KVM_CAP_ENFORCE_PV_FEATURE_CPUID, 1), -EINVAL);
	assert_int_equal(enable(g.vcpu, KVM_CAP_ENFORCE_PV_FEATURE_CPUID, 1), 0);
	/* It can still be saved and restored, as if it were 0. */
	assert_int_equal(msr_of(g.vcpu, MSR_KVM_POLL_CONTROL), 0);
	assert_int_equal(msr_set(g.vcpu, MSR_KVM_POLL_CONTROL, 0), 1);
	assert_int_equal(msr_set(g.vcpu, MSR_KVM_POLL_CONTROL, 1), 0);
	assert_int_equal(msr_set(g.vcpu, MSR_KVM_SYSTEM_TIME, 0), 1);
	if (!port.real)
		assert_int_equal(call(&g, KVM_HC_SCHED_YIELD, 0, 0, 0, 0), -KVM_ENOSYS);
	assert_int_equal(enable(g.vcpu, KVM_CAP_ENFORCE_PV_FEATURE_CPUID, 0), 0);
	assert_int_equal(msr_of(g.vcpu, MSR_KVM_POLL_CONTROL), 1);
	guest_close(&g);
}

/* An x87 load from device memory: done like any other, or handed over if the VMM asks for failures. */
static void test_x87_mmio(void **state)
{
	struct guest g;

	guest_open(&g);
	assert_int_equal(kvm(g.sys, KVM_CHECK_EXTENSION, KVM_CAP_EXIT_ON_EMULATION_FAILURE), 1);
	assert_int_equal(enable(g.vm, KVM_CAP_EXIT_ON_EMULATION_FAILURE, 2), -EINVAL);
	if (!port.real) {
		GUEST_CODE(&g, 0xd9, 0x06, 0x00, 0x00, 0xf4); /* flds 0 */
		run_to(&g, KVM_EXIT_MMIO);
	}
	assert_int_equal(enable(g.vm, KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1), 0);
	if (!port.real) {
		GUEST_CODE(&g, 0x90, 0xd9, 0x06, 0x00, 0x00, 0xf4);
		run_to(&g, KVM_EXIT_INTERNAL_ERROR);
		assert_int_equal(g.run->internal.suberror, KVM_INTERNAL_ERROR_EMULATION);
		assert_int_equal(g.run->emulation_failure.insn_size, 4);
		assert_int_equal(g.run->emulation_failure.insn_bytes[0], 0xd9);
		assert_int_equal(regs_of(&g).rip, RAM_GPA + 1);
		/* FNSTCW is not among them. */
		GUEST_CODE(&g, 0xd9, 0x3e, 0x00, 0x00, 0xf4);
		run_to(&g, KVM_EXIT_MMIO);
	}
	guest_close(&g);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_results),
		cmocka_unit_test(test_clock_pairing),
		cmocka_unit_test(test_exit),
		cmocka_unit_test(test_foreign),
		cmocka_unit_test(test_quirks),
		cmocka_unit_test(test_quirks_at_reset),
		cmocka_unit_test(test_no_hlt_exit),
		cmocka_unit_test(test_enforcement),
		cmocka_unit_test(test_x87_mmio),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
