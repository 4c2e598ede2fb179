/* SPDX-License-Identifier: MIT */
/*
 * ipi: two vCPUs that interrupt each other, each in a thread of its own. vCPU 0 starts vCPU 1 with INIT and SIPI, as
 * every operating system does. Then they send interrupts back and forth through their local APICs. The APICs are in
 * x2APIC mode, where their registers are MSRs, so 16-bit code can use them.
 *
 *     cc ipi.c -o ipi -pthread $(pkg-config --cflags --libs libkvm) && ./ipi
 *
 * prints
 *
 *     vCPU 0 received 1000 interrupts
 *     vCPU 1 received 1000 interrupts
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libkvm.h>

#define MEMORY   0x10000ul
#define CODE     0x1000 /* a page: its number is the vector of the SIPI */
#define COUNTERS 0x500  /* where the guest counts: a 32-bit number for each vCPU */

/* Both vCPUs run all of this. ebp: my number; ebx: how many interrupts I have answered. */
__asm__(".pushsection .rodata\n"
	".code16\n"
	"guest:\n"
	"	movl $0x1b, %ecx\n" /* IA32_APIC_BASE */
	"	rdmsr\n"
	"	orl $0xc00, %eax\n" /* on, in x2APIC mode */
	"	wrmsr\n"
	"	movl $0x80f, %ecx\n" /* spurious interrupt vector: 0xff, and the software's switch on */
	"	movl $0x1ff, %eax\n"
	"	xorl %edx, %edx\n"
	"	wrmsr\n"
	"	movl $0x802, %ecx\n" /* APIC ID */
	"	rdmsr\n"
	"	movl %eax, %ebp\n"
	"	movw %ax, %sp\n" /* stacks end at 0x4000 and 0x5000 */
	"	shlw $12, %sp\n"
	"	addw $0x4000, %sp\n"
	"	xorl %ebx, %ebx\n"
	"	movw $.Lreceive - guest, 0x40 * 4\n" /* the interrupt's vector is 0x40 */
	"	movw %cs, 0x40 * 4 + 2\n"
	"	testl %ebp, %ebp\n"
	"	jnz .Lserve\n"
	"	movl $0x4500, %eax\n" /* INIT */
	"	call .Lsend\n"
	"	movl $0x4601, %eax\n" /* SIPI: begin in page 1 */
	"	call .Lsend\n"
	".Lwait:	cli\n"
	"	cmpl %ebx, 0x500(, %ebp, 4)\n"
	"	jne .Lanswer\n"
	"	sti\n" /* takes effect behind the next instruction: nothing can slip in between */
	"	hlt\n"
	"	jmp .Lwait\n"
	".Lanswer: incl %ebx\n"
	"	cmpl $1000, %ebx\n"
	"	jb .Lserve\n"
	"	testl %ebp, %ebp\n"
	"	jnz .Ldone\n" /* vCPU 1 served first, so the last answer is from vCPU 0 */
	"	movl $0x4040, %eax\n"
	"	call .Lsend\n"
	".Ldone:	outb %al, $0xf4\n"
	".Lserve:	movl $0x4040, %eax\n" /* fixed, vector 0x40 */
	"	call .Lsend\n"
	"	jmp .Lwait\n"
	".Lsend:	movl $0x830, %ecx\n" /* interrupt command: what is in eax, to the other vCPU */
	"	movl %ebp, %edx\n"
	"	xorl $1, %edx\n"
	"	wrmsr\n"
	"	ret\n"
	".Lreceive: pushal\n"
	"	incl 0x500(, %ebp, 4)\n"
	"	movl $0x80b, %ecx\n" /* end of interrupt */
	"	xorl %eax, %eax\n"
	"	xorl %edx, %edx\n"
	"	wrmsr\n"
	"	popal\n"
	"	iretw\n"
	"guest_end:\n"
	".code64\n"
	".popsection\n");
extern const unsigned char guest[], guest_end[];

struct vcpu {
	kvm_context_t kvm;
	int number;
	pthread_t thread;
};

/* errno says why: every call of the library sets it. */
static void check(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

static int done(void *opaque, uint16_t port, uint8_t byte)
{
	(void)opaque, (void)port, (void)byte;
	return 1; /* kvm_run returns with this, in the thread of the vCPU that wrote */
}

static void *run(void *arg)
{
	const struct vcpu *vcpu = arg;

	check(kvm_run(vcpu->kvm, vcpu->number, NULL) == 1, "kvm_run");
	return NULL;
}

/* A vCPU without CPUID leaves has no x2APIC: give it all that the engine can do. */
static void give_cpuid(kvm_context_t kvm, int vcpu)
{
	struct kvm_cpuid2 *all = uv_kvm_supported_cpuid(kvm);

	check(all != NULL, "uv_kvm_supported_cpuid");
	check(uv_kvm_setup_cpuid2(kvm, vcpu, (int)all->nent, all->entries) == 0,
		"uv_kvm_setup_cpuid2");
	free(all);
}

static void point_at_code(kvm_context_t kvm, int vcpu)
{
	struct kvm_regs regs = {.rip = 0, .rflags = 2};
	struct kvm_sregs sregs;

	check(kvm_get_sregs(kvm, vcpu, &sregs) == 0, "kvm_get_sregs");
	sregs.cs.selector = CODE >> 4;
	sregs.cs.base = CODE;
	check(kvm_set_sregs(kvm, vcpu, &sregs) == 0, "kvm_set_sregs");
	check(kvm_set_regs(kvm, vcpu, &regs) == 0, "kvm_set_regs");
}

int main(void)
{
	struct kvm_callbacks callbacks = {.outb = done};
	kvm_context_t kvm = kvm_init(&callbacks, NULL);
	struct vcpu vcpus[2];
	uint32_t counters[2];
	void *memory;

	check(kvm != NULL, "kvm_init");
	check(kvm_create(kvm, MEMORY, &memory) == 0, "kvm_create");
	memcpy((char *)memory + CODE, guest, (size_t)(guest_end - guest));
	for (int i = 0; i < 2; i++) {
		check(kvm_create_vcpu(kvm, i) == 0, "kvm_create_vcpu");
		give_cpuid(kvm, i);
	}
	point_at_code(kvm, 0); /* vCPU 1 waits for its SIPI, which says where to begin */

	for (int i = 0; i < 2; i++) {
		vcpus[i].kvm = kvm;
		vcpus[i].number = i;
		check(pthread_create(&vcpus[i].thread, NULL, run, &vcpus[i]) == 0,
			"pthread_create");
	}
	for (int i = 0; i < 2; i++)
		check(pthread_join(vcpus[i].thread, NULL) == 0, "pthread_join");
	memcpy(counters, (char *)memory + COUNTERS, sizeof(counters));
	for (int i = 0; i < 2; i++)
		printf("vCPU %d received %u interrupts\n", i, counters[i]);
	kvm_finalize(kvm);
	return 0;
}
