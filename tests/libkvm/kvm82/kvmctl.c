/* SPDX-License-Identifier: MIT */
/*
 * A driver for guests in flat files, as test programs of 2008 were run: kvmctl [-k] [-s CPUS] BOOTSTRAP FLATFILE. The
 * machine's interrupts are the driver's own, with -k those of the kernel's irqchip. Its memory is made a second time over that of
 * kvm_create, each vCPU by the thread that runs it; guests talk to it through ports and end it, in the middle of a
 * callback, by exit(). Written in the C and for the interface of that year.
 *
 * prints
 *
 *     hello from a flat file
 *     memory size: ok
 *     memory of the driver: ok
 *     interrupt at once: ok
 *     interrupt held back: ok
 *     and delivered: ok
 *     another cpu, started and interrupted: ok
 *     another cpu, started and interrupted: ok
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libkvm.h>

#include "ports.h"

#define MAX_CPUS   16
#define IPI_SIGNAL SIGALRM

struct vcpu_info {
	int id;
	pthread_t thread;
	sem_t sipi;
	int pending; /* a vector, or -1; changed under ipi_lock */
};

static kvm_context_t kvm;
static struct vcpu_info vcpus[MAX_CPUS];
static int ncpus = 1;
static unsigned long memory_size = 16 * 1024 * 1024;
static unsigned char ioram[IORAM_LEN];
static unsigned sipi_addr, ipi_vector;
static sigset_t ipi_sigmask;
static pthread_mutex_t ipi_lock = PTHREAD_MUTEX_INITIALIZER;
static sem_t vcpu_ready;
static __thread struct vcpu_info *vcpu;

static void die(const char *what, int r)
{
	fprintf(stderr, "%s: %s\n", what, strerror(-r));
	exit(99);
}

static void request_interrupt(int id, int vector)
{
	if (id < 0 || id >= ncpus)
		return;
	pthread_mutex_lock(&ipi_lock);
	vcpus[id].pending = vector;
	pthread_mutex_unlock(&ipi_lock);
	if (&vcpus[id] != vcpu)
		pthread_kill(vcpus[id].thread, IPI_SIGNAL);
}

static int test_inb(void *opaque, uint16_t addr, uint8_t *value)
{
	printf("inb 0x%x\n", addr);
	return 0;
}

static int test_inw(void *opaque, uint16_t addr, uint16_t *value)
{
	printf("inw 0x%x\n", addr);
	return 0;
}

static int test_inl(void *opaque, uint16_t addr, uint32_t *value)
{
	switch (addr) {
	case MEMORY_SIZE_PORT: *value = memory_size; break;
	case APIC_NCPU: *value = ncpus; break;
	case APIC_ID: *value = vcpu->id; break;
	default: printf("inl 0x%x\n", addr);
	}
	return 0;
}

static int test_outb(void *opaque, uint16_t addr, uint8_t value)
{
	if (addr == CONSOLE_PORT)
		putchar(value);
	else
		printf("outb $0x%x, 0x%x\n", value, addr);
	return 0;
}

static int test_outw(void *opaque, uint16_t addr, uint16_t value)
{
	printf("outw $0x%x, 0x%x\n", value, addr);
	return 0;
}

static int test_outl(void *opaque, uint16_t addr, uint32_t value)
{
	switch (addr) {
	case EXIT_PORT: exit(value);
	case INJECT_PORT: request_interrupt(vcpu->id, value); break;
	case APIC_SIPI_ADDR: sipi_addr = value; break;
	case APIC_SEND_SIPI:
		if (value < ncpus)
			sem_post(&vcpus[value].sipi);
		break;
	case APIC_IPI_VECTOR: ipi_vector = value; break;
	case APIC_SEND_IPI: request_interrupt(value, ipi_vector); break;
	default:
		if (addr >= LINE_PORT && addr < LINE_PORT + 24)
			return !kvm_set_irq_level(kvm, addr - LINE_PORT, value);
		printf("outl $0x%x, 0x%x\n", value, addr);
	}
	return 0;
}

static int test_mem_read(void *opaque, uint64_t addr, uint8_t *data, int len)
{
	if (addr < IORAM_BASE || addr + len > IORAM_BASE + IORAM_LEN)
		return 1;
	memcpy(data, &ioram[addr - IORAM_BASE], len);
	return 0;
}

static int test_mem_write(void *opaque, uint64_t addr, uint8_t *data, int len)
{
	if (addr < IORAM_BASE || addr + len > IORAM_BASE + IORAM_LEN)
		return 1;
	memcpy(&ioram[addr - IORAM_BASE], data, len);
	return 0;
}

static int test_debug(void *opaque, void *env, struct kvm_debug_exit_arch *arch_info)
{
	printf("test_debug\n");
	return 0;
}

/* The signal of what is pending may be gone: it came when the guest was not ready, and HLT was next. */
static int test_halt(void *opaque, int id)
{
	int n, pending;

	pthread_mutex_lock(&ipi_lock);
	pending = vcpu->pending >= 0;
	pthread_mutex_unlock(&ipi_lock);
	if (!pending)
		sigwait(&ipi_sigmask, &n);
	return 0;
}

static int test_shutdown(void *opaque, void *env)
{
	printf("shutdown\n");
	kvm_show_regs(kvm, vcpu->id);
	exit(98);
}

/* The signal that interrupted the guest is still pending. */
static int test_io_window(void *opaque)
{
	static const struct timespec now;

	sigtimedwait(&ipi_sigmask, NULL, &now);
	return 0;
}

