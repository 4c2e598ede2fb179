/* SPDX-License-Identifier: MIT */
/*
 * Hypercalls (TLFS 3): what the control word says, who may call, and the calls that concern one processor. The
 * instruction has checked privilege level and mode, and is restarted with the answer.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#include "base/sys.h"
#include "engine/pv/hyperv/hv.h"
#include "engine/irq/fabric.h"
#include "engine/core/xsave.h"

/* ---- connections: events that the VMM listens to through a descriptor ---- */

static struct hv_connection **connection_find(struct hv_partition *p, u32 id)
{
	struct hv_connection **c = &p->connections;

	while (*c && (*c)->id != id)
		c = &(*c)->next;
	return c;
}

int hv_event_assign(struct machine *m, u32 id, int fd)
{
	struct hv_connection *c;
	int own = eventfd_hold(fd), r = 0;

	if (own < 0)
		return own;
	c = malloc(sizeof(*c));
	pthread_mutex_lock(&m->hv->lock);
	if (!c || *connection_find(m->hv, id)) {
		r = c ? -EEXIST : -ENOMEM;
	} else {
		*c = (struct hv_connection){.next = m->hv->connections, .id = id, .fd = own};
		m->hv->connections = c;
	}
	pthread_mutex_unlock(&m->hv->lock);
	if (r) {
		sys_close(own);
		free(c);
	}
	return r;
}

int hv_event_deassign(struct machine *m, u32 id)
{
	struct hv_connection **at, *c;

	pthread_mutex_lock(&m->hv->lock);
	at = connection_find(m->hv, id);
	c = *at;
	if (c)
		*at = c->next;
	pthread_mutex_unlock(&m->hv->lock);
	if (!c)
		return -ENOENT;
	sys_close(c->fd);
	free(c);
	return 0;
}

/* ---- input ---- */

/* Fast: the words are in registers. Else in memory, 8-byte aligned and not across a page. */
bool hv_call_words(const struct hv_call *c, unsigned at, u64 *ret, unsigned n)
{
	if (!c->fast)
		return !n || !machine_read(c->vcpu->machine, c->input + at * 8ull, ret, n * 8);
	if (at + n > ARRAY_SIZE(c->words))
		return false;
	for (unsigned i = 0; i < n; i++)
		ret[i] = c->words[at + i];
	return true;
}

static struct hv_call call_decode(struct vcpu *v, const struct exit *x)
{
	u64 control = x->hyperv.arg[0];
	struct hv_call c = {.vcpu = v,
		.control = control,
		.input = x->hyperv.arg[1],
		.output = x->hyperv.arg[2],
		.code = (u16)control,
		.fast = control & HV_CONTROL_FAST,
		.var_count = HV_CONTROL_VAR(control),
		.rep_count = HV_CONTROL_REPS(control),
		.rep_start = HV_CONTROL_START(control),
		.words = {x->hyperv.arg[1], x->hyperv.arg[2]}};

	__builtin_memcpy(&c.words[2], fpu_image(&v->cpu)->xmm, 6 * 16);
	return c;
}

/* ---- single calls ---- */

static u64 spin_wait(const struct hv_call *c)
{
	sched_yield();
	return HVS_SUCCESS;
}

/* The connection's descriptor; HVS_INVALID_PORT if only user space may know it. */
static u64 signal_event(const struct hv_call *c)
{
	struct hv_partition *p = c->vcpu->machine->hv;
	const struct hv_connection *to;
	u64 param = c->input;

	if (!c->fast && (c->input & 7 || (c->input & ~PAGE_MASK) + 8 > PAGE_SIZE ||
				machine_read(c->vcpu->machine, c->input, &param, 8)))
		return HVS_INVALID_ALIGNMENT;
	if (param & 0xffff00000000ull) /* the flag's number */
		return HVS_INVALID_PORT;
	if (param & ~HV_CONNECTION_BITS)
		return HVS_INVALID_INPUT;
	pthread_mutex_lock(&p->lock);
	to = *connection_find(p, (u32)param);
	if (to)
		eventfd_signal(to->fd);
	pthread_mutex_unlock(&p->lock);
	return to ? HVS_SUCCESS : HVS_INVALID_PORT;
}

#define TO_USER_SPACE (~0ull)

/* Nobody there who could take a message? */
static u64 post_message(const struct hv_call *c)
{
	return atomic_load(&c->vcpu->hv->synic.active) ? TO_USER_SPACE : HVS_INVALID_INPUT;
}

static u64 signal_or_post(const struct hv_call *c)
{
	u64 status = signal_event(c);

	return status == HVS_INVALID_PORT ? post_message(c) : status;
}

static bool syndbg_enabled(const struct vcpu *v)
{
	return v->cpu.hv.word[HV_SYNDBG] & HVD_ALLOW_DEBUGGING;
}

static u64 debug_call(const struct hv_call *c)
{
	const struct vcpu *v = c->vcpu;

	if (c->fast && c->code != HV_CALL_RESET_DEBUG_SESSION)
		return HVS_INVALID_PARAMETER;
	if (!syndbg_enabled(v))
		return HVS_INVALID_CODE;
	return v->hv->syndbg[5] & HV_SYNDBG_USE_HYPERCALLS ? TO_USER_SPACE : HVS_OPERATION_DENIED;
}

static u64 extended_call(const struct hv_call *c)
{
	return c->fast ? HVS_INVALID_PARAMETER : TO_USER_SPACE;
}

