/* SPDX-License-Identifier: MIT */
/* Registers by name. */
#include <cpuid.h>
#include <errno.h>
#include <string.h>

#include "tests/mshv/ioctls/groups.h"
#include "tests/mshv/machine.h"

#define INVALID_VP_INDEX      0xe
#define UNKNOWN_REGISTER_NAME 0x87

/* ---- round trips ---- */

struct round_trip {
	u32 first, last; /* names */
	u64 low, high;   /* the name's number is added to the lower one where there are several */
};

static const struct round_trip round_trips[] = {
	{HV_X64_REGISTER_RAX, HV_X64_REGISTER_R15, 0x1122334455667788, 0},
	{HV_X64_REGISTER_RIP, HV_X64_REGISTER_RIP, 0x12345678, 0},
	{HV_X64_REGISTER_RFLAGS, HV_X64_REGISTER_RFLAGS, 0xad7, 0},
	{HV_X64_REGISTER_XMM0, HV_X64_REGISTER_XMM15, 0x0102030405060708, 0x1112131415161718},
	{HV_X64_REGISTER_FP_MMX0, HV_X64_REGISTER_FP_MMX7, 0x8002030405060708, 0x3fff},
	{HV_X64_REGISTER_CR2, HV_X64_REGISTER_CR2, 0xfffff00012345678, 0},
	{HV_X64_REGISTER_CR3, HV_X64_REGISTER_CR3, 0x12345000, 0},
	{HV_X64_REGISTER_CR8, HV_X64_REGISTER_CR8, 5, 0},
	{HV_X64_REGISTER_XFEM, HV_X64_REGISTER_XFEM, 3, 0},
	{HV_X64_REGISTER_DR0, HV_X64_REGISTER_DR3, 0x123456, 0},
	{HV_X64_REGISTER_DR6, HV_X64_REGISTER_DR6, 0xffff4ff1, 0},
	{HV_X64_REGISTER_DR7, HV_X64_REGISTER_DR7, 0x401, 0},
	{HV_X64_REGISTER_IDTR, HV_X64_REGISTER_GDTR, 0x0fff000000000000, 0xfffff80012345678},
	{HV_X64_REGISTER_KERNEL_GS_BASE, HV_X64_REGISTER_KERNEL_GS_BASE, 0xffff888012345678, 0},
	{HV_X64_REGISTER_PAT, HV_X64_REGISTER_PAT, 0x0407050600070106, 0},
	{HV_X64_REGISTER_SYSENTER_CS, HV_X64_REGISTER_SYSENTER_ESP, 0x12340, 0},
	{HV_X64_REGISTER_STAR, HV_X64_REGISTER_STAR, 0x0023001000000000, 0},
	{HV_X64_REGISTER_LSTAR, HV_X64_REGISTER_CSTAR, 0xffffffff81000000, 0},
	{HV_X64_REGISTER_SFMASK, HV_X64_REGISTER_SFMASK, 0x47700, 0},
	{HV_X64_REGISTER_MTRR_DEF_TYPE, HV_X64_REGISTER_MTRR_DEF_TYPE, 0x806, 0},
	{HV_X64_REGISTER_MTRR_PHYS_BASE0, HV_X64_REGISTER_MTRR_PHYS_BASE0, 0xc0000000, 0},
	{HV_X64_REGISTER_MTRR_PHYS_MASK0, HV_X64_REGISTER_MTRR_PHYS_MASK0, 0xfc0000800, 0},
	{HV_X64_REGISTER_MTRR_FIX64K_00000, HV_X64_REGISTER_MTRR_FIX4K_F8000, 0x0606060606060606,
		0},
	{HV_REGISTER_PENDING_EVENT0, HV_REGISTER_PENDING_EVENT0, 0, 0},
};

/* IDTR's and its like have names in a row, whose number would spoil the padding. */
static u64 value_for(const struct round_trip *t, u32 name)
{
	static const u32 exact[] = {HV_X64_REGISTER_IDTR, HV_X64_REGISTER_MTRR_FIX64K_00000};

	for (size_t i = 0; i < ARRAY_SIZE(exact); i++)
		if (t->first == exact[i])
			return t->low;
	return t->low + name - t->first;
}

