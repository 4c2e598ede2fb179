/* SPDX-License-Identifier: MIT */
/*
 * fuzz-libkvm [--seconds N] [--calls N] [--seed S] [--trace]: random calls of libkvm, in any order and with
 * arguments that are half right, over the engine in this process.
 *
 * None may crash it, hang it, or leak; a call that fails gives -errno and leaves errno so; guests run what memory
 * holds, and callbacks answer anything. Pointers are good or NULL. The seed is printed and makes the same calls again,
 * but for the moments at which the ticker's signals arrive. The work is done in ROUNDS: what the process holds after
 * the last must be what it held after the first. Exit code 0, 1 for a finding, or an abort.
 */
#include <errno.h>
#include <getopt.h>
#include <libkvm.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/types.h"

#define ROUNDS       3
#define CONTEXTS     3
#define HANG_SECONDS 30
#define HEAP_SLACK   (256 << 10) /* what malloc keeps for a thread counts as used */
#define MAPPED_SLACK (8 << 20)
#define SCRATCH      (2u << 20)  /* the bitmap of the largest region, and any structure */
#define ARENA        (1u << 20)  /* memory for kvm_register_phys_mem ... */
#define ARENA_BEHIND (16u << 20) /* ... and addresses behind it without memory */
#define MOST_MEMORY  (8ul << 30)
#define BUDGET       300 /* callbacks in one kvm_run */

struct context {
	kvm_context_t kvm;
	struct kvm_callbacks callbacks;
	u8 *mem;  /* of kvm_create */
	int left; /* of BUDGET */
};

static struct {
	u64 random;
	struct context contexts[CONTEXTS];
	struct context *c;
	u8 *scratch, *arena;
	unsigned long count; /* calls in a round, unless seconds are given */
	unsigned seconds;
	_Atomic unsigned long done;
	_Atomic bool stop;
	pthread_t thread;
	const char *call;
	bool trace;
} fz = {.count = 4000};

static u64 next(void)
{
	fz.random ^= fz.random << 13;
	fz.random ^= fz.random >> 7;
	fz.random ^= fz.random << 17;
	return fz.random;
}

static u64 below(u64 n)
{
	return (next() >> 11) % n;
}

static bool chance(unsigned percent)
{
	return below(100) < percent;
}

static u64 edge(void)
{
	static const u64 edges[] = {0, 1, 2, 3, 16, 24, 64, 255, 256, 4095, 4096, 0x9f000, 0xa0000,
		0xc0000, 0x100000, 0x7fffffff, 0xe0000000, 0xfec00000, 0xfee00000, 0xffffffff,
		0x100000000, 0x7fffffffffff, -4096ull, -1ull};

	return chance(70) ? edges[below(ARRAY_SIZE(edges))] : next();
}

/* Mostly pages of the first MiB. */
static u64 gpa(void)
{
	return chance(85) ? below(256) * PAGE_SIZE : edge();
}

static u64 length(void)
{
	return chance(85) ? below(64) * PAGE_SIZE : edge();
}

static int vcpu(void)
{
	return chance(90) ? (int)below(3) : (int)edge();
}

/* Room for anything, or NULL. */
static void *place(void)
{
	return chance(95) ? fz.scratch : NULL;
}

/* The same with something in it. */
static void *filled(size_t n)
{
	memset(fz.scratch, 0, n);
	if (chance(20))
		for (size_t i = 0; i < n; i++)
			fz.scratch[i] = (u8)next();
	for (u64 i = below(6); i; i--) {
		const u64 value = edge();
		const size_t at = below(n) & ~7ul;

		memcpy(fz.scratch + at, &value, MIN(n - at, sizeof(value)));
	}
	return place();
}

static void finding(const char *what, long value)
{
	fprintf(stderr, "%s: %s: %ld, errno %d\n", fz.call, what, value, errno);
	abort();
}

/* 0 or -errno. */
static void check(long r)
{
	if (r > 0 || (r < 0 && errno != -r))
		finding("neither 0 nor -errno", r);
}

static void check_bool(long r)
{
	if (r != 0 && r != 1)
		finding("neither 0 nor 1", r);
}

static void check_at_most(long r, long most)
{
	if (r > most || (r < 0 && errno != -r))
		finding("neither a number nor -errno", r);
}

