/* SPDX-License-Identifier: MIT */
/* One step of fuzz-mshv: a request, or what a program does beside. The table of kinds of descriptors is here. */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/mshv/kinds.h"
#include "fuzz/mshv_fuzz.h"

/* ---- kinds ---- */

static long open_system(struct worker *w)
{
	return dev_open(pg.dev, "/dev/mshv", 0);
}

static void map_some(int partition)
{
	struct mshv_user_mem_region a = {
		.size = RAM_BYTES, .userspace_addr = (unsigned long)pg.ram, .flags = 3};

	request(partition, MSHV_SET_GUEST_MEMORY, (unsigned long)&a);
}

static long open_partition(struct worker *w)
{
	struct mshv_create_partition a = {.pt_flags = chance(w, 85) ? 3 : below(w, 8)};
	long fd = request(any_of(w, &mshv_system_ops), MSHV_CREATE_PARTITION, (unsigned long)&a);

	if (fd < 0)
		return fd;
	if (chance(w, 80))
		set_property((int)fd, HV_PROPERTY_SYNTHETIC_PROC_FEATURES, pg.features);
	if (chance(w, 95))
		request((int)fd, MSHV_INITIALIZE_PARTITION, 0);
	if (chance(w, 95))
		map_some((int)fd);
	return fd;
}

static long open_vp(struct worker *w)
{
	struct mshv_create_vp a = {
		.vp_index = chance(w, 95) ? (u32)below(w, 4) : (u32)rnd_edge(&w->r)};

	w->vp_index = a.vp_index;
	return request(any_of(w, &mshv_partition_ops), MSHV_CREATE_VP, (unsigned long)&a);
}

/* Which descriptors there are, how many of each at once, and how one is made. A new kind is a row. */
static const struct kind {
	const struct fd_ops *ops;
	unsigned slots;
	long (*open)(struct worker *w);
} kinds[] = {
	{&mshv_system_ops, 1, open_system},
	{&mshv_partition_ops, 3, open_partition},
	{&mshv_vp_ops, 8, open_vp},
	{&mshv_vtl_ops, 2, vtl_open_one},
	{&mshv_sint_ops, 3, vtl_open_sint},
	{&mshv_hvcall_ops, 1, vtl_open_hvcall},
	{&mshv_vtl_low_ops, 1, vtl_open_low},
};

/* NULL: the slot is not used. */
static const struct kind *kind_of(unsigned slot)
{
	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (slot < kinds[i].slots)
			return &kinds[i];
		slot -= kinds[i].slots;
	}
	return NULL;
}

int any_of(struct worker *w, const struct fd_ops *ops)
{
	unsigned at = (unsigned)below(w, SLOTS);

	for (unsigned n = 0; n < SLOTS; n++) {
		unsigned i = (at + n) % SLOTS;
		const struct kind *k = kind_of(i);

		if (k && k->ops == ops && pg.slot[i].fd >= 0)
			return pg.slot[i].fd;
	}
	return -1;
}

/* ---- slots ---- */

static bool has_pages(const struct kind *k)
{
	return k->ops == &mshv_vp_ops || k->ops == &mshv_vtl_ops;
}

/* A VP's are side by side; a VTL's, of processor 0, are not. */
static void *map_page(const struct kind *k, int fd, unsigned n)
{
	off_t at = (off_t)n << (k->ops == &mshv_vtl_ops ? 28 : 12);
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, at);

	return p == MAP_FAILED ? NULL : p;
}

static void slot_open(struct worker *w, unsigned i)
{
	const struct kind *k = kind_of(i);
	long fd = k->open(w);

	if (fd < 0)
		return;
	pthread_rwlock_wrlock(&pg.pages);
	for (unsigned n = 0; n < 2; n++)
		pg.slot[i].page[n] = has_pages(k) && chance(w, 90) ? map_page(k, (int)fd, n) : NULL;
	pg.slot[i].fd = (int)fd;
	pthread_rwlock_unlock(&pg.pages);
	if (k->ops == &mshv_vp_ops) {
		pg.slot[i].vp_index = w->vp_index;
		guest_revive(w, (int)fd, w->vp_index);
	}
}

static void slot_close(unsigned i)
{
	int fd = atomic_exchange(&pg.slot[i].fd, -1);

	pthread_rwlock_wrlock(&pg.pages);
	for (unsigned n = 0; n < 2; n++) {
		if (pg.slot[i].page[n])
			munmap(pg.slot[i].page[n], 4096);
		pg.slot[i].page[n] = NULL;
	}
	pthread_rwlock_unlock(&pg.pages);
	if (fd >= 0 && dev_close(pg.dev, fd))
		finding("a descriptor cannot be closed");
}

