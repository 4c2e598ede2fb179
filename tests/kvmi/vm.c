/* SPDX-License-Identifier: MIT */
/* See vm.h: the machine, its requests and its threads. guests.c has what guests begin with. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "abi/dev.h"
#include "tests/kvmi/vm.h"

/* ---- requests ---- */

/* These need no more words. */
static bool speaks_for_itself(long error)
{
	static const int errors[] = {
		EFAULT, ENOMEM, EMFILE, ENFILE, EFBIG, EINTR, EAGAIN, EPERM, ENOSYS, ENOENT};

	for (unsigned i = 0; i < ARRAY_SIZE(errors); i++)
		if (error == -errors[i])
			return true;
	return false;
}

long kvm(struct vm *vm, int fd, unsigned long request, unsigned long arg)
{
	struct refusal why;
	const long r = dev_ioctl_why(vm->dev, fd, request, arg, NULL, &why);

	if (r < 0 && !why.why && !speaks_for_itself(r) && dev_owns(vm->dev, fd))
		test_failed(__FILE__, __LINE__, "request 0x%lx: %ld without a reason", request, r);
	return r;
}

/* ---- a vcpu's thread ---- */

static void tell(struct cpu *c, u32 port, s64 value)
{
	pthread_mutex_lock(&c->vm->lock);
	CHECK(c->made < ARRAY_SIZE(c->told));
	c->told[c->made++] = (struct told){port, value};
	__atomic_store_n(&c->over, port == VM_ENDED, __ATOMIC_SEQ_CST);
	pthread_cond_broadcast(&c->vm->changed);
	pthread_mutex_unlock(&c->vm->lock);
}

static u32 io_value(const struct kvm_run *run)
{
	u32 value = 0;

	memcpy(&value, (const u8 *)run + run->io.data_offset, run->io.size);
	return value;
}

/* IN: is it released? Waits a little for it. */
static void answer_in(struct cpu *c)
{
	struct vm *vm = c->vm;
	struct timespec end;
	u8 released;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_nsec += 1000000;
	end.tv_sec += end.tv_nsec / 1000000000;
	end.tv_nsec %= 1000000000;
	pthread_mutex_lock(&vm->lock);
	if (!vm->released)
		pthread_cond_timedwait(&vm->changed, &vm->lock, &end);
	released = vm->released;
	pthread_mutex_unlock(&vm->lock);
	memset((u8 *)c->run + c->run->io.data_offset, 0, c->run->io.size);
	memcpy((u8 *)c->run + c->run->io.data_offset, &released, 1);
}

static void *cpu_main(void *opaque)
{
	struct cpu *c = opaque;

	for (;;) {
		const long r = kvm(c->vm, c->fd, KVM_RUN, 0);

		if (r == -EINTR && !__atomic_load_n(&c->stop, __ATOMIC_SEQ_CST))
			continue;
		if (!r && c->run->exit_reason == KVM_EXIT_IO) {
			if (c->run->io.direction == KVM_EXIT_IO_IN)
				answer_in(c);
			else
				tell(c, c->run->io.port, io_value(c->run));
			continue;
		}
		tell(c, VM_ENDED, r ? r : (s64)c->run->exit_reason);
		return NULL;
	}
}

void vm_start(struct vm *vm, unsigned n)
{
	struct cpu *c = &vm->cpu[n];

	CHECK(!c->started);
	c->over = c->stop = false;
	c->started = true;
	CHECK_EQ(pthread_create(&c->thread, NULL, cpu_main, c), 0);
}

void vm_go(struct vm *vm)
{
	for (unsigned i = 0; i < vm->cpus; i++)
		vm_start(vm, i);
}

void vm_begin(struct vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	vm->released = true;
	pthread_cond_broadcast(&vm->changed);
	pthread_mutex_unlock(&vm->lock);
}

static void join(struct cpu *c)
{
	if (!c->started)
		return;
	pthread_join(c->thread, NULL);
	c->started = false;
	c->run->immediate_exit = 0;
}

