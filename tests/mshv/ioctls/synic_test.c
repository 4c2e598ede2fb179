/* SPDX-License-Identifier: MIT */
/* Messages and events for the guest, and the hypervisor's clocks and timers, from both sides. */
#include <errno.h>
#include <string.h>

#include "tests/mshv/ioctls/groups.h"
#include "tests/mshv/machine.h"

GUEST(synic);
GUEST(stimer);
GUEST(clock);
GUEST(hv_msr);
GUEST(hypercall);
extern const u8 guest_synic_h30[], guest_synic_take[], guest_stimer_h30[];

#define SIMP                 (MACHINE_DATA + 0x3000)
#define SIEFP                (MACHINE_DATA + 0x4000)
#define SINT                 2u
#define SLOT                 (SIMP + SINT * 0x100)
#define COUNT                (MACHINE_DATA + 4 * 0x30)
#define OBJECT_IN_USE        0x19
#define INSUFFICIENT_BUFFERS 0x13

static long post(struct machine *m, u32 sint, u8 first)
{
	struct hv_post_message_direct in = {.sint = sint};
	const struct root_call call = {HVCALL_POST_MESSAGE_DIRECT, 0, &in, sizeof(in), NULL, 0};
	const struct hv_message message = {.type = 1, .len = 8, .payload = {first}};

	memcpy(in.message, &message, sizeof(message));
	return root_call(m->partition, &call);
}

static long signal_event(struct machine *m, u8 sint, u16 flag, u8 *ret_new)
{
	const struct hv_signal_event_direct in = {.sint = sint, .flag = flag};
	u8 out[8] = {0};
	const struct root_call call = {
		HVCALL_SIGNAL_EVENT_DIRECT, 0, &in, sizeof(in), out, sizeof(out)};
	long r = root_call(m->partition, &call);

	*ret_new = out[0];
	return r;
}

/* A processor that has never run: events and messages are kept for it. */
static void on_a_fresh_vp(void)
{
	struct machine m;
	u8 is_new;

	machine_make(&m, &(struct machine_how){.synthetic = ~0ull});
	CHECK_OK(signal_event(&m, 2, 1, &is_new));
	CHECK_EQ(is_new, 1);
	CHECK_OK(signal_event(&m, 2, 1, &is_new));
	CHECK_EQ(is_new, 0);
	CHECK_OK(post(&m, SINT, 0x5a));
	CHECK_OK(post(&m, SINT, 0x5b));
	CODE64(&m, 0, synic);
	machine_gate(&m, 0x30, GUEST_LABEL(synic, h30));
	machine_out(&m, 0, 0x10);
	CHECK_EQ(machine_u32(&m, SLOT), 1);
	CHECK_EQ(m.ram[SLOT + 16], 0x5a);
	CHECK_EQ(m.ram[SLOT + 5] & HV_MESSAGE_PENDING, HV_MESSAGE_PENDING);
	CHECK_EQ(m.ram[SIEFP + SINT * 0x100], 1 << 1);
	machine_unmake(&m);
}

/* SynIC on, in memory, and the guest sleeps. */
static void start(struct machine *m)
{
	machine_make(m, &(struct machine_how){.synthetic = ~0ull});
	CODE64(m, 0, synic);
	machine_gate(m, 0x30, GUEST_LABEL(synic, h30));
	machine_out(m, 0, 0x10);
}

static void message_arrives(void)
{
	struct machine m;
	struct runner *r;
	struct hv_message got;

	start(&m);
	r = machine_start(&m, 0);
	CHECK_OK(post(&m, SINT, 0x5a));
	machine_await(&m, COUNT, 1);
	CHECK_EQ(machine_stop(r, NULL), -EINTR);
	memcpy(&got, m.ram + SLOT, sizeof(got));
	CHECK_EQ(got.type, 1);
	CHECK_EQ(got.len, 8);
	CHECK_EQ(got.payload[0], 0x5a);
	CHECK_EQ(got.flags & HV_MESSAGE_PENDING, 0);
	machine_unmake(&m);
}

/* More than the slot takes wait, and come one by one. */
static void messages_wait(void)
{
	struct machine m;
	long r = 0;
	unsigned waiting = 0;

	start(&m);
	CHECK_OK(post(&m, SINT, 1));
	CHECK_OK(post(&m, SINT, 2));
	CHECK_EQ(m.ram[SLOT + 16], 1);
	CHECK_EQ(m.ram[SLOT + 5] & HV_MESSAGE_PENDING, HV_MESSAGE_PENDING);
	machine_go(&m, 0, GUEST_LABEL(synic, take));
	m.page[0]->rflags &= ~0x200ull;
	m.page[0]->dirty |= HV_PAGE_DIRTY_RFLAGS;
	machine_out(&m, 0, 0x10);
	CHECK_EQ(m.ram[SLOT + 16], 2);
	/* Some day there is no room. */
	while (r >= 0 && waiting < 10000) {
		r = post(&m, SINT, 3);
		waiting++;
	}
	CHECK_EQ(r, -EIO);
	CHECK(root_last.status == OBJECT_IN_USE || root_last.status == INSUFFICIENT_BUFFERS);
	machine_unmake(&m);
}

