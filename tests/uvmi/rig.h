/* SPDX-License-Identifier: MIT */
/*
 * What the tests of libuvmi share. A rig is a session with the mock, which runs in a thread of its own. A wire is a
 * session whose other end the test writes and reads itself, byte by byte. Each test function runs in both dialects: its
 * state is one of the two below.
 */
#ifndef UVMI_RIG_H
#define UVMI_RIG_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mock.h"
#include "uvmi.h"

extern enum uvmi_dialect dialect_v6, dialect_v5;
#define DIALECT (*(enum uvmi_dialect *)*state)
#define V5      (DIALECT == UVMI_V5)
#define BOTH(test)                                                                                 \
	{#test " v6", test, NULL, NULL, &dialect_v6},                                              \
	{                                                                                          \
#test " v5", test, NULL, NULL, &dialect_v5                                         \
	}
#define ONLY_V6(test)                                                                              \
	{                                                                                          \
#test, test, NULL, NULL, &dialect_v6                                               \
	}
#define ONLY_V5(test)                                                                              \
	{                                                                                          \
#test, test, NULL, NULL, &dialect_v5                                               \
	}

struct rig {
	struct mock mock;
	pthread_t thread;
	int fd; /* the mock's */
	struct uvmi *s;
};

struct rig *rig_open(enum uvmi_dialect dialect, struct mock_config config);
/* Ends the session; the mock can be looked at until rig_free(). */
void rig_close(struct rig *r);
void rig_free(struct rig *r);
/* Both */
void rig_end(struct rig *r);

struct wire {
	int fd; /* the VM's end */
	struct uvmi *s;
	bool v5;
	u32 seq; /* of the last answer that was written */
};

struct wire wire_open(enum uvmi_dialect dialect, int timeout_ms);
void wire_close(struct wire *w);
/* Bytes to the library. */
void wire_put(int fd, const void *data, size_t n);
/* The answer to the next command, before it is given. */
void wire_answer(struct wire *w, unsigned id, int err, const void *data, size_t n);
void wire_event(
	struct wire *w, u32 seq, unsigned event, unsigned vcpu, const void *extra, size_t n);
/* Bytes from the library, exactly these. */
void wire_expect(struct wire *w, const void *data, size_t n);
void wire_expect_hex(struct wire *w, const char *hex);
/* Reads what has been sent and drops it. */
void wire_drain(struct wire *w);
void wire_greeting(int fd);
unsigned wire_bytes(const char *hex, u8 *bytes);

#endif
