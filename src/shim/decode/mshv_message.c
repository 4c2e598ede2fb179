/* SPDX-License-Identifier: MIT */
/* Intercept messages: what ends MSHV_RUN_VP, or what a lower trust level was left for. One table of members for each type. */
#include "shim/decode/mshv.h"

MEMBERS(io_port) = {H(hv_io_port_message, port), H(hv_io_port_message, access_info),
	H(hv_io_port_message, rax), H(hv_io_port_message, rcx), H(hv_io_port_message, rsi),
	H(hv_io_port_message, rdi)};
MEMBERS(memory) = {H(hv_memory_message, gpa), H(hv_memory_message, gva),
	H(hv_memory_message, access_info), D(hv_memory_message, cache_type)};
MEMBERS(msr) = {H(hv_msr_message, msr), H(hv_msr_message, rdx), H(hv_msr_message, rax)};
MEMBERS(cpuid) = {H(hv_cpuid_message, rax), H(hv_cpuid_message, rcx),
	H(hv_cpuid_message, default_rax), H(hv_cpuid_message, default_rbx),
	H(hv_cpuid_message, default_rcx), H(hv_cpuid_message, default_rdx)};
MEMBERS(exception) = {D(hv_exception_message, vector), H(hv_exception_message, info),
	H(hv_exception_message, error), H(hv_exception_message, parameter)};
MEMBERS(hypercall) = {H(hv_hypercall_message, rax), H(hv_hypercall_message, rbx),
	H(hv_hypercall_message, rcx), H(hv_hypercall_message, rdx), H(hv_hypercall_message, r8),
	H(hv_hypercall_message, rsi), H(hv_hypercall_message, rdi), H(hv_hypercall_message, flags)};
MEMBERS(apic_eoi) = {D(hv_apic_eoi_message, vp_index), D(hv_apic_eoi_message, vector)};
MEMBERS(sint_deliverable) = {H(hv_sint_deliverable_message, sints)};
MEMBERS(deliverable) = {D(hv_deliverable_message, type)};
MEMBERS(sipi) = {D(hv_sipi_message, target_vp), H(hv_sipi_message, vector)};
MEMBERS(invalid_register) = {D(hv_invalid_register_message, vp_index)};
MEMBERS(unsupported) = {D(hv_unsupported_message, vp_index), D(hv_unsupported_message, feature),
	H(hv_unsupported_message, parameter)};
MEMBERS(timer) = {
	D(hv_timer_payload, index), D(hv_timer_payload, expiration), D(hv_timer_payload, delivery)};
MEMBERS(header) = {D(hv_intercept_header, vp_index), H(hv_intercept_header, rip),
	H(hv_intercept_header, rflags), H(hv_intercept_header, execution_state)};

/* Which bytes of the instruction there are. */
struct instruction {
	u16 count, bytes; /* offsets */
};
#define INSTRUCTION(type)                                                                          \
	{                                                                                          \
		offsetof(struct type, byte_count), offsetof(struct type, bytes)                    \
	}