static void check_round_trip(struct machine *m, const struct round_trip *t, u32 name)
{
	const struct hv_register in = {.name = name, .value = {value_for(t, name), t->high}};
	struct hv_register out = {.name = name};

	if (!check_ok_("set", root_regs_set(m->vp[0], 0, &in, 1)) ||
		!check_ok_("get", root_regs_get(m->vp[0], 0, &out, 1)))
		test_failed(__FILE__, __LINE__, "register 0x%x", name);
	if (memcmp(&in.value, &out.value, sizeof(in.value)))
		test_failed(__FILE__, __LINE__, "register 0x%x: 0x%llx:%llx instead of 0x%llx:%llx",
			name, (unsigned long long)out.value.high, (unsigned long long)out.value.low,
			(unsigned long long)in.value.high, (unsigned long long)in.value.low);
}

static void round_trips_of_all_kinds(void)
{
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	for (size_t i = 0; i < ARRAY_SIZE(round_trips); i++)
		for (u32 n = round_trips[i].first; n <= round_trips[i].last; n++)
			check_round_trip(&m, &round_trips[i], n);
	/* And nothing that was set later has changed what was set before. */
	for (size_t i = 0; i < ARRAY_SIZE(round_trips); i++)
		for (u32 n = round_trips[i].first; n <= round_trips[i].last; n++) {
			u64 low = machine_reg(&m, 0, n);

			if (low != value_for(&round_trips[i], n))
				test_failed(__FILE__, __LINE__, "register 0x%x is 0x%llx later", n,
					(unsigned long long)low);
		}
	machine_unmake(&m);
}

/* Many in one call, in any order. */
static void many_at_once(void)
{
	enum { N = 127 };
	struct hv_register in[N] = {0}, out[N] = {0};
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	for (u32 i = 0; i < N; i++) {
		in[i].name = out[i].name = HV_X64_REGISTER_XMM0 + i % 16;
		in[i].value = (struct hv_value128){i, i * 3};
	}
	CHECK_OK(root_regs_set(m.partition, 0, in, N));
	CHECK_EQ(root_last.done, N);
	CHECK_OK(root_regs_get(m.partition, 0, out, N));
	CHECK_EQ(root_last.done, N);
	for (u32 i = 0; i < N; i++) {
		const u32 last = N - 1 - (N - 1 - i % 16) % 16; /* who set it last */

		CHECK_EQ(out[i].value.low, last);
		CHECK_EQ(out[i].value.high, last * 3);
	}
	machine_unmake(&m);
}

static void segments(void)
{
	static const struct hv_segment set[] = {
		{0x1000, 0xffff, 0x100, 0x93},          /* ES */
		{0, 0xffffffff, 8, 0xa09b},             /* CS */
		{0x2000, 0xfffff, 0x10, 0x4093},        /* SS */
		{0, 0xffffffff, 0x18, 0xc0f3},          /* DS */
		{0xffff800000001000, 0, 0, 0},          /* FS: no segment, but a base */
		{0x7f0000000000, 0x1234, 0x2b, 0xc0f3}, /* GS */
		{0, 0, 0, 0},                           /* LDTR: none */
		{0x5000, 0x67, 0x40, 0x8b},             /* TR */
	};
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	machine_set_reg(&m, 0, HV_X64_REGISTER_CR3, MACHINE_PML4);
	machine_set_reg(&m, 0, HV_X64_REGISTER_CR4, 0x20);
	machine_set_reg(&m, 0, HV_X64_REGISTER_EFER, 0x500);
	machine_set_reg(&m, 0, HV_X64_REGISTER_CR0, 0x80000031);
	for (u32 i = 0; i < ARRAY_SIZE(set); i++) {
		const struct hv_register in = {
			.name = HV_X64_REGISTER_ES + i, .value = value_of(&set[i])};
		struct hv_register out = {.name = in.name};
		struct hv_segment got;

		CHECK_OK(root_regs_set(m.vp[0], 0, &in, 1));
		CHECK_OK(root_regs_get(m.vp[0], 0, &out, 1));
		memcpy(&got, &out.value, sizeof(got));
		CHECK_EQ(got.base, set[i].base);
		CHECK_EQ(got.limit, set[i].limit);
		CHECK_EQ(got.selector, set[i].selector);
		CHECK_EQ(got.attr, set[i].attr);
	}
	machine_unmake(&m);
}

