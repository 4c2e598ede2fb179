/* SPDX-License-Identifier: MIT */
/* Names and numbers of commands and events. */
#include "uvmi/names.h"

#include "uapi/kvmi_v6.h"

#define NONE (-1)

static const struct command_row {
	const char *name;
	s16 v5, v6;
	bool in_batch;
} rows[] = {
#define COMMAND(name, v5, v6, in_batch) [UVMI_##name] = {#name, v5, v6, in_batch},
#include "uvmi/commands.def"
#undef COMMAND
};
_Static_assert(ARRAY_SIZE(rows) == UVMI_COMMANDS, "each command has a row");

static const char *const events[UVMI_EVENTS] = {
	[UVMI_EVENT_UNHOOK] = "UNHOOK",
	[UVMI_EVENT_CR] = "CR",
	[UVMI_EVENT_MSR] = "MSR",
	[UVMI_EVENT_XSETBV] = "XSETBV",
	[UVMI_EVENT_BREAKPOINT] = "BREAKPOINT",
	[UVMI_EVENT_HYPERCALL] = "HYPERCALL",
	[UVMI_EVENT_PF] = "PF",
	[UVMI_EVENT_TRAP] = "TRAP",
	[UVMI_EVENT_DESCRIPTOR] = "DESCRIPTOR",
	[UVMI_EVENT_CREATE_VCPU] = "CREATE_VCPU",
	[UVMI_EVENT_PAUSE_VCPU] = "PAUSE_VCPU",
	[UVMI_EVENT_SINGLESTEP] = "SINGLESTEP",
	[UVMI_EVENT_CMD_ERROR] = "CMD_ERROR",
	[UVMI_EVENT_CPUID] = "CPUID",
};
_Static_assert((int)UVMI_EVENTS == KVMI_V6_NUM_EVENTS, "the numbers are the protocol's");

const char *uvmi_command_name(enum uvmi_command command)
{
	return (unsigned)command < UVMI_COMMANDS ? rows[command].name : "?";
}

const char *uvmi_event_name(unsigned event)
{
	return event < UVMI_EVENTS ? events[event] : "?";
}

int command_id(enum uvmi_dialect dialect, enum uvmi_command command)
{
	if ((unsigned)command >= UVMI_COMMANDS)
		return -1;
	return dialect == UVMI_V5 ? rows[command].v5 : rows[command].v6;
}

bool command_in_batch(enum uvmi_command command)
{
	return rows[command].in_batch;
}

bool event_exists(enum uvmi_dialect dialect, unsigned event)
{
	return event < (dialect == UVMI_V5 ? (unsigned)KVMI_NUM_EVENTS : UVMI_EVENTS);
}
