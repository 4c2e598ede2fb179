/* SPDX-License-Identifier: MIT */
/* What KVM_CHECK_EXTENSION promises, number by number: nothing appears or vanishes unnoticed. */
#include "tests/abi/port.h"
#include "uapi/kvmi.h"

struct cap {
	u32 number;
	const char *name;
	long value;
};
#define IS(cap, value)                                                                             \
	{                                                                                          \
		cap, #cap, value                                                                   \
	}

/* Without these some client refuses to start, and most compare with 1; so every KVM has them. */
static const struct cap needed[] = {
	IS(KVM_CAP_IRQCHIP, 1),
	IS(KVM_CAP_HLT, 1),
	IS(KVM_CAP_USER_MEMORY, 1),
	IS(KVM_CAP_SET_TSS_ADDR, 1),
	IS(KVM_CAP_EXT_CPUID, 1),
	IS(KVM_CAP_MP_STATE, 1),
	IS(KVM_CAP_SYNC_MMU, 1),
	IS(KVM_CAP_DESTROY_MEMORY_REGION_WORKS, 1),
	IS(KVM_CAP_USER_NMI, 1),
	IS(KVM_CAP_IRQ_INJECT_STATUS, 1),
	IS(KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, 1),
	IS(KVM_CAP_IRQFD, 1),
	IS(KVM_CAP_PIT2, 1),
	IS(KVM_CAP_PIT_STATE2, 1),
	IS(KVM_CAP_IOEVENTFD, 1),
	IS(KVM_CAP_SET_IDENTITY_MAP_ADDR, 1),
	IS(KVM_CAP_INTERNAL_ERROR_DATA, 1),
	IS(KVM_CAP_VCPU_EVENTS, 1),
	IS(KVM_CAP_DEBUGREGS, 1),
	IS(KVM_CAP_X86_ROBUST_SINGLESTEP, 1),
	IS(KVM_CAP_XSAVE, 1),
	IS(KVM_CAP_XCRS, 1),
	IS(KVM_CAP_GET_TSC_KHZ, 1),
	IS(KVM_CAP_TSC_DEADLINE_TIMER, 1),
	IS(KVM_CAP_SIGNAL_MSI, 1),
	IS(KVM_CAP_SPLIT_IRQCHIP, 1),
	IS(KVM_CAP_IOEVENTFD_ANY_LENGTH, 1),
	IS(KVM_CAP_IMMEDIATE_EXIT, 1),
	IS(KVM_CAP_X86_USER_SPACE_MSR, 1),
	IS(KVM_CAP_X86_MSR_FILTER, 1),
};

/* What else the engine has. */
static const struct cap ours[] = {
	IS(KVM_CAP_MMU_SHADOW_CACHE_CONTROL, 1),
	IS(KVM_CAP_VAPIC, 1),
	IS(KVM_CAP_CLOCKSOURCE, 1),
	IS(KVM_CAP_PIT, 1),
	IS(KVM_CAP_NOP_IO_DELAY, 1),
	IS(KVM_CAP_SET_GUEST_DEBUG, 1),
	IS(KVM_CAP_REINJECT_CONTROL, 1),
	IS(KVM_CAP_SET_BOOT_CPU_ID, 1),
	IS(KVM_CAP_PCI_SEGMENT, 1),
	IS(KVM_CAP_ENABLE_CAP, 1),
	IS(KVM_CAP_KVMCLOCK_CTRL, 1),
	IS(KVM_CAP_READONLY_MEM, 1),
	IS(KVM_CAP_DEVICE_CTRL, 1),
	IS(KVM_CAP_IRQFD_RESAMPLE, 1),
	IS(KVM_CAP_EXT_EMUL_CPUID, 1),
	IS(KVM_CAP_IOAPIC_POLARITY_IGNORED, 1),
	IS(KVM_CAP_ENABLE_CAP_VM, 1),
	IS(KVM_CAP_IOEVENTFD_NO_LENGTH, 1),
	IS(KVM_CAP_CHECK_EXTENSION_VM, 1),
	IS(KVM_CAP_DISABLE_QUIRKS, 1),
	IS(KVM_CAP_X86_SMM, 1),
	IS(KVM_CAP_GET_MSR_FEATURES, 1),
	IS(KVM_CAP_MSR_PLATFORM_INFO, 1),
	IS(KVM_CAP_COALESCED_PIO, 1),
	IS(KVM_CAP_EXCEPTION_PAYLOAD, 1),
	IS(KVM_CAP_ENFORCE_PV_FEATURE_CPUID, 1),
	IS(KVM_CAP_ASYNC_PF, 1),
	IS(KVM_CAP_ASYNC_PF_INT, 1),
	IS(KVM_CAP_BINARY_STATS_FD, 1),
	IS(KVM_CAP_SREGS2, 1),
	IS(KVM_CAP_HYPERV, 1),
	IS(KVM_CAP_HYPERV_VAPIC, 1),
	IS(KVM_CAP_HYPERV_SPIN, 1),
	IS(KVM_CAP_HYPERV_TIME, 1),
	IS(KVM_CAP_HYPERV_SYNIC, 1),
	IS(KVM_CAP_HYPERV_SYNIC2, 1),
	IS(KVM_CAP_HYPERV_VP_INDEX, 1),
	IS(KVM_CAP_HYPERV_EVENTFD, 1),
	IS(KVM_CAP_HYPERV_TLBFLUSH, 1),
	IS(KVM_CAP_HYPERV_SEND_IPI, 1),
	IS(KVM_CAP_HYPERV_CPUID, 1),
	IS(KVM_CAP_SYS_HYPERV_CPUID, 1),
	IS(KVM_CAP_HYPERV_ENFORCE_CPUID, 1),
	IS(KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1),
	IS(KVM_CAP_SMALLER_MAXPHYADDR, 1),
	IS(KVM_CAP_TSC_CONTROL, 1),
	IS(KVM_CAP_VM_TSC_CONTROL, 1),
	IS(KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1),
	IS(KVM_CAP_SYS_ATTRIBUTES, 1),
	IS(KVM_CAP_SYSTEM_EVENT_DATA, 1),
	IS(KVM_CAP_USER_MEMORY2, 1),
	IS(KVM_CAP_MEMORY_FAULT_INFO, 1),
	IS(KVM_CAP_PRE_FAULT_MEMORY, 1),
	IS(KVM_CAP_X86_APIC_BUS_CYCLES_NS, 1),
	IS(KVM_CAP_INTROSPECTION, KVMI_VERSION),
};

