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

int request_failed(
	kvm_context_t kvm, int vcpu, unsigned long request, long error, const struct refusal *why)
{
	const char *text = kvm->driver->advice(request, (int)-error);
	char who[24] = "", reason[200];

	if (why->why)
		text = refusal_text(why, reason, sizeof(reason));
	if (vcpu != NO_VCPU)
		snprintf(who, sizeof(who), "vCPU %d: ", vcpu);
	return fail(kvm, (int)error, "%s%s failed: %s%s%s", who, request_name(request),
		strerror((int)-error), text ? "; " : "", text ? text : "");
}
