/* SPDX-License-Identifier: MIT */
/*
 * Hypercalls of the root partition about another one: MSHV_ROOT_HVCALL, and whoever else serves them (hvcall.c).
 *
 * A handler sees private copies: its input, which is at least as long as the row of hvcalls.def says, and room for its
 * output. It returns a status (HVS_*) and, of a call with repetitions, how many are done.
 */
#ifndef ABI_MSHV_HVCALL_H
#define ABI_MSHV_HVCALL_H

#include "abi/mshv/mshv.h"

struct hvcall {
	struct mshv_partition *partition; /* NULL: of the host */
	const void *in;
	void *out; /* HV_PAGE_SIZE bytes, 0 at first */
	u16 in_size, reps, done;
	struct refusal *why;
	/* Whose lock the caller holds, or NULL. It is let go while another VP is taken. */
	struct mshv_vp *own;
	struct mshv_vp *self; /* HV_VP_INDEX_SELF; NULL: the caller is none */
};

/* On which descriptors a call may be made. */
#define ON_DEVICE    BIT(0)
#define ON_PARTITION BIT(1)
#define ON_VP        BIT(2)
#define ON_VTL       BIT(3) /* beside those on a partition, which may be made there, too */

struct hvcall_row {
	const char *name;
	u16 code;
	bool repeats;
	u8 on;
	u16 in, in_each, out, out_each; /* bytes: of the head, and of each repetition */
	u16 (*handler)(struct hvcall *h);
};

/* All of them, up to one without a name. */
extern const struct hvcall_row hvcall_rows[];

/* The row of code if it may be made on such a descriptor, or NULL. */
const struct hvcall_row *hvcall_find(u16 code, u8 on);
/* The shape is checked, then the handler called. */
u16 hvcall_serve(const struct hvcall_row *row, struct hvcall *h, u16 out_size);
/* -errno of a status, as the kernel's driver has it; 0 for HVS_SUCCESS. */
int hvcall_errno(u16 status);
/* The other way round, of what the engine has been asked: it has no memory, or it fails for the reason that otherwise tells. */
static inline u16 hvcall_status(int r, u16 otherwise)
{
	if (likely(!r))
		return HVS_SUCCESS;
	return r == -ENOMEM ? HVS_INSUFFICIENT_MEMORY : otherwise;
}

#define CALL(code, kind, on, in, in_each, out, out_each, handler) u16 handler(struct hvcall *h);
#include "abi/mshv/hvcalls.def"

/* ---- for handlers ---- */

/* The VP that the input names, or NULL. */
struct mshv_vp *hvcall_vp(const struct hvcall *h, u32 vp_index);
/*
 * A status for the level that an input means (HV_INPUT_VTL_*). The root's partitions have one alone, and do not look. VTL2 is
 * the program, of whose processors nothing can be told; so calls that say nothing are about VTL0, too.
 */
u16 hvcall_level(const struct hvcall *h, u8 vtl);
/*
 * The VP that the input names, taken (vp_take()); NULL with a status if there is none. To be given back with
 * hvcall_give().
 */
struct mshv_vp *hvcall_take(struct hvcall *h, u32 vp_index);
void hvcall_give(struct hvcall *h, struct mshv_vp *v);

#endif
