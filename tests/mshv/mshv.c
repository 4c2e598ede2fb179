/* SPDX-License-Identifier: MIT */
/* See mshv.h. */
#include <string.h>
#include <sys/mman.h>

#include "tests/mshv/mshv.h"

_Thread_local struct root_last root_last;

long root_call(int fd, const struct root_call *call)
{
	struct mshv_root_hvcall h = {
		.code = call->code,
		.reps = call->reps,
		.in_sz = (u16)call->in_size,
		.out_sz = (u16)call->out_size,
		.in_ptr = (unsigned long)call->in,
		.out_ptr = (unsigned long)call->out,
	};
	long r = port_ioctl(fd, MSHV_ROOT_HVCALL, &h);

	root_last = (struct root_last){.status = h.status, .done = h.reps};
	return r;
}

/* One that is no rep hypercall. */
static long simple(int fd, u16 code, const void *in, size_t in_size, void *out, size_t out_size)
{
	const struct root_call call = {code, 0, in, in_size, out, out_size};

	return root_call(fd, &call);
}

/* ---- partitions ---- */

int root_partition_create(int device, const struct mshv_create_partition_v2 *how)
{
	return (int)port_ioctl(device, MSHV_CREATE_PARTITION, how);
}

long root_partition_initialize(int partition)
{
	return port_ioctl(partition, MSHV_INITIALIZE_PARTITION, NULL);
}

int root_vp_create(int partition, u32 index)
{
	const struct mshv_create_vp vp = {.vp_index = index};

	return (int)port_ioctl(partition, MSHV_CREATE_VP, &vp);
}

long root_property_get(int fd, u32 code, u64 *ret)
{
	const struct hv_get_property in = {.code = code};

	return simple(fd, HVCALL_GET_PARTITION_PROPERTY, &in, sizeof(in), ret, sizeof(*ret));
}

long root_property_set(int fd, u32 code, u64 value)
{
	const struct hv_set_property in = {.code = code, .value = value};

	return simple(fd, HVCALL_SET_PARTITION_PROPERTY, &in, sizeof(in), NULL, 0);
}

long root_property_get_mask(int fd, u32 code, u64 *ret)
{
	const struct hv_get_property_ex in = {.code = code};
	union {
		struct hv_property_bank bank;
		u8 bytes[HV_PROPERTY_EX_BYTES];
	} out = {.bytes = {0}};
	long r = simple(
		fd, HVCALL_GET_PARTITION_PROPERTY_EX, &in, sizeof(in), &out, sizeof(out.bytes));

	if (r >= 0)
		*ret = out.bank.count ? out.bank.mask[0] : 0;
	return r;
}

static long set_memory(int partition, u64 gpa, u64 size, void *hva, unsigned flags)
{
	const struct mshv_user_mem_region r = {
		.size = size,
		.guest_pfn = gpa / MSHV_HV_PAGE_SIZE,
		.userspace_addr = (unsigned long)hva,
		.flags = (u8)flags,
	};

	return port_ioctl(partition, MSHV_SET_GUEST_MEMORY, &r);
}

long root_memory_map(int partition, u64 gpa, u64 size, void *hva, unsigned flags)
{
	return set_memory(partition, gpa, size, hva, flags);
}

long root_memory_unmap(int partition, u64 gpa, u64 size, void *hva)
{
	return set_memory(partition, gpa, size, hva, 1u << MSHV_SET_MEM_BIT_UNMAP);
}

long root_access_bitmap(int partition, unsigned type, unsigned op, u64 gpa, u64 pages, void *bitmap)
{
	struct mshv_gpap_access_bitmap b = {
		.access_type = (u8)type,
		.access_op = (u8)op,
		.page_count = pages,
		.gpap_base = gpa / MSHV_HV_PAGE_SIZE,
		.bitmap_ptr = (unsigned long)bitmap,
	};

	return port_ioctl(partition, MSHV_GET_GPAP_ACCESS_BITMAP, &b);
}

/* ---- interrupts and events ---- */

long root_irqfd_set(int partition, int fd, u32 gsi, u32 flags)
{
	const struct mshv_user_irqfd i = {.fd = fd, .gsi = gsi, .flags = flags};

	return port_ioctl(partition, MSHV_IRQFD, &i);
}

#define ROUTES_MAX 64

long root_routing_set(int partition, const struct mshv_user_irq_entry *entries, u32 count)
{
	struct {
		struct mshv_user_irq_table head;
		struct mshv_user_irq_entry entries[ROUTES_MAX];
	} table = {.head = {.nr = MIN(count, (u32)ROUTES_MAX)}};

	if (count)
		memcpy(table.entries, entries, table.head.nr * sizeof(*entries));
	return port_ioctl(partition, MSHV_SET_MSI_ROUTING, &table);
}

long root_ioeventfd_set(int partition, const struct mshv_user_ioeventfd *how)
{
	return port_ioctl(partition, MSHV_IOEVENTFD, how);
}

long root_interrupt_assert(int partition, const struct hv_assert_interrupt *how)
{
	return simple(partition, HVCALL_ASSERT_VIRTUAL_INTERRUPT, how, sizeof(*how), NULL, 0);
}

