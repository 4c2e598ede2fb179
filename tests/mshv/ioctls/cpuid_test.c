/* SPDX-License-Identifier: MIT */
/* What the guest's CPUID says: by the hypervisor, by results that a client registers, and by the hypercall that asks. */
#include <cpuid.h>
#include <string.h>

#include "tests/mshv/ioctls/groups.h"
#include "tests/mshv/machine.h"

GUEST(cpuid);

#define AS_THE_GUEST (HV_CPUID_BY_XCR0 | HV_CPUID_REGISTERED)

/* The instruction itself. */
static void execute(struct machine *m, unsigned vp, u32 leaf, u32 subleaf, u32 ret[4])
{
	CODE64(m, vp, cpuid);
	m->page[vp]->gpr[RAX] = leaf;
	m->page[vp]->gpr[RCX] = subleaf;
	m->page[vp]->dirty |= HV_PAGE_DIRTY_GPR;
	for (unsigned i = 0; i < 4; i++)
		ret[i] = machine_out(m, vp, 0x10);
}

static void check_equal(struct machine *m, u32 leaf, u32 subleaf)
{
	u32 executed[4], asked[4];

	execute(m, 0, leaf, subleaf, executed);
	CHECK_OK(root_cpuid_get(m->vp[0], 0, AS_THE_GUEST, leaf, subleaf, asked));
	if (memcmp(executed, asked, sizeof(asked)))
		test_failed(__FILE__, __LINE__,
			"leaf 0x%x.%u: executed %08x %08x %08x %08x, asked %08x %08x %08x %08x",
			leaf, subleaf, executed[0], executed[1], executed[2], executed[3], asked[0],
			asked[1], asked[2], asked[3]);
}

static void asked_and_executed(void)
{
	static const u32 leaves[] = {0, 1, 2, 4, 5, 6, 7, 0xa, 0xb, 0xd, 0x14, 0x1f, 0x40000000,
		0x40000001, 0x40000003, 0x40000006, 0x80000000, 0x80000001, 0x80000002, 0x80000008,
		0x8000001e, 0x12345678};
	struct machine m;

	machine_make(&m, &(struct machine_how){.synthetic = ~0ull});
	for (size_t i = 0; i < ARRAY_SIZE(leaves); i++)
		for (u32 subleaf = 0; subleaf < 3; subleaf++)
			check_equal(&m, leaves[i], subleaf);
	machine_unmake(&m);
}

static void hypervisor_leaves(void)
{
	struct machine m;
	u32 c[4];

	machine_make(&m, &(struct machine_how){.synthetic = ~0ull});
	execute(&m, 0, 1, 0, c);
	CHECK(c[2] & BIT(31));
	execute(&m, 0, 0x40000000, 0, c);
	CHECK(c[0] >= 0x40000005);
	CHECK(!memcmp(c + 1, "Microsoft Hv", 12));
	execute(&m, 0, 0x40000001, 0, c);
	CHECK_EQ(c[0], HV_SIGNATURE);
	execute(&m, 0, 0x40000003, 0, c);
	CHECK_EQ(c[0] & 0x60, 0x60); /* hypercalls, VP index */
	machine_unmake(&m);
}

/* Nobody asked for the hypervisor's interface. */
static void no_hypervisor_leaves(void)
{
	struct machine m;
	u32 c[4];

	machine_make(&m, &(struct machine_how){0});
	execute(&m, 0, 0x40000001, 0, c);
	CHECK(c[0] != HV_SIGNATURE);
	machine_unmake(&m);
}

/* Clients add their bits to the hypervisor's: those must be zero where the former write. */
static void defaults_for_clients(void)
{
	struct machine m;
	u32 c[4], host[4];

	machine_make(&m, &(struct machine_how){.vps = 2});
	CHECK_OK(root_cpuid_get(m.vp[0], 0, AS_THE_GUEST, 1, 0, c));
	CHECK_EQ(c[1] >> 16, 0);
	CHECK_OK(root_cpuid_get(m.vp[0], 1, AS_THE_GUEST, 1, 0, c));
	CHECK_EQ(c[1] >> 24, 1);
	CHECK_EQ(c[1] >> 16 & 0xff, 0);
	for (u32 subleaf = 0; subleaf < 3; subleaf++) {
		CHECK_OK(root_cpuid_get(m.vp[0], 0, AS_THE_GUEST, 0xb, subleaf, c));
		CHECK_EQ(c[0], 0);
		CHECK_EQ(c[1], 0);
	}
	for (u32 leaf = 0x80000002; leaf <= 0x80000004; leaf++) {
		CHECK_OK(root_cpuid_get(m.vp[0], 0, AS_THE_GUEST, leaf, 0, c));
		__cpuid(leaf, host[0], host[1], host[2], host[3]);
		CHECK(!memcmp(c, host, sizeof(c)));
	}
	machine_unmake(&m);
}

