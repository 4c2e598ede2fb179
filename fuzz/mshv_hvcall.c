/* SPDX-License-Identifier: MIT */
/* Hypercalls for fuzz-mshv: inputs that are nearly right, sizes and counts that are nearly right, buffers in every place. */
#include <errno.h>
#include <string.h>

#include "abi/mshv/kinds.h"
#include "fuzz/mshv_fuzz.h"

/* What a call is made of. */
struct trial {
	u16 code, reps, in_size, out_size;
	_Alignas(8) u8 in[4096];
};

static u32 some_vp(struct worker *w)
{
	return chance(w, 93) ? (u32)below(w, 4) : chance(w, 50) ? HV_ANY_VP : (u32)rnd_edge(&w->r);
}

/* ---- properties ---- */

static u32 some_property(struct worker *w)
{
#define PROPERTY(code, when, host, initial, get, set) code,
	static const u32 codes[] = {
#include "abi/mshv/properties.def"
	};

	return chance(w, 90) ? RND_OF(&w->r, codes) : (u32)rnd_edge(&w->r);
}

static void make_get_property(struct worker *w, struct trial *t)
{
	struct hv_get_property in = {.code = some_property(w)};

	memcpy(t->in, &in, t->in_size = sizeof(in));
	t->out_size = 8;
}

static u64 some_value(struct worker *w)
{
	return chance(w, 60) ? below(w, 4) : rnd_edge(&w->r);
}

static void make_set_property(struct worker *w, struct trial *t)
{
	struct hv_set_property in = {.code = some_property(w), .value = some_value(w)};

	if (in.code == HV_PROPERTY_TIME_FREEZE && !with(FREEZING))
		in.value = 0;
	memcpy(t->in, &in, t->in_size = sizeof(in));
}

static void make_get_property_ex(struct worker *w, struct trial *t)
{
	struct hv_get_property_ex in = {.code = chance(w, 50)   ? 0x90009
						: chance(w, 70) ? 0x90007
								: some_property(w)};

	memcpy(t->in, &in, t->in_size = sizeof(in));
	t->out_size = 4072;
}

/* ---- registers ---- */

static u32 some_register(struct worker *w)
{
#define REGISTER(first, last, msr, stride, get, set) {first, last},
	static const struct {
		u32 first, last;
	} rows[] = {
#include "abi/mshv/registers.def"
	};
	unsigned i = (unsigned)below(w, ARRAY_SIZE(rows));

	return chance(w, 97) ? rows[i].first + (u32)below(w, rows[i].last - rows[i].first + 1)
			     : (u32)rnd_edge(&w->r);
}

static void make_get_registers(struct worker *w, struct trial *t)
{
	struct hv_vp_registers in = {
		.vp_index = some_vp(w), .vtl = chance(w, 95) ? 0 : (u8)rnd(&w->r)};

	memcpy(t->in, &in, sizeof(in));
	t->reps = (u16)(1 + below(w, chance(w, 90) ? 8 : 254));
	for (unsigned i = 0; i < t->reps; i++) {
		u32 name = some_register(w);

		memcpy(t->in + sizeof(in) + 4 * i, &name, sizeof(name));
	}
	t->in_size = (u16)(sizeof(in) + 4u * t->reps);
	t->out_size = (u16)(16u * t->reps);
}

static struct hv_value128 some_register_value(struct worker *w)
{
	struct hv_value128 v = {.low = some_value(w), .high = chance(w, 70) ? 0 : rnd_edge(&w->r)};
	const struct hv_segment s = {.base = rnd_edge(&w->r),
		.limit = (u32)rnd_edge(&w->r),
		.selector = (u16)(below(w, 8) * 8),
		.attr = (u16)rnd(&w->r)};

	if (chance(w, 10))
		memcpy(&v, &s, sizeof(v));
	return v;
}

static void make_set_registers(struct worker *w, struct trial *t)
{
	struct hv_vp_registers in = {.vp_index = some_vp(w)};

	memcpy(t->in, &in, sizeof(in));
	t->reps = (u16)(1 + below(w, chance(w, 90) ? 4 : 127));
	for (unsigned i = 0; i < t->reps; i++) {
		struct hv_register r = {.name = some_register(w), .value = some_register_value(w)};

		memcpy(t->in + sizeof(in) + sizeof(r) * i, &r, sizeof(r));
	}
	t->in_size = (u16)(sizeof(in) + sizeof(struct hv_register) * t->reps);
}

