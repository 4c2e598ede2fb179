/* SPDX-License-Identifier: MIT */
/*
 * Many of everything: contexts, vCPUs, regions; and nothing that grows when they come and go. Too little of what the
 * process may have: what fails then says why, leaves nothing, and works as soon as there is enough.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vm.h"

GUEST(in_out_code, "inb $0x20, %al\noutb %al, $0x10\nhlt");

/* cmocka's checks jump out of the test, which a thread cannot: it counts what went wrong. */
static void *one_life(void *opaque)
{
	struct vm *vm = opaque;
	int wrong = 0;

	for (int i = 0; i < 3; i++) {
		wrong += vm_try_create(vm, MEM) != 0;
		memcpy(vm->mem + CODE, in_out_code, (size_t)(in_out_code_end - in_out_code));
		wrong += vm_try_start(vm, 0, CODE) != 0;
		vm->in_value = 0x40u + (u32)i;
		wrong += vm_run(vm) != 7;
		wrong += strncmp(vm->trace, "inb:20 outb:10=4", 16) != 0;
		vm_destroy(vm);
	}
	return (void *)(long)wrong;
}

#define CONTEXTS 8

static void contexts_in_threads(void **state)
{
	static struct vm vms[CONTEXTS];
	pthread_t threads[CONTEXTS];
	void *wrong;

	for (int i = 0; i < CONTEXTS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, one_life, &vms[i]), 0);
	for (int i = 0; i < CONTEXTS; i++) {
		pthread_join(threads[i], &wrong);
		assert_null(wrong);
	}
}

/* All at once in one thread, and gone in another order. */
static void contexts_at_once(void **state)
{
	static struct vm vms[CONTEXTS];

	for (int i = 0; i < CONTEXTS; i++) {
		vm_create(&vms[i], MEM);
		LOAD(&vms[i], in_out_code);
		vms[i].in_value = 0x40u + (u32)i;
	}
	for (int i = 0; i < CONTEXTS; i += 2)
		vm_destroy(&vms[i]);
	for (int i = CONTEXTS - 1; i > 0; i -= 2) {
		char expected[40];

		assert_int_equal(vm_run(&vms[i]), 7);
		snprintf(expected, sizeof(expected), "inb:20 outb:10=%x halt:0 ", 0x40 + i);
		assert_string_equal(vms[i].trace, expected);
		vm_destroy(&vms[i]);
	}
}

static void set_runnable(struct vm *vm, int vcpu)
{
	struct kvm_mp_state mp = {KVM_MP_STATE_RUNNABLE};

	assert_int_equal(kvm_set_mpstate(vm->kvm, vcpu, &mp), 0);
}

#define MOST_VCPUS 5000

/* As many as there may be, and then -EINVAL; the last one runs like the first. */
static void vcpus_to_the_end(void **state)
{
	struct vm vm;
	int n = 0, last, r;

	vm_create_with_irqchip(&vm, MEM);
	while (n < MOST_VCPUS && (r = kvm_create_vcpu(vm.kvm, n)) == 0)
		n++;
	assert_in_range(n, 4, MOST_VCPUS - 1);
	assert_int_equal(errno, -r);
	if (r != -EMFILE) /* each has a descriptor, and there may be fewer */
		assert_int_equal(r, -EINVAL);
	last = n - 1;
	FAILS(EEXIST, kvm_create_vcpu(vm.kvm, last));
	memcpy(vm.mem + CODE, in_out_code, (size_t)(in_out_code_end - in_out_code));
	vm_start(&vm, last, CODE);
	set_runnable(&vm, last);
	vm.ret_io = 9;
	assert_int_equal(kvm_run(vm.kvm, last, &vm.env), 9);
	vm_destroy(&vm);
}

#define REGIONS 1000

/* Two pages at every fourth, each its own. */
static unsigned long region_at(int i)
{
	return 0x10000000ul + (unsigned long)i * 4 * PAGE_SIZE;
}

