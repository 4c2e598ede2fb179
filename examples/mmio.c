/* SPDX-License-Identifier: MIT */
/*
 * mmio: a device with registers in memory and an interrupt line. It multiplies: the guest writes two numbers, the
 * device raises its line, and the guest's interrupt handler reads the product and acknowledges.
 *
 *     cc mmio.c -o mmio $(pkg-config --cflags --libs libkvm) && ./mmio
 *
 * prints
 *
 *     device: 2 * 3, line up
 *     device: line down
 *     guest: 6
 *     device: 3 * 4, line up
 *     device: line down
 *     guest: 12
 *     device: 4 * 5, line up
 *     device: line down
 *     guest: 20
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libkvm.h>

#define MEMORY 0x10000ul
#define CODE   0x1000
#define DEVICE 0xd0000 /* an address without memory */
#define LINE   5       /* its input of the interrupt controllers, which come with kvm_create */
#define REPORT 0xf1    /* a port: the guest tells a number */
#define EXIT   0xf4    /* another: the guest has finished */

enum { FIRST = 0, SECOND = 4, PRODUCT = 8, ACKNOWLEDGE = 12 };

__asm__(".pushsection .rodata\n"
	".code16\n"
	"guest:\n"
	"	movb $0x11, %al\n" /* the first 8259: vectors from 0x20, only input 5 let through */
	"	outb %al, $0x20\n"
	"	movb $0x20, %al\n"
	"	outb %al, $0x21\n"
	"	movb $0x04, %al\n"
	"	outb %al, $0x21\n"
	"	movb $0x01, %al\n"
	"	outb %al, $0x21\n"
	"	movb $0xdf, %al\n"
	"	outb %al, $0x21\n"
	"	movw $.Lhandler - guest, 0x25 * 4\n"
	"	movw %cs, 0x25 * 4 + 2\n"
	"	movw $0xd000, %ax\n"
	"	movw %ax, %es\n"
	"	movl $2, %ebx\n"
	".Lnext:	movl %ebx, %es:0\n"
	"	incl %ebx\n"
	"	movl %ebx, %es:4\n"
	"	xorl %eax, %eax\n"
	"	sti\n"
	".Lwait:	hlt\n" /* the handler leaves the product in eax; nothing else interrupts */
	"	testl %eax, %eax\n"
	"	jz .Lwait\n"
	"	cli\n"
	"	outl %eax, $0xf1\n"
	"	cmpl $5, %ebx\n"
	"	jb .Lnext\n"
	"	outb %al, $0xf4\n"
	".Lhandler: movl %es:8, %edx\n"
	"	movl %edx, %es:12\n"
	"	movb $0x20, %al\n" /* end of interrupt */
	"	outb %al, $0x20\n"
	"	movl %edx, %eax\n"
	"	iretw\n"
	"guest_end:\n"
	".code64\n"
	".popsection\n");
extern const unsigned char guest[], guest_end[];

struct device {
	kvm_context_t kvm;
	uint32_t first, product;
};

/* errno says why: every call of the library sets it. */
static void check(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

static int device_read(void *opaque, uint64_t addr, uint8_t *data, int len)
{
	struct device *device = opaque;

	if (addr == DEVICE + PRODUCT && len == 4)
		memcpy(data, &device->product, 4);
	return 0;
}

static int device_write(void *opaque, uint64_t addr, uint8_t *data, int len)
{
	struct device *device = opaque;
	uint32_t value;

	if (addr < DEVICE || len != 4)
		return 0;
	memcpy(&value, data, 4);
	switch (addr - DEVICE) {
	case FIRST: device->first = value; break;
	case SECOND:
		device->product = device->first * value;
		printf("device: %u * %u, line up\n", device->first, value);
		kvm_set_irq_level(device->kvm, LINE, 1);
		break;
	case ACKNOWLEDGE:
		puts("device: line down");
		kvm_set_irq_level(device->kvm, LINE, 0);
		break;
	}
	return 0;
}

static int report(void *opaque, uint16_t port, uint32_t value)
{
	(void)opaque;
	if (port == REPORT)
		printf("guest: %u\n", value);
	return 0;
}

static int finished(void *opaque, uint16_t port, uint8_t value)
{
	(void)opaque, (void)value;
	return port == EXIT; /* the interrupt controllers' ports never come here */
}

int main(void)
{
	struct kvm_callbacks callbacks = {.mmio_read = device_read,
		.mmio_write = device_write,
		.outl = report,
		.outb = finished};
	struct device device = {.kvm = NULL};
	struct kvm_regs regs = {.rip = 0, .rsp = CODE, .rflags = 2};
	struct kvm_sregs sregs;
	void *memory;
	kvm_context_t kvm = device.kvm = kvm_init(&callbacks, &device);

	check(kvm != NULL, "kvm_init");
	check(kvm_create(kvm, MEMORY, &memory) == 0, "kvm_create");
	check(kvm_irqchip_in_kernel(kvm), "interrupt controllers");
	memcpy((char *)memory + CODE, guest, (size_t)(guest_end - guest));

	check(kvm_get_sregs(kvm, 0, &sregs) == 0, "kvm_get_sregs");
	sregs.cs.selector = CODE >> 4;
	sregs.cs.base = CODE;
	check(kvm_set_sregs(kvm, 0, &sregs) == 0, "kvm_set_sregs");
	check(kvm_set_regs(kvm, 0, &regs) == 0, "kvm_set_regs");

	check(kvm_run(kvm, 0, NULL) == 1, "kvm_run");
	kvm_finalize(kvm);
	return 0;
}
