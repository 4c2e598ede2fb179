/* SPDX-License-Identifier: MIT */
/*
 * The world of the unit tests: a machine of the real engine with 256 KiB of RAM at 0, one vcpu or more, and small
 * guests in real mode.
 *
 * Nothing of the engine is redefined. What a test cannot see or do from outside has a file of its own here, and says how:
 *
 *   devices.h    device registers by the functions that the vcpu's loop calls, without guest code
 *   hvguest.h    a guest of Hyper-V's interface, one instruction at a time
 *   memory.h     slots, processors that are inside without running, and a code watcher that counts (the machine's table)
 *   processor.h  one such processor with 1 MiB, for single handlers: from tables.h, with descriptor tables, for control
 *                transfers; from insns.h, instructions by step_insn()
 *   partition.h  a Hyper-V partition: 64-bit guests, and what must be true of each exit
 *   posts.h      counts the events that are posted to a vcpu, and passes them on (the linker's --wrap)
 *   seen.h       the same for accesses to memory and flushes of the TLB
 *
 * Allocations and system calls that fail at the n-th are in tests/abi/fault_points.h (--wrap as well). Two things are
 * set by hand where real machines have them from elsewhere: what of the processor depends on the host or on CPUID
 * (processor.c), and "inside", which is vcpu_go_in()'s to set.
 */
#ifndef TESTS_UNIT_WORLD_WORLD_H
#define TESTS_UNIT_WORLD_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "engine/engine.h"

#define RAM_BYTES 0x40000u
#define CODE      0x1000u
#define STACK     0x8000u

#define WORLD_VCPUS 8

struct world {
	struct machine *m;
	struct vcpu *v; /* vcpu 0 */
	u8 *ram;
	struct vcpu *more[WORLD_VCPUS - 1];
	unsigned more_count;
};

/* The whole process has one engine, but may have several worlds. */
void world_open(struct world *w, enum irqchip_mode mode);
/* A Hyper-V partition, local APICs only. */
void world_open_partition(struct world *w);
/* Those after vcpu 0 get the next ids; world_close() destroys them. */
struct vcpu *world_add_vcpu(struct world *w);
void world_close(struct world *w);
/* All that the engine can do. */
void world_give_cpuid(struct vcpu *v);

/* Real mode at 0:CODE, all segments at 0, with these bytes there. */
void world_code(struct world *w, const u8 *code, size_t len);
#define WORLD_CODE(w, ...)                                                                         \
	do {                                                                                       \
		static const u8 code_[] = {__VA_ARGS__};                                           \
		world_code(w, code_, sizeof(code_));                                               \
	} while (0)
void world_start(struct vcpu *v, u64 rip);
/* Bytes at an address, and 0:addr as the real-mode handler of a vector. */
void world_put(struct world *w, u32 addr, const void *bytes, size_t len);
void world_vector(struct world *w, u8 vector, u16 addr);
#define WORLD_PUT(w, addr, ...)                                                                    \
	do {                                                                                       \
		static const u8 put_[] = {__VA_ARGS__};                                            \
		world_put(w, addr, put_, sizeof(put_));                                            \
	} while (0)

struct exit *run_to(struct vcpu *v, u32 reason);
u64 rip_of(struct vcpu *v);
u64 gpr_of(struct vcpu *v, unsigned reg);
struct vcpu_events events_of(struct vcpu *v);
void set_rflags(struct vcpu *v, u64 set);
void set_segment(struct vcpu *v, unsigned seg, u64 base);
void set_idt(struct vcpu *v, u64 base, u32 limit);

#endif
