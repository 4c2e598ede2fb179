/* SPDX-License-Identifier: MIT */
/* A small guest for the library's tests: real mode, code at CODE, everything that happened in a trace. */
#ifndef TESTS_LIBKVM_VM_H
#define TESTS_LIBKVM_VM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <libkvm.h>

#include "base/types.h"

#define CODE 0x1000
#define MEM  (2ul << 20) /* of most guests */

/* 16-bit code, assembled with the test: NAME and NAME_end. */
#define GUEST(name, text)                                                                          \
	__asm__(".pushsection .rodata\n.code16\n" #name ":\n" text "\n" #name                      \
		"_end:\n.code64\n.popsection\n");                                                  \
	extern const u8 name[], name##_end[] __attribute__((visibility("hidden")))
#define LOAD(vm, name) vm_load(vm, name, (size_t)(name##_end - name))

struct vm {
	kvm_context_t kvm;
	struct kvm_callbacks callbacks;
	u8 *mem;
	char trace[2048]; /* one word for each callback, see vm.c */
	int ret_io, ret_mmio, ret_halt, ret_shutdown, ret_debug, ret_pre, ret_window, ret_push;
	u64 in_value;
	int calls,
		stop_at; /* with stop_at only that call of a port or MMIO handler returns ret_io, ret_mmio */
	int env; /* its address is the env of kvm_run */
};

extern const char *vm_engine;

void vm_quiet(void *opaque, enum uv_kvm_log_kind kind, const char *line);
/* No interrupt controllers; `bytes` of memory as kvm_create makes it. */
void vm_create(struct vm *vm, unsigned long bytes);
void vm_create_with_irqchip(struct vm *vm, unsigned long bytes);
/* After kvm_create, for tests that make their VM themselves. */
void vm_fault_signals(void);
void vm_destroy(struct vm *vm);
/* Code at CODE, and vCPU 0 in front of it in real mode with flat zero segments, stack below. */
void vm_load(struct vm *vm, const u8 *code, size_t size);
void vm_start(struct vm *vm, int vcpu, u16 ip);
/* Entry `vector` of the real-mode table, at 0: segment 0. */
void vm_vector(struct vm *vm, unsigned vector, u16 ip);
/* For threads, in which a check cannot fail: 0 or -errno. */
int vm_try_create(struct vm *vm, unsigned long bytes);
int vm_try_start(struct vm *vm, int vcpu, u16 ip);
int vm_run(struct vm *vm);
void vm_forget(struct vm *vm);
/* Adds to the trace. */
void vm_note(struct vm *vm, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Code that ends in a triple fault. */
void vm_load_fault(struct vm *vm);
/*
 * Does this KVM run real mode by its emulator of instructions, for want of hardware? That emulator has no triple
 * faults, breakpoints and reports of TPR accesses.
 */
bool vm_emulates(void);

/* The call gives -number, and leaves errno so. */
#define FAILS(number, call)                                                                        \
	do {                                                                                       \
		errno = 0;                                                                         \
		assert_int_equal((call), -(number));                                               \
		assert_int_equal(errno, (number));                                                 \
	} while (0)

/* Open descriptors, and shared mappings: memory of guests, areas of vCPUs. */
struct vm_held {
	unsigned descriptors, mappings;
};

struct vm_held vm_held(void);
bool vm_held_same(struct vm_held a, struct vm_held b);

/* Ends a test that cannot be made here; the VM is let go, and the reason printed. */
void vm_skip(struct vm *vm, const char *reason);
/* The same where the hypervisor lacks a capability. */
void vm_needs(struct vm *vm, int cap, const char *reason);
#define NEEDS(vm, cap) vm_needs(vm, cap, #cap " is not there")
/* The body of main: runs the tests on the engine that the command line names, see main.c. */
int vm_main(int argc, char **argv, struct CMUnitTest *tests, size_t n);

#endif