static int test_try_push_interrupts(void *opaque)
{
	int wants_window;

	pthread_mutex_lock(&ipi_lock);
	if (vcpu->pending >= 0 && kvm_is_ready_for_interrupt_injection(kvm, vcpu->id) &&
		kvm_get_interrupt_flag(kvm, vcpu->id)) {
		int r = kvm_inject_irq(kvm, vcpu->id, vcpu->pending);

		if (r < 0)
			die("kvm_inject_irq", r);
		vcpu->pending = -1;
	}
	wants_window = vcpu->pending >= 0;
	pthread_mutex_unlock(&ipi_lock);
	return wants_window;
}

static void test_push_nmi(void *opaque)
{
}

static void test_post_kvm_run(void *opaque, void *env)
{
}

static int test_pre_kvm_run(void *opaque, void *env)
{
	return 0;
}

static struct kvm_callbacks test_callbacks = {
	.inb = test_inb,
	.inw = test_inw,
	.inl = test_inl,
	.outb = test_outb,
	.outw = test_outw,
	.outl = test_outl,
	.mmio_read = test_mem_read,
	.mmio_write = test_mem_write,
	.debug = test_debug,
	.halt = test_halt,
	.io_window = test_io_window,
	.try_push_interrupts = test_try_push_interrupts,
	.push_nmi = test_push_nmi,
	.post_kvm_run = test_post_kvm_run,
	.pre_kvm_run = test_pre_kvm_run,
	.shutdown = test_shutdown,
};

static void load_file(void *mem, const char *name)
{
	int fd = open(name, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		die(name, -errno);
	while ((n = read(fd, mem, 4096)) > 0)
		mem = (char *)mem + n;
	if (n < 0)
		die(name, -errno);
	close(fd);
}

/* The first cpu's state says what flat 32-bit segments look like. */
static void enter_at(int id, unsigned rip)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	struct kvm_segment flat = {.limit = 0xffffffff,
		.selector = 16,
		.type = 3,
		.present = 1,
		.db = 1,
		.s = 1,
		.g = 1};

	kvm_get_sregs(kvm, id, &sregs);
	sregs.ds = sregs.es = sregs.ss = sregs.fs = sregs.gs = flat;
	flat.selector = 8;
	flat.type = 11;
	sregs.cs = flat;
	sregs.cr0 = 0x37;
	if (kvm_set_sregs(kvm, id, &sregs) < 0)
		die("kvm_set_sregs", -errno);
	memset(&regs, 0, sizeof(regs));
	regs.rip = rip;
	regs.rflags = 2;
	if (kvm_set_regs(kvm, id, &regs) < 0)
		die("kvm_set_regs", -errno);
}

static void *vcpu_thread(void *arg)
{
	struct vcpu_info *me = arg;
	sigset_t run_mask;
	int r;

	vcpu = me;

	r = kvm_create_vcpu(kvm, me->id);
	if (r < 0)
		die("kvm_create_vcpu", r);
	pthread_sigmask(SIG_BLOCK, NULL, &run_mask);
	sigdelset(&run_mask, IPI_SIGNAL);
	r = kvm_set_signal_mask(kvm, me->id, &run_mask);
	if (r < 0)
		die("kvm_set_signal_mask", r);
	if (me->id && kvm_irqchip_in_kernel(kvm)) {
		if (kvm_reset_mpstate(kvm, me->id) < 0)
			die("kvm_reset_mpstate", -errno);
	}
	sem_post(&vcpu_ready);
	if (me->id && !kvm_irqchip_in_kernel(kvm)) {
		sem_wait(&me->sipi);
		enter_at(me->id, sipi_addr);
	}
	r = kvm_run(kvm, me->id, me);
	fprintf(stderr, "kvm_run: %d\n", r);
	exit(97);
}

int main(int argc, char **argv)
{
	void *vm_mem;
	int irqchip = 0, i, r;

	while ((i = getopt(argc, argv, "ks:")) > 0) {
		if (i == 'k')
			irqchip = 1;
		else if (i == 's')
			ncpus = atoi(optarg);
		else
			return 96;
	}
	if (ncpus < 1 || ncpus > MAX_CPUS || argc - optind != 2)
		return 96;
	sigemptyset(&ipi_sigmask);
	sigaddset(&ipi_sigmask, IPI_SIGNAL);
	sigprocmask(SIG_BLOCK, &ipi_sigmask, NULL);

	kvm = kvm_init(&test_callbacks, NULL);
	if (!kvm) {
		fprintf(stderr, "kvm_init failed\n");
		return 95;
	}
	if (!irqchip)
		kvm_disable_irqchip_creation(kvm);
	r = kvm_create(kvm, memory_size, &vm_mem);
	if (r < 0) {
		kvm_finalize(kvm);
		die("kvm_create", r);
	}
	vm_mem = kvm_create_phys_mem(kvm, 0, memory_size, 0, 1);
	if (!vm_mem)
		die("kvm_create_phys_mem", -errno);
	load_file((char *)vm_mem + 0xf0000, argv[optind]);
	load_file((char *)vm_mem + 0x100000, argv[optind + 1]);

	for (i = 0; i < ncpus; i++) {
		vcpus[i].id = i;
		vcpus[i].pending = -1;
		sem_init(&vcpus[i].sipi, 0, 0);
	}
	sem_init(&vcpu_ready, 0, 0);
	for (i = ncpus - 1; i >= 0; i--) { /* the one that begins is last */
		pthread_create(&vcpus[i].thread, NULL, vcpu_thread, &vcpus[i]);
		sem_wait(&vcpu_ready);
	}
	pthread_join(vcpus[0].thread, NULL);
	return 94;
}
