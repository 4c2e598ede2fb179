/* SPDX-License-Identifier: MIT */
/* See kvm.h. The numbers of entries are the program's, which may be anything: what is shown is bounded. */
#include <stdio.h>

#include "shim/decode/kvm.h"

#define SHOWN 96

/* ---- MSRs: each is a member of its own ---- */

void list_msrs(struct line *l, unsigned long arg)
{
	struct kvm_msr_entry e;
	struct kvm_msrs head;
	char name[16];

	if (!read_program(arg, &head, sizeof(head)))
		return;
	arg += sizeof(head);
	for (u32 i = 0; i < MIN(head.nmsrs, (u32)SHOWN); i++, arg += sizeof(e)) {
		if (!read_program(arg, &e, sizeof(e)))
			return;
		snprintf(name, sizeof(name), "0x%08x", e.index);
		line_number(l, name, e.data, LINE_HEX);
	}
}

void list_msr_indices(struct line *l, unsigned long arg)
{
	u32 n, index[SHOWN];
	char text[SHOWN * 12];
	size_t used = 0;

	if (!read_program(arg, &n, sizeof(n)))
		return;
	n = MIN(n, (u32)SHOWN);
	if (!read_program(arg + offsetof(struct kvm_msr_list, indices), index, n * sizeof(*index)))
		return;
	for (u32 i = 0; i < n; i++)
		used += (size_t)snprintf(
			text + used, sizeof(text) - used, "%s0x%x", i ? " " : "", index[i]);
	if (n)
		line_word(l, "indices", text);
}

void list_msr_ranges(struct line *l, unsigned long arg)
{
	struct kvm_msr_filter f;
	char name[16], text[64];

	if (!read_program(arg, &f, sizeof(f)))
		return;
	for (unsigned i = 0; i < ARRAY_SIZE(f.ranges); i++) {
		if (!f.ranges[i].nmsrs)
			continue;
		snprintf(name, sizeof(name), "ranges[%u]", i);
		snprintf(text, sizeof(text), "flags 0x%x base 0x%x nmsrs %u", f.ranges[i].flags,
			f.ranges[i].base, f.ranges[i].nmsrs);
		line_word(l, name, text);
	}
}

/* ---- CPUID: eax ebx ecx edx by leaf and subleaf ---- */

static void add_leaf(struct line *l, u32 leaf, u32 subleaf, bool indexed, const u32 r[4])
{
	char name[24], text[48];

	if (indexed)
		snprintf(name, sizeof(name), "0x%x.%x", leaf, subleaf);
	else
		snprintf(name, sizeof(name), "0x%x", leaf);
	snprintf(text, sizeof(text), "%08x %08x %08x %08x", r[0], r[1], r[2], r[3]);
	line_word(l, name, text);
}

void list_cpuid(struct line *l, unsigned long arg)
{
	struct kvm_cpuid_entry2 e;
	u32 n;

	if (!read_program(arg, &n, sizeof(n)))
		return;
	arg += offsetof(struct kvm_cpuid2, entries);
	for (u32 i = 0; i < MIN(n, (u32)SHOWN); i++, arg += sizeof(e)) {
		if (!read_program(arg, &e, sizeof(e)))
			return;
		add_leaf(l, e.function, e.index, e.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			(u32[]){e.eax, e.ebx, e.ecx, e.edx});
	}
}

void list_cpuid_old(struct line *l, unsigned long arg)
{
	struct kvm_cpuid_entry e;
	u32 n;

	if (!read_program(arg, &n, sizeof(n)))
		return;
	arg += offsetof(struct kvm_cpuid, entries);
	for (u32 i = 0; i < MIN(n, (u32)SHOWN); i++, arg += sizeof(e)) {
		if (!read_program(arg, &e, sizeof(e)))
			return;
		add_leaf(l, e.function, 0, false, (u32[]){e.eax, e.ebx, e.ecx, e.edx});
	}
}

/* ---- interrupts ---- */

