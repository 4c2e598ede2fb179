/* SPDX-License-Identifier: MIT */
/* Every partition property: before and after MSHV_INITIALIZE_PARTITION, on the device, what it may be, what it is at first. */
#include "tests/abi/mshv_port.h"

#include <string.h>
#include <sys/mman.h>

#include "abi/dev.h"

enum when { EARLY, LATE, NEVER };

static const struct row {
	u32 code;
	enum when when;
	bool host;     /* the device has it, too */
	u64 good, bad; /* values to set; bad 0: all are good */
	bool other;    /* what is read is not what was set */
	u64 first;     /* at first; ANY: not the same everywhere */
} rows[] = {
#define ANY 0xa11a11a11ull
	{HV_PROPERTY_PRIVILEGE_FLAGS, EARLY, false, 1, 0, true, 0},
	{HV_PROPERTY_SYNTHETIC_PROC_FEATURES, EARLY, false, 3, 0, false, 0},
	{HV_PROPERTY_SUSPEND, LATE, false, 1, 2, false, 0},
	{HV_PROPERTY_CPU_RESERVE, LATE, false, 10, 0, false, 0},
	{HV_PROPERTY_CPU_CAP, LATE, false, 10, 0, false, 0},
	{HV_PROPERTY_CPU_WEIGHT, LATE, false, 10, 0, false, ANY},
	{HV_PROPERTY_CPU_GROUP_ID, LATE, false, 10, 0, false, 0},
	{HV_PROPERTY_TIME_FREEZE, LATE, false, 1, 2, false, 0},
	{HV_PROPERTY_REFERENCE_TIME, LATE, false, 5000, ~0ull, true, ANY},
	{HV_PROPERTY_VIRTUAL_TLB_PAGE_COUNT, LATE, false, 5, 0, false, 0},
	{HV_PROPERTY_VSM_CONFIG, LATE, false, 0, 1, false, 0},
	{HV_PROPERTY_ZERO_MEMORY_ON_RESET, LATE, false, 1, 0, false, 0},
	{HV_PROPERTY_PROCESSORS_PER_SOCKET, LATE, false, 4, 0, false, 0},
	{HV_PROPERTY_GPA_PAGE_ACCESS_TRACKING, LATE, false, 3, 4, false, 0},
	{HV_PROPERTY_IMPLEMENTED_PHYSICAL_ADDRESS_BITS, NEVER, true, 0, 0, false, ANY},
	{HV_PROPERTY_NON_ARCHITECTURAL_CORE_SHARING, NEVER, true, 0, 0, false, 0},
	{HV_PROPERTY_HYPERCALL_DOORBELL_PAGE, EARLY, false, 0x1000, 0, false, 0},
	{HV_PROPERTY_UNIMPLEMENTED_MSR_ACTION, LATE, false, 1, 2, false, 0},
	{HV_PROPERTY_DIAG_BUFFER, EARLY, false, 0x1000, 0, false, 0},
	{HV_PROPERTY_PROCESSOR_VENDOR, NEVER, true, 0, 0, false, ANY},
	{HV_PROPERTY_PROCESSOR_XSAVE_FEATURES, NEVER, true, 0, 0, false, ANY},
	{HV_PROPERTY_PROCESSOR_CL_FLUSH_SIZE, NEVER, true, 0, 0, false, 8},
	{HV_PROPERTY_ENLIGHTENMENT_MODIFICATIONS, LATE, false, 5, 0, false, 0},
	{HV_PROPERTY_COMPATIBILITY_VERSION, NEVER, true, 0, 0, false, 0x609},
	{HV_PROPERTY_PHYSICAL_ADDRESS_WIDTH, NEVER, true, 0, 0, false, ANY},
	{HV_PROPERTY_XSAVE_STATES, NEVER, true, 0, 0, false, ANY},
	{HV_PROPERTY_MAX_XSAVE_DATA_SIZE, NEVER, true, 0, 0, false, ANY},
	{HV_PROPERTY_PROCESSOR_CLOCK_FREQUENCY, NEVER, false, 0, 0, false, ANY},
	{HV_PROPERTY_PROCESSOR_FEATURES0, NEVER, true, 0, 0, false, ANY},
	{HV_PROPERTY_PROCESSOR_FEATURES1, NEVER, true, 0, 0, false, ANY},
	{HV_PROPERTY_GUEST_OS_ID, NEVER, false, 0, 0, false, 0},
	{HV_PROPERTY_PROCESSOR_VIRTUALIZATION_FEATURES, NEVER, true, 0, 0, false, 0},
};

