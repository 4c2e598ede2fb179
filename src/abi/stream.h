/* SPDX-License-Identifier: MIT */
/*
 * Packets that the program reads from a descriptor. Behind it is one end of a pair of sockets (SOCK_SEQPACKET), so read(), poll(),
 * select(), epoll, blocking, O_NONBLOCK and duplicates are the kernel's business alone: a read gives one packet, and one that is
 * shorter than its buffer.
 *
 * A stream can pause, and begins so: then a read that finds no packet gives the end of the file, and poll() says that there is
 * something to read. The end is an empty packet, of which one is put whenever a read is about to begin (stream_read_check()).
 * That is the only call that has to come to us; who reads by other ways finds a few of them that were put at first. When the
 * stream goes on, they are taken back.
 */
#ifndef ABI_STREAM_H
#define ABI_STREAM_H

#include "base/types.h"

#define STREAM_PACKET_MAX 256

struct stream;

/* The program's end is *ret_fd, close-on-exec or not. 0 or -errno. */
int stream_create(bool cloexec, int *ret_fd, struct stream **ret);
/* In a forked child (here: false) its descriptors are closed already. */
void stream_destroy(struct stream *s, bool here);
/* 0; -EAGAIN: it is paused, or nobody reads. From any thread. */
int stream_put(struct stream *s, const void *packet, size_t n);
void stream_pause(struct stream *s, bool pause);
/* Before a read of n bytes that takes packets of this size: 0, or -EINVAL if there is not enough room for one. */
int stream_read_check(struct stream *s, size_t n, size_t packet);

#endif
