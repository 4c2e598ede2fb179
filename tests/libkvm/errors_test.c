/* SPDX-License-Identifier: MIT */
/*
 * Callers' mistakes: each gives its -errno, errno, and one sentence that says what was wrong. The hook changes errno,
 * as one may that prints.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vm.h"

#define NO_VM "there is no VM yet"

static struct {
	char sentence[256];
	int n, dumped;
} heard;

static void hear(void *opaque, enum uv_kvm_log_kind kind, const char *line)
{
	errno = EDOM;
	if (kind == UV_KVM_LOG_DUMP) {
		heard.dumped++;
		return;
	}
	heard.n++;
	strncpy(heard.sentence, line, sizeof(heard.sentence) - 1);
}

static void forget(void)
{
	memset(&heard, 0, sizeof(heard));
	errno = 0;
}

static void check(const char *call, int error, const char *words)
{
	if (errno != error || heard.n != 1 || !strstr(heard.sentence, words))
		fail_msg("%s: errno %d, %d sentences, the last: %s", call, errno, heard.n,
			heard.sentence);
}

#define WRONG(call, error, words)                                                                  \
	do {                                                                                       \
		forget();                                                                          \
		if ((call) != -(error))                                                            \
			fail_msg("%s: not %d; %s", #call, -(error), heard.sentence);               \
		check(#call, error, words);                                                        \
	} while (0)
/* The result is no error number: none, 0 or NULL. */
#define WRONG_0(call, error, words)                                                                \
	do {                                                                                       \
		forget();                                                                          \
		(void)(call);                                                                      \
		check(#call, error, words);                                                        \
	} while (0)

/* The engine says what is wrong; of the kernel's errors there is only what they mean most of the time. */
static const char *on(const char *soft, const char *kernel)
{
	return strcmp(vm_engine, "kernel") ? soft : kernel;
}

/* What only the engine can know is not told by way of a kernel. */
static bool told_by_engine(void)
{
	return !strstr(vm_engine, "kernel");
}

static bool on_mshv(void)
{
	return !strncmp(vm_engine, "mshv", strlen("mshv"));
}

static void begin(struct vm *vm, bool irqchip)
{
	(irqchip ? vm_create_with_irqchip : vm_create)(vm, MEM);
	uv_kvm_set_log(vm->kvm, hear, NULL);
}

static void no_engine(void **state)
{
	struct kvm_callbacks cb = {.inb = NULL};

	forget();
	assert_null(uv_kvm_init(&cb, NULL, "steam", hear, NULL));
	check("uv_kvm_init", EINVAL, "\"steam\"");
	forget();
	assert_null(uv_kvm_init(NULL, NULL, vm_engine, hear, NULL));
	check("uv_kvm_init", EINVAL, "struct kvm_callbacks");
	forget();
	setenv("LIBKVM_ENGINE", "steam", 1);
	assert_null(uv_kvm_init(&cb, NULL, NULL, hear, NULL));
	unsetenv("LIBKVM_ENGINE");
	check("uv_kvm_init", EINVAL, "LIBKVM_ENGINE: there is no engine \"steam\"");
}

static void no_vm(void **state)
{
	struct kvm_callbacks cb = {.inb = NULL};
	kvm_context_t kvm = uv_kvm_init(&cb, NULL, vm_engine, hear, NULL);
	struct kvm_regs regs;
	unsigned pages;

	assert_non_null(kvm);
	WRONG(kvm_run(kvm, 0, NULL), EBADF, NO_VM);
	WRONG(kvm_get_regs(kvm, 0, &regs), EBADF, NO_VM);
	WRONG(kvm_get_regs(kvm, 1, &regs), EBADF, NO_VM);
	WRONG(kvm_create_vcpu(kvm, 0), EBADF, NO_VM);
	WRONG(kvm_dump_vcpu(kvm, 0), EBADF, NO_VM);
	WRONG(kvm_set_shadow_pages(kvm, 100), EBADF, NO_VM);
	WRONG(kvm_get_shadow_pages(kvm, &pages), EBADF, NO_VM);
	WRONG(kvm_register_coalesced_mmio(kvm, 0, PAGE_SIZE), EBADF, NO_VM);
	WRONG_0(kvm_create_irqchip(kvm), EBADF, NO_VM);
	WRONG_0(kvm_get_cr8(kvm, 0), EBADF, NO_VM);
	kvm_finalize(kvm);
}

static void made_twice(void **state)
{
	struct vm vm;

	begin(&vm, false);
	WRONG(kvm_create(vm.kvm, MEM, NULL), EEXIST, "already has a VM");
	WRONG(kvm_create_vm(vm.kvm), EEXIST, "already has a VM");
	assert_int_equal(kvm_create_vcpu(vm.kvm, 0), 0);
	WRONG(kvm_create_vcpu(vm.kvm, 0), EEXIST, "vCPU 0 already exists");
	vm_destroy(&vm);
}

/* kvm_create that failed leaves nothing, and works when asked for what is there. */
static void create_too_large(void **state)
{
	struct kvm_callbacks cb = {.inb = NULL};
	kvm_context_t kvm = uv_kvm_init(&cb, NULL, vm_engine, hear, NULL);
	void *mem = NULL;
	u64 bitmap[3];

	WRONG(kvm_create(kvm, 1ul << 60, &mem), ENOMEM, "bytes of memory");
	assert_null(mem);
	WRONG(kvm_create(kvm, ~0ul, &mem), ENOMEM, "bytes of memory");
	assert_int_equal(kvm_dirty_pages_log_enable_all(kvm), 0);
	WRONG(kvm_create(kvm, ~0ul, &mem), ENOMEM, "bytes of memory");
	assert_false(kvm_irqchip_in_kernel(kvm));
	assert_int_equal(kvm_create(kvm, MEM, &mem), 0);
	assert_true(kvm_irqchip_in_kernel(kvm));
	assert_true(kvm_is_containing_region(kvm, 0, 0xa0000));
	assert_int_equal(((char *)mem)[MEM - 1], 0);
	assert_int_equal(kvm_get_dirty_pages(kvm, 0, bitmap), 0); /* still wanted */
	kvm_finalize(kvm);
}

static void no_such_vcpu(void **state)
{
	struct kvm_mp_state mp = {KVM_MP_STATE_RUNNABLE};
	struct kvm_msr_entry msr = {.index = 0x10};
	struct kvm_fpu fpu;
	struct vm vm;

	begin(&vm, false);
	WRONG(kvm_create_vcpu(vm.kvm, -1), EINVAL,
		"vCPU -1 cannot exist: the number must be 0 to ");
	WRONG(kvm_create_vcpu(vm.kvm, 1 << 30), EINVAL, "the number must be 0 to ");
	WRONG(kvm_run(vm.kvm, 3, NULL), EINVAL,
		"vCPU 3 does not exist: create it with kvm_create_vcpu()");
	WRONG(kvm_run(vm.kvm, -3, NULL), EINVAL, "vCPU -3 cannot exist");
	WRONG(kvm_get_fpu(vm.kvm, 3, &fpu), EINVAL, "kvm_create_vcpu()");
	WRONG(kvm_get_mpstate(vm.kvm, 3, &mp), EINVAL, "kvm_create_vcpu()");
	WRONG(kvm_reset_mpstate(vm.kvm, 3), EINVAL, "kvm_create_vcpu()");
	WRONG(kvm_get_msrs(vm.kvm, 3, &msr, 1), EINVAL, "kvm_create_vcpu()");
	WRONG(kvm_setup_cpuid(vm.kvm, 3, 0, NULL), EINVAL, "kvm_create_vcpu()");
	WRONG(kvm_set_signal_mask(vm.kvm, 3, NULL), EINVAL, "kvm_create_vcpu()");
	WRONG(kvm_inject_irq(vm.kvm, 3, 32), EINVAL, "kvm_create_vcpu()");
	WRONG(kvm_inject_nmi(vm.kvm, 3), EINVAL, "kvm_create_vcpu()");
	WRONG(kvm_enable_tpr_access_reporting(vm.kvm, 3), EINVAL, "kvm_create_vcpu()");
	WRONG(kvm_enable_vapic(vm.kvm, 3, 0), EINVAL, "kvm_create_vcpu()");
	WRONG(kvm_dump_vcpu(vm.kvm, 3), EINVAL, "kvm_create_vcpu()");
	WRONG_0(kvm_show_regs(vm.kvm, 3), EINVAL, "kvm_create_vcpu()");
	WRONG_0(kvm_set_cr8(vm.kvm, 3, 1), EINVAL, "kvm_create_vcpu()");
	WRONG_0(assert_int_equal(kvm_get_cr8(vm.kvm, 3), 0), EINVAL, "kvm_create_vcpu()");
	WRONG_0(assert_int_equal(kvm_get_apic_base(vm.kvm, 3), 0), EINVAL, "kvm_create_vcpu()");
	WRONG_0(assert_int_equal(kvm_get_interrupt_flag(vm.kvm, 99), 0), EINVAL, "vCPU 99");
	WRONG_0(assert_int_equal(kvm_is_ready_for_interrupt_injection(vm.kvm, -1), 0), EINVAL,
		"vCPU -1");
	vm_destroy(&vm);
}

/* What no hypervisor takes is refused with what is wrong about it. */
static void regions(void **state)
{
	static u8 pages[2 * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
	u64 bitmap[1];
	struct vm vm;
	void *mem;

	begin(&vm, false);
	WRONG(kvm_register_phys_mem(vm.kvm, 1 << 24, NULL, PAGE_SIZE, 0), EFAULT, "is NULL");
	WRONG(kvm_register_phys_mem(vm.kvm, -PAGE_SIZE, pages, PAGE_SIZE, 0), EINVAL, "below 2^64");
	WRONG(kvm_register_phys_mem(vm.kvm, 1ul << 56, pages, PAGE_SIZE, 0), EINVAL,
		on_mshv() ? (told_by_engine() ? "guest_pfn 0x100000000000: " : "")
			  : on("guest_phys_addr 0x100000000000000: the slot ends beyond 52 bits",
				    "outside the addresses"));
	WRONG_0(kvm_create_phys_mem(vm.kvm, 100, PAGE_SIZE, 0, 1), EINVAL, "whole pages");
	mem = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_int_equal(kvm_register_phys_mem(vm.kvm, 1 << 24, mem, PAGE_SIZE, 0), 0);
	munmap(mem, PAGE_SIZE);
	WRONG(kvm_get_mem_map(vm.kvm, 1 << 24, bitmap), ENOMEM, "no longer wholly mapped");
	vm_destroy(&vm);
}

#define BAD(call) WRONG(call, EFAULT, "")

static void bad_pointers(void **state)
{
	struct vm vm;

	begin(&vm, true);
	WRONG(kvm_get_regs(vm.kvm, 0, NULL), EFAULT, "vCPU 0: KVM_GET_REGS failed: Bad address");
	WRONG(kvm_get_irqchip(vm.kvm, NULL), EFAULT, "KVM_GET_IRQCHIP failed: Bad address");
	BAD(kvm_set_regs(vm.kvm, 0, NULL));
	BAD(kvm_get_sregs(vm.kvm, 0, NULL));
	BAD(kvm_set_sregs(vm.kvm, 0, NULL));
	BAD(kvm_get_fpu(vm.kvm, 0, NULL));
	BAD(kvm_set_fpu(vm.kvm, 0, NULL));
	BAD(kvm_get_fpu(vm.kvm, 0, (void *)8));
	BAD(kvm_set_fpu(vm.kvm, 0, (void *)8));
	BAD(kvm_get_mpstate(vm.kvm, 0, NULL));
	BAD(kvm_set_mpstate(vm.kvm, 0, NULL));
	BAD(kvm_get_msrs(vm.kvm, 0, NULL, 1));
	BAD(kvm_set_msrs(vm.kvm, 0, NULL, 1));
	BAD(kvm_setup_cpuid(vm.kvm, 0, 1, NULL));
	BAD(uv_kvm_setup_cpuid2(vm.kvm, 0, 1, NULL));
	BAD(kvm_set_guest_debug(vm.kvm, 0, NULL));
	BAD(kvm_set_irqchip(vm.kvm, NULL));
	BAD(kvm_get_lapic(vm.kvm, 0, NULL));
	BAD(kvm_set_lapic(vm.kvm, 0, NULL));
	BAD(kvm_get_pit(vm.kvm, NULL));
	BAD(kvm_set_pit(vm.kvm, NULL));
	BAD(kvm_get_shadow_pages(vm.kvm, NULL));
	vm_destroy(&vm);
}

static void lists(void **state)
{
	struct kvm_cpuid_entry *leaves = calloc(2000, sizeof(*leaves));
	struct kvm_msr_entry *msrs = calloc(2000, sizeof(*msrs));
	struct vm vm;

	begin(&vm, false);
	forget();
	assert_int_equal(kvm_get_msrs(vm.kvm, 0, NULL, 0), 0);
	assert_int_equal(kvm_set_msrs(vm.kvm, 0, NULL, 0), 0);
	assert_int_equal(kvm_setup_cpuid(vm.kvm, 0, 0, NULL), 0);
	assert_int_equal(uv_kvm_setup_cpuid2(vm.kvm, 0, 0, NULL), 0);
	assert_int_equal(heard.n, 0);
	WRONG(kvm_get_msrs(vm.kvm, 0, msrs, -1), EINVAL, "negative");
	WRONG(kvm_set_msrs(vm.kvm, 0, msrs, -1), EINVAL, "negative");
	WRONG(kvm_setup_cpuid(vm.kvm, 0, -1, leaves), EINVAL, "negative");
	WRONG(kvm_setup_cpuid(vm.kvm, 0, 2000, leaves), E2BIG, "2000 CPUID leaves");
	WRONG(kvm_setup_cpuid(vm.kvm, 0, 1000, leaves), E2BIG, "KVM_SET_CPUID2");
	WRONG(kvm_get_msrs(vm.kvm, 0, msrs, 2000), E2BIG, "KVM_GET_MSRS");
	/* A refused MSR is no error: the number says how far it went. */
	forget();
	msrs[0].index = 0x10;
	msrs[1].index = 0xdeadbeef;
	assert_int_equal(kvm_get_msrs(vm.kvm, 0, msrs, 3), 1);
	assert_int_equal(heard.n, 0);
	vm_destroy(&vm);
	free(leaves);
	free(msrs);
}

static void interrupts(void **state)
{
	struct kvm_mp_state mp = {77};
	struct vm vm;

	begin(&vm, false);
	WRONG(kvm_inject_irq(vm.kvm, 0, 256), EINVAL, "vCPU 0: KVM_INTERRUPT failed: ");
	WRONG(kvm_set_mpstate(vm.kvm, 0, &mp), EINVAL, on("mp_state 77: ", "no such state"));
	if (kvm_check_extension(vm.kvm, KVM_CAP_VAPIC))
		WRONG(kvm_enable_vapic(vm.kvm, 0, 0), EINVAL,
			on("there is no irqchip", "irqchip in the kernel"));
	else
		WRONG(kvm_enable_vapic(vm.kvm, 0, 0), ENOSYS, "has no TPR");
	vm_destroy(&vm);
	begin(&vm, true);
	WRONG(kvm_inject_irq(vm.kvm, 0, 32), ENXIO,
		on("the irqchip delivers interrupts", "the irqchip in the kernel delivers"));
	vm_destroy(&vm);
}

/* Made after a vCPU it fails with words; there already, it stays, whatever is asked. */
static void irqchip_late(void **state)
{
	struct kvm_callbacks cb = {.inb = NULL};
	kvm_context_t kvm = uv_kvm_init(&cb, NULL, vm_engine, hear, NULL);
	struct vm vm;

	assert_int_equal(kvm_create_vm(kvm), 0);
	assert_int_equal(kvm_create_vcpu(kvm, 0), 0);
	WRONG_0(kvm_create_irqchip(kvm), EINVAL, "KVM_CREATE_IRQCHIP");
	assert_false(kvm_irqchip_in_kernel(kvm));
	kvm_finalize(kvm);
	begin(&vm, true);
	forget();
	kvm_disable_irqchip_creation(vm.kvm);
	kvm_create_irqchip(vm.kvm);
	assert_true(kvm_irqchip_in_kernel(vm.kvm));
	assert_int_equal(kvm_create_vcpu(vm.kvm, 0), 0);
	kvm_create_irqchip(vm.kvm);
	assert_true(kvm_irqchip_in_kernel(vm.kvm));
	assert_int_equal(heard.n, 0);
	vm_destroy(&vm);
}

static void chips(void **state)
{
	struct kvm_irqchip chip = {.chip_id = 7};
	struct vm vm;

	begin(&vm, true);
	WRONG(kvm_get_irqchip(vm.kvm, &chip), EINVAL, on("chip_id 7: ", "chip_id is 0 or 1"));
	WRONG(kvm_set_irqchip(vm.kvm, &chip), EINVAL, on("chip_id 7: ", "chip_id is 0 or 1"));
	vm_destroy(&vm);
}

static void small_and_gone(void **state)
{
	struct kvm_assigned_pci_dev device = {.busnr = 1};
	struct kvm_assigned_irq irq = {.host_irq = 1};
	struct vm vm;

	begin(&vm, false);
	WRONG(kvm_set_shadow_pages(vm.kvm, 1), EINVAL, "at least 64");
	WRONG(kvm_assign_pci_device(vm.kvm, &device), ENOTTY, "VFIO");
	WRONG(kvm_assign_irq(vm.kvm, &irq), ENOTTY, "VFIO");
	vm_destroy(&vm);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(no_engine),
		cmocka_unit_test(no_vm),
		cmocka_unit_test(made_twice),
		cmocka_unit_test(create_too_large),
		cmocka_unit_test(no_such_vcpu),
		cmocka_unit_test(regions),
		cmocka_unit_test(bad_pointers),
		cmocka_unit_test(lists),
		cmocka_unit_test(interrupts),
		cmocka_unit_test(irqchip_late),
		cmocka_unit_test(chips),
		cmocka_unit_test(small_and_gone),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