static void check_first(int fd)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		u64 value = property(fd, rows[i].code);

		if (rows[i].first != ANY && value != rows[i].first)
			fail_msg(
				"property 0x%x is 0x%llx", rows[i].code, (unsigned long long)value);
	}
}

static void test_first_values(void **state)
{
	struct partition p = {0};

	partition_open(&p, LAPIC);
	check_first(p.fd);
	partition_close(&p);
	partition_start(&p, LAPIC);
	check_first(p.fd);
	check_first(p.vp[0]);
	partition_close(&p);
}

/* What sets it, where it may be set; 7 at the wrong time, 8 never. */
static void check_set(int fd, const struct row *r, bool initialized)
{
	if (r->when == NEVER) {
		assert_hv(
			property_set(fd, r->code, property(fd, r->code)), HVS_OPERATION_DENIED, 0);
		return;
	}
	if ((r->when == LATE) != initialized) {
		const u64 before = property(fd, r->code);

		assert_hv(property_set(fd, r->code, r->good), HVS_INVALID_PARTITION_STATE, 0);
		assert_true(r->first == ANY || property(fd, r->code) == before);
		return;
	}
	if (r->bad) {
		const u64 before = property(fd, r->code);

		assert_hv(property_set(fd, r->code, r->bad), HVS_PROPERTY_OUT_OF_RANGE, 0);
		assert_true(r->other || property(fd, r->code) == before);
	}
	assert_hv(property_set(fd, r->code, r->good), 0, 0);
	assert_hv(property_set(fd, r->code, r->good), 0, 0);
	if (!r->other)
		assert_int_equal(property(fd, r->code), r->good);
}

static void test_set(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct partition p = {0};

		partition_open(&p, LAPIC);
		check_set(p.fd, &rows[i], false);
		assert_int_equal(mshv(p.fd, MSHV_INITIALIZE_PARTITION, 0), 0);
		check_set(p.fd, &rows[i], true);
		partition_close(&p);
	}
}

static void test_host(void **state)
{
	int sys = mshv_open();
	u64 value;

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_hv(property_get(sys, rows[i].code, &value),
			rows[i].host ? HVS_SUCCESS : HVS_UNKNOWN_PROPERTY, 0);
		assert_int_equal(
			property_set(sys, rows[i].code, 0).error, -EINVAL); /* no such call there */
	}
	dev_close(port.dev, sys);
}

static void test_unknown(void **state)
{
	static const u32 codes[] = {0, 1, 0xffff, 0x10002, 0x20005, 0x30000, 0x5000c, 0x5000d,
		0x50014, 0x50022, 0x60001, 0x6000c, 0x70001, 0x90009, 0xffffffff};
	struct partition p = {0};
	u64 value;

	partition_start(&p, LAPIC);
	for (unsigned i = 0; i < ARRAY_SIZE(codes); i++) {
		assert_hv(property_get(p.fd, codes[i], &value), HVS_UNKNOWN_PROPERTY, 0);
		assert_hv(property_set(p.fd, codes[i], 0), HVS_UNKNOWN_PROPERTY, 0);
		assert_hv(property_get(p.sys, codes[i], &value), HVS_UNKNOWN_PROPERTY, 0);
	}
	partition_close(&p);
}

/* ---- HVCALL_GET_PARTITION_PROPERTY_EX ---- */

static struct hv_result get_ex(int fd, u32 code, void *out, size_t n)
{
	struct hv_get_property_ex in = {.code = code};

	return hv_call(fd, &(struct hv_call){.code = HVCALL_GET_PARTITION_PROPERTY_EX,
				   .in = &in,
				   .in_size = sizeof(in),
				   .out = out,
				   .out_size = n});
}

