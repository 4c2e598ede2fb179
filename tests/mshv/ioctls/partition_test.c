/* SPDX-License-Identifier: MIT */
/* Partition properties, and what may be done before and after initialisation. */
#include <cpuid.h>
#include <errno.h>
#include <time.h>

#include "tests/mshv/ioctls/groups.h"
#include "tests/mshv/machine.h"

#define INVALID_STATE    7
#define UNKNOWN_PROPERTY 9
#define OUT_OF_RANGE     0xa

static void initialises_twice(void)
{
	struct machine m;

	machine_open(&m, PT_FLAG(LAPIC));
	CHECK_OK(root_partition_initialize(m.partition));
	CHECK_OK(root_partition_initialize(m.partition));
	machine_unmake(&m);
}

static void early_property_late(void)
{
	struct machine m;

	machine_open(&m, PT_FLAG(LAPIC));
	CHECK_OK(root_partition_initialize(m.partition));
	CHECK_STATUS(root_property_set(m.partition, HV_PROPERTY_PRIVILEGE_FLAGS, 0), -EIO,
		INVALID_STATE);
	CHECK_STATUS(root_property_set(m.partition, HV_PROPERTY_SYNTHETIC_PROC_FEATURES, 0), -EIO,
		INVALID_STATE);
	machine_unmake(&m);
}

static void late_property_early(void)
{
	static const u32 codes[] = {HV_PROPERTY_TIME_FREEZE, HV_PROPERTY_UNIMPLEMENTED_MSR_ACTION,
		HV_PROPERTY_REFERENCE_TIME, HV_PROPERTY_GPA_PAGE_ACCESS_TRACKING};
	struct machine m;

	machine_open(&m, PT_FLAG(LAPIC));
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		CHECK_STATUS(root_property_set(m.partition, codes[i], 1), -EIO, INVALID_STATE);
	machine_unmake(&m);
}

static void synthetic_features_read_back(void)
{
	u64 offered, got;
	struct machine m;

	machine_open(&m, PT_FLAG(LAPIC));
	CHECK_OK(root_property_get_mask(
		m.device, HV_PROPERTY_ASSIGNABLE_SYNTHETIC_PROC_FEATURES, &offered));
	offered &= 0x0020004006400ffbull;
	CHECK_OK(root_property_set(m.partition, HV_PROPERTY_SYNTHETIC_PROC_FEATURES, offered));
	CHECK_OK(root_partition_initialize(m.partition));
	CHECK_OK(root_property_get(m.partition, HV_PROPERTY_SYNTHETIC_PROC_FEATURES, &got));
	CHECK_EQ(got, offered);
	machine_unmake(&m);
}

/* A client that does not ask what there is sets what it would like. */
static void unknown_synthetic_features(void)
{
	u64 offered, got;
	struct machine m;

	machine_open(&m, PT_FLAG(LAPIC));
	CHECK_OK(root_property_get_mask(
		m.device, HV_PROPERTY_ASSIGNABLE_SYNTHETIC_PROC_FEATURES, &offered));
	CHECK_OK(root_property_set(m.partition, HV_PROPERTY_SYNTHETIC_PROC_FEATURES, ~0ull));
	CHECK_OK(root_partition_initialize(m.partition));
	CHECK_OK(root_property_get(m.partition, HV_PROPERTY_SYNTHETIC_PROC_FEATURES, &got));
	CHECK_EQ(got & offered, offered);
	machine_unmake(&m);
}

static void unimplemented_msr_action(void)
{
	u64 got;
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	CHECK_OK(root_property_get(m.partition, HV_PROPERTY_UNIMPLEMENTED_MSR_ACTION, &got));
	CHECK_EQ(got, HV_MSR_ACTION_FAULT);
	CHECK_OK(root_property_set(
		m.partition, HV_PROPERTY_UNIMPLEMENTED_MSR_ACTION, HV_MSR_ACTION_IGNORE));
	CHECK_OK(root_property_get(m.partition, HV_PROPERTY_UNIMPLEMENTED_MSR_ACTION, &got));
	CHECK_EQ(got, HV_MSR_ACTION_IGNORE);
	CHECK_EQ(root_property_set(m.partition, HV_PROPERTY_UNIMPLEMENTED_MSR_ACTION, 2) < 0, true);
	machine_unmake(&m);
}

