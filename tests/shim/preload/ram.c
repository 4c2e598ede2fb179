/* SPDX-License-Identifier: MIT */
/* Guest RAM that a program has in private memory: ours to map once more, and nothing that the program could tell. */
#include "tests/shim/preload/client.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define SIZE (8u << 20)
#define PAGE 4096u

static unsigned char *map(size_t size, int flags)
{
	unsigned char *p = mmap(
		NULL, size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

/* Is it in a file of ours? */
static bool is_lone(const void *at)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long from, to;
	bool found = false;
	char line[512];

	CHECK(maps);
	while (!found && fgets(line, sizeof(line), maps))
		found = sscanf(line, "%lx-%lx", &from, &to) == 2 && from <= (unsigned long)at &&
			(unsigned long)at < to && strstr(line, "/memfd:uservisor-ram");
	fclose(maps);
	return found;
}

/* What a VMM does with its RAM. */
static unsigned char *map_ram(void)
{
	unsigned char *p = map(SIZE, MAP_PRIVATE);

	CHECK(!madvise(p, SIZE, MADV_DONTFORK));
	return p;
}

/* A kernel or sandbox that does not allow direct execution leaves memory as it is; what follows must hold there as well. */
static void say_whether(const void *p)
{
	if (!is_lone(p))
		puts("no direct execution on this host, or no preload library: the memory is as "
		     "the program made it");
}

static bool is_zero(const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

/* What is given back is zero afterwards, and nothing else is. */
static void given_back(void)
{
	const int advice[] = {MADV_DONTNEED, MADV_FREE};
	struct guest g;
	unsigned char *p;

	guest_open(&g, false);
	p = map_ram();
	say_whether(p);
	CHECK(is_zero(p, SIZE));
	for (unsigned i = 0; i < 2; i++) {
		memset(p, 0x5a, SIZE);
		CHECK(!madvise(p + PAGE, 3 * PAGE, advice[i]));
		CHECK(p[PAGE - 1] == 0x5a && p[4 * PAGE] == 0x5a);
		CHECK(advice[i] == MADV_FREE || is_zero(p + PAGE, 3 * PAGE));
	}
	CHECK(!syscall(SYS_madvise, p, (size_t)SIZE, MADV_DONTNEED));
	CHECK(is_zero(p, SIZE));
	CHECK_ERRNO(madvise(p + 1, PAGE, MADV_DONTNEED), EINVAL);
	CHECK(!madvise(p, SIZE, MADV_DONTDUMP) && !madvise(p, SIZE, MADV_HUGEPAGE));
	guest_close(&g);
}

/* The guest's own accesses: code, data. */
static void is_guests(void)
{
	struct kvm_userspace_memory_region slot = {
		.slot = 1, .guest_phys_addr = SIZE, .memory_size = SIZE};
	struct guest g;

	guest_open(&g, false);
	slot.userspace_addr = (unsigned long)map_ram();
	CHECK(!ioctl(g.vm, KVM_SET_USER_MEMORY_REGION, &slot));
	GUEST_CODE(&g, OUT_AL_42);
	CHECK(!ioctl(g.vcpu, KVM_RUN, 0) && g.run->exit_reason == KVM_EXIT_IO);
	CHECK(!mprotect((void *)slot.userspace_addr, SIZE, PROT_READ));
	CHECK(!munmap((void *)slot.userspace_addr, SIZE));
	guest_close(&g);
}

/* What is mapped there later has nothing to do with it. */
static void mapped_again(void)
{
	struct guest g;
	unsigned char *p, *q;

	guest_open(&g, false);
	p = map_ram();
	CHECK(!munmap(p, SIZE / 2));
	q = mmap(
		p, SIZE / 2, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(q == p);
	memset(p, 1, SIZE);
	CHECK(!madvise(p, SIZE / 2, MADV_DONTNEED)); /* of shared memory this keeps what is in it */
	CHECK(p[0] == 1);
	CHECK(!madvise(p + SIZE / 2, SIZE / 2, MADV_DONTNEED));
	CHECK(is_zero(p + SIZE / 2, SIZE / 2));
	q = mmap(p + SIZE / 2, SIZE / 2, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(q == p + SIZE / 2);
	memset(q, 2, SIZE / 2);
	CHECK(!madvise(q, SIZE / 2, MADV_DONTNEED));
	CHECK(q[0] == 2);
	guest_close(&g);
}

/* Moved, it keeps what is in it; larger than its file it cannot be. */
static void moved(void)
{
	struct guest g;
	unsigned char *p, *q;
	bool lone;

	guest_open(&g, false);
	p = map_ram();
	lone = is_lone(p);
	p[PAGE] = 7;
	q = mremap(p, SIZE, SIZE * 2, MREMAP_MAYMOVE);
	CHECK(lone ? q == MAP_FAILED && errno == ENOMEM : q != MAP_FAILED);
	if (!lone)
		return;
	q = map(SIZE, MAP_PRIVATE);
	CHECK(mremap(p, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, q) == q);
	CHECK(q[PAGE] == 7 && q[0] == 0);
	guest_close(&g);
}

/* A child does not have it, and what it maps at that place is its own. */
static void not_inherited(void)
{
	struct guest g;
	unsigned char *p;
	int status;

	guest_open(&g, false);
	p = map_ram();
	memset(p, 3, SIZE);
	if (!fork()) {
		CHECK(mmap(p, SIZE, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == p);
		memset(p, 4, SIZE);
		CHECK(!madvise(p, SIZE, MADV_DONTNEED) && p[0] == 4);
		_exit(0);
	}
	CHECK(wait(&status) > 0 && !status);
	CHECK(p[0] == 3);
	if (is_lone(p))
		CHECK_ERRNO(madvise(p, SIZE, MADV_DOFORK), EINVAL);
	guest_close(&g);
}

/* Memory that is no guest's, or that has something in it already, stays as it is. */
static void left_alone(void)
{
	unsigned char *p = map(SIZE, MAP_PRIVATE), *shared, *readable, *small, *used;
	struct guest g;

	CHECK(!madvise(p, SIZE, MADV_DONTFORK) && !is_lone(p));
	guest_open(&g, false);
	small = map(1u << 20, MAP_PRIVATE);
	shared = map(SIZE, MAP_SHARED);
	used = map(SIZE, MAP_PRIVATE);
	readable = map(SIZE, MAP_PRIVATE);
	used[SIZE / 2] = 9;
	CHECK(!mprotect(readable, SIZE, PROT_READ));
	CHECK(!madvise(small, 1u << 20, MADV_DONTFORK) && !is_lone(small));
	CHECK(!madvise(shared, SIZE, MADV_DONTFORK) && !is_lone(shared));
	CHECK(!madvise(used, SIZE, MADV_DONTFORK) && !is_lone(used) && used[SIZE / 2] == 9);
	CHECK(!madvise(readable, SIZE, MADV_DONTFORK) && !is_lone(readable));
	guest_close(&g);
}

const struct client_case ram_cases[] = {{"ram-given-back", given_back}, {"ram-guest", is_guests},
	{"ram-mapped-again", mapped_again}, {"ram-moved", moved},
	{"ram-not-inherited", not_inherited}, {"ram-left-alone", left_alone}, {NULL, NULL}};
