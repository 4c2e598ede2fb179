/* SPDX-License-Identifier: MIT */
/*
 * MSHV_ROOT_HVCALL: what the request refuses, in its order; and each hypercall's shape, bad VP and bad values, by the status,
 * the errno that goes with it and the repetitions done. What the calls do is tested where it belongs.
 */
#include "tests/abi/mshv_port.h"

#include <string.h>
#include <sys/mman.h>

#include "abi/dev.h"

#define SPOIL(name, what)                                                                          \
	static void name(struct attempt *a)                                                        \
	{                                                                                          \
		what;                                                                              \
	}

/* ---- the request ---- */

SPOIL(no_structure, a->arg = BAD_POINTER)
SPOIL(call_status, a->hvcall.status = 1)
SPOIL(call_rsvd, a->hvcall.rsvd[5] = 1)
SPOIL(call_no_input, a->hvcall.in_ptr = 0)
SPOIL(call_small, a->hvcall.in_sz = 7)
SPOIL(call_large, a->hvcall.in_sz = 4097)
SPOIL(call_no_output, a->hvcall.out_sz = 0)
SPOIL(call_large_output, a->hvcall.out_sz = 4097)
SPOIL(call_nowhere, a->hvcall.out_ptr = 0)
SPOIL(call_code, a->hvcall.code = 0x53)
SPOIL(call_input, a->hvcall.in_ptr = BAD_POINTER)
SPOIL(call_output, a->hvcall.out_ptr = BAD_POINTER)

REFUSALS(MSHV_ROOT_HVCALL) = {
	{"the structure cannot be read", EFAULT, no_structure, 9},
	{"status is not 0", EINVAL, call_status, 0},
	{"rsvd is not 0", EINVAL, call_rsvd, 0},
	{"in_ptr is 0", EINVAL, call_no_input, 1},
	{"in_sz is below 8", EINVAL, call_small, 2},
	{"in_sz is above 4096", EINVAL, call_large, 2},
	{"out_sz is 0, and out_ptr is not", EINVAL, call_no_output, 3},
	{"out_sz is above 4096", EINVAL, call_large_output, 3},
	{"out_ptr is 0, and out_sz is not", EINVAL, call_nowhere, 3},
	{"the descriptor does not have this code", EINVAL, call_code, 0},
	{"the input cannot be read", EFAULT, call_input, 1},
	{"the output cannot be written", EFAULT, call_output, 3},
};

struct call_context {
	int fd;
	struct hv_get_property in;
	u64 out;
};

static void good_call(struct attempt *a)
{
	struct call_context *c = a->context;

	a->fd = c->fd;
	c->in = (struct hv_get_property){.partition = 77, .code = HV_PROPERTY_PROCESSOR_VENDOR};
	a->hvcall = (struct mshv_root_hvcall){.code = HVCALL_GET_PARTITION_PROPERTY,
		.in_sz = sizeof(c->in),
		.out_sz = sizeof(c->out),
		.in_ptr = (unsigned long)&c->in,
		.out_ptr = (unsigned long)&c->out};
}

static void check_request(int fd)
{
	struct call_context c = {.fd = fd};

	check_refusals(&(struct refusal_check){.request = MSHV_ROOT_HVCALL,
		.rows = refusals_MSHV_ROOT_HVCALL,
		.count = ARRAY_SIZE(refusals_MSHV_ROOT_HVCALL),
		.good = good_call,
		.context = &c});
	assert_int_equal(c.in.partition, 77); /* the caller's input is not changed */
}

static void test_request(void **state)
{
	struct partition p = {0};

	partition_start(&p, LAPIC);
	check_request(p.sys);
	check_request(p.fd);
	check_request(p.vp[0]);
	partition_close(&p);
}

/* ---- shapes ---- */

#define DEV  1
#define PART 2
#define VP   4

