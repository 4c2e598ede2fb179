/* SPDX-License-Identifier: MIT */
/*
 * The memory of a case, mapped twice over: at its linear addresses for the bare host, and elsewhere as the RAM of
 * a guest whose page tables map the same linear addresses. And the guest's legs of a case.
 *
 * The guest ends a sequence with int3 on the landing page, which leaves the engine (DBG_SW_BP). Exceptions are
 * delivered through its IDT to handlers that are int3 too; what they find on their stack is the outcome.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/code/cache.h"
#include "engine/cpu/fpu.h"
#include "engine/cpu/mode.h"
#include "engine/insn/ops.h"
#include "engine/cpuid/cpuid.h"
#include "engine/core/machine.h"
#include "engine/core/vcpu.h"
#include "engine/mem/mem.h"
#include "insn/diff.h"
#include "small_cache.h"

const char *const leg_name[LEGS] = {"step", "translate", "translate again", "host"};

/* Guest-physical layout. */
#define G_TABLES 0x0 /* page tables */
#define G_SYSTEM 0x10000
#define G_LAND   0x20000
#define G_DATA   0x30000
#define G_CODE   0x100000
#define RAM_SIZE (G_CODE + L_CODE_PAGES * PAGE_SIZE)

/* Offsets in the system area, four pages. */
#define S_GDT      0
#define S_TSS      0x800
#define S_IDT      0x1000
#define S_HANDLERS 0x2000
#define S_STACK    0x4000 /* top */

#define SEL_KERNEL_CODE 0x10
#define SEL_KERNEL_DATA 0x18
#define SEL_TSS         0x40

struct diff {
	struct machine *m;
	struct vcpu *v;
	int fd;
	u8 *ram;
	unsigned tables; /* pages of them in use */
	u8 common[DATA_BYTES];
	u64 code_at; /* where the last case put its code */
	unsigned code_bytes;
	struct low *low;
};

/* ---- memory ---- */

static u64 *table(struct diff *d, u64 gpa)
{
	return (u64 *)(d->ram + gpa);
}

static void map_page(struct diff *d, u64 lin, u64 gpa, u64 flags)
{
	u64 *t = table(d, G_TABLES);

	for (unsigned shift = 39; shift > 12; shift -= 9) {
		u64 *e = &t[lin >> shift & 511];

		if (!*e)
			*e = ++d->tables * PAGE_SIZE | PTE_P | PTE_W | PTE_U | PTE_A;
		t = table(d, *e & 0xfffff000);
	}
	t[lin >> 12 & 511] = gpa | flags | PTE_P | PTE_A | PTE_D;
}

static bool writable_code(unsigned page)
{
	return page >= L_CODE_RW;
}

/* Holes, for code that goes on where there is none, and so that no string of stores runs far. */
static bool code_hole(unsigned page)
{
	return writable_code(page) ? page >= L_CODE_RW + 2 : page % 16 == 15;
}

static void map_guest(struct diff *d)
{
	for (unsigned i = 0; i < L_CODE_PAGES; i++)
		if (!code_hole(i))
			map_page(d, L_CODE + i * PAGE_SIZE, G_CODE + i * PAGE_SIZE,
				PTE_U | (writable_code(i) ? PTE_W : 0));
	for (unsigned i = 0; i < L_DATA_PAGES; i++)
		map_page(d, L_DATA + i * PAGE_SIZE, G_DATA + i * PAGE_SIZE,
			PTE_U | PTE_NX | (i < L_DATA_RW ? PTE_W : 0));
	map_page(d, L_LAND, G_LAND, PTE_U);
	for (unsigned i = 0; i < 4; i++)
		map_page(d, L_SYSTEM + i * PAGE_SIZE, G_SYSTEM + i * PAGE_SIZE, PTE_W);
}

static bool map_host(struct diff *d, u64 lin, u64 gpa, u64 pages, int prot)
{
	void *p = mmap((void *)lin, pages * PAGE_SIZE, prot, MAP_SHARED | MAP_FIXED_NOREPLACE,
		d->fd, (off_t)gpa);

	return p == (void *)lin;
}

static void make_holes(void)
{
	for (unsigned i = 0; i < L_CODE_PAGES; i++)
		if (code_hole(i))
			mprotect((void *)(L_CODE + i * PAGE_SIZE), PAGE_SIZE, PROT_NONE);
}

static bool map_all_host(struct diff *d)
{
	const u64 half = L_CODE_RW;

	return map_host(d, L_CODE, G_CODE, half, PROT_READ | PROT_EXEC) &&
	       map_host(d, L_CODE + half * PAGE_SIZE, G_CODE + half * PAGE_SIZE,
		       L_CODE_PAGES - half, PROT_READ | PROT_WRITE | PROT_EXEC) &&
	       map_host(d, L_DATA, G_DATA, L_DATA_RW, PROT_READ | PROT_WRITE) &&
	       map_host(d, L_DATA + L_DATA_RW * PAGE_SIZE, G_DATA + L_DATA_RW * PAGE_SIZE,
		       L_DATA_PAGES - L_DATA_RW, PROT_READ);
}

