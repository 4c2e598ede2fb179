/* SPDX-License-Identifier: MIT */
/* Address translation and memory slots under a running guest: remapped pages, CR3 and global pages, dirty log, slots that move. */
#include "tests/guest/guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE __attribute__((aligned(4096)))
#define LIN  0x500000000000ull

static volatile u8 pages[4][4096] PAGE;

typedef u64 (*code0)(void);

static void put_return(volatile u8 *at, u8 n)
{
	const u8 c[] = {0xb8, n, 0, 0, 0, 0xc3};

	for (unsigned i = 0; i < sizeof(c); i++)
		at[i] = c[i];
}

static u64 run_at(u64 lin)
{
	return ((code0)lin)();
}

/* ---- one processor ---- */

static void remap(unsigned cpu)
{
	volatile u8 *data = (volatile u8 *)LIN + 100;

	for (u8 i = 0; i < 4; i++) {
		put_return(pages[i], (u8)(10 + i));
		pages[i][100] = i;
	}
	for (unsigned i = 0; i < 4000; i++) {
		unsigned n = (i * 7 + i / 5) & 3;

		map_page(LIN, gpa_of(pages[n]), PTE_P | PTE_W | (i & 8 ? PTE_G : 0));
		if (i & 16)
			write_cr4(read_cr4() ^ CR4_PGE), write_cr4(read_cr4() ^ CR4_PGE);
		else
			invlpg(LIN);
		guest_check(*data == n);
		guest_check(run_at(LIN) == 10 + n);
		*data = (u8)n;
	}
}

/* A global entry survives a write of CR3, another does not. */
static void global_pages(unsigned cpu)
{
	volatile u8 *data = (volatile u8 *)LIN + 100, *other = data + 4096;

	for (u8 i = 0; i < 4; i++) {
		put_return(pages[i], (u8)(10 + i));
		pages[i][100] = i;
	}
	for (unsigned i = 0; i < 1000; i++) {
		map_page(LIN, gpa_of(pages[0]), PTE_P | PTE_W | PTE_G);
		map_page(LIN + 4096, gpa_of(pages[1]), PTE_P | PTE_W);
		invlpg(LIN);
		invlpg(LIN + 4096);
		guest_check(*data == 0 && *other == 1);
		guest_check(run_at(LIN) == 10 && run_at(LIN + 4096) == 11);
		map_page(LIN + 4096, gpa_of(pages[2]), PTE_P | PTE_W);
		write_cr3(read_cr3());
		guest_check(*data == 0 && *other == 2);
		guest_check(run_at(LIN) == 10 && run_at(LIN + 4096) == 12);
		map_page(LIN, gpa_of(pages[3]), PTE_P | PTE_W | PTE_G);
		invlpg(LIN);
		guest_check(*data == 3 && run_at(LIN) == 13);
	}
}

/* Two address spaces that differ in one page of code; a direct branch within it must stay in its own. */
static void two_spaces(unsigned cpu)
{
	u64 first = read_cr3();

	for (unsigned n = 0; n < 2; n++) {
		volatile u8 *c = pages[n];

		/* test %edi, %edi; jz +0x20; mov $n, %eax; ret ... at 0x24: mov $n+2, %eax; ret */
		const u8 head[] = {0x85, 0xff, 0x74, 0x20};

		for (unsigned i = 0; i < 4; i++)
			c[i] = head[i];
		put_return(c + 4, (u8)n);
		put_return(c + 0x24, (u8)(n + 2));
	}
	for (unsigned i = 0; i < 3000; i++) {
		unsigned n = i & 1, zero = i >> 1 & 1;
		u64 r;

		map_page(LIN, gpa_of(pages[n]), PTE_P | PTE_W);
		write_cr3(first);
		__asm__ volatile("call *%1" : "=a"(r) : "r"(LIN), "D"(!zero) : "cc", "memory");
		guest_check(r == n + (zero ? 2 : 0));
	}
}

/* Write protection, not present, and what the fault says; each faulting instruction completes later. */
static volatile u64 faults, fault_error;

static void on_page_fault(struct frame *f)
{
	u64 cr2;

	__asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
	guest_check((cr2 & PAGE_MASK) == LIN || (cr2 & PAGE_MASK) == LIN + 4096);
	faults++;
	fault_error = f->error;
	map_page(cr2 & PAGE_MASK, gpa_of(pages[cr2 >> 12 & 1]), PTE_P | PTE_W);
	invlpg(cr2);
}

