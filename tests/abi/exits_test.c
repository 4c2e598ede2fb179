/* SPDX-License-Identifier: MIT */
/* The rarer exits of KVM_RUN, each by a guest that causes it. The everyday ones are in run_test.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "port.h"

#define IS(fd, req, p, want) assert_int_equal(kvm_p(fd, req, p), want)

struct cpuid {
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 e[200];
};

/* All that there is, and Hyper-V's leaves if this is their request. */
static void set_cpuid(struct guest *g, unsigned long also)
{
	struct cpuid *all = calloc(1, sizeof(*all)), *more = calloc(1, sizeof(*more));

	all->head.nent = more->head.nent = ARRAY_SIZE(all->e) / 2;
	IS(g->sys, KVM_GET_SUPPORTED_CPUID, all, 0);
	if (also) {
		IS(g->vcpu, also, more, 0);
		for (u32 i = 0; i < all->head.nent; i++) /* KVM's own leaves make room */
			if (all->e[i].function >> 28 == 4)
				all->e[i].function |= 0x100;
		memcpy(&all->e[all->head.nent], more->e, more->head.nent * sizeof(more->e[0]));
		all->head.nent += more->head.nent;
	}
	IS(g->vcpu, KVM_SET_CPUID2, all, 0);
	free(all);
	free(more);
}

/* ---- KVM_EXIT_IOAPIC_EOI: the VMM has the IOAPIC ---- */

#define VECTOR      0x50
#define IDT         0x2000
#define HANDLER     0x1100
#define MSI_ADDRESS 0xfee00000
#define MSI_LEVEL   0xc000 /* level-triggered, asserted */

static void open_split(struct guest *g)
{
	struct kvm_enable_cap cap = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {24}};

	guest_open(g);
	kvm_close(g->vcpu);
	munmap(g->run, kvm(g->sys, KVM_GET_VCPU_MMAP_SIZE, 0));
	kvm_close(g->vm);
	g->vm = kvm(g->sys, KVM_CREATE_VM, 0);
	IS(g->vm, KVM_ENABLE_CAP, &cap, 0);
	struct kvm_userspace_memory_region r = {.guest_phys_addr = RAM_GPA,
		.memory_size = RAM_BYTES,
		.userspace_addr = (unsigned long)g->ram};
	IS(g->vm, KVM_SET_USER_MEMORY_REGION, &r, 0);
	g->vcpu = kvm(g->vm, KVM_CREATE_VCPU, 0);
	assert_true(g->vcpu >= 0);
	g->run = mmap(NULL, kvm(g->sys, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE,
		MAP_SHARED, g->vcpu, 0);
	assert_true(g->run != MAP_FAILED);
}

/* The handler of VECTOR: EOI by the x2APIC's MSR, out to port 10h, iret. */
static void put_handler(struct guest *g)
{
	static const u8 handler[] = {0x66, 0xb9, 0x0b, 0x08, 0, 0, 0x66, 0x31, 0xc0, 0x66, 0x31,
		0xd2, 0x0f, 0x30, 0xe6, 0x10, 0xcf};
	static const u16 entry[2] = {HANDLER, 0};
	struct kvm_sregs s;

	memcpy(g->ram + HANDLER - RAM_GPA, handler, sizeof(handler));
	memcpy(g->ram + IDT - RAM_GPA + VECTOR * 4, entry, sizeof(entry));
	IS(g->vcpu, KVM_GET_SREGS, &s, 0);
	s.idt.base = IDT;
	s.idt.limit = 0x3ff;
	IS(g->vcpu, KVM_SET_SREGS, &s, 0);
}

static void test_ioapic_eoi(void **state)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry e;
	} routes = {.head = {.nr = 1},
		.e = {.gsi = 5,
			.type = KVM_IRQ_ROUTING_MSI,
			.u.msi = {.address_lo = MSI_ADDRESS, .data = MSI_LEVEL | VECTOR}}};
	struct kvm_msi msi = {.address_lo = MSI_ADDRESS, .data = MSI_LEVEL | VECTOR};
	struct guest g;

	open_split(&g);
	set_cpuid(&g, 0);
	/* x2APIC on, software enable, sti; hlt for ever */
	GUEST_CODE(&g, 0x66, 0xb9, 0x1b, 0, 0, 0, 0x66, 0xb8, 0, 0x0d, 0xe0, 0xfe, 0x66, 0x31, 0xd2,
		0x0f, 0x30, 0x66, 0xb9, 0x0f, 0x08, 0, 0, 0x66, 0xb8, 0xff, 1, 0, 0, 0x0f, 0x30,
		0xe6, 0x11, 0xfb, 0xf4, 0xeb, 0xfd);
	put_handler(&g);
	IS(g.vm, KVM_SET_GSI_ROUTING, &routes, 0);
	run_to(&g, KVM_EXIT_IO);
	assert_int_equal(g.run->io.port, 0x11);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(kvm_p(g.vm, KVM_SIGNAL_MSI, &msi), 1);
		assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), 0);
		if (port.real && g.run->exit_reason == KVM_EXIT_IO) {
			print_message("this kernel's KVM (without VMX and SVM) never reports it\n");
			guest_close(&g);
			skip();
		}
		assert_int_equal(g.run->exit_reason, KVM_EXIT_IOAPIC_EOI);
		assert_int_equal(g.run->eoi.vector, VECTOR);
		run_to(&g, KVM_EXIT_IO);
		assert_int_equal(g.run->io.port, 0x10);
	}
	/* An edge is nobody's business. */
	msi.data = VECTOR;
	routes.e.u.msi.data = VECTOR;
	IS(g.vm, KVM_SET_GSI_ROUTING, &routes, 0);
	assert_int_equal(kvm_p(g.vm, KVM_SIGNAL_MSI, &msi), 1);
	run_to(&g, KVM_EXIT_IO);
	guest_close(&g);
}

