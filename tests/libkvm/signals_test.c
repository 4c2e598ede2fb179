/* SPDX-License-Identifier: MIT */
/* Signals end the guest's turn, as io_window and the mask say. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "tests/inside.h"
#include "vm.h"

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

struct kick {
	pthread_t whom;
	int tid;
	struct vm *vm;
};

/* Whoever calls this, once he is in KVM_RUN. */
static struct kick kick_me(struct vm *vm)
{
	return (struct kick){pthread_self(), gettid(), vm};
}

static void *kick_later(void *opaque)
{
	struct kick *kick = opaque;

	inside_wait_thread(kick->tid, 50);
	pthread_kill(kick->whom, SIGUSR1);
	return NULL;
}

/* From another thread, while the guest spins. */
static void signal_from_outside(void **state)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct vm vm;
	struct kick kick = kick_me(&vm);
	pthread_t kicker;

	vm_create(&vm, MEM);
	LOAD(&vm, spin_code);
	sigaction(SIGUSR1, &action, NULL);
	handler_calls = 0;
	pthread_create(&kicker, NULL, kick_later, &kick);
	assert_int_equal(vm_run(&vm), 8);
	pthread_join(kicker, NULL);
	assert_int_equal(handler_calls, 1);
	vm_destroy(&vm);
}

/* io_window 0: the guest goes on where it was. What it waits for happens there. */
GUEST(wait_code, "1: cmpb $0, 0x2000\nje 1b\nhlt");

static int open_window(void *opaque)
{
	struct vm *vm = opaque;

	vm_note(vm, "window ");
	__atomic_store_n(&vm->mem[0x2000], 1, __ATOMIC_RELAXED);
	return 0;
}

static void note_post(void *opaque, void *env)
{
	vm_note(opaque, "post ");
	errno = EBADMSG;
}

static void window_goes_on(void **state)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct vm vm;
	struct kick kick = kick_me(&vm);
	pthread_t kicker;

	vm_create(&vm, MEM);
	LOAD(&vm, wait_code);
	vm.callbacks.io_window = open_window;
	vm.callbacks.post_kvm_run = note_post;
	sigaction(SIGUSR1, &action, NULL);
	pthread_create(&kicker, NULL, kick_later, &kick);
	assert_int_equal(vm_run(&vm), 7);
	pthread_join(kicker, NULL);
	assert_string_equal(vm.trace, "post window post halt:0 ");
	vm_destroy(&vm);
}

static void no_window(void **state)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct vm vm;
	struct kick kick = kick_me(&vm);
	pthread_t kicker;

	vm_create(&vm, MEM);
	LOAD(&vm, spin_code);
	vm.callbacks.io_window = NULL;
	sigaction(SIGUSR1, &action, NULL);
	pthread_create(&kicker, NULL, kick_later, &kick);
	assert_int_equal(vm_run(&vm), 1);
	pthread_join(kicker, NULL);
	vm_destroy(&vm);
}

static void *kick_and_release(void *opaque)
{
	struct kick *kick = opaque;

	inside_wait_thread(kick->tid, 50);
	pthread_kill(kick->whom, SIGUSR1);
	inside_wait_thread(kick->tid, 50);
	__atomic_store_n(&kick->vm->mem[0x2000], 1, __ATOMIC_RELAXED);
	return NULL;
}

/* The other way round: the guest is not disturbed by what only the mask blocks, and the handler runs afterwards. */
static void mask_blocks(void **state)
{
	struct sigaction action = {.sa_handler = on_signal};
	sigset_t usr1 = only(SIGUSR1);
	struct vm vm;
	struct kick kick = kick_me(&vm);
	pthread_t kicker;

	vm_create(&vm, MEM);
	LOAD(&vm, wait_code);
	sigaction(SIGUSR1, &action, NULL);
	handler_calls = 0;
	assert_int_equal(kvm_set_signal_mask(vm.kvm, 0, &usr1), 0);
	pthread_create(&kicker, NULL, kick_and_release, &kick);
	assert_int_equal(vm_run(&vm), 7);
	pthread_join(kicker, NULL);
	assert_string_equal(vm.trace, "halt:0 ");
	assert_int_equal(handler_calls, 1);
	vm_destroy(&vm);
}

/* A SIPI ends the wait for it, and without an io_window kvm_run goes on by itself. */
static void sipi_is_no_signal(void **state)
{
	struct kvm_mp_state mp = {KVM_MP_STATE_SIPI_RECEIVED};
	struct vm vm;

	vm_create_with_irqchip(&vm, MEM);
	vm.callbacks.io_window = NULL;
	vm.ret_io = 5;
	memcpy(vm.mem, "\xe6\x10", 2); /* outb to 0x10; the vector was 0 */
	assert_int_equal(kvm_create_vcpu(vm.kvm, 1), 0);
	assert_int_equal(kvm_set_mpstate(vm.kvm, 1, &mp), 0);
	assert_int_equal(kvm_run(vm.kvm, 1, &vm.env), 5);
	assert_string_equal(vm.trace, "outb:10=0 ");
	vm_destroy(&vm);
}

/* A vCPU that waits for INIT and SIPI sleeps in the kernel; a signal brings it out. */
static void signal_wakes_sleeper(void **state)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct vm vm;
	struct kick kick = kick_me(&vm);
	pthread_t kicker;

	vm_create_with_irqchip(&vm, MEM);
	assert_int_equal(kvm_create_vcpu(vm.kvm, 1), 0);
	sigaction(SIGUSR1, &action, NULL);
	pthread_create(&kicker, NULL, kick_later, &kick);
	assert_int_equal(kvm_run(vm.kvm, 1, &vm.env), 8);
	pthread_join(kicker, NULL);
	assert_string_equal(vm.trace, "window ");
	vm_destroy(&vm);
}

static void mask_refused(void **state)
{
	sigset_t usr1 = only(SIGUSR1);
	struct vm vm;

	vm_create(&vm, MEM);
	FAILS(EINVAL, kvm_set_signal_mask(vm.kvm, 1, &usr1));
	FAILS(EINVAL, kvm_set_signal_mask(vm.kvm, -1, NULL));
	vm_destroy(&vm);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(sipi_is_no_signal),
		cmocka_unit_test(signal_mask),
		cmocka_unit_test(signal_from_outside),
		cmocka_unit_test(window_goes_on),
		cmocka_unit_test(no_window),
		cmocka_unit_test(mask_blocks),
		cmocka_unit_test(signal_wakes_sleeper),
		cmocka_unit_test(mask_refused),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
