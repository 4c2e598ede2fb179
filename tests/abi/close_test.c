/* SPDX-License-Identifier: MIT */
/* A machine that is closed while its irqfds fire, by the routes that look at its vcpus. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "tests/abi/port.h"

#define IS(fd, req, p, want) assert_int_equal(kvm_p(fd, req, p), want)

#define VCPUS  24
#define ROUNDS 60

struct firing {
	int event[2];
	_Atomic bool stop;
};

static void *fires(void *arg)
{
	struct firing *f = arg;
	const u64 one = 1;

	for (unsigned i = 0; !f->stop; i++)
		if (write(f->event[i % 2], &one, sizeof(one)) != sizeof(one))
			continue; /* full: nobody reads it just now */
	return NULL;
}

static void add_synic(int vcpu)
{
	const struct kvm_enable_cap cap = {.cap = KVM_CAP_HYPERV_SYNIC};
	struct {
		struct kvm_msrs h;
		struct kvm_msr_entry e[1];
	} m = {.h.nmsrs = 1, .e = {{.index = 0x40000092, .data = 0x40}}};

	if (!kvm_p(vcpu, KVM_ENABLE_CAP, &cap))
		IS(vcpu, KVM_SET_MSRS, &m, 1);
}

/* GSI 5: SINT 2 of the last vcpu, who is looked for among all of them; 6: a message to all. */
static void add_irqfds(int vm, const int *event, bool sint)
{
	struct {
		struct kvm_irq_routing h;
		struct kvm_irq_routing_entry e[2];
	} r = {.h.nr = 2,
		.e = {{.gsi = 5, .type = KVM_IRQ_ROUTING_HV_SINT, .u.hv_sint = {VCPUS - 1, 2}},
			{.gsi = 6,
				.type = KVM_IRQ_ROUTING_MSI,
				.u.msi = {.address_lo = 0xfeeff000, .data = 0x41}}}};

	if (!sint)
		r.e[0] = r.e[1], r.e[0].gsi = 5;
	IS(vm, KVM_SET_GSI_ROUTING, &r, 0);
	for (unsigned i = 0; i < 2; i++) {
		const struct kvm_irqfd f = {.fd = (u32)event[i], .gsi = 5 + i};

		IS(vm, KVM_IRQFD, &f, 0);
	}
}

static void one_round(int sys, const int *event, bool sint)
{
	const int vm = (int)kvm(sys, KVM_CREATE_VM, 0);
	int vcpu[VCPUS];

	assert_true(vm >= 0);
	IS(vm, KVM_CREATE_IRQCHIP, NULL, 0);
	for (unsigned i = 0; i < VCPUS; i++) {
		vcpu[i] = (int)kvm(vm, KVM_CREATE_VCPU, i);
		assert_true(vcpu[i] >= 0);
		if (sint)
			add_synic(vcpu[i]);
	}
	add_irqfds(vm, event, sint);
	for (unsigned i = 0; i < VCPUS; i++)
		kvm_close(vcpu[i]);
	kvm_close(vm);
}

static void test_irqfds(void **state)
{
	struct firing f = {.event = {eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
				   eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)}};
	const int sys = kvm_open();
	const bool sint = kvm(sys, KVM_CHECK_EXTENSION, KVM_CAP_HYPERV_SYNIC) > 0;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, fires, &f), 0);
	for (unsigned i = 0; i < ROUNDS; i++)
		one_round(sys, f.event, sint && i % 3);
	f.stop = true;
	pthread_join(thread, NULL);
	kvm_close(sys);
	close(f.event[0]);
	close(f.event[1]);
}

/* They end with the machine's descriptor, though a vcpu keeps the machine. */
static void test_vcpu_left(void **state)
{
	const int sys = kvm_open(), vm = (int)kvm(sys, KVM_CREATE_VM, 0);
	const int event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	const struct kvm_irqfd f = {.fd = (u32)event, .gsi = 5};
	const struct timespec rest = {.tv_nsec = 20000000};
	u64 count = 1;
	int vcpu;

	assert_int_equal(kvm(vm, KVM_CREATE_IRQCHIP, 0), 0);
	vcpu = (int)kvm(vm, KVM_CREATE_VCPU, 0);
	IS(vm, KVM_IRQFD, &f, 0);
	kvm_close(vm);
	assert_int_equal(write(event, &count, sizeof(count)), sizeof(count));
	nanosleep(&rest, NULL); /* for who would take it */
	assert_int_equal(read(event, &count, sizeof(count)), sizeof(count));
	kvm_close(vcpu);
	kvm_close(sys);
	close(event);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_irqfds),
		cmocka_unit_test(test_vcpu_left),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
