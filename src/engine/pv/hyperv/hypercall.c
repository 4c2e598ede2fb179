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
#define TO_INTERFACE  (~1ull) /* whether or not its caller wants to see hypercalls */

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

/*
 * Registers by their names: the interface's. Output is 8-byte aligned, and in one page, as input is. No repetition fits into the
 * fast form without XMM registers.
 */
static u64 vp_registers(const struct hv_call *c)
{
	u64 bytes = c->code == HV_CALL_GET_VP_REGISTERS ? c->rep_count * 16ull : 0;

	if (c->fast)
		return HVS_INVALID_INPUT;
	if (bytes && (c->output & 7 || (c->output & ~PAGE_MASK) + bytes > PAGE_SIZE))
		return HVS_INVALID_ALIGNMENT;
	return TO_INTERFACE;
}

/* What a nested hypervisor's tables say is kept nowhere: there is nothing to forget. */
static u64 flush_mappings(const struct hv_call *c)
{
	u64 head[2]; /* the table's root, flags */

	if ((c->fast && c->rep_count) || !hv_call_words(c, 0, head, 2))
		return HVS_INVALID_INPUT;
	if ((head[0] & ~PAGE_MASK) || head[1])
		return HVS_INVALID_PARAMETER;
	return hv_call_done(HVS_SUCCESS, c->rep_count);
}

/* ---- the table ---- */

#define C_REP       BIT(0) /* needs a count of repetitions; the others must have none */
#define C_VAR       BIT(1) /* may have a header of variable size */
#define C_XMM       BIT(2) /* fast form: input goes on in XMM registers */
#define C_ANYREP    BIT(3)
#define C_PARTITION BIT(4) /* KVM does not have it */

static const struct call_desc {
	u16 first, last;
	u8 flags;
	u8 word;      /* who may call: a CPUID bit */
	u8 words;     /* of input, in front of what is variable and repeated; 0: not known */
	u8 rep_bytes; /* of input, a repetition */
	u32 feature;  /* 0: everybody */
	u32 hint;     /* and this one of HV_HINTS */
	u64 (*handler)(const struct hv_call *c);
} calls[] = {
#define CALLS(first_, last_, handler_, ...)                                                        \
	{                                                                                          \
		.first = first_, .last = last_, .handler = handler_, __VA_ARGS__                   \
	}
#define CALL(code, handler, ...) CALLS(code, code, handler, __VA_ARGS__)
#define HINT(bit)                .word = HV_HINTS, .feature = bit
#define HINTS(bit, other)        .word = HV_HINTS, .feature = bit, .hint = other
#define MAY(bit)                 .word = HV_EBX, .feature = bit
	CALL(HV_CALL_FLUSH_SPACE, hv_call_flush, HINT(HVH_REMOTE_FLUSH), .flags = C_XMM,
		.words = 3),
	CALL(HV_CALL_FLUSH_LIST, hv_call_flush, HINT(HVH_REMOTE_FLUSH), .flags = C_REP | C_XMM,
		.words = 3, .rep_bytes = 8),
	CALL(HV_CALL_LONG_SPIN_WAIT, spin_wait, .word = HV_SPIN, .feature = UINT32_MAX, .words = 1),
	CALL(HV_CALL_SEND_IPI, hv_call_send_ipi, HINT(HVH_CLUSTER_IPI), .words = 2),
	CALL(HV_CALL_FLUSH_SPACE_EX, hv_call_flush, HINTS(HVH_REMOTE_FLUSH, HVH_EX_MASKS),
		.flags = C_VAR | C_XMM, .words = 4),
	CALL(HV_CALL_FLUSH_LIST_EX, hv_call_flush, HINTS(HVH_REMOTE_FLUSH, HVH_EX_MASKS),
		.flags = C_REP | C_VAR | C_XMM, .words = 4, .rep_bytes = 8),
	CALL(HV_CALL_SEND_IPI_EX, hv_call_send_ipi, HINTS(HVH_CLUSTER_IPI, HVH_EX_MASKS),
		.flags = C_VAR | C_XMM, .words = 3),
	CALL(HV_CALL_GET_VP_REGISTERS, vp_registers, MAY(HVF_VP_REGISTERS),
		.flags = C_PARTITION | C_REP, .words = 2, .rep_bytes = 4),
	CALL(HV_CALL_SET_VP_REGISTERS, vp_registers, MAY(HVF_VP_REGISTERS),
		.flags = C_PARTITION | C_REP, .words = 2, .rep_bytes = 32),
	CALL(HV_CALL_POST_MESSAGE, post_message, MAY(HVF_POST_MESSAGES), .words = 32),
	CALL(HV_CALL_SIGNAL_EVENT, signal_or_post, MAY(HVF_SIGNAL_EVENTS), .words = 1),
	CALLS(HV_CALL_POST_DEBUG_DATA, HV_CALL_RESET_DEBUG_SESSION, debug_call, MAY(HVF_DEBUGGING),
		.flags = C_VAR | C_ANYREP),
	CALL(HV_CALL_START_VP, hv_call_start_vp, MAY(HVF_START_VP), .flags = C_PARTITION,
		.words = sizeof(struct hv_start) / 8),
	CALL(HV_CALL_GET_VP_INDEX, hv_call_get_vp_index, MAY(HVF_START_VP),
		.flags = C_PARTITION | C_REP, .words = 2, .rep_bytes = 4),
	CALL(HV_CALL_FLUSH_MAPPINGS, flush_mappings, .word = HV_NESTED,
		.feature = HVN_FLUSH_MAPPINGS, .flags = C_PARTITION, .words = 2),
	CALL(HV_CALL_FLUSH_MAPPINGS_LIST, flush_mappings, .word = HV_NESTED,
		.feature = HVN_FLUSH_MAPPINGS, .flags = C_PARTITION | C_REP, .words = 2,
		.rep_bytes = 8),
	CALLS(HV_CALL_EXTENDED, HV_CALL_EXTENDED_LAST, extended_call, MAY(HVF_EXTENDED_CALLS),
		.flags = C_VAR | C_ANYREP),
};

