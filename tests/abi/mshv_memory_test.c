/* SPDX-License-Identifier: MIT */
/*
 * Guest memory: regions that come and go, also while a VP runs; which pages were accessed and written; and where an address
 * of the guest's leads (HVCALL_TRANSLATE_VIRTUAL_ADDRESS).
 */
#include "tests/abi/mshv_port.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define AT 0x1000000ull /* of memory that tests map */

/* ---- regions ---- */

/* What one side writes, the other sees; two regions can be one memory. */
static void test_shared(void **state)
{
	u8 *memory = pages_alloc(0x2000);
	struct partition p = {0};

	partition_start(&p, LAPIC);
	code_long(&p, 0,
		BYTES(0x8a, 0x03, 0xfe, 0x01, 0xe6,
			0x10)); /* mov al, [rbx]; inc [rcx]; out 10h, al */
	assert_int_equal(map_memory(p.fd, AT, 0x2000, memory, MEM_W | MEM_X), 0);
	assert_int_equal(map_memory(p.fd, AT + 0x10000, 0x1000, memory + 0x1000, MEM_W | MEM_X), 0);
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RBX, AT + 0x1004);
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RCX, AT + 0x10004);
	memory[0x1004] = 5;
	assert_int_equal(run_to_out(&p, 0, 0x10), 5);
	assert_int_equal(memory[0x1004], 6);
	memory[0x1004] = 9;
	set_reg(&p, 0, HV_X64_REGISTER_RIP, CODE_GPA);
	assert_int_equal(run_to_out(&p, 0, 0x10), 9);
	partition_close(&p);
	assert_int_equal(memory[0x1004], 10);
	munmap(memory, 0x2000);
}

/* Every way of overlapping; neighbours do not. */
static void test_overlaps(void **state)
{
	static const struct {
		u64 pfn, pages;
		long result;
	} cases[] = {{0, 16, -EEXIST}, {0, 1, -EEXIST}, {15, 1, -EEXIST}, {4, 4, -EEXIST},
		{15, 16, -EEXIST}, {-1, 2, -EEXIST}, {-8, 100, -EEXIST}, {16, 4, 0}, {-4, 4, 0},
		{100, 1, 0}};
	u8 *memory = pages_alloc(0x100000);
	struct partition p = {0};

	partition_start(&p, LAPIC);
	assert_int_equal(map_memory(p.fd, AT, 16 * 4096, memory, 0), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		const u64 gpa = AT + cases[i].pfn * 4096;

		assert_int_equal(
			map_memory(p.fd, gpa, cases[i].pages * 4096, memory, 0), cases[i].result);
		if (!cases[i].result)
			assert_int_equal(unmap_memory(p.fd, gpa, cases[i].pages * 4096, memory), 0);
	}
	partition_close(&p);
	munmap(memory, 0x100000);
}

