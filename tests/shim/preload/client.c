/* SPDX-License-Identifier: MIT */
/* See client.h. */
#include "tests/shim/preload/client.h"

#include <sys/mman.h>

#define RAM_BYTES 0x10000
#define RUN_BYTES 12288

const char *client_path, *static_path;

void check_ours(int fd)
{
	CHECK(fd >= 0);
	CHECK(fcntl(fd, F_GET_SEALS) > 0); /* a memfd: the kernel's own device has none */
	CHECK(ioctl(fd, KVM_GET_API_VERSION, 0) == 12);
}

void guest_open(struct guest *g, bool irqchip)
{
	struct kvm_userspace_memory_region r = {.memory_size = RAM_BYTES};

	g->sys = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	check_ours(g->sys);
	g->vm = ioctl(g->sys, KVM_CREATE_VM, 0);
	CHECK(g->vm >= 0);
	CHECK(!irqchip || !ioctl(g->vm, KVM_CREATE_IRQCHIP, 0));
	g->ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(g->ram != MAP_FAILED);
	r.userspace_addr = (unsigned long)g->ram;
	CHECK(!ioctl(g->vm, KVM_SET_USER_MEMORY_REGION, &r));
	g->vcpu = ioctl(g->vm, KVM_CREATE_VCPU, 0);
	CHECK(g->vcpu >= 0);
	g->run = mmap(NULL, RUN_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, g->vcpu, 0);
	CHECK(g->run != MAP_FAILED);
}

void guest_code(struct guest *g, const void *code, size_t n)
{
	struct kvm_regs regs = {.rflags = 2, .rsp = 0x8000};
	struct kvm_sregs sregs;

	memcpy(g->ram, code, n);
	CHECK(!ioctl(g->vcpu, KVM_GET_SREGS, &sregs));
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	CHECK(!ioctl(g->vcpu, KVM_SET_SREGS, &sregs));
	CHECK(!ioctl(g->vcpu, KVM_SET_REGS, &regs));
}

void guest_close(struct guest *g)
{
	CHECK(!munmap(g->run, RUN_BYTES));
	CHECK(!close(g->vcpu));
	CHECK(!close(g->vm));
	CHECK(!close(g->sys));
	CHECK(!munmap(g->ram, RAM_BYTES));
}

static bool run(const struct client_case *cases, const char *name)
{
	for (; cases->name; cases++)
		if (!strcmp(cases->name, name)) {
			cases->run();
			return true;
		}
	return false;
}

int main(int argc, char **argv)
{
	const struct client_case *const groups[] = {open_cases, nodes_cases, mshv_cases, fd_cases,
		process_cases, signal_cases, sandbox_cases, held_cases, ram_cases, traced_cases};

	setvbuf(stdout, NULL, _IONBF, 0); /* messages are made in sandboxes, too */
	client_path = argv[0];
	static_path = argc > 2 ? argv[2] : NULL;
	for (unsigned i = 0; argc > 1 && i < sizeof(groups) / sizeof(groups[0]); i++)
		if (run(groups[i], argv[1]))
			return 0;
	printf("no case of this name\n");
	return 1;
}
