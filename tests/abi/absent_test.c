/* SPDX-License-Identifier: MIT */
/*
 * What is not there is absent exactly as in Linux on a machine that does not have it: the capability is 0, the
 * request's error is the kernel's, the structure of another architecture reaches nobody.
 */
#include "tests/abi/port.h"

#include <errno.h>
#include <string.h>

/* Requests of other architectures and devices that are gone: errno on /dev/kvm, a vm and a vcpu. */
static const struct {
	const char *name;
	unsigned long request;
} absent[] = {
#define A(r)                                                                                       \
	{                                                                                          \
#r, r                                                                              \
	}
	A(KVM_ASSIGN_PCI_DEVICE),
	A(KVM_DEASSIGN_PCI_DEVICE),
	A(KVM_ASSIGN_DEV_IRQ),
	A(KVM_DEASSIGN_DEV_IRQ),
	A(KVM_ASSIGN_SET_MSIX_NR),
	A(KVM_ASSIGN_SET_MSIX_ENTRY),
	A(KVM_ASSIGN_SET_INTX_MASK),
	A(KVM_S390_UCAS_MAP),
	A(KVM_S390_UCAS_UNMAP),
	A(KVM_S390_ENABLE_SIE),
	A(KVM_S390_INTERRUPT),
	A(KVM_S390_STORE_STATUS),
	A(KVM_S390_PV_COMMAND),
	A(KVM_S390_ZPCI_OP),
	A(KVM_PPC_GET_PVINFO),
	A(KVM_PPC_GET_SMMU_INFO),
	A(KVM_PPC_ALLOCATE_HTAB),
	A(KVM_ARM_SET_DEVICE_ADDR),
#undef A
	/* Their structures are not in x86's headers: by number and size. */
	{"KVM_PPC_RTAS_DEFINE_TOKEN", _IOW(KVMIO, 0xac, char[128])},
	{"KVM_ARM_VCPU_INIT", _IOW(KVMIO, 0xae, char[32])},
	{"KVM_ARM_PREFERRED_TARGET", _IOR(KVMIO, 0xaf, char[32])},
	{"KVM_ARM_MTE_COPY_TAGS", _IOR(KVMIO, 0xb4, char[48])},
};

static void test_requests(void **state)
{
	u64 buffer[128] = {0};
	struct guest g;
	unsigned i;

	guest_open(&g);
	for (i = 0; i < ARRAY_SIZE(absent); i++) {
		long sys = kvm_p(g.sys, absent[i].request, buffer);
		long vm = kvm_p(g.vm, absent[i].request, buffer);
		long vcpu = kvm_p(g.vcpu, absent[i].request, buffer);

		if (sys != -EINVAL || vm != -ENOTTY || vcpu != -EINVAL)
			fail_msg("%s: %ld, %ld, %ld", absent[i].name, sys, vm, vcpu);
	}
	guest_close(&g);
}

static void test_capabilities(void **state)
{
	static const u16 none[] = {
		17, /* KVM_CAP_DEVICE_ASSIGNMENT */
		27, /* KVM_CAP_DEVICE_DEASSIGNMENT */
		28, /* KVM_CAP_DEVICE_MSIX */
		KVM_CAP_PCI_2_3,
		KVM_CAP_ASSIGN_DEV_IRQ,
		KVM_CAP_IOMMU,
		KVM_CAP_S390_PSW,
		KVM_CAP_S390_UCONTROL,
		KVM_CAP_PPC_SEGSTATE,
		KVM_CAP_PPC_PAIRED_SINGLES,
		KVM_CAP_PPC_HTM,
		KVM_CAP_ARM_PSCI,
		KVM_CAP_ARM_EL1_32BIT,
		KVM_CAP_ARM_VM_IPA_SIZE,
		KVM_CAP_ARM_MTE,
		KVM_CAP_ARM_NISV_TO_USER,
		KVM_CAP_SW_TLB,
		KVM_CAP_MIPS_FPU,
		KVM_CAP_PV_MMU,
		1000,
		0xffff,
	};
	int sys = kvm_open(), vm = kvm(sys, KVM_CREATE_VM, 0);
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(none); i++) {
		assert_int_equal(kvm(sys, KVM_CHECK_EXTENSION, none[i]), 0);
		assert_int_equal(kvm(vm, KVM_CHECK_EXTENSION, none[i]), 0);
	}
	kvm_close(vm);
	kvm_close(sys);
}

/* What this engine does not promise cannot be switched on. The kernel's depends on its machine. */
static void test_not_offered(void **state)
{
	static const u32 caps[] = {KVM_CAP_X86_NOTIFY_VMEXIT, KVM_CAP_X86_BUS_LOCK_EXIT,
		KVM_CAP_PMU_CAPABILITY, KVM_CAP_SGX_ATTRIBUTE, KVM_CAP_VM_COPY_ENC_CONTEXT_FROM,
		KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM, KVM_CAP_VM_DISABLE_NX_HUGE_PAGES,
		KVM_CAP_HYPERV_ENLIGHTENED_VMCS};
	u64 buffer[128] = {0};
	struct guest g;
	unsigned i;

	if (port.real)
		return;
	guest_open(&g);
	for (i = 0; i < ARRAY_SIZE(caps); i++) {
		struct kvm_enable_cap e = {.cap = caps[i], .args = {1}};

		assert_int_equal(kvm(g.sys, KVM_CHECK_EXTENSION, caps[i]), 0);
		assert_int_equal(kvm_p(g.vm, KVM_ENABLE_CAP, &e), -EINVAL);
		assert_int_equal(kvm_p(g.vcpu, KVM_ENABLE_CAP, &e), -EINVAL);
	}
	assert_int_equal(kvm_p(g.vm, KVM_MEMORY_ENCRYPT_OP, buffer), -ENOTTY);
	assert_int_equal(kvm_p(g.vm, KVM_MEMORY_ENCRYPT_REG_REGION, buffer), -ENOTTY);
	assert_int_equal(kvm_p(g.vm, KVM_MEMORY_ENCRYPT_UNREG_REGION, buffer), -ENOTTY);
	guest_close(&g);
}

/* Types of vm that need hardware: SEV, SEV-ES, SNP, TDX. */
static void test_vm_types(void **state)
{
	int sys = kvm_open();
	unsigned type;

	for (type = 2; type < 8; type++)
		assert_int_equal(kvm(sys, KVM_CREATE_VM, type), -EINVAL);
	kvm_close(sys);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_capabilities),
		cmocka_unit_test(test_not_offered),
		cmocka_unit_test(test_vm_types),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
