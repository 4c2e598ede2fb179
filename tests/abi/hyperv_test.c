/* SPDX-License-Identifier: MIT */
/* What a VMM asks of the Hyper-V and Xen interfaces. A kernel without one of them says so and is done with it. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "port.h"

#define IS(fd, req, p, want)   assert_int_equal(kvm_p(fd, req, p), want)
#define IS_N(fd, req, n, want) assert_int_equal(kvm(fd, req, n), want)

static bool has(const struct guest *g, u32 cap)
{
	return kvm(g->sys, KVM_CHECK_EXTENSION, cap) > 0;
}

struct cpuid {
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 e[256];
};

static struct cpuid *supported(int fd)
{
	struct cpuid *c = calloc(1, sizeof(*c));

	c->head.nent = ARRAY_SIZE(c->e);
	IS(fd, KVM_GET_SUPPORTED_HV_CPUID, c, 0);
	return c;
}

static void test_cpuid(void **state)
{
	struct kvm_cpuid2 small = {.nent = 1};
	struct cpuid *sys, *with, *without;
	struct guest g, chip;

	guest_open(&g);
	guest_open_irqchip(&chip);
	if (has(&g, KVM_CAP_HYPERV_CPUID)) {
		IS(g.vcpu, KVM_GET_SUPPORTED_HV_CPUID, &small, -E2BIG);
		IS(g.sys, KVM_GET_SUPPORTED_HV_CPUID, &small, -E2BIG);
		IS(g.vcpu, KVM_GET_SUPPORTED_HV_CPUID, (void *)BAD_POINTER, -EFAULT);
		sys = supported(g.sys);
		with = supported(chip.vcpu);
		without = supported(g.vcpu);
		assert_int_equal(sys->head.nent, 10);
		assert_int_equal(sys->e[0].function, 0x40000000);
		assert_memory_equal(&sys->e[0].ebx, "Linux KVM Hv", 12);
		assert_int_equal(sys->e[1].eax, 0x31237648);
		assert_memory_equal(sys->e, with->e, 10 * sizeof(sys->e[0]));
		/* Direct timers and cluster IPIs need the local APIC. */
		assert_true(with->e[3].edx & (1 << 19));
		assert_false(without->e[3].edx & (1 << 19));
		assert_true(with->e[4].eax & (1 << 10));
		assert_false(without->e[4].eax & (1 << 10));
		free(sys);
		free(with);
		free(without);
	}
	guest_close(&g);
	guest_close(&chip);
}

static void test_enable(void **state)
{
	struct kvm_enable_cap cap = {.cap = KVM_CAP_HYPERV_SYNIC};
	struct guest g, chip;

	guest_open(&g);
	guest_open_irqchip(&chip);
	if (has(&g, KVM_CAP_HYPERV_SYNIC2)) {
		IS(g.vcpu, KVM_ENABLE_CAP, &cap, -EINVAL); /* no local APIC */
		IS(chip.vcpu, KVM_ENABLE_CAP, &cap, 0);
		cap.cap = KVM_CAP_HYPERV_SYNIC2;
		IS(chip.vcpu, KVM_ENABLE_CAP, &cap, 0);
		cap.args[0] = 1;
		IS(chip.vcpu, KVM_ENABLE_CAP, &cap, -EINVAL);
		cap.cap = KVM_CAP_HYPERV_ENFORCE_CPUID;
		IS(chip.vcpu, KVM_ENABLE_CAP, &cap, 0);
		IS(chip.vm, KVM_ENABLE_CAP, &cap, -EINVAL); /* a vcpu's */
	}
	guest_close(&g);
	guest_close(&chip);
}

