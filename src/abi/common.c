/* SPDX-License-Identifier: MIT */
/* What all descriptors of an interface share, for each address space: see dev_common(). */
#include <errno.h>

#include "abi/interface.h"
#include "abi/table.h"

static struct common *place_of(struct dev *d, const struct interface *i)
{
	unsigned n = 0;

	while (interfaces[n] != i)
		n++;
	return n < COMMON_MAX ? &d->common[n] : NULL;
}

int dev_common(struct dev *d, const struct interface *i, void **ret)
{
	struct common *c = place_of(d, i);
	int r = 0;

	if (!c)
		return -ENOSPC;
	pthread_mutex_lock(&d->common_lock);
	/* The parent's is not in this process, as are its machines. */
	if (!c->what || c->mm != d->mm)
		r = i->common_make(d, &c->what);
	if (!r) {
		c->mm = d->mm;
		*ret = c->what;
	}
	pthread_mutex_unlock(&d->common_lock);
	return r;
}

void common_free(struct dev *d)
{
	for (unsigned n = 0; n < COMMON_MAX && interfaces[n]; n++)
		if (d->common[n].what && d->common[n].mm == d->mm)
			interfaces[n]->common_free(d->common[n].what);
}
