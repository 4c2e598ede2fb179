/* SPDX-License-Identifier: MIT */
/*
 * Dirty tracking: the bitmap that is cleared by its reader or by hand, the rings, and what counts as a write by
 * the guest; the first fetch of code does.
 */
#include "tests/abi/port.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "abi/dev.h"

#define RING_ENTRIES 256
#define RING_BYTES   (RING_ENTRIES * sizeof(struct kvm_dirty_gfn))
#define RING_OFFSET  (KVM_DIRTY_LOG_PAGE_OFFSET * PAGE_SIZE)

static long slot(struct guest *g, u32 id, u32 flags, u64 gpa, u64 size, const void *hva)
{
	struct kvm_userspace_memory_region r = {id, flags, gpa, size, (unsigned long)hva};

	return kvm_p(g->vm, KVM_SET_USER_MEMORY_REGION, &r);
}

static long log_ram(struct guest *g)
{
	return slot(g, 0, KVM_MEM_LOG_DIRTY_PAGES, RAM_GPA, RAM_BYTES, g->ram);
}

static long enable(int vm, u32 cap, u64 arg)
{
	struct kvm_enable_cap e = {.cap = cap, .args = {arg}};

	return kvm_p(vm, KVM_ENABLE_CAP, &e);
}

static u64 dirty(struct guest *g)
{
	u64 bitmap = 0;
	struct kvm_dirty_log log = {.dirty_bitmap = &bitmap};

	assert_int_equal(kvm_p(g->vm, KVM_GET_DIRTY_LOG, &log), 0);
	return bitmap;
}

/*
 * The log, where code is only fetched from the pages in code. A kernel on a processor that executes real mode says the same;
 * where it has to emulate real mode it fetches by itself, and these pages stay clean.
 */
static void dirty_is(struct guest *g, u64 pages, u64 code)
{
	u64 loose = port.real ? code : 0;

	assert_int_equal(dirty(g) & ~loose, pages & ~loose);
}

static long clear(struct guest *g, u64 first, u32 pages, u64 mask)
{
	struct kvm_clear_dirty_log c = {
		.first_page = first, .num_pages = pages, .dirty_bitmap = &mask};

	return kvm_p(g->vm, KVM_CLEAR_DIRTY_LOG, &c);
}

/* Writes to pages 8 and 9 of the slot, and stops; the loop does it again. */
static void write_two(struct guest *g)
{
	GUEST_CODE(g, 0xa2, 0x00, 0x90, /* mov %al, 0x9000 */
		0xa2, 0x00, 0xa0,       /* mov %al, 0xa000 */
		0xf4, 0xeb, 0xf7);      /* hlt; jmp to the start */
}

static void test_clear(void **state)
{
	struct guest g;

	guest_open(&g);
	assert_int_equal(clear(&g, 0, 16, ~0ull), -ENOENT);
	assert_int_equal(log_ram(&g), 0);
	write_two(&g);
	assert_int_equal(enable(g.vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 2), -EINVAL);
	assert_int_equal(enable(g.vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 4 | 1), -EINVAL);
	assert_int_equal(enable(g.vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 1), 0);
	run_to(&g, KVM_EXIT_HLT);
	dirty_is(&g, 0x301, 1); /* with the code's */
	dirty_is(&g, 0x301, 1); /* nothing was cleared */
	assert_int_equal(clear(&g, 0, 16, 0x101), 0);
	assert_int_equal(dirty(&g), 0x200);
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal(dirty(&g), 0x300);
	assert_int_equal(clear(&g, 0, 16, 0x300), 0);
	assert_int_equal(dirty(&g), 0);
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal(dirty(&g), 0x300);
	assert_int_equal(enable(g.vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 0), 0);
	assert_int_equal(dirty(&g), 0x300);
	assert_int_equal(dirty(&g), 0); /* taken by the first */
	guest_close(&g);
}

