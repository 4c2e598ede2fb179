/* SPDX-License-Identifier: MIT */
/*
 * KVM_GET_STATS_FD: a descriptor from which statistics are read with pread(2), with a description of themselves.
 *
 * It is a memfd, opened anew for reading only. The engine counts in its page, so reading needs no help from us,
 * shows what is true now, and goes on after the vm is gone. The page is made when it is asked for the first time;
 * our own descriptor of it stays open, since every request gets a file, with a position, of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "abi/kvm/kvm.h"
#include "base/sys.h"

#define NAME_SIZE 48 /* as in Linux */

struct stat_row {
	struct kvm_stats_desc desc;
	char name[NAME_SIZE];
};

static const u32 kind_flags[] = {
	[STAT_CUMULATIVE] = KVM_STATS_TYPE_CUMULATIVE,
	[STAT_INSTANT] = KVM_STATS_TYPE_INSTANT,
	[STAT_LINEAR_HIST] = KVM_STATS_TYPE_LINEAR_HIST,
	[STAT_LOG_HIST] = KVM_STATS_TYPE_LOG_HIST,
};

static const struct {
	u32 flags;
	s16 exponent;
} units[] = {
	[STAT_UNIT_NONE] = {KVM_STATS_UNIT_NONE | KVM_STATS_BASE_POW10, 0},
	[STAT_UNIT_NS] = {KVM_STATS_UNIT_SECONDS | KVM_STATS_BASE_POW10, -9},
	[STAT_UNIT_BOOL] = {KVM_STATS_UNIT_BOOLEAN | KVM_STATS_BASE_POW10, 0},
};

static u32 data_offset(unsigned n)
{
	return sizeof(struct kvm_stats_header) + NAME_SIZE + n * sizeof(struct stat_row);
}

static size_t data_bytes(const struct stat_desc *d, unsigned n)
{
	size_t words = 0;

	for (unsigned i = 0; i < n; i++)
		words += d[i].words;
	return words * sizeof(u64);
}

static void describe(struct stat_row *row, const struct stat_desc *d, u32 offset)
{
	row->desc = (struct kvm_stats_desc){
		.flags = kind_flags[d->kind] | units[d->unit].flags,
		.exponent = units[d->unit].exponent,
		.size = d->words,
		.offset = offset,
		.bucket_size = d->kind == STAT_LINEAR_HIST,
	};
	snprintf(row->name, sizeof(row->name), "%s", d->name);
}

static void describe_all(u8 *page, const char *id, const struct stat_desc *d, unsigned n)
{
	struct kvm_stats_header *h = (void *)page;
	struct stat_row *row = (void *)(page + sizeof(*h) + NAME_SIZE);
	u32 offset = 0;

	*h = (struct kvm_stats_header){
		.name_size = NAME_SIZE,
		.num_desc = n,
		.id_offset = sizeof(*h),
		.desc_offset = sizeof(*h) + NAME_SIZE,
		.data_offset = data_offset(n),
	};
	snprintf((char *)page + sizeof(*h), NAME_SIZE, "%s", id);
	for (unsigned i = 0; i < n; i++) {
		describe(&row[i], &d[i], offset);
		offset += d[i].words * sizeof(u64);
	}
}

/* After this our mapping is the only one that can ever write. */
static int seal(int fd)
{
	int seals = F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

	return sys_fcntl(fd, F_ADD_SEALS, seals) < 0 ? -errno : 0;
}

static int map(struct stats_page *s, int fd, size_t size)
{
	void *p;
	int r;

	if (sys_ftruncate(fd, (off_t)size))
		return -errno;
	p = sys_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	/* The seal does not keep a forked child from writing by our mapping: it has its own by the descriptor. */
	if (sys_madvise(p, size, MADV_DONTFORK)) {
		r = -errno;
		sys_munmap(p, size);
		return r;
	}
	*s = (struct stats_page){.page = p, .size = size, .fd = fd};
	return 0;
}

static int make(
	struct stats_page *s, const char *id, const struct stat_desc *d, unsigned n, u64 **ret_data)
{
	int fd = sys_memfd_create("kvm-stats", MFD_CLOEXEC | MFD_ALLOW_SEALING), r;

	if (fd < 0)
		return -errno;
	r = map(s, fd, data_offset(n) + data_bytes(d, n));
	if (r) {
		sys_close(fd);
		return r;
	}
	r = seal(fd);
	if (r) {
		stats_free(s);
		return r;
	}
	describe_all(s->page, id, d, n);
	*ret_data = (u64 *)(s->page + data_offset(n));
	return 0;
}

void stats_free(struct stats_page *s)
{
	if (!s->page)
		return;
	sys_munmap(s->page, s->size);
	sys_close(s->fd);
	s->page = NULL;
}

/* A file of its own, for reading only; a duplicate where /proc is not to be had. */
static long open_again(const struct stats_page *s)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", s->fd);
	fd = sys_open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fd = sys_fcntl(s->fd, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

long vm_get_stats_fd(struct call *c)
{
	struct kvm_vm *vm = vm_of(c);
	const struct stat_desc *d;
	char id[NAME_SIZE];
	unsigned n;
	u64 *data;
	long r = 0;

	d = engine_machine_stats(&n);
	snprintf(id, sizeof(id), "kvm-%d", dev_pid(c->dev));
	pthread_mutex_lock(&vm->lock);
	if (!vm->stats.page) {
		r = make(&vm->stats, id, d, n, &data);
		if (!r)
			machine_set_stats(vm->machine, data);
	}
	r = r ? r : open_again(&vm->stats);
	pthread_mutex_unlock(&vm->lock);
	return r;
}

long vcpu_get_stats_fd(struct call *c)
{
	struct kvm_vcpu *v = vcpu_of(c);
	const struct stat_desc *d;
	char id[NAME_SIZE];
	unsigned n;
	u64 *data;
	long r = 0;

	d = engine_vcpu_stats(&n);
	snprintf(id, sizeof(id), "kvm-%d/vcpu-%u", dev_pid(c->dev), vcpu_id(v->cpu));
	if (!v->stats.page) {
		r = make(&v->stats, id, d, n, &data);
		if (!r)
			vcpu_set_stats(v->cpu, data);
	}
	return r ? r : open_again(&v->stats);
}
