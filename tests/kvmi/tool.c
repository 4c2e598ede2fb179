/* SPDX-License-Identifier: MIT */
/* See tool.h: sessions and messages; events are in events.c, commands in commands.c. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/kvmi/events.h"
#include "tests/kvmi/tool.h"

/* ---- a session ---- */

long vm_hook(struct vm *vm, int fd, u32 commands, u32 events)
{
	const struct kvm_introspection how = {
		.fd = fd, .commands = commands, .events = events, .uuid = "0123456789abcde"};

	return kvm_p(vm, vm->fd, KVM_INTROSPECTION_HOOK, &how);
}

struct tool *tool_silent(int fd, enum dialect d)
{
	struct tool *t = calloc(1, sizeof(*t));

	CHECK(t);
	t->fd = fd;
	t->dialect = d;
	return t;
}

struct tool *tool_on(int fd, enum dialect d)
{
	struct tool *t = tool_silent(fd, d);

	CHECK_EQ(cmd_version(t, NULL, NULL), 0);
	return t;
}

/* The VMM's end is closed here: the engine has its own reference. */
struct tool *tool_open_masked(struct vm *vm, enum dialect d, u32 commands, u32 events)
{
	int pair[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	CHECK_EQ(vm_hook(vm, pair[0], commands, events), 0);
	close(pair[0]);
	return tool_on(pair[1], d);
}

struct tool *tool_open(struct vm *vm, enum dialect d)
{
	return tool_open_masked(vm, d, ~0u, ~0u);
}

void tool_close(struct tool *t)
{
	close(t->fd);
	free(t);
}

/* ---- messages ---- */

void tool_bytes(struct tool *t, const void *bytes, size_t n)
{
	for (size_t done = 0; done < n;) {
		const ssize_t r = send(t->fd, (const u8 *)bytes + done, n - done, MSG_NOSIGNAL);

		if (r < 0)
			test_failed(__FILE__, __LINE__,
				"the connection is closed before %zu bytes are sent", n - done);
		done += (size_t)r;
	}
}

void tool_send_as(struct tool *t, u16 id, u16 size, u32 seq, const void *payload, size_t n)
{
	u8 *bytes = malloc(8 + n);

	CHECK(bytes);
	put_u16(bytes, id);
	put_u16(bytes + 2, size);
	put_u32(bytes + 4, seq);
	if (n)
		memcpy(bytes + 8, payload, n);
	tool_bytes(t, bytes, 8 + n);
	free(bytes);
}

void tool_send(struct tool *t, u16 id, const void *payload, size_t n)
{
	tool_send_as(t, id, (u16)n, ++t->seq, payload, n);
}

/* False: the connection is closed in front of the first byte. */
static bool receive(struct tool *t, void *to, size_t n)
{
	for (size_t done = 0; done < n;) {
		struct pollfd p = {.fd = t->fd, .events = POLLIN};
		ssize_t r;

		if (!poll(&p, 1, (int)wait_ms()))
			test_failed(__FILE__, __LINE__,
				"nothing more comes; after the command of seq %u, event %u", t->seq,
				t->events);
		r = recv(t->fd, (u8 *)to + done, n - done, 0);
		if (r <= 0 && !done)
			return false;
		CHECK(r > 0);
		done += (size_t)r;
	}
	return true;
}

bool tool_receive(struct tool *t)
{
	u8 head[8];

	if (!receive(t, head, sizeof(head)))
		return false;
	t->msg.id = get_u16(head);
	t->msg.size = get_u16(head + 2);
	t->msg.seq = get_u32(head + 4);
	CHECK(receive(t, t->msg.data, t->msg.size));
	return true;
}

static bool is_event(const struct tool *t)
{
	return t->msg.id == (t->dialect == V5 ? KVMI_EVENT : KVMI_V6_EVENT);
}

/* The next that is no event. */
static bool receive_reply(struct tool *t)
{
	while (tool_receive(t)) {
		if (!is_event(t))
			return true;
		event_keep(t);
	}
	return false;
}

s32 tool_reply_to(struct tool *t, u16 id, u32 seq, size_t *ret_size)
{
	s32 err;

	if (!receive_reply(t))
		test_failed(__FILE__, __LINE__, "the connection is closed instead of a reply to %u",
			id);
	CHECK_EQ(t->msg.id, id);
	CHECK_EQ(t->msg.seq, seq);
	CHECK(t->msg.size >= 8);
	err = (s32)get_u32(t->msg.data);
	CHECK_EQ(get_u32(t->msg.data + 4), 0);
	CHECK(err <= 0);
	CHECK(!err || t->msg.size == 8);
	if (ret_size)
		*ret_size = t->msg.size - 8;
	return err;
}

s32 tool_reply(struct tool *t, u16 id, size_t *ret_size)
{
	return tool_reply_to(t, id, t->seq, ret_size);
}

s32 tool_command(struct tool *t, u16 id, const void *payload, size_t n, size_t want_size)
{
	size_t size;
	s32 err;

	tool_send(t, id, payload, n);
	err = tool_reply(t, id, &size);
	if (!err)
		CHECK_EQ(size, want_size);
	return err;
}

void tool_closed(struct tool *t)
{
	if (receive_reply(t))
		test_failed(__FILE__, __LINE__,
			"message %u comes (error %d), and the connection stays", t->msg.id,
			t->msg.size >= 8 ? (int)get_u32(t->msg.data) : 0);
}

void tool_quiet(struct tool *t)
{
	CHECK_EQ(cmd_version(t, NULL, NULL), 0);
	if (tool_has_event(t))
		test_failed(
			__FILE__, __LINE__, "event %u comes", t->kept[t->taken % EVENTS_KEPT].id);
}
