/* SPDX-License-Identifier: MIT */
/*
 * A hypervisor that breaks: the road to the engine is replaced by one that lets single requests fail, or puts an exit
 * into the vCPU's area that no guest can bring about. What is told, given and left behind.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libkvm/context.h"
#include "vm.h"

static struct {
	request_fn real;
	unsigned long request; /* this one ... */
	int skip;              /* ... after that many of them */
	int times;             /* ... so often */
	long result;           /* ... gives that, without being made */
	struct kvm_run exit;   /* what a KVM_RUN that gives 0 leaves */
	u32 then;              /* and the next one */
	struct kvm_run *area;
	int runs, sentences;
	char told[256], dumped[8192];
} broken;

#define ANY 0ul /* request */

static long broken_ioctl(
	void *state, int fd, unsigned long request, unsigned long arg, struct refusal *ret_why)
{
	const bool it = broken.request == ANY || broken.request == request;

	ret_why->why = NULL;
	if (!it || broken.skip-- > 0 || broken.times-- <= 0)
		return broken.real(state, fd, request, arg, ret_why);
	if (request != KVM_RUN)
		return broken.result;
	broken.runs++;
	if (broken.area) {
		broken.area->exit_reason = broken.exit.exit_reason;
		memcpy(broken.area->padding, broken.exit.padding, sizeof(broken.exit.padding));
		broken.exit.exit_reason = broken.then;
	}
	errno = broken.runs; /* of no meaning here: the result says it */
	return broken.result;
}

static void hear(void *opaque, enum uv_kvm_log_kind kind, const char *line)
{
	errno = EDOM;
	if (kind == UV_KVM_LOG_ERROR) {
		broken.sentences++;
		strncpy(broken.told, line, sizeof(broken.told) - 1);
	} else if (strlen(broken.dumped) + strlen(line) + 2 < sizeof(broken.dumped)) {
		strcat(strcat(broken.dumped, line), "\n");
	}
}

static void on_post(void *opaque, void *env)
{
	errno = ERANGE;
}

static void break_context(kvm_context_t kvm)
{
	memset(&broken, 0, sizeof(broken));
	broken.real = kvm->request;
	kvm->request = broken_ioctl;
	uv_kvm_set_log(kvm, hear, NULL);
}

/* vCPU 0 in front of `nop; nop; <hlt>`, with every KVM_RUN replaced. */
static void begin(struct vm *vm)
{
	static const u8 code[] = {0x90, 0x90, 0xf4};

	vm_create(vm, MEM);
	vm_load(vm, code, sizeof(code));
	vm_start(vm, 0, CODE + 2);
	vm->callbacks.post_kvm_run = on_post;
	break_context(vm->kvm);
	broken.request = KVM_RUN;
	broken.times = 1000;
	broken.area = vm->kvm->vcpus[0]->run;
}

static void exit_is(u32 reason)
{
	memset(&broken.exit, 0, sizeof(broken.exit));
	broken.exit.exit_reason = reason;
	broken.sentences = broken.runs = 0;
	broken.dumped[0] = 0;
}

#define GIVES(vm, error, words)                                                                    \
	do {                                                                                       \
		assert_int_equal(vm_run(vm), -(error));                                            \
		assert_int_equal(errno, error);                                                    \
		assert_int_equal(broken.sentences, 1);                                             \
		assert_int_equal(broken.runs, 1);                                                  \
		if (!strstr(broken.told, words))                                                   \
			fail_msg("%s: %s", words, broken.told);                                    \
	} while (0)

static void assert_dumped(const char *words)
{
	if (!strstr(broken.dumped, words))
		fail_msg("%s is not in:\n%s", words, broken.dumped);
}

static void assert_state_dumped(void)
{
	assert_dumped("rip 0000000000001002");
	assert_dumped("cr0 ");
	assert_dumped(" 90 90 <f4> 00");
}

