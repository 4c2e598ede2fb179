/* SPDX-License-Identifier: MIT */
/*
 * flat {slots N | ram MIB | vms N}: what must not cost more when there is more of it: memslots under the same memory, RAM
 * of which only some is used, machines that idle. Lines: "= exit NS" of a port write there and back; "= touch NS" of an
 * access in a loop over pages all over the memory; "= fill NS" of the same when the TLB was flushed before each pass.
 * Each is the best of several samples. Run it under `uservisor exec`.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"
#include "longmode.h"

#define PAGE       4096ull
#define TABLES     0x10000 /* of pages: PML4, PDPT, and a page directory for each GiB */
#define CODE       0x8000
#define FIRST      (1ull << 20) /* of the memory that is touched */
#define PAGES      512ull       /* that are touched */
#define PASSES     200
#define EXITS      10000
#define SAMPLES    15
#define PRESENT_RW 3ull
#define LARGE      0x80ull
#define MIB        (1ull << 20)

/* Passes in %ecx; address of the first access in %rsi, distance in %rdx, number in %rdi. */
static const unsigned char touch[] = {
	0x48, 0x89, 0xf0, /* 0: mov %rsi, %rax */
	0x48, 0x89, 0xfb, /* mov %rdi, %rbx */
	0xff, 0x00,       /* 6: incl (%rax) */
	0x48, 0x01, 0xd0, /* add %rdx, %rax */
	0x48, 0xff, 0xcb, /* dec %rbx */
	0x75, 0xf6,       /* jnz 6 */
	0xff, 0xc9,       /* dec %ecx */
	0x75, 0xec,       /* jnz 0 */
	0xe6, 0x10,       /* out %al, $0x10 */
};
static const unsigned char fill[] = {
	0x0f, 0x20, 0xd8, /* 0: mov %cr3, %rax */
	0x0f, 0x22, 0xd8, /* mov %rax, %cr3 */
	0x48, 0x89, 0xf0, /* mov %rsi, %rax */
	0x48, 0x89, 0xfb, /* mov %rdi, %rbx */
	0xff, 0x00,       /* 12: incl (%rax) */
	0x48, 0x01, 0xd0, /* add %rdx, %rax */
	0x48, 0xff, 0xcb, /* dec %rbx */
	0x75, 0xf6,       /* jnz 12 */
	0xff, 0xc9,       /* dec %ecx */
	0x75, 0xe6,       /* jnz 0 */
	0xe6, 0x10,       /* out %al, $0x10 */
};
static const unsigned char out[] = {0xe6, 0x10, 0xeb, 0xfc}; /* out %al, $0x10; jmp */

/* A machine with one processor; size bytes of RAM in so many slots. */
struct machine {
	int vm, vcpu;
	unsigned char *ram;
	uint64_t size;
	struct kvm_run *run;
};

