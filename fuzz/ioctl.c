/* SPDX-License-Identifier: MIT */
/*
 * fuzz-ioctl [--seconds N] [--requests N] [--seed S] [--threads T]: random sequences of KVM requests with
 * arguments that are half right, over our own KVM in this process.
 *
 * Nothing that a caller passes may crash it, hang it, leak, or change memory that was not named. The
 * seed is printed; with one thread the same seed makes the same requests again. Exit code 0, 1 for a leak,
 * or an abort. A ticker thread sends signals, so that no KVM_RUN lasts; if requests stop coming for
 * HANG_SECONDS, that is a hang. The work is done in ROUNDS, each with a device of its own: what the process
 * holds after the last must be what it held after the first.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "abi/dev.h"
#include "abi/kvm/kvm.h"

#define THREADS_MAX  8
#define POOL         13
#define RAM_BYTES    0x40000
#define RING_BYTES   0x4000 /* of dirty page numbers, where a vm has that */
#define SCRATCH      0x8000
#define HANG_SECONDS 30
#define ROUNDS       3
#define HEAP_SLACK   (64 << 10) /* the C library's own, of threads that come and go */
#define MAPPED_SLACK (8 << 20)

struct slot {
	_Atomic int fd;
	enum fd_kind kind;
	void *run; /* a vcpu's pages */
};

static struct {
	struct dev *dev;
	u8 *ram;
	int event;
	struct slot pool[POOL];
	pthread_mutex_t lock; /* closing and creating */
	unsigned long count;  /* requests in a round, unless seconds are given */
	unsigned seconds;     /* in a round */
	time_t end;
	pthread_barrier_t finished;
	_Atomic unsigned long done;
	_Atomic bool stop;
	unsigned threads;
	pthread_t thread[THREADS_MAX];
} fz = {.lock = PTHREAD_MUTEX_INITIALIZER, .count = 2000, .threads = 1};

struct worker {
	u64 random;
	u8 *scratch; /* SCRATCH bytes, then a page that is not there */
};

static u64 next(struct worker *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random;
}

static u64 below(struct worker *w, u64 n)
{
	return (next(w) >> 11) % n;
}

static bool chance(struct worker *w, unsigned percent)
{
	return below(w, 100) < percent;
}

/* Numbers that tend to sit on the edge of something. */
static u64 interesting(struct worker *w)
{
	static const u64 edges[] = {0, 1, 2, 3, 4, 8, 15, 16, 23, 24, 31, 32, 63, 64, 255, 256,
		4095, 4096, 4097, 0x8000, 0xffff, 0x10000, 0x40000, 0xa0000, 0x7fffffff, 0x80000000,
		0xfee00000, 0xfec00000, 0xffffffff, 0x100000000, 0x7fffffffffff, 0x800000000000,
		-4096ull, -1ull};

	switch (below(w, 4)) {
	case 0: return edges[below(w, ARRAY_SIZE(edges))];
	case 1: return below(w, 40);
	case 2: return 1ull << below(w, 64);
	default: return next(w);
	}
}

static void fill(struct worker *w, void *p, size_t n)
{
	u8 *b = p;
	size_t i;

	memset(b, 0, n);
	if (chance(w, 10))
		for (i = 0; i < n; i++)
			b[i] = next(w);
	for (i = below(w, 6); i; i--) {
		u64 v = interesting(w);
		size_t size = 1u << below(w, 4), at = below(w, n + 1) & ~(size - 1);

		if (at + size <= n)
			memcpy(b + at, &v, size);
	}
}

/* ---- the pool ---- */

/* Some slots are for the device, some for vms, most for vcpus. */
static enum fd_kind slot_kind(unsigned i)
{
	return i < 1 ? FD_SYSTEM : i < 4 ? FD_VM : i < 5 ? FD_GUEST_MEMFD : FD_VCPU;
}

