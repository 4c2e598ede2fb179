/* SPDX-License-Identifier: MIT */
/* Names of hypercalls, partition properties, registers and statuses: from the tables by which they are served. */
#include <stdio.h>
#include <string.h>

#include "shim/decode/mshv.h"

const struct named_value hvcall_names[] = {
#define CALL(code, ...) {code, #code},
#include "abi/mshv/hvcalls.def"
	{0, NULL},
};

const struct named_value property_names[] = {
#define PROPERTY(code, ...) {code, #code},
#include "abi/mshv/properties.def"
	{HV_PROPERTY_VMM_CAPABILITIES, "HV_PROPERTY_VMM_CAPABILITIES"},
	{HV_PROPERTY_ASSIGNABLE_SYNTHETIC_PROC_FEATURES,
		"HV_PROPERTY_ASSIGNABLE_SYNTHETIC_PROC_FEATURES"},
	{0, NULL},
};

const struct named_value status_names[] = {
#define STATUS(name)                                                                               \
	{                                                                                          \
		HVS_##name, #name                                                                  \
	}
	STATUS(SUCCESS),
	STATUS(INVALID_CODE),
	STATUS(INVALID_INPUT),
	STATUS(INVALID_ALIGNMENT),
	STATUS(INVALID_PARAMETER),
	STATUS(ACCESS_DENIED),
	STATUS(INVALID_PARTITION_STATE),
	STATUS(OPERATION_DENIED),
	STATUS(UNKNOWN_PROPERTY),
	STATUS(PROPERTY_OUT_OF_RANGE),
	STATUS(INSUFFICIENT_MEMORY),
	STATUS(INVALID_PARTITION_ID),
	STATUS(INVALID_VP_INDEX),
	STATUS(NOT_FOUND),
	STATUS(INVALID_PORT),
	STATUS(INVALID_CONNECTION),
	STATUS(INSUFFICIENT_BUFFERS),
	STATUS(NOT_ACKNOWLEDGED),
	STATUS(INVALID_VP_STATE),
	STATUS(INVALID_SYNIC_STATE),
	STATUS(OBJECT_IN_USE),
	STATUS(NO_RESOURCES),
	STATUS(FEATURE_NOT_SUPPORTED),
	STATUS(INVALID_LP_INDEX),
	STATUS(INVALID_REGISTER_VALUE),
	STATUS(INVALID_VTL_STATE),
	STATUS(OPERATION_FAILED),
	STATUS(TIME_OUT),
	STATUS(CALL_PENDING),
	STATUS(VTL_ALREADY_ENABLED),
	STATUS(UNKNOWN_REGISTER),
#undef STATUS
	{0, NULL},
};

/* ---- registers ---- */

/* Rows of several, as the interface serves them. */
static const struct register_range {
	u32 first, last;
	const char *first_name;
} rows[] = {
#define REGISTER(first, last, ...) {first, last, #first},
#include "abi/mshv/registers.def"
};

/* Those of a row that are not called like its first one, with another number. */
static const struct {
	u32 first;
	const char *names;
} singles[] = {
	{HV_X64_REGISTER_RAX, "RAX RCX RDX RBX RSP RBP RSI RDI R8 R9 R10 R11 R12 R13 R14 R15"},
	{HV_X64_REGISTER_DR6, "DR6 DR7"},
	{HV_X64_REGISTER_ES, "ES CS SS DS FS GS LDTR TR"},
	{HV_X64_REGISTER_STAR, "STAR LSTAR CSTAR SFMASK"},
	{HV_X64_REGISTER_MTRR_FIX16K_80000, "MTRR_FIX16K_80000 MTRR_FIX16K_A0000"},
	{HV_X64_REGISTER_MTRR_FIX4K_C0000,
		"MTRR_FIX4K_C0000 MTRR_FIX4K_C8000 MTRR_FIX4K_D0000 MTRR_FIX4K_D8000 "
		"MTRR_FIX4K_E0000 MTRR_FIX4K_E8000 MTRR_FIX4K_F0000 MTRR_FIX4K_F8000"},
	{HV_REGISTER_ICR, "ICR TPR"},
	{HV_REGISTER_SIEFP, "SIEFP SIMP EOM"},
	{HV_REGISTER_STIMER0_CONFIG,
		"STIMER0_CONFIG STIMER0_COUNT STIMER1_CONFIG STIMER1_COUNT STIMER2_CONFIG "
		"STIMER2_COUNT STIMER3_CONFIG STIMER3_COUNT"},
	{HV_REGISTER_STIME_UNHALTED_TIMER_CONFIG,
		"STIME_UNHALTED_TIMER_CONFIG STIME_UNHALTED_TIMER_COUNT"},
	{HV_REGISTER_INSTRUCTION_EMULATION_HINTS, "INSTRUCTION_EMULATION_HINTS DISPATCH_SUSPEND"},
	{HV_REGISTER_PRIVILEGES_AND_FEATURES_INFO,
		"PRIVILEGES_AND_FEATURES_INFO FEATURES_INFO IMPLEMENTATION_LIMITS_INFO "
		"HARDWARE_FEATURES_INFO"},
	{HV_REGISTER_PENDING_DEBUG_EXCEPTION,
		"PENDING_DEBUG_EXCEPTION PENDING_EVENT2 PENDING_EVENT3"},
};

/* The n-th of names with a space between, or NULL. */
static const char *word_of(const char *names, u32 n, char text[REGISTER_NAME_MAX])
{
	while (n-- && names)
		names = strchr(names, ' ') ? strchr(names, ' ') + 1 : NULL;
	if (!names)
		return NULL;
	snprintf(text, REGISTER_NAME_MAX, "%.*s", (int)strcspn(names, " "), names);
	return text;
}

static const char *without_prefix(const char *name)
{
	static const char *const prefixes[] = {"HV_X64_REGISTER_", "HV_REGISTER_"};

	for (unsigned i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (!strncmp(name, prefixes[i], strlen(prefixes[i])))
			return name + strlen(prefixes[i]);
	return name;
}

static const char *name_in_row(
	const struct register_range *r, u32 number, char text[REGISTER_NAME_MAX])
{
	const char *name = without_prefix(r->first_name);
	const u32 n = number - r->first;
	size_t len = strlen(name);

	for (unsigned i = 0; i < ARRAY_SIZE(singles); i++)
		if (singles[i].first == r->first)
			return word_of(singles[i].names, n, text);
	if (r->first == HV_X64_REGISTER_APIC_FIRST)
		snprintf(text, REGISTER_NAME_MAX, "APIC_%02X", n);
	else if (r->first == r->last)
		snprintf(text, REGISTER_NAME_MAX, "%s", name);
	else if (name[len - 1] == '0')
		snprintf(text, REGISTER_NAME_MAX, "%.*s%u", (int)len - 1, name, n);
	else
		snprintf(text, REGISTER_NAME_MAX, "%s+%u", name, n);
	return text;
}

const char *register_word(u32 number, char text[REGISTER_NAME_MAX])
{
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		if (number >= rows[i].first && number <= rows[i].last)
			return name_in_row(&rows[i], number, text);
	snprintf(text, REGISTER_NAME_MAX, "0x%x", number);
	return text;
}
