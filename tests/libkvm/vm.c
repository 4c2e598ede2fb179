/* SPDX-License-Identifier: MIT */
/* The tests' guest and its callbacks. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "vm.h"

const char *vm_engine;

void vm_note(struct vm *vm, const char *format, ...)
{
	size_t used = strlen(vm->trace);
	va_list args;

	va_start(args, format);
	vsnprintf(vm->trace + used, sizeof(vm->trace) - used, format, args);
	va_end(args);
}

/* What a handler of this kind returns now. */
static int answer(struct vm *vm, int value)
{
	return ++vm->calls == vm->stop_at || !vm->stop_at ? value : 0;
}

static int on_inb(void *opaque, uint16_t addr, uint8_t *data)
{
	struct vm *vm = opaque;

	*data = (u8)vm->in_value++;
	vm_note(vm, "inb:%x ", addr);
	return answer(vm, vm->ret_io);
}

static int on_inw(void *opaque, uint16_t addr, uint16_t *data)
{
	struct vm *vm = opaque;

	*data = (u16)vm->in_value;
	vm_note(vm, "inw:%x ", addr);
	return answer(vm, vm->ret_io);
}

static int on_inl(void *opaque, uint16_t addr, uint32_t *data)
{
	struct vm *vm = opaque;

	*data = (u32)vm->in_value;
	vm_note(vm, "inl:%x ", addr);
	return answer(vm, vm->ret_io);
}

static int on_outb(void *opaque, uint16_t addr, uint8_t data)
{
	vm_note(opaque, "outb:%x=%x ", addr, data);
	return answer(opaque, ((struct vm *)opaque)->ret_io);
}

static int on_outw(void *opaque, uint16_t addr, uint16_t data)
{
	vm_note(opaque, "outw:%x=%x ", addr, data);
	return answer(opaque, ((struct vm *)opaque)->ret_io);
}

static int on_outl(void *opaque, uint16_t addr, uint32_t data)
{
	vm_note(opaque, "outl:%x=%x ", addr, data);
	return answer(opaque, ((struct vm *)opaque)->ret_io);
}

static int on_mmio_read(void *opaque, uint64_t addr, uint8_t *data, int len)
{
	struct vm *vm = opaque;

	memcpy(data, &vm->in_value, (size_t)len);
	vm_note(vm, "read:%llx/%d ", (unsigned long long)addr, len);
	return answer(vm, vm->ret_mmio);
}

static int on_mmio_write(void *opaque, uint64_t addr, uint8_t *data, int len)
{
	unsigned long long value = 0;

	memcpy(&value, data, (size_t)len);
	vm_note(opaque, "write:%llx/%d=%llx ", (unsigned long long)addr, len, value);
	return answer(opaque, ((struct vm *)opaque)->ret_mmio);
}

static int on_debug(void *opaque, void *env, struct kvm_debug_exit_arch *arch)
{
	vm_note(opaque, "debug:%d@%llx%s ", arch->exception, (unsigned long long)arch->pc,
		env == &((struct vm *)opaque)->env ? "" : ":wrong-env");
	return ((struct vm *)opaque)->ret_debug;
}

static int on_halt(void *opaque, int vcpu)
{
	vm_note(opaque, "halt:%d ", vcpu);
	return ((struct vm *)opaque)->ret_halt;
}

static int on_shutdown(void *opaque, void *env)
{
	vm_note(opaque, "shutdown%s ", env == &((struct vm *)opaque)->env ? "" : ":wrong-env");
	return ((struct vm *)opaque)->ret_shutdown;
}

static int on_io_window(void *opaque)
{
	vm_note(opaque, "window ");
	return ((struct vm *)opaque)->ret_window;
}

