/* SPDX-License-Identifier: MIT */
/*
 * The tools of fuzz-kvmi: what they send is described field by field, so that it is right, mostly, and then perhaps spoilt. A
 * tool sends several messages at once, never waits for their answers, and reads what has come when it likes to. Spoilt ones close
 * most connections, so tools differ in how often they spoil: else none would live long.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz/kvmi_fuzz.h"

/* ---- messages ---- */

enum field_kind {
	F_VCPU = 1,
	F_GPA,
	F_ACCESS,
	F_COUNT,
	F_MSR,
	F_CR,
	F_MASK,
	F_VM_MASK,
	F_EVENT,
	F_BOOL,
	F_VIEW,
	F_SIZE,
	F_GFN,
	F_LEAF,
	F_NR,
	F_ID
};

struct field {
	u8 at, bytes, kind;
};

/* each: bytes of what comes as often as F_COUNT says. */
struct shape {
	u16 id, size, each;
	struct field field[5];
	bool harms;
};

static const struct shape v5_shapes[] = {
	{KVMI_GET_VERSION, 0},
	{KVMI_GET_GUEST_INFO, 8, 0, {{0, 2, F_VCPU}}},
	{KVMI_GET_REGISTERS, 8, 4, {{0, 2, F_VCPU}, {2, 2, F_COUNT}}},
	{KVMI_SET_REGISTERS, 152, 0, {{0, 2, F_VCPU}}, true},
	{KVMI_GET_PAGE_ACCESS, 8, 8, {{0, 2, F_VCPU}, {2, 2, F_COUNT}}},
	{KVMI_SET_PAGE_ACCESS, 8, 16, {{0, 2, F_VCPU}, {2, 2, F_COUNT}}},
	{KVMI_SET_PAGE_ACCESS, 8, 16, {{0, 2, F_VCPU}, {2, 2, F_COUNT}}},
	{KVMI_INJECT_EXCEPTION, 16, 0, {{0, 2, F_VCPU}, {2, 1, F_NR}, {3, 1, F_BOOL}}, true},
	{KVMI_READ_PHYSICAL, 16, 0, {{0, 8, F_GPA}, {8, 8, F_SIZE}}},
	{KVMI_WRITE_PHYSICAL, 16, 1, {{0, 8, F_GPA}, {8, 8, F_COUNT}}},
	{KVMI_GET_MAP_TOKEN, 0},
	{KVMI_CONTROL_EVENTS, 8, 0, {{0, 2, F_VCPU}, {4, 4, F_MASK}}},
	{KVMI_CONTROL_EVENTS, 8, 0, {{0, 2, F_VCPU}, {4, 4, F_MASK}}},
	{KVMI_CONTROL_CR, 8, 0, {{0, 2, F_VCPU}, {2, 1, F_BOOL}, {4, 4, F_CR}}},
	{KVMI_CONTROL_MSR, 8, 0, {{0, 2, F_VCPU}, {2, 1, F_BOOL}, {4, 4, F_MSR}}},
	{KVMI_GET_CPUID, 16, 0, {{0, 2, F_VCPU}, {8, 4, F_LEAF}}},
	{KVMI_GET_XSAVE, 8, 0, {{0, 2, F_VCPU}}},
	{KVMI_PAUSE_ALL_VCPUS, 0},
	{KVMI_CONTROL_VM_EVENTS, 8, 0, {{0, 4, F_VM_MASK}}},
};