static void test_ex(void **state)
{
	static u64 out[HV_PROPERTY_EX_BYTES / 8];
	struct partition p = {0};
	const u32 codes[] = {
		HV_PROPERTY_VMM_CAPABILITIES, HV_PROPERTY_ASSIGNABLE_SYNTHETIC_PROC_FEATURES};

	partition_start(&p, LAPIC);
	for (unsigned i = 0; i < 2; i++) {
		const int fd[] = {p.sys, p.fd, p.vp[0]};

		for (unsigned n = 0; n < 3; n++) {
			memset(out, 0xff, sizeof(out));
			assert_hv(get_ex(fd[n], codes[i], out, HV_PROPERTY_EX_BYTES), 0, 0);
			assert_int_equal(out[0], 1); /* one bank, nothing reserved */
			assert_int_not_equal(out[1], 0);
			for (unsigned k = 2; k < ARRAY_SIZE(out); k++)
				assert_int_equal(out[k], 0);
		}
	}
	assert_int_equal(out[1] & 3, 3); /* the hypervisor is present, and is Hv#1 */
	assert_hv(get_ex(p.sys, HV_PROPERTY_VMM_CAPABILITIES, out, HV_PROPERTY_EX_BYTES), 0, 0);
	assert_int_equal(out[1], HV_VMM_ASSIGNABLE_FEATURES);
	assert_hv(get_ex(p.sys, HV_PROPERTY_PROCESSOR_VENDOR, out, HV_PROPERTY_EX_BYTES),
		HVS_UNKNOWN_PROPERTY, 0);
	partition_close(&p);
}

/* ---- what they mean ---- */

/* What is set beyond the features that there are is forgotten; what is announced follows. */
static void test_features(void **state)
{
	static u64 out[2];
	struct partition p = {0};
	u64 privileges;

	partition_open(&p, LAPIC | X2APIC);
	assert_hv(get_ex(p.fd, HV_PROPERTY_ASSIGNABLE_SYNTHETIC_PROC_FEATURES, out, sizeof(out)), 0,
		0);
	assert_hv(property_set(p.fd, HV_PROPERTY_SYNTHETIC_PROC_FEATURES, ~0ull), 0, 0);
	assert_int_equal(property(p.fd, HV_PROPERTY_SYNTHETIC_PROC_FEATURES), out[1]);
	privileges = property(p.fd, HV_PROPERTY_PRIVILEGE_FLAGS);
	assert_int_equal(privileges & 0x60, 0x60); /* hypercall MSRs, VP index: Linux wants them */
	/* Privileges can only be taken away. */
	assert_hv(property_set(p.fd, HV_PROPERTY_PRIVILEGE_FLAGS, 0x40), 0, 0);
	assert_int_equal(property(p.fd, HV_PROPERTY_PRIVILEGE_FLAGS), 0x40);
	assert_hv(property_set(p.fd, HV_PROPERTY_PRIVILEGE_FLAGS, ~0ull), 0, 0);
	assert_int_equal(property(p.fd, HV_PROPERTY_PRIVILEGE_FLAGS), privileges);
	partition_close(&p);
}

