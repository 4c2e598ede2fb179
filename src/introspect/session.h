/* SPDX-License-Identifier: MIT */
/*
 * What the parts of introspection share: the machine that is watched, its vcpus, a tool's session, and the tables of a dialect.
 *
 * Threads: each session has one that receives (session.c). It does what is asked of the machine, and queues what is asked of
 * a vcpu to that one's thread (vcpu.c), which also asks the tool about events (event.c) and meanwhile does what is queued.
 *
 * introspection.lock protects all of this. Nobody calls the engine with it held; that makes any order with the
 * engine's locks right.
 */
#ifndef INTROSPECT_SESSION_H
#define INTROSPECT_SESSION_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/cond.h"
#include "base/thread.h"
#include "engine/engine.h"
#include "engine/tap.h"
#include "introspect/introspect.h"
#include "introspect/maps.h"
#include "introspect/ram.h"
#include "introspect/token.h"
#include "uapi/kvmi_v6.h"

/* ---- events ---- */

/* What the tool is asked or told about, whatever the dialect. event: KVMI_V6_EVENT_*, whose first are KVMI_EVENT_*. */
struct tool_event {
	u8 event;
	union {
		struct {
			u32 index;
			u64 old, value;
		} reg; /* CR, MSR */
		struct {
			u64 gpa;
			u8 insn_len;
		} breakpoint;
		struct {
			u64 gva, gpa;
			u8 access; /* KVMI_PAGE_ACCESS_* */
			u16 view;
		} pf;
		struct {
			u8 vector;
			u32 type, error_code;
			u64 cr2;
		} trap;
		struct {
			u8 table; /* KVMI_DESC_* */
			bool write, amd;
			struct tap_operand operand;
		} descriptor;
		struct {
			u32 function, index;
			u8 insn_len;
		} cpuid;
		struct {
			int err;
			u32 seq;
			u16 id;
		} command_error;
	};
};

/* What the tool says. */
struct reply {
	u32 action; /* KVMI_EVENT_ACTION_* */
	u64 new_val;
	bool singlestep, rep_complete;
	bool has_ctx_addr; /* ctx_addr is the linear address of the data; else they are what is read next */
	u64 ctx_addr;
	u32 ctx_size;
	u8 ctx_data[KVMI_CTX_DATA_SIZE];
};

/* ---- vcpus ---- */

struct tool_command;

/* A command as it was received. */
struct job {
	struct job *next;
	const struct tool_command *command;
	u16 id;
	u32 seq;
	bool answered; /* it gets an answer, */
	bool reported; /* or an event if it fails: both as the tool wanted it when it came */
	size_t size;
	u8 payload[] __attribute__((aligned(8)));
};
#define JOBS_MAX 256 /* of one vcpu */

/* An exception that the tool wants to have delivered. */
struct injection {
	bool waits;  /* for the end of what the vcpu does now */
	bool on_way; /* the engine has it; TAP_EXCEPTION will say what becomes of it */
	u8 vector;
	bool has_error;
	u32 error;
	u64 address;
};

/* An access that is let pass for the rest of the instruction at rip, as far as it lies in this page. */
struct opened {
	u64 page;
	u8 access; /* BIT(enum tap_access) */
};
#define OPENED_MAX 8

/* No more page events of a repeated instruction: which one it is, and how far it is. */
struct repeat {
	enum {
		REPEAT_NONE,
		REPEAT_BEGINS, /* holds after the first pass */
		REPEAT_HOLDS,
		REPEAT_INTERRUPTED /* holds again when the guest comes back to it */
	} state;
	u64 rip, rsp, cr3;
	u64 rcx, rsi, rdi; /* REPEAT_INTERRUPTED */
};

struct watched {
	struct introspection *owner;
	struct vcpu *_Atomic v; /* NULL: has been destroyed */
	unsigned index;
	unsigned users; /* other threads that use v: it is not destroyed before they have done */
	struct cond wake;

	u32 events; /* that the tool wants to be asked about: BIT(KVMI_V6_EVENT_*) */
	bool single_step;
	u32 pauses; /* that are to be told */
	struct job *first, **last;
	unsigned jobs;

	struct {
		bool waits, has_reply, is_valid;
		u32 seq;
		const struct tool_event *report;
		struct reply reply;
		unsigned jobs; /* that came before the reply: those behind it find what it does */
	} question;
	/* What is done with the vcpu when the question is over */
	bool regs_wait;
	struct kvm_regs regs;
	struct injection injection;

	/* Its own thread's alone */
	bool crashed;
	u32 tap_events; /* as the engine knows them */
	struct opened opened[OPENED_MAX];
	unsigned opened_count;
	struct repeat repeat;
	u8 data[TAP_DATA_MAX]; /* of the last page event's answer */
};

