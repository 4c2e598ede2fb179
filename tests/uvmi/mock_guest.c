/* SPDX-License-Identifier: MIT */
/* The guest of the mock: its instructions, the events that they give, and what a reply makes of them. */
#include <errno.h>
#include <string.h>

#include "mock.h"

enum { ON_STEP = BIT(KVMI_V6_EVENT_SINGLESTEP) };

/* What stands behind the common part of an event. */
struct extra {
	const void *at;
	size_t size;
};
#define EXTRA(x) ((struct extra){&(x), sizeof(x)})
#define NOTHING  ((struct extra){NULL, 0})

bool mock_is_ram(u64 gpa, u64 size)
{
	return (gpa < MOCK_LOW_END && size <= MOCK_LOW_END - gpa) ||
	       (gpa >= MOCK_HIGH && gpa < MOCK_HIGH_END && size <= MOCK_HIGH_END - gpa);
}

static struct kvmi_event_msrs msrs_of(const struct mock_vcpu *v)
{
	return (struct kvmi_event_msrs){
		.efer = v->sregs.efer, .lstar = v->lstar, .pat = 0x7040600070406};
}

static void send_event(
	struct mock *m, struct mock_vcpu *v, unsigned event, struct extra v5, struct extra v6)
{
	const struct kvmi_event c5 = {.event = event,
		.vcpu = (u16)v->index,
		.mode = 8,
		.regs = v->regs,
		.sregs = v->sregs,
		.msrs = msrs_of(v)};
	const struct kvmi_v6_event c6 = {.size = sizeof(c6),
		.vcpu = (u16)v->index,
		.event = (u8)event,
		.mode = 8,
		.regs = v->regs,
		.sregs = v->sregs,
		.msrs = msrs_of(v)};

	v->waits = true;
	v->event = (u8)event;
	v->seq = ++m->event_seq;
	if (m->config.v5)
		mock_send(m, KVMI_EVENT, v->seq, &c5, sizeof(c5), v5.at, v5.size);
	else
		mock_send(m, KVMI_V6_EVENT, v->seq, &c6, sizeof(c6), v6.at, v6.size);
}

static bool on(const struct mock_vcpu *v, unsigned event)
{
	return v->events & BIT(event);
}

static void done(struct mock_vcpu *v)
{
	v->regs.rip++;
	v->executed++;
	v->pass = false;
	v->stepped = v->step;
}

/* ---- instructions; each sends an event and waits, or is done ---- */

static void write_cr3(struct mock *m, struct mock_vcpu *v)
{
	const struct kvmi_event_cr e = {
		.cr = 3, .old_value = v->sregs.cr3, .new_value = v->sregs.cr3 ^ 0x18};

	v->new_value = e.new_value;
	if (on(v, KVMI_EVENT_CR) && v->crs & BIT(3)) {
		send_event(m, v, KVMI_EVENT_CR, EXTRA(e), EXTRA(e));
		return;
	}
	v->sregs.cr3 = e.new_value;
	done(v);
}

static bool msr_on(const struct mock_vcpu *v, u32 msr)
{
	for (unsigned i = 0; i < v->n_msrs; i++)
		if (v->msrs[i] == msr)
			return on(v, KVMI_EVENT_MSR);
	return false;
}

static void write_msr(struct mock *m, struct mock_vcpu *v)
{
	const struct kvmi_event_msr e = {
		.msr = 0xc0000082, .old_value = v->lstar, .new_value = v->lstar ^ 0x100};

	v->new_value = e.new_value;
	if (msr_on(v, e.msr)) {
		send_event(m, v, KVMI_EVENT_MSR, EXTRA(e), EXTRA(e));
		return;
	}
	v->lstar = e.new_value;
	done(v);
}

static bool pf(struct mock *m, struct mock_vcpu *v, u64 gpa, unsigned access)
{
	const struct kvmi_event_pf e5 = {.gva = MOCK_GVA + gpa, .gpa = gpa, .mode = access};
	const struct kvmi_v6_event_pf e6 = {
		.gva = MOCK_GVA + gpa, .gpa = gpa, .access = (u8)access};

	if (v->pass || m->rights[gpa / PAGE_SIZE] & access || !on(v, KVMI_EVENT_PF))
		return false;
	send_event(m, v, KVMI_EVENT_PF, EXTRA(e5), EXTRA(e6));
	return true;
}

static void access_data(struct mock *m, struct mock_vcpu *v, bool write)
{
	if (pf(m, v, MOCK_DATA + 8, write ? 2 : 1))
		return;
	if (write)
		memcpy(m->ram + MOCK_DATA + 8, &v->regs.rip, 8);
	else if (!v->pass)
		memcpy(&v->regs.rbx, m->ram + MOCK_DATA + 8, 8);
	done(v);
}

static void breakpoint(struct mock *m, struct mock_vcpu *v, u64 gpa)
{
	const struct kvmi_event_breakpoint e5 = {.gpa = gpa};
	const struct kvmi_v6_event_breakpoint e6 = {.gpa = gpa, .insn_len = 1};

	if (on(v, KVMI_EVENT_BREAKPOINT))
		send_event(m, v, KVMI_EVENT_BREAKPOINT, EXTRA(e5), EXTRA(e6));
	else
		done(v);
}

