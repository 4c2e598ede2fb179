/* SPDX-License-Identifier: MIT */
/* Running: what ends a run and what does not. */
#include <errno.h>
#include <string.h>

#include "tests/mshv/ioctls/groups.h"
#include "tests/mshv/machine.h"

GUEST(hello);
GUEST(count);
GUEST(deaf);
GUEST(triple);
GUEST(msr);
extern const u8 guest_msr_fault[];

/* 2 + 2, as a digit and a newline to the serial port, by registers of hypercalls alone. */
static void hello_without_page(void)
{
	const struct hv_register regs[] = {{.name = HV_X64_REGISTER_RAX, .value = {2}},
		{.name = HV_X64_REGISTER_RAX + RBX, .value = {2}},
		{.name = HV_X64_REGISTER_RIP, .value = {MACHINE_CODE}}};
	struct hv_segment cs = {0, 0xffff, 0, 0x9b};
	struct hv_register r = {.name = HV_X64_REGISTER_CS, .value = value_of(&cs)};
	static const char text[] = "4\n";
	struct machine m;

	machine_make(&m, &(struct machine_how){.flags = NO_LAPIC});
	memcpy(m.ram + MACHINE_CODE, guest_hello, (size_t)(guest_hello_end - guest_hello));
	CHECK_OK(root_regs_set(m.vp[0], 0, &r, 1));
	CHECK_OK(root_regs_set(m.vp[0], 0, regs, ARRAY_SIZE(regs)));
	for (unsigned i = 0; text[i]; i++) {
		struct hv_message message = {0};
		const struct hv_io_port_message *io = (const void *)message.payload;

		CHECK_OK(root_vp_run(m.vp[0], &message));
		CHECK_EQ(message.type, HVMSG_X64_IO_PORT_INTERCEPT);
		CHECK_EQ(io->port, 0x3f8);
		CHECK_EQ(io->rax & 0xff, text[i]);
		CHECK_EQ(machine_reg(&m, 0, HV_X64_REGISTER_RIP), io->header.rip);
		machine_set_reg(
			&m, 0, HV_X64_REGISTER_RIP, io->header.rip + (io->header.length_cr8 & 15));
	}
	machine_unmake(&m);
}

static void halts_without_lapic(void)
{
	struct hv_message message;
	const struct hv_intercept_header *h = (const void *)message.payload;
	struct machine m;

	machine_make(&m, &(struct machine_how){.flags = NO_LAPIC});
	CODE16(&m, 0, hello);
	machine_out(&m, 0, 0x3f8);
	machine_out(&m, 0, 0x3f8);
	machine_run(&m, 0, HVMSG_X64_HALT, &message);
	CHECK_EQ(message.len, sizeof(*h));
	CHECK_EQ(h->vp_index, 0);
	machine_unmake(&m);
}

/* With a local APIC it sleeps inside, until a signal ends the run. */
static void sleeps_with_lapic(void)
{
	struct machine m;
	struct runner *r;

	machine_make(&m, &(struct machine_how){0});
	CODE16(&m, 0, hello);
	machine_out(&m, 0, 0x3f8);
	machine_out(&m, 0, 0x3f8);
	r = machine_start(&m, 0);
	CHECK_EQ(machine_stop(r, NULL), -EINTR);
	machine_unmake(&m);
}

static void signal_ends_a_loop(void)
{
	struct machine m;
	struct runner *r;
	u32 before;

	machine_make(&m, &(struct machine_how){0});
	CODE64(&m, 0, count);
	r = machine_start(&m, 0);
	while (!machine_u32(&m, MACHINE_DATA))
		;
	CHECK_EQ(machine_stop(r, NULL), -EINTR);
	CHECK_EQ(machine_reg(&m, 0, HV_REGISTER_EXPLICIT_SUSPEND), 1);
	before = machine_u32(&m, MACHINE_DATA);
	CHECK(m.page[0]->rip >= MACHINE_CODE && m.page[0]->rip < MACHINE_CODE + 16);
	/* It goes on where it was. */
	r = machine_start(&m, 0);
	while (machine_u32(&m, MACHINE_DATA) == before)
		;
	CHECK_EQ(machine_stop(r, NULL), -EINTR);
	machine_unmake(&m);
}

static void signal_ends_deaf_sleep(void)
{
	struct machine m;
	struct runner *r;

	machine_make(&m, &(struct machine_how){0});
	CODE64(&m, 0, deaf);
	r = machine_start(&m, 0);
	CHECK_EQ(machine_stop(r, NULL), -EINTR);
	machine_unmake(&m);
}

/* Nothing runs while the time stands still, and a signal ends the wait. */
static void frozen_time(void)
{
	struct machine m;
	struct runner *r;

	machine_make(&m, &(struct machine_how){0});
	CODE64(&m, 0, count);
	CHECK_OK(root_property_set(m.partition, HV_PROPERTY_TIME_FREEZE, 1));
	r = machine_start(&m, 0);
	CHECK_EQ(machine_stop(r, NULL), -EINTR);
	CHECK_EQ(machine_u32(&m, MACHINE_DATA), 0);
	r = machine_start(&m, 0);
	CHECK_OK(root_property_set(m.partition, HV_PROPERTY_TIME_FREEZE, 0));
	while (!machine_u32(&m, MACHINE_DATA))
		;
	CHECK_EQ(machine_stop(r, NULL), -EINTR);
	machine_unmake(&m);
}