static void unknown_properties(void)
{
	static const u32 codes[] = {0, 0x12345, 0xffffffff, 0x90100};
	u64 got;
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		CHECK_STATUS(
			root_property_get(m.partition, codes[i], &got), -EIO, UNKNOWN_PROPERTY);
		CHECK_STATUS(root_property_set(m.partition, codes[i], 0), -EIO, UNKNOWN_PROPERTY);
		CHECK(root_property_get_mask(m.partition, codes[i], &got) < 0);
	}
	machine_unmake(&m);
}

/* What others set and nobody here acts on: remembered. */
static void remembered_properties(void)
{
	static const u32 codes[] = {HV_PROPERTY_CPU_RESERVE, HV_PROPERTY_CPU_CAP,
		HV_PROPERTY_CPU_WEIGHT, HV_PROPERTY_CPU_GROUP_ID,
		HV_PROPERTY_VIRTUAL_TLB_PAGE_COUNT, HV_PROPERTY_ZERO_MEMORY_ON_RESET,
		HV_PROPERTY_ENLIGHTENMENT_MODIFICATIONS};
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		u64 got;

		if (!check_ok_("set", root_property_set(m.partition, codes[i], 1)) ||
			!check_ok_("get", root_property_get(m.partition, codes[i], &got)))
			test_failed(__FILE__, __LINE__, "property 0x%x", codes[i]);
		CHECK_EQ(got, 1);
	}
	machine_unmake(&m);
}

static void read_only_properties(void)
{
	static const u32 codes[] = {HV_PROPERTY_PROCESSOR_VENDOR, HV_PROPERTY_PROCESSOR_FEATURES0,
		HV_PROPERTY_MAX_XSAVE_DATA_SIZE, HV_PROPERTY_COMPATIBILITY_VERSION};
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		CHECK_EQ(root_property_set(m.partition, codes[i], 1), -EIO);
		CHECK(root_last.status == HVS_ACCESS_DENIED ||
			root_last.status == HVS_OPERATION_DENIED);
	}
	machine_unmake(&m);
}

/* Setting one belongs to the partition's descriptor alone; reading does not. */
static void properties_of_a_vp(void)
{
	u64 a, b;
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	CHECK_EQ(root_property_set(m.vp[0], HV_PROPERTY_TIME_FREEZE, 0), -EINVAL);
	CHECK_OK(root_property_get(m.vp[0], HV_PROPERTY_PROCESSOR_FEATURES0, &a));
	CHECK_OK(root_property_get(m.partition, HV_PROPERTY_PROCESSOR_FEATURES0, &b));
	CHECK_EQ(a, b);
	machine_unmake(&m);
}

static u64 vendor_of_host(void)
{
	unsigned a, b, c, d;

	__cpuid(0, a, b, c, d);
	return b == signature_INTEL_ebx
		       ? HV_VENDOR_INTEL
		       : (b == signature_AMD_ebx ? HV_VENDOR_AMD : HV_VENDOR_HYGON);
}

/* Numbers that a client must be able to work with. */
static void processor_properties(void)
{
	static const struct {
		u32 code;
		u64 least, most;
	} cases[] = {
		{HV_PROPERTY_PROCESSOR_XSAVE_FEATURES, 0, ~0ull},
		{HV_PROPERTY_PROCESSOR_CL_FLUSH_SIZE, 1, 64},
		{HV_PROPERTY_COMPATIBILITY_VERSION, 0x609, 0x609},
		{HV_PROPERTY_PHYSICAL_ADDRESS_WIDTH, 36, 52},
		{HV_PROPERTY_XSAVE_STATES, 3, ~0ull},
		{HV_PROPERTY_MAX_XSAVE_DATA_SIZE, 576, 4096},
		{HV_PROPERTY_PROCESSOR_CLOCK_FREQUENCY, 100000000, 20000000000ull},
		{HV_PROPERTY_IMPLEMENTED_PHYSICAL_ADDRESS_BITS, 36, 52},
		{HV_PROPERTY_GUEST_OS_ID, 0, 0},
		{HV_PROPERTY_PROCESSOR_VIRTUALIZATION_FEATURES, 0, 0},
	};
	u64 got;
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (!check_ok_("get", root_property_get(m.partition, cases[i].code, &got)))
			test_failed(__FILE__, __LINE__, "property 0x%x", cases[i].code);
		if (got < cases[i].least || got > cases[i].most)
			test_failed(__FILE__, __LINE__, "property 0x%x is 0x%llx", cases[i].code,
				(unsigned long long)got);
	}
	CHECK_OK(root_property_get(m.partition, HV_PROPERTY_PROCESSOR_VENDOR, &got));
	CHECK_EQ(got, vendor_of_host());
	machine_unmake(&m);
}