static void x87_and_sse_control(void)
{
	const struct hv_fp_control fp = {
		.fcw = 0x27f, .fsw = 0x3800, .ftw = 0x81, .fop = 0x123, .fip = 0x401000};
	const struct hv_xmm_control xmm = {.fdp = 0x402000, .mxcsr = 0x1fa0};
	const struct hv_register in[] = {
		{.name = HV_X64_REGISTER_FP_CONTROL_STATUS, .value = value_of(&fp)},
		{.name = HV_X64_REGISTER_XMM_CONTROL_STATUS, .value = value_of(&xmm)}};
	struct hv_register out[] = {{.name = HV_X64_REGISTER_FP_CONTROL_STATUS},
		{.name = HV_X64_REGISTER_XMM_CONTROL_STATUS}};
	struct hv_fp_control got_fp;
	struct hv_xmm_control got_xmm;
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	CHECK_OK(root_regs_set(m.vp[0], 0, in, 2));
	CHECK_OK(root_regs_get(m.vp[0], 0, out, 2));
	memcpy(&got_fp, &out[0].value, sizeof(got_fp));
	memcpy(&got_xmm, &out[1].value, sizeof(got_xmm));
	CHECK(!memcmp(&got_fp, &fp, sizeof(fp)));
	CHECK_EQ(got_xmm.fdp, xmm.fdp);
	CHECK_EQ(got_xmm.mxcsr, xmm.mxcsr);
	CHECK(got_xmm.mxcsr_mask & 0xffbf);
	machine_unmake(&m);
}

/* ---- what a processor has at first ---- */

struct reset_value {
	u32 name;
	u64 low, high, mask; /* mask: of the lower half; 0: all */
};

static const struct reset_value reset_values[] = {
	{HV_X64_REGISTER_RAX + RAX, 0, 0, 0},
	{HV_X64_REGISTER_RAX + RBX, 0, 0, 0},
	{HV_X64_REGISTER_RAX + RSP, 0, 0, 0},
	{HV_X64_REGISTER_R15, 0, 0, 0},
	{HV_X64_REGISTER_RIP, 0xfff0, 0, 0},
	{HV_X64_REGISTER_RFLAGS, 2, 0, 0},
	{HV_X64_REGISTER_CR0, 0x60000010, 0, 0},
	{HV_X64_REGISTER_CR2, 0, 0, 0},
	{HV_X64_REGISTER_CR3, 0, 0, 0},
	{HV_X64_REGISTER_CR4, 0, 0, 0},
	{HV_X64_REGISTER_CR8, 0, 0, 0},
	{HV_X64_REGISTER_EFER, 0, 0, 0},
	{HV_X64_REGISTER_XFEM, 1, 0, 0},
	{HV_X64_REGISTER_DR6, 0xffff0ff0, 0, 0},
	{HV_X64_REGISTER_DR7, 0x400, 0, 0},
	{HV_X64_REGISTER_CS, 0xffff0000, 0x009bf0000000ffff, 0},
	{HV_X64_REGISTER_DS, 0, 0x009300000000ffff, 0},
	{HV_X64_REGISTER_SS, 0, 0x009300000000ffff, 0},
	{HV_X64_REGISTER_LDTR, 0, 0x008200000000ffff, 0},
	{HV_X64_REGISTER_TR, 0, 0x008b00000000ffff, 0},
	{HV_X64_REGISTER_GDTR, 0xffff000000000000, 0, 0},
	{HV_X64_REGISTER_IDTR, 0xffff000000000000, 0, 0},
	{HV_X64_REGISTER_PAT, 0x0007040600070406, 0, 0},
	{HV_X64_REGISTER_APIC_BASE, 0xfee00900, 0, 0},
	{HV_X64_REGISTER_MTRR_DEF_TYPE, 0, 0, 0},
	{HV_X64_REGISTER_MISC_ENABLE, 1, 0, 1},
	{HV_REGISTER_PENDING_INTERRUPTION, 0, 0, 0},
	{HV_REGISTER_INTERRUPT_STATE, 0, 0, 0},
	{HV_REGISTER_PENDING_EVENT0, 0, 0, 1},
	{HV_REGISTER_PENDING_EVENT1, 0, 0, 1},
	{HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, 0, 0, 0},
	{HV_REGISTER_GUEST_OS_ID, 0, 0, 0},
	{HV_REGISTER_HYPERCALL, 0, 0, 0},
	{HV_REGISTER_VP_INDEX, 0, 0, 0},
	{HV_REGISTER_SINT0, 0x10000, 0, 0},
	{HV_REGISTER_SINT15, 0x10000, 0, 0},
	{HV_REGISTER_SCONTROL, 0, 0, 0},
	{HV_REGISTER_SVERSION, 1, 0, 0},
	{HV_REGISTER_SIEFP, 0, 0, 0},
	{HV_REGISTER_SIMP, 0, 0, 0},
	{HV_REGISTER_EOM, 0, 0, 0},
	{HV_REGISTER_STIMER0_CONFIG, 0, 0, 0},
	{HV_REGISTER_STIMER3_COUNT, 0, 0, 0},
};

