/* SPDX-License-Identifier: MIT */
/* The nested state of a vcpu that runs no nested guest: a header, which can be set again. */
#include "tests/abi/port.h"

#include <errno.h>
#include <string.h>

struct room {
	struct kvm_nested_state s;
	u8 more[16384];
};

/* A KVM may be built without. Ours may not. */
static bool offered(struct guest *g)
{
	long size = kvm(g->sys, KVM_CHECK_EXTENSION, KVM_CAP_NESTED_STATE);

	if (port.real && size <= 0)
		return false;
	assert_in_range(size, sizeof(struct kvm_nested_state) + 4096, sizeof(struct room));
	return true;
}

static long get(struct guest *g, struct room *r)
{
	return kvm_p(g->vcpu, KVM_GET_NESTED_STATE, r);
}

static long set(struct guest *g, const struct room *r)
{
	return kvm_p(g->vcpu, KVM_SET_NESTED_STATE, r);
}

static void test_none_runs(void **state)
{
	static struct room r;
	struct guest g;

	guest_open(&g);
	if (offered(&g)) {
		memset(&r, 0xa5, sizeof(r));
		r.s.size = sizeof(r);
		assert_int_equal(get(&g, &r), 0);
		assert_int_equal(r.s.size, sizeof(r.s));
		assert_false(
			r.s.flags & (KVM_STATE_NESTED_GUEST_MODE | KVM_STATE_NESTED_RUN_PENDING));
		assert_int_equal(r.more[0], 0xa5);
		if (r.s.format == KVM_STATE_NESTED_FORMAT_VMX) {
			assert_true(r.s.hdr.vmx.vmxon_pa == ~0ull);
			assert_true(r.s.hdr.vmx.vmcs12_pa == ~0ull);
			assert_int_equal(r.s.flags, 0);
		} else {
			assert_int_equal(r.s.format, KVM_STATE_NESTED_FORMAT_SVM);
			assert_int_equal(r.s.flags, KVM_STATE_NESTED_GIF_SET);
		}
		assert_int_equal(set(&g, &r), 0);
	}
	guest_close(&g);
}

static void test_refused(void **state)
{
	static struct room r;
	struct guest g;

	guest_open(&g);
	if (offered(&g)) {
		r.s.size = 8;
		assert_int_equal(get(&g, &r), -E2BIG);
		assert_int_equal(r.s.size, sizeof(r.s));
		assert_int_equal(get(&g, (void *)BAD_POINTER), -EFAULT);
		assert_int_equal(set(&g, (void *)BAD_POINTER), -EFAULT);
		assert_int_equal(get(&g, &r), 0);
		r.s.size--;
		assert_int_equal(set(&g, &r), -EINVAL);
		r.s.size++;
		r.s.flags ^= KVM_STATE_NESTED_GUEST_MODE;
		assert_int_equal(set(&g, &r), -EINVAL);
		r.s.flags ^= KVM_STATE_NESTED_GUEST_MODE;
		r.s.format ^= 1;
		assert_int_equal(set(&g, &r), -EINVAL);
		r.s.format ^= 1;
		assert_int_equal(set(&g, &r), 0);
		if (r.s.format == KVM_STATE_NESTED_FORMAT_VMX) {
			r.s.hdr.vmx.vmxon_pa = 0x1000;
			assert_int_equal(set(&g, &r), -EINVAL);
		}
	}
	guest_close(&g);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none_runs),
		cmocka_unit_test(test_refused),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
