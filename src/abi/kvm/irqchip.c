/* SPDX-License-Identifier: MIT */
/* Interrupt controllers and the PIT: creating them, driving lines, reading and writing their state. */
#include <errno.h>
#include <string.h>

#include "abi/kvm/caps.h"

long irqchip_created(struct call *c, long r)
{
	r = refuse_if(c->why, r, -EEXIST, "the VM already has an irqchip");
	return refuse_if(c->why, r, -EINVAL, AFTER_VCPUS);
}

long vm_create_irqchip(struct call *c)
{
	long ret;

	pthread_mutex_lock(&vm_of(c)->lock);
	ret = machine_create_irqchip(vm_of(c)->machine, IRQCHIP_FULL);
	pthread_mutex_unlock(&vm_of(c)->lock);
	return irqchip_created(c, ret);
}

/* ---- lines ---- */

static long drive_line(struct call *c, int *ret_status)
{
	const struct kvm_irq_level *l = c->data;

	if (!vm_has_irqchip(vm_of(c)))
		return refuse(c->why, -ENXIO, NO_IRQCHIP);
	*ret_status = irq_line(vm_of(c)->machine, l->irq, l->level);
	return 0;
}

long vm_irq_line(struct call *c)
{
	int status;

	return drive_line(c, &status);
}

/* What became of it goes over the line's number. */
long vm_irq_line_status(struct call *c)
{
	int status;
	long ret = drive_line(c, &status);

	if (!ret)
		((struct kvm_irq_level *)c->data)->status = status;
	return ret;
}

long vm_signal_msi(struct call *c)
{
	const struct kvm_msi *k = c->data;
	struct msi msi = {k->address_lo | (u64)k->address_hi << 32, k->data};
	long r;

	if (!vm_has_irqchip(vm_of(c)))
		return refuse(c->why, -EINVAL, NO_IRQCHIP);
	if (check_flags(c, k->flags, KVM_MSI_VALID_DEVID))
		return -EINVAL;
	r = irq_msi(vm_of(c)->machine, &msi);
	r = refuse_if(
		c->why, r, -1, "address 0x%lx: no local APIC has this destination", msi.address);
	return refuse_if(c->why, r, -EINVAL,
		"address_hi 0x%lx: bits 7 to 0 must be 0 with KVM_CAP_X2APIC_API",
		(u64)k->address_hi);
}

/* ---- PIC and IOAPIC ---- */

_Static_assert(
	sizeof(struct pic_state) == sizeof(struct kvm_pic_state) &&
		offsetof(struct pic_state, elcr_mask) == offsetof(struct kvm_pic_state, elcr_mask),
	"the PIC's state passes through");
_Static_assert(IOAPIC_PINS == KVM_IOAPIC_NUM_PINS, "IOAPIC pins");

static long get_ioapic(struct machine *m, struct kvm_ioapic_state *k)
{
	struct ioapic_state s;
	long ret = machine_get_ioapic(m, &s);
	unsigned i;

	if (ret)
		return ret;
	k->base_address = s.base_address;
	k->ioregsel = s.ioregsel;
	k->id = s.id;
	k->irr = s.irr;
	for (i = 0; i < IOAPIC_PINS; i++)
		k->redirtbl[i].bits = s.redirtbl[i];
	return 0;
}

static long set_ioapic(struct machine *m, const struct kvm_ioapic_state *k)
{
	struct ioapic_state s = {k->base_address, k->ioregsel, k->id, k->irr, {0}};
	unsigned i;

	for (i = 0; i < IOAPIC_PINS; i++)
		s.redirtbl[i] = k->redirtbl[i].bits;
	return machine_set_ioapic(m, &s);
}

static long check_full_irqchip(struct call *c)
{
	if (machine_irqchip(vm_of(c)->machine) == IRQCHIP_FULL)
		return 0;
	return refuse(c->why, -ENXIO, NO_FULL_IRQCHIP);
}

static long no_such_chip(struct call *c, u64 id)
{
	return refuse(c->why, -EINVAL, "chip_id %lu: the PICs are 0 and 1, the IOAPIC is 2", id);
}

