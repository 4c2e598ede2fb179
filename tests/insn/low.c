/* SPDX-License-Identifier: MIT */
/*
 * The machine of cases whose segments are not flat: real mode, virtual-8086 mode, protected mode with bases and
 * limits. No paging, so what a case may write is decided by memory slots, and everything else is MMIO, which
 * ends a case as well as a fault does. The host can run those of protected mode, from its LDT.
 *
 * A case is done when it comes to the int3 behind its last instruction. In real mode exceptions go through a vector
 * table, with the frame on the case's own stack; otherwise to level 0, with a stack of its own.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/code/cache.h"
#include "engine/insn/ops.h"
#include "engine/cpuid/cpuid.h"
#include "engine/core/machine.h"
#include "engine/core/vcpu.h"
#include "engine/mem/mem.h"
#include "engine/cpu/mode.h"
#include "insn/diff.h"

/* Offsets in the system area. */
#define S_IVT      0
#define S_HANDLERS 0x400
#define S_GDT      0x800
#define S_TSS      0xc00
#define S_LDT      0xd00
#define S_IDT      0x1000

#define SEL_CODE   0x08 /* flat, level 0 */
#define SEL_DATA   0x10
#define SEL_TSS    0x18
#define CODE_PAGES 2

struct low {
	struct machine *m;
	struct vcpu *v;
	u8 *system, *stack, *data, *code;
	u8 common[DATA_BYTES];
	int fd;
	unsigned used; /* pages of it */
	bool host;     /* the host has the memory, too */
};

/* ---- memory ---- */

/* For us, at a page of the file. */
static u8 *pages(struct low *l, unsigned n)
{
	u8 *p = mmap(NULL, n * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, l->fd,
		l->used * PAGE_SIZE);

	l->used += n;
	if (p == MAP_FAILED)
		abort();
	return p;
}

/* For the host, which runs cases of protected mode at their own addresses. */
static bool map_host(struct low *l, u64 lin, unsigned from, unsigned n, int prot)
{
	return mmap((void *)lin, n * PAGE_SIZE, prot, MAP_SHARED | MAP_FIXED_NOREPLACE, l->fd,
		       from * PAGE_SIZE) == (void *)lin;
}

static void slot(struct low *l, u32 id, u64 gpa, const u8 *hva, unsigned n, bool read_only)
{
	struct memslot_config c = {.id = id,
		.gpa = gpa,
		.size = n * PAGE_SIZE,
		.hva = (u64)hva,
		.flags = read_only ? SLOT_READONLY : 0};

	if (machine_set_memslot(l->m, &c))
		abort();
}

static void make_memory(struct low *l)
{
	unsigned data, code;

	l->fd = memfd_create("low", MFD_CLOEXEC);
	if (l->fd < 0 || ftruncate(l->fd, 16 * PAGE_SIZE))
		abort();
	l->system = pages(l, 2);
	l->stack = pages(l, 1);
	data = l->used;
	l->data = pages(l, L_DATA_PAGES);
	code = l->used;
	l->code = pages(l, CODE_PAGES);
	l->host = map_host(l, LOW_DATA, data, L_DATA_RW, PROT_READ | PROT_WRITE) &&
		  map_host(l, LOW_DATA + L_DATA_RW * PAGE_SIZE, data + L_DATA_RW,
			  L_DATA_PAGES - L_DATA_RW, PROT_READ) &&
		  map_host(l, LOW_CODE, code, CODE_PAGES, PROT_READ | PROT_WRITE | PROT_EXEC);
	slot(l, 0, LOW_SYSTEM, l->system, 2, true);
	slot(l, 1, LOW_STACK, l->stack, 1, false);
	slot(l, 2, LOW_DATA, l->data, L_DATA_RW, false);
	slot(l, 3, LOW_DATA + L_DATA_RW * PAGE_SIZE, l->data + L_DATA_RW * PAGE_SIZE,
		L_DATA_PAGES - L_DATA_RW, true);
	slot(l, 4, LOW_CODE, l->code, CODE_PAGES, false);
}

/* ---- tables ---- */

