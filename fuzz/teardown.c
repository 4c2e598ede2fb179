/* SPDX-License-Identifier: MIT */
/*
 * fuzz-teardown: a machine is taken apart while all of it is at work. Vcpus run, timers and irqfds fire, rings fill, somebody
 * waits in userfaultfd, vcpus are made; and threads close its descriptors in any order, duplicates too, unmap kvm_run, fork.
 *
 * Nothing may crash or hang; a closed descriptor is no longer ours, a child is refused, and afterwards the process holds
 * what it held before (cases.c): descriptors, threads, memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuzz/box.h"

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

enum { DUPS, FORKS, UNMAPS, VCPUS, IRQFDS, TIMERS, SINTS, RINGS, FAULTS };
static const char *const ingredients[] = {
	"dups", "forks", "unmaps", "vcpus", "irqfds", "timers", "sints", "rings", "faults", NULL};

#define THINGS      64
#define EVENTS      4
#define CLOSERS     2
#define RUNNERS     12
#define CROWD       48
#define SLOT_BYTES  0x40000
#define RING_BYTES  0x4000
#define FAULT_BYTES 0x10000

/* What is there to be closed or unmapped, once. */
struct thing {
	_Atomic int fd; /* -1: none any more */
	void *pages;
	size_t bytes;
};

struct wreck;

struct runner {
	struct wreck *w;
	int fd;
	struct random r;
	pthread_t thread;
	_Atomic bool ended;
};

struct wreck {
	struct box b;
	struct thing thing[THINGS];
	_Atomic unsigned things;
	struct runner runner[RUNNERS];
	_Atomic unsigned runners;
	int event[EVENTS], epoll, uffd;
	u8 *slot, *fault;
	bool synic, ring;
	_Atomic bool stop, quiet; /* for vcpus, for events */
};

static void add_thing(struct wreck *w, int fd, void *pages, size_t bytes)
{
	const unsigned i = w->things;

	if (fd < 0 || i >= THINGS)
		return;
	w->thing[i].pages = pages;
	w->thing[i].bytes = bytes;
	w->thing[i].fd = fd;
	w->things++;
}

/* ---- what is at work ---- */

/* Until the vcpu is gone, or all is over. The engine has to live with whatever becomes of kvm_run meanwhile. */
static void *runs(void *arg)
{
	struct runner *k = arg;
	struct box *b = &k->w->b;
	struct kvm_regs r = {.rip = AT_CODE, .rflags = 0x202, .rsp = AT_STACK + 0x4000};
	long result;

	do {
		if (rnd_chance(&k->r, 5))
			box_do(b, k->fd, KVM_SET_REGS, &r);
		result = box_do(b, k->fd, KVM_RUN, NULL);
	} while (result != -EBADF && result != -ENOTTY && !k->w->stop);
	k->ended = true;
	return NULL;
}

static void add_runner(struct wreck *w, int fd, struct random r)
{
	struct runner *k = &w->runner[w->runners];

	*k = (struct runner){.w = w, .fd = fd, .r = r};
	if (!pthread_create(&k->thread, NULL, runs, k))
		w->runners++;
}

static void *fires(void *arg)
{
	struct wreck *w = arg;
	const u64 one = 1;

	while (!w->quiet)
		for (unsigned i = 0; i < EVENTS; i++)
			if (write(w->event[i], &one, 8) != 8 && errno != EAGAIN)
				finding("an eventfd cannot be written: %s", strerror(errno));
	return NULL;
}

static void kick_all(struct wreck *w)
{
	for (unsigned i = 0; i < w->runners; i++)
		if (!w->runner[i].ended)
			pthread_kill(w->runner[i].thread, SIGUSR1);
}

/* A descriptor's number may be that of another vcpu by now, which somebody waits for. */
static void *ticks(void *arg)
{
	struct wreck *w = arg;

	while (!w->stop) {
		kick_all(w);
		usleep(1000);
	}
	return NULL;
}

/* ---- making it ---- */

static void set_msr(struct wreck *w, int vcpu, u32 index, u64 value)
{
	struct {
		struct kvm_msrs h;
		struct kvm_msr_entry e;
	} m = {.h.nmsrs = 1, .e = {.index = index, .data = value}};

	box_do(&w->b, vcpu, KVM_SET_MSRS, &m);
}

