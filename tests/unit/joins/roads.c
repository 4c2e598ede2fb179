/* SPDX-License-Identifier: MIT */
/* See roads.h. What a sandbox or an old kernel forbids is no failure: the road does not exist then. */
#include "tests/unit/joins/roads.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

#define CODE_BYTES 3

void road_code(u8 *to, u8 value)
{
	memcpy(to, (u8[]){0x04, value, 0xc3}, CODE_BYTES); /* add $value, %al; ret */
}

static u8 *page_of(const struct road_memory *m, unsigned n)
{
	return m->base + n * PAGE_SIZE;
}

static u8 *map(int fd, size_t size)
{
	u8 *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);

	uv_assert(p != MAP_FAILED);
	return p;
}

void road_memory_open(struct road_memory *m, unsigned pages, bool shared)
{
	size_t size = pages * PAGE_SIZE;

	*m = (struct road_memory){.pages = pages, .file = -1};
	if (shared) {
		m->file = memfd_create("ram", MFD_CLOEXEC);
		uv_assert(m->file >= 0 && !ftruncate(m->file, (off_t)size));
		m->second = map(m->file, size);
	}
	m->base = map(m->file, size);
}

static void ring_close(struct ring *r);

void road_memory_close(struct road_memory *m)
{
	if (m->ring)
		ring_close(m->ring);
	free(m->ring);
	munmap(m->base, m->pages * PAGE_SIZE);
	if (m->file < 0)
		return;
	munmap(m->second, m->pages * PAGE_SIZE);
	close(m->file);
}

/* ---- this process's own stores and system calls ---- */

static bool by_store(struct road_memory *m, unsigned n, u8 value)
{
	road_code(page_of(m, n), value);
	return true;
}

/* A memfd with a page of code. */
static int code_file(u8 value)
{
	u8 page[PAGE_SIZE] = {0};
	int fd = memfd_create("code", MFD_CLOEXEC);

	road_code(page, value);
	uv_assert(fd >= 0 && pwrite(fd, page, PAGE_SIZE, 0) == PAGE_SIZE);
	return fd;
}

static bool by_read(struct road_memory *m, unsigned n, u8 value)
{
	int fd = code_file(value);
	bool ok = pread(fd, page_of(m, n), CODE_BYTES, 0) == CODE_BYTES;

	close(fd);
	return ok;
}

static bool by_readv(struct road_memory *m, unsigned n, u8 value)
{
	struct iovec v[] = {{page_of(m, n), 1}, {page_of(m, n) + 1, PAGE_SIZE - 1}};
	int fd = code_file(value);
	bool ok = preadv(fd, v, 2, 0) == PAGE_SIZE;

	close(fd);
	return ok;
}

static bool by_pipe(struct road_memory *m, unsigned n, u8 value)
{
	u8 code[CODE_BYTES];
	bool ok;
	int p[2];

	road_code(code, value);
	uv_assert(!pipe(p) && write(p[1], code, CODE_BYTES) == CODE_BYTES);
	ok = read(p[0], page_of(m, n), CODE_BYTES) == CODE_BYTES;
	close(p[0]);
	close(p[1]);
	return ok;
}

static bool write_to(int pid, u8 *to, u8 value)
{
	u8 code[CODE_BYTES];
	struct iovec from = {code, CODE_BYTES}, there = {to, CODE_BYTES};

	road_code(code, value);
	return process_vm_writev(pid, &from, 1, &there, 1, 0) == CODE_BYTES;
}

static bool by_vm_writev(struct road_memory *m, unsigned n, u8 value)
{
	return write_to(getpid(), page_of(m, n), value);
}

static bool by_proc_mem(struct road_memory *m, unsigned n, u8 value)
{
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	u8 code[CODE_BYTES];
	bool ok;

	road_code(code, value);
	ok = fd >= 0 && pwrite(fd, code, CODE_BYTES, (off_t)page_of(m, n)) == CODE_BYTES;
	close(fd);
	return ok;
}