static const struct message_layout {
	u32 type;
	u8 count;
	bool has_header, has_access;
	const char *name;
	const struct member *members;
	struct instruction instruction;
} messages[] = {
/* With a header and without; with an access, and the instruction. */
#define M_HEADER(name, members)                                                                    \
	{                                                                                          \
		HVMSG_##name, ARRAY_SIZE(members), true, false, #name, members,                    \
		{                                                                                  \
			0, 0                                                                       \
		}                                                                                  \
	}
#define M_PLAIN(name, members)                                                                     \
	{                                                                                          \
		HVMSG_##name, ARRAY_SIZE(members), false, false, #name, members,                   \
		{                                                                                  \
			0, 0                                                                       \
		}                                                                                  \
	}
#define M_ACCESS(name, members, type)                                                              \
	{                                                                                          \
		HVMSG_##name, ARRAY_SIZE(members), true, true, #name, members, INSTRUCTION(type)   \
	}
#define M_ALONE(name)                                                                              \
	{                                                                                          \
		HVMSG_##name, 0, true, false, #name, NULL,                                         \
		{                                                                                  \
			0, 0                                                                       \
		}                                                                                  \
	}
	M_ACCESS(UNMAPPED_GPA, memory, hv_memory_message),
	M_ACCESS(GPA_INTERCEPT, memory, hv_memory_message),
	M_ACCESS(X64_IO_PORT_INTERCEPT, io_port, hv_io_port_message),
	{HVMSG_X64_MSR_INTERCEPT, ARRAY_SIZE(msr), true, true, "X64_MSR_INTERCEPT", msr, {0, 0}},
	M_HEADER(X64_CPUID_INTERCEPT, cpuid),
	M_ACCESS(X64_EXCEPTION_INTERCEPT, exception, hv_exception_message),
	M_ACCESS(X64_EXCEPTION_TRAP, exception, hv_exception_message),
	M_HEADER(HYPERCALL_INTERCEPT, hypercall),
	M_PLAIN(X64_APIC_EOI, apic_eoi),
	M_HEADER(SYNIC_SINT_DELIVERABLE, sint_deliverable),
	M_HEADER(X64_INTERRUPTION_DELIVERABLE, deliverable),
	M_HEADER(X64_SIPI_INTERCEPT, sipi),
	M_PLAIN(INVALID_VP_REGISTER_VALUE, invalid_register),
	M_PLAIN(UNSUPPORTED_FEATURE, unsupported),
	M_PLAIN(TIMER_EXPIRED, timer),
	M_ALONE(UNRECOVERABLE_EXCEPTION),
	M_ALONE(X64_HALT),
	M_ALONE(UNACCEPTED_GPA),
	M_ALONE(GPA_ATTRIBUTE),
	M_ALONE(SYNIC_EVENT_INTERCEPT),
	M_ALONE(SYNIC_SINT_INTERCEPT),
	M_ALONE(X64_APIC_SMI),
	M_ALONE(X64_APIC_INIT_SIPI),
	M_ALONE(X64_APIC_WRITE),
#undef M_HEADER
#undef M_PLAIN
#undef M_ACCESS
#undef M_ALONE
};

static const struct named_value accesses[] = {
	{HV_INTERCEPT_READ, "READ"},
	{HV_INTERCEPT_WRITE, "WRITE"},
	{HV_INTERCEPT_EXECUTE, "EXECUTE"},
	{0, NULL},
};

static const struct message_layout *find(u32 type)
{
	for (unsigned i = 0; i < ARRAY_SIZE(messages); i++)
		if (messages[i].type == type)
			return &messages[i];
	return NULL;
}

/* The program can write to the message: nothing in it is believed. */
static void add_instruction(struct line *l, const struct message_layout *y, const u8 *payload)
{
	const u8 n = payload[y->instruction.count];

	if (y->instruction.bytes && n)
		line_bytes(l, "instruction", payload + y->instruction.bytes,
			MIN(n, (u8)HV_INSTRUCTION_BYTES));
}

static void add_payload(struct line *l, const struct message_layout *y, const u8 *payload)
{
	const struct hv_intercept_header *h = (const void *)payload;

	if (y->has_access)
		add_named(l, "access", accesses, h->access);
	add_members(l, payload, y->members, y->count);
	if (y->has_header)
		add_members(l, h, header, ARRAY_SIZE(header));
	if (y->has_header && h->length_cr8 & 15)
		line_number(l, "length", h->length_cr8 & 15, LINE_DEC);
	add_instruction(l, y, payload);
}

void add_message(struct line *l, const struct hv_message *m)
{
	const struct message_layout *y = find(m->type);

	if (!y) {
		line_number(l, "type", m->type, LINE_HEX);
		return;
	}
	line_word(l, l->json ? "type" : NULL, y->name);
	add_payload(l, y, m->payload);
}