static void thousand_regions(void **state)
{
	static u8 *mem[REGIONS];
	struct vm vm;

	vm_create(&vm, MEM);
	for (int i = 0; i < REGIONS; i++) {
		mem[i] = kvm_create_phys_mem(vm.kvm, region_at(i), 2 * PAGE_SIZE, i % 2, 1);
		assert_non_null(mem[i]);
	}
	for (int i = 0; i < REGIONS; i++) {
		assert_true(kvm_is_containing_region(vm.kvm, region_at(i), 2 * PAGE_SIZE));
		assert_false(kvm_is_containing_region(vm.kvm, region_at(i), 3 * PAGE_SIZE));
	}
	for (int i = 0; i < REGIONS; i += 2)
		kvm_destroy_phys_mem(vm.kvm, region_at(i), 0);
	for (int i = 0; i < REGIONS; i++)
		assert_int_equal(kvm_is_containing_region(vm.kvm, region_at(i), 1), i % 2);
	vm_destroy(&vm);
}

static unsigned long pages_mapped(void)
{
	FILE *statm = fopen("/proc/self/statm", "r");
	unsigned long pages = 0;

	assert_non_null(statm);
	assert_int_equal(fscanf(statm, "%lu", &pages), 1);
	fclose(statm);
	return pages;
}

static void live_and_die(void)
{
	struct vm vm;

	vm_create_with_irqchip(&vm, MEM);
	assert_int_equal(kvm_create_vcpu(vm.kvm, 1), 0);
	assert_non_null(kvm_create_phys_mem(vm.kvm, 0x10000000, 64 << 10, 1, 1));
	LOAD(&vm, in_out_code);
	vm.ret_io = 9;
	assert_int_equal(vm_run(&vm), 9);
	vm_destroy(&vm);
}

/* Private mappings are not counted around each test; here they are, once malloc has what it wants. */
static void nothing_grows(void **state)
{
	unsigned long before;

	if (UV_SANITIZED)
		return; /* they keep what was freed */

	for (int i = 0; i < 4; i++)
		live_and_die();
	before = pages_mapped();
	for (int i = 0; i < 12; i++)
		live_and_die();
	assert_in_range(pages_mapped(), 0, before + 64);
}

/* ---- Not enough ------------------------------------------------------------------------------------- */

/* In a child, where no check of cmocka's can be made. */
struct life {
	struct kvm_callbacks callbacks;
	kvm_context_t kvm;
	void *ram;
};

static int do_init(struct life *l)
{
	l->kvm = uv_kvm_init(&l->callbacks, l, vm_engine, vm_quiet, NULL);
	return l->kvm ? 0 : -errno;
}

static int do_create(struct life *l)
{
	return kvm_create(l->kvm, MEM, &l->ram);
}

static int do_vcpu(struct life *l)
{
	return kvm_create_vcpu(l->kvm, 0);
}

static int do_memory(struct life *l)
{
	return kvm_create_phys_mem(l->kvm, 0x10000000, 64 << 10, 1, 1) ? 0 : -errno;
}

static int (*const stages[])(struct life *l) = {do_init, do_create, do_vcpu, do_memory};
static const char *const stage_names[] = {
	"kvm_init", "kvm_create", "kvm_create_vcpu", "kvm_create_phys_mem"};

static int ends_run(void *opaque, uint16_t port, uint8_t data)
{
	return 9;
}

static int whole_life(struct life *l)
{
	struct kvm_regs regs = {.rip = CODE, .rflags = 2};
	struct kvm_sregs sregs;

	memcpy((u8 *)l->ram + CODE, in_out_code, (size_t)(in_out_code_end - in_out_code));
	vm_fault_signals();
	if (kvm_get_sregs(l->kvm, 0, &sregs) < 0)
		return -1;
	sregs.cs.base = sregs.cs.selector = 0;
	if (kvm_set_sregs(l->kvm, 0, &sregs) < 0 || kvm_set_regs(l->kvm, 0, &regs) < 0)
		return -1;
	return kvm_run(l->kvm, 0, NULL);
}

/* What a limit leaves: `spare` descriptors, or pages. */
struct shortage {
	int resource, error;
	unsigned long spare;
};

static rlim_t limit_value(const struct shortage *s)
{
	int next;

	if (s->resource == RLIMIT_AS)
		return (pages_mapped() + s->spare) * PAGE_SIZE;
	next = dup(0);
	close(next);
	return (rlim_t)next + s->spare;
}

