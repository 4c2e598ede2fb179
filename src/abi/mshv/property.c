/* SPDX-License-Identifier: MIT */
/* See property.h; the table is properties.def. */
#include "abi/mshv/property.h"

#include "abi/mshv/cpuid.h"
#include "abi/mshv/features.h"
#include "abi/mshv/hvcall.h"

enum when { NEVER, EARLY, LATE };

struct property {
	const char *name;
	u32 code;
	u8 when;
	bool host;
	u64 initial;
	/* p is NULL where the host is asked. A status (HVS_*). */
	u16 (*get)(struct mshv_partition *p, unsigned row, u64 *ret);
	u16 (*set)(struct mshv_partition *p, unsigned row, u64 value);
};

static const struct property rows[];

/* ---- kept as they were set ---- */

static u16 get_value(struct mshv_partition *p, unsigned row, u64 *ret)
{
	if (!p) {
		*ret = rows[row].initial;
		return HVS_SUCCESS;
	}
	pthread_mutex_lock(&p->lock);
	*ret = p->property[row];
	pthread_mutex_unlock(&p->lock);
	return HVS_SUCCESS;
}

static u16 set_value(struct mshv_partition *p, unsigned row, u64 value)
{
	pthread_mutex_lock(&p->lock);
	p->property[row] = value;
	pthread_mutex_unlock(&p->lock);
	return HVS_SUCCESS;
}

static u16 set_zero(struct mshv_partition *p, unsigned row, u64 value)
{
	return value ? HVS_PROPERTY_OUT_OF_RANGE : HVS_SUCCESS;
}

/* ---- asked of who knows ---- */

#define COMPUTED(name, value)                                                                      \
	static u16 get_##name(struct mshv_partition *p, unsigned row, u64 *ret)                    \
	{                                                                                          \
		*ret = value;                                                                      \
		return HVS_SUCCESS;                                                                \
	}

/* ---- the guest's view of the hypervisor ---- */

/* Callers set what they know without asking what there is: the rest is never the guest's. */
static u16 set_synthetic_features(struct mshv_partition *p, unsigned row, u64 value)
{
	return set_value(p, row, value & SYNTHETIC_FEATURES);
}

/* Of the privileges that follow from the features, those that the VMM has not taken away. */
COMPUTED(privileges, features_privileges(p))

static u16 set_msr_action(struct mshv_partition *p, unsigned row, u64 value)
{
	if (value > HV_MSR_ACTION_IGNORE)
		return HVS_PROPERTY_OUT_OF_RANGE;
	return set_value(p, row, value);
}

/* All processors show the partition's. Reading it does not disturb one that runs. */
COMPUTED(guest_os_id, machine_hv_guest_os_id(p->machine))

/* ---- time ---- */

/* No processor executes while time stands still: it is stopped last, and goes on first. */
static void freeze_time(struct mshv_partition *p)
{
	atomic_store(&p->frozen, true);
	partition_kick_all(p);
	machine_freeze_time(p->machine, true);
}

static void thaw_time(struct mshv_partition *p)
{
	machine_freeze_time(p->machine, false);
	atomic_store(&p->frozen, false);
	partition_kick_all(p);
}

static u16 set_time_freeze(struct mshv_partition *p, unsigned row, u64 value)
{
	if (value > 1)
		return HVS_PROPERTY_OUT_OF_RANGE;
	if (value)
		freeze_time(p);
	else
		thaw_time(p);
	return set_value(p, row, value);
}

static u16 set_suspend(struct mshv_partition *p, unsigned row, u64 value)
{
	if (value > 1)
		return HVS_PROPERTY_OUT_OF_RANGE;
	atomic_store(&p->suspended, value);
	partition_kick_all(p);
	return set_value(p, row, value);
}

COMPUTED(reference_time, machine_get_clock(p->machine) / 100)

static u16 set_reference_time(struct mshv_partition *p, unsigned row, u64 value)
{
	if (value > UINT64_MAX / 100)
		return HVS_PROPERTY_OUT_OF_RANGE;
	machine_set_clock(p->machine, value * 100);
	return HVS_SUCCESS;
}

COMPUTED(clock_frequency, machine_tsc_khz(p->machine) * 1000ull)

