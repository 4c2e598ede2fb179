/* SPDX-License-Identifier: MIT */
/*
 * User code that runs as it is, beside the same code in a machine that executes it itself: nobody can tell the difference. A machine
 * has 4 MiB of shared memory; its kernel is a page with a handler of system calls and a table of exceptions.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/direct.h"
#include "base/memfd.h"
#include "base/proc.h"
#include "cage/cage.h"
#include "engine/core/stat.h"
#include "engine/core/vcpu.h"
#include "engine/core/xsave.h"
#include "engine/direct/direct_priv.h"
#include "tests/unit/world/world.h"
#include "x86/regs.h"

#define RAM     (4u << 20)
#define PML4    0x1000u
#define PDPT    0x2000u
#define PD      0x3000u
#define PT      0x4000u
#define KERNEL  0x5000u
#define IDT     0x6000u
#define ENTRIES 0x7000u /* of exceptions: vector n at ENTRIES + 16 n */
#define GDT     0x8000u
#define TSS     0x8800u
#define KSTACK  0xa000u

#define USER       0x400000u /* linear; the table's pages lie at PAGES */
#define PAGES      0x100000u
#define USER_PAGES 256u
#define CODE_PAGE  0u
#define STACK_PAGE 8u
#define DATA_PAGE  16u
#define USER_AT(n) (USER + (n)*PAGE_SIZE)

#define PTE_USER 7u /* present, writable, user */

/* The ports by which the kernel tells. */
#define CALL      0x10
#define EXCEPTION 0x20

#define PIECE(name) extern const u8 guest_##name[], guest_##name##_end[]
PIECE(mix);
PIECE(pages);
PIECE(rewrite);
PIECE(shown);
PIECE(caller);
PIECE(beside);
PIECE(spin);
PIECE(breakpoint);
PIECE(privileged);
PIECE(undefined);
PIECE(read);
PIECE(write);
PIECE(jump);
PIECE(trap);
PIECE(late);
PIECE(twice);
PIECE(many);
PIECE(kernel);
#define CODE_OF(name) guest_##name, (size_t)(guest_##name##_end - guest_##name)

struct pc {
	struct machine *m;
	struct vcpu *v;
	u8 *ram;
};

static void put(struct pc *pc, u32 at, const void *bytes, size_t n)
{
	memcpy(pc->ram + at, bytes, n);
}

static void put64(struct pc *pc, u32 at, u64 value)
{
	put(pc, at, &value, sizeof(value));
}

static u64 get64(const struct pc *pc, u32 at)
{
	u64 value;

	memcpy(&value, pc->ram + at, sizeof(value));
	return value;
}

static void set_pte(struct pc *pc, u32 page, u64 pte)
{
	put64(pc, PT + 8 * page, pte);
}

static u64 pte_of(u32 page)
{
	return PAGES + page * PAGE_SIZE + PTE_USER;
}

/* Four pages: the tables of one address space. */
static void make_tables(struct pc *pc, u32 pml4)
{
	const u32 pdpt = pml4 + PDPT - PML4, pd = pml4 + PD - PML4, pt = pml4 + PT - PML4;

	put64(pc, pml4, pdpt | PTE_USER);
	put64(pc, pdpt, pd | PTE_USER);
	put64(pc, pd, 0x83); /* the kernel: 2 MiB */
	put64(pc, pd + 16, pt | PTE_USER);
	for (u32 i = 0; i < USER_PAGES; i++)
		put64(pc, pt + 8 * i, pte_of(i));
}

