/* SPDX-License-Identifier: MIT */
/* The bytes on the wire, and peers that send others than they should: libuvmi must say so, and neither hang nor crash. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rig.h"

#define SOON 100 /* ms; for what is never answered */

/* ---- what is sent ---- */

static void sends_v5(void **state)
{
	struct wire w = wire_open(DIALECT, 1000);
	const struct uvmi_page_access page = {.gpa = 0x123000, .access = 5};
	u8 bytes[16] = {0};
	u32 n = 0;

	wire_answer(&w, KVMI_CONTROL_EVENTS, 0, NULL, 0);
	assert_int_equal(uvmi_control_events(w.s, 1, UVMI_EVENT_CR, 1), 0);
	wire_expect_hex(&w, "11 00 08 00 02 00 00 00 | 01 00 00 00 02 00 00 00");
	wire_answer(&w, KVMI_CONTROL_EVENTS, 0, NULL, 0);
	assert_int_equal(uvmi_control_events(w.s, 1, UVMI_EVENT_PF, 1), 0);
	wire_expect_hex(&w, "11 00 08 00 03 00 00 00 | 01 00 00 00 42 00 00 00");
	wire_answer(&w, KVMI_CONTROL_CR, 0, NULL, 0);
	assert_int_equal(uvmi_control_cr(w.s, 1, 3, 1), 0);
	wire_expect_hex(&w, "12 00 08 00 04 00 00 00 | 01 00 01 00 03 00 00 00");
	wire_answer(&w, KVMI_SET_PAGE_ACCESS, 0, NULL, 0);
	assert_int_equal(uvmi_set_page_access(w.s, 0, &page, 1), 0);
	wire_expect_hex(&w, "0b 00 18 00 05 00 00 00 | 00 00 01 00 00 00 00 00 | 00 30 12 00 00 00 "
			    "00 00 05 00 00 00 00 00 00 00");
	wire_answer(&w, KVMI_READ_PHYSICAL, 0, bytes, sizeof(bytes));
	assert_int_equal(uvmi_read_physical(w.s, 0x1000, bytes, 16), 0);
	wire_expect_hex(
		&w, "0d 00 10 00 06 00 00 00 | 00 10 00 00 00 00 00 00 10 00 00 00 00 00 00 00");
	wire_answer(&w, KVMI_PAUSE_ALL_VCPUS, 0, "\2\0\0\0\0\0\0", 8);
	assert_int_equal(uvmi_pause_all_vcpus(w.s, &n), 0);
	assert_int_equal(n, 2);
	wire_expect_hex(&w, "1b 00 00 00 07 00 00 00");
	wire_close(&w);
}

static void sends_v6(void **state)
{
	struct wire w = wire_open(DIALECT, 1000);
	const struct uvmi_page_access page = {.gpa = 0x123000, .access = 5};
	u8 bytes[16] = {0};

	wire_answer(&w, KVMI_V6_CONTROL_EVENTS, 0, NULL, 0);
	assert_int_equal(uvmi_control_events(w.s, 1, UVMI_EVENT_SINGLESTEP, 1), 0);
	wire_expect_hex(
		&w, "09 00 10 00 02 00 00 00 | 01 00 00 00 00 00 00 00 | 0b 00 01 00 00 00 00 00");
	wire_answer(&w, KVMI_V6_CONTROL_MSR, 0, NULL, 0);
	assert_int_equal(uvmi_control_msr(w.s, 1, 0xc0000082, 1), 0);
	wire_expect_hex(
		&w, "0b 00 10 00 03 00 00 00 | 01 00 00 00 00 00 00 00 | 01 00 00 00 82 00 00 c0");
	wire_answer(&w, KVMI_V6_SET_PAGE_ACCESS, 0, NULL, 0);
	assert_int_equal(uvmi_set_page_access(w.s, 0, &page, 1), 0);
	wire_expect_hex(&w, "15 00 18 00 04 00 00 00 | 00 00 01 00 00 00 00 00 | 00 30 12 00 00 00 "
			    "00 00 05 00 00 00 00 00 00 00");
	wire_answer(&w, KVMI_V6_WRITE_PHYSICAL, 0, NULL, 0);
	assert_int_equal(uvmi_write_physical(w.s, 0x1000, bytes, 2), 0);
	wire_expect_hex(&w,
		"12 00 12 00 05 00 00 00 | 00 10 00 00 00 00 00 00 02 00 00 00 00 00 00 00 00 00");
	wire_answer(&w, KVMI_V6_PAUSE_VCPU, 0, NULL, 0);
	assert_int_equal(uvmi_pause_vcpu(w.s, 3, 1), 0);
	wire_expect_hex(
		&w, "07 00 10 00 06 00 00 00 | 03 00 00 00 00 00 00 00 | 01 00 00 00 00 00 00 00");
	wire_answer(&w, KVMI_V6_CONTROL_SINGLESTEP, 0, NULL, 0);
	assert_int_equal(uvmi_control_singlestep(w.s, 3, 1), 0);
	wire_expect_hex(
		&w, "3f 00 10 00 07 00 00 00 | 03 00 00 00 00 00 00 00 | 01 00 00 00 00 00 00 00");
	wire_close(&w);
}