/* Regions can be made and unmade for ever, in any order; a large one costs nothing. */
static void test_many(void **state)
{
	const u64 large = 8ull << 30;
	u8 *memory = pages_alloc(0x1000), *huge;
	struct partition p = {0};

	huge = mmap(NULL, large, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_true(huge != MAP_FAILED);
	partition_start(&p, LAPIC);
	assert_int_equal(map_memory(p.fd, 1ull << 32, large, huge, MEM_W | MEM_X), 0);
	for (unsigned round = 0; round < 3; round++) {
		for (u64 i = 0; i < 300; i++)
			assert_int_equal(
				map_memory(p.fd, AT + (i * 7919 % 300) * 8192, 4096, memory, MEM_W),
				0);
		for (u64 i = 0; i < 300; i++)
			assert_int_equal(
				unmap_memory(p.fd, AT + (i * 6073 % 300) * 8192, 4096, memory), 0);
	}
	assert_int_equal(unmap_memory(p.fd, 1ull << 32, large, huge), 0);
	partition_close(&p);
	munmap(huge, large);
	munmap(memory, 0x1000);
}

/* ---- while a VP runs ---- */

/* inc dword [rbx]; jmp back */
static const u8 count[] = {0xff, 0x03, 0xeb, 0xfc};

static void wait_counts(const u8 *memory)
{
	const u32 then = __atomic_load_n((const u32 *)memory, __ATOMIC_RELAXED);

	for (unsigned ms = 0; __atomic_load_n((const u32 *)memory, __ATOMIC_RELAXED) == then;
		ms++) {
		assert_true(ms < 30000);
		usleep(1000);
	}
}

/* Once the request has returned, the memory is the guest's no more. */
static void test_unmap_while_running(void **state)
{
	struct partition p = {0};
	struct runner r;
	u8 *memory = pages_alloc(0x1000);

	partition_start(&p, LAPIC);
	code_long(&p, 0, count, sizeof(count));
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RBX, AT + 8);
	for (unsigned i = 0; i < 20; i++) {
		const struct hv_memory_message *m = (const void *)r.message.payload;

		assert_int_equal(map_memory(p.fd, AT, 0x1000, memory, MEM_W), 0);
		runner_start(&r, &p, 0);
		wait_counts(memory + 8);
		assert_int_equal(unmap_memory(p.fd, AT, 0x1000, memory), 0);
		memset(memory, 0x5a, 0x1000);
		assert_int_equal(runner_wait(&r), 0);
		assert_int_equal(r.message.type, HVMSG_UNMAPPED_GPA);
		assert_int_equal(m->gpa, AT + 8);
		assert_int_equal(memory[8], 0x5a);
	}
	partition_close(&p);
	munmap(memory, 0x1000);
}

/* Mapped anew elsewhere, or with other rights: that counts at once. */
static void test_remap_while_running(void **state)
{
	struct partition p = {0};
	struct runner r;
	u8 *a = pages_alloc(0x1000), *b = pages_alloc(0x1000);

	partition_start(&p, LAPIC);
	code_long(&p, 0, count, sizeof(count));
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RBX, AT);
	assert_int_equal(map_memory(p.fd, AT, 0x1000, a, MEM_W), 0);
	runner_start(&r, &p, 0);
	wait_counts(a);
	assert_int_equal(unmap_memory(p.fd, AT, 0x1000, a), 0);
	assert_int_equal(map_memory(p.fd, AT, 0x1000, b, MEM_X), 0); /* read-only */
	assert_int_equal(runner_wait(&r), 0);
	/* It has met nothing, or the read-only memory. */
	assert_true(r.message.type == HVMSG_UNMAPPED_GPA || r.message.type == HVMSG_GPA_INTERCEPT);
	assert_int_equal(
		((struct hv_memory_message *)r.message.payload)->header.access, HV_INTERCEPT_WRITE);
	run_until(&p, 0, HVMSG_GPA_INTERCEPT);
	assert_int_equal(*(u32 *)b, 0);
	partition_close(&p);
	munmap(a, 0x1000);
	munmap(b, 0x1000);
}

/* ---- accessed and dirty pages ---- */

#define PAGES (RAM_SIZE / HV_PAGE_SIZE)

static long bitmap(struct partition *p, u8 type, u8 op, u64 pfn, u64 pages, void *ret)
{
	struct mshv_gpap_access_bitmap a = {.access_type = type,
		.access_op = op,
		.page_count = pages,
		.gpap_base = pfn,
		.bitmap_ptr = (unsigned long)ret};

	return mshv_p(p->fd, MSHV_GET_GPAP_ACCESS_BITMAP, &a);
}

static bool is_set(struct partition *p, u8 type, u64 gpa)
{
	u8 bits = 0xff;

	assert_int_equal(
		bitmap(p, type, MSHV_GPAP_ACCESS_OP_NOOP, gpa / HV_PAGE_SIZE, 1, &bits), 0);
	assert_int_equal(bits & 0xfe, 0); /* spare bits */
	return bits;
}

