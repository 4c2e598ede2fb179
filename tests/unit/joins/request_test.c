/* SPDX-License-Identifier: MIT */
/* What the VMM sets between two runs is what the guest finds, also where its code has been translated before. */
#include "tests/unit/joins/joins.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "engine/core/vcpu.h"
#include "engine/engine.h"
#include "engine/irqchip.h"

extern const u8 guest_registers[], guest_cpuid[], guest_xgetbv[], guest_breakpoints[],
	guest_after_store[], guest_on_debug[], guest_pending[], guest_on_request[],
	guest_on_event[], guest_on_error[], guest_first_bytes[], guest_second_bytes[],
	guest_stores[];

#define SLOT_SELF  8
#define SELF_BYTES 0x8000u

static void sregs(void **state)
{
	join_start(w.v, guest_registers);
	for (u32 i = 0; i < 4; i++) {
		struct vcpu_state s;

		vcpu_get(w.v, ST_SREGS, &s);
		s.cr0 = (s.cr0 & ~(u64)CR0_WP) | (i & 1 ? CR0_WP : 0);
		s.cr4 = i & 2 ? CR4_PSE : 0;
		s.seg[SEG_FS].base = TARGET + 4 * i;
		s.idt = (struct dtable){.base = IDT_AT + i, .limit = 0x7ff - i};
		world_put(&w, TARGET + 4 * i, &(u32){0x1000 + i}, 4);
		assert_int_equal(vcpu_set(w.v, ST_SREGS, &s), 0);
		assert_int_equal(join_run(w.v), 1);
		assert_int_equal(peek32(SEEN), s.cr0);
		assert_int_equal(peek32(SEEN_NEXT), s.cr4);
		assert_int_equal(peek32(RESULT), 0x1000 + i);
		assert_int_equal(peek32(RESULT + 8) & 0xffff, 0x7ff - i);
		assert_int_equal(peek32(RESULT + 10), IDT_AT + i);
	}
}

static void cpuid(void **state)
{
	join_start(w.v, guest_cpuid);
	for (u32 i = 0; i < 3; i++) {
		const struct cpuid_entry e[] = {
			{.function = 0, .eax = 1 + i, .ebx = 0x100 + i},
			{.function = 1, .ecx = BIT(20) * (i & 1)},
		};

		assert_int_equal(vcpu_set_cpuid(w.v, e, 2), 0);
		assert_int_equal(join_run(w.v), 1);
		assert_int_equal(peek32(RESULT), 1 + i);
		assert_int_equal(peek32(SEEN), 0x100 + i);
		assert_int_equal(peek32(SEEN_NEXT) & BIT(20), e[1].ecx);
	}
}

static void set_xcr0(u64 value)
{
	struct vcpu_state s;

	vcpu_get(w.v, ST_XCR, &s);
	s.xcr0 = value;
	assert_int_equal(vcpu_set(w.v, ST_XCR, &s), 0);
}

static void xcr0(void **state)
{
	struct vcpu_state s;

	world_give_cpuid(w.v);
	join_start(w.v, guest_xgetbv);
	vcpu_get(w.v, ST_SREGS, &s);
	s.cr4 |= CR4_OSXSAVE;
	if (vcpu_set(w.v, ST_SREGS, &s)) {
		print_message("skipped: the host's processor has no XSAVE\n");
		join_start(w.v, guest_registers);
		assert_int_equal(join_run(w.v), 1);
		skip();
	}
	for (unsigned i = 0; i < 4; i++) {
		set_xcr0(i & 1 ? 3 : 1);
		assert_int_equal(join_run(w.v), 1);
		assert_int_equal(peek32(SEEN), i & 1 ? 3 : 1);
	}
}

static void set_breakpoint(u64 address, u64 dr7)
{
	struct vcpu_state s;

	vcpu_get(w.v, ST_DEBUG, &s);
	s.dr[0] = address;
	s.dr[7] = dr7 | BIT(10);
	assert_int_equal(vcpu_set(w.v, ST_DEBUG, &s), 0);
}