static void sends_optional(void **state)
{
	struct wire w = wire_open(DIALECT, 1000);
	const struct uvmi_write_bitmap map = {.gpa = 0x1000, .bitmap = 0x80000001};

	wire_answer(&w, KVMI_V6_CONTROL_SPP, 0, NULL, 0);
	assert_int_equal(uvmi_control_spp(w.s, 1), 0);
	wire_expect_hex(&w, "18 00 08 00 02 00 00 00 | 01 00 00 00 00 00 00 00");
	wire_answer(&w, KVMI_V6_SET_PAGE_WRITE_BITMAP, 0, NULL, 0);
	assert_int_equal(uvmi_set_page_write_bitmap(w.s, 0, &map, 1), 0);
	wire_expect_hex(&w, "1a 00 18 00 03 00 00 00 | 00 00 01 00 00 00 00 00 | 00 10 00 00 00 00 "
			    "00 00 01 00 00 80 00 00 00 00");
	wire_answer(&w, KVMI_V6_SET_VE_INFO_PAGE, 0, NULL, 0);
	assert_int_equal(uvmi_set_ve_info_page(w.s, 1, 0x2000, 1), 0);
	wire_expect_hex(&w, "1c 00 18 00 04 00 00 00 | 01 00 00 00 00 00 00 00 | 00 20 00 00 00 00 "
			    "00 00 | 01 00 00 00 00 00 00 00");
	wire_answer(&w, KVMI_V6_DESTROY_EPT_VIEW, 0, NULL, 0);
	assert_int_equal(uvmi_destroy_ept_view(w.s, 5), 0);
	wire_expect_hex(&w, "2c 00 08 00 05 00 00 00 | 05 00 00 00 00 00 00 00");
	wire_answer(&w, KVMI_V6_CHANGE_GFN, 0, NULL, 0);
	assert_int_equal(uvmi_change_gfn(w.s, 1, 2, 3, 4), 0);
	wire_expect_hex(&w, "3c 00 20 00 06 00 00 00 | 01 00 00 00 00 00 00 00 | 02 00 00 00 00 00 "
			    "00 00 | 03 00 00 00 00 00 00 00 | 04 00 00 00 00 00 00 00");
	wire_answer(&w, KVMI_V6_ALLOC_GFN, 0, NULL, 0);
	assert_int_equal(uvmi_alloc_gfn(w.s, 9), 0);
	wire_expect_hex(
		&w, "29 00 10 00 07 00 00 00 | 00 00 00 00 00 00 00 00 | 09 00 00 00 00 00 00 00");
	wire_answer(&w, KVMI_V6_SWITCH_EPT_VIEW, 0, NULL, 0);
	assert_int_equal(uvmi_switch_ept_view(w.s, 1, 2), 0);
	wire_expect_hex(
		&w, "20 00 10 00 08 00 00 00 | 01 00 00 00 00 00 00 00 | 02 00 00 00 00 00 00 00");
	wire_close(&w);
}

