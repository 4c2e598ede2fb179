/* SPDX-License-Identifier: MIT */
/*
 * calls soft|kernel: what libkvm adds to the raw request: the same request on the same vCPU through the library and
 * without it, dev_ioctl() or ioctl(2), in turns, so that what the machine does meanwhile hits both. kvm_run is one
 * round trip of a port write that a callback serves, against a loop over KVM_RUN that does no more than it must.
 *
 * Lines: "= NAME NS", "= NAME-raw NS", "= NAME-over NS"; medians, the last one of the differences.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "abi/dev.h"
#include "libkvm/context.h"
#include "clock.h"

#define CODE     0x1000
#define MEMORY   0x10000
#define ROUNDS   2001 /* short ones: few of them are interrupted */
#define BATCH_NS 3e4
#define STOP     100 /* what the callback returns to end kvm_run */

static kvm_context_t kvm;
static struct dev *dev; /* NULL: the kernel's */
static int vcpu_fd;
static struct kvm_run *run;
static struct kvm_regs regs;
static long left;

static void fail_at(const char *what, int error)
{
	fprintf(stderr, "calls: %s: %s\n", what, strerror(error < 0 ? -error : error));
	exit(1);
}

static inline long raw(int fd, unsigned long request, void *arg)
{
	return dev ? dev_ioctl(dev, fd, request, (unsigned long)arg) : ioctl(fd, request, arg);
}

static void get_regs(long n)
{
	while (n--)
		kvm_get_regs(kvm, 0, &regs);
}

static void get_regs_raw(long n)
{
	while (n--)
		raw(vcpu_fd, KVM_GET_REGS, &regs);
}

static void set_regs(long n)
{
	while (n--)
		kvm_set_regs(kvm, 0, &regs);
}

static void set_regs_raw(long n)
{
	while (n--)
		raw(vcpu_fd, KVM_SET_REGS, &regs);
}

static struct kvm_fpu fpu;

static void get_fpu(long n)
{
	while (n--)
		kvm_get_fpu(kvm, 0, &fpu);
}

static void get_fpu_raw(long n)
{
	while (n--)
		raw(vcpu_fd, KVM_GET_FPU, &fpu);
}

static volatile int flag;

static void interrupt_flag(long n)
{
	while (n--)
		flag = kvm_get_interrupt_flag(kvm, 0);
}

static void interrupt_flag_raw(long n)
{
	while (n--)
		flag = *(volatile u8 *)&run->if_flag;
}

static void irq_level(long n)
{
	while (n--)
		kvm_set_irq_level(kvm, 5, 0);
}

static void irq_level_raw(long n)
{
	struct kvm_irq_level line = {.irq = 5};

	while (n--)
		raw(kvm->vm_fd, KVM_IRQ_LINE, &line);
}

static volatile u8 written;

static int on_outb(void *opaque, uint16_t port, uint8_t data)
{
	written = data;
	return --left > 0 ? 0 : STOP;
}

static void round_trip(long n)
{
	int r;

	left = n;
	r = kvm_run(kvm, 0, NULL);
	if (r != STOP)
		fail_at("kvm_run", r < 0 ? r : EPROTO);
}

static void round_trip_raw(long n)
{
	while (n--) {
		long r = raw(vcpu_fd, KVM_RUN, NULL);

		if (r < 0 || run->exit_reason != KVM_EXIT_IO)
			fail_at("KVM_RUN", r < 0 ? errno : EPROTO);
		written = *((u8 *)run + run->io.data_offset);
	}
}

static const struct pair {
	const char *name;
	void (*lib)(long n);
	void (*raw)(long n);
} pairs[] = {
	{"get-regs", get_regs, get_regs_raw},
	{"set-regs", set_regs, set_regs_raw},
	{"get-fpu", get_fpu, get_fpu_raw},
	{"get-interrupt-flag", interrupt_flag, interrupt_flag_raw},
	{"set-irq-level", irq_level, irq_level_raw},
	{"run", round_trip, round_trip_raw},
};

static double timed(void (*calls)(long n), long n)
{
	const double begin = now_ns();

	calls(n);
	return (now_ns() - begin) / (double)n;
}

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values)
{
	qsort(values, ROUNDS, sizeof(*values), compare);
	return values[ROUNDS / 2];
}

static long batch(const struct pair *p)
{
	double ns[ROUNDS];

	for (int i = 0; i < ROUNDS; i++)
		ns[i] = timed(p->raw, 10);
	return (long)(BATCH_NS / median(ns)) + 1;
}

static void measure(const struct pair *p)
{
	const long n = batch(p);
	double lib[ROUNDS], without[ROUNDS], over[ROUNDS];

	for (int i = 0; i < ROUNDS; i++) {
		if (i & 1)
			lib[i] = timed(p->lib, n);
		without[i] = timed(p->raw, n);
		if (!(i & 1))
			lib[i] = timed(p->lib, n);
		over[i] = lib[i] - without[i];
	}
	printf("= %s %.1f\n", p->name, median(lib));
	printf("= %s-raw %.1f\n", p->name, median(without));
	printf("= %s-over %.1f\n", p->name, median(over));
}

/* Real mode: out %al, %dx; jmp to it. */
static void set_up(void)
{
	static const u8 code[] = {0xee, 0xeb, 0xfd};
	struct kvm_sregs sregs;
	void *ram = NULL;
	int r = kvm_create(kvm, MEMORY, &ram);

	if (r < 0)
		fail_at("kvm_create", r);
	memcpy((u8 *)ram + CODE, code, sizeof(code));
	r = kvm_get_sregs(kvm, 0, &sregs);
	sregs.cs.selector = 0;
	sregs.cs.base = 0;
	regs = (struct kvm_regs){.rip = CODE, .rflags = 2, .rdx = 0x10};
	if (r >= 0)
		r = kvm_set_sregs(kvm, 0, &sregs);
	if (r >= 0)
		r = kvm_set_regs(kvm, 0, &regs);
	if (r < 0)
		fail_at("registers", r);
	vcpu_fd = kvm->vcpus[0]->fd;
	run = kvm->vcpus[0]->run;
	if (kvm->driver == &kvm_soft)
		dev = kvm->state;
}

int main(int argc, char **argv)
{
	struct kvm_callbacks callbacks = {.outb = on_outb};

	if (argc != 2) {
		fprintf(stderr, "usage: calls soft|kernel\n");
		return 2;
	}
	kvm = uv_kvm_init(&callbacks, NULL, argv[1], NULL, NULL);
	if (!kvm)
		return 1;
	set_up();
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
		measure(&pairs[i]);
	kvm_finalize(kvm);
	return 0;
}
