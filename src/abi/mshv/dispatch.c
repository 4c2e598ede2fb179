/* SPDX-License-Identifier: MIT */
/*
 * From a request number to the row of ioctls.def. The whole number counts; an unknown one is -ENOTTY on every descriptor.
 *
 * Requests on a partition are served one after the other, and so are those on a virtual processor; a request on the
 * partition does not wait for a processor that runs.
 */
#include "abi/mshv/mshv.h"

#define SYS(name, kind, size, handler)       ROW_SYS_##name,
#define PARTITION(name, kind, size, handler) ROW_PARTITION_##name,
#define VP(name, kind, size, handler)        ROW_VP_##name,
#define VTL(name, kind, size, handler)       ROW_VTL_##name,
#define HVCALL(name, kind, size, handler)    ROW_HVCALL_##name,
#define SINT(name, kind, size, handler)      ROW_SINT_##name,
enum {
#include "abi/mshv/ioctls.def"
	ROW_COUNT
};

#define SYS(name, kind, size, handler) {#name, &mshv_system_ops, handler, name, size, kind},
#define PARTITION(name, kind, size, handler)                                                       \
	{#name, &mshv_partition_ops, handler, name, size, kind},
#define VP(name, kind, size, handler)     {#name, &mshv_vp_ops, handler, name, size, kind},
#define VTL(name, kind, size, handler)    {#name, &mshv_vtl_ops, handler, name, size, kind},
#define HVCALL(name, kind, size, handler) {#name, &mshv_hvcall_ops, handler, name, size, kind},
#define SINT(name, kind, size, handler)   {#name, &mshv_sint_ops, handler, name, size, kind},
static const struct request rows[] = {
#include "abi/mshv/ioctls.def"
};

/* The kernel gives it a number as it comes: 243 to 254 are for local use (admin-guide/devices.txt). */
static const struct device_node nodes[] = {
	{"/dev/mshv", &mshv_system_ops, 244, .assigned = false},
	{"/dev/mshv_sint", &mshv_sint_ops, 245, .assigned = false},
	{"/dev/mshv_hvcall", &mshv_hvcall_ops, 246, .assigned = false},
	{"/dev/mshv_vtl_low", &mshv_vtl_low_ops, 247, .assigned = false},
	{NULL},
};

static const u32 makes[] = {MSHV_CREATE_PARTITION, MSHV_CREATE_VP, MSHV_CREATE_VTL, 0};

const struct interface mshv_interface = {
	.name = "mshv",
	.request_type = MSHV_IOCTL,
	.nodes = nodes,
	.kinds = mshv_kinds,
	.requests = rows,
	.request_count = ROW_COUNT,
	.common_make = vtl_make,
	.common_free = vtl_free,
	.makes = makes,
};

#define FITS(size)                           _Static_assert((size) <= REQUEST_SIZE_MAX, "use ARG_PTR");
#define SYS(name, kind, size, handler)       FITS(size)
#define PARTITION(name, kind, size, handler) FITS(size)
#define VP(name, kind, size, handler)        FITS(size)
#define VTL(name, kind, size, handler)       FITS(size)
#define HVCALL(name, kind, size, handler)    FITS(size)
#define SINT(name, kind, size, handler)      FITS(size)
#include "abi/mshv/ioctls.def"

#define SYS(name, kind, size, handler)                                                             \
	case (u32)(name): return ROW_SYS_##name;
static int find_system(u32 number)
{
	switch (number) {
#include "abi/mshv/ioctls.def"
	}
	return -1;
}

#define PARTITION(name, kind, size, handler)                                                       \
	case (u32)(name): return ROW_PARTITION_##name;
static int find_partition(u32 number)
{
	switch (number) {
#include "abi/mshv/ioctls.def"
	}
	return -1;
}

#define VP(name, kind, size, handler)                                                              \
	case (u32)(name): return ROW_VP_##name;
static int find_vp(u32 number)
{
	switch (number) {
#include "abi/mshv/ioctls.def"
	}
	return -1;
}

#define VTL(name, kind, size, handler)                                                             \
	case (u32)(name): return ROW_VTL_##name;
static int find_vtl(u32 number)
{
	switch (number) {
#include "abi/mshv/ioctls.def"
	}
	return -1;
}

#define HVCALL(name, kind, size, handler)                                                          \
	case (u32)(name): return ROW_HVCALL_##name;
static int find_hvcall(u32 number)
{
	switch (number) {
#include "abi/mshv/ioctls.def"
	}
	return -1;
}

#define SINT(name, kind, size, handler)                                                            \
	case (u32)(name): return ROW_SINT_##name;
static int find_sint(u32 number)
{
	switch (number) {
#include "abi/mshv/ioctls.def"
	}
	return -1;
}

/* ---- by kind ---- */

static long serve(
	struct call *c, const struct fd_ops *on, u32 number, int row, pthread_mutex_t *lock)
{
	long ret;

	if (row < 0)
		return request_unknown(c, on, number);
	if (!lock)
		return request_serve(&rows[row], c);
	pthread_mutex_lock(lock);
	ret = request_serve(&rows[row], c);
	pthread_mutex_unlock(lock);
	return ret;
}

long mshv_dispatch_system(struct call *c, u32 number)
{
	return serve(c, &mshv_system_ops, number, find_system(number), NULL);
}

long mshv_dispatch_partition(struct call *c, u32 number)
{
	return serve(
		c, &mshv_partition_ops, number, find_partition(number), &partition_of(c)->requests);
}

long mshv_dispatch_vp(struct call *c, u32 number)
{
	return serve(c, &mshv_vp_ops, number, find_vp(number), &vp_of(c)->lock);
}

/* Who executes the lower guest on one processor keeps nobody else waiting. */
long mshv_dispatch_vtl(struct call *c, u32 number)
{
	return serve(c, &mshv_vtl_ops, number, find_vtl(number), NULL);
}

long mshv_dispatch_hvcall(struct call *c, u32 number)
{
	return serve(c, &mshv_hvcall_ops, number, find_hvcall(number), NULL);
}

long mshv_dispatch_sint(struct call *c, u32 number)
{
	return serve(c, &mshv_sint_ops, number, find_sint(number), NULL);
}
