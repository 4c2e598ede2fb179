/* SPDX-License-Identifier: MIT */
/* The one way text leaves the library. */
#include <stdarg.h>
#include <stdio.h>

#include "libkvm/context.h"

void uv_kvm_set_log(kvm_context_t kvm, uv_kvm_log_fn log, void *opaque)
{
	kvm->log = (struct log){log, opaque};
}

static void log_args(
	const struct log *log, enum uv_kvm_log_kind kind, const char *format, va_list args)
{
	char line[256];

	vsnprintf(line, sizeof(line), format, args);
	if (log->fn)
		log->fn(log->opaque, kind, line);
	else
		fprintf(stderr, kind == UV_KVM_LOG_ERROR ? "libkvm: %s\n" : "%s\n", line);
}

void log_to(const struct log *log, enum uv_kvm_log_kind kind, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_args(log, kind, format, args);
	va_end(args);
}

void log_line(kvm_context_t kvm, enum uv_kvm_log_kind kind, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_args(&kvm->log, kind, format, args);
	va_end(args);
}

int fail(kvm_context_t kvm, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_args(&kvm->log, UV_KVM_LOG_ERROR, format, args);
	va_end(args);
	return result(error); /* last: the hook may have changed errno */
}