/* Who waits for room is told of it, once. */
static void deliverable(void)
{
	struct hv_message message;
	const struct hv_sint_deliverable_message *d = (const void *)message.payload;
	struct machine m;
	struct runner *r;

	start(&m);
	CHECK_OK(post(&m, SINT, 1));
	machine_go(&m, 0, GUEST_LABEL(synic, take));
	m.page[0]->rflags &= ~0x200ull;
	m.page[0]->dirty |= HV_PAGE_DIRTY_RFLAGS;
	machine_set_reg(&m, 0, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, 1ull << (48 + SINT));
	machine_run(&m, 0, HVMSG_SYNIC_SINT_DELIVERABLE, &message);
	CHECK_EQ(message.len, sizeof(*d));
	CHECK_EQ(d->sints, 1u << SINT);
	CHECK_EQ(d->header.vp_index, 0);
	CHECK_EQ(machine_reg(&m, 0, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS), 0);
	CHECK_EQ(machine_u32(&m, SLOT), 0);
	machine_out(&m, 0, 0x10);
	/* While it sleeps inside, through the partition. */
	r = machine_start(&m, 0);
	CHECK_OK(root_reg_set(
		m.partition, 0, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, 1ull << (48 + SINT)));
	CHECK_EQ(machine_wait(r, &message), 0);
	CHECK_EQ(message.type, HVMSG_SYNIC_SINT_DELIVERABLE);
	CHECK_EQ(d->sints, 1u << SINT);
	machine_unmake(&m);
}

static void event_arrives(void)
{
	struct machine m;
	struct runner *r;
	u8 is_new;

	start(&m);
	r = machine_start(&m, 0);
	CHECK_OK(signal_event(&m, SINT, 77, &is_new));
	CHECK_EQ(is_new, 1);
	machine_await(&m, COUNT, 1);
	CHECK_EQ(m.ram[SIEFP + SINT * 256 + 77 / 8], 1u << 77 % 8);
	/* Not taken by the guest yet: no second interrupt. */
	CHECK_OK(signal_event(&m, SINT, 77, &is_new));
	CHECK_EQ(is_new, 0);
	CHECK_OK(signal_event(&m, SINT, 2047, &is_new));
	CHECK_EQ(is_new, 1);
	machine_await(&m, COUNT, 2);
	CHECK_EQ(machine_stop(r, NULL), -EINTR);
	machine_unmake(&m);
}

static void refusals(void)
{
	struct machine m;
	u8 is_new;

	start(&m);
	CHECK(post(&m, 16, 1) < 0);
	CHECK(signal_event(&m, 16, 0, &is_new) < 0);
	CHECK(signal_event(&m, SINT, 2048, &is_new) < 0);
	machine_unmake(&m);
}

/* ---- the guest's side ---- */

static u64 offered(struct machine *m)
{
	u64 value = 0;

	CHECK_OK(root_property_get(m->partition, HV_PROPERTY_SYNTHETIC_PROC_FEATURES, &value));
	return value;
}

static u32 msr(struct machine *m, u32 write, u32 value, u32 read)
{
	CODE64(m, 0, hv_msr);
	m->page[0]->gpr[RBX] = write;
	m->page[0]->gpr[RSI] = value;
	m->page[0]->gpr[RDI] = read;
	m->page[0]->dirty |= HV_PAGE_DIRTY_GPR;
	return machine_out(m, 0, 0x10);
}

