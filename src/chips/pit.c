/* SPDX-License-Identifier: MIT */
/*
 * 8254, after the Intel data sheet (order number 231164). Counters are not stepped: value and
 * output are functions of the time since the count was loaded.
 */
#include "chips/pit.h"

#define NS_PER_SEC 1000000000ll

/* Order of the bytes of a count; both for read_state, write_state and count_latched. */
enum { RW_LSB = 1, RW_MSB = 2, RW_WORD0 = 3, RW_WORD1 = 4 };

#define MODE_NONE 0xff /* after reset */

static u64 ns_to_ticks(s64 ns)
{
	return ns < 0 ? 0 : (u64)((unsigned __int128)ns * PIT_HZ / NS_PER_SEC);
}

/* Rounded up, so that ns_to_ticks(ticks_to_ns(t)) == t. */
static s64 ticks_to_ns(u64 ticks)
{
	return (s64)(((unsigned __int128)ticks * NS_PER_SEC + PIT_HZ - 1) / PIT_HZ);
}

static bool gate_stops(unsigned mode)
{
	return mode != 1 && mode != 5;
}

static u64 ticks_since_load(const struct pit *p, unsigned ch, s64 now)
{
	const struct pit_channel_state *c = &p->s.channels[ch];

	if (p->waiting[ch])
		return 0;
	if (!c->gate && gate_stops(c->mode))
		now = p->gate_low_since[ch];
	return ns_to_ticks(now - c->count_load_time);
}

/* Modes 1 and 5 wait for a rising gate, which is marked by a load time that is not 0. */
static bool triggered(const struct pit_channel_state *c)
{
	return gate_stops(c->mode) || c->count_load_time != 0;
}

bool pit_out(const struct pit *p, unsigned channel, s64 now)
{
	const struct pit_channel_state *c = &p->s.channels[channel];
	u64 t = ticks_since_load(p, channel, now);

	switch (c->mode) {
	case 0: return t >= c->count;
	case 1: return !triggered(c) || t >= c->count;
	case 2: return !c->gate || t % c->count != c->count - 1;
	case 3: return !c->gate || t % c->count < (c->count + 1) / 2;
	default: return !triggered(c) || t != c->count;
	}
}

static u16 to_bcd(u32 v)
{
	return v % 10 | v / 10 % 10 << 4 | v / 100 % 10 << 8 | v / 1000 % 10 << 12;
}

static u32 from_bcd(u16 v)
{
	return (v & 15) + (v >> 4 & 15) * 10 + (v >> 8 & 15) * 100 + (v >> 12) * 1000;
}

static u16 current_count(const struct pit *p, unsigned ch, s64 now)
{
	const struct pit_channel_state *c = &p->s.channels[ch];
	u32 modulus = c->bcd ? 10000 : 65536, value;
	u64 t = triggered(c) ? ticks_since_load(p, ch, now) : 0;

	if (c->mode == 2)
		value = c->count - t % c->count;
	else if (c->mode == 3) /* counts down by two, twice a period */
		value = c->count - 2 * t % c->count;
	else /* goes on below zero */
		value = (c->count + modulus - t % modulus) % modulus;
	return c->bcd ? to_bcd(value % 10000) : (u16)value;
}

static void load(struct pit *p, unsigned ch, u16 value, s64 now)
{
	struct pit_channel_state *c = &p->s.channels[ch];

	c->count = c->bcd ? from_bcd(value) : value;
	if (!c->count)
		c->count = c->bcd ? 10000 : 65536;
	c->count_load_time = gate_stops(c->mode) ? now : 0;
	p->gate_low_since[ch] = now;
	p->waiting[ch] = false;
}

static void latch_count(struct pit *p, unsigned ch, s64 now)
{
	struct pit_channel_state *c = &p->s.channels[ch];

	if (c->count_latched)
		return;
	c->latched_count = current_count(p, ch, now);
	c->count_latched = c->rw_mode;
}

static void latch_status(struct pit *p, unsigned ch, s64 now)
{
	struct pit_channel_state *c = &p->s.channels[ch];

	if (c->status_latched)
		return;
	c->status = (u8)(pit_out(p, ch, now) << 7 | c->rw_mode << 4 | c->mode << 1 | c->bcd);
	c->status_latched = 1;
}

static void read_back(struct pit *p, u8 value, s64 now)
{
	for (unsigned ch = 0; ch < 3; ch++) {
		if (!(value & 2u << ch))
			continue;
		if (!(value & 0x20))
			latch_count(p, ch, now);
		if (!(value & 0x10))
			latch_status(p, ch, now);
	}
}

/* Returns true if this stopped channel 0. */
static bool write_control(struct pit *p, u8 value, s64 now)
{
	unsigned ch = value >> 6, rw = value >> 4 & 3;
	struct pit_channel_state *c;

	if (ch == 3) {
		read_back(p, value, now);
		return false;
	}
	c = &p->s.channels[ch];
	if (rw == 0) {
		latch_count(p, ch, now);
		return false;
	}
	c->rw_mode = c->read_state = c->write_state = rw;
	c->mode = value >> 1 & 7;
	if (c->mode > 5)
		c->mode &= 3; /* bit 2 does not matter for modes 2 and 3 */
	c->bcd = value & 1;
	c->count_latched = c->status_latched = 0;
	load(p, ch, 0, now);
	p->waiting[ch] = true;
	return ch == 0;
}

