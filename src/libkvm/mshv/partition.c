/* SPDX-License-Identifier: MIT */
/*
 * Partitions: what each is made with. The guest may use all that the hypervisor lets a guest use of itself, as far as
 * there is what it needs; whether the guest learns of it is up to the CPUID that the program sets.
 */
#include <errno.h>
#include <sys/mman.h>

#include "libkvm/mshv/mshv.h"

#define FEATURE(name) BIT64(HV_SYN_##name)
#define FEATURES                                                                                   \
	(FEATURE(HYPERVISOR_PRESENT) | FEATURE(HV1) | FEATURE(VP_RUNTIME) |                        \
		FEATURE(REFERENCE_COUNTER) | FEATURE(HYPERCALL) | FEATURE(VP_INDEX) |              \
		FEATURE(REFERENCE_TSC) | FEATURE(FREQUENCY) | FEATURE(TB_FLUSH))
/* They end in interrupts, so in a local APIC. */
#define LAPIC_FEATURES                                                                             \
	(FEATURE(SYNIC) | FEATURE(SYNTHETIC_TIMERS) | FEATURE(INTR_CTRL) | FEATURE(GUEST_IDLE) |   \
		FEATURE(DIRECT_TIMERS) | FEATURE(CLUSTER_IPI))

/* What a hypervisor offers that does not say what it offers: what all of them have. */
#define FEATURES_OF_OLD                                                                            \
	(FEATURE(HYPERVISOR_PRESENT) | FEATURE(HV1) | FEATURE(REFERENCE_COUNTER) |                 \
		FEATURE(HYPERCALL) | FEATURE(VP_INDEX) | FEATURE(FREQUENCY))

static u64 features(struct mshv *m, bool lapics)
{
	const struct hv_get_property_ex in = {
		.code = HV_PROPERTY_ASSIGNABLE_SYNTHETIC_PROC_FEATURES};
	union {
		struct hv_property_bank bank;
		u8 bytes[HV_PROPERTY_EX_BYTES];
	} out = {.bank.count = 0};
	struct mshv_root_hvcall call = {.code = HVCALL_GET_PARTITION_PROPERTY_EX,
		.in_sz = sizeof(in),
		.out_sz = sizeof(out),
		.in_ptr = (u64)(uintptr_t)&in,
		.out_ptr = (u64)(uintptr_t)&out};
	struct refusal unsaid;
	const bool told = hvcall(m, m->fd, &call, &unsaid) >= 0 && out.bank.count;

	return (FEATURES | (lapics ? LAPIC_FEATURES : 0)) &
	       (told ? out.bank.mask[0] : FEATURES_OF_OLD);
}

static long set_up(struct mshv *m, int fd, bool lapics, struct refusal *why)
{
	long r = property_set(m, fd, HV_PROPERTY_SYNTHETIC_PROC_FEATURES, features(m, lapics), why);

	return r < 0 ? r : mshv_ioctl(m, fd, MSHV_INITIALIZE_PARTITION, NULL, why);
}

long partition_open(struct mshv *m, bool lapics, struct refusal *why)
{
	const struct mshv_create_partition create = {
		.pt_flags = BIT(MSHV_PT_BIT_GPA_SUPER_PAGES) |
			    (lapics ? BIT(MSHV_PT_BIT_LAPIC) | BIT(MSHV_PT_BIT_X2APIC) : 0)};
	long fd = mshv_ioctl(m, m->fd, MSHV_CREATE_PARTITION, &create, why), r;

	if (fd < 0)
		return fd;
	r = set_up(m, (int)fd, lapics, why);
	if (r >= 0)
		return fd;
	m->port->close_fd(m->port_state, (int)fd);
	return r;
}

long partition_ensure(struct partition *p, struct refusal *why)
{
	long fd;

	pthread_mutex_lock(&p->lock);
	fd = p->fd;
	if (fd < 0) {
		fd = partition_open(p->mshv, p->lapics, why);
		if (fd >= 0)
			p->fd = (int)fd;
	}
	pthread_mutex_unlock(&p->lock);
	return MIN(fd, 0);
}

void partition_drop(struct partition *p)
{
	if (p->fd >= 0)
		p->mshv->port->close_fd(p->mshv->port_state, p->fd);
	p->fd = -1;
}

/* Not every hypervisor shows it; then registers are asked for. */
static struct hv_register_page *map_registers(int fd)
{
	void *page = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		MSHV_VP_MMAP_OFFSET_REGISTERS * (off_t)PAGE_SIZE);

	return page == MAP_FAILED ? NULL : page;
}

long vp_open(struct mshv *m, int partition, struct vp *v, struct refusal *why)
{
	const struct mshv_create_vp create = {.vp_index = v->index};
	long fd = mshv_ioctl(m, partition, MSHV_CREATE_VP, &create, why);

	if (fd < 0)
		return fd;
	v->fd = (int)fd;
	v->page = map_registers(v->fd);
	return 0;
}

void vp_close(struct mshv *m, struct vp *v)
{
	if (v->page)
		munmap(v->page, PAGE_SIZE);
	m->port->close_fd(m->port_state, v->fd);
}
