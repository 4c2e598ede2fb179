/* SPDX-License-Identifier: MIT */
/*
 * Guest RAM behind userfaultfd: a vcpu that touches a page which somebody else still has to bring, or that must be saved
 * before it is written to, waits for that and goes on; post-copy migration and snapshots of a running guest are
 * made so. While it waits a signal ends KVM_RUN, and other requests go on as usual.
 */
#include "tests/abi/port.h"
#include "tests/abi/touches.h"
#include "tests/abi/userfault.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static u8 source[RAM_BYTES], saved[RAM_BYTES];

static u8 *page(struct guest *g, u64 gpa)
{
	return g->ram + (gpa - RAM_GPA);
}

static void drop(u8 *p, unsigned pages)
{
	assert_int_equal(madvise(p, pages * PAGE_SIZE, MADV_DONTNEED), 0);
}

/* The guest's pages from gpa on. */
static struct userfault served(struct guest *g, enum uf_mode mode, u64 gpa, unsigned pages)
{
	return (struct userfault){.mode = mode,
		.base = page(g, gpa),
		.pages = pages,
		.source = source,
		.saved = saved};
}

static bool start_missing(struct userfault *u)
{
	if (!userfault_start(u))
		return false;
	drop(u->base, u->pages);
	return true;
}

static void or_skip(struct guest *g, bool started)
{
	if (started)
		return;
	guest_close(g);
	skip();
}

static void set_code(struct guest *g, const u8 *code, unsigned n)
{
	struct kvm_regs r;
	u8 all[16];

	memset(all, 0xf4, sizeof(all));
	memcpy(all, code, n);
	guest_code(g, all, sizeof(all));
	r = regs_of(g);
	r.rbx = r.rdi = r.rsi = 0x6000;
	r.rax = 0;
	r.rcx = 3;
	assert_int_equal(kvm_p(g->vcpu, KVM_SET_REGS, &r), 0);
}

/* ---- pages that are brought ---- */

#define INC_ALL                                                                                    \
	0xbb, 0x00, 0x30,         /* mov $0x3000, %bx */                                           \
		0xb9, 0x00, 0x50, /* mov $0x5000, %cx */                                           \
		0xfe, 0x07,       /* 1: incb (%bx) */                                              \
		0x43,             /* inc %bx */                                                    \
		0xe2, 0xfb,       /* loop 1b */                                                    \
		0xf4

static void test_missing(void **state)
{
	struct userfault u;
	struct guest g;

	guest_open(&g);
	u = served(&g, UF_MISSING, 0x3000, 5);
	u.delay_us = 3000;
	for (unsigned i = 0; i < sizeof(source); i++)
		source[i] = (u8)(i * 7 + i / PAGE_SIZE);
	GUEST_CODE(&g, INC_ALL);
	run_to(&g, KVM_EXIT_HLT); /* now it is translated, and the software TLB is full */
	or_skip(&g, start_missing(&u));
	for (int round = 0; round < 3; round++) {
		drop(u.base, u.pages);
		GUEST_CODE(&g, INC_ALL);
		run_to(&g, KVM_EXIT_HLT);
		for (unsigned i = 0; i < 0x5000; i++)
			assert_int_equal(u.base[i], (u8)(source[i] + 1));
	}
	assert_int_equal(u.given, 15);
	userfault_stop(&u);
	guest_close(&g);
}

static void test_touches(void **state)
{
	struct userfault u;
	struct guest g;

	if (port.real) /* an instruction emulator that is used in real mode cannot do all of them */
		return;
	guest_open(&g);
	memset(source, 0, sizeof(source));
	u = served(&g, UF_MISSING, 0x6000, 1);
	or_skip(&g, start_missing(&u));
	for (unsigned i = 0; i < ARRAY_SIZE(touches); i++) {
		for (int round = 0; round < 3; round++) {
			drop(u.base, 1);
			set_code(&g, touches[i].code, touches[i].length);
			run_to(&g, KVM_EXIT_HLT);
			assert_int_equal(regs_of(&g).rip, RAM_GPA + touches[i].length + 1);
		}
		assert_int_equal(u.given, (i + 1) * 3);
	}
	userfault_stop(&u);
	guest_close(&g);
}