/* A partition has what the host has, less what was disabled; bits of masks that nobody knows are fine. */
static void test_disabled(void **state)
{
	struct mshv_create_partition_v2 a = {
		.pt_flags = LAPIC | 1 << MSHV_PT_BIT_CPU_AND_XSAVE_FEATURES,
		.pt_num_cpu_fbanks = 2};
	const u32 codes[] = {HV_PROPERTY_PROCESSOR_FEATURES0, HV_PROPERTY_PROCESSOR_FEATURES1,
		HV_PROPERTY_PROCESSOR_XSAVE_FEATURES};
	u64 host[3], disabled[3] = {0x5555555555555555, 0xcccccccccccccccc, ~0x181full};
	int sys = mshv_open(), fd;

	for (unsigned i = 0; i < 3; i++)
		host[i] = property(sys, codes[i]);
	memcpy(a.pt_cpu_fbanks, disabled, sizeof(a.pt_cpu_fbanks));
	a.pt_disabled_xsave = disabled[2];
	fd = (int)mshv_p(sys, MSHV_CREATE_PARTITION, &a);
	assert_true(fd >= 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(property(fd, codes[i]), host[i] & ~disabled[i]);
	/* Without AVX-512, so without its state: Linux's clients enable no more by themselves. */
	assert_int_equal(property(fd, HV_PROPERTY_XSAVE_STATES),
		property(sys, HV_PROPERTY_XSAVE_STATES) & ~0xe0ull);
	assert_in_range(property(fd, HV_PROPERTY_MAX_XSAVE_DATA_SIZE), 576, 832);
	dev_close(port.dev, fd);
	memset(a.pt_cpu_fbanks, 0xff, sizeof(a.pt_cpu_fbanks));
	a.pt_disabled_xsave = ~0ull;
	fd = (int)mshv_p(sys, MSHV_CREATE_PARTITION, &a);
	assert_true(fd >= 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(property(fd, codes[i]), 0);
	assert_int_equal(property(fd, HV_PROPERTY_XSAVE_STATES) & 4, 0);
	assert_in_range(property(fd, HV_PROPERTY_MAX_XSAVE_DATA_SIZE), 512, 4096);
	dev_close(port.dev, fd);
	dev_close(port.dev, sys);
}

static void test_numbers(void **state)
{
	struct partition p = {0};

	partition_start(&p, LAPIC);
	assert_in_range(property(p.sys, HV_PROPERTY_PHYSICAL_ADDRESS_WIDTH), 32, 52);
	assert_int_equal(property(p.sys, HV_PROPERTY_IMPLEMENTED_PHYSICAL_ADDRESS_BITS),
		property(p.fd, HV_PROPERTY_PHYSICAL_ADDRESS_WIDTH));
	assert_in_range(property(p.sys, HV_PROPERTY_PROCESSOR_VENDOR), 0, 2);
	assert_int_equal(property(p.sys, HV_PROPERTY_XSAVE_STATES) & 1, 1);
	assert_in_range(property(p.sys, HV_PROPERTY_MAX_XSAVE_DATA_SIZE), 576, 4096);
	assert_int_equal(property(p.fd, HV_PROPERTY_PROCESSOR_CLOCK_FREQUENCY),
		reg(&p, 0, HV_REGISTER_PROCESSOR_CLOCK_FREQUENCY));
	assert_int_not_equal(property(p.fd, HV_PROPERTY_PROCESSOR_CLOCK_FREQUENCY), 0);
	partition_close(&p);
}

/* The clock of the reference time, by property, register and MSR. */
static void test_reference_time(void **state)
{
	struct partition p = {.features = ~0ull};
	u64 a, b, c;

	partition_start(&p, LAPIC);
	a = property(p.fd, HV_PROPERTY_REFERENCE_TIME);
	b = reg(&p, 0, HV_REGISTER_TIME_REF_COUNT);
	c = property(p.fd, HV_PROPERTY_REFERENCE_TIME);
	assert_true(a <= b && b <= c);
	assert_true(a < 10000000ull * 60); /* 0 at the partition's beginning */
	assert_hv(property_set(p.fd, HV_PROPERTY_REFERENCE_TIME, 1ull << 40), 0, 0);
	assert_in_range(property(p.fd, HV_PROPERTY_REFERENCE_TIME), 1ull << 40,
		(1ull << 40) + 10000000ull * 60);
	assert_true(reg(&p, 0, HV_REGISTER_TIME_REF_COUNT) >= 1ull << 40);
	partition_close(&p);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_first_values),
	cmocka_unit_test(test_set),
	cmocka_unit_test(test_host),
	cmocka_unit_test(test_unknown),
	cmocka_unit_test(test_ex),
	cmocka_unit_test(test_features),
	cmocka_unit_test(test_disabled),
	cmocka_unit_test(test_numbers),
	cmocka_unit_test(test_reference_time),
};
MSHV_MAIN(tests)