#define dirty(p, gpa)    is_set(p, MSHV_GPAP_ACCESS_TYPE_DIRTY, gpa)
#define accessed(p, gpa) is_set(p, MSHV_GPAP_ACCESS_TYPE_ACCESSED, gpa)

static void clear_all(struct partition *p)
{
	u8 bits[PAGES / 8];

	assert_int_equal(bitmap(p, MSHV_GPAP_ACCESS_TYPE_ACCESSED, MSHV_GPAP_ACCESS_OP_CLEAR, 0,
				 PAGES, bits),
		0);
}

static void track(struct partition *p, u64 value)
{
	assert_hv(property_set(p->fd, HV_PROPERTY_GPA_PAGE_ACCESS_TRACKING, value), 0, 0);
}

static void test_bitmap_ops(void **state)
{
	u8 bits[PAGES / 8 + 1], zero[PAGES / 8] = {0}, ones[PAGES / 8], again[PAGES / 8];
	struct partition p = {0};

	memset(ones, 0xff, sizeof(ones));
	partition_start(&p, LAPIC);
	track(&p, HV_TRACKING_ON);
	/* Clean at first. */
	assert_int_equal(
		bitmap(&p, MSHV_GPAP_ACCESS_TYPE_DIRTY, MSHV_GPAP_ACCESS_OP_NOOP, 0, PAGES, bits),
		0);
	assert_memory_equal(bits, zero, sizeof(zero));
	/* Read first, then done; and a NOOP changes nothing. */
	assert_int_equal(
		bitmap(&p, MSHV_GPAP_ACCESS_TYPE_DIRTY, MSHV_GPAP_ACCESS_OP_SET, 0, PAGES, bits),
		0);
	assert_memory_equal(bits, zero, sizeof(zero));
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(bitmap(&p, MSHV_GPAP_ACCESS_TYPE_DIRTY, MSHV_GPAP_ACCESS_OP_NOOP,
					 0, PAGES, again),
			0);
		assert_memory_equal(again, ones, sizeof(ones));
	}
	/* Dirty pages are accessed ones; clearing what is dirty leaves that; clearing accesses takes both. */
	assert_true(accessed(&p, 0));
	assert_int_equal(
		bitmap(&p, MSHV_GPAP_ACCESS_TYPE_DIRTY, MSHV_GPAP_ACCESS_OP_CLEAR, 0, PAGES, bits),
		0);
	assert_memory_equal(bits, ones, sizeof(ones));
	assert_true(!dirty(&p, 0x5000) && accessed(&p, 0x5000));
	assert_int_equal(
		bitmap(&p, MSHV_GPAP_ACCESS_TYPE_DIRTY, MSHV_GPAP_ACCESS_OP_SET, 5, 1, bits), 0);
	assert_int_equal(
		bitmap(&p, MSHV_GPAP_ACCESS_TYPE_ACCESSED, MSHV_GPAP_ACCESS_OP_CLEAR, 5, 1, bits),
		0);
	assert_true(!dirty(&p, 0x5000) && !accessed(&p, 0x5000));
	assert_true(accessed(&p, 0x4000) && accessed(&p, 0x6000));
	/* Spare bits are 0, and no byte more is written. */
	memset(bits, 0xee, sizeof(bits));
	assert_int_equal(
		bitmap(&p, MSHV_GPAP_ACCESS_TYPE_ACCESSED, MSHV_GPAP_ACCESS_OP_NOOP, 16, 11, bits),
		0);
	assert_int_equal(bits[0], 0xff);
	assert_int_equal(bits[1], 7);
	assert_int_equal(bits[2], 0xee);
	/* Pages without memory */
	assert_int_equal(bitmap(&p, MSHV_GPAP_ACCESS_TYPE_ACCESSED, MSHV_GPAP_ACCESS_OP_SET,
				 1ull << 30, 8, bits),
		0);
	assert_int_equal(bitmap(&p, MSHV_GPAP_ACCESS_TYPE_ACCESSED, MSHV_GPAP_ACCESS_OP_NOOP,
				 1ull << 30, 8, bits),
		0);
	assert_int_equal(bits[0], 0);
	track(&p, 0);
	assert_int_equal(
		bitmap(&p, MSHV_GPAP_ACCESS_TYPE_DIRTY, MSHV_GPAP_ACCESS_OP_NOOP, 0, 1, bits),
		-EIO);
	partition_close(&p);
}