/* The result, or 1 when something else than it is wrong. */
static int do_short(struct life *l, unsigned stage, const struct shortage *s)
{
	struct rlimit all, few;
	int r;

	getrlimit(s->resource, &all);
	few = (struct rlimit){.rlim_cur = limit_value(s), .rlim_max = all.rlim_max};
	setrlimit(s->resource, &few);
	errno = 0;
	r = stages[stage](l);
	if (r < 0 && errno != -r)
		r = 1;
	setrlimit(s->resource, &all);
	return r;
}

enum { ENOUGH, TOO_LITTLE, WRONG };

#define EXPECT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			printf("line %d: not %s (result %d)\n", __LINE__, #condition, r);          \
			return WRONG;                                                              \
		}                                                                                  \
	} while (0)

/* The second failure takes nothing, whatever the C library kept of the first; and then there is enough. */
static int fail_again(struct life *l, unsigned stage, const struct shortage *s)
{
	const unsigned long pages = pages_mapped();
	int r = do_short(l, stage, s);

	EXPECT(r == -s->error);
	EXPECT(UV_SANITIZED || pages_mapped() == pages);
	EXPECT((r = stages[stage](l)) == 0);
	return TOO_LITTLE;
}

/* Everything before the stage, the stage under the limit, and again without if it failed; then all the rest. */
static int live_short(unsigned stage, const struct shortage *s)
{
	struct life l = {.callbacks.outb = ends_run};
	struct vm_held before, at_first = vm_held();
	int r = 0, outcome = ENOUGH;

	for (unsigned i = 0; i < stage; i++)
		EXPECT((r = stages[i](&l)) == 0);
	before = vm_held();
	r = do_short(&l, stage, s);
	EXPECT(r == 0 || r == -s->error);
	EXPECT(r == 0 || vm_held_same(before, vm_held()));
	if (r < 0)
		outcome = fail_again(&l, stage, s);
	if (outcome == WRONG)
		return WRONG;
	for (unsigned i = stage + 1; i < ARRAY_SIZE(stages); i++)
		EXPECT((r = stages[i](&l)) == 0);
	EXPECT((r = whole_life(&l)) == 9);
	kvm_finalize(l.kvm);
	EXPECT(vm_held_same(at_first, vm_held()));
	return outcome;
}

static int in_child(unsigned stage, const struct shortage *s)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		int outcome = live_short(stage, s);

		fflush(stdout);
		_exit(outcome);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) == WRONG)
		fail_msg("%s with %lu to spare: status %x", stage_names[stage], s->spare, status);
	return WEXITSTATUS(status);
}

#define MOST_SPARE (1ul << 22) /* pages: 16 GiB */

/* From none to as much as it takes, which `least` tells of each stage, in steps of this part of what there is. */
static void sweep(struct shortage s, unsigned long part, unsigned long least[])
{
	for (unsigned stage = 0; stage < ARRAY_SIZE(stages); stage++) {
		s.spare = 0;
		while (in_child(stage, &s) == TOO_LITTLE) {
			assert_in_range(s.spare, 0, MOST_SPARE);
			s.spare += 1 + s.spare / part;
		}
		least[stage] = s.spare;
	}
}

/* A context, a VM and a vCPU have one each, and memory none; our engine's VM has one more. */
static void without_descriptors(void **state)
{
	const bool soft = strcmp(vm_engine, "kernel");
	unsigned long least[ARRAY_SIZE(stages)];

	sweep((struct shortage){RLIMIT_NOFILE, EMFILE, 0}, MOST_SPARE, least);
	assert_int_equal(least[0], 1);
	assert_int_equal(least[1], soft ? 2 : 1);
	assert_int_equal(least[2], 1);
	assert_int_equal(least[3], 0);
}

static void without_memory(void **state)
{
	unsigned long least[ARRAY_SIZE(stages)];

	if (UV_SANITIZED)
		return; /* their own memory counts */
	sweep((struct shortage){RLIMIT_AS, ENOMEM, 0}, 8, least);
	assert_true(least[1] >= MEM / PAGE_SIZE && least[3] >= (64 << 10) / PAGE_SIZE);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(contexts_in_threads),
		cmocka_unit_test(contexts_at_once),
		cmocka_unit_test(vcpus_to_the_end),
		cmocka_unit_test(thousand_regions),
		cmocka_unit_test(nothing_grows),
		cmocka_unit_test(without_descriptors),
		cmocka_unit_test(without_memory),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
