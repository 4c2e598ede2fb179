/* SPDX-License-Identifier: MIT */
/* The loop of kvm_run: who is called when, and how signals end it. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

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

static int handler_calls;

static void on_signal(int number)
{
	handler_calls++;
}

static sigset_t only(int number)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, number);
	return set;
}

GUEST(spin_code, "1: jmp 1b");

/* A blocked signal that the mask lets in ends the guest's turn, stays pending, and runs no handler. */
static void signal_mask(void **state)
{
	struct sigaction action = {.sa_handler = on_signal};
	sigset_t usr1 = only(SIGUSR1), none, pending;
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, spin_code);
	sigaction(SIGUSR1, &action, NULL);
	pthread_sigmask(SIG_BLOCK, &usr1, NULL);
	sigemptyset(&none);
	assert_int_equal(kvm_set_signal_mask(vm.kvm, 0, &none), 0);
	pthread_kill(pthread_self(), SIGUSR1);
	handler_calls = 0;
	assert_int_equal(vm_run(&vm), 8);
	assert_string_equal(vm.trace, "window ");
	assert_int_equal(handler_calls, 0);
	sigpending(&pending);
	assert_true(sigismember(&pending, SIGUSR1));
	assert_int_equal(vm_run(&vm), 8);
	sigwaitinfo(&usr1, NULL);
	pthread_sigmask(SIG_UNBLOCK, &usr1, NULL);
	assert_int_equal(kvm_set_signal_mask(vm.kvm, 0, NULL), 0);
	vm_destroy(&vm);
}

static void *kick_later(void *opaque)
{
	usleep(50000);
	pthread_kill(*(pthread_t *)opaque, SIGUSR1);
	return NULL;
}

/* From another thread, while the guest spins. */
static void signal_from_outside(void **state)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	pthread_t self = pthread_self(), kicker;
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, spin_code);
	sigaction(SIGUSR1, &action, NULL);
	handler_calls = 0;
	pthread_create(&kicker, NULL, kick_later, &self);
	assert_int_equal(vm_run(&vm), 8);
	pthread_join(kicker, NULL);
	assert_int_equal(handler_calls, 1);
	vm_destroy(&vm);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(callback_order),
		cmocka_unit_test(callback_order_irqchip),
		cmocka_unit_test(signal_mask),
		cmocka_unit_test(signal_from_outside),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
