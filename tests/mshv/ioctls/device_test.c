/* SPDX-License-Identifier: MIT */
/* The device: what it says of the host, partitions that it makes and refuses, and the frame of a hypercall. */
#include <errno.h>

#include "tests/mshv/ioctls/groups.h"
#include "tests/mshv/machine.h"

#define BAD_POINTER ((const void *)0xdead000000000000ul)

static void opens_and_closes(void)
{
	int fd = port_open();

	CHECK_OK(fd);
	port_close(fd);
}

/* Clients probe with numbers that only other kernels have, and go by ENOTTY. */
static void unknown_requests(void)
{
	static const unsigned long on_device[] = {0xb801, 0x4010b801, 0xb8f2},
				   on_partition[] = {0xc00cb808, 0xb809, 0xb80a, 0xb8f0, 0xb8f2,
					   0xb8f9},
				   on_vp[] = {0xb8f0, 0xb8f2, 0xc010b8f2, 0xb8f6};
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	for (size_t i = 0; i < ARRAY_SIZE(on_device); i++)
		CHECK_EQ(port_ioctl(m.device, on_device[i], NULL), -ENOTTY);
	for (size_t i = 0; i < ARRAY_SIZE(on_partition); i++)
		CHECK_EQ(port_ioctl(m.partition, on_partition[i], NULL), -ENOTTY);
	for (size_t i = 0; i < ARRAY_SIZE(on_vp); i++)
		CHECK_EQ(port_ioctl(m.vp[0], on_vp[i], NULL), -ENOTTY);
	machine_unmake(&m);
}

/* The whole number counts: right type and number, wrong size. */
static void requests_of_other_kinds(void)
{
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	CHECK_EQ(port_ioctl(m.device, MSHV_SET_GUEST_MEMORY, NULL), -ENOTTY);
	CHECK_EQ(port_ioctl(m.partition, MSHV_RUN_VP, NULL), -ENOTTY);
	CHECK_EQ(port_ioctl(m.vp[0], MSHV_CREATE_VP, NULL), -ENOTTY);
	CHECK_EQ(port_ioctl(m.vp[0], _IOR(MSHV_IOCTL, 0, u32), NULL), -ENOTTY);
	machine_unmake(&m);
}

static void host_features(void)
{
	u64 bank0, bank1;
	int fd = port_open();

	CHECK_OK(fd);
	CHECK_OK(root_property_get(fd, HV_PROPERTY_PROCESSOR_FEATURES0, &bank0));
	CHECK_OK(root_property_get(fd, HV_PROPERTY_PROCESSOR_FEATURES1, &bank1));
	CHECK(bank0 & BIT64(0)); /* SSE3: every 64-bit processor of these days */
	CHECK(bank0 != ~0ull && bank1 != ~0ull);
	port_close(fd);
}

static void host_synthetic_features(void)
{
	u64 mask;
	int fd = port_open();

	CHECK_OK(fd);
	CHECK_OK(root_property_get_mask(fd, HV_PROPERTY_ASSIGNABLE_SYNTHETIC_PROC_FEATURES, &mask));
	/* Without these Linux does not take the platform for this hypervisor. */
	CHECK(mask & BIT64(HV_SYN_HYPERVISOR_PRESENT) && mask & BIT64(HV_SYN_HV1));
	CHECK(mask & BIT64(HV_SYN_HYPERCALL) && mask & BIT64(HV_SYN_VP_INDEX));
	CHECK(mask & BIT64(HV_SYN_FREQUENCY));
	port_close(fd);
}

static void host_address_width(void)
{
	u64 width;
	int fd = port_open();

	CHECK_OK(fd);
	CHECK_OK(root_property_get(fd, HV_PROPERTY_PHYSICAL_ADDRESS_WIDTH, &width));
	CHECK(width >= 36 && width <= 52);
	port_close(fd);
}

static void host_refuses_other_calls(void)
{
	static const u16 codes[] = {HVCALL_SET_PARTITION_PROPERTY, HVCALL_INSTALL_INTERCEPT,
		HVCALL_GET_VP_REGISTERS, HVCALL_SET_VP_REGISTERS, HVCALL_ASSERT_VIRTUAL_INTERRUPT,
		0x4e, 0xef, 0};
	u64 in[8] = {0}, out;
	int fd = port_open();

	CHECK_OK(fd);
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		const struct root_call call = {codes[i], 0, in, sizeof(in), &out, sizeof(out)};

		CHECK_EQ(root_call(fd, &call), -EINVAL);
	}
	port_close(fd);
}

