/* SPDX-License-Identifier: MIT */
/*
 * debugger: steps through a guest that computes 4!, and then lets the guest run into a breakpoint. The guest cannot
 * notice this: its memory, flags and debug registers do not change.
 *
 *     cc debugger.c -o debugger $(pkg-config --cflags --libs libkvm) && ./debugger
 *
 * prints
 *
 *     step: rip 0x3 ax 0
 *     step: rip 0x6 ax 1
 *     step: rip 0x8 ax 4
 *     step: rip 0x9 ax 4
 *     step: rip 0x6 ax 4
 *     step: rip 0x8 ax 12
 *     breakpoint: rip 0xb ax 24
 *     halted: rip 0xc ax 24
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libkvm.h>

#define MEMORY     0x10000ul
#define CODE       0x1000
#define STEPS      6
#define BREAKPOINT 0xb /* the guest's rip at its HLT */
#define DR6_B0     1   /* the breakpoint in DR0 was met */
#define DR7_L0     1   /* DR0 is the address of an instruction to stop in front of */

static const unsigned char guest[] = {
	0xb9, 0x04, 0x00, /* 00        movw $4, %cx  */
	0xb8, 0x01, 0x00, /* 03        movw $1, %ax  */
	0xf7, 0xe1,       /* 06  next: mulw %cx      */
	0x49,             /* 08        decw %cx      */
	0x75, 0xfb,       /* 09        jnz next      */
	0xf4,             /* 0b        hlt           */
};

/* The values with which the callbacks end kvm_run. */
enum { HALTED = 1, STEPPED, HIT };

/* errno says why: every call of the library sets it. */
static void check(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

/* Exception 1, of a breakpoint or at the end of a step. */
static int debug(void *opaque, void *env, struct kvm_debug_exit_arch *info)
{
	(void)opaque, (void)env;
	return info->dr6 & DR6_B0 ? HIT : STEPPED;
}

static int halted(void *opaque, int vcpu)
{
	(void)opaque, (void)vcpu;
	return HALTED;
}

static void show(kvm_context_t kvm, const char *what)
{
	struct kvm_regs regs;

	check(kvm_get_regs(kvm, 0, &regs) == 0, "kvm_get_regs");
	printf("%s: rip %#llx ax %llu\n", what, regs.rip, regs.rax & 0xffff);
}

static void run_until(kvm_context_t kvm, int event, const char *what)
{
	int r = kvm_run(kvm, 0, NULL);

	check(r >= 0, "kvm_run");
	if (r != event) {
		fprintf(stderr, "kvm_run: %d came instead of %s\n", r, what);
		exit(1);
	}
	show(kvm, what);
}

static void set_debug(kvm_context_t kvm, struct kvm_guest_debug debug)
{
	check(kvm_set_guest_debug(kvm, 0, &debug) == 0, "kvm_set_guest_debug");
}

static void step(kvm_context_t kvm)
{
	set_debug(kvm,
		(struct kvm_guest_debug){.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP});
	run_until(kvm, STEPPED, "step");
}

/* The processor compares linear addresses: the segment's base is in them. */
static void run_to(kvm_context_t kvm, unsigned long address)
{
	set_debug(kvm,
		(struct kvm_guest_debug){.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP,
			.arch.debugreg = {[0] = address, [7] = DR7_L0}});
	run_until(kvm, HIT, "breakpoint");
}

/* Lets the guest run without breakpoints or steps. */
static void run_on(kvm_context_t kvm)
{
	set_debug(kvm, (struct kvm_guest_debug){.control = 0});
	run_until(kvm, HALTED, "halted");
}

int main(void)
{
	struct kvm_callbacks callbacks = {.debug = debug, .halt = halted};
	kvm_context_t kvm = kvm_init(&callbacks, NULL);
	struct kvm_regs regs = {.rip = 0, .rflags = 2};
	struct kvm_sregs sregs;
	void *memory;

	check(kvm != NULL, "kvm_init");
	kvm_disable_irqchip_creation(kvm); /* without interrupts, HLT comes to us */
	check(kvm_create(kvm, MEMORY, &memory) == 0, "kvm_create");
	memcpy((char *)memory + CODE, guest, sizeof(guest));
	check(kvm_get_sregs(kvm, 0, &sregs) == 0, "kvm_get_sregs");
	sregs.cs.selector = CODE >> 4;
	sregs.cs.base = CODE;
	check(kvm_set_sregs(kvm, 0, &sregs) == 0, "kvm_set_sregs");
	check(kvm_set_regs(kvm, 0, &regs) == 0, "kvm_set_regs");

	for (int i = 0; i < STEPS; i++)
		step(kvm);
	run_to(kvm, CODE + BREAKPOINT);
	run_on(kvm);
	kvm_finalize(kvm);
	return 0;
}