static void values_at_reset(void)
{
	struct machine m;
	unsigned a, b, c, d;

	machine_make(&m, &(struct machine_how){.synthetic = ~0ull});
	for (size_t i = 0; i < ARRAY_SIZE(reset_values); i++) {
		const struct reset_value *v = &reset_values[i];
		struct hv_register r = {.name = v->name};
		const u64 mask = v->mask ? v->mask : ~0ull;

		if (!check_ok_("get", root_regs_get(m.vp[0], 0, &r, 1)))
			test_failed(__FILE__, __LINE__, "register 0x%x", v->name);
		if ((r.value.low & mask) != v->low || r.value.high != v->high)
			test_failed(__FILE__, __LINE__, "register 0x%x is 0x%llx:%llx", v->name,
				(unsigned long long)r.value.high, (unsigned long long)r.value.low);
	}
	__cpuid(1, a, b, c, d);
	CHECK_EQ(machine_reg(&m, 0, HV_X64_REGISTER_RAX + RDX), a);
	machine_unmake(&m);
}

static void values_of_other_processors(void)
{
	struct machine m;

	machine_make(&m, &(struct machine_how){.vps = 3});
	CHECK_EQ(machine_reg(&m, 2, HV_X64_REGISTER_APIC_BASE), 0xfee00800);
	CHECK_EQ(machine_reg(&m, 2, HV_REGISTER_VP_INDEX), 2);
	CHECK_EQ(machine_reg(&m, 2, HV_X64_REGISTER_INITIAL_APIC_ID), 2);
	machine_unmake(&m);
}

/* The numbers of CPUID leaves of the hypervisor, as one value. */
static void information(void)
{
	static const struct {
		u32 name, leaf;
	} cases[] = {
		{HV_REGISTER_HYPERVISOR_VERSION, 0x40000002},
		{HV_REGISTER_PRIVILEGES_AND_FEATURES_INFO, 0x40000003},
		{HV_REGISTER_FEATURES_INFO, 0x40000004},
		{HV_REGISTER_IMPLEMENTATION_LIMITS_INFO, 0x40000005},
		{HV_REGISTER_HARDWARE_FEATURES_INFO, 0x40000006},
	};
	struct machine m;

	machine_make(&m, &(struct machine_how){.synthetic = ~0ull});
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct hv_register r = {.name = cases[i].name};
		u32 c[4];

		CHECK_OK(root_regs_get(m.vp[0], 0, &r, 1));
		CHECK_OK(root_cpuid_get(m.vp[0], 0, 3, cases[i].leaf, 0, c));
		CHECK_EQ(r.value.low, c[0] | (u64)c[1] << 32);
		CHECK_EQ(r.value.high, c[2] | (u64)c[3] << 32);
	}
	CHECK(machine_reg(&m, 0, HV_REGISTER_PRIVILEGES_AND_FEATURES_INFO) & BIT64(5));
	CHECK(machine_reg(&m, 0, HV_REGISTER_PROCESSOR_CLOCK_FREQUENCY) > 1000000);
	CHECK(machine_reg(&m, 0, HV_REGISTER_INTERRUPT_CLOCK_FREQUENCY) > 1000000);
	machine_unmake(&m);
}

/* ---- refusals ---- */

static void read_only(void)
{
	static const u32 names[] = {HV_REGISTER_HYPERVISOR_VERSION, HV_REGISTER_VP_INDEX,
		HV_REGISTER_TIME_REF_COUNT, HV_REGISTER_SVERSION,
		HV_REGISTER_PROCESSOR_CLOCK_FREQUENCY, HV_REGISTER_VP_RUNTIME,
		HV_X64_REGISTER_MTRR_CAP};
	struct machine m;

	machine_make(&m, &(struct machine_how){.synthetic = ~0ull});
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const long r = root_reg_set(m.vp[0], 0, names[i], 0x5555);

		if (r != -EINVAL)
			test_note("register 0x%x: ", names[i]);
		CHECK_EQ(r, -EINVAL);
		CHECK_EQ(root_last.status, HVS_INVALID_PARAMETER);
	}
	machine_unmake(&m);
}

