/* SPDX-License-Identifier: MIT */
/* Messages as bytes of a stream: pieces, sizes, unknown numbers, and what closes the connection. */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/kvmi/groups.h"
#include "tests/kvmi/world.h"

GUEST_COUNT;

static void one_by_one(struct tool *t, const u8 *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		tool_bytes(t, bytes + i, 1);
		sched_yield();
	}
}

/* A read of 16 bytes at DATA + 64, as bytes. */
static size_t read_message(struct tool *t, u8 *ret)
{
	memset(ret, 0, 24);
	put_u16(ret, t->dialect == V5 ? KVMI_READ_PHYSICAL : KVMI_V6_READ_PHYSICAL);
	put_u16(ret + 2, 16);
	put_u32(ret + 4, ++t->seq);
	put_u64(ret + 8, VM_DATA + 64);
	put_u64(ret + 16, 16);
	return 24;
}

static void expect_read(struct world *w, u32 seq)
{
	size_t n;

	CHECK_EQ(tool_reply_to(
			 w->t, w->d == V5 ? KVMI_READ_PHYSICAL : KVMI_V6_READ_PHYSICAL, seq, &n),
		0);
	CHECK_EQ(n, 16);
	CHECK(!memcmp(tool_data(w->t), w->vm->ram + VM_DATA + 64, 16));
}

static void test_byte_by_byte(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);
	u8 bytes[24];

	memcpy(w.vm->ram + VM_DATA + 64, "sixteen letters!", 16);
	one_by_one(w.t, bytes, read_message(w.t, bytes));
	expect_read(&w, w.t->seq);
	world_close(&w);
}

static void test_many_in_one(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);
	u8 bytes[24 * 100];
	size_t n = 0;

	memcpy(w.vm->ram + VM_DATA + 64, "sixteen letters!", 16);
	for (unsigned i = 0; i < 100; i++)
		n += read_message(w.t, bytes + n);
	/* The last one in two pieces */
	tool_bytes(w.t, bytes, n - 5);
	for (u32 i = 0; i < 99; i++)
		expect_read(&w, w.t->seq - 99 + i);
	tool_bytes(w.t, bytes + n - 5, 5);
	expect_read(&w, w.t->seq);
	world_close(&w);
}

/* A sequence number is the tool's: neither order nor being the only one of its kind matters. */
static void test_seq(enum dialect d)
{
	static const u32 seqs[] = {0, 0xffffffff, 7, 7, 0x80000000, 0};
	struct world w = WORLD(d, 1, LONG, count);
	const u16 id = d == V5 ? KVMI_GET_VERSION : KVMI_V6_GET_VERSION;

	for (unsigned i = 0; i < ARRAY_SIZE(seqs); i++) {
		tool_send_as(w.t, id, 0, seqs[i], NULL, 0);
		CHECK_EQ(tool_reply_to(w.t, id, seqs[i], NULL), 0);
	}
	world_close(&w);
}

/* The tool goes in the middle of a message: the next one is served. */
static void test_half_a_message(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);
	u8 bytes[24];

	read_message(w.t, bytes);
	for (unsigned n = 1; n < 24; n += n == 8 ? 1 : 7) {
		tool_bytes(w.t, bytes, n);
		tool_close(w.t);
		w.t = tool_open(w.vm, d);
	}
	vm_begin(w.vm);
	vm_moves(w.vm, VM_DATA);
	world_close(&w);
}

/* ---- sizes of V5 ---- */

