/* SPDX-License-Identifier: MIT */
/*
 * Can the kernel's KVM run ordinary guests, and quickly? Not what it claims but what it does: a small guest that does
 * what a kernel does when it starts, timed, in a child process that is ended when it takes too long.
 */
#ifndef BOOT_PROBE_H
#define BOOT_PROBE_H

enum probe_verdict {
	PROBE_MISSING,  /* no /dev/kvm */
	PROBE_DENIED,   /* no permission */
	PROBE_UNUSABLE, /* opening it or making a VM fails */
	PROBE_NOT_A_PC, /* works, but the guest went wrong or hung */
	PROBE_SLOW,     /* the guest came through, slowly */
	PROBE_WORKS,
};

struct probe_result {
	enum probe_verdict verdict;
	int error;      /* errno value, or 0 */
	double ms;      /* how long the guest took */
	double exit_us; /* a port write's way out and back */
	char text[200]; /* one line about it */
};

void probe_kernel_kvm(struct probe_result *result);
/* The same guest under our own engine. */
void probe_soft(struct probe_result *result);

#endif