/* ---- the others ---- */

/* What each type takes. */
static const struct {
	u32 type, access;
	u64 first, count; /* of the parameter */
} intercepts[] = {
	{HV_INTERCEPT_IO_PORT, 3, 0, 0x10000},
	{HV_INTERCEPT_MSR, 3, 0, 1},
	{HV_INTERCEPT_CPUID, 4, 0, 8},
	{HV_INTERCEPT_EXCEPTION, 4, 0, 32},
	{HV_INTERCEPT_EXCEPTION_TRAP, 4, 0, 32},
	{HV_INTERCEPT_MMIO, 7, 0, 1},
	{HV_INTERCEPT_GLOBAL_CPUID, 4, 0x40000000, 8},
	{HV_INTERCEPT_APIC_SMI, 4, 0, 1},
	{HV_INTERCEPT_HYPERCALL, 4, 0, 1},
	{HV_INTERCEPT_APIC_INIT_SIPI, 4, 0, 1},
	{HV_INTERCEPT_APIC_WRITE, 2, 0, 0x10},
	{HV_INTERCEPT_MSR_INDEX, 3, 0x40000000, 0x100},
	{HV_INTERCEPT_MSR_INDEX, 3, 0xc0000080, 4},
	{HV_INTERCEPT_MSR_INDEX, 3, 0x800, 0x40},
	{HV_INTERCEPT_UNKNOWN_SYNIC_CONNECTION, 4, 0, 1},
	{HV_INTERCEPT_APIC_EOI, 4, 0, 1},
	{HV_INTERCEPT_RETARGET_INTERRUPT, 4, 0, 1},
	{HV_INTERCEPT_IO_PORT_RANGE, 3, 0, 0x100},
};

static void make_intercept(struct worker *w, struct trial *t)
{
	unsigned i = (unsigned)below(w, ARRAY_SIZE(intercepts));
	struct hv_install_intercept in = {
		.access = chance(w, 60) ? intercepts[i].access : (u32)below(w, 8),
		.type = chance(w, 95) ? intercepts[i].type : (u32)below(w, 0x13),
		.parameter = chance(w, 95) ? intercepts[i].first + below(w, intercepts[i].count)
					   : rnd_edge(&w->r)};

	memcpy(t->in, &in, t->in_size = sizeof(in));
}

static void make_translate(struct worker *w, struct trial *t)
{
	struct hv_translate in = {.vp_index = some_vp(w),
		.flags = below(w, 0x800),
		.gva_page = chance(w, 80) ? below(w, 0x200) : rnd_edge(&w->r)};

	memcpy(t->in, &in, t->in_size = sizeof(in));
	t->out_size = sizeof(struct hv_translated);
}

static void make_clear(struct worker *w, struct trial *t)
{
	t->in_size = 8;
}

static void make_result(struct worker *w, struct trial *t)
{
	struct hv_intercept_result in = {.vp_index = some_vp(w), .type = 1 + (u32)below(w, 2)};

	if (in.type == HV_INTERCEPT_CPUID) {
		in.cpuid.eax = chance(w, 80) ? (u32)below(w, 0x20) | (u32)below(w, 3) << 30
					     : (u32)rnd_edge(&w->r);
		in.cpuid.ecx = (u32)below(w, 4);
		in.cpuid.subleaf_specific = (u8)below(w, 2);
		in.cpuid.always_override = (u8)below(w, 2);
		for (unsigned i = 0; i < 4; i++) {
			in.cpuid.reg[i].value = (u32)rnd(&w->r);
			in.cpuid.reg[i].mask =
				chance(w, 80) ? 0 : (u32)rnd(&w->r) & (u32)rnd(&w->r);
		}
	} else {
		in.msr.msr = (u32)rnd_edge(&w->r);
		in.msr.access = (u32)below(w, 5);
		in.msr.action = (u32)below(w, 3);
	}
	memcpy(t->in, &in, t->in_size = sizeof(in));
}

