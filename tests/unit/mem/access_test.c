/* SPDX-License-Identifier: MIT */
/* mem_read and its relatives: page crossing, MMIO replay and posting, watched pages, fetch. */
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "engine/host/raw.h"
#include "tests/unit/world/memory.h"
#include "engine/core/cpu.h"
#include "engine/engine.h"
#include "engine/exit.h"
#include "engine/mem/mem.h"
#include "x86/regs.h"

#define RAM 0x10000

/* Linear 0x400000 + n pages to these physical pages; entry 0 is not present. */
static void map_pages(struct fixture *f, const u64 *leaf, unsigned n)
{
	put64(f, 0x1000, 0x2067);
	put64(f, 0x2000, 0x3067);
	put64(f, 0x3000 + 2 * 8, 0x4067);
	for (unsigned i = 0; i < n; i++)
		put64(f, 0x4000 + i * 8, leaf[i]);
	fixture_long_mode(f->cpu, 0x1000, 0);
}

static void answer(struct cpu *cpu, u64 value)
{
	struct answers *r = &cpu->answers;

	r->answer[r->filled].addr = cpu->exit.mmio.gpa;
	r->answer[r->filled].len = cpu->exit.mmio.len;
	r->answer[r->filled].reason = EXIT_MMIO_READ;
	r->answer[r->filled].value = value;
	r->filled++;
	r->next = 0;
}

static void assert_asks(struct cpu *cpu, int r, u64 gpa, unsigned len)
{
	assert_int_equal(r, CPU_EXIT);
	assert_int_equal(cpu->exit.reason, EXIT_MMIO_READ);
	assert_int_equal(cpu->exit.mmio.gpa, gpa);
	assert_int_equal(cpu->exit.mmio.len, len);
}

static void test_crossing(void **state)
{
	const u64 leaf[] = {0x8003, 0x6003, 0};
	struct fixture f;
	u8 buf[4096];

	fixture_open(&f, 1, RAM);
	map_pages(&f, leaf, 3);
	assert_int_equal(mem_write(f.cpu, 0x400ffd, "abcdefgh", 8, 0), 0);
	assert_memory_equal(f.ram + 0x8ffd, "abc", 3);
	assert_memory_equal(f.ram + 0x6000, "defgh", 5);
	assert_int_equal(mem_read(f.cpu, 0x400ffd, buf, 8, 0), 0);
	assert_memory_equal(buf, "abcdefgh", 8);
	assert_int_equal(mem_read(f.cpu, 0x400800, buf, 4096, 0), 0);
	assert_memory_equal(buf + 0x7fd, "abcdefgh", 8);
	fixture_close(&f);
}

static void test_crossing_faults(void **state)
{
	const u64 leaf[] = {0x8003, 0, 0x6001, 0x7003};
	struct fixture f;
	u8 buf[8];

	fixture_open(&f, 1, RAM);
	map_pages(&f, leaf, 4);
	/* second page missing: cr2 is its first byte, and nothing was stored */
	assert_int_equal(mem_write(f.cpu, 0x400ffe, "abcd", 4, 0), CPU_FAULT);
	assert_int_equal(f.cpu->exc.cr2, 0x401000);
	assert_int_equal(f.cpu->exc.error, PF_W);
	assert_int_equal(f.ram[0x8ffe], 0);
	/* first page bad: its fault, at the access */
	assert_int_equal(mem_read(f.cpu, 0x401ffe, buf, 4, 0), CPU_FAULT);
	assert_int_equal(f.cpu->exc.cr2, 0x401ffe);
	assert_int_equal(f.cpu->exc.error, 0);
	/* both bad: the lower one's */
	assert_int_equal(mem_write(f.cpu, 0x401ffe, "abcd", 4, 0), CPU_FAULT);
	assert_int_equal(f.cpu->exc.cr2, 0x401ffe);
	assert_int_equal(f.cpu->exc.error, PF_W);
	/* read-only first page */
	assert_int_equal(mem_probe_write(f.cpu, 0x402fff, 2, 0), CPU_FAULT);
	assert_int_equal(f.cpu->exc.cr2, 0x402fff);
	assert_int_equal(f.cpu->exc.error, PF_W | PF_P);
	assert_int_equal(mem_probe_read(f.cpu, 0x402fff, 2, 0), 0);
	fixture_close(&f);
}

