/* SPDX-License-Identifier: MIT */
/*
 * A world whose vcpus do not run: the test does to the devices what the loop of a running vcpu would, by the
 * same functions. What it is told is seen by posts.h.
 */
#ifndef TESTS_UNIT_WORLD_DEVICES_H
#define TESTS_UNIT_WORLD_DEVICES_H

#include "world.h"
#include "engine/irq/lapic.h"

#define APIC_PAGE 0xfee00000ull

extern struct machine *world;
extern struct vcpu *cpu0;
extern u8 *world_ram; /* guest-physical 0, RAM_BYTES */

void world_create(enum irqchip_mode mode, unsigned vcpus);
void world_destroy(void);
struct vcpu *world_vcpu(unsigned i);

void apic_write(struct vcpu *v, enum lapic_reg r, u32 value);
u32 apic_read(struct vcpu *v, enum lapic_reg r);
void apic_enable(struct vcpu *v);
void x2apic_enable(struct vcpu *v);
void x2_write(struct vcpu *v, enum lapic_reg r, u64 value);
u64 x2_read(struct vcpu *v, enum lapic_reg r);
int msi_send(u8 dest, bool logical, u8 vector, unsigned delivery, bool level);
void io_write(u32 reg, u32 value); /* IOAPIC */
u32 io_read(u32 reg);
void port_write(u16 port, u8 value);
u8 port_read(u16 port);
void pic_program(void); /* bases 20h and 28h, nothing masked */
void nap_us(unsigned us);
/* What the loop of KVM_RUN does: timers that are due, then irq_pending(). */
int served_pending(struct vcpu *v);
/* Wait until that is >= 0; false after a minute. */
bool wait_pending(struct vcpu *v);

#endif