static void add_route(struct line *l, const struct kvm_irq_routing_entry *e)
{
	char name[16], text[64];

	snprintf(name, sizeof(name), "gsi%u", e->gsi);
	switch (e->type) {
	case KVM_IRQ_ROUTING_IRQCHIP:
		snprintf(text, sizeof(text), "chip %u pin %u", e->u.irqchip.irqchip,
			e->u.irqchip.pin);
		break;
	case KVM_IRQ_ROUTING_MSI:
		snprintf(text, sizeof(text), "msi 0x%x:0x%x 0x%x", e->u.msi.address_hi,
			e->u.msi.address_lo, e->u.msi.data);
		break;
	case KVM_IRQ_ROUTING_HV_SINT:
		snprintf(text, sizeof(text), "vcpu %u sint %u", e->u.hv_sint.vcpu,
			e->u.hv_sint.sint);
		break;
	default: snprintf(text, sizeof(text), "type %u", e->type);
	}
	line_word(l, name, text);
}

void list_routes(struct line *l, unsigned long arg)
{
	struct kvm_irq_routing_entry e;
	struct kvm_irq_routing head;

	if (!read_program(arg, &head, sizeof(head)))
		return;
	arg += sizeof(head);
	for (u32 i = 0; i < MIN(head.nr, (u32)SHOWN); i++, arg += sizeof(e)) {
		if (!read_program(arg, &e, sizeof(e)))
			return;
		add_route(l, &e);
	}
}

MEMBERS(pic) = {H(kvm_pic_state, irr), H(kvm_pic_state, imr), H(kvm_pic_state, isr),
	H(kvm_pic_state, irq_base), H(kvm_pic_state, init_state), D(kvm_pic_state, auto_eoi),
	D(kvm_pic_state, special_mask), H(kvm_pic_state, elcr)};
MEMBERS(ioapic) = {H(kvm_ioapic_state, base_address), H(kvm_ioapic_state, ioregsel),
	H(kvm_ioapic_state, id), H(kvm_ioapic_state, irr)};

void list_irqchip(struct line *l, unsigned long arg)
{
	struct kvm_irqchip k;
	char name[16];

	if (!read_program(arg, &k, sizeof(k)))
		return;
	line_number(l, "chip_id", k.chip_id, LINE_DEC);
	if (k.chip_id == KVM_IRQCHIP_PIC_MASTER || k.chip_id == KVM_IRQCHIP_PIC_SLAVE)
		add_members(l, &k.chip, pic, ARRAY_SIZE(pic));
	if (k.chip_id != KVM_IRQCHIP_IOAPIC)
		return;
	add_members(l, &k.chip, ioapic, ARRAY_SIZE(ioapic));
	for (unsigned i = 0; i < KVM_IOAPIC_NUM_PINS; i++) {
		snprintf(name, sizeof(name), "pin%u", i);
		line_number(l, name, k.chip.ioapic.redirtbl[i].bits, LINE_HEX);
	}
}

/* ---- others ---- */

/* VFIO's only group is of descriptors; all other attributes that x86 has, in group 0, are 64 bits. */
void list_attr(struct line *l, unsigned long arg)
{
	struct kvm_device_attr a;
	u64 value;
	s32 fd;

	if (!read_program(arg, &a, sizeof(a)))
		return;
	if (a.group == KVM_DEV_VFIO_FILE && read_program(a.addr, &fd, sizeof(fd)))
		line_number(l, "fd", (u64)fd, LINE_SIGNED);
	else if (a.group != KVM_DEV_VFIO_FILE && read_program(a.addr, &value, sizeof(value)))
		line_number(l, "value", value, LINE_HEX);
}

void list_capability(struct line *l, unsigned long arg)
{
	struct kvm_enable_cap e;
	const char *name;

	if (!read_program(arg, &e, sizeof(e)))
		return;
	name = capability_name(e.cap);
	if (name)
		line_word(l, "capability", name);
}
