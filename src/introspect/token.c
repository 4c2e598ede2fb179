/* SPDX-License-Identifier: MIT */
#include "introspect/token.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/sys.h"
#include "introspect/secret.h"

#define LIFE_MS 3000

static u64 now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000 + (u64)t.tv_nsec / 1000000;
}

void tokens_init(struct tokens *t)
{
	pthread_mutex_init(&t->lock, NULL);
}

void tokens_free(struct tokens *t)
{
	pthread_mutex_destroy(&t->lock);
}

static int make_at(struct tokens *t, unsigned n, struct kvmi_map_mem_token *ret)
{
	if (SYS_CALL3(SYS_getrandom, ret, sizeof(*ret), 0) != sizeof(*ret))
		return -EIO;
	t->all[n].token = *ret;
	t->all[n].until_ms = now_ms() + LIFE_MS;
	return 0;
}

int tokens_make(struct tokens *t, struct kvmi_map_mem_token *ret)
{
	int r = -EAGAIN;

	pthread_mutex_lock(&t->lock);
	for (unsigned n = 0; n < TOKENS_MAX && r == -EAGAIN; n++)
		if (t->all[n].until_ms <= now_ms())
			r = make_at(t, n, ret);
	pthread_mutex_unlock(&t->lock);
	return r;
}

bool tokens_take(struct tokens *t, const struct kvmi_map_mem_token *token)
{
	bool found = false;

	pthread_mutex_lock(&t->lock);
	for (unsigned n = 0; n < TOKENS_MAX; n++)
		if (t->all[n].until_ms > now_ms() &&
			secret_same(&t->all[n].token, token, sizeof(*token))) {
			t->all[n].until_ms = 0;
			found = true;
		}
	pthread_mutex_unlock(&t->lock);
	return found;
}

void tokens_drop_all(struct tokens *t)
{
	pthread_mutex_lock(&t->lock);
	memset(t->all, 0, sizeof(t->all));
	pthread_mutex_unlock(&t->lock);
}