/* Some open descriptor of a kind, or -1. */
static int any_of(struct worker *w, enum fd_kind kind)
{
	unsigned i, at = below(w, POOL);

	for (i = 0; i < POOL; i++)
		if (slot_kind((at + i) % POOL) == kind && fz.pool[(at + i) % POOL].fd >= 0)
			return fz.pool[(at + i) % POOL].fd;
	return -1;
}

/* ---- arguments that go deeper if they are right ---- */

static void make_region(struct worker *w, void *p)
{
	struct kvm_userspace_memory_region *r = p;
	u64 at = below(w, 8) * 0x8000;

	*r = (struct kvm_userspace_memory_region){
		.slot = below(w, 4),
		.flags = below(w, 4),
		.guest_phys_addr = chance(w, 90) ? below(w, 8) * 0x8000 : interesting(w),
		.memory_size = chance(w, 70)   ? RAM_BYTES - at
			       : chance(w, 70) ? 0
					       : interesting(w),
		/* Only memory that guests may write: ours, or none at all. */
		.userspace_addr = chance(w, 90) ? (u64)fz.ram + at : 0x10000,
	};
	if (r->userspace_addr == (u64)fz.ram + at && r->memory_size > RAM_BYTES - at)
		r->memory_size = RAM_BYTES - at;
	if (r->userspace_addr == 0x10000 && r->memory_size > 0x100000)
		r->memory_size = 0x100000; /* nothing is mapped that low */
}

/* Begins as the older structure does. */
static void make_region2(struct worker *w, void *p)
{
	struct kvm_userspace_memory_region2 *r = p;

	make_region(w, p);
	r->flags |= chance(w, 20) ? KVM_MEM_GUEST_MEMFD : 0;
	r->guest_memfd = chance(w, 90) ? any_of(w, FD_GUEST_MEMFD) : (int)interesting(w);
	r->guest_memfd_offset = chance(w, 90) ? below(w, 8) * 0x8000 : interesting(w);
}

static void make_sregs(struct worker *w, void *p, int fd)
{
	struct kvm_sregs *s = p;

	dev_ioctl(fz.dev, fd, KVM_GET_SREGS, (unsigned long)s);
	if (chance(w, 60))
		s->cs.base = s->cs.selector = 0;
	if (chance(w, 20))
		((u8 *)s)[below(w, sizeof(*s))] = next(w);
}

static void make_regs(struct worker *w, void *p)
{
	struct kvm_regs *r = p;
	unsigned i;

	for (i = 0; i < 16; i++)
		(&r->rax)[i] = interesting(w);
	r->rip = chance(w, 90) ? below(w, 0x10000) : interesting(w);
	r->rflags = 2 | (chance(w, 30) ? next(w) & 0x3f7fd5 : 0);
}

static void make_cpuid(struct worker *w, void *p, int fd)
{
	struct kvm_cpuid2 *c = p;

	(void)fd;
	c->nent = 256;
	dev_ioctl(fz.dev, any_of(w, FD_SYSTEM), KVM_GET_SUPPORTED_CPUID, (unsigned long)c);
	if (chance(w, 20))
		c->nent = interesting(w);
}

static void make_cap(struct worker *w, void *p)
{
	static const u16 caps[] = {KVM_CAP_SPLIT_IRQCHIP, KVM_CAP_X2APIC_API,
		KVM_CAP_EXCEPTION_PAYLOAD, KVM_CAP_X86_USER_SPACE_MSR, KVM_CAP_DISABLE_QUIRKS,
		KVM_CAP_X86_APIC_BUS_CYCLES_NS, KVM_CAP_MAX_VCPU_ID,
		KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_CAP_DIRTY_LOG_RING,
		KVM_CAP_DIRTY_LOG_RING_ACQ_REL, KVM_CAP_X86_TRIPLE_FAULT_EVENT,
		KVM_CAP_DISABLE_QUIRKS2, KVM_CAP_X86_DISABLE_EXITS, KVM_CAP_MSR_PLATFORM_INFO,
		KVM_CAP_EXIT_HYPERCALL, KVM_CAP_EXIT_ON_EMULATION_FAILURE, KVM_CAP_HYPERV_SYNIC,
		KVM_CAP_HYPERV_SYNIC2, KVM_CAP_HYPERV_ENFORCE_CPUID};
	struct kvm_enable_cap *e = p;

	e->cap = caps[below(w, ARRAY_SIZE(caps))];
	e->flags = 0;
	if (e->cap == KVM_CAP_DIRTY_LOG_RING && chance(w, 50))
		e->args[0] = RING_BYTES;
}