/* ---- Callbacks ---------------------------------------------------------------------------------------- */

/* Mostly to go on; a run ends some time. */
static int answer(void *opaque)
{
	struct context *c = opaque;

	if (--c->left <= 0)
		return 1;
	return chance(90) ? 0 : (int)below(5) - 2;
}

static int on_inb(void *opaque, uint16_t addr, uint8_t *data)
{
	*data = (u8)next();
	return answer(opaque);
}

static int on_inw(void *opaque, uint16_t addr, uint16_t *data)
{
	*data = (u16)next();
	return answer(opaque);
}

static int on_inl(void *opaque, uint16_t addr, uint32_t *data)
{
	*data = (u32)next();
	return answer(opaque);
}

static int on_outb(void *opaque, uint16_t addr, uint8_t data)
{
	return answer(opaque);
}

static int on_outw(void *opaque, uint16_t addr, uint16_t data)
{
	return answer(opaque);
}

static int on_outl(void *opaque, uint16_t addr, uint32_t data)
{
	return answer(opaque);
}

static int on_mmio(void *opaque, uint64_t addr, uint8_t *data, int len)
{
	if (len < 1 || len > 8)
		finding("length of an access", len);
	data[0] = data[len - 1] = (u8)next();
	return answer(opaque);
}

static int on_debug(void *opaque, void *env, struct kvm_debug_exit_arch *arch)
{
	return answer(opaque);
}

static int on_halt(void *opaque, int number)
{
	return answer(opaque);
}

static int on_env(void *opaque, void *env)
{
	return answer(opaque);
}

static int on_nothing(void *opaque)
{
	return answer(opaque);
}

static void on_push_nmi(void *opaque)
{
	struct context *c = opaque;

	if (chance(3))
		check(kvm_inject_nmi(c->kvm, 0));
}

static void on_post(void *opaque, void *env)
{
	errno = (int)below(100);
}

static int on_tpr(void *opaque, int number, uint64_t rip, int is_write)
{
	return answer(opaque);
}

static void hear(void *opaque, enum uv_kvm_log_kind kind, const char *line)
{
	errno = EDOM;
	if (fz.trace && kind == UV_KVM_LOG_ERROR)
		fprintf(stderr, "  %s\n", line);
}

static const struct kvm_callbacks all_callbacks = {on_inb, on_inw, on_inl, on_outb, on_outw,
	on_outl, on_mmio, on_mmio, on_debug, on_halt, on_env, on_nothing, on_nothing, on_push_nmi,
	on_post, on_env, on_tpr};

/* Any subset. */
static void some_callbacks(struct kvm_callbacks *cb)
{
	void (**members)(void) = (void *)cb;

	*cb = all_callbacks;
	for (size_t i = 0; i < sizeof(*cb) / sizeof(*members); i++)
		if (chance(10))
			members[i] = NULL;
}

/* ---- Calls -------------------------------------------------------------------------------------------- */

#define KVM (fz.c->kvm)

/* Code of any kind where a guest begins. */
static void write_code(u8 *mem)
{
	static const u8 hints[] = {
		0xf4, 0xe4, 0xe6, 0xec, 0xee, 0x6c, 0x6e, 0xf3, 0xfb, 0xa2, 0xa0, 0xeb, 0xcc, 0x90};

	for (size_t i = 0; i < 256; i++)
		mem[i] = chance(50) ? hints[below(sizeof(hints))] : (u8)next();
}

static void make_context(void)
{
	struct context *c = fz.c;

	some_callbacks(&c->callbacks);
	c->kvm = uv_kvm_init(&c->callbacks, c, "soft", hear, NULL);
	c->mem = NULL;
	if (!c->kvm)
		finding("uv_kvm_init", 0);
}

static void call_finalize(void)
{
	kvm_finalize(KVM);
	make_context();
}

static void call_init(void)
{
	static const char *const bad[] = {"steam", "SOFT", "soft ", "kernel0"};

	if (uv_kvm_init(&fz.c->callbacks, NULL, bad[below(ARRAY_SIZE(bad))], hear, NULL) ||
		errno != EINVAL)
		finding("an engine of no such name", 0);
}