static const struct shape {
	u16 code;
	bool rep;
	u8 on;
	u16 in, in_each, out, out_each;
	u16 most;   /* repetitions that fit */
	u8 vp;      /* where in the input the VP is, 0: nowhere */
	u16 status; /* of an input that is all 0 */
} shapes[] = {
	{HVCALL_GET_PARTITION_PROPERTY, false, DEV | PART | VP, 16, 0, 8, 0, 0, 0,
		HVS_UNKNOWN_PROPERTY},
	{HVCALL_GET_PARTITION_PROPERTY_EX, false, DEV | PART | VP, 24, 0, 16, 0, 0, 0,
		HVS_UNKNOWN_PROPERTY},
	{HVCALL_SET_PARTITION_PROPERTY, false, PART, 24, 0, 0, 0, 0, 0, HVS_UNKNOWN_PROPERTY},
	{HVCALL_INSTALL_INTERCEPT, false, PART | VP, 24, 0, 0, 0, 0, 0, HVS_SUCCESS},
	{HVCALL_GET_VP_REGISTERS, true, PART | VP, 16, 4, 0, 16, 255, 8, HVS_SUCCESS},
	{HVCALL_SET_VP_REGISTERS, true, PART | VP, 16, 32, 0, 0, 127, 8, HVS_SUCCESS},
	{HVCALL_TRANSLATE_VIRTUAL_ADDRESS, false, PART | VP, 32, 0, 16, 0, 0, 8, HVS_SUCCESS},
	{HVCALL_CLEAR_VIRTUAL_INTERRUPT, false, PART | VP, 8, 0, 0, 0, 0, 0, HVS_SUCCESS},
	{HVCALL_REGISTER_INTERCEPT_RESULT, false, PART | VP, 16, 0, 0, 0, 0, 0,
		HVS_INVALID_PARAMETER},
	{HVCALL_ASSERT_VIRTUAL_INTERRUPT, false, PART | VP, 32, 0, 0, 0, 0, 0,
		HVS_INVALID_PARAMETER},
	{HVCALL_SIGNAL_EVENT_DIRECT, false, PART | VP, 16, 0, 8, 0, 0, 8, HVS_SUCCESS},
	{HVCALL_POST_MESSAGE_DIRECT, false, PART | VP, 276, 0, 0, 0, 0, 8, HVS_INVALID_PARAMETER},
	{HVCALL_GET_GPA_PAGES_ACCESS_STATES, true, PART | VP, 24, 0, 0, 1, 4095, 0,
		HVS_INVALID_PARTITION_STATE},
	{HVCALL_GET_VP_CPUID_VALUES, true, PART | VP, 24, 24, 0, 16, 169, 8, HVS_SUCCESS},
};

static u8 input[4096], output[4096];

/* All inputs are 0. */
static struct hv_result try(
	int fd, const struct shape *s, u16 reps, size_t in_size, size_t out_size)
{
	return hv_call(fd, &(struct hv_call){.code = s->code,
				   .reps = reps,
				   .in = input,
				   .in_size = in_size,
				   .out = out_size ? output : NULL,
				   .out_size = out_size});
}

static void check_shape(const struct partition *p, const struct shape *s)
{
	const int fd[] = {p->sys, p->fd, p->vp[0]};
	const u16 reps = s->rep ? 2 : 0;
	const size_t in = s->in + reps * s->in_each, out = s->out + reps * s->out_each;

	memset(input, 0, sizeof(input));
	for (unsigned i = 0; i < 3; i++)
		if (!(s->on >> i & 1)) { /* no such code there: not even a call */
			const struct hv_result r = try(fd[i], s, reps, in, out);

			assert_int_equal(r.error, -EINVAL);
			assert_int_equal(r.status, 0);
		}
	for (unsigned i = 0; i < 3; i++) {
		if (!(s->on >> i & 1))
			continue;
		assert_hv(try(fd[i], s, reps, in, out), s->status, s->status ? 0 : reps);
		/* More than is necessary is fine. */
		assert_hv(try(fd[i], s, reps, 4096, 4096), s->status, s->status ? 0 : reps);
		if (in > 8)
			assert_hv(try(fd[i], s, reps, in - 1, out), HVS_INVALID_INPUT, 0);
		if (out)
			assert_hv(try(fd[i], s, reps, in, out - 1), HVS_INVALID_INPUT, 0);
		assert_hv(try(fd[i], s, s->rep ? 0 : 1, 4096, 4096), HVS_INVALID_INPUT, 0);
	}
}

static void test_shapes(void **state)
{
	struct partition p = {0};

	partition_start(&p, LAPIC);
	for (unsigned i = 0; i < ARRAY_SIZE(shapes); i++)
		check_shape(&p, &shapes[i]);
	partition_close(&p);
}

