/* SPDX-License-Identifier: MIT */
/* A machine with as many vcpus as wanted, whose posted events can be counted, and a bit of guest memory. */
#ifndef TESTS_IRQ_WORLD_H
#define TESTS_IRQ_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "engine/irq/lapic.h"

#define APIC_PAGE 0xfee00000ull

extern struct machine *world;
extern struct vcpu *cpu0;  /* world->vcpus[0] */
extern u8 world_ram[8192]; /* guest-physical 0 */

void world_create(enum irqchip_mode mode, unsigned vcpus);
void world_destroy(void);
struct vcpu *world_vcpu(unsigned i);
unsigned world_posts(struct vcpu *v); /* events posted since the last call */

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