static void fatal_exits(void **state)
{
	struct vm vm;

	begin(&vm);
	exit_is(KVM_EXIT_UNKNOWN);
	broken.exit.hw.hardware_exit_reason = 0xabc;
	GIVES(&vm, EIO, "unknown to the hypervisor (0xabc)");
	assert_state_dumped();
	exit_is(KVM_EXIT_EXCEPTION);
	broken.exit.ex.exception = 14;
	broken.exit.ex.error_code = 0x15;
	GIVES(&vm, EFAULT, "vCPU 0: there is no handler for exception 14, error code 0x15");
	assert_state_dumped();
	exit_is(KVM_EXIT_FAIL_ENTRY);
	broken.exit.fail_entry.hardware_entry_failure_reason = 0x80000021;
	broken.exit.fail_entry.cpu = 5;
	GIVES(&vm, ENOEXEC, "(0x80000021, on CPU 5)");
	assert_state_dumped();
	exit_is(KVM_EXIT_DIRTY_RING_FULL);
	GIVES(&vm, EPROTO, "unexpected exit 31");
	assert_state_dumped();
	vm_destroy(&vm);
}

static void internal_errors(void **state)
{
	struct vm vm;

	begin(&vm);
	exit_is(KVM_EXIT_INTERNAL_ERROR);
	broken.exit.emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
	broken.exit.emulation_failure.ndata = 4;
	broken.exit.emulation_failure.flags = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
	broken.exit.emulation_failure.insn_size = 3;
	memcpy(broken.exit.emulation_failure.insn_bytes, "\x0f\x01\xd9", 3);
	broken.exit.internal.data[3] = 0x1234;
	GIVES(&vm, EIO, "an instruction cannot be emulated (suberror 1)");
	assert_dumped("instruction 0f 01 d9\n");
	assert_dumped("data 3 0000000000001234\n");
	assert_null(strstr(broken.dumped, "data 4"));
	assert_state_dumped();
	/* Numbers from outside the known ones stay in bounds. */
	exit_is(KVM_EXIT_INTERNAL_ERROR);
	broken.exit.internal.suberror = 77;
	broken.exit.internal.ndata = ~0u;
	GIVES(&vm, EIO, "(suberror 77)");
	assert_dumped("data 15 ");
	assert_null(strstr(broken.dumped, "data 16"));
	exit_is(KVM_EXIT_INTERNAL_ERROR);
	broken.exit.internal.suberror = KVM_INTERNAL_ERROR_DELIVERY_EV;
	broken.exit.internal.ndata = 1;
	GIVES(&vm, EIO, "event was delivered (suberror 3)");
	assert_null(strstr(broken.dumped, "instruction"));
	vm_destroy(&vm);
}

static void system_events(void **state)
{
	struct vm vm;

	begin(&vm);
	for (u32 type = KVM_SYSTEM_EVENT_SHUTDOWN; type <= KVM_SYSTEM_EVENT_CRASH; type++) {
		exit_is(KVM_EXIT_SYSTEM_EVENT);
		broken.exit.system_event.type = type;
		vm_forget(&vm);
		assert_int_equal(vm_run(&vm), 7);
		assert_string_equal(vm.trace, "shutdown ");
		assert_int_equal(broken.sentences, 0);
	}
	vm_forget(&vm);
	exit_is(KVM_EXIT_SYSTEM_EVENT);
	broken.exit.system_event.type = 4;
	GIVES(&vm, EPROTO, "system event 4");
	exit_is(KVM_EXIT_SYSTEM_EVENT);
	GIVES(&vm, EPROTO, "system event 0");
	assert_string_equal(vm.trace, "");
	vm_destroy(&vm);
}

static void malformed_io(void **state)
{
	struct vm vm;

	begin(&vm);
	exit_is(KVM_EXIT_IO);
	broken.exit.io.size = 3;
	broken.exit.io.count = 1;
	broken.exit.io.port = 0x3f8;
	GIVES(&vm, EMSGSIZE, "port 3f8: an access of 3 bytes");
	exit_is(KVM_EXIT_IO);
	broken.exit.io.size = 1;
	broken.exit.io.direction = 2;
	GIVES(&vm, EPROTO, "direction");
	assert_string_equal(vm.trace, "");
	vm_destroy(&vm);
}

