/* SPDX-License-Identifier: MIT */
/*
 * MSHV_ROOT_HVCALL: by its code, what the input and the output of a hypercall consist of. They are in the program's memory, and
 * their sizes the program's word: what is shown is bounded.
 */
#include <stdio.h>
#include <string.h>

#include "shim/decode/mshv.h"

#define SHOWN 64 /* repetitions */

/* ---- registers ---- */

MEMBERS(segment) = {
	H(hv_segment, selector), H(hv_segment, base), H(hv_segment, limit), H(hv_segment, attr)};
MEMBERS(table) = {H(hv_table, base), H(hv_table, limit)};

/* Each member under the register's name and its own. */
static void add_parts(
	struct line *l, const char *name, const void *value, const struct member *m, unsigned n)
{
	for (; n; n--, m++) {
		char both[REGISTER_NAME_MAX + 16];
		struct member named = *m;

		snprintf(both, sizeof(both), "%s.%s", name, m->name);
		named.name = both;
		add_members(l, value, &named, 1);
	}
}

void add_register(struct line *l, u32 number, const struct hv_value128 *value)
{
	char name[REGISTER_NAME_MAX], text[48];

	register_word(number, name);
	if (number >= HV_X64_REGISTER_ES && number <= HV_X64_REGISTER_TR) {
		add_parts(l, name, value, segment, ARRAY_SIZE(segment));
		return;
	}
	if (number == HV_X64_REGISTER_IDTR || number == HV_X64_REGISTER_GDTR) {
		add_parts(l, name, value, table, ARRAY_SIZE(table));
		return;
	}
	if (!value->high) {
		line_number(l, name, value->low, LINE_HEX);
		return;
	}
	snprintf(text, sizeof(text), "0x%llx:0x%016llx", (unsigned long long)value->high,
		(unsigned long long)value->low);
	line_word(l, name, text);
}

/* What a hypercall is about: the argument, and where its repetitions are. */
struct rooted {
	const struct mshv_root_hvcall *a;
	u64 in, out; /* behind the heads */
};

static u32 shown(const struct rooted *r)
{
	return MIN((u32)r->a->reps, (u32)SHOWN);
}

static void list_names(struct line *l, const struct rooted *r)
{
	char text[SHOWN * 20], name[REGISTER_NAME_MAX];
	size_t used = 0;
	u32 number;

	for (u32 i = 0; i < shown(r) && used + REGISTER_NAME_MAX < sizeof(text); i++) {
		if (!read_program(r->in + i * sizeof(number), &number, sizeof(number)))
			return;
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", i ? " " : "",
			register_word(number, name));
	}
	if (used)
		line_word(l, "names", text);
}

static void list_values(struct line *l, const struct rooted *r)
{
	struct hv_value128 value;
	u32 number;

	for (u32 i = 0; i < shown(r); i++) {
		if (!read_program(r->in + i * sizeof(number), &number, sizeof(number)) ||
			!read_program(r->out + i * sizeof(value), &value, sizeof(value)))
			return;
		add_register(l, number, &value);
	}
}

static void list_registers(struct line *l, const struct rooted *r)
{
	struct hv_register reg;

	for (u32 i = 0; i < shown(r); i++) {
		if (!read_program(r->in + i * sizeof(reg), &reg, sizeof(reg)))
			return;
		add_register(l, reg.name, &reg.value);
	}
}

/* ---- others that repeat ---- */

static void list_leaves(struct line *l, const struct rooted *r)
{
	struct hv_cpuid_leaf leaf;
	u32 value[4];
	char name[24], text[48];

	for (u32 i = 0; i < shown(r); i++) {
		if (!read_program(r->in + i * sizeof(leaf), &leaf, sizeof(leaf)) ||
			!read_program(r->out + i * sizeof(value), value, sizeof(value)))
			return;
		snprintf(name, sizeof(name), "0x%x.%x", leaf.eax, leaf.ecx);
		snprintf(text, sizeof(text), "%08x %08x %08x %08x", value[0], value[1], value[2],
			value[3]);
		line_word(l, name, text);
	}
}

static void list_asked(struct line *l, const struct rooted *r)
{
	struct hv_cpuid_leaf leaf;
	char text[SHOWN * 20];
	size_t used = 0;

	for (u32 i = 0; i < shown(r); i++) {
		if (!read_program(r->in + i * sizeof(leaf), &leaf, sizeof(leaf)))
			return;
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s0x%x.%x",
			i ? " " : "", leaf.eax, leaf.ecx);
	}
	if (used)
		line_word(l, "leaves", text);
}

static void list_states(struct line *l, const struct rooted *r)
{
	u8 states[SHOWN];

	if (shown(r) && read_program(r->out, states, shown(r)))
		line_bytes(l, "states", states, shown(r));
}

/* ---- with a union, or a name ---- */

static void list_property(struct line *l, const struct rooted *r)
{
	struct hv_get_property p;

	if (read_program(r->in - sizeof(p), &p, sizeof(p)))
		add_named(l, "property", property_names, p.code);
}