static void unknown_names(void)
{
	static const u32 names[] = {0x20012, 0x30020, 0x50006, 0x7fffffff, 0xffffffff, 0x99999};
	struct machine m;
	u64 value;

	machine_make(&m, &(struct machine_how){0});
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (root_reg_get(m.vp[0], 0, names[i], &value) >= 0)
			test_failed(__FILE__, __LINE__, "register 0x%x can be read", names[i]);
		CHECK(root_last.status == HVS_INVALID_PARAMETER ||
			root_last.status == UNKNOWN_REGISTER_NAME);
		if (root_reg_set(m.vp[0], 0, names[i], 0) >= 0)
			test_failed(__FILE__, __LINE__, "register 0x%x can be set", names[i]);
	}
	machine_unmake(&m);
}

/* Those in front of the wrong one are done, and the count says so. */
static void partly_done(void)
{
	const struct hv_register set[] = {{.name = HV_X64_REGISTER_RAX, .value = {0x11}},
		{.name = HV_X64_REGISTER_RAX + RBX, .value = {0x22}}, {.name = 0x7fffffff},
		{.name = HV_X64_REGISTER_RAX + RCX, .value = {0x33}}};
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	CHECK(root_regs_set(m.vp[0], 0, set, 4) < 0);
	CHECK_EQ(root_last.done, 2);
	CHECK_EQ(machine_reg(&m, 0, HV_X64_REGISTER_RAX), 0x11);
	CHECK_EQ(machine_reg(&m, 0, HV_X64_REGISTER_RAX + RBX), 0x22);
	CHECK_EQ(machine_reg(&m, 0, HV_X64_REGISTER_RAX + RCX), 0);
	machine_unmake(&m);
}

static void bad_values(void)
{
	static const struct {
		u32 name;
		u64 value;
	} cases[] = {
		{HV_X64_REGISTER_EFER, BIT64(63)},
		{HV_X64_REGISTER_CR4, BIT64(40)},
		{HV_X64_REGISTER_CR8, 16},
		{HV_X64_REGISTER_XFEM, 0},
		{HV_X64_REGISTER_PAT, 0x02},
		{HV_X64_REGISTER_DR7, BIT64(40)},
	};
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const long r = root_reg_set(m.vp[0], 0, cases[i].name, cases[i].value);

		if (r != -EINVAL)
			test_note("register 0x%x: ", cases[i].name);
		CHECK_EQ(r, -EINVAL);
	}
	machine_unmake(&m);
}

static void no_such_vp(void)
{
	static const u32 vps[] = {1, 255, 256, HV_ANY_VP, HV_VP_INDEX_SELF};
	struct machine m;
	u64 value;

	machine_make(&m, &(struct machine_how){0});
	for (size_t i = 0; i < ARRAY_SIZE(vps); i++) {
		CHECK_EQ(root_reg_get(m.partition, vps[i], HV_X64_REGISTER_RAX, &value), -EINVAL);
		CHECK(root_last.status == INVALID_VP_INDEX || vps[i] >= HV_VP_INDEX_SELF);
	}
	machine_unmake(&m);
}

/* The processor that the input names counts, not the descriptor. */
static void through_other_descriptors(void)
{
	struct machine m;
	u64 value;

	machine_make(&m, &(struct machine_how){.vps = 2});
	CHECK_OK(root_reg_set(m.vp[0], 1, HV_X64_REGISTER_RAX, 0x99));
	CHECK_EQ(machine_reg(&m, 1, HV_X64_REGISTER_RAX), 0x99);
	CHECK_EQ(machine_reg(&m, 0, HV_X64_REGISTER_RAX), 0);
	CHECK_OK(root_reg_get(m.partition, 1, HV_X64_REGISTER_RAX, &value));
	CHECK_EQ(value, 0x99);
	machine_unmake(&m);
}

static void of_the_whole_partition(void)
{
	static const struct {
		u32 name;
		u64 value;
	} cases[] = {{HV_REGISTER_GUEST_OS_ID, 0x8100000000000001ull},
		{HV_REGISTER_HYPERCALL, MACHINE_DATA | 1},
		{HV_REGISTER_REFERENCE_TSC, (MACHINE_DATA + 0x1000) | 1}};
	struct machine m;

	machine_make(&m, &(struct machine_how){.vps = 2, .synthetic = ~0ull});
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		machine_set_reg(&m, 0, cases[i].name, cases[i].value);
		CHECK_EQ(machine_reg(&m, 1, cases[i].name), cases[i].value);
	}
	machine_unmake(&m);
}

