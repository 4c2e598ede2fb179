/* SPDX-License-Identifier: MIT */
/*
 * Guests that would keep KVM_RUN for themselves: each must end it with EINTR soon after a signal, and so must whoever runs
 * beside it.
 *
 * How soon is told by the processor time that the vcpu's thread still uses, so that a busy machine does not count.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "tests/abi/port.h"
#include "tests/inside.h"

#define IS(fd, req, p, want) assert_int_equal(kvm_p(fd, req, p), want)

#define SOON_NS   1000000000ll /* it takes a millisecond or ten; sanitizers some more */
#define SETTLE_MS 2            /* of its processor time: on one CPU a vcpu may get little of it */
#define KICKS     5
#define IVT       0x3000
#define HANDLER   0x3800
#define OTHER     0x2000 /* code of the second vcpu */
#define FAR_RAM   0x20000
#define FAR_BYTES 0x10000

struct scene;

struct hostile {
	const char *name;
	void (*make)(struct scene *s);
	const u8 *code; /* in real mode at RAM_GPA */
	u8 len;
	u8 vector;          /* that has a handler */
	u8 handler[8];      /* its bytes */
	const u8 *other;    /* what a second vcpu runs, at OTHER */
	u8 other_len, msgs; /* mode of messages that a thread sends meanwhile, 0: none */
};

struct runner {
	struct scene *scene;
	int vcpu;
	struct kvm_run *run;
	pthread_t thread;
	_Atomic int tid;
	_Atomic unsigned ended; /* KVM_RUNs, by a signal */
	long odd;               /* another error */
};

struct scene {
	const struct hostile *h;
	struct guest g;
	u8 *far;
	struct runner r[2];
	unsigned vcpus;
	_Atomic bool stop;
};

static _Thread_local struct kvm_run *running;

/* As VMMs do it: a signal that comes before KVM_RUN ends that one, too. */
static void on_kick(int sig)
{
	if (running)
		running->immediate_exit = 1;
}

static void *runs(void *arg)
{
	struct runner *r = arg;
	long result;

	running = r->run;
	r->tid = gettid();
	while (!r->scene->stop) {
		result = kvm(r->vcpu, KVM_RUN, 0);
		if (result == -EINTR) {
			r->run->immediate_exit = 0;
			r->ended++;
		} else if (result && result != -EAGAIN) { /* what waits for SIPI, after an INIT */
			r->odd = result;
		}
	}
	running = NULL;
	return NULL;
}

static void *sends(void *arg)
{
	struct scene *s = arg;
	const struct kvm_msi m = {.address_lo = 0xfee00000, .data = (u32)s->h->msgs << 8};

	while (!s->stop)
		kvm_p(s->g.vm, KVM_SIGNAL_MSI, &m);
	return NULL;
}

static void kick(struct runner *r)
{
	const unsigned before = r->ended;
	long long start;

	while (!r->tid)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	inside_wait_thread(r->tid, SETTLE_MS);
	start = inside_used_ns(r->tid);
	pthread_kill(r->thread, SIGUSR1);
	while (r->ended == before) {
		nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
		if (inside_used_ns(r->tid) - start < SOON_NS)
			continue;
		fprintf(stderr, "%s: KVM_RUN goes on after a signal\n", r->scene->h->name);
		abort(); /* the thread would never end */
	}
}

/* ---- making them ---- */

static u8 *at(struct scene *s, u32 gpa)
{
	return gpa >= FAR_RAM ? s->far + (gpa - FAR_RAM) : s->g.ram + (gpa - RAM_GPA);
}

static void put64(struct scene *s, u32 gpa, u64 v)
{
	memcpy(at(s, gpa), &v, 8);
}

static void add_slot(struct scene *s, u32 slot, u64 gpa, u8 *host)
{
	const struct kvm_userspace_memory_region r = {slot, 0, gpa, FAR_BYTES, (unsigned long)host};

	IS(s->g.vm, KVM_SET_USER_MEMORY_REGION, &r, 0);
}

