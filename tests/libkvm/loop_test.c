/* SPDX-License-Identifier: MIT */
/* The loop of kvm_run: who is called when. */
#include <errno.h>
#include <string.h>

#include "vm.h"

static void add(void *opaque, const char *word)
{
	strcat(((struct vm *)opaque)->trace, word);
}

static void trace_nmi(void *opaque)
{
	add(opaque, "nmi ");
}

static int trace_push(void *opaque)
{
	add(opaque, "push ");
	return ((struct vm *)opaque)->ret_push;
}

static int trace_pre(void *opaque, void *env)
{
	add(opaque, env == &((struct vm *)opaque)->env ? "pre " : "pre:wrong-env ");
	return ((struct vm *)opaque)->ret_pre;
}

static void trace_post(void *opaque, void *env)
{
	add(opaque, "post ");
	errno = EBADMSG; /* may do so */
}

static void trace_hooks(struct vm *vm)
{
	vm->callbacks.push_nmi = trace_nmi;
	vm->callbacks.try_push_interrupts = trace_push;
	vm->callbacks.pre_kvm_run = trace_pre;
	vm->callbacks.post_kvm_run = trace_post;
}

GUEST(out_code, "outb %al, $0x10\nhlt");

static void callback_order(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, out_code);
	trace_hooks(&vm);
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "nmi push pre post outb:10=0 nmi push pre post halt:0 ");
	vm_forget(&vm);
	vm.ret_pre = 12;
	assert_int_equal(vm_run(&vm), 12);
	assert_string_equal(vm.trace, "nmi push pre ");
	vm_destroy(&vm);
}

/* With interrupt controllers in the engine nobody is asked for interrupts. */
static void callback_order_irqchip(void **state)
{
	struct vm vm;

	vm_create_with_irqchip(&vm, MEM);
	LOAD(&vm, out_code);
	trace_hooks(&vm);
	vm.ret_io = 5;
	assert_int_equal(vm_run(&vm), 5);
	assert_string_equal(vm.trace, "nmi pre post outb:10=0 ");
	vm_destroy(&vm);
}

/* Collected writes come between the guest's turn and the exit's own handler, in the client's lock as all handlers. */
GUEST(store_out_code, "movw $0xa000, %ax\nmovw %ax, %ds\nmovb $1, 0\noutb %al, $0x10\nhlt");

static void collected_before_the_exit(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	NEEDS(&vm, KVM_CAP_COALESCED_MMIO);
	assert_int_equal(kvm_register_coalesced_mmio(vm.kvm, 0xa0000, PAGE_SIZE), 0);
	LOAD(&vm, store_out_code);
	trace_hooks(&vm);
	vm.ret_io = 5;
	assert_int_equal(vm_run(&vm), 5);
	assert_string_equal(vm.trace, "nmi push pre post write:a0000/1=1 outb:10=0 ");
	vm_destroy(&vm);
}

/* Only the exit's own handler ends the run. */
static void env_is_passed_on(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, out_code);
	trace_hooks(&vm);
	vm.ret_io = 5;
	assert_int_equal(kvm_run(vm.kvm, 0, NULL), 5);
	assert_string_equal(vm.trace, "nmi push pre:wrong-env post outb:10=0 ");
	vm_destroy(&vm);
}

/* Each hook may be missing. */
static void no_hooks(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, out_code);
	trace_hooks(&vm);
	vm.callbacks.pre_kvm_run = NULL;
	vm.callbacks.push_nmi = NULL;
	vm.ret_io = 5;
	assert_int_equal(vm_run(&vm), 5);
	vm.callbacks.post_kvm_run = NULL;
	vm.callbacks.try_push_interrupts = NULL;
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "push post outb:10=0 halt:0 ");
	vm_destroy(&vm);
}

static void run_refused(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	FAILS(EINVAL, kvm_run(vm.kvm, 1, NULL));
	FAILS(EINVAL, kvm_run(vm.kvm, -1, NULL));
	FAILS(EINVAL, kvm_run(vm.kvm, 1 << 30, NULL));
	vm_destroy(&vm);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(callback_order),
		cmocka_unit_test(callback_order_irqchip),
		cmocka_unit_test(collected_before_the_exit),
		cmocka_unit_test(env_is_passed_on),
		cmocka_unit_test(no_hooks),
		cmocka_unit_test(run_refused),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
