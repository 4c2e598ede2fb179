/* SPDX-License-Identifier: MIT */
/*
 * The door's second half: interrupt controllers, routing, event descriptors, clocks.
 * Included by engine.h. Calls may come from any thread at any time unless they say otherwise.
 */
#ifndef ENGINE_IRQCHIP_H
#define ENGINE_IRQCHIP_H

#include "base/types.h"
#include "chips/ioapic.h"
#include "chips/pic.h"
#include "chips/pit.h"

struct machine;
struct vcpu;

enum irqchip_mode {
	IRQCHIP_NONE,
	IRQCHIP_FULL /* PIC pair, IOAPIC, LAPICs */,
	IRQCHIP_SPLIT /* LAPICs only */
};

/* Before any vcpu. -EEXIST a chip exists, -EINVAL a vcpu exists. FULL installs the default routing. */
int machine_create_irqchip(struct machine *m, enum irqchip_mode mode);
enum irqchip_mode machine_irqchip(const struct machine *m);
/* Needs IRQCHIP_FULL (-ENOENT). -EEXIST. speaker: also decode port 61h. */
int machine_create_pit(struct machine *m, bool speaker);
/* Which vcpu id starts RUNNABLE with the BSP bit. Before any vcpu, else -EBUSY. */
int machine_set_boot_cpu(struct machine *m, u32 id);

/* Drive a GSI. Returns > 0 delivered, 0 coalesced or masked, -1 not routed (KVM_IRQ_LINE_STATUS). */
int irq_line(struct machine *m, u32 gsi, bool level);
struct msi {
	u64 address;
	u32 data;
};
/* Returns > 0 delivered to that many, 0 blocked, -errno. */
int irq_msi(struct machine *m, const struct msi *msi);

#define IRQ_GSI_MAX    4096
#define IRQ_ROUTES_MAX 4096

struct irq_route {
	u32 gsi;
	bool is_msi, is_hv_sint;
	union {
		struct {
			u8 chip; /* 0 PIC master, 1 slave, 2 IOAPIC */
			u8 pin;
		} chip;
		struct msi msi;
		struct {
			u32 vp_index, sint;
		} hv_sint;
	};
};
/* Replaces the whole table. */
int irq_set_routing(struct machine *m, const struct irq_route *routes, unsigned n);

/*
 * irqfd: each write to fd pulses gsi (or, with resample_fd >= 0, raises it until the guest's EOI, which
 * signals resample_fd). -EBUSY the fd is in use, -EINVAL not an eventfd, -EBADF. The fd may be closed later.
 */
int irqfd_assign(struct machine *m, int fd, u32 gsi, int resample_fd);
int irqfd_deassign(struct machine *m, int fd, u32 gsi); /* unknown: 0 */

/* ioeventfd: a guest write of len bytes (0: any) at addr, equal to match if match is set, signals fd instead of exiting. */
struct ioeventfd_config {
	u64 addr;
	u32 len; /* 0, 1, 2, 4, 8 */
	int fd;
	bool pio, has_match;
	u64 match;
};
int ioeventfd_assign(struct machine *m, const struct ioeventfd_config *c);   /* -EEXIST */
int ioeventfd_deassign(struct machine *m, const struct ioeventfd_config *c); /* -ENOENT */

/* Chip state in the layouts of the hardware: the plain data structs of chips/. */
int machine_get_pic(struct machine *m, unsigned which, struct pic_state *ret); /* -ENXIO no chip */
int machine_set_pic(struct machine *m, unsigned which, const struct pic_state *s);
int machine_get_ioapic(struct machine *m, struct ioapic_state *ret);
int machine_set_ioapic(struct machine *m, const struct ioapic_state *s);
int machine_get_pit(struct machine *m, struct pit_state *ret);
int machine_set_pit(struct machine *m, const struct pit_state *s);
/* Deliver ticks that the guest was too late for afterwards (the default), or drop them. -ENXIO no chip. */
int machine_set_pit_reinject(struct machine *m, bool on);
/* Register page of a vcpu's LAPIC, 1024 bytes, registers at their xAPIC offsets. The vcpu must not run. -EINVAL none. */
int vcpu_get_lapic(struct vcpu *v, u8 ret[1024]);
int vcpu_set_lapic(struct vcpu *v, const u8 regs[1024]);
/* Leave with EXIT_TPR_ACCESS after each access of the guest to the TPR by memory. */
void vcpu_report_tpr(struct vcpu *v, bool on);
/* Four bytes of guest memory that show the TPR, and set it (0: none). -EINVAL no LAPIC, no RAM. Not while the vcpu runs. */
int vcpu_set_vapic(struct vcpu *v, u64 gpa);
/*
 * ids32: MSI routes and the register page carry 32-bit x2APIC ids (KVM_X2APIC_API_USE_32BIT_IDS).
 * no_quirk: 0xff addresses one APIC in x2APIC mode, not all (KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK).
 */
void machine_set_x2apic_api(struct machine *m, bool ids32, bool no_quirk);
/* Nanoseconds per tick of the APIC timer before its divider; 1 by default. -EINVAL: 0, or a vcpu exists. */
int machine_set_apic_bus_ns(struct machine *m, u32 ns);

/* Machine clock in ns (kvmclock). */
u64 machine_get_clock(struct machine *m);
void machine_set_clock(struct machine *m, u64 ns);
/* The same at one point of time: clock, host TSC and CLOCK_REALTIME, the latter two may be NULL. */
u64 machine_get_clock_at(struct machine *m, u64 *ret_host_tsc, u64 *ret_realtime);
/* Tell the guest through its kvmclock page that it was stopped. -EINVAL no such page. Not while the vcpu runs. */
int vcpu_clock_stopped(struct vcpu *v);
/* What is added to the host's TSC to make the guest's. Not while the vcpu runs. */
s64 vcpu_tsc_offset(const struct vcpu *v);
void vcpu_set_tsc_offset(struct vcpu *v, s64 offset);
/*
 * The TSC's frequency; 0 means the host's. What is within 250 ppm of that runs at the host's, all others cost the guest time
 * at each look at its TSC. -EINVAL: out of TSC_KHZ_MAX. The first: of vcpus that are made from now on.
 */
#define TSC_KHZ_MAX 0x7fffffffu
int machine_set_tsc_khz(struct machine *m, u32 khz);
u32 machine_tsc_khz(struct machine *m);
u32 vcpu_tsc_khz(struct vcpu *v);
int vcpu_set_tsc_khz(struct vcpu *v, u32 khz);

#endif