static void real_mode(struct scene *s, int vcpu, u64 rip)
{
	const struct kvm_regs regs = {.rip = rip, .rflags = 2, .rsp = 0x8000};
	const u32 handler = HANDLER;
	struct kvm_sregs sregs;

	IS(vcpu, KVM_GET_SREGS, &sregs, 0);
	sregs.cs.base = sregs.cs.selector = 0;
	sregs.idt = (struct kvm_dtable){.base = IVT, .limit = 0x3ff};
	IS(vcpu, KVM_SET_SREGS, &sregs, 0);
	IS(vcpu, KVM_SET_REGS, &regs, 0);
	memcpy(at(s, IVT + 4u * s->h->vector), &handler, 4);
	memcpy(at(s, HANDLER), s->h->handler, sizeof(s->h->handler));
}

static void flat(struct scene *s, u32 gdt, u32 idt, u32 task)
{
	const struct kvm_segment data = {
		.limit = ~0u, .selector = 0x10, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1};
	const struct kvm_regs regs = {.rip = RAM_GPA, .rflags = 2, .rsp = 0x3800};
	struct kvm_sregs r;

	IS(s->g.vcpu, KVM_GET_SREGS, &r, 0);
	r.ds = r.es = r.fs = r.gs = r.ss = r.cs = data;
	r.cs.selector = 8;
	r.cs.type = 11;
	r.tr = (struct kvm_segment){
		.base = task, .limit = 0x67, .selector = 0x20, .type = 11, .present = 1};
	r.gdt = (struct kvm_dtable){.base = gdt, .limit = 0xffff};
	r.idt = (struct kvm_dtable){.base = idt, .limit = 0x7ff};
	r.cr0 |= 1;
	IS(s->g.vcpu, KVM_SET_SREGS, &r, 0);
	IS(s->g.vcpu, KVM_SET_REGS, &regs, 0);
}

#define GDT    0x5000
#define IDT    0x9000
#define TASK_A 0x4000
#define TASK_B 0x6000
#define TASK_C 0x7000

/* T is set. ESI and EDI, where the task is saved, are its own descriptor: available. */
static void put_task(struct scene *s, u32 task, u32 ss, u32 esp)
{
	const u32 t[26] = {[8] = RAM_GPA,
		2,
		[14] = esp,
		0,
		task << 16 | 0x67,
		0x8900,
		[18] = 0x10,
		8,
		ss,
		0x10,
		0x10,
		0x10,
		[25] = 1};

	memcpy(at(s, task), t, sizeof(t));
}

/*
 * #DB is a task that traps; for the #DB that this makes it is busy, and #GP is another task that traps, by which the first
 * becomes available again. No instruction is ever done.
 */
static void make_tasks(struct scene *s)
{
	put64(s, GDT + 0x08, 0x00cf9b000000ffff);
	put64(s, GDT + 0x10, 0x00cf93000000ffff);
	put64(s, GDT + 0x18, 0x000093020000ffff); /* a stack that wraps around in FAR_RAM */
	put_task(s, TASK_B, 0x10, 0x3000);
	put_task(s, TASK_C, 0x18, 0x8000);
	put64(s, IDT + 8, (u64)(TASK_B + 0x40 - GDT) << 16 | 0x85ull << 40);
	put64(s, IDT + 13 * 8, (u64)(TASK_C + 0x40 - GDT) << 16 | 0x85ull << 40);
	flat(s, GDT, IDT, TASK_A);
}

/* No IDT: what is raised ends in a shutdown, and the next KVM_RUN in another. */
static void make_no_idt(struct scene *s)
{
	struct kvm_sregs r;

	IS(s->g.vcpu, KVM_GET_SREGS, &r, 0);
	r.idt.limit = 0;
	IS(s->g.vcpu, KVM_SET_SREGS, &r, 0);
}

