/* SPDX-License-Identifier: MIT */
/* System management mode through the interface. A kernel that has none says so and is done. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "port.h"

#define IS(fd, req, p, want)   assert_int_equal(kvm_p(fd, req, p), want)
#define IS_N(fd, req, n, want) assert_int_equal(kvm(fd, req, n), want)

#define SMBASE 0x30000

static bool has_smm(const struct guest *g)
{
	if (kvm(g->sys, KVM_CHECK_EXTENSION, KVM_CAP_X86_SMM) == 1) {
		IS_N(g->vm, KVM_CHECK_EXTENSION, KVM_CAP_MULTI_ADDRESS_SPACE, 2);
		return true;
	}
	IS_N(g->vcpu, KVM_SMI, 0, -ENOTTY);
	return false;
}

static u8 *add_smram(const struct guest *g)
{
	u8 *p = mmap(NULL, 0x10000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region r = {.slot = 1 << 16,
		.guest_phys_addr = SMBASE,
		.memory_size = 0x10000,
		.userspace_addr = (unsigned long)p};

	assert_true(p != MAP_FAILED);
	IS(g->vm, KVM_SET_USER_MEMORY_REGION, &r, 0);
	return p;
}

static struct kvm_vcpu_events events_of(const struct guest *g)
{
	struct kvm_vcpu_events e;

	IS(g->vcpu, KVM_GET_VCPU_EVENTS, &e, 0);
	assert_true(e.flags & KVM_VCPUEVENT_VALID_SMM);
	return e;
}

static void run_to_port(const struct guest *g, u16 port)
{
	IS_N(g->vcpu, KVM_RUN, 0, 0);
	assert_int_equal(g->run->exit_reason, KVM_EXIT_IO);
	assert_int_equal(g->run->io.port, port);
}

/* KVM_SMI, the flag in kvm_run, and the events that a VMM saves. */
static void test_smi(void **state)
{
	static const u8 handler[] = {0xe6, 0x30, 0xe6, 0x31, 0x0f, 0xaa};
	struct guest g;
	u8 *smram;

	guest_open(&g);
	if (has_smm(&g)) {
		smram = add_smram(&g);
		memcpy(smram + 0x8000, handler, sizeof(handler));
		GUEST_CODE(&g, 0xe6, 0x10, 0xe6, 0x11);
		run_to_port(&g, 0x10);
		assert_int_equal(g.run->flags & KVM_RUN_X86_SMM, 0);
		IS_N(g.vcpu, KVM_SMI, 0, 0);
		run_to_port(&g, 0x30);
		assert_true(g.run->flags & KVM_RUN_X86_SMM);
		assert_int_equal(events_of(&g).smi.smm, 1);
		assert_int_equal(events_of(&g).smi.smm_inside_nmi, 0);
		assert_int_equal(events_of(&g).nmi.masked, 1);
		run_to_port(&g, 0x31);
		run_to_port(&g, 0x11);
		assert_int_equal(g.run->flags & KVM_RUN_X86_SMM, 0);
		assert_int_equal(events_of(&g).smi.smm, 0);
		munmap(smram, 0x10000);
	}
	guest_close(&g);
}

/* What was saved inside comes back inside: events decide which memory the processor sees. */
static void test_events(void **state)
{
	static const u8 handler[] = {0xe6, 0x30, 0x0f, 0xaa};
	struct guest g;
	struct kvm_vcpu_events e;
	struct kvm_sregs sregs, before;
	struct kvm_regs regs;
	u8 *smram;

	guest_open(&g);
	if (has_smm(&g)) {
		smram = add_smram(&g);
		memcpy(smram + 0x8000, handler, sizeof(handler));
		GUEST_CODE(&g, 0xe6, 0x10, 0xe6, 0x11);
		IS(g.vcpu, KVM_GET_SREGS, &before, 0);
		run_to_port(&g, 0x10);
		e = events_of(&g);
		e.smi.pending = 1;
		e.flags = KVM_VCPUEVENT_VALID_NMI_PENDING; /* without the flag it does not count */
		IS(g.vcpu, KVM_SET_VCPU_EVENTS, &e, 0);
		assert_int_equal(events_of(&g).smi.pending, 0);
		e.flags = KVM_VCPUEVENT_VALID_SMM;
		IS(g.vcpu, KVM_SET_VCPU_EVENTS, &e, 0);
		assert_int_equal(events_of(&g).smi.pending, 1);
		run_to_port(&g, 0x30);
		e = events_of(&g);
		IS(g.vcpu, KVM_GET_SREGS, &sregs, 0);
		IS(g.vcpu, KVM_GET_REGS, &regs, 0);

		/* Out by hand, then in again by hand. */
		e.smi.smm = 0;
		e.flags = KVM_VCPUEVENT_VALID_SMM;
		IS(g.vcpu, KVM_SET_VCPU_EVENTS, &e, 0);
		regs.rip = RAM_GPA;
		IS(g.vcpu, KVM_SET_REGS, &regs, 0);
		IS(g.vcpu, KVM_SET_SREGS, &before, 0);
		run_to_port(&g, 0x10);
		e.smi.smm = 1;
		IS(g.vcpu, KVM_SET_VCPU_EVENTS, &e, 0);
		regs.rip = 0x8000;
		IS(g.vcpu, KVM_SET_REGS, &regs, 0);
		IS(g.vcpu, KVM_SET_SREGS, &sregs, 0);
		run_to_port(&g, 0x30);
		run_to_port(&g, 0x11);
		munmap(smram, 0x10000);
	}
	guest_close(&g);
}

/* INIT waits for the end of SMM, so who is told both at once is told too much. */
static void test_init_state(void **state)
{
	struct kvm_mp_state init = {KVM_MP_STATE_INIT_RECEIVED}, runs = {KVM_MP_STATE_RUNNABLE};
	struct kvm_vcpu_events e;
	struct guest g;

	guest_open_irqchip(&g);
	if (has_smm(&g)) {
		e = events_of(&g);
		e.flags = KVM_VCPUEVENT_VALID_SMM;
		e.smi.pending = 1;
		IS(g.vcpu, KVM_SET_MP_STATE, &init, 0);
		IS(g.vcpu, KVM_SET_VCPU_EVENTS, &e, -EINVAL);
		IS(g.vcpu, KVM_SET_MP_STATE, &runs, 0);
		IS(g.vcpu, KVM_SET_VCPU_EVENTS, &e, 0);
		IS(g.vcpu, KVM_SET_MP_STATE, &init, -EINVAL);
		e.smi.pending = 0;
		e.smi.latched_init = 1;
		IS(g.vcpu, KVM_SET_VCPU_EVENTS, &e, 0);
		assert_int_equal(events_of(&g).smi.latched_init, 1);
	}
	guest_close(&g);
}

static void test_smbase(void **state)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e[1];
	} m = {.head = {.nmsrs = 1}, .e = {{.index = 0x9e, .data = 0x12345000}}};
	struct guest g;

	guest_open(&g);
	if (has_smm(&g)) {
		IS(g.vcpu, KVM_SET_MSRS, &m, 1);
		m.e[0].data = 0;
		IS(g.vcpu, KVM_GET_MSRS, &m, 1);
		assert_int_equal(m.e[0].data, 0x12345000);
	}
	guest_close(&g);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_smi),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_init_state),
		cmocka_unit_test(test_smbase),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
