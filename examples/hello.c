/* SPDX-License-Identifier: MIT */
/*
 * hello: the smallest complete virtual machine. The guest runs in 16-bit mode, as a processor does at its start, and
 * writes a text to a port, byte by byte. The host prints the bytes.
 *
 *     cc hello.c -o hello $(pkg-config --cflags --libs libkvm) && ./hello
 *
 * prints
 *
 *     Hello from the guest!
 *     vCPU 0 halted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libkvm.h>

#define MEMORY  0x10000ul
#define CODE    0x1000 /* where the guest's code begins, a multiple of 16 */
#define CONSOLE 0xf1   /* the port; any would do */

/* Assembled with this file; the host copies it into the guest's memory. */
__asm__(".pushsection .rodata\n"
	".code16\n"
	"guest:\n"
	"	cld\n"
	"	movw $.Ltext - guest, %si\n"
	".Lnext:	lodsb\n"
	"	testb %al, %al\n"
	"	jz .Ldone\n"
	"	outb %al, $0xf1\n"
	"	jmp .Lnext\n"
	".Ldone:	hlt\n"
	".Ltext:	.asciz \"Hello from the guest!\\n\"\n"
	"guest_end:\n"
	".code64\n"
	".popsection\n");
extern const unsigned char guest[], guest_end[];

/* errno says why: every call of the library sets it. */
static void check(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

static int console(void *opaque, uint16_t port, uint8_t byte)
{
	if (port == CONSOLE)
		fputc(byte, opaque);
	return 0; /* the guest goes on */
}

static int halted(void *opaque, int vcpu)
{
	fprintf(opaque, "vCPU %d halted.\n", vcpu);
	return 1; /* kvm_run returns with this */
}

int main(void)
{
	struct kvm_callbacks callbacks = {.outb = console, .halt = halted};
	kvm_context_t kvm = kvm_init(&callbacks, stdout);
	struct kvm_regs regs = {.rip = 0, .rflags = 2}; /* bit 1 of rflags is always set */
	struct kvm_sregs sregs;
	void *memory;

	check(kvm != NULL, "kvm_init");
	kvm_disable_irqchip_creation(kvm); /* without interrupts, HLT comes to us */
	check(kvm_create(kvm, MEMORY, &memory) == 0, "kvm_create");
	memcpy((char *)memory + CODE, guest, (size_t)(guest_end - guest));

	check(kvm_get_sregs(kvm, 0, &sregs) == 0, "kvm_get_sregs");
	sregs.cs.selector = sregs.ds.selector = CODE >> 4;
	sregs.cs.base = sregs.ds.base = CODE;
	check(kvm_set_sregs(kvm, 0, &sregs) == 0, "kvm_set_sregs");
	check(kvm_set_regs(kvm, 0, &regs) == 0, "kvm_set_regs");

	check(kvm_run(kvm, 0, NULL) == 1, "kvm_run");
	kvm_finalize(kvm);
	return 0;
}