/* Past the page cache: the kernel keeps the page while the device writes. In the folder of the build, mostly a disk. */
static bool by_direct_read(struct road_memory *m, unsigned n, u8 value)
{
	int fd = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC | O_DIRECT, 0600);
	u8 *page;
	bool ok;

	if (fd < 0 || posix_memalign((void **)&page, PAGE_SIZE, PAGE_SIZE)) {
		close(fd);
		return false;
	}
	memset(page, 0, PAGE_SIZE);
	road_code(page, value);
	ok = write(fd, page, PAGE_SIZE) == PAGE_SIZE &&
	     pread(fd, page_of(m, n), PAGE_SIZE, 0) == PAGE_SIZE;
	free(page);
	close(fd);
	return ok;
}

/* ---- mappings ---- */

static bool by_mmap(struct road_memory *m, unsigned n, u8 value)
{
	u8 *p = mmap(page_of(m, n), PAGE_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	road_code(p, value);
	return p != MAP_FAILED;
}

static bool map_file(struct road_memory *m, unsigned n, u8 value, int flags)
{
	int fd = code_file(value);
	void *p = mmap(page_of(m, n), PAGE_SIZE, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0);

	close(fd);
	return p != MAP_FAILED;
}

static bool by_mmap_of_file(struct road_memory *m, unsigned n, u8 value)
{
	return map_file(m, n, value, MAP_PRIVATE);
}

static bool by_mmap_of_shared_file(struct road_memory *m, unsigned n, u8 value)
{
	return map_file(m, n, value, MAP_SHARED);
}

static bool by_munmap(struct road_memory *m, unsigned n, u8 value)
{
	munmap(page_of(m, n), PAGE_SIZE);
	return by_mmap(m, n, value);
}

static bool by_dontneed(struct road_memory *m, unsigned n, u8 value)
{
	return !madvise(page_of(m, n), PAGE_SIZE, MADV_DONTNEED) && by_store(m, n, value);
}

static bool by_dontneed_read(struct road_memory *m, unsigned n, u8 value)
{
	return !madvise(page_of(m, n), PAGE_SIZE, MADV_DONTNEED) && *page_of(m, n) == 0 &&
	       by_read(m, n, value);
}

/* Taken away while the page cannot be accessed, or only read. */
static bool by_protecting(struct road_memory *m, unsigned n, u8 value)
{
	return !mprotect(page_of(m, n), PAGE_SIZE, PROT_NONE) &&
	       !mprotect(page_of(m, n), PAGE_SIZE, PROT_READ | PROT_WRITE) &&
	       by_store(m, n, value) && !mprotect(page_of(m, n), PAGE_SIZE, PROT_READ);
}

static bool by_mremap(struct road_memory *m, unsigned n, u8 value)
{
	u8 *p = map(-1, PAGE_SIZE);

	road_code(p, value);
	return mremap(p, PAGE_SIZE, PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, page_of(m, n)) !=
	       MAP_FAILED;
}

/* Away, changed there, and back. */
static bool by_moving_away(struct road_memory *m, unsigned n, u8 value)
{
	u8 *away = map(-1, PAGE_SIZE);

	if (mremap(page_of(m, n), PAGE_SIZE, PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, away) !=
		away)
		return false;
	road_code(away, value);
	return mremap(away, PAGE_SIZE, PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, page_of(m, n)) !=
	       MAP_FAILED;
}

/* ---- other processes ---- */

/* The child may trace its parent only if that says so, where Yama restricts it. */
static bool in_child(bool (*act)(int parent, struct road_memory *m, unsigned n, u8 value),
	struct road_memory *m, unsigned n, u8 value)
{
	int status = -1, parent = getpid();
	pid_t child;

	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	child = fork();
	if (!child)
		_exit(!act(parent, m, n, value));
	return child > 0 && waitpid(child, &status, 0) == child && !status;
}

static bool child_writes(int parent, struct road_memory *m, unsigned n, u8 value)
{
	return write_to(parent, page_of(m, n), value);
}

static bool by_other_process(struct road_memory *m, unsigned n, u8 value)
{
	return in_child(child_writes, m, n, value);
}

/* What the parent writes while pages are shared for copying goes to a copy. */
static bool child_waits(int parent, struct road_memory *m, unsigned n, u8 value)
{
	return page_of(m, n)[2] == 0xc3;
}

static bool by_store_after_fork(struct road_memory *m, unsigned n, u8 value)
{
	return in_child(child_waits, m, n, value) && by_store(m, n, value);
}

static bool by_second_mapping(struct road_memory *m, unsigned n, u8 value)
{
	road_code(m->second + n * PAGE_SIZE, value);
	return true;
}

static bool child_stores(int parent, struct road_memory *m, unsigned n, u8 value)
{
	return by_second_mapping(m, n, value);
}

static bool by_sharing_process(struct road_memory *m, unsigned n, u8 value)
{
	return in_child(child_stores, m, n, value);
}

static bool by_file(struct road_memory *m, unsigned n, u8 value)
{
	u8 code[CODE_BYTES];

	road_code(code, value);
	return pwrite(m->file, code, CODE_BYTES, n * (off_t)PAGE_SIZE) == CODE_BYTES;
}

/* ---- userfaultfd: the page is missing, and whoever waits for it gets it ---- */

static int faults_open(u8 *page)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register r = {
		.range = {(u64)page, PAGE_SIZE}, .mode = UFFDIO_REGISTER_MODE_MISSING};

	if (fd >= 0 && !ioctl(fd, UFFDIO_API, &api) && !ioctl(fd, UFFDIO_REGISTER, &r))
		return fd;
	close(fd);
	return -1;
}

