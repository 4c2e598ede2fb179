/* SPDX-License-Identifier: MIT */
/* READ_PHYSICAL, WRITE_PHYSICAL, and tokens. */
#include <string.h>
#include <unistd.h>

#include "tests/kvmi/groups.h"
#include "tests/kvmi/world.h"

GUEST_COUNT;
/* Calls a function again and again, and keeps what it returns. */
GUEST64(caller, "1:	call guest_caller_function\n"
		"	movl %eax, DATA\n"
		"	lock incq DATA + 8\n"
		"	jmp 1b\n"
		"guest_caller_function:\n"
		"	movl $0x11111111, %eax\n"
		"	ret\n");
GUEST_LABEL(caller, function);

static void test_read(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);
	u8 got[4096];

	for (unsigned i = 0; i < 4096; i++)
		w.vm->ram[VM_PAGE(1) + i] = (u8)(i * 7 + (i >> 8));
	CHECK_EQ(cmd_read(w.t, VM_PAGE(1), got, 4096), 0);
	CHECK(!memcmp(got, w.vm->ram + VM_PAGE(1), 4096));
	CHECK_EQ(cmd_read(w.t, VM_PAGE(1) + 4095, got, 1), 0);
	CHECK_EQ(got[0], w.vm->ram[VM_PAGE(1) + 4095]);
	CHECK_EQ(cmd_read(w.t, VM_PAGE(1) + 1001, got, 3095), 0);
	CHECK(!memcmp(got, w.vm->ram + VM_PAGE(1) + 1001, 3095));
	CHECK_EQ(cmd_read(w.t, VM_BYTES - 8, got, 8), 0);
	world_close(&w);
}

static void test_write(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);
	u8 bytes[4096];

	for (unsigned i = 0; i < 4096; i++)
		bytes[i] = (u8)(i * 5 + (i >> 8));
	CHECK_EQ(cmd_write(w.t, VM_PAGE(1), bytes, 4096), 0);
	CHECK(!memcmp(bytes, w.vm->ram + VM_PAGE(1), 4096));
	CHECK_EQ(w.vm->ram[VM_PAGE(2)], 0);
	CHECK_EQ(cmd_write(w.t, VM_PAGE(2) + 4095, "x", 1), 0);
	CHECK_EQ(w.vm->ram[VM_PAGE(2) + 4095], 'x');
	CHECK_EQ(w.vm->ram[VM_PAGE(2) + 4094], 0);
	CHECK_EQ(w.vm->ram[VM_PAGE(3)], 0);
	world_close(&w);
}

static const struct {
	u64 gpa, size;
} bad_sizes[] = {
	{VM_DATA, 0}, {VM_DATA + 4095, 2}, {VM_DATA + 1, 4096}, {VM_DATA, 4097}, {VM_DATA, 8000}};

static void test_bad_size(enum dialect d)
{
	static const u64 huge[] = {0xffff, 0x10000, 0x100000010, 0xfffffffffffff000, ~0ull};
	struct world w = WORLD(d, 1, LONG, count);
	static u8 bytes[8192];
	u8 request[16];

	for (unsigned i = 0; i < ARRAY_SIZE(bad_sizes); i++) {
		CHECK_EQ(cmd_read(w.t, bad_sizes[i].gpa, bytes, bad_sizes[i].size), -KVM_EINVAL);
		CHECK_EQ(cmd_write(w.t, bad_sizes[i].gpa, bytes, bad_sizes[i].size), -KVM_EINVAL);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(huge); i++) {
		put_u64(request, VM_DATA);
		put_u64(request + 8, huge[i]);
		tool_send(w.t, d == V5 ? KVMI_READ_PHYSICAL : KVMI_V6_READ_PHYSICAL, request, 16);
		CHECK_EQ(
			tool_reply(w.t, d == V5 ? KVMI_READ_PHYSICAL : KVMI_V6_READ_PHYSICAL, NULL),
			-KVM_EINVAL);
	}
	world_close(&w);
}

/* Where there is no RAM: holes, devices, the end of the address space. */
static void test_no_memory(enum dialect d)
{
	static const u64 places[] = {VM_BYTES, VM_HOLE, VM_MMIO, 0xfee00000, 0x100000000, BIT64(51),
		BIT64(52), BIT64(63), ~0ull};
	struct world w = WORLD(d, 1, LONG, count);
	u8 byte = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		CHECK_EQ(cmd_read(w.t, places[i], &byte, 1), no_such_memory(d));
		CHECK_EQ(cmd_write(w.t, places[i], &byte, 1), no_such_memory(d));
	}
	CHECK_EQ(cmd_read(w.t, VM_DATA, &byte, 1), 0);
	world_close(&w);
}

/* Restrictions are for the guest. */
static void test_restricted(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);
	u8 bytes[8] = "tool's";

	event_on(w.t, 0, KVMI_EVENT_PF);
	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(1), 0), 0);
	CHECK_EQ(cmd_write(w.t, VM_PAGE(1), bytes, 8), 0);
	CHECK_EQ(cmd_read(w.t, VM_PAGE(1), bytes, 8), 0);
	CHECK_EQ(bytes[0], 't');
	tool_quiet(w.t);
	world_close(&w);
}

