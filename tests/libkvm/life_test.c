/* SPDX-License-Identifier: MIT */
/* A context, its VM and its vCPUs: made, refused, made twice, and gone without a trace. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/hostcpu.h"
#include "vm.h"

static void init_refuses(void **state)
{
	struct kvm_callbacks cb = {.inb = NULL};

	errno = 0;
	assert_null(uv_kvm_init(&cb, NULL, "steam", vm_quiet, NULL));
	assert_int_equal(errno, EINVAL);
	assert_null(uv_kvm_init(NULL, NULL, vm_engine, vm_quiet, NULL));
	kvm_finalize(NULL);
}

static void engine_from_environment(void **state)
{
	struct kvm_callbacks cb = {.inb = NULL};
	kvm_context_t kvm;

	setenv("LIBKVM_ENGINE", vm_engine, 1);
	kvm = kvm_init(&cb, NULL);
	unsetenv("LIBKVM_ENGINE");
	assert_non_null(kvm);
	assert_string_equal(uv_kvm_engine(kvm), vm_engine);
	kvm_finalize(kvm);
}

static void engine_refused(void **state)
{
	struct kvm_callbacks cb = {.inb = NULL};

	setenv("LIBKVM_ENGINE", "steam", 1);
	errno = 0;
	assert_null(kvm_init(&cb, NULL)); /* the one line on stderr that is meant to be there */
	assert_int_equal(errno, EINVAL);
	unsetenv("LIBKVM_ENGINE");
}

/* Nobody chooses: the kernel's where it can be opened and the processor shows what it takes. */
static void engine_by_default(void **state)
{
	struct kvm_callbacks cb = {.inb = NULL};
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	const char *expected = fd >= 0 && host_cpu_virtualizes() ? "kernel" : "soft";
	kvm_context_t kvm;

	if (fd >= 0)
		close(fd);
	unsetenv("LIBKVM_ENGINE");
	kvm = kvm_init(&cb, NULL);
	assert_non_null(kvm);
	assert_string_equal(uv_kvm_engine(kvm), expected);
	kvm_finalize(kvm);
	setenv("LIBKVM_ENGINE", "", 1); /* as if not set */
	kvm = kvm_init(&cb, NULL);
	assert_non_null(kvm);
	assert_string_equal(uv_kvm_engine(kvm), expected);
	kvm_finalize(kvm);
	unsetenv("LIBKVM_ENGINE");
}

/* A context without a VM leaves every descriptor of the program alone. */
static void finalize_early(void **state)
{
	struct kvm_callbacks cb = {.inb = NULL};
	kvm_context_t kvm = uv_kvm_init(&cb, NULL, vm_engine, vm_quiet, NULL);
	int before = dup(0);

	assert_non_null(kvm);
	assert_int_equal(kvm_check_extension(kvm, KVM_CAP_USER_MEMORY), 1);
	assert_int_equal(kvm_check_extension(kvm, KVM_CAP_NR_MEMSLOTS), 1);
	assert_int_equal(kvm_check_extension(kvm, 99999), 0);
	assert_int_equal(kvm_get_regs(kvm, 0, &(struct kvm_regs){.rax = 0}), -EBADF);
	kvm_finalize(kvm);
	assert_int_not_equal(fcntl(0, F_GETFD), before < 0 ? 0 : -1);
	close(before);
}

/* The descriptors and mappings are counted around each test. */
static void finalize_closes_all(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	for (int i = 0; i < 4; i++)
		assert_int_equal(kvm_create_vcpu(vm.kvm, i), 0);
	assert_non_null(kvm_create_phys_mem(vm.kvm, 16 << 20, PAGE_SIZE, 0, 1));
	vm_destroy(&vm);
}

static void vm_only_once(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	assert_int_equal(kvm_create_vm(vm.kvm), -EEXIST);
	assert_int_equal(errno, EEXIST);
	vm_destroy(&vm);
}

