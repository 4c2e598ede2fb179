/* SPDX-License-Identifier: MIT */
/*
 * The messages of a run. One that was not asked for is a failure: large VMMs end then, too.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/mshv/vmm/emulate.h"
#include "tests/mshv/vmm/vmm.h"
#include "x86/regs.h"

#define FLAG_DF 0x400u

static int take_event(struct vmm *vmm, enum bus_event event)
{
	if (event == BUS_POWER_OFF)
		vmm_end(vmm, END_POWERED_OFF);
	else if (event == BUS_RESET)
		vmm_end(vmm, END_RESET);
	return 0;
}

/* ---- guest-physical accesses ---- */

static void gpa_read(void *opaque, u64 gpa, void *to, unsigned size)
{
	struct vmm *vmm = opaque;

	if (gpa < vmm->ram.size && size <= vmm->ram.size - gpa) {
		memcpy(to, vmm->ram.base + gpa, size);
		return;
	}
	for (unsigned n; size; size -= n, gpa += n, to = (u8 *)to + n) {
		u64 value;

		n = MIN(size, 8);
		value = bus_read(&vmm->bus, BUS_MMIO, gpa, n);
		memcpy(to, &value, n);
	}
}

/* What the guest may not write to stays as it is. */
static void gpa_write(void *opaque, u64 gpa, const void *from, unsigned size)
{
	struct vmm *vmm = opaque;

	if (gpa >= GPA_ACPI && gpa < GPA_ACPI_END)
		return;
	if (gpa < vmm->ram.size && size <= vmm->ram.size - gpa) {
		memcpy(vmm->ram.base + gpa, from, size);
		return;
	}
	for (unsigned n; size; size -= n, gpa += n, from = (const u8 *)from + n) {
		u64 value = 0;

		n = MIN(size, 8);
		memcpy(&value, from, n);
		take_event(vmm, bus_write(&vmm->bus, BUS_MMIO, gpa, n, value));
	}
}

static int gva_translate(struct vmm_vp *vp, u64 gva, bool write, u64 *ret)
{
	struct hv_translated t = {0};
	long r = root_translate(
		vp->fd, vp->index, gva, HV_TRANSLATE_READ | (write ? HV_TRANSLATE_WRITE : 0), &t);

	if (r < 0)
		return (int)vmm_failed("translating an address", r);
	if (t.result != HV_TRANSLATE_OK)
		return -EFAULT;
	*ret = t.gpa_page * PAGE_SIZE | (gva & ~PAGE_MASK);
	return 0;
}

/* ---- memory intercepts ---- */

static void emulator_read(void *opaque, u64 gpa, void *to, unsigned size)
{
	struct vmm_vp *vp = opaque;

	gpa_read(vp->vmm, gpa, to, size);
}

static void emulator_write(void *opaque, u64 gpa, const void *from, unsigned size)
{
	struct vmm_vp *vp = opaque;

	gpa_write(vp->vmm, gpa, from, size);
}

static int emulator_translate(void *opaque, u64 gva, bool write, u64 *ret)
{
	return gva_translate(opaque, gva, write, ret);
}

static const struct emulate_ops emulator_ops = {
	.read = emulator_read, .write = emulator_write, .translate = emulator_translate};

static int on_memory(struct vmm_vp *vp, const void *payload)
{
	const struct hv_memory_message *m = payload;
	int r = emulate(vp->page, m, &emulator_ops, vp);

	if (r < 0) {
		fprintf(stderr, "mshv-vmm: cannot emulate at rip 0x%llx, gpa 0x%llx, access %u:",
			(unsigned long long)m->header.rip, (unsigned long long)m->gpa,
			m->header.access);
		for (unsigned i = 0; i < m->byte_count && i < HV_INSTRUCTION_BYTES; i++)
			fprintf(stderr, " %02x", m->bytes[i]);
		fprintf(stderr, " (%s)\n", strerror(-r));
	}
	return r;
}

/* ---- ports ---- */

static void skip_instruction(struct vmm_vp *vp, const struct hv_intercept_header *h)
{
	vp->page->rip = h->rip + (h->length_cr8 & 15);
	vp->page->dirty |= HV_PAGE_DIRTY_RIP;
}

static u64 cut_to(u64 value, unsigned size)
{
	return value & ((1ull << size * 8) - 1);
}

/* 32-bit results are zero-extended, smaller ones leave the rest as it is. */
static u64 merge(u64 rax, u64 value, unsigned size)
{
	return size == 4 ? cut_to(value, 4) : (rax & ~cut_to(~0ull, size)) | cut_to(value, size);
}