/* Each exception: OUT 20h of its vector, with the registers of whoever raised it but rax. */
static void make_kernel(struct pc *pc)
{
	static const u64 gdt[] = {0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cffb000000ffff,
		0x00cff3000000ffff, 0x00affb000000ffff, 0, TSS << 16 | 0x0000890000000067ull, 0};

	put(pc, KERNEL, CODE_OF(kernel));
	put(pc, GDT, gdt, sizeof(gdt));
	put64(pc, TSS + 4, KSTACK);
	for (u32 v = 0; v < 32; v++) {
		const u32 at = ENTRIES + 16 * v;
		const u8 code[] = {0xb0, (u8)v, 0xe6, 0x20, 0xf4};

		put(pc, at, code, sizeof(code));
		put64(pc, IDT + 16 * v, at | 0x10 << 16 | 0x0000ee0000000000ull);
	}
}

static void start(struct pc *pc)
{
	struct vcpu_state s;

	vcpu_get(pc->v, ST_REGS | ST_SREGS | ST_XSAVE | ST_XCR, &s);
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		s.seg[i] = (struct segment){.limit = ~0u, .attr = 0xc0f3};
	s.seg[SEG_SS].selector = 0x2b;
	s.seg[SEG_CS] = (struct segment){.limit = ~0u, .attr = 0xa0fb, .selector = 0x33};
	s.seg[SEG_FS].base = 0x1234567000;
	s.seg[SEG_GS].base = 0x7654321000;
	s.seg[SEG_TR] =
		(struct segment){.base = TSS, .limit = 0x67, .attr = 0x8b, .selector = 0x40};
	s.gdt = (struct dtable){.base = GDT, .limit = 0x4f};
	s.idt = (struct dtable){.base = IDT, .limit = 0x1ff};
	s.cr0 = CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_WP | CR0_MP;
	s.cr3 = PML4;
	s.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE;
	s.efer = EFER_LME | EFER_LMA | EFER_SCE;
	s.xcr0 = pc->v->cpu.xcr0_allowed;
	for (unsigned i = 0; i < GPR_COUNT; i++)
		s.gpr[i] = 0x0123456789abcdefull * (i + 3);
	s.gpr[RSP] = USER_AT(STACK_PAGE) + 0x800;
	s.rip = USER;
	s.rflags = FL_FIXED | FL_IF;
	s.mp_state = MP_RUNNABLE;
	assert_int_equal(vcpu_set(pc->v, ST_REGS | ST_SREGS | ST_XSAVE | ST_XCR | ST_MP, &s), 0);
	assert_int_equal(vcpu_set_msr(pc->v, 0xc0000081, 0x23ull << 48 | 0x10ull << 32, true), 0);
	assert_int_equal(vcpu_set_msr(pc->v, 0xc0000082, KERNEL, true), 0);
	assert_int_equal(vcpu_set_msr(pc->v, 0xc0000084, FL_DF | FL_TF, true), 0);
}

static void open(struct pc *pc, bool direct, const u8 *code, size_t bytes)
{
	struct memslot_config c = {.size = RAM};

	*pc = (struct pc){
		.ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)};
	assert_true(pc->ram != MAP_FAILED);
	c.hva = (u64)pc->ram;
	assert_int_equal(machine_create(&pc->m), 0);
	machine_set_option(pc->m, OPT_DIRECT, direct ? DIRECT_SHARED : DIRECT_NOWHERE);
	assert_int_equal(machine_set_memslot(pc->m, &c), 0);
	assert_int_equal(vcpu_create(pc->m, 0, &pc->v), 0);
	world_give_cpuid(pc->v);
	make_tables(pc, PML4);
	make_kernel(pc);
	put(pc, PAGES + CODE_PAGE * PAGE_SIZE, code, bytes);
	start(pc);
}

static void close_pc(struct pc *pc)
{
	vcpu_destroy(pc->v);
	machine_destroy(pc->m);
	munmap(pc->ram, RAM);
}

static u64 runs_of(const struct pc *pc)
{
	return pc->v->own_stats[STAT_DIRECT_RUNS];
}

/* A request finds the vcpu in user code: there direct execution begins. To the next OUT; its port. */
static u16 run(struct pc *pc)
{
	vcpu_poll_soon(pc->v);
	return run_to(pc->v, EXIT_IO_OUT)->io.port;
}

