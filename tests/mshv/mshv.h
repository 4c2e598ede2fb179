/* SPDX-License-Identifier: MIT */
/*
 * /dev/mshv for programs: a function for each request and hypercall, as the libraries of other languages have them.
 *
 * All return >= 0 or -errno. What the hypervisor itself said of the last hypercall of this thread is in root_last.
 */
#ifndef TESTS_MSHV_MSHV_H
#define TESTS_MSHV_MSHV_H

#include "tests/mshv/port.h"
#include "x86/hyperv_root.h"

struct root_last {
	u16 status, done; /* HV_STATUS; of a rep hypercall: how many */
};
extern _Thread_local struct root_last root_last;

/* A hypercall of the root's. Sizes go with the pointers; `reps` is 0 for one without. */
struct root_call {
	u16 code, reps;
	const void *in;
	size_t in_size;
	void *out;
	size_t out_size;
};
long root_call(int fd, const struct root_call *call);

/* ---- partitions ---- */

#define PT_FLAG(bit) (1ull << MSHV_PT_BIT_##bit)

int root_partition_create(int device, const struct mshv_create_partition_v2 *how);
long root_partition_initialize(int partition);
int root_vp_create(int partition, u32 index);

long root_property_get(int fd, u32 code, u64 *ret);
long root_property_set(int fd, u32 code, u64 value);
/* The first mask of the banks that it has. */
long root_property_get_mask(int fd, u32 code, u64 *ret);

long root_memory_map(int partition, u64 gpa, u64 size, void *hva, unsigned flags);
long root_memory_unmap(int partition, u64 gpa, u64 size, void *hva);
#define MAP_W  (1u << MSHV_SET_MEM_BIT_WRITABLE)
#define MAP_X  (1u << MSHV_SET_MEM_BIT_EXECUTABLE)
#define MAP_WX (MAP_W | MAP_X)

/* Of `pages` from gpa on, into (pages + 7) / 8 bytes. */
long root_access_bitmap(
	int partition, unsigned type, unsigned op, u64 gpa, u64 pages, void *bitmap);

/* ---- interrupts and events ---- */

long root_irqfd_set(int partition, int fd, u32 gsi, u32 flags);
long root_routing_set(int partition, const struct mshv_user_irq_entry *entries, u32 count);
long root_ioeventfd_set(int partition, const struct mshv_user_ioeventfd *how);
long root_interrupt_assert(int partition, const struct hv_assert_interrupt *how);
long root_intercept_install(int partition, u32 access, u32 type, u64 parameter);

/* ---- virtual processors ---- */

/* Through a descriptor of the partition or of any of its processors. Values are put into, or taken from, *r. */
long root_regs_get(int fd, u32 vp, struct hv_register *r, u16 count);
long root_regs_set(int fd, u32 vp, const struct hv_register *r, u16 count);
long root_reg_get(int fd, u32 vp, u32 name, u64 *ret);
long root_reg_set(int fd, u32 vp, u32 name, u64 value);

long root_vp_run(int vp, struct hv_message *message);
/* *size: in, of the buffer; out, of what there is. */
long root_vp_state_get(int vp, u8 type, void *buffer, u32 *size);
long root_vp_state_set(int vp, u8 type, const void *buffer, u32 size);
/* One of its pages, mapped; NULL with errno. */
void *root_vp_page(int vp, unsigned which);

long root_translate(int fd, u32 vp, u64 gva, u64 flags, struct hv_translated *ret);
/* What the guest's CPUID gives: EAX, EBX, ECX, EDX. */
long root_cpuid_get(int fd, u32 vp, u32 flags, u32 leaf, u32 subleaf, u32 ret[4]);

/* A result for CPUID: of each register, value where the mask has ones. For one processor or HV_ANY_VP. */
struct root_cpuid {
	u32 leaf, subleaf;
	bool subleaf_specific, always;
	u32 value[4], mask[4];
};
long root_cpuid_override(int fd, u32 vp, const struct root_cpuid *o);

#endif
