/* SPDX-License-Identifier: MIT */
/* What the arguments of the requests of /dev/mshv and its relatives consist of. */
#include <stdio.h>

#include "shim/decode/mshv.h"

#define SHOWN 96

/* ---- beside the members ---- */

/* The first version ends where this begins. */
static void list_features(struct line *l, unsigned long arg)
{
	struct mshv_create_partition_v2 a;

	if (!read_program(arg, &a, sizeof(struct mshv_create_partition)) ||
		!(a.pt_flags & 1 << MSHV_PT_BIT_CPU_AND_XSAVE_FEATURES) ||
		!read_program(arg, &a, sizeof(a)))
		return;
	line_number(l, "pt_num_cpu_fbanks", a.pt_num_cpu_fbanks, LINE_DEC);
	line_number(l, "pt_cpu_fbanks[0]", a.pt_cpu_fbanks[0], LINE_HEX);
	line_number(l, "pt_cpu_fbanks[1]", a.pt_cpu_fbanks[1], LINE_HEX);
	line_number(l, "pt_disabled_xsave", a.pt_disabled_xsave, LINE_HEX);
}

static void list_routes(struct line *l, unsigned long arg)
{
	struct mshv_user_irq_entry e;
	struct mshv_user_irq_table head;
	char name[24], text[64];

	if (!read_program(arg, &head, sizeof(head)))
		return;
	arg += sizeof(head);
	for (u32 i = 0; i < MIN(head.nr, (u32)SHOWN); i++, arg += sizeof(e)) {
		if (!read_program(arg, &e, sizeof(e)))
			return;
		snprintf(name, sizeof(name), "gsi%u", e.gsi);
		snprintf(text, sizeof(text), "msi 0x%x:0x%x 0x%x", e.address_hi, e.address_lo,
			e.data);
		line_word(l, name, text);
	}
}

static const struct named_value states[] = {
	{MSHV_VP_STATE_LAPIC, "LAPIC"},
	{MSHV_VP_STATE_XSAVE, "XSAVE"},
	{MSHV_VP_STATE_SIMP, "SIMP"},
	{MSHV_VP_STATE_SIEFP, "SIEFP"},
	{MSHV_VP_STATE_SYNTHETIC_TIMERS, "SYNTHETIC_TIMERS"},
	{0, NULL},
};

static void list_state(struct line *l, unsigned long arg)
{
	struct mshv_get_set_vp_state a;

	if (read_program(arg, &a, sizeof(a)))
		add_named(l, "type", states, a.type);
}

static const struct named_value extensions[] = {
#define CAP(name)                                                                                  \
	{                                                                                          \
		MSHV_CAP_##name, "MSHV_CAP_" #name                                                 \
	}
	CAP(CORE_API_STABLE),
	CAP(REGISTER_PAGE),
	CAP(VTL_RETURN_ACTION),
	CAP(DR6_SHARED),
#undef CAP
	{0, NULL},
};

static void list_extension(struct line *l, unsigned long arg)
{
	u32 number;

	if (read_program(arg, &number, sizeof(number)))
		add_named(l, "capability", extensions, number);
}

static bool read_register(unsigned long arg, struct hv_register *ret)
{
	struct mshv_vp_registers a;

	return read_program(arg, &a, sizeof(a)) && read_program(a.regs_ptr, ret, sizeof(*ret));
}

static void list_register_name(struct line *l, unsigned long arg)
{
	struct hv_register r;
	char name[REGISTER_NAME_MAX];

	if (read_register(arg, &r))
		line_word(l, "name", register_word(r.name, name));
}

static void list_register(struct line *l, unsigned long arg)
{
	struct hv_register r;

	if (read_register(arg, &r))
		add_register(l, r.name, &r.value);
}

/* ---- members ---- */

MEMBERS(create_partition) = {
	H(mshv_create_partition, pt_flags), D(mshv_create_partition, pt_isolation)};
MEMBERS(create_vp) = {D(mshv_create_vp, vp_index)};
MEMBERS(memory) = {H(mshv_user_mem_region, guest_pfn), H(mshv_user_mem_region, size),
	H(mshv_user_mem_region, userspace_addr), H(mshv_user_mem_region, flags)};
MEMBERS(irqfd) = {S(mshv_user_irqfd, fd), S(mshv_user_irqfd, resamplefd), D(mshv_user_irqfd, gsi),
	H(mshv_user_irqfd, flags)};
MEMBERS(ioeventfd) = {H(mshv_user_ioeventfd, addr), D(mshv_user_ioeventfd, len),
	S(mshv_user_ioeventfd, fd), H(mshv_user_ioeventfd, flags),
	H(mshv_user_ioeventfd, datamatch)};
