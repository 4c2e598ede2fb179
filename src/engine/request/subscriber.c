/* SPDX-License-Identifier: MIT */
/* See subscriber.h. */
#include "engine/request/subscriber.h"

const struct tap *subscriber_hold(struct machine *m, void **ret_opaque)
{
	struct machine_tap *t = &m->tap;
	const struct tap *ops;

	pthread_mutex_lock(&t->lock);
	ops = t->ops;
	*ret_opaque = t->opaque;
	t->busy += ops != NULL;
	pthread_mutex_unlock(&t->lock);
	return ops;
}

void subscriber_release(struct machine *m, const struct tap *ops)
{
	struct machine_tap *t = &m->tap;

	if (!ops)
		return;
	pthread_mutex_lock(&t->lock);
	if (!--t->busy)
		cond_changed(&t->idle);
	pthread_mutex_unlock(&t->lock);
}