/* Of the old days: three bytes at the edge of video memory are nobody's. The vCPU goes on, to a second exit. */
static void three_bytes(void **state)
{
	struct vm vm;

	begin(&vm);
	vm.ret_mmio = 5;
	for (u64 gpa = 0xa0000 - 4; gpa <= 0xa0001; gpa++) {
		const bool nobodys = gpa > 0xa0000 - 4 && gpa <= 0xa0000;

		exit_is(KVM_EXIT_MMIO);
		broken.exit.mmio.phys_addr = gpa;
		broken.exit.mmio.len = 3;
		broken.then = KVM_EXIT_HLT;
		vm_forget(&vm);
		assert_int_equal(vm_run(&vm), nobodys ? 7 : 5);
		assert_int_equal(broken.runs, nobodys ? 2 : 1);
	}
	vm_destroy(&vm);
}

static void run_fails(void **state)
{
	struct vm vm;

	begin(&vm);
	exit_is(0);
	broken.result = -EIO;
	GIVES(&vm, EIO, "vCPU 0: KVM_RUN failed: Input/output error");
	assert_string_equal(broken.dumped, "");
	exit_is(0);
	broken.result = -EFAULT;
	GIVES(&vm, EFAULT, "vCPU 0: KVM_RUN failed: Bad address");
	assert_state_dumped();
	assert_string_equal(vm.trace, "");
	vm_destroy(&vm);
}

/* The exit reason is that of an earlier exit then, and must not be looked at. */
static void interrupted(void **state)
{
	static const int errors[] = {EINTR, EAGAIN};
	struct vm vm;

	begin(&vm);
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		exit_is(KVM_EXIT_SHUTDOWN);
		vm_forget(&vm);
		broken.result = -errors[i];
		assert_int_equal(vm_run(&vm), 8);
		assert_string_equal(vm.trace, "window ");
		assert_int_equal(broken.sentences, 0);
	}
	/* Without io_window a signal ends it, the start of a vCPU does not: it goes on into what is there by then. */
	vm.callbacks.io_window = NULL;
	exit_is(0);
	broken.times = 1;
	broken.result = -EINTR;
	assert_int_equal(vm_run(&vm), 1);
	vm_forget(&vm);
	broken.times = 1;
	broken.result = -EAGAIN;
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "halt:0 ");
	vm_destroy(&vm);
}

/* Memory that the program took away below the guest: no crash, and no byte of it in the dump. */
static void code_gone(void **state)
{
	struct vm vm;

	begin(&vm);
	assert_int_equal(mprotect(vm.mem + CODE, PAGE_SIZE, PROT_NONE), 0);
	exit_is(KVM_EXIT_UNKNOWN);
	GIVES(&vm, EIO, "unknown");
	assert_dumped(" xx xx <xx> xx");
	assert_int_equal(mprotect(vm.mem + CODE, PAGE_SIZE, PROT_READ | PROT_WRITE), 0);
	vm_destroy(&vm);
}

/* kvm_create with the request after `skip` others failing; false when there are not so many. */
static bool create_fails(int skip, int *failures)
{
	struct kvm_callbacks cb = {.inb = NULL};
	kvm_context_t kvm = uv_kvm_init(&cb, NULL, vm_engine, vm_quiet, NULL);
	struct kvm_regs regs;
	void *mem = NULL;
	bool broke;
	int r;

	assert_non_null(kvm);
	break_context(kvm);
	broken.result = -EIO;
	broken.skip = skip;
	broken.times = 1;
	r = kvm_create(kvm, MEM, &mem);
	broke = broken.times < 1;
	broken.times = 0;
	if (r < 0) {
		++*failures;
		assert_int_equal(r, -EIO);
		assert_int_equal(errno, EIO);
		assert_int_equal(broken.sentences, 1);
		assert_null(mem);
		assert_false(kvm_irqchip_in_kernel(kvm));
		assert_false(kvm_is_containing_region(kvm, 0, 1));
		assert_int_equal(kvm_create(kvm, MEM, &mem), 0);
		assert_true(kvm_irqchip_in_kernel(kvm));
	}
	assert_non_null(mem);
	assert_int_equal(kvm_get_regs(kvm, 0, &regs), 0);
	kvm_finalize(kvm);
	return broke;
}

/* Whichever request fails: told once, nothing left, and the next try succeeds. */
static void create_fails_anywhere(void **state)
{
	int failures = 0;

	for (int skip = 0; create_fails(skip, &failures); skip++)
		;
	assert_true(failures >= 5); /* the VM, two pages for real mode, the PIT, memory */
}