static void make_attributes(struct worker *w, void *p)
{
	*(struct kvm_memory_attributes *)p = (struct kvm_memory_attributes){
		.address = below(w, 16) * 0x4000,
		.size = chance(w, 90) ? below(w, 16) * 0x4000 : interesting(w),
		.attributes =
			chance(w, 90) ? below(w, 2) * KVM_MEMORY_ATTRIBUTE_PRIVATE : interesting(w),
		.flags = chance(w, 95) ? 0 : interesting(w),
	};
}

static void make_clear_log(struct worker *w, void *p)
{
	struct kvm_clear_dirty_log *c = p;

	c->slot = below(w, 4);
	c->first_page = chance(w, 80) ? 0 : below(w, 3) * 64;
	c->num_pages = chance(w, 80) ? RAM_BYTES / 4096 : interesting(w);
}

/* The eventfd that is for this, or no eventfd at all: others in this process are the engine's own. */
static int some_fd(struct worker *w)
{
	return chance(w, 80) ? fz.event : chance(w, 50) ? 0 : 5000 + (int)below(w, 5000);
}

static void make_eventfd(struct worker *w, u32 number, void *p)
{
	if (number == KVM_IRQFD) {
		((struct kvm_irqfd *)p)->fd = some_fd(w);
		((struct kvm_irqfd *)p)->resamplefd = some_fd(w);
	} else if (number == KVM_HYPERV_EVENTFD) {
		((struct kvm_hyperv_eventfd *)p)->fd = some_fd(w);
	} else {
		((struct kvm_ioeventfd *)p)->fd = some_fd(w);
	}
}

/* A mask that lets the ticker's signal through. */
static void make_signal_mask(struct worker *w, void *p)
{
	struct kvm_signal_mask *m = p;
	u64 set = next(w) & ~(1ull << (SIGUSR1 - 1));

	m->len = chance(w, 90) ? 8 : interesting(w);
	memcpy(m->sigset, &set, sizeof(set));
}

/* No pointer inside a structure may hit memory by chance that is not for it. */
static void make_inner_pointer(struct worker *w, u32 number, void *p)
{
	u64 inner = chance(w, 70) ? (u64)w->scratch + below(w, SCRATCH) : 0xdead000000000000;
	unsigned i;

	if (number == KVM_GET_DIRTY_LOG)
		((struct kvm_dirty_log *)p)->padding2 = inner;
	if (number == KVM_CLEAR_DIRTY_LOG)
		((struct kvm_clear_dirty_log *)p)->padding2 = inner;
	if (number == KVM_GET_DEVICE_ATTR || number == KVM_SET_DEVICE_ATTR ||
		number == KVM_HAS_DEVICE_ATTR)
		((struct kvm_device_attr *)p)->addr = inner;
	if (number == KVM_X86_SET_MSR_FILTER)
		for (i = 0; i < KVM_MSR_FILTER_MAX_RANGES; i++)
			((struct kvm_msr_filter *)p)->ranges[i].bitmap = (void *)inner;
}

