/* SPDX-License-Identifier: MIT */
/*
 * 8259A pair. References are to the Intel 8259A data sheet (order number 231468) and, for the
 * edge/level control registers, to the 82371AB (PIIX4) data sheet, 4.2.
 *
 * The slave's INT output is wired to input 2 of the master. Each time the slave has a request to
 * show, the master sees a new edge, so requests waiting in the slave are never lost between two
 * acknowledge cycles.
 */
#include "chips/pic.h"

#define CASCADE 2

enum { INIT_DONE, INIT_ICW2, INIT_ICW3, INIT_ICW4 };
#define INIT4_ICW4   BIT(0) /* ICW4 will follow */
#define INIT4_SINGLE BIT(1) /* no ICW3 */

/* Rank of the highest-priority bit of mask, 0 highest, 8 if there is none. */
static unsigned rank(const struct pic_state *s, u8 mask)
{
	for (unsigned r = 0; r < 8; r++)
		if (mask & BIT((r + s->priority_add) & 7))
			return r;
	return 8;
}

/* The input that the chip would present now, or -1. */
static int request(const struct pic *p, unsigned which)
{
	const struct pic_state *s = &p->chip[which];
	unsigned r = rank(s, s->irr & ~s->imr);
	u8 served = s->isr;

	if (r == 8)
		return -1;
	if (s->special_mask)
		served &= ~s->imr;
	/* Special fully nested mode: the slave in service does not block further ones of it. */
	if (s->special_fully_nested_mode && which == 0)
		served &= ~BIT(CASCADE);
	return r < rank(s, served) ? (int)((r + s->priority_add) & 7) : -1;
}

static int latch(struct pic_state *s, unsigned input, bool level)
{
	u8 mask = BIT(input);
	int ret = 1;

	if (s->elcr & mask) {
		ret = level && (s->irr & mask) ? 0 : 1;
		s->irr = level ? s->irr | mask : s->irr & ~mask;
		s->last_irr = level ? s->last_irr | mask : s->last_irr & ~mask;
	} else if (level) {
		if (!(s->last_irr & mask)) {
			ret = !(s->irr & mask);
			s->irr |= mask;
		} else {
			ret = 0;
		}
		s->last_irr |= mask;
	} else {
		s->last_irr &= ~mask;
	}
	return s->imr & mask ? -1 : ret;
}

static void update(struct pic *p)
{
	bool output;

	if (request(p, 1) >= 0) {
		latch(&p->chip[0], CASCADE, true);
		latch(&p->chip[0], CASCADE, false);
	}
	output = request(p, 0) >= 0;
	if (output == p->output)
		return;
	p->output = output;
	if (p->set_output)
		p->set_output(p->opaque, output);
}

static void clear_isr(struct pic *p, unsigned which, unsigned input)
{
	if (!(p->chip[which].isr & BIT(input)))
		return;
	p->chip[which].isr &= ~BIT(input);
	if (p->ack)
		p->ack(p->opaque, which * 8 + input);
}

static void acknowledge(struct pic *p, unsigned which, unsigned input)
{
	struct pic_state *s = &p->chip[which];

	s->isr |= BIT(input);
	if (!(s->elcr & BIT(input)))
		s->irr &= ~BIT(input);
	if (!s->auto_eoi)
		return;
	if (s->rotate_on_auto_eoi)
		s->priority_add = (input + 1) & 7;
	clear_isr(p, which, input);
}

static u8 intack_slave(struct pic *p)
{
	int input = request(p, 1);

	if (input >= 0)
		acknowledge(p, 1, input);
	return p->chip[1].irq_base + (input < 0 ? 7 : input);
}

u8 pic_intack(struct pic *p)
{
	int input = request(p, 0);
	u8 vector;

	if (input == CASCADE)
		vector = intack_slave(p);
	else
		vector = p->chip[0].irq_base + (input < 0 ? 7 : input);
	/* A spurious request gets IR7's vector without an in-service bit (data sheet, "IR7"). */
	if (input >= 0)
		acknowledge(p, 0, input);
	update(p);
	return vector;
}

int pic_set_irq(struct pic *p, unsigned irq, bool level)
{
	int ret = latch(&p->chip[irq >> 3 & 1], irq & 7, level);

	update(p);
	return ret;
}