/* A SynIC with a message page, two synthetic timers that come again, a local APIC's timer. */
static void start_timers(struct wreck *w, int vcpu)
{
	struct kvm_lapic_state l = {0};
	const u32 lvt = 0x20030, count = 2000, divide = 0xb, svr = 0x1ff;

	if (w->synic) {
		set_msr(w, vcpu, 0x40000080, 1);
		set_msr(w, vcpu, 0x40000083, (AT_SHARED + 0x8000) | 1);
		set_msr(w, vcpu, 0x40000092, 0x31);
		for (u32 i = 0; i < 2; i++) {
			set_msr(w, vcpu, 0x400000b1 + 2 * i, 500 + 300 * i);
			set_msr(w, vcpu, 0x400000b0 + 2 * i, 0x20003); /* periodic, SINT 2 */
		}
	}
	if (!with(TIMERS) || box_do(&w->b, vcpu, KVM_GET_LAPIC, &l))
		return;
	memcpy(l.regs + 0xf0, &svr, 4);
	memcpy(l.regs + 0x320, &lvt, 4);
	memcpy(l.regs + 0x3e0, &divide, 4);
	memcpy(l.regs + 0x380, &count, 4);
	box_do(&w->b, vcpu, KVM_SET_LAPIC, &l);
}

static void enable(struct wreck *w, int fd, u32 cap, u64 arg)
{
	const struct kvm_enable_cap c = {.cap = cap, .args = {arg}};

	box_do(&w->b, fd, KVM_ENABLE_CAP, &c);
}

static void prepare(struct box *b)
{
	struct wreck *w = (struct wreck *)b; /* its first member */
	const struct kvm_pit_config pit = {0};
	struct kvm_pit_state2 state = {0};

	if (w->ring)
		enable(w, b->vm, KVM_CAP_DIRTY_LOG_RING, RING_BYTES);
	if (!with(TIMERS) || box_do(b, b->vm, KVM_CREATE_PIT2, &pit))
		return;
	box_do(b, b->vm, KVM_GET_PIT2, &state);
	state.channels[0].count = 1200;
	state.channels[0].mode = 2;
	state.channels[0].gate = 1;
	box_do(b, b->vm, KVM_SET_PIT2, &state);
}

static void make_vcpu_ready(struct wreck *w, int vcpu, void *run)
{
	const int prot = PROT_READ | PROT_WRITE;
	const off_t at = KVM_DIRTY_LOG_PAGE_OFFSET * 4096;
	void *ring = MAP_FAILED;

	if (w->synic)
		enable(w, vcpu, KVM_CAP_HYPERV_SYNIC2, 0);
	if (w->ring)
		ring = mmap(NULL, RING_BYTES, prot, MAP_SHARED, vcpu, at);
	if (ring != MAP_FAILED)
		add_thing(w, dup(vcpu), ring, RING_BYTES);
	start_timers(w, vcpu);
	if (with(DUPS))
		add_thing(w, dup(vcpu), NULL, 0);
	add_thing(w, vcpu, run, run ? 12288 : 0); /* last: from here on somebody may close it */
}

static void make_events(struct wreck *w, struct random *r)
{
	struct {
		struct kvm_irq_routing h;
		struct kvm_irq_routing_entry e[3];
	} routes = {.h.nr = 3,
		.e = {{.gsi = 5,
			      .type = KVM_IRQ_ROUTING_HV_SINT,
			      .u.hv_sint = {(u32)rnd_below(r, 60), 2}},
			{.gsi = 6,
				.type = KVM_IRQ_ROUTING_MSI,
				.u.msi = {.address_lo = 0xfee00000, .data = 0x33}},
			{.gsi = 7,
				.type = KVM_IRQ_ROUTING_IRQCHIP,
				.u.irqchip = {KVM_IRQCHIP_IOAPIC, 7}}}};
	struct kvm_irqfd f;
	struct kvm_ioeventfd port = {.addr = 0x12, .len = 1, .flags = KVM_IOEVENTFD_FLAG_PIO};

	for (unsigned i = 0; i < EVENTS; i++)
		w->event[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (!with(SINTS))
		routes.e[0] = routes.e[1], routes.e[0].gsi = 5;
	box_do(&w->b, w->b.vm, KVM_SET_GSI_ROUTING, &routes);
	for (unsigned i = 0; with(IRQFDS) && i < 3; i++) {
		f = (struct kvm_irqfd){.fd = (u32)w->event[i], .gsi = 5 + i};
		box_do(&w->b, w->b.vm, KVM_IRQFD, &f);
	}
	port.fd = w->event[3];
	box_do(&w->b, w->b.vm, KVM_IOEVENTFD, &port);
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
}

/* Somebody who touches a page there waits until the descriptor is closed. */
static void make_faults(struct wreck *w)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register reg = {
		.range = {(u64)w->fault, FAULT_BYTES}, .mode = UFFDIO_REGISTER_MODE_MISSING};

	w->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	if (w->uffd < 0)
		return;
	if (ioctl(w->uffd, UFFDIO_API, &api) || ioctl(w->uffd, UFFDIO_REGISTER, &reg)) {
		close(w->uffd);
		w->uffd = -1;
	}
}

static u8 *memory(size_t bytes)
{
	u8 *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		finding("no memory");
	return p;
}

