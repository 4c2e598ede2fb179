/* SPDX-License-Identifier: MIT */
/*
 * What else cannot be the kernel's: the break, which is uservisor's own for the kernel, and fs,
 * which is ours while we work.
 */
#include <asm/prctl.h>
#include <errno.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/inject/private.h"
#include "shim/processor.h"

/* ---- brk ---- */

/* Address space only; nothing is mapped until the break is moved. Smaller where that is limited. */
int brk_init(struct program *p)
{
	u64 size = 64ull << 30;
	void *at;

	for (; size >= 1ull << 20; size >>= 2) {
		at = mmap(
			NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (at == MAP_FAILED)
			continue;
		p->brk_start = p->brk_end = p->brk_mapped = (u64)at;
		p->brk_limit = (u64)at + size;
		return 0;
	}
	return -ENOMEM;
}

/* What is given back is zero when it is taken again. */
static int brk_map(struct program *p, u64 end)
{
	u64 low = MIN(end, p->brk_mapped), high = MAX(end, p->brk_mapped);
	int prot = end > p->brk_mapped ? PROT_READ | PROT_WRITE : PROT_NONE;
	int reserve = end > p->brk_mapped ? 0 : MAP_NORESERVE;

	if (low == high)
		return 0;
	if (mmap((void *)low, high - low, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | reserve,
		    -1, 0) == MAP_FAILED)
		return -ENOMEM;
	p->brk_mapped = end;
	return 0;
}

long call_brk(struct thread *t, struct context *c)
{
	struct program *p = t->program;
	u64 end = c->rdi;

	pthread_mutex_lock(&p->lock);
	if (end >= p->brk_start && end <= p->brk_limit && !brk_map(p, ALIGN_UP(end, PAGE_SIZE)))
		p->brk_end = end;
	end = p->brk_end;
	pthread_mutex_unlock(&p->lock);
	return (long)end;
}

/* ---- prctl ---- */

/* While the program has none of its own, gs is for our call sites (site.h). The engine restores it. */
static long set_gs(struct thread *t, u64 address)
{
	long r = RAW(SYS_arch_prctl, ARCH_SET_GS, address || !t->magic ? address : (u64)t);

	if (!r)
		t->program_gs = address;
	return r;
}

static long get_gs(struct thread *t, u64 to)
{
	u64 gs;
	long r = RAW(SYS_arch_prctl, ARCH_GET_GS, &gs);

	if (!r && gs == (u64)t)
		gs = 0;
	return r ? r : put_bytes(to, &gs, sizeof(gs));
}

long call_arch_prctl(struct thread *t, struct context *c)
{
	switch ((int)c->rdi) {
	case ARCH_SET_FS:
		if (c->rsi >> 47)
			return -EPERM;
		t->program_fs = c->rsi;
		return 0;
	case ARCH_GET_FS: return put_bytes(c->rsi, &t->program_fs, sizeof(t->program_fs));
	case ARCH_SET_GS: return set_gs(t, c->rsi);
	case ARCH_GET_GS: return get_gs(t, c->rsi);
	default: return processor_arch_prctl((int)c->rdi, c->rsi);
	}
}

long call_prctl(struct thread *t, struct context *c)
{
	switch ((int)c->rdi) {
	case PR_SET_SECCOMP: return seccomp_prctl_set(t, c->rsi, c->rdx);
	case PR_GET_SECCOMP: return seccomp_prctl_get(t);
	case 59: return -EINVAL; /* PR_SET_SYSCALL_USER_DISPATCH is taken, by us */
	default: return CALL_PASS;
	}
}

/* All handlers of the program are ours here from the beginning: signal.c. */
void shim_started(void)
{
}