/* Protected mode with an IDT where there is no memory. */
static void make_bad_idt(struct scene *s)
{
	put64(s, GDT + 0x08, 0x00cf9b000000ffff);
	put64(s, GDT + 0x10, 0x00cf93000000ffff);
	flat(s, GDT, 0xd0000000, TASK_A);
}

/* All of 64 KiB onto itself. */
static void make_copies(struct scene *s)
{
	struct kvm_sregs r;

	IS(s->g.vcpu, KVM_GET_SREGS, &r, 0);
	r.ds.base = r.es.base = RAM_GPA;
	IS(s->g.vcpu, KVM_SET_SREGS, &r, 0);
}

static void make_cold(struct scene *s)
{
	for (unsigned i = 0; i < 106; i += 2)
		memcpy(at(s, RAM_GPA + i), (const u8[]){0xf3, 0xa4}, 2);
	memcpy(at(s, RAM_GPA + 106), (const u8[]){0xeb, 0x94}, 2); /* jmp to the first */
}

static void make_trap_flag(struct scene *s)
{
	struct kvm_regs r = {.rip = RAM_GPA, .rflags = 0x102, .rsp = 0x8000};

	IS(s->g.vcpu, KVM_SET_REGS, &r, 0);
}

/* The byte at the page's end says whether the instruction goes on in the next. */
static void make_race(struct scene *s)
{
	memcpy(at(s, 0x2ffe + 0x2000), (const u8[]){0xb8, 0x90, 0x90, 0xc3}, 4);
}

/* Where an INIT leads to. */
static void make_rom(struct scene *s)
{
	memcpy(s->far + 0xfff0, (const u8[]){0xeb, 0xfe}, 2);
	add_slot(s, 2, 0xffff0000, s->far);
}

#define CODE(...) .code = (const u8[]){__VA_ARGS__}, .len = sizeof((const u8[]){__VA_ARGS__})
#define BESIDE(...)                                                                                \
	.other = (const u8[]){__VA_ARGS__}, .other_len = sizeof((const u8[]){__VA_ARGS__})

enum { NMI = 4, INIT = 5 };

static const struct hostile guests[] = {
	{.name = "jmp $", CODE(0xeb, 0xfe)},
	{.name = "tasks that trap", .make = make_tasks, CODE(0xf1, 0xf4)},
	{.name = "triple faults", .make = make_no_idt, CODE(0xcc)},
	{.name = "an IDT in no memory", .make = make_bad_idt, CODE(0xcc)},
	{.name = "rep movsb", /* xor si, si; xor di, di; mov cx, -1; rep movsb; jmp */
		.make = make_copies,
		CODE(0x31, 0xf6, 0x31, 0xff, 0xb9, 0xff, 0xff, 0xf3, 0xa4, 0xeb, 0xf5)},
	{.name = "53 times rep movsb", .make = make_cold, CODE(0x90)},
	{.name = "#DB of TF",
		.make = make_trap_flag,
		CODE(0xeb, 0xfe),
		.vector = 1,
		.handler = {0xcf}},
	{.name = "#UD in its handler", /* mov sp, 8000h; ud2 */
		CODE(0x0f, 0x0b),
		.vector = 6,
		.handler = {0xbc, 0x00, 0x80, 0x0f, 0x0b}},
	{.name = "mov ss, ax", CODE(0x8e, 0xd0, 0xeb, 0xfc)},
	{.name = "popf with TF, its handler does it again", /* push 102h; popf; jmp */
		CODE(0x68, 0x02, 0x01, 0x9d, 0xeb, 0xfa),
		.vector = 1,
		.handler = {0xbc, 0x00, 0x80, 0x68, 0x02, 0x01, 0x9d, 0x90}},
	{.name = "NMIs", CODE(0xeb, 0xfe), .vector = 2, .handler = {0xcf}, .msgs = NMI},
	{.name = "INITs", .make = make_rom, CODE(0xeb, 0xfe), .msgs = INIT},
	{.name = "code that another vcpu changes", /* call 4ffeh; jmp */
		.make = make_race,
		CODE(0xe8, 0xfb, 0x3f, 0xeb, 0xfb),
		/* mov byte [4ffeh], b8h; mov byte [4ffeh], c3h; jmp */
		BESIDE(0xc6, 0x06, 0xfe, 0x4f, 0xb8, 0xc6, 0x06, 0xfe, 0x4f, 0xc3, 0xeb, 0xf4)},
};

