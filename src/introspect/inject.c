/* SPDX-License-Identifier: MIT */
/*
 * See inject.h. An exception counts as raised by the instruction at rip: so if the tool asks for it while that instruction is
 * being asked about, the instruction is not executed. Only INT3, which itself raises one, is quicker, and the tool's is lost.
 */
#include "introspect/inject.h"

#include "introspect/event.h"
#include "introspect/vcpu.h"

#define VECTOR_NMI 2
#define VECTOR_BP  3
#define VECTOR_PF  14

/* Of KVMI_EVENT_TRAP, as VMX has them (SDM 3:24.8.3). */
#define TYPE_INTERRUPT 0x000
#define TYPE_HARDWARE  0x300
#define TYPE_SOFTWARE  0x600

bool inject_has_error(u8 vector)
{
	const u32 all = BIT(8) | BIT(10) | BIT(11) | BIT(12) | BIT(13) | BIT(14) | BIT(17) |
			BIT(21) | BIT(29) | BIT(30);

	return vector < 32 && (all & BIT(vector));
}

/* Of 48 bits (SDM 1:3.3.7.1) */
static bool canonical(u64 address)
{
	return (u64)((s64)(address << 16) >> 16) == address;
}

/* The VMM may have taken it away. */
static bool is_on_way(struct watched *w)
{
	struct vcpu_state s;

	if (!w->injection.on_way)
		return false;
	vcpu_get(w->v, ST_EVENT, &s);
	return s.events.exception.pending || s.events.exception.injected;
}

int inject_ask(struct watched *w, u8 vector, bool has_error, u32 error, u64 address)
{
	if (vector > 31 || vector == VECTOR_NMI || (vector == VECTOR_PF && !canonical(address)))
		return -KVM_EINVAL;
	if (w->injection.waits || is_on_way(w))
		return -KVM_EBUSY;
	w->injection = (struct injection){.waits = true,
		.vector = vector,
		.has_error = has_error || vector == VECTOR_PF,
		.error = error,
		.address = address};
	return 0;
}

/* ---- what becomes of it ---- */

static void tell(struct watched *w, u8 vector, u32 type, u32 error, u64 cr2)
{
	const struct tool_event r = {.event = KVMI_V6_EVENT_TRAP,
		.trap = {.vector = vector, .type = type, .error_code = error, .cr2 = cr2}};
	struct reply a;

	if (w->events & BIT(KVMI_V6_EVENT_TRAP))
		event_ask(w, &r, 0, &a);
}

/* The later dialect's tools are told of each delivery, the first one's only of what came instead. */
static bool is_told(const struct watched *w, u8 vector)
{
	const struct session *s = w->owner->session;

	return s && (s->dialect != &kvmi_v5 || vector != w->injection.vector);
}

enum tap_verdict inject_delivers(struct watched *w, struct tap_event *e)
{
	const u8 vector = e->exception.vector;

	if (!w->injection.on_way)
		return TAP_GO_ON;
	w->injection.on_way = false;
	if (is_told(w, vector))
		tell(w, vector, vector == VECTOR_BP || vector == 4 ? TYPE_SOFTWARE : TYPE_HARDWARE,
			e->exception.error, vector == VECTOR_PF ? e->exception.payload : 0);
	return TAP_GO_ON;
}

/* ---- giving it to the engine ---- */

static void give(struct watched *w)
{
	const struct injection *in = &w->injection;
	struct vcpu_state s;

	vcpu_get(w->v, ST_EVENT, &s);
	if (s.events.exception.injected || s.events.exception.pending) {
		tell(w, s.events.exception.vector, TYPE_HARDWARE, s.events.exception.error,
			s.events.exception.payload);
		return;
	}
	if (s.events.interrupt.injected) {
		tell(w, s.events.interrupt.vector, TYPE_INTERRUPT, 0, 0);
		return;
	}
	s.events.exception.pending = true;
	s.events.exception.vector = in->vector;
	s.events.exception.has_error = in->has_error;
	s.events.exception.error = in->error;
	s.events.exception.has_payload = in->vector == VECTOR_PF;
	s.events.exception.payload = in->vector == VECTOR_PF ? in->address : 0;
	w->injection.on_way = !vcpu_set(w->v, ST_EVENT, &s);
}

/* No instruction is asked about, or it is over. */
static bool is_between(const struct tap_event *e)
{
	return e->kind == TAP_PAUSE || e->kind == TAP_BIRTH || e->kind == TAP_HYPERCALL;
}

enum tap_verdict inject_after(
	struct watched *w, const struct tap_event *e, enum tap_verdict verdict)
{
	const struct session *s = w->owner->session;

	if (!w->injection.waits)
		return verdict;
	w->injection.waits = false;
	if (!s || s->over) /* who wanted it has gone */
		return verdict;
	if (e->kind == TAP_SOFT_INT && verdict == TAP_GO_ON) {
		tell(w, VECTOR_BP, TYPE_SOFTWARE, 0, 0);
		return verdict;
	}
	if (e->kind == TAP_EXCEPTION) {
		tell(w, e->exception.vector, TYPE_HARDWARE, e->exception.error,
			e->exception.payload);
		return verdict;
	}
	give(w);
	return is_between(e) ? verdict : TAP_RETRY;
}