static void test_clear_args(void **state)
{
	struct guest g;
	u64 bitmap = 0;
	struct kvm_clear_dirty_log c = {.num_pages = 16, .dirty_bitmap = (void *)BAD_POINTER};

	guest_open(&g);
	assert_int_equal(kvm_p(g.vm, KVM_CLEAR_DIRTY_LOG, (void *)BAD_POINTER), -EFAULT);
	assert_int_equal(log_ram(&g), 0);
	assert_int_equal(kvm_p(g.vm, KVM_CLEAR_DIRTY_LOG, &c), -EFAULT);
	c.dirty_bitmap = &bitmap;
	c.slot = 32764;
	assert_int_equal(kvm_p(g.vm, KVM_CLEAR_DIRTY_LOG, &c), -EINVAL);
	c.slot = 3;
	assert_int_equal(kvm_p(g.vm, KVM_CLEAR_DIRTY_LOG, &c), -ENOENT);
	assert_int_equal(clear(&g, 1, 1, 0), -EINVAL); /* not a multiple of 64 */
	assert_int_equal(clear(&g, 64, 0, 0), -EINVAL);
	assert_int_equal(clear(&g, 0, 17, 0), -EINVAL);
	assert_int_equal(clear(&g, 0, 15, 0), -EINVAL); /* neither 64 nor the end */
	assert_int_equal(clear(&g, 0, 0, 0), 0);
	assert_int_equal(clear(&g, 0, 16, 0), 0);
	guest_close(&g);
}

static void test_initially_set(void **state)
{
	struct guest g;
	long caps;

	guest_open(&g);
	caps = kvm(g.sys, KVM_CHECK_EXTENSION, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2);
	assert_int_equal(caps, 3);
	assert_int_equal(enable(g.vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 3), 0);
	assert_int_equal(log_ram(&g), 0);
	write_two(&g);
	assert_int_equal(dirty(&g), 0xffff);
	assert_int_equal(clear(&g, 0, 16, 0xffff), 0);
	assert_int_equal(dirty(&g), 0);
	run_to(&g, KVM_EXIT_HLT);
	dirty_is(&g, 0x301, 1);
	assert_int_equal(clear(&g, 0, 16, 0xffff), 0);
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal(dirty(&g), 0x300);
	guest_close(&g);
}

/* What writes to memory beside MOV: pushes, string instructions, port input. */
static void test_writers(void **state)
{
	struct guest g;

	guest_open(&g);
	GUEST_CODE(&g, 0xbc, 0x00, 0x40,      /* mov $0x4000, %sp */
		0x50,                         /* push %ax: page 2 */
		0xbf, 0x00, 0x50,             /* mov $0x5000, %di */
		0xb9, 0x01, 0x10,             /* mov $0x1001, %cx */
		0xf3, 0xaa,                   /* rep stosb: pages 4 and 5 */
		0xbf, 0x00, 0x80,             /* mov $0x8000, %di */
		0x6c,                         /* insb: page 7 */
		0xf0, 0xfe, 0x06, 0x00, 0xb0, /* lock incb 0xb000: page 10 */
		0xa0, 0x00, 0xc0,             /* mov 0xc000, %al: no write */
		0xf4);
	assert_int_equal(log_ram(&g), 0);
	dirty(&g);
	run_to(&g, KVM_EXIT_IO);
	run_to(&g, KVM_EXIT_HLT);
	g.ram[0xe000] = 1; /* the host's own is not logged */
	dirty_is(&g, BIT(0) | BIT(2) | BIT(4) | BIT(5) | BIT(7) | BIT(10), BIT(0));
	guest_close(&g);
}

/* A log that is switched off and on again begins anew; it moves with its slot. */
static void test_log_life(void **state)
{
	struct guest g;

	guest_open(&g);
	write_two(&g);
	assert_int_equal(log_ram(&g), 0);
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal(slot(&g, 0, 0, RAM_GPA, RAM_BYTES, g.ram), 0);
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal(log_ram(&g), 0);
	assert_int_equal(dirty(&g), 0);
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal(slot(&g, 0, KVM_MEM_LOG_DIRTY_PAGES, 0x100000, RAM_BYTES, g.ram), 0);
	assert_int_equal(dirty(&g), 0x300);
	guest_close(&g);
}

/* ---- pages that code is fetched from ---- */

static void run_at(struct guest *g, u64 rip)
{
	struct kvm_regs regs;

	assert_int_equal(kvm_p(g->vcpu, KVM_GET_REGS, &regs), 0);
	regs.rip = rip;
	assert_int_equal(kvm_p(g->vcpu, KVM_SET_REGS, &regs), 0);
	run_to(g, KVM_EXIT_HLT);
}

