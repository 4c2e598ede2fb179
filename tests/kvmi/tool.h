/* SPDX-License-Identifier: MIT */
/*
 * The introspection tool of the tests: it makes every byte of a message itself, from the numbers of the protocol, so that the
 * structures of uapi/kvmi*.h are checked as well. commands.c has one function for each command, which means the same in both
 * dialects; a test that wants wrong bytes sends them with tool_send().
 *
 * Every message that arrives is checked: sizes, padding, the sequence of events, what a vcpu can say.
 */
#ifndef TESTS_KVMI_TOOL_H
#define TESTS_KVMI_TOOL_H

#include <linux/kvm.h>

#include "tests/kvmi/harness.h"
#include "tests/kvmi/vm.h"
#include "uapi/kvmi_v6.h"

#define EVENTS_KEPT 64

struct msg {
	u16 id, size;
	u32 seq;
	u8 data[65536];
};

struct event {
	u32 seq, id;
	u16 vcpu;
	u16 view; /* V6 */
	u8 mode;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	u64 msrs[9]; /* sysenter_cs esp eip efer star lstar cstar pat shadow_gs */
	/* CR, MSR: index, old, value. PF: gva, gpa, access. BREAKPOINT: gpa, insn_len of V6. */
	u32 index;
	u64 old, value;
	u64 gva, gpa;
	u8 access;
	u8 insn_len;
	/* TRAP */
	u32 vector, type, error_code;
	u64 cr2;
	/* DESCRIPTOR */
	u8 descriptor, write;
	u32 instr_info; /* V5 */
	u64 qualification;
	/* V6: SINGLESTEP, CMD_ERROR, CPUID */
	u8 failed;
	s32 err;
	u32 msg_seq, msg_id;
	u32 function, leaf_index;
};

struct tool {
	enum dialect dialect;
	int fd;
	u32 seq;                     /* of the last command */
	u32 events;                  /* that have come */
	u32 seq_base;                /* up to here each seq has come, */
	u64 seq_more;                /* and bit n: seq_base + 1 + n */
	u32 mask[MAX_CPUS], vm_mask; /* V5 sets all events at once */
	struct event kept[EVENTS_KEPT];
	unsigned made, taken;
	struct msg msg; /* the last that was received */
};

/* ---- a session ---- */

struct hook_how {
	u32 commands, events;
};
/* Hooks one end of a pair of sockets, and greets in this dialect on the other one. */
struct tool *tool_open(struct vm *vm, enum dialect d);
struct tool *tool_open_masked(struct vm *vm, enum dialect d, u32 commands, u32 events);
/* On a socket that something else has hooked; greets. */
struct tool *tool_on(int fd, enum dialect d);
/* Nothing is sent. */
struct tool *tool_silent(int fd, enum dialect d);
/* The request; fd stays open. */
long vm_hook(struct vm *vm, int fd, u32 commands, u32 events);
void tool_close(struct tool *t);

/* ---- messages ---- */

void tool_bytes(struct tool *t, const void *bytes, size_t n);
/* Under the next seq. */
void tool_send(struct tool *t, u16 id, const void *payload, size_t n);
/* size is what the header says, whatever n is. */
void tool_send_as(struct tool *t, u16 id, u16 size, u32 seq, const void *payload, size_t n);
/* The next message, in t->msg. False: the connection is closed. */
bool tool_receive(struct tool *t);
/*
 * The reply to the last command, or to that of seq: its error; what comes behind it is at tool_data(), *ret_size bytes.
 * Events that come meanwhile are kept.
 */
s32 tool_reply(struct tool *t, u16 id, size_t *ret_size);
s32 tool_reply_to(struct tool *t, u16 id, u32 seq, size_t *ret_size);
static inline const u8 *tool_data(const struct tool *t)
{
	return t->msg.data + 8;
}
/* Send, and the reply; data of exactly size bytes must come without an error, and none with one. */
s32 tool_command(struct tool *t, u16 id, const void *payload, size_t n, size_t want_size);
/* The connection must be closed, and nothing but events come before. */
void tool_closed(struct tool *t);
/* All that was sent until now was taken, and no event has come that nobody has asked for. */
void tool_quiet(struct tool *t);

/* ---- events ---- */