/* As many repetitions as fit, and one more; and counts that would wrap around. */
static void test_most_repetitions(void **state)
{
	struct partition p = {0};

	partition_start(&p, LAPIC);
	memset(input, 0, sizeof(input));
	for (unsigned i = 0; i < ARRAY_SIZE(shapes); i++) {
		const struct shape *s = &shapes[i];

		if (!s->rep)
			continue;
		assert_hv(try(p.fd, s, s->most, 4096, 4096), s->status, s->status ? 0 : s->most);
		if (s->in_each || s->out_each > 1)
			assert_hv(try(p.fd, s, s->most + 2, 4096, 4096), HVS_INVALID_INPUT, 0);
		assert_hv(try(p.fd, s, 0xffff, 4096, 4096), HVS_INVALID_INPUT, 0);
		assert_hv(try(p.fd, s, 0x8000, 4096, 4096), HVS_INVALID_INPUT, 0);
	}
	partition_close(&p);
}

static void test_bad_vp(void **state)
{
	static const u32 bad[] = {1, 255, 256, 0x7fffffff, HV_VP_INDEX_SELF, HV_ANY_VP};
	struct partition p = {0};

	partition_start(&p, LAPIC);
	for (unsigned i = 0; i < ARRAY_SIZE(shapes); i++)
		for (unsigned n = 0; shapes[i].vp && n < ARRAY_SIZE(bad); n++) {
			memset(input, 0, sizeof(input));
			memcpy(input + shapes[i].vp, &bad[n], sizeof(bad[n]));
			assert_hv(try(p.fd, &shapes[i], shapes[i].rep, 4096, 4096),
				HVS_INVALID_VP_INDEX, 0);
			assert_hv(try(p.vp[0], &shapes[i], shapes[i].rep, 4096, 4096),
				HVS_INVALID_VP_INDEX, 0);
		}
	partition_close(&p);
}

/* Codes that mshv-ioctls knows and the kernel's driver does not allow, and those beside the ones that there are. */
static void test_other_codes(void **state)
{
	static const u16 codes[] = {0, 2, 3, 0x40, 0x43, 0x46, 0x4b, 0x4e, 0x53, 0x54, 0x57, 0x5c,
		0x5d, 0x90, 0x92, 0xc2, 0xca, 0xef, 0xf3, 0xf5, 0x100, 0x102, 0x8001, 0xffff};
	struct partition p = {0};

	partition_start(&p, LAPIC);
	for (unsigned i = 0; i < ARRAY_SIZE(codes); i++) {
		const struct hv_call c = {.code = codes[i], .in = input, .in_size = 4096};

		assert_int_equal(hv_call(p.fd, &c).error, -EINVAL);
		assert_int_equal(hv_call(p.vp[0], &c).error, -EINVAL);
		assert_int_equal(hv_call(p.sys, &c).error, -EINVAL);
	}
	partition_close(&p);
}

/* ---- registers: how far it came ---- */

static void test_partly(void **state)
{
	const u32 names[] = {
		HV_X64_REGISTER_RAX, HV_X64_REGISTER_RAX + RBX, 0xbad00000, HV_X64_REGISTER_RIP};
	struct hv_register r[4] = {{.name = HV_X64_REGISTER_RAX, .value = {.low = 1}},
		{.name = HV_X64_REGISTER_RAX + RCX, .value = {.low = 2}},
		{.name = HV_X64_REGISTER_CR8, .value = {.low = 16}},
		{.name = HV_X64_REGISTER_RAX + RDX, .value = {.low = 3}}};
	struct hv_value128 v[4] = {{~0ull, ~0ull}, {~0ull, ~0ull}, {~0ull, ~0ull}, {~0ull, ~0ull}};
	struct partition p = {0};
	struct hv_result got;

	partition_start(&p, LAPIC);
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RDX, 99);
	got = hv_regs_set(p.fd, 0, r, 4);
	assert_hv(got, HVS_INVALID_REGISTER_VALUE, 2);
	assert_int_equal(reg(&p, 0, HV_X64_REGISTER_RAX), 1);
	assert_int_equal(reg(&p, 0, HV_X64_REGISTER_RAX + RCX), 2);
	assert_int_equal(reg(&p, 0, HV_X64_REGISTER_RAX + RDX), 99);
	/* What was read is there. */
	got = hv_regs_get(p.vp[0], 0, names, 4, v);
	assert_hv(got, HVS_INVALID_PARAMETER, 2);
	assert_int_equal(v[0].low, 1);
	assert_int_equal(v[0].high, 0);
	partition_close(&p);
}

