/* SPDX-License-Identifier: MIT */
/* GSI routing, irqfd, ioeventfd. */
#include <errno.h>
#include <stdlib.h>

#include "abi/eventfd.h"
#include "abi/kvm/kvm.h"

/* ---- routing ---- */

static long msi_route(struct call *c, const struct kvm_irq_routing_entry *k, struct irq_route *r)
{
	if (check_flags(c, k->flags, KVM_MSI_VALID_DEVID))
		return -EINVAL;
	/* Bits 8-31 of the high half are the upper destination bits; the rest must be 0. */
	if (vm_of(c)->x2apic_ids && (k->u.msi.address_hi & 0xff))
		return refuse(c->why, -EINVAL,
			"address_hi 0x%lx: bits 7 to 0 must be 0 with KVM_CAP_X2APIC_API",
			(u64)k->u.msi.address_hi);
	r->is_msi = true;
	r->msi.address = k->u.msi.address_lo | (u64)k->u.msi.address_hi << 32;
	r->msi.data = k->u.msi.data;
	return 0;
}

static long chip_route(struct call *c, const struct kvm_irq_routing_entry *k, struct irq_route *r)
{
	unsigned pins = k->u.irqchip.irqchip == KVM_IRQCHIP_IOAPIC ? IOAPIC_PINS : 8;

	if (check_flags(c, k->flags, 0))
		return -EINVAL;
	if (machine_irqchip(vm_of(c)->machine) != IRQCHIP_FULL)
		return refuse(c->why, -EINVAL, NO_FULL_IRQCHIP);
	if (k->u.irqchip.irqchip > KVM_IRQCHIP_IOAPIC)
		return refuse(c->why, -EINVAL, "irqchip %lu: the PICs are 0 and 1, the IOAPIC is 2",
			(u64)k->u.irqchip.irqchip);
	if (k->u.irqchip.pin >= pins)
		return refuse(c->why, -EINVAL, "pin %lu: the chip has only %lu pins",
			(u64)k->u.irqchip.pin, (u64)pins);
	r->chip.chip = k->u.irqchip.irqchip;
	r->chip.pin = k->u.irqchip.pin;
	return 0;
}

static long sint_route(struct call *c, const struct kvm_irq_routing_entry *k, struct irq_route *r)
{
	if (check_flags(c, k->flags, 0))
		return -EINVAL;
	r->is_hv_sint = true;
	r->hv_sint.vp_index = k->u.hv_sint.vcpu;
	r->hv_sint.sint = k->u.hv_sint.sint;
	return 0;
}

static long route_in(struct call *c, const struct kvm_irq_routing_entry *k, struct irq_route *r)
{
	*r = (struct irq_route){.gsi = k->gsi};
	if (k->gsi >= IRQ_GSI_MAX)
		return refuse(c->why, -EINVAL, "gsi %lu: must be below %lu", (u64)k->gsi,
			(u64)IRQ_GSI_MAX);
	switch (k->type) {
	case KVM_IRQ_ROUTING_IRQCHIP: return chip_route(c, k, r);
	case KVM_IRQ_ROUTING_MSI: return msi_route(c, k, r);
	case KVM_IRQ_ROUTING_HV_SINT: return sint_route(c, k, r);
	}
	return refuse(c->why, -EINVAL,
		"type %lu: must be 1 (a chip's pin), 2 (MSI) or 4 (Hyper-V's SINT)", (u64)k->type);
}

/* A GSI goes to one MSI or SINT, or to at most one pin of each chip. seen: bit 0-2 chips, bit 3 the others. */
static long check_clash(struct call *c, u8 *seen, const struct irq_route *r)
{
	bool alone = r->is_msi || r->is_hv_sint;
	u8 mine = alone ? 8 : BIT(r->chip.chip);
	bool clash = (*seen & (mine | 8)) || (alone && *seen);

	*seen |= mine;
	if (!clash)
		return 0;
	return refuse(c->why, -EINVAL,
		"gsi %lu: an earlier entry routes it, and a GSI can have one MSI or one pin of "
		"each chip",
		(u64)r->gsi);
}

static long set_routes(
	struct call *c, const struct kvm_irq_routing_entry *in, struct irq_route *out, u32 n)
{
	u8 *seen = calloc(1, IRQ_GSI_MAX);
	long ret = seen ? 0 : -ENOMEM;
	u32 i;

	for (i = 0; i < n && !ret; i++) {
		ret = route_in(c, &in[i], &out[i]);
		ret = ret ? ret : check_clash(c, &seen[out[i].gsi], &out[i]);
		if (ret)
			refused_at(c->why, "entries[%lu]", (u64)i);
	}
	free(seen);
	return ret ? ret : irq_set_routing(vm_of(c)->machine, out, n);
}