/* The next event must be this one. */
struct event tool_event(struct tool *t, u32 id);
struct event tool_event_of(struct tool *t, u32 id, unsigned vcpu);
/* The next of this vcpu, whatever has come before it of others. */
struct event tool_next_of(struct tool *t, unsigned vcpu);
/* What the next event is. */
u32 tool_next_id(struct tool *t);
bool tool_has_event(const struct tool *t);
bool tool_has_event_of(const struct tool *t, unsigned vcpu);
void tool_answer(struct tool *t, const struct event *e, u32 action);
/* CR, MSR */
void tool_answer_value(struct tool *t, const struct event *e, u32 action, u64 value);
struct pf_answer {
	bool singlestep, rep_complete;
	u64 ctx_addr; /* V6 */
	u32 ctx_size;
	const void *ctx;
};
void tool_answer_pf(struct tool *t, const struct event *e, u32 action, struct pf_answer how);
/* The bytes of an answer to e, without the header; for tests that send wrong ones. */
size_t tool_answer_bytes(enum dialect d, const struct event *e, u32 action, u8 *ret);
void tool_send_answer(struct tool *t, u32 seq, const u8 *payload, size_t n);

static inline void tool_continue(struct tool *t, const struct event *e)
{
	if (e->id == KVMI_EVENT_CR || e->id == KVMI_EVENT_MSR)
		tool_answer_value(t, e, KVMI_EVENT_ACTION_CONTINUE, e->value);
	else
		tool_answer(t, e, KVMI_EVENT_ACTION_CONTINUE);
}
static inline void tool_retry(struct tool *t, const struct event *e)
{
	tool_answer(t, e, KVMI_EVENT_ACTION_RETRY);
}

/* ---- commands of both dialects; the error ---- */

s32 cmd_version(struct tool *t, u32 *ret_commands, u32 *ret_events);
s32 cmd_guest_info(struct tool *t, u32 *ret_vcpus);
s32 cmd_tsc_speed(struct tool *t, unsigned vcpu, u64 *ret_hz);
struct regs_reply {
	u8 mode;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	u64 msr[32];
};
s32 cmd_get_registers(
	struct tool *t, unsigned vcpu, const u32 *msrs, unsigned n, struct regs_reply *ret);
s32 cmd_set_registers(struct tool *t, unsigned vcpu, const struct kvm_regs *r);
void cmd_send_set_registers(struct tool *t, unsigned vcpu, const struct kvm_regs *r);
s32 cmd_control_event(struct tool *t, unsigned vcpu, u32 event, bool on);
s32 cmd_control_vm_event(struct tool *t, u32 event, bool on);
s32 cmd_control_cr(struct tool *t, unsigned vcpu, u32 cr, bool on);
s32 cmd_control_msr(struct tool *t, unsigned vcpu, u32 msr, bool on);
struct page_access {
	u64 gpa;
	u8 access;
};
s32 cmd_set_accesses(struct tool *t, const struct page_access *a, unsigned n);
s32 cmd_set_access(struct tool *t, u64 gpa, u8 access);
/* V5, and V6 where the server has it */
s32 cmd_get_access(struct tool *t, u64 gpa, u8 *ret);
s32 cmd_inject(struct tool *t, unsigned vcpu, u8 nr, bool has_error, u32 error, u64 address);
s32 cmd_read(struct tool *t, u64 gpa, void *ret, u64 n);
s32 cmd_write(struct tool *t, u64 gpa, const void *data, u64 n);
s32 cmd_cpuid(struct tool *t, unsigned vcpu, u32 function, u32 index, u32 ret[4]);
s32 cmd_xsave(struct tool *t, unsigned vcpu, u8 ret[4096]);
/* All vcpus; how many. V6 has a command for each. */
u32 cmd_pause_all(struct tool *t);
s32 cmd_map_token(struct tool *t, u8 ret[32]);

/* Must succeed */
void event_on(struct tool *t, unsigned vcpu, u32 event);
void event_off(struct tool *t, unsigned vcpu, u32 event);
/* Pauses vcpu 0 alone (V6), or all of which the others are told to go on (V5); the event. */
struct event pause_cpu(struct tool *t, unsigned vcpu);

static inline void put_u16(u8 *at, u16 v)
{
	__builtin_memcpy(at, &v, 2);
}
static inline void put_u32(u8 *at, u32 v)
{
	__builtin_memcpy(at, &v, 4);
}
static inline void put_u64(u8 *at, u64 v)
{
	__builtin_memcpy(at, &v, 8);
}
static inline u16 get_u16(const u8 *at)
{
	u16 v;

	__builtin_memcpy(&v, at, 2);
	return v;
}
static inline u32 get_u32(const u8 *at)
{
	u32 v;

	__builtin_memcpy(&v, at, 4);
	return v;
}
static inline u64 get_u64(const u8 *at)
{
	u64 v;

	__builtin_memcpy(&v, at, 8);
	return v;
}

#endif