/* ---- a tool's session ---- */

struct session {
	int fd;
	_Atomic bool over; /* nobody is asked any more; a vcpu looks at it without the lock */
	struct introspect_rights rights;
	const struct dialect *dialect; /* NULL: the tool has said nothing yet */
	u32 vm_events;                 /* BIT() of those of the machine */
	u32 event_seq;                 /* of the last one */
	u32 unhook_seq;                /* of KVMI_EVENT_UNHOOK, 0: not sent */
	unsigned users;                /* other threads than the receiver's and the vcpus' */
	/* CONTROL_CMD_RESPONSE: commands are not answered; known to the receiver's thread alone */
	bool silent, errors_as_events;
	pthread_mutex_t send_lock;
};

struct introspection {
	struct machine *machine;
	pthread_mutex_t lock;
	struct cond idle; /* a session, or a use of a vcpu, is over */
	_Atomic(struct watched *) vcpus[MACHINE_MAX_VCPUS];
	_Atomic u32 vcpu_high;
	_Atomic bool tapped;
	bool amd; /* the host's processor is, where the protocol tells what VMX or SVM would */
	struct session *_Atomic session;
	struct tokens tokens;
	struct maps *maps;                 /* may be asked for memory by these tokens */
	struct introspection *next_lender; /* under the lock of maps.c */
	bool ending;                       /* introspection_destroy() */
	bool hooking, closing;             /* somebody begins, or ends, a session */
	struct own_thread thread;          /* receives */
	bool has_thread;
	const struct introspect_target *target; /* NULL: it is given its tool */
	u8 uuid[16];                            /* this and the next: with a target */
	s64 start_time;
};

/* For each vcpu that there is, or was. */
#define for_each_watched(i, w)                                                                     \
	for (unsigned w##_n = 0; w##_n < atomic_load(&(i)->vcpu_high); w##_n++)                    \
		if (((w) = atomic_load(&(i)->vcpus[w##_n])))

/* ---- commands ---- */

enum command_where { ON_MACHINE, ON_VCPU };

/* One that is being done. */
struct tool_call {
	struct introspection *i;
	struct session *s;
	struct watched *w; /* ON_VCPU */
	const u8 *payload; /* of command->size bytes or more, and all of its items */
	size_t size;
	bool answered; /* the tool gets an answer */
	/* The answer's data, after the error code: see call_answer(). */
	u8 *message;
	size_t answer_size;
	struct ram_files ram; /* whose descriptors go with it */
};

/* For handlers: the connection is to be closed. */
#define CALL_CLOSE 1

#define COMMAND_WRITES  BIT(0) /* changes the guest */
#define COMMAND_ANSWERS BIT(1) /* with data */
#define COMMAND_ALWAYS  BIT(2) /* cannot be forbidden */

struct tool_command {
	const char *name;
	u16 size;       /* of the fixed part */
	u8 where;       /* enum command_where */
	u8 flags;       /* COMMAND_* */
	u8 like;        /* the message of uapi/kvmi.h by whose permission it goes */
	u8 item;        /* bytes of each item that follows the fixed part, */
	u8 count_at;    /* whose number, a u16 (or, if item is 1, a u64), is at this place */
	u64 padding[2]; /* bits of the bytes of the fixed part that must be 0 */
	int (*run)(struct tool_call *c); /* 0, -KVM_E* or CALL_CLOSE */
};

struct dialect {
	u16 event_id, reply_id;
	u16 max_size; /* of a payload */
	bool exact; /* a payload of another size closes the connection; else it is cut off, or filled with zeros */
	int forbidden; /* what a forbidden command answers */
	const struct tool_command *commands;
	unsigned command_count;
	/* Write an event's payload to ret, which has EVENT_BYTES_MAX; w is NULL if it is of the machine. Its size. */
	size_t (*write_event)(const struct tool_event *r, struct watched *w, u8 *ret);
	/* Find the question that this answers and read the answer. 0, CALL_CLOSE. See event_answer(). */
	int (*read_reply)(struct introspection *i, u32 seq, const u8 *payload, size_t size);
};
#define EVENT_BYTES_MAX 1024

extern const struct dialect kvmi_v5, kvmi_v6;

/* session.c */
void session_set_vm_events(struct introspection *i, u32 events);
/* w's question is put, if it is not NULL: the event is not of the machine. */
void session_send_event(
	struct introspection *i, struct session *s, const struct tool_event *r, struct watched *w);

/* The place for size bytes of answer, zero; NULL: there is no memory. Once a call. */
void *call_answer(struct tool_call *c, size_t size);

#endif
