/* SPDX-License-Identifier: MIT */
/*
 * Traces of writes: userfaultfd with asynchronous write protection (Linux 6.7). A write to a protected page, by any
 * thread, system call or other process, takes the protection away and goes on; PAGEMAP_SCAN tells which pages still have
 * theirs. What it asks for is that a page is there, protected and in a range of ours: memory that was unmapped, mapped
 * over, moved or given back is not, so nothing of that kind can be missed.
 *
 * The kernel does not see writes by who has the page pinned (O_DIRECT, fixed buffers of io_uring, device assignment). It
 * takes the protection away when the page is pinned; who protects it again must know that the pin is gone (mem/written.c).
 * And it protects one mapping, not what is mapped: so this is for memory of which there is no other mapping, private and
 * anonymous or made for it (proc_mapping.lone). The mappings of direct execution do not count: code is never writable there.
 *
 * A mapping can be registered with one userfaultfd. So this lets go for good as soon as the program wants its own, and is
 * never begun where nobody would tell (host_track_writes()). Filters of system calls that are older than us may kill: then
 * it is not begun either. The registrations belong to the address space, so they are one state for the process.
 */
#include "engine/host/track.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/proc.h"
#include "base/sys.h"
#include "base/without.h"
#include "engine/core/machine.h"

/* Headers before Linux 6.7 do not have these: include/uapi/linux/fs.h, userfaultfd.h. */
#define SCAN_WPALLOWED BIT64(0)
#define SCAN_WRITTEN   BIT64(1)
#define SCAN_PRESENT   BIT64(3)
#define WP_ASYNC       BIT64(15)
#define USER_MODE_ONLY 1
struct scan_region {
	u64 start, end, categories;
};
struct scan_arg {
	u64 size, flags, start, end, walk_end, vec, vec_len, max_pages, category_inverted,
		category_mask, category_anyof_mask, return_mask;
};
#define SCAN _IOWR('f', 16, struct scan_arg)

#define SCAN_GAP     64 /* pages: to look at them costs less than another call */
#define SCAN_REGIONS 64

static struct {
	pthread_mutex_t lock; /* what follows, but not its use */
	bool allowed;
	_Atomic bool given_up;
	int process; /* that the descriptors are of */
	int faults, pagemap, status;
	_Atomic bool works;
} track = {.lock = PTHREAD_MUTEX_INITIALIZER, .faults = -1, .pagemap = -1, .status = -1};

/* ---- text of /proc ---- */

