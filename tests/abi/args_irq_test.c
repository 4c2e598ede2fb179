/* SPDX-License-Identifier: MIT */
/*
 * Arguments of the requests about interrupts: controllers and the order in which they are made, PIT, routing, irqfd
 * and ioeventfd. What is taken, what is refused and with what error. Every line holds for the kernel's KVM too.
 */
#include "tests/abi/port.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define IS(fd, request, arg, expected)   assert_int_equal(kvm_p(fd, request, arg), expected)
#define IS_N(fd, request, arg, expected) assert_int_equal(kvm(fd, request, arg), expected)

static void test_irqchip_order(void **state)
{
	struct guest g;
	struct kvm_irq_level l = {.irq = 1, .level = 1};
	struct kvm_irqchip chip = {.chip_id = 0};
	struct kvm_pit_config pit = {0};
	struct kvm_pit_state2 pit_state;
	struct kvm_lapic_state lapic;
	struct kvm_msi msi = {.address_lo = 0xfee00000, .data = 0x40};

	guest_open(&g);
	IS_N(g.vm, KVM_CREATE_IRQCHIP, 0, -EINVAL); /* a vcpu exists */
	IS(g.vm, KVM_IRQ_LINE, &l, -ENXIO);
	IS(g.vm, KVM_IRQ_LINE_STATUS, &l, -ENXIO);
	IS(g.vm, KVM_GET_IRQCHIP, &chip, -ENXIO);
	IS(g.vm, KVM_SET_IRQCHIP, &chip, -ENXIO);
	IS(g.vm, KVM_GET_IRQCHIP, (void *)BAD_POINTER, -EFAULT);
	IS(g.vm, KVM_CREATE_PIT2, &pit, -ENOENT);
	IS(g.vm, KVM_GET_PIT2, &pit_state, -ENXIO);
	IS(g.vm, KVM_SIGNAL_MSI, &msi, -EINVAL);
	IS(g.vcpu, KVM_GET_LAPIC, &lapic, -EINVAL);
	IS(g.vcpu, KVM_SET_LAPIC, (void *)BAD_POINTER, -EINVAL);
	guest_close(&g);
	guest_open_irqchip(&g);
	IS_N(g.vm, KVM_CREATE_IRQCHIP, 0, -EEXIST);
	IS(g.vm, KVM_GET_PIT2, &pit_state, -ENXIO);
	IS(g.vm, KVM_CREATE_PIT2, &pit, 0);
	IS(g.vm, KVM_CREATE_PIT2, &pit, -EEXIST);
	IS(g.vm, KVM_GET_PIT2, &pit_state, 0);
	IS(g.vm, KVM_SET_PIT2, &pit_state, 0);
	for (chip.chip_id = 0; chip.chip_id < 3; chip.chip_id++) {
		IS(g.vm, KVM_GET_IRQCHIP, &chip, 0);
		IS(g.vm, KVM_SET_IRQCHIP, &chip, 0);
	}
	IS(g.vm, KVM_GET_IRQCHIP, &chip, -EINVAL);
	IS(g.vcpu, KVM_GET_LAPIC, &lapic, 0);
	IS(g.vcpu, KVM_SET_LAPIC, &lapic, 0);
	IS(g.vcpu, KVM_SET_LAPIC, (void *)BAD_POINTER, -EFAULT);
	l.irq = 100; /* not routed */
	IS(g.vm, KVM_IRQ_LINE, &l, 0);
	IS(g.vm, KVM_IRQ_LINE_STATUS, &l, 0);
	assert_int_equal(l.status, -1);
	guest_close(&g);
}

/* The first forms of the PIT requests, and the one for late ticks. */
static void test_old_pit(void **state)
{
	struct guest g;
	struct kvm_pit_state pit;
	struct kvm_reinject_control late = {.pit_reinject = 0};

	guest_open(&g);
	IS_N(g.vm, KVM_CREATE_PIT, 0x77, -ENOENT);
	IS(g.vm, KVM_REINJECT_CONTROL, &late, -ENXIO);
	guest_close(&g);
	guest_open_irqchip(&g);
	IS(g.vm, KVM_GET_PIT, &pit, -ENXIO);
	IS_N(g.vm, KVM_CREATE_PIT, 0x77, 0);
	IS_N(g.vm, KVM_CREATE_PIT, 0, -EEXIST);
	IS(g.vm, KVM_GET_PIT, &pit, 0);
	IS(g.vm, KVM_SET_PIT, &pit, 0);
	IS(g.vm, KVM_GET_PIT, (void *)BAD_POINTER, -EFAULT);
	IS(g.vm, KVM_REINJECT_CONTROL, &late, 0);
	guest_close(&g);
}

static long route(int vm, unsigned nr, u32 flags, struct kvm_irq_routing_entry e)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entries[2];
	} r = {.head = {.nr = nr, .flags = flags}, .entries = {e, e}};

	return kvm_p(vm, KVM_SET_GSI_ROUTING, &r);
}