static bool make_ram(struct diff *d)
{
	d->fd = memfd_create("insn", MFD_CLOEXEC);
	if (d->fd < 0 || ftruncate(d->fd, RAM_SIZE))
		return false;
	d->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, d->fd, 0);
	if (d->ram == MAP_FAILED || !map_all_host(d))
		return false;
	make_holes();
	memset(d->ram + G_CODE, 0xcc, L_CODE_PAGES * PAGE_SIZE);
	memset(d->ram + G_LAND, 0xcc, PAGE_SIZE);
	memset(d->ram + G_SYSTEM + S_HANDLERS, 0xcc, 256);
	return true;
}

/* ---- descriptor tables ---- */

static void gdt_set(struct diff *d, unsigned selector, u64 value)
{
	memcpy(d->ram + G_SYSTEM + S_GDT + (selector & ~7u), &value, 8);
}

static void make_tables(struct diff *d)
{
	u64 tss = L_SYSTEM + S_TSS, stack = L_SYSTEM + S_STACK;

	gdt_set(d, SEL_KERNEL_CODE, 0x00af9b000000ffff);
	gdt_set(d, SEL_KERNEL_DATA, 0x00cf93000000ffff);
	gdt_set(d, SEL_USER_CODE32, 0x00cffb000000ffff);
	gdt_set(d, SEL_USER_DATA, 0x00cff3000000ffff);
	gdt_set(d, SEL_USER_CODE, 0x00affb000000ffff);
	gdt_set(d, SEL_TSS,
		0x67 | (tss & 0xffffff) << 16 | 0x8bull << 40 | (tss >> 24 & 0xff) << 56);
	gdt_set(d, SEL_TSS + 8, tss >> 32);
	memcpy(d->ram + G_SYSTEM + S_TSS + 0x24, &stack, 8); /* IST1 */
	d->ram[G_SYSTEM + S_TSS + 0x66] = 0x68;              /* no I/O bitmap */
	for (unsigned v = 0; v < 256; v++) {
		u64 handler = L_SYSTEM + S_HANDLERS + v;
		u64 gate[2] = {(handler & 0xffff) | SEL_KERNEL_CODE << 16 | 1ull << 32 |
				       0x8eull << 40 | (handler >> 16 & 0xffff) << 48,
			handler >> 32};

		memcpy(d->ram + G_SYSTEM + S_IDT + v * 16, gate, 16);
	}
}

static struct segment flat(u16 selector, u32 attr)
{
	return (struct segment){.selector = selector, .limit = 0xffffffff, .attr = attr};
}

static int make_cpu(struct diff *d)
{
	static struct cpuid_entry cpuid[256];
	static struct vcpu_state s;
	unsigned n = engine_supported_cpuid(cpuid, 256);
	int r = vcpu_set_cpuid(d->v, cpuid, MIN(n, 256u));

	if (r)
		return r;
	vcpu_get(d->v, ~0u, &s);
	s.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
	s.cr3 = G_TABLES;
	s.cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE |
		CR4_UMIP;
	s.efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NX;
	s.seg[SEG_CS] = flat(SEL_KERNEL_CODE, 0xa09b);
	s.seg[SEG_SS] = s.seg[SEG_DS] = s.seg[SEG_ES] = flat(SEL_KERNEL_DATA, 0xc093);
	s.seg[SEG_FS] = s.seg[SEG_GS] = (struct segment){.attr = SEG_UNUSABLE};
	s.seg[SEG_LDTR] = (struct segment){.attr = SEG_UNUSABLE};
	s.seg[SEG_TR] = (struct segment){
		.selector = SEL_TSS, .base = L_SYSTEM + S_TSS, .limit = 0x67, .attr = 0x8b};
	s.gdt = (struct dtable){.base = L_SYSTEM + S_GDT, .limit = 0x7f};
	s.idt = (struct dtable){.base = L_SYSTEM + S_IDT, .limit = 0xfff};
	s.xcr0 = xstate_of_host().features;
	r = vcpu_set(d->v, ST_SREGS | ST_XCR, &s);
	return r ? r : vcpu_set_debug(d->v, DBG_SW_BP, (const u64[8]){0});
}

/* ---- life ---- */

void diff_small_cache(struct machine *m)
{
	if (getenv("TESTS_CACHE"))
		small_cache(m->code, 2);
}