/* The first fetch makes a page dirty, and no other does: not after the log was read, nor if it was on later. */
static void test_fetched(void **state)
{
	struct guest g;

	guest_open(&g);
	GUEST_CODE(&g, 0xe9, 0xfd, 0x1f, 0xf4); /* jmp 0x3000; hlt */
	memset(g.ram + 0x2000, 0xf4, 2 * PAGE_SIZE);
	run_at(&g, 0x1000);
	assert_int_equal(log_ram(&g), 0);
	run_at(&g, 0x1000);
	assert_int_equal(dirty(&g), 0);
	run_at(&g, 0x4000);
	dirty_is(&g, BIT(3), BIT(3));
	run_at(&g, 0x1000);
	run_at(&g, 0x4000);
	assert_int_equal(dirty(&g), 0);
	/* A slot made anew has nothing mapped. */
	assert_int_equal(slot(&g, 0, 0, RAM_GPA, 0, NULL), 0);
	assert_int_equal(log_ram(&g), 0);
	run_at(&g, 0x1000);
	dirty_is(&g, BIT(0) | BIT(2), BIT(0) | BIT(2));
	run_at(&g, 0x1000);
	assert_int_equal(dirty(&g), 0);
	guest_close(&g);
}

/* What was written is mapped already when code there is executed. */
static void test_written_first(void **state)
{
	struct guest g;

	guest_open(&g);
	assert_int_equal(log_ram(&g), 0);
	GUEST_CODE(&g, 0xc6, 0x06, 0x00, 0x50, 0xf4, 0xf4); /* movb $0xf4, 0x5000; hlt */
	run_at(&g, 0x1000);
	dirty_is(&g, BIT(0) | BIT(4), BIT(0));
	run_at(&g, 0x5000);
	assert_int_equal(dirty(&g), 0);
	run_at(&g, 0x1000);
	assert_int_equal(dirty(&g), BIT(4));
	guest_close(&g);
}

/* ROM is never mapped for writing. */
static void test_rom_fetched(void **state)
{
	struct guest g;

	guest_open(&g);
	assert_int_equal(slot(&g, 0, 0, RAM_GPA, 0, NULL), 0);
	assert_int_equal(
		slot(&g, 0, KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY, RAM_GPA, RAM_BYTES, g.ram),
		0);
	GUEST_CODE(&g, 0xf4);
	run_at(&g, 0x1000);
	assert_int_equal(dirty(&g), 0);
	guest_close(&g);
}

/* ---- rings ---- */

struct ring_guest {
	struct guest g;
	struct kvm_dirty_gfn *ring;
	u32 next;
};

static void *map_ring(struct guest *g, int prot, int flags)
{
	/* What the kernel's own mmap refuses, the interposer must refuse for ours. */
	if (!port.real && dev_mmap_check(port.dev, g->vcpu, prot, flags, RING_BYTES, RING_OFFSET))
		return MAP_FAILED;
	return mmap(NULL, RING_BYTES, prot, flags, g->vcpu, RING_OFFSET);
}

static void ring_open(struct ring_guest *r)
{
	struct kvm_userspace_memory_region region = {
		0, KVM_MEM_LOG_DIRTY_PAGES, RAM_GPA, RAM_BYTES, 0};
	struct guest *g = &r->g;

	*r = (struct ring_guest){0};
	g->sys = kvm_open();
	g->vm = (int)kvm(g->sys, KVM_CREATE_VM, 0);
	assert_int_equal(enable(g->vm, KVM_CAP_DIRTY_LOG_RING_ACQ_REL, RING_BYTES), 0);
	g->ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	region.userspace_addr = (unsigned long)g->ram;
	assert_int_equal(kvm_p(g->vm, KVM_SET_USER_MEMORY_REGION, &region), 0);
	g->vcpu = (int)kvm(g->vm, KVM_CREATE_VCPU, 0);
	g->run = mmap(NULL, 3 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, g->vcpu, 0);
	assert_true(g->run != MAP_FAILED);
	r->ring = map_ring(g, PROT_READ | PROT_WRITE, MAP_SHARED);
	assert_true(r->ring != MAP_FAILED);
}