/* DR0 and DR7 by the VMM: #DB on an instruction, then on a store, then no more. */
static void debug_registers(void **state)
{
	join_handler(1, guest_on_debug);
	join_start(w.v, guest_breakpoints);
	assert_int_equal(join_run(w.v), 1);
	assert_int_equal(peek32(COUNT), 0);

	set_breakpoint(join_address(guest_breakpoints), 1);
	assert_int_equal(join_run(w.v), 1);
	assert_int_equal(peek32(COUNT), 1);
	assert_int_equal(peek32(SEEN) & 0xf, 1);
	assert_int_equal(peek32(SEEN_NEXT), join_address(guest_breakpoints));
	assert_int_equal(peek32(RESULT), 2); /* it was executed after all, once */

	set_breakpoint(TARGET, 1 | 1 << 16 | 3 << 18);
	assert_int_equal(join_run(w.v), 1);
	assert_int_equal(peek32(COUNT), 2);
	assert_int_equal(peek32(SEEN) & 0xf, 1);
	assert_int_equal(peek32(SEEN_NEXT), join_address(guest_after_store)); /* a trap */

	set_breakpoint(TARGET, 0);
	assert_int_equal(join_run(w.v), 1);
	assert_int_equal(peek32(COUNT), 2);
	assert_int_equal(peek32(RESULT), 4);
}

static u8 *reg_of(u8 *page, unsigned first, u8 vector)
{
	return page + first + vector / 32 * 16 + vector % 32 / 8;
}

/* A request in IRR by KVM_SET_LAPIC is taken by the guest as if a device had made it, and ended. */
static void lapic_state(void **state)
{
	u8 page[1024];

	join_handler(V_REQUEST, guest_on_request);
	join_start(w.v, guest_pending);
	for (u32 i = 0; i < 3; i++) {
		assert_int_equal(join_run(w.v), 1);
		assert_int_equal(peek32(COUNT), i);
		assert_int_equal(vcpu_get_lapic(w.v, page), 0);
		page[0xf0] = 0xff; /* SVR: enabled */
		page[0xf1] = 1;
		*reg_of(page, 0x200, V_REQUEST) |= 1 << V_REQUEST % 8;
		assert_int_equal(vcpu_set_lapic(w.v, page), 0);
		assert_int_equal(join_run(w.v), 1);
		assert_int_equal(peek32(COUNT), i + 1);
		assert_int_equal(vcpu_get_lapic(w.v, page), 0);
		assert_int_equal(*reg_of(page, 0x200, V_REQUEST), 0);
		assert_int_equal(*reg_of(page, 0x100, V_REQUEST), 0);
		world_put(&w, COUNT, &(u32){i + 1}, 4);
	}
}

static void set_events(const struct vcpu_events *e)
{
	struct vcpu_state s;

	vcpu_get(w.v, ST_EVENT, &s);
	s.events = *e;
	assert_int_equal(vcpu_set(w.v, ST_EVENT, &s), 0);
}

static void events(void **state)
{
	join_handler(X86_GP, guest_on_error);
	join_handler(2, guest_on_event);
	join_handler(V_REQUEST, guest_on_event);
	join_start(w.v, guest_pending);
	assert_int_equal(join_run(w.v), 1);
	assert_int_equal(peek32(COUNT), 0);

	set_events(&(struct vcpu_events){
		.exception = {
			.injected = true, .vector = X86_GP, .has_error = true, .error = 0x1238}});
	assert_int_equal(join_run(w.v), 1);
	assert_int_equal(peek32(COUNT), 1);
	assert_int_equal(peek32(SEEN), 0x1238);

	set_events(&(struct vcpu_events){.nmi = {.pending = 1}});
	assert_int_equal(join_run(w.v), 1);
	assert_int_equal(peek32(COUNT), 2);
	assert_false(events_of(w.v).nmi.masked); /* its IRET */

	set_events(&(struct vcpu_events){.interrupt = {.injected = true, .vector = V_REQUEST}});
	assert_int_equal(join_run(w.v), 1);
	assert_int_equal(peek32(COUNT), 3);
	assert_int_equal(join_run(w.v), 1);
	assert_int_equal(peek32(COUNT), 3);
}

