/* SPDX-License-Identifier: MIT */
/* Hypercalls of a guest about its own processors' registers (TLFS, privilege AccessVpRegisters). */
#include <errno.h>
#include <string.h>

#include "tests/mshv/ioctls/groups.h"
#include "tests/mshv/machine.h"

GUEST(hypercall);
GUEST(count);

#define CALL_PAGE (MACHINE_DATA + 0x2000)
#define INPUT     (MACHINE_DATA + 0x3000)
#define OUTPUT    (MACHINE_DATA + 0x4000)
#define REPS(n)   ((u64)(n) << 32)
#define START(n)  ((u64)(n) << 48)
#define STATUS(r) ((r)&0xffff)
#define DONE(r)   ((r) >> 32 & 0xfff)
#define ALIGNMENT 4
#define DENIED    6
#define PARTITION 0xd

static void make(struct machine *m, u64 features, unsigned vps)
{
	machine_make(m, &(struct machine_how){.synthetic = features, .vps = vps});
	machine_set_reg(m, 0, HV_REGISTER_GUEST_OS_ID, 0x8100000000000000ull);
	machine_set_reg(m, 0, HV_REGISTER_HYPERCALL, CALL_PAGE | 1);
	CODE64(m, 0, hypercall);
}

/* What it returns, whole. */
static u64 call(struct machine *m, u64 control, u64 input, u64 output)
{
	machine_go(m, 0, MACHINE_CODE);
	m->page[0]->gpr[RCX] = control;
	m->page[0]->gpr[RDX] = input;
	m->page[0]->gpr[R8] = output;
	m->page[0]->dirty |= HV_PAGE_DIRTY_GPR;
	machine_out(m, 0, 0x10);
	return m->page[0]->gpr[RAX];
}

static struct hv_vp_registers *input(struct machine *m, u32 vp)
{
	struct hv_vp_registers *in = (void *)(m->ram + INPUT);

	*in = (struct hv_vp_registers){.partition = HV_PARTITION_ID_SELF, .vp_index = vp};
	return in;
}

static u64 get(struct machine *m, u32 vp, const u32 *names, unsigned n)
{
	memcpy(input(m, vp) + 1, names, n * sizeof(names[0]));
	memset(m->ram + OUTPUT, 0xcc, HV_PAGE_SIZE);
	return call(m, HV_CALL_GET_VP_REGISTERS | REPS(n), INPUT, OUTPUT);
}

static u64 set(struct machine *m, u32 vp, u32 name, u64 value)
{
	*(struct hv_register *)(input(m, vp) + 1) =
		(struct hv_register){.name = name, .value = {value}};
	return call(m, HV_CALL_SET_VP_REGISTERS | REPS(1), INPUT, 0);
}

static u64 got(const struct machine *m, unsigned n)
{
	u64 value[2];

	memcpy(value, m->ram + OUTPUT + n * sizeof(value), sizeof(value));
	CHECK_EQ(value[1], 0);
	return value[0];
}

/* RIP is behind the instruction, which is the first in the page. */
static void own_are_read(void)
{
	static const u32 names[] = {HV_X64_REGISTER_RIP, HV_X64_REGISTER_RAX + RDX,
		HV_REGISTER_VP_INDEX, HV_X64_REGISTER_CR3};
	struct machine m;

	make(&m, ~0ull, 1);
	CHECK_EQ(get(&m, HV_VP_INDEX_SELF, names, 4), REPS(4));
	CHECK_EQ(got(&m, 0), CALL_PAGE + 3);
	CHECK_EQ(got(&m, 1), INPUT);
	CHECK_EQ(got(&m, 2), 0);
	CHECK_EQ(got(&m, 3), MACHINE_PML4);
	CHECK_EQ(m.ram[OUTPUT + 4 * 16], 0xcc);
	machine_unmake(&m);
}

static void own_are_set(void)
{
	struct machine m;

	make(&m, ~0ull, 1);
	CHECK_EQ(set(&m, 0, HV_X64_REGISTER_RAX + R12, 0x1234567887654321), REPS(1));
	CHECK_EQ(m.page[0]->gpr[R12], 0x1234567887654321);
	CHECK_EQ(set(&m, 0, HV_REGISTER_SINT0 + 3, 0x10044), REPS(1));
	CHECK_EQ(machine_reg(&m, 0, HV_REGISTER_SINT0 + 3), 0x10044);
	machine_unmake(&m);
}

/* The ones in front of the start are done already. */
static void from_the_middle(void)
{
	static const u32 names[] = {0xdeadbeef, HV_X64_REGISTER_RAX + RDX};
	struct machine m;

	make(&m, ~0ull, 1);
	memcpy(input(&m, 0) + 1, names, sizeof(names));
	memset(m.ram + OUTPUT, 0xcc, HV_PAGE_SIZE);
	CHECK_EQ(call(&m, HV_CALL_GET_VP_REGISTERS | REPS(2) | START(1), INPUT, OUTPUT), REPS(2));
	CHECK_EQ(m.ram[OUTPUT], 0xcc);
	CHECK_EQ(got(&m, 1), INPUT);
	/* And those before one that is refused are done. */
	CHECK_EQ(get(&m, 0, (const u32[]){HV_X64_REGISTER_RAX + R8, 0xdeadbeef}, 2),
		REPS(1) | HVS_INVALID_PARAMETER);
	CHECK_EQ(got(&m, 0), OUTPUT);
	CHECK_EQ(m.ram[OUTPUT + 16], 0xcc);
	machine_unmake(&m);
}