static unsigned long make_argument(struct worker *w, const struct request *r, int fd)
{
	size_t size = r->arg_kind == ARG_PTR ? 512 : r->size;
	u8 *p = w->scratch;

	if (r->arg_kind <= ARG_VALUE)
		return r->arg_kind == ARG_ZERO && chance(w, 95) ? 0 : interesting(w);
	if (chance(w, 3))
		return chance(w, 50) ? 0 : 0xdead000000000000;
	if (chance(w, 5)) /* the end is missing */
		p = w->scratch + SCRATCH - below(w, size + 1);
	else
		p += below(w, 64) * 8;
	fill(w, p, MIN(size, (size_t)(w->scratch + SCRATCH - p)));
	/* Only what is there completely gets details; sizes of ARG_PTR are the request's own business. */
	if (p + 16 * 1024 > w->scratch + SCRATCH)
		return (unsigned long)p;
	switch (r->number) {
	case (u32)KVM_SET_USER_MEMORY_REGION: make_region(w, p); break;
	case (u32)KVM_SET_USER_MEMORY_REGION2: make_region2(w, p); break;
	case (u32)KVM_SET_SREGS: make_sregs(w, p, fd); break;
	case (u32)KVM_SET_REGS: make_regs(w, p); break;
	case (u32)KVM_SET_CPUID2: make_cpuid(w, p, fd); break;
	case (u32)KVM_SET_MEMORY_ATTRIBUTES: make_attributes(w, p); break;
	case (u32)KVM_CLEAR_DIRTY_LOG: make_clear_log(w, p); break;
	case (u32)KVM_HYPERV_EVENTFD:
	case (u32)KVM_IRQFD:
	case (u32)KVM_IOEVENTFD: make_eventfd(w, r->number, p); break;
	case (u32)KVM_ENABLE_CAP: make_cap(w, p); break;
	case (u32)KVM_SET_SIGNAL_MASK: make_signal_mask(w, p); break;
	}
	make_inner_pointer(w, r->number, p);
	return (unsigned long)p;
}

/* ---- one step ---- */

static void pool_close(struct slot *s)
{
	int fd = atomic_exchange(&s->fd, -1);

	if (fd < 0)
		return;
	if (s->run)
		munmap(s->run, 12288);
	s->run = NULL;
	dev_close(fz.dev, fd);
}

static void pool_open(struct worker *w, struct slot *s, enum fd_kind kind)
{
	const int prot = PROT_READ | PROT_WRITE;
	struct kvm_userspace_memory_region r = {
		.memory_size = RAM_BYTES, .userspace_addr = (u64)fz.ram};
	struct kvm_create_guest_memfd memfd = {.size = RAM_BYTES};
	long fd;

	if (kind == FD_SYSTEM)
		fd = dev_open_kvm(fz.dev, 0);
	else if (kind == FD_VM)
		fd = dev_ioctl(fz.dev, any_of(w, FD_SYSTEM), KVM_CREATE_VM,
			chance(w, 30) ? KVM_X86_SW_PROTECTED_VM : KVM_X86_DEFAULT_VM);
	else if (kind == FD_GUEST_MEMFD)
		fd = dev_ioctl(
			fz.dev, any_of(w, FD_VM), KVM_CREATE_GUEST_MEMFD, (unsigned long)&memfd);
	else
		fd = dev_ioctl(fz.dev, any_of(w, FD_VM), KVM_CREATE_VCPU, below(w, 4));
	if (fd < 0)
		return;
	if (kind == FD_VM && chance(w, 70))
		dev_ioctl(fz.dev, fd, KVM_SET_USER_MEMORY_REGION, (unsigned long)&r);
	if (kind == FD_VM && chance(w, 50))
		dev_ioctl(fz.dev, fd, KVM_CREATE_IRQCHIP, 0);
	s->kind = kind;
	s->run = kind == FD_VCPU ? mmap(NULL, 12288, prot, MAP_SHARED, fd, 0) : NULL;
	s->fd = fd;
}

static void refill(struct worker *w)
{
	unsigned i = below(w, POOL);
	struct slot *s = &fz.pool[i];

	pthread_mutex_lock(&fz.lock);
	if (s->fd < 0)
		pool_open(w, s, slot_kind(i));
	else if (chance(w, 10))
		pool_close(s);
	pthread_mutex_unlock(&fz.lock);
}