static void make_slots(struct wreck *w, struct random *r)
{
	const struct kvm_coalesced_mmio_zone zone = {
		.addr = PLACE_GPA + 2 * PLACE_BYTES, .size = 4096};

	w->slot = memory(SLOT_BYTES);
	w->fault = memory(FAULT_BYTES);
	box_slot(&w->b, 1, KVM_MEM_LOG_DIRTY_PAGES, PLACE_GPA, SLOT_BYTES, w->slot);
	box_slot(&w->b, 2, 0, PLACE_GPA + PLACE_BYTES, FAULT_BYTES, w->fault);
	box_do(&w->b, w->b.vm, KVM_REGISTER_COALESCED_MMIO, &zone);
	w->uffd = -1;
	if (with(FAULTS) && rnd_chance(r, 40))
		make_faults(w);
}

/* Stores to the slots and the zone, a port with an eventfd and one without; now and then it sleeps. */
static void make_code(struct wreck *w, struct random *r)
{
	struct code c = {w->b.ram + AT_CODE, AT_CODE, 0};

	for (unsigned i = 0; i < 100; i++) {
		const u64 place = PLACE_GPA + rnd_below(r, 3) * PLACE_BYTES;

		put_mov(&c, 7, place + rnd_below(r, place == PLACE_GPA ? SLOT_BYTES : 4096 - 8));
		PUT(&c, 0x48, 0x89, 0x07);
		if (rnd_chance(r, 20))
			PUT(&c, 0xe6, rnd_chance(r, 70) ? 0x12 : 0x10);
		if (rnd_chance(r, 5))
			PUT(&c, 0xfb, 0xf4);
	}
	PUT(&c, 0xe9);
	put32(&c, 0u - c.n - 4);
}

static void make(struct wreck *w, struct random *r)
{
	w->synic = rnd_chance(r, 60);
	w->ring = with(RINGS) && rnd_chance(r, 30);
	w->b.prepare = prepare;
	box_open(&w->b, 1 + (int)rnd_below(r, BOX_VCPUS), true, 0);
	make_events(w, r);
	make_slots(w, r);
	make_code(w, r);
	for (int i = 0; i < w->b.vcpus; i++) {
		struct epoll_event e = {.events = EPOLLIN};

		box_start(&w->b, i, true);
		epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->b.vcpu[i], &e);
		make_vcpu_ready(w, w->b.vcpu[i], w->b.run[i]);
	}
	add_thing(w, w->b.vm, NULL, 0);
	add_thing(w, w->b.sys, NULL, 0);
	if (with(DUPS))
		add_thing(w, dup(w->b.vm), NULL, 0);
	if (w->uffd >= 0)
		add_thing(w, w->uffd, NULL, 0);
	add_thing(w, w->epoll, NULL, 0);
}

/* ---- taking it apart ---- */

static void take(struct wreck *w, struct thing *t, struct random *r)
{
	const int fd = atomic_exchange(&t->fd, -1);
	const bool early = with(UNMAPS) && rnd_chance(r, 50);

	if (fd < 0)
		return;
	if (t->pages && early)
		munmap(t->pages, t->bytes);
	dev_close(w->b.dev, fd);
	if (t->pages && !early)
		munmap(t->pages, t->bytes);
	count_step();
}

struct closer {
	struct wreck *w;
	struct random r;
};

/* Not the last ones: then there is something to be done for who runs. */
static void *closes(void *arg)
{
	struct closer *c = arg;

	for (u64 n = rnd_below(&c->r, 3 * (u64)c->w->things) + 1; n; n--) {
		struct thing *t = &c->w->thing[rnd_below(&c->r, c->w->things)];

		take(c->w, t, &c->r);
		usleep((useconds_t)rnd_below(&c->r, 400));
	}
	return NULL;
}

/* By whatever descriptor of the vm is left. */
static void make_more(struct wreck *w, struct random *r)
{
	int vcpu;

	if (!with(VCPUS) || w->runners == RUNNERS)
		return;
	vcpu = (int)dev_ioctl(w->b.dev, w->b.vm, KVM_CREATE_VCPU, (unsigned long)(4 + w->runners));
	if (vcpu < 0)
		return;
	make_vcpu_ready(w, vcpu, NULL);
	add_runner(w, vcpu, rnd_fork(r));
}

/* Many that are looked through at each interrupt for a SINT, and go away one after the other. */
static void crowd(struct wreck *w, struct random *r)
{
	int vcpu[CROWD];
	unsigned n = 0;

	if (!with(SINTS) || !w->synic || !rnd_chance(r, 40))
		return;
	for (; n < CROWD; n++) {
		vcpu[n] = (int)dev_ioctl(w->b.dev, w->b.vm, KVM_CREATE_VCPU, 32ul + n);
		if (vcpu[n] < 0)
			break;
		enable(w, vcpu[n], KVM_CAP_HYPERV_SYNIC2, 0);
		set_msr(w, vcpu[n], 0x40000092, 0x31);
	}
	progress("many vcpus are closed");
	while (n--)
		dev_close(w->b.dev, vcpu[n]);
	count_step();
}

