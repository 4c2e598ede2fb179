/* SPDX-License-Identifier: MIT */
/*
 * How long an interrupt takes: from write() to an irqfd in one thread to the first instruction of the guest's handler that the
 * VMM sees, an OUT, in the other. The guest halts in between: shortly, as while it waits for a disk, or for long.
 * Run it under `uservisor exec`, or where there is a kernel's KVM. Lines: "= short-median US", "= short-p99 US", and of "long".
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"
#include "times.h"

#define ROUNDS_MAX 2001
#define MEMORY     0x10000
#define GSI        10
#define VECTOR     0x40
#define HANDLER    0x3000
#define STACK      0x8000
#define APIC       0xfee00000u
#define PORT       0x11

/* In real mode, the local APIC in ds. */
static const unsigned char begin[] = {
	0x66, 0xc7, 0x06, 0xf0, 0x00, 0xff, 0x01, 0, 0, /* the APIC on */
	0xe6, 0x10,                                     /* out: ready */
	0xfb, 0xf4, 0xeb, 0xfd,                         /* sti; hlt; jmp to the hlt */
};
static const unsigned char handler[] = {
	0xe6, PORT, 0x66, 0xc7, 0x06, 0xb0, 0x00, 0, 0, 0, 0, 0xcf, /* out; EOI; iret */
};

static struct kvm_run *run;
static int vcpu, irqfd, done;
static double came[ROUNDS_MAX], took[ROUNDS_MAX];

static void check(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "irqfd: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void enter(int vm)
{
	struct kvm_regs regs = {.rflags = 2, .rsp = STACK};
	struct kvm_sregs sregs;

	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	check(vcpu >= 0 && !ioctl(vcpu, KVM_GET_SREGS, &sregs), "vCPU");
	sregs.cs.base = sregs.cs.selector = 0;
	sregs.ds.base = APIC;
	check(!ioctl(vcpu, KVM_SET_SREGS, &sregs) && !ioctl(vcpu, KVM_SET_REGS, &regs), "vCPU");
	run = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	check(run != MAP_FAILED, "vCPU");
}

static void route(int vm)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry;
	} r = {.head.nr = 1,
		.entry = {.gsi = GSI,
			.type = KVM_IRQ_ROUTING_MSI,
			.u.msi = {.address_lo = APIC, .data = VECTOR}}};
	struct kvm_irqfd f = {.gsi = GSI};

	irqfd = eventfd(0, EFD_NONBLOCK);
	f.fd = (unsigned)irqfd;
	check(!ioctl(vm, KVM_SET_GSI_ROUTING, &r) && !ioctl(vm, KVM_IRQFD, &f), "irqfd");
}

static void make_guest(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm;
	struct kvm_userspace_memory_region r = {.memory_size = MEMORY};
	char *ram = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	check(kvm >= 0 && ram != MAP_FAILED, "/dev/kvm");
	memcpy(ram, begin, sizeof(begin));
	memcpy(ram + HANDLER, handler, sizeof(handler));
	memcpy(ram + 4 * VECTOR, &(uint32_t){HANDLER}, 4);
	r.userspace_addr = (unsigned long)ram;
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	check(vm >= 0 && !ioctl(vm, KVM_CREATE_IRQCHIP, 0), "machine");
	check(!ioctl(vm, KVM_SET_USER_MEMORY_REGION, &r), "memory");
	enter(vm);
	route(vm);
	/* An APIC that is off takes nothing. */
	check(!ioctl(vcpu, KVM_RUN, 0) && run->exit_reason == KVM_EXIT_IO, "KVM_RUN");
}

static void *take(void *rounds)
{
	for (unsigned i = 0; i < *(unsigned *)rounds; i++) {
		check(!ioctl(vcpu, KVM_RUN, 0) && run->exit_reason == KVM_EXIT_IO, "KVM_RUN");
		came[i] = now_ns();
		check(write(done, &(uint64_t){1}, 8) == 8, "write");
	}
	return NULL;
}

/* As a device's thread does: it sleeps, sends, and sleeps. */
static void measure(const char *name, unsigned rounds, unsigned pause_us)
{
	uint64_t count;
	pthread_t id;

	check(!pthread_create(&id, NULL, take, &rounds), "thread");
	for (unsigned i = 0; i < rounds; i++) {
		double sent;

		usleep(pause_us);
		sent = now_ns();
		check(write(irqfd, &(uint64_t){1}, 8) == 8, "write");
		check(read(done, &count, 8) == 8, "read");
		took[i] = (came[i] - sent) / 1e3;
	}
	pthread_join(id, NULL);
	print_times(name, took, rounds);
}

int main(void)
{
	done = eventfd(0, 0);
	check(done >= 0, "eventfd");
	make_guest();
	measure("short-", ROUNDS_MAX, 50);
	measure("long-", 201, 5000);
	return 0;
}