/* The caller may write anything to kvm_run at any time. */
static void scribble(struct worker *w, struct slot *s)
{
	pthread_mutex_lock(&fz.lock);
	if (s->fd >= 0 && s->run) {
		u8 *p = s->run;

		p[chance(w, 80) ? below(w, sizeof(struct kvm_run)) : below(w, 12288)] = next(w);
		((struct kvm_run *)p)->immediate_exit = chance(w, 10);
		if (chance(w, 50))
			((struct kvm_run *)p)->kvm_valid_regs =
				((struct kvm_run *)p)->kvm_dirty_regs = 0;
	}
	pthread_mutex_unlock(&fz.lock);
}

static bool makes_descriptor(const struct request *r)
{
	return r->number == KVM_CREATE_VM || r->number == KVM_CREATE_VCPU;
}

/* What is in some slot now; another thread may close it before it is used, and that is wanted. */
static struct slot pick(struct worker *w)
{
	unsigned i = below(w, POOL);
	struct slot s;

	pthread_mutex_lock(&fz.lock);
	s = fz.pool[i];
	pthread_mutex_unlock(&fz.lock);
	return s;
}

static void request(struct worker *w, const struct request *r, int fd)
{
	long result = dev_ioctl(fz.dev, fd, r->number, make_argument(w, r, fd));

	if (result >= 0 && (r->number == KVM_GET_STATS_FD || r->number == KVM_CREATE_GUEST_MEMFD))
		dev_close(fz.dev, (int)result);
}

static void one_request(struct worker *w)
{
	const struct slot s = pick(w);
	unsigned rows;
	const struct request *table = request_table(&rows), *r;
	int fd = s.fd;

	do
		r = &table[below(w, rows)];
	while (makes_descriptor(r) || (r->fd_kind != s.kind && chance(w, 90)));
	if (s.kind == FD_VCPU && chance(w, 25))
		r = request_find(FD_VCPU, KVM_RUN);
	if (chance(w, 2))
		dev_ioctl(fz.dev, fd, _IO(KVMIO, 0xff) - below(w, 16), interesting(w));
	else
		request(w, r, fd);
}

static void one_step(struct worker *w)
{
	unsigned what = below(w, 100);

	if (what < 4)
		refill(w);
	else if (what < 6)
		dev_fallocate(fz.dev, any_of(w, FD_GUEST_MEMFD), (int)below(w, 4),
			(s64)(chance(w, 80) ? below(w, 64) * 0x1000 : interesting(w)),
			(s64)(chance(w, 80) ? below(w, 64) * 0x1000 : interesting(w)));
	else if (what < 20)
		scribble(w, &fz.pool[below(w, POOL)]);
	else
		one_request(w);
}

/* ---- threads ---- */