static int make_machine(struct diff *d)
{
	struct memslot_config slot = {.size = RAM_SIZE, .hva = (u64)d->ram};
	int r = machine_create(&d->m);

	if (!r)
		r = machine_set_memslot(d->m, &slot);
	if (!r)
		r = vcpu_create(d->m, 0, &d->v);
	return r ? r : make_cpu(d);
}

struct diff *diff_open(void)
{
	struct diff *d;
	int r;

#ifdef __SANITIZE_THREAD__
	printf("insn: the thread sanitizer's signal handlers need the fs base that cases "
	       "change\n");
	return NULL;
#endif
	d = calloc(1, sizeof(*d));
	if (!d || !make_ram(d)) {
		printf("insn: no memory at the fixed addresses: %s\n", strerror(errno));
		return NULL;
	}
	map_guest(d);
	make_tables(d);
	r = make_machine(d);
	if (r) {
		printf("insn: no machine: %s\n", strerror(-r));
		return NULL;
	}
	d->m->code->all_movable = getenv("TESTS_MOVABLE");
	diff_small_cache(d->m);
	diff_tap(d->m, d->v, RAM_SIZE);
	d->low = low_open();
	return d->low && host_open() ? d : NULL;
}

void diff_close(struct diff *d)
{
	host_close();
	low_close(d->low);
	vcpu_destroy(d->v);
	machine_destroy(d->m);
	munmap((void *)L_CODE, L_CODE_PAGES * PAGE_SIZE);
	munmap((void *)L_DATA, L_DATA_PAGES * PAGE_SIZE);
	munmap(d->ram, RAM_SIZE);
	close(d->fd);
	free(d);
}

/* ---- contents ---- */

void diff_fill(struct diff *d, u64 seed)
{
	struct random r = {seed ^ 0x6461746173656564};
	u8 *p = d->ram + G_DATA;

	for (unsigned i = 0; i < L_DATA_PAGES * PAGE_SIZE; i += 8) {
		u64 v = percent(&r, 40) ? interesting(&r) : rnd(&r);

		memcpy(p + i, &v, 8);
	}
	memcpy(d->common, p, DATA_BYTES);
	low_fill(d->low, p);
}

static void write_code(struct diff *d, u64 at, const void *bytes, unsigned n)
{
	diff_write(d->m, G_CODE + (at - L_CODE), bytes, n);
}

void diff_load(struct diff *d, struct insn_case *c)
{
	static u8 blank[CODE_MAX];

	if (c->kind != KIND_FLAT) {
		low_load(d->low, c);
		return;
	}
	c->with_host = c->with_host && host_can(c);
	memset(blank, 0xcc, sizeof(blank));
	if (d->code_bytes)
		write_code(d, d->code_at, blank, d->code_bytes);
	d->code_at = c->start.rip;
	d->code_bytes = c->bytes;
	write_code(d, c->start.rip, c->code, c->bytes);
}

/* The code pages that a case can change, whether it runs there or not. */
#define G_CODE_RW (G_CODE + L_CODE_RW * PAGE_SIZE)

static void put_data(struct diff *d, const struct insn_case *c)
{
	u8 *p = d->ram + G_DATA;

	memcpy(p, d->common, DATA_BYTES);
	for (unsigned i = 0; i < c->patches; i++)
		memcpy(p + (c->patch[i].addr - L_DATA), &c->patch[i].value, 8);
}

/* Undo what a run did to code. Announced, as any write to memory by a VMM may be. */
static void clean_code(struct diff *d, const struct insn_case *c)
{
	static u8 clean[2 * PAGE_SIZE];
	u64 at = c->start.rip - (L_CODE + L_CODE_RW * PAGE_SIZE);

	memset(clean, 0xcc, sizeof(clean));
	if (at < sizeof(clean))
		memcpy(clean + at, c->code, MIN(c->bytes, sizeof(clean) - at));
	if (memcmp(d->ram + G_CODE_RW, clean, sizeof(clean)))
		diff_write(d->m, G_CODE_RW, clean, sizeof(clean));
}

static void take_data(struct diff *d, const struct insn_case *c, struct outcome *ret)
{
	memcpy(ret->data, d->ram + G_DATA, DATA_BYTES);
	memcpy(ret->code, d->ram + G_CODE_RW, sizeof(ret->code));
	clean_code(d, c);
}

/* ---- the guest's legs ---- */