/* Pages that the guest wrote of the first two MiB's regions; asking ends their record. */
static u64 written(struct vm *vm)
{
	u64 low[3] = {0}, high[5] = {0};

	assert_int_equal(kvm_get_dirty_pages(vm->kvm, 0, low), 0);
	assert_int_equal(kvm_get_dirty_pages(vm->kvm, 0xc0000, high), 0);
	return low[0];
}

/* Stores to pages 2 and 5, and through an alias to page 7. */
GUEST(stores_code, "movb $1, 0x2000\nmovb $1, 0x5000\n"
		   "movw $0x8000, %ax\nmovw %ax, %ds\nmovb $1, 0\nhlt");
#define STORES (BIT64(2) | BIT64(5) | BIT64(7))

static u8 *own;

static int change_over(kvm_context_t kvm)
{
	return kvm_register_phys_mem(kvm, 0x4000, own, 4 * PAGE_SIZE, 0);
}

static int change_beside(kvm_context_t kvm)
{
	return kvm_register_phys_mem(kvm, 1 << 24, own, PAGE_SIZE, 1);
}

static int change_alias(kvm_context_t kvm)
{
	return kvm_create_memory_alias(kvm, 0x4000, 4 * PAGE_SIZE, 0xc0000);
}

static int change_removal(kvm_context_t kvm)
{
	errno = 0;
	kvm_destroy_phys_mem(kvm, 0, 0);
	return -errno;
}

/* The library's tables grow by this, and not the one after so many. */
static int allocations = -1;

void *reallocarray(void *old, size_t n, size_t size)
{
	if (allocations >= 0 && allocations-- == 0)
		return NULL;
	return realloc(old, n * size);
}

/* The change with the request after `skip` others failing, or the growing; false when there are not so many. */
static bool change_fails(int (*change)(kvm_context_t kvm), int skip, int error)
{
	struct vm vm;
	bool broke;
	int r;

	vm_create(&vm, MEM);
	LOAD(&vm, stores_code);
	assert_int_equal(kvm_create_memory_alias(vm.kvm, 0x80000, PAGE_SIZE, 0x7000), 0);
	assert_int_equal(kvm_dirty_pages_log_enable_all(vm.kvm), 0);
	assert_int_equal(vm_run(&vm), 7);
	break_context(vm.kvm);
	broken.result = -EIO;
	broken.skip = skip;
	broken.times = error == EIO;
	allocations = error == ENOMEM ? skip : -1;
	r = change(vm.kvm);
	broke = error == EIO ? broken.times < 1 : allocations < 0;
	broken.times = 0;
	allocations = -1;
	assert_int_equal(r, broke ? -error : 0);
	assert_int_equal(broken.sentences, broke);
	if (broke && error == EIO)
		assert_int_equal(written(&vm) & STORES, STORES);
	if (broke && change != change_removal)
		assert_int_equal(change(vm.kvm), 0);
	vm_destroy(&vm);
	return broke;
}

/* Whichever request fails: told once, and memory and its record are as before. Without memory there is no record. */
static void changes_fail(int error)
{
	static int (*const changes[])(kvm_context_t kvm) = {
		change_over, change_beside, change_alias, change_removal};
	int skip;

	own = mmap(NULL, 4 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(own != MAP_FAILED);
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		for (skip = 0; change_fails(changes[i], skip, error); skip++)
			;
		assert_true(skip > 0);
	}
	munmap(own, 4 * PAGE_SIZE);
}

static void changes_fail_anywhere(void **state)
{
	changes_fail(EIO);
}

static void changes_without_memory(void **state)
{
	changes_fail(ENOMEM);
}

