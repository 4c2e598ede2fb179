/* SPDX-License-Identifier: MIT */
/*
 * fuzz-vcpus: one to four vcpus run hostile code (hostile.h), each on its thread, while one thread of the VMM changes slots
 * (places.h) and another injects, kicks and fires irqfds. In some cases most of it is about large memory: TLBs are full
 * when an event and a change of slots come at once.
 *
 * No memory that is not the guest's may change or be seen, nothing may crash or hang, a kick ends KVM_RUN at once, code that
 * a vcpu changes itself is run as it is then, and an exit for a memory fault says nothing that it has not been told.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "fuzz/hostile.h"
#include "fuzz/places.h"

static const char *const ingredients[] = {"strings", "traps", "ipis", "tables", "selectors", "smc",
	"msrs", "calls", "control", "io", "repeated", "random", "sweeps", "slots", "large",
	"collisions", "protect", "refused", "events", "irqfds", "kicks", "states", NULL};

/* Far more than it takes, for hosts that are busy and sanitizers: of the thread's processor time, and by the clock. */
#define KICK_CPU_NS 2000000000ll
#define KICK_NS     30000000000ll
#define SURE        3 /* times in a row that changed code must be run as it was */

struct crowd;

struct processor {
	struct crowd *all;
	int number;
	struct hostile h;
	struct random r; /* of its thread */
	pthread_t thread;
	_Atomic bool ended;
	_Atomic u64 returned; /* from KVM_RUN */
	_Atomic s64 out_ns;   /* the thread's processor time when a kick had ended it */
	u32 at;               /* the piece that it was started with */
	unsigned stale;       /* times in a row at SMC_PORT */
};

struct crowd {
	struct box b;
	struct places places;
	struct processor p[BOX_VCPUS];
	struct random r; /* of events() */
	pthread_mutex_t tables;
	bool irqchip, tasks;
	bool sweeping; /* most of what vcpus do, and what slots change, is in the large memory */
	int event;
	_Atomic bool stop;
};