static void replies_v5(void **state)
{
	struct wire w = wire_open(DIALECT, 1000);
	const struct kvmi_event_cr cr = {.cr = 3, .old_value = 0x1000, .new_value = 0x2000};
	struct uvmi_event e;

	wire_event(&w, 1, UVMI_EVENT_PAUSE_VCPU, 1, NULL, 0);
	wire_event(&w, 2, UVMI_EVENT_CR, 0, &cr, sizeof(cr));
	assert_int_equal(uvmi_next_event(w.s, &e, 1000), 0);
	assert_int_equal(uvmi_reply_continue(w.s, &e), 0);
	wire_expect_hex(&w, "18 00 08 00 01 00 00 00 | 00 00 00 00 0a 00 00 00");
	assert_int_equal(uvmi_next_event(w.s, &e, 1000), 0);
	assert_int_equal(e.u.cr.new_value, 0x2000);
	assert_int_equal(e.regs.rip, 0x77);
	assert_int_equal(uvmi_reply_continue(w.s, &e), 0);
	wire_expect_hex(
		&w, "18 00 10 00 02 00 00 00 | 00 00 00 00 01 00 00 00 00 20 00 00 00 00 00 00");
	wire_close(&w);
}

static void replies_v6(void **state)
{
	struct wire w = wire_open(DIALECT, 1000);
	const struct kvmi_v6_event_pf pf = {.gva = 1, .gpa = 0x1000, .access = 2, .view = 4};
	const struct uvmi_answer a = {
		.ctx_addr = 0x11, .ctx_size = 2, .ctx_data = "ab", .rep_complete = 1};
	u8 want[8 + 16 + 288 - 16] = {0};
	struct uvmi_event e;

	wire_event(&w, 7, UVMI_EVENT_PF, 1, &pf, sizeof(pf));
	assert_int_equal(uvmi_next_event(w.s, &e, 1000), 0);
	assert_int_equal(e.u.pf.access, 2);
	assert_int_equal(e.u.pf.view, 4);
	assert_int_equal(uvmi_reply(w.s, &e, &a), 0);
	assert_int_equal(wire_bytes("00 00 20 01 07 00 00 00 | 01 00 00 00 00 00 00 00 | 00 06 00 "
				    "00 00 00 00 00 |"
				    "11 00 00 00 00 00 00 00 | 02 00 00 00 00 01 00 00 | 61 62",
				 want),
		8 + 16 + 16 + 2);
	wire_expect(&w, want, sizeof(want));
	wire_close(&w);
}

/* ---- what is not accepted ---- */

static unsigned id_of_read(bool v5)
{
	return v5 ? KVMI_READ_PHYSICAL : KVMI_V6_READ_PHYSICAL;
}

static void over(struct wire *w, int error)
{
	struct uvmi_event e;
	u8 byte = 0;

	assert_int_equal(uvmi_read_physical(w->s, 0, &byte, 1), error);
	assert_int_equal(uvmi_next_event(w->s, &e, 0), error);
	assert_int_equal(uvmi_pause(w->s), error);
	wire_close(w);
}

static void answer_of_another_size(void **state)
{
	struct wire w = wire_open(DIALECT, 1000);
	u8 bytes[8] = {0};

	wire_answer(&w, id_of_read(V5), 0, bytes, 5);
	assert_int_equal(uvmi_read_physical(w.s, 0, bytes, 6), -EPROTO);
	over(&w, -EPROTO);

	w = wire_open(DIALECT, 1000);
	wire_answer(&w, id_of_read(V5), 0, "abcdefg", 7);
	assert_int_equal(uvmi_read_physical(w.s, 0, bytes, 6), V5 ? -EPROTO : 0);
	assert_int_equal(bytes[5], V5 ? 0 : 'f');
	assert_int_equal(bytes[6], 0); /* what is too much goes nowhere */
	wire_close(&w);
}