struct giver {
	int fd;
	u8 *page;
	u8 value;
};

static void *give(void *opaque)
{
	struct giver *g = opaque;
	u8 page[PAGE_SIZE] = {0};
	struct uffdio_copy copy = {.dst = (u64)g->page, .src = (u64)page, .len = PAGE_SIZE};
	struct uffd_msg message;

	road_code(page, g->value);
	if (read(g->fd, &message, sizeof(message)) == sizeof(message))
		ioctl(g->fd, UFFDIO_COPY, &copy);
	close(g->fd);
	free(g);
	return NULL;
}

/* Post-copy: the page comes when the guest runs it. */
static bool by_userfault(struct road_memory *m, unsigned n, u8 value)
{
	struct giver *g = malloc(sizeof(*g));
	pthread_t t;

	uv_assert(g);
	*g = (struct giver){faults_open(page_of(m, n)), page_of(m, n), value};
	if (g->fd < 0 || madvise(page_of(m, n), PAGE_SIZE, MADV_DONTNEED) ||
		pthread_create(&t, NULL, give, g)) {
		free(g);
		return false;
	}
	pthread_detach(t);
	return true;
}

/* A snapshot is loaded: the page is there before the guest runs. */
static bool by_userfault_copy(struct road_memory *m, unsigned n, u8 value)
{
	u8 page[PAGE_SIZE] = {0};
	struct uffdio_copy copy = {.dst = (u64)page_of(m, n), .src = (u64)page, .len = PAGE_SIZE};
	int fd = faults_open(page_of(m, n));
	bool ok;

	road_code(page, value);
	ok = fd >= 0 && !madvise(page_of(m, n), PAGE_SIZE, MADV_DONTNEED) &&
	     !ioctl(fd, UFFDIO_COPY, &copy);
	close(fd);
	return ok;
}

/* ---- io_uring: the kernel's own threads, and pages that it keeps ---- */

struct ring {
	int fd;
	u8 *queue;
	struct io_uring_sqe *entry;
	struct io_uring_params p;
};

static size_t queue_bytes(const struct io_uring_params *p)
{
	size_t sq = p->sq_off.array + p->sq_entries * sizeof(u32);
	size_t cq = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);

	return sq > cq ? sq : cq;
}

