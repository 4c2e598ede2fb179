/* SPDX-License-Identifier: MIT */
/* Machines that look for their tool: they connect, greet it, and come again. The test listens. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "abi/dev.h"
#include "tests/kvmi/groups.h"
#include "tests/kvmi/place.h"
#include "tests/kvmi/world.h"

GUEST_COUNT;

/* A machine with these options behind the address, and a guest that counts. */
static struct vm *machine(struct place *p, const char *options)
{
	char text[256];
	struct vm *vm;

	snprintf(text, sizeof(text), "unix:%s%s", p->path, options);
	vm = vm_open_for(text, 1, 0);
	VM_GUEST(vm, 0, LONG, count);
	vm_begin(vm);
	vm_go(vm);
	return vm;
}

/* It is not taken: the machine closes. */
static void is_refused(int fd)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	u8 byte;

	CHECK_EQ(poll(&wait, 1, (int)wait_ms()), 1);
	CHECK(recv(fd, &byte, 1, 0) <= 0);
	close(fd);
}

static void test_greeting(enum dialect d)
{
	struct place p = place_open();
	u8 greeting[GREETING], again[GREETING];
	struct tool *t;
	struct vm *vm;
	s64 start;
	int fd;

	place_listen(&p);
	vm = machine(&p, ",name=the guest");
	fd = place_accept(&p);
	greeting_read(fd, greeting);
	CHECK_EQ(get_u32(greeting), GREETING);
	CHECK(get_u64(greeting + 4) && get_u64(greeting + 12));
	CHECK_EQ(get_u32(greeting + 20), 0);
	start = (s64)get_u64(greeting + 24);
	CHECK(start <= time(NULL) && start > time(NULL) - 3600);
	CHECK(!strcmp((char *)greeting + 32, "the guest"));
	greeting_answer(fd, 24, NULL, 20);
	t = tool_on(fd, d);
	CHECK_EQ(cmd_get_registers(t, 0, NULL, 0, NULL), 0);
	tool_close(t);
	vm_moves(vm, VM_DATA);
	/* It comes again, and is the same. */
	fd = place_accept(&p);
	greeting_read(fd, again);
	CHECK(!memcmp(greeting, again, GREETING));
	greeting_answer(fd, 24, NULL, 20);
	t = tool_on(fd, d);
	tool_close(t);
	vm_close(vm);
	place_close(&p);
}

/* Two machines are two. */
static void test_uuid(enum dialect d)
{
	struct place p = place_open();
	u8 greeting[2][GREETING];
	struct vm *vm[2];

	place_listen(&p);
	for (unsigned i = 0; i < 2; i++) {
		int fd;

		vm[i] = machine(&p, "");
		fd = place_accept(&p);
		greeting_read(fd, greeting[i]);
		CHECK(memchr(greeting[i] + 32, 0, 64));
		close(fd);
		vm_close(vm[i]);
	}
	CHECK(memcmp(greeting[0] + 4, greeting[1] + 4, 16));
	place_close(&p);
}

/* The tool comes later than the machine. */
static void test_tool_comes_later(enum dialect d)
{
	struct place p = place_open();
	struct vm *vm = machine(&p, "");
	struct tool *t;

	vm_moves(vm, VM_DATA);
	place_listen(&p);
	t = tool_on(place_greeted(&p), d);
	tool_close(t);
	vm_close(vm);
	place_close(&p);
}

static const u8 sha1_of_abc[20] = {0xa9, 0x99, 0x3e, 0x36, 0x47, 0x06, 0x81, 0x6a, 0xba, 0x3e, 0x25,
	0x71, 0x78, 0x50, 0xc2, 0x6c, 0x9c, 0xd0, 0xd8, 0x9d};

static void test_cookie(enum dialect d)
{
	struct place p = place_open();
	char options[128];
	u8 wrong[20], greeting[GREETING];
	struct tool *t;
	struct vm *vm;
	int fd;

	place_listen(&p);
	fd = open(p.cookie, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	CHECK_EQ(write(fd, "abc", 3), 3);
	close(fd);
	snprintf(options, sizeof(options), ",cookie=%s", p.cookie);
	vm = machine(&p, options);
	for (unsigned i = 0; i < 3; i++) {
		memcpy(wrong, sha1_of_abc, 20);
		if (i < 2)
			wrong[i * 19] ^= 1;
		else
			memset(wrong, 0, 20);
		fd = place_accept(&p);
		greeting_read(fd, greeting);
		greeting_answer(fd, 24, wrong, 20);
		is_refused(fd);
	}
	fd = place_accept(&p);
	greeting_read(fd, greeting);
	greeting_answer(fd, 24, sha1_of_abc, 20);
	t = tool_on(fd, d);
	tool_close(t);
	vm_close(vm);
	place_close(&p);
}

/* More than we know is skipped, and not a byte behind it; less, or too much, is refused. */
static void test_answers(enum dialect d)
{
	static const u32 bad[] = {0, 4, 23, 0x40000000, 0xffffffff};
	const u16 id = d == V5 ? KVMI_GET_VERSION : KVMI_V6_GET_VERSION;
	struct place p = place_open();
	u8 greeting[GREETING], message[44] = {0};
	struct tool *t;
	struct vm *vm;
	int fd;

	place_listen(&p);
	vm = machine(&p, "");
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		fd = place_accept(&p);
		greeting_read(fd, greeting);
		greeting_answer(fd, bad[i], NULL, 0);
		is_refused(fd);
	}
	fd = place_accept(&p);
	greeting_read(fd, greeting);
	/* 36 bytes, and the first command behind them in the same piece */
	put_u32(message, 36);
	put_u16(message + 36, id);
	put_u32(message + 40, 99);
	CHECK_EQ(send(fd, message, 44, MSG_NOSIGNAL), 44);
	t = tool_silent(fd, d);
	CHECK_EQ(tool_reply_to(t, id, 99, NULL), 0);
	tool_close(t);
	/* Byte by byte */
	fd = place_accept(&p);
	greeting_read(fd, greeting);
	for (unsigned i = 0; i < 44; i++)
		CHECK_EQ(send(fd, message + i, 1, MSG_NOSIGNAL), 1);
	t = tool_silent(fd, d);
	CHECK_EQ(tool_reply_to(t, id, 99, NULL), 0);
	tool_close(t);
	vm_close(vm);
	place_close(&p);
}