static void test_eventfd(void **state)
{
	struct kvm_hyperv_eventfd e = {.conn_id = 5};
	int fd = eventfd(0, 0), file = dup(2);
	struct guest g;

	guest_open(&g);
	if (has(&g, KVM_CAP_HYPERV_EVENTFD)) {
		e.fd = fd;
		IS(g.vm, KVM_HYPERV_EVENTFD, &e, 0);
		IS(g.vm, KVM_HYPERV_EVENTFD, &e, -EEXIST);
		e.conn_id = 6;
		e.fd = file;
		IS(g.vm, KVM_HYPERV_EVENTFD, &e, -EINVAL); /* no eventfd */
		e.fd = -1;
		IS(g.vm, KVM_HYPERV_EVENTFD, &e, -EBADF);
		e.flags = KVM_HYPERV_EVENTFD_DEASSIGN;
		IS(g.vm, KVM_HYPERV_EVENTFD, &e, -ENOENT);
		e.conn_id = 5;
		IS(g.vm, KVM_HYPERV_EVENTFD, &e, 0);
		IS(g.vm, KVM_HYPERV_EVENTFD, &e, -ENOENT);
		e.flags = 2;
		IS(g.vm, KVM_HYPERV_EVENTFD, &e, -EINVAL);
		e.flags = 0;
		e.conn_id = 1 << 24;
		IS(g.vm, KVM_HYPERV_EVENTFD, &e, -EINVAL);
		IS(g.vm, KVM_HYPERV_EVENTFD, (void *)BAD_POINTER, -EFAULT);
	}
	guest_close(&g);
	close(fd);
	close(file);
}

static void test_route(void **state)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry e[2];
	} r = {.head = {.nr = 1},
		.e = {{.gsi = 30, .type = KVM_IRQ_ROUTING_HV_SINT, .u.hv_sint = {0, 3}}}};
	struct guest g;

	guest_open_irqchip(&g);
	if (has(&g, KVM_CAP_HYPERV_SYNIC)) {
		IS(g.vm, KVM_SET_GSI_ROUTING, &r, 0);
		r.e[0].flags = 1;
		IS(g.vm, KVM_SET_GSI_ROUTING, &r, -EINVAL);
		r.e[0].flags = 0;
		r.e[1] = r.e[0];
		r.head.nr = 2;
		IS(g.vm, KVM_SET_GSI_ROUTING, &r, -EINVAL); /* two of a GSI */
	}
	guest_close(&g);
}

static long set_msr(const struct guest *g, u32 index, u64 value)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e[1];
	} m = {.head = {.nmsrs = 1}, .e = {{.index = index, .data = value}}};

	return kvm_p(g->vcpu, KVM_SET_MSRS, &m);
}

static u64 get_msr(const struct guest *g, u32 index)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e[1];
	} m = {.head = {.nmsrs = 1}, .e = {{.index = index}}};

	IS(g->vcpu, KVM_GET_MSRS, &m, 1);
	return m.e[0].data;
}

/* The VMM's way to the registers needs no CPUID. */
static void test_msrs(void **state)
{
	struct kvm_enable_cap cap = {.cap = KVM_CAP_HYPERV_SYNIC2};
	struct guest g;

	guest_open_irqchip(&g);
	if (has(&g, KVM_CAP_HYPERV_SYNIC2)) {
		assert_int_equal(get_msr(&g, 0x40000002), 0); /* VP index */
		assert_int_equal(set_msr(&g, 0x40000002, 7), 1);
		assert_int_equal(get_msr(&g, 0x40000002), 7);
		assert_int_equal(set_msr(&g, 0x40000002, 100000), 0);
		assert_int_equal(set_msr(&g, 0x40000090, 0x20), 0); /* no SynIC yet */
		assert_int_equal(set_msr(&g, 0x40000080, 0), 1);
		IS(g.vcpu, KVM_ENABLE_CAP, &cap, 0);
		assert_int_equal(get_msr(&g, 0x40000080), 1);
		assert_int_equal(get_msr(&g, 0x40000081), 1);
		assert_int_equal(get_msr(&g, 0x40000090), 0x10000);
		assert_int_equal(set_msr(&g, 0x40000090, 0x20), 1);
		assert_int_equal(get_msr(&g, 0x40000090), 0x20);
		assert_int_equal(set_msr(&g, 0x40000105, -1ull), 1);
		assert_true(get_msr(&g, 0x40000105) == 1ull << 63);
		assert_int_equal(set_msr(&g, 0x40000118, 2), 0);
		assert_true(get_msr(&g, 0x40000022) > 1000000);
		assert_int_equal(set_msr(&g, 0x40000022, 1), 1); /* ignored */
		assert_int_equal(set_msr(&g, 0x40000004, 1), 0);
	}
	guest_close(&g);
}