static void wrong_answers(void **state)
{
	const struct {
		unsigned id, size, seq;
		int err;
	} wrong[] = {
		{99, 8, 2, 0},             /* of another command */
		{id_of_read(V5), 8, 3, 0}, /* to a command that was not given */
		{id_of_read(V5), 8, 1, 0}, /* to one that was answered */
		{id_of_read(V5), 7, 2, 0}, /* no room for the error */
		{id_of_read(V5), 0, 2, 0}, {id_of_read(V5), 8, 2, 5},     /* no error at all */
		{id_of_read(V5), 8, 2, -5000}, {id_of_read(V5), 8, 2, 0}, /* no data */
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct wire w = wire_open(DIALECT, 1000);
		const struct kvmi_msg_hdr h = {
			.id = (u16)wrong[i].id, .size = (u16)wrong[i].size, .seq = wrong[i].seq};
		const struct kvmi_error_code code = {.err = wrong[i].err};
		u8 byte;

		wire_put(w.fd, &h, sizeof(h));
		if (h.size)
			wire_put(w.fd, &code, h.size);
		assert_int_equal(uvmi_read_physical(w.s, 0, &byte, 1), -EPROTO);
		over(&w, -EPROTO);
	}
}

static void errors(void **state)
{
	static const struct {
		int wire, got;
	} cases[] = {{-KVM_ENOSYS, -ENOSYS}, {-KVM_EPERM, -EPERM}, {-KVM_EACCES, -EACCES},
		{-KVM_EINVAL, -EINVAL}, {-KVM_EAGAIN, -EAGAIN}, {-KVM_ENOENT, -ENOENT},
		{-KVM_EBUSY, -EBUSY}, {-KVM_EOPNOTSUPP, -EOPNOTSUPP}, {-KVM_ENOMEM, -ENOMEM},
		{-KVM_EFAULT, -EFAULT}, {-KVM_E2BIG, -E2BIG}};
	struct wire w = wire_open(DIALECT, 1000);
	u8 byte = 7;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		wire_answer(&w, id_of_read(V5), cases[i].wire, NULL, 0);
		assert_int_equal(uvmi_read_physical(w.s, 0, &byte, 1), cases[i].got);
	}
	assert_int_equal(byte, 7);
	wire_close(&w);
}

static void wrong_events(void **state)
{
	/* Number of event, bytes behind the common part. */
	const unsigned wrong[][2] = {{UVMI_EVENT_CR, 23}, {UVMI_EVENT_PF, 16},
		{UVMI_EVENT_BREAKPOINT, 7}, {UVMI_EVENT_TRAP, 8}, {UVMI_EVENT_DESCRIPTOR, 7},
		{14, 0}, {200, 0}, {V5 ? UVMI_EVENT_SINGLESTEP : 14, 8},
		{V5 ? UVMI_EVENT_XSETBV : 14, 8}};
	const u8 zeros[64] = {0};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct wire w = wire_open(DIALECT, 1000);
		struct uvmi_event e;

		wire_event(&w, 1, wrong[i][0], 0, zeros, wrong[i][1]);
		assert_int_equal(uvmi_next_event(w.s, &e, 1000), -EPROTO);
		over(&w, -EPROTO);
	}
}

/* Of the common part of an event too. */
static void short_events(void **state)
{
	const u8 zeros[600] = {0};

	for (unsigned size = 0; size < (V5 ? 536 : 544); size += 67) {
		struct wire w = wire_open(DIALECT, 1000);
		const struct kvmi_msg_hdr h = {
			.id = V5 ? KVMI_EVENT : KVMI_V6_EVENT, .size = (u16)size, .seq = 1};
		struct uvmi_event e;

		wire_put(w.fd, &h, sizeof(h));
		wire_put(w.fd, zeros, size);
		assert_int_equal(uvmi_next_event(w.s, &e, 1000), -EPROTO);
		over(&w, -EPROTO);
	}
}

/* v6 says how long the common part is. */
static void grown_events(void **state)
{
	struct wire w = wire_open(DIALECT, 1000);
	struct {
		struct kvmi_msg_hdr h;
		struct kvmi_v6_event c;
		u64 new_field;
		struct kvmi_event_cr cr;
		u64 more;
	} m = {.h = {.id = KVMI_V6_EVENT, .size = sizeof(m) - sizeof(m.h), .seq = 9},
		.c = {.size = sizeof(m.c) + 8, .event = UVMI_EVENT_CR, .vcpu = 2},
		.cr = {.cr = 4, .new_value = 5}};
	struct uvmi_event e;

	wire_put(w.fd, &m, sizeof(m));
	assert_int_equal(uvmi_next_event(w.s, &e, 1000), 0);
	assert_int_equal(e.vcpu, 2);
	assert_int_equal(e.u.cr.cr, 4);
	assert_int_equal(e.u.cr.new_value, 5);
	m.c.size = 1000;
	wire_put(w.fd, &m, sizeof(m));
	assert_int_equal(uvmi_next_event(w.s, &e, 1000), -EPROTO);
	wire_close(&w);
}