/* vCPU 0 comes with its first use and can still be asked for once. */
static void vcpu_zero(void **state)
{
	struct kvm_regs regs;
	struct vm vm;

	vm_create(&vm, MEM);
	assert_int_equal(kvm_get_regs(vm.kvm, 0, &regs), 0);
	assert_int_equal(regs.rip, 0xfff0);
	assert_int_equal(kvm_create_vcpu(vm.kvm, 0), 0);
	assert_int_equal(kvm_create_vcpu(vm.kvm, 0), -EEXIST);
	assert_int_equal(kvm_get_regs(vm.kvm, 1, &regs), -EINVAL);
	assert_int_equal(kvm_create_vcpu(vm.kvm, 1), 0);
	assert_int_equal(kvm_create_vcpu(vm.kvm, 1), -EEXIST);
	assert_int_equal(kvm_create_vcpu(vm.kvm, -1), -EINVAL);
	assert_int_equal(kvm_create_vcpu(vm.kvm, 1 << 30), -EINVAL);
	assert_int_equal(kvm_get_regs(vm.kvm, 1, &regs), 0);
	vm_destroy(&vm);
}

static void many_vcpus(void **state)
{
	struct vm vm;

	vm_create_with_irqchip(&vm, MEM);
	for (int i = 0; i < 20; i++)
		assert_int_equal(kvm_create_vcpu(vm.kvm, i), 0);
	vm_destroy(&vm);
}

GUEST(in_code, "inb $0x20, %al\nhlt");
GUEST(out_code, "outb %al, $0x10\nhlt");

static int stop_run(void *opaque, uint16_t addr, uint8_t data)
{
	return 3;
}

static kvm_context_t init(struct vm *vm)
{
	memset(vm, 0, sizeof(*vm));
	vm->kvm = uv_kvm_init(&vm->callbacks, vm, vm_engine, vm_quiet, NULL);
	assert_non_null(vm->kvm);
	return vm->kvm;
}

static void assert_chips(kvm_context_t kvm, int irqchip, int pit)
{
	struct kvm_pit_state state;

	assert_int_equal(kvm_irqchip_in_kernel(kvm), irqchip);
	assert_int_equal(kvm_pit_in_kernel(kvm), pit);
	memset(&state, 0x5a, sizeof(state));
	assert_int_equal(kvm_get_pit(kvm, &state), 0);
	assert_int_equal(state.channels[0].count == 0x5a5a5a5a, !pit);
	assert_int_equal(kvm_set_irq_level(kvm, 3, 1), irqchip);
}

/* No timer, or no chips and with them no timer; too late once the VM is there. */
static void chips_disabled(void **state)
{
	struct vm vm;
	kvm_context_t kvm = init(&vm);

	kvm_disable_pit_creation(kvm);
	assert_int_equal(kvm_create(kvm, 0, NULL), 0);
	kvm_disable_irqchip_creation(kvm);
	assert_chips(kvm, 1, 0);
	kvm_finalize(kvm);
	kvm = init(&vm);
	kvm_disable_irqchip_creation(kvm);
	assert_int_equal(kvm_create(kvm, 0, NULL), 0);
	assert_chips(kvm, 0, 0);
	kvm_finalize(kvm);
	kvm = init(&vm);
	assert_int_equal(kvm_create(kvm, 0, NULL), 0);
	kvm_disable_pit_creation(kvm);
	assert_chips(kvm, 1, 1);
	kvm_finalize(kvm);
}

/* What kvm_create does, in steps and without memory of its own; coalesced MMIO is looked for then too. */
static void by_hand(void **state)
{
	struct vm vm;
	kvm_context_t kvm = init(&vm);
	u8 *mem;

	assert_int_equal(kvm_create_vm(kvm), 0);
	kvm_create_irqchip(kvm);
	assert_chips(kvm, 1, 0);
	kvm_create_irqchip(kvm); /* is there already */
	assert_chips(kvm, 1, 0);
	assert_int_equal(kvm_init_coalesced_mmio(kvm), 0);
	if (kvm_check_extension(kvm, KVM_CAP_COALESCED_MMIO))
		assert_int_equal(kvm_register_coalesced_mmio(kvm, 0xa0000, PAGE_SIZE), 0);
	mem = kvm_create_phys_mem(kvm, 0, 0x4000, 0, 1);
	assert_non_null(mem);
	assert_int_equal(kvm_create_vcpu(kvm, 0), 0);
	memcpy(mem + CODE, out_code, (size_t)(out_code_end - out_code));
	vm_start(&vm, 0, CODE);
	vm.callbacks.outb = stop_run;
	assert_int_equal(vm_run(&vm), 3);
	kvm_finalize(kvm);
}