/* More than one batch, and pages around the end of memory. */
static void test_bitmap_large(void **state)
{
	static u8 bits[0x10000 / 8];
	struct partition p = {0};

	partition_start(&p, LAPIC);
	track(&p, 3);
	p.ram[0] = 1; /* the VMM's own writes are none */
	assert_int_equal(
		bitmap(&p, MSHV_GPAP_ACCESS_TYPE_DIRTY, MSHV_GPAP_ACCESS_OP_SET, 0, 0x10000, bits),
		0);
	for (unsigned i = 0; i < sizeof(bits); i++)
		assert_int_equal(bits[i], 0);
	assert_int_equal(
		bitmap(&p, MSHV_GPAP_ACCESS_TYPE_DIRTY, MSHV_GPAP_ACCESS_OP_NOOP, 0, 0x10000, bits),
		0);
	for (unsigned i = 0; i < sizeof(bits); i++)
		assert_int_equal(bits[i], i < PAGES / 8 ? 0xff : 0);
	partition_close(&p);
}

/* What a guest does: each kind of access, and what the processor writes for it. */
static void test_guest_accesses(void **state)
{
	/* mov al, [rbx]; mov [rcx], al; lock inc byte [rdx]; movsb; push rax; ud2 */
	static const u8 code[] = {0x8a, 0x03, 0x88, 0x01, 0xf0, 0xfe, 0x02, 0xa4, 0x50, 0x0f, 0x0b};
	struct partition p = {0};

	partition_start(&p, LAPIC);
	code_long(&p, 0, code, sizeof(code));
	long_gate(&p, X86_UD, 0x3000);
	memcpy(p.ram + 0x3000, (const u8[]){0xe6, 0x10}, 2);
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RBX, 0x40000);
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RCX, 0x41000);
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RDX, 0x42000);
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RSI, 0x43000);
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RDI, 0x44000);
	track(&p, HV_TRACKING_ON);
	for (unsigned i = 0; i < 2; i++) {
		clear_all(&p);
		set_reg(&p, 0, HV_X64_REGISTER_RIP, CODE_GPA);
		set_reg(&p, 0, HV_X64_REGISTER_RAX + RSP, STACK_GPA);
		run_to_out(&p, 0, 0x10);
		assert_true(accessed(&p, 0x40000) && !dirty(&p, 0x40000));
		assert_true(accessed(&p, 0x41000) && dirty(&p, 0x41000));
		assert_true(accessed(&p, 0x42000) && dirty(&p, 0x42000));
		assert_true(accessed(&p, 0x43000) && !dirty(&p, 0x43000));
		assert_true(accessed(&p, 0x44000) && dirty(&p, 0x44000));
		assert_true(dirty(&p, STACK_GPA - 1)); /* PUSH, and the exception's frame */
		assert_true(accessed(&p, CODE_GPA) && !dirty(&p, CODE_GPA));
		assert_true(accessed(&p, IDT_GPA) && !dirty(&p, IDT_GPA));
		assert_true(!accessed(&p, 0x50000) && !dirty(&p, 0x50000));
		if (!i) /* A and D of the tables themselves */
			assert_true(dirty(&p, TABLES_GPA + 0x2000));
	}
	partition_close(&p);
}