static void set(struct pc *pc, unsigned reg, u64 value)
{
	struct vcpu_state s;

	vcpu_get(pc->v, ST_REGS, &s);
	s.gpr[reg] = value;
	assert_int_equal(vcpu_set(pc->v, ST_REGS, &s), 0);
}

/* ---- the same with and without ---- */

static struct pc with, without;

static void assert_same_vectors(void)
{
	const u8 *a = with.v->cpu.xsave_area, *b = without.v->cpu.xsave_area;

	assert_memory_equal(a, b, 6);             /* FCW, FSW, FTW */
	assert_memory_equal(a + 24, b + 24, 392); /* MXCSR, x87, XMM */
	assert_memory_equal(a + XSAVE_AVX, b + XSAVE_AVX, 256);
}

static void assert_same(void)
{
	struct vcpu_state a, b;

	vcpu_get(with.v, ST_REGS | ST_SREGS, &a);
	vcpu_get(without.v, ST_REGS | ST_SREGS, &b);
	assert_memory_equal(a.gpr, b.gpr, sizeof(a.gpr));
	assert_int_equal(a.rip, b.rip);
	assert_int_equal(a.rflags, b.rflags);
	assert_int_equal(a.cr2, b.cr2);
	for (unsigned i = 0; i < SEG_COUNT; i++)
		assert_int_equal(a.seg[i].base, b.seg[i].base);
	assert_same_vectors();
	assert_memory_equal(with.ram, without.ram, RAM);
}

static void open_both(const u8 *code, size_t bytes)
{
	open(&with, true, code, bytes);
	open(&without, false, code, bytes);
}

static void run_both(u16 port)
{
	const u64 before = runs_of(&with);

	assert_int_equal(run(&with), port);
	assert_int_equal(run(&without), port);
	assert_same();
	assert_true(runs_of(&with) > before);
	assert_int_equal(runs_of(&without), 0);
}

static void close_both(void)
{
	close_pc(&with);
	close_pc(&without);
}

static void set_both(unsigned reg, u64 value)
{
	set(&with, reg, value);
	set(&without, reg, value);
}

static void both(const u8 *code, size_t bytes, u16 port)
{
	open_both(code, bytes);
	run_both(port);
	close_both();
}

/* ---- tests ---- */

static void mix(void **state)
{
	both(CODE_OF(mix), CALL);
}

static void pages(void **state)
{
	open_both(CODE_OF(pages));
	set_both(RSI, USER_AT(DATA_PAGE));
	set_both(RDX, 200);
	set_both(RDI, 3000);
	run_both(CALL);
	close_both();
}

static void rewrite(void **state)
{
	both(CODE_OF(rewrite), CALL);
}

/* Not compared with the other machine: a counter runs. */
static void shown(void **state)
{
	open_both(CODE_OF(shown));
	assert_int_equal(run(&with), CALL);
	assert_int_equal(run(&without), CALL);
	assert_int_equal(gpr_of(with.v, R8), gpr_of(without.v, R8));
	assert_true(gpr_of(with.v, R9) < 100); /* the guest's counter began with the machine */
	assert_int_equal(gpr_of(with.v, R10), gpr_of(without.v, R10));
	close_both();
}

static bool host_breaks(void)
{
	const struct cage_ram ram = {
		mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0),
		PAGE_SIZE};
	struct cage *c;
	bool breaks;

	assert_int_equal(cage_create(&c, &ram, 1), 0);
	breaks = !cage_break(c, 0, USER);
	cage_destroy(c);
	munmap(ram.hva, PAGE_SIZE);
	return breaks;
}

static bool has_break(const struct pc *pc, u64 at)
{
	const struct direct_spaces *s = pc->v->direct;
	bool has = false;

	for (unsigned i = 0; i < SPACES * CAGE_BREAKS; i++)
		has |= s->of[i / CAGE_BREAKS].breaks.at[i % CAGE_BREAKS] == at;
	return has;
}

