/* SPDX-License-Identifier: MIT */
/*
 * A program that has nothing but an installed libkvm: a guest in real mode that prints a line through a port.
 * It is C99 and C++98 at once, because tools/check-install compiles it as both.
 */
#include <libkvm.h>
#include <stdio.h>
#include <string.h>

enum { PORT = 0x3f8, CODE = 0x1000, MEMORY = 1 << 20, HALTED = 1 };

/* mov $PORT, %dx; mov $CODE + 13, %si; mov $6, %cx; cld; rep outsb; hlt; then the text */
static const unsigned char guest[] = {0xba, 0xf8, 0x03, 0xbe, 0x0d, 0x10, 0xb9, 6, 0, 0xfc, 0xf3,
	0x6e, 0xf4, 'h', 'e', 'l', 'l', 'o', '\n'};

static int put(void *opaque, uint16_t port, uint8_t byte)
{
	return port == PORT && fputc(byte, (FILE *)opaque) == byte ? 0 : 2;
}

static int halted(void *opaque, int vcpu)
{
	(void)opaque;
	(void)vcpu;
	return HALTED;
}

static int start(kvm_context_t kvm)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	if (kvm_create_vcpu(kvm, 0) < 0 || kvm_get_sregs(kvm, 0, &sregs) < 0)
		return -1;
	sregs.cs.base = sregs.cs.selector = 0;
	memset(&regs, 0, sizeof(regs));
	regs.rip = CODE;
	regs.rflags = 2;
	return kvm_set_sregs(kvm, 0, &sregs) < 0 ? -1 : kvm_set_regs(kvm, 0, &regs);
}

int main(void)
{
	struct kvm_callbacks callbacks;
	kvm_context_t kvm;
	void *memory = NULL;
	int r;

	memset(&callbacks, 0, sizeof(callbacks));
	callbacks.outb = put;
	callbacks.halt = halted;
	kvm = kvm_init(&callbacks, stdout);
	if (!kvm)
		return 1;
	kvm_disable_irqchip_creation(kvm); /* or HLT would wait for an interrupt */
	if (kvm_create(kvm, MEMORY, &memory) < 0)
		return 1;
	memcpy((char *)memory + CODE, guest, sizeof(guest));
	r = start(kvm);
	if (r == 0)
		r = kvm_run(kvm, 0, NULL);
	printf("%s: %d\n", uv_kvm_engine(kvm), r);
	kvm_finalize(kvm);
	return r == HALTED ? 0 : 1;
}