/* What the hypervisor writes for the VMM: messages and events in the guest's pages. */
static void test_hypervisor_writes(void **state)
{
	struct hv_post_message_direct in = {.sint = 2};
	struct hv_message m = {.type = 5, .len = 1};
	struct hv_signal_event_direct ev = {.sint = 2, .flag = 3};
	u64 out;
	struct partition p = {.features = ~0ull};

	memcpy(in.message, &m, sizeof(m));
	partition_start(&p, LAPIC);
	set_reg(&p, 0, HV_REGISTER_SCONTROL, 1);
	set_reg(&p, 0, HV_REGISTER_SIMP, 0x40001);
	set_reg(&p, 0, HV_REGISTER_SIEFP, 0x41001);
	track(&p, HV_TRACKING_ON);
	assert_hv(hv_call(p.fd,
			  &(struct hv_call){
				  .code = HVCALL_POST_MESSAGE_DIRECT, .in = &in, .in_size = 280}),
		0, 0);
	assert_hv(hv_call(p.fd, &(struct hv_call){.code = HVCALL_SIGNAL_EVENT_DIRECT,
					.in = &ev,
					.in_size = sizeof(ev),
					.out = &out,
					.out_size = sizeof(out)}),
		0, 0);
	assert_true(dirty(&p, 0x40000) && dirty(&p, 0x41000) && !dirty(&p, 0x42000));
	partition_close(&p);
}

/* No write is lost: what a round has not told, the next one tells. */
static void test_no_write_lost(void **state)
{
	struct partition p = {0};
	struct runner r;
	u8 *copy = pages_alloc(RAM_SIZE);
	u8 bits[PAGES / 8];

	partition_start(&p, LAPIC);
	/* add rax, 1; mov [rbx], rax; add rbx, 4096; and ebx, 0xfffff; or ebx, 0x100000; jmp back */
	code_long(&p, 0,
		BYTES(0x48, 0x83, 0xc0, 0x01, 0x48, 0x89, 0x03, 0x48, 0x81, 0xc3, 0, 0x10, 0, 0,
			0x81, 0xe3, 0xff, 0xff, 0x0f, 0, 0x81, 0xcb, 0, 0, 0x10, 0, 0xeb, 0xe4));
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RBX, 0x100000);
	track(&p, HV_TRACKING_ON);
	memcpy(copy, p.ram, RAM_SIZE);
	runner_start(&r, &p, 0);
	for (unsigned round = 0; round < 200; round++) {
		if (round == 199)
			assert_int_equal(runner_stop(&r), -EINTR);
		assert_int_equal(bitmap(&p, MSHV_GPAP_ACCESS_TYPE_DIRTY, MSHV_GPAP_ACCESS_OP_CLEAR,
					 0, PAGES, bits),
			0);
		for (unsigned i = 0; i < PAGES; i++)
			if (bits[i / 8] >> (i & 7) & 1)
				for (unsigned k = 0; k < HV_PAGE_SIZE;
					k += 8) /* whole words: the guest writes meanwhile */
					*(u64 *)(copy + i * HV_PAGE_SIZE + k) = __atomic_load_n(
						(u64 *)(p.ram + i * HV_PAGE_SIZE + k),
						__ATOMIC_RELAXED);
	}
	assert_memory_equal(copy, p.ram, RAM_SIZE);
	partition_close(&p);
	munmap(copy, RAM_SIZE);
}

/* ---- HVCALL_TRANSLATE_VIRTUAL_ADDRESS ---- */

static struct hv_translated translate(struct partition *p, u64 gva, u64 flags)
{
	struct hv_translate in = {.flags = flags, .gva_page = gva / HV_PAGE_SIZE};
	struct hv_translated out = {.result = 99};

	assert_hv(hv_call(p->fd, &(struct hv_call){.code = HVCALL_TRANSLATE_VIRTUAL_ADDRESS,
					 .in = &in,
					 .in_size = sizeof(in),
					 .out = &out,
					 .out_size = sizeof(out)}),
		0, 0);
	return out;
}

#define ALL (HV_TRANSLATE_READ | HV_TRANSLATE_WRITE | HV_TRANSLATE_EXECUTE)