/* ---- HVCALL_INSTALL_INTERCEPT ---- */

static void test_install(void **state)
{
	static const struct {
		u32 type, access;
		u64 parameter;
		u16 status;
	} cases[] = {
		{HV_INTERCEPT_IO_PORT, 3, 0x3f8, 0},
		{HV_INTERCEPT_IO_PORT_RANGE, 3, 0x3f8 | 0x3ff << 16, 0},
		{HV_INTERCEPT_MMIO, 3, 0, 0},
		{HV_INTERCEPT_APIC_EOI, 4, 0, 0},
		{HV_INTERCEPT_HYPERCALL, 4, 0, 0},
		{HV_INTERCEPT_UNKNOWN_SYNIC_CONNECTION, 4, 0, 0},
		{HV_INTERCEPT_RETARGET_INTERRUPT, 4, 0, 0},
		{HV_INTERCEPT_CPUID, 4, 0x100, 0},
		{HV_INTERCEPT_CPUID, 4, 0x101, 0},
		{HV_INTERCEPT_CPUID, 1, 0x100, 5},
		{HV_INTERCEPT_CPUID, 4, 1ull << 32, 5},
		{HV_INTERCEPT_GLOBAL_CPUID, 4, 0x40000001, 0},
		{HV_INTERCEPT_EXCEPTION, 4, 14, 0},
		{HV_INTERCEPT_EXCEPTION, 4, 32, 5},
		{HV_INTERCEPT_EXCEPTION, 3, 14, 5},
		{HV_INTERCEPT_EXCEPTION_TRAP, 4, 1, 0},
		{HV_INTERCEPT_MSR, 3, 0, 0},
		{HV_INTERCEPT_MSR, 4, 0, 5},
		{HV_INTERCEPT_MSR_INDEX, 3, 0x10, 0},
		{HV_INTERCEPT_MSR_INDEX, 4, 0x10, 5},
		{HV_INTERCEPT_MSR_INDEX, 1, 1ull << 32, 5},
		{HV_INTERCEPT_HYPERCALL, 1, 0, 5},
		{4, 4, 0, 5},
		{0xa, 4, 0, 5},
		{0x12, 4, 0, 5},
		{~0u, 4, 0, 5},
		{HV_INTERCEPT_IO_PORT, 8, 0, 5},
	};
	struct partition p = {0};

	partition_start(&p, LAPIC);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct hv_install_intercept in = {.access = cases[i].access,
			.type = cases[i].type,
			.parameter = cases[i].parameter};
		struct hv_call c = {
			.code = HVCALL_INSTALL_INTERCEPT, .in = &in, .in_size = sizeof(in)};

		assert_hv(hv_call(i & 1 ? p.fd : p.vp[0], &c), cases[i].status, 0);
		if (cases[i].status)
			continue;
		in.access = 0; /* and away with it; twice */
		assert_hv(hv_call(p.fd, &c), 0, 0);
		assert_hv(hv_call(p.fd, &c), 0, 0);
	}
	partition_close(&p);
}

/* There is room for so many, and what was removed makes room. */
static void test_install_many(void **state)
{
	static const u32 types[] = {HV_INTERCEPT_CPUID, HV_INTERCEPT_MSR_INDEX};
	struct partition p = {0};

	partition_start(&p, LAPIC);
	for (unsigned t = 0; t < ARRAY_SIZE(types); t++)
		for (u32 i = 0; i < 3000; i++) {
			struct hv_install_intercept in = {
				.access = t ? 3 : 4, .type = types[t], .parameter = 0x40000000 + i};
			struct hv_call c = {
				.code = HVCALL_INSTALL_INTERCEPT, .in = &in, .in_size = sizeof(in)};

			assert_hv(hv_call(p.fd, &c), 0, 0);
			in.access = 0;
			assert_hv(hv_call(p.fd, &c), 0, 0);
		}
	partition_close(&p);
}

/* ---- HVCALL_REGISTER_INTERCEPT_RESULT ---- */