static void call_create(void)
{
	void *mem = NULL;
	u64 bytes = chance(70) ? below(1024) * PAGE_SIZE : edge();

	if (bytes > MOST_MEMORY && bytes < 1ull << 50)
		bytes = MOST_MEMORY;
	check(kvm_create(KVM, bytes, chance(90) ? &mem : NULL));
	if (mem)
		fz.c->mem = mem;
	if (mem && bytes > 0x2000)
		write_code(fz.c->mem + 0x1000);
}

static void call_settings(void)
{
	switch (below(6)) {
	case 0: kvm_disable_irqchip_creation(KVM); break;
	case 1: kvm_disable_pit_creation(KVM); break;
	case 2: check(kvm_create_vm(KVM)); break;
	case 3: kvm_create_irqchip(KVM); break;
	case 4: check(kvm_init_coalesced_mmio(KVM)); break;
	default: uv_kvm_set_log(KVM, hear, NULL); break;
	}
}

static void call_questions(void)
{
	check_bool(kvm_check_extension(KVM, (int)edge()));
	check_bool(kvm_check_extension(KVM, (int)below(250)));
	check_bool(kvm_irqchip_in_kernel(KVM));
	check_bool(kvm_pit_in_kernel(KVM));
	check_bool(kvm_has_sync_mmu(KVM));
	check_bool(kvm_destroy_memory_region_works(KVM));
	check_bool(kvm_is_containing_region(KVM, gpa(), length()));
	check_bool(kvm_get_interrupt_flag(KVM, vcpu()));
	check_bool(kvm_is_ready_for_interrupt_injection(KVM, vcpu()));
	(void)kvm_get_apic_base(KVM, vcpu());
	(void)kvm_get_cr8(KVM, vcpu());
	kvm_set_cr8(KVM, vcpu(), below(20));
}

static void call_vcpu(void)
{
	check(kvm_create_vcpu(KVM, vcpu()));
}

/* Real mode at the code, mostly. */
static void start(int number)
{
	struct kvm_regs regs = {.rip = 0x1000,
		.rsp = 0x8000,
		.rflags = 2,
		.rax = edge(),
		.rcx = below(64),
		.rdx = below(99)};
	struct kvm_sregs sregs;

	if (kvm_get_sregs(KVM, number, &sregs) < 0)
		return;
	sregs.cs.selector = 0;
	sregs.cs.base = 0;
	sregs.ds.base = gpa() & 0xfffff;
	check(kvm_set_sregs(KVM, number, &sregs));
	check(kvm_set_regs(KVM, number, &regs));
}

static void call_run(void)
{
	const int number = vcpu();
	int r;

	if (chance(70))
		start(number);
	fz.c->left = BUDGET;
	r = kvm_run(KVM, number, fz.c);
	if (!r || (r < 0 && errno != -r))
		finding("kvm_run gives no value of a callback and no -errno", r);
}

static void call_signal_mask(void)
{
	sigset_t set;

	sigemptyset(&set);
	if (chance(50))
		sigfillset(&set);
	sigdelset(&set, SIGUSR1); /* or a sleeping vCPU sleeps on */
	check(kvm_set_signal_mask(KVM, vcpu(), chance(80) ? &set : NULL));
}

static void call_registers(void)
{
	switch (below(10)) {
	case 0: check(kvm_get_regs(KVM, vcpu(), place())); break;
	case 1: check(kvm_set_regs(KVM, vcpu(), filled(sizeof(struct kvm_regs)))); break;
	case 2: check(kvm_get_sregs(KVM, vcpu(), place())); break;
	case 3: check(kvm_set_sregs(KVM, vcpu(), filled(sizeof(struct kvm_sregs)))); break;
	case 4: check(kvm_get_fpu(KVM, vcpu(), place())); break;
	case 5: check(kvm_set_fpu(KVM, vcpu(), filled(sizeof(struct kvm_fpu)))); break;
	case 6: check(kvm_get_mpstate(KVM, vcpu(), place())); break;
	case 7: check(kvm_set_mpstate(KVM, vcpu(), filled(sizeof(struct kvm_mp_state)))); break;
	case 8: check(kvm_reset_mpstate(KVM, vcpu())); break;
	default:
		check(kvm_set_guest_debug(KVM, vcpu(), filled(sizeof(struct kvm_guest_debug))));
		break;
	}
}