long vm_get_irqchip(struct call *c)
{
	struct kvm_irqchip *k = c->data;
	struct machine *m = vm_of(c)->machine;

	if (check_full_irqchip(c))
		return -ENXIO;
	switch (k->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE: return machine_get_pic(m, k->chip_id, (void *)&k->chip.pic);
	case KVM_IRQCHIP_IOAPIC: return get_ioapic(m, &k->chip.ioapic);
	}
	return no_such_chip(c, k->chip_id);
}

long vm_set_irqchip(struct call *c)
{
	const struct kvm_irqchip *k = c->data;
	struct machine *m = vm_of(c)->machine;

	if (check_full_irqchip(c))
		return -ENXIO;
	switch (k->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE: return machine_set_pic(m, k->chip_id, (void *)&k->chip.pic);
	case KVM_IRQCHIP_IOAPIC: return set_ioapic(m, &k->chip.ioapic);
	}
	return no_such_chip(c, k->chip_id);
}

/* ---- PIT ---- */

_Static_assert(sizeof(struct pit_channel_state) == sizeof(struct kvm_pit_channel_state) &&
		       offsetof(struct pit_channel_state, gate) ==
			       offsetof(struct kvm_pit_channel_state, gate),
	"the PIT's state passes through");

static long create_pit(struct call *c, bool speaker)
{
	struct kvm_vm *vm = vm_of(c);
	long ret;

	pthread_mutex_lock(&vm->lock);
	ret = machine_create_pit(vm->machine, speaker);
	vm->pit |= !ret;
	pthread_mutex_unlock(&vm->lock);
	ret = refuse_if(c->why, ret, -ENOENT, NO_FULL_IRQCHIP);
	return refuse_if(c->why, ret, -EEXIST, "the VM already has a PIT");
}

long vm_create_pit(struct call *c)
{
	return create_pit(c, true);
}

long vm_create_pit2(struct call *c)
{
	const struct kvm_pit_config *p = c->data;

	return create_pit(c, p->flags & KVM_PIT_SPEAKER_DUMMY);
}

static long check_pit(struct call *c)
{
	bool has;

	pthread_mutex_lock(&vm_of(c)->lock);
	has = vm_of(c)->pit;
	pthread_mutex_unlock(&vm_of(c)->lock);
	return has ? 0 : refuse(c->why, -ENXIO, "there is no PIT: create it with KVM_CREATE_PIT2");
}

static long get_pit_state(struct call *c, struct kvm_pit_channel_state *channels, __u32 *flags)
{
	struct pit_state s;
	long ret = check_pit(c);

	ret = ret ? ret : machine_get_pit(vm_of(c)->machine, &s);
	if (ret)
		return ret;
	memcpy(channels, s.channels, sizeof(s.channels));
	*flags = s.flags;
	return 0;
}

static long set_pit_state(struct call *c, const struct kvm_pit_channel_state *channels, u32 flags)
{
	struct pit_state s = {.flags = flags};
	long ret = check_pit(c);

	memcpy(s.channels, channels, sizeof(s.channels));
	return ret ? ret : machine_set_pit(vm_of(c)->machine, &s);
}

long vm_get_pit(struct call *c)
{
	__u32 flags;

	return get_pit_state(c, ((struct kvm_pit_state *)c->data)->channels, &flags);
}

long vm_set_pit(struct call *c)
{
	return set_pit_state(c, ((struct kvm_pit_state *)c->data)->channels, 0);
}

long vm_get_pit2(struct call *c)
{
	struct kvm_pit_state2 *k = c->data;

	return get_pit_state(c, k->channels, &k->flags);
}

long vm_set_pit2(struct call *c)
{
	const struct kvm_pit_state2 *k = c->data;

	return set_pit_state(c, k->channels, k->flags);
}

long vm_reinject_control(struct call *c)
{
	const struct kvm_reinject_control *k = c->data;

	return check_pit(c) ? -ENXIO : machine_set_pit_reinject(vm_of(c)->machine, k->pit_reinject);
}