/* The page that comes holds other code than the one that went, which has been translated. */
static void test_code(void **state)
{
	struct userfault u;
	struct guest g;

	guest_open(&g);
	u = served(&g, UF_MISSING, 0x3000, 1);
	memset(source, 0, sizeof(source));
	or_skip(&g, start_missing(&u));
	for (int i = 1; i < 20; i++) {
		memcpy(source, "\xb0\x00\xe6\x10\xeb\xfa", 6); /* mov $i, %al; out %al, $0x10 */
		source[1] = (u8)i;
		drop(u.base, 1);
		GUEST_CODE(&g, 0xe9, 0xfd, 0x1f); /* jmp 0x3000 */
		run_to(&g, KVM_EXIT_IO);
		assert_int_equal(*((u8 *)g.run + g.run->io.data_offset), i);
		run_to(&g, KVM_EXIT_IO);
		assert_int_equal(*((u8 *)g.run + g.run->io.data_offset), i);
	}
	assert_int_equal(u.given, 19);
	userfault_stop(&u);
	guest_close(&g);
}

/* ---- pages that are saved before they change ---- */

static void test_protected(void **state)
{
	struct userfault u;
	struct guest g;

	guest_open(&g);
	GUEST_CODE(&g, INC_ALL);
	run_to(&g, KVM_EXIT_HLT);
	for (int round = 0; round < 3; round++) {
		u = served(&g, UF_PROTECT, 0x1000, 9); /* the code, too */
		for (unsigned i = 0; i < 0x5000; i++)
			page(&g, 0x3000)[i] = (u8)(i + round);
		GUEST_CODE(&g, INC_ALL);
		memset(saved, 0xee, sizeof(saved));
		or_skip(&g, userfault_start(&u));
		run_to(&g, KVM_EXIT_HLT);
		userfault_stop(&u);
		assert_int_equal(u.given, 5);
		for (unsigned i = 0; i < 0x5000; i++) {
			assert_int_equal(page(&g, 0x3000)[i], (u8)(i + round + 1));
			assert_int_equal(saved[0x2000 + i], (u8)(i + round));
		}
	}
	guest_close(&g);
}

/* Code that writes to itself, and a locked instruction there. */
static void test_protected_code(void **state)
{
	struct userfault u;
	struct guest g;

	guest_open(&g);
	for (int round = 0; round < 3; round++) {
		GUEST_CODE(&g, 0xb9, 0x04, 0x00,      /* mov $4, %cx */
			0xb0, 0x01,                   /* 1: mov $1, %al */
			0xfe, 0x06, 0x04, 0x10,       /* incb 0x1004: the 1 */
			0xf0, 0xfe, 0x06, 0x04, 0x10, /* lock incb 0x1004 */
			0xe2, 0xf3,                   /* loop 1b */
			0xf4);
		u = served(&g, UF_PROTECT, 0x1000, 1);
		u.delay_us = 2000;
		or_skip(&g, userfault_start(&u));
		run_to(&g, KVM_EXIT_HLT);
		assert_int_equal(regs_of(&g).rax & 0xff, 7);
		userfault_stop(&u);
		assert_int_equal(u.given, 1);
		assert_int_equal(saved[4], 1);
	}
	guest_close(&g);
}