static void make_interrupt(struct worker *w, struct trial *t)
{
	struct hv_assert_interrupt in = {.type = (u32)below(w, 11),
		.control = (u32)below(w, 4),
		.dest = chance(w, 80) ? below(w, 5) : rnd_edge(&w->r),
		.vector = (u32)below(w, chance(w, 90) ? 256 : 512)};

	memcpy(t->in, &in, t->in_size = sizeof(in));
}

static void make_event(struct worker *w, struct trial *t)
{
	struct hv_signal_event_direct in = {
		.vp_index = some_vp(w), .sint = (u8)below(w, 17), .flag = (u16)below(w, 2100)};

	memcpy(t->in, &in, t->in_size = sizeof(in));
	t->out_size = 8;
}

static void make_message(struct worker *w, struct trial *t)
{
	struct hv_post_message_direct in = {.vp_index = some_vp(w), .sint = (u32)below(w, 17)};
	struct hv_message m = {.type = (u32)below(w, 20), .len = (u8)below(w, 256)};

	memcpy(in.message, &m, sizeof(m));
	memcpy(t->in, &in, t->in_size = sizeof(in));
}

static void make_states(struct worker *w, struct trial *t)
{
	struct hv_access_states in = {.flags = below(w, 0x11),
		.gpa_page = chance(w, 80) ? below(w, 0x200) : rnd_edge(&w->r)};

	t->reps = (u16)(1 + below(w, chance(w, 80) ? 64 : 4095));
	memcpy(t->in, &in, t->in_size = sizeof(in));
	t->out_size = t->reps;
}

static void make_cpuid(struct worker *w, struct trial *t)
{
	struct hv_cpuid_values in = {.vp_index = some_vp(w), .flags = (u32)below(w, 5)};

	memcpy(t->in, &in, sizeof(in));
	t->reps = (u16)(1 + below(w, 16));
	for (unsigned i = 0; i < t->reps; i++) {
		struct hv_cpuid_leaf leaf = {.eax = (u32)below(w, 0x20) | (u32)below(w, 3) << 30,
			.ecx = (u32)below(w, 8)};

		memcpy(t->in + sizeof(in) + sizeof(leaf) * i, &leaf, sizeof(leaf));
	}
	t->in_size = (u16)(sizeof(in) + sizeof(struct hv_cpuid_leaf) * t->reps);
	t->out_size = (u16)(16u * t->reps);
}

static const struct {
	u16 code;
	void (*make)(struct worker *w, struct trial *t);
} calls[] = {
	{HVCALL_GET_PARTITION_PROPERTY, make_get_property},
	{HVCALL_SET_PARTITION_PROPERTY, make_set_property},
	{HVCALL_GET_PARTITION_PROPERTY_EX, make_get_property_ex},
	{HVCALL_INSTALL_INTERCEPT, make_intercept},
	{HVCALL_GET_VP_REGISTERS, make_get_registers},
	{HVCALL_SET_VP_REGISTERS, make_set_registers},
	{HVCALL_SET_VP_REGISTERS, make_set_registers},
	{HVCALL_TRANSLATE_VIRTUAL_ADDRESS, make_translate},
	{HVCALL_CLEAR_VIRTUAL_INTERRUPT, make_clear},
	{HVCALL_REGISTER_INTERCEPT_RESULT, make_result},
	{HVCALL_ASSERT_VIRTUAL_INTERRUPT, make_interrupt},
	{HVCALL_SIGNAL_EVENT_DIRECT, make_event},
	{HVCALL_POST_MESSAGE_DIRECT, make_message},
	{HVCALL_GET_GPA_PAGES_ACCESS_STATES, make_states},
	{HVCALL_GET_VP_CPUID_VALUES, make_cpuid},
};

/* ---- the request ---- */

static void spoil_trial(struct worker *w, struct trial *t)
{
	static const u16 sizes[] = {0, 1, 7, 8, 16, 4095, 4096, 4097, 0xffff};

	if (!pg.garbage)
		return;
	spoil(w, t->in, MIN(t->in_size, (u16)sizeof(t->in)));
	if (chance(w, 4))
		t->in_size = RND_OF(&w->r, sizes);
	if (chance(w, 4))
		t->out_size = RND_OF(&w->r, sizes);
	if (chance(w, 4))
		t->reps = chance(w, 50) ? 0 : RND_OF(&w->r, sizes);
	if (chance(w, 2))
		t->code = (u16)rnd_edge(&w->r);
}