static void stop(int signo)
{
}

#define STIMER0_CONFIG 0x400000b0
#define STIMER0_COUNT  0x400000b1
#define ENABLE         1
#define PERIODIC       2
#define DIRECT(vector) (0x1000 | (vector) << 4)

/* The end of such a period is beyond what can be counted. It is not now, again and again, with no time for the guest. */
static void test_endless_period(void **state)
{
	static const u64 periods[] = {-1ull, 1ull << 63, -1ull - 1000000};
	const struct sigaction sa = {.sa_handler = stop};
	struct kvm_enable_cap cap = {.cap = KVM_CAP_HYPERV_SYNIC2};
	struct guest g;

	if (port.real) {
		printf("# what becomes of such a timer is the kernel's business\n");
		return;
	}
	sigaction(SIGALRM, &sa, NULL);
	guest_open_irqchip(&g);
	IS(g.vcpu, KVM_ENABLE_CAP, &cap, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(periods); i++) {
		assert_int_equal(set_msr(&g, STIMER0_COUNT, periods[i]), 1);
		assert_int_equal(set_msr(&g, STIMER0_CONFIG, ENABLE | PERIODIC | DIRECT(0x30)), 1);
		GUEST_CODE(
			&g, 0x90, 0xe6, 0x10, 0xf4); /* not where the last OUT waits to be over */
		alarm(20);
		run_to(&g, KVM_EXIT_IO);
		alarm(0);
		assert_true(get_msr(&g, STIMER0_COUNT) == periods[i]);
	}
	guest_close(&g);
}

static void test_xen(void **state)
{
	struct kvm_xen_hvm_config x = {.flags = KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL};
	struct kvm_regs regs;
	struct guest g;

	guest_open(&g);
	if (has(&g, KVM_CAP_XEN_HVM)) {
		x.blob_size_32 = 1;
		IS(g.vm, KVM_XEN_HVM_CONFIG, &x, -EINVAL);
		x.blob_size_32 = 0;
		x.flags |= 1u << 30;
		IS(g.vm, KVM_XEN_HVM_CONFIG, &x, -EINVAL);
		x.flags = KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL;
		x.msr = 0x40000200;
		IS(g.vm, KVM_XEN_HVM_CONFIG, &x, 0);
		/* mov $17, %eax; mov $5, %ebx; vmcall; hlt */
		GUEST_CODE(&g, 0x66, 0xb8, 17, 0, 0, 0, 0x66, 0xbb, 5, 0, 0, 0, 0x0f, 0x01, 0xc1,
			0xf4);
		IS_N(g.vcpu, KVM_RUN, 0, 0);
		assert_int_equal(g.run->exit_reason, KVM_EXIT_XEN);
		assert_int_equal(g.run->xen.type, KVM_EXIT_XEN_HCALL);
		assert_int_equal(g.run->xen.u.hcall.input, 17);
		assert_int_equal(g.run->xen.u.hcall.params[0], 5);
		assert_int_equal(g.run->xen.u.hcall.longmode, 0);
		g.run->xen.u.hcall.result = 99;
		IS_N(g.vcpu, KVM_RUN, 0, 0);
		assert_int_equal(g.run->exit_reason, KVM_EXIT_HLT);
		IS(g.vcpu, KVM_GET_REGS, &regs, 0);
		assert_int_equal(regs.rax, 99);
	}
	guest_close(&g);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cpuid),
		cmocka_unit_test(test_enable),
		cmocka_unit_test(test_eventfd),
		cmocka_unit_test(test_route),
		cmocka_unit_test(test_msrs),
		cmocka_unit_test(test_endless_period),
		cmocka_unit_test(test_xen),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