static void deliverability(void)
{
	const u64 sints = 0x0006ull << 48;
	struct machine m;

	machine_make(&m, &(struct machine_how){.synthetic = ~0ull});
	CHECK_STATUS(root_reg_set(m.vp[0], 0, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, 1), -EINVAL,
		HVS_INVALID_PARAMETER);
	CHECK_STATUS(root_reg_set(m.vp[0], 0, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, 2), -EINVAL,
		HVS_INVALID_PARAMETER);
	CHECK_OK(root_reg_set(m.vp[0], 0, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, 0));
	CHECK_OK(root_reg_set(m.partition, 0, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, sints));
	CHECK_EQ(machine_reg(&m, 0, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS), sints);
	machine_unmake(&m);
}

/* Each value that can be read of these can be written back. */
static void msrs_are_written_back(void)
{
	static const struct {
		u32 first, last;
	} runs[] = {
		{HV_X64_REGISTER_TSC, HV_X64_REGISTER_SFMASK},
		{HV_X64_REGISTER_MTRR_CAP, HV_X64_REGISTER_MTRR_DEF_TYPE},
		{HV_X64_REGISTER_MTRR_PHYS_BASE0, HV_X64_REGISTER_MTRR_PHYS_BASE0 + 7},
		{HV_X64_REGISTER_MTRR_PHYS_MASK0, HV_X64_REGISTER_MTRR_PHYS_MASK0 + 7},
		{HV_X64_REGISTER_MTRR_FIX64K_00000, HV_X64_REGISTER_MTRR_FIX4K_F8000},
		{HV_X64_REGISTER_DEBUG_CTL, HV_X64_REGISTER_DEBUG_CTL},
		{HV_X64_REGISTER_MISC_ENABLE, HV_X64_REGISTER_MISC_ENABLE},
		{HV_REGISTER_GUEST_OS_ID, HV_REGISTER_GUEST_OS_ID},
		{HV_REGISTER_VP_ASSIST_PAGE, HV_REGISTER_VP_ASSIST_PAGE},
		{HV_REGISTER_REFERENCE_TSC, HV_REGISTER_REFERENCE_TSC},
		{HV_REGISTER_SINT0, HV_REGISTER_SCONTROL},
		{HV_REGISTER_SIEFP, HV_REGISTER_EOM},
		{HV_REGISTER_STIMER0_CONFIG, HV_REGISTER_STIMER3_COUNT},
	};
	struct hv_register r[128] = {0};
	u16 n = 0;
	struct machine m;

	machine_make(&m, &(struct machine_how){.synthetic = ~0ull});
	for (size_t i = 0; i < ARRAY_SIZE(runs); i++)
		for (u32 name = runs[i].first; name <= runs[i].last; name++)
			r[n++].name = name;
	if (root_regs_get(m.vp[0], 0, r, n) < 0)
		test_failed(
			__FILE__, __LINE__, "register 0x%x cannot be read", r[root_last.done].name);
	if (root_regs_set(m.vp[0], 0, r, n) < 0)
		test_failed(__FILE__, __LINE__, "register 0x%x cannot be set to what it is",
			r[root_last.done].name);
	CHECK_EQ(root_last.done, n);
	machine_unmake(&m);
}

static void tsc(void)
{
	const u64 value = 0x123456789abcdef;
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	machine_set_reg(&m, 0, HV_X64_REGISTER_TSC, value);
	CHECK(machine_reg(&m, 0, HV_X64_REGISTER_TSC) - value < 100000000000ull);
	CHECK_OK(root_property_set(m.partition, HV_PROPERTY_TIME_FREEZE, 1));
	machine_set_reg(&m, 0, HV_X64_REGISTER_TSC, value);
	CHECK_EQ(machine_reg(&m, 0, HV_X64_REGISTER_TSC), value);
	machine_unmake(&m);
}

const struct test regs_tests[] = {
	{"round trips of all kinds", round_trips_of_all_kinds},
	{"many at once", many_at_once},
	{"segments", segments},
	{"x87 and sse control", x87_and_sse_control},
	{"values at reset", values_at_reset},
	{"values of other processors", values_of_other_processors},
	{"information", information},
	{"read only", read_only},
	{"unknown names", unknown_names},
	{"partly done", partly_done},
	{"bad values", bad_values},
	{"no such vp", no_such_vp},
	{"through other descriptors", through_other_descriptors},
	{"of the whole partition", of_the_whole_partition},
	{"deliverability", deliverability},
	{"msrs are written back", msrs_are_written_back},
	{"tsc", tsc},
	{0},
};
