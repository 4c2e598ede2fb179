/* SPDX-License-Identifier: MIT */
/*
 * /dev/mshv_sint: what VTL2 and the hypervisor's other partitions send each other. There is no other partition here, so the
 * ends of this device are each other's: each descriptor that was opened, in this process and in all others that one `uservisor exec`
 * has started, is an end. A connection, whatever its number, leads from an end to all others.
 *
 * A message arrives there in the stream of SINT 7, which is what read() gives; its port is the number of the connection. An
 * event arrives at the eventfd of its flag, if there is one. While a stream pauses, messages wait, up to SINT_QUEUE_MAX.
 */
#ifndef ABI_MSHV_SINT_H
#define ABI_MSHV_SINT_H

#include "abi/mshv/vtl.h"

#define SINT_OF_VTL2   7
#define SINT_QUEUE_MAX 16 /* messages of an end */
#define SINT_FLAGS     2048

struct sint_end {
	struct vtl *vtl;
	struct stream *stream;
	struct sint_end *next; /* all of the process; under vtl.ends_lock */
	/* sint_bus.c */
	struct vtl_watch bus; /* fd is -1: not reached from other processes */
	int place;            /* of those of the session */
	/* Of all below. */
	pthread_mutex_t lock;
	bool paused;
	struct hv_message queue[SINT_QUEUE_MAX];
	unsigned count;          /* of them, from the first on */
	int eventfd[SINT_FLAGS]; /* kept; -1: none */
};

/* Statuses (HVS_*). from: the end that sends, which gets nothing; NULL: none. */
u16 sint_post(struct vtl *t, const struct sint_end *from, u32 connection, u32 type,
	const void *payload, u32 bytes);
u16 sint_signal(struct vtl *t, const struct sint_end *from, u32 connection, u32 flag);
/* To the ends of this process alone. */
u16 sint_post_own(struct vtl *t, const struct hv_message *m);
u16 sint_signal_own(struct vtl *t, u16 flag);

/* ---- what arrives; its lock is held (sint.c) ---- */

bool sint_end_is_full(struct sint_end *e);
/* It is not full. */
void sint_end_message(struct sint_end *e, const struct hv_message *m);
void sint_end_event(struct sint_end *e, u32 flag);

/* ---- other processes (sint_bus.c) ---- */

/* An end becomes reachable, if it can: nobody is to be told where not. */
void sint_bus_join(struct sint_end *e);
void sint_bus_leave(struct sint_end *e);
/* There is room again. Its lock is held. */
void sint_bus_go_on(struct sint_end *e);
/*
 * To all ends of other processes. How many there are; *ret_full: one of them had no room. m is NULL: the event.
 */
unsigned sint_bus_send(struct vtl *t, const struct hv_message *m, u32 flag, bool *ret_full);

#endif