static void list_result(struct line *l, const struct rooted *r)
{
	struct hv_intercept_result q = {0};

	if (!read_program(
		    r->in - HV_INTERCEPT_RESULT_HEAD, &q, MIN(sizeof(q), (size_t)r->a->in_sz)))
		return;
	if (q.type == HV_INTERCEPT_CPUID) {
		line_number(l, "eax", q.cpuid.eax, LINE_HEX);
		line_number(l, "ecx", q.cpuid.ecx, LINE_HEX);
		line_number(l, "subleaf_specific", q.cpuid.subleaf_specific, LINE_DEC);
		for (unsigned i = 0; i < 4; i++) {
			static const char *const names[] = {
				"set_eax", "set_ebx", "set_ecx", "set_edx"};
			char text[32];

			snprintf(text, sizeof(text), "0x%x/0x%x", q.cpuid.reg[i].value,
				q.cpuid.reg[i].mask);
			line_word(l, names[i], text);
		}
	} else if (q.type == HV_INTERCEPT_MSR || q.type == HV_INTERCEPT_MSR_INDEX) {
		line_number(l, "msr", q.msr.msr, LINE_HEX);
		line_number(l, "access", q.msr.access, LINE_HEX);
		line_number(l, "action", q.msr.action, LINE_DEC);
	}
}

/* ---- the table ---- */

MEMBERS(set_property) = {H(hv_set_property, value)};
MEMBERS(property_value) = {{"value", 0, 8, LINE_HEX}};
MEMBERS(get_property_ex) = {H(hv_get_property_ex, arg)};
MEMBERS(bank) = {D(hv_property_bank, count), H(hv_property_bank, mask[0])};
MEMBERS(install_intercept) = {H(hv_install_intercept, access), H(hv_install_intercept, type),
	H(hv_install_intercept, parameter)};
MEMBERS(vp_registers) = {D(hv_vp_registers, vp_index), H(hv_vp_registers, vtl)};
MEMBERS(translate) = {D(hv_translate, vp_index), H(hv_translate, flags), H(hv_translate, gva_page)};
MEMBERS(translated) = {
	D(hv_translated, result), H(hv_translated, flags), H(hv_translated, gpa_page)};
MEMBERS(intercept_result) = {H(hv_intercept_result, vp_index), D(hv_intercept_result, type)};
MEMBERS(assert_interrupt) = {D(hv_assert_interrupt, type), H(hv_assert_interrupt, control),
	H(hv_assert_interrupt, dest), H(hv_assert_interrupt, vector)};
MEMBERS(signal_event) = {D(hv_signal_event_direct, vp_index), D(hv_signal_event_direct, vtl),
	D(hv_signal_event_direct, sint), D(hv_signal_event_direct, flag)};
MEMBERS(signaled) = {{"newly_signaled", 0, 1, LINE_DEC}};
MEMBERS(post_message) = {D(hv_post_message_direct, vp_index), D(hv_post_message_direct, vtl),
	D(hv_post_message_direct, sint),
	{"message_type", offsetof(struct hv_post_message_direct, message), 4, LINE_HEX}};
MEMBERS(post_to) = {
	H(hv_post_message, connection), H(hv_post_message, type), D(hv_post_message, bytes)};
MEMBERS(signal_to) = {H(hv_signal_event, connection), D(hv_signal_event, flag)};
MEMBERS(access_states) = {H(hv_access_states, flags), H(hv_access_states, gpa_page)};
MEMBERS(cpuid_values) = {D(hv_cpuid_values, vp_index), H(hv_cpuid_values, flags)};

/* A head of members, and what repeats or depends on it. */
struct half {
	const struct member *members;
	u8 count;
	u8 head; /* bytes in front of what repeats */
	void (*list)(struct line *l, const struct rooted *r);
};