static u64 descriptor(u32 base, u32 limit, u32 attr)
{
	u64 granules = attr & SEG_G ? limit >> 12 : limit;

	return (granules & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)(attr & 0xf0ff) << 40 |
	       (granules >> 16 & 15) << 48 | (u64)(base >> 24) << 56;
}

static void gdt_set(struct low *l, unsigned selector, u64 value)
{
	memcpy(l->system + S_GDT + (selector & ~7u), &value, 8);
}

static void make_tables(struct low *l)
{
	u32 tss[26] = {[1] = LOW_STACK + PAGE_SIZE, [2] = SEL_DATA, [25] = 0x680000};

	memset(l->system + S_HANDLERS, 0xcc, 256);
	gdt_set(l, SEL_CODE, descriptor(0, 0xffffffff, 0xc09b));
	gdt_set(l, SEL_DATA, descriptor(0, 0xffffffff, 0xc093));
	gdt_set(l, SEL_TSS, descriptor(LOW_SYSTEM + S_TSS, 0x67, 0x8b));
	memcpy(l->system + S_TSS, tss, sizeof(tss));
	for (unsigned v = 0; v < 256; v++) {
		u32 handler = LOW_SYSTEM + S_HANDLERS + v;
		u32 vector = (LOW_SYSTEM >> 4) << 16 | (S_HANDLERS + v);
		u64 gate = (handler & 0xffff) | SEL_CODE << 16 | 0xeeull << 40 |
			   (u64)(handler >> 16) << 48;

		memcpy(l->system + S_IVT + v * 4, &vector, 4);
		memcpy(l->system + S_IDT + v * 8, &gate, 8);
	}
}

/* ---- life ---- */

static int make_cpu(struct low *l)
{
	static struct cpuid_entry cpuid[256];
	static struct vcpu_state s;
	unsigned n = engine_supported_cpuid(cpuid, 256);
	int r = vcpu_set_cpuid(l->v, cpuid, MIN(n, 256u));

	if (r)
		return r;
	vcpu_get(l->v, ~0u, &s);
	s.cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
	s.xcr0 = xstate_of_host().features;
	r = vcpu_set(l->v, ST_SREGS | ST_XCR, &s);
	return r ? r : vcpu_set_debug(l->v, DBG_SW_BP, (const u64[8]){0});
}

struct low *low_open(void)
{
	struct low *l = calloc(1, sizeof(*l));

	if (!l || machine_create(&l->m))
		return NULL;
	l->m->code->all_movable = getenv("TESTS_MOVABLE");
	diff_small_cache(l->m);
	make_memory(l);
	make_tables(l);
	if (vcpu_create(l->m, 0, &l->v) || make_cpu(l))
		return NULL;
	diff_tap(l->m, l->v, 0x100000);
	return l;
}

void low_close(struct low *l)
{
	vcpu_destroy(l->v);
	machine_destroy(l->m);
	munmap(l->system, 2 * PAGE_SIZE);
	munmap(l->stack, PAGE_SIZE);
	munmap(l->data, L_DATA_PAGES * PAGE_SIZE);
	munmap(l->code, CODE_PAGES * PAGE_SIZE);
	munmap((void *)LOW_DATA, L_DATA_PAGES * PAGE_SIZE);
	munmap((void *)LOW_CODE, CODE_PAGES * PAGE_SIZE);
	close(l->fd);
	free(l);
}

/* ---- contents ---- */

void low_fill(struct low *l, const u8 *data)
{
	memcpy(l->common, data, DATA_BYTES);
	memcpy(l->data, data, L_DATA_PAGES * PAGE_SIZE);
}

static u64 code_offset(const struct insn_case *c)
{
	return c->seg[SEG_CS].base + c->start.rip - LOW_CODE;
}

static void write_changed(struct low *l, const struct insn_case *c)
{
	static u8 want[CODE_PAGES * PAGE_SIZE];
	u64 at = code_offset(c);

	memset(want, 0xcc, sizeof(want));
	memcpy(want + at, c->code, MIN(c->bytes, sizeof(want) - at));
	if (memcmp(want, l->code, sizeof(want)))
		diff_write(l->m, LOW_CODE, want, sizeof(want));
}

