/* SPDX-License-Identifier: MIT */
/* Requests whose lines `uservisor trace` has to get right: trace.py looks at them. */
#include "tests/shim/preload/client.h"

#include <linux/kvm_para.h>
#include <sys/eventfd.h>

static void enable(int fd, unsigned cap, unsigned long value)
{
	struct kvm_enable_cap e = {.cap = cap, .args = {value}};

	CHECK(!ioctl(fd, KVM_ENABLE_CAP, &e));
}

static void run_to(struct guest *g, unsigned reason)
{
	CHECK(!ioctl(g->vcpu, KVM_RUN, 0) && g->run->exit_reason == reason);
}

static unsigned char *io_data(struct guest *g)
{
	return (unsigned char *)g->run + g->run->io.data_offset;
}

/* Once by the way to its own end, so that it is certain what the answer belongs to. */
static void answer_in(struct guest *g)
{
	run_to(g, KVM_EXIT_IO);
	*io_data(g) = 0x1c;
	g->run->immediate_exit = 1;
	CHECK_ERRNO(ioctl(g->vcpu, KVM_RUN, 0), EINTR);
	g->run->immediate_exit = 0;
}

static void asked(void)
{
	struct guest g;

	guest_open(&g, false);
	enable(g.vm, KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_UNKNOWN);
	enable(g.vm, KVM_CAP_EXIT_HYPERCALL, 1 << KVM_HC_MAP_GPA_RANGE);
	GUEST_CODE(&g, 0xe4, 0x60,                  /* in $0x60, %al */
		0xb8, 0x00, 0x10, 0x8e, 0xd8,       /* mov $0x1000, %ax; mov %ax, %ds */
		0x66, 0xa1, 0x08, 0x00,             /* mov 0x8, %eax */
		0xbf, 0x00, 0x04, 0xba, 0x61, 0x00, /* mov $0x400, %di; mov $0x61, %dx */
		0xb9, 0x01, 0x00, 0xf3, 0x6d,       /* mov $1, %cx; rep insw */
		0x66, 0xb9, 0x99, 0x99, 0, 0,       /* mov $0x9999, %ecx */
		0x0f, 0x32, 0x0f, 0x30,             /* rdmsr; wrmsr */
		0x66, 0xb8, 12, 0, 0, 0,            /* mov $KVM_HC_MAP_GPA_RANGE, %eax */
		0x66, 0xbb, 0, 0x50, 0, 0,          /* mov $0x5000, %ebx */
		0x66, 0xb9, 2, 0, 0, 0,             /* mov $2, %ecx */
		0x66, 0xba, 0x10, 0, 0, 0,          /* mov $0x10, %edx */
		0x0f, 0x01, 0xc1, OUT_AL_42);       /* vmcall */
	answer_in(&g);
	run_to(&g, KVM_EXIT_MMIO);
	memcpy(g.run->mmio.data, "\x78\x56\x34\x12", 4);
	run_to(&g, KVM_EXIT_IO);
	memcpy(io_data(&g), "\xaa\xbb", 2);
	run_to(&g, KVM_EXIT_X86_RDMSR);
	g.run->msr.data = 0x77;
	run_to(&g, KVM_EXIT_X86_WRMSR);
	run_to(&g, KVM_EXIT_HYPERCALL);
	g.run->hypercall.ret = 5;
	run_to(&g, KVM_EXIT_IO);
	CHECK(g.run->io.port == 0x42 && *io_data(&g) == 5);
	guest_close(&g);
}

static void other_sizes(void)
{
	unsigned char room[4096] = {0};
	struct guest g;

	guest_open(&g, false);
	CHECK_ERRNO(ioctl(g.sys, _IOC(_IOC_READ | _IOC_WRITE, KVMIO, 0x05, 12), room), EINVAL);
	CHECK_ERRNO(ioctl(g.vm, _IOC(_IOC_NONE, KVMIO, 0x46, 32), room), ENOTTY);
	CHECK_ERRNO(ioctl(g.vm, _IOC(_IOC_WRITE, KVMIO, 0xa3, 8), room), ENOTTY);
	CHECK_ERRNO(ioctl(g.vcpu, _IO(KVMIO, 0xf3), 0), EINVAL);
	guest_close(&g);
}

static void cpuid(struct guest *g)
{
	struct {
		unsigned n, pad;
		struct kvm_cpuid_entry2 e[100];
	} c = {.n = 1};

	CHECK_ERRNO(ioctl(g->sys, KVM_GET_SUPPORTED_CPUID, &c), E2BIG);
	c.n = 100;
	CHECK(!ioctl(g->sys, KVM_GET_SUPPORTED_CPUID, &c));
	CHECK(!ioctl(g->vcpu, KVM_SET_CPUID2, &c));
}

static void structures(void)
{
	struct kvm_irq_level l = {.irq = 4, .level = 1};
	struct kvm_translation t = {.linear_address = 0x1234};
	struct kvm_signal_mask *mask = malloc(sizeof(*mask) + 8);
	struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_IOAPIC};
	struct kvm_lapic_state lapic;
	struct kvm_msr_list list = {.nmsrs = 0};
	unsigned long long mce = 10;
	struct guest g;

	guest_open(&g, true);
	CHECK(!ioctl(g.vm, KVM_IRQ_LINE_STATUS, &l));
	CHECK(!ioctl(g.vcpu, KVM_TRANSLATE, &t) && t.physical_address == 0x1234);
	mask->len = 8;
	memset(mask->sigset, 0x11, 8);
	CHECK(!ioctl(g.vcpu, KVM_SET_SIGNAL_MASK, mask));
	CHECK(!ioctl(g.vm, KVM_GET_IRQCHIP, &chip));
	CHECK(!ioctl(g.vcpu, KVM_GET_LAPIC, &lapic));
	CHECK_ERRNO(ioctl(g.sys, KVM_GET_MSR_INDEX_LIST, &list), E2BIG);
	CHECK(!ioctl(g.vcpu, KVM_X86_SETUP_MCE, &mce));
	enable(g.vm, KVM_CAP_X86_USER_SPACE_MSR, 1);
	cpuid(&g);
	free(mask);
	guest_close(&g);
}

static void refused(void)
{
	struct kvm_userspace_memory_region r = {.slot = 4, .memory_size = 0x1000};
	struct kvm_xcrs x = {.nr_xcrs = 1, .xcrs = {{.value = 0x207}}};
	struct kvm_sregs s;
	struct {
		unsigned n, pad;
		struct kvm_msr_entry e[2];
	} m = {.n = 2, .e = {{.index = 0x10}, {.index = 0xc0000080, .data = 2}}};
	struct guest g;

	guest_open(&g, false);
	r.userspace_addr = (unsigned long)g.ram;
	CHECK_ERRNO(ioctl(g.vm, KVM_SET_USER_MEMORY_REGION, &r), EEXIST);
	CHECK_ERRNO(ioctl(g.vcpu, KVM_SET_XCRS, &x), EINVAL);
	CHECK(!ioctl(g.vcpu, KVM_GET_SREGS, &s));
	s.cs.l = 1;
	CHECK_ERRNO(ioctl(g.vcpu, KVM_SET_SREGS, &s), EINVAL);
	CHECK(ioctl(g.vcpu, KVM_SET_MSRS, &m) == 1);
	guest_close(&g);
}

const struct client_case traced_cases[] = {
	{"asked", asked},
	{"other-sizes", other_sizes},
	{"structures", structures},
	{"refused", refused},
	{NULL, NULL},
};
