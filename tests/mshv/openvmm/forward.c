/* SPDX-License-Identifier: MIT */
/* Hypercalls that come out: whoever has installed the intercepts answers them. */
#include <string.h>

#include "tests/mshv/openvmm/bringup.h"

GUEST(vmcall);
GUEST(hypercall);
extern const u8 guest_vmcall_amd[];

#define OS_ID        0x8100000000000001ull
#define RETARGET     0x7eull
#define CALL_LENGTH  3
#define HYPERCALL_AT (MACHINE_DATA + 0x2000)

static bool is_intel(struct machine *m)
{
	u64 vendor;

	CHECK_OK(root_property_get(m->partition, HV_PROPERTY_PROCESSOR_VENDOR, &vendor));
	return vendor == HV_VENDOR_INTEL;
}

static void start(struct machine *m, u64 control, u64 input, u64 output)
{
	struct hv_register_page *p;

	bringup(m, 1);
	p = m->page[0];
	machine_set_reg(m, 0, HV_REGISTER_GUEST_OS_ID, OS_ID);
	CODE64(m, 0, vmcall);
	if (!is_intel(m))
		machine_go(m, 0, GUEST_LABEL(vmcall, amd));
	p->gpr[RCX] = control;
	p->gpr[RDX] = input;
	p->gpr[R8] = output;
	p->gpr[RSI] = 0x51;
	p->gpr[RDI] = 0xd1;
	p->xmm[0] = (struct hv_value128){0x1234, 0x5678};
	p->xmm[5] = (struct hv_value128){0x9abc, 0xdef0};
	p->dirty |= HV_PAGE_DIRTY_GPR | HV_PAGE_DIRTY_XMM;
}

static void check_forwarded(u64 control)
{
	struct hv_message message;
	const struct hv_hypercall_message *h = (const void *)message.payload;
	struct machine m;
	u64 rip;

	start(&m, control, 0x10018, 0x10020);
	rip = m.page[0]->rip;
	machine_run(&m, 0, HVMSG_HYPERCALL_INTERCEPT, &message);
	CHECK_EQ(h->header.rip, rip);
	CHECK_EQ(h->header.length_cr8 & 15, CALL_LENGTH);
	CHECK_EQ(h->rcx, control);
	CHECK_EQ(h->rdx, 0x10018);
	CHECK_EQ(h->r8, 0x10020);
	CHECK_EQ(h->rsi, 0x51);
	CHECK_EQ(h->rdi, 0xd1);
	CHECK_EQ(h->xmm[0].low, 0x1234);
	CHECK_EQ(h->xmm[5].high, 0xdef0);
	m.page[0]->gpr[RAX] = 0x77;
	m.page[0]->dirty |= HV_PAGE_DIRTY_GPR;
	machine_skip(&m, 0, CALL_LENGTH);
	CHECK_EQ(machine_out(&m, 0, 0x10), 0x77);
	machine_unmake(&m);
}

static void posted_messages(void)
{
	check_forwarded(HV_CALL_POST_MESSAGE);
	check_forwarded(HV_CALL_POST_MESSAGE | HV_CONTROL_FAST);
}

static void signalled_events(void)
{
	check_forwarded(HV_CALL_SIGNAL_EVENT);
	check_forwarded(HV_CALL_SIGNAL_EVENT | HV_CONTROL_FAST);
}

static void retargeted_interrupts(void)
{
	check_forwarded(RETARGET);
	check_forwarded(RETARGET | 2ull << 17 | 1ull << 32); /* a variable header, repetitions */
}

static void unknown_calls(void)
{
	check_forwarded(0x7fff);
}

/* Through the guest's own page, as guests make them. */
static void by_the_page(void)
{
	struct hv_message message;
	const struct hv_hypercall_message *h = (const void *)message.payload;
	struct machine m;

	bringup(&m, 1);
	machine_set_reg(&m, 0, HV_REGISTER_GUEST_OS_ID, OS_ID);
	machine_set_reg(&m, 0, HV_REGISTER_HYPERCALL, HYPERCALL_AT | 1);
	CODE64(&m, 0, hypercall);
	m.page[0]->gpr[RCX] = HV_CALL_SIGNAL_EVENT | HV_CONTROL_FAST;
	m.page[0]->gpr[RDX] = 0x10001;
	m.page[0]->dirty |= HV_PAGE_DIRTY_GPR;
	machine_run(&m, 0, HVMSG_HYPERCALL_INTERCEPT, &message);
	CHECK(h->header.rip >= HYPERCALL_AT && h->header.rip < HYPERCALL_AT + 0x1000);
	CHECK_EQ(h->rdx, 0x10001);
	m.page[0]->gpr[RAX] = 0;
	m.page[0]->dirty |= HV_PAGE_DIRTY_GPR;
	machine_skip(&m, 0, CALL_LENGTH);
	CHECK_EQ(machine_out(&m, 0, 0x10), 0);
	machine_unmake(&m);
}

/* What the hypervisor does itself stays inside. */
static void own_calls_stay_inside(void)
{
	static const u64 input[] = {0, 3, 1}; /* address space; of all processors and spaces */
	struct machine m;

	start(&m, HV_CALL_FLUSH_SPACE, MACHINE_DATA, 0);
	memcpy(m.ram + MACHINE_DATA, input, sizeof(input));
	CHECK_EQ(machine_out(&m, 0, 0x10) & 0xffff, HVS_SUCCESS);
	machine_unmake(&m);
}

/* Who moves nothing and runs again sees the same call again. */
static void not_answered(void)
{
	struct hv_message first, second;
	struct machine m;

	start(&m, HV_CALL_SIGNAL_EVENT, 0x10018, 0);
	machine_run(&m, 0, HVMSG_HYPERCALL_INTERCEPT, &first);
	machine_run(&m, 0, HVMSG_HYPERCALL_INTERCEPT, &second);
	machine_unmake(&m);
}

const struct test forward_tests[] = {
	{"posted messages", posted_messages},
	{"signalled events", signalled_events},
	{"retargeted interrupts", retargeted_interrupts},
	{"unknown calls", unknown_calls},
	{"by the page", by_the_page},
	{"own calls stay inside", own_calls_stay_inside},
	{"not answered", not_answered},
	{0},
};