/* 0: the clock was that of a thread which has ended. */
static s64 ns_of(clockid_t clock)
{
	struct timespec t;

	if (clock_gettime(clock, &t))
		return 0;
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* ---- a vcpu's thread ---- */

static void restore_tables(struct crowd *all)
{
	const u64 apic = 0xfee00000 | 0x1f, pdpt[] = {0x3001, 0xc001};

	pthread_mutex_lock(&all->tables);
	box_tables(&all->b);
	memcpy(all->b.ram + 0x4000 + APIC_AT / 4096 * 8, &apic, 8);
	memcpy(all->b.ram + 0x2f00, pdpt, sizeof(pdpt)); /* CR3 of PAE paging */
	places_tables(&all->b);
	if (all->tasks)
		box_tasks(&all->b);
	pthread_mutex_unlock(&all->tables);
}

static void set_mode(struct processor *p)
{
	const int fd = p->all->b.vcpu[p->number];
	struct kvm_sregs s;

	box_do(&p->all->b, fd, KVM_GET_SREGS, &s);
	s.cr4 |= rnd_chance(&p->r, 60) ? 0x80 : 0; /* PGE */
	if (p->h.mode == MODE_PAE) {
		s.cr3 = 0x2f00;
		s.cr4 |= 0x20;
		s.cr0 |= 0x80000000;
	} else if (p->h.mode == MODE_REAL) {
		s.cr0 = 0x10;
		s.cs.db = s.ss.db = 0;
		s.idt.base = 0;
	}
	box_do(&p->all->b, fd, KVM_SET_SREGS, &s);
}

static void start(struct processor *p, unsigned piece)
{
	struct box *b = &p->all->b;
	struct kvm_regs r;

	p->at = piece;
	box_start(b, p->number, p->h.mode == MODE_LONG);
	set_mode(p);
	box_do(b, b->vcpu[p->number], KVM_GET_REGS, &r);
	r.rip = p->h.entry[piece];
	r.rflags |= rnd_chance(&p->r, 50) ? 0x200 : 0;
	r.rsi = place_address(&p->r);
	r.rdi = place_address(&p->r);
	box_do(b, b->vcpu[p->number], KVM_SET_REGS, &r);
}

static void check_registers(struct processor *p)
{
	struct kvm_regs r = {0};

	box_do(&p->all->b, p->all->b.vcpu[p->number], KVM_GET_REGS, &r);
	for (unsigned i = 0; i < 16; i++)
		if ((&r.rax)[i] == CANARY)
			finding("general register %u of vcpu %d has what is in no slot", i,
				p->number);
}

/* What only a vcpu's own thread can do without waiting for it. */
static void set_state(struct processor *p)
{
	struct box *b = &p->all->b;
	const int fd = b->vcpu[p->number];
	struct kvm_vcpu_events e = {0};
	struct kvm_debugregs d = {0};
	struct kvm_interrupt irq = {(u32)rnd_below(&p->r, 256)};
	struct kvm_guest_debug debug = {.control = (u32)rnd_below(&p->r, 4)};
	struct kvm_mp_state mp = {(u32)rnd_below(&p->r, 5)};

	switch (rnd_below(&p->r, 8)) {
	case 0:
		box_do(b, fd, KVM_GET_VCPU_EVENTS, &e);
		((u8 *)&e)[rnd_below(&p->r, sizeof(e))] ^= (u8)(1u << rnd_below(&p->r, 8));
		box_do(b, fd, KVM_SET_VCPU_EVENTS, &e);
		break;
	case 1:
		box_do(b, fd, KVM_GET_DEBUGREGS, &d);
		d.db[rnd_below(&p->r, 4)] = place_address(&p->r);
		d.dr7 = rnd(&p->r) & 0xffff27ff;
		box_do(b, fd, KVM_SET_DEBUGREGS, &d);
		break;
	case 2: box_do(b, fd, KVM_NMI, NULL); break;
	case 3: box_do(b, fd, KVM_SMI, NULL); break;
	case 4: box_do(b, fd, KVM_INTERRUPT, &irq); break;
	case 5: box_do(b, fd, KVM_SET_GUEST_DEBUG, &debug); break;
	case 6: box_do(b, fd, KVM_SET_MP_STATE, &mp); break;
	default: b->run[p->number]->request_interrupt_window = (u8)rnd_below(&p->r, 2);
	}
}

static void restart(struct processor *p)
{
	check_registers(p);
	if (rnd_chance(&p->r, 10))
		restore_tables(p->all);
	start(p, (unsigned)rnd_below(&p->r, p->h.pieces));
	p->stale = 0;
}

/* Has somebody written over the code? Then it is as it was from now on. */
static bool code_spoilt(struct processor *p)
{
	if (!memcmp(p->h.c.p, p->h.was, CODE_BYTES))
		return false;
	memcpy(p->h.c.p, p->h.was, CODE_BYTES);
	return true;
}

/* Somebody else may have made it so: code at random, an interrupt, other tables. Not again and again. */
static void stale_code(struct processor *p)
{
	struct kvm_regs r = {0};

	box_do(&p->all->b, p->all->b.vcpu[p->number], KVM_GET_REGS, &r);
	if (code_spoilt(p) || !p->h.smc[p->at] || r.rip != p->h.smc[p->at] + 2) {
		restart(p);
		return;
	}
	if (++p->stale > SURE)
		finding("vcpu %d, mode %d, runs code as it was before it has changed it: at %#llx",
			p->number, p->h.mode, (unsigned long long)r.rip);
	restore_tables(p->all);
	start(p, p->at);
}

/* Long enough for a slot to go while something is half done: an answer that is awaited, a trap that is held back. */
static void wait_for_change(struct processor *p)
{
	const u64 before = p->all->places.steps;

	for (unsigned i = 0; i < 40 && p->all->places.steps == before && !p->all->stop; i++)
		usleep(50);
}

static void after_io(struct processor *p, struct kvm_run *run)
{
	if (run->io.port == SMC_PORT && run->io.direction) {
		stale_code(p);
		return;
	}
	if (rnd_chance(&p->r, 20))
		wait_for_change(p);
	if (!run->io.direction)
		memset((u8 *)run + run->io.data_offset, (int)rnd(&p->r), run->io.size);
	if (run->io.port == 0x11 || rnd_chance(&p->r, 5))
		restart(p);
}

static void after_fault(struct processor *p, struct kvm_run *run)
{
	const struct kvm_run_memory_fault *f = (const void *)&run->hw;

	if (run->exit_reason == KVM_EXIT_MEMORY_FAULT && f->flags)
		finding("a memory fault of shared memory has flags %#llx",
			(unsigned long long)f->flags);
	if (rnd_chance(&p->r, 80))
		restart(p);
}

/* For an interrupt, or since INIT. */
static bool waits(struct processor *p)
{
	struct kvm_mp_state s = {KVM_MP_STATE_RUNNABLE};

	box_do(&p->all->b, p->all->b.vcpu[p->number], KVM_GET_MP_STATE, &s);
	return s.mp_state != KVM_MP_STATE_RUNNABLE;
}

static void after_exit(struct processor *p, long result)
{
	struct kvm_run *run = p->all->b.run[p->number];

	if (with(STATES) && rnd_chance(&p->r, 4))
		set_state(p);
	if (result == -EFAULT) {
		after_fault(p, run);
	} else if (result == -EINTR) {
		if (rnd_chance(&p->r, waits(p) ? 70 : 30))
			restart(p);
	} else if (!result && run->exit_reason == KVM_EXIT_IO) {
		after_io(p, run);
	} else if (!result && run->exit_reason == KVM_EXIT_MMIO) {
		if (rnd_chance(&p->r, 5))
			wait_for_change(p);
		memset(run->mmio.data, (int)rnd(&p->r), sizeof(run->mmio.data));
		if (rnd_chance(&p->r, 10))
			restart(p);
	} else {
		restart(p);
	}
}

static void *runs(void *arg)
{
	struct processor *p = arg;
	struct box *b = &p->all->b;
	sigset_t kicks;
	long r;

	start(p, 0);
	while (!p->all->stop) {
		r = box_do(b, b->vcpu[p->number], KVM_RUN, NULL);
		if (r == -EINTR)
			p->out_ns = ns_of(CLOCK_THREAD_CPUTIME_ID);
		/* Before it is counted: a kick that comes from now on counts for the next one. */
		__atomic_store_n(&b->run[p->number]->immediate_exit, 0, __ATOMIC_SEQ_CST);
		p->returned++;
		if (!p->all->stop)
			after_exit(p, r);
	}
	/* A kick that comes too late must not find the C library, or a sanitizer, taking the thread to pieces. */
	sigemptyset(&kicks);
	sigaddset(&kicks, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &kicks, NULL);
	p->ended = true;
	return NULL;
}

/* ---- kicks ---- */

static void kick(struct processor *p, bool immediate)
{
	const u64 before = p->returned;
	const s64 begin = ns_of(CLOCK_MONOTONIC);
	clockid_t clock;
	s64 cpu;

	if (p->ended || pthread_getcpuclockid(p->thread, &clock))
		return;
	cpu = ns_of(clock);
	p->out_ns = 0;
	if (immediate)
		__atomic_store_n(&p->all->b.run[p->number]->immediate_exit, 1, __ATOMIC_SEQ_CST);
	pthread_kill(p->thread, SIGUSR1);
	while (p->returned == before && !p->ended) {
		usleep(20);
		if (ns_of(clock) - cpu > KICK_CPU_NS || ns_of(CLOCK_MONOTONIC) - begin > KICK_NS)
			finding("vcpu %d is kicked and KVM_RUN goes on: %lld ms of processor time, "
				"%lld ms",
				p->number, (long long)(ns_of(clock) - cpu) / 1000000,
				(long long)(ns_of(CLOCK_MONOTONIC) - begin) / 1000000);
		if (!immediate) /* it may have come before KVM_RUN */
			pthread_kill(p->thread, SIGUSR1);
	}
	if (p->out_ns > cpu)
		note_worst((u64)(p->out_ns - cpu) / 1000);
}

/* ---- events ---- */

static void send(struct crowd *all, u32 target, u32 mode, u32 vector)
{
	const struct kvm_msi m = {
		.address_lo = 0xfee00000 | target << 12, .data = vector | mode << 8};

	box_do(&all->b, all->b.vm, KVM_SIGNAL_MSI, &m);
}

static void message(struct crowd *all, struct random *r)
{
	static const u8 modes[] = {0, 0, 2, 2, 4, 4, 5, 5, 6, 6, 7};
	const u32 target = (u32)rnd_below(r, 5), vector = (u32)rnd_below(r, 256);
	const struct kvm_irq_level line = {
		.irq = (u32)rnd_below(r, 24), .level = (u32)rnd_below(r, 2)};
	const u64 one = 1;

	switch (rnd_below(r, 4)) {
	case 0: box_do(&all->b, all->b.vm, KVM_IRQ_LINE, &line); break;
	case 1:
		if (with(IRQFDS) && write(all->event, &one, 8) == 8)
			break;
		/* fall through */
	default: send(all, target, RND_OF(r, modes), vector);
	}
}

/* An event just before slots change: who takes it is on the way out by then, or does so outside. */
static void collide(struct crowd *all, struct random *r)
{
	static const u8 modes[] = {0, 2, 4, 5, 5, 5};
	const u32 target = rnd_chance(r, 60) ? 0xff : (u32)rnd_below(r, 4);
	s64 until;

	if (!all->irqchip || !with(COLLISIONS) || !rnd_chance(r, all->sweeping ? 80 : 15))
		return;
	for (int i = 0; with(KICKS) && i < all->b.vcpus; i++) /* who waits goes on */
		pthread_kill(all->p[i].thread, SIGUSR1);
	usleep((useconds_t)rnd_below(r, 3000));
	send(all, target, RND_OF(r, modes), (u32)rnd_below(r, 256));
	if (rnd_chance(r, 60)) { /* on a busy host our processor may be the one that it needs */
		usleep((useconds_t)rnd_below(r, 60));
		return;
	}
	until = ns_of(CLOCK_MONOTONIC) + (s64)rnd_below(r, 60000);
	while (ns_of(CLOCK_MONOTONIC) < until)
		;
}

static void *events(void *arg)
{
	struct crowd *all = arg;
	struct random r = all->r;

	while (!all->stop) {
		if (with(EVENTS) && all->irqchip && rnd_chance(&r, 60))
			message(all, &r);
		else if (with(KICKS))
			kick(&all->p[rnd_below(&r, (u64)all->b.vcpus)], rnd_chance(&r, 50));
		if (rnd_chance(&r, 50))
			usleep((useconds_t)rnd_below(&r, 1500));
	}
	return NULL;
}

static void make_irqfd(struct crowd *all, struct random *r)
{
	struct kvm_irqfd f = {.fd = (u32)all->event, .gsi = (u32)rnd_below(r, 24)};

	if (all->irqchip)
		box_do(&all->b, all->b.vm, KVM_IRQFD, &f);
}

/* ---- cases ---- */

static void make(struct crowd *all, struct random *r)
{
	const bool sweeping = with(LARGE) && rnd_chance(r, 40);
	const int vcpus = sweeping ? 1 + (int)rnd_below(r, 2) : 2 + (int)rnd_below(r, 3);
	const unsigned large = sweeping ? 80 : with(LARGE) && rnd_chance(r, 50) ? 20 : 0;

	all->sweeping = sweeping;
	all->irqchip = rnd_chance(r, 70);
	all->tasks = rnd_chance(r, 40);
	box_open(&all->b, vcpus, all->irqchip,
		rnd_chance(r, 30) ? KVM_X86_SW_PROTECTED_VM : KVM_X86_DEFAULT_VM);
	all->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	make_irqfd(all, r);
	for (int i = 0; i < vcpus; i++) {
		struct processor *p = &all->p[i];

		*p = (struct processor){.all = all, .number = i};
		p->h = (struct hostile){.b = &all->b,
			.r = rnd_fork(r),
			.mode = (enum mode)rnd_below(r, MODES),
			.vcpu = i,
			.often = sweeping ? SWEEPS : PIECE_KINDS};
		p->r = rnd_fork(r);
		if (rnd_chance(r, 60))
			p->h.mode = rnd_chance(r, 70) ? MODE_LONG : MODE_FLAT;
		if (rnd_chance(r, 30))
			box_hyperv(&all->b, i);
		hostile_make(&p->h);
	}
	all->r = rnd_fork(r);
	restore_tables(all);
	places_open(&all->places, &all->b, large, rnd_fork(r));
}

static void change_slots(struct crowd *all)
{
	struct random r = rnd_fork(&all->places.r);

	for (u64 n = 40 + rnd_below(&r, 40); n; n--) {
		progress("slots change");
		collide(all, &r);
		if (with(SLOTS))
			places_step(&all->places);
		if (rnd_chance(&r, 60))
			usleep((useconds_t)rnd_below(&r, 800));
	}
	progress("slots go");
	places_empty(&all->places);
}

static void one_case(struct random *r)
{
	struct crowd all = {.tables = PTHREAD_MUTEX_INITIALIZER};
	pthread_t other;

	make(&all, r);
	for (int i = 0; i < all.b.vcpus; i++)
		pthread_create(&all.p[i].thread, NULL, runs, &all.p[i]);
	pthread_create(&other, NULL, events, &all);
	change_slots(&all);
	all.stop = true;
	progress("the threads end");
	pthread_join(other, NULL);
	for (int i = 0; i < all.b.vcpus; i++) {
		kick(&all.p[i], true);
		pthread_join(all.p[i].thread, NULL);
	}
	progress("the machine is closed");
	places_check(&all.places);
	box_check_secret(&all.b);
	places_close(&all.places);
	box_close(&all.b);
	close(all.event);
}

int main(int argc, char **argv)
{
	static const struct fuzzer f = {.name = "vcpus",
		.ingredients = ingredients,
		.pass_seconds = 5,
		.hang_seconds = 60,
		.interrupts = SIGUSR1,
		.worst = "us of processor time from a kick to the end of KVM_RUN",
		.one_case = one_case};

	return fuzz_main(&f, argc, argv);
}