/* Of each register the bits of the mask are the client's, the others the hypervisor's. */
static void masks(void)
{
	static const struct root_cpuid o = {.leaf = 1,
		.value = {0xffffffff, 0x12345678, 0x80000001, 0},
		.mask = {0, 0xffff0000, 0x80000000, 1}};
	struct machine m;
	u32 before[4], after[4], executed[4];

	machine_make(&m, &(struct machine_how){0});
	CHECK_OK(root_cpuid_get(m.vp[0], 0, AS_THE_GUEST, 1, 0, before));
	CHECK_OK(root_cpuid_override(m.vp[0], 0, &o));
	CHECK_OK(root_cpuid_get(m.vp[0], 0, AS_THE_GUEST, 1, 0, after));
	execute(&m, 0, 1, 0, executed);
	for (unsigned i = 0; i < 4; i++) {
		CHECK_EQ(after[i], (before[i] & ~o.mask[i]) | (o.value[i] & o.mask[i]));
		CHECK_EQ(executed[i], after[i]);
	}
	/* Without them they can be asked for, too. */
	CHECK_OK(root_cpuid_get(m.vp[0], 0, HV_CPUID_BY_XCR0, 1, 0, after));
	CHECK(!memcmp(before, after, sizeof(after)));
	machine_unmake(&m);
}

static u32 eax(struct machine *m, unsigned vp, u32 leaf, u32 subleaf)
{
	u32 c[4];

	CHECK_OK(root_cpuid_get(m->vp[vp], vp, AS_THE_GUEST, leaf, subleaf, c));
	return c[0];
}

static void add(struct machine *m, u32 vp, u32 leaf, int subleaf, u32 value)
{
	const struct root_cpuid o = {.leaf = leaf,
		.subleaf = subleaf < 0 ? 0 : (u32)subleaf,
		.subleaf_specific = subleaf >= 0,
		.always = true,
		.value = {value},
		.mask = {~0u}};

	CHECK_OK(root_cpuid_override(m->partition, vp, &o));
}

static void of_one_and_of_all(void)
{
	const u32 leaf = 0x40000200;
	struct machine m;
	u32 c[4];

	machine_make(&m, &(struct machine_how){.vps = 2});
	add(&m, HV_ANY_VP, leaf, -1, 0x1111);
	CHECK_EQ(eax(&m, 0, leaf, 0), 0x1111);
	CHECK_EQ(eax(&m, 1, leaf, 7), 0x1111);
	add(&m, 1, leaf, -1, 0x2222);
	CHECK_EQ(eax(&m, 0, leaf, 0), 0x1111);
	CHECK_EQ(eax(&m, 1, leaf, 0), 0x2222);
	add(&m, HV_ANY_VP, leaf, -1, 0x3333); /* the later one replaces */
	CHECK_EQ(eax(&m, 0, leaf, 0), 0x3333);
	execute(&m, 0, leaf, 0, c);
	CHECK_EQ(c[0], 0x3333);
	machine_unmake(&m);
}

static void of_one_subleaf(void)
{
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	add(&m, 0, 0xb, 0, 0xaaaa);
	add(&m, 0, 0xb, 1, 0xbbbb);
	CHECK_EQ(eax(&m, 0, 0xb, 0), 0xaaaa);
	CHECK_EQ(eax(&m, 0, 0xb, 1), 0xbbbb);
	CHECK_EQ(eax(&m, 0, 0xb, 2), 0);
	machine_unmake(&m);
}

