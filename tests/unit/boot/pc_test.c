/* SPDX-License-Identifier: MIT */
/* A whole PC on our own engine, with a guest of some instructions: its accesses reach the bus as it made them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "boot/load/startinfo.h"
#include "boot/load/vcpus.h"
#include "boot/pc.h"

#define GUEST_CODE   0x100000
#define GUEST_RESULT 0x200000
#define DEVICE       0xd0000000ull /* in the hole below 4 GiB */
#define DEVICE_SIZE  0x10
#define EVENTS       0xd0001000ull

/* Long mode, everything mapped one to one. Results go to GUEST_RESULT, eight bytes each; then it powers off. */
__asm__(".pushsection .rodata\n"
	".globl mmio_guest, mmio_guest_end\n"
	"mmio_guest:\n"
	"	mov $0xd0000000, %esi\n"
	"	mov $0x200000, %edi\n"
	"	movzbl 1(%rsi), %eax\n"
	"	mov %rax, (%rdi)\n"
	"	movzwl 2(%rsi), %eax\n"
	"	mov %rax, 8(%rdi)\n"
	"	mov 4(%rsi), %eax\n"
	"	mov %rax, 16(%rdi)\n"
	"	mov 8(%rsi), %rax\n"
	"	mov %rax, 24(%rdi)\n"
	"	movzbl 0x10(%rsi), %eax\n" /* nobody's, from here on */
	"	mov %rax, 32(%rdi)\n"
	"	mov 0x100(%rsi), %rax\n"
	"	mov %rax, 40(%rdi)\n"
	"	movl $1, 0x100(%rsi)\n"
	"	mov 0x100(%rsi), %eax\n"
	"	mov %rax, 48(%rdi)\n"
	"	movb $0x11, 1(%rsi)\n"
	"	movw $0x2222, 2(%rsi)\n"
	"	movl $0x33333333, 4(%rsi)\n"
	"	mov $0x4444444455555555, %rax\n"
	"	mov %rax, 8(%rsi)\n"
	"	movl $1, 0x1000(%rsi)\n" /* EVENTS: the last that it does where it can */
	"	mov $0x604, %edx\n"
	"	mov $0x3400, %eax\n"
	"	out %ax, %dx\n"
	"1:	jmp 1b\n"
	"mmio_guest_end:\n"
	".popsection\n");
extern const u8 mmio_guest[], mmio_guest_end[];

struct seen {
	u64 offset, value;
	unsigned size;
};

/* Answers with the offset in each byte, and remembers what was written. */
struct echo {
	struct seen writes[8];
	unsigned n;
	enum bus_event event;
};

static u64 echo_read(void *opaque, u64 offset, unsigned size)
{
	return 0x0101010101010101 * (offset + 0xa0);
}

static enum bus_event echo_write(void *opaque, u64 offset, unsigned size, u64 value)
{
	struct echo *e = opaque;

	if (e->n < ARRAY_SIZE(e->writes))
		e->writes[e->n++] = (struct seen){offset, value, size};
	return e->event;
}

static const struct bus_ops echo_ops = {.read = echo_read, .write = echo_write};

static void make_pc(struct pc *pc, struct echo *device, struct echo *events)
{
	const struct bus_range there = {
		"echo", DEVICE, DEVICE + DEVICE_SIZE - 1, &echo_ops, device};
	const struct bus_range other = {"events", EVENTS, EVENTS + 3, &echo_ops, events};
	const struct start_state start = {.mode = START_LINUX64, .entry = GUEST_CODE};
	struct failure f;

	assert_int_equal(pc_create(pc, "soft", MEMORY_MIN, &f), 0);
	assert_int_equal(bus_attach(&pc->bus, BUS_MMIO, &there, &f), 0);
	assert_int_equal(bus_attach(&pc->bus, BUS_MMIO, &other, &f), 0);
	memcpy(pc->ram.base + GUEST_CODE, mmio_guest, (size_t)(mmio_guest_end - mmio_guest));
	startinfo_long_mode(&pc->ram);
	assert_int_equal(cpus_create(pc->kvm, 1, &f), 0);
	assert_int_equal(cpu_set_start(pc->kvm, &start, &f), 0);
}

static u64 result(const struct pc *pc, unsigned n)
{
	u64 value;

	memcpy(&value, pc->ram.base + GUEST_RESULT + 8 * n, sizeof(value));
	return value;
}

static void assert_write(const struct echo *e, unsigned n, u64 offset, unsigned size, u64 value)
{
	assert_true(n < e->n);
	assert_int_equal(e->writes[n].offset, offset);
	assert_int_equal(e->writes[n].size, size);
	assert_int_equal(e->writes[n].value, value);
}

static void mmio(void **state)
{
	struct echo device = {.n = 0}, events = {.n = 0};
	struct failure f;
	struct pc pc;

	make_pc(&pc, &device, &events);
	assert_int_equal(pc_run(&pc, 1, &f), 0);
	assert_int_equal(pc.reason, END_POWER_OFF);
	assert_int_equal(result(&pc, 0), 0xa1);
	assert_int_equal(result(&pc, 1), 0xa2a2);
	assert_int_equal(result(&pc, 2), 0xa4a4a4a4);
	assert_int_equal(result(&pc, 3), 0xa8a8a8a8a8a8a8a8);
	assert_int_equal(result(&pc, 4), 0xff);
	assert_int_equal(result(&pc, 5), ~0ull);
	assert_int_equal(result(&pc, 6), 0xffffffff);
	assert_int_equal(device.n, 4);
	assert_write(&device, 0, 1, 1, 0x11);
	assert_write(&device, 1, 2, 2, 0x2222);
	assert_write(&device, 2, 4, 4, 0x33333333);
	assert_write(&device, 3, 8, 8, 0x4444444455555555);
	assert_write(&events, 0, 0, 4, 1);
	pc_destroy(&pc);
}

/* A write to a device in memory ends the guest as one to a port does. */
static void mmio_event(void **state)
{
	struct echo device = {.n = 0}, events = {.event = BUS_RESET};
	struct failure f;
	struct pc pc;

	make_pc(&pc, &device, &events);
	assert_int_equal(pc_run(&pc, 1, &f), 0);
	assert_int_equal(pc.reason, END_RESET);
	assert_int_equal(events.n, 1);
	pc_destroy(&pc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mmio),
		cmocka_unit_test(mmio_event),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