bool pit_write(struct pit *p, u16 port, u8 value, s64 now)
{
	unsigned ch = port & 3;
	struct pit_channel_state *c = &p->s.channels[ch];

	if (ch == 3)
		return write_control(p, value, now);
	switch (c->write_state) {
	case RW_LSB: load(p, ch, value, now); break;
	case RW_MSB: load(p, ch, (u16)(value << 8), now); break;
	case RW_WORD0:
		c->write_latch = value;
		c->write_state = RW_WORD1;
		return false;
	default:
		load(p, ch, (u16)(c->write_latch | value << 8), now);
		c->write_state = RW_WORD0;
		break;
	}
	return ch == 0;
}

static u8 read_latched(struct pit_channel_state *c)
{
	u8 low = (u8)c->latched_count, high = c->latched_count >> 8;

	if (c->count_latched == RW_WORD0) {
		c->count_latched = RW_MSB;
		return low;
	}
	low = c->count_latched == RW_MSB ? high : low;
	c->count_latched = 0;
	return low;
}

u8 pit_read(struct pit *p, u16 port, s64 now)
{
	unsigned ch = port & 3;
	struct pit_channel_state *c = &p->s.channels[ch];
	u16 count;

	if (ch == 3)
		return 0xff; /* the control word cannot be read; the bus floats */
	if (c->status_latched) {
		c->status_latched = 0;
		return c->status;
	}
	if (c->count_latched)
		return read_latched(c);
	count = current_count(p, ch, now);
	switch (c->read_state) {
	case RW_MSB: return count >> 8;
	case RW_WORD0: c->read_state = RW_WORD1; return (u8)count;
	case RW_WORD1: c->read_state = RW_WORD0; return count >> 8;
	default: return (u8)count;
	}
}

static void set_gate(struct pit *p, unsigned ch, bool gate, s64 now)
{
	struct pit_channel_state *c = &p->s.channels[ch];

	if (gate == c->gate)
		return;
	c->gate = gate;
	if (!gate)
		p->gate_low_since[ch] = now;
	else if (c->mode == 0 || c->mode == 4)
		c->count_load_time += now - p->gate_low_since[ch];
	else
		c->count_load_time = now;
}

/* Bit 4 toggles with each memory refresh, about every 15 us; old code delays with it. */
u8 pit_read_61(const struct pit *p, s64 now)
{
	return (u8)(p->s.channels[2].gate | (p->s.flags & PIT_FLAG_SPEAKER ? 2 : 0) |
		    (now >> 14 & 1) << 4 | pit_out(p, 2, now) << 5);
}

void pit_write_61(struct pit *p, u8 value, s64 now)
{
	p->s.flags &= ~PIT_FLAG_SPEAKER;
	if (value & 2)
		p->s.flags |= PIT_FLAG_SPEAKER;
	set_gate(p, 2, value & 1, now);
}

s64 pit_irq0_period(const struct pit *p)
{
	const struct pit_channel_state *c = &p->s.channels[0];

	return c->mode == 2 || c->mode == 3 ? ticks_to_ns(c->count) : 0;
}

/* Tick of the first rising edge, and whether more follow. Modes 1 and 5 are never triggered: gate 0 is tied high. */
static u64 first_edge(const struct pit *p)
{
	const struct pit_channel_state *c = &p->s.channels[0];

	if (p->waiting[0] || p->s.flags & PIT_FLAG_HPET_LEGACY)
		return 0;
	switch (c->mode) {
	case 0:
	case 2:
	case 3: return c->count;
	case 4: return (u64)c->count + 1;
	default: return 0;
	}
}

u64 pit_irq0_edges(const struct pit *p, s64 now)
{
	u64 t = ticks_since_load(p, 0, now), first = first_edge(p);

	if (!first)
		return 0;
	return pit_irq0_period(p) ? t / first : t >= first;
}

s64 pit_irq0_next(const struct pit *p, s64 now)
{
	const struct pit_channel_state *c = &p->s.channels[0];
	u64 edges = pit_irq0_edges(p, now), first = first_edge(p);

	if (!first)
		return -1;
	if (edges && !pit_irq0_period(p))
		return -1;
	return c->count_load_time + ticks_to_ns((edges + 1) * first);
}

/* Nothing runs before the first control word: the mode is none of the six. */
void pit_reset(struct pit *p, s64 now)
{
	p->s.flags = 0;
	for (unsigned ch = 0; ch < 3; ch++) {
		p->s.channels[ch] = (struct pit_channel_state){
			.mode = MODE_NONE,
			.gate = ch != 2,
			.count = 65536,
		};
		p->gate_low_since[ch] = now;
		p->waiting[ch] = false;
	}
}

void pit_set_state(struct pit *p, const struct pit_state *s, s64 now)
{
	p->s = *s;
	for (unsigned ch = 0; ch < 3; ch++) {
		struct pit_channel_state *c = &p->s.channels[ch];

		if (c->mode > 5)
			c->mode = MODE_NONE;
		c->gate &= 1;
		if (!c->count || c->count > 65536)
			c->count = 65536;
		if (gate_stops(c->mode) || c->count_load_time)
			c->count_load_time = now;
		p->gate_low_since[ch] = now;
		p->waiting[ch] = false;
	}
}
