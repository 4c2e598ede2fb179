/* SPDX-License-Identifier: MIT */
/* The kinds of descriptors that /dev/mshv has, a table for each. None knows any other request: -ENOTTY. */
#include <errno.h>

#include "abi/mshv/kinds.h"

const struct fd_ops mshv_system_ops = {
	.name = "uservisor-mshv",
	.label = "mshv",
	.kind = DEV_SYSTEM,
	.anywhere = true,
	.unknown = -ENOTTY,
	.ioctl = mshv_dispatch_system,
};

const struct fd_ops mshv_partition_ops = {
	.name = "uservisor-mshv-partition",
	.label = "partition",
	.link = "anon_inode:mshv_partition",
	.kind = DEV_VM,
	.unknown = -ENOTTY,
	.ioctl = mshv_dispatch_partition,
	.closed = partition_closed,
	.release = partition_release,
};

const struct fd_ops mshv_vp_ops = {
	.name = "uservisor-mshv-vp",
	.label = "vp",
	.link = "anon_inode:mshv_vp",
	.kind = DEV_VCPU,
	.unknown = -ENOTTY,
	.ioctl = mshv_dispatch_vp,
	.mmap_check = vp_mmap_check,
};

const struct fd_ops mshv_vtl_ops = {
	.backing = FD_SHARED,
	.name = "uservisor-mshv-vtl",
	.label = "vtl",
	.link = "anon_inode:mshv_vtl",
	.kind = DEV_VM,
	.unknown = -ENOTTY,
	.shared_file = vtl_pages_file,
	.ioctl = mshv_dispatch_vtl,
	.mmap_check = vtl_mmap_check,
	.is_there = vtl_pages_are_there,
	.release = vtl_release,
};

const struct fd_ops mshv_sint_ops = {
	.backing = FD_PACKETS,
	.name = "uservisor-mshv-sint",
	.label = "sint",
	.kind = DEV_OTHER,
	.unknown = -ENOTTY,
	.open = sint_open,
	.ioctl = mshv_dispatch_sint,
	.read_check = sint_read_check,
	.release = sint_release,
};

const struct fd_ops mshv_hvcall_ops = {
	.name = "uservisor-mshv-hvcall",
	.label = "hvcall",
	.kind = DEV_OTHER,
	.unknown = -ENOTTY,
	.open = vtl_calls_open,
	.ioctl = mshv_dispatch_hvcall,
	.release = vtl_calls_release,
};

/* The memory of the lower guest. */
const struct fd_ops mshv_vtl_low_ops = {
	.backing = FD_SHARED,
	.name = "uservisor-mshv-low",
	.label = "vtl_low",
	.kind = DEV_OTHER,
	.unknown = -ENOTTY,
	.open = vtl_open,
	.shared_file = vtl_memory_file,
	.mmap_check = vtl_mmap_check,
	.is_there = vtl_memory_is_there,
	.release = vtl_release,
};

const struct fd_ops *const mshv_kinds[] = {&mshv_system_ops, &mshv_partition_ops, &mshv_vp_ops,
	&mshv_vtl_ops, &mshv_sint_ops, &mshv_hvcall_ops, &mshv_vtl_low_ops, NULL};