static void check(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

/* One to one, in pages of 2 MiB. */
static void map_all(struct machine *m)
{
	uint64_t *pml4 = (uint64_t *)(m->ram + TABLES), *pdpt = pml4 + 512, *pd = pdpt + 512;
	uint64_t gib = (m->size + (1ull << 30) - 1) >> 30;

	pml4[0] = (TABLES + PAGE) | PRESENT_RW;
	for (uint64_t i = 0; i < gib; i++)
		pdpt[i] = (TABLES + (2 + i) * PAGE) | PRESENT_RW;
	for (uint64_t i = 0; i < m->size / (2 * MIB); i++)
		pd[i] = i << 21 | PRESENT_RW | LARGE;
}

/* The slots have the same number of pages each; the last one has the rest. */
static void add_memory(struct machine *m, uint64_t slots)
{
	uint64_t each = m->size / PAGE / slots * PAGE;

	m->ram = mmap(NULL, m->size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	check(m->ram != MAP_FAILED, "flat: memory");
	madvise(m->ram, m->size, MADV_NOHUGEPAGE);
	for (uint64_t i = 0; i < slots; i++) {
		struct kvm_userspace_memory_region r = {.slot = (uint32_t)i,
			.guest_phys_addr = i * each,
			.memory_size = i + 1 < slots ? each : m->size - i * each,
			.userspace_addr = (uint64_t)(uintptr_t)(m->ram + i * each)};

		check(!ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &r), "flat: memslot");
	}
}

static void enter_long_mode(struct machine *m)
{
	struct kvm_sregs s;

	check(!ioctl(m->vcpu, KVM_GET_SREGS, &s), "flat: registers");
	set_long_mode(&s, TABLES);
	check(!ioctl(m->vcpu, KVM_SET_SREGS, &s), "flat: registers");
}

static void make(int kvm, uint64_t size, uint64_t slots, struct machine *ret)
{
	struct machine m = {.size = size};
	int run_size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

	m.vm = ioctl(kvm, KVM_CREATE_VM, 0);
	check(m.vm >= 0, "flat: machine");
	add_memory(&m, slots);
	map_all(&m);
	m.vcpu = ioctl(m.vm, KVM_CREATE_VCPU, 0);
	check(m.vcpu >= 0, "flat: processor");
	m.run = mmap(NULL, (size_t)run_size, PROT_READ | PROT_WRITE, MAP_SHARED, m.vcpu, 0);
	check(m.run != MAP_FAILED, "flat: kvm_run");
	enter_long_mode(&m);
	*ret = m;
}

/* The next KVM_RUN would end the port write that is under way, and move rip on. */
static void end_exit(struct machine *m)
{
	m->run->immediate_exit = 1;
	check(ioctl(m->vcpu, KVM_RUN, 0) < 0 && errno == EINTR, "flat: the end of an exit");
	m->run->immediate_exit = 0;
}

static void load(struct machine *m, const unsigned char *code, size_t size)
{
	uint64_t distance = (m->size - FIRST) / PAGE / PAGES;
	struct kvm_regs r = {.rip = CODE, .rflags = 2, .rcx = PASSES, .rsi = FIRST, .rdi = PAGES};

	/* An odd number of pages, and another line in each: all sets of every cache have their share. */
	distance = (distance - 1) | 1;
	r.rdx = distance * PAGE - 64;
	r.rsi += PAGES * 64;
	end_exit(m);
	memcpy(m->ram + CODE, code, size);
	check(!ioctl(m->vcpu, KVM_SET_REGS, &r), "flat: registers");
}

static void until_exit(struct machine *m)
{
	check(!ioctl(m->vcpu, KVM_RUN, 0), "flat: KVM_RUN");
	if (m->run->exit_reason != KVM_EXIT_IO) {
		fprintf(stderr, "flat: the guest ends with exit %u\n", m->run->exit_reason);
		exit(1);
	}
}

static double time_exits(struct machine *m)
{
	double start;

	load(m, out, sizeof(out));
	until_exit(m);
	start = now_ns();
	for (int i = 0; i < EXITS; i++)
		until_exit(m);
	return (now_ns() - start) / EXITS;
}

static double time_loop(struct machine *m, const unsigned char *code, size_t size)
{
	double start;

	load(m, code, size);
	start = now_ns();
	until_exit(m);
	return (now_ns() - start) / (double)(PASSES * PAGES);
}

static double time_touch(struct machine *m)
{
	return time_loop(m, touch, sizeof(touch));
}

static double time_fill(struct machine *m)
{
	return time_loop(m, fill, sizeof(fill));
}

static void measure(struct machine *m, const char *name, double (*sample)(struct machine *m))
{
	double best = 1e18;

	sample(m); /* translates the code and touches all pages */
	for (int i = 0; i < SAMPLES; i++) {
		double took = sample(m);

		if (took < best)
			best = took;
	}
	printf("= %s %.3f\n", name, best);
}

int main(int argc, char **argv)
{
	uint64_t n = argc == 3 ? strtoull(argv[2], NULL, 10) : 0, ram = 64 * MIB, slots = 1,
		 idle = 0;
	struct machine m;
	int kvm;

	if (n && !strcmp(argv[1], "slots"))
		slots = n;
	else if (n && !strcmp(argv[1], "ram"))
		ram = n * MIB;
	else if (n && !strcmp(argv[1], "vms"))
		idle = n - 1;
	else {
		fprintf(stderr, "usage: flat {slots N | ram MIB | vms N}\n");
		return 2;
	}
	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	check(kvm >= 0, "flat: /dev/kvm");
	for (uint64_t i = 0; i < idle; i++) {
		make(kvm, 2 * MIB, 1, &m);
		memcpy(m.ram + CODE, out, sizeof(out));
		check(!ioctl(m.vcpu, KVM_SET_REGS, &(struct kvm_regs){.rip = CODE, .rflags = 2}),
			"flat: registers");
		until_exit(&m);
	}
	make(kvm, ram, slots, &m);
	measure(&m, "exit", time_exits);
	measure(&m, "touch", time_touch);
	measure(&m, "fill", time_fill);
	return 0;
}
