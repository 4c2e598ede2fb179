/* SPDX-License-Identifier: MIT */
/* Sessions for tests. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rig.h"

enum uvmi_dialect dialect_v6 = UVMI_V6, dialect_v5 = UVMI_V5;

static void *serve(void *rig)
{
	struct rig *r = rig;

	mock_serve(&r->mock, r->fd);
	return NULL;
}

struct rig *rig_open(enum uvmi_dialect dialect, struct mock_config config)
{
	const struct uvmi_options o = {.dialect = dialect, .timeout_ms = 5000};
	struct rig *r = calloc(1, sizeof(*r));
	int fds[2];

	assert_non_null(r);
	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	config.v5 = dialect == UVMI_V5;
	mock_init(&r->mock, &config);
	r->fd = fds[0];
	assert_int_equal(pthread_create(&r->thread, NULL, serve, r), 0);
	assert_int_equal(uvmi_adopt(fds[1], &o, &r->s), 0);
	return r;
}

void rig_close(struct rig *r)
{
	uvmi_close(r->s);
	pthread_join(r->thread, NULL);
	close(r->fd);
}

void rig_free(struct rig *r)
{
	mock_free(&r->mock);
	free(r);
}

void rig_end(struct rig *r)
{
	rig_close(r);
	rig_free(r);
}

void wire_put(int fd, const void *data, size_t n)
{
	assert_int_equal(send(fd, data, n, MSG_NOSIGNAL), n);
}

void wire_greeting(int fd)
{
	const struct kvmi_qemu2introspector g = {
		.struct_size = sizeof(g), .uuid = {1, 2, 3}, .start_time = 77, .name = "wire"};

	wire_put(fd, &g, sizeof(g));
}

void wire_answer(struct wire *w, unsigned id, int err, const void *data, size_t n)
{
	const struct kvmi_error_code code = {.err = err};
	const struct kvmi_msg_hdr h = {
		.id = (u16)id, .size = (u16)(sizeof(code) + n), .seq = ++w->seq};

	wire_put(w->fd, &h, sizeof(h));
	wire_put(w->fd, &code, sizeof(code));
	if (n)
		wire_put(w->fd, data, n);
}

void wire_event(struct wire *w, u32 seq, unsigned event, unsigned vcpu, const void *extra, size_t n)
{
	const struct kvmi_event c5 = {
		.event = event, .vcpu = (u16)vcpu, .mode = 8, .regs.rip = 0x77};
	const struct kvmi_v6_event c6 = {.size = sizeof(c6),
		.event = (u8)event,
		.vcpu = (u16)vcpu,
		.mode = 8,
		.regs.rip = 0x77};
	const size_t size = w->v5 ? sizeof(c5) : sizeof(c6);
	const struct kvmi_msg_hdr h = {
		.id = w->v5 ? KVMI_EVENT : KVMI_V6_EVENT, .size = (u16)(size + n), .seq = seq};

	wire_put(w->fd, &h, sizeof(h));
	wire_put(w->fd, w->v5 ? (const void *)&c5 : &c6, size);
	if (n)
		wire_put(w->fd, extra, n);
}

struct wire wire_open(enum uvmi_dialect dialect, int timeout_ms)
{
	const struct uvmi_options o = {.dialect = dialect, .timeout_ms = timeout_ms};
	const u32 version[4] = {1, KVMI_KNOWN_COMMANDS, KVMI_KNOWN_EVENTS};
	struct wire w = {.v5 = dialect == UVMI_V5};
	int fds[2];

	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	w.fd = fds[0];
	wire_greeting(w.fd);
	wire_answer(&w, w.v5 ? KVMI_GET_VERSION : KVMI_V6_GET_VERSION, 0, version, sizeof(version));
	assert_int_equal(uvmi_adopt(fds[1], &o, &w.s), 0);
	wire_drain(&w);
	return w;
}

void wire_close(struct wire *w)
{
	uvmi_close(w->s);
	close(w->fd);
}

void wire_expect(struct wire *w, const void *data, size_t n)
{
	u8 bytes[9000];

	assert_in_range(n, 1, sizeof(bytes));
	assert_int_equal(recv(w->fd, bytes, n, MSG_DONTWAIT | MSG_WAITALL), n);
	assert_memory_equal(bytes, data, n);
}

/* Two digits for each byte; spaces and bars are for the eye. */
unsigned wire_bytes(const char *hex, u8 *bytes)
{
	unsigned n = 0;

	for (; *hex; hex++)
		if (*hex != ' ' && *hex != '|') {
			const char digits[3] = {hex[0], hex[1]};

			bytes[n++] = (u8)strtoul(digits, NULL, 16);
			hex++;
		}
	return n;
}

void wire_expect_hex(struct wire *w, const char *hex)
{
	u8 bytes[512];

	wire_expect(w, bytes, wire_bytes(hex, bytes));
}

void wire_drain(struct wire *w)
{
	u8 bytes[4096];

	while (recv(w->fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}