/* Nothing is shared between two contexts. */
static void two_contexts(void **state)
{
	struct vm a, b;

	vm_create(&a, MEM);
	vm_create(&b, 0x10000);
	LOAD(&a, in_code);
	LOAD(&b, out_code);
	assert_int_equal(vm_run(&b), 7);
	assert_int_equal(vm_run(&a), 7);
	assert_string_equal(b.trace, "outb:10=0 halt:0 ");
	assert_false(kvm_is_containing_region(b.kvm, 0x20000, 1));
	vm_destroy(&b);
	assert_true(kvm_is_containing_region(a.kvm, 0x20000, 1));
	vm_destroy(&a);
}

/* One context of each engine, where both are there, taking turns. */
static void both_engines(void **state)
{
	const char *mine = vm_engine, *other = strcmp(mine, "soft") ? "soft" : "kernel";
	kvm_context_t probe =
		uv_kvm_init(&(struct kvm_callbacks){.inb = NULL}, NULL, other, vm_quiet, NULL);
	struct vm a, b;

	kvm_finalize(probe);
	if (!probe)
		return;
	vm_create(&a, MEM);
	vm_engine = other;
	vm_create(&b, MEM);
	vm_engine = mine;
	assert_string_equal(uv_kvm_engine(b.kvm), other);
	LOAD(&a, out_code);
	LOAD(&b, out_code);
	a.ret_io = b.ret_io = 3;
	assert_int_equal(vm_run(&a), 3);
	assert_int_equal(vm_run(&b), 3);
	assert_int_equal(vm_run(&a), 7);
	vm_destroy(&a);
	assert_int_equal(vm_run(&b), 7);
	assert_string_equal(b.trace, "outb:10=0 halt:0 ");
	vm_destroy(&b);
}

/* In a child: the VM and its vCPUs are not its own; a VM of its own it may have. */
static int child(struct vm *vm)
{
	struct kvm_regs regs;
	int wrong = 0;

	wrong += kvm_get_regs(vm->kvm, 0, &regs) != -EIO || errno != EIO;
	wrong += kvm_run(vm->kvm, 0, NULL) != -EIO;
	wrong += kvm_create_vcpu(vm->kvm, 1) != -EIO;
	wrong += kvm_create_phys_mem(vm->kvm, 1ul << 32, PAGE_SIZE, 0, 1) || errno != EIO;
	wrong += kvm_check_extension(vm->kvm, KVM_CAP_USER_MEMORY) != 1;
	kvm_finalize(vm->kvm);
	if (UV_SANITIZED)
		return wrong; /* the thread sanitizer allows no threads here */
	wrong += vm_try_create(vm, MEM) != 0;
	wrong += kvm_get_regs(vm->kvm, 0, &regs) != 0;
	kvm_finalize(vm->kvm);
	return wrong;
}

static void forked(void **state)
{
	struct vm vm;
	int status;
	pid_t pid;

	vm_create(&vm, MEM);
	LOAD(&vm, out_code);
	pid = fork();
	if (!pid)
		_exit(child(&vm));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "outb:10=0 halt:0 ");
	vm_destroy(&vm);
}

/* A tool's machine has its memory in a file, which the child shares. */
static void forked_with_tool(void **state)
{
	struct vm vm;
	int status;
	pid_t pid;

	setenv("USERVISOR_INTROSPECT", "unix:/nonexistent/tool", 1);
	vm_create(&vm, MEM);
	unsetenv("USERVISOR_INTROSPECT");
	LOAD(&vm, out_code);
	strcpy((char *)vm.mem + MEM / 2, "the parent's");
	pid = fork();
	if (!pid) {
		kvm_create_phys_mem(
			vm.kvm, 1ul << 32, PAGE_SIZE, 0, 1); /* fails, and must not cut the file */
		kvm_finalize(vm.kvm);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_string_equal((char *)vm.mem + MEM / 2, "the parent's");
	assert_int_equal(vm_run(&vm), 7);
	vm_destroy(&vm);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(init_refuses),
		cmocka_unit_test(engine_from_environment),
		cmocka_unit_test(engine_refused),
		cmocka_unit_test(engine_by_default),
		cmocka_unit_test(finalize_early),
		cmocka_unit_test(finalize_closes_all),
		cmocka_unit_test(vm_only_once),
		cmocka_unit_test(vcpu_zero),
		cmocka_unit_test(many_vcpus),
		cmocka_unit_test(chips_disabled),
		cmocka_unit_test(by_hand),
		cmocka_unit_test(two_contexts),
		cmocka_unit_test(both_engines),
		cmocka_unit_test(forked),
		cmocka_unit_test(forked_with_tool),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
