/* SPDX-License-Identifier: MIT */
/* Tokens by which a tool in another guest proves that it may map this one's memory (KVMI_GET_MAP_TOKEN). */
#ifndef INTROSPECT_TOKEN_H
#define INTROSPECT_TOKEN_H

#include <pthread.h>

#include "uapi/kvmi.h"
#include "base/types.h"

#define TOKENS_MAX 8 /* that have not been used and are not too old */

struct tokens {
	pthread_mutex_t lock;
	struct {
		u64 until_ms; /* CLOCK_MONOTONIC; 0: there is none */
		struct kvmi_map_mem_token token;
	} all[TOKENS_MAX];
};

void tokens_init(struct tokens *t);
void tokens_free(struct tokens *t);
/* A new one. -EAGAIN: there are TOKENS_MAX. -EIO: the host has no random numbers. */
int tokens_make(struct tokens *t, struct kvmi_map_mem_token *ret);
/* Is it one of them? It is used up then. */
bool tokens_take(struct tokens *t, const struct kvmi_map_mem_token *token);
void tokens_drop_all(struct tokens *t);

#endif