static const struct kvm_callbacks callbacks = {
	.inb = on_inb,
	.inw = on_inw,
	.inl = on_inl,
	.outb = on_outb,
	.outw = on_outw,
	.outl = on_outl,
	.mmio_read = on_mmio_read,
	.mmio_write = on_mmio_write,
	.debug = on_debug,
	.halt = on_halt,
	.shutdown = on_shutdown,
	.io_window = on_io_window,
};

/* Errors are tested by their numbers. */
void vm_quiet(void *opaque, enum uv_kvm_log_kind kind, const char *line)
{
}

/*
 * cmocka takes over the signals of a fault at the start of each test, but with the engine in this process they are the
 * engine's from its first VM on: the guest's accesses to bad host memory come through them.
 */
void vm_fault_signals(void)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
	static struct sigaction engine[ARRAY_SIZE(signals)];
	static bool known;

	for (unsigned i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], known ? &engine[i] : NULL, known ? NULL : &engine[i]);
	known = true;
}

static int create(struct vm *vm, unsigned long bytes, bool irqchip)
{
	void *mem = NULL;
	int r;

	memset(vm, 0, sizeof(*vm));
	vm->callbacks = callbacks;
	vm->ret_halt = vm->ret_shutdown = 7;
	vm->ret_debug = vm->ret_window = 8;
	vm->kvm = uv_kvm_init(&vm->callbacks, vm, vm_engine, vm_quiet, NULL);
	if (!vm->kvm)
		return -errno;
	if (!irqchip)
		kvm_disable_irqchip_creation(vm->kvm);
	r = kvm_create(vm->kvm, bytes, bytes ? &mem : NULL);
	vm->mem = mem;
	return r;
}

int vm_try_create(struct vm *vm, unsigned long bytes)
{
	return create(vm, bytes, false);
}

void vm_create(struct vm *vm, unsigned long bytes)
{
	assert_int_equal(create(vm, bytes, false), 0);
	vm_fault_signals();
}

void vm_create_with_irqchip(struct vm *vm, unsigned long bytes)
{
	assert_int_equal(create(vm, bytes, true), 0);
	vm_fault_signals();
}

void vm_destroy(struct vm *vm)
{
	kvm_finalize(vm->kvm);
}

int vm_try_start(struct vm *vm, int vcpu, u16 ip)
{
	struct kvm_regs regs = {.rip = ip, .rsp = CODE, .rflags = 2};
	struct kvm_sregs sregs;
	int r = kvm_get_sregs(vm->kvm, vcpu, &sregs);

	sregs.cs.selector = 0;
	sregs.cs.base = 0;
	if (r >= 0)
		r = kvm_set_sregs(vm->kvm, vcpu, &sregs);
	return r < 0 ? r : kvm_set_regs(vm->kvm, vcpu, &regs);
}

void vm_start(struct vm *vm, int vcpu, u16 ip)
{
	assert_int_equal(vm_try_start(vm, vcpu, ip), 0);
}

void vm_load(struct vm *vm, const u8 *code, size_t size)
{
	memcpy(vm->mem + CODE, code, size);
	vm_start(vm, 0, CODE);
}

void vm_vector(struct vm *vm, unsigned vector, u16 ip)
{
	const u16 entry[2] = {ip, 0};

	memcpy(vm->mem + 4 * vector, entry, sizeof(entry));
}

int vm_run(struct vm *vm)
{
	return kvm_run(vm->kvm, 0, &vm->env);
}

void vm_forget(struct vm *vm)
{
	vm->trace[0] = 0;
	vm->calls = 0;
}

/* A triple fault: an exception with an empty table. */
GUEST(vm_fault_code, "lidtw %cs:0x1100\nud2");

void vm_load_fault(struct vm *vm)
{
	LOAD(vm, vm_fault_code);
	memset(vm->mem + 0x1100, 0, 6);
}

bool vm_emulates(void)
{
	struct vm vm;
	int r;

	vm_create(&vm, MEM);
	vm_load_fault(&vm);
	r = vm_run(&vm);
	vm_destroy(&vm);
	return r == -EIO;
}