static const struct hvcall_layout {
	u32 code;
	struct half in, out;
} layouts[] = {
#define N(members) members, ARRAY_SIZE(members)
#define HEAD(name) sizeof(struct name)
	{HVCALL_GET_PARTITION_PROPERTY, {NULL, 0, HEAD(hv_get_property), list_property},
		{N(property_value), 8, NULL}},
	{HVCALL_SET_PARTITION_PROPERTY, {N(set_property), HEAD(hv_get_property), list_property},
		{0}},
	{HVCALL_GET_PARTITION_PROPERTY_EX,
		{N(get_property_ex), HEAD(hv_get_property), list_property}, {N(bank), 0, NULL}},
	{HVCALL_INSTALL_INTERCEPT, {N(install_intercept), 0, NULL}, {0}},
	{HVCALL_GET_VP_REGISTERS, {N(vp_registers), HEAD(hv_vp_registers), list_names},
		{NULL, 0, 0, list_values}},
	{HVCALL_SET_VP_REGISTERS, {N(vp_registers), HEAD(hv_vp_registers), list_registers}, {0}},
	{HVCALL_TRANSLATE_VIRTUAL_ADDRESS, {N(translate), 0, NULL}, {N(translated), 0, NULL}},
	{HVCALL_CLEAR_VIRTUAL_INTERRUPT, {0}, {0}},
	{HVCALL_POST_MESSAGE, {N(post_to), 0, NULL}, {0}},
	{HVCALL_SIGNAL_EVENT, {N(signal_to), 0, NULL}, {0}},
	{HVCALL_REGISTER_INTERCEPT_RESULT,
		{N(intercept_result), HV_INTERCEPT_RESULT_HEAD, list_result}, {0}},
	{HVCALL_ASSERT_VIRTUAL_INTERRUPT, {N(assert_interrupt), 0, NULL}, {0}},
	{HVCALL_SIGNAL_EVENT_DIRECT, {N(signal_event), 0, NULL}, {N(signaled), 0, NULL}},
	{HVCALL_POST_MESSAGE_DIRECT, {N(post_message), 0, NULL}, {0}},
	{HVCALL_GET_GPA_PAGES_ACCESS_STATES, {N(access_states), 0, NULL},
		{NULL, 0, 0, list_states}},
	{HVCALL_GET_VP_CPUID_VALUES, {N(cpuid_values), HEAD(hv_cpuid_values), list_asked},
		{NULL, 0, 0, list_leaves}},
#undef N
#undef HEAD
};

static const struct hvcall_layout *find(u32 code)
{
	for (unsigned i = 0; i < ARRAY_SIZE(layouts); i++)
		if (layouts[i].code == code)
			return &layouts[i];
	return NULL;
}

static void add_half(struct line *l, const struct half *h, u64 from, const struct rooted *r)
{
	u8 data[512];
	size_t n = 0;

	for (unsigned i = 0; i < h->count; i++)
		n = MAX(n, (size_t)h->members[i].offset + h->members[i].size);
	if (n > sizeof(data) || (n && !read_program(from, data, n)))
		return;
	add_members(l, data, h->members, h->count);
	if (h->list)
		h->list(l, r);
}

static const struct hvcall_layout *call_layout(const struct mshv_root_hvcall *a, struct rooted *r)
{
	const struct hvcall_layout *y = find(a->code);

	*r = (struct rooted){.a = a, .in = a->in_ptr, .out = a->out_ptr};
	if (y) {
		r->in += y->in.head;
		r->out += y->out.head;
	}
	return y;
}

static void list_input(struct line *l, const struct mshv_root_hvcall *a)
{
	struct rooted r;
	const struct hvcall_layout *y = call_layout(a, &r);

	add_named(l, "code", hvcall_names, a->code);
	if (a->reps)
		line_number(l, "reps", a->reps, LINE_DEC);
	if (y)
		add_half(l, &y->in, a->in_ptr, &r);
}

static void list_output(struct line *l, const struct mshv_root_hvcall *a)
{
	struct rooted r;
	const struct hvcall_layout *y = call_layout(a, &r);

	add_named(l, "status", status_names, a->status);
	if (a->reps)
		line_number(l, "reps", a->reps, LINE_DEC);
	if (y && a->out_ptr && (!a->status || a->reps))
		add_half(l, &y->out, a->out_ptr, &r);
}

void list_hvcall(struct line *l, unsigned long arg)
{
	struct mshv_root_hvcall a;

	if (read_program(arg, &a, sizeof(a)))
		list_input(l, &a);
}

void list_hvcall_result(struct line *l, unsigned long arg)
{
	struct mshv_root_hvcall a;

	if (read_program(arg, &a, sizeof(a)))
		list_output(l, &a);
}

/* The same, as VTL2 makes it: reps is how many are asked for, or done. */
static bool read_raw(unsigned long arg, bool result, struct mshv_root_hvcall *ret)
{
	struct mshv_vtl_hvcall a;

	if (!read_program(arg, &a, sizeof(a)))
		return false;
	*ret = (struct mshv_root_hvcall){.code = (u16)a.control,
		.reps = (u16)HV_CONTROL_REPS(result ? a.status : a.control),
		.status = (u16)a.status,
		.in_ptr = a.input_ptr,
		.out_ptr = a.output_size ? a.output_ptr : 0};
	return true;
}

void list_raw_hvcall(struct line *l, unsigned long arg)
{
	struct mshv_root_hvcall a;

	if (read_raw(arg, false, &a))
		list_input(l, &a);
}

void list_raw_hvcall_result(struct line *l, unsigned long arg)
{
	struct mshv_root_hvcall a;

	if (read_raw(arg, true, &a))
		list_output(l, &a);
}

/* The status is an answer, the one that it had before the call is not. */
enum answered hvcall_answered(unsigned long arg, long error)
{
	struct mshv_root_hvcall a;

	return read_program(arg, &a, sizeof(a)) && a.status ? ANSWERED_ALL : ANSWERED_NOTHING;
}
