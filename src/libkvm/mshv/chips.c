/* SPDX-License-Identifier: MIT */
/* PIC and IOAPIC: lines in, interrupts out, their registers, and their state for the program. */
#include <errno.h>
#include <string.h>

#include "libkvm/mshv/mshv.h"

_Static_assert(
	sizeof(struct pic_state) == sizeof(struct kvm_pic_state) &&
		offsetof(struct pic_state, elcr_mask) == offsetof(struct kvm_pic_state, elcr_mask),
	"the PIC's state passes through");
_Static_assert(IOAPIC_PINS == KVM_IOAPIC_NUM_PINS, "the IOAPIC's pins are the same");

/* ---- out ---- */

static void assert_interrupt(struct partition *p, const struct hv_assert_interrupt *interrupt)
{
	struct refusal unsaid;

	hvcall_in(p->mshv, p->fd, HVCALL_ASSERT_VIRTUAL_INTERRUPT, interrupt, sizeof(*interrupt),
		&unsaid);
}

/*
 * The vector is needed at once: the hypervisor has no cycle in which it would ask for it. One at a time: a line that
 * stays up in automatic end-of-interrupt mode requests without end.
 */
static void deliver_pic(struct partition *p)
{
	if (p->chips.pic.output)
		assert_interrupt(p, &(struct hv_assert_interrupt){.type = HV_INTERRUPT_EXTINT,
					    .vector = pic_intack(&p->chips.pic)});
	atomic_store(&p->chips.pic_waits, p->chips.pic.output);
}

static void pic_changed(struct partition *p)
{
	atomic_store(&p->chips.pic_waits, p->chips.pic.output);
	if (p->chips.pic.output && atomic_load(&p->chips.runs))
		deliver_pic(p);
}

/* Either this sees what waits, or who makes it wait sees that the processor runs. */
void chips_run_begins(struct partition *p)
{
	atomic_store(&p->chips.runs, true);
	if (likely(!atomic_load(&p->chips.pic_waits)))
		return;
	pthread_mutex_lock(&p->chips.lock);
	deliver_pic(p);
	pthread_mutex_unlock(&p->chips.lock);
}

void chips_run_ends(struct partition *p)
{
	atomic_store(&p->chips.runs, false);
}

/* What becomes of it the hypervisor does not say. */
static int deliver_ioapic(void *opaque, u64 entry)
{
	const struct hv_assert_interrupt interrupt = {
		.type = RTE_DELIVERY(entry),
		.control = (entry & RTE_LEVEL ? HV_INTERRUPT_LEVEL : 0) |
			   (entry & RTE_LOGICAL ? HV_INTERRUPT_LOGICAL : 0),
		.dest = RTE_DEST(entry),
		.vector = RTE_VECTOR(entry),
	};

	assert_interrupt(opaque, &interrupt);
	return 1;
}

/* ---- in ---- */

/* As KVM routes them: GSIs below 16 are inputs of both, the rest of the IOAPIC alone. */
void chips_line(struct partition *p, u32 gsi, bool level)
{
	if (gsi < 16)
		pic_set_irq(&p->chips.pic, gsi, level);
	if (gsi < IOAPIC_PINS)
		ioapic_set_irq(&p->chips.ioapic, gsi, level);
	pic_changed(p);
}

static bool byte_port(struct partition *p, u16 port, bool out, u8 *value)
{
	struct chips *c = &p->chips;
	bool mine = out ? pic_write(&c->pic, port, *value) : pic_read(&c->pic, port, value);

	pic_changed(p);
	return mine || (c->has_pit && pit_port(c, port, out, value));
}

bool chips_port(struct partition *p, u16 port, bool out, unsigned size, u8 *data)
{
	bool mine;

	if (!p->chips.present || size != 1)
		return false;
	pthread_mutex_lock(&p->chips.lock);
	mine = byte_port(p, port, out, data);
	pthread_mutex_unlock(&p->chips.lock);
	return mine;
}

/* Registers have 32 bits. */
bool chips_mmio(struct partition *p, struct emu_piece *piece, bool write)
{
	const u32 offset = (u32)(piece->gpa - IOAPIC_BASE);

	if (!p->chips.present || piece->gpa - IOAPIC_BASE >= IOAPIC_WINDOW)
		return false;
	pthread_mutex_lock(&p->chips.lock);
	if (write)
		ioapic_write(&p->chips.ioapic, offset, (u32)piece->value);
	else
		piece->value = ioapic_read(&p->chips.ioapic, offset);
	pthread_mutex_unlock(&p->chips.lock);
	return true;
}