MEMBERS(routing) = {D(mshv_user_irq_table, nr)};
MEMBERS(bitmap) = {D(mshv_gpap_access_bitmap, access_type), D(mshv_gpap_access_bitmap, access_op),
	H(mshv_gpap_access_bitmap, gpap_base), H(mshv_gpap_access_bitmap, page_count)};
MEMBERS(vp_state) = {D(mshv_get_set_vp_state, buf_sz)};
MEMBERS(vtl0_memory) = {
	H(mshv_vtl_ram_disposition, start_pfn), H(mshv_vtl_ram_disposition, last_pfn)};
MEMBERS(poll_file) = {D(mshv_vtl_set_poll_file, cpu), D(mshv_vtl_set_poll_file, fd)};
MEMBERS(registers) = {D(mshv_vp_registers, count)};
MEMBERS(signal_event) = {H(mshv_vtl_signal_event, connection_id), D(mshv_vtl_signal_event, flag)};
MEMBERS(post_message) = {H(mshv_vtl_sint_post_msg, message_type),
	H(mshv_vtl_sint_post_msg, connection_id), D(mshv_vtl_sint_post_msg, payload_size)};
MEMBERS(set_eventfd) = {S(mshv_vtl_set_eventfd, fd), D(mshv_vtl_set_eventfd, flag)};
MEMBERS(sint_mask) = {H(mshv_sint_mask, mask)};
MEMBERS(hvcall_setup) = {D(mshv_vtl_hvcall_setup, bitmap_array_size)};
MEMBERS(hvcall) = {H(mshv_vtl_hvcall, control), D(mshv_vtl_hvcall, input_size),
	D(mshv_vtl_hvcall, output_size)};

static const struct layout layouts[] = {
#define P  PART
#define PL PART_LIST
#define L(list)                                                                                    \
	{                                                                                          \
		NULL, 0, list                                                                      \
	}
#define IN(request, members)                                                                       \
	{                                                                                          \
		request, P(members), NO_PART                                                       \
	}
	{MSHV_CREATE_PARTITION, PL(create_partition, list_features), NO_PART},
	IN(MSHV_CREATE_VP, create_vp),
	IN(MSHV_SET_GUEST_MEMORY, memory),
	IN(MSHV_IRQFD, irqfd),
	IN(MSHV_IOEVENTFD, ioeventfd),
	{MSHV_SET_MSI_ROUTING, PL(routing, list_routes), NO_PART},
	IN(MSHV_GET_GPAP_ACCESS_BITMAP, bitmap),
	{MSHV_ROOT_HVCALL, L(list_hvcall), L(list_hvcall_result), hvcall_answered},
	{MSHV_GET_VP_STATE, PL(vp_state, list_state), P(vp_state)},
	{MSHV_SET_VP_STATE, PL(vp_state, list_state), NO_PART},
	{MSHV_CHECK_EXTENSION, L(list_extension), NO_PART},
	IN(MSHV_ADD_VTL0_MEMORY, vtl0_memory),
	{MSHV_SET_POLL_FILE, P(poll_file), NO_PART, NULL, "vtl"},
	{MSHV_GET_VP_REGISTERS, PL(registers, list_register_name), L(list_register)},
	{MSHV_SET_VP_REGISTERS, PL(registers, list_register), NO_PART},
	IN(MSHV_SINT_SIGNAL_EVENT, signal_event),
	IN(MSHV_SINT_POST_MESSAGE, post_message),
	IN(MSHV_SINT_SET_EVENTFD, set_eventfd),
	{MSHV_SINT_PAUSE_MESSAGE_STREAM, P(sint_mask), NO_PART, NULL, "sint"},
	IN(MSHV_HVCALL_SETUP, hvcall_setup),
	{MSHV_HVCALL, PL(hvcall, list_raw_hvcall), L(list_raw_hvcall_result)},
#undef P
#undef PL
#undef L
#undef IN
};

/* The message that ends a run. */
static void after(struct line *l, int fd, u32 request, unsigned long arg, long result)
{
	struct mshv_run_vp run;

	_Static_assert(sizeof(run) == sizeof(struct hv_message), "one message");
	if (request != MSHV_RUN_VP || result || !read_program(arg, &run, sizeof(run)))
		return;
	line_text(l, " ");
	line_open(l, "exit");
	add_message(l, (const struct hv_message *)&run);
	line_close(l);
}

const struct decoder decoder_mshv = {
	.interface = "mshv",
	.layouts = layouts,
	.count = ARRAY_SIZE(layouts),
	.after = after,
};