static const struct call_desc *call_find(const struct hv_call *c)
{
	for (unsigned i = 0; i < ARRAY_SIZE(calls); i++) {
		const struct call_desc *d = &calls[i];

		if (c->code >= d->first && c->code <= d->last)
			return d->flags & C_PARTITION && !hv_is_partition(c->vcpu) ? NULL : d;
	}
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

/* KVM has no repetitions that begin in the middle. */
static bool reps_valid(const struct hv_call *c)
{
	return hv_is_partition(c->vcpu) ? c->rep_start < c->rep_count
					: c->rep_count && !c->rep_start;
}

static bool shape_valid(const struct hv_call *c, const struct call_desc *d)
{
	if (c->control & HV_CONTROL_RESERVED || (c->var_count && !(d->flags & C_VAR)))
		return false;
	if (d->flags & C_ANYREP)
		return true;
	return d->flags & C_REP ? reps_valid(c) : !c->rep_count && !c->rep_start;
}

/* In memory it is aligned, and in one page (TLFS 3.9). KVM takes it from where it is. */
static bool placed(const struct hv_call *c, const struct call_desc *d)
{
	u64 bytes = (d->words + c->var_count) * 8u + (u64)c->rep_count * d->rep_bytes;

	return c->fast || !d->words || !hv_is_partition(c->vcpu) ||
	       (!(c->input & 7) && (c->input & ~PAGE_MASK) + bytes <= PAGE_SIZE);
}

/* The XMM form is an instruction that does not exist where it is not announced: #UD. */
static bool undefined(const struct hv_call *c, const struct call_desc *d)
{
	return d && c->fast && (d->flags & C_XMM) && !hv_allowed(c->vcpu, HV_EDX, HVF_XMM_INPUT);
}

static u64 unknown_call(const struct hv_call *c)
{
	if (hv_is_partition(c->vcpu))
		return TO_USER_SPACE;
	return c->control & HV_CONTROL_RESERVED ? HVS_INVALID_INPUT : HVS_INVALID_CODE;
}

static u64 serve(const struct hv_call *c, const struct call_desc *d)
{
	if (!shape_valid(c, d))
		return HVS_INVALID_INPUT;
	return placed(c, d) ? d->handler(c) : HVS_INVALID_ALIGNMENT;
}

/* Where a partition's VMM does not want to see the call. There are no ports, so nothing is connected. */
static u64 status_unserved(u16 code)
{
	return code == HV_CALL_POST_MESSAGE || code == HV_CALL_SIGNAL_EVENT ? HVS_INVALID_CONNECTION
									    : HVS_INVALID_CODE;
}

static bool vmm_serves(const struct vcpu *v)
{
	return !hv_is_partition(v) || machine_option(v->machine, OPT_HYPERCALL_INTERCEPT);
}

bool hv_hypercall(struct vcpu *v, struct exit *x)
{
	struct hv_call c = call_decode(v, x);
	const struct call_desc *d = call_find(&c);
	u64 status;

	if (x->hyperv.kind != HYPERV_CALL)
		return false;
	x->hyperv.undefined = false;
	if (d && !may_call(v, d)) {
		status = HVS_ACCESS_DENIED;
	} else if (undefined(&c, d)) {
		status = 0;
		x->hyperv.undefined = true;
	} else {
		status = d ? serve(&c, d) : unknown_call(&c);
	}
	if (status != TO_USER_SPACE && status != TO_INTERFACE) {
		x->hyperv.result = status;
		return true;
	}
	if (status == TO_INTERFACE)
		return false;
	x->hyperv.result = vmm_serves(v) ? 0 : status_unserved(c.code);
	return !vmm_serves(v);
}
