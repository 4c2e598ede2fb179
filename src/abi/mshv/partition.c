/* SPDX-License-Identifier: MIT */
/* A partition: made and unmade, initialised, given virtual processors. */
#include <stdio.h>
#include <stdlib.h>

#include "abi/mshv/cpuid.h"
#include "abi/mshv/features.h"
#include "abi/mshv/intercept.h"
#include "abi/mshv/memory.h"
#include "abi/mshv/partition.h"
#include "abi/mshv/property.h"
#include "introspect/introspect.h"

/* The hypervisor has local APICs and nothing else of a PC; what nobody serves leaves as an intercept. */
static int machine_make(struct mshv_partition *p)
{
	int r = machine_create(&p->machine);

	if (r)
		return r;
	machine_set_option(p->machine, OPT_INTERCEPTS, 1);
	/* But that ARCH_CAPABILITIES has the engine's value: guests would work around what the engine has not. */
	machine_set_option(p->machine, OPT_QUIRKS_OFF, ~(u64)QUIRK_STUFF_FEATURE_MSRS);
	machine_set_x2apic_api(p->machine, true, false);
	if (partition_has_lapic(p))
		r = machine_create_irqchip(p->machine, IRQCHIP_SPLIT);
	return r ? r : intercepts_init(p);
}

void partition_free(struct mshv_partition *p)
{
	introspection_destroy(p->introspection); /* first: it may just be learning of the VPs */
	intercepts_free(p);
	for (unsigned i = 0; i < MSHV_VPS_MAX; i++)
		if (p->vp[i])
			vp_free(p->vp[i]);
	machine_destroy(p->machine);
	regions_free(p);
	cpuid_results_free(p);
	pthread_mutex_destroy(&p->lock);
	pthread_mutex_destroy(&p->telling);
	pthread_mutex_destroy(&p->requests);
	free(p);
}

int partition_make(
	struct dev *d, const struct mshv_create_partition_v2 *a, struct mshv_partition **ret)
{
	struct mshv_partition *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->dev = d;
	p->flags = a->pt_flags;
	features_init(p, a);
	pthread_mutex_init(&p->requests, NULL);
	pthread_mutex_init(&p->telling, NULL);
	pthread_mutex_init(&p->lock, NULL);
	properties_init(p);
	r = machine_make(p);
	if (r) {
		partition_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

/* Its VPs may live on, and run; as in the kernel they have no more event descriptors. */
void partition_closed(void *mshv_partition)
{
	struct mshv_partition *p = mshv_partition;

	irqfd_deassign_all(p->machine);
	ioeventfd_deassign_all(p->machine);
}

void partition_release(void *mshv_partition)
{
	if (mshv_partition)
		partition_free(mshv_partition);
}

long partition_initialize(struct call *c)
{
	atomic_store(&partition_of(c)->initialized, true);
	return 0;
}

/* ---- virtual processors ---- */

static long check_new_vp(struct call *c, u32 index)
{
	const struct mshv_partition *p = partition_of(c);

	if (index >= MSHV_VPS_MAX)
		return refuse(c->why, -EINVAL, "vp_index %lu: must be below %lu", (u64)index,
			(u64)MSHV_VPS_MAX);
	if (partition_vp(p, index))
		return refuse(c->why, -EEXIST, "vp_index %lu: this VP already exists", (u64)index);
	if (!atomic_load(&p->initialized))
		return refuse(c->why, -EIO, NOT_INITIALIZED);
	return 0;
}

/* A descriptor that is not yet published, or -errno. */
static int create_vp_fd(struct mshv_partition *p, u32 index, struct object **ret)
{
	char suffix[16];
	const struct fd_spec q = {
		.ops = &mshv_vp_ops, .owner = p->object, .suffix = suffix, .size = VP_BYTES};
	struct mshv_vp *v;
	struct object *o;
	int fd, r;

	snprintf(suffix, sizeof(suffix), ":%u", index);
	fd = fd_create(p->dev, &q, &o);
	if (fd < 0)
		return fd;
	pthread_mutex_lock(&p->telling);
	r = vp_make_pages(p, index, fd, &v);
	if (!r)
		atomic_store(&p->vp[index], v);
	if (!r && !p->introspection)
		dev_introspect(p->dev, p->machine, &p->introspection);
	pthread_mutex_unlock(&p->telling);
	if (r) {
		fd_abandon(p->dev, fd, o);
		return r;
	}
	o->behind = v;
	*ret = o;
	return fd;
}

long partition_create_vp(struct call *c)
{
	const struct mshv_create_vp *a = c->data;
	struct object *o = NULL;
	long fd = check_new_vp(c, a->vp_index);

	fd = fd ? fd : create_vp_fd(partition_of(c), a->vp_index, &o);
	return fd < 0 ? fd : fd_publish(c->dev, (int)fd, o);
}

void partition_kick_all(struct mshv_partition *p)
{
	for (unsigned i = 0; i < MSHV_VPS_MAX; i++) {
		struct mshv_vp *v = partition_vp(p, i);

		if (!v)
			continue;
		vp_take(v); /* it has come out; what it finds when it goes on is new */
		vp_give(v);
	}
}
