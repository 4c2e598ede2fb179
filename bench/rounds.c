/* SPDX-License-Identifier: MIT */
/*
 * rounds: what one exit of the guest costs by system calls alone, as unmodified programs make them: KVM_RUN on /dev/kvm, and
 * MSHV_RUN_VP on /dev/mshv with the register page, by which the program goes past the instruction. The guest is a loop of two
 * instructions in 16-bit mode. Prints "= NAME NANOSECONDS", the best of several samples.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#include "uapi/mshv.h"
#include "x86/hyperv_root.h"

#define CODE    0x1000
#define BATCH   50000
#define SAMPLES 9

static const struct {
	const char *name;
	unsigned char code[8];
} loops[] = {
	{"out", {0xe6, 0x10, 0xeb, 0xfc}},              /* out %al, $0x10 */
	{"mmio-write", {0xa2, 0x00, 0x80, 0xeb, 0xfb}}, /* mov %al, 0x8000: there is no memory */
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void unexpected(unsigned what)
{
	fprintf(stderr, "rounds: unexpected exit %x\n", what);
	exit(1);
}

static int request(int fd, unsigned long number, const void *argument, const char *what)
{
	int r = ioctl(fd, number, argument);

	if (r < 0)
		die(what);
	return r;
}

static void *pages(int fd, size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* ---- /dev/kvm ---- */

struct kvm {
	int vcpu;
	struct kvm_run *run;
	unsigned char *memory;
};

static void kvm_make(struct kvm *k)
{
	int dev = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm;
	struct kvm_userspace_memory_region region = {.guest_phys_addr = CODE, .memory_size = 4096};
	struct kvm_sregs sregs;

	if (dev < 0)
		die("/dev/kvm");
	vm = request(dev, KVM_CREATE_VM, NULL, "vm");
	k->memory = pages(-1, 4096);
	region.userspace_addr = (unsigned long)k->memory;
	request(vm, KVM_SET_USER_MEMORY_REGION, &region, "memory");
	k->vcpu = request(vm, KVM_CREATE_VCPU, NULL, "vcpu");
	k->run = pages(k->vcpu, (size_t)request(dev, KVM_GET_VCPU_MMAP_SIZE, NULL, "size"));
	request(k->vcpu, KVM_GET_SREGS, &sregs, "sregs");
	sregs.cs.base = sregs.cs.selector = 0;
	request(k->vcpu, KVM_SET_SREGS, &sregs, "sregs");
}

static void kvm_begin(struct kvm *k, unsigned long code)
{
	struct kvm_regs regs = {.rip = code, .rflags = 2};

	request(k->vcpu, KVM_SET_REGS, &regs, "regs");
}

static void kvm_round(struct kvm *k)
{
	request(k->vcpu, KVM_RUN, NULL, "KVM_RUN");
	if (k->run->exit_reason != KVM_EXIT_IO && k->run->exit_reason != KVM_EXIT_MMIO)
		unexpected(k->run->exit_reason);
}

/* ---- /dev/mshv ---- */

struct mshv {
	int vp;
	struct hv_register_page *page;
	unsigned char *memory;
};

static void mshv_make(struct mshv *m)
{
	int dev = open("/dev/mshv", O_RDWR | O_CLOEXEC), partition;
	struct mshv_create_partition create = {.pt_flags = 0};
	struct mshv_create_vp vp = {.vp_index = 0};
	struct mshv_user_mem_region region = {.guest_pfn = CODE / 4096, .size = 4096, .flags = 3};

	if (dev < 0)
		die("/dev/mshv");
	partition = request(dev, MSHV_CREATE_PARTITION, &create, "partition");
	request(partition, MSHV_INITIALIZE_PARTITION, NULL, "initialize");
	m->memory = pages(-1, 4096);
	region.userspace_addr = (unsigned long)m->memory;
	request(partition, MSHV_SET_GUEST_MEMORY, &region, "memory");
	m->vp = request(partition, MSHV_CREATE_VP, &vp, "vp");
	m->page = pages(m->vp, 4096);
}

static void mshv_begin(struct mshv *m, unsigned long code)
{
	m->page->rip = code;
	m->page->rflags = 2;
	m->page->segment[1] = (struct hv_segment){.limit = 0xffff, .attr = 0x9b};
	m->page->dirty = HV_PAGE_DIRTY_RIP | HV_PAGE_DIRTY_RFLAGS | HV_PAGE_DIRTY_SEGMENTS;
}

/* As VMMs do it: past a port by the length in the message, past a store by the decoder's. */
static void mshv_round(struct mshv *m)
{
	struct hv_message message;
	const struct hv_intercept_header *header = (const void *)message.payload;

	request(m->vp, MSHV_RUN_VP, &message, "MSHV_RUN_VP");
	if (message.type != HVMSG_X64_IO_PORT_INTERCEPT && message.type != HVMSG_UNMAPPED_GPA)
		exit(1);
	m->page->rip = header->rip + (header->length_cr8 & 15);
	m->page->dirty = HV_PAGE_DIRTY_RIP;
}

/* ---- samples of both, in turn ---- */

static void measure(struct kvm *k, struct mshv *m, unsigned loop)
{
	const unsigned long at =
		loop * 0x100ul; /* each its own: the end of an OUT is still to come */
	double best[2] = {1e18, 1e18};

	memcpy(k->memory + at, loops[loop].code, sizeof(loops[loop].code));
	memcpy(m->memory + at, loops[loop].code, sizeof(loops[loop].code));
	for (int sample = 0; sample < SAMPLES; sample++) {
		double start, ns[2];

		kvm_begin(k, CODE + at);
		start = now();
		for (int i = 0; i < BATCH; i++)
			kvm_round(k);
		ns[0] = now() - start;
		mshv_begin(m, CODE + at);
		start = now();
		for (int i = 0; i < BATCH; i++)
			mshv_round(m);
		ns[1] = now() - start;
		for (int i = 0; i < 2; i++)
			best[i] = ns[i] < best[i] ? ns[i] : best[i];
	}
	printf("= KVM_RUN-%s %.1f\n= MSHV_RUN_VP-%s %.1f\n", loops[loop].name, best[0] / BATCH,
		loops[loop].name, best[1] / BATCH);
}

int main(void)
{
	struct kvm kvm;
	struct mshv mshv;

	kvm_make(&kvm);
	mshv_make(&mshv);
	for (unsigned i = 0; i < sizeof(loops) / sizeof(loops[0]); i++)
		measure(&kvm, &mshv, i);
	return 0;
}