/* Code beside a CPUID runs as it is, and what the CPUID shows is the guest's. */
static void beside_cpuid(void **state)
{
	struct pc *pcs[] = {&with, &without};
	const u8 *cpuid = memmem(CODE_OF(beside), "\x0f\xa2", 2);

	open_both(CODE_OF(caller));
	for (unsigned i = 0; i < ARRAY_SIZE(pcs); i++) {
		put(pcs[i], PAGES + PAGE_SIZE, CODE_OF(beside));
		set(pcs[i], RBX, USER_AT(1));
		set(pcs[i], R12, 30000000);
		assert_int_equal(run(pcs[i]), CALL);
	}
	assert_int_equal(gpr_of(with.v, R14), gpr_of(without.v, R14));
	assert_true(gpr_of(with.v, R14));
	if (host_breaks())
		assert_true(has_break(&with, USER_AT(1) + (u64)(cpuid - guest_beside)));
	else
		print_message(
			"beside_cpuid: no breakpoints here: that it runs so is not checked\n");
	close_both();
}

static void exceptions(void **state)
{
	both(CODE_OF(breakpoint), EXCEPTION);
	both(CODE_OF(privileged), EXCEPTION);
	both(CODE_OF(undefined), EXCEPTION);
	both(CODE_OF(trap), EXCEPTION);
}

/* Of a page that is not there, of the kernel's, of one beyond, and of no address. */
static void page_faults(void **state)
{
	static const u64 at[] = {
		USER_AT(40), 0x1000, 0x7fff00000000, 0x0000900000000000, 0xffffffff80000000};
	static const struct {
		const u8 *code, *end;
	} how[] = {{guest_read, guest_read_end}, {guest_write, guest_write_end},
		{guest_jump, guest_jump_end}};

	for (unsigned i = 0; i < ARRAY_SIZE(how) * ARRAY_SIZE(at); i++) {
		open_both(how[i % 3].code, (size_t)(how[i % 3].end - how[i % 3].code));
		set_pte(&with, 40, 0);
		set_pte(&without, 40, 0);
		set_both(RSI, at[i / 3]);
		run_both(EXCEPTION);
		close_both();
	}
}

static void read_only(void **state)
{
	open_both(CODE_OF(write));
	set_pte(&with, 40, pte_of(40) & ~2ull);
	set_pte(&without, 40, pte_of(40) & ~2ull);
	set_both(RSI, USER_AT(40));
	run_both(EXCEPTION);
	close_both();
}

/* Pages that are read are accessed, those written to are dirty, the others neither. */
static void accessed_and_dirty(void **state)
{
	open(&with, true, CODE_OF(pages));
	set(&with, RSI, USER_AT(DATA_PAGE));
	set(&with, RDX, 1);
	set(&with, RDI, 1000000);
	run(&with);
	assert_int_equal(get64(&with, PT + 8 * DATA_PAGE) & 0x60, 0x60);
	assert_int_equal(get64(&with, PT + 8 * CODE_PAGE) & 0x60, EXCEPTION);
	for (u32 i = 64; i < USER_PAGES; i++)
		assert_int_equal(get64(&with, PT + 8 * i) & 0x60, 0);
	close_pc(&with);
}

/* The kernel's INVLPG makes another page of it, and of a page that was there none. */
static void invlpg(void **state)
{
	open_both(CODE_OF(pages));
	set_both(RSI, USER_AT(DATA_PAGE));
	set_both(RDX, 1);
	for (u32 i = 0; i < 20; i++) {
		set_both(RDI, 1000000);
		run_both(CALL);
		set_pte(&with, DATA_PAGE, pte_of(DATA_PAGE + i % 3));
		set_pte(&without, DATA_PAGE, pte_of(DATA_PAGE + i % 3));
	}
	set_both(RDI, 1000000);
	set_pte(&with, DATA_PAGE, 0);
	set_pte(&without, DATA_PAGE, 0);
	without.v->cpu.step_only =
		true; /* translated code loses flags at this fault: docs/design.md, known limits */
	run_both(EXCEPTION);
	close_both();
}

