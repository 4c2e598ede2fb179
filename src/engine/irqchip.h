/* SPDX-License-Identifier: MIT */
/*
 * The second part of the engine's interface: interrupt controllers, routing, event descriptors, clocks. engine.h
 * includes this file. Calls may come from any thread at any time unless their comments say otherwise.
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

/* Call this before any vcpu exists. -EEXIST: a chip exists; -EINVAL: a vcpu exists. FULL sets the default routing. */
int machine_create_irqchip(struct machine *m, enum irqchip_mode mode);
enum irqchip_mode machine_irqchip(const struct machine *m);
/* The machine must be IRQCHIP_FULL (-ENOENT). -EEXIST: there is a PIT. speaker: also decode port 61h. */
int machine_create_pit(struct machine *m, bool speaker);
/* Set the id of the vcpu that starts RUNNABLE with the BSP bit. -EBUSY if a vcpu exists. */
int machine_set_boot_cpu(struct machine *m, u32 id);

/* Drive a GSI. Returns > 0: delivered, 0: coalesced or masked, -1: not routed (KVM_IRQ_LINE_STATUS). */
int irq_line(struct machine *m, u32 gsi, bool level);
struct msi {
	u64 address;
	u32 data;
};
/* Returns the number of vcpus that received the MSI, 0 if it was blocked, or -errno. */
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
 * irqfd: each write to fd pulses gsi. With resample_fd >= 0, the write raises gsi until the guest's EOI, which signals
 * resample_fd; with OPT_INTERCEPTS it sends the message of gsi, and the EOI of that vector signals resample_fd and is no
 * exit. -EBUSY: fd is in use; -EINVAL: it is not an eventfd; -EBADF. The fd may be closed later.
 */
int irqfd_assign(struct machine *m, int fd, u32 gsi, int resample_fd);
int irqfd_deassign(struct machine *m, int fd, u32 gsi); /* 0 also if there is no such irqfd */
void irqfd_deassign_all(struct machine *m);

/*
 * ioeventfd: a guest write of len bytes (0: any length) at addr signals fd instead of exiting. If has_match is set,
 * only a write of the value match does so.
 */
struct ioeventfd_config {
	u64 addr;
	u32 len; /* 0, 1, 2, 4, 8 */
	int fd;
	bool pio, has_match;
	u64 match;
};
int ioeventfd_assign(struct machine *m, const struct ioeventfd_config *c);   /* -EEXIST */
int ioeventfd_deassign(struct machine *m, const struct ioeventfd_config *c); /* -ENOENT */
void ioeventfd_deassign_all(struct machine *m);

/* Own descriptor of the eventfd behind fd, or -EBADF, -EINVAL; it is kept (base/fd.h). And a write to one. */
int eventfd_hold(int fd);
void eventfd_signal(int fd);

/* State of the chips, as the plain structures of chips/, which have the layouts of the hardware. */
int machine_get_pic(struct machine *m, unsigned which, struct pic_state *ret); /* -ENXIO no chip */
int machine_set_pic(struct machine *m, unsigned which, const struct pic_state *s);
int machine_get_ioapic(struct machine *m, struct ioapic_state *ret);
int machine_set_ioapic(struct machine *m, const struct ioapic_state *s);
int machine_get_pit(struct machine *m, struct pit_state *ret);
int machine_set_pit(struct machine *m, const struct pit_state *s);
/* If the guest was too late for ticks, deliver them afterwards (the default) or drop them. -ENXIO: there is no PIT. */
int machine_set_pit_reinject(struct machine *m, bool on);
/*
 * The register page of a vcpu's LAPIC: 1024 bytes, with the registers at their xAPIC offsets. The vcpu must not run.
 * -EINVAL: there is no LAPIC.
 */
int vcpu_get_lapic(struct vcpu *v, u8 ret[1024]);
int vcpu_set_lapic(struct vcpu *v, const u8 regs[1024]);
/*
 * The APIC id that RESET and a switch of the mode give to a vcpu; at first vcpu_id(). Setting it gives it to the local APIC at
 * once. CPUID is the caller's. The vcpu must not run.
 */
u32 vcpu_apic_id(const struct vcpu *v);
void vcpu_set_apic_id(struct vcpu *v, u32 id);
/* Exit with EXIT_TPR_ACCESS after each access of the guest to the TPR through memory. */
void vcpu_report_tpr(struct vcpu *v, bool on);
/*
 * Set the address of four bytes of guest memory through which the guest reads and writes the TPR (0: none). The vcpu
 * must not run. -EINVAL: there is no LAPIC, or no RAM at gpa.
 */
int vcpu_set_vapic(struct vcpu *v, u64 gpa);
/*
 * ids32: MSI routes and the register page contain 32-bit x2APIC ids (KVM_X2APIC_API_USE_32BIT_IDS).
 * no_quirk: in x2APIC mode 0xff addresses one APIC, not all (KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK).
 */
void machine_set_x2apic_api(struct machine *m, bool ids32, bool no_quirk);
/* Set the nanoseconds of an APIC timer tick before its divider. The default is 1. -EINVAL: 0, or a vcpu exists. */
int machine_set_apic_bus_ns(struct machine *m, u32 ns);

/* The machine's clock in ns (kvmclock). */
u64 machine_get_clock(struct machine *m);
void machine_set_clock(struct machine *m, u64 ns);
/*
 * Stop the machine's time, or let it go on: the clock, the TSCs as they are read, the timers that guests have set. What is
 * set while time is frozen is the value with which it goes on. No vcpu may execute guest code while time is frozen;
 * vcpus may be in vcpu_run() and sleep. No effect if time is in that state already.
 */
void machine_freeze_time(struct machine *m, bool frozen);
/* The clock, the host's TSC and CLOCK_REALTIME at one moment. The latter two may be NULL. */
u64 machine_get_clock_at(struct machine *m, u64 *ret_host_tsc, u64 *ret_realtime);
/*
 * Tell the guest through its kvmclock page that it was stopped. The vcpu must not run. -EINVAL: there is no such page.
 */
int vcpu_clock_stopped(struct vcpu *v);
/* The number that is added to the host's TSC to make the guest's. The vcpu must not run. */
s64 vcpu_tsc_offset(const struct vcpu *v);
void vcpu_set_tsc_offset(struct vcpu *v, s64 offset);
/*
 * The frequency of the TSC; 0 means the host's. A frequency within 250 ppm of the host's runs at the host's. With any
 * other, each read of the TSC costs the guest time. machine_set_tsc_khz() is for vcpus that are created later. -EINVAL:
 * TSC_KHZ_MAX or above.
 */
#define TSC_KHZ_MAX 0x7fffffffu
int machine_set_tsc_khz(struct machine *m, u32 khz);
u32 machine_tsc_khz(struct machine *m);
u32 vcpu_tsc_khz(struct vcpu *v);
int vcpu_set_tsc_khz(struct vcpu *v, u32 khz);

#endif