/* A machine that ends does not wait for a tool that says nothing, or that there is not. */
static void test_end_without_answer(enum dialect d)
{
	struct place p = place_open();
	struct vm *vm = machine(&p, "");
	int fd;

	vm_moves(vm, VM_DATA);
	vm_close(vm);
	place_listen(&p);
	vm = machine(&p, "");
	fd = place_accept(&p);
	vm_moves(vm, VM_DATA);
	vm_close(vm);
	close(fd);
	place_close(&p);
}

/* allow=: only these events */
static void test_allow(enum dialect d)
{
	struct place p = place_open();
	struct tool *t;
	struct vm *vm;
	u32 events;

	place_listen(&p);
	vm = machine(&p, ",allow=cr+pf");
	t = tool_on(place_greeted(&p), d);
	if (d == V5) {
		CHECK_EQ(cmd_version(t, NULL, &events), 0);
		CHECK_EQ(events, BIT(KVMI_EVENT_CR) | BIT(KVMI_EVENT_PF));
	}
	CHECK_EQ(cmd_control_event(t, 0, KVMI_EVENT_MSR, true), -KVM_EPERM);
	CHECK_EQ(cmd_control_event(t, 0, KVMI_EVENT_CR, true), 0);
	tool_close(t);
	vm_close(vm);
	place_close(&p);
}

/* read-only: the tool sees all and changes nothing. */
static void test_read_only(enum dialect d)
{
	const s32 refused = d == V5 ? -KVM_EACCES : -KVM_EPERM;
	struct place p = place_open();
	struct kvm_regs r = {.rip = 0x666, .rflags = 2};
	struct tool *t;
	struct vm *vm;
	u8 token[32];
	u64 value;

	place_listen(&p);
	vm = machine(&p, ",read-only");
	t = tool_on(place_greeted(&p), d);
	CHECK_EQ(cmd_read(t, VM_DATA, &value, 8), 0);
	CHECK_EQ(cmd_get_registers(t, 0, NULL, 0, NULL), 0);
	CHECK_EQ(cmd_write(t, VM_DATA + 64, "x", 1), refused);
	CHECK_EQ(cmd_inject(t, 0, 6, false, 0, 0), refused);
	CHECK_EQ(cmd_set_registers(t, 0, &r), refused);
	CHECK_EQ(cmd_map_token(t, token), refused); /* with one it could write */
	CHECK_EQ(vm->ram[VM_DATA + 64], 0);
	vm_moves(vm, VM_DATA);
	tool_close(t);
	vm_close(vm);
	place_close(&p);
}

/* What is no address, or no option, is refused with a reason. */
static void test_texts(enum dialect d)
{
	static const char *const bad[] = {"", "unix:", "/tmp/x", "tcp:1", "vsock:", "vsock:x",
		"vsock:1:2:3", "unix:/x,allow=cr+nothing", "unix:/x,cookie=/there/is/none",
		"unix:/x,cookie=/dev/null", "unix:/x,read",
		"unix:/x,name=0123456789012345678901234567890123456789012345678901234567890123"};
	static const char *const good[] = {"unix:/x", "vsock:1234", "vsock:1:1234",
		"unix:/x,allow=cr+singlestep+cpuid,name=x,read-only"};

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		struct refusal why = {0};

		if (!dev_check_tool(bad[i], &why) || !why.why)
			test_failed(__FILE__, __LINE__, "\"%s\" is taken", bad[i]);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(good); i++)
		CHECK_EQ(dev_check_tool(good[i], NULL), 0);
}

const struct test greet_tests[] = {
	TEST(test_greeting, BOTH),
	TEST(test_uuid, V5),
	TEST(test_tool_comes_later, BOTH),
	TEST(test_cookie, V5),
	TEST(test_answers, BOTH),
	TEST(test_end_without_answer, V5),
	TEST(test_allow, BOTH),
	TEST(test_read_only, BOTH),
	TEST(test_texts, V5),
	{0},
};