static void demand(unsigned cpu)
{
	volatile u64 *word = (volatile u64 *)(LIN + 4096 - 4); /* straddles */

	for (unsigned i = 0; i < 1000; i++) {
		u64 before;

		map_page(LIN, gpa_of(pages[0]), i & 1 ? PTE_P : 0);
		map_page(LIN + 4096, gpa_of(pages[1]), i & 2 ? PTE_P : 0);
		invlpg(LIN);
		invlpg(LIN + 4096);
		before = *(volatile u32 *)(pages[0] + 4092) | (u64) * (volatile u32 *)pages[1]
								      << 32;
		faults = 0;
		__asm__ volatile("addq %1, %0" : "+m"(*word) : "r"(0x100000001ull) : "cc");
		guest_check(faults == 2);
		guest_check(*word == before + 0x100000001ull);
	}
}

static void run(unsigned n, void (*fn)(unsigned cpu))
{
	struct world w;

	world_open(&w, n);
	handlers[14] = on_page_fault;
	world_run(&w, fn, NULL);
	world_close(&w);
}
#define TEST(name)                                                                                 \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		run(1, name);                                                                      \
	}
TEST(remap)
TEST(global_pages)
TEST(two_spaces)
TEST(demand)

/* ---- slots ---- */

#define SPARE_PAGES 64
static u8 *spare;
static volatile u32 stop_writers, rounds[CPUS_MAX];

static void set_spare(struct world *w, u32 flags, u64 gpa)
{
	struct memslot_config c = {.id = 5,
		.flags = flags,
		.gpa = gpa,
		.size = SPARE_PAGES * PAGE_SIZE,
		.hva = (u64)spare};

	assert_int_equal(machine_set_memslot(w->m, &c), 0);
}