/* Many leaves in one call. */
static void many_at_once(void)
{
	struct {
		struct hv_cpuid_values head;
		struct hv_cpuid_leaf leaf[20];
	} in = {.head = {.flags = AS_THE_GUEST}};
	u32 out[20][4], one[4];
	const struct root_call call = {
		HVCALL_GET_VP_CPUID_VALUES, 20, &in, sizeof(in), out, sizeof(out)};
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	for (u32 i = 0; i < 20; i++)
		in.leaf[i].eax = i;
	CHECK_OK(root_call(m.vp[0], &call));
	CHECK_EQ(root_last.done, 20);
	for (u32 i = 0; i < 20; i++) {
		CHECK_OK(root_cpuid_get(m.vp[0], 0, AS_THE_GUEST, i, 0, one));
		CHECK(!memcmp(one, out[i], sizeof(one)));
	}
	machine_unmake(&m);
}

/* An installed intercept comes out, with what it would have been. */
static void intercept(void)
{
	struct hv_message message;
	const struct hv_cpuid_message *c = (const void *)message.payload;
	struct machine m;
	u32 want[4];

	machine_make(&m, &(struct machine_how){0});
	CHECK_OK(root_intercept_install(m.partition, HV_ACCESS_EXECUTE, HV_INTERCEPT_CPUID, 0));
	CODE64(&m, 0, cpuid);
	m.page[0]->gpr[RAX] = 0;
	m.page[0]->dirty |= HV_PAGE_DIRTY_GPR;
	machine_run(&m, 0, HVMSG_X64_CPUID_INTERCEPT, &message);
	CHECK_EQ(message.len, sizeof(*c));
	CHECK_EQ(c->header.rip, MACHINE_CODE);
	CHECK_EQ(c->header.length_cr8 & 15, 2);
	CHECK_EQ(c->header.access, HV_INTERCEPT_EXECUTE);
	CHECK_EQ(c->rax, 0);
	CHECK_OK(root_cpuid_get(m.vp[0], 0, AS_THE_GUEST, 0, 0, want));
	CHECK_EQ(c->default_rax, want[0]);
	CHECK_EQ(c->default_rbx, want[1]);
	CHECK_EQ(c->default_rcx, want[2]);
	CHECK_EQ(c->default_rdx, want[3]);
	/* Taken away again it does not. */
	CHECK_OK(root_intercept_install(m.partition, 0, HV_INTERCEPT_CPUID, 0));
	machine_out(&m, 0, 0x10);
	machine_unmake(&m);
}

/* ---- MSRs and exceptions ---- */

GUEST(msr);
GUEST(triple);
extern const u8 guest_msr_fault[];

#define UNKNOWN_MSR 0x1345     /* among those that processors have */
#define FAR_MSR     0x12345678 /* far away from all of them */
#define STAR_MSR    0xc0000081

static void run_msr(struct machine *m, u32 msr)
{
	CODE64(m, 0, msr);
	m->page[0]->gpr[RCX] = msr;
	m->page[0]->dirty |= HV_PAGE_DIRTY_GPR;
	machine_gate(m, 13, GUEST_LABEL(msr, fault));
}

/* A result for one MSR, instead of the partition's general rule. */
static void msr_result(void)
{
	struct hv_intercept_result in = {.vp_index = HV_ANY_VP, .type = HV_INTERCEPT_MSR};
	const struct root_call call = {
		HVCALL_REGISTER_INTERCEPT_RESULT, 0, &in, sizeof(in), NULL, 0};
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	in.msr.msr = UNKNOWN_MSR;
	in.msr.access = HV_ACCESS_READ | HV_ACCESS_WRITE;
	in.msr.action = HV_MSR_RESULT_IGNORE;
	CHECK_OK(root_call(m.partition, &call));
	run_msr(&m, UNKNOWN_MSR);
	CHECK_EQ(machine_out(&m, 0, 0x10), 0);
	CHECK_EQ(machine_out(&m, 0, 0x10), 2);
	machine_unmake(&m);
}

static void check_msr_message(struct machine *m, u32 msr, u8 access)
{
	struct hv_message message;
	const struct hv_msr_message *r = (const void *)message.payload;

	machine_run(m, 0, HVMSG_X64_MSR_INTERCEPT, &message);
	CHECK_EQ(message.len, sizeof(*r));
	CHECK_EQ(r->msr, msr);
	CHECK_EQ(r->header.access, access);
	CHECK_EQ(r->header.length_cr8 & 15, 2);
	if (access == HV_INTERCEPT_WRITE) {
		CHECK_EQ(r->rax, 0x99);
		CHECK_EQ(r->rdx, 0x77);
	}
	m->page[0]->gpr[RAX] = 0x99;
	m->page[0]->dirty |= HV_PAGE_DIRTY_GPR;
	machine_skip(m, 0, 2);
}