static const struct shape v6_shapes[] = {
	{KVMI_V6_GET_VERSION, 0},
	{KVMI_V6_CHECK_COMMAND, 8, 0, {{0, 2, F_ID}}},
	{KVMI_V6_CHECK_EVENT, 8, 0, {{0, 2, F_ID}}},
	{KVMI_V6_GET_GUEST_INFO, 0},
	{KVMI_V6_GET_VCPU_INFO, 8, 0, {{0, 2, F_VCPU}}},
	{KVMI_V6_PAUSE_VCPU, 16, 0, {{0, 2, F_VCPU}, {8, 1, F_BOOL}}},
	{KVMI_V6_CONTROL_VM_EVENTS, 8, 0, {{0, 2, F_EVENT}, {2, 1, F_BOOL}}},
	{KVMI_V6_CONTROL_EVENTS, 16, 0, {{0, 2, F_VCPU}, {8, 2, F_EVENT}, {10, 1, F_BOOL}}},
	{KVMI_V6_CONTROL_EVENTS, 16, 0, {{0, 2, F_VCPU}, {8, 2, F_EVENT}, {10, 1, F_BOOL}}},
	{KVMI_V6_CONTROL_EVENTS, 16, 0, {{0, 2, F_VCPU}, {8, 2, F_EVENT}, {10, 1, F_BOOL}}},
	{KVMI_V6_CONTROL_CR, 16, 0, {{0, 2, F_VCPU}, {8, 1, F_BOOL}, {12, 4, F_CR}}},
	{KVMI_V6_CONTROL_MSR, 16, 0, {{0, 2, F_VCPU}, {8, 1, F_BOOL}, {12, 4, F_MSR}}},
	{KVMI_V6_GET_REGISTERS, 16, 4, {{0, 2, F_VCPU}, {8, 2, F_COUNT}}},
	{KVMI_V6_SET_REGISTERS, 152, 0, {{0, 2, F_VCPU}}, true},
	{KVMI_V6_GET_CPUID, 16, 0, {{0, 2, F_VCPU}, {8, 4, F_LEAF}}},
	{KVMI_V6_GET_XSAVE, 8, 0, {{0, 2, F_VCPU}}},
	{KVMI_V6_READ_PHYSICAL, 16, 0, {{0, 8, F_GPA}, {8, 8, F_SIZE}}},
	{KVMI_V6_WRITE_PHYSICAL, 16, 1, {{0, 8, F_GPA}, {8, 8, F_COUNT}}},
	{KVMI_V6_INJECT_EXCEPTION, 24, 0, {{0, 2, F_VCPU}, {8, 1, F_NR}}, true},
	{KVMI_V6_GET_PAGE_ACCESS, 8, 8, {{0, 2, F_VIEW}, {2, 2, F_COUNT}}},
	{KVMI_V6_SET_PAGE_ACCESS, 8, 16, {{0, 2, F_VIEW}, {2, 2, F_COUNT}}},
	{KVMI_V6_SET_PAGE_ACCESS, 8, 16, {{0, 2, F_VIEW}, {2, 2, F_COUNT}}},
	{KVMI_V6_GET_MAP_TOKEN, 0},
	{KVMI_V6_GET_MTRR_TYPE, 16, 0, {{0, 2, F_VCPU}, {8, 8, F_GPA}}},
	{KVMI_V6_CONTROL_CMD_RESPONSE, 8, 0, {{0, 1, F_BOOL}, {1, 1, F_BOOL}, {2, 1, F_BOOL}}},
	{KVMI_V6_GET_MAX_GFN, 0},
	{KVMI_V6_GET_RAM, 0},
	{KVMI_V6_GET_NEXT_AVAILABLE_GFN, 0},
	{KVMI_V6_SWITCH_EPT_VIEW, 16, 0, {{0, 2, F_VCPU}, {8, 2, F_VIEW}}},
	{KVMI_V6_GET_EPT_VIEW, 8, 0, {{0, 2, F_VCPU}}},
	{KVMI_V6_TRANSLATE_GVA, 16, 0, {{0, 2, F_VCPU}, {8, 8, F_GPA}}},
	{KVMI_V6_GET_XCR, 16, 0, {{0, 2, F_VCPU}}},
	{KVMI_V6_SET_XSAVE, 8 + 832, 0, {{0, 2, F_VCPU}}, true},
	{KVMI_V6_QUERY_PHYSICAL, 8, 0, {{0, 8, F_GFN}}},
	{KVMI_V6_CREATE_EPT_VIEW, 0},
	{KVMI_V6_DESTROY_EPT_VIEW, 8, 0, {{0, 2, F_VIEW}}},
	{KVMI_V6_CHANGE_GFN, 32, 0,
		{{0, 2, F_VCPU}, {8, 2, F_VIEW}, {16, 8, F_GFN}, {24, 8, F_GFN}}},
	{KVMI_V6_CONTROL_SINGLESTEP, 16, 0, {{0, 2, F_VCPU}, {8, 1, F_BOOL}}},
	{KVMI_V6_CONTROL_SPP, 8},
	{KVMI_V6_SET_PAGE_SVE, 16},
	{KVMI_V6_ALLOC_GFN, 16, 0, {{0, 2, F_VCPU}, {8, 8, F_GFN}}},
};

