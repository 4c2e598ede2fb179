/* SPDX-License-Identifier: MIT */
/* A vcpu's creation and end, and what other threads may do to it at any time. */
#include <cpuid.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/core/layout.h"
#include "engine/direct/direct.h"
#include "engine/jit/run.h"
#include "engine/cpu/smm.h"
#include "engine/cpu/mode.h"
#include "engine/cpu/valid.h"
#include "engine/pv/hyperv/hv.h"
#include "base/fd.h"
#include "base/hostcpu.h"
#include "base/reserve.h"
#include "base/sys.h"
#include "engine/core/xsave.h"
#include "engine/core/vcpus.h"
#include "engine/cpuid/cpuid.h"
#include "engine/irq/lapic.h"
#include "engine/irqchip.h"
#include "engine/mem/memory.h"
#include "engine/msr/msr.h"
#include "engine/pv/kvm/steal.h"
#include "engine/request/pause.h"
#include "engine/time/clock.h"
#include "engine/request/post.h"
#include "engine/vcpu/cross.h"
#include "engine/vcpu/loop.h"
#include "engine/jit/gen.h"
#include "engine/insn/native.h"

static void init_translation(struct cpu *cpu)
{
	cpu->high_mask = PAGE_MASK;
	cpu->flag_mask = HOST_FLAGS;
	for (unsigned view = 0; view < TLB_VIEWS; view++) {
		struct tlb_page *page = cpu->tlb[view].page;

		for (unsigned kind = 0; kind < TLB_KINDS; kind++) {
			page[0].of[kind].neg_tag = tlb_empty(0);
			page[TLB_SIZE - 1].of[kind].neg_tag = tlb_empty(TLB_SIZE - 1);
		}
	}
}

#define VCPU_BYTES (CPU_STACK_GUARD + CPU_STACK + sizeof(struct vcpu))

static void vcpu_unmap(struct vcpu *v)
{
	free(v->cpu.native);
	free(v->cpu.gen);
	free(v->cpu.insns);
	sys_munmap((u8 *)v - CPU_STACK_GUARD - CPU_STACK, VCPU_BYTES);
}

/* Large and mostly never touched (the TLBs, the stack below it), so it comes straight from mmap. */
static struct vcpu *vcpu_alloc(void)
{
	u8 *p = reserve(VCPU_BYTES);
	struct vcpu *v;

	if (!p)
		return NULL;
	v = (struct vcpu *)(p + CPU_STACK_GUARD + CPU_STACK);
	if (sys_mprotect(p, CPU_STACK_GUARD, PROT_NONE)) {
		sys_munmap(p, VCPU_BYTES);
		return NULL;
	}
	v->cpu.native = calloc(1, sizeof(*v->cpu.native));
	v->cpu.gen = calloc(1, sizeof(*v->cpu.gen));
	v->cpu.insns = calloc(1, sizeof(*v->cpu.insns));
	v->wake_fd = -1;
	if (v->cpu.native && v->cpu.gen && v->cpu.insns)
		return v;
	vcpu_unmap(v);
	return NULL;
}

static void vcpu_free(struct vcpu *v)
{
	direct_destroy(v);
	steal_close(&v->steal);
	hv_vp_destroy(v); /* its timers raise interrupts */
	lapic_destroy(v);
	if (v->wake_fd >= 0)
		fd_drop(v->wake_fd);
	free(v->ring);
	vcpu_unmap(v);
}

/* Which MXCSR bits the host has. */
static void init_xsave(struct fpu_image *image)
{
	u8 host[512] __attribute__((aligned(16)));

	__asm__ volatile("fxsave %0" : "=m"(host));
	memcpy(&image->mxcsr_mask, host + offsetof(struct fpu_image, mxcsr_mask),
		sizeof(image->mxcsr_mask));
}

static bool host_has_xsave(void)
{
	u32 a, b, c, d;

	return __get_cpuid(1, &a, &b, &c, &d) && (c & BIT(26));
}

/* XGETBV with ecx = 1, SDM 1:13.2. */
static bool host_has_xinuse(void)
{
	u32 a, b, c, d;

	return __get_cpuid_count(0xd, 1, &a, &b, &c, &d) && (a & BIT(2));
}

static void vcpu_init(struct vcpu *v, struct machine *m, u32 id)
{
	v->machine = m;
	v->id = id;
	v->apic_id = id;
	v->user_irq = -1;
	v->eoi_exit = -1;
	v->cpu.machine = m;
	v->cpu.vcpu = v;
	v->cpu.stats = v->own_stats;
	v->cpu.id = id;
	v->wait_fd = -1;
	init_translation(&v->cpu);
	atomic_store(&v->mp_state, machine_irqchip(m) == IRQCHIP_NONE || id == m->boot_cpu
					   ? MP_RUNNABLE
					   : MP_UNINITIALIZED);
	cpu_reset(&v->cpu, false);
	msr_reset(&v->cpu);
	if (!machine_quirk(m, QUIRK_STUFF_FEATURE_MSRS))
		v->cpu.msr.arch_capabilities = v->cpu.msr.platform_info = 0;
	tsc_init(v);
	init_xsave(fpu_image(&v->cpu));
	v->cpu.host_xsave = host_has_xsave();
	v->cpu.host_xinuse = v->cpu.host_xsave && host_has_xinuse();
	v->cpu.host_amd = host_cpu_is_amd();
	v->cpu.xstate = xstate_of_host();
	v->cpu.host_xinuse_by_value = cross_xinuse_by_value(&v->cpu);
	cpuid_changed(&v->cpu);
	cpu_update_mode(&v->cpu);
}

