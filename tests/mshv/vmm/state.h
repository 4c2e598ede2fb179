/* SPDX-License-Identifier: MIT */
/*
 * Everything that a processor, and the partition, know and that must be the same after a move. All processors are out
 * of their runs and the time is frozen.
 */
#ifndef TESTS_MSHV_VMM_STATE_H
#define TESTS_MSHV_VMM_STATE_H

#include "tests/mshv/vmm/vmm.h"

#define STATE_REGISTERS 160
#define STATE_BLOBS     MSHV_VP_STATE_COUNT

struct vp_state {
	u32 count; /* of registers */
	u32 blob_size[STATE_BLOBS];
	struct hv_register reg[STATE_REGISTERS]; /* in the order in which they are to be set */
	u64 interrupt_vectors;                   /* of the register page */
	_Alignas(HV_PAGE_SIZE) u8 blob[STATE_BLOBS][HV_PAGE_SIZE];
};

struct partition_state {
	u64 reference_time;
	struct hv_register hypercall; /* of the whole partition, set after the guest's id */
};

/* 0, or negative, and then it says why. */
int vmm_save_vp(struct vmm_vp *vp, struct vp_state *s);
int vmm_restore_vp(struct vmm_vp *vp, const struct vp_state *s);
/* Does it say what was set, byte for byte? It must while the time is frozen. got is scratch. */
int vmm_compare_vp(struct vmm_vp *vp, const struct vp_state *want, struct vp_state *got);
int vmm_save_partition(struct vmm *vmm, struct partition_state *s);
/* The time first, before the processors; the rest after them. */
int vmm_restore_time(struct vmm *vmm, const struct partition_state *s);
int vmm_restore_partition(struct vmm *vmm, const struct partition_state *s);

#endif