static void set_slot(u32 id, u32 flags, u64 gpa, u64 size, void *hva)
{
	struct memslot_config c = {
		.id = id, .flags = flags, .gpa = gpa, .size = size, .hva = (uintptr_t)hva};

	assert_int_equal(machine_set_memslot(w.m, &c), 0);
}

static u8 *map(void)
{
	u8 *p = mmap(NULL, SELF_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

static void start_at_self(void)
{
	struct vcpu_state s;

	join_start(w.v, guest_start);
	vcpu_get(w.v, ST_REGS, &s);
	s.rip = SELF;
	assert_int_equal(vcpu_set(w.v, ST_REGS, &s), 0);
}

/* Two slots change places; what was translated at an address is not what is there now. */
static void slots_move_under_code(void **state)
{
	u8 *first = map(), *second = map();

	memcpy(first, guest_first_bytes, 64);
	memcpy(second, guest_second_bytes, 64);
	set_slot(SLOT_SELF, 0, SELF, SELF_BYTES, first);
	set_slot(SLOT_SELF + 1, 0, SELF + SELF_BYTES, SELF_BYTES, second);
	start_at_self();
	for (unsigned i = 0; i < 4; i++) {
		unsigned here = SLOT_SELF + (i & 1), other = SLOT_SELF + 1 - (i & 1);

		assert_int_equal(join_run(w.v), i & 1 ? 0xb2 : 0xa1);
		assert_int_equal(join_run(w.v), i & 1 ? 0xb2 : 0xa1);
		set_slot(here, 0, SELF + (2 + (i & 1)) * SELF_BYTES, SELF_BYTES,
			i & 1 ? second : first);
		set_slot(other, 0, SELF, SELF_BYTES, i & 1 ? first : second);
	}
	munmap(first, SELF_BYTES);
	munmap(second, SELF_BYTES);
}

/* Code that the VMM writes into guest memory. */
static void code_written_by_vmm(void **state)
{
	u8 *page = map();

	memcpy(page, guest_first_bytes, 64);
	set_slot(SLOT_SELF, 0, SELF, SELF_BYTES, page);
	start_at_self();
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(join_run(w.v), 0xa1);
	assert_int_equal(machine_write(w.m, SELF, guest_second_bytes, 2), 0);
	assert_int_equal(join_run(w.v), 0xb2);
	munmap(page, SELF_BYTES);
}

/* Stores into a page, across its end, and by a string instruction; each round says what it has written. */
static void dirty_log(void **state)
{
	u8 *mem = map();
	u64 bitmap;

	set_slot(SLOT_SELF, SLOT_LOG_DIRTY, SELF, SELF_BYTES, mem);
	join_start(w.v, guest_stores);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(join_run(w.v), 1);
		bitmap = 0;
		assert_int_equal(machine_get_dirty_log(w.m, SLOT_SELF, &bitmap), 0);
		assert_int_equal(bitmap, BIT(1) | BIT(3) | BIT(5));
		assert_int_equal(machine_get_dirty_log(w.m, SLOT_SELF, &bitmap), 0);
		assert_int_equal(bitmap, 0);
	}
	set_slot(SLOT_SELF, 0, SELF, SELF_BYTES, mem);
	assert_int_equal(join_run(w.v), 1);
	assert_int_equal(machine_get_dirty_log(w.m, SLOT_SELF, &bitmap), -ENOENT);
	munmap(mem, SELF_BYTES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH_WAYS(sregs),
		BOTH_WAYS(cpuid),
		BOTH_WAYS(xcr0),
		BOTH_WAYS(debug_registers),
		BOTH_WAYS(lapic_state),
		BOTH_WAYS(events),
		BOTH_WAYS(slots_move_under_code),
		BOTH_WAYS(code_written_by_vmm),
		BOTH_WAYS(dirty_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
