/* SPDX-License-Identifier: MIT */
/* A socket on which a test listens for machines that look for their tool, and their greeting. */
#ifndef TESTS_KVMI_PLACE_H
#define TESTS_KVMI_PLACE_H

#include "tests/kvmi/harness.h"

/* A folder with the socket, and a file for the cookie. */
struct place {
	char folder[64], path[96], cookie[96];
	int fd; /* listens, or -1 */
};

struct place place_open(void);
void place_listen(struct place *p);
void place_close(struct place *p);
int place_accept(struct place *p);
/* Accepts, and answers what a machine says of itself: a tool may speak there. */
int place_greeted(struct place *p);

#define GREETING 96
void greeting_read(int fd, u8 *ret);
/* size is what it says; n bytes of the hash and what may follow. */
void greeting_answer(int fd, u32 size, const u8 *bytes, size_t n);

#endif