/* A vCPU whose area cannot be mapped, or that cannot be made: no trace of it, and it can be made later. */
static void vcpu_fails(void **state)
{
	struct kvm_regs regs;
	struct vm vm;
	int other;

	vm_create(&vm, MEM);
	break_context(vm.kvm);
	other = eventfd(0, EFD_CLOEXEC);
	broken.request = KVM_CREATE_VCPU;
	broken.times = 1;
	broken.result = other;
	assert_int_equal(kvm_create_vcpu(vm.kvm, 1), -ENODEV);
	assert_int_equal(errno, ENODEV);
	assert_non_null(strstr(broken.told, "vCPU 1: its area cannot be mapped"));
	assert_int_equal(close(other), -1);
	broken.times = 1;
	broken.result = -ENOMEM;
	assert_int_equal(kvm_get_regs(vm.kvm, 0, &regs), -ENOMEM);
	assert_string_equal(broken.told, "vCPU 0: KVM_CREATE_VCPU failed: Cannot allocate memory");
	assert_int_equal(broken.sentences, 2);
	assert_int_equal(kvm_get_regs(vm.kvm, 0, &regs), 0);
	assert_int_equal(kvm_create_vcpu(vm.kvm, 1), 0);
	vm_destroy(&vm);
}

/* Requests that not every hypervisor has. */
static void missing_capabilities(void **state)
{
	struct kvm_mp_state mp = {KVM_MP_STATE_RUNNABLE};
	struct vm vm;

	vm_create(&vm, MEM);
	assert_int_equal(kvm_create_vcpu(vm.kvm, 0), 0);
	break_context(vm.kvm);
	broken.times = 1000;
	broken.request = KVM_CHECK_EXTENSION;
	assert_int_equal(kvm_check_extension(vm.kvm, KVM_CAP_USER_MEMORY), 0);
	assert_int_equal(kvm_set_shadow_pages(vm.kvm, 100), -ENOSYS);
	assert_int_equal(kvm_init_coalesced_mmio(vm.kvm), 0);
	assert_int_equal(kvm_register_coalesced_mmio(vm.kvm, 0, 8), -ENOSYS);
	assert_int_equal(errno, ENOSYS);
	assert_int_equal(broken.sentences, 2);
	/* The request fails, and then the question after its capability does too. */
	broken.request = ANY;
	assert_int_equal(broken.result, 0);
	broken.result = -ENOTTY;
	assert_int_equal(kvm_get_mpstate(vm.kvm, 0, &mp), -ENOSYS);
	assert_int_equal(kvm_set_mpstate(vm.kvm, 0, &mp), -ENOSYS);
	assert_int_equal(kvm_enable_tpr_access_reporting(vm.kvm, 0), -ENOSYS);
	assert_int_equal(errno, ENOSYS);
	assert_int_equal(broken.sentences, 5);
	assert_null(kvm_get_msr_list(vm.kvm));
	assert_int_equal(errno, ENOTTY);
	assert_null(uv_kvm_supported_cpuid(vm.kvm));
	assert_int_equal(errno, ENOTTY);
	assert_int_equal(broken.sentences, 7);
	vm_destroy(&vm);
}

/* Lists that the library allocates: NULL, and nothing to free. */
static void lists_fail(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	break_context(vm.kvm);
	broken.result = -EIO;
	broken.request = KVM_GET_MSR_INDEX_LIST;
	broken.times = 1;
	assert_null(kvm_get_msr_list(vm.kvm));
	assert_int_equal(errno, EIO);
	broken.skip = 1; /* the size is told, and then not the list */
	broken.times = 1;
	assert_null(kvm_get_msr_list(vm.kvm));
	assert_int_equal(errno, EIO);
	broken.request = KVM_GET_SUPPORTED_CPUID;
	broken.times = 1;
	assert_null(uv_kvm_supported_cpuid(vm.kvm));
	assert_int_equal(errno, EIO);
	assert_int_equal(broken.sentences, 3);
	vm_destroy(&vm);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(fatal_exits),
		cmocka_unit_test(internal_errors),
		cmocka_unit_test(system_events),
		cmocka_unit_test(malformed_io),
		cmocka_unit_test(three_bytes),
		cmocka_unit_test(run_fails),
		cmocka_unit_test(interrupted),
		cmocka_unit_test(code_gone),
		cmocka_unit_test(create_fails_anywhere),
		cmocka_unit_test(changes_fail_anywhere),
		cmocka_unit_test(changes_without_memory),
		cmocka_unit_test(vcpu_fails),
		cmocka_unit_test(missing_capabilities),
		cmocka_unit_test(lists_fail),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
