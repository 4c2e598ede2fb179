/* SPDX-License-Identifier: MIT */
/* Memory as outer code sees it, beside engine.h: machine_read() and machine_write() take its lock. */
#ifndef ENGINE_MEM_MEMORY_H
#define ENGINE_MEM_MEMORY_H

#include "engine/core/machine.h"
#include "engine/core/vcpu.h"

/* Of all slots together. Under no lock: the caller has paused the machine. slot.c */
u64 machine_memory_bytes(const struct machine *m);
bool vcpu_ring_full(const struct vcpu *v); /* ring.c */

/* phys.c: is [gpa, gpa + len) memory that machine_write() can write? What lies behind it is not touched. */
bool machine_has_ram(struct machine *m, u64 gpa, u64 len);
/*
 * Who writes guest memory for no vcpu looks for a dirty ring among all of them, under memory.lock alone. When this returns, who
 * began before has ended: nobody holds on to what was taken off the list. No lock may be held.
 */
void memory_wait_readers(struct machine *m);

/* views.c: all vcpus are in view 0 again, and that changes nothing. */
void machine_drop_views(struct machine *m);
/* A new vcpu, which others can see already: is there anything about view 0? */
void vcpu_enter_view(struct vcpu *v);

int memory_create(struct machine *m);
void memory_destroy(struct machine *m);

#endif