/* The errno that goes with a status, as the kernel's driver has it. */
static long error_of(u16 status)
{
	static const u8 invalid[] = {2, 3, 5, 0xd, 0xe, 0x11, 0x12, 0x41, 0x50};

	for (unsigned i = 0; i < ARRAY_SIZE(invalid); i++)
		if (status == invalid[i])
			return -EINVAL;
	return !status ? 0 : status == 0xb ? -ENOMEM : -EIO;
}

static void check_result(const struct mshv_root_hvcall *a, const struct trial *t, long r)
{
	if (r == -EFAULT || r == -EBADF || r == -ENOTTY)
		return;
	if (r && !a->status) /* refused before it became a call */
		return;
	if (r != error_of(a->status) || a->status > 0x87)
		finding("hypercall 0x%x: status 0x%x with %ld", t->code, a->status, r);
	if (a->reps > t->reps)
		finding("hypercall 0x%x: %u of %u repetitions", t->code, a->reps, t->reps);
}

#define GUARD 64
#define MARK  0x5a

/* All buffers are this thread's, so what is changed can be told. */
static void call_alone(struct worker *w, int fd, struct trial *t)
{
	u8 out[4096 + GUARD];
	const bool has_out = t->out_size && t->out_size <= 4096;
	struct mshv_root_hvcall a = {.code = t->code,
		.reps = t->reps,
		.in_sz = t->in_size,
		.out_sz = has_out ? t->out_size : 0,
		.in_ptr = (unsigned long)t->in,
		.out_ptr = has_out ? (unsigned long)out : 0};
	long r;

	if (t->in_size > sizeof(t->in))
		return;
	memset(out, MARK, sizeof(out));
	r = request(fd, MSHV_ROOT_HVCALL, (unsigned long)&a);
	check_result(&a, t, r);
	for (unsigned i = a.out_sz; i < sizeof(out); i++)
		if (out[i] != MARK)
			finding("hypercall 0x%x has written behind its output", t->code);
}

/* Buffers anywhere, over each other, over the structure itself. */
static void call_anywhere(struct worker *w, int fd, struct trial *t)
{
	struct mshv_root_hvcall a = {
		.code = t->code, .reps = t->reps, .in_sz = t->in_size, .out_sz = t->out_size};
	u8 *write_in, *write_out, *write;
	unsigned long at = place(w, sizeof(a), &write);

	a.in_ptr = place(w, t->in_size, &write_in);
	a.out_ptr = t->out_size ? place(w, t->out_size, &write_out) : 0;
	if (chance(w, 10))
		a.out_ptr = chance(w, 50) ? a.in_ptr + below(w, 32) : at;
	if (pg.garbage && chance(w, 3))
		spoil(w, &a, sizeof(a) - 16); /* the pointers stay */
	if (write_in)
		put(write_in, t->in, MIN(t->in_size, (u16)sizeof(t->in)));
	if (write)
		put(write, &a, sizeof(a));
	request(fd, MSHV_ROOT_HVCALL, at);
}

void hypercall_step(struct worker *w, int fd)
{
	struct trial t = {0};
	unsigned i = (unsigned)below(w, ARRAY_SIZE(calls));

	t.code = calls[i].code;
	calls[i].make(w, &t);
	spoil_trial(w, &t);
	progress("a hypercall");
	tell("hypercall 0x%x on %d", t.code, fd);
	if (chance(w, 60))
		call_alone(w, fd, &t);
	else
		call_anywhere(w, fd, &t);
}

long set_property(int fd, u32 code, u64 value)
{
	struct hv_set_property in = {.code = code, .value = value};
	struct mshv_root_hvcall a = {.code = HVCALL_SET_PARTITION_PROPERTY,
		.in_sz = sizeof(in),
		.in_ptr = (unsigned long)&in};

	return request(fd, MSHV_ROOT_HVCALL, (unsigned long)&a);
}
