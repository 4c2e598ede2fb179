/* SPDX-License-Identifier: MIT */
/*
 * A program as the header of kvm-82's libkvm invites to write it: kvm_create gives memory and the first vCPU, and
 * everything goes on from there. Written in the C and for the interface of 2008.
 *
 * prints
 *
 *     rip fff0 before
 *     port f1: 'o'
 *     port f1: 'k'
 *     halt: vcpu 0
 *     kvm_run: 1
 *     ax 1234 after
 */
#include <stdio.h>
#include <string.h>

#include <libkvm.h>

static int simple_outb(void *opaque, uint16_t addr, uint8_t data)
{
	printf("port %x: '%c'\n", addr, data);
	return 0;
}

static int simple_halt(void *opaque, int vcpu)
{
	printf("halt: vcpu %d\n", vcpu);
	return 1;
}

static struct kvm_callbacks simple_callbacks = {
	.outb = simple_outb,
	.halt = simple_halt,
};

static unsigned char code[] = {
	0xb0, 'o', 0xe6, 0xf1, /* mov $'o', %al; out %al, $0xf1 */
	0xb0, 'k', 0xe6, 0xf1, /* mov $'k', %al; out %al, $0xf1 */
	0xb8, 0x34, 0x12,      /* mov $0x1234, %ax */
	0xf4                   /* hlt */
};

int main(void)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	kvm_context_t kvm;
	void *mem;
	int r;

	kvm = kvm_init(&simple_callbacks, NULL);
	if (!kvm) {
		fprintf(stderr, "kvm_init failed\n");
		return 1;
	}
	kvm_disable_irqchip_creation(kvm);
	kvm_disable_pit_creation(kvm);
	if (kvm_create(kvm, 2 * 1024 * 1024, &mem) < 0) {
		kvm_finalize(kvm);
		fprintf(stderr, "kvm_create failed\n");
		return 1;
	}
	memcpy((char *)mem + 0xc0100, code, sizeof(code));
	if (kvm_get_regs(kvm, 0, &regs) || kvm_get_sregs(kvm, 0, &sregs))
		return 1;
	printf("rip %llx before\n", (unsigned long long)regs.rip);
	regs.rip = 0x100;
	sregs.cs.selector = 0xc000;
	sregs.cs.base = 0xc0000;
	if (kvm_set_sregs(kvm, 0, &sregs) || kvm_set_regs(kvm, 0, &regs))
		return 1;
	r = kvm_run(kvm, 0, NULL);
	printf("kvm_run: %d\n", r);
	if (kvm_get_regs(kvm, 0, &regs))
		return 1;
	printf("ax %llx after\n", (unsigned long long)regs.rax & 0xffff);
	kvm_finalize(kvm);
	return 0;
}
