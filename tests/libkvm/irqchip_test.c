/* SPDX-License-Identifier: MIT */
/* The chips in the kernel: lines that reach the guest, and state that the guest sees after it was set. */
#include <errno.h>
#include <string.h>

#include "vm.h"

#define IOAPIC_AT 0xfec00000
#define LAPIC_AT  0xfee00000

static void untouched(const void *buffer, size_t size)
{
	const u8 *bytes = buffer;

	for (size_t i = 0; i < size; i++)
		assert_int_equal(bytes[i], 0x5a);
}

/* Nothing there: every call says 0 and does nothing. */
static void no_chips(void **state)
{
	struct kvm_lapic_state lapic;
	struct kvm_irqchip chip;
	struct kvm_pit_state pit;
	struct vm vm;

	vm_create(&vm, MEM);
	assert_false(kvm_irqchip_in_kernel(vm.kvm));
	assert_false(kvm_pit_in_kernel(vm.kvm));
	memset(&chip, 0x5a, sizeof(chip));
	memset(&lapic, 0x5a, sizeof(lapic));
	memset(&pit, 0x5a, sizeof(pit));
	assert_int_equal(kvm_set_irq_level(vm.kvm, 4, 1), 0);
	assert_int_equal(kvm_get_irqchip(vm.kvm, &chip), 0);
	assert_int_equal(kvm_set_irqchip(vm.kvm, &chip), 0);
	assert_int_equal(kvm_get_lapic(vm.kvm, 0, &lapic), 0);
	assert_int_equal(kvm_set_lapic(vm.kvm, 0, &lapic), 0);
	assert_int_equal(kvm_get_pit(vm.kvm, &pit), 0);
	assert_int_equal(kvm_set_pit(vm.kvm, &pit), 0);
	untouched(&chip, sizeof(chip));
	untouched(&lapic, sizeof(lapic));
	untouched(&pit, sizeof(pit));
	vm_destroy(&vm);
}

/* 1 also for lines that lead nowhere. */
static void lines(void **state)
{
	struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_PIC_MASTER};
	struct vm vm;

	vm_create_with_irqchip(&vm, MEM);
	assert_true(kvm_irqchip_in_kernel(vm.kvm));
	assert_true(kvm_pit_in_kernel(vm.kvm));
	assert_int_equal(kvm_set_irq_level(vm.kvm, 4, 1), 1);
	assert_int_equal(kvm_get_irqchip(vm.kvm, &chip), 0);
	assert_int_equal(chip.chip.pic.irr & 0x10, 0x10);
	assert_int_equal(kvm_set_irq_level(vm.kvm, 4, 0), 1);
	assert_int_equal(kvm_set_irq_level(vm.kvm, 23, 1), 1);
	assert_int_equal(kvm_set_irq_level(vm.kvm, 200, 1), 1);
	assert_int_equal(kvm_set_irq_level(vm.kvm, 1 << 30, 1), 1);
	assert_int_equal(kvm_set_irq_level(vm.kvm, -1, 1), 1);
	vm_destroy(&vm);
}

/* The PIC's vectors from 0x20 on, line 4 open (its four initialisation words); vector 0x24 to 0x1100. */
GUEST(line_code, "movb $0x11, %al\noutb %al, $0x20\n"
		 "movb $0x20, %al\noutb %al, $0x21\n"
		 "movb $4, %al\noutb %al, $0x21\n"
		 "movb $1, %al\noutb %al, $0x21\n"
		 "movb $0xef, %al\noutb %al, $0x21\n"
		 "outb %al, $0x50\nsti\n1: hlt\njmp 1b\n"
		 ".fill 0x100 - (. - line_code), 1, 0x90\noutb %al, $0x51\n1: jmp 1b\n");

static int raise_line(void *opaque, uint16_t addr, uint8_t data)
{
	struct vm *vm = opaque;

	vm_note(vm, "outb:%x ", addr);
	if (addr != 0x50)
		return 9;
	assert_int_equal(kvm_set_irq_level(vm->kvm, 4, 1), 1);
	return 0;
}

static void line_reaches_guest(void **state)
{
	struct vm vm;

	vm_create_with_irqchip(&vm, MEM);
	LOAD(&vm, line_code);
	vm_vector(&vm, 0x24, CODE + 0x100);
	vm.callbacks.outb = raise_line;
	assert_int_equal(vm_run(&vm), 9);
	assert_string_equal(vm.trace, "outb:50 outb:51 ");
	vm_destroy(&vm);
}

GUEST(out_code, "outb %al, $0x51");

/* A level that stays up, in automatic end-of-interrupt mode: the next request is there when one is taken. */
static void line_without_end(void **state)
{
	struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_PIC_MASTER};
	struct vm vm;

	vm_create_with_irqchip(&vm, MEM);
	LOAD(&vm, out_code);
	assert_int_equal(kvm_get_irqchip(vm.kvm, &chip), 0);
	chip.chip.pic.auto_eoi = 1;
	chip.chip.pic.elcr = 0x20;
	chip.chip.pic.elcr_mask = 0xf8;
	chip.chip.pic.irq_base = 0x20;
	assert_int_equal(kvm_set_irqchip(vm.kvm, &chip), 0);
	assert_int_equal(kvm_set_irq_level(vm.kvm, 5, 1), 1);
	vm.ret_io = 9;
	assert_int_equal(vm_run(&vm), 9);
	vm_destroy(&vm);
}

