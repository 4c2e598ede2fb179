/* SPDX-License-Identifier: MIT */
/* See bringup.h; and what is particular about each step. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/mshv/openvmm/bringup.h"

GUEST(irq);
extern const u8 guest_irq_h30[];

/* Bits 0 to 11, 15, 18, 22, and 24 to 30: also some that no engine in user space may have. */
#define FEATURES 0x7f448fffull

#define AS_THE_GUEST (HV_CPUID_BY_XCR0 | HV_CPUID_REGISTERED)

static void make_partition(struct machine *m)
{
	const struct mshv_create_partition_v2 how = {
		.pt_flags = PT_FLAG(LAPIC) | PT_FLAG(X2APIC) | PT_FLAG(GPA_SUPER_PAGES) |
			    PT_FLAG(CPU_AND_XSAVE_FEATURES),
		.pt_num_cpu_fbanks = 2,
	};

	m->device = port_open();
	CHECK_OK(m->device);
	m->partition = root_partition_create(m->device, &how);
	CHECK_OK(m->partition);
	CHECK_OK(root_property_set(m->partition, HV_PROPERTY_SYNTHETIC_PROC_FEATURES, FEATURES));
	CHECK_OK(root_partition_initialize(m->partition));
}

/* All of them must succeed. */
static void install_intercepts(struct machine *m)
{
	static const u32 types[] = {HV_INTERCEPT_HYPERCALL, HV_INTERCEPT_UNKNOWN_SYNIC_CONNECTION,
		HV_INTERCEPT_RETARGET_INTERRUPT};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		CHECK_OK(root_intercept_install(m->partition, HV_ACCESS_EXECUTE, types[i], 0));
}

/* With the padding of the C structure, and with masks that say which bits count. */
static void add_result(struct machine *m, u32 leaf, const u32 value[4], const u32 mask[4])
{
	struct hv_intercept_result in = {.vp_index = HV_ANY_VP, .type = HV_INTERCEPT_CPUID};
	const struct root_call call = {
		HVCALL_REGISTER_INTERCEPT_RESULT, 0, &in, sizeof(in), NULL, 0};

	_Static_assert(sizeof(in) == 64, "with padding");
	in.cpuid.eax = leaf;
	in.cpuid.always_override = 1;
	for (unsigned i = 0; i < 4; i++) {
		in.cpuid.reg[i].value = value[i];
		in.cpuid.reg[i].mask = mask[i];
	}
	CHECK_OK(root_call(m->partition, &call));
}

#define VMM_LEAF 0x40000100u

static void add_results(struct machine *m)
{
	static const u32 all[4] = {~0u, ~0u, ~0u, ~0u};

	add_result(m, 1, (u32[4]){0, 0, BIT(31), 0}, (u32[4]){0, 0, BIT(31), 0});
	add_result(m, VMM_LEAF, (u32[4]){1, 2, 3, 4}, all);
}

static void set_apic(struct machine *m, unsigned vp)
{
	const u64 base = 0xfee00800 | (vp ? 0 : 0x100);
	const struct hv_register r[] = {{.name = HV_X64_REGISTER_INITIAL_APIC_ID, .value = {vp}},
		{.name = HV_X64_REGISTER_APIC_BASE, .value = {base}}};

	CHECK_OK(root_regs_set(m->vp[vp], vp, r, ARRAY_SIZE(r)));
}

