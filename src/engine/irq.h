/* SPDX-License-Identifier: MIT */
/*
 * The door's second half: interrupt controllers, routing, event descriptors, clocks.
 * Included by engine.h. Calls may come from any thread at any time unless they say otherwise.
 */
#ifndef ENGINE_IRQ_H
#define ENGINE_IRQ_H

#include "base/types.h"

struct machine;
struct vcpu;

enum irqchip_mode { IRQCHIP_NONE, IRQCHIP_FULL /* PIC pair, IOAPIC, LAPICs */, IRQCHIP_SPLIT /* LAPICs only */ };

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
	bool is_msi;
	union {
		struct {
			u8 chip; /* 0 PIC master, 1 slave, 2 IOAPIC */
			u8 pin;
		} chip;
		struct msi msi;
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
int ioeventfd_assign(struct machine *m, const struct ioeventfd_config *c); /* -EEXIST */
int ioeventfd_deassign(struct machine *m, const struct ioeventfd_config *c); /* -ENOENT */

/* Chip state in the layouts of the hardware; one struct a chip, plain data. */
struct pic_state {
	u8 last_irr, irr, imr, isr, priority_add, irq_base, read_reg_select, poll, special_mask, init_state,
		auto_eoi, rotate_on_auto_eoi, special_fully_nested_mode, init4, elcr, elcr_mask;
};
#define IOAPIC_PINS 24
struct ioapic_state {
	u64 base_address;
	u32 ioregsel, id, irr;
	u64 redirtbl[IOAPIC_PINS];
};
struct pit_channel_state {
	u32 count; /* 65536 for 0 */
	u16 latched_count;
	u8 count_latched, status_latched, status, read_state, write_state, write_latch, rw_mode, mode, bcd, gate;
	s64 count_load_time; /* ns, machine clock */
};
struct pit_state {
	struct pit_channel_state channels[3];
	u32 flags;
};
int machine_get_pic(struct machine *m, unsigned which, struct pic_state *ret); /* -ENXIO no chip */
int machine_set_pic(struct machine *m, unsigned which, const struct pic_state *s);
int machine_get_ioapic(struct machine *m, struct ioapic_state *ret);
int machine_set_ioapic(struct machine *m, const struct ioapic_state *s);
int machine_get_pit(struct machine *m, struct pit_state *ret);
int machine_set_pit(struct machine *m, const struct pit_state *s);
/* Register page of a vcpu's LAPIC, 1024 bytes, registers at their xAPIC offsets. The vcpu must not run. -EINVAL none. */
int vcpu_get_lapic(struct vcpu *v, u8 ret[1024]);
int vcpu_set_lapic(struct vcpu *v, const u8 regs[1024]);

/* Machine clock in ns (kvmclock). */
u64 machine_get_clock(struct machine *m);
void machine_set_clock(struct machine *m, u64 ns);
u32 vcpu_tsc_khz(struct vcpu *v);
int vcpu_set_tsc_khz(struct vcpu *v, u32 khz); /* only the host's frequency (within 250 ppm) or 0; else -EINVAL */

#endif