/* What the creator switched off is off. */
static void masks_take_features_away(void)
{
	enum { SSE3 = 0, AES = 16, SMEP = 23, SMAP = 35 };
	const u64 off = BIT64(AES) | BIT64(SMAP) | BIT64(63);
	const struct mshv_create_partition_v2 how = {
		.pt_flags = PT_FLAG(LAPIC) | PT_FLAG(CPU_AND_XSAVE_FEATURES),
		.pt_num_cpu_fbanks = 2,
		.pt_cpu_fbanks = {off, 0},
		.pt_disabled_xsave = BIT64(2)}; /* AVX */
	u64 host, got, xsave;
	struct machine m;

	machine_open(&m, 0);
	port_close(m.partition);
	m.partition = root_partition_create(m.device, &how);
	CHECK_OK(m.partition);
	CHECK_OK(root_partition_initialize(m.partition));
	CHECK_OK(root_property_get(m.device, HV_PROPERTY_PROCESSOR_FEATURES0, &host));
	CHECK_OK(root_property_get(m.partition, HV_PROPERTY_PROCESSOR_FEATURES0, &got));
	CHECK_EQ(got, host & ~off);
	CHECK_OK(root_property_get(m.partition, HV_PROPERTY_PROCESSOR_XSAVE_FEATURES, &xsave));
	CHECK(!(xsave & BIT64(2)));
	machine_unmake(&m);
}

/* ---- time ---- */

static void rest_ms(long ms)
{
	nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

static u64 reference_time(struct machine *m)
{
	u64 now = 0;

	CHECK_OK(root_property_get(m->partition, HV_PROPERTY_REFERENCE_TIME, &now));
	return now;
}

static void freeze(struct machine *m, bool on)
{
	CHECK_OK(root_property_set(m->partition, HV_PROPERTY_TIME_FREEZE, on));
}

static void time_runs(void)
{
	struct machine m;
	u64 a, b;

	machine_make(&m, &(struct machine_how){0});
	a = reference_time(&m);
	rest_ms(5);
	b = reference_time(&m);
	CHECK(b - a >= 50000); /* 100 ns each */
	machine_unmake(&m);
}

static void time_stands_still(void)
{
	struct machine m;
	u64 a, tsc, frozen;

	machine_make(&m, &(struct machine_how){0});
	freeze(&m, true);
	freeze(&m, true);
	a = reference_time(&m);
	tsc = machine_reg(&m, 0, HV_X64_REGISTER_TSC);
	CHECK_OK(root_property_get(m.partition, HV_PROPERTY_TIME_FREEZE, &frozen));
	CHECK_EQ(frozen, 1);
	rest_ms(5);
	CHECK_EQ(reference_time(&m), a);
	CHECK_EQ(machine_reg(&m, 0, HV_X64_REGISTER_TSC), tsc);
	freeze(&m, false);
	rest_ms(5);
	CHECK(reference_time(&m) - a >= 50000);
	CHECK(machine_reg(&m, 0, HV_X64_REGISTER_TSC) > tsc);
	machine_unmake(&m);
}

static void time_is_set(void)
{
	const u64 later = 1000000000000ull;
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	freeze(&m, true);
	CHECK_OK(root_property_set(m.partition, HV_PROPERTY_REFERENCE_TIME, later));
	CHECK_EQ(reference_time(&m), later);
	freeze(&m, false);
	CHECK(reference_time(&m) >= later);
	CHECK(machine_reg(&m, 0, HV_REGISTER_TIME_REF_COUNT) >= later);
	machine_unmake(&m);
}

const struct test partition_tests[] = {
	{"initialises twice", initialises_twice},
	{"early property late", early_property_late},
	{"late property early", late_property_early},
	{"synthetic features read back", synthetic_features_read_back},
	{"unknown synthetic features", unknown_synthetic_features},
	{"unimplemented msr action", unimplemented_msr_action},
	{"unknown properties", unknown_properties},
	{"remembered properties", remembered_properties},
	{"read only properties", read_only_properties},
	{"properties of a vp", properties_of_a_vp},
	{"processor properties", processor_properties},
	{"masks take features away", masks_take_features_away},
	{"time runs", time_runs},
	{"time stands still", time_stands_still},
	{"time is set", time_is_set},
	{0},
};
