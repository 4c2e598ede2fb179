/* SPDX-License-Identifier: MIT */
/*
 * See vmx.h. SDM 3, "Information for VM exits due to instruction execution": the formats of the field as used for LIDT, LGDT,
 * SIDT and SGDT, and as used for LLDT, LTR, SLDT and STR. What is undefined is 0.
 */
#include "introspect/vmx.h"

#define INFO_REGISTER_FORM BIT(10)
#define INFO_SIZE_32       BIT(11)
#define INFO_NO_INDEX      BIT(22)
#define INFO_NO_BASE       BIT(27)
#define INFO_LOADS         BIT(29) /* of the instruction's identity */

static u32 index_info(const struct tap_operand *o)
{
	if (o->index == TAP_NO_REG)
		return INFO_NO_INDEX;
	return (u32)__builtin_ctz(o->scale) | (u32)o->index << 18;
}

/* Segments are numbered as in the encoding of instructions. */
static u32 address_info(const struct tap_operand *o)
{
	return index_info(o) | (o->addr_size / 4u) << 7 | (u32)o->seg << 15 |
	       (o->base == TAP_NO_REG ? INFO_NO_BASE : (u32)o->base << 23);
}

/* SGDT 0, SIDT 1; SLDT 0, STR 1. Those that load have 2 more. */
static u32 identity(const struct tool_event *r)
{
	const u8 table = r->descriptor.table;
	const u32 second = table == KVMI_DESC_IDTR || table == KVMI_DESC_TR;

	return second << 28 | (r->descriptor.write ? INFO_LOADS : 0);
}

static bool has_selector(const struct tool_event *r)
{
	return r->descriptor.table == KVMI_DESC_LDTR || r->descriptor.table == KVMI_DESC_TR;
}

u32 vmx_instruction_info(const struct tool_event *r)
{
	const struct tap_operand *o = &r->descriptor.operand;

	if (!o->is_mem)
		return identity(r) | INFO_REGISTER_FORM | (u32)o->reg << 3;
	if (has_selector(r) || o->op_size == 2)
		return identity(r) | address_info(o);
	return identity(r) | address_info(o) | INFO_SIZE_32;
}

u64 vmx_qualification(const struct tool_event *r)
{
	return r->descriptor.operand.is_mem ? r->descriptor.operand.disp : 0;
}
