/* SPDX-License-Identifier: MIT */
/* Delivering exceptions, interrupts and NMIs. */
#ifndef ENGINE_CPU_EXCEPTION_H
#define ENGINE_CPU_EXCEPTION_H

#include "engine/core/cpu.h"

/*
 * Deliver cpu->exc through the IDT (or IVT). Nested faults become #DF, then a triple fault: CPU_EXIT with
 * EXIT_SHUTDOWN. CPU_EXIT also when a debugger asked for the vector, or a stack or table lies in MMIO.
 */
int event_deliver_exception(struct cpu *cpu);
/* The same for one that was raised just now: answers to what raised it are void. */
int event_deliver_fault(struct cpu *cpu);
/* It is delivered at the next run, payload included: also where a delivery needs an answer from outside, and is started again. */
void event_queue_exception(struct cpu *cpu, const struct exception *exc);
int event_deliver_interrupt(struct cpu *cpu, u8 vector);
int event_deliver_nmi(struct cpu *cpu);

/* EXIT_DEBUG for a debugger that asked for this exception. Returns CPU_EXIT. */
int debug_exit(struct cpu *cpu, u8 vector, u64 dr6);

#endif