static int plain_port(struct vmm_vp *vp, const struct hv_io_port_message *m, unsigned size)
{
	struct vmm *vmm = vp->vmm;

	if (m->header.access == HV_INTERCEPT_WRITE)
		return take_event(
			vmm, bus_write(&vmm->bus, BUS_PORTS, m->port, size, cut_to(m->rax, size)));
	vp->page->gpr[RAX] = merge(m->rax, bus_read(&vmm->bus, BUS_PORTS, m->port, size), size);
	vp->page->dirty |= HV_PAGE_DIRTY_GPR;
	return 0;
}

/* An element that crosses a page is read or written in two parts. */
static int string_memory(struct vmm_vp *vp, u64 gva, u8 *data, unsigned size, bool write)
{
	for (unsigned i = 0; i < size; i++) {
		u64 gpa = 0;
		int r = gva_translate(vp, gva + i, write, &gpa);

		if (r < 0)
			return r;
		if (write)
			gpa_write(vp->vmm, gpa, data + i, 1);
		else
			gpa_read(vp->vmm, gpa, data + i, 1);
	}
	return 0;
}

static int string_element(struct vmm_vp *vp, u16 port, u64 gva, unsigned size, bool out)
{
	struct vmm *vmm = vp->vmm;
	u64 value = 0;
	int r;

	if (!out) {
		value = bus_read(&vmm->bus, BUS_PORTS, port, size);
		return string_memory(vp, gva, (u8 *)&value, size, true);
	}
	r = string_memory(vp, gva, (u8 *)&value, size, false);
	return r < 0 ? r : take_event(vmm, bus_write(&vmm->bus, BUS_PORTS, port, size, value));
}

/* All repetitions at once, with the registers of the message. */
static int string_port(struct vmm_vp *vp, const struct hv_io_port_message *m, unsigned size)
{
	const bool out = m->header.access == HV_INTERCEPT_WRITE;
	const struct hv_segment *segment = out ? &m->ds : &m->es;
	const u64 base = m->header.execution_state & HV_EXEC_EFER_LMA ? 0 : segment->base;
	const u64 step = m->header.rflags & FLAG_DF ? -(u64)size : size;
	u64 count = m->access_info & HV_IO_REP ? m->rcx : 1, index = out ? m->rsi : m->rdi;
	int r = 0;

	for (; r == 0 && count; count--, index += step)
		r = string_element(vp, m->port, base + index, size, out);
	if (m->access_info & HV_IO_REP)
		vp->page->gpr[RCX] = count;
	vp->page->gpr[out ? RSI : RDI] = index;
	vp->page->dirty |= HV_PAGE_DIRTY_GPR;
	return r;
}

static int on_port(struct vmm_vp *vp, const void *payload)
{
	const struct hv_io_port_message *m = payload;
	const unsigned size = m->access_info & HV_IO_SIZE;
	int r;

	if (size != 1 && size != 2 && size != 4) {
		fprintf(stderr, "mshv-vmm: a port access of %u bytes\n", size);
		return -EINVAL;
	}
	r = m->access_info & HV_IO_STRING ? string_port(vp, m, size) : plain_port(vp, m, size);
	if (r == 0)
		skip_instruction(vp, &m->header);
	return r;
}

/* ---- the others ---- */

static int on_eoi(struct vmm_vp *vp, const void *payload)
{
	const struct hv_apic_eoi_message *m = payload;

	if (m->vp_index != vp->index) {
		fprintf(stderr, "mshv-vmm: processor %u is told of an EOI on processor %u\n",
			vp->index, m->vp_index);
		return -EINVAL;
	}
	intr_eoi(&vp->vmm->intr, (u8)m->vector);
	return 0;
}

static int on_triple_fault(struct vmm_vp *vp, const void *payload)
{
	const struct hv_intercept_header *h = payload;

	fprintf(stderr, "mshv-vmm: a triple fault at rip 0x%llx\n", (unsigned long long)h->rip);
	vmm_end(vp->vmm, END_TRIPLE_FAULT);
	return 0;
}

static const struct {
	u32 type;
	int (*handle)(struct vmm_vp *vp, const void *payload);
} handlers[] = {
	{HVMSG_UNMAPPED_GPA, on_memory},
	{HVMSG_GPA_INTERCEPT, on_memory},
	{HVMSG_X64_IO_PORT_INTERCEPT, on_port},
	{HVMSG_X64_APIC_EOI, on_eoi},
	{HVMSG_UNRECOVERABLE_EXCEPTION, on_triple_fault},
};

int vmm_handle_exit(struct vmm_vp *vp, const struct hv_message *message)
{
	for (size_t i = 0; i < ARRAY_SIZE(handlers); i++)
		if (handlers[i].type == message->type)
			return handlers[i].handle(vp, message->payload);
	fprintf(stderr, "mshv-vmm: message 0x%x, which was not asked for\n", message->type);
	return -EINVAL;
}