/* Read, changed a little, written. */
static void call_change_sregs(void)
{
	const int number = vcpu();
	const u64 value = edge();

	if (kvm_get_sregs(KVM, number, (void *)fz.scratch) < 0)
		return;
	memcpy(fz.scratch + (below(sizeof(struct kvm_sregs)) & ~7ul), &value, 8);
	check(kvm_set_sregs(KVM, number, (void *)fz.scratch));
}

static int list_size(void)
{
	return chance(90) ? (int)below(40) : chance(50) ? (int)below(3000) : -(int)below(1u << 31);
}

static void call_lists(void)
{
	const int n = list_size();
	const size_t bytes = (size_t)MAX(n, 1) * sizeof(struct kvm_cpuid_entry2);
	struct kvm_msr_list *msrs;
	struct kvm_cpuid2 *leaves;

	switch (below(6)) {
	case 0: check_at_most(kvm_get_msrs(KVM, vcpu(), filled(bytes), n), MAX(n, 0)); break;
	case 1: check_at_most(kvm_set_msrs(KVM, vcpu(), filled(bytes), n), MAX(n, 0)); break;
	case 2: check(kvm_setup_cpuid(KVM, vcpu(), n, filled(bytes))); break;
	case 3: check(uv_kvm_setup_cpuid2(KVM, vcpu(), n, filled(bytes))); break;
	case 4:
		msrs = kvm_get_msr_list(KVM);
		if (!msrs || !msrs->nmsrs)
			finding("kvm_get_msr_list", 0);
		free(msrs);
		break;
	default:
		leaves = uv_kvm_supported_cpuid(KVM);
		if (!leaves || !leaves->nent)
			finding("uv_kvm_supported_cpuid", 0);
		if (chance(50))
			check(uv_kvm_setup_cpuid2(KVM, vcpu(), (int)leaves->nent, leaves->entries));
		free(leaves);
	}
}

static void call_text(void)
{
	if (chance(50))
		kvm_show_regs(KVM, vcpu());
	else
		check(kvm_dump_vcpu(KVM, vcpu()));
}

static void call_interrupts(void)
{
	switch (below(6)) {
	case 0: check_bool(kvm_set_irq_level(KVM, (int)edge(), (int)edge())); break;
	case 1: check_bool(kvm_set_irq_level(KVM, (int)below(24), (int)below(2))); break;
	case 2: check(kvm_inject_irq(KVM, vcpu(), (unsigned)below(300))); break;
	case 3: check(kvm_inject_nmi(KVM, vcpu())); break;
	case 4: check(kvm_enable_vapic(KVM, vcpu(), gpa() + below(2) * below(PAGE_SIZE))); break;
	default:
		check(chance(60) ? kvm_enable_tpr_access_reporting(KVM, vcpu())
				 : kvm_disable_tpr_access_reporting(KVM, vcpu()));
	}
}

static void call_chips(void)
{
	struct kvm_irqchip *chip = filled(sizeof(*chip));

	if (chip)
		chip->chip_id = (u32)below(4);
	switch (below(7)) {
	case 0: check(kvm_get_irqchip(KVM, chip)); break;
	case 1: check(kvm_set_irqchip(KVM, chip)); break;
	case 2: check(kvm_get_lapic(KVM, vcpu(), place())); break;
	case 3: check(kvm_set_lapic(KVM, vcpu(), filled(sizeof(struct kvm_lapic_state)))); break;
	case 4: check(kvm_get_pit(KVM, place())); break;
	case 5: check(kvm_set_pit(KVM, filled(sizeof(struct kvm_pit_state)))); break;
	default:
		if (chip && kvm_get_irqchip(KVM, chip) == 0)
			check(kvm_set_irqchip(KVM, chip));
	}
}