/* The same of a page of 1 GiB, which INVLPG drops whole. */
static void invlpg_of_1g(void **state)
{
	open(&with, true, CODE_OF(twice));
	put64(&with, PDPT + 8, 0x87);
	set(&with, RSI, 0x40000000);
	set(&with, RDI, 0x40280000);
	assert_int_equal(run(&with), CALL);
	assert_true(runs_of(&with) > 0);
	put64(&with, PDPT + 8, 0);
	assert_int_equal(run(&with), EXCEPTION);
	assert_int_equal(get64(&with, 0x280000), 1);
	close_pc(&with);
}

/* Address spaces, more than have a process at a time. Each has the same code, and a page of data of its own. */
#define OTHERS   6u
#define SPACE(n) (0x20000u + 0x4000u * (n))

static void set_data(struct pc *pc, u32 space, u32 page)
{
	put64(pc, SPACE(space) + PT - PML4 + 8 * DATA_PAGE, pte_of(page));
}

static void make_spaces(struct pc *pc)
{
	for (u32 n = 0; n < OTHERS; n++) {
		make_tables(pc, SPACE(n));
		set_data(pc, n, 100 + n);
	}
}

static void enter_space(struct pc *pc, u32 n)
{
	struct vcpu_state s;

	vcpu_get(pc->v, ST_SREGS, &s);
	s.cr3 = SPACE(n);
	assert_int_equal(vcpu_set(pc->v, ST_SREGS, &s), 0);
}

/* What its kernel does to one while another one runs holds when it comes again. */
static void spaces(void **state)
{
	open_both(CODE_OF(pages));
	make_spaces(&with);
	make_spaces(&without);
	set_both(RSI, USER_AT(DATA_PAGE));
	set_both(RDX, 1);
	for (u32 i = 0; i < 60; i++) {
		const u32 n = i % 5 ? i % 2 : i % OTHERS;

		enter_space(&with, n);
		enter_space(&without, n);
		set_both(RDI, 300000);
		run_both(CALL);
		set_data(&with, !n, 120 + i);
		set_data(&without, !n, 120 + i);
	}
	close_both();
}

/* Other code has been read into the page by then. */
static void other_code(void **state)
{
	struct vcpu_state s;

	open(&with, true, CODE_OF(pages));
	make_spaces(&with);
	set(&with, RSI, USER_AT(DATA_PAGE));
	set(&with, RDX, 1);
	for (u32 i = 0; i < 4; i++) {
		enter_space(&with, i % 2);
		set(&with, RDI, 300000);
		assert_int_equal(run(&with), CALL);
	}
	put(&with, PAGES + CODE_PAGE * PAGE_SIZE, CODE_OF(shown));
	enter_space(&with, 0);
	vcpu_get(with.v, ST_REGS, &s);
	s.rip = USER;
	assert_int_equal(vcpu_set(with.v, ST_REGS, &s), 0);
	assert_int_equal(run(&with), CALL);
	assert_true(gpr_of(with.v, R9) < 100); /* the guest's counter */
	close_pc(&with);
}

/* More pages than the process may have: each 2 MiB are the same ones. What is in registers stays there. */
static void many(void **state)
{
	open_both(CODE_OF(many));
	for (u32 i = 2; i < 512; i++) {
		put64(&with, PD + 8 * i, PT | PTE_USER);
		put64(&without, PD + 8 * i, PT | PTE_USER);
	}
	for (u32 i = USER_PAGES; i < 512; i++) {
		set_pte(&with, i, pte_of(DATA_PAGE));
		set_pte(&without, i, pte_of(DATA_PAGE));
	}
	set_both(RSI, USER_AT(DATA_PAGE));
	set_both(RDX, 100000);
	run_both(CALL);
	close_both();
}