/* ---- a tool ---- */

struct pending {
	u32 seq, event;
	u16 vcpu;
	u64 value; /* of CR, MSR */
	struct kvm_regs regs;
};
#define PENDING 64

struct tool {
	struct play *p;
	int fd;
	bool v6, closed;
	bool loose; /* the server may have taken it for another one */
	struct pending pending[PENDING];
	unsigned pending_count;
	unsigned waited; /* so often in a row for nothing */
	u32 seq;
	unsigned mess;    /* how often it spoils, of a thousand */
	unsigned at_once; /* how much it does before it sends it, */
	unsigned talks;   /* and how much of that are commands, of a hundred */
	u8 in[1 << 18];
	size_t in_size;
	u8 out[8 + 65536];   /* a message */
	u8 burst[4 * 65536]; /* messages that go out together */
	size_t burst_size;
};

static bool spoils(struct tool *t, unsigned weight)
{
	return with(GARBAGE) && below(t->p, 1000) < t->mess * weight;
}

static void receive(struct tool *t, int ms);

#define FULL_MS 200

/* The server has something to do, or waits for us to read. It gets FULL_MS, then it is taken for one that reads no more. */
static void await_room(struct tool *t)
{
	struct pollfd wait = {.fd = t->fd, .events = POLLOUT};

	for (unsigned ms = 0; !t->closed && ms < FULL_MS; ms++) {
		receive(t, 0);
		if (poll(&wait, 1, 1) > 0)
			return;
	}
	t->closed = true;
}

