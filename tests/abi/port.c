/* SPDX-License-Identifier: MIT */
/* See port.h. */
#include "tests/abi/port.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/dev.h"
#include "base/sys.h"

struct port port;

static void cannot_run(const char *why)
{
	printf("1..0 # SKIP %s\n", why);
	exit(77);
}

void port_start(int argc, char **argv)
{
	int fd;

	port.real = argc > 1 && !strcmp(argv[1], "kvm");
	if (!port.real) {
		if (dev_create(&port.dev))
			exit(1);
		return;
	}
	fd = open("/dev/kvm", O_RDWR);
	if (fd < 0)
		cannot_run("/dev/kvm cannot be opened");
	if (ioctl(fd, KVM_CREATE_VM, 0) < 0)
		cannot_run("/dev/kvm cannot make a vm");
	close(fd);
}

int port_end(int failures)
{
	dev_destroy(port.dev);
	return failures != 0;
}

/*
 * cmocka sets its own handlers at each test; the engine set its own once, with the first machine. Not through libc: the
 * thread sanitizer's would put its own in front.
 */
void port_keep_handlers(bool has_machine)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
	static struct sys_sigaction engine[ARRAY_SIZE(signals)];
	static pthread_mutex_t lock =
		PTHREAD_MUTEX_INITIALIZER; /* tests open machines on many threads */
	static bool known;

	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < ARRAY_SIZE(signals); i++)
		if (known)
			sys_sigaction(signals[i], &engine[i], NULL);
		else if (has_machine)
			sys_sigaction(signals[i], NULL, &engine[i]);
	known = known || has_machine;
	pthread_mutex_unlock(&lock);
}

int kvm_open(void)
{
	int fd = port.real ? open("/dev/kvm", O_RDWR | O_CLOEXEC)
			   : dev_open(port.dev, "/dev/kvm", O_CLOEXEC);

	assert_true(fd >= 0);
	if (!port.real)
		port_keep_handlers(false);
	return fd;
}

/* These need no more words; those of KVM_RUN are no refusals. */
static bool speaks_for_itself(long error)
{
	static const int errors[] = {
		EFAULT, ENOMEM, EMFILE, ENFILE, EFBIG, EINTR, EAGAIN, EPERM, ENOSYS};

	for (unsigned i = 0; i < ARRAY_SIZE(errors); i++)
		if (error == -errors[i])
			return true;
	return false;
}

/* Whatever a test has refused, the reason must be there, and none after a success. */
static long ask(int fd, unsigned long request, unsigned long arg)
{
	struct refusal why;
	long r = dev_ioctl_why(port.dev, fd, request, arg, NULL, &why);
	bool batch = (u32)request == KVM_GET_MSRS || (u32)request == KVM_SET_MSRS;

	if (r >= 0 ? !why.why || batch : why.why || speaks_for_itself(r) || !dev_owns(port.dev, fd))
		return r;
	fprintf(stderr, "request 0x%lx: %ld, %s\n", request, r,
		why.why ? why.why : "without a reason");
	abort();
}

long kvm(int fd, unsigned long request, unsigned long arg)
{
	long r;

	if (!port.real) {
		r = ask(fd, request, arg);
		if (request == KVM_CREATE_VM && r >= 0)
			port_keep_handlers(true);
		return r;
	}
	r = ioctl(fd, request, arg);
	return r < 0 ? -errno : r;
}

int kvm_close(int fd)
{
	return port.real ? close(fd) : dev_close(port.dev, fd);
}

bool differs(const char *why)
{
	if (!port.real)
		printf("# differs from Linux on purpose: %s\n", why);
	return !port.real;
}

static void open_machine(struct guest *g)
{
	struct kvm_userspace_memory_region r = {
		.guest_phys_addr = RAM_GPA,
		.memory_size = RAM_BYTES,
	};

	g->sys = kvm_open();
	g->vm = kvm(g->sys, KVM_CREATE_VM, 0);
	assert_true(g->vm >= 0);
	g->ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(g->ram != MAP_FAILED);
	r.userspace_addr = (unsigned long)g->ram;
	assert_int_equal(kvm_p(g->vm, KVM_SET_USER_MEMORY_REGION, &r), 0);
}

static void open_vcpu(struct guest *g)
{
	size_t size = kvm(g->sys, KVM_GET_VCPU_MMAP_SIZE, 0);

	g->vcpu = kvm(g->vm, KVM_CREATE_VCPU, 0);
	assert_true(g->vcpu >= 0);
	g->run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, g->vcpu, 0);
	assert_true(g->run != MAP_FAILED);
}

void guest_open(struct guest *g)
{
	open_machine(g);
	open_vcpu(g);
}

void guest_open_irqchip(struct guest *g)
{
	open_machine(g);
	assert_int_equal(kvm(g->vm, KVM_CREATE_IRQCHIP, 0), 0);
	open_vcpu(g);
}

void guest_close(struct guest *g)
{
	munmap(g->run, kvm(g->sys, KVM_GET_VCPU_MMAP_SIZE, 0));
	kvm_close(g->vcpu);
	kvm_close(g->vm);
	kvm_close(g->sys);
	munmap(g->ram, RAM_BYTES);
}

