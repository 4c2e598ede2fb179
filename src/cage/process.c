/* SPDX-License-Identifier: MIT */
/*
 * The life of a cage's process, as its parent sees it.
 *
 * The process must not outlive ours. PR_SET_PDEATHSIG would end it with the thread that has made it, so a thread of its own
 * waits for the end of our process (stub.S). It is no child that wait() sees: its exit signal is 0.
 */
#include <errno.h>
#include <linux/sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/hostcpu.h"
#include "base/proc.h"
#include "cage/cage_priv.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif
#define ALL_CHILDREN 0x40000000 /* __WALL */

/* ---- the memory ---- */

/* What is asked for, and what /proc says of it. */
struct survey {
	const struct cage_ram *ram;
	unsigned n;
	struct cage *cage; /* NULL: only count */
	unsigned pieces;
	u64 shared; /* bytes of the ranges that are in shared mappings */
	u64 next;   /* where the next piece goes in the cage */
	u64 end;    /* of the cage's area */
	bool crowded;
};

static void add_piece(struct survey *s, u64 from, u64 to)
{
	if (s->cage)
		s->cage->piece[s->pieces] = (struct cage_piece){
			(u8 *)from, to - from, s->next, s->cage->piece[s->pieces].dontfork};
	s->pieces++;
	s->next += to - from;
	s->shared += to - from;
}

/* A piece for each range that a mapping has a part of: the kernel takes none across mappings. */
static int survey_mapping(const struct proc_mapping *m, void *arg)
{
	struct survey *s = arg;

	s->crowded |= m->start <= s->end && m->end > CAGE_AREA; /* and the page behind: map.c */
	for (unsigned i = 0; i < s->n && m->shared; i++) {
		u64 from = MAX(m->start, (u64)s->ram[i].hva),
		    to = MIN(m->end, (u64)s->ram[i].hva + s->ram[i].size);

		if (from >= to)
			continue;
		if (s->cage && s->pieces >= s->cage->pieces)
			return -EAGAIN;
		add_piece(s, from, to);
	}
	return 0;
}

static int survey(struct survey *s)
{
	u64 bytes = 0;
	int r;

	for (unsigned i = 0; i < s->n; i++) {
		if (((u64)s->ram[i].hva | s->ram[i].size) & ~PAGE_MASK)
			return -EINVAL;
		bytes += s->ram[i].size;
	}
	s->next = CAGE_AREA + CAGE_RAM;
	s->end = s->next + bytes;
	r = proc_mappings(survey_mapping, s);
	if (r)
		return r;
	return s->shared != bytes || s->crowded ? -EOPNOTSUPP : 0;
}

/* ---- birth ---- */

