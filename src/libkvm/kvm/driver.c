/* SPDX-License-Identifier: MIT */
/* KVM, the kernel's and the engine's: the requests travel as they are. */
#include <errno.h>
#include <sys/mman.h>

#include "libkvm/context.h"

static int open_kvm(kvm_context_t kvm)
{
	const struct port_ops *port = kvm->driver->port;

	kvm->request = port->ioctl;
	return port->open("/dev/kvm", &kvm->state);
}

static int map_area(kvm_context_t kvm, int fd, void *at)
{
	void *run = mmap(at, kvm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);

	return run == MAP_FAILED ? -errno : 0;
}

static void close_fd(kvm_context_t kvm, int fd)
{
	kvm->driver->port->close_fd(kvm->state, fd);
}

static void destroy(kvm_context_t kvm)
{
	kvm->driver->port->destroy(kvm->state);
}

/* What an error most likely means, where its number does not say: the kernel gives no reasons. */
static const struct advice {
	unsigned long request; /* 0: any */
	int error;
	const char *text;
} advice[] = {
	{0, EIO, "a VM works only in the process that created it, not in its children"},
	{KVM_CREATE_IRQCHIP, EINVAL, "the irqchip must be created before the first vCPU"},
	{KVM_SET_USER_MEMORY_REGION, EINVAL,
		"the memory is too large, or outside the addresses of the guest or of this "
		"program"},
	{KVM_SET_NR_MMU_PAGES, EINVAL, "the limit must be at least 64"},
	{KVM_GET_DIRTY_LOG, ENOENT, "writes to that memory are not recorded"},
	{KVM_GET_IRQCHIP, EINVAL, "chip_id is 0 or 1 (the PICs) or 2 (the IOAPIC)"},
	{KVM_SET_IRQCHIP, EINVAL, "chip_id is 0 or 1 (the PICs) or 2 (the IOAPIC)"},
	{KVM_INTERRUPT, ENXIO,
		"the irqchip in the kernel delivers interrupts: use kvm_set_irq_level()"},
	{KVM_INTERRUPT, EINVAL, "a vector must be 0 to 255"},
	{KVM_SET_CPUID2, E2BIG, "the hypervisor accepts fewer leaves"},
	{KVM_SET_CPUID2, EINVAL,
		"the hypervisor cannot offer these leaves, or the vCPU has already run"},
	{KVM_GET_MSRS, E2BIG, "use fewer MSRs in one call"},
	{KVM_SET_MSRS, E2BIG, "use fewer MSRs in one call"},
	{KVM_SET_MP_STATE, EINVAL, "there is no such state, or it needs an irqchip in the kernel"},
	{KVM_SET_GUEST_DEBUG, EBUSY, "an exception is already pending"},
	{KVM_SET_VAPIC_ADDR, EINVAL,
		"an irqchip in the kernel is necessary, and memory at this address"},
};

static const char *advice_on(unsigned long request, int error)
{
	for (size_t i = 0; i < ARRAY_SIZE(advice); i++)
		if ((!advice[i].request || advice[i].request == request) &&
			advice[i].error == error)
			return advice[i].text;
	return NULL;
}

const struct driver kvm_kernel = {
	.name = "kernel",
	.cannot_open =
		"the system's KVM cannot be used (LIBKVM_ENGINE=soft needs no KVM): /dev/kvm",
	.port = &port_kernel,
	.open = open_kvm,
	.map_area = map_area,
	.close_fd = close_fd,
	.destroy = destroy,
	.advice = advice_on,
};

const struct driver kvm_soft = {
	.name = "soft",
	.fpu_complete = true,
	.cannot_open = "the soft engine cannot be used (run `uservisor doctor`)",
	.port = &port_soft,
	.open = open_kvm,
	.map_area = map_area,
	.close_fd = close_fd,
	.destroy = destroy,
	.advice = advice_on,
};
