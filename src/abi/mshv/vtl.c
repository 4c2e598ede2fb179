/* SPDX-License-Identifier: MIT */
/* The VTL side of an address space: its files, its lower guest's beginning and end, and the requests on /dev/mshv for it. */
#include "abi/mshv/vtl.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "abi/mshv/features.h"
#include "abi/mshv/hostcpus.h"
#include "abi/mshv/hvcall.h"
#include "abi/mshv/partition.h"
#include "base/fd.h"
#include "base/sys.h"

/* ---- the files ---- */

#define KIND_PAGES   (1ull << MSHV_VTL_MMAP_KIND_SHIFT)
#define REGS_AT      (MSHV_VTL_MMAP_REGISTERS * KIND_PAGES * HV_PAGE_SIZE)
#define VTL_BYTES(t) ((t)->cpus * (u64)HV_PAGE_SIZE) /* of each kind */

static u8 *map_pages(const struct vtl *t, u64 at)
{
	return sys_mmap(
		NULL, VTL_BYTES(t), PROT_READ | PROT_WRITE, MAP_SHARED, t->pages_fd, (off_t)at);
}

static int files_make(struct vtl *t)
{
	t->pages_fd = backing_create(&mshv_vtl_ops, REGS_AT + VTL_BYTES(t), false);
	if (t->pages_fd < 0)
		return t->pages_fd;
	t->memory_fd = backing_create(&mshv_vtl_low_ops, 0, true);
	if (t->memory_fd < 0)
		return t->memory_fd;
	t->run = map_pages(t, 0);
	t->regs = t->run == MAP_FAILED ? MAP_FAILED : map_pages(t, REGS_AT);
	return t->regs == MAP_FAILED ? -errno : 0;
}

static void files_free(struct vtl *t)
{
	if (t->run != MAP_FAILED)
		sys_munmap(t->run, VTL_BYTES(t));
	if (t->regs != MAP_FAILED)
		sys_munmap(t->regs, VTL_BYTES(t));
	if (t->pages_fd >= 0)
		fd_drop(t->pages_fd);
	if (t->memory_fd >= 0)
		fd_drop(t->memory_fd);
}

/* All of it reads as 0 then. */
static void file_clear(int fd)
{
	const off_t size = sys_lseek(fd, 0, SEEK_END);

	if (size > 0)
		sys_fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, size);
}

/* ---- the address space's ---- */

void vtl_free(void *vtl)
{
	struct vtl *t = vtl;

	files_free(t);
	for (unsigned i = 0; i < t->cpus; i++)
		pthread_mutex_destroy(&t->cpu[i].returning);
	pthread_mutex_destroy(&t->ends_lock);
	pthread_mutex_destroy(&t->watch_lock);
	pthread_mutex_destroy(&t->lock);
	pthread_mutex_destroy(&t->life);
	free(t->cpu);
	free(t);
}

static struct vtl *vtl_alloc(struct dev *d)
{
	struct vtl *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->dev = d;
	t->cpus = MIN(hostcpus_possible(), (unsigned)MSHV_VPS_MAX);
	t->cpu = calloc(t->cpus, sizeof(*t->cpu));
	if (!t->cpu) {
		free(t);
		return NULL;
	}
	pthread_mutex_init(&t->life, NULL);
	pthread_mutex_init(&t->lock, NULL);
	pthread_mutex_init(&t->watch_lock, NULL);
	pthread_mutex_init(&t->ends_lock, NULL);
	for (unsigned i = 0; i < t->cpus; i++) {
		pthread_mutex_init(&t->cpu[i].returning, NULL);
		t->cpu[i].poll.fd = -1;
	}
	t->pages_fd = t->memory_fd = -1;
	t->run = t->regs = MAP_FAILED;
	return t;
}

int vtl_make(struct dev *d, void **ret)
{
	struct vtl *t = vtl_alloc(d);
	int r = t ? files_make(t) : -ENOMEM;

	if (!r)
		*ret = t;
	else if (t)
		vtl_free(t);
	return r;
}

static int common(struct dev *d, struct vtl **ret)
{
	void *t;
	int r = dev_common(d, &mshv_interface, &t);

	if (!r)
		*ret = t;
	return r;
}

int vtl_pages_file(struct dev *d)
{
	struct vtl *t;
	int r = common(d, &t);

	return r ? r : t->pages_fd;
}

int vtl_memory_file(struct dev *d)
{
	struct vtl *t;
	int r = common(d, &t);

	return r ? r : t->memory_fd;
}

/* As in the kernel, what nobody has is found when it is accessed. */
int vtl_mmap_check(int prot, int flags, size_t len, u64 offset)
{
	return 0;
}

/* Pages of processors that there are not lie between the two kinds, and behind them. */
bool vtl_pages_are_there(const struct object *o, u64 offset, u64 *ret_bytes)
{
	const struct vtl *t = o->behind;
	const u64 kind = offset / HV_PAGE_SIZE / KIND_PAGES;
	const u64 first = kind * KIND_PAGES * HV_PAGE_SIZE, end = first + VTL_BYTES(t);

	if (kind > MSHV_VTL_MMAP_REGISTERS) {
		*ret_bytes = UINT64_MAX - offset;
		return false;
	}
	*ret_bytes = (offset < end ? end : first + KIND_PAGES * HV_PAGE_SIZE) - offset;
	return offset < end;
}

/* ---- the lower guest ---- */

/* It may use all that the hypervisor has. */
static void offer_all(struct mshv_partition *p)
{
	const struct hv_set_property in = {
		.code = HV_PROPERTY_SYNTHETIC_PROC_FEATURES, .value = SYNTHETIC_FEATURES};
	struct hvcall h = {.partition = p, .in = &in, .in_size = sizeof(in)};

	call_set_property(&h);
}