void guest_paging(struct guest *g, u64 cr3)
{
	struct kvm_segment flat = {.limit = 0xffffffff,
		.selector = 8,
		.type = 11,
		.present = 1,
		.db = 1,
		.s = 1,
		.g = 1};
	struct kvm_sregs s;

	assert_int_equal(kvm_p(g->vcpu, KVM_GET_SREGS, &s), 0);
	s.cs = flat;
	flat.type = 3;
	flat.selector = 16;
	s.ds = s.es = s.ss = flat;
	s.cr4 |= 0x10;
	s.cr3 = cr3;
	s.cr0 |= 0x80000001;
	assert_int_equal(kvm_p(g->vcpu, KVM_SET_SREGS, &s), 0);
}

/* Entry n of the table at gpa. */
static void put_entry(struct guest *g, u64 gpa, unsigned n, u64 value)
{
	memcpy(g->ram + gpa - RAM_GPA + n * 8, &value, sizeof(value));
}

/* Large pages of 2 MiB: the first GiB, and the fourth, where the local APIC's page is. */
static void put_tables(struct guest *g)
{
	put_entry(g, GUEST_TABLES, 0, (GUEST_TABLES + 0x1000) | 7);
	put_entry(g, GUEST_TABLES + 0x1000, 0, (GUEST_TABLES + 0x2000) | 7);
	put_entry(g, GUEST_TABLES + 0x1000, 3, (GUEST_TABLES + 0x3000) | 7);
	for (unsigned i = 0; i < 512; i++) {
		put_entry(g, GUEST_TABLES + 0x2000, i, (u64)i << 21 | 0x87);
		put_entry(g, GUEST_TABLES + 0x3000, i, 0xc0000000 | (u64)i << 21 | 0x97);
	}
}

void guest_gate(struct guest *g, u8 vector, u64 handler)
{
	put_entry(g, GUEST_IDT, vector * 2, (handler & 0xffff) | 8 << 16 | 0x8e00ull << 32);
	put_entry(g, GUEST_IDT, vector * 2 + 1, 0);
}

static void long_sregs(struct kvm_sregs *s)
{
	struct kvm_segment flat = {.limit = ~0u, .selector = 8, .type = 11, .present = 1};

	flat.s = flat.l = flat.g = 1;
	s->cs = flat;
	flat.l = 0;
	flat.db = 1;
	flat.type = 3;
	flat.selector = 16;
	s->ds = s->es = s->ss = flat;
	s->gdt.base = GUEST_GDT;
	s->gdt.limit = 23;
	s->idt.base = GUEST_IDT;
	s->idt.limit = 0xfff;
	s->cr0 = 0x80000031;
	s->cr3 = GUEST_TABLES;
	s->cr4 = 0x20;
	s->efer = 0x500;
}

/* The kernel's KVM takes no EFER and no x2APIC mode that CPUID does not offer. */
static void give_cpuid(struct guest *g)
{
	static struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entry[256];
	} c;

	c.head.nent = ARRAY_SIZE(c.entry);
	assert_int_equal(kvm_p(g->sys, KVM_GET_SUPPORTED_CPUID, &c), 0);
	assert_int_equal(kvm_p(g->vcpu, KVM_SET_CPUID2, &c), 0);
}

void guest_long(struct guest *g)
{
	struct kvm_regs r = {.rip = RAM_GPA, .rsp = GUEST_STACK, .rflags = 2};
	struct kvm_sregs s;

	put_tables(g);
	put_entry(g, GUEST_GDT, 1, 0xaf9b000000ffff);
	put_entry(g, GUEST_GDT, 2, 0xcf93000000ffff);
	give_cpuid(g);
	assert_int_equal(kvm_p(g->vcpu, KVM_GET_SREGS, &s), 0);
	long_sregs(&s);
	s.apic_base |= 0xc00;
	assert_int_equal(kvm_p(g->vcpu, KVM_SET_SREGS, &s), 0);
	assert_int_equal(kvm_p(g->vcpu, KVM_SET_REGS, &r), 0);
}

void guest_code(struct guest *g, const void *code, size_t len)
{
	struct kvm_regs regs = {.rip = RAM_GPA, .rflags = 2, .rsp = 0x8000};
	struct kvm_sregs sregs;

	memcpy(g->ram, code, len);
	assert_int_equal(kvm_p(g->vcpu, KVM_GET_SREGS, &sregs), 0);
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	assert_int_equal(kvm_p(g->vcpu, KVM_SET_SREGS, &sregs), 0);
	assert_int_equal(kvm_p(g->vcpu, KVM_SET_REGS, &regs), 0);
}

u32 lapic_of(int vcpu, unsigned offset)
{
	struct kvm_lapic_state l;
	u32 value;

	assert_int_equal(kvm_p(vcpu, KVM_GET_LAPIC, &l), 0);
	memcpy(&value, l.regs + offset, sizeof(value));
	return value;
}

void run_to(const struct guest *g, u32 reason)
{
	assert_int_equal(kvm(g->vcpu, KVM_RUN, 0), 0);
	assert_int_equal(g->run->exit_reason, reason);
}

struct kvm_regs regs_of(const struct guest *g)
{
	struct kvm_regs r = {0};

	assert_int_equal(kvm_p(g->vcpu, KVM_GET_REGS, &r), 0);
	return r;
}