static void test_minor(void **state)
{
	int fd = memfd_create("ram", 0);
	struct userfault u;
	struct guest g;
	u8 *other;

	guest_open(&g);
	u = served(&g, UF_MINOR, 0x3000, 5);
	assert_int_equal(ftruncate(fd, 0x5000), 0);
	assert_ptr_equal(
		mmap(u.base, 0x5000, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_SHARED, fd, 0),
		u.base);
	other = mmap(NULL, 0x5000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	or_skip(&g, userfault_start(&u));
	for (int round = 0; round < 3; round++) {
		memset(other, 0x40 + round, 0x5000);
		drop(u.base, 5);
		GUEST_CODE(&g, INC_ALL);
		run_to(&g, KVM_EXIT_HLT);
		for (unsigned i = 0; i < 0x5000; i++)
			assert_int_equal(other[i], 0x41 + round);
	}
	assert_int_equal(u.given, 15);
	userfault_stop(&u);
	munmap(other, 0x5000);
	close(fd);
	guest_close(&g);
}

/* ---- not the guest's instruction itself ---- */

static void test_page_walk(void **state)
{
	struct kvm_translation t = {.linear_address = 0x5678};
	struct userfault u;
	struct guest g;

	if (port.real) /* 32-bit paging is more than a kernel without hardware can be asked for */
		return;
	guest_open(&g);
	u = served(&g, UF_MISSING, 0xf000, 1);
	u.delay_us = 3000;
	memset(source, 0, sizeof(source));
	((u32 *)source)[0] = GUEST_PDE;
	or_skip(&g, start_missing(&u));
	for (int i = 1; i < 4; i++) {
		GUEST_CODE(&g, 0xfe, 0x05, 0x00, 0x30, 0x00, 0x00, 0xf4); /* incb 0x3000 */
		drop(u.base, 1);
		guest_paging(&g, 0xf000);
		run_to(&g, KVM_EXIT_HLT);
		assert_int_equal(*page(&g, 0x3000), i);
		assert_int_equal(u.given, i * 2 - 1);
		drop(u.base, 1);
		assert_int_equal(kvm_p(g.vcpu, KVM_TRANSLATE, &t), 0);
		assert_true(t.valid);
		assert_int_equal(t.physical_address, 0x5678);
		assert_int_equal(u.given, i * 2);
	}
	userfault_stop(&u);
	guest_close(&g);
}

#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01

/* The page of kvmclock, written by KVM_SET_MSRS or by the next KVM_RUN. */
static void test_clock_page(void **state)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} m = {{.nmsrs = 1}, {.index = MSR_KVM_SYSTEM_TIME_NEW, .data = 0x6001}};
	struct userfault u;
	struct guest g;

	guest_open(&g);
	u = served(&g, UF_MISSING, 0x6000, 1);
	u.delay_us = 3000;
	memset(source, 0, sizeof(source));
	or_skip(&g, start_missing(&u));
	GUEST_CODE(&g, 0xf4);
	assert_int_equal(kvm_p(g.vcpu, KVM_SET_MSRS, &m), 1);
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal(u.given, 1);
	assert_true(((u32 *)u.base)[0] >= 2); /* version */
	userfault_stop(&u);
	guest_close(&g);
}

/* ---- while a vcpu waits ---- */

struct runner {
	struct guest *g;
	pthread_t thread;
	_Atomic bool ready;
	long r;
};

static void nothing(int signo)
{
}

static void *run_thread(void *opaque)
{
	struct runner *r = opaque;

	atomic_store(&r->ready, true);
	r->r = kvm(r->g->vcpu, KVM_RUN, 0);
	return NULL;
}

static void start(struct runner *r, struct guest *g)
{
	*r = (struct runner){.g = g};
	assert_int_equal(pthread_create(&r->thread, NULL, run_thread, r), 0);
}

/* Does it end within a minute? */
static bool ends(struct runner *r)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += 60;
	return !pthread_timedjoin_np(r->thread, NULL, &t);
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/*
 * The kernel's KVM can be called away from a fault of a page that the processor wants (since Linux 6.2), but not where it
 * copies itself. A kernel without hardware emulates real mode, and so does nothing else.
 */
static bool copies_itself(void)
{
	if (port.real)
		printf("# the kernel's emulator cannot be called away\n");
	return port.real;
}

static double slowest;

/* A page that nobody brings until the vcpu has been called away by a signal. */
static void wait_and_signal(struct guest *g, struct userfault *u, u64 rip)
{
	unsigned before = u->waiting;
	struct runner r;
	double t;

	atomic_store(&u->hold, true);
	start(&r, g);
	userfault_await(u, before + 1);
	t = seconds();
	pthread_kill(r.thread, SIGUSR1);
	if (!ends(&r))
		fail_msg("the signal does not end KVM_RUN");
	t = seconds() - t;
	slowest = t > slowest ? t : slowest;
	assert_int_equal(r.r, -EINTR);
	assert_int_equal(g->run->exit_reason, KVM_EXIT_INTR);
	assert_int_equal(regs_of(g).rip, rip);
	atomic_store(&u->hold, false);
	run_to(g, KVM_EXIT_HLT);
}

static void test_signal(void **state)
{
	struct userfault u;
	struct guest g;

	if (copies_itself())
		return;
	guest_open(&g);
	memset(source, 0, sizeof(source));
	u = served(&g, UF_MISSING, 0x6000, 1);
	or_skip(&g, start_missing(&u));
	for (unsigned i = 0; i < ARRAY_SIZE(touches); i++) {
		set_code(&g, touches[i].code, touches[i].length);
		run_to(&g, KVM_EXIT_HLT);
		for (int round = 0; round < 2; round++) {
			drop(u.base, 1);
			set_code(&g, touches[i].code, touches[i].length);
			wait_and_signal(&g, &u, RAM_GPA);
		}
	}
	printf("# at most %.1f ms from signal to return\n", slowest * 1e3);
	userfault_stop(&u);
	guest_close(&g);
}