static void test_translate_physical(void **state)
{
	struct hv_translated t;
	struct partition p = {0};

	partition_start(&p, LAPIC);
	code_real(&p, 0, BYTES(0xf4));
	t = translate(&p, 0x5000, ALL);
	assert_int_equal(t.result, HV_TRANSLATE_OK);
	assert_int_equal(t.gpa_page, 5);
	assert_int_equal(t.flags & 0xff, HV_CACHE_WB);
	t = translate(&p, NOWHERE, HV_TRANSLATE_READ);
	assert_int_equal(t.result, HV_TRANSLATE_UNMAPPED);
	assert_int_equal(t.gpa_page, NOWHERE / HV_PAGE_SIZE);
	partition_close(&p);
}

/* Pages of 4 KiB from 80000000h on, whose entries a test writes. */
static void put_page(struct partition *p, unsigned n, u64 entry)
{
	const u64 pd = (TABLES_GPA + 0x5000) | 7, pt = (TABLES_GPA + 0x6000) | 7;

	memcpy(p->ram + TABLES_GPA + 0x1000 + 16, &pd, 8);
	memcpy(p->ram + TABLES_GPA + 0x5000, &pt, 8);
	memcpy(p->ram + TABLES_GPA + 0x6000 + 8 * n, &entry, 8);
}

#define VA(n) (0x80000000ull + (n)*HV_PAGE_SIZE)
#define NX    (1ull << 63)

static void test_translate_rights(void **state)
{
	static const struct {
		u64 entry, flags;
		u32 result;
	} cases[] = {
		{0x40000 | 3, ALL, HV_TRANSLATE_OK},
		{0x40000 | 2, HV_TRANSLATE_READ, HV_TRANSLATE_NOT_PRESENT},
		{0x40000 | 1, HV_TRANSLATE_READ, HV_TRANSLATE_OK},
		{0x40000 | 1, HV_TRANSLATE_WRITE, HV_TRANSLATE_PRIVILEGE}, /* CR0.WP */
		{0x40000 | 1, HV_TRANSLATE_WRITE | HV_TRANSLATE_EXEMPT, HV_TRANSLATE_OK},
		{0x40000 | 3, HV_TRANSLATE_READ | HV_TRANSLATE_USER, HV_TRANSLATE_PRIVILEGE},
		{0x40000 | 7, ALL | HV_TRANSLATE_USER, HV_TRANSLATE_OK},
		{0x40000 | 5, HV_TRANSLATE_WRITE | HV_TRANSLATE_USER, HV_TRANSLATE_PRIVILEGE},
		{0x40000 | 3 | NX, HV_TRANSLATE_EXECUTE, HV_TRANSLATE_PRIVILEGE},
		{0x40000 | 3 | NX, HV_TRANSLATE_READ | HV_TRANSLATE_WRITE, HV_TRANSLATE_OK},
		{NOWHERE | 3, HV_TRANSLATE_READ, HV_TRANSLATE_UNMAPPED},
		{AT | 3, HV_TRANSLATE_READ, HV_TRANSLATE_OK},
		{AT | 3, HV_TRANSLATE_WRITE, HV_TRANSLATE_NO_WRITE}, /* read-only memory */
		{0x40000 | 3 | 1ull << 51, HV_TRANSLATE_READ, HV_TRANSLATE_BAD_FLAGS},
	};
	u8 *rom = pages_alloc(0x1000);
	struct partition p = {0};

	partition_start(&p, LAPIC);
	code_long(&p, 0, BYTES(0xf4));
	assert_int_equal(map_memory(p.fd, AT, 0x1000, rom, MEM_X), 0);
	set_reg(&p, 0, HV_X64_REGISTER_EFER, 0xd00); /* NXE */
	set_reg(&p, 0, HV_X64_REGISTER_CR0, 0x80010031);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct hv_translated t;

		put_page(&p, i, cases[i].entry);
		t = translate(&p, VA(i), cases[i].flags);
		if (t.result != cases[i].result)
			fail_msg("entry 0x%llx, flags 0x%llx: %u, not %u",
				(unsigned long long)cases[i].entry,
				(unsigned long long)cases[i].flags, t.result, cases[i].result);
		if (t.result == HV_TRANSLATE_OK || t.result >= HV_TRANSLATE_UNMAPPED)
			assert_int_equal(
				t.gpa_page, (cases[i].entry & 0x7ffffffffffffull) / HV_PAGE_SIZE);
	}
	/* Nothing but the answer has changed: neither A and D, nor CR2. */
	assert_int_equal(p.ram[TABLES_GPA + 0x6000] & 0x60, 0);
	assert_int_equal(reg(&p, 0, HV_X64_REGISTER_CR2), 0);
	partition_close(&p);
	munmap(rom, 0x1000);
}

