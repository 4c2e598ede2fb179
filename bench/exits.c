/* SPDX-License-Identifier: MIT */
/*
 * exits soft|mshv|kvm: what one exit of the guest costs, there and back, through libkvm's kvm_run and a
 * callback: port writes and reads, MMIO writes and reads. The guest is a loop of two instructions in
 * 64-bit mode. Prints "= NAME NANOSECONDS", the best of several samples.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libkvm.h>

#include "clock.h"
#include "longmode.h"

#define CODE       0x8000
#define MMIO       0xd0000000ull
#define MEMORY     (4u << 20)
#define BATCH      20000
#define SAMPLES    7
#define PRESENT_RW 3ull
#define LARGE      0x80ull
#define STOP       100 /* what the callback returns to end kvm_run */

static const struct {
	const char *name;
	unsigned char code[5]; /* one access, and a jump back to it */
} loops[] = {
	{"out", {0xee, 0xeb, 0xfd}},              /* out %al, %dx */
	{"in", {0xec, 0xeb, 0xfd}},               /* in %dx, %al */
	{"mmio-write", {0x89, 0x03, 0xeb, 0xfc}}, /* mov %eax, (%rbx) */
	{"mmio-read", {0x8b, 0x03, 0xeb, 0xfc}},  /* mov (%rbx), %eax */
};
#define LOOPS (sizeof(loops) / sizeof(loops[0]))

static int count_down(void *left)
{
	return --*(long *)left > 0 ? 0 : STOP;
}

static int on_out(void *left, uint16_t port, uint8_t data)
{
	(void)port;
	(void)data;
	return count_down(left);
}

static int on_in(void *left, uint16_t port, uint8_t *data)
{
	(void)port;
	*data = 0x5a;
	return count_down(left);
}

static int on_mmio(void *left, uint64_t gpa, uint8_t *data, int len)
{
	(void)gpa;
	memset(data, 0, (size_t)len);
	return count_down(left);
}

static int on_mmio_write(void *left, uint64_t gpa, uint8_t *data, int len)
{
	(void)gpa;
	(void)data;
	(void)len;
	return count_down(left);
}

static void fail(const char *what, int error)
{
	fprintf(stderr, "exits: %s: %s\n", what, strerror(error < 0 ? -error : error));
	exit(1);
}

/* Page tables for the first 4 GiB, one to one, in pages of 2 MiB. */
static void map_low_4g(unsigned char *ram)
{
	uint64_t *pml4 = (uint64_t *)(ram + 0x1000), *pdpt = (uint64_t *)(ram + 0x2000),
		 *pd = (uint64_t *)(ram + 0x3000);

	pml4[0] = 0x2000 | PRESENT_RW;
	for (uint64_t i = 0; i < 4; i++)
		pdpt[i] = (0x3000 + i * 0x1000) | PRESENT_RW;
	for (uint64_t i = 0; i < 4 * 512; i++)
		pd[i] = i << 21 | PRESENT_RW | LARGE;
}

static void enter_long_mode(kvm_context_t kvm, uint64_t rip)
{
	struct kvm_sregs s;
	struct kvm_regs r = {.rip = rip, .rflags = 2, .rdx = 0x10, .rbx = MMIO, .rsp = 0x7000};
	int e = kvm_get_sregs(kvm, 0, &s);

	if (e < 0)
		fail("kvm_get_sregs", e);
	set_long_mode(&s, 0x1000);
	e = kvm_set_sregs(kvm, 0, &s);
	if (e < 0)
		fail("kvm_set_sregs", e);
	e = kvm_set_regs(kvm, 0, &r);
	if (e < 0)
		fail("kvm_set_regs", e);
}

static void measure(kvm_context_t kvm, long *left, unsigned which)
{
	double best = 1e18;

	enter_long_mode(kvm, CODE + which * 16);
	for (int i = 0; i < SAMPLES; i++) {
		double start, took;
		int r;

		*left = BATCH;
		start = now_ns();
		r = kvm_run(kvm, 0, NULL);
		took = (now_ns() - start) / BATCH;
		if (r != STOP)
			fail(loops[which].name, r < 0 ? r : EPROTO);
		if (took < best)
			best = took;
	}
	printf("= %s %.1f\n", loops[which].name, best);
}

int main(int argc, char **argv)
{
	struct kvm_callbacks callbacks = {
		.outb = on_out, .inb = on_in, .mmio_read = on_mmio, .mmio_write = on_mmio_write};
	const char *engine = argc == 2 ? argv[1] : "";
	struct kvm_cpuid2 *cpuid;
	kvm_context_t kvm;
	void *ram = NULL;
	long left = 0;
	int r;

	if (strcmp(engine, "soft") != 0 && strcmp(engine, "mshv") != 0 &&
		strcmp(engine, "kvm") != 0) {
		fprintf(stderr, "usage: exits soft|mshv|kvm\n");
		return 2;
	}
	kvm = uv_kvm_init(&callbacks, &left, *engine == 'k' ? "kernel" : engine, NULL, NULL);
	if (!kvm)
		fail("kvm_init", errno);
	kvm_disable_irqchip_creation(kvm);
	r = kvm_create(kvm, MEMORY, &ram);
	if (r < 0)
		fail("kvm_create", r);
	map_low_4g(ram);
	for (unsigned i = 0; i < LOOPS; i++)
		memcpy((unsigned char *)ram + CODE + i * 16, loops[i].code, sizeof(loops[i].code));
	r = kvm_create_vcpu(kvm, 0);
	if (r < 0)
		fail("kvm_create_vcpu", r);
	cpuid = uv_kvm_supported_cpuid(kvm);
	if (cpuid)
		uv_kvm_setup_cpuid2(kvm, 0, (int)cpuid->nent, cpuid->entries);
	free(cpuid);
	for (unsigned i = 0; i < LOOPS; i++)
		measure(kvm, &left, i);
	kvm_finalize(kvm);
	return 0;
}