static void *map_memory(u64 bytes, int flags)
{
	void *p = sys_mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* While the parent's descriptors are shared, no thread of the parent may come in between: all signals are blocked. */
static int fork_child(struct cage_birth *b)
{
	const u64 all = ~0ull;
	u64 old;
	long pid;

	if (sys_sigprocmask(SIG_SETMASK, &all, &old))
		return -errno;
	pid = sys_raw(SYS_clone, CLONE_FILES | CLONE_VFORK, 0, 0, 0, 0, (long)sys_key);
	if (!pid)
		birth_child(b);
	sys_sigprocmask(SIG_SETMASK, &old, NULL);
	return (int)pid;
}

static void advise(const struct cage *c, int advice)
{
	for (unsigned i = 0; i < c->pieces; i++)
		if (c->piece[i].dontfork)
			sys_madvise(c->piece[i].hva, c->piece[i].size, advice);
}

/* Memory that children do not get is given to this one. A child that another thread makes just now gets it, too. */
static int fork_with_memory(struct cage *c, struct cage_birth *b)
{
	int pid;

	advise(c, MADV_DOFORK);
	pid = fork_child(b);
	advise(c, MADV_DONTFORK);
	return pid;
}

static int open_birth(struct cage *c, struct cage_birth **ret)
{
	struct cage_birth *b = map_memory(sizeof(*b), MAP_PRIVATE);
	u64 key = 0;

	if (!b)
		return -ENOMEM;
	if (SYS_CALL3(SYS_getrandom, &key, sizeof(key), 0) != sizeof(key))
		goto fail;
	c->key = (key >> 1) | 1; /* an answer below 0 is an error */
	filters_make(&b->filters, c->key);
	b->region = c->region;
	b->parent = (int)SYS_CALL2(SYS_pidfd_open, sys_getpid(), 0);
	if (b->parent < 0)
		goto fail;
	*ret = b;
	return 0;
fail:
	sys_munmap(b, sizeof(*b));
	return -EOPNOTSUPP;
}

static void close_birth(struct cage_birth *b)
{
	sys_close(b->parent);
	memset(&b->filters, 0, sizeof(b->filters)); /* the key */
	sys_munmap(b, sizeof(*b));
}

/* They are ours whatever has become of the threads. */
static int take_listeners(struct cage *c)
{
	const struct birth_report *r = (const struct birth_report *)(c->region + CAGE_FRAME);
	const bool born = atomic_load(&r->runner) > 0 && atomic_load(&r->mapper) > 0 &&
			  atomic_load(&r->watcher) > 0;

	c->runner.listener = fd_keep(r->runner_listener - 1);
	c->mapper.listener = fd_keep(r->mapper_listener - 1);
	c->runner_tid = r->runner_tid;
	c->mapper_tid = r->mapper_tid;
	return born && c->runner.listener >= 0 && c->mapper.listener >= 0 ? 0 : -EOPNOTSUPP;
}

static void prepare_region(struct cage *c)
{
	memset(c->region, 0, CAGE_REGION_SIZE);
	memcpy(c->region + CAGE_CODE, cage_stub, (size_t)(cage_stub_end - cage_stub));
}

static int begin(struct cage *c)
{
	int r = take_listeners(c);

	if (!r)
		r = mapper_begin(c);
	if (!r)
		r = runner_begin(c);
	if (!r)
		r = mapper_settle(c);
	if (!r)
		c->same_cpu = !seat_wake_here(&c->runner) && !seat_wake_here(&c->mapper);
	return r;
}

/* -EFAULT: some memory is not inherited, and marked by now. */
static int bear(struct cage *c)
{
	struct cage_birth *b;
	int r = open_birth(c, &b);

	if (r)
		return r;
	prepare_region(c);
	sys_madvise(c->region, CAGE_REGION_SIZE, MADV_DOFORK);
	c->pid = fork_with_memory(c, b);
	sys_madvise(c->region, CAGE_REGION_SIZE, MADV_DONTFORK);
	close_birth(b);
	if (c->pid < 0)
		return c->pid;
	c->alive = true;
	return begin(c);
}

/* ---- death ---- */

enum cage_stop cage_lost(struct cage *c)
{
	if (c->alive)
		SYS_CALL2(SYS_kill, c->pid, SIGKILL);
	c->alive = false;
	return CAGE_LOST;
}

/* The number stays its own until here. */
static void reap(struct cage *c)
{
	if (c->pid <= 0)
		return;
	cage_lost(c);
	while (SYS_CALL5(SYS_waitid, P_PID, c->pid, NULL, WEXITED | ALL_CHILDREN, NULL) &&
		errno == EINTR)
		;
	if (c->runner.listener >= 0)
		fd_drop(c->runner.listener);
	if (c->mapper.listener >= 0)
		fd_drop(c->mapper.listener);
	breaks_close(c);
	c->pid = 0;
}

void cage_destroy(struct cage *c)
{
	const u64 bytes = c->bytes;

	if (!bytes) { /* a forked child: what it was is not known */
		sys_munmap(c, PAGE_SIZE);
		return;
	}
	reap(c);
	sys_munmap(c->region, CAGE_REGION_SIZE);
	sys_munmap(c, bytes);
}

/* ---- all of it ---- */

static bool host_can(void)
{
	struct host_cpu cpu;

	host_cpu_look(&cpu);
	return cpu.fsgsbase && getauxval(AT_MINSIGSTKSZ) + 2 * PAGE_SIZE < CAGE_FRAME_SIZE;
}

/* In a forked child there is nothing at these addresses, or all is 0. */
static int allocate(unsigned pieces, struct cage **ret)
{
	u64 bytes = ALIGN_UP(sizeof(struct cage) + pieces * sizeof(struct cage_piece), PAGE_SIZE);
	struct cage *c = map_memory(bytes, MAP_PRIVATE);

	if (!c)
		return -ENOMEM;
	c->region = map_memory(CAGE_REGION_SIZE, MAP_SHARED);
	if (!c->region || sys_madvise(c, bytes, MADV_WIPEONFORK)) {
		if (c->region)
			sys_munmap(c->region, CAGE_REGION_SIZE);
		sys_munmap(c, bytes);
		return -ENOMEM;
	}
	c->bytes = bytes;
	c->pieces = pieces;
	c->cpu = ~0u;
	*ret = c;
	return 0;
}

static int make(struct cage *c, struct survey *s)
{
	int r;

	s->cage = c;
	s->pieces = 0;
	s->shared = 0;
	r = survey(s);
	if (r)
		return r;
	c->end = s->end;
	r = bear(c);
	if (r == -EFAULT) {
		reap(c);
		r = bear(c);
	}
	return r;
}

/* What the kernel says at birth is about this host, but for the lack of something. */
static int told(int r)
{
	return r == -ENOMEM || r == -EAGAIN || r == -EMFILE || r == -ENFILE || r == -EINVAL
		       ? r
		       : -EOPNOTSUPP;
}

int cage_create(struct cage **ret, const struct cage_ram *ram, unsigned n)
{
	struct survey s = {.ram = ram, .n = n};
	struct cage *c;
	int r = host_can() ? survey(&s) : -EOPNOTSUPP;

	if (!r)
		r = allocate(s.pieces, &c);
	if (r)
		return r;
	r = make(c, &s);
	if (r) {
		cage_destroy(c);
		return told(r);
	}
	*ret = c;
	return 0;
}

int cage_try(void)
{
	const struct cage_ram ram = {map_memory(PAGE_SIZE, MAP_SHARED), PAGE_SIZE};
	struct cage *c;
	int r = ram.hva ? cage_create(&c, &ram, 1) : -ENOMEM;

	if (!r)
		cage_destroy(c);
	if (ram.hva)
		sys_munmap(ram.hva, PAGE_SIZE);
	return r;
}

/* clock_getcpuclockid(3), in numbers: the time that all its threads have been running. */
u64 cage_cpu_ns(const struct cage *c)
{
	const int clock = (int)(~(u32)c->pid << 3 | 2);
	struct timespec t;

	if (SYS_CALL2(SYS_clock_gettime, clock, &t))
		return 0;
	return (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
}

u64 cage_runner(const struct cage *c)
{
	return (u64)c->pid << 32 | (u32)c->runner_tid;
}
