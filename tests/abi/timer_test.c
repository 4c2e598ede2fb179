/* SPDX-License-Identifier: MIT */
/*
 * The local APIC's timer as a VMM sees it: of a vcpu that is stopped, expiry is in IRR or in the timer's own state at
 * any moment; and one that is halted wakes.
 */
#include "tests/abi/port.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MSR_TSC          0x10
#define MSR_TSC_DEADLINE 0x6e0
#define SVR              0xf0
#define IRR              0x200
#define LVT_TIMER        0x320
#define VECTOR           0x40
#define PERIODIC_MODE    0x20000
#define DEADLINE_MODE    0x40000

static u64 msr_of(struct guest *g, u32 index)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e;
	} m = {{.nmsrs = 1}, {.index = index}};

	assert_int_equal(kvm_p(g->vcpu, KVM_GET_MSRS, &m), 1);
	return m.e.data;
}

static void msr_to(struct guest *g, u32 index, u64 value)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e;
	} m = {{.nmsrs = 1}, {.index = index, .data = value}};

	assert_int_equal(kvm_p(g->vcpu, KVM_SET_MSRS, &m), 1);
}

static bool requested(struct guest *g)
{
	struct kvm_lapic_state l;

	assert_int_equal(kvm_p(g->vcpu, KVM_GET_LAPIC, &l), 0);
	return l.regs[IRR + VECTOR / 32 * 16 + VECTOR % 32 / 8] >> VECTOR % 8 & 1;
}

static void set_lvt(struct guest *g, u32 mode)
{
	struct kvm_lapic_state l;
	const u32 svr = 0x1ff, lvt = mode | VECTOR;

	assert_int_equal(kvm_p(g->vcpu, KVM_GET_LAPIC, &l), 0);
	memcpy(l.regs + SVR, &svr, sizeof(svr));
	memcpy(l.regs + LVT_TIMER, &lvt, sizeof(lvt));
	assert_int_equal(kvm_p(g->vcpu, KVM_SET_LAPIC, &l), 0);
}

static void open_deadline(struct guest *g)
{
	struct kvm_cpuid2 *id = calloc(1, sizeof(*id) + sizeof(id->entries[0]));

	guest_open_irqchip(g);
	id->nent = 1;
	id->entries[0] = (struct kvm_cpuid_entry2){.function = 1, .ecx = BIT(24)};
	assert_int_equal(kvm_p(g->vcpu, KVM_SET_CPUID2, id), 0);
	free(id);
	set_lvt(g, DEADLINE_MODE);
}

/* It passes while nobody runs the vcpu: the MSR keeps it, and IRR stays clear, until somebody does. */
static void test_passes(void **state)
{
	struct timespec nap = {.tv_nsec = 5000000};
	struct guest g;
	u64 tsc;

	open_deadline(&g);
	tsc = msr_of(&g, MSR_TSC) + 1000000;
	msr_to(&g, MSR_TSC_DEADLINE, tsc);
	assert_false(requested(&g));
	while (msr_of(&g, MSR_TSC) < tsc)
		nanosleep(&nap, NULL);
	nanosleep(&nap, NULL);
	assert_int_equal(msr_of(&g, MSR_TSC_DEADLINE), tsc);
	assert_false(requested(&g));
	g.run->immediate_exit = 1;
	assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), -EINTR);
	assert_true(msr_of(&g, MSR_TSC_DEADLINE) == tsc || requested(&g));
	msr_to(&g, MSR_TSC_DEADLINE, 1);
	assert_int_equal(msr_of(&g, MSR_TSC_DEADLINE), 1);
	guest_close(&g);
}

/* 64-bit code: interrupts on, hlt, out 11h. The handler: out 10h, EOI, iretq. */
static void halting_guest(struct guest *g)
{
	static const u8 handler[] = {
		0xe6, 0x10, 0xb9, 0x0b, 0x08, 0, 0, 0x31, 0xc0, 0x31, 0xd2, 0x0f, 0x30, 0x48, 0xcf};

	guest_open_irqchip(g);
	GUEST_LONG_CODE(g, 0xfb, 0xf4, 0xe6, 0x11);
	memcpy(g->ram + 0x800, handler, sizeof(handler));
	guest_gate(g, VECTOR, RAM_GPA + 0x800);
}

static void expect_port(struct guest *g, u16 port)
{
	run_to(g, KVM_EXIT_IO);
	assert_int_equal(g->run->io.port, port);
}

/* On a busy host the next tick of a periodic timer can come before the guest is back from the handler. */
static void expect_end(struct guest *g, bool periodic)
{
	do
		run_to(g, KVM_EXIT_IO);
	while (periodic && g->run->io.port == 0x10);
	assert_int_equal(g->run->io.port, 0x11);
}

/* How the timer is started, by the VMM's x2APIC MSRs; 0 the deadline, which has passed if it is 1. */
static const struct {
	u32 lvt;
	u64 value;
} modes[] = {{0, 2000000}, {PERIODIC_MODE, 2000000}, {DEADLINE_MODE, 0}, {DEADLINE_MODE, 1}};

static void test_wakes(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(modes) && !port.real; i++) {
		bool deadline = modes[i].lvt == DEADLINE_MODE;
		u64 value = modes[i].value;
		struct guest g;

		halting_guest(&g);
		set_lvt(&g, modes[i].lvt);
		msr_to(&g, 0x83e, 0xb);
		if (deadline && !value)
			value = msr_of(&g, MSR_TSC) + 4000000;
		msr_to(&g, deadline ? MSR_TSC_DEADLINE : 0x838, value);
		expect_port(&g, 0x10);
		assert_int_equal(msr_of(&g, MSR_TSC_DEADLINE), 0);
		expect_end(&g, modes[i].lvt == PERIODIC_MODE);
		guest_close(&g);
	}
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_passes),
		cmocka_unit_test(test_wakes),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