/* What is left of a message that was begun makes no sense to who has closed. */
static void send_burst(struct tool *t)
{
	size_t done = 0;

	while (done < t->burst_size && !t->closed) {
		const size_t left = t->burst_size - done;
		const size_t n = chance(t->p, 5) ? 1 + below(t->p, left) : left;
		const ssize_t r = send(t->fd, t->burst + done, n, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (r > 0)
			done += (size_t)r;
		else if (r < 0 && errno == EAGAIN)
			await_room(t);
		else if (!r || errno != EINTR)
			t->closed = true;
	}
	t->burst_size = 0;
}

static void send_message(struct tool *t, u16 id, u16 size, u32 seq, size_t n)
{
	const struct kvmi_msg_hdr h = {id, size, seq};

	memcpy(t->out, &h, sizeof(h));
	count_step();
	tell("send id %u size %u seq %u", id, size, seq);
	if (t->burst_size + sizeof(h) + n > sizeof(t->burst))
		send_burst(t);
	memcpy(t->burst + t->burst_size, t->out, sizeof(h) + n);
	t->burst_size += sizeof(h) + n;
}

static u64 some_gpa(struct play *p)
{
	if (!p->gentle && chance(p, 10))
		return chance(p, 50) ? below(p, BOX_RAM) : rnd_edge(&p->r);
	return AT_SHARED + below(p, SHARED_PAGES * 4096);
}

/* For rights: also what nobody but the guest writes to. */
static u64 some_page(struct play *p)
{
	switch (below(p, 12)) {
	case 0: return AT_CODE + below(p, KVMI_VCPUS) * CODE_BYTES;
	case 1: return AT_COUNTS;
	case 2: return AT_FUNCTION;
	default: return some_gpa(p);
	}
}

static u64 some_value(struct play *p, u8 kind)
{
	static const u32 crs[] = {0, 3, 4, 4, 2},
			 msrs[] = {0x174, 0x175, 0x176, 0xc0000080, 0x10, 0x2000};

	switch (kind) {
	case F_VCPU: return chance(p, 97) ? below(p, KVMI_VCPUS) : rnd_edge(&p->r);
	case F_GPA: return some_gpa(p);
	case F_ACCESS: return chance(p, 97) ? below(p, 8) : rnd(&p->r);
	case F_COUNT: return chance(p, 95) ? 1 + below(p, 8) : below(p, 500);
	case F_MSR: return RND_OF(&p->r, msrs);
	case F_CR: return RND_OF(&p->r, crs);
	case F_MASK: return chance(p, 90) ? rnd(&p->r) & KVMI_KNOWN_VCPU_EVENTS : rnd(&p->r);
	case F_VM_MASK: return chance(p, 90) ? rnd(&p->r) & KVMI_KNOWN_VM_EVENTS : rnd(&p->r);
	case F_EVENT: return chance(p, 95) ? below(p, 14) : rnd(&p->r);
	case F_BOOL: return chance(p, 60);
	case F_VIEW: return with(VIEWS) && chance(p, 40) ? below(p, 5) : 0;
	case F_SIZE: return chance(p, 90) ? 1 + below(p, 64) : rnd_edge(&p->r);
	case F_GFN: return (AT_SHARED >> 12) + below(p, SHARED_PAGES);
	case F_LEAF: return chance(p, 50) ? below(p, 32) : rnd_edge(&p->r);
	case F_NR: return chance(p, 90) ? below(p, 32) : rnd(&p->r);
	default: return below(p, 70);
	}
}

/* What is there count times: gpas, accesses, MSRs. */
static void fill_items(struct play *p, const struct shape *s, u8 *at, u64 count)
{
	for (u64 i = 0; i < count; i++, at += s->each) {
		u64 value = s->each == 4   ? some_value(p, F_MSR)
			    : s->each == 1 ? rnd(&p->r)
					   : some_page(p);

		memcpy(at, &value, MIN(s->each, (u16)8));
		if (s->each == 16) {
			memset(at + 8, 0, 8);
			at[8] = (u8)some_value(p, F_ACCESS);
		}
	}
}

static size_t fill(struct play *p, const struct shape *s, u8 *payload)
{
	u64 count = 0;

	memset(payload, 0, s->size);
	if (s->harms && s->size > 100)
		for (unsigned i = 8; i < s->size; i++)
			payload[i] = (u8)rnd(&p->r);
	for (unsigned i = 0; i < ARRAY_SIZE(s->field) && s->field[i].kind; i++) {
		u64 value = some_value(p, s->field[i].kind);

		memcpy(payload + s->field[i].at, &value, s->field[i].bytes);
		if (s->field[i].kind == F_COUNT)
			count = value;
	}
	fill_items(p, s, payload + s->size, count);
	return s->size + count * s->each;
}

/* Sizes that do not fit, and bytes that should be something else. */
static size_t spoil(struct play *p, u8 *payload, size_t n)
{
	switch (below(p, p->gentle ? 2 : 4)) {
	case 0: return below(p, n + 1);
	case 1: return MIN(n + 1 + below(p, 32), (size_t)65535);
	case 2:
		for (unsigned k = 0; k < 3 && n; k++)
			payload[below(p, n)] = (u8)rnd_edge(&p->r);
		return n;
	default:
		for (size_t i = 0; i < n; i++)
			payload[i] = (u8)rnd(&p->r);
		return n;
	}
}

static void send_unknown(struct tool *t)
{
	struct play *p = t->p;
	const u16 id = p->gentle ? 45 + (u16)below(p, 15) : (u16)rnd_edge(&p->r);
	const u16 n = (u16)below(p, chance(p, 90) ? 64 : 65536);

	memset(t->out + 8, 0, n);
	send_message(t, id, n, ++t->seq, n);
}

static void send_command(struct tool *t)
{
	struct play *p = t->p;
	const struct shape *s = t->v6 ? &RND_OF(&p->r, v6_shapes) : &RND_OF(&p->r, v5_shapes);
	size_t n;

	if (s->harms && p->gentle)
		return;
	n = fill(p, s, t->out + 8);
	if (spoils(t, 2))
		n = spoil(p, t->out + 8, n);
	if (spoils(t, 1)) /* the header promises something else */
		send_message(t, s->id, (u16)below(p, 65536), ++t->seq, n);
	else
		send_message(t, s->id, (u16)n, ++t->seq, n);
}

static bool is_control(const struct tool *t, u16 id)
{
	static const u16 v5[] = {KVMI_CONTROL_EVENTS, KVMI_CONTROL_CR, KVMI_CONTROL_MSR,
		KVMI_SET_PAGE_ACCESS},
			 v6[] = {KVMI_V6_CONTROL_EVENTS, KVMI_V6_CONTROL_CR, KVMI_V6_CONTROL_MSR,
				 KVMI_V6_SET_PAGE_ACCESS};

	for (unsigned i = 0; i < ARRAY_SIZE(v5); i++)
		if (id == (t->v6 ? v6[i] : v5[i]))
			return true;
	return false;
}

/* Most tools begin with what makes events. */
static void send_control(struct tool *t)
{
	struct play *p = t->p;
	const struct shape *s;
	size_t n;

	do
		s = t->v6 ? &RND_OF(&p->r, v6_shapes) : &RND_OF(&p->r, v5_shapes);
	while (!is_control(t, s->id));
	n = fill(p, s, t->out + 8);
	for (unsigned i = 0; i < ARRAY_SIZE(s->field); i++)
		if (s->field[i].kind == F_BOOL)
			t->out[8 + s->field[i].at] = 1;
	if (s->id == KVMI_CONTROL_EVENTS && !t->v6)
		memcpy(t->out + 12, &(u32){KVMI_KNOWN_VCPU_EVENTS}, 4);
	send_message(t, s->id, (u16)n, ++t->seq, n);
}

/* ---- answers ---- */

static struct pending take_pending(struct tool *t)
{
	const unsigned n = (unsigned)below(t->p, t->pending_count);
	const struct pending e = t->pending[n];

	t->pending[n] = t->pending[--t->pending_count];
	return e;
}

/* CR and MSR have only CONTINUE; all else makes the guest's instruction fail. */
static u32 some_action(struct play *p, const struct pending *e)
{
	if (!p->gentle && chance(p, 1))
		return KVMI_EVENT_ACTION_CRASH;
	if (!p->gentle && chance(p, 2))
		return (u32)rnd(&p->r);
	if (p->gentle && (e->event == KVMI_EVENT_CR || e->event == KVMI_EVENT_MSR))
		return KVMI_EVENT_ACTION_CONTINUE;
	return chance(p, 70) ? KVMI_EVENT_ACTION_CONTINUE : KVMI_EVENT_ACTION_RETRY;
}

static size_t fill_pf(struct play *p, bool v6, u8 *at)
{
	const u32 size = chance(p, 30) ? (u32)below(p, 257) : 0;
	const size_t head = v6 ? 16 : 8;
	const u64 gva = some_gpa(p);

	memset(at, 0, head + 256);
	for (u32 i = 0; i < size; i++)
		at[head + i] = (u8)rnd(&p->r);
	if (v6)
		memcpy(at, &gva, 8);
	memcpy(at + (v6 ? 8 : 4), &size, 4);
	at[v6 ? 12 : 0] = chance(p, 40);
	at[v6 ? 13 : 1] = chance(p, 20);
	return head + 256;
}

static size_t fill_answer(struct tool *t, const struct pending *e, u8 *at)
{
	struct play *p = t->p;
	const u32 action = some_action(p, e);
	size_t n = t->v6 ? 16 : 8;

	memset(at, 0, n);
	if (t->v6) {
		memcpy(at, &e->vcpu, 2);
		at[8] = (u8)action;
		at[9] = (u8)e->event;
	} else {
		memcpy(at, &action, 4);
		memcpy(at + 4, &e->event, 4);
	}
	if (e->event == KVMI_EVENT_CR || e->event == KVMI_EVENT_MSR) {
		u64 value = p->gentle || chance(p, 80) ? e->value : rnd_edge(&p->r);

		memcpy(at + n, &value, 8);
		n += 8;
	}
	return e->event == KVMI_EVENT_PF ? n + fill_pf(p, t->v6, at + n) : n;
}

/* Registers as they are, or in a case that is not gentle others. */
static void set_registers(struct tool *t, const struct pending *e)
{
	struct play *p = t->p;
	struct kvm_regs r = e->regs;

	if (!p->gentle)
		((u64 *)&r)[below(p, 18)] = rnd_edge(&p->r);
	memset(t->out + 8, 0, 8);
	memcpy(t->out + 8, &e->vcpu, 2);
	memcpy(t->out + 16, &r, sizeof(r));
	send_message(t, t->v6 ? KVMI_V6_SET_REGISTERS : KVMI_SET_REGISTERS, 152, ++t->seq, 152);
}

static void send_answer(struct tool *t)
{
	struct play *p = t->p;
	struct pending e;
	size_t n;

	if (!t->pending_count)
		return;
	e = take_pending(t);
	if (chance(p, 10))
		set_registers(t, &e);
	n = fill_answer(t, &e, t->out + 8);
	if (!p->gentle && spoils(t, 3))
		n = spoil(p, t->out + 8, n);
	else if (spoils(t, 2))
		e.seq += (u32)below(p, 3);
	send_message(t, t->v6 ? KVMI_V6_EVENT_REPLY : KVMI_EVENT_REPLY, (u16)n, e.seq, n);
	if (spoils(t, 1)) /* once more */
		send_message(t, t->v6 ? KVMI_V6_EVENT_REPLY : KVMI_EVENT_REPLY, (u16)n, e.seq, n);
}

/* ---- what comes ---- */

static bool known_error(s32 err)
{
	static const u16 errors[] = {0, KVM_ENOSYS, KVM_E2BIG, KVM_EBUSY, KVM_EFAULT, KVM_EPERM,
		KVM_ENOENT, KVM_EINVAL, KVM_EOPNOTSUPP, KVM_ENOMEM, KVM_EAGAIN, KVM_EACCES};

	for (unsigned i = 0; i < ARRAY_SIZE(errors); i++)
		if (err == -(s32)errors[i])
			return true;
	return false;
}

static bool waits_for_answer(u32 event)
{
	return event != KVMI_EVENT_UNHOOK && event != KVMI_V6_EVENT_CMD_ERROR;
}

static void check_event(struct tool *t, u32 seq, const u8 *p, u16 size)
{
	struct pending e = {.seq = seq};
	const size_t common = t->v6 ? 544 : 536;

	if (size < common || size > common + 24)
		finding("an event of %u bytes", size);
	e.event = t->v6 ? p[4] : p[0];
	memcpy(&e.vcpu, p + (t->v6 ? 2 : 4), 2);
	memcpy(&e.regs, p + (t->v6 ? 16 : 8), sizeof(e.regs));
	if (e.event >= (t->v6 ? (u32)KVMI_V6_NUM_EVENTS : (u32)KVMI_NUM_EVENTS) ||
		e.vcpu >= KVMI_VCPUS)
		finding("event %u of vcpu %u", e.event, e.vcpu);
	if (e.event == KVMI_EVENT_CR || e.event == KVMI_EVENT_MSR)
		memcpy(&e.value, p + common + 16, 8);
	tell("event %u seq %u vcpu %u rip 0x%llx", e.event, seq, e.vcpu, (long long)e.regs.rip);
	if (waits_for_answer(e.event) && t->pending_count < PENDING)
		t->pending[t->pending_count++] = e;
}

static void check_reply(const u8 *p, u16 id, u16 size)
{
	s32 err;
	u32 padding;

	if (size < 8)
		finding("a reply to %u of %u bytes", id, size);
	memcpy(&err, p, 4);
	memcpy(&padding, p + 4, 4);
	if (!known_error(err) || padding || (err && size != 8))
		finding("a reply to %u of %u bytes, error %d, padding 0x%x", id, size, err,
			padding);
	tell("reply to %u: %d", id, err);
}

/* Returns the bytes of the first message in the buffer, or 0. */
static size_t take_message(struct tool *t, const u8 *at, size_t n)
{
	struct kvmi_msg_hdr h;

	if (n < sizeof(h))
		return 0;
	memcpy(&h, at, sizeof(h));
	if (n < sizeof(h) + h.size)
		return 0;
	if (t->loose)
		return sizeof(h) + h.size;
	if (h.id == (t->v6 ? (u16)KVMI_V6_EVENT : (u16)KVMI_EVENT) && h.size != 8)
		check_event(t, h.seq, at + sizeof(h), h.size);
	else
		check_reply(at + sizeof(h), h.id, h.size);
	return sizeof(h) + h.size;
}

static void receive(struct tool *t, int ms)
{
	struct pollfd wait = {.fd = t->fd, .events = POLLIN};
	ssize_t r = recv(t->fd, t->in + t->in_size, sizeof(t->in) - t->in_size, MSG_DONTWAIT);
	size_t done = 0, n;

	if (r < 0 && errno == EAGAIN && poll(&wait, 1, ms) > 0)
		r = recv(t->fd, t->in + t->in_size, sizeof(t->in) - t->in_size, MSG_DONTWAIT);
	if (!r || (r < 0 && errno != EAGAIN && errno != EINTR))
		t->closed = true;
	if (r <= 0)
		return;
	t->in_size += (size_t)r;
	while ((n = take_message(t, t->in + done, t->in_size - done)))
		done += n;
	memmove(t->in, t->in + done, t->in_size - done);
	t->in_size -= done;
}

/* ---- sessions ---- */

static int hook(struct play *p, u32 commands, u32 events)
{
	struct kvm_introspection how = {.commands = commands, .events = events};
	int pair[2];
	long r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		finding("no sockets");
	how.fd = pair[0];
	progress("KVM_INTROSPECTION_HOOK");
	do
		r = box_do(&p->box, p->box.vm, KVM_INTROSPECTION_HOOK, &how);
	while (r == -EINTR);
	if (r)
		finding("the hook is refused: %ld", r);
	close(pair[0]);
	return pair[1];
}

static void begin(struct tool *t)
{
	struct play *p = t->p;

	t->loose = with(GARBAGE) && !p->gentle && chance(p, 5);
	if (t->loose)
		return; /* says nothing that tells what it speaks */
	send_message(t, t->v6 ? KVMI_V6_GET_VERSION : KVMI_GET_VERSION, 0, ++t->seq, 0);
	for (unsigned n = chance(p, 80) ? 30 : 0; n; n--)
		send_control(t);
}

static void one_act(struct tool *t)
{
	struct play *p = t->p;

	if (with(REPLIES) && chance(p, 80))
		send_answer(t);
	if (chance(p, t->talks))
		send_command(t);
	if (spoils(t, 1))
		send_unknown(t);
}

/* Who has nothing to answer waits for an event for a millisecond, and rarely where none has come for some time. */
static bool waits(struct tool *t)
{
	if (t->pending_count)
		t->waited = 0;
	return !t->pending_count && chance(t->p, t->waited++ < 16 ? 90 : 3);
}

/* The VMM waits until the tool can be asked, and that is we: so there must be room. */
static void unhook(struct tool *t)
{
	for (unsigned n = 0; n < 4; n++)
		receive(t, 0);
	box_do(&t->p->box, t->p->box.vm, KVM_INTROSPECTION_UNHOOK, NULL);
}

static void one_step(struct tool *t)
{
	struct play *p = t->p;

	progress("a tool's step");
	for (u64 n = 1 + below(p, t->at_once); n; n--)
		one_act(t);
	send_burst(t);
	if (with(UNHOOKS) && chance(p, 1) && !p->closing)
		unhook(t);
	if (chance(p, 80))
		receive(t, waits(t));
	if (chance(p, 1))
		usleep((unsigned)below(p, 1000));
}

void tool_session(struct play *p)
{
	static struct tool t;
	unsigned steps = chance(p, 10) ? (unsigned)below(p, 4) : (unsigned)below(p, 800);
	u32 mask = chance(p, 80) ? ~0u : (u32)rnd(&p->r);

	static const unsigned mess[] = {0, 1, 5, 20}, at_once[] = {1, 2, 8, 32},
			      talks[] = {5, 20, 80};

	memset(&t, 0, offsetof(struct tool, in));
	t.in_size = t.burst_size = 0;
	t.p = p;
	t.mess = RND_OF(&p->r, mess);
	t.at_once = RND_OF(&p->r, at_once);
	t.talks = RND_OF(&p->r, talks);
	t.v6 = chance(p, 60);
	t.fd = hook(p, mask, chance(p, 80) ? ~0u : (u32)rnd(&p->r));
	p->hooked = true;
	tell("a tool of V%u", t.v6 ? 6 : 5);
	begin(&t);
	send_burst(&t);
	while (steps-- && !t.closed)
		one_step(&t);
	if (with(DEATHS) && chance(p, 30))
		shutdown(t.fd, (int)below(p, 3));
	close(t.fd);
}

/* ---- after all of them ---- */

static void exactly(struct tool *t, u8 *to, size_t n)
{
	for (size_t done = 0; done < n;) {
		const ssize_t r = recv(t->fd, to + done, n - done, 0);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			finding("the connection of a tool that only asks is closed");
		done += (size_t)r;
	}
}

/* Has the pages that tools restrict; in V6, where no vcpu need answer. */
void tool_check_rights(struct play *p)
{
	static struct tool t;
	const u16 n = SHARED_PAGES + 1;
	u8 in[64];

	memset(&t, 0, sizeof(t));
	t.p = p;
	t.fd = hook(p, ~0u, ~0u);
	send_message(&t, KVMI_V6_GET_VERSION, 0, 0, 0);
	send_burst(&t);
	exactly(&t, in, 32); /* of GET_VERSION */
	memset(t.out + 8, 0, 8);
	memcpy(t.out + 10, &n, 2);
	for (u64 i = 0; i < n; i++) {
		const u64 gpa = AT_SHARED + i * 4096;

		memcpy(t.out + 16 + 8 * i, &gpa, 8);
	}
	progress("the rights of pages are asked for");
	send_message(&t, KVMI_V6_GET_PAGE_ACCESS, 8 + 8 * n, 1, 8 + 8 * n);
	send_burst(&t);
	exactly(&t, in, 16 + n);
	for (unsigned i = 0; i < n; i++)
		if (in[16 + i] != 7)
			finding("page %u has the access rights %u after the tool has gone", i,
				in[16 + i]);
	close(t.fd);
}