static bool load_host(const struct insn_case *c)
{
	for (unsigned i = 0; i < 6; i++)
		if (!(c->seg[i].attr & SEG_P) || !host_set_segment(LOW_ENTRY + i, &c->seg[i]))
			return false;
	return true;
}

void low_load(struct low *l, struct insn_case *c)
{
	for (unsigned i = 0; i < 6; i++) {
		const struct seg_state *s = &c->seg[i];
		u64 d = descriptor(s->base, s->limit, s->attr);

		if (c->kind == KIND_PROT)
			memcpy(l->system + S_LDT + (LOW_ENTRY + i) * 8, &d, 8);
	}
	c->with_host = c->with_host && host_can(c) && l->host && load_host(c);
	write_changed(l, c);
}

/* ---- registers ---- */

static void set_segments(struct cpu *cpu, const struct insn_case *c)
{
	for (unsigned i = 0; i < 6; i++)
		cpu->seg[i] = (struct segment){.selector = c->seg[i].selector,
			.base = c->seg[i].base,
			.limit = c->seg[i].limit,
			.attr = c->seg[i].attr};
	cpu->seg[SEG_LDTR] = (struct segment){
		.selector = SEL_TSS, .base = LOW_SYSTEM + S_LDT, .limit = 0x4f, .attr = 0x82};
	cpu->seg[SEG_TR] = (struct segment){
		.selector = SEL_TSS, .base = LOW_SYSTEM + S_TSS, .limit = 0x67, .attr = 0x8b};
	cpu->gdt = (struct dtable){.base = LOW_SYSTEM + S_GDT, .limit = 0x7f};
	cpu->idt = c->kind == KIND_REAL
			   ? (struct dtable){.base = LOW_SYSTEM + S_IVT, .limit = 0x3ff}
			   : (struct dtable){.base = LOW_SYSTEM + S_IDT, .limit = 0x7ff};
}

static void set_cpu(struct cpu *cpu, const struct insn_case *c)
{
	memcpy(cpu->gpr, c->start.gpr, sizeof(cpu->gpr));
	cpu->rip = c->start.rip;
	cpu->rflags = c->start.rflags;
	memcpy(cpu->xsave_area, c->start.xsave, R_XSAVE_BYTES);
	cpu->cr0 = CR0_MP | CR0_ET | CR0_NE | CR0_AM | (c->kind == KIND_REAL ? 0 : CR0_PE);
	cpu->cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
	cpu->efer = 0;
	set_segments(cpu, c);
	cpu->shadow = 0;
	cpu->cr2 = 0;
	cpu->nmi_masked = false;
	cpu->dr[6] = DR6_FIXED;
	cpu->exit.reason = EXIT_NONE;
	cpu->posted_count = cpu->posted_next = cpu->answers.filled = 0;
	cpu->debug_pending = 0; /* of a trap that waited for an exit of the last case */
	cpu->out.waits = false;
	memset(&cpu->events, 0, sizeof(cpu->events));
	cpu_update_mode(cpu);
}

/* ---- outcome ---- */

static bool pushes_error(unsigned vector)
{
	return (BIT(8) | BIT(10) | BIT(11) | BIT(12) | BIT(13) | BIT(14) | BIT(17)) >> vector & 1;
}

static void take_protected_frame(const struct low *l, unsigned vector, struct outcome *ret)
{
	const struct cpu *cpu = &l->v->cpu;
	u32 f[11] = {0};
	unsigned n = (u32)(LOW_STACK + PAGE_SIZE - cpu->gpr[RSP]) / 4, e;

	memcpy(f, l->stack + PAGE_SIZE - 4 * MIN(n, 10u), 4 * MIN(n, 10u));
	e = vector < 32 && pushes_error(vector) && (n == 6 || n == 10);
	ret->end = END_FAULT;
	ret->vector = vector;
	ret->error = e ? f[0] : 0;
	ret->regs.rip = f[e];
	ret->regs.rflags = f[e + 2];
	ret->regs.gpr[RSP] = f[e + 3];
	ret->seg[SEG_CS].selector = f[e + 1];
	ret->seg[SEG_SS].selector = f[e + 4];
	if (n >= 9) {
		static const u8 order[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};

		for (unsigned i = 0; i < 4; i++)
			ret->seg[order[i]].selector = f[e + 5 + i];
	}
}