static void get_chip(struct vm *vm, struct kvm_irqchip *chip, u32 id)
{
	memset(chip, 0, sizeof(*chip));
	chip->chip_id = id;
	assert_int_equal(kvm_get_irqchip(vm->kvm, chip), 0);
	assert_int_equal(chip->chip_id, id);
}

/* Runs code that ends by reporting what it read, with DS at `ds`. */
static void assert_guest_reads(
	struct vm *vm, const u8 *code, size_t size, u64 ds, const char *expected)
{
	struct kvm_sregs sregs;

	vm_load(vm, code, size);
	assert_int_equal(kvm_get_sregs(vm->kvm, 0, &sregs), 0);
	sregs.ds.base = ds;
	assert_int_equal(kvm_set_sregs(vm->kvm, 0, &sregs), 0);
	vm_forget(vm);
	vm->ret_io = 9;
	assert_int_equal(vm_run(vm), 9);
	assert_string_equal(vm->trace, expected);
}
#define GUEST_READS(vm, name, ds, expected)                                                        \
	assert_guest_reads(vm, name, (size_t)(name##_end - name), ds, expected)

/*
 * Pin 5 of the IOAPIC (ES) level-triggered with vector 0x30, the local APIC (DS) enabled. The handler at 0x1100 reports,
 * and ends the interrupt; the first report leaves the line up, so it comes again.
 */
GUEST(level_code, "movl $0x1ff, 0xf0\n"
		  "movl $0x1b, %es:0\nmovl $0, %es:0x10\n"
		  "movl $0x1a, %es:0\nmovl $0x8030, %es:0x10\n"
		  "outb %al, $0x50\nsti\n1: hlt\njmp 1b\n"
		  ".fill 0x100 - (. - level_code), 1, 0x90\n"
		  "outb %al, $0x51\nmovl $0, 0xb0\niretw\n");

static int on_level(void *opaque, uint16_t addr, uint8_t data)
{
	struct vm *vm = opaque;

	vm_note(vm, "outb:%x ", addr);
	if (addr == 0x50)
		assert_int_equal(kvm_set_irq_level(vm->kvm, 5, 1), 1);
	if (addr == 0x50 || ++vm->calls == 1)
		return 0;
	assert_int_equal(kvm_set_irq_level(vm->kvm, 5, 0), 1);
	return 9;
}

static void level_until_lowered(void **state)
{
	struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_PIC_MASTER};
	struct kvm_sregs sregs;
	struct vm vm;

	vm_create_with_irqchip(&vm, MEM);
	LOAD(&vm, level_code);
	assert_int_equal(kvm_get_sregs(vm.kvm, 0, &sregs), 0);
	sregs.ds.base = LAPIC_AT;
	sregs.es.base = IOAPIC_AT;
	assert_int_equal(kvm_set_sregs(vm.kvm, 0, &sregs), 0);
	vm_vector(&vm, 0x30, CODE + 0x100);
	/* The PIC has the line as well, and nobody has programmed it. */
	assert_int_equal(kvm_get_irqchip(vm.kvm, &chip), 0);
	chip.chip.pic.imr = 0xff;
	assert_int_equal(kvm_set_irqchip(vm.kvm, &chip), 0);
	vm.callbacks.outb = on_level;
	assert_int_equal(vm_run(&vm), 9);
	assert_string_equal(vm.trace, "outb:50 outb:51 outb:51 ");
	chip.chip_id = KVM_IRQCHIP_IOAPIC;
	assert_int_equal(kvm_get_irqchip(vm.kvm, &chip), 0);
	assert_int_equal(chip.chip.ioapic.redirtbl[5].bits & 0xffff, 0xc030); /* not ended yet */
	vm_destroy(&vm);
}

GUEST(imr_code, "inb $0x21, %al\nmovb %al, %ah\ninb $0xa1, %al\noutw %ax, $0x51");

static void pic_state(void **state)
{
	struct kvm_irqchip master, slave, back;
	struct vm vm;

	vm_create_with_irqchip(&vm, MEM);
	get_chip(&vm, &master, KVM_IRQCHIP_PIC_MASTER);
	get_chip(&vm, &slave, KVM_IRQCHIP_PIC_SLAVE);
	master.chip.pic.imr = 0xa5;
	slave.chip.pic.imr = 0x3c;
	assert_int_equal(kvm_set_irqchip(vm.kvm, &master), 0);
	assert_int_equal(kvm_set_irqchip(vm.kvm, &slave), 0);
	GUEST_READS(&vm, imr_code, 0, "outw:51=a53c ");
	get_chip(&vm, &back, KVM_IRQCHIP_PIC_MASTER);
	assert_memory_equal(&back.chip.pic, &master.chip.pic, sizeof(back.chip.pic));
	vm_destroy(&vm);
}

/* Register 0x16 is the lower half of entry 3 (82093AA, 3.2.4). */
GUEST(ioapic_code, "movl $0x16, 0\nmovl 0x10, %eax\noutl %eax, $0x51");

static void ioapic_state(void **state)
{
	struct kvm_irqchip chip, back;
	struct vm vm;

	vm_create_with_irqchip(&vm, MEM);
	get_chip(&vm, &chip, KVM_IRQCHIP_IOAPIC);
	chip.chip.ioapic.redirtbl[3].bits = 0x0100000000010033ull;
	assert_int_equal(kvm_set_irqchip(vm.kvm, &chip), 0);
	assert_int_equal(kvm_create_vcpu(vm.kvm, 0), 0);
	GUEST_READS(&vm, ioapic_code, IOAPIC_AT, "outl:51=10033 ");
	get_chip(&vm, &back, KVM_IRQCHIP_IOAPIC);
	assert_true(back.chip.ioapic.redirtbl[3].bits == 0x0100000000010033ull);
	vm_destroy(&vm);
}

GUEST(lapic_code, "movl 0x80, %eax\nmovl $0x70, 0x80\noutl %eax, $0x51");

/* The TPR, 0x80. */
static void lapic_state(void **state)
{
	struct kvm_lapic_state lapic;
	struct vm vm;

	vm_create_with_irqchip(&vm, MEM);
	assert_int_equal(kvm_get_lapic(vm.kvm, 0, &lapic), 0);
	lapic.regs[0x80] = 0x30;
	assert_int_equal(kvm_set_lapic(vm.kvm, 0, &lapic), 0);
	GUEST_READS(&vm, lapic_code, LAPIC_AT, "outl:51=30 ");
	assert_int_equal(kvm_get_lapic(vm.kvm, 0, &lapic), 0);
	assert_int_equal(lapic.regs[0x80], 0x70);
	assert_int_equal(kvm_get_cr8(vm.kvm, 0), 7);
	assert_int_equal(kvm_get_apic_base(vm.kvm, 0), LAPIC_AT | 0x900);
	vm_destroy(&vm);
}

/* Counter 2 is programmed; then the read-back command shows the status of counter 0 (8254, 3.6). */
GUEST(pit_code,
	"movb $0xb4, %al\noutb %al, $0x43\n"
	"movb $0x34, %al\noutb %al, $0x42\nmovb $0x12, %al\noutb %al, $0x42\n"
	"movb $0xe2, %al\noutb %al, $0x43\ninb $0x40, %al\nandb $0x3f, %al\noutb %al, $0x51");

static void pit_state(void **state)
{
	struct kvm_pit_state pit;
	struct vm vm;

	vm_create_with_irqchip(&vm, MEM);
	assert_int_equal(kvm_get_pit(vm.kvm, &pit), 0);
	pit.channels[0].count = 0x4321;
	pit.channels[0].mode = 2;
	pit.channels[0].rw_mode = 3;
	assert_int_equal(kvm_set_pit(vm.kvm, &pit), 0);
	GUEST_READS(&vm, pit_code, 0, "outb:51=34 ");
	assert_int_equal(kvm_get_pit(vm.kvm, &pit), 0);
	assert_int_equal(pit.channels[0].count, 0x4321);
	assert_int_equal(pit.channels[0].mode, 2);
	assert_int_equal(pit.channels[2].count, 0x1234);
	vm_destroy(&vm);
}

static void chips_refused(void **state)
{
	struct kvm_irqchip chip = {.chip_id = 3};
	struct kvm_lapic_state lapic = {{0}};
	struct vm vm;

	vm_create_with_irqchip(&vm, MEM);
	FAILS(EINVAL, kvm_get_irqchip(vm.kvm, &chip));
	FAILS(EINVAL, kvm_set_irqchip(vm.kvm, &chip));
	FAILS(EINVAL, kvm_get_lapic(vm.kvm, 1, &lapic));
	FAILS(EINVAL, kvm_set_lapic(vm.kvm, -1, &lapic));
	FAILS(EFAULT, kvm_get_irqchip(vm.kvm, NULL));
	FAILS(EFAULT, kvm_set_irqchip(vm.kvm, NULL));
	FAILS(EFAULT, kvm_get_lapic(vm.kvm, 0, NULL));
	FAILS(EFAULT, kvm_set_lapic(vm.kvm, 0, NULL));
	vm_destroy(&vm);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(no_chips),
		cmocka_unit_test(lines),
		cmocka_unit_test(line_reaches_guest),
		cmocka_unit_test(line_without_end),
		cmocka_unit_test(level_until_lowered),
		cmocka_unit_test(pic_state),
		cmocka_unit_test(ioapic_state),
		cmocka_unit_test(lapic_state),
		cmocka_unit_test(pit_state),
		cmocka_unit_test(chips_refused),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
