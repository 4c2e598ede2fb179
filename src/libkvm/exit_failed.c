/* SPDX-License-Identifier: MIT */
/*
 * Exits after which the vCPU cannot go on: a sentence about each with what the hypervisor says of it, then the vCPU's
 * state. None of them ends the process; kvm_run gives the -errno.
 */
#include <stdio.h>

#include "libkvm/context.h"

#define TELL(...) log_to(&kvm->log, UV_KVM_LOG_ERROR, __VA_ARGS__)

static const char *suberror_name(u32 suberror)
{
	static const char *const names[] = {
		[KVM_INTERNAL_ERROR_EMULATION] = "an instruction cannot be emulated",
		[KVM_INTERNAL_ERROR_SIMUL_EX] = "two exceptions at once",
		[KVM_INTERNAL_ERROR_DELIVERY_EV] = "an exit while an event was delivered",
		[KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON] = "an exit that it does not know",
	};

	return suberror < ARRAY_SIZE(names) && names[suberror] ? names[suberror] : "no known error";
}

static void show_words(kvm_context_t kvm, const u64 *words, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		log_to(&kvm->log, UV_KVM_LOG_DUMP, "data %u %016llx", i,
			(unsigned long long)words[i]);
}

static void show_instruction(kvm_context_t kvm, const u8 *bytes, unsigned n)
{
	char line[3 * 16 + 1] = "";

	for (unsigned i = 0; i < n; i++)
		snprintf(line + 3 * i, sizeof(line) - 3 * i, " %02x", bytes[i]);
	log_to(&kvm->log, UV_KVM_LOG_DUMP, "instruction%s", line);
}

static void internal_error(kvm_context_t kvm, int vcpu, const struct kvm_run *run)
{
	const __typeof__(run->emulation_failure) *e = &run->emulation_failure;

	TELL("vCPU %d: the hypervisor cannot continue: %s (suberror %u)", vcpu,
		suberror_name(run->internal.suberror), run->internal.suberror);
	show_words(kvm, (const u64 *)run->internal.data,
		MIN(run->internal.ndata, (u32)ARRAY_SIZE(run->internal.data)));
	if (e->suberror == KVM_INTERNAL_ERROR_EMULATION && e->ndata >= 3 &&
		e->flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES)
		show_instruction(kvm, e->insn_bytes, MIN(e->insn_size, sizeof(e->insn_bytes)));
}

static int tell(kvm_context_t kvm, int vcpu, const struct kvm_run *run)
{
	switch (run->exit_reason) {
	case KVM_EXIT_UNKNOWN:
		TELL("vCPU %d: the hardware left the guest for a reason unknown to the hypervisor "
		     "(0x%llx)",
			vcpu, run->hw.hardware_exit_reason);
		return -EIO;
	case KVM_EXIT_EXCEPTION:
		TELL("vCPU %d: there is no handler for exception %u, error code 0x%x", vcpu,
			run->ex.exception, run->ex.error_code);
		return -EFAULT;
	case KVM_EXIT_FAIL_ENTRY:
		TELL("vCPU %d: the hardware refused its state (0x%llx, on CPU %u)", vcpu,
			run->fail_entry.hardware_entry_failure_reason, run->fail_entry.cpu);
		return -ENOEXEC;
	case KVM_EXIT_INTERNAL_ERROR: internal_error(kvm, vcpu, run); return -EIO;
	case KVM_EXIT_SYSTEM_EVENT:
		TELL("vCPU %d: unexpected system event %u", vcpu, run->system_event.type);
		return -EPROTO;
	default: TELL("vCPU %d: unexpected exit %u", vcpu, run->exit_reason); return -EPROTO;
	}
}

int exit_failed(kvm_context_t kvm, int vcpu, const struct kvm_run *run)
{
	int error = tell(kvm, vcpu, run);

	show_state(kvm, vcpu);
	return error;
}