/* Any bytes: an error, or nothing. */
static void garbage(void **state)
{
	srand(1);
	for (int round = 0; round < 300; round++) {
		struct wire w = wire_open(DIALECT, SOON);
		u8 bytes[700];
		struct uvmi_event e;

		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (u8)rand();
		if (round & 1) { /* beginning as an event does */
			const struct kvmi_msg_hdr h = {
				.id = V5 ? KVMI_EVENT : KVMI_V6_EVENT, .size = 560, .seq = 1};

			memcpy(bytes, &h, sizeof(h));
		}
		wire_put(w.fd, bytes, sizeof(bytes));
		shutdown(w.fd, SHUT_WR);
		while (uvmi_next_event(w.s, &e, 1000) == 0)
			;
		assert_true(uvmi_next_event(w.s, &e, 0) < 0);
		wire_close(&w);
	}
}

/* ---- what comes late, in pieces, or not at all ---- */

struct slow {
	int fd;
	const u8 *bytes;
	size_t n;
};

static void *write_slowly(void *arg)
{
	const struct slow *slow = arg;

	for (size_t i = 0; i < slow->n; i++) {
		if (send(slow->fd, slow->bytes + i, 1, MSG_NOSIGNAL) != 1)
			break;
		usleep(20);
	}
	return NULL;
}

/* Greeting, version, an event and an answer, as one stream. */
static size_t stream_of(bool v5, u8 *bytes)
{
	struct wire w = {.v5 = v5};
	const struct kvmi_event_cr cr = {.cr = 3, .new_value = 6};
	const u32 version[4] = {1};
	ssize_t n;
	int fds[2];

	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	w.fd = fds[0];
	wire_greeting(w.fd);
	wire_answer(&w, v5 ? KVMI_GET_VERSION : KVMI_V6_GET_VERSION, 0, version, sizeof(version));
	wire_event(&w, 1, UVMI_EVENT_CR, 0, &cr, sizeof(cr));
	wire_answer(&w, id_of_read(v5), 0, "xyz", 3);
	n = recv(fds[1], bytes, 4096, 0);
	close(fds[0]);
	close(fds[1]);
	assert_true(n > 600 && n < 4096);
	return (size_t)n;
}

static int talk(int fd, enum uvmi_dialect dialect, u8 data[3], struct uvmi_event *e)
{
	const struct uvmi_options o = {.dialect = dialect, .timeout_ms = 5000};
	struct uvmi *s;
	int r = uvmi_adopt(fd, &o, &s);

	if (r) {
		close(fd);
		return r;
	}
	r = uvmi_read_physical(s, 0, data, 3);
	if (!r)
		r = uvmi_next_event(s, e, 0);
	uvmi_close(s);
	return r;
}

static void byte_by_byte(void **state)
{
	u8 bytes[4096], data[3] = {0};
	struct uvmi_event e;
	struct slow slow = {.bytes = bytes, .n = stream_of(V5, bytes)};
	pthread_t thread;
	int fds[2];

	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	slow.fd = fds[0];
	assert_int_equal(pthread_create(&thread, NULL, write_slowly, &slow), 0);
	assert_int_equal(talk(fds[1], DIALECT, data, &e), 0);
	pthread_join(thread, NULL);
	close(fds[0]);
	assert_memory_equal(data, "xyz", 3);
	assert_int_equal(e.u.cr.new_value, 6);
}