static void open_spare(struct world *w, unsigned n, u32 flags)
{
	world_open(w, n);
	spare = mmap(NULL, SPARE_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	set_spare(w, flags, GPA_SPARE);
	for (u64 i = 0; i < SPARE_PAGES; i++)
		map_page(LIN + i * PAGE_SIZE, GPA_SPARE + i * PAGE_SIZE, PTE_P | PTE_W);
	stop_writers = 0;
	handlers[14] = on_page_fault;
}

static void close_spare(struct world *w)
{
	for (u64 i = 0; i < SPARE_PAGES; i++)
		map_page(LIN + i * PAGE_SIZE, 0, 0);
	world_close(w);
	munmap(spare, SPARE_PAGES * PAGE_SIZE);
}

/* One kind of store a page, all the time. */
static void write_all_ways(unsigned cpu)
{
	while (!stop_writers) {
		for (unsigned i = cpu; i < SPARE_PAGES; i += 4) {
			volatile u64 *p = (volatile u64 *)(LIN + i * PAGE_SIZE);
			u64 sp = (u64)(p + 8), n = 4;
			void *d = (void *)(p + 16);

			switch (i / 4 % 4) {
			case 0: p[3] = p[3] + 1; break;
			case 1: __asm__ volatile("lock incq %0" : "+m"(p[3])); break;
			case 2:
				__asm__ volatile("xchg %0, %%rsp\n\tpush %1\n\txchg %0, %%rsp"
						 : "+r"(sp)
						 : "r"(p[7] + 1)
						 : "memory");
				break;
			default:
				p[16] = p[16] + 1;
				__asm__ volatile("rep stosb"
						 : "+D"(d), "+c"(n)
						 : "a"((u8)(p[16]))
						 : "memory");
			}
		}
		rounds[cpu]++;
	}
}

/* A copy that is refreshed only where the log says so must end up equal. */
static void follow_log(struct world *w)
{
	static u8 copy[SPARE_PAGES * PAGE_SIZE];
	u64 bits;

	memcpy(copy, spare, sizeof(copy));
	for (unsigned round = 0; round < 100; round++) {
		u32 before = rounds[0];

		usleep(200);
		while (rounds[0] == before && world_busy(w))
			usleep(10);
		if (round == 99) {
			stop_writers = 1;
			while (world_busy(w))
				usleep(100);
		}
		assert_int_equal(machine_get_dirty_log(w->m, 5, &bits), 0);
		for (u64 i = 0; i < SPARE_PAGES; i++)
			if (bits >> i & 1)
				memcpy(copy + i * PAGE_SIZE, spare + i * PAGE_SIZE, PAGE_SIZE);
	}
	assert_memory_equal(copy, spare, sizeof(copy));
}

static void test_dirty_log(void **state)
{
	for (unsigned n = 1; n <= 4; n *= 2) {
		struct world w;
		u64 bits;

		open_spare(&w, n, SLOT_LOG_DIRTY);
		assert_int_equal(machine_get_dirty_log(w.m, 5, &bits), 0);
		world_run(&w, write_all_ways, follow_log);
		close_spare(&w);
	}
}

/*
 * The frame of an interrupt that is delivered right after the log was taken. The handler stores
 * nothing else there.
 */
extern u8 only_iret[];
__asm__("only_iret: iretq");

static void frame_on_spare(unsigned cpu)
{
	u64 top = LIN + PAGE_SIZE + 256;

	for (unsigned i = 0; i < 20; i++) {
		*(volatile u64 *)(top + 128) = i;
		__asm__ volatile(
			"mov %%rsp, %%rbx\n\tmov %0, %%rsp\n\tmov $1, %%eax\n\tsti\n\tnop\n\t"
			"out %%eax, $0xf6\n\tcli\n\tmov %%rbx, %%rsp"
			:
			: "r"(top)
			: "rax", "rbx", "memory");
		host_call(2);
	}
}

static unsigned frames_missed;

static void take_log_and_interrupt(struct world *w, unsigned cpu, u32 n)
{
	u64 bits;

	assert_int_equal(machine_get_dirty_log(w->m, 5, &bits), 0);
	if (n == 1)
		vcpu_interrupt(w->vcpu[cpu], 0x60);
	else if (!(bits & 2))
		frames_missed++;
}

static void test_dirty_frame(void **state)
{
	struct world w;

	open_spare(&w, 1, SLOT_LOG_DIRTY);
	set_gate(0x60, only_iret);
	w.call = take_log_and_interrupt;
	world_run(&w, frame_on_spare, NULL);
	assert_int_equal(frames_missed, 0);
	close_spare(&w);
}

/* The guest works in a slot that is deleted and comes back; what it hits meanwhile is MMIO. */
static void churn_slot(struct world *w)
{
	for (unsigned i = 0; i < 150; i++) {
		struct memslot_config none = {.id = 5};

		set_spare(w, i & 1 ? SLOT_LOG_DIRTY : 0, GPA_SPARE);
		usleep(100);
		if (i % 3 == 0)
			set_spare(w, i & 1 ? SLOT_LOG_DIRTY : 0, GPA_SPARE + 0x100000);
		usleep(50);
		assert_int_equal(machine_set_memslot(w->m, &none), 0);
	}
	set_spare(w, 0, GPA_SPARE);
	stop_writers = 1;
}

static void test_slot_churn(void **state)
{
	for (unsigned n = 1; n <= 4; n *= 2) {
		struct world w;

		open_spare(&w, n, 0);
		w.mmio = true;
		world_run(&w, write_all_ways, churn_slot);
		close_spare(&w);
	}
}

/* The caller protects a page that the guest executes: the run fails, and goes on when the page is back. */
static struct sigaction engine_segv;

/* cmocka puts its own handler there before each test. */
static int note_handler(void **state)
{
	struct machine *m;

	if (machine_create(&m))
		return -1;
	sigaction(SIGSEGV, NULL, &engine_segv);
	machine_destroy(m);
	return 0;
}

static void run_spare(unsigned cpu)
{
	guest_check(run_at(LIN) == 77);
}

static void test_protected_code(void **state)
{
	struct world w;

	open_spare(&w, 1, 0);
	sigaction(SIGSEGV, &engine_segv, NULL);
	put_return(spare, 77);
	for (unsigned i = 0; i < 6; i++) {
		world_aim(&w, 0, run_spare);
		assert_int_equal(mprotect(spare, PAGE_SIZE, i & 1 ? PROT_READ : PROT_NONE), 0);
		if (i & 1) {
			world_run_one(&w, 0);
		} else {
			assert_int_equal(vcpu_run(w.vcpu[0], 0), 0);
			assert_int_equal(vcpu_exit(w.vcpu[0])->reason, EXIT_MEMORY_FAULT);
		}
	}
	assert_int_equal(mprotect(spare, PAGE_SIZE, PROT_READ | PROT_WRITE), 0);
	close_spare(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_remap),
		cmocka_unit_test(test_global_pages),
		cmocka_unit_test(test_two_spaces),
		cmocka_unit_test(test_demand),
		cmocka_unit_test(test_dirty_log),
		cmocka_unit_test(test_dirty_frame),
		cmocka_unit_test(test_slot_churn),
		cmocka_unit_test(test_protected_code),
	};

	return cmocka_run_group_tests(tests, note_handler, NULL);
}
