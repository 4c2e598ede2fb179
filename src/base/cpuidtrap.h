/* SPDX-License-Identifier: MIT */
/*
 * The CPUID instruction of a program that looks for VT-x or AMD-V before it opens /dev/kvm.
 *
 * Where it traps, the processor's own answer is given, with one bit more: VMX on Intel (SDM 2, "CPUID", leaf 1,
 * ECX bit 5), SVM on AMD (APM 3, leaf 80000001h, ECX bit 2). It traps in one of two ways: by CPUID faulting
 * (arch_prctl(2), ARCH_SET_CPUID), a state of each thread that threads and children inherit and that execve() ends;
 * or where the instruction was replaced by UD2, which is as long.
 *
 * How CPUID traps is a state of the process, so this has one: whoever handles its signals asks cpuid_answer() first.
 */
#ifndef BASE_CPUIDTRAP_H
#define BASE_CPUIDTRAP_H

#include "base/types.h"

/*
 * A signal that was raised at regs: general registers as the kernel saves them (uapi/asm/sigcontext.h, from r8 on).
 * True: it was a CPUID, and regs are as after it. Async-signal-safe.
 */
bool cpuid_answer(int signo, int code, u64 *regs);

/* From now on in this thread and those that it makes: 0, or -errno where the processor or the kernel cannot. */
int cpuid_fault(void);
/* No more in this thread and those that it makes: a task switch to and from such a thread has its price. */
void cpuid_fault_end(void);
/* What faults is the program's own business from now on. */
void cpuid_fault_leave(void);
/* These instructions, in rising order, have been replaced. The list is kept. */
void cpuid_replaced(const u64 *at, unsigned count);
/* Does it trap in any way? */
bool cpuid_traps(void);

#endif