/* A child has descriptors, and no machine: -EIO; and what it closes is its own. */
static void fork_one(struct wreck *w, struct random *r)
{
#ifndef __SANITIZE_THREAD__ /* which does not know what other threads held */
	struct kvm_regs regs;
	int status;
	pid_t child;

	if (!with(FORKS))
		return;
	child = fork();
	if (!child) {
		for (unsigned i = 0; i < w->things; i++) {
			const int fd = w->thing[i].fd;
			const long result =
				fd < 0 ? -EBADF : box_do(&w->b, fd, KVM_GET_REGS, &regs);

			if (!result)
				_exit(3);
			if (fd >= 0 && rnd_chance(r, 50))
				dev_close(w->b.dev, fd);
		}
		_exit(0);
	}
	if (child < 0)
		return;
	if (waitpid(child, &status, 0) != child || status)
		finding("a forked child ended with status %#x (300: it has read a vcpu's "
			"registers)",
			status);
#endif
}

static void join_all(struct wreck *w)
{
	for (unsigned i = 0; i < w->runners; i++) {
		while (!w->runner[i].ended) {
			kick_all(w);
			usleep(500);
		}
		pthread_join(w->runner[i].thread, NULL);
	}
}

/* All that is the machine's. */
static void close_rest(struct wreck *w, struct random *r)
{
	for (unsigned i = 0; i < w->things; i++)
		take(w, &w->thing[i], r);
	dev_destroy(w->b.dev);
}

static void free_rest(struct wreck *w)
{
	for (unsigned i = 0; i < EVENTS; i++)
		close(w->event[i]);
	munmap(w->slot, SLOT_BYTES);
	munmap(w->fault, FAULT_BYTES);
	box_free(&w->b);
}

static void wreck_it(struct wreck *w, struct random *r)
{
	struct closer closer[CLOSERS];
	pthread_t thread[CLOSERS], firing, ticking;

	pthread_create(&firing, NULL, fires, w);
	pthread_create(&ticking, NULL, ticks, w);
	for (int i = 0; i < w->b.vcpus; i++)
		add_runner(w, w->b.vcpu[i], rnd_fork(r));
	usleep((useconds_t)rnd_below(r, 3000));
	crowd(w, r);
	for (unsigned i = 0; i < CLOSERS; i++) {
		closer[i] = (struct closer){w, rnd_fork(r)};
		pthread_create(&thread[i], NULL, closes, &closer[i]);
	}
	for (u64 n = 4 + rnd_below(r, 10); n; n--) {
		progress("it is taken apart");
		rnd_chance(r, 50)   ? make_more(w, r)
		: rnd_chance(r, 30) ? fork_one(w, r)
				    : kick_all(w);
		usleep((useconds_t)rnd_below(r, 500));
	}
	for (unsigned i = 0; i < CLOSERS; i++)
		pthread_join(thread[i], NULL);
	progress("all vcpus are kicked");
	w->stop = true;
	pthread_join(ticking, NULL);
	join_all(w);
	progress("the last descriptors are closed");
	w->quiet = rnd_chance(r, 50);
	close_rest(w, r);
	w->quiet = true;
	pthread_join(firing, NULL);
	free_rest(w);
}

static void *waits(void *barrier)
{
	pthread_barrier_wait(barrier);
	return NULL;
}

/* As many threads as there can be at once: the C library keeps their stacks, so all cases are alike in this. */
static void warm_stacks(void)
{
	pthread_t thread[RUNNERS + CLOSERS + 4];
	pthread_barrier_t barrier;
	unsigned i;

	pthread_barrier_init(&barrier, NULL, ARRAY_SIZE(thread));
	for (i = 0; i < ARRAY_SIZE(thread); i++)
		if (pthread_create(&thread[i], NULL, waits, &barrier))
			finding("no thread can be made");
	for (i = 0; i < ARRAY_SIZE(thread); i++)
		pthread_join(thread[i], NULL);
	pthread_barrier_destroy(&barrier);
}

static void one_case(struct random *r)
{
	static struct wreck w; /* large */

	warm_stacks();
	memset(&w, 0, sizeof(w));
	make(&w, r);
	wreck_it(&w, r);
}

int main(int argc, char **argv)
{
	static const struct fuzzer f = {.name = "teardown",
		.ingredients = ingredients,
		.pass_seconds = 4,
		.hang_seconds = 60,
		.interrupts = SIGUSR1,
		.one_case = one_case};

	return fuzz_main(&f, argc, argv);
}
