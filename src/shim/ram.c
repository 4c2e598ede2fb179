/* SPDX-License-Identifier: MIT */
/*
 * Guest RAM that a program has in private memory. Guest code can run as it is only in memory that can be mapped once more, so what
 * says that it is guest RAM becomes a memfd that nobody else has: large private memory, not used yet, that is not to be
 * inherited by forked children (MADV_DONTFORK, as QEMU says of all RAM), in a program that uses a device of ours. The program
 * cannot tell: what is different about such memory is mended here.
 *
 * The regions are the program's address space's, so they are one state for the process, as in shim.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>

#include "abi/dev.h"
#include "base/direct.h"
#include "base/memfd.h"
#include "base/proc.h"
#include "base/sys.h"
#include "shim/shim.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

#define SMALLEST (4u << 20) /* firmware is smaller, and not worth it */
#define REGIONS  64u

struct lone_region {
	u64 start, end;
};

static struct {
	_Atomic u64 from, to; /* outside of these there is none, and has never been */
	pthread_mutex_t
		lock; /* what follows; with all signals blocked, because handlers may unmap memory */
	unsigned count;
	struct lone_region region[REGIONS];
} ram = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool may_have(u64 start, u64 end)
{
	return unlikely(start < atomic_load_explicit(&ram.to, memory_order_relaxed)) &&
	       end > atomic_load_explicit(&ram.from, memory_order_relaxed);
}

static void lock_regions(u64 *ret_mask)
{
	const u64 all = ~0ull;

	sys_sigprocmask(SIG_SETMASK, &all, ret_mask);
	pthread_mutex_lock(&ram.lock);
}

static void unlock_regions(u64 mask)
{
	pthread_mutex_unlock(&ram.lock);
	sys_sigprocmask(SIG_SETMASK, &mask, NULL);
}

/* ---- which memory ---- */

/* Before it, userfaultfd cannot protect shared memory from writes, which QEMU's background snapshots want. */
static bool kernel_suits(void)
{
	struct utsname name;
	unsigned major, minor;

	return !uname(&name) && sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
	       (major > 5 || (major == 5 && minor >= 19));
}

/* Once, when there is the first region: it takes a millisecond or two. */
static bool host_suits(void)
{
	static _Atomic int answer; /* 1: yes; -1: no */
	int known = atomic_load(&answer);

	if (!known) {
		known = kernel_suits() && !dev_try_direct() ? 1 : -1;
		atomic_store(&answer, known);
	}
	return known > 0;
}

/* Pages that are the same are merged where they are private alone (KSM). */
static bool merges_pages(void)
{
	const int fd = sys_open("/sys/kernel/mm/ksm/run", O_RDONLY | O_CLOEXEC);
	char text = '0';

	if (fd < 0)
		return false;
	(void)!sys_read(fd, &text, 1);
	sys_close(fd);
	return text == '1';
}

static bool has_flag(const char *flags, const char *flag)
{
	const char *at = strstr(flags, flag);

	return at && at[-1] == ' ' && (at[2] == ' ' || !at[2]);
}

static bool suits(u64 start, u64 size, char *ret_flags)
{
	return shim_dev() && direct_where() != DIRECT_NOWHERE && host_suits() &&
	       proc_untouched(start, size, ret_flags) && !has_flag(ret_flags, "um") &&
	       !(has_flag(ret_flags, "mg") && merges_pages());
}

/* ---- in and out ---- */

static bool map_over(u64 start, u64 size)
{
	const int fd = memfd_may_have(size) ? memfd_open(PROC_LONE, MFD_NOEXEC_SEAL) : -1;
	void *at = MAP_FAILED;

	if (fd < 0)
		return false;
	if (!sys_ftruncate(fd, (off_t)size))
		at = sys_mmap((void *)start, size, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd, 0);
	sys_close(fd);
	return at != MAP_FAILED;
}

/* What the program has said about the memory before. */
static void advise_again(u64 start, u64 size, const char *flags)
{
	if (has_flag(flags, "hg"))
		sys_madvise((void *)start, size, MADV_HUGEPAGE);
	if (has_flag(flags, "nh"))
		sys_madvise((void *)start, size, MADV_NOHUGEPAGE);
	if (has_flag(flags, "dd"))
		sys_madvise((void *)start, size, MADV_DONTDUMP);
}

