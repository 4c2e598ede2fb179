/* SPDX-License-Identifier: MIT */
/*
 * The page that the kernel's VTL driver shares with its client for each processor: the registers that VTL0 and VTL2 share, and
 * why VTL0 was left. Names and layout are the kernel's.
 */
#ifndef UAPI_MSHV_VTL_H
#define UAPI_MSHV_VTL_H

#include <stddef.h>

#include "uapi/mshv.h"

/* What may be mapped of a VTL's descriptor: at (kind << 16 | processor) times the page size. */
enum { MSHV_VTL_MMAP_RUN, MSHV_VTL_MMAP_REGISTERS };
#define MSHV_VTL_MMAP_KIND_SHIFT 16

struct mshv_vtl_cpu_context {
	__u64 gp_regs[16]; /* as instructions number them; in the place of RSP is CR2 */
	__u8 fx_state[512];
	__u8 reserved[384];
};
#define MSHV_VTL_CONTEXT_CR2 4

/* What is to be done when VTL0 is entered. */
struct mshv_vtl_return_action {
	__u64 type;
	__u32 vp_index;
	__u8 vtl, sint;
	__u16 flag;
};
#define MSHV_VTL_RETURN_ACTION_SIGNAL_EVENT 1

struct mshv_vtl_run {
	__u32 cancel;              /* not 0: MSHV_RETURN_TO_LOWER_VTL is -EINTR */
	__u32 vtl_ret_action_size; /* bytes; the request sets it to 0 */
	__u32 pad[2];
	__u8 exit_message[MSHV_MAX_RUN_MSG_SIZE];
	struct mshv_vtl_cpu_context cpu_context;
	struct mshv_vtl_return_action vtl_ret_actions[16];
};

_Static_assert(offsetof(struct mshv_vtl_run, exit_message) == 0x10, "exit_message");
_Static_assert(offsetof(struct mshv_vtl_run, cpu_context) == 0x110, "cpu_context");
_Static_assert(offsetof(struct mshv_vtl_cpu_context, fx_state) == 128, "fx_state");
_Static_assert(sizeof(struct mshv_vtl_cpu_context) == 1024, "cpu_context");
_Static_assert(offsetof(struct mshv_vtl_run, vtl_ret_actions) == 0x510, "vtl_ret_actions");
_Static_assert(sizeof(struct mshv_vtl_return_action) == 16, "vtl_ret_actions");
_Static_assert(sizeof(struct mshv_vtl_run) == 0x610, "all");

#endif