/* ---- partitions ---- */

static void creates_version_1(void)
{
	const struct mshv_create_partition how = {.pt_flags = PT_FLAG(LAPIC)};
	int fd = port_open(), partition;

	CHECK_OK(fd);
	partition = (int)port_ioctl(fd, MSHV_CREATE_PARTITION, &how);
	CHECK_OK(partition);
	CHECK_OK(root_partition_initialize(partition));
	port_close(partition);
	port_close(fd);
}

static void creates_version_2(void)
{
	const struct mshv_create_partition_v2 how = {.pt_flags = 0xf,
		.pt_num_cpu_fbanks = 2,
		.pt_cpu_fbanks = {~0ull << 60, ~0ull << 60},
		.pt_disabled_xsave = 0xffffffffffffe7e0ull};
	int fd = port_open(), partition;

	CHECK_OK(fd);
	partition = root_partition_create(fd, &how);
	CHECK_OK(partition);
	CHECK_OK(root_partition_initialize(partition));
	port_close(partition);
	port_close(fd);
}

static void create_refusals(void)
{
	static const struct {
		const char *what;
		struct mshv_create_partition_v2 how;
	} cases[] = {
		{"unknown flag", {.pt_flags = 1ull << 20}},
		{"highest flag", {.pt_flags = 1ull << 63}},
		{"nested", {.pt_flags = 1 << 4}},
		{"isolation", {.pt_isolation = MSHV_PT_ISOLATION_COUNT}},
		{"no banks", {.pt_flags = PT_FLAG(CPU_AND_XSAVE_FEATURES)}},
		{"three banks",
			{.pt_flags = PT_FLAG(CPU_AND_XSAVE_FEATURES), .pt_num_cpu_fbanks = 3}},
		{"rsvd", {.pt_flags = PT_FLAG(CPU_AND_XSAVE_FEATURES),
				 .pt_num_cpu_fbanks = 2,
				 .pt_rsvd = {0, 0, 0, 0, 0, 1}}},
		{"rsvd1", {.pt_flags = PT_FLAG(CPU_AND_XSAVE_FEATURES),
				  .pt_num_cpu_fbanks = 2,
				  .pt_rsvd1 = {0, 1}}},
	};
	int fd = port_open();

	CHECK_OK(fd);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const long r = root_partition_create(fd, &cases[i].how);

		if (r != -EINVAL)
			test_note("%s: ", cases[i].what);
		CHECK_EQ(r, -EINVAL);
	}
	CHECK_EQ(port_ioctl(fd, MSHV_CREATE_PARTITION, BAD_POINTER), -EFAULT);
	port_close(fd);
}

/* The first version ends after 16 bytes: what follows in memory has no meaning. */
static void version_1_is_16_bytes(void)
{
	const struct mshv_create_partition_v2 how = {.pt_flags = PT_FLAG(LAPIC),
		.pt_num_cpu_fbanks = 0xffff,
		.pt_cpu_fbanks = {~0ull, ~0ull},
		.pt_rsvd = {1, 2, 3, 4, 5, 6}};
	u64 host, partition_has;
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	port_close(m.partition);
	m.partition = root_partition_create(m.device, &how);
	CHECK_OK(m.partition);
	CHECK_OK(root_partition_initialize(m.partition));
	CHECK_OK(root_property_get(m.device, HV_PROPERTY_PROCESSOR_FEATURES0, &host));
	CHECK_OK(root_property_get(m.partition, HV_PROPERTY_PROCESSOR_FEATURES0, &partition_has));
	CHECK_EQ(partition_has, host);
	machine_unmake(&m);
}

/* ---- the frame of a hypercall ---- */

struct frame_case {
	const char *what;
	struct mshv_root_hvcall call;
	int want;
};

static void check_frame(int fd, const struct frame_case *c)
{
	struct mshv_root_hvcall call = c->call;
	const long r = port_ioctl(fd, MSHV_ROOT_HVCALL, &call);

	if (r != c->want)
		test_note("%s: ", c->what);
	CHECK_EQ(r, c->want);
}