static bool ring_open(struct ring *r)
{
	*r = (struct ring){0};
	r->fd = (int)syscall(SYS_io_uring_setup, 2, &r->p);
	if (r->fd < 0)
		return false;
	if (r->p.features & IORING_FEAT_SINGLE_MMAP) {
		r->queue = mmap(NULL, queue_bytes(&r->p), PROT_READ | PROT_WRITE, MAP_SHARED, r->fd,
			IORING_OFF_SQ_RING);
		r->entry = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd,
			IORING_OFF_SQES);
		if (r->queue != MAP_FAILED && r->entry != MAP_FAILED)
			return true;
	}
	close(r->fd);
	return false;
}

static void ring_close(struct ring *r)
{
	munmap(r->queue, queue_bytes(&r->p));
	munmap(r->entry, PAGE_SIZE);
	close(r->fd);
}

/* One request, from its start to its end. */
static bool ring_do(struct ring *r, const struct io_uring_sqe *e)
{
	u32 *tail = (u32 *)(r->queue + r->p.sq_off.tail);
	u32 *head = (u32 *)(r->queue + r->p.cq_off.head);
	const struct io_uring_cqe *done = (struct io_uring_cqe *)(r->queue + r->p.cq_off.cqes);
	u32 at = *tail & (r->p.sq_entries - 1), end = *head & (r->p.cq_entries - 1);

	r->entry[at] = *e;
	((u32 *)(r->queue + r->p.sq_off.array))[at] = at;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, r->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) != 1)
		return false;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return done[end].res == (int)e->len;
}

static bool ring_read(struct ring *r, u8 op, u8 *to, u8 value)
{
	int fd = code_file(value);
	struct io_uring_sqe e = {
		.opcode = op, .fd = fd, .addr = (u64)to, .len = PAGE_SIZE, .flags = IOSQE_ASYNC};
	bool ok = ring_do(r, &e);

	close(fd);
	return ok;
}

static bool by_io_uring(struct road_memory *m, unsigned n, u8 value)
{
	struct ring r;
	bool ok;

	if (!ring_open(&r))
		return false;
	ok = ring_read(&r, IORING_OP_READ, page_of(m, n), value);
	ring_close(&r);
	return ok;
}

/* The kernel keeps the pages from the first time on, and asks nobody when it writes. */
static bool by_fixed_buffer(struct road_memory *m, unsigned n, u8 value)
{
	struct iovec all = {m->base, m->pages * PAGE_SIZE};

	if (!m->ring) {
		struct ring *r = malloc(sizeof(*r));

		if (!r || !ring_open(r) ||
			syscall(SYS_io_uring_register, r->fd, IORING_REGISTER_BUFFERS, &all, 1)) {
			free(r);
			return false;
		}
		m->ring = r;
	}
	return ring_read(m->ring, IORING_OP_READ_FIXED, page_of(m, n), value);
}

#define ROAD(name)                                                                                 \
	{                                                                                          \
#name, name, false, false                                                          \
	}
#define SHARED_ROAD(name)                                                                          \
	{                                                                                          \
#name, name, true, false                                                           \
	}
#define FAULT_ROAD(name)                                                                           \
	{                                                                                          \
#name, name, false, true                                                           \
	}

const struct road roads[] = {
	ROAD(by_store),
	ROAD(by_read),
	ROAD(by_readv),
	ROAD(by_pipe),
	ROAD(by_vm_writev),
	ROAD(by_proc_mem),
	ROAD(by_direct_read),
	ROAD(by_mmap),
	ROAD(by_mmap_of_file),
	ROAD(by_mmap_of_shared_file),
	ROAD(by_munmap),
	ROAD(by_dontneed),
	ROAD(by_dontneed_read),
	ROAD(by_protecting),
	ROAD(by_mremap),
	ROAD(by_moving_away),
	ROAD(by_other_process),
	ROAD(by_store_after_fork),
	FAULT_ROAD(by_userfault),
	FAULT_ROAD(by_userfault_copy),
	ROAD(by_io_uring),
	ROAD(by_fixed_buffer),
	SHARED_ROAD(by_store),
	SHARED_ROAD(by_read),
	SHARED_ROAD(by_second_mapping),
	SHARED_ROAD(by_sharing_process),
	SHARED_ROAD(by_file),
};
const unsigned road_count = ARRAY_SIZE(roads);