static const struct {
	u16 id, size;
} shapes[] = {
	{KVMI_GET_VERSION, 0},
	{KVMI_GET_GUEST_INFO, 8},
	{KVMI_GET_REGISTERS, 8},
	{KVMI_SET_REGISTERS, 152},
	{KVMI_GET_PAGE_ACCESS, 8},
	{KVMI_SET_PAGE_ACCESS, 8},
	{KVMI_INJECT_EXCEPTION, 16},
	{KVMI_READ_PHYSICAL, 16},
	{KVMI_WRITE_PHYSICAL, 16},
	{KVMI_GET_MAP_TOKEN, 0},
	{KVMI_CONTROL_EVENTS, 8},
	{KVMI_CONTROL_CR, 8},
	{KVMI_CONTROL_MSR, 8},
	{KVMI_EVENT, 0},
	{KVMI_EVENT_REPLY, 8},
	{KVMI_GET_CPUID, 16},
	{KVMI_GET_XSAVE, 8},
	{KVMI_PAUSE_ALL_VCPUS, 0},
	{KVMI_CONTROL_VM_EVENTS, 8},
};

static void closes(struct world *w, u16 id, u16 size, const u8 *payload)
{
	tool_send_as(w->t, id, size, ++w->t->seq, payload, size);
	tool_closed(w->t);
	tool_close(w->t);
	w->t = tool_open(w->vm, w->d);
}

static void test_wrong_size_closes(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);
	const u8 zeros[256] = {0};

	for (unsigned i = 0; i < ARRAY_SIZE(shapes); i++) {
		closes(&w, shapes[i].id, shapes[i].size + 1, zeros);
		if (shapes[i].size)
			closes(&w, shapes[i].id, shapes[i].size - 1, zeros);
		if (shapes[i].size)
			closes(&w, shapes[i].id, 0, zeros);
	}
	vm_begin(w.vm);
	vm_moves(w.vm, VM_DATA);
	world_close(&w);
}

/* The count in the message says another size than the header. */
static void test_wrong_count_closes(enum dialect d)
{
	static const u16 ids[] = {KVMI_GET_REGISTERS, KVMI_GET_PAGE_ACCESS, KVMI_SET_PAGE_ACCESS};
	static const u16 each[] = {4, 8, 16};
	struct world w = WORLD(d, 1, LONG, count);
	u8 payload[64] = {0};

	for (unsigned i = 0; i < ARRAY_SIZE(ids); i++) {
		put_u16(payload + 2, 2);
		closes(&w, ids[i], 8 + each[i], payload);
		closes(&w, ids[i], 8 + each[i] * 3, payload);
		closes(&w, ids[i], 8 + each[i] * 2 - 1, payload);
		put_u16(payload + 2, 0xffff);
		closes(&w, ids[i], 8 + each[i], payload);
	}
	world_close(&w);
}

static void test_write_count_closes(enum dialect d)
{
	static const u64 sizes[] = {1, 16, 0xffff, 0x10000, 0xfffffffffffffff0, 0xffffffffffffffff};
	struct world w = WORLD(d, 1, LONG, count);
	u8 payload[64] = {0};

	put_u64(payload, VM_DATA + 64);
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		put_u64(payload + 8, sizes[i]);
		closes(&w, KVMI_WRITE_PHYSICAL, 16, payload);
		closes(&w, KVMI_WRITE_PHYSICAL, 16 + 8, payload);
	}
	CHECK_EQ(vm_read64(w.vm, VM_DATA + 64), 0);
	world_close(&w);
}

static void test_unknown_closes(enum dialect d)
{
	static const u16 ids[] = {29, 30, 63, 64, 255, 256, 0x1d1d, 0x7fff, 0x8000, 0xffff};
	struct world w = WORLD(d, 1, LONG, count);
	const u8 zeros[16] = {0};

	for (unsigned i = 0; i < ARRAY_SIZE(ids); i++) {
		closes(&w, ids[i], 0, zeros);
		closes(&w, ids[i], 8, zeros);
	}
	world_close(&w);
}