static void test_wrap_below_4g(void **state)
{
	struct fixture f;
	u8 *top = aligned_alloc(PAGE_SIZE, PAGE_SIZE);

	fixture_open(&f, 1, RAM);
	assert_int_equal(fixture_slot(&f, 1, 0, 0xfffff000, PAGE_SIZE, top), 0);
	assert_int_equal(mem_write(f.cpu, 0xfffffffe, "abcd", 4, 0), 0);
	assert_memory_equal(top + 0xffe, "ab", 2);
	assert_memory_equal(f.ram, "cd", 2);
	/* and the first page again, by an address that has bits beyond */
	assert_int_equal(mem_write(f.cpu, 0x100000001, "x", 1, 0), 0);
	assert_memory_equal(f.ram, "cx", 2);
	fixture_close(&f);
	free(top);
}

static void test_mmio_read_replay(void **state)
{
	struct fixture f;
	u8 buf[24];

	fixture_open(&f, 1, RAM);
	/* 3 bytes of RAM, then 13 of MMIO: fragments of 8 and 5 */
	memcpy(f.ram + RAM - 3, "abc", 3);
	assert_asks(f.cpu, mem_read(f.cpu, RAM - 3, buf, 16, 0), RAM, 8);
	answer(f.cpu, 0x8877665544332211);
	assert_asks(f.cpu, mem_read(f.cpu, RAM - 3, buf, 16, 0), RAM + 8, 5);
	answer(f.cpu, 0xddccbbaa99);
	assert_int_equal(mem_read(f.cpu, RAM - 3, buf, 16, 0), 0);
	assert_memory_equal(buf, "abc\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd", 16);
	assert_int_equal(f.cpu->answers.next, 2);
	/* a third access of the same instruction asks anew, for its natural size */
	assert_asks(f.cpu, mem_read(f.cpu, 0x20002, buf, 2, 0), 0x20002, 2);
	fixture_close(&f);
}

static void test_mmio_answer_must_match(void **state)
{
	struct fixture f;
	u8 buf[8];

	fixture_open(&f, 1, RAM);
	assert_asks(f.cpu, mem_read(f.cpu, 0x20000, buf, 4, 0), 0x20000, 4);
	answer(f.cpu, 1);
	assert_asks(f.cpu, mem_read(f.cpu, 0x20004, buf, 4, 0), 0x20004, 4);
	assert_int_equal(f.cpu->answers.filled, 0);
	answer(f.cpu, 2);
	assert_asks(f.cpu, mem_read(f.cpu, 0x20004, buf, 2, 0), 0x20004, 2);
	fixture_close(&f);
}

static void test_posted_writes(void **state)
{
	struct fixture f;
	u8 data[POSTED_MAX * 8 + 1] = "0123456789abcdef";

	fixture_open(&f, 1, RAM);
	assert_int_equal(mem_write(f.cpu, RAM - 2, data, 12, 0), 0);
	assert_memory_equal(f.ram + RAM - 2, "01", 2);
	assert_int_equal(f.cpu->posted_count, 2);
	assert_int_equal(f.cpu->posted[0].gpa, RAM);
	assert_int_equal(f.cpu->posted[0].len, 8);
	assert_memory_equal(f.cpu->posted[0].data, "23456789", 8);
	assert_int_equal(f.cpu->posted[1].gpa, RAM + 8);
	assert_int_equal(f.cpu->posted[1].len, 2);
	assert_memory_equal(f.cpu->posted[1].data, "ab", 2);
	/* what cannot be kept is refused as a whole */
	assert_int_equal(mem_write(f.cpu, RAM - 2, data, sizeof(data), 0), CPU_EXIT);
	assert_int_equal(f.cpu->exit.reason, EXIT_INTERNAL_ERROR);
	assert_int_equal(f.cpu->posted_count, 2);
	fixture_close(&f);
}

