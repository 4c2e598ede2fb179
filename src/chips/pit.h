/* SPDX-License-Identifier: MIT */
/*
 * 8254 interval timer with the glue of a PC: channel 2's gate and output on port 61h.
 *
 * A pure model: time comes as an argument (ns, any monotonic clock), nothing is called back.
 * Whoever wires OUT of channel 0 to IRQ 0 asks pit_irq0_edges() and pit_irq0_next() after each write.
 */
#ifndef CHIPS_PIT_H
#define CHIPS_PIT_H

#include "base/types.h"

#define PIT_HZ 1193182

struct pit_channel_state {
	u32 count; /* 65536 for 0 */
	u16 latched_count;
	u8 count_latched, status_latched, status, read_state, write_state, write_latch, rw_mode,
		mode, bcd, gate;
	s64 count_load_time; /* ns, host's monotonic clock */
};

#define PIT_FLAG_HPET_LEGACY BIT(0) /* IRQ 0 belongs to an HPET */
#define PIT_FLAG_SPEAKER     BIT(1)

struct pit_state {
	struct pit_channel_state channels[3];
	u32 flags;
};

struct pit {
	struct pit_state s;
	s64 gate_low_since[3]; /* while gate is 0 */
	bool waiting[3];       /* a control word came, its count did not: nothing runs */
};

void pit_reset(struct pit *p, s64 now);
u8 pit_read(struct pit *p, u16 port, s64 now); /* 40h-43h */
/* True if channel 0 was (re)started: the times of its edges have changed. */
bool pit_write(struct pit *p, u16 port, u8 value, s64 now);
u8 pit_read_61(const struct pit *p, s64 now);
void pit_write_61(struct pit *p, u8 value, s64 now);
bool pit_out(const struct pit *p, unsigned channel, s64 now);
/* Number of rising edges of OUT0 since it was started. */
u64 pit_irq0_edges(const struct pit *p, s64 now);
/* Time of the next rising edge of OUT0 after now, or -1. */
s64 pit_irq0_next(const struct pit *p, s64 now);
s64 pit_irq0_period(const struct pit *p); /* ns; 0 if OUT0 is not periodic */
/* All channels start again at now with the counts of s. */
void pit_set_state(struct pit *p, const struct pit_state *s, s64 now);

#endif
