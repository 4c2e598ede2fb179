/* SPDX-License-Identifier: MIT */
/* What travels over the port: requests of /dev/mshv, and the hypercalls inside one of them. */
#include <string.h>

#include "libkvm/mshv/mshv.h"

#define REGISTERS_MAX 64 /* in one call */

long mshv_ioctl(struct mshv *m, int fd, unsigned long request, const void *arg, struct refusal *why)
{
	return m->port->ioctl(m->port_state, fd, request, (unsigned long)arg, why);
}

long hvcall(struct mshv *m, int fd, struct mshv_root_hvcall *call, struct refusal *why)
{
	long r = mshv_ioctl(m, fd, MSHV_ROOT_HVCALL, call, why);

	if (r < 0 && !why->why && call->status)
		refuse(why, (int)r, "the hypervisor refused the hypercall 0x%lx with status 0x%lx",
			(u64)call->code, (u64)call->status);
	return r;
}

long hvcall_in(struct mshv *m, int fd, u16 code, const void *in, size_t size, struct refusal *why)
{
	struct mshv_root_hvcall call = {
		.code = code, .in_sz = (u16)size, .in_ptr = (u64)(uintptr_t)in};

	return hvcall(m, fd, &call, why);
}

long vp_read(
	struct vp *v, const u32 *names, struct hv_value128 *values, unsigned n, struct refusal *why)
{
	struct {
		struct hv_vp_registers head;
		u32 names[REGISTERS_MAX];
	} in = {.head.vp_index = v->index};
	struct mshv_root_hvcall call = {
		.code = HVCALL_GET_VP_REGISTERS,
		.reps = (u16)n,
		.in_sz = (u16)(sizeof(in.head) + n * sizeof(names[0])),
		.out_sz = (u16)(n * sizeof(values[0])),
		.in_ptr = (u64)(uintptr_t)&in,
		.out_ptr = (u64)(uintptr_t)values,
	};

	memcpy(in.names, names, n * sizeof(names[0]));
	return hvcall(v->p->mshv, v->fd, &call, why);
}

long vp_write(struct vp *v, const struct hv_register *registers, unsigned n, struct refusal *why)
{
	struct {
		struct hv_vp_registers head;
		struct hv_register registers[REGISTERS_MAX];
	} in = {.head.vp_index = v->index};
	struct mshv_root_hvcall call = {
		.code = HVCALL_SET_VP_REGISTERS,
		.reps = (u16)n,
		.in_sz = (u16)(sizeof(in.head) + n * sizeof(registers[0])),
		.in_ptr = (u64)(uintptr_t)&in,
	};

	memcpy(in.registers, registers, n * sizeof(registers[0]));
	return hvcall(v->p->mshv, v->fd, &call, why);
}

long vp_read_one(struct vp *v, u32 name, u64 *ret, struct refusal *why)
{
	struct hv_value128 value;
	long r = vp_read(v, &name, &value, 1, why);

	if (r >= 0)
		*ret = value.low;
	return r;
}

long vp_write_one(struct vp *v, u32 name, u64 value, struct refusal *why)
{
	const struct hv_register one = {.name = name, .value.low = value};

	return vp_write(v, &one, 1, why);
}

/* Of a processor as a whole: n bytes at data, up to a page. */
static long vp_state(struct vp *v, unsigned long request, u8 type, void *page, struct refusal *why)
{
	struct mshv_get_set_vp_state state = {
		.type = type, .buf_sz = PAGE_SIZE, .buf_ptr = (u64)(uintptr_t)page};

	return mshv_ioctl(v->p->mshv, v->fd, request, &state, why);
}

long vp_read_state(struct vp *v, u8 type, void *page, struct refusal *why)
{
	return vp_state(v, MSHV_GET_VP_STATE, type, page, why);
}

long vp_write_state(struct vp *v, u8 type, void *page, struct refusal *why)
{
	return vp_state(v, MSHV_SET_VP_STATE, type, page, why);
}

long property_get(struct mshv *m, int fd, u32 code, u64 *ret, struct refusal *why)
{
	const struct hv_get_property in = {.code = code};
	struct mshv_root_hvcall call = {.code = HVCALL_GET_PARTITION_PROPERTY,
		.in_sz = sizeof(in),
		.out_sz = sizeof(*ret),
		.in_ptr = (u64)(uintptr_t)&in,
		.out_ptr = (u64)(uintptr_t)ret};

	return hvcall(m, fd, &call, why);
}

long property_set(struct mshv *m, int fd, u32 code, u64 value, struct refusal *why)
{
	const struct hv_set_property in = {.code = code, .value = value};

	return hvcall_in(m, fd, HVCALL_SET_PARTITION_PROPERTY, &in, sizeof(in), why);
}
