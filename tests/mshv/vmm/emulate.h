/* SPDX-License-Identifier: MIT */
/*
 * One instruction that touched what is no memory, done by hand: what a VMM does with a memory intercept. It knows the
 * instructions that kernels reach devices with, and no other; code is always taken for 64-bit code.
 *
 * Registers are read from and written to the register page, with its dirty bits.
 */
#ifndef TESTS_MSHV_VMM_EMULATE_H
#define TESTS_MSHV_VMM_EMULATE_H

#include "x86/hyperv_root.h"

struct emulate_ops {
	/* A page's worth at most, which does not cross a page. */
	void (*read)(void *opaque, u64 gpa, void *to, unsigned size);
	void (*write)(void *opaque, u64 gpa, const void *from, unsigned size);
	/* 0 or -errno. */
	int (*translate)(void *opaque, u64 gva, bool write, u64 *ret_gpa);
};

/* 0: done, rip is behind it. -ENOSYS: not one of ours. -EFAULT: an operand is not mapped. */
int emulate(struct hv_register_page *page, const struct hv_memory_message *m,
	const struct emulate_ops *ops, void *opaque);

#endif