static void call_memory(void)
{
	const u64 len = length();
	u8 *mem;

	switch (below(6)) {
	case 0:
	case 1:
		mem = kvm_create_phys_mem(
			KVM, gpa(), MIN(len, MOST_MEMORY), (int)below(2), (int)below(2));
		if (mem && chance(50))
			mem[0] = (u8)next();
		break;
	case 2:
		check(kvm_register_phys_mem(KVM, gpa(),
			fz.arena + below(ARENA / PAGE_SIZE) * PAGE_SIZE +
				(chance(5) ? below(PAGE_SIZE) : 0),
			MIN(len, ARENA_BEHIND), (int)below(2)));
		break;
	case 3: kvm_destroy_phys_mem(KVM, gpa(), len); break;
	case 4: kvm_unregister_memory_area(KVM, gpa(), len); break;
	default: check(kvm_register_phys_mem(KVM, gpa(), NULL, 0, 1)); break;
	}
}

static void call_alias(void)
{
	if (chance(70))
		check(kvm_create_memory_alias(KVM, gpa(), length(), gpa()));
	else
		check(kvm_destroy_memory_alias(KVM, gpa()));
}

/* May call the library, and end the range. */
static int on_region(unsigned long first, unsigned long len, void *bitmap, void *opaque)
{
	if (opaque != &fz || bitmap != fz.scratch || len / PAGE_SIZE / 8 > SCRATCH)
		finding("a region of a range", (long)len);
	check_bool(kvm_is_containing_region(KVM, first, len));
	return chance(90) ? 0 : 55;
}

static void check_range(long r)
{
	if (r != 55)
		check(r);
}

static void call_bitmaps(void)
{
	switch (below(8)) {
	case 0: check(kvm_get_dirty_pages(KVM, gpa(), place())); break;
	case 1:
		check_range(kvm_get_dirty_pages_range(KVM, gpa(), edge(), place(), &fz, on_region));
		break;
	case 2: check(kvm_get_mem_map(KVM, gpa(), place())); break;
	case 3:
		check_range(kvm_get_mem_map_range(KVM, gpa(), edge(), place(), &fz, on_region));
		break;
	case 4: check(kvm_dirty_pages_log_enable_slot(KVM, gpa(), length())); break;
	case 5: check(kvm_dirty_pages_log_disable_slot(KVM, gpa(), length())); break;
	case 6: check(kvm_dirty_pages_log_enable_all(KVM)); break;
	default: check(kvm_dirty_pages_log_reset(KVM)); break;
	}
}

static void call_coalesced(void)
{
	if (chance(60))
		check(kvm_register_coalesced_mmio(KVM, gpa(), (u32)length()));
	else
		check(kvm_unregister_coalesced_mmio(KVM, gpa(), (u32)length()));
}

static void call_old(void)
{
	switch (below(4)) {
	case 0: check(kvm_set_shadow_pages(KVM, (unsigned)edge())); break;
	case 1: check(kvm_get_shadow_pages(KVM, place())); break;
	case 2: check(kvm_assign_pci_device(KVM, place())); break;
	default: check(kvm_assign_irq(KVM, place())); break;
	}
}

static void call_callbacks(void)
{
	some_callbacks(&fz.c->callbacks);
}

#define CALL(name, weight)                                                                         \
	{                                                                                          \
#name, call_##name, weight                                                         \
	}
static const struct {
	const char *name;
	void (*fn)(void);
	unsigned weight;
} calls[] = {
	CALL(finalize, 1),
	CALL(init, 1),
	CALL(create, 6),
	CALL(settings, 3),
	CALL(questions, 3),
	CALL(vcpu, 4),
	CALL(run, 20),
	CALL(signal_mask, 2),
	CALL(registers, 10),
	CALL(change_sregs, 3),
	CALL(lists, 5),
	CALL(text, 2),
	CALL(interrupts, 8),
	CALL(chips, 6),
	CALL(memory, 10),
	CALL(alias, 6),
	CALL(bitmaps, 10),
	CALL(coalesced, 4),
	CALL(old, 2),
	CALL(callbacks, 1),
};

static void one_call(void)
{
	unsigned total = 0, at;
	size_t i = 0;

	for (size_t j = 0; j < ARRAY_SIZE(calls); j++)
		total += calls[j].weight;
	for (at = (unsigned)below(total); at >= calls[i].weight; i++)
		at -= calls[i].weight;
	fz.c = &fz.contexts[below(CONTEXTS)];
	fz.call = calls[i].name;
	if (fz.trace)
		fprintf(stderr, "%lu: %s of %d\n", fz.done, fz.call, (int)(fz.c - fz.contexts));
	calls[i].fn();
}