static void check_msr_intercept(u32 type, u64 parameter, u32 msr)
{
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	CHECK_OK(root_intercept_install(
		m.partition, HV_ACCESS_READ | HV_ACCESS_WRITE, type, parameter));
	run_msr(&m, msr);
	check_msr_message(&m, msr, HV_INTERCEPT_READ);
	CHECK_EQ(machine_out(&m, 0, 0x10), 0x99);
	check_msr_message(&m, msr, HV_INTERCEPT_WRITE);
	CHECK_EQ(machine_out(&m, 0, 0x10), 2);
	machine_unmake(&m);
}

static void msr_intercepts(void)
{
	static const u32 msrs[] = {UNKNOWN_MSR, FAR_MSR, STAR_MSR};

	for (size_t i = 0; i < ARRAY_SIZE(msrs); i++) {
		check_msr_intercept(HV_INTERCEPT_MSR, 0, msrs[i]);
		check_msr_intercept(HV_INTERCEPT_MSR_INDEX, msrs[i], msrs[i]);
	}
}

/* #UD, before the guest's own handler would see it. */
static void exception_intercept(void)
{
	enum { UD = 6 };
	struct hv_message message;
	const struct hv_exception_message *e = (const void *)message.payload;
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	CHECK_OK(
		root_intercept_install(m.partition, HV_ACCESS_EXECUTE, HV_INTERCEPT_EXCEPTION, UD));
	CODE64(&m, 0, triple);
	m.page[0]->gpr[R15] = 0x15;
	m.page[0]->dirty |= HV_PAGE_DIRTY_GPR;
	machine_run(&m, 0, HVMSG_X64_EXCEPTION_INTERCEPT, &message);
	CHECK_EQ(message.len, sizeof(*e));
	CHECK_EQ(e->vector, UD);
	CHECK_EQ(e->info & HV_EXCEPTION_HAS_ERROR, 0);
	CHECK_EQ(e->header.rip, MACHINE_CODE + 8);
	CHECK_EQ(e->rsp, MACHINE_STACK);
	CHECK_EQ(e->r15, 0x15);
	CHECK_EQ(e->ss.selector, 16);
	machine_unmake(&m);
}

static void intercepts_are_installed(void)
{
	static const struct {
		u32 access, type;
		u64 parameter;
		int want;
	} cases[] = {
		{HV_ACCESS_EXECUTE, HV_INTERCEPT_CPUID, 0x100, 0},
		{HV_ACCESS_EXECUTE, HV_INTERCEPT_CPUID, 0x101, 0},
		{HV_ACCESS_EXECUTE, HV_INTERCEPT_HYPERCALL, 0, 0},
		{HV_ACCESS_EXECUTE, HV_INTERCEPT_UNKNOWN_SYNIC_CONNECTION, 0, 0},
		{HV_ACCESS_EXECUTE, HV_INTERCEPT_RETARGET_INTERRUPT, 0, 0},
		{HV_ACCESS_EXECUTE, 0x77, 0, -22},
		/* Nobody knows their messages. */
		{HV_ACCESS_EXECUTE, HV_INTERCEPT_APIC_SMI, 0, -22},
		{HV_ACCESS_EXECUTE, HV_INTERCEPT_APIC_INIT_SIPI, 0, -22},
		{HV_ACCESS_WRITE, HV_INTERCEPT_APIC_WRITE, 0, -22},
	};
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const long r = root_intercept_install(
			m.partition, cases[i].access, cases[i].type, cases[i].parameter);

		if (r != cases[i].want)
			test_note("type 0x%x: ", cases[i].type);
		CHECK_EQ(r, cases[i].want);
	}
	machine_unmake(&m);
}

const struct test cpuid_tests[] = {
	{"asked and executed", asked_and_executed},
	{"hypervisor leaves", hypervisor_leaves},
	{"no hypervisor leaves", no_hypervisor_leaves},
	{"defaults for clients", defaults_for_clients},
	{"masks", masks},
	{"of one and of all", of_one_and_of_all},
	{"of one subleaf", of_one_subleaf},
	{"many at once", many_at_once},
	{"intercept", intercept},
	{"msr result", msr_result},
	{"msr intercepts", msr_intercepts},
	{"exception intercept", exception_intercept},
	{"intercepts are installed", intercepts_are_installed},
	{0},
};