static void frame_refusals(void)
{
	static u8 in[8192], out[8192];
	const u64 i = (unsigned long)in, o = (unsigned long)out;
	const u16 get = HVCALL_GET_PARTITION_PROPERTY;
	const struct frame_case cases[] = {
		{"status",
			{.code = get,
				.in_sz = 16,
				.in_ptr = i,
				.out_sz = 8,
				.out_ptr = o,
				.status = 1},
			-EINVAL},
		{"no input", {.code = get, .in_sz = 16, .out_sz = 8, .out_ptr = o}, -EINVAL},
		{"short", {.code = get, .in_sz = 7, .in_ptr = i, .out_sz = 8, .out_ptr = o},
			-EINVAL},
		{"long", {.code = get, .in_sz = 4097, .in_ptr = i, .out_sz = 8, .out_ptr = o},
			-EINVAL},
		{"rsvd",
			{.code = get,
				.in_sz = 16,
				.in_ptr = i,
				.out_sz = 8,
				.out_ptr = o,
				.rsvd = {0, 0, 0, 0, 0, 1}},
			-EINVAL},
		{"no output size", {.code = get, .in_sz = 16, .in_ptr = i, .out_ptr = o}, -EINVAL},
		{"long output",
			{.code = get, .in_sz = 16, .in_ptr = i, .out_sz = 4097, .out_ptr = o},
			-EINVAL},
		{"bad input",
			{.code = get,
				.in_sz = 16,
				.in_ptr = (unsigned long)BAD_POINTER,
				.out_sz = 8,
				.out_ptr = o},
			-EFAULT},
		{"unknown call", {.code = 0x4e, .in_sz = 16, .in_ptr = i}, -EINVAL},
		{"read a page", {.code = 0xef, .in_sz = 16, .in_ptr = i}, -EINVAL},
	};
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		check_frame(m.device, &cases[n]);
		check_frame(m.partition, &cases[n]);
		check_frame(m.vp[0], &cases[n]);
	}
	CHECK_EQ(port_ioctl(m.partition, MSHV_ROOT_HVCALL, BAD_POINTER), -EFAULT);
	machine_unmake(&m);
}

/* The structure comes back with status and count also when the call fails. */
static void frame_comes_back(void)
{
	struct {
		struct hv_vp_registers head;
		u32 names[3];
	} in = {.names = {HV_X64_REGISTER_RAX, HV_X64_REGISTER_RIP, 0x7fffffff}};
	struct hv_value128 out[3];
	struct mshv_root_hvcall call = {.code = HVCALL_GET_VP_REGISTERS,
		.reps = 3,
		.in_sz = sizeof(in),
		.in_ptr = (unsigned long)&in,
		.out_sz = sizeof(out),
		.out_ptr = (unsigned long)out};
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	CHECK(port_ioctl(m.partition, MSHV_ROOT_HVCALL, &call) < 0);
	CHECK(call.status);
	CHECK_EQ(call.reps, 2);
	machine_unmake(&m);
}

/* The id that a caller passes is replaced by that of the partition, whatever it is. */
static void id_is_replaced(void)
{
	struct {
		u64 id;
		u32 code, pad;
	} in = {~0ull - 1, HV_PROPERTY_COMPATIBILITY_VERSION};
	u64 out = 0;
	const struct root_call call = {
		HVCALL_GET_PARTITION_PROPERTY, 0, &in, sizeof(in), &out, sizeof(out)};
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	CHECK_OK(root_call(m.partition, &call));
	CHECK_EQ(out, HV_COMPATIBILITY_VERSION);
	machine_unmake(&m);
}

/* A count for a call that has none, and none for one that needs it. */
static void reps_must_fit(void)
{
	u8 in[64] = {0};
	u64 out[2];
	struct root_call call = {HVCALL_GET_PARTITION_PROPERTY, 1, in, 16, out, 8};
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	CHECK_STATUS(root_call(m.partition, &call), -EINVAL, HVS_INVALID_INPUT);
	call = (struct root_call){HVCALL_GET_VP_REGISTERS, 0, in, 20, out, 16};
	CHECK_STATUS(root_call(m.partition, &call), -EINVAL, HVS_INVALID_INPUT);
	machine_unmake(&m);
}

const struct test device_tests[] = {
	{"opens and closes", opens_and_closes},
	{"unknown requests", unknown_requests},
	{"requests of other kinds", requests_of_other_kinds},
	{"host features", host_features},
	{"host synthetic features", host_synthetic_features},
	{"host address width", host_address_width},
	{"host refuses other calls", host_refuses_other_calls},
	{"creates version 1", creates_version_1},
	{"creates version 2", creates_version_2},
	{"create refusals", create_refusals},
	{"version 1 is 16 bytes", version_1_is_16_bytes},
	{"frame refusals", frame_refusals},
	{"frame comes back", frame_comes_back},
	{"id is replaced", id_is_replaced},
	{"reps must fit", reps_must_fit},
	{0},
};
