/* SPDX-License-Identifier: MIT */
/*
 * What every program of these tests does around them: NAME_test kernel|soft|mshv|mshv-kernel. Before and after each test the process's
 * descriptors and shared mappings (memory of guests, areas of vCPUs) are counted: a test that leaves one fails. Private
 * mappings are not counted, they belong to malloc and the threads as well.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "vm.h"

static struct vm_held held_before;

static unsigned count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* Lines like 7f0000000000-7f0000001000 rw-s 00000000 00:01 2076 /dev/zero (deleted). */
static unsigned count_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char *line = NULL, rights[8];
	unsigned n = 0;
	size_t size = 0;

	assert_non_null(maps);
	while (getline(&line, &size, maps) > 0)
		n += sscanf(line, "%*s %4s", rights) == 1 && rights[3] == 's';
	free(line);
	fclose(maps);
	return n;
}

struct vm_held vm_held(void)
{
	return (struct vm_held){count_descriptors(), count_mappings()};
}

bool vm_held_same(struct vm_held a, struct vm_held b)
{
	return a.descriptors == b.descriptors && a.mappings == b.mappings;
}

static int before_test(void **state)
{
	held_before = vm_held();
	return 0;
}

static int after_test(void **state)
{
	struct vm_held now = vm_held();

	if (vm_held_same(now, held_before))
		return 0;
	print_error("left behind: %d descriptors, %d shared mappings\n",
		(int)(now.descriptors - held_before.descriptors),
		(int)(now.mappings - held_before.mappings));
	return -1;
}

/* The engine of this library can do everything that is tested; what it says it cannot is a mistake. */
void vm_skip(struct vm *vm, const char *reason)
{
	if (!strcmp(vm_engine, "soft"))
		fail_msg("the soft engine: %s", reason);
	if (vm)
		vm_destroy(vm);
	printf("skipped here: %s\n", reason);
	skip();
}

void vm_needs(struct vm *vm, int cap, const char *reason)
{
	if (!kvm_check_extension(vm->kvm, cap))
		vm_skip(vm, reason);
}

static int engine_missing(void)
{
	struct kvm_callbacks cb = {.inb = NULL};
	kvm_context_t kvm = uv_kvm_init(&cb, NULL, vm_engine, vm_quiet, NULL);

	kvm_finalize(kvm);
	return !kvm;
}

/* A vCPU has a descriptor, and tests make many. */
static void allow_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = MIN(limit.rlim_max, 65536);
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* Under `uservisor exec` the engine is not in the library: what the process keeps from its first VM on is no test's. */
static void have_first_vm(void)
{
	struct vm vm;

	if (!strcmp(vm_engine, "mshv-kernel") && vm_try_create(&vm, MEM) == 0) {
		kvm_create_vcpu(vm.kvm, 0);
		vm_destroy(&vm);
	}
}

int vm_main(int argc, char **argv, struct CMUnitTest *tests, size_t n)
{
	vm_engine = argc > 1 ? argv[1] : "soft";
	allow_descriptors();
	if (engine_missing()) {
		printf("skipped: engine %s cannot be used here (%s)\n", vm_engine, strerror(errno));
		return 77;
	}
	have_first_vm();
	for (size_t i = 0; i < n; i++) {
		tests[i].setup_func = before_test;
		tests[i].teardown_func = after_test;
	}
	return _cmocka_run_group_tests(vm_engine, tests, n, NULL, NULL) ? 1 : 0;
}