static void test_result_bad(void **state)
{
	struct hv_intercept_result r = {.type = HV_INTERCEPT_CPUID, .cpuid = {.eax = 1}};
	struct hv_call c = {.code = HVCALL_REGISTER_INTERCEPT_RESULT, .in = &r, .in_size = 60};
	struct partition p = {0};

	partition_start(&p, LAPIC);
	assert_hv(hv_call(p.fd, &c), 0, 0);
	c.in_size = 64; /* some callers' structure has a tail */
	assert_hv(hv_call(p.fd, &c), 0, 0);
	c.in_size = 59;
	assert_hv(hv_call(p.fd, &c), HVS_INVALID_INPUT, 0);
	c.in_size = 60;
	r.vp_index = 1;
	assert_hv(hv_call(p.fd, &c), HVS_INVALID_VP_INDEX, 0);
	r.vp_index = HV_ANY_VP;
	assert_hv(hv_call(p.vp[0], &c), 0, 0);
	r.type = HV_INTERCEPT_EXCEPTION;
	assert_hv(hv_call(p.fd, &c), HVS_INVALID_PARAMETER, 0);
	r.type = HV_INTERCEPT_MSR;
	r.msr.msr = 0x123;
	r.msr.access = 3;
	r.msr.action = 1;
	c.in_size = 28;
	assert_hv(hv_call(p.fd, &c), 0, 0);
	r.msr.action = 2;
	assert_hv(hv_call(p.fd, &c), HVS_INVALID_PARAMETER, 0);
	r.msr.action = 0;
	r.msr.access = 4;
	assert_hv(hv_call(p.fd, &c), HVS_INVALID_PARAMETER, 0);
	c.in_size = 27;
	assert_hv(hv_call(p.fd, &c), HVS_INVALID_INPUT, 0);
	partition_close(&p);
}

/* ---- HVCALL_GET_VP_CPUID_VALUES ---- */

static void test_cpuid_flags(void **state)
{
	struct {
		struct hv_cpuid_values head;
		struct hv_cpuid_leaf leaf[2];
	} in = {.leaf = {{.eax = 0}, {.eax = 1}}};
	u32 out[2][4];
	struct hv_call c = {.code = HVCALL_GET_VP_CPUID_VALUES,
		.reps = 2,
		.in = &in,
		.in_size = sizeof(in),
		.out = out,
		.out_size = sizeof(out)};
	struct partition p = {0};

	partition_start(&p, LAPIC);
	for (u32 flags = 0; flags < 4; flags++) {
		in.head.flags = flags;
		assert_hv(hv_call(p.vp[0], &c), 0, 2);
		assert_true(out[0][0] >= 1);
	}
	in.head.flags = 4;
	assert_hv(hv_call(p.vp[0], &c), HVS_INVALID_PARAMETER, 0);
	partition_close(&p);
}

/* ---- HVCALL_SIGNAL_EVENT_DIRECT, HVCALL_POST_MESSAGE_DIRECT ---- */

static struct hv_result signal_event(struct partition *p, u8 sint, u16 flag, u8 *ret_newly)
{
	struct hv_signal_event_direct in = {.sint = sint, .flag = flag};
	u8 out[8] = {0};
	struct hv_result r = hv_call(p->fd, &(struct hv_call){.code = HVCALL_SIGNAL_EVENT_DIRECT,
						    .in = &in,
						    .in_size = sizeof(in),
						    .out = out,
						    .out_size = sizeof(out)});

	*ret_newly = out[0];
	return r;
}

static void test_signal_event(void **state)
{
	struct partition p = {.features = ~0ull};
	u8 newly;

	partition_start(&p, LAPIC);
	assert_hv(signal_event(&p, 16, 0, &newly), HVS_INVALID_PARAMETER, 0);
	assert_hv(signal_event(&p, 0, 2048, &newly), HVS_INVALID_PARAMETER, 0);
	/* On a fresh VP it is a latch. */
	assert_hv(signal_event(&p, 15, 2047, &newly), 0, 0);
	assert_int_equal(newly, 1);
	assert_hv(signal_event(&p, 15, 2047, &newly), 0, 0);
	assert_int_equal(newly, 0);
	/* Then in the guest's page. */
	set_reg(&p, 0, HV_REGISTER_SCONTROL, 1);
	set_reg(&p, 0, HV_REGISTER_SIEFP, 0x41001);
	assert_hv(signal_event(&p, 2, 9, &newly), 0, 0);
	assert_int_equal(newly, 1);
	assert_int_equal(p.ram[0x41000 + 2 * 256 + 1], 2);
	assert_hv(signal_event(&p, 2, 9, &newly), 0, 0);
	assert_int_equal(newly, 0);
	partition_close(&p);
}

