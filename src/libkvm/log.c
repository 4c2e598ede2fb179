/* SPDX-License-Identifier: MIT */
/* The one way text leaves the library. */
#include <stdarg.h>
#include <stdio.h>

#include "libkvm/context.h"

void uv_kvm_set_log(kvm_context_t kvm, uv_kvm_log_fn log, void *opaque)
{
	kvm->log = log;
	kvm->log_opaque = opaque;
}

void log_line(kvm_context_t kvm, enum uv_kvm_log_kind kind, const char *format, ...)
{
	char line[256];
	va_list args;

	if (!kvm->log && kind == UV_KVM_LOG_ERROR)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (kvm->log)
		kvm->log(kvm->log_opaque, kind, line);
	else
		fprintf(stderr, "%s\n", line);
}