static u8 *writable(struct low *l, u32 lin)
{
	if (lin - LOW_DATA < DATA_BYTES)
		return l->data + (lin - LOW_DATA);
	return lin - LOW_CODE < CODE_PAGES * PAGE_SIZE ? l->code + (lin - LOW_CODE) : NULL;
}

/*
 * ip, cs, flags on the case's stack, if that is RAM; the flags are compared as those of the outcome, not as memory. If
 * the frame is not RAM the case ended with an exit, in the handler.
 */
static void take_real_frame(struct low *l, unsigned vector, struct outcome *ret)
{
	const struct cpu *cpu = &l->v->cpu;
	u32 sp = cpu->stack_size == 4 ? (u32)cpu->gpr[RSP] : (u16)cpu->gpr[RSP];
	u8 frame[6], *at;
	bool whole = true;

	for (unsigned i = 0; i < 6; i++) {
		at = writable(l, (u32)(cpu->seg[SEG_SS].base + sp + i));
		whole = whole && at;
		frame[i] = at ? *at : 0;
		if (at && i >= 4)
			*at = 0;
	}
	ret->vector = vector;
	ret->regs.rflags = frame[4] | frame[5] << 8;
	if (!whole)
		return;
	ret->end = END_FAULT;
	ret->regs.rip = frame[0] | frame[1] << 8;
	ret->seg[SEG_CS].selector = frame[2] | frame[3] << 8;
}

static void take_cpu(struct low *l, const struct insn_case *c, struct outcome *ret)
{
	const struct cpu *cpu = &l->v->cpu;
	u64 handler = cpu_code_linear(cpu, cpu->rip) - (LOW_SYSTEM + S_HANDLERS);

	memcpy(ret->regs.gpr, cpu->gpr, sizeof(cpu->gpr));
	memcpy(ret->regs.xsave, cpu->xsave_area, R_XSAVE_BYTES);
	ret->regs.rip = cpu->rip;
	ret->regs.rflags = cpu->rflags;
	for (unsigned i = 0; i < 6; i++)
		ret->seg[i] = (struct seg_state){.selector = cpu->seg[i].selector,
			.base = (u32)cpu->seg[i].base,
			.limit = cpu->seg[i].limit,
			.attr = cpu->seg[i].attr};
	ret->exit_reason = cpu->exit.reason;
	ret->end = cpu->exit.reason == EXIT_INTR ? END_STUCK : END_ODD;
	if (handler < 256 && !cpu_protected(cpu)) {
		take_real_frame(l, handler, ret);
		return;
	}
	if (cpu->exit.reason != EXIT_DEBUG || cpu->exit.debug.vector != X86_BP)
		return;
	if (handler < 256 && cpu->cpl == 0) {
		take_protected_frame(l, handler, ret);
	} else {
		ret->end = cpu->rip == case_end(c) ? END_DONE : END_FAULT;
		ret->vector = ret->end == END_FAULT ? X86_BP : 0;
	}
}

static void kick_vcpu(void *v)
{
	vcpu_kick(v);
}

static void guest_run(struct low *l, const struct insn_case *c, enum leg leg, struct outcome *ret)
{
	struct cpu *cpu = &l->v->cpu;

	set_cpu(cpu, c);
	if (c->cold && leg != LEG_AGAIN)
		tlb_flush_all(cpu);
	cpu->step_only = leg == LEG_STEP;
	host_watch(kick_vcpu, l->v);
	vcpu_run(l->v, 0);
	take_cpu(l, c, ret);
}

void low_run(struct low *l, const struct insn_case *c, enum leg leg, struct outcome *ret)
{
	memset(l->stack, 0, PAGE_SIZE);
	memcpy(l->data, l->common, DATA_BYTES);
	for (unsigned i = 0; i < c->patches; i++)
		memcpy(l->data + (c->patch[i].addr - LOW_DATA), &c->patch[i].value, 8);
	if (leg == LEG_HOST)
		host_run(c, ret);
	else
		guest_run(l, c, leg, ret);
	memcpy(ret->data, l->data, DATA_BYTES);
	memcpy(ret->code, l->code, sizeof(ret->code));
	write_changed(l, c);
}