static void late(void **state)
{
	open_both(CODE_OF(late));
	assert_int_equal(run(&with), CALL);
	assert_int_equal(run(&without), CALL);
	assert_true(runs_of(&with) > 0);
	assert_true(gpr_of(with.v, RDX) < 100); /* the guest's counter began with the machine */
	assert_true(gpr_of(without.v, RDX) < 100);
	close_both();
}

static void dirty_log(void **state)
{
	struct memslot_config c = {.size = RAM, .flags = SLOT_LOG_DIRTY};
	u64 bitmap[RAM / PAGE_SIZE / 64];

	open(&with, true, CODE_OF(pages));
	c.hva = (u64)with.ram;
	set(&with, RSI, USER_AT(DATA_PAGE));
	set(&with, RDX, 4);
	for (u32 i = 0; i < 10; i++) {
		set(&with, RDI, 300000);
		run(&with);
		if (!i)
			assert_int_equal(machine_set_memslot(with.m, &c), 0);
		assert_int_equal(machine_get_dirty_log(with.m, 0, bitmap), 0);
		if (i < 2)
			continue;
		for (u32 page = PAGES / PAGE_SIZE; page < PAGES / PAGE_SIZE + USER_PAGES; page++) {
			const u32 n = page - PAGES / PAGE_SIZE - DATA_PAGE;

			assert_int_equal(bitmap[page / 64] >> page % 64 & 1, n < 4);
		}
	}
	close_pc(&with);
}

static void *kick(void *pc)
{
	usleep(20000);
	vcpu_kick(((struct pc *)pc)->v);
	return NULL;
}

static void run_until_kicked(struct pc *pc)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, kick, pc), 0);
	vcpu_poll_soon(pc->v);
	run_to(pc->v, EXIT_INTR);
	pthread_join(thread, NULL);
}

/* On a busy host a kick may come before the guest has done anything. */
static void kicked(void **state)
{
	open(&with, true, CODE_OF(spin));
	for (unsigned i = 0; i < 20; i++) {
		const u64 before = gpr_of(with.v, RAX);

		while (gpr_of(with.v, RAX) == before)
			run_until_kicked(&with);
	}
	assert_true(runs_of(&with) > 0);
	close_pc(&with);
}

static _Atomic bool over;

/* Between two runs a process that is killed is only missed: so again and again, and each time there are requests for a new one. */
static void *kill_processes(void *pc)
{
	struct vcpu *v = ((struct pc *)pc)->v;

	while (!over) {
		const u64 p = __atomic_load_n(&v->cpu.direct.process, __ATOMIC_SEQ_CST);

		if (p)
			kill((pid_t)(p >> 32), SIGKILL);
		vcpu_poll_soon(v);
		usleep(1000);
	}
	return NULL;
}

/* Somebody kills the process. What it has computed since its last stop is lost: the guest's program hears of it, and a new one can run. */
static void killed(void **state)
{
	pthread_t thread;

	open(&with, true, CODE_OF(spin));
	over = false;
	assert_int_equal(pthread_create(&thread, NULL, kill_processes, &with), 0);
	assert_int_equal(run(&with), EXCEPTION);
	over = true;
	pthread_join(thread, NULL);
	assert_int_equal(gpr_of(with.v, RAX) & 0xff, X86_GP);
	close_pc(&with);
}

/* The slot goes, and comes with other memory. */
static void slots(void **state)
{
	struct memslot_config c = {.size = 0};
	u8 *old;

	open(&with, true, CODE_OF(pages));
	set(&with, RSI, USER_AT(DATA_PAGE));
	set(&with, RDX, 1);
	set(&with, RDI, 1000000);
	run(&with);
	old = with.ram;
	assert_int_equal(machine_set_memslot(with.m, &c), 0);
	with.ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	memcpy(with.ram, old, RAM);
	munmap(old, RAM);
	c = (struct memslot_config){.size = RAM, .hva = (u64)with.ram};
	assert_int_equal(machine_set_memslot(with.m, &c), 0);
	set(&with, RDI, 1000000);
	run(&with);
	assert_int_equal(get64(&with, PAGES + DATA_PAGE * PAGE_SIZE + 8), 2000000);
	close_pc(&with);
}