static void death_at_any_byte(void **state)
{
	u8 bytes[4096], data[3];
	struct uvmi_event e;
	const size_t all = stream_of(V5, bytes);
	int fds[2];

	for (size_t n = 0; n <= all; n++) {
		assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		if (n)
			wire_put(fds[0], bytes, n);
		if (n & 1)
			shutdown(fds[0], SHUT_WR);
		else
			close(fds[0]);
		/* With the other side gone for good, its last bytes count only if they need no answer. */
		if (n < all)
			assert_int_equal(talk(fds[1], DIALECT, data, &e), -ENOTCONN);
		else
			talk(fds[1], DIALECT, data, &e);
		if (n & 1)
			close(fds[0]);
	}
}

/* The answer to the read comes when the session has begun, as the last bytes of the stream. */
#define LAST (sizeof(struct kvmi_msg_hdr) + sizeof(struct kvmi_error_code) + 3)

static int talk_in_two(const int fds[2], enum uvmi_dialect dialect, const u8 *bytes, size_t all)
{
	const struct uvmi_options o = {.dialect = dialect, .timeout_ms = SOON / 5};
	struct uvmi_event e;
	struct uvmi *s;
	u8 data[3];
	int r;

	wire_put(fds[0], bytes, all - LAST);
	r = uvmi_adopt(fds[1], &o, &s);
	if (r) {
		close(fds[1]);
		return r;
	}
	send(fds[0], bytes + all - LAST, LAST, MSG_NOSIGNAL); /* the session may be over */
	r = uvmi_read_physical(s, 0, data, 3);
	if (!r)
		r = uvmi_next_event(s, &e, 0);
	uvmi_close(s);
	return r;
}

/* One bit of a good stream is another: an error, or what that bit may well be; never a crash or a hang. */
static void mutations(void **state)
{
	u8 bytes[4096];
	const size_t size = stream_of(V5, bytes);
	unsigned good = 0, bad = 0;
	int fds[2], r;

	for (size_t n = 0; n < size; n++) {
		bytes[n] ^= (u8)(1u << n % 8);
		assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		r = talk_in_two(fds, DIALECT, bytes, size);
		assert_true(r <= 0 && r > -4096);
		good += r == 0;
		bad += r != 0;
		close(fds[0]);
		bytes[n] ^= (u8)(1u << n % 8);
	}
	/* Most bytes are registers and names; sizes, ids, numbers and errors are some forty. */
	assert_in_range(bad, 20, 80);
	assert_in_range(good, 500, size);
}

static void silence(void **state)
{
	const struct uvmi_options o = {.dialect = DIALECT, .timeout_ms = SOON};
	struct wire w = wire_open(DIALECT, SOON);
	struct uvmi *s;
	u8 byte = 0;
	int fds[2];

	assert_int_equal(uvmi_read_physical(w.s, 0, &byte, 1), -ETIMEDOUT);
	/* The answer comes after all, and is not taken for that to the next command. */
	wire_answer(&w, id_of_read(V5), 0, "a", 1);
	wire_answer(&w, id_of_read(V5), 0, "b", 1);
	assert_int_equal(uvmi_read_physical(w.s, 0, &byte, 1), 0);
	assert_int_equal(byte, 'b');
	wire_close(&w);

	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(uvmi_adopt(fds[1], &o, &s), -ETIMEDOUT); /* no greeting */
	wire_greeting(fds[0]);
	assert_int_equal(uvmi_adopt(fds[1], &o, &s), -ETIMEDOUT); /* no version */
	close(fds[0]);
	close(fds[1]);
}

/* It does not read either: what is sent has no room any more. */
static void deaf(void **state)
{
	struct wire w = wire_open(DIALECT, SOON);
	static u8 page[4096];
	int r;

	uvmi_set_timeout(w.s, 1);
	for (int i = 0; i < 200; i++) { /* each leaves a message in the socket */
		r = uvmi_write(w.s, 0, page, sizeof(page));
		assert_int_equal(r, -ETIMEDOUT);
	}
	wire_close(&w);
}

/* ---- what arrives while a command waits ---- */