/* Another processor, which runs meanwhile. */
static void of_another(void)
{
	struct machine m;
	struct runner *r;

	make(&m, ~0ull, 2);
	machine_set_reg(&m, 1, HV_REGISTER_INTERNAL_ACTIVITY_STATE, 0);
	CODE64(&m, 1, count);
	CODE64(&m, 0, hypercall);
	memcpy(m.ram + 0x2000, guest_count, (size_t)(guest_count_end - guest_count));
	machine_go(&m, 1, 0x2000);
	r = machine_start(&m, 1);
	for (unsigned i = 0; i < 100; i++) {
		CHECK_EQ(set(&m, 1, HV_X64_REGISTER_RAX + R12, i), REPS(1));
		CHECK_EQ(get(&m, 1, (const u32[]){HV_X64_REGISTER_RAX + R12}, 1), REPS(1));
		CHECK_EQ(got(&m, 0), i);
	}
	CHECK_EQ(machine_stop(r, NULL), -EINTR);
	CHECK_EQ(machine_reg(&m, 1, HV_X64_REGISTER_RAX + R12), 99);
	machine_unmake(&m);
}

static void call_refusals(void)
{
	static const u32 rip = HV_X64_REGISTER_RIP;
	struct machine m;

	make(&m, ~0ull, 1);
	CHECK_EQ(STATUS(get(&m, 7, &rip, 1)), HVS_INVALID_VP_INDEX);
	input(&m, 0)->partition = 5;
	CHECK_EQ(STATUS(call(&m, HV_CALL_GET_VP_REGISTERS | REPS(1), INPUT, OUTPUT)), PARTITION);
	input(&m, 0);
	CHECK_EQ(STATUS(call(&m, HV_CALL_GET_VP_REGISTERS, INPUT, OUTPUT)), HVS_INVALID_INPUT);
	CHECK_EQ(STATUS(call(&m, HV_CALL_GET_VP_REGISTERS | REPS(1) | HV_CONTROL_FAST,
			 HV_PARTITION_ID_SELF, 0)),
		HVS_INVALID_INPUT);
	CHECK_EQ(
		STATUS(call(&m, HV_CALL_GET_VP_REGISTERS | REPS(1), INPUT, OUTPUT + 4)), ALIGNMENT);
	CHECK_EQ(STATUS(call(&m, HV_CALL_GET_VP_REGISTERS | REPS(2), INPUT, OUTPUT + 0xff0)),
		ALIGNMENT);
	CHECK_EQ(STATUS(call(&m, HV_CALL_GET_VP_REGISTERS | REPS(1), 0xd0000000, OUTPUT)),
		HVS_INVALID_INPUT);
	CHECK_EQ(STATUS(set(&m, 0, HV_REGISTER_EXPLICIT_SUSPEND, 1)), DENIED);
	CHECK_EQ(STATUS(set(&m, 0, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, 1ull << 50)), DENIED);
	CHECK_EQ(STATUS(set(&m, 0, HV_REGISTER_VP_INDEX, 1)), HVS_INVALID_PARAMETER);
	machine_unmake(&m);
}

static void needs_the_feature(void)
{
	struct machine m;

	make(&m, ~BIT64(HV_SYN_ACCESS_VP_REGS), 1);
	CHECK_EQ(STATUS(get(&m, 0, (const u32[]){HV_X64_REGISTER_RIP}, 1)), DENIED);
	machine_unmake(&m);
}

/* Together no processor can have them: it does not go on with what it had before. */
static void impossible_together(void)
{
	struct hv_message message;
	struct machine m;

	make(&m, ~0ull, 1);
	*(struct hv_register *)(input(&m, 0) + 1) =
		(struct hv_register){.name = HV_X64_REGISTER_CR4, .value = {0}}; /* PAE is needed */
	machine_go(&m, 0, MACHINE_CODE);
	m.page[0]->gpr[RCX] = HV_CALL_SET_VP_REGISTERS | REPS(1);
	m.page[0]->gpr[RDX] = INPUT;
	m.page[0]->dirty |= HV_PAGE_DIRTY_GPR;
	machine_run(&m, 0, HVMSG_INVALID_VP_REGISTER_VALUE, &message);
	machine_unmake(&m);
}

const struct test guest_call_tests[] = {
	{"own are read", own_are_read},
	{"own are set", own_are_set},
	{"from the middle", from_the_middle},
	{"of another", of_another},
	{"call refusals", call_refusals},
	{"needs the feature", needs_the_feature},
	{"impossible together", impossible_together},
	{0},
};