/* It waits for its own code, known or not. */
static void test_signal_fetch(void **state)
{
	struct userfault u;
	struct guest g;

	if (copies_itself())
		return;
	guest_open(&g);
	memset(source, 0xf4, sizeof(source));
	u = served(&g, UF_MISSING, 0x6000, 1);
	or_skip(&g, start_missing(&u));
	for (int round = 0; round < 3; round++) {
		drop(u.base, 1);
		GUEST_CODE(&g, 0xe9, 0xfd, 0x4f); /* jmp 0x6000 */
		wait_and_signal(&g, &u, 0x6000);
	}
	userfault_stop(&u);
	guest_close(&g);
}

/* A processor of its own, at its own code; that of the first one is untouched. */
static struct guest second_vcpu(const struct guest *g, u64 rip)
{
	struct guest other = *g;
	struct kvm_regs r;
	struct kvm_sregs s;

	other.vcpu = (int)kvm(g->vm, KVM_CREATE_VCPU, 1);
	assert_true(other.vcpu >= 0);
	other.run = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, other.vcpu, 0);
	assert_ptr_not_equal(other.run, MAP_FAILED);
	assert_int_equal(kvm_p(other.vcpu, KVM_GET_SREGS, &s), 0);
	s.cs.base = s.cs.selector = 0;
	assert_int_equal(kvm_p(other.vcpu, KVM_SET_SREGS, &s), 0);
	r = regs_of(&other);
	r.rip = rip;
	assert_int_equal(kvm_p(other.vcpu, KVM_SET_REGS, &r), 0);
	return other;
}

static void close_second(struct guest *other)
{
	munmap(other->run, PAGE_SIZE);
	kvm_close(other->vcpu);
}

/* Until the guest changes a byte: a signal from before KVM_RUN would be lost. */
static void await_counting(const u8 *byte)
{
	u8 was = __atomic_load_n(byte, __ATOMIC_RELAXED);

	while (__atomic_load_n(byte, __ATOMIC_RELAXED) == was)
		usleep(1000);
}

/* While one waits for its code, another one translates all the time; the signal is for that one. */
static void wait_and_signal_other(struct guest *g, struct guest *busy, struct userfault *u)
{
	unsigned before = u->waiting;
	struct runner r, b;

	drop(u->base, 1);
	GUEST_CODE(g, 0xe9, 0xfd, 0x4f); /* jmp 0x6000 */
	start(&b, busy);
	await_counting(page(g, 0x4003));
	atomic_store(&u->hold, true);
	start(&r, g);
	userfault_await(u, before + 1);
	usleep(20000);
	pthread_kill(b.thread, SIGUSR1);
	if (!ends(&b)) {
		printf("# a vcpu that nobody asked for keeps the other one from coming out\n");
		abort();
	}
	assert_int_equal(b.r, -EINTR);
	atomic_store(&u->hold, false);
	assert_true(ends(&r));
	assert_int_equal(r.r, 0);
	assert_int_equal(g->run->exit_reason, KVM_EXIT_HLT);
}

static void test_signal_other(void **state)
{
	static const u8 endless[] = {0xfe, 0x06, 0x03,
		0x40,              /* 3000: incb 0x4003, in the code that follows */
		0xe9, 0xf9, 0x0f}; /* jmp 0x4000 */
	static const u8 changing[] = {0x90, 0x90, 0xb0, 0x00, /* 4000: mov $0, %al */
		0xe9, 0xf9, 0xef};                            /* jmp 0x3000 */
	struct userfault u;
	struct guest g, busy;

	if (copies_itself())
		return;
	guest_open(&g);
	memcpy(page(&g, 0x3000), endless, sizeof(endless));
	memcpy(page(&g, 0x4000), changing, sizeof(changing));
	memset(source, 0xf4, sizeof(source));
	u = served(&g, UF_MISSING, 0x6000, 1);
	or_skip(&g, start_missing(&u));
	busy = second_vcpu(&g, 0x3000);
	for (int round = 0; round < 3; round++) /* first of code that is not known yet */
		wait_and_signal_other(&g, &busy, &u);
	userfault_stop(&u);
	close_second(&busy);
	guest_close(&g);
}

static void make_hyperv(const struct guest *g)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 e[1];
	} c = {{.nent = 1}, {{.function = 0x40000001, .eax = 0x31237648 /* Hv#1 */}}};

	assert_int_equal(kvm_p(g->vcpu, KVM_SET_CPUID2, &c), 0);
}