static void test_readonly_slot(void **state)
{
	struct fixture f;
	u8 *rom = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
	u8 c;
	void *host;

	fixture_open(&f, 1, RAM);
	memset(rom, 'r', PAGE_SIZE);
	assert_int_equal(fixture_slot(&f, 1, SLOT_READONLY, 0x80000, PAGE_SIZE, rom), 0);
	assert_int_equal(mem_read(f.cpu, 0x80010, &c, 1, 0), 0);
	assert_int_equal(c, 'r');
	assert_int_equal(mem_write(f.cpu, 0x80010, "x", 1, 0), 0);
	assert_int_equal(rom[0x10], 'r');
	assert_int_equal(f.cpu->posted_count, 1);
	assert_int_equal(f.cpu->posted[0].gpa, 0x80010);
	assert_int_equal(mem_host(f.cpu, 0x80010, 4, ACC_WRITE, &host), 0);
	assert_null(host);
	assert_int_equal(mem_host(f.cpu, 0x80010, 4, ACC_READ, &host), 0);
	assert_ptr_equal(host, rom + 0x10);
	fixture_close(&f);
	free(rom);
}

static void test_watched(void **state)
{
	struct fixture f;
	void *host;
	u64 gpa;

	fixture_open(&f, 1, RAM);
	assert_int_equal(mem_write(f.cpu, 0x5000, "a", 1, 0), 0);
	page_watch(f.cpu, 0x5000);
	assert_true(page_watched(f.m, 0x5000));
	assert_false(page_watched(f.m, 0x6000));
	assert_int_equal(mem_write(f.cpu, 0x4ffe, "bcdef", 5, 0), 0);
	assert_memory_equal(f.ram + 0x4ffe, "bcdef", 5);
	assert_int_equal(told.written, 1);
	assert_int_equal(told.written_gpa, 0x5000);
	assert_int_equal(told.written_len, 3);
	assert_int_equal(mem_host(f.cpu, 0x5000, 4, ACC_WRITE, &host), 0);
	assert_null(host);
	assert_int_equal(tlb_fill(f.cpu, 0x5008, ACC_WRITE, &host, &gpa), 0);
	assert_null(host);
	assert_int_equal(gpa, 0x5008);
	assert_int_equal(tlb_fill(f.cpu, 0x5008, ACC_READ, &host, &gpa), 0);
	assert_ptr_equal(host, f.ram + 0x5008);
	page_unwatch(f.m, 0x5000);
	assert_int_equal(mem_host(f.cpu, 0x5000, 4, ACC_WRITE, &host), 0);
	assert_ptr_equal(host, f.ram + 0x5000);
	fixture_close(&f);
}

static void test_host_pointer_marks_dirty(void **state)
{
	struct fixture f;
	void *host;
	u64 log;

	fixture_open(&f, 1, RAM);
	assert_int_equal(fixture_slot(&f, 0, SLOT_LOG_DIRTY, 0, RAM, f.ram), 0);
	fixture_serve(f.cpu);
	assert_int_equal(mem_host(f.cpu, 0x3ffc, 8, ACC_WRITE, &host), 0);
	assert_null(host);
	assert_int_equal(mem_host(f.cpu, 0x5000, 8, ACC_READ, &host), 0);
	assert_int_equal(mem_host(f.cpu, 0x3ff8, 8, ACC_WRITE, &host), 0);
	assert_ptr_equal(host, f.ram + 0x3ff8);
	assert_int_equal(machine_get_dirty_log(f.m, 0, &log), 0);
	assert_int_equal(log, 8);
	fixture_close(&f);
}