static void triple_fault(void)
{
	struct hv_message message;
	const struct hv_intercept_header *h = (const void *)message.payload;
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	CODE64(&m, 0, triple);
	machine_run(&m, 0, HVMSG_UNRECOVERABLE_EXCEPTION, &message);
	CHECK_EQ(message.len, sizeof(*h));
	CHECK_EQ(h->rip, MACHINE_CODE + 8);
	machine_unmake(&m);
}

/* Registers that were set one by one and fit together in no way. */
static void impossible_state(void)
{
	struct hv_message message;
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	CODE16(&m, 0, hello);
	machine_set_reg(
		&m, 0, HV_X64_REGISTER_INTERMEDIATE_CR0, 0x80000010); /* paging, but not PE */
	machine_run(&m, 0, HVMSG_INVALID_VP_REGISTER_VALUE, &message);
	machine_unmake(&m);
}

/* The flags of registers around a run. */
static void suspend_registers(void)
{
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	CODE16(&m, 0, hello);
	CHECK_EQ(machine_reg(&m, 0, HV_REGISTER_EXPLICIT_SUSPEND), 1);
	machine_out(&m, 0, 0x3f8);
	CHECK_EQ(machine_reg(&m, 0, HV_REGISTER_INTERCEPT_SUSPEND), 1);
	CHECK_EQ(machine_reg(&m, 0, HV_REGISTER_EXPLICIT_SUSPEND), 0);
	machine_unmake(&m);
}

#define UNKNOWN_MSR 0x12345

static void run_msr(struct machine *m)
{
	CODE64(m, 0, msr);
	m->page[0]->gpr[RCX] = UNKNOWN_MSR;
	m->page[0]->dirty |= HV_PAGE_DIRTY_GPR;
}

static void unknown_msr_faults(void)
{
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	run_msr(&m);
	machine_gate(&m, 13, GUEST_LABEL(msr, fault));
	CHECK_EQ(machine_out(&m, 0, 0x12), 0xfa017);
	machine_unmake(&m);
}

static void unknown_msr_ignored(void)
{
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	CHECK_OK(root_property_set(
		m.partition, HV_PROPERTY_UNIMPLEMENTED_MSR_ACTION, HV_MSR_ACTION_IGNORE));
	run_msr(&m);
	machine_gate(&m, 13, GUEST_LABEL(msr, fault));
	CHECK_EQ(machine_out(&m, 0, 0x10), 0);
	CHECK_EQ(machine_out(&m, 0, 0x10), 2);
	machine_unmake(&m);
}

/* Memory is the same for both: what one writes the other reads at once, code included. */
static void memory_is_shared(void)
{
	static const u8 out10[] = {0xe6, 0x10}, out20[] = {0xe6, 0x20};
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	machine_code16(&m, 0, out10, sizeof(out10));
	machine_out(&m, 0, 0x10);
	machine_code16(&m, 0, out20, sizeof(out20));
	machine_out(&m, 0, 0x20);
	machine_unmake(&m);
}

/* Is one of them out? */
static bool kick_both(struct runner *a, struct runner *b)
{
	const bool out = machine_kick(a);

	return machine_kick(b) || out;
}

/* A second run of the same processor by another thread waits for the first one, and no signal ends that. */
static void two_threads_one_vp(void)
{
	struct machine m;
	struct runner *a, *b;
	unsigned patience = 10000;

	machine_make(&m, &(struct machine_how){0});
	CODE64(&m, 0, count);
	a = machine_start(&m, 0);
	b = machine_start(&m, 0);
	while (!machine_u32(&m, MACHINE_DATA))
		;
	while (!kick_both(a, b))
		CHECK(--patience);
	CHECK_EQ(machine_stop(a, NULL), -EINTR);
	CHECK_EQ(machine_stop(b, NULL), -EINTR);
	machine_unmake(&m);
}

/* Who runs a processor needs neither the partition's descriptor nor the device's. */
static void closed_while_it_runs(void)
{
	struct machine m;
	struct runner *r;
	u32 before;

	machine_make(&m, &(struct machine_how){0});
	CODE64(&m, 0, count);
	r = machine_start(&m, 0);
	port_close(m.partition);
	port_close(m.device);
	before = machine_u32(&m, MACHINE_DATA);
	while (machine_u32(&m, MACHINE_DATA) == before)
		;
	CHECK_EQ(machine_stop(r, NULL), -EINTR);
	m.partition = port_open();
	m.device = port_open();
	machine_unmake(&m);
}

/* The message cannot be written: it is lost. */
static void bad_buffer(void)
{
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	CODE16(&m, 0, hello);
	CHECK_EQ(port_ioctl(m.vp[0], MSHV_RUN_VP, (void *)0xdead000000000000ul), -EFAULT);
	machine_unmake(&m);
}

const struct test run_tests[] = {
	{"hello without page", hello_without_page},
	{"halts without lapic", halts_without_lapic},
	{"sleeps with lapic", sleeps_with_lapic},
	{"signal ends a loop", signal_ends_a_loop},
	{"signal ends deaf sleep", signal_ends_deaf_sleep},
	{"frozen time", frozen_time},
	{"triple fault", triple_fault},
	{"impossible state", impossible_state},
	{"suspend registers", suspend_registers},
	{"unknown msr faults", unknown_msr_faults},
	{"unknown msr ignored", unknown_msr_ignored},
	{"memory is shared", memory_is_shared},
	{"two threads one vp", two_threads_one_vp},
	{"closed while it runs", closed_while_it_runs},
	{"bad buffer", bad_buffer},
	{0},
};