static void test_translate_smap(void **state)
{
	struct partition p = {0};

	partition_start(&p, LAPIC);
	code_long(&p, 0, BYTES(0xf4));
	put_page(&p, 0, 0x40000 | 7);
	set_reg(&p, 0, HV_X64_REGISTER_CR4, 0x300620); /* SMEP, SMAP */
	assert_int_equal(translate(&p, VA(0), HV_TRANSLATE_READ).result, HV_TRANSLATE_PRIVILEGE);
	assert_int_equal(
		translate(&p, VA(0), HV_TRANSLATE_READ | HV_TRANSLATE_OVERRIDE_SMAP).result,
		HV_TRANSLATE_OK);
	assert_int_equal(translate(&p, VA(0), HV_TRANSLATE_EXECUTE).result, HV_TRANSLATE_PRIVILEGE);
	set_reg(&p, 0, HV_X64_REGISTER_RFLAGS, 0x40002); /* AC */
	assert_int_equal(translate(&p, VA(0), HV_TRANSLATE_READ).result, HV_TRANSLATE_OK);
	assert_int_equal(translate(&p, VA(0), HV_TRANSLATE_READ | HV_TRANSLATE_ENFORCE_SMAP).result,
		HV_TRANSLATE_PRIVILEGE);
	partition_close(&p);
}

/* A table that lies nowhere is unmapped memory; a large page has the right page in it. */
static void test_translate_walk(void **state)
{
	const u64 nowhere = NOWHERE | 7;
	struct hv_translated t;
	struct partition p = {0};

	partition_start(&p, LAPIC);
	code_long(&p, 0, BYTES(0xf4));
	t = translate(&p, 0x123456, HV_TRANSLATE_READ);
	assert_int_equal(t.result, HV_TRANSLATE_OK);
	assert_int_equal(t.gpa_page, 0x123);
	memcpy(p.ram + TABLES_GPA + 0x1000 + 16, &nowhere, 8);
	assert_int_equal(translate(&p, VA(0), HV_TRANSLATE_READ).result, HV_TRANSLATE_UNMAPPED);
	assert_int_equal(translate(&p, 0x800000000000, HV_TRANSLATE_READ).result,
		HV_TRANSLATE_NOT_PRESENT); /* not canonical */
	/* What the register page says counts. */
	p.page[0]->rflags = 0x40002;
	p.page[0]->dirty = HV_PAGE_DIRTY_RFLAGS;
	translate(&p, 0x5000, 0);
	assert_int_equal(p.page[0]->dirty, 0);
	partition_close(&p);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_shared),
	cmocka_unit_test(test_overlaps),
	cmocka_unit_test(test_many),
	cmocka_unit_test(test_unmap_while_running),
	cmocka_unit_test(test_remap_while_running),
	cmocka_unit_test(test_bitmap_ops),
	cmocka_unit_test(test_bitmap_large),
	cmocka_unit_test(test_guest_accesses),
	cmocka_unit_test(test_hypervisor_writes),
	cmocka_unit_test(test_no_write_lost),
	cmocka_unit_test(test_translate_physical),
	cmocka_unit_test(test_translate_rights),
	cmocka_unit_test(test_translate_smap),
	cmocka_unit_test(test_translate_walk),
};
MSHV_MAIN(tests)