/* Numbers without a command */
static void test_without_command(enum dialect d)
{
	static const u16 ids[] = {0, 2, 4, 5, 8, 9, 16, 20, 21, 22};
	struct world w = WORLD(d, 1, LONG, count);
	const u8 zeros[16] = {0};

	for (unsigned i = 0; i < ARRAY_SIZE(ids); i++) {
		CHECK_EQ(tool_command(w.t, ids[i], NULL, 0, 0), -KVM_ENOSYS);
		closes(&w, ids[i], 8, zeros);
	}
	/* The number of events: a reply as well. */
	tool_send(w.t, KVMI_EVENT, NULL, 0);
	CHECK(tool_receive(w.t));
	CHECK_EQ(w.t->msg.id, KVMI_EVENT);
	CHECK_EQ(w.t->msg.size, 8);
	CHECK_EQ((s32)get_u32(w.t->msg.data), -KVM_ENOSYS);
	world_close(&w);
}

/* The largest messages that there can be. */
static void test_largest(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);
	static struct page_access all[4095];
	static u8 ask[8 + 8 * 8190], zeros[65535];

	for (u64 i = 0; i < ARRAY_SIZE(all); i++)
		all[i] = (struct page_access){i << 12, i == 1 || i == 2 ? 7 : (u8)(i % 8)};
	CHECK_EQ(cmd_set_accesses(w.t, all, ARRAY_SIZE(all)), 0);
	put_u16(ask + 2, 8190);
	for (u64 i = 0; i < 8190; i++)
		put_u64(ask + 8 + 8 * i, (i << 12) + 123);
	CHECK_EQ(tool_command(w.t, KVMI_GET_PAGE_ACCESS, ask, sizeof(ask), 8190), 0);
	for (unsigned i = 0; i < 8190; i++)
		CHECK_EQ(tool_data(w.t)[i], i < 4095 ? all[i].access : 7);
	closes(&w, KVMI_GET_VERSION, 65535, zeros);
	closes(&w, KVMI_SET_PAGE_ACCESS, 65535, zeros);
	world_close(&w);
}

/* ---- the bytes of the protocol, once as they are ---- */

static void reply_bytes(struct tool *t, const u8 *want, size_t n)
{
	u8 got[64] = {0};

	CHECK_EQ(recv(t->fd, got, n, MSG_WAITALL), n);
	for (size_t i = 0; i < n; i++)
		if (got[i] != want[i])
			test_failed(__FILE__, __LINE__, "byte %zu is 0x%02x, not 0x%02x", i, got[i],
				want[i]);
}
#define SEND(t, ...)                                                                               \
	do {                                                                                       \
		static const u8 bytes_[] = {__VA_ARGS__};                                          \
		tool_bytes(t, bytes_, sizeof(bytes_));                                             \
	} while (0)
#define COMES(t, ...)                                                                              \
	do {                                                                                       \
		static const u8 bytes_[] = {__VA_ARGS__};                                          \
		reply_bytes(t, bytes_, sizeof(bytes_));                                            \
	} while (0)