static void descriptor(struct mock *m, struct mock_vcpu *v)
{
	const struct kvmi_event_descriptor e5 = {.descriptor = KVMI_DESC_IDTR, .write = 1};
	const struct kvmi_v6_event_descriptor e6 = {.descriptor = KVMI_DESC_IDTR, .write = 1};

	if (on(v, KVMI_EVENT_DESCRIPTOR))
		send_event(m, v, KVMI_EVENT_DESCRIPTOR, EXTRA(e5), EXTRA(e6));
	else
		done(v);
}

static void cpuid(struct mock *m, struct mock_vcpu *v)
{
	const struct kvmi_v6_event_cpuid e = {.function = 7, .index = 1, .insn_len = 2};

	if (!m->config.v5 && on(v, KVMI_V6_EVENT_CPUID))
		send_event(m, v, KVMI_V6_EVENT_CPUID, NOTHING, EXTRA(e));
	else
		done(v);
}

static void plain(struct mock *m, struct mock_vcpu *v, unsigned event)
{
	if (on(v, event))
		send_event(m, v, event, NOTHING, NOTHING);
	else
		done(v);
}

static void execute(struct mock *m, struct mock_vcpu *v)
{
	const u64 gpa = v->regs.rip - MOCK_GVA;

	if (!mock_is_ram(gpa, 1) || pf(m, v, gpa, 4))
		return;
	switch (m->ram[gpa]) {
	case 'C': write_cr3(m, v); break;
	case 'M': write_msr(m, v); break;
	case 'W': access_data(m, v, true); break;
	case 'R': access_data(m, v, false); break;
	case 'X': plain(m, v, KVMI_EVENT_XSETBV); break;
	case 'H': plain(m, v, KVMI_EVENT_HYPERCALL); break;
	case 'D': descriptor(m, v); break;
	case 'I': cpuid(m, v); break;
	case 0xcc: breakpoint(m, v, gpa); break;
	case 'J':
		done(v);
		v->regs.rip = MOCK_GVA + MOCK_CODE;
		break;
	default: done(v);
	}
}

static void trap(struct mock *m, struct mock_vcpu *v)
{
	const struct kvmi_event_trap e5 = {
		.vector = v->injected - 1u, .type = 0x300, .error_code = 4, .cr2 = 0x1234};
	const struct kvmi_v6_event_trap e6 = {
		.vector = (u8)(v->injected - 1), .error_code = 4, .cr2 = 0x1234};

	v->injected = 0;
	if (on(v, KVMI_EVENT_TRAP))
		send_event(m, v, KVMI_EVENT_TRAP, EXTRA(e5),
			m->config.first_traps ? EXTRA(e5) : EXTRA(e6));
}

static void stepped(struct mock *m, struct mock_vcpu *v)
{
	const struct kvmi_v6_event_singlestep e = {.failed = 0};

	v->stepped = false;
	if (v->events & ON_STEP)
		send_event(m, v, KVMI_V6_EVENT_SINGLESTEP, NOTHING, EXTRA(e));
}

bool mock_guest_can_run(const struct mock *m, const struct mock_vcpu *v)
{
	if (!v->started || v->waits)
		return false;
	return v->stepped || v->pauses || v->injected || !m->config.idle ||
	       v->executed < m->config.idle;
}

void mock_guest_run(struct mock *m, struct mock_vcpu *v)
{
	if (v->stepped)
		stepped(m, v);
	else if (v->injected)
		trap(m, v);
	else if (v->pauses) {
		v->pauses--;
		m->pauses_sent++;
		send_event(m, v, KVMI_EVENT_PAUSE_VCPU, NOTHING, NOTHING);
	} else
		execute(m, v);
}

/* ---- replies ---- */

static void take_pf(struct mock_vcpu *v, bool retry, const struct kvmi_v6_event_pf_reply *pf)
{
	if (retry)
		return;
	v->pass = true; /* the access is done in spite of the rights */
	if (pf->ctx_size)
		memcpy(&v->regs.rbx, pf->ctx_data, MIN(pf->ctx_size, 8u));
}

static void continued(struct mock *m, struct mock_vcpu *v, u64 new_value)
{
	switch (v->event) {
	case KVMI_EVENT_CR: v->sregs.cr3 = new_value; break;
	case KVMI_EVENT_MSR: v->lstar = new_value; break;
	case KVMI_EVENT_BREAKPOINT: m->reinjected++; break;
	case KVMI_EVENT_HYPERCALL: v->regs.rax = 0; break;
	case KVMI_EVENT_XSETBV:
	case KVMI_EVENT_DESCRIPTOR:
	case KVMI_V6_EVENT_CPUID: break;
	default: return; /* they are no instruction */
	}
	done(v);
}

void mock_guest_go_on(struct mock *m, struct mock_vcpu *v, unsigned action, u64 new_value,
	const struct kvmi_v6_event_pf_reply *pf)
{
	m->replies++;
	v->waits = false;
	if (v->new_regs_set)
		v->regs = v->new_regs;
	v->new_regs_set = false;
	if (action == KVMI_EVENT_ACTION_CRASH) {
		m->crashed++;
		m->over = true;
	} else if (v->event == KVMI_EVENT_PF)
		take_pf(v, action == KVMI_EVENT_ACTION_RETRY, pf);
	else if (action == KVMI_EVENT_ACTION_CONTINUE)
		continued(m, v, new_value);
}