/* ---- the test ---- */

static void add_vcpu(struct scene *s, int vcpu, struct kvm_run *run)
{
	s->r[s->vcpus++] = (struct runner){.scene = s, .vcpu = vcpu, .run = run};
}

static void add_second(struct scene *s)
{
	const struct kvm_mp_state runs_now = {KVM_MP_STATE_RUNNABLE};
	const size_t size = (size_t)kvm(s->g.sys, KVM_GET_VCPU_MMAP_SIZE, 0);
	const int vcpu = (int)kvm(s->g.vm, KVM_CREATE_VCPU, 1);
	void *run;

	assert_true(vcpu >= 0);
	run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	assert_true(run != MAP_FAILED);
	IS(vcpu, KVM_SET_MP_STATE, &runs_now, 0);
	memcpy(at(s, OTHER), s->h->other, s->h->other_len);
	real_mode(s, vcpu, OTHER);
	add_vcpu(s, vcpu, run);
}

static void open_scene(struct scene *s)
{
	guest_open_irqchip(&s->g);
	s->far = mmap(NULL, FAR_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(s->far != MAP_FAILED);
	add_slot(s, 1, FAR_RAM, s->far);
	memcpy(at(s, RAM_GPA), s->h->code, s->h->len);
	real_mode(s, s->g.vcpu, RAM_GPA);
	if (s->h->make)
		s->h->make(s);
	add_vcpu(s, s->g.vcpu, s->g.run);
	if (s->h->other)
		add_second(s);
}

static void close_scene(struct scene *s)
{
	if (s->vcpus > 1) {
		munmap(s->r[1].run, (size_t)kvm(s->g.sys, KVM_GET_VCPU_MMAP_SIZE, 0));
		kvm_close(s->r[1].vcpu);
	}
	guest_close(&s->g);
	munmap(s->far, FAR_BYTES);
}

static void one_guest(const struct hostile *h)
{
	struct scene s = {.h = h};
	pthread_t sender;

	open_scene(&s);
	if (h->msgs)
		pthread_create(&sender, NULL, sends, &s);
	for (unsigned i = 0; i < s.vcpus; i++)
		pthread_create(&s.r[i].thread, NULL, runs, &s.r[i]);
	for (unsigned n = 0; n < KICKS; n++)
		for (unsigned i = 0; i < s.vcpus; i++)
			kick(&s.r[i]);
	s.stop = true;
	for (unsigned i = 0; i < s.vcpus; i++) {
		pthread_kill(s.r[i].thread, SIGUSR1);
		pthread_join(s.r[i].thread, NULL);
		assert_int_equal(s.r[i].odd, 0);
	}
	if (h->msgs)
		pthread_join(sender, NULL);
	close_scene(&s);
}

static void test_kicks(void **state)
{
	const struct sigaction a = {.sa_handler = on_kick};

	sigaction(SIGUSR1, &a, NULL);
	for (unsigned i = 0; i < ARRAY_SIZE(guests); i++)
		one_guest(&guests[i]);
}

/* Who waits for another vcpu is in its way. */
static void test_kicks_on_one_cpu(void **state)
{
	cpu_set_t before, one;
	unsigned cpu = 0;

	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	while (!CPU_ISSET(cpu, &before))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	test_kicks(state);
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kicks),
		cmocka_unit_test(test_kicks_on_one_cpu),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