/* Once is not enough: a signal that comes just in front of KVM_RUN is lost, and only immediate_exit tells it. */
void vm_stop(struct vm *vm, unsigned n)
{
	struct cpu *c = &vm->cpu[n];

	if (!c->started)
		return;
	__atomic_store_n(&c->stop, true, __ATOMIC_SEQ_CST);
	__atomic_store_n(&c->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&c->over, __ATOMIC_SEQ_CST)) {
		pthread_kill(c->thread, SIGUSR1);
		usleep(1000);
	}
	join(c);
}

/* ---- what it has told ---- */

static struct told next_told(struct cpu *c)
{
	struct timespec end;
	struct told t;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += wait_ms() / 1000;
	pthread_mutex_lock(&c->vm->lock);
	while (c->taken == c->made && !r)
		r = pthread_cond_timedwait(&c->vm->changed, &c->vm->lock, &end);
	if (r)
		test_failed(__FILE__, __LINE__, "vcpu %u tells nothing more", c->index);
	t = c->told[c->taken++];
	pthread_mutex_unlock(&c->vm->lock);
	return t;
}

u64 vm_out(struct vm *vm, unsigned n, u32 port)
{
	const struct told t = next_told(&vm->cpu[n]);

	if (t.port != port)
		test_failed(__FILE__, __LINE__, "vcpu %u: port 0x%x value 0x%llx, not port 0x%x", n,
			t.port, (long long)t.value, port);
	return (u64)t.value;
}

s64 vm_ended(struct vm *vm, unsigned n)
{
	const s64 reason = (s64)vm_out(vm, n, VM_ENDED);

	join(&vm->cpu[n]);
	return reason;
}

void vm_expect(struct vm *vm, unsigned n, u32 port, u64 value, const char *file, int line)
{
	const struct told t = next_told(&vm->cpu[n]);

	if (t.port != port || (u64)t.value != value)
		test_failed(file, line,
			"vcpu %u: port 0x%x value 0x%llx, not port 0x%x value 0x%llx", n, t.port,
			(long long)t.value, port, (long long)value);
}

u64 vm_vector(struct vm *vm, unsigned n, u64 vector, u64 *ret_rip)
{
	u64 rip, error;

	CHECK_EQ(vm_out(vm, n, PORT_VECTOR), vector);
	rip = vm_out(vm, n, PORT_RIP);
	error = vm_out(vm, n, PORT_ERROR);
	if (ret_rip)
		*ret_rip = rip;
	return error;
}

bool vm_silent(struct vm *vm, unsigned n)
{
	bool silent;

	pthread_mutex_lock(&vm->lock);
	silent = vm->cpu[n].taken == vm->cpu[n].made;
	pthread_mutex_unlock(&vm->lock);
	return silent;
}

void vm_moves(struct vm *vm, u64 gpa)
{
	const u64 was = vm_read64(vm, gpa);

	for (unsigned ms = 0; vm_read64(vm, gpa) == was; ms++) {
		if (ms > wait_ms())
			test_failed(__FILE__, __LINE__, "the counter stays %llu", (long long)was);
		usleep(1000);
	}
}

void vm_wait64(struct vm *vm, u64 gpa, u64 value)
{
	for (unsigned ms = 0; vm_read64(vm, gpa) != value; ms++) {
		if (ms > wait_ms())
			test_failed(__FILE__, __LINE__, "it stays 0x%llx, not 0x%llx",
				(long long)vm_read64(vm, gpa), (long long)value);
		usleep(1000);
	}
}

/* ---- the machine ---- */

static void nothing(int number)
{
}