/* One waits for data; the other asks all the time that TLBs be flushed, that of the first one, too. */
static void test_signal_flush(void **state)
{
	static const u8 flush[] = {0x0f, 0x30,      /* 3000: wrmsr, the guest's identity */
		0x66, 0xb8, 0x02, 0x00, 0x01, 0x00, /* 1: mov $0x10002, %eax: fast, flush */
		0x66, 0x31, 0xd2, 0x66, 0x31, 0xdb, /* xor %edx, %edx; xor %ebx, %ebx */
		0x66, 0x31, 0xc9, 0x66, 0x31, 0xff, /* xor %ecx, %ecx; xor %edi, %edi */
		0x66, 0xbe, 0x01, 0x00, 0x00, 0x00, /* mov $1, %esi: all processors */
		0x0f, 0x01, 0xc1, 0xeb, 0xe3};      /* vmcall; jmp 1b */
	struct kvm_sregs s;
	struct kvm_regs r;
	struct userfault u;
	struct guest g, busy;
	struct runner w, b;

	if (copies_itself())
		return;
	guest_open(&g);
	memcpy(page(&g, 0x3000), flush, sizeof(flush));
	memset(source, 0, sizeof(source));
	u = served(&g, UF_MISSING, 0x6000, 1);
	or_skip(&g, start_missing(&u));
	busy = second_vcpu(&g, 0x3000);
	make_hyperv(&busy);
	assert_int_equal(kvm_p(busy.vcpu, KVM_GET_SREGS, &s), 0);
	s.cr0 |= 1; /* hypercalls are for protected mode */
	assert_int_equal(kvm_p(busy.vcpu, KVM_SET_SREGS, &s), 0);
	r = regs_of(&busy);
	r.rcx = 0x40000000;
	r.rax = 1;
	assert_int_equal(kvm_p(busy.vcpu, KVM_SET_REGS, &r), 0);
	GUEST_CODE(&g, 0xa0, 0x00, 0x60, 0xf4); /* mov 0x6000, %al */
	atomic_store(&u.hold, true);
	start(&w, &g);
	userfault_await(&u, 1);
	start(&b, &busy);
	usleep(50000);
	pthread_kill(b.thread, SIGUSR1);
	if (!ends(&b)) {
		printf("# a vcpu that waits for its page keeps the other one from coming out\n");
		abort();
	}
	assert_int_equal(b.r, -EINTR);
	assert_int_equal(busy.run->exit_reason, KVM_EXIT_INTR);
	atomic_store(&u.hold, false);
	assert_true(ends(&w));
	assert_int_equal(w.r, 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_HLT);
	userfault_stop(&u);
	close_second(&busy);
	guest_close(&g);
}

/* Only what may not be written is waited for: what was read before must be read again. */
static void test_signal_protected(void **state)
{
	struct userfault u;
	struct kvm_regs r;
	struct guest g;

	if (port.real) /* its emulator does accesses across pages in its own way */
		return;
	guest_open(&g);
	u = served(&g, UF_PROTECT, 0x6000, 1);
	or_skip(&g, userfault_start(&u));
	for (unsigned first = 1; first < 3; first++) { /* 5fff, 6000 and the like */
		for (int round = 0; round < 3; round++) {
			u32 v = 0x00fffeff;

			userfault_stop(&u);
			u.hold = false;
			memcpy(page(&g, 0x6000 - first), &v, 4);
			assert_true(userfault_start(&u));
			set_code(&g, (const u8 *)"\x66\xff\x07", 3); /* incl (%bx) */
			r = regs_of(&g);
			r.rbx = 0x6000 - first;
			assert_int_equal(kvm_p(g.vcpu, KVM_SET_REGS, &r), 0);
			atomic_store(&u.hold, true);
			struct runner w;
			start(&w, &g);
			userfault_await(&u, 1);
			pthread_kill(w.thread, SIGUSR1);
			usleep(50000);
			atomic_store(&u.hold, false);
			assert_true(ends(&w));
			if (w.r) {
				assert_int_equal(w.r, -EINTR);
				if (regs_of(&g).rip == RAM_GPA)
					run_to(&g, KVM_EXIT_HLT);
			}
			memcpy(&v, page(&g, 0x6000 - first), 4);
			assert_int_equal(v, 0x00ffff00);
		}
	}
	userfault_stop(&u);
	guest_close(&g);
}

/* The thread that brings the page asks for things first that do not wait for a vcpu in the kernel's KVM. */
static _Atomic long instead_result;

