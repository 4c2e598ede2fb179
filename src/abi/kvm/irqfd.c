/* SPDX-License-Identifier: MIT */
/* GSI routing, irqfd, ioeventfd. */
#include <errno.h>
#include <stdlib.h>

#include "abi/kvm/kvm.h"

/* ---- routing ---- */

static int msi_route(
	const struct kvm_vm *vm, const struct kvm_irq_routing_entry *k, struct irq_route *r)
{
	if (k->flags & ~KVM_MSI_VALID_DEVID)
		return -EINVAL;
	/* Bits 8-31 of the high half are the upper destination bits; the rest must be 0. */
	if (vm->x2apic_ids && (k->u.msi.address_hi & 0xff))
		return -EINVAL;
	r->is_msi = true;
	r->msi.address = k->u.msi.address_lo | (u64)k->u.msi.address_hi << 32;
	r->msi.data = k->u.msi.data;
	return 0;
}

static int chip_route(
	const struct kvm_vm *vm, const struct kvm_irq_routing_entry *k, struct irq_route *r)
{
	unsigned pins = k->u.irqchip.irqchip == KVM_IRQCHIP_IOAPIC ? IOAPIC_PINS : 8;

	if (k->flags || machine_irqchip(vm->machine) != IRQCHIP_FULL)
		return -EINVAL;
	if (k->u.irqchip.irqchip > KVM_IRQCHIP_IOAPIC || k->u.irqchip.pin >= pins)
		return -EINVAL;
	r->chip.chip = k->u.irqchip.irqchip;
	r->chip.pin = k->u.irqchip.pin;
	return 0;
}

static int sint_route(const struct kvm_irq_routing_entry *k, struct irq_route *r)
{
	if (k->flags)
		return -EINVAL;
	r->is_hv_sint = true;
	r->hv_sint.vp_index = k->u.hv_sint.vcpu;
	r->hv_sint.sint = k->u.hv_sint.sint;
	return 0;
}

static int route_in(
	const struct kvm_vm *vm, const struct kvm_irq_routing_entry *k, struct irq_route *r)
{
	*r = (struct irq_route){.gsi = k->gsi};
	if (k->gsi >= IRQ_GSI_MAX)
		return -EINVAL;
	switch (k->type) {
	case KVM_IRQ_ROUTING_IRQCHIP: return chip_route(vm, k, r);
	case KVM_IRQ_ROUTING_MSI: return msi_route(vm, k, r);
	case KVM_IRQ_ROUTING_HV_SINT: return sint_route(k, r);
	}
	return -EINVAL;
}

/* A GSI goes to one MSI or SINT, or to at most one pin of each chip. seen: bit 0-2 chips, bit 3 the others. */
static bool clashes(u8 *seen, const struct irq_route *r)
{
	bool alone = r->is_msi || r->is_hv_sint;
	u8 mine = alone ? 8 : BIT(r->chip.chip);
	bool clash = (*seen & (mine | 8)) || (alone && *seen);

	*seen |= mine;
	return clash;
}

static long set_routes(
	struct kvm_vm *vm, const struct kvm_irq_routing_entry *in, struct irq_route *out, u32 n)
{
	u8 *seen = calloc(1, IRQ_GSI_MAX);
	long ret = seen ? 0 : -ENOMEM;
	u32 i;

	for (i = 0; i < n && !ret; i++) {
		ret = route_in(vm, &in[i], &out[i]);
		if (!ret && clashes(&seen[out[i].gsi], &out[i]))
			ret = -EINVAL;
	}
	free(seen);
	return ret ? ret : irq_set_routing(vm->machine, out, n);
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
	if (!vm_has_irqchip(c->vm) || head.nr > IRQ_ROUTES_MAX || head.flags)
		return -EINVAL;
	ret = copy_in_array(c->dev, (void **)&in, array, head.nr, sizeof(*in));
	if (ret)
		return ret;
	out = calloc(head.nr + 1, sizeof(*out));
	ret = out ? set_routes(c->vm, in, out, head.nr) : -ENOMEM;
	free(in);
	free(out);
	return ret;
}

/* ---- irqfd ---- */

/* A resampled line is the IOAPIC's or the PIC's; without one there is nobody to see the EOI. */
static bool irqfd_allowed(struct kvm_vm *vm, u32 flags)
{
	enum irqchip_mode mode = machine_irqchip(vm->machine);

	return flags & KVM_IRQFD_FLAG_RESAMPLE ? mode == IRQCHIP_FULL : mode != IRQCHIP_NONE;
}

long vm_irqfd(struct call *c)
{
	const struct kvm_irqfd *k = c->data;
	bool resample = k->flags & KVM_IRQFD_FLAG_RESAMPLE;

	if (k->flags & ~(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE))
		return -EINVAL;
	if (k->flags & KVM_IRQFD_FLAG_DEASSIGN)
		return irqfd_deassign(c->vm->machine, k->fd, k->gsi);
	if (!irqfd_allowed(c->vm, k->flags))
		return -EINVAL;
	return irqfd_assign(c->vm->machine, k->fd, k->gsi, resample ? (int)k->resamplefd : -1);
}

/* ---- ioeventfd ---- */

#define IOEVENTFD_FLAGS                                                                            \
	(KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DEASSIGN)

static bool ioeventfd_len_valid(u32 len)
{
	return len <= 8 && !(len & (len - 1));
}

static bool ioeventfd_valid(const struct kvm_ioeventfd *k)
{
	if (!ioeventfd_len_valid(k->len) || k->addr + k->len < k->addr)
		return false;
	/* What no length is given for has no value to compare. */
	return !(k->flags & ~IOEVENTFD_FLAGS) &&
	       (k->len || !(k->flags & KVM_IOEVENTFD_FLAG_DATAMATCH));
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

	if (k->flags & KVM_IOEVENTFD_FLAG_DEASSIGN)
		return ioeventfd_deassign(c->vm->machine, &e);
	return ioeventfd_valid(k) ? ioeventfd_assign(c->vm->machine, &e) : -EINVAL;
}