static void set_segments(struct cpu *cpu, const struct insn_case *c)
{
	bool user = c->cpl == 3;
	struct segment data = user ? flat(SEL_USER_DATA, 0xc0f3) : flat(SEL_KERNEL_DATA, 0xc093);

	cpu->seg[SEG_CS] = c->mode == 4 ? flat(SEL_USER_CODE32, 0xc0fb)
			   : user       ? flat(SEL_USER_CODE, 0xa0fb)
					: flat(SEL_KERNEL_CODE, 0xa09b);
	cpu->seg[SEG_SS] = data;
	cpu->seg[SEG_DS] = cpu->seg[SEG_ES] = flat(SEL_USER_DATA, 0xc0f3);
	cpu->seg[SEG_FS] = (struct segment){.attr = SEG_UNUSABLE, .base = c->start.fs_base};
	cpu->seg[SEG_GS] = (struct segment){.attr = SEG_UNUSABLE, .base = c->start.gs_base};
}

static void set_cpu(struct cpu *cpu, const struct insn_case *c)
{
	memcpy(cpu->gpr, c->start.gpr, sizeof(cpu->gpr));
	cpu->rip = c->start.rip;
	cpu->rflags = c->start.rflags;
	memcpy(cpu->xsave_area, c->start.xsave, R_XSAVE_BYTES);
	set_segments(cpu, c);
	cpu->shadow = 0;
	cpu->cr2 = 0;
	cpu->dr[6] = DR6_FIXED;
	cpu->exit.reason = EXIT_NONE;
	cpu->posted_count = cpu->posted_next = cpu->answers.filled = 0;
	cpu->debug_pending = 0; /* of a trap that waited for an exit of the last case */
	cpu->out.waits = false;
	memset(&cpu->events, 0, sizeof(cpu->events));
	cpu_update_mode(cpu);
}

static bool pushes_error(unsigned vector)
{
	return (BIT(8) | BIT(10) | BIT(11) | BIT(12) | BIT(13) | BIT(14) | BIT(17)) >> vector & 1;
}

/* What the handler of a vector finds: error code, rip, cs, rflags, rsp, ss. */
static void take_frame(const struct diff *d, unsigned vector, struct outcome *ret)
{
	bool error = pushes_error(vector);
	u64 f[6] = {0};
	unsigned n = error ? 6 : 5;

	memcpy(f + 6 - n, d->ram + G_SYSTEM + S_STACK - n * 8, n * 8);
	ret->end = END_FAULT;
	ret->vector = vector;
	ret->error = f[0];
	ret->regs.rip = f[1];
	ret->regs.rflags = f[3];
	ret->regs.gpr[RSP] = f[4];
	if (vector == X86_PF)
		ret->cr2 = d->v->cpu.cr2;
}

static void take_cpu(const struct diff *d, struct outcome *ret)
{
	const struct cpu *cpu = &d->v->cpu;
	u64 handlers = L_SYSTEM + S_HANDLERS;

	memcpy(ret->regs.gpr, cpu->gpr, sizeof(cpu->gpr));
	memcpy(ret->regs.xsave, cpu->xsave_area, R_XSAVE_BYTES);
	ret->regs.rip = cpu->rip;
	ret->regs.rflags = cpu->rflags;
	ret->regs.fs_base = cpu->seg[SEG_FS].base;
	ret->regs.gs_base = cpu->seg[SEG_GS].base;
	ret->exit_reason = cpu->exit.reason;
	ret->end = cpu->exit.reason == EXIT_INTR ? END_STUCK : END_ODD;
	if (cpu->exit.reason != EXIT_DEBUG || cpu->exit.debug.vector != X86_BP)
		return;
	if (cpu->rip - handlers < 256) {
		take_frame(d, cpu->rip - handlers, ret);
		return;
	}
	ret->end = cpu->rip == L_LAND || cpu->rip == L_LAND32 ? END_DONE : END_FAULT;
	ret->vector = ret->end == END_FAULT ? X86_BP : 0;
}

static void kick_vcpu(void *v)
{
	vcpu_kick(v);
}

static void guest_run(struct diff *d, const struct insn_case *c, enum leg leg, struct outcome *ret)
{
	struct cpu *cpu = &d->v->cpu;

	set_cpu(cpu, c);
	if (c->cold && leg != LEG_AGAIN)
		tlb_flush_all(cpu);
	cpu->step_only = leg == LEG_STEP;
	host_watch(kick_vcpu, d->v);
	vcpu_run(d->v, 0);
	take_cpu(d, ret);
}

void diff_run(struct diff *d, const struct insn_case *c, enum leg leg, struct outcome *ret)
{
	memset(ret, 0, offsetof(struct outcome, data));
	if (c->kind != KIND_FLAT) {
		low_run(d->low, c, leg, ret);
		return;
	}
	put_data(d, c);
	if (leg == LEG_HOST) {
		/* So that a write to it finds a page that is present. */
		(void)*(volatile u8 *)(L_DATA + L_DATA_RW * PAGE_SIZE);
		host_run(c, ret);
	} else {
		guest_run(d, c, leg, ret);
	}
	take_data(d, c, ret);
}
