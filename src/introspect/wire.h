/* SPDX-License-Identifier: MIT */
/* Messages on a stream socket. Nothing here knows what they mean. */
#ifndef INTROSPECT_WIRE_H
#define INTROSPECT_WIRE_H

#include "introspect/session.h"

/* What has been received and not been taken. A message fits. */
struct inbox {
	size_t begin, end;
	u8 bytes[sizeof(struct kvmi_msg_hdr) + UINT16_MAX];
};

/*
 * The next message; *ret_payload points into the inbox until the next call. 0, or -errno: the connection is over. Blocks,
 * until shutdown() of the socket if need be.
 */
int wire_receive(int fd, struct inbox *in, struct kvmi_msg_hdr *ret, const u8 **ret_payload);
/* Exactly n bytes, of which the peer may keep us waiting for so long; -1 is for ever. */
int wire_read(int fd, void *buffer, size_t n, int timeout_ms);
int wire_write(int fd, const void *buffer, size_t n);
/* The same for a session, with files; on failure its socket is shut, so that the receiver ends it. */
void wire_send(struct session *s, const void *message, size_t n, const int *fd, unsigned files);
/* Can descriptors be sent by it? */
bool wire_takes_files(int fd);
/* For who looks for a while before he sleeps. */
#define WIRE_SOON_NS 50000
/* Make the peer, and whoever waits for it, see the end. */
void wire_shut(int fd);

#endif