static void icw1(struct pic *p, unsigned which, u8 value)
{
	struct pic_state *s = &p->chip[which];
	u8 served = s->isr;

	s->last_irr = 0;
	s->irr &= s->elcr; /* the edge sense circuit is reset, levels are still there */
	s->imr = 0;
	s->isr = 0;
	s->priority_add = 0;
	s->special_mask = 0;
	s->read_reg_select = 0;
	s->poll = 0;
	if (!(value & 1)) {
		s->special_fully_nested_mode = 0;
		s->auto_eoi = 0;
	}
	s->init_state = INIT_ICW2;
	s->init4 = (value & 1 ? INIT4_ICW4 : 0) | (value & 2 ? INIT4_SINGLE : 0);
	for (unsigned i = 0; i < 8 && p->ack; i++)
		if (served & BIT(i))
			p->ack(p->opaque, which * 8 + i);
}

/* Input that a non-specific EOI ends: the highest in service, masked ones excepted in special mask mode. */
static int highest_served(const struct pic_state *s)
{
	unsigned r = rank(s, s->special_mask ? s->isr & ~s->imr : s->isr);

	return r == 8 ? -1 : (int)((r + s->priority_add) & 7);
}

static void ocw2(struct pic *p, unsigned which, u8 value)
{
	struct pic_state *s = &p->chip[which];
	unsigned level = value & 7;
	int input;

	switch (value >> 5) {
	case 0: /* stop rotating in automatic EOI mode */
	case 4: s->rotate_on_auto_eoi = value >> 7; break;
	case 1: /* non-specific EOI */
	case 5: /* and rotate */
		input = highest_served(s);
		if (input < 0)
			break;
		if (value & 0x80)
			s->priority_add = (input + 1) & 7;
		clear_isr(p, which, input);
		break;
	case 7: /* specific EOI and rotate */
		s->priority_add = (level + 1) & 7;
		clear_isr(p, which, level);
		break;
	case 3: clear_isr(p, which, level); break;
	case 6: s->priority_add = (level + 1) & 7; break;
	default: break; /* 2: no operation */
	}
}

static void ocw3(struct pic_state *s, u8 value)
{
	s->poll = value >> 2 & 1;
	if (value & 2)
		s->read_reg_select = value & 1;
	if (value & 0x40)
		s->special_mask = value >> 5 & 1;
}

static void write_data(struct pic_state *s, u8 value)
{
	bool icw4 = s->init4 & INIT4_ICW4;

	switch (s->init_state) {
	case INIT_DONE: s->imr = value; break;
	case INIT_ICW2:
		s->irq_base = value & 0xf8;
		s->init_state = !(s->init4 & INIT4_SINGLE) ? INIT_ICW3
				: icw4                     ? INIT_ICW4
							   : INIT_DONE;
		break;
	case INIT_ICW3: /* the wiring is fixed */
		s->init_state = icw4 ? INIT_ICW4 : INIT_DONE;
		break;
	default:
		s->special_fully_nested_mode = value >> 4 & 1;
		s->auto_eoi = value >> 1 & 1;
		s->init_state = INIT_DONE;
		break;
	}
}

bool pic_write(struct pic *p, u16 port, u8 value)
{
	unsigned which = port >> 7 & 1;

	switch (port) {
	case 0x20:
	case 0xa0:
		if (value & 0x10)
			icw1(p, which, value);
		else if (value & 8)
			ocw3(&p->chip[which], value);
		else
			ocw2(p, which, value);
		break;
	case 0x21:
	case 0xa1: write_data(&p->chip[which], value); break;
	case 0x4d0:
	case 0x4d1:
		which = port & 1;
		p->chip[which].elcr = value & p->chip[which].elcr_mask;
		break;
	default: return false;
	}
	update(p);
	return true;
}

/* A read in poll mode is an acknowledge cycle (data sheet, "Poll command"). */
static u8 poll(struct pic *p, unsigned which)
{
	int input = request(p, which);

	p->chip[which].poll = 0;
	if (input < 0)
		return 0;
	acknowledge(p, which, input);
	update(p);
	return 0x80 | input;
}

bool pic_read(struct pic *p, u16 port, u8 *ret)
{
	unsigned which = port >> 7 & 1;
	const struct pic_state *s = &p->chip[which];

	switch (port) {
	case 0x20:
	case 0xa0:
		*ret = s->poll ? poll(p, which) : s->read_reg_select ? s->isr : s->irr;
		return true;
	case 0x21:
	case 0xa1: *ret = s->poll ? poll(p, which) : s->imr; return true;
	case 0x4d0:
	case 0x4d1: *ret = p->chip[port & 1].elcr; return true;
	default: return false;
	}
}

void pic_reset(struct pic *p)
{
	p->chip[0] = (struct pic_state){.elcr_mask = 0xf8};
	p->chip[1] = (struct pic_state){.elcr_mask = 0xde};
	update(p);
}

void pic_set_state(struct pic *p, unsigned which, const struct pic_state *s)
{
	p->chip[which & 1] = *s;
	p->chip[which & 1].priority_add &= 7;
	update(p);
}