/* ---- memory ---- */

/* Bit 1 asks for a coarser record, which a finer one is. */
static u16 set_access_tracking(struct mshv_partition *p, unsigned row, u64 value)
{
	if (value > 3)
		return HVS_PROPERTY_OUT_OF_RANGE;
	if (machine_track_access(p->machine, value & HV_TRACKING_ON))
		return HVS_INSUFFICIENT_MEMORY; /* there is no other reason */
	return set_value(p, row, value);
}

/* ---- the processor ---- */

COMPUTED(address_width, features_address_width(p))
COMPUTED(vendor, features_vendor(p))
COMPUTED(features0, features_bank(p, 0))
COMPUTED(features1, features_bank(p, 1))
COMPUTED(xsave_features, features_xsave(p))
COMPUTED(xsave_states, features_xsave_states(p))
COMPUTED(xsave_size, features_xsave_size(p))

/* ---- the table ---- */

#define HOST                                          true
#define GUEST                                         false
#define PROPERTY(code, when, host, initial, get, set) {#code, code, when, host, initial, get, set},
static const struct property rows[] = {
#include "abi/mshv/properties.def"
};
_Static_assert(ARRAY_SIZE(rows) <= ARRAY_SIZE(((struct mshv_partition *)0)->property), "too few");

static const struct property *find(u32 code)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].code == code)
			return &rows[i];
	return NULL;
}

void properties_init(struct mshv_partition *p)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		p->property[i] = rows[i].initial;
}

u64 property_value(struct mshv_partition *p, u32 code)
{
	u64 value;

	get_value(p, (unsigned)(find(code) - rows), &value);
	return value;
}

/* ---- the hypercalls ---- */

u16 call_get_property(struct hvcall *h)
{
	const struct hv_get_property *in = h->in;
	const struct property *row = find(in->code);

	if (!row || (!h->partition && !row->host)) {
		refuse(h->why, 0, "property 0x%lx: there is no such property", (u64)in->code);
		return HVS_UNKNOWN_PROPERTY;
	}
	return row->get(h->partition, (unsigned)(row - rows), h->out);
}

static u16 check_set(struct hvcall *h, const struct property *row, u32 code)
{
	bool initialized = atomic_load(&h->partition->initialized);

	if (!row) {
		refuse(h->why, 0, "property 0x%lx: there is no such property", (u64)code);
		return HVS_UNKNOWN_PROPERTY;
	}
	if (row->when == NEVER) {
		refuse(h->why, 0, "property 0x%lx: cannot be set", (u64)code);
		return HVS_OPERATION_DENIED;
	}
	if (initialized == (row->when == LATE))
		return HVS_SUCCESS;
	if (initialized)
		refuse(h->why, 0,
			"property 0x%lx: can be set only before MSHV_INITIALIZE_PARTITION",
			(u64)code);
	else
		refuse(h->why, 0, NOT_INITIALIZED);
	return HVS_INVALID_PARTITION_STATE;
}

u16 call_set_property(struct hvcall *h)
{
	const struct hv_set_property *in = h->in;
	const struct property *row = find(in->code);
	u16 status = check_set(h, row, in->code);

	if (status)
		return status;
	status = row->set(h->partition, (unsigned)(row - rows), in->value);
	if (status == HVS_PROPERTY_OUT_OF_RANGE)
		refuse(h->why, 0, "property 0x%lx: cannot have the value 0x%lx", (u64)in->code,
			in->value);
	return status;
}

static u16 extended(u32 code, u64 *ret)
{
	switch (code) {
	case HV_PROPERTY_VMM_CAPABILITIES: *ret = HV_VMM_ASSIGNABLE_FEATURES; return HVS_SUCCESS;
	case HV_PROPERTY_ASSIGNABLE_SYNTHETIC_PROC_FEATURES:
		*ret = SYNTHETIC_FEATURES;
		return HVS_SUCCESS;
	default: return HVS_UNKNOWN_PROPERTY;
	}
}

u16 call_get_property_ex(struct hvcall *h)
{
	const struct hv_get_property_ex *in = h->in;
	struct hv_property_bank *out = h->out;

	out->count = 1;
	return extended(in->code, &out->mask[0]);
}