static int partition_begin(struct vtl *t)
{
	const struct mshv_create_partition_v2 a = {
		.pt_flags = 1 << MSHV_PT_BIT_LAPIC | 1 << MSHV_PT_BIT_X2APIC};
	int r = partition_make(t->dev, &a, &t->partition);

	if (!r)
		r = vtl_watches_begin(t);
	if (r) {
		if (t->partition)
			partition_free(t->partition);
		t->partition = NULL;
		return r;
	}
	t->partition->vtl = t;
	atomic_store(&t->config, HV_VSM_CONFIG_MASK | HV_VSM_CONFIG_PAGE);
	offer_all(t->partition);
	machine_set_option(t->partition->machine, OPT_HYPERCALL_INTERCEPT, 1);
	atomic_store(&t->partition->initialized, true);
	return 0;
}

/* Its memory is a mapping of ours, until no processor can be there any more. */
static void partition_end(struct vtl *t)
{
	struct mshv_partition *p = t->partition;
	struct mem_region *regions = p->regions;
	unsigned count = p->region_count;

	vtl_polls_end(t);
	vtl_watches_end(t);
	p->regions = NULL;
	p->region_count = 0;
	t->partition = NULL;
	t->has_processors = false;
	partition_free(p);
	for (unsigned i = 0; i < count; i++)
		sys_munmap((void *)regions[i].hva, regions[i].pages * HV_PAGE_SIZE);
	free(regions);
	file_clear(t->memory_fd);
	file_clear(t->pages_fd);
}

/* All of them: one may send to another which nobody has executed yet. */
static int make_processors(struct vtl *t)
{
	if (t->has_processors)
		return 0;
	for (unsigned i = 0; i < t->cpus; i++)
		if (hostcpu_is_online(i) && !vtl_vp(t, i))
			return -ENOMEM;
	t->has_processors = true;
	return 0;
}

/* Under t->life. */
static int hold(struct vtl *t, bool processors)
{
	int r = t->holds ? 0 : partition_begin(t);

	if (r)
		return r;
	if (processors)
		r = make_processors(t);
	if (!r)
		t->holds++;
	else if (!t->holds)
		partition_end(t);
	return r;
}

int vtl_get(struct dev *d, bool processors, struct vtl **ret)
{
	struct vtl *t;
	int r = common(d, &t);

	if (r)
		return r;
	pthread_mutex_lock(&t->life);
	r = hold(t, processors);
	pthread_mutex_unlock(&t->life);
	if (!r)
		*ret = t;
	return r;
}

void vtl_put(struct vtl *t)
{
	pthread_mutex_lock(&t->life);
	if (!--t->holds)
		partition_end(t);
	pthread_mutex_unlock(&t->life);
}

int vtl_open(struct dev *d, struct object *o)
{
	struct vtl *t;
	int r = vtl_get(d, false, &t);

	if (!r)
		o->behind = t;
	return r;
}

void vtl_release(void *vtl)
{
	vtl_put(vtl);
}

/* ---- its processors ---- */

static struct mshv_vp *make_vp(struct vtl *t, unsigned cpu)
{
	struct hv_register_page *regs = (void *)(t->regs + (size_t)cpu * HV_PAGE_SIZE);
	struct mshv_vp *v = NULL;

	pthread_mutex_lock(&t->partition->telling);
	if (!vp_make(t->partition, cpu, regs, &v)) {
		vtl_context_save(v);
		atomic_store(&t->partition->vp[cpu], v);
	}
	pthread_mutex_unlock(&t->partition->telling);
	return v;
}

struct mshv_vp *vtl_vp(struct vtl *t, unsigned cpu)
{
	struct mshv_vp *v = partition_vp(t->partition, cpu);

	if (likely(v) || cpu >= t->cpus)
		return v;
	pthread_mutex_lock(&t->lock);
	v = partition_vp(t->partition, cpu);
	if (!v)
		v = make_vp(t, cpu);
	pthread_mutex_unlock(&t->lock);
	return v;
}

struct mshv_vp *vtl_vp_here(struct call *c)
{
	unsigned cpu = hostcpu_here();
	struct mshv_vp *v = vtl_vp(vtl_of(c), cpu);

	if (!v)
		refuse(c->why, 0, "processor %lu: the lower guest has no VP for it", (u64)cpu);
	return v;
}

/* ---- requests on /dev/mshv ---- */

long system_create_vtl(struct call *c)
{
	const struct fd_spec q = {.ops = &mshv_vtl_ops};
	struct object *o;
	struct vtl *t;
	int fd, r = vtl_get(c->dev, true, &t);

	if (r)
		return r;
	fd = fd_create(c->dev, &q, &o);
	if (fd < 0) {
		vtl_put(t);
		return fd;
	}
	o->behind = t;
	return fd_publish(c->dev, fd, o);
}

long system_check_extension(struct call *c)
{
	const u32 extension = *(const u32 *)c->data;

	switch (extension) {
	case MSHV_CAP_CORE_API_STABLE: return 0;
	case MSHV_CAP_REGISTER_PAGE: return 1;
	case MSHV_CAP_VTL_RETURN_ACTION: return !!(VSM_CAPABILITIES & HV_VSM_RETURN_ACTION);
	case MSHV_CAP_DR6_SHARED: return !!(VSM_CAPABILITIES & HV_VSM_DR6_SHARED);
	default: return refuse(c->why, -EOPNOTSUPP, "extension %lu: is unknown", (u64)extension);
	}
}
