/* SPDX-License-Identifier: MIT */
/*
 * A session, and what its files share. Everything in it is under its lock but what never changes, and `woken`.
 *
 * One thread at a time reads from the socket, whichever waits: it gives replies to the calls that wait for them and puts
 * events into the queue. The others wait for `changed`. One thread at a time sends. Neither holds the lock while it waits for
 * the socket.
 */
#ifndef UVMI_SESSION_H
#define UVMI_SESSION_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>

#include "base/types.h"
#include "uapi/kvmi_v6.h"
#include "uvmi.h"
#include "uvmi/names.h"

#define FILES_MAX   64
#define MESSAGE_MAX (sizeof(struct kvmi_msg_hdr) + UINT16_MAX)

/* A command whose answer is to come; on the stack of the function that waits for it. */
struct pending {
	u32 seq;
	u16 id;
	bool done;
	int result;
	void *out; /* at most max bytes of the answer come here; at least min must come */
	size_t min, max;
	size_t got; /* what came */
	struct pending *next;
};

/* A command that nobody waits for any more, but whose answer may come. */
struct orphan {
	u32 seq;
	u16 id;
	struct orphan *next;
};

struct event_node {
	struct uvmi_event event;
	struct event_node *next;
};

/* Newest last. */
struct event_list {
	struct event_node *first, **end;
	unsigned n;
};

/* What the library knows of a vCPU. */
struct known_vcpu {
	u32 events;              /* v5: which are on, because the command sets all of them */
	u32 owed;                /* events that pauses of ours will still bring */
	struct event_node *held; /* such an event, which is replied to when the pause ends */
};

struct batch {
	bool open;
	pthread_t owner;
	u8 *bytes;
	size_t size, room;
	struct pending *calls; /* v5: each command has an answer */
	unsigned n, calls_room;
	bool failed; /* no memory */
};

struct uvmi {
	int fd, wake_fd;
	enum uvmi_dialect dialect;
	int timeout_ms;
	struct uvmi_vm_info vm;
	struct uvmi_version version;
	atomic_int woken;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	int failed; /* -errno: the session is over */
	bool reading, sending;

	u32 seq; /* of the last command */
	struct pending *pending;
	struct orphan *orphans;
	struct batch batch;

	struct event_list queue;   /* not yet taken */
	struct event_list waiting; /* taken, and not yet replied to */
	struct event_list late;    /* of a pause that is over: to be replied to */
	struct known_vcpu *vcpus;
	unsigned n_vcpus;
	u32 vm_events; /* v5, as in struct known_vcpu */
	bool paused;
	unsigned runs; /* the vCPU that the pause leaves out, or NOBODY */

	/* Descriptors that have come; only while an answer is awaited that brings some. */
	bool wants_files;
	int files[FILES_MAX];
	unsigned n_files;

	size_t have; /* bytes in message */
	u8 message[MESSAGE_MAX];
};

/* ---- peer.c: waiting, with the lock held where nothing else is said ---- */

u64 deadline_in(int timeout_ms); /* needs no lock */
/* How many milliseconds are left, for poll(). */
int deadline_left(u64 deadline);

void peer_lock(struct uvmi *s);
void peer_unlock(struct uvmi *s);
/* Ends the session, once; the result is why it has ended. */
int peer_fail(struct uvmi *s, int error);
/* The same without the lock: for an answer whose content cannot be. -EPROTO, or why it has ended before. */
int peer_refuse(struct uvmi *s);
/* Reads, or lets others read, until ready() is true (0), the session ends, or it is too late (-ETIMEDOUT). */
int peer_wait(struct uvmi *s, bool (*ready)(struct uvmi *s, void *arg), void *arg, u64 deadline);

/* ---- send.c ---- */

/* Sends one message or several, all of it or the session ends. parts is used up. */
int peer_send(struct uvmi *s, struct iovec *parts, int n);
/* One message; into the batch if this thread has one open. */
int peer_message(struct uvmi *s, u16 id, u32 seq, const struct iovec *payload, int n);

/* ---- receive.c ---- */

/* Takes what the socket has, and gives out all messages that are complete. */
int peer_take(struct uvmi *s);

/* ---- command.c ---- */

#define PART(x)                 ((struct iovec){.iov_base = (void *)&(x), .iov_len = sizeof(x)})
#define EITHER(s, in_v5, in_v6) ((s)->dialect == UVMI_V5 ? PART(in_v5) : PART(in_v6))

/* Lock held. Sends a command; command_finish() must follow, also if this fails. */
int command_start(struct uvmi *s, struct pending *call, enum uvmi_command command,
	const struct iovec *in, int n);
int command_finish(struct uvmi *s, struct pending *call);
/* The whole of it, without the lock: no answer but 0 or an error, or one of a size that is known. */
int command_plain(struct uvmi *s, enum uvmi_command command, struct iovec in);
int command_fixed(
	struct uvmi *s, enum uvmi_command command, struct iovec in, void *out, size_t size);
/* The same for two parts of a command, and an answer that may have from min to max bytes. */
int command_open(struct uvmi *s, enum uvmi_command command, const struct iovec *in, int n,
	struct pending *spec);
/* -EINVAL, or 0 */
int vcpu_check(unsigned vcpu);

/* ---- batch.c ---- */

/* Whether this thread has it open. */
bool batch_is_mine(const struct uvmi *s);
int batch_add_message(struct uvmi *s, const struct iovec *parts, int n);
/* A command has been added; v5 waits for its answer at the end. */
int batch_add_call(struct uvmi *s, u32 seq, u16 id);
void batch_free(struct batch *b);

/* ---- events.c, decode.c ---- */

/* A message with an event has come. */
int event_arrived(struct uvmi *s, u32 seq, const u8 *payload, size_t size);
/* 0, or -EPROTO */
int event_decode(enum uvmi_dialect dialect, const u8 *payload, size_t size, struct uvmi_event *ret);
void event_list_init(struct event_list *list);
void event_list_add(struct event_list *list, struct event_node *node);
struct event_node *event_list_first(struct event_list *list);
/* Takes out that with this number of this vCPU; NULL: there is none. */
struct event_node *event_list_take(struct event_list *list, u32 seq, u16 vcpu);
bool event_list_has_vcpu(const struct event_list *list, unsigned vcpu);
void event_list_free(struct event_list *list);
bool event_wants_reply(unsigned event);

/* ---- reply.c ---- */

/* Lock held; the event is off all lists. */
int reply_send(struct uvmi *s, const struct uvmi_event *event, const struct uvmi_answer *answer);

/* ---- pause.c ---- */

#define NOBODY UINT32_MAX

/* NULL: no memory */
struct known_vcpu *known_vcpu(struct uvmi *s, unsigned vcpu);
/* Whether this event is of a pause of ours; then it has been taken. Negative: the session is over. */
int pause_takes(struct uvmi *s, struct event_node *node);
/* Replies to the events of s->late. */
int pause_reply_late(struct uvmi *s);

/* ---- greet.c ---- */

/* The greeting on a new connection: what the VM says of itself, and the cookie's hash for it. */
int greet(
	int fd, const void *cookie, size_t cookie_size, u64 deadline, struct uvmi_vm_info *ret_vm);

/* ---- version.c ---- */

/* The first command of a session. */
int version_learn(struct uvmi *s);

#endif