static void test_routing(void **state)
{
	struct guest g;
	struct kvm_irq_routing_entry msi = {
		.gsi = 30, .type = KVM_IRQ_ROUTING_MSI, .u.msi = {0xfee00000, 0, 0x40}};
	struct kvm_irq_routing_entry pin = {
		.gsi = 3, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = {2, 3}};

	guest_open(&g);
	assert_int_equal(route(g.vm, 0, 0, msi), -EINVAL); /* no controller */
	guest_close(&g);
	guest_open_irqchip(&g);
	assert_int_equal(route(g.vm, 0, 0, msi), 0);
	assert_int_equal(route(g.vm, 1, 0, msi), 0);
	assert_int_equal(route(g.vm, 1, 1, msi), -EINVAL);
	assert_int_equal(route(g.vm, 4097, 0, msi), -EINVAL);
	assert_int_equal(route(g.vm, 2, 0, msi), -EINVAL); /* one GSI, two MSIs */
	msi.flags = KVM_MSI_VALID_DEVID;
	assert_int_equal(route(g.vm, 1, 0, msi), 0);
	msi.flags = 2;
	assert_int_equal(route(g.vm, 1, 0, msi), -EINVAL);
	msi.flags = 0;
	msi.gsi = 4096;
	assert_int_equal(route(g.vm, 1, 0, msi), -EINVAL);
	assert_int_equal(route(g.vm, 1, 0, pin), 0);
	assert_int_equal(route(g.vm, 2, 0, pin), -EINVAL);
	pin.u.irqchip.pin = 24;
	assert_int_equal(route(g.vm, 1, 0, pin), -EINVAL);
	pin.u.irqchip.irqchip = 3;
	assert_int_equal(route(g.vm, 1, 0, pin), -EINVAL);
	pin.type = KVM_IRQ_ROUTING_S390_ADAPTER;
	assert_int_equal(route(g.vm, 1, 0, pin), -EINVAL);
	IS(g.vm, KVM_SET_GSI_ROUTING, (void *)BAD_POINTER, -EFAULT);
	guest_close(&g);
}

static void test_irqfd(void **state)
{
	struct guest g;
	int fd = eventfd(0, 0);
	struct kvm_irqfd k = {.fd = fd, .gsi = 5};

	guest_open(&g);
	IS(g.vm, KVM_IRQFD, &k, -EINVAL); /* no controller */
	guest_close(&g);
	guest_open_irqchip(&g);
	IS(g.vm, KVM_IRQFD, (void *)BAD_POINTER, -EFAULT);
	IS(g.vm, KVM_IRQFD, &k, 0);
	IS(g.vm, KVM_IRQFD, &k, -EBUSY);
	k.flags = 4;
	IS(g.vm, KVM_IRQFD, &k, -EINVAL);
	k.flags = KVM_IRQFD_FLAG_DEASSIGN;
	IS(g.vm, KVM_IRQFD, &k, 0);
	IS(g.vm, KVM_IRQFD, &k, 0); /* unknown */
	k.flags = 0;
	k.fd = g.vm;
	IS(g.vm, KVM_IRQFD, &k, -EINVAL);
	k.fd = 9999;
	IS(g.vm, KVM_IRQFD, &k, -EBADF);
	guest_close(&g);
	close(fd);
}

static void test_ioeventfd(void **state)
{
	struct guest g;
	int fd = eventfd(0, 0);
	struct kvm_ioeventfd k = {.fd = fd, .addr = 0xe0000000, .len = 4};

	guest_open(&g);
	IS(g.vm, KVM_IOEVENTFD, (void *)BAD_POINTER, -EFAULT);
	IS(g.vm, KVM_IOEVENTFD, &k, 0);
	IS(g.vm, KVM_IOEVENTFD, &k, -EEXIST);
	k.len = 3;
	IS(g.vm, KVM_IOEVENTFD, &k, -EINVAL);
	k.len = 0;
	k.flags = KVM_IOEVENTFD_FLAG_DATAMATCH;
	IS(g.vm, KVM_IOEVENTFD, &k, -EINVAL);
	k.len = 8;
	k.addr = -4ull;
	IS(g.vm, KVM_IOEVENTFD, &k, -EINVAL);
	k.addr = 0x1f0;
	k.len = 2;
	k.flags = KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH;
	IS(g.vm, KVM_IOEVENTFD, &k, 0);
	k.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
	IS(g.vm, KVM_IOEVENTFD, &k, 0);
	IS(g.vm, KVM_IOEVENTFD, &k, -ENOENT);
	k.flags = 0x40;
	IS(g.vm, KVM_IOEVENTFD, &k, -EINVAL);
	k.flags = 0;
	k.fd = g.vm;
	IS(g.vm, KVM_IOEVENTFD, &k, -EINVAL);
	k.fd = 9999;
	IS(g.vm, KVM_IOEVENTFD, &k, -EBADF);
	guest_close(&g);
	close(fd);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_irqchip_order),
		cmocka_unit_test(test_old_pit),
		cmocka_unit_test(test_routing),
		cmocka_unit_test(test_irqfd),
		cmocka_unit_test(test_ioeventfd),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
