/* SPDX-License-Identifier: MIT */
/*
 * fuzz-mshv: one to four threads make random requests on the descriptors of /dev/mshv: right, half right and garbage; while
 * VPs run, memory comes and goes, descriptors are closed and opened.
 *
 * Nothing may crash or hang; a request that is refused says so with an errno that there is, a hypercall's status is one that
 * there is and fits the errno, no byte is written behind a buffer, a message says what its VP is, and afterwards the
 * process holds what it held before (cases.c).
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/sys.h"
#include "fuzz/mshv_fuzz.h"

static const char *const ingredients[] = {"threads", "garbage", "vanishing", "closing", "runs",
	"hypercalls", "freezing", "maps", "events", NULL};

#define WORKERS 4
#define STEPS   400

struct playground pg = {.lock = PTHREAD_MUTEX_INITIALIZER, .pages = PTHREAD_RWLOCK_INITIALIZER};

/* ---- memory ---- */

/* Behind each view is a page that is never there. */
static u8 *view(int fd, size_t n)
{
	u8 *p = mmap(NULL, n + 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED ||
		mmap(p, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
		finding("no memory");
	return p;
}

static int memory_file(size_t n)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)n))
		finding("no memory");
	return fd;
}

static void two_views(size_t n, u8 **one, u8 **other)
{
	int fd = memory_file(n);

	*one = view(fd, n);
	*other = view(fd, n);
	close(fd);
}

static void memory_open(void)
{
	two_views(ARG_BYTES, &pg.arg, &pg.arg_stays);
	two_views(RAM_BYTES, &pg.ram, &pg.ram_stays);
	pg.loose_fd = memory_file(LOOSE_BYTES);
	pg.loose = view(pg.loose_fd, LOOSE_BYTES);
}

static void memory_close(void)
{
	munmap(pg.arg, ARG_BYTES + 4096);
	munmap(pg.arg_stays, ARG_BYTES + 4096);
	munmap(pg.ram, RAM_BYTES + 4096);
	munmap(pg.ram_stays, RAM_BYTES + 4096);
	munmap(pg.loose, LOOSE_BYTES + 4096);
	close(pg.loose_fd);
}

/* ---- a case ---- */

static void case_open(struct worker *w)
{
	if (dev_create(&pg.dev))
		finding("no device");
	memory_open();
	for (unsigned i = 0; i < EVENT_FDS; i++)
		pg.event[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	pg.file = open("/dev/null", O_RDWR | O_CLOEXEC);
	pg.features = chance(w, 70) ? ~0ull : rnd(&w->r);
	pg.garbage = with(GARBAGE) && chance(w, 70);
	guest_code(w);
	slots_open(w);
}

static void case_close(void)
{
	slots_close();
	dev_destroy(pg.dev);
	for (unsigned i = 0; i < EVENT_FDS; i++)
		close(pg.event[i]);
	close(pg.file);
	memory_close();
}

static void *work(void *arg)
{
	struct worker *w = arg;

	while (w->steps--)
		one_step(w);
	w->ended = true;
	return NULL;
}

static bool any_works(const struct worker *w, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!w[i].ended)
			return true;
	return false;
}

/* No run lasts: each thread is sent a signal each millisecond. */
static void kick_until_done(struct worker *w, unsigned n)
{
	while (any_works(w, n)) {
		usleep(1000);
		for (unsigned i = 0; i < n; i++)
			if (!w[i].ended)
				pthread_kill(w[i].thread, SIGUSR1);
	}
}

static void one_case(struct random *r)
{
	struct worker w[WORKERS] = {0}, first = {.r = rnd_fork(r)};
	unsigned n = with(THREADS) ? 1 + (unsigned)rnd_below(r, WORKERS) : 1;

	case_open(&first);
	for (unsigned i = 0; i < n; i++) {
		w[i].r = rnd_fork(r);
		w[i].steps = STEPS / n + (unsigned)rnd_below(r, STEPS);
		if (pthread_create(&w[i].thread, NULL, work, &w[i]))
			finding("no thread");
	}
	kick_until_done(w, n);
	for (unsigned i = 0; i < n; i++)
		pthread_join(w[i].thread, NULL);
	progress("it is taken down");
	case_close();
}

int main(int argc, char **argv)
{
	static const struct fuzzer f = {.name = "mshv",
		.ingredients = ingredients,
		.pass_seconds = 8,
		.hang_seconds = 60,
		.interrupts = SIGUSR1,
		.one_case = one_case};

	return fuzz_main(&f, argc, argv);
}
