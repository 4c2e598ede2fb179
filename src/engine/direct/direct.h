/* SPDX-License-Identifier: MIT */
/*
 * Direct execution: user code of the guest that computes for long runs as it is on the host's processor, in a process that has
 * its pages alone (src/cage). Outer code, on the vcpu's thread.
 *
 * The process only ever completes instructions that do not fault. Whatever else there is (a page that is not there yet, SYSCALL, CPUID, an
 * exception) stops it, and the engine executes that instruction itself. So this is an accelerator, and knows no exceptions.
 *
 * What the process has mapped is a part of what the software TLB may hold: a page is mapped for an access only after the TLB
 * was filled for it, and each flush of the TLB, of whatever kind, makes direct_run() look at all of them again.
 */
#ifndef ENGINE_DIRECT_DIRECT_H
#define ENGINE_DIRECT_DIRECT_H

#include "engine/core/vcpu.h"

/*
 * cpu_run() has returned RUN_DIRECT: the vcpu is inside, in user code, its vector state in the image. Comes back in front of an
 * instruction that the engine is to execute (cpu->direct.steps), or because of a request. False: an exception is due before that.
 */
bool direct_run(struct vcpu *v);

/* A request has found the vcpu in user code, or elsewhere: how direct execution begins. Outside. */
void direct_on_request(struct vcpu *v);

/* With the vcpu. */
void direct_destroy(struct vcpu *v);

#endif