/* The number behind a name at the beginning of a line; 0 where there is none. */
static u64 number_of(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

static bool read_status(char *text, size_t size)
{
	ssize_t n = sys_pread(track.status, text, size - 1, 0);

	text[n > 0 ? n : 0] = 0;
	return n > 0 && strstr(text, "\nVmPin:") && strstr(text, "\nVmLck:");
}

bool track_pinned(void)
{
	char text[4096];

	return !read_status(text, sizeof(text)) || number_of(text, "\nVmPin:") ||
	       number_of(text, "\nVmLck:");
}

/* ---- start and end ---- */

static void drop(int *fd)
{
	if (*fd >= 0)
		fd_drop(*fd);
	*fd = -1;
}

/* With faults go all registrations and protections; the others may be in use. */
static void end(void)
{
	atomic_store(&track.works, false);
	drop(&track.faults);
}

static bool filtered(void)
{
	char text[4096];

	return !read_status(text, sizeof(text)) || number_of(text, "\nSeccomp:");
}

static int open_faults(void)
{
	struct uffdio_api api = {.api = UFFD_API, .features = WP_ASYNC};
	int fd = (int)SYS_CALL1(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | USER_MODE_ONLY);

	if (fd < 0 || !sys_ioctl(fd, UFFDIO_API, (unsigned long)&api))
		return fd_keep(fd);
	sys_close(fd);
	return -1;
}

static bool begin(void)
{
	track.process = sys_getpid();
	if (track.status < 0)
		track.status = fd_keep(sys_open("/proc/self/status", O_RDONLY | O_CLOEXEC));
	if (track.status < 0 || filtered())
		return false;
	if (track.pagemap < 0)
		track.pagemap = fd_keep(sys_open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
	track.faults = open_faults();
	return track.pagemap >= 0 && track.faults >= 0;
}

/*
 * A forked child has no descriptors left, and other mappings; and another thread of its parent may have held the lock. Here,
 * because its parent's machines do not work in it: it comes by before it makes one.
 */
static void forget_parent(void)
{
	if (!track.process || track.process == sys_getpid())
		return;
	pthread_mutex_init(&track.lock, NULL);
	track.faults = track.pagemap = track.status = -1;
	atomic_store(&track.works, false);
	track.process = 0;
}

bool track_start(void)
{
	forget_parent();
	pthread_mutex_lock(&track.lock);
	if (track.allowed && !atomic_load(&track.works) && !without(WITHOUT_USERFAULTFD)) {
		if (begin())
			atomic_store(&track.works, true);
		else
			end();
	}
	pthread_mutex_unlock(&track.lock);
	return atomic_load(&track.works);
}

bool track_works(void)
{
	return atomic_load(&track.works);
}

bool track_given_up(void)
{
	return atomic_load_explicit(&track.given_up, memory_order_relaxed);
}

void host_track_writes(bool allowed)
{
	forget_parent();
	pthread_mutex_lock(&track.lock);
	track.allowed = allowed;
	atomic_store(&track.given_up, !allowed);
	if (!allowed)
		end();
	pthread_mutex_unlock(&track.lock);
}

/* ---- ranges and pages ---- */

/* Others may close it at any moment, so not without the lock. */
static int of_faults(unsigned long request, void *arg)
{
	int r;

	pthread_mutex_lock(&track.lock);
	r = atomic_load(&track.works) && !sys_ioctl(track.faults, request, (unsigned long)arg)
		    ? 0
		    : -errno;
	pthread_mutex_unlock(&track.lock);
	return r;
}

static int register_part(u64 start, u64 end)
{
	struct uffdio_register r = {.range = {start, end - start}, .mode = UFFDIO_REGISTER_MODE_WP};

	return of_faults(UFFDIO_REGISTER, &r);
}

struct track_part {
	u64 start, end;
};

static int register_mapping(const struct proc_mapping *m, void *arg)
{
	const struct track_part *part = arg;
	const u64 start = MAX(m->start, part->start), end = MIN(m->end, part->end);

	if (((m->anonymous && !m->shared) || m->lone) && start < end)
		register_part(start, end);
	return 0;
}

int track_range(u64 start, u64 size)
{
	struct track_part part = {start, start + size};

	return proc_mappings(register_mapping, &part);
}

int track_protect(u64 page)
{
	struct uffdio_writeprotect p = {
		.range = {page, PAGE_SIZE}, .mode = UFFDIO_WRITEPROTECT_MODE_WP};

	return of_faults(UFFDIO_WRITEPROTECT, &p);
}

/* What of [start, end) is as it should be, up to *ret_end. */
static long scan(u64 start, u64 end, struct scan_region *region, u64 *ret_end)
{
	struct scan_arg a = {.size = sizeof(a),
		.start = start,
		.end = end,
		.vec = (u64)region,
		.vec_len = SCAN_REGIONS,
		.category_inverted = SCAN_WRITTEN,
		.category_mask = SCAN_WPALLOWED | SCAN_PRESENT | SCAN_WRITTEN,
		.return_mask = SCAN_PRESENT};
	long n = sys_ioctl(track.pagemap, SCAN, (unsigned long)&a);

	*ret_end = a.walk_end;
	return n;
}

/* How many of the pages, from the first, lie in these regions. */
static unsigned covered(const u64 *page, unsigned n, const struct scan_region *region, long regions)
{
	unsigned i = 0;

	for (long r = 0; r < regions && i < n; r++) {
		if (page[i] < region[r].start)
			break;
		while (i < n && page[i] < region[r].end)
			i++;
	}
	return i;
}

static bool run_unwritten(const u64 *page, unsigned n)
{
	struct scan_region region[SCAN_REGIONS];
	u64 end = page[n - 1] + PAGE_SIZE, at = page[0];

	for (;;) {
		long regions = scan(at, end, region, &at);
		unsigned known = regions > 0 ? covered(page, n, region, regions) : 0;

		page += known;
		n -= known;
		if (!n)
			return true;
		if (regions <= 0 || *page < at || at >= end)
			return false;
	}
}

bool track_unwritten(const u64 *page, unsigned n)
{
	for (unsigned from = 0, to; from < n; from = to) {
		for (to = from + 1; to < n && page[to] - page[to - 1] <= SCAN_GAP * PAGE_SIZE;)
			to++;
		if (!atomic_load(&track.works) || !run_unwritten(page + from, to - from))
			return false;
	}
	return true;
}