long vm_set_routing(struct call *c)
{
	unsigned long array = c->arg + offsetof(struct kvm_irq_routing, entries);
	struct kvm_irq_routing_entry *in = NULL;
	struct kvm_irq_routing head;
	struct irq_route *out;
	long ret;

	if (copy_in(c->dev, &head, c->arg, sizeof(head)))
		return -EFAULT;
	if (!vm_has_irqchip(vm_of(c)))
		return refuse(c->why, -EINVAL, NO_IRQCHIP);
	if (head.nr > IRQ_ROUTES_MAX)
		return refuse(c->why, -EINVAL, "nr %lu: at most %lu routes are allowed",
			(u64)head.nr, (u64)IRQ_ROUTES_MAX);
	if (check_flags(c, head.flags, 0))
		return -EINVAL;
	ret = copy_in_array(c->dev, (void **)&in, array, head.nr, sizeof(*in));
	if (ret)
		return ret;
	out = calloc(head.nr + 1, sizeof(*out));
	ret = out ? set_routes(c, in, out, head.nr) : -ENOMEM;
	free(in);
	free(out);
	return ret;
}

/* ---- irqfd ---- */

/* A resampled line is the IOAPIC's or the PIC's; without one there is nobody to see the EOI. */
static long check_irqfd(struct call *c, u32 flags)
{
	enum irqchip_mode mode = machine_irqchip(vm_of(c)->machine);

	if (mode == IRQCHIP_NONE)
		return refuse(c->why, -EINVAL, NO_IRQCHIP);
	if ((flags & KVM_IRQFD_FLAG_RESAMPLE) && mode != IRQCHIP_FULL)
		return refuse(c->why, -EINVAL, NO_FULL_IRQCHIP);
	return 0;
}

long vm_irqfd(struct call *c)
{
	const struct kvm_irqfd *k = c->data;
	bool resample = k->flags & KVM_IRQFD_FLAG_RESAMPLE;
	long r;

	if (check_flags(c, k->flags, KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE))
		return -EINVAL;
	if (k->flags & KVM_IRQFD_FLAG_DEASSIGN)
		return eventfd_taken(c, irqfd_deassign(vm_of(c)->machine, k->fd, k->gsi), k->fd);
	if (check_irqfd(c, k->flags))
		return -EINVAL;
	r = irqfd_assign(vm_of(c)->machine, k->fd, k->gsi, resample ? (int)k->resamplefd : -1);
	r = refuse_if(
		c->why, r, -EBUSY, "fd %lu: an irqfd already uses this descriptor", (u64)k->fd);
	return resample ? eventfds_taken(c, r, k->fd, k->resamplefd) : eventfd_taken(c, r, k->fd);
}

/* ---- ioeventfd ---- */

#define IOEVENTFD_FLAGS                                                                            \
	(KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DEASSIGN)

static long check_ioeventfd(struct call *c, const struct kvm_ioeventfd *k)
{
	if (k->len > 8 || (k->len & (k->len - 1)))
		return refuse(c->why, -EINVAL, "len %lu: must be 0 (any length), 1, 2, 4 or 8",
			(u64)k->len);
	if (k->addr + k->len < k->addr)
		return refuse(c->why, -EINVAL, "addr 0x%lx: the range wraps around", (u64)k->addr);
	if (check_flags(c, k->flags, IOEVENTFD_FLAGS))
		return -EINVAL;
	if (!k->len && (k->flags & KVM_IOEVENTFD_FLAG_DATAMATCH))
		return refuse(c->why, -EINVAL, "flags: DATAMATCH needs a len other than 0");
	return 0;
}

long vm_ioeventfd(struct call *c)
{
	const struct kvm_ioeventfd *k = c->data;
	struct ioeventfd_config e = {
		.addr = k->addr,
		.len = k->len,
		.fd = k->fd,
		.pio = k->flags & KVM_IOEVENTFD_FLAG_PIO,
		.has_match = k->flags & KVM_IOEVENTFD_FLAG_DATAMATCH,
		.match = k->datamatch,
	};

	long r;

	if (k->flags & KVM_IOEVENTFD_FLAG_DEASSIGN) {
		r = eventfd_taken(c, ioeventfd_deassign(vm_of(c)->machine, &e), (u32)k->fd);
		return refuse_if(c->why, r, -ENOENT,
			"there is no ioeventfd with this addr, len, fd and datamatch");
	}
	if (check_ioeventfd(c, k))
		return -EINVAL;
	r = eventfd_taken(c, ioeventfd_assign(vm_of(c)->machine, &e), (u32)k->fd);
	return refuse_if(c->why, r, -EEXIST,
		"addr 0x%lx: the same writes already signal another ioeventfd", (u64)k->addr);
}