void slots_open(struct worker *w)
{
	for (unsigned i = 0; i < SLOTS; i++)
		pg.slot[i].fd = -1;
	for (unsigned i = 0; i < SLOTS; i++)
		if (kind_of(i) && (i < 3 || chance(w, 50)))
			slot_open(w, i);
}

void slots_close(void)
{
	for (unsigned i = 0; i < SLOTS; i++)
		slot_close(i);
}

static void refill(struct worker *w)
{
	unsigned i = (unsigned)below(w, SLOTS);

	pthread_mutex_lock(&pg.lock);
	if (kind_of(i) && pg.slot[i].fd < 0)
		slot_open(w, i);
	else if (kind_of(i) && with(CLOSING) && chance(w, 15))
		slot_close(i);
	pthread_mutex_unlock(&pg.lock);
}

/* ---- requests ---- */

static bool makes_descriptor(u32 number)
{
	return number == MSHV_CREATE_PARTITION || number == MSHV_CREATE_VP ||
	       number == MSHV_CREATE_VTL;
}

/* Descriptors are made, or it is 0 or -errno. */
static bool result_is_possible(u32 number, long r)
{
	static const int errors[] = {EFAULT, EINVAL, EIO, ENOTTY, EBADF, EEXIST, ENOENT, EBUSY,
		EINTR, ENOMEM, E2BIG, EOPNOTSUPP, EMFILE, EPERM, EBADFD};

	if (r >= 0)
		return !r || makes_descriptor(number) || (number == MSHV_CHECK_EXTENSION && r == 1);
	for (unsigned i = 0; i < ARRAY_SIZE(errors); i++)
		if (r == -errors[i])
			return true;
	return false;
}

long request(int fd, u32 number, unsigned long arg)
{
	long r = dev_ioctl(pg.dev, fd, number, arg);

	count_step();
	if (!result_is_possible(number, r))
		finding("request 0x%x has the result %ld", number, r);
	return r;
}

static void one_request(struct worker *w, int fd, const struct fd_ops *on)
{
	const struct request *r;
	long result;

	do
		r = &mshv_interface.requests[below(w, mshv_interface.request_count)];
	while (r->on != on && chance(w, 95));
	if (((r->number == MSHV_RUN_VP || r->number == MSHV_RETURN_TO_LOWER_VTL) && !with(RUNS)) ||
		(r->number == MSHV_SET_GUEST_MEMORY && !with(MAPS)))
		return;
	progress(r->name);
	result = request(fd, chance(w, 2) ? (u32)rnd_edge(&w->r) | MSHV_IOCTL << 8 : r->number,
		make_argument(w, r));
	if (result > 0 && makes_descriptor(r->number))
		dev_close(pg.dev, (int)result);
}

static void signal_event(struct worker *w)
{
	u64 n = chance(w, 90) ? 1 : below(w, 5);

	(void)!write(pg.event[below(w, EVENT_FDS)], &n, 8);
}

/* The root's hypercalls are not for these. */
static bool is_vtls(const struct fd_ops *on)
{
	return on == &mshv_vtl_ops || on == &mshv_sint_ops || on == &mshv_hvcall_ops ||
	       on == &mshv_vtl_low_ops;
}

static void on_descriptor(struct worker *w, unsigned i, const struct kind *k)
{
	struct slot *s = &pg.slot[i];
	unsigned what = (unsigned)below(w, 100);

	if (k->ops == &mshv_vp_ops && what < 45 && with(RUNS))
		guest_run(w, s);
	else if (k->ops == &mshv_vp_ops && what < 55)
		guest_revive(w, s->fd, s->vp_index);
	else if (k->ops == &mshv_vp_ops && what < 60)
		guest_scribble(w, s);
	else if (k->ops == &mshv_vtl_ops && what < 20)
		vtl_scribble(w, s);
	else if (k->ops == &mshv_sint_ops && what < 20)
		vtl_read(s->fd);
	else if (what < 85 && with(HYPERCALLS) && !is_vtls(k->ops))
		hypercall_step(w, s->fd);
	else
		one_request(w, s->fd, k->ops);
}

void one_step(struct worker *w)
{
	unsigned what = (unsigned)below(w, 100), i = (unsigned)below(w, SLOTS);

	progress("a step");
	if (what < 8)
		refill(w);
	else if (what < 12)
		memory_step(w);
	else if (what < 16 && with(EVENTS))
		signal_event(w);
	else if (what < 17)
		guest_code(w);
	else if (kind_of(i))
		on_descriptor(w, i, kind_of(i));
}
