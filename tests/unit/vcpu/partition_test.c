/* SPDX-License-Identifier: MIT */
/* OPT_INTERCEPTS: what leaves although no instruction asks for it, and a memory map that changes meanwhile. */
#include "tests/unit/world/partition.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- events, tables and code that are not in RAM ---- */

/* The stack of an interrupt's frame: there is no instruction to be done, and the exit comes again. */
static void delivery(void **state)
{
	GUEST(0x0f, 0x0b); /* #UD */
	gate(X86_UD, HANDLER);
	WORLD_PUT(&w, HANDLER, SAY);
	set_gpr(RSP, DEVICE + 0x100);
	for (unsigned i = 0; i < 3; i++) {
		const struct exit *x = run_to(w.v, EXIT_MMIO_WRITE);

		assert_int_equal(x->mmio.gpa, DEVICE + 0x100 - 40);
		assert_int_equal(rip_of(w.v), CODE);
		no_insn();
	}
	set_gpr(RSP, STACK);
	says();
	assert_int_equal(rip_of(w.v), HANDLER);
}

static void tables(void **state)
{
	u64 to_device = DEVICE | 7;
	u64 gva = 0x8000000000 + 0x40000000ull * 5 + 0x123;

	world_put(&w, PML4 + 8, &to_device, 8);
	GUEST(0x8a, 0x03, SAY);
	set_gpr(RBX, gva);
	for (unsigned i = 0; i < 2; i++) {
		const struct exit *x = leaves(EXIT_MMIO_READ);

		assert_true(x->mmio.walk && x->mmio.gva_valid);
		assert_int_equal(x->mmio.gpa, DEVICE + 5 * 8);
		assert_int_equal(x->mmio.gva, gva);
		assert_int_equal(x->mmio.len, 8);
		insn_is(2);
	}
	goes_on();
	/* Of the local APIC's page no table is read. */
	to_device = APIC | 7;
	world_put(&w, PML4 + 8, &to_device, 8);
	start_at(CODE);
	set_gpr(RBX, gva);
	assert_int_equal(leaves(EXIT_MMIO_READ)->mmio.gpa, APIC + 5 * 8);
}

static void fetches(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		const struct exit *x;

		start_at(DEVICE + 0x123);
		x = leaves(EXIT_MMIO_FETCH);
		assert_int_equal(x->mmio.gpa, DEVICE + 0x123);
		assert_int_equal(x->mmio.gva, DEVICE + 0x123);
		assert_true(x->mmio.gva_valid);
		no_insn();
	}
	/* One that begins in RAM: what there is of it is shown. */
	WORLD_PUT(&w, RAM_BYTES - 2, 0xb8, 0x01);
	start_at(RAM_BYTES - 2);
	assert_int_equal(leaves(EXIT_MMIO_FETCH)->mmio.gpa, RAM_BYTES);
	assert_int_equal(vcpu_exit_insn(w.v)->len, 0);
	assert_int_equal(vcpu_exit_insn(w.v)->count, 2);
	assert_memory_equal(vcpu_exit_insn(w.v)->bytes, "\xb8\x01", 2);
	/* One that ends there is done. */
	WORLD_PUT(&w, RAM_BYTES - 2, 0x0c, 0x80);
	start_at(RAM_BYTES - 2);
	assert_int_equal(run_to(w.v, EXIT_MMIO_FETCH)->mmio.gpa, RAM_BYTES);
	assert_int_equal(gpr_of(w.v, RAX) & 0xff, 0x91);
	/* At the end of RAM, an instruction that waits for an answer of a device of the engine. */
	WORLD_PUT(&w, RAM_BYTES - 2, 0x8b, 0x0b);
	start_at(RAM_BYTES - 2);
	set_gpr(RBX, APIC + 0x30);
	assert_int_equal(run_to(w.v, EXIT_MMIO_FETCH)->mmio.gpa, RAM_BYTES);
	assert_int_equal(gpr_of(w.v, RCX) & 0xf0, 0x10);
}