static void add(u64 start, u64 end)
{
	if (start < end && ram.count < REGIONS)
		ram.region[ram.count++] = (struct lone_region){start, end};
}

static void note_bounds(u64 start, u64 end)
{
	if (!atomic_load(&ram.to) || start < atomic_load(&ram.from))
		atomic_store(&ram.from, start);
	if (end > atomic_load(&ram.to))
		atomic_store(&ram.to, end);
}

/*
 * There is room for what is left when parts of regions go. What another thread writes there between the look and the new mapping is
 * lost; but who says this of memory without a page has just made it.
 */
static void take(u64 start, u64 size)
{
	char flags[PROC_FLAGS_MAX];

	if (ram.count >= REGIONS / 2 || !suits(start, size, flags) || !map_over(start, size))
		return;
	advise_again(start, size, flags);
	add(start, start + size);
	note_bounds(start, start + size);
}

static bool overlaps(const struct lone_region *r, u64 start, u64 end)
{
	return r->start < end && start < r->end;
}

static bool has(u64 start, u64 end)
{
	for (unsigned i = 0; i < ram.count; i++)
		if (overlaps(&ram.region[i], start, end))
			return true;
	return false;
}

static void cut(u64 start, u64 end)
{
	struct lone_region old[REGIONS];
	const unsigned count = ram.count;

	memcpy(old, ram.region, sizeof(old));
	ram.count = 0;
	for (unsigned i = 0; i < count; i++) {
		add(old[i].start, overlaps(&old[i], start, end) ? start : old[i].end);
		if (overlaps(&old[i], start, end))
			add(end, old[i].end);
	}
}

/* ---- what differs ---- */

/* Of private memory that is given back, the file would keep what was in it. */
static long give_back(u64 start, u64 end)
{
	long r = NOT_OURS;

	for (unsigned i = 0; i < ram.count; i++) {
		const u64 from = MAX(start, ram.region[i].start), to = MIN(end, ram.region[i].end);

		if (from < to && sys_madvise((void *)from, to - from, MADV_REMOVE))
			return NOT_OURS; /* the kernel says what is wrong */
		if (from == start && to == end)
			r = 0;
	}
	return r;
}

static long advise(u64 start, u64 size, int advice)
{
	const u64 end = start + ALIGN_UP(size, PAGE_SIZE);

	if (advice == MADV_DONTFORK)
		take(start, end - start);
	else if (advice == MADV_DOFORK)
		return has(start, end) ? -EINVAL : NOT_OURS; /* a child would share it */
	else
		return give_back(start, end);
	return NOT_OURS;
}

static bool matters(int advice, u64 start, u64 size)
{
	switch (advice) {
	case MADV_DONTFORK: return size >= SMALLEST;
	case MADV_DOFORK:
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
	case MADV_FREE: return may_have(start, start + size);
	default: return false;
	}
}

/* The kernel refuses others. */
static bool is_range(u64 start, u64 size)
{
	return !(start & ~PAGE_MASK) && start + ALIGN_UP(size, PAGE_SIZE) > start;
}

long shim_madvise(const void *addr, size_t size, int advice)
{
	const u64 start = (u64)addr;
	u64 mask;
	long r;

	if (likely(!matters(advice, start, size)) || !is_range(start, size))
		return NOT_OURS;
	lock_regions(&mask);
	r = advise(start, size, advice);
	unlock_regions(mask);
	return r;
}

static void change(u64 start, u64 end, bool gone)
{
	bool ours;
	u64 mask;

	lock_regions(&mask);
	ours = has(start, end);
	if (gone)
		cut(start, end);
	unlock_regions(mask);
	if (ours)
		dev_memory_remapped(shim_dev(), start, end - start);
}

void shim_before_remap(const void *addr, size_t size, bool gone)
{
	const u64 start = (u64)addr, end = start + ALIGN_UP(size, PAGE_SIZE);

	if (may_have(start, end) && is_range(start, size))
		change(start, end, gone);
}

long shim_grow_check(const void *addr, size_t old, size_t new)
{
	const u64 start = (u64)addr;
	long r = NOT_OURS;
	u64 mask;

	if (new <= old || !may_have(start, start + old))
		return NOT_OURS;
	lock_regions(&mask);
	if (has(start, start + old))
		r = -ENOMEM;
	unlock_regions(mask);
	return r;
}

void shim_ram_forked(void)
{
	pthread_mutex_init(&ram.lock, NULL);
	ram.count = 0;
}
