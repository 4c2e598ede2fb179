/* SPDX-License-Identifier: MIT */
/* The page that tells a guest how much time it did not get: MSR_KVM_STEAL_TIME. */
#include "tests/abi/port.h"

#include <errno.h>
#include <linux/kvm_para.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PAGE_AT 0x4000

static long msr_set(struct guest *g, u64 value)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e;
	} m = {{.nmsrs = 1}, {.index = MSR_KVM_STEAL_TIME, .data = value}};

	return kvm_p(g->vcpu, KVM_SET_MSRS, &m);
}

static struct kvm_steal_time page_of(struct guest *g)
{
	struct kvm_steal_time s;

	memcpy(&s, g->ram + PAGE_AT, sizeof(s));
	return s;
}

static void test_values(void **state)
{
	struct guest g;

	guest_open(&g);
	assert_int_equal(msr_set(&g, (RAM_GPA + PAGE_AT) | 2), 0);
	assert_int_equal(msr_set(&g, (RAM_GPA + PAGE_AT) | 32), 0);
	assert_int_equal(msr_set(&g, 0), 1);
	assert_int_equal(msr_set(&g, (RAM_GPA + PAGE_AT) | KVM_MSR_ENABLED), 1);
	guest_close(&g);
}

/* Two processes for one processor, so that some time is stolen. */
static void burn(long ms)
{
	struct timespec now, end;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_nsec += ms * 1000000;
	do
		clock_gettime(CLOCK_MONOTONIC, &now);
	while ((now.tv_sec - end.tv_sec) * 1000000000ll + now.tv_nsec - end.tv_nsec < 0);
}

static void test_page(void **state)
{
	struct guest g;
	struct kvm_steal_time before, after;

	guest_open(&g);
	GUEST_CODE(&g, 0xe6, 0x10, 0xeb, 0xfc); /* out %al, $0x10; jmp there */
	assert_int_equal(msr_set(&g, (RAM_GPA + PAGE_AT) | KVM_MSR_ENABLED), 1);
	assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), 0);
	before = page_of(&g);
	assert_true(before.version && !(before.version & 1));
	burn(2);
	assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), 0);
	after = page_of(&g);
	assert_true(after.version > before.version && !(after.version & 1));
	assert_true(after.steal >= before.steal);
	assert_int_equal(after.flags, 0);
	assert_int_equal(msr_set(&g, 0), 1);
	assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), 0);
	assert_int_equal(page_of(&g).version, after.version);
	guest_close(&g);
}

/* A page that is not there is the guest's mistake and changes nothing. */
static void test_no_page(void **state)
{
	struct guest g;

	guest_open(&g);
	GUEST_CODE(&g, 0xe6, 0x10);
	assert_int_equal(msr_set(&g, 0x80000000ull | KVM_MSR_ENABLED), 1);
	assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_IO);
	guest_close(&g);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_page),
		cmocka_unit_test(test_no_page),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