/* More than yes or no, in the numbers of the interface's document. */
static const struct cap values[] = {
	IS(KVM_CAP_NR_MEMSLOTS, 32764),
	IS(KVM_CAP_COALESCED_MMIO, 2),
	IS(KVM_CAP_IRQ_ROUTING, 4096),
	IS(KVM_CAP_MCE, 32),
	IS(KVM_CAP_ADJUST_CLOCK, 14),
	IS(KVM_CAP_MAX_VCPUS, 1024),
	IS(KVM_CAP_SYNC_REGS, 7),
	IS(KVM_CAP_MAX_VCPU_ID, 1024),
	IS(KVM_CAP_MULTI_ADDRESS_SPACE, 2),
	IS(KVM_CAP_X2APIC_API, 3),
	IS(KVM_CAP_X86_DISABLE_EXITS, 0xe),
	IS(KVM_CAP_EXIT_HYPERCALL, 1 << 12),
	IS(KVM_CAP_SET_GUEST_DEBUG2, 0x1f0003),
	IS(KVM_CAP_XEN_HVM, 2),
	IS(KVM_CAP_XSAVE2, 4096),
	IS(KVM_CAP_DISABLE_QUIRKS2, 0x1ff),
	IS(KVM_CAP_VM_TYPES, 1 << KVM_X86_DEFAULT_VM | 1 << KVM_X86_SW_PROTECTED_VM),
	IS(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET),
	IS(KVM_CAP_DIRTY_LOG_RING, 65536 * sizeof(struct kvm_dirty_gfn)),
	IS(KVM_CAP_DIRTY_LOG_RING_ACQ_REL, 65536 * sizeof(struct kvm_dirty_gfn)),
};

static void check(int fd, const struct cap *c, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		long value = kvm(fd, KVM_CHECK_EXTENSION, c[i].number);

		if (value != c[i].value)
			fail_msg("%s is %#lx, not %#lx", c[i].name, value, c[i].value);
	}
}

static void test_needed(void **state)
{
	int sys = kvm_open(), vm = kvm(sys, KVM_CREATE_VM, 0);

	check(sys, needed, ARRAY_SIZE(needed));
	check(vm, needed, ARRAY_SIZE(needed));
	kvm_close(vm);
	kvm_close(sys);
}

static void test_ours(void **state)
{
	int sys = kvm_open(), vm = kvm(sys, KVM_CREATE_VM, 0);

	if (port.real) {
		print_message("kernels differ in these\n");
		skip();
	}
	check(sys, ours, ARRAY_SIZE(ours));
	check(vm, ours, ARRAY_SIZE(ours));
	check(sys, values, ARRAY_SIZE(values));
	check(vm, values, ARRAY_SIZE(values));
	kvm_close(vm);
	kvm_close(sys);
}

static bool listed(u32 number, const struct cap *c, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (c[i].number == number)
			return true;
	return false;
}

/*
 * The number of processors and the format of nested state (nested_test.c) are the host's; private memory depends on the
 * kind of vm (private_test.c).
 */
static bool depends(u32 number)
{
	return number == KVM_CAP_NR_VCPUS || number == KVM_CAP_MEMORY_ATTRIBUTES ||
	       number == KVM_CAP_GUEST_MEMFD || number == KVM_CAP_NESTED_STATE;
}

static void test_nothing_else(void **state)
{
	int sys = kvm_open();

	if (port.real) {
		print_message("kernels have more\n");
		skip();
	}
	for (u32 n = 0; n < 1000; n++)
		if (!depends(n) && !listed(n, needed, ARRAY_SIZE(needed)) &&
			!listed(n, ours, ARRAY_SIZE(ours)) &&
			!listed(n, values, ARRAY_SIZE(values)) &&
			kvm(sys, KVM_CHECK_EXTENSION, n) != 0)
			fail_msg("capability %u is promised, but in no list here", n);
	assert_true(kvm(sys, KVM_CHECK_EXTENSION, KVM_CAP_NR_VCPUS) >= 1);
	kvm_close(sys);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_needed),
		cmocka_unit_test(test_ours),
		cmocka_unit_test(test_nothing_else),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