/* ---- the table ---- */

#define C_REP    BIT(0) /* needs a count of repetitions; the others must have none */
#define C_VAR    BIT(1) /* may have a header of variable size */
#define C_XMM    BIT(2) /* fast form: input goes on in XMM registers */
#define C_ANYREP BIT(3)

static const struct call_desc {
	u16 first, last;
	u8 flags;
	u8 word;     /* who may call: a CPUID bit */
	u32 feature; /* 0: everybody */
	u32 hint;    /* and this one of HV_HINTS */
	u64 (*handler)(const struct hv_call *c);
} calls[] = {
	{HV_CALL_FLUSH_SPACE, HV_CALL_FLUSH_SPACE, C_XMM, HV_HINTS, HVH_REMOTE_FLUSH, 0,
		hv_call_flush},
	{HV_CALL_FLUSH_LIST, HV_CALL_FLUSH_LIST, C_REP | C_XMM, HV_HINTS, HVH_REMOTE_FLUSH, 0,
		hv_call_flush},
	{HV_CALL_LONG_SPIN_WAIT, HV_CALL_LONG_SPIN_WAIT, 0, HV_SPIN, UINT32_MAX, 0, spin_wait},
	{HV_CALL_SEND_IPI, HV_CALL_SEND_IPI, 0, HV_HINTS, HVH_CLUSTER_IPI, 0, hv_call_send_ipi},
	{HV_CALL_FLUSH_SPACE_EX, HV_CALL_FLUSH_SPACE_EX, C_VAR | C_XMM, HV_HINTS, HVH_REMOTE_FLUSH,
		HVH_EX_MASKS, hv_call_flush},
	{HV_CALL_FLUSH_LIST_EX, HV_CALL_FLUSH_LIST_EX, C_REP | C_VAR | C_XMM, HV_HINTS,
		HVH_REMOTE_FLUSH, HVH_EX_MASKS, hv_call_flush},
	{HV_CALL_SEND_IPI_EX, HV_CALL_SEND_IPI_EX, C_VAR | C_XMM, HV_HINTS, HVH_CLUSTER_IPI,
		HVH_EX_MASKS, hv_call_send_ipi},
	{HV_CALL_POST_MESSAGE, HV_CALL_POST_MESSAGE, 0, HV_EBX, HVF_POST_MESSAGES, 0, post_message},
	{HV_CALL_SIGNAL_EVENT, HV_CALL_SIGNAL_EVENT, 0, HV_EBX, HVF_SIGNAL_EVENTS, 0,
		signal_or_post},
	{HV_CALL_POST_DEBUG_DATA, HV_CALL_RESET_DEBUG_SESSION, C_VAR | C_ANYREP, HV_EBX,
		HVF_DEBUGGING, 0, debug_call},
	{HV_CALL_EXTENDED, HV_CALL_EXTENDED_LAST, C_VAR | C_ANYREP, HV_EBX, HVF_EXTENDED_CALLS, 0,
		extended_call},
};

static const struct call_desc *call_find(u16 code)
{
	for (unsigned i = 0; i < ARRAY_SIZE(calls); i++)
		if (code >= calls[i].first && code <= calls[i].last)
			return &calls[i];
	return NULL;
}

static bool may_call(const struct vcpu *v, const struct call_desc *d)
{
	if (d->word == HV_SPIN) /* all ones: never notify */
		return !v->cpu.hv.enforce ||
		       (v->cpu.hv.word[HV_SPIN] && v->cpu.hv.word[HV_SPIN] != UINT32_MAX);
	if (d->handler == debug_call && !syndbg_enabled(v))
		return true; /* and learns that there is no such call */
	return hv_allowed(v, d->word, d->feature) && (!d->hint || hv_allowed(v, HV_HINTS, d->hint));
}

static bool shape_valid(const struct hv_call *c, const struct call_desc *d)
{
	bool rep = c->rep_count || c->rep_start;

	if (c->control & HV_CONTROL_RESERVED || (c->var_count && !(d->flags & C_VAR)))
		return false;
	if (d->flags & C_ANYREP)
		return true;
	return d->flags & C_REP ? c->rep_count && !c->rep_start : !rep;
}

/* The XMM form is an instruction that does not exist where it is not announced: #UD. */
static bool undefined(const struct hv_call *c, const struct call_desc *d)
{
	return d && c->fast && (d->flags & C_XMM) && !hv_allowed(c->vcpu, HV_EDX, HVF_XMM_INPUT);
}

bool hv_hypercall(struct vcpu *v, struct exit *x)
{
	struct hv_call c = call_decode(v, x);
	const struct call_desc *d = call_find(c.code);

	if (x->hyperv.kind != HYPERV_CALL)
		return false;
	x->hyperv.undefined = false;
	if (d && !may_call(v, d)) {
		x->hyperv.result = HVS_ACCESS_DENIED;
	} else if (undefined(&c, d)) {
		x->hyperv.undefined = true;
	} else if (!d) {
		x->hyperv.result =
			c.control & HV_CONTROL_RESERVED ? HVS_INVALID_INPUT : HVS_INVALID_CODE;
	} else if (!shape_valid(&c, d)) {
		x->hyperv.result = HVS_INVALID_INPUT;
	} else {
		x->hyperv.result = d->handler(&c);
		if (x->hyperv.result == TO_USER_SPACE) {
			x->hyperv.result = 0;
			return false;
		}
	}
	return true;
}