static struct hv_result post(struct partition *p, u32 sint, const struct hv_message *m)
{
	struct hv_post_message_direct in = {.sint = sint};

	memcpy(in.message, m, sizeof(*m));
	return hv_call(p->fd,
		&(struct hv_call){.code = HVCALL_POST_MESSAGE_DIRECT, .in = &in, .in_size = 280});
}

static void test_post_message(void **state)
{
	struct hv_message m = {.type = 0x1234, .len = 240, .sender = 5};
	struct partition p = {.features = ~0ull};
	struct hv_result r;
	unsigned n = 0;

	partition_start(&p, LAPIC);
	memset(m.payload, 0x77, sizeof(m.payload));
	assert_hv(post(&p, 5, &m), 0, 0); /* it waits until the guest has a page */
	m.type = 0;
	assert_hv(post(&p, 3, &m), HVS_INVALID_PARAMETER, 0);
	m.type = 0x1234;
	set_reg(&p, 0, HV_REGISTER_SCONTROL, 1);
	set_reg(&p, 0, HV_REGISTER_SIMP, 0x40001);
	assert_hv(post(&p, 16, &m), HVS_INVALID_PARAMETER, 0);
	m.len = 241;
	assert_hv(post(&p, 3, &m), HVS_INVALID_PARAMETER, 0);
	m.len = 240;
	assert_hv(post(&p, 3, &m), 0, 0);
	assert_memory_equal(p.ram + 0x40000 + 3 * 256, &m, sizeof(m));
	/* The queue is full some day; the slot says that more waits. */
	do
		r = post(&p, 3, &m);
	while (!r.error && ++n < 1000);
	assert_int_equal(r.error, -EIO);
	assert_true(r.status == HVS_INSUFFICIENT_BUFFERS || r.status == HVS_OBJECT_IN_USE);
	assert_int_equal(p.ram[0x40000 + 3 * 256 + 5], HV_MESSAGE_PENDING);
	/* Another SINT has its own. */
	assert_hv(post(&p, 4, &m), 0, 0);
	partition_close(&p);
}

/* ---- HVCALL_GET_GPA_PAGES_ACCESS_STATES ---- */

static void test_access_states(void **state)
{
	struct hv_access_states in = {.flags = 0};
	u8 out[16];
	struct hv_call c = {.code = HVCALL_GET_GPA_PAGES_ACCESS_STATES,
		.reps = 16,
		.in = &in,
		.in_size = sizeof(in),
		.out = out,
		.out_size = sizeof(out)};
	struct partition p = {0};

	partition_start(&p, LAPIC);
	assert_hv(hv_call(p.fd, &c), HVS_INVALID_PARTITION_STATE, 0);
	assert_hv(property_set(p.fd, HV_PROPERTY_GPA_PAGE_ACCESS_TRACKING, HV_TRACKING_ON), 0, 0);
	for (in.flags = 0; in.flags < 16; in.flags++)
		assert_hv(hv_call(p.vp[0], &c), 0, 16);
	in.flags = 16;
	assert_hv(hv_call(p.fd, &c), HVS_INVALID_PARAMETER, 0);
	/* Pages that there are not */
	in.flags = HV_STATES_SET_DIRTY;
	in.gpa_page = NOWHERE / HV_PAGE_SIZE;
	assert_hv(hv_call(p.fd, &c), 0, 16);
	assert_memory_equal(out, (u8[16]){0}, 16);
	in.gpa_page = ~0ull - 3;
	assert_hv(hv_call(p.fd, &c), 0, 16);
	partition_close(&p);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_request),
	cmocka_unit_test(test_shapes),
	cmocka_unit_test(test_most_repetitions),
	cmocka_unit_test(test_bad_vp),
	cmocka_unit_test(test_other_codes),
	cmocka_unit_test(test_partly),
	cmocka_unit_test(test_install),
	cmocka_unit_test(test_install_many),
	cmocka_unit_test(test_result_bad),
	cmocka_unit_test(test_cpuid_flags),
	cmocka_unit_test(test_signal_event),
	cmocka_unit_test(test_post_message),
	cmocka_unit_test(test_access_states),
};
MSHV_MAIN(tests)