static void open_cpu(struct vm *vm, unsigned n)
{
	struct cpu *c = &vm->cpu[n];
	static struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entry[256];
	} cpuid;

	c->vm = vm;
	c->index = n;
	c->fd = (int)kvm(vm, vm->fd, KVM_CREATE_VCPU, n);
	CHECK(c->fd >= 0);
	c->run = mmap(NULL, (size_t)kvm(vm, vm->sys, KVM_GET_VCPU_MMAP_SIZE, 0),
		PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
	CHECK(c->run != MAP_FAILED);
	cpuid.head.nent = ARRAY_SIZE(cpuid.entry);
	CHECK_EQ(kvm_p(vm, vm->sys, KVM_GET_SUPPORTED_CPUID, &cpuid), 0);
	CHECK_EQ(kvm_p(vm, c->fd, KVM_SET_CPUID2, &cpuid), 0);
}

static void map_ram(struct vm *vm, bool file)
{
	vm->ram_fd = file ? memfd_create("ram", MFD_CLOEXEC) : -1;
	if (file)
		CHECK_EQ(ftruncate(vm->ram_fd, VM_BYTES + 4096), 0);
	vm->ram = mmap(NULL, VM_BYTES, PROT_READ | PROT_WRITE,
		file ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, vm->ram_fd, file ? 4096 : 0);
	CHECK(vm->ram != MAP_FAILED);
}

struct vm *vm_open_in(struct dev *dev, unsigned cpus, unsigned flags)
{
	struct kvm_userspace_memory_region slot = {.memory_size = VM_BYTES};
	struct vm *vm = calloc(1, sizeof(*vm));

	CHECK(vm);
	signal(SIGUSR1, nothing);
	pthread_mutex_init(&vm->lock, NULL);
	pthread_cond_init(&vm->changed, NULL);
	vm->dev = dev;
	vm->sys = dev_open(vm->dev, "/dev/kvm", 0);
	CHECK(vm->sys >= 0);
	vm->fd = (int)kvm(vm, vm->sys, KVM_CREATE_VM, 0);
	CHECK(vm->fd >= 0);
	map_ram(vm, flags & VM_MEMFD);
	slot.userspace_addr = (unsigned long)vm->ram;
	CHECK_EQ(kvm_p(vm, vm->fd, KVM_SET_USER_MEMORY_REGION, &slot), 0);
	if (flags & VM_IRQCHIP)
		CHECK_EQ(kvm(vm, vm->fd, KVM_CREATE_IRQCHIP, 0), 0);
	vm->cpus = cpus;
	for (unsigned i = 0; i < cpus; i++)
		open_cpu(vm, i);
	return vm;
}

struct vm *vm_open_for(const char *tool, unsigned cpus, unsigned flags)
{
	struct dev *dev;
	struct vm *vm;

	CHECK_EQ(dev_create(&dev), 0);
	if (tool)
		CHECK_EQ(dev_set_tool(dev, tool, NULL), 0);
	vm = vm_open_in(dev, cpus, flags);
	vm->has_dev = true;
	return vm;
}

struct vm *vm_open(unsigned cpus, unsigned flags)
{
	return vm_open_for(NULL, cpus, flags);
}

void vm_add_cpu(struct vm *vm)
{
	CHECK(vm->cpus < MAX_CPUS);
	open_cpu(vm, vm->cpus++);
}

void vm_forget(struct vm *vm)
{
	if (vm->has_dev)
		dev_destroy(vm->dev);
	munmap(vm->ram, VM_BYTES);
	if (vm->ram_fd >= 0)
		close(vm->ram_fd);
	pthread_mutex_destroy(&vm->lock);
	pthread_cond_destroy(&vm->changed);
	free(vm);
}

void vm_close(struct vm *vm)
{
	const size_t size = (size_t)kvm(vm, vm->sys, KVM_GET_VCPU_MMAP_SIZE, 0);

	for (unsigned i = 0; i < vm->cpus; i++) {
		vm_stop(vm, i);
		munmap(vm->cpu[i].run, size);
		dev_close(vm->dev, vm->cpu[i].fd);
	}
	dev_close(vm->dev, vm->fd);
	dev_close(vm->dev, vm->sys);
	vm_forget(vm);
}