static u8 *guarded(size_t size)
{
	u8 *p = mmap(NULL, size + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	mprotect(p + size, 4096, PROT_NONE);
	return p;
}

static void *work(void *arg)
{
	struct worker w = {.random = (u64)arg, .scratch = guarded(SCRATCH)};

	while (atomic_fetch_add(&fz.done, 1) < fz.count || time(NULL) < fz.end)
		one_step(&w);
	pthread_barrier_wait(&fz.finished);
	munmap(w.scratch, SCRATCH + 4096);
	return NULL;
}

static void *tick(void *arg)
{
	struct timespec t = {.tv_nsec = 1000000};
	unsigned long last = 0;
	time_t since = time(NULL);
	unsigned i;

	while (!fz.stop) {
		nanosleep(&t, NULL);
		for (i = 0; i < fz.threads; i++)
			pthread_kill(fz.thread[i], SIGUSR1);
		if (fz.done != last || fz.stop) {
			last = fz.done;
			since = time(NULL);
		} else if (time(NULL) - since > HANG_SECONDS) {
			fprintf(stderr, "no request has returned for %d seconds\n", HANG_SECONDS);
			abort();
		}
	}
	return NULL;
}

static void nothing(int sig)
{
}

/* What must not grow from round to round. */
struct holdings {
	long fds, heap, mapped;
};

static long open_fds(void)
{
	long n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Address space in bytes, without what the sanitizers and the C library keep for threads. */
static long mapped_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long pages = 0;

	if (!f || fscanf(f, "%ld", &pages) != 1)
		abort();
	fclose(f);
	return pages * 4096;
}

static struct holdings look(void)
{
	return (struct holdings){open_fds(), (long)mallinfo2().uordblks, mapped_bytes()};
}

static bool leaked(const char *what, long before, long after, long slack)
{
	if (after <= before + slack)
		return false;
	fprintf(stderr, "%s leaked: %ld after the first round, %ld after the last\n", what, before,
		after);
	return true;
}

static bool any_leak(const struct holdings *a, const struct holdings *b)
{
	bool fds = leaked("descriptors", a->fds, b->fds, 0);
	bool heap = leaked("heap", a->heap, b->heap, HEAP_SLACK);
	bool mapped = leaked("mapped memory", a->mapped, b->mapped, MAPPED_SLACK);

	return fds || heap || mapped;
}

static u64 parse(int argc, char **argv)
{
	static const struct option options[] = {
		{"seconds", required_argument, NULL, 'n'},
		{"requests", required_argument, NULL, 'r'},
		{"seed", required_argument, NULL, 's'},
		{"threads", required_argument, NULL, 't'},
		{0},
	};
	u64 seed = time(NULL) * 1000003ull ^ getpid();
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (c) {
		case 's': seed = strtoull(optarg, NULL, 0); break;
		case 'n': fz.seconds = strtoul(optarg, NULL, 0) / ROUNDS; break;
		case 'r': fz.count = strtoul(optarg, NULL, 0) / ROUNDS; break;
		case 't': fz.threads = strtoul(optarg, NULL, 0); break;
		default: exit(2);
		}
	if (fz.threads < 1 || fz.threads > THREADS_MAX)
		exit(2);
	return seed;
}

static void setup(u64 seed)
{
	unsigned i;

	signal(SIGUSR1, nothing);
	fz.ram = guarded(RAM_BYTES);
	for (i = 0; i < RAM_BYTES; i++) /* some code for the guests */
		fz.ram[i] = (seed >> (i % 57)) * 2654435761u >> (i % 13);
	for (i = 0; i < POOL; i++)
		fz.pool[i].fd = -1;
	fz.event = eventfd(0, EFD_NONBLOCK);
	pthread_barrier_init(&fz.finished, NULL, fz.threads + 1);
}

static void run_threads(u64 seed)
{
	pthread_t ticker;
	unsigned i;

	for (i = 0; i < fz.threads; i++)
		pthread_create(
			&fz.thread[i], NULL, work, (void *)((seed ^ i * 0x9e3779b97f4a7c15) | 1));
	pthread_create(&ticker, NULL, tick, NULL);
	pthread_barrier_wait(&fz.finished);
	fz.stop = true;
	pthread_join(ticker, NULL);
	for (i = 0; i < fz.threads; i++)
		pthread_join(fz.thread[i], NULL);
}

static struct holdings run_round(u64 seed)
{
	fz.done = 0;
	fz.stop = false;
	fz.end = time(NULL) + fz.seconds;
	if (dev_create(&fz.dev))
		exit(1);
	run_threads(seed);
	for (unsigned i = 0; i < POOL; i++)
		pool_close(&fz.pool[i]);
	dev_destroy(fz.dev);
	return look();
}

int main(int argc, char **argv)
{
	u64 seed = parse(argc, argv);
	struct holdings first, last;
	unsigned long requests;

	printf("fuzz-ioctl --seed %#llx --threads %u\n", (unsigned long long)seed, fz.threads);
	fflush(stdout);
	setup(seed);
	first = run_round(seed);
	requests = fz.done;
	for (unsigned i = 1; i < ROUNDS; i++) {
		last = run_round(seed + i);
		requests += fz.done;
	}
	if (any_leak(&first, &last))
		return 1;
	printf("%lu requests\n", requests);
	return 0;
}