/* VM commands are answered though nobody runs the vcpu. */
static void test_without_vcpu(enum dialect d)
{
	struct world w = {.d = d, .vm = vm_open(1, 0)};
	u8 bytes[8] = "tool's";

	w.t = tool_open(w.vm, d);
	CHECK_EQ(cmd_write(w.t, VM_PAGE(1), bytes, 8), 0);
	CHECK_EQ(cmd_read(w.t, VM_PAGE(1), bytes, 8), 0);
	world_close(&w);
}

/* A page that the tool writes to is dirty, one that it reads is not. */
static void test_dirty(enum dialect d)
{
	struct kvm_userspace_memory_region slot = {
		.memory_size = VM_BYTES, .flags = KVM_MEM_LOG_DIRTY_PAGES};
	static u64 bitmap[VM_BYTES / 4096 / 64];
	struct kvm_dirty_log log = {.dirty_bitmap = bitmap};
	struct world w = {.d = d, .vm = vm_open(1, 0)};
	u8 byte;

	slot.userspace_addr = (unsigned long)w.vm->ram;
	CHECK_EQ(kvm_p(w.vm, w.vm->fd, KVM_SET_USER_MEMORY_REGION, &slot), 0);
	w.t = tool_open(w.vm, d);
	CHECK_EQ(cmd_read(w.t, VM_PAGE(1), &byte, 1), 0);
	CHECK_EQ(cmd_write(w.t, VM_PAGE(2), &byte, 1), 0);
	CHECK_EQ(kvm_p(w.vm, w.vm->fd, KVM_GET_DIRTY_LOG, &log), 0);
	CHECK_EQ(bitmap[0], BIT64(VM_PAGE(2) >> 12));
	world_close(&w);
}

/* The guest sees it while it runs, as memory and as code that was translated long ago. */
static void test_guest_sees(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, caller);
	u64 code = AT_LABEL(0, caller, function) + 1;

	vm_begin(w.vm);
	vm_wait64(w.vm, VM_DATA, 0x11111111);
	for (u32 value = 1; value < 20; value++) {
		CHECK_EQ(cmd_write(w.t, code, &value, 4), 0);
		for (unsigned ms = 0; (u32)vm_read64(w.vm, VM_DATA) != value; ms++) {
			CHECK(ms < wait_ms());
			usleep(1000);
		}
	}
	world_close(&w);
}

/* After the reply no instruction that begins reads what was there before. */
static void test_seen_at_once(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, caller);
	u64 code = AT_LABEL(0, caller, function) + 1;
	struct event e;

	vm_begin(w.vm);
	vm_wait64(w.vm, VM_DATA, 0x11111111);
	e = pause_cpu(w.t, 0);
	CHECK_EQ(cmd_write(w.t, code, &(u32){0x22222222}, 4), 0);
	vm_write64(w.vm, VM_DATA, 0);
	tool_continue(w.t, &e);
	vm_moves(w.vm, VM_DATA + 8);
	vm_moves(w.vm, VM_DATA + 8);
	vm_moves(w.vm, VM_DATA + 8);
	CHECK_EQ((u32)vm_read64(w.vm, VM_DATA), 0x22222222);
	world_close(&w);
}

/* ---- tokens ---- */

static void test_tokens(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);
	u8 tokens[9][32];
	unsigned n = 0;

	/* Eight at a time; a server may give a ninth, as the first one did. */
	while (n < 9 && !cmd_map_token(w.t, tokens[n]))
		n++;
	CHECK(n >= 8);
	CHECK_EQ(cmd_map_token(w.t, tokens[8]), -KVM_EAGAIN);
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < i; k++)
			CHECK(memcmp(tokens[i], tokens[k], 32));
	world_close(&w);
}

/* They go with the session, and by themselves after three seconds. */
static void test_tokens_go(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);
	u8 token[32];
	s32 err = 0;

	while (!cmd_map_token(w.t, token))
		;
	tool_close(w.t);
	w.t = tool_open(w.vm, d);
	while (!cmd_map_token(w.t, token))
		;
	for (unsigned ms = 0; (err = cmd_map_token(w.t, token)) && ms < wait_ms(); ms += 10)
		usleep(10000);
	CHECK_EQ(err, 0);
	world_close(&w);
}

const struct test memory_tests[] = {
	TEST(test_read, BOTH),
	TEST(test_write, BOTH),
	TEST(test_bad_size, BOTH),
	TEST(test_no_memory, BOTH),
	TEST(test_restricted, BOTH),
	TEST(test_without_vcpu, BOTH),
	TEST(test_dirty, BOTH),
	TEST(test_guest_sees, BOTH),
	TEST(test_seen_at_once, BOTH),
	TEST(test_tokens, BOTH),
	TEST(test_tokens_go, BOTH),
	{0},
};