/* A free place, if there may be one with this id. */
static int vcpu_place(struct vcpus all, u32 id, unsigned *ret)
{
	struct machine *m = all.machine;
	struct vcpu *other;
	unsigned i = 0;

	for_each_vcpu(all, other)
	{
		if (other->id == id)
			return -EEXIST;
	}
	while (i < MACHINE_MAX_VCPUS && atomic_load(&m->vcpus[i]))
		i++;
	*ret = i;
	return i < MACHINE_MAX_VCPUS ? 0 : -EINVAL;
}

static void vcpu_enlist(struct vcpus all, struct vcpu *v, unsigned place)
{
	struct machine *m = all.machine;

	v->hv->vp_index = hv_is_partition(v) ? v->id : place;
	atomic_store(&m->vcpus[place], v);
	if (place >= atomic_load(&m->vcpu_high))
		atomic_store(&m->vcpu_high, place + 1);
	m->vcpu_count++;
}

static void vcpu_delist(struct vcpus all, const struct vcpu *v)
{
	struct machine *m = all.machine;

	for (unsigned i = 0; i < atomic_load(&m->vcpu_high); i++)
		if (atomic_load(&m->vcpus[i]) == v)
			atomic_store(&m->vcpus[i], NULL);
	m->vcpu_count--;
}

int vcpu_create(struct machine *m, u32 id, struct vcpu **ret)
{
	struct vcpu *v = vcpu_alloc();
	struct vcpus all;
	unsigned place;
	int r;

	if (!v)
		return -ENOMEM;
	/* The interrupt controller comes before the first vcpu or not at all. Time is not thawed before it is listed. */
	all = vcpus_lock(m);
	vcpu_init(v, m, id);
	r = hv_vp_create(v);
	if (!r)
		r = vcpu_place(all, id, &place);
	if (!r)
		r = lapic_create(v);
	if (!r)
		vcpu_enlist(all, v, place); /* last: from here on others see it */
	if (!r)
		vcpu_tap_created(v, place);
	vcpus_unlock(all);
	if (r) {
		vcpu_free(v);
		return r;
	}
	vcpu_enter_view(v);
	*ret = v;
	return 0;
}

/* Nobody who could have found it is still looking: see core/vcpus.h. */
static void vcpu_retire(struct vcpu *v)
{
	struct machine *m = v->machine;
	struct vcpus all;

	machine_pause(m);
	all = vcpus_lock(m);
	vcpu_delist(all, v);
	vcpus_unlock(all);
	machine_resume(m);
	memory_wait_readers(m);
}

void vcpu_destroy(struct vcpu *v)
{
	if (!v)
		return;
	vcpu_tap_end(v);
	vcpu_retire(v);
	vcpu_free(v);
}

u32 vcpu_id(const struct vcpu *v)
{
	return v->id;
}

struct machine *vcpu_machine(const struct vcpu *v)
{
	return v->machine;
}

struct exit *vcpu_exit(struct vcpu *v)
{
	return &v->cpu.exit;
}

/* ---- any time ---- */

void vcpu_set_poll(struct vcpu *v, bool (*poll)(void *opaque), void *opaque)
{
	v->poll = poll;
	v->poll_opaque = opaque;
}

void vcpu_set_asked_for(struct vcpu *v, bool (*asked_for)(void *opaque, int thread))
{
	v->asked_for = asked_for;
}

void vcpu_set_wait_fd(struct vcpu *v, int fd)
{
	v->wait_fd = fd;
}

/* ---- a user-space interrupt controller ---- */

void vcpu_request_irq_window(struct vcpu *v, bool on)
{
	v->want_irq_window = on;
}

void vcpu_request_nmi_window(struct vcpu *v, bool on)
{
	v->want_nmi_window = on;
}

void vcpu_interrupt(struct vcpu *v, u8 vector)
{
	v->user_irq = vector;
	vcpu_post_event(v);
}

void vcpu_interrupt_clear(struct vcpu *v)
{
	v->user_irq = -1;
}

bool vcpu_ready_for_interrupt(const struct vcpu *v)
{
	return cpu_interruptible(&v->cpu) && v->user_irq < 0 && !v->cpu.events.interrupt.injected &&
	       !v->cpu.events.exception.injected && !v->cpu.events.exception.pending;
}

void vcpu_get_brief(const struct vcpu *v, struct vcpu_brief *ret)
{
	ret->cr8 = vcpu_cr8(v);
	ret->apic_base = cpu_apic_base(&v->cpu);
	ret->if_flag = v->cpu.rflags & FL_IF;
	ret->smm = cpu_in_smm(&v->cpu);
	ret->ready_for_interrupt = vcpu_ready_for_interrupt(v);
}

int vcpu_set_cr8(struct vcpu *v, u64 cr8)
{
	if (!valid_cr8(cr8))
		return refuse(&v->cpu.refusal, -EINVAL, "cr8 0x%lx: CR8 has only 4 bits", cr8);
	lapic_set_cr8(v, cr8);
	return 0;
}