static void test_fetch(void **state)
{
	const u64 leaf[] = {0x8001, 0, 0x6001 | PTE_NX, 0x90001};
	struct fixture f;
	u8 buf[15];
	unsigned got = 99;

	fixture_open(&f, 1, RAM);
	map_pages(&f, leaf, 4);
	memcpy(f.ram + 0x8ffa, "code!!", 6);
	assert_int_equal(mem_fetch(f.cpu, 0x400ffa, buf, 15, &got), 0);
	assert_int_equal(got, 6);
	assert_memory_equal(buf, "code!!", 6);
	assert_int_equal(mem_fetch(f.cpu, 0x401000, buf, 1, &got), CPU_FAULT);
	assert_int_equal(f.cpu->exc.cr2, 0x401000);
	assert_int_equal(f.cpu->exc.error, PF_I);
	assert_int_equal(mem_fetch(f.cpu, 0x402000, buf, 1, &got), CPU_FAULT);
	assert_int_equal(f.cpu->exc.error, PF_I | PF_P);
	assert_int_equal(mem_fetch(f.cpu, 0x403000, buf, 1, &got), CPU_EXIT);
	assert_int_equal(f.cpu->exit.reason, EXIT_INTERNAL_ERROR);
	fixture_close(&f);
}

/* The second page is no RAM, but the instruction may end before it. */
static void test_fetch_before_a_hole(void **state)
{
	struct fixture f;
	u8 buf[15];
	unsigned got;

	fixture_open(&f, 1, RAM);
	assert_int_equal(mem_fetch(f.cpu, RAM - 4, buf, 15, &got), 0);
	assert_int_equal(got, 4);
	assert_int_equal(f.cpu->exit.reason, EXIT_NONE);
	fixture_close(&f);
}

static void test_fetch_cache_is_flushed(void **state)
{
	const u64 leaf[] = {0x8001};
	struct fixture f;
	u64 gpa, epoch;
	u8 *hva;

	fixture_open(&f, 1, RAM);
	map_pages(&f, leaf, 1);
	assert_int_equal(mmu_fetch_page(f.cpu, 0x400123, &gpa, &hva), 0);
	assert_int_equal(gpa, 0x8000);
	assert_ptr_equal(hva, f.ram + 0x8000);
	put64(&f, 0x4000, 0x6001);
	assert_int_equal(mmu_fetch_page(f.cpu, 0x400123, &gpa, &hva), 0);
	assert_int_equal(gpa, 0x8000);
	/* user mode does not see what the kernel has cached */
	fixture_view(f.cpu, TLB_USER);
	assert_int_equal(mmu_fetch_page(f.cpu, 0x400123, &gpa, &hva), CPU_FAULT);
	fixture_view(f.cpu, TLB_KERNEL);
	epoch = f.cpu->fetch_epoch;
	tlb_flush_page(f.cpu, 0x400fff);
	assert_int_not_equal(f.cpu->fetch_epoch, epoch);
	assert_int_equal(mmu_fetch_page(f.cpu, 0x400123, &gpa, &hva), 0);
	assert_int_equal(gpa, 0x6000);
	fixture_close(&f);
}

static void test_implicit_access_ignores_ac(void **state)
{
	const u64 leaf[] = {0x8067};
	struct fixture f;
	u8 c;

	fixture_open(&f, 1, RAM);
	map_pages(&f, leaf, 1);
	f.cpu->cr4 |= CR4_SMAP;
	fixture_view(f.cpu, TLB_KERNEL_AC);
	assert_int_equal(mem_read(f.cpu, 0x400000, &c, 1, 0), 0);
	assert_int_equal(mem_read(f.cpu, 0x400000, &c, 1, ACC_SYSTEM), CPU_FAULT);
	assert_int_equal(f.cpu->exc.error, PF_P);
	/* from CPL 3 an implicit access is a supervisor's */
	fixture_view(f.cpu, TLB_USER);
	assert_int_equal(mem_read(f.cpu, 0x400000, &c, 1, 0), 0);
	assert_int_equal(mem_write(f.cpu, 0x400000, &c, 1, ACC_SYSTEM), CPU_FAULT);
	assert_int_equal(f.cpu->exc.error, PF_P | PF_W);
	fixture_close(&f);
}