/* MSRs of the guest and registers of the client are the same. */
static void msrs_are_registers(void)
{
	struct machine m;

	machine_make(&m, &(struct machine_how){.synthetic = ~0ull});
	CHECK_EQ(msr(&m, HV_GUEST_OS_ID, 0x1234, HV_GUEST_OS_ID), 0x1234);
	CHECK_EQ(machine_reg(&m, 0, HV_REGISTER_GUEST_OS_ID), 0x1234);
	CHECK_EQ(msr(&m, HV_SINT0 + 3, 0x10035, HV_VP_INDEX), 0);
	CHECK_EQ(machine_reg(&m, 0, HV_REGISTER_SINT0 + 3), 0x10035);
	machine_set_reg(&m, 0, HV_REGISTER_SINT0 + 4, 0x10036);
	CHECK_EQ(msr(&m, HV_GUEST_OS_ID, 1, HV_SINT0 + 4), 0x10036);
	CHECK_EQ(msr(&m, HV_GUEST_OS_ID, 1, HV_TSC_FREQUENCY),
		(u32)machine_reg(&m, 0, HV_REGISTER_PROCESSOR_CLOCK_FREQUENCY));
	CHECK_EQ(msr(&m, HV_GUEST_OS_ID, 1, HV_APIC_FREQUENCY),
		(u32)machine_reg(&m, 0, HV_REGISTER_INTERRUPT_CLOCK_FREQUENCY));
	machine_unmake(&m);
}

static u32 hypercall(struct machine *m, u64 control, u64 input, u64 output)
{
	CODE64(m, 0, hypercall);
	m->page[0]->gpr[RCX] = control;
	m->page[0]->gpr[RDX] = input;
	m->page[0]->gpr[R8] = output;
	m->page[0]->dirty |= HV_PAGE_DIRTY_GPR;
	return machine_out(m, 0, 0x10);
}

/* Nobody has installed an intercept: the hypervisor answers itself. */
static void hypercalls(void)
{
	struct machine m;

	machine_make(&m, &(struct machine_how){.synthetic = ~0ull});
	machine_set_reg(&m, 0, HV_REGISTER_GUEST_OS_ID, 0x8100000000000000ull);
	machine_set_reg(&m, 0, HV_REGISTER_HYPERCALL, (MACHINE_DATA + 0x2000) | 1);
	CHECK_EQ(hypercall(&m, 0x7fff, 0, 0) & 0xffff, HVS_INVALID_CODE);
	CHECK_EQ(hypercall(&m, HV_CALL_SIGNAL_EVENT | HV_CONTROL_FAST, 1, 0) & 0xffff, 0x12);
	CHECK_EQ(hypercall(&m, HV_CALL_POST_MESSAGE, MACHINE_DATA, 0) & 0xffff, 0x12);
	CHECK_EQ(hypercall(&m, HV_CALL_POST_MESSAGE, MACHINE_DATA + 4, 0) & 0xffff,
		HVS_INVALID_ALIGNMENT);
	machine_unmake(&m);
}

static void timer_fires(void)
{
	struct machine m;
	struct runner *r;

	machine_make(&m, &(struct machine_how){.synthetic = ~0ull});
	if (!(offered(&m) & BIT64(HV_SYN_DIRECT_TIMERS))) {
		machine_unmake(&m);
		test_skip("no direct timers");
	}
	CODE64(&m, 0, stimer);
	machine_gate(&m, 0x30, GUEST_LABEL(stimer, h30));
	r = machine_start(&m, 0);
	machine_await(&m, COUNT, 1);
	CHECK_EQ(machine_stop(r, NULL), -EINTR);
	CHECK_EQ(machine_reg(&m, 0, HV_REGISTER_STIMER0_CONFIG) & 1, 0);
	machine_unmake(&m);
}

/* The reference counter, the TSC page, and the property tell the same time. */
static void clocks_agree(void)
{
	struct machine m;
	u64 time[3], before, after;

	machine_make(&m, &(struct machine_how){.synthetic = ~0ull});
	if (!(offered(&m) & BIT64(HV_SYN_REFERENCE_TSC))) {
		machine_unmake(&m);
		test_skip("no reference TSC page");
	}
	CODE64(&m, 0, clock);
	CHECK_OK(root_property_get(m.partition, HV_PROPERTY_REFERENCE_TIME, &before));
	CHECK(machine_out(&m, 0, 0x10)); /* the page's sequence: it is valid */
	CHECK_OK(root_property_get(m.partition, HV_PROPERTY_REFERENCE_TIME, &after));
	memcpy(time, m.ram + MACHINE_DATA, sizeof(time));
	CHECK(before <= time[0]);
	CHECK(time[0] <= time[1] + 1); /* rounding */
	CHECK(time[1] <= time[2] + 1);
	CHECK(time[2] <= after);
	machine_unmake(&m);
}

const struct test synic_tests[] = {
	{"on a fresh vp", on_a_fresh_vp},
	{"message arrives", message_arrives},
	{"messages wait", messages_wait},
	{"deliverable", deliverable},
	{"event arrives", event_arrives},
	{"refusals", refusals},
	{"msrs are registers", msrs_are_registers},
	{"hypercalls", hypercalls},
	{"timer fires", timer_fires},
	{"clocks agree", clocks_agree},
	{0},
};