void bringup(struct machine *m, unsigned vps)
{
	*m = (struct machine){0};
	make_partition(m);
	CHECK_OK(root_property_set(m->partition, HV_PROPERTY_PROCESSORS_PER_SOCKET, vps));
	machine_add_vp(m);
	install_intercepts(m);
	add_results(m);
	for (unsigned i = 1; i < vps; i++)
		machine_add_vp(m);
	for (unsigned i = 0; i < vps; i++)
		set_apic(m, i);
	m->ram =
		mmap(NULL, MACHINE_RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(m->ram != MAP_FAILED);
	CHECK_OK(root_memory_map(m->partition, 0, MACHINE_RAM, m->ram, MAP_WX));
}

/* ---- */

static void comes_up(void)
{
	struct machine m;

	bringup(&m, MACHINE_VPS);
	for (unsigned vp = 0; vp < MACHINE_VPS; vp++) {
		CHECK_EQ(machine_reg(&m, vp, HV_X64_REGISTER_INITIAL_APIC_ID), vp);
		CHECK_EQ(m.page[vp]->is_valid, 1);
	}
	machine_unmake(&m);
}

/* Features that there are not are silently off; those that there are, are on. */
static void unknown_features_are_masked(void)
{
	struct machine m;
	u64 offered, got;

	bringup(&m, 1);
	CHECK_OK(root_property_get_mask(
		m.device, HV_PROPERTY_ASSIGNABLE_SYNTHETIC_PROC_FEATURES, &offered));
	CHECK_OK(root_property_get(m.partition, HV_PROPERTY_SYNTHETIC_PROC_FEATURES, &got));
	CHECK_EQ(got & offered, FEATURES & offered);
	machine_unmake(&m);
}

static void results_for_all(void)
{
	struct machine m;
	u32 c[4];

	bringup(&m, 2);
	for (unsigned vp = 0; vp < 2; vp++) {
		CHECK_OK(root_cpuid_get(m.vp[0], vp, AS_THE_GUEST, VMM_LEAF, 0, c));
		CHECK(!memcmp(c, (u32[4]){1, 2, 3, 4}, sizeof(c)));
		CHECK_OK(root_cpuid_get(m.vp[0], vp, AS_THE_GUEST, 1, 0, c));
		CHECK(c[2] & BIT(31));
		CHECK_EQ(c[1] >> 24, vp);
	}
	machine_unmake(&m);
}

/* What it falls back to where CPUID cannot be asked for. */
static void properties_instead_of_cpuid(void)
{
	static const u32 codes[] = {HV_PROPERTY_PROCESSOR_VENDOR, HV_PROPERTY_XSAVE_STATES,
		HV_PROPERTY_MAX_XSAVE_DATA_SIZE, HV_PROPERTY_PHYSICAL_ADDRESS_WIDTH};
	struct machine m;
	u64 value;
	u32 c[4];

	bringup(&m, 1);
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		CHECK_OK(root_property_get(m.partition, codes[i], &value));
	CHECK_OK(root_cpuid_get(m.vp[0], 0, AS_THE_GUEST, 0x80000008, 0, c));
	CHECK_EQ(c[0] & 0xff, value);
	CHECK_OK(root_cpuid_get(m.vp[0], 0, AS_THE_GUEST, 1, 0, c));
	CHECK_EQ(machine_reg(&m, 0, HV_X64_REGISTER_RAX + RDX), c[0]);
	CHECK_OK(root_cpuid_get(m.vp[0], 0, AS_THE_GUEST, 0xd, 0, c));
	CHECK_OK(root_property_get(m.partition, HV_PROPERTY_XSAVE_STATES, &value));
	CHECK_EQ(c[0] | (u64)c[3] << 32, value & (c[0] | (u64)c[3] << 32));
	machine_unmake(&m);
}

/* As many processors as there can be. */
static void many_processors(void)
{
	enum { N = 255 };
	static int fd[N];
	struct machine m = {0};

	make_partition(&m);
	for (u32 i = 0; i < N; i++) {
		fd[i] = root_vp_create(m.partition, i);
		CHECK_OK(fd[i]);
		CHECK_OK(root_reg_set(fd[i], i, HV_X64_REGISTER_INITIAL_APIC_ID, i));
	}
	for (u32 i = 0; i < N; i++)
		port_close(fd[i]);
	machine_unmake(&m);
}

/* Its ids are its own, and need not be the numbers of the processors: interrupts go by them, and CPUID shows them. */
static void other_apic_ids(void)
{
	const struct hv_assert_interrupt how = {
		.type = HV_INTERRUPT_FIXED, .vector = 0x30, .dest = 8};
	struct machine m;
	struct runner *r;
	u32 c[4];

	bringup(&m, 2);
	machine_set_reg(&m, 0, HV_X64_REGISTER_INITIAL_APIC_ID, 8);
	CHECK_EQ(machine_reg(&m, 0, HV_X64_REGISTER_INITIAL_APIC_ID), 8);
	CHECK_EQ(machine_reg(&m, 1, HV_X64_REGISTER_INITIAL_APIC_ID), 1);
	CHECK_EQ(machine_reg(&m, 0, HV_REGISTER_VP_INDEX), 0);
	CHECK_OK(root_cpuid_get(m.vp[0], 0, AS_THE_GUEST, 1, 0, c));
	CHECK_EQ(c[1] >> 24, 8);
	CODE64(&m, 0, irq);
	machine_gate(&m, 0x30, GUEST_LABEL(irq, h30));
	r = machine_start(&m, 0);
	machine_await(&m, MACHINE_DATA, 1);
	CHECK_OK(root_interrupt_assert(m.partition, &how));
	machine_await(&m, MACHINE_DATA + 4 * 0x30, 1);
	CHECK_EQ(machine_stop(r, NULL), -EINTR);
	CHECK_EQ(machine_reg(&m, 0, HV_X64_REGISTER_APIC_ID), 8);
	machine_unmake(&m);
}

const struct test bringup_tests[] = {
	{"comes up", comes_up},
	{"unknown features are masked", unknown_features_are_masked},
	{"results for all", results_for_all},
	{"properties instead of cpuid", properties_instead_of_cpuid},
	{"many processors", many_processors},
	{"other apic ids", other_apic_ids},
	{0},
};