void chips_eoi(struct partition *p, u32 vector)
{
	pthread_mutex_lock(&p->chips.lock);
	if (p->chips.present)
		ioapic_eoi(&p->chips.ioapic, (u8)vector);
	pthread_mutex_unlock(&p->chips.lock);
}

/* ---- made and gone ---- */

void chips_init(struct partition *p)
{
	struct chips *c = &p->chips;
	pthread_condattr_t attr;

	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC); /* the PIT's */
	pthread_cond_init(&c->changed, &attr);
	pthread_condattr_destroy(&attr);
}

void chips_create(struct partition *p)
{
	struct chips *c = &p->chips;

	c->pic.opaque = c->ioapic.opaque = p;
	c->ioapic.deliver = deliver_ioapic;
	pic_reset(&c->pic);
	ioapic_reset(&c->ioapic);
	c->present = true;
}

void chips_destroy(struct partition *p)
{
	if (p->chips.has_pit)
		ticker_stop(p);
	pthread_cond_destroy(&p->chips.changed);
	pthread_mutex_destroy(&p->chips.lock);
}

/* ---- requests ---- */

static long no_chips(struct ask *c)
{
	return refuse(c->why, -ENXIO, "there is no irqchip");
}

long serve_irq_line(struct ask *c)
{
	const struct kvm_irq_level *k = c->arg;

	if (!c->p->chips.present)
		return no_chips(c);
	pthread_mutex_lock(&c->p->chips.lock);
	chips_line(c->p, k->irq, k->level);
	pthread_mutex_unlock(&c->p->chips.lock);
	return 0;
}

static void get_ioapic(struct partition *p, struct kvm_ioapic_state *k)
{
	struct ioapic_state s;

	ioapic_get_state(&p->chips.ioapic, &s);
	k->base_address = s.base_address;
	k->ioregsel = s.ioregsel;
	k->id = s.id;
	k->irr = s.irr;
	for (unsigned i = 0; i < IOAPIC_PINS; i++)
		k->redirtbl[i].bits = s.redirtbl[i];
}

static void set_ioapic(struct partition *p, const struct kvm_ioapic_state *k)
{
	struct ioapic_state s = {k->base_address, k->ioregsel, k->id, k->irr, {0}};

	for (unsigned i = 0; i < IOAPIC_PINS; i++)
		s.redirtbl[i] = k->redirtbl[i].bits;
	ioapic_set_state(&p->chips.ioapic, &s);
}

static void get_chip(struct partition *p, struct kvm_irqchip *k)
{
	if (k->chip_id == KVM_IRQCHIP_IOAPIC)
		get_ioapic(p, &k->chip.ioapic);
	else
		memcpy(&k->chip.pic, &p->chips.pic.chip[k->chip_id], sizeof(k->chip.pic));
}

static void set_chip(struct partition *p, const struct kvm_irqchip *k)
{
	struct pic_state pic;

	if (k->chip_id == KVM_IRQCHIP_IOAPIC) {
		set_ioapic(p, &k->chip.ioapic);
		return;
	}
	memcpy(&pic, &k->chip.pic, sizeof(pic));
	pic_set_state(&p->chips.pic, k->chip_id, &pic);
	pic_changed(p);
}

static long chip_check(struct ask *c)
{
	const struct kvm_irqchip *k = c->arg;

	if (!c->p->chips.present)
		return no_chips(c);
	if (k->chip_id > KVM_IRQCHIP_IOAPIC)
		return refuse(c->why, -EINVAL, "chip_id %lu: the PICs are 0 and 1, the IOAPIC is 2",
			(u64)k->chip_id);
	return 0;
}

long serve_get_irqchip(struct ask *c)
{
	long r = chip_check(c);

	if (r < 0)
		return r;
	pthread_mutex_lock(&c->p->chips.lock);
	get_chip(c->p, c->arg);
	pthread_mutex_unlock(&c->p->chips.lock);
	return 0;
}

long serve_set_irqchip(struct ask *c)
{
	long r = chip_check(c);

	if (r < 0)
		return r;
	pthread_mutex_lock(&c->p->chips.lock);
	set_chip(c->p, c->arg);
	pthread_mutex_unlock(&c->p->chips.lock);
	return 0;
}