/* Data as ever, and no code, also if it was some before. */
static void no_execute(void **state)
{
	static const u8 code[] = {0xff, 0xc0, 0xff, 0xc0, SAY}; /* inc eax, twice */

	put_slot(0, 0x2000);
	world_put(&w, DATA, code, sizeof(code));
	start_at(DEVICE);
	says();
	put_slot(0, 0);
	put_slot(SLOT_NOEXEC, 0x2000);
	for (unsigned i = 0; i < 2; i++) {
		start_at(DEVICE + i * 2);
		assert_int_equal(leaves(EXIT_MMIO_FETCH)->mmio.gpa, DEVICE + i * 2);
		assert_int_equal(vcpu_exit(w.v)->mmio.gva, DEVICE + i * 2);
		no_insn();
	}
	GUEST(0x48, 0x83, 0x03, 0x01, SAY); /* add qword [rbx], 1 */
	says();
	assert_int_equal(w.ram[DATA], 0x00); /* ff and 1 */
	put_slot(0, 0);
	put_slot(0, 0x2000);
	world_put(&w, DATA, code, sizeof(code));
	start_at(DEVICE);
	says();
}

/* An instruction that begins in code and ends where there is none, after one that does not. */
static void into_no_execute(void **state)
{
	struct memslot_config c = {.id = 2, .gpa = DEVICE - 0x1000, .size = 0x1000};

	put_slot(SLOT_NOEXEC, 0x2000);
	c.hva = (u64)w.ram + DATA + 0x8000;
	assert_int_equal(machine_set_memslot(w.m, &c), 0);
	WORLD_PUT(&w, DATA + 0x8ffb, 0xff, 0xc0, 0x48, 0xc7, 0xc1); /* inc eax; mov rcx, */
	start_at(DEVICE - 3);
	assert_int_equal(leaves(EXIT_MMIO_FETCH)->mmio.gpa, DEVICE);
	assert_int_equal(vcpu_exit_insn(w.v)->count, 3);
	assert_memory_equal(vcpu_exit_insn(w.v)->bytes, "\x48\xc7\xc1", 3);
	start_at(DEVICE - 5);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(run_to(w.v, EXIT_MMIO_FETCH)->mmio.gpa, DEVICE);
		assert_int_equal(rip_of(w.v), DEVICE - 3);
		assert_int_equal(gpr_of(w.v, RAX) & 0xff, 0x12);
	}
}

/* ---- the memory map changes while the guest runs ---- */

static _Atomic bool ends;

static void *change_slots(void *unused)
{
	for (unsigned i = 0; !atomic_load(&ends); i++) {
		static const u32 flags[] = {0, SLOT_READONLY, SLOT_NOEXEC};

		put_slot(flags[i % 3], 0x1000);
		put_slot(0, 0);
	}
	return NULL;
}

/* The VMM does the store where it finds it: none is lost and none done twice. */
static void do_store(u64 *target, u64 *count)
{
	const struct exit *x = vcpu_exit(w.v);
	u64 value;

	memcpy(&value, x->mmio.data, 8);
	assert_int_equal(x->reason, EXIT_MMIO_WRITE);
	assert_int_equal(x->mmio.gpa, DEVICE);
	assert_int_equal(rip_of(w.v), CODE + 3);
	assert_int_equal(value, gpr_of(w.v, RCX));
	assert_true(value == *target + 1);
	*target = *count = value;
	set_rip(CODE + 6);
}

static void slots_change(void **state)
{
	u64 count = 0, *target = (u64 *)(w.ram + DATA);
	pthread_t t;

	/* inc rcx; mov [rbx], rcx; cmp rcx, [DATA]; jne to the out; jmp to the start */
	GUEST(0x48, 0xff, 0xc1, 0x48, 0x89, 0x0b, 0x48, 0x3b, 0x0c, 0x25, 0x00, 0x00, 0x02, 0x00,
		0x75, 0x02, 0xeb, 0xee, SAY);
	set_gpr(RCX, 0);
	atomic_store(&ends, false);
	assert_int_equal(pthread_create(&t, NULL, change_slots, NULL), 0);
	for (unsigned i = 0; i < 300; i++) {
		assert_int_equal(vcpu_run(w.v, 0), 0);
		do_store(target, &count);
	}
	atomic_store(&ends, true);
	pthread_join(t, NULL);
	assert_true(count >= 300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH_WAYS(delivery),
		BOTH_WAYS(tables),
		BOTH_WAYS(fetches),
		BOTH_WAYS(no_execute),
		BOTH_WAYS(into_no_execute),
		BOTH_WAYS(slots_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