static void other_requests(struct userfault *u)
{
	struct guest *g = u->opaque;
	u64 bitmap = 0;
	struct kvm_dirty_log log = {.slot = 0, .dirty_bitmap = &bitmap};
	struct kvm_clock_data clock;
	int vcpu;

	instead_result = kvm_p(g->vm, KVM_GET_DIRTY_LOG, &log);
	instead_result |= kvm_p(g->vm, KVM_GET_CLOCK, &clock);
	vcpu = (int)kvm(g->vm, KVM_CREATE_VCPU, u->waiting);
	instead_result |= vcpu < 0 ? vcpu : 0;
	if (vcpu >= 0)
		kvm_close(vcpu);
}

static void test_requests(void **state)
{
	struct kvm_userspace_memory_region slot = {.flags = KVM_MEM_LOG_DIRTY_PAGES,
		.guest_phys_addr = RAM_GPA,
		.memory_size = RAM_BYTES};
	struct userfault u;
	struct runner r;
	struct guest g;

	guest_open(&g);
	slot.userspace_addr = (unsigned long)g.ram;
	assert_int_equal(kvm_p(g.vm, KVM_SET_USER_MEMORY_REGION, &slot), 0);
	u = served(&g, UF_MISSING, 0x3000, 5);
	u.instead = other_requests;
	u.opaque = &g;
	memset(source, 0, sizeof(source));
	or_skip(&g, start_missing(&u));
	for (int round = 0; round < 2; round++) {
		drop(u.base, 5);
		instead_result = 1;
		GUEST_CODE(&g, INC_ALL);
		start(&r, &g);
		if (!ends(&r)) {
			printf("# who brings the page waits for the vcpu, and the vcpu for the "
			       "page\n");
			abort();
		}
		assert_int_equal(r.r, 0);
		assert_int_equal(g.run->exit_reason, KVM_EXIT_HLT);
		assert_int_equal(instead_result, 0);
		for (unsigned i = 0; i < 0x5000; i++)
			assert_int_equal(u.base[i], 1);
	}
	userfault_stop(&u);
	guest_close(&g);
}

/* Nobody asks for the vcpu: it is left to wait, and asks once for a page. */
static void test_patience(void **state)
{
	struct userfault u;
	struct guest g;

	guest_open(&g);
	u = served(&g, UF_MISSING, 0x3000, 5);
	u.delay_us = 200000;
	memset(source, 0, sizeof(source));
	or_skip(&g, start_missing(&u));
	GUEST_CODE(&g, INC_ALL);
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal(u.given, 5);
	assert_int_equal(u.waiting, 5);
	userfault_stop(&u);
	guest_close(&g);
}

/* A process ends, by itself and by a signal, while its vcpu waits for ever. */
static void die_waiting(bool by_signal)
{
	struct userfault u;
	struct runner r;
	struct guest g;

	guest_open(&g);
	u = served(&g, UF_MISSING, 0x3000, 5);
	u.hold = true;
	if (!start_missing(&u))
		_exit(77);
	GUEST_CODE(&g, INC_ALL);
	start(&r, &g);
	userfault_await(&u, 1);
	if (by_signal)
		kill(getpid(), SIGTERM);
	else
		_exit(3);
	for (;;)
		pause();
}

static void test_exit(void **state)
{
	for (int by_signal = 0; by_signal < 2; by_signal++) {
		pid_t pid = fork();
		int status, n = 0;

		if (!pid) {
			signal(SIGTERM, SIG_DFL);
			die_waiting(by_signal);
		}
		while (!waitpid(pid, &status, WNOHANG)) {
			if (++n > 6000) {
				kill(pid, SIGKILL);
				waitpid(pid, &status, 0);
				fail_msg("it does not end");
			}
			usleep(10000);
		}
		if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
			skip();
		if (by_signal)
			assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
		else
			assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_touches),
		cmocka_unit_test(test_code),
		cmocka_unit_test(test_protected),
		cmocka_unit_test(test_protected_code),
		cmocka_unit_test(test_minor),
		cmocka_unit_test(test_page_walk),
		cmocka_unit_test(test_clock_page),
		cmocka_unit_test(test_signal),
		cmocka_unit_test(test_signal_fetch),
		cmocka_unit_test(test_signal_other),
		cmocka_unit_test(test_signal_flush),
		cmocka_unit_test(test_signal_protected),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_patience),
		cmocka_unit_test(test_exit),
	};
	const struct sigaction sa = {.sa_handler = nothing};

	port_start(argc, argv);
	sigaction(SIGUSR1, &sa, NULL);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