/* ---- Rounds ------------------------------------------------------------------------------------------- */

/* Signals, so that no kvm_run lasts. */
static void *tick(void *arg)
{
	const struct timespec t = {.tv_nsec = 1000000};
	unsigned long last = 0;
	time_t since = time(NULL);

	while (!fz.stop) {
		nanosleep(&t, NULL);
		pthread_kill(fz.thread, SIGUSR1);
		if (fz.done != last) {
			last = fz.done;
			since = time(NULL);
		} else if (time(NULL) - since > HANG_SECONDS) {
			fprintf(stderr, "%s has not returned for %d seconds\n", fz.call,
				HANG_SECONDS);
			abort();
		}
	}
	return NULL;
}

static void nothing(int number)
{
}

struct holdings {
	long fds, heap, mapped;
};

static struct holdings look(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	struct holdings h = {.heap = (long)mallinfo2().uordblks};

	if (!f || fscanf(f, "%ld", &h.mapped) != 1)
		abort();
	h.mapped *= 4096;
	h.fds = fileno(f); /* the lowest that is free */
	fclose(f);
	return h;
}

static bool leaked(const char *what, long before, long after, long slack)
{
	if (after <= before + slack)
		return false;
	fprintf(stderr, "%s leaked: %ld after the first round, %ld after the last\n", what, before,
		after);
	return true;
}

static struct holdings run_round(u64 seed)
{
	const time_t end = time(NULL) + fz.seconds;
	pthread_t ticker;

	fz.random = seed | 1;
	fz.done = 0;
	fz.stop = false;
	pthread_create(&ticker, NULL, tick, NULL);
	for (int i = 0; i < CONTEXTS; i++) {
		fz.c = &fz.contexts[i];
		make_context();
	}
	do
		one_call();
	while (++fz.done < fz.count || time(NULL) < end);
	for (int i = 0; i < CONTEXTS; i++)
		kvm_finalize(fz.contexts[i].kvm);
	fz.stop = true;
	pthread_join(ticker, NULL);
	return look();
}

static u64 parse(int argc, char **argv)
{
	static const struct option options[] = {
		{"seconds", required_argument, NULL, 'n'},
		{"calls", required_argument, NULL, 'c'},
		{"seed", required_argument, NULL, 's'},
		{"trace", no_argument, NULL, 't'},
		{0},
	};
	u64 seed = (u64)time(NULL) * 1000003ull ^ (u64)getpid();
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (c) {
		case 's': seed = strtoull(optarg, NULL, 0); break;
		case 'n': fz.seconds = (unsigned)strtoul(optarg, NULL, 0) / ROUNDS; break;
		case 'c': fz.count = strtoul(optarg, NULL, 0) / ROUNDS; break;
		case 't': fz.trace = true; break;
		default: exit(2);
		}
	return seed;
}

static void setup(void)
{
	fz.thread = pthread_self();
	signal(SIGUSR1, nothing);
	fz.scratch =
		mmap(NULL, SCRATCH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	fz.arena = mmap(NULL, ARENA + ARENA_BEHIND, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (fz.scratch == MAP_FAILED || fz.arena == MAP_FAILED ||
		mprotect(fz.arena, ARENA, PROT_READ | PROT_WRITE))
		exit(1);
	write_code(fz.arena);
}

int main(int argc, char **argv)
{
	const u64 seed = parse(argc, argv);
	struct holdings first, last;

	printf("fuzz-libkvm --seed %#llx\n", (unsigned long long)seed);
	fflush(stdout);
	setup();
	first = run_round(seed);
	for (unsigned i = 1; i < ROUNDS; i++)
		last = run_round(seed + i * 0x9e3779b97f4a7c15);
	if (leaked("descriptors", first.fds, last.fds, 0) |
		leaked("heap", first.heap, last.heap, HEAP_SLACK) |
		(!UV_SANITIZED && leaked("mapped memory", first.mapped, last.mapped, MAPPED_SLACK)))
		return 1;
	printf("%lu calls in the last round\n", fz.done);
	return 0;
}