/* ---- KVM_EXIT_TPR_ACCESS ---- */

static void test_tpr_access(void **state)
{
	struct kvm_tpr_access_ctl on = {.enabled = 1};
	struct kvm_sregs s;
	struct guest g;

	guest_open_irqchip(&g);
	/* xor ebx, ebx; mov [ebx + fee00080], eax; mov eax, [ebx + fee00080]; out 10h, al; hlt */
	GUEST_CODE(&g, 0x66, 0x31, 0xdb, 0x67, 0x66, 0x89, 0x83, 0x80, 0, 0xe0, 0xfe, 0x67, 0x66,
		0x8b, 0x83, 0x80, 0, 0xe0, 0xfe, 0xe6, 0x10, 0xf4);
	IS(g.vcpu, KVM_GET_SREGS, &s, 0);
	s.ds.limit = 0xffffffff;
	s.ds.g = 1;
	IS(g.vcpu, KVM_SET_SREGS, &s, 0);
	IS(g.vcpu, KVM_TPR_ACCESS_REPORTING, &on, 0);
	if (port.real) { /* only with hardware that traps these, and a client works without */
		print_message("the kernel may or may not report\n");
		guest_close(&g);
		skip();
	}
	run_to(&g, KVM_EXIT_TPR_ACCESS);
	assert_int_equal(g.run->tpr_access.is_write, 1);
	run_to(&g, KVM_EXIT_TPR_ACCESS);
	assert_int_equal(g.run->tpr_access.is_write, 0);
	run_to(&g, KVM_EXIT_IO);
	guest_close(&g);
}

/* ---- Hyper-V's ---- */

static bool open_hyperv(struct guest *g, u32 cap)
{
	guest_open_irqchip(g);
	if (kvm(g->sys, KVM_CHECK_EXTENSION, cap) > 0)
		return true;
	print_message("this kernel has no Hyper-V interface\n");
	guest_close(g);
	return false;
}

static void test_crash(void **state)
{
	struct guest g;

	if (!open_hyperv(&g, KVM_CAP_HYPERV_CPUID))
		skip();
	set_cpuid(&g, KVM_GET_SUPPORTED_HV_CPUID);
	/* wrmsr 40000105h (HV_X64_MSR_CRASH_CTL), bit 63; hlt */
	GUEST_CODE(&g, 0x66, 0xb9, 5, 1, 0, 0x40, 0x66, 0x31, 0xc0, 0x66, 0xba, 0, 0, 0, 0x80, 0x0f,
		0x30, 0xe6, 0x10, 0xf4);
	run_to(&g, KVM_EXIT_SYSTEM_EVENT);
	assert_int_equal(g.run->system_event.type, KVM_SYSTEM_EVENT_CRASH);
	/* The VMM may let it go on. */
	run_to(&g, KVM_EXIT_IO);
	guest_close(&g);
}

static void test_synic(void **state)
{
	struct kvm_enable_cap cap = {.cap = KVM_CAP_HYPERV_SYNIC2};
	struct guest g;

	if (!open_hyperv(&g, KVM_CAP_HYPERV_SYNIC2))
		skip();
	IS(g.vcpu, KVM_ENABLE_CAP, &cap, 0);
	set_cpuid(&g, KVM_GET_SUPPORTED_HV_CPUID);
	/* wrmsr 40000080h (HV_X64_MSR_SCONTROL), 1; out 10h, al; hlt */
	GUEST_CODE(&g, 0x66, 0xb9, 0x80, 0, 0, 0x40, 0x66, 0xb8, 1, 0, 0, 0, 0x66, 0x31, 0xd2, 0x0f,
		0x30, 0xe6, 0x10, 0xf4);
	run_to(&g, KVM_EXIT_HYPERV);
	assert_int_equal(g.run->hyperv.type, KVM_EXIT_HYPERV_SYNIC);
	assert_int_equal(g.run->hyperv.u.synic.msr, 0x40000080);
	assert_int_equal(g.run->hyperv.u.synic.control, 1);
	run_to(&g, KVM_EXIT_IO);
	guest_close(&g);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ioapic_eoi),
		cmocka_unit_test(test_tpr_access),
		cmocka_unit_test(test_crash),
		cmocka_unit_test(test_synic),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
