/* SPDX-License-Identifier: MIT */
/* A virtual processor: made and unmade, taken from who runs it, its pages mapped. */
#include <stdlib.h>
#include <sys/mman.h>

#include "abi/mshv/cpuid.h"
#include "abi/mshv/intercept.h"
#include "abi/mshv/regpage.h"
#include "abi/mshv/vtl.h"
#include "base/sys.h"

/* What RDX has after a reset: CPUID was not known at that moment (SDM 3:9.1.2). */
static int set_signature(struct mshv_vp *v)
{
	struct vcpu_state s;
	u32 leaf[4];

	vcpu_read_cpuid(v->cpu, 1, 0, leaf);
	vcpu_get(v->cpu, ST_REGS, &s);
	s.gpr[RDX] = leaf[0];
	return vcpu_set(v->cpu, ST_REGS, &s);
}

/* Processor 0 boots; the others wait for INIT and SIPI where there are local APICs to send them. */
static int cpu_make(struct mshv_vp *v)
{
	struct mshv_partition *p = v->partition;
	int r = vcpu_create(p->machine, v->index, &v->cpu);

	if (r)
		return r;
	run_signals_init(&v->signals, v->cpu, p->vtl ? vtl_poll : run_signals_poll);
	r = vp_cpuid_init(v);
	if (!r)
		r = set_signature(v);
	if (r)
		vcpu_destroy(v->cpu);
	return r;
}

int vp_make(
	struct mshv_partition *p, u32 index, struct hv_register_page *regs, struct mshv_vp **ret)
{
	struct mshv_vp *v = calloc(1, sizeof(*v));
	int r;

	if (!v)
		return -ENOMEM;
	v->partition = p;
	v->index = index;
	v->explicit_suspend = true;
	v->awaits_rip = p->vtl && index;
	v->regs = regs;
	r = cpu_make(v);
	if (r) {
		free(v);
		return r;
	}
	pthread_mutex_init(&v->lock, NULL);
	regpage_show(v);
	*ret = v;
	return 0;
}

int vp_make_pages(struct mshv_partition *p, u32 index, int fd, struct mshv_vp **ret)
{
	struct vp_pages *pages =
		sys_mmap(NULL, VP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	int r = pages == MAP_FAILED ? -errno : vp_make(p, index, &pages->regs, ret);

	if (!r)
		(*ret)->pages = pages;
	else if (pages != MAP_FAILED)
		sys_munmap(pages, VP_BYTES);
	return r;
}

void vp_free(struct mshv_vp *v)
{
	vcpu_destroy(v->cpu);
	run_signals_free(&v->signals);
	if (v->pages)
		sys_munmap(v->pages, VP_BYTES);
	pthread_mutex_destroy(&v->lock);
	free(v);
}

/* Apart from vp_go_to(), which each exit needs: the state is large. */
static __attribute__((noinline)) void begin_to_run(struct mshv_vp *v)
{
	const struct vcpu_state s = {.mp_state = MP_RUNNABLE};

	vcpu_set(v->cpu, ST_MP, &s);
	v->awaits_rip = false;
}

void vp_go_to(struct mshv_vp *v, u64 rip)
{
	vcpu_set_rip(v->cpu, rip);
	if (unlikely(v->awaits_rip))
		begin_to_run(v);
}

/* ---- who has it ---- */

/* Wanted first, then kicked: who runs it sees the wish after the kick at the latest. */
void vp_take(struct mshv_vp *v)
{
	atomic_fetch_add(&v->wanted, 1);
	vcpu_kick(v->cpu);
	pthread_mutex_lock(&v->lock);
}

void vp_give(struct mshv_vp *v)
{
	if (atomic_fetch_sub(&v->wanted, 1) == 1)
		cond_changed(&v->calm);
	pthread_mutex_unlock(&v->lock);
}

void vp_yield(struct mshv_vp *v)
{
	while (unlikely(atomic_load(&v->wanted)))
		cond_wait(&v->calm, &v->lock);
}

/* ---- mapping the descriptor: one page at a time ---- */

int vp_mmap_check(int prot, int flags, size_t len, u64 offset)
{
	if (offset == MSHV_VP_MMAP_OFFSET_GHCB * PAGE_SIZE)
		return -ENODEV; /* of encrypted guests alone */
	if (offset >= VP_BYTES || len > PAGE_SIZE || !(flags & MAP_SHARED))
		return -EINVAL;
	return prot & PROT_EXEC ? -EPERM : 0;
}