static void test_worked_bytes(enum dialect d)
{
	struct world w = WORLD(d, 2, LONG, count);
	struct event e;

	SEND(w.t, 1, 0, 0, 0, 1, 0, 0, 0);
	COMES(w.t, 1, 0, 0x18, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0xca, 0xfc, 0x8e,
		0x1f, 0xff, 7, 0, 0, 0, 0, 0, 0);
	SEND(w.t, 0x11, 0, 8, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0x42, 0, 0, 0);
	COMES(w.t, 0x11, 0, 8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	SEND(w.t, 0x12, 0, 8, 0, 3, 0, 0, 0, 1, 0, 1, 0, 3, 0, 0, 0);
	COMES(w.t, 0x12, 0, 8, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	SEND(w.t, 0x12, 0, 8, 0, 3, 0, 0, 0, 1, 0, 1, 0, 2, 0, 0, 0);
	COMES(w.t, 0x12, 0, 8, 0, 3, 0, 0, 0, 0xea, 0xff, 0xff, 0xff, 0, 0, 0, 0);
	SEND(w.t, 9, 0, 0, 0, 3, 0, 0, 0);
	COMES(w.t, 9, 0, 8, 0, 3, 0, 0, 0, 0x18, 0xfc, 0xff, 0xff, 0, 0, 0, 0);
	SEND(w.t, 0xb, 0, 0x18, 0, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x30, 0x12, 0, 0, 0, 0, 0,
		5, 0, 0, 0, 0, 0, 0, 0);
	COMES(w.t, 0xb, 0, 8, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	SEND(w.t, 0xd, 0, 0x10, 0, 5, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0);
	COMES(w.t, 0xd, 0, 0xa, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	SEND(w.t, 0x1b, 0, 0, 0, 6, 0, 0, 0);
	w.t->seq = 6;
	CHECK_EQ(tool_reply(w.t, KVMI_PAUSE_ALL_VCPUS, NULL), 0);
	CHECK_EQ(get_u64(tool_data(w.t)), 2);
	e = tool_event(w.t, KVMI_EVENT_PAUSE_VCPU);
	CHECK_EQ(e.seq, 1);
	CHECK_EQ(e.mode, 8);
	SEND(w.t, 0x18, 0, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xa, 0, 0, 0);
	CHECK_EQ(tool_event(w.t, KVMI_EVENT_PAUSE_VCPU).seq, 2);
	SEND(w.t, 0x18, 0, 8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0xa, 0, 0, 0);
	tool_quiet(w.t);
	world_close(&w);
}

/* ---- V6 is lax about sizes ---- */

static void test_lax_unknown(enum dialect d)
{
	static const u16 ids[] = {40, 45, 59, 61, 62, 64, 255, 256, 0x8000, 0xffff};
	static const u16 sizes[] = {0, 1, 8, 4096, 8184};
	struct world w = WORLD(d, 1, LONG, count);
	static u8 bytes[8184];

	memset(bytes, 0x5a, sizeof(bytes));
	for (unsigned i = 0; i < ARRAY_SIZE(ids); i++)
		for (unsigned k = 0; k < ARRAY_SIZE(sizes); k++)
			CHECK_EQ(tool_command(w.t, ids[i], bytes, sizes[k], 0), -KVM_ENOSYS);
	tool_quiet(w.t);
	world_close(&w);
}

static void test_too_large_closes(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);
	static u8 bytes[65535];

	closes(&w, 40, 8185, bytes);
	closes(&w, KVMI_V6_READ_PHYSICAL, 65535, bytes);
	world_close(&w);
}

static void test_lax_longer(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);
	u8 request[32] = {0};

	memset(request + 16, 0x5a, 16);
	put_u16(request + 8, KVMI_EVENT_CR);
	CHECK_EQ(tool_command(w.t, KVMI_V6_CONTROL_EVENTS, request, 32, 0), 0);
	CHECK_EQ(tool_command(w.t, KVMI_V6_GET_GUEST_INFO, request, 32, 16), 0);
	world_close(&w);
}

/* What is missing is 0, unless the command cannot do without. */
static void test_lax_shorter(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);
	u8 request[16] = {0};

	put_u16(request + 8, KVMI_EVENT_CR);
	request[10] = 1;
	CHECK_EQ(tool_command(w.t, KVMI_V6_CONTROL_EVENTS, request, 11, 0), 0);
	tool_send(w.t, KVMI_V6_READ_PHYSICAL, request, 7);
	if (tool_receive(w.t))
		CHECK_EQ((s32)get_u32(w.t->msg.data), -KVM_EINVAL);
	world_close(&w);
}

const struct test frame_tests[] = {
	TEST(test_byte_by_byte, BOTH),
	TEST(test_many_in_one, BOTH),
	TEST(test_seq, BOTH),
	TEST(test_half_a_message, BOTH),
	TEST(test_wrong_size_closes, V5),
	TEST(test_wrong_count_closes, V5),
	TEST(test_write_count_closes, V5),
	TEST(test_unknown_closes, V5),
	TEST(test_without_command, V5),
	TEST(test_largest, V5),
	TEST(test_worked_bytes, V5),
	TEST(test_lax_unknown, V6),
	TEST(test_too_large_closes, V6),
	TEST(test_lax_longer, V6),
	TEST(test_lax_shorter, V6),
	{0},
};