/* A guest whose memory is replaced before it runs. */
static void open_in(struct pc *pc, enum direct_where where, int flags, int fd)
{
	open(pc, true, CODE_OF(mix));
	machine_set_option(pc->m, OPT_DIRECT, where);
	assert_true(
		mmap(pc->ram, RAM, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0) == pc->ram);
	make_tables(pc, PML4);
	make_kernel(pc);
	put(pc, PAGES, CODE_OF(mix));
}

/* Memory that is the program's alone stays with the engine. */
static void private_memory(void **state)
{
	struct pc pc;

	open_in(&pc, DIRECT_SHARED, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	assert_int_equal(run(&pc), CALL);
	assert_int_equal(runs_of(&pc), 0);
	close_pc(&pc);
}

/* Where nobody promises anything, only memory is used that was made for it. */
static void lone_memory(void **state)
{
	int fd = memfd_open(PROC_LONE, MFD_NOEXEC_SEAL);
	struct pc pc;

	assert_int_equal(ftruncate(fd, RAM), 0);
	open_in(&pc, DIRECT_LONE, MAP_SHARED, fd);
	close(fd);
	assert_int_equal(run(&pc), CALL);
	assert_true(runs_of(&pc) > 0);
	close_pc(&pc);
	open_in(&pc, DIRECT_LONE, MAP_SHARED | MAP_ANONYMOUS, -1);
	assert_int_equal(run(&pc), CALL);
	assert_int_equal(runs_of(&pc), 0);
	close_pc(&pc);
}

static void *remap(void *pc)
{
	struct pc *p = pc;

	while (!__atomic_load_n(&p->v->cpu.direct.process, __ATOMIC_SEQ_CST))
		vcpu_poll_soon(p->v);
	machine_memory_remapped(p->m, p->ram + RAM, PAGE_SIZE); /* none of its own */
	assert_int_equal(machine_option(p->m, OPT_DIRECT), DIRECT_SHARED);
	machine_memory_remapped(p->m, p->ram + RAM - PAGE_SIZE, 2 * PAGE_SIZE);
	over = !__atomic_load_n(&p->v->cpu.direct.process, __ATOMIC_SEQ_CST);
	vcpu_kick(p->v);
	return NULL;
}

/* Its program changes what is mapped: no process runs then, and none comes again. */
static void remapped(void **state)
{
	pthread_t thread;
	u64 runs;

	open(&with, true, CODE_OF(spin));
	over = false;
	assert_int_equal(pthread_create(&thread, NULL, remap, &with), 0);
	run_to(with.v, EXIT_INTR);
	pthread_join(thread, NULL);
	assert_true(over);
	runs = runs_of(&with);
	run_until_kicked(&with);
	assert_int_equal(runs_of(&with), runs);
	close_pc(&with);
}

/* ---- may it be tried here? ---- */

static bool can(void)
{
	int r = cage_try();

	if (r)
		print_message(
			"skipped: no process for user code can be made here (%s)\n", strerror(-r));
	return !r;
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
	static const struct CMUnitTest tests[] = {TEST(mix), TEST(pages), TEST(rewrite),
		TEST(shown), TEST(beside_cpuid), TEST(exceptions), TEST(page_faults),
		TEST(read_only), TEST(accessed_and_dirty), TEST(invlpg), TEST(invlpg_of_1g),
		TEST(spaces), TEST(other_code), TEST(many), TEST(late), TEST(dirty_log),
		TEST(kicked), TEST(killed), TEST(slots), TEST(private_memory), TEST(lone_memory),
		TEST(remapped)};

	return can() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