static void ring_close(struct ring_guest *r)
{
	munmap(r->ring, RING_BYTES);
	guest_close(&r->g);
}

/* The pages in the entries that wait, as a bitmap; they are marked as seen. */
static u64 harvest(struct ring_guest *r)
{
	u64 pages = 0;

	for (;; r->next++) {
		struct kvm_dirty_gfn *e = &r->ring[r->next % RING_ENTRIES];

		if (__atomic_load_n(&e->flags, __ATOMIC_ACQUIRE) != KVM_DIRTY_GFN_F_DIRTY)
			return pages;
		assert_int_equal(e->slot, 0);
		assert_true(e->offset < 16);
		pages |= BIT(e->offset);
		__atomic_store_n(&e->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
	}
}

static void test_ring_args(void **state)
{
	int sys = kvm_open(), vm = (int)kvm(sys, KVM_CREATE_VM, 0), vcpu;
	const u32 cap = KVM_CAP_DIRTY_LOG_RING;

	assert_int_equal(kvm(sys, KVM_CHECK_EXTENSION, cap), 1 << 20);
	assert_int_equal(kvm(sys, KVM_CHECK_EXTENSION, KVM_CAP_DIRTY_LOG_RING_ACQ_REL), 1 << 20);
	assert_int_equal(kvm(sys, KVM_CHECK_EXTENSION, KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP), 0);
	assert_int_equal(enable(vm, KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP, 0), -EINVAL);
	assert_int_equal(kvm(vm, KVM_RESET_DIRTY_RINGS, 0), -EINVAL);
	assert_int_equal(enable(vm, cap, 0), -EINVAL);
	assert_int_equal(enable(vm, cap, 100), -EINVAL);
	assert_int_equal(enable(vm, cap, 2048), -EINVAL); /* less than a page */
	assert_int_equal(enable(vm, cap, 12288), -EINVAL);
	assert_int_equal(enable(vm, cap, 1 << 30), -E2BIG);
	vcpu = (int)kvm(vm, KVM_CREATE_VCPU, 0);
	assert_int_equal(enable(vm, cap, 65536), -EINVAL); /* too late */
	kvm_close(vcpu);
	kvm_close(vm);
	vm = (int)kvm(sys, KVM_CREATE_VM, 0);
	assert_int_equal(enable(vm, cap, 65536), 0);
	assert_int_equal(enable(vm, cap, 65536), -EINVAL);
	assert_int_equal(kvm(vm, KVM_RESET_DIRTY_RINGS, 0), 0);
	kvm_close(vm);
	kvm_close(sys);
}

static void test_ring(void **state)
{
	struct ring_guest r;
	u64 bitmap;
	struct kvm_dirty_log log = {.dirty_bitmap = &bitmap};

	ring_open(&r);
	write_two(&r.g);
	assert_true(map_ring(&r.g, PROT_READ, MAP_PRIVATE) == MAP_FAILED);
	assert_true(map_ring(&r.g, PROT_READ | PROT_EXEC, MAP_SHARED) == MAP_FAILED);
	assert_int_equal(kvm_p(r.g.vm, KVM_GET_DIRTY_LOG, &log), -ENXIO);
	assert_int_equal(clear(&r.g, 0, 16, 0), -ENXIO);
	run_to(&r.g, KVM_EXIT_HLT);
	assert_int_equal(harvest(&r) & 0x300, 0x300);
	run_to(&r.g, KVM_EXIT_HLT); /* not yet reset: nothing new */
	/* The kernel's instruction emulator, which real mode may need, tells each write. */
	if (!port.real)
		assert_int_equal(harvest(&r), 0);
	harvest(&r);
	assert_int_equal(kvm(r.g.vm, KVM_RESET_DIRTY_RINGS, 0), r.next);
	assert_int_equal(kvm(r.g.vm, KVM_RESET_DIRTY_RINGS, 0), 0);
	run_to(&r.g, KVM_EXIT_HLT);
	assert_int_equal(harvest(&r) & 0x300, 0x300);
	ring_close(&r);
}

/* Entries that the user spoils must not hurt us. (The kernel loses count and says that the ring is full.) */
static void test_ring_spoilt(void **state)
{
	struct ring_guest r;

	if (port.real)
		return;
	ring_open(&r);
	write_two(&r.g);
	run_to(&r.g, KVM_EXIT_HLT);
	for (unsigned i = 0; i < RING_ENTRIES; i++) {
		r.ring[i].slot = i & 1 ? 77 : ~0u;
		r.ring[i].offset = i & 1 ? 0 : ~0ull;
		r.ring[i].flags = KVM_DIRTY_GFN_F_RESET;
	}
	assert_true(kvm(r.g.vm, KVM_RESET_DIRTY_RINGS, 0) >= 2);
	run_to(&r.g, KVM_EXIT_HLT);
	ring_close(&r);
}

/* A ring of 256 keeps 64 entries in reserve; the guest leaves, and goes on when there is room. */
static void test_ring_full(void **state)
{
	struct kvm_regs regs;
	struct ring_guest r;
	int fulls = 0, runs = 0;

	ring_open(&r);
	GUEST_CODE(&r.g, 0x88, 0x07, 0xee, 0xeb,
		0xfb); /* mov %al, (%bx); out; jmp: one page a round */
	assert_int_equal(kvm_p(r.g.vcpu, KVM_GET_REGS, &regs), 0);
	regs.rbx = 0x3000;
	assert_int_equal(kvm_p(r.g.vcpu, KVM_SET_REGS, &regs), 0);
	while (fulls < 2 && runs++ < 1000) {
		assert_int_equal(kvm(r.g.vcpu, KVM_RUN, 0), 0);
		if (r.g.run->exit_reason == KVM_EXIT_DIRTY_RING_FULL) {
			fulls++;
			run_to(&r.g, KVM_EXIT_DIRTY_RING_FULL); /* until somebody does something */
			harvest(&r);
			assert_true(kvm(r.g.vm, KVM_RESET_DIRTY_RINGS, 0) >= RING_ENTRIES - 64);
			continue;
		}
		assert_int_equal(r.g.run->exit_reason, KVM_EXIT_IO);
		/* A log that is begun anew forgets the pages, but not the ring's entries. */
		assert_int_equal(slot(&r.g, 0, 0, RAM_GPA, RAM_BYTES, r.g.ram), 0);
		assert_int_equal(log_ram(&r.g), 0);
		assert_int_equal(kvm_p(r.g.vcpu, KVM_GET_REGS, &regs), 0);
		regs.rbx = 0x3000 + runs % 8 * PAGE_SIZE;
		assert_int_equal(kvm_p(r.g.vcpu, KVM_SET_REGS, &regs), 0);
	}
	assert_int_equal(fulls, 2);
	ring_close(&r);
}

/* Fetches alone fill a ring, too: here each slot made anew brings one entry, and the last ones in reserve stay free. */
static void test_ring_fetched(void **state)
{
	struct ring_guest r;
	int fulls = 0, runs = 0;

	if (port.real) /* see dirty_is() */
		return;
	ring_open(&r);
	while (fulls < 2 && runs++ < 1000) {
		GUEST_CODE(&r.g, 0xf4);
		assert_int_equal(kvm(r.g.vcpu, KVM_RUN, 0), 0);
		if (r.g.run->exit_reason == KVM_EXIT_DIRTY_RING_FULL) {
			fulls++;
			assert_int_equal(harvest(&r), BIT(0));
			assert_true(kvm(r.g.vm, KVM_RESET_DIRTY_RINGS, 0) >= RING_ENTRIES - 64);
			continue;
		}
		assert_int_equal(r.g.run->exit_reason, KVM_EXIT_HLT);
		assert_int_equal(slot(&r.g, 0, 0, RAM_GPA, 0, NULL), 0);
		assert_int_equal(log_ram(&r.g), 0);
	}
	assert_int_equal(fulls, 2);
	ring_close(&r);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clear),
		cmocka_unit_test(test_clear_args),
		cmocka_unit_test(test_initially_set),
		cmocka_unit_test(test_writers),
		cmocka_unit_test(test_log_life),
		cmocka_unit_test(test_fetched),
		cmocka_unit_test(test_written_first),
		cmocka_unit_test(test_rom_fetched),
		cmocka_unit_test(test_ring_args),
		cmocka_unit_test(test_ring),
		cmocka_unit_test(test_ring_spoilt),
		cmocka_unit_test(test_ring_full),
		cmocka_unit_test(test_ring_fetched),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