long root_intercept_install(int partition, u32 access, u32 type, u64 parameter)
{
	const struct hv_install_intercept in = {
		.access = access, .type = type, .parameter = parameter};

	return simple(partition, HVCALL_INSTALL_INTERCEPT, &in, sizeof(in), NULL, 0);
}

/* ---- virtual processors ---- */

long root_regs_get(int fd, u32 vp, struct hv_register *r, u16 count)
{
	struct {
		struct hv_vp_registers head;
		u32 names[(HV_PAGE_SIZE - sizeof(struct hv_vp_registers)) / 4];
	} in = {.head = {.vp_index = vp}};
	struct hv_value128 out[HV_PAGE_SIZE / sizeof(struct hv_value128)] = {0};
	const struct root_call call = {HVCALL_GET_VP_REGISTERS, count, &in,
		sizeof(in.head) + count * sizeof(*in.names), out, count * sizeof(*out)};
	long ret;

	for (unsigned i = 0; i < count; i++)
		in.names[i] = r[i].name;
	ret = root_call(fd, &call);
	for (unsigned i = 0; ret >= 0 && i < count; i++)
		r[i].value = out[i];
	return ret;
}

long root_regs_set(int fd, u32 vp, const struct hv_register *r, u16 count)
{
	struct {
		struct hv_vp_registers head;
		struct hv_register regs[(HV_PAGE_SIZE - sizeof(struct hv_vp_registers)) /
					sizeof(struct hv_register)];
	} in = {.head = {.vp_index = vp}};
	const struct root_call call = {
		HVCALL_SET_VP_REGISTERS, count, &in, sizeof(in.head) + count * sizeof(*r), NULL, 0};

	memcpy(in.regs, r, count * sizeof(*r));
	return root_call(fd, &call);
}

long root_reg_get(int fd, u32 vp, u32 name, u64 *ret)
{
	struct hv_register r = {.name = name};
	long status = root_regs_get(fd, vp, &r, 1);

	if (status >= 0)
		*ret = r.value.low;
	return status;
}

long root_reg_set(int fd, u32 vp, u32 name, u64 value)
{
	const struct hv_register r = {.name = name, .value = {value, 0}};

	return root_regs_set(fd, vp, &r, 1);
}

long root_vp_run(int vp, struct hv_message *message)
{
	return port_ioctl(vp, MSHV_RUN_VP, message);
}

long root_vp_state_get(int vp, u8 type, void *buffer, u32 *size)
{
	struct mshv_get_set_vp_state s = {
		.type = type, .buf_sz = *size, .buf_ptr = (unsigned long)buffer};
	long r = port_ioctl(vp, MSHV_GET_VP_STATE, &s);

	*size = s.buf_sz;
	return r;
}

long root_vp_state_set(int vp, u8 type, const void *buffer, u32 size)
{
	struct mshv_get_set_vp_state s = {
		.type = type, .buf_sz = size, .buf_ptr = (unsigned long)buffer};

	return port_ioctl(vp, MSHV_SET_VP_STATE, &s);
}

void *root_vp_page(int vp, unsigned which)
{
	void *page = mmap(NULL, MSHV_HV_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, vp,
		(off_t)which * MSHV_HV_PAGE_SIZE);

	return page == MAP_FAILED ? NULL : page;
}

long root_translate(int fd, u32 vp, u64 gva, u64 flags, struct hv_translated *ret)
{
	const struct hv_translate in = {
		.vp_index = vp, .flags = flags, .gva_page = gva / MSHV_HV_PAGE_SIZE};

	return simple(fd, HVCALL_TRANSLATE_VIRTUAL_ADDRESS, &in, sizeof(in), ret, sizeof(*ret));
}

long root_cpuid_get(int fd, u32 vp, u32 flags, u32 leaf, u32 subleaf, u32 ret[4])
{
	const struct {
		struct hv_cpuid_values head;
		struct hv_cpuid_leaf leaf;
	} in = {{.vp_index = vp, .flags = flags}, {.eax = leaf, .ecx = subleaf}};
	const struct root_call call = {
		HVCALL_GET_VP_CPUID_VALUES, 1, &in, sizeof(in), ret, 4 * sizeof(*ret)};

	return root_call(fd, &call);
}

/* What a caller of the kernel's own headers passes: without the padding that ours ends with. */
#define CPUID_RESULT_BYTES 60

long root_cpuid_override(int fd, u32 vp, const struct root_cpuid *o)
{
	struct hv_intercept_result in = {.vp_index = vp, .type = HV_INTERCEPT_CPUID};

	in.cpuid.eax = o->leaf;
	in.cpuid.ecx = o->subleaf;
	in.cpuid.subleaf_specific = o->subleaf_specific;
	in.cpuid.always_override = o->always;
	for (unsigned i = 0; i < 4; i++) {
		in.cpuid.reg[i].value = o->value[i];
		in.cpuid.reg[i].mask = o->mask[i];
	}
	return simple(fd, HVCALL_REGISTER_INTERCEPT_RESULT, &in, CPUID_RESULT_BYTES, NULL, 0);
}