static void events_meanwhile(void **state)
{
	struct wire w = wire_open(DIALECT, 1000);
	const struct kvmi_event_cr cr = {.cr = 3};
	struct uvmi_event e;
	u8 byte = 0;

	wire_event(&w, 5, UVMI_EVENT_CR, 0, &cr, sizeof(cr));
	wire_event(&w, 2, UVMI_EVENT_XSETBV, 1, NULL,
		0); /* the number of the command that is given now */
	wire_answer(&w, id_of_read(V5), 0, "q", 1);
	wire_event(&w, 6, UVMI_EVENT_HYPERCALL, 2, NULL, 0);
	assert_int_equal(uvmi_read_physical(w.s, 0, &byte, 1), 0);
	assert_int_equal(byte, 'q');
	assert_int_equal(uvmi_next_event(w.s, &e, 0), 0);
	assert_int_equal(e.seq, 5);
	assert_int_equal(uvmi_next_event(w.s, &e, 0), 0);
	assert_int_equal(e.event, UVMI_EVENT_XSETBV);
	assert_int_equal(uvmi_next_event(w.s, &e, 0), 0);
	assert_int_equal(e.vcpu, 2);
	assert_int_equal(uvmi_next_event(w.s, &e, 0), -ETIMEDOUT);
	wire_close(&w);
}

/* Answers of a long read in the wrong order. */
static void answers_out_of_order(void **state)
{
	struct wire w = wire_open(DIALECT, 1000);
	static u8 data[3 * 4096], page[4096];

	for (u32 seq = 4; seq >= 2; seq--) {
		memset(page, (int)seq, sizeof(page));
		w.seq = seq - 1;
		wire_answer(&w, id_of_read(V5), 0, page, sizeof(page));
	}
	assert_int_equal(uvmi_read(w.s, 0x1000, data, sizeof(data)), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(data[i * 4096 + 17], i + 2);
	wire_close(&w);
}

/* An answer that is well formed and says what cannot be ends the session, too. */
static void answers_that_cannot_be(void **state)
{
	const u32 vcpus[4] = {0x10001};
	struct kvmi_get_registers_reply reply = {.msrs = {.nmsrs = 1}};
	struct uvmi_registers registers;
	struct wire w = wire_open(DIALECT, 5000);

	wire_answer(&w, V5 ? KVMI_GET_GUEST_INFO : KVMI_V6_GET_GUEST_INFO, 0, vcpus, 16);
	assert_int_equal(uvmi_pause(w.s), -EPROTO);
	over(&w, -EPROTO);
	w = wire_open(DIALECT, 5000);
	wire_answer(&w, V5 ? KVMI_GET_REGISTERS : KVMI_V6_GET_REGISTERS, 0, &reply, sizeof(reply));
	assert_int_equal(uvmi_get_registers(w.s, 0, &registers, NULL, 0), -EPROTO);
	over(&w, -EPROTO);
}

static void too_many_events(void **state)
{
	struct wire w = wire_open(DIALECT, 1000);
	struct uvmi_event e;
	u8 byte;
	int r = -ETIMEDOUT;

	uvmi_set_timeout(w.s, 1);
	for (unsigned i = 0; i < 20000 && r == -ETIMEDOUT; i++) {
		wire_event(&w, i, UVMI_EVENT_XSETBV, i, NULL, 0);
		if (i % 50 == 49) { /* empties the socket */
			wire_drain(&w);
			r = uvmi_read_physical(w.s, 0, &byte, 1);
		}
	}
	assert_int_equal(r, -EPROTO);
	assert_int_equal(uvmi_next_event(w.s, &e, 0), 0); /* what came before is there */
	wire_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ONLY_V5(sends_v5),
		ONLY_V6(sends_v6),
		ONLY_V6(sends_optional),
		ONLY_V5(replies_v5),
		ONLY_V6(replies_v6),
		BOTH(answer_of_another_size),
		BOTH(wrong_answers),
		BOTH(errors),
		BOTH(wrong_events),
		BOTH(short_events),
		ONLY_V6(grown_events),
		BOTH(garbage),
		BOTH(byte_by_byte),
		BOTH(death_at_any_byte),
		BOTH(answers_that_cannot_be),
		BOTH(mutations),
		BOTH(silence),
		BOTH(deaf),
		BOTH(events_meanwhile),
		BOTH(answers_out_of_order),
		BOTH(too_many_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
