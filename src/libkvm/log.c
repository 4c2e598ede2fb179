/* SPDX-License-Identifier: MIT */
/* The one way text leaves the library, and the sentences about failures. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "libkvm/context.h"

void uv_kvm_set_log(kvm_context_t kvm, uv_kvm_log_fn log, void *opaque)
{
	kvm->log = (struct log){log, opaque};
}

static void log_args(
	const struct log *log, enum uv_kvm_log_kind kind, const char *format, va_list args)
{
	char line[256];
	int cancel;

	/* Locks may be held; writing is where threads are cancelled. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	vsnprintf(line, sizeof(line), format, args);
	if (log->fn)
		log->fn(log->opaque, kind, line);
	else
		fprintf(stderr, kind == UV_KVM_LOG_ERROR ? "libkvm: %s\n" : "%s\n", line);
	pthread_setcancelstate(cancel, NULL);
}

void log_to(const struct log *log, enum uv_kvm_log_kind kind, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_args(log, kind, format, args);
	va_end(args);
}

int fail(kvm_context_t kvm, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_args(&kvm->log, UV_KVM_LOG_ERROR, format, args);
	va_end(args);
	return result(error);
}

/* What a failure most likely means, where its number does not say: for the road that gives no reasons. */
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

int request_failed(
	kvm_context_t kvm, int vcpu, unsigned long request, long error, const struct refusal *why)
{
	const char *text = advice_on(request, (int)-error);
	char who[24] = "", reason[200];

	if (why->why)
		text = refusal_text(why, reason, sizeof(reason));
	if (vcpu != NO_VCPU)
		snprintf(who, sizeof(who), "vCPU %d: ", vcpu);
	return fail(kvm, (int)error, "%s%s failed: %s%s%s", who, request_name(request),
		strerror((int)-error), text ? "; " : "", text ? text : "");
}