/* ---- memory that the caller took away ---- */

static void on_fault(int signo, siginfo_t *info, void *context)
{
	u64 *pc = (u64 *)&((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];

	if (!guest_raw_fixup(pc))
		abort();
}

static void assert_memory_fault(struct cpu *cpu, int r, u64 gpa)
{
	assert_int_equal(r, CPU_EXIT);
	assert_int_equal(cpu->exit.reason, EXIT_MEMORY_FAULT);
	assert_int_equal(ALIGN_DOWN(cpu->exit.fault.gpa, PAGE_SIZE), gpa);
	cpu->exit.reason = EXIT_NONE;
}

static void test_host_refuses(void **state)
{
	struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER}, old;
	const u64 leaf[] = {0x8003, 0x9003};
	struct fixture f;
	unsigned got;
	u8 buf[300];

	sigaction(SIGSEGV, &sa, &old);
	fixture_open(&f, 1, RAM);
	map_pages(&f, leaf, 2);
	assert_int_equal(mem_write(f.cpu, 0x400000, "a", 1, 0), 0); /* in the TLB */
	mprotect(f.ram + 0x8000, PAGE_SIZE, PROT_NONE);
	for (unsigned len = 1; len < sizeof(buf); len++) {
		assert_memory_fault(f.cpu, mem_read(f.cpu, 0x400000, buf, len, 0), 0x8000);
		assert_memory_fault(f.cpu, mem_write(f.cpu, 0x400000, buf, len, 0), 0x8000);
	}
	assert_memory_fault(f.cpu, mem_fetch(f.cpu, 0x400000, buf, 1, &got), 0x8000);
	assert_int_equal(machine_read(f.m, 0x8ffc, buf, 8), -EFAULT);
	assert_int_equal(machine_write(f.m, 0x7ffc, buf, 8), -EFAULT);
	assert_int_equal(mem_read(f.cpu, 0x401000, buf, 8, 0), 0);
	/* a table: unreadable, and one whose A bits cannot be set */
	mprotect(f.ram + 0x4000, PAGE_SIZE, PROT_NONE);
	tlb_flush_all(f.cpu);
	assert_memory_fault(f.cpu, mem_read(f.cpu, 0x401000, buf, 8, 0), 0x4000);
	mprotect(f.ram + 0x4000, PAGE_SIZE, PROT_READ | PROT_WRITE);
	put64(&f, 0x4008, 0x9003);
	mprotect(f.ram + 0x4000, PAGE_SIZE, PROT_READ);
	assert_memory_fault(f.cpu, mem_read(f.cpu, 0x401000, buf, 8, 0), 0x4000);
	fixture_close(&f);
	sigaction(SIGSEGV, &old, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crossing),
		cmocka_unit_test(test_crossing_faults),
		cmocka_unit_test(test_wrap_below_4g),
		cmocka_unit_test(test_mmio_read_replay),
		cmocka_unit_test(test_mmio_answer_must_match),
		cmocka_unit_test(test_posted_writes),
		cmocka_unit_test(test_readonly_slot),
		cmocka_unit_test(test_watched),
		cmocka_unit_test(test_host_pointer_marks_dirty),
		cmocka_unit_test(test_fetch),
		cmocka_unit_test(test_fetch_before_a_hole),
		cmocka_unit_test(test_host_refuses),
		cmocka_unit_test(test_fetch_cache_is_flushed),
		cmocka_unit_test(test_implicit_access_ignores_ac),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
